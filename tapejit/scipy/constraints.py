"""Constraints of `minimize`: nonlinear ones with exact derivatives.

A constraint is written before it is known how parameters are nested; `minimize` knows, and brings
each constraint to its flat vector (`on_vector`).  By itself, ours works on a vector, so that
scipy.optimize.minimize takes it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tapejit.scipy.derivatives import Residuals
from tapejit.scipy.lazy import optimize
from tapejit.scipy.parameters import Parameters, settled


def NonlinearConstraint(
    fun: Callable,
    lb: Any,
    ub: Any,
    jac: Any = None,
    hess: Any = None,
    keep_feasible: Any = False,
    **settings: Any,
) -> Any:
    """scipy.optimize.NonlinearConstraint with exact derivatives: lb <= fun(x) <= ub.

    fun      fun(x) -> an array, or a nesting of arrays, taken as one vector in order
    jac      None: the exact Jacobian; "sparse": the same as a SciPy CSR array.  Anything else is
             SciPy's: a function, "2-point", ...
    hess     None: the exact Hessian of v . fun(x), above 100 parameters as a linear operator;
             "sparse": as a CSR array.  Anything else is SciPy's
    Returns  SciPy's own object: scipy.optimize.minimize takes it too.  In tj.scipy.minimize x is
             nested like its x0
    Like     scipy.optimize.NonlinearConstraint

    >>> import numpy as np, tapejit as tj
    >>> circle = tj.scipy.NonlinearConstraint(lambda x: np.sum(x**2), 0.0, 2.0)
    >>> found = tj.scipy.minimize(
    ...     lambda x: x[0] + x[1], np.zeros(2), method="SLSQP", constraints=circle)
    >>> np.round(found.x, 4)
    array([-1., -1.])
    """
    written = Written(fun, jac, hess)
    constraint = optimize().NonlinearConstraint(
        written.value, lb, ub, written.jacobian(), written.hessian(), keep_feasible, **settings
    )
    constraint.written = written
    return constraint


class Written(NamedTuple):
    """What the user wrote of a constraint; its functions take vectors of any length."""

    fun: Callable
    jac: Any
    hess: Any
    parameters: Parameters | None = None
    """Of `minimize`; None: those of a vector."""
    args: tuple = ()

    def residuals(self, x) -> Residuals:
        """The function, compiled."""
        return Residuals.of(self.fun, self.parameters or Parameters(x))

    def value(self, x):
        """The values, computed by the user's function as it is written."""
        return self.residuals(x).plain(x, *self.args)

    def jacobian(self):
        """SciPy's `jac`."""
        if self.jac == "sparse":
            return lambda x: self.residuals(x).sparse_jacobian(x, *self.args)
        if self.jac is None:
            return lambda x: self.residuals(x).jacobian(x, *self.args)
        return self.on_nested(self.jac)

    def hessian(self):
        """SciPy's `hess`."""
        is_sparse = self.hess == "sparse"
        if self.hess is not None and not is_sparse:
            return self.on_nested(self.hess)
        return lambda x, v: self.residuals(x).weighted_hessian(
            x, v, *self.args, is_sparse=is_sparse
        )

    def on_nested(self, derivative):
        """A user's derivative, of nested parameters, as one of the vector."""
        parameters = self.parameters
        if not callable(derivative) or parameters is None:
            return derivative
        return lambda x, *others: settled(derivative(parameters.nested(x), *others, *self.args))


# ---------------------------------------------------------------- in minimize


def on_vector(parameters: Parameters, constraints, method) -> Any:
    """Constraints as SciPy's method takes them, their functions on the vector of parameters."""
    nonlinear = optimize().NonlinearConstraint
    if isinstance(constraints, dict | optimize().LinearConstraint | nonlinear):
        constraints = [constraints]
    brought = []
    for constraint in constraints:
        if isinstance(constraint, dict):
            constraint = _dict_on_vector(parameters, constraint, method not in WITHOUT_GRADIENT)
        elif isinstance(constraint, nonlinear):
            constraint = _object_on_vector(parameters, constraint, method not in WITHOUT_HESSIAN)
        brought.append(constraint)
    return brought


WITHOUT_GRADIENT = {"cobyla", "cobyqa"}
WITHOUT_HESSIAN = {None, "slsqp", *WITHOUT_GRADIENT}
"""Methods that warn of a constraint's Hessian."""


def _dict_on_vector(parameters, constraint, is_differentiated):
    args = constraint.get("args", ())
    written = Written(constraint["fun"], constraint.get("jac"), None, parameters, args)
    brought = {**constraint, "fun": written.value, "args": ()}
    if is_differentiated:
        brought["jac"] = written.jacobian()
    return brought


def _object_on_vector(parameters, constraint, with_hessian):
    ours = getattr(constraint, "written", None)
    if ours is None:
        if parameters.is_vector:
            return constraint
        ours = Written(constraint.fun, constraint.jac, constraint.hess)
    written = ours._replace(parameters=parameters)
    return optimize().NonlinearConstraint(
        written.value,
        constraint.lb,
        constraint.ub,
        written.jacobian(),
        written.hessian() if with_hessian else None,
        constraint.keep_feasible,
        constraint.finite_diff_rel_step,
        constraint.finite_diff_jac_sparsity,
    )
