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
from tapejit.columns import has_seeds, without_seeds
from tapejit.config import settings
from tapejit.errors import TapejitError
from tapejit.ops.arithmetic import neg, sub
from tapejit.ops.comparison import eq, ge, logical_and, lt
from tapejit.ops.complexes import imag, real
from tapejit.ops.linear import matmul, swap
from tapejit.ops.movement import expand, iota, reshape, slice_
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
    simple = _rewritten(program)
    return _rewritten(without_seeds(simple)) if has_seeds(simple) else simple


def _rewritten(program):
    """Every row that is needed, by the rules."""
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
    simple = drop_unused(Program(builder.tape, inputs, outputs))
    return turn_products(_choose_places(simple))


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
    n, number = x.ndim, literal_of(x)
    if number is not None:
        return x.builder.literal(
            number, aval((*x.shape[:-2], *x.shape[:-3:-1]), kind.aval.dtype, kind.aval.device)
        )
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
        if result is not None and _lies_there(result, kind.aval):
            return _expanded(result, kind.aval)
    if kind.op.expression is None:
        return Ref(builder, builder.add(kind, tuple(x.row for x in operands)), kind.aval)
    made = builder.emit(kind.op, bare, kind.attrs)
    if made.aval.device != kind.aval.device:  # its place was that of a broadcast number
        return Ref(builder, builder.add(kind, tuple(x.row for x in operands)), kind.aval)
    return _expanded(made, kind.aval)


def _unexpanded(x):
    """What an expanded Ref is a broadcast of; a literal becomes a 0-d one."""
    tape = x.builder.tape
    kind = tape.kind(x.row)
    if kind.op.name == "expand":
        return x.builder.ref(tape.left[x.row])
    if kind.op.name == "literal" and kind.aval.ndim:
        return x.builder.literal(kind.attrs[0], aval((), kind.aval.dtype, kind.aval.device))
    return x


def _lies_there(x, target: Aval) -> bool:
    """Whether a value may stand for one on a GPU: the CPU's numbers would take it there."""
    return x.aval.device == target.device or literal_of(x) is not None


def _expanded(x, target: Aval):
    if x.shape == target.shape and x.aval.device == target.device:
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
    return _part_of_pairs(kind, operands[0]) or _movement(kind, operands)


def _part_of_pairs(kind, x):
    """The real or imaginary part, where one is picked from pairs: what `z.real` records."""
    tape = x.builder.tape
    starts, lengths, steps = kind.attrs
    if tape.kind(x.row).op.name != "view_as_real" or lengths[-1] != 1:
        return None
    z = x.builder.ref(tape.left[x.row])
    if lengths[:-1] != z.shape:
        z = slice_(z, starts=starts[:-1], lengths=lengths[:-1], steps=steps[:-1])
    return reshape(imag(z) if starts[-1] else real(z), shape=lengths)


def _cast(kind, operands):
    (x,) = operands
    number = literal_of(x)
    if number is not None:
        return x.builder.literal(
            kind.op.evaluate(x.dtype.dtype.type(number), *kind.attrs).item(), kind.aval
        )
    return x if x.dtype is kind.aval.dtype else None


def _iota(kind, operands):
    """Indices are placed on a tape by a number, not by rows that nothing else may need."""
    (like,) = operands
    if literal_of(like) is not None:
        return None
    number = like.builder.literal(0.0, aval((), dtypes.float64, kind.aval.device))
    return number.emit(kind.op, (number,), kind.attrs)


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
    found = _sum_of_scatter(kind, x)
    return _sum_of_broadcast(kind, x, axes, keepdim) if found is None else found


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


def _is_one_of_each_row(whole, index, axis):
    """Whether an index picks one element of every row along an axis."""
    return index.shape == (*whole.shape[:axis], 1, *whole.shape[axis + 1 :])


