"""Scans in which each element needs the one before: recurrences, products, running extremes.

Memory is seen as (outer, axis, inner).  A unit is one outer index and a block of inner columns,
scanned together: neighbours in memory are independent of each other.
"""

from __future__ import annotations

from tapejit.ops.loops.words import wide
from tapejit.registry import Work
from tapejit.shapes import folded

COLUMNS = 128

# ---------------------------------------------------------------- loops


def recurrence(args, meta, begin, end):
    """y[i] = a[i] + b[i] y[i-1]"""
    a, b, y = args
    n, inner, width = meta[0], meta[1], meta[2]
    blocks = (inner + width - 1) // width
    for unit in range(begin, end):
        column = unit % blocks * width
        first = unit // blocks * n * inner + column
        count = min(width, inner - column)
        for j in range(first, first + count):
            y[j] = a[j]
        for i in range(1, n):
            start = first + i * inner
            for j in range(start, start + count):
                y[j] = a[j] + b[j] * y[j - inner]


def cumprod_rows(args, meta, begin, end):
    """A unit is a row; products of float32 are kept in float64."""
    x, y = args
    n = meta[0]
    for unit in range(begin, end):
        total = wide(1)
        for i in range(unit * n, (unit + 1) * n):
            total *= wide(x[i])
            y[i] = total


def cumprod_columns(args, meta, begin, end):
    x, y, totals = args
    tasks, units, n, inner = meta[0], meta[1], meta[2], meta[3]
    blocks = (inner + COLUMNS - 1) // COLUMNS
    for unit in range(begin, end):
        kept = unit * COLUMNS
        for task in range(unit * tasks // units, (unit + 1) * tasks // units):
            outer = task // blocks
            column = (task - outer * blocks) * COLUMNS
            first = outer * n * inner + column
            count = min(COLUMNS, inner - column)
            for j in range(count):
                totals[kept + j] = 1
            for i in range(n):
                start = first + i * inner
                for j in range(count):
                    total = totals[kept + j] * wide(x[start + j])
                    totals[kept + j] = total
                    y[start + j] = total


def cumargmax(args, meta, begin, end):
    x, y = args
    last_extremes(x, y, meta, begin, end, 1)


def cumargmin(args, meta, begin, end):
    x, y = args
    last_extremes(x, y, meta, begin, end, 0)


def last_extremes(x, y, meta, begin, end, is_max):
    """Where the last largest or smallest so far is; a NaN is beyond all, and `!=` finds it."""
    n, inner, width = meta[0], meta[1], meta[2]
    blocks = (inner + width - 1) // width
    for unit in range(begin, end):
        column = unit % blocks * width
        first = unit // blocks * n * inner + column
        count = min(width, inner - column)
        if inner == 1:
            best, known = 0, x[first]
            for i in range(n):
                value = x[first + i]
                is_beyond = value >= known if is_max else value <= known
                if is_beyond or value != value:
                    best, known = i, value
                y[first + i] = best
        else:
            for j in range(first, first + count):
                y[j] = 0
            for i in range(1, n):
                for j in range(first, first + count):
                    at = j + i * inner
                    best = y[at - inner]
                    value, known = x[at], x[j + best * inner]
                    is_beyond = value >= known if is_max else value <= known
                    y[at] = i if is_beyond or value != value else best


# ---------------------------------------------------------------- their work


def _blocks(run, shape, axis, ns):
    if not shape:
        return None
    outer, n, inner = folded(shape, axis)
    return Work(run, (n, inner, COLUMNS), outer * -(-inner // COLUMNS), ns * outer * n * inner)


def recurrence_work(operands, result, axis):
    """recurrence"""
    return _blocks(recurrence, result.shape, axis, 1.2)


def cumargmax_work(operands, result, axis):
    """cumargmax"""
    return _blocks(cumargmax, result.shape, axis, 1.2)


def cumargmin_work(operands, result, axis):
    """cumargmin"""
    return _blocks(cumargmin, result.shape, axis, 1.2)


def cumprod_work(operands, result, axis):
    """cumprod"""
    if not result.shape:
        return None
    outer, n, inner = folded(result.shape, axis)
    size = outer * n * inner
    if inner == 1:
        return Work(cumprod_rows, (n,), outer, size * 1.2)
    tasks = outer * -(-inner // COLUMNS)
    units = min(tasks, 64)
    kept = "f64" if result.dtype.is_floating_point else "i64"
    return Work(
        cumprod_columns, (tasks, units, n, inner), units, size * 0.6, ((kept, units * COLUMNS),)
    )
