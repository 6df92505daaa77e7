"""Building tapes without values: `Builder` and `Ref`.

Derivative rules and compiler passes write tapes through a Builder.  A `Ref` is a position on such
a tape; arithmetic on Refs emits rows, so a rule is ordinary code:

    lambda gy, x, y: gy * (1 - y * y)

Equal rows are emitted once (hash-consing): common subexpressions never exist.

Operators of Ref come from the registry's aliases (`install_operators`, called once all operations
are declared).  Numbers become literal rows, whose value is part of the structure: only rules
write literals, a user's number is always an input.
"""

from __future__ import annotations

from tapejit import dtypes
from tapejit.dtypes import DType
from tapejit.errors import DeclarationError
from tapejit.registry import KINDS, OPS, Kind, Op, infer_kind, kind
from tapejit.shapes import Aval, aval
from tapejit.tape import Tape


class Ref:
    """A row of a tape that is being built."""

    __slots__ = ("aval", "builder", "row")

    def __init__(self, builder, row, aval):
        self.builder: Builder = builder
        self.row: int = row
        self.aval: Aval = aval

    @property
    def shape(self):
        """The row's shape."""
        return self.aval.shape

    @property
    def dtype(self) -> DType:
        """The row's dtype."""
        return self.aval.dtype

    @property
    def ndim(self):
        """The number of axes."""
        return self.aval.ndim

    def emit(self, op: Op, operands, attrs: tuple = ()) -> Ref:
        """Emit a row on this Ref's tape."""
        return self.builder.emit(op, operands, attrs)

    def __repr__(self):
        return f"%{self.row}: {self.aval}"


class Builder:
    """A tape under construction, with every row known by what it is."""

    def __init__(self, tape: Tape | None = None, reuse: bool = True):
        self.tape = Tape()
        self.memo: dict[tuple, int] = {}
        if tape is not None:
            self.include(tape, reuse)

    def include(self, tape: Tape, reuse: bool = True) -> None:
        """Begin with the rows of `tape`, which keep their numbers.

        reuse  whether a new row that equals one of them is that one
        """
        mine = self.tape
        mine.kinds, mine.left, mine.right = tape.kinds[:], tape.left[:], tape.right[:]
        mine.more = dict(tape.more)
        if not reuse:
            return
        for row, key in enumerate(zip(mine.kinds, mine.left, mine.right, strict=True)):
            if row in mine.more:
                key = (key[0], *mine.more[row])
            if KINDS[key[0]].op.family != "input":
                self.memo.setdefault(key, row)

    def ref(self, row: int) -> Ref:
        """The Ref of an existing row."""
        return Ref(self, row, KINDS[self.tape.kinds[row]].aval)

    def add(self, kind: Kind, rows: tuple[int, ...]) -> int:
        """The row of this kind and these operands, emitted if it is new."""
        n = len(rows)
        if n == 2:
            key = (kind.number, rows[0], rows[1])
        elif n == 1:
            key = (kind.number, rows[0], -1)
        elif n == 0:
            key = (kind.number, -1, -1)
        else:
            key = (kind.number, *rows)
        row = self.memo.get(key)
        if row is None:
            row = self.tape.append(kind, rows)
            self.memo[key] = row
        return row

    def input(self, value: Aval) -> Ref:
        """A new input row."""
        return Ref(self, self.tape.append(kind(OPS["input"], (), value), ()), value)

    def literal(self, number, value: Aval) -> Ref:
        """An array of equal numbers, known at compile time."""
        if value.dtype.is_inexact:
            number = complex(number) if value.dtype.is_complex else float(number)
        return Ref(self, self.add(kind(OPS["literal"], (number,), value), ()), value)

    def emit(self, op: Op, operands, attrs: tuple = ()) -> Ref:
        """Emit `op` on Refs and numbers; numbers take the dtype of the Refs beside them."""
        refs = [x if x.__class__ is Ref else self.lift(x, operands) for x in operands]
        avals = tuple([x.aval for x in refs])
        found = op.kinds.get(avals + attrs)
        if found is None:
            together = _brought_together(op, refs)
            if together is not None:
                return self.emit(op, together, attrs)
            found = infer_kind(op, avals, attrs)
        return Ref(self, self.add(found, tuple([x.row for x in refs])), found.aval)

    def lift(self, number, beside) -> Ref:
        """A 0-d literal with the dtype of the first float Ref in `beside` (else the first Ref)."""
        if not isinstance(number, int | float | complex):
            raise DeclarationError(f"derivative rule: {number!r} is neither a Ref nor a number")
        refs = [x.dtype for x in beside if x.__class__ is Ref]
        dtype = next((d for d in refs if d.is_inexact), refs[0])
        if not isinstance(number, int):
            dtype = dtypes.to_float(dtype)
        if isinstance(number, complex):
            dtype = dtype.to_complex()
        return self.literal(number, aval((), dtype))


def _brought_together(op: Op, refs: list[Ref]) -> list[Ref] | None:
    """Operands where real and complex ones met, all complex; None where they did not.

    Only there do rules mix dtypes: the cotangent of abs is real, its slope complex.
    """
    first = 1 if op.rule == "where" else 0
    mixed = [x.dtype for x in refs[first:]]
    if op.rule not in ("promote", "float", "compare", "where") or len(set(mixed)) < 2:
        return None
    if not any(dtype.is_complex for dtype in mixed):
        return None
    wanted = dtypes.promote(mixed, (), ())
    cast = OPS["cast"]
    return refs[:first] + [
        x if x.dtype is wanted else x.emit(cast, (x,), (wanted.name,)) for x in refs[first:]
    ]


def install_operators() -> None:
    """Give Ref the operators that the registry's aliases name."""
    for op in list(OPS.values()):
        name = op.alias.operator
        if name:
            setattr(Ref, f"__{name}__", _operator(op))
            if op.attributes == () and op.family == "elementwise":
                setattr(Ref, f"__r{name}__", _reflected(op))


def _operator(op):
    return lambda *operands: operands[0].builder.emit(op, operands)


def _reflected(op):
    return lambda x, y: x.builder.emit(op, (y, x))
