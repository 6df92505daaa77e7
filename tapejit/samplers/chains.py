"""Several chains of NUTS: warm-up, threads, progress, and what comes out.

The one idea: compiled code (`tree.advance`) runs stretches of draws without the GIL; what happens
a few times in a chain is Python: starting, the windows of the warm-up, mass matrices, a path of the
density that is met for the first time.  A chain depends on its own seed alone, so results do not
depend on the number of threads.

Start at `nuts`, then `_Chain.run`.  Warm-up is Stan's (reference manual, "HMC algorithm
parameters"): 75 draws for the step size, windows of 25, 50, 100, ... draws for the mass matrix,
each followed by a new step size, and 50 draws for the last one.
"""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError
from tapejit.runtime.pool import get_num_threads
from tapejit.samplers.density import Density, density
from tapejit.samplers.diagnostics import Summary, summary
from tapejit.samplers.layout import Layout

MAX_STARTS = 100
"""Jittered starting points that are tried (Stan's number)."""

# ---------------------------------------------------------------- what comes out


@dataclass(frozen=True)
class Samples:
    """Draws of the parameters and what the sampler says of each.

    parameters  nested as the model's; every array is (chain, draw, ...)
    statistics  (chain, draw) each, by ArviZ's names: lp (of the unconstrained numbers),
                acceptance_rate, step_size, tree_depth, n_steps, diverging, energy, energy_error
    positions   the unconstrained numbers, (chain, draw, n)

    >>> import numpy as np, tapejit as tj
    >>> samples = tj.samplers.nuts(
    ...     lambda p: -0.5 * np.sum(p["x"] ** 2), {"x": np.zeros(2)}, draws=200, tune=200, seed=1
    ... )
    >>> samples
    Samples(4 chains of 200 draws of x; 0 divergences)
    >>> samples["x"].shape, samples.statistics["n_steps"].shape, list(samples.summary())
    ((4, 200, 2), (4, 200), ['x[0]', 'x[1]'])
    """

    parameters: Any
    statistics: dict[str, np.ndarray]
    positions: np.ndarray
    layout: Layout

    def __getitem__(self, name):
        return self.parameters[name]

    def by_name(self) -> dict[str, np.ndarray]:
        """The parameters in one flat dictionary; nested names are joined by dots."""
        return self.layout.expand(self.positions)

    def summary(self) -> Summary:
        """Mean, sd, quantiles, effective sample size and R-hat of every number, as a table."""
        return summary(self.by_name())

    @property
    def divergences(self) -> int:
        """How many draws diverged: any at all is a reason to look closer."""
        return int(np.sum(self.statistics["diverging"]))

    def bfmi(self) -> np.ndarray:
        """Bayesian fraction of missing information of each chain; below 0.3 energy moves slowly."""
        energy = self.statistics["energy"]
        return np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)

    def to_arviz(self):
        """The same as arviz.InferenceData.  Needs ArviZ: pip install 'tapejit[samplers]'."""
        try:
            arviz: Any = importlib.import_module("arviz")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "samplers: to_arviz needs ArviZ\n  try  pip install 'tapejit[samplers]'"
            ) from error
        groups = {"posterior": self.by_name(), "sample_stats": self.statistics}
        if int(arviz.__version__.split(".")[0]) >= 1:
            return arviz.from_dict(groups)
        return arviz.from_dict(**groups)

    def __repr__(self):
        n_chains, n_draws, _ = self.positions.shape
        names = ", ".join(piece.name for piece in self.layout.pieces)
        return (
            f"Samples({n_chains} chains of {n_draws} draws of {names}; "
            f"{self.divergences} divergences)"
        )


# ---------------------------------------------------------------- the public function


