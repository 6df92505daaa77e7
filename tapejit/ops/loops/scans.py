"""Running sums.

A sum kept in one register costs 4 cycles an element, the latency of an addition, so a row is cut
into SEGMENTS equal parts: the sum before each is found first, then all are scanned side by side.
Along any other axis than the last a block of columns is scanned together, its sums in scratch.

Sums of float32 are kept in float64, as PyTorch does.
"""

from __future__ import annotations

import math

from tapejit.ops.loops.words import wide
from tapejit.registry import Operand, Work

SEGMENTS = 8
SHORT = 64
"""Elements of a row that is scanned in one go."""
COLUMNS = 128
TASKS_AT_ONCE = 64
"""Units at most: each has scratch of its own."""


def scan_rows(args, meta, begin, end):
    """A unit is one row.  meta: length, its stride in x and in y, axes outside; for each of those
    length, stride in x, stride in y."""
    x, y = args
    n, x_step, y_step, n_axes = meta[0], meta[1], meta[2], meta[3]
    for unit in range(begin, end):
        x_at, y_at, rest = 0, 0, unit
        for axis in range(n_axes - 1, -1, -1):
            length = meta[4 + 3 * axis]
            i = rest % length
            rest = rest // length
            x_at += i * meta[5 + 3 * axis]
            y_at += i * meta[6 + 3 * axis]
        if n < SHORT:
            scan_short(x, y, x_at, y_at, n, x_step, y_step, wide(0))
        else:
            scan_long(x, y, x_at, y_at, n, x_step, y_step)


def scan_short(x, y, x_at, y_at, n, x_step, y_step, total):
    for i in range(n):
        total += wide(x[x_at + i * x_step])
        y[y_at + i * y_step] = total


def scan_long(x, y, x_at, y_at, n, x_step, y_step):
    """Eight segments at once, and what is left over."""
    m = n // SEGMENTS
    xs, ys = m * x_step, m * y_step
    t0, t1, t2, t3 = wide(0), wide(0), wide(0), wide(0)
    t4, t5, t6 = wide(0), wide(0), wide(0)
    for i in range(m):
        p = x_at + i * x_step
        t0 += wide(x[p])
        t1 += wide(x[p + xs])
        t2 += wide(x[p + 2 * xs])
        t3 += wide(x[p + 3 * xs])
        t4 += wide(x[p + 4 * xs])
        t5 += wide(x[p + 5 * xs])
        t6 += wide(x[p + 6 * xs])
    t1 += t0
    t2 += t1
    t3 += t2
    t4 += t3
    t5 += t4
    t6 += t5
    s0, s1, s2, s3, s4, s5, s6, s7 = wide(0), t0, t1, t2, t3, t4, t5, t6
    for i in range(m):
        p, q = x_at + i * x_step, y_at + i * y_step
        s0 += wide(x[p])
        s1 += wide(x[p + xs])
        s2 += wide(x[p + 2 * xs])
        s3 += wide(x[p + 3 * xs])
        s4 += wide(x[p + 4 * xs])
        s5 += wide(x[p + 5 * xs])
        s6 += wide(x[p + 6 * xs])
        s7 += wide(x[p + 7 * xs])
        y[q] = s0
        y[q + ys] = s1
        y[q + 2 * ys] = s2
        y[q + 3 * ys] = s3
        y[q + 4 * ys] = s4
        y[q + 5 * ys] = s5
        y[q + 6 * ys] = s6
        y[q + 7 * ys] = s7
    done = SEGMENTS * m
    scan_short(x, y, x_at + done * x_step, y_at + done * y_step, n - done, x_step, y_step, s7)


def scan_columns(args, meta, begin, end):
    """A task is a block of columns.  meta: tasks, units, length, its stride in x and in y; columns,
    their stride in x and y; axes outside, and their numbers as in scan_rows."""
    x, y, totals = args
    tasks, units, n, x_step, y_step = meta[0], meta[1], meta[2], meta[3], meta[4]
    columns, x_column, y_column, n_axes = meta[5], meta[6], meta[7], meta[8]
    blocks = (columns + COLUMNS - 1) // COLUMNS
    for unit in range(begin, end):
        sums = unit * COLUMNS
        for task in range(unit * tasks // units, (unit + 1) * tasks // units):
            rest = task // blocks
            first = (task - rest * blocks) * COLUMNS
            width = min(COLUMNS, columns - first)
            x_at, y_at = first * x_column, first * y_column
            for axis in range(n_axes - 1, -1, -1):
                length = meta[9 + 3 * axis]
                i = rest % length
                rest = rest // length
                x_at += i * meta[10 + 3 * axis]
                y_at += i * meta[11 + 3 * axis]
            for j in range(width):
                totals[sums + j] = 0
            for i in range(n):
                p, q = x_at + i * x_step, y_at + i * y_step
                for j in range(width):
                    total = totals[sums + j] + wide(x[p + j * x_column])
                    totals[sums + j] = total
                    y[q + j * y_column] = total


def reads(operand: Operand) -> bool:
    """Any strides will do."""
    return True


def never(operands, result, axis):
    """On the CPU `evaluate` does it."""
    return None


def device_work(operands, result, axis):
    """Lines on a GPU."""
    return Work("", (), 1, 0.0) if operands[0].shape else None


def cumsum_work(operands, result, axis):
    """cumsum along one axis."""
    (x,) = operands
    if not x.shape:
        return None
    axes = list(zip(x.shape, x.strides, result.strides, strict=True))
    n, x_step, y_step = axes.pop(axis)
    size = math.prod(x.shape)
    if axis == len(x.shape) - 1:
        outside = [number for along in axes for number in along]
        meta = (n, x_step, y_step, len(axes), *outside)
        return Work(scan_rows, meta, size // n, size * 0.8 + size // n * 10)
    columns, x_column, y_column = axes.pop()
    outside = [number for along in axes for number in along]
    tasks = size // n // columns * -(-columns // COLUMNS)
    units = min(tasks, TASKS_AT_ONCE)
    meta = (tasks, units, n, x_step, y_step, columns, x_column, y_column, len(axes), *outside)
    kept = "f64" if result.dtype.is_floating_point else "i64"
    return Work(scan_columns, meta, units, size * 0.6, ((kept, units * COLUMNS),))
