"""SciPy's solvers with exact derivatives: minimize, least_squares, root, curve_fit, solve_ivp, ...

Each takes SciPy's own arguments and returns SciPy's own result.  What SciPy would estimate by
finite differences (gradients, Jacobians, Hessians and their products) is recorded and compiled from
the function itself; parameters may have any shape and nesting.  SciPy is imported at the first
call (lazy).

    minimizing fitting roots integrating    the solvers
    parameters bounds constraints results   users' nesting, and SciPy's flat vectors
    derivatives                             what solvers ask for
    solutions adjoint                       derivatives of what they find; flows: right-hand sides
"""

from tapejit.scipy.constraints import NonlinearConstraint
from tapejit.scipy.fitting import curve_fit, least_squares
from tapejit.scipy.integrating import solve_ivp
from tapejit.scipy.minimizing import minimize
from tapejit.scipy.roots import fixed_point, root, root_scalar

__all__ = [
    "NonlinearConstraint",
    "curve_fit",
    "fixed_point",
    "least_squares",
    "minimize",
    "root",
    "root_scalar",
    "solve_ivp",
]
