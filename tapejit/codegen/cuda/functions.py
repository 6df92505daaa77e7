"""The numbers' functions in the text of CUDA kernels: how each is spelled for each dtype.

Most are functions of `math` or of `cuda.libdevice`, CUDA's own.  The rest are written here, as
plain Python functions that become part of a kernel's text: `definitions` prints those that it
needs, once for each dtype, with that dtype's name in the place of `T`.  So a float32 kernel
computes in float32 throughout, and a kernel's text says all that it does.  Random numbers are
draws.py's.

Sources: scalar_math.py and scalar_special.py, where the same formulas serve the CPU's texts.
"""

from __future__ import annotations

import functools
import inspect
import re
from math import inf, nan

from numpy import int32, int64

from tapejit.codegen.cuda import draws
from tapejit.codegen.value_text import CONVERSION, FLOATS

MATH = (
    "exp", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "pow", "hypot", "erf", "erfc",
    "lgamma", "sqrt", "copysign",
)  # fmt: skip
"""Functions of `math`, at both precisions."""

LIBDEVICE = {
    "exp2": "exp2", "cbrt": "cbrt", "erfcx": "erfcx", "erfinv": "erfinv", "erfcinv": "erfcinv",
    "bessel_j0": "j0", "bessel_j1": "j1", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "round": "rint", "fmod": "fmod",
}  # fmt: skip
"""Functions of `cuda.libdevice` by our names; those of float32 have an f behind theirs."""

T = float
"""Stands for the dtype."""


class _Later:
    """Stands for what texts are given."""

    def __getattr__(self, name):
        raise AttributeError(f"{name}: these functions are texts of kernels, not to be called")


cuda = math = _Later()

# ---------------------------------------------------------------- arithmetic


def mod(x, y):
    """Python's %: the result has the sign of the divisor; nan for division by zero."""
    rest = cuda.libdevice.fmod(x, y)
    if rest == T(0.0):
        return math.copysign(rest, y)
    return rest + y if (rest < T(0.0)) != (y < T(0.0)) else rest


def floordiv(x, y):
    """Python's //: infinite or nan for division by zero."""
    if y == T(0.0):
        return x / y
    rest = cuda.libdevice.fmod(x, y)  # nan for an infinite x
    near = (x - rest) / y
    if rest != T(0.0) and (rest < T(0.0)) != (y < T(0.0)):
        near = near - T(1.0)
    whole = cuda.libdevice.floor(near)
    if near - whole > T(0.5):
        whole = whole + T(1.0)
    return math.copysign(T(0.0), x / y) if whole == T(0.0) else whole


def maximum(x, y):
    """The larger, nan if there is one; 0.0 is larger than -0.0."""
    if x == y:
        return x if math.copysign(T(1.0), x) > T(0.0) else y
    return x if x > y or x != x else y


def minimum(x, y):
    """The smaller, nan if there is one; -0.0 is smaller than 0.0."""
    if x == y:
        return y if math.copysign(T(1.0), x) > T(0.0) else x
    return x if x < y or x != x else y


def to_int64(x):
    """Towards zero; nan gives 0 and what is out of range the nearest integer."""
    if x != x:
        return int64(0)
    if x >= T(9223372036854775808.0):
        return int64(9223372036854775807)
    if x < T(-9223372036854775808.0):
        return int64(-9223372036854775808)
    return int64(x)


def to_int32(x):
    """The same for int32."""
    if x != x:
        return int32(0)
    if x >= T(2147483648.0):
        return int32(2147483647)
    if x <= T(-2147483648.0):
        return int32(-2147483648)
    return int32(x)


# ---------------------------------------------------------------- integers


def mod_int(x, y):
    """Python's %, and 0 for division by zero."""
    return x * 0 if y == 0 or y == -1 else x % y


def fmod_int(x, y):
    """C's remainder, and 0 for division by zero."""
    rest = x * 0 if y == 0 or y == -1 else x % y
    return rest - y if rest != 0 and (x < 0) != (y < 0) else rest


def floordiv_int(x, y):
    """Python's //, and 0 for a divisor of 0."""
    return x * y if y == 0 or y == -1 else x // y


def maximum_int(x, y):
    """The larger."""
    return x if x > y else y


def minimum_int(x, y):
    """The smaller."""
    return x if x < y else y


# ---------------------------------------------------------------- gamma functions


def digamma(x):
    """The derivative of lgamma; left of 0 by reflection."""
    if x == T(0.0):
        return -math.copysign(T(inf), x)
    if x < T(0.0):
        rest = x - cuda.libdevice.rint(x)  # exact
        if rest == T(0.0) or x == T(-inf):
            return T(nan)
        return digamma_right(T(1.0) - x) - T(3.141592653589793) / math.tan(
            T(3.141592653589793) * rest
        )
    return digamma_right(x)


def digamma_right(x):
    """Positive x: the recurrence up to 10, then the asymptotic series."""
    shift = T(0.0)
    while x < T(10.0):
        shift = shift + T(1.0) / x
        x = x + T(1.0)
    z = T(1.0) / (x * x)
    tail = T(1.0 / 132) - z * (T(691.0 / 32760) - z * (T(1.0 / 12) - z * T(3617.0 / 8160)))
    tail = T(1.0 / 12) - z * (T(1.0 / 120) - z * (T(1.0 / 252) - z * (T(1.0 / 240) - z * tail)))
    return math.log(x) - T(0.5) / x - z * tail - shift


