"""`nn.functional` as in torch: values, dtypes, gradients, second order; compiled = eager.

A row is an expression over `F` and the operands below; its text is the test's name.  Every row
runs in float64 with both libraries, weighted and summed: the values, the gradients of that sum by
every float operand it reads, and for `SMOOTH` rows the gradients of the sum of their squares; then
the value in float32, and value and gradients once more through `value_and_grad`, on NumPy arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit as tj

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:reduction:UserWarning")

RANDOM = np.random.default_rng(5)


def numbers(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape)


FLOATS = {  # these require grad
    "x": numbers(2, 3),
    "y": numbers(2, 3),
    "z": numbers(2, 3),
    "p": RANDOM.uniform(0.1, 0.9, (2, 3)),
    "q": RANDOM.uniform(0.1, 0.9, (2, 3)),
    "row": numbers(3),
    "pos": RANDOM.uniform(0.5, 2.0, (3,)),
    "logits": numbers(4, 5),
    "soft": RANDOM.dirichlet(np.ones(5), 4),
    "image_logits": numbers(2, 5, 2, 3),
    "w": numbers(4, 3),
    "b": numbers(4),
    "bw": numbers(2, 3, 3),
    "s1": numbers(2, 4, 7),
    "k1": numbers(6, 2, 3),
    "k1t": numbers(4, 3, 3),
    "bias6": numbers(6),
    "s2": numbers(2, 4, 6, 5),
    "k2": numbers(6, 4, 3, 2),
    "k2g": numbers(4, 2, 2, 3),
    "k2t": numbers(4, 3, 3, 2),
    "s3": numbers(1, 2, 4, 3, 5),
    "k3": numbers(3, 2, 2, 2, 3),
    "k3t": numbers(2, 3, 2, 2, 2),
    "s8": numbers(3, 8, 5, 4),
    "k8": numbers(3, 8, 3, 2),
    "k8t": numbers(8, 8, 2, 3),
    "k8d": numbers(8, 1, 3, 3),
    "c4": RANDOM.uniform(0.5, 1.5, (4,)),
    "d4": numbers(4),
    "table": numbers(6, 3),
    "bag": numbers(2, 3),
    "query": numbers(2, 4, 3, 8),
    "key": numbers(2, 4, 5, 8),
    "value": numbers(2, 4, 5, 6),
    "key2": numbers(2, 2, 5, 8),
    "value2": numbers(2, 2, 5, 6),
    "bias_mask": numbers(3, 5),
    "cols": numbers(2, 16, 4),
}
PLAIN = {
    "cw": RANDOM.uniform(0.5, 2.0, (5,)),
    "mean4": numbers(4),
    "var4": RANDOM.uniform(0.5, 2.0, (4,)),
    "sign": RANDOM.choice([-1.0, 1.0], (2, 3)),
    "sign2": RANDOM.choice([-1.0, 1.0], 2),
    "weights": RANDOM.uniform(0.5, 2.0, (3,)),
    "i": np.array([1, 0, 4, 3]),
    "hidden": np.array([1, -100, 4, -100]),
    "pixels": RANDOM.integers(0, 5, (2, 2, 3)),
    "one": np.array(2),
    "labels": np.array([[3, 0, -1, 1, 2], [1, -1, 0, 0, 0], [0, 1, 2, 3, 4], [-1, 1, 1, 1, 1]]),
    "words": np.array([[1, 5, 2], [2, 2, 0]]),
    "flat_words": np.array([1, 2, 4, 5, 4, 3]),
    "offsets": np.array([0, 2, 2]),
    "classes": np.array([[0, 2], [1, 0]]),
    "allowed": np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]], bool),
    "found": np.array([[[[5, 2], [20, 18]]]]),
}
WORD = re.compile(r"\b([a-z]\w*)\b(?!=)")

SMOOTH = """
F.softplus(x)
F.softplus(x, 2.0, 1.0)
F.logsigmoid(x)
F.silu(x)
F.gelu(x)
F.gelu(x, approximate="tanh")
F.mish(x)
F.softsign(x)
F.tanhshrink(x)
F.elu(x, 0.7)
F.selu(x)
F.celu(x, 1.3)
F.sigmoid(x)
F.tanh(x)
F.glu(s1, 1)
F.softmax(x, 1)
F.softmax(x, 0)
F.softmin(x, dim=1)
F.log_softmax(x, -1)
F.linear(x, w, b)
F.linear(x, w)
F.linear(row, w, b)
F.linear(bw, w, b)
F.bilinear(x, y, bw)
F.bilinear(x, y, bw, bias=d4[:2])
F.conv1d(s1, k1, bias6, groups=2)
F.conv1d(s1, k1, stride=2, padding=2, groups=2, dilation=2)
F.conv1d(s1[0], k1, bias6, padding="same", groups=2)
F.conv2d(s2, k2, bias6)
F.conv2d(s2, k2, stride=(2, 1), padding=(1, 2))
F.conv2d(s2, k2, padding="same", dilation=(1, 2))
F.conv2d(s2, k2, padding="valid")
F.conv2d(s2, k2g, d4, stride=2, padding=1, groups=2)
F.conv2d(s2[1], k2, bias6, 1, 1)
F.conv3d(s3, k3, row, stride=(2, 1, 2), padding=1)
F.conv3d(s3[0], k3)
F.conv2d(s8, k8, row, padding=(1, 0), dilation=(1, 2))
F.conv2d(s8, k8, padding=(3, 2))
F.conv2d(s8, k8d, padding=1, groups=8)
F.conv_transpose2d(s8, k8t, padding=1)
F.conv_transpose1d(s1, k1t, stride=2, padding=1, output_padding=1)
F.conv_transpose1d(s1, k1t, row, dilation=3, output_padding=2)
F.conv_transpose1d(s1, k1t, groups=2)
F.conv_transpose2d(s2, k2t, row, stride=(3, 2), padding=(1, 0), output_padding=(2, 1))
F.conv_transpose2d(s2[0], k2t, row)
F.conv_transpose3d(s3, k3t, row, stride=2)
F.avg_pool1d(s1, 3, 2, 1)
F.avg_pool2d(s2, 2)
F.avg_pool2d(s2, (3, 2), (2, 1), 1, ceil_mode=True, count_include_pad=False)
F.avg_pool2d(s2, 3, 2, 1, ceil_mode=True)
F.avg_pool2d(s2[0], 2, divisor_override=3)
F.avg_pool3d(s3, 2, 1)
F.adaptive_avg_pool1d(s1, 3)
F.adaptive_avg_pool2d(s2, (3, 5))
F.adaptive_avg_pool2d(s2, (4, None))
F.adaptive_avg_pool2d(s2, 1)
F.adaptive_avg_pool3d(s3, 2)
F.lp_pool1d(s1 * s1, 3.0, 2)
F.lp_pool2d(s2, 2.0, 2, 1)
F.layer_norm(x, (3,))
F.layer_norm(x, [3], row, pos, 1e-3)
F.layer_norm(s2, (6, 5))
F.rms_norm(x, (3,), pos)
F.rms_norm(x, (3,), eps=0.1)
F.batch_norm(s2, None, None, training=True)
F.batch_norm(s1, None, None, c4, d4, training=True)
F.batch_norm(s2, mean4, var4, c4, d4)
F.instance_norm(s2)
F.instance_norm(s1, mean4, var4, c4, d4, use_input_stats=False)
F.group_norm(s2, 2, c4, d4)
F.group_norm(s1, 4)
F.local_response_norm(s2, 3, 0.5, 0.6, 2.0)
F.local_response_norm(s1, 2)
F.normalize(x)
F.normalize(s2, 3.0, (2, 3))
F.cosine_similarity(x, y)
F.cosine_similarity(x, row, dim=-1)
F.pairwise_distance(x, y)
F.pairwise_distance(x, y, 3.0, keepdim=True)
F.mse_loss(x, y)
F.mse_loss(x, y, reduction="none", weight=p)
F.mse_loss(x, y, weight=p)
F.huber_loss(x, y, delta=0.7)
F.huber_loss(x, y, weight=p)
F.smooth_l1_loss(x, y, reduction="sum", beta=0.8)
F.cross_entropy(logits, i)
F.cross_entropy(logits, i, cw, reduction="none")
F.cross_entropy(logits, hidden, cw)
F.cross_entropy(logits, hidden, cw, label_smoothing=0.2)
F.cross_entropy(logits, hidden, label_smoothing=0.2, reduction="none")
F.cross_entropy(logits, i, reduction="sum", label_smoothing=0.1)
F.cross_entropy(logits, soft)
F.cross_entropy(logits, soft, cw, label_smoothing=0.1)
F.cross_entropy(logits, soft, reduction="none")
F.cross_entropy(image_logits, pixels, cw)
F.cross_entropy(image_logits, pixels, ignore_index=2, reduction="none")
F.cross_entropy(logits[0], one)
F.nll_loss(F.log_softmax(logits, 1), i)
F.nll_loss(image_logits, pixels, cw, ignore_index=1)
F.nll_loss(logits[1], one)
F.binary_cross_entropy(p, q)
F.binary_cross_entropy(p, q, weight=weights, reduction="sum")
F.binary_cross_entropy_with_logits(x, q)
F.binary_cross_entropy_with_logits(x, q, weight=weights, pos_weight=weights, reduction="none")
F.kl_div(x, q, reduction="batchmean")
F.kl_div(x, y, reduction="sum", log_target=True)
F.poisson_nll_loss(x, p)
F.poisson_nll_loss(p, q * 4, log_input=False, full=True)
F.gaussian_nll_loss(x, y, p)
F.gaussian_nll_loss(x, y, p[:, 0], full=True, reduction="none")
F.gaussian_nll_loss(x, y, 0.5)
F.cosine_embedding_loss(x, y, sign2, margin=-0.9)
F.cosine_embedding_loss(row, pos, sign2[0])
F.soft_margin_loss(x, sign)
F.multilabel_soft_margin_loss(x, q, weights)
F.triplet_margin_loss(x, y, z, margin=3.0)
F.triplet_margin_loss(x, y, z, margin=5.0, swap=True, p=1.5, reduction="none")
F.embedding(words, table)
F.embedding(words, table, padding_idx=2)
F.embedding(words, table, scale_grad_by_freq=True)
F.embedding_bag(words, table)
F.embedding_bag(flat_words, table, offsets)
F.embedding_bag(flat_words, table, offsets, mode="sum", padding_idx=4)
F.scaled_dot_product_attention(query, key, value)
F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
F.scaled_dot_product_attention(query, key, value, bias_mask, scale=0.3)
F.scaled_dot_product_attention(query, key[..., :4, :], value[..., :4, :], is_causal=True)
F.scaled_dot_product_attention(query, key2, value2, enable_gqa=True)
F.interpolate(s1, 11, mode="linear", align_corners=False)
F.interpolate(s2, scale_factor=(1.5, 2.3), mode="bilinear")
F.interpolate(s2, scale_factor=(1.5, 2.3), mode="bilinear", recompute_scale_factor=True)
F.interpolate(s2, (3, 9), mode="bilinear", align_corners=True)
F.interpolate(s2, (4, 7), mode="bicubic", align_corners=False)
F.interpolate(s2, (9, 3), mode="bicubic", align_corners=True)
F.interpolate(s3, 4, mode="trilinear")
F.interpolate(s2, (4, 4), mode="area")
F.interpolate(s2, scale_factor=1.7)
F.interpolate(s1, 5)
F.interpolate(s2, (4, 8), mode="nearest-exact")
F.pixel_shuffle(s2, 2)
F.pixel_unshuffle(s2[:, :, :, :4], 2)
F.unfold(s2, (3, 2), dilation=1, padding=1, stride=(2, 1))
F.unfold(s2[0], 2)
F.fold(cols, (3, 3), 2)
F.fold(cols, (5, 3), 2, padding=(1, 0), stride=(2, 1), dilation=(3, 1))
F.max_unpool2d(s2[:1, :1, :2, :2], found, 2, 2, output_size=(5, 5))
F.pad(s1, (1, 2), mode="reflect")
""".strip().splitlines()

KINKED = """
F.relu(x)
F.relu6(x * 5)
F.leaky_relu(x)
F.leaky_relu(x, 0.3)
F.prelu(x, row)
F.prelu(x, row[:1])
F.prelu(s1, c4)
F.rrelu(x, 0.1, 0.3)
F.threshold(x, 0.1, 20.0)
F.hardtanh(x, -0.5, 0.6)
F.hardsigmoid(x * 3)
F.hardswish(x * 3)
F.hardshrink(x, 0.4)
F.softshrink(x, 0.4)
F.max_pool1d(s1, 2)
F.max_pool1d(s1[0], 3, 2, 1, ceil_mode=True)
F.max_pool2d(s2, 2)
F.max_pool2d(s2, (3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True)
F.max_pool2d(s2, 3, 2, 1)
F.max_pool2d(s2[0], 2, 1)
F.max_pool3d(s3, 2, 1)
F.adaptive_max_pool1d(s1, 3)
F.adaptive_max_pool2d(s2, (4, 2))
F.adaptive_max_pool3d(s3, 2)
F.lp_pool1d(s1, float("inf"), 2)
F.l1_loss(x, y)
F.l1_loss(x, y, weight=p)
F.smooth_l1_loss(x, y, beta=0.0)
F.hinge_embedding_loss(x, sign)
F.margin_ranking_loss(x, y, sign, margin=0.3)
F.multi_margin_loss(logits, i)
F.multi_margin_loss(logits, i, p=2, weight=cw)
F.multi_margin_loss(logits[0], one, margin=0.5)
F.multilabel_margin_loss(logits, labels)
F.multilabel_margin_loss(logits[0], labels[0])
F.embedding_bag(words, table, mode="sum", per_sample_weights=bag)
F.embedding_bag(words, table, mode="max")
F.embedding_bag(words, table, mode="max", padding_idx=2)
F.channel_shuffle(s2, 2)
F.pdist(w)
F.one_hot(classes)
F.one_hot(classes, 4)
""".strip().splitlines()

INDICES = """
F.max_pool2d(s2, (3, 2), (2, 1), (1, 0), (1, 2), return_indices=True)[1]
F.max_pool1d(s1, 3, 2, 1, ceil_mode=True, return_indices=True)[1]
F.max_pool3d(s3, 2, 1, return_indices=True)[1]
F.adaptive_max_pool2d(s2, (4, 2), return_indices=True)[1]
""".strip().splitlines()

# ---------------------------------------------------------------- running


def read_by(text: str) -> list[str]:
    """The float operands that a row reads."""
    return [name for name in FLOATS if name in WORD.findall(text)]


def function_of(text: str) -> Callable:
    """A row as a function of `F` and the operands it names."""
    names = [name for name in (*FLOATS, *PLAIN) if name in WORD.findall(text)]
    return eval(f"lambda F, {', '.join(names)}: {text}")


def plain_of(text: str, module: Any, dtype: str) -> dict[str, Any]:
    kinds = {"f": getattr(module, dtype), "i": module.int64, "b": module.bool}
    return {
        name: module.tensor(value, dtype=kinds[value.dtype.kind])
        for name, value in PLAIN.items()
        if name in WORD.findall(text)
    }


def evaluate(text: str, module: Any, floats: dict[str, Any], dtype: str = "float64") -> Any:
    return function_of(text)(module.nn.functional, **floats, **plain_of(text, module, dtype))


def leaves(text: str, module: Any, dtype: str) -> dict[str, Any]:
    kind = getattr(module, dtype)
    return {
        name: module.tensor(FLOATS[name], dtype=kind, requires_grad=True) for name in read_by(text)
    }


def weights_of(value: Any) -> np.ndarray:
    return np.cos(1.0 + np.arange(value.numel())).reshape(tuple(value.shape))


def gradients(total: Any, floats: dict[str, Any], module: Any, again: bool) -> list[Any]:
    """The gradients of `total`, zeros where it does not depend on an operand."""
    if not total.requires_grad:
        return [module.zeros_like(x) for x in floats.values()]
    found = module.autograd.grad(
        total, list(floats.values()), create_graph=again, allow_unused=True
    )
    return [
        module.zeros_like(x) if g is None else g
        for g, x in zip(found, floats.values(), strict=True)
    ]


def results(text: str, module: Any, order: int) -> list[np.ndarray]:
    """Value and gradients in float64."""
    floats = leaves(text, module, "float64")
    value = evaluate(text, module, floats)
    found = [value]
    if order:
        total = (value * module.tensor(weights_of(value))).sum()
        first = gradients(total, floats, module, order > 1)
        found += first
        if order > 1:
            found += gradients(sum((g * g).sum() for g in first), floats, module, False)
    return [t.detach().numpy() for t in found]


def check(text: str, order: int) -> None:
    wanted = results(text, torch, order)
    got = results(text, tj, order)
    for mine, theirs in zip(got, wanted, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9, strict=True)
    check_single_precision(text)
    if order:
        check_compiled(text, wanted)


def check_single_precision(text: str) -> None:
    found = [
        evaluate(text, m, leaves(text, m, "float32"), "float32").detach().numpy()
        for m in (tj, torch)
    ]
    np.testing.assert_allclose(*found, rtol=2e-4, atol=1e-5, strict=True)


def check_compiled(text: str, wanted: list[np.ndarray]) -> None:
    """Value and gradients of a recorded function of arrays, called twice: recorded, then known."""
    names = read_by(text)
    weights = weights_of(torch.tensor(wanted[0]))
    function, plain = function_of(text), plain_of(text, tj, "float64")

    def total(arrays):
        return (function(tj.nn.functional, **arrays, **plain) * weights).sum()

    arrays = {name: FLOATS[name] for name in names}
    run = tj.value_and_grad(total)
    for _ in range(2):
        value, slopes = run(arrays)
        np.testing.assert_allclose(value, np.sum(wanted[0] * weights), rtol=1e-9, atol=1e-9)
        for name, theirs in zip(names, wanted[1:], strict=False):
            np.testing.assert_allclose(slopes[name], theirs, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("text", SMOOTH)
def test_smooth(text):
    check(text, 2)


@pytest.mark.parametrize("text", KINKED)
def test_kinked(text):
    check(text, 0 if "one_hot" in text else 1)


@pytest.mark.parametrize("text", INDICES)
def test_indices(text):
    check(text, 0)
