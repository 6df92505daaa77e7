"""Where the first largest or smallest element is, along one axis or of all.

Memory is seen as (outer, axis, inner).  A NaN is beyond all others, and the first one is found.
"""

from __future__ import annotations

import math

from tapejit.registry import Loop, Work

SHORT = 2048
"""Elements up to which these search: each waits for the one before, which takes 2 ns.  NumPy takes
0.2 ns for those of a long row, but 3 us and more for the way out of a native call."""

# ---------------------------------------------------------------- loops


def argmax(args, meta, begin, end):
    x, y = args
    first_extremes(x, y, meta, begin, end, 1)


def argmin(args, meta, begin, end):
    x, y = args
    first_extremes(x, y, meta, begin, end, 0)


def first_extremes(x, y, meta, begin, end, is_max):
    """A unit is an element of the result."""
    n, inner = meta[0], meta[1]
    for unit in range(begin, end):
        first = unit // inner * n * inner + unit % inner
        best, place = x[first], 0
        for i in range(1, n):
            value = x[first + i * inner]
            is_beyond = value > best if is_max else value < best
            is_better = is_beyond | ((value != value) & (best == best))
            best = value if is_better else best
            place = i if is_better else place
        y[unit] = place


# ---------------------------------------------------------------- their work


def _work(run, x, axes):
    if not x.shape:
        return None
    size = math.prod(x.shape)
    n, inner = size, 1
    if len(axes) == 1:
        n, inner = x.shape[axes[0]], math.prod(x.shape[axes[0] + 1 :])
    return Work(run, (n, inner), size // n, size * 2.0)


def argmax_work(operands, result, axes, keepdim):
    """argmax"""
    return _work(argmax, operands[0], axes)


def argmin_work(operands, result, axes, keepdim):
    """argmin"""
    return _work(argmin, operands[0], axes)


def loop(work) -> Loop:
    """These where there are few elements, and for all where there is no NumPy."""

    def short(operands, result, **attrs):
        is_short = math.prod(operands[0].shape) <= SHORT
        return work(operands, result, **attrs) if is_short else None

    return Loop(short, alone=work)
