"""NUTS: steps per second with a compiled gradient and with one written by hand, in one sampler.

The sampler is ours for both (`tapejit.samplers`), so the ratio is that of the gradients as one
meets them: eight schools (10 numbers) and a radon-like hierarchical model (87 numbers, 919 houses).
The densities are compared at many places first.  Not run when quick: Numba compiles for 5 s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from benchmarks.records import Case, Figure

SUMMARY = "NUTS steps per second, compiled gradient against one written by hand"
PEERS: dict = {}
TARGETS = ()
AT_LEAST = 0.8
NUTPIE = "nutpie, eight schools"
BY_HAND = f"at least {AT_LEAST:g}x the steps per second of the one by hand"
FIGURES = {
    "eight schools": BY_HAND,
    "radon": BY_HAND,
    NUTPIE: "more steps per second than with JAX",
}

Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def cases(quick: bool) -> list[Case]:
    """None: nothing is timed call by call."""
    return []


def schools():
    """(log density, parameters, the same with its gradient) of eight schools; x[1] = log tau."""

    def logp(x):
        mu, tau, eta = x[0], np.exp(x[1]), x[2:]
        return (
            -0.5 * np.sum(eta**2)
            - 0.5 * np.sum(((Y - mu - tau * eta) / SIGMA) ** 2)
            - 0.5 * (mu / 5.0) ** 2
            - np.log1p((tau / 5.0) ** 2)
            + x[1]
        )

    def by_hand(x, gradient):
        mu, tau = x[0], math.exp(x[1])
        ratio = (tau / 5.0) ** 2
        total = -0.5 * (mu / 5.0) ** 2 - math.log1p(ratio) + x[1]
        slope_mu, slope_tau = -mu / 25.0, 0.0
        for j in range(8):
            off = (Y[j] - mu - tau * x[2 + j]) / SIGMA[j]
            pull = off / SIGMA[j]
            total -= 0.5 * off * off + 0.5 * x[2 + j] ** 2
            slope_mu += pull
            slope_tau += pull * x[2 + j]
            gradient[2 + j] = pull * tau - x[2 + j]
        gradient[0] = slope_mu
        gradient[1] = slope_tau * tau - 2.0 * ratio / (1.0 + ratio) + 1.0
        return total

    return logp, np.zeros(10), by_hand


def radon():
    """The same of houses in counties: mu, slope, log of both scales, one level for each county."""
    rng = np.random.default_rng(1990)
    n = 83
    county = rng.integers(0, n, 919)
    floor = (rng.uniform(size=919) < 0.2).astype(float)
    y = 1.4 + 0.4 * rng.normal(size=n)[county] - 0.6 * floor + 0.7 * rng.normal(size=919)

    def logp(x):
        mu, slope, log_a, log_b, level = x[0], x[1], x[2], x[3], x[4:]
        off = (y - level[county] - slope * floor) * np.exp(-log_b)
        apart = (level - mu) * np.exp(-log_a)
        prior = -0.5 * (mu**2 + slope**2) / 25.0 - 0.5 * (log_a**2 + log_b**2)
        return prior - 0.5 * np.sum(off**2) - 919 * log_b - 0.5 * np.sum(apart**2) - n * log_a

    def by_hand(x, gradient):
        mu, slope, log_a, log_b = x[0], x[1], x[2], x[3]
        a, b = math.exp(-log_a), math.exp(-log_b)
        squares, apart, g_mu, g_slope = 0.0, 0.0, -mu / 25.0, -slope / 25.0
        for j in range(n):
            z = (x[4 + j] - mu) * a
            apart += z * z
            gradient[4 + j] = -z * a
            g_mu += z * a
        for i in range(919):
            off = (y[i] - x[4 + county[i]] - slope * floor[i]) * b
            squares += off * off
            gradient[4 + county[i]] += off * b
            g_slope += off * b * floor[i]
        gradient[0], gradient[1] = g_mu, g_slope
        gradient[2] = apart - n - log_a
        gradient[3] = squares - 919 - log_b
        prior = -0.5 * (mu**2 + slope**2) / 25.0 - 0.5 * (log_a**2 + log_b**2)
        return prior - 0.5 * squares - 919 * log_b - 0.5 * apart - n * log_a

    return logp, np.zeros(4 + n), by_hand


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """Both models; the best of several runs of each gradient, in turn."""
    rows: list[Figure] = []
    if quick:
        return rows
    for (name, target), model in zip(list(FIGURES.items())[:2], (schools, radon), strict=True):
        ours, hand, off = measure(model, 7, 1000)
        ratio = ours / hand
        value = f"{ours:,.0f} steps/s; by hand {hand:,.0f}; ratio {ratio:.2f}"
        say(f"  {name}: {value}")
        word = "wrong" if off > 1e-10 else "met" if ratio >= AT_LEAST else "missed"
        numbers = {"ours_per_s": ours, "by_hand_per_s": hand, "off": off}
        rows.append(Figure(name, value, target, word, numbers))
    return [*rows, nutpie_figure(say)]


def nutpie_figure(say: Callable) -> Figure:
    """nutpie on eight schools, one core: our pointer, and JAX through a Python function."""
    try:
        ours, with_jax = (nutpie_steps(make) for make in (samplers_model, jax_model))
    except ModuleNotFoundError as error:
        say(f"  {NUTPIE}: SKIPPED, {error}")
        return Figure(NUTPIE, f"SKIPPED: {error}", FIGURES[NUTPIE], "not judged", {})
    value = f"{ours:,.0f} steps/s; with JAX {with_jax:,.0f}; ratio {ours / with_jax:.1f}"
    say(f"  {NUTPIE}: {value}")
    word = "met" if ours > with_jax else "missed"
    return Figure(NUTPIE, value, FIGURES[NUTPIE], word, {"ours_per_s": ours, "jax_per_s": with_jax})


def samplers_model():
    """Eight schools for nutpie, from NumPy."""
    from tapejit import samplers

    logp, start, _ = schools()
    return samplers.nutpie_model(logp, start)


def jax_model():
    """Eight schools for nutpie, from JAX: a jitted value_and_grad, called through Python."""
    import jax
    import jax.numpy as jnp
    from nutpie.compiled_pyfunc import from_pyfunc

    jax.config.update("jax_enable_x64", True)

    @jax.jit
    @jax.value_and_grad
    def compiled(x):
        mu, tau, eta = x[0], jnp.exp(x[1]), x[2:]
        prior = -0.5 * jnp.sum(eta**2) - 0.5 * (mu / 5.0) ** 2 - jnp.log1p((tau / 5.0) ** 2)
        return prior - 0.5 * jnp.sum(((Y - mu - tau * eta) / SIGMA) ** 2) + x[1]

    def call(x):
        value, gradient = compiled(x)
        return float(value), np.asarray(gradient)

    call(np.zeros(10))  # compiles
    return from_pyfunc(
        10, lambda: call, lambda *seeds: lambda x: {"x": np.asarray(x)}, [np.dtype(float)],
        [(10,)], ["x"],
    )  # fmt: skip


def nutpie_steps(make: Callable) -> float:
    """Steps per second of nutpie, the best of three runs."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nutpie

    model, best = make(), 0.0
    for seed in range(3):
        begin = time.perf_counter()
        trace = nutpie.sample(
            model, draws=500, tune=300, chains=2, cores=1, seed=seed, progress_bar=False
        )
        passed = time.perf_counter() - begin
        parts = trace.sample_stats, trace.warmup_sample_stats
        best = max(best, sum(int(part["n_steps"].sum()) for part in parts) / passed)
    return best


