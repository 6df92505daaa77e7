"""`tj.elementwise`: functions of numbers as operations, lowered from source or run by Numba."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

import tapejit as tj
from tapejit.transforms.scalar.lowering import lower

X = np.array([-2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 2.5])
COEFFICIENTS = (1.0, -2.0, 0.5)
SCALE = 1.5


@numba.njit
def square(x):
    return x * x


def huber(x):
    if abs(x) <= 1.0:
        return 0.5 * x * x
    return abs(x) - 0.5


def ladder(x):
    y = 0.0
    if x < -1.0:
        y = -x
        y += 1.0
    elif -1.0 <= x < 0.5 and not (x == 0.0 or x > 9):
        y = math.exp(x)
    else:
        y = SCALE * x
    return y


def horner(x):
    y = 0.0
    for i, c in enumerate(COEFFICIENTS):
        y = y * x + c + i
    return square(y) / 2


def safe(x):
    return math.sqrt(x) * math.log(x) if x > 0 else 0.0


def mixed(x):
    a, b = np.maximum(x, -0.5), min(x, 1.0, 2 * x)
    return max(a, b) + (x > 0) * 3 + x**2 + pow(x, 3) % 2 + float(int(x)) + (x or 0.25)


def two(x):
    if x > 0:
        if x > 1:
            return math.tanh(x)
        z = x
    else:
        z = -x
    return -z if z > 0.7 else z // 0.2


@pytest.mark.parametrize("function", [huber, ladder, horner, safe, mixed, two, square])
def test_values_are_pythons(function):
    python = getattr(function, "py_func", function)
    lower(python, 1)  # not left to Numba
    own = tj.elementwise(function)
    expected = np.array([python(x) for x in X.tolist()])
    np.testing.assert_allclose(own(X), expected, rtol=1e-14)
    np.testing.assert_allclose(tj.jit(own)(X), expected, rtol=1e-14)
    assert own(X[0].item()) == pytest.approx(expected[0], rel=1e-14)
    assert own(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("function", [huber, ladder, horner, square])
def test_derivatives_are_those_of_the_function(function):
    own, python = tj.elementwise(function), getattr(function, "py_func", function)
    points = np.array([-2.2, -0.6, 0.3, 0.8, 1.7])
    slopes = tj.grad(lambda x: np.sum(own(x)))(points)
    eps = 1e-6
    expected = [(python(x + eps) - python(x - eps)) / (2 * eps) for x in points.tolist()]
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-8)
    tj.check_grads(own, (points,), order=2)


def test_the_other_branch_does_not_leak():
    own = tj.elementwise(safe)

    def total(x):
        return np.sum(own(x))

    x = np.array([-1.0, 0.0, 4.0])
    for derivative in (tj.grad(total)(x), tj.hessian(total)(x), tj.jvp(own, (x,), (x,))[1]):
        assert np.all(np.isfinite(derivative))
    assert tj.grad(own)(4.0) == pytest.approx((math.log(4.0) / 2 + 1) / 2)


def test_it_fuses():
    own = tj.elementwise(lambda x, y: math.exp(-x * x) if x > y else y * x)
    gradient = tj.grad(lambda x, y: np.sum(np.sin(own(x, y))))
    gradient(X, 0.3)
    assert "1 kernel, 0 library calls" in str(tj.explain(gradient))
    gradient(X + 1, 0.3)
    assert "recorded 1 time" in str(tj.explain(gradient))
    assert tj.value_and_grad(lambda x: np.sum(own(x, 0.1))).numba(X)(X)[1].shape == X.shape


def test_arguments():
    @tj.elementwise
    def scaled(x, y, power=2):
        """Its text."""
        return x * y**power

    assert scaled.__doc__ == "Its text." and "scaled" in repr(scaled)
    column = X[:, None]
    np.testing.assert_allclose(scaled(column, X), column * X**2)
    np.testing.assert_allclose(scaled(y=X, x=2, power=3), 2 * X**3)
    assert type(scaled(2, 3)) is float and scaled(2, 3) == 18.0
    assert scaled(np.arange(3), 2).dtype == np.float64
    assert scaled(tj.tensor([1, 2]), 2).dtype is tj.float32
    assert scaled(np.float32(2.0), np.ones(3)).dtype == np.float64
    with pytest.raises(TypeError):
        scaled(1.0)
    with pytest.raises(tj.errors.DtypeError, match="real tensor"):
        scaled(1j, 2.0)
    with pytest.raises(tj.errors.ShapeError):
        scaled(np.ones(3), np.ones(4))
    t = tj.tensor([1.0, 2.0], requires_grad=True)
    scaled(t, t).sum().backward()
    np.testing.assert_allclose(t.grad, 3 * np.array([1.0, 4.0]))
    constant = tj.elementwise(lambda x, y: 2.0)
    assert constant(column, X).shape == (7, 7) and not tj.grad(constant)(1.0, 2.0)


def test_numbers_from_outside_are_frozen(monkeypatch):
    own = tj.elementwise(ladder)
    gradient = tj.grad(own)
    before = own(2.0), gradient(2.0)
    monkeypatch.setitem(globals(), "SCALE", 7.0)
    assert (own(2.0), gradient(2.0)) == before == (3.0, 1.5)
    assert tj.elementwise(ladder)(2.0) == 14.0


def test_small_constants_are_not_rounded_to_float32():
    own = tj.elementwise(lambda x: 0.1 if x > 0 else 0.7)
    assert own(tj.tensor([1.0, -1.0], dtype=tj.float64)).tolist() == [0.1, 0.7]


def test_another_function_at_the_same_global_is_noticed():
    space = {"f": tj.elementwise(lambda x: 2 * x)}
    gradient = tj.grad(lambda x: space["f"](x))
    assert gradient(1.0) == 2.0
    space["f"] = tj.elementwise(lambda x: 5 * x)
    assert gradient(1.0) == 5.0


# ---------------------------------------------------------------- partials


def test_stated_partials_are_the_derivative():
    wrong = tj.elementwise(lambda x: math.exp(x), partials=lambda x: 2 * math.exp(x))
    assert tj.grad(wrong)(0.0) == 2.0
    assert tj.jvp(wrong, (0.0,), (1.0,))[1] == 2.0
    assert tj.grad(tj.grad(wrong))(0.0) == 2.0
    with pytest.raises(AssertionError):
        tj.check_grads(wrong, (X,))
    outer = tj.elementwise(lambda x: wrong(x) + x)  # a call keeps the rule
    assert tj.grad(outer)(0.0) == 3.0
    t = tj.tensor([0.0], requires_grad=True)
    wrong(t).backward()
    assert t.grad.tolist() == [2.0]


@pytest.mark.parametrize(
    "partials",
    [lambda x, y: (y * y, 2 * x * y), (lambda x, y: y * y, lambda x, y: 2 * x * y)],
    ids=["a tuple", "one each"],
)
def test_partials_of_two_arguments(partials):
    own = tj.elementwise(lambda x, y: x * y * y, partials)
    column = X[:, None] + 4.0
    assert tj.grad(own, (0, 1))(2.0, 3.0) == (9.0, 12.0)
    tj.check_grads(own, (column, X + 5), order=2)
    np.testing.assert_allclose(tj.vmap(tj.grad(own))(X, X), X * X)
    only = tj.jacobian(lambda x: own(x, 2.0), sparse=True)(X)
    np.testing.assert_allclose(only.toarray(), 4 * np.eye(7))


def test_a_wrong_number_of_partials():
    own = tj.elementwise(lambda x, y: x * y, partials=lambda x, y: y)
    with pytest.raises(TypeError, match=r"2 arguments(.|\n)*1 slopes"):
        tj.grad(own)(1.0, 2.0)
    with pytest.raises(TypeError, match="returns a tuple"):
        tj.elementwise(lambda x: (x, x))


# ---------------------------------------------------------------- linked


def lambert(x):
    if x < -0.3678:
        raise ValueError("lambert: below -1/e")
    w, step = math.log1p(x), 1.0
    while abs(step) > 1e-13:
        step = (w - x * math.exp(-w)) / (1 + w)
        w -= step
    return w


W = tj.elementwise(lambert, partials=lambda x: W(x) / (x * (1 + W(x))))
BARE = tj.elementwise(numba.njit(lambert))


def test_a_loop_is_numbas():
    x = np.array([[0.5, 1.0, 3.0]])
    expected = [[lambert(v) for v in x[0]]]
    np.testing.assert_allclose(W(x), expected, rtol=1e-15)
    np.testing.assert_allclose(tj.jit(lambda x: 2 * W(x))(x), 2 * np.array(expected), rtol=1e-15)
    assert W(x.astype(np.float32)).dtype == np.float32
    assert W(1) == lambert(1.0)
    tj.check_grads(W, (x,), order=2)
    np.testing.assert_allclose(tj.vmap(tj.grad(W))(x[0]), tj.grad(lambda x: np.sum(W(x)))(x)[0])
    with pytest.raises(ValueError, match="below"):
        W(np.array([1.0, -5.0]))


def test_what_a_linked_function_cannot():
    assert BARE(1.0) == W(1.0)
    with pytest.raises(tj.errors.NotDifferentiable, match=r"lambert is compiled(.|\n)*partials="):
        tj.grad(BARE)(1.0)
    with pytest.raises(tj.errors.KernelError, match="lambert"):
        tj.jit(BARE).numba(X + 3)


def test_what_is_neither_read_nor_compiled():
    def odd(x):
        y = x
        y.append(3)
        return y

    with pytest.raises(
        tj.errors.TraceError, match=r"neither(.|\n)*append(.|\n)*own_elementwise.py:"
    ):
        tj.elementwise(odd)
    with pytest.raises(TypeError, match="neither"):
        tj.elementwise(np.sin)
    with pytest.raises(TypeError, match="by position"):
        tj.elementwise(lambda *x: x[0])


def sometimes(x):
    if x > 0:
        return x


def test_a_number_comes_back_on_every_way():
    with pytest.raises(TypeError, match="on every way"):
        tj.elementwise(sometimes)
