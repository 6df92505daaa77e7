"""Native functions in @njit code: what they take and give, what they refuse, caches, threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import NamedTuple

import numpy as np
import pytest
from numba import njit, prange
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys

import tapejit as tj
from tapejit.errors import ArgumentError, GuardError, ShapeError


def chain(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def branches(x):
    return x * np.sin(x) if x > 0 else x * x


def model(p, scale):
    return np.sum(p[0] * scale) + p[1] ** 2, np.cumsum(p[0])


N = 10
X = np.linspace(-1, 2, N)
G = tj.value_and_grad(chain)
CHAIN = G.numba(X)
SLOPE = tj.grad(branches).numba(1.0)
MODEL = tj.jit(model).numba((np.ones(3), 2.0), 3.0)
BIG = tj.value_and_grad(chain).numba(np.ones(5000))


@njit(nogil=True)
def call(x):
    return CHAIN(x)


@njit(nogil=True)
def call_into(x, out):
    return CHAIN(x, out=out)


@njit
def slope(x):
    return SLOPE(x)


@njit
def call_model(a, b, scale):
    return MODEL((a, b), scale)


def both_agree(got, x):
    value, gradient = G(x)
    np.testing.assert_allclose(got[0], value, 1e-14)
    np.testing.assert_allclose(got[1], gradient, 1e-14)


# ---------------------------------------------------------------- what it takes and gives


def test_value_and_gradient():
    both_agree(call(X), X)
    first, second = call(X)[1], call(X)[1]
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize(
    "array",
    [np.linspace(0, 1, 2 * N)[::2], X[::-1], np.broadcast_to(np.float64(0.5), N)],
    ids=["strided", "reversed", "read-only"],
)
def test_any_layout(array):
    both_agree(call(array), array)


def test_out_is_written_and_handed_out():
    out = np.zeros(N)
    value, gradient = call_into(X, out)
    assert gradient is out or gradient.ctypes.data == out.ctypes.data
    both_agree((value, out), X)


def test_numbers_and_tuples():
    value, sums = call_model(np.arange(3.0), 3, 2)  # whole numbers become float64
    assert value == 6 + 9 and sums.tolist() == [0, 1, 3]


def test_a_function_as_an_argument():
    @njit
    def twice(native, x):
        return 2 * native(x)

    assert twice(SLOPE, 0.7) == 2 * tj.grad(branches)(0.7)
    other = tj.grad(lambda x: x**3).numba(1.0)
    assert twice(other, 2.0) == 24


def test_a_dict_comes_as_a_namedtuple():
    class Params(NamedTuple):
        w: np.ndarray
        b: float

    native = tj.grad(lambda p: np.sum(p["w"] ** 2) * p["b"]).numba({"b": 2.0, "w": np.ones(2)})

    @njit
    def use(w, b):
        gradient = native(Params(w, b))
        return gradient.w, gradient.b

    w, b = use(np.array([1.0, 3.0]), 2.0)
    assert w.tolist() == [4, 12] and b == 10


def test_all_transforms():
    hessian = tj.hessian(chain).numba(X[:4])
    product = tj.jit(lambda x, v: tj.hvp(chain, (x,), (v,))).numba(X[:4], X[:4])
    slopes = tj.jacobian(lambda x: x[1:] * x[:-1]).numba(X[:4])

    @njit
    def use(x, v):
        return hessian(x), product(x, v), slopes(x)

    x, v = X[2:6].copy(), X[4:8].copy()
    h, hv, j = use(x, v)
    np.testing.assert_allclose(h, tj.hessian(chain)(x), 1e-13)
    np.testing.assert_allclose(hv, h @ v, 1e-12)
    np.testing.assert_allclose(j, tj.jacobian(lambda x: x[1:] * x[:-1])(x))


def test_work_space_is_the_call_s_own():
    @njit
    def use(x):
        return BIG(x)

    assert BIG.code.work_bytes > 0
    x = np.linspace(0, 1, 5000)
    value, gradient = use(x)
    wanted = tj.value_and_grad(chain)(x)
    np.testing.assert_allclose(value, wanted[0], 1e-12)
    np.testing.assert_allclose(gradient, wanted[1], 1e-12)


def test_loops_in_parallel():
    @njit(parallel=True)
    def all_rows(x, out):
        values = np.zeros(len(x))
        for i in prange(len(x)):
            values[i] = CHAIN(x[i], out=out[i])[0]
        return values

    x = np.random.default_rng(0).normal(size=(64, N))
    out = np.zeros_like(x)
    values = all_rows(x, out)
    for row, value, gradient in zip(x, values, out, strict=True):
        both_agree((value, gradient), row)


def test_threads_without_the_gil():
    rows = np.random.default_rng(1).normal(size=(4, N))
    wanted, found = [call(row)[1] for row in rows], [[] for _ in rows]

    def work(i):
        found[i] = [call(rows[i])[1] for _ in range(500)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for want, got in zip(wanted, found, strict=True):
        assert all(np.array_equal(want, one) for one in got)


# ---------------------------------------------------------------- what it refuses


def test_a_wrong_shape_raises_and_says_it():
    with pytest.raises(ShapeError, match=r"float64 of shape \(10,\)\n  got  \(9,\)"):
        call(X[:-1])
    with pytest.raises(ShapeError):
        call_into(X, np.zeros(N + 1))


def test_memory_that_is_shared_raises():
    x = X.copy()
    with pytest.raises(ArgumentError, match="shares memory"):
        call_into(x, x)


@pytest.mark.parametrize(
    "args",
    [(X.astype(np.float32),), (X.reshape(2, 5),), (1.0,), (X, 1.0), ()],
    ids=["float32", "2-d", "number", "one more", "none"],
)
def test_wrong_types_are_refused_when_compiled(args):
    @njit
    def use(*args):
        return CHAIN(*args)

    with pytest.raises((TypingError, ShapeError)):
        use(*args)


def test_a_guard_that_fails_is_named():
    assert slope(2.0) == tj.grad(branches)(2.0)
    with pytest.raises(GuardError, match="x > 0"):
        slope(-1.0)


def test_known_paths_are_chosen_among():
    g = tj.grad(branches)
    for x in (1.0, -1.0):
        g(x)
    native = g.numba(1.0)

    @njit
    def use(x):
        return native(x)

    assert [use(x) for x in (2.0, -3.0)] == [g(2.0), -6.0]


def test_what_has_no_answer_raises():
    native = tj.grad(lambda x: np.sum(np.linalg.cholesky(x))).numba(np.eye(2))

    @njit
    def use(x):
        return native(x)

    assert use(np.eye(2)).shape == (2, 2)
    with pytest.raises(ArgumentError, match="positive definite"):
        use(-np.eye(2))


def test_what_raises_is_caught_and_leaks_nothing():
    @njit
    def use(x):
        try:
            return CHAIN(x)[0]
        except Exception:
            return -1.0

    for _ in range(3):
        assert use(X[:-1]) == -1
    assert use(X) == pytest.approx(G(X)[0], rel=1e-14)


def test_copies_of_strided_arrays_are_given_back_when_another_argument_is_refused():
    native = tj.jit(lambda x, y: np.sum(x * y)).numba(np.ones(3), np.ones(3))

    @njit
    def use(x, y):
        try:
            return native(x, y)
        except Exception:
            return -1.0

    _nrt_python.memsys_enable_stats()

    def alive():
        statistics = rtsys.get_allocation_stats()
        return statistics.alloc - statistics.free

    def left_by(x, y):
        before = alive()
        assert use(x, y) == use(y, x) == -1.0
        return alive() - before

    x, y = np.ones((3, 2))[:, 0], np.ones((4, 2))[:, 0]
    assert use(x, x) == use(x.copy(), x.copy()) == 3.0
    # Numba keeps the arguments of an error that is caught: as many without copies
    assert left_by(x, y) == left_by(x.copy(), y.copy())


# ---------------------------------------------------------------- caches

PROGRAM = """
import sys
import numpy as np
from numba import njit, prange
import tapejit as tj

