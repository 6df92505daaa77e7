"""Order and picking: sort, gather, masks, places, and whether tensors are equal."""

from __future__ import annotations

import numpy as np

from tapejit import dtypes
from tapejit.errors import DtypeError, SelectionError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import broadcast, normalize_axis
from tapejit.tensor.core import Tensor, apply, as_data, number_as, wrap
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.indexing import mask_places
from tapejit.tensor.reducing import Extreme
from tapejit.tensor.shaping import ravel

# ---------------------------------------------------------------- order and picking


@export("sort")
def sort(input, dim=-1, descending=False, stable=False, *, axis=None):
    """The elements in order along an axis, and where they came from."""
    axis = normalize_axis("sort", dim if axis is None else axis, input._aval.ndim)
    order = (axis, bool(descending))
    return Extreme(apply(OPS["sort"], (input,), order), apply(OPS["argsort"], (input,), order))


FOR_NUMPY[np.sort] = lambda x, axis=-1, kind=None, order=None: (
    sort(ravel(x) if axis is None else x, -1 if axis is None else axis).values
)


@export("argsort")
def argsort(input, dim=-1, descending=False, stable=False, *, axis=None):
    """The places of the elements in sorted order."""
    axis = normalize_axis("argsort", dim if axis is None else axis, input._aval.ndim)
    return apply(OPS["argsort"], (input,), (axis, bool(descending)))


FOR_NUMPY[np.argsort] = lambda x, axis=-1, kind=None, order=None: argsort(x, axis)


@export("topk")
def topk(input, k, dim=-1, largest=True, sorted=True):
    """The k largest (or smallest) elements along an axis, in order."""
    axis = normalize_axis("topk", dim, input._aval.ndim)
    if k > input._aval.shape[axis]:
        raise ShapeError("selected index k out of range")
    order = apply(OPS["argsort"], (input,), (axis, bool(largest))).narrow(axis, 0, k)
    return Extreme(named(gather(input, axis, order), "TopkBackward0"), order)


@export("gather")
def gather(input, dim, index):
    """Elements picked along an axis: y[i][j] = x[i][index[i][j]] for dim 1."""
    axis = normalize_axis("gather", dim, input._aval.ndim)
    _check_index("gather", index, input, axis)
    return apply(OPS["gather"], (input, index), (axis,))


def _check_index(name, index, x, axis):
    """Raise unless all indices are integers within the axis of x."""
    if not isinstance(index, Tensor) or index._aval.dtype.category != dtypes.INTEGER:
        raise DtypeError(f"{name}(): Expected dtype int64 for index")
    value = index._value
    n = x._aval.shape[axis] if x._aval.ndim else 1
    if np.size(value) and (np.min(value) < 0 or np.max(value) >= n):
        bad = int(np.max(value) if np.max(value) >= n else np.min(value))
        raise SelectionError(
            f"index {bad} is out of bounds for dimension {axis} with size {n}: {name}"
        )


FOR_NUMPY[np.take_along_axis] = lambda x, indices, axis: gather(
    x, axis, indices if isinstance(indices, Tensor) else as_data(indices)
)


@export("index_select")
def index_select(input, dim, index):
    """The parts at the given indices of an axis."""
    axis = normalize_axis("index_select", dim, input._aval.ndim)
    _check_index("index_select", index, input, axis)
    key = (slice(None),) * axis + (index.reshape(-1),)
    return named(input[key], "IndexSelectBackward0")


@export("take")
def take(input, index, axis=None):
    """Elements by their place in the flattened tensor (NumPy: or along an axis)."""
    index = index if isinstance(index, Tensor) else as_data(index)
    if axis is not None:
        return input[(slice(None),) * normalize_axis("take", axis, input._aval.ndim) + (index,)]
    return named(ravel(input)[index], "TakeBackward0")


FOR_NUMPY[np.take] = lambda x, indices, axis=None, **kw: take(x, indices, axis)


@export("masked_fill")
def masked_fill(input, mask, value):
    """The tensor with `value` where the mask holds."""
    if mask._aval.dtype is not dtypes.bool_:
        raise DtypeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}"
        )
    if not isinstance(value, Tensor):
        value = wrap(number_as(value, input._aval.dtype))
    elif value._aval.ndim:
        raise ShapeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._aval.ndim} dimension(s)."
        )
    return named(FUNCTIONS["where"](mask, value, input), "MaskedFillBackward0")


@export("masked_select")
def masked_select(input, mask):
    """The elements where the mask holds, in one axis."""
    shape = broadcast("masked_select", input._aval.shape, mask._aval.shape)
    return named(input.expand(shape)[mask.expand(shape)], "MaskedSelectBackward0")


@export("nonzero", numpy=())
def nonzero(input, *, as_tuple=False):
    """The places of the elements that are not zero: (n, axes), or one tensor per axis."""
    mask = input if input._aval.dtype is dtypes.bool_ else input != 0
    places = mask_places(mask, mask._aval.shape, 0)
    if as_tuple:
        return tuple(places)
    if not places:
        return wrap(np.zeros((int(bool(mask._value)), 0), np.int64))
    return FUNCTIONS["stack"](places, 1)


FOR_NUMPY[np.nonzero] = lambda x: nonzero(x, as_tuple=True)


@export("unique", method=True)
def unique(input, sorted=True, return_inverse=False, return_counts=False):
    """The distinct elements in order (no derivative)."""
    values = np.unique(input._value, return_inverse=return_inverse, return_counts=return_counts)
    return tuple(wrap(v) for v in values) if isinstance(values, tuple) else wrap(values)


@export("bincount", numpy=("bincount",))
def bincount(input, weights=None, minlength=0):
    """How often each whole number from 0 occurs, or the sum of its weights (no derivative)."""
    weights = None if weights is None else weights._value
    return wrap(np.bincount(input._value, weights, minlength))


@export("searchsorted", method=False)
def searchsorted(sorted_sequence, input, *, right=False):
    """Where the elements would be inserted in a sorted vector (no derivative)."""
    values = input._value if isinstance(input, Tensor) else input
    places = np.searchsorted(sorted_sequence._value, values, side="right" if right else "left")
    return wrap(np.asarray(places, np.int64))


FOR_NUMPY[np.searchsorted] = lambda a, v, side="left", sorter=None: searchsorted(
    a, v, right=side == "right"
)


@export("equal", "array_equal")
def equal(input, other):
    """Whether shape and all elements agree, as a Python bool."""
    return input._aval.shape == other._aval.shape and bool((input == other).all())


FOR_NUMPY[np.array_equal] = lambda x, y, equal_nan=False: equal(x, y)


def _close(name, function):
    def compare(input, other, rtol=1e-5, atol=1e-8, equal_nan=False):
        other = other._value if isinstance(other, Tensor) else other
        with np.errstate(all="ignore"):
            result = function(input._value, other, rtol, atol, equal_nan)
        return wrap(result) if name == "isclose" else bool(result)

    compare.__name__ = name
    compare.__doc__ = "Whether |input - other| <= atol + rtol |other|."
    return export(name, numpy=(name,))(compare)


isclose, allclose = _close("isclose", np.isclose), _close("allclose", np.allclose)
