"""What operations give at their edges: one table, printed for the docs and held by a test.

    python -m tools.edges --write docs/edges.md

A row is an operation, a point, its value and gradient there, and why; where PyTorch has another
gradient it is stated too.  tests/test_edges.py runs every row: value, reverse mode, forward mode,
a compiled gradient, and PyTorch.  The policy: PyTorch's gradient where it is right and finite (at a
kink any slope between the two sides is), a better one where PyTorch's is NaN, or 0 by underflow,
though the true one exists, and never a finite number where there is none.

Start at `ROWS`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

INF, NAN = math.inf, math.nan


class Edge(NamedTuple):
    """One row.  Lists are vectors; the gradient of a vector is that of its sum."""

    operation: str
    function: Callable
    """(module, *operands) -> result, where the module is tapejit or torch."""
    point: tuple
    value: Any
    gradient: tuple
    why: str
    torch: tuple | None = None
    """PyTorch's gradient, if it is another."""


LIMIT = "the limit"
SUBGRADIENT = "a kink: PyTorch's choice among the slopes of both sides"
STEPS = "constant on both sides of the step"
SHARED = "a tie is shared"
FIRST = "a tie goes to the first"
NONE = "there is none"
PRODUCT = "the slope is the other factor"
MASKED = "the branch not taken never touches the gradient"
EXISTS = "it exists: PyTorch divides 0 by 0"

