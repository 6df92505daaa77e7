"""Functions and methods of tensors: value, dtype, shape, grad_fn name and gradients as in torch.

A row is an expression over the tensors of `operands`; its text is the test's name.  Every float
result that requires grad is weighted and summed, and the gradients of that sum are compared too;
`SMOOTH` rows are also differentiated twice, in float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from oracle import Cases, differences, is_tensor, raised, same_as_torch

import tapejit

VALUES = {
    "x": [[0.5, -1.25, 2.0], [1.5, 0.75, -0.4]],
    "y": [[-0.8, 1.1, 0.3], [2.2, -1.6, 0.9]],
    "p": [[0.2, 0.85, 0.5], [0.35, 0.6, 0.1]],
    "r": [0.7, -0.3, 1.2],
    "c": [[1.4], [-0.6]],
    "s": 1.3,
    "m": [[0.1, -0.7, 0.4, 1.0], [1.2, 0.3, -0.5, 0.8], [-0.9, 0.6, 0.2, -1.1]],
    "sq": [[2.0, 0.3, -0.1], [0.4, 1.5, 0.2], [-0.2, 0.1, 1.8]],
    "t": (np.cos(np.arange(24.0)).reshape(2, 3, 4) + 0.05).tolist(),
    "u": (np.sin(np.arange(24.0)).reshape(2, 4, 3) - 0.02).tolist(),
}
PLAIN = {
    "i": [[3, -2, 7], [0, 5, -4]],
    "j": [2, 0, 1],
    "k": [[0, 2, 1], [1, 1, 0]],
    "b": [[True, False, True], [False, False, True]],
    "a": [True, False, True],
}


def operands(torch: Any, dtype: str) -> dict[str, Any]:
    """Fresh leaves: floats that require grad, and integer and bool tensors that do not."""
    kind = getattr(torch, dtype)
    floats = {
        name: torch.tensor(values, dtype=kind, requires_grad=True)
        for name, values in VALUES.items()
    }
    return floats | {name: torch.tensor(values) for name, values in PLAIN.items()}


def flat(value: Any) -> list[Any]:
    """Tensors in a nested result, in order."""
    if is_tensor(value):
        return [value]
    return [t for part in value for t in flat(part)] if isinstance(value, (tuple, list)) else []


def weighted_sum(torch: Any, results: list[Any]) -> Any:
    """One scalar that depends on every element differently; None when nothing requires grad."""
    total = None
    for result in results:
        if not result.requires_grad:
            continue
        weights = np.cos(1.0 + np.arange(math.prod(result.shape))).reshape(tuple(result.shape))
        term = (result * torch.tensor(weights, dtype=result.dtype)).sum()
        total = term if total is None else total + term
    return total


def named(leaves: dict[str, Any], gradients: Any) -> dict[str, Any]:
    return dict(zip(leaves, gradients, strict=True))


def value_and_gradients(torch: Any, row: str, dtype: str, twice: bool) -> tuple[Any, ...]:
    names = operands(torch, dtype)
    result = eval(row, {"torch": torch, "np": np}, names)
    leaves = {name: names[name] for name in VALUES}
    total = weighted_sum(torch, flat(result))
    if total is None:
        return (result,)
    first = torch.autograd.grad(total, [*leaves.values()], create_graph=twice, allow_unused=True)
    answers = (result, named(leaves, [g if g is None else g.detach() for g in first]))
    if not twice:
        return answers
    again = weighted_sum(torch, [g * g for g in first if g is not None])
    if again is None:
        return answers
    second = torch.autograd.grad(again, [*leaves.values()], allow_unused=True)
    return (*answers, named(leaves, second))


def both_ways(names: str, operand: str) -> list[str]:
    """``torch.f(x)`` and ``x.f()`` for each name."""
    return [
        row for name in names.split()
        for row in (f"torch.{name}({operand})", f"{operand}.{name}()")
    ]  # fmt: skip


# ---- rows that are differentiated twice ----------------------------------------------------------


SMOOTH = [
    *both_ways("neg exp expm1 sin cos tanh atan sinh cosh sigmoid erf", "x"),
    *both_ways("log log1p sqrt rsqrt reciprocal tan asin acos square", "p"),
    *both_ways("relu abs sum mean prod exp", "x"), "-x", "abs(x)", "x + y", "x - y", "x * y",
    "x / y", "x ** 2", "x ** 3", "x ** -1", "p ** 0.5", "p ** y", "2.0 ** x", "p ** s", "1 - x",
    "2 / x", "3 + x", "2 * x", "x / 2", "x - 1", "x + 1", "x + r", "c * x", "c + r", "x / s",
    "s * x", "s * s", "x * x", "x + x", "r * c", "x ** 0", "x ** 1", "torch.add(x, y)",
    "torch.sub(x, y)", "torch.mul(x, y)", "torch.div(x, y)", "torch.pow(p, y)",
    "torch.add(x, y, alpha=2)", "torch.sub(x, y, alpha=0.5)", "x.add(y, alpha=3)", "x.sub(1)",
    "x.add(1.5)", "x.mul(2)", "x.div(4)", "x.pow(2)", "x.pow(y.detach().abs() * 0 + 2)",
    "torch.pow(2, x)", "torch.mul(x, 3)", "torch.sub(x, 1)", "torch.atan2(x, y)", "x.atan2(y)",
    "torch.logaddexp(x, y)", "x.logaddexp(r)", "torch.nn.functional.softplus(x)",
    "torch.nn.functional.relu(x)", "torch.maximum(x, y)", "torch.minimum(x, r)", "x.maximum(y)",
    "x.minimum(y)", "torch.max(x, y)", "torch.min(x, y)", "torch.clamp(x, -1, 1)",
    "x.clamp(min=0.0)", "x.clamp(max=1)", "torch.clamp(x, 0.0)", "torch.where(x > 0, x, y)",
    "torch.where(b, x, r)", "torch.where(b, x, 0.0)", "torch.where(b, 2.0, y)", "x.where(b, y)",
    "torch.where(b, s, x)",
    # reductions
    "x.sum()", "x.sum(0)", "x.sum(1, keepdim=True)", "x.sum(dim=-1)", "t.sum((0, 2))",
    "torch.sum(x)", "torch.sum(x, dim=0)", "t.sum(dim=(0, 1), keepdim=True)", "s.sum()",
    "s.mean()", "x.mean()", "x.mean(0)", "torch.mean(x, 1)", "t.mean((1, 2))",
    "x.mean(dim=1, keepdim=True)", "x.prod()", "x.prod(0)", "x.prod(1, keepdim=True)",
    "torch.prod(x, 1)", "x.var()", "x.var(0)", "torch.var(x, 1)", "x.var(dim=1, unbiased=False)",
    "x.var(dim=1, correction=0)", "x.var(unbiased=False)", "x.var(dim=1, keepdim=True)", "x.std()",
    "x.std(1)", "torch.std(x)", "x.std(dim=1, unbiased=False)", "x.max()", "x.min()",
    "torch.max(x)", "torch.min(x)", "x.max(1)", "x.min(dim=0)", "torch.max(x, 0)",
    "torch.min(x, dim=1, keepdim=True)", "x.max(1).values", "x.max(dim=1)[0]", "x.amax()",
    "x.amax(1)", "x.amin(0, keepdim=True)", "torch.amax(x, (0, 1))", "torch.amin(x, 0)",
    "torch.logsumexp(x, 0)", "x.logsumexp(1, keepdim=True)", "torch.logsumexp(t, (0, 2))",
    "x.norm()", "torch.norm(x)", "x.norm(dim=1)", "x.norm(p=1)", "x.norm(p=1, dim=0)",
    "x.norm(2, 1, True)", "x.norm(p=3, dim=1)", "torch.norm(x, dim=0, keepdim=True)",
    "x.cumsum(0)", "torch.cumsum(x, dim=1)", "r.cumsum(-1)", "x.softmax(1)",
    "torch.softmax(x, dim=0)", "torch.nn.functional.softmax(x, dim=-1)", "x.log_softmax(1)",
    "torch.log_softmax(x, dim=0)", "torch.nn.functional.log_softmax(x, dim=1)",
    # movement
    "x.reshape(3, 2)", "x.reshape(-1)", "torch.reshape(x, (6,))", "x.reshape((2, -1))",
    "x.view(6)", "x.view(3, -1)", "x.flatten()", "torch.flatten(t, 1)", "t.flatten(0, 1)",
    "x.reshape(x.shape)", "c.squeeze()", "c.squeeze(1)", "c.squeeze(0)", "torch.squeeze(c)",
    "r.unsqueeze(0)", "x.unsqueeze(-1)", "torch.unsqueeze(x, 1)", "x.transpose(0, 1)",
    "torch.transpose(t, 0, 2)", "x.t()", "x.T", "t.mT", "torch.t(x)", "t.permute(2, 0, 1)",
    "torch.permute(t, (1, 2, 0))", "t.permute(-1, 0, 1)", "r.expand(2, 3)", "c.expand(2, 3)",
    "c.expand(-1, 4)", "s.expand(3)", "r.expand(4, 2, -1)", "x.expand_as(x)", "x.flip(0)",
    "torch.flip(x, (0, 1))", "x.flip(-1)", "t.flip([1, 2])", "x.contiguous()", "x.clone()",
    "torch.cat([x, y])", "torch.cat((x, c), dim=1)", "torch.cat([x, y, x], 1)",
    "torch.stack([x, y])", "torch.stack((r, r), dim=1)", "torch.stack([s, s * 2])",
    "torch.stack([x, y], -1)", "torch.split(m, 2, dim=1)", "m.split(3, 1)",
    "m.split([1, 3], dim=1)", "torch.chunk(m, 2, dim=1)", "m.chunk(3)", "m.chunk(3, -1)",
    "x.unbind(0)", "torch.unbind(x, 1)", "[*x]", "x.view_as(y)",
    "x.reshape(6).view(3, 2).t().reshape(-1)", "x.broadcast_to((4, 2, 3))", "x.repeat(2, 1)",
    "x.tril()", "torch.triu(sq)", "torch.diagonal(sq)", "torch.diag(r)", "torch.diag(sq)",
    "sq.trace()",
    # contraction
    "x @ m", "torch.matmul(x, m)", "x.matmul(m)", "x.mm(m)", "torch.mm(x, m)", "x.mv(r)",
    "torch.mv(x, r)", "r.dot(r)", "torch.dot(r, r)", "torch.outer(r, r)", "r.outer(r)",
    "torch.bmm(t, u)", "t.bmm(u)", "x @ r", "r @ m", "r @ r", "t @ u", "t @ m.T", "m @ u",
    "t @ m[0]", "r @ t", "torch.matmul(x.T, x)", "sq @ sq @ r", "torch.matmul(t[0], u)",
    "x @ m + m[0]",
    # indexing
    "x[0]", "x[-1]", "x[1, 2]", "x[:, 1]", "x[:, 1:]", "x[..., 0]", "x[None]", "x[:, None]",
    "x[0:2, ::2]", "x[()]", "x[...]", "s[()]", "s[None]", "x[b]", "x[:, a]", "x[j[1:]]",
    "x[[1, 0, 1]]", "x[:, j]", "x[:, [0, 0]]", "x[[0, 1], [2, 0]]",
    "x[torch.tensor([[0, 1], [1, 1]])]", "t[:, j, 1]", "t[0, :, [1, 2]]", "t[:, [1, 2], :]",
    "t[[0, 1], :, [1, 2]]", "t[..., None, 0]", "t[1, ..., 2]", "x[x > 0]", "x[j[1], j[0]]",
    "x[np.array([1, 0])]", "x[-2:, -1]", "x[5:]", "x[torch.tensor(1)]", "x[:, -3:-1]", "x[True]",
    "x[a[:2]]", "t[b]", "x[1][2]", "x.select(1, 0)", "x.narrow(1, 0, 2)", "x.gather(1, k)",
    "torch.gather(x, 1, k[:, :1])", "x.gather(0, k[:1] * 0)", "torch.take(x, j)", "x.take(k)",
    "x.index_select(1, j)", "torch.index_select(x, 0, j[1:])", "x.masked_fill(b, 2.0)",
    "x.masked_fill(a, -1)", "torch.masked_fill(x, b, 0)", "x.masked_select(b)", "x.sort()",
    "x.sort(dim=0)", "torch.sort(x, descending=True)", "x.sort(1).values", "m.topk(2)",
    "torch.topk(x, 1, dim=0)", "m.topk(2, largest=False)",
    # composites
    "(x * y).sin().sum()", "torch.exp(-x ** 2).mean()", "torch.sigmoid(x @ m).log().sum()",
    "((x - x.mean(0)) / (x.std(0) + 1)).sum()", "torch.log(1 + torch.exp(x))",
    "x.tanh() * x.tanh()", "torch.nn.functional.mse_loss(x, y)",
    "torch.sin(x)[0] * torch.cos(y)[1]", "(x > 0) * x", "x * b", "x * i", "x + True",
    "b * 2.0 * x", "(x * 2).sum() * s", "x.sum() / 6", "x.float() * 2", "x.double()",
    "x.to(torch.float64) * 3", "x.to(torch.float32)", "x.type(torch.float64)",
]  # fmt: skip

# ---- rows with no or zero slope ------------------------------------------------------------------

FLAT = [
    *both_ways("sign floor ceil round trunc isnan isinf isfinite argmax argmin", "x"),
    *both_ways("abs neg sign sum prod max min argmax cumsum mean", "i")[:-4], "i.cumsum(0)",
    "b.cumsum(0)", "i.sum(0)", "b.sum()", "b.sum(1)", "b.prod()", "i.amax(1)", "torch.exp(i)",
    "torch.sin(i)", "b.float().exp()", "torch.sqrt(i.abs())", "torch.sigmoid(b)", "torch.relu(i)",
    "i.floor()", "i.clamp(0, 3)", "i.clamp(min=0)", "torch.square(i)", "x > y", "x >= y", "x < 0",
    "x <= r", "x == y", "x != y", "x == x", "i > 0", "i == 3", "b == True", "torch.gt(x, y)",
    "torch.ge(x, 0)", "torch.lt(x, y)", "torch.le(x, y)", "torch.eq(x, y)", "torch.ne(x, y)",
    "x.gt(0)", "x.ge(y)", "x.lt(y)", "x.le(0)", "x.eq(0.5)", "x.ne(0.5)", "torch.equal(x, x)",
    "x.equal(y)", "torch.logical_and(b, a)", "torch.logical_or(b, a)", "torch.logical_not(b)",
    "torch.logical_xor(b, a)", "b.logical_and(i)", "x.logical_not()", "b & a", "b | a", "b ^ a",
    "~b", "i & 3", "i | 1", "~i", "i ^ i", "b.any()", "b.all()", "b.any(0)", "b.all(1)",
    "torch.any(b)", "torch.all(b, dim=0)", "x.any()", "i.all(1, keepdim=True)",
    "torch.isnan(x / 0 * 0)", "torch.isinf(x / 0)", "torch.allclose(x, x)", "torch.allclose(x, y)",
    "torch.isclose(x, y)", "x.argmax(1)", "x.argmin(dim=0, keepdim=True)", "torch.argmax(x, 1)",
    "x.argsort()", "torch.argsort(x, dim=0)", "x.argsort(descending=True)", "i.sort()",
    "i.topk(2)", "i.max(1)", "i.min()", "x.max(1).indices", "x.sort(0)[1]",
    "x.detach() // y.detach()", "x % y", "x.detach() // 2", "-x % 2", "i // 2", "i % 3", "i // -3",
    "i % -3", "torch.floor_divide(i, 2)", "x.remainder(2)", "torch.fmod(x, 2)", "i / 2",
    "i / i.abs().clamp(min=1)", "i * 2.5", "i + 1", "i ** 2", "2 ** j", "i * b", "i + b", "-i",
    "x.round(decimals=1)", "x.int()", "x.long()", "x.bool()", "i.float()", "i.double()", "b.int()",
    "b.float()", "x.to(torch.int64)", "i.to(torch.float64)", "x.numel()", "x.dim()", "x.ndim",
    "x.size()", "x.size(1)", "x.shape", "x.nelement()", "len(x)", "x.dtype", "i.dtype", "b.dtype",
    "x.is_contiguous()", "x.is_floating_point()", "torch.is_tensor(x)", "torch.numel(x)",
    "i.is_floating_point()", "s.item()", "x.tolist()", "i.tolist()", "b.tolist()", "s.tolist()",
    "i[0, 0].item()", "b[0, 0].item()", "float(s)", "int(s)", "bool(s)", "x.detach().numpy()",
    "i.numpy()", "b.numpy()", "np.asarray(i)", "s.detach().numpy()", "x.numpy(force=True)",
    "[10, 20, 30][j[0]]", "range(5)[j[1]]", "3 in i", "9 in i", "bool(x[0, 0] > 0)", "x.is_leaf",
    "(x * 2).is_leaf", "i.is_leaf", "j[0].__index__()", "round(s.item(), 3)", "s.item() + 1",
    "x.storage_offset()", "x[1].storage_offset()", "x.stride()", "x.t().stride()", "b.nonzero()",
    "torch.nonzero(j)", "torch.count_nonzero(i)", "torch.unique(i)", "torch.bincount(j)",
    "x.element_size()", "torch.searchsorted(torch.tensor([0.0, 1.0, 2.0]), p.detach())",
    "torch.tensor([1.5]).is_cuda", "str(x.device)", "torch.device('cpu').type",
    "torch.result_type(i, 1.0)", "torch.promote_types(torch.int64, torch.float32)",
    "torch.can_cast(torch.float32, torch.int64)", "torch.finfo(torch.float32).eps",
    "torch.iinfo(torch.int32).max",
    # creation
    "torch.zeros(2, 3)", "torch.zeros((2, 3))", "torch.zeros([2])", "torch.zeros(())",
    "torch.zeros(0)", "torch.ones(2)", "torch.ones(2, dtype=torch.int64)",
    "torch.ones(2, 2, requires_grad=True)", "torch.full((2, 2), 3.5)", "torch.full((2,), 7)",
    "torch.full((2,), True)", "torch.full((), 1.0)", "torch.arange(5)", "torch.arange(1, 4)",
    "torch.arange(1, 2, 0.25)", "torch.arange(5.0)", "torch.arange(5, 0, -2)",
    "torch.arange(3, dtype=torch.float64)", "torch.arange(2.5)", "torch.linspace(0, 1, 5)",
    "torch.linspace(-1, 1, steps=4)", "torch.linspace(1, 2, 1)",
    "torch.linspace(0, 1, 3, dtype=torch.float64)", "torch.eye(3)", "torch.eye(2, 3)",
    "torch.eye(2, dtype=torch.int64)", "torch.zeros_like(x)", "torch.ones_like(i)",
    "torch.full_like(x, 2)", "torch.zeros_like(b)", "torch.ones_like(x, dtype=torch.float64)",
    "torch.zeros_like(x, requires_grad=True)", "torch.empty(2, 3).shape",
    "torch.empty_like(x).dtype", "torch.scalar_tensor(2.5)", "torch.zeros(2, dtype=torch.bool)",
    "torch.zeros(2).requires_grad", "x.new_zeros(2)", "x.new_ones((2, 2))", "x.new_tensor([1, 2])",
    "x.new_full((2,), 3.0)", "i.new_zeros(2)", "torch.rand(3).shape", "torch.randn(2, 3).shape",
    "torch.rand(2).dtype", "torch.randn(()).shape", "torch.randint(0, 5, (3,)).dtype",
    "torch.randn(2, dtype=torch.float64).dtype", "torch.rand_like(x).shape",
    "torch.randn_like(x).requires_grad", "torch.randperm(5).sort().values",
    "bool((torch.rand(100) < 1).all() and (torch.rand(100) >= 0).all())",
    "torch.randn(2, requires_grad=True).is_leaf",
    "torch.equal(*[torch.rand(4) for _ in range(2) if torch.manual_seed(1)])",
    "bool(torch.randn(1000).std() > 0.9)", "torch.normal(0.0, 1.0, (2, 2)).shape",
]  # fmt: skip
SMOOTH = [*dict.fromkeys(SMOOTH)]
FLAT = [row for row in dict.fromkeys(FLAT) if row not in SMOOTH]


@pytest.mark.parametrize("row", SMOOTH + FLAT)
def test_value_and_gradient(row):
    same_as_torch(lambda torch: value_and_gradients(torch, row, "float32", twice=False), loosen=3.0)


@pytest.mark.parametrize("row", SMOOTH)
def test_second_order(row):
    same_as_torch(lambda torch: value_and_gradients(torch, row, "float64", twice=True), loosen=10.0)


# ---- special points ----------------------------------------------------------------------------


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    30.0,
    -30.0,
    200.0,
    -200.0,
    math.inf,
    -math.inf,
    math.nan,
]
UNARY = [
    "neg",
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "sin",
    "cos",
    "tan",
    "tanh",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "sigmoid",
    "relu",
    "abs",
    "sign",
    "floor",
    "ceil",
    "round",
    "trunc",
    "erf",
    "isnan",
    "isinf",
    "isfinite",
    "softplus",
    "square",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "atan2",
    "logaddexp",
    "maximum",
    "minimum",
    "remainder",
    "fmod",
    "eq",
    "lt",
]


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_points(name, dtype):
    def case(torch):
        x = torch.tensor(SPECIAL, dtype=getattr(torch, dtype), requires_grad=True)
        y = torch.nn.functional.softplus(x) if name == "softplus" else getattr(torch, name)(x)
        if not y.requires_grad:
            return y
        y.backward(torch.ones_like(y))
        return y, x.grad

    same_as_torch(case, loosen=5.0)


@pytest.mark.parametrize("name", BINARY)
def test_special_pairs(name):
    def case(torch):
        points = [0.0, -0.0, 1.0, -1.0, 2.5, -2.0, math.inf, -math.inf, math.nan]
        u = torch.tensor(points, requires_grad=True)
        v = torch.tensor(points, requires_grad=True)
        y = getattr(torch, name)(u[:, None], v[None, :])
        if not y.requires_grad:
            return y
        (y * torch.ones_like(y)).sum(0).sum().backward()
        gradients = (u.grad, v.grad) if name not in ("pow", "logaddexp") else ()
        return y, gradients

    same_as_torch(case, loosen=5.0)


KINKS = [
    "x.relu()", "x.abs()", "x.clamp(0, 1)", "x.clamp(min=0)", "torch.maximum(x, x.detach())",
    "torch.minimum(x, 0 * x)", "torch.maximum(x, torch.zeros_like(x))", "x.max()", "x.amax()",
    "x.min()", "x.max(0).values", "x.amin(0)", "x.sort().values", "x.norm()", "x[:2].norm()",
    "x[:2].prod()", "x.prod()", "x.sign()", "torch.where(x > 0, x.abs(), x)", "x.pow(0)",
    "x.pow(2)", "x[:2].norm(dim=0)", "x[:2].std()", "x[:1].var(unbiased=False)", "x.norm(p=1)",
    "torch.max(x, x * 1)", "x.topk(2).values",
]  # fmt: skip


@pytest.mark.parametrize("row", KINKS)
def test_kinks_and_ties(row):
    def case(torch):
        x = torch.tensor([0.0, 0.0, 1.0, -2.0, 1.0, -2.0], requires_grad=True)
        y = eval(row, {"torch": torch, "x": x})
        y.sum().backward()
        return y, x.grad

    same_as_torch(case)


def test_where_skips_the_branch_that_is_not_taken():
    """Where PyTorch has NaN: 0 times the infinite slope of the other branch."""
    x = tapejit.tensor([0.0, 1.0, -2.0], requires_grad=True)
    tapejit.where(x > 0, x.sqrt(), x).sum().backward()
    assert x.grad.tolist() == [1.0, 0.5, 1.0]


def test_numbers_stand_for_tensors():
    """Functions take numbers and arrays where PyTorch takes tensors only."""
    x = tapejit.tensor([0.5, 2.0])
    assert tapejit.maximum(x, 1.0).tolist() == [1.0, 2.0]
    assert tapejit.sin(1.0) == math.sin(1.0)
    assert isinstance(tapejit.sin(np.ones(2)), np.ndarray)


EMPTY = [
    "e.sum()", "e.sum(0)", "e.sum(1)", "e.prod()", "e * 2", "e + e", "e.mean()", "e.mean(0)",
    "e.T", "e.reshape(3, 0)", "e @ torch.ones(3, 2)", "torch.ones(2, 0) @ e",
    "torch.cat([e, torch.ones(1, 3)])", "e.exp()", "e.cumsum(0)", "e[:, 1]", "e.any()", "e.all()",
    "e.tolist()", "e.flatten()", "torch.stack([e, e])", "e.softmax(1)", "e.norm()", "e.sort(0)[0]",
    "e.logsumexp(0)", "e.amax(1)", "e.numpy()", "repr(e)", "len(e)",
]  # fmt: skip


@pytest.mark.parametrize("row", EMPTY)
def test_empty(row):
    same_as_torch(lambda torch: eval(row, {"torch": torch, "e": torch.zeros(0, 3)}))


# ---- errors ------------------------------------------------------------------------------------


ERRORS = [
    "x + torch.ones(4)", "x @ x", "x @ torch.ones(2)", "torch.mm(x, x)", "torch.dot(r, r[:2])",
    "torch.mv(x, x)", "x.reshape(4)", "x.reshape(-1, -1)", "x.view(5)", "x.t().view(6)",
    "x.sum(2)", "x.sum(-3)", "x.sum((0, 0))", "x.mean(5)", "x[2]", "x[0, 3]", "x[0, 0, 0]",
    "x[::-1]", "x[5]", "s[0]", "x[torch.tensor([0, 2])]", "x[torch.tensor([True, False, True])]",
    "x['a']", "x[1.0]", "torch.cat([x, r])", "torch.cat([])", "torch.stack([x, r])",
    "torch.stack([])", "x.transpose(0, 2)", "x.permute(0)", "x.permute(0, 0)", "x.expand(4, 3)",
    "x.expand(3)", "x.squeeze(2)", "x.unsqueeze(3)", "x.flip(2)", "x.split(0)",
    "x.split([1, 5], 1)", "x.gather(1, torch.tensor([[5]]))",
    "x.index_select(1, torch.tensor([9]))", "torch.take(x, torch.tensor([99]))", "i.mean()",
    "b.mean()", "i.var()", "i.softmax(0)", "b - b", "i - True", "-b", "~x", "x & 1",
    "torch.tensor([[1.0], [1.0, 2.0]])", "torch.tensor(['a'])", "torch.tensor(None)",
    "torch.tensor(object())", "x.item()", "bool(x)", "float(x)", "int(x)", "len(s)", "[*s]",
    "x.numpy()", "x.max(2)", "torch.zeros(0).max()", "torch.zeros(0).argmax()",
    "torch.zeros(0, 3).amax(0)", "torch.zeros(0).min()", "torch.zeros(-1)",
    "torch.arange(0, 5, -1)", "torch.arange(0, 1, 0)", "torch.linspace(0, 1, -1)",
    "torch.from_numpy([1.0])", "torch.from_numpy(np.array(['a']))",
    "torch.where(b, x, torch.ones(4))", "torch.clamp(x)", "x.masked_fill(torch.ones(4) > 0, 0)",
    "x.masked_fill(b, x)", "torch.topk(x, 4)", "x.chunk(0)", "torch.bmm(x, x)",
    "torch.outer(x, r)", "torch.matmul(s, s)", "s @ r", "x + 'a'", "x + None", "x + [1, 2, 3]",
    "torch.sin('a')", "torch.sin(None)", "x < 'a'", "x.foo", "torch.maximum(x, 'a')",
    "torch.add(x)", "i.requires_grad_()", "torch.tensor([1, 2], requires_grad=True)",
    "torch.zeros(2, dtype=torch.int64, requires_grad=True)",
    "torch.zeros(2, dtype=torch.bool).requires_grad_()", "torch.tensor(1.0, dtype='float32')",
    "2 ** -i", "i ** -1", "range(5)[s]", "j.__index__()", "i // 0", "i % 0", "hash([x])",
    "x.to('nonsense')", "i.sqrt_()", "i.add_(1.5)", "i.div_(2)", "b.add_(i)",
    "torch.zeros(3).add_(torch.ones(2, 3))", "torch.eye(-1)", "torch.cumsum(x, 2)",
    "torch.logsumexp(x, 3)", "torch.nn.functional.softmax(x, 4)",
]  # fmt: skip


@pytest.mark.parametrize("row", dict.fromkeys(ERRORS))
def test_error_class(row):
    def case(torch):
        names = operands(torch, "float32")
        return raised(lambda: eval(row, {"torch": torch, "np": np} | names), words=0)

    same_as_torch(case)


WORDED = [
    ("x.item()", "a Tensor with 6 elements cannot be converted to Scalar"),
    ("bool(x)", "Boolean value of Tensor with more than one value is ambiguous"),
    ("x.numpy()", "Can't call numpy() on Tensor that requires grad"),
    ("i.requires_grad_()", "only Tensors of floating point"),
    ("len(s)", "len() of a 0-d tensor"),
    ("[*s]", "iteration over a 0-d tensor"),
    ("i.mean()", "mean(): could not infer output dtype"),
    ("x[::-1]", "step must be greater than zero"),
    ("x.reshape(4)", "shape '[4]' is invalid for input of size 6"),
    ("x + torch.ones(4)", "The size of tensor a (3) must match the size of tensor b (4)"),
    ("x[2]", "index 2 is out of bounds for dimension 0 with size 2"),
    ("x.sum(2)", "Dimension out of range (expected to be in range of [-2, 1], but got 2)"),
    ("x.t().view(6)", "view size is not compatible with input tensor's size and stride"),
]


@pytest.mark.parametrize(("row", "words"), WORDED)
@pytest.mark.parametrize("module", ["tapejit", "torch"])
def test_error_words(row, words, module):
    torch = tapejit if module == "tapejit" else pytest.importorskip("torch")
    found = raised(lambda: eval(row, {"torch": torch} | operands(torch, "float32")))
    assert str(found.error).startswith(words)


# ---- type promotion ----------------------------------------------------------------------------


def promotion_operands(torch: Any) -> dict[str, Any]:
    python = {"int": 2, "float": 1.5, "bool": True, "negative": -3, "big": 2**40}
    scalars = {f"0d_{d}": torch.tensor(1, dtype=getattr(torch, d)) for d in PROMOTED}
    vectors = {f"1d_{d}": torch.tensor([1, 1], dtype=getattr(torch, d)) for d in PROMOTED}
    return python | scalars | vectors


PROMOTED = ["bool", "uint8", "int32", "int64", "float32", "float64"]
OPERATORS = {
    "add": lambda torch, u, v: u + v,
    "sub": lambda torch, u, v: u - v,
    "mul": lambda torch, u, v: u * v,
    "div": lambda torch, u, v: u / v,
    "floordiv": lambda torch, u, v: u // v,
    "mod": lambda torch, u, v: u % v,
    "pow": lambda torch, u, v: abs(u) ** abs(v),
    "lt": lambda torch, u, v: u < v,
    "eq": lambda torch, u, v: u == v,
    "maximum": lambda torch, u, v: torch.maximum(u, v),
    "atan2": lambda torch, u, v: torch.atan2(u, v),
    "where": lambda torch, u, v: torch.where(torch.tensor([True, False]), u, v),
    "clamp": lambda torch, u, v: torch.clamp(u, min=v),
    "cat": lambda torch, u, v: torch.cat([u, v]),
    "stack": lambda torch, u, v: torch.stack([u, v]),
    "result_type": lambda torch, u, v: torch.result_type(u, v),
    "add_": lambda torch, u, v: u.add_(v),
    "div_": lambda torch, u, v: u.div_(v),
    "copy_": lambda torch, u, v: u.copy_(v),
    "torch.add": lambda torch, u, v: torch.add(u, v),
    "torch.mul": lambda torch, u, v: torch.mul(u, v),
    "setitem": lambda torch, u, v: u.__setitem__(0, v) or u,
}
TENSORS_ONLY = {"maximum", "atan2", "cat", "stack"}
TENSOR_ON_LEFT = {"add_", "div_", "copy_", "setitem", "clamp"}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("default", ["float32", "float64"])
def test_promotion(operator, default):
    """dtype and shape, or the error's class, for every pair of operands with a tensor in it."""

    def tensors_enough(left, right):
        if operator in TENSORS_ONLY:
            return left and right
        return left or (right and operator not in TENSOR_ON_LEFT)

    def outcome(torch, left, right):
        u, v = promotion_operands(torch)[left], promotion_operands(torch)[right]
        try:
            result = OPERATORS[operator](torch, u, v)
        except (RuntimeError, TypeError, IndexError) as error:
            kinds = (RuntimeError, TypeError, IndexError)
            return next(kind.__name__ for kind in kinds if isinstance(error, kind))
        if is_tensor(result):
            return result.dtype, tuple(result.shape)
        return result

    def case(torch):
        torch.set_default_dtype(getattr(torch, default))
        names = [*promotion_operands(torch)]
        return {
            f"{left} {right}": outcome(torch, left, right)
            for left in names
            for right in names
            if tensors_enough("_" in left, "_" in right)
        }

    same_as_torch(case)


