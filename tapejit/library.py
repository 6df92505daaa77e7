"""SciPy's special functions at the dtype of their operands, and a few that SciPy lacks.

SciPy computes float16 in float32 and is slow to import: `library.name` is the function of
scipy.special with that name, looked up at its first call, whose result has the operands' dtype.
What is defined here is written with NumPy and those: the value of an operation, as it is computed
row by row and where no kernel does it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np


@functools.cache
def special(name: str) -> Callable[..., Any]:
    """The function of scipy.special called `name`, for arrays of one dtype."""

    def evaluate(*operands):
        from scipy import special

        return kept(getattr(special, name)(*operands), operands[-1].dtype)

    return evaluate


def kept(value, dtype):
    """A value in the dtype it should have."""
    return value if value.dtype == dtype else value.astype(dtype)


def erfcinv(y):
    """SciPy's, with a zero that is not negative."""
    return special("erfcinv")(y) + y.dtype.type(0)


def lgamma(x):
    """SciPy's, which loses subnormal numbers and has -inf at -inf."""
    near = np.abs(x) < 1e-30
    logarithm = -np.log(np.abs(np.where(near, x, 1)))
    value = np.where(near, logarithm, special("gammaln")(x))
    return kept(np.where(np.isinf(x), np.inf, value), x.dtype)[()]


def bessel_i(x, order):
    """From SciPy's i0e and i1e: its i0 and i1 overflow early and are NaN at infinity."""
    half = np.exp(np.abs(x) * x.dtype.type(0.5))
    value = special(f"i{order}e")(x) * half * half
    return np.where(np.isinf(x), x if order else np.abs(x), value)[()]


def bessel_j(x, order):
    """SciPy's j0 and j1, which are NaN at infinity."""
    end = np.copysign(x.dtype.type(0), x if order else 1)
    return kept(np.where(np.isinf(x), end, special(f"j{order}")(x)), x.dtype)[()]


# ---------------------------------------------------------------- zeta and its kin


def zeta(s, q):
    """The Hurwitz zeta function; q < 0 is reflected for a whole s (SciPy would add up to 0)."""
    positive = special("zeta")
    left = q <= 0
    if not np.any(left):
        return positive(s, q)
    s, q = np.broadcast_arrays(s, q)
    part = q - np.rint(q)  # exact, and the nearest pole is at 0 of it
    sign = np.where(s % 2 == 0, 1.0, -1.0).astype(q.dtype)
    reflected = positive(s, 1 + part) + sign * (positive(s, 1 - part) - positive(s, 1 - q))
    with np.errstate(all="ignore"):
        reflected = np.where(s % 1 != 0, np.nan, reflected + part**-s)
    reflected = np.where((q == np.floor(q)) | (s == 1), np.inf, reflected)
    reflected = np.where(s >= 1, reflected, np.nan)
    right = positive(s, np.where(left, 1, q).astype(q.dtype))
    return kept(np.where(left, reflected, right), q.dtype)[()]


def polygamma(x, n):
    """The derivative of order n >= 1 of digamma."""
    factor = (-1.0) ** (n + 1) * (math.factorial(n) if n <= 170 else math.inf)
    return kept(factor * zeta(np.full_like(x, n + 1.0), x), x.dtype)


def trigamma(x):
    """The derivative of digamma; no number at -inf, as in PyTorch and in kernels."""
    return np.where(np.isneginf(x), np.nan, polygamma(x, 1)).astype(x.dtype)[()]


# ---------------------------------------------------------------- incomplete gamma function

MOST_TERMS = 20_000
"""Of series and fraction; both need about 6 sqrt(a) near x = a, so this is enough up to a = 1e7."""


def gammainc_slope(a, x):
    """The derivative of gammainc(a, x) in a: by the series of P, or the fraction of Q."""
    dtype, shape = np.result_type(a, x), np.broadcast_shapes(np.shape(a), np.shape(x))
    a, x = (np.broadcast_to(v, shape).ravel().astype(np.float64) for v in (a, x))
    result = np.where((x == 0) | (x == np.inf), 0.0, np.nan)
    usual = (a > 0) & (x > 0) & (x < np.inf)
    low = usual & (x < a + 1)
    high = usual & ~low
    result[low] = _slope_by_series(a[low], x[low])
    result[high] = -_slope_by_fraction(a[high], x[high])
    return result.astype(dtype).reshape(shape)[()]


def _slope_by_series(a, x):
    """P = x^a exp(-x) / gamma(a + 1) · sum of x^k / ((a + 1) ... (a + k)), term by term."""
    from scipy.special import gammaln, psi

    term, total, harmonic, slope = (np.ones_like(a), np.ones_like(a), *np.zeros((2, a.size)))
    for k in range(1, MOST_TERMS):
        term = term * x / (a + k)
        harmonic = harmonic + 1 / (a + k)
        total, slope = total + term, slope - term * harmonic
        if np.all(term * (1 + harmonic) <= 1e-17 * np.abs(slope)):
            break
    scale = np.exp(a * np.log(x) - x - gammaln(a + 1))
    return scale * (total * (np.log(x) - psi(a + 1)) + slope)


def _slope_by_fraction(a, x):
    """Q = x^a exp(-x) / gamma(a) · f, f Legendre's continued fraction (Lentz), with df/da."""
    from scipy.special import gammaln, psi

    b, b_a = x + 1 - a, -1.0
    c, c_a = np.full_like(b, np.inf), np.zeros_like(b)
    d = 1 / b
    d_a = d * d
    f, f_a = d, d_a
    for n in range(1, MOST_TERMS):
        numerator, numerator_a = -n * (n - a), float(n)
        b = b + 2
        inner, inner_a = b + numerator * d, b_a + numerator_a * d + numerator * d_a
        d, d_a = 1 / inner, -inner_a / (inner * inner)
        ratio = numerator / c
        ratio_a = numerator_a / c - ratio * (c_a / c)
        c, c_a = b + ratio, b_a + ratio_a
        step, step_a = c * d, c_a * d + c * d_a
        f, f_a = f * step, f_a * step + f * step_a
        if np.all((np.abs(step - 1) < 1e-16) & (np.abs(f * step_a) <= 1e-16 * np.abs(f_a))):
            break
    scale = np.exp(a * np.log(x) - x - gammaln(a))
    return scale * (f * (np.log(x) - psi(a)) + f_a)
