"""Replaying a sweep: its rows as operations on tensors, which a recording records in their turn.

So a derivative can be differentiated again, and so rules of the user's run: their rows in the sweep
(`pullback`, `pushforward`) call Python, with tensors.  A rule may answer None, "no gradient"; a row
of which all cotangents are None is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.autodiff import Sweep
from tapejit.registry import OPS, Kind
from tapejit.runtime import reference
from tapejit.runtime.literals import literal_value
from tapejit.tape import needed_rows
from tapejit.tensor.calls import Call
from tapejit.tensor.core import Tensor, record, wrap
from tapejit.tensor.recording import Recording

_ADD, _HOST = OPS["add"], OPS["host"]
RULES = frozenset((OPS["pullback"], OPS["pushforward"]))


def replay(
    recording: Recording,
    sweep: Sweep,
    seeds: Sequence[Tensor],
    hook: Callable | None = None,
    needed: bytearray | None = None,
) -> list[Tensor | None]:
    """The results of a sweep over a recording; None where they are zero.

    hook    hook(row, cotangent) -> cotangent stands for `host` rows
    needed  rows that the results depend on, where that is known
    """
    if needed is None:
        needed = needed_rows(sweep.tape, [row for row in sweep.results if row >= 0])
    return _Replay(recording, sweep, seeds, hook).run(needed)


class _Replay:
    def __init__(self, recording, sweep, seeds, hook):
        self.recording = recording
        self.sweep = sweep
        self.hook = hook
        self.tensors: dict[int, Any] = dict(zip(sweep.seeds, seeds, strict=True))
        self.answers: dict[int, list] = {}

    def run(self, needed):
        tape = self.sweep.tape
        for row in range(self.sweep.n_primal, len(tape)):
            if needed[row] and row not in self.tensors:
                self.tensors[row] = self.of_row(tape.kind(row), row)
        return [None if row < 0 else self.of(row) for row in self.sweep.results]

    def of(self, row):
        if row not in self.tensors:
            self.tensors[row] = tensor_at(self.recording, row)
        return self.tensors[row]

    def of_row(self, kind, row):
        """One row of the sweep as an operation."""
        tape = self.sweep.tape
        if kind.op.family == "literal":
            return _literal(self.recording, kind)
        operands = [self.of(x) for x in tape.operands(row)]
        if kind.op in RULES:
            return self.answer(kind, operands)
        given = [x for x in operands if x is not None]
        if len(given) < len(operands):
            return given[0] if given and kind.op is _ADD else None
        if kind.op is _HOST:
            return operands[0] if self.hook is None else self.hook(kind.attrs[0], operands[0])
        with np.errstate(all="ignore"):
            value = reference.run_row(tape, row, _Values(self.tensors))
        return record(kind, operands, value)

    def answer(self, kind: Kind, operands):
        """One part of what the rule of a call gives; the rule runs when its first part is asked."""
        first, part, given, _, _ = kind.attrs
        answers = self.answers.get(first)
        if answers is None:
            tape = self.sweep.tape
            is_pullback = kind.op.name == "pullback"
            _, n_results = tape.kind(first).attrs
            n = n_results if is_pullback else len(tape.operands(first)) - 1
            parts: list = [None] * n
            for place, operand in zip(given, operands, strict=True):
                parts[place] = operand
            call: Call = self.recording.calls[first]
            run = call.pull if is_pullback else call.push
            answers = self.answers[first] = run(self.recording, parts)
        return answers[part]


class _Values:
    """Values of tensors by row, as `reference.run_row` reads them."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __getitem__(self, row):
        return self.tensors[row]._value


def _literal(recording, kind):
    """A literal as a tensor; a trace keeps it a literal, which folds."""
    result = wrap(literal_value(kind), kind.aval.dtype)
    if recording.is_trace:
        row = recording.add(kind, (), result._value, None)
        result._tape, result._row, result._stamp = recording, row, recording.stamp
        result._tracked = True
    return result


def tensor_at(recording: Recording, row: int) -> Tensor:
    """A tensor for an existing row of a recording."""
    known = recording.inputs.get(row)
    if known is not None:
        return known
    kind = recording.kind(row)
    result = wrap(recording.values[row], kind.aval.dtype)
    if kind.op.family != "input":
        result._tape, result._row, result._stamp = recording, row, recording.stamp
        result._tracked = True
    return result
