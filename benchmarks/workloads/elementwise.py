"""Random elementwise programs: value (a sum) and gradients with respect to three arrays.

The same NumPy-style text (`benchmarks.programs`, which states how operands are chosen) goes to
every peer, with its own module as `xp`.  Hand numba gets the loop with the reverse sweep written
out.  Cold is what this workload is about: every program is new to the process.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers, programs
from benchmarks.records import Case, Runner, Target

SUMMARY = (
    "random elementwise programs on float64 arrays (65,536 elements; quick: 4,096), "
    "value and 3 gradients"
)
ARGNUMS = (0, 1, 2)
N_ELEMENTS = 65_536
WARM_UP = {"n_operations": 10, "n_elements": 1000, "seed": 999}

TARGETS = (
    Target("cold", 25.0, ("jax",)),
    Target("cold", 25.0, ("jax, no fusion",)),
    Target("warm", 3.0, ("jax",)),
    Target("warm", 3.0, ("jax, no fusion",)),
    Target("warm", 4.0, ("torch",)),
)


def cases(quick: bool) -> list[Case]:
    """Four sizes, three programs each; JAX may take two minutes for a first result."""
    sizes = (10, 30) if quick else (10, 30, 100, 1000)
    seeds = (1, 2) if quick else (1, 2, 3)
    n_elements = 4096 if quick else N_ELEMENTS
    found = []
    for size in sizes:
        settings = [
            {"n_operations": size, "n_elements": n_elements, "seed": seed} for seed in seeds
        ]
        found.append(Case(f"{size} operations", tuple(settings), limit_s=120.0))
    return found


def inputs(settings: dict, draw: int) -> tuple:
    """Three arrays in [-1, 1], as the generator's bounds ask for."""
    rng = np.random.default_rng([settings["seed"], draw])
    return tuple(rng.uniform(-1.0, 1.0, settings["n_elements"]) for _ in ARGNUMS)


def function(settings: dict, xp):
    """The program as a function of three arrays, on an array module."""
    program = programs.generate(settings["seed"], settings["n_operations"])
    label = f"random program {settings['seed']}, {settings['n_operations']} operations"
    return programs.load(programs.source(program), "program", label, xp=xp)


def _tapejit(settings: dict) -> Runner:
    return peers.tapejit(function(settings, np), ARGNUMS)


def _tapejit_eager(settings: dict) -> Runner:
    return peers.tapejit_eager(function(settings, np), ARGNUMS)


def _jax(settings: dict) -> Runner:
    import jax.numpy as jnp

    return peers.jax(function(settings, jnp), ARGNUMS)


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(function(settings, torch), ARGNUMS)


def _numba(settings: dict) -> Runner:
    import math

    program = programs.generate(settings["seed"], settings["n_operations"])
    label = f"hand numba {settings['seed']}, {settings['n_operations']} operations"
    kernel = programs.load(programs.source_numba(program), "kernel", label, math=math)
    return peers.numba(kernel, with_outputs)


def with_outputs(kernel):
    """Allocate the gradients, run the loop."""

    def call(x, y, z):
        gradients = [np.empty_like(x) for _ in ARGNUMS]
        return kernel(x, y, z, *gradients), gradients

    return call


PEERS = {
    "tapejit": _tapejit,
    "tapejit eager": _tapejit_eager,
    "jax": _jax,
    "jax, no fusion": _jax,
    "torch": _torch,
    "numba": _numba,
}
