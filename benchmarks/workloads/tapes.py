"""A long irregular scalar tape: v_i = sin(v_p v_q + v_(i-1)), p and q drawn from all before.

Three operations a statement, each row another pair of operands: nothing to vectorise, nothing to
roll into a loop.  The program is a Python loop that appends to a list, the same text for every
library.  CasADi's is its SX virtual machine, called with and returning NumPy arrays.

Beside the timed calls, `figures` runs processes of its own (benchmarks.long_tape): the first
gradient with empty and with filled caches, its slope over the length, and bytes per row.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np

from benchmarks import harness, peers
from benchmarks.records import Case, Figure, Runner, Target

SUMMARY = "irregular scalar tape, value and gradient, per operation"
N_INPUTS = 8
SIZES = (300, 3_000, 30_000, 300_000)
QUICK_SIZES = (60, 150)  # JAX compiles 300 operations in 20 s, 3,000 not within a minute
LONGEST = 3_000_000

TARGETS = (Target("warm", 1.0, ("casadi",)), Target("warm", 5.0, ("jax, no fusion", "torch")))
WARM_NS = {300: 15.0, 3_000: 15.0, 30_000: 15.0, 300_000: 30.0}
FIRST_S = {3_000: 0.1, 300_000: 3.0}
SLOPE = 1.1
FIGURES = {
    **{f"warm, {n:,} operations": f"<= {ns:g} ns an operation" for n, ns in WARM_NS.items()},
    **{f"first gradient, {n:,} operations": f"<= {s:g} s" for n, s in FIRST_S.items()},
    "slope of the first gradient": f"<= {SLOPE}",
    f"memory, {LONGEST:,} operations": "it runs; bytes a row are reported",
}


def cases(quick: bool) -> list[Case]:
    """One program for each length."""
    sizes = QUICK_SIZES if quick else SIZES
    return [Case(f"{n:,} operations", ({"n": n, "seed": 7},), per=n, limit_s=60.0) for n in sizes]


def inputs(settings: dict, draw: int) -> tuple:
    """The first elements of v."""
    rng = np.random.default_rng([settings["seed"], draw])
    return (rng.uniform(0.1, 1.0, N_INPUTS),)


def function(settings: dict, xp) -> Callable:
    """The tape on one library's module."""
    rng = np.random.default_rng(settings["seed"])
    n = settings["n"] // 3
    drawn = rng.integers(0, np.arange(N_INPUTS, N_INPUTS + n)[:, None], (n, 2))
    # a tuple: what a function reads is compared at every call, and a list takes 5 ns a pair
    pairs = tuple((int(p), int(q)) for p, q in drawn)

    def tape(x):
        v = [x[i] for i in range(N_INPUTS)]
        for p, q in pairs:
            v.append(xp.sin(v[p] * v[q] + v[-1]))
        return v[-1]

    return tape


# ---------------------------------------------------------------- peers


def _tapejit(settings: dict) -> Runner:
    return peers.tapejit(function(settings, np), (0,))


def _tapejit_eager(settings: dict) -> Runner:
    return peers.tapejit_eager(function(settings, np), (0,))


def _jax(settings: dict) -> Runner:
    import jax.numpy as jnp

    return peers.jax(function(settings, jnp), (0,))


def _torch(settings: dict) -> Runner:
    import torch

    return peers.torch(function(settings, torch), (0,))


def _casadi(settings: dict) -> Runner:
    import casadi

    def make():
        x = casadi.SX.sym("x", N_INPUTS)
        value = function(settings, casadi)(x)
        both = casadi.Function("both", [x], [value, casadi.gradient(value, x)])

        def call(x):
            value, gradient = both(x)
            return float(value), [gradient.full().ravel()]

        return call

    return Runner(make)


PEERS = {
    "tapejit": _tapejit,
    "tapejit eager": _tapejit_eager,
    "jax": _jax,
    "jax, no fusion": _jax,
    "torch": _torch,
    "casadi": _casadi,
}

# ---------------------------------------------------------------- in processes of their own


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """Times of a first gradient and of later ones; memory."""
    sizes = SIZES[:2] if quick else SIZES
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as cache:
        fresh = {n: run(n, cache) for n in sizes[:1]}
        found = {n: run(n, cache) for n in sizes}
        longest = run(30_000 if quick else LONGEST, cache)
    rows = [_warm(n, found[n]) for n in sizes]
    rows += [_first(n, found[n]) for n in FIRST_S if n in found]
    rows += [_slope(found), _memory(longest)]
    (first,) = fresh.values()
    say(f"  first gradient with empty caches, {sizes[0]} operations: {first['first_s']:.3f} s")
    for row in rows:
        say(f"  {row.name}: {row.value}")
    return [row._replace(word="not judged") for row in rows] if quick else rows


def run(n: int, cache: str) -> dict:
    """One process's measurements for a tape of n operations."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.long_tape", str(n)],
        cwd=harness.ROOT, env=harness.environment("tapejit", cache), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def _warm(n, found):
    ns = found["warm_s"] / n * 1e9
    name = f"warm, {n:,} operations"
    return _judged(name, f"{ns:.1f} ns an operation", ns <= WARM_NS[n], found)


def _first(n, found):
    name = f"first gradient, {n:,} operations"
    value = f"{found['first_s']:.3f} s, {found['first_cpu_s']:.3f} s of the processor"
    return _judged(name, value, found["first_s"] <= FIRST_S[n], found)


def _slope(found):
    """Log-log, from the second length on: the first one is all overhead."""
    points = [(math.log(n), math.log(x["first_s"])) for n, x in found.items()][1:]
    if len(points) < 2:
        points = [(math.log(n), math.log(x["first_s"])) for n, x in found.items()]
    slope = float(np.polyfit(*zip(*points, strict=True), 1)[0])
    name = "slope of the first gradient"
    return _judged(name, f"{slope:.2f}", slope <= SLOPE, {"points": points})


def _memory(found):
    name = f"memory, {LONGEST:,} operations"
    value = (
        f"{found['recording_bytes']:.0f} bytes a row while recording, {found['kept_bytes']:.0f} "
        f"kept; first gradient {found['first_s']:.1f} s, then {found['warm_s']:.3f} s"
    )
    return _judged(name, value, True, found)


def _judged(name, value, is_met, numbers):
    return Figure(name, value, FIGURES[name], "met" if is_met else "missed", numbers)
