"""Better code for kernels that prove hot, compiled behind the program's back.

Tier 0 is what a kernel starts with: LLVM without passes, there in a millisecond.  Tier 1 is the
same text with LLVM's O1 passes and with its vector math compiled into it, where it has few calls:
up to a third faster, for 30 to 100 ms of compile.  So a kernel gets it once it has run 20 times
as long as that takes.  Both give the same bits (native.py says why), and the change is a store to
the kernel's cell: whoever runs it next runs the new code.

    a run           takes its estimate from the cell's `left`; below zero it calls `hot`
    first time      after 2 ms of running: the disk may have tier 1, from another process
    second time     the kernel has run long enough: compile

All of it happens in one background thread, which lives while there is something to do.  It never
makes a foreground compile wait: LLVM is thread-safe between contexts, so native.py runs the two
long calls without llvmlite's lock.  What it holds is the GIL, for the milliseconds that Python
needs to print the text; bodies above LARGEST nodes stay at tier 0.

At exit a compile under way is waited for.  A forked child has no thread but the same list of work,
and starts a thread of its own with the next.  TAPEJIT_TIER=0 does without, TAPEJIT_TIER=1 compiles
every kernel so at once.

Start at `hot` and `_promote`.
"""

from __future__ import annotations

import _thread
import atexit
import collections
import ctypes
import os
import sys
import threading
import time

from tapejit import config
from tapejit.codegen import callees, vectormath
from tapejit.codegen.loop_ir import LoopText
from tapejit.codegen.row_ir import emit_kernel
from tapejit.errors import KernelError
from tapejit.locks import Lock
from tapejit.plan import LoopKernel, RowKernel
from tapejit.runtime import cells, libraries, native
from tapejit.runtime.cells import LEFT, NEVER, Cell

LOOK_NS = 2_000_000
"""A run this long makes it worth looking on disk, 0.1 ms: and loading, 0.4 ms."""

PAYS_AFTER = 20
"""Running so many times as long as the compile."""

LARGEST = 500
"""Nodes: above, a body is split, and tier 1 gains nothing that takes seconds to compile."""

INLINE_CALLS = 12
"""Calls of vector math, at most, to compile the functions into the kernel."""


def compile_ns(kernel: LoopKernel | RowKernel) -> int:
    """About how long tier 1 takes (30 nodes with two calls: 60 ms)."""
    nodes = [node for loop in kernel.loops for node in loop.nodes]
    calls = sum(node.fn in vectormath.FUNCTIONS for node in nodes)
    return 1_000_000 * (5 + len(nodes) // 4 + 20 * min(calls, INLINE_CALLS))


def is_worthwhile(kernel: LoopKernel | RowKernel) -> bool:
    """Whether a kernel can have tier 1."""
    return _size(kernel) <= LARGEST


def _size(kernel):
    return sum([len(loop.nodes) for loop in kernel.loops])


# ---------------------------------------------------------------- the text


def emit(kernel: LoopKernel | RowKernel) -> tuple[str, LoopText, bool]:
    """The module of tier 1, the text of tier 0 that it was made from, and whether the vector math
    that the kernel calls is in it."""
    text = emit_kernel(kernel, "kernel")
    symbols = {callees.symbol(*call): call for call in text.imports}
    n_calls = sum(text.ir.count(f"@{symbol}(") - 1 for symbol in symbols)
    if not symbols or n_calls > INLINE_CALLS:
        return text.ir, text, False
    library = callees.emit_library(text.imports, native.host().has_fma)
    known, lines = set(), []
    for line in (library + text.ir).splitlines():
        words = line.partition(" ")[0]
        if words in ("declare", "define"):
            symbol = line[line.index("@") + 1 : line.index("(", line.index("@"))]
            if words == "declare":
                if symbol in symbols or symbol in known:
                    continue
                known.add(symbol)
            elif symbol in symbols:
                line = line.replace("define ", "define internal ", 1)
                line = line.replace(" nounwind", " nounwind alwaysinline", 1)
        lines.append(line)
    return "\n".join([*lines, ""]), text, True


# ---------------------------------------------------------------- from tier 0 to 1

_COMPILING = Lock()
"""The background thread, and whoever calls `promote` besides, compile one at a time."""


def promote(cell: Cell, only_from_disk: bool = False) -> bool:
    """Give a cell the code of tier 1; whether it has it now.

    Errors  KernelError if LLVM refuses the text
    """
    assert cell.kernel is not None
    begin = time.perf_counter()
    ir, text, is_whole = emit(cell.kernel)
    imports, owners = libraries.imports_of([text], with_math=not is_whole)
    if only_from_disk:
        library = native.load_cached(ir, text.exports, imports, tier=1)
        if library is None:
            return False
    else:
        with _COMPILING:
            library = native.compile_in_background(ir, text.exports, imports)
    start, loop, finish = (
        library.address(name) if name in text.exports else 0
        for name in ("kernel_start", "kernel", "kernel_finish")
    )
    cell.replace(start, loop, finish, (library, *owners), tier=1)
    if config.settings.debug >= 1:
        print(
            f"tapejit: a kernel of {_size(cell.kernel)} nodes now runs at tier 1, "
            f"after {(time.perf_counter() - begin) * 1e3:.1f} ms in the background",
            file=sys.stderr,
        )
    return True


class _Promoter:
    """The background thread, and what waits for it."""

    def __init__(self):
        self.waiting: collections.deque[Cell] = collections.deque()
        self.at_work: Cell | None = None
        self.thread: threading.Thread | None = None
        self.is_closed = False
        self.lock = Lock()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget_thread)

    def forget_thread(self):
        """A forked child: nobody is at work."""
        self.thread = None
        if self.at_work is not None:
            self.waiting.appendleft(self.at_work)

    def add(self, cell: Cell):
        with self.lock:
            if self.is_closed:
                return
            self.waiting.append(cell)
            if self.thread is None:
                self.thread = threading.Thread(target=self.run, daemon=True, name="tapejit tiers")
                self.thread.start()

    def run(self):
        while True:
            with self.lock:
                self.at_work = None
                if self.is_closed or not self.waiting:
                    self.thread = None
                    return
                self.at_work = self.waiting.popleft()
            _promote(self.at_work)

    def close(self):
        """Start nothing more; wait for what is in LLVM, whose own exit would pull it away."""
        with self.lock:
            self.is_closed = True
            thread = self.thread
        if thread is not None:
            thread.join()

    def wait(self):
        """Until nothing waits (for tests and benchmarks)."""
        while True:
            with self.lock:
                thread = self.thread
            if thread is None:
                return
            thread.join()


_PROMOTER = _Promoter()
wait = _PROMOTER.wait


def _promote(cell):
    """What is due for a cell that has run out of `left`."""
    if cell.tier or cell.memory[LEFT] < NEVER // 2:  # two runs called at once
        return
    try:
        if cell.has_looked:
            promote(cell)
        elif not promote(cell, only_from_disk=True):
            cell.has_looked = True
            cell.memory[LEFT] = PAYS_AFTER * compile_ns(cell.kernel)
    except KernelError as error:  # tier 0 does the work
        if config.settings.debug >= 1:
            print(f"tapejit: a kernel stays at tier 0: {error}", file=sys.stderr)


def _hot(address):
    """A run took the last of a cell's `left`.  Called by `@run`, with the GIL."""
    try:
        cell = cells.at(address)
        if cell is not None:
            cell.memory[LEFT] = NEVER
            _PROMOTER.add(cell)
    except KeyboardInterrupt:  # came just now, and would be lost in C
        _thread.interrupt_main()


HOT = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_hot)
