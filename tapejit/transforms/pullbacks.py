"""vjp: a function's value, and the product of any cotangent with its Jacobian.

Two programs stand for a run of the function: the *forward* one gives the value and the rows that
the derivative reads, which are kept; the *sweep* takes those and a cotangent.

    value, pullback = vjp(f, x)      first call of a signature: recorded, nothing is compiled
                                     second call: both programs; later ones are native calls
    (gx,) = pullback(gy)             the sweep; compiled once it has been run a few times

Most functions given to `vjp` are called once and forgotten, so the first call must be cheap.
Where the sweep is no program (rules of the user's, hooks, a tensor with a history), it is a
backward pass over what was recorded (`_inner_vjp`), as it is inside other transforms.

Start at `vjp`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit import autodiff, dtypes
from tapejit.bounded import Bounded
from tapejit.errors import ShapeError
from tapejit.families import MOVES
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program
from tapejit.runtime.devices import as_value, owned, zeros_like
from tapejit.shapes import Aval
from tapejit.simplify import simplify
from tapejit.tape import Program, needed_rows, with_inputs
from tapejit.tensor import backward as engine
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.modes import enable_grad
from tapejit.tensor.recording import state
from tapejit.transforms import trees
from tapejit.transforms.dispatch import (
    Arguments,
    Called,
    Transform,
    array_of,
    as_seed,
    is_recorded,
    leave,
    no_seeds,
    rebuild,
    remembered,
    with_aliases,
    zeros_of,
)
from tapejit.transforms.entering import Composed
from tapejit.transforms.paths import MAX_SIGNATURES, Derived
from tapejit.transforms.replay import replay
from tapejit.transforms.trace import OutputRow, Trace, trace, uses_numpy

CALLS_THAT_PAY = 4
"""Calls of a sweep at which it is compiled: that takes milliseconds."""

# ---------------------------------------------------------------- vjp


def vjp(function: Callable, *primals) -> tuple[Any, Callable]:
    """(function(*primals), pullback): pullback(cotangent) gives one cotangent per primal.

    The function runs once; what its derivative reads of that run is kept for the pullback, so
    arguments may be written to meanwhile.  Both parts are compiled when the same function is called
    again with such arguments.

    Shapes  the cotangent has the output's shape (and nesting); the answers those of the primals
    Like    jax.vjp; vmap(pullback) takes a batch of cotangents

    >>> import tapejit as tj
    >>> value, pullback = tj.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> float(value), tuple(map(float, pullback(1.0)))
    (6.0, (3.0, 2.0))
    """
    forward = remembered(function, "vjp", Forward)
    answer = forward.entries.enter(primals, {})
    if answer is not None:
        return answer
    arguments = Arguments(tuple(range(len(primals))))
    for i, primal in enumerate(primals):
        arguments.check(primal, i)
    signature, structure, leaves = forward.signature(primals, {})
    if is_recorded(leaves):
        return _inner_vjp(function, arguments, primals, leaves, True)
    if forward.is_worth_compiling(signature):
        try:
            called = forward.call(primals, {}, no_seeds)
        except NoProgram:
            forward.refused.put(signature, True)
        else:
            if called.is_inner:
                return _inner_vjp(function, arguments, primals, leaves, True)
            return forward.answer_of(called)
    recorded = trace(function, structure, leaves, n_levels=1)
    if _reads_history(recorded):
        return _inner_vjp(function, arguments, primals, leaves, True)
    if recorded.recording.hooks or recorded.recording.calls:  # they are called with tensors
        return _inner_vjp(function, arguments, primals, leaves, False)
    values = [owned(x)[()] for x in _computed(recorded)]
    pull = Pull(recorded)
    ends = pull.ends(recorded, structure, leaves)
    return rebuild(recorded, values, leaves), _pullback(pull, ends, pull.kept_of(recorded))


def _reads_history(recorded: Trace) -> bool:
    """Whether the function read a tensor with a history, in which the derivative goes on."""
    if not (state.grad_enabled or state.parked.is_trace):
        return False
    recording = recorded.recording
    own = (*recorded.inputs, *recording.draws)
    return any(
        x._tracked and row not in own and recording.is_outer(row, x)
        for row, x in recording.inputs.items()
    )


def _computed(recorded):
    pairs = zip(recorded.outputs, recorded.values, strict=True)
    return [value for output, value in pairs if isinstance(output, OutputRow)]


# ---------------------------------------------------------------- the forward program


class NoProgram(Exception):
    """The derivative is taken by functions that need tensors."""


class Forward(Transform):
    """The value of a function and what its derivative reads, kept on the function."""

    def __init__(self, function: Callable):
        super().__init__(function, _derive_forward, n_levels=1)
        self.seen: Bounded[tuple, bool] = Bounded(MAX_SIGNATURES)
        self.refused: Bounded[tuple, bool] = Bounded(MAX_SIGNATURES)

    def is_worth_compiling(self, signature: tuple) -> bool:
        """Whether there was such a call before, and the function can be a program."""
        if signature in self.refused or signature in self.paths.eager:
            return False
        if signature in self.seen:
            return True
        self.seen.put(signature, True)
        return False

    def answer_of(self, called: Called) -> tuple[Any, Callable]:
        """Value and pullback; the next call like this is a native one."""
        path, leaves, results = called.path, called.leaves, called.results
        n = sum(isinstance(x, OutputRow) for x in path.trace.outputs)
        pull: Any = path.made.then
        ends = pull.ends(path.trace, called.structure, leaves)
        make = functools.partial(_pullback, pull, ends)
        if called.is_known:
            self.enter(
                called,
                lambda trace, results, leaves: (
                    rebuild(trace, results[:n], leaves),
                    Composed(make, results[n:]),
                ),
            )
        return rebuild(path.trace, results[:n], leaves), make(results[n:])


def _derive_forward(recorded: Trace) -> Derived:
    if recorded.recording.hooks or recorded.seeds is not None:
        raise NoProgram
    pull = Pull(recorded)
    rows = [int(row) for row in recorded.outputs if isinstance(row, OutputRow)]
    return Derived(recorded.recording, (), (*rows, *pull.rows), then=pull)


# ---------------------------------------------------------------- the sweep


class Pull:
    """The program of a pullback: of cotangents, and of rows that were kept of a run."""

    __tapejit_cache__ = True  # it does not change, so no call has to compare it

    def __init__(self, recorded: Trace):
        recording = recorded.recording
        rows = [int(row) for row in recorded.outputs if isinstance(row, OutputRow)]
        roots = tuple(r for r in rows if recording.kind(r).aval.dtype.is_inexact)
        sweep = autodiff.reverse(recording, roots, recorded.inputs)
        self.rows = _rows_to_keep(sweep)
        self.is_zero = [row < 0 for row in sweep.results]
        self.results = [row for row in sweep.results if row >= 0]
        ends = (*sweep.seeds, *self.rows)
        self.program = Program(with_inputs(sweep.tape, ends), ends, self.results)
        self.compiled: Callable | None = None
        self.calls = 0

    def kept_of(self, recorded: Trace) -> list:
        """The rows' values in a recorded run."""
        recording = recorded.recording
        recording.restore(self.rows)
        # what is an argument, or part of one, or captured, may be written to
        return [
            owned(recording.values[row])[()]
            if not recording.operands(row) or recording.kind(row).op.family in MOVES
            else recording.values[row]
            for row in self.rows
        ]

    def ends(self, recorded: Trace, structure, leaves: Sequence) -> Ends:
        """The ends of a run with these arguments, which are not kept."""
        kind = recorded.recording.kind
        avals = [kind(x).aval if isinstance(x, OutputRow) else None for x in recorded.outputs]
        floats = [0.0 if type(x) is float else None for x in leaves]
        pairs = zip(self.is_zero, leaves, strict=True)
        zeros = [zeros_like(array_of(x)) if is_zero else None for is_zero, x in pairs]
        return Ends(recorded.structure, avals, structure, floats, zeros, uses_numpy(leaves))

    def __call__(self, seeds: Sequence[Tensor], kept: Sequence) -> list:
        """A cotangent per argument leaf, as a tensor; None where it is zero."""
        if any(x._tracked for x in seeds):
            saved = [wrap(as_value(x)) for x in kept]
            tensors = dict(zip(self.program.inputs, [*seeds, *saved], strict=True))
            found = iter(replay(self.program.tape, tensors, self.results))
        else:
            found = map(wrap, self.run([*(x._value for x in seeds), *kept]))
        return [None if is_zero else next(found) for is_zero in self.is_zero]

    def run(self, arrays: list) -> list:
        """The program; compiled once it has been run often enough for that to pay."""
        self.calls += 1
        if self.compiled is None and self.calls >= CALLS_THAT_PAY:
            self.compiled = compile_program(simplify(self.program))
        if self.compiled is not None:
            return [as_value(x) for x in self.compiled(arrays)]
        with np.errstate(all="ignore"):  # copies: a cotangent may be the seed itself
            return [owned(x)[()] for x in reference.run(self.program, arrays)]


