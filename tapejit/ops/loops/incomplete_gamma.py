"""The incomplete gamma functions P and Q, and the slope of P by its first operand.

    next to x = a, a >= 20   Temme's expansion, uniform in x / a
    x <= a                   the power series of P
    x <= 1.1, small a        1 - x^a / gamma(a + 1), and what that leaves of Q
    elsewhere                Legendre's continued fraction of Q

each times or from x^a exp(-x) / gamma(a + 1), which is made of powers as long as they are in range
(a <= `most`): logarithms are right to a few ulp times the exponent only.  The other of P and Q is 1
minus this one.  The slope is the same formulas, differentiated term by term.

Largest error in ulp over 1,400 pairs up to 10^4, by the size of the result (and SciPy's):

    P    from 1e-3: 9 (48)     from 1e-30: 27 (804)     below: 771 (1928)
    Q    from 1e-3: 8 (241)    from 1e-30: 91 (1360)    below: 1241 (9069)

Sources: Temme 1987 and Gil, Segura, Temme 2012 (the expansion, its coefficients by recurrence),
Didonato and Morris 1986 (regions, Q next to 0), Moore 1982 (slopes), DLMF 8.9 and 8.12.
"""

from __future__ import annotations

from tapejit.ops.loops.elements import place
from tapejit.ops.loops.gamma import ROOT_2_PI, digamma, factorial, log_gamma, stirling
from tapejit.ops.loops.words import (
    erfcx,
    exp,
    expm1,
    inf,
    log,
    log1p,
    nan,
    pow,
    sqrt,
    wide,
)

MOST_TERMS = 1000.0
"""A bound: series and fractions end before."""
UNIFORM_FROM, UNIFORM_WITHIN = 20.0, 0.3
"""Temme's expansion: a, and |x - a| / a."""

# ---------------------------------------------------------------- units


def lower_gammas(args, meta, begin, end):
    """meta[0]: `most`, here and below."""
    a, x, y = args
    most = wide(meta[0])
    for unit in range(begin, end):
        y[unit] = incomplete(wide(a[place(meta, unit, 0)]), wide(x[place(meta, unit, 1)]), most, 0)


def upper_gammas(args, meta, begin, end):
    a, x, y = args
    most = wide(meta[0])
    for unit in range(begin, end):
        y[unit] = incomplete(wide(a[place(meta, unit, 0)]), wide(x[place(meta, unit, 1)]), most, 1)


def lower_slopes(args, meta, begin, end):
    a, x, y = args
    most = wide(meta[0])
    for unit in range(begin, end):
        y[unit] = slope(wide(a[place(meta, unit, 0)]), wide(x[place(meta, unit, 1)]), most)


# ---------------------------------------------------------------- the density


def excess(mu):
    """mu - log(1 + mu), of which little is left near 0, for mu from -0.34 to 0.5."""
    t = mu / (2.0 + mu)
    z = t * t
    y = (0.037037037037037035 * z + 0.04) * z + 0.043478260869565216
    y = (y * z + 0.047619047619047616) * z + 0.05263157894736842
    y = (y * z + 0.058823529411764705) * z + 0.06666666666666667
    y = (y * z + 0.07692307692307693) * z + 0.09090909090909091
    y = (y * z + 0.1111111111111111) * z + 0.14285714285714285
    y = (y * z + 0.2) * z + 0.3333333333333333
    return t * (mu - 2.0 * z * y)


def density(a, x, mu, gap, most):
    """x^a exp(-x) / gamma(a + 1); `gap` is Stirling's, of a >= 12."""
    if a <= most and x > 10.0 * most:  # where the powers overflow, and the result is nothing
        return 0.0
    if a < 12.0:
        root = exp(-0.5 * x)
        return pow(x, a) * root * root / factorial(a)
    if a <= most:
        half = 0.5 * a
        root = pow(x, half) * exp(-0.5 * x) / (pow(a, half) * exp(-half))
        height = root * root
    else:
        exponent = a * log(x / a) + (a - x)
        if mu > -0.6 and mu < 1.5:
            exponent = -a * (mu - log1p(mu))
        if abs(mu) < 0.34:
            exponent = -a * excess(mu)
        height = exp(exponent)
    return height / (ROOT_2_PI * sqrt(a) * exp(gap))


# ---------------------------------------------------------------- incomplete gamma functions


def incomplete(a, x, most, is_upper):
    """P(a, x), or Q(a, x)."""
    if not (a >= 0.0 and x >= 0.0) or (a == 0.0 and x == 0.0) or (a == inf and x == inf):
        return nan
    if x == 0.0 or a == inf:
        return wide(is_upper)
    if a == 0.0 or x == inf:
        return 1.0 - wide(is_upper)
    if x <= 1.1 and a < 1.0:
        bound = 1.1 * x
        if x <= 0.5:
            bound = -0.4 / log(x)
        if a < bound:
            value = upper_near_zero(a, x)
            return value if is_upper == 1 else 1.0 - value
    mu, gap = (x - a) / a, 0.0
    if a >= 12.0:
        gap = stirling(a)
    value = density(a, x, mu, gap, most)
    if a >= UNIFORM_FROM and abs(mu) < UNIFORM_WITHIN:
        value *= uniform(a, mu, gap)
        return value if (mu > 0.0) == (is_upper == 1) else 1.0 - value
    if x > a and x > 1.1:
        value *= a * fraction(a, x)
        return value if is_upper == 1 else 1.0 - value
    value *= series(a, x)
    return 1.0 - value if is_upper == 1 else value


