"""NUTS draws from the right distribution: known moments, invariance, seeds, errors.

References are computed, not sampled: Gaussian posteriors by linear algebra, hierarchical ones by
quadrature over their one or two scales.  Tolerances are Monte-Carlo errors (mean ± 5 sd/√ess).
"""

from __future__ import annotations

import _thread
import functools
import signal
import threading

import numpy as np
import pytest
from numba import njit

import tapejit as tj
from tapejit import samplers
from tapejit.errors import ArgumentError, DtypeError, ShapeError
from tapejit.samplers import tree
from tapejit.samplers.chains import windows
from tapejit.samplers.layout import Layout

POSITIVE = samplers.positive


def assert_moments(draws, mean, sd):
    """Mean and sd of draws (chain, draw, ...) are these, within 5 Monte-Carlo errors."""
    flat = draws.reshape(-1, *draws.shape[2:])
    assert np.all(samplers.rhat(draws) < 1.03)
    error = sd / np.sqrt(samplers.ess_bulk(draws))
    assert np.all(np.abs(flat.mean(axis=0) - mean) < 5 * error)
    square = (draws - mean) ** 2
    spread = square.std(axis=(0, 1)) / np.sqrt(samplers.ess_bulk(square))
    assert np.all(np.abs(square.mean(axis=(0, 1)) - sd**2) < 5 * spread)


# ---------------------------------------------------------------- the compiled core

COVARIANCE = np.array([[1.0, 1.9, 0.0], [1.9, 4.0, 0.3], [0.0, 0.3, 0.25]])
PRECISION = np.linalg.inv(COVARIANCE)
CENTRE = np.array([1.0, -2.0, 0.5])


@njit
def correlated(x, gradient):
    total = 0.0
    for i in range(3):
        gradient[i] = 0.0
        for j in range(3):
            gradient[i] -= PRECISION[i, j] * (x[j] - CENTRE[j])
        total += 0.5 * gradient[i] * (x[i] - CENTRE[i])
    return total


@njit
def funnel(x, gradient):
    v, scale = x[0], np.exp(-x[0])
    total = 0.0
    for i in range(1, len(x)):
        gradient[i] = -x[i] * scale
        total += x[i] * x[i]
    gradient[0] = -v / 9.0 + 0.5 * total * scale - 0.5 * (len(x) - 1)
    return -v * v / 18.0 - 0.5 * total * scale - 0.5 * (len(x) - 1) * v


@functools.cache
def written(name):
    function, size = {"correlated": (correlated, 3), "funnel": (funnel, 4)}[name]
    return samplers.written(function, np.zeros(size))


@pytest.mark.parametrize("dense_mass", [False, True])
def test_a_correlated_gaussian(dense_mass):
    samples = samplers.nuts(written("correlated"), seed=1, dense_mass=dense_mass)
    assert samples.parameters.shape == (4, 1000, 3)
    assert_moments(samples.parameters, CENTRE, np.sqrt(np.diag(COVARIANCE)))
    product = (samples.parameters[..., 0] - 1.0) * (samples.parameters[..., 1] + 2.0)
    error = product.std() / np.sqrt(samplers.ess_bulk(product))
    assert abs(product.mean() - 1.9) < 5 * error
    steps = samples.statistics["n_steps"].mean()
    assert steps < 6 if dense_mass else steps > 6  # a full metric makes it round
    assert np.all(np.abs(samples.bfmi() - 1.0) < 0.3)
    energy = samples.statistics["energy"]  # -logp + kinetic: 3 halves each, over both Gaussians
    assert abs((energy + samples.statistics["lp"]).mean() - 1.5) < 0.15
    assert 0.7 < samples.statistics["acceptance_rate"].mean() < 0.95