def _rows_to_keep(sweep: autodiff.Sweep) -> list[int]:
    """The primal rows that a sweep is computed of; not a view, but what it is a view of."""
    tape, n = sweep.tape, sweep.n_primal
    needed = needed_rows(tape, [row for row in sweep.results if row >= 0])
    kept: set[int] = set()
    stack = [x for row in range(n, len(tape)) if needed[row] for x in tape.operands(row) if x < n]
    while stack:
        row = stack.pop()
        kind, operands = tape.kind(row), tape.operands(row)
        # a part of something large is kept alone; what is broadcast, as it was before
        if kind.op.family == "view" and kind.aval.size >= tape.kind(operands[0]).aval.size:
            stack += operands
        else:
            kept.add(row)
    return sorted(kept)


# ---------------------------------------------------------------- a pullback


class Ends(NamedTuple):
    """How output and arguments are nested, and what their leaves are."""

    output: Any
    avals: list[Aval | None]
    """Of the output's leaves; None of what is no row."""
    arguments: Any
    floats: list[float | None]
    """Of argument leaves: a number for a Python float."""
    zeros: list
    """Of argument leaves that nothing depends on."""
    is_numpy: bool


class Run:
    """What is kept of a run of a function."""

    __tapejit_cache__ = True  # it does not change, so no call has to compare it

    def __init__(self, pull: Pull, ends: Ends, kept: Sequence):
        self.pull, self.ends, self.kept = pull, ends, kept

    def __call__(self, cotangent):
        """Cotangents of the arguments, nested as these were."""
        ends = self.ends
        seeds = _seeds(cotangent, ends.output, ends.avals)
        found = self.pull([s for s in seeds if s is not None], self.kept)
        cotangents = [
            x if x._tracked else leave(_plain(x, ends.is_numpy), example, ends.is_numpy)
            for x, example in zip(self.filled(found), ends.floats, strict=True)
        ]
        return trees.unflatten(ends.arguments, cotangents)[0]

    def filled(self, found):
        """The cotangents, with zeros where there is none."""
        pairs = zip(found, self.ends.zeros, strict=True)
        return [wrap(owned(zero)[()]) if x is None else x for x, zero in pairs]


