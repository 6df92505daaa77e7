"""Derivatives of traces with calls that go by a rule of the user's.

`autodiff` makes a sweep with rows that stand for running the rules; here the sweep is replayed on
the trace itself, as operations, so that what the rules do is recorded behind the function.  The
rules see the values of this run: they may branch on them, which leaves guards as always.

Traces without such calls need none of this: their derivative is made from the tape alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapejit import autodiff
from tapejit.autodiff import Sweep
from tapejit.errors import NotDifferentiable
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.devices import as_value, owned
from tapejit.tape import dependent_rows, needed_rows
from tapejit.tensor.calls import Level, calls_below
from tapejit.tensor.core import Tensor, place, wrap
from tapejit.tensor.replaying import replay
from tapejit.transforms.paths import Derived
from tapejit.transforms.trace import Trace, guard_divisors, recording_on


def reverse(
    recorded: Trace,
    roots: Sequence[int],
    wanted: Sequence[int],
    level: Level,
    seeds: Sequence | None = None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(rows of the seeds, rows of the cotangents of `wanted`, -1 for zeros), recorded now.

    seeds  a cotangent per root; None: all are 1
    """
    recording = recorded.recording
    calls = calls_below(recording, len(recording), level)
    sweep = autodiff.reverse(recording, roots, wanted, unit_seed=seeds is None, calls=calls)
    return _replayed(recorded, sweep, seeds or ())


def forward(
    recorded: Trace, inputs: Sequence[int], outputs: Sequence[int], level: Level, seeds: Sequence
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(rows of the seeds, rows of the tangents of `outputs`, -1 for zeros), recorded now."""
    recording = recorded.recording
    calls = calls_below(recording, len(recording), level)
    sweep = autodiff.forward(recording, inputs, outputs, calls=calls)
    return _replayed(recorded, sweep, seeds)


def forward_over_reverse(recorded: Trace, root: int, positions: Sequence[int]) -> Derived:
    """A row's Hessian by some of the arguments times a vector: a level for each derivative."""
    outer, inner = recorded.levels
    aliases = [inner.rows[i] for i in positions]
    with outer:
        _, gradients = reverse(recorded, (root,), aliases, inner)
    rows = [row for row in gradients if row >= 0]
    inputs = [recorded.inputs[i] for i in positions]
    seeds, results = forward(recorded, inputs, rows, outer, recorded.seeds())
    tangents = iter(results)
    found = [-1 if row < 0 else next(tangents) for row in gradients]
    return derived(recorded, seeds, found)


def _replayed(recorded, sweep: Sweep, seeds):
    recording, start = recorded.recording, len(recorded.recording)
    needed = needed_rows(sweep.tape, [row for row in sweep.results if row >= 0])
    recording.restore(row for row in range(start) if needed[row])
    tensors = [
        _seed(seed, sweep.tape.kind(row).aval) for seed, row in zip(seeds, sweep.seeds, strict=True)
    ]
    rows = tuple([recording.adopt(x) for x in tensors])
    with recording_on(recording, recorded.is_numpy):
        results = replay(recording, sweep, tensors, needed=needed)
        places = tuple([-1 if x is None else place(recording, x) for x in results])
        guard_divisors(recording, start)
    for row in rows:  # they are inputs of the program, not captures
        del recording.inputs[row]
    return rows, places


def _seed(array, aval) -> Tensor:
    value = array if isinstance(array, DeviceArray) else np.asarray(array, aval.dtype.dtype)
    return wrap(as_value(owned(value)), aval.dtype, tracked=True)


class SeedsRead(NotDifferentiable):
    """Python read what depends on seeds that stand for many at once."""


def check_unread(recorded: Trace, seeds: Sequence[int]) -> None:
    """Raise SeedsRead."""
    recording = recorded.recording
    depends = dependent_rows(recording, seeds, len(recording))
    if any(depends[row] for row, _, _ in recording.guards):
        raise SeedsRead(
            "jacobian: a rule (of a custom_vjp, custom_jvp or Function, or of a solver) reads its "
            "cotangents, which stand for all rows of the Jacobian at once\n"
            "  try  where() in the rule, or sparse=False, which runs the rule for each row"
        )


def derived(recorded: Trace, seeds: Sequence[int], results: Sequence[int]) -> Derived:
    """What a transform makes of a trace that holds its derivative already."""
    return Derived(recorded.recording, tuple(seeds), tuple(results))
