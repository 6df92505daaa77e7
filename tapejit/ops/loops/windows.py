"""Adding windows up where they overlap: the transpose of a strided view.

A unit is a block of the result that other units do not touch: one place of the leading axes that
the view leaves alone (batch and channels of an image).  In a block, lines along the operand's last
axis are added in their order.
"""

from __future__ import annotations

import itertools
import math

from tapejit.ops.loops.scans import reads
from tapejit.registry import Work

__all__ = ["add_work", "reads"]


def add_lines(args, meta, begin, end):
    """meta: elements of a block, where the window begins in it, lines; a line's length and its
    steps in x and in y; leading axes and other axes; of leading axes length and stride in x; of
    others length and strides in x and y."""
    x, y = args
    block, offset, lines, n, x_step, y_step = meta[0], meta[1], meta[2], meta[3], meta[4], meta[5]
    n_lead, n_axes = meta[6], meta[7]
    inner = 8 + 2 * n_lead
    for unit in range(begin, end):
        x_first, rest = 0, unit
        for axis in range(n_lead - 1, -1, -1):
            length = meta[8 + 2 * axis]
            x_first += rest % length * meta[9 + 2 * axis]
            rest = rest // length
        first = unit * block
        for j in range(first, first + block):
            y[j] = 0
        for line in range(lines):
            p, q, rest = x_first, first + offset, line
            for axis in range(n_axes - 1, -1, -1):
                length = meta[inner + 3 * axis]
                i = rest % length
                rest = rest // length
                p += i * meta[inner + 1 + 3 * axis]
                q += i * meta[inner + 2 + 3 * axis]
            if x_step == 1 and y_step == 1:
                for j in range(n):
                    y[q + j] += x[p + j]
            else:
                for j in range(n):
                    y[q + j * y_step] += x[p + j * x_step]


def _n_lead(x, shape, starts, steps):
    """How many leading axes of operand and result are the same."""
    n = 0
    for axis, (length, start, row) in enumerate(zip(shape, starts, steps, strict=True)):
        is_same = axis < len(x.shape) - 1 and x.shape[axis] == length and not start
        if not is_same or row != tuple(int(i == axis) for i in range(len(x.shape))):
            break
        if any(other[axis] for other in steps[axis + 1 :]):
            break
        n += 1
    return n


def add_work(operands, result, shape, starts, steps):
    """unstrided"""
    (x,) = operands
    if not x.shape or result.dtype.kernel == "bool":
        return None
    n_lead = _n_lead(x, shape, starts, steps)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    y_strides = [
        sum(row[axis] * stride for row, stride in zip(steps, strides, strict=True))
        for axis in range(len(x.shape))
    ]
    axes = list(zip(x.shape, x.strides, y_strides, strict=True))
    lead, (*others, last) = axes[:n_lead], axes[n_lead:]
    units, block = math.prod(shape[:n_lead]), math.prod(shape[n_lead:])
    offset = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    lines = math.prod(length for length, _, _ in others)
    numbers = itertools.chain(
        (number for length, x_stride, _ in lead for number in (length, x_stride)),
        (number for axis in others for number in axis),
    )
    meta = (block, offset, lines, *last, len(lead), len(others), *numbers)
    ns = units * (0.1 * block + lines * (6 + 3 * len(others) + 0.6 * last[0]))
    return Work(add_lines, meta, units, ns)
