"""SciPy's low-level callables: a native function behind one of the signatures that SciPy calls.

    double adapter(double x)                             one number goes in
    double adapter(int n, double *xs)                    the numbers of all arguments, in order
    double adapter(..., void *user_data)                 the last argument lies there
    int adapter(double *xs, intptr_t n, double *result, void *user_data)
                                                         for scipy.ndimage.generic_filter

An adapter is a few printed lines beside the function, compiled with it: it points the arguments
into `xs`, takes memory for the answer and the work space from the stack, and returns one number of
the answer.  It gives NaN where the function refuses, or where `n` is not the count of numbers:
SciPy takes no other sign.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import ArgumentError, DtypeError, KernelError
from tapejit.transforms.native.c_side import c_function, check_array, library_of
from tapejit.transforms.native.records import Array, NativeCode


class _Signature(NamedTuple):
    """One of SciPy's signatures."""

    text: str
    parameters: tuple[str, ...]
    """In LLVM: %x one number, or %xs and %n of them; %data; %result for the number."""
    kinds: tuple
    """The result and the parameters for ctypes."""


_POINTER = ctypes.POINTER(ctypes.c_double)
_NUMBER = _Signature("double (double)", ("double %x",), (ctypes.c_double,) * 2)
_NUMBER_DATA = _Signature(
    "double (double, void *)", ("double %x", "ptr %data"),
    (ctypes.c_double, ctypes.c_double, ctypes.c_void_p),
)  # fmt: skip
_NUMBERS = _Signature(
    "double (int, double *)", ("i32 %n", "ptr %xs"), (ctypes.c_double, ctypes.c_int, _POINTER)
)
_NUMBERS_DATA = _Signature(
    "double (int, double *, void *)", ("i32 %n", "ptr %xs", "ptr %data"),
    (ctypes.c_double, ctypes.c_int, _POINTER, ctypes.c_void_p),
)  # fmt: skip
_FILTER = _Signature(
    "int (double *, intptr_t, double *, void *)",
    ("ptr %xs", "i64 %n", "ptr %result", "ptr %data"),
    (ctypes.c_int, _POINTER, ctypes.c_ssize_t, _POINTER, ctypes.c_void_p),
)

MAX_STACK = 1 << 16
"""Bytes that an adapter takes from the stack for the answer and the work space."""


def low_level_callable(
    native: NativeCode, output: int, index: int | tuple[int, ...], user_data: Any,
    signature: str | None,
) -> Any:  # fmt: skip
    """A scipy.LowLevelCallable of one number of the answer."""
    from scipy import LowLevelCallable

    code = native.code
    dtypes = {dtype for dtype, _ in (*code.inputs, *code.outputs)}
    if dtypes != {np.dtype(np.float64)}:
        raise DtypeError(
            f"low_level_callable: SciPy calls with float64 only\n  got  {native!r}\n"
            "  try  float64 arguments"
        )
    sizes = [[math.prod(shape) for _, shape in kinds] for kinds in (code.inputs, code.outputs)]
    needed = code.work_bytes + 8 * sum(sizes[1])
    if needed > MAX_STACK:
        raise KernelError(
            f"low_level_callable: the function needs {needed} bytes for its answer and its work, "
            f"and the stack has room for {MAX_STACK}\n  try  native.ctypes, or Numba"
        )
    place = _place(native, output, index)
    data = _user_data(native, user_data)
    chosen = _chosen(signature, sum(sizes[0][: len(sizes[0]) - (data is not None)]), data)
    text = _adapter(code, output % len(sizes[1]), place, sizes, chosen, data is not None)
    function = c_function(library_of(code, text, "adapter"), "adapter", *chosen.kinds)
    if data is None:
        return LowLevelCallable(function, signature=chosen.text)
    return LowLevelCallable(function, data, chosen.text)


