"""New tensors against torch and NumPy; random ones: moments, streams, new ones in programs."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import ArgumentError, DtypeError, NotDifferentiable, ShapeError

torch = pytest.importorskip("torch")

# ---------------------------------------------------------------- filled and counted

SAME = {
    "zeros": lambda m: m.zeros(2, 3),
    "ones, dtype": lambda m: m.ones((2,), dtype=m.int32),
    "full": lambda m: m.full((2, 2), 7),
    "full, float": lambda m: m.full((2,), 0.5),
    "full, dtype": lambda m: m.full((2,), True, dtype=m.float64),
    "eye": lambda m: m.eye(3, 2),
    "arange": lambda m: m.arange(5),
    "arange, floats": lambda m: m.arange(1.0, 2.0, 0.25),
    "arange, down": lambda m: m.arange(5, 1, -2, dtype=m.float32),
    "linspace": lambda m: m.linspace(0, 1, 5),
    "linspace, one": lambda m: m.linspace(3, 9, 1),
    "linspace, none": lambda m: m.linspace(3, 9, 0),
    "linspace, tensors": lambda m: m.linspace(m.tensor(1.0), m.tensor(2.0), 4),
    "logspace": lambda m: m.logspace(0, 3, 4),
    "logspace, base": lambda m: m.logspace(-1, 2, 7, base=2.0),
    "vander": lambda m: m.vander(m.tensor([1.0, 2.0, 3.0])),
    "vander, up": lambda m: m.vander(m.tensor([1, 2, 3]), N=2, increasing=True),
    "hann_window": lambda m: m.hann_window(6),
    "hann_window, whole": lambda m: m.hann_window(6, periodic=False),
    "hamming_window": lambda m: m.hamming_window(7),
    "hamming_window of one": lambda m: m.hamming_window(1),
    "zeros_like": lambda m: m.zeros_like(m.tensor([1, 2])),
    "ones_like": lambda m: m.ones_like(m.tensor([0.5]), dtype=m.int64),
    "full_like": lambda m: m.full_like(m.tensor([1.0, 2.0]), 7),
    "new_zeros": lambda m: m.tensor([1, 2]).new_zeros(2, 3),
    "new_full": lambda m: m.tensor([1.0]).new_full((2,), 3),
    "new_ones": lambda m: m.tensor([1.0]).new_ones((2,), dtype=m.float64),
    "new_tensor": lambda m: m.tensor([1.0]).new_tensor([2, 3]),
    "scalar_tensor": lambda m: m.scalar_tensor(3),
}


@pytest.mark.parametrize("name", SAME)
def test_torch_agrees(name):
    got, wanted = SAME[name](tj), SAME[name](torch)
    assert tuple(got.shape) == tuple(wanted.shape) and str(got.dtype) == str(wanted.dtype)
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=2e-7, atol=1e-7)


def test_shapes_and_dtypes_of_random_tensors():
    facts = []
    for m in (torch, tj):
        like = m.zeros(2, 3, dtype=m.float64)
        made = [
            m.rand(2), m.rand((2, 3), dtype=m.float64), m.rand(2, dtype=m.complex64),
            m.randn(2, 1, 2),
            m.randint(5, (2,)), m.randint(-3, 3, (2, 2), dtype=m.int32), m.randperm(4),
            m.rand_like(like), m.randn_like(like, dtype=m.float32), m.randint_like(like, 4),
            m.normal(0.0, 1.0, (3,)), m.normal(like, 1.0), m.bernoulli(like),
            m.multinomial(m.ones(2, 3), 2), m.poisson(like), m.empty(2).uniform_(), m.randn(()),
            m.empty(2, dtype=m.int64).random_(0, 3), m.zeros(3, dtype=m.float16).normal_(),
        ]  # fmt: skip
        facts.append([(tuple(x.shape), str(x.dtype)) for x in made])
    assert facts[1] == facts[0]


# ---------------------------------------------------------------- slopes by the ends

ENDS = {
    "linspace": lambda a, b: np.linspace(a, b, 5),
    "linspace, open": lambda a, b: np.linspace(a, b, 4, endpoint=False),
    "logspace": lambda a, b: np.logspace(a, b, 4, base=2.0),
    "geomspace": lambda a, b: np.geomspace(a, b, 4),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_have_slopes(name):
    function, weights = ENDS[name], np.cos(np.arange(5.0))

    def loss(ends):
        values = function(ends[0], ends[1])
        return (values * weights[: len(values)]).sum()

    ends, step = np.array([0.7, 2.3]), 1e-6
    got = tj.grad(loss)(ends)
    for i in range(2):
        moved = np.eye(2)[i] * step
        slope = (loss(ends + moved) - loss(ends - moved)) / (2 * step)
        assert got[i] == pytest.approx(slope, rel=1e-6)


def test_the_ends_are_exact():
    start, stop = tj.tensor(0.1, dtype=tj.float64), tj.tensor(0.7, dtype=tj.float64)
    for values in (np.linspace(start, stop, 7), np.geomspace(start, stop, 7)):
        assert values[0].item() == 0.1 and values[-1].item() == 0.7


# ---------------------------------------------------------------- distributions

N = 40_000
MOMENTS = {
    "rand": (lambda: tj.rand(N, dtype=tj.float64), 0.5, 1 / 12),
    "randn": (lambda: tj.randn(N), 0.0, 1.0),
    "randn, half": (lambda: tj.randn(N, dtype=tj.float16), 0.0, 1.0),
    "randint": (lambda: tj.randint(-2, 3, (N,)), 0.0, 2.0),
    "normal": (lambda: tj.normal(tj.full((N,), 3.0), 2.0), 3.0, 4.0),
    "bernoulli": (lambda: tj.bernoulli(tj.full((N,), 0.3)), 0.3, 0.21),
    "poisson": (lambda: tj.poisson(tj.full((N,), 4.0)), 4.0, 4.0),
    "uniform_": (lambda: tj.empty(N).uniform_(2.0, 4.0), 3.0, 1 / 3),
    "normal_": (lambda: tj.empty(N).normal_(1.0, 0.5), 1.0, 0.25),
    "bernoulli_": (lambda: tj.empty(N).bernoulli_(0.8), 0.8, 0.16),
    "exponential_": (lambda: tj.empty(N).exponential_(2.0), 0.5, 0.25),
    "geometric_": (lambda: tj.empty(N).geometric_(0.5), 2.0, 2.0),
    "log_normal_": (lambda: tj.empty(N).log_normal_(0.0, 0.5).log(), 0.0, 0.25),
    "cauchy_": (
        lambda: tj.empty(N).cauchy_(1.0, 2.0).sub(1.0).div(2.0).atan(), 0.0, math.pi**2 / 12,
    ),
    "random_": (lambda: tj.empty(N).random_(0, 3), 1.0, 2 / 3),
    "multinomial": (
        lambda: tj.multinomial(tj.tensor([0.2, 0.0, 0.5, 0.3]), N, replacement=True), 1.9, 1.09,
    ),
    "multinomial, first": (
        lambda: tj.multinomial(tj.tensor([[1.0, 3.0]]).expand(N // 4, 2), 1), 0.75, 3 / 16,
    ),
    "multinomial, rows": (
        lambda: tj.multinomial(tj.tensor([[1.0, 3.0]] * 8), N // 8, replacement=True), 0.75, 3 / 16,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    draw, mean, variance = MOMENTS[name]
    tj.manual_seed(1)
    x = draw().double().numpy()
    error = math.sqrt(variance / x.size)
    assert abs(x.mean() - mean) < 5 * error
    assert x.var() == pytest.approx(variance, rel=0.1)


def test_uniform_numbers_are_below_one():
    for dtype in (tj.float16, tj.float32, tj.float64):
        x = tj.rand(N, dtype=dtype)
        assert x.dtype is dtype and x.min().item() >= 0 and x.max().item() < 1


def test_drawing_without_replacement_repeats_nothing():
    x = tj.multinomial(tj.rand(50, 6) + 0.1, 6)
    np.testing.assert_array_equal(np.sort(x.numpy(), 1), np.tile(np.arange(6), (50, 1)))
    assert tj.multinomial(tj.tensor([1.0, 0.0, 2.0]), 2).sort().values.tolist() == [0, 2]


def test_a_normal_sample_has_slopes_by_its_parameters():
    mean = tj.tensor([1.0, 2.0], requires_grad=True)
    std = tj.tensor([0.5, 3.0], requires_grad=True)
    tj.manual_seed(0)
    sample = tj.normal(mean, std)
    sample.sum().backward()
    tj.manual_seed(0)
    noise = tj.randn(2)
    assert mean.grad.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(std.grad.numpy(), noise.numpy())
    np.testing.assert_allclose(sample.detach().numpy(), (noise * std + mean).detach().numpy())


# ---------------------------------------------------------------- streams


def test_a_seed_begins_anew():
    tj.manual_seed(3)
    first = tj.rand(3).tolist()
    assert tj.initial_seed() == 3 and tj.rand(3).tolist() != first
    assert tj.manual_seed(3) is not None and tj.rand(3).tolist() == first
    tj.seed()
    assert tj.rand(3).tolist() != first


def test_generators_are_streams_of_their_own():
    a, b = tj.Generator().manual_seed(5), tj.Generator().manual_seed(5)
    tj.manual_seed(5)
    draws = [tj.rand(4, generator=a), tj.rand(4, generator=b), tj.rand(4)]
    assert draws[0].tolist() == draws[1].tolist() == draws[2].tolist()
    takers = [
        lambda g: tj.randn(2, generator=g), lambda g: tj.randint(0, 9, (3,), generator=g),
        lambda g: tj.randperm(5, generator=g), lambda g: tj.normal(tj.zeros(2), 1.0, generator=g),
        lambda g: tj.bernoulli(tj.full((8,), 0.5), generator=g),
        lambda g: tj.multinomial(tj.ones(4), 2, generator=g), lambda g: tj.poisson(tj.ones(3), g),
        lambda g: tj.empty(3).uniform_(generator=g), lambda g: tj.empty(3).cauchy_(generator=g),
        lambda g: tj.rand_like(tj.zeros(2), generator=g), lambda g: tj.permutation(6, generator=g),
    ]  # fmt: skip
    for take in takers:
        assert take(a).tolist() == take(b).tolist()
    assert a.seed() == a.initial_seed() != 5


def test_states_are_kept_and_restored():
    g = tj.Generator().manual_seed(1)
    tj.randint(0, 9, (3,), dtype=tj.int32, generator=g)
    twins = [copy.deepcopy(g), pickle.loads(pickle.dumps(g))]
    state = g.get_state()
    wanted = tj.rand(5, generator=g).tolist()
    g.set_state(state)
    for stream in (g, *twins):
        assert tj.rand(5, generator=stream).tolist() == wanted
    tj.manual_seed(0)
    kept = tj.get_rng_state()
    first = tj.randn(2).tolist()
    tj.set_rng_state(kept)
    assert tj.randn(2).tolist() == first


# ---------------------------------------------------------------- in traced functions


def noisy(x):
    return np.sum(x * tj.randn(3, dtype=tj.float64) + tj.rand(3, dtype=tj.float64))


def branching(x):
    noise = tj.randn(3, dtype=tj.float64)
    if noise.sum() > 0:
        return np.sum(x * noise)
    return np.sum(x * x * noise * tj.rand(3, dtype=tj.float64))


def in_place(x):
    noise = tj.randn(3, dtype=tj.float64)
    noise *= 2
    noise[0] = 1.0
    return np.sum(x * noise * tj.empty(3, dtype=tj.float64).uniform_(1.0, 2.0))


PROGRAMS = {
    "noise": noisy,
    "a branch": branching,
    "in place": in_place,
    "dropout": lambda x: np.sum(tj.nn.functional.dropout(x * 2)),
    "permutation": lambda x: np.sum(x[tj.randperm(3)] * np.arange(3.0)),
    "coins": lambda x: np.sum(x * tj.bernoulli(x * 0.5)),
    "reparameterised": lambda x: np.sum(tj.normal(x, x * x)),
    "places": lambda x: np.sum(x[tj.multinomial(tj.ones(3), 2)] ** 2),
    "without gradients": lambda x: np.sum(x) * _untracked(),
}


def _untracked():
    with tj.no_grad():
        return tj.rand((), dtype=tj.float64) * 2


TRANSFORMS = {
    "jit": tj.jit,
    "value_and_grad": tj.value_and_grad,
    "jacobian": lambda f: tj.jacobian(lambda x: np.stack([f(x), np.sum(x)])),
    "hessian": tj.hessian,
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_draw_what_the_function_draws(name, transform):
    """The same numbers from one seed, call after call, and no two calls alike."""
    x, transform = np.array([0.5, 1.0, 1.5]), TRANSFORMS[transform]
    tj.manual_seed(2)
    compiled = transform(PROGRAMS[name])
    got = [np.hstack([np.ravel(part) for part in _parts(compiled(x))]) for _ in range(6)]
    tj.manual_seed(2)
    for values in got:
        fresh = transform(lambda x: PROGRAMS[name](x))
        wanted = np.hstack([np.ravel(part) for part in _parts(fresh(x))])
        np.testing.assert_allclose(values, wanted, rtol=1e-12)


def _parts(value):
    return value if isinstance(value, tuple) else (value,)


def test_samples_are_no_part_of_a_program():
    compiled = tj.jit(noisy)
    x = np.ones(3)
    assert len({compiled(x).item() for _ in range(5)}) == 5
    assert "recorded 1 time" in str(tj.explain(compiled))


class Noisy:
    """A function with a stream of its own."""

    def __init__(self, seed, scale=2.0):
        self.stream, self.scale = tj.Generator().manual_seed(seed), scale

    def __call__(self, x):
        return x * tj.rand(3, generator=self.stream) * self.scale


def test_captured_generators_go_on_in_compiled_functions():
    layer, twin = Noisy(1), Noisy(1)
    compiled, x = tj.jit(layer), tj.ones(3)
    for change in ("", "scale", "", "another", "", "seed", ""):
        if change == "scale":
            layer.scale = twin.scale = 3.0
        elif change == "another":
            layer.stream, twin.stream = (tj.Generator().manual_seed(2) for _ in range(2))
        elif change == "seed":
            layer.stream.manual_seed(7)
            twin.stream.manual_seed(7)
        for _ in range(3):
            assert compiled(x).tolist() == pytest.approx(twin(x).tolist())
    assert "recorded 3 times" in str(tj.explain(compiled))


READS_OF_STREAMS = {
    "state": lambda x, g: x * g.get_state().double().sum(),
    "seed": lambda x, g: x * float(g.initial_seed()),
    "copy": lambda x, g: x * tj.rand(3, generator=copy.deepcopy(g), dtype=tj.float64),
    "seeded": lambda x, g: x * tj.rand(3, generator=g.manual_seed(3), dtype=tj.float64),
    "state of all": lambda x, g: x * tj.get_rng_state().double().sum(),
}


@pytest.mark.filterwarnings("ignore:tapejit")  # recorded at every call, and says so
@pytest.mark.parametrize("name", READS_OF_STREAMS)
def test_where_a_stream_is_is_never_kept(name):
    g = tj.Generator()
    function = READS_OF_STREAMS[name]
    compiled, x = tj.jit(lambda x: function(x, g)), np.ones(3)
    for seed in range(5):
        g.manual_seed(seed)
        tj.manual_seed(seed)
        wanted = np.asarray(function(tj.as_tensor(x), g))
        g.manual_seed(seed)
        tj.manual_seed(seed)
        np.testing.assert_array_equal(compiled(x), wanted)


@pytest.mark.filterwarnings("ignore:tapejit")  # recorded at every call, and says so
def test_a_number_read_from_a_sample_is_never_kept():
    compiled = tj.jit(lambda x: x * tj.rand(()).item())
    assert len({compiled(2.0) for _ in range(5)}) == 5
    seeded = tj.jit(lambda x: tj.manual_seed(0) and x * tj.rand(3, dtype=tj.float64))
    assert len({tuple(seeded(np.ones(3))) for _ in range(4)}) == 1


def test_a_jacobian_is_of_one_sample():
    rows = tj.jacobian(lambda x: x.sum() * tj.ones(3, dtype=tj.float64) * tj.rand(()).double())
    for _ in range(3):
        assert len(np.unique(rows(np.ones(2)))) == 1


# ---------------------------------------------------------------- refusals

REFUSED = {
    "negative length": (lambda: tj.rand(-1), ArgumentError),
    "integers": (lambda: tj.rand(2, dtype=tj.int64), DtypeError),
    "leaf of integers": (lambda: tj.randint(3, (2,), requires_grad=True), NotDifferentiable),
    "empty interval": (lambda: tj.randint(3, 3, (2,)), ArgumentError),
    "probability": (lambda: tj.bernoulli(tj.tensor([1.5])), ArgumentError),
    "std": (lambda: tj.normal(0.0, -1.0, (2,)), ArgumentError),
    "normal without size": (lambda: tj.normal(0.0, 1.0), ArgumentError),
    "rate": (lambda: tj.poisson(tj.tensor([-1.0])), ArgumentError),
    "too many": (lambda: tj.multinomial(tj.ones(3), 4), ArgumentError),
    "weights": (lambda: tj.multinomial(tj.tensor([-1.0, 2.0]), 1), ArgumentError),
    "no weight": (lambda: tj.multinomial(tj.zeros(3), 1), ArgumentError),
    "too few weights": (lambda: tj.multinomial(tj.tensor([1.0, 0.0]), 2), ArgumentError),
    "interval": (lambda: tj.empty(2).uniform_(2.0, 1.0), ArgumentError),
    "geometric": (lambda: tj.empty(2).geometric_(0.0), ArgumentError),
    "exponential": (lambda: tj.empty(2).exponential_(-1.0), ArgumentError),
    "cauchy": (lambda: tj.empty(2).cauchy_(0.0, 0.0), ArgumentError),
    "state": (lambda: tj.Generator().set_state(tj.zeros(3)), DtypeError),
    "device": (lambda: tj.Generator("gpu"), ArgumentError),
    "linspace of vectors": (lambda: tj.linspace(tj.zeros(2), 1.0, 3), ShapeError),
    "linspace, steps": (lambda: tj.linspace(0.0, 1.0, -1), ArgumentError),
    "vander of a matrix": (lambda: tj.vander(tj.ones(2, 2)), ShapeError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    call, error = REFUSED[name]
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("dtype", [tj.float32, tj.float64], ids=str)
def test_uniform_numbers_between_tensors(dtype):
    tj.manual_seed(3)
    low = tj.tensor([[0.0], [5.0]], dtype=dtype, requires_grad=True)
    high = tj.tensor([1.0, 9.0, 7.0], dtype=dtype, requires_grad=True)
    x = tj.uniform(low, high)
    assert x.dtype is dtype and x.shape == (2, 3)
    x.sum().backward()
    share = ((x - low) / (high - low)).detach()
    np.testing.assert_allclose(high.grad.numpy(), share.sum(0).numpy(), rtol=1e-5)
    np.testing.assert_allclose(low.grad.numpy(), (1 - share).sum(1, True).numpy(), rtol=1e-5)
    draw = tj.jit(lambda y: y * tj.uniform(2.0, 3.0, (4,)))
    one, other = draw(np.ones(4)), draw(np.ones(4))
    assert not np.array_equal(one, other) and min(one.min(), other.min()) >= 2
    with pytest.raises(tj.errors.ArgumentError, match="need a size"):
        tj.uniform(0.0, 1.0)