LITERAL_DTYPES = [
    ("torch.tensor(1)", "int64"), ("torch.tensor(1.0)", "float32"), ("torch.tensor(True)", "bool"),
    ("torch.tensor([1, 2.5])", "float32"), ("torch.tensor([True, 2])", "int64"),
    ("torch.tensor(np.float64(1))", "float64"), ("torch.tensor(np.ones(2))", "float64"),
    ("torch.tensor(np.ones(2, np.float32))", "float32"), ("torch.tensor([])", "float32"),
    ("torch.tensor([1]) / 2", "float32"), ("torch.tensor([1]) * 2.0", "float32"),
    ("torch.tensor([1]) + True", "int64"), ("torch.ones(1, dtype=torch.float64) * 2.0", "float64"),
    ("torch.ones(1) * torch.tensor(2.0, dtype=torch.float64)", "float32"),
    ("torch.ones(1) * torch.ones(1, dtype=torch.float64)", "float64"),
    ("torch.tensor([1]) * torch.tensor(1.5)", "float32"), ("torch.tensor([True]).sum()", "int64"),
    ("torch.tensor([1], dtype=torch.int32).sum()", "int64"), ("torch.tensor([1]) // 2", "int64"),
    ("torch.as_tensor(np.arange(2))", "int64"), ("torch.tensor([1.0]) > 0", "bool"),
    ("torch.tensor(np.int32(3))", "int32"), ("torch.tensor([np.float64(1.5)])", "float64"),
    ("torch.tensor(torch.tensor(2.0, dtype=torch.float64))", "float64"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "name"), LITERAL_DTYPES)
