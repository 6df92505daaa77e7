"""Distinct elements: unique and its kin, NumPy's operations on sets, how often whole numbers occur.

The one idea: in sorted order equal elements are neighbours, so whether one differs from the one
before says where a run begins; its number is a running sum of that.  How many runs there are is
read, also from a GPU, and no element is.  The slope of a distinct element belongs to its first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import CPU, normalize_axis
from tapejit.tensor.core import Tensor, apply, data_beside, tensor_of, wrap
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export
from tapejit.tensor.indexing import mask_places
from tapejit.tensor.joining import cat
from tapejit.tensor.ordering import argsort, isin, sort
from tapejit.tensor.picking import take
from tapejit.tensor.shaping import movedim, ravel, reshape

# ---------------------------------------------------------------- runs of equal rows


class _Runs(NamedTuple):
    """Of rows that are equal, as int64."""

    first: Tensor
    """The place of the first row of each."""
    inverse: Tensor
    """Which of them each row is in."""
    counts: Tensor
    """Rows in each."""


def _is_at_hand(x: Tensor) -> bool:
    """Whether elements can be looked at without anybody's knowing: NumPy is faster then."""
    return not x._tracked and x._aval.device == CPU


def _rows(input: Tensor, axis: int | None) -> Tensor:
    """Elements, or slices of an axis, as rows of a matrix; without slopes."""
    x = input.detach()
    x = ravel(x) if axis is None else movedim(x, axis, 0)
    n = x._aval.shape[0]
    return reshape(x, (n, x._aval.size // max(n, 1)))


def _runs(rows: Tensor, order: Tensor | None, is_nan_equal: bool) -> _Runs:
    """Runs of equal neighbours: in that order, else as the rows lie."""
    n = rows._aval.shape[0]
    if not n:
        empty = data_beside(rows, np.zeros(0, np.int64))
        return _Runs(empty, empty, empty)
    ranked = rows if order is None else rows[order]
    after, before = ranked[1:], ranked[:-1]
    differs = after != before
    if is_nan_equal and rows._aval.dtype.is_inexact:
        differs = differs & ((after == after) | (before == before))
    begins = cat([data_beside(rows, np.ones(1, bool)), differs.any(1)])
    (starts,) = mask_places(begins, (n,), 0)
    number = begins.cumsum(0) - 1
    counts = cat([starts[1:], data_beside(rows, np.full(1, n))]) - starts
    if order is None:
        return _Runs(starts, number, counts)
    inverse = apply(OPS["index_put"], (FUNCTIONS["zeros_like"](number), number, order))
    return _Runs(order[starts], inverse, counts)


def _in_order(rows: Tensor) -> Tensor:
    """The places of rows in lexicographic order: sorted by the last column first, stably."""
    n, m = rows._aval.shape
    order = argsort(rows[:, m - 1], 0) if m else data_beside(rows, np.arange(n))
    for column in range(m - 2, -1, -1):
        order = order[argsort(rows[order, column], 0)]
    return order


def _distinct(input: Tensor, axis: int | None, is_nan_equal: bool) -> _Runs:
    """The distinct elements, or slices of an axis, in order."""
    if _is_at_hand(input):
        found = np.unique(input._value, True, True, True, axis, equal_nan=is_nan_equal)
        return _Runs(*(wrap(part.reshape(-1)) for part in found[1:]))
    rows = _rows(input, axis)
    return _runs(rows, _in_order(rows), is_nan_equal and axis is None)


def _handed(input: Tensor, axis: int | None, runs: _Runs, asked: tuple[bool, bool, bool]) -> Any:
    """The elements, and those of first, inverse and counts that are asked for."""
    first = runs.first
    values = take(input, first) if axis is None else input.index_select(axis, first)
    if axis is None:
        runs = runs._replace(inverse=reshape(runs.inverse, input._aval.shape))
    parts = [part for part, is_asked in zip(runs, asked, strict=True) if is_asked]
    return (values, *parts) if parts else values


# ---------------------------------------------------------------- PyTorch's


@export("unique")
def unique(
    input, sorted=True, return_inverse=False, return_counts=False, dim=None
) -> Any:  # fmt: skip
    """The distinct elements (or slices of an axis) in order; each has its first one's slope.

    No NaN equals another.

    >>> import tapejit as tj
    >>> tj.unique(tj.tensor([3, 1, 3]))
    tensor([1, 3])
    >>> values, counts = tj.unique(tj.tensor([3, 1, 3]), return_counts=True)
    >>> counts
    tensor([1, 2])
    """
    axis = None if dim is None else normalize_axis("unique", dim, input._aval.ndim)
    runs = _distinct(input, axis, False)
    return _handed(input, axis, runs, (False, return_inverse, return_counts))


@export("unique_consecutive")
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None) -> Any:
    """The elements (or slices of an axis) without those that equal the one before.

    >>> import tapejit as tj
    >>> tj.unique_consecutive(tj.tensor([1, 1, 2, 1]))
    tensor([1, 2, 1])
    """
    axis = None if dim is None else normalize_axis("unique_consecutive", dim, input._aval.ndim)
    runs = _runs(_rows(input, axis), None, False)
    return _handed(input, axis, runs, (False, return_inverse, return_counts))


@export("bincount", numpy=("bincount",))
def bincount(input, weights=None, minlength=0) -> Tensor:
    """How often each whole number from 0 occurs, or the sum of its weights.

    >>> import tapejit as tj
    >>> x = tj.tensor([0, 2, 2])
    >>> tj.bincount(x), tj.bincount(x, tj.tensor([0.5, 1.0, 1.0]))
    (tensor([1, 0, 2]), tensor([0.5000, 0.0000, 2.0000]))
    """
    input = tensor_of(input)
    known = input._aval
    if known.ndim != 1 or (known.dtype.is_inexact and known.size) or _is_negative(input):
        raise ArgumentError(
            "bincount only supports 1-d non-negative integral inputs.\n"
            f"  got  {known.dtype.name}{list(known.shape)}"
        )
    if minlength < 0:
        raise ArgumentError(f"bincount: minlength should be >= 0, got {minlength}")
    size = max(_largest(input) + 1 if known.size else 0, minlength)
    places = input.to(dtypes.int64)
    if weights is None:
        return apply(OPS["index_add"], (FUNCTIONS["ones_like"](places), places), ((size,),))
    weights = tensor_of(weights)
    if weights._aval.shape != known.shape:
        raise ShapeError(
            "bincount: weights should be 1-d and have the same length as input, got "
            f"{list(weights._aval.shape)} and {list(known.shape)}"
        )
    if weights._aval.dtype not in (dtypes.float32, dtypes.float64):
        weights = weights.double()
    return apply(OPS["index_add"], (weights, places), ((size,),))


def _is_negative(x: Tensor) -> bool:
    """Whether an element is."""
    if _is_at_hand(x):
        return bool((x._value < 0).any())
    return bool(x.lt(0).any())


def _largest(x: Tensor) -> int:
    return int(x._value.max() if _is_at_hand(x) else x.max())


# ---------------------------------------------------------------- NumPy's


def _numpy_unique(
    ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *,
    equal_nan=True, sorted=True,
):  # fmt: skip
    runs = _distinct(ar, axis, equal_nan)
    return _handed(ar, axis, runs, (return_index, return_inverse, return_counts))


FOR_NUMPY[np.unique] = _numpy_unique
FOR_NUMPY[np.unique_values] = lambda x: _numpy_unique(x, equal_nan=False)
FOR_NUMPY[np.unique_counts] = lambda x: _numpy_unique(x, return_counts=True, equal_nan=False)
FOR_NUMPY[np.unique_inverse] = lambda x: _numpy_unique(x, return_inverse=True, equal_nan=False)
FOR_NUMPY[np.unique_all] = lambda x: _numpy_unique(x, True, True, True, equal_nan=False)


def _set_operation(function, keeps):
    """np.union1d and its kin: distinct elements of both, of which some are kept."""

    def operation(ar1, ar2):
        first, second = (_numpy_unique(ravel(x)) for x in (ar1, ar2))
        return keeps(first, second)

    FOR_NUMPY[function] = operation


_set_operation(np.union1d, lambda x, y: _numpy_unique(cat([x, y])))
_set_operation(np.intersect1d, lambda x, y: x[isin(x, y)])
_set_operation(np.setdiff1d, lambda x, y: x[isin(x, y, invert=True)])
_set_operation(
    np.setxor1d,
    lambda x, y: sort(cat([x[isin(x, y, invert=True)], y[isin(y, x, invert=True)]]), 0).values,
)
