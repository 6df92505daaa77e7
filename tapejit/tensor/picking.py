"""Picking: gather, masks, places, and whether tensors are equal; order is in `ordering`."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import DtypeError, SelectionError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import CPU, broadcast, normalize_axis
from tapejit.tensor.core import (
    Tensor,
    apply,
    data_beside,
    number_as,
    tensor_of,
    to_place,
    wrap,
)
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.guards import read
from tapejit.tensor.indexing import mask_places
from tapejit.tensor.shaping import ravel

# ---------------------------------------------------------------- picking


@export("gather")
def gather(input, dim, index) -> Tensor:
    """Elements picked along an axis: y[i][j] = x[i][index[i][j]] for dim 1.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.gather(x, 1, tj.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    axis = normalize_axis("gather", dim, input._aval.ndim)
    index = checked_index("gather", index, input, axis)
    if index._aval.ndim != input._aval.ndim:
        raise ShapeError("Index tensor must have the same number of dimensions as input tensor")
    if not input._aval.ndim:
        return named(apply(OPS["clone"], (input,)), "GatherBackward0")
    lengths = zip(index._aval.shape, input._aval.shape, strict=True)
    if any(n > m and a != axis for a, (n, m) in enumerate(lengths)):
        raise ShapeError(
            f"Size does not match at dimension {axis} expected index {list(index._aval.shape)} to "
            f"be no larger than self {list(input._aval.shape)} apart from dimension {axis}"
        )
    return apply(OPS["gather"], (input, index), (axis,))


def checked_index(name: str, index, x: Tensor, axis: int, negative: bool = False) -> Tensor:
    """The indices where x is; raise unless all are integers within its axis.

    On a GPU a loop finds those out of range, later: looking here would be waiting for it.

    negative  whether they may count from the end
    """
    if not isinstance(index, Tensor) or index._aval.dtype.category != dtypes.INTEGER:
        raise DtypeError(f"{name}(): Expected dtype int64 for index")
    n = x._aval.shape[axis] if x._aval.ndim else 1
    if x._aval.device != CPU:
        index = to_place(index, x._aval.device)
        return index if negative else FUNCTIONS["where"](index.lt(0), n, index)
    value = index._value
    if index._tracked and not negative:
        read(apply(OPS["all"], (index >= 0,), (tuple(range(index._aval.ndim)), False)))
    lowest = -n if negative else 0
    if np.size(value) and (np.min(value) < lowest or np.max(value) >= n):
        bad = int(np.max(value) if np.max(value) >= n else np.min(value))
        raise SelectionError(
            f"index {bad} is out of bounds for dimension {axis} with size {n}: {name}"
        )
    return index


@export("index_select")
def index_select(input, dim, index) -> Tensor:
    """The parts at the given indices of an axis.

    >>> import tapejit as tj
    >>> tj.index_select(tj.tensor([[1, 2], [3, 4]]), 1, tj.tensor([1, 1, 0]))
    tensor([[2, 2, 1],
            [4, 4, 3]])
    """
    axis = normalize_axis("index_select", dim, input._aval.ndim)
    index = checked_index("index_select", index, input, axis)
    key = (slice(None),) * axis + (index.reshape(-1),)
    return named(input[key], "IndexSelectBackward0")


@export("take")
def take(input, index, axis=None) -> Tensor:
    """Elements by their place in the flattened tensor (NumPy: or along an axis).

    >>> import tapejit as tj
    >>> tj.take(tj.tensor([[1, 2], [3, 4]]), tj.tensor([3, 0]))
    tensor([4, 1])
    """
    index = tensor_of(index)
    if axis is not None:
        return input[(slice(None),) * normalize_axis("take", axis, input._aval.ndim) + (index,)]
    return named(ravel(input)[index], "TakeBackward0")


@export("masked_fill")
def masked_fill(input, mask, value) -> Tensor:
    """The tensor with `value` where the mask holds.

    >>> import tapejit as tj
    >>> tj.masked_fill(tj.tensor([1.0, 2.0]), tj.tensor([True, False]), -9.0)
    tensor([-9.,  2.])
    """
    if mask._aval.dtype is not dtypes.bool_:
        raise DtypeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}"
        )
    variant = int(isinstance(value, Tensor))
    if not isinstance(value, Tensor):
        value = wrap(number_as(value, input._aval.dtype))
    elif value._aval.ndim:
        raise ShapeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._aval.ndim} dimension(s)."
        )
    return named(FUNCTIONS["where"](mask, value, input), f"MaskedFillBackward{variant}")


@export("masked_select")
def masked_select(input, mask) -> Tensor:
    """The elements where the mask holds, in one axis.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1.0, -2.0], [-3.0, 4.0]])
    >>> tj.masked_select(x, x > 0)
    tensor([1., 4.])
    """
    shape = broadcast("masked_select", input._aval.shape, mask._aval.shape)
    return named(input.expand(shape)[mask.expand(shape)], "MaskedSelectBackward0")


@export("nonzero", numpy=())
def nonzero(input, *, as_tuple=False) -> Any:
    """The places of the elements that are not zero: (n, axes), or one tensor per axis.

    >>> import tapejit as tj
    >>> tj.nonzero(tj.tensor([[0, 5], [6, 0]]))
    tensor([[0, 1],
            [1, 0]])
    >>> tj.nonzero(tj.tensor([0, 5, 6]), as_tuple=True)
    (tensor([1, 2]),)
    """
    mask = input if input._aval.dtype is dtypes.bool_ else input != 0
    places = mask_places(mask, mask._aval.shape, 0)
    if as_tuple:
        return tuple(places)
    if not places:
        return data_beside(input, np.zeros((int(bool(mask)), 0), np.int64))
    return FUNCTIONS["stack"](places, 1)


FOR_NUMPY[np.nonzero] = lambda x: nonzero(x, as_tuple=True)


@export("equal", "array_equal")
def equal(input, other) -> bool:
    """Whether shape and all elements agree, as a Python bool.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0])
    >>> tj.equal(x, x + 0), tj.equal(x, tj.tensor([1.0]))
    (True, False)
    """
    return input._aval.shape == other._aval.shape and bool((input == other).all())


@export("isclose", numpy=("isclose",))
def isclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False) -> Tensor:
    """Where |input - other| <= atol + rtol |other|; infinities are close to their like.

    >>> import tapejit as tj
    >>> tj.isclose(tj.tensor([1.0, 2.0, float("inf")]), tj.tensor([1.0 + 1e-6, 2.1, float("inf")]))
    tensor([ True, False,  True])
    """
    input, other = (tensor_of(x) for x in (input, other))
    result: Any = input == other
    if dtypes.bool_ not in (input._aval.dtype, other._aval.dtype):
        near = (input - other).abs() <= atol + rtol * other.abs()
        result = result | (near & other.isfinite())
    if equal_nan:
        result = result | (input.isnan() & other.isnan())
    return result


@export("allclose", numpy=("allclose",))
def allclose(input, other, rtol=1e-5, atol=1e-8, equal_nan=False) -> bool:
    """Whether all elements are close, as a Python bool.

    >>> import tapejit as tj
    >>> tj.allclose(tj.tensor([1.0, 2.0]), tj.tensor([1.0 + 1e-6, 2.0]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan).all())
