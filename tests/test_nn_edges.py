"""`nn.functional` where it is easily wrong: kinks, infinities, random masks, state, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from oracle import differences, raised, same_as_torch

import tapejit as tj
from tapejit import dtypes
from tapejit.build import Builder
from tapejit.ops import correlation
from tapejit.plan import LoopStep
from tapejit.registry import OPS
from tapejit.runtime.compiled import compile_program
from tapejit.shapes import aval
from tapejit.tape import Program

F = tj.nn.functional
INF, NAN = math.inf, math.nan

# ---------------------------------------------------------------- kinks

POINTS = [-1000.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0, 21.0, 1000.0, INF]
AT_POINTS = """
F.relu(x)
F.relu6(x)
F.leaky_relu(x)
F.elu(x)
F.selu(x)
F.celu(x, 0.5)
F.gelu(x)
F.gelu(x, approximate="tanh")
F.silu(x)
F.mish(x)
F.hardtanh(x)
F.hardtanh(x, -0.5, 3.0)
F.hardswish(x)
F.softsign(x)
F.softplus(x)
F.softplus(x, 2.0, 1.0)
F.tanhshrink(x)
F.softshrink(x)
F.hardshrink(x)
F.logsigmoid(x)
F.threshold(x, 0.5, 7.0)
F.prelu(x, w)
F.binary_cross_entropy_with_logits(x, zeros, reduction="none")
F.binary_cross_entropy_with_logits(x.clamp(max=1000.0), ones, reduction="none")
F.smooth_l1_loss(x, zeros, reduction="none")
F.smooth_l1_loss(x, zeros, reduction="none", beta=0.5)
F.huber_loss(x, zeros, reduction="none", delta=0.5)
F.l1_loss(x, zeros, reduction="none")
F.poisson_nll_loss(x, ones, reduction="none")
F.hinge_embedding_loss(x, -ones, reduction="none")
F.margin_ranking_loss(x, zeros, ones, reduction="none")
""".strip().splitlines()


@pytest.mark.parametrize("text", AT_POINTS)
def test_slopes_at_points(text):
    def case(module):
        x = module.tensor(POINTS, dtype=module.float64, requires_grad=True)
        scope = {"F": module.nn.functional, "x": x, "w": module.tensor([0.25], dtype=x.dtype)}
        scope |= {"zeros": module.zeros_like(x), "ones": module.ones_like(x)}
        y = eval(text, scope)
        y.sum().backward()
        return y.detach(), x.grad

    same_as_torch(case)


def test_values_are_better_than_torch_where_it_overflows():
    x = tj.tensor([-1000.0, -1e30], requires_grad=True)
    loss = F.soft_margin_loss(x, tj.ones(2), reduction="none")
    loss.sum().backward()
    np.testing.assert_allclose(loss.tolist(), [1000.0, 1e30])
    assert x.grad.tolist() == [-1.0, -1.0]
    assert F.hardswish(tj.tensor(-INF)).item() == 0.0
    certain, target = tj.tensor([INF, -INF]), tj.tensor([1.0, 0.0])
    assert F.binary_cross_entropy_with_logits(certain, target).item() == 0.0
    # gelu far out on the left keeps its digits
    np.testing.assert_allclose(F.gelu(np.array([-12.0]))[0], -2.1317785e-32, rtol=1e-6)


# ---------------------------------------------------------------- losses


def losses_of(module: Any, function: str, logits: list, *args: Any, **options: Any) -> tuple:
    x = module.tensor(logits, dtype=module.float64, requires_grad=True)
    loss = getattr(module.nn.functional, function)(x, *args, **options)
    loss.sum().backward()
    return loss.detach(), x.grad


def test_cross_entropy_of_infinite_logits():
    """Other classes may be impossible; torch agrees, also on the slope."""

    def case(module):
        logits = [[0.5, -INF, 1.0], [-INF, -INF, 2.0]]
        return losses_of(module, "cross_entropy", logits, module.tensor([2, 2]), reduction="none")

    same_as_torch(case)


def test_cross_entropy_of_an_impossible_target():
    def case(module):
        loss = module.nn.functional.cross_entropy(
            module.tensor([[0.5, -INF, 1.0]]), module.tensor([1])
        )
        return loss

    same_as_torch(case)


def test_cross_entropy_of_probabilities_that_are_zero_at_infinity():
    x = tj.tensor([[0.0, -INF]], requires_grad=True)
    loss = F.cross_entropy(x, tj.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == 0.0 and x.grad.tolist() == [[0.0, 0.0]]  # torch: NaN


def test_large_logits_lose_no_digits():
    logits = np.array([[1e4, 1e4 + 1.0]], np.float32)
    exact = math.log1p(math.exp(-1.0))
    np.testing.assert_allclose(F.cross_entropy(logits, np.array([1])), exact, rtol=1e-6)


def test_all_targets_ignored():
    def case(module):
        target = module.tensor([-100, -100])
        logits = [[0.5, 1.0], [0.0, 2.0]]
        return [
            losses_of(module, "cross_entropy", logits, target, reduction=r)
            for r in ("none", "sum", "mean")
        ]

    same_as_torch(case)


def test_binary_cross_entropy_at_certainty():
    def case(module):
        target = module.tensor([1.0, 0.0], dtype=module.float64)
        p = [0.0, 1.0]
        return losses_of(module, "binary_cross_entropy", p, target, reduction="none")

    same_as_torch(case, loosen=10.0)  # its 1e-12 is a float32
    # where prediction and target agree the one-sided slope is known; torch says 0
    x = tj.tensor([0.0, 1.0], requires_grad=True)
    F.binary_cross_entropy(x, tj.tensor([0.0, 1.0]), reduction="sum").backward()
    assert x.grad.tolist() == [1.0, -1.0]


def test_kl_div_of_impossible_outcomes():
    target = tj.tensor([0.0, 1.0], requires_grad=True)
    x = tj.tensor([-1.0, -2.0], requires_grad=True)
    loss = F.kl_div(x, target, reduction="sum")
    loss.backward()
    assert loss.item() == 2.0 and x.grad.tolist() == [0.0, -1.0]
    assert target.grad.tolist() == [1.0, 3.0]  # torch: NaN at 0


def test_kl_div_warns_of_its_mean():
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(tj.zeros(2), tj.ones(2))


@pytest.mark.parametrize("words", [{"size_average": False}, {"reduce": False}, {"reduce": True}])
def test_old_words_of_reductions(words):
    with pytest.warns(UserWarning, match="please use reduction="):
        got = F.mse_loss(tj.tensor([1.0, 3.0]), tj.zeros(2), **words)
    wanted = {"size_average": 10.0, "reduce": 5.0}
    if words == {"reduce": False}:
        assert got.tolist() == [1.0, 9.0]
    else:
        assert got.item() == wanted[next(iter(words))]


def test_broadcast_losses_warn():
    with pytest.warns(UserWarning, match="Using a target size"):
        F.mse_loss(tj.zeros(2, 2), tj.zeros(2))


# ---------------------------------------------------------------- convolution


@pytest.mark.parametrize("chunk", [1, 7, 50, 10_000])
@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (16, 2), (6, 6)])
def test_shifts_and_columns_are_one_convolution(monkeypatch, chunk, channels, groups):
    """Also where blocks of images and chunks of places end anywhere."""
    monkeypatch.setattr(correlation, "CHUNK", chunk)
    random = np.random.default_rng(0)
    x = random.normal(size=(5, channels, 4, 5))
    w = random.normal(size=(2 * groups, channels // groups, 2, 3))
    attrs = ((1, 1), (1, 2), (2, 1), groups)
    y = correlation.output(x, w, *attrs)
    results = [
        y,
        correlation.input(y, w, (4, 5), *attrs),
        correlation.weight(y, x, (2, 3), *attrs),
    ]
    monkeypatch.setattr(correlation, "_are_shifts", lambda *_: False)
    wanted = [
        correlation.output(x, w, *attrs),
        correlation.input(y, w, (4, 5), *attrs),
        correlation.weight(y, x, (2, 3), *attrs),
    ]
    for mine, theirs in zip(results, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12, strict=True)


@pytest.mark.parametrize("seed", range(40))
def test_random_windows(seed):
    """Convolutions and poolings of any size and step: value and gradients as in torch."""
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 4))

    def some(low, high):
        return [int(k) for k in random.integers(low, high + 1, n)]

    lengths, kernel, stride, dilation = some(4, 7), some(1, 3), some(1, 3), some(1, 2)
    half = [int(random.integers(0, k // 2 + 1)) for k in kernel]
    extra = [int(random.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True)]
    groups, c, o = (int(k) for k in random.choice([1, 2, 3, 8], 3))
    x = random.normal(size=(2, groups * c, *lengths))
    ceil, counted = (bool(b) for b in random.integers(0, 2, 2))
    name, shapes, options = [
        ("conv", [(groups * o, c, *kernel), (groups * o,)], (stride, half, dilation, groups)),
        (
            "conv_transpose",
            [(groups * c, o, *kernel)],
            (None, stride, half, extra, groups, dilation),
        ),
        ("max_pool", [], (kernel, stride, half, dilation, ceil)),
        ("avg_pool", [], (kernel, stride, half, ceil, counted)),
        ("adaptive_avg_pool", [], (some(1, 8),)),
        ("adaptive_max_pool", [], (some(1, 8),)),
    ][seed % 6]
    arrays = [x, *(random.normal(size=shape) for shape in shapes)]
    found = []
    for module in (torch, tj):
        function = getattr(module.nn.functional, f"{name}{n}d")
        leaves = [module.tensor(a, requires_grad=True) for a in arrays]
        y = function(*leaves, *options)
        weights = module.tensor(np.cos(np.arange(y.numel())).reshape(tuple(y.shape)))
        gradients = module.autograd.grad((y * weights).sum(), leaves)
        found.append([t.detach().numpy() for t in (y, *gradients)])
    for theirs, mine in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-10, strict=True)


def test_a_window_without_elements_is_an_error():
    with pytest.raises(RuntimeError, match="lies outside of the input"):
        F.max_pool1d(tj.zeros(1, 1), 2, 1, 1, dilation=2)


# ---------------------------------------------------------------- pooling and norms

TIES = [[[[1.0, 1.0, NAN, 0.0], [1.0, 1.0, 0.0, 0.0]]]]


def test_the_first_of_equal_elements_wins():
    def case(module):
        x = module.tensor(TIES, requires_grad=True)
        y = module.nn.functional.max_pool2d(x[..., :2], 2)
        y.sum().backward()
        return y.detach(), x.grad

    same_as_torch(case)
    assert math.isnan(F.max_pool2d(np.array(TIES), 2)[0, 0, 0, 1])


WINDOWS = [
    ("max_pool_index", ((3, 4), (3, 2), (2, 1), (1, 0), (1, 2))),
    ("max_pool_index", ((4, 3), (2, 3), (2, 2), (1, 1), (2, 1))),
    ("max_pool_index", ((4,), (3,), (2,), (1,), (1,))),
    ("adaptive_max_index", ((4, 3),)),
    ("adaptive_max_index", ((2, 3, 4),)),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, bool])
@pytest.mark.parametrize(("name", "attrs"), WINDOWS, ids=str)
def test_the_loop_finds_what_numpy_finds(name, attrs, dtype):
    """Also ties, NaN, and windows of nothing but -inf."""
    random = np.random.default_rng(2)
    x = random.integers(-2, 3, (2, 6, 7, 6)).astype(dtype)
    if x.dtype.kind == "f":
        x[random.random(x.shape) < 0.2] = NAN
        x[0, :3] = -INF
    op, builder = OPS[name], Builder()
    source = builder.input(aval(x.shape, dtypes.from_numpy(x.dtype)))
    row = builder.emit(op, (source,), attrs).row
    compiled = compile_program(Program(builder.tape, [source.row], [row]))
    assert [type(step) for step in compiled.plan.steps] == [LoopStep]
    wanted = op.evaluate(x, **dict(zip(op.attributes, attrs, strict=True)))
    np.testing.assert_array_equal(compiled([x])[0], wanted)


OVERLAPS = [
    ((2, 3, 8, 9), (0, 1), (2, 3, 3, 2, 3, 4), (2, 1), (1, 2)),
    ((2, 3, 8, 9), (1, 0), (2, 3, 2, 3, 6, 7), (1, 1), (1, 1)),
    ((12,), (2,), (4, 4), (2,), (1,)),
]
"""Shape, first window, kernel and windows behind the leading axes, stride, dilation."""


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("case", OVERLAPS, ids=str)
def test_overlapping_windows_are_added_up(case, dtype):
    shape, first, parts, stride, dilation = case
    n, n_lead = len(stride), len(shape) - len(stride)
    steps = [tuple(int(i == axis) for i in range(len(parts))) for axis in range(n_lead)]
    for axis, (s, d) in enumerate(zip(stride, dilation, strict=True)):
        row = [0] * len(parts)
        row[n_lead + axis], row[n_lead + n + axis] = d, s
        steps.append(tuple(row))
    attrs = (shape, (0,) * n_lead + first, tuple(steps))
    x = np.random.default_rng(3).integers(-9, 9, parts).astype(dtype)
    op, builder = OPS["unstrided"], Builder()
    source = builder.input(aval(parts, dtypes.from_numpy(x.dtype)))
    row = builder.emit(op, (source,), attrs).row
    compiled = compile_program(Program(builder.tape, [source.row], [row]))
    assert [type(step) for step in compiled.plan.steps] == [LoopStep]
    wanted = op.evaluate(x, **dict(zip(op.attributes, attrs, strict=True)))
    np.testing.assert_array_equal(compiled([x])[0], wanted)  # whole numbers: exact in any order


def test_pooling_of_minus_infinity():
    def case(module):
        x = module.full((1, 1, 3, 3), -INF)
        return list(module.nn.functional.max_pool2d(x, 2, 1, 1, return_indices=True))

    same_as_torch(case)


def test_normalize_at_zero():
    def case(module):
        x = module.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
        y = module.nn.functional.normalize(x)
        (y * module.tensor([1.0, 2.0])).sum().backward()
        return y.detach(), x.grad

    same_as_torch(case)


def test_constant_rows_have_finite_slopes():
    def case(module):
        x = module.ones(2, 4, requires_grad=True)
        functional = module.nn.functional
        y = functional.layer_norm(x, (4,)) + functional.cosine_similarity(x, 0 * x).unsqueeze(1)
        (y * module.arange(4.0)).sum().backward()
        return y.detach(), x.grad

    same_as_torch(case)


def test_running_statistics():
    def case(module):
        functional = module.nn.functional
        x = (module.arange(24.0).reshape(2, 3, 4) * 0.7).sin()
        mean, var = module.zeros(3), module.ones(3)
        functional.batch_norm(x, mean, var, training=True, momentum=0.3)
        functional.instance_norm(x, mean, var, momentum=0.2)
        y = functional.batch_norm(x, mean, var)
        return mean, var, y

    same_as_torch(case)


def test_running_statistics_move_at_every_call_of_a_compiled_function():
    x = tj.tensor(np.random.default_rng(0).normal(size=(4, 3)))
    means = []
    for transform in (tj.jit, lambda f: f):
        mean, var = tj.zeros(3, dtype=tj.float64), tj.ones(3, dtype=tj.float64)
        step = transform(lambda x, m=mean, v=var: F.batch_norm(x, m, v, training=True))
        with pytest.warns(RuntimeWarning) if transform is tj.jit else no_warning():
            for _ in range(3):
                step(x)
        means.append(mean.numpy())
    np.testing.assert_allclose(*means, rtol=1e-12)


class no_warning:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


def test_attention_to_nothing_is_zero():
    def case(module):
        q, k, v = (
            (module.arange(8.0).reshape(1, 2, 4) * f).sin().requires_grad_() for f in (1, 2, 3)
        )
        mask = module.tensor([[True, False], [False, False]])
        y = module.nn.functional.scaled_dot_product_attention(q, k, v, mask)
        y.sum().backward()
        return y.detach(), q.grad, k.grad, v.grad

    same_as_torch(case)


def test_the_padding_row_gets_no_gradient():
    def case(module):
        functional = module.nn.functional
        weight = (module.arange(8.0).reshape(4, 2)).requires_grad_()
        y = functional.embedding(module.tensor([[1, -1 % 4], [0, 1]]), weight, padding_idx=-1)
        (y * y).sum().backward()
        return y.detach(), weight.grad

    same_as_torch(case)


def test_embedding_shortens_long_rows_in_place():
    def case(module):
        weight = module.tensor([[3.0, 4.0], [30.0, 40.0], [0.3, 0.4]])
        y = module.nn.functional.embedding(module.tensor([0, 2]), weight, max_norm=1.0)
        return y, weight

    same_as_torch(case)


# ---------------------------------------------------------------- in place

IN_PLACE = """
F.relu(h, inplace=True)
F.leaky_relu(h, 0.3, inplace=True)
F.elu_(h)
F.selu(h, True)
F.celu_(h)
F.hardtanh_(h)
F.relu6(h, inplace=True)
F.silu(h, inplace=True)
F.mish(h, inplace=True)
F.hardswish(h, inplace=True)
F.hardsigmoid(h, inplace=True)
F.threshold_(h, 0.1, 2.0)
""".strip().splitlines()


@pytest.mark.parametrize("text", IN_PLACE)
def test_in_place(text):
    def case(module):
        x = module.tensor([[0.5, -1.25, 2.0]], dtype=module.float64, requires_grad=True)
        h = x * 2.0
        y = eval(text, {"F": module.nn.functional, "h": h})
        assert y is h
        (h * h).sum().backward()
        return h.detach(), x.grad

    same_as_torch(case, loosen=10.0 if "hardsigmoid" not in text else 1e3)


def test_in_place_on_a_leaf():
    def case(module):
        x = module.ones(2, requires_grad=True)
        return raised(lambda: module.nn.functional.relu6(x, inplace=True), 8)

    same_as_torch(case)


# ---------------------------------------------------------------- chance


def test_dropout_keeps_the_mean_and_the_seed():
    x = tj.ones(10_000, requires_grad=True)
    tj.manual_seed(3)
    y = F.dropout(x, 0.3)
    y.sum().backward()
    assert abs(y.mean().item() - 1.0) < 0.05
    assert set(np.unique(y.detach().numpy())) == {0.0, np.float32(1 / 0.7)}
    np.testing.assert_array_equal(x.grad, y.detach())
    tj.manual_seed(3)
    np.testing.assert_array_equal(F.dropout(x, 0.3).detach(), y.detach())


def test_dropout_at_the_ends():
    x = tj.tensor([1.0, -2.0])
    assert F.dropout(x, 0.0) is x and F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 1.0).tolist() == [0.0, 0.0]


def test_a_compiled_dropout_is_drawn_at_every_call():
    loss = tj.value_and_grad(lambda x: (F.dropout(x, 0.5) * x).sum())
    x = np.ones(64)
    slopes = [loss(x)[1] for _ in range(3)]
    assert tj.explain(loss).reasons == ("first call",)
    assert not np.array_equal(slopes[0], slopes[1])
    assert not np.array_equal(slopes[1], slopes[2])
    for slope in slopes:
        assert set(slope) == {0.0, 4.0}


def test_dropout_that_is_off_is_compiled():
    run = tj.jit(lambda x: F.dropout(x, 0.5, training=False) * 2.0)
    for _ in range(3):
        assert run(np.ones(2)).tolist() == [2.0, 2.0]
    assert tj.explain(run).reasons == ("first call",)


@pytest.mark.parametrize("function", [F.alpha_dropout, F.feature_alpha_dropout])
def test_alpha_dropout_keeps_mean_and_variance(function):
    tj.manual_seed(0)
    x = tj.randn(200, 50, 4)
    y = function(x, 0.2, training=True)
    assert abs(y.mean().item()) < 0.05 and abs(y.std().item() - 1.0) < 0.05


def test_rrelu_draws_slopes_in_its_range():
    x = tj.full((1000,), -1.0, requires_grad=True)
    y = F.rrelu(x, 0.2, 0.4, training=True)
    y.sum().backward()
    assert 0.2 <= x.grad.min().item() < 0.25 and 0.35 < x.grad.max().item() < 0.4


def test_gumbel_softmax():
    tj.manual_seed(0)
    logits = tj.log(tj.tensor([0.7, 0.2, 0.1])).expand(4000, 3).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, tau=0.5, hard=True)
    np.testing.assert_allclose(hard.mean(0).tolist(), [0.7, 0.2, 0.1], atol=0.03)
    hard[:, 0].sum().backward()
    assert logits.grad.abs().sum().item() > 0


# ---------------------------------------------------------------- arrays


def test_arrays_are_answered_in_kind():
    random = np.random.default_rng(0)
    x, w, b = random.normal(size=(1, 2, 4, 4)), random.normal(size=(3, 2, 2, 2)), np.ones(3)
    y = F.conv2d(x, w, bias=b)
    assert type(y) is np.ndarray and y.dtype == np.float64
    assert isinstance(F.conv2d(tj.tensor(x), w, bias=b), tj.Tensor)
    assert isinstance(F.mse_loss(tj.tensor(x), x), tj.Tensor)
    values, places = F.max_pool2d(x, 2, return_indices=True)
    assert type(values) is np.ndarray and places.dtype == np.int64
    assert type(F.relu(-1.0)) is float


def test_half_precision_keeps_its_dtype():
    x = tj.ones(1, 2, 4, 4, dtype=tj.float16)
    for y in (
        F.conv2d(x, tj.ones(2, 2, 2, 2, dtype=tj.float16)),
        F.max_pool2d(x, 2),
        F.avg_pool2d(x, 2),
        F.layer_norm(x, (4,)),
        F.gelu(x),
        F.cross_entropy(x.reshape(2, 16), tj.tensor([0, 1])),
    ):
        assert y.dtype is tj.float16


def test_complex_convolution():
    def case(module):
        x, w = (
            module.complex(module.arange(n).double().sin(), module.arange(n).double().cos())
            .reshape(shape)
            .requires_grad_()
            for n, shape in ((10, (1, 2, 5)), (12, (3, 2, 2)))
        )
        y = module.nn.functional.conv1d(x, w)
        (y.abs() ** 2).sum().backward()
        return y.detach().real, y.detach().imag, x.grad.real, w.grad.imag

    same_as_torch(case)


# ---------------------------------------------------------------- forward mode

FORWARD = {
    "conv2d": lambda x, w: F.conv2d(x, w, padding=1, stride=2),
    "conv_transpose2d": lambda x, w: F.conv_transpose2d(x, w.transpose(0, 1), stride=2),
    "max_pool2d": lambda x, w: F.max_pool2d(x, 3, 2, 1) * w[0, 0, 0, 0],
    "avg_pool2d": lambda x, w: F.avg_pool2d(x * x, 3, 2, 1) * w[0, 0, 0, 0],
    "layer_norm": lambda x, w: F.layer_norm(x, (6,)) * w[0, 0, 0, 0],
    "batch_norm": lambda x, w: F.batch_norm(x, None, None, training=True) * w[0, 0, 0, 0],
    "attention": lambda x, w: F.scaled_dot_product_attention(x, x, x, is_causal=True) * w.sum(),
    "cross_entropy": lambda x, w: F.cross_entropy(x[0, 0], np.arange(6)) * w.sum(),
    "interpolate": lambda x, w: F.interpolate(x * x, scale_factor=1.5, mode="bilinear") * w.sum(),
}


@pytest.mark.parametrize("name", FORWARD)
def test_tangents_agree_with_gradients(name):
    random = np.random.default_rng(0)
    x, w = random.normal(size=(2, 3, 6, 6)), random.normal(size=(4, 3, 3, 3))
    directions = random.normal(size=x.shape), random.normal(size=w.shape)

    def loss(x, w):
        return (FORWARD[name](x, w) ** 2).sum()

    _, tangent = tj.jvp(loss, (x, w), directions)
    gradients = tj.grad(loss, argnums=(0, 1))(x, w)
    pulled = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(tangent, pulled, rtol=1e-9)


# ---------------------------------------------------------------- a small network


def test_training_follows_torch_step_by_step():
    """A convolution, norm, dropout that is off, attention and a loss: 20 steps of descent."""
    random = np.random.default_rng(1)
    images, targets = random.normal(size=(8, 2, 6, 6)), random.integers(0, 3, 8)
    start = {
        "kernel": random.normal(size=(4, 2, 3, 3)) * 0.3,
        "bias": np.zeros(4),
        "gain": np.ones(4),
        "qkv": random.normal(size=(12, 4)) * 0.5,
        "out": random.normal(size=(3, 4)) * 0.5,
    }

    def run(module):
        functional = module.nn.functional
        p = {name: module.tensor(value, requires_grad=True) for name, value in start.items()}
        mean = module.zeros(4, dtype=module.float64)
        var = module.ones(4, dtype=module.float64)
        x, y = module.tensor(images), module.tensor(targets)
        losses = []
        for _ in range(20):
            h = functional.conv2d(x, p["kernel"], p["bias"], padding=1)
            h = functional.batch_norm(h, mean, var, p["gain"], training=True)
            h = functional.max_pool2d(functional.gelu(h), 2)
            h = h.flatten(2).transpose(1, 2)
            q, k, v = functional.linear(h, p["qkv"]).chunk(3, -1)
            h = functional.scaled_dot_product_attention(q, k, v).mean(1)
            loss = functional.cross_entropy(functional.linear(h, p["out"]), y)
            loss.backward()
            losses.append(loss.item())
            with module.no_grad():
                for w in p.values():
                    w -= 0.5 * w.grad
                    w.grad = None
        return losses, [w.detach() for w in p.values()], mean

    torch = pytest.importorskip("torch")
    assert not differences(run(tj), run(torch), loosen=100.0)


# ---------------------------------------------------------------- errors

ERRORS = """
F.hardtanh(x, 1.0, -1.0)
F.glu(x)
F.prelu(x, o(2))
F.softshrink(x, -1.0)
F.gelu(x, approximate="x")
F.linear(x, o(4, 5))
F.conv2d(o(1, 2, 5, 5), o(4, 3, 3, 3))
F.conv2d(o(2, 5), o(4, 3, 3, 3))
F.conv2d(o(1, 3, 2, 2), o(4, 3, 3, 3))
F.conv2d(o(1, 3, 5, 5), o(4, 3, 3, 3), o(3))
F.conv2d(o(1, 3, 5, 5), o(4, 3, 3, 3), stride=0)
F.conv2d(o(1, 3, 5, 5), o(4, 3, 3, 3), padding=-1)
F.conv2d(o(1, 4, 5, 5), o(3, 2, 3, 3), groups=2)
F.conv2d(o(1, 3, 5, 5), o(4, 3, 3, 3), padding="same", stride=2)
F.conv2d(o(1, 3, 5, 5), o(4, 3, 3, 3).double())
F.conv_transpose1d(o(1, 2, 4), o(3, 2, 3))
F.conv_transpose1d(o(1, 2, 4), o(2, 2, 3), output_padding=1)
F.conv_transpose1d(o(1, 2, 1), o(2, 2, 3), padding=2)
F.max_pool2d(o(3, 4), 2)
F.max_pool2d(o(1, 3, 4), 2, padding=2)
F.max_pool2d(o(1, 1, 1), 2)
F.avg_pool2d(o(1, 4, 4), 2, divisor_override=0)
F.layer_norm(x, (4,))
F.layer_norm(x, (3,), o(2))
F.batch_norm(o(1, 3), None, None, training=True)
F.batch_norm(x, o(2), o(2))
F.batch_norm(x, None, None)
F.instance_norm(o(2, 3, 1))
F.group_norm(o(2, 5, 3), 2)
F.dropout(x, 1.5)
F.embedding(i, o(2, 3))
F.embedding(x, o(2, 3))
F.one_hot(i, 2)
F.one_hot(-i)
F.mse_loss(x, x, reduction="median")
F.huber_loss(x, x, delta=0.0)
F.cross_entropy(o(4, 5), i)
F.cross_entropy(o(3, 5), i)
F.cross_entropy(o(4, 9), i, o(3))
F.cross_entropy(x, x.long())
F.cross_entropy(o(4, 9), o(4))
F.nll_loss(o(4, 5), i)
F.binary_cross_entropy(x * 2, x)
F.binary_cross_entropy_with_logits(x, o(2))
F.gaussian_nll_loss(x, x, -x)
F.margin_ranking_loss(x, x, o(2))
F.triplet_margin_loss(x, x, x, margin=0.0)
F.scaled_dot_product_attention(x, x, x, o(2, 2).bool(), is_causal=True)
F.interpolate(o(1, 1, 4), size=3, scale_factor=2.0)
F.pixel_shuffle(o(3, 2, 2), 2)
F.unfold(o(1, 1, 2, 2), 3)
F.fold(o(1, 4, 3), (3, 3), 2)
F.bilinear(x, o(3, 3), o(2, 3, 3))
F.softmax(x, 5)
""".strip().splitlines()


@pytest.mark.parametrize("text", ERRORS)
def test_errors(text):
    def case(module):
        scope = {
            "F": module.nn.functional,
            "x": module.ones(2, 3),
            "o": module.ones,
            "i": module.tensor([1, 7, 3, 0]),
        }
        return raised(lambda: eval(text, scope))

    same_as_torch(case)


def test_a_class_out_of_range_is_an_error_in_compiled_functions_too():
    run = tj.jit(lambda x, target: F.cross_entropy(x, target))
    logits = np.zeros((2, 3))
    for _ in range(3):
        np.testing.assert_allclose(run(logits, np.array([0, 2])), math.log(3.0))
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        run(logits, np.array([0, 3]))
