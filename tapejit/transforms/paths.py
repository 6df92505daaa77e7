"""Paths: the compiled programs of one function, chosen by signature and guards.

A call's signature (structure, shapes, dtypes, static values) selects a list of paths.  A path is
one recorded run, differentiated and compiled; it may be used while everything the function read
from outside is unchanged (`reads.take`), and its answer counts only if every value Python read
while recording comes out the same.  On a miss the call is recorded again and both paths are kept.
What cannot be guarded is recorded at every call; it is never stale.
"""

from __future__ import annotations

import functools
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapejit import autodiff
from tapejit.bounded import Bounded
from tapejit.config import settings
from tapejit.locks import Lock
from tapejit.runtime import reference
from tapejit.runtime.compiled import Compiled, checked, compile_program
from tapejit.runtime.devices import all_on_host, on_host
from tapejit.runtime.interpreter import Output, interpret
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape
from tapejit.tensor.core import Tensor
from tapejit.tensor.random import Draw
from tapejit.tensor.recording import Documented
from tapejit.transforms import nearest, trees
from tapejit.transforms.reading.guards import Guards
from tapejit.transforms.reading.reads import take
from tapejit.transforms.trace import OutputRow, Trace, trace

INTERPRETED = "interpreted"
"""In place of the text that calls a path's kernels."""

SWEEPS = "sweeps"
"""The same for a path with a runner of its own."""

SWEEPS_WEIGHT = 16
"""Weight of such a path: its patterns are as large as its results."""

MAX_PATHS = 64
"""Paths kept per signature; more branches than this run recorded, with one warning."""

HEAVY = 8
"""Weight of a path that calls do not enter natively: it runs for milliseconds, and a record of a
function's last 64 paths would keep 2 MiB of memory for each."""

MAX_SIGNATURES = 1024
"""Paths kept per function; long ones count once per 4096 rows, and per 256 KiB of temporaries."""

# ---------------------------------------------------------------- data


class Runner(Protocol):
    """Gives the results and then the guards, for a program's inputs."""

    def __call__(self, inputs: list) -> list:
        """Run it."""
        ...

    def report(self) -> tuple[list[str], list]:
        """What it does, in lines for `explain`, and the steps of its programs."""
        ...


class Derived(NamedTuple):
    """What a transform makes of a trace: a tape and which rows answer."""

    tape: Tape
    seeds: tuple[int, ...]
    """Input rows that the transform adds (cotangents, tangents)."""
    results: tuple[int, ...]
    """Rows to return; -1 where the answer is zero."""
    runner: Callable[[Program], Runner] | None = None
    """Who makes the answer in another way, of a program with the guards alone."""
    then: Any = None
    """What goes on with the answer; a path keeps it as `made.then`."""


def all_outputs(recorded: Trace) -> Derived:
    """The outputs themselves: what `jit` derives."""
    rows = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    return Derived(recorded.recording, (), rows)


class Whole(NamedTuple):
    """All that a path computes, as rows of one tape, for who runs it elsewhere."""

    tape: Tape
    inputs: tuple[int, ...]
    """The arguments, then what is captured."""
    results: tuple[int, ...]
    """-1 where the answer is zero."""
    guards: tuple[int, ...]
    captures: tuple[np.ndarray, ...]
    """The captured inputs' values now."""


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


