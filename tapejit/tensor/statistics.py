"""Statistics made of reductions: pairs of them, averages, covariances, and what skips NaN.

Where NaN is skipped it is replaced before the reduction, by `where`, so it never reaches a slope.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import ArgumentError, ShapeError
from tapejit.shapes import normalize_axes
from tapejit.tensor.core import Tensor, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.joining import cat
from tapejit.tensor.products import conjugated
from tapejit.tensor.reducing import as_floats, numpy_mean, numpy_var, std, var
from tapejit.tensor.scanning import cumprod, cumsum
from tapejit.tensor.shaping import squeeze, transpose

_where, _sum, _prod, _amax, _amin, _mean = (
    FUNCTIONS[name] for name in ("where", "sum", "prod", "amax", "amin", "mean")
)

# ---------------------------------------------------------------- pairs


class Extremes(NamedTuple):
    """The smallest and the largest elements."""

    min: Tensor
    max: Tensor


@export("aminmax")
def aminmax(input, *, dim=None, keepdim=False) -> Any:
    """The smallest and the largest element, of all or along an axis; equal ones share the slope.

    >>> import tapejit as tj
    >>> tj.aminmax(tj.tensor([3.0, 1.0, 2.0])).max
    tensor(3.)
    """
    return Extremes(_amin(input, dim, keepdim), _amax(input, dim, keepdim))


@export("var_mean")
def var_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=None) -> Any:
    """Variance and mean over axes.

    >>> import tapejit as tj
    >>> tj.var_mean(tj.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    spread = var(input, dim, unbiased, keepdim, correction=correction)
    return spread, _mean(input, dim, keepdim)


@export("std_mean")
def std_mean(input, dim=None, unbiased=True, keepdim=False, *, correction=None) -> Any:
    """Standard deviation and mean over axes.

    >>> import tapejit as tj
    >>> tj.std_mean(tj.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    spread = std(input, dim, unbiased, keepdim, correction=correction)
    return spread, _mean(input, dim, keepdim)


# ---------------------------------------------------------------- NaN skipped


def _known(x, replacement):
    """The elements, with NaN replaced."""
    return _where(x.isnan(), replacement, x) if x._aval.dtype.is_inexact else x


@export("nansum", numpy=("nansum",))
def nansum(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """Sum over axes of what is not NaN.

    >>> import tapejit as tj
    >>> tj.nansum(tj.tensor([1.0, float("nan"), 2.0]))
    tensor(3.)
    """
    return named(_sum(_known(input, 0.0), dim, keepdim, dtype=dtype), "NansumBackward0")


@export("nanmean")
def nanmean(input, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """Mean over axes of what is not NaN; NaN of nothing else.

    >>> import tapejit as tj
    >>> tj.nanmean(tj.tensor([1.0, float("nan"), 2.0]))
    tensor(1.5000)
    """
    input = input if dtype is None else input.to(as_dtype(dtype))
    if not input._aval.dtype.is_inexact:
        return _mean(input, dim, keepdim)
    n = (~input.isnan()).sum(dim, keepdim)
    return _sum(_known(input, 0.0), dim, keepdim) / n


def _nanprod(a, axis=None, dtype=None, keepdims=False):
    return _prod(_known(a, 1.0), axis, keepdims, dtype=dtype)


def _nanextreme(reduce, neutral):
    def function(a, axis=None, keepdims=False):
        if not a._aval.dtype.is_inexact:
            return reduce(a, axis, keepdims)
        only_nan = a.isnan().all(axis, keepdims)
        return _where(only_nan, math.nan, reduce(_known(a, neutral), axis, keepdims))

    return function


def _nanargument(name, neutral):
    def function(a, axis=None, keepdims=False):
        if a._aval.dtype.is_inexact and bool(a.isnan().all(axis).any()):
            raise ArgumentError("All-NaN slice encountered")
        return FUNCTIONS[name](_known(a, neutral), axis, keepdims)

    return function


def _asked(a, where):
    """Where an element counts: it is no NaN, and NumPy's `where` holds."""
    known = ~a.isnan()
    return known if where is True else known & where


def _nanvar(
    a, axis=None, dtype=None, ddof=0, keepdims=False, *, where=True, mean=None, correction=None
):  # fmt: skip
    a = as_floats(a, dtype)
    return numpy_var(
        a, axis, None, ddof, keepdims, where=_asked(a, where), mean=mean, correction=correction
    )


def _nanstd(a, axis=None, dtype=None, ddof=0, keepdims=False, **options):
    return _root(_nanvar(a, axis, dtype, ddof, keepdims, **options))


def _root(x):
    """The square root, with slope 0 at 0 as std has it."""
    is_zero = x == 0
    return _where(is_zero, 0.0, _where(is_zero, 1.0, x).sqrt())


def _nanmean(a, axis=None, dtype=None, keepdims=False, *, where=True):
    a = as_floats(a, dtype)
    return numpy_mean(a, axis, None, keepdims, where=_asked(a, where))


FOR_NUMPY[np.nanprod] = _nanprod
FOR_NUMPY[np.nanmax] = _nanextreme(_amax, -math.inf)
FOR_NUMPY[np.nanmin] = _nanextreme(_amin, math.inf)
FOR_NUMPY[np.nanargmax] = _nanargument("argmax", -math.inf)
FOR_NUMPY[np.nanargmin] = _nanargument("argmin", math.inf)
FOR_NUMPY[np.nanmean] = _nanmean
FOR_NUMPY[np.nanvar] = _nanvar
FOR_NUMPY[np.nanstd] = _nanstd
FOR_NUMPY[np.nancumsum] = lambda a, axis=None, dtype=None: cumsum(_known(a, 0.0), axis, dtype=dtype)
FOR_NUMPY[np.nancumprod] = lambda a, axis=None, dtype=None: cumprod(
    _known(a, 1.0), axis, dtype=dtype
)

# ---------------------------------------------------------------- averages and ranges


@export("ptp", method=False, numpy=("ptp",))
def ptp(a, axis=None, *, keepdims=False) -> Tensor:
    """The largest less the smallest element (NumPy's).

    >>> import tapejit as tj
    >>> tj.ptp(tj.tensor([3.0, 1.0, 2.0]))
    tensor(2.)
    """
    return _amax(a, axis, keepdims) - _amin(a, axis, keepdims)


@export("average", method=False, numpy=("average",))
def average(a, axis=None, weights=None, returned=False, *, keepdims=False) -> Any:
    """The weighted mean over axes, and with returned=True the sum of the weights (NumPy's).

    >>> import tapejit as tj
    >>> tj.average(tj.tensor([1.0, 2.0]), weights=tj.tensor([3.0, 1.0]))
    tensor(1.2500)
    """
    a = as_floats(a)
    if weights is None:
        result = _mean(a, axis, keepdims)
        total = a._aval.size / max(result._aval.size, 1)
        return (result, FUNCTIONS["full_like"](result, total)) if returned else result
    weights = tensor_of(weights)
    if weights._aval.shape != a._aval.shape:
        axes = normalize_axes("average", axis, a._aval.ndim)
        lengths = tuple(a._aval.shape[i] for i in axes)
        if axis is None or weights._aval.shape != lengths:
            raise ShapeError(
                f"average: weights of shape {list(weights._aval.shape)} for elements of shape "
                f"{list(a._aval.shape)} along axes {axis}"
            )
        weights = weights.reshape([n if i in axes else 1 for i, n in enumerate(a._aval.shape)])
    weights = weights.expand(a._aval.shape)
    total = _sum(weights, axis, keepdims)
    result = _sum(a * weights, axis, keepdims) / total
    return (result, total.expand(result._aval.shape)) if returned else result


# ---------------------------------------------------------------- covariances


@export("cov")
def cov(input, *, correction=1, fweights=None, aweights=None) -> Tensor:
    """The covariances of the rows, which are variables; columns are observations.

    fweights  how often each observation counts; aweights: how much

    >>> import tapejit as tj
    >>> tj.cov(tj.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if input._aval.ndim > 2:
        raise ShapeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input._aval.ndim} dimensions"
        )
    return _covariance(as_floats(input), correction, fweights, aweights)


def _covariance(x, correction, fweights, aweights):
    x = x.reshape(1, -1) if x._aval.ndim < 2 else x
    given = [w for w in (fweights, aweights) if w is not None]
    if not given:
        total: Any = x._aval.shape[1]
        centred = x - x.mean(1, keepdim=True)
        weighted, divisor = centred, max(total - correction, 0)
    else:
        weights = given[0] if len(given) == 1 else given[0] * given[1]
        total = weights.sum()
        centred = x - (x * weights).sum(1, keepdim=True) / total
        squares = total if aweights is None else (weights * aweights).sum() / total
        weighted = centred * weights
        divisor = (total - correction * (1 if aweights is None else squares)).clamp(min=0)
    product = FUNCTIONS["matmul"](weighted, transpose(conjugated(centred), 0, 1))
    return squeeze(product / divisor)


@export("corrcoef")
def corrcoef(input) -> Tensor:
    """The correlations of the rows, which are variables; columns are observations.

    >>> import tapejit as tj
    >>> tj.corrcoef(tj.tensor([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    covariance = cov(input)
    if not covariance._aval.ndim:
        return covariance / covariance
    scale = FUNCTIONS["diagonal"](covariance).sqrt()
    return covariance / scale.unsqueeze(1) / scale.unsqueeze(0)


def _variables(m, y, rowvar, dtype):
    """NumPy's variables as rows: those of m, then those of y."""
    parts = []
    for x in (m, y):
        if x is not None:
            x = as_floats(x, dtype)
            x = x.reshape(1, -1) if x._aval.ndim < 2 else x
            parts.append(x if rowvar or x._aval.shape[0] == 1 else transpose(x, 0, 1))
    return parts[0] if len(parts) == 1 else cat(parts, 0)


def _numpy_cov(
    m, y=None, rowvar=True, bias=False, ddof=None, fweights=None, aweights=None, *, dtype=None
):  # fmt: skip
    correction = (0 if bias else 1) if ddof is None else ddof
    return _covariance(_variables(m, y, rowvar, dtype), correction, fweights, aweights)


FOR_NUMPY[np.cov] = _numpy_cov
FOR_NUMPY[np.corrcoef] = lambda x, y=None, rowvar=True, *, dtype=None: corrcoef(
    _variables(x, y, rowvar, dtype)
)

# ---------------------------------------------------------------- norms kept small


@export("renorm")
def renorm(input, p, dim, maxnorm) -> Tensor:
    """The tensor with those parts along an axis scaled down whose p-norm is above maxnorm.

    >>> import tapejit as tj
    >>> tj.renorm(tj.tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    (axis,) = normalize_axes("renorm", dim, input._aval.ndim)
    others = tuple(a for a in range(input._aval.ndim) if a != axis)
    size = input.norm(p, others, True)
    scale = _where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)
    return input * scale.to(input.dtype)
