"""Native functions from Python, through pointers and by SciPy: as `g(x)`, or an error."""

from __future__ import annotations

import ctypes
import dataclasses
import doctest
import functools
import gc
import inspect
import threading
import weakref
from time import perf_counter
from typing import NamedTuple

import numpy as np
import pytest
from scipy.integrate import nquad, quad
from scipy.ndimage import generic_filter
from test_entry import assert_same

import tapejit as tj
from tapejit.errors import ArgumentError, DtypeError, GuardError, KernelError, ShapeError
from tapejit.transforms.native import c_side
from tapejit.transforms.native.c_side import library_of
from tapejit.transforms.native.functions import NativeFunction

x10 = np.linspace(-1.0, 3.5, 10)
nest = {"w": x10, "x": [x10 + 1.0, (2.5, x10)], "scale": 0.5}


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def weighted(p, power=2):
    return np.sum(p["w"] ** power * p["x"][0] + p["x"][1][1] * p["x"][1][0]) * p["scale"]


def branching(x):
    return np.sum(x * x) if x[0] > 0.0 else -np.sum(x)


@functools.cache
def native_rosenbrock():
    return tj.value_and_grad(rosenbrock).numba(x10)


# ---------------------------------------------------------------- from Python


class Pair(NamedTuple):
    """Arguments in a named tuple."""

    a: object
    b: object


@dataclasses.dataclass
class Box:
    """And in a dataclass."""

    a: object
    b: object