@pytest.mark.parametrize("epsilon", [0.15, 0.9])
def test_draws_leave_the_density_as_it_is(epsilon):
    """Exact draws stay exact draws, whatever the step size: 3,000 starts in a mild funnel."""
    rng = np.random.default_rng(5)
    target = tree.Target(written("funnel").address, 0)
    metric = tree.Metric(np.full((1, 4), 0.7), np.full((1, 4), np.sqrt(0.7)))
    memory, stop = tree.new_tree(4, 6), np.zeros(1, np.int64)
    step = np.array([epsilon, 0.0, 0.0, 0.0, 0.0])
    words = np.random.SeedSequence(3).generate_state(4, np.uint64)
    count = 3000
    ends = np.empty((count, 4))
    statistics = np.empty((2, len(tree.STATISTICS)))
    for end in ends:
        v = 3.0 * rng.normal()
        x = np.array([v, *(np.exp(v / 2) * rng.normal(size=3))])
        gradient = np.empty(4)
        status, value = written("funnel").evaluate(x, gradient)
        assert status == 0
        state = tree.State(x, gradient, np.array([value]), words, step, np.zeros(2, np.int64))
        draws = np.empty((2, 4))
        assert tree.advance(target, state, metric, memory, 0.0, 6, stop, draws, statistics)[0] == 2
        end[:] = draws[-1]
    normal = np.column_stack([ends[:, 0] / 3.0, ends[:, 1:] * np.exp(-ends[:, :1] / 2)])
    assert np.all(np.abs(normal.mean(axis=0)) < 4.5 / np.sqrt(count))
    assert np.all(np.abs((normal**2).mean(axis=0) - 1.0) < 4.5 * np.sqrt(2.0 / count))
    assert abs((normal[:, 0] ** 3).mean()) < 4.5 * np.sqrt(15.0 / count)


def test_normals_and_uniforms():
    words = np.random.SeedSequence(1).generate_state(4, np.uint64)
    x = np.empty(20_001)
    tree.normals(words, x)
    assert abs(x.mean()) < 0.03
    assert abs(np.mean(x**2) - 1.0) < 0.05
    assert abs(np.mean(x**4) - 3.0) < 0.35
    u = np.array([tree.uniform(words) for _ in range(2000)])
    assert u.min() >= 0.0 and u.max() < 1.0 and abs(u.mean() - 0.5) < 0.03


def test_a_funnel_diverges_aloud():
    with pytest.warns(RuntimeWarning, match=r"of 2000 draws diverged.*target_accept"):
        samples = samplers.nuts(written("funnel"), seed=2, draws=500, tune=500)
    assert samples.divergences == samples.statistics["diverging"].sum() > 0
    assert "divergences" in repr(samples)


def test_deep_trees_are_told():
    with pytest.warns(RuntimeWarning, match="reached max_treedepth 2"):
        samples = samplers.nuts(
            written("correlated"), seed=2, draws=100, tune=50, chains=2, max_treedepth=2
        )
    assert samples.statistics["n_steps"].max() == 3


def test_windows_are_those_of_stan():
    ends = [75, 100, 150, 250, 450, 950, 1000]
    assert windows(1000) == [(end, 75 < end < 1000) for end in ends]
    assert windows(0) == []
    assert windows(10) == [(10, False)]
    for tune in range(20, 1500, 7):
        ends = [end for end, _ in windows(tune)]
        assert ends == sorted(ends) and ends[-1] == tune
        assert any(is_for_metric for _, is_for_metric in windows(tune))


# ---------------------------------------------------------------- models of people

SCHOOLS_Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SCHOOLS_SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(p):
    """posteriordb's eight_schools_noncentered: mu ~ normal(0, 5), tau ~ half-Cauchy(0, 5)."""
    theta = p["mu"] + p["tau"] * p["eta"]
    return (
        -0.5 * np.sum(p["eta"] ** 2)
        - 0.5 * np.sum(((SCHOOLS_Y - theta) / SCHOOLS_SIGMA) ** 2)
        - 0.5 * (p["mu"] / 5.0) ** 2
        - np.log1p((p["tau"] / 5.0) ** 2)
    )


SCHOOLS_START = {"mu": 0.0, "tau": 1.0, "eta": np.zeros(8)}


@functools.cache
def schools_density():
    return samplers.density(schools, SCHOOLS_START, {"tau": POSITIVE})


@functools.cache
def schools_samples():
    return samplers.nuts(schools_density(), seed=1, draws=2000, target_accept=0.95)


