"""Measure every elementwise function against mpmath, in units of the last place.

    python -m tools.accuracy --write docs/accuracy.md      # ten minutes
    python -m tools.accuracy erfinv lgamma --points 200    # a look at a few

Every operation whose value text calls a function of the vector mathematics is in `ROWS`, with the
exact function and the intervals to draw from; its value is computed as a compiled program computes
it.  The error is divided by the last place of the exact value, or of `size`, where one is stated:
next to their zeros some functions (J0, sinc, lgamma left of 0) are right beside their waves only.
Points whose exact value is subnormal or out of range are left out; tests hold those.

Start at `ROWS`, `measure` and `page`.  Needs mpmath (the `test` extra).
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mpmath
import numpy as np
from mpmath import mpf

import tapejit.ops  # noqa: F401 - fills the register
from tapejit import expressions
from tapejit.build import Builder
from tapejit.dtypes import float32, float64
from tapejit.registry import OPS
from tapejit.runtime.compiled import compile_program
from tapejit.shapes import aval
from tapejit.tape import Program

DTYPES = {"float64": float64, "float32": float32}
PRECISION = 180

# ---------------------------------------------------------------- exact functions


def _inverse_erfc(y):
    """x with erfc(x) = y, for any y in (0, 2)."""
    if y > mpf("0.1"):
        return mpmath.erfinv(1 - y)
    size = -mpmath.log(y)
    x = mpmath.sqrt(size - mpmath.log(mpmath.pi * size) / 2)
    for _ in range(9):  # Newton, on the logarithm
        value = mpmath.erfc(x)
        x += mpmath.log(value / y) * value * mpmath.sqrt(mpmath.pi) / 2 * mpmath.exp(x * x)
    return x


def _lgamma(x):
    return mpmath.loggamma(x) if x > 0 else mpmath.log(abs(mpmath.gamma(x)))


def _normal(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def _log_normal(x):
    return mpmath.log(_normal(x)) if x < 0 else mpmath.log1p(-_normal(-x))


def _wave(x):
    """The height of the waves of J0 and J1, which begin at 1 and at 0."""
    return min(1.0, math.sqrt(2 / math.pi / abs(x))) if x else 1.0


# ---------------------------------------------------------------- data

UNIT = (-1, 1)
SMALL, WIDE = ("e", -30, 0), ("e", -30, 30)


class Row(NamedTuple):
    """One function: its exact form, intervals (one per operand), and the size of an error's unit.

    An interval (low, high) is drawn from evenly; ("e", low, high) gives ±10^k, ("p", ...) 10^k.
    """

    exact: Callable
    intervals: tuple
    size: Callable | None = None


def _one(exact, *intervals, size=None):
    return Row(exact, tuple((interval,) for interval in intervals), size)


def _two(exact, *intervals, size=None):
    return Row(exact, intervals, size)


POSITIVE = ((0.5, 2), ("p", -30, 30))
ROWS: dict[str, Row] = {
    "exp": _one(mpmath.exp, (-700, 700), UNIT),
    "exp2": _one(lambda x: mpf(2) ** x, (-1000, 1000), UNIT),
    "expm1": _one(mpmath.expm1, (-40, 700), UNIT, SMALL),
    "log": _one(mpmath.log, *POSITIVE),
    "log2": _one(lambda x: mpmath.log(x, 2), *POSITIVE),
    "log10": _one(lambda x: mpmath.log(x, 10), *POSITIVE),
    "log1p": _one(mpmath.log1p, (-1, 2), SMALL, ("p", 0, 30)),
    "sigmoid": _one(lambda x: 1 / (1 + mpmath.exp(-x)), (-80, 40), UNIT),
    "softplus": _one(lambda x: mpmath.log1p(mpmath.exp(x)), (-80, 80), UNIT),
    "logsigmoid": _one(lambda x: -mpmath.log1p(mpmath.exp(-x)), (-80, 80), UNIT),
    "logit": _one(lambda x: mpmath.log(x / (1 - x)), (0, 1), (0.45, 0.55), ("p", -30, -1)),
    "entr": _one(lambda x: -x * mpmath.log(x), (0, 2), (0.9, 1.1), ("p", -30, 30)),
    "sin": _one(mpmath.sin, (-4, 4), (-1e5, 1e5), WIDE),
    "cos": _one(mpmath.cos, (-4, 4), (-1e5, 1e5), WIDE),
    "tan": _one(mpmath.tan, (-4, 4), (-1e5, 1e5), WIDE),
    "asin": _one(mpmath.asin, UNIT, SMALL),
    "acos": _one(mpmath.acos, UNIT, SMALL),
    "atan": _one(mpmath.atan, (-4, 4), WIDE),
    "sinc": _one(
        mpmath.sincpi, (-3, 3), (-100, 100), size=lambda x: 1 / max(1.0, math.pi * abs(x))
    ),
    "sinh": _one(mpmath.sinh, (-700, 700), UNIT, SMALL),
    "cosh": _one(mpmath.cosh, (-700, 700), UNIT),
    "tanh": _one(mpmath.tanh, (-20, 20), UNIT, SMALL),
    "asinh": _one(mpmath.asinh, (-4, 4), WIDE),
    "acosh": _one(mpmath.acosh, (1, 4), ("p", 0, 30)),
    "atanh": _one(mpmath.atanh, UNIT, SMALL),
    "cbrt": _one(lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), (-8, 8), WIDE),
    "rsqrt": _one(lambda x: 1 / mpmath.sqrt(x), *POSITIVE),
    "erf": _one(mpmath.erf, (-6, 6), UNIT, SMALL),
    "erfc": _one(mpmath.erfc, (-6, 26), UNIT),
    "erfcx": _one(lambda x: mpmath.exp(x * x) * mpmath.erfc(x), (-26, 0), (0, 30), WIDE),
    "erfinv": _one(mpmath.erfinv, UNIT, (0.99, 1), SMALL),
    "erfcinv": _one(_inverse_erfc, (0, 2), ("p", -300, -1)),
    "ndtr": _one(_normal, (-38, 8), UNIT),
    "log_ndtr": _one(_log_normal, (-100, 8), UNIT, ("e", 0, 8)),
    "ndtri": _one(lambda p: -mpmath.sqrt(2) * _inverse_erfc(2 * p), (0, 1), ("p", -300, -1)),
    "lgamma": _one(
        _lgamma, (0, 4), (3, 100), ("p", -30, 30), (-20, 0),
        size=lambda x: max(1.0, abs(math.lgamma(-x))) if x < -0.25 else 0.0,
    ),
    "digamma": _one(
        lambda x: mpmath.psi(0, x), (0, 4), (3, 100), ("p", -30, 30), (-20, 0),
        size=lambda x: max(1.0, math.log(-x)) if x < -0.25 else 0.0,
    ),
    "trigamma": _one(lambda x: mpmath.psi(1, x), (0, 4), (3, 100), ("p", -15, 30), (-20, 0)),
    "i0": _one(lambda x: mpmath.besseli(0, x), (-12, 12), (-700, 700)),
    "i1": _one(lambda x: mpmath.besseli(1, x), (-12, 12), (-700, 700), SMALL),
    "i0e": _one(lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(0, x), (-12, 12), ("e", 0, 8)),
    "i1e": _one(
        lambda x: mpmath.exp(-abs(x)) * mpmath.besseli(1, x), (-12, 12), ("e", 0, 8), SMALL
    ),
    "j0": _one(lambda x: mpmath.besselj(0, x), (-6, 6), (-5000, 5000), size=_wave),
    "j1": _one(
        lambda x: mpmath.besselj(1, x), (-6, 6), (-5000, 5000), SMALL,
        size=lambda x: min(_wave(x), abs(x) / 2),
    ),
    "pow": _two(mpmath.power, (("p", -3, 3), (-20, 20)), ((0.5, 2), (-100, 100))),
    "atan2": _two(mpmath.atan2, (UNIT, UNIT), (WIDE, WIDE)),
    "hypot": _two(mpmath.hypot, (UNIT, UNIT), (WIDE, WIDE)),
    "logaddexp": _two(
        lambda u, v: mpmath.log(mpmath.exp(u) + mpmath.exp(v)),
        (UNIT, UNIT), ((-40, 40), (-40, 40)),
        size=lambda u, v: max(0.7, abs(u), abs(v)),
    ),
    "logaddexp2": _two(
        lambda u, v: mpmath.log(mpf(2) ** u + mpf(2) ** v, 2), (UNIT, UNIT), ((-40, 40), (-40, 40)),
        size=lambda u, v: max(1.0, abs(u), abs(v)),
    ),
    "xlogy": _two(lambda u, v: u * mpmath.log(v), ((-3, 3), (0, 2)), (WIDE, ("p", -30, 30))),
    "xlog1py": _two(lambda u, v: u * mpmath.log1p(v), ((-3, 3), (-1, 2)), ((-3, 3), SMALL)),
}  # fmt: skip


LOSSES = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
"""Sums of functions that are measured themselves."""


def to_be_measured() -> list[str]:
    """Operations whose value text calls the vector mathematics."""
    return [
        op.name
        for op in OPS.values()
        if op.expression is not None
        and op.name not in LOSSES
        and any(step.fn in expressions.MATH for step in op.expression.steps)
    ]


# ---------------------------------------------------------------- measuring


class Worst(NamedTuple):
    """The largest error found, and where."""

    ulp: float
    at: tuple[float, ...]


def draw(rng, interval, n):
    """n numbers of one interval."""
    if interval[0] in ("e", "p"):
        signs = rng.choice([-1.0, 1.0], n) if interval[0] == "e" else 1.0
        return 10.0 ** rng.uniform(*interval[1:], n) * signs
    return rng.uniform(*interval, n)


def points(name: str, dtype: str, n: int) -> list[np.ndarray]:
    """Operands, n for each of the row's intervals, the same every time."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    columns = zip(*[[draw(rng, i, n) for i in row] for row in ROWS[name].intervals], strict=True)
    with np.errstate(over="ignore", under="ignore"):
        return [np.concatenate(column).astype(dtype) for column in columns]


