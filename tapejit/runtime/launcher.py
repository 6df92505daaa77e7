"""Kernel addresses become Python callables: launching a kernel on six arrays costs 35 to 40 ns.

The one idea: a step of a program is a *record* of int64, and `@run(record, args)` runs it.  It is
a few lines of IR (`RUN_TEXT`) which every native entry includes as its own; the callables made
here have the smallest such entry, compiled once per process (from disk the next time) and wrapped
by CPython's own `PyCFunction_NewEx`.

    record  cell | work | flags | units | atom | grain | threads (pool.py has these three) |
            number of arrays | place of the offsets | meta... | offsets...
    cell    start | loop | finish      addresses of the kernel's functions (cells.py)

    def run(record, args):                                # args: a data pointer per array
        cell.left -= record.work; if cell.left < 0: tj_hot(cell)            # tiers.py
        if record.flags: return tj_run_long(record, args) # the same without the GIL, on threads
        if cell.start: cell.start(args, record.meta)
        cell.loop(args, record.meta, 0, record.units)
        if cell.finish: cell.finish(args, record.meta)

    def launch(*arrays):                                  # what the entry does
        run(record, [address(array) + offset for array, offset in zip(arrays, offsets)])

A kernel has one cell, which all its records point to: other code in it is seen at once.  Who
writes an entry needs the record's address (`record.ctypes.data`), `RUN_TEXT`, `run_imports()` and
no more; it holds the GIL when it calls `@run`, and keeps the record alive, which keeps the rest.

Start reading at `record_of` and `make_launcher`.  The entry looks at an argument's type and data
pointer only: dtype, size, strides and who else reads the memory are its caller's business.  It
takes exactly np.ndarray, so a masked array cannot lose its mask, nor any subclass its meaning,
unnoticed.

Source: CPython's Include/methodobject.h; NumPy's ndarraytypes.h (PyArrayObject_fields).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence

import numpy as np

from tapejit.errors import KernelError
from tapejit.locks import once
from tapejit.plan import KernelStep, RowStep
from tapejit.runtime import native, pool, tiers
from tapejit.runtime.cells import LEFT, Cell
from tapejit.runtime.native import python_addresses
from tapejit.runtime.work import atom_of, estimate_ns

_HEAD = object.__basicsize__
"""Bytes of a PyObject's head (16; more without a GIL).  The type is its last pointer, and an
ndarray's data pointer the first thing after it."""

_METH_FASTCALL = 0x0080

# ---------------------------------------------------------------- cells and records

LONG = 1
"""A flag: the step takes long enough to give the GIL away meanwhile, and perhaps for threads."""

LONG_NS = 40_000
"""Above this a step is long.  Two threads gain from 30 us on if the second has to be woken; and
getting the GIL back costs up to 5 ms where another thread computes in Python."""

SHARE_NS = 20_000
"""What one thread should have to do."""

GRAIN_NS = 5_000
"""What is taken at once, at least: that costs 20 ns."""

_WORK, _FLAGS, _UNITS, _ATOM, _GRAIN, _THREADS, _COUNT, _OFFSETS, _META = range(1, 10)


class Record(np.ndarray):
    """The int64 record of one step.  A subclass, so that it can also own what it names."""

    owner: Cell


def make_record(
    cell: Cell,
    units: int,
    meta: Sequence[int] | np.ndarray,
    offsets: tuple[int, ...] = (),
    *,
    work: int = 1,
    flags: int = 0,
    atom: int = 1,
    grain: int = 1,
    threads: int = 1,
) -> Record:
    """What `@run` needs to know of one step: a kernel of plan.py's machine interface, its units and
    meta (copied).  `offsets`, bytes to add to each array's address, are for launchers only; `work`
    is what a run takes from the cell's time, in ns.

    A long step (flags) runs on up to `threads`; each takes `grain` times `atom` units or more at
    a time, beginning at a multiple of `atom`.
    """
    numbers = (work, flags, units, atom, grain, threads, len(offsets), _META + len(meta))
    head = (cell.address, *numbers)
    record = np.array([*head, *meta, *offsets], np.int64).view(Record)
    record.flags.writeable = False
    record.owner = cell
    return record


def record_of(step: KernelStep | RowStep, cell: Cell, offsets: tuple[int, ...] = ()) -> Record:
    """The record of a plan's step."""
    work = estimate_ns(step)
    atom = atom_of(step) if work >= LONG_NS else 1
    return record_for(cell, step.units, step.meta, offsets, work, atom)


