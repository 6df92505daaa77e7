"""Kernels in text to machine code: `compile_ptx` and `link`.  Neither needs a GPU or a driver.

`compile_ptx` is the one function that knows numba.cuda (which its makers keep, and no longer
extend: whatever replaces it, replaces it here).  Pointers are plain addresses to it, 8 bytes each:
an array would be seven parameters.  Names in its text hold counters of the process; they are
replaced, so a function has the same PTX, and so the same bytes of code, everywhere.

    text --numba.cuda, NVVM--> PTX --nvJitLink, through cuda.core--> cubin

PTX never goes to the driver, which may be older than it.  Divisions and functions are the exact
ones (no fast math); products and sums are contracted to fused multiply-adds.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
from importlib import import_module
from typing import Any, NamedTuple

from tapejit.codegen.cuda.launches import Function
from tapejit.errors import GpuUnavailable, KernelError

WORDS = (
    "float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8",
    "boolean", "float16", "complex64", "complex128",
)  # fmt: skip
"""Numba's names of types that texts may use."""

_TYPES = {
    "f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32", "bool": "uint8",
    "u8": "uint8", "u16": "uint16", "i8": "int8", "i16": "int16", "f16": "float16",
    "c64": "complex64", "c128": "complex128",
}  # fmt: skip
_ENTRY = re.compile(r"\.visible \.entry (\w+)\s*\(")
_COUNTED = re.compile(r"\b(?:_cudapy_\w+|_ZN\w+?)(?=_param_\d+\b|\b)")
"""Arrays, functions that were not inlined, and a module's unused "environment"."""
_LINKING = threading.Lock()


class Cubin(NamedTuple):
    """Machine code of one kernel for one kind of card, and what a thread and a block of it take."""

    code: bytes
    entry: str
    registers: int
    stack: int
    """Bytes of local memory of a thread, spills among them."""
    spills: int
    """Bytes of registers that are stored and loaded."""
    shared: int
    """Bytes of a block."""


def function_key(function: Function) -> str:
    """What its text, its parameters and its block say."""
    parts = (function.source, ",".join(function.parameters), str(function.block))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def entry_name(function: Function) -> str:
    """The name of its entry in machine code."""
    return f"tapejit_{function_key(function)[:24]}"


def compile_ptx(function: Function, compute_capability: tuple[int, int]) -> str:
    """NVIDIA's assembly of a kernel.

    Errors  GpuUnavailable("toolchain") without numba-cuda or one of its libraries; KernelError,
            with the text, where it does not compile
    """
    cuda = _numba_cuda()
    from numba import types

    scope = {"cuda": cuda, "math": math, **{word: getattr(types, word) for word in WORDS}}
    exec(compile(function.source, f"<{entry_name(function)}>", "exec"), scope)
    parameters = [_type(types, parameter) for parameter in function.parameters]
    try:
        ptx, _ = cuda.compile_ptx(
            scope["kernel"],
            types.void(*parameters),
            cc=compute_capability,
            launch_bounds=function.block,
        )
    except Exception as error:
        if type(error).__module__.startswith("cuda.pathfinder"):
            raise _no_toolchain(str(error).split("\n")[0]) from error
        raise KernelError(
            f"a kernel for the GPU does not compile: {type(error).__name__}: {error}\n\n"
            f"{function.source}"
        ) from error
    return _renamed(ptx, entry_name(function))


def _type(types, parameter: str):
    if parameter.endswith("*"):
        return types.CPointer(getattr(types, _TYPES[parameter[:-1]]))
    return getattr(types, _TYPES[parameter])


def _renamed(ptx: str, entry: str) -> str:
    """Names without counters of the process."""
    ptx = ptx.replace(_ENTRY.findall(ptx)[0], entry)
    numbers: dict[str, int] = {}
    return _COUNTED.sub(lambda m: f"{entry}_{numbers.setdefault(m[0], len(numbers))}", ptx)


def link(ptx: str, compute_capability: tuple[int, int]) -> Cubin:
    """Machine code of `compile_ptx`'s text.

    Errors  GpuUnavailable("toolchain") without cuda-core or nvJitLink; KernelError
    """
    try:
        core = import_module("cuda.core")
    except ImportError as error:
        raise _no_toolchain(f"no module {error.name}") from error
    major, minor = compute_capability
    options = core.LinkerOptions(arch=f"sm_{major}{minor}", ptxas_options=["-v"], verbose=True)
    try:
        with _LINKING:
            linker = core.Linker(core.ObjectCode.from_ptx(ptx.encode()), options=options)
            code = bytes(linker.link("cubin").code)
            log = linker.get_info_log()
    except Exception as error:
        if type(error).__module__.startswith("cuda.pathfinder"):
            raise _no_toolchain(str(error).split("\n")[0]) from error
        raise KernelError(
            f"a kernel for sm_{major}{minor} does not link: {type(error).__name__}: {error}"
        ) from error
    return Cubin(
        code,
        _ENTRY.findall(ptx)[0],
        registers=_sum_of(r"Used (\d+) registers", log),
        stack=_sum_of(r"(\d+) bytes stack frame", log),
        spills=_sum_of(r"(\d+) bytes spill (?:stores|loads)", log),
        shared=_sum_of(r"(\d+) bytes smem", log),
    )


def _sum_of(pattern: str, log: str) -> int:
    return sum(map(int, re.findall(pattern, log)))


def _numba_cuda() -> Any:
    """numba.cuda of the package numba-cuda; the older one in numba itself has no launch bounds."""
    try:
        import_module("numba_cuda")
    except ImportError:
        raise _no_toolchain("no package numba-cuda") from None
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        raise _no_toolchain("NUMBA_ENABLE_CUDASIM is set, so Numba compiles nothing")
    return import_module("numba.cuda")


def _no_toolchain(found: str) -> GpuUnavailable:
    return GpuUnavailable(
        "toolchain",
        "device='cuda': a kernel is not among those kept on disk, and cannot be compiled:\n"
        f"  {found}\n"
        "  try  pip install 'tapejit[cuda13]', or 'tapejit[cuda12]' for drivers before 580",
    )
