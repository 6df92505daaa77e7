"""Tier 1: scalar programs run by the tape interpreter, forward and reverse, without a compile.

For what kernels are bad at: thousands of operations on single numbers, each different from the
next.  LLVM needs 0.1 ms a row for those; this needs nothing but the handlers of the kinds of row
that occur, which are compiled once on a machine (codegen/threaded.py).  And it needs no recorded
derivative: the reverse sweep runs on the primal rows, with handlers made from the same rules.

`interpret` lays a tape out in *slots*, one number each: first the elements of inputs, constants
and literals, then one for every row that computes.  A view (x[i], reshape, stack, ...) is no row
at all: its registry entry, evaluated on slot numbers instead of values, says which slots it is
made of.  Layout is NumPy over the tape's columns, so its time is linear and small (0.3 us a row).

What it refuses (None): rows that are arrays other than views and whole sums, more than one float
dtype, integers, operations without a value text; and whatever a KernelError says.
Start at `interpret`.  Who decides between this and kernels is the caller (transforms/paths.py).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tapejit.codegen.threaded import ABSENT, MAX_OPERANDS, RECORD
from tapejit.config import settings
from tapejit.dtypes import DType, bool_
from tapejit.errors import KernelError
from tapejit.registry import KINDS, OPS, Kind, infer_kind
from tapejit.runtime import handlers
from tapejit.runtime.cells import Cell
from tapejit.runtime.compiled import LaunchedResult, Launches, plain
from tapejit.runtime.handlers import Wanted
from tapejit.runtime.launcher import LONG, Record, make_launcher, make_record
from tapejit.shapes import Aval, aval
from tapejit.tape import Tape, dependent_rows, needed_rows

# ---------------------------------------------------------------- data

SHORTEST = 12
"""Computed rows from which scalar programs are interpreted.  A whole call, value and gradient, and
the first one, against kernels (optimised, inlined): at 3 rows 0.73 us and 2 ms against 0.44 and 11,
at 12 rows 0.57 and 1.4 against 0.53 and 22, at 300 rows 4.2 and 12 against 3.2 and 115."""

MAX_INPUT = 16
"""Elements of inputs, at most, for every computed row: all of them are copied at each call."""

RELEASE_GIL_ABOVE = 4096
"""Rows from which a run lets other Python threads run (about 20 us)."""

ARENAS = 4
"""Sets of slots that are kept for later calls."""

_VIEWS = frozenset({"reshape", "expand", "permute", "flip", "slice", "cat", "clone"})


class Output(NamedTuple):
    """One thing to return: the value of a row, or the derivative of the root with respect to it."""

    row: int
    is_cotangent: bool = False


# ---------------------------------------------------------------- the layout


class Layout:
    """Where every row of a tape lies, and the records of those that compute.

    Errors  KernelError if the tape is not one that can be interpreted
    """

    def __init__(self, tape: Tape, inputs, constants, outputs, wanted):
        self.tape, self.inputs = tape, tuple(inputs)
        self.kinds = np.array(tape.kinds, np.int32)
        self.needed = np.frombuffer(needed_rows(tape, outputs), np.uint8).astype(np.bool_)
        self.needed[list(inputs)] = True
        self.wanted = wanted
        if any(self.tape.kind(row).op.family != "input" for row in wanted):
            raise KernelError("interpreter: the adjoint of a computed row is not kept")
        self.sort_kinds()
        self.blocks: dict[int, np.ndarray] = {}  # row that is an array -> its slots
        self.slot = np.full(len(tape), -1, np.int32)
        self.first = 0
        self.starts = self.begin(self.inputs)
        self.begin(list(constants))
        self.numbers = dict(constants)  # what slots hold from the beginning
        self.place_rows()

    def sort_kinds(self):
        """What the kinds that occur are; the one float dtype of the slots."""
        present = np.flatnonzero(np.bincount(self.kinds[self.needed], minlength=1))
        end = int(self.kinds.max(initial=0)) + 1  # numbers are never used again, so KINDS has gaps
        self.role = np.zeros(end, np.int8)
        self.is_truth = np.zeros(end, np.bool_)
        floats: dict[DType, None] = {}
        for number in present.tolist():
            kind = KINDS[number]
            self.role[number] = _role(kind)
            self.is_truth[number] = kind.aval.dtype is bool_
            if kind.aval.dtype is not bool_:
                floats[kind.aval.dtype] = None
        for row in self.inputs:
            if self.is_truth[self.kinds[row]]:
                raise KernelError("interpreter: an input of truths")
        if len(floats) != 1 or (dtype := next(iter(floats))).kernel not in ABSENT:
            raise KernelError(f"interpreter: slots of one float dtype, not of {list(floats)}")
        self.dtype = dtype
        self.element = dtype.dtype

    def begin(self, rows) -> list[int]:
        """Slots for rows that do not compute, one after the other; the first of each."""
        starts = []
        for row, number in zip(rows, self.kinds[list(rows)].tolist(), strict=True):
            value = KINDS[number].aval
            start, self.first = self.first, self.first + value.size
            starts.append(start)
            if value.ndim:
                slots = np.arange(start, self.first, dtype=np.int32)
                self.blocks[row] = slots.reshape(value.shape)
            else:
                self.slot[row] = start
        return starts

    def image(self) -> np.ndarray:
        """The first slots with the numbers that are known."""
        image = np.zeros(self.first, self.element)
        for row, number in self.numbers.items():
            image[self.slots_of(row)] = number
        return image

    def place_rows(self):
        """Slots of literals, then of computed rows in order; then views, which are only numbers."""
        role = np.where(self.needed, self.role[self.kinds], _NOTHING)
        role[self.slot >= 0] = _NOTHING
        role[list(self.blocks)] = _NOTHING
        literals = np.flatnonzero(role == _LITERAL).tolist()
        self.begin(literals)
        self.numbers |= {row: self.tape.kind(row).attrs[0] for row in literals}
        others = np.flatnonzero((role == _VIEW) | (role == _SUM)).tolist()
        if (role == _REFUSED).any():
            row = int(np.flatnonzero(role == _REFUSED)[0])
            raise KernelError(f"interpreter: no handler for {self.tape.kind(row)}")
        sizes = (role == _ROW).astype(np.int32)
        for row in others:
            if role[row] == _SUM:
                sizes[row] = max(self.tape.kind(self.tape.left[row]).aval.size - 1, 0)
        ends = np.cumsum(sizes, dtype=np.int64)
        self.n_rows = int(ends[-1]) if len(ends) else 0
        n_told = np.count_nonzero(sizes)  # a sum of a million elements is one: a kernel's work
        if self.first > MAX_INPUT * (n_told + 64) or self.first + self.n_rows >= 2**31:
            raise KernelError("interpreter: large inputs, few rows")
        computed = np.flatnonzero(role == _ROW)
        self.slot[computed] = self.first + ends[computed] - 1
        self.sums: list[tuple[int, np.ndarray]] = []
        for row in others:
            if role[row] == _VIEW:
                self.view(row)
            else:
                self.sum(row, self.first + int(ends[row]))
        self.computed = computed

    def view(self, row):
        """A row that only says where numbers lie: its operation on slot numbers."""
        kind = self.tape.kind(row)
        operands = [self.slots_of(x) for x in self.tape.operands(row)]
        found = kind.op.evaluate(*operands, **kind.attributes())
        if kind.aval.ndim:
            self.blocks[row] = np.ascontiguousarray(found, np.int32)
        else:
            self.slot[row] = int(found)

    def sum(self, row, end):
        """The sum of an array: additions from left to right, the last of them the row itself."""
        parts = self.slots_of(self.tape.left[row]).ravel()
        if not len(parts):
            raise KernelError("interpreter: a sum of nothing")
        result = end - 1 if len(parts) > 1 else int(parts[0])
        if len(parts) > 1:
            self.sums.append((end - len(parts) + 1, parts))
        kind = self.tape.kind(row)
        if kind.aval.ndim:
            self.blocks[row] = np.full(kind.aval.shape, result, np.int32)
        else:
            self.slot[row] = result

    def slots_of(self, row) -> np.ndarray:
        """The slots of a row, in its shape."""
        found = self.blocks.get(row)
        return np.asarray(self.slot[row]) if found is None else found

    def input_places(self) -> list[tuple[int, int]]:
        """The first slot and the length of each input."""
        sizes = [self.aval_of(row).size for row in self.inputs]
        return list(zip(self.starts, sizes, strict=True))

    def aval_of(self, row) -> Aval:
        return self.tape.kind(row).aval

    # ------------------------------------------------------------ records

    def records(self):
        """The rows between two that stop, and the handlers that each table names."""
        tape, rows = self.tape, self.computed
        records = np.zeros(self.n_rows + 2, RECORD)
        columns = [np.array(tape.left, np.int32)[rows], np.array(tape.right, np.int32)[rows]]
        columns.append(self.third_operands(rows))
        truths, actives = self.is_truth[self.kinds], self.active_rows()
        places = self.slot[rows] - self.first + 1
        numbers = self.kinds[rows].astype(np.int64)
        truth, active = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
        for i, column in enumerate(columns):
            has = column >= 0
            records["operands"][places, i] = np.where(has, self.slot[column], 0)
            truth |= (has & truths[column]).astype(np.int64) << i
            active |= (has & actives[column] & actives[rows]).astype(np.int64) << i
        numbers = (numbers * 8 + truth) * 8 + active
        known, codes = np.unique(numbers, return_inverse=True)
        found = [self.handlers_of(int(n) // 64, int(n) // 8 % 8, int(n) % 8) for n in known]
        codes = codes + 1
        records["forward"][places] = records["reverse"][places] = codes
        for start, parts in self.sums:
            self.add_up(records, start - self.first + 1, start, parts, found)
        if len(found) > 0xFFFE:
            raise KernelError(f"interpreter: {len(found)} kinds of row")
        return records, [f for f, _ in found], [r for _, r in found]

    def third_operands(self, rows):
        column = np.full(len(self.tape), -1, np.int32)
        for row, operands in self.tape.more.items():
            if len(operands) > MAX_OPERANDS and self.role[self.kinds[row]] == _ROW:
                raise KernelError(f"interpreter: {len(operands)} operands")
            column[row] = operands[2]
        return column[rows]

    def active_rows(self):
        if not self.wanted:
            return np.zeros(len(self.tape), np.bool_)
        flags = dependent_rows(self.tape, self.wanted, len(self.tape))
        return np.frombuffer(flags, np.uint8).astype(np.bool_)

    def handlers_of(self, number, truth, active):
        kind = KINDS[number]
        n = _arity(kind)
        avals = tuple(_TRUTH if truth >> i & 1 else aval((), self.dtype) for i in range(n))
        wanted = tuple(i for i in range(n) if active >> i & 1)
        dtype = self.dtype.kernel
        return Wanted(kind, avals, None, dtype), Wanted(kind, avals, wanted, dtype)

    def add_up(self, records, place, start, parts, found):
        """The additions of one sum."""
        number = aval((), self.dtype)
        kind = infer_kind(OPS["add"], (number, number), ())
        pair = self.handlers_of(kind.number, 0, 3 if self.wanted else 0)
        if pair not in found:
            found.append(pair)
        part = records[place : place + len(parts) - 1]
        part["forward"] = part["reverse"] = found.index(pair) + 1
        part["operands"][:, 0] = np.arange(start - 1, start + len(parts) - 2)
        part["operands"][0, 0] = parts[0]
        part["operands"][:, 1] = parts[1:]


_NOTHING, _REFUSED, _LITERAL, _VIEW, _SUM, _ROW = range(6)
_TRUTH = aval((), bool_)


def _role(kind: Kind) -> int:
    name, value = kind.op.name, kind.aval
    if name == "literal":
        return _LITERAL
    if name == "input":
        return _REFUSED  # those that are known have their slots already
    if name in _VIEWS and (value.ndim or name != "clone"):
        return _VIEW
    if name == "sum" and value.size == 1 and value.dtype.is_floating_point:
        return _SUM
    if value.ndim == 0 and (kind.op.family == "elementwise" or name in ("cast", "clone", "detach")):
        return _ROW
    return _REFUSED


def _arity(kind):
    expression = kind.op.expression
    return 1 if expression is None else len(expression.parameters)


# ---------------------------------------------------------------- machine code

_FORWARD, _REVERSE = 1, 2


def _record(layout: Layout, passes: int, inputs, outputs, roots: Sequence[int]) -> Record:
    """The record of a run on (*inputs, *outputs, seeds, values, adjoints), with all it needs.

    inputs   per array its first slot and length
    outputs  per array whether it is of adjoints, and its slots
    roots    the slots that seeds are added to
    """
    records, forward, reverse = layout.records()
    tables, owners = [], []
    library = handlers.driver(layout.dtype.kernel)
    for stop, bit, names in (
        ("stop_forward", _FORWARD, forward),
        ("stop_reverse", _REVERSE, reverse),
    ):
        code = handlers.fetch(names) if passes & bit else []
        addresses = [library.address(stop), *(address for address, _ in code)]
        tables.append(np.array(addresses, np.int64))
        owners.append(code)
    seeds = np.array(roots, np.int32)
    last = max(max(roots, default=0) - layout.first, -1)
    meta = [
        len(inputs), len(outputs), records[1:].ctypes.data,
        *(table.ctypes.data for table in tables), layout.first, layout.first + layout.n_rows,
        last, passes, len(roots), seeds.ctypes.data,
    ]  # fmt: skip
    for start, n in inputs:
        meta += [start, n]
    for is_adjoint, slots in outputs:
        meta += [is_adjoint, slots.ctypes.data, len(slots)]
    kept = (library, owners, records, tables, outputs, seeds)
    cell = Cell(0, library.address("interpret"), 0, kept)
    offsets = (0,) * (len(inputs) + len(outputs) + 3)
    flags = LONG if layout.n_rows > RELEASE_GIL_ABOVE else 0
    return make_record(cell, 1, meta, offsets, flags=flags)


# ---------------------------------------------------------------- a program: forward, then reverse


def interpret(
    tape: Tape,
    inputs: Sequence[int],
    outputs: Sequence[Output],
    *,
    constants: Mapping[int, float] | None = None,
    root: int = -1,
) -> _Run | None:
    """A call from input arrays to outputs, run by the interpreter; None if it cannot be.

    root  the row whose derivatives with respect to other rows are among the outputs
    """
    if not _is_on():
        return None
    wanted = tuple(output.row for output in outputs if output.is_cotangent)
    try:
        ends = [output.row for output in outputs] + [root] * bool(wanted)
        layout = Layout(tape, inputs, constants or {}, ends, wanted)
        if layout.n_rows < SHORTEST:
            return None
        begin = time.perf_counter()
        run = _Run(layout, outputs, root if wanted else -1)
    except KernelError:
        return None
    if settings.debug >= 1:
        took_ms = (time.perf_counter() - begin) * 1e3
        print(f"tapejit: {layout.n_rows} rows interpreted; {took_ms:.1f} ms", file=sys.stderr)
    return run


def _is_on():
    return settings.jit != 0 and settings.backend == "ir"


class _Run:
    """A layout with its machine code, ready to be called.

    Its memory is one array t: values, adjoints, then the cotangents that are single numbers.
    """

    def __init__(self, layout: Layout, outputs: Sequence[Output], root: int):
        self.element, self.n_slots = layout.element, layout.first + layout.n_rows
        self.free: list[np.ndarray] = []
        self.image, self.seeds = layout.image(), np.ones(1, layout.element)
        self.results: list[tuple] = []  # name, index in it, shape, whether a truth
        self.shapes: dict[str, tuple] = {}  # of arrays that are handed out
        gathers, singles = [], []
        for i, output in enumerate(outputs):
            value, slots = layout.aval_of(output.row), layout.slots_of(output.row)
            is_truth = value.dtype is bool_
            if value.ndim:
                if is_truth:
                    raise KernelError("interpreter: an array of truths")
                self.shapes[f"o{i}"] = value.shape
                gathers.append((output.is_cotangent, np.array(slots.ravel(), np.int32)))
                self.results.append((f"o{i}", 0, value.shape, False))
            elif output.is_cotangent:
                self.results.append(("t", 2 * self.n_slots + len(singles), (), False))
                singles.append(int(slots))
            else:
                self.results.append(("t", int(slots), (), is_truth))
        gathers.append((True, np.array(singles, np.int32)))
        self.n_arena = 2 * self.n_slots + len(singles)
        roots = [int(layout.slots_of(root))] if root >= 0 else []
        places = layout.input_places()
        self.n_inputs = len(places)
        passes = _FORWARD | _REVERSE if roots else _FORWARD
        image = (0, len(self.image))  # it covers the inputs' slots too, so it comes first
        self.record = _record(layout, passes, [image, *places], gathers, roots)
        self.launch = make_launcher(self.record)

    def launches(self) -> Launches:
        """The same for who can run it without Python."""
        size = self.element.itemsize
        names = ["image", *(f"x{i}" for i in range(self.n_inputs)), *self.shapes]
        operands = [(name, 0) for name in names]
        operands += [("t", 2 * self.n_slots * size), ("seeds", 0), ("t", 0)]
        operands.append(("t", self.n_slots * size))
        return Launches(
            self.n_arena * size,
            {"image": self.image, "seeds": self.seeds},
            {name: (self.element, shape) for name, shape in self.shapes.items()},
            [(self.record, operands)],
            [
                LaunchedResult(name, index * size, self.element, shape, name != "t")
                for name, index, shape, _ in self.results
            ],
        )

    def call(self, inputs):
        """The outputs for these input arrays."""
        given = [
            x if x.__class__ is np.ndarray and x.flags.num & 257 == 257 else plain(x)
            for x in inputs
        ]
        try:
            t = self.free.pop()
        except IndexError:
            t = np.empty(self.n_arena, self.element)
        n = self.n_slots
        fresh = {name: np.empty(shape, self.element) for name, shape in self.shapes.items()}
        self.launch(self.image, *given, *fresh.values(), t[2 * n :], self.seeds, t, t[n:])
        results: list = []
        for name, index, _, is_truth in self.results:
            value = t[index] if name == "t" else fresh[name]
            results.append(value != 0 if is_truth else value)
        if len(self.free) < ARENAS:
            self.free.append(t)
        return results


# ---------------------------------------------------------------- a sweep over values at hand


class Sweep:
    """The reverse sweep over an eager recording: its values are known, nothing is recorded."""

    def __init__(self, tape: Tape, roots: Sequence[int], wanted: Sequence[int]):
        self.slice = needed_rows(tape, roots)
        self.covers_all = all(self.slice)
        self.n_primal = len(tape)
        begin = [row for row in _input_rows(tape) if self.slice[row]]
        layout = Layout(tape, begin, {}, [*roots, *wanted], wanted)
        if layout.n_rows < SHORTEST:
            raise KernelError("interpreter: a short program")
        self.element, self.n_slots = layout.element, layout.first + layout.n_rows
        places = list(zip(begin, layout.input_places(), strict=True))
        self.arrays = [
            (row, slice(start, start + n)) for row, (start, n) in places if layout.aval_of(row).ndim
        ]
        scalars = [(row, start) for row, (start, _) in places if not layout.aval_of(row).ndim]
        self.known = [row for row, _ in scalars] + layout.computed.tolist()
        self.places = np.array([start for _, start in scalars], np.int32)
        self.places = np.concatenate([self.places, layout.slot[layout.computed]])
        avals = [layout.aval_of(row) for row in (*roots, *wanted)]
        if any(value.ndim for value in avals[: len(roots)]):
            raise KernelError("interpreter: a root that is an array")
        self.roots = [int(layout.slots_of(row)) for row in roots]
        self.shapes = [value.shape for value in avals[len(roots) :]]
        slots = [np.array(layout.slots_of(row).ravel(), np.int32) for row in wanted]
        self.wanted = tuple(wanted)
        outputs = [(True, part) for part in slots]
        self.launch = make_launcher(_record(layout, _REVERSE, [], outputs, self.roots))

    def __call__(self, known: list, seeds: Sequence) -> list:
        """The cotangents of the wanted rows, None where nothing depends, from values by row."""
        values = np.empty(self.n_slots, self.element)
        for row, part in self.arrays:
            values[part] = np.ravel(known[row])
        values[self.places] = np.array([known[row] for row in self.known], self.element)
        adjoints = np.empty(self.n_slots, self.element)
        arrays = [np.empty(shape, self.element) for shape in self.shapes]
        self.launch(*arrays, np.array(seeds, self.element), values, adjoints)
        return [
            (x if x.ndim else x[()]) if self.slice[row] else None
            for row, x in zip(self.wanted, arrays, strict=True)
        ]


def _input_rows(tape):
    kinds = np.array(tape.kinds, np.int32)
    is_input = np.zeros(int(kinds.max(initial=0)) + 1, np.bool_)
    for number in np.flatnonzero(np.bincount(kinds)).tolist():
        is_input[number] = KINDS[number].op.family == "input"
    return np.flatnonzero(is_input[kinds]).tolist()


def sweep(tape: Tape, roots: Sequence[int], wanted: Sequence[int]) -> Sweep | None:
    """The reverse sweep from `roots` to `wanted` over a recording; None if it cannot be run."""
    if not _is_on():
        return None
    try:
        return Sweep(tape, roots, wanted)
    except KernelError:
        return None