class Made:
    """What a recorded tape was made into; later runs that write the same tape take it over.

    Numbers and captured memory are inputs of the program, so a run that read other ones (a changed
    closure variable, a random number) is derived, planned and compiled no more.
    """

    __slots__ = (
        "compiled", "derivation", "is_reusable", "key", "program", "runner", "then", "trace",
        "weight", "zeros",
    )  # fmt: skip

    def __init__(self, key: tuple, recorded: Trace, derivation: Derived | Gradient):
        recording = recorded.recording
        self.key = key
        self.trace = recorded._replace(values=(), levels=(), seeds=None)
        self.runner: Runner | None = None
        self.then = derivation.then if isinstance(derivation, Derived) else None
        self.weight = 1  # what keeping it costs: 30 KB of structure or 256 KiB for temporaries
        self.compiled: Compiled | None = _interpreted(recorded, derivation)
        self.derivation = None if self.compiled is None else derivation
        self.is_reusable = self.compiled is None  # the interpreter's numbers are fixed
        if self.compiled is not None:
            self.program = self.compiled.program
            self.zeros = ()
            return
        derived = derivation if isinstance(derivation, Derived) else derivation.derived()
        rows = [row for row in derived.results if row >= 0]
        self.zeros = tuple(row < 0 for row in derived.results)
        captures = [row for row, _ in _captures(recorded, True)]
        inputs = [*recorded.inputs, *derived.seeds, *captures]
        outputs = [*rows, *(row for row, _, _ in recording.guards)]
        self.program = Program(derived.tape, inputs, outputs)
        if derived.runner is not None:
            self.runner = derived.runner(self.program)
            self.compiled = Compiled(self.program, None, self.runner, SWEEPS)

    def compile(self) -> None:
        """Make kernels, unless there are some or it is interpreted."""
        if self.runner is not None:
            self.weight = SWEEPS_WEIGHT
            return
        if self.compiled is None:
            self.compiled = compile_program(simplify(self.program))
        buffers = self.compiled.plan.buffers if self.compiled.plan is not None else ()
        held = [b.dtype.itemsize * math.prod(b.shape) for b in buffers if b.role == "temporary"]
        self.weight = 1 + len(self.program.tape) // 4096 + sum(held) // (1 << 18)


def _key(recorded: Trace) -> tuple:
    """All of a run that decides what is made of it."""
    recording = recorded.recording
    return (
        *recording.key(),
        recorded.inputs,
        tuple([int(x) if isinstance(x, OutputRow) else None for x in recorded.outputs]),
        recorded.structure,
        recorded.shapes,
        tuple([row for row, _, _ in recording.guards]),
        tuple(recording.inputs),
        tuple(recording.constants.values()),
    )


class Path:
    """One recorded run, compiled."""

    __slots__ = (
        "captures", "draws", "fixed", "guards", "layouts", "made", "outside", "reads", "sites",
        "trace",
    )  # fmt: skip

    def __init__(self, recorded: Trace, guards: Guards, arrays, made: Made):
        recording = recorded.recording
        self.made = made
        self.trace = recorded._replace(values=(), levels=(), seeds=None)
        self.guards = tuple(value for _, value, _ in recording.guards)
        self.sites = tuple(site for _, _, site in recording.guards)
        self.captures = _captures(recorded, made.is_reusable)
        constants = () if made.is_reusable else recording.constants.values()
        self.fixed = tuple([(row, _fixed(recording.values[row])) for row in constants])
        self.draws = tuple([x for _, x in self.captures if x.__class__ is Draw])
        self.outside = [
            x for row, x in self.captures if x.__class__ is Tensor and recording.is_outer(row, x)
        ]
        # strides of the arguments, if the function looked at them or they decided what aliases
        self.layouts = _layouts(arrays) if recording.reads_layout else None
        self.reads = guards
        # the caller's arrays and this run's values are not needed again
        recording.values = []
        recording.sites = []
        for table in (
            "inputs", "sources", "places", "sharers", "constants", "mutations", "draws", "calls",
        ):  # fmt: skip
            setattr(recording, table, {})

    @property
    def program(self) -> Program:
        """Results, and then what Python read, of arguments, seeds and captures."""
        return self.made.program

    @property
    def compiled(self) -> Compiled | None:
        """The program's kernels."""
        return self.made.compiled

    @property
    def reads_history(self) -> bool:
        """Whether it captured a tensor whose history operations are recorded for."""
        return any(tensor._tracked for tensor in self.outside)

    @property
    def weight(self) -> int:
        """What keeping it costs."""
        return self.made.weight

    @property
    def zeros(self) -> tuple:
        """One flag per result: True where nothing depends on the arguments."""
        return self.made.zeros

    def __call__(self, inputs: list) -> list:
        """Results and then guard values, for argument and seed arrays."""
        for draw in self.draws:
            draw.next()
        return self.again(inputs)

    def again(self, inputs: list) -> list:
        """The same with the random numbers of the last call."""
        if self.captures:
            inputs = [*inputs, *(_held(x) for _, x in self.captures)]
        compiled = self.made.compiled
        outputs = reference.run(self.program, inputs) if compiled is None else compiled(inputs)
        if not self.guards:
            return outputs
        n = len(outputs) - len(self.guards)
        return [*outputs[:n], *all_on_host(outputs[n:])]

    def whole(self) -> Whole:
        """The path as a tape; what is captured is what it is now."""
        captured = [(row, _held(x)) for row, x in (*self.captures, *self.fixed)]
        derivation = self.made.derivation
        if derivation is None:
            tape, n = self.program.tape, len(self.program.outputs) - len(self.guards)
            rows = iter(self.program.outputs[:n])
            results = tuple([-1 if is_zero else next(rows) for is_zero in self.zeros])
            inputs, guards = self.program.inputs, self.program.outputs[n:]
        else:
            derived = derivation if isinstance(derivation, Derived) else derivation.derived()
            tape, results = derived.tape, derived.results
            inputs = (*self.trace.inputs, *derived.seeds, *(row for row, _ in captured))
            guards = tuple([row for row, _, _ in self.trace.recording.guards])
        return Whole(tape, inputs, results, guards, tuple([np.asarray(x) for _, x in captured]))

    def results(self, inputs: list, again: bool = False) -> list:
        """Results alone, None where the answer is zero.

        again  with the random numbers of the last call, for another part of one answer
        """
        outputs = self.again(inputs) if again else self(inputs)
        return _with_zeros(self, outputs[: len(outputs) - len(self.guards)])


