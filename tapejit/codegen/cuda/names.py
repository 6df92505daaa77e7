"""What a kernel's text may call without importing it, on a card and in the simulator.

    cuda         numba.cuda
    math         Python's on a card; here functions that give inf and nan where Python's raise
    libdevice    numba.cuda.libdevice, CUDA's mathematics; here those that texts use, in Python
    device       decorates the helper functions of a text

In the simulator numbers are NumPy's scalars, and every function gives the dtype that it is given:
float32 graphs have float32's rounding there too.  Python's own arithmetic on them warns, so run
simulated kernels under `np.errstate(all="ignore")`, in every thread.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import numpy as np

from tapejit.codegen import scalar_math

MATH = (
    "exp", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan",
    "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "pow", "hypot", "erf", "erfc",
    "lgamma", "sqrt", "copysign",
)  # fmt: skip
"""Functions of `math` that texts call, at both precisions."""

LIBDEVICE = {
    "exp2": "exp2", "cbrt": "cbrt", "erfcx": "erfcx", "erfinv": "erfinv", "erfcinv": "erfcinv",
    "bessel_j0": "j0", "bessel_j1": "j1", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "round": "rint", "fmod": "fmod",
}  # fmt: skip
"""What texts call of `libdevice`, by our names; those of float32 have an f behind."""


def on_card() -> dict[str, Any]:
    """The names for text that numba.cuda compiles."""
    import math

    from numba import cuda
    from numba.cuda import libdevice

    # inlined by Numba: a function that LLVM is to inline is asked for by the current device
    options: dict[str, Any] = {"device": True, "inline": "always"}
    return {"cuda": cuda, "math": math, "libdevice": libdevice, "device": cuda.jit(**options)}


def in_simulator() -> dict[str, Any]:
    """The names for text that runs in numba.cuda's simulator."""
    from numba import cuda

    return {"cuda": cuda, "math": _math(), "libdevice": _libdevice(), "device": _as_it_is}


def _as_it_is(function):
    return function


@functools.cache
def _math():
    functions = {name: _rounded(getattr(scalar_math, name)) for name in MATH}
    return SimpleNamespace(inf=np.inf, nan=np.nan, pi=np.pi, **functions)


@functools.cache
def _libdevice():
    known = {"round": "round_even"}
    functions = {}
    for ours, name in LIBDEVICE.items():
        function = _rounded(getattr(scalar_math, known.get(ours, ours)))
        functions |= {name: function, name + "f": function}
    return SimpleNamespace(**functions)


def _rounded(function):
    """A function of Python floats on NumPy's scalars: the result has the dtype of the operands."""

    @functools.wraps(function)
    def of_scalars(*operands):
        return type(operands[0])(function(*map(float, operands)))

    return of_scalars
