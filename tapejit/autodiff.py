"""Derivatives, tape → tape: `reverse` appends a reverse sweep, `forward` a tangent sweep.

Both read the rules in the registry and write rows through the same Builder that every tape is
built with, so the result can be differentiated again, simplified, compiled, or replayed row by
row.  The rows of the given tape keep their numbers; the sweep comes after them.  What the sweep
reads of the primal rows is exactly what must be saved.

Complex rows: a slope is conjugated for cotangents and taken as it is for tangents, and what reaches
a real row is the real part (`fit`); see `registry` for the convention.

Zero times infinity: the cotangent of the branch of a `where` that was not taken is carried as
(value, mask) through elementwise rows, and the mask selects *after* the local slope, so 0 · inf
never appears.  Source of the policy: Dr.Jit's `mul_accum`; JAX's "double where" is not needed.

Calls of functions with a rule of the user's: a sweep is told which go by their rule (`calls`), and
emits rows that stand for running it; other calls are what their body computed.  A sweep that is
told nothing of a call refuses it: it would follow the body, which the user has replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tapejit import registry
from tapejit.bounded import Bounded
from tapejit.build import Builder, Ref
from tapejit.errors import NotDifferentiable
from tapejit.ops.comparison import logical_and, logical_not
from tapejit.ops.complexes import conjugate, real
from tapejit.ops.copies import cast, to_device
from tapejit.ops.movement import expand
from tapejit.ops.reductions import sum_
from tapejit.ops.selection import where
from tapejit.registry import OPS, Kind, Refused
from tapejit.shapes import Aval
from tapejit.tape import Tape, dependent_rows, needed_rows

# ---------------------------------------------------------------- data


NO_CALLS: Mapping[int, bool] = {}


class Sweep(NamedTuple):
    """A tape with a derivative sweep behind its primal rows."""

    tape: Tape
    n_primal: int
    """Rows below this are the primal ones, unchanged."""
    seeds: tuple[int, ...]
    """Input rows of the sweep: one cotangent per output, or one tangent per input."""
    results: tuple[int, ...]
    """reverse: the cotangent row of each wanted row; forward: the tangent row of each output;
    -1 where it is zero."""


class Cotangent(NamedTuple):
    """A cotangent, to be read as `where(mask, value, 0)` if there is a mask."""

    value: Ref
    mask: Ref | None

    def plain(self) -> Any:
        """The cotangent as one row (a Ref; its operators come from the register)."""
        return self.value if self.mask is None else where(self.mask, self.value, 0.0)


_WHERE, _CALL = OPS["where"], OPS["call"]

# ---------------------------------------------------------------- reverse mode


def reverse(
    tape: Tape,
    outputs: Sequence[int],
    wanted: Sequence[int],
    *,
    unit_seed: bool = False,
    watch: Sequence[int] = (),
    calls: Mapping[int, bool] = NO_CALLS,
    reuse: bool = True,
    seeds: Sequence[int] | None = None,
) -> Sweep:
    """The tape and, behind it, the reverse sweep from `outputs` to the rows `wanted`.

    unit_seed  the cotangent of every output is 1, as `backward()` of a scalar has it; else each
               is an input row
    reuse      whether the sweep may read any primal row that has what it needs; else only those
               that a rule names (`rule_reads`), which are the ones that eager tensors save
    watch      rows whose cotangent passes through a `host` row, where a user's hook is called
    calls      first row of a call -> whether it goes by its rule, or is what its body computed
    seeds      rows of the tape, behind the outputs, that are their cotangents
    """
    return _Reverse(tape, outputs, wanted, watch, calls, reuse).run(unit_seed, seeds)


class _Reverse:
    def __init__(self, tape, outputs, wanted, watch, calls, reuse):
        self.builder = Builder(tape, reuse)
        self.outputs = outputs
        self.wanted = wanted
        self.watch = frozenset(watch)
        self.calls = calls
        self.first_of = _by_rule(tape, calls)
        self.n_primal = len(tape)
        self.end = max(outputs, default=-1) + 1
        self.active = dependent_rows(tape, wanted, self.end)
        self.cotangents: dict[int, Cotangent] = {}
        self.results: dict[int, int] = dict.fromkeys(wanted, -1)

    def run(self, unit_seed, given=None):
        seeds = self.seed(unit_seed, given)
        tape = self.builder.tape
        for row in range(self.end - 1, -1, -1):
            if row not in self.cotangents:
                continue
            if row in self.first_of:
                self.pull_call(tape, self.first_of[row])
            else:
                self.pull(tape, row, self.arrive(row))
        results = tuple([self.results[row] for row in self.wanted])
        return Sweep(tape, self.n_primal, tuple(seeds), results)

    def arrive(self, row):
        """The cotangent of a row, complete now."""
        cotangent = self.cotangents.pop(row)
        if row in self.watch:
            cotangent = Cotangent(_host(cotangent.plain(), row), None)
        if row in self.results:
            self.results[row] = cotangent.plain().row
        return cotangent

    def seed(self, unit_seed, given):
        seeds = []
        for place, row in enumerate(self.outputs):
            output = self.builder.ref(row)
            if given is not None:
                seed = self.builder.ref(given[place])
            elif unit_seed:
                seed = self.builder.literal(1, output.aval)
            else:
                seed = self.builder.input(output.aval)
                seeds.append(seed.row)
            self.deposit(row, Cotangent(seed, None))
        return seeds

    def pull(self, tape, row, cotangent):
        """Hand the cotangent of one row on to the rows it reads."""
        kind = tape.kind(row)
        op = kind.op
        operands = tape.operands(row)
        active = [operand for operand in operands if self.active[operand]]
        if not active:
            return
        inputs = [self.builder.ref(operand) for operand in operands]
        if op is _WHERE:
            self.pull_where(operands, inputs[0], cotangent)
        elif op is _CALL:
            _check_known(tape, row, self.calls)
            if self.active[operands[0]]:
                self.deposit(operands[0], cotangent)
        elif op.partials is not None:
            slopes = op.partials(*inputs, self.builder.ref(row), **kind.attributes())
            for operand, slope in zip(operands, slopes, strict=True):
                if slope is not None and self.active[operand]:
                    adjoint = conjugate(_stated(op, slope))
                    self.deposit(operand, self.product(operand, cotangent, adjoint))
        elif op.vjp is not None:
            gy, y = cotangent.plain(), self.builder.ref(row)
            parts = op.vjp(gy, *inputs, y, **kind.attributes())
            for operand, part in zip(operands, parts, strict=True):
                if part is not None and self.active[operand]:
                    self.deposit(operand, Cotangent(part, None))

    def pull_call(self, tape, first):
        """Hand the cotangents of a call's results, next to each other, to its rule."""
        _, count = tape.kind(first).attrs
        arrived = {
            row - first: self.arrive(row).plain()
            for row in range(first + count - 1, first - 1, -1)
            if row in self.cotangents
        }
        given = tuple(sorted(arrived))
        cotangents = [arrived[number] for number in given]
        for part, operand in enumerate(tape.operands(first)[1:]):
            target = self.builder.ref(operand).aval
            if self.active[operand] and target.dtype.is_inexact:
                attrs = (first, part, given, target.shape, target.dtype.name)
                pulled = self.builder.emit(OPS["pullback"], cotangents, attrs)
                self.deposit(operand, Cotangent(pulled, None))

    def product(self, operand, cotangent, slope):
        """The cotangent times a slope; a slope that is 0 everywhere gives zeros, also of inf."""
        if _is_zero(slope):
            return Cotangent(self.builder.literal(0, self.builder.ref(operand).aval), None)
        return Cotangent(_times(cotangent.value, slope), cotangent.mask)

    def pull_where(self, operands, condition, cotangent):
        _, then, other = operands
        if self.active[then]:
            self.deposit(then, _masked(cotangent, condition))
        if self.active[other]:
            self.deposit(other, _masked(cotangent, logical_not(condition)))

    def deposit(self, row, cotangent):
        """Add a cotangent to what a row has, in the row's shape and dtype."""
        target = self.builder.ref(row).aval
        if not target.dtype.is_inexact:
            return
        if cotangent.value.aval is not target:
            cotangent = Cotangent(fit(cotangent.plain(), target), None)
        known = self.cotangents.get(row)
        if known is not None:
            cotangent = Cotangent(known.plain() + cotangent.plain(), None)
        self.cotangents[row] = cotangent