def _layouts(arrays) -> list:
    return [getattr(array, "strides", ()) for array in arrays]


def _captures(recorded: Trace, with_numbers: bool) -> tuple:
    """Input rows that are no arguments: captured tensors, read at every call, and numbers."""
    recording, arguments = recorded.recording, frozenset(recorded.inputs)
    draws = recording.draws
    rows = [(r, draws.get(r, x)) for r, x in recording.inputs.items() if r not in arguments]
    if with_numbers:  # as arrays: a kernel reads memory, and this saves a conversion at every call
        values = recording.values
        rows += [(row, _fixed(values[row])) for row in recording.constants.values()]
    return tuple(rows)


def _held(captured):
    """What a capture gives a program: a tensor's array, numbers drawn, an array as it is."""
    if captured.__class__ is Tensor:
        return captured._value
    return captured.value if captured.__class__ is Draw else captured


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
        if derivation.runner is not None:
            return None
        results, root = [Output(row) for row in derivation.results], -1
    else:
        results = [Output(row) for row in derivation.values]
        results += [Output(row, is_cotangent=True) for row in derivation.wanted]
        root = derivation.root
    results += [Output(row) for row, _, _ in recording.guards]
    inputs = [*recorded.inputs, *(row for row, _ in _captures(recorded, False))]
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


class Eager:
    """A signature of which no paths are kept for the next calls."""

    __slots__ = ("left", "wait", "why")

    def __init__(self, wait: int, why: str):
        self.left = self.wait = wait
        self.why = why


NOT_KEPT = Guards([], "no path is kept", [])
CHANGES = "changes what it reads"

# ---------------------------------------------------------------- one function's paths