CALLS = {
    "array": (tj.value_and_grad, rosenbrock, (x10,), {}),
    "gradient": (tj.grad, rosenbrock, (x10,), {}),
    "float": (tj.value_and_grad, lambda x: x * x * 3.0, (1.5,), {}),
    "float32": (tj.grad, lambda x: np.sum(np.sin(x)), (x10.astype(np.float32),), {}),
    "nested": (tj.value_and_grad, weighted, (nest,), {}),
    "keywords": (tj.value_and_grad, weighted, (nest,), {"power": 3}),
    "named tuple": (tj.grad, lambda p: np.sum(p.a * p.a) * p.b, (Pair(x10, 2.0),), {}),
    "dataclass": (tj.jit, lambda p: np.sum(p.a * p.a) * p.b, (Box(x10, 2.0),), {}),
    "extras": (
        functools.partial(tj.value_and_grad, has_aux=True),
        lambda x: (np.sum(x * x), {"y": x + 1.0, "name": "a"}),
        (x10,),
        {},
    ),
    "work space": (
        tj.grad,
        lambda x: np.sum(np.cumsum(np.cumsum(x) * x) * x),
        (np.ones(2000),),
        {},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_what_the_transform_gives(name):
    transform, function, args, kwargs = CALLS[name]
    g = transform(function)
    native = g.numba(*args, **kwargs)
    expected = g(*args, **kwargs)
    for _ in range(3):  # the first through Python, then natively
        answer = native(*args, **kwargs)
        np.testing.assert_equal(_plain(answer), _plain(expected))
    if name not in ("dataclass",):
        assert len(native._caller.entries) == 1, native._caller.entries.refused
    again = native(*args, **kwargs)
    assert all(x is not y for x, y in zip(_arrays(answer), _arrays(again), strict=True))
    out = tuple(np.empty_like(x) for x in _arrays(expected))
    for _ in range(3):
        given = native(*args, **kwargs, out=out)
        assert all(x is y for x, y in zip(_arrays(given), out, strict=True))
        np.testing.assert_equal(_plain(given), _plain(expected))


def _plain(answer):
    """Numbers and arrays in lists, to within an operation's last bit."""
    if isinstance(answer, dict):
        return {k: _plain(v) for k, v in answer.items()}
    if isinstance(answer, tuple | list):
        return [_plain(x) for x in answer]
    if isinstance(answer, np.ndarray | float | np.generic):
        return np.round(np.asarray(answer, np.float64), 6)
    return answer


def _arrays(answer):
    if isinstance(answer, np.ndarray):
        return [answer]
    items = answer.values() if isinstance(answer, dict) else answer
    return [x for y in items for x in _arrays(y)] if isinstance(answer, tuple | list | dict) else []


WRONG = {
    "none": ((), ArgumentError, "0 by position"),
    "two": ((nest, nest), ArgumentError, "2 by position"),
    "a list": (([x10],), ShapeError, "argument 0 is nested differently"),
    "a name less": (({"w": x10, "scale": 1.0},), ShapeError, "argument 0 has other names"),
    "no array": (({**nest, "w": 3.0},), DtypeError, r"argument 0\['w'\] is no array"),
    "masked": (({**nest, "w": np.ma.masked_array(x10, x10 > 0)},), DtypeError, "mask"),
    "shape": (({**nest, "w": x10[1:]},), ShapeError, r"argument 0\['w'\] is not like the example"),
    "dtype": (({**nest, "w": x10.astype("f4")},), DtypeError, r"got      float32\[10\]"),
    "inner": (
        ({**nest, "x": [x10, (x10, x10)]},), DtypeError,
        r"argument 0\['x'\]\[1\]\[0\] is no float64",
    ),
    "length": (({**nest, "x": [x10]},), ShapeError, r"argument 0\['x'\] has another length"),
    "complex": (({**nest, "scale": 1j},), DtypeError, r"argument 0\['scale'\] is no float64"),
    "text": (({**nest, "scale": "a"},), DtypeError, r"argument 0\['scale'\] is no float64"),
}  # fmt: skip


@functools.cache
def native_weighted():
    return tj.value_and_grad(weighted).numba(nest, power=2)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    args, error, message = WRONG[name]
    for _ in range(2):
        with pytest.raises(error, match=message):
            native_weighted()(*args, power=2)
        native_weighted()(nest, power=2)


def test_values_that_are_part_of_the_function():
    with pytest.raises(ArgumentError, match="argument 'power' is not the example's"):
        native_weighted()(nest, power=3)
    with pytest.raises(ArgumentError, match="the example had other arguments"):
        native_weighted()(nest)
    with pytest.raises(ArgumentError, match="out: it is read-only"):
        native_rosenbrock()(x10, out=np.broadcast_to(0.0, 10))


def test_numbers_and_layouts_that_can_be_converted():
    g = tj.value_and_grad(lambda a, x: np.sum(x) * a * a)
    native = g.numba(2.0, x10)
    for a in (3, np.float64(3.0), np.float32(3.0), np.array(3.0)):
        assert_same(native(a, x10), native(3.0, x10))
    for _ in range(3):
        assert_same(native(3.0, np.repeat(x10, 2)[::2]), native(3.0, x10))
    order = {name: nest[name] for name in ("scale", "x", "w")}
    for _ in range(3):
        value, gradient = native_weighted()(order, power=2)
        assert value == native_weighted()(nest, power=2)[0]
        assert np.array_equal(gradient["w"], native_weighted()(nest, power=2)[1]["w"])


def test_keys_in_another_order_are_told_apart():
    native = tj.jit(lambda p, *, k, m: p["a"] - p["b"] + k * 10.0 - m).numba(
        {"a": x10, "b": x10}, k=1.0, m=2.0
    )
    expected = native({"a": x10, "b": x10 * 3.0}, k=4.0, m=5.0)
    assert np.array_equal(expected, x10 - x10 * 3.0 + 40.0 - 5.0)
    for _ in range(3):
        assert_same(native({"b": x10 * 3.0, "a": x10}, k=4.0, m=5.0), expected)
        assert_same(native({"a": x10, "b": x10 * 3.0}, m=5.0, k=4.0), expected)
        assert_same(native({"a": x10, "b": x10 * 3.0}, k=4.0, m=5.0), expected)
        out = np.empty(10)
        assert native({"b": x10 * 3.0, "a": x10}, out=out, m=5.0, k=4.0) is out
        assert np.array_equal(out, expected)


def test_a_failing_guard_says_which_and_known_paths_are_chosen():
    g = tj.value_and_grad(branching)
    g(x10)
    native = g.numba(x10 + 2.0)
    for x in (x10, x10 + 2.0, x10, x10 + 2.0):
        assert_same(native(x), g(x))
    one = tj.value_and_grad(branching).numba(x10 + 2.0)
    for _ in range(3):
        one(x10 + 2.0)
        with pytest.raises(GuardError, match="no recorded path fits") as caught:
            one(x10)
        assert "x[0] > 0.0" in str(caught.value)
        out = np.full(10, 7.0)
        with pytest.raises(GuardError):
            one(x10, out=out)
        assert np.all(out == 7.0)


def test_a_refused_answer_is_an_error():
    native = tj.jit(lambda x, i: x[i] * 2.0).numba(x10, np.array([1, 2]))
    for _ in range(3):
        assert np.array_equal(native(x10, np.array([0, 9])), [-2.0, 7.0])
        with pytest.raises(ArgumentError, match="no answer"):
            native(x10, np.array([0, 10]))


# ---------------------------------------------------------------- pointers


def test_ctypes_takes_arrays_and_pointers():
    native = native_rosenbrock()
    expected = native(x10)
    value, gradient = np.zeros(()), np.zeros(10)
    assert native.ctypes(x10, value, gradient, None, 0) == 0
    assert_same((value[()], gradient), expected)
    value[...], gradient[:] = 0.0, 0.0
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4, ctypes.c_int64)
    pointers = [array.ctypes.data for array in (x10, value, gradient)]
    assert function(native.address)(*pointers, None, 0) == 0
    assert_same((value[()], gradient), expected)


@pytest.mark.parametrize(
    "wrong", [x10[1:], x10.astype("f4"), np.repeat(x10, 2)[::2], [1.0], "x", 1.5, np.zeros((10, 1))]
)
def test_ctypes_refuses_other_arrays(wrong):
    with pytest.raises(ctypes.ArgumentError):
        native_rosenbrock().ctypes(wrong, np.zeros(()), np.zeros(10), None, 0)
    with pytest.raises(ctypes.ArgumentError):
        native_rosenbrock().ctypes(x10, np.zeros(()), np.broadcast_to(0.0, 10), None, 0)


def test_too_small_a_work_space_has_its_status():
    native = tj.grad(CALLS["work space"][1]).numba(np.ones(2000))
    n, x, y = native.code.work_bytes, np.ones(2000), np.zeros(2000)
    assert n > 0
    assert native.ctypes(x, y, np.zeros(n - 8, np.uint8), n - 8) == -1
    assert not y.any()
    assert native.ctypes(x, y, np.zeros(n + 64, np.uint8), n) == 0
    assert np.allclose(y, native(x))


def test_code_lives_as_long_as_somebody_can_call_it():
    def make():
        x = np.ones(3)
        return tj.jit(lambda y: np.sum(y * 0.123)).numba(x)

    def loads():
        library_of.cache_clear()
        gc.collect()

    native, x, value = make(), np.ones(3), np.zeros(())
    function = native.ctypes
    alive = weakref.ref(function.library)
    code = native.code
    del native
    loads()
    assert function(x, value, None, 0) == 0
    assert np.isclose(value, 0.369)
    del function
    loads()
    assert alive() is None
    address = make().address
    loads()
    assert code.symbol in c_side._KEPT
    kinds = [ctypes.c_void_p] * 3
    value[...] = 0.0
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds, ctypes.c_int64)(address)
    assert call(x.ctypes.data, value.ctypes.data, None, 0) == 0
    assert np.isclose(value, 0.369)


