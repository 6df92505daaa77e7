"""Paths: the compiled programs of one function, chosen by signature and guards.

A call's signature (structure, shapes, dtypes, static values) selects a list of paths.  A path is
one recorded run, differentiated and compiled; it may be used while everything the function read
from outside is unchanged (`reads.take`), and its answer counts only if every value Python read
while recording comes out the same.  On a miss the call is recorded again and both paths are kept.
What cannot be guarded is recorded at every call; it is never stale.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tapejit import autodiff
from tapejit.bounded import Bounded
from tapejit.config import settings
from tapejit.locks import Lock
from tapejit.runtime import reference
from tapejit.runtime.compiled import Compiled, checked, compile_program
from tapejit.runtime.interpreter import Output, interpret
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape
from tapejit.tensor.core import Tensor
from tapejit.tensor.recording import describe_site
from tapejit.transforms import trees
from tapejit.transforms.reading.guards import Guards
from tapejit.transforms.reading.reads import take
from tapejit.transforms.trace import Trace, trace

INTERPRETED = "interpreted"
"""In place of the text that calls a path's kernels."""

MAX_PATHS = 64
"""Paths kept per signature; more branches than this run recorded, with one warning."""

HEAVY = 8
"""Weight of a path that calls do not enter natively: it runs for milliseconds, and a record of a
function's last 64 paths would keep 2 MiB of memory for each."""

MAX_SIGNATURES = 1024
"""Paths kept per function; long ones count once per 4096 rows, and per 256 KiB of temporaries."""

# ---------------------------------------------------------------- data


class Derived(NamedTuple):
    """What a transform makes of a trace: a tape and which rows answer."""

    tape: Tape
    seeds: tuple[int, ...]
    """Input rows that the transform adds (cotangents, tangents)."""
    results: tuple[int, ...]
    """Rows to return; -1 where the answer is zero."""


class Gradient(NamedTuple):
    """Values and the cotangents of one of the rows, not yet derived: the interpreter needs no tape
    of the derivative, kernels do.
    """

    tape: Tape
    values: tuple[int, ...]
    root: int
    wanted: tuple[int, ...]

    def derived(self) -> Derived:
        """The same as a tape."""
        sweep = autodiff.reverse(self.tape, (self.root,), self.wanted, unit_seed=True)
        return Derived(sweep.tape, (), (*self.values, *sweep.results))


class Path:
    """One recorded run, compiled."""

    __slots__ = (
        "captures",
        "compiled",
        "guards",
        "layouts",
        "program",
        "reads",
        "sites",
        "trace",
        "weight",
        "zeros",
    )

    def __init__(self, recorded: Trace, derivation: Derived | Gradient, guards: Guards, arrays):
        recording = recorded.recording
        self.trace = recorded._replace(values=())
        self.guards = tuple(value for _, value, _ in recording.guards)
        self.sites = tuple(site for _, _, site in recording.guards)
        # strides of the arguments, if the function looked at them or they decided what aliases
        self.layouts = _layouts(arrays) if recording.reads_layout else None
        self.reads = guards
        self.weight = 1  # what keeping it costs: 30 KB of structure or 256 KiB for temporaries
        self.compiled: Compiled | None = _interpreted(recorded, derivation)
        if self.compiled is not None:
            self.program = self.compiled.program
            self.captures = _captured_tensors(recording, recorded.inputs)
            self.zeros = ()
        else:
            derived = derivation if isinstance(derivation, Derived) else derivation.derived()
            rows = [row for row in derived.results if row >= 0]
            self.zeros = tuple(row < 0 for row in derived.results)
            self.captures = _captured_tensors(recording, recorded.inputs) + _constants(recording)
            inputs = [*recorded.inputs, *derived.seeds, *(row for row, _ in self.captures)]
            outputs = [*rows, *(row for row, _, _ in recording.guards)]
            self.program = Program(derived.tape, inputs, outputs)
        # the caller's arrays and this run's values are not needed again
        recording.values = []
        recording.sites = []
        for table in ("inputs", "sources", "places", "sharers", "constants", "mutations"):
            setattr(recording, table, {})

    def compile(self) -> None:
        """Make kernels of the path, unless it is interpreted."""
        if self.compiled is None:
            self.compiled = compile_program(simplify(self.program))
        buffers = self.compiled.plan.buffers if self.compiled.plan is not None else ()
        held = [b.dtype.itemsize * math.prod(b.shape) for b in buffers if b.role == "temporary"]
        self.weight = 1 + len(self.program.tape) // 4096 + sum(held) // (1 << 18)

    def __call__(self, inputs: list) -> list:
        """Results and then guard values, for argument and seed arrays."""
        if self.captures:
            inputs = [
                *inputs,
                *(c._value if c.__class__ is Tensor else c for _, c in self.captures),
            ]
        if self.compiled is None:
            return reference.run(self.program, inputs)
        return self.compiled(inputs)

    def results(self, inputs: list) -> list:
        """Results alone, None where the answer is zero."""
        outputs = self(inputs)
        return _with_zeros(self, outputs[: len(outputs) - len(self.guards)])


