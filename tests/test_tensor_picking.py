"""Picking, counting and comparing: PyTorch's values, slopes, and no value frozen in a trace."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj

GRID = np.array([1.0, 3.0, 5.0])
READERS = {
    "searchsorted": lambda x: np.searchsorted(GRID, x) * x,
    "searchsorted of edges": lambda x: np.searchsorted(x, GRID) * x[0],
    "allclose": lambda x: x * np.allclose(x, [1.0, 2.0, 4.0]),
    "isclose": lambda x: x * np.isclose(x, 1.0),
    "unique": lambda x: x * (tj.unique(x).sum()),
    "bincount": lambda x: np.bincount(np.array([0, 1, 1]), x) * x[:2],
    "bincount of places": lambda x: tj.bincount(x.long(), minlength=9) * x[0],
}


@pytest.mark.filterwarnings("ignore:tapejit")  # recorded at every call: right, but slow
@pytest.mark.parametrize("name", READERS)
def test_compiled_calls_do_not_keep_the_first_value(name):
    function = READERS[name]
    compiled = tj.jit(function)
    for x in ([1.0, 2.0, 4.0], [0.0, 2.0, 6.0], [4.0, 4.0, 4.0], [1.0, 2.0, 4.0]):
        x = np.array(x)
        with tj.no_grad():
            expected = function(tj.tensor(x)).numpy()
        np.testing.assert_allclose(compiled(x), expected)


def test_slopes_of_weights_and_distinct_elements():
    places = np.array([0, 1, 1])
    gradient = tj.grad(lambda w: np.bincount(places, w)[1])(np.ones(3))
    np.testing.assert_array_equal(gradient, [0.0, 1.0, 1.0])
    gradient = tj.grad(lambda x: (tj.unique(x) * np.array([1.0, 10.0])).sum())
    np.testing.assert_array_equal(gradient(np.array([3.0, 1.0, 3.0])), [10.0, 1.0, 0.0])


def test_whole_quotients_keep_integers():
    x = tj.tensor([7, -7])
    assert tj.div(x, 2, rounding_mode="trunc").tolist() == [3, -3]
    assert tj.div(x, 2, rounding_mode="trunc").dtype is tj.int64
    assert tj.div(x, 2, rounding_mode="floor").tolist() == [3, -4]
    with pytest.raises(ValueError, match="rounding_mode to be one of None"):
        tj.div(x, 2, rounding_mode="ceil")


def test_infinities_are_close_to_their_like():
    inf, nan = float("inf"), float("nan")
    x, y = tj.tensor([inf, nan, 1.0, -inf, inf]), tj.tensor([inf, nan, 1.000001, inf, 1.0])
    assert tj.isclose(x, y).tolist() == [True, False, True, False, False]
    assert tj.isclose(y, x).tolist() == [True, False, True, False, False]
    assert tj.isclose(x, y, equal_nan=True)[1]
