"""`solve_ivp`: SciPy's, with the right-hand side compiled and its exact Jacobian.

Called while something is being recorded, the solution is a function of the initial state, of the
arguments that are recorded, and of the times (`_Solution`).  Its derivatives are the forward
sensitivities S = d(state)/d(initial state, arguments), integrated beside the state by the same
method at a tenth of the tolerances: S' = f_y S + f_p.  That system is one for the same function
again, so derivatives of any order are there, forward and reverse, and stiff systems stay stable.
It has n (1 + k) states for n states and k numbers differentiated by.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.derivatives import Residuals
from tapejit.scipy.lazy import integrate
from tapejit.scipy.parameters import Parameters, plain
from tapejit.scipy.solutions import is_recorded, leaves_of, numbers, outside
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.function import Function
from tapejit.tensor.guards import read
from tapejit.transforms import trees
from tapejit.transforms.gradients import jit
from tapejit.transforms.jacobians import jacobian

WITH_JACOBIAN = {"Radau", "BDF", "LSODA"}

OF_JACOBIAN = {"jac", "jac_sparsity", "lband", "uband"}

SPARSE = 100
"""States above which Radau and BDF are given a sparse Jacobian."""

TIGHTER = 0.1
"""Tolerances of sensitivities, relative to those of the solution."""

# ---------------------------------------------------------------- solve_ivp


def solve_ivp(
    fun: Callable,
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    **options: Any,
) -> Any:
    """scipy.integrate.solve_ivp with a compiled right-hand side and its exact Jacobian.

    fun      fun(t, y, *args) -> y'; an array, or a list of numbers, as SciPy takes it
    options  SciPy's; jac of Radau, BDF and LSODA is exact where it is not given, and sparse above
             100 states (Radau, BDF)
    Returns  SciPy's OdeResult
    Errors   what fun raises.  Under a derivative: NotDifferentiable for events, dense_output, and
             values that fun reads and that are no arguments
    Derivatives  of `y` by y0, args, t_span and t_eval, of any order; accurate to the tolerances.
             A function differentiated around the call is recorded at every call
    Like     scipy.integrate.solve_ivp

    >>> import numpy as np, tapejit as tj
    >>> def decay(t, y, rate):
    ...     return -rate * y
    >>> def last(rate):
    ...     found = tj.scipy.solve_ivp(decay, (0, 1), [2.0], args=(rate,), rtol=1e-8, atol=1e-8)
    ...     return found.y[0, -1]
    >>> slope = tj.grad(last)(0.5)
    >>> f"{slope:.5f}", f"{-2 * np.exp(-0.5):.5f}"
    ('-1.21306', '-1.21306')
    """
    given = () if args is None else tuple(args)
    if is_recorded(t_span, y0, t_eval, given):
        return _recorded(
            fun, t_span, y0, method, t_eval, dense_output, events, vectorized, given, options
        )
    first = np.asarray(plain(y0))
    if first.dtype.kind == "c" or first.ndim != 1:  # SciPy's business
        return integrate().solve_ivp(
            fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        )
    side = (_ColumnSide if vectorized else _Side).of(fun, Parameters(first.astype(np.float64)))
    if method in WITH_JACOBIAN and options.get("jac") is None:
        sparse = first.size > SPARSE and method != "LSODA"
        rows = side.sparse_jacobian if sparse else side.jacobian
        options = {**options, "jac": lambda t, y, *args: rows(y, float(t), *args)}
    return integrate().solve_ivp(
        lambda t, y, *args: side.values(y, float(t), *args),
        t_span, first, method, t_eval, dense_output, events, False, args, **options,
    )  # fmt: skip


class _Side(Residuals):
    """A right-hand side f(t, y, *args), as a function of y first."""

    @staticmethod
    def call(function, tree, args, kwargs):
        """The user's function at a state; args begins with the time."""
        return function(args[0], tree, *args[1:])

    def sparse_jacobian(self, y, *args):
        """The Jacobian as SciPy's CSC array, which it factorises."""
        return super().sparse_jacobian(y, *args).tocsc()


class _ColumnSide(_Side):
    """One that is vectorized: it takes states as columns."""

    @staticmethod
    def call(function, tree, args, kwargs):
        """The user's function at one column."""
        return function(args[0], tree.reshape(-1, 1), *args[1:])


# ---------------------------------------------------------------- solutions as functions