@pytest.mark.parametrize("module", ["tapejit", "torch"])
@pytest.mark.filterwarnings("ignore:To copy construct:UserWarning")
def test_literal_dtype(row, name, module):
    torch = tapejit if module == "tapejit" else pytest.importorskip("torch")
    assert eval(row, {"torch": torch, "np": np}).dtype == getattr(torch, name)


# ---- making tensors ----------------------------------------------------------------------------


MAKING = Cases()


@MAKING.add
def from_numpy_shares_memory(torch):
    array = np.arange(4.0)
    t = torch.from_numpy(array)
    array[0] = 10.0
    t[1] = 20.0
    t.add_(1)
    return t, array


@MAKING.add
def as_tensor_shares_and_tensor_copies(torch):
    array = np.arange(3.0)
    shared, copied = torch.as_tensor(array), torch.tensor(array)
    array[0] = 5.0
    converted = torch.as_tensor(array, dtype=torch.float32)
    array[1] = 7.0
    return shared, copied, converted


@MAKING.add
def as_tensor_of_a_tensor_is_itself(torch):
    t = torch.tensor([1.0], requires_grad=True)
    return torch.as_tensor(t) is t, torch.as_tensor(t, dtype=torch.float64), torch.as_tensor([1, 2])


@MAKING.add
def numpy_shares_memory(torch):
    t = torch.zeros(3)
    array = t.numpy()
    array[0] = 4.0
    t[2] = 5.0
    return t, array


