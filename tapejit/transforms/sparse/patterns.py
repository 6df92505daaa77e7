"""Which element of each row of a tape depends on which differentiated number.

A pattern is a Boolean CSR matrix: one row per element of a tape's row, one column per element of
the differentiated arguments.  It is structural: true of every value that the path may take, both
branches of a `where` included; a slope that is 0 everywhere (`floor`) is no dependence.

The one idea: few operations need a rule of their own.  One that takes elements elsewhere is run on
numbers instead of values, by its own `evaluate`, and what comes out says where each element came
from; one that adds up elements is the transpose of such a one, which its derivative rule states.
What is left mixes along some axes and keeps others (`KEPT`).  An operation that is nowhere here
depends on everything: safe, and dense.  Convolutions alone count their windows themselves.

Indices count with their values if they do not depend on what is differentiated: `Patterns.watched`
names the inputs that they come from, so that nobody uses a pattern for other indices.  Indices that
do depend on it (sorting) may lead anywhere along their axes.

Start at `Patterns`.  Source: Griewank, Walther, Evaluating Derivatives, 2008, ch. 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from tapejit import autodiff
from tapejit.bounded import Bounded
from tapejit.build import Builder, Ref
from tapejit.errors import NotDifferentiable, TapejitError
from tapejit.families import MOVES
from tapejit.registry import OPS, Kind
from tapejit.registry import kind as kind_of
from tapejit.runtime import reference
from tapejit.shapes import Aval
from tapejit.tape import Program, Tape, needed_rows

LARGEST = 1 << 28
"""Nonzeros that a pattern may have: 1 GiB of column numbers."""

# ---------------------------------------------------------------- Boolean matrices


def matrix(columns, starts, shape) -> sparse.csr_array:
    """A pattern with sorted columns."""
    places = np.asarray(columns, np.int32), np.asarray(starts, np.int32)
    found = sparse.csr_array((np.ones(len(places[0]), np.bool_), *places), shape)
    found.has_sorted_indices = found.has_canonical_format = True
    return found


def counts(pattern) -> np.ndarray:
    """The nonzeros of each row."""
    return np.diff(pattern.indptr)


def picked(pattern, sources):
    """Row sources[i] of the pattern as row i."""
    sources = np.asarray(sources).reshape(-1)
    n = pattern.shape[0]
    if len(sources) == n and (sources == np.arange(n)).all():
        return pattern
    _check_size(int(counts(pattern)[sources].sum(dtype=np.int64)), len(sources), pattern.shape[1])
    found = pattern[sources]
    found.has_sorted_indices = found.has_canonical_format = True
    return found


def added(pattern, targets, sources, n: int):
    """n rows: row targets[k] is the union of the rows sources[k]."""
    targets, sources = np.asarray(targets).reshape(-1), np.asarray(sources).reshape(-1)
    most = int(counts(pattern)[sources].sum(dtype=np.int64))  # if they had nothing in common
    _check_size(most // 8, n, pattern.shape[1])
    truths = np.ones(len(targets), np.bool_)
    links = sparse.csr_array((truths, (targets, sources)), shape=(n, pattern.shape[0]))
    found = links @ pattern
    _check_size(found.nnz, *found.shape)
    found.sort_indices()
    return matrix(found.indices, found.indptr, found.shape)


def united(one, other):
    """The union of two patterns; None is empty, and what holds the other comes back as it is."""
    if one is None or one is other:
        return other
    if other is None:
        return one
    both = one + other
    if both.nnz == one.nnz:
        return one
    return other if both.nnz == other.nnz else both


def _check_size(nnz, rows, columns):
    if nnz > LARGEST:
        raise TapejitError(
            f"sparse: a step of {rows:,} numbers has {nnz:,} derivatives that are no zeros, of "
            f"{rows * columns:,}; a pattern has {LARGEST:,} at most\n"
            "  try  sparse=False, or hvp, vjp and jvp, which form no matrix"
        )


# ---------------------------------------------------------------- one row


class Step(NamedTuple):
    """One row of a tape, to be given a pattern."""

    kind: Kind
    avals: tuple[Aval, ...]
    patterns: Sequence
    """Of the operands; None where it depends on nothing, or its slope is 0 everywhere."""
    index: Callable[[int], Any]
    """The value of an operand of integers; None where it depends on what is differentiated."""


def _elementwise(step):
    """Operands are broadcast; so is what they depend on."""
    found, shape = None, step.kind.aval.shape
    for pattern, aval in zip(step.patterns, step.avals, strict=True):
        if pattern is not None:
            found = united(found, picked(pattern, np.broadcast_to(_numbers(aval, 0), shape)))
    return found


def _moved(step):
    """Run on numbers: what comes out says from where."""
    operands, floats, first = [], [], 1  # number 0 is what nothing was put into
    for place, (pattern, aval) in enumerate(zip(step.patterns, step.avals, strict=True)):
        if not aval.dtype.is_inexact:
            operands.append(step.index(place))
            if operands[-1] is None:
                return _lost(step)
        else:
            operands.append(_numbers(aval, first))
            floats.append((pattern, aval.size))
            first += aval.size
    sources = np.reshape(step.kind.op.evaluate(*operands, **step.kind.attributes()), -1)
    if len(floats) == 1 and sources.min(initial=1) > 0:
        return picked(floats[0][0], sources - 1)
    parts = [_empty(step, n) if pattern is None else pattern for pattern, n in floats]
    return picked(sparse.vstack([_empty(step, 1), *parts], format="csr"), sources)


def _added(step):
    """The transpose, run on numbers: it says whereto the first operand's elements go."""
    tape = Tape()
    for value in (*step.avals, step.kind.aval, step.kind.aval):
        tape.append(kind_of(OPS["input"], (), value), ())
    builder = Builder(tape)
    *inputs, y, gy = [builder.ref(row) for row in range(len(tape))]
    pulled = step.kind.op.vjp(gy, *inputs, y, **step.kind.attributes())[0]
    values: list = [step.index(place) for place in range(1, len(step.avals))]
    if any(value is None for value in values):
        return _lost(step)
    size = step.kind.aval.size
    values = [None, *values, None, _numbers(step.kind.aval, 0)]
    values += [None] * (len(builder.tape) - len(values))
    needed = needed_rows(builder.tape, [pulled.row])
    targets = reference.run_rows(builder.tape, len(tape), values, needed)[pulled.row]
    return added(step.patterns[0], targets, np.arange(step.avals[0].size), size)


