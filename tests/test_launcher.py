"""Launchers: what they pass to a kernel, what they refuse, and what they keep alive."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from tapejit.errors import KernelError
from tapejit.runtime import launcher, native
from tapejit.runtime.cells import Cell
from tapejit.runtime.launcher import (
    LONG,
    RUN_TEXT,
    make_launcher,
    make_record,
    run_imports,
)

# Kernels of plan.py's machine interface, which write down what they were given: every call adds
# its mark to the number args[0] points to, times ten; the loop also copies the rest.
WITNESS = """
declare i32 @PyGILState_Check()

define internal void @mark(ptr %args, i64 %digit) {
  %log = load ptr, ptr %args
  %old = load i64, ptr %log
  %ten = mul i64 %old, 10
  %new = add i64 %ten, %digit
  store i64 %new, ptr %log
  ret void
}
define void @start(ptr %args, ptr %meta) {
  call void @mark(ptr %args, i64 1)
  ret void
}
define void @loop(ptr %args, ptr %meta, i64 %begin, i64 %end) {
  call void @mark(ptr %args, i64 2)
  %log = load ptr, ptr %args
  %a = getelementptr i64, ptr %log, i64 1
  store i64 %begin, ptr %a
  %b = getelementptr i64, ptr %log, i64 2
  store i64 %end, ptr %b
  %c = getelementptr i64, ptr %log, i64 3
  %m0 = load i64, ptr %meta
  store i64 %m0, ptr %c
  %d = getelementptr i64, ptr %log, i64 4
  %m1_at = getelementptr i64, ptr %meta, i64 1
  %m1 = load i64, ptr %m1_at
  store i64 %m1, ptr %d
  %e = getelementptr i64, ptr %log, i64 5
  %gil = call i32 @PyGILState_Check()
  %gil64 = zext i32 %gil to i64
  store i64 %gil64, ptr %e
  ret void
}
define void @finish(ptr %args, ptr %meta) {
  call void @mark(ptr %args, i64 3)
  ret void
}
; copies args[i][0] to args[0][i] for i in 1 ... meta[0]-1
define void @gather(ptr %args, ptr %meta, i64 %begin, i64 %end) {
enter:
  %n = load i64, ptr %meta
  %out = load ptr, ptr %args
  br label %head
head:
  %i = phi i64 [1, %enter], [%next, %body]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %x_at = getelementptr ptr, ptr %args, i64 %i
  %x = load ptr, ptr %x_at
  %v = load i64, ptr %x
  %o = getelementptr i64, ptr %out, i64 %i
  store i64 %v, ptr %o
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}
define void @nothing(ptr %args, ptr %meta, i64 %begin, i64 %end) {
  ret void
}
"""
SYMBOLS = ("start", "loop", "finish", "gather", "nothing")
NO_META = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def witness():
    return native.load(native.compile_object(WITNESS, 1), SYMBOLS, {})


def make_cell(library, loop="nothing", start=None, finish=None):
    """A cell of the witness's functions, by name."""
    start, finish = (library.address(name) if name else 0 for name in (start, finish))
    return Cell(start, library.address(loop), finish, library)


def make(library, loop="nothing", n=2, meta=NO_META, start=None, finish=None, **options):
    """A launcher of the witness's functions, by name."""
    cell = make_cell(library, loop, start, finish)
    flags = LONG if options.get("release_gil") else 0
    offsets = options.get("offsets", (0,) * n)
    return make_launcher(make_record(cell, options.get("units", 1), meta, offsets, flags=flags))


# ------------------------------------------------------------------------------ what is passed


@pytest.mark.parametrize("release_gil", [False, True])
@pytest.mark.parametrize(
    ("start", "finish", "marks"),
    [(None, None, 2), ("start", None, 12), (None, "finish", 23), ("start", "finish", 123)],
)
def test_functions_run_in_order_with_units_and_meta(witness, start, finish, marks, release_gil):
    log = np.zeros(6, np.int64)
    meta = np.array([2**40, -7])
    launch = make(witness, "loop", 1, meta, start, finish, units=2**33, release_gil=release_gil)
    assert launch(log) is None
    assert log.tolist() == [marks, 0, 2**33, 2**40, -7, not release_gil]


@pytest.mark.parametrize("n", [1, 2, 6, 33, 1000])
def test_every_array_arrives_at_its_offset(witness, n):
    arrays = [np.arange(10 * i, 10 * i + 4) for i in range(n)]
    out = np.zeros(n + 1, np.int64)
    offsets = [8, *(8 * (i % 4) for i in range(1, n))]
    make(witness, "gather", offsets=tuple(offsets), meta=np.array([n]))(out, *arrays[1:])
    assert out[0] == 0
    assert out[2:].tolist() == [10 * i + i % 4 for i in range(1, n)]


def test_views_pass_their_own_data_pointer(witness):
    base = np.arange(10)
    out = np.zeros(4, np.int64)
    launch = make(witness, "gather", 4, np.array([4]))
    launch(out, base[3:], base[::-1], base.reshape(2, 5)[1])
    assert out.tolist() == [0, 3, 9, 5]
    launch = make(witness, "gather", offsets=(0, -8, -72, 16), meta=np.array([4]))
    launch(out, base[3:], base[::-1], base)
    assert out.tolist() == [0, 2, 0, 2]


def test_no_arrays_at_all(witness):
    assert make(witness, n=0)() is None


