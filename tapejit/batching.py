"""Batching, tape → tape: rows that compute on one sample, written for all samples at once.

The one idea: a row of many samples is the same operation with one more axis in front.  An operand
is *batched* (its first axis counts samples) or *shared* by all samples, and a rule says how the
operation is emitted on such operands: mostly by family (elementwise: ranks are aligned; reductions
and scans: axes move by one; views: attributes get an entry in front; linear algebra: batch axes).
Rows that depend on no sample are emitted once, as they are.

An operation without a rule, or one whose rule declines, is done sample by sample, by slices and a
`cat`: right for every operation, slow for many samples; `TAPEJIT_DEBUG=1` tells of it.

Start at `Batch.run`.  What the rows mean, and what Python read of them, is the caller's affair
(transforms/vmap.py); sources: JAX's batching rules (interpreters/batching.py), functorch.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tapejit.build import Builder, Ref
from tapejit.config import settings
from tapejit.ops.comparison import eq, ne
from tapejit.ops.copies import cast
from tapejit.ops.indexing import argsort, index
from tapejit.ops.linear import matmul, swap
from tapejit.ops.movement import cat, expand, iota, permute, reshape, slice_
from tapejit.ops.reductions import sum_
from tapejit.registry import Kind, Op
from tapejit.shapes import Aval, Shape, aval
from tapejit.tape import Tape, needed_rows

# ---------------------------------------------------------------- data


class Sampled(NamedTuple):
    """A row of the batched tape."""

    ref: Ref
    is_batched: bool
    """Whether its first axis counts samples."""


class Row(NamedTuple):
    """One operation, to be emitted on operands of which some are batched."""

    op: Op
    operands: tuple[Sampled, ...]
    size: int
    """The number of samples."""
    attrs: dict[str, Any]

    def ndim(self, i: int) -> int:
        """The rank that operand i has in one sample."""
        ref, is_batched = self.operands[i]
        return ref.ndim - is_batched

    def aligned(self, i: int, ndim: int) -> Ref:
        """Operand i such that it broadcasts beside samples of rank `ndim`."""
        ref, is_batched = self.operands[i]
        missing = ndim - self.ndim(i)
        if not is_batched or missing <= 0:
            return ref
        return reshape(ref, shape=(ref.shape[0], *(1,) * missing, *ref.shape[1:]))

    def whole(self, i: int, ndim: int = 0) -> Ref:
        """Operand i with an axis of samples, and axes of length 1 behind it up to rank `ndim`."""
        ref, is_batched = self.operands[i]
        if is_batched:
            return self.aligned(i, ndim)
        missing = max(ndim - ref.ndim, 0)
        return expand(ref, shape=(self.size, *(1,) * missing, *ref.shape))

    def emit(self, operands: Iterable[Ref], **changed) -> Ref:
        """The operation on these operands, with some attributes changed."""
        operands = tuple(operands)
        attrs = {**self.attrs, **changed}
        values = tuple(attrs[name] for name in self.op.attributes)
        return operands[0].emit(self.op, operands, values)

    @property
    def all_whole(self) -> list[Ref]:
        """Every operand with an axis of samples."""
        return [self.whole(i) for i in range(len(self.operands))]


Rule = Callable[[Row], Ref | None]
"""The batched result of a row of which an operand is batched; None: sample by sample."""

# ---------------------------------------------------------------- the pass


class Batch:
    """A tape under construction on which rows of one sample become rows of all samples."""

    def __init__(self, size: int, builder: Builder | None = None):
        self.size = size
        self.builder = Builder() if builder is None else builder
        self.rows: dict[int, Sampled] = {}
        """What has been given or written, by row of the tape of one sample."""
        self.origins: dict[int, int] = {}
        """Which row of one sample a row here was written for."""
        self.unrolled: list[str] = []
        """Operations that were written out sample by sample."""

    def give(self, row: int, ref: Ref, is_batched: bool) -> Ref:
        """Say what a row of the tape of one sample is here."""
        self.rows[row] = Sampled(ref, is_batched)
        return ref

    def samples(self, row: int, one: Aval) -> Ref:
        """Let a row of one sample be a new input row of all samples."""
        return self.give(
            row, self.builder.input(aval((self.size, *one.shape), one.dtype, one.device)), True
        )

    def shared(self, row: int, one: Aval) -> Ref:
        """Let a row be a new input row that all samples share."""
        return self.give(row, self.builder.input(one), False)

    def run(self, tape: Tape, outputs: Sequence[int]) -> list[Sampled]:
        """Write the rows that the outputs need and that have not been given or written before."""
        needed, written = needed_rows(tape, outputs), self.builder.tape
        for row in range(len(tape)):
            if needed[row] and row not in self.rows:
                before = len(written)
                operands = tuple(self.rows[operand] for operand in tape.operands(row))
                self.rows[row] = self.write(tape.kind(row), operands)
                self.origins.update(dict.fromkeys(range(before, len(written)), row))
        return [self.rows[row] for row in outputs]

    def write(self, kind: Kind, operands: tuple[Sampled, ...]) -> Sampled:
        """One row: as it is if its operands are shared, else by its rule."""
        if kind.op.family == "creation" or not any(x.is_batched for x in operands):
            row = self.builder.add(kind, tuple(x.ref.row for x in operands))
            return Sampled(Ref(self.builder, row, kind.aval), False)
        if not self.size:
            return Sampled(
                self.builder.literal(
                    0, aval((0, *kind.aval.shape), kind.aval.dtype, kind.aval.device)
                ),
                True,
            )
        row = Row(kind.op, operands, self.size, kind.attributes())
        rule = RULES.get(kind.op.name) or FAMILIES.get(kind.op.family)
        ref = None if rule is None else rule(row)
        if ref is None or ref.shape != (self.size, *kind.aval.shape):
            self.unrolled.append(kind.op.name)
            if settings.debug >= 1:
                print(f"vmap: {kind.op.name} is done sample by sample", file=sys.stderr)
            ref = one_by_one(row)
        return Sampled(ref, True)


def one_by_one(row: Row) -> Ref:
    """The operation on one sample after another."""
    results = []
    for i in range(row.size):
        operands = [_sample(x.ref, i) if x.is_batched else x.ref for x in row.operands]
        results.append(_in_front(row.emit(operands)))
    return results[0] if row.size == 1 else cat(*results, axis=0)


def _sample(ref, i):
    starts, lengths = (i, *(0,) * (ref.ndim - 1)), (1, *ref.shape[1:])
    part = slice_(ref, starts=starts, lengths=lengths, steps=(1,) * ref.ndim)
    return reshape(part, shape=ref.shape[1:])


def _in_front(ref):
    """A new first axis of length 1."""
    return reshape(ref, shape=(1, *ref.shape))


# ---------------------------------------------------------------- rules of families


def _elementwise(row):
    ndim = max(row.ndim(i) for i in range(len(row.operands)))
    return row.emit(row.aligned(i, ndim) for i in range(len(row.operands)))


def _drawn(row):
    """A key for every sample: places count within one."""
    ndims = [row.ndim(i) for i in range(len(row.operands))]
    ndim = max(len(row.attrs["shape"]), *ndims)
    return row.emit(row.aligned(i, ndim) for i in range(len(row.operands)))


def _same(row):
    return row.emit(row.all_whole)


def _axes(row):
    return row.emit(row.all_whole, axes=tuple(axis + 1 for axis in row.attrs["axes"]))


def _axis(row):
    """Along one axis; the one element of rank 0 is a vector of one here."""
    axis = row.attrs["axis"]
    if all(row.ndim(i) for i in range(len(row.operands))):
        return row.emit(row.all_whole, axis=axis + 1)
    if any(row.ndim(i) for i in range(len(row.operands))):
        return None
    columns = [row.whole(i, 1) for i in range(len(row.operands))]
    return reshape(row.emit(columns, axis=1), shape=(row.size,))


def _leading(*ranks):
    """Of matrices: axes in front of the last `ranks` of each operand broadcast."""

    def rule(row):
        cores = ranks if len(ranks) == len(row.operands) else (2,) * len(row.operands)
        batch = max(row.ndim(i) - core for i, core in enumerate(cores))
        return row.emit(row.whole(i, batch + core) for i, core in enumerate(cores))

    return rule


# ---------------------------------------------------------------- rules: elements elsewhere


def _in_shape(row):
    return row.emit(row.all_whole, shape=(row.size, *row.attrs["shape"]))


def _expand(row):
    shape = row.attrs["shape"]
    return row.emit([row.aligned(0, len(shape))], shape=(row.size, *shape))


def _permute(row):
    return row.emit(row.all_whole, axes=(0, *(axis + 1 for axis in row.attrs["axes"])))


def _window(row):
    """slice, unslice and replace: all of the first axis."""
    changed: dict[str, Any] = {
        "starts": (0, *row.attrs["starts"]),
        "steps": (1, *row.attrs["steps"]),
    }
    for name in row.attrs.keys() & {"lengths", "shape"}:
        changed[name] = (row.size, *row.attrs[name])
    return row.emit(row.all_whole, **changed)


def _any_strides(row):
    """strided, unstrided and put_strided: a step along the first axis for each sample."""
    changed: dict[str, Any] = {
        "starts": (0, *row.attrs["starts"]),
        "steps": _steps_of_samples(row),
    }
    if "shape" in row.attrs:
        changed["shape"] = (row.size, *row.attrs["shape"])
    return row.emit(row.all_whole, **changed)


def _steps_of_samples(row):
    part = len(row.operands) - 1  # of unstrided and put_strided it lies in the result
    rank = len(row.attrs["shape"]) if row.op.name == "strided" else row.ndim(part)
    return ((1, *(0,) * rank), *((0, *line) for line in row.attrs["steps"]))


def _copy_into(row):
    return row.emit([row.whole(0), row.aligned(1, row.ndim(0))])


def _refuse(row):
    return row.emit([row.whole(0), *(condition.ref for condition in row.operands[1:])])


# ---------------------------------------------------------------- rules: computed places


def _places(row, first):
    """The number of the sample and, behind it, the places: index arrays of one shape.

    first  the operand at which the places begin
    """
    n = len(row.operands)
    ndim = max(row.ndim(i) for i in range(first, n))
    aligned = [row.aligned(i, ndim) for i in range(first, n)]
    shape = [1] * ndim
    for ref in aligned:
        own = ref.shape[1:] if ref.ndim > ndim else ref.shape
        for axis, length in enumerate(own, ndim - len(own)):
            shape[axis] = length if length != 1 else shape[axis]
    return _samples_before(row, aligned, tuple(shape))


def _samples_before(row, places, shape: Shape):
    whole = (row.size, *shape)
    column = iota(places[0], shape=(row.size, *(1,) * len(shape)), axis=0)
    return [expand(place, shape=whole) for place in (column, *places)]


def _index(row):
    if not row.operands[0].is_batched and row.op is index:  # each sample reads all of x
        n = len(row.operands)
        ndim = max(row.ndim(i) for i in range(1, n))
        return row.emit([row.operands[0].ref, *(row.aligned(i, ndim) for i in range(1, n))])
    return row.emit([row.whole(0), *_places(row, 1)])


def _index_add(row):
    return row.emit([row.whole(0), *_places(row, 1)], shape=(row.size, *row.attrs["shape"]))


def _index_put(row):
    places = _places(row, 2)
    rank = places[0].ndim - 1 + row.ndim(0) - (len(places) - 1)
    return row.emit([row.whole(0), row.aligned(1, rank), *places])


def _scatter_add(row):
    if not row.attrs["shape"]:
        return None
    return row.emit(
        row.all_whole, shape=(row.size, *row.attrs["shape"]), axis=row.attrs["axis"] + 1
    )


def _nonzero(row):
    """The places first that are not zero: a stable order of what is."""
    x, count = row.whole(0), row.attrs["count"]
    flat = reshape(x, shape=(row.size, math.prod(x.shape[1:])))
    order = argsort(eq(flat, zero_like(flat)), axis=1, descending=False)
    return slice_(order, starts=(0, 0), lengths=(row.size, count), steps=(1, 1))


def _count_nonzero(row):
    x = row.whole(0)
    return sum_(
        cast(ne(x, zero_like(x)), dtype="int64"), axes=tuple(range(1, x.ndim)), keepdim=False
    )


def zero_like(x: Ref) -> Ref:
    """The number 0 in the dtype of x."""
    return x.builder.literal(0, aval((), x.dtype))


def _arg_extreme(row):
    """The place among all elements, which are one axis here; or along an axis."""
    axes, x = row.attrs["axes"], row.whole(0)
    if len(axes) == 1:
        return _axes(row)
    if len(axes) != x.ndim - 1:
        return None
    flat = reshape(x, shape=(row.size, math.prod(x.shape[1:])))
    found = row.emit([flat], axes=(1,), keepdim=False)
    shape = (1,) * len(axes) if row.attrs["keepdim"] else ()
    return reshape(found, shape=(row.size, *shape))


def _searchsorted(row):
    edges, values = row.operands
    if row.ndim(0) > 1:
        return row.emit(row.all_whole)
    if not edges.is_batched:
        return row.emit([edges.ref, values.ref])
    whole = row.whole(1)
    flat = reshape(whole, shape=(row.size, math.prod(whole.shape[1:])))
    return reshape(row.emit([edges.ref, flat]), shape=whole.shape)


# ---------------------------------------------------------------- rules: products


def _matmul(row):
    (x, x_batched), (y, y_batched) = row.operands
    left, right = row.ndim(0), row.ndim(1)
    if not y_batched and left == 2 and right == 2:  # one product of all rows
        n, m, k = x.shape
        return reshape(matmul(reshape(x, shape=(n * m, k)), y), shape=(n, m, y.shape[1]))
    if not y_batched and right <= 2:
        return matmul(x, y)
    if not x_batched and right == 1 and left == 2:
        return matmul(y, swap(x))
    if not x_batched and left == right == 1:
        return matmul(y, x)
    if left == right == 1:
        return sum_(x * y, axes=(1,), keepdim=False)
    return _product_of_matrices(row, left, right)


def _product_of_matrices(row, left, right):
    """Vectors as matrices of one row or column, which then goes."""
    x, y = row.whole(0), row.whole(1)
    if left == 1:
        x = reshape(x, shape=(row.size, 1, x.shape[-1]))
    if right == 1:
        y = reshape(y, shape=(*y.shape, 1))
    ndim = max(x.ndim, y.ndim)
    product = matmul(*(_with_ones(z, ndim) for z in (x, y)))
    *shape, m, n = product.shape
    if left == 1:
        shape = [*shape, n]
    elif right == 1:
        shape = [*shape, m]
    else:
        return product
    return reshape(product, shape=tuple(shape))


def _with_ones(x, ndim):
    return reshape(x, shape=(x.shape[0], *(1,) * (ndim - x.ndim), *x.shape[1:]))


# Convolutions know one batch axis and groups of channels: samples that share the weight are a
# longer batch, samples with weights of their own are groups.


def _convolution(row):
    x, w = row.operands
    if not w.is_batched:
        return _split(row.emit([_merge(x.ref), w.ref]), row.size)
    channels = _as_channels(row.whole(0))
    y = row.emit([channels, _merge(w.ref)], groups=row.attrs["groups"] * row.size)
    return _from_channels(y, row.size)


def _convolution_weight(row):
    operands = [_as_channels(row.whole(i)) for i in (0, 1)]
    return _split(row.emit(operands, groups=row.attrs["groups"] * row.size), row.size)


def _merge(x):
    """(n, m, ...) -> (n m, ...)."""
    return reshape(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:]))


def _split(x, n):
    return reshape(x, shape=(n, x.shape[0] // n, *x.shape[1:]))


def _as_channels(x):
    """(n, batch, channels, ...) -> (batch, n channels, ...)."""
    turned = permute(x, axes=(1, 0, *range(2, x.ndim)))
    batch, n, channels, *lengths = turned.shape
    return reshape(turned, shape=(batch, n * channels, *lengths))


def _from_channels(y, n):
    batch, channels, *lengths = y.shape
    apart = reshape(y, shape=(batch, n, channels // n, *lengths))
    return permute(apart, axes=(1, 0, *range(2, apart.ndim)))


# ---------------------------------------------------------------- tables

FAMILIES: dict[str, Rule] = {
    "elementwise": _elementwise,
    "complex": _elementwise,
    "library": _elementwise,
    "bitwise": _elementwise,
    "cast": _same,
    "copy": _same,
    "bits": _same,
    "pooling": _same,
    "reduction": _axes,
    "fourier": _axes,
    "scan": _axis,
    "rows": _axis,
    "join": _axis,
    "linalg": _leading(),
    "random": _drawn,
}
"""What the operations of a family share."""

RULES: dict[str, Rule] = {
    "reshape": _in_shape,
    "expand": _expand,
    "permute": _permute,
    "flip": _axes,
    "slice": _window,
    "unslice": _window,
    "replace": _window,
    "strided": _any_strides,
    "unstrided": _any_strides,
    "put_strided": _any_strides,
    "view_as_real": _same,
    "view_as_complex": _same,
    "copy_into": _copy_into,
    "refuse": _refuse,
    "index": _index,
    "index_add": _index_add,
    "index_put": _index_put,
    "index_last": _index,
    "index_combine": _index_put,
    "gather": _axis,
    "scatter_add": _scatter_add,
    "argsort": _axis,
    "sort": _axis,
    "argkth": _axis,
    "nonzero": _nonzero,
    "count_nonzero": _count_nonzero,
    "argmax": _arg_extreme,
    "argmin": _arg_extreme,
    "searchsorted": _searchsorted,
    "matmul": _matmul,
    "convolution": _convolution,
    "convolution_input": _convolution,
    "convolution_weight": _convolution_weight,
    "lu_permutation": _same,
    "lu_solve": _leading(2, 1, 2),
    "lu_inverse": _leading(2, 1),
    "det": _leading(2, 1),
    "cofactors": _leading(2, 1),
    "slogdet": _leading(2, 1),
}
"""The others, by name.  An operation in neither table is done sample by sample."""