@functools.cache
def schools_exactly():
    """Means and sds of mu and tau: theta and mu integrated by hand, tau on a fine grid."""
    u = np.linspace(-12.0, 9.0, 20_001)  # log tau
    tau = np.exp(u)
    variance = SCHOOLS_SIGMA**2 + tau[:, None] ** 2
    precision = np.sum(1 / variance, axis=1) + 1 / 25.0
    mean = np.sum(SCHOOLS_Y / variance, axis=1) / precision
    log_density = (
        -0.5 * np.sum(np.log(variance), axis=1)
        - 0.5 * np.log(precision)
        - 0.5 * np.sum(SCHOOLS_Y**2 / variance, axis=1)
        + 0.5 * mean**2 * precision
        - np.log1p((tau / 5.0) ** 2)
        + u
    )
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()

    def moments(first, second):
        centre = weight @ first
        return centre, np.sqrt(weight @ second - centre**2)

    return {"mu": moments(mean, mean**2 + 1 / precision), "tau": moments(tau, tau**2)}


def test_eight_schools():
    """Against quadrature, which is itself held to the reference draws of posteriordb.

    posterior_database/reference_posteriors/summary_statistics of eight_schools (10,000 draws):
    means with their errors, and mean squares.
    """
    exact = schools_exactly()
    assert abs(exact["mu"][0] - 4.4105) < 4 * 0.033
    assert abs(exact["tau"][0] - 3.6021) < 4 * 0.032
    assert abs(exact["mu"][1] ** 2 + exact["mu"][0] ** 2 - 30.40) < 4 * 0.34
    assert abs(exact["tau"][1] ** 2 + exact["tau"][0] ** 2 - 23.20) < 4 * 0.49
    samples = schools_samples()
    for name in ("mu", "tau"):
        assert samples[name].shape == (4, 2000)
        assert_moments(samples[name], *exact[name])
    assert samples["eta"].shape == (4, 2000, 8)
    assert np.all(samples["tau"] > 0.0)


def test_the_density_has_the_right_gradient():
    rng = np.random.default_rng(3)
    for _ in range(3):
        x = rng.normal(size=10)
        value, gradient = schools_density()(x)
        p = {"mu": x[0], "tau": np.exp(x[1]), "eta": x[2:]}
        assert np.isclose(value, schools(p) + x[1], rtol=1e-13)
        near = [
            (schools_density()(x + 1e-5 * e)[0] - schools_density()(x - 1e-5 * e)[0]) / 2e-5
            for e in np.eye(10)
        ]
        assert np.allclose(gradient, near, rtol=1e-6, atol=1e-7)


N_COUNTIES = 20


def radon():
    """Synthetic: log radon by county and floor, 1 to 12 houses a county."""
    rng = np.random.default_rng(1990)
    county = np.repeat(np.arange(N_COUNTIES), rng.integers(1, 13, N_COUNTIES))
    floor = (rng.uniform(size=county.size) < 0.3).astype(float)
    level = 1.4 + 0.4 * rng.normal(size=N_COUNTIES)
    y = level[county] - 0.6 * floor + 0.7 * rng.normal(size=county.size)
    return county, floor, y


COUNTY, FLOOR, RADON = radon()


def gaussian_posterior(sigma_level, sigma_y):
    """Mean and covariance of (mu, slope, levels) for known scales, and log of the evidence."""
    county, floor, y, n = COUNTY, FLOOR, RADON, N_COUNTIES
    prior = np.zeros((n + 2, n + 2))
    prior[0, 0] = prior[1, 1] = 1.0 / 25.0
    for j in range(n):
        row = np.zeros(n + 2)
        row[0], row[2 + j] = -1.0, 1.0
        prior += np.outer(row, row) / sigma_level**2
    design = np.zeros((y.size, n + 2))
    design[:, 1] = floor
    design[np.arange(y.size), 2 + county] = 1.0
    precision = prior + design.T @ design / sigma_y**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ (design.T @ y) / sigma_y**2
    log_evidence = (
        -0.5 * np.linalg.slogdet(precision)[1]
        - n * np.log(sigma_level)
        - y.size * np.log(sigma_y)
        - 0.5 * (y @ y / sigma_y**2 - mean @ precision @ mean)
    )
    return mean, covariance, log_evidence