ROWS = [
    # roots, powers, logarithms
    Edge("sqrt", lambda m, x: m.sqrt(x), (0.0,), 0.0, (INF,), LIMIT),
    Edge("sqrt", lambda m, x: m.sqrt(x), (-1.0,), NAN, (NAN,), NONE),
    Edge("rsqrt", lambda m, x: m.rsqrt(x), (0.0,), INF, (-INF,), LIMIT),
    Edge("log", lambda m, x: m.log(x), (0.0,), -INF, (INF,), LIMIT),
    Edge("log1p", lambda m, x: m.log1p(x), (-1.0,), -INF, (INF,), LIMIT),
    Edge("log2", lambda m, x: m.log2(x), (0.0,), -INF, (INF,), LIMIT),
    Edge("x ** 2", lambda m, x: x**2, (0.0,), 0.0, (0.0,), "2 x"),
    Edge("x ** 1", lambda m, x: x**1, (0.0,), 0.0, (1.0,), "1"),
    Edge("x ** 0", lambda m, x: x**0, (0.0,), 1.0, (0.0,), "0 ** 0 is 1 for every exponent 0"),
    Edge("x ** 0.5", lambda m, x: x**0.5, (0.0,), 0.0, (INF,), LIMIT),
    Edge("x ** -1", lambda m, x: x**-1, (0.0,), INF, (-INF,), LIMIT),
    Edge("pow", lambda m, x, y: m.pow(x, y), (0.0, 0.0), 1.0, (0.0, 0.0), "0 ** 0 is 1"),
    Edge("pow", lambda m, x, y: m.pow(x, y), (0.0, 2.0), 0.0, (0.0, 0.0), "0 ** y is 0 for y > 0"),
    Edge("pow", lambda m, x, y: m.pow(x, y), (0.0, 1.0), 0.0, (1.0, 0.0), "0 ** y is 0 for y > 0"),
    Edge("pow", lambda m, x, y: m.pow(x, y), (0.0, -1.0), INF, (-INF, -INF), LIMIT),
    Edge("pow", lambda m, x, y: m.pow(x, y), (-2.0, 2.0), 4.0, (-4.0, NAN), "log of a negative"),
    Edge("0 ** x", lambda m, x: 0.0**x, (0.0,), 1.0, (0.0,), "PyTorch's"),
    Edge("xlogy", lambda m, x, y: m.xlogy(x, y), (0.0, 0.0), 0.0, (0.0, 0.0),
         "0 log(y) is 0 for every y", (0.0, NAN)),
    Edge("xlogy", lambda m, x, y: m.xlogy(x, y), (0.0, 2.0), 0.0, (math.log(2.0), 0.0), "log(y)"),
    Edge("xlog1py", lambda m, x, y: m.special.xlog1py(x, y), (0.0, -1.0), 0.0, (0.0, 0.0),
         "0 log(1 + y) is 0 for every y", (0.0, NAN)),
    Edge("entr", lambda m, x: m.special.entr(x), (0.0,), 0.0, (INF,), LIMIT),
    Edge("logit", lambda m, x: m.logit(x), (0.0,), -INF, (INF,), LIMIT),
    Edge("logit", lambda m, x: m.logit(x), (1.0,), INF, (INF,), LIMIT),
    Edge("logit eps=0", lambda m, x: m.logit(x, eps=0.0), (-1.0,), -INF, (0.0,), "constant there"),
    Edge("logaddexp", lambda m, x, y: m.logaddexp(x, y), (-INF, -INF), -INF, (0.5, 0.5),
         SHARED, (NAN, NAN)),
    Edge("logaddexp", lambda m, x, y: m.logaddexp(x, y), (INF, INF), INF, (0.5, 0.5),
         SHARED, (NAN, NAN)),
    Edge("logaddexp", lambda m, x, y: m.logaddexp(x, y), (INF, 0.0), INF, (1.0, 0.0), LIMIT),
    # quotients and products
    Edge("x / y", lambda m, x, y: x / y, (1.0, 0.0), INF, (INF, -INF), LIMIT),
    Edge("x / y", lambda m, x, y: x / y, (0.0, 0.0), NAN, (INF, NAN), NONE),
    Edge("reciprocal", lambda m, x: m.reciprocal(x), (0.0,), INF, (-INF,), LIMIT),
    Edge("x * y", lambda m, x, y: x * y, (INF, 0.0), NAN, (0.0, INF), PRODUCT),
    Edge("remainder", lambda m, x, y: m.remainder(x, y), (4.0, 2.0), 0.0, (1.0, -2.0),
         "right of the jump"),
    # signs, kinks, steps
    Edge("abs", lambda m, x: m.abs(x), (0.0,), 0.0, (0.0,), SUBGRADIENT),
    Edge("relu", lambda m, x: m.relu(x), (0.0,), 0.0, (0.0,), SUBGRADIENT),
    Edge("sign", lambda m, x: m.sign(x), (0.0,), 0.0, (0.0,), STEPS),
    Edge("floor", lambda m, x: m.floor(x), (1.0,), 1.0, (0.0,), STEPS),
    Edge("round", lambda m, x: m.round(x), (0.5,), 0.0, (0.0,), STEPS),
    Edge("frac", lambda m, x: m.frac(x), (1.0,), 0.0, (1.0,), "1 on both sides"),
    Edge("copysign", lambda m, x, y: m.copysign(x, y), (0.0, -1.0), 0.0, (0.0, 0.0), SUBGRADIENT),
    Edge("copysign", lambda m, x, y: m.copysign(x, y), (1.0, -0.0), -1.0, (-1.0, 0.0), "sign of y"),
    Edge("copysign", lambda m, x, y: m.copysign(x, y), (INF, -1.0), -INF, (-1.0, 0.0),
         "sign of y", (NAN, 0.0)),
    Edge("copysign", lambda m, x, y: m.copysign(x, y), (NAN, -1.0), NAN, (NAN, 0.0), NONE),
    Edge("clamp", lambda m, x: m.clamp(x, 0.0, 1.0), (0.0,), 0.0, (1.0,), SUBGRADIENT),
    Edge("clamp", lambda m, x: m.clamp(x, 0.0, 1.0), (1.0,), 1.0, (1.0,), SUBGRADIENT),
    Edge("clamp", lambda m, x: m.clamp(x, 0.0, 1.0), (NAN,), NAN, (0.0,), "PyTorch's"),
    Edge("clamp", lambda m, x, low, high: m.clamp(x, low, high), (0.0, 0.0, 1.0), 0.0,
         (1.0, 0.0, 0.0), SUBGRADIENT),
    Edge("clamp", lambda m, x, low, high: m.clamp(x, low, high), (2.0, 1.0, 0.0), 0.0,
         (0.0, 0.0, 1.0), "the upper bound wins where they cross"),
    Edge("maximum", lambda m, x, y: m.maximum(x, y), (1.0, 1.0), 1.0, (0.5, 0.5), SHARED),
    Edge("maximum", lambda m, x, y: m.maximum(x, y), (NAN, 1.0), NAN, (1.0, 1.0), "PyTorch's"),
    Edge("fmax", lambda m, x, y: m.fmax(x, y), (1.0, 1.0), 1.0, (1.0, 0.0), FIRST),
    Edge("fmax", lambda m, x, y: m.fmax(x, y), (NAN, 1.0), 1.0, (0.0, 1.0), "NaN is no number"),
    Edge("nan_to_num", lambda m, x: m.nan_to_num(x), (NAN,), 0.0, (0.0,), "constant there"),
    Edge("where(x > 0, log(x), x)", lambda m, x: m.where(x > 0, m.log(x), x), (0.0,), 0.0, (1.0,),
         MASKED, (NAN,)),
    Edge("where(x > 0, sqrt(x), 0)", lambda m, x: m.where(x > 0, m.sqrt(x), 0.0 * x), (0.0,), 0.0,
         (0.0,), MASKED, (NAN,)),
    # circular, hyperbolic
    Edge("atan2", lambda m, x, y: m.atan2(x, y), (0.0, 0.0), 0.0, (0.0, 0.0), "PyTorch's"),
    Edge("atan2", lambda m, x, y: m.atan2(x, y), (1e-200, 1e-200), math.pi / 4, (5e199, -5e199),
         "squares would vanish", (0.0, 0.0)),
    Edge("atan2", lambda m, x, y: m.atan2(x, y), (INF, 1.0), math.pi / 2, (0.0, 0.0), LIMIT,
         (0.0, NAN)),
    Edge("atan2", lambda m, x, y: m.atan2(x, y), (NAN, 1.0), NAN, (NAN, NAN), NONE),
    Edge("hypot", lambda m, x, y: m.hypot(x, y), (0.0, 0.0), 0.0, (0.0, 0.0), SUBGRADIENT,
         (NAN, NAN)),
    Edge("asin", lambda m, x: m.asin(x), (1.0,), math.pi / 2, (INF,), LIMIT),
    Edge("acos", lambda m, x: m.acos(x), (-1.0,), math.pi, (-INF,), LIMIT),
    Edge("acosh", lambda m, x: m.acosh(x), (1.0,), 0.0, (INF,), LIMIT),
    Edge("asinh", lambda m, x: m.asinh(x), (1e200,), math.asinh(1e200), (1e-200,),
         "the square would overflow", (0.0,)),
    Edge("atanh", lambda m, x: m.atanh(x), (1.0,), INF, (INF,), LIMIT),
    Edge("sinc", lambda m, x: m.sinc(x), (0.0,), 1.0, (0.0,), "an even function"),
    # exponentials
    Edge("exp", lambda m, x: m.exp(x), (1000.0,), INF, (INF,), "overflow"),
    Edge("sigmoid", lambda m, x: m.sigmoid(x), (-1000.0,), 0.0, (0.0,), LIMIT),
    Edge("softplus", lambda m, x: m.nn.functional.softplus(x), (-INF,), 0.0, (0.0,), LIMIT),
    Edge("logsigmoid", lambda m, x: m.nn.functional.logsigmoid(x), (-INF,), -INF, (1.0,), LIMIT),
    # special functions
    Edge("erfinv", lambda m, x: m.erfinv(x), (1.0,), INF, (INF,), LIMIT),
    Edge("ndtri", lambda m, x: m.special.ndtri(x), (0.0,), -INF, (INF,), LIMIT),
    Edge("log_ndtr", lambda m, x: m.special.log_ndtr(x), (-INF,), -INF, (INF,), LIMIT, (NAN,)),
    Edge("erfcx", lambda m, x: m.special.erfcx(x), (INF,), 0.0, (0.0,), LIMIT, (NAN,)),
    Edge("lgamma", lambda m, x: m.lgamma(x), (0.0,), INF, (-INF,), LIMIT),
    Edge("digamma", lambda m, x: m.digamma(x), (0.0,), -INF, (INF,), LIMIT),
    Edge("i0e", lambda m, x: m.special.i0e(x), (0.0,), 1.0, (0.0,), SUBGRADIENT),
    Edge("i1", lambda m, x: m.special.i1(x), (0.0,), 0.0, (0.5,), LIMIT),
    # reductions
    Edge("norm", lambda m, x: x.norm(), ([0.0, 0.0],), 0.0, ([0.0, 0.0],), SUBGRADIENT),
    Edge("norm 1", lambda m, x: x.norm(1), ([0.0, -2.0],), 2.0, ([0.0, -1.0],), SUBGRADIENT),
    Edge("norm inf", lambda m, x: x.norm(INF), ([2.0, -2.0],), 2.0, ([0.5, -0.5],), SHARED),
    Edge("norm 3", lambda m, x: x.norm(3), ([0.0, 0.0],), 0.0, ([0.0, 0.0],), SUBGRADIENT),
    Edge("var", lambda m, x: m.var(x), ([1.0],), NAN, ([NAN],), "0 / 0 degrees of freedom"),
    Edge("std", lambda m, x: m.std(x), ([2.0, 2.0, 2.0],), 0.0, ([0.0, 0.0, 0.0],), SUBGRADIENT),
    Edge("prod", lambda m, x: m.prod(x), ([0.0, 2.0, 3.0],), 0.0, ([6.0, 0.0, 0.0],), PRODUCT),
    Edge("prod", lambda m, x: m.prod(x), ([0.0, 0.0, 3.0],), 0.0, ([0.0, 0.0, 0.0],), PRODUCT),
    Edge("cumprod", lambda m, x: m.cumprod(x, 0), ([2.0, 0.0, 3.0],), [2.0, 0.0, 0.0],
         ([1.0, 8.0, 0.0],), "products of the others"),
    Edge("logsumexp", lambda m, x: m.logsumexp(x, 0), ([-INF, 0.0],), 0.0, ([0.0, 1.0],), LIMIT),
    Edge("logsumexp", lambda m, x: m.logsumexp(x, 0), ([-INF, -INF],), -INF, ([0.0, 0.0],),
         "no finite step changes a row that is masked out", ([NAN, NAN],)),
    Edge("logsumexp", lambda m, x: m.logsumexp(x, 0), ([INF, INF],), INF, ([NAN, NAN],),
         "inf - inf: any weights that add up to 1 would do"),
    Edge("softmax", lambda m, x: m.softmax(x, 0)[1], ([-INF, 0.0],), 1.0, ([0.0, 0.0],), LIMIT),
    Edge("softmax", lambda m, x: m.softmax(x, 0), ([-INF, -INF],), [NAN, NAN], ([NAN, NAN],), NONE),
    Edge("log_softmax", lambda m, x: m.log_softmax(x, 0), ([-INF, 0.0],), [-INF, 0.0],
         ([1.0, -1.0],), LIMIT),
    Edge("max", lambda m, x: m.max(x), ([1.0, 1.0],), 1.0, ([0.5, 0.5],), SHARED),
    Edge("amax", lambda m, x: m.amax(x, 0), ([1.0, 1.0],), 1.0, ([0.5, 0.5],), SHARED),
    Edge("max(dim)", lambda m, x: m.max(x, 0)[0], ([1.0, 1.0],), 1.0, ([1.0, 0.0],),
         "that of the index it gives"),
    Edge("max", lambda m, x: m.max(x), ([1.0, NAN],), NAN, ([0.0, 1.0],), "that of the NaN"),
    Edge("sum", lambda m, x: m.sum(x), ([],), 0.0, ([],), "nothing to differentiate by"),
    Edge("prod", lambda m, x: m.prod(x), ([],), 1.0, ([],), "nothing to differentiate by"),
    Edge("mean", lambda m, x: m.mean(x), ([],), NAN, ([],), "nothing to differentiate by"),
    Edge("nansum", lambda m, x: m.nansum(x), ([NAN, 1.0],), 1.0, ([0.0, 1.0],), "left out"),
]  # fmt: skip

