"""Operations' own loops: plain Python functions, compiled without Numba.

A loop (ops/loops) has the machine interface of a kernel, so it gets a cell and a record as kernels
do, and runs wherever they run: from Python, from native entries, on the pool.  It is compiled once
for its operands' dtypes: printed as LLVM IR (codegen/loop_functions.py), kept on disk under a key
of its source text and of what prints it.  Numba took 3 s for a convolution where this takes 0.3.

    fetch                    the cell of a step's loop
    record_of                its record (launcher.py)
    make_python_launcher     the same function as Python (TAPEJIT_JIT=0)
    make_evaluate_launcher   the operation's `evaluate` in its place: without sources, or where the
                             loop refuses
    run_alone                a loop that is no step of a program

Start at `fetch`.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
import types
from collections.abc import Callable, Sequence

import numpy as np

from tapejit import config
from tapejit.cache import shared_store
from tapejit.codegen import callees, loop_functions
from tapejit.codegen.loop_functions import Natives, emit_loop_functions, is_math, math_call
from tapejit.codegen.tiles import symbol
from tapejit.errors import KernelError
from tapejit.locks import Lock
from tapejit.plan import LoopStep, View
from tapejit.runtime import blas, native
from tapejit.runtime.cells import Cell
from tapejit.runtime.launcher import Record, record_for
from tapejit.runtime.libraries import math_library

_NUMPY = {"f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.bool_}
_PACKAGE = "tapejit.ops.loops"
_TILES = "tapejit.ops.loops.tiles"
_CELLS: dict[tuple, Cell | KernelError] = {}
"""By function and dtypes: a hundred at most, so kept for good; with those that failed."""
_LOCK = Lock()

# ---------------------------------------------------------------- machine code


def fetch(step: LoopStep) -> Cell:
    """The cell of a step's loop, compiled the first time on this machine.

    Errors  KernelError if the function is refused, or its source is not there
    """
    run, has_status = step.work.run, step.loop.has_status
    if isinstance(run, str):
        return blas.cell(run, _result_dtype(step), step.work.units > 1)
    key = (run, step.work.finish, step.dtypes, has_status)
    with _LOCK:
        found = _CELLS.get(key)
        if found is None:
            try:
                found = _cell(step.work, step.dtypes, has_status, _result_dtype(step))
            except KernelError as error:
                found = error
            _CELLS[key] = found
    if isinstance(found, KernelError):
        raise found
    return found


def run_alone(function: Callable, arrays: list[np.ndarray], meta: Sequence[int], n: int) -> None:
    """Run a loop over the units [0, n) that belongs to no operation, on contiguous arrays."""
    if config.settings.jit == 0:
        function(tuple(arrays), meta, 0, n)
        return
    names = {np.dtype(dtype): name for name, dtype in _NUMPY.items()}
    dtypes = tuple(names[array.dtype] for array in arrays)
    with _LOCK:
        library, *_ = _library("kernel", function, dtypes, dtypes[-1])
    assert all(array.flags.c_contiguous for array in arrays)
    addresses = np.array([array.ctypes.data for array in arrays], np.int64)
    numbers = np.array([*meta, 0], np.int64)
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2)
    call = signature(library.address("kernel"))
    call(addresses.ctypes.data, numbers.ctypes.data, 0, n)


def is_at_hand(step: LoopStep) -> bool:
    """Whether a step's loop takes no compile: this process has it, or the disk."""
    work, has_status = step.work, step.loop.has_status
    if isinstance(work.run, str) or (work.run, work.finish, step.dtypes, has_status) in _CELLS:
        return True
    try:
        source = _source_of(work.run, step.dtypes, _result_dtype(step), has_status)
    except KernelError:
        return False
    return shared_store().get(native.content_key(source, _tier(tiles_of(work.run)))) is not None


def _result_dtype(step):
    return step.dtypes[len(step.views) - 1]


def _cell(work, dtypes, has_status, result):
    """Compiled code, in a cell.  A status is cleared before the loop runs."""
    loop, *owners = _library("kernel", work.run, dtypes, result, has_status)
    start, finish = loop.address("kernel_start") if has_status else 0, 0
    owners.append(loop)
    if work.finish is not None:
        last, *more = _library("kernel_finish", work.finish, dtypes, result)
        finish = last.address("kernel_finish")
        owners += [last, *more]
    return Cell(start, loop.address("kernel"), finish, tuple(owners))


def _library(name, function, dtypes, result, has_status=False):
    """The machine code of a loop, or of what finishes it; then the library that it calls."""
    exports = (name, "kernel_start") if has_status else (name,)
    tiles = tiles_of(function)
    owners = [blas.tile_library(result)] if tiles else []
    symbols = [symbol(tile, result) for tile in tiles]
    imports = {one: library.address(one) for library in owners for one in symbols}
    for call in calls_of(function):
        owners.append(math_library(call))
        imports[callees.symbol(*call)] = owners[-1].address(callees.symbol(*call))

    def text():
        natives = Natives(is_tile, lambda tile: symbol(tile.__name__, result))
        printed = emit_loop_functions(
            name, function, dtypes, result in ("f64", "f32"), natives, name == "kernel"
        )
        printed += _clear_status(len(dtypes) - 1) if has_status else ""
        if config.settings.debug >= 5:
            print(printed, file=sys.stderr)
        return printed

    source = _source_of(function, dtypes, result, has_status)
    code = native.compile_cached(text, exports, imports, _tier(tiles), source=source)
    return code, *owners