def trigamma(x):
    """The derivative of digamma; left of 0 by reflection."""
    if x == T(0.0):
        return T(inf)
    if x < T(0.0):
        rest = x - cuda.libdevice.rint(x)  # exact
        if x == T(-inf):
            return T(nan)
        if rest == T(0.0):
            return T(inf)
        ratio = T(3.141592653589793) / math.sin(T(3.141592653589793) * rest)
        return ratio * ratio - trigamma_right(T(1.0) - x)
    return trigamma_right(x)


def trigamma_right(x):
    """Positive x: the recurrence up to 12, then the asymptotic series."""
    shift = T(0.0)
    while x < T(12.0):
        shift = shift + T(1.0) / (x * x)
        x = x + T(1.0)
    z = T(1.0) / (x * x)
    tail = T(5.0 / 66) - z * (T(691.0 / 2730) - z * (T(7.0 / 6) - z * T(3617.0 / 510)))
    tail = T(1.0 / 6) - z * (T(1.0 / 30) - z * (T(1.0 / 42) - z * (T(1.0 / 30) - z * tail)))
    return shift + (T(1.0) + (T(0.5) + tail / x) / x) / x


# ---------------------------------------------------------------- Bessel functions


def series_i0(a):
    """I0(a) for 0 <= a <= 30, by its power series."""
    z = T(0.25) * a * a
    term = T(1.0)
    total = T(1.0)
    k = T(1.0)
    while term > T(1e-18) * total:
        term = term * (z / (k * k))
        total = total + term
        k = k + T(1.0)
    return total


def series_i1(a):
    """I1(a) for 0 <= a <= 30, by its power series."""
    z = T(0.25) * a * a
    term = T(1.0)
    total = T(1.0)
    k = T(1.0)
    while term > T(1e-18) * total:
        term = term * (z / (k * (k + T(1.0))))
        total = total + term
        k = k + T(1.0)
    return total * (T(0.5) * a)


def tail_i(mu, a):
    """exp(-a) I(a) for a > 30, by its asymptotic series; mu is four times the order squared."""
    term = T(1.0)
    total = T(1.0)
    k = T(1.0)
    while k < T(25.0):
        odd = T(2.0) * k - T(1.0)
        term = term * ((odd * odd - mu) / (T(8.0) * k * a))
        total = total + term
        k = k + T(1.0)
    return total / math.sqrt(T(6.283185307179586) * a)


def bessel_i0(x):
    """The modified Bessel function of order 0."""
    a = abs(x)
    if a <= T(30.0) or x != x:
        return series_i0(a)
    half = math.exp(T(0.5) * a)
    return tail_i(T(0.0), a) * half * half if a < T(inf) else a


def bessel_i1(x):
    """The modified Bessel function of order 1."""
    a = abs(x)
    if a <= T(30.0) or x != x:
        return math.copysign(series_i1(a), x)
    half = math.exp(T(0.5) * a)
    return math.copysign(tail_i(T(4.0), a) * half * half if a < T(inf) else a, x)


def bessel_i0e(x):
    """exp(-|x|) times the modified Bessel function of order 0."""
    a = abs(x)
    if a <= T(30.0) or x != x:
        return series_i0(a) * math.exp(-a)
    return tail_i(T(0.0), a)


def bessel_i1e(x):
    """exp(-|x|) times the modified Bessel function of order 1."""
    a = abs(x)
    if a <= T(30.0) or x != x:
        return math.copysign(series_i1(a) * math.exp(-a), x)
    return math.copysign(tail_i(T(4.0), a), x)


# ---------------------------------------------------------------- as text

_HELPERS = {
    function.__name__: function
    for function in [*globals().values(), *vars(draws).values()]
    if inspect.isfunction(function) and function.__module__ in (__name__, draws.__name__)
}


_INLINED = '@cuda.jit(device=True, inline="always")'
"""By Numba; a function that is called needs a device when it is compiled."""


def call(fn: str, dtype: str) -> str:
    """How a function of tapejit.expressions is called on numbers of a dtype.

    >>> call("exp", "f32"), call("round", "f32"), call("mod", "f64"), call("mod_int", "i32")
    ('math.exp', 'cuda.libdevice.rintf', 'mod_f64', 'mod_int')
    """
    if fn in MATH:
        return f"math.{fn}"
    if fn in LIBDEVICE:
        return f"cuda.libdevice.{LIBDEVICE[fn]}{'f' if dtype == 'f32' else ''}"
    assert fn in _HELPERS, fn
    return f"{fn}_{dtype}" if dtype in FLOATS else fn


def definitions(text: str) -> str:
    """The helper functions that a text calls, in an order in which each is there when needed."""
    found: dict[str, str] = {}
    _collect(text, found)
    return "".join(f"{definition}\n\n" for definition in found.values())


def _collect(text, found):
    for name in re.findall(r"(?<![.\w])(\w+)\(", text):
        if name not in found and not text.startswith(f"def {name}("):
            definition = _definition(name)
            if definition:
                _collect(definition, found)
                found[name] = f"{_INLINED}\n{definition}"


@functools.cache
def _definition(name: str) -> str:
    """The text of a helper function, "" if the name is none."""
    if name in _HELPERS:  # it says its dtypes
        return inspect.getsource(_HELPERS[name])
    base, _, dtype = name.rpartition("_")
    if base not in _HELPERS or dtype not in FLOATS:
        return ""
    text = inspect.getsource(_HELPERS[base])
    text = re.sub(r"\bT\((-?)(inf|nan)\)", r"T(\1math.\2)", text)
    text = re.sub(r"\bT\(", f"{CONVERSION[dtype]}(", text)
    if dtype == "f32":
        text = re.sub(r"\blibdevice\.(\w+)", r"libdevice.\1f", text)
    others = "|".join(other for other in _HELPERS if not other.endswith("_int"))
    return re.sub(rf"\b({others})\(", rf"\1_{dtype}(", text)
