"""Functions of one or two numbers that are too long for a value text: loops over their elements.

A unit is an element of the result; operands broadcast, and are read as they lie.  Start at
`of_elements`; what is made so is in zeta.py, incomplete_gamma.py and beta.py.
"""

from __future__ import annotations

import math

from tapejit.registry import Loop, Operand, Work


def place(meta, unit, k):
    """Where operand k has its number for an element of the result; meta[1:] is `_axes`."""
    at, rest = 0, unit
    for axis in range(meta[1]):
        length = meta[2 + 3 * axis]
        at += rest % length * meta[3 + 3 * axis + k]
        rest = rest // length
    return at


def of_elements(run, ns: float, orders: bool = False) -> Loop:
    """A loop over the elements of operands that broadcast.

    ns      of an element
    orders  whether an attribute, the order, is what it is told, and not `most`
    """

    def work(operands: tuple[Operand, ...], result: Operand, n: int = 0) -> Work:
        most = 200 if result.dtype.kernel == "f64" else 30
        size = math.prod(result.shape)
        meta = (n if orders else most, *_axes(operands, result.shape))
        return Work(run, meta, size, size * ns)

    return Loop(work, reads=lambda operand: True)


def _axes(operands, shape):
    """How many axes, then from the last on: length, and the stride of both operands (0 for one)."""
    strides = [_strides(operand, shape) for operand in (*operands, operands[0])[:2]]
    axes: list[list[int]] = []
    for n, *steps in zip(shape, *strides, strict=True):
        if axes and all(a == b * n for a, b in zip(axes[-1][1:], steps, strict=True)):
            axes[-1] = [axes[-1][0] * n, *steps]
        elif n != 1:
            axes.append([n, *steps])
    return len(axes), *(number for axis in reversed(axes) for number in axis)


def _strides(operand, shape):
    """In elements, of all axes of what it broadcasts to."""
    missing = len(shape) - len(operand.shape)
    own = zip(operand.shape, operand.strides, strict=True)
    return [0] * missing + [0 if n == 1 else stride for n, stride in own]
