"""Rows that are written in pieces: unslice, cat, replace, and reshapes that need a copy.

A sum of unslices whose windows are disjoint, as the gradient of a function of x[0], x[1], ... has
it, is one such row too: nothing is added (`find_sums`).

Each piece is a part of the row's memory that one kernel fills, with an operand or with zeros.
Pieces are disjoint, so their kernels need no order among them; a piece with `is_late` overwrites
others and comes after them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapejit.ops.strided import overlapping_axes, place_of
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
    if name == "unstrided" or name == "put_strided":
        starts, steps = kind.attrs[-2:]
        shape, offset, strides_there = shapes[-1], *place_of(starts, steps, strides)
        if overlapping_axes(shape, strides_there):
            return None
        beneath = Piece(0 if name == "put_strided" else None, whole, 0, strides)
        return [beneath, Piece(len(shapes) - 1, shape, offset, strides_there, True)]
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


# ---------------------------------------------------------------- sums of unslices


def find_sums(
    kinds: list[Kind], operands: list[tuple[int, ...]], needed: bytearray, outputs: frozenset
) -> dict[int, list[int]]:
    """Rows that are sums of two unslices or more with disjoint windows: the unslices of each.

    Every row between, and every unslice, has no other reader.
    """
    is_unslice = {row for row, kind in enumerate(kinds) if kind.op.name == "unslice"}
    if len(is_unslice) < 2:
        return {}
    readers = [int(row in outputs) for row in range(len(kinds))]
    for row, flag in enumerate(needed):
        if flag:
            for x in operands[row]:
                readers[x] += 1
    trees: dict[int, list[int]] = {}
    for row, kind in enumerate(kinds):
        if not needed[row]:
            continue
        if row in is_unslice:
            if kind.aval.dtype.kernel and kinds[operands[row][0]].aval.size:
                trees[row] = [row]
        elif kind.op.name == "add":
            x, y = operands[row]
            if x in trees and y in trees and readers[x] == readers[y] == 1 and x != y:
                trees[row] = trees.pop(x) + trees.pop(y)
    return {
        row: leaves
        for row, leaves in trees.items()
        if len(leaves) > 1 and _are_disjoint([(kinds[x], kinds[operands[x][0]]) for x in leaves])
    }


def rows_inside(row: int, leaves: list[int], operands: list[tuple[int, ...]]) -> list[int]:
    """The rows of a sum that need no value of their own: its unslices and the sums between."""
    inside, stack, ends = [], list(operands[row]), frozenset(leaves)
    while stack:
        x = stack.pop()
        inside.append(x)
        if x not in ends:
            stack += operands[x]
    return inside


def _are_disjoint(windows):
    """Whether no element lies in two of the windows, given as (unslice, its operand)."""
    whole = windows[0][0].aval
    if any(kind.aval is not whole for kind, _ in windows):
        return False
    if sum(part.aval.size for _, part in windows) > whole.size:
        return False
    taken = np.zeros(whole.shape, np.bool_)
    for kind, part in windows:
        _, starts, steps = kind.attrs
        index = []
        for start, n, step in zip(starts, part.aval.shape, steps, strict=True):
            low, high = sorted((start, start + (n - 1) * step))
            index.append(slice(low, high + 1, abs(step)))
        window = taken[tuple(index)]
        if window.any():
            return False
        window[...] = True
    return True


def pieces_of_sum(kinds: list[Kind], parts: list[Kind]) -> list[Piece]:
    """The pieces of a sum of unslices with operands `parts`; no zeros if they fill it."""
    whole = kinds[0].aval
    is_full = sum(part.aval.size for part in parts) == whole.size
    pieces = [] if is_full else [Piece(None, whole.shape, 0, contiguous(whole.shape))]
    for number, (kind, part) in enumerate(zip(kinds, parts, strict=True)):
        _, starts, steps = kind.attrs
        window = _window(number, part.aval.shape, whole.shape, starts, steps)
        pieces.append(window._replace(is_late=not is_full))
    return pieces
