"""A scalar function that Numba compiled, as IR text that kernels and native functions can hold.

Numba's front end gives the text (numba_kernels.py); LLVM's passes make one function of it, whose
arguments and result are numbers; and from what is then left it is read whether that is all:

    raises       where no pass could show that it raises nothing, a call of `@tj_raises` is left
    memory       a call of Numba's run time is left: it makes arrays, lists, strings
    the outside  an address of this process, a variable: random numbers, a callback

Such functions are not for kernels: they stay a step of their own, a loop that Numba compiled, and
what they raise is raised behind it.  A call of the C library's mathematics may be left, and arrays
that the function reads from outside, which are constants.

Start at `linked_code`.
"""

from __future__ import annotations

import re
from typing import Any

from tapejit.codegen import linked_ir
from tapejit.codegen.vectormath import FORMATS
from tapejit.errors import KernelError
from tapejit.runtime import native
from tapejit.runtime.numba_kernels import lower, numba_module

_LIBM = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs
    floor fma fmod hypot lgamma log log10 log1p log2 nextafter pow remainder rint round sin sinh
    sqrt tan tanh tgamma trunc
"""
_FROM_C = frozenset(f"{name}{kind}" for name in _LIBM.split() for kind in ("", "f"))

_PORTABLE = re.compile(r"llvm\.(?!x86|aarch64|arm|ppc|s390|riscv|wasm)")
"""Intrinsics that every processor has."""

_NUMBA = {"f64": "float64", "f32": "float32"}


def linked_code(function: Any, name: str, count: int, dtype: str) -> str:
    """The `fn` of nodes that call a function, a dispatcher, on numbers of a dtype.

    Errors  KernelError, whose text is why it cannot be part of a kernel
    """
    given = _text(function, count, dtype)
    text = native.one_function(given, linked_ir.PLACEHOLDER[1:])
    _check(text, "ZeroDivisionError" in given)
    return linked_ir.add(name, _bare(text), dtype, count, function)


def _text(function, count, dtype):
    """Numba's module, and a function of numbers in it that says where it raises."""
    types, kind = numba_module().types, FORMATS[dtype].element
    number, scope = getattr(types, _NUMBA[dtype]), {"scalar": function}
    arguments = ", ".join(f"x{i}" for i in range(count))
    exec(f"def element({arguments}, y):\n    y[0] = scalar({arguments})", scope)
    text, symbol = lower(scope["element"], (*[number] * count, types.CPointer(number)))
    parameters = ", ".join(f"{kind} %x{i}" for i in range(count))
    return (
        f"{text}\ndeclare void @tj_raises()\n"
        f"define {kind} {linked_ir.PLACEHOLDER}({parameters}) nounwind {{\n"
        f"entry:\n%y = alloca {kind}\n%ret = alloca ptr\n%exception = alloca ptr\n"
        f"%status = call i32 @{symbol}(ptr %ret, ptr %exception, {parameters}, ptr %y)\n"
        "%is_done = icmp eq i32 %status, 0\nbr i1 %is_done, label %done, label %raised\n"
        "raised:\ncall void @tj_raises()\nbr label %done\n"
        f"done:\n%result = load {kind}, ptr %y\nret {kind} %result\n}}\n"
    )


# ---------------------------------------------------------------- what is left


def _check(text: str, divides: bool) -> None:
    """Raise KernelError for a text that is not a pure function of numbers."""
    called = re.findall(r"^declare [^@\n]*@([^(\n]+)\(", text, re.MULTILINE)
    foreign = [n for n in called if n not in _FROM_C and not _PORTABLE.match(n)]
    if any(name.startswith("NRT_") for name in foreign):
        raise KernelError("it makes arrays or other objects while it runs")
    if "tj_raises" in foreign:
        instead = ", as for a division by zero (not under @njit(error_model='numpy'))"
        raise KernelError(f"it may raise{instead if divides else ' an exception'}")
    if foreign:
        raise KernelError(f"it calls {', '.join(foreign)}")
    kinds = re.findall(r"^@.+? = .*?\b(global|constant) ", text, re.MULTILINE)
    if "global" in kinds or "inttoptr" in text or " external " in text or " asm " in text:
        raise KernelError("it uses what lies elsewhere in this process")


def _bare(text: str) -> str:
    """The text without what belongs to a module of its own (target, attributes, metadata), and
    without Numba's names, which count the functions that a process has made."""
    names: dict[str, str] = {}

    def named(match):
        return names.setdefault(match[0], f"v{len(names)}")

    lines = []
    for line in text.splitlines():
        if line.startswith(("target ", "source_filename", "attributes #", "!", ";")):
            continue
        if not line.startswith("@"):
            line = re.sub(r", ![\w.]+ !\d+|\s*;.*$| #\d+| local_unnamed_addr", "", line)
            line = re.sub(r"(?<=%)[-\w$.]+|^[-\w$.]+(?=:$)", named, line)
        if line:
            lines.append(line)
    return "\n".join(lines)