def nuts(
    logp: Callable | Density,
    initial=None,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    constraints=None,
    target_accept: float = 0.8,
    max_treedepth: int = 10,
    dense_mass: bool = False,
    jitter: float = 1.0,
    cores: int | None = None,
    progress: bool | None = None,
) -> Samples:
    """Draw from a density with the No-U-Turn sampler.

    logp           the log density of the parameters, up to a constant: a NumPy function of one
                   argument nested as `initial` (its gradient is compiled), or a `Density`
    initial        parameters to start from: numbers and arrays in dicts, lists or tuples
    draws, tune    kept draws in each chain, and warm-up draws before them that are not kept
    chains, cores  how many chains, and how many threads for them (default: get_num_threads());
                   the same seed gives the same draws whatever the threads
    constraints    `positive`, `interval(a, b)`, `simplex` or `ordered` by parameter; the log
                   determinant is added, so write the density of the parameters themselves
    target_accept  closer to 1: smaller steps, for densities that diverge
    max_treedepth  a draw takes fewer than 2^max_treedepth steps
    dense_mass     adapt a full mass matrix, not its diagonal
    jitter         chains start within this of `initial`, uniformly, in each unconstrained number
    progress       a line on stderr: True, False, or None where stderr is a terminal

    Returns  Samples; after Ctrl-C those that every chain has, with a warning
    Errors   ArgumentError where no starting point has a finite density, or no step size works
    Like     numpyro.infer.NUTS, pymc.sample, Stan's default sampler
    Source   Hoffman and Gelman 2014 (jmlr.org/papers/v15/hoffman14a), Betancourt 2017
             (arXiv:1701.02434)

    >>> import numpy as np, tapejit as tj
    >>> def logp(p):
    ...     return -0.5 * ((p["mean"] - 1.0) / 0.1) ** 2 - 5.0 * p["rate"]
    >>> samples = tj.samplers.nuts(
    ...     logp, {"mean": 0.0, "rate": 1.0}, constraints={"rate": tj.samplers.positive},
    ...     draws=300, tune=300, seed=1,
    ... )
    >>> samples["mean"].shape, round(float(samples["mean"].mean()), 1)
    ((4, 300), 1.0)
    """
    target = logp if isinstance(logp, Density) else density(logp, initial, constraints)
    if isinstance(logp, Density) and (initial is not None or constraints is not None):
        raise ArgumentError("nuts: a Density has its initial values and constraints already")
    _check_counts(draws=(draws, 1), tune=(tune, 0), chains=(chains, 1))
    _check_counts(max_treedepth=(max_treedepth, 1), cores=(cores if cores is not None else 1, 1))
    if not 0.0 < target_accept < 1.0:
        raise ArgumentError(f"nuts: target_accept lies between 0 and 1, got {target_accept}")
    plan = _Plan(target, draws, tune, target_accept, max_treedepth, dense_mass, jitter)
    seeds = np.random.SeedSequence(seed).spawn(chains)
    runs = [_Chain(plan, child) for child in seeds]
    _run_all(runs, cores or min(chains, get_num_threads()), progress)
    return _gather(plan, runs)


def _check_counts(**counts):
    for name, (value, least) in counts.items():
        if not isinstance(value, int | np.integer) or value < least:
            raise ArgumentError(f"nuts: {name} must be an int of at least {least}, got {value!r}")


# ---------------------------------------------------------------- one chain


@dataclass(frozen=True)
class _Plan:
    """What all chains share."""

    density: Density
    draws: int
    tune: int
    target_accept: float
    max_treedepth: int
    dense_mass: bool
    jitter: float


