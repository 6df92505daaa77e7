"""A function of arrays gives the same traced as in plain NumPy: options, orders, methods."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import AutogradError, TraceError

SAME = {
    "ravel F": lambda x: np.ravel(x, order="F"),
    "method ravel F": lambda x: x.ravel(order="F"),
    "reshape F": lambda x: np.reshape(x, (2, 3), order="F"),
    "reshape F, -1": lambda x: np.reshape(x, (-1, 3), order="F"),
    "std": lambda x: x.std(),
    "var of an axis": lambda x: x.var(axis=0),
    "var, ddof": lambda x: x.var(0, ddof=1),
    "np.std": lambda x: np.std(x, axis=1),
    "max of an axis": lambda x: x.max(0) + x.min(axis=0),
    "repeat": lambda x: x.repeat(2),
    "repeat along": lambda x: np.repeat(x, 3, axis=1),
    "round": lambda x: x.round(1) * x,
    "method dot": lambda x: x.dot(x.T),
    "method trace": lambda x: x.trace(offset=1),
    "method flatten F": lambda x: x.flatten("F"),
    "method reshape F": lambda x: x.reshape(2, 3, order="F") * x.reshape((2, 3)),
    "method sum, where": lambda x: x.sum(0, where=np.array([True, False]), initial=2.0),
    "method sum, dtype": lambda x: x.sum(0, np.float64),
    "argsort": lambda x: np.argsort(x, axis=None) * 1.0,
    "method argsort": lambda x: x.argsort(0) * 1.0,
    "nonzero": lambda x: x[x.nonzero()],
    "inner": lambda x: np.inner(x, x),
    "inner of a vector": lambda x: np.inner(x, x[0]),
    "Frobenius": lambda x: np.linalg.norm(x),
    "norms of rows": lambda x: np.linalg.norm(x, 1, axis=1),
    "add.reduce": lambda x: np.add.reduce(x, 1, keepdims=True),
    "a list as an operand": lambda x: (x - [1, 2]) * ([3.0, 4.0] - x) < [[1, 2]],
    "a list with recorded numbers": lambda x: x * [x[0, 0], 2.0] - ([1.0] / x),
    "dtype of a ufunc": lambda x: np.add(x, x, dtype=np.float64),
}
X = np.array([[0.51, 1.52], [-0.73, 2.24], [1.17, -1.66]])


pytestmark = pytest.mark.filterwarnings("ignore:tapejit")  # sort() is recorded at every call


def sorted_in_place(x):
    y = x.copy()
    y.sort(0)
    return y * np.arange(6.0).reshape(3, 2)


def written_flat_copy(x):
    y = x.flatten()
    y[0] = 9.0
    return y * x.ravel()


SAME["sort in place"] = sorted_in_place
SAME["flatten is a copy"] = written_flat_copy


@pytest.mark.parametrize("name", SAME)
def test_traced_and_plain_agree(name):
    function = SAME[name]
    plain = function(X)
    traced = tj.jit(function)(X)
    assert np.shape(traced) == np.shape(plain)
    np.testing.assert_allclose(traced, plain, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in SAME if "argsort" not in n])
def test_slopes_agree_also_where_a_trace_is_in_a_trace(name):
    weights = np.cos(np.arange(np.size(SAME[name](X)))).reshape(np.shape(SAME[name](X)))

    def loss(x):
        return np.sum(SAME[name](x) * weights)

    direction = np.sin(np.arange(6.0)).reshape(3, 2)
    slope = (loss(X + 1e-6 * direction) - loss(X - 1e-6 * direction)) / 2e-6
    assert np.sum(tj.grad(loss)(X) * direction) == pytest.approx(slope, rel=1e-6)
    nested = tj.grad(lambda x: tj.value_and_grad(loss)(x)[0])(X)
    np.testing.assert_allclose(nested, tj.grad(loss)(X))


REFUSED = {
    "concatenate, out": (lambda x: np.concatenate([x, x], out=np.zeros((6, 2))), TraceError),
    "searchsorted, sorter": (lambda x: np.searchsorted(x[0], 1.0, sorter=[1, 0]), TraceError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused(name):
    function, error = REFUSED[name]
    function(X) if "take" not in name else None
    with pytest.raises(error):
        tj.jit(function)(X)


def test_an_array_of_recorded_numbers_is_refused_with_the_way_to_make_one():
    with pytest.raises(AutogradError, match=r"np\.stack"):
        tj.grad(lambda x: np.sum(np.array([x[0], x[1] * 2])))(np.ones(2))


def test_tensors_keep_the_meaning_of_torch():
    x = tj.tensor([1.0, 2.0, 4.0, 7.0])
    assert tj.jit(lambda x: x.std())(x).item() == pytest.approx(np.std(x.numpy(), ddof=1))
    assert tj.jit(lambda x: x.repeat(2))(x).shape == (8,)
    assert x.repeat(2).tolist() == [1.0, 2.0, 4.0, 7.0] * 2
