"""Loop kernels: compiled IR equals NumPy and equals the readable Python text."""

from __future__ import annotations

import ctypes
import math
import time

import numpy as np
import pytest
from kernel_case import (
    NUMPY,
    expected,
    load,
    make_case,
    meta_of,
    native,
    numbers,
    python,
    units_of,
)

from tapejit.codegen.loop_ir import emit_loop
from tapejit.codegen.loop_text import emit_source
from tapejit.codegen.vector_ops import constant, splat
from tapejit.errors import KernelError
from tapejit.expressions import INSTRUCTIONS, MATH, parse
from tapejit.families import numpy_evaluator
from tapejit.plan import LoopKernel, Node, Operand, Output
from tapejit.runtime.eager import IN_SCIPY

LENGTHS = (0, 1, 7, 8, 9, 31, 32, 33, 63, 4095, 4096, 4097, 10000)
INF, NAN = math.inf, math.nan


# ---------------------------------------------------------------- making kernels


def store(node, dtype, steps="1"):
    return Output(node, Operand(dtype, steps), None)


def one(fn, dtype, n_operands, result=None, steps="1"):
    """A kernel of a single function."""
    loads = tuple(Node("load", dtype, (k,)) for k in range(n_operands))
    node = Node(fn, result or dtype, tuple(range(n_operands)))
    inputs = (Operand(dtype, steps),) * n_operands
    return LoopKernel(1, inputs, (*loads, node), (store(n_operands, result or dtype),))


def reduction(reduce, dtype, steps, kept):
    inputs = (Operand(dtype, steps),)
    outputs = (Output(0, Operand(dtype, kept), reduce),)
    return LoopKernel(len(steps), inputs, (Node("load", dtype, (0,)),), outputs)


def random_kernel(rng, rank, n_nodes):
    """Loads, casts, arithmetic of all dtypes; stores and reductions of every pattern."""
    dtypes = list(NUMPY) if rng.random() < 0.6 else ["f32", "i32", "bool"]
    inputs = [Operand(str(rng.choice(dtypes)), random_steps(rng, rank)) for _ in range(3)]
    nodes = [Node("load", record.dtype, (k,)) for k, record in enumerate(inputs)]
    if "i64" in dtypes:
        nodes.append(Node("index", "i64", (int(rng.integers(rank)),)))
    for dtype in dtypes:
        nodes.append(Node("literal", dtype, (random_literal(rng, dtype),)))
        nodes.append(Node("cast", dtype, (int(rng.integers(len(nodes))),)))
    for _ in range(n_nodes):
        nodes.append(random_node(rng, nodes, dtypes))
    return LoopKernel(rank, tuple(inputs), tuple(nodes), tuple(random_outputs(rng, rank, nodes)))


def random_steps(rng, rank, letters="0s"):
    """At most one axis, most often the inner one, is contiguous."""
    steps = [str(rng.choice(list(letters))) for _ in range(rank)]
    if rng.random() < 0.6:
        steps[-1 if rng.random() < 0.8 else int(rng.integers(rank))] = "1"
    return "".join(steps)


def random_literal(rng, dtype):
    return bool(rng.integers(2)) if dtype == "bool" else float(rng.choice([0.1, -3, 2, 0.5, 7]))


def random_node(rng, nodes, dtypes):
    def pick(dtype):
        return int(rng.choice([i for i, node in enumerate(nodes) if node.dtype == dtype]))

    dtype = str(rng.choice(dtypes))
    if rng.random() < 0.2:
        return Node("cast", dtype, (int(rng.integers(len(nodes))),))
    if rng.random() < 0.2:
        return Node("select", dtype, (pick("bool"), pick(dtype), pick(dtype)))
    if dtype == "bool":
        fn = str(rng.choice(["and", "or", "not", "lt", "le", "gt", "ge", "eq", "ne"]))
        source = "bool" if fn in ("and", "or", "not") else str(rng.choice(dtypes))
        return Node(fn, dtype, tuple(pick(source) for _ in range(INSTRUCTIONS[fn])))
    names = ["add", "sub", "mul", "neg", "abs", "mod"]
    if dtype in ("f64", "f32"):
        names += ["div", "sqrt", "floor", "ceil", "trunc", "round", "copysign"]
    fn = str(rng.choice(names))
    return Node(fn, dtype, tuple(pick(dtype) for _ in range(INSTRUCTIONS[fn])))