@MAKING.add
def detached_numpy_shares_memory(torch):
    x = torch.ones(2, requires_grad=True)
    x.detach().numpy()[0] = 9.0
    return x


@MAKING.add
def from_numpy_of_a_view(torch):
    array = np.arange(6.0).reshape(2, 3)
    t = torch.from_numpy(array[:, 1:])
    t.mul_(10)
    return array, t.stride(), t.is_contiguous()


@MAKING.add
def from_numpy_0d_and_dtypes(torch):
    kinds = [np.float64, np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]
    return [torch.from_numpy(np.ones(2, kind)) for kind in kinds], torch.from_numpy(np.array(2.5))


@MAKING.add
def nested_lists(torch):
    return (
        torch.tensor([[1, 2], [3, 4]]),
        torch.tensor(((1.0,), (2.0,))),
        torch.tensor([[]]),
        torch.tensor([torch.tensor(1.0), torch.tensor(2.5)]),
        torch.tensor([np.float32(1.5), 2]),
        torch.tensor(range(3)),
        torch.tensor([True, False]),
        torch.tensor(1e-300),
        torch.tensor([float("nan"), float("inf")]),
    )


@MAKING.add
def default_dtype(torch):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    i = torch.tensor([1, 2])
    return (
        before,
        torch.get_default_dtype(),
        torch.tensor(1.5),
        torch.zeros(2),
        i / 2,
        i * 1.5,
        torch.arange(2.0),
        torch.linspace(0, 1, 3),
        torch.sin(i),
        torch.rand(2).dtype,
        torch.eye(2),
        torch.full((1,), 2.0),
        torch.tensor(np.ones(1, np.float32)),
        repr(torch.tensor(1.5)),
        repr(torch.ones(1, dtype=torch.float32)),
        raised(lambda: torch.set_default_dtype(torch.int64), words=0),
    )


