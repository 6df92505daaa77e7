"""Stable sorting along an axis, by merging; for short rows, and for code that stands alone.

Memory is seen as (outer, axis, inner), and a unit is one row.  A NaN comes behind all numbers, or
before them in descending order, and equal elements keep their order, as in NumPy.
"""

from __future__ import annotations

import math

from tapejit.registry import Loop, Work

SHORT = 64
"""Elements of a row up to which these sort: NumPy takes 3 us for the way out of a native call."""


def argsort(args, meta, begin, end):
    """The places of the elements in order."""
    x, y, spare = args
    n, inner, is_descending = meta[0], meta[1], meta[2]
    for unit in range(begin, end):
        first = order(x, unit, n, inner, spare, is_descending)
        for i in range(n):
            y[first + i * inner] = spare[2 * unit * n + i]


def sort(args, meta, begin, end):
    """The elements in order."""
    x, y, spare = args
    n, inner, is_descending = meta[0], meta[1], meta[2]
    for unit in range(begin, end):
        first = order(x, unit, n, inner, spare, is_descending)
        for i in range(n):
            y[first + i * inner] = x[first + spare[2 * unit * n + i] * inner]


def argkth(args, meta, begin, end):
    """The place of the k-th element in order."""
    x, y, spare = args
    n, inner, k = meta[0], meta[1], meta[2]
    for unit in range(begin, end):
        order(x, unit, n, inner, spare, 0)
        y[unit] = spare[2 * unit * n + k]


def order(x, unit, n, inner, spare, is_descending):
    """A row's places in order at spare[2 unit n], by merging runs of 1, 2, 4... through the n words
    behind; where the row begins in x.
    """
    first, at = unit // inner * n * inner + unit % inner, 2 * unit * n
    for i in range(n):
        spare[at + i] = i
    width = 1
    while width < n:
        for left in range(0, n, 2 * width):
            middle = min(left + width, n)
            merge(x, first, inner, spare, at, left, middle, min(left + 2 * width, n), n,
                  is_descending)  # fmt: skip
        for i in range(n):
            spare[at + i] = spare[at + n + i]
        width = 2 * width
    return first


def merge(x, first, inner, spare, at, left, middle, right, n, is_descending):
    """Two runs as one, n words further on."""
    i, j = left, middle
    for to in range(left, right):
        from_second = 0
        if i == middle:
            from_second = 1
        elif j < right:
            a = x[first + spare[at + i] * inner]
            b = x[first + spare[at + j] * inner]
            if is_descending:
                from_second = (b > a) | ((b != b) & (a == a))
            else:
                from_second = (b < a) | ((a != a) & (b == b))
        if from_second:
            spare[at + n + to] = spare[at + j]
            j += 1
        else:
            spare[at + n + to] = spare[at + i]
            i += 1
    return 0


# ---------------------------------------------------------------- their work


def _work(run, x, axis, last):
    if not x.shape:
        return None
    n, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    units = math.prod(x.shape) // n
    ns = 4.0 * units * n * max(n.bit_length(), 1)
    return Work(run, (n, inner, int(last)), units, ns, (("i64", 2 * units * n),))


def argsort_work(operands, result, axis, descending):
    """argsort"""
    return _work(argsort, operands[0], axis, descending)


def sort_work(operands, result, axis, descending):
    """sort"""
    return _work(sort, operands[0], axis, descending)


def argkth_work(operands, result, axis, k):
    """argkth"""
    return _work(argkth, operands[0], axis, k)


def loop(work) -> Loop:
    """These for rows so short that NumPy takes longer, and for all where there is no NumPy."""

    def short(operands, result, axis, **attrs):
        shape = operands[0].shape
        is_short = bool(shape) and shape[axis] <= SHORT
        return work(operands, result, axis, **attrs) if is_short else None

    return Loop(short, alone=work)