class Paths:
    """All paths of one function under one transform."""

    def __init__(
        self,
        function: Callable,
        derive: Callable[[Trace], Derived | Gradient],
        n_levels: int | None = None,
    ):
        self.function = function
        self.derive = derive
        self.n_levels = n_levels
        self.by_signature: Bounded[tuple, list[Path]] = Bounded(MAX_SIGNATURES)
        self.lock = Lock()
        self.made: Bounded[tuple, Made] = Bounded(MAX_SIGNATURES)
        self.eager: Bounded[tuple, Eager] = Bounded(MAX_SIGNATURES)
        self.miss: tuple | None = None
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
        self.miss = None
        for path in paths:
            if path.layouts is not None and path.layouts != _layouts(arrays):
                continue
            if not _agrees(path.guards, outcomes) or not path.reads.hold():
                continue
            recorded = path.trace
            streams = _streams(path)
            try:
                outputs = path([*arrays, *seeds(recorded)])
            except IndexError:  # places computed on a branch this call would not take
                _put_back(streams)
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
            _put_back(streams)
            outcomes = read
            self.miss = path, read
        return None

    def record(self, signature, structure, leaves, arrays, seeds):
        """Record the call, keep it as a path if it may be kept, and answer."""
        with self.lock:
            self.recorded += 1
            eager = self.eager.get(signature)
            if eager is not None and eager.left:
                eager.left -= 1
                path = self.path_of(*self.traced(structure, leaves, seeds), NOT_KEPT, arrays)
                return path, path.results([*arrays, *seeds(path.trace)])
            known = self.by_signature.get(signature, [])
            guards = reads_of(self.function, structure)
            why = nearest.reason(signature, self.by_signature, known, arrays, self.miss)
            self.explain(why, guards.reason)
            recorded, derivation = self.traced(structure, leaves, seeds)
            reason = guards.reason or recorded.recording.impure or None
            if reason is None and not guards.unchanged_since_taken():
                reason = CHANGES
            path = self.path_of(recorded, derivation, guards, arrays)
            if reason is not None:
                self.run_eagerly(signature, reason)
            elif len(known) == MAX_PATHS:
                self.by_signature.pop(signature)
                self.run_eagerly(signature, f"it took {MAX_PATHS} paths; {why}", MAX_PATHS)
            else:
                path.made.compile()
                if path.made.is_reusable:
                    self.made.put(path.made.key, path.made, path.weight)
                known.insert(0, path)
                self.by_signature.put(signature, known, path.weight)
            return path, path.results([*arrays, *seeds(path.trace)])

    def traced(self, structure, leaves: Sequence, seeds: Callable):
        """(a recorded run, its derivation if that runs rules of the user's, which are recorded)."""
        recorded = trace(self.function, structure, leaves, self.n_levels or 0)
        if not recorded.recording.calls:
            return recorded, None
        if self.n_levels is None:
            raise autodiff.rules_unknown()
        recorded = recorded._replace(seeds=functools.partial(seeds, recorded))
        return recorded, self.derive(recorded)

    def path_of(self, recorded: Trace, derivation, guards: Guards, arrays) -> Path:
        """A recorded run as a path; one with the tape of an earlier run takes over its program."""
        key = _key(recorded) if derivation is None else (*_key(recorded), *derivation[1:3])
        made = self.made.get(key)
        if made is None:
            made = Made(key, recorded, derivation or self.derive(recorded))
            if made.is_reusable:
                self.made.put(key, made)
        else:
            made.compile()  # seen before, so likely to be seen again
        return Path(recorded, guards, arrays, made)

    def explain(self, why, reason=None):
        """Note why a call is recorded (TAPEJIT_EXPLAIN prints it)."""
        self.why.append(why)
        del self.why[:-100]
        if settings.explain:
            print(f"tapejit: {self.name} is recorded: {reason or why}", file=sys.stderr)

    def run_eagerly(self, signature, why, wait=1):
        """Keep no paths of a signature for some calls, twice as many each time; say so once."""
        before = self.eager.get(signature)
        if before is not None:
            wait = 2 * before.wait or 1
        elif why == CHANGES:  # a first run may fill a memo: the next is looked at, too
            wait = 0
        self.eager.put(signature, Eager(wait, why))
        if self.has_warned or isinstance(why, Documented):
            return
        self.has_warned = True
        warnings.warn(
            f"tapejit: {self.name} runs eagerly, recorded at every call: {why}",
            RuntimeWarning,
            stacklevel=2,
        )

    @property
    def name(self) -> str:
        """The function's, for messages."""
        return getattr(self.function, "__qualname__", repr(self.function))


def _streams(path: Path) -> list:
    """The generators that a path draws from, and where they are."""
    if not path.draws:
        return []
    generators = {id(d.generator): d.generator for d in path.draws}
    return [(generator, generator._position) for generator in generators.values()]


def _put_back(streams: list) -> None:
    """Let random streams be where they were: what was drawn has not been used."""
    for generator, at in streams:
        generator._position = at


def reads_of(function: Callable, structure) -> Guards:
    """What a call can read besides arrays: through the function, and through code it is given."""
    sources = [function, *trees.code_in(structure)]
    taken = [take(source, lambda value: isinstance(value, Tensor), _array_of) for source in sources]
    return Guards(
        [check for guards in taken for check in guards.checks],
        next((guards.reason for guards in taken if guards.reason), None),
        [array for guards in taken for array in guards.arrays],
    )


def _array_of(tensor):
    return np.asarray(on_host(tensor._value))


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
    if a.dtype.kind == "c":
        return _same(a.real, np.real(b)) and _same(a.imag, np.imag(b))
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
