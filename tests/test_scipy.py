"""tj.scipy: SciPy's iterates with exact derivatives, of parameters of any nesting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

import tapejit as tj

# ---------------------------------------------------------------- minimize


def chain(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


START = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
PLAIN = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
FIRST = ("BFGS", "L-BFGS-B", "SLSQP", None)
MATRIX = ("trust-exact", "trust-constr")
PRODUCT = ("Newton-CG", "trust-ncg", "trust-krylov")


@pytest.mark.parametrize("method", [*PLAIN, *FIRST, *MATRIX, *PRODUCT])
def test_minimize_takes_the_steps_of_derivatives_by_hand(method):
    given = {} if method in PLAIN else {"jac": rosen_der}
    given |= {"hess": rosen_hess} if method in MATRIX else {}
    given |= {"hessp": rosen_hess_prod} if method in PRODUCT else {}
    options = {"maxiter": 100}
    expected = optimize.minimize(rosen, START, method=method, options=options, **given)
    found = tj.scipy.minimize(chain, START, method=method, options=options)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12, atol=1e-12)
    assert found.get("nit") == expected.get("nit")
    assert (found.nfev, found.success) == (expected.nfev, expected.success)
