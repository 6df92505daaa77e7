"""Recording: the tape that eager operations append to, with the values beside it.

Every thread has one open Recording (`state.recording`; None while gradients are disabled).  An
operation appends one row when one of its operands is tracked.  A tensor knows its recording and
row; a recording knows tensors only where rows begin (`inputs`: leaves, data, and tensors of other
recordings).  So a recording lives as long as a tensor made on it, and no longer.

Memory.  A recording is *sealed*, and a new one opened, when a backward has freed it or when it has
grown to `ROW_LIMIT` rows; a sealed one disappears with its last tensor.  Inside one, values that
no live tensor can reach are dropped by `drop_unreachable`, run when the bytes held have doubled.
Whether a tensor is alive is read off the reference count of its value: the tensor holds it.

In-place changes.  `mutations` notes, per storage, the last row before a change and the user's
line.  A value recorded before a change and needed after it is stale, which backward refuses.
"""

from __future__ import annotations

import sys
import threading
import weakref
from itertools import count
from typing import Any

import numpy as np

from tapejit.autodiff import rule_reads
from tapejit.ops.calls import call as CALL
from tapejit.ops.movement import input_
from tapejit.registry import KINDS, Kind, kind
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.reference import run_row
from tapejit.shapes import CPU, aval
from tapejit.tape import Tape, needed_rows

# ---------------------------------------------------------------- data

ROW_LIMIT = 1 << 16
BYTES_BEFORE_SWEEP = 1 << 26
_sequence = count()
live: weakref.WeakSet[Recording] = weakref.WeakSet()


class Documented(str):
    """Why a trace must not be kept, where users were told: nobody is warned."""

    __slots__ = ()


