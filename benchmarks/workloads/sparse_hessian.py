"""The sparse Hessian of Rosenbrock's chained function in 100,000 variables, as a SciPy matrix.

CasADi reads the pattern from its own graph and colours it, as we do; its call gives its own matrix,
whose conversion to SciPy is not counted.  The dense Hessian would have 80 GB.

Function: Rosenbrock 1960, in the chained form of More, Garbow and Hillstrom 1981.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.matrices import Compared, facts_of, timed
from benchmarks.records import Case, Figure, Runner, Target

SUMMARY = "sparse Hessian of the chained Rosenbrock function, per call"
TARGETS = (Target("warm", 1.0, ("casadi",)), Target("cold", 1.0, ("casadi",)))
SWEEPS = 3
FIGURES = {"sweeps": f"<= {SWEEPS}, CasADi's star colouring"}


def cases(quick: bool) -> list[Case]:
    """One size."""
    n = 1_000 if quick else 100_000
    return [Case(f"{n:,} variables", ({"n": n, "seed": 5},))]


def inputs(settings: dict, draw: int) -> tuple:
    """One point."""
    return (np.random.default_rng([settings["seed"], draw]).uniform(-1.5, 1.5, settings["n"]),)


def rosenbrock(x):
    """The function."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    def make():
        hessian = tj.hessian(rosenbrock, sparse=True)

        def call(x):
            matrix = hessian(x)
            return Compared(lambda: matrix)

        return call

    return Runner(make, calls_until_compiled=2)


def _casadi(settings: dict) -> Runner:
    import casadi

    def make():
        x = casadi.SX.sym("x", settings["n"])
        slack, rest = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
        value = casadi.sum1(100.0 * slack**2 + rest**2)
        hessian = casadi.Function("hessian", [x], [casadi.hessian(value, x)[0]])

        def call(x):
            matrix = hessian(x)
            return Compared(matrix.sparse)

        return call

    return Runner(make)


PEERS = {"tapejit": _tapejit, "casadi": _casadi}


def facts(settings: dict) -> dict:
    """Times and sweeps."""
    import tapejit as tj

    hessian, (x,) = tj.hessian(rosenbrock, sparse=True), inputs(settings, 0)
    first_s, warm_s = timed(lambda: hessian(x))
    (sweeps,) = tj.explain(hessian).paths[0].sweeps
    return {"first_s": first_s, "warm_s": warm_s, "sweeps": sweeps}


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """How many sweeps the colouring needs."""
    found = facts_of("sparse_hessian", cases(quick)[0].programs[0])
    n = int(found["sweeps"].split(": ")[1].split()[0])
    value = f"{found['sweeps']}; first call {found['first_s']:.2f} s"
    say(f"  sweeps: {value}")
    return [Figure("sweeps", value, FIGURES["sweeps"], "met" if n <= SWEEPS else "missed", found)]
