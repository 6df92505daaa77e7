"""Operations' own loops: plain Python functions, compiled through Numba's front end.

A loop (ops/loops) has the machine interface of a kernel, so it gets a cell and a record as kernels
do, and runs wherever they run: from Python, from native entries, on the pool.  It is compiled once
for its operands' dtypes: by Numba to LLVM IR, then by us, kept on disk under a key of its source
text and of all that compiles it.  A process that finds it there imports no Numba.

    fetch                    the cell of a step's loop
    record_of                its record (launcher.py)
    make_python_launcher     the same function as Python (TAPEJIT_JIT=0)
    make_evaluate_launcher   the operation's `evaluate` in its place: without Numba, or where the
                             loop refuses

Start at `fetch`.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit import config
from tapejit.cache import shared_store
from tapejit.codegen.tiles import symbol
from tapejit.errors import KernelError
from tapejit.locks import Lock
from tapejit.ops.loops.words import wide
from tapejit.plan import LoopStep, View
from tapejit.runtime import blas, native
from tapejit.runtime import numba_kernels as front
from tapejit.runtime.cells import Cell
from tapejit.runtime.launcher import Record, record_for

FORMAT = 1
"""Enters every key: bump it when this file compiles the same source differently."""

_NUMPY = {"f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.bool_}
_PACKAGE = "tapejit.ops.loops"
_TILES = "tapejit.ops.loops.tiles"
_CELLS: dict[tuple, Cell | KernelError] = {}
"""By function and dtypes: a hundred at most, so kept for good; with those that failed."""
_LOCK = Lock()

# ---------------------------------------------------------------- machine code


def fetch(step: LoopStep) -> Cell:
    """The cell of a step's loop, compiled the first time on this machine.

    Errors  KernelError if Numba is not there, or refuses the function
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


def is_at_hand(step: LoopStep) -> bool:
    """Whether a step's loop takes no compile: this process has it, or the disk."""
    work, has_status = step.work, step.loop.has_status
    if isinstance(work.run, str) or (work.run, work.finish, step.dtypes, has_status) in _CELLS:
        return True
    try:
        key = _Specialised(_result_dtype(step)).key(work.run, step.dtypes)
    except KernelError:
        return False
    return shared_store().get(key) is not None


def _result_dtype(step):
    return step.dtypes[len(step.views) - 1]


def _cell(work, dtypes, has_status, result):
    """Compiled code, in a cell.  A status is cleared before the loop runs."""
    specialised = _Specialised(result)
    loop = _library("kernel", work.run, dtypes, specialised, has_status)
    start, finish = loop.address("kernel_start") if has_status else 0, 0
    owners = [loop, *specialised.owners]
    if work.finish is not None:
        last = _library("kernel_finish", work.finish, dtypes, specialised)
        finish = last.address("kernel_finish")
        owners.append(last)
    return Cell(start, loop.address("kernel"), finish, tuple(owners))


def _library(name, function, dtypes, specialised, has_status=False):
    """The machine code of a loop, or of what finishes it: from disk, else compiled."""
    key, has_units = specialised.key(function, dtypes), name == "kernel"
    exports = (name, "kernel_start") if has_status else (name,)
    tiles = specialised.tiles(function)
    kept = shared_store().get(key)
    if kept is not None:
        try:
            return native.load(kept, exports, tiles)
        except KernelError:  # a symbol that is gone: compile, and say what is wrong then
            pass
    signature = front.signature(dtypes, has_units)
    llvm, symbol = front.lower(specialised.compiled(function), signature)
    text = llvm + front.entry(name, len(dtypes), symbol, has_units)
    if has_status:
        text += _clear_status(len(dtypes) - 1)
    if config.settings.debug >= 5:
        print(text, file=sys.stderr)
    code = native.compile_object(text, tier=3)
    imports = front.numba_addresses(llvm)
    library = native.load(code, exports, imports | tiles)
    if not imports and b"numba.dynamic.globals" not in code:
        shared_store().put_later(key, code)
    return library


def _clear_status(number):
    return (
        "\ndefine void @kernel_start(ptr %args, ptr %meta) nounwind {\n"
        f"%at = getelementptr ptr, ptr %args, i64 {number}\n%status = load ptr, ptr %at\n"
        "store i64 0, ptr %status\nret void\n}\n"
    )


class _Specialised:
    """A loop and the functions that it calls, for a result of one dtype."""

    def __init__(self, result: str):
        self.result = result
        self.number: type = float if result in ("f64", "f32") else int
        self.helpers: dict[Callable, Any] = {}
        self.owners: list[native.NativeLibrary] = []

    def reached(self, function) -> dict[Callable, dict[str, Callable]]:
        """A function and all of loops' modules that it calls: for each, those by their names."""
        found, waiting = {}, [function]
        while waiting:
            one = waiting.pop()
            if one not in found:
                called = {name: one.__globals__.get(name) for name in one.__code__.co_names}
                found[one] = {
                    name: value
                    for name, value in called.items()
                    if isinstance(value, types.FunctionType)
                    and value.__module__.startswith(_PACKAGE)
                }
                waiting += [f for f in found[one].values() if not _is_tile(f)]
        return found

    def key(self, function, dtypes):
        """Name of the machine code: the hash of all that it depends on."""
        texts = sorted({_source(sys.modules[one.__module__]) for one in self.reached(function)})
        facts = (FORMAT, front.FORMAT, front.numba_version(), tuple(native.host()))
        name = f"{function.__module__}.{function.__qualname__}"
        content = repr((facts, name, dtypes, self.number.__name__, texts))
        return hashlib.sha256(content.encode()).hexdigest()

    def tiles(self, function) -> dict[str, int]:
        """Addresses of the tiles that a function reaches.

        Errors  KernelError where this machine has none
        """
        called = {f for names in self.reached(function).values() for f in names.values()}
        names = [symbol(f.__name__, self.result) for f in called if _is_tile(f)]
        if not names:
            return {}
        library = blas.tile_library(self.result)
        self.owners.append(library)
        return {name: library.address(name) for name in names}

    def compiled(self, function):
        """A function whose globals are what Numba knows."""
        scope = dict(function.__globals__)
        for name, value in self.reached(function)[function].items():
            scope[name] = self.number if value is wide else self.helper(value)
        return types.FunctionType(function.__code__, scope, function.__name__)

    def helper(self, function):
        found = self.helpers.get(function)
        if found is None:
            if _is_tile(function):
                found = self.external(function)
            else:
                options = front.OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
                found = front.numba_module().njit(**options)(self.compiled(function))
            self.helpers[function] = found
        return found

    def external(self, function):
        """A tile as Numba calls machine code: its annotations are the types."""
        import llvmlite.binding as llvm

        numba: Any = front.numba_module()
        name = symbol(function.__name__, self.result)
        # Numba links a helper that calls it, though it is our copy that runs
        llvm.add_symbol(name, blas.tile_library(self.result).address(name))
        words = {
            "int": numba.types.int64,
            "Numbers": front.pointer(self.result),
            "Places": front.pointer("i64"),
        }
        *parameters, _ = function.__annotations__.values()
        signature = numba.types.void(*(words[word] for word in parameters))
        return numba.types.ExternalFunction(name, signature)


def _is_tile(function):
    return function.__module__ == _TILES


def _source(module):
    try:
        return inspect.getsource(module)
    except OSError as error:  # installed without its sources
        raise KernelError(f"loops: no source of {module.__name__}: {error}") from error


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
