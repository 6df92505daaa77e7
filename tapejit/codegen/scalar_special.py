"""The special functions that a kernel's Python text calls: one number in, one number out.

Other algorithms than those of the vector mathematics (Newton's method, recurrences, series,
an integral), chosen to be short and right to a few ulp: a kernel takes this way where it has no
native code, and tests hold the two against each other.  They compute in
float64.  Numba compiles the same text; a function may call others of this file, and `math`'s where
those cannot raise.

Start anywhere.  scalar_math.py imports all of it for generated code.
"""

from __future__ import annotations

import math
from math import inf, nan

_WHOLE = 4503599627370496.0  # 2**52: from here on every float64 is an integer


def cbrt(x):
    x = float(x)
    if x == 0 or x != x or abs(x) == inf:
        return x
    y = math.copysign(math.pow(abs(x), 1.0 / 3.0), x)
    return y - (y - x / (y * y)) / 3.0  # one step of Newton's method


# ---------------------------------------------------------------- error functions


def erfcx(x):
    """exp(x²)·erfc(x): by its continued fraction from 2 on, below as the product."""
    x = float(x)
    if x >= 2.0:
        tail = 0.0
        if x < 1e8:
            for k in range(100, 0, -1):
                tail = 0.5 * k / (x + tail)
        return 0.5641895835477563 / (x + tail)
    if x < -26.7:
        return inf
    near = math.floor(x * 16.0) / 16.0 if x == x else x  # its square is exact
    return math.exp(near * near) * math.exp((x - near) * (x + near)) * math.erfc(x)


def erfcinv_far(t):
    """erfcinv(t) for 0 < t <= 1/2: Newton's method on the logarithm, which does not underflow."""
    size = -math.log(t)
    x = math.sqrt(max(size - 0.5 * math.log(math.pi * size), 0.1))
    for _ in range(8):
        scaled = erfcx(x)
        x += (math.log(scaled) - x * x + size) * scaled * 0.886226925452758
    return x


def erfinv_near(x):
    """erfinv(x) for |x| <= 1/2."""
    y = 0.886226925452758 * x * (1.0 + 0.2617993877991494 * x * x)  # its series begins so
    for _ in range(4):
        y -= (math.erf(y) - x) * 0.886226925452758 * math.exp(y * y)
    return y


def erfcinv(y):
    y = float(y)
    if not 0.0 < y < 2.0:
        return math.copysign(inf, 1.0 - y) if y == 0.0 or y == 2.0 else nan
    if 0.5 < y < 1.5:
        return erfinv_near(1.0 - y)
    return erfcinv_far(y) if y < 1.0 else -erfcinv_far(2.0 - y)


def erfinv(x):
    x = float(x)
    a = abs(x)
    if a >= 1.0 or x != x:
        return math.copysign(inf, x) if a == 1.0 else nan
    return erfinv_near(x) if a <= 0.5 else math.copysign(erfcinv_far(1.0 - a), x)


# ---------------------------------------------------------------- gamma functions


def lgamma(x):
    x = float(x)
    if x <= 0.0 and (x == math.floor(x) if x > -_WHOLE else True):
        return inf
    return inf if x > 2.556e305 else math.lgamma(x)


def digamma(x):
    x = float(x)
    if x != x or x == -inf:
        return nan
    if x == 0.0:
        return -math.copysign(inf, x)
    if x < 0.0:
        rest = x - math.floor(x + 0.5) if x > -_WHOLE else 0.0  # exact
        if rest == 0.0:
            return nan
        return digamma_right(1.0 - x) - math.pi / math.tan(math.pi * rest)
    return digamma_right(x)


def digamma_right(x):
    """Positive x: the recurrence up to 10, then the asymptotic series."""
    shift = 0.0
    while x < 10.0:
        shift += 1.0 / x
        x += 1.0
    z = 1.0 / (x * x) if x < 1e150 else 0.0
    tail = 1.0 / 132 - z * (691.0 / 32760 - z * (1.0 / 12 - z * (3617.0 / 8160)))
    tail = 1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * tail)))
    return (math.log(x) if x < inf else x) - 0.5 / x - z * tail - shift


