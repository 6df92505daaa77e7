"""SciPy's low-level callables: a native function behind one of the signatures that SciPy calls.

    double adapter(double x)                             one number goes in
    double adapter(int n, double *xs)                    the numbers of all arguments, in order
    double adapter(..., void *user_data)                 the last argument lies there

An adapter is a few printed lines beside the function, compiled with it: it points the arguments
into `xs`, takes memory for the answer and the work space from the stack, and returns one number of
the answer.  It gives NaN where the function refuses, or where `n` is not the count of numbers:
SciPy takes no other sign.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, DtypeError, KernelError
from tapejit.transforms.c_side import c_function, check_array, library_of
from tapejit.transforms.native import Array, NativeFunction

SIGNATURES = {
    (False, False): "double (double)",
    (False, True): "double (double, void *)",
    (True, False): "double (int, double *)",
    (True, True): "double (int, double *, void *)",
}
"""By whether the arguments come as one array, and whether there is user data."""

MAX_STACK = 1 << 16
"""Bytes of work space that an adapter takes from the stack."""


def low_level_callable(
    native: NativeFunction, output: int, index: int | tuple[int, ...], user_data: Any,
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
    if code.work_bytes > MAX_STACK:
        raise KernelError(
            f"low_level_callable: the function needs {code.work_bytes} bytes of work space, and "
            f"the stack has room for {MAX_STACK}\n  try  native.ctypes, or Numba"
        )
    place = _place(native, output, index)
    data = _user_data(native, user_data)
    sizes = [int(np.prod(shape)) for _, shape in code.inputs]
    n = sum(sizes[:-1]) if data is not None else sum(sizes)
    is_array = n != 1 or signature in (SIGNATURES[True, False], SIGNATURES[True, True])
    wanted = signature or SIGNATURES[is_array, data is not None]
    fitting = [SIGNATURES[is_array, True]]
    fitting += [SIGNATURES[is_array, False]] if data is None else []
    if wanted not in fitting:
        raise ArgumentError(
            f"low_level_callable: {n} numbers{' and user data' if data is not None else ''} do not "
            f"go into this signature\n  got  {wanted!r}\n  try  {' or '.join(map(repr, fitting))}"
        )
    text = _adapter(code, output, place, sizes, is_array, wanted.endswith("void *)"), data)
    library = library_of(code, text, "adapter")
    parameters = [ctypes.c_int, ctypes.POINTER(ctypes.c_double)] if is_array else [ctypes.c_double]
    parameters += [ctypes.c_void_p] if wanted.endswith("void *)") else []
    function = c_function(library, "adapter", ctypes.c_double, *parameters)
    return LowLevelCallable(function, data, wanted) if data is not None else LowLevelCallable(
        function, signature=wanted
    )  # fmt: skip


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


def _adapter(code, output, place, sizes, is_array, has_data, data):
    """A function with SciPy's signature: the number, or NaN where there is none."""
    memory, lines, pointers, at = [], [], [], 0
    own = sizes[:-1] if data is not None else sizes
    for i, size in enumerate(own):
        lines.append(f"%x{i} = getelementptr double, ptr %xs, i64 {at}\n")
        pointers.append(f"ptr %x{i}")
        at += size
    if data is not None:
        pointers.append("ptr %data")
    for i, (_, shape) in enumerate(code.outputs):
        n = max(int(np.prod(shape)), 1)
        memory.append(f"%y{i} = alloca [{n} x double], align 64\n")
        pointers.append(f"ptr %y{i}")
    parameters = ["i32 %n", "ptr %xs"] if is_array else ["double %x"]
    parameters += ["ptr %data"] if has_data else []
    if is_array:
        head = (
            f"%fits = icmp eq i32 %n, {at}\nbr i1 %fits, label %run, label %wrong\n"
            "wrong:\nret double 0x7FF8000000000000\nrun:\n"
        )
    else:
        head = "%xs = alloca double\nstore double %x, ptr %xs\n"
    return (
        f"\ndefine double @adapter({', '.join(parameters)}) nounwind {{\n"
        f"%work = alloca [{max(code.work_bytes, 1)} x i8], align 64\n"
        f"{''.join(memory)}{head}{''.join(lines)}"
        f"%status = call i32 @{code.symbol}({', '.join(pointers)}, ptr %work, "
        f"i64 {code.work_bytes})\n%ok = icmp eq i32 %status, 0\n"
        f"%at = getelementptr double, ptr %y{output % len(code.outputs)}, i64 {place}\n"
        "%computed = load double, ptr %at\n"
        "%result = select i1 %ok, double %computed, double 0x7FF8000000000000\n"
        "ret double %result\n}\n"
    )
