"""The two lowerings of a kernel agree: its text through Numba gives what its LLVM text gives.

How far they agree is stated once, in `assert_agree`:

    + - * / % sqrt, rounding, comparisons, selects, casts, integers      equal bits
    exp, sin, pow, … (expressions.MATH)                                  MATH_ULP units in the last place
    special functions (eager.IN_SCIPY)                                   1e5 · eps, and 100 · eps beside 1
    max and min; sums and products over any axis but the inner one       equal bits
    sums of floats over the inner axis, in lanes here and in turn there  SUM_EPS · eps · Σ|x|
    products of n floats over the inner axis                             n · eps · |result|

One kernel holds many functions, so that Numba compiles few.  `TAPEJIT_BACKEND=numba` runs the rest
of the tests on the other lowering.
"""  # noqa: E501

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import traceback
from collections import OrderedDict

import numpy as np
import pytest
from kernel_case import NUMPY, make_case, native, through_numba
from test_golden_kernels import LOOPS
from test_loop_ir import SPECIAL, random_kernel, store

import tapejit as tj
from tapejit import cache, config, dtypes, show
from tapejit.build import Builder
from tapejit.codegen.loop_text import emit_source, emit_text
from tapejit.errors import ConfigError, KernelError
from tapejit.expressions import FUNCTIONS, MATH, PREDICATES
from tapejit.plan import LoopKernel, Node, Operand, Output
from tapejit.registry import OPS
from tapejit.runtime import kernels, numba_kernels, sources
from tapejit.runtime.compiled import compile_program
from tapejit.runtime.eager import IN_SCIPY
from tapejit.shapes import aval
from tapejit.tape import Program

MATH_ULP = 4
SUM_EPS = 100

FLOATS = ("f64", "f32")
LOGICAL = ("and", "or", "not")
INTEGER = ("add", "sub", "mul", "mod", "neg", "abs", "floor", "ceil", "trunc", "round")
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")

# ---------------------------------------------------------------- agreement


def ulps(x, y):
    """How many floats lie between two; any NaN equals any other."""
    assert x.dtype == y.dtype
    kind = {8: np.int64, 4: np.int32}[x.itemsize]
    # the order of floats as integers: negative ones count downwards
    places = [v.view(kind).astype(np.int64) for v in map(np.ascontiguousarray, (x, y))]
    places = [np.where(p < 0, np.int64(np.iinfo(kind).min) - p, p) for p in places]
    with np.errstate(over="ignore"):
        return np.where(np.isnan(x) & np.isnan(y), 0, np.abs(places[0] - places[1]))


def assert_agree(got, want, limit=0):
    """Equal bits, or within `limit` ulp; no -0.0 for 0.0 either way."""
    assert got.dtype == want.dtype
    if got.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    distance = ulps(got, want)
    worst = np.unravel_index(np.argmax(distance), distance.shape) if distance.size else ()
    assert distance.size == 0 or 0 <= distance[worst] <= limit, (got[worst], want[worst])
    is_zero = (got == 0) & (want == 0)
    np.testing.assert_array_equal(np.signbit(got)[is_zero], np.signbit(want)[is_zero])


# ---------------------------------------------------------------- every function


def functions_of(dtype):
    if dtype in FLOATS:
        return [fn for fn in FUNCTIONS if fn not in LOGICAL]
    return [*LOGICAL, *COMPARISONS, "select"] if dtype == "bool" else [*INTEGER, *COMPARISONS]


def all_functions(dtype):
    """One kernel with every function of a dtype, on operands of every step, each result stored."""
    inputs = (Operand(dtype, "1"), Operand(dtype, "s"), Operand(dtype, "0"))
    nodes = [Node("load", dtype, (k,)) for k in range(3)] + [Node("gt", "bool", (0, 1))]
    if dtype == "bool":
        nodes[3] = Node("not", "bool", (1,))
    outputs = []
    for fn in functions_of(dtype):
        pair = (0, 1) if len(outputs) % 3 else (1, 2)  # the third input is one number
        operands = (3, *pair) if fn == "select" else pair[: FUNCTIONS[fn]]
        nodes.append(Node(fn, "bool" if fn in PREDICATES else dtype, operands))
        outputs.append(store(len(nodes) - 1, nodes[-1].dtype, "1s"[len(outputs) % 2]))
    return LoopKernel(1, inputs, tuple(nodes), tuple(outputs))


