"""sin, cos and tan: what is left of an angle after multiples of pi/2, and two polynomials.

Start at `reduce`; angles above `LARGE_ANGLE` take the cold path to large_angles.py.  Sources:
fdlibm's k_sin.c and k_cos.c (the polynomials' form); Boldo, Daumas, Li 2009 (exact reduction with
fma).
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.large_angles import reduce_lanes
from tapejit.codegen.vectormath.pairs import (
    divide,
    fast_two_sum,
    round_to_integer,
    two_product,
)

LARGE_ANGLE = {"f64": 2.0**28, "f32": 2.0**16}


def reduce(b, a):
    """a = n·pi/2 + high + low for 0 <= a <= LARGE_ANGLE: high, low, and bits whose low end is n."""
    n, raw = round_to_integer(b, a, b.constant("TWO_OVER_PI")[0])
    head, middle, last = b.constant("HALF_PI")
    u = b.residue(n, -head, a)  # exact, because the head ends in zero bits
    p, error = two_product(b, n, middle)
    # u is a multiple of the last bit of p, which is what Fast2Sum really needs
    high, rest = fast_two_sum(u, -p)
    return high, rest - b.fma(n, last, error), raw


def sine_and_cosine(b, high, low):
    """sin and cos of high + low, |high| <= pi/4, each as a pair (large part, rest)."""
    z = high * high
    sine_rest = b.fma(high * z, b.polynomial("SIN", z), low)
    half = z * 0.5
    cosine = 1.0 - half
    rest = b.fma(z * z, b.polynomial("COS", z), -(high * low))
    return (high, sine_rest), (cosine, ((1.0 - cosine) - half) + rest)


def flip(b, value, quarter, sign):
    """Negate where bit 1 of `quarter` is set, and again where `sign` (bits) has its top bit."""
    turned = (quarter & 2) << (b.format.bits - 2)
    return (value.bits() ^ (turned ^ sign)).floats()


def reduce_any(b, a):
    """The same for any a; infinities and NaN give NaN."""
    bound = LARGE_ANGLE[b.dtype]
    is_large = _is_large(b, a)
    far = reduce_lanes(b, b.select(is_large, a, bound))
    near = reduce(b, a)
    return [b.select(is_large, x, y) for x, y in zip(far, near, strict=True)]


def _is_large(b, a):
    return (a > LARGE_ANGLE[b.dtype]) & (a < math.inf)


def of_angle(b, x, finish):
    """finish(b, x, high, low, n) for the reduced |x|; everything anew if a lane is large."""
    a = x.abs()
    b.rare = _is_large(b, a), lambda b, x: finish(b, x, *reduce_any(b, x.abs()))
    return finish(b, x, *reduce(b, a))


@defines("sin", ulp=1.2)
def _sin(b, x):
    return of_angle(b, x, _sine)


def _sine(b, x, high, low, n):
    sine, cosine = sine_and_cosine(b, high, low)
    value = b.select((n & 1).equals(1), cosine[0] + cosine[1], sine[0] + sine[1])
    return flip(b, value, n, x.bits() & b.format.sign)  # odd, so sin(-0) is -0


@defines("cos", ulp=1.2)
def _cos(b, x):
    return of_angle(b, x, _cosine)


def _cosine(b, x, high, low, n):
    sine, cosine = sine_and_cosine(b, high, low)
    n = n + 1
    value = b.select((n & 1).equals(1), cosine[0] + cosine[1], sine[0] + sine[1])
    return flip(b, value, n, 0)


@defines("tan", ulp=1.2)
def _tan(b, x):
    return of_angle(b, x, _tangent)


def _tangent(b, x, high, low, n):
    """Quotient of sine and cosine, each a pair, with one division and one correction."""
    sine, cosine = sine_and_cosine(b, high, low)
    sine, cosine = fast_two_sum(*sine), fast_two_sum(*cosine)
    odd = (n & 1).equals(1)
    top, top_low = (b.select(odd, c, s) for s, c in zip(sine, cosine, strict=True))
    bottom, bottom_low = (b.select(odd, s, c) for s, c in zip(sine, cosine, strict=True))
    value = divide(b, top, top_low, bottom, bottom_low)
    return flip(b, value, n << 1, x.bits() & b.format.sign)
