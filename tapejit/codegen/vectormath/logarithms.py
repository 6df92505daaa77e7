"""log, log2, log10 and log1p: x = 2^k·m with m near 1, and a polynomial in s = (m-1)/(m+1).

Start at `_log`.  What is not a positive normal number leaves for a cold function that has all
cases, which saves a quarter of the time; a zero in every vector then costs twice.  Logarithms of
a sum u + low keep the low part: `log_pair`, from which log1p and the inverse hyperbolic functions
are made.  Source: fdlibm's e_log.c (the form of the correction).
"""

from __future__ import annotations

import math

from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.pairs import fast_two_sum, power_of_two, two_sum


def log_split(b, x):
    """Positive normal x = 2^(k - bias) · m with m in [sqrt(1/2), sqrt(2)): k as an integer, m."""
    f = b.format
    offset = b.bits_of(math.sqrt(0.5))
    shifted = x.bits() + ((f.bias << f.mantissa) - offset)
    return shifted >> f.mantissa, ((shifted & ((1 << f.mantissa) - 1)) + offset).floats()


def exponent(b, k, extra=0.0):
    """A biased exponent as a float, less its bias and `extra`; sitofp is slow before AVX-512."""
    base = 2.0**b.format.mantissa
    joined = (k | b.bits_of(base)).floats()
    return joined - (extra + (base + b.format.bias))


def is_normal(b, x):
    """Lanes that hold positive normal finite numbers."""
    f = b.format
    return (x > 2.0 ** (1 - f.bias) - 2.0 ** (1 - f.bias - f.mantissa)) & (x < math.inf)


def log_usual(b, x):
    """k (float) and m for positive normal x."""
    k, m = log_split(b, x)
    return exponent(b, k), m


def log_normalised(b, x):
    """k (float) and m for any positive finite x, subnormal ones included."""
    f = b.format
    small = x < 2.0 ** (1 - f.bias)
    lift = f.mantissa + 2
    k, m = log_split(b, b.select(small, x * 2.0**lift, x))
    return exponent(b, k, b.select(small, float(lift), 0.0)), m


def log_tail(b, f):
    """log(1+f) = f - (half - correction): f²/2 and s·(f²/2 + R), fdlibm's form."""
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    return half, s * b.fma(z, b.polynomial("LOG", z), half)


def log_special(b, x, result):
    """Put in the results for NaN, +inf, negative numbers and zeros."""
    result = b.select(x < math.inf, result, x)
    result = b.select(x < 0.0, math.nan, result)
    return b.select(x.equals(0.0), -math.inf, result)


def of_positive(b, x, finish):
    """finish(b, k, m) for positive normal x = 2^k·m; all cases anew if a lane is another."""
    b.rare = (
        ~is_normal(b, x),
        lambda b, x: log_special(b, x, finish(b, *log_normalised(b, x))),
    )
    return finish(b, *log_usual(b, x))


@defines("log", ulp=1.2)
def _log(b, x):
    return of_positive(b, x, log_of_parts)


def log_of_parts(b, k, m):
    f = m - 1.0
    half, correction = log_tail(b, f)
    head, tail, _ = b.constant("LN2")
    return k * head - ((half - b.fma(k, tail, correction)) - f)


@defines("log10", ulp=1.2)
def _log10(b, x):
    return of_positive(b, x, _log10_of_parts)


def _log10_of_parts(b, k, m):
    """With log(m) and the products as pairs: powers of ten up to 10^22 come out exact."""
    inverse, (unit_head, unit_tail) = b.constant("INV_LN10"), b.constant("LOG10_2")
    f = m - 1.0
    half, correction = log_tail(b, f)
    high = f - half
    low = ((f - high) - half) + correction
    product = high * inverse[0]
    rest = b.residue(high, inverse[0], -product) + b.fma(high, inverse[1], low * inverse[0])
    total, error = fast_two_sum(k * unit_head, product)
    return total + (error + b.fma(k, unit_tail, rest))


@defines("log2", ulp=2.0)
def _log2(b, x):
    return of_positive(b, x, _log2_of_parts)


def _log2_of_parts(b, k, m):
    """k + log(m)/ln2; powers of two are exact because log(1) is."""
    f = m - 1.0
    half, correction = log_tail(b, f)
    inverse, inverse_low = b.constant("INV_LN2")
    rest = b.fma(half - correction, -inverse, f * inverse_low)
    return k + b.fma(f, inverse, rest)


def log_pair(b, u, low, doublings=0.0):
    """log(u + low) + doublings·ln2 for finite positive normal u; exact in relative terms near 1."""
    k, m = log_split(b, u)
    # low · 2^-k; k may be too large for that, but then low no longer counts
    scaled = low * power_of_two(b, 2 * b.format.bias - k)
    scaled = b.select(u > b.pick(2.0**54, 2.0**25), 0.0, scaled)
    return log_of_pair(b, k, m, scaled, doublings)


def log_of_pair(b, k, m, scaled, doublings=0.0):
    """log((m + scaled)·2^(k - bias)) + doublings·ln2."""
    exact = m - 1.0
    f = exact + scaled
    left = (exact - f) + scaled
    half, correction = log_tail(b, f)
    k = exponent(b, k, -doublings)
    head, tail, _ = b.constant("LN2")
    return k * head - ((half - (b.fma(k, tail, correction) + left)) - f)


@defines("log1p", ulp=1.2)
def _log1p(b, x):
    """Lanes in (-1, 2^54) here, 0.2 ns an element faster than with all cases; others leave."""
    b.rare = ~((x > -1.0) & (x < b.pick(2.0**54, 2.0**25))), log1p_anywhere
    u, low = two_sum(1.0, x)
    k, m = log_split(b, u)
    result = log_of_pair(b, k, m, low * power_of_two(b, 2 * b.format.bias - k))
    return b.copy_sign(result.abs(), x)  # -0 stays what it is


def log1p_anywhere(b, x):
    u, low = two_sum(1.0, x)
    result = log_pair(b, u, low)
    result = b.select(x < math.inf, result, x)
    result = b.select(x < -1.0, math.nan, result)
    result = b.select(x.equals(-1.0), -math.inf, result)
    return b.select(x.equals(0.0), x, result)
