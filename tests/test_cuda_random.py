"""Random numbers that GPUs draw: known answers, statistics, streams, and in compiled programs.

Philox is compared with published answers and with Python's integers, the kernels with the reference
of ops/random.py, and that with SciPy's distributions, at sizes that a simulation would not reach.
On a simulated GPU, and on a card where there is one.
"""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
import test_rows
from cuda_plans import functions_of, memory_of, run_launches, run_plan

import tapejit as tj
from tapejit import dtypes
from tapejit.build import Builder
from tapejit.codegen.cuda.kernels import launches_of
from tapejit.errors import ArgumentError, DtypeError
from tapejit.ops.random import philox, rounds
from tapejit.plan import KernelStep, RowStep
from tapejit.registry import OPS
from tapejit.runtime import reference
from tapejit.schedule.planner import schedule
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program
from tapejit.tensor.core import apply
from tapejit.tensor.random import Keys

F = tj.nn.functional
GPUS = ["simulated", pytest.param("card", marks=pytest.mark.gpu)]
SETTING = {"simulated": "simulator", "card": "card"}


@pytest.fixture(params=GPUS)
def gpu(request):
    with tj.config.set(cuda=SETTING[request.param]):
        yield "cuda"


# ---------------------------------------------------------------- words

ANSWERS = {
    "00000000 00000000 00000000 00000000 00000000 00000000": "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff": "408f276d 41c83b0e a20bc7c6 6d5451fd",
    "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0": "d16cfe09 94fdcceb 5001e420 24126ea1",
}
"""Counter and key -> words: kat_vectors of Random123, the authors' library."""


