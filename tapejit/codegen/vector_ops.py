"""LLVM text for one node on vectors: which instruction, intrinsic or call computes what.

`recipe(fn, dtype, source, lanes)` gives the lines that compute one node, as a text with places
for the node's number and its operands.  Recipes are made once per process and then filled in with
`str.format`, which is why printing a node costs about a microsecond.

Nothing here is fast-math and nothing contracts: a compiled + - * / sqrt has NumPy's bits, on every
CPU and at every optimisation level.  Where LLVM leaves a result undefined (integer division by
zero, a float that no integer holds) the recipe defines one, so that no kernel can trap.

`combine` and `neutral` are the same service for reductions; a bool is reduced as the i8 that it is
in memory.  This file knows nothing of loops, operands in memory or kernels: see loop_ir.py.
"""

from __future__ import annotations

import ctypes
import functools
import math
import struct
from typing import NamedTuple

from tapejit import expressions
from tapejit.codegen import callees, linked_ir, vectormath
from tapejit.errors import KernelError
from tapejit.plan import LINKED

# ---------------------------------------------------------------- data

SCALAR = {"f64": "double", "f32": "float", "i64": "i64", "i32": "i32", "bool": "i1"}
MEMORY = SCALAR | {"bool": "i8"}
SIZE = {"f64": 8, "f32": 4, "i64": 8, "i32": 4, "bool": 1}
_SUFFIX = {"f64": "f64", "f32": "f32", "i64": "i64", "i32": "i32", "bool": "i8"}
_BITS = {"i64": 64, "i32": 32}

_FLOAT_INSTRUCTION = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "neg": "fneg"}
_FLOAT_INTRINSIC = {
    "abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    # rint and not roundeven: without SSE4.1 it becomes a libm call, and every libm has rint
    "round": "rint", "copysign": "copysign",
}  # fmt: skip
_FLOAT_COMPARE = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
_INT_COMPARE = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}
_BOOL_COMPARE = {"lt": "ult", "le": "ule", "gt": "ugt", "ge": "uge", "eq": "eq", "ne": "ne"}


class Recipe(NamedTuple):
    """How one node is computed: {0} is the node's number, {1} … its operands."""

    text: str
    declarations: tuple[str, ...] = ()
    call: tuple[str, str, int] | None = None
    """The function of vectors that it calls (callees.py), as (fn, dtype, lanes)."""


# ---------------------------------------------------------------- types and constants


def is_float(dtype: str) -> bool:
    return dtype in ("f64", "f32")


@functools.cache
def vector(dtype: str, lanes: int) -> str:
    """The type of a value in registers: a bool is an <n x i1>."""
    return f"<{lanes} x {SCALAR[dtype]}>"


@functools.cache
def memory_vector(dtype: str, lanes: int) -> str:
    """The type of a value in memory: a bool is an <n x i8>."""
    return f"<{lanes} x {MEMORY[dtype]}>"


