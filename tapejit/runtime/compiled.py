"""Compiled programs: a Plan as one Python function that launches kernels.

`compile_program` schedules, fetches kernels and writes a straight-line function for the calls:

    def call(inputs):
        x0, x1, = inputs
        if x0.__class__ is not ndarray or x0.flags.num & 257 != 257: x0 = plain(x0)
        try: a = free.pop()
        except IndexError: a = arena()
        t, float64_, = a
        o2 = empty((65536,), float64)
        k0(x0, x1, o2, t, t)
        r = [float64_[0], o2]
        free.append(a)
        return r

Temporaries, scratch memory and 0-d results lie in an arena that calls take from a list and give
back, so calls may run at the same time in several threads.  Arrays that are handed out are always
fresh.  If a kernel cannot be made, the program runs row by row, with one warning.

Start at `compile_program`.  Not here: simplification and caching of programs, which are the
caller's.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tapejit import config
from tapejit.errors import KernelError
from tapejit.plan import KernelStep, LibraryStep, LoopStep, Plan, RowStep, View, is_total
from tapejit.pretty import program_text
from tapejit.runtime import kernels, loops, reference
from tapejit.runtime.agreement import agree
from tapejit.runtime.blocks import is_pooled, take
from tapejit.runtime.devices import as_value
from tapejit.runtime.kernels import statistics
from tapejit.runtime.launcher import make_launcher, record_of
from tapejit.runtime.python_kernels import make_python_launcher
from tapejit.schedule.describe import describe
from tapejit.schedule.memory import Block, lay_out
from tapejit.schedule.planner import schedule
from tapejit.schedule.views import contiguous, is_contiguous
from tapejit.shapes import CPU, common_device
from tapejit.tape import Program
from tapejit.verify import verify_program

__all__ = ["Compiled", "compile_program", "statistics"]

_BYTES = {"f64": 8, "i64": 8, "f32": 4, "i32": 4, "bool": 1}

ARENAS = 4
"""Arenas that are kept for later calls; more are in use only while as many calls run at once."""

# ---------------------------------------------------------------- data


class LaunchedResult(NamedTuple):
    """Where a result lies."""

    name: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    is_output: bool
    """Whether that is an output which is handed out."""
    strides: tuple[int, ...] | None = None
    """In bytes; None: row-major."""


class Launches(NamedTuple):
    """A program of kernels alone, for who can run it without Python (`runtime.entry`).

    Memory has the names that the calling function gives it: x0, x1... the inputs, o... outputs,
    c... constants, t the arena.  Offsets are in bytes.
    """

    arena_bytes: int
    constants: dict[str, np.ndarray]
    outputs: dict[str, tuple[np.dtype, tuple[int, ...]]]
    """Arrays to make afresh in each call."""
    steps: list[tuple[np.ndarray, list[tuple[str, int]]]]
    """The launcher's record, and where each of its operands begins."""
    results: list[LaunchedResult]
    statuses: Sequence[tuple[str, int]] = ()
    """Where loops leave an int64 other than 0 if the call has to go through Python."""


class Compiled:
    """A program ready to run: call it with its inputs."""

    __slots__ = ("_call", "launches", "plan", "program", "source")

    def __init__(
        self,
        program: Program,
        plan: Plan | None,
        call: Callable,
        source: str,
        launches: Launches | None = None,
    ):
        self.program = program
        self.plan = plan
        self.source = source
        self.launches = launches
        self._call = call

    def __call__(self, inputs: Sequence) -> list:
        """The outputs for input arrays of the program's dtypes and shapes.

        0-d outputs are NumPy scalars; arrays share memory with nothing else.
        """
        return self._call(inputs)