squares = tj.value_and_grad(lambda x: np.sum(x ** 2)).numba(np.ones(3))
cubes = tj.value_and_grad(lambda x: np.sum(x ** 3)).numba(np.ones(3))
native = {"squares": squares, "cubes": cubes}[sys.argv[1]]

@njit(cache=True)
def one(x):
    return native(x)[1].sum()

@njit(cache=True, parallel=True)
def rows(x):
    total = 0.0
    for i in prange(2):
        total += native(x)[0]
    return total

@njit(cache=True)
def outer(x):
    return rows(x) + 1.0

for name in sys.argv[2:]:
    function = globals()[name]
    print(name, function(np.array([1.0, 2.0, 3.0])), sum(function.stats.cache_hits.values()))
"""


def test_a_caller_s_cache_travels_and_never_answers_for_another_function(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)

    def run(*arguments):
        command = [sys.executable, str(path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.splitlines()

    assert run("squares", "one", "rows") == ["one 12.0 0", "rows 28.0 0"]
    # another process compiles nothing, but what calls what it has loaded
    assert run("squares", "one", "rows", "outer") == ["one 12.0 1", "rows 28.0 1", "outer 29.0 0"]
    # both functions exist as before, and the name means the other one
    assert run("cubes", "outer", "one") == ["outer 73.0 0", "one 42.0 0"]


def test_importing_tapejit_imports_no_numba():
    code = "import sys, tapejit; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
