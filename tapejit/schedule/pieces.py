"""Rows that are written in pieces: unslice, cat, replace, and reshapes that need a copy.

Each piece is a part of the row's memory that one kernel fills, with an operand or with zeros.
Pieces are disjoint, so their kernels need no order among them; a piece with `is_late` overwrites
others and comes after them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tapejit.registry import Kind
from tapejit.schedule.views import contiguous, view_of

FILL_BELOW = 4096
"""Elements up to which an unslice fills all of its memory with zeros: one kernel does it for all
rows of a shape, where margins of many lengths would each need their own."""


class Piece(NamedTuple):
    """A part of a row's memory and what goes there."""

    source: int | None
    """Which operand; None: zeros."""
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    is_late: bool = False


def pieces_of(kind: Kind, shapes: list[tuple[int, ...]]) -> list[Piece] | None:
    """The pieces of a row whose operands have these shapes; None if it is not such a row."""
    name, whole = kind.op.name, kind.aval.shape
    strides = contiguous(whole)
    if name == "cat":
        (axis,) = kind.attrs
        pieces, start = [], 0
        for number, shape in enumerate(shapes):
            pieces.append(Piece(number, shape, start * strides[axis], strides))
            start += shape[axis]
        return pieces
    if name == "unslice":
        _, starts, steps = kind.attrs
        window = _window(0, shapes[0], whole, starts, steps)
        return [*_margins(shapes[0], whole, starts, steps), window]
    if name == "replace":
        starts, steps = kind.attrs
        window = _window(1, shapes[1], whole, starts, steps)
        return [Piece(0, whole, 0, strides), window._replace(is_late=True)]
    return None


def _window(source, shape, whole, starts, steps):
    place = view_of("slice", (starts, shape, steps), whole, (0, contiguous(whole)), shape)
    assert place is not None
    return Piece(source, shape, *place, _fills(whole, steps))


def _fills(whole, steps):
    return math.prod(whole) <= FILL_BELOW or any(abs(step) != 1 for step in steps)


def _margins(shape, whole, starts, steps):
    """Zeros around a window: slabs, axis by axis; all of the memory if it is small or strided."""
    strides = contiguous(whole)
    if _fills(whole, steps):
        return [Piece(None, whole, 0, strides)]
    pieces, begin, lengths = [], 0, list(whole)
    for axis, (start, n, step) in enumerate(zip(starts, shape, steps, strict=True)):
        first = start if step > 0 else start - (n - 1)
        for at, length in ((0, first), (first + n, whole[axis] - first - n)):
            if length:
                slab = (*lengths[:axis], length, *lengths[axis + 1 :])
                pieces.append(Piece(None, slab, begin + at * strides[axis], strides))
        begin += first * strides[axis]
        lengths[axis] = n
    return pieces
