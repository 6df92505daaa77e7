"""Replaying: rows of a finished tape as operations on tensors.

What a transform writes as a tape (a sweep, a batched function) an inner call needs as operations of
the recording around it, so that what is outside differentiates and compiles them with its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tapejit.registry import OPS, Kind
from tapejit.runtime import reference
from tapejit.runtime.literals import literal_value
from tapejit.tape import Tape, needed_rows
from tapejit.tensor.core import CONSTANT, Tensor, record, wrap
from tapejit.tensor.guards import read
from tapejit.tensor.recording import Recording, state


def replay(
    tape: Tape,
    tensors: dict[int, Tensor],
    outputs: Sequence[int],
    site_of: Callable = lambda row: None,
) -> list[Tensor]:
    """The tensors of rows, computed and recorded now; `tensors` has inputs, and is filled.

    site_of  the user's line of a row, for messages
    """
    needed = needed_rows(tape, outputs)
    with np.errstate(all="ignore"):
        for row in range(len(tape)):
            if needed[row] and row not in tensors:
                operands = [tensors[operand] for operand in tape.operands(row)]
                tensors[row] = _replayed(tape.kind(row), operands, site_of(row))
    return [tensors[row] for row in outputs]


def _replayed(kind: Kind, operands: list[Tensor], site) -> Tensor:
    if kind.op is _LITERAL:
        return literal(kind)
    value = reference.evaluate(kind, [x._value for x in operands])
    if kind.op is _DETACH and not state.parked.is_trace:
        return wrap(value, kind.aval.dtype)
    return record(kind, operands, value, site)


def literal(kind: Kind) -> Tensor:
    """Equal numbers: a row of the trace, whose structure they are part of; outside one, data."""
    value, trace = literal_value(kind), state.parked
    if not trace.is_trace or state.recording is None:
        return wrap(value, kind.aval.dtype)
    result = wrap(value, kind.aval.dtype, tracked=True)
    result._row = trace.add(kind, (), value, None)
    result._tape, result._stamp = trace, trace.stamp
    return result


_LITERAL, _DETACH = OPS["literal"], OPS["detach"]

# ---------------------------------------------------------------- what a recording began with


def captured(recording: Recording) -> dict[int, Tensor]:
    """What a recorded function read from outside, by input row: tensors, data and numbers."""
    found = {}
    for row, tensor in recording.inputs.items():
        value = recording.values[row]
        found[row] = tensor if recording.is_outer(row, tensor) else wrap(value, tensor._aval.dtype)
    for row in recording.constants.values():
        found[row] = wrap(recording.values[row])
        found[row]._tape = CONSTANT
    return found


def guard(tensor: Tensor, site) -> np.ndarray:
    """The value of a tensor that Python has read, at `site`, in a recording inside this one."""
    value, trace = read(tensor), state.parked
    if tensor._tracked and trace.is_trace and trace.guards:
        row, known, _ = trace.guards[-1]
        trace.guards[-1] = row, known, site
    return np.asarray(value)


def pass_on(inner: Recording) -> None:
    """Let what must not be kept of a recording hold for the one around it."""
    outer = state.parked
    if outer.is_trace:
        outer.impure = outer.impure or inner.impure
        outer.reads_layout = outer.reads_layout or inner.reads_layout
