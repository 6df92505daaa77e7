"""Self-contained code: what it computes, what it refuses, and that it needs nothing else.

Where the system can, every call is made between guard pages: code that reads or writes outside of
its arguments fails the test (tests/guard_pages.py).

TAPEJIT_FUZZ  how many random programs there are
"""

from __future__ import annotations

import math
import os
import re

import guard_pages
import numpy as np
import pytest
from operation_programs import draft

import tapejit as tj
from tapejit.errors import KernelError, TraceError
from tapejit.runtime import freestanding
from tapejit.runtime.freestanding import REFUSED, WORK_TOO_SMALL
from tapejit.transforms.native.functions import NativeFunction
from tapejit.transforms.native.records import Array, Constant, Number, Result, Static

BIG = np.ones(600_000)
N_PROGRAMS = int(os.environ.get("TAPEJIT_FUZZ", "15"))

# ---------------------------------------------------------------- calling one


CHILD = guard_pages.Child()


@pytest.fixture(scope="module", autouse=True)
def child():
    yield
    CHILD.close()


def run(made: NativeFunction, *arrays, work_bytes: int | None = None):
    """(status, outputs) of a call through a C pointer."""
    code = made.code
    given = [
        np.ascontiguousarray(x, dtype).reshape(shape)
        for x, (dtype, shape) in zip(arrays, code.inputs, strict=True)
    ]
    size = code.work_bytes if work_bytes is None else work_bytes
    if guard_pages.IS_POSSIBLE:
        return CHILD.call(code, given, size)
    outputs = [np.full(shape, guard_pages.UNWRITTEN, dtype) for dtype, shape in code.outputs]
    work = np.empty(max(size, 1), np.uint8)
    return made.ctypes(*given, *outputs, work, size), outputs


def parts_of(made: NativeFunction, outputs) -> list:
    """The answer's numbers and arrays, computed or constant."""

    def leaves(part):
        if isinstance(part, Result):
            return [outputs[part.number]]
        if isinstance(part, Constant):
            return [np.asarray(part.value)]
        return [leaf for child in part for leaf in leaves(child)]

    return leaves(made.answer)


def agree(got, want, tolerance=1e-12):
    for mine, theirs in zip(got, want, strict=True):
        theirs = np.asarray(theirs)
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        if theirs.dtype == np.float32:
            tolerance = 3e-5
        scale = max(1.0, np.abs(theirs).max(initial=0.0))
        np.testing.assert_allclose(mine, theirs, tolerance, tolerance * scale)


def chain(x):
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    return np.sum(100 * a**2 + b**2)


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize("n", [2, 3, 8, 9, 10, 31, 100, 1000, 5000])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_chain_of_every_length(n, dtype):
    g = tj.value_and_grad(chain)
    x = np.linspace(-1, 2, n).astype(dtype)
    status, outputs = run(g.numba(x), x[::-1].copy())
    assert status == 0
    agree(outputs, g(x[::-1].copy()))


def rows(x, w):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.sum(np.log(np.sum(e, axis=1)) + np.sum(x * w, axis=1))


def columns(x, w):
    return np.sum(np.tanh(np.sum(x * w, axis=0)) ** 2) + np.max(x)


def crossed(x, w):
    return np.sum(np.sin(x[:, None, :] + w[None, :, ::-1]) * x[:, :1, None])


def matrices(x, w):
    return np.sum(np.cosh(0.1 * (x @ w.T)) @ x[:, 0]) + np.sum((x.T @ x) ** 2)


def scanned(x, w):
    return np.sum(np.cumsum(x * w, axis=1)[:, ::2] ** 2) + np.sum(np.where(x > 0, w, 2.0) * x)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (4, 3), (7, 17), (40, 33)])
@pytest.mark.parametrize("function", [rows, columns, crossed, matrices, scanned])
def test_walks_through_matrices(function, shape):
    random = np.random.default_rng(math.prod(shape))
    x, w = random.normal(size=(2, *shape))
    g = tj.value_and_grad(function, argnums=(0, 1))
    status, outputs = run(g.numba(x, w), x + 0.5, w)
    value, gradients = g(x + 0.5, w)
    assert status == 0
    agree(outputs, (value, *gradients))


