"""Matrix work, value and gradient: a Gaussian likelihood through Cholesky and solve; einsum.

The likelihood is b^T A^-1 b + log det A of a covariance A, 500 x 500: once by its Cholesky factor
and a triangular solve, once by solve and slogdet (an LU that both need).  The einsum is
'bik,bkj->bij', 64 products of 128 x 128, with a sine and a sum behind it.  Flops decide here, and
whose BLAS it is; what a library can do is to need fewer of them.
"""

from __future__ import annotations

import numpy as np

from benchmarks import peers
from benchmarks.records import Case, Runner, Target

SUMMARY = "Cholesky, solve and einsum, value and gradient, float64"
CHOLESKY, SOLVE, EINSUM = "cholesky + solve", "solve + slogdet", "einsum bik,bkj->bij"

TARGETS = (Target("warm", 1.0, ("jax", "torch")),)


def cases(quick: bool) -> list[Case]:
    """Matrices of 500 rows; 64 products of matrices of 128."""
    n, batch, m = (40, 4, 16) if quick else (500, 64, 128)
    return [
        Case(CHOLESKY, ({"model": CHOLESKY, "n": n, "seed": 5},)),
        Case(SOLVE, ({"model": SOLVE, "n": n, "seed": 6},)),
        Case(EINSUM, ({"model": EINSUM, "batch": batch, "n": m, "seed": 7},)),
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """A covariance and an observation; or two batches of matrices."""
    rng = np.random.default_rng([settings["seed"], draw])
    n = settings["n"]
    if settings["model"] == EINSUM:
        shape = (settings["batch"], n, n)
        return rng.normal(size=shape) / n**0.5, rng.normal(size=shape) / n**0.5
    half = rng.normal(size=(n, n))
    return half @ half.T / n + np.eye(n), rng.normal(size=n)


def function(settings: dict, xp, solve_triangular):
    """The loss on one library's module; solve_triangular(L, b) of a column b."""

    def by_cholesky(a, b):
        factor = xp.linalg.cholesky(a)
        z = solve_triangular(factor, b[:, None])
        return xp.sum(z * z) + 2.0 * xp.sum(xp.log(xp.diagonal(factor)))

    def by_solve(a, b):
        return b @ xp.linalg.solve(a, b) + xp.linalg.slogdet(a)[1]

    def by_einsum(x, y):
        return xp.sum(xp.sin(xp.einsum("bik,bkj->bij", x, y)))

    return {CHOLESKY: by_cholesky, SOLVE: by_solve, EINSUM: by_einsum}[settings["model"]]


def _tapejit(settings: dict) -> Runner:
    return peers.tapejit(_on_numpy(settings), (0, 1))


def _tapejit_eager(settings: dict) -> Runner:
    return peers.tapejit_eager(_on_numpy(settings), (0, 1))


def _on_numpy(settings):
    from tapejit import linalg

    return function(settings, np, lambda a, b: linalg.solve_triangular(a, b, upper=False))


def _jax(settings: dict) -> Runner:
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    return peers.jax(
        function(settings, jnp, lambda a, b: solve_triangular(a, b, lower=True)), (0, 1)
    )


def _torch(settings: dict) -> Runner:
    import torch

    triangular = torch.linalg.solve_triangular
    return peers.torch(
        function(settings, torch, lambda a, b: triangular(a, b, upper=False)), (0, 1)
    )


PEERS = {
    "tapejit": _tapejit,
    "tapejit eager": _tapejit_eager,
    "jax": _jax,
    "torch": _torch,
}
