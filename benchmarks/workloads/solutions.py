"""Gradients of solutions of differential equations, by their arguments.

The sum of squares of the states at ten times: of Lotka and Volterra's equations by their four
numbers, and of ten states whose right-hand side is a network with one hidden layer, by its weights.
Everybody uses Dormand and Prince's method at tolerances of 1e-6; JAX's is its own
(`jax.experimental.ode`, with the adjoint and the state integrated backwards together), all others
SciPy's RK45.  tapejit takes sensitivities where they are few and the adjoint elsewhere; "tapejit,
sensitivities" is what it would be without the adjoint.  "scipy" is two-point finite differences of
SciPy's solution.

Gradients are as exact as tolerances and differences let them be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp  # every peer's; not counted as cold
from scipy.optimize import approx_fprime

from benchmarks.records import Case, Runner, Target

SUMMARY = "gradients of solutions of differential equations, float64"
RTOL = ATOL = 1e-6
STATES = 10
TIMES = np.linspace(0.1, 1.0, 10)
DIFFERENCE = 1e-5
"""Step of finite differences; what a solution's steps do to it is 1e-6 at most."""

TARGETS = (
    Target("warm", 1.0, ("scipy",)),
    Target("cold", 1.0, ("jax",)),
)


def cases(quick: bool) -> list[Case]:
    """By 4 numbers, and by the weights of three networks."""
    if quick:  # JAX compiles for seconds
        return []
    cases = [Case("Lotka and Volterra, 4 numbers", ({"hidden": 0},), 1e-3)]
    for hidden in (20, 200):
        n = 2 * STATES * hidden + hidden
        cases.append(Case(f"network, {n:,} weights", ({"hidden": hidden},), 1e-3, 1, 300.0))
    return cases


def inputs(settings: dict, draw: int) -> tuple:
    """What is differentiated by, as one vector."""
    rng = np.random.default_rng([13, draw])
    hidden = settings["hidden"]
    if not hidden:
        return (np.array([1.0, 0.5, 1.2, 0.8]) + 0.05 * draw,)
    inner = rng.normal(size=hidden * STATES) / np.sqrt(STATES)
    outer = rng.normal(size=STATES * hidden) / np.sqrt(hidden)
    return (np.concatenate([inner, 0.1 * rng.normal(size=hidden), outer]),)


def system(settings: dict, xp) -> tuple[Callable, np.ndarray, float]:
    """(right-hand side(t, y, p), initial state, end) on one library's module."""
    hidden = settings["hidden"]

    def prey(t, y, p):
        eaten = p[1] * y[0] * y[1]
        return xp.stack([p[0] * y[0] - eaten, p[2] * eaten - p[3] * y[1]])

    def network(t, y, p):
        n = hidden * STATES
        inner, bias = p[:n].reshape(hidden, STATES), p[n : n + hidden]
        return p[n + hidden :].reshape(STATES, hidden) @ xp.tanh(inner @ y + bias)

    return (network, np.ones(STATES), 1.0) if hidden else (prey, np.ones(2), 10.0)


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    def make():
        side, y0, end = system(settings, np)

        def loss(p):
            found = tj.scipy.solve_ivp(
                side, (0, end), y0, args=(p,), t_eval=end * TIMES, rtol=RTOL, atol=ATOL
            )
            return np.sum(found.y**2)

        both = tj.value_and_grad(loss)

        def call(p):
            value, gradient = both(p)
            return value, [gradient]

        return call

    return Runner(make)


def _sensitivities(settings: dict) -> Runner:
    from tapejit.scipy import adjoint

    adjoint.SMALL = 10**9
    return _tapejit(settings)


def _scipy(settings: dict) -> Runner:
    def make():
        side, y0, end = system(settings, np)

        def loss(p):
            found = solve_ivp(
                side, (0, end), y0, args=(p,), t_eval=end * TIMES, rtol=RTOL, atol=ATOL
            )
            return np.sum(found.y**2)

        return lambda p: (loss(p), [approx_fprime(p, loss, DIFFERENCE)])

    return Runner(make)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp
    from jax.experimental.ode import odeint

    def make():
        side, y0, end = system(settings, jnp)
        times = jnp.concatenate([jnp.zeros(1), end * TIMES])

        def loss(p):
            states = odeint(lambda y, t, p: side(t, y, p), y0, times, p, rtol=RTOL, atol=ATOL)
            return jnp.sum(states[1:] ** 2)

        both = jax.jit(jax.value_and_grad(loss))

        def call(p):
            value, gradient = both(p)
            return float(value), [np.asarray(gradient)]

        return call

    return Runner(make, lambda given: tuple(map(jax.device_put, given)))


PEERS = {
    "tapejit": _tapejit,
    "tapejit, sensitivities": _sensitivities,
    "scipy": _scipy,
    "jax": _jax,
}
