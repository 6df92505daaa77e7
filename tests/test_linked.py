"""Functions of `tj.elementwise` that Numba compiles: called within kernels and native functions."""

from __future__ import annotations

import ctypes
import math
import os
import shutil
import subprocess
import sys

import numba
import numpy as np
import pytest

import tapejit as tj
from tapejit import config
from tapejit.codegen import linked_ir
from tapejit.runtime.kernels import statistics

TABLE = np.array([1.0, 2.5, -3.0, 4.0])


def lambert(x):
    w, step = math.log1p(x), 1.0
    while abs(step) > 1e-13:
        step = (w - x * math.exp(-w)) / (1 + w)
        w -= step
    return w


def picky(x):
    """Never ends for 2.25 and below: so not for padding, which is one."""
    y, n = x, 0
    while y > 2.5 or y <= 2.25:
        y = y * 0.9 if y > 2.5 else y
        n += 1
    return y + n + x % 0.3 + x**1.5


def steps(x):
    n = 0
    while x > 1.0:
        x *= 0.5
        n += 1
    return n


def mean(x, y):
    while abs(x - y) > 1e-6 * abs(x):
        x, y = (x + y) / 2, math.sqrt(x * y)
    return x


W = tj.elementwise(lambert, partials=lambda x: W(x) / (x * (1 + W(x))))
PICKY = tj.elementwise(picky, partials=lambda x: 2.0 * x)
STEPS = tj.elementwise(steps)
MEAN = tj.elementwise(mean)


def draw(shape, dtype=np.float64):
    return np.random.default_rng(1).uniform(3.0, 20.0, shape).astype(dtype)


def calls_of(function) -> str:
    """The steps of the one path of a function."""
    (path,) = tj.explain(function).paths
    return f"{len(path.kernels)} kernels, {path.library_calls} calls"


def unfused(function, monkeypatch):
    """The same function where kernels cannot call it."""
    monkeypatch.setattr(function.code, "node", lambda dtype: None)


# ---------------------------------------------------------------- in kernels


def programs():
    """Functions of x, with lengths of the inner axis around those of vectors, and reductions."""
    yield lambda x: 2.0 * PICKY(x) + x
    yield lambda x: np.sum(PICKY(x), -1)
    yield lambda x: np.sum(PICKY(x.T) * x.T, -1)
    yield lambda x: PICKY(x)[..., ::-2]
    yield lambda x: x + PICKY(x[..., :1])
    yield lambda x: PICKY(np.max(x, -1, keepdims=True)) * x - PICKY(x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(1,), (7,), (16,), (37,), (3, 5), (4, 17)])
def test_values_are_those_of_a_step_of_its_own(shape, dtype, monkeypatch):
    x = draw(shape, dtype)
    fused, own = [], []
    for program in programs():
        compiled = tj.jit(program)
        fused += [compiled(x), compiled(x)]
        assert ", 0 calls" in calls_of(compiled)
    unfused(PICKY, monkeypatch)
    for program in programs():
        compiled = tj.jit(program)
        own += [compiled(x), compiled(x)]
        assert ", 0 calls" not in calls_of(compiled)
    for one, other in zip(fused, own, strict=True):
        assert one.dtype == other.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=50 * np.finfo(dtype).eps)


def test_one_kernel_with_the_chain_around_it():
    x = draw(1003)
    value = tj.jit(lambda x: np.sin(2 * W(x * 2)) + 1)
    gradient = tj.value_and_grad(lambda x: np.sum(np.sin(W(x * 2))))
    np.testing.assert_allclose(value(x), np.sin(2 * W(x * 2)) + 1, atol=1e-15)
    gradient(x)
    assert calls_of(value) == calls_of(gradient) == "1 kernels, 0 calls"


def test_derivatives(monkeypatch):
    x = draw(9) / 10

    def loss(x):
        return np.sum(np.sin(W(x * 2)))

    fused = tj.grad(loss)(x), tj.hessian(loss)(x), tj.jvp(loss, (x,), (x,))[1]
    tj.check_grads(W, (x,), order=2)
    rows = tj.vmap(tj.grad(W))(x)
    unfused(W, monkeypatch)
    own = tj.grad(loss)(x), tj.hessian(loss)(x), tj.jvp(loss, (x,), (x,))[1]
    for one, other in zip(fused, own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)
    np.testing.assert_allclose(rows, tj.vmap(tj.grad(W))(x), rtol=1e-14)


