"""out=: the answer's arrays are written into the caller's, natively or not, or nothing is."""

from __future__ import annotations

import copy
import functools
import gc
import sys

import numpy as np
import pytest
from test_entry import assert_same, entered, entries_of, random_tree, total, warm

import tapejit as tj
from tapejit.errors import ArgumentError, DtypeError, ShapeError
from tapejit.transforms import entering

x10 = np.linspace(-1.0, 3.5, 10)
grid = np.arange(12.0).reshape(3, 4)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def branching(x):
    return np.sum(x * x) if x[0] > 0.0 else -np.sum(x)


CALLS = {
    "grad": (tj.grad, rosenbrock, (x10,)),
    "value_and_grad": (tj.value_and_grad, rosenbrock, (x10,)),
    "jit": (tj.jit, lambda x: (x * 2.0, np.sum(x), {"y": x + 1.0}), (x10,)),
    "several": (functools.partial(tj.grad, argnums=(0, 1)), lambda x, y: np.sum(x * y), (x10, x10)),
    "nested": (tj.grad, lambda p: np.sum(p["a"] * p["b"][0]) * p["c"],
               ({"a": x10, "b": [x10], "c": 2.0},)),
    "zeros": (functools.partial(tj.grad, argnums=(0, 1)), lambda x, y: np.sum(x), (x10, grid)),
    "views": (tj.jit, lambda x: (x.T, (x + 1.0).T, (x * 2.0)[1:, ::2]), (grid,)),
    "one twice": (tj.jit, lambda x: [x + 1.0] * 2, (x10,)),
    "the argument": (tj.jit, lambda x: x, (x10,)),
    "library": (tj.value_and_grad, lambda x: np.sum(np.sort(x)[:3] ** 2), (x10,)),
    "matrices": (tj.value_and_grad, lambda x: np.linalg.det(x @ x.T + np.eye(3)), (grid,)),
    "guards": (tj.value_and_grad, branching, (x10,)),
    "float32": (tj.grad, lambda x: np.sum(np.sin(x)), (x10.astype(np.float32),)),
    "complex": (tj.grad, lambda x: np.sum(np.abs(x) ** 2), (x10 + 1j,)),
    "large": (tj.grad, lambda x: np.sum(x * x), (np.linspace(0.0, 1.0, 1 << 14),)),
    "extras": (functools.partial(tj.value_and_grad, has_aux=True),
               lambda x: (np.sum(x * x), {"y": x + 1.0, "n": 3}), (x10,)),
    "jacobian": (tj.jacobian, lambda x: np.sin(x) * x[0], (x10,)),
    "hessian": (tj.hessian, rosenbrock, (x10,)),
}  # fmt: skip


def arrays_of(answer) -> list:
    if isinstance(answer, np.ndarray):
        return [answer]
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, tuple | list):
        return [array for item in answer for array in arrays_of(item)]
    return []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("native", [True, False])
def test_the_answer_is_written_there(name, native, monkeypatch):
    transform, function, args = CALLS[name]
    if not native:
        monkeypatch.setattr(entering, "is_possible", lambda: False)
    expected = transform(function)(*args)
    arrays = arrays_of(expected)
    call = transform(function)
    for layout in ("C", "C", "C", "C", "strided"):
        out = tuple(np.full(x.shape, 7, x.dtype) for x in arrays)
        if layout == "strided":
            out = tuple(np.stack([x, x], -1)[..., 0] for x in out)
        answer = call(*args, out=out)
        assert all(a is b for a, b in zip(arrays_of(answer), out, strict=True))
        assert_like(answer, expected)
    if len(arrays) == 1:
        (out,) = (np.full(x.shape, 7, x.dtype) for x in arrays)
        for _ in range(3):
            assert arrays_of(call(*args, out=out))[0] is out
        assert_like(call(*args, out=out), expected)
    if native and name not in ("jacobian", "hessian"):
        entered(call, *args, out=tuple(np.empty_like(x) for x in arrays))
    assert_like(call(*args), expected)
    assert not any(a is b for a in arrays_of(call(*args)) for b in out)


