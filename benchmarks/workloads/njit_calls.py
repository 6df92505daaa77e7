"""What a gradient costs inside @njit code, against one that a person wrote in Numba.

Both are called from the same @njit loop and return a fresh array.  One row calls both in
`prange`, over the rows of a matrix.  Answers are compared before anything is timed; the shortest of
several runs counts, in turn.

And the other way round: a chain with a function in it that only Numba can run, called from Python.
Where that function might raise, it is a step of its own, with Numba's loop around it; where it does
not, the kernel calls it (`tj.elementwise`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from time import perf_counter

import numpy as np

from benchmarks.records import Case, Figure
from benchmarks.workloads import calls

SUMMARY = "a gradient called from @njit code"
TARGETS = ()
PEERS: dict = {}
OVER = "at most 30 ns over the kernel by hand"
NAMES = {
    "scalar": "a scalar function",
    2: "Rosenbrock-2",
    10: "Rosenbrock-10",
    100: "Rosenbrock-100",
    "schools": "8 schools",
    "prange": "Rosenbrock-10 in prange",
}
FUSED = "at least as fast as a step of its own"
LINKED = {
    100: "an angle wrapped in a chain of 100",
    65_536: "an angle wrapped in a chain of 65,536",
}
FIGURES = dict.fromkeys(NAMES.values(), OVER) | dict.fromkeys(LINKED.values(), FUSED)
N_CALLS = 100_000
N_RUNS = 15


def cases(quick: bool) -> list[Case]:
    """None: a loop in Numba takes the time."""
    return []


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """A row for each function."""
    rows = []
    for what in ("scalar", 10) if quick else NAMES:
        rows.append(_row(what, quick))
        say(f"  {rows[-1].name}: {rows[-1].value}")
    for n_elements in (100,) if quick else LINKED:
        rows.append(_linked_row(n_elements, quick))
        say(f"  {rows[-1].name}: {rows[-1].value}")
    return rows


def _row(what, quick) -> Figure:
    n_calls, n_runs = (1000, 2) if quick else (N_CALLS, N_RUNS)
    if what == "scalar":
        loops, compare = _scalar_loops()
    elif what == "schools":
        loops, compare = _array_loops(calls.schools(np, np.asarray), calls.schools_kernel, 10)
    elif what == "prange":
        loops, compare = _parallel_loops(10)
    else:
        function = calls.FUNCTIONS["chain"](np, np.asarray)
        loops, compare = _array_loops(function, calls.KERNELS["chain"], what)
    apart, best = compare(), [math.inf] * 2
    for _ in range(n_runs):
        for i, loop in enumerate(loops):
            start = perf_counter()
            loop(n_calls)
            best[i] = min(best[i], (perf_counter() - start) / n_calls)
    ours, hand = best
    value = f"{1e9 * ours:.1f} ns a call, by hand {1e9 * hand:.1f} ns: {hand / ours:.2f}x"
    word = "not judged" if quick else "met" if ours <= hand + 30e-9 else "missed"
    if not apart < 1e-9:
        word = "wrong"
    return Figure(NAMES[what], value, OVER, word, {"ours_s": ours, "hand_s": hand})


def wrapped(x):
    """An angle between -pi and pi."""
    while x > math.pi:
        x -= 2 * math.pi
    while x < -math.pi:
        x += 2 * math.pi
    return x


def wrapped_if_finite(x):
    """The same, which may raise."""
    if x - x != 0:
        raise ValueError("no angle")
    while x > math.pi:
        x -= 2 * math.pi
    while x < -math.pi:
        x += 2 * math.pi
    return x


def _chain(function):
    """Value and gradient of a chain with that function in it."""
    import tapejit as tj

    own = tj.elementwise(function, lambda x: 1.0)

    def chain(x, y):
        return np.sum(np.sqrt(1 + own(x - y) ** 2) * y + x * x)

    return tj.value_and_grad(chain, argnums=(0, 1))


def _linked_row(n_elements, quick) -> Figure:
    x, y = np.random.default_rng(0).uniform(-6.0, 6.0, (2, n_elements))
    gradients = [_chain(wrapped), _chain(wrapped_if_finite)]
    values = [[gradient(x, y)[0] for _ in range(3)][-1] for gradient in gradients]
    best = [math.inf] * 2
    for _ in range(2 if quick else N_RUNS):
        for i, gradient in enumerate(gradients):
            n = max(20_000 // n_elements, 2)
            start = perf_counter()
            for _ in range(n):
                gradient(x, y)
            best[i] = min(best[i], (perf_counter() - start) / n)
    fused, apart = best
    value = f"{1e6 * fused:.1f} us a call, as a step of its own {1e6 * apart:.1f} us: "
    value += f"{apart / fused:.2f}x"
    word = "not judged" if quick else "met" if fused <= 1.05 * apart else "missed"
    if abs(values[0] / values[1] - 1) > 1e-12:
        word = "wrong"
    return Figure(LINKED[n_elements], value, FUSED, word, {"fused_s": fused, "apart_s": apart})


def _scalar_loops():
    from numba import njit

    import tapejit as tj

    def loop(function):
        @njit
        def walk(n):
            x = total = 0.5
            for _ in range(n):
                value, slope = function(x)
                x += 1e-9 * slope
                total += value
            return total

        return walk

    native = tj.value_and_grad(calls.scalar(np, np.asarray)).numba(0.5)
    ours, hand = loop(native), loop(njit(calls.scalar_kernel))
    return (ours, hand), lambda: abs(ours(10) - hand(10))


def _array_loops(function, kernel, size):
    from numba import njit

    import tapejit as tj

    start = np.random.default_rng(0).uniform(0.5, 1.5, size)

    def loop(function):
        @njit
        def walk(x, n):
            total = 0.0
            for _ in range(n):
                value, gradient = function(x)
                x[0] += 1e-12 * gradient[0]
                total += value
            return total

        return lambda n: walk(start.copy(), n)

    ours, hand = loop(tj.value_and_grad(function).numba(start)), loop(njit(kernel))
    return (ours, hand), lambda: abs(ours(10) / hand(10) - 1)


def _parallel_loops(size):
    from numba import njit, prange

    import tapejit as tj

    function = calls.FUNCTIONS["chain"](np, np.asarray)
    rows = np.random.default_rng(0).uniform(-1.5, 1.5, (2000, size))
    native = tj.value_and_grad(function).numba(rows[0])
    kernel = njit(calls.KERNELS["chain"])

    def loop(function):
        @njit(parallel=True)
        def of_all(x, values):
            for i in prange(len(x)):
                values[i] = function(x[i])[0]

        def run(n):
            values = np.empty(len(rows))
            for _ in range(max(n // len(rows), 1)):
                of_all(rows, values)
            return values

        return run

    ours, hand = loop(native), loop(kernel)
    return (ours, hand), lambda: np.abs(ours(1) / hand(1) - 1).max()
