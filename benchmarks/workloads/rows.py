"""Work along rows: softmax with cross entropy, and layer norm; value and gradient.

Each row is read for a reduction, again for what needs it, and again for what needs that.  Done one
after the other over all rows that is three passes and more through memory; done row by row the
data come from the cache.  PyTorch has fused functions for both, and they are what it runs here; JAX
and tapejit are given the usual compositions (tapejit's `nn.functional`).

Cross entropy is with respect to the logits, layer norm with respect to the input, weight and bias;
its value is the sum of the result times given numbers, so that no gradient is trivial.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "softmax + cross entropy and layer norm along rows, value and gradient"
ENTROPY, NORM = "cross entropy", "layer norm"

SINGLE = (f"{ENTROPY} float32", f"{NORM} float32")
TARGETS = (
    Target("warm", 1.5, ("jax", "torch"), cases=SINGLE),
    Target("warm", 1.5, ("jax, 2 threads", "torch, 2 threads"), "tapejit, 2 threads", SINGLE),
)
TOLERANCE = {"float32": 2e-4, "float64": 1e-9}  # sums of 4 million float32 in other orders


def cases(quick: bool) -> list[Case]:
    """4096 rows of 1000 classes, or of 1024 features; and rows of 10 classes."""
    n = 64 if quick else 4096
    found = []
    for dtype in ("float32", "float64"):
        for name, rows, length in ((ENTROPY, n, 1000), (NORM, n, 1024)):
            settings = {"name": name, "shape": (rows, length), "dtype": dtype, "seed": 9}
            found.append(Case(f"{name} {dtype}", (settings,), TOLERANCE[dtype]))
    short = {"name": ENTROPY, "shape": (16 * n, 10), "dtype": "float32", "seed": 9}
    found.append(Case(f"{ENTROPY}, 10 classes", (short,), TOLERANCE["float32"]))
    return found


def inputs(settings: dict, draw: int) -> tuple:
    """Logits and classes; or input, weight, bias and what the result is multiplied by."""
    rng = np.random.default_rng([settings["seed"], draw])
    shape, dtype = settings["shape"], settings["dtype"]
    x = rng.normal(size=shape).astype(dtype)
    if settings["name"] == ENTROPY:
        return x, rng.integers(0, shape[1], shape[0])
    weight, bias = (rng.normal(size=shape[1]).astype(dtype) for _ in range(2))
    return x, weight, bias, rng.normal(size=shape).astype(dtype)


def argnums(settings: dict) -> tuple[int, ...]:
    """What the gradient is asked of."""
    return (0,) if settings["name"] == ENTROPY else (0, 1, 2)


def _function(settings, functional):
    """With a library's own functions, whose names are PyTorch's."""

    def layer_norm(x, weight, bias, scale):
        return (functional.layer_norm(x, weight.shape, weight, bias) * scale).sum()

    return functional.cross_entropy if settings["name"] == ENTROPY else layer_norm


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    return peers.tapejit(_function(settings, tj.nn.functional), argnums(settings))


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(_function(settings, torch.nn.functional), argnums(settings))


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    def cross_entropy(x, classes):
        # five times as fast as take_along_axis of log_softmax (jax 0.10)
        picked = jnp.take_along_axis(x, classes[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(x, axis=1) - picked).mean()

    def layer_norm(x, weight, bias, scale):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        y = (x - mean) * jax.lax.rsqrt(variance + 1e-5) * weight + bias
        return (y * scale).sum()

    function = cross_entropy if settings["name"] == ENTROPY else layer_norm
    return peers.jax(function, argnums(settings))


PEERS = {
    "tapejit": _tapejit,
    "tapejit, 2 threads": _tapejit,
    "jax": _jax,
    "jax, 2 threads": _jax,
    "torch": _torch,
    "torch, 2 threads": _torch,
}