def _gather(kind, operands):
    """Elements of an elementwise row: only those are computed, and the row need not be stored."""
    x, index = operands
    tape, (axis,) = x.builder.tape, kind.attrs
    made = tape.kind(x.row)
    if not _is_one_of_each_row(x.aval, index, axis):
        return None
    parts = [x.builder.ref(row) for row in tape.operands(x.row)]
    if made.op.name == "expand":
        (source,) = parts
        place = axis - (x.ndim - source.ndim)
        is_same = place < 0 or source.shape[place] == 1
        return expand(source, shape=index.shape) if is_same else None
    if made.op.family != "elementwise":
        return None
    if any(part.shape not in ((), x.shape, index.shape) for part in parts):
        return None
    picked = [_picked(kind, part, index) if part.shape == x.shape else part for part in parts]
    return x.builder.emit(made.op, picked, made.attrs)


def _picked(kind, x, index):
    before = len(x.builder.tape)
    return _resimplify(x.builder, before, x.builder.emit(kind.op, (x, index), kind.attrs))


def _sum_of_scatter(kind, x):
    """What is added to rows of zeros, added up, is what it was."""
    tape = x.builder.tape
    made = tape.kind(x.row)
    if made.op.name != "scatter_add" or kind.attrs[0] != (made.attrs[1],):
        return None
    source, index = [x.builder.ref(row) for row in tape.operands(x.row)]
    if not _is_one_of_each_row(x.aval, index, made.attrs[1]) or not x.dtype.is_floating_point:
        return None
    total = source + _wrong(index, x.aval, made.attrs[1])
    return total if total.shape == kind.aval.shape else reshape(total, shape=kind.aval.shape)


def _wrong(index, whole, axis):
    """NaN for rows that have no such place, else 0: loops cannot raise, and must not be silent."""
    n, number = whole.shape[axis], index.builder.literal
    zero, nan = (number(value, aval((), whole.dtype)) for value in (0.0, math.nan))
    return where(logical_and(ge(index, -n), lt(index, n)), zero, nan)


def _choose_places(program):
    """One element added to each row of zeros is a choice at each element, which fuses.

    After all else: sums of such rows are gone by then.
    """
    tape = program.tape
    if not any(_is_choice(tape, row) for row in range(len(tape))):
        return program
    builder = Builder()
    refs: list = []
    for row in range(len(tape)):
        kind, operands = tape.kind(row), [refs[x] for x in tape.operands(row)]
        if kind.op.family == "input":
            refs.append(builder.input(kind.aval))
        elif _is_choice(tape, row):
            before = len(builder.tape)
            refs.append(_resimplify(builder, before, _choice(kind, *operands)))
        else:
            refs.append(builder.ref(builder.add(kind, tuple([x.row for x in operands]))))
    outputs, inputs = ([refs[x].row for x in rows] for rows in (program.outputs, program.inputs))
    return drop_unused(Program(builder.tape, inputs, outputs))


def _is_choice(tape, row):
    kind = tape.kind(row)
    if kind.op.name != "scatter_add" or not kind.aval.dtype.is_floating_point:
        return False
    return _is_one_of_each_row(kind.aval, tape.kind(tape.operands(row)[1]).aval, kind.attrs[1])


def _choice(kind, x, index):
    whole, (_, axis) = kind.aval, kind.attrs
    place = where(lt(index, 0), index + whole.shape[axis], index)
    places = iota(index, shape=whole.shape, axis=axis)
    return where(eq(places, place), x, _wrong(index, whole, axis))


def _conj(kind, operands):
    """The conjugate of a conjugate: derivatives of conjugated numbers are full of them."""
    (x,) = operands
    tape = x.builder.tape
    return x.builder.ref(tape.left[x.row]) if tape.kind(x.row).op is kind.op else None


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
    "conj": _conj,
    "gather": _gather,
    "iota": _iota,
    "unit_vectors": _iota,
}

assert set(RULES) | set(IDENTITIES) <= set(OPS)
