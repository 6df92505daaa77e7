"""vmap: axes and errors as JAX and torch.func have them, any nesting, every branch right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import AxisError, ShapeError, TraceError

RANDOM = np.random.default_rng(0)
W, XS = RANDOM.standard_normal((4, 3)), RANDOM.standard_normal((5, 3))


def loss(w, x):
    return np.sum(np.tanh(w @ x) ** 2)


def curve(x):
    return np.sin(x) * np.sum(x)


def close(got, wanted, rtol=1e-10):
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=1e-12)


# ---------------------------------------------------------------- axes


class Pair(NamedTuple):
    a: object
    b: object


def combined(x, d, k=1.0):
    return {"y": x @ d["m"] * k, "z": (x.sum(), d["v"])}


IN_AXES = [
    ((0, None), (2, 3), {"m": (3, 4), "v": (2,)}, 2, 0),
    ((0, {"m": 0, "v": None}), (2, 3), {"m": (2, 3, 4), "v": (2,)}, 2, 0),
    ((-1, {"m": None, "v": 1}), (3, 2), {"m": (3, 4), "v": (6, 2)}, 2, -1),
    ((None, {"m": 2, "v": 0}), (3,), {"m": (3, 4, 2), "v": (2,)}, 2, {"y": 1, "z": (0, 0)}),
    ((1, 0), (3, 2), {"m": (2, 3, 4), "v": (2, 2)}, 2, {"y": -1, "z": 0}),
]


@pytest.mark.parametrize("row", IN_AXES, ids=lambda row: str(row[0]))
def test_axes_are_those_of_jax(row):
    jax = pytest.importorskip("jax")
    in_axes, x_shape, d_shapes, size, out_axes = row
    x = RANDOM.standard_normal(x_shape)
    d = {name: RANDOM.standard_normal(shape) for name, shape in d_shapes.items()}
    ours = tj.vmap(combined, in_axes, out_axes)(x, d, k=np.arange(1.0, size + 1))
    with jax.enable_x64(True):
        theirs = jax.vmap(combined, in_axes, out_axes)(x, d, k=np.arange(1.0, size + 1))
    close(ours["y"], theirs["y"])
    for mine, other in zip(ours["z"], theirs["z"], strict=True):
        assert mine.shape == other.shape
        close(mine, other)


def test_results_that_no_sample_leads_to_are_repeated_or_kept():
    xs = np.arange(3.0)
    assert tj.vmap(lambda x: (1, True, 2.5, np.ones(2)))(xs)[3].shape == (3, 2)
    number, truth, real, _ = tj.vmap(lambda x: (1, True, 2.5, None))(xs)
    assert (number.tolist(), truth.tolist(), real.tolist()) == ([1] * 3, [True] * 3, [2.5] * 3)
    assert tj.vmap(lambda x, y: (x, 2 * y), (0, None), (0, None))(xs, 4.0)[1] == 8.0
    assert tj.vmap(lambda: np.ones(2), axis_size=3)().shape == (3, 2)
    pair = tj.vmap(lambda p: (p.a * p.b, p.b), (Pair(0, None),))(Pair(xs, 2.0))
    close(pair[0], 2 * xs)
    close(pair[1], [2.0] * 3)


@pytest.mark.parametrize("size", [0, 1])
def test_no_sample_and_one(size):
    x = np.ones((size, 3), np.float32)
    gradient = tj.vmap(tj.grad(lambda x: np.sum(x**3)))(x)
    assert (gradient.shape, gradient.dtype) == ((size, 3), np.float32)
    assert tj.vmap(lambda x: (x > 0, np.argmax(x)))(x)[0].dtype == bool
    assert tj.vmap(lambda x: np.linalg.inv(np.eye(3) + x))(x).shape == (size, 3, 3)


ERRORS = [
    (lambda: tj.vmap(lambda x, y: x)(np.ones(3), np.ones(4)), ShapeError, "3 and 4"),
    (lambda: tj.vmap(lambda x: x, None)(np.ones(3)), ShapeError, "no argument has an axis"),
    (lambda: tj.vmap(lambda x: x, axis_size=4)(np.ones(3)), ShapeError, "different numbers"),
    (lambda: tj.vmap(lambda x: x)(1.0), AxisError, "which has no axes"),
    (lambda: tj.vmap(lambda x, n: x)(np.ones(3), 2), AxisError, "number 2"),
    (lambda: tj.vmap(lambda x: x, 1)(np.ones(3)), AxisError, r"in_axes 1 is out of range"),
    (lambda: tj.vmap(lambda x: x, -2)(np.ones(3)), AxisError, r"in_axes -2 is out of range"),
    (lambda: tj.vmap(lambda x: x, 0, 2)(np.ones(3)), AxisError, "out_axes 2 is out of range"),
    (lambda: tj.vmap(lambda x: x, 0, None)(np.ones(3)), AxisError, "out_axes is None"),
    (lambda: tj.vmap(lambda x: x, (0, 0))(np.ones(3)), TraceError, "in_axes has 2 entries"),
    (lambda: tj.vmap(lambda x: x, ((0, 0),))(np.ones(3)), TraceError, "not nested as the arg"),
    (lambda: tj.vmap(lambda x: x, 0, (0, 0))(np.ones(3)), TraceError, "not nested as the res"),
    (lambda: tj.vmap(lambda x: x, "0")(np.ones(3)), TraceError, "in_axes is an int, None"),
    (lambda: tj.vmap(lambda x: x[x > 0])(np.array([[1.0, 1.0], [1.0, -1.0]])), ShapeError,
     "results of different shapes"),
    (lambda: tj.vmap(lambda x: x if x > 0 else [x])(np.eye(2)[0]), TraceError, "nested diff"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), ERRORS, ids=[row[2] for row in ERRORS])
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_argument_is_not_written_to():
    def double(x):
        x *= 2
        return x

    xs = np.ones((3, 2))
    with pytest.raises(RuntimeError):
        tj.vmap(double)(xs)
    assert (xs == 1).all()


def test_results_are_the_callers_own():
    xs = tj.ones(3, 2)
    ys = tj.vmap(lambda x: x)(xs)
    ys += 1
    assert (xs == 1).all()
    with tj.no_grad():
        leaf = tj.ones(3, requires_grad=True)
        kept, repeated = tj.vmap(lambda x: (x.reshape(1), 2.0))(leaf)
        kept += 1
        repeated += 1
        assert (leaf == 1).all()


# ---------------------------------------------------------------- nesting


def per_sample(w):
    return tj.vmap(lambda x: loss(w, x))(XS)


def total(w):
    return tj.vmap(loss, (None, 0))(w, XS).sum()


def by_loop(w):
    return sum(loss(w, x) for x in XS)


def test_per_sample_gradients():
    gradients = tj.vmap(tj.grad(loss), (None, 0))
    wanted = [tj.grad(loss)(W, x) for x in XS]
    for _ in range(3):
        close(gradients(W, XS), wanted)
    close(tj.jit(gradients)(W, XS), wanted)
    close(
        tj.vmap(tj.value_and_grad(loss, 1), (None, 0))(W, XS)[1],
        [tj.grad(loss, 1)(W, x) for x in XS],
    )


def test_derivatives_of_a_batch():
    close(tj.grad(total)(W), tj.grad(by_loop)(W))
    close(tj.grad(lambda w: per_sample(w).sum())(W), tj.grad(by_loop)(W))
    close(tj.hessian(total)(W), tj.hessian(by_loop)(W))
    close(tj.jacobian(per_sample)(W), [tj.grad(loss)(W, x) for x in XS])
    v = RANDOM.standard_normal(W.shape)
    close(tj.hvp(total, (W,), (v,)), tj.hvp(by_loop, (W,), (v,)))
    close(tj.jvp(total, (W,), (v,))[1], tj.jvp(by_loop, (W,), (v,))[1])
    close(tj.vjp(per_sample, W)[1](np.ones(5))[0], tj.grad(by_loop)(W))


def test_batches_of_derivatives():
    cube = lambda x: np.sum(x**3)  # noqa: E731
    close(tj.vmap(tj.jacobian(curve))(XS), [tj.jacobian(curve)(x) for x in XS])
    close(tj.vmap(tj.hessian(cube))(XS), [np.diag(6 * x) for x in XS])
    close(tj.vmap(lambda x, v: tj.hvp(cube, (x,), (v,)))(XS, XS), 6 * XS * XS)
    close(tj.vmap(lambda x, v: tj.jvp(cube, (x,), (v,))[1])(XS, XS), np.sum(3 * XS**3, 1))
    close(tj.vmap(tj.grad(tj.grad(np.sin)))(XS[0]), -np.sin(XS[0]))


def test_batches_of_seeds():
    x, jacobian = XS[0], tj.jacobian(curve)(XS[0])
    _, pullback = tj.vjp(curve, x)
    (rows,) = tj.vmap(pullback)(np.eye(3))
    assert type(rows) is np.ndarray
    close(rows, jacobian)
    close(tj.vmap(lambda t: tj.jvp(curve, (x,), (t,))[1], 1, 1)(np.eye(3)), jacobian)
    through = tj.vmap(lambda x, s: tj.vjp(curve, x)[1](s)[0], (None, 0))
    close(through(x, np.eye(3)), jacobian)


def test_a_batch_in_a_batch():
    outer = tj.vmap(tj.vmap(lambda x, y: x * y + 1, (None, 0)), (0, None))
    close(outer(np.arange(3.0), np.arange(4.0)), np.outer(np.arange(3.0), np.arange(4.0)) + 1)
    grid = tj.vmap(lambda w: tj.vmap(tj.grad(loss), (None, 0))(w, XS))
    both = np.stack([W, 2 * W])
    close(grid(both), [[tj.grad(loss)(w, x) for x in XS] for w in both])
    mixed = tj.grad(lambda v: tj.vmap(lambda x: tj.grad(lambda z: z**3 * v)(x))(XS[0]).sum())
    close(mixed(2.0), np.sum(3 * XS[0] ** 2))


def test_tensors_with_a_history():
    torch_like = tj.tensor(W, requires_grad=True)
    values = tj.vmap(lambda x: (torch_like @ x).tanh().pow(2).sum())(tj.tensor(XS))
    values.sum().backward()
    close(torch_like.grad, tj.grad(by_loop)(W))
    x = tj.tensor([1.0, 2.0], requires_grad=True)
    tj.vmap(lambda x: x.sin())(x).sum().backward()
    close(x.grad, np.cos([1.0, 2.0]), rtol=1e-6)


@pytest.mark.parametrize("transform", [tj.jit, tj.grad, tj.vmap], ids=lambda t: t.__name__)
def test_what_a_function_reads_is_differentiated(transform):
    """An inner call with data alone, of a function that reads an outer argument."""

    def f(p):
        return transform(lambda x: p * p * x)(np.arange(3.0) if transform is tj.vmap else 2.0)

    wanted = {tj.jit: 2 * 2 * 3.0, tj.grad: 2 * 3.0, tj.vmap: 2 * 3.0 * 3}
    assert tj.grad(lambda p: np.sum(f(p)))(3.0) == wanted[transform]


def test_a_pullback_keeps_what_it_reads():
    x, seed = XS[0].copy(), np.ones(3)
    value, pullback = tj.vjp(lambda x: x**2, x)
    same = tj.vjp(lambda x: x, seed)[1](seed)[0]
    x[:] = seed[:] = 0
    close(same, [1.0] * 3)
    for i in range(6):  # by rows, then compiled
        close(pullback(np.full(3, i))[0], 2 * i * XS[0])
    close(value, XS[0] ** 2)
    assert tj.grad(lambda p: tj.vjp(lambda x: p * x * x, 2.0)[1](1.0)[0])(3.0) == 4.0
    (doubled,) = tj.vjp(lambda x: {"a": x, "n": 3}, 1.0)[1]({"a": 2.0, "n": 3})
    assert doubled == 2.0


def test_memory_outside_is_not_written_to():
    total_ = tj.zeros(3, dtype=tj.float64)

    def add(x):
        total_.add_(x)
        return x

    with pytest.raises(TraceError, match="what it reads from"):
        tj.vmap(add)(tj.tensor(XS))


def test_functions_of_numpy_are_read_through_wrappers():
    """No wrapper makes np.sort a method that writes to what was captured."""
    order = tj.vmap(lambda x: np.sort(x))
    close(order(XS), np.sort(XS))
    order(XS)
    assert tj.explain(order).recorded == 1
    nested = tj.jit(tj.grad(lambda x: np.sum(np.sort(x))))
    nested(XS[0])
    nested(XS[1])
    assert tj.explain(nested).recorded == 1


# ---------------------------------------------------------------- branches


def collatz(x):
    n = 0
    while x < 100:
        x, n = 2 * x, n + 1
    return x, n


def test_samples_may_take_different_branches():
    xs = np.array([1.0, 3.0, 50.0, 200.0, 3.0])
    compiled = tj.vmap(collatz)
    for _ in range(3):
        values, counts = compiled(xs)
        close(values, [collatz(x)[0] for x in xs])
        assert counts.tolist() == [7, 6, 1, 0, 6]
    close(compiled(xs[::-1].copy())[0], values[::-1])


def test_slopes_of_the_branch_taken_alone():
    root = lambda x: np.sqrt(x) if x > 0 else 0 * x  # noqa: E731
    close(tj.vmap(tj.grad(root))(np.array([1.0, 0.0, 4.0])), [0.5, 0.0, 0.25])
    close(tj.grad(lambda v: tj.vmap(root)(v).sum())(np.array([1.0, 0.0, 4.0])), [0.5, 0, 0.25])


def test_what_one_sample_cannot_compute():
    def factor(a):
        first = np.linalg.cholesky(a) if a[0, 0] > 0 else a
        return first * 2 if first[0, 0] > 1.5 else first

    a = np.stack([np.eye(2), -np.eye(2), 4 * np.eye(2)])
    close(tj.vmap(factor)(a), [np.eye(2), -np.eye(2), 4 * np.eye(2)])


def test_numbers_read_of_each_sample():
    close(tj.vmap(lambda x: x * float(x))(np.arange(4.0)), np.arange(4.0) ** 2)
    with pytest.raises(ZeroDivisionError):
        tj.vmap(lambda x, y: x // y)(tj.tensor([4, 6]), tj.tensor([2, 0]))


# ---------------------------------------------------------------- random numbers


def test_each_sample_draws_its_own():
    noisy = tj.vmap(lambda x: x + tj.rand(2))
    first, second = noisy(tj.zeros(6, 2)), noisy(tj.zeros(6, 2))
    assert len({*first.flatten().tolist(), *second.flatten().tolist()}) == 24


def test_branches_by_chance():
    tj.manual_seed(0)
    signs = tj.vmap(lambda x: x if tj.rand(()) > 0.5 else -x)(tj.ones(200))
    assert 70 < int((signs > 0).sum()) < 130


# ---------------------------------------------------------------- one program


def test_a_batch_is_one_program():
    gradients = tj.vmap(tj.grad(loss), (None, 0))
    gradients(W, XS)
    (path,) = tj.explain(gradients).paths
    assert path.how == "compiled"
    assert path.rows < 40
    assert tj.explain(gradients).recorded == 1
    gradients(W, XS + 1)
    assert tj.explain(gradients).recorded == 1
