"""Solutions as functions of what the equations read: implicit differentiation.

Called while something is being recorded (inside `tj.grad`, or with tensors that require grad), a
solver works on plain numbers, outside of the recording.  Its answer x* enters the recording as a
constant, followed by Newton steps x - J(x)^-1 F(x) that are recorded with all that the user's
function reads: arguments and captured values alike.  They hardly move x*, and their derivatives
are those of the solution: k steps have the first 2^k - 1 right (one gives the implicit function
theorem, x' = -J^-1 F').

The answer of a solver belongs to one call, so what is recorded around it is recorded at every call
(`SOLVES`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import NotDifferentiable, TraceError
from tapejit.registry import OPS, kind
from tapejit.scipy.parameters import plain
from tapejit.shapes import aval
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.guards import read
from tapejit.tensor.recording import Documented, Recording, state
from tapejit.transforms import trees
from tapejit.transforms.jacobians import jacobian
from tapejit.transforms.replay import literal

SOLVES = Documented("solves equations by SciPy, whose answer belongs to one call")

EAGER_STEPS = 3
"""Newton steps where nobody knows how many derivatives will follow: seven of them are right."""

FAR = 1e-2
"""How far Newton steps may move a solution, relative to 1 + |x|; a wrong one moves farther."""

# ---------------------------------------------------------------- what is being recorded


def leaves_of(tree) -> list:
    """The leaves of arguments; of what is no number, none."""
    leaves: list = []
    try:
        trees.flatten(tree, leaves, static_ints=False)
    except TraceError:  # any object may be an argument
        if isinstance(tree, tuple):
            return [leaf for part in tree for leaf in leaves_of(part)]
        return []
    return leaves


def is_recorded(*given) -> bool:
    """Whether a call must be differentiable: in a trace, or by tensors that require grad."""
    if state.parked.is_trace:
        return True
    return state.grad_enabled and any(
        isinstance(leaf, Tensor) and leaf._tracked for leaf in leaves_of(given)
    )


def numbers(tree) -> Any:
    """Arguments without their history: arrays where NumPy is spoken, else tensors.

    Each is a value that Python has read: under vmap, samples that differ are solved apart.
    """
    if type(tree) is tuple:
        return tuple([numbers(x) for x in tree])
    leaves: list = []
    try:
        structure = trees.flatten(tree, leaves, static_ints=False)
    except TraceError:
        return tree
    if not any(isinstance(x, Tensor) for x in leaves):
        return tree
    return trees.unflatten(structure, [_number(x) for x in leaves])


def _number(x):
    if not isinstance(x, Tensor):
        return x
    value = read(x)
    if not state.parked.speaks_numpy:
        return wrap(value, x._aval.dtype)
    return value.item() if np.ndim(value) == 0 else np.array(value)


class outside:
    """A solver at work: nothing that it does is recorded, and what is around it is not kept."""

    def __enter__(self):
        self.before = state.parked, state.recording, state.grad_enabled, state.levels
        outer = state.parked
        if outer.is_trace:
            outer.impure = outer.impure or SOLVES
        state.parked = Recording()
        state.parked.speaks_numpy = outer.speaks_numpy
        state.recording, state.grad_enabled, state.levels = None, False, []
        self.dtypes = dtypes.numpy_rules(outer.speaks_numpy)
        self.dtypes.__enter__()

    def __exit__(self, *exception):
        self.dtypes.__exit__()
        state.parked, state.recording, state.grad_enabled, state.levels = self.before
        return False


# ---------------------------------------------------------------- solutions of F(x) = 0


def solution(what: str, condition: Callable, x, fixed: Callable | None = None) -> Tensor | None:
    """The x of condition(x) = 0 near the vector x, recorded; None if nothing recorded is read.

    fixed  fixed(values of the condition) -> which elements of x stay where they are
    """
    found = np.array(x, np.float64)
    if not _reads(condition, found):
        return None
    n_levels = len(state.levels)
    n_steps = max(2, n_levels.bit_length()) if n_levels else EAGER_STEPS
    moving: Any = started(found)
    for _ in range(n_steps):
        values = condition(moving)
        rows = jacobian(condition)(moving)
        if fixed is not None:
            free = ~fixed(np.array(plain(values)))
            values = values * free
            rows = rows * np.outer(free, free) + np.diag((~free).astype(np.float64))
        moving = moving - np.linalg.solve(rows, values)
    moved = np.max(np.abs(plain(moving) - found), initial=0.0)
    if not moved <= FAR * (1 + np.max(np.abs(found), initial=0.0)):
        raise NotDifferentiable(
            f"{what}: SciPy's answer is no solution, so it has no derivative\n"
            f"  got  a Newton step from it goes {moved:.3g} far\n"
            "  try  another start, or a smaller tolerance"
        )
    return moving


def started(x) -> Tensor:
    """A vector as a recorded tensor without history: a row of the trace, if there is one."""
    if not state.parked.is_trace:
        return wrap(x.copy(), tracked=True)
    zeros = literal(kind(OPS["literal"], (0.0,), aval(x.shape, dtypes.float64)))
    return zeros + x


def _reads(condition, x) -> bool:
    """Whether a condition depends on what is being recorded, x apart."""
    leaves = leaves_of(condition(wrap(x.copy())))
    tracked = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf._tracked]
    for leaf in tracked:  # samples of a vmap for which x solves something else are solved apart
        read(leaf)
    return bool(tracked)


KEPT = {"success", "status", "message", "nit", "nfev", "njev", "nhev", "method", "maxcv"}
"""What a differentiable result has of SciPy's beside x and fun; all else were constants."""


def differentiable(result, x, x_flat, fun):
    """SciPy's result with a recorded solution in place of the numbers."""
    found = type(result)({name: result[name] for name in result if name in KEPT})
    found["x"], found["x_flat"], found["fun"] = x, x_flat, fun
    return found