def random_outputs(rng, rank, nodes):
    stored = len(nodes) - 1
    steps = "s" * (rank - 1) + str(rng.choice(["1", "s"]))
    yield store(stored, nodes[stored].dtype, steps)
    for _ in range(3):
        node = int(rng.integers(len(nodes)))
        kept = "".join(str(rng.choice(["0", "s"])) for _ in range(rank))
        # sums of any node may overflow or cancel: those have tests of their own
        fn = str(rng.choice(["max", "min"]))
        if "0" in kept:
            yield Output(node, Operand(nodes[node].dtype, kept), fn)


def assert_same(got, want):
    """Equal bits, except that any NaN equals any other."""
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
        if x.dtype.kind == "f":
            is_number = ~np.isnan(x)
            np.testing.assert_array_equal(np.signbit(x)[is_number], np.signbit(y)[is_number])


# ---------------------------------------------------------------- loops


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_lengths(n, dtype):
    """x * 2.5 + y - z with contiguous, splat and strided operands, and its sum."""
    nodes = (
        Node("load", dtype, (0,)), Node("load", dtype, (1,)), Node("load", dtype, (2,)),
        Node("literal", dtype, (2.5,)), Node("mul", dtype, (0, 3)), Node("add", dtype, (4, 1)),
        Node("sub", dtype, (5, 2)),
    )  # fmt: skip
    inputs = tuple(Operand(dtype, steps) for steps in "10s")
    outputs = (store(6, dtype), store(4, dtype, "s"), Output(6, Operand(dtype, "0"), "sum"))
    case = make_case(LoopKernel(1, inputs, nodes, outputs), (n,))
    want, got = expected(case), native(case)
    assert_same(got[:2], want[:2])
    tolerance = 1e-11 if dtype == "f64" else 2e-3
    np.testing.assert_allclose(got[2], want[2], rtol=tolerance, atol=tolerance)
    if n < 100:
        ran = python(case)
        assert_same(ran[:2], want[:2])
        np.testing.assert_allclose(ran[2], want[2], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels(seed):
    rng = np.random.default_rng(seed)
    rank = 1 + seed % 3
    lengths = (0, 1, 7, 8, 9, 16, 17, 35) if rank > 1 else (0, 1, 7, 8, 63, 4095, 4097)
    kernel = random_kernel(rng, rank, int(rng.integers(1, 25)))
    outer = [int(rng.choice([0, 1, 2, 3, 5], p=[0.05, 0.2, 0.25, 0.25, 0.25])) for _ in "ab"]
    shape = (*outer[: rank - 1], int(rng.choice(lengths)))
    case = make_case(kernel, shape, seed)
    want = expected(case)
    assert_same(native(case, tier=int(seed % 5 == 0)), want)
    if np.prod(shape) < 700:
        assert_same(python(case), want)


@pytest.mark.parametrize("reduce", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("dtype", list(NUMPY))
@pytest.mark.parametrize("steps,kept,shape", [
    ("1", "0", (10000,)), ("1", "0", (0,)), ("s", "0", (37,)), ("0", "0", (9,)),
    ("s1", "00", (5, 37)), ("s1", "10", (5, 37)), ("s1", "01", (5, 37)), ("1s", "0s", (6, 9)),
    ("ss1", "000", (2, 3, 17)), ("ss1", "s01", (2, 3, 17)), ("ss1", "0s0", (2, 3, 17)),
    ("s1", "01", (0, 5)), ("s1", "s0", (3, 0)),
])  # fmt: skip
def test_reductions(reduce, dtype, steps, kept, shape):
    kernel = reduction(reduce, dtype, steps, kept)
    if dtype == "bool" and reduce in ("sum", "prod"):
        for emit in (emit_loop, emit_source):
            with pytest.raises(KernelError, match=f"no {reduce} of bool"):
                emit(kernel, "k")
        return
    case = make_case(kernel, shape, seed=3)
    if reduce == "prod" and dtype in ("f64", "f32"):  # keep long products near 1
        case.inputs[0].base[:] = 1 + case.inputs[0].base / 256
    want = expected(case)
    for got in [native(case)] + ([python(case)] if np.prod(shape) < 1000 else []):
        if reduce in ("sum", "prod") and dtype in ("f64", "f32"):
            bound = np.abs(case.inputs[0].base.astype(np.float64)).sum() + 1
            error = np.abs(got[0] - want[0]) / (bound if reduce == "sum" else np.abs(want[0]))
            assert (error < 200 * np.finfo(NUMPY[dtype]).eps).all()
        else:
            assert_same(got, want)


@pytest.mark.parametrize("position", [0, 3, 8, 4100, 9999])
@pytest.mark.parametrize("reduce", ["max", "min"])
def test_nan_comes_out_of_max_and_min(reduce, position):
    case = make_case(reduction(reduce, "f64", "1", "0"), (10000,))
    case.inputs[0].base[position] = NAN
    assert np.isnan(native(case)[0]).all()
    assert np.isnan(python(case)[0]).all()


def test_accuracy_of_long_sums():
    case = make_case(reduction("sum", "f64", "1", "0"), (2_000_003,))
    exact = math.fsum(case.inputs[0].base[:2_000_003].tolist())
    assert abs(native(case)[0][0] - exact) < 1e-11


def test_handing_out_units_in_pieces_changes_no_bit():
    nodes = (Node("load", "f64", (0,)), Node("mul", "f64", (0, 0)))
    outputs = (Output(1, Operand("f64", "0"), "sum"), store(1, "f64"))
    case = make_case(LoopKernel(1, (Operand("f64", "1"),), nodes, outputs), (50_001,))
    whole = native(case)
    for cuts in ((1,), (5, 6), (3, 3, 12)):
        assert_same(native(case, cuts=cuts), whole)


# ---------------------------------------------------------------- splits and tiers


@pytest.mark.parametrize("seed", range(4))
def test_split_bodies_have_the_same_bits(seed):
    rng = np.random.default_rng(100 + seed)
    kernel = random_kernel(rng, 1 + seed % 2, 150)
    case = make_case(kernel, (3, 29) if kernel.rank == 2 else (4101,), seed)
    whole = native(case)
    assert_same(whole, expected(case))
    for split in (1, 37, 100):
        assert_same(native(case, split=split), whole)
    assert_same(native(case, tier=1), whole)


def test_long_bodies_are_split_by_themselves():
    nodes = [Node("load", "f64", (0,)), Node("load", "f64", (1,))]
    for i in range(1200):
        nodes.append(Node(("add", "sub", "abs")[i % 3], "f64", (i + 1, i)[: 2 - i % 3 // 2]))
    inputs = (Operand("f64", "1"), Operand("f64", "0"))
    kernel = LoopKernel(1, inputs, tuple(nodes), (store(len(nodes) - 1, "f64"),))
    assert emit_loop(kernel, "k").ir.count("define internal void @k_part") == 1 + 3
    case = make_case(kernel, (20,))
    assert_same(native(case), expected(case))
    assert_same(native(case, split=10_000), expected(case))


def test_printing_is_linear_and_fast():
    """The budget is 2 µs a node; ten times that is a mistake, not a busy machine."""
    times = []
    for n in (400, 4000):
        nodes = [Node("load", "f64", (0,))]
        nodes += [Node("add", "f64", (i, max(i - 1, 0))) for i in range(n)]
        inputs = (Operand("f64", "1"),)
        kernel = LoopKernel(1, inputs, tuple(nodes), (store(n, "f64"),))
        tries = []
        for _ in range(5):
            begin = time.perf_counter()
            emit_loop(kernel, "k")
            tries.append((time.perf_counter() - begin) / n)
        times.append(min(tries))
    assert max(times) < 20e-6


# ---------------------------------------------------------------- single functions


def check_on(kernel, *columns, want=None):
    fill = [np.concatenate([column, numbers(np.random.default_rng(0), kernel.inputs[0].dtype, 2)])
            for column in columns]  # fmt: skip
    case = make_case(kernel, (len(columns[0]),), fill=fill)
    want = expected(case) if want is None else [want]
    assert_same(native(case), want)
    assert_same(python(case), want)


SPECIAL = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -3.7, 1e300, -1e300, 2.0**52 + 1,
                    5e-324, INF, -INF, NAN])  # fmt: skip


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(
    "fn", [fn for fn in INSTRUCTIONS if fn not in ("and", "or", "not", "select")]
)
def test_instructions_at_special_points(fn, dtype):
    with np.errstate(over="ignore", under="ignore"):
        special = SPECIAL.astype(NUMPY[dtype])
    n = INSTRUCTIONS[fn]
    result = "bool" if fn in ("lt", "le", "gt", "ge", "eq", "ne") else None
    columns = [special] if n == 1 else [x.ravel() for x in np.meshgrid(special, special)]
    check_on(one(fn, dtype, n, result), *columns)


INTEGERS = ["add", "sub", "mul", "mod", "fmod", "neg", "abs", "lt", "eq", "floor"]


@pytest.mark.parametrize("dtype", ["i64", "i32"])
@pytest.mark.parametrize("fn", INTEGERS)
def test_integers_wrap_and_never_trap(fn, dtype):
    info = np.iinfo(NUMPY[dtype])
    values = np.array([info.min, info.max, -7, -1, 0, 1, 2, 7], NUMPY[dtype])
    n = INSTRUCTIONS[fn]
    result = "bool" if fn in ("lt", "eq") else None
    columns = [values] if n == 1 else [x.ravel() for x in np.meshgrid(values, values)]
    check_on(one(fn, dtype, n, result), *columns)


@pytest.mark.parametrize("source", list(NUMPY))
@pytest.mark.parametrize("dtype", list(NUMPY))
def test_casts(source, dtype):
    if source == "bool":
        values = np.array([True, False] * 10)
    elif source in ("i64", "i32"):
        info = np.iinfo(NUMPY[source])
        values = np.array([info.min, info.max, -1, 0, 1, 2**31 - 1, 77], NUMPY[source])
    else:
        with np.errstate(all="ignore"):
            edges = [2.0**31, -(2.0**31), 2.0**63, -(2.0**63), 2.0**31 - 1, 1e10]
            values = np.concatenate([SPECIAL, edges]).astype(NUMPY[source])
    check_on(one("cast", source, 1, dtype), values)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("fn", list(MATH))
def test_math_functions(fn, dtype):
    """Values to a few ulp, special values exactly: native, Python text and the reference agree."""
    n = MATH[fn]
    rng = np.random.default_rng(1)
    with np.errstate(all="ignore"):
        special = np.concatenate([SPECIAL, [1.0, -1.0, 2.0, -2.0, 3.0, 710.0, -750.0, 1024.0]])
        special = special.astype(NUMPY[dtype])
    columns = [special] if n == 1 else [x.ravel() for x in np.meshgrid(special, special)]
    columns = [np.concatenate([x, rng.normal(size=300).astype(x.dtype)]) for x in columns]
    fill = [np.concatenate([column, column[:2]]) for column in columns]
    case = make_case(one(fn, dtype, n), (len(columns[0]),), fill=fill)
    if fn in PHYSICS:
        check_against_scipy(fn, dtype, columns[0], case)
        return
    if fn in ("erf", "erfc"):
        want = [np.array([getattr(math, fn)(x) for x in columns[0]], NUMPY[dtype])]
    else:
        want = expected(case)
    rtol, atol = (1e-14, 1e-300) if dtype == "f64" else (2e-6, 1e-37)
    if dtype == "f64":
        np.testing.assert_allclose(python(case)[0], want[0], rtol=4e-15, atol=atol)
    else:
        np.testing.assert_allclose(python(case)[0], want[0], rtol=rtol, atol=atol)
    np.testing.assert_allclose(native(case)[0], want[0], rtol=rtol, atol=atol)


PHYSICS = set(IN_SCIPY) - {"erf", "erfc"}


def check_against_scipy(fn, dtype, x, case):
    """The two texts agree, and with SciPy where its argument is of moderate size.

    SciPy has digits lost next to zeros of the functions, in large angles and at subnormal numbers;
    test_vectormath.py measures the native code against mpmath.
    """
    with np.errstate(all="ignore"):
        want = numpy_evaluator(parse(f"math.{fn}(x)", ("x",)))(x)
        usual = ~((np.abs(x) > 1e6) | (np.abs(x) < 1e-30)) | np.isinf(x) | (x == 0)
    tolerances = {"rtol": 1e-12, "atol": 1e-14} if dtype == "f64" else {"rtol": 2e-4, "atol": 1e-6}
    text, machine = python(case)[0][: x.size], native(case)[0][: x.size]
    np.testing.assert_allclose(text, machine, **tolerances)
    np.testing.assert_allclose(text[usual], want[usual], **tolerances)


def test_mixed_float32_and_float64():
    nodes = (
        Node("load", "f32", (0,)), Node("load", "f64", (1,)), Node("cast", "f64", (0,)),
        Node("mul", "f64", (2, 1)), Node("cast", "f32", (3,)), Node("lt", "bool", (2, 1)),
        Node("select", "f32", (5, 0, 4)),
    )  # fmt: skip
    inputs = (Operand("f32", "1"), Operand("f64", "s"))
    outputs = (store(6, "f32"), store(5, "bool"), store(3, "f64", "s"))
    case = make_case(LoopKernel(1, inputs, nodes, outputs), (101,))
    assert_same(native(case), expected(case))
    assert_same(python(case), expected(case))


def test_in_place():
    """The output is the input's memory: loads of an iteration come before its stores."""
    nodes = (Node("load", "f64", (0,)), Node("mul", "f64", (0, 0)))
    kernel = LoopKernel(1, (Operand("f64", "1"),), nodes, (store(1, "f64"),))
    for n in (5, 8, 77, 4103):
        case = make_case(kernel, (n,))
        want = expected(case)[0]
        library, meta = load(emit_loop(kernel, "k")), meta_of(case)
        x = case.inputs[0].base.copy()
        pointers = (ctypes.c_void_p * 2)(x.ctypes.data, x.ctypes.data)
        call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)
        call(library.address("k"))(ctypes.addressof(pointers), meta.ctypes.data, 0, units_of(case))
        np.testing.assert_array_equal(x[:n], want)


# ---------------------------------------------------------------- text


def test_constants():
    assert constant(0.1, "f32") == "0x3FB99999A0000000"
    assert constant(0.1, "f64") == "0x3FB999999999999A"
    assert constant(1e300, "f32") == constant(INF, "f64") == "0x7FF0000000000000"
    assert constant(-0.0, "f64") == "0x8000000000000000"
    assert constant(2**31, "i32") == "-2147483648"
    assert splat(True, "bool") == "splat (i1 true)"


def test_exports_and_imports():
    nodes = (Node("load", "f64", (0,)), Node("exp", "f64", (0,)), Node("tanh", "f64", (1,)))
    outputs = (
        store(2, "f64", "s1"),
        Output(2, Operand("f64", "00"), "sum"),
        Output(2, Operand("f64", "01"), "sum"),
    )
    text = emit_loop(LoopKernel(2, (Operand("f64", "s1"),), nodes, outputs), "k7")
    assert text.exports == ("k7", "k7_start", "k7_finish")
    assert text.imports == (("exp", "f64", 8), ("tanh", "f64", 8))
    kernel = LoopKernel(1, (Operand("f32", "1"),), (Node("load", "f32", (0,)),), (store(0, "f32"),))
    assert emit_loop(kernel, "a").exports == ("a",)


def test_refusals():
    with pytest.raises(KernelError, match="no div of i64"):
        emit_loop(one("div", "i64", 2), "k")
    with pytest.raises(KernelError, match="output 0 is f32, its node 1 is f64"):
        kernel = one("neg", "f64", 1)
        emit_loop(kernel._replace(outputs=(store(1, "f32"),)), "k")
