"""Pieces that several functions share: numbers as exact pairs, clamping, powers of two.

Sources: Knuth (two_sum), Dekker 1971 (fast_two_sum, two_product), Cody and Waite 1980 (rounding by
a large number).
"""

from __future__ import annotations


def two_sum(a, b):
    """a + b as an exact pair, for any magnitudes (Knuth)."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def fast_two_sum(a, b):
    """a + b as an exact pair where a = 0 or |a| >= |b| (Dekker)."""
    s = a + b
    return s, (a - s) + b


def two_product(b, x, y):
    """x · y as an exact pair."""
    p = x * y
    return p, b.residue(x, y, -p)


def at_most(b, x, bound):
    """min(x, bound); a NaN stays."""
    return b.select(x > bound, bound, x)


def at_least(b, x, bound):
    """max(x, bound); a NaN stays."""
    return b.select(x < bound, bound, x)


def power_of_two(b, biased):
    """2^(biased - bias) for a biased exponent in the range of normal numbers."""
    return (biased << b.format.mantissa).floats()


def round_to_integer(b, x, factor):
    """n = round(x · factor) as a float, and the raw bits whose low end holds n."""
    raised = b.fma(x, factor, b.format.magic)
    return raised - b.format.magic, raised.bits()


def divide(b, top, top_low, bottom, bottom_low):
    """(top + top_low) / (bottom + bottom_low), within little more than half an ulp."""
    inverse = 1.0 / bottom
    quotient = top * inverse
    left = b.residue(-quotient, bottom, top) + b.fma(-quotient, bottom_low, top_low)
    return b.fma(left, inverse, quotient)
