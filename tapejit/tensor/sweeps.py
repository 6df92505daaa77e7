"""Reverse sweeps of a recording: derived once per structure, run over its values.

`sweep_for` gives the sweep from some rows to others.  The key is the structure itself, so a hit
cannot be wrong.  `run_sweep` runs it, row by row with NumPy at first and as a compiled program once
the structure has been met so often that compiling pays; `replay_sweep` does every row as an
operation on tensors, which is recorded in its turn.  Long scalar recordings have an interpreter's
sweep instead (`interpreted_for`).

A compiled program recomputes elementwise rows from the inputs; it is used only while no value of
the recording was changed in place, else the saved values decide (and raise if they are stale).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tapejit import autodiff
from tapejit.bounded import Bounded
from tapejit.config import settings
from tapejit.errors import AutogradError, StaleTape
from tapejit.locks import Lock
from tapejit.registry import KINDS, OPS, infer_kind
from tapejit.runtime import interpreter, reference
from tapejit.runtime.compiled import compile_program
from tapejit.runtime.devices import MEMORY, as_value, moved, owned
from tapejit.runtime.eager import evaluate
from tapejit.runtime.interpreter import Sweep
from tapejit.simplify import simplify
from tapejit.sites import describe_site
from tapejit.tape import Program, Tape, needed_rows, with_inputs
from tapejit.tensor.core import Tensor, optional, wrap
from tapejit.tensor.recording import Recording
from tapejit.tensor.replaying import RULES, replay

_ADD = OPS["add"]

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


def replay_sweep(recording: Recording, entry: SweepEntry, seeds: Sequence[Tensor]) -> list:
    """As `run_sweep`, but every row of the sweep is an operation on tensors, hence recorded."""
    check_not_freed(recording, entry)
    if recording.is_trace:
        recording.restore(entry.saved)
    check_saved(recording, entry)
    return replay(
        recording, entry.sweep, seeds, lambda row, g: call_hooks(recording, row, g), entry.needed
    )


# ---------------------------------------------------------------- whether it may still be run


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


# ---------------------------------------------------------------- where cotangents arrive


def call_hooks(recording: Recording, row: int, gradient):
    """Pass a cotangent through the hooks of a row, and keep it where a tensor retains it."""
    for hook in list(recording.hooks.get(row, ())):
        gradient = through_hook(hook, gradient)
    keeper = recording.retained.get(row)
    tensor = keeper() if keeper is not None else None
    if tensor is not None:
        accumulate_grad(tensor, gradient)
    return gradient


def through_hook(hook: Callable, gradient):
    """What a hook makes of a gradient, an array or a tensor."""
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


def accumulate_grad(tensor: Tensor, gradient) -> None:
    """Add to `.grad`, in place where PyTorch does."""
    known = optional(tensor, "_grad")
    if isinstance(gradient, Tensor):
        tensor._grad = gradient if known is None else known + gradient
    elif known is None:
        tensor._grad = wrap(own(gradient), tensor._aval.dtype)
    elif known._tracked:
        tensor._grad = known + wrap(gradient)
    else:
        value = evaluate(infer_kind(_ADD, (known._aval, known._aval), ()), (known._value, gradient))
        if isinstance(known._value, MEMORY):
            known._value[...] = value
        else:
            known._value = value


def own(gradient):
    """A gradient as memory of its own: not a broadcast view, not the seed, not a saved value."""
    return owned(gradient) if isinstance(gradient, MEMORY) else gradient
