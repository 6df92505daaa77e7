"""One function, many samples: vmap of gradients, Jacobians and Hessians, against JAX's and torch's.

    per-sample gradients   of a small network's loss, by 144 weights, for each of the samples
    solves                 gradients of |A^-1 b|^2 by A and b, 3 x 3
    Jacobians              of the place and direction of an arm's end, by its 4 angles
    Hessians               of Rosenbrock's function in 10 variables

What is compared is the usual nesting, `vmap(grad(f))`, compiled where the library compiles.
"""

from __future__ import annotations

import numpy as np

from benchmarks.records import Case, Runner, Target

SUMMARY = "vmap of gradients, Jacobians and Hessians, float64"
GRADIENTS, SOLVES = "per-sample gradients", "solves of 3 x 3"
JACOBIANS, HESSIANS = "Jacobians, 4 angles", "Hessians, 10 variables"
TARGETS = (Target("warm", 1.0, ("jax", "torch")),)
HIDDEN, FEATURES = 16, 8


def cases(quick: bool) -> list[Case]:
    """As many samples as a training step has; a quick run has two of the models."""
    models = (GRADIENTS, JACOBIANS) if quick else (GRADIENTS, SOLVES, JACOBIANS, HESSIANS)
    n = 16 if quick else 1000
    return [Case(f"{m}, {n:,} samples", ({"model": m, "n": n, "seed": 8},)) for m in models]


def inputs(settings: dict, draw: int) -> tuple:
    """What samples share, if anything, then the samples."""
    rng = np.random.default_rng([settings["seed"], draw])
    n, model = settings["n"], settings["model"]
    if model == GRADIENTS:
        weights = rng.normal(size=(FEATURES, HIDDEN)) / 3, rng.normal(size=HIDDEN) / 4
        return (*weights, rng.normal(size=(n, FEATURES)), rng.normal(size=n))
    if model == SOLVES:
        return rng.normal(size=(n, 3, 3)) + 4 * np.eye(3), rng.normal(size=(n, 3))
    return (rng.uniform(-1.5, 1.5, (n, 4 if model == JACOBIANS else 10)),)


def function(settings: dict, xp):
    """(the function of one sample, which derivative, of which arguments, the axes of samples)."""

    def loss(inner, outer, x, y):
        return (xp.tanh(x @ inner) @ outer - y) ** 2

    def solved(a, b):
        return (xp.linalg.solve(a, b) ** 2).sum()

    def end_of_arm(angles):
        a = xp.cumsum(angles, 0)
        return xp.stack([xp.cos(a).sum(), xp.sin(a).sum(), xp.cos(a[-1]), xp.sin(a[-1])])

    def rosenbrock(x):
        return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()

    return {
        GRADIENTS: (loss, "grad", (0, 1), (None, None, 0, 0)),
        SOLVES: (solved, "grad", (0, 1), (0, 0)),
        JACOBIANS: (end_of_arm, "jacobian", 0, (0,)),
        HESSIANS: (rosenbrock, "hessian", 0, (0,)),
    }[settings["model"]]


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    f, derivative, argnums, axes = function(settings, np)
    transform = getattr(tj, derivative)
    return Runner(lambda: tj.vmap(transform(f, argnums), axes), calls_until_compiled=2)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    f, derivative, argnums, axes = function(settings, jnp)
    transform = getattr(jax, derivative)

    def make():
        compiled = jax.jit(jax.vmap(transform(f, argnums), axes))
        return lambda *arrays: jax.block_until_ready(compiled(*arrays))

    return Runner(make, lambda given: tuple(jax.device_put(x) for x in given))


def _torch(settings: dict) -> Runner:
    import torch

    f, derivative, argnums, axes = function(settings, torch)
    transforms = {"jacobian": torch.func.jacrev}
    transform = transforms.get(derivative) or getattr(torch.func, derivative)
    return Runner(
        lambda: torch.func.vmap(transform(f, argnums), axes),
        lambda given: tuple(torch.tensor(x) for x in given),
    )


PEERS = {"tapejit": _tapejit, "jax": _jax, "torch": _torch}
