"""The functions that a kernel's Python text calls: one number in, one number out.

Each gives what NumPy gives, where Python's `math` would raise or round to an int: division by
zero, logarithm of zero, overflow, a sine of infinity, floor of nan.  The tests come before the
call, and not as `except` clauses, so that Numba compiles the same text.  Whoever compiles a kernel
puts `njit(function)` in the place of each of these in the kernel's globals, or for those of
`GUARDED`, which only keep `math` from raising, that function itself: compiled, it does not raise.

Float functions may return a Python float for a float32 operand; the kernel's text rounds it.
Warnings are the caller's: NumPy scalars warn on overflow, so run kernels under
`np.errstate(all="ignore")`.  This file is imported by generated code; keep its names.
"""

from __future__ import annotations

import math
from math import erf, erfc, inf, nan  # noqa: F401 - generated text imports them here

from tapejit.codegen.scalar_special import (  # noqa: F401 - and these
    bessel_i0,
    bessel_i0e,
    bessel_i1,
    bessel_i1e,
    bessel_j0,
    bessel_j1,
    cbrt,
    digamma,
    erfcinv,
    erfcx,
    erfinv,
    lgamma,
    trigamma,
)

GUARDED = frozenset({
    "sqrt", "copysign", "exp", "expm1", "log", "log2", "log10", "log1p", "pow", "sin", "cos", "tan",
    "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
})  # fmt: skip
"""What gives, where it does not raise, `math`'s result of the same name, and C's where it does."""

_WHOLE = 4503599627370496.0  # 2**52: from here on every float64 is an integer
_EXP_MAX = 709.782712893384  # log of the largest float64
_COSH_MAX = 710.4758600739439  # acosh of the largest float64

# ---------------------------------------------------------------- arithmetic


def div(x, y):
    if y != 0:
        return x / y
    if x == 0 or x != x or y != y:
        return nan
    return math.copysign(inf, x) * math.copysign(1.0, y)


def mod(x, y):
    """Python's %: the result has the sign of the divisor; nan for division by zero."""
    if y == 0 or x != x or y != y or abs(x) == inf:
        return nan
    return x % y


def mod_int(x, y):
    """Python's %, and 0 for the divisors on which a CPU's division may trap."""
    return x * 0 if y == 0 or y == -1 else x % y


def fmod(x, y):
    """C's remainder: the result has the sign of the dividend; nan for division by zero."""
    if y == 0 or x != x or y != y or abs(x) == inf:
        return nan
    return math.copysign(abs(x) % abs(y), x)


def fmod_int(x, y):
    if y == 0 or y == -1:
        return x * 0
    rest = x % y
    return rest - y if rest != 0 and (x < 0) != (y < 0) else rest


def floordiv_int(x, y):
    """Python's //, and 0 for a divisor of 0."""
    return x * y if y == 0 or y == -1 else x // y


def floordiv(x, y):
    """Python's //: infinite or nan for division by zero."""
    if y == 0:
        return nan if x == 0 or x != x else math.copysign(inf, x) * math.copysign(1.0, y)
    if x != x or y != y or abs(x) == inf:
        return nan
    rest = math.copysign(abs(x) % abs(y), x)
    near = (x - rest) / y
    if rest != 0 and (rest < 0) != (y < 0):
        near -= 1.0
    whole = float(math.floor(near)) if abs(near) < _WHOLE else near
    if near - whole > 0.5:
        whole += 1.0
    return math.copysign(0.0, x / y) if whole == 0 else whole


def maximum(x, y):
    """The larger, nan if there is one; 0.0 is larger than -0.0."""
    if x == y:
        return x if x != 0 or math.copysign(1.0, x) > 0 else y
    return x if x > y or x != x else y


def minimum(x, y):
    if x == y:
        return y if x != 0 or math.copysign(1.0, x) > 0 else x
    return x if x < y or x != x else y


def hypot(x, y):
    return math.hypot(x, y)


def copysign(x, y):
    return math.copysign(x, y)


def sqrt(x):
    return math.sqrt(x) if x >= 0 else nan


# ---------------------------------------------------------------- rounding


def floor(x):
    return math.copysign(float(math.floor(x)), x) if abs(x) < _WHOLE else x


def ceil(x):
    return math.copysign(float(math.ceil(x)), x) if abs(x) < _WHOLE else x


def trunc(x):
    return math.copysign(float(math.trunc(float(x))), x) if abs(x) < _WHOLE else x


def round_even(x):
    """Halves go to the even integer: a sum with 2**52 has no bits left for a fraction."""
    return math.copysign((abs(float(x)) + _WHOLE) - _WHOLE, x) if abs(x) < _WHOLE else x


def to_int64(x):
    """Towards zero; nan gives 0 and what is out of range the nearest integer."""
    if x != x:
        return 0
    if x >= 9223372036854775808.0:
        return 9223372036854775807
    if x < -9223372036854775808.0:
        return -9223372036854775808
    return int(x)


def to_int32(x):
    if x != x:
        return 0
    if x >= 2147483648.0:
        return 2147483647
    return -2147483648 if x <= -2147483648.0 else int(x)


# ---------------------------------------------------------------- exponentials and logarithms


def exp(x):
    return inf if x > _EXP_MAX else math.exp(x)


def exp2(x):
    return inf if x >= 1024.0 else math.pow(2.0, x)


def expm1(x):
    return inf if x > _EXP_MAX else math.expm1(x)


def log(x):
    if x > 0:
        return math.log(x)
    return -inf if x == 0 else nan


def log2(x):
    if x > 0:
        return math.log2(x)
    return -inf if x == 0 else nan


def log10(x):
    if x > 0:
        return math.log10(x)
    return -inf if x == 0 else nan


def log1p(x):
    if x > -1:
        return math.log1p(x)
    return -inf if x == -1 else nan


def pow(x, y):
    if x != x or y != y or abs(x) == inf or abs(y) == inf:
        return math.pow(x, y)
    is_odd = abs(y) < 2 * _WHOLE and y % 2.0 != 0 and math.floor(y) == y
    if x == 0 and y < 0:
        return math.copysign(inf, x) if is_odd else inf
    if x < 0 and abs(y) < _WHOLE and math.floor(y) != y:
        return nan
    magnitude = 0.0 if x == 0 else y * math.log2(abs(x))
    if magnitude < 1023.99:
        return math.pow(x, y)
    # near and above the overflow bound: the square of half the power cannot raise
    root = math.pow(abs(x), 0.5 * y) if magnitude < 1025.0 else inf
    return -root * root if x < 0 and is_odd else root * root


# ---------------------------------------------------------------- circular and hyperbolic


def sin(x):
    return nan if abs(x) == inf else math.sin(x)


def cos(x):
    return nan if abs(x) == inf else math.cos(x)


def tan(x):
    return nan if abs(x) == inf else math.tan(x)


def asin(x):
    return math.asin(x) if abs(x) <= 1 else nan


def acos(x):
    return math.acos(x) if abs(x) <= 1 else nan


def atan(x):
    return math.atan(x)


def atan2(x, y):
    return math.atan2(x, y)


def sinh(x):
    return math.copysign(inf, x) if abs(x) > _COSH_MAX else math.sinh(x)


def cosh(x):
    return inf if abs(x) > _COSH_MAX else math.cosh(x)


def tanh(x):
    return math.tanh(x)


def asinh(x):
    return math.asinh(x)


def acosh(x):
    return math.acosh(x) if x >= 1 else nan


def atanh(x):
    if abs(x) < 1:
        return math.atanh(x)
    return math.copysign(inf, x) if abs(x) == 1 else nan