PLACES = np.array([3, 0, -1, 2, 3, 3, 0, 1, -4, 2, 2, 3, 0, 0, 1, 3, 2])


def levels(x, w):
    """Places that are constants: read once, and added up in the slope."""
    return np.sum((w - x[PLACES]) ** 2)


def levels_read_twice(x, w):
    y = x[PLACES]
    return np.sum(np.exp(y) * w) + np.sum(np.cumsum(y) * w)


def levels_of_two_kinds(x, w):
    off = w - x[PLACES] * x[PLACES[::-1]] + 2.0 * x[1]
    return np.sum(off**2) + np.sum(x[PLACES[:3]] * off[3:6])


def levels_that_are_returned(x, w):
    y = x[PLACES] * 2
    return np.sum(y * w * y) + y[0]


def levels_of_rows(x, w):
    return np.sum(np.outer(x, x)[PLACES] * w[:, None])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "function",
    [levels, levels_read_twice, levels_of_two_kinds, levels_that_are_returned, levels_of_rows],
)
def test_places_that_are_constants(function, dtype):
    random = np.random.default_rng(0)
    x = random.normal(size=4).astype(dtype)
    w = random.normal(size=len(PLACES)).astype(dtype)
    g = tj.value_and_grad(function, argnums=(0, 1))
    status, outputs = run(g.numba(x, w), x, w)
    value, gradients = g(x, w)
    assert status == 0
    agree(outputs, (value, *gradients))


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
@pytest.mark.parametrize("seed", range(N_PROGRAMS))
def test_random_programs(seed, monkeypatch):
    if seed % 2:  # temporaries between guard pages too
        monkeypatch.setattr(freestanding, "ON_STACK", 0)
    text = draft(seed)
    program, arrays = text.function(), list(text.arguments.values())
    wanted = tuple(i for i, x in enumerate(arrays) if x.dtype.kind == "f")
    g = tj.value_and_grad(
        lambda *xs: program(tj, *(x if isinstance(x, tj.Tensor) else tj.tensor(x) for x in xs)),
        argnums=wanted,
    )
    tensors = [tj.tensor(x) for x in arrays]
    value, gradients = g(*tensors)
    try:
        made = g.numba(*tensors)
    except KernelError as error:
        assert "no native form" in str(error)
        return
    except TraceError as error:
        assert "recorded anew" in str(error)
        return
    status, outputs = run(made, *arrays)
    assert status == 0
    is_single = any(x.dtype == np.float32 for x in arrays)
    expected = [np.asarray(x.numpy()) for x in (value, *gradients)]
    agree(parts_of(made, outputs), expected, 2e-4 if is_single else 1e-9)


def test_a_long_scalar_program_that_is_interpreted_otherwise():
    def orbit(x, v):
        for _ in range(100):
            v = v - 0.01 * math.pi * np.sin(x)
            x = x + 0.01 * v
        return x

    g = tj.value_and_grad(orbit, argnums=(0, 1))
    status, outputs = run(g.numba(0.5, 0.1), 0.7, -0.2)
    assert status == 0
    value, slopes = g(0.7, -0.2)
    agree(outputs, [np.float64(value), *map(np.float64, slopes)])


def gaussian_process(x, y, scale):
    k = np.exp(-0.5 * (x[:, None] - x[None, :]) ** 2 / scale**2) + 0.1 * np.eye(len(x))
    factor = np.linalg.cholesky(k)
    a = tj.linalg.solve_triangular(factor, y[:, None], upper=False)
    return 0.5 * np.sum(a**2) + np.sum(np.log(np.diag(factor)))


def solutions(a, b):
    return np.sum(np.linalg.solve(a, b) ** 2) + np.sum(np.linalg.solve(a.T, b[:, None]) ** 3)


def determinants(a):
    return np.linalg.det(a) + np.linalg.slogdet(a)[1] + np.sum(np.linalg.inv(a) ** 2)


