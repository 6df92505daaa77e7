"""Our own vector mathematics, as LLVM IR text.

`emit_library` prints a module that defines functions such as ``tj_exp_f64x8``: one vector in, one
vector out.  `symbol` and `declaration` are what a kernel needs to call them.  Every function is
one straight line of vector arithmetic, written once for both element types and any number of
lanes; the tables in coefficients.py differ.

Why not libm or libmvec: those give other bits on another system or at another vector width.
Here every fused multiply-add is explicit, nothing may be contracted or reassociated, so a lane has
the same bits at every width and optimisation level, and on every CPU with fused multiply-add.
Only NaN payloads are unspecified.  Integer parts come from adding a large number and reading the
bits, never from fptosi, whose result is poison on NaN.

    language          how a function is written; `defines` registers it
    pairs             numbers as exact pairs, and other shared pieces
    exponentials      exp exp2 expm1              the model for the rest, with
    logarithms        log log2 log10 log1p        these
    hyperbolic        sinh cosh tanh asinh acosh atanh
    angles            sin cos tan                 large_angles: the cold path above 2^28
    inverse_angles    asin acos atan atan2
    powers            pow hypot
    remainders        mod fmod floordiv           exact
    error_function    erf erfc
    coefficients      polynomials and split constants, printed by tools/coefficients.py

Not here: a choice of width, caching, compilation (codegen's and runtime's), and complex numbers.

Largest error seen, against mpmath on 16 to 40 thousand random points each, in ulp; and time an
element in ns on one thread of a shared Zen 4 (clock not steady), f64x8 and f32x16, called:

            f64          f32                   f64          f32
          ulp    ns   ulp    ns             ulp    ns   ulp    ns
    exp    1.00  1.16  1.02  0.61   atan   0.93  1.40  1.11  0.64
    exp2   0.91  1.23  0.84  0.65   atan2  1.15  2.03  1.31  0.98
    expm1  1.28  1.09  1.18  0.56   sinh   1.61  1.28  1.58  0.64
    log    0.74  1.26  0.76  0.60   cosh   1.21  1.05  1.32  0.54
    log2   0.65  1.46  0.71  0.72   tanh   1.39  1.52  1.42  0.73
    log10  0.63  1.54  0.59  0.76   asinh  0.83  2.22  0.85  1.02
    log1p  0.74  1.56  0.85  0.78   acosh  0.73  2.10  0.79  0.97
    sin    0.81  1.28  0.82  0.60   atanh  0.78  2.09  0.79  1.02
    cos    0.83  1.29  0.79  0.62   pow    0.94  4.75  0.89  2.18
    tan    1.12  1.78  1.11  0.83   erf    0.98  3.15  0.98  1.18
    asin   1.03  1.13  1.02  0.54   erfc   1.51  3.14  1.51  1.21
    acos   0.99  1.23  1.08  0.60

All code is our own; the modules name where their formulas come from.
"""

from __future__ import annotations

from collections.abc import Iterable

from tapejit.codegen.vectormath import (  # noqa: F401 - each registers its functions
    angles,
    error_function,
    exponentials,
    hyperbolic,
    inverse_angles,
    logarithms,
    powers,
    remainders,
)
from tapejit.codegen.vectormath.language import ATTRIBUTES, FORMATS, FUNCTIONS, Body, symbol

__all__ = ["FORMATS", "FUNCTIONS", "declaration", "emit_library", "symbol"]


def declaration(fn: str, dtype: str, lanes: int) -> str:
    """The line that a calling module needs.

    >>> declaration("exp", "f64", 8)
    'declare <8 x double> @tj_exp_f64x8(<8 x double>) nounwind willreturn memory(none)'
    """
    vector = f"<{lanes} x {FORMATS[dtype].element}>"
    operands = ", ".join([vector] * FUNCTIONS[fn].n_operands)
    return f"declare {vector} @{symbol(fn, dtype, lanes)}({operands}) {ATTRIBUTES}"


def emit_library(functions: Iterable[tuple[str, str, int]], has_fma: bool = True) -> str:
    """A complete LLVM module that defines each (fn, dtype, lanes), and nothing unneeded.

    Without `has_fma` no fused multiply-add is used, which a CPU without one would call libm for.
    """
    declarations: dict[str, None] = {}
    helpers: dict[str, None] = {}
    definitions = []
    for fn, dtype, lanes in dict.fromkeys(functions):
        body = Body(FUNCTIONS[fn], dtype, lanes, has_fma)
        definitions.append(body.define())
        declarations.update(body.declarations)
        helpers.update(body.helpers)
    return "\n".join([*declarations, "", *helpers, *definitions])