def columns(dtype):
    """Pairs of special numbers, then of random ones at all scales."""
    rng = np.random.default_rng(7)
    if dtype == "bool":
        special, more = np.array([False, True]), rng.integers(0, 2, (2, 99)).astype(np.bool_)
    elif dtype in FLOATS:
        with np.errstate(over="ignore", under="ignore"):
            special = np.append(SPECIAL, [1, -1, 3, 710, -750, 1024]).astype(NUMPY[dtype])
            more = rng.normal(size=(2, 2000)) * 10.0 ** rng.integers(-9, 5, (2, 2000))
            more = more.astype(NUMPY[dtype])
    else:
        info = np.iinfo(NUMPY[dtype])
        special = np.array([info.min, info.max, -7, -1, 0, 1, 2, 7], NUMPY[dtype])
        more = rng.integers(-99, 99, (2, 500)).astype(NUMPY[dtype])
    pairs = [x.ravel() for x in np.meshgrid(special, special)]
    return [np.concatenate([pair, column]) for pair, column in zip(pairs, more, strict=True)]


@pytest.mark.parametrize("dtype", list(NUMPY))
def test_every_function(dtype):
    kernel, (x, y) = all_functions(dtype), columns(dtype)
    case = make_case(kernel, (len(x),))
    for layout, values in zip(case.inputs[:2], (x, y), strict=True):
        place = layout.first + np.arange(len(values)) * layout.strides[0]
        layout.base[place] = values
    got, want = through_numba(case), native(case)
    for fn, mine, theirs in zip(functions_of(dtype), got, want, strict=True):
        try:
            if fn in IN_SCIPY - {"erf", "erfc"}:  # other algorithms: see codegen/scalar_special.py
                eps = np.finfo(mine.dtype).eps
                np.testing.assert_allclose(mine, theirs, rtol=1e5 * eps, atol=100 * eps)
                continue
            assert_agree(mine, theirs, MATH_ULP if fn in MATH else 0)
        except AssertionError as error:
            raise AssertionError(f"{fn} of {dtype}: {error}") from error


def test_the_functions_are_all_there():
    assert {fn for dtype in NUMPY for fn in functions_of(dtype)} == set(FUNCTIONS)


def test_every_cast():
    """Each dtype from each; and an index, and literals that are not finite."""
    inputs = tuple(Operand(dtype, "1") for dtype in NUMPY)
    nodes = [Node("load", dtype, (k,)) for k, dtype in enumerate(NUMPY)]
    nodes += [Node("cast", dtype, (k,)) for k in range(len(NUMPY)) for dtype in NUMPY]
    nodes += [Node("index", "i64", (0,)), Node("literal", "f64", (-np.inf,))]
    nodes += [Node("literal", "f32", (np.nan,)), Node("literal", "f32", (0.1,))]
    outputs = [store(k, node.dtype) for k, node in enumerate(nodes)]
    kernel = LoopKernel(1, inputs, tuple(nodes), tuple(outputs))
    edges = [2.0**31, -(2.0**31), 2.0**63, -(2.0**63), 2.0**31 - 1, 1e10]
    with np.errstate(all="ignore"):
        wide = np.concatenate([SPECIAL, edges])
        data = [wide, wide.astype(np.float32)]
        data += [columns("i64")[0], columns("i32")[0], columns("bool")[0]]
    case = make_case(kernel, (20,), fill=data)
    for mine, theirs in zip(through_numba(case), native(case), strict=True):
        assert_agree(mine, theirs)


# ---------------------------------------------------------------- reductions


