"""Arrays of short vectors as a few long arrays: a row of shape (p, 3) becomes three of shape (p,).

Derivatives of vector components are sparse, too: the tangent of (p, 3) by the first component is
mostly zeros, that of three rows is one row and nothing.  And loops over 3 elements are no loops for
vector instructions.  So elementwise work on short last axes is written component by component,
with sums along them as additions, and slices and joins of them as a choice of rows; what has no
such form reads the components joined again.  A second pass takes the next axis (small matrices).

Start at `without_short_axes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tapejit.build import Builder, Ref
from tapejit.ops.movement import cat, expand, flip, permute, reshape, slice_
from tapejit.ops.reductions import sum_
from tapejit.registry import OPS, Kind
from tapejit.shapes import Aval, aval
from tapejit.tape import Program, needed_rows

SHORT = 4
"""Components of a short axis, at most."""

LONG = 32
"""Elements of a component, at least."""

PASSES = 3
"""Axes of one array that are taken apart: (p, 3, 3) needs two."""
MOST_ROWS = 4096
"""Longer tapes stay as they are."""


def without_short_axes(program: Program, rows: Sequence[int]) -> tuple[Program, list[int]]:
    """The program without work on short last axes where that can be, and where `rows` are then.

    Inputs and outputs keep their shapes and order.
    """
    rows = list(rows)
    for _ in range(PASSES):
        if len(program.tape) > MOST_ROWS:
            break
        split = _Split(program, [*program.outputs, *rows])
        if not split.has_changed:
            break
        program, rows = split.program(), [split.whole(row).row for row in rows]
    return program, rows


def _is_short(value: Aval) -> bool:
    return value.ndim > 1 and 0 < value.shape[-1] <= SHORT and math.prod(value.shape[:-1]) >= LONG


class _Split:
    """A program written anew: rows as they are, as components, or as both."""

    def __init__(self, program: Program, outputs: Sequence[int]):
        self.old, self.tape = program, program.tape
        self.builder = Builder()
        self.wholes: dict[int, Ref] = {}
        self.components: dict[int, list[Ref]] = {}
        self.has_changed = False
        for row in program.inputs:
            self.wholes[row] = self.builder.input(self.tape.kind(row).aval)
        needed = needed_rows(self.tape, outputs)
        for row in range(len(self.tape)):
            if needed[row] and row not in self.wholes:
                self.write(row)

    def write(self, row: int) -> None:
        """One row, in components if there is a rule."""
        kind, operands = self.tape.kind(row), self.tape.operands(row)
        rule = RULES.get(kind.op.name) or RULES.get(kind.op.family)
        found: Any = rule(self, kind, operands) if rule is not None else None
        if found.__class__ is list:
            self.components[row] = found
            self.has_changed |= kind.aval.shape[-1] > 1
        elif found is not None:
            self.wholes[row] = found
        else:
            refs = [self.whole(x) for x in operands]
            number = self.builder.add(kind, tuple([x.row for x in refs]))
            self.wholes[row] = Ref(self.builder, number, kind.aval)

    def program(self) -> Program:
        """What was written."""
        outputs = [self.whole(row).row for row in self.old.outputs]
        return Program(self.builder.tape, [self.wholes[r].row for r in self.old.inputs], outputs)

    # ------------------------------------------------------------ both forms of a row

    def is_split(self, row: int) -> bool:
        """Whether a row is there in components."""
        return row in self.components

    def aval(self, row: int) -> Aval:
        """Shape and dtype of a row as a whole."""
        return self.tape.kind(row).aval

    def whole(self, row: int) -> Ref:
        """A row as it was."""
        if row not in self.wholes:
            shape = self.aval(row).shape
            columns = [reshape(x, shape=(*shape[:-1], 1)) for x in self.components[row]]
            self.wholes[row] = (
                columns[0] if len(columns) == 1 else cat(*columns, axis=len(shape) - 1)
            )
        return self.wholes[row]

    def parts(self, row: int) -> list[Ref]:
        """The components of a row along its last axis."""
        if row not in self.components:
            self.components[row] = _components(self.whole(row))
        return self.components[row]

    def part(self, row: int, i: int) -> Ref:
        """Component i of a row that is broadcast along the axis; a number has none."""
        shape = self.aval(row).shape
        return self.parts(row)[0 if shape[-1] == 1 else i] if shape else self.whole(row)


def _components(x: Ref) -> list[Ref]:
    shape = x.shape[:-1]
    kind = x.builder.tape.kind(x.row)
    if kind.op.name == "literal":
        return [x.builder.literal(kind.attrs[0], aval(shape, x.dtype))] * x.shape[-1]
    starts, steps = (0,) * len(shape), (1,) * x.ndim
    return [
        reshape(slice_(x, starts=(*starts, i), lengths=(*shape, 1), steps=steps), shape=shape)
        for i in range(x.shape[-1])
    ]


# ---------------------------------------------------------------- rules
#
# A rule gives the components of a row, the row where it has lost the axis, or None.


def _elementwise(split: _Split, kind: Kind, operands):
    if not _is_short(kind.aval):
        return None
    *shape, n = kind.aval.shape
    emit = split.builder.emit
    found = [emit(kind.op, [split.part(x, i) for x in operands], kind.attrs) for i in range(n)]
    return [_expanded(x, tuple(shape)) for x in found]


def _expanded(x: Ref, shape) -> Ref:
    return x if x.shape == shape else expand(x, shape=shape)


def _sum(split: _Split, kind: Kind, operands):
    """Components are added, and summed along the other axes."""
    axes, keepdim = kind.attrs
    (x,) = operands
    last = split.aval(x).ndim - 1
    if last not in axes or not split.is_split(x) or not kind.aval.dtype.is_inexact:
        return None
    total: Any = None
    for part in split.parts(x):
        total = part if total is None else total + part
    rest = tuple(a for a in axes if a != last)
    total = sum_(total, axes=rest, keepdim=keepdim) if rest else total
    return [total] if keepdim else total


def _slice(split: _Split, kind: Kind, operands):
    (x,) = operands
    starts, lengths, steps = kind.attrs
    if not split.is_split(x) or not lengths[-1]:
        return None
    chosen = [split.parts(x)[starts[-1] + i * steps[-1]] for i in range(lengths[-1])]
    return [slice_(p, starts=starts[:-1], lengths=lengths[:-1], steps=steps[:-1]) for p in chosen]


def _reshape(split: _Split, kind: Kind, operands):
    (x,) = operands
    before, after = split.aval(x).shape, kind.aval.shape
    if split.is_split(x) and after[-1:] == before[-1:]:
        return [reshape(part, shape=after[:-1]) for part in split.parts(x)]
    if split.is_split(x) and before[-1] == 1:
        return reshape(split.parts(x)[0], shape=after)
    if after[-1:] == (1,) and _is_short(kind.aval):
        return [reshape(split.whole(x), shape=after[:-1])]
    return None


def _expand(split: _Split, kind: Kind, operands):
    if not _is_short(kind.aval):
        return None
    *shape, n = kind.aval.shape
    return [_expanded(split.part(operands[0], i), tuple(shape)) for i in range(n)]


def _cat(split: _Split, kind: Kind, operands):
    (axis,) = kind.attrs
    if not _is_short(kind.aval):
        return None
    if axis == kind.aval.ndim - 1:
        return [part for x in operands for part in split.parts(x)]
    columns = zip(*(split.parts(x) for x in operands), strict=True)
    return [cat(*column, axis=axis) for column in columns]


def _permute(split: _Split, kind: Kind, operands):
    (axes,) = kind.attrs
    if not split.is_split(operands[0]) or axes[-1] != len(axes) - 1:
        return None
    return [permute(part, axes=axes[:-1]) for part in split.parts(operands[0])]


def _flip(split: _Split, kind: Kind, operands):
    (axes,) = kind.attrs
    if not split.is_split(operands[0]):
        return None
    last = kind.aval.ndim - 1
    others = tuple(a for a in axes if a != last)
    parts = [flip(x, axes=others) if others else x for x in split.parts(operands[0])]
    return parts[::-1] if last in axes else parts


def _matmul(split: _Split, kind: Kind, operands):
    """Products of many small matrices, (..., m, k) @ (..., k, n), column by column."""
    x, v = (split.aval(row).shape for row in operands)
    if not _is_short(kind.aval) or min(len(x), len(v)) < 3 or max(*x[-2:], v[-1]) > SHORT:
        return None
    found = []
    for column in split.parts(operands[1]):
        total: Any = None
        for left, right in zip(split.parts(operands[0]), _components(column), strict=True):
            product: Any = left.emit(OPS["mul"], (left, reshape(right, shape=(*right.shape, 1))))
            total = product if total is None else total + product
        found.append(total)
    return found


RULES: dict[str, Callable] = {
    **dict.fromkeys(("elementwise", "cast", "copy"), _elementwise),
    "sum": _sum,
    "slice": _slice,
    "reshape": _reshape,
    "expand": _expand,
    "cat": _cat,
    "permute": _permute,
    "flip": _flip,
    "matmul": _matmul,
}
"""By operation or family."""
