"""`solve_ivp`: SciPy's, with the right-hand side compiled and its exact Jacobian.

Called while something is being recorded, the solution is a function of the initial state, of the
arguments that are recorded, and of the times.  Here the arguments that are recorded become one
vector; `adjoint` has that function and its derivatives, `flows` what SciPy is given for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.adjoint import Solution
from tapejit.scipy.derivatives import Residuals, kept_on
from tapejit.scipy.flows import Flow, Run, takes_jacobian
from tapejit.scipy.lazy import integrate
from tapejit.scipy.parameters import Parameters, plain
from tapejit.scipy.solutions import is_recorded, leaves_of, numbers, outside
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.transforms import trees

OF_JACOBIAN = {"jac", "jac_sparsity", "lband", "uband"}

SPARSE = 100
"""States above which Radau and BDF are given a sparse Jacobian."""

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
             Reverse mode integrates the adjoint backwards: one solution of as many states, whatever
             the number of arguments.  Small systems go by sensitivities, which serve all outputs at
             once.  A function differentiated around the call is recorded at every call
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
    if takes_jacobian(method) and options.get("jac") is None:
        sparse = first.size > SPARSE and getattr(method, "__name__", method) != "LSODA"
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
    run = Run(flow, method, float(plain(end)), rest, options, result.y.T)
    states: Any = Solution.apply(run, times, _vector([y0]), p)
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

    return kept_on(fun, (Flow, call, layout), lambda: Flow(side)), p, rest
