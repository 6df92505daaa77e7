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
