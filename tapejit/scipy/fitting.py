"""`least_squares` and `curve_fit`: SciPy's, with exact Jacobians where none are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.bounds import box_of
from tapejit.scipy.derivatives import Model, Residuals
from tapejit.scipy.lazy import optimize
from tapejit.scipy.parameters import Parameters, plain
from tapejit.scipy.results import called_back, restored
from tapejit.scipy.solutions import (
    differentiable,
    is_recorded,
    leaves_of,
    numbers,
    outside,
    solution,
)
from tapejit.tensor.core import Tensor
from tapejit.tensor.recording import state
from tapejit.transforms.gradients import grad

UNBOUNDED = (-np.inf, np.inf)


def least_squares(
    fun: Callable,
    x0: Any,
    jac: Any = None,
    bounds: Any = UNBOUNDED,
    method: str = "trf",
    *settings: Any,
    args: tuple = (),
    kwargs: Any = None,
    callback: Callable | None = None,
    **named: Any,
) -> Any:
    """scipy.optimize.least_squares with the exact Jacobian, for parameters of any nesting.

    fun       fun(x, *args, **kwargs) -> residuals: an array, or a nesting of arrays
    x0        an array, a number, or lists, tuples, dicts, dataclasses of them; computed in float64
    jac       None: exact; "sparse": the same as a SciPy CSR array, its pattern read from the
              operations, which is also what tr_solver="lsmr" or a jac_sparsity means.  Anything
              else is SciPy's: a function, "2-point" (jac_sparsity=True: the exact pattern), ...
    bounds    SciPy's, with each end nested like x0; or nested like x0, with (low, high) or None
    settings  all others of scipy.optimize.least_squares, by name or in its order; x_scale may be
              nested like x0
    Returns   SciPy's OptimizeResult; x is nested like x0, x_flat the vector
    Errors    what fun raises; NotDifferentiable where it has no derivative
    Derivatives  of x and fun under tj.grad and its kin, implicitly, by all that fun reads, of any
              order; what is around is recorded at every call.  Of loss='linear' only
    Like      scipy.optimize.least_squares; with jac written by hand, the same iterates

    >>> import numpy as np, tapejit as tj
    >>> t = np.linspace(0.0, 1.0, 20)
    >>> y = 2.0 * np.exp(-3.0 * t)
    >>> found = tj.scipy.least_squares(
    ...     lambda p: p["scale"] * np.exp(-p["rate"] * t) - y, {"scale": 1.0, "rate": 1.0})
    >>> {name: round(value, 6) for name, value in found.x.items()}
    {'scale': 2.0, 'rate': 3.0}
    """
    args = args if isinstance(args, tuple) else (args,)
    if is_recorded(x0, args, kwargs):
        named = {**named, "callback": callback}
        return _recorded_fit(fun, x0, jac, bounds, method, settings, args, kwargs or {}, named)
    parameters = Parameters(x0)
    signature = inspect.signature(optimize().least_squares)
    others = signature.bind(None, None, None, None, None, *settings, **named).arguments
    others = {name: value for name, value in list(others.items())[5:] if value is not None}
    scale = others.get("x_scale", 1.0)
    if not isinstance(scale, str | float | int | np.generic):
        others["x_scale"] = parameters.flat(scale, "x_scale")
    if callback is not None:
        others["callback"] = called_back(parameters, callback)
    residuals, keywords, start = Residuals.of(fun, parameters), kwargs or {}, parameters.flat(x0)
    wants_sparse = others.get("tr_solver") == "lsmr" or "jac_sparsity" in others
    if jac is None and wants_sparse and method != "lm":
        jac = "sparse"
    if others.get("jac_sparsity") is True:
        others["jac_sparsity"] = residuals.pattern(start, *args, **keywords)
    values, rows = _functions(residuals, jac, args, keywords)
    result = optimize().least_squares(
        values, start, rows, box_of(parameters, bounds), method, **others
    )
    return restored(parameters, result)


def _recorded_fit(fun, x0, jac, bounds, method, settings, args, kwargs, named):
    """A least-squares fit as a function of what `fun` reads; parameters at a bound stay there."""
    first, given, given_named = numbers(x0), numbers(args), numbers(kwargs)
    parameters = Parameters(first)
    with outside():
        result = least_squares(
            fun, first, jac, bounds, method, *settings, args=given, kwargs=given_named, **named
        )
    residuals = Residuals(fun, parameters)
    values = lambda x: residuals.flat(x, *args, **kwargs)  # noqa: E731
    condition = grad(lambda x: 0.5 * (values(x) ** 2).sum())
    held = np.array(result["active_mask"]) != 0
    fixed = (lambda _: held) if held.any() else None
    x = solution("least_squares", condition, result["x_flat"], fixed)
    if x is None:
        return result
    if named.get("loss", "linear") != "linear" or len(settings) > 3:  # they begin ftol, xtol, gtol
        raise NotDifferentiable(
            "least_squares: only fits with loss='linear' have derivatives here\n"
            "  try  minimize, of the loss that is meant"
        )
    found = differentiable(result, parameters.nested(x), x, values(x))
    found["cost"] = 0.5 * (found["fun"] ** 2).sum()
    return found


def _functions(residuals, jac, args, kwargs):
    """SciPy's fun and jac, on the vector; the user's function as it is where jac is not ours."""
    if jac is None or jac == "sparse":
        rows = residuals.jacobian if jac is None else residuals.sparse_jacobian
        return (
            lambda x: residuals.values(x, *args, **kwargs),
            lambda x: rows(x, *args, **kwargs),
        )
    if callable(jac):
        given = Residuals(jac, residuals.parameters)
        jac = lambda x: plain(given.as_written(x, *args, **kwargs))  # noqa: E731
    return lambda x: residuals.plain(x, *args, **kwargs), jac


def curve_fit(
    f: Callable,
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: Any = None,
    bounds: Any = UNBOUNDED,
    method: Any = None,
    jac: Any = None,
    **settings: Any,
) -> Any:
    """scipy.optimize.curve_fit with the exact Jacobian.

    f         f(x, *parameters) -> the model at x; f(x, **parameters) if p0 is a dict
    p0        a number for each parameter; or a list, tuple or dict with an array of any shape for
              some.  None: as many as f takes, begun as SciPy does
    jac       None: exact.  Anything else is SciPy's: jac(x, *parameters), "2-point", ...
    bounds    SciPy's, with each end nested like p0; or, if p0 is a dict, a dict of (low, high)
    settings  all others of scipy.optimize.curve_fit, and of the solver
    Returns   (popt, pcov, ...) as SciPy does; popt is nested like p0, pcov is of the flat vector
    Errors    what f raises; RuntimeError where SciPy finds no optimum
    Like      scipy.optimize.curve_fit; with jac written by hand, the same iterates

    >>> import numpy as np, tapejit as tj
    >>> x = np.linspace(0.0, 4.0, 50)
    >>> y = 2.5 * np.exp(-1.3 * x) + 0.5
    >>> popt, pcov = tj.scipy.curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, y)
    >>> np.round(popt, 6)
    array([2.5, 1.3, 0.5])
    """
    if isinstance(p0, float | int | np.generic):
        p0 = [p0]
    parameters = Parameters(np.zeros(_count(f)) if p0 is None else p0)
    model = Model.of(f, parameters)
    if state.parked.is_trace:
        reads = [xdata, ydata, sigma, p0, model.as_written(np.ones(parameters.size), xdata)]
        if any(isinstance(x, Tensor) and x._tracked for x in leaves_of(tuple(reads))):
            raise NotDifferentiable(
                "curve_fit: its answer has no derivative here\n  try  least_squares, which has"
            )
        with outside():
            given = absolute_sigma, check_finite, bounds, method, jac
            return curve_fit(f, xdata, ydata, p0, sigma, *given, **settings)

    def values(x, *flat):
        return evaluate(np.array(flat), x)

    values.__wrapped__ = f  # type: ignore[attr-defined] - SciPy counts its parameters
    evaluate = model.values if jac is None else model.plain
    rows: Any = jac
    if jac is None:
        rows = lambda x, *flat: model.jacobian(np.array(flat), x)  # noqa: E731
    elif callable(jac):
        given = Model(jac, parameters)
        rows = lambda x, *flat: plain(given.as_written(np.array(flat), x))  # noqa: E731
    first = None if p0 is None else parameters.flat(p0)
    answer = optimize().curve_fit(
        values, xdata, ydata, first, sigma, absolute_sigma, check_finite,
        box_of(parameters, bounds), method, rows, **settings,
    )  # fmt: skip
    return (parameters.restored(answer[0]), *answer[1:])


def _count(f) -> int:
    """How many parameters a model has, by its signature, as SciPy counts them."""
    named = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    n = sum(p.kind in named for p in inspect.signature(f).parameters.values())
    if n < 2:
        raise ValueError("curve_fit: cannot count the parameters of f by its signature\n  try  p0")
    return n - 1
