"""Every CUDA kernel becomes machine code, with no GPU: registers, spills, loads, stores, dtypes.

For sm_80 and sm_90, and float32 and float64.  TAPEJIT_FUZZ=all compiles all kernels of the
register's probes (some minutes); without it a part of them, always the same.
"""

from __future__ import annotations

import functools
import os
import re
import zlib

import numpy as np
import pytest
import test_rows
from cuda_plans import functions_of, reads_of_inputs
from probing import cases, inputs_of, is_differentiable, probed, recorded

from tapejit import dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import Function
from tapejit.errors import KernelError
from tapejit.expressions import FUNCTIONS, PREDICATES
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, View
from tapejit.registry import OPS
from tapejit.runtime.cuda.compiling import Cubin, compile_ptx, link
from tapejit.runtime.cuda.forms.forming import formed
from tapejit.schedule.planner import schedule
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

pytestmark = pytest.mark.compiler

CARDS = ((8, 0), (9, 0))
DTYPES = {"f4": dtypes.float32, "f8": dtypes.float64}
SHARE = 40
"""One in so many of the register's kernels is compiled."""
SLOW_PATHS = 64
"""Bytes of a thread's stack that libdevice takes to bring large angles near 0."""


@functools.cache
def compiled(function: Function, card: tuple[int, int]) -> tuple[str, Cubin]:
    """Assembly and machine code."""
    ptx = compile_ptx(function, card)
    return ptx, link(ptx, card)


def check(function: Function, card: tuple[int, int]) -> None:
    """It fits a thread's registers, and float32 stays float32."""
    ptx, cubin = compiled(function, card)
    assert cubin.spills == 0, f"{cubin.spills} bytes are spilled\n{function.source}"
    assert cubin.stack <= SLOW_PATHS, f"{cubin.stack} bytes of stack\n{function.source}"
    assert ".extern" not in ptx
    is_double = "f64*" in function.parameters or "float64" in function.source
    if not is_double:
        found = set(re.findall(r"\b(?:cvt\.f64\.f32|(?:ld|st|add|sub|fma|div)\S*\.f64)\b", ptx))
        assert not found, f"{found}\n{function.source}"


def accesses(function: Function, card: tuple[int, int]) -> tuple[int, int]:
    """How many loads and stores of global memory there are, but for libdevice's tables."""
    ptx, _ = compiled(function, card)
    return len(re.findall(r"\bld\.global\.(?!nc)", ptx)), len(re.findall(r"\bst\.global\.", ptx))


def mentions(function: Function) -> dict[str, int]:
    """How often each pointer is used in a text."""
    names = re.search(r"def kernel\((.*)\)", function.source)
    assert names is not None
    pointers = [
        n for n, p in zip(names[1].split(", "), function.parameters, strict=True) if "*" in p
    ]
    return {name: function.source.count(f"{name}[") for name in pointers}


# ---------------------------------------------------------------- functions


def several(names, dtype):
    """A kernel with an output for each of these functions."""
    n = max(FUNCTIONS[fn] for fn in names)
    nodes = [Node("load", dtype, (k,)) for k in range(n)]
    outputs = []
    for fn in names:
        result = "bool" if fn in PREDICATES else dtype
        nodes.append(Node(fn, result, tuple(range(FUNCTIONS[fn]))))
        outputs.append(Output(len(nodes) - 1, Operand(result, "1"), None))
    inputs = (Operand(dtype, "1"),) * n
    kernel = LoopKernel(1, inputs, tuple(nodes), tuple(outputs))
    views = tuple(View(k, 0, (5000,), (1,)) for k in range(n + len(names)))
    return KernelStep(kernel, (5000,), views)


_OF_FLOATS = [fn for fn in FUNCTIONS if fn not in ("and", "or", "not", "select")]
GROUPS = [_OF_FLOATS[at : at + 8] for at in range(0, len(_OF_FLOATS), 8)]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_functions_of_floats(names, dtype):
    for function in functions_of_step(several(names, dtype)):
        check(function, CARDS[-1])


def functions_of_step(step):
    return list(dict.fromkeys(launch.function for launch in launches_of(step, 256).launches))


@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_functions_of_integers(dtype):
    names = ("add", "sub", "mul", "neg", "abs", "mod", "fmod", "floordiv", "lt", "eq")
    for function in functions_of_step(several(names, dtype)):
        check(function, CARDS[-1])


# ---------------------------------------------------------------- programs