def measure(model: Callable, n_runs: int, draws: int) -> tuple[float, float, float]:
    """Steps per second of ours and of the gradient by hand, and how far they are apart."""
    import numba

    from tapejit import samplers

    logp, start, by_hand = model()
    densities = samplers.density(logp, start), samplers.written(numba.njit(by_hand), start)
    off = 0.0
    for x in np.random.default_rng(0).normal(size=(50, start.size)):
        (value, slopes), (expected, truth) = densities[0](x), densities[1](x)
        off = max(off, abs(value - expected) / abs(expected))
        off = max(off, float(np.max(np.abs(slopes - truth)) / np.max(np.abs(truth))))
    best = [0.0, 0.0]
    for run in range(n_runs + 1):  # the first one compiles
        for i, target in enumerate(densities):
            steps, seconds = run_core(target, draws, run)
            if run:
                best[i] = max(best[i], steps / seconds)
    return best[0], best[1], off


def run_core(target, draws: int, seed: int) -> tuple[int, float]:
    """Draws of a fixed step size from the compiled core; how many steps they took, in how long."""
    from tapejit.samplers import tree

    n = target.size
    x, gradient = np.zeros(n), np.empty(n)
    _, value = target.evaluate(x, gradient)
    words = np.random.SeedSequence(seed).generate_state(4, np.uint64)
    step = np.array([0.05, 0.0, 0.0, 0.0, 0.0])
    state = tree.State(x, gradient, np.array([value]), words, step, np.zeros(2, np.int64))
    metric = tree.Metric(np.full((1, n), 0.1), np.full((1, n), math.sqrt(0.1)))
    positions, statistics = np.empty((draws, n)), np.empty((draws, len(tree.STATISTICS)))
    memory, stop = tree.new_tree(n, 6), np.zeros(1, np.int64)
    place = tree.Target(target.address, 0)
    begin = time.perf_counter()
    tree.advance(place, state, metric, memory, 0.0, 6, stop, positions, statistics)
    return int(statistics[:, 4].sum()), time.perf_counter() - begin