def _combined(step):
    """index_combine(x, value, *indices): each element of x with those of value at its place."""
    x, value, *_ = step.patterns
    indices = [step.index(place) for place in range(2, len(step.avals))]
    if any(index is None for index in indices):
        return _lost(step)
    if value is None:
        return x
    shape = step.kind.aval.shape
    numbers = np.arange(step.kind.aval.size).reshape(shape)[tuple(indices)]
    targets = np.broadcast_to(numbers, step.avals[1].shape)
    return united(x, added(value, targets, np.arange(targets.size), step.kind.aval.size))


def _scanned(step):
    """Each element depends on those before it along the axis, and on itself."""
    shape, axis = step.kind.aval.shape, step.kind.attributes()["axis"]
    if not shape:
        return _elementwise(step)
    elements = step.kind.aval.size
    _check_size(elements * (shape[axis] + 1) // 2, elements, elements)
    later, earlier = np.tril_indices(shape[axis])
    lines = np.moveaxis(np.arange(math.prod(shape)).reshape(shape), axis, -1)
    targets, sources, found = lines[..., later], lines[..., earlier], None
    for pattern in step.patterns:
        if pattern is not None:
            found = united(found, added(pattern, targets, sources, step.kind.aval.size))
    return found


def _convolved(step):
    """The windows of each place; all channels of a group together.  Weights by their channel.

    convolution_input is the transpose: what a window reads is where it adds to.
    """
    data, weights = step.patterns
    found = None
    if weights is not None:
        found = _mixed(step._replace(patterns=(None, weights)))
    if data is None:
        return found
    x, y = step.avals[0].shape, step.kind.aval.shape
    is_transposed = step.kind.op.name == "convolution_input"
    attributes = step.kind.attributes()
    windows, places = _taps(*((y, x) if is_transposed else (x, y)), step.avals[1].shape, attributes)
    targets, sources = (places, windows) if is_transposed else (windows, places)

    def numbers(shape):
        """Per element (image, group, place) as one number."""
        places, groups = math.prod(shape[2:]), attributes["groups"]
        group = np.arange(shape[1]) // max(1, shape[1] // groups)
        first = (np.arange(shape[0])[:, None] * groups + group) * places
        return first[:, :, None] + np.arange(places)

    blocks = np.arange(x[0] * attributes["groups"])[:, None]
    n_x, n_y = math.prod(x[2:]), math.prod(y[2:])
    together = added(data, numbers(x), np.arange(step.avals[0].size), len(blocks) * n_x)
    moved = added(together, blocks * n_y + targets, blocks * n_x + sources, len(blocks) * n_y)
    return united(found, picked(moved, numbers(y)))


def _taps(x, y, weights, attributes):
    """Pairs (place of the output, place of the input) of a convolution; shapes have channels."""
    windows, places, is_inside = np.zeros(1, int), np.zeros(1, int), np.ones(1, np.bool_)
    steps = zip(*(attributes[name] for name in ("stride", "padding", "dilation")), strict=True)
    for n_x, n_y, n_taps, (stride, padding, dilation) in zip(
        x[2:], y[2:], weights[2:], steps, strict=True
    ):
        window, tap = (a.ravel() for a in np.indices((n_y, n_taps)))
        place = window * stride - padding + tap * dilation
        windows = np.add.outer(windows * n_y, window).ravel()
        is_inside = np.logical_and.outer(is_inside, (place >= 0) & (place < n_x)).ravel()
        places = np.add.outer(places * n_x, place).ravel()
    return windows[is_inside], places[is_inside]


def _mixed(step):
    """Elements with the same places along the axes that are kept depend on each other's."""
    found = None
    kept_axes = KEPT.get(step.kind.op.name) or KEPT.get(step.kind.op.family)
    for place, pattern in enumerate(step.patterns):
        if pattern is not None:
            kept = kept_axes(step, place) if kept_axes else ()
            found = united(
                found, _mix(pattern, step.avals[place].shape, step.kind.aval.shape, kept)
            )
    return found


def _mix(pattern, x, y, kept):
    """kept: pairs of an axis of the operand, of shape x, and the axis of y that it becomes."""
    kept = sorted((a, b) for a, b in kept if x[a] in (1, y[b]))
    lengths = [x[a] for a, _ in kept]
    groups = np.arange(math.prod(lengths))
    axes = {a for a, _ in kept}
    of_x = groups.reshape([n if a in axes else 1 for a, n in enumerate(x)])
    order = sorted(range(len(kept)), key=lambda i: kept[i][1])
    of_y = groups.reshape(lengths).transpose(order)
    length_at = {b: x[a] for a, b in kept}
    of_y = of_y.reshape([length_at.get(b, 1) for b in range(len(y))])
    sources = np.arange(math.prod(x))
    together = added(pattern, np.broadcast_to(of_x, x), sources, len(groups))
    return picked(together, np.broadcast_to(of_y, y))


def _lost(step):
    """Places that depend on what is differentiated: anywhere, along the axes that they are on."""
    return _mixed(step)


def _numbers(aval, first):
    return np.arange(first, first + aval.size).reshape(aval.shape)


def _empty(step, n):
    columns = next(p.shape[1] for p in step.patterns if p is not None)
    return sparse.csr_array((n, columns), dtype=np.bool_)


# ---------------------------------------------------------------- which rule

Axes = list[tuple[int, int]]


def _without(axes, shape, keepdim=True) -> Axes:
    """All axes but some stay; without keepdim those are gone."""
    kept = [a for a in range(len(shape)) if a not in axes]
    return [(a, a) for a in kept] if keepdim else [(a, b) for b, a in enumerate(kept)]


def _kept_by_reduction(step, place) -> Axes:
    attributes = step.kind.attributes()
    return _without(attributes["axes"], step.avals[place].shape, attributes["keepdim"])


def _kept_along_axis(step, place) -> Axes:
    return _without((step.kind.attributes()["axis"],), step.avals[place].shape)


def _kept_by_product(step, place) -> Axes:
    """(..., m, n) @ (..., n, p): the sum is over n; batch axes are broadcast."""
    x, v = (aval.ndim for aval in step.avals)
    y, mine = step.kind.aval.ndim, (x, v)[place]
    ends = (1 if x > 1 else 0) + (1 if v > 1 else 0)
    batch = [(a, y - ends - (mine - 2) + a) for a in range(mine - 2)]
    if mine < 2:
        return []
    return [*batch, (x - 2, y - ends) if place == 0 else (v - 1, y - 1)]


def _kept_by_index(step, place) -> Axes:
    """x[i, j, ...]: the axes behind those that are indexed stay."""
    n_indexed, n = len(step.avals) - 1, step.avals[0].ndim
    n_front = step.kind.aval.ndim - (n - n_indexed)
    return [(a, n_front + a - n_indexed) for a in range(n_indexed, n)] if place == 0 else []


def _kept_batch(step, place) -> Axes:
    """Matrices are the last two axes, or one last axis of packed factors; batch axes stay."""
    n = step.avals[place].ndim - 2
    is_whole = n == max(aval.ndim for aval in step.avals) - 2 and n <= step.kind.aval.ndim
    if not is_whole:
        return []
    has_columns = step.kind.op.name in ("solve_triangular", "lu_solve")
    columns = [(n + 1, n + 1)] if has_columns and place == len(step.avals) - 1 else []
    return [*((a, a) for a in range(n)), *columns]


def _kept_pairs(step, place) -> Axes:
    return [(a, a) for a in range(min(step.avals[place].ndim, step.kind.aval.ndim))]


KEPT: dict[str, Callable[[Step, int], Axes]] = {
    "reduction": _kept_by_reduction,
    "rows": _kept_along_axis,
    "sort": _kept_along_axis,
    "gather": _kept_along_axis,
    "scatter_add": _kept_along_axis,
    "index": _kept_by_index,
    "fourier": lambda step, place: _without(
        step.kind.attributes()["axes"], step.avals[place].shape
    ),
    "contraction": _kept_by_product,
    "linalg": _kept_batch,
    "convolution": lambda step, place: [(0, place)],  # output channels of weights
    "convolution_input": lambda step, place: [],
    "convolution_weight": lambda step, place: [(1, 0)] if place == 0 else [],
    "pick": lambda step, place: _without(
        (step.kind.attributes()["axis"],), step.avals[place].shape, keepdim=False
    ),
    "view_as_real": _kept_pairs,
    "view_as_complex": _kept_pairs,
}
"""By operation or family: the axes along which nothing is mixed."""

RULES: dict[str, Callable[[Step], Any]] = {
    **dict.fromkeys(MOVES, _moved),
    **dict.fromkeys(("elementwise", "library", "complex", "cast", "check"), _elementwise),
    **dict.fromkeys(("index_add", "scatter_add", "unstrided"), _added),
    **dict.fromkeys(("convolution", "convolution_input"), _convolved),
    **dict.fromkeys(("sort", "view_as_real", "view_as_complex", "convolution_weight"), _mixed),
    "pick": _moved,
    "index_combine": _combined,
    "scan": _scanned,
}
"""By operation or family; what is in neither mixes."""


def rule_of(kind: Kind) -> Callable[[Step], Any]:
    """How the pattern of a row comes from those of its operands."""
    return RULES.get(kind.op.name) or RULES.get(kind.op.family) or _mixed


# ---------------------------------------------------------------- slopes that are 0 everywhere

_SLOPES: Bounded[tuple, tuple[bool, ...]] = Bounded(4096)


def has_slopes(kind: Kind, avals: tuple[Aval, ...]) -> tuple[bool, ...]:
    """Per operand, whether the result changes with it: learnt from the derivative rules."""
    key = (kind.number, avals)
    known = _SLOPES.get(key)
    if known is None:
        known = tuple(_has_slope(kind, avals, place) for place in range(len(avals)))
        _SLOPES.put(key, known)
    return known


def _has_slope(kind, avals, place):
    if not (avals[place].dtype.is_inexact and kind.aval.dtype.is_inexact):
        return False
    if kind.op.partials is not None:
        builder = Builder()
        inputs = [builder.input(aval) for aval in avals]
        y = Ref(builder, builder.add(kind, tuple(x.row for x in inputs)), kind.aval)
        slope = kind.op.partials(*inputs, y, **kind.attributes())[place]
        return slope is not None and not (isinstance(slope, float) and slope == 0.0)
    tape = Tape()
    for aval in avals:
        tape.append(kind_of(OPS["input"], (), aval), ())
    row = tape.append(kind, range(len(avals)))
    try:
        return autodiff.reverse(tape, (row,), (place,)).results[0] >= 0
    except NotDifferentiable:  # said when the derivative is taken
        return True


# ---------------------------------------------------------------- all rows


class Patterns:
    """The patterns of all rows that the roots of a program need.

    program  its inputs are what `inputs` are for
    wanted   rows whose elements are the columns, in this order
    roots    rows whose patterns are asked for
    """

    def __init__(self, program: Program, wanted: Sequence[int], roots: Sequence[int], inputs: list):
        tape = program.tape
        self.tape, self.inputs = tape, inputs
        self.needed = needed_rows(tape, roots)
        self.varies = _varying(tape, wanted)
        self.values: list = [None] * len(tape)
        for row, value in zip(program.inputs, inputs, strict=True):
            self.values[row] = value
        self.places = {row: place for place, row in enumerate(program.inputs)}
        self.watched: set[int] = set()
        """Places among the inputs that indices come from."""
        self.indices: dict[int, np.ndarray] = {}
        """The rows of indices that count, and their values."""
        self.is_moved = bytearray(len(tape))
        """1 where a row holds differentiated numbers themselves, moved: its slopes are 1."""
        self.rows: list = [None] * len(tape)
        self.n_columns = sum(tape.kind(row).aval.size for row in wanted)
        first = 0
        for row in wanted:
            n = tape.kind(row).aval.size
            if n:
                columns, starts = np.arange(first, first + n), np.arange(n + 1)
                self.rows[row] = matrix(columns, starts, (n, self.n_columns))
                self.is_moved[row] = 1
            first += n
        for row in range(max(roots, default=-1) + 1):
            if self.needed[row] and self.rows[row] is None:
                self.rows[row] = self._follow(row)

    def _follow(self, row):
        """The pattern of one row."""
        tape = self.tape
        kind, operands = tape.kind(row), tape.operands(row)
        if not kind.aval.dtype.is_inexact or not any(self.rows[x] is not None for x in operands):
            return None
        avals = tuple(tape.kind(x).aval for x in operands)
        slopes = has_slopes(kind, avals)
        patterns = [
            self.rows[x] if slope else None for x, slope in zip(operands, slopes, strict=True)
        ]
        if all(pattern is None for pattern in patterns):
            return None
        rule = rule_of(kind)
        found = rule(Step(kind, avals, patterns, lambda place: self._index(operands[place])))
        self.is_moved[row] = rule is _moved and all(
            self.is_moved[x] if tape.kind(x).aval.dtype.is_inexact and pattern is not None
            else not self.varies[x] or tape.kind(x).aval.dtype.is_inexact
            for x, pattern in zip(operands, patterns, strict=True)
        )  # fmt: skip
        return found if found.nnz else None

    def _index(self, row):
        """The value of a row of indices, None if it depends on what is differentiated."""
        if self.varies[row]:
            return None
        if row not in self.indices:
            self.indices[row], used = evaluated(self.tape, row, self.values)
            self.watched |= {self.places[x] for x in used if x in self.places}
        return self.indices[row]


def evaluated(tape: Tape, row: int, values: list) -> tuple[np.ndarray, list[int]]:
    """The value of a row, row by row, and the rows with given values that it comes from."""
    flags = bytearray(row + 1)
    flags[row] = 1
    for x in range(row, -1, -1):
        if flags[x] and values[x] is None and tape.kind(x).op.family != "creation":
            for operand in tape.operands(x):
                flags[operand] = 1
    used = [x for x in range(row + 1) if flags[x] and values[x] is not None]
    run = [*values[: row + 1]] + [None] * (len(tape) - row - 1)
    reference.run_rows(tape, 0, run, flags + bytearray(len(tape) - row - 1))
    return np.array(run[row]), used


def _varying(tape, wanted) -> bytearray:
    """1 where the value of a row depends on the wanted ones; a place along an axis does not."""
    flags = bytearray(len(tape))
    for row in wanted:
        flags[row] = 1
    for row in range(len(tape)):
        if not flags[row] and tape.kind(row).op.family != "creation":
            flags[row] = any(flags[x] for x in tape.operands(row))
    return flags
