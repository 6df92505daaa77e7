"""`minimize`: SciPy's, with exact derivatives where none are given.

`_Given` holds the user's objective and what he gives of its derivatives, as functions of the flat
vector; which derivatives a method is given is decided in `_Given.derivatives`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.scipy.bounds import at_bounds, pairs_of
from tapejit.scipy.constraints import on_vector
from tapejit.scipy.derivatives import DENSE, Objective, Shared
from tapejit.scipy.lazy import optimize
from tapejit.scipy.parameters import Parameters, settled
from tapejit.scipy.results import called_back, restored
from tapejit.scipy.solutions import differentiable, is_recorded, numbers, outside, solution
from tapejit.transforms.gradients import grad

WITHOUT_GRADIENT = {"nelder-mead", "powell", "cobyla", "cobyqa"}
WITH_HESSIAN = {"dogleg", "trust-exact"}
WITH_PRODUCT = {"newton-cg", "trust-ncg", "trust-krylov"}
"""What they ask of a Hessian is its products with vectors; trust-constr too."""

# ---------------------------------------------------------------- minimize


def minimize(
    fun: Callable,
    x0: Any,
    args: Any = (),
    method: Any = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: Any = None,
    callback: Callable | None = None,
    options: Any = None,
) -> Any:
    """scipy.optimize.minimize with exact derivatives, for parameters of any shape and nesting.

    fun       fun(x, *args) -> one number; x is nested and shaped like x0
    x0        an array, a number, or lists, tuples, dicts, dataclasses of them; computed in float64.
              A list of numbers is an array, as SciPy has it
    jac       None: the gradient, from the evaluation that gives the value.  Anything else is
              SciPy's: a function (nested like x0), True if fun gives both, "2-point", ...
    hess      None: what the method needs.  trust-exact and dogleg get the matrix; Newton-CG,
    hessp     trust-ncg and trust-krylov its products with vectors; trust-constr the matrix up to
              100 parameters, products above.  hess="sparse": the exact one as a SciPy CSR array,
              for trust-constr.  Others: as SciPy has them
    bounds    SciPy's, or nested like x0, with (low, high) or None in place of each leaf
    constraints  SciPy's; tj.scipy.NonlinearConstraint, and SLSQP's dicts without "jac", have exact
              derivatives.  Their functions take x nested like x0
    callback  called with x nested like x0, or with intermediate_result, whose x is
    Returns   SciPy's OptimizeResult; x is nested like x0, x_flat the vector; jac, hess_inv are flat
    Errors    what fun raises; NotDifferentiable where it has no derivative
    Derivatives  of x and fun under tj.grad and its kin, implicitly, by all that fun reads, of any
              order; what is around is recorded at every call.  Parameters at a bound stay there;
              constraints are refused
    Like      scipy.optimize.minimize; with jac written by hand, the same iterates

    >>> import numpy as np, tapejit as tj
    >>> def rosenbrock(p):
    ...     return (1 - p["a"]) ** 2 + 100 * (p["b"] - p["a"] ** 2) ** 2
    >>> found = tj.scipy.minimize(rosenbrock, {"a": -1.0, "b": 1.0}, method="trust-exact")
    >>> {name: round(value, 6) for name, value in found.x.items()}
    {'a': 1.0, 'b': 1.0}
    """
    args = args if isinstance(args, tuple) else (args,)
    if is_recorded(x0, args):
        settings = jac, hess, hessp, bounds, constraints, tol, callback, options
        return _recorded_minimum(fun, x0, args, method, *settings)
    parameters = Parameters(x0)
    name = method.lower() if isinstance(method, str) else method
    given = _Given(fun, parameters, args, jac, hess, hessp)
    derivatives = given.derivatives(name)  # which may share an evaluation with the value
    result = optimize().minimize(
        given.fun,
        parameters.flat(x0),
        method=method,
        bounds=pairs_of(parameters, bounds),
        constraints=on_vector(parameters, constraints, name),
        tol=tol,
        callback=called_back(parameters, callback),
        options=options,
        **derivatives,
    )
    return restored(parameters, result)


def _recorded_minimum(fun, x0, args, method, jac, hess, hessp, bounds, constraints, *settings):
    """A minimum as a function of what `fun` reads; parameters at a bound stay there."""
    if np.size(constraints):
        raise NotDifferentiable(
            "minimize: a minimum under constraints has no derivative here\n"
            "  try  bounds, or parameters that meet the constraints as they are"
        )
    first, given = numbers(x0), numbers(args)
    parameters = Parameters(first)
    with outside():
        result = minimize(
            fun, first, given, method, jac, hess, hessp, bounds, constraints, *settings
        )
    if jac is True:
        both, fun = fun, lambda x, *args: both(x, *args)[0]
    objective = Objective(fun, parameters)
    condition = grad(lambda x: objective.flat(x, *args))
    fixed = None if bounds is None else at_bounds(pairs_of(parameters, bounds), result["x_flat"])
    x = solution("minimize", condition, result["x_flat"], fixed)
    if x is None:
        return result
    return differentiable(result, parameters.nested(x), x, objective.flat(x, *args))


class _Given:
    """A user's objective and his derivatives of it, as functions of the flat vector."""

    def __init__(self, fun, parameters, args, jac, hess, hessp):
        self.parameters, self.args = parameters, args
        self.jac, self.hess, self.hessp = jac, hess, hessp
        self.objective = Objective.of(fun, parameters)
        self.fun = self.plain_value
        if jac is True:
            self.shared = Shared(self.user_value_and_gradient)
            self.fun = self.shared.value

    def derivatives(self, method) -> dict:
        """SciPy's arguments jac, hess and hessp."""
        if method in WITHOUT_GRADIENT:
            return {"jac": self.jac, "hess": self.hess, "hessp": self.hessp}
        return {"jac": self.gradient(), **self.second(method)}

    def gradient(self):
        """The gradient: the user's, SciPy's own differences, or ours."""
        if self.jac is None or self.jac is False:
            self.shared = Shared(lambda x: self.objective.value_and_gradient(x, *self.args))
            self.fun = self.shared.value
        if self.jac is True or self.jac is None or self.jac is False:
            return self.shared.derivative
        if callable(self.jac):
            return lambda x: self.flat_gradient(self.jac(self.nested(x), *self.args))
        return self.jac

    def second(self, method) -> dict:
        """hess or hessp: the user's, or ours where the method uses one."""
        if (self.hess is not None and self.hess != "sparse") or self.hessp is not None:
            hess, hessp = self.hess, self.hessp
            return {"hess": self.closed(hess), "hessp": self.closed_product(hessp)}
        objective, args = self.second_objective(), self.args
        if self.hess == "sparse":
            return {"hess": lambda x: objective.sparse_hessian(x, *args)}
        is_small = self.parameters.size <= DENSE
        if method in WITH_HESSIAN or (method == "trust-constr" and is_small):
            return {"hess": lambda x: objective.hessian(x, *args)}
        product = {"hessp": lambda x, v: objective.product(x, v, *args)}
        if callable(method):
            return {"hess": lambda x: objective.hessian(x, *args), **product}
        return product if method in WITH_PRODUCT or method == "trust-constr" else {}

    def second_objective(self) -> Objective:
        """The objective without the gradient that the user's may give beside the value."""
        if self.jac is not True:
            return self.objective
        fun = self.objective.function
        return Objective(lambda x, *args: fun(x, *args)[0], self.parameters)

    # ------------------------------------------------------------ the user's own functions

    def nested(self, x):
        return self.parameters.nested(self.objective.at(np.copy(x)))

    def plain_value(self, x):
        return self.objective.plain(x, *self.args)

    def user_value_and_gradient(self, x):
        value, gradient = self.objective.function(self.nested(x), *self.args)
        return settled(value), self.flat_gradient(gradient)

    def flat_gradient(self, gradient):
        return self.parameters.flat(gradient, "the gradient")

    def closed(self, hess):
        if not callable(hess):
            return hess
        return lambda x: settled(hess(self.nested(x), *self.args))

    def closed_product(self, hessp):
        if not callable(hessp):
            return hessp
        nested = self.nested
        return lambda x, v: self.flat_gradient(hessp(nested(x), nested(v), *self.args))
