"""Special functions with loops of their own (ops/loops/elements.py), against mpmath and SciPy.

The loop is what is tested, not the SciPy that small arrays outside a program take.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest

import tapejit as tj
from tapejit.build import Builder
from tapejit.config import settings
from tapejit.dtypes import as_dtype
from tapejit.plan import LoopStep
from tapejit.registry import OPS
from tapejit.runtime.compiled import compile_program
from tapejit.shapes import aval
from tapejit.tape import Program

INF, NAN = math.inf, math.nan


def run(op, *arrays, prepare=lambda refs: refs, **attrs):
    """What the operation's loop gives."""
    builder = Builder()
    inputs = [builder.input(aval(a.shape, as_dtype(a.dtype))) for a in arrays]
    y = OPS[op](*prepare(inputs), **attrs)
    compiled = compile_program(Program(builder.tape, [x.row for x in inputs], [y.row]))
    assert [type(step) for step in compiled.plan.steps] == [LoopStep]
    return compiled(arrays)[0]


# ---------------------------------------------------------------- accuracy


def lower(a, x):
    """P(a, x) by its power series, at the working precision."""
    mpmath = pytest.importorskip("mpmath")
    a, x = mpmath.mpf(a), mpmath.mpf(x)
    term, total, k = mpmath.mpf(1), mpmath.mpf(1), 0
    while term > total * mpmath.mpf(10) ** -mpmath.mp.dps or x > a + k:
        k += 1
        term *= x / (a + k)
        total += term
    return mpmath.exp(a * mpmath.log(x) - x - mpmath.loggamma(a + 1)) * total


def slope(a, x):
    """dP/da by a difference that is far below the precision."""
    mpmath = pytest.importorskip("mpmath")
    h = mpmath.mpf(a) * mpmath.mpf(10) ** -30
    return (lower(a + h, x) - lower(a - h, x)) / (2 * h)


def log_beta(a, b):
    mpmath = pytest.importorskip("mpmath")
    return mpmath.re(mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(mpmath.mpf(a) + b))


def exact(op, a, b):
    """The value, as an mpmath number."""
    mpmath = pytest.importorskip("mpmath")
    a, b = mpmath.mpf(a), mpmath.mpf(b)
    if op == "zeta":
        return mpmath.zeta(a, b)
    if op in ("beta", "betaln"):
        return mpmath.exp(log_beta(a, b)) if op == "beta" else log_beta(a, b)
    if op == "gammainc_slope":
        return slope(a, b)
    return lower(a, b) if op == "gammainc" else 1 - lower(a, b)


def drawn(rng, low, high, n=40):
    """Evenly in the exponent."""
    return 10.0 ** rng.uniform(low, high, n)


@functools.cache
def pairs(region):
    """Two operands in a region of the incomplete gamma functions' plane."""
    rng = np.random.default_rng(0)
    if region == "near a":
        a = drawn(rng, 0, 3.5)
        return a, np.abs(a + np.sqrt(a) * rng.uniform(-3, 3, len(a)))
    if region == "next to 0":
        return drawn(rng, -20, 0), drawn(rng, -20, 0.3)
    return drawn(rng, -2, 2), drawn(rng, -2, 2)


@pytest.mark.parametrize("region", ["near a", "next to 0", "wide"])
@pytest.mark.parametrize("op", ["gammainc", "gammaincc", "gammainc_slope"])
def test_incomplete_gamma(op, region):
    """Right to some ulp, and to as many more as the size of the logarithm of a small value."""
    mpmath = pytest.importorskip("mpmath")
    a, x = pairs(region)
    with mpmath.workdps(120):
        want = [exact(op, *pair) for pair in zip(a.tolist(), x.tolist(), strict=True)]
    for got, value in zip(run(op, a, x).tolist(), want, strict=True):
        if abs(value) > 1e-100:
            room = 20 + 4 * abs(math.log(abs(value)))
            assert abs(got - value) <= room * 2.0**-53 * abs(value)


