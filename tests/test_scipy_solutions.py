"""Derivatives of what SciPy's solvers find, by what their equations read."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj

# ---------------------------------------------------------------- root, root_scalar, fixed_point


def cube(x, a):
    return x**3 - a


def cube_root(a):
    return tj.scipy.root(cube, np.array([1.0]), args=(a,)).x[0]


def test_root_has_derivatives_of_all_orders():
    first = tj.grad(cube_root)
    assert first(8.0) == pytest.approx(1 / 12, rel=1e-12)
    assert first(27.0) == pytest.approx(1 / 27, rel=1e-12)  # solved again
    assert tj.hessian(cube_root)(8.0) == pytest.approx(-2 / 9 * 8 ** (-5 / 3), rel=1e-12)
    third = tj.grad(tj.grad(first))
    assert third(8.0) == pytest.approx(10 / 27 * 8 ** (-8 / 3), rel=1e-12)
    fourth = tj.grad(third)
    assert fourth(8.0) == pytest.approx(-80 / 81 * 8 ** (-11 / 3), rel=1e-10)


def test_a_compiled_function_solves_at_every_call():
    solve = tj.jit(cube_root)
    assert [solve(a) for a in (8.0, 27.0, 1000.0)] == pytest.approx([2.0, 3.0, 10.0])
    with pytest.raises(tj.errors.TraceError, match="solves equations"):
        tj.grad(cube_root).numba(8.0)


def test_captured_values_count_like_arguments():
    power = 3

    def captured(a):
        return tj.scipy.root(lambda x: x**power - a, np.array([1.0])).x[0]

    slope = tj.grad(captured)
    assert slope(8.0) == pytest.approx(1 / 12, rel=1e-10)
    power = 2
    assert slope(16.0) == pytest.approx(1 / 8, rel=1e-10)


def test_several_unknowns_by_several_numbers():
    def unknowns(a):
        found = tj.scipy.root(
            lambda p, a: (p["u"] * p["v"] - a[0], p["u"] - p["v"] - a[1]),
            {"u": 1.0, "v": 1.0},
            args=(a,),
        )
        return np.stack([found.x["u"], found.x["v"]])

    expected = np.array([[1.0, 2.0], [1.0, -1.0]]) / 3  # at u = 2, v = 1
    at = np.array([2.0, 1.0])
    np.testing.assert_allclose(tj.jacobian(unknowns)(at), expected, rtol=1e-10)
    _, tangent = tj.jvp(unknowns, (at,), (np.array([1.0, 0.0]),))
    np.testing.assert_allclose(tangent, expected[:, 0], rtol=1e-10)


@pytest.mark.parametrize("settings", [{"bracket": (0.0, 10.0)}, {"x0": 1.0}])
def test_root_scalar(settings):
    slope = tj.grad(lambda a: tj.scipy.root_scalar(cube, args=(a,), **settings).root)
    assert slope(8.0) == pytest.approx(1 / 12, rel=1e-10)


def test_fixed_point():
    def point(a):
        return tj.scipy.fixed_point(lambda x, a: np.cos(a * x), 1.0, args=(a,))

    x = point(1.0)
    expected = -x * np.sin(x) / (1 + np.sin(x))
    assert tj.grad(point)(1.0) == pytest.approx(expected, rel=1e-10)


def test_tensors_that_require_grad():
    a = tj.tensor(8.0, dtype=tj.float64, requires_grad=True)
    x = tj.scipy.root(cube, tj.tensor([1.0], dtype=tj.float64), args=(a,)).x[0]
    (slope,) = tj.autograd.grad(x, a, create_graph=True)
    (curvature,) = tj.autograd.grad(slope, a)
    assert slope.item() == pytest.approx(1 / 12, rel=1e-10)
    assert curvature.item() == pytest.approx(-2 / 9 * 8 ** (-5 / 3), rel=1e-10)


def test_what_is_no_solution_has_no_derivative():
    def none(a):
        return tj.scipy.root(cube, np.array([50.0]), args=(a,), options={"maxfev": 3}).x[0]

    with pytest.raises(tj.errors.NotDifferentiable, match="no solution"):
        tj.grad(none)(1.0)


# ---------------------------------------------------------------- minimize


def bowl(x, a):
    return np.sum((x - a) ** 2) + x[0] * x[1]


def test_minimum_by_its_arguments():
    def minimum(a):
        return tj.scipy.minimize(bowl, np.zeros(2), args=(a,)).x

    expected = np.linalg.inv([[2.0, 1.0], [1.0, 2.0]]) * 2
    rows = tj.jacobian(minimum)
    np.testing.assert_allclose(rows(np.array([2.0, 1.0])), expected, rtol=1e-9)


def test_parameters_at_a_bound_stay_there():
    def minimum(a):
        return tj.scipy.minimize(bowl, np.zeros(2), args=(a,), bounds=[(0, 1), (None, None)]).x

    rows = tj.jacobian(minimum)(np.array([4.0, 1.0]))
    np.testing.assert_allclose(rows, [[0.0, 0.0], [0.0, 1.0]], atol=1e-9)


def test_the_least_value_has_a_derivative():
    def least(a):
        return tj.scipy.minimize(lambda p: (p["u"] - a) ** 2 + a * p["u"], {"u": 0.0}).fun

    assert tj.value_and_grad(least)(3.0) == pytest.approx((0.75 * 9, 1.5 * 3), rel=1e-9)
    assert tj.hessian(least)(3.0) == pytest.approx(1.5, rel=1e-9)


def test_constraints_are_refused():
    def minimum(a):
        limit = {"type": "ineq", "fun": lambda x: 1 - x[0]}
        return tj.scipy.minimize(bowl, np.zeros(2), args=(a,), constraints=limit).x[1]

    with pytest.raises(tj.errors.NotDifferentiable, match="constraints"):
        tj.grad(minimum)(np.array([2.0, 1.0]))