class Recording(Tape):
    """A tape and what belongs to its rows."""

    __slots__ = (
        "__weakref__",
        "bytes",
        "calls",
        "constants",
        "device",
        "draws",
        "freed",
        "guards",
        "hooks",
        "impure",
        "inputs",
        "is_trace",
        "limit_bytes",
        "mutations",
        "names",
        "own",
        "places",
        "push_kind",
        "push_left",
        "push_right",
        "push_site",
        "reads_layout",
        "retained",
        "sequence",
        "sharers",
        "sites",
        "sources",
        "speaks_numpy",
        "stamp",
        "tampered",
        "values",
    )

    def __init__(self, is_trace: bool = False):
        super().__init__()
        self.values: list = []
        self.sites: list = []  # (code object, instruction) of the user's call, per row
        self.inputs: dict = {}  # row -> Tensor, where rows begin
        self.sources: dict = {}  # row -> where its cotangent goes: a leaf, or (recording, row)
        self.places: dict = {}  # id of such a tensor -> its row, until it changes
        self.sharers: dict = {}  # id of a storage -> such tensors in it
        self.constants: dict = {}  # (number, dtype) -> row
        self.mutations: dict = {}  # id of a storage -> (rows before the change, site, storage)
        self.hooks: dict = {}  # row -> list of functions
        self.names: dict = {}  # row -> PyTorch's name, where it differs from the operation's
        self.calls: dict = {}  # first row of a call -> its rule, and what that saved
        self.retained: dict = {}  # row -> weak reference to a tensor that keeps its gradient
        self.freed = bytearray()  # one flag per row that a backward has given back
        self.guards: list = []  # (row, value read by Python, the user's line), while tracing
        self.stamp = object()  # leaves hold this instead of the recording, which may then die
        self.tampered = False  # memory may have changed through `.data`, which leaves no note
        self.impure = ""  # why a trace must not be kept
        self.reads_layout = False  # whether a trace looked at strides
        self.draws: dict = {}  # row -> what a trace draws there at every call
        self.own: set = set()  # input rows of leaves that were made while tracing
        self.is_trace = is_trace
        self.speaks_numpy = False  # a trace of a function of arrays: methods mean NumPy's
        self.device = CPU  # of such a trace: where the arrays go that the function reads
        self.bytes = 0
        self.limit_bytes = BYTES_BEFORE_SWEEP
        self.sequence = next(_sequence)
        # bound methods of the columns, for the fast path: 15 ns less for each
        self.push_kind, self.push_left = self.kinds.append, self.left.append
        self.push_right, self.push_site = self.right.append, self.sites.append
        live.add(self)

    __hash__ = object.__hash__

    def add(self, kind: Kind, operands, value, site) -> int:
        """Append a row with its value.

        A trace leaves large values to their tensors: its program computes them anew, and memory
        that is given back at once is used again without page faults (7 ns an element).
        """
        row = self.append(kind, operands)
        self.values.append(None if self.is_trace and kind.is_large and operands else value)
        self.sites.append(site)
        if kind.is_large:
            if operands:
                self.account(kind)
            else:  # the operation it is an input of comes next: nothing reads it yet
                self.bytes += kind.aval.nbytes
        return row

    def adopt(self, tensor) -> int:
        """The row of a tensor that was not made on this recording: an input row."""
        row = self.places.get(id(tensor))
        if row is None:
            value = tensor._value
            row = self.add(kind(input_, (), tensor._aval), (), value, None)
            self.inputs[row] = tensor
            self.places[id(tensor)] = row
            self.sharers.setdefault(id(root(value)), []).append(tensor)
            if tensor._tracked:
                # fixed now: the tensor may move on in place, this row's cotangent does not
                origin = (tensor._tape, tensor._row)
                self.sources[row] = tensor if origin[0] is None else origin
        if tensor._tape is None:
            tensor._stamp = self.stamp
            tensor._row = row
        return row

    def begin(self, leaf) -> None:
        """Give a leaf that was made while tracing its row: it is none from outside."""
        if self.is_trace:
            self.own.add(self.adopt(leaf))

    def is_outer(self, row: int, tensor) -> bool:
        """Whether the tensor of an input row was there before this recording."""
        return row not in self.own and tensor._tape is not self

    def constant(self, number, dtype) -> int:
        """The input row of a Python number, one per value and dtype."""
        # repr tells 0.0 from -0.0
        plain = number and number.__class__ is not complex
        key = (number, dtype) if plain else (repr(number), dtype)
        row = self.constants.get(key)
        if row is None:
            value = dtype.dtype.type(number)
            row = self.add(kind(input_, (), aval((), dtype)), (), value, None)
            self.constants[key] = row
        return row

    def forget(self, tensor) -> None:
        """Let the next use of a leaf or of data begin a new input row (it changed)."""
        self.places.pop(id(tensor), None)
        if tensor._stamp is self.stamp:
            tensor._stamp = None

    def restore(self, rows) -> None:
        """Compute again the values of these rows that a trace did not keep."""
        values, missing, stack = self.values, set(), list(rows)
        while stack:
            row = stack.pop()
            if values[row] is None and row not in missing:
                missing.add(row)
                stack += self.operands(row)
        with np.errstate(all="ignore"):
            for row in sorted(missing):
                values[row] = run_row(self, row, values)

    # ------------------------------------------------------------ memory

    def account(self, kind: Kind) -> None:
        """Count a large value; sweep when the bytes have doubled since the last sweep."""
        self.bytes += kind.aval.nbytes
        if self.bytes > self.limit_bytes and not self.is_trace:
            self.drop_unreachable()
            self.limit_bytes = max(2 * self.bytes, BYTES_BEFORE_SWEEP)

    def drop_unreachable(self) -> None:
        """Drop the values that no backward from a live tensor reads, and inputs out of reach."""
        values = self.values
        alive = [
            row
            for row, count in enumerate(_reference_counts(values))
            if count > _LISTED_ONLY and values[row] is not None and row not in self.inputs
        ]
        alive += self.retained
        reached = self.reached_from(alive)
        self.forget_inputs([row for row in self.inputs if not reached[row]])
        for row in list(self.calls):
            _, count = self.kind(row).attrs
            if not any(reached[row : row + count]):
                del self.calls[row]
        keep = self.values_read(reached)
        for row in (*alive, *self.inputs, *self.constants.values()):
            keep[row] = 1
        held = 0
        for row, flag in enumerate(keep):
            if not flag:
                values[row] = None
            elif values[row] is not None:
                held += KINDS[self.kinds[row]].aval.nbytes
        self.bytes = held

    def reached_from(self, rows: list[int]) -> bytearray:
        """One flag per row that these depend on, or that the rule of such a call reads."""
        while True:
            reached = needed_rows(self, rows)
            more = [
                read
                for row, call in self.calls.items()
                if any(reached[row : row + self.kind(row).attrs[1]])
                for read in call.reads
                if not reached[read]
            ]
            if not more:
                return reached
            rows = [*rows, *more]

    def forget_inputs(self, rows: list[int]) -> None:
        """Let go of tensors that were read by nothing that is still alive."""
        for row in rows:
            self.sources.pop(row, None)
            tensor = self.inputs.pop(row)
            if self.places.get(id(tensor)) == row:
                self.forget(tensor)
            key = id(root(self.values[row]))
            others = [x for x in self.sharers.pop(key, ()) if x is not tensor]
            if others:
                self.sharers[key] = others

    def values_read(self, rows: bytearray, start: int = 0) -> bytearray:
        """One flag per row: 1 where a derivative rule of the flagged rows reads its value.

        start  rows below are not looked at
        """
        read = bytearray(len(self))
        for row in range(start, len(rows)):
            if rows[row]:
                for position in self.reads(row):
                    read[position] = 1
        return read

    def reads(self, row: int) -> list[int]:
        """The rows whose values the derivative rule of a row reads."""
        operands = self.operands(row)
        if not operands:
            return []
        if self.calls and KINDS[self.kinds[row]].op is CALL:
            first = row - self.kind(row).attrs[0]
            return list(self.calls[first].reads) if first in self.calls else []
        avals = tuple([KINDS[self.kinds[x]].aval for x in operands])
        places = (*operands, row)
        return [
            places[i]
            for operand, part in zip(operands, rule_reads(self.kind(row), avals), strict=True)
            if part and (self.left[operand] >= 0 or operand in self.sources)
            for i in part
        ]

    def free(self, rows: bytearray) -> None:
        """Give back what the flagged rows saved, after a backward."""
        freed, values = self.freed, self.values
        freed.extend(bytes(len(self) - len(freed)))
        for row, flag in enumerate(rows):
            if flag:
                freed[row] = 1
        self.free_calls(rows)
        left = self.left
        dropped = [row for row, flag in enumerate(rows) if flag and left[row] >= 0]
        others = bytearray([not flag for flag in freed])
        keep = self.values_read(others, min(dropped, default=len(others)))
        for row in dropped:
            if not keep[row]:
                values[row] = None

    def free_calls(self, rows: bytearray) -> None:
        """Let the rules of the flagged calls give back what they saved."""
        for row, call in self.calls.items():
            _, count = self.kind(row).attrs
            if any(rows[row : row + count]):
                call.free()

    def free_all(self) -> None:
        """Give back what every row saved, once nothing more is recorded here."""
        n = len(self)
        self.free_calls(bytearray(b"\x01" * n))
        self.freed[:] = b"\x01" * n
        constants = [(row, self.values[row]) for row in self.constants.values()]
        self.values = [None] * n
        for row, value in constants:
            self.values[row] = value
        self.inputs = {}
        self.places = {}
        self.sharers = {}
        live.discard(self)  # nothing here can become stale

    # ------------------------------------------------------------ changes in place

    def note_mutation(self, storage, site) -> None:
        """Remember that the memory of `storage` was changed now."""
        if self.values:
            if self.is_trace:
                self.restore(range(len(self.values)))  # while the operands are as they were
                self.reads_layout = True  # whether reshape made a view or a copy shows now
            self.mutations[id(storage)] = (len(self.values), site, storage)
            for tensor in self.sharers.pop(id(storage), ()):
                if id(tensor) in self.places:  # else it has been given a computed row since
                    self.forget(tensor)

    def mutation_of(self, row: int):
        """The change that made the value of `row` stale, or None."""
        value = self.values[row]
        if value is None or not self.mutations:
            return None
        change = self.mutations.get(id(root(value)))
        return change if change is not None and change[0] > row else None