@MAKING.add
def seeds_repeat(torch):
    torch.manual_seed(3)
    a = torch.randn(5)
    torch.manual_seed(3)
    b = torch.randn(5)
    return torch.equal(a, b), torch.equal(a, torch.randn(5)), torch.rand(4).shape


@MAKING.add
def printed_forms(torch):
    x = torch.tensor([1.0, 2.5], requires_grad=True)
    y = x * 2
    with torch.no_grad():
        z = x * 2
    return (
        [repr(v) for v in (x, y, z, x.sum(), y.detach(), x[0], x.data, x.double() * 1, -x)],
        [str(v) for v in (torch.arange(3), torch.zeros(2, 0), torch.tensor(True), x > 2)],
        [f"{x.sum()}", f"{x.sum():.3f}", f"{x.detach()}", f"{torch.tensor(3)}", f"{y}"],
        [x, y.shape, repr(y.shape), repr(x.size()), str(torch.float32), repr(torch.int64)][1:],
        repr(x.unbind(0)),
        repr([torch.tensor(1.0)]),
        repr(torch.arange(2000.0)),
        repr(torch.stack([x, x]).reshape(2, 1, 2)),
    )


@MAKING.add
def identity_and_containers(torch):
    x, y = torch.tensor(1.0), torch.tensor(1.0)
    table = {x: "x", y: "y"}
    return (
        table[x],
        table[y],
        len({x, y, x}),
        [x, y].index(x),
        x.shape == (),
        x.shape == torch.Size([]),
    )