@pytest.mark.parametrize("dtype", list(NUMPY))
def test_every_reduction(dtype):
    """Over both axes, the inner and the outer one, in one kernel with start and finish."""
    reduces = ("max", "min") if dtype == "bool" else ("max", "min", "sum", "prod")
    keeps = ("00", "s0", "01")
    nodes = (Node("load", dtype, (0,)), Node("load", dtype, (1,)))
    outputs = [
        Output(int(reduce == "prod"), Operand(dtype, kept), reduce)
        for reduce in reduces
        for kept in keeps
    ]
    kernel = LoopKernel(2, (Operand(dtype, "s1"),) * 2, nodes, tuple(outputs))
    for shape in ((5, 37), (0, 3), (3, 0), (64, 131)):
        case = make_case(kernel, shape)
        if dtype in FLOATS:
            case.inputs[0].base[3] = -0.0
            case.inputs[1].base[:] = 1 + case.inputs[1].base / 4096  # long products stay near 1
        results = zip(outputs, through_numba(case), native(case), strict=True)
        for output, mine, theirs in results:
            is_rounded = dtype in FLOATS and output.reduce in ("sum", "prod")
            if not is_rounded or output.operand.steps == "01":
                assert_agree(mine, theirs)
                continue
            eps, error = np.finfo(NUMPY[dtype]).eps, np.abs(mine.astype(float) - theirs)
            if output.reduce == "sum":
                bound = SUM_EPS * eps * np.abs(case.inputs[0].base.astype(float)).sum()
            else:
                bound = np.prod(shape) * eps * np.abs(theirs)
            assert (error <= bound).all(), output


def test_total_sums_over_blocks_and_nan():
    nodes = (Node("load", "f64", (0,)),)
    outputs = tuple(Output(0, Operand("f64", "0"), reduce) for reduce in ("sum", "max", "min"))
    kernel = LoopKernel(1, (Operand("f64", "1"),), nodes, outputs)
    for n in (0, 4095, 4097, 20_000):
        case = make_case(kernel, (n,))
        mine, theirs = through_numba(case), native(case)
        bound = SUM_EPS * np.finfo(float).eps * (np.abs(case.inputs[0].base).sum() + 1)
        assert abs(mine[0] - theirs[0])[0] <= bound
        assert_agree(mine[1], theirs[1])
        assert_agree(mine[2], theirs[2])
        whole = through_numba(case, cuts=(1, 3)) if n == 20_000 else mine
        assert_agree(whole[0], mine[0])  # handing out units in pieces changes no bit
    case.inputs[0].base[5000] = np.nan
    assert all(np.isnan(value).all() for value in through_numba(case))


# ---------------------------------------------------------------- whole kernels


@pytest.mark.parametrize("name", list(LOOPS))
def test_golden_kernels(name):
    kernel = LOOPS[name]
    case = make_case(kernel, (11,) if kernel.rank == 1 else (3, 11))
    for output, mine, theirs in zip(kernel.outputs, through_numba(case), native(case), strict=True):
        if output.reduce == "sum" and output.operand.steps[-1] == "0":
            np.testing.assert_allclose(mine, theirs, rtol=1e-14)
        else:
            assert_agree(mine, theirs, 2 * MATH_ULP if name == "tanh_sum" else 0)


@pytest.mark.parametrize("seed", range(6))
def test_random_kernels(seed):
    rng = np.random.default_rng([seed, 2])
    kernel = random_kernel(rng, 1 + seed % 3, 20)
    case = make_case(kernel, ((4099,), (3, 21), (2, 3, 9))[seed % 3], seed)
    for mine, theirs in zip(through_numba(case), native(case), strict=True):
        assert_agree(mine, theirs)


def test_programs_agree_and_are_kept_apart():
    """The same function on each backend: value and gradient, by kernels of its own."""
    kernel = LOOPS["tanh_sum"]
    x = np.linspace(-2.0, 2.0, 5000)
    found = {}
    for backend in ("ir", "numba"):
        with config.set(backend=backend):
            (cell,) = kernels.fetch([kernel])
            assert kernels.fetch([kernel]) == [cell]
            value, slope = tj.value_and_grad(lambda x: (tj.tanh(x) * tj.exp(-x)).sum())(x)
        found[backend] = (cell, float(value), np.asarray(slope))
    assert found["ir"][0] is not found["numba"][0]
    assert found["ir"][1] == pytest.approx(found["numba"][1], rel=1e-12)
    np.testing.assert_allclose(found["ir"][2], found["numba"][2], rtol=1e-13, atol=1e-14)


# ---------------------------------------------------------------- inside other Numba code


