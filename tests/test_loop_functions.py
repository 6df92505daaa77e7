"""Python functions printed as LLVM IR (codegen/loop_functions.py): what they compute, and refusals.

Each function below runs as Python and compiled, on the same memory; both leave the same numbers.
"""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tapejit.codegen import callees
from tapejit.codegen.loop_functions import Natives, emit_loop_functions, math_call
from tapejit.errors import KernelError
from tapejit.ops.loops.words import exp, floor, sqrt, wide
from tapejit.runtime import native
from tapejit.runtime.libraries import math_library

KINDS = {"f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.uint8}
NOBODY = Natives(lambda function: False, lambda function: "")
STEP = 3


def integers(args, meta, begin, end):
    """Rounding down, ranges, conditions; meta has numbers of both signs."""
    (y,) = args
    p = 0
    for i in range(begin, end):
        for j in range(begin, end):
            a, b = meta[i], meta[j]
            if b == 0:
                continue
            y[p], y[p + 1], y[p + 2] = a // b, a % b, min(a, -b)
            y[p + 3] = (a < b) | (a == 3 and not b > 2)
            y[p + 4] = a if a > b or b != -2 else b
            p += 5
    for i in range(20, 0, -STEP):
        y[p] = i
        p += 1
    for i in range(2, 30, meta[0]):
        y[p] = i
        p += 1
    while p < 400 and p != 390:
        y[p] = p
        p += step_of(p, meta)


def step_of(p, numbers):
    if p % 2 == 1:
        return 1
    return numbers[0] - 5


def numbers(args, meta, begin, end):
    """Kinds of memory in one another's arithmetic, stores and comparisons."""
    x, y, flags, z = args
    total = wide(0)
    for i in range(begin, end):
        v, w = x[i], y[i]
        total += wide(v) * wide(w)
        z[i] = total
        flags[i] = v > w
        if v != v or v <= w:
            flags[i] += 2
        y[i] -= v


def compiled(function, dtypes, is_float=True, imports=None):
    text = emit_loop_functions("kernel", function, dtypes, is_float, NOBODY)
    library = native.load(native.compile_object(text, 3), ("kernel",), imports)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)
    loop = kind(library.address("kernel"))

    def run(arrays, meta, begin, end):
        pointers = np.array([array.ctypes.data for array in arrays])
        loop(pointers.ctypes.data, meta.ctypes.data, begin, end)

    run.library = library
    return run


@pytest.mark.parametrize("dtype", ("i64", "i32"))
def test_integers(dtype):
    meta = np.array([7, -7, 2, -2, 0, 3, 1, -1, 100])
    want, got = np.zeros(420, KINDS[dtype]), np.zeros(420, KINDS[dtype])
    integers((want,), meta, 0, len(meta))
    compiled(integers, (dtype,))((got,), meta, 0, len(meta))
    assert want.any() and np.array_equal(got, want)


@pytest.mark.parametrize(
    "dtypes", (("f64", "f64"), ("f32", "f32"), ("i32", "i64"), ("bool", "i32"))
)
def test_numbers(dtypes):
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 2, 50).astype(KINDS[d]) for d in dtypes)
    is_float = dtypes[0].startswith("f")
    if is_float:
        x[3], y[4] = np.nan, 0.25
        x[:3] += 0.1
    meta, result = np.zeros(1, np.int64), "f64" if is_float else "i64"
    operands = [[x, y.copy(), np.zeros(50, np.uint8), np.zeros(50, KINDS[result])] for _ in "12"]
    numbers(operands[0], meta, 0, 50)
    compiled(numbers, (*dtypes, "bool", result), is_float)(operands[1], meta, 0, 50)
    for want, got in zip(*operands, strict=True):
        np.testing.assert_array_equal(got, want)


def roots(args, meta, begin, end):
    """What only floats have."""
    x, y = args
    for i in range(begin, end):
        v = x[i]
        y[i] = sqrt(v if v > 0 else -v) / 3 - v / meta[0]


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_roots_and_quotients(dtype):
    x = np.linspace(-2, 2, 9).astype(KINDS[dtype])
    want, got, meta = np.zeros_like(x), np.zeros_like(x), np.array([7])
    roots((x, want), meta, 0, 9)
    compiled(roots, (dtype, dtype), True)((x, got), meta, 0, 9)
    np.testing.assert_allclose(got, want, 4 * np.finfo(x.dtype).eps)


RATE = 0.75


def curves(args, meta, begin, end):
    """Constants with a point, functions that return floats, the vector mathematics."""
    x, y = args
    for i in range(begin, end):
        y[i] = curve(wide(x[i]), meta[0]) + RATE


def curve(v, n):
    if v < 0.0 and floor(v) != v:
        return -abs(v)
    total, k = 0.5, 0
    while k < n:
        total += exp(-v) * k
        k += 1
    return total


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_functions_of_wide_numbers(dtype):
    x = np.linspace(-2, 2, 9).astype(KINDS[dtype])
    want, got, meta = np.zeros_like(x), np.zeros_like(x), np.array([3])
    curves((x, want), meta, 0, 9)
    call = math_call(exp)
    library = math_library(call)
    imports = {callees.symbol(*call): library.address(callees.symbol(*call))}
    compiled(curves, (dtype, dtype), imports=imports)((x, got), meta, 0, 9)
    np.testing.assert_allclose(got, want, 4 * np.finfo(x.dtype).eps)


def returns_both(args, meta, begin, end):
    args[0][0] = both(meta[0])


def both(n):
    if n > 1:
        return 1
    return 0.5


def of_integers(args, meta, begin, end):
    args[0][0] = 0.5


def test_floats_are_for_wide_numbers():
    with pytest.raises(KernelError, match="floats where wide numbers are"):
        emit_loop_functions("kernel", of_integers, ("i64",), False, NOBODY)


def two_kinds(args, meta, begin, end):
    a = begin
    a = args[0][a]


def read_perhaps(args, meta, begin, end):
    x, y = args
    y[0] = x[begin] if begin > 0 else x[end]


def divided(args, meta, begin, end):
    args[0][0] = meta[0] / 2


def unknown(args, meta, begin, end):
    print(meta[0])


@pytest.mark.parametrize(
    ("function", "said"),
    (
        (two_kinds, "a is i64 and becomes double in line"),
        (read_perhaps, "computed always"),
        (divided, "no operator Div of i64"),
        (unknown, "unknown function"),
        (returns_both, "returns i64 and double"),
    ),
)
def test_refusals_name_the_line(function, said):
    with pytest.raises(KernelError, match=said):
        emit_loop_functions("kernel", function, ("f64", "f64"), True, NOBODY)
