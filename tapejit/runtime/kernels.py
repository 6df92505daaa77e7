"""Loop kernels as loaded machine code, one of each content in a process.

`fetch(kernels)` gives the cell of each, with its entry points.  New ones are printed into one LLVM
module, since a module costs 1 ms to compile and link whatever is in it; the disk cache is keyed by
that text.
A kernel's key is the LoopKernel itself: it holds no sizes, so a new batch size finds its kernels
here and compiles nothing (`statistics.kernels_compiled` counts).

The vector math that kernels call is a library of its own for each function, loaded once per
process and kept.

That is the default lowering, `_compile_ir`.  The other, `_compile_texts`, is Numba's of the
kernel's Python text (numba_kernels.py): where TAPEJIT_BACKEND asks for it, and where this machine's
LLVM refuses the first.  Both give cells of the same interface.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tapejit import config
from tapejit.codegen import vectormath
from tapejit.codegen.loop_ir import emit_loop
from tapejit.codegen.loop_reduce import emit_reduction
from tapejit.codegen.loop_tail import NAMES, emit_tail
from tapejit.errors import KernelError
from tapejit.plan import LoopKernel
from tapejit.runtime import native
from tapejit.runtime.launcher import Cell
from tapejit.runtime.locks import Lock
from tapejit.runtime.numba_kernels import compile_functions

# ---------------------------------------------------------------- data


class _Key:
    """A kernel of a backend as a dictionary key; hashing takes 0.5 us a node, so it is done once.

    Literals count by their text: 0.0 and -0.0 are equal numbers but not the same kernel.
    """

    __slots__ = ("content", "hash", "kernel")

    def __init__(self, kernel, backend):
        self.kernel: LoopKernel = kernel
        texts = tuple([repr(node[2][0]) for node in kernel.nodes if node[0] == "literal"])
        self.content = (kernel, texts, backend)
        self.hash = hash(self.content)

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        return self.hash == other.hash and self.content == other.content


@dataclass
class Statistics:
    """What this process has compiled so far."""

    kernels_compiled: int = 0
    modules_compiled: int = 0
    emit_ms: float = 0.0
    llvm_ms: float = 0.0


statistics = Statistics()
_CELLS: dict[_Key, Cell] = {}
_MATH: dict[tuple[str, str, int], native.NativeLibrary] = {}
_LOCK = Lock()

# ---------------------------------------------------------------- operations


def fetch(kernels: Iterable[LoopKernel]) -> list[Cell]:
    """The cell of each kernel; those not seen before are compiled.

    Errors  KernelError if one cannot be compiled
    """
    backend = config.settings.backend
    keys = [_Key(kernel, backend) for kernel in kernels]
    if any(key not in _CELLS for key in keys):
        with _LOCK:
            missing = [key for key in dict.fromkeys(keys) if key not in _CELLS]
            if missing:
                _compile(missing, backend)
    return [_CELLS[key] for key in keys]


def _compile(keys, backend):
    """By the backend's lowering; by Numba also where this machine's IR or LLVM refuses."""
    if backend == "numba":
        return _compile_texts(keys)
    try:
        return _compile_ir(keys)
    except KernelError as refusal:
        if config.settings.debug >= 1:
            print(f"tapejit: {len(keys)} kernels by Numba: {refusal}", file=sys.stderr)
        try:
            return _compile_texts(keys)
        except KernelError as second:
            raise KernelError(f"{refusal}\n  nor can Numba compile it: {second}") from refusal


def _compile_texts(keys):
    """Kernels as Python texts, each function compiled by itself."""
    begin = time.perf_counter()
    for key in keys:
        functions = compile_functions(key.kernel)
        start, loop, finish = (
            functions[name].address(name) if name in functions else 0
            for name in ("kernel_start", "kernel", "kernel_finish")
        )
        _CELLS[key] = Cell(start, loop, finish, tuple(functions.values()))
        statistics.kernels_compiled += 1
        statistics.modules_compiled += len(functions)
    statistics.llvm_ms += (time.perf_counter() - begin) * 1e3


def _compile_ir(keys):
    """Print, compile and load kernels as one module."""
    begin = time.perf_counter()
    texts = [emit_loop(key.kernel, f"k{number}") for number, key in enumerate(keys)]
    declarations: dict[str, None] = {}
    parts = []
    for text in texts:
        head, body = _split(text.ir)
        declarations.update(dict.fromkeys(head))
        parts.append(body)
    ir = "".join([*declarations, *parts])
    exports = tuple(name for text in texts for name in text.exports)
    emitted = time.perf_counter()
    if config.settings.debug >= 5:
        print(ir, file=sys.stderr)
    imports, libraries = {}, []
    for call in dict.fromkeys(call for text in texts for call in text.imports):
        library = math_library(call)
        symbol = vectormath.symbol(*call)
        imports[symbol] = library.address(symbol)
        libraries.append(library)
    for name in dict.fromkeys(name for text in texts for name in text.support):
        libraries.append(_support_library(name))
        imports[name] = libraries[-1].address(name)
    library = native.compile_cached(ir, exports, imports, is_urgent=True)
    for number, (key, text) in enumerate(zip(keys, texts, strict=True)):
        start, finish = (
            library.address(name) if name in text.exports else 0
            for name in (f"k{number}_start", f"k{number}_finish")
        )
        owner = (library, *libraries)
        _CELLS[key] = Cell(start, library.address(f"k{number}"), finish, owner)
    statistics.kernels_compiled += len(keys)
    statistics.modules_compiled += 1
    statistics.emit_ms += (emitted - begin) * 1e3
    statistics.llvm_ms += (time.perf_counter() - emitted) * 1e3


def _split(ir):
    """The declarations of a printed module, one line each, and the rest."""
    position, head = 0, []
    while ir.startswith("declare", position):
        end = ir.index("\n", position) + 1
        head.append(ir[position:end])
        position = end
    return head, ir[position:]


@functools.cache
def _support_library(name):
    """What is the same in many kernels, compiled once on this machine."""
    if name in NAMES:
        return _tail_library()
    return native.compile_cached(emit_reduction(name), (name,), tier=1)


@functools.cache
def _tail_library():
    return native.compile_cached(emit_tail(), NAMES, tier=1)


def math_library(call):
    """One vector math function, compiled the first time it is needed on this machine."""
    library = _MATH.get(call)
    if library is None:
        text = vectormath.emit_library([call], native.host().has_fma)
        symbol = vectormath.symbol(*call)
        library = _MATH[call] = native.compile_cached(text, (symbol,), tier=1)
    return library
