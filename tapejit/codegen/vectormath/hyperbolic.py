"""sinh, cosh and tanh from exp and expm1; asinh, acosh and atanh from the logarithm of a pair.

Nothing cancels: small arguments go through expm1 and log1p-like forms, and what is lost in a sum
is kept as the low part of a pair.
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.exponentials import exp_parts, exp_scaled, expm1_scaled
from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.logarithms import log_pair
from tapejit.codegen.vectormath.pairs import (
    at_most,
    fast_two_sum,
    power_of_two,
    two_product,
    two_sum,
)


@defines("sinh", ulp=1.9)
def _sinh(b, x):
    a = x.abs()
    # a quarter of expm1 keeps everything finite up to the overflow of sinh itself
    high, low = expm1_scaled(b, at_most(b, a, b.pick(710.5, 89.45)), 2)
    g, g_low = fast_two_sum(high, low)
    result = (g + (g_low + g / b.fma(g, 4.0, 1.0))) * 2.0
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, b.copy_sign(result, x))


@defines("cosh", ulp=1.5)
def _cosh(b, x):
    half = exp_scaled(b, at_most(b, x.abs(), b.pick(711.0, 90.0)), 1)
    return half + 0.25 / half


@defines("tanh", ulp=1.6)
def _tanh(b, x):
    """A polynomial below 0.55, and 1 - 2/(exp(2a) + 1) from there on, where it is above 1/2."""
    a = x.abs()
    z = x * x
    near = b.fma(a * z, b.polynomial("TANH", z), a)
    factor, k = exp_parts(b, at_most(b, a + a, b.pick(44.0, 20.0)))
    far = 1.0 - 2.0 / (factor * power_of_two(b, k - b.format.bias) + 1.0)
    return b.copy_sign(b.select(a < 0.55, near, far), x)


@defines("asinh", ulp=1.2)
def _asinh(b, x):
    """log(a + sqrt(a² + 1)) with a², the sum and the root as pairs; log(2a) for large a."""
    a = x.abs()
    square, low = two_product(b, a, a)
    v, error = two_sum(square, 1.0)
    root = v.sqrt()
    root_low = (b.residue(-root, root, v) + (error + low)) / (root + root)
    u, error = fast_two_sum(root, a)
    large = a > b.pick(2.0**28, 2.0**14)
    u_low = b.select(large, 0.0, error + root_low)
    result = log_pair(b, b.select(large, a, u), u_low, b.select(large, 1.0, 0.0))
    result = b.copy_sign(b.select(a < math.inf, result, a), x)
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, result)


@defines("acosh", ulp=1.2)
def _acosh(b, x):
    square, low = two_product(b, x, x)
    v, error = fast_two_sum(square, -1.0)
    root = v.sqrt()
    root_low = (b.residue(-root, root, v) + (error + low)) / (root + root)
    root_low = b.select(root > 0.0, root_low, 0.0)  # acosh(1): 0/0 above
    u, error = fast_two_sum(x, root)
    large = x > b.pick(2.0**28, 2.0**14)
    u_low = b.select(large, 0.0, error + root_low)
    result = log_pair(b, b.select(large, x, u), u_low, b.select(large, 1.0, 0.0))
    result = b.select(x < math.inf, result, x)
    return b.select(x < 1.0, math.nan, result)


@defines("atanh", ulp=1.2)
def _atanh(b, x):
    """log((1+a)/(1-a))/2 as log(1 + 2a/(1-a))/2, the quotient and the sum as pairs."""
    a = x.abs()
    b.rare = ~(a < 1.0), _atanh_anywhere
    return _atanh_inside(b, x, a)


def _atanh_anywhere(b, x):
    a = x.abs()
    result = b.copy_sign(b.select(a.equals(1.0), math.inf, math.nan), x)
    return b.select(a < 1.0, _atanh_inside(b, x, a), result)


def _atanh_inside(b, x, a):
    divisor, divisor_low = fast_two_sum(1.0, -a)
    twice = a + a
    inverse = 1.0 / divisor
    quotient = twice * inverse
    left = b.residue(-quotient, divisor, twice) - quotient * divisor_low
    u, error = two_sum(quotient, 1.0)
    result = log_pair(b, u, b.fma(left, inverse, error)) * 0.5
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, b.copy_sign(result, x))
