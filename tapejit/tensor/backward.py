"""The engine of backward(): a walk over recordings, newest first.

For each recording that the loss depends on, the rows up to the roots are differentiated
(`sweeps`): one sweep gives the cotangents of its input rows, which go to leaves, or on to the
recording a tensor came from.  With create_graph the sweep's rows are replayed as operations, so
they are recorded in their turn.

Start at `backward`, then `Walk.through`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapejit.errors import AutogradError
from tapejit.registry import OPS
from tapejit.runtime.devices import filled
from tapejit.runtime.interpreter import Sweep
from tapejit.tensor.calls import Level, calls_below
from tapejit.tensor.core import Tensor, apply, optional, wrap
from tapejit.tensor.recording import Recording, open_new, state
from tapejit.tensor.sweeps import (
    SweepEntry,
    accumulate_grad,
    check_not_freed,
    interpreted_for,
    is_stale,
    own,
    replay_sweep,
    run_sweep,
    sweep_for,
    through_hook,
)

_DETACH = OPS["detach"]

# ---------------------------------------------------------------- the walk over recordings


class Walk:
    """One backward: pending cotangents per recording, results per target."""

    def __init__(self, targets, *, retain_graph, create_graph, accumulate, level=None):
        self.targets = targets  # None: every leaf that requires grad
        self.level = level  # of the transform that asks
        self.retain_graph = retain_graph
        self.create_graph = create_graph
        self.accumulate = accumulate
        self.pending: dict[Recording, dict] = {}
        self.found: dict[int, Any] = {}
        self.freed: list = []

    def run(self, roots: Sequence[Tensor], gradients: Sequence) -> None:
        """Walk from the roots to the targets."""
        for tensor, gradient in zip(roots, gradients, strict=True):
            self.send(tensor, gradient)
        while self.pending:
            recording = max(self.pending, key=lambda r: r.sequence)
            self.through(recording, self.pending.pop(recording))
        if not self.retain_graph:
            for recording, entry in self.freed:
                give_back(recording, entry)

    def send(self, tensor, gradient):
        """Deliver a cotangent to a leaf, or queue it at the tensor's row."""
        if tensor._tape is None:
            self.deliver(tensor, gradient)
            return
        self.queue(tensor._tape, tensor._row, gradient)

    def queue(self, recording, row, gradient):
        rows = self.pending.setdefault(recording, {})
        known = rows.get(row)
        if known is not None:
            aval = recording.kind(row).aval
            gradient = _explicit(known, aval) + _explicit(gradient, aval)
        rows[row] = gradient

    def deliver(self, leaf, gradient):
        if gradient is _UNIT:
            gradient = _explicit(gradient, leaf._aval)
        if np.shape(gradient) != leaf._aval.shape:
            raise AutogradError(
                f"got a gradient of shape {list(np.shape(gradient))} for a leaf of shape "
                f"{list(leaf._aval.shape)}: its shape was changed in place since\n"
                "  try  x.t() and its like instead of x.t_()"
            )
        if self.create_graph and not isinstance(gradient, Tensor):
            gradient = wrap(gradient, leaf._aval.dtype)
        for hook in list((optional(leaf, "_hooks") or {}).values()):
            gradient = through_hook(hook, gradient)
        if self.accumulate:
            accumulate_grad(leaf, gradient)
        else:
            known = self.found.get(id(leaf))
            self.found[id(leaf)] = gradient if known is None else known + gradient

    def through(self, recording, cotangents):
        """Differentiate a recording, and send on what reaches its inputs and targets."""
        roots = tuple(sorted(cotangents))
        wanted = self.wanted(recording, roots[-1] + 1)
        if not wanted:
            return
        entry, results, silent = self.differentiate(recording, roots, wanted, cotangents)
        if not self.retain_graph:
            self.freed.append((recording, entry))
        for row, gradient in zip(wanted, results, strict=True):
            if gradient is None:
                if not entry.slice[row] or row in silent:
                    continue
                gradient = filled(recording.kind(row).aval, 0)
            source: Any = recording.sources.get(row)
            if source is None:
                self.note_target(recording, row, gradient)
            elif isinstance(source, tuple):
                origin, place = source
                self.queue(origin, place, gradient)
            else:
                self.deliver(source, gradient)

    def differentiate(self, recording, roots, wanted, cotangents):
        """(sweep, a cotangent or None per wanted row, rows for which a user's rule said None)."""
        end = roots[-1] + 1
        watch = self.watched(recording, end)
        calls = calls_below(recording, end, self.level)
        if not (self.create_graph or watch or calls or recording.is_trace or recording.tampered):
            fast = interpreted_for(recording, roots, wanted)
            if fast is not None and not is_stale(recording, fast):
                check_not_freed(recording, fast)
                seeds = [self.as_array(cotangents[row], recording, row) for row in roots]
                return fast, fast(recording.values, seeds), ()
        unit = len(roots) == 1 and cotangents[roots[0]] is _UNIT and not self.create_graph
        entry = sweep_for(recording, roots, wanted, watch, calls, unit)
        if not (self.create_graph or entry.has_rules or recording.is_trace):
            seeds = [] if unit else [self.as_array(cotangents[r], recording, r) for r in roots]
            return entry, run_sweep(recording, entry, seeds), ()
        seeds = [] if unit else [self.as_tensor(cotangents[r], recording, r) for r in roots]
        results: list = replay_sweep(recording, entry, seeds)
        ends = zip(wanted, entry.sweep.results, results, strict=True)
        silent = {row for row, place, g in ends if place >= 0 and g is None}
        if not self.create_graph:
            results = [g if g is None else _without_graph(g, recording) for g in results]
        return entry, results, silent

    def note_target(self, recording, row, gradient):
        for target in self.targets or ():
            if target._tape is recording and target._row == row:
                if self.accumulate:
                    accumulate_grad(target, gradient)
                else:
                    self.found[id(target)] = gradient

    def as_array(self, gradient, recording, row):
        if isinstance(gradient, Tensor):
            return gradient._value
        return _explicit(gradient, recording.kind(row).aval)

    def as_tensor(self, gradient, recording, row):
        if isinstance(gradient, Tensor):
            return gradient
        return wrap(self.as_array(gradient, recording, row), recording.kind(row).aval.dtype)

    def wanted(self, recording, end):
        """Input rows that lead to a target, and targets on this recording."""
        rows = []
        targets = None if self.targets is None else {id(t) for t in self.targets}
        for row, source in recording.sources.items():
            if row < end:
                is_leaf = source.__class__ is not tuple
                if is_leaf and not source._tracked:
                    continue  # requires_grad_(False) since
                if targets is None or not is_leaf or id(source) in targets:
                    rows.append(row)
        for target in self.targets or ():
            if target._tape is recording and target._row < end and target._row not in rows:
                rows.append(target._row)
        return tuple(sorted(rows))

    def watched(self, recording, end):
        if not recording.hooks and not recording.retained:
            return ()
        return tuple(sorted(r for r in {*recording.hooks, *recording.retained} if r < end))