def _recorded(fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, options):
    """SciPy's result; its states recorded, if they depend on what is being recorded."""
    first, plain_args = numbers(y0), numbers(args)
    when, wanted = numbers(tuple(t_span)), numbers(t_eval)
    with outside():
        result = solve_ivp(
            fun, when, first, method, wanted, dense_output, events, vectorized, plain_args,
            **options,
        )  # fmt: skip
    _check_closed(fun, t_span, y0, args, vectorized)
    places = [i for i, x in enumerate(leaves_of(args)) if isinstance(x, Tensor) and x._tracked]
    span = leaves_of((*t_span, y0, t_eval))
    if not places and not any(isinstance(x, Tensor) and x._tracked for x in span):
        return result
    if events is not None or dense_output:
        raise NotDifferentiable(
            "solve_ivp: events and dense_output have no derivatives here\n"
            "  try  t_eval, with the times at which the state is wanted"
        )
    if result.status:
        raise NotDifferentiable(f"solve_ivp: there is no solution: {result.message}")
    flow, p, rest = _flow_of(fun, args, places, vectorized)
    start, end = t_span
    inner = result.t[1:-1] if t_eval is None else t_eval
    times = _vector([start, inner, end] if t_eval is None else [start, inner])
    options = {name: x for name, x in options.items() if name not in OF_JACOBIAN}
    if t_eval is not None and not len(result.t):
        return result
    run = _Run(flow, method, float(plain(end)), rest, options, result.y.T)
    states: Any = _Solution.apply(run, times, _vector([y0]), p)
    if t_eval is None:
        states = FUNCTIONS["cat"]([_vector([y0])[None], states])
    result.t = times if t_eval is None else _vector([t_eval])
    result.y = states.T
    return result


def _check_closed(fun, t_span, y0, args, vectorized):
    """Raise if the right-hand side reads what is differentiated, but by no argument."""
    y = np.array(plain(_vector([y0])))
    given = fun(float(plain(t_span[0])), y[:, None] if vectorized else y, *numbers(args))
    if any(isinstance(x, Tensor) and x._tracked for x in leaves_of(given)):
        raise NotDifferentiable(
            "solve_ivp: a derivative is being taken by a value that the right-hand side reads, and "
            "that is no argument of it\n  try  args=(value,)"
        )


def _vector(parts) -> Tensor:
    """Numbers, arrays and tensors as one vector of float64."""
    vectors = []
    for part in parts:
        for leaf in part if isinstance(part, list | tuple) else [part]:
            x = leaf if isinstance(leaf, Tensor) else wrap(np.asarray(leaf, np.float64))
            vectors.append(x.reshape(-1))
    return FUNCTIONS["cat"](vectors)


class _Arguments(NamedTuple):
    """How recorded arguments lie in one vector."""

    structure: Any
    places: tuple
    shapes: tuple

    def nested(self, p, rest):
        """All arguments, from the vector and the leaves that are not in it."""
        leaves, start = list(rest), 0
        for i, shape in zip(self.places, self.shapes, strict=True):
            size = int(np.prod(shape))
            leaves[i] = p[start : start + size].reshape(shape) if shape else p[start]
            start += size
        return trees.unflatten(self.structure, leaves)


def _flow_of(fun, args, places, vectorized):
    """The flow of a right-hand side, its recorded arguments as a vector, and the other leaves."""
    leaves: list = []
    structure = trees.flatten(args, leaves, static_ints=False)
    shapes = tuple([leaves[i]._aval.shape for i in places])
    layout = _Arguments(structure, tuple(places), shapes)
    rest = tuple([0.0 if i in places else numbers(x) for i, x in enumerate(leaves)])
    p = _vector([leaves[i] for i in places]) if places else wrap(np.zeros(0))
    call = _ColumnSide.call if vectorized else _Side.call

    def side(t, y, p, rest):
        return Residuals.form(call(fun, y, (t, *layout.nested(p, rest)), {}))

    return _Flow(side, bool(places)), p, rest


class _Flow:
    """A right-hand side f(t, y, p, rest) on vectors."""

    __tapejit_cache__ = True

    def __init__(self, side: Callable, has_arguments: bool):
        self.side = side
        self.has_arguments = has_arguments
        self.compiled = jit(side)
        self.rows = jacobian(side, argnums=1)

    @cached_property
    def with_sensitivities(self) -> _Flow:
        """That of the state and of its derivatives by initial state and arguments, in rows."""
        side = self.side
        by_state, by_p = jacobian(side, argnums=1), jacobian(side, argnums=2)

        def augmented(t, z, p, rest):
            n = _n_states(z.shape[0], p.shape[0])
            y, s = z[:n], z[n:].reshape(n, n + p.shape[0])
            rates = by_state(t, y, p, rest) @ s
            if p.shape[0]:
                rates = rates + np.concatenate([np.zeros((n, n)), by_p(t, y, p, rest)], axis=1)
            return np.concatenate([side(t, y, p, rest), rates.reshape(-1)])

        return _Flow(augmented, self.has_arguments)


