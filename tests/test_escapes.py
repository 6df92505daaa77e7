"""No derivative is lost without a word where NumPy or `math` asks a tensor for its number."""

from __future__ import annotations

import math
from math import exp

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import AutogradError


def assigns(x):
    y = np.zeros(3)
    y[0] = x
    return y.sum()


def adds(x):
    y = np.zeros((3, 3))
    y[0, 1] += x
    return y.sum()


def assigns_a_slice(x):
    y = np.zeros(3)
    y[0:2] = x
    return y.sum()


def fills(x):
    y = np.zeros(3)
    y.fill(x)
    return y.sum()


ESCAPES = {
    "y[0] = x": assigns,
    "y[0, 1] += x": adds,
    "y[0:2] = x": assigns_a_slice,
    "y.fill(x)": fills,
    "math.sin(x)": lambda x: math.sin(x) * x,
    "exp(x)": lambda x: exp(x),
    "math.hypot(1.0, x)": lambda x: math.hypot(1.0, x),
    "math.fsum": lambda x: math.fsum([x, x]),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_a_number_asked_by_accident_is_an_error(name):
    for function in (
        tj.grad(ESCAPES[name]),
        lambda x: ESCAPES[name](tj.tensor(x).requires_grad_()),
    ):
        with pytest.raises((AutogradError, ValueError)) as error:
            function(1.5)
        cause = error.value.__cause__ or error.value  # NumPy puts a ValueError around ours
        assert isinstance(cause, AutogradError)


def test_the_error_says_where_and_what_to_try():
    with pytest.raises(AutogradError) as error:
        tj.grad(lambda x: math.sin(x) * x)(1.5)
    text = str(error.value)
    assert "math.sin" in text and "test_escapes.py:" in text and "try  np.sin" in text


def test_a_number_asked_for_is_given():
    def meant(x):
        found = {"at": float(x)}
        if math.isnan(x) or math.floor(x) > 5:
            return x
        return x * found["at"] * math.sin(float(x.detach()))

    assert tj.grad(meant)(1.5) == 1.5 * math.sin(1.5)
    y = np.zeros(2)
    y[0] = tj.tensor(2.0)  # nothing recorded
    assert y[0] == 2.0


# ---------------------------------------------------------------- what to do instead


def fresh_zeros(x):
    y = tj.zeros(3)
    for i in range(3):
        y[i] = x[i] ** 2 + (y[i - 1] if i else 0.0)
    return (y * y).sum()


def zeros_like(x):
    y = np.zeros_like(x)
    y[1:] = x[1:] ** 2
    y[0] += x[0]
    y[::2] *= x[::2]
    return (y * y).sum()


def added_to_zeros(x):
    y = tj.zeros(3)
    y += x
    y += x
    return (y * y).sum()


def captured_then_changed(x):
    y = tj.ones(3)
    z = x * y
    y[0] = 5.0
    z = z * y
    y.mul_(2.0)
    return (z * y).sum()


def indexed(x):
    y = np.zeros_like(x)
    y[np.array([2, 0])] = x[:2]
    y[y > 1.0] *= x[0]
    return (y * x).sum()


def overlapping(x):
    y = tj.arange(3.0)
    y[1:] = y[:-1] * x[:-1] + y[1:]
    return (y * y).sum()


def filled(x):
    return (np.full_like(x, x[1]) * x + np.ones_like(x)).sum()


CHANGES = [
    fresh_zeros, zeros_like, added_to_zeros, captured_then_changed, indexed, overlapping, filled,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:tapejit")  # recorded at every call: right, but slow
@pytest.mark.parametrize("function", CHANGES, ids=lambda f: f.__name__)
def test_arrays_filled_in_place_are_differentiated(function):
    compiled = tj.value_and_grad(function)
    for x in ([0.5, 1.5, 2.5], [1.5, 0.5, -1.0], [3.0, 2.0, 1.0]):
        x = np.array(x)
        value, gradient = compiled(x)
        h = 1e-6 * np.eye(3)
        plain = [float(tj.jit(function)(x + d) - tj.jit(function)(x - d)) / 2e-6 for d in h]
        with tj.no_grad():
            assert value == pytest.approx(function(tj.tensor(x)).item())
        np.testing.assert_allclose(gradient, plain, rtol=1e-5, atol=1e-6)
        leaf = tj.tensor(x, requires_grad=True)
        function(leaf).backward()
        np.testing.assert_allclose(leaf.grad.numpy(), gradient, rtol=1e-6, atol=1e-9)
