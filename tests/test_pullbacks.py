"""vjp called again: programs in place of a recording, with the same answers and the same copies."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj

X = np.linspace(-1.0, 2.0, 6)


def differences(function, x, cotangent, h=1e-6):
    """The pullback of a function of one array, by central differences."""
    found = np.zeros(x.size)
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = h
        step = step.reshape(x.shape)
        change = (np.asarray(function(x + step)) - function(x - step)) / (2 * h)
        found[i] = np.sum(change * cotangent)
    return found.reshape(x.shape)


def waves(x):
    return np.sin(x[1:]) * x[:-1] ** 2


@pytest.mark.parametrize(
    "function",
    [
        waves,
        lambda x: x,
        lambda x: x[::-1],
        lambda x: np.sum(np.exp(x) * x),
        lambda x: np.broadcast_to(x[:, None], (6, 3)) * np.outer(x, x)[:, :3],
        lambda x: np.cumsum(x) + x[np.array([0, 0, 5, 1, 2, 3])],
        lambda x: np.linalg.solve(np.outer(x, x) + 3 * np.eye(6), x),
        lambda x: np.where(x > 0, np.sqrt(np.abs(x) + 1), x * x),
        lambda x: np.zeros(3) + x[2] * 0,
    ],
)
def test_every_call_is_like_the_first(function):
    cotangent = np.cos(np.arange(np.size(function(X)), dtype=float)).reshape(np.shape(function(X)))
    for call in range(8):
        x = X + 0.01 * call
        value, pullback = tj.vjp(function, x)
        np.testing.assert_allclose(value, function(x), 1e-12)
        (got,) = pullback(cotangent)
        np.testing.assert_allclose(
            got, differences(function, x, cotangent), rtol=1e-6, atol=1e-7, err_msg=str(call)
        )
        (again,) = pullback(2 * cotangent)
        np.testing.assert_allclose(again, 2 * got, rtol=1e-12)


def test_a_known_call_runs_no_python():
    runs = []

    def f(x):
        runs.append(None)
        return x * x

    with pytest.warns(RuntimeWarning, match="runs eagerly"):
        for _ in range(4):
            tj.vjp(f, X)
    assert len(runs) >= 4  # an effect: every call has it

    def g(x):
        return x * x

    for _ in range(6):
        tj.vjp(g, X)
    assert g.__tapejit_vjp__.paths.recorded == 1
    g.__code__ = (lambda x: x * 3.0).__code__
    assert tj.vjp(g, X)[1](np.ones(6))[0].tolist() == [3.0] * 6


@pytest.mark.parametrize("n_before", [0, 1, 5])
def test_what_is_written_to_afterwards_does_not_matter(n_before):
    table = np.ones(6)

    def f(x, p):
        part = x[1:]
        return x * x * table + p["w"] * x + np.sum(part * part) * 0.5 + np.exp(0 * part[2:4])[0]

    def fresh():
        return X.copy(), {"w": np.full(6, 3.0)}

    for _ in range(n_before):
        tj.vjp(f, *fresh())
    x, p = fresh()
    value, pullback = tj.vjp(f, x, p)
    expected = pullback(np.ones(6))
    x[:], p["w"][:], value[:], table[:] = 7.0, 7.0, 7.0, 7.0
    gx, gp = pullback(np.ones(6))
    np.testing.assert_array_equal(gx, expected[0])
    np.testing.assert_allclose(gx, 2 * X + 3 + 6 * X * (np.arange(6) > 0))
    np.testing.assert_array_equal(gp["w"], X)
    gx[:] = 9.0  # an answer is nobody else's memory
    np.testing.assert_array_equal(pullback(np.ones(6))[0], expected[0])
    # and the next call sees what is there now
    np.testing.assert_allclose(
        tj.vjp(f, X, {"w": X})[1](np.ones(6))[0], 15 * X + 6 * X * (np.arange(6) > 0)
    )


def test_values_may_be_written_to():
    """What the sweep reads is also returned, as it is, twice and as a view."""

    def f(x):
        y = np.exp(x)
        return y, y[::-1], y, x

    for _ in range(6):
        x = X.copy()
        values, pullback = tj.vjp(f, x)
        for value in (*values, x):
            value[...] = 99.0
        seeds = np.zeros(6), np.arange(6.0), np.ones(6), np.full(6, 2.0)
        expected = np.exp(X) * (np.arange(6.0)[::-1] + 1) + 2
        np.testing.assert_allclose(pullback(seeds)[0], expected, rtol=1e-14)


def test_the_cotangent_is_never_the_answer():
    for _ in range(8):
        seed = np.ones(6)
        _, pullback = tj.vjp(identity, X)
        (got,) = pullback(seed)
        got[:] = 5.0
        assert seed[0] == 1.0


def identity(x):
    return x


def test_pullbacks_of_many_calls_are_kept_apart():
    calls = [tj.vjp(waves, X + i) for i in range(8)]
    for i, (_, pullback) in enumerate(calls):
        alone = tj.vjp(lambda x: waves(x), X + i)[1](np.ones(5))[0]
        np.testing.assert_allclose(pullback(np.ones(5))[0], alone, rtol=1e-13)


def test_branches_and_what_is_read_from_outside():
    scale = 2.0

    def f(x):
        return scale * x if np.sum(x) > 0 else x**3

    for _ in range(4):
        assert tj.vjp(f, X)[1](np.ones(6))[0].tolist() == [scale] * 6
        np.testing.assert_allclose(tj.vjp(f, -X)[1](np.ones(6))[0], 3 * X**2)
        scale += 1.0


def test_numbers_containers_and_parts_that_are_constant():
    def f(p, s):
        return {"a": p["x"] * s, "n": 3, "b": [s * 2.0, np.argmax(p["x"])]}, "text"

    for _ in range(5):
        value, pullback = tj.vjp(f, {"x": X, "unused": np.ones(2, np.float32)}, 3.0)
        assert value[1] == "text" and value[0]["n"] == 3 and value[0]["b"][1] == 5
        gp, gs = pullback(({"a": X, "n": 3, "b": [1.0, np.int64(0)]}, "text"))
        np.testing.assert_allclose(gp["x"], 3 * X)
        assert gp["unused"].dtype == np.float32 and gp["unused"].tolist() == [0, 0]
        assert type(gs) is float and gs == pytest.approx(np.sum(X * X) + 2)


def test_tensors_stay_tensors_and_dtypes_dtypes():
    for dtype in (np.float32, np.float64, np.complex128):
        for _ in range(4):
            x = tj.tensor(X.astype(dtype))
            value, pullback = tj.vjp(cube, x)
            (got,) = pullback(tj.ones(6, dtype=x.dtype))
            assert isinstance(value, tj.Tensor) and isinstance(got, tj.Tensor)
            assert got.dtype == x.dtype
            np.testing.assert_allclose(got.numpy(), 3 * X**2, rtol=1e-5, atol=1e-6)


def cube(x):
    return x * x * x


def test_pullbacks_below_other_transforms():
    for _ in range(5):
        _, pullback = tj.vjp(cube, X)
        batch = np.diag(np.ones(6))
        np.testing.assert_allclose(tj.vmap(pullback)(batch)[0], np.diag(3 * X**2), atol=1e-12)
        # linear in the cotangent
        slope = tj.grad(lambda c, pull: np.sum(pull(c)[0]))(np.ones(6), pullback)
        np.testing.assert_allclose(slope, 3 * X**2)
        compiled = tj.jit(lambda c: pullback(c)[0])(X)  # noqa: B023
        np.testing.assert_allclose(compiled, 3 * X**3)
        inner = tj.grad(lambda x: np.sum(tj.vjp(cube, x)[1](np.ones(6))[0]))(X)
        np.testing.assert_allclose(inner, 6 * X)
        outer = tj.vjp(tj.grad(lambda x: np.sum(cube(x))), X)[1](np.ones(6))[0]
        np.testing.assert_allclose(outer, 6 * X)


def test_a_pullback_that_is_read_by_a_compiled_function():
    pullback = tj.vjp(cube, X)[1]

    @tj.jit
    def use(c):
        return pullback(c)[0]

    for i in range(6):
        pullback = tj.vjp(cube, X + i)[1]
        np.testing.assert_allclose(use(np.ones(6)), 3 * (X + i) ** 2)


def test_rules_of_the_users_own():
    @tj.custom_vjp
    def f(x):
        return x * 2

    f.defvjp(lambda x: (x * 2, None), lambda residual, g: (10 * g,))

    def h(x):
        return f(x) if x[0] > 0 else x

    for _ in range(4):
        assert tj.vjp(h, -np.ones(2))[1](np.ones(2))[0].tolist() == [1, 1]
        assert tj.vjp(h, np.ones(2))[1](np.ones(2))[0].tolist() == [10, 10]


def test_histories_that_are_captured():
    w = tj.tensor([2.0, 3.0], requires_grad=True)

    def f(x):
        return w * x

    for _ in range(4):
        value, pullback = tj.vjp(f, tj.tensor([1.0, 1.0]))
        (got,) = pullback(tj.tensor([1.0, 2.0]))
        (slope,) = tj.autograd.grad(got.sum() + value.sum(), w)
        assert slope.tolist() == [2.0, 3.0]


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
def test_a_function_that_reads_what_is_recorded_outside():
    held = [np.full(6, 2.0)]

    def f(x):
        return held[0] * x * x

    def through(w):
        held[0] = w
        try:
            return np.sum(tj.vjp(f, X)[1](X)[0])
        finally:
            held[0] = np.full(6, 2.0)

    for _ in range(3):
        np.testing.assert_allclose(tj.vjp(f, X)[1](np.ones(6))[0], 4 * X)
        np.testing.assert_allclose(tj.grad(through)(X), 2 * X * X, rtol=1e-12)


def test_long_programs_of_numbers():
    def orbit(x, v):
        for _ in range(60):
            v = v - 0.01 * np.sin(x)
            x = x + 0.01 * v
        return x, v

    gradient = tj.grad(lambda x, v: orbit(x, v)[0] + 2 * orbit(x, v)[1], argnums=(0, 1))
    for i in range(6):
        x, v = 0.5 + 0.1 * i, 0.25
        value, pullback = tj.vjp(orbit, x, v)
        np.testing.assert_allclose(value, orbit(x, v), rtol=1e-12)
        np.testing.assert_allclose(pullback((1.0, 2.0)), gradient(x, v), rtol=1e-12)


def test_random_numbers_are_those_of_the_run():
    def f(x):
        return x * tj.rand(6, dtype=tj.float64)

    for _ in range(5):
        x = tj.tensor(X + 3)
        value, pullback = tj.vjp(f, x)
        np.testing.assert_allclose(
            pullback(tj.ones(6, dtype=tj.float64))[0].numpy(), value.numpy() / (X + 3), rtol=1e-12
        )