def test_meta_is_copied(witness):
    log, meta = np.zeros(6, np.int64), np.array([5, 6])
    launch = make(witness, "loop", 1, meta)
    meta[:] = 0
    launch(log)
    assert log[3:5].tolist() == [5, 6]
    with pytest.raises(ValueError, match="read-only"):
        launch.__self__[4] = 99


# ----------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("given", [0, 1, 2, 4, 9])
def test_wrong_number_of_arrays(witness, given):
    launch = make(witness, n=3)
    with pytest.raises(TypeError, match=rf"launch\(\) takes 3 arrays, {given} were given"):
        launch(*[np.zeros(2)] * given)


class Subclass(np.ndarray):
    """A type that is an ndarray, but not exactly."""


@pytest.mark.parametrize("position", [0, 1, 5])
@pytest.mark.parametrize(
    "wrong",
    [None, 1.5, [1.0], "x", np.float64(1), np.ma.array([1.0]), np.zeros(2).view(Subclass)],
    ids=lambda value: type(value).__name__,
)
def test_arguments_that_are_no_arrays(witness, position, wrong):
    log = np.zeros(6, np.int64)
    launch = make(witness, "loop", 6, np.zeros(2, np.int64), "start", "finish")
    arguments = [log, *(np.zeros(2) for _ in range(5))]
    arguments[position] = wrong
    name = type(wrong).__name__
    with pytest.raises(
        TypeError,
        match=rf"launch\(\) takes np.ndarray exactly; argument {position + 1} is <class '.*{name}'",
    ):
        launch(*arguments)
    assert log[0] == 0, "something ran"


def test_no_keyword_arguments(witness):
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        make(witness, n=1)(array=np.zeros(1))


def test_other_object_layouts_are_refused(monkeypatch):
    launcher._check_layout()
    monkeypatch.setattr(launcher, "_HEAD", 24)
    with pytest.raises(KernelError, match="launcher: unknown object layout, cpython 3"):
        launcher._check_layout()


# --------------------------------------------------------------------------- what is kept alive


def test_nothing_leaks(witness):
    array, wrong = np.zeros(6, np.int64), [1.0]
    launch = make(witness, n=3)

    def counts():
        values = (array, wrong, None, TypeError, np.ndarray, launch, launch.__self__, list)
        return [sys.getrefcount(value) for value in values]

    def attack():
        for _ in range(5000):
            launch(array, array, array)
        for arguments in ((array,), (array, array, wrong)):
            for _ in range(500):
                with contextlib.suppress(TypeError):
                    launch(*arguments)

    attack()
    before = counts()
    attack()
    after = counts()
    assert max(abs(a - b) for a, b in zip(after, before, strict=True)) < 20, (before, after)


def test_launcher_keeps_its_library_and_gives_it_back():
    library = native.load(native.compile_object(WITNESS), SYMBOLS, {})
    alive = weakref.ref(library)
    launch = make(library, "loop", 1, np.zeros(2, np.int64))
    del library
    gc.collect()
    log = np.zeros(6, np.int64)
    launch(log)
    assert log[0] == 2
    assert alive() is not None
    del launch
    assert alive() is None, "given back at once, without the garbage collector"


def test_a_cycle_through_the_owner_is_collected():
    class Program:
        """Owns its launcher, which owns it."""

    library = native.load(native.compile_object(WITNESS), SYMBOLS, {})
    program = Program()
    alive = weakref.ref(program)
    cell = make_cell(library)
    cell.owner = (program, library)
    program.launch = make_launcher(make_record(cell, 1, NO_META))
    program.launch()
    del program, cell
    gc.collect()
    assert alive() is None


def test_many_launchers_in_many_threads(witness):
    wrong = []

    def work(number):
        out = np.zeros(2, np.int64)
        for i in range(300):
            launch = make(witness, "gather", 2, np.array([2]), release_gil=bool(i % 2))
            for k in range(5):
                launch(out, np.array([number * 10000 + i * 10 + k]))
                if out[1] != number * 10000 + i * 10 + k:
                    wrong.append((number, i, k))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_entry_is_compiled_once(witness):
    make(witness)
    assert launcher._new_launcher() is launcher._new_launcher()
    assert ctypes.sizeof(launcher._MethodDef) == 4 * ctypes.sizeof(ctypes.c_void_p)


def test_other_code_in_a_cell_is_what_every_launcher_runs_next(witness):
    cell, log = make_cell(witness, "loop", "start"), np.zeros(6, np.int64)
    launchers = [make_launcher(make_record(cell, 1, (0, 0), (0,))) for _ in range(2)]
    launchers[0](log)
    assert log[0] == 12
    cell.replace(0, witness.address("loop"), witness.address("finish"), witness, tier=1)
    log[0] = 0
    launchers[1](log)
    assert log[0] == 23


@pytest.mark.parametrize("flags", [0, LONG])
def test_run_is_for_any_native_entry(witness, flags):
    """A program of two steps, in IR of its own, on one array."""
    log = np.zeros(6, np.int64)
    records = [
        make_record(make_cell(witness, "loop", start, finish), 7, (5, 6), flags=flags)
        for start, finish in (("start", None), (None, "finish"))
    ]
    text = (
        RUN_TEXT
        + """
    define void @program(ptr %first, ptr %second, ptr %args) {
      call void @run(ptr %first, ptr %args)
      call void @run(ptr %second, ptr %args)
      ret void
    }"""
    )
    library = native.load(native.compile_object(text), ("program",), run_imports())
    program = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 3)(library.address("program"))
    args = np.array([log.ctypes.data])
    program(*(record.ctypes.data for record in records), args.ctypes.data)
    assert log.tolist() == [1223, 0, 7, 5, 6, not flags]
