"""Scalar functions of users' own inside kernels: IR text that Numba made, called lane by lane.

A node whose `fn` begins with `plan.LINKED` calls one.  Its name holds the hash of its text, so it
is the same in every process, and a kernel that calls it is never another's; no address is in it.

    linked_NAME_HASH         in a kernel's nodes and in its Python text (loop_text.py)
    @tj_linked_NAME_HASH     double (double, ...): the text itself
    @tj_linked_..._f64x8     <8 x double> (<8 x double>, ..., i64 n): the first n lanes

The other lanes are padding, and no element of anybody's: the function is not called on them, for
it may be one that never ends there.  They come out as ones.

`add` takes a function in; runtime/linked_code.py makes the text, and says which functions have
none.  They are kept for good: Numba's code of each is a hundred times as large.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from tapejit.codegen.vectormath import FORMATS
from tapejit.plan import LINKED

Call = tuple[str, str, int]
"""(fn, dtype, lanes)"""

PLACEHOLDER = "@tj_linked"
"""What a text that is added calls its function, and what else it defines begins with."""


class Scalar(NamedTuple):
    """A function of numbers of one dtype."""

    text: str
    """IR that defines it, and declares what it calls."""
    dtype: str
    count: int
    """Of its arguments."""
    function: Any
    """The same as Numba's dispatcher: what a kernel's Python text calls."""


FUNCTIONS: dict[str, Scalar] = {}
"""By `fn`."""


def add(name: str, text: str, dtype: str, count: int, function: Any) -> str:
    """Take a function in; the `fn` of nodes that call it."""
    digest = hashlib.sha256(f"{dtype} {count} {text}".encode()).hexdigest()[:16]
    fn = f"{LINKED}{re.sub(r'[^0-9A-Za-z]+', '_', name).strip('_')}_{digest}"
    text = text.replace(PLACEHOLDER, f"@tj_{fn}")
    FUNCTIONS.setdefault(fn, Scalar(text, dtype, count, function))
    return fn


def __getattr__(name: str) -> Any:
    """The function that a kernel's text imports."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return FUNCTIONS[name].function


# ---------------------------------------------------------------- the call of a vector


def symbol(fn: str, dtype: str, lanes: int) -> str:
    """What the function of vectors is called."""
    return f"tj_{fn}_{dtype}x{lanes}"


def declaration(fn: str, dtype: str, lanes: int) -> str:
    """The line that a calling module needs."""
    kind = _vector(dtype, lanes)
    operands = ", ".join([kind] * FUNCTIONS[fn].count)
    return f"declare {kind} @{symbol(fn, dtype, lanes)}({operands}, i64) nounwind"


def emit_library(calls: Iterable[Call]) -> str:
    """A complete LLVM module that defines each (fn, dtype, lanes)."""
    calls = dict.fromkeys(calls)
    texts = [FUNCTIONS[fn].text for fn in dict.fromkeys(fn for fn, _, _ in calls)]
    lines = "\n".join([*texts, *(_call(*call) for call in calls)]).splitlines()
    declared = dict.fromkeys(line for line in lines if line.startswith("declare "))
    return "\n".join([*declared, *(line for line in lines if line not in declared), ""])


def _vector(dtype, lanes):
    return f"<{lanes} x {FORMATS[dtype].element}>"


def _call(fn, dtype, lanes):
    """The function of vectors: a loop over lanes in memory."""
    kind, element = _vector(dtype, lanes), FORMATS[dtype].element
    operands = range(FUNCTIONS[fn].count)
    parameters = ", ".join(f"{kind} %v{i}" for i in operands)
    numbers = ", ".join(f"{element} %x{i}" for i in operands)
    stored = "".join(
        f"%m{i} = alloca {kind}, align 64\nstore {kind} %v{i}, ptr %m{i}, align 64\n"
        for i in operands
    )
    loaded = "".join(
        f"%p{i} = getelementptr {element}, ptr %m{i}, i64 %lane\n"
        f"%x{i} = load {element}, ptr %p{i}\n"
        for i in operands
    )
    return (
        f"define {kind} @{symbol(fn, dtype, lanes)}({parameters}, i64 %n) nounwind {{\n"
        f"entry:\n{stored}%my = alloca {kind}, align 64\n"
        f"store {kind} splat ({element} 1.0), ptr %my, align 64\n"
        f"%is_part = icmp slt i64 %n, {lanes}\n"
        f"%end = select i1 %is_part, i64 %n, i64 {lanes}\nbr label %lanes\n"
        "lanes:\n%lane = phi i64 [ 0, %entry ], [ %next, %one ]\n"
        "%more = icmp slt i64 %lane, %end\nbr i1 %more, label %one, label %done\n"
        f"one:\n{loaded}%y = call {element} @tj_{fn}({numbers})\n"
        f"%py = getelementptr {element}, ptr %my, i64 %lane\nstore {element} %y, ptr %py\n"
        "%next = add i64 %lane, 1\nbr label %lanes\n"
        f"done:\n%all = load {kind}, ptr %my, align 64\nret {kind} %all\n}}"
    )
