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

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tapejit.codegen.threaded import ABSENT, MAX_OPERANDS, RECORD
from tapejit.config import settings
from tapejit.dtypes import DType, bool_
from tapejit.errors import KernelError
from tapejit.registry import KINDS, OPS, Kind, infer_kind
from tapejit.runtime import handlers
from tapejit.runtime.compiled import plain
from tapejit.runtime.handlers import Wanted
from tapejit.runtime.launcher import LONG, Cell, make_launcher, make_record
from tapejit.shapes import aval
from tapejit.tape import Tape, dependent_rows, needed_rows

# ---------------------------------------------------------------- data

SHORTEST = 64
"""Computed rows from which scalar programs are interpreted; below, one kernel is as quick."""

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
        rows = [output.row for output in outputs]
        self.needed = np.frombuffer(needed_rows(tape, rows), np.uint8).astype(np.bool_)
        self.needed[list(inputs)] = True
        self.wanted = wanted
        self.sort_kinds()
        self.blocks: dict[int, np.ndarray] = {}  # row that is an array -> its slots
        self.slot = np.full(len(tape), -1, np.int32)
        self.image: list[np.ndarray] = []  # the values of the first slots
        self.first = 0
        self.starts = [self.begin(row) for row in inputs]
        for row, number in constants.items():
            self.begin(row, number)
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
        if len(floats) != 1 or (dtype := next(iter(floats))).kernel not in ABSENT:
            raise KernelError(f"interpreter: slots of one float dtype, not of {list(floats)}")
        self.dtype = dtype
        self.element = dtype.dtype

    def begin(self, row, number=None) -> int:
        """Slots for an input (or a constant of this value)."""
        value = KINDS[self.kinds[row]].aval
        if value.dtype is not self.dtype and number is None:
            raise KernelError(f"interpreter: an input of {value}")
        start = self.first
        self.first += value.size
        self.image.append(np.full(value.size, 0.0 if number is None else number, self.element))
        if value.ndim:
            self.blocks[row] = np.arange(start, self.first, dtype=np.int32).reshape(value.shape)
        else:
            self.slot[row] = start
        return start

    def place_rows(self):
        """Slots of literals, then of computed rows in order; then views, which are only numbers."""
        role = np.where(self.needed, self.role[self.kinds], _NOTHING)
        role[self.slot >= 0] = _NOTHING
        role[list(self.blocks)] = _NOTHING
        for row in np.flatnonzero(role == _LITERAL).tolist():
            kind = KINDS[self.kinds[row]]
            self.begin(row, kind.attrs[0])
        others = np.flatnonzero((role == _VIEW) | (role == _SUM)).tolist()
        if (role == _REFUSED).any():
            row = int(np.flatnonzero(role == _REFUSED)[0])
            raise KernelError(f"interpreter: no handler for {KINDS[self.kinds[row]]}")
        sizes = (role == _ROW).astype(np.int32)
        for row in others:
            if role[row] == _SUM:
                sizes[row] = max(KINDS[self.kinds[self.tape.left[row]]].aval.size - 1, 0)
        ends = np.cumsum(sizes, dtype=np.int64)
        self.n_rows = int(ends[-1]) if len(ends) else 0
        if self.first > MAX_INPUT * (self.n_rows + 64) or self.first + self.n_rows >= 2**31:
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
        kind = KINDS[self.kinds[row]]
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
        kind = KINDS[self.kinds[row]]
        if kind.aval.ndim:
            self.blocks[row] = np.full(kind.aval.shape, result, np.int32)
        else:
            self.slot[row] = result

    def slots_of(self, row) -> np.ndarray:
        """The slots of a row, in its shape."""
        found = self.blocks.get(row)
        return np.asarray(self.slot[row]) if found is None else found

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


# ---------------------------------------------------------------- the program


def interpret(
    tape: Tape,
    inputs: Sequence[int],
    outputs: Sequence[Output],
    *,
    constants: Mapping[int, float] | None = None,
    root: int = -1,
) -> Callable[[Sequence], list] | None:
    """A call from input arrays to outputs, run by the interpreter; None if it cannot be.

    root  the row whose derivatives with respect to other rows are among the outputs
    """
    if not settings.jit or settings.backend != "ir":
        return None
    wanted = tuple(output.row for output in outputs if output.is_cotangent)
    try:
        ends = [*outputs, Output(root)] if wanted else outputs
        layout = Layout(tape, inputs, constants or {}, ends, wanted)
        if layout.n_rows < SHORTEST:
            return None
        return _Run(layout, outputs, root if wanted else -1).call
    except KernelError:
        return None