def compile_program(program: Program) -> Compiled:
    """A simplified program as kernels; row by row, with a warning, where that cannot be."""
    try:
        return _compile(program)
    except KernelError as error:
        warnings.warn(
            f"tapejit: a program of {len(program.tape)} rows runs row by row: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return Compiled(program, None, _reference_call(program), "")


def _compile(program):
    if config.settings.check >= 1:
        verify_program(program, "simplification")
    tape = program.tape
    if common_device([tape.kind(row).aval for row in range(len(tape))]) != CPU:
        return _compile_in_parts(program)
    begin = time.perf_counter()
    emit_ms, llvm_ms = statistics.emit_ms, statistics.llvm_ms
    n_compiled = statistics.kernels_compiled
    plan = schedule(program)
    scheduled = time.perf_counter()
    writer = _Writer(plan, config.settings.jit != 0)
    call, source = writer.function()
    launches = writer.launches()
    if config.settings.check >= 3:
        call, launches = checked(program, call), None
    if config.settings.debug >= 1:
        steps = [step for step in plan.steps if isinstance(step, KernelStep | RowStep)]
        print(
            f"tapejit: {len(program.tape)} rows, {len(steps)} kernels "
            f"({statistics.kernels_compiled - n_compiled} new), "
            f"{sum(len(loop.nodes) for step in steps for loop in step.kernel.loops)} nodes, "
            f"{len(plan.steps) - len(steps)} other steps; "
            f"schedule {(scheduled - begin) * 1e3:.1f} ms, "
            f"emit {statistics.emit_ms - emit_ms:.1f} ms, "
            f"LLVM {statistics.llvm_ms - llvm_ms:.1f} ms, "
            f"all {(time.perf_counter() - begin) * 1e3:.1f} ms",
            file=sys.stderr,
        )
    if config.settings.debug >= 2:
        print(program_text(program), file=sys.stderr)
    if config.settings.debug >= 4:
        print(describe(plan), file=sys.stderr)
    return Compiled(program, plan, call, source, launches)


def _compile_in_parts(program):
    """A program on a GPU, or on several devices."""
    from tapejit.runtime.cuda.parts import compile_parts  # not for who has no GPU

    moving = compile_parts(program, _compile)
    return Compiled(program, moving.plan(), moving, moving.source())


# ---------------------------------------------------------------- the calling function


class _Writer:
    """Writes the Python function of one plan."""

    def __init__(self, plan: Plan, is_native: bool = True):
        self.plan = plan
        self.is_native = is_native
        self.scope = {
            "ndarray": np.ndarray, "empty": np.empty, "array": np.array, "plain": plain,
            "settle": _settle, "take": take, "errstate": np.errstate,
        }  # fmt: skip
        self.lines: list[str] = []
        self.names: dict[int, str] = {}  # buffer -> the variable that holds it
        self.base: dict[int, int] = {}  # buffer in the arena -> its bytes' offset
        self.dtypes: dict[str, np.dtype] = {}  # arena views that results are read from
        self.scratch: list[list[int]] = []  # per step: offsets of the scratch areas
        self.arena_bytes = 0
        self.outputs: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
        self.records: list = []  # of each step in native code: its launcher's record, its operands
        self.statuses: list[tuple[str, int]] = []

    def function(self):
        """The function and its text."""
        plan = self.plan
        self.place_temporaries()
        self.take_inputs()
        head, self.lines = self.lines, []
        cells = iter(self.cells())
        for number, step in enumerate(plan.steps):
            if isinstance(step, KernelStep | RowStep):
                self.allocate(step)
                self.launch(number, step, next(cells))
            elif isinstance(step, LoopStep):
                self.allocate(step)
                self.loop(number, step)
            else:
                self.library(number, step)
        self.lines.append(f"r = [{', '.join(map(self.result, plan.results))}]")
        lines = [*head, *self.arena_lines(), *self.lines]
        if self.arena_bytes:
            lines.append(f"if len(free) < {ARENAS}: free.append(a)")
        lines.append("return r")
        if any(isinstance(step, LibraryStep) for step in plan.steps):
            lines = ["with errstate(all='ignore'):", *(f"    {line}" for line in lines)]
        source = "\n".join(["def call(inputs):", *(f"    {line}" for line in lines)])
        exec(compile(source, "<tapejit plan>", "exec"), self.scope)
        return self.scope["call"], source

    def cells(self):
        """The machine code of each kernel step; None where Python runs it."""
        wanted = [s.kernel for s in self.plan.steps if isinstance(s, KernelStep | RowStep)]
        return kernels.fetch(wanted) if self.is_native else [None] * len(wanted)

    # ------------------------------------------------------------ memory

    def in_arena(self, buffer):
        """Temporaries; and 0-d results, which are read out as scalars."""
        record = self.plan.buffers[buffer]
        return record.role == "temporary" or (record.role == "output" and record.shape == ())

    def place_temporaries(self):
        """Offsets of temporaries, 0-d results and scratch areas in the arena."""
        plan, first, last = self.plan, {}, {}
        for number, step in enumerate(plan.steps):
            for view in step.views:
                first.setdefault(view.buffer, number)
                last[view.buffer] = number
        for result in plan.results:
            last[result.view.buffer] = len(plan.steps)
        blocks, owners = [], []
        for buffer, record in enumerate(plan.buffers):
            if self.in_arena(buffer) and buffer in first:
                size = record.dtype.itemsize
                for n in record.shape:
                    size *= n
                blocks.append(Block(size, first[buffer], last[buffer]))
                owners.append(buffer)
        for number, step in enumerate(plan.steps):
            self.scratch.append([])
            if isinstance(step, KernelStep | RowStep):
                for loop in step.kernel.loops:
                    for _ in filter(is_total, loop.outputs):
                        blocks.append(Block(8 * step.units, number, number))
                        owners.append(~number)
            elif isinstance(step, LoopStep):
                for dtype, n in step.work.scratch:
                    blocks.append(Block(_BYTES[dtype] * n, number, number))
                    owners.append(~number)
                if step.loop.has_status:  # native entries look at it in the end
                    blocks.append(Block(8, number, len(plan.steps)))
                    owners.append(~number)
        offsets, self.arena_bytes = lay_out(blocks)
        for owner, offset in zip(owners, offsets, strict=True):
            if owner >= 0:
                self.base[owner], self.names[owner] = offset, "t"
            else:
                self.scratch[~owner].append(offset)

    def take_inputs(self):
        names = [f"x{i}" for i in range(self.plan.n_inputs)]
        self.lines.append(f"{''.join(f'{name}, ' for name in names) or '()'} = inputs")
        for buffer, record in enumerate(self.plan.buffers):
            if record.role == "input":
                assert isinstance(record.number, int)
                name = self.names[buffer] = names[record.number]
                self.lines.append(
                    f"if {name}.__class__ is not ndarray or {name}.flags.num & 257 != 257: "
                    f"{name} = plain({name})"
                )

    def arena_lines(self):
        if not self.arena_bytes:
            return []
        # whole items: a view of another dtype needs that
        dtypes, n_bytes = list(self.dtypes.values()), -(-self.arena_bytes // 64) * 64

        def arena():
            memory = np.empty(n_bytes, np.uint8)
            return (memory, *(memory.view(dtype) for dtype in dtypes))

        self.scope["arena"], self.scope["free"] = arena, []
        views = "".join(f"{name}_, " for name in self.dtypes)
        return ["try: a = free.pop()", "except IndexError: a = arena()", f"t, {views} = a"]

    def allocate(self, step):
        """Fresh arrays for the outputs that a kernel writes."""
        for view in step.written:
            if view.buffer not in self.names:
                record = self.plan.buffers[view.buffer]
                assert record.role == "output", record
                name = self.names[view.buffer] = f"o{view.buffer}"
                n_bytes = record.dtype.itemsize * math.prod(record.shape)
                what, extra = ("take", f", {n_bytes}") if is_pooled(n_bytes) else ("empty", "")
                dtype = self.dtype(record.dtype)
                self.outputs[name] = record.dtype.dtype, record.shape
                self.lines.append(f"{name} = {what}({record.shape!r}, {dtype}{extra})")

    def dtype(self, dtype):
        self.scope[dtype.name] = dtype.dtype
        return dtype.name

    # ------------------------------------------------------------ steps

    def operands(self, number, step):
        """Names and byte offsets of what a step's args point to."""
        buffers = self.plan.buffers
        for view in step.views:
            if buffers[view.buffer].role == "constant":
                self.constant(view.buffer)
        groups = [(step.views, len(self.scratch[number]))]
        if isinstance(step, RowStep):
            groups = [(p.views, sum(map(is_total, p.kernel.outputs))) for p in step.parts]
        names, offsets, scratch = [], [], iter(self.scratch[number])
        for views, n_scratch in groups:
            for view in views:
                names.append(self.names[view.buffer])
                itemsize = buffers[view.buffer].dtype.itemsize
                offsets.append(self.base.get(view.buffer, 0) + view.offset * itemsize)
            names += ["t"] * n_scratch
            offsets += itertools.islice(scratch, n_scratch)
        return names, tuple(offsets)

    def launch(self, number, step, cell):
        names, offsets = self.operands(number, step)
        if cell is None:
            launcher = make_python_launcher(step, offsets)
        else:
            launcher = self.native(record_of(step, cell, offsets), names, offsets)
        self.scope[f"k{number}"] = launcher
        self.lines.append(f"k{number}({', '.join(names)})")

    def native(self, record, names, offsets):
        """A record's launcher."""
        self.records.append((record, list(zip(names, offsets, strict=True))))
        return make_launcher(record)

    def loop(self, number, step):
        """One run of an operation's loop; where it refuses, or there is none, of `evaluate`."""
        names, offsets = self.operands(number, step)
        evaluate, has_status = loops.make_evaluate_launcher(step, offsets), step.loop.has_status
        if not self.is_native:
            launcher = loops.make_python_launcher(step, offsets)
        else:
            try:
                record = loops.record_of(step, loops.fetch(step), offsets)
                launcher = self.native(record, names, offsets)
            except KernelError as error:
                launcher, has_status = evaluate, False
                if config.settings.debug >= 1:
                    print(f"tapejit: {step.kind.op.name} by NumPy: {error}", file=sys.stderr)
        self.scope[f"k{number}"] = launcher
        self.lines.append(f"k{number}({', '.join(names)})")
        if has_status:
            self.dtypes["int64"] = np.dtype(np.int64)
            self.scope[f"e{number}"] = evaluate
            self.statuses.append(("t", offsets[-1]))
            self.lines.append(f"if int64_[{offsets[-1] // 8}]: e{number}({', '.join(names)})")

    def library(self, number, step):
        """One call of `evaluate`; what it returns is made an array of its own."""
        op = step.kind.op
        self.scope[f"f{number}"] = op.evaluate
        operands = [self.array(view) for view in step.views]
        if step.kind.attrs:
            self.scope[f"attrs{number}"] = step.kind.attributes()
            operands.append(f"**attrs{number}")
        name = self.names[step.buffer] = f"v{step.buffer}"
        call = f"f{number}({', '.join(operands)})"
        if op.name == "matmul" and step.kind.aval.ndim:
            self.lines.append(f"{name} = {call}")  # always a fresh array
        else:
            dtype = self.dtype(step.kind.aval.dtype)
            self.lines.append(f"{name} = settle({call}, {dtype}, {step.kind.aval.shape!r})")

    def constant(self, buffer):
        record = self.plan.buffers[buffer]
        value = np.array(record.number, record.dtype.dtype)
        if record.shape:
            value = np.broadcast_to(value, record.shape)
        self.scope[f"c{buffer}"] = value
        self.names[buffer] = f"c{buffer}"

    def array(self, view: View) -> str:
        """An expression for a view as a NumPy array."""
        record = self.plan.buffers[view.buffer]
        if record.role == "constant":
            self.constant(view.buffer)
            return self.names[view.buffer]
        name = self.names[view.buffer]
        base = self.base.get(view.buffer)
        size = 1
        for n in view.shape:
            size *= n
        if not size:
            return f"empty({view.shape!r}, {self.dtype(record.dtype)})"
        if base is None and view.offset == 0:
            if view.shape == record.shape and is_contiguous(view.shape, view.strides):
                return name
            if view.shape == record.shape[::-1] and view.strides == contiguous(record.shape)[::-1]:
                return f"{name}.T"
        itemsize = record.dtype.itemsize
        strides = tuple(stride * itemsize for stride in view.strides)
        offset = (base or 0) + view.offset * itemsize
        return f"ndarray({view.shape!r}, {self.dtype(record.dtype)}, {name}, {offset}, {strides!r})"

    # ------------------------------------------------------------ results

    def result(self, result):
        """An expression for one output."""
        view = result.view
        record = self.plan.buffers[view.buffer]
        if view.shape == () and view.buffer in self.base:
            self.dtypes[record.dtype.name] = record.dtype.dtype
            place = self.base[view.buffer] // record.dtype.itemsize + view.offset
            return f"{record.dtype.name}_[{place}]"
        array = self.array(view)
        if view.shape == ():
            return f"{array}[()]"
        return array if result.is_owned else f"array({array}, order='C')"

    def launches(self):
        """The plan without Python, if every step is a kernel."""
        results, constants = [], {}
        if len(self.records) != len(self.plan.steps):
            return None
        for view, is_owned in self.plan.results:
            record = self.plan.buffers[view.buffer]
            if record.role == "constant":
                self.constant(view.buffer)
            name, dtype = self.names[view.buffer], record.dtype.dtype
            is_output = is_owned and name in self.outputs
            if is_owned and view.shape and not (is_output and view.shape == record.shape):
                return None
            offset = self.base.get(view.buffer, 0) + view.offset * dtype.itemsize
            strides = None
            if not is_contiguous(view.shape, view.strides):
                strides, is_output = tuple(n * dtype.itemsize for n in view.strides), False
            results.append(LaunchedResult(name, offset, dtype, view.shape, is_output, strides))
        for buffer, name in self.names.items():
            if self.plan.buffers[buffer].role == "constant":
                constants[name] = np.ascontiguousarray(self.scope[name])
        return Launches(
            self.arena_bytes, constants, self.outputs, self.records, results, self.statuses
        )


# ---------------------------------------------------------------- what the function calls


def plain(value):
    """An input as an exact, aligned, row-major ndarray."""
    if not np.ndim(value):
        return np.array(value)
    return np.require(value, requirements=("C", "A", "E"))


def _settle(value, dtype, shape):
    """What a library step returned as a row-major array that shares memory with nothing."""
    if value.__class__ is np.ndarray and value.base is None and value.ndim:  # 0-d ones may be x
        is_right = value.dtype == dtype and value.shape == shape
        if is_right and value.flags.c_contiguous:
            return value
    value = np.array(value, dtype, order="C")
    assert value.shape == shape, (value.shape, shape)
    return value


# ---------------------------------------------------------------- other ways to run


def _reference_call(program):
    """Row by row: the same results from the same call."""
    avals = [program.tape.kind(row).aval for row in program.outputs]

    def call(inputs):
        values = reference.run(program, [as_value(x) for x in inputs])
        return [
            value if aval.device != CPU else np.array(value, aval.dtype.dtype, order="C")[()]
            for value, aval in zip(values, avals, strict=True)
        ]

    return call


def checked(program: Program, call: Callable) -> Callable:
    """A call that compares each output with the reference."""

    def compare(inputs):
        kept = [np.array(x) for x in inputs]
        results = call(inputs)
        wanted = _reference_call(program)(kept)
        for row, got, want in zip(program.outputs, results, wanted, strict=True):
            if not agree(np.asarray(got), np.asarray(want)):
                raise AssertionError(
                    f"compiled and reference differ in row {row}, {program.tape.kind(row)}:\n"
                    f"  compiled   {got}\n  reference  {want}"
                )
        return results

    return compare
