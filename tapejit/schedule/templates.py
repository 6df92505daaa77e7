"""What a row is inside a kernel: its value text as nodes with dtypes.

`template(kind, dtypes)` gives the nodes of an elementwise row for operands of those dtypes, or
None where kernels cannot say it: a dtype they do not take, a function that has no integer form.
Such rows run in the library.  Templates are made once per process and kept.

Numbers in a value text take the dtype of the operands; operands of logic are brought to bool.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tapejit import expressions
from tapejit.dtypes import DType
from tapejit.plan import LINKED
from tapejit.registry import Kind

# ---------------------------------------------------------------- data


class Template(NamedTuple):
    """Nodes over the operands: step k is value number (operands + k)."""

    steps: tuple[tuple, ...]
    """(fn, dtype, value numbers); for "literal" (fn, dtype, (number,), its repr)."""
    result: int
    weight: int
    """Roughly how many additions it costs."""


_FLOATS = ("f64", "f32")
_ARITHMETIC_ON_BOOL = {"add": "or", "mul": "and"}
_WEIGHTS = dict.fromkeys([*expressions.MATH, *expressions.DIVISIONS], 8)
_WEIGHTS |= {"div": 3, "sqrt": 4, "literal": 0}
_COMPARE = frozenset(["lt", "le", "gt", "ge", "eq", "ne"])
_ON_INTEGERS = _COMPARE | {"add", "sub", "mul", "neg", "abs", "select", *expressions.DIVISIONS}
_ON_INTEGERS |= {"floor", "ceil", "trunc", "round"}
_ON_BOOLS = _COMPARE | {"and", "or", "not", "select"}
_TEMPLATES: dict[tuple, Template | None] = {}
_LINKED_WEIGHT = 1000
"""Of a function of the user's own, which may run for long: computed once, and stored."""
_DRAWN_WEIGHTS = {"random_uniform": 1, "random_hits": 1}
_DRAWN_WEIGHT = 8
"""Of random numbers, on GPUs, which do some fifty operations while they load a number: a mask is
drawn again where a derivative needs it, and takes no memory; others are stored."""

# ---------------------------------------------------------------- operations


def template(kind: Kind, dtypes: tuple[DType, ...]) -> Template | None:
    """The nodes of an elementwise or cast row, or None where kernels cannot say it."""
    if kind.op.name == "linked":
        return _linked(kind, dtypes)
    key = (kind.op.code, kind.aval.dtype, dtypes)
    try:
        return _TEMPLATES[key]
    except KeyError:
        found = _TEMPLATES[key] = _make(kind, [dtype.kernel for dtype in dtypes])
        return found


def _make(kind, given):
    wanted = kind.aval.dtype.kernel
    if wanted is None or None in given:
        return None
    if kind.op.name == "cast":
        return _cast(given[0], wanted)
    if kind.op.family == "random":
        return _drawn(kind, given, wanted)
    if kind.op.name == "clone":
        return Template((), 0, 0)
    if kind.op.expression is None or kind.op.decompose is not None:
        return None
    return _Instance(kind, given, wanted).make()


def weight_of(fn: str) -> int:
    """Roughly how many additions a function of a node costs."""
    return _LINKED_WEIGHT if fn.startswith(LINKED) else _WEIGHTS.get(fn, 1)


def _linked(kind, given):
    """The one node that calls a user's function, if kernels can call it."""
    dtype = kind.aval.dtype
    if dtype.kernel not in _FLOATS or any(operand is not dtype for operand in given):
        return None
    fn = kind.attrs[0].node(dtype.kernel)
    if fn is None:
        return None
    operands = tuple(range(len(given)))
    return Template(((fn, dtype.kernel, operands),), len(given), _LINKED_WEIGHT)


def _drawn(kind, given, wanted):
    """The one node of random numbers, whose second operand is an element's place."""
    name, n = kind.op.name, len(given)
    if given[0] != "i64" or given[-1] not in ("i64", *_FLOATS):
        return None
    node = (name, wanted, tuple(range(n + 1)))
    return Template((node,), n + 1, _DRAWN_WEIGHTS.get(name, _DRAWN_WEIGHT))


def _cast(given, wanted):
    if given == wanted:
        return Template((), 0, 0)
    return Template((("cast", wanted, (0,)),), 1, 1)


class _Instance:
    """One expression at one dtype."""

    def __init__(self, kind, given, wanted):
        self.expression, self.rule, self.wanted = kind.op.expression, kind.op.rule, wanted
        self.types = list(given)
        self.steps = []
        self.place = list(range(len(given)))

    def emit(self, fn, dtype, *operands):
        self.steps.append((fn, dtype, operands))
        self.types.append(dtype)
        return len(self.types) - 1

    def make(self):
        if len(self.types) != len(self.expression.parameters):
            return None
        self.bring_operands_together()
        compute = self.types[self.place[-1]]
        if any(self.types[p] != compute for p in self.place[self.rule == "where" :]):
            return None
        for fn, operands in self.expression.steps:
            if not self.step(fn, operands, compute):
                return None
        result = self.place[self.expression.result]
        if self.types[result] != self.wanted:
            return None
        weight = sum(weight_of(step[0]) for step in self.steps)
        return Template(tuple(self.steps), result, weight)

    def bring_operands_together(self):
        """Logic works on truth: 2.0 and 3.0 are both true, and so not different."""
        last = len(self.types) if self.rule == "logical" else self.rule == "where"
        for i in range(last):
            if self.types[i] != "bool":
                self.place[i] = self.emit("cast", "bool", i)

    def step(self, fn, operands, compute):
        """Add one step of the expression; False if it has no form at this dtype."""
        if fn == "literal":
            return self.literal(operands[0], compute)
        numbers = [self.place[i] for i in operands]
        dtype = self.types[numbers[-1]]
        if dtype == "bool" and fn in _ARITHMETIC_ON_BOOL:
            fn = _ARITHMETIC_ON_BOOL[fn]
        if dtype not in _FLOATS and fn not in (_ON_BOOLS if dtype == "bool" else _ON_INTEGERS):
            return False
        if fn == "select" and self.types[numbers[1]] != dtype:
            return False
        if fn in expressions.PREDICATES:
            dtype = "bool"
        self.place.append(self.emit(fn, dtype, *numbers))
        return True

    def literal(self, number, compute):
        if compute == "bool" or (compute not in _FLOATS and not _is_whole(number)):
            return False
        number = float(number) if compute in _FLOATS else int(number)
        self.steps.append(("literal", compute, (number,), repr(number)))
        self.types.append(compute)
        self.place.append(len(self.types) - 1)
        return True


def _is_whole(number):
    return math.isfinite(number) and number == int(number)
