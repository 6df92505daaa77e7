"""CUDA kernels on a simulated GPU: every record of the register, random kernels, row kernels.

Against the row-by-row reference, or NumPy node by node, at sizes of some hundred elements: blocks
have 8 threads here (or 32), so several blocks, splits and partial results are met all the same.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import test_rows
from cuda_plans import functions_of, reads_of_inputs, run_launches, run_plan
from kernel_case import NUMPY, expected, make_case, result
from probing import (
    cases,
    close,
    cotangent_of,
    evaluate,
    inputs_of,
    is_differentiable,
    probed,
    recorded,
)
from test_loop_ir import assert_same, one, random_kernel, reduction, store

from tapejit import dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.codegen import scalar_math
from tapejit.codegen.cuda import folds, functions, kernels, launches
from tapejit.codegen.cuda.kernels import launches_of
from tapejit.errors import KernelError
from tapejit.expressions import FUNCTIONS, MATH, PREDICATES
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, RowStep, View
from tapejit.registry import OPS
from tapejit.runtime import reference
from tapejit.schedule import templates
from tapejit.schedule.planner import schedule
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

INF, NAN = math.inf, math.nan


def run_case(case, block=8):
    """The outputs of one kernel, which wrote nothing else."""
    layouts = [*case.inputs, *case.outputs]
    views = tuple(
        View(number, layout.first, case.shape, layout.strides)
        for number, layout in enumerate(layouts)
    )
    memory = [layout.base.copy() for layout in layouts]
    run_launches(launches_of(KernelStep(case.kernel, case.shape, views), block), views, memory)
    return result(case, memory[len(case.inputs) :])


def agrees(program, arrays, tolerance, block=8):
    """The kernels of a program and the row-by-row reference; whether there are any."""
    plan = schedule(simplify(program), device=True)
    if not any(isinstance(step, KernelStep | RowStep) for step in plan.steps):
        return False
    with np.errstate(all="ignore"):
        wanted = reference.run(program, arrays)
    for got, want in zip(run_plan(plan, arrays, block), wanted, strict=True):
        if want.dtype.kind in "fc":
            close(got, want, tolerance)
        else:
            np.testing.assert_array_equal(got, want)
    return True


# ---------------------------------------------------------------- every record


@pytest.mark.parametrize("op", probed(), ids=lambda op: op.name)
def test_every_record(op):
    """Value and gradient of an operation's probes."""
    for case in cases(op):
        if case.dtype.is_complex:
            continue
        arrays = inputs_of(case)
        record = recorded(case, arrays)
        tolerance = 1e-10 if case.dtype is not dtypes.float32 else 2e-4
        agrees(Program(record.tape, record.inputs, [record.row]), arrays, tolerance)
        if is_differentiable(case):
            pull = reverse(record.tape, (record.row,), record.floats)
            rows = [row for row in pull.results if row >= 0]
            program = Program(pull.tape, (*record.inputs, *pull.seeds), rows)
            gy = cotangent_of(case, evaluate(case, arrays))
            if rows:
                agrees(program, [*arrays, gy], 10 * tolerance)


# ---------------------------------------------------------------- every function

