"""exp, exp2 and expm1: x = n·ln2 + r, a polynomial in r, and 2^n in two steps.

Start at `exp_scaled`; hyperbolic.py, powers.py and error_function.py are built from these parts.
The clamps keep n within reach and let a NaN pass.  Source: Cody and Waite 1980.
"""

from __future__ import annotations

from tapejit.codegen.vectormath.language import defines
from tapejit.codegen.vectormath.pairs import (
    at_least,
    at_most,
    fast_two_sum,
    power_of_two,
    round_to_integer,
)


def exp_reduce(b, x):
    """x = n·ln2 + r + low, |r| <= ln(2)/2: r, low, and n + 2·bias as an integer."""
    n, raw = round_to_integer(b, x, b.constant("INV_LN2")[0])
    head, tail, _ = b.constant("LN2")
    rest = b.fma(n, -head, x)  # exact: n has few bits and so has the head
    r = b.fma(n, -tail, rest)
    low = b.residue(n, -tail, rest - r)
    return r, low, raw - (b.bits_of(b.format.magic) - 2 * b.format.bias)


def exp_tail(b, r, low):
    """exp(r + low) - 1 for |r| <= ln(2)/2, as the pair (r, the rest)."""
    return r, b.fma(r * r, b.polynomial("EXP", r), low)


def scale(b, x, doubly_biased):
    """x · 2^(doubly_biased - 2·bias) in two steps, so that only the last one may round."""
    half = doubly_biased >> 1
    return x * power_of_two(b, half) * power_of_two(b, doubly_biased - half)


def exp_parts(b, x):
    """exp(x) = factor · 2^n: the factor next to 1, and n + 2·bias."""
    r, _, k = exp_reduce(b, x)  # its low part is worth a tenth of an ulp and three instructions
    near, error = fast_two_sum(1.0, r)  # this one a third, and exp(1) is e
    return near + b.fma(r * r, b.polynomial("EXP", r), error), k


def exp_scaled(b, x, shift):
    """exp(x) / 2^shift for x that is neither far above overflow nor far below underflow."""
    factor, k = exp_parts(b, x)
    return scale(b, factor, k - shift if shift else k)


@defines("exp", ulp=1.2)
def _exp(b, x):
    x = at_least(b, at_most(b, x, b.pick(710.0, 89.0)), b.pick(-746.0, -104.5))
    return exp_scaled(b, x, 0)


@defines("exp2", ulp=1.2)
def _exp2(b, x):
    x = at_least(b, at_most(b, x, b.pick(1025.0, 129.0)), b.pick(-1076.0, -151.0))
    n, raw = round_to_integer(b, x, 1.0)
    fraction = x - n
    ln2 = b.rounded(sum(b.constant("LN2")))
    rest = b.fma(fraction * fraction, b.polynomial("EXP2", fraction), fraction * ln2)
    return scale(b, 1.0 + rest, raw - (b.bits_of(b.format.magic) - 2 * b.format.bias))


def expm1_scaled(b, x, shift):
    """(exp(x) - 1) / 2^shift as a pair, for x within the range that the callers clamp to.

    With s = 2^(n-shift), the large parts s - 2^-shift and s·r are added exactly.
    """
    r, low, k = exp_reduce(b, x)
    r, rest = exp_tail(b, r, low)
    s = power_of_two(b, k - (b.format.bias + shift))
    high, error = fast_two_sum(s - 2.0**-shift, s * r)
    return high, b.fma(s, rest, error)


@defines("expm1", ulp=1.5)
def _expm1(b, x):
    clamped = at_least(b, at_most(b, x, b.pick(710.0, 89.0)), b.pick(-40.0, -20.0))
    high, low = expm1_scaled(b, clamped, 1)
    result = (high + low) * 2.0
    # tiny arguments also cover -0 and subnormals, which s·r would round
    return b.select(x.abs() < b.pick(2.0**-54, 2.0**-25), x, result)
