"""The checkers notice faults: slopes a thousandth too steep, wrong shapes, wrong dtypes."""

from __future__ import annotations

import numpy as np
import probing
import pytest

from tapejit import dtypes
from tapejit.ops.movement import reshape
from tapejit.registry import OPS
from tapejit.shapes import aval

CHECKED = ["sin", "mul", "atan2", "softplus", "pow"]


def case_of(name):
    return next(case for case in probing.cases(OPS[name]) if case.dtype is dtypes.float64)


@pytest.mark.parametrize("name", CHECKED)
def test_a_slope_a_thousandth_too_steep(monkeypatch, name):
    op, right = OPS[name], OPS[name].partials
    case = case_of(name)
    probing.check_tangent(case)
    monkeypatch.setattr(op, "partials", lambda *refs: [s * 1.001 for s in right(*refs)])
    with pytest.raises(AssertionError):
        probing.check_tangent(case)


def test_a_missing_slope(monkeypatch):
    right = OPS["mul"].partials
    monkeypatch.setattr(OPS["mul"], "partials", lambda *refs: (right(*refs)[0], None))
    with pytest.raises(AssertionError):
        probing.check_tangent(case_of("mul"))


@pytest.mark.parametrize("name", ["sum", "cumsum", "logsumexp", "matmul"])
def test_a_cotangent_that_is_no_transpose(monkeypatch, name):
    op, right = OPS[name], OPS[name].vjp
    case = case_of(name)
    probing.check_cotangent(case)
    scaled = lambda *refs, **attrs: [g * 1.001 for g in right(*refs, **attrs)]  # noqa: E731
    monkeypatch.setattr(op, "vjp", scaled)
    probing._sweeps.cache_clear()
    with pytest.raises(AssertionError):
        probing.check_cotangent(case)


def test_a_gradient_of_a_wrong_shape(monkeypatch):
    """A rule may leave broadcast axes in a gradient, and nothing else."""
    right = OPS["cumsum"].vjp

    def flat(gy, x, y, **attrs):
        (gx,) = right(gy, x, y, **attrs)
        return (reshape(gx, shape=(x.aval.size,)),)

    monkeypatch.setattr(OPS["cumsum"], "vjp", flat)
    probing._sweeps.cache_clear()
    with pytest.raises((AssertionError, RuntimeError)):
        probing.check_cotangent(case_of("cumsum"))


def wrong_rule(monkeypatch, op, change):
    """An op whose rule tells something else than its value has."""
    right = op.infer
    monkeypatch.setattr(op, "kinds", {})
    monkeypatch.setattr(op, "infer", lambda avals, **attrs: change(right(avals, **attrs)))


def test_a_rule_that_lies_about_the_shape(monkeypatch):
    wrong_rule(monkeypatch, OPS["sum"], lambda a: aval((*a.shape, 1), a.dtype))
    with pytest.raises(AssertionError, match="sum-float64"):
        probing.check_rule(case_of("sum"))


def test_a_rule_that_lies_about_the_dtype(monkeypatch):
    wrong_rule(monkeypatch, OPS["sin"], lambda a: aval(a.shape, dtypes.float32))
    with pytest.raises(AssertionError, match="sin-float64"):
        probing.check_rule(case_of("sin"))


def test_an_operation_that_writes_into_its_input(monkeypatch):
    def spoil(x):
        x *= 2.0
        return x

    monkeypatch.setattr(OPS["square"], "evaluate", spoil)
    with pytest.raises(ValueError, match="read-only"):
        probing.check_rule(case_of("square"))


def test_a_wrong_second_derivative(monkeypatch):
    """A slope that is right at its point, and wrong as a function."""
    case = case_of("exp")
    probing._sweeps.cache_clear()
    probing.check_second_order(case)
    (x,) = probing.inputs_of(case)

    def frozen(ref, y):
        return (y.builder.emit(OPS["detach"], (y,)),)

    monkeypatch.setattr(OPS["exp"], "partials", frozen)
    probing._sweeps.cache_clear()
    probing.check_tangent(case)
    with pytest.raises(AssertionError):
        probing.check_second_order(case)
    assert np.isfinite(x).all()