class _Chain:
    """One chain: its state, its memory and its draws."""

    def __init__(self, plan: _Plan, seed: np.random.SeedSequence):
        from tapejit.samplers import tree

        self.tree = tree
        self.plan = plan
        n = plan.density.size
        words, jitter = seed.spawn(2)
        self.jitter = np.random.Generator(np.random.PCG64(jitter))
        self.state = tree.State(
            np.zeros(n), np.zeros(n), np.zeros(1), words.generate_state(4, np.uint64),
            np.array([1.0, 0.0, 0.0, 0.0, 0.0]), np.zeros(2, np.int64),
        )  # fmt: skip
        self.metric = tree.Metric(np.ones((1, n)), np.ones((1, n)))
        self.memory = tree.new_tree(n, plan.max_treedepth)
        self.stop = np.zeros(1, np.int64)
        self.positions = np.empty((plan.draws, n))
        self.statistics = np.empty((plan.draws, len(tree.STATISTICS)))
        self.n_draws = 0

    def run(self) -> None:
        """Start, warm up, draw; ends early after `stop`."""
        self.start()
        if self.warm_up():
            self.n_draws = self.advance(self.positions, self.statistics, 0.0)

    def start(self) -> None:
        """Find a place with a finite density and gradient."""
        density, state = self.plan.density, self.state
        for _ in range(MAX_STARTS):
            offset = self.jitter.uniform(-self.plan.jitter, self.plan.jitter, density.size)
            state.position[:] = density.layout.example + offset
            state.logp[0], state.gradient[:] = density(state.position)
            if np.isfinite(state.logp[0]) and np.all(np.isfinite(state.gradient)):
                return
        raise ArgumentError(
            f"nuts: no starting point has a finite density and gradient, {MAX_STARTS} tried\n"
            f"  got  density {state.logp[0]} at the last of them\n"
            "  try  other initial values, constraints for parameters with bounds, or less jitter"
        )

    def warm_up(self) -> bool:
        """Adapt step size and mass matrix, window by window; False after `stop`."""
        self.find_step()
        begin = 0
        for end, is_for_metric in windows(self.plan.tune):
            positions = np.empty((end - begin, self.plan.density.size))
            statistics = np.empty((end - begin, len(self.tree.STATISTICS)))
            if self.advance(positions, statistics, self.plan.target_accept) < len(positions):
                return False
            if is_for_metric:
                self.metric = self.tree.Metric(*_metric(positions, self.plan.dense_mass))
                self.find_step()
            begin = end
        if begin:
            self.state.step[0] = np.exp(self.state.step[3])
        return True

    def find_step(self) -> None:
        """A first step size for the metric."""
        while True:
            ending = self.tree.find_step(self.target, self.state, self.metric, self.memory)
            if ending != self.tree.FAILED:
                break
            self.learn()
        if not 0.0 < self.state.step[0] < np.inf:
            raise ArgumentError(
                f"nuts: no step size works, the search ended at {self.state.step[0]}\n"
                "  try  0: a density without jumps; inf: one that can be normalised"
            )

    def advance(self, positions, statistics, target_accept) -> int:
        """Fill the arrays with draws; fewer only after `stop`."""
        done = 0
        while True:
            n, ending = self.tree.advance(
                self.target, self.state, self.metric, self.memory, target_accept,
                self.plan.max_treedepth, self.stop, positions[done:], statistics[done:],
            )  # fmt: skip
            done += n
            if ending != self.tree.FAILED:
                return done
            self.learn()

    @property
    def target(self):
        return self.tree.Target(self.plan.density.address, 0)

    def learn(self) -> None:
        """The density met a path that it does not know: record it, and go on from there."""
        self.plan.density.learn(self.memory.proposal[0].copy())


def windows(tune: int) -> list[tuple[int, bool]]:
    """The ends of the warm-up's stretches, and whether a stretch is for the mass matrix.

    >>> windows(1000)
    [(75, False), (100, True), (150, True), (250, True), (450, True), (950, True), (1000, False)]
    """
    if tune < 20:
        return [(tune, False)] if tune else []
    first, size, last = 75, 25, 50
    if tune < first + size + last:
        first, last = int(0.15 * tune), int(0.1 * tune)
        size = tune - first - last
    ends, end, stop = [(first, False)], first, tune - last
    while end < stop:
        end = stop if end + 3 * size > stop else end + size  # the next one, twice as long, must fit
        ends.append((end, True))
        size *= 2
    return [*ends, (tune, False)]