def _pullback(pull: Pull, ends: Ends, kept: Sequence) -> Callable:
    run = Run(pull, ends, kept)

    def pullback(cotangent):
        return run(cotangent)

    return pullback


def _seeds(cotangent, structure, avals) -> list[Tensor | None]:
    """A cotangent's leaves as tensors like the outputs; None where there is no derivative."""
    seeds: list = []
    if trees.flatten(cotangent, seeds) != structure:
        seeds = []
        if trees.flatten(cotangent, seeds, static_ints=False) != structure and len(seeds) != len(
            avals
        ):
            raise ShapeError("vjp: the cotangent is nested differently from the output")
    return [
        None if one is None or not one.dtype.is_inexact else _seed_like(one, seed)
        for one, seed in zip(avals, seeds, strict=True)
    ]


# ---------------------------------------------------------------- inside other transforms


def _plain(value, is_numpy):
    if not is_numpy or not isinstance(value, Tensor):
        return value
    return value._value


@contextlib.contextmanager
def _speaking(numpy: bool):
    """Whether methods mean NumPy's, while a function runs eagerly."""
    before = state.parked.speaks_numpy
    state.parked.speaks_numpy = before or numpy
    try:
        yield
    finally:
        state.parked.speaks_numpy = before


def _inner_vjp(function, arguments, primals, leaves, inner):
    """Both parts as operations; `inner`: recorded, as part of what is outside."""
    is_numpy = uses_numpy(leaves)
    with enable_grad(), dtypes.numpy_rules(is_numpy), _speaking(is_numpy):
        aliased, aliases = with_aliases(arguments, primals)
        with Level(aliases) as level:
            result = function(*aliased)
    outputs: list = []
    structure = trees.flatten(result, outputs)
    avals = [o._aval if isinstance(o, Tensor) and o.requires_grad else None for o in outputs]

    def pullback(cotangent):
        seeds = _seeds(cotangent, structure, avals)
        pairs = [(o, s) for o, s in zip(outputs, seeds, strict=True) if s is not None]
        with enable_grad():
            results = (
                engine.gradients_of(
                    [o for o, _ in pairs], aliases, [s for _, s in pairs],
                    retain_graph=True, create_graph=inner or any(s._tracked for _, s in pairs),
                    level=level,
                )
                if pairs
                else [None] * len(aliases)
            )  # fmt: skip
        answers = [zeros_of(x) if g is None else g for g, x in zip(results, aliases, strict=True)]
        typed = [
            float(a._value)
            if type(leaf) is float and is_numpy and not a._tracked
            else _plain(a, is_numpy and not a._tracked)
            for a, leaf in zip(answers, leaves, strict=True)
        ]
        return arguments.gather(primals, typed)

    plain = [_leave_vjp(o, is_numpy, inner) for o in outputs]
    return trees.unflatten(structure, plain), pullback


def _leave_vjp(output, is_numpy, inner):
    if not isinstance(output, Tensor) or inner:
        return output
    value = owned(output._value)[()]
    return value if is_numpy else wrap(value)


def _seed_like(one: Aval, seed) -> Tensor:
    if not isinstance(seed, Tensor):
        seed = wrap(as_seed(seed, one))
    if seed._aval.shape != one.shape:
        raise ShapeError(
            f"cotangent of shape {seed._aval.shape} for an output of shape {one.shape}"
        )
    return seed if seed._aval.dtype is one.dtype else seed.to(one.dtype)