def words_of(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("given", ANSWERS)
def test_known_answers(given):
    words = [np.uint64(word) for word in words_of(given)]
    assert [int(word) for word in rounds(words[:4], words[4:])] == words_of(ANSWERS[given])


def in_integers(counter, key):
    """Philox4x32-10 in Python's integers."""
    mask = (1 << 32) - 1
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = (b >> 32 ^ counter[1] ^ key[0], b & mask, a >> 32 ^ counter[3] ^ key[1], a & mask)
        key = (key[0] + 0x9E3779B9 & mask, key[1] + 0xBB67AE85 & mask)
    return counter


def test_a_key_and_a_place_are_key_and_counter():
    rng = np.random.default_rng(0)
    mask = (1 << 32) - 1
    for key, place in rng.integers(-(1 << 63), (1 << 63) - 1, (20, 2)):
        counter = (int(place) & mask, int(place) >> 32 & mask, 5, 0)
        wanted = in_integers(counter, (int(key) & mask, int(key) >> 32 & mask))
        assert tuple(int(word) for word in philox(key, place, 5)) == wanted


def test_keys_of_a_seed_differ():
    keys = Keys(7)
    found = [int(keys.next()) for _ in range(5000)]
    assert len(set(found)) == 5000 and keys.position == (7, 5000)
    assert int(Keys(7, 4999).next()) == found[-1]
    assert {int(Keys(seed).next()) for seed in range(8, 100)}.isdisjoint(found)


# ---------------------------------------------------------------- kernels

P = np.array([0.0, 1e-30, 0.3, 0.75, 1.0, 2.0, -1.0, np.nan, 0.5])
RATES = np.array([0.0, 0.4, 5.0, 11.9, 12.0, 30.0, 1e3, np.inf, np.nan])
DRAWS = {
    "random_uniform": ((), ("float16", "float32", "float64")),
    "random_exponential": ((), ("float16", "float32", "float64")),
    "random_normal": ((), ("float16", "float32", "float64")),
    "random_below": ((np.array([1, 2, 7, 1 << 31, (1 << 40) + 3, 3 << 61, 0, -5, 10]),), (None,)),
    "random_hits": ((P,), (None,)),
    "random_hits, single": ((P.astype(np.float32),), (None,)),
    "random_poisson": ((RATES,), ("float64",)),
    "random_poisson, single": ((RATES.astype(np.float32),), ("float32",)),
}


def drawn_by(name, device, dtype, key=-(1 << 40) - 12345, shape=(5, 3, 9)):
    """An operation of a key, on a device."""
    op = OPS[name.partition(",")[0]]
    parameters = [tj.tensor(p, device=device) for p in DRAWS[name][0]]
    attrs = (shape, device) if dtype is None else (shape, dtype, device)
    key = tj.tensor(key, dtype=tj.int64)
    return apply(op, (key, *parameters), attrs)


@pytest.mark.parametrize("name", DRAWS)
def test_kernels_draw_what_the_reference_says(name, gpu):
    """To the last bit, but for what logarithm and cosine round."""
    for dtype in DRAWS[name][1]:
        got, want = (drawn_by(name, device, dtype) for device in ("cuda:0", "cpu"))
        assert got.is_cuda and got.dtype is want.dtype and got.shape == want.shape == (5, 3, 9)
        got, want = got.cpu().numpy(), want.numpy()
        if name in ("random_exponential", "random_normal"):
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(got, want, rtol=8 * eps, atol=16 * eps)
        elif name.startswith("random_poisson"):  # a count is another one where a rounding decides
            assert np.mean((got == want) | (got != got) & (want != want)) > 0.98
        else:
            np.testing.assert_array_equal(got, want)
    if name == "random_below":
        spans = DRAWS[name][0][0]
        small = got[..., spans > 0]
        assert (small >= 0).all() and (small < spans[spans > 0]).all()


def elements(op, n, block, grid):
    """The numbers of a kernel, launched by so many blocks."""
    builder = Builder()
    key = builder.input(aval((), dtypes.int64))
    y = op(key, shape=(n,), dtype="float64", device=None)
    plan = schedule(Program(builder.tape, [key.row], [y.row]), device=True)
    (step,) = plan.steps
    launches = launches_of(step, block)
    launches = launches._replace(launches=tuple(x._replace(grid=grid) for x in launches.launches))
    memory = [memory_of(buffer, [np.int64(99)]) for buffer in plan.buffers]
    run_launches(launches, step.views, memory)
    return memory[plan.results[0].view.buffer]


def test_numbers_depend_on_neither_grid_nor_block():
    wanted = OPS["random_uniform"].evaluate(np.int64(99), (70,), "float64", None)
    for block, grid in ((8, 1), (8, 9), (32, 2), (32, 7), (64, 1)):
        np.testing.assert_array_equal(elements(OPS["random_uniform"], 70, block, grid), wanted)


def test_shapes_are_places_in_row_major_order(gpu):
    """Eagerly, in a program, and one key for each row of a batch."""
    whole = drawn_by("random_uniform", "cuda:0", "float32", shape=(24,)).cpu()
    for shape in ((4, 6), (2, 1, 12), (3, 8), (1, 24, 1), (2, 3, 4)):
        found = drawn_by("random_uniform", "cuda:0", "float32", shape=shape).cpu()
        assert (found.reshape(24) == whole).all()
    key = tj.tensor([[5], [6]], device="cuda")
    uniform = OPS["random_uniform"]
    rows = apply(uniform, (key,), ((3,), "float64", None)).cpu()
    for row, number in zip(rows, (5, 6), strict=True):
        want = uniform.evaluate(np.int64(number), (3,), "float64", None)
        np.testing.assert_array_equal(row.numpy(), want)


def uniform(key, shape):
    return OPS["random_uniform"](key, shape=shape, dtype="float64", device=None)


def turned(x):
    return OPS["permute"](x, axes=tuple(range(x.ndim))[::-1])


STEPS = [
    lambda v, x, xt, k: v * uniform(k, v.shape),
    lambda v, x, xt, k: v + turned(uniform(k, v.shape[::-1])),
    lambda v, x, xt, k: v + turned(xt),
    lambda v, x, xt, k: v * uniform(k, v.shape[-1:]) + uniform(k, (1,)),
    lambda v, x, xt, k: v - total(v * uniform(k, v.shape), v.ndim - 1, keepdim=True),
    lambda v, x, xt, k: OPS["where"](
        OPS["random_hits"](k, 0.5, shape=v.shape, device=None), v, x
    ),
]  # fmt: skip


def total(x, axis, keepdim=False):
    return OPS["sum"](x, axes=(axis,), keepdim=keepdim)


@pytest.mark.parametrize("seed", range(12))
def test_draws_fuse_with_what_is_around_them(seed):
    """In tiles, in rows, beside sums, at other axes: always the numbers of their places."""
    rng = np.random.default_rng(seed)
    shape = [(33, 9), (4, 5, 6), (90,), (2, 1, 35), (7, 34)][seed % 5]
    builder = Builder()
    keys = [builder.input(aval((), dtypes.int64)) for _ in range(2)]
    x, xt = (builder.input(aval(s, dtypes.float64)) for s in (shape, shape[::-1]))
    v, results = x, []
    for _ in range(5):
        v = STEPS[rng.integers(len(STEPS))](v, x, xt, keys[rng.integers(2)])
        results.append(total(v, int(rng.integers(len(shape)))))
    inputs = [*keys, x, xt]
    program = Program(builder.tape, [i.row for i in inputs], [y.row for y in (*results, v)])
    arrays = [np.int64(3), np.int64(-4), rng.normal(size=shape), rng.normal(size=shape[::-1])]
    found = run_plan(schedule(simplify(program), device=True), arrays, block=8 << seed % 3)
    for got, want in zip(found, reference.run(program, arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------- statistics

N = 50_000


def sample(name, dtype, *parameters, n=N, seed=11):
    """Numbers of the operation's reference, of several keys of a seed."""
    keys = Keys(seed)
    keys = np.array([keys.next() for _ in range(5)])[:, None]
    attrs = {} if dtype is None else {"dtype": dtype}
    with np.errstate(all="ignore"):
        y = OPS[name].evaluate(keys, *parameters, shape=(n // 5,), device=None, **attrs)
    return y.ravel()


CONTINUOUS = {"random_uniform": "uniform", "random_exponential": "expon", "random_normal": "norm"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_distributions(name, dtype):
    from scipy import stats

    x = sample(name, dtype)
    assert x.dtype == dtype and np.isfinite(x).all()
    assert stats.kstest(x.astype(np.float64), CONTINUOUS[name]).pvalue > 0.01
    for lag in (1, 2, 32, N // 5):  # neighbours, and the same place of the next key
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 4 / np.sqrt(N)


def test_ends_of_intervals():
    """Of words that are all zeros or all ones."""
    from tapejit.ops import random

    none, all_ = np.uint64(0), np.uint64(0xFFFFFFFF)
    for kind in (np.float32, np.float64):
        assert 0 < random._share(none, none, kind) < random._share(all_, all_, kind) <= 1
        turns = [random._half_turns(all_, np.uint64(high), kind) for high in (1 << 31, all_ >> 1)]
        assert [abs(turn) for turn in turns] == pytest.approx([1, 1], abs=1e-6)
    x = sample("random_uniform", "float16")
    assert x.max() < 1 and len(np.unique(x)) == 2048
    assert sample("random_uniform", "float32").max() < 1
    assert sample("random_exponential", "float32").min() > 0


@pytest.mark.parametrize("n", [2, 6, 1000])
def test_integers_are_uniform(n):
    from scipy import stats

    x = sample("random_below", None, np.int64(n))
    assert stats.chisquare(np.bincount(x, minlength=n)).pvalue > 0.01


def test_integers_of_a_wide_range_have_no_bias():
    """A remainder of 3 * 2**61 would give the lower third as much again."""
    x = sample("random_below", None, np.int64(3 << 61)).astype(np.float64) / (3 << 61)
    from scipy import stats

    assert stats.kstest(x, "uniform").pvalue > 0.01


@pytest.mark.parametrize("p", [0.001, 0.3, 0.9])
def test_hits(p):
    found = sample("random_hits", None, np.float32(p)).mean()
    assert found == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / N))


@pytest.mark.parametrize("rate", [0.1, 3.0, 11.5, 12.0, 40.0, 3000.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_poisson(dtype, rate):
    from scipy import stats

    x = sample("random_poisson", dtype, np.dtype(dtype).type(rate))
    known = stats.poisson(rate)
    edges = np.unique(known.ppf(np.linspace(0.02, 0.98, 30)))
    counts = np.histogram(x, [-1, *edges + 0.5, np.inf])[0]
    shares = np.diff([0, *known.cdf(edges), 1])
    assert stats.chisquare(counts, shares * N).pvalue > 0.01


# ---------------------------------------------------------------- what people call

CALLS = {
    "rand": lambda d: tj.rand(3, 2, device=d),
    "rand, complex": lambda d: tj.rand(3, dtype=tj.complex64, device=d),
    "randn, complex": lambda d: tj.randn(2, 2, dtype=tj.complex128, device=d),
    "rand, half": lambda d: tj.rand(4, dtype=tj.float16, device=d),
    "randn, half": lambda d: tj.randn(4, dtype=tj.float16, device=d),
    "nothing": lambda d: tj.rand(0, 3, device=d),
    "a number": lambda d: tj.randn((), device=d),
    "like": lambda d: tj.rand_like(tj.zeros(2, 3, dtype=tj.float64, device=d)),
    "randint": lambda d: tj.randint(-3, 4, (9,), device=d),
    "randint, bytes": lambda d: tj.randint(0, 256, (9,), dtype=tj.uint8, device=d),
    "randint_like": lambda d: tj.randint_like(tj.zeros(3, device=d), 5),
    "randperm": lambda d: tj.randperm(20, device=d),
    "permutation": lambda d: tj.permutation(tj.arange(6, device=d)),
    "normal": lambda d: tj.normal(tj.zeros(3, device=d), 2.0),
    "normal, sized": lambda d: tj.normal(1.0, 2.0, (3,), device=d),
    "uniform": lambda d: tj.uniform(tj.zeros(3, device=d), tj.ones(3, device=d)),
    "bernoulli": lambda d: tj.bernoulli(tj.full((5,), 0.5, device=d)),
    "bernoulli, half": lambda d: tj.bernoulli(tj.full((5,), 0.5, dtype=tj.float16, device=d)),
    "poisson": lambda d: tj.poisson(tj.full((5,), 20.0, device=d)),
    "poisson, half": lambda d: tj.poisson(tj.full((5,), 2.0, dtype=tj.float16, device=d)),
    "multinomial": lambda d: tj.multinomial(tj.ones(2, 4, device=d), 3),
    "multinomial, again": lambda d: tj.multinomial(tj.ones(4, device=d), 6, replacement=True),
    "normal_": lambda d: tj.empty(3, device=d).normal_(),
    "uniform_": lambda d: tj.empty(3, device=d).uniform_(2.0, 3.0),
    "bernoulli_": lambda d: tj.empty(9, device=d).bernoulli_(0.4),
    "exponential_": lambda d: tj.empty(3, dtype=tj.float16, device=d).exponential_(),
    "cauchy_": lambda d: tj.empty(3, device=d).cauchy_(),
    "log_normal_": lambda d: tj.empty(3, dtype=tj.float64, device=d).log_normal_(),
    "geometric_": lambda d: tj.empty(9, dtype=tj.int32, device=d).geometric_(0.2),
    "random_": lambda d: tj.empty(3, dtype=tj.int64, device=d).random_(),
    "dropout": lambda d: F.dropout(tj.ones(9, device=d), 0.4),
    "dropout2d": lambda d: F.dropout2d(tj.ones(2, 3, 2, 2, device=d), 0.5),
    "alpha_dropout": lambda d: F.alpha_dropout(tj.ones(9, device=d), 0.4, training=True),
    "rrelu": lambda d: F.rrelu(-tj.ones(4, device=d), training=True),
    "gumbel_softmax": lambda d: F.gumbel_softmax(tj.zeros(2, 3, device=d), hard=True),
}


def drawn_on(name, device, seed=3):
    tj.manual_seed(seed)
    return CALLS[name](device).cpu().numpy()


@pytest.mark.parametrize("name", CALLS)
def test_calls(name, gpu):
    """Of the CPU's shape and dtype, on the GPU; the same by the same seed, not that of the CPU."""
    assert CALLS[name](gpu).is_cuda
    got, want = drawn_on(name, gpu), drawn_on(name, "cpu")
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_array_equal(drawn_on(name, gpu), got)
    many = {drawn_on(name, gpu, seed).tobytes() for seed in range(12)}
    assert len(many) > 1 or not got.size


def test_what_is_drawn_lies_where_it_should(gpu):
    assert sorted(drawn_on("randperm", gpu)) == list(range(20))
    assert ((x := drawn_on("uniform_", gpu)) >= 2).all() and (x < 3).all()
    assert set(drawn_on("dropout", gpu).tolist()) == {0.0, np.float32(1 / 0.6)}
    assert (drawn_on("geometric_", gpu) >= 1).all()
    assert (tj.empty(3, device=gpu).geometric_(1.0) == 1).all()
    assert set(tj.bernoulli(tj.tensor([0.0, 1.0, 1.0], device=gpu)).tolist()) == {0.0, 1.0}
    assert (tj.multinomial(tj.tensor([0.0, 1.0], device=gpu), 9, True) == 1).all()
    assert not F.dropout(tj.ones(9, device=gpu), 1.0).any()


# ---------------------------------------------------------------- streams


def test_states_of_gpus(gpu):
    def draw(device="cuda"):
        return tj.rand(3, device=device).tolist()

    tj.manual_seed(1)
    state, first = tj.cuda.get_rng_state(), draw()
    assert state.numpy().view("<u8").tolist() == [1, 0] and not state.is_cuda
    second = draw()
    assert first != second
    tj.cuda.set_rng_state(state)
    assert [draw(), draw()] == [first, second]
    tj.cuda.manual_seed(1)
    assert tj.cuda.initial_seed() == 1 and draw() == first
    states = tj.cuda.get_rng_state_all()
    assert len(states) == tj.cuda.device_count()
    tj.cuda.set_rng_state_all(states)
    assert draw() == second
    tj.cuda.seed()
    assert draw() != first
    tj.cuda.manual_seed_all(1)
    assert draw() == first
    if len(states) > 1:  # each has its own stream, which a seed begins alike
        tj.manual_seed(1)
        assert [draw("cuda:1"), draw(), draw("cuda:1")] == [first, first, second]


def test_the_cpu_draws_as_ever(gpu):
    tj.manual_seed(1)
    wanted = tj.rand(4).tolist()
    tj.manual_seed(1)
    tj.rand(3, device=gpu)
    assert tj.rand(4).tolist() == wanted


def test_threads_never_share_a_key():
    keys, found = Keys(3), []
    threads = [
        threading.Thread(target=lambda: found.extend(int(keys.next()) for _ in range(2000)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8000 and keys.position == (3, 8000)


def test_generators(gpu):
    g = tj.Generator(device=gpu).manual_seed(5)
    assert g.device == tj.device("cuda", 0) and g.initial_seed() == 5
    first = tj.randn(3, generator=g, device=gpu).tolist()
    twins = [copy.deepcopy(g), pickle.loads(pickle.dumps(g)), tj.Generator(gpu)]
    twins[2].set_state(g.get_state())
    wanted = tj.randn(3, generator=g, device=gpu).tolist()
    assert wanted != first
    for twin in twins:
        assert tj.randn(3, generator=twin, device=gpu).tolist() == wanted
    with pytest.raises(ArgumentError, match="Expected a 'cuda' device type for generator"):
        tj.rand(3, generator=tj.Generator(), device=gpu)
    with pytest.raises(ArgumentError, match="Expected a 'cpu' device type for generator"):
        tj.rand(3, generator=g)
    with pytest.raises(DtypeError, match="is 16 bytes"):
        g.set_state(tj.Generator().get_state())


# ---------------------------------------------------------------- programs


def dropped(x):
    return F.dropout(x.exp(), 0.4) * tj.randn(3, device=x.device)


def test_compiled_calls_draw_as_eager_ones(gpu):
    x = tj.ones(2, 3, device=gpu)
    tj.manual_seed(2)
    wanted = [dropped(x).cpu().numpy() for _ in range(6)]
    assert len({y.tobytes() for y in wanted}) == 6
    compiled = tj.jit(dropped)
    tj.manual_seed(2)
    for want in wanted:
        np.testing.assert_allclose(compiled(x).cpu().numpy(), want, rtol=1e-6)


def test_a_captured_generator_goes_on_in_a_compiled_function(gpu):
    g, twin = (tj.Generator(device=gpu).manual_seed(6) for _ in range(2))
    compiled, x = tj.jit(lambda x: x * tj.rand(3, generator=g, device=gpu)), tj.ones(3, device=gpu)
    for _ in range(5):
        assert compiled(x).tolist() == tj.rand(3, generator=twin, device=gpu).tolist()
    assert "recorded 1 time" in str(tj.explain(compiled))


def three_steps(x):
    """Enough launches for a CUDA graph."""
    for _ in range(3):
        x = F.dropout(x, 0.5).flip(0).cumsum(0)
    return x


def test_replayed_graphs_draw_anew(gpu):
    x = tj.ones(8, device=gpu)
    compiled = tj.jit(three_steps)
    compiled(x)
    tj.manual_seed(2)
    wanted = [three_steps(x).tolist() for _ in range(8)]
    tj.manual_seed(2)
    assert [compiled(x).tolist() for _ in range(8)] == wanted  # addresses repeat


def test_a_derivative_sees_the_mask_of_the_value(gpu):
    x = tj.full((40,), 3.0, device=gpu)
    both = tj.value_and_grad(lambda x: (F.dropout(x, 0.5) * x).sum())
    for _ in range(4):
        value, gradient = both(x)
        gradient = gradient.cpu().numpy()  # 2 x mask
        assert set(gradient.tolist()) == {0.0, 12.0}
        assert float(value) == pytest.approx(gradient.sum() * 1.5)
    x.requires_grad_()
    y = F.dropout(x, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy() * 3.0, y.detach().cpu().numpy())


def test_gradients_by_parameters_of_a_sample(gpu):
    mean, std = tj.zeros(4, device=gpu), tj.full((4,), 2.0, device=gpu)
    tj.manual_seed(4)
    noise = (tj.normal(mean, std) / 2.0).cpu().numpy()
    tj.manual_seed(4)
    of_mean, of_std = tj.grad(lambda m, s: tj.normal(m, s).sum(), (0, 1))(mean, std)
    assert of_mean.tolist() == [1.0] * 4
    np.testing.assert_allclose(of_std.cpu().numpy(), noise, rtol=1e-6)


def test_samples_of_vmap_draw_their_own(gpu):
    rows = tj.ones(4, 3, device=gpu)
    function = tj.vmap(lambda row: row * tj.rand(3, device=gpu))
    tj.manual_seed(5)
    found = function(rows).cpu()
    tj.manual_seed(5)
    wanted = [tj.rand(3, device=gpu).tolist() for _ in range(5)][1:]  # the first is the recording's
    assert found.tolist() == wanted
    nested = tj.jit(tj.vmap(tj.vmap(lambda x: x * tj.rand((), device=gpu))))
    numbers = [n for _ in range(3) for row in nested(rows).tolist() for n in row]
    assert len(set(numbers)) == 36
    masked = tj.vmap(tj.grad(lambda v: (v * F.dropout(v, 0.5)).sum()))
    assert {n for row in masked(rows).tolist() for n in row} <= {0.0, 4.0}


def masked_sines(x, key):
    mask = OPS["cast"](OPS["random_hits"](key, 0.6, shape=x.shape, device=None), dtype="float32")
    return OPS["sin"](x) * mask * x


def program_of_masks(shape=(6, 5)):
    """Value and gradient of a dropout between functions."""
    floats, key = aval(shape, dtypes.float32), aval((), dtypes.int64)
    return test_rows.value_and_gradient(masked_sines, floats, key, wanted=[0])


def attention(x, key):
    mask = OPS["cast"](OPS["random_hits"](key, 0.6, shape=x.shape, device=None), dtype="float32")
    y = OPS["softmax"](x, axis=1) * mask
    return y * y


def program_of_attention():
    """Value and gradient of a dropout behind softmax."""
    floats, key = aval((200, 1000), dtypes.float32), aval((), dtypes.int64)
    return test_rows.value_and_gradient(attention, floats, key, wanted=[0])


def test_masks_are_part_of_row_kernels():
    (step,) = schedule(program_of_attention(), device=True).steps
    assert isinstance(step, RowStep)


def test_masks_take_no_memory():
    """Value and gradient in one pass, whose only large array beside x is the gradient."""
    plan = schedule(program_of_masks(), device=True)
    (step,) = plan.steps
    assert isinstance(step, KernelStep)
    whole = [view for view in step.views if view.buffer != 0 and 0 not in view.strides]
    assert len(whole) == 1


@pytest.mark.compiler
@pytest.mark.parametrize("card", [(8, 0), (9, 0)], ids=str)
def test_kernels_compile(card):
    """No spills, and no float64 in what is float32."""
    from test_cuda_compile import check

    for name, (parameters, known) in DRAWS.items():
        for dtype in known:
            if dtype == "float16":
                continue
            builder = Builder()
            arrays = [np.int64(0), *parameters]
            given = [builder.input(aval(a.shape, dtypes.from_numpy(a.dtype))) for a in arrays]
            attrs = {"shape": (1000, 9), "device": None} | ({"dtype": dtype} if dtype else {})
            y = OPS[name.partition(",")[0]](*given, **attrs)
            program = Program(builder.tape, [x.row for x in given], [y.row])
            for function in functions_of(schedule(program, device=True)):
                check(function, card)
    for program in (program_of_masks((4000, 300)), program_of_attention()):
        for function in functions_of(schedule(program, device=True)):
            check(function, card)


def test_errors(gpu):
    with pytest.raises(ArgumentError, match="invalid Poisson rate"):
        tj.poisson(tj.tensor([-1.0], device=gpu))
    with pytest.raises(ArgumentError, match="p_in"):
        tj.bernoulli(tj.tensor([1.5], device=gpu))