def record_for(
    cell: Cell, units: int, meta: Sequence[int], offsets: tuple[int, ...], work: int, atom: int = 1
) -> Record:
    """The record of a step that takes `work` ns on one thread: on several, if that is long."""
    work = max(work, 1)
    if work < LONG_NS:
        return make_record(cell, units, meta, offsets, work=work)
    atoms = units // atom
    grain = -(-atoms * GRAIN_NS // work)
    threads = min(work // SHARE_NS, atoms)
    return make_record(
        cell, units, meta, offsets,
        work=work, flags=LONG, atom=atom, grain=grain, threads=threads,
    )  # fmt: skip


# ---------------------------------------------------------------- running, in IR

_FIELDS = f"""\
  %cell = load ptr, ptr %record
  %units_at = getelementptr i64, ptr %record, i64 {_UNITS}
  %units = load i64, ptr %units_at
  %meta = getelementptr i64, ptr %record, i64 {_META}
"""

_STEPS = """\
  %start = load ptr, ptr %cell
  %loop_at = getelementptr i64, ptr %cell, i64 1
  %loop = load ptr, ptr %loop_at
  %finish_at = getelementptr i64, ptr %cell, i64 2
  %finish = load ptr, ptr %finish_at
  %no_start = icmp eq ptr %start, null
  br i1 %no_start, label %body, label %first
first:
  call void %start(ptr %args, ptr %meta)
  br label %body
body:
  LOOP
  %no_finish = icmp eq ptr %finish, null
  br i1 %no_finish, label %done, label %last
last:
  call void %finish(ptr %args, ptr %meta)
  br label %done
done:
"""

_SHORT_LOOP = "call void %loop(ptr %args, ptr %meta, i64 0, i64 %units)"
_LONG_LOOP = """call void @tj_pool_run(ptr %loop, ptr %args, ptr %meta, i64 %units,
                         i64 %atom, i64 %grain, i64 %threads)"""

RUN_TEXT = f"""
declare void @tj_run_long(ptr, ptr)
declare void @tj_hot(ptr)

define internal void @run(ptr %record, ptr %args) nounwind {{
{_FIELDS}  %left_at = getelementptr i64, ptr %cell, i64 {LEFT}
  %left = load i64, ptr %left_at
  %work_at = getelementptr i64, ptr %record, i64 {_WORK}
  %work = load i64, ptr %work_at
  %still = sub i64 %left, %work
  store i64 %still, ptr %left_at
  %is_hot = icmp slt i64 %still, 0
  br i1 %is_hot, label %hot, label %count
hot:
  call void @tj_hot(ptr %cell)
  br label %count
count:
  %flags_at = getelementptr i64, ptr %record, i64 {_FLAGS}
  %flags = load i64, ptr %flags_at
  %is_short = icmp eq i64 %flags, 0
  br i1 %is_short, label %short, label %long
long:
  call void @tj_run_long(ptr %record, ptr %args)
  ret void
short:
{_STEPS.replace("LOOP", _SHORT_LOOP)}  ret void
}}
"""
"""Define `@run(ptr %record, ptr %args)` for a module whose imports include `run_imports()`."""

_LONG_TEXT = f"""
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define void @tj_run_long(ptr %record, ptr %args) nounwind {{
{_FIELDS}  %atom_at = getelementptr i64, ptr %record, i64 {_ATOM}
  %atom = load i64, ptr %atom_at
  %grain_at = getelementptr i64, ptr %record, i64 {_GRAIN}
  %grain = load i64, ptr %grain_at
  %useful_at = getelementptr i64, ptr %record, i64 {_THREADS}
  %useful = load i64, ptr %useful_at
  %threads = call i64 @tj_threads(i64 %useful)
  %python = call ptr @PyEval_SaveThread()
{_STEPS.replace("LOOP", _LONG_LOOP)}  call void @PyEval_RestoreThread(ptr %python)
  ret void
}}
"""


def run_imports() -> dict[str, int]:
    """Addresses of what RUN_TEXT calls; they stay valid."""
    hot = ctypes.cast(tiers.HOT, ctypes.c_void_p).value or 0
    return {"tj_run_long": _long_run().address("tj_run_long"), "tj_hot": hot}


@once
def _long_run():
    imports = python_addresses("PyEval_SaveThread", "PyEval_RestoreThread") | pool.imports()
    exports = ("tj_run_long", "tj_worker", "tj_threads")
    return native.compile_cached(pool.text() + _LONG_TEXT, exports, imports, tier=1)


# ---------------------------------------------------------------- the entry, in IR

_ENTRY = r"""
@Ndarray = external global i8
@None = external global i8
@TypeError = external global i8
@text_count = private constant [42 x i8] c"launch() takes %zd arrays, %zd were given\00"
@text_type = private constant [54 x i8] c"launch() takes np.ndarray exactly; argument %zd is %R\00"
declare void @Py_IncRef(ptr)
declare ptr @PyErr_Format(ptr, ptr, ...)

define ptr @launch(ptr %self, ptr %given, i64 %count) nounwind {
begin:
  %record_at = getelementptr i8, ptr %self, i64 DATA
  %record = load ptr, ptr %record_at
  %wanted_at = getelementptr i64, ptr %record, i64 COUNT
  %wanted = load i64, ptr %wanted_at
  %fits = icmp eq i64 %count, %wanted
  br i1 %fits, label %enter, label %bad_count
enter:
  %args = alloca ptr, i64 %count
  %place_at = getelementptr i64, ptr %record, i64 OFFSETS
  %place = load i64, ptr %place_at
  %offsets = getelementptr i64, ptr %record, i64 %place
  br label %head
head:
  %i = phi i64 [0, %enter], [%next, %take]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %check, label %go
check:
  %array_at = getelementptr ptr, ptr %given, i64 %i
  %array = load ptr, ptr %array_at
  %type_at = getelementptr i8, ptr %array, i64 TYPE
  %type = load ptr, ptr %type_at
  %is_ndarray = icmp eq ptr %type, @Ndarray
  br i1 %is_ndarray, label %take, label %bad_type
take:
  %data_at = getelementptr i8, ptr %array, i64 DATA
  %data = load ptr, ptr %data_at
  %offset_at = getelementptr i64, ptr %offsets, i64 %i
  %offset = load i64, ptr %offset_at
  %address = getelementptr i8, ptr %data, i64 %offset
  %arg_at = getelementptr ptr, ptr %args, i64 %i
  store ptr %address, ptr %arg_at
  %next = add i64 %i, 1
  br label %head
go:
  call void @run(ptr %record, ptr %args)
  call void @Py_IncRef(ptr @None)
  ret ptr @None
bad_count:
  %r1 = call ptr (ptr, ptr, ...) @PyErr_Format(
    ptr @TypeError, ptr @text_count, i64 %wanted, i64 %count)
  ret ptr null
bad_type:
  %n = add i64 %i, 1
  %r2 = call ptr (ptr, ptr, ...) @PyErr_Format(
    ptr @TypeError, ptr @text_type, i64 %n, ptr %type)
  ret ptr null
}
"""


def _entry_text() -> str:
    numbers = {"DATA": _HEAD, "TYPE": _HEAD - 8, "COUNT": _COUNT, "OFFSETS": _OFFSETS}
    text = _ENTRY
    for name, number in numbers.items():
        text = text.replace(f"i64 {name}\n", f"i64 {number}\n")
    return RUN_TEXT + text


# ---------------------------------------------------------------- the entry, compiled


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def builtins_of(library: native.NativeLibrary, name: str, doc: str) -> Callable[[object], Callable]:
    """What makes builtins of an exported METH_FASTCALL function: of each `self`, one.

    The result must live as long as they do: it keeps their code, they do not.
    """
    method = _MethodDef(name.encode(), library.address(name), _METH_FASTCALL, doc.encode())
    new_function = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p
    )(("PyCFunction_NewEx", ctypes.pythonapi))

    def new(owner, kept=(library, method)):
        return new_function(ctypes.addressof(kept[1]), owner, None)

    return new


def _check_layout():
    """Refuse an interpreter, or a NumPy, whose objects are laid out in another way."""
    probe = np.zeros(1)
    if sys.implementation.name == "cpython":
        at = id(probe) + _HEAD
        data, kind = (ctypes.c_void_p.from_address(a).value for a in (at, at - 8))
        if data == probe.ctypes.data and kind == id(np.ndarray):
            return
    raise KernelError(
        f"launcher: unknown object layout, {sys.implementation.name} {sys.version.split()[0]}, "
        f"NumPy {np.__version__}"
    )


@once
def _new_launcher() -> Callable[[object], Callable]:
    """Compile the entry, or fetch it from disk: once per process."""
    _check_layout()
    imports = run_imports() | python_addresses("Py_IncRef", "PyErr_Format")
    imports |= {"Ndarray": id(np.ndarray), "None": id(None), "TypeError": id(TypeError)}
    library = native.compile_cached(_entry_text(), ("launch",), imports, tier=1)
    return builtins_of(library, "launch", "Run one kernel on arrays.")


# ---------------------------------------------------------------- launchers


def make_launcher(record: Record) -> Callable[..., None]:
    """Make `launch(*arrays) -> None`, which runs a record on arrays, one for each of its offsets.

    The launcher keeps the record alive, hence the kernel's cell and its code.

    Errors  launch raises TypeError for a wrong number of arguments, or one that is not an
            ndarray (a subclass is not), before it runs anything
    """
    return _new_launcher()(record)
