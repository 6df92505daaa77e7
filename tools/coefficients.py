"""Print the constant tables of the vector math.

    python -m tools.coefficients > tapejit/codegen/vectormath/coefficients.py
    ruff format tapejit/codegen/vectormath/coefficients.py

With mpmath at 700 bits: a polynomial agrees with its function at the Chebyshev nodes of the
interval, which is within a factor of about two of minimax; its coefficients are then rounded to
the element type.  The comment above a table gives the largest absolute error found afterwards with
the rounded coefficients at 200 points.  Constants are split into parts, the first of which may be
short, so that a small whole number times it is exact.

Start at `POLYNOMIALS` and `CONSTANTS`.  Needs mpmath (the `test` extra); runs for two minutes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import mpmath
from mpmath import mpf

mpmath.mp.prec = 700

HEAD = '''"""Constant tables of the vector math: polynomial coefficients and split constants.

Printed by tools/coefficients.py, which says how they are made; do not edit.  Lowest power first.
The comment above a polynomial gives function, interval, degree and the largest absolute error with
these coefficients.  Numbers of f32 tables are exact binary32 values.  A constant is split into
parts that are added from the largest to the smallest.
"""
'''

# ---------------------------------------------------------------- data


class Polynomial(NamedTuple):
    """One table: a function of one variable on an interval, a degree for each element type."""

    name: str
    about: str
    function: Callable
    interval: Callable
    """The ends, given the element type."""
    degrees: tuple[int, int]


class Constant(NamedTuple):
    """One split constant; `bits` are those of the first part, 0 for as many as fit."""

    name: str
    about: str
    value: mpf
    n_parts: int
    bits: tuple[int, int] = (0, 0)


def _of_root(f):
    """f(sqrt(z)) as a function of z."""
    return lambda z: f(mpmath.sqrt(z))


def _log_rest(s):
    return (mpmath.log((1 + s) / (1 - s)) / s - 2) / s**2


def _scaled_erfc(t):
    a = 4 * (1 + t) / (1 - t)
    return (1 + 2 * a) * mpmath.exp(a * a) * mpmath.erfc(a)


def _inverse_erfc(y):
    """x with erfc(x) = y, for y too small to be told from 1 - erf(x)."""
    size = -mpmath.log(y)
    if size < 2:
        return mpmath.erfinv(1 - y)
    x = mpmath.sqrt(size - mpmath.log(mpmath.pi * size) / 2)
    for _ in range(12):  # Newton, on the logarithm
        value = mpmath.erfc(x)
        x += mpmath.log(value / y) * value * mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(x * x)
    return x


def _erfinv_far(centre, shift):
    """erfcinv(exp(-s*s)) / s as a function of u = (s - centre)/(s + shift)."""

    def function(u):
        s = (mpf(centre) + mpf(shift) * u) / (1 - u)
        return _inverse_erfc(mpmath.exp(-s * s)) / s

    return function


def _between(f, *zeros):
    """f / ((x - zero) ...), as a function of t = (x - 3/2)/(x + 3/2)."""

    def function(t):
        x = mpf("1.5") * (1 + t) / (1 - t)
        if any(abs(x - zero) < mpf(10) ** -60 for zero in zeros):
            x += mpf(10) ** -60
        return f(x) / mpmath.fprod(x - zero for zero in zeros)

    return function


def _gamma_rest(x):
    return x * (mpmath.loggamma(x) - (x - mpf("0.5")) * (mpmath.log(x) - 1) - STIRLING_CONSTANT)


def _digamma_rest(x):
    return x * x * (mpmath.log(x) - mpf("0.5") / x - mpmath.psi(0, x))


def _trigamma_rest(x):
    return x**3 * (mpmath.psi(1, x) - 1 / x - mpf("0.5") / x**2)


def _of_inverse_square(f):
    """f(1/sqrt(z)) as a function of z, cut off where x leaves the reach of mpmath."""
    return lambda z: f(1 / mpmath.sqrt(z))


def _modified_far(order):
    """sqrt(x) exp(-x) I(x) in u = 20/x - 1."""

    def function(u):
        x = 20 / (1 + u)
        return mpmath.sqrt(x) * mpmath.exp(-x) * mpmath.besseli(order, x)

    return function


def _bessel_near(order, zeros):
    """J(x) / x^order / ((x^2 - zero^2) ...) in t = x*x/12.5 - 1."""

    def function(t):
        z = mpf("12.5") * (1 + t)
        x = mpmath.sqrt(z)
        quotient = mpmath.besselj(order, x) / x**order
        return quotient / mpmath.fprod(z - zero**2 for zero in zeros)

    return function


def _bessel_far(order, part):
    """P or x·Q in u = 50/x^2 - 1, where P + iQ = sqrt(pi x/2) exp(-i(x - ...)) H(x)."""

    def function(u):
        x = mpmath.sqrt(50 / (1 + u))
        angle = x - (2 * order + 1) * mpmath.pi / 4
        value = mpmath.hankel1(order, x) * mpmath.sqrt(mpmath.pi * x / 2)
        value *= mpmath.exp(-1j * angle)
        return value.real if part == "P" else x * value.imag

    return function


def _up_to(end, margin="1.001"):
    """From (nearly) zero to a little more than `end`: rounding may carry an argument over it."""
    return lambda dtype: (mpf(10) ** -30, end * mpf(margin))


MARGIN = mpf("1.001")
HALF_LN2 = mpmath.log(2) / 2
LOG_END = (3 - 2 * mpmath.sqrt(2)) ** 2
ANGLE_END = (mpmath.pi / 4) ** 2 * MARGIN
TYPES = ("f64", "f32")
STIRLING_CONSTANT = (mpmath.log(2 * mpmath.pi) - 1) / 2
DIGAMMA_ZERO = mpmath.findroot(mpmath.digamma, mpf("1.4616321449683623"))
J0_ZEROS = [mpmath.besseljzero(0, k) for k in (1, 2)]
J1_ZERO = mpmath.besseljzero(1, 1)
THIRD = mpf(1) / 3 * MARGIN


def _around_zero(end):
    """From -end to end."""
    return lambda dtype: (-end, end)


def _whole_unit(dtype):
    """From -1, which stands for x = infinity and is left out by a hair, to 1."""
    return (-1 + mpf(10) ** -12, MARGIN)


def _tail(centre, shift, low, high):
    """The range of (s - centre)/(s + shift) for s from `low` to `high`, by element type."""
    return lambda dtype: [
        (mpf(s) - mpf(centre)) / (mpf(s) + mpf(shift)) for s in (low[dtype], high[dtype])
    ]


POLYNOMIALS = (
    Polynomial(
        "EXP",
        "(exp(r) - 1 - r) / r**2   |r| <= ln(2)/2",
        # next to 0 the quotient has no digits left
        lambda r: (mpmath.exp(r) - 1 - r) / r**2 if abs(r) > mpf(10) ** -60 else mpf("0.5"),
        lambda dtype: (-HALF_LN2 * MARGIN, HALF_LN2 * MARGIN),
        (9, 4),
    ),
    Polynomial(
        "EXP2",
        "(2**f - 1 - f*ln(2)) / f**2   |f| <= 1/2",
        lambda f: (
            (2**f - 1 - f * mpmath.log(2)) / f**2
            if abs(f) > mpf(10) ** -60
            else mpmath.log(2) ** 2 / 2
        ),
        lambda dtype: (-MARGIN / 2, MARGIN / 2),
        (9, 4),
    ),
    Polynomial(
        "TANH",
        "(tanh(x) / x - 1) / z,  z = x*x   0 <= x <= 0.55",
        _of_root(lambda x: (mpmath.tanh(x) / x - 1) / x**2),
        _up_to(mpf("0.3025")),
        (10, 4),
    ),
    Polynomial(
        "LOG",
        "(log((1+s)/(1-s)) / s - 2) / z,  z = s*s   0 <= z <= 0.02944",
        _of_root(_log_rest),
        _up_to(LOG_END),
        (7, 3),
    ),
    Polynomial(
        "POW",
        "((log((1+s)/(1-s)) / s - 2) / z - 2/3) / z   0 <= z <= 0.02944",
        _of_root(lambda s: (_log_rest(s) - mpf(2) / 3) / s**2),
        _up_to(LOG_END),
        (7, 2),
    ),
    Polynomial(
        "SIN",
        "(sin(r) / r - 1) / z,  z = r*r   |r| <= pi/4",
        _of_root(lambda r: (mpmath.sin(r) / r - 1) / r**2),
        _up_to(ANGLE_END),
        (5, 2),
    ),
    Polynomial(
        "COS",
        "(cos(r) - 1 + z/2) / z**2   |r| <= pi/4",
        _of_root(lambda r: (mpmath.cos(r) - 1 + r**2 / 2) / r**4),
        _up_to(ANGLE_END),
        (5, 2),
    ),
    Polynomial(
        "ASIN",
        "(asin(x) / x - 1) / z,  z = x*x   0 <= z <= 1/4",
        _of_root(lambda x: (mpmath.asin(x) / x - 1) / x**2),
        _up_to(mpf("0.25")),
        (12, 5),
    ),
    Polynomial(
        "ATAN",
        "(atan(x) / x - 1) / z,  z = x*x   |x| <= 1/2",
        _of_root(lambda x: (mpmath.atan(x) / x - 1) / x**2),
        _up_to(mpf("0.25")),
        (12, 5),
    ),
    Polynomial(
        "ERF",
        "erf(x) / x - 1  in z = x*x   0 <= z <= 1",
        _of_root(lambda x: mpmath.erf(x) / x - 1),
        _up_to(mpf(1), "1.0001"),
        (12, 6),
    ),
    Polynomial(
        "ERFCX",
        "(1 + 2*a) * exp(a*a) * erfc(a)  in t = (a - 4)/(a + 4)   "
        "0.47 <= a <= 27.4 (f64), 10.3 (f32)",
        _scaled_erfc,
        lambda dtype: [
            (mpf(a) - 4) / (mpf(a) + 4) for a in ("0.47", "27.4" if dtype == "f64" else "10.3")
        ],
        (21, 9),
    ),
    Polynomial(
        "CBRT",
        "cbrt(1 + f)   sqrt(1/2) <= 1 + f <= sqrt(2)",
        lambda f: mpmath.cbrt(1 + f),
        lambda dtype: (mpf("-0.294"), mpf("0.415")),
        (10, 5),
    ),
    Polynomial(
        "ERFINV",
        "erfinv(x) / x in z = x*x   0 <= x <= 0.7",
        _of_root(lambda x: mpmath.erfinv(x) / x),
        _up_to(mpf("0.49")),
        (20, 9),
    ),
    Polynomial(
        "ERFINV_FAR",
        "erfinv(1 - exp(-s*s)) / s in u = (s - 2.5)/(s + 1.5)   1.09 <= s <= 6.1 (f64), 4.1 (f32)",
        _erfinv_far("2.5", "1.5"),
        _tail("2.5", "1.5", {"f64": "1.09", "f32": "1.09"}, {"f64": "6.1", "f32": "4.1"}),
        (21, 9),
    ),
    Polynomial(
        "ERFCINV_FAR",
        "erfcinv(exp(-s*s)) / s in u = (s - 12)/(s + 12)   "
        "6 <= s <= 27.3 (f64), 4 <= s <= 10.2 (f32)",
        _erfinv_far("12", "12"),
        _tail("12", "12", {"f64": "6", "f32": "4"}, {"f64": "27.3", "f32": "10.2"}),
        (20, 8),
    ),
    Polynomial(
        "SINPI",
        "sin(pi r) / r in z = r*r   |r| <= 1/2",
        _of_root(lambda r: mpmath.sinpi(r) / r),
        _up_to(mpf("0.25")),
        (9, 5),
    ),
    Polynomial(
        "COSPI",
        "cos(pi r) in z = r*r   |r| <= 1/2",
        _of_root(mpmath.cospi),
        _up_to(mpf("0.25")),
        (9, 5),
    ),
    Polynomial(
        "LGAMMA",
        "lgamma(x) / ((x-1)*(x-2)) in t = (x - 3/2)/(x + 3/2)   3/4 <= x <= 3",
        _between(mpmath.loggamma, 1, 2),
        _around_zero(THIRD),
        (20, 9),
    ),
    Polynomial(
        "LGAMMA_FAR",
        "x * (lgamma(x) - (x - 1/2)*(log(x) - 1) - (log(2*pi) - 1)/2) in z = 1/(x*x)   x >= 3",
        _of_inverse_square(_gamma_rest),
        lambda dtype: (mpf(10) ** -12, MARGIN / 9),
        (12, 4),
    ),
    Polynomial(
        "DIGAMMA",
        "digamma(x) / (x - 1.4616...) in t = (x - 3/2)/(x + 3/2)   3/4 <= x <= 3",
        _between(mpmath.digamma, DIGAMMA_ZERO),
        _around_zero(THIRD),
        (22, 10),
    ),
    Polynomial(
        "DIGAMMA_FAR",
        "x*x * (log(x) - 1/(2*x) - digamma(x)) in z = 1/(x*x)   x >= 3",
        _of_inverse_square(_digamma_rest),
        lambda dtype: (mpf(10) ** -12, MARGIN / 9),
        (13, 4),
    ),
    Polynomial(
        "TRIGAMMA",
        "x * trigamma(x) in t = (x - 3/2)/(x + 3/2)   3/4 <= x <= 3",
        _between(lambda x: x * mpmath.psi(1, x)),
        _around_zero(THIRD),
        (24, 12),
    ),
    Polynomial(
        "TRIGAMMA_FAR",
        "x**3 * (trigamma(x) - 1/x - 1/(2*x*x)) in z = 1/(x*x)   x >= 3",
        _of_inverse_square(_trigamma_rest),
        lambda dtype: (mpf(10) ** -12, MARGIN / 9),
        (14, 4),
    ),
    Polynomial(
        "I0",
        "I0(x) in z = x*x/4   0 <= x <= 10",
        lambda z: mpmath.besseli(0, 2 * mpmath.sqrt(z)),
        _up_to(mpf(25)),
        (19, 13),
    ),
    Polynomial(
        "I1",
        "I1(x) / (x/2) in z = x*x/4   0 <= x <= 10",
        lambda z: mpmath.besseli(1, 2 * mpmath.sqrt(z)) / mpmath.sqrt(z),
        _up_to(mpf(25)),
        (18, 12),
    ),
    Polynomial(
        "I0_FAR",
        "sqrt(x) * exp(-x) * I0(x) in u = 20/x - 1   x >= 10",
        _modified_far(0),
        _whole_unit,
        (20, 6),
    ),
    Polynomial(
        "I1_FAR",
        "sqrt(x) * exp(-x) * I1(x) in u = 20/x - 1   x >= 10",
        _modified_far(1),
        _whole_unit,
        (20, 6),
    ),
    Polynomial(
        "J0",
        "J0(x) over (x*x - zero**2) of its first two zeros, in t = x*x/12.5 - 1   0 <= x <= 5",
        _bessel_near(0, J0_ZEROS),
        _whole_unit,
        (12, 7),
    ),
    Polynomial(
        "J0_COS",
        "what multiplies the cosine in J0, in u = 50/(x*x) - 1   x >= 5",
        _bessel_far(0, "P"),
        _whole_unit,
        (18, 4),
    ),
    Polynomial(
        "J0_SIN",
        "x times what multiplies the sine in J0, in u = 50/(x*x) - 1   x >= 5",
        _bessel_far(0, "Q"),
        _whole_unit,
        (19, 4),
    ),
    Polynomial(
        "J1",
        "J1(x) / x over (x*x - zero**2) of its first zero, in t = x*x/12.5 - 1   0 <= x <= 5",
        _bessel_near(1, [J1_ZERO]),
        _whole_unit,
        (13, 7),
    ),
    Polynomial(
        "J1_COS",
        "what multiplies the cosine in J1, in u = 50/(x*x) - 1   x >= 5",
        _bessel_far(1, "P"),
        _whole_unit,
        (18, 4),
    ),
    Polynomial(
        "J1_SIN",
        "x times what multiplies the sine in J1, in u = 50/(x*x) - 1   x >= 5",
        _bessel_far(1, "Q"),
        _whole_unit,
        (19, 4),
    ),
)

CONSTANTS = (
    Constant(
        "LN2",
        "ln(2); the head keeps 40 (f64) or 15 (f32) bits, so an exponent times it is exact",
        mpmath.log(2),
        3,
        (40, 15),
    ),
    Constant(
        "HALF_PI",
        "pi/2 in three parts; the head keeps 50 or 21 bits (Boldo, Daumas, Li 2009)",
        mpmath.pi / 2,
        3,
        (50, 21),
    ),
    Constant("QUARTER_PI", "pi/4", mpmath.pi / 4, 2),
    Constant("TWO_OVER_PI", "2/pi", 2 / mpmath.pi, 1),
    Constant("INV_LN2", "1/ln(2)", 1 / mpmath.log(2), 2),
    Constant("INV_LN10", "1/ln(10)", 1 / mpmath.log(10), 2),
    Constant("LOG10_2", "log10(2); the head is short as that of LN2", mpmath.log10(2), 2, (40, 15)),
    Constant("TWO_THIRDS", "2/3", mpf(2) / 3, 2),
    Constant("INV_SQRT_PI", "1/sqrt(pi)", 1 / mpmath.sqrt(mpmath.pi), 1),
    Constant("CBRT_2", "the cube root of 2", mpmath.cbrt(2), 1),
    Constant("PI", "pi", mpmath.pi, 1),
    Constant("LOG_PI", "log(pi)", mpmath.log(mpmath.pi), 1),
    Constant("STIRLING", "(log(2 pi) - 1)/2", STIRLING_CONSTANT, 1),
    Constant("DIGAMMA_ZERO", "the positive zero of digamma", DIGAMMA_ZERO, 2),
    Constant("J0_ZERO_1", "the first zero of J0", J0_ZEROS[0], 2),
    Constant("J0_ZERO_2", "the second zero of J0", J0_ZEROS[1], 2),
    Constant("J1_ZERO_1", "the first positive zero of J1", J1_ZERO, 2),
)

# ---------------------------------------------------------------- numbers


def rounded(x, dtype: str) -> float:
    """The nearest number of an element type."""
    if dtype == "f64":
        return float(x)
    return struct.unpack("<f", struct.pack("<f", float(x)))[0]


def coefficients(table: Polynomial, dtype: str) -> list[float]:
    """The polynomial that agrees with the function at the Chebyshev nodes, rounded."""
    low, high = table.interval(dtype)
    n = table.degrees[TYPES.index(dtype)] + 1
    angles = [mpmath.pi * (2 * k + 1) / (2 * n) for k in range(n)]
    nodes = [(low + high) / 2 + (high - low) / 2 * mpmath.cos(angle) for angle in angles]
    powers = mpmath.matrix([[x**j for j in range(n)] for x in nodes])
    values = mpmath.matrix([table.function(x) for x in nodes])
    return [rounded(x, dtype) for x in mpmath.lu_solve(powers, values)]


def largest_error(table: Polynomial, dtype: str, found: list[float]) -> mpf:
    """Over 200 points of the interval."""
    low, high = table.interval(dtype)
    points = [low + (high - low) * k / 199 for k in range(200)]
    return max(abs(mpmath.polyval(found[::-1], x) - table.function(x)) for x in points)


def parts(constant: Constant, dtype: str) -> list[float]:
    """A constant as a sum of numbers, each the nearest to what is left."""
    found, left = [], constant.value
    for k in range(constant.n_parts):
        bits = constant.bits[TYPES.index(dtype)] if k == 0 else 0
        part = rounded(mpf(left, prec=bits, rounding="d") if bits else left, dtype)
        found.append(part)
        left = left - part
    return found


# ---------------------------------------------------------------- text


def listed(numbers):
    """Numbers as a tuple."""
    return f"({', '.join(map(repr, numbers))}{',' if len(numbers) == 1 else ''})"


def table_text(table: Polynomial) -> str:
    """One polynomial, with its comment."""
    found = {dtype: coefficients(table, dtype) for dtype in TYPES}
    errors = [
        f"{dtype} degree {len(found[dtype]) - 1}, "
        f"error {mpmath.nstr(largest_error(table, dtype, found[dtype]), 2)}"
        for dtype in TYPES
    ]
    lines = [f"# {table.about}", f"# {'; '.join(errors)}", f"{table.name} = {{"]
    lines += [f'    "{dtype}": {listed(found[dtype])},' for dtype in TYPES]
    return "\n".join([*lines, "}", ""])


def constant_text(constant: Constant) -> str:
    """One split constant, with its comment."""
    lines = [f"# {constant.about}", f"{constant.name} = {{"]
    lines += [f'    "{dtype}": {listed(parts(constant, dtype))},' for dtype in TYPES]
    return "\n".join([*lines, "}"])


def pi_text() -> str:
    """The bits of 2/pi and pi/2 that large_angles.py multiplies."""
    words = 19
    with mpmath.workprec(2000):
        digits = int(mpmath.floor(2 / mpmath.pi * mpf(2) ** (64 * words)))
        half = int(mpmath.floor(mpmath.pi / 2 * 2**63))
    found = [0] + [digits >> 64 * k & (1 << 64) - 1 for k in reversed(range(words))]
    return "\n".join(
        [
            "# 2/pi: bits after the point, 64 zeros before them; large_angles.py reads 192 of them",
            f"TWO_OVER_PI_BITS = ({', '.join(f'0x{word:016X}' for word in found)})",
            "# pi/2: 64 bits",
            f"HALF_PI_BITS = 0x{half:016X}",
            "",
        ]
    )


def main() -> None:
    """Print the module; `ruff format` lays it out."""
    rule = "# " + "-" * 64
    print(HEAD)
    print(f"\n{rule} polynomials\n")
    print("\n".join(map(table_text, POLYNOMIALS)))
    print(f"{rule} constants\n")
    print("\n".join(map(constant_text, CONSTANTS)))
    print(pi_text(), end="")


if __name__ == "__main__":
    main()