def _clear_status(number):
    return (
        "\ndefine void @kernel_start(ptr %args, ptr %meta) nounwind {\n"
        f"%at = getelementptr ptr, ptr %args, i64 {number}\n%status = load ptr, ptr %at\n"
        "store i64 0, ptr %status\nret void\n}\n"
    )


# ---------------------------------------------------------------- what a loop calls


def _reached(function):
    """A function and all of loops' modules that it calls."""
    found, waiting = [], [function]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.append(one)
            called = (one.__globals__.get(name) for name in one.__code__.co_names)
            functions = (value for value in called if isinstance(value, types.FunctionType))
            if not is_tile(one):
                waiting += [f for f in functions if f.__module__.startswith(_PACKAGE)]
    return found


def tiles_of(function) -> list[str]:
    """The tiles of ops/loops/tiles.py that a loop calls."""
    return sorted(f.__name__ for f in _reached(function) if is_tile(f))


def calls_of(function) -> list[tuple[str, str, int]]:
    """The functions of the vector mathematics that a loop calls."""
    return sorted(math_call(f) for f in _reached(function) if is_math(f))


def _tier(tiles):
    """Of native.compile_object: LLVM's vectoriser and unrolling, unless tiles do the work."""
    return 4 if tiles else 3


def is_tile(function) -> bool:
    """Whether a function of loops is machine code of tiles.py."""
    return function.__module__ == _TILES


def _source_of(function, dtypes, result, has_status):
    """All that the machine code depends on.

    Errors  KernelError where the package is installed without its sources
    """
    modules = {sys.modules[one.__module__] for one in _reached(function)}
    try:
        texts = [*sorted(map(inspect.getsource, modules)), *loop_functions.sources()]
    except OSError as error:
        raise KernelError(f"loops: no source of {function.__module__}: {error}") from error
    name = f"{function.__module__}.{function.__qualname__}"
    return repr((name, dtypes, result, has_status, texts))


# ---------------------------------------------------------------- running


def record_of(step: LoopStep, cell: Cell, offsets: tuple[int, ...]) -> Record:
    """The record of a step."""
    work = step.work
    is_apart = work.run not in blas.CALLING or blas.can_share()
    return record_for(
        cell, work.units, work.meta, offsets, int(work.ns), 1 if is_apart else work.units
    )


def make_python_launcher(step: LoopStep, offsets: tuple[int, ...]) -> Callable[..., None]:
    """`launch(*arrays)` by the loop's own Python function."""
    run, has_status, meta = step.work.run, step.loop.has_status, np.array(step.work.meta)
    if isinstance(run, str):
        return make_evaluate_launcher(step, offsets)
    turned = [any(stride < 0 for stride in view.strides) for view in step.views]
    turned += [False] * (len(step.dtypes) - len(turned))

    def launch(*arrays):
        whole = [_whole(a, d, o) for a, d, o in zip(arrays, step.dtypes, offsets, strict=True)]
        flat = [
            _Flat(data, first) if turn else data[first:]
            for (data, first), turn in zip(whole, turned, strict=True)
        ]
        if has_status:
            flat[-1][0] = 0
        with np.errstate(all="ignore"):
            run(tuple(flat), meta, 0, step.work.units)
            if step.work.finish is not None:
                step.work.finish(tuple(flat), meta)

    return launch


def make_evaluate_launcher(step: LoopStep, offsets: tuple[int, ...]) -> Callable[..., None]:
    """`launch(*arrays)` by the operation's `evaluate`, into the result's memory."""
    evaluate, attrs, n_views = step.kind.op.evaluate, step.kind.attributes(), len(step.views)

    def launch(*arrays):
        *operands, result = [
            _array(array, dtype, offset, view)
            for array, dtype, offset, view in zip(
                arrays[:n_views], step.dtypes, offsets, step.views, strict=False
            )
        ]
        with np.errstate(all="ignore"):
            result[...] = evaluate(*operands, **attrs)

    return launch


def _whole(array, dtype, offset):
    """All elements of an array's memory as that dtype, and the number of the one at an offset."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    size = np.dtype(_NUMPY[dtype]).itemsize
    return data[: len(data) // size * size].view(_NUMPY[dtype]), offset // size


def _array(array, dtype, offset, view: View):
    data, first = _whole(array, dtype, offset)
    size = data.itemsize
    strides = tuple(stride * size for stride in view.strides)
    return np.ndarray(view.shape, data.dtype, data, first * size, strides)


class _Flat:
    """Memory as a pointer to one of its elements sees it: those before it have negative places."""

    def __init__(self, data, first):
        self.data, self.first = data, first

    def __getitem__(self, i):
        return self.data[self.first + i]

    def __setitem__(self, i, value):
        self.data[self.first + i] = value
