"""Other processors and systems: everything that is compiled here compiles for them too.

For each target: all vector math, kernels that use every instruction, and every module that a few
whole programs compile are verified and emitted as objects, whose undefined symbols must be known.
What is x86 also runs here: same bits as the native code, function by function and kernel by
kernel.  What cannot run here is read: NEON text multiplies and adds in vectors, and calls nobody.

TAPEJIT_TARGETS=all takes every function on every target at both tiers; otherwise a few.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from kernel_case import NUMPY, make_case
from kernel_case import native as run_kernel
from object_symbols import undefined_symbols
from test_golden_kernels import LOOPS
from test_loop_ir import assert_same, random_kernel, reduction
from test_vectormath import DTYPES, WIDEST, caller, function, loop_text, points

from tapejit import expressions
from tapejit.codegen import vectormath
from tapejit.codegen.loop_ir import emit_loop
from tapejit.codegen.loop_reduce import emit_reduction
from tapejit.codegen.loop_tail import emit_tail
from tapejit.plan import LoopKernel, Node, Operand, Output
from tapejit.runtime import native, pool

ALL = os.environ.get("TAPEJIT_TARGETS") == "all"
FMA = "+avx,+avx2,+fma"
TARGETS = {
    "sse2": ("x86_64-unknown-linux-gnu", "x86-64", ""),
    "avx": ("x86_64-unknown-linux-gnu", "sandybridge", "+avx"),
    "haswell": ("x86_64-unknown-linux-gnu", "haswell", FMA),
    "skylake": ("x86_64-unknown-linux-gnu", "skylake-avx512", FMA),
    "zen4": ("x86_64-unknown-linux-gnu", "znver4", FMA),
    "neon": ("aarch64-unknown-linux-gnu", "generic", ""),
    "m1": ("arm64-apple-macosx11.0.0", "apple-m1", ""),
    "intel mac": ("x86_64-apple-macosx10.15.0", "nehalem", ""),
    "windows": ("x86_64-pc-windows-msvc", "haswell", FMA),
    "windows sse2": ("x86_64-pc-windows-msvc", "x86-64", ""),
}
RUNS_HERE = ("sse2", "avx", "haswell", "skylake", "zen4")
FEW = ("exp", "sin", "pow")

LIBC = {"fmod", "fmodf", "memcpy", "memset", "memmove", "bzero", "__bzero"}
LIBC |= {"_fltused", "__chkstk"}  # Windows: a mark of floats, and large frames
ROUNDING = {f"{name}{f}" for name in ("floor", "ceil", "trunc", "rint") for f in ("", "f")}


def target(name):
    triple, cpu, features = TARGETS[name]
    return native.host()._replace(triple=triple, cpu=cpu, features=features)


def allowed(name):
    """Names of libc that code for a target may use; SSE2 has no instruction that rounds."""
    return LIBC | (ROUNDING if TARGETS[name][1] == "x86-64" else set())


def missing_in(ir, name, tier):
    """Undefined symbols that the IR did not declare itself, nor libc has."""
    declared = set(re.findall(r"^declare .*?@([\w.]+)\(", ir, re.M))
    declared |= set(re.findall(r"^@(\w+) = external", ir, re.M))
    compiled = native.compile_object(ir, tier, target=target(name))
    return undefined_symbols(compiled) - declared - allowed(name)


# ---------------------------------------------------------------- what is compiled


def kernel_of_everything(dtype):
    """Every function that has this dtype, each with an output of its own."""
    is_float = dtype in ("f64", "f32")
    bools = ("lt", "le", "gt", "ge", "eq", "ne")
    names = [*bools, "and", "or", "not", "select"]
    if dtype != "bool":
        names = [*bools, "add", "sub", "mul", "mod", "fmod", "neg", "abs", "select"]
    if is_float:
        names = [name for name in expressions.FUNCTIONS if name not in ("and", "or", "not")]
    nodes = [Node("load", dtype, (k,)) for k in range(2)] + [Node("lt", "bool", (0, 1))]
    outputs = []
    for fn in names:
        operands = (0, 1)[: expressions.FUNCTIONS[fn]] if fn != "select" else (2, 0, 1)
        result = "bool" if fn in expressions.PREDICATES else dtype
        outputs.append(Output(len(nodes), Operand(result, "1"), None))
        nodes.append(Node(fn, result, operands))
    for other in NUMPY:
        outputs.append(Output(len(nodes), Operand(other, "1"), None))
        nodes.append(Node("cast", other, (0,)))
    return LoopKernel(1, (Operand(dtype, "1"), Operand(dtype, "1")), tuple(nodes), tuple(outputs))


EVERYTHING = {f"every {dtype}": kernel_of_everything(dtype) for dtype in NUMPY}


def support_text():
    """What kernels call besides vector math."""
    names = [f"tj_total_{r}_{d}" for r in ("sum", "prod", "max", "min") for d in ("f64", "i32")]
    names += [f"tj_tree_{r}_{d}" for r in ("sum", "max") for d in ("f64x8", "f32x16", "i32x16")]
    return [emit_tail(), *map(emit_reduction, names)]


PROGRAM = """
import json, sys
import numpy as np
import tapejit as tj
from tapejit.runtime import native