def _n_states(size: int, m: int) -> int:
    """The n of size = n + n (n + m)."""
    return round((np.sqrt((1 + m) ** 2 + 4 * size) - (1 + m)) / 2)


class _Run(NamedTuple):
    """What a solution does not depend on smoothly."""

    flow: _Flow
    method: Any
    end: float
    rest: tuple
    options: dict
    known: np.ndarray | None = None
    """The states that SciPy found already, if any."""

    def states(self, times, y0, p) -> np.ndarray:
        """The states at all times but the first, a row each."""
        if self.known is not None:
            return self.known[len(self.known) - len(times) + 1 :]
        flow, rest, options = self.flow, self.rest, dict(self.options)
        if self.method in WITH_JACOBIAN:
            options["jac"] = lambda t, y: plain(flow.rows(float(t), y, p, rest))
        found = integrate().solve_ivp(
            lambda t, y: plain(flow.compiled(float(t), y, p, rest)),
            (times[0], self.end), y0, self.method, times[1:], **options,
        )  # fmt: skip
        if found.status:
            raise NotDifferentiable(f"solve_ivp: no sensitivities were found: {found.message}")
        return found.y.T

    def with_sensitivities(self) -> _Run:
        """The run of states and sensitivities."""
        options = dict(self.options)
        options["rtol"] = max(TIGHTER * np.min(options.get("rtol", 1e-3)), 1e-13)
        options["atol"] = TIGHTER * np.min(options.get("atol", 1e-6))
        return self._replace(flow=self.flow.with_sensitivities, options=options, known=None)


class _Solution(Function):
    """States at times[1:], a row each, from y0 at times[0] with arguments p."""

    @staticmethod
    def forward(ctx, run, times, y0, p):
        """Solve."""
        ctx.run = run
        given = [np.array(read(x), np.float64) for x in (times, y0, p)]
        with outside():
            states = run.states(*given)
        result = wrap(np.array(states))
        ctx.save_for_backward(times, y0, p, result)
        ctx.save_for_forward(times, y0, p, result)
        return result

    @staticmethod
    def backward(ctx, g):
        """Cotangents: g times the sensitivities."""
        times, y0, p, states = ctx.saved_tensors
        by_y0, by_p = _sensitivities(ctx.run, times, y0, p)
        by_times = None
        if ctx.needs_input_grad[1]:
            begin, later = _rates(ctx.run, times, y0, p, states)
            first = -np.sum(g * (by_y0 @ begin))
            by_times = np.concatenate([first[None], np.sum(g * later, axis=1)])
        to_y0 = np.einsum("ti,tij->j", g, by_y0)
        return None, by_times, to_y0, np.einsum("ti,tij->j", g, by_p) if p.shape[0] else None

    @staticmethod
    def jvp(ctx, _, t_times, t_y0, t_p):
        """Tangents: the sensitivities times those of the arguments."""
        times, y0, p, states = ctx.saved_tensors
        by_y0, by_p = _sensitivities(ctx.run, times, y0, p)
        tangent = states * 0.0
        if t_y0 is not None:
            tangent = tangent + by_y0 @ t_y0
        if t_p is not None and p.shape[0]:
            tangent = tangent + by_p @ t_p
        if t_times is not None:
            begin, later = _rates(ctx.run, times, y0, p, states)
            tangent = tangent + later * t_times[1:][:, None] - (by_y0 @ begin) * t_times[0]
        return tangent


def _sensitivities(run, times, y0, p):
    """Derivatives of the states by y0 and by p, per time; recorded."""
    n, m = y0.shape[0], p.shape[0]
    z0 = np.concatenate([y0, np.eye(n, n + m).reshape(-1)])
    z: Any = _Solution.apply(run.with_sensitivities(), times, z0, p)
    s = z[:, n:].reshape(z.shape[0], n, n + m)
    return s[:, :, :n], s[:, :, n:]


def _rates(run, times, y0, p, states):
    """The right-hand side at the start, and at each later time; recorded."""
    side, rest = run.flow.side, run.rest
    later = [side(times[i + 1], states[i], p, rest) for i in range(states.shape[0])]
    return side(times[0], y0, p, rest), np.stack(later)