def _reference_counts(values):
    return [sys.getrefcount(value) for value in values]


_LISTED_ONLY = _reference_counts([object()])[0]
"""The count of a value that only the list holds; a tensor adds one."""


def root(value):
    """The array that owns the memory of `value`."""
    if isinstance(value, DeviceArray):
        return value.base if isinstance(value.base, DeviceArray) else value
    while isinstance(value, np.ndarray):
        base = value.base
        if base is not None and not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # as_strided puts an object of its own between
        if not isinstance(base, np.ndarray):
            break
        value = base
    return value


class Unnoted:
    """Memory reached through `.data`: changes there are the user's own affair, as in PyTorch."""

    def __init__(self, array: np.ndarray | DeviceArray):
        self.array = array
        if isinstance(array, np.ndarray):
            self.__array_interface__ = array.__array_interface__

    @staticmethod
    def view(array: np.ndarray | DeviceArray) -> np.ndarray | DeviceArray:
        """An array on the same memory whose changes are not noted against `array`."""
        if isinstance(array, np.ndarray):
            return np.asarray(Unnoted(array))
        seen = array.view(array.shape, array.strides)
        seen.base = Unnoted(array)
        return seen


# ---------------------------------------------------------------- the open recording


class _State(threading.local):
    """What recording this thread appends to."""

    def __init__(self):
        self.recording: Any = Recording()  # None while gradients are off
        self.parked: Recording = self.recording  # the open one, also while gradients are off
        self.grad_enabled = True
        self.inference = False
        self.levels: list = []  # the derivatives being taken by transforms, outermost first
        self.in_rule = False  # whether a rule of the user's is running


state = _State()


def open_new() -> None:
    """Seal the open recording of this thread and begin another."""
    if state.parked.is_trace:
        return
    before, state.parked = state.parked, Recording()
    state.parked.speaks_numpy = before.speaks_numpy
    if state.grad_enabled:
        state.recording = state.parked


def seal_if_long(recording: Recording) -> None:
    """Begin a new recording when this one has grown long."""
    if len(recording.values) > ROW_LIMIT and recording is state.parked and not recording.is_trace:
        open_new()
        recording.drop_unreachable()


def note_mutation(value, site) -> None:
    """Tell every live recording that the memory of `value` changed."""
    storage = root(value)
    unnoted = isinstance(storage.base, Unnoted)
    for recording in list(live):
        recording.note_mutation(storage, site)
        if unnoted and recording.values:
            recording.tampered = True
    bump_version(storage)


# ---------------------------------------------------------------- version counters

_versions: dict[int, list] = {}


def bump_version(storage) -> None:
    """Count one change of a storage."""
    entry = _versions.get(id(storage))
    if entry is None:
        key = id(storage)
        entry = _versions[key] = [
            0,
            weakref.ref(storage, lambda _, key=key: _versions.pop(key, None)),
        ]
    entry[0] += 1


def version(value) -> int:
    """How often the storage of `value` was changed in place."""
    entry = _versions.get(id(root(value)))
    return entry[0] if entry else 0
