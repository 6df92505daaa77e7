"""pow: exp(y · log|x|), with the logarithm and the product as pairs; hypot, scaled; cbrt.

Source: fdlibm's e_pow.c (the cases of C99 F.9.4.4).
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.exponentials import exp_reduce, exp_tail, scale
from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.logarithms import is_normal, log_normalised, log_usual
from tapejit.codegen.vectormath.pairs import (
    at_least,
    at_most,
    fast_two_sum,
    power_of_two,
    round_to_integer,
    two_product,
)


def log_double(b, k, m):
    """log(2^k·m) as a pair with about 2^-66 (f64) or 2^-36 (f32) relative error.

    log(m) = 2s + s·z·(2/3 + z·P(z)) with s = (m-1)/(m+1), z = s²: s, z and the products are pairs.
    """
    f = m - 1.0
    bottom = m + 1.0
    bottom_low = (1.0 - bottom) + m
    inverse = 1.0 / bottom
    s = f * inverse
    s_low = (b.residue(-s, bottom, f) - s * bottom_low) * inverse
    z, z_low = two_product(b, s, s)
    z_low = b.fma(s + s, s_low, z_low)
    third, third_low = b.constant("TWO_THIRDS")
    t, t_low = fast_two_sum(third, z * b.polynomial("POW", z))
    t_low = t_low + third_low
    w, w_low = two_product(b, z, t)
    w_low = b.fma(z, t_low, b.fma(z_low, t, w_low))
    v, v_low = two_product(b, s, w)
    v_low = b.fma(s, w_low, b.fma(s_low, w, v_low))
    head, tail, _ = b.constant("LN2")
    total, first = fast_two_sum(s + s, v)
    high, second = fast_two_sum(k * head, total)
    low = b.fma(k, tail, (s_low + s_low) + v_low)
    return fast_two_sum(high, second + (first + low))


def is_whole(b, a):
    """Lanes that are whole numbers, for a >= 0; without an instruction that rounds (SSE2)."""
    unit = 2.0**b.format.mantissa
    return (a > unit - 0.5) | ((a + unit) - unit).equals(a)


def exp_double(b, p, p_low):
    """exp(p + p_low): the factor next to 1, and n + 2·bias for the power of two."""
    r, rest, k = exp_reduce(b, p)
    # p_low is too large to stay out of the polynomial: p_low · r would be many ulp
    r, rest = exp_tail(b, *fast_two_sum(r, rest + p_low))
    return 1.0 + (r + rest), k


@defines("pow", ulp=1.2)
def _pow(b, x, y):
    """exp(y · log(x)) with logarithm and product as pairs, for a normal x and a normal result."""
    high, low = log_double(b, *log_usual(b, x))
    p, p_low = two_product(b, y, high)
    usual = is_normal(b, x) & (p.abs() < b.pick(708.0, 87.0))
    if not b.has_fma:
        usual = usual & (y.abs() < b.pick(2.0**900, 2.0**100))  # Dekker's product overflows
    b.rare = ~usual, _pow_anywhere
    factor, k = exp_double(b, p, b.fma(y, low, p_low))
    return factor * power_of_two(b, k - b.format.bias)


def _pow_anywhere(b, x, y):
    """exp(y · log|x|), then the cases of C99 F.9.4.4."""
    a = x.abs()
    high, low = log_double(b, *log_normalised(b, a))
    # 0 and inf need only the right infinity here: y times it then over- or underflows
    high = b.select(a.equals(0.0), -math.inf, high)
    high = b.select(a.equals(math.inf), math.inf, high)
    p, p_low = two_product(b, y, high)
    p_low = b.select(p.abs() < 2000.0, b.fma(y, low, p_low), 0.0)
    p = at_least(b, at_most(b, p, b.pick(710.0, 89.0)), b.pick(-746.0, -104.5))
    result = scale(b, *exp_double(b, p, p_low))

    size = y.abs()
    whole = is_whole(b, size)
    odd = whole & ~is_whole(b, size * 0.5)
    sign = b.select(odd, x.bits() & b.format.sign, 0)
    result = (result.bits() | sign).floats()
    negative = (x < 0.0) & (x > -math.inf)
    result = b.select(negative & ~whole, math.nan, result)
    result = b.select(a.equals(1.0) & y.abs().equals(math.inf), 1.0, result)
    result = b.select(x.is_nan(), x, result)
    result = b.select(y.is_nan(), y, result)
    return b.select(x.equals(1.0) | y.equals(0.0), 1.0, result)


@defines("hypot", ulp=1.6)
def _hypot(b, x, y):
    """sqrt(x² + y²) with both scaled by a power of two where a square would leave the range."""
    x, y = x.abs(), y.abs()
    swap = x < y
    a, c = b.select(swap, y, x), b.select(swap, x, y)
    high, low = b.pick((2.0**500, 2.0**-450), (2.0**60, 2.0**-50))
    down, up = b.pick((2.0**-600, 2.0**600), (2.0**-80, 2.0**100))
    is_big, is_small = a > high, a < low
    factor = b.select(is_big, down, b.select(is_small, up, 1.0))
    inverse = b.select(is_big, 1.0 / down, b.select(is_small, 1.0 / up, 1.0))
    a, c = a * factor, c * factor
    result = b.fma(a, a, c * c).sqrt() * inverse
    return b.select(x.equals(math.inf) | y.equals(math.inf), math.inf, result)


@defines("cbrt", ulp=0.8)
def _cbrt(b, x):
    """x = 2^(3n)·m: a polynomial, and one step of Newton with the residue of the cube exact."""
    a = x.abs()
    b.rare = ~is_normal(b, a), _cbrt_anywhere
    return b.copy_sign(_cbrt_of_parts(b, *log_usual(b, a)), x)


def _cbrt_of_parts(b, k, m):
    n, raw = round_to_integer(b, k, 1.0 / 3.0)
    left = k - 3.0 * n  # -1, 0 or 1
    more, less = left > 0.5, left < -0.5
    root = b.constant("CBRT_2")[0]
    y = b.polynomial("CBRT", m - 1.0)
    y = y * b.select(more, root, b.select(less, 1.0 / root, 1.0))
    m = m * b.select(more, 2.0, b.select(less, 0.5, 1.0))
    square, low = two_product(b, y, y)
    residue = b.fma(y, low, b.residue(y, square, -m))
    y = y - residue / (3.0 * square)
    return y * power_of_two(b, raw - (b.bits_of(b.format.magic) - b.format.bias))


def _cbrt_anywhere(b, x):
    a = x.abs()
    result = b.copy_sign(_cbrt_of_parts(b, *log_normalised(b, a)), x)
    # zeros, infinities and NaN are their own root
    return b.select((a > 0.0) & (a < math.inf), result, x)
