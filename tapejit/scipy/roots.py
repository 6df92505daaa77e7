"""`root`, `root_scalar` and `fixed_point`: SciPy's, with exact derivatives where none are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.scipy.derivatives import Objective, Residuals, Shared
from tapejit.scipy.lazy import optimize
from tapejit.scipy.parameters import Parameters, settled
from tapejit.scipy.results import restored
from tapejit.scipy.solutions import differentiable, is_recorded, numbers, outside, solution

WITH_JACOBIAN = {"hybr", "lm"}

NEWTON = {"newton", "halley"}


def root(
    fun: Callable,
    x0: Any,
    args: Any = (),
    method: str = "hybr",
    jac: Any = None,
    tol: Any = None,
    callback: Callable | None = None,
    options: Any = None,
) -> Any:
    """scipy.optimize.root with the exact Jacobian: x with fun(x, *args) = 0.

    fun       as many numbers as x has, in any nesting
    x0        an array, a number, or lists, tuples, dicts, dataclasses of them; computed in float64
    jac       None: exact, for hybr and lm; the other methods use none.  Anything else is SciPy's
    callback  called with (x, fun(x)), x nested like x0
    Returns   SciPy's OptimizeResult; x is nested like x0, x_flat the vector
    Errors    what fun raises; NotDifferentiable where it has no derivative
    Derivatives  of x and fun under tj.grad and its kin, implicitly, by all that fun reads, of any
              order; what is around is recorded at every call.
    Like      scipy.optimize.root; with jac written by hand, the same iterates

    >>> import numpy as np, tapejit as tj
    >>> found = tj.scipy.root(
    ...     lambda p: (p["u"] * p["v"] - 2.0, p["u"] - p["v"] - 1.0), {"u": 1.5, "v": 0.5})
    >>> {name: round(value, 6) for name, value in found.x.items()}
    {'u': 2.0, 'v': 1.0}
    """
    args = args if isinstance(args, tuple) else (args,)
    if is_recorded(x0, args):
        return _recorded_root(fun, x0, args, method, jac, tol, callback, options)
    parameters = Parameters(x0)
    residuals = Residuals.of(fun, parameters)
    values, rows = _functions(residuals, parameters, jac, args, method.lower() in WITH_JACOBIAN)
    if callback is not None and not parameters.is_vector:
        given = callback
        callback = lambda x, f: given(parameters.restored(np.copy(x)), f)  # noqa: E731
    result = optimize().root(values, parameters.flat(x0), (), method, rows, tol, callback, options)
    return restored(parameters, result)


def _recorded_root(fun, x0, args, method, jac, *settings):
    """A root as a function of what `fun` reads."""
    first, given = numbers(x0), numbers(args)
    with outside():
        result = root(fun, first, given, method, jac, *settings)
    parameters = Parameters(first)
    if jac is True:
        both, fun = fun, lambda x, *args: both(x, *args)[0]
    residuals = Residuals(fun, parameters)
    condition = lambda x: residuals.flat(x, *args)  # noqa: E731
    x = solution("root", condition, result["x_flat"])
    if x is None:
        return result
    return differentiable(result, parameters.nested(x), x, condition(x))


def _functions(residuals, parameters, jac, args, is_used):
    """SciPy's fun and jac, on the vector."""
    if not jac and is_used:
        return (
            lambda x: residuals.values(x, *args),
            lambda x: residuals.jacobian(x, *args),
        )
    if jac is True:
        both = Shared(lambda x: _apart(residuals, x, args))
        return both.value, both.derivative
    if callable(jac):
        given = jac
        jac = lambda x: settled(given(parameters.nested(x), *args))  # noqa: E731
    return lambda x: residuals.plain(x, *args), jac


def _apart(residuals, x, args):
    """Values and Jacobian of a function that gives both."""
    values, rows = residuals.as_written(x, *args)
    return settled(residuals.form(values)), settled(rows)


def root_scalar(
    f: Callable,
    args: Any = (),
    method: Any = None,
    bracket: Any = None,
    fprime: Any = None,
    fprime2: Any = None,
    x0: Any = None,
    x1: Any = None,
    xtol: Any = None,
    rtol: Any = None,
    maxiter: Any = None,
    options: Any = None,
) -> Any:
    """scipy.optimize.root_scalar with exact derivatives: the number x with f(x, *args) = 0.

    fprime   None: exact, for newton (which is what x0 alone means) and halley
    fprime2  None: exact, for halley.  True, and functions: as SciPy has them
    Returns  SciPy's RootResults
    Errors   what f raises; NotDifferentiable where it has no derivative
    Like     scipy.optimize.root_scalar; with fprime written by hand, the same iterates

    >>> import numpy as np, tapejit as tj
    >>> f"{tj.scipy.root_scalar(lambda x: np.cos(x) - x, x0=1.0).root:.6f}"
    '0.739085'
    """
    args = args if isinstance(args, tuple) else (args,)
    if is_recorded(args, x0, x1, bracket):
        given, within, starts = numbers(args), numbers(bracket), (numbers(x0), numbers(x1))
        with outside():
            result = root_scalar(
                f, given, method, within, fprime, fprime2, *starts, xtol, rtol, maxiter, options
            )
        number = (lambda x, *args: f(x, *args)[0]) if fprime is True or fprime2 is True else f
        condition = Residuals(number, Parameters(0.0)).flat
        x = solution("root_scalar", lambda x: condition(x, *args), [result.root])
        result.root = result.root if x is None else x[0]
        return result
    by_newton = method is None and bracket is None and x0 is not None and x1 is None
    if (by_newton or method in NEWTON) and fprime is None and not fprime2:
        f, fprime, second = _newton_functions(f, args)
        fprime2, args = second if method == "halley" else None, ()
    return optimize().root_scalar(
        f, args, method, bracket, fprime, fprime2, x0, x1, xtol, rtol, maxiter, options
    )


def _newton_functions(f, args):
    """f and its first two derivatives, of one number."""
    objective = Objective.of(f, Parameters(0.0))
    both = Shared(lambda x: objective.value_and_gradient(x, *args))
    return (
        lambda x: float(both.value(np.array([x], np.float64))),
        lambda x: float(both.derivative(np.array([x], np.float64))[0]),
        lambda x: float(objective.hessian(np.array([x], np.float64), *args)[0, 0]),
    )


def fixed_point(
    func: Callable,
    x0: Any,
    args: Any = (),
    xtol: float = 1e-8,
    maxiter: int = 500,
    method: str = "del2",
) -> Any:
    """scipy.optimize.fixed_point for parameters of any nesting: x with func(x, *args) = x.

    func     gives what is nested like x0
    Returns  x, nested like x0
    Errors   RuntimeError where SciPy finds none within maxiter iterations
    Like     scipy.optimize.fixed_point

    >>> import numpy as np, tapejit as tj
    >>> round(tj.scipy.fixed_point(np.cos, 1.0), 6)
    0.739085
    """
    args = args if isinstance(args, tuple) else (args,)
    if is_recorded(x0, args):
        first, given = numbers(x0), numbers(args)
        with outside():
            found = fixed_point(func, first, given, xtol, maxiter, method)
        parameters = Parameters(first)
        step = Residuals(func, parameters).flat
        x = solution("fixed_point", lambda x: step(x, *args) - x, parameters.flat(found))
        return found if x is None else parameters.nested(x)
    parameters = Parameters(x0)
    residuals = Residuals(func, parameters)
    x = optimize().fixed_point(
        lambda x: residuals.plain(x, *args), parameters.flat(x0), (), xtol, maxiter, method
    )
    return parameters.restored(x)
