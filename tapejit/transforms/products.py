"""vjp, jvp and hvp: products with Jacobians and Hessians, which are never formed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import autodiff, dtypes
from tapejit.errors import ShapeError
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program
from tapejit.runtime.devices import as_value, owned, zeros_like
from tapejit.shapes import Aval
from tapejit.simplify import simplify
from tapejit.tape import Program, needed_rows, with_inputs
from tapejit.tensor import backward as engine
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor, from_array, wrap
from tapejit.tensor.modes import enable_grad
from tapejit.tensor.recording import state
from tapejit.tensor.transposing import Linear
from tapejit.transforms import running, trees
from tapejit.transforms.dispatch import (
    Arguments,
    array_of,
    as_seed,
    is_recorded,
    leave,
    rebuild,
    remembered,
    scalar_output,
    with_aliases,
    zeros_of,
)
from tapejit.transforms.gradients import grad
from tapejit.transforms.paths import Derived
from tapejit.transforms.replay import replay
from tapejit.transforms.trace import OutputRow, Trace, trace, uses_numpy

# ---------------------------------------------------------------- vjp and jvp


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


def vjp(function: Callable, *primals) -> tuple[Any, Callable]:
    """(function(*primals), pullback): pullback(cotangent) gives one cotangent per primal.

    The function runs once; what its derivative reads of that run is kept for the pullback, which is
    compiled when it has been called a few times.

    Shapes  the cotangent has the output's shape (and nesting); the answers those of the primals
    Like    jax.vjp; vmap(pullback) takes a batch of cotangents

    >>> import tapejit as tj
    >>> value, pullback = tj.vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> float(value), tuple(map(float, pullback(1.0)))
    (6.0, (3.0, 2.0))
    """
    arguments = Arguments(tuple(range(len(primals))))
    for i, primal in enumerate(primals):
        arguments.check(primal, i)
    leaves: list = []
    structure = trees.flatten((primals, {}), leaves)
    if is_recorded(leaves):
        return _inner_vjp(function, arguments, primals, leaves, True)
    recorded = trace(function, structure, leaves, n_levels=1)
    if _reads_history(recorded):
        return _inner_vjp(function, arguments, primals, leaves, True)
    if recorded.recording.hooks or recorded.recording.calls:  # they are called with tensors
        return _inner_vjp(function, arguments, primals, leaves, False)
    value = rebuild(recorded, [owned(v)[()] for v in _computed(recorded)], leaves)
    return value, _pullback(recorded, arguments, primals, leaves)


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


class Saved:
    """What a pullback reads of a run, and the sweep that reads it."""

    __tapejit_cache__ = True  # it does not change, so no call has to compare it

    def __init__(self, recorded: Trace):
        recording = recorded.recording
        rows = [int(row) for row in recorded.outputs if isinstance(row, OutputRow)]
        self.roots = tuple(r for r in rows if recording.kind(r).aval.dtype.is_inexact)
        self.sweep = autodiff.reverse(recording, self.roots, recorded.inputs)
        tape, n = self.sweep.tape, self.sweep.n_primal
        self.results = [row for row in self.sweep.results if row >= 0]
        needed = needed_rows(tape, self.results)
        read = {x for row in range(n, len(tape)) if needed[row] for x in tape.operands(row)}
        self.rows = sorted(row for row in read if row < n)
        recording.restore(self.rows)
        self.arrays = [recording.values[row] for row in self.rows]
        inputs = frozenset(recorded.inputs)
        for i, row in enumerate(self.rows):
            if row in inputs:  # the caller may go on writing to it
                self.arrays[i] = owned(self.arrays[i])[()]
        ends = (*self.sweep.seeds, *self.rows)
        self.program = Program(with_inputs(tape, ends), ends, self.results)
        self.compiled: Callable | None = None
        self.calls = 0

    def pull(self, seeds: Sequence[Tensor]) -> list:
        """A cotangent per input row, as a tensor; None where it is zero."""
        if any(x._tracked for x in seeds):
            saved = [wrap(as_value(x)) for x in self.arrays]
            tensors = dict(zip(self.program.inputs, [*seeds, *saved], strict=True))
            found = iter(replay(self.program.tape, tensors, self.results))
        else:
            found = map(wrap, self.run([*(x._value for x in seeds), *self.arrays]))
        return [None if row < 0 else next(found) for row in self.sweep.results]

    def run(self, arrays: list) -> list:
        """The program; compiled once it has been run often enough for that to pay."""
        self.calls += 1
        if self.compiled is None and self.calls >= CALLS_THAT_PAY:
            self.compiled = compile_program(simplify(self.program))
        if self.compiled is not None:
            return [as_value(x) for x in self.compiled(arrays)]
        with np.errstate(all="ignore"):  # copies: a cotangent may be the seed itself
            return [owned(x)[()] for x in reference.run(self.program, arrays)]


CALLS_THAT_PAY = 4
"""Calls of a pullback at which it is compiled: that takes milliseconds."""


def _pullback(recorded: Trace, arguments: Arguments, primals, leaves) -> Callable:
    saved, structure = Saved(recorded), recorded.structure
    avals = [
        recorded.recording.kind(x).aval if isinstance(x, OutputRow) else None
        for x in recorded.outputs
    ]
    example = Example(arguments, primals, leaves)

    def pullback(cotangent):
        seeds = _seeds(cotangent, structure, avals)
        return example.answer(saved.pull([s for s in seeds if s is not None]))

    return pullback


class Example:
    """The arguments of a call, whose nesting and language answers have."""

    __tapejit_cache__ = True

    def __init__(self, arguments: Arguments, primals, leaves):
        self.arguments, self.primals, self.leaves = arguments, primals, leaves
        self.is_numpy = uses_numpy(leaves)

    def answer(self, cotangents):
        """Cotangents of the leaves, nested as the arguments are; None: zeros."""
        found = []
        for x, leaf in zip(cotangents, self.leaves, strict=True):
            if x is None:
                array = array_of(leaf)
                x = wrap(zeros_like(array))
            found.append(x if x._tracked else leave(_plain(x, self.is_numpy), leaf, self.is_numpy))
        return self.arguments.gather(self.primals, found)


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


def jvp(function: Callable, primals: Sequence, tangents: Sequence) -> tuple[Any, Any]:
    """(function(*primals), derivative along tangents), in one forward sweep.

    Shapes  tangents as primals; the answer as the output
    Like    jax.jvp

    >>> import tapejit as tj
    >>> value, slope = tj.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    primals, tangents = tuple(primals), tuple(tangents)
    transform = remembered(function, "jvp", _derive_tangent, 1)
    answer = transform.entries.enter((primals, tangents), {})
    if answer is not None:
        return answer
    _check_tangents(primals, tangents)
    leaves: list = []
    trees.flatten((primals, tangents), leaves)
    if is_recorded(leaves):
        return inner_jvp(function, primals, tangents)
    return _run_along(
        transform, primals, tangents, _answer_jvp, lambda: inner_jvp(function, primals, tangents)
    )


