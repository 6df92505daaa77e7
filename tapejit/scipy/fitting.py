"""`least_squares` and `curve_fit`: SciPy's, with exact Jacobians where none are given."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.bounds import at_bounds, box_of
from tapejit.scipy.derivatives import Model, Residuals
from tapejit.scipy.lazy import optimize
from tapejit.scipy.parameters import Parameters, settled
from tapejit.scipy.results import called_back, restored
from tapejit.scipy.solutions import differentiable, is_recorded, numbers, outside, solution
from tapejit.transforms.gradients import grad
from tapejit.transforms.jacobians import jacobian

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
    Derivatives  of x, fun and cost by args, kwargs and what fun reads, of any order; parameters at
              a bound stay there.  A function differentiated around the call is recorded at every
              call
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
        given = jac, bounds, method, *settings
        return _recorded_squares(fun, x0, args, kwargs or {}, given, callback=callback, **named)
    parameters = Parameters(x0)
    others = _others(settings, named)
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
        jac = lambda x: settled(given.as_written(x, *args, **kwargs))  # noqa: E731
    return lambda x: residuals.plain(x, *args, **kwargs), jac


def _recorded_squares(fun, x0, args, kwargs, given, **named):
    """The least cost as a function of what `fun` reads; parameters at a bound stay there."""
    first = numbers(x0)
    parameters = Parameters(first)
    with outside():
        plain = numbers(kwargs)
        result = least_squares(fun, first, *given, args=numbers(args), kwargs=plain, **named)
    _, bounds, _, *others = given
    bound = _others(others, named)
    rho, scale = _loss(bound.get("loss", "linear")), bound.get("f_scale", 1.0)
    residuals = Residuals(fun, parameters)

    def cost(x):
        z = (residuals.flat(x, *args, **kwargs) / scale) ** 2
        return 0.5 * scale**2 * rho(z).sum()

    fixed = _held(parameters, bounds, result["x_flat"])
    x = solution("least_squares", grad(cost), result["x_flat"], fixed)
    if x is None:
        return result
    found = differentiable(result, parameters.nested(x), x, residuals.flat(x, *args, **kwargs))
    found["cost"] = cost(x)
    return found


def _held(parameters, bounds, x) -> Callable:
    """Which elements of a solution a bound holds."""
    box = box_of(parameters, bounds)
    return at_bounds(box if isinstance(box, optimize().Bounds) else optimize().Bounds(*box), x)


LOSSES = {
    "linear": lambda z: z,
    "soft_l1": lambda z: 2.0 * (np.sqrt(1.0 + z) - 1.0),
    "huber": lambda z: np.where(z <= 1.0, z, 2.0 * np.sqrt(z) - 1.0),
    "cauchy": lambda z: np.log1p(z),
    "arctan": lambda z: np.arctan(z),
}
"""SciPy's loss functions, of squared residuals."""


def _loss(name) -> Callable:
    """A loss that can be differentiated."""
    if isinstance(name, str):
        return LOSSES[name]
    raise NotDifferentiable(
        "least_squares: a loss given as a function has no derivative here\n"
        f"  try  one of {', '.join(LOSSES)}, or minimize"
    )


def _others(settings, named) -> dict:
    """What least_squares is given behind `method`, by name; None is as good as nothing."""
    signature = inspect.signature(optimize().least_squares)
    bound = signature.bind(None, None, None, None, None, *settings, **named).arguments
    return {name: value for name, value in list(bound.items())[5:] if value is not None}


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
    Derivatives  of popt and pcov by xdata, ydata, sigma (no matrix) and what f reads, of any order
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
    if is_recorded(xdata, ydata, p0, sigma):
        given = absolute_sigma, check_finite, bounds, method, jac
        return _recorded_fit(f, xdata, ydata, p0, sigma, given, settings)
    parameters = Parameters(np.zeros(_count(f)) if p0 is None else p0)
    model = Model.of(f, parameters)

    def values(x, *flat):
        return evaluate(np.array(flat), x)

    values.__wrapped__ = f  # type: ignore[attr-defined] - SciPy counts its parameters
    evaluate = model.values if jac is None else model.plain
    rows: Any = jac
    if jac is None:
        rows = lambda x, *flat: model.jacobian(np.array(flat), x)  # noqa: E731
    elif callable(jac):
        given = Model(jac, parameters)
        rows = lambda x, *flat: settled(given.as_written(np.array(flat), x))  # noqa: E731
    first = None if p0 is None else parameters.flat(p0)
    answer = optimize().curve_fit(
        values, xdata, ydata, first, sigma, absolute_sigma, check_finite,
        box_of(parameters, bounds), method, rows, **settings,
    )  # fmt: skip
    return (parameters.restored(answer[0]), *answer[1:])


def _recorded_fit(f, xdata, ydata, p0, sigma, given, settings):
    """popt and pcov as functions of the data, of sigma, and of what the model reads."""
    first = numbers(p0)
    with outside():
        answer = curve_fit(
            f, numbers(xdata), numbers(ydata), first, numbers(sigma), *given, **settings
        )
    absolute_sigma, _, bounds, *_ = given
    parameters = Parameters(answer[0])
    model = Model(f, parameters)
    if np.ndim(sigma) > 1:
        raise NotDifferentiable(
            "curve_fit: a matrix sigma has no derivative here\n"
            "  try  least_squares of residuals multiplied by the inverse of its Cholesky factor"
        )

    def residuals(p):
        off = model.flat(p, xdata) - ydata
        return off if sigma is None else off / sigma

    def cost(p):
        return 0.5 * (residuals(p) ** 2).sum()

    start = parameters.flat(answer[0])
    p = solution("curve_fit", grad(cost), start, _held(parameters, bounds, start))
    if p is None:
        return answer
    if len(answer) > 2:
        raise NotDifferentiable("curve_fit: full_output has no derivative\n  try  without it")
    rows = jacobian(residuals)(p)
    covariance = np.linalg.inv(rows.T @ rows)
    if not absolute_sigma:
        n_free = rows.shape[0] - parameters.size
        covariance = covariance * (2.0 * cost(p) / n_free if n_free > 0 else np.inf)
    return parameters.nested(p), covariance


def _count(f) -> int:
    """How many parameters a model has, by its signature, as SciPy counts them."""
    named = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    n = sum(p.kind in named for p in inspect.signature(f).parameters.values())
    if n < 2:
        raise ValueError("curve_fit: cannot count the parameters of f by its signature\n  try  p0")
    return n - 1