NUMBERS = (
    0.0, -0.0, 0.3, -0.3, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 7.0, -11.0, 40.0, 1e10, INF, -INF,
    NAN,
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("fn", [f for f in FUNCTIONS if f not in PREDICATES and f != "select"])
def test_functions_of_floats(fn, dtype):
    """All pairs of special numbers, against the functions of the CPU's texts."""
    n = FUNCTIONS[fn]
    numbers = np.array(NUMBERS, NUMPY[dtype])
    if fn in MATH and functions.call(fn, dtype).startswith(("math.", "cuda.")):
        numbers = numbers[np.isfinite(numbers)]  # the edges of the simulator's are NumPy's
    columns = [numbers] if n == 1 else [a.ravel() for a in np.meshgrid(numbers, numbers)]
    fill = [np.concatenate([c, c[:2]]) for c in columns]
    case = make_case(one(fn, dtype, n), (len(columns[0]),), fill=fill)
    (got,) = run_case(case)
    if fn in MATH or fn in ("mod", "fmod", "floordiv"):
        function = getattr(scalar_math, fn)
        with np.errstate(all="ignore"):
            want = [NUMPY[dtype](function(*map(float, row))) for row in zip(*columns, strict=True)]
        tolerance = {"f64": 1e-12, "f32": 2e-5}[dtype]
        at_poles = fn in ("digamma", "trigamma", "tan")  # float32 reflects less exactly
        np.testing.assert_allclose(got, want, tolerance, 1e-4 if at_poles else 1e-6)
    else:
        assert_same([got], expected(case))


@pytest.mark.parametrize("dtype", ["i64", "i32"])
@pytest.mark.parametrize("fn", ["mod", "fmod", "floordiv", "add", "sub", "mul", "neg", "abs"])
def test_functions_of_integers(fn, dtype):
    numbers = np.array([0, 1, -1, 2, -3, 7, -8, 100, np.iinfo(NUMPY[dtype]).min], NUMPY[dtype])
    n = FUNCTIONS[fn]
    columns = [numbers] if n == 1 else [a.ravel() for a in np.meshgrid(numbers, numbers)]
    fill = [np.concatenate([c, c[:2]]) for c in columns]
    case = make_case(one(fn, dtype, n), (len(columns[0]),), fill=fill)
    (got,) = run_case(case)
    calls = {"mod": scalar_math.mod_int, "fmod": scalar_math.fmod_int}
    calls |= {"floordiv": scalar_math.floordiv_int}
    with np.errstate(all="ignore"):
        if fn in calls:
            want = np.array([calls[fn](*row) for row in zip(*columns, strict=True)], NUMPY[dtype])
        else:
            (want,) = expected(case)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("to", list(NUMPY))
@pytest.mark.parametrize("source", list(NUMPY))
def test_casts(source, to):
    """Floats saturate, nan becomes 0, anything but 0 is true."""
    nodes = (Node("load", source, (0,)), Node("cast", to, (0,)))
    kernel = LoopKernel(1, (Operand(source, "1"),), nodes, (store(1, to),))
    numbers = np.array([0.0, 1.5, -1.5, 3e9, -3e9, 1e19, -1e19, INF, -INF, NAN, 0.25])
    with np.errstate(all="ignore"):
        fill = numbers.astype(NUMPY[source])
    case = make_case(kernel, (len(numbers),), fill=[np.concatenate([fill, fill[:2]])])
    with np.errstate(all="ignore"):
        assert_same(run_case(case), expected(case))


def test_every_function_has_a_text():
    """Of each dtype that templates use it with."""
    for fn, n in FUNCTIONS.items():
        for dtype in NUMPY:
            allowed = {"bool": templates._ON_BOOLS, "i64": templates._ON_INTEGERS}
            allowed["i32"] = allowed["i64"]
            if fn in ("and", "or", "not") and dtype != "bool":
                continue
            if fn not in allowed.get(dtype, FUNCTIONS):
                continue
            if fn == "select":
                nodes = (
                    Node("load", "bool", (0,)), Node("load", dtype, (1,)),
                    Node("select", dtype, (0, 1, 1)),
                )  # fmt: skip
                inputs = (Operand("bool", "1"), Operand(dtype, "1"))
                kernel = LoopKernel(1, inputs, nodes, (store(2, dtype),))
            else:
                kernel = one(fn, dtype, n, "bool" if fn in PREDICATES else None)
            view = View(0, 0, (3,), (1,))
            views = (view,) * (len(kernel.inputs) + 1)
            launches = launches_of(KernelStep(kernel, (3,), views), 8)
            assert "kernel" in launches.launches[0].function.source


# ---------------------------------------------------------------- random kernels


@pytest.mark.parametrize("seed", range(60))
def test_random_kernels(seed):
    """All dtypes; stores and reductions of every pattern, at once."""
    rng = np.random.default_rng(seed)
    rank = 1 + seed % 4
    lengths = (0, 1, 7, 8, 9, 16, 35) if rank > 1 else (0, 1, 7, 8, 63, 300)
    kernel = random_kernel(rng, rank, int(rng.integers(1, 25)))
    outer = [int(rng.choice([0, 1, 2, 3, 5], p=[0.05, 0.2, 0.25, 0.25, 0.25])) for _ in "abc"]
    shape = (*outer[: rank - 1], int(rng.choice(lengths)))
    case = make_case(kernel, shape, seed)
    assert_same(run_case(case, (8, 32)[seed % 2]), expected(case))


@pytest.mark.parametrize("reduce", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("dtype", list(NUMPY))
@pytest.mark.parametrize("steps,kept,shape", [
    ("1", "0", (1000,)), ("1", "0", (0,)), ("s", "0", (37,)), ("0", "0", (9,)),
    ("s1", "00", (5, 37)), ("s1", "10", (5, 137)), ("s1", "01", (137, 5)), ("1s", "0s", (6, 9)),
    ("s1", "s0", (70, 3)), ("s1", "01", (3, 70)), ("ss1", "000", (2, 3, 17)),
    ("ss1", "s01", (2, 300, 3)), ("ss1", "0s0", (12, 3, 17)), ("ss1", "0s0", (40, 2, 3)),
    ("s1", "01", (0, 5)), ("s1", "s0", (3, 0)), ("ss1", "s00", (2, 30, 9)),
])  # fmt: skip
def test_reductions(reduce, dtype, steps, kept, shape):
    kernel = reduction(reduce, dtype, steps, kept)
    case = make_case(kernel, shape, seed=3)
    if dtype == "bool" and reduce in ("sum", "prod"):
        with pytest.raises(KernelError, match=f"no {reduce} of bool"):
            run_case(case)
        return
    if reduce == "prod" and dtype in ("f64", "f32"):  # keep long products near 1
        case.inputs[0].base[:] = 1 + case.inputs[0].base / 256
    (got,), (want,) = run_case(case), expected(case)
    if reduce in ("sum", "prod") and dtype in ("f64", "f32"):
        bound = np.abs(case.inputs[0].base.astype(np.float64)).sum() + 1
        error = np.abs(got - want) / (bound if reduce == "sum" else np.abs(want))
        assert (error < 200 * np.finfo(NUMPY[dtype]).eps).all()
    else:
        assert_same([got], [want])


@pytest.mark.parametrize("seed", range(12))
def test_indices_of_64_bits(seed, monkeypatch):
    """As for arrays that int32 does not reach."""
    monkeypatch.setattr(launches, "SMALL_INDEX", 1)
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng, 1 + seed % 3, 9)
    case = make_case(kernel, (*((3, 4)[: seed % 3]), 35), seed)
    assert_same(run_case(case), expected(case))
    steps = test_rows.value_and_gradient(test_rows.softmax, *[aval((5, 37), dtypes.float64)] * 2)
    assert agrees(steps, test_rows.draw(steps, seed), 1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape,block", [
    ((40, 33), 8), ((2, 35, 70), 8), ((33, 7), 8), ((40, 33), 256), ((2, 3, 17, 20), 32),
])  # fmt: skip
def test_transposes(shape, block, dtype):
    """Arrays that lie across, with one that does not, a number a row, and a total."""
    dtype = dtypes.named(dtype)
    builder = Builder()
    turned = (*shape[:-2], shape[-1], shape[-2])
    axes = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    shapes = (shape, turned, turned, (*shape[:-1], 1))
    a, b, c, r = [builder.input(aval(s, dtype)) for s in shapes]
    b, c = (OPS["permute"](x, axes=axes) for x in (b, c))
    y = OPS["where"](OPS["lt"](a, b), c, OPS["expand"](r, shape=shape))
    over = OPS["amax"](y, axes=tuple(range(len(shape))), keepdim=False)
    program = Program(builder.tape, list(range(4)), [y.row, OPS["logical_not"](b).row, over.row])
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 3, s).astype(dtype.dtype) for s in shapes]
    assert agrees(program, arrays, 1e-6, block)
    found = functions_of(schedule(simplify(program), device=True), block)
    assert any("tile" in function.source for function in found)


