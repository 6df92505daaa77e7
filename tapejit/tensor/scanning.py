"""Running sums, products and extremes, differences of neighbours, and integrals by trapezoids.

The scans are rows of `ops.scans`; differences and integrals are made of slices.
"""

from __future__ import annotations

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import as_dtype
from tapejit.errors import ArgumentError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.joining import cat
from tapejit.tensor.parts import narrow
from tapejit.tensor.picking import gather
from tapejit.tensor.reducing import Extreme
from tapejit.tensor.shaping import ravel

# ---------------------------------------------------------------- scans


def _scan(name, input, dim, dtype=None):
    """One scan along an axis; of the flattened tensor if none is given, as NumPy has it."""
    if dim is None:
        input, dim = ravel(input), 0
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    axis = normalize_axis(name, dim, input._aval.ndim)
    if not input._aval.ndim:
        whole = name in ("cumsum", "cumprod") and not input._aval.dtype.is_inexact
        return input.to(dtypes.int64) if whole else input.clone()
    return apply(OPS[name], (input,), (axis,))


@export("cumsum", numpy=("cumsum",))
def cumsum(input, dim=None, *, dtype=None) -> Tensor:
    """Running sum along an axis (NumPy: of the flattened tensor if none is given).

    >>> import tapejit as tj
    >>> tj.cumsum(tj.tensor([[1, 2, 3], [4, 5, 6]]), 1)
    tensor([[ 1,  3,  6],
            [ 4,  9, 15]])
    """
    return _scan("cumsum", input, dim, dtype)


@export("cumprod", numpy=("cumprod",))
def cumprod(input, dim=None, *, dtype=None) -> Tensor:
    """Running product along an axis; its slopes are exact where elements are zero.

    >>> import tapejit as tj
    >>> x = tj.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> y = tj.cumprod(x, 0)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([2., 0., 0.]), tensor([1., 8., 0.]))
    """
    return _scan("cumprod", input, dim, dtype)


@export("logcumsumexp")
def logcumsumexp(input, dim) -> Tensor:
    """Running log(sum(exp(x))) along an axis, without overflow.

    >>> import tapejit as tj
    >>> tj.logcumsumexp(tj.tensor([1000.0, 1000.0, 0.0]), 0)
    tensor([1000.0000, 1000.6932, 1000.6932])
    """
    return _scan("logcumsumexp", input, dim)


def _running_extreme(name, input, dim):
    axis = normalize_axis(name, dim, input._aval.ndim)
    places = apply(OPS[name.replace("cum", "cumarg")], (input,), (axis,))
    values = gather(input, axis, places) if input._aval.ndim else input.clone()
    return Extreme(named(values, f"{name.capitalize()}Backward0"), places)


@export("cummax")
def cummax(input, dim) -> Extreme:
    """The largest element so far along an axis, and its place: the last one of equals.

    >>> import tapejit as tj
    >>> values, places = tj.cummax(tj.tensor([1.0, 3.0, 2.0, 3.0]), 0)
    >>> values, places
    (tensor([1., 3., 3., 3.]), tensor([0, 1, 1, 3]))
    """
    return _running_extreme("cummax", input, dim)


@export("cummin")
def cummin(input, dim) -> Extreme:
    """The smallest element so far along an axis, and its place: the last one of equals.

    >>> import tapejit as tj
    >>> values, places = tj.cummin(tj.tensor([3.0, 1.0, 2.0]), 0)
    >>> values, places
    (tensor([3., 1., 1.]), tensor([0, 1, 1]))
    """
    return _running_extreme("cummin", input, dim)


def _cumulative(scan, start):
    """np.cumulative_sum and np.cumulative_prod: a scan that may begin with what nothing gives."""

    def function(x, *, axis=None, dtype=None, include_initial=False):
        if axis is None and x._aval.ndim > 1:
            raise ArgumentError("cumulative_sum: tensors of several axes need an axis\n  try  axis")
        axis = normalize_axis("cumulative_sum", 0 if axis is None else axis, x._aval.ndim)
        result = scan(x, axis, dtype=dtype)
        if not include_initial:
            return result
        shape = [1 if i == axis else n for i, n in enumerate(result.shape)]
        first = FUNCTIONS["full"](shape, start, dtype=result.dtype, device=result.device)
        return cat([first, result], axis)

    return function