def test_an_njit_caller_calls_the_kernel_with_arrays():
    import numba

    kernel = LOOPS["tanh_sum"]
    loop = numba_kernels.dispatcher(kernel)
    finish = numba_kernels.dispatcher(kernel, "kernel_finish")

    @numba.njit
    def user(x):
        total, slope, parts = np.zeros(1), np.empty_like(x), np.empty(1)
        args, meta = (x, total, slope, parts), np.array([x.size, 1, 0, 1])
        loop(args, meta, 0, 1)
        finish(args, meta)
        return total[0], slope

    x = np.linspace(-1.0, 2.0, 9)
    value, slope = user(x)
    assert value == pytest.approx(np.tanh(x).sum(), rel=1e-14)
    np.testing.assert_allclose(slope, 1 - np.tanh(x) ** 2, rtol=1e-13)


# ---------------------------------------------------------------- files, disk, processes


def test_the_text_lies_in_a_file_of_its_own(tmp_path, monkeypatch):
    """Damage there changes nothing that runs, and is put right."""
    store = cache.ObjectStore(tmp_path / "own")
    monkeypatch.setattr(sources, "shared_store", lambda: store)
    text = emit_source(LOOPS["axpb"], "kernel")
    for content in (None, "def kernel(): return 'edited'\n", text.replace("2.5", "3.5")):
        sources._code.cache_clear()
        if content is not None:
            path.write_text(content)  # noqa: F821 - from the round before
        kernel = sources.namespace(text)["kernel"]
        path = tmp_path / "own" / os.path.basename(kernel.__code__.co_filename)
        assert path.read_text() == text == inspect.getsource(inspect.getmodule(kernel) or kernel)
        if hasattr(os, "getuid"):
            assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(TypeError) as failure:
        kernel((None, None, None), (1,), 0, 1)
    assert "v0 = x0[i0]" in "".join(traceback.format_exception(failure.value))
    sources._code.cache_clear()


def test_what_is_shown_is_what_runs(tmp_path, monkeypatch):
    """`show` and Numba have the text from one printer: the file holds what was shown."""
    store = cache.ObjectStore(tmp_path / "own")
    for module in (sources, numba_kernels):
        monkeypatch.setattr(module, "shared_store", lambda: store)
    monkeypatch.setattr(kernels, "_CELLS", OrderedDict())
    monkeypatch.setattr(numba_kernels, "_LOADED", {})
    sources._code.cache_clear()
    with config.set(backend="numba"):
        compile_program(asinh_program())
    sources._code.cache_clear()
    shown = dict(show.program_stages(asinh_program()))["kernel k0 as Python"]
    (file,) = (tmp_path / "own").glob("*.tj.py")
    assert file.read_text() == shown.replace("def k0(", "def kernel(")


def test_without_a_disk_tracebacks_still_show_the_text(monkeypatch):
    monkeypatch.setattr(sources.shared_store(), "_is_usable", False)
    sources._code.cache_clear()
    kernel = sources.namespace(emit_source(LOOPS["axpb"], "kernel"))["kernel"]
    sources._code.cache_clear()
    assert kernel.__code__.co_filename.startswith("<tapejit kernel ")
    with pytest.raises(TypeError) as failure:
        kernel((None, None, None), (1,), 0, 1)
    assert "v0 = x0[i0]" in "".join(traceback.format_exception(failure.value))


PROCESS = """
import sys, numpy as np, tapejit as tj
value, slope = tj.value_and_grad(lambda x: tj.sin(x * x).sum())(np.linspace(0.0, 1.0, 7))
print(float(value), "numba" in sys.modules)
"""


def test_a_second_process_compiles_nothing(tmp_path):
    """It loads the object code that the first one left, and does not even import Numba."""
    environment = os.environ | {
        "TAPEJIT_BACKEND": "numba",
        "TAPEJIT_CACHE_DIR": str(tmp_path / "c"),
    }
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PROCESS],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        ).stdout.split()
        for _ in range(2)
    ]  # fmt: skip
    assert said[0][1:] == ["True"] and said[1][1:] == ["False"]
    assert said[0][0] == said[1][0]
    assert float(said[0][0]) == pytest.approx(np.sin(np.linspace(0.0, 1.0, 7) ** 2).sum())


# ---------------------------------------------------------------- refusals and other roads


