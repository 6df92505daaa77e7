"""Running one loop kernel four ways: native code, its Python text plain and through Numba, and
NumPy node by node.

`Case` holds a kernel, a shape and arrays laid out as the kernel's steps say.  `native`, `python`,
`through_numba` and `expected` each give the list of outputs.  Start at `make_case`.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from typing import NamedTuple

import numpy as np

from tapejit.codegen import vectormath
from tapejit.codegen.loop_ir import emit_loop
from tapejit.codegen.loop_reduce import emit_reduction
from tapejit.codegen.loop_tail import NAMES, emit_tail
from tapejit.codegen.loop_text import emit_source
from tapejit.plan import BLOCK, LoopKernel
from tapejit.runtime import native as machine
from tapejit.runtime.numba_kernels import compile_functions

NUMPY = {"f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.bool_}
SENTINEL = 77


class Layout(NamedTuple):
    """One operand in memory: a flat base, the position of its first element, strides."""

    base: np.ndarray
    first: int
    strides: tuple[int, ...]


class Case(NamedTuple):
    kernel: LoopKernel
    shape: tuple[int, ...]
    inputs: tuple[Layout, ...]
    outputs: tuple[Layout, ...]


# ---------------------------------------------------------------- data


def numbers(rng, dtype, n):
    if dtype == "bool":
        return rng.integers(0, 2, n).astype(np.bool_)
    if dtype in ("i64", "i32"):
        return rng.integers(-9, 10, n).astype(NUMPY[dtype])
    return rng.normal(size=n).astype(NUMPY[dtype])


def make_layout(rng, dtype, steps, shape):
    """Strides as `steps` ask, with gaps and signs at random where they leave a choice."""
    strides, span, first = [0] * len(shape), 1, 0
    for axis in sorted(range(len(shape)), key=lambda axis: (steps[axis] != "1", -axis)):
        if steps[axis] == "1":
            assert span == 1, "one axis at most is contiguous"
            strides[axis] = 1
            span = max(shape[axis], 1)
        elif steps[axis] == "s":
            stride = span + int(rng.integers(0, 3))
            strides[axis] = stride * int(rng.choice([1, -1]))
            if strides[axis] < 0:
                first += stride * max(shape[axis] - 1, 0)
            span = stride * max(shape[axis], 1)
    return Layout(numbers(rng, dtype, span + first + 2), first, tuple(strides))


def make_case(kernel, shape, seed=0, fill=None):
    """Random inputs for a kernel; `fill` gives the bases of the inputs instead."""
    rng = np.random.default_rng([seed, *shape])
    inputs = [make_layout(rng, record.dtype, record.steps, shape) for record in kernel.inputs]
    if fill is not None:
        inputs = [layout._replace(base=base) for layout, base in zip(inputs, fill, strict=True)]
    outputs = [
        make_layout(rng, record.operand.dtype, record.operand.steps, shape)
        for record in kernel.outputs
    ]
    for layout in outputs:
        layout.base[:] = SENTINEL
    return Case(kernel, shape, tuple(inputs), tuple(outputs))


def view(layout, shape):
    item = layout.base.itemsize
    return np.lib.stride_tricks.as_strided(
        layout.base[layout.first :], shape, [item * stride for stride in layout.strides]
    )


def result(case, bases):
    """The outputs as arrays, with length 1 where an operand stays; nothing else was written."""
    found = []
    for output, layout, base in zip(case.kernel.outputs, case.outputs, bases, strict=True):
        steps = output.operand.steps
        kept = [1 if step == "0" else n for n, step in zip(case.shape, steps, strict=True)]
        mine = layout._replace(base=base.copy())
        found.append(view(mine, kept).copy())
        view(mine, kept)[...] = SENTINEL
        assert (mine.base == NUMPY[output.operand.dtype](SENTINEL)).all(), "wrote outside"
    return found


def units_of(case):
    if case.kernel.rank == 1:
        return -(-case.shape[0] // BLOCK)
    return int(np.prod(case.shape[:-1]))


def meta_of(case):
    strides = [layout.strides for layout in (*case.inputs, *case.outputs)]
    return np.array([*case.shape, *(s for record in strides for s in record)], np.int64)


def scratch_of(case):
    return [
        numbers(np.random.default_rng(1), output.operand.dtype, max(units_of(case), 1))
        for output in case.kernel.outputs
        if output.reduce is not None and set(output.operand.steps) == {"0"}
    ]


# ---------------------------------------------------------------- native code


@functools.cache
def vector_math(target, fn, dtype, lanes):
    """The library of one vector function."""
    symbol = vectormath.symbol(fn, dtype, lanes)
    text = vectormath.emit_library([(fn, dtype, lanes)], target.has_fma)
    return machine.load(machine.compile_object(text, target=target), (symbol,))


@functools.cache
def support(target, name):
    """The library that has a function which many kernels call."""
    text, names = (emit_tail(), NAMES) if name in NAMES else (emit_reduction(name), (name,))
    return machine.load(machine.compile_object(text, target=target), names)


def load(text, tier=0, target=None):
    target = target or machine.host()
    imports = {name: support(target, name).address(name) for name in text.support}
    for call in text.imports:
        symbol = vectormath.symbol(*call)
        imports[symbol] = vector_math(target, *call).address(symbol)
    compiled = machine.compile_object(text.ir, tier, target=target)
    return machine.load(compiled, text.exports, imports)


def native(case, split=500, tier=0, cuts=(), target=None):
    """Run compiled; `cuts` are unit numbers where the range is handed out in pieces."""
    text = emit_loop(case.kernel, "k", split)
    library = load(text, tier, target)
    return launched(case, {name: library.address(name) for name in text.exports}, "k", cuts)


def through_numba(case, cuts=()):
    """Run the Python text as compiled by the numba backend, by the same interface."""
    libraries = compile_functions(case.kernel)
    addresses = {name: library.address(name) for name, library in libraries.items()}
    return launched(case, addresses, "kernel", cuts)


def launched(case, functions, name, cuts):
    """Call functions of the machine's interface (plan.py) on a case."""
    bases = [layout.base.copy() for layout in case.outputs]
    firsts = [layout.first for layout in (*case.inputs, *case.outputs)]
    arrays = [*(layout.base for layout in case.inputs), *bases]
    addresses = [
        array.ctypes.data + first * array.itemsize
        for array, first in zip(arrays, firsts, strict=True)
    ]
    scratch = scratch_of(case)
    pointers = (ctypes.c_void_p * 128)(*addresses, *(array.ctypes.data for array in scratch))
    meta = meta_of(case)
    args = (ctypes.addressof(pointers), meta.ctypes.data)
    short = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    if f"{name}_start" in functions:
        short(functions[f"{name}_start"])(*args)
    whole = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)
    edges = [0, *cuts, units_of(case)]
    for begin, end in reversed(list(itertools.pairwise(edges))):
        whole(functions[name])(*args, begin, end)
    if f"{name}_finish" in functions:
        short(functions[f"{name}_finish"])(*args)
    return result(case, bases)