def _by_rule(tape, calls):
    """Per row of the calls that go by their rule the first row of the call."""
    return {
        row: first
        for first, is_by_rule in calls.items()
        if is_by_rule
        for row in range(first, first + tape.kind(first).attrs[1])
    }


def _check_known(tape, row, calls):
    """Raise at a call of which the sweep was told nothing: following its body may be wrong."""
    number, _ = tape.kind(row).attrs
    if row - number not in calls:
        raise rules_unknown()


def rules_unknown() -> NotDifferentiable:
    """What is raised where following the body of a call would be silently wrong."""
    return NotDifferentiable(
        "a function with a rule of its own (custom_vjp, custom_jvp, autograd.Function) is called "
        "inside a function whose derivative is taken in a way that knows no rules\n"
        "  try  grad, value_and_grad, vjp, jvp, hvp, jacobian or hessian"
    )


def _stated(op, slope):
    if slope.__class__ is Refused:
        raise NotDifferentiable(f"{op.name}: {slope.reason}")
    return slope


def _is_zero(slope):
    return isinstance(slope, float) and slope == 0.0


def _times(value, slope):
    if isinstance(slope, float):
        if slope == 1.0:
            return value
        if slope == -1.0:
            return -value
    return value * slope


def _masked(cotangent, condition):
    mask = condition if cotangent.mask is None else logical_and(cotangent.mask, condition)
    return Cotangent(cotangent.value, mask)