# ---------------------------------------------------------------- the page

HEAD = """# Edges

Made by `python -m tools.edges --write docs/edges.md` from the rows that
`tests/test_edges.py` holds; do not edit it by hand.

PyTorch's gradient where it is right and finite (at a kink any slope between the two sides is); a
better one where PyTorch's is NaN, or 0 by underflow, though the true one exists; never a finite
number where there is none. Reverse mode, forward mode and compiled programs give the same. The
gradient of a vector is that of the sum of its elements.

| operation | at | value | gradient | PyTorch's | why |
|---|---|---|---|---|---|
"""


def number_text(x) -> str:
    """A number or a list, short."""
    if isinstance(x, list):
        return f"[{', '.join(map(number_text, x))}]"
    return f"{x:.5g}".replace("-", "\N{MINUS SIGN}") if x == x else "NaN"


def joined(values) -> str:
    """Numbers in a row."""
    return ", ".join(map(number_text, values))


def page() -> str:
    """The text of docs/edges.md."""
    lines = [
        f"| `{row.operation}` | {joined(row.point)} | {number_text(row.value)} | "
        f"{joined(row.gradient)} | {'the same' if row.torch is None else joined(row.torch)} | "
        f"{row.why} |"
        for row in ROWS
    ]
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the page")
    given = parser.parse_args()
    if given.write:
        given.write.write_text(page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