def _layouts(arrays) -> list:
    return [getattr(array, "strides", ()) for array in arrays]


def _captured_tensors(recording, arguments):
    """Input rows that are no arguments: captured tensors, read afresh at every call."""
    known = frozenset(arguments)
    return tuple([(row, x) for row, x in recording.inputs.items() if row not in known])


def _constants(recording):
    """Numbers, as arrays: a kernel reads memory, and this saves a conversion at every call."""
    return tuple([(row, _fixed(recording.values[row])) for row in recording.constants.values()])


def _fixed(number):
    array = np.array(number)
    array.setflags(write=False)
    return array


def _interpreted(recorded: Trace, derivation: Derived | Gradient) -> Compiled | None:
    """The path run by the interpreter, if it is one for it."""
    recording = recorded.recording
    if isinstance(derivation, Derived):
        if derivation.tape is not recording or derivation.seeds or -1 in derivation.results:
            return None
        results, root = [Output(row) for row in derivation.results], -1
    else:
        results = [Output(row) for row in derivation.values]
        results += [Output(row, is_cotangent=True) for row in derivation.wanted]
        root = derivation.root
    results += [Output(row) for row, _, _ in recording.guards]
    inputs = [*recorded.inputs, *(row for row, _ in _captured_tensors(recording, recorded.inputs))]
    constants = {row: recording.values[row].item() for row in recording.constants.values()}
    run = interpret(recording, inputs, results, constants=constants, root=root)
    if run is None:
        return None
    if settings.check >= 3:
        return _compared(recording, inputs, derivation, run)
    program = Program(recording, inputs, [x.row for x in results if not x.is_cotangent])
    n = len(results) - len(recording.guards)
    # a slot holds a truth as a number, which is enough for guards
    has_truths = any(is_truth for *_, is_truth in run.results[:n])
    launches = None if has_truths else run.launches()
    return Compiled(program, None, run.call, INTERPRETED, launches)


def _compared(recording, inputs, derivation, run) -> Compiled | None:
    """An interpreted path that is checked against the reference, row by row, at every call."""
    derived = derivation if isinstance(derivation, Derived) else derivation.derived()
    if -1 in derived.results:
        return None
    numbers = [np.array(recording.values[row]) for row in recording.constants.values()]
    outputs = [*derived.results, *(row for row, _, _ in recording.guards)]
    given = [*inputs, *recording.constants.values()]
    n, program = len(inputs), Program(derived.tape, given, outputs)
    compare = checked(program, lambda arrays: run.call(arrays[:n]))
    return Compiled(program, None, lambda arrays: compare([*arrays, *numbers]), INTERPRETED)


# ---------------------------------------------------------------- one function's paths


