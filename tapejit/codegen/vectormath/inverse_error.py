"""erfinv and erfcinv: a polynomial near 0, and in s = sqrt(-log t) for t = 1 - |x| next to 0.

erfinv(1 - t) / s is smooth in s, and nearly 1 far out.  Both functions share the pieces: erfinv
knows t = 1 - |x|, which is exact where it counts, and erfcinv has t as its argument, down to the
smallest number.  Source: Giles 2010 (the variable), the rest is ours.
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.logarithms import (
    is_normal,
    log_normalised,
    log_of_parts,
    log_usual,
)

NEAR = 0.7
"""Below this |x| the polynomial in x² holds."""


def near(b, x):
    """erfinv(x) for |x| < NEAR."""
    return x * b.polynomial("ERFINV", x * x)


def far(b, s):
    """erfinv(1 - t) for s = sqrt(-log t) between 1.09 and 6.1 (f64) or 4.1 (f32)."""
    return s * b.polynomial("ERFINV_FAR", (s - 2.5) / (s + 1.5))


def farther(b, s):
    """The same beyond."""
    return s * b.polynomial("ERFCINV_FAR", (s - 12.0) / (s + 12.0))


def root_of_log(b, k, m):
    """sqrt(-log(t)) for t = 2^k·m < 1."""
    return (-log_of_parts(b, k, m)).sqrt()


@defines("erfinv", ulp=3.0)
def _erfinv(b, x):
    a = x.abs()
    t = 1.0 - a
    result = far(b, root_of_log(b, *log_usual(b, t)))
    result = b.select(t.equals(0.0), math.inf, result)
    result = b.select(t < 0.0, math.nan, result)
    return b.select(a < NEAR, near(b, x), b.copy_sign(result.abs(), x))


@defines("erfcinv", ulp=3.0)
def _erfcinv(b, y):
    usual = (y > b.pick(2.0**-53, 2.0**-24)) & (y < 2.0)
    b.rare = ~usual, _erfcinv_anywhere
    return _erfcinv_of(b, y, far(b, root_of_log(b, *log_usual(b, smaller_tail(b, y)))))


def smaller_tail(b, y):
    """The smaller one of y and 2 - y."""
    return b.select(y < 1.0, y, 2.0 - y)


def _erfcinv_of(b, y, outside):
    x = 1.0 - y
    outside = b.copy_sign(outside.abs(), x)
    return b.select(x.abs() < NEAR, near(b, x), outside)


def _erfcinv_anywhere(b, y):
    t = smaller_tail(b, y)
    s = root_of_log(b, *log_normalised(b, t))
    result = b.select(s < b.pick(6.05, 4.05), far(b, s), farther(b, s))
    result = b.select(t.equals(0.0), math.inf, result)
    result = _erfcinv_of(b, y, result)
    result = b.select(t < 0.0, math.nan, result)
    return b.select(is_normal(b, t) | (t < 1.0), result, y)
