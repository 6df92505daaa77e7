"""Where the largest element of each window is.

Shapes are seen as (planes, depth, height, width), missing axes as one element in one window.  A
unit is one line of the result along its last axis.
"""

from __future__ import annotations

import math

from tapejit.registry import Work

NS = 1.5
"""Of one comparison, about."""


def first_place(window, n, windows, kernel, stride, padding, dilation):
    """Where a window begins inside the axis.  A kernel of 0: equal parts (adaptive)."""
    if kernel == 0:
        return window * n // windows
    start = window * stride - padding
    if start < 0:
        start += (-start + dilation - 1) // dilation * dilation
    return start


def behind_last(window, n, windows, kernel, stride, padding, dilation):
    """Where it ends."""
    if kernel == 0:
        return ((window + 1) * n + windows - 1) // windows
    return min(window * stride - padding + (kernel - 1) * dilation + 1, n)


def largest(args, meta, begin, end):
    """meta: per axis the elements, windows, kernel, stride, padding, dilation."""
    x, y = args
    n0, t0, k0, s0, p0, d0 = meta[0], meta[1], meta[2], meta[3], meta[4], meta[5]
    n1, t1, k1, s1, p1, d1 = meta[6], meta[7], meta[8], meta[9], meta[10], meta[11]
    n2, t2, k2, s2, p2, d2 = meta[12], meta[13], meta[14], meta[15], meta[16], meta[17]
    for unit in range(begin, end):
        w1 = unit % t1
        w0 = unit // t1 % t0
        plane = unit // t1 // t0 * n0 * n1 * n2
        a0 = first_place(w0, n0, t0, k0, s0, p0, d0)
        a1 = first_place(w1, n1, t1, k1, s1, p1, d1)
        b0 = behind_last(w0, n0, t0, k0, s0, p0, d0)
        b1 = behind_last(w1, n1, t1, k1, s1, p1, d1)
        for w2 in range(t2):
            a2 = first_place(w2, n2, t2, k2, s2, p2, d2)
            b2 = behind_last(w2, n2, t2, k2, s2, p2, d2)
            y[unit * t2 + w2] = place_of_largest(
                x, plane, n1, n2, a0, b0, d0, a1, b1, d1, a2, b2, d2
            )


def place_of_largest(x, plane, n1, n2, a0, b0, d0, a1, b1, d1, a2, b2, d2):
    """Inside its plane; each axis from a up to b, d apart."""
    found = (a0 * n1 + a1) * n2 + a2
    best = x[plane + found]
    i = a0  # `while`: a range with a step divides to know its length
    while i < b0:
        j = a1
        while j < b1:
            line = (i * n1 + j) * n2
            k = a2
            while k < b2:
                value = x[plane + line + k]
                is_better = (value > best) | ((value != value) & (best == best))
                best = value if is_better else best  # selected, not branched to
                found = line + k if is_better else found
                k += d2
            j += d1
        i += d0
    return found


def max_pool_work(operands, result, lengths, kernel, stride, padding, dilation):
    """max_pool_index"""
    (x,) = operands
    spatial = x.shape[len(x.shape) - len(lengths) :]
    axes = list(zip(spatial, lengths, kernel, stride, padding, dilation, strict=True))
    return _work(x, lengths, axes, math.prod(kernel))


def adaptive_work(operands, result, lengths):
    """adaptive_max_index"""
    (x,) = operands
    spatial = x.shape[len(x.shape) - len(lengths) :]
    axes = [(n, t, 0, 1, 0, 1) for n, t in zip(spatial, lengths, strict=True)]
    return _work(x, lengths, axes, math.prod(n // t + 1 for n, t, *_ in axes))


def _work(x, lengths, axes, reads):
    """The loop over three axes; there are never more."""
    axes = [(1, 1, 1, 1, 0, 1)] * (3 - len(axes)) + axes
    planes = math.prod(x.shape[: len(x.shape) - len(lengths)])
    units = planes * axes[0][1] * axes[1][1]
    meta = tuple(number for axis in axes for number in axis)
    return Work(largest, meta, units, NS * units * lengths[-1] * reads)
