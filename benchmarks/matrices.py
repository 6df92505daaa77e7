"""Sparse results, and what is counted of them in a process of its own.

    python -m benchmarks.matrices bundle|sparse_hessian SETTINGS

Prints JSON: what `facts` of that workload returns, for settings given as JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from time import perf_counter

import numpy as np

from benchmarks import harness


class Compared:
    """A sparse matrix that is compared by its products with two vectors; making it costs nothing.

    read  gives a SciPy matrix
    """

    def __init__(self, read):
        self.read = read

    def __array__(self, dtype=None, copy=None):
        matrix = self.read()
        rng = np.random.default_rng(0)
        rows, columns = (rng.uniform(0.5, 1.5, n) for n in matrix.shape)
        return np.concatenate(
            [matrix @ columns, matrix.T @ rows, np.asarray(matrix.sum(0)).ravel()]
        )


def timed(call, n: int = 15) -> tuple[float, float]:
    """Seconds of the first call, and of the fastest of the later ones."""
    times = []
    for _ in range(n + 1):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return times[0], min(times[1:])


def facts_of(workload: str, settings: dict) -> dict:
    """The facts, from a process that runs on one core with empty caches."""
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as cache:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.matrices", workload, json.dumps(settings)],
            cwd=harness.ROOT, env=harness.environment("tapejit", cache), capture_output=True,
            text=True, check=True,
        )  # fmt: skip
    return json.loads(done.stdout)


if __name__ == "__main__":
    module = importlib.import_module(f"benchmarks.workloads.{sys.argv[1]}")
    print(json.dumps(module.facts(json.loads(sys.argv[2]))))
