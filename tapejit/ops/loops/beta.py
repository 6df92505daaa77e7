"""The beta function and its logarithm.

The large parts of the three gamma functions cancel in Stirling's formulas: what is left are small
logarithms or, up to a + b = `most`, powers.  Sources: Didonato and Morris 1992 (the forms), DLMF
5.11.1, 5.12.
"""

from __future__ import annotations

import math

from tapejit.ops.loops.elements import place
from tapejit.ops.loops.gamma import ROOT_2_PI, factorial, stirling
from tapejit.ops.loops.words import (
    exp,
    floor,
    inf,
    lgamma,
    log,
    log1p,
    nan,
    pow,
    sqrt,
    wide,
)

LOG_ROOT_2_PI = math.log(ROOT_2_PI)


def log_betas(args, meta, begin, end):
    a, b, y = args
    for unit in range(begin, end):
        y[unit] = log_beta(wide(a[place(meta, unit, 0)]), wide(b[place(meta, unit, 1)]))


def betas(args, meta, begin, end):
    a, b, y = args
    most = wide(meta[0])
    for unit in range(begin, end):
        y[unit] = beta(wide(a[place(meta, unit, 0)]), wide(b[place(meta, unit, 1)]), most)


def log_beta(a, b):
    """log|gamma(a) gamma(b) / gamma(a + b)|."""
    if a != a or b != b:
        return nan
    p, q = a if a < b else b, b if a < b else a
    if p <= 0.0 and p == floor(p):
        if not (q >= 1.0 and q < 1.0 - p and q == floor(q)):
            return inf
        p = 1.0 - p - q
    if p > q:
        p, q = q, p
    if q == inf:
        return inf if p < 0.0 else (nan if p == inf else -inf)
    if q <= 0.0 and q == floor(q):
        return inf
    s = p + q
    if q < 10.0 or s < 10.0:
        return lgamma(p) + lgamma(q) - lgamma(s)
    shared = stirling(q) - stirling(s)
    if p < 10.0:
        return lgamma(p) + shared + p - p * log(s) + (q - 0.5) * log1p(-p / s)
    logs = (p - 0.5) * log(p / s) + q * log1p(-p / s)
    return logs - 0.5 * log(q) + LOG_ROOT_2_PI + (stirling(p) + shared)


def beta(a, b, most):
    """gamma(a) gamma(b) / gamma(a + b)."""
    if a != a or b != b:
        return nan
    p, q, factor = a if a < b else b, b if a < b else a, 1.0
    if p <= 0.0 and p == floor(p):
        if not (q >= 1.0 and q < 1.0 - p and q == floor(q)):
            return inf
        factor = 1.0 if q == 2.0 * floor(0.5 * q) else -1.0
        p = 1.0 - p - q
    if q <= 0.0 and q == floor(q):
        return inf
    if q == inf and p < 0.0:
        return sign_of_gamma(p) * inf
    if p < -30.0:
        sign = sign_of_gamma(p) * sign_of_gamma(q) * sign_of_gamma(p + q)
        return sign * exp(lgamma(p) + lgamma(q) - lgamma(p + q))
    while p < 0.0:
        factor *= (p + q) / p
        p += 1.0
    while q < 0.0:
        factor *= (p + q) / q
        q += 1.0
    if p > q:
        p, q = q, p
    return factor * positive_beta(p, q, most)


def sign_of_gamma(x):
    whole = floor(x)
    return -1.0 if x < 0.0 and whole != 2.0 * floor(0.5 * whole) else 1.0


def positive_beta(p, q, most):
    """Of 0 < p <= q."""
    if q == inf:
        return nan if p == inf else 0.0
    s = p + q
    lost = s - q - p
    gamma = 1.0
    if p < 12.0:
        gamma = factorial(p) / p
    if q < 12.0:
        rest = exp(lost * log(s))  # what rounding the sum did to gamma(s)
        return gamma * (factorial(q) / factorial(s)) * (s / q) * rest
    shared = stirling(q) - stirling(s)
    if p < 12.0:
        return gamma * pow(s, -p) * exp(p + q * log1p(-p / s) + shared) * sqrt(s / q)
    shared += stirling(p)
    if s > most:
        logs = (p - 0.5) * log(p / s) + q * log1p(-p / s)
        return ROOT_2_PI * exp(logs + shared) / sqrt(q)
    root = pow(p, 0.5 * p) * (pow(q, 0.5 * q) / pow(s, 0.5 * s))
    shared += lost * (log(s) + 1.0)
    return ROOT_2_PI * sqrt(s / p / q) * root * root * exp(shared)