def series(a, x):
    """The sum of x^k / ((a + 1) ... (a + k)): P over the density."""
    term, total, k = 1.0, 1.0, 0.0
    before = 0.0
    while total != before and k < MOST_TERMS:
        before = total
        k += 1.0
        term *= x / (a + k)
        total += term
    return total


def fraction(a, x):
    """1/(x + 1 - a - 1 (1 - a)/(x + 3 - a - 2 (2 - a)/(x + 5 - a - ...))), by Steed's method."""
    b = x + 1.0 - a
    d = 1.0 / b
    total, change, k, before = d, d, 0.0, 0.0
    while total != before and k < MOST_TERMS:
        before = total
        k += 1.0
        numerator = k * (a - k)
        b += 2.0
        earlier = d
        d = 1.0 / (b + numerator * d)
        change *= -numerator * earlier * d
        total += change
    return total


def upper_near_zero(a, x):
    """Q(a, x) for small a and x: (1 - x^a / gamma(a + 1)) and what the rest of P takes off."""
    power = expm1(a * log(x) - log_gamma(a))
    term, total, k = 1.0, 0.0, 0.0
    before = 1.0
    while total != before and k < MOST_TERMS:
        before = total
        k += 1.0
        term *= -x / k
        total += term / (a + k)
    return -power - (1.0 + power) * a * total


# ---------------------------------------------------------------- next to x = a
#
# With eta^2 / 2 = excess(mu), eta of the sign of mu,
#
#   Q = erfc(eta sqrt(a / 2)) / 2 + exp(-a eta^2 / 2) / sqrt(2 pi a) S,   S = B / G
#
# where B = sum of b(m) eta^m, b(m - 1) = f(m) + (m + 1) b(m + 1) / a, G = 1 + b(1) / a is
# gamma(a + 1) over Stirling's formula, and f(m) are the coefficients of eta / mu in powers of eta.


def uniform(a, mu, gap):
    """P over the density for mu <= 0, Q over it beyond."""
    phi = excess(mu)
    eta = sqrt(2.0 * phi)
    rest = expansion(a, eta if mu > 0.0 else -eta)
    rest = rest if mu > 0.0 else -rest
    return exp(gap) * (0.5 * ROOT_2_PI * sqrt(a) * erfcx(sqrt(a * phi)) + rest)


def expansion(a, eta):
    """S."""
    r = 1.0 / a
    b0, b1 = 3.371763262400985e-13, 1.1004392031956135e-13
    y = b0 * eta + b1
    b0 = -5.0276692801141755e-12 + 20.0 * r * b0
    y = y * eta + b0
    b1 = 2.4361948020667415e-11 + 19.0 * r * b1
    y = y * eta + b1
    b0 = -5.830772132550426e-11 + 18.0 * r * b0
    y = y * eta + b0
    b1 = -2.5514193994946248e-11 + 17.0 * r * b1
    y = y * eta + b1
    b0 = 9.14769958223679e-10 + 16.0 * r * b0
    y = y * eta + b0
    b1 = -4.382036018453353e-09 + 15.0 * r * b1
    y = y * eta + b1
    b0 = 1.0261809784240309e-08 + 14.0 * r * b0
    y = y * eta + b0
    b1 = 6.707853543401498e-09 + 13.0 * r * b1
    y = y * eta + b1
    b0 = -1.7665952736826078e-07 + 12.0 * r * b0
    y = y * eta + b0
    b1 = 8.296711340953087e-07 + 11.0 * r * b1
    y = y * eta + b1
    b0 = -1.85406221071516e-06 + 10.0 * r * b0
    y = y * eta + b0
    b1 = -2.185448510679992e-06 + 9.0 * r * b1
    y = y * eta + b1
    b0 = 3.919263178522438e-05 + 8.0 * r * b0
    y = y * eta + b0
    b1 = -0.0001787551440329218 + 7.0 * r * b1
    y = y * eta + b1
    b0 = 0.0003527336860670194 + 6.0 * r * b0
    y = y * eta + b0
    b1 = 0.0011574074074074073 + 5.0 * r * b1
    y = y * eta + b1
    b0 = -0.014814814814814815 + 4.0 * r * b0
    y = y * eta + b0
    b1 = 0.08333333333333333 + 3.0 * r * b1
    y = y * eta + b1
    b0 = -0.3333333333333333 + 2.0 * r * b0
    y = y * eta + b0
    return y / (1.0 + r * b1)