@pytest.mark.parametrize("length", [100, 700])
def test_rows_longer_than_registers(length, monkeypatch):
    """They are read again for each loop."""
    monkeypatch.setattr(kernels, "HELD", (1,))
    for function in test_rows.FUNCTIONS:
        a = aval((3, length), dtypes.float64)
        program = test_rows.value_and_gradient(function, a, a)
        assert agrees(program, test_rows.draw(program), 1e-10)


@pytest.mark.parametrize("length", [3, 8, 17, 70])
def test_several_rows_a_block(length, monkeypatch):
    """As where there are many."""
    monkeypatch.setattr(kernels, "FEW_BLOCKS", 0)
    for function in (test_rows.softmax, test_rows.layer_norm, test_rows.logsumexp_flat):
        a = aval((11, length), dtypes.float64)
        program = test_rows.value_and_gradient(function, a, a)
        assert agrees(program, test_rows.draw(program), 1e-10, 64)


def with_columns(function, shape, dtype=dtypes.float64):
    """The value and all gradients, those of vectors with a number for each column among them."""
    n_vectors = function.__code__.co_argcount - 2
    avals = [aval(shape, dtype)] * 2 + [aval(shape[-1:], dtype)] * n_vectors
    return test_rows.value_and_gradient(function, *avals)