def _run_along(transform, primals, tangents, answer, inner):
    """An outermost call whose program takes a tangent for each primal."""
    directions: list = []
    trees.flatten(tangents, directions)
    arrays = [array_of(t) for t in directions]

    def seeds(recorded):
        avals = [recorded.recording.kind(row).aval for row in recorded.inputs]
        return [as_seed(a, aval) for a, aval in zip(arrays, avals, strict=True)]

    called = transform.call(primals, {}, seeds)
    if called.is_inner:
        return inner()
    n = len(called.leaves)
    if called.is_known:
        whole: list = []
        structure = trees.flatten(((primals, tangents), {}), whole)
        both = called._replace(structure=structure, leaves=whole)
        transform.enter(both, lambda trace, results, leaves: answer(trace, results, leaves[:n]))
    return answer(called.path.trace, called.results, called.leaves)


def _answer_jvp(recorded, results, leaves):
    n = len(results) // 2
    value = rebuild(recorded, results[:n], leaves)
    filled = [
        zeros_like(v) if t is None else t for v, t in zip(results[:n], results[n:], strict=True)
    ]
    return value, _tangent_tree(recorded, filled, leaves)


def _tangent_tree(recorded, tangents, leaves):
    rows = iter(tangents)
    zeros = [
        next(rows) if isinstance(o, OutputRow) else np.zeros(np.shape(o)) for o in recorded.outputs
    ]
    is_numpy = uses_numpy(leaves)
    plain = all(type(x) is float for x in leaves)
    values = [
        v.item() if is_numpy and plain and np.ndim(v) == 0 else leave(v, None, is_numpy)
        for v in zeros
    ]
    return trees.unflatten(recorded.structure, values)


