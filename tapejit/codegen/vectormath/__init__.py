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
    powers            pow hypot cbrt
    remainders        mod fmod floordiv           exact
    error_function    erf erfc erfcx              inverse_error: erfinv erfcinv
    gamma             lgamma digamma trigamma
    bessel            i0 i1 i0e i1e j0 j1
    coefficients      polynomials and split constants, printed by tools/coefficients.py

Not here: a choice of width, caching, compilation (codegen's and runtime's), and complex numbers.

Largest error seen, in ulp, against mpmath (f64) and Python's math (f32) on 10^5 to 10^6 points
each, "plain" without fused multiply-add; and the time of an element in ns, f64x8 and f32x16, on
one thread of a shared Zen 4 (16,384 elements, busy machine: take ratios).  NumPy has no erf.

             float64: ulp       ns                  float32: ulp       ns
              ours plain NumPy   ours NumPy torch    ours plain NumPy   ours NumPy torch
    sin        0.83  0.84  0.51   1.09  8.89  3.09    0.87  0.94  1.42   0.49  0.54  1.28
    cos        0.87  0.94  0.51   1.09  8.84  2.88    0.90  0.93  1.44   0.49  0.55  1.35
    tan        1.04  1.04  0.54   1.61  1.34  6.25    1.14  1.17  3.57   0.72  0.41  1.75
    exp        1.00  1.00  0.69   0.74  0.83  1.64    0.82  0.82  2.28   0.34  0.47  0.86
    exp2       1.06  1.06  1.00   0.62  0.71  0.86    1.10  1.07  2.61   0.30  0.24  0.32
    expm1      1.12  1.02  0.50   0.83  1.19  2.47    1.32  1.38  2.47   0.39  0.37  1.24
    erf        0.93  1.16     -   2.94     -  3.12    1.01  1.29     -   1.05     -  1.34
    erfc       1.36  1.71     -   3.01     -  6.61    1.59  1.96     -   1.20     -  2.25
    log        0.75  0.75  0.58   0.81  0.76  2.25    0.83  0.83  3.39   0.38  0.39  1.04
    log10      0.69  0.69  0.59   1.08  0.85  2.38    0.67  0.71  2.57   0.54  0.22  1.10
    log2       0.85  1.71  0.51   0.84  0.85  2.25    0.92  1.91  1.99   0.38  0.24  1.03
    log1p      0.74  0.74  0.59   1.13  1.05  2.01    0.84  0.83  1.71   0.55  0.44  0.83
    sinh       1.59  1.59  0.83   1.13  1.15  2.85    1.62  1.62  1.48   0.53  0.38  1.37
    cosh       1.15  1.15  0.75   0.90  0.91  2.74    1.21  1.21  1.93   0.40  0.33  1.34
    tanh       1.35  1.35  1.16   1.32  1.68  4.89    1.48  1.48  1.36   0.52  0.38  2.55
    asinh      0.82  0.82  0.68   2.00  2.06  7.90    0.90  0.90  0.91   0.90  0.70  6.88
    acosh      0.81  0.81  0.58   1.92  2.15  6.38    0.86  0.86  1.06   0.85  0.63  5.23
    atanh      0.82  0.82  0.56   1.72  1.57  3.42    0.89  0.89  1.33   0.82  0.52  1.35
    asin       1.05  1.05  0.80   0.97  1.26  3.81    1.08  1.08  2.89   0.40  0.40  1.55
    acos       1.02  1.02  0.80   1.00  1.34  4.34    1.09  1.09  1.93   0.44  0.42  1.63
    atan       0.91  0.91  0.54   1.24  1.20  5.61    1.33  1.33  1.93   0.52  0.41  2.46
    atan2      1.35  1.35  0.73   1.75  2.12  3.40    1.38  1.38  2.89   0.78  0.61  1.43
    pow        0.90  0.96  0.68   3.12  2.18  5.37    0.92  0.93  1.46   1.36  0.68  2.50
    hypot      0.86  1.16  0.54   0.65  6.18  2.33    0.89  1.17  0.50   0.33  3.82  1.12
    mod        0.50  0.50  0.50   0.76  6.73  2.75    0.50  0.50  0.50   0.37  6.68  1.38
    fmod       0.50  0.50  0.50   0.67 12.10  2.53    0.50  0.50  0.50   0.38 13.02  1.25
    floordiv   0.50  0.50  0.50   0.78  9.52  4.08    0.50  0.50  0.50   0.37  9.51  2.00

The special functions, timed alike; their errors are in docs/accuracy.md.

             float64, ns        float32, ns
              ours SciPy torch   ours SciPy torch
    cbrt       1.8   1.0 (NumPy)  1.4   0.4 (NumPy)
    erfcx      2.4  21.4  20.4    2.7  22.5  19.4
    erfinv     4.9  21.4   7.5    2.0  19.6   2.6
    erfcinv    5.1  16.3     -    2.0  16.3     -
    lgamma     4.7  23.6  14.8    2.3  23.2   5.4
    digamma    4.5  18.6  15.7    1.7  20.9  13.7
    trigamma   3.2 501.9  11.9    1.4 503.0   8.2
    bessel_i0  4.1  53.2  49.3    1.7  54.1  40.5
    bessel_i1  4.0  56.1  49.7    1.8  53.4  10.0
    bessel_i0e 3.5  35.2  37.1    1.4  39.0  23.6
    bessel_i1e 3.5  36.1  36.7    1.4  39.5   2.5
    bessel_j0  4.2  26.4  21.4    1.8  29.6  11.5
    bessel_j1  4.1  30.9  26.5    1.6  30.1  13.2

All code is our own; the modules name where their formulas come from.
"""

from __future__ import annotations

from collections.abc import Iterable

from tapejit.codegen.vectormath import (  # noqa: F401 - each registers its functions
    angles,
    bessel,
    error_function,
    exponentials,
    gamma,
    hyperbolic,
    inverse_angles,
    inverse_error,
    logarithms,
    powers,
    remainders,
)
from tapejit.codegen.vectormath.language import ATTRIBUTES, FORMATS, FUNCTIONS, Body, symbol

__all__ = ["ATTRIBUTES", "FORMATS", "FUNCTIONS", "declaration", "emit_library", "symbol"]


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