def radon_logp(p, sigma_level, sigma_y):
    expected = p["level"][COUNTY] + p["slope"] * FLOOR
    return (
        -0.5 * np.sum(((RADON - expected) / sigma_y) ** 2)
        - 0.5 * np.sum(((p["level"] - p["mu"]) / sigma_level) ** 2)
        - 0.5 * (p["mu"] ** 2 + p["slope"] ** 2) / 25.0
    )


RADON_START = {"mu": 0.0, "slope": 0.0, "level": np.zeros(N_COUNTIES)}


def test_a_hierarchical_model_of_known_scales():
    """The posterior is Gaussian: every mean and sd is exact."""
    samples = samplers.nuts(lambda p: radon_logp(p, 0.4, 0.7), RADON_START, seed=3)
    mean, covariance, _ = gaussian_posterior(0.4, 0.7)
    draws = np.concatenate(
        [samples["mu"][..., None], samples["slope"][..., None], samples["level"]], axis=-1
    )
    assert_moments(draws, mean, np.sqrt(np.diag(covariance)))


def test_a_hierarchical_model_of_unknown_scales():
    """Radon: the two scales integrated on a grid, all else by linear algebra."""

    def logp(p):
        inner = {"mu": p["mu"], "slope": p["slope"], "level": p["level"]}
        scales = p["scale"]
        prior = -0.5 * (scales["level"] ** 2 + scales["y"] ** 2)  # half-normal
        normal = -N_COUNTIES * np.log(scales["level"]) - RADON.size * np.log(scales["y"])
        return radon_logp(inner, scales["level"], scales["y"]) + prior + normal

    start = {**RADON_START, "scale": {"level": 1.0, "y": 1.0}}
    samples = samplers.nuts(
        logp, start, seed=4, constraints={"scale": POSITIVE}, target_accept=0.95
    )
    assert set(samples.by_name()) == {"mu", "slope", "level", "scale.level", "scale.y"}
    grid_level = np.exp(np.linspace(np.log(0.01), np.log(2.0), 60))
    grid_y = np.exp(np.linspace(np.log(0.45), np.log(1.3), 40))
    weights, firsts, seconds = [], [], []
    for a in grid_level:
        for b in grid_y:
            mean, covariance, log_evidence = gaussian_posterior(a, b)
            weights.append(log_evidence - 0.5 * (a**2 + b**2) + np.log(a) + np.log(b))
            first = np.array([mean[0], mean[1], mean[2], a, b])
            firsts.append(first)
            seconds.append(first**2 + np.array([*np.diag(covariance)[:3], 0.0, 0.0]))
    weight = np.exp(np.array(weights) - max(weights))
    weight /= weight.sum()
    mean = weight @ np.array(firsts)
    sd = np.sqrt(weight @ np.array(seconds) - mean**2)
    got = [samples["mu"], samples["slope"], samples["level"][..., 0],
           samples["scale"]["level"], samples["scale"]["y"]]  # fmt: skip
    assert_moments(np.stack(got, axis=-1), mean, sd)


def test_branches_that_are_met_while_sampling():
    """A density with two branches: the second is recorded when a chain comes there."""

    def two_sides(p):
        if p["x"] > 0.0:
            return -0.5 * p["x"] ** 2
        return -0.5 * (p["x"] / 3.0) ** 2

    start = {"x": 2.0}
    samples = samplers.nuts(two_sides, start, seed=5, jitter=0.1, draws=2000)
    assert_moments((samples["x"] > 0).astype(float), 0.25, np.sqrt(0.25 * 0.75))
    square = 0.25 * 1.0 + 0.75 * 9.0
    mean = np.sqrt(2.0 / np.pi) * (0.25 * 1.0 + 0.75 * 3.0)
    assert_moments(np.abs(samples["x"]), mean, np.sqrt(square - mean**2))
    again = samplers.nuts(two_sides, start, seed=5, jitter=0.1, draws=2000, cores=1)
    assert np.array_equal(samples["x"], again["x"])


# ---------------------------------------------------------------- constraints