def _derive_tangent(recorded: Trace) -> Derived:
    rows = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    if recorded.seeds is not None:
        seeds, tangents = running.forward(
            recorded, recorded.inputs, rows, recorded.levels[0], recorded.seeds()
        )
        return running.derived(recorded, seeds, (*rows, *tangents))
    sweep = autodiff.forward(recorded.recording, recorded.inputs, rows)
    return Derived(sweep.tape, sweep.seeds, (*rows, *sweep.results))


def _check_tangents(primals, tangents):
    xs: list = []
    ts: list = []
    same = trees.flatten(primals, xs) == trees.flatten(tangents, ts)
    if not same or [np.shape(array_of(x)) for x in xs] != [np.shape(array_of(t)) for t in ts]:
        raise ShapeError(
            "jvp: tangents must be nested as the primals, with the same shapes\n"
            f"  primals   {[np.shape(array_of(x)) for x in xs]}\n"
            f"  tangents  {[np.shape(array_of(t)) for t in ts]}"
        )


def inner_jvp(function, primals, tangents):
    """J t as the transpose of v -> vᵀ J, so that it is recorded as operations."""
    arguments = Arguments(tuple(range(len(primals))))
    directions: list = []
    trees.flatten(tangents, directions)
    with enable_grad():
        aliased, aliases = with_aliases(arguments, primals)
        with Level(aliases) as level:
            result = function(*aliased)
        outputs: list = []
        structure = trees.flatten(result, outputs)
        pushed = [_push_inner(o, aliases, directions, level) for o in outputs]
    return result, trees.unflatten(structure, pushed)


def _push_inner(output, aliases, directions, level):
    if not isinstance(output, Tensor) or not output.requires_grad:
        return wrap(np.zeros(np.shape(output))[()])

    def pull(cotangents):
        return engine.gradients_of(
            [output], aliases, cotangents, retain_graph=True, create_graph=True, level=level
        )

    linear = Linear("jvp", pull, [output._aval], is_trusted=not state.parked.calls)
    (result,) = linear.transpose(
        [_as_direction(t, x) for t, x in zip(directions, aliases, strict=True)]
    )
    return zeros_of(output) if result is None else result


def _as_direction(direction, x):
    if not isinstance(direction, Tensor):
        direction = from_array(as_value(direction))
    return direction.to(x._aval.dtype, device=x._aval.device)


# ---------------------------------------------------------------- hvp, jacobian, hessian


def _derive_hvp(recorded: Trace) -> Derived:
    root = scalar_output(recorded, False)
    if root is None:
        return Derived(recorded.recording, (), (-1,) * len(recorded.inputs))
    if recorded.seeds is not None:
        return running.forward_over_reverse(recorded, root, range(len(recorded.inputs)))
    reverse = autodiff.reverse(recorded.recording, (root,), recorded.inputs, unit_seed=True)
    rows = tuple(row for row in reverse.results if row >= 0)
    forward = autodiff.forward(reverse.tape, recorded.inputs, rows)
    tangents = iter(forward.results)
    results = tuple(-1 if row < 0 else next(tangents) for row in reverse.results)
    return Derived(forward.tape, forward.seeds, results)


def hvp(function: Callable, primals: Sequence, v: Sequence) -> Any:
    """The Hessian of a scalar function times a vector, without the Hessian.

    Shapes  v as primals; the answer as primals (one array for one primal)
    Source  Pearlmutter 1994: forward mode over reverse mode

    >>> import tapejit as tj
    >>> tj.hvp(lambda x: x**3, (2.0,), (1.0,))
    12.0
    """
    primals, v = tuple(primals), tuple(v)
    transform = remembered(function, "hvp", _derive_hvp, 2)
    answer = transform.entries.enter((primals, v), {})
    if answer is not None:
        return answer
    _check_tangents(primals, v)
    leaves: list = []
    trees.flatten((primals, v), leaves)
    arguments = Arguments(tuple(range(len(primals))) if len(primals) != 1 else 0)

    def inner():
        gradient = grad(function, arguments.argnums if len(primals) != 1 else 0)
        return inner_jvp(gradient, primals, v)[1]

    if is_recorded(leaves):
        return inner()
    return _run_along(
        transform, primals, v,
        lambda trace, results, leaves: arguments.gather(primals, _products(results, leaves)),
        inner,
    )  # fmt: skip


def _products(results, leaves):
    """One product per argument leaf; zeros where nothing depends on it."""
    is_numpy = uses_numpy(leaves)
    filled = [
        zeros_like(array_of(x)) if r is None else r for r, x in zip(results, leaves, strict=True)
    ]
    return [leave(r, x, is_numpy) for r, x in zip(filled, leaves, strict=True)]
