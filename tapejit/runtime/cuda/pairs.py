"""Complex numbers on a GPU: two real ones, so that loop kernels, which know no others, do the work.

`paired` rewrites a program.  A complex row is known as its parts, as one array, or both:

    parts   what is computed element by element, added up, or already taken apart
    joined  inputs, outputs, operands of matrix products, and what is only moved

Parts are taken from an array and joined again by copies (steps.py), at the ends of what is computed
between; there everything is real, and fuses.  What has no rule here stays as it was, and has no
form.  Sources: Smith 1962 (division); Kahan 1987, Branch cuts (square root).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tapejit.build import Builder, Ref
from tapejit.dtypes import named
from tapejit.registry import OPS, Kind
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
        """Whether the parts are at hand."""
        return self._parts is not None

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
            if x.dtype.is_complex:
                self._parts = OPS["real"](x), OPS["imag"](x)
            else:
                self._parts = x, x.builder.literal(0, aval((), x.dtype, x.aval.device))
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
    given = [x for x in operands if x.is_apart or x.joined.dtype.is_complex]
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
        refs = [
            x.parts[k] if x.is_apart or x.joined.dtype.is_complex else x.joined for x in operands
        ]
        found.append(kind.op(*refs, **kind.attributes()))
    return Value(None, (found[0], found[1]))


LOOPS = {
    "sum", "cumsum", "index", "index_add", "index_put", "index_last", "gather", "scatter_add",
    "unstrided",
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


def _mul(p, q):
    (a, b), (c, d) = p, q
    return a * c - b * d, a * d + b * c


def _div(p, q):
    """Scaled by the larger part of the divisor."""
    (a, b), (c, d) = p, q
    is_wide = OPS["abs"](c) >= OPS["abs"](d)
    large, small = OPS["where"](is_wide, c, d), OPS["where"](is_wide, d, c)
    ratio = small / large
    scale = large + small * ratio
    wide = ((a + b * ratio) / scale, (b - a * ratio) / scale)
    tall = ((a * ratio + b) / scale, (b * ratio - a) / scale)
    return tuple([OPS["where"](is_wide, x, y) for x, y in zip(wide, tall, strict=True)])


def _one(x):
    return x.builder.literal(1, aval((), x.dtype, x.aval.device))


def _reciprocal(p):
    return _div((_one(p[0]), 0.0 * _one(p[0])), p)


def _exp(p):
    a, b = p
    size = OPS["exp"](a)
    return size * OPS["cos"](b), OPS["where"](OPS["eq"](b, 0.0), b, size * OPS["sin"](b))


def _log(p):
    a, b = p
    return OPS["log"](OPS["hypot"](a, b)), OPS["atan2"](b, a)


def _sqrt(p):
    """The root of the size and the real part, without cancellation."""
    a, b = p
    root = OPS["sqrt"](0.5 * (OPS["hypot"](a, b) + OPS["abs"](a)))
    other = OPS["where"](OPS["eq"](root, 0.0), 0.0 * b, 0.5 * b / root)
    is_right = a >= 0.0
    turned = OPS["copysign"](root, b)
    return OPS["where"](is_right, root, OPS["abs"](other)), OPS["where"](is_right, other, turned)


def _pow(p, q):
    """0 to the power of 0 is 1, to other powers 0."""
    a, b = _exp(_mul(q, _log(p)))
    of_zero = OPS["logical_and"](OPS["eq"](p[0], 0.0), OPS["eq"](p[1], 0.0))
    by_zero = OPS["logical_and"](OPS["eq"](q[0], 0.0), OPS["eq"](q[1], 0.0))
    at_zero = OPS["where"](by_zero, _one(p[0]), 0.0 * _one(p[0]))
    return OPS["where"](of_zero, at_zero, a), OPS["where"](of_zero, 0.0, b)


def _tanh(p):
    """From tanh of the one and tan of the other part: nothing overflows."""
    t, v = OPS["tanh"](p[0]), OPS["tan"](p[1])
    scale, slope = 1.0 + t * t * v * v, OPS["reciprocal"](OPS["cosh"](p[0]))
    return t * (1.0 + v * v) / scale, v * slope * slope / scale


def _tan(p):
    re, im = _tanh((-p[1], p[0]))
    return im, -re


def _sigmoid(p):
    a, b = _exp((-p[0], -p[1]))
    return _reciprocal((1.0 + a, b))


def _scaled(function: Callable, factor: float) -> Callable:
    return _rule(lambda p: tuple([factor * x for x in function(p)]))


def _some(kind, x):
    """any and all, of what is not 0."""
    is_set = OPS["logical_or"](*(OPS["ne"](part, 0.0) for part in x.parts))
    return Value(kind.op(is_set, **kind.attributes()))


def _where(kind, condition, x, y):
    parts = [OPS["where"](condition.joined, p, q) for p, q in zip(x.parts, y.parts, strict=True)]
    return Value(None, (parts[0], parts[1]))


def _cast(kind, x):
    dtype = kind.aval.dtype
    if dtype.name == "bool":
        return Value(OPS["logical_or"](*(OPS["ne"](part, 0.0) for part in x.parts)))
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


RULES: dict[str, Callable[..., Value]] = {
    "add": _rule(lambda p, q: (p[0] + q[0], p[1] + q[1])),
    "sub": _rule(lambda p, q: (p[0] - q[0], p[1] - q[1])),
    "mul": _rule(_mul),
    "div": _rule(_div),
    "neg": _rule(lambda p: (-p[0], -p[1])),
    "conj": _rule(lambda p: (p[0], -p[1])),
    "square": _rule(lambda p: (p[0] * p[0] - p[1] * p[1], 2.0 * p[0] * p[1])),
    "reciprocal": _rule(_reciprocal),
    "abs": _rule(lambda p: OPS["hypot"](*p)),
    "angle": _rule(lambda p: OPS["atan2"](p[1], p[0])),
    "exp": _rule(_exp),
    "log": _rule(_log),
    "sqrt": _rule(_sqrt),
    "rsqrt": _rule(lambda p: _reciprocal(_sqrt(p))),
    "sin": _rule(lambda p: (
        OPS["sin"](p[0]) * OPS["cosh"](p[1]), OPS["cos"](p[0]) * OPS["sinh"](p[1])
    )),
    "cos": _rule(lambda p: (
        OPS["cos"](p[0]) * OPS["cosh"](p[1]), -OPS["sin"](p[0]) * OPS["sinh"](p[1])
    )),
    "sinh": _rule(lambda p: (
        OPS["sinh"](p[0]) * OPS["cos"](p[1]), OPS["cosh"](p[0]) * OPS["sin"](p[1])
    )),
    "cosh": _rule(lambda p: (
        OPS["cosh"](p[0]) * OPS["cos"](p[1]), OPS["sinh"](p[0]) * OPS["sin"](p[1])
    )),
    "exp2": _rule(lambda p: _exp((math.log(2.0) * p[0], math.log(2.0) * p[1]))),
    "log2": _scaled(_log, 1.0 / math.log(2.0)),
    "log10": _scaled(_log, 1.0 / math.log(10.0)),
    "pow": _rule(_pow),
    "tan": _rule(_tan),
    "tanh": _rule(_tanh),
    "sigmoid": _rule(_sigmoid),
    "any": _some,
    "all": _some,
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
}  # fmt: skip
"""(kind, *operands) -> the result."""
