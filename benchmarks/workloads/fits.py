"""A fit from start to end by scipy.optimize.minimize: robust regression, 20 weights and a scale.

The whole call is timed, SciPy's own work included: "cold" is the first fit of a process, what it
compiles included, "warm" is another fit of the same model.  Every peer runs the same solver to the
same tolerance from the same start; they differ in where derivatives come from.  Finite differences
of the value alone are what SciPy does by itself; trust-exact wants a gradient and a Hessian, so
there they are SciPy's differences, and differences of those.

A quarter of a second of the first cold fit is loops for matrix products, compiled once on a machine
and kept on disk; "fresh" finds them there.

Student-t errors with 4 degrees of freedom; the mean over observations, so that the tolerance on the
gradient means the same at any number of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import approx_fprime, minimize  # every peer's; not counted as cold

from benchmarks.records import Case, Runner, Target

SUMMARY = "fits by scipy.optimize.minimize, from start to end"
BFGS, TRUST = "BFGS", "trust-exact"
NU = 4.0
GRADIENT_TOLERANCE = 1e-6
DIFFERENCE = 1e-4
"""Step of differences of differences: the noise of a gradient, 1e-8, becomes 1e-4."""

TARGETS = (
    Target("warm", 2.0, ("jax",)),
    Target("warm", 5.0, ("scipy", "autograd")),
    Target("cold", 1.0, ("jax",)),
)


def cases(quick: bool) -> list[Case]:
    """One model under two methods; x is as exact as differences let SciPy find it."""
    if quick:  # four libraries are imported for it
        return []
    n = 2_000
    return [
        Case(f"{method}, {n:,} observations", ({"method": method, "n": n, "d": 20},), 1e-4)
        for method in (BFGS, TRUST)
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """The start, the rows and what was observed."""
    rng = np.random.default_rng([11, draw])
    x = rng.normal(size=(settings["n"], settings["d"]))
    y = x @ rng.normal(size=settings["d"]) + 0.7 * rng.standard_t(NU, size=settings["n"])
    return np.zeros(settings["d"] + 1), x, y


def loss_on(xp) -> Callable:
    """The mean negative log-likelihood on one library's module, without constants."""

    def loss(theta, x, y):
        r = (y - x @ theta[:-1]) * xp.exp(-theta[-1])
        return xp.mean(0.5 * (NU + 1.0) * xp.log1p(r * r / NU)) + theta[-1]

    return loss


def _fitted(run: Callable, settings: dict) -> Callable:
    """fit(start, ...) -> (value, [theta]); run(start, ..., method=, tol=) does the work."""

    def fit(*arguments):
        found = run(*arguments, method=settings["method"], tol=GRADIENT_TOLERANCE)
        return float(found.fun), [found.x]

    return fit


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    def make():
        loss = loss_on(np)
        return _fitted(
            lambda start, x, y, **how: tj.scipy.minimize(loss, start, (x, y), **how), settings
        )

    return Runner(make)


def _scipy(settings: dict) -> Runner:
    loss, given = loss_on(np), {}
    if settings["method"] == TRUST:

        def gradient(theta, x, y):
            return approx_fprime(theta, loss, 1.5e-8, x, y)

        given["jac"] = gradient
        given["hess"] = lambda theta, x, y: approx_fprime(theta, gradient, DIFFERENCE, x, y)
    return Runner(
        lambda: _fitted(
            lambda start, x, y, **how: minimize(loss, start, (x, y), **given, **how), settings
        )
    )


def _by_transforms(value_and_grad, hessian, settings) -> Callable:
    """SciPy's minimize with two functions of a library's making."""
    given = {"jac": True}
    if settings["method"] == TRUST:
        given["hess"] = hessian
    return _fitted(
        lambda start, x, y, **how: minimize(value_and_grad, start, (x, y), **given, **how), settings
    )


def _autograd(settings: dict) -> Runner:
    import autograd
    import autograd.numpy as anp

    def make():
        loss = loss_on(anp)
        return _by_transforms(autograd.value_and_grad(loss), autograd.hessian(loss), settings)

    return Runner(make)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    def make():
        loss = loss_on(jnp)
        both, matrix = jax.jit(jax.value_and_grad(loss)), jax.jit(jax.hessian(loss))

        def value_and_grad(theta, x, y):
            value, gradient = both(theta, x, y)
            return float(value), np.asarray(gradient)

        return _by_transforms(
            value_and_grad, lambda theta, x, y: np.asarray(matrix(theta, x, y)), settings
        )

    def load(inputs):
        start, x, y = inputs
        return start, jax.device_put(x), jax.device_put(y)

    return Runner(make, load)


PEERS = {"tapejit": _tapejit, "scipy": _scipy, "autograd": _autograd, "jax": _jax}
