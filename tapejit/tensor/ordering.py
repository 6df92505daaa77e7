"""Order: sort, the k-th element, medians and quantiles, places in sorted numbers.

All of it is sorting and a gather: the slope of a sorted element belongs to the place it came from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, AxisError, DtypeError, SelectionError, ShapeError
from tapejit.registry import OPS
from tapejit.runtime.devices import on_host
from tapejit.shapes import normalize_axes, normalize_axis
from tapejit.tensor.core import Tensor, apply, data_beside, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.guards import read
from tapejit.tensor.joining import cat
from tapejit.tensor.parts import narrow
from tapejit.tensor.picking import gather
from tapejit.tensor.reducing import Extreme, as_floats
from tapejit.tensor.shaping import movedim, permute, ravel, reshape, squeeze

# ---------------------------------------------------------------- sorting


@export("sort")
def sort(input, dim=-1, descending=False, stable=False) -> Extreme:
    """The elements in order along an axis, and where they came from; NaN is above all.

    >>> import tapejit as tj
    >>> values, places = tj.sort(tj.tensor([3.0, 1.0, 2.0]), descending=True)
    >>> values, places
    (tensor([3., 2., 1.]), tensor([0, 2, 1]))
    """
    axis = normalize_axis("sort", dim, input._aval.ndim)
    order = (axis, bool(descending))
    return Extreme(apply(OPS["sort"], (input,), order), apply(OPS["argsort"], (input,), order))


@export("argsort")
def argsort(input, dim=-1, descending=False, stable=False) -> Tensor:
    """The places of the elements in sorted order.

    >>> import tapejit as tj
    >>> tj.argsort(tj.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    axis = normalize_axis("argsort", dim, input._aval.ndim)
    return apply(OPS["argsort"], (input,), (axis, bool(descending)))


@export("msort")
def msort(input) -> Tensor:
    """The elements in order along the first axis.

    >>> import tapejit as tj
    >>> tj.msort(tj.tensor([[3, 1], [2, 4]]))
    tensor([[2, 1],
            [3, 4]])
    """
    return sort(input, 0).values


def _numpy_sort(a, axis=-1):
    return sort(ravel(a), 0).values if axis is None else sort(a, axis).values


def _numpy_argsort(a, axis=-1):
    return argsort(ravel(a), 0) if axis is None else argsort(a, axis)


def _lexsort(keys, axis=-1):
    """Places in the order of the last key, equal ones in that of the key before, and so on."""
    keys = list(keys)
    place = normalize_axis("lexsort", axis, keys[0].ndim)
    order = argsort(keys[0], place)
    for key in keys[1:]:
        again = argsort(gather(key, place, order), place)
        order = gather(order, place, again)
    return order


FOR_NUMPY[np.sort] = _numpy_sort
FOR_NUMPY[np.argsort] = _numpy_argsort
FOR_NUMPY[np.partition] = lambda a, kth, axis=-1: _numpy_sort(a, axis)
FOR_NUMPY[np.argpartition] = lambda a, kth, axis=-1: _numpy_argsort(a, axis)
FOR_NUMPY[np.lexsort] = _lexsort


@export("topk")
def topk(input, k, dim=-1, largest=True, sorted=True) -> Extreme:
    """The k largest (or smallest) elements along an axis, in order.

    >>> import tapejit as tj
    >>> values, places = tj.topk(tj.tensor([3.0, 1.0, 2.0]), 2)
    >>> values, places
    (tensor([3., 2.]), tensor([0, 2]))
    """
    axis = normalize_axis("topk", dim, input._aval.ndim)
    n = input._aval.shape[axis] if input._aval.ndim else 1
    if not 0 <= k <= n:
        raise ShapeError("selected index k out of range")
    order = apply(OPS["argsort"], (input,), (axis, bool(largest)))
    if not input._aval.ndim:
        return Extreme(input.clone(), order)
    order = narrow(order, axis, 0, k)
    return Extreme(named(gather(input, axis, order), "TopkBackward0"), order)


def _picked(input, axis, place, keepdim, name) -> Extreme:
    """One element of each lane, and its place."""
    values = named(gather(input, axis, place), name)
    if keepdim:
        return Extreme(values, place)
    return Extreme(named(squeeze(values, axis), name), squeeze(place, axis))


def _lanes(name, input, dim, needs_elements=True):
    """A tensor of at least one axis, and the axis; NumPy scalars become vectors."""
    axis = normalize_axis(name, dim, input._aval.ndim)
    if not input._aval.ndim:
        return reshape(input, (1,)), 0
    if needs_elements and not input._aval.shape[axis]:
        raise AxisError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")
    return input, axis


@export("kthvalue")
def kthvalue(input, k, dim=-1, keepdim=False) -> Extreme:
    """The k-th smallest element along an axis, counted from 1, and its place.

    >>> import tapejit as tj
    >>> value, place = tj.kthvalue(tj.tensor([3.0, 1.0, 2.0]), 2)
    >>> value, place
    (tensor(2.), tensor(2))
    """
    is_number = not input._aval.ndim
    input, axis = _lanes("kthvalue", input, dim)
    if not 1 <= k <= input._aval.shape[axis]:
        raise SelectionError(f"kthvalue(): selected number k out of range for dimension {axis}")
    place = apply(OPS["argkth"], (input,), (axis, k - 1))
    return _picked(input, axis, place, keepdim and not is_number, "KthvalueBackward0")


# ---------------------------------------------------------------- medians


def _median_place(input, axis, skips_nan):
    """The place of the lower median; of a NaN if there is one, unless they are skipped."""
    n = input._aval.shape[axis]
    missing = input.isnan() if input._aval.dtype.is_floating_point else None
    if missing is not None and skips_nan:
        k = (n - 1 - missing.sum(axis, True)) // 2
        return gather(argsort(input, axis), axis, k.clamp(min=0))
    middle = apply(OPS["argkth"], (input,), (axis, (n - 1) // 2))
    if missing is None:
        return middle
    first = FUNCTIONS["argmax"](missing, axis, True)
    return FUNCTIONS["where"](missing.any(axis, True), first, middle)


def _shared(x, value):
    """A value with the slope of the elements that equal it, shared evenly among them."""
    if not x._aval.dtype.is_inexact:
        return value
    equals = (x == value) & value.isfinite()
    off = FUNCTIONS["where"](equals, x - value, 0.0).sum()
    return value + off / equals.sum().clamp(min=1)


def _median(name, input, dim, keepdim):
    skips_nan = name == "nanmedian"
    node = name.capitalize()
    if dim is None:
        if not input._aval.size:
            return FUNCTIONS["full"]((), math.nan, dtype=input.dtype, device=input.device)
        flat = ravel(input)
        value = _picked(flat, 0, _median_place(flat, 0, skips_nan), False, "").values
        return named(_shared(flat, value.detach()), f"{node}Backward0")
    is_number = not input._aval.ndim
    input, axis = _lanes(name, input, dim)
    place = _median_place(input, axis, skips_nan)
    return _picked(input, axis, place, keepdim and not is_number, f"{node}Backward1")


@export("median")
def median(input, dim=None, keepdim=False) -> Any:
    """The median, the lower one of two; along an axis also its place.  (NumPy's is their mean.)

    >>> import tapejit as tj
    >>> x = tj.tensor([[4.0, 1.0, 3.0, 2.0]])
    >>> tj.median(x)
    tensor(2.)
    >>> values, places = tj.median(x, 1)
    >>> values, places
    (tensor([2.]), tensor([3]))
    """
    return _median("median", input, dim, keepdim)


@export("nanmedian")
def nanmedian(input, dim=None, keepdim=False) -> Any:
    """As `median`, of what is not NaN.

    >>> import tapejit as tj
    >>> tj.nanmedian(tj.tensor([4.0, float("nan"), 3.0, 2.0]))
    tensor(3.)
    """
    return _median("nanmedian", input, dim, keepdim)


@export("mode")
def mode(input, dim=-1, keepdim=False) -> Extreme:
    """The most frequent element along an axis, the smallest one of equals, and its last place.

    >>> import tapejit as tj
    >>> value, place = tj.mode(tj.tensor([2, 1, 3, 1, 2]))
    >>> value, place
    (tensor(1), tensor(3))
    """
    is_number = not input._aval.ndim
    input, axis = _lanes("mode", input, dim)
    order = argsort(input, axis)
    ranked = gather(input, axis, order)
    n = input._aval.shape[axis]
    places = data_beside(input, np.arange(n)).reshape(
        [-1 if i == axis else 1 for i in range(input.ndim)]
    )
    # how long each run of equal elements is so far: the place less that of the run's begin
    changes = narrow(ranked, axis, 1, n - 1) != narrow(ranked, axis, 0, n - 1)
    begins = FUNCTIONS["where"](changes, narrow(places, axis, 1, n - 1), 0)
    zero = narrow(order, axis, 0, 1) * 0
    starts = FUNCTIONS["cummax"](cat([zero, begins], axis), axis).values
    best = FUNCTIONS["argmax"](places - starts, axis, True)
    return _picked(
        input, axis, gather(order, axis, best), keepdim and not is_number, "ModeBackward0"
    )


# ---------------------------------------------------------------- quantiles

_PLOTTING = {
    "interpolated_inverted_cdf": (0.0, 1.0), "hazen": (0.5, 0.5), "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3), "normal_unbiased": (3 / 8, 3 / 8),
}  # fmt: skip
"""NumPy's methods that draw a line between neighbours: alpha and beta of Hyndman and Fan."""

_METHODS = (
    "linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf", "averaged_inverted_cdf",
    "closest_observation", *_PLOTTING,
)  # fmt: skip


def _rank(q, n, method) -> tuple:
    """Where in n sorted elements a quantile lies: the place below, and the share of the next.

    Source: Hyndman and Fan 1996, as NumPy's _function_base_impl has it
    """
    if method in _PLOTTING:
        alpha, beta = _PLOTTING[method]
        at = q * n + (alpha + q * (1 - alpha - beta)) - 1
    elif method in ("inverted_cdf", "averaged_inverted_cdf"):
        at = q * n - 1
    elif method == "closest_observation":
        at = q * n - 1.5
    else:
        at = q * (n - 1)
    below = at.detach().floor()
    share = at - below
    if method in ("lower", "higher", "nearest", "midpoint"):
        up = {
            "lower": share < 0,
            "higher": share > 0,
            "nearest": (share > 0.5) | ((share == 0.5) & (below % 2 == 1)),
            "midpoint": share > 0,
        }[method]
        share = up.to(q.dtype) * (0.5 if method == "midpoint" else 1.0)
    elif method == "inverted_cdf":
        share = (share > 0).to(q.dtype)
    elif method == "averaged_inverted_cdf":
        share = (share > 0).to(q.dtype) * 0.5 + 0.5
    elif method == "closest_observation":
        share = 1.0 - ((share == 0) & (below % 2 == 1)).to(q.dtype)
    return below, share


def _quantile(name, input, q, dim, keepdim, method, skips_nan):
    if method not in _METHODS:
        raise ArgumentError(
            f"{name}() expected interpolation to be one of linear, lower, higher, midpoint or "
            f"nearest, but got {method}\n  try  one of {', '.join(_METHODS)}"
        )
    q = _checked(name, q, input)
    ndim = input._aval.ndim
    axes = normalize_axes(name, dim, ndim)
    outside = tuple(a for a in range(ndim) if a not in axes)
    lanes = tuple(input._aval.shape[a] for a in outside)
    x = reshape(permute(input, (*outside, *axes)), (*lanes, -1)) if ndim else reshape(input, (1,))
    n: Any = x._aval.shape[-1]
    if not n:
        raise SelectionError(f"{name}() input tensor must be non-empty")
    ranked = sort(x, -1).values
    missing = x.isnan()
    if skips_nan:
        n = (n - missing.sum(-1, True)).to(x.dtype)
    below, share = _rank(ravel(q), n, method)
    last = n - 1
    low = FUNCTIONS["minimum"](below.clamp(min=0), last)
    high = FUNCTIONS["minimum"]((below + 1).clamp(min=0), last)
    shape = (*lanes, q._aval.size)
    ends = [gather(ranked, -1, k.clamp(min=0).to(dtypes.int64).expand(shape)) for k in (low, high)]
    step = ends[1] - ends[0]
    # beside an infinity there is nothing to draw a line to
    is_low = ~step.isfinite() & ((ends[0] == ends[1]) | (share == 0))
    result = FUNCTIONS["where"](is_low, ends[0], ends[0] + share * step)
    if not skips_nan:
        result = FUNCTIONS["where"](missing.any(-1, True), math.nan, result)
    result = movedim(result, -1, 0)
    kept = [1 if a in axes else k for a, k in enumerate(input._aval.shape)] if keepdim else lanes
    return named(reshape(result, (*q._aval.shape, *kept)), "QuantileBackward0")


def _checked(name, q: Any, input) -> Any:
    """The quantiles as a tensor, in the dtype of the elements and within [0, 1]."""
    if not input._aval.dtype.is_floating_point:
        raise DtypeError(f"{name}() input tensor must be either float or double dtype")
    q = q if isinstance(q, Tensor) else data_beside(input, np.asarray(q, input._aval.dtype.dtype))
    values = on_host(q._value)
    if np.size(values) and not (np.min(values) >= 0 and np.max(values) <= 1):
        raise ArgumentError(f"{name}() q must be in the range [0, 1] but got {values}")
    if q._tracked:
        read(((q >= 0) & (q <= 1)).all())
    return q.to(input.dtype)


@export("quantile")
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """The q-th quantiles along an axis; several q give a first axis of them.

    interpolation  linear, lower, higher, midpoint, nearest, or a method of NumPy

    >>> import tapejit as tj
    >>> x = tj.tensor([4.0, 1.0, 3.0, 2.0])
    >>> tj.quantile(x, 0.5), tj.quantile(x, tj.tensor([0.0, 0.9]))
    (tensor(2.5000), tensor([1.0000, 3.7000]))
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@export("nanquantile")
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear") -> Tensor:
    """As `quantile`, of what is not NaN.

    >>> import tapejit as tj
    >>> tj.nanquantile(tj.tensor([1.0, float("nan"), 3.0]), 0.5)
    tensor(2.)
    """
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _numpy_quantile(name, percent, skips_nan):
    def function(a, q, axis=None, method="linear", keepdims=False):
        a = as_floats(a)
        q = q if isinstance(q, Tensor) else data_beside(a, q)
        return _quantile(name, a, q.to(a.dtype) / percent, axis, keepdims, method, skips_nan)

    return function


FOR_NUMPY[np.quantile] = _numpy_quantile("quantile", 1, False)
FOR_NUMPY[np.percentile] = _numpy_quantile("percentile", 100, False)
FOR_NUMPY[np.nanquantile] = _numpy_quantile("nanquantile", 1, True)
FOR_NUMPY[np.nanpercentile] = _numpy_quantile("nanpercentile", 100, True)


def _numpy_median(name, skips_nan):
    def function(a, axis=None, keepdims=False):
        return _quantile(name, as_floats(a), 0.5, axis, keepdims, "linear", skips_nan)

    return function


FOR_NUMPY[np.median] = _numpy_median("median", False)
FOR_NUMPY[np.nanmedian] = _numpy_median("nanmedian", True)

# ---------------------------------------------------------------- places in sorted numbers


@export("searchsorted", method=False)
def searchsorted(sorted_sequence, input, *, right=False, side=None) -> Tensor:
    """Where the elements would be inserted in sorted numbers to keep them sorted.

    >>> import tapejit as tj
    >>> tj.searchsorted(tj.tensor([1.0, 3.0, 5.0]), tj.tensor([3.0, 4.0]))
    tensor([1, 2])
    >>> tj.searchsorted(tj.tensor([1.0, 3.0, 5.0]), tj.tensor([3.0, 4.0]), right=True)
    tensor([2, 2])
    """
    if side not in (None, "left", "right"):
        raise ArgumentError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    edges, values = (tensor_of(v) for v in (sorted_sequence, input))
    if dtypes.bool_ in (edges._aval.dtype, values._aval.dtype):
        raise DtypeError("searchsorted(): booleans have no order\n  try  .int()")
    return apply(OPS["searchsorted"], (edges, values), (bool(right) or side == "right",))


FOR_NUMPY[np.searchsorted] = lambda a, v, side="left": searchsorted(a, v, side=side)


@export("bucketize")
def bucketize(input, boundaries, *, right=False) -> Tensor:
    """The number of the interval between sorted boundaries that each element is in.

    >>> import tapejit as tj
    >>> tj.bucketize(tj.tensor([0.0, 3.0, 9.0]), tj.tensor([1.0, 3.0, 5.0]))
    tensor([0, 1, 3])
    """
    return searchsorted(boundaries, input, right=right)


def _digitize(x, bins, right=False):
    edges = read(bins)
    if len(edges) > 1 and edges[0] > edges[-1]:
        return len(edges) - searchsorted(bins.flip(0), x, right=right)
    return searchsorted(bins, x, right=not right)


FOR_NUMPY[np.digitize] = _digitize


@export("isin", method=False)
def isin(elements, test_elements, *, assume_unique=False, invert=False) -> Tensor:
    """Which elements are among others.

    >>> import tapejit as tj
    >>> tj.isin(tj.tensor([1, 2, 3]), tj.tensor([3, 1]))
    tensor([ True, False,  True])
    """
    elements, tests = (tensor_of(v) for v in (elements, test_elements))
    if not tests._aval.size:
        found: Any = elements.to(dtypes.bool_) & False
    else:
        if dtypes.bool_ in (elements._aval.dtype, tests._aval.dtype):
            elements, tests = elements.to(dtypes.int64), tests.to(dtypes.int64)
        ranked = sort(ravel(tests), 0).values
        places = searchsorted(ranked, elements).clamp(max=tests._aval.size - 1)
        found = ranked.detach()[places] == elements
    return ~found if invert else found


FOR_NUMPY[np.isin] = lambda element, test_elements, invert=False: isin(
    element, test_elements, invert=invert
)