def _host(value, row):
    return value.builder.emit(OPS["host"], (value,), (row,))


def fit(cotangent: Ref, target: Aval) -> Ref:
    """A cotangent summed over broadcast axes, expanded and cast to `target`.

    The cotangent of a real row is real: a change of it has no imaginary part to be followed.
    """
    if cotangent.dtype.is_complex and not target.dtype.is_complex:
        cotangent = real(cotangent)
    if cotangent.shape != target.shape:
        extra = cotangent.ndim - target.ndim
        if extra > 0:
            cotangent = sum_(cotangent, axes=tuple(range(extra)), keepdim=False)
        lengths = zip(cotangent.shape, target.shape[-cotangent.ndim :], strict=False)
        axes = tuple(i for i, (n, m) in enumerate(lengths) if m == 1 and n != 1)
        if axes:
            cotangent = sum_(cotangent, axes=axes, keepdim=True)
        if cotangent.shape != target.shape:
            cotangent = expand(cotangent, shape=target.shape)
    if cotangent.dtype is not target.dtype:
        cotangent = cast(cotangent, dtype=target.dtype.name)
    if cotangent.aval.device != target.device:
        cotangent = to_device(cotangent, device=target.device)
    return cotangent


# ---------------------------------------------------------------- what a rule reads

_READS: Bounded[tuple, tuple[frozenset[int], ...]] = Bounded(4096)


def rule_reads(kind: Kind, avals: tuple[Aval, ...]) -> tuple[frozenset[int], ...]:
    """What the reverse rule of a row reads: per operand, the values its cotangent depends on.

    A value is named by its position among the operands; the result is the position after them.
    Learnt by running the rule on Refs, once per kind and operand avals.
    """
    key = (kind.number, avals)
    known = _READS.get(key)
    if known is None:
        known = _trace_reads(kind, avals)
        _READS.put(key, known)
    return known


