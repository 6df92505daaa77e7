"""Bessel functions of order 0 and 1: i0, i1, i0e, i1e, j0, j1.

The modified ones are a power series of positive terms up to 10, and beyond exp(x)/sqrt(x) times a
polynomial in 1/x.  J0 and J1 are polynomials up to 5, whose zeros are factors, and beyond waves:
a cosine and a sine, each times a polynomial in 1/x².  There the error is small beside the height
of the wave, sqrt(2/(pi x)), and not beside a value next to a zero.  Sources: Abramowitz and Stegun
9.2 and 9.7 (the forms); Harrison 2009 (sums of the two before they cancel).
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.angles import (
    LARGE_ANGLE,
    flip,
    reduce,
    reduce_any,
    sine_and_cosine,
)
from tapejit.codegen.vectormath.exponentials import exp_scaled
from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.pairs import at_most, two_product

# ---------------------------------------------------------------- modified: i0, i1

MODIFIED_FAR = 10.0


def series(b, table, a):
    """The power series in (a/2)², for a <= MODIFIED_FAR.

    What the square lost counts up to a/4 times in the result.  The logarithmic slope in the square
    is, within a quarter, 1/(a/2 + 1) for I0 and 1/(a/2 + 2) for I1.
    """
    half = a * 0.5
    square, lost = two_product(b, half, half)
    value = b.polynomial(table, square)
    return b.fma(value, lost / (half + (1.0 if table == "I0" else 2.0)), value)


def decayed(b, table, a):
    """exp(-a) times the function, for a >= MODIFIED_FAR."""
    return b.polynomial(table, b.fma(20.0, 1.0 / a, -1.0)) / a.sqrt()


def modified(b, table, a, factor):
    """The function of |x| = a, where the series is multiplied by `factor`; grows like exp(a)."""
    shift = 16
    grown = exp_scaled(b, at_most(b, a, b.pick(730.0, 110.0)), shift)
    far = (decayed(b, f"{table}_FAR", a) * grown) * 2.0**shift
    far = b.select(a.equals(math.inf), a, far)
    near = series(b, table, a)
    return b.select(a < MODIFIED_FAR, near if factor is None else near * factor, far)


def modified_scaled(b, table, a, factor):
    """The same times exp(-a)."""
    near = series(b, table, a) * exp_scaled(b, -at_most(b, a, MODIFIED_FAR), 0)
    near = near if factor is None else near * factor
    return b.select(a < MODIFIED_FAR, near, decayed(b, f"{table}_FAR", a))


@defines("bessel_i0", ulp=4.0)
def _i0(b, x):
    return modified(b, "I0", x.abs(), None)


@defines("bessel_i1", ulp=4.0)
def _i1(b, x):
    a = x.abs()
    return b.copy_sign(modified(b, "I1", a, a * 0.5), x)


@defines("bessel_i0e", ulp=4.0)
def _i0e(b, x):
    return modified_scaled(b, "I0", x.abs(), None)


@defines("bessel_i1e", ulp=4.0)
def _i1e(b, x):
    a = x.abs()
    return b.copy_sign(modified_scaled(b, "I1", a, a * 0.5), x)


# ---------------------------------------------------------------- j0, j1

WAVES = 5.0


def near_zero(b, table, zeros, a):
    """The polynomial times (a² - zero²) for each zero, for a <= WAVES."""
    result = b.polynomial(table, b.fma(a * a, 1.0 / 12.5, -1.0))
    for name in zeros:
        high, low = b.constant(name)
        result = result * (((a - high) - low) * (a + high))
    return result


def waves(b, table, a, cosine, sine):
    """sqrt(1/(pi a)) (P · cosine - Q · sine)."""
    inverse = 1.0 / a
    u = b.fma(50.0 * inverse, inverse, -1.0)
    first, second = b.polynomial(f"{table}_COS", u), b.polynomial(f"{table}_SIN", u)
    height = (inverse * (1.0 / math.pi)).sqrt()
    return height * b.fma(first, cosine, -((second * inverse) * sine))


def wave_sum(b, reduced, sine_sign, cosine_sign):
    """±sin ± cos of an angle, the two large parts first, which may cancel."""
    high, low, n = reduced
    pairs = sine_and_cosine(b, high, low)
    odd = (n & 1).equals(1)
    parts = []
    for own, quarter, sign in ((0, n, sine_sign), (1, n + 1, cosine_sign)):
        top = 0 if sign > 0 else b.format.sign
        chosen = [b.select(odd, *both) for both in zip(pairs[1 - own], pairs[own], strict=True)]
        parts.append([flip(b, value, quarter, top) for value in chosen])
    (s, s_low), (c, c_low) = parts
    return (s + c) + (s_low + c_low)


def of_waves(b, x, compute):
    """compute(b, x, reduced |x|); everything anew if a lane is large or not finite."""

    def anywhere(b, x):
        a = x.abs()
        # an infinite wave has no height, so any angle will do
        return compute(b, x, reduce_any(b, b.select(a.equals(math.inf), 1.0, a)))

    b.rare = x.abs() > LARGE_ANGLE[b.dtype], anywhere
    return compute(b, x, reduce(b, x.abs()))


def _j0_of(b, x, reduced):
    a = x.abs()
    near = near_zero(b, "J0", ("J0_ZERO_1", "J0_ZERO_2"), a)
    near = b.select(a < b.pick(2.0**-13, 2.0**-6), b.fma(a * a, -0.25, 1.0), near)
    cosine, sine = wave_sum(b, reduced, 1, 1), wave_sum(b, reduced, 1, -1)
    return b.select(a < WAVES, near, waves(b, "J0", a, cosine, sine))


def _j1_of(b, x, reduced):
    a = x.abs()
    near = near_zero(b, "J1", ("J1_ZERO_1",), a) * a
    cosine, sine = wave_sum(b, reduced, 1, -1), wave_sum(b, reduced, -1, -1)
    value = b.select(a < WAVES, near, waves(b, "J1", a, cosine, sine))
    return (value.bits() ^ (x.bits() & b.format.sign)).floats()


@defines("bessel_j0", ulp=4.0)
def _j0(b, x):
    return of_waves(b, x, _j0_of)


@defines("bessel_j1", ulp=4.0)
def _j1(b, x):
    return of_waves(b, x, _j1_of)
