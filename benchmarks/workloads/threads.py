"""Two threads against one: what a second core gives to long kernels.

Black-Scholes writes four arrays of 80 MB, fresh memory at every call; the Student-t regression
reads 160 MB and leaves four numbers.  The columns with two threads may use every CPU of the
machine, the others are held to one as everywhere.  The figure is honest only on a machine with two
idle cores: look at the load that the report states.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target
from benchmarks.workloads import black_scholes, likelihoods

SUMMARY = "one thread and two, on arrays of ten million float64"
GREEKS, REGRESSION = "black-scholes, sum and 4 greeks", "student-t, 3 gradients"

TARGETS = (
    Target("warm", 1.8, ("tapejit",), "tapejit, 2 threads"),
    Target("warm", 3.0, ("torch, 2 threads",), "tapejit, 2 threads"),
)


def cases(quick: bool) -> list[Case]:
    """Ten million options; ten million observations."""
    n = 200_000 if quick else 10_000_000
    greeks = {"name": GREEKS, "n_options": n, "seed": 7}
    regression = {"name": REGRESSION, "model": likelihoods.STUDENT_T, "n": n, "seed": 3}
    return [Case(GREEKS, (greeks,)), Case(REGRESSION, (regression,))]


def inputs(settings: dict, draw: int) -> tuple:
    """Those of the workload that the case comes from."""
    source = black_scholes if settings["name"] == GREEKS else likelihoods
    return source.inputs(settings, draw)


def _function(settings, xp, erf):
    if settings["name"] == GREEKS:
        return black_scholes.total_price(xp, erf), black_scholes.ARGNUMS
    return likelihoods.function(settings, xp), likelihoods.argnums(settings)


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    return peers.tapejit(*_function(settings, np, tj.erf))


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(*_function(settings, torch, torch.erf))


PEERS = {
    "tapejit": _tapejit,
    "tapejit, 2 threads": _tapejit,
    "torch": _torch,
    "torch, 2 threads": _torch,
}