CONSTRAINTS = {
    "positive": (POSITIVE, np.array([0.3, 2.0])),
    "interval": (samplers.interval(-1.0, 4.0), np.array([[0.3, 2.0]])),
    "above": (samplers.interval(2.0, np.inf), np.array(3.0)),
    "below": (samplers.interval(-np.inf, 2.0), np.array(-3.0)),
    "all": (samplers.interval(-np.inf, np.inf), np.array(-3.0)),
    "simplex": (samplers.simplex, np.array([0.2, 0.5, 0.3])),
    "simplices": (samplers.simplex, np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])),
    "ordered": (samplers.ordered, np.array([-1.0, 0.5, 3.0])),
    "real": (samplers.real, np.array([-1.0, 0.5])),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_and_their_determinants(name):
    constraint, value = CONSTRAINTS[name]
    layout = Layout({"x": value}, {"x": constraint})
    x = layout.example
    parameters, log_determinant = layout.constrain(x)
    assert np.allclose(parameters["x"], value)

    def free_part(u):  # what can be chosen freely: the last of a simplex cannot
        values = layout.constrain(u)[0]["x"]
        return (values[..., :-1] if constraint is samplers.simplex else values).ravel()

    jacobian = np.column_stack(
        [(free_part(x + 1e-6 * e) - free_part(x - 1e-6 * e)) / 2e-6 for e in np.eye(x.size)]
    )
    assert np.isclose(np.linalg.slogdet(jacobian)[1], log_determinant, atol=1e-6)
    many = np.random.default_rng(1).normal(size=(2, 3, x.size))
    batch = layout.expand(many)["x"]
    assert np.allclose(batch[1, 2], layout.constrain(many[1, 2])[0]["x"])


def test_far_out_is_still_a_number():
    for u in (-700.0, 700.0):
        for constraint in (samplers.interval(0.0, 2.0), samplers.simplex):
            shape = 2 if constraint is samplers.simplex else 1
            layout = Layout(np.full(shape, 0.5), constraint)
            value, log_determinant = layout.constrain(np.array([u]))
            assert np.all(np.isfinite(value)) and np.isfinite(log_determinant)


def test_shares_and_rates_have_their_moments():
    """Dirichlet, gamma and beta: the log determinants are added."""
    alpha = np.array([2.0, 3.0, 5.0])

    def logp(p):
        dirichlet = np.sum((alpha - 1.0) * np.log(p["shares"]))
        gamma = 2.0 * np.log(p["rate"]) - 1.5 * p["rate"]
        beta = np.log(p["chance"]) + 3.0 * np.log(1.0 - p["chance"])
        return dirichlet + gamma + beta

    samples = samplers.nuts(
        logp,
        {"shares": np.full(3, 1 / 3), "rate": 1.0, "chance": 0.5},
        constraints={
            "shares": samplers.simplex, "rate": POSITIVE, "chance": samplers.interval(0.0, 1.0),
        },
        seed=6,
    )  # fmt: skip
    share = alpha / 10.0
    assert_moments(samples["shares"], share, np.sqrt(share * (1 - share) / 11.0))
    assert_moments(samples["rate"], 2.0, np.sqrt(3.0) / 1.5)
    assert_moments(samples["chance"], 1 / 3, np.sqrt(8.0 / 36.0 / 7.0))


# ---------------------------------------------------------------- seeds, threads, forms


def test_the_seed_decides_whatever_the_threads():
    runs = [
        samplers.nuts(schools_density(), seed=11, draws=50, tune=60, chains=3, cores=cores)
        for cores in (1, 3)
    ]
    assert np.array_equal(runs[0].positions, runs[1].positions)
    assert not np.array_equal(runs[0].positions[0], runs[0].positions[1])
    other = samplers.nuts(schools_density(), seed=12, draws=50, tune=60, chains=3)
    assert not np.array_equal(runs[0].positions, other.positions)


def test_a_chain_is_the_same_beside_others():
    few = samplers.nuts(schools_density(), seed=11, draws=50, tune=60, chains=1)
    many = samplers.nuts(schools_density(), seed=11, draws=50, tune=60, chains=3)
    assert np.array_equal(few.positions[0], many.positions[0])