def _without_graph(gradient: Tensor, recording: Recording):
    """A gradient that is not differentiated again: numbers, or rows that a trace computes anew."""
    return apply(_DETACH, (gradient,)) if recording.is_trace else gradient._value


def give_back(recording: Recording, entry: SweepEntry | Sweep) -> None:
    """Free what a backward was the last to read; the open recording is sealed."""
    if recording.is_trace:
        return
    if recording is state.parked:
        open_new()
        if entry.covers_all and len(recording) == entry.n_primal:
            recording.free_all()
            return
    recording.free(entry.slice)


class _Unit:
    """Stands for a cotangent of ones, known when the sweep is derived."""


_UNIT = _Unit()


def _explicit(gradient, aval):
    if gradient is not _UNIT:
        return gradient
    return filled(aval, 1)


# ---------------------------------------------------------------- entry points


def seeds_for(tensors: Sequence[Tensor], gradients: Sequence | None) -> list:
    """The cotangents a backward starts from, checked against the outputs."""
    if gradients is None:
        gradients = [None] * len(tensors)
    if len(gradients) != len(tensors):
        raise AutogradError(f"got {len(tensors)} tensors and {len(gradients)} gradients")
    return [_seed(t, g) for t, g in zip(tensors, gradients, strict=True)]


def _seed(tensor, gradient):
    if gradient is None:
        if tensor._aval.size != 1:
            raise AutogradError(
                "grad can be implicitly created only for scalar outputs\n"
                f"  got  {tensor._aval}\n  try  .sum() or .mean() first, or gradient=..."
            )
        if tensor._aval.dtype.is_complex:
            raise AutogradError(
                "grad can be implicitly created only for real scalar outputs but got "
                f"{tensor.dtype}\n  try  .real, .abs(), or gradient=..."
            )
        return _UNIT
    if isinstance(gradient, np.ndarray):
        gradient = wrap(gradient[()])
    if not isinstance(gradient, Tensor):
        raise TypeError(
            f"gradients can be either Tensors or None, but got {type(gradient).__name__}"
        )
    if gradient._aval.shape != tensor._aval.shape:
        raise AutogradError(
            f"Mismatch in shape: grad_output[0] has a shape of torch.Size({list(gradient.shape)}) "
            f"and output[0] has a shape of torch.Size({list(tensor.shape)})."
        )
    if gradient._aval.dtype.is_complex is not tensor._aval.dtype.is_complex:
        raise AutogradError(
            "For complex Tensors, both grad_output and output are required to have the same dtype. "
            f"Mismatch in dtype: grad_output[0] has a dtype of {gradient.dtype} and output[0] has "
            f"a dtype of {tensor.dtype}."
        )
    if gradient._aval.dtype is not tensor._aval.dtype:
        gradient = apply(OPS["cast"], (wrap(gradient._value),), (tensor._aval.dtype.name,))
    return gradient if gradient._tracked else gradient._value


