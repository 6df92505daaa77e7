"""Elementwise functions beside PyTorch's of the same name: value, dtype, slope, second slope.

One row is a name (with its namespace), operands, and options.  Edges have a table of their own
(tests/test_edges.py), accuracy too (docs/accuracy.md).
"""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tapejit as tj

torch = pytest.importorskip("torch")

X = [-2.5, -0.75, 0.3, 1.6]
P = [0.1, 0.4, 0.5, 0.95]
Y = [0.4, 1.0, 2.0, 3.5]
ROWS = [
    ("frac", [X], {}),
    ("positive", [X], {}),
    ("deg2rad", [X], {}),
    ("rad2deg", [X], {}),
    ("nan_to_num", [[np.nan, np.inf, -np.inf, 2.0]], {}),
    ("nan_to_num", [[np.nan, np.inf, -np.inf, 2.0]], {"nan": 3.0, "posinf": 4.0, "neginf": 5.0}),
    ("logit", [P], {}),
    ("logit", [[-1.0, 0.1, 0.95, 2.0]], {"eps": 0.2}),
    ("logit", [[-1.0, 0.1, 0.95, 2.0]], {"eps": 0.0}),
    ("sinc", [X], {}),
    ("special.expit", [X], {}),
    ("special.entr", [Y], {}),
    ("xlogy", [X, Y], {}),
    ("special.xlog1py", [X, Y], {}),
    ("logaddexp", [X, Y], {}),
    ("logaddexp2", [X, Y], {}),
    ("copysign", [X, Y[::-1]], {}),
    ("fmax", [[1.0, np.nan, 2.0, 3.0], [2.0, 1.0, np.nan, 1.0]], {}),
    ("fmin", [[1.0, np.nan, 2.0, 3.0], [2.0, 1.0, np.nan, 1.0]], {}),
    ("ldexp", [X, [1.0, -2.0, 0.0, 3.0]], {}),
    ("float_power", [Y, X], {}),
    ("lerp", [X, Y, P], {}),
    ("addcmul", [X, Y, P], {"value": 0.5}),
    ("addcdiv", [X, Y, P], {"value": 0.5}),
    ("clamp", [X, [-1.0, -1.0, 0.5, 0.5], [0.0, 1.0, 1.0, 1.0]], {}),
    ("clamp", [X, [-1.0, -1.0, 0.5, 0.5]], {}),
    ("clamp", [X], {"max": [-1.0, -1.0, 0.5, 0.5]}),
]


def function(module, name):
    return operator.attrgetter(name)(module)


def options(module, stated, dtype):
    return {
        key: module.tensor(value, dtype=getattr(module, dtype))
        if isinstance(value, list)
        else value
        for key, value in stated.items()
    }


def derivatives(module, name, operands, stated, dtype):
    """Value, gradients, and gradients of a random sum of the gradients."""
    kind = getattr(module, dtype)
    tensors = [module.tensor(x, dtype=kind, requires_grad=True) for x in operands]
    value = function(module, name)(*tensors, **options(module, stated, dtype))
    weights = np.random.default_rng(0).normal(size=(2, 4))
    gy, gg = (module.tensor(w.tolist(), dtype=value.dtype) for w in weights)
    grad = module.autograd.grad
    first = grad(value, tensors, gy, create_graph=True, allow_unused=True)
    total = sum((g * gg).sum() for g in first if g is not None and g.requires_grad)
    second = [None] * len(tensors)
    if isinstance(total, module.Tensor) and total.requires_grad:
        second = grad(total, tensors, allow_unused=True)
    return value, first, second


def numbers(x):
    return np.zeros(4) if x is None else x.detach().numpy()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "operands", "stated"), ROWS, ids=[row[0] for row in ROWS])
def test_torch_agrees(name, operands, stated, dtype):
    ours = derivatives(tj, name, operands, stated, dtype)
    theirs = derivatives(torch, name, operands, stated, dtype)
    assert str(ours[0].dtype) == str(theirs[0].dtype)
    rtol = 1e-10 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(numbers(ours[0]), numbers(theirs[0]), rtol=rtol, atol=rtol / 10)
    for got, want in zip((*ours[1], *ours[2]), (*theirs[1], *theirs[2]), strict=True):
        np.testing.assert_allclose(numbers(got), numbers(want), rtol=rtol, atol=rtol)


INTEGERS = [
    "deg2rad", "rad2deg", "nan_to_num", "logit", "sinc", "signbit", "isposinf", "isneginf",
    "positive", "copysign", "heaviside", "fmax", "fmin", "ldexp", "float_power", "xlogy",
    "special.xlog1py", "special.entr", "special.expit",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_have_the_dtype_of_torch(name, dtype):
    x = np.array([0, 1, 1]).astype(dtype)
    takes_two = name in ("copysign", "heaviside", "fmax", "fmin", "ldexp", "float_power", "xlogy")
    count = 2 if takes_two or name == "special.xlog1py" else 1
    try:
        want = function(torch, name)(*[torch.tensor(x)] * count)
    except (RuntimeError, NotImplementedError):
        want = None
    if want is None:  # PyTorch refuses: so may we, else the dtype follows the same rules
        return
    got = function(tj, name)(*[tj.tensor(x)] * count)
    assert str(got.dtype) == str(want.dtype)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


def test_functions_of_numpy_that_only_numpy_has_or_that_give_two():
    x = np.array([-2.5, -0.0, 0.75, 10.0])
    t = tj.tensor(x)
    for f in (np.sinc, np.deg2rad, np.degrees, np.radians, np.signbit, np.positive):
        np.testing.assert_allclose(f(t).numpy(), f(x), rtol=1e-15, atol=1e-16)
    for f in (np.modf, np.frexp, lambda v: np.divmod(v, 0.75)):
        for got, want in zip(f(t), f(x), strict=True):
            np.testing.assert_array_equal(got.numpy(), want)
    y = np.array([1.0, np.nan, 0.75, -3.0])
    for f in (np.fmax, np.fmin, np.copysign, np.nextafter):
        np.testing.assert_array_equal(f(t, y).numpy(), f(x, y))
    np.testing.assert_array_equal(
        np.ldexp(t, np.array([1, 2, 3, 4])).numpy(), np.ldexp(x, [1, 2, 3, 4])
    )
    np.testing.assert_array_equal(np.heaviside(t, 0.5).numpy(), np.heaviside(x, 0.5))
    np.testing.assert_allclose(np.float_power(tj.tensor([2, 3]), 0.5).numpy(), [2**0.5, 3**0.5])
    np.testing.assert_array_equal(
        np.nan_to_num(tj.tensor(y), nan=7.0).numpy(), np.nan_to_num(y, nan=7.0)
    )
    with pytest.raises(TypeError, match="spacing"):
        np.spacing(t)


def test_logit_next_to_a_half_keeps_its_digits():
    x = 0.5 + np.array([1e-15, 1e-10, -1e-5])
    np.testing.assert_allclose(tj.logit(x), 4 * (x - 0.5) + 16 / 3 * (x - 0.5) ** 3, rtol=1e-15)


def test_ldexp_leaves_the_range_only_with_its_result():
    assert (
        tj.ldexp(tj.tensor(1e-300, dtype=tj.float64), 1900).item() == 1e-300 * 2.0**950 * 2.0**950
    )
    x = tj.tensor([1e-310, -3.0, 0.0, 1e308], dtype=tj.float64)
    mantissa, exponent = tj.frexp(x)
    assert tj.ldexp(mantissa, exponent).numpy().tolist() == x.numpy().tolist()
