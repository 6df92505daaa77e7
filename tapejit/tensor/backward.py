"""The engine of backward(): slice, differentiate, run.

For each recording the loss depends on, newest first: the rows up to the roots are differentiated
once per structure (`sweep_for`; the key is the structure itself, so a hit cannot be wrong), and
the sweep runs over the recorded values, row by row at first and as a compiled program once the
structure has been met so often that compiling pays.  Cotangents of input rows go to leaves, or on
to the recording a tensor came from.  With create_graph the sweep's rows are replayed as
operations, so they are recorded in their turn.

A compiled program recomputes elementwise rows from the inputs; it is used only while no value of
the recording was changed in place, else the saved values decide (and raise if they are stale).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import autodiff
from tapejit.bounded import Bounded
from tapejit.config import settings
from tapejit.errors import AutogradError, StaleTape
from tapejit.locks import Lock
from tapejit.registry import KINDS, OPS, infer_kind
from tapejit.runtime import interpreter, reference
from tapejit.runtime.compiled import compile_program
from tapejit.runtime.devices import MEMORY, as_value, filled, moved, owned
from tapejit.runtime.eager import evaluate
from tapejit.runtime.interpreter import Sweep
from tapejit.simplify import simplify
from tapejit.sites import describe_site
from tapejit.tape import Program, Tape, needed_rows, with_inputs
from tapejit.tensor.calls import Level, calls_below
from tapejit.tensor.core import Tensor, apply, optional, wrap
from tapejit.tensor.recording import Recording, open_new, state
from tapejit.tensor.replaying import RULES, replay

_ADD, _DETACH = OPS["add"], OPS["detach"]

MOST_SIGHTINGS = 30
"""Sightings of a structure, at most, before kernels are made (`sightings_that_pay`)."""

_COMPILE_ROW_S, _RUN_ROW_S, _RUN_ELEMENT_S = 60e-6, 2e-6, 1e-9
"""Seconds a row: to compile it, to run it with NumPy, and that for every element of it (2 GHz)."""

_LIBRARY = {"contraction", "indexing", "scan", "scatter", "join"}
"""Families whose saved values are used, never recomputed, by a compiled sweep."""

# ---------------------------------------------------------------- sweeps, known by structure


class SweepEntry:
    """A reverse sweep of one structure, and how it is run."""

    def __init__(self, tape: Tape, roots, wanted, watch, calls, unit_seed):
        self.sweep = autodiff.reverse(
            tape, roots, wanted, unit_seed=unit_seed, watch=watch, calls=calls, reuse=False
        )
        self.wanted = wanted
        self.watch = watch
        results = [row for row in self.sweep.results if row >= 0]
        self.needed = needed_rows(self.sweep.tape, results)
        n = self.n_primal = self.sweep.n_primal
        self.saved = self._rows_read(n)
        self.slice = needed_rows(tape, roots)
        self.covers_all = all(self.slice)
        self.has_rules = any(
            KINDS[number].op in RULES and needed
            for number, needed in zip(self.sweep.tape.kinds[n:], self.needed[n:], strict=True)
        )
        self.times = 0
        self.compile_after = self.sightings_that_pay()
        self.compiled: Callable | None = None
        self.compiled_inputs: tuple[int, ...] = ()

    def _rows_read(self, n):
        """The primal rows whose values the sweep reads."""
        read = set()
        tape = self.sweep.tape
        for row in range(n, len(tape)):
            if self.needed[row]:
                read.update(x for x in tape.operands(row) if x < n)
        read.update(row for row in self.sweep.results if 0 <= row < n)
        return sorted(read)

    def sightings_that_pay(self) -> int:
        """Runs row by row that cost about as much as compiling: 30 of small arrays, 1 of large."""
        tape = self.sweep.tape
        rows = [row for row in range(self.sweep.n_primal, len(tape)) if self.needed[row]]
        elements = sum(KINDS[tape.kinds[row]].aval.size for row in rows)
        run_s = len(rows) * _RUN_ROW_S + elements * _RUN_ELEMENT_S
        return min(MOST_SIGHTINGS, int(len(rows) * _COMPILE_ROW_S / run_s) if rows else 0)

    def compile(self):
        """Make kernels of the sweep; library results of the primal become inputs."""
        sweep = self.sweep
        tape, n = sweep.tape, sweep.n_primal
        inputs = [
            row
            for row in range(n)
            if KINDS[tape.kinds[row]].op.family in _LIBRARY | {"input", "reduction"}
        ]
        outputs = [row for row in sweep.results if row >= 0]
        inputs = [row for row in inputs if self.slice[row]]
        program = simplify(Program(with_inputs(tape, inputs), [*inputs, *sweep.seeds], outputs))
        used = needed_rows(program.tape, program.outputs)
        # values nobody reads may have been dropped: they are no inputs
        ends = zip([*inputs, *sweep.seeds], program.inputs, strict=True)
        kept = [(row, place) for row, place in ends if used[place] or row >= n]
        self.compiled_inputs = tuple(row for row, _ in kept if row < n)
        places = [place for _, place in kept]
        self.compiled = compile_program(Program(program.tape, places, program.outputs))


MAX_SWEEPS = 4096
"""Structures whose sweeps are remembered; long ones count once per 1024 rows."""

_sweeps: Bounded[tuple, SweepEntry] = Bounded(MAX_SWEEPS)
_interpreted: Bounded[tuple, Sweep | None] = Bounded(MAX_SWEEPS)
_LOCK = Lock()

MAX_KEPT_ROWS = 8192
"""Rows up to which an interpreted sweep is kept: laying one out anew costs less than recording."""


def interpreted_for(recording: Recording, roots, wanted) -> Sweep | None:
    """The interpreter's sweep from `roots` to `wanted`, if it can run one; no rows are recorded."""
    end = max(roots) + 1
    if end < interpreter.SHORTEST:
        return None
    part = recording if end == len(recording) else prefix(recording, end)
    if end > MAX_KEPT_ROWS:
        return interpreter.sweep(part, roots, wanted)
    key = (*part.key(), roots, wanted)
    if key in _interpreted:
        return _interpreted.get(key)
    found = interpreter.sweep(part, roots, wanted)
    with _LOCK:
        _interpreted.put(key, found, 1 + end // 1024)
    return found


def prefix(tape: Tape, end: int) -> Tape:
    """The first `end` rows."""
    result = Tape()
    result.kinds, result.left, result.right = tape.kinds[:end], tape.left[:end], tape.right[:end]
    result.more = {row: rows for row, rows in tape.more.items() if row < end}
    return result


def sweep_for(recording: Recording, roots, wanted, watch, calls, unit_seed) -> SweepEntry:
    """The sweep from `roots` to `wanted` over this recording's rows, derived once."""
    end = max(roots) + 1
    part = recording if end == len(recording) else prefix(recording, end)
    key = (*part.key(), roots, wanted, watch, tuple(calls.items()), unit_seed)
    entry = _sweeps.get(key)
    if entry is None:
        entry = SweepEntry(prefix(part, end), roots, wanted, watch, calls, unit_seed)
        with _LOCK:
            _sweeps.put(key, entry, 1 + end // 1024)
    return entry


# ---------------------------------------------------------------- running a sweep


def run_sweep(recording: Recording, entry: SweepEntry, seeds: Sequence) -> list:
    """The cotangent arrays of `entry.wanted` (None where zero)."""
    check_not_freed(recording, entry)
    if recording.is_trace:
        recording.restore(entry.saved)
    entry.times += 1
    if entry.times > entry.compile_after and settings.jit and not entry.watch:
        if entry.compiled is None:
            entry.compile()
        if not (recording.mutations or recording.tampered):
            results = _run_compiled(recording, entry, seeds)
            if results is not None:
                return results
    check_saved(recording, entry)
    sweep = entry.sweep
    n = sweep.n_primal
    values = recording.values[:n] + [None] * (len(sweep.tape) - n)
    for row, seed in zip(sweep.seeds, seeds, strict=True):
        values[row] = seed
    reference.run_rows(
        sweep.tape, n, values, entry.needed, lambda row, g: call_hooks(recording, row, g)
    )
    # literals are arrays of the host's until somebody looks at them
    return [
        None if row < 0 else moved(values[row], sweep.tape.kind(row).aval.device)
        for row in sweep.results
    ]


def _run_compiled(recording, entry, seeds):
    values = recording.values
    inputs = [values[row] for row in entry.compiled_inputs]
    if any(value is None for value in inputs):
        return None  # dropped: no slope reads it, only recomputing would
    outputs = iter(entry.compiled([*inputs, *seeds]))
    return [None if row < 0 else next(outputs) for row in entry.sweep.results]


def check_not_freed(recording: Recording, entry: SweepEntry | Sweep) -> None:
    """Raise if an operation in the slice gave its saved values back."""
    row = _spent_row(recording, entry) if recording.freed else -1
    if row >= 0:
        raise AutogradError(
            "Trying to backward through the graph a second time (or directly access saved tensors "
            "after they have already been freed). Saved intermediate values of the graph are freed "
            "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
            "to backward through the graph a second time or if you need to access saved tensors "
            "after calling backward.\n"
            f"  where  {recording.kind(row)} made at {describe_site(recording.sites[row])}\n"
            "  try    retain_graph=True in the first backward; or detach() what two losses share"
        )


def _spent_row(recording, entry):
    """The first operation of the slice that gave its saved values back; -1 if there is none."""
    constants = set(recording.constants.values())
    for row, (freed, needed) in enumerate(zip(recording.freed, entry.slice, strict=False)):
        if freed and needed and not constants.issuperset(recording.reads(row)):
            return row
    return -1


def is_stale(recording: Recording, entry: Sweep) -> bool:
    """Whether a value of the slice was changed in place since it was recorded."""
    return bool(recording.mutations) and any(
        needed and recording.mutation_of(row) is not None for row, needed in enumerate(entry.slice)
    )


def check_saved(recording: Recording, entry: SweepEntry) -> None:
    """Raise if a value the sweep reads was changed in place since an operation saved it."""
    if not recording.mutations:
        return
    for row in entry.saved:
        change = recording.mutation_of(row)
        if change is None:
            continue
        kind, reader = recording.kind(row), _reader(recording, entry, row)
        if change[0] > reader:
            raise StaleTape(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: {kind.aval}, output of {kind.op.name}\n"
                f"  saved    {describe_site(recording.sites[reader])}\n"
                f"  changed  {describe_site(change[1])}\n"
                "  try      the operation that is not in place, or clone() before it"
            )


def _reader(recording, entry, row):
    """The operation that saved the value of `row`: the first whose slope reads it."""
    for later in range(row, entry.sweep.n_primal):
        if entry.slice[later] and row in recording.reads(later):
            return later
    return row


def call_hooks(recording: Recording, row: int, gradient):
    """Pass a cotangent through the hooks of a row, and keep it where a tensor retains it."""
    for hook in list(recording.hooks.get(row, ())):
        gradient = _through_hook(hook, gradient)
    keeper = recording.retained.get(row)
    tensor = keeper() if keeper is not None else None
    if tensor is not None:
        _accumulate(tensor, gradient)
    return gradient


def _through_hook(hook, gradient):
    given = gradient if isinstance(gradient, Tensor) else wrap(as_value(gradient))
    answer = hook(given)
    if answer is None:
        return gradient
    if not isinstance(answer, Tensor):
        raise TypeError(f"hook: expected a Tensor or None, got {type(answer).__name__}")
    if answer._aval is not given._aval:
        raise AutogradError(
            f"hook: a gradient of {given._aval} is needed, the hook returned {answer._aval}"
        )
    return answer if isinstance(gradient, Tensor) else answer._value


def _accumulate(tensor, gradient):
    """Add to `.grad`, in place where PyTorch does."""
    known = optional(tensor, "_grad")
    if isinstance(gradient, Tensor):
        tensor._grad = gradient if known is None else known + gradient
    elif known is None:
        tensor._grad = wrap(_owned(gradient), tensor._aval.dtype)
    elif known._tracked:
        tensor._grad = known + wrap(gradient)
    else:
        value = evaluate(infer_kind(_ADD, (known._aval, known._aval), ()), (known._value, gradient))
        if isinstance(known._value, MEMORY):
            known._value[...] = value
        else:
            known._value = value


def _owned(gradient):
    """A gradient as memory of its own: not a broadcast view, not the seed, not a saved value."""
    return owned(gradient) if isinstance(gradient, MEMORY) else gradient


# ---------------------------------------------------------------- replaying a sweep as operations


def replay_sweep(recording: Recording, entry: SweepEntry, seeds: Sequence[Tensor]) -> list:
    """As `run_sweep`, but every row of the sweep is an operation on tensors, hence recorded."""
    check_not_freed(recording, entry)
    if recording.is_trace:
        recording.restore(entry.saved)
    check_saved(recording, entry)
    return replay(
        recording, entry.sweep, seeds, lambda row, g: call_hooks(recording, row, g), entry.needed
    )


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
            gradient = _through_hook(hook, gradient)
        if self.accumulate:
            _accumulate(leaf, gradient)
        else:
            known = self.found.get(id(leaf))
            self.found[id(leaf)] = gradient if known is None else known + gradient

    def through(self, recording, cotangents):
        roots = tuple(sorted(cotangents))
        end = roots[-1] + 1
        wanted = self.wanted(recording, end)
        if not wanted:
            return
        watch = self.watched(recording, end)
        calls = calls_below(recording, end, self.level)
        unit = len(roots) == 1 and cotangents[roots[0]] is _UNIT and not self.create_graph
        entry: Any = None
        silent = frozenset()  # rows for which rules of the user's answered None
        if not (self.create_graph or watch or calls or recording.is_trace or recording.tampered):
            entry = interpreted_for(recording, roots, wanted)
            if entry is not None and is_stale(recording, entry):
                entry = None
        entry = entry or sweep_for(recording, roots, wanted, watch, calls, unit)
        if not self.retain_graph:
            self.freed.append((recording, entry))
        if isinstance(entry, Sweep):
            check_not_freed(recording, entry)
            seeds = [self.as_array(cotangents[row], recording, row) for row in roots]
            results = entry(recording.values, seeds)
        elif self.create_graph or entry.has_rules or recording.is_trace:
            seeds = [self.as_tensor(cotangents[r], recording, r) for r in roots if not unit]
            results = replay_sweep(recording, entry, seeds)
            ends = zip(wanted, entry.sweep.results, results, strict=True)
            silent = {row for row, place, g in ends if place >= 0 and g is None}
            if not self.create_graph:
                results = [g if g is None else _without_graph(g, recording) for g in results]
        else:
            seeds = [] if unit else [self.as_array(cotangents[r], recording, r) for r in roots]
            results = run_sweep(recording, entry, seeds)
        for row, gradient in zip(wanted, results, strict=True):
            if gradient is None:
                if not entry.slice[row] or row in silent:
                    continue
                aval = recording.kind(row).aval
                gradient = filled(aval, 0)
            source: Any = recording.sources.get(row)
            if source is None:
                self.note_target(recording, row, gradient)
            elif isinstance(source, tuple):
                origin, place = source
                self.queue(origin, place, gradient)
            else:
                self.deliver(source, gradient)

    def note_target(self, recording, row, gradient):
        for target in self.targets or ():
            if target._tape is recording and target._row == row:
                if self.accumulate:
                    _accumulate(target, gradient)
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
        g if g is None or isinstance(g, Tensor) else wrap(_owned(g), x._aval.dtype)
        for g, x in zip(results, inputs, strict=True)
    ]