def check_has_graph(tensors: Sequence[Tensor]) -> None:
    """Raise unless every tensor requires grad."""
    for i, tensor in enumerate(tensors):
        if not (tensor._tracked and tensor._aval.dtype.is_inexact):
            raise AutogradError(
                f"element {i} of tensors does not require grad and does not have a grad_fn"
            )


def backward(
    tensors: Sequence[Tensor],
    gradients=None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    """Accumulate into `.grad` of the leaves (or of `inputs`) the gradient of `tensors`."""
    check_has_graph(tensors)
    walk = Walk(
        inputs,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        accumulate=True,
    )
    with grad_mode_for(create_graph):
        walk.run(tensors, seeds_for(tensors, gradients))


class grad_mode_for:
    """Recording is on while a graph of the derivative is wanted, else off."""

    def __init__(self, create_graph: bool):
        self.create_graph = create_graph

    def __enter__(self):
        self.before = state.grad_enabled, state.recording
        state.grad_enabled = self.create_graph
        if state.parked.is_trace or self.create_graph:
            state.recording = state.parked
        else:
            state.recording = None

    def __exit__(self, *exception):
        enabled, recording = self.before
        state.grad_enabled = enabled
        state.recording = state.parked if recording is not None else None
        return False


def gradients_of(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs=None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    level: Level | None = None,
) -> list:
    """The gradient of the outputs' sum with respect to each input; None where unused.

    level  of the transform that asks: whose calls go by their rule
    """
    check_has_graph(outputs)
    walk = Walk(
        list(inputs),
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
        accumulate=False,
        level=level,
    )
    with grad_mode_for(create_graph):
        walk.run(outputs, seeds_for(outputs, grad_outputs))
        results = [walk.found.get(id(x)) for x in inputs]
    return [
        g if g is None or isinstance(g, Tensor) else wrap(own(g), x._aval.dtype)
        for g, x in zip(results, inputs, strict=True)
    ]