def _chosen(signature: str | None, n: int, data) -> _Signature:
    """The signature that is asked for, if `n` numbers go into it."""
    several = (_NUMBERS, _NUMBERS_DATA, _FILTER) if data is None else (_NUMBERS_DATA, _FILTER)
    one = (_NUMBER, _NUMBER_DATA) if data is None else (_NUMBER_DATA,)
    fitting = {found.text: found for found in (one + several if n == 1 else several)}
    if signature is None:
        return next(iter(fitting.values()))
    if signature not in fitting:
        raise ArgumentError(
            f"low_level_callable: {n} numbers{'' if data is None else ' and user data'} do not "
            f"go into this signature\n  got  {signature!r}\n"
            f"  try  {' or '.join(map(repr, fitting))}"
        )
    return fitting[signature]


def _place(native, output, index):
    """Which element of an output is meant."""
    outputs = native.code.outputs
    if not -len(outputs) <= output < len(outputs):
        raise ArgumentError(
            f"low_level_callable: output {output} of {len(outputs)}\n  got  {native!r}"
        )
    shape = outputs[output][1]
    at = (index,) if isinstance(index, int) else tuple(index)
    if not shape and at == (0,):
        at = ()
    if len(at) != len(shape) or any(not -n <= i < n for i, n in zip(at, shape, strict=True)):
        raise ArgumentError(f"low_level_callable: index {index} in an output of shape {shape}")
    place = 0
    for i, n in zip(at, shape, strict=True):
        place = place * n + i % n
    return place


def _user_data(native, given):
    """The pointer for the last argument, which holds its array."""
    if given is None:
        return None
    dtype, shape = native.code.inputs[-1]
    check_array(Array(dtype, shape), given, "low_level_callable: user_data")
    if not given.flags.c_contiguous:
        raise ArgumentError("low_level_callable: user_data is not row-major\n  try  a copy of it")
    pointer: Any = ctypes.c_void_p(given.ctypes.data)
    pointer.array = given  # alive as long as this
    return pointer


def _adapter(code, output, place, sizes, signature: _Signature, has_data):
    """A function with SciPy's signature."""
    inputs, outputs = sizes
    memory, lines, pointers, at = [], [], [], 0
    for i, size in enumerate(inputs[: len(inputs) - has_data]):
        lines.append(f"%x{i} = getelementptr double, ptr %xs, i64 {at}\n")
        pointers.append(f"ptr %x{i}")
        at += size
    pointers += ["ptr %data"] * has_data
    for i, size in enumerate(outputs):
        memory.append(f"%y{i} = alloca [{max(size, 1)} x double], align 64\n")
        pointers.append(f"ptr %y{i}")
    is_filter = signature is _FILTER
    kind, wrong = ("i32", "0") if is_filter else ("double", "0x7FF8000000000000")
    if "double %x" in signature.parameters:
        head = "%xs = alloca double\nstore double %x, ptr %xs\n"
    else:
        count = "i64" if is_filter else "i32"
        head = (
            f"%fits = icmp eq {count} %n, {at}\nbr i1 %fits, label %run, label %wrong\n"
            f"wrong:\nret {kind} {wrong}\nrun:\n"
        )
    answer = "store double %computed, ptr %result\n" if is_filter else ""
    return (
        f"\ndefine {kind} @adapter({', '.join(signature.parameters)}) nounwind {{\n"
        f"%work = alloca [{max(code.work_bytes, 1)} x i8], align 64\n"
        f"{''.join(memory)}{head}{''.join(lines)}"
        f"%status = call i32 @{code.symbol}({', '.join(pointers)}, ptr %work, "
        f"i64 {code.work_bytes})\n%ok = icmp eq i32 %status, 0\n"
        f"%at = getelementptr double, ptr %y{output}, i64 {place}\n"
        f"%computed = load double, ptr %at\n{answer}"
        f"%given = select i1 %ok, {kind} {'1' if is_filter else '%computed'}, {kind} {wrong}\n"
        f"ret {kind} %given\n}}\n"
    )
