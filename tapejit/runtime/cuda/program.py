"""Programs on a GPU: a Plan as launches, over addresses that are new in each call.

`compile_for_device` schedules, fetches kernels from the machine and writes a straight-line function
of addresses:

    def launch(x0, x1, t, s, o2):
        k0_0(64, (x0, x1, t + 256, 65536,), 'mul')
        k0_1(1, (t + 256, s, 64,), 'mul')
        f1((x0, x1, o2, t,))

x  inputs; o  an output of its own; s  the memory that small outputs share, so that one transfer
brings all that Python reads (`arrays.to_host_together`); t  the arena: temporaries and scratch,
laid out by liveness, and CPU numbers among the inputs, which one copy brings there.  Arena and
outputs come from the machine's pool in each call, so calls may run at the same time in several
threads.  Constants are uploaded once.

A call whose addresses were seen before is replayed as a CUDA graph: one launch in place of many.

Start at `compile_for_device`.  Not here: simplification and caching of programs, which are the
caller's; kernels' text (codegen/cuda), and what libraries do (libraries/).
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit import config
from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import Argument, Launches, LibraryCall
from tapejit.codegen.cuda.loops import launches_of_loop
from tapejit.errors import KernelError, NoGpuForm
from tapejit.plan import KernelStep, LibraryStep, LoopStep, Plan, RowStep, View
from tapejit.pretty import program_text
from tapejit.registry import Kind, Operand
from tapejit.runtime.cuda import graphs
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.checking import check_results
from tapejit.runtime.cuda.copies import cast_launches, copy_launches, text_launches
from tapejit.runtime.cuda.forms.forming import Libraries, formed
from tapejit.runtime.cuda.launching import BYTES
from tapejit.runtime.cuda.libraries import calls as library
from tapejit.runtime.cuda.machine import Machine
from tapejit.runtime.cuda.statuses import Statuses
from tapejit.runtime.cuda.steps import Copy, Step, device_steps, has_kernel, operand_of, whole
from tapejit.schedule.describe import describe
from tapejit.schedule.memory import ALIGNMENT, Block, lay_out
from tapejit.schedule.planner import schedule
from tapejit.schedule.views import contiguous, is_contiguous
from tapejit.sites import here, user_site
from tapejit.tape import Program
from tapejit.verify import verify_program

__all__ = ["DeviceProgram", "compile_for_device"]

SMALL = 256
"""Bytes up to which outputs share memory: what an allocation is rounded up to."""

NUMBER = 16
"""Bytes of a CPU number in the arena: a complex128."""

STATUS = Argument("status", 0)

# ---------------------------------------------------------------- data


class Work(NamedTuple):
    """What a step comes down to."""

    calls: tuple[tuple[Callable, tuple, tuple[Argument | int, ...]], ...]
    """(function, what it is given first, arguments): function(*first, arguments), in order."""
    scratch: tuple[int, ...] = ()
    """Bytes of each scratch area."""
    is_capturable: bool = True
    """Whether a CUDA graph can replay it."""

    @property
    def has_status(self) -> bool:
        """Whether it may refuse."""
        return any(STATUS in arguments for _, _, arguments in self.calls)


class Handed(NamedTuple):
    """What a call makes the array of an output of."""

    memory: int
    """Which of its allocations."""
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# ---------------------------------------------------------------- the door


def compile_for_device(program: Program, machine: Machine) -> DeviceProgram:
    """A simplified program as kernels and library calls of one GPU.

    Errors  NoGpuForm, which is a NotImplementedError, if an operation has none
    """
    if config.settings.check >= 1:
        verify_program(program, "simplification")
    try:
        formed_program = formed(
            program,
            Libraries(
                functools.partial(library.has_blas, machine),
                functools.partial(library.has_solver, machine),
            ),
        )
        plan = schedule(formed_program, device=True)
    except KernelError as error:
        raise NoGpuForm(f"cuda: {error}") from None
    found = _Writer(program, plan, machine).write()
    if config.settings.debug >= 1:
        print(
            f"tapejit: {len(program.tape)} rows on {machine.name}: {len(plan.steps)} steps, "
            f"{found.source.count('    ') - 1} calls, {found.arena_bytes:,} bytes between them",
            file=sys.stderr,
        )
    if config.settings.debug >= 2:
        print(program_text(program), file=sys.stderr)
    if config.settings.debug >= 4:
        print(describe(plan) + found.source, file=sys.stderr)
    return found


class DeviceProgram:
    """A program on a GPU: call it with its inputs."""

    def __init__(self, writer: _Writer, source: str, handed: list[Handed], n_captured: int):
        self.program = writer.program
        self.plan = writer.plan
        self.machine = writer.machine
        self.source = source
        """The function of addresses, as text."""
        self.arena_bytes = writer.arena_bytes
        self._sizes = writer.sizes
        self._handed = handed
        self._constants = writer.constants
        self._statuses = writer.statuses
        tape = self.program.tape
        avals = [tape.kind(row).aval for row in self.program.inputs]
        self._dtypes = [aval.dtype.dtype for aval in avals]
        self._strides = [contiguous(aval.shape) for aval in avals]
        self._is_checked = config.settings.check >= 3
        self._launch = writer.scope["launch"]
        if n_captured >= graphs.FEWEST:
            self._launch = graphs.Graphs(self.machine, self._launch)

    def __call__(self, inputs: Sequence) -> list[DeviceArray]:
        """The outputs, in fresh memory; nothing is waited for.

        inputs  DeviceArrays of the program's dtypes and shapes; for 0-d ones numbers too
        """
        machine = self.machine
        memory = [machine.allocate(n) for n in self._sizes]
        arena = memory[0].address if memory else 0
        addresses, held, numbers = [], [], []
        for k, x in enumerate(inputs):
            if x.__class__ is DeviceArray:
                if x.strides != self._strides[k] and not x.is_row_major:
                    x = x.row_major()
                    held.append(x)
                addresses.append(x.address)
            else:
                addresses.append(arena + NUMBER * k)
                numbers.append(k)
        if numbers:
            machine.copy_in(arena, self._packed(inputs, numbers))
        here.site = user_site()
        self._launch(*addresses, *[one.address for one in memory])
        if self._statuses is not None:
            self._statuses.launched()
        results = [
            DeviceArray(machine, memory[k], memory[k].address + offset, dtype, shape, strides)
            for k, offset, dtype, shape, strides in self._handed
        ]
        if self._is_checked:
            check_results(self.program, inputs, results)
        return results

    def _packed(self, inputs, numbers):
        """The inputs that are numbers as bytes, each in its place."""
        packed = np.zeros(NUMBER * (numbers[-1] + 1), np.uint8)
        for k in numbers:
            number = np.array(inputs[k], self._dtypes[k])
            assert not number.ndim, (k, inputs[k])
            packed[NUMBER * k : NUMBER * k + number.nbytes] = np.frombuffer(number, np.uint8)
        return packed


# ---------------------------------------------------------------- the writer


class _Writer:
    """Writes the function of one plan."""

    def __init__(self, program: Program, plan: Plan, machine: Machine):
        self.program, self.plan, self.machine = program, plan, machine
        self.buffers, self.steps, self.outputs = device_steps(
            plan, functools.partial(library.takes, machine)
        )
        self.places: dict[int, tuple[str, int]] = {}  # of buffers: the memory's name, bytes behind
        self.constants: Any = None  # their memory
        self.statuses: Statuses | None = None
        self.scope: dict[str, Any] = {}
        self.sizes: list[int] = []  # of a call's allocations
        self.arena_bytes = 0

    def write(self) -> DeviceProgram:
        """The program."""
        works = [self.work(step) for step in self.steps]
        self.upload_constants()
        watched = [s for s, work in zip(self.steps, works, strict=True) if work.has_status]
        if watched:
            self.statuses = Statuses(self.machine, watched)
        names = [f"x{k}" for k in range(self.plan.n_inputs)]
        for buffer, record in enumerate(self.buffers):
            if record.role == "input":
                assert isinstance(record.number, int)
                self.places[buffer] = (names[record.number], 0)
        scratch = self.place_temporaries(works)
        memory = self.place_outputs()
        lines = [f"def launch({', '.join(names + memory)}):"]
        for number, work in enumerate(works):
            lines += [f"    {line}" for line in self.lines(number, work, scratch[number])]
        source = "\n".join([*lines, "    return", ""])
        exec(compile(source, "<tapejit plan>", "exec"), self.scope)
        handed = [self.handed(buffer, memory) for buffer in self.outputs]
        n_calls = sum(len(work.calls) for work in works)
        if not all(work.is_capturable for work in works):
            n_calls = 0
        return DeviceProgram(self, source, handed, n_calls)

    def handed(self, buffer: int, memory: list[str]) -> Handed:
        """How a call makes the array of an output."""
        record, (name, offset) = self.buffers[buffer], self.places[buffer]
        strides = contiguous(record.shape)
        return Handed(memory.index(name), offset, record.dtype.dtype, record.shape, strides)

    # ------------------------------------------------------------ what steps are

    def views(self, step: Step) -> tuple[View, ...]:
        """Of a step's operands, then of its result or results."""
        if isinstance(step, LibraryStep):
            return (*step.views, whole(self.buffers, step.buffer))
        return step.views

    def work(self, step: Step) -> Work:
        """A step as calls."""
        block = self.machine.block
        if isinstance(step, KernelStep | RowStep):
            return self.launched(launches_of(step, block))
        if isinstance(step, Copy):
            source = Operand(step.source.shape, step.source.strides, step.dtype)
            target = Operand(step.target.shape, step.target.strides, step.to or step.dtype)
            return self.copied(source, target)
        *sources, target = [operand_of(self.buffers, view) for view in self.views(step)]
        if isinstance(step, LoopStep):
            try:
                return self.launched(launches_of_loop(step, block))
            except NotImplementedError as error:
                raise NoGpuForm(library.no_form(step.kind, sources, self.machine)) from error
        if has_kernel(step.kind):
            return self.launched(text_launches(step.kind.op.name, sources, target, block))
        return self.called(step.kind, sources, target)

    def called(self, kind: Kind, sources: list[Operand], target: Operand) -> Work:
        """A library call, behind copies of operands that the library does not take as they lie."""
        calls, scratch, given = [], [], []
        for k, source in enumerate(sources):
            place = Argument("view", k)
            if not library.reads(kind, source):
                lying = source._replace(strides=contiguous(source.shape))
                copy = self.copied(source, lying)
                there = Argument("scratch", len(scratch))
                calls += [
                    _moved(call, {Argument("view", 0): place, Argument("view", 1): there})
                    for call in copy.calls
                ]
                scratch.append(source.dtype.itemsize * math.prod(source.shape))
                sources[k], place = lying, there
            given.append(place)
        work = self.launched(library.launches_of(self.machine, kind, sources, target))
        given.append(Argument("view", len(sources)))
        places = {Argument("view", k): place for k, place in enumerate(given)}
        for k in range(len(work.scratch)):
            places[Argument("scratch", k)] = Argument("scratch", len(scratch) + k)
        calls += [_moved(call, places) for call in work.calls]
        return Work(tuple(calls), (*scratch, *work.scratch), work.is_capturable)

    def launched(self, launches: Launches) -> Work:
        """Kernels of the machine, and calls of libraries."""
        calls, is_capturable = [], True
        for function, grid, arguments in launches.launches:
            if isinstance(function, LibraryCall):
                calls.append((function.run, (), arguments))
                is_capturable &= function.is_capturable
            else:
                calls.append((self.machine.kernel(function), (grid,), arguments))
        scratch = [BYTES[dtype] * max(n, 1) for dtype, n in launches.scratch]
        return Work(tuple(calls), tuple(scratch), is_capturable)

    def copied(self, source: Operand, target: Operand) -> Work:
        """The machine's own copy of what lies alike, or a kernel."""
        if not math.prod(target.shape):
            return Work(())
        alike = source.dtype is target.dtype and source.shape == target.shape
        if alike and all(is_contiguous(x.shape, x.strides) for x in (source, target)):
            n_bytes = math.prod(target.shape) * target.dtype.itemsize
            return Work(((self.copy, (), (Argument("view", 1), Argument("view", 0), n_bytes)),))
        launches = copy_launches if source.dtype is target.dtype else cast_launches
        return self.launched(launches(source, target, self.machine.block))

    def copy(self, arguments):
        """The machine's copy, called as kernels are."""
        self.machine.copy(*arguments)

    # ------------------------------------------------------------ memory

    def upload_constants(self):
        """One allocation with all constants, for good."""
        parts, n_bytes = [], 0
        for buffer, record in enumerate(self.buffers):
            if record.role == "constant":
                value = np.array(record.number, record.dtype.dtype, order="C")
                parts.append((buffer, n_bytes, value))
                n_bytes += -(-value.nbytes // ALIGNMENT) * ALIGNMENT
        if not parts:
            return
        packed = np.zeros(n_bytes, np.uint8)
        for _, offset, value in parts:
            packed[offset : offset + value.nbytes] = np.frombuffer(value, np.uint8)
        self.constants = self.machine.allocate(n_bytes)
        self.machine.copy_in(self.constants.address, packed)
        self.machine.synchronize()  # other threads' streams read them too
        for buffer, offset, _ in parts:
            self.places[buffer] = ("", self.constants.address + offset)

    def place_temporaries(self, works: list[Work]) -> list[list[int]]:
        """Lay out the arena; the offsets of each step's scratch areas are returned."""
        first, last, end = {}, {}, len(self.steps)
        for number, step in enumerate(self.steps):
            for view in self.views(step):
                first.setdefault(view.buffer, number)
                last[view.buffer] = number
        has_numbers = any(not self.program.tape.kind(r).aval.ndim for r in self.program.inputs)
        blocks = [Block(NUMBER * self.plan.n_inputs * has_numbers, 0, end)]  # at the beginning
        owners: list[tuple[str, int]] = [("numbers", 0)]
        for buffer, record in enumerate(self.buffers):
            if record.role in ("temporary", "library") and buffer in first:
                n_bytes = record.dtype.itemsize * math.prod(record.shape)
                blocks.append(Block(max(n_bytes, 1), first[buffer], last[buffer]))
                owners.append(("buffer", buffer))
        scratch: list[list[int]] = [[] for _ in works]
        for number, work in enumerate(works):
            blocks += [Block(max(n, 1), number, number) for n in work.scratch]
            owners += [("scratch", number)] * len(work.scratch)
        offsets, self.arena_bytes = lay_out(blocks)
        for (what, number), offset in zip(owners, offsets, strict=True):
            if what == "buffer":
                self.places[number] = ("t", offset)
            elif what == "scratch":
                scratch[number].append(offset)
        return scratch

    def place_outputs(self) -> list[str]:
        """The names of a call's allocations, in order."""
        memory, small = [], 0
        if self.arena_bytes:
            memory, self.sizes = ["t"], [self.arena_bytes]
        for buffer in self.outputs:
            record = self.buffers[buffer]
            n_bytes = record.dtype.itemsize * math.prod(record.shape)
            if n_bytes <= SMALL:
                self.places[buffer] = ("s", small)
                small += -(-n_bytes // NUMBER) * NUMBER
            else:
                name = f"o{buffer}"
                self.places[buffer] = (name, 0)
                memory.append(name)
                self.sizes.append(n_bytes)
        if any(self.places[buffer][0] == "s" for buffer in self.outputs):
            memory.append("s")
            self.sizes.append(max(small, 1))
        return memory

    # ------------------------------------------------------------ text

    def lines(self, number: int, work: Work, scratch: list[int]) -> list[str]:
        """The calls of a step."""
        lines, step = [], self.steps[number]
        for k, (function, first, arguments) in enumerate(work.calls):
            called = f"{'k' if first else 'f'}{number}"
            if len(work.calls) > 1:
                called += f"_{k}"
            self.scope[called] = function
            words = "".join(f"{self.argument(x, step, scratch)}, " for x in arguments)
            before, behind = "", ""
            if first:  # a kernel
                before, behind = f"{first[0]}, ", f", {_title(step)!r}"
            lines.append(f"{called}({before}({words[:-1]}){behind})")
        return lines

    def argument(self, argument: Argument | int, step, scratch: list[int]) -> str:
        """An address or a number, as an expression."""
        if not isinstance(argument, Argument):
            return str(int(argument))
        if argument.role == "scratch":
            return _sum("t", scratch[argument.number])
        if argument.role == "status":
            assert self.statuses is not None
            return str(self.statuses.address(step))
        assert argument.role == "view", argument
        view = self.views(step)[argument.number]
        name, offset = self.places[view.buffer]
        dtype = self.buffers[view.buffer].dtype
        if isinstance(step, Copy):
            dtype = step.to or step.dtype if argument.number else step.dtype
        return _sum(name, offset + view.offset * dtype.itemsize)


def _moved(call, places):
    """A call with other arguments in their places."""
    function, first, arguments = call
    return function, first, tuple([places.get(x, x) for x in arguments])


def _sum(name, offset):
    if not name:
        return str(offset)
    return name if not offset else f"{name} + {offset}" if offset > 0 else f"{name} - {-offset}"


def _title(step):
    """What a step is, for readers."""
    if isinstance(step, KernelStep | RowStep):
        nodes = [node for loop in step.kernel.loops for node in loop.nodes]
        last = [node.fn for node in nodes if node.fn not in ("load", "literal", "cast", "index")]
        return " ".join(dict.fromkeys(last[-4:])) or "copy"
    if isinstance(step, Copy):
        return "copy" if step.to is None else "cast"
    return step.kind.op.name