@MAKING.add
def shapes_are_sizes(torch):
    x = torch.zeros(2, 3)
    return x.shape[0], x.shape[1:] == (3,), x.shape.numel(), tuple(x.size()), x.size(-1), [*x.shape]


@MAKING.add
def named_results(torch):
    x = torch.tensor([[3.0, 1.0], [0.5, 2.0]])
    values, indices = x.max(dim=1)
    ordered = torch.sort(x, dim=1)
    return values, indices, ordered.values, ordered.indices, x.min(0).indices, x.topk(1).values


@MAKING.add
def float_int_of_one_element(torch):
    t = torch.tensor([[2.5]])
    return float(t), int(t), bool(t), t.item(), torch.tensor([3]).__index__(), round(float(t))


@MAKING.add
def cuda_is_asked(torch):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.tensor(3.0, device=device)
    return type(torch.cuda.is_available()), str(torch.ones(1).device), x.cpu(), x.to("cpu")


@MAKING.add
def numpy_functions_on_detached(torch):
    x = torch.tensor([1.0, 2.0])
    return np.asarray(x), float(np.sum(np.asarray(x)))


@pytest.mark.parametrize("case", MAKING, ids=MAKING.names())
def test_making(case):
    same_as_torch(case)


def test_the_comparison_notices():
    """The oracle itself fails on a wrong value, dtype, type or name."""
    x = tapejit.ones(2, requires_grad=True)
    assert not differences(x * 2, x * 2)
    assert differences(x * 2, x * 2.001) and differences(x * 2, x + 1)
    assert differences(x.detach(), x) and differences(x.double(), x * 1) and differences(1, 1.0)
    assert differences(raised(lambda: 1 / 0), raised(lambda: [][0]))


def test_narrow_takes_whole_lengths_and_remembers_no_other():
    x = tapejit.arange(5)
    with pytest.raises(TypeError):
        tapejit.narrow(x, 0, 0, 2.0)
    assert tapejit.narrow(x, 0, 0, 2).tolist() == [0, 1]
    assert tapejit.narrow(x, 0, tapejit.tensor(1), tapejit.tensor(2)).tolist() == [1, 2]