class Paths:
    """All paths of one function under one transform."""

    def __init__(self, function: Callable, derive: Callable[[Trace], Derived | Gradient]):
        self.function = function
        self.derive = derive
        self.by_signature: Bounded[tuple, list[Path]] = Bounded(MAX_SIGNATURES)
        self.lock = Lock()
        self.has_warned = False
        self.recorded = 0
        self.why: list[str] = []

    def run(self, signature: tuple, structure, leaves: Sequence, arrays: list, seeds: Callable):
        """(path, results, whether it was known) of a call: a path that fits, else recorded now.

        seeds(trace) -> the arrays for the rows that the transform adds
        """
        paths = self.by_signature.get(signature)
        if paths:
            known = self.follow(paths, arrays, seeds)
            if known is not None:
                return *known, True
        return *self.record(signature, structure, leaves, arrays, seeds), False

    def follow(self, paths: list[Path], arrays: list, seeds: Callable):
        """The answer of the first path whose guards hold, else None."""
        outcomes: list = []
        for path in paths:
            if path.layouts is not None and path.layouts != _layouts(arrays):
                continue
            if not _agrees(path.guards, outcomes) or not path.reads.hold():
                continue
            recorded = path.trace
            try:
                outputs = path([*arrays, *seeds(recorded)])
            except IndexError:  # places computed on a branch this call would not take
                continue
            if not path.guards:
                return path, _with_zeros(path, outputs)
            n = len(outputs) - len(path.guards)
            read = deviation(path.guards, outputs[n:])
            if read is None:
                if path is not paths[0]:  # the path taken last is tried first
                    paths.remove(path)
                    paths.insert(0, path)
                return path, _with_zeros(path, outputs[:n])
            outcomes = read
        return None

    def record(self, signature, structure, leaves, arrays, seeds):
        """Record the call, keep it as a path if it may be kept, and answer."""
        with self.lock:
            guards = reads_of(self.function, structure)
            self.recorded += 1
            self.explain(signature, guards)
            recorded = trace(self.function, structure, leaves)
            derived = self.derive(recorded)
            reason = guards.reason or recorded.recording.impure
            if reason is None or reason == "":
                reason = None if guards.unchanged_since_taken() else "changes what it reads"
            seed_arrays = seeds(recorded)
            path = Path(recorded, derived, guards, arrays)
            known = self.by_signature.get(signature, [])
            if reason is None and len(known) < MAX_PATHS:
                path.compile()
                known.insert(0, path)
                self.by_signature.put(signature, known, path.weight)
            else:
                self.warn(reason, recorded.recording.guards)
            return path, path.results([*arrays, *seed_arrays])

    def explain(self, signature, guards):
        """Note why a call is recorded (TAPEJIT_EXPLAIN prints it)."""
        paths = self.by_signature.get(signature)
        if paths:
            changes = [path.reads.changed() for path in paths]
            why = next((c for c in changes if c), "another branch was taken")
        else:
            why = (
                "first call"
                if not self.by_signature
                else f"new signature {describe_signature(signature)}"
            )
        self.why.append(why)
        del self.why[:-100]
        if settings.explain:
            name = getattr(self.function, "__qualname__", repr(self.function))
            print(f"tapejit: {name} is recorded: {guards.reason or why}", file=sys.stderr)

    def warn(self, reason, guards):
        """Say once that calls of this function are recorded every time, and why."""
        if self.has_warned:
            return
        self.has_warned = True
        name = getattr(self.function, "__qualname__", repr(self.function))
        why = reason or f"it took more than {MAX_PATHS} paths; {_last_read(guards)}"
        warnings.warn(
            f"tapejit: {name} is recorded at every call: {why}", RuntimeWarning, stacklevel=2
        )


def _last_read(guards):
    """The line whose read of a value keeps making new paths."""
    if not guards:
        return "what it reads outside its arguments keeps changing"
    _, value, site = guards[-1]
    return f"a value ({value}) is read at {describe_site(site)}"


def reads_of(function: Callable, structure) -> Guards:
    """What a call can read besides arrays: through the function, and through code it is given."""
    sources = [function, *trees.code_in(structure)]
    taken = [take(source, lambda value: isinstance(value, Tensor), _array_of) for source in sources]
    return Guards(
        [check for guards in taken for check in guards.checks],
        next((guards.reason for guards in taken if guards.reason), None),
        [array for guards in taken for array in guards.arrays],
    )


class _Label(str):
    """A leaf in the text of a signature."""

    def __repr__(self):
        return str(self)


def describe_signature(signature: tuple) -> str:
    """The arguments of a signature with shapes and dtypes in place of values."""
    structure, leaves, *_ = signature
    args, kwargs = trees.unflatten(structure, [_Label(_describe_leaf(leaf)) for leaf in leaves])
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])


def _describe_leaf(leaf) -> str:
    if isinstance(leaf, tuple):
        *_, shape, dtype = leaf
        return f"{dtype}{list(shape)}"
    return leaf.__name__ if isinstance(leaf, type) else repr(leaf)


def _array_of(tensor):
    return np.asarray(tensor._value)


def _agrees(guards: tuple, outcomes: list) -> bool:
    """Whether guards begin with the outcomes that this call is known to have."""
    return len(guards) >= len(outcomes) and all(
        _same(a, b) for a, b in zip(guards, outcomes, strict=False)
    )


def deviation(expected: tuple, got: list):
    """None if all guards held; else what the call read, up to the first difference."""
    for i, (a, b) in enumerate(zip(expected, got, strict=True)):
        if not _same(a, b):
            return [np.asarray(v) for v in got[: i + 1]]
    return None


def _same(a, b) -> bool:
    """Whether a value read is the one that was recorded; nan is, -0.0 is not 0.0."""
    if a.ndim == 0 and np.ndim(b) == 0:
        if a == b:
            return bool(a) or a.dtype.kind != "f" or np.signbit(a) == np.signbit(b)
        return bool(a != a and b != b)
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    if not np.array_equal(a, b, equal_nan=True):
        return False
    zero = a == 0.0
    return np.array_equal(np.signbit(a[zero]), np.signbit(np.asarray(b)[zero]))


def _with_zeros(path: Path, outputs: list) -> list:
    if True not in path.zeros:
        return outputs
    rows = iter(outputs)
    return [None if is_zero else next(rows) for is_zero in path.zeros]
