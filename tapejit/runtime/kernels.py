"""Loop kernels as loaded machine code, one of each content in a process.

`fetch(kernels)` gives the cell of each, with its entry points.  New ones are printed into one LLVM
module, since a module costs 1 ms to compile and link whatever is in it; the disk cache is keyed by
that text.
A kernel's key is its record itself: it holds no sizes, so a new batch size finds its kernels
here and compiles nothing (`statistics.kernels_compiled` counts).

What was not fetched for longest is dropped when there are more than `config.settings.kernels`; its
code is given back when no program has it any more, nor any other kernel of its module.

That is the default lowering, `_compile_ir`.  The other, `_compile_texts`, is Numba's of the
kernel's Python text (numba_kernels.py): where TAPEJIT_BACKEND asks for it, and where this machine's
LLVM refuses the first.  Both give cells of the same interface.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from tapejit import config
from tapejit.codegen.row_ir import emit_kernel, split_declarations
from tapejit.errors import KernelError
from tapejit.locks import Lock
from tapejit.plan import LoopKernel, RowKernel
from tapejit.runtime import native, tiers
from tapejit.runtime.cells import NEVER, Cell
from tapejit.runtime.libraries import imports_of
from tapejit.runtime.numba_kernels import compile_functions

# ---------------------------------------------------------------- data


class _Key:
    """A kernel of a backend as a dictionary key; hashing takes 0.5 us a node, so it is done once.

    Literals count by their text: 0.0 and -0.0 are equal numbers but not the same kernel.
    """

    __slots__ = ("content", "hash", "kernel")

    def __init__(self, kernel, backend):
        self.kernel: LoopKernel | RowKernel = kernel
        nodes = [node for loop in kernel.loops for node in loop.nodes]
        texts = tuple([repr(node[2][0]) for node in nodes if node[0] == "literal"])
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
_CELLS: OrderedDict[_Key, Cell] = OrderedDict()  # the least recently fetched first
_LOCK = Lock()

# ---------------------------------------------------------------- operations


def fetch(kernels: Iterable[LoopKernel | RowKernel]) -> list[Cell]:
    """The cell of each kernel; those not seen before are compiled.

    Errors  KernelError if one cannot be compiled
    """
    backend = config.settings.backend
    keys = [_Key(kernel, backend) for kernel in kernels]
    with _LOCK:
        missing = [key for key in dict.fromkeys(keys) if key not in _CELLS]
        if missing:
            _compile(missing, backend)
        cells = [_CELLS[key] for key in keys]
        for key in keys:
            _CELLS.move_to_end(key)
        while len(_CELLS) > max(config.settings.kernels, 0):
            _CELLS.popitem(last=False)
    return cells


def cell_of(kernel: LoopKernel | RowKernel) -> Cell | None:
    """The cell of a kernel that was fetched for the current backend and is still kept."""
    return _CELLS.get(_Key(kernel, config.settings.backend))


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
    texts = [emit_kernel(key.kernel, f"k{number}") for number, key in enumerate(keys)]
    declarations: dict[str, None] = {}
    parts = []
    for text in texts:
        head, body = split_declarations(text.ir)
        declarations.update(dict.fromkeys(head))
        parts.append(body)
    ir = "".join([*declarations, *parts])
    exports = tuple(name for text in texts for name in text.exports)
    emitted = time.perf_counter()
    if config.settings.debug >= 5:
        print(ir, file=sys.stderr)
    imports, libraries = imports_of(texts)
    library = native.compile_cached(ir, exports, imports, is_urgent=True)
    may_rise = config.settings.tier == "auto"
    for number, (key, text) in enumerate(zip(keys, texts, strict=True)):
        start, finish = (
            library.address(name) if name in text.exports else 0
            for name in (f"k{number}_start", f"k{number}_finish")
        )
        kernel = key.kernel if tiers.is_worthwhile(key.kernel) else None
        cell = _CELLS[key] = Cell(
            start, library.address(f"k{number}"), finish, (library, *libraries),
            kernel, tiers.LOOK_NS if may_rise and kernel else NEVER,
        )  # fmt: skip
        if config.settings.tier == "1" and kernel:
            tiers.promote(cell)
    statistics.kernels_compiled += len(keys)
    statistics.modules_compiled += 1
    statistics.emit_ms += (emitted - begin) * 1e3
    statistics.llvm_ms += (time.perf_counter() - emitted) * 1e3