def test_threads_call_at_the_same_time():
    native = tj.grad(CALLS["work space"][1]).numba(np.ones(2000))
    inputs = [np.linspace(0.0, 1.0 + i, 2000) for i in range(4)]
    expected = [native(x) for x in inputs]
    problems = []

    def go(i):
        for _ in range(50):
            if not np.array_equal(native(inputs[i]), expected[i]):
                problems.append(i)

    threads = [threading.Thread(target=go, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


# ---------------------------------------------------------------- SciPy


def bump(x):
    return np.exp(-x * x) * np.cos(3.0 * x)


def test_quad_of_a_value_and_of_its_slope():
    native = tj.value_and_grad(bump).numba(0.5)
    assert np.isclose(quad(native.low_level_callable(), 0, 2)[0], quad(bump, 0, 2)[0], rtol=1e-13)
    slope = quad(native.low_level_callable(1), 0, 2)[0]
    assert np.isclose(slope, bump(2.0) - bump(0.0), rtol=1e-12)


def test_quad_is_faster_than_through_python():
    def wild(x):
        return np.sin(50.0 * x) ** 2 * np.exp(-x)

    native = tj.jit(wild).numba(0.5).low_level_callable()
    ratios = []
    for _ in range(5):
        start = perf_counter()
        a = quad(native, 0, 3, limit=500)[0]
        middle = perf_counter()
        b = quad(wild, 0, 3, limit=500)[0]
        ratios.append((perf_counter() - middle) / (middle - start))
        assert np.isclose(a, b, rtol=1e-10)
    assert max(ratios) > 3.0  # some 50


def three(x, y, z):
    return np.exp(-x * y) * np.cos(z + x)


def test_nquad_of_numbers_and_of_an_array():
    apart = tj.value_and_grad(three, argnums=(0, 1, 2)).numba(0.5, 0.5, 0.5)
    box = [(0.0, 1.0), (0.0, 0.5), (0.0, 2.0)]
    expected = nquad(three, box, opts={"epsabs": 1e-6})[0]
    got = nquad(apart.low_level_callable(), box, opts={"epsabs": 1e-6})[0]
    assert np.isclose(got, expected, rtol=1e-10)
    as_one = tj.value_and_grad(lambda p: three(p[0], p[1], p[2])).numba(np.zeros(3))
    assert np.isclose(nquad(as_one.low_level_callable(), box)[0], expected, rtol=1e-6)
    slope = as_one.low_level_callable(1, 2)
    by_hand = nquad(lambda x, y, z: -np.exp(-x * y) * np.sin(z + x), box, opts={"epsabs": 1e-6})[0]
    assert np.isclose(nquad(slope, box)[0], by_hand, rtol=1e-6)
    assert np.isclose(nquad(as_one.low_level_callable(1, (-1,)), box)[0], by_hand, rtol=1e-6)


def test_parameters_in_user_data_may_change():
    native = tj.jit(lambda x, p: np.sin(x * p[0]) * p[1]).numba(0.5, np.ones(2))
    p = np.array([2.0, 3.0])
    callable_ = native.low_level_callable(user_data=p)
    for first in (2.0, 1.0):
        p[0] = first
        assert np.isclose(quad(callable_, 0, 1)[0], 3.0 * (1.0 - np.cos(first)) / first)
    by_args = quad(native.low_level_callable(), 0, 1, args=(2.0, 3.0))[0]
    assert np.isclose(by_args, 1.5 * (1.0 - np.cos(2.0)))
    two = tj.jit(lambda x, y, p: x * y * p[0]).numba(0.5, 0.5, np.ones(1))
    callable_ = two.low_level_callable(user_data=np.array([8.0]))
    assert np.isclose(nquad(callable_, [(0, 1), (0, 1)])[0], 2.0)


def test_each_signature():
    one = tj.jit(lambda x: x * x).numba(0.5)
    for signature in (
        "double (double)", "double (double, void *)", "double (int, double *)",
        "double (int, double *, void *)",
    ):  # fmt: skip
        assert np.isclose(quad(one.low_level_callable(signature=signature), 0, 3)[0], 9.0)


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_what_has_no_answer_is_nan():
    native = tj.jit(lambda x: x if x > 0.0 else x * 2.0).numba(0.5)
    callable_ = native.low_level_callable()
    assert np.isclose(quad(callable_, 0.5, 1.5)[0], 1.0)
    assert np.isnan(quad(callable_, -1.0, 1.0)[0])
    three_numbers = tj.jit(lambda p: np.sum(p)).numba(np.zeros(3)).low_level_callable()
    assert np.isnan(nquad(three_numbers, [(0, 1), (0, 1)])[0])


def test_a_filter_of_an_image():
    def spread(w):
        return np.sum((w - np.mean(w)) ** 2)

    image = np.random.default_rng(3).normal(size=(7, 8))
    signature = "int (double *, intptr_t, double *, void *)"
    native = tj.value_and_grad(spread).numba(np.zeros(9))
    got = generic_filter(image, native.low_level_callable(signature=signature), size=3)
    np.testing.assert_allclose(got, generic_filter(image, spread, size=3), 1e-12)
    slope = generic_filter(image, native.low_level_callable(1, 4, signature=signature), size=3)
    expected = generic_filter(image, lambda w: 2.0 * (w[4] - np.mean(w)), size=3)
    np.testing.assert_allclose(slope, expected, 1e-12, 1e-12)
    with pytest.raises(RuntimeError):
        generic_filter(image, native.low_level_callable(signature=signature), size=5)


def test_large_answers_do_not_go_on_the_stack():
    native = tj.value_and_grad(lambda x: np.sum(x * x)).numba(np.zeros(10_000))
    with pytest.raises(KernelError, match="needs 80008 bytes"):
        native.low_level_callable()


def test_the_examples_of_its_docstrings():
    for name in ("ctypes", "low_level_callable"):
        member = inspect.getattr_static(NativeFunction, name)
        (test,) = [x for x in doctest.DocTestFinder().find(member, name) if x.examples]
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda: tj.jit(lambda x: x * x).numba(np.float32(1)), {}, DtypeError, "float64 only"),
        (lambda: tj.jit(lambda x, i: x[i]).numba(x10, np.array([1])), {}, DtypeError, "float64"),
        (native_rosenbrock, {"output": 2}, ArgumentError, "output 2 of 2"),
        (native_rosenbrock, {"output": 1, "index": 10}, ArgumentError, "index 10 in an output"),
        (native_rosenbrock, {"output": 1, "index": (1, 1)}, ArgumentError, "index"),
        (native_rosenbrock, {"index": 1}, ArgumentError, "index 1 in an output of shape"),
        (native_rosenbrock, {"signature": "double (double)"}, ArgumentError, "10 numbers do not"),
        (native_rosenbrock, {"signature": "float (float)"}, ArgumentError, "try  'double"),
        (native_rosenbrock, {"user_data": x10[1:]}, ShapeError, "user_data is not like"),
        (native_rosenbrock, {"user_data": [1.0]}, DtypeError, "user_data is no array"),
    ],
)
def test_what_is_no_low_level_callable(make, options, error, message):
    with pytest.raises(error, match=message):
        make().low_level_callable(**options)


def test_a_callable_keeps_its_code_and_its_data():
    def make():
        native = tj.jit(lambda x, p: x * p[0]).numba(0.5, np.ones(1))
        return native.low_level_callable(user_data=np.array([4.0]))

    callable_ = make()
    library_of.cache_clear()
    gc.collect()
    junk = [np.zeros(1) for _ in range(100)]
    assert np.isclose(quad(callable_, 0, 1)[0], 2.0)
    del junk
