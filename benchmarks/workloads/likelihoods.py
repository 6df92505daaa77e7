"""Two negative log-likelihoods, value and gradient.

Student-t regression (robust: 4 degrees of freedom): intercept, slope and log sigma over a million
observations; all the work is elementwise, with a reduction.  Constants that no parameter enters
are left out.  Logistic regression: 100 weights over 100,000 rows; all the work is two matrix
products, which read the 80 MB of data twice.

Every parameter lies away from the optimum, so no gradient is a small difference of large sums.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "negative log-likelihoods, value and gradient, float64"
NU = 4.0
STUDENT_T, LOGISTIC = "student-t regression", "logistic regression"

TARGETS = (
    Target("warm", 3.0, ("jax", "torch"), cases=(STUDENT_T,)),
    Target("warm", 1.0, ("jax", "torch"), cases=(LOGISTIC,)),
)


def cases(quick: bool) -> list[Case]:
    """A million observations; a hundred thousand rows of a hundred."""
    student_t = {"model": STUDENT_T, "n": 10_000 if quick else 1_000_000, "seed": 3}
    logistic = {"model": LOGISTIC, "n": 2_000 if quick else 100_000, "d": 100, "seed": 4}
    return [Case(STUDENT_T, (student_t,)), Case(LOGISTIC, (logistic,))]


def inputs(settings: dict, draw: int) -> tuple:
    """Parameters first, then the data."""
    rng = np.random.default_rng([settings["seed"], draw])
    n = settings["n"]
    if settings["model"] == STUDENT_T:
        x = rng.normal(size=n)
        y = 1.0 + 2.0 * x + 0.7 * rng.standard_t(NU, size=n)
        intercept, slope, log_sigma = rng.uniform(0.2, 0.6, 3)
        return float(intercept), float(slope), float(log_sigma), x, y
    x = rng.normal(size=(n, settings["d"]))
    truth = rng.normal(size=settings["d"]) / math.sqrt(settings["d"])
    y = (rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-x @ truth))).astype(float)
    return 0.3 * rng.normal(size=settings["d"]), x, y


def argnums(settings: dict) -> tuple[int, ...]:
    """Which inputs are parameters."""
    return (0, 1, 2) if settings["model"] == STUDENT_T else (0,)


# ---------------------------------------------------------------- as functions of arrays


def function(settings: dict, xp, cross_entropy=None):
    """The likelihood on one library's module; torch brings its own fused cross entropy."""

    def student_t(intercept, slope, log_sigma, x, y):
        r = (y - intercept - slope * x) * xp.exp(-log_sigma)
        return xp.sum(0.5 * (NU + 1.0) * xp.log1p(r * r / NU) + log_sigma)

    def logistic(w, x, y):
        z = x @ w
        if cross_entropy is not None:
            return cross_entropy(z, y, reduction="sum")
        return xp.sum(xp.logaddexp(0.0, z) - y * z)

    return student_t if settings["model"] == STUDENT_T else logistic


def _tapejit(settings: dict) -> Runner:
    return peers.tapejit(function(settings, np), argnums(settings))


def _tapejit_eager(settings: dict) -> Runner:
    return peers.tapejit_eager(function(settings, np), argnums(settings))


def _jax(settings: dict) -> Runner:
    import jax.numpy as jnp

    return peers.jax(function(settings, jnp), argnums(settings))


def _torch(settings: dict) -> Runner:
    import torch

    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    return peers.torch(function(settings, torch, cross_entropy), argnums(settings))


# ---------------------------------------------------------------- by hand


def student_t_kernel(intercept, slope, log_sigma, x, y):
    """Value and gradients of the Student-t regression, in one loop."""
    scale = math.exp(-log_sigma)
    value = d_intercept = d_slope = d_log_sigma = 0.0
    for i in range(x.size):
        r = (y[i] - intercept - slope * x[i]) * scale
        value += 0.5 * (NU + 1.0) * math.log1p(r * r / NU)
        dr = (NU + 1.0) * r / (NU + r * r)
        d_intercept -= dr * scale
        d_slope -= dr * scale * x[i]
        d_log_sigma += 1.0 - dr * r
    return value + x.size * log_sigma, d_intercept, d_slope, d_log_sigma


def logistic_kernel(z, y, residual):
    """Value, and the gradient with respect to each row's z, in one loop."""
    value = 0.0
    for i in range(z.size):
        e = math.exp(-abs(z[i]))
        value += max(z[i], 0.0) + math.log1p(e) - y[i] * z[i]
        probability = 1.0 / (1.0 + e) if z[i] >= 0.0 else e / (1.0 + e)
        residual[i] = probability - y[i]
    return value


def student_t_call(kernel):
    """Value and the three gradients apart."""

    def call(*arguments):
        value, *gradients = kernel(*arguments)
        return value, gradients

    return call


def logistic_call(kernel):
    """The two matrix products by NumPy's BLAS, what lies between them by the kernel."""

    def call(w, x, y):
        residual = np.empty_like(y)
        value = kernel(x @ w, y, residual)
        return value, [residual @ x]

    return call


def _numba(settings: dict) -> Runner:
    if settings["model"] == STUDENT_T:
        return peers.numba(student_t_kernel, student_t_call)
    return peers.numba(logistic_kernel, logistic_call)


PEERS = {
    "tapejit": _tapejit,
    "tapejit eager": _tapejit_eager,
    "jax": _jax,
    "torch": _torch,
    "numba": _numba,
}