@pytest.mark.parametrize(
    ("op", "ulp", "low", "high"),
    [
        ("zeta", 4, (-3, -1), (1.5, 2.5)),
        ("beta", 8, (-3, -3), (1.2, 1.2)),
        ("betaln", 30, (-3, -3), (3, 6)),
    ],
)
def test_zeta_and_beta(op, ulp, low, high):
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(1)
    a, b = (drawn(rng, *ends, 100) for ends in zip(low, high, strict=True))
    a = a + 1 if op == "zeta" else a
    if op == "zeta":
        a, b = a[(keep := a * np.abs(np.log(b)) < 200)], b[keep]
    with mpmath.workdps(150):
        want = [exact(op, *pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    for got, value in zip(run(op, a, b).tolist(), want, strict=True):
        size = max(abs(value), 1) if op == "betaln" else abs(value)  # zeros of the logarithm
        assert abs(got - value) <= ulp * 2.0**-52 * size


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 20])
def test_polygamma_on_both_sides_of_0(n):
    mpmath = pytest.importorskip("mpmath")
    x = np.random.default_rng(2).uniform(-6, 12, 60)
    got = run("polygamma", x, n=n)
    with mpmath.workdps(60):
        for y, at in zip(got.tolist(), x.tolist(), strict=True):
            value, terms = mpmath.psi(n, at), mpmath.factorial(n) / abs(at - round(at)) ** (n + 1)
            size = abs(value) if at > 0 else max(abs(value), terms)
            assert abs(y - value) <= 10 * 2.0**-52 * size


SPECIAL = (0.0, -0.0, 1.0, 2.0, 0.5, 1.5, -1.0, -2.5, 20.0, 1e-300, 1e300, 1e5, INF, NAN)


@pytest.mark.parametrize("op", ["gammainc", "gammaincc", "zeta", "betaln", "beta"])
def test_special_values_are_scipys(op):
    """But for products that SciPy gives no number for, and poles times NaN."""
    with np.errstate(all="ignore"):
        a, b = np.array(list(itertools.product(SPECIAL, SPECIAL))).T.copy()
        got, want = run(op, a, b), OPS[op].evaluate(a, b)
    known = ~np.isnan(want) & ~np.isnan(a) & ~np.isnan(b)
    if op == "beta":  # a pole has no sign
        got, want = (np.where(np.isinf(v), INF, v) for v in (got, want))
    np.testing.assert_allclose(got[known], want[known], rtol=1e-10, atol=1e-300)
    assert np.isnan(got[(np.isnan(a) | np.isnan(b)) & (a != 1)]).all()


# ---------------------------------------------------------------- everywhere


def test_operands_broadcast_and_are_read_as_they_lie():
    a, x = np.linspace(0.5, 4, 6).reshape(2, 1, 3), np.linspace(0.1, 9, 20).reshape(5, 4)
    permute, slice_ = OPS["permute"], OPS["slice"]

    def prepare(refs):
        turned = permute(refs[1], axes=(1, 0))
        part = slice_(turned, starts=(0, 3), lengths=(4, 3), steps=(1, -1))
        return refs[0], part

    got = run("gammainc", a, x, prepare=prepare)
    want = OPS["gammainc"].evaluate(a, x.T[:, 3:0:-1])
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_float32_is_computed_in_float64():
    a, x = (v.astype(np.float32) for v in pairs("wide"))
    got = run("gammaincc", a, x)
    want = OPS["gammaincc"].evaluate(a.astype(float), x.astype(float))
    usual = want > 1e-30
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[usual], want[usual], rtol=7e-8)


def test_kernels_as_python(monkeypatch):
    """TAPEJIT_JIT=0 runs the same text."""
    a, x = (np.append(v[:8], [1.0, 0.0, 3.0]) for v in pairs("wide"))
    for op in ("gammainc_slope", "beta", "zeta"):
        compiled = run(op, a + 1, x)
        with monkeypatch.context() as patch:
            patch.setattr(settings, "jit", 0)
            np.testing.assert_allclose(run(op, a + 1, x), compiled, rtol=1e-12)


def test_native_functions_have_them():
    """Machine code with a gradient of what only SciPy could do."""

    def likelihood(p, x):
        return tj.sum(tj.log(tj.special.gammaincc(p[0], x * p[1]))) + tj.special.betaln(p[0], p[1])

    p, x = np.array([2.5, 0.7]), np.array([0.3, 1.0, 4.0])
    gradient = tj.grad(likelihood)
    np.testing.assert_allclose(gradient.numba(p, x)(p, x), gradient(p, x), rtol=1e-12)
