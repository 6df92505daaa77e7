"""Complex numbers on a GPU: two real ones, so that loop kernels, which know no others, do the work.

`paired` rewrites a program.  A complex row is known as its parts, as one array, or both:

    parts   what is computed element by element, added up, or already taken apart
    joined  inputs, outputs, operands of matrix products, and what is only moved

Parts are taken from an array and joined again by copies (steps.py), at the ends of what is computed
between; there everything is real, and fuses.  Functions of numbers are in pair_functions.py.  What
has no rule here stays as it was: loops that take complex numbers (registry.Loop), libraries' calls,
and what has no form.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tapejit.build import Builder, Ref
from tapejit.dtypes import named
from tapejit.registry import OPS, Kind
from tapejit.runtime.cuda.forms.pair_functions import FUNCTIONS
from tapejit.shapes import aval
from tapejit.tape import Program

# ---------------------------------------------------------------- data


class Value:
    """A row: as it is, or as its real and imaginary parts, or both."""

    __slots__ = ("_joined", "_parts")

    def __init__(self, joined: Ref | None, parts: tuple[Ref, Ref] | None = None):
        self._joined, self._parts = joined, parts

    @property
    def is_apart(self) -> bool:
        """Whether it is complex, and its parts are at hand."""
        return self._parts is not None

    @property
    def is_complex(self) -> bool:
        """Whether it is; a real row is never apart."""
        return self.is_apart or self.joined.dtype.is_complex

    @property
    def joined(self) -> Ref:
        """The row itself."""
        if self._joined is None:
            assert self._parts is not None
            self._joined = OPS["complex"](*self._parts)
        return self._joined

    @property
    def parts(self) -> tuple[Ref, Ref]:
        """Real and imaginary part; of a real row, itself and 0."""
        if self._parts is None:
            x = self.joined
            if not x.dtype.is_complex:
                return x, x.builder.literal(0, aval((), x.dtype, x.aval.device))
            self._parts = OPS["real"](x), OPS["imag"](x)
        return self._parts


# ---------------------------------------------------------------- the walk


def paired(program: Program) -> Program:
    """The same outputs with complex rows as pairs, where that gives them a form."""
    tape = program.tape
    if not any(tape.kind(row).aval.dtype.is_complex for row in range(len(tape))):
        return program
    builder, values = Builder(), []
    for row in range(len(tape)):
        kind, operands = tape.kind(row), [values[x] for x in tape.operands(row)]
        values.append(_paired_row(builder, kind, operands))
    inputs, outputs = (
        [values[r].joined.row for r in rows] for rows in (program.inputs, program.outputs)
    )
    return Program(builder.tape, inputs, outputs)


def _paired_row(builder: Builder, kind: Kind, operands: list[Value]) -> Value:
    """One row emitted anew."""
    name, is_complex = kind.op.name, kind.aval.dtype.is_complex
    given = [x for x in operands if x.is_complex]
    if kind.aval.size and (is_complex or given):
        if name == "literal":
            number, part = complex(kind.attrs[0]), kind.aval.dtype.to_real()
            shape = aval(kind.aval.shape, part, kind.aval.device)
            return Value(
                None, (builder.literal(number.real, shape), builder.literal(number.imag, shape))
            )
        rule = RULES.get(name)
        if rule is not None:
            return rule(kind, *operands)
        if name in LOOPS or (name in MOVES and given and all(x.is_apart for x in given)):
            return _each_part(kind, operands)
    number = builder.tape.append(kind, [x.joined.row for x in operands])
    return Value(Ref(builder, number, kind.aval))


def _each_part(kind: Kind, operands: list[Value]) -> Value:
    """What is the same for both parts; indices and conditions are real."""
    found = []
    for k in (0, 1):
        refs = [x.parts[k] if x.is_complex else x.joined for x in operands]
        found.append(kind.op(*refs, **kind.attributes()))
    return Value(None, (found[0], found[1]))


LOOPS = {
    "sum", "cumsum", "index", "index_add", "index_put", "index_last", "gather", "scatter_add",
    "unstrided", "refuse",
}  # fmt: skip
MOVES = {
    "reshape", "expand", "permute", "flip", "slice", "strided", "unslice", "cat", "replace",
    "put_strided", "clone", "detach",
}  # fmt: skip
"""Done to each part: what loops do always, moves if the parts are at hand."""

# ---------------------------------------------------------------- rules


def _rule(function: Callable) -> Callable:
    """A rule on parts: (a, b) or ((a, b), (c, d)) -> the result's parts, or a real result."""

    def rule(kind, *operands):
        found = function(*(x.parts for x in operands))
        return Value(None, found) if isinstance(found, tuple) else Value(found)

    return rule


