"""Words of loops that mean something else in each compile: a kind of number, and its functions.

Compiled for a CPU, wide numbers are float64 and their functions are those of the vector mathematics
(codegen/vectormath); on a GPU they are float32 for float32, and the functions CUDA's or
codegen/cuda/functions.py's.  As Python they are NumPy's and SciPy's.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit.library import special

inf, nan = math.inf, math.nan


def sqrt(x):
    """The square root, of the same dtype."""
    return np.sqrt(x)


def floor(x):
    """The next whole number below, of the same dtype."""
    return np.floor(x)


def wide(x):
    """A number as sums keep it: float64 where the loop's result is floating-point, else int64."""
    return np.float64(x) if isinstance(x, float | np.floating) else int(x)


# ---------------------------------------------------------------- functions of wide numbers


def exp(x):
    return np.exp(x)


def expm1(x):
    return np.expm1(x)


def log(x):
    return np.log(x)


def log1p(x):
    return np.log1p(x)


def pow(x, y):
    return np.power(x, y)


def erfcx(x):
    return special("erfcx")(x)


def lgamma(x):
    return special("gammaln")(x)