# ---------------------------------------------------------------- the Python text


def python(case):
    """Run the text un-jitted."""
    scope = {}
    exec(emit_source(case.kernel, "k"), scope)
    layouts = [*case.inputs, *case.outputs]
    # element 0 is the operand's first; what lies before it wraps to the end
    flat = [np.roll(layout.base, -layout.first) for layout in layouts]
    args, meta = [*flat, *scratch_of(case)], meta_of(case)
    with np.errstate(all="ignore"):
        if "k_start" in scope:
            scope["k_start"](args, meta)
        scope["k"](args, meta, 0, units_of(case))
        if "k_finish" in scope:
            scope["k_finish"](args, meta)
    n = len(case.inputs)
    outputs = zip(case.outputs, flat[n:], strict=True)
    return result(case, [np.roll(base, layout.first) for layout, base in outputs])


# ---------------------------------------------------------------- NumPy


_REFERENCE = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "mod": np.mod,
    "neg": np.negative, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.logical_and,
    "or": np.logical_or, "not": np.logical_not, "select": np.where, "abs": np.abs,
    "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "round": np.rint,
    "copysign": np.copysign, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "atan2": np.arctan2, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "pow": np.power, "floordiv": np.floor_divide,
}  # fmt: skip
_REDUCE = {
    "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum,
}  # fmt: skip


def cast(x, dtype):
    if dtype == "bool" or x.dtype.kind != "f" or dtype in ("f64", "f32"):
        return x.astype(NUMPY[dtype])
    info = np.iinfo(NUMPY[dtype])
    inside = (x > info.min) & (x < float(info.max))
    y = np.where(inside, x, 0).astype(NUMPY[dtype])
    return np.where(np.isnan(x) | inside, y, np.where(x > 0, info.max, info.min)).astype(y.dtype)


def expected(case):
    kernel, values = case.kernel, []
    inputs = [view(layout, case.shape) for layout in case.inputs]
    with np.errstate(all="ignore"):
        for fn, dtype, operands in kernel.nodes:
            if fn == "load":
                value = inputs[operands[0]]
            elif fn == "literal":
                value = np.full(case.shape, operands[0], NUMPY[dtype])
            elif fn == "index":
                value = np.indices(case.shape)[operands[0]]
            elif fn == "cast":
                value = cast(values[operands[0]], dtype)
            else:
                call = _REFERENCE.get(fn) or getattr(np, fn)
                value = call(*[values[node] for node in operands])
            values.append(value)
            assert value.dtype == NUMPY[dtype], (fn, dtype, value.dtype)
        return [reduced(values[output.node], output) for output in kernel.outputs]


def reduced(value, output):
    axes = tuple(axis for axis, step in enumerate(output.operand.steps) if step == "0")
    if output.reduce is None or not axes:
        return value
    if value.dtype == np.bool_:
        return {"max": np.any, "min": np.all}[output.reduce](value, axis=axes, keepdims=True)
    start = {"sum": 0, "prod": 1}.get(output.reduce)
    if start is None and value.dtype.kind == "f":
        start = -np.inf if output.reduce == "max" else np.inf
    if start is None:
        info = np.iinfo(value.dtype)
        start = info.min if output.reduce == "max" else info.max
    call, kind = _REDUCE[output.reduce], value.dtype
    return call.reduce(value, axis=axes, keepdims=True, dtype=kind, initial=kind.type(start))