def test_bodies_that_are_split():
    def program(x):
        for i in range(300):
            x = x * 1.0001 + 0.01 * np.cos(x + i)
        return PICKY(abs(x) + 3) * PICKY(x[0] + 3)

    x = draw(21)
    compiled = tj.jit(program)
    np.testing.assert_allclose(compiled(x), program(x), rtol=1e-13)
    assert ", 0 calls" in calls_of(compiled)


def test_dtypes():
    """What it returns becomes the arguments' dtype, integers are the default float."""
    compiled = tj.jit(lambda x: STEPS(x) + 0.5)
    for x in (np.array([1.0, 3.0, 9.0]), np.array([1, 3, 9]), np.float32([1, 3, 9])):
        expected = np.array([0.5, 2.5, 4.5], np.float32 if x.dtype == np.float32 else np.float64)
        assert compiled(x).dtype == expected.dtype
        np.testing.assert_array_equal(compiled(x), expected)
    column = np.array([[3.0], [8.0]])
    both = tj.jit(lambda x, y: 2 * MEAN(x, y))
    np.testing.assert_array_equal(both(column, draw(5)), 2 * MEAN(column, draw(5)))
    np.testing.assert_array_equal(both(column, 3.0), 2 * MEAN(column, 3.0))
    np.testing.assert_array_equal(both(column, np.ones((0,))), np.ones((2, 0)))
    half = tj.tensor([4.0, 9.0], dtype=tj.float16)
    assert tj.jit(lambda x: STEPS(x) * 2)(half).tolist() == [4.0, 8.0]


def test_tiers_have_the_same_bits(ir_lowering):
    x = draw(1003)
    results = []
    for tier in ("0", "1"):
        with config.set(tier=tier, kernels=0):
            results.append(tj.jit(lambda x: np.exp(-W(x)) + PICKY(x))(x))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("options", [{"backend": "numba"}, {"jit": False}], ids=["text", "python"])
def test_the_text_of_kernels_calls_it(options):
    x = draw(19)
    expected = np.sqrt(PICKY(x)) + STEPS(x), np.sqrt(PICKY(np.float32(x)))
    with config.set(**options):
        both = tj.jit(lambda x: np.sqrt(PICKY(x)) + STEPS(x))
        single = tj.jit(lambda x: np.sqrt(PICKY(x)))
        np.testing.assert_array_equal(both(x), expected[0])
        np.testing.assert_allclose(single(np.float32(x)), expected[1], rtol=1e-6)
        assert calls_of(both) == "1 kernels, 0 calls"


# ---------------------------------------------------------------- which functions


def raises(x):
    if x < 0:
        raise ValueError("below zero")
    while x > 1:
        x *= 0.5
    return x


@numba.njit
def divides(x):
    while x > 4.0:
        x = x / 2 - 1 / (x - 8)
    return x


@numba.njit(error_model="numpy")
def divides_like_numpy(x):
    while x > 4.0:
        x = x / 2 - 1 / (x - 8)
    return x


def allocates(x):
    halves = [x]
    while x > 1:
        x *= 0.5
        halves.append(x)
    return halves[-1]


def random(x):
    while x > 1:
        x *= np.random.random()
    return x


def looks_up(x):
    total, i = 0.0, 0
    while x > 1 and i < 4:
        total += TABLE[i]
        x *= 0.5
        i += 1
    return total


def recurses(x):
    return x if x <= 1 else recurses_too(x - 1) + 1


@numba.njit
def recurses_too(x):
    while x > 2.0:
        x -= 0.25
    return x


@pytest.mark.parametrize("function", [divides_like_numpy, looks_up, recurses])
def test_pure_functions_fuse(function):
    own, x = tj.elementwise(function), draw(11)
    compiled = tj.jit(lambda x: 2 * own(x))
    np.testing.assert_array_equal(compiled(x), 2 * own(x))
    assert calls_of(compiled) == "1 kernels, 0 calls"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (raises, "may raise"),
        (divides, "division by zero"),
        (allocates, "makes arrays"),
        (random, "calls numba_"),
    ],
)
def test_others_are_steps_of_their_own(function, why):
    own, x = tj.elementwise(function), draw(11)
    compiled = tj.jit(lambda x: 2 * own(x))
    assert np.all(np.isfinite(compiled(x)))
    assert calls_of(compiled) == "1 kernels, 1 calls"
    assert why in str(tj.explain(compiled))
    with pytest.raises(tj.errors.KernelError, match=f"{own.__name__} .*{why}"):
        compiled.numba(x)


