"""The cost of a call: value and gradient of Rosenbrock's function in 10 variables.

NumPy in and NumPy out, as an optimiser from SciPy would ask, so conversions are counted.  JAX is
shown twice: with a NumPy argument, and with an argument that is already on the device.

Function: Rosenbrock 1960, in the chained form of More, Garbow and Hillstrom 1981.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "value_and_grad of Rosenbrock-10, NumPy in and out, per call"

TARGETS = (Target("warm", 2.0, ("jax",)), Target("warm", 2.0, ("jax, device in",)))


def cases(quick: bool) -> list[Case]:
    """Ten variables; none when quick, where `calls` has the same."""
    return [] if quick else [Case("Rosenbrock-10", ({"n": 10, "seed": 6},))]


def inputs(settings: dict, draw: int) -> tuple:
    """One point."""
    return (np.random.default_rng([settings["seed"], draw]).uniform(-1.5, 1.5, settings["n"]),)


def rosenbrock(xp):
    """The function on one library's module."""

    def f(x):
        return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return f


def kernel(x):
    """Value and gradient by hand."""
    value = 0.0
    gradient = np.zeros_like(x)
    for i in range(x.size - 1):
        slack = x[i + 1] - x[i] * x[i]
        rest = 1.0 - x[i]
        value += 100.0 * slack * slack + rest * rest
        gradient[i] -= 400.0 * slack * x[i] + 2.0 * rest
        gradient[i + 1] += 200.0 * slack
    return value, gradient


def with_list(call):
    """Give the one gradient as a list of one."""

    def listed(x):
        value, gradient = call(x)
        return value, (gradient,)

    return listed


def _tapejit(settings: dict) -> Runner:
    return peers.tapejit(rosenbrock(np), (0,))


def _eager(torch, xp) -> Runner:
    f = rosenbrock(xp)

    def call(array):
        x = torch.tensor(array, requires_grad=True)
        loss = f(x)
        loss.backward()
        return loss.item(), (x.grad.numpy(),)

    return Runner(lambda: call)


def _tapejit_eager(settings: dict) -> Runner:
    import tapejit

    return _eager(tapejit, np)


def _torch(settings: dict) -> Runner:
    import torch

    return _eager(torch, torch)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    def make():
        compiled = jax.jit(jax.value_and_grad(rosenbrock(jnp)))

        def call(x):
            value, gradient = compiled(x)
            return float(value), (np.asarray(gradient),)

        return call

    return Runner(make)


def _jax_device_in(settings: dict) -> Runner:
    import jax

    make = _jax(settings).make
    return Runner(make, lambda inputs: tuple(jax.device_put(value) for value in inputs))


def _numba(settings: dict) -> Runner:
    return peers.numba(kernel, with_list)


PEERS = {
    "tapejit": _tapejit,
    "tapejit eager": _tapejit_eager,
    "jax": _jax,
    "jax, device in": _jax_device_in,
    "torch": _torch,
    "numba": _numba,
}
