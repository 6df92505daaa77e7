"""lgamma, digamma and trigamma: a polynomial between 3/4 and 3, asymptotic series beyond.

From -1/4 to 3/4 one step of the recurrence leads to the polynomial; its zeros (1 and 2 of lgamma,
1.46 of digamma) are factors, so next to them the relative error is small too.  Further left, and
for what is not a normal number, a cold function reflects.  There lgamma and digamma have a zero
between any two poles, and the error is small beside 1 only.  Sources: Hare 1997 (recurrence,
series and reflection); the polynomials are our own.
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
from tapejit.codegen.vectormath.pairs import fast_two_sum
from tapejit.codegen.vectormath.powers import log_double

LEFT, STEP, FAR = -0.25, 0.75, 3.0
"""The recurrence holds from LEFT to STEP, the polynomial from there to FAR."""


def middle(b, table, x):
    """The polynomial of `table` at x, or x + 1 where x < STEP."""
    w = b.select(x < STEP, x + 1.0, x)
    return b.polynomial(table, (w - 1.5) / (w + 1.5))


def usual_lanes(b, x):
    """Lanes that need neither reflection nor special cases."""
    return (x > LEFT) & is_normal(b, x.abs())


def of_right_half(b, x, compute, reflect):
    """compute(b, x, k, m) for x = ±2^k·m above LEFT; `reflect` for lanes further left."""

    def anywhere(b, x):
        a = x.abs()
        is_left = ~(x > LEFT)
        y = b.select(is_left, a, x)
        right = compute(b, y, *log_normalised(b, a))
        return reflect(b, x, a, is_left, right)

    b.rare = ~usual_lanes(b, x), anywhere
    return compute(b, x, *log_usual(b, x.abs()))


def sine_and_cosine_of_pi(b, a):
    """sin(πr) and cos(πr) for r = a - round(a), and r; exact where a is a whole number."""
    unit = 2.0**b.format.mantissa  # from here on every number is whole
    whole = b.select(a < unit, (a + unit) - unit, a)
    r = a - whole
    z = r * r
    return r * b.polynomial("SINPI", z), b.polynomial("COSPI", z), r


# ---------------------------------------------------------------- lgamma


def _lgamma_right(b, x, k, m):
    """log|gamma(x)| for x > LEFT, |x| = 2^k·m."""
    high, low = log_double(b, k, m)
    is_small = x < STEP
    zeros = b.select(is_small, x, x - 1.0) * b.select(is_small, x - 1.0, x - 2.0)
    near = b.fma(zeros, middle(b, "LGAMMA", x), 0.0)  # a zero that is not negative
    near = b.select(is_small, near - (high + low), near)
    inverse = 1.0 / x
    rest = b.constant("STIRLING")[0] + inverse * b.polynomial("LGAMMA_FAR", inverse * inverse)
    top, top_low = fast_two_sum(high, -1.0)
    factor = x - 0.5
    far = b.fma(factor, top, b.fma(factor, top_low + low, rest))
    return b.select(x < FAR, near, far)


def _lgamma_reflected(b, x, a, is_left, right):
    """log(pi / (a |sin(pi a)|)) - lgamma(a) on the left; infinite at the poles."""
    sine, _, r = sine_and_cosine_of_pi(b, a)
    size = log_of_parts(b, *log_normalised(b, a * sine.abs()))
    left = (b.constant("LOG_PI")[0] - size) - right
    left = b.select(r.equals(0.0), math.inf, left)
    result = b.select(is_left, left, right)
    result = b.select(a.equals(0.0) | a.equals(math.inf), math.inf, result)
    return b.select(x.is_nan(), x, result)


@defines("lgamma", ulp=3.5)
def _lgamma(b, x):
    return of_right_half(b, x, _lgamma_right, _lgamma_reflected)


# ---------------------------------------------------------------- digamma


def _digamma_right(b, x, k, m):
    high, low = b.constant("DIGAMMA_ZERO")
    is_small = x < STEP
    distance = (x - b.select(is_small, high - 1.0, high)) - low
    inverse = 1.0 / x
    near = distance * middle(b, "DIGAMMA", x)
    near = b.select(is_small, near - inverse, near)
    z = inverse * inverse
    far = log_of_parts(b, k, m) - b.fma(z, b.polynomial("DIGAMMA_FAR", z), 0.5 * inverse)
    return b.select(x < FAR, near, far)


def _digamma_reflected(b, x, a, is_left, right):
    """digamma(a) + 1/a + pi/tan(pi a) on the left; NaN at the poles, infinite at 0."""
    sine, cosine, r = sine_and_cosine_of_pi(b, a)
    left = (right + 1.0 / a) + b.constant("PI")[0] * cosine / sine
    left = b.select(r.equals(0.0) | a.equals(math.inf), math.nan, left)
    result = b.select(is_left, left, right)
    result = b.select(x.equals(math.inf), x, result)
    result = b.select(a < b.pick(2.0**-1022, 2.0**-126), -1.0 / x, result)
    return b.select(x.is_nan(), x, result)


@defines("digamma", ulp=6.0)
def _digamma(b, x):
    return of_right_half(b, x, _digamma_right, _digamma_reflected)


# ---------------------------------------------------------------- trigamma


def _trigamma_right(b, x, k, m):
    inverse = 1.0 / x
    z = inverse * inverse
    near = middle(b, "TRIGAMMA", x)  # of x·trigamma(x), which varies less
    near = b.select(x < STEP, near / (x + 1.0) + z, near * inverse)
    far = b.fma(z, b.fma(inverse, b.polynomial("TRIGAMMA_FAR", z), 0.5), inverse)
    return b.select(x < FAR, near, far)


def _trigamma_reflected(b, x, a, is_left, right):
    """(pi / sin(pi a))² + 1/a² - trigamma(a) on the left; infinite at the poles."""
    sine, _, r = sine_and_cosine_of_pi(b, a)
    ratio = b.constant("PI")[0] / sine
    inverse = 1.0 / a
    left = b.fma(ratio, ratio, inverse * inverse - right)
    left = b.select(r.equals(0.0), math.inf, left)
    left = b.select(a.equals(math.inf), math.nan, left)
    result = b.select(is_left, left, right)
    result = b.select(x.equals(math.inf), 0.0, result)
    result = b.select(a < b.pick(2.0**-1022, 2.0**-126), math.inf, result)
    return b.select(x.is_nan(), x, result)


@defines("trigamma", ulp=5.0)
def _trigamma(b, x):
    return of_right_half(b, x, _trigamma_right, _trigamma_reflected)
