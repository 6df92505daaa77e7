"""erf and erfc: a polynomial near 0, and exp(-a²) times a polynomial in (a-4)/(a+4) far away.

Source: Shepherd and Laframboise 1981 (erfc as (1+2a) exp(a²) erfc(a)).
"""

from __future__ import annotations

from tapejit.codegen.vectormath.exponentials import exp_reduce, exp_tail, scale
from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.pairs import at_most, fast_two_sum, two_product


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


def erfc_far(b, a):
    """erfc(a) for a >= 0.47, the pieces kept as pairs up to the last product."""
    square, low = two_product(b, a, a)
    r, rest, k = exp_reduce(b, -square)
    r, rest = exp_tail(b, *fast_two_sum(r, rest - low))
    e, e_low = fast_two_sum(1.0, r + rest)
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