def _trace_reads(kind, avals):
    tape = Tape()
    for value in avals:
        tape.append(registry.kind(OPS["input"], (), value), ())
    n = len(avals)
    row = tape.append(kind, range(n))
    found = []
    for operand in range(n):
        try:
            sweep = reverse(tape, (row,), (operand,), reuse=False)
        except NotDifferentiable:  # said when somebody asks for it
            found.append(frozenset())
            continue
        flags = needed_rows(sweep.tape, [r for r in sweep.results if r >= 0])
        read = {
            x
            for later in range(sweep.n_primal, len(sweep.tape))
            if flags[later]
            for x in sweep.tape.operands(later)
            if x < sweep.n_primal
        }
        found.append(frozenset(read))
    return tuple(found)


# ---------------------------------------------------------------- forward mode


def forward(
    tape: Tape,
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    calls: Mapping[int, bool] = NO_CALLS,
) -> Sweep:
    """The tape and, behind it, the tangents of `outputs` for tangents of the rows `inputs`.

    calls  first row of a call -> whether it goes by its rule, or is what its body computed
    """
    builder = Builder(tape)
    first_of = _by_rule(tape, calls)
    tangents: dict[int, Ref] = {}
    seeds = []
    for row in inputs:
        tangents[row] = builder.input(builder.ref(row).aval)
        seeds.append(tangents[row].row)
    end = max(outputs, default=-1) + 1
    active = dependent_rows(tape, inputs, end)
    asked = _asked_rows(tape, outputs, first_of)
    for row in range(end):
        if active[row] and asked[row] and row not in tangents:
            if row in first_of:
                tangent = _push_call(builder, row, first_of[row], tangents)
            else:
                tangent = push(builder, row, tangents, calls)
            if tangent is not None:
                tangents[row] = tangent
    results = tuple(tangents[row].row if row in tangents else -1 for row in outputs)
    return Sweep(builder.tape, len(tape), tuple(seeds), results)


def _asked_rows(tape, outputs, first_of):
    """One flag per row whose tangent the outputs need: not those of bodies that have a rule."""
    flags = bytearray(len(tape))
    for row in outputs:
        flags[row] = 1
    for row in range(max(outputs, default=-1), -1, -1):
        if flags[row]:
            for operand in tape.operands(row)[1 if row in first_of else 0 :]:
                flags[operand] = 1
    return flags


def _push_call(builder, row, first, tangents):
    """The tangent of a call's result, as its rule gives it."""
    target = builder.tape.kind(row).aval
    arguments = builder.tape.operands(row)[1:]
    given = tuple(i for i, operand in enumerate(arguments) if operand in tangents)
    if not given:
        return None
    attrs = (first, row - first, given, target.shape, target.dtype.name)
    return builder.emit(OPS["pushforward"], [tangents[arguments[i]] for i in given], attrs)


def push(builder, row, tangents, calls=NO_CALLS):
    """The tangent of one row from those of its operands (by row); None if it is zero."""
    kind = builder.tape.kind(row)
    op, target = kind.op, kind.aval
    operands = builder.tape.operands(row)
    incoming = [tangents.get(operand) for operand in operands]
    if not target.dtype.is_inexact or all(t is None for t in incoming):
        return None
    inputs = [builder.ref(operand) for operand in operands]
    y = builder.ref(row)
    if op is _WHERE:
        then, other = (0.0 if t is None else t for t in incoming[1:])
        if isinstance(then, float) and isinstance(other, float):
            return None
        tangent = where(inputs[0], then, other)
    elif op is _CALL:
        _check_known(builder.tape, row, calls)
        tangent = incoming[0]
    elif op.partials is not None:
        tangent = None
        slopes = op.partials(*inputs, y, **kind.attributes())
        for part, slope in zip(incoming, slopes, strict=True):
            if part is not None and slope is not None and not _is_zero(slope):
                product = _times(part, _stated(op, slope))
                tangent = product if tangent is None else tangent + product
    elif op.jvp is not None:
        tangent = op.jvp(incoming, *inputs, y, **kind.attributes())
    elif op.linear:
        tangent = builder.emit(op, [incoming[0], *inputs[1:]], kind.attrs)
    elif op.vjp is None:
        tangent = None
    else:
        raise NotDifferentiable(f"{op.name} has no forward-mode rule\n  try  vjp or grad")
    return None if tangent is None else fit(tangent, target)