def assert_like(answer, expected):
    """As assert_same; the given arrays may have strides of their own."""
    for a, b in zip(arrays_of(answer), arrays_of(expected), strict=True):
        assert a.tobytes() == b.tobytes()
    assert repr(answer) == repr(expected)


WRONG = {
    "a number": (3.0, DtypeError, "no NumPy array"),
    "a list of numbers": ([3.0], DtypeError, "no NumPy array"),
    "a tensor": (tj.zeros(10), DtypeError, "no NumPy array"),
    "shape": (np.zeros(9), ShapeError, "its shape"),
    "axes": (np.zeros((10, 1)), ShapeError, "its shape"),
    "dtype": (np.zeros(10, np.float32), DtypeError, "its dtype"),
    "byte order": (np.zeros(10, ">f8"), DtypeError, "its dtype"),
    "two": ((np.zeros(10), np.zeros(10)), ArgumentError, "2 arrays for an answer of 1 array"),
    "none": ((), ArgumentError, "0 arrays for an answer of 1 array"),
    "read-only": (np.broadcast_to(0.0, 10), ArgumentError, "read-only"),
    "one place": (
        np.lib.stride_tricks.as_strided(np.zeros(1), (10,), (0,)),
        ArgumentError,
        "its elements overlap",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays_are_refused_before_anything_is_written(name):
    given, error, message = WRONG[name]
    call = tj.value_and_grad(rosenbrock)
    for _ in range(4):
        with pytest.raises(error, match=message):
            call(x10, out=given)
        assert all(not np.any(np.asarray(x)) for x in given) if name == "two" else True
        call(x10, out=np.empty(10))


def test_nothing_is_written_if_one_of_several_is_wrong():
    call = tj.grad(lambda x, y: np.sum(x * y), argnums=(0, 1))
    for _ in range(3):
        call(x10, x10, out=(np.empty(10), np.empty(10)))
        good = np.zeros(10)
        with pytest.raises(ShapeError, match=r"out\[1\]: its shape"):
            call(x10, x10, out=(good, np.zeros(9)))
        with pytest.raises(ArgumentError, match=r"out\[1\]: it overlaps"):
            call(x10, x10, out=(good, good))
        memory = np.zeros(11)
        with pytest.raises(ArgumentError, match=r"out\[1\]: it overlaps"):
            call(x10, x10, out=(memory[:10], memory[1:]))
        assert not good.any()
        assert not memory.any()
        both = np.zeros((10, 2))
        call(x10, x10 + 1.0, out=(both[:, 0], both[:, 1]))
        assert np.array_equal(both, np.stack([x10 + 1.0, x10], 1))


@pytest.mark.parametrize("shift", [0, 1, 5, -1])
def test_it_may_overlap_what_goes_in(shift):
    call = tj.value_and_grad(rosenbrock)
    call(x10, out=np.empty(10)), call(x10, out=np.empty(10))
    entered(call, x10, out=np.empty(10))
    memory = np.zeros(20)
    x, out = memory[5:15], memory[5 + shift : 15 + shift]
    x[:] = x10
    value, gradient = call(x, out=out)
    expected = tj.value_and_grad(rosenbrock)(x10)
    assert value == expected[0]
    assert gradient is out
    assert np.array_equal(gradient, expected[1])


def test_it_may_overlap_what_is_captured():
    weight = np.linspace(1.0, 2.0, 10)
    kept = weight.copy()
    call = tj.grad(lambda x: np.sum(x * weight * np.roll(weight, 1)))
    for _ in range(3):
        weight[:] = kept
        assert np.array_equal(call(x10, out=weight), kept * np.roll(kept, 1))


def test_another_branch_is_recorded_and_written():
    call = tj.value_and_grad(branching)
    for x in (x10 + 2.0, x10, x10 + 2.0, x10, x10, x10 + 2.0):
        out = np.full(10, 7.0)
        value, gradient = call(x, out=out)
        assert gradient is out
        assert_same((value, gradient), tj.value_and_grad(branching)(x))


def test_a_call_that_fails_writes_nothing():
    def function(x):
        if x[0] > 100.0:
            raise KeyError("too large")
        return np.sum(x * x)

    call, out = tj.grad(function), np.zeros(10)
    warm(call, x10, out=out)
    out[:] = 0.0
    with pytest.raises(KeyError):
        call(x10 + 200.0, out=out)
    assert not out.any()


def test_none_is_as_if_it_were_not_given():
    call = tj.value_and_grad(rosenbrock)
    for _ in range(3):
        assert_same(call(x10, out=None), call(x10))


def test_a_function_with_an_out_keeps_it():
    own = tj.grad(lambda x, out: np.sum(x * out))
    keywords = tj.grad(lambda x, **options: np.sum(x * options["out"]))
    default = tj.jacobian(lambda x, out=1.0: x * out)
    for _ in range(3):
        assert np.array_equal(own(x10, out=x10 + 1.0), x10 + 1.0)
        assert np.array_equal(keywords(x10, out=x10 + 1.0), x10 + 1.0)
        assert np.array_equal(default(x10, out=2.0), 2.0 * np.eye(10))


def test_keywords_beside_it():
    call = tj.grad(lambda x, a=1.0, k=2: np.sum(x**k) * a)
    for _ in range(3):
        for order in (("a", "out", "k"), ("out", "a", "k"), ("a", "k", "out")):
            given = {"a": 3.0, "k": 3, "out": np.empty(10)}
            out = call(x10, **{name: given[name] for name in order})
            assert out is given["out"]
            assert np.allclose(out, 9.0 * x10 * x10)


def test_no_memory_is_there_while_recording():
    inner = tj.grad(lambda x: np.sum(x**3))
    outer = tj.grad(lambda x: np.sum(inner(x, out=np.empty(10))))
    with pytest.raises(ArgumentError, match="is being recorded"):
        outer(x10)
    with pytest.raises(DtypeError, match="answers with tensors"):
        inner(tj.tensor(x10), out=np.empty(10))


@pytest.mark.parametrize("seed", range(8))
def test_random_nesting(seed):
    """Traced and native functions, fresh arrays and given ones, which may be the arguments."""
    example = random_tree(np.random.default_rng(seed))
    g = tj.value_and_grad(total)
    expected = g(example)
    for call in (g, g.numba(example)):
        for _ in range(3):
            given = copy.deepcopy(example)
            out = tuple(np.empty_like(x) for x in arrays_of(expected))
            answer = call(given, out=out)
            assert all(a is b for a, b in zip(arrays_of(answer), out, strict=True))
            np.testing.assert_allclose(numbers_of(answer), numbers_of(expected), 1e-5)
            np.testing.assert_allclose(numbers_of(call(given)), numbers_of(expected), 1e-5)
            answer = call(given, out=tuple(arrays_of((given,))))
            np.testing.assert_allclose(numbers_of(answer), numbers_of(expected), 1e-5)


def numbers_of(answer) -> list:
    """All numbers, in order."""
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, tuple | list):
        return [number for item in answer for number in numbers_of(item)]
    return np.ravel(answer).tolist()


def test_references_balance():
    call = tj.value_and_grad(rosenbrock)
    out = np.empty(10)
    for _ in range(3):
        call(x10, out=out)
    gc.collect()
    before = sys.getrefcount(out), sys.getrefcount(x10)
    for _ in range(500):
        entered(call, x10, out=out)
        assert entries_of(call).enter((x10,), {"out": x10[:9]}) is None
    assert (sys.getrefcount(out), sys.getrefcount(x10)) == before
