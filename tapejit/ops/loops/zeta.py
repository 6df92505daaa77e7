"""Hurwitz's zeta function and polygamma.

The first terms of the sum are added, the rest is Euler's and Maclaurin's (DLMF 25.11.5).  Left of 0
the terms left of 0 are a sum of their own, and the error is small beside the largest of all.
"""

from __future__ import annotations

from tapejit.ops.loops.elements import place
from tapejit.ops.loops.words import floor, inf, nan, pow, wide

MOST_TERMS = 1000.0
"""A bound: the sum ends before."""


def zetas(args, meta, begin, end):
    s, q, y = args
    for unit in range(begin, end):
        y[unit] = zeta(wide(s[place(meta, unit, 0)]), wide(q[place(meta, unit, 1)]))


def polygammas(args, meta, begin, end):
    """meta[0]: the order."""
    x, y = args
    for unit in range(begin, end):
        y[unit] = polygamma(wide(meta[0]), wide(x[place(meta, unit, 0)]))


def zeta(s, q):
    """As library.zeta: of q <= 0 only for whole s."""
    if s == 1.0:
        return inf
    if not s >= 1.0 or q != q:
        return nan
    whole = floor(q)
    if q <= 0.0 and q == whole:
        return inf
    if q <= 0.0 and s != floor(s):
        return nan
    if q > 0.0:
        total, start, sign, count = 0.0, q, 1.0, 1
    else:
        whole = whole + 1.0 if q - whole > 0.5 else whole
        part = q - whole  # exact, and the nearest pole is at 0 of it
        is_odd = s != 2.0 * floor(0.5 * s)
        total, start, sign, count = pow(abs(part), -s), 1.0 + part, 1.0, 3
        total = -total if is_odd and part < 0.0 else total
    for k in range(count):
        if k == 1:  # those between q and 0: what begins at 1 - part, without what begins at 1 - q
            start, sign = 1.0 - part, -1.0 if is_odd else 1.0
        if k == 2:
            start, sign = 1.0 - q, -sign
        total += sign * right_zeta(s, start)
    return total


def right_zeta(s, q):
    """s > 1 and q > 0."""
    total, term, k, a = 0.0, 0.0, -1.0, 0.0
    while k < 0.0 or (a < 9.0 + 0.65 * s and total + term != total and k < MOST_TERMS):
        total += term
        k += 1.0
        a = q + k
        term = inverse_power(q, k, s)
    if k > 0.0 and total + term == total:  # the rest is nothing beside the first terms
        return total
    if term * 1e-16 == 0.0:  # less than a normal number, which a times it may be
        return total + pow(a, 1.0 - s) / (s - 1.0)
    # B(2j)/(2j)! s (s + 1) ... (s + 2j - 2) / a^(2j - 1), each by the one before
    r = 1.0 / (a * a)
    tail = 1.0 - (s + 25.0) * (s + 26.0) * (r * 0.025330295627487467)
    tail = 1.0 - (s + 23.0) * (s + 24.0) * (r * 0.025330294778152237) * tail
    tail = 1.0 - (s + 21.0) * (s + 22.0) * (r * 0.025330291380456796) * tail
    tail = 1.0 - (s + 19.0) * (s + 20.0) * (r * 0.025330277786482922) * tail
    tail = 1.0 - (s + 17.0) * (s + 18.0) * (r * 0.02533022338183393) * tail
    tail = 1.0 - (s + 15.0) * (s + 16.0) * (r * 0.025330005504037488) * tail
    tail = 1.0 - (s + 13.0) * (s + 14.0) * (r * 0.025329131652661065) * tail
    tail = 1.0 - (s + 11.0) * (s + 12.0) * (r * 0.02532561505065123) * tail
    tail = 1.0 - (s + 9.0) * (s + 10.0) * (r * 0.02531135531135531) * tail
    tail = 1.0 - (s + 7.0) * (s + 8.0) * (r * 0.025252525252525252) * tail
    tail = 1.0 - (s + 5.0) * (s + 6.0) * (r * 0.025) * tail
    tail = 1.0 - (s + 3.0) * (s + 4.0) * (r * 0.023809523809523808) * tail
    tail = 1.0 - (s + 1.0) * (s + 2.0) * (r * 0.016666666666666666) * tail
    return total + term * (a / (s - 1.0) + 0.5 + s / (12.0 * a) * tail)


def inverse_power(q, k, s):
    """(q + k)^-s, without what rounding the sum would do to it."""
    a = q + k
    r = 1.0 / a
    if s == 2.0:
        return r * r
    if s == 3.0:
        return r * r * r
    if s == 4.0:
        return r * r * (r * r)
    power = pow(a, -s)
    added = a - q
    lost = (q - (a - added)) + (k - added)
    return power - power * (s * lost * r) if s < 300.0 and power < inf and a < inf else power


def polygamma(n, x):
    """(-1)^(n + 1) n! zeta(n + 1, x), n >= 1."""
    factor, k = 1.0, 2.0
    while k <= n:
        factor *= k
        k += 1.0
    value = factor * zeta(n + 1.0, x)
    return value if n != 2.0 * floor(0.5 * n) else -value