texts, compile_cached = [], native.compile_cached

def keep(ir_text, *arguments, **options):
    texts.append(ir_text if isinstance(ir_text, str) else ir_text())
    return compile_cached(ir_text, *arguments, **options)

native.compile_cached = keep
x = np.linspace(0.1, 2.0, 100_000)
small = tj.value_and_grad(lambda v: np.sum(np.tanh(v) * v))
rows = tj.jit(lambda m: m.max(axis=1) + np.exp(m).sum(axis=0)[0])
for _ in range(60):
    small(x[:10])
for _ in range(3):
    small(x)
    rows(x.reshape(100, 1000))
    tj.grad(lambda v: (v @ v) * np.sum(np.log(v)))(x)
t = tj.tensor([1.0, 2.0], requires_grad=True)
for _ in range(60):
    (t.sin() * t).sum().backward()
json.dump(texts, sys.stdout)
"""


@functools.cache
def program_texts():
    """Every module that a few programs compile: kernels, entries, threads, all there is."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ
        | {"PYTHONPATH": os.path.dirname(os.path.dirname(__file__)), "TAPEJIT_BACKEND": "ir"},
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


# ---------------------------------------------------------------- compiled for them


@pytest.mark.parametrize("name", TARGETS)
def test_vector_math_needs_nobody(name):
    functions = vectormath.FUNCTIONS if ALL else FEW
    triples = [(fn, dtype, WIDEST[dtype]) for fn in functions for dtype in DTYPES]
    ir = vectormath.emit_library(triples, target(name).has_fma)
    for tier in (0, 1) if ALL else (1,):
        assert missing_in(ir, name, tier) == set()


@pytest.mark.parametrize("name", TARGETS)
def test_kernels_need_what_they_declare(name):
    for kernel in (EVERYTHING | LOOPS).values():
        for tier in (0, 1) if ALL else (0,):
            assert missing_in(emit_loop(kernel, "k").ir, name, tier) == set()
    for ir in support_text():
        assert missing_in(ir, name, 1) == set()


@pytest.mark.parametrize("name", TARGETS)
def test_whole_programs_need_what_they_declare(name):
    # vector math is printed for one processor; the tests above have it
    texts = [ir for ir in program_texts() if "define <" not in ir or "tj_tail_splat" in ir]
    assert len(texts) > 8 and sum(pool.PAUSE["x86_64"] in ir for ir in texts) == 1
    for ir in texts:
        for wait in (pool.PAUSE["x86_64"], pool.PAUSE["arm64"]):
            ir = ir.replace(wait, pool.PAUSE[target(name).triple.split("-")[0]])
        assert missing_in(ir, name, 0) == set()


# ---------------------------------------------------------------- run


@functools.cache
def library_for(name, dtype, functions):
    """Vector math compiled for a target and loaded here: fn -> callable on arrays."""
    lanes, host = WIDEST[dtype], target(name)
    triples = [(fn, dtype, lanes) for fn in functions]
    ir = vectormath.emit_library(triples, host.has_fma) + "".join(loop_text(*t) for t in triples)
    entries = tuple(f"run_{fn}_{dtype}x{lanes}" for fn in functions)
    library = native.load(native.compile_object(ir, 1, target=host), entries)
    tracker = {entry: library.address(entry) for entry in entries}
    return {fn: caller(library, tracker, fn, dtype, lanes) for fn in functions}


def can_run(name):
    wanted = {"zen4": "avx512bf16", "skylake": "avx512f", "haswell": "fma", "avx": "avx"}
    is_x86 = native.host().triple.startswith("x86_64")
    here = native.host().features.split(",")
    return is_x86 and (name == "sse2" or f"+{wanted[name]}" in here)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RUNS_HERE)