@pytest.mark.parametrize("blocks", [1, 3, 512])
@pytest.mark.parametrize("shape,block", [
    ((5, 37), 8), ((2, 3, 64), 8), ((19, 16), 64), ((70, 5), 8), ((3, 90), 8), ((1, 20), 8),
    ((67, 40), 128), ((9, 150), 64), ((33, 33), 128),
])  # fmt: skip
def test_rows_and_columns_in_one_launch(shape, block, blocks, monkeypatch):
    """Gradients of what is added to all rows, while these are in registers."""
    monkeypatch.setattr(kernels, "FEW_BLOCKS", (256, 0)[shape[0] % 2])
    monkeypatch.setattr(kernels, "BLOCKS_WITH_COLUMNS", blocks)
    monkeypatch.setattr(kernels, "HELD_WORDS", 999)
    monkeypatch.setattr(kernels, "FEW_HELD", 16)
    monkeypatch.setattr(folds, "RADIX", 1 if blocks == 3 else 8)
    for function in (test_rows.affine_layer_norm, test_rows.biased_softmax):
        program = with_columns(function, shape)
        assert agrees(program, test_rows.draw(program), 1e-10, block)
        if shape[0] > 1 and shape[-1] >= 16:
            reads = reads_of_inputs(schedule(program, device=True), block)
            assert set(reads.values()) == {1}, reads


def test_columns_without_registers_for_them(monkeypatch):
    """They are launches of their own."""
    for words in (2, 3, 6):
        monkeypatch.setattr(kernels, "HELD_WORDS", words)
        monkeypatch.setattr(kernels, "WIDER", {})
        program = with_columns(test_rows.biased_softmax, (7, 24), dtypes.float32)
        assert agrees(program, test_rows.draw(program), 1e-4)


@pytest.mark.parametrize("length,few,threads", [
    (30, 256, 8), (33, 256, 32), (90, 0, 8), (121, 0, 16), (129, 0, 32), (250, 0, 32), (300, 0, 8),
])  # fmt: skip
def test_blocks_are_larger_for_long_rows(length, few, threads, monkeypatch):
    """Or where there are few rows, so that each is in registers; 520 elements are too many."""
    monkeypatch.setattr(kernels, "FEW_BLOCKS", few)
    program = with_columns(test_rows.softmax, (5, length), dtypes.float32)
    assert agrees(program, test_rows.draw(program), 1e-4)
    found = functions_of(schedule(program, device=True), 8)
    assert max(function.block for function in found) == threads


@pytest.mark.parametrize("seed", range(24))
def test_random_kernels_of_rows_and_columns(seed, monkeypatch):
    """Reductions of each kind over either axis, and stores: all of them in one launch."""
    monkeypatch.setattr(kernels, "FEW_BLOCKS", 0)
    monkeypatch.setattr(kernels, "BLOCKS_WITH_COLUMNS", 1 + seed % 3)
    rng = np.random.default_rng([5, seed])
    rank = 2 + seed % 2
    kernel = random_kernel(rng, rank, int(rng.integers(1, 15)))
    outputs = list(kernel.outputs)
    for output in kernel.outputs[:3]:
        dtype = output.operand.dtype
        is_exact = dtype in ("i32", "i64")
        for steps in ("1" * (rank - 1) + "0", "0" * (rank - 1) + "1"):
            reduce = str(rng.choice(["sum", "max", "min"] if is_exact else ["max", "min"]))
            steps = steps.replace("1", "s", rank - 2)
            outputs.append(Output(output.node, Operand(dtype, steps), reduce))
    shape = (*(int(n) for n in rng.integers(1, 9, rank - 1)), int(rng.choice([1, 2, 7, 16, 35])))
    case = make_case(kernel._replace(outputs=tuple(outputs)), shape, seed)
    assert_same(run_case(case, (8, 64)[seed % 2]), expected(case))