def uniform_slope(a, mu, gap):
    """dQ/da over the density: G times 1/G - eta/2 + dS/da - S (1/a + eta^2) / 2."""
    phi, r = excess(mu), 1.0 / a
    eta = sqrt(2.0 * phi)
    eta = eta if mu > 0.0 else -eta
    b0, b1 = 3.371763262400985e-13, 1.1004392031956135e-13
    c0, c1 = 0.0, 0.0
    y, z = b0 * eta + b1, 0.0
    c0 = 20.0 * r * (c0 - r * b0)
    b0 = -5.0276692801141755e-12 + 20.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 19.0 * r * (c1 - r * b1)
    b1 = 2.4361948020667415e-11 + 19.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 18.0 * r * (c0 - r * b0)
    b0 = -5.830772132550426e-11 + 18.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 17.0 * r * (c1 - r * b1)
    b1 = -2.5514193994946248e-11 + 17.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 16.0 * r * (c0 - r * b0)
    b0 = 9.14769958223679e-10 + 16.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 15.0 * r * (c1 - r * b1)
    b1 = -4.382036018453353e-09 + 15.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 14.0 * r * (c0 - r * b0)
    b0 = 1.0261809784240309e-08 + 14.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 13.0 * r * (c1 - r * b1)
    b1 = 6.707853543401498e-09 + 13.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 12.0 * r * (c0 - r * b0)
    b0 = -1.7665952736826078e-07 + 12.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 11.0 * r * (c1 - r * b1)
    b1 = 8.296711340953087e-07 + 11.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 10.0 * r * (c0 - r * b0)
    b0 = -1.85406221071516e-06 + 10.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 9.0 * r * (c1 - r * b1)
    b1 = -2.185448510679992e-06 + 9.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 8.0 * r * (c0 - r * b0)
    b0 = 3.919263178522438e-05 + 8.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 7.0 * r * (c1 - r * b1)
    b1 = -0.0001787551440329218 + 7.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 6.0 * r * (c0 - r * b0)
    b0 = 0.0003527336860670194 + 6.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 5.0 * r * (c1 - r * b1)
    b1 = 0.0011574074074074073 + 5.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 4.0 * r * (c0 - r * b0)
    b0 = -0.014814814814814815 + 4.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    c1 = 3.0 * r * (c1 - r * b1)
    b1 = 0.08333333333333333 + 3.0 * r * b1
    y, z = y * eta + b1, z * eta + c1
    c0 = 2.0 * r * (c0 - r * b0)
    b0 = -0.3333333333333333 + 2.0 * r * b0
    y, z = y * eta + b0, z * eta + c0
    scale = 1.0 / (1.0 + r * b1)
    y = y * scale
    z = (z - y * r * (c1 - r * b1)) * scale
    rest = scale - 0.5 * eta + z - y * (0.5 * r + phi)
    return exp(gap) * rest


# ---------------------------------------------------------------- slopes


def slope(a, x, most):
    """dP/da."""
    if x == 0.0 or x == inf:
        return 0.0
    if not (a > 0.0 and x > 0.0):
        return nan
    if a == inf:
        return 0.0
    mu, gap = (x - a) / a, 0.0
    if a >= 12.0:
        gap = stirling(a)
    value = density(a, x, mu, gap, most)
    if a >= UNIFORM_FROM and abs(mu) < UNIFORM_WITHIN:
        return -value * uniform_slope(a, mu, gap)
    rate = log(x) - digamma(a + 1.0)
    if x > a and x > 1.1:
        return -value * fraction_slope(a, x, a * rate)
    return value * series_slope(a, x, rate)


def series_slope(a, x, rate):
    """That of density times series, over the density, whose own logarithmic one is `rate`."""
    term, total, k = 1.0, 1.0, 0.0
    harmonic, change, before = 0.0, 0.0, 1.0
    while change != before and k < MOST_TERMS:
        before = change
        k += 1.0
        term *= x / (a + k)
        harmonic += 1.0 / (a + k)
        total += term
        change -= term * harmonic
    return total * rate + change


def fraction_slope(a, x, rate):
    """That of density times a times fraction, over the density; `rate` is a times its own."""
    b = x + 1.0 - a
    d = 1.0 / b
    d_a = d * d
    total, change, k, before = d, d, 0.0, 0.0
    total_a, change_a, before_a = d_a, d_a, 0.0
    while (total != before or total_a != before_a) and k < MOST_TERMS:
        before, before_a = total, total_a
        k += 1.0
        numerator = k * (a - k)
        b += 2.0
        earlier, earlier_a = d, d_a
        d = 1.0 / (b + numerator * d)
        d_a = (1.0 - k * earlier - numerator * earlier_a) * d * d
        factor = -numerator * earlier * d
        factor_a = -k * earlier * d - numerator * (earlier_a * d + earlier * d_a)
        change_a = change_a * factor + change * factor_a
        change *= factor
        total_a += change_a
        total += change
    return total * (1.0 + rate) + a * total_a
