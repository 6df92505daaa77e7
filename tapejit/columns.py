"""Derivatives of many small samples as straight-line code: arrays of samples, element by element.

A Jacobian of each of 1000 samples works on rows of shape (1000, 10, 9): 10 seeds, 9 elements.
Loops over 9 elements are no loops for vector instructions, and most of the 90 are zeros, because
seeds are unit vectors.  Here such a row becomes its 90 *columns*, of shape (1000,): a column that
is zero for every sample is not computed, a movement of elements is one of columns (NumPy does it,
on an array of them) and costs nothing, and all columns of a program share one loop whose lanes are
samples.  At the end they are joined again, in blocks of registers (codegen/loop_columns.py).

    whole     a row as it was
    columns   an object array of its columns in the shape of one sample: each a Ref of shape
              (samples,), or () where samples share it, or ZERO

Zeros are those of unit vectors and what is linear in them, up to a `derivative` row: the
structural zeros of a Jacobian, 0 also where the others overflow.  Other zeros are numbers.

What has no rule reads whole rows, joined for it.  Programs that would become too long, and those
without an axis of samples, keep their rows; unit vectors are comparisons of indices then.

Start at `without_seeds`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.build import Builder, Ref
from tapejit.dtypes import DType
from tapejit.ops.comparison import eq
from tapejit.ops.copies import cast
from tapejit.ops.movement import cat, expand, iota, reshape, slice_
from tapejit.ops.seeds import derivative, unit_vectors
from tapejit.registry import KINDS, OPS, Kind, Op
from tapejit.shapes import CPU, Aval, Shape, aval
from tapejit.tape import Program, dependent_rows, needed_rows

# ---------------------------------------------------------------- data

MOST_COLUMNS = 1024
"""Elements that a row has in one sample, at most: a Hessian of 32 variables."""

MOST_ROWS = 5000
"""Rows of the result, at most: each takes 0.05 ms to compile."""

MOST_TERMS = 128
"""Elements of a matrix that samples share and are multiplied by, at most: from there on BLAS is
faster (8 x 32: 86 us where the terms took 133).  With matrices of their own: four times that."""

MOST_ELEMENTS = 30_000
"""Elements of one sample in all rows, zeros too: where there are more, nothing is tried."""

LONGEST = 64
"""Elements along an axis, at most: a loop over 100 is a loop, and as fast."""

FEWEST_SAMPLES = 4


class _Zero:
    """The column that is zero for every sample, because nothing depends on its seed."""

    def __repr__(self):
        return "ZERO"


ZERO: Any = _Zero()


class Columns(NamedTuple):
    """A row, element by element."""

    parts: np.ndarray
    """Of Refs and ZEROs, in the shape of one sample."""
    has_samples: bool
    """Whether the row has an axis of samples, its first."""
    is_merged: bool = False
    """Whether that axis is joined with the first of `parts`: (n, 3, 2) as (3 n, 2)."""


class Unsuited(Exception):
    """The program has no columns, or too many."""


# ---------------------------------------------------------------- the pass


def has_seeds(program: Program) -> bool:
    """Whether there is something to do."""
    return any(KINDS[number].op in (unit_vectors, derivative) for number in set(program.tape.kinds))


def without_seeds(program: Program) -> Program:
    """The program with unit vectors followed column by column, or written as indices."""
    size = _samples_of(program)
    if size:
        try:
            return _Split(program, size).run()
        except Unsuited:
            pass
    return _with_indices(program)


def _with_indices(program):
    """Unit vectors as comparisons of indices, which kernels compute in registers."""
    tape, builder, refs = program.tape, Builder(), []
    for row in range(len(tape)):
        kind, operands = tape.kind(row), [refs[x] for x in tape.operands(row)]
        if kind.op is unit_vectors:
            refs.append(_as_indices(operands[0], kind))
        elif kind.op is derivative:
            refs.append(operands[0])
        elif kind.op.family == "input":
            refs.append(builder.input(kind.aval))
        else:
            refs.append(builder.ref(builder.add(kind, tuple([x.row for x in operands]))))
    inputs, outputs = ([refs[x].row for x in rows] for rows in (program.inputs, program.outputs))
    return Program(builder.tape, inputs, outputs)


def _as_indices(like, kind):
    shape, start, dtype = kind.attrs
    flat = (shape[0], math.prod(shape[1:]))
    places, elements = (iota(like, shape=flat, axis=axis) for axis in (0, 1))
    return reshape(
        cast(eq(places, elements + start if start else elements), dtype=dtype), shape=shape
    )


def _samples_of(program) -> int:
    """How many samples the derivatives of the program are for; 0 if there is no axis of them."""
    tape = program.tape
    needed = needed_rows(tape, program.outputs)
    rows = [row for row in range(len(tape)) if needed[row]]
    units = [row for row in rows if tape.kind(row).op is unit_vectors]
    n_seeds = {tape.kind(row).aval.shape[0] for row in units}
    depends = dependent_rows(tape, units, len(tape))
    avals = [tape.kind(row).aval for row in rows if depends[row] and tape.kind(row).aval.ndim > 1]
    lengths = Counter(one.shape[0] for one in avals if one.shape[0] not in n_seeds)
    if not lengths or any(one.device != CPU or one.dtype.kernel is None for one in avals):
        return 0
    if any(tape.kind(row).op.family == "host" for row in rows):
        return 0
    size = lengths.most_common(1)[0][0]
    shapes = [one.shape[1:] for one in avals if one.shape[0] == size]
    widths = [math.prod(shape) for shape in shapes]
    is_small = sum(widths) <= MOST_ELEMENTS and max(widths) <= MOST_COLUMNS
    is_small = is_small and max(map(max, shapes)) <= LONGEST
    return size if is_small and size >= FEWEST_SAMPLES else 0


class _Split:
    """A program written anew: rows as they are, as columns, or as both."""

    def __init__(self, program: Program, size: int):
        self.old, self.tape, self.size = program, program.tape, size
        self.builder = Builder()
        self.wholes: dict[int, Ref] = {}
        self.columns: dict[int, Columns] = {}
        self.slices: dict[tuple[int, bool], np.ndarray] = {}
        units = [row for row in range(len(self.tape)) if self.kind(row).op is unit_vectors]
        self.depends = dependent_rows(self.tape, units, len(self.tape))

    def run(self) -> Program:
        """The new program; its inputs and outputs keep their shapes and order."""
        for row in self.old.inputs:
            self.wholes[row] = self.builder.input(self.kind(row).aval)
        needed = needed_rows(self.tape, self.old.outputs)
        for row in range(len(self.tape)):
            if needed[row] and row not in self.wholes:
                self.write(row)
                if len(self.builder.tape) > MOST_ROWS:
                    raise Unsuited(f"more than {MOST_ROWS} rows")
        outputs = [self.whole(row).row for row in self.old.outputs]
        return Program(self.builder.tape, [self.wholes[r].row for r in self.old.inputs], outputs)

    def write(self, row: int) -> None:
        """One row: in columns if it is of many samples or of seeds, and there is a rule."""
        kind, operands = self.kind(row), self.tape.operands(row)
        if self.depends[row] or kind.aval.shape[:1] == (self.size,):
            rule = RULES.get(kind.op.name) or RULES.get(kind.op.family)
            found = rule(self, kind, operands) if rule is not None else None
            if found is not None:
                self.columns[row] = found
                return
        refs = [self.whole(x) for x in operands]
        number = self.builder.add(kind, tuple([x.row for x in refs]))
        self.wholes[row] = Ref(self.builder, number, kind.aval)

    # ------------------------------------------------------------ both forms of a row

    def kind(self, row: int) -> Kind:
        """What a row is."""
        return self.tape.kind(row)

    def has_samples(self, row: int) -> bool:
        """Whether the first axis of a row counts samples."""
        known = self.columns.get(row)
        if known is not None:
            return known.has_samples and not known.is_merged
        return self.kind(row).aval.shape[:1] == (self.size,)

    def parts(self, row: int, has_samples: bool) -> np.ndarray:
        """The columns of a row, with or without an axis of samples."""
        known = self.columns.get(row)
        if known is not None and known.has_samples == has_samples and not known.is_merged:
            return known.parts
        found = self.slices.get((row, has_samples))
        if found is None:
            found = self.slices[row, has_samples] = self.sliced(row, has_samples)
        return found

    def sliced(self, row: int, has_samples: bool) -> np.ndarray:
        """The columns of a whole row: slices of it."""
        x, value = self.whole(row), self.kind(row).aval
        shape = value.shape[1:] if has_samples else value.shape
        if math.prod(shape) > MOST_COLUMNS:
            raise Unsuited(f"{math.prod(shape)} columns")
        kind = self.builder.tape.kind(x.row)
        if kind.op.name == "literal":
            number = self.builder.literal(kind.attrs[0], aval((), value.dtype))
            return _filled(shape, number)
        parts = _filled(shape, None)
        lead = (self.size,) if has_samples else ()
        for place in np.ndindex(*shape):
            starts, lengths = (*(0 for _ in lead), *place), (*lead, *(1 for _ in place))
            part = slice_(x, starts=starts, lengths=lengths, steps=(1,) * len(starts))
            parts[place] = reshape(part, shape=lead) if place else part
        return parts

    def whole(self, row: int) -> Ref:
        """A row as it was, joined if need be."""
        if row not in self.wholes:
            known, value = self.columns[row], self.kind(row).aval
            self.wholes[row] = self.joined(known, value)
        return self.wholes[row]

    def joined(self, known: Columns, value: Aval) -> Ref:
        """Columns beside each other."""
        n = self.size if known.has_samples else 1
        parts = [self.number(x, value.dtype) for x in known.parts.flat]
        first = parts[0]
        if all(x is first or x.row == first.row for x in parts) and not first.ndim:
            return self.expanded(first, value.shape)
        columns = [reshape(x, shape=(n, 1)) if x.ndim else self.expanded(x, (n, 1)) for x in parts]
        together = columns[0] if len(columns) == 1 else cat(*columns, axis=1)
        return together if together.shape == value.shape else reshape(together, shape=value.shape)

    def expanded(self, x: Ref, shape: Shape) -> Ref:
        """A number for every element."""
        return expand(x, shape=shape) if shape else x

    def number(self, x: Any, dtype: DType) -> Ref:
        """A column as a Ref."""
        return self.builder.literal(0, aval((), dtype)) if x is ZERO else x

    # ------------------------------------------------------------ one value of a column

    def emit(self, op: Op, columns: Sequence, avals: Sequence[Aval], attrs=()) -> Any:
        """An elementwise operation on a column of each operand."""
        if any(x is ZERO for x in columns):
            rule = ZEROS.get(op.name)
            found = rule(self, *columns) if rule is not None else None
            if found is not None:
                return found
            columns = [self.number(x, a.dtype) for x, a in zip(columns, avals, strict=True)]
        return self.builder.emit(op, columns, attrs)

    def fold(self, op: Op, columns: Iterable, one: Aval) -> Any:
        """The columns joined in pairs, and the results again: a tree."""
        columns = list(columns)
        while len(columns) > 1:
            pairs = itertools.zip_longest(columns[::2], columns[1::2])
            columns = [x if y is None else self.emit(op, (x, y), (one, one)) for x, y in pairs]
        return columns[0]


def _filled(shape, content) -> np.ndarray:
    parts = np.empty(shape, object)
    for place in np.ndindex(*shape):
        parts[place] = content
    return parts


# ---------------------------------------------------------------- zeros
#
# What a linear operation makes of ZERO operands, else None: they are numbers then.


def _either(split, x, y):
    return y if x is ZERO else x


def _difference(split, x, y):
    if y is ZERO:
        return x
    return split.builder.emit(OPS["neg"], (y,))


def _no_product(split, *columns):
    return ZERO


def _quotient(split, x, y):
    return ZERO if x is ZERO else None


def _choice(split, condition, x, y):
    return ZERO if x is ZERO and y is ZERO else None


ZEROS: dict[str, Callable] = {
    "add": _either,
    "sub": _difference,
    "mul": _no_product,
    "div": _quotient,
    "where": _choice,
    **dict.fromkeys(("neg", "cast", "clone", "detach", "real"), _no_product),
}

# ---------------------------------------------------------------- rules: values
#
# A rule gives the columns of a row, or None: it reads and makes whole rows.


def _elementwise(split: _Split, kind: Kind, operands):
    if kind.op.decompose is not None or not _is_fused(kind.op):
        return None
    has_samples, parts = _side_by_side(split, kind.aval.shape, operands)
    avals = [split.kind(x).aval for x in operands]
    found = np.empty(parts[0].shape, object)
    for place in np.ndindex(*found.shape):
        found[place] = split.emit(kind.op, [p[place] for p in parts], avals, kind.attrs)
    _check_dtype(found, kind)
    return Columns(found, has_samples)


def _is_fused(op):
    """Whether kernels compute it; what NumPy and SciPy do is done for all columns at once."""
    return op.expression is not None or op.name in ("cast", "linked")


def _side_by_side(split, shape, operands):
    """(whether there are samples, the columns of each operand broadcast to the same shape)."""
    n = len(shape)
    shapes = [split.kind(x).aval.shape for x in operands]
    flags = [
        0 < n == len(own) and own[0] != 1 and split.has_samples(x)
        for x, own in zip(operands, shapes, strict=True)
    ]
    has_samples, parts = any(flags), []
    for x, own, flag in zip(operands, shapes, flags, strict=True):
        found = split.parts(x, flag)
        if has_samples and not flag and len(own) == n:
            found = found[0]  # an axis of length 1 beside the samples
        parts.append(np.broadcast_to(found, shape[1:] if has_samples else shape))
    return has_samples, parts


def _check_dtype(parts, kind):
    """Raise where numbers beside arrays had made another dtype than numbers beside numbers do."""
    if any(x is not ZERO and x.dtype is not kind.aval.dtype for x in parts.flat):
        raise Unsuited(f"{kind.op.name} of numbers is not {kind.aval.dtype}")


def _same(split: _Split, kind: Kind, operands):
    return _columns_of(split, operands[0])


def _columns_of(split, row) -> Columns | None:
    """The columns of a row; None for a whole one without samples, which stays whole."""
    known = split.columns.get(row)
    if known is None and (split.has_samples(row) or split.depends[row]):
        has_samples = split.has_samples(row)
        known = Columns(split.parts(row, has_samples), has_samples)
    return known


def _finished(split: _Split, kind: Kind, operands):
    """Zeros are numbers from here on."""
    known = _columns_of(split, operands[0])
    if known is None:
        return None
    parts = _filled(known.parts.shape, None)
    for place in np.ndindex(*parts.shape):
        parts[place] = split.number(known.parts[place], kind.aval.dtype)
    return known._replace(parts=parts)


def _unit_vectors(split: _Split, kind: Kind, operands):
    shape, start, dtype = kind.attrs
    one = split.builder.literal(1, aval((), dtypes.named(dtype)))
    parts = _filled((shape[0], math.prod(shape[1:])), ZERO)
    for i in range(shape[0]):
        if 0 <= i - start < parts.shape[1]:
            parts[i, i - start] = one
    return Columns(parts.reshape(shape), False)


# ---------------------------------------------------------------- rules: along axes


def _own_axes(known: Columns, axes: Iterable[int]) -> tuple[int, ...]:
    """Axes of a row as those of its columns, which have none for samples."""
    return tuple(a - known.has_samples for a in axes if a or not known.has_samples)


def _reduction(split: _Split, kind: Kind, operands):
    join = JOINS.get(kind.op.name)
    if join is None:
        return None
    axes = kind.attrs[0]
    known, one = _columns_of(split, operands[0]), split.kind(operands[0]).aval
    if known is None or known.is_merged or one.dtype is not kind.aval.dtype:
        return None
    inner = _own_axes(known, axes)
    kept = [a for a in range(known.parts.ndim) if a not in inner]
    moved = known.parts.transpose(*kept, *inner)
    lengths = moved.shape[: len(kept)]
    moved = moved.reshape(*lengths, -1)
    if not moved.shape[-1]:
        return None
    found = np.empty(lengths, object)
    for place in np.ndindex(*lengths):
        found[place] = split.fold(OPS[join], moved[place], one)
    has_samples = known.has_samples
    if has_samples and 0 in axes:
        has_samples = False
        for place in np.ndindex(*lengths):
            found[place] = _over_samples(split, kind, found[place], one)
    shape = kind.aval.shape
    return Columns(found.reshape(shape[1:] if has_samples else shape), has_samples)


def _over_samples(split, kind, x, one):
    if x is ZERO:
        return ZERO if kind.op.name == "sum" else split.number(x, one.dtype)
    long = x if x.ndim else split.expanded(x, (split.size,))
    return split.builder.emit(kind.op, (long,), ((0,), False, *kind.attrs[2:]))


JOINS = {
    "sum": "add",
    "prod": "mul",
    "amax": "maximum",
    "amin": "minimum",
    "all": "logical_and",
    "any": "logical_or",
}


def _scan(split: _Split, kind: Kind, operands):
    join = {"cumsum": "add", "cumprod": "mul"}.get(kind.op.name)
    known, one = _columns_of(split, operands[0]), split.kind(operands[0]).aval
    if join is None or known is None or known.is_merged or one.dtype is not kind.aval.dtype:
        return None
    axes = _own_axes(known, kind.attrs)
    if not axes:
        return None
    found = known.parts.copy()
    lines = np.moveaxis(found, axes[0], -1)
    for place in np.ndindex(*lines.shape[:-1]):
        for i in range(1, lines.shape[-1]):
            lines[place][i] = split.emit(
                OPS[join], (lines[place][i - 1], lines[place][i]), (one, one)
            )
    return known._replace(parts=found)


def _recurrence(split: _Split, kind: Kind, operands):
    (axis,) = kind.attrs
    (has_samples, (a, b)), one = _side_by_side(split, kind.aval.shape, operands), kind.aval
    if has_samples and not axis:
        return None
    found = a.copy()
    lines, factors = (np.moveaxis(x, axis - has_samples, -1) for x in (found, b))
    for place in np.ndindex(*lines.shape[:-1]):
        for i in range(1, lines.shape[-1]):
            turned = split.emit(OPS["mul"], (factors[place][i], lines[place][i - 1]), (one, one))
            lines[place][i] = split.emit(OPS["add"], (lines[place][i], turned), (one, one))
    return Columns(found, has_samples)


# ---------------------------------------------------------------- rules: elements elsewhere


def _reshape(split: _Split, kind: Kind, operands):
    known, shape = _columns_of(split, operands[0]), kind.aval.shape
    if known is None:
        return None
    if not known.has_samples:
        return Columns(known.parts.reshape(shape), False)
    if shape[:1] == (split.size,):
        return Columns(known.parts.reshape(shape[1:]), True)
    n = shape[0] // split.size if shape else 0
    if not n or n * split.size != shape[0]:
        return None
    return Columns(known.parts.reshape(n, *shape[1:]), True, True)


def _expand(split: _Split, kind: Kind, operands):
    has_samples, (parts,) = _side_by_side(split, kind.aval.shape, operands)
    if has_samples or kind.aval.shape[:1] != (split.size,):
        return Columns(parts, has_samples)
    own = split.parts(operands[0], False)
    own = own[0] if own.ndim == kind.aval.ndim else own
    return Columns(np.broadcast_to(own, kind.aval.shape[1:]), True)


def _permute(split: _Split, kind: Kind, operands):
    known, (axes,) = _columns_of(split, operands[0]), kind.attrs
    if known is None or known.is_merged or (known.has_samples and axes[0]):
        return None
    return known._replace(parts=known.parts.transpose(*_own_axes(known, axes)))


def _flip(split: _Split, kind: Kind, operands):
    known, (axes,) = _columns_of(split, operands[0]), kind.attrs
    if known is None or (known.has_samples and (known.is_merged or 0 in axes)):
        return None
    return known._replace(parts=np.flip(known.parts, _own_axes(known, axes)))


def _places(split, known: Columns, starts, lengths, steps):
    """The elements of a regular part as an index of columns; None if it is not all samples."""
    if known.is_merged:
        return None
    if known.has_samples and (starts[0], lengths[0], steps[0]) != (0, split.size, 1):
        return None
    first = int(known.has_samples)
    triples = list(zip(starts, lengths, steps, strict=True))[first:]
    places = [start + step * np.arange(length) for start, length, step in triples]
    return np.ix_(*places) if places else ()


def _slice(split: _Split, kind: Kind, operands):
    known, (starts, lengths, steps) = _columns_of(split, operands[0]), kind.attrs
    places = None if known is None else _places(split, known, starts, lengths, steps)
    if known is None or places is None:
        return None
    return known._replace(parts=known.parts[places] if places else known.parts)


def _unslice(split: _Split, kind: Kind, operands):
    known, (shape, starts, steps) = _columns_of(split, operands[0]), kind.attrs
    if known is None:
        return None
    places = _places(split, known, starts, split.kind(operands[0]).aval.shape, steps)
    if places is None:
        return None
    is_linear = split.depends[operands[0]]
    zero = ZERO if is_linear else split.number(ZERO, kind.aval.dtype)
    parts = _filled(shape[1:] if known.has_samples else shape, zero)
    parts[places] = known.parts if places else known.parts[()]
    return known._replace(parts=parts)


def _replace(split: _Split, kind: Kind, operands):
    starts, steps = kind.attrs
    shape = split.kind(operands[1]).aval.shape
    has_samples, (beneath,) = _side_by_side(split, kind.aval.shape, operands[:1])
    known = Columns(beneath, has_samples)
    places = _places(split, known, starts, shape, steps)
    if not places:
        return None
    parts = beneath.copy()
    parts[places] = split.parts(operands[1], has_samples)
    return known._replace(parts=parts)


def _cat(split: _Split, kind: Kind, operands):
    (axis,) = kind.attrs
    flags = [split.has_samples(x) for x in operands]
    if any(flags) and (not axis or not all(flags)):
        return None
    has_samples = any(flags)
    parts = [split.parts(x, has_samples) for x in operands]
    return Columns(np.concatenate(parts, axis - has_samples), has_samples)


# ---------------------------------------------------------------- rules: products


def _matmul(split: _Split, kind: Kind, operands):
    """Samples are an axis in front, or rows of the left matrix, one of them or several (merged)."""
    x, y = operands
    ranks = [split.kind(row).aval.ndim for row in operands]
    known, other = split.columns.get(x), split.columns.get(y)
    if other is not None and other.is_merged:
        return None
    if known is not None and known.is_merged:
        if ranks[1] > 2:
            return None
        right = split.parts(y, False)
        if right.size > MOST_TERMS:
            raise Unsuited("a large product")
        return Columns(_product(split, kind, known.parts, right), True, True)
    are_rows = ranks[0] == 2 and ranks[1] <= 2
    flags = [
        split.has_samples(x) and (ranks[0] > 2 or are_rows),
        split.has_samples(y) and ranks[1] > 2,
    ]
    if not (any(flags) or split.depends[x] or split.depends[y]):
        return None
    parts = [split.parts(row, flag) for row, flag in zip(operands, flags, strict=True)]
    if any(flags) and not are_rows:  # beside samples an axis of length 1 goes
        is_one = [not flag and rank == max(ranks) for flag, rank in zip(flags, ranks, strict=True)]
        parts = [part[0] if one else part for part, one in zip(parts, is_one, strict=True)]
    shared, own = parts[1].size, math.prod(kind.aval.shape[1:]) * parts[0].shape[-1]
    if (own if flags[1] else shared) > MOST_TERMS * (1 + 3 * flags[1]):
        raise Unsuited("a large product")
    return Columns(_product(split, kind, *parts), any(flags))


def _product(split, kind, x, y):
    """The product of matrices of columns, or of vectors of them."""
    one = kind.aval
    is_row, is_column = x.ndim == 1, y.ndim == 1
    x = x[None, :] if is_row else x
    y = y[:, None] if is_column else y
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x, y = (np.broadcast_to(z, (*lead, *z.shape[-2:])) for z in (x, y))
    found = np.empty((*lead, x.shape[-2], y.shape[-1]), object)
    for *place, i, j in np.ndindex(*found.shape):
        pairs = zip(x[(*place, i)], y[(*place, slice(None), j)], strict=True)
        terms = [split.emit(OPS["mul"], pair, (one, one)) for pair in pairs]
        found[(*place, i, j)] = split.fold(OPS["add"], terms, one)
    if is_row:
        found = found[..., 0, :]
    return found[..., 0] if is_column else found


RULES: dict[str, Callable] = {
    **dict.fromkeys(("elementwise", "cast", "library", "bitwise"), _elementwise),
    **dict.fromkeys(("clone", "detach"), _same),
    "derivative": _finished,
    "unit_vectors": _unit_vectors,
    "reduction": _reduction,
    "scan": _scan,
    "recurrence": _recurrence,
    "reshape": _reshape,
    "expand": _expand,
    "permute": _permute,
    "flip": _flip,
    "slice": _slice,
    "unslice": _unslice,
    "replace": _replace,
    "cat": _cat,
    "matmul": _matmul,
}
"""By operation or family."""