def test_row_kernels_of_many_loops():
    """Names of loops are letters: none makes a word of Python."""
    a = aval((3, 20), dtypes.float64)

    def chain(x, c):
        for _ in range(30):
            x = OPS["where"](OPS["logical_not"](x < c), test_rows.by_hand(x, c) + x, x)
        return x

    program = test_rows.value_and_gradient(chain, a, a)
    assert agrees(program, test_rows.draw(program), 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_few_blocks_for_many_elements(seed, monkeypatch):
    """Blocks and threads take one tile after the other."""
    monkeypatch.setattr(kernels, "BLOCKS", 1 + seed % 2)
    monkeypatch.setattr(kernels, "BLOCKS_THAT_ADD", 2)
    rng = np.random.default_rng(seed)
    kernel = random_kernel(rng, 1 + seed % 3, 9)
    case = make_case(kernel, (*((13, 4)[: seed % 3]), 135), seed)
    assert_same(run_case(case), expected(case))


@pytest.mark.parametrize("block", [8, 32, 128])
def test_one_read_serves_reductions_that_fit(block):
    """A store, sums over columns and a total: one launch reads, others only add parts."""
    nodes = (Node("load", "f64", (0,)), Node("exp", "f64", (0,)))
    outputs = (
        store(1, "f64", "s1"),
        Output(1, Operand("f64", "01"), "sum"),
        Output(0, Operand("f64", "00"), "max"),
    )
    case = make_case(LoopKernel(2, (Operand("f64", "s1"),), nodes, outputs), (90, 5))
    for got, want in zip(run_case(case, block), expected(case), strict=True):
        np.testing.assert_allclose(got, want, 1e-12)
    views = tuple(
        View(number, layout.first, case.shape, layout.strides)
        for number, layout in enumerate([*case.inputs, *case.outputs])
    )
    launches = launches_of(KernelStep(case.kernel, case.shape, views), block).launches
    assert sum("math.exp" in launch.function.source for launch in launches) == 1


def test_zeros_of_both_signs_and_nan_in_extremes():
    for numbers in ([0.0, -0.0] * 20, [-0.0] * 33, [1.0] * 20 + [NAN] + [2.0] * 20, [-INF] * 9):
        for reduce in ("max", "min"):
            kernel = reduction(reduce, "f64", "1", "0")
            fill = [np.array([*numbers, 7.0, 7.0])]
            case = make_case(kernel, (len(numbers),), fill=fill)
            (got,) = run_case(case)
            want = getattr(np, reduce)(np.array(numbers))
            zero_sign = 0.0 in numbers and not np.all(np.signbit(numbers))
            if want == 0 and zero_sign:
                want = 0.0 if reduce == "max" else -0.0
            assert_same([got.reshape(())], [np.float64(want).reshape(())])


# ---------------------------------------------------------------- programs


@pytest.mark.parametrize("shape,block", [
    ((5, 37), 8), ((2, 3, 64), 8), ((19, 16), 64), ((100, 5), 8), ((3, 300), 8),
])  # fmt: skip
@pytest.mark.parametrize("function", test_rows.FUNCTIONS, ids=lambda f: f.__name__)
def test_work_along_rows(function, shape, block):
    a = aval(shape, dtypes.float64)
    program = test_rows.value_and_gradient(function, a, a)
    assert agrees(program, test_rows.draw(program), 1e-10, block)


@pytest.mark.parametrize("seed", range(40))
def test_random_chains_along_rows(seed):
    rng = np.random.default_rng([11, seed])
    shape = (int(rng.integers(1, 12)), int(rng.choice([5, 16, 19, 40, 64])))
    avals = [aval(shape, dtypes.float64)] * 2 + [aval(shape[1:], dtypes.float64)]
    program = test_rows.value_and_gradient(test_rows.random_rows(rng), *avals)
    assert agrees(program, test_rows.draw(program, seed), 1e-8)