exp, log, sqrt, sin, sigmoid = (OPS[name] for name in ("exp", "log", "sqrt", "sin", "sigmoid"))


def total(x):
    return OPS["sum"](x, axes=tuple(range(x.ndim)), keepdim=False)


def loss(x, w):
    """Forward and reverse in one kernel."""
    return total(sin(x) * sigmoid(x * w))


def black_scholes(s, t):
    """A call option's price for spot and time."""
    spread = 0.2 * sqrt(t)
    d = (log(s / 100.0) + 0.05 * t) / spread + 0.5 * spread
    share, paid = (0.5 * OPS["erfc"](-0.7071067811865476 * z) for z in (d, d - spread))
    return total(s * share - 100.0 * exp(-0.03 * t) * paid)


def regression(x, b):
    """A bias row is added to all, and its gradient is a sum over rows."""
    return total(log(1.0 + exp(x + b)))


def gradient(function, *avals):
    return test_rows.value_and_gradient(function, *avals)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"sm_{card[0]}{card[1]}")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [loss, black_scholes, regression], ids=lambda f: f.__name__)
def test_forward_and_reverse_read_each_input_once(function, dtype, card):
    n = DTYPES[dtype]
    avals = [aval((4000, 300), n), aval((300,) if function is regression else (4000, 300), n)]
    program = gradient(function, *avals)
    plan = schedule(program, device=True)
    assert len(plan.steps) == 1
    first, *others = functions_of(plan)
    for found in (first, *others):
        check(found, card)
    reads = mentions(first)
    assert {name: n for name, n in reads.items() if name[0] in "xy" and n != 1} == {}
    loads, stores = accesses(first, card)
    whole = [name for name in reads if name in ("x0", "x1")]
    assert loads >= len(whole) and stores >= 1
    assert all("x1" not in mentions(found) for found in others), "inputs are read again"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ["softmax", "layer_norm"])
def test_rows_are_held_in_registers(function, dtype):
    """Each element is loaded once and each result stored once, with nothing in between."""
    a = aval((2000, 1000), DTYPES[dtype])
    program = gradient(getattr(test_rows, function), a, a)
    found, *others = functions_of(schedule(program, device=True))
    assert not any("x1" in mentions(other) for other in others)
    check(found, CARDS[-1])
    loads, stores = accesses(found, CARDS[-1])
    elements, others = divmod(loads, 4)  # of 4 elements a thread
    assert elements == 2 and others <= 3, loads
    assert stores == 2 * 4 + 1


@pytest.mark.parametrize("dtype,card", list(zip(DTYPES, CARDS, strict=True)), ids=str)
@pytest.mark.parametrize("function,vectors", [("affine_layer_norm", 2), ("biased_softmax", 1)])
def test_rows_are_read_once_for_gradients_of_vectors(function, vectors, dtype, card):
    """Sums over rows are parts in registers; one number a block goes to memory, for each column."""
    avals = [aval((2000, 1000), DTYPES[dtype])] * 2 + [aval((1000,), DTYPES[dtype])] * vectors
    plan = schedule(gradient(getattr(test_rows, function), *avals), device=True)
    assert set(reads_of_inputs(plan).values()) == {1}
    found, *others = functions_of(plan)
    for each in (found, *others):
        check(each, card)
    loads, stores = accesses(found, card)
    elements, numbers = divmod(loads, 4)  # of 4 elements a thread
    assert elements == 2 + vectors and numbers <= 3, loads
    assert stores == 4 * 2 + 4 * vectors + 1, stores  # the gradients, and a total


def test_batch_norm_reads_its_input_once_for_each_sum_that_waits():
    """The mean, the deviations, the sums of the gradient, and the gradient."""
    avals = [aval((4000, 300), dtypes.float32)] * 2 + [aval((300,), dtypes.float32)] * 2
    plan = schedule(gradient(test_rows.batch_norm, *avals), device=True)
    reads = reads_of_inputs(plan)
    assert reads[0] == 4 and reads[1] <= 3, reads
    for function in functions_of(plan):
        check(function, CARDS[-1])
        assert {n for name, n in mentions(function).items() if name[0] in "xy"} == {1}


