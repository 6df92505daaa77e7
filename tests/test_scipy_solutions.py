"""Derivatives of what SciPy's solvers find, by what their equations read."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, optimize

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


def test_each_sample_of_a_batch_is_solved():
    a = np.array([8.0, 27.0, 8.0])
    np.testing.assert_allclose(tj.vmap(cube_root)(a), [2.0, 3.0, 2.0], rtol=1e-12)
    np.testing.assert_allclose(tj.vmap(tj.grad(cube_root))(a), [1 / 12, 1 / 27, 1 / 12])
    both = tj.grad(lambda a: tj.vmap(cube_root)(a).sum())
    np.testing.assert_allclose(both(a), [1 / 12, 1 / 27, 1 / 12])

    def last(rate):
        found = tj.scipy.solve_ivp(lambda t, y, rate: -rate * y, (0, 1), [1.0], args=(rate,))
        return found.y[0, -1]

    rates = np.array([1.0, 2.0])
    np.testing.assert_allclose(tj.vmap(last)(rates), np.exp(-rates), rtol=5e-3)
    np.testing.assert_allclose(tj.vmap(tj.grad(last))(rates), -np.exp(-rates), rtol=5e-3)


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


def test_least_squares():
    t = np.linspace(0.0, 1.0, 8)

    def rate(y):
        found = tj.scipy.least_squares(
            lambda p, y: p["scale"] * np.exp(-p["rate"] * t) - y,
            {"scale": 1.0, "rate": 1.0},
            args=(y,),
        )
        return found.x["rate"]

    y, h = 2 * np.exp(-3 * t) + 0.1 * np.sin(9 * t), 1e-4
    tight = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "args": ()}

    def exact(y):
        return optimize.least_squares(
            lambda p: p[0] * np.exp(-p[1] * t) - y, [2.0, 3.0], **tight
        ).x[1]

    rows = [(exact(y + e) - exact(y - e)) / (2 * h) for e in h * np.eye(8)]
    np.testing.assert_allclose(tj.grad(rate)(y), rows, rtol=1e-4, atol=1e-6)

    def held(a):
        box = ([0.0, 0.0], [1.0, 9.0])
        return tj.scipy.least_squares(lambda x: x - a, np.ones(2), None, box, "dogbox").x.sum()

    np.testing.assert_allclose(tj.grad(held)(np.array([3.0, 4.0])), [0.0, 1.0], atol=1e-9)


def test_constraints_are_refused():
    def minimum(a):
        limit = {"type": "ineq", "fun": lambda x: 1 - x[0]}
        return tj.scipy.minimize(bowl, np.zeros(2), args=(a,), constraints=limit).x[1]

    with pytest.raises(tj.errors.NotDifferentiable, match="constraints"):
        tj.grad(minimum)(np.array([2.0, 1.0]))


# ---------------------------------------------------------------- solve_ivp

FINE = {"rtol": 1e-9, "atol": 1e-10}


def prey(t, y, a, b):
    return [a * y[0] - b * y[0] * y[1], b * y[0] * y[1] - y[1]]


@pytest.mark.parametrize("method", ["RK45", "Radau", "BDF", "LSODA"])
def test_solve_ivp_is_that_of_scipy(method):
    given = {"args": (1.0, 0.7), "method": method, "t_eval": [0.5, 1.0, 2.0]}
    jac = {}
    if method != "RK45":
        jac["jac"] = lambda t, y, a, b: np.array(
            [[a - b * y[1], -b * y[0]], [b * y[1], b * y[0] - 1]]
        )
    expected = integrate.solve_ivp(prey, (0, 2), [1.0, 0.5], **given, **jac)
    found = tj.scipy.solve_ivp(prey, (0, 2), [1.0, 0.5], **given)
    np.testing.assert_allclose(found.y, expected.y, rtol=1e-9)
    assert (found.nfev, found.njev, found.nlu) == (expected.nfev, expected.njev, expected.nlu)


def test_events_dense_output_and_columns_pass_through():
    def falls(t, y):
        return y[0]

    falls.terminal = True
    given = {"events": falls, "dense_output": True, "vectorized": True}
    fun = lambda t, y: np.stack([y[1], -9.81 + 0 * y[0]])  # noqa: E731
    expected = integrate.solve_ivp(fun, (0, 9), [1.0, 2.0], **given)
    found = tj.scipy.solve_ivp(fun, (0, 9), [1.0, 2.0], **given)
    np.testing.assert_allclose(found.t_events[0], expected.t_events[0], rtol=1e-12)
    np.testing.assert_allclose(found.sol(0.3), expected.sol(0.3), rtol=1e-12)


def test_many_states_have_a_sparse_jacobian():
    def heat(t, y):
        inside = y[2:] - 2 * y[1:-1] + y[:-2]
        return np.concatenate([y[1:2] - 2 * y[:1], inside, y[-2:-1] - 2 * y[-1:]])

    n = 120
    y0 = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    found = tj.scipy.solve_ivp(heat, (0, 50), y0, method="BDF", **FINE)
    rate = -4 * np.sin(np.pi / (2 * (n + 1))) ** 2
    np.testing.assert_allclose(found.y[:, -1], np.exp(50 * rate) * y0, rtol=1e-7)


@pytest.mark.parametrize("method", ["RK45", "Radau"])
def test_lotka_volterra_by_everything(method):
    def last(p):
        found = tj.scipy.solve_ivp(prey, (0, 2), p[:2], method, args=(p[2], p[3]), **FINE)
        return found.y[:, -1]

    def exact(p):
        given = {"args": tuple(p[2:]), "rtol": 1e-12, "atol": 1e-12}
        return integrate.solve_ivp(prey, (0, 2), p[:2], "DOP853", **given).y[:, -1]

    p, h = np.array([1.0, 0.5, 1.0, 0.7]), 1e-4
    rows = np.stack([(exact(p + e) - exact(p - e)) / (2 * h) for e in h * np.eye(4)], axis=1)
    np.testing.assert_allclose(tj.jacobian(last)(p), rows, rtol=1e-6, atol=1e-7)
    tangent = tj.jvp(last, (p,), (np.arange(4.0),))[1]
    np.testing.assert_allclose(tangent, rows @ np.arange(4.0), rtol=1e-6)
    one = tj.grad(lambda p: last(p)[0])
    np.testing.assert_allclose(one(p), rows[0], rtol=1e-6, atol=1e-7)
    other = p + 0.1  # solved again
    slope = (exact(other + h * np.eye(4)[0]) - exact(other - h * np.eye(4)[0])) / (2 * h)
    assert one(other)[0] == pytest.approx(slope[0], rel=1e-5)


def test_oscillator_by_frequency_and_times():
    def total(p):
        w, early, late = p
        found = tj.scipy.solve_ivp(
            lambda t, y, w: [y[1], -w * w * y[0]], (0, late), [1.0, 0.0], args=(w,),
            t_eval=np.stack([early, late]), **FINE,
        )  # fmt: skip
        return np.sum(found.y[0])

    w, early, late = p = np.array([2.0, 0.7, 1.5])
    expected = [
        -early * np.sin(w * early) - late * np.sin(w * late),
        -w * np.sin(w * early),
        -w * np.sin(w * late),
    ]
    np.testing.assert_allclose(tj.grad(total)(p), expected, rtol=1e-7)


def test_decay_by_its_start_and_to_second_order():
    def from_start(t0):
        return tj.scipy.solve_ivp(lambda t, y: -t * y, (t0, 2.0), [1.0], **FINE).y[0, -1]

    assert tj.grad(from_start)(1.0) == pytest.approx(np.exp(-1.5), rel=1e-7)

    def last(rate):
        found = tj.scipy.solve_ivp(
            lambda t, y, rate: -rate * y, (0, 1), [2.0], args=(rate,), **FINE
        )
        return found.y[0, -1]

    assert tj.hessian(last)(0.5) == pytest.approx(2 * np.exp(-0.5), rel=1e-7)


def test_stiff_decay():
    def last(rate):
        found = tj.scipy.solve_ivp(
            lambda t, y, rate: -rate * (y - np.cos(t)), (0, 1), [0.0], "Radau", args=(rate,), **FINE
        )
        return found.y[0, -1]

    def exact(k):
        return (k * k * np.cos(1.0) + k * np.sin(1.0)) / (1 + k * k)

    slope = (exact(1000.5) - exact(999.5)) / 1.0
    assert tj.grad(last)(1000.0) == pytest.approx(slope, rel=1e-4)


def test_solve_ivp_refuses_what_has_no_derivative():
    def captured(rate):
        return tj.scipy.solve_ivp(lambda t, y: -rate * y, (0, 1), [2.0]).y[0, -1]

    with pytest.raises(tj.errors.NotDifferentiable, match="no argument"):
        tj.grad(captured)(0.5)

    def with_event(rate):
        return tj.scipy.solve_ivp(
            lambda t, y, rate: -rate * y, (0, 1), [2.0], args=(rate,), events=lambda t, y, r: y[0]
        ).y[0, -1]

    with pytest.raises(tj.errors.NotDifferentiable, match="events"):
        tj.grad(with_event)(0.5)
