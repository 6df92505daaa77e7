"""Print the constant tables of the vector math.

    python -m tools.coefficients > tapejit/codegen/vectormath/coefficients.py
    ruff format tapejit/codegen/vectormath/coefficients.py

With mpmath at 700 bits: a polynomial agrees with its function at the Chebyshev nodes of the
interval, which is within a factor of about two of minimax; its coefficients are then rounded to
the element type.  The comment above a table gives the largest absolute error found afterwards with
the rounded coefficients at 200 points.  Constants are split into parts, the first of which may be
short, so that a small whole number times it is exact.

Start at `POLYNOMIALS` and `CONSTANTS`.  Needs mpmath (the `test` extra); runs for a second.
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


def _up_to(end, margin="1.001"):
    """From (nearly) zero to a little more than `end`: rounding may carry an argument over it."""
    return lambda dtype: (mpf(10) ** -30, end * mpf(margin))


MARGIN = mpf("1.001")
HALF_LN2 = mpmath.log(2) / 2
LOG_END = (3 - 2 * mpmath.sqrt(2)) ** 2
ANGLE_END = (mpmath.pi / 4) ** 2 * MARGIN
TYPES = ("f64", "f32")

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