def orders(x):
    return np.sum(np.sort(x) * np.arange(x.size)) + np.sum(x[x > 0.2] ** 2) + np.argsort(x)[0]


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("function", [gaussian_process, solutions, determinants, orders])
def test_linear_algebra_and_sorting_without_libraries(function, n):
    random = np.random.default_rng(n)
    matrix = random.normal(size=(n, n)) + 2 * np.eye(n)
    args = {
        gaussian_process: (random.normal(size=n), random.normal(size=n), 1.3),
        solutions: (matrix, random.normal(size=n)),
        determinants: (matrix,),
        orders: (random.normal(size=n),),
    }[function]
    g = tj.value_and_grad(function, argnums=tuple(range(len(args))))
    status, outputs = run(g.numba(*args), *args)
    value, gradients = g(*args)
    assert status == 0
    agree(outputs, (value, *gradients), 1e-11)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    made = tj.grad(lambda x: np.sum(np.linalg.cholesky(x))).numba(np.eye(3))
    assert run(made, np.eye(3))[0] == 0
    assert run(made, -np.eye(3))[0] == REFUSED


def test_transforms_of_transforms():
    x = np.array([0.3, -0.2, 0.9])
    for made in (tj.hessian(chain), tj.jacobian(tj.grad(chain)), tj.jit(tj.hessian(chain))):
        status, (answer,) = run(made.numba(x), x)
        assert status == 0
        np.testing.assert_allclose(answer, tj.hessian(chain)(x), 1e-12)


# ---------------------------------------------------------------- arguments and answers


def test_the_signature():
    def model(p, scale, *, how):
        return np.sum(p["w"] * scale) + p["b"], {"w": p["w"] * 2, "name": "it", "n": 3}

    made = tj.jit(model).numba({"w": np.ones(3), "b": 2.0}, np.float32(2), how="sum")
    f64 = np.dtype(float)
    assert made.arguments == (
        {"w": Array(f64, (3,)), "b": Number(f64)},
        Number(np.dtype(np.float32)),
    )
    assert made.keywords == {"how": Static("sum")}
    assert made.answer == (
        Result(0, f64, (), True),
        {"w": Result(1, f64, (3,), False), "name": Constant("it"), "n": Constant(3)},
    )
    assert repr(made).startswith("<native model({'w': float64[3], 'b': float64}, float32, how='s")


def test_one_value_twice_and_an_argument_as_it_is():
    made = tj.jit(lambda x: (x * 2, [x, x * 2])).numba(np.ones(5))
    status, outputs = run(made, np.arange(5.0))
    assert status == 0
    assert [o.tolist() for o in outputs] == [[0, 2, 4, 6, 8], [0, 1, 2, 3, 4], [0, 2, 4, 6, 8]]


def test_nothing_depends_on_it():
    made = tj.value_and_grad(lambda x, y: np.sum(x), argnums=(0, 1)).numba(np.ones(2), np.ones(3))
    status, outputs = run(made, np.ones(2), np.ones(3))
    assert status == 0
    assert [o.tolist() for o in outputs] == [2.0, [1, 1], [0, 0, 0]]


def test_what_is_read_from_outside_is_frozen():
    table = np.array([1.0, 2.0, 3.0])
    scale = 2.0

    def f(x):
        return np.sum(x * table) * scale

    made = tj.grad(f).numba(np.ones(3))
    table[:] = 0
    scale = 5.0
    assert run(made, np.ones(3))[1][0].tolist() == [2, 4, 6]
    assert tj.grad(f)(np.ones(3)).tolist() == [0, 0, 0]


def test_equal_functions_are_one_text():
    def make():
        return tj.value_and_grad(lambda x: np.sum(np.exp(x) * np.sin(x)) + chain(x))

    first, second = (make().numba(np.ones(7)).code for _ in range(2))
    assert first == second
    assert first.symbol in first.text


def test_one_element_is_computed_in_two_lanes():
    """LLVM 22 aborted the process on a program with vectors of one (draft(20308), float32)."""
    x = np.linspace(-1, 1, 11).astype(np.float32)
    g = tj.value_and_grad(lambda x: np.sum(np.where(x > 0, np.sin(x), x * x)) + np.max(x[:1]))
    made = g.numba(x)
    assert "<1 x" not in made.code.text
    status, outputs = run(made, x)
    assert status == 0
    agree(outputs, g(x))