def _truth(x: Value) -> Ref:
    """Whether elements are not 0."""
    return OPS["logical_or"](*(OPS["ne"](part, 0.0) for part in x.parts))


def _of_truths(kind, *operands):
    """What asks of each element only whether it is 0."""
    return Value(kind.op(*map(_truth, operands), **kind.attributes()))


def _where(kind, condition, x, y):
    parts = [OPS["where"](condition.joined, p, q) for p, q in zip(x.parts, y.parts, strict=True)]
    return Value(None, (parts[0], parts[1]))


def _cast(kind, x):
    dtype = kind.aval.dtype
    if dtype.name == "bool":
        return Value(_truth(x))
    to = dtype.to_real().name
    a, b = (part if part.dtype is named(to) else OPS["cast"](part, dtype=to) for part in x.parts)
    if not dtype.is_complex:
        return Value(a)
    if b.shape != a.shape:
        b = OPS["expand"](b, shape=a.shape)
    return Value(None, (a, b))


def _of_both(test: str, join: str) -> Callable:
    return _rule(lambda p: OPS[join](OPS[test](p[0]), OPS[test](p[1])))


def _complex(kind, x, y):
    part = kind.aval.dtype.to_real()
    parts = [
        v.joined if v.joined.dtype is part else OPS["cast"](v.joined, dtype=part.name)
        for v in (x, y)
    ]
    parts = [
        v if v.shape == kind.aval.shape else OPS["expand"](v, shape=kind.aval.shape) for v in parts
    ]
    return Value(None, (parts[0], parts[1]))


def _prod(kind, x):
    """Products of halves, and of their halves: as many kernels as the length has digits."""
    shape, axes = x.parts[0].shape, kind.attributes()["axes"]
    outer = tuple([axis for axis in range(len(shape)) if axis not in axes])
    kept, n = tuple([shape[axis] for axis in outer]), math.prod(shape[axis] for axis in axes)
    if not n:
        one = kind.op(x.parts[0], **kind.attributes())
        return Value(None, (one, 0.0 * one))
    turned = (OPS["permute"](part, axes=(*outer, *axes)) for part in x.parts)
    lines = tuple([OPS["reshape"](part, shape=(*kept, n)) for part in turned])
    re, im = _product_along(lines, n)
    found = [OPS["reshape"](part, shape=kind.aval.shape) for part in (re, im)]
    return Value(None, (found[0], found[1]))


def _product_along(p, n):
    """The product of the last axis' n numbers."""

    def cut(start, length):
        return tuple(_last(x, start, length) for x in p)

    left = []
    while n > 1:
        if n % 2:
            left.append(cut(n - 1, 1))
        n //= 2
        p = FUNCTIONS["mul"](cut(0, n), cut(n, n))
    for rest in left:
        p = FUNCTIONS["mul"](p, rest)
    return p


def _last(x, start, length):
    """A part of the last axis."""
    starts, lengths = (0,) * (x.ndim - 1), x.shape[:-1]
    return OPS["slice"](x, starts=(*starts, start), lengths=(*lengths, length), steps=(1,) * x.ndim)


RULES: dict[str, Callable[..., Value]] = {name: _rule(f) for name, f in FUNCTIONS.items()} | {
    "any": _of_truths,
    "all": _of_truths,
    "nonzero": _of_truths,
    "logical_and": _of_truths,
    "logical_or": _of_truths,
    "logical_xor": _of_truths,
    "logical_not": _of_truths,
    "eq": _rule(lambda p, q: OPS["logical_and"](OPS["eq"](p[0], q[0]), OPS["eq"](p[1], q[1]))),
    "ne": _rule(lambda p, q: OPS["logical_or"](OPS["ne"](p[0], q[0]), OPS["ne"](p[1], q[1]))),
    "isnan": _of_both("isnan", "logical_or"),
    "isinf": _of_both("isinf", "logical_or"),
    "isfinite": _of_both("isfinite", "logical_and"),
    "where": _where,
    "cast": _cast,
    "real": _rule(lambda p: p[0]),
    "imag": _rule(lambda p: p[1]),
    "complex": _complex,
    "prod": _prod,
    "lu_permutation": lambda kind, x: Value(kind.op(x.parts[0], **kind.attributes())),
}
"""(kind, *operands) -> the result."""
