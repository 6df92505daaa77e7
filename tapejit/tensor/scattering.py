"""Writing at computed places: scatter, index_add, index_put, masked_scatter and their kin.

Each is a copy of the input with elements written or combined at places (`combine_item`); the method
with an underscore writes that into the memory of the tensor.  Where places repeat, what is written
last wins, and alone has a slope; what is combined does not depend on an order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, DtypeError, SelectionError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import broadcast, normalize_axis
from tapejit.tensor.core import Tensor, apply, data_beside, legacy_name, number_as
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.indexing import combine_item
from tapejit.tensor.inplace import in_place
from tapejit.tensor.picking import checked_index, gather, nonzero
from tapejit.tensor.repeating import expand
from tapejit.tensor.shaping import ravel, reshape

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")

# ---------------------------------------------------------------- places along an axis


def _scatter_places(name, x, axis, index, src):
    """(x, key, source) of a scatter: the place of every element of `index`."""
    index = checked_index(name, index, x, axis)
    shape = index._aval.shape
    if x._aval.ndim != len(shape) or src._aval.ndim != len(shape):
        raise ShapeError(
            f"{name}: Index tensor must have the same number of dimensions as self and src tensor, "
            f"got {len(shape)}, {x._aval.ndim} and {src._aval.ndim}"
        )
    if any(
        n > s or (n > m and a != axis)
        for a, (n, m, s) in enumerate(zip(shape, x._aval.shape, src._aval.shape, strict=True))
    ):
        raise ShapeError(
            f"Expected index {list(shape)} to be no larger than self {list(x._aval.shape)} apart "
            f"from dimension {axis} and to be no larger size than src {list(src._aval.shape)}"
        )
    if shape != src._aval.shape:
        src = src[tuple(slice(n) for n in shape)]
    key = [
        index if a == axis else apply(OPS["iota"], (index,), (shape, a)) for a in range(len(shape))
    ]
    return tuple(key), src


def _check_same_dtype(name, x, src):
    if src._aval.dtype is not x._aval.dtype:
        raise ArgumentError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, got "
            f"{legacy_name(x._aval.dtype)} and {legacy_name(src._aval.dtype)}"
        )


def _scattered(name, x, dim, index, src, how, include_self=True):
    axis = normalize_axis(name, dim, x._aval.ndim)
    if not isinstance(src, Tensor):
        src = expand(data_beside(x, number_as(src, x._aval.dtype)), index._aval.shape)
    _check_same_dtype(name, x, src)
    if not x._aval.ndim:
        x, index, src = (reshape(v, (-1,)) for v in (x, index, src))
        return reshape(_scattered(name, x, 0, index, src, how, include_self), ())
    if not index._aval.size:
        return apply(OPS["clone"], (x,))
    key, src = _scatter_places(name, x, axis, index, src)
    return _combined(x, key, src, how, include_self)


@export("scatter")
def scatter(input, dim, index, src=None, *, value=None, reduce=None) -> Tensor:
    """A copy with elements of `src` (or one number) written along an axis.

    For dim 1: y[i][index[i][j]] = src[i][j].

    reduce  "add" or "multiply": combined with what is there

    >>> import tapejit as tj
    >>> tj.scatter(tj.zeros(2, 3), 1, tj.tensor([[2], [0]]), tj.tensor([[1.0], [2.0]]))
    tensor([[0., 0., 1.],
            [2., 0., 0.]])
    """
    if reduce not in (None, "add", "multiply"):
        raise ArgumentError("reduce argument must be either add or multiply.")
    src = value if src is None else src
    how = {None: "put", "add": "sum", "multiply": "prod"}[reduce]
    variant = int(not isinstance(src, Tensor))
    result = _scattered("scatter", input, dim, index, src, how)
    return named(result, f"ScatterBackward{variant}")


@export("scatter_add")
def scatter_add(input, dim, index, src) -> Tensor:
    """A copy with elements of `src` added along an axis; those of one place add up.

    >>> import tapejit as tj
    >>> tj.scatter_add(tj.zeros(3), 0, tj.tensor([0, 2, 0]), tj.tensor([1.0, 2.0, 3.0]))
    tensor([4., 0., 2.])
    """
    axis = normalize_axis("scatter_add", dim, input._aval.ndim)
    _check_same_dtype("scatter_add", input, src)
    if not input._aval.ndim or not index._aval.size:
        return _scattered("scatter_add", input, dim, index, src, "sum")
    _, src = _scatter_places("scatter_add", input, axis, index, src)
    added = apply(OPS["scatter_add"], (src, index), (input._aval.shape, axis))
    return named(input + added, "ScatterAddBackward0")


@export("scatter_reduce")
def scatter_reduce(input, dim, index, src, reduce, *, include_self=True) -> Tensor:
    """A copy with elements of `src` combined along an axis: sum, prod, mean, amax or amin.

    include_self  whether what is there counts too, at places that get something

    >>> import tapejit as tj
    >>> x, places = tj.tensor([1.0, 2.0]), tj.tensor([0, 0, 1])
    >>> tj.scatter_reduce(x, 0, places, tj.tensor([3.0, 5.0, 7.0]), "amax")
    tensor([5., 7.])
    >>> tj.scatter_reduce(x, 0, places, tj.tensor([3.0, 5.0, 7.0]), "mean", include_self=False)
    tensor([4., 7.])
    """
    if reduce not in REDUCTIONS:
        raise ArgumentError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    result = _scattered("scatter_reduce", input, dim, index, src, reduce, include_self)
    return named(result, "ScatterReduceBackward0")


# ---------------------------------------------------------------- combined


def _neutral(dtype, how):
    """What changes nothing."""
    if how in ("sum", "mean", "prod"):
        return int(how == "prod")
    lowest, highest = (
        (-np.inf, np.inf)
        if dtype.is_floating_point
        else (0, 1)
        if dtype.category == dtypes.BOOL
        else (np.iinfo(dtype.dtype).min, np.iinfo(dtype.dtype).max)
    )
    return lowest if how == "amax" else highest


def _combined(x, key, src, how, include_self=True) -> Tensor:
    """A copy of x with `src` put at, or combined with what is at, places."""
    if how in ("put", "sum") and include_self:
        return combine_item(x, key, src, how)
    counts: Any = None
    if not include_self or how == "mean":
        zeros, ones = (data_beside(x, number_as(n, x._aval.dtype)) for n in (0, 1))
        counts = combine_item(expand(zeros, x._aval.shape), key, ones, "sum")
    if not include_self:
        neutral = data_beside(x, number_as(_neutral(x._aval.dtype, how), x._aval.dtype))
        x = FUNCTIONS["where"](counts > 0, neutral, x)
    result = combine_item(x, key, src, "sum" if how == "mean" else how)
    if how == "mean":
        counts = counts + 1 if include_self else counts.clamp(min=1)
        if x._aval.dtype.is_floating_point or x._aval.dtype.category > dtypes.FLOAT:
            return result / counts
        return FUNCTIONS["div"](result, counts, rounding_mode="floor")
    return result


# ---------------------------------------------------------------- places on one axis


def _axis_places(name, x, dim, index, source):
    """(key, source) of operations with one index per part along an axis."""
    axis = normalize_axis(name, dim, x._aval.ndim)
    index = checked_index(name, index, x, axis)
    if index._aval.ndim > 1:
        raise SelectionError(f"{name}(): Index is supposed to be a vector, got {index._aval.ndim}D")
    index = reshape(index, (-1,))
    if source is not None:
        wanted = (*x._aval.shape[:axis], index._aval.size, *x._aval.shape[axis + 1 :])
        if not source._aval.ndim and index._aval.size == 1:
            source = expand(source, wanted)
        if source._aval.shape != wanted:
            raise SelectionError(
                f"{name}(): Number of indices ({index._aval.size}) should be equal to "
                f"source.size(dim): source has shape {list(source._aval.shape)}, wanted "
                f"{list(wanted)}"
            )
        if source._aval.dtype is not x._aval.dtype:
            raise SelectionError(
                f"{name}(): self and source expected to have the same dtype, but got (self) "
                f"{legacy_name(x._aval.dtype)} and (source) {legacy_name(source._aval.dtype)}"
            )
    if not x._aval.ndim:
        return None, source
    return (slice(None),) * axis + (index,), source


def _along_axis(name, x, dim, index, source, how, include_self=True):
    key, source = _axis_places(name, x, dim, index, source)
    if key is None:  # a number: the one place there is
        x, index, source = (reshape(v, (-1,)) for v in (x, index, source))
        return reshape(_combined(x, (index,), source, how, include_self), ())
    return _combined(x, key, source, how, include_self)


@export("index_add")
def index_add(input, dim, index, source, *, alpha=1) -> Tensor:
    """A copy with the parts of `alpha * source` added at the given indices of an axis.

    >>> import tapejit as tj
    >>> tj.index_add(tj.zeros(2), 0, tj.tensor([0, 0, 1]), tj.tensor([1.0, 2.0, 3.0]), alpha=2)
    tensor([6., 6.])
    """
    source = source if alpha == 1 else source * alpha
    result = _along_axis("index_add", input, dim, index, source, "sum")
    return named(result, "IndexAddBackward0")


@export("index_copy")
def index_copy(input, dim, index, source) -> Tensor:
    """A copy with the parts of `source` at the given indices of an axis.

    >>> import tapejit as tj
    >>> tj.index_copy(tj.zeros(3), 0, tj.tensor([2, 0]), tj.tensor([5.0, 6.0]))
    tensor([6., 0., 5.])
    """
    result = _along_axis("index_copy", input, dim, index, source, "put")
    return named(result, "IndexCopyBackward0")


@export("index_reduce")
def index_reduce(input, dim, index, source, reduce, *, include_self=True) -> Tensor:
    """A copy with the parts of `source` combined at indices of an axis: prod, mean, amax or amin.

    >>> import tapejit as tj
    >>> tj.index_reduce(tj.ones(2), 0, tj.tensor([0, 0]), tj.tensor([3.0, 5.0]), "prod")
    tensor([15.,  1.])
    """
    if reduce not in REDUCTIONS[1:]:
        raise ArgumentError(
            "index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    result = _along_axis("index_reduce", input, dim, index, source, reduce, include_self)
    return named(result, "IndexReduceBackward0")


@export("index_fill")
def index_fill(input, dim, index, value) -> Tensor:
    """A copy with `value` at the given indices of an axis.

    >>> import tapejit as tj
    >>> tj.index_fill(tj.zeros(2, 3), 1, tj.tensor([0, 2]), 1.0)
    tensor([[1., 0., 1.],
            [1., 0., 1.]])
    """
    if isinstance(value, Tensor) and value._aval.ndim:
        raise ShapeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._aval.ndim} dimension(s)."
        )
    axis = normalize_axis("index_fill", dim, input._aval.ndim)
    index = checked_index("index_fill", index, input, axis, negative=True)
    variant = int(isinstance(value, Tensor))
    if not isinstance(value, Tensor):
        value = data_beside(input, number_as(value, input._aval.dtype))
    if not input._aval.ndim:
        return value.to(input.dtype) if index._aval.size else input.clone()
    key = (slice(None),) * axis + (reshape(index, (-1,)),)
    result = combine_item(input, key, value.to(input.dtype))
    return named(result, f"IndexFillBackward{variant}")


# ---------------------------------------------------------------- places by arrays and masks


@export("index_put")
def index_put(input, indices, values, accumulate=False) -> Tensor:
    """A copy with `values` written, or added, at places told by a tuple of arrays or masks.

    >>> import tapejit as tj
    >>> tj.index_put(tj.zeros(3), (tj.tensor([0, 0]),), tj.tensor([1.0, 2.0]), accumulate=True)
    tensor([3., 0., 0.])
    """
    key = tuple(slice(None) if i is None else i for i in indices)
    result = combine_item(input, key, values, "sum" if accumulate else "put")
    return named(result, "IndexPutBackward0")


@export("put")
def put(input, index, source, accumulate=False) -> Tensor:
    """A copy with elements written, or added, at places of the flattened tensor.

    >>> import tapejit as tj
    >>> tj.put(tj.zeros(2, 2), tj.tensor([1, -1]), tj.tensor([5.0, 6.0]))
    tensor([[0., 5.],
            [0., 6.]])
    """
    index = checked_index("put", index, ravel(input), 0, negative=True)
    if index._aval.size != source._aval.size:
        raise SelectionError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {source._aval.size}, index.numel() = {index._aval.size}"
        )
    if source._aval.dtype is not input._aval.dtype:
        raise SelectionError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{legacy_name(input._aval.dtype)} and source.dtype = {legacy_name(source._aval.dtype)}"
        )
    how = "sum" if accumulate else "put"
    flat = combine_item(ravel(input), (ravel(index),), ravel(source), how)
    return named(reshape(flat, input._aval.shape), "PutBackward0")


@export("masked_scatter")
def masked_scatter(input, mask, source) -> Tensor:
    """A copy with the elements of `source`, one after the other, where the mask holds.

    >>> import tapejit as tj
    >>> tj.masked_scatter(tj.zeros(3), tj.tensor([True, False, True]), tj.tensor([5.0, 6.0, 7.0]))
    tensor([5., 0., 6.])
    """
    if mask._aval.dtype is not dtypes.bool_:
        raise DtypeError(f"masked_scatter_ only supports boolean masks, but got {mask.dtype}")
    if source._aval.dtype is not input._aval.dtype:
        raise SelectionError(
            "masked_scatter: expected self and source to have same dtypes but got "
            f"{legacy_name(input._aval.dtype)} and {legacy_name(source._aval.dtype)}"
        )
    shape = FUNCTIONS["broadcast_shapes"](input._aval.shape, mask._aval.shape)
    places = nonzero(ravel(expand(mask, shape)), as_tuple=True)[0]
    if places._aval.size > source._aval.size:
        raise ShapeError(
            f"masked_scatter: expected at least {places._aval.size} elements in source, got "
            f"{source._aval.size}"
        )
    flat = ravel(expand(input, shape))
    result = combine_item(flat, (places,), ravel(source)[: places._aval.size])
    return named(reshape(result, shape), "MaskedScatterBackward0")


@export("take_along_dim")
def take_along_dim(input, indices, dim=None) -> Tensor:
    """Elements picked along an axis, the others broadcast; without one of the flattened tensor.

    >>> import tapejit as tj
    >>> x = tj.tensor([[3.0, 1.0], [2.0, 4.0]])
    >>> tj.take_along_dim(x, tj.argsort(x, 1), 1)
    tensor([[1., 3.],
            [2., 4.]])
    """
    if dim is None:
        return gather(ravel(input), 0, ravel(indices))
    if input._aval.ndim != indices._aval.ndim:
        raise ShapeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input._aval.ndim} dimensions for input, and {indices._aval.ndim} dimensions "
            "for indices"
        )
    axis = normalize_axis("take_along_dim", dim, input._aval.ndim)
    before, after = (
        broadcast("take_along_dim", *(x._aval.shape[part] for x in (input, indices)))
        for part in (slice(axis), slice(axis + 1, None))
    )
    input, indices = (expand(x, (*before, x._aval.shape[axis], *after)) for x in (input, indices))
    return gather(input, axis, indices)


@export("argwhere", numpy=("argwhere",))
def argwhere(input) -> Tensor:
    """The places of the elements that are not zero, one row each.

    >>> import tapejit as tj
    >>> tj.argwhere(tj.tensor([[0, 5], [6, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    return nonzero(input)


FOR_NUMPY[np.flatnonzero] = lambda a: nonzero(ravel(a), as_tuple=True)[0]

# ---------------------------------------------------------------- in place


for _function in (
    scatter, scatter_add, scatter_reduce, index_add, index_copy, index_reduce, index_fill,
    index_put, put, masked_scatter,
):  # fmt: skip
    _reads = _function in (scatter, scatter_reduce, index_reduce)
    setattr(
        Tensor, f"{_function.__name__}_", in_place(_function, _function.__name__, _reads, False)
    )
FUNCTIONS["index_put_"] = vars(Tensor)["index_put_"]
