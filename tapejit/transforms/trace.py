"""Tracing: one real run of a Python function, kept as a tape with its ends.

The function runs eagerly on the actual arguments, wrapped as tensors on a recording of its own;
values are concrete all along, so `if x > 0`, `while err > tol`, `int(n)`, `x.item()` just work, and
what they read is left as guards.  The eager recording is the trace: there is no second tracer.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.errors import TraceError
from tapejit.numba_code.hook import install as let_numba_take_tensors
from tapejit.registry import OPS
from tapejit.shapes import common_device
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor, apply, from_array, wrap
from tapejit.tensor.recording import Recording, state
from tapejit.transforms import trees

# ---------------------------------------------------------------- data


class Trace(NamedTuple):
    """One recorded run."""

    recording: Recording
    inputs: tuple[int, ...]
    """The row of each dynamic argument leaf."""
    outputs: tuple
    """Per output leaf: its row, or the value itself where no row has it."""
    structure: object
    """How the output leaves are nested."""
    values: tuple
    """The output leaves' values in this run."""
    shapes: tuple
    """Their shapes; all that a path keeps of them."""
    is_numpy: bool = True
    """Whether the call spoke NumPy."""
    levels: tuple[Level, ...] = ()
    """The derivatives that calls with a rule of their own know of, outermost first."""
    seeds: Any = None
    """() -> the cotangents or tangents of this call; None unless rules must be run."""


class OutputRow(int):
    """An output leaf that is a row of the tape."""


# ---------------------------------------------------------------- recording a run


def as_input(leaf) -> Tensor:
    """An argument leaf as a tracked tensor without history, sharing its memory."""
    if isinstance(leaf, Tensor):
        return wrap(leaf._value, leaf._aval.dtype, tracked=True)
    if isinstance(leaf, float | int):
        return wrap(np.float64(leaf), dtypes.float64, tracked=True)
    tensor = from_array(leaf)
    tensor._tracked = True
    return tensor


def trace(function: Callable, structure, leaves: Sequence, n_levels: int = 0) -> Trace:
    """Run `function(*args, **kwargs)` on these argument leaves and keep the tape.

    structure  of the pair (args, kwargs), as `trees.flatten` gives it
    n_levels   derivatives by the arguments that will be taken, one of the other
    """
    recording = Recording(is_trace=True)
    is_numpy = uses_numpy(leaves)
    recording.speaks_numpy = is_numpy or state.parked.speaks_numpy
    tensors = [as_input(leaf) for leaf in leaves]
    if recording.speaks_numpy:
        recording.device = common_device([x._aval for x in tensors])
    inputs = tuple([recording.adopt(tensor) for tensor in tensors])
    if "numba" in sys.modules:
        let_numba_take_tensors()
    with recording_on(recording, is_numpy), contextlib.ExitStack() as stack:
        levels: list[Level] = []
        for _ in range(n_levels):
            if levels:  # rows of its own, to differentiate by
                tensors = [_again(x) for x in tensors]
            levels.append(stack.enter_context(Level(tensors)))
        args, kwargs = trees.unflatten(structure, tensors)
        result = function(*args, **kwargs)
        rows, structure, values = _outputs(recording, result)
        guard_divisors(recording)
    shapes = tuple(np.shape(value) for value in values)
    return Trace(recording, inputs, rows, structure, values, shapes, is_numpy, tuple(levels))


def _again(x):
    return apply(OPS["reshape"], (x,), (x._aval.shape,), value=x._value)


def uses_numpy(leaves: Sequence) -> bool:
    """Whether a call speaks NumPy (then Python floats are float64) or tensors."""
    return not any(isinstance(leaf, Tensor) for leaf in leaves)


def guard_divisors(recording: Recording, start: int = 0) -> None:
    """Guard that no integer divisor is zero: eager operations raise then, kernels do not."""
    for row in range(start, len(recording)):
        kind = recording.kind(row)
        if kind.op in _INTEGER_DIVISIONS and not kind.aval.dtype.is_floating_point:
            divisor = recording.operands(row)[1]
            if divisor in recording.constants.values():
                continue
            recording.restore([divisor])
            tensor = wrap(recording.values[divisor], tracked=True)
            tensor._tape, tensor._row, tensor._stamp = recording, divisor, recording.stamp
            bool(tensor.all())


_INTEGER_DIVISIONS = frozenset(OPS[name] for name in ("remainder", "fmod", "floor_divide"))


class recording_on:
    """This thread's operations go to `recording`."""

    def __init__(self, recording, is_numpy):
        self.recording = recording
        self.dtypes = dtypes.numpy_rules(is_numpy)

    def __enter__(self):
        self.before = state.parked, state.recording, state.grad_enabled
        self.dtypes.__enter__()
        state.parked = state.recording = self.recording
        state.grad_enabled = True

    def __exit__(self, *exception):
        state.parked, state.recording, state.grad_enabled = self.before
        self.dtypes.__exit__()
        return False


def _outputs(recording, result):
    leaves: list = []
    try:
        structure = trees.flatten(result, leaves)
    except TraceError as error:
        raise TraceError(str(error).replace("argument:", "result:", 1)) from None
    rows, values = [], []
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf._tracked:
            row = leaf._row if leaf._tape is recording else recording.adopt(leaf)
            rows.append(OutputRow(row))
            values.append(leaf._value)
        else:
            value = leaf._value if isinstance(leaf, Tensor) else leaf
            rows.append(value)
            values.append(value)
    return tuple(rows), structure, tuple(values)
