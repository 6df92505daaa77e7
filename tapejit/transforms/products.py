"""jvp and hvp: products with Jacobians and Hessians along a direction, in forward sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import autodiff
from tapejit.errors import ShapeError
from tapejit.runtime.devices import as_value, moved, zeros_like
from tapejit.shapes import CPU
from tapejit.tensor import backward as engine
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor, from_array, wrap
from tapejit.tensor.modes import enable_grad
from tapejit.tensor.recording import state
from tapejit.tensor.transposing import Linear
from tapejit.transforms import running, trees
from tapejit.transforms.dispatch import (
    Arguments,
    Transform,
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
from tapejit.transforms.trace import OutputRow, Trace, uses_numpy

# ---------------------------------------------------------------- jvp


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
    transform = remembered(function, "jvp", _along_tangents)
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


def _along_tangents(function):
    return Transform(function, _derive_tangent, n_levels=1)


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
    zeros = [next(rows) if isinstance(o, OutputRow) else _unmoved(o) for o in recorded.outputs]
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


def _unmoved(output):
    """The tangent of a result that no direction reaches: zeros, where it lies."""
    device = output._aval.device if isinstance(output, Tensor) else getattr(output, "device", CPU)
    return moved(np.zeros(np.shape(output)), device)


def _push_inner(output, aliases, directions, level):
    if not isinstance(output, Tensor) or not output.requires_grad:
        return wrap(_unmoved(output)[()])

    def pull(cotangents):
        return engine.gradients_of(
            [output], aliases, cotangents, retain_graph=True, create_graph=True, level=level
        )

    is_trusted = all(call.is_linear for call in state.parked.calls.values())
    linear = Linear("jvp", pull, [output._aval], is_trusted)
    (result,) = linear.transpose(
        [_as_direction(t, x) for t, x in zip(directions, aliases, strict=True)]
    )
    return zeros_of(output) if result is None else result


def _as_direction(direction, x):
    if not isinstance(direction, Tensor):
        direction = from_array(as_value(direction))
    return direction.to(x._aval.dtype, device=x._aval.device)


# ---------------------------------------------------------------- hvp


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
    transform = remembered(function, "hvp", _along_gradient)
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


def _along_gradient(function):
    return Transform(function, _derive_hvp, n_levels=2)


def _products(results, leaves):
    """One product per argument leaf; zeros where nothing depends on it."""
    is_numpy = uses_numpy(leaves)
    filled = [
        zeros_like(array_of(x)) if r is None else r for r, x in zip(results, leaves, strict=True)
    ]
    return [leave(r, x, is_numpy) for r, x in zip(filled, leaves, strict=True)]
