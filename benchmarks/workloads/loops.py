"""What is no chain of elementwise functions: scans, places, convolution, attention; float32.

The loss is the sum of the result times fixed weights, so that the cotangents are no constants.
Gather and scatter-add are each other's slope: a table of 10,000 numbers is read at a million
places, in random order, and what comes back is added up there.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "cumsum, gather and scatter-add, convolution, attention; value and gradient, float32"
CUMSUM, GATHER, CONV, ATTENTION = "cumsum", "gather", "conv2d", "attention"

TARGETS = (
    Target("warm", 1.5, ("jax", "torch"), cases=(CUMSUM,)),
    Target("warm", 1.0, ("jax", "torch"), cases=(GATHER, CONV, ATTENTION)),
)


def cases(quick: bool) -> list[Case]:
    """A million elements; 32 images of 64 channels; 8 x 12 heads."""
    n, m = (10_000, 100) if quick else (1_000_000, 10_000)
    image = (2, 8, 12) if quick else (32, 64, 28)
    heads = (2, 3, 16, 8) if quick else (8, 12, 128, 64)
    settings = (
        {"what": CUMSUM, "n": n, "seed": 11},
        {"what": GATHER, "n": n, "m": m, "seed": 12},
        {"what": CONV, "images": image[0], "channels": image[1], "length": image[2], "seed": 13},
        {"what": ATTENTION, "shape": list(heads), "seed": 14},
    )
    return [Case(s["what"], (s,), tolerance=2e-3) for s in settings]


def inputs(settings: dict, draw: int) -> tuple:
    """What is differentiated first; then places, if any; the weights of the loss last."""
    rng = np.random.default_rng([settings["seed"], draw])

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    if settings["what"] == CUMSUM:
        return normal(settings["n"]), normal(settings["n"])
    if settings["what"] == GATHER:
        n, m = settings["n"], settings["m"]
        return normal(m), rng.integers(0, m, n), normal(n)
    if settings["what"] == CONV:
        n, c, length = settings["images"], settings["channels"], settings["length"]
        return normal(n, c, length, length), normal(c, c, 3, 3) / 8, normal(n, c, length, length)
    return tuple(normal(*settings["shape"]) for _ in range(4))


def argnums(settings: dict) -> tuple[int, ...]:
    """Which inputs are differentiated."""
    return {CUMSUM: (0,), GATHER: (0,), CONV: (0, 1), ATTENTION: (0, 1, 2)}[settings["what"]]


def _torch_like(settings, torch, functional):
    """The losses on a library with PyTorch's names."""
    return {
        CUMSUM: lambda x, c: (torch.cumsum(x, 0) * c).sum(),
        GATHER: lambda x, i, c: (torch.gather(x, 0, i) * c).sum(),
        CONV: lambda x, w, c: (functional.conv2d(x, w, padding=1) * c).sum(),
        ATTENTION: lambda q, k, v, c: (functional.scaled_dot_product_attention(q, k, v) * c).sum(),
    }[settings["what"]]


def _tapejit(settings: dict) -> Runner:
    import tapejit
    from tapejit.nn import functional

    return peers.tapejit(_torch_like(settings, tapejit, functional), argnums(settings))


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(_torch_like(settings, torch, torch.nn.functional), argnums(settings))


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    def convolution(x, w, c):
        return (jax.lax.conv(x, w, (1, 1), "SAME") * c).sum()

    def attention(q, k, v, c):
        scores = jnp.einsum("bhqd,bhkd->bhqk", q, k) / jnp.sqrt(jnp.float32(q.shape[-1]))
        return (jnp.einsum("bhqk,bhkd->bhqd", jax.nn.softmax(scores), v) * c).sum()

    function = {
        CUMSUM: lambda x, c: (jnp.cumsum(x) * c).sum(),
        GATHER: lambda x, i, c: (x[i] * c).sum(),
        CONV: convolution,
        ATTENTION: attention,
    }[settings["what"]]
    return peers.jax(function, argnums(settings))


PEERS = {"tapejit": _tapejit, "jax": _jax, "torch": _torch}
