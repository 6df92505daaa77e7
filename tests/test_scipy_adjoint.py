"""Gradients of solve_ivp by the adjoint: what is known exactly, and what sensitivities give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, linalg

import tapejit as tj
from tapejit.errors import NotDifferentiable
from tapejit.scipy import adjoint

FINE = {"rtol": 1e-9, "atol": 1e-10}
solve_ivp = tj.scipy.solve_ivp


@pytest.fixture
def always(monkeypatch):
    """No system is small."""
    monkeypatch.setattr(adjoint, "SMALL", 0)
    monkeypatch.setattr(adjoint, "SMALL_STIFF", 0)


# ---------------------------------------------------------------- exact facts


def linear(t, y, a):
    return a @ y


def of_linear(n):
    """A system with its initial state, and weights of its last state."""
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, n)) / np.sqrt(n) - np.eye(n), rng.normal(size=n), rng.normal(size=n)


@pytest.mark.parametrize(
    ("method", "n", "rtol"),
    [("RK45", 20, 1e-9), ("DOP853", 20, 1e-9), ("Radau", 5, 1e-8), ("BDF", 5, 1e-7)],
)
def test_linear_system_by_its_matrix(method, n, rtol):
    a, y0, w = of_linear(n)
    settings = {"rtol": rtol, "atol": rtol}

    def last(a, y0):
        return solve_ivp(linear, (0.5, 2.0), y0, method, args=(a,), **settings).y[:, -1]

    to_a, to_y0 = tj.grad(lambda a, y0: w @ last(a, y0), argnums=(0, 1))(a, y0)
    np.testing.assert_allclose(to_y0, linalg.expm(1.5 * a).T @ w, rtol=50 * rtol, atol=20 * rtol)
    for seed in range(3):
        e = np.random.default_rng(seed).normal(size=a.shape)
        slope = linalg.expm_frechet(1.5 * a, 1.5 * e, compute_expm=False) @ y0
        assert np.sum(to_a * e) == pytest.approx(w @ slope, rel=100 * rtol, abs=100 * rtol)
        _, tangent = tj.jvp(lambda a: last(a, y0), (a,), (e,))
        np.testing.assert_allclose(tangent, slope, rtol=100 * rtol, atol=100 * rtol)


def test_jacobian_of_a_large_system_is_its_propagator():
    a, y0, _ = of_linear(80)

    def last(y0):
        return solve_ivp(linear, (0, 1), y0, args=(a,), rtol=1e-7, atol=1e-7).y[:2, -1]

    np.testing.assert_allclose(tj.jacobian(last)(y0), linalg.expm(a)[:2], atol=1e-6)


def test_the_integral_alone(always):
    def swing(t, y, a):  # f_y is zero
        return [a * np.cos(9 * t)]

    def spike(t, y, a):
        return [a * np.exp(-(((t - 1.234) / 0.05) ** 2))]

    def last(side):
        return lambda a: solve_ivp(side, (0, 2), [0.0], args=(a,), **FINE).y[0, -1]

    assert tj.grad(last(swing))(2.0) == pytest.approx(np.sin(18) / 9, rel=1e-9)
    # the states do not move, so that their steps say nothing of the spike
    assert tj.grad(last(spike))(0.0) == pytest.approx(0.05 * np.sqrt(np.pi), rel=1e-7)


def test_right_hand_sides_that_jump_and_branch(always):
    def jump(t, y, a):
        return -a * y if t < 0.777 else 2 * a * y

    def last(side, y0):
        return lambda a: solve_ivp(side, (0, 2), [y0], args=(a,), **FINE).y[0, -1]

    exponent = 2 * 1.223 - 0.777
    expected = exponent * np.exp(0.3 * exponent)
    assert tj.grad(last(jump, 1.0))(0.3) == pytest.approx(expected, rel=1e-6)

    def branch(t, y, a):
        return a * y if y[0] < 1 else a

    late = 2 + np.log(0.5)  # 1 + late - log(1/y0) / a, at a = 1
    assert tj.grad(last(branch, 0.5))(1.0) == pytest.approx(late - np.log(0.5), rel=1e-6)


def test_scales(always):
    def decay(t, y, a):
        return -a * y

    def last(a, y0, **settings):
        return solve_ivp(decay, (0, 3), [y0], args=(a,), **settings).y[0, -1]

    slope = -3 * np.exp(-1.5)
    large = tj.grad(lambda a: last(a, 1e6, rtol=1e-7, atol=1.0))
    assert large(0.5) == pytest.approx(1e6 * slope, rel=1e-5)
    small = tj.grad(lambda a: 1e-20 * last(a, 1.0, **FINE))
    assert small(0.5) == pytest.approx(1e-20 * slope, rel=1e-7)
    assert np.isnan(tj.grad(lambda a: np.sqrt(0 * last(a, 1.0, **FINE)))(0.5))
    single = tj.grad(lambda a: last(a, 1.0, **FINE))(np.float32(0.5))
    assert single.dtype == np.float32
    assert single == pytest.approx(slope, rel=1e-6)


def test_a_start_to_second_order_with_a_constant_state(always):
    def last(q):
        return solve_ivp(lambda t, y, a: -a * t * y, (q[0], 2.0), [1.0], args=(q[1],), **FINE).y[
            0, -1
        ]

    t, a = q = np.array([1.0, 1.3])
    w = (4 - t * t) / 2
    mixed = t - a * t * w
    expected = np.exp(-a * w) * np.array([[a + a * a * t * t, mixed], [mixed, w * w]])
    np.testing.assert_allclose(tj.hessian(last)(q), expected, rtol=1e-7)
    for row, v in zip(expected, np.eye(2), strict=True):
        np.testing.assert_allclose(tj.hvp(last, (q,), (v,)), row, rtol=1e-7)
        np.testing.assert_allclose(tj.jvp(tj.grad(last), (q,), (v,))[1], row, rtol=1e-7)


# ---------------------------------------------------------------- against sensitivities


def driven(t, y, a, b):
    return [
        a["x"] * y[0] - b * y[0] * y[1] + np.sin(t),
        b * y[0] * y[1] - y[1] * a["z"][0],
    ]


def states(p):
    """Of nested arguments, with everything that can be differentiated by: 8 numbers."""
    when = np.stack([p[5], 1.0 + p[6], p[7]])
    given = {"x": p[2], "z": np.stack([p[3], p[3]])}, p[3] * 1.5
    span = (p[4], p[7] + 0.5)
    return solve_ivp(driven, span, p[:2], args=given, t_eval=when, rtol=1e-7, atol=1e-7).y


def loss(p):
    return np.sum(states(p) ** 2 * np.array([[1.0, 2.0, 3.0], [3.0, 1.0, 0.5]]))


def ends(p):
    """Without t_eval, backwards in time."""
    given = {"x": p[2], "z": p[3:4]}, p[3]
    found = solve_ivp(driven, (p[7], p[4]), p[:2], args=given, rtol=1e-7, atol=1e-7)
    return np.sum(found.y[:, -1] ** 2) + found.y[0, 0] * found.t[-1]


P = np.array([1.0, 0.5, 1.0, 0.7, 0.1, 0.6, 0.2, 1.8])
V = np.linspace(-1.0, 1.0, 8)

DERIVATIVES = {
    "grad": lambda: tj.grad(loss)(P),
    "backwards": lambda: tj.value_and_grad(ends)(P)[1],
    "jacobian": lambda: tj.jacobian(states)(P),
    "jvp": lambda: tj.jvp(states, (P,), (V,))[1],
    "hvp": lambda: tj.hvp(loss, (P,), (V,)),
    "jvp of grad": lambda: tj.jvp(tj.grad(ends), (P,), (V,))[1],
    "grad of grad": lambda: tj.grad(lambda p: tj.grad(loss)(p) @ V)(P),
    "grad of jvp": lambda: tj.grad(lambda p: tj.jvp(ends, (p,), (V,))[1])(P),
    "vmap of grad": lambda: tj.vmap(tj.grad(ends))(np.stack([P, P + 0.01, P])),
    "grad of vmap": lambda: tj.grad(lambda p: tj.vmap(ends)(p).sum())(np.stack([P, P + 0.01])),
    "vmap of jvp": lambda: tj.vmap(lambda v: tj.jvp(states, (P,), (v,))[1])(np.eye(8)[:2]),
    "vmap of vjp": lambda: tj.vmap(tj.vjp(states, P)[1])(np.arange(12.0).reshape(2, 2, 3))[0],
    "jit": lambda: tj.jit(tj.grad(loss))(P),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_the_adjoint_gives_what_sensitivities_give(name, monkeypatch):
    expected = DERIVATIVES[name]()
    monkeypatch.setattr(adjoint, "SMALL", 0)
    found = DERIVATIVES[name]()
    size = np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * size)


def test_third_derivatives(always):
    def last(a):
        return solve_ivp(lambda t, y, a: -a * y, (0, 1), [2.0], args=(a,), **FINE).y[0, -1]

    third = -2 * np.exp(-0.5)
    assert tj.grad(tj.grad(tj.grad(last)))(0.5) == pytest.approx(third, rel=1e-7)
    _, found = tj.jvp(lambda a: tj.hvp(last, (a,), (1.0,)), (0.5,), (1.0,))
    assert found == pytest.approx(third, rel=1e-7)


def test_tensors_that_require_grad(always):
    def last(p):
        p.requires_grad_()
        given = {"x": p[2], "z": p[3:4]}, p[3]
        return (solve_ivp(driven, (0.1, 1.8), p[:2], args=given, **FINE).y[:, -1] ** 2).sum()

    def by_numpy(p):
        given = {"x": p[2], "z": p[3:4]}, p[3]
        return np.sum(solve_ivp(driven, (0.1, 1.8), p[:2], args=given, **FINE).y[:, -1] ** 2)

    p = tj.tensor(P[:4], dtype=tj.float64)
    last(p).backward()
    np.testing.assert_allclose(p.grad.numpy(), tj.grad(by_numpy)(P[:4]), rtol=1e-7)
    (slope,) = tj.autograd.grad(last(p), p, create_graph=True)
    (product,) = tj.autograd.grad((slope * tj.tensor(V[:4])).sum(), p)
    np.testing.assert_allclose(product.numpy(), tj.hvp(by_numpy, (P[:4],), (V[:4],)), rtol=1e-6)


# ---------------------------------------------------------------- stiff, and large


def robertson(t, y, k):
    slow, fast, middle = k[0] * y[0], k[1] * y[1] ** 2, k[2] * y[1] * y[2]
    return np.stack([-slow + middle, slow - middle - fast, fast])


K, W = np.array([0.04, 3e7, 1e4]), np.array([1.0, 1e4, 0.0])


@pytest.fixture(scope="module")
def slopes_of_robertson():
    """By the logarithms of k."""

    def exact(k):
        settings = {"rtol": 1e-10, "atol": 1e-13, "args": (k,)}
        return W @ tj.scipy.solve_ivp(robertson, (0, 40), [1.0, 0, 0], "Radau", **settings).y[:, -1]

    return [(exact(K + e) - exact(K - e)) / 2e-3 for e in 1e-3 * np.diag(K)]


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_robertson(method, always, slopes_of_robertson):
    def last(k, w):
        settings = {"rtol": 1e-6, "atol": 1e-10, "args": (k,)}
        return w @ solve_ivp(robertson, (0, 40), [1.0, 0, 0], method, **settings).y[:, -1]

    found = tj.grad(last)(K, W) * K
    np.testing.assert_allclose(found, slopes_of_robertson, rtol=2e-4, atol=2e-5)
    kept = tj.grad(last)(K, np.ones(3)) * K  # mass is: all terms of the integral cancel
    np.testing.assert_allclose(kept, 0, atol=1e-7)


def network(t, y, w):
    return w["out"] @ np.tanh(w["in"] @ y + w["bias"])


def test_a_neural_right_hand_side():
    rng = np.random.default_rng(0)
    n, hidden = 10, 50
    w = {
        "in": rng.normal(size=(hidden, n)) / 3,
        "bias": rng.normal(size=hidden),
        "out": rng.normal(size=(n, hidden)) / 7,
    }
    when = np.linspace(0.2, 1, 5)

    def loss(w, solve=solve_ivp, **settings):
        found = solve(network, (0, 1), np.ones(n), args=(w,), t_eval=when, **(settings or FINE))
        return np.sum(found.y**2)

    def along(e, h):
        tight = {"rtol": 1e-12, "atol": 1e-12}
        return loss({name: w[name] + h * e[name] for name in w}, integrate.solve_ivp, **tight)

    gradient = tj.grad(loss)(w)
    for _ in range(3):
        e = {name: rng.normal(size=x.shape) for name, x in w.items()}
        slope = (along(e, 1e-4) - along(e, -1e-4)) / 2e-4
        assert sum(np.sum(gradient[name] * e[name]) for name in w) == pytest.approx(slope, rel=1e-6)
    product = tj.hvp(loss, (w,), (e,))
    curvature = (along(e, 1e-3) - 2 * along(e, 0.0) + along(e, -1e-3)) / 1e-6
    assert sum(np.sum(product[name] * e[name]) for name in w) == pytest.approx(curvature, rel=1e-3)


# ---------------------------------------------------------------- errors


def test_what_has_no_integral_is_refused(always):
    def side(t, y, a):
        return [np.sqrt(a) + 0 * y[0]]

    with pytest.raises(NotDifferentiable, match="no finite integral"):
        tj.grad(lambda a: solve_ivp(side, (0, 1), [1.0], args=(a,)).y[0, -1])(0.0)