@pytest.mark.parametrize("length,threads,card", [(4096, 512, CARDS[0]), (8192, 1024, CARDS[1])])
def test_long_rows_are_held_by_larger_blocks(length, threads, card):
    """No more registers than there are for so many threads."""
    a = aval((1000, length), dtypes.float32)
    found, *_ = functions_of(schedule(gradient(test_rows.softmax, a, a), device=True))
    check(found, card)
    assert found.block == threads
    assert compiled(found, card)[1].registers <= 65536 // threads


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64", "bool"])
def test_blocks_fold_in_registers(dtype):
    """Five shuffles in a warp, of 32 bits each, and one barrier for all warps."""
    node = (Node("load", dtype, (0,)),)
    outputs = (Output(0, Operand(dtype, "0"), "max"),)
    step = KernelStep(
        LoopKernel(1, (Operand(dtype, "1"),), node, outputs),
        (1000,),
        (View(0, 0, (1000,), (1,)), View(1, 0, (1000,), (0,))),
    )
    (function,) = functions_of_step(step)
    check(function, CARDS[-1])
    ptx, cubin = compiled(function, CARDS[-1])
    wide = dtype in ("f64", "i64")
    assert ptx.count("shfl.sync.bfly.b32") == (10 if wide else 5) and ptx.count("bar.sync") == 1
    assert cubin.stack == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_transpose_goes_through_shared_memory(dtype):
    """Each element is loaded once, in the order in which it lies, and stored once."""
    builder = Builder()
    a, b = (builder.input(aval(s, DTYPES[dtype])) for s in ((3000, 500), (500, 3000)))
    y = a * OPS["permute"](b, axes=(1, 0))
    plan = schedule(Program(builder.tape, [a.row, b.row], [y.row]), device=True)
    (found,) = functions_of(plan)
    check(found, CARDS[-1])
    _, cubin = compiled(found, CARDS[-1])
    assert accesses(found, CARDS[-1]) == (8, 4) and cubin.shared >= 32 * 33 * int(dtype[1])
    assert cubin.stack == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_programs_are_cut_before_registers_run_out(dtype):
    rng = np.random.default_rng(1)
    builder = Builder()
    inputs = [builder.input(aval((5000,), DTYPES[dtype])) for _ in range(3)]
    values = list(inputs)
    for _ in range(160):
        i, j = rng.integers(0, len(values), 2)
        values.append(OPS[str(rng.choice(["mul", "add", "sub"]))](values[i], values[j]))
    y = total(sin(values[-1]) + values[-2])
    sweep = reverse(builder.tape, [y.row], [x.row for x in inputs], unit_seed=True)
    rows = [y.row, *[row for row in sweep.results if row >= 0]]
    program = simplify(Program(sweep.tape, [x.row for x in inputs], rows))
    found = functions_of(schedule(program, device=True))
    check(max(found, key=lambda function: len(function.source)), CARDS[-1])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", ["asin", "log1p", "pow", "tanh"])
def test_functions_of_complex_numbers(name, dtype):
    """The longest of them, on pairs of real numbers: value and slope."""
    builder = Builder()
    numbers = dtypes.named(dtype)
    n = 2 if name == "pow" else 1
    given = [builder.input(aval((5000,), numbers)) for _ in range(n)]
    y = OPS["real"](OPS[name](*given))
    sweep = reverse(builder.tape, [y.row], [x.row for x in given])
    rows = [y.row, *[row for row in sweep.results if row >= 0]]
    inputs = [*[x.row for x in given], *sweep.seeds]
    plan = schedule(formed(simplify(Program(sweep.tape, inputs, rows))), device=True)
    for function in functions_of(plan):
        check(function, CARDS[-1])


# ---------------------------------------------------------------- the register


def kernels_of_records():
    """The distinct functions of the values and gradients of all probes."""
    found: dict[Function, None] = {}
    for op in probed():
        for case in cases(op):
            if case.dtype.is_complex:
                continue
            arrays = inputs_of(case)
            record = recorded(case, arrays)
            programs = [Program(record.tape, record.inputs, [record.row])]
            if is_differentiable(case):
                pull = reverse(record.tape, (record.row,), record.floats)
                rows = [row for row in pull.results if row >= 0]
                programs.append(Program(pull.tape, (*record.inputs, *pull.seeds), rows))
            for program in programs:
                try:
                    plan = schedule(simplify(program), device=True)
                except KernelError:
                    continue
                found.update(dict.fromkeys(functions_of(plan)))
    return list(found)


def test_kernels_of_the_register():
    """Of every record's value and gradient, at several dtypes and shapes."""
    found = kernels_of_records()
    assert len(found) > 500
    every = os.environ.get("TAPEJIT_FUZZ") == "all"
    for function in found:
        number = zlib.crc32(function.source.encode())
        if every or number % SHARE == 0:
            check(function, CARDS[number // SHARE % 2])
