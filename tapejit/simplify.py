"""Simplification, tape → tape: the same outputs with fewer and cheaper rows.

One walk re-emits the rows the outputs need through rewriting rules, each local and exact up to the
sign of a zero: literals are folded, multiplications by one and double negations vanish, broadcasts
move behind elementwise rows (which then work on fewer elements), composite operations become
what they are made of, and rows that say the same become one (the Builder does that).
Nothing is reassociated and nothing is multiplied by zero away: NaN and infinity stay.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np

from tapejit import dtypes
from tapejit.build import Builder, Ref
from tapejit.config import settings
from tapejit.errors import TapejitError
from tapejit.ops.arithmetic import neg, sub
from tapejit.ops.comparison import eq, ge, logical_and, lt
from tapejit.ops.copies import cast
from tapejit.ops.linear import matmul, swap
from tapejit.ops.movement import expand, iota, reshape
from tapejit.ops.reductions import sum_
from tapejit.ops.selection import where
from tapejit.pretty import program_text
from tapejit.registry import OPS, Kind
from tapejit.shapes import Aval, aval
from tapejit.tape import Program, needed_rows
from tapejit.verify import verify_program

# ---------------------------------------------------------------- the walk


def simplify(program: Program) -> Program:
    """An equivalent program whose rows are all needed, folded and primitive."""
    if settings.check >= 2:
        verify_program(program, "recording and differentiation")
    if settings.debug >= 3:
        print(f"before simplification\n{program_text(program)}", file=sys.stderr)
    tape = program.tape
    builder = Builder()
    refs: list = [None] * len(tape)  # the Ref of each row emitted so far
    for row in program.inputs:
        refs[row] = builder.input(tape.kind(row).aval)
    needed = needed_rows(tape, program.outputs)
    for row in range(len(tape)):
        if needed[row] and refs[row] is None:
            kind = tape.kind(row)
            operands = [refs[operand] for operand in tape.operands(row)]
            refs[row] = rewrite(builder, kind, operands)
    outputs = [refs[row].row for row in program.outputs]
    inputs = [refs[row].row for row in program.inputs]
    return turn_products(drop_unused(Program(builder.tape, inputs, outputs)))


def drop_unused(program: Program) -> Program:
    """The program without rows that no output needs; inputs stay."""
    tape = program.tape
    needed = needed_rows(tape, program.outputs)
    for row in program.inputs:
        needed[row] = 1
    if all(needed):
        return program
    builder = Builder()
    place = [-1] * len(tape)
    for row in range(len(tape)):
        if needed[row]:
            operands = [place[operand] for operand in tape.operands(row)]
            place[row] = builder.tape.append(tape.kind(row), operands)
    return Program(
        builder.tape, [place[r] for r in program.inputs], [place[r] for r in program.outputs]
    )


def turn_products(program: Program) -> Program:
    """Transposes of products as products of transposes, which are views: (x y)' = y' x'.

    The slope of a weight that was used transposed is such; read by columns, it costs more than the
    product.  A product that something else reads too stays.
    """
    tape, n = program.tape, len(program.tape)
    turned = [row for row in range(n) if _is_turned_product(tape, row)]
    if not turned:
        return program
    uses = Counter(program.outputs)
    for row in range(n):
        uses.update(tape.operands(row))
    alone = {row for row in turned if uses[tape.left[row]] == 1}
    builder, refs = Builder(), []
    for row in range(n):
        kind, operands = tape.kind(row), [refs[x] for x in tape.operands(row)]
        if row in alone:
            x, y = (refs[i] for i in tape.operands(tape.left[row]))
            refs.append(matmul(_swapped(y), _swapped(x)))
        else:
            refs.append(
                Ref(builder, builder.tape.append(kind, [x.row for x in operands]), kind.aval)
            )
    inputs, outputs = [refs[i].row for i in program.inputs], [refs[i].row for i in program.outputs]
    return drop_unused(Program(builder.tape, inputs, outputs))


def _is_turned_product(tape, row):
    """Whether a row exchanges the last two axes of a product of matrices."""
    kind = tape.kind(row)
    if kind.op.name != "permute" or tape.kind(tape.left[row]).op.name != "matmul":
        return False
    x, y = (tape.kind(i).aval for i in tape.operands(tape.left[row]))
    n = kind.aval.ndim
    return min(x.ndim, y.ndim) > 1 and kind.attrs[0] == (*range(n - 2), n - 1, n - 2)


def _swapped(x):
    """The last two axes of a Ref exchanged; a Ref that is such a view is seen through."""
    kind = x.builder.tape.kind(x.row)
    n = x.ndim
    if kind.op.name == "permute" and kind.attrs[0] == (*range(n - 2), n - 1, n - 2):
        return x.builder.ref(x.builder.tape.left[x.row])
    return swap(x)


def rewrite(builder: Builder, kind: Kind, operands: list) -> Ref:
    """One row emitted anew, by the first rule that applies."""
    op = kind.op
    if op.family == "literal":
        return builder.literal(kind.attrs[0], kind.aval)
    if op.decompose is not None:
        before = len(builder.tape)
        composed = op.decompose(*operands, **kind.attributes())
        return _resimplify(builder, before, composed)
    rule = RULES.get(op.name)
    if rule is not None:
        result = rule(kind, operands)
        if result is not None:
            return result
    if op.family == "elementwise":
        return _elementwise(builder, kind, operands)
    return Ref(builder, builder.add(kind, tuple(x.row for x in operands)), kind.aval)


def _resimplify(builder, before, composed):
    """Rewrite the rows a decomposition emitted (they may fold or decompose further)."""
    if composed.row < before:
        return composed
    tape, fresh = builder.tape, {}
    for row in range(before, composed.row + 1):
        operands = [fresh.get(x) or builder.ref(x) for x in tape.operands(row)]
        fresh[row] = rewrite(builder, tape.kind(row), operands)
    return fresh[composed.row]


# ---------------------------------------------------------------- elementwise rows


def literal_of(ref: Ref):
    """The number a literal Ref is filled with, else None."""
    kind = ref.builder.tape.kind(ref.row)
    return kind.attrs[0] if kind.op.name == "literal" else None


def _elementwise(builder, kind, operands):
    """Fold literals; take broadcasts off the operands, put one on the result if need be."""
    numbers = [literal_of(x) for x in operands]
    if None not in numbers:
        folded = _fold(kind, operands, numbers)
        if folded is not None:
            return builder.literal(folded, kind.aval)
    bare = [_unexpanded(x) for x in operands]
    rule = IDENTITIES.get(kind.op.name)
    if rule is not None:
        result = rule(bare, numbers)
        if result is not None:
            return _expanded(result, kind.aval)
    if kind.op.expression is None:
        return Ref(builder, builder.add(kind, tuple(x.row for x in operands)), kind.aval)
    return _expanded(builder.emit(kind.op, bare, kind.attrs), kind.aval)


def _unexpanded(x):
    """What an expanded Ref is a broadcast of; a literal becomes a 0-d one."""
    tape = x.builder.tape
    kind = tape.kind(x.row)
    if kind.op.name == "expand":
        return x.builder.ref(tape.left[x.row])
    if kind.op.name == "literal" and kind.aval.ndim:
        return x.builder.literal(kind.attrs[0], aval((), kind.aval.dtype))
    return x


def _expanded(x, target: Aval):
    if x.shape == target.shape:
        return x
    number = literal_of(x)
    if number is not None:
        return x.builder.literal(number, target)
    return expand(x, shape=target.shape)


def _fold(kind, operands, numbers):
    """The value of an elementwise row of literals, computed by the reference."""
    scalars = [x.dtype.dtype.type(n) for x, n in zip(operands, numbers, strict=True)]
    try:
        with np.errstate(all="ignore"):
            return kind.op.evaluate(*scalars, **kind.attributes()).item()
    except (TapejitError, ArithmeticError, AttributeError):
        return None


# A rule of IDENTITIES gets the operands without their broadcasts and the numbers of literals.


def _add(x, n):
    if n[0] == 0:
        return x[1]
    if n[1] == 0:
        return x[0]
    (kind0, under0), (kind1, under1) = (_negated(x[0]), _negated(x[1]))
    if kind1:
        return sub(x[0], under1)
    if kind0:
        return sub(x[1], under0)
    return None


def _negated(x):
    tape = x.builder.tape
    if tape.kind(x.row).op.name == "neg":
        return True, x.builder.ref(tape.left[x.row])
    return False, x


def _sub(x, n):
    if n[1] == 0:
        return x[0]
    if n[0] == 0:
        return rewrite_neg(x[1])
    return None


def _mul(x, n):
    for one, other in ((0, 1), (1, 0)):
        if n[one] == 1:
            return x[other]
        if n[one] == -1:
            return rewrite_neg(x[other])
    return None


def rewrite_neg(x: Ref) -> Ref:
    """-x without a double negation."""
    is_negated, under = _negated(x)
    return under if is_negated else neg(x)


IDENTITIES: dict[str, Callable] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": lambda x, n: x[0] if n[1] == 1 else None,
    "neg": lambda x, n: _negated(x[0])[1] if _negated(x[0])[0] else None,
    "where": lambda x, n: None if n[0] is None else (x[1] if n[0] else x[2]),
}

# ---------------------------------------------------------------- other rows


def _movement(kind, operands):
    """A movement of equal numbers is the same number in another shape."""
    (x,) = operands
    number = literal_of(x)
    if number is not None:
        return x.builder.literal(number, kind.aval)
    if x.shape == kind.aval.shape and kind.op.name in ("reshape", "expand"):
        return x
    if kind.op.name == "reshape":
        inner = x.builder.tape.kind(x.row)
        if inner.op.name == "reshape":
            source = x.builder.ref(x.builder.tape.left[x.row])
            if source.shape == kind.aval.shape:
                return source
            return reshape(source, shape=kind.aval.shape)
    return None


def _permute(kind, operands):
    (axes,) = kind.attrs
    return operands[0] if axes == tuple(range(len(axes))) else _movement(kind, operands)


def _slice(kind, operands):
    starts, lengths, steps = kind.attrs
    if lengths == operands[0].shape and set(steps) <= {1} and not any(starts):
        return operands[0]
    return _movement(kind, operands)


def _cast(kind, operands):
    (x,) = operands
    number = literal_of(x)
    if number is not None:
        return x.builder.literal(
            kind.op.evaluate(x.dtype.dtype.type(number), *kind.attrs).item(), kind.aval
        )
    return x if x.dtype is kind.aval.dtype else None


def _sum(kind, operands):
    """Sums of nothing new: over axes of length 1, of literals, of broadcasts."""
    (x,) = operands
    axes, keepdim = kind.attrs
    count = math.prod(x.shape[a] for a in axes)
    number = literal_of(x)
    if number is not None:
        return x.builder.literal(number * count, kind.aval)
    if count == 1 and all(x.shape[a] == 1 for a in axes) and x.dtype is kind.aval.dtype:
        return x if x.shape == kind.aval.shape else reshape(x, shape=kind.aval.shape)
    return _sum_of_broadcast(kind, x, axes, keepdim)


def _sum_of_broadcast(kind, x, axes, keepdim):
    tape = x.builder.tape
    if tape.kind(x.row).op.name != "expand" or not kind.aval.dtype.is_inexact:
        return None
    source = x.builder.ref(tape.left[x.row])
    padded = (1,) * (x.ndim - source.ndim) + source.shape
    repeated = tuple(a for a in axes if padded[a] == 1 and x.shape[a] != 1)
    if not repeated:
        return None
    times = float(math.prod(x.shape[a] for a in repeated))
    smaller = source * times
    if smaller.shape != padded:
        smaller = reshape(smaller, shape=padded)
    if (rest := tuple(n if a not in repeated else 1 for a, n in enumerate(x.shape))) != padded:
        smaller = expand(smaller, shape=rest)
    return sum_(smaller, axes=axes, keepdim=keepdim)


# ---------------------------------------------------------------- one element of each row


def _is_one_of_each_row(whole, index):
    """Whether an index along the last axis picks one element of every row, in terms of loops."""
    return (
        whole.ndim == index.ndim
        and index.shape == (*whole.shape[:-1], 1)
        and whole.dtype in (dtypes.float32, dtypes.float64)
        and whole.shape[-1] < 1 << 31
    )


def _places(index, whole):
    """Where each element lies relative to the picked one, and NaN for rows without one, else 0.

    An index from the end counts so; int32, which fits twice as many lanes as int64.
    """
    n = whole.shape[-1]
    index = where(lt(index, 0), index + n, index)
    is_inside = logical_and(ge(index, 0), lt(index, n))
    narrow = cast(index, dtype="int32")
    place = cast(iota(index, shape=whole.shape, axis=whole.ndim - 1), dtype="int32")
    wrong = index.builder.literal(math.nan, aval((), whole.dtype))
    return eq(place, narrow), where(is_inside, index.builder.literal(0.0, wrong.aval), wrong)


def _gather(kind, operands):
    """One element of each computed row is a sum in the loop that computes it."""
    x, index = operands
    is_input = x.builder.tape.kind(x.row).op.family == "input"
    if is_input or kind.attrs != (x.ndim - 1,) or not _is_one_of_each_row(x.aval, index):
        return None
    is_picked, wrong = _places(index, x.aval)
    return sum_(where(is_picked, x, 0.0), axes=kind.attrs, keepdim=True) + wrong


def _scatter_add(kind, operands):
    """One element added to each row of zeros is a choice at each element."""
    x, index = operands
    if kind.attrs[1] != kind.aval.ndim - 1 or not _is_one_of_each_row(kind.aval, index):
        return None
    is_picked, wrong = _places(index, kind.aval)
    return where(is_picked, x, wrong)


def _rewritten(rule):
    """A rule whose rows are simplified in their turn."""

    def rule_and_more(kind, operands):
        builder = operands[0].builder
        before = len(builder.tape)
        result = rule(kind, operands)
        return None if result is None else _resimplify(builder, before, result)

    return rule_and_more


RULES: dict[str, Callable] = {
    "reshape": _movement,
    "expand": _movement,
    "flip": _movement,
    "permute": _permute,
    "slice": _slice,
    "cast": _cast,
    "clone": lambda kind, operands: operands[0],
    "detach": lambda kind, operands: operands[0],
    "sum": _sum,
    "gather": _rewritten(_gather),
    "scatter_add": _rewritten(_scatter_add),
}

assert set(RULES) | set(IDENTITIES) <= set(OPS)
