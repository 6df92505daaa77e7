"""Eager tensors: chains of 50 small operations, forward and backward, time per operation.

The code is PyTorch's, word for word, with `import tapejit as torch` for tapejit.  float32, both
tensors require a gradient, and every call records its graph anew.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "eager float32 tensors, chains of 50 small operations, forward and backward"
ARGNUMS = (0, 1)
N_OPERATIONS = 50
SIZES = {"1 element": 1, "10 elements": 10, "1000 elements": 1000}

TARGETS = (
    Target("warm", 2.5, ("torch",), "tapejit eager", ("1 element", "10 elements")),
    Target("warm", 1.2, ("torch",), "tapejit eager", ("1000 elements",)),
)


def cases(quick: bool) -> list[Case]:
    """Three sizes, quick or not.  50 roundings of float32 leave about five digits."""
    return [
        Case(name, ({"n_elements": size, "seed": 5},), tolerance=2e-5, per=N_OPERATIONS)
        for name, size in SIZES.items()
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """The chain's start, and the tensor that is multiplied and added."""
    rng = np.random.default_rng([settings["seed"], draw])
    shape = settings["n_elements"]
    return tuple(rng.uniform(0.5, 1.5, shape).astype(np.float32) for _ in ARGNUMS)


def chain(torch):
    """Five operations, ten times; the sum at the end is not counted."""

    def loss(x, w):
        y = x
        for _ in range(N_OPERATIONS // 5):
            y = torch.sin(y)
            y = y * w
            y = torch.tanh(y)
            y = y + w
            y = y * x
        return y.sum()

    return loss


def _tapejit_eager(settings: dict) -> Runner:
    import tapejit as torch

    return peers.tapejit_eager(chain(torch), ARGNUMS)


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(chain(torch), ARGNUMS)


PEERS = {"tapejit eager": _tapejit_eager, "torch": _torch}