def trigamma(x):
    x = float(x)
    if x != x or x == -inf:
        return nan
    if x == 0.0:
        return inf
    if x < 0.0:
        rest = x - math.floor(x + 0.5) if x > -_WHOLE else 0.0  # exact
        if rest == 0.0:
            return inf
        ratio = math.pi / math.sin(math.pi * rest)
        return ratio * ratio - trigamma_right(1.0 - x)
    return trigamma_right(x)


def trigamma_right(x):
    shift = 0.0
    while x < 12.0:
        shift += 1.0 / (x * x) if x > 1e-154 else inf
        x += 1.0
    z = 1.0 / (x * x) if x < 1e150 else 0.0
    tail = 5.0 / 66 - z * (691.0 / 2730 - z * (7.0 / 6 - z * (3617.0 / 510)))
    tail = 1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z * (1.0 / 30 - z * tail)))
    return shift + (1.0 + (0.5 + tail / x) / x) / x


# ---------------------------------------------------------------- Bessel functions


def modified_series(order, a):
    """I(a) for 0 <= a <= 30, by its power series."""
    z = 0.25 * a * a
    term = total = 1.0
    k = 1
    while term > 1e-18 * total:
        term *= z / (k * (k + order))
        total += term
        k += 1
    return total * (0.5 * a if order == 1 else 1.0)


def modified_tail(order, a):
    """exp(-a)·I(a) for a > 30, by its asymptotic series."""
    mu = 4.0 * order
    term = total = 1.0
    for k in range(1, 25):
        term *= -(mu - (2.0 * k - 1.0) ** 2) / (8.0 * k * a)
        total += term
    return total / math.sqrt(2.0 * math.pi * a)


def bessel_i0(x):
    x = float(x)
    a = abs(x)
    if a <= 30.0 or x != x:
        return modified_series(0, a) if x == x else x
    if a > 720.0:
        return inf
    half = math.exp(0.5 * a)
    return modified_tail(0, a) * half * half


def bessel_i1(x):
    x = float(x)
    a = abs(x)
    if a <= 30.0 or x != x:
        return math.copysign(modified_series(1, a), x) if x == x else x
    if a > 720.0:
        return math.copysign(inf, x)
    half = math.exp(0.5 * a)
    return math.copysign(modified_tail(1, a) * half * half, x)


def bessel_i0e(x):
    x = float(x)
    a = abs(x)
    if a <= 30.0:
        return modified_series(0, a) * math.exp(-a)
    return modified_tail(0, a) if x == x else x


def bessel_i1e(x):
    x = float(x)
    a = abs(x)
    if a <= 30.0:
        return math.copysign(modified_series(1, a) * math.exp(-a), x)
    return math.copysign(modified_tail(1, a), x) if x == x else x


def wave(order, a):
    """J(a), a >= 0: a series, then the integral over one period, then the asymptotic waves."""
    if a == inf:
        return 0.0
    if a < 2.0:
        z = -0.25 * a * a
        term = total = 1.0
        for k in range(1, 16):
            term *= z / (k * (k + order))
            total += term
        return total * (0.5 * a if order == 1 else 1.0)
    if a < 30.0:
        total = 0.0
        for k in range(80):  # the trapezoidal rule of a periodic function
            angle = k * (math.pi / 40.0)
            total += math.cos(order * angle - a * math.sin(angle))
        return total / 80.0
    mu = 4.0 * order
    cosine_part, sine_part, term = 1.0, 0.0, 1.0
    for k in range(1, 21):
        term *= (mu - (2.0 * k - 1.0) ** 2) / (8.0 * k * a)
        if k % 2 == 1:
            sine_part += term if k % 4 == 1 else -term
        else:
            cosine_part += term if k % 4 == 0 else -term
    sine, cosine = math.sin(a), math.cos(a)
    if order == 1:
        sine, cosine = -cosine, sine  # a quarter of a turn further
    wave = cosine_part * (cosine + sine) - sine_part * (sine - cosine)
    return wave / math.sqrt(math.pi * a)


def bessel_j0(x):
    x = float(x)
    return wave(0, abs(x)) if x == x else x


def bessel_j1(x):
    x = float(x)
    if x != x:
        return x
    value = wave(1, abs(x))
    return -value if math.copysign(1.0, x) < 0.0 else value