FOR_NUMPY[np.cumulative_sum] = _cumulative(cumsum, 0)
FOR_NUMPY[np.cumulative_prod] = _cumulative(cumprod, 1)

# ---------------------------------------------------------------- neighbours


@export("diff", numpy=("diff",))
def diff(input, n=1, dim=-1, prepend=None, append=None) -> Tensor:
    """Differences of neighbours along an axis, n times.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 4.0, 9.0, 16.0])
    >>> tj.diff(x), tj.diff(x, 2), tj.diff(x, prepend=tj.tensor([0.0]))
    (tensor([3., 5., 7.]), tensor([2., 2.]), tensor([1., 3., 5., 7.]))
    """
    axis = normalize_axis("diff", dim, input._aval.ndim)
    if n < 0:
        raise ArgumentError(f"order must be non-negative but got {n}: diff")
    parts = [_beside(part, input, axis) for part in (prepend, input, append) if part is not None]
    if n and len(parts) > 1:
        input = cat(parts, axis)
    for _ in range(n):
        behind, before = _neighbours(input, axis)
        is_bool = input._aval.dtype is dtypes.bool_
        input = behind != before if is_bool else behind - before
    return input


def _beside(part, input, axis):
    """What is put before or behind a tensor: a number stands for one slice of it."""
    part = tensor_of(part)
    if part._aval.ndim:
        return part
    return part.to(input.dtype).expand([1 if i == axis else k for i, k in enumerate(input.shape)])


def _neighbours(x, axis):
    """Each element but the first, and the ones before them."""
    n = max(x._aval.shape[axis] - 1, 0)
    return narrow(x, axis, min(1, x._aval.shape[axis]), n), narrow(x, axis, 0, n)


def _ediff1d(ary, to_end=None, to_begin=None):
    steps = diff(ravel(ary))
    parts = (to_begin, steps, to_end)
    return cat([ravel(_beside(p, steps, 0)).to(steps.dtype) for p in parts if p is not None], 0)


FOR_NUMPY[np.ediff1d] = _ediff1d

# ---------------------------------------------------------------- integrals


def _panels(y, x, dx, dim):
    """The areas of the trapezoids between neighbours."""
    axis = normalize_axis("trapezoid", dim, y._aval.ndim)
    behind, before = _neighbours(y, axis)
    if x is None:
        return (behind + before) * (0.5 * (1.0 if dx is None else dx)), axis
    x = tensor_of(x)
    if x._aval.ndim == 1:
        x = x.reshape([-1 if i == axis else 1 for i in range(y._aval.ndim)])
    along = normalize_axis("trapezoid", axis - y._aval.ndim, x._aval.ndim)
    right, left = _neighbours(x, along)
    return (behind + before) * (right - left) * 0.5, axis


@export("trapezoid", "trapz", method=False)
def trapezoid(y, x=None, *, dx=None, dim=-1) -> Tensor:
    """The integral along an axis by the trapezoid rule, of points x or at distances dx.

    >>> import tapejit as tj
    >>> y = tj.tensor([1.0, 2.0, 4.0])
    >>> tj.trapezoid(y), tj.trapezoid(y, tj.tensor([0.0, 1.0, 3.0])), tj.trapezoid(y, dx=0.5)
    (tensor(4.5000), tensor(7.5000), tensor(2.2500))
    """
    areas, axis = _panels(y, x, dx, dim)
    return areas.sum(axis)


@export("cumulative_trapezoid", method=False)
def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1) -> Tensor:
    """The integral by the trapezoid rule up to each point but the first.

    >>> import tapejit as tj
    >>> tj.cumulative_trapezoid(tj.tensor([1.0, 2.0, 4.0]))
    tensor([1.5000, 4.5000])
    """
    areas, axis = _panels(y, x, dx, dim)
    return cumsum(areas, axis)


FOR_NUMPY[np.trapezoid] = lambda y, x=None, dx=1.0, axis=-1: trapezoid(y, x, dx=dx, dim=axis)