def computed(name: str, dtype: str, operands) -> np.ndarray:
    """What a compiled program gives."""
    builder = Builder()
    inputs = [builder.input(aval(x.shape, DTYPES[dtype])) for x in operands]
    result = OPS[name](*inputs)
    program = Program(builder.tape, [x.row for x in inputs], [result.row])
    return compile_program(program)(operands)[0]


def exact_value(name: str, numbers):
    """The exact value as an mpmath number, or None where the function is not real there."""
    with mpmath.workprec(PRECISION):
        try:
            value = ROWS[name].exact(*map(mpf, numbers))
        except (ValueError, ZeroDivisionError, mpmath.libmp.NoConvergence):
            return None
        return value if isinstance(value, mpf) and mpmath.isfinite(value) else None


def error_ulp(got: float, exact, dtype: str, size: float = 0.0) -> float:
    """The distance of `got` in last places of the exact value, or of `size` if that is larger."""
    info = np.finfo(dtype)
    scale = math.frexp(max(abs(float(exact)), size))[1] - 1
    if not math.isfinite(got):
        return math.inf
    return float(abs(mpf(got) - exact) / mpf(2) ** max(scale - info.nmant, -1074))


def measure(name: str, dtype: str, n: int) -> Worst:
    """The largest error of n points in each interval of a row."""
    operands = points(name, dtype, n)
    got = computed(name, dtype, operands)
    info, row, worst = np.finfo(dtype), ROWS[name], Worst(0.0, ())
    for y, *numbers in zip(got.tolist(), *[x.tolist() for x in operands], strict=True):
        exact = exact_value(name, numbers)
        if exact is None or not float(info.tiny) <= abs(exact) < float(info.max):
            continue
        size = row.size(*numbers) if row.size else 0.0
        worst = max(worst, Worst(error_ulp(y, exact, dtype, size), tuple(numbers)))
    return worst


