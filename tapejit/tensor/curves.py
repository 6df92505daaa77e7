"""NumPy's functions of sampled curves: interpolation, slopes, convolutions, polynomials, angles.

Names and parameters are NumPy's; all are compositions, so derivatives of any order follow.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, ShapeError
from tapejit.shapes import normalize_axes, normalize_axis
from tapejit.tensor.core import Tensor, data_beside, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export
from tapejit.tensor.joining import cat
from tapejit.tensor.ordering import argsort, searchsorted
from tapejit.tensor.parts import narrow
from tapejit.tensor.products import conjugated
from tapejit.tensor.reducing import as_floats
from tapejit.tensor.scanning import cumsum, diff

_where = FUNCTIONS["where"]


# ---------------------------------------------------------------- between points


@export("interp", method=False, numpy=("interp",))
def interp(x, xp, fp, left=None, right=None, period=None) -> Tensor:
    """The line through the points (xp, fp), at x; xp is increasing (NumPy's).

    left, right  the values before and behind the points; None: those of the first and last
    period       that of x and xp, which then need no order

    >>> import tapejit as tj
    >>> xp, fp = tj.tensor([0.0, 1.0, 2.0]), tj.tensor([0.0, 10.0, 0.0])
    >>> tj.interp(tj.tensor([-1.0, 0.5, 1.75]), xp, fp)
    tensor([0.0000, 5.0000, 2.5000])
    """
    x, xp, fp = (as_floats(tensor_of(v)) for v in (x, xp, fp))
    if xp._aval.ndim != 1 or xp._aval.shape != fp._aval.shape or not xp._aval.size:
        raise ShapeError(
            f"interp: xp and fp are vectors of one length, got {list(xp._aval.shape)} and "
            f"{list(fp._aval.shape)}"
        )
    n = xp._aval.size
    if period is not None:
        if period == 0:
            raise ArgumentError("interp: period must be a non-zero value")
        period = abs(period)
        x, xp = x % period, xp % period
        order = argsort(xp.detach())
        xp, fp = xp[order], fp[order]
        xp = cat([narrow(xp, 0, n - 1, 1) - period, xp, narrow(xp, 0, 0, 1) + period])
        fp = cat([narrow(fp, 0, n - 1, 1), fp, narrow(fp, 0, 0, 1)])
        n, left, right = n + 2, None, None
    behind = searchsorted(xp.detach(), x.detach(), right=True).clamp(min=min(1, n - 1), max=n - 1)
    before = (behind - 1).clamp(min=0)
    x0, y0, y1 = xp[before], fp[before], fp[behind]
    width = xp[behind] - x0
    # points that coincide, or one alone, have no line between them
    is_step = width == 0
    y = y0 + (y1 - y0) / _where(is_step, 1.0, width) * (x - x0)
    y = _where(x < xp[0], fp[0] if left is None else left, _where(is_step, y1, y))
    y = _where(x >= xp[-1], fp[-1], y)
    return y if right is None else _where(x > xp[-1], right, y)


# ---------------------------------------------------------------- slopes


def _slope(f, axis, h, edge_order):
    """Central differences inside, one-sided ones at the ends; h is a step or the points."""
    n = f._aval.shape[axis]
    if n < edge_order + 1:
        raise ShapeError(
            "gradient: Shape of array too small to calculate a numerical gradient, at least "
            f"{edge_order + 1} elements are required"
        )

    def at(i, k=1):
        return narrow(f, axis, i % n, k)

    if not isinstance(h, Tensor):
        inside = (at(2, n - 2) - at(0, n - 2)) / (2.0 * h)
        steps = (h, h), (h, h)
    else:
        shape = [-1 if i == axis else 1 for i in range(f._aval.ndim)]
        left, right = (narrow(h, 0, i, n - 2).reshape(shape) for i in (0, 1))
        inside = (
            -right / (left * (left + right)) * at(0, n - 2)
            + (right - left) / (left * right) * at(1, n - 2)
            + left / (right * (left + right)) * at(2, n - 2)
        )
        steps = (h[0], h[min(1, n - 2)]), (h[n - 2], h[max(n - 3, 0)])
    if edge_order == 1:
        first, last = (at(1) - at(0)) / steps[0][0], (at(-1) - at(-2)) / steps[1][0]
    else:
        (a, b), (c, d) = steps
        first = (
            -(2.0 * a + b) / (a * (a + b)) * at(0)
            + (a + b) / (a * b) * at(1)
            - a / (b * (a + b)) * at(2)
        )
        last = (
            c / (d * (c + d)) * at(-3)
            - (c + d) / (c * d) * at(-2)
            + (2.0 * c + d) / (c * (c + d)) * at(-1)
        )
    return cat([first, inside, last], axis)


@export("gradient", method=False, numpy=("gradient",))
def gradient(f, *varargs, axis=None, edge_order=1) -> Any:
    """Slopes of samples along axes, by differences of second order inside (NumPy's).

    varargs  a step for all axes, or one step or the vector of points for each

    >>> import tapejit as tj
    >>> tj.gradient(tj.tensor([1.0, 2.0, 4.0, 7.0]))
    tensor([1.0000, 1.5000, 2.5000, 3.0000])
    """
    f = as_floats(tensor_of(f))
    axes = normalize_axes("gradient", axis, f._aval.ndim)
    if edge_order not in (1, 2):
        raise ArgumentError("gradient: 'edge_order' greater than 2 not supported")
    if len(varargs) not in (0, 1, len(axes)):
        raise TypeError(f"gradient: {len(varargs)} steps for {len(axes)} axes")
    given = varargs or (1.0,)
    given = given * len(axes) if len(given) == 1 else given
    steps = [diff(tensor_of(h)) if np.ndim(h) else h for h in given]
    found = [_slope(f, a, h, edge_order) for a, h in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else tuple(found)


# ---------------------------------------------------------------- convolutions


@export("convolve", method=False, numpy=("convolve",))
def convolve(a, v, mode="full") -> Tensor:
    """Sums of products of one vector with another moved along it backwards (NumPy's).

    mode  "full", "same" (as long as the longer one), "valid" (where they overlap wholly)

    >>> import tapejit as tj
    >>> tj.convolve(tj.tensor([1.0, 2.0, 3.0]), tj.tensor([0.0, 1.0, 0.5]))
    tensor([0.0000, 1.0000, 2.5000, 4.0000, 1.5000])
    """
    a, v = tensor_of(a), tensor_of(v)
    if a._aval.ndim > 1 or v._aval.ndim > 1:
        raise ShapeError("convolve: object too deep for desired array: vectors are needed")
    a, v = a.reshape(-1), v.reshape(-1)
    if not a._aval.size or not v._aval.size:
        raise ShapeError("convolve: vectors cannot be empty")
    if v._aval.size > a._aval.size:
        a, v = v, a
    n, m = a._aval.size, v._aval.size
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"convolve: mode must be one of 'valid', 'same', or 'full': {mode!r}")
    zeros = FUNCTIONS["zeros"](m - 1, dtype=a.dtype, device=a.device)
    if mode != "valid":
        a = cat([zeros, a, zeros])
    dtype = dtypes.promote_pair(a._aval.dtype, v._aval.dtype)
    windows = a.to(dtype).unfold(0, m, 1)
    full = FUNCTIONS["matmul"](windows, v.flip(0).to(dtype))
    return narrow(full, 0, (m - 1) // 2, n) if mode == "same" else full


@export("correlate", method=False, numpy=("correlate",))
def correlate(a, v, mode="valid") -> Tensor:
    """Sums of products of one vector with another moved along it (NumPy's).

    >>> import tapejit as tj
    >>> tj.correlate(tj.tensor([1.0, 2.0, 3.0]), tj.tensor([0.0, 1.0, 0.5]), "same")
    tensor([2.0000, 3.5000, 3.0000])
    """
    a, v = tensor_of(a), tensor_of(v)
    if v._aval.size > a._aval.size:
        return conjugated(correlate(v, a, mode)).flip(0)
    return convolve(a, conjugated(v).flip(0), mode)


# ---------------------------------------------------------------- polynomials


@export("polyval", method=False, numpy=("polyval",))
def polyval(p, x) -> Tensor:
    """The polynomial with coefficients p, the highest power first, at x (NumPy's).

    >>> import tapejit as tj
    >>> tj.polyval(tj.tensor([3.0, 0.0, 1.0]), tj.tensor([5.0, 2.0]))
    tensor([76., 13.])
    """
    p, x = tensor_of(p), tensor_of(x)
    result = x * 0
    for i in range(p._aval.size):
        result = result * x + p[i]
    return result


def _polyder(p, m=1):
    for _ in range(m):
        n = p._aval.size - 1
        p = narrow(p, 0, 0, n) * data_beside(p, np.arange(n, 0, -1))
    return p


def _polyint(p: Any, m=1, k=None):
    constants = [0.0] * m if k is None else list(np.broadcast_to(k, (m,)))
    p = as_floats(p)
    for constant in constants:
        p = p / data_beside(p, np.arange(p._aval.size, 0, -1))
        p = cat([p, p.new_full((1,), float(constant))])
    return p


def _polyadd(a1, a2):
    a1, a2 = (tensor_of(a).reshape(-1) for a in (a1, a2))
    n = max(a1._aval.size, a2._aval.size)
    padded = [cat([a.new_zeros(n - a._aval.size), a]) for a in (a1, a2)]
    return padded[0] + padded[1]


def _poly(seq_of_zeros):
    if seq_of_zeros._aval.ndim != 1:
        raise ShapeError("np.poly of tensors takes the zeros, not a matrix\n  try  eigvals of it")
    zeros = as_floats(seq_of_zeros)
    result = zeros.new_ones(1)
    for i in range(zeros._aval.size):
        result = convolve(result, FUNCTIONS["stack"]([zeros.new_ones(()), -zeros[i]]))
    return result


def _trimmed(p):
    """Coefficients without leading zeros, as NumPy's products have them."""
    while p._aval.size > 1 and bool(p[0] == 0):
        p = p[1:]
    return p


def _polyfit(x, y, deg, w=None):
    """Least squares by columns of one size each, as NumPy scales them."""
    x, y = as_floats(x), as_floats(y)
    columns = FUNCTIONS["vander"](x, int(deg) + 1)
    if w is not None:
        columns = columns * w.unsqueeze(1)
        y = y * (w.unsqueeze(1) if y._aval.ndim == 2 else w)
    scale = (columns.detach() ** 2).sum(0).sqrt()
    found = FOR_NUMPY[np.linalg.lstsq](columns / scale, y)[0]
    return found / (scale.unsqueeze(1) if y._aval.ndim == 2 else scale)


FOR_NUMPY[np.poly] = _poly
FOR_NUMPY[np.polyfit] = _polyfit
FOR_NUMPY[np.polymul] = lambda a1, a2: convolve(_trimmed(tensor_of(a1)), _trimmed(tensor_of(a2)))
FOR_NUMPY[np.polyder] = _polyder
FOR_NUMPY[np.polyint] = _polyint
FOR_NUMPY[np.polyadd] = _polyadd
FOR_NUMPY[np.polysub] = lambda a1, a2: _polyadd(a1, -a2)

# ---------------------------------------------------------------- angles


def _unwrap(p, discont=None, axis=-1, *, period=2 * math.pi):
    """Angles without jumps above half a period: whole periods are added, whose slope is 0."""
    p = as_floats(p)
    axis = normalize_axis("unwrap", axis, p._aval.ndim)
    steps = diff(p, 1, axis).detach()
    half = period / 2
    wrapped = (steps + half) % period - half
    wrapped = _where((wrapped == -half) & (steps > 0), half, wrapped)
    limit = half if discont is None else discont
    correction = _where(steps.abs() < limit, 0.0, wrapped - steps)
    first = narrow(p, axis, 0, 1)
    return cat(
        [first, narrow(p, axis, 1, p._aval.shape[axis] - 1) + cumsum(correction, axis)], axis
    )


FOR_NUMPY[np.unwrap] = _unwrap