def fresh_kernel(number, fn="tanh"):
    """A kernel that no other test has compiled."""
    nodes = (
        Node("load", "f64", (0,)), Node("literal", "f64", (float(number),)),
        Node("mul", "f64", (0, 1)), Node(fn, "f64", (2,)),
    )  # fmt: skip
    return LoopKernel(1, (Operand("f64", "1"),), nodes, (store(3, "f64"),))


def test_another_numba_is_asked_for_its_public_text(monkeypatch):
    """Where the front end has no door, the text of an ordinary @njit function does."""

    def closed(pyfunc, signature):
        raise AttributeError("module 'numba.core.codegen' has no attribute 'CPUCodeLibrary'")

    monkeypatch.setattr(numba_kernels, "_lower_only", closed)
    case = make_case(fresh_kernel(np.random.default_rng().random()), (33,))
    assert_agree(through_numba(case)[0], native(case)[0], MATH_ULP)


def test_nothing_is_contracted_or_reordered():
    """No fast-math flag, no fused multiply and add: + and * keep NumPy's bits."""
    text = emit_text(LOOPS["axpb"], "kernel")
    function = text.functions[0]
    pyfunc = numba_kernels._scope(text.source)[function.name]
    llvm, symbol = numba_kernels.lower(pyfunc, numba_kernels._signature(function))
    assert symbol in llvm and "fmul double" in llvm and "fadd double" in llvm
    for word in ("fast", "contract", "reassoc", "llvm.fma", "llvm.fmuladd"):
        assert word not in llvm


def asinh_program():
    """asinh(x x) for ten numbers, to be compiled."""
    builder = Builder()
    x = builder.input(aval((10,), dtypes.float64))
    return Program(builder.tape, [x.row], [OPS["asinh"](OPS["mul"](x, x)).row])


def refuse(*_):
    raise KernelError("codegen: no vector asinh here")


def test_where_the_first_lowering_refuses_the_second_runs(monkeypatch):
    """No vector math for this machine: Numba compiles the text, and nobody is bothered."""
    monkeypatch.setattr(kernels, "_CELLS", OrderedDict())
    monkeypatch.setattr(kernels, "emit_kernel", refuse)
    x = np.linspace(-3.0, 3.0, 10)
    with config.set(backend="ir"):
        call = compile_program(asinh_program())
    assert call.plan is not None
    np.testing.assert_allclose(call([x])[0], np.arcsinh(x * x), rtol=1e-14)


def test_where_both_refuse_rows_run_one_by_one(monkeypatch):
    def no_numba(*_):
        raise KernelError("numba: cannot be used: No module named 'numba'")

    monkeypatch.setattr(kernels, "_CELLS", OrderedDict())
    monkeypatch.setattr(kernels, "emit_kernel", refuse)
    monkeypatch.setattr(kernels, "compile_functions", no_numba)
    x = np.linspace(-3.0, 3.0, 10)
    words = "row by row: codegen: no vector asinh here\n.*numba: cannot"
    with config.set(backend="ir"), pytest.warns(RuntimeWarning, match=words):
        call = compile_program(asinh_program())
    np.testing.assert_allclose(call([x])[0], np.arcsinh(x * x), rtol=1e-14)


def test_the_two_refuse_the_same():
    wrong = fresh_kernel(1.5)
    wrong = wrong._replace(outputs=(store(3, "f32"),))
    integer = LoopKernel(
        1, (Operand("i64", "1"),), (Node("load", "i64", (0,)), Node("exp", "i64", (0,))),
        (store(1, "i64"),),
    )  # fmt: skip
    for kernel, words in (
        (wrong, "output 0 is f32, its node 3 is f64"),
        (integer, "no exp of i64"),
    ):
        for backend in ("ir", "numba"):
            with config.set(backend=backend), pytest.raises(KernelError, match=words):
                kernels.fetch([kernel])


def test_a_backend_that_does_not_exist():
    with pytest.raises(ConfigError, match="backend: one of ir, numba is needed, got 'cuda'"):
        config.set(backend="cuda")
    with pytest.raises(ConfigError, match="jit: a whole number is needed, got 'fast'"):
        config.set(jit="fast")
    found = subprocess.run(
        [sys.executable, "-c", "import tapejit"],
        env=os.environ | {"TAPEJIT_BACKEND": "llvm"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "ConfigError: TAPEJIT_BACKEND: one of ir, numba is needed, got 'llvm'" in found.stderr