class _Run:
    """A layout with its machine code, ready to be called."""

    def __init__(self, layout: Layout, outputs: Sequence[Output], root: int):
        self.element, self.first = layout.element, layout.first
        self.n_slots = layout.first + layout.n_rows
        self.image = np.concatenate([np.empty(0, layout.element), *layout.image])
        self.free: list[tuple] = []
        self.root = -1 if root < 0 else int(layout.slots_of(root).item())
        self.launch = self.launcher(layout, outputs)

    def launcher(self, layout, outputs):
        """The native call, with all that it needs to live."""
        records, forward, reverse = layout.records()
        has_root = self.root >= 0
        code = handlers.fetch([*forward, *reverse] if has_root else forward)
        library = handlers.driver(layout.dtype.kernel)
        stops = [library.address("stop_forward")], [library.address("stop_reverse")]
        addresses = [address for address, _ in code]
        tables = [
            np.array([*stop, *part], np.int64)
            for stop, part in zip(
                stops, (addresses[: len(forward)], addresses[len(forward) :]), strict=True
            )
        ]
        self.scalars = [  # where a 0-d value lies, and whether it is a truth
            (i, int(layout.slots_of(output.row)), layout.is_truth[layout.kinds[output.row]])
            for i, output in enumerate(outputs)
            if not output.is_cotangent and not KINDS[layout.kinds[output.row]].aval.ndim
        ]
        arrays = [i for i in range(len(outputs)) if i not in {i for i, _, _ in self.scalars}]
        avals = [KINDS[layout.kinds[outputs[i].row]].aval for i in arrays]
        self.shapes = [value.shape for value in avals]
        if any(value.dtype is bool_ for value in avals):
            raise KernelError("interpreter: an array of truths")
        self.n_outputs, self.arrays = len(outputs), arrays
        gathers = [layout.slots_of(outputs[i].row).ravel().astype(np.int32) for i in arrays]
        last = self.root - self.first if self.root >= self.first else -1
        meta = [
            len(layout.starts), len(arrays), records[1:].ctypes.data,
            tables[0].ctypes.data, tables[1].ctypes.data, self.first, last, 3 if has_root else 1,
        ]  # fmt: skip
        for start, row in zip(layout.starts, layout.inputs, strict=True):
            meta += [start, KINDS[layout.kinds[row]].aval.size]
        for i, numbers in zip(arrays, gathers, strict=True):
            meta += [outputs[i].is_cotangent, numbers.ctypes.data, len(numbers)]
        owner = (library, code, records, tables, gathers)
        cell = Cell(0, library.address("interpret"), 0, owner)
        count = len(layout.starts) + len(arrays) + 2
        flags = LONG if layout.n_rows > RELEASE_GIL_ABOVE else 0
        return make_launcher(make_record(cell, 1, meta, (0,) * count, flags=flags))

    def arena(self):
        """Slots for one run: the values of constants are there, no adjoint is."""
        values = np.empty(self.n_slots, self.element)
        values[: self.first] = self.image
        n = self.n_slots if self.root >= 0 else 1
        return values, np.full(n, -0.0, self.element)

    def call(self, inputs):
        """The outputs for these input arrays."""
        given = [
            x if x.__class__ is np.ndarray and x.flags.num & 257 == 257 else plain(x)
            for x in inputs
        ]
        try:
            arena = self.free.pop()
        except IndexError:
            arena = self.arena()
        values, adjoints = arena
        if self.root >= 0:
            adjoints[self.root] = 1.0
        arrays = [np.empty(shape, self.element) for shape in self.shapes]
        self.launch(*given, *arrays, values, adjoints)
        results: list = [None] * self.n_outputs
        for i, slot, is_truth in self.scalars:
            value = values[slot]
            results[i] = value != 0 if is_truth else value
        for i, array in zip(self.arrays, arrays, strict=True):
            results[i] = array if array.ndim else array[()]
        if len(self.free) < ARENAS:
            self.free.append(arena)
        return results
