"""asin, acos, atan and atan2: one polynomial each, and multiples of pi/4 as pairs.

Source: fdlibm's e_atan2.c (the zeros and infinities of atan2).
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.pairs import fast_two_sum


def arcsine_parts(b, a):
    """asin(a) = s + w for a <= 1/2; asin(a) = pi/2 - 2(s + w) above; and where that is."""
    big = a > 0.5
    z = b.select(big, (1.0 - a) * 0.5, a * a)
    s = b.select(big, z.sqrt(), a)  # NaN for a > 1, as it should be
    return big, s, s * z * b.polynomial("ASIN", z)


@defines("asin", ulp=1.2)
def _asin(b, x):
    big, s, w = arcsine_parts(b, x.abs())
    quarter, quarter_low = b.constant("QUARTER_PI")
    high, error = fast_two_sum(2.0 * quarter, s * -2.0)
    far = high + (error + (2.0 * quarter_low - (w + w)))
    return b.copy_sign(b.select(big, far, s + w), x)


@defines("acos", ulp=1.2)
def _acos(b, x):
    """Multiple of pi/2, less asin(x) for small |x| and less or plus 2·(s + w) for large."""
    big, s, w = arcsine_parts(b, x.abs())
    quarter, quarter_low = b.constant("QUARTER_PI")
    sign = x.bits() & b.format.sign
    turned = b.select(big, sign ^ b.format.sign, sign)
    factor = (b.select(big, 2.0, 1.0).bits() ^ turned).floats()
    negative = x < 0.0
    base = b.select(big, b.select(negative, 4.0 * quarter, 0.0), 2.0 * quarter)
    low = b.select(big, b.select(negative, 4.0 * quarter_low, 0.0), 2.0 * quarter_low)
    high, error = fast_two_sum(base, -(factor * s))
    return high + (error + b.fma(-factor, w, low))


def arctangent(b, y, x, negative):
    """Angle of (x, y), both positive and not both infinite; `negative` lanes: of (-x, y).

    The quotient is brought below 1/2 by swapping and by (q - 1)/(q + 1), all within the one
    division; what that subtracted is k·pi/4.  From 1/2 on, n - d is exact.
    """
    swap = y > x
    n, d = b.select(swap, x, y), b.select(swap, y, x)
    middle = n > d * 0.5
    k = b.select(middle, 1.0, 0.0)
    k = b.select(swap, 2.0 - k, k)
    bottom = b.select(middle, n + d, d)
    bottom = b.select(bottom.equals(0.0), 1.0, bottom)  # 0/0 is 0 here
    t = b.select(middle, n - d, n) / bottom
    turned = swap
    if negative is not None:
        k = b.select(negative, 4.0 - k, k)
        turned = swap ^ negative
    t = b.select(turned, -t, t)
    z = t * t
    quarter, quarter_low = b.constant("QUARTER_PI")
    base = k * quarter
    low = b.fma(k, quarter_low, b.residue(k, quarter, -base))
    # the base is 0 or at least pi/4 > |t|
    high, error = fast_two_sum(base, t)
    return high + (error + b.fma(t * z, b.polynomial("ATAN", z), low))


@defines("atan", ulp=1.4)
def _atan(b, x):
    return b.copy_sign(arctangent(b, x.abs(), 1.0, None), x)


@defines("atan2", ulp=1.5)
def _atan2(b, y, x):
    a, c = y.abs(), x.abs()
    limit = b.pick(2.0**1022, 2.0**126)
    huge = (a > limit) | (c > limit)
    factor = b.select(huge, 0.25, 1.0)  # so that the sum of the two is finite
    both = a.equals(math.inf) & c.equals(math.inf)
    scaled_y = b.select(both, 1.0, a * factor)
    scaled_x = b.select(both, 1.0, c * factor)
    # the sign bit, not x < 0: atan2(0, -0) is pi
    negative = x.bits() < 0
    result = b.copy_sign(arctangent(b, scaled_y, scaled_x, negative), y)
    result = b.select(x.is_nan(), x, result)
    return b.select(y.is_nan(), y, result)