def test_vector_math_gives_the_same_bits(name, dtype):
    """On any CPU with fused multiply-add, and on any without; test_accuracy bounds both."""
    if not can_run(name):
        pytest.skip(f"this processor does not run code for {name}")
    functions = tuple(vectormath.FUNCTIONS) if ALL or name == "sse2" else (*FEW, "erfc", "atan2")
    library = library_for(name, dtype, functions)
    for fn in functions:
        operands = points(fn, dtype, 60)
        expected = function(fn, dtype, target(name).has_fma)(*operands)
        np.testing.assert_array_equal(library[fn](*operands), expected, err_msg=fn)


@pytest.mark.parametrize("name", RUNS_HERE)
def test_kernels_give_the_same_bits(name):
    if not can_run(name):
        pytest.skip(f"this processor does not run code for {name}")
    kernels = EVERYTHING | LOOPS if ALL or name == "sse2" else LOOPS
    for kernel in kernels.values():
        case = make_case(kernel, (3, 45)[-kernel.rank :])
        same_fma = target(name).has_fma == native.host().has_fma
        for node, mine, theirs in zip(
            kernel.outputs, run_kernel(case, target=target(name)), run_kernel(case), strict=True
        ):
            fn = kernel.nodes[node.node].fn
            if same_fma or fn not in expressions.MATH:
                np.testing.assert_array_equal(mine, theirs, err_msg=fn)
            elif fn != "tanh":  # of the golden kernel, whose sum and square are in ulp too
                assert_ulp(mine, theirs, 2 * vectormath.FUNCTIONS[fn].ulp, fn)


@pytest.mark.parametrize("name", ["sse2", "haswell"])
def test_random_kernels_give_the_same_bits(name):
    """The vectors are 512 bits wide in the text: LLVM cuts them to 256 or 128."""
    if not can_run(name):
        pytest.skip(f"this processor does not run code for {name}")
    kernels = [random_kernel(np.random.default_rng(seed), 1, 20) for seed in range(6)]
    kernels += [reduction("sum", dtype, "1", "0") for dtype in ("f64", "f32")]
    for kernel in kernels:
        case = make_case(kernel, (4500,))
        assert_same(run_kernel(case, target=target(name)), run_kernel(case))


def assert_ulp(mine, theirs, bound, fn):
    with np.errstate(invalid="ignore"):
        apart = np.abs(mine - theirs) / np.spacing(np.abs(theirs))
    assert (np.isnan(mine) == np.isnan(theirs)).all(), fn
    assert np.nanmax(apart, initial=0.0) <= bound, fn


OLD_PROCESSOR = """
import llvmlite.binding as llvm

llvm.get_host_cpu_name = lambda: "x86-64"
llvm.get_host_cpu_features = lambda: type("Features", (), {"flatten": lambda self: ""})()

import numpy as np
import tapejit as tj
from tapejit.runtime import native

assert not native.host().has_fma
x = np.linspace(-3.0, 3.0, 10_000)
f = tj.value_and_grad(lambda v: np.sum(np.tanh(v) * np.exp(-v * v) + np.sin(1e6 * v) % 0.3))
first = f(x)  # eager
for _ in range(3):
    value, slope = f(x)
np.testing.assert_allclose(value, first[0], rtol=1e-9)
np.testing.assert_allclose(slope, first[1], rtol=1e-9, atol=1e-9)
from tapejit.runtime.kernels import statistics
assert statistics.kernels_compiled
"""


@pytest.mark.skipif(not can_run("sse2"), reason="runs code for x86")
def test_a_whole_program_on_an_old_processor():
    """Everything that a process compiles, for a processor with SSE2 and nothing more."""
    root = os.path.dirname(os.path.dirname(__file__))
    environment = os.environ | {"PYTHONPATH": root, "TAPEJIT_BACKEND": "ir"}
    done = subprocess.run(
        [sys.executable, "-c", OLD_PROCESSOR],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- read


@pytest.mark.parametrize("name", ["neon", "m1"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_neon_is_vector_code(name, dtype):
    """Fused multiply-adds on whole registers, and no call in a function without a cold part."""
    functions = ["exp", "log", "tanh", "atan", "erf"]
    ir = vectormath.emit_library([(fn, dtype, WIDEST[dtype]) for fn in functions])
    module = llvm.parse_assembly(ir)
    text = native.machine(target(name), 1).emit_assembly(module)
    register = {"f64": "2d", "f32": "4s"}[dtype]
    assert len(re.findall(rf"\bfmla(\.{register})?\s+v\d+(\.{register})?", text)) > 50
    assert not re.findall(r"^\s+bl\s", text, re.M)
    assert not re.findall(r"^\s+fm(add|sub|ul)\s+[ds]\d", text, re.M)