def _metric(positions, is_dense):
    """Inverse mass matrix and factor from a window's draws, drawn to 0.001 as Stan does."""
    n = len(positions)
    share, rest = n / (n + 5.0), 1e-3 * 5.0 / (n + 5.0)
    if not is_dense:
        variances = share * np.var(positions, axis=0, ddof=1)[None] + rest
        return variances, np.sqrt(variances)
    size = positions.shape[1]
    covariance = share * np.atleast_2d(np.cov(positions, rowvar=False)) + rest * np.eye(size)
    return np.ascontiguousarray(covariance), np.linalg.cholesky(covariance)


# ---------------------------------------------------------------- all chains


def _run_all(runs: list[_Chain], cores: int, progress: bool | None) -> None:
    """Run the chains in threads; after an error or Ctrl-C they all stop within a step."""
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # 12 ms

    line = _Line(runs, sys.stderr.isatty() if progress is None else progress)
    pool = ThreadPoolExecutor(cores, "tapejit-chain")
    try:
        pending = {pool.submit(run.run) for run in runs}
        while pending:
            finished, pending = wait(pending, line.INTERVAL_S, FIRST_EXCEPTION)
            for future in finished:
                future.result()
            line.update()
    except BaseException as error:
        for run in runs:
            run.stop[0] = 1
        pool.shutdown(cancel_futures=True)
        if not isinstance(error, KeyboardInterrupt) or not any(run.n_draws for run in runs):
            raise
    finally:
        pool.shutdown()
        line.end()


class _Line:
    """One line on stderr, written over and over."""

    INTERVAL_S = 0.25

    def __init__(self, runs: list[_Chain], is_shown: bool):
        self.runs, self.is_shown = runs, is_shown
        self.total = sum(run.plan.tune + run.plan.draws for run in runs)
        self.start = time.perf_counter()

    def update(self):
        if self.is_shown:
            done = sum(int(run.state.progress[0]) for run in self.runs)
            passed = time.perf_counter() - self.start
            sys.stderr.write(
                f"\rnuts: {done:,} of {self.total:,} draws in {len(self.runs)} chains, "
                f"{passed:.1f} s "
            )
            sys.stderr.flush()

    def end(self):
        self.update()
        if self.is_shown:
            sys.stderr.write("\n")


def _gather(plan: _Plan, runs: list[_Chain]) -> Samples:
    """The chains side by side, and a warning where something is wrong with them."""
    runs = [run for run in runs if run.n_draws]
    n_draws = min(run.n_draws for run in runs)
    positions = np.stack([run.positions[:n_draws] for run in runs])
    columns = np.stack([run.statistics[:n_draws] for run in runs])
    names = runs[0].tree.STATISTICS
    statistics: dict = {name: columns[..., i].copy() for i, name in enumerate(names)}
    for name, kind in (("tree_depth", np.int64), ("n_steps", np.int64), ("diverging", np.bool_)):
        statistics[name] = statistics[name].astype(kind)
    layout = plan.density.layout
    samples = Samples(layout.nest(layout.expand(positions)), statistics, positions, layout)
    complaints = list(_complaints(plan, samples))
    if complaints:
        warnings.warn("nuts: " + "; ".join(complaints), RuntimeWarning, stacklevel=3)
    return samples


def _complaints(plan: _Plan, samples: Samples):
    """What a user should know about the draws before using them."""
    n_chains, n_draws, _ = samples.positions.shape
    if n_draws < plan.draws:
        yield f"interrupted; {n_chains} chains have {n_draws} of {plan.draws} draws"
    if samples.divergences:
        yield (
            f"{samples.divergences} of {n_chains * n_draws} draws diverged, so some places are "
            "not reached; try target_accept closer to 1, or other parameters (a non-centred form)"
        )
    n_deep = int(np.sum(samples.statistics["tree_depth"] >= plan.max_treedepth))
    if n_deep > n_chains * n_draws // 20:
        yield (
            f"{n_deep} draws reached max_treedepth {plan.max_treedepth}; try parameters of similar "
            "scale, dense_mass=True, or a larger max_treedepth"
        )
