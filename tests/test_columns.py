"""Derivatives of many samples, column by column: the same numbers, far fewer rows, true zeros."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import tapejit as tj
from tapejit import columns
from tapejit.plan import KernelStep
from tapejit.runtime.work import atom_of
from tapejit.schedule.planner import schedule
from tapejit.show import record
from tapejit.simplify import simplify

RNG = np.random.default_rng(3)
A, B = RNG.normal(size=(4, 4)), RNG.normal(size=(2, 4))


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def arm(x):
    a = np.cumsum(x)
    return np.stack([np.cos(a).sum(), np.sin(a).sum(), np.cos(a[-1]), np.sin(a[-1])])


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum()


FUNCTIONS = {
    "slices": lambda x: x[1:] * x[:-1] - x[::-1][1:],
    "running": lambda x: np.cumsum(x) * np.cumprod(0.5 + x),
    "softmax": softmax,
    "where": lambda x: np.where(x > 0.1, x * 2.0, x * x),
    "products": lambda x: np.sin(A @ x) * (x @ A @ x),
    "matrices": lambda x: (x[:, None] * np.sin(x)) @ B.T,
    "own matrices": lambda x: (lambda m: m @ m.T @ x)(x[:, None] * np.cos(x) + np.eye(4)),
    "broadcast": lambda x: ((x[:, None] - x[None, :]) ** 2 * np.cos(x)).sum(1),
    "reshaped": lambda x: (x.reshape(2, 2).T * np.exp(x.reshape(2, 2))).reshape(-1),
    "joined": lambda x: np.concatenate([x[:2] ** 3, np.pad(x, (1, 2)), x[::2]]),
    "prod": lambda x: np.prod(x) * x + np.max(x) * np.min(x),
    "whole": lambda x: np.linalg.solve(np.outer(x, x) + 3 * np.eye(4), np.cos(x)),
    "numbers": lambda x: x[0] * x[1] + np.log(2.0 + x[2] ** 2) * x[3],
    "independent": lambda x: np.stack([x[0] * 0 + 3.0, x[1] ** 2]),
}


def second(f):
    """The Hessian of a sum of squares."""
    return tj.hessian(lambda x: (f(x) ** 2).sum())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("derivative", [tj.jacobian, tj.jacfwd, second])
def test_columns_are_what_samples_give_one_by_one(name, derivative):
    one = derivative(FUNCTIONS[name])
    all_of_them = tj.vmap(one)
    for n in (5, 19):
        x = RNG.uniform(-1.2, 1.2, (n, 4))
        expected = np.stack([one(sample) for sample in x])
        for _ in range(2):  # recorded, then compiled
            np.testing.assert_allclose(all_of_them(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arguments_are_shared_turned_and_several(dtype):
    def f(weights, x, scale):
        return {"a": np.tanh(weights @ x) * scale, "b": (x * x).sum()}

    weights, x = RNG.normal(size=(3, 4)).astype(dtype), RNG.normal(size=(4, 21)).astype(dtype)
    scales = RNG.normal(size=(21, 3)).astype(dtype)
    one = tj.jacobian(f, argnums=(1, 2))
    found = tj.vmap(one, in_axes=(None, 1, 0), out_axes=-1)
    for _ in range(2):
        result = found(weights, x, scales)
        for i in range(21):
            expected = one(weights, x[:, i].copy(), scales[i])
            for key in "ab":
                for block, other in zip(result[key], expected[key], strict=True):
                    assert block.dtype == dtype
                    np.testing.assert_allclose(block[..., i], other, rtol=2e-4, atol=1e-5)


def test_derivatives_of_derivatives_and_what_is_made_of_them():
    def f(x):
        return np.sin(x[0] * x[1]) + x[1] ** 3 * x[2]

    def newton(x):
        return x - np.linalg.solve(tj.hessian(f)(x) + 9 * np.eye(3), tj.grad(f)(x))

    def of_all(x):
        return np.mean(tj.vmap(tj.hessian(f))(x) ** 2, axis=0).sum()

    x = RNG.uniform(0.2, 1.0, (17, 3))
    for function in (newton, tj.jacobian(tj.hessian(f)), tj.grad(lambda x: newton(x).sum())):
        expected = np.stack([function(sample) for sample in x])
        batched = tj.vmap(function)
        for _ in range(2):
            np.testing.assert_allclose(batched(x), expected, rtol=1e-8, atol=1e-10)
    slope, h = tj.grad(of_all), 1e-6
    for _ in range(2):
        found = slope(x)[4, 1]
    step = np.zeros_like(x)
    step[4, 1] = h
    central = (of_all(x + step) - of_all(x - step)) / (2 * h)
    np.testing.assert_allclose(found, central, rtol=1e-5)


# ---------------------------------------------------------------- zeros


def test_what_does_not_depend_on_a_seed_is_zero_where_others_overflow():
    x = np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0], [4.0, 3.0]])
    hessians = tj.vmap(tj.hessian(lambda x: np.log(x).sum()))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hessians(x)
        found = hessians(x)
    assert found[0, 0, 0] == found[1, 1, 1] == -math.inf
    assert not found[:, 0, 1].any() and not found[:, 1, 0].any()
    np.testing.assert_array_equal(found[3], -np.diag(1 / x[3] ** 2))


def test_zeros_of_a_finished_derivative_are_numbers():
    """So are those that the function itself multiplies by."""

    def scaled(x, factor):
        return tj.jacobian(lambda x: x * x)(x) * factor

    def padded(x, factor):
        return tj.jacobian(lambda x: np.pad(x, (1, 1)) * factor)(x)

    x, factor = np.ones((6, 3)), np.full(6, np.nan)
    for function in (scaled, padded):
        batched = tj.vmap(function)
        batched(x, factor)
        assert np.isnan(batched(x, factor)).any(axis=0).sum() >= (9 if function is scaled else 3)


# ---------------------------------------------------------------- what is compiled


def plan_of(function, *arrays):
    program, _ = record(function, arrays)
    simple = simplify(program)
    return simple, schedule(simple)


def test_hessians_of_neighbours_cost_what_is_not_zero():
    """One kernel, without temporaries; its nodes grow as the band does, not as the square."""
    sizes = []
    for n in (8, 16, 32):
        simple, plan = plan_of(tj.vmap(tj.hessian(rosenbrock)), np.ones((100, n)))
        (step,) = plan.steps
        assert isinstance(step, KernelStep)
        assert [b.role for b in plan.buffers if b.role == "temporary"] == []
        assert not columns.has_seeds(simple)
        assert {len(group) for group in step.kernel.neighbours} == {n, n * n}
        assert atom_of(step) == 1  # threads may share it
        sizes.append(len(step.kernel.nodes))
    assert sizes[2] - sizes[1] < 2.2 * (sizes[1] - sizes[0])


def test_what_is_too_large_or_has_no_samples_keeps_its_rows():
    def many(x):
        return np.exp(-(x * x).sum()) * np.sin(x.sum()) * np.cumprod(x).sum()

    weights = RNG.normal(size=(40, 40))
    cases = [
        (tj.vmap(tj.hessian(many)), np.ones((50, 24))),
        (tj.vmap(tj.jacobian(lambda x: np.tanh(weights @ x))), np.ones((50, 40))),
        (tj.jacobian(arm), np.ones(4)),
        (tj.vmap(tj.jacobian(arm)), np.ones((2, 4))),
    ]
    for function, x in cases:
        simple, plan = plan_of(function, x)
        assert len(simple.tape) < 300 and plan.steps
        assert not columns.has_seeds(simple)


def test_a_program_with_more_rows_than_allowed_gives_the_same(monkeypatch):
    x = RNG.normal(size=(9, 5))
    expected = tj.vmap(tj.hessian(rosenbrock))(x)
    monkeypatch.setattr(columns, "MOST_ROWS", 20)
    limited = tj.vmap(tj.hessian(rosenbrock))
    limited(x)
    np.testing.assert_allclose(limited(x), expected, rtol=1e-12)


# ---------------------------------------------------------------- neighbours in memory


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32])
@pytest.mark.parametrize("width", [8, 9, 11, 18])
def test_neighbours_are_moved_as_rows(dtype, width):
    """Read and written in every number of columns and rows, also as parts of larger arrays."""

    @tj.jit
    def mixed(x):
        parts = [x[:, i] * x[:, (i + 1) % width] for i in range(width)]
        turned = tj.stack([p + x[:, 0] for p in parts[::-1]], 1)
        return turned, tj.stack([*parts[1:], parts[0]], 1)[:, ::-1], parts[2].sum()

    for n in (1, 7, 8, 9, 16, 21, 32, 40):
        wide = (RNG.normal(size=(n, width + 3)) * 5).astype(dtype)
        for x in (wide[:, :width].copy(), wide[:, 2 : 2 + width], wide[::-1, :width]):
            parts = [x[:, i] * x[:, (i + 1) % width] for i in range(width)]
            expected = np.stack([p + x[:, 0] for p in parts[::-1]], 1)
            for _ in range(2):
                turned, rolled, total = mixed(x)
                np.testing.assert_array_equal(np.asarray(turned), expected)
                back = np.stack([*parts[1:], parts[0]], 1)[:, ::-1]
                np.testing.assert_array_equal(np.asarray(rolled), back)
                np.testing.assert_allclose(np.asarray(total), parts[2].sum(), rtol=1e-4)


def test_columns_that_do_not_change_and_large_bodies():
    """Constants among neighbours are put down once; a body of many functions has them, too."""

    def f(x):
        for _ in range(40):
            x = np.sin(x) + x[::-1] * 0.5
        return np.stack([x[0], x[1] * 0 + 2.0, x[2], x[0] + x[1] + x[2], x[1]])

    x = RNG.normal(size=(4100, 3))
    jacobians = tj.vmap(tj.jacobian(f))
    expected = np.stack([tj.jacobian(f)(sample) for sample in x[:3]])
    for _ in range(2):
        found = jacobians(x)
        np.testing.assert_allclose(found[:3], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(tj.vmap(tj.jacobian(f))(x[4090:])[5:], found[4095:], rtol=1e-9)