def test_it_needs_nothing_else():
    x = np.linspace(0.1, 0.9, 12).reshape(3, 4)
    g = tj.value_and_grad(lambda x: rows(x, x) + columns(x, x) + scanned(x, x) + np.sum(x**1.5))
    text = g.numba(x).code.text
    declared = re.findall(r"^declare .*?@([\w.]+)\(", text, re.MULTILINE)
    assert declared and all(name.startswith("llvm.") for name in declared)
    defined = re.findall(r"^define (internal )?", text, re.MULTILINE)
    assert defined.count("") == 1
    assert "inttoptr" not in text


# ---------------------------------------------------------------- guards and refusals


def branches(x):
    if x > 0:
        return x * np.sin(x)
    return x * x if x > -1 else 2.0


def test_known_paths_are_chosen_among():
    g = tj.value_and_grad(branches)
    for x in (2.0, -0.5):
        g(x)
    made = g.numba(1.0)
    for x in (3.0, -0.25):
        status, outputs = run(made, x)
        assert status == 0
        agree(outputs, [np.float64(part) for part in g(x)])
    status, outputs = run(made, -7.0)
    assert status > 0
    assert "x > -1" in made.code.failures[status - 1]
    assert [float(o) for o in outputs] == [77, 77]
    status, outputs = run(g.numba(-7.0), -8.0)
    assert status == 0 and [float(o) for o in outputs] == [2, 0]


def test_a_number_that_is_read():
    g = tj.grad(lambda x, n: x ** n.item())
    made = g.numba(2.0, np.array(3))
    assert run(made, 2.0, np.array(3)) == (0, [12.0])
    status, _ = run(made, 2.0, np.array(4))
    assert status > 0 and "3" in made.code.failures[status - 1]


def test_too_little_work_space_is_said_and_nothing_written():
    x = np.linspace(0, 1, 5000)
    made = tj.value_and_grad(chain).numba(x)
    assert made.code.work_bytes > 0
    status, outputs = run(made, x, work_bytes=made.code.work_bytes - 1)
    assert status == WORK_TOO_SMALL
    assert outputs[0] == 77 and (outputs[1] == 77).all()


def test_a_place_outside():
    made = tj.grad(lambda x, i: np.sum(x[i] ** 2)).numba(np.ones(4), np.array([0, 3]))
    assert run(made, np.arange(4.0), np.array([1, 1]))[1][0].tolist() == [0, 4, 0, 0]
    assert run(made, np.arange(4.0), np.array([1, 4]))[0] == REFUSED


@pytest.mark.parametrize(
    "function, example, error, text",
    [
        (lambda x: tj.linalg.svd(x).S.sum(), np.eye(3), KernelError, "svd"),
        (lambda x: np.sum(x * 1j).real, np.ones(3), KernelError, "complex128"),
        (lambda x: np.sum(x * tj.rand(3)), np.ones(3), TraceError, "random"),
        (lambda x: np.sum(x * BIG), np.ones(1), KernelError, "4800000 bytes"),
    ],
)
def test_refusals(function, example, error, text):
    with pytest.raises(error, match=text):
        tj.value_and_grad(function).numba(example)


def test_a_function_that_wraps_a_wrapper_is_another_function():
    import functools

    g = tj.grad(lambda x: x**3)

    @functools.wraps(g)
    def twice(x):
        return 2 * g(x)

    assert run(tj.jit(twice).numba(2.0), 2.0) == (0, [24.0])


def test_sums_of_products_of_a_matrix_with_itself():
    """The slope of the sum is a matrix of ones, which the transposed product reads transposed."""
    x = np.linspace(-1.0, 2.0, 24).reshape(2, 3, 4)

    def function(x):
        return np.sum(x @ np.swapaxes(x, -1, -2)) + np.sum(np.swapaxes(2.0 * x, 1, 2) @ x)

    g = tj.value_and_grad(function)
    status, outputs = run(g.numba(x), x)
    assert status == 0
    agree(outputs, g(x))
    numeric = (function(x + 1e-6 * (x > 1.9)) - function(x - 1e-6 * (x > 1.9))) / 2e-6
    assert math.isclose(g(x)[1][x > 1.9].sum(), numeric, rel_tol=1e-7)