def test_what_a_function_raises_is_raised():
    x = np.array([2.0, -1.0])
    own = tj.elementwise(raises)
    compiled = tj.jit(lambda x: 2 * own(x))
    for _ in range(3):
        assert compiled(np.ones(2)).tolist() == [2.0, 2.0]
        with pytest.raises(ValueError, match="below zero"):
            compiled(x)
    with pytest.raises(ZeroDivisionError):
        tj.elementwise(divides)(np.array([5.0, 8.0]))
    assert tj.elementwise(divides_like_numpy)(np.array([8.0]))[0] == -np.inf


def test_names_are_of_the_content():
    first, second = (
        tj.elementwise(lambert),
        tj.elementwise(numba.njit(error_model="numpy")(lambert)),
    )
    names = {W.code.node("f64"), first.code.node("f64"), second.code.node("f64")}
    assert len(names) == 1
    assert W.code.node("f32") not in names
    text = linked_ir.FUNCTIONS[names.pop()].text
    assert "inttoptr" not in text and "_ZN" not in text and "target" not in text


# ---------------------------------------------------------------- elsewhere

SCRIPT = """
import numpy as np, tapejit as tj
from tapejit.runtime import native

def halved(x):
    while x > 1.0:
        x *= 0.5
    return x

own = tj.elementwise(halved)
compiled = tj.jit(lambda x: 2 * own(x) + x)
made = []
real = native.compile_object
native.compile_object = lambda *args, **options: made.append(args) or real(*args, **options)
native._compile_trusted = lambda ir, tier: made.append(ir) or real(ir, tier)
print(compiled(np.arange(1.0, 12.0)).tolist(), len(made))
"""


def test_another_process_finds_it_on_disk(tmp_path):
    """The kernel's code names the function; its address is that of the process that loads it."""
    environment = os.environ | {
        "TAPEJIT_CACHE_DIR": str(tmp_path), "TAPEJIT_BACKEND": "ir", "TAPEJIT_JIT": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    lines = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines.append(done.stdout.strip().rpartition(" "))
    assert lines[0][0] == lines[1][0]
    assert int(lines[0][2]) >= 2 and int(lines[1][2]) == 0


def test_native_functions_call_it():
    x = draw(21)
    gradient = tj.value_and_grad(lambda x: np.sum(np.sin(PICKY(x) + W(x))))
    native = gradient.numba(x)

    @numba.njit
    def twice(x):
        value, slope = native(x)
        return value + native(x)[0], slope

    value, slope = gradient(x)
    np.testing.assert_allclose(twice(x)[0], 2 * value, rtol=1e-13)
    np.testing.assert_allclose(twice(x)[1], slope, rtol=1e-13)
    for n in (1, 2, 5, 16):
        each = tj.jit(lambda x: 2 * PICKY(x))
        np.testing.assert_array_equal(each.numba(x[:n])(x[:n]), each(x[:n]))
    assert tj.grad(W).numba(1.0)(1.0) == pytest.approx(tj.grad(W)(1.0), rel=1e-15)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_calls_it(tmp_path):
    x = draw(11)
    compiled = tj.jit(lambda x: 2 * PICKY(x) + W(x))
    made = tj.export(compiled, x, tmp_path / "linked.so")
    function = ctypes.CDLL(str(made.code)).linked
    y = np.empty(11)
    assert function(*(ctypes.c_void_p(a.ctypes.data) for a in (x, y)), None, 0) == 0
    np.testing.assert_allclose(y, compiled(x), rtol=1e-15)


def test_kernels_are_shared_between_equal_functions():
    x = draw(6)
    tj.jit(lambda x: 5.0 * W(x) + 3.0)(x)
    again = tj.elementwise(lambert)
    before = statistics.kernels_compiled
    tj.jit(lambda x: 5.0 * again(x) + 3.0)(x)
    assert statistics.kernels_compiled == before
