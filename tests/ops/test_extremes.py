"""Compiled equals eager at the extremes: every elementwise operation, float64 and float32.

The points are zeros of both signs, infinities, NaN, the smallest and largest numbers, arguments at
which functions overflow, and random magnitudes over the whole range; operands meet in all pairs.
Zeros must have the same sign, what is not finite the same value, and numbers agree to 16 ulp
(NumPy's own errors included; tests/test_vectormath.py bounds ours).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import tapejit as tj
from tapejit.registry import OPS
from tapejit.runtime.eager import IN_SCIPY

NUMBERS = [
    0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 2.5, 3.0, 7.0, 20.0, 88.0, 300.0, 709.0, 745.0, 1e-8, 1e5, 1e15,
    1e17, 1e-30, 1e30, 1e-300, 1e200, 1e300, 1.5e-45, 5e-324, np.inf,
]  # fmt: skip
POINTS = [*NUMBERS, *(-x for x in NUMBERS), np.nan]


def function_of(op):
    """The function that users call, wherever its name is."""
    names = (op.name, f"bessel_{op.name}")
    spaces = (tj, tj.nn.functional, tj.special)
    found = (getattr(space, name, None) for space in spaces for name in names)
    return next(filter(callable, found), None)


def is_taken(op):
    is_one = op.family == "elementwise" and op.expression and not op.decompose
    return is_one and function_of(op) is not None


# SciPy's erfc is 113 ulp off, and 0 where the result is subnormal
EXACT = {name: np.vectorize(getattr(math, name), otypes="d") for name in ("erf", "erfc")}
LOSSES = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
"""Their functions check what they are given, and take a mean."""
TAKEN = [op for op in OPS.values() if is_taken(op) and op.rule != "where"]
TAKEN = [op for op in TAKEN if op.name not in LOSSES]


def operands(op, dtype):
    """All pairs of the points, and a thousand random ones; three operands: one varies."""
    rng = np.random.default_rng(len(op.name))
    n = len(op.expression.parameters)
    rows = list(itertools.product(POINTS, repeat=min(n, 2)))
    columns = np.array(rows).T
    if n == 3:
        columns = [columns[0], columns[1], np.ones(len(rows))]
    found = []
    with np.errstate(over="ignore", under="ignore"):
        for column in columns:
            wide = 10.0 ** rng.uniform(-37, 37, 500) * rng.choice([-1, 1], 500)
            found.append(np.concatenate([column, rng.normal(size=500) * 8, wide]).astype(dtype))
    return found


def agree_with_scipy(op, x, got, want):
    """Eager values are SciPy's, which loses subnormal numbers, and large angles of J0 and J1.

    Next to zeros of lgamma, digamma, J0 and J1 it is right beside 1 only.
    """
    usual = (np.abs(x) > 1e-30) | (x == 0)
    if op.name in ("j0", "j1"):
        usual &= (np.abs(x) < 1e3) | np.isinf(x)
    tolerances = {"rtol": 5e-14, "atol": 1e-14}
    if x.dtype == np.float32:
        tolerances = {"rtol": 2e-6, "atol": 1e-6}
    np.testing.assert_allclose(got[usual], want[usual], **tolerances)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", TAKEN, ids=str)
def test_compiled_is_eager(op, dtype):
    function = function_of(op)
    columns = operands(op, np.dtype(dtype))
    with np.errstate(all="ignore"):
        want = np.asarray(EXACT.get(op.name, op.evaluate)(*columns))
        want = want.astype(dtype) if op.name in EXACT else want
        compiled = tj.jit(lambda *operands: function(*operands))
        for _ in range(2):  # the first call records
            got = np.asarray(compiled(*columns))
    assert got.dtype == want.dtype
    if want.dtype == np.bool_:
        np.testing.assert_array_equal(got, want)
        return
    if op.name not in EXACT and any(step.fn in IN_SCIPY for step in op.expression.steps):
        agree_with_scipy(op, columns[0], got, want)
        return
    np.testing.assert_allclose(got, want, rtol=16 * np.finfo(dtype).eps, atol=0)
    zero = want == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))
