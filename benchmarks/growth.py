"""How much memory distinct programs leave behind: `python -m benchmarks.growth KIND COUNT`.

Runs COUNT programs that differ in structure or signature, and prints, as JSON, ten samples of
(programs so far, resident MiB, memory maps), after a garbage collection each.  Kinds:

    functions   a new function each, value_and_grad twice, then dropped
    eager       one eager loop that makes other tensor code every time, backward() three times
    signatures  one function, called with other static strings, numbers and shapes every time
    slices      one eager loop over x[i:i+32]
"""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tapejit as tj
from benchmarks import programs

N_SAMPLES = 10
_INPUTS = [np.linspace(-1.0, 1.0, 64), np.linspace(0.9, -0.8, 64), np.linspace(0.1, 0.2, 64)]


def _function(number: int) -> Callable:
    """A random program of 5 to 24 operations; not in linecache, which would keep its text."""
    namespace = {"xp": np}
    exec(programs.source(programs.generate(number, 5 + number % 20)), namespace)
    return namespace["program"]


def functions(number: int) -> None:
    """Compile a new function and drop it."""
    value_and_grad = tj.value_and_grad(_function(number), argnums=(0, 1, 2))
    value_and_grad(*_INPUTS)
    value_and_grad(*_INPUTS)


def eager(number: int) -> None:
    """Run new tensor code."""
    f = _function(number)
    for _ in range(3):
        f(*[tj.tensor(x, requires_grad=True) for x in _INPUTS]).backward()


@tj.value_and_grad
def _configured(x, options):
    return np.sum(np.sin(x) * options["factor"]) * len(options["name"])


def signatures(number: int) -> None:
    """Call the same function with what it has not seen."""
    draw = random.Random(number)
    x = np.full(draw.randrange(1, 2000), 0.5)
    _configured(x, {"factor": 2.0, "name": f"run {number}"})


_LONG = tj.tensor(np.linspace(0.0, 1.0, 100_000), requires_grad=True)


def slices(number: int) -> None:
    """Take the slope of another window."""
    (_LONG[number : number + 32] ** 2).sum().backward()
    _LONG.grad = None


KINDS = {f.__name__: f for f in (functions, eager, signatures, slices)}


def sample(number: int) -> tuple[int, float, int]:
    """(programs so far, resident MiB, memory maps)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return number, pages * 4096 / 2**20, Path("/proc/self/maps").read_text().count("\n")


def measure(kind: str, count: int) -> list[tuple[int, float, int]]:
    """Run the programs; the samples."""
    samples = []
    for number in range(count):
        KINDS[kind](number)
        if (number + 1) % max(count // N_SAMPLES, 1) == 0:
            samples.append(sample(number + 1))
    return samples


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
