"""What gamma functions are made of: Stirling's series, and polynomials between 1 and 2."""

from __future__ import annotations

import math

from tapejit.ops.loops.words import exp, log

ROOT_2_PI = math.sqrt(2.0 * math.pi)


def stirling(a):
    """log(gamma(a + 1)) = a log(a) - a + log(2 pi a) / 2 + this, for a >= 10."""
    z = 1.0 / (a * a)
    low = 0.0008417508417508417 - z * (
        0.0019175269175269176 - z * (0.00641025641025641 - z * 0.029550653594771242)
    )
    high = 0.002777777777777778 - z * (
        0.0007936507936507937 - z * (0.0005952380952380953 - z * low)
    )
    return (0.08333333333333333 - z * high) / a


def log_gamma(a):
    """log(gamma(1 + a)) for 0 <= a <= 1: a times a polynomial in a / (a + 2)."""
    t = a / (a + 2.0)
    y = (2.3490797406187247 * t - 5.208100329536075) * t + 5.960983727480963
    y = (y * t - 3.9827042858759327) * t + 1.956941375040939
    y = (y * t - 0.48528880960549314) * t + 0.16602678625028508
    y = (y * t + 0.18393304694256077) * t + 0.00751756963326945
    y = (y * t + 0.2719227376596882) * t + 0.005980993498566014
    y = (y * t + 0.37499574220347814) * t + 0.01247708423178231
    y = (y * t + 0.6040954583197299) * t + 0.04219152931084978
    y = (y * t + 1.6449340668481913) * t - 0.5772156649015329
    return a * y


def factorial(a):
    """gamma(a + 1), of a that is not large."""
    product, rest = 1.0, a
    while rest >= 1.0:
        product *= rest
        rest -= 1.0  # exact
    return product * exp(log_gamma(rest))


def digamma(a):
    """The derivative of log(gamma(a)), for a > 0: the recurrence up to 10, then a series."""
    harmonic, x = 0.0, a
    while x < 10.0:
        harmonic += 1.0 / x
        x += 1.0
    z = 1.0 / (x * x)
    low = 0.007575757575757576 - z * (0.021092796092796094 - z * 0.08333333333333333)
    high = 0.008333333333333333 - z * (0.003968253968253968 - z * (0.004166666666666667 - z * low))
    return log(x) - 0.5 / x - z * (0.08333333333333333 - z * high) - harmonic
