"""The tape: a flat list of rows, stored as a structure of arrays.

Row r is ``kinds[r]`` (a number of registry.KINDS: operation, attributes, shape and dtype) applied
to the rows ``left[r]`` and ``right[r]`` (-1: none); operations with more operands keep the tuple
in ``more[r]``.  That is 12 bytes a row.  There are no node objects and no links, and no values:
values, gradients and Python objects live outside, indexed by row.  `key` is the structure itself
as bytes, so a dictionary keyed by it compares structures and not hashes.

A `Program` is a finished tape with named ends: which rows are inputs and which are outputs.
What this file does not do: type rules (registry), recording values (tensor), derivatives.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterator, Sequence

from tapejit.registry import HOLDERS, KINDS, OPS, Kind, kind

# ---------------------------------------------------------------- data


class Tape:
    """Rows without values."""

    __slots__ = ("kinds", "left", "more", "right")

    def __init__(self):
        self.kinds = array("i")
        self.left = array("i")
        self.right = array("i")
        self.more: dict[int, tuple[int, ...]] = {}

    def __len__(self):
        return len(self.kinds)

    def append(self, kind: Kind, operands: Sequence[int]) -> int:
        """Add a row; its number is returned."""
        row = len(self.kinds)
        n = len(operands)
        self.kinds.append(kind.number)
        self.left.append(operands[0] if n else -1)
        self.right.append(operands[1] if n > 1 else -1)
        if n > 2:
            self.more[row] = tuple(operands)
        return row

    def kind(self, row: int) -> Kind:
        """Operation, attributes and abstract value of a row."""
        return KINDS[self.kinds[row]]

    def operands(self, row: int) -> tuple[int, ...]:
        """The rows that row `row` reads."""
        right = self.right[row]
        if right < 0:
            left = self.left[row]
            return (left,) if left >= 0 else ()
        if self.more:
            more = self.more.get(row)
            if more is not None:
                return more
        return (self.left[row], right)

    def key(self) -> tuple:
        """The structure as one hashable value; equal keys mean equal structure."""
        return (
            self.kinds.tobytes(),
            self.left.tobytes(),
            self.right.tobytes(),
            tuple(self.more.items()),
        )


def _numbers_on_tapes() -> Iterator[int]:
    """The Kinds on all tapes there are, which hold them by number only."""
    if gc.get_freeze_count():  # frozen objects are not listed: say that all are in use
        yield from list(KINDS)
    for thing in gc.get_objects():
        if issubclass(type(thing), Tape):  # isinstance would ask proxies for their __class__
            yield from set(thing.kinds)


HOLDERS.append(_numbers_on_tapes)


class Program:
    """A tape with its ends: input rows (in argument order) and output rows."""

    __slots__ = ("inputs", "outputs", "tape")

    def __init__(self, tape: Tape, inputs: Sequence[int], outputs: Sequence[int]):
        self.tape = tape
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    def key(self) -> tuple:
        """The structure and the ends as one hashable value."""
        return (*self.tape.key(), self.inputs, self.outputs)


# ---------------------------------------------------------------- operations


def needed_rows(tape: Tape, outputs: Sequence[int]) -> bytearray:
    """One flag per row: 1 where the outputs depend on it (they themselves included)."""
    flags = bytearray(len(tape))
    for row in outputs:
        flags[row] = 1
    left, right, more = tape.left, tape.right, tape.more
    for row in range(max(outputs, default=-1), -1, -1):
        if not flags[row] or left[row] < 0:
            continue
        flags[left[row]] = 1
        if right[row] >= 0:
            flags[right[row]] = 1
            if row in more:
                for operand in more[row]:
                    flags[operand] = 1
    return flags


def dependent_rows(tape: Tape, sources: Sequence[int], end: int) -> bytearray:
    """One flag per row below `end`: 1 where the row depends on one of `sources`."""
    flags = bytearray(end)
    for row in sources:
        if row < end:
            flags[row] = 1
    left, right, more = tape.left, tape.right, tape.more
    for row in range(end):
        x, y = left[row], right[row]
        if (
            (x >= 0 and flags[x])
            or (y >= 0 and flags[y])
            or (row in more and any(flags[operand] for operand in more[row]))
        ):
            flags[row] = 1
    return flags


def with_inputs(tape: Tape, rows: Sequence[int]) -> Tape:
    """The tape with the given rows turned into input rows."""
    result = Tape()
    result.kinds, result.left, result.right = tape.kinds[:], tape.left[:], tape.right[:]
    result.more = dict(tape.more)
    for row in rows:
        result.kinds[row] = kind(OPS["input"], (), tape.kind(row).aval).number
        result.left[row] = result.right[row] = -1
        result.more.pop(row, None)
    return result