@pytest.mark.parametrize(
    ("start", "shapes"),
    [
        (np.zeros((2, 3)), [(2, 3)]),
        (0.5, [()]),
        ([np.zeros(2), 1.0], [(2,), ()]),
        ((1, {"a": [0.0, np.zeros(1)]}), [(), (), (1,)]),
    ],
)
def test_parameters_of_any_form(start, shapes):
    def logp(p):
        if isinstance(p, list | tuple):
            return sum(map(logp, p))
        return sum(map(logp, p.values())) if isinstance(p, dict) else -0.5 * np.sum(p**2)

    samples = samplers.nuts(logp, start, seed=1, draws=20, tune=30, chains=2)
    assert [x.shape for x in samples.by_name().values()] == [(2, 20, *shape) for shape in shapes]
    assert type(samples.parameters) is (type(start) if type(start) is not float else np.ndarray)


@pytest.fixture
def interrupts():
    """Ctrl-C arrives, also where this process was started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupted_runs_give_what_they_have(interrupts):
    threading.Timer(0.3, _thread.interrupt_main).start()
    with pytest.warns(RuntimeWarning, match=r"interrupted; 2 chains have \d+ of 3000000 draws"):
        samples = samplers.nuts(
            written("correlated"), seed=1, draws=3_000_000, tune=100, chains=2, cores=2
        )
    assert 0 < samples.positions.shape[1] < 3_000_000
    assert np.all(np.isfinite(samples.positions))


def test_interrupted_warm_up(interrupts):
    threading.Timer(0.2, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        samplers.nuts(written("correlated"), seed=1, tune=3_000_000, chains=4, cores=2)


def test_progress_is_one_line(capsys):
    samplers.nuts(written("correlated"), seed=1, draws=100, tune=100, chains=2, progress=True)
    said = capsys.readouterr().err
    assert "nuts: 400 of 400 draws in 2 chains" in said
    assert said.count("\n") == 1


def test_work_space_from_the_heap():
    """A density with large temporaries."""
    matrix = np.random.default_rng(1).normal(size=(3000, 3))

    def logp(p):
        z = matrix @ p["x"]
        return -np.sum(np.logaddexp(0.0, z)) - np.sum(np.cumsum(z) ** 2) / 1e6

    target = samplers.density(logp, {"x": np.zeros(3)})
    value, gradient = target(np.array([0.1, 0.2, -0.3]))
    expected, slopes = tj.value_and_grad(logp)({"x": np.array([0.1, 0.2, -0.3])})
    assert np.isclose(value, expected, rtol=1e-12)
    assert np.allclose(gradient, slopes["x"], rtol=1e-12)


# ---------------------------------------------------------------- diagnostics


def test_diagnostics_are_those_of_arviz():
    arviz = _arviz()
    rng = np.random.default_rng(0)
    for chains, draws in ((1, 7), (2, 50), (4, 500), (3, 100)):
        noise = rng.normal(size=(chains, draws))
        for x in (noise, noise + 0.3 * np.cumsum(noise, axis=1), np.round(noise)):
            assert np.isclose(samplers.ess_bulk(x), arviz.ess(x))
            assert np.isclose(samplers.ess_tail(x), arviz.ess(x, method="tail"))
            if chains > 1:
                assert np.isclose(samplers.rhat(x), arviz.rhat(x))


def test_samples_as_inference_data():
    _arviz()
    data = schools_samples().to_arviz()
    assert data.posterior["eta"].shape == (4, 2000, 8)
    assert data.sample_stats["diverging"].dtype == bool
    assert np.array_equal(data.posterior["mu"].values, schools_samples()["mu"])


@pytest.mark.filterwarnings("ignore")
def _arviz():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("arviz")


def test_chains_that_differ_are_seen():
    x = np.random.default_rng(1).normal(size=(4, 200))
    assert samplers.rhat(x) < 1.02
    assert samplers.rhat(x + np.arange(4)[:, None]) > 1.5
    assert samplers.rhat(x * np.array([1, 1, 1, 4])[:, None]) > 1.1
    assert np.isnan(samplers.rhat(np.ones((4, 10))))
    assert np.isnan(samplers.ess_bulk(np.full((2, 10), np.inf)))
    assert samplers.ess_bulk(np.cumsum(x, axis=1)) < 50
    with pytest.raises(ShapeError, match="4 draws or more"):
        samplers.rhat(np.ones((4, 3)))


def test_the_summary_is_a_table():
    text = str(schools_samples().summary())
    assert text.splitlines()[0].split() == ["mean", "sd", "q5", "q95", "ess_bulk", "ess_tail",
                                            "rhat"]  # fmt: skip
    assert [line.split()[0] for line in text.splitlines()[1:4]] == ["mu", "tau", "eta[0]"]


# ---------------------------------------------------------------- nutpie


def test_nutpie_samples_the_same_density():
    _arviz()
    nutpie = pytest.importorskip("nutpie")
    model = samplers.nutpie_model(schools_density())
    trace = nutpie.sample(model, draws=1000, tune=400, chains=4, seed=2, progress_bar=False)
    for name, moments in schools_exactly().items():
        assert_moments(trace.posterior[name].values, *moments)
    assert trace.posterior["eta"].shape == (4, 1000, 8)


def test_nutpie_meets_a_branch():
    _arviz()
    nutpie = pytest.importorskip("nutpie")
    model = samplers.nutpie_model(
        lambda x: -0.5 * x**2 if x > 0.0 else -0.5 * (x / 3.0) ** 2, 2.0, jitter=0.1
    )
    trace = nutpie.sample(model, draws=1000, tune=400, chains=2, seed=2, progress_bar=False)
    is_above = (trace.posterior["x"].values > 0).astype(float)
    assert_moments(is_above, 0.25, np.sqrt(0.25 * 0.75))


# ---------------------------------------------------------------- errors


def nuts_of(logp, initial=None, **options):
    return samplers.nuts(logp, 1.0 if initial is None else initial, **options)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nuts_of(lambda x: -(x**2) + np.nan), ArgumentError, "no starting point has a"),
        (lambda: nuts_of(lambda x: np.sqrt(x - 9.0)), ArgumentError, "100 tried"),
        (lambda: nuts_of(lambda x: (-(x**2), x)), ArgumentError, "must return one number"),
        (lambda: nuts_of(lambda x: -1.0), ArgumentError, "does not depend on the parameters"),
        (lambda: nuts_of(lambda x: 1e-30 * x), ArgumentError, "no step size works"),
        (lambda: nuts_of(lambda x: -(x**2), True), DtypeError, "must hold real numbers, got bool"),
        (lambda: nuts_of(lambda x: 0.0, {}), ArgumentError, "hold no number"),
        (lambda: nuts_of(lambda x: -(x**2), draws=0), ArgumentError, "draws must be an int of at"),
        (lambda: nuts_of(lambda x: -(x**2), chains=1.5), ArgumentError, "chains must be an int"),
        (lambda: nuts_of(lambda x: -(x**2), target_accept=1.0), ArgumentError, "between 0 and 1"),
        (lambda: samplers.nuts(lambda x: -(x**2)), ArgumentError, "initial parameters are needed"),
        (
            lambda: samplers.nuts(written("correlated"), np.zeros(3)),
            ArgumentError,
            "has its initial values",
        ),
        (
            lambda: nuts_of(lambda p: p["a"], {"a": 1.0}, constraints={"b": POSITIVE}),
            ArgumentError,
            "constraints name 'b', which is no parameter",
        ),
        (
            lambda: nuts_of(lambda p: p["a"], {"a": -1.0}, constraints={"a": POSITIVE}),
            ArgumentError,
            "initial value of a is not inside its constraint, positive",
        ),
        (
            lambda: nuts_of(lambda p: p["a"], {"a": 1.0}, constraints={"a": "positive"}),
            ArgumentError,
            "is no constraint",
        ),
        (lambda: samplers.interval(1.0, 1.0), ArgumentError, "below the upper"),
        (lambda: samplers.written(lambda x, g: 0.0, 1.0), ArgumentError, "takes an @njit function"),
        (lambda: written("correlated")(np.zeros(2)), ArgumentError, r"takes shape \(3,\)"),
    ],
)
def test_what_cannot_be_sampled(call, error, words):
    with pytest.raises(error, match=words):
        call()
