"""erf, erfc, erfcx: a polynomial near 0, and exp(-a²) times a polynomial in (a-4)/(a+4) far away.

Source: Shepherd and Laframboise 1981 (erfc as (1+2a) exp(a²) erfc(a)).
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.exponentials import exp_reduce, exp_tail, scale
from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.pairs import at_least, at_most, fast_two_sum, two_product


def erfc_quotient(b, a):
    """exp(a²)·erfc(a) as a pair: a polynomial in t = (a-4)/(a+4), over 1 + 2a."""
    t = (a - 4.0) / (a + 4.0)
    first, *others = b.constant("ERFCX")
    rest = b.even_and_odd(others, t)
    top = b.fma(t, rest, first)
    top_low = b.fma(t, rest, first - top)
    bottom, bottom_low = fast_two_sum(a + a, 1.0)  # a >= 1/2 wherever this counts
    inverse = 1.0 / bottom
    quotient = top * inverse
    left = b.residue(-quotient, bottom, top) + b.fma(-quotient, bottom_low, top_low)
    return quotient, left * inverse


def exp_of_square(b, a, sign):
    """exp(sign · a²) = (e + e_low)·2^n: e, e_low, and n + 2·bias."""
    square, low = two_product(b, a, a)
    if sign < 0:
        square, low = -square, -low
    r, rest, k = exp_reduce(b, square)
    r, rest = exp_tail(b, *fast_two_sum(r, rest + low))
    return *fast_two_sum(1.0, r + rest), k


def erfc_far(b, a):
    """erfc(a) for a >= 0.47, the pieces kept as pairs up to the last product."""
    e, e_low, k = exp_of_square(b, a, -1)
    quotient, quotient_low = erfc_quotient(b, a)
    low = b.fma(e, quotient_low, e_low * quotient)
    return scale(b, b.fma(e, quotient, low), k)


@defines("erf", ulp=1.4)
def _erf(b, x):
    a = x.abs()
    near = b.fma(x, b.polynomial("ERF", x * x), x)
    far = 1.0 - erfc_far(b, at_most(b, a, b.pick(6.5, 4.5)))
    return b.select(a < 1.0, near, b.copy_sign(far, x))


@defines("erfc", ulp=2.0)
def _erfc(b, x):
    a = x.abs()
    y = b.polynomial("ERF", x * x)
    # 1 - (x + x·y), the subtraction that is exact near 1/2 first
    shift = b.select(x < 0.25, 0.0, 0.5)
    near = (1.0 - shift) - b.fma(x, y, x - shift)
    far = erfc_far(b, at_most(b, a, b.pick(27.35, 10.25)))
    far = b.select(x < 0.0, 2.0 - far, far)
    return b.select(a < 0.5, near, far)


@defines("erfcx", ulp=2.5)
def _erfcx(b, x):
    """exp(x²) erfc(x); from 1/2 to the end of the polynomial here, elsewhere in the cold part."""
    end = b.pick(27.0, 10.0)
    b.rare = ~((x > 0.5) & (x < end)), _erfcx_anywhere
    high, low = erfc_quotient(b, x)
    return high + low


def _erfcx_anywhere(b, x):
    a = x.abs()
    end = b.pick(27.0, 10.0)
    high, low = erfc_quotient(b, at_most(b, a, end))
    # 1/(a sqrt(pi)) times 1 - 1/(2a²) + 3/(2a²)² - 15/(2a²)³ + ..., divergent but for this
    inverse = 1.0 / a
    z = (inverse * inverse) * -0.5
    terms = [float(math.prod(range(1, 2 * k, 2))) for k in range(b.pick(9, 6))]
    series = inverse * b.constant("INV_SQRT_PI")[0] * b.horner(terms, z)
    right = b.select(a < end, high + low, series)
    square = a * a
    y = b.polynomial("ERF", square)
    e, e_low, k = exp_of_square(b, at_least(b, at_most(b, a, b.pick(27.3, 9.8)), 0.0), 1)
    grown = scale(b, e + e_low, k)
    near = grown * ((1.0 - x) - x * y)
    left = b.fma(2.0, grown, -right)
    result = b.select(x < 0.0, left, right)
    return b.select(a < 0.5, near, result)