def constant(value, dtype: str) -> str:
    """A scalar constant as LLVM prints it, without its type."""
    if dtype == "bool":
        return "true" if value else "false"
    if not is_float(dtype):
        # two's complement, as an overflowing NumPy integer would wrap
        bits = _BITS[dtype]
        return str((int(value) + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1))
    # LLVM writes a float as the hexadecimal digits of the double with the same value
    number = ctypes.c_float(value).value if dtype == "f32" else float(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


def splat(value, dtype: str) -> str:
    """A vector constant with `value` in every lane, without its type."""
    return f"splat ({SCALAR[dtype]} {constant(value, dtype)})"


# ---------------------------------------------------------------- nodes


@functools.cache
def recipe(fn: str, dtype: str, source: str, lanes: int) -> Recipe:
    """How `fn` with operands of dtype `source` gives a vector of `dtype`.

    Errors  KernelError if there is no such function of that dtype

    >>> recipe("add", "f64", "f64", 8).text
    '%v{0} = fadd <8 x double> {1}, {2}\\n'
    """
    if fn == "cast":
        return _cast(dtype, source, lanes)
    if fn == "select":
        kind = vector(dtype, lanes)
        return _instruction(f"select {vector('bool', lanes)} {{1}}, {kind} {{2}}, {kind} {{3}}")
    if fn in vectormath.FUNCTIONS and is_float(dtype):
        return _call(fn, dtype, lanes, expressions.FUNCTIONS[fn])
    if fn.startswith(LINKED):  # its last operand: of how many lanes
        count = linked_ir.FUNCTIONS[fn].count
        return _call(fn, dtype, lanes, count, f", i64 {{{count + 1}}}")
    by_source = _float if is_float(source) else _bool if source == "bool" else _integer
    found = by_source(fn, source, lanes)
    if found is None:
        raise KernelError(
            f"codegen: no {fn} of {source} giving {dtype}\n"
            "  try  a cast node before it; integers and booleans have no div, sqrt or math"
        )
    return found


def _instruction(text, declarations=(), call=None):
    return Recipe(f"%v{{0}} = {text}\n", declarations, call)


def _intrinsic(name, dtype, lanes, n_operands):
    """One call of llvm.NAME; operands and result all of one type."""
    kind, text = vector(dtype, lanes), f"llvm.{name}.v{lanes}{_SUFFIX[dtype]}"
    declaration = f"declare {kind} @{text}({', '.join([kind] * n_operands)})\n"
    operands = ", ".join(f"{kind} {{{i + 1}}}" for i in range(n_operands))
    return _instruction(f"call {kind} @{text}({operands})", (declaration,))


def _call(fn, dtype, lanes, n_operands, more=""):
    kind = vector(dtype, lanes)
    operands = ", ".join(f"{kind} {{{i + 1}}}" for i in range(n_operands))
    text = f"call {kind} @{callees.symbol(fn, dtype, lanes)}({operands}{more})"
    return _instruction(text, (f"{callees.declaration(fn, dtype, lanes)}\n",), (fn, dtype, lanes))


def _float(fn, dtype, lanes):
    kind = vector(dtype, lanes)
    if fn == "neg":
        return _instruction(f"fneg {kind} {{1}}")
    if fn in _FLOAT_INSTRUCTION:
        return _instruction(f"{_FLOAT_INSTRUCTION[fn]} {kind} {{1}}, {{2}}")
    if fn in _FLOAT_INTRINSIC:
        return _intrinsic(_FLOAT_INTRINSIC[fn], dtype, lanes, expressions.INSTRUCTIONS[fn])
    if fn in _FLOAT_COMPARE:
        return _instruction(f"fcmp {_FLOAT_COMPARE[fn]} {kind} {{1}}, {{2}}")
    return None


def _integer(fn, dtype, lanes):
    kind = vector(dtype, lanes)
    if fn in ("add", "sub", "mul"):
        return _instruction(f"{fn} {kind} {{1}}, {{2}}")
    if fn == "neg":
        return _instruction(f"sub {kind} zeroinitializer, {{1}}")
    if fn in ("floor", "ceil", "trunc", "round"):
        return _instruction(f"add {kind} {{1}}, zeroinitializer")
    if fn == "abs":
        name = f"@llvm.abs.v{lanes}{_SUFFIX[dtype]}"
        declaration = f"declare {kind} {name}({kind}, i1)\n"
        return _instruction(f"call {kind} {name}({kind} {{1}}, i1 false)", (declaration,))
    if fn in _INT_COMPARE:
        return _instruction(f"icmp {_INT_COMPARE[fn]} {kind} {{1}}, {{2}}")
    if fn in ("mod", "fmod"):
        return _integer_mod(dtype, lanes, moves=fn == "mod")
    if fn == "floordiv":
        return _integer_floordiv(dtype, lanes)
    return None


def _integer_mod(dtype, lanes, moves):
    """C's % and, if it `moves` to the divisor's sign, Python's.

    Zero for the divisors 0 and -1, on which the CPU's division may trap.
    """
    kind, mask = vector(dtype, lanes), vector("bool", lanes)
    one = splat(1, dtype)
    rest = "r" if moves else ""
    text = (
        f"%v{{0}}y = add {kind} {{2}}, {one}\n"
        f"%v{{0}}t = icmp ule {kind} %v{{0}}y, {one}\n"
        f"%v{{0}}u = select {mask} %v{{0}}t, {kind} {one}, {kind} {{2}}\n"
        f"%v{{0}}{rest} = srem {kind} {{1}}, %v{{0}}u\n"
    )
    if not moves:
        return Recipe(text)
    return Recipe(
        f"{text}"
        f"%v{{0}}x = xor {kind} %v{{0}}r, %v{{0}}u\n"
        f"%v{{0}}c = icmp slt {kind} %v{{0}}x, zeroinitializer\n"
        f"%v{{0}}d = icmp ne {kind} %v{{0}}r, zeroinitializer\n"
        f"%v{{0}}e = and {mask} %v{{0}}c, %v{{0}}d\n"
        f"%v{{0}}s = add {kind} %v{{0}}r, %v{{0}}u\n"
        f"%v{{0}} = select {mask} %v{{0}}e, {kind} %v{{0}}s, {kind} %v{{0}}r\n"
    )


def _integer_floordiv(dtype, lanes):
    """Python's //: x / y rounded down; 0 for y = 0, and -x for y = -1, which may trap."""
    kind, mask = vector(dtype, lanes), vector("bool", lanes)
    one = splat(1, dtype)
    return Recipe(
        f"%v{{0}}y = add {kind} {{2}}, {one}\n"
        f"%v{{0}}t = icmp ule {kind} %v{{0}}y, {one}\n"
        f"%v{{0}}u = select {mask} %v{{0}}t, {kind} {one}, {kind} {{2}}\n"
        f"%v{{0}}q = sdiv {kind} {{1}}, %v{{0}}u\n"
        f"%v{{0}}m = mul {kind} %v{{0}}q, %v{{0}}u\n"
        f"%v{{0}}r = sub {kind} {{1}}, %v{{0}}m\n"
        f"%v{{0}}x = xor {kind} %v{{0}}r, %v{{0}}u\n"
        f"%v{{0}}c = icmp slt {kind} %v{{0}}x, zeroinitializer\n"
        f"%v{{0}}d = icmp ne {kind} %v{{0}}r, zeroinitializer\n"
        f"%v{{0}}e = and {mask} %v{{0}}c, %v{{0}}d\n"
        f"%v{{0}}f = sext {mask} %v{{0}}e to {kind}\n"
        f"%v{{0}}w = add {kind} %v{{0}}q, %v{{0}}f\n"
        # of the divisors 0 and -1 the quotient is x times the divisor
        f"%v{{0}}s = mul {kind} {{1}}, {{2}}\n"
        f"%v{{0}} = select {mask} %v{{0}}t, {kind} %v{{0}}s, {kind} %v{{0}}w\n"
    )


def _bool(fn, dtype, lanes):
    kind = vector(dtype, lanes)
    if fn in ("and", "or"):
        return _instruction(f"{fn} {kind} {{1}}, {{2}}")
    if fn == "not":
        return _instruction(f"xor {kind} {{1}}, {splat(1, 'bool')}")
    if fn in _BOOL_COMPARE:
        return _instruction(f"icmp {_BOOL_COMPARE[fn]} {kind} {{1}}, {{2}}")
    return None


def _cast(dtype, source, lanes):
    kind, given = vector(dtype, lanes), vector(source, lanes)
    if dtype == source:
        return _instruction(f"select i1 true, {kind} {{1}}, {kind} {{1}}")
    if dtype == "bool":
        compare = "fcmp une" if is_float(source) else "icmp ne"
        return _instruction(f"{compare} {given} {{1}}, zeroinitializer")
    if is_float(source) and not is_float(dtype):
        # saturating: a NaN gives 0 and what is out of range the nearest integer, never poison
        name = f"@llvm.fptosi.sat.v{lanes}{_SUFFIX[dtype]}.v{lanes}{_SUFFIX[source]}"
        declaration = f"declare {kind} {name}({given})\n"
        return _instruction(f"call {kind} {name}({given} {{1}})", (declaration,))
    return _instruction(f"{_cast_instruction(dtype, source)} {given} {{1}} to {kind}")


def _cast_instruction(dtype, source):
    if is_float(dtype):
        if is_float(source):
            return "fpext" if dtype == "f64" else "fptrunc"
        return "uitofp" if source == "bool" else "sitofp"
    if source == "bool":
        return "zext"
    return "sext" if dtype == "i64" else "trunc"


# ---------------------------------------------------------------- reductions


@functools.cache
def combine(reduce: str, dtype: str, lanes: int) -> tuple[str, tuple[str, ...]]:
    """Text that joins two partial results of a reduction, and its declarations.

    {0} is the result, {1} and {2} the parts; `lanes` 0 means scalars.

    >>> combine("sum", "f64", 0)[0]
    '{0} = fadd double {1}, {2}\\n'
    """
    kind = memory_vector(dtype, lanes) if lanes else MEMORY[dtype]
    if reduce in ("sum", "prod"):
        if dtype == "bool":
            raise KernelError(f"codegen: no {reduce} of bool\n  try  a cast node before it")
        word = {"sum": "add", "prod": "mul"}[reduce]
        return f"{{0}} = {'f' if is_float(dtype) else ''}{word} {kind} {{1}}, {{2}}\n", ()
    # llvm.maximum and not maxnum: a NaN in the data must come out
    word = f"{reduce}imum" if is_float(dtype) else ("u" if dtype == "bool" else "s") + reduce
    name = f"@llvm.{word}.{f'v{lanes}' if lanes else ''}{_SUFFIX[dtype]}"
    declaration = f"declare {kind} {name}({kind}, {kind})\n"
    return f"{{0}} = call {kind} {name}({kind} {{1}}, {kind} {{2}})\n", (declaration,)


def neutral(reduce: str, dtype: str) -> str:
    """The constant that changes nothing in a reduction, as the type has it in memory."""
    if reduce in ("sum", "prod"):
        return constant(0 if reduce == "sum" else 1, dtype)
    if dtype == "bool":
        return "0" if reduce == "max" else "1"
    if is_float(dtype):
        return constant(-math.inf if reduce == "max" else math.inf, dtype)
    lowest = -(1 << _BITS[dtype] - 1)
    return str(lowest if reduce == "max" else -1 - lowest)
