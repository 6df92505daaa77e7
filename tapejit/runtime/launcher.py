"""Kernel addresses become Python callables: launching a kernel on six arrays costs 35 to 40 ns.

The one idea: a builtin function needs a C entry point and nothing else, and C entry points are
what LLVM makes.  So one generic entry, written below as IR, is compiled once per process (from
disk the next time) and wrapped by CPython's own `PyCFunction_NewEx`.  Everything that differs
between launches is in a record of int64, the `self` of the builtin:

    number of arrays | start | loop | finish | units | an offset per array... | meta...

    def launch(*arrays):                                  # what the entry does
        args = [address(array) + offset for array, offset in zip(arrays, offsets)]
        if start: start(args, meta)
        loop(args, meta, 0, units)
        if finish: finish(args, meta)

Start reading at `make_launcher`.  The entry looks at an argument's type and data pointer only:
dtype, size, strides and who else reads the memory are its caller's business.  It takes exactly
np.ndarray, so a masked array cannot lose its mask, nor any subclass its meaning, unnoticed.

Source: CPython's Include/methodobject.h; NumPy's ndarraytypes.h (PyArrayObject_fields).
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tapejit.errors import KernelError
from tapejit.runtime import native

_HEAD = object.__basicsize__
"""Bytes of a PyObject's head (16; more without a GIL).  The type is its last pointer, and an
ndarray's data pointer the first thing after it."""

_FUNCTIONS = ("Py_IncRef", "PyErr_Format", "PyEval_SaveThread", "PyEval_RestoreThread")

_METH_FASTCALL = 0x0080

# ---------------------------------------------------------------------------- the entry, in IR

_ENTRY = r"""
@Ndarray = external global i8
@None = external global i8
@TypeError = external global i8
@text_count = private constant [42 x i8] c"launch() takes %zd arrays, %zd were given\00"
@text_type = private constant [54 x i8] c"launch() takes np.ndarray exactly; argument %zd is %R\00"
declare void @Py_IncRef(ptr)
declare ptr @PyErr_Format(ptr, ptr, ...)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)

define internal void @run(ptr %record, ptr %args, ptr %meta) nounwind {
  %start_at = getelementptr i64, ptr %record, i64 1
  %start = load ptr, ptr %start_at
  %loop_at = getelementptr i64, ptr %record, i64 2
  %loop = load ptr, ptr %loop_at
  %finish_at = getelementptr i64, ptr %record, i64 3
  %finish = load ptr, ptr %finish_at
  %units_at = getelementptr i64, ptr %record, i64 4
  %units = load i64, ptr %units_at
  %no_start = icmp eq ptr %start, null
  br i1 %no_start, label %body, label %first
first:
  call void %start(ptr %args, ptr %meta)
  br label %body
body:
  call void %loop(ptr %args, ptr %meta, i64 0, i64 %units)
  %no_finish = icmp eq ptr %finish, null
  br i1 %no_finish, label %done, label %last
last:
  call void %finish(ptr %args, ptr %meta)
  br label %done
done:
  ret void
}
"""

_ENTRY_FUNCTION = """
define ptr @NAME(ptr %self, ptr %given, i64 %count) nounwind {
begin:
  %record_at = getelementptr i8, ptr %self, i64 DATA
  %record = load ptr, ptr %record_at
  %wanted = load i64, ptr %record
  %fits = icmp eq i64 %count, %wanted
  br i1 %fits, label %enter, label %bad_count
enter:
  %args = alloca ptr, i64 %count
  %offsets = getelementptr i64, ptr %record, i64 5
  %meta = getelementptr i64, ptr %offsets, i64 %count
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
  RUN
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

_RUN = "call void @run(ptr %record, ptr %args, ptr %meta)"

_RUN_WITHOUT_GIL = f"""%thread = call ptr @PyEval_SaveThread()
  {_RUN}
  call void @PyEval_RestoreThread(ptr %thread)"""


def _entry_text() -> str:
    """Both entries: @launch keeps the GIL, @launch_without_gil gives it away meanwhile."""
    function = _ENTRY_FUNCTION.replace("DATA", str(_HEAD)).replace("TYPE", str(_HEAD - 8))
    return (
        _ENTRY
        + function.replace("NAME", "launch").replace("RUN", _RUN)
        + function.replace("NAME", "launch_without_gil").replace("RUN", _RUN_WITHOUT_GIL)
    )


# ------------------------------------------------------------------------- the entry, compiled


class _MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Entry(NamedTuple):
    """The compiled entries; as long as a launcher lives it keeps this alive."""

    library: native.NativeLibrary
    with_gil: _MethodDef
    without_gil: _MethodDef
    new_function: Callable


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


def _address(function) -> int:
    """Where a C function of ctypes starts."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.cache
def _entry() -> _Entry:
    """Compile the entry, or fetch it from disk: once per process."""
    _check_layout()
    api = ctypes.pythonapi
    imports = {name: _address(getattr(api, name)) for name in _FUNCTIONS}
    imports |= {"Ndarray": id(np.ndarray), "None": id(None), "TypeError": id(TypeError)}
    names = ("launch", "launch_without_gil")
    library = native.compile_cached(_entry_text(), names, imports, tier=1)
    with_gil, without_gil = (
        _MethodDef(b"launch", library.address(name), _METH_FASTCALL, b"Run one kernel on arrays.")
        for name in names
    )
    new_function = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p
    )(("PyCFunction_NewEx", api))
    return _Entry(library, with_gil, without_gil, new_function)


# ----------------------------------------------------------------------------------- launchers


class _Record(np.ndarray):
    """The int64 record of one launcher.  A subclass, so that it can also own what it names."""

    owner: tuple


def make_launcher(
    start: int,
    loop: int,
    finish: int,
    units: int,
    meta: np.ndarray,
    release_gil: bool = False,
    *,
    offsets: tuple[int, ...],
    owner: object = None,
) -> Callable[..., None]:
    """Make `launch(*arrays) -> None`, which runs a kernel of plan.py's machine interface.

    `start` and `finish` are 0 where the kernel has none.  `offsets` has one number of bytes per
    array, added to its data pointer.  `meta` is copied.  `owner` is kept alive as long as the
    launcher is: give it the NativeLibrary that the addresses come from.

    Errors  launch raises TypeError for a wrong number of arguments, or one that is not an
            ndarray (a subclass is not), before it runs anything
    """
    entry = _entry()
    assert loop, "a kernel without a loop"
    head = (len(offsets), start, loop, finish, units, *offsets)
    record = np.concatenate([np.array(head, np.int64), np.asarray(meta, np.int64).ravel()])
    record = record.view(_Record)
    record.flags.writeable = False
    record.owner = (owner, entry)
    definition = entry.without_gil if release_gil else entry.with_gil
    return entry.new_function(ctypes.addressof(definition), record, None)