# ---------------------------------------------------------------- the page

HEAD = """# Accuracy

Made by `python -m tools.accuracy --write docs/accuracy.md`; do not edit it by hand.

The largest error of each elementwise function of compiled programs, in units of the last place,
against mpmath, over {n:,} points of each interval, and where it was found. 0.5 is what correct
rounding gives. Sums, products, quotients, square roots and remainders are exact or correctly
rounded, and are not listed. Results that are subnormal are left out.

(*) next to a zero of the function the unit is that of its surroundings: the height of the wave of
`j0`, `j1` and `sinc`, the terms whose sum is 0 for `logaddexp` and, left of 0, for `lgamma` and
`digamma`. An interval ±10^k or 10^k is drawn from evenly in k. Small arrays outside a compiled
program take NumPy's and SciPy's functions, whose errors are theirs.

| function | intervals | float64 | at | float32 | at |
|---|---|---|---|---|---|
"""


def interval_text(interval) -> str:
    """An interval in words."""
    if interval[0] in ("e", "p"):
        sign = "±" if interval[0] == "e" else ""
        return f"{sign}10^[{interval[1]}, {interval[2]}]"
    return f"[{interval[0]:g}, {interval[1]:g}]"


def row_text(name: str, n: int) -> str:
    """One line of the page."""
    row = ROWS[name]
    where = "; ".join(" × ".join(map(interval_text, case)) for case in row.intervals)
    cells = [f"`{name}`{' (*)' if row.size else ''}", where]
    for dtype in DTYPES:
        worst = measure(name, dtype, n)
        cells += [f"{worst.ulp:.2f}", ", ".join(f"{x:.6g}" for x in worst.at)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print rows, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="functions; all if none is named")
    parser.add_argument("--points", type=int, default=1000, help="for each interval")
    parser.add_argument("--write", type=Path, help="write the page")
    given = parser.parse_args()
    lines = []
    for name in given.names or ROWS:
        lines.append(row_text(name, given.points))
        print(lines[-1], flush=True)
    if given.write:
        given.write.write_text(HEAD.format(n=given.points) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
