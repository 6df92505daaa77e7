"""Shapes: every function of them against torch and NumPy, in value, slope, dtype and aliasing.

A torch row is an expression over `y` (2, 3, 4 of floats, computed) and its like; compared are its
value, what `backward` gives through it, and what an in-place change of the result does to `y`.
A NumPy row is an expression over `x`, compared with the same on arrays, eager and compiled.
"""

from __future__ import annotations

from typing import Any

import pytest
from oracle import Raised, differences, run, same_as_torch

import tapejit as tj

# ---------------------------------------------------------------- as in torch

TORCH = [
    "y.reshape(4, 6)", "y.reshape(-1, 2)", "torch.reshape(y, (24,))", "y.mT.reshape(2, 12)",
    "y.view(6, 4)", "y.view(torch.int32)", "y.double().view(torch.float32)", "y.view(torch.uint8)",
    "y.view_as(y.reshape(6, 4))", "y.mT.reshape_as(y)", "y.flatten()", "y.flatten(1)",
    "y.flatten(0, 1)", "torch.flatten(s)", "y.unflatten(2, (2, -1))", "y.unflatten(0, (1, 2))",
    "y.ravel()", "y[:, :1].squeeze()", "y[:, :1].squeeze(1)", "y[:1, :1].squeeze((0, 1))",
    "y[:1, :1].squeeze((0, 2))", "y.unsqueeze(0)", "y.unsqueeze(-1)", "y.transpose(0, 2)",
    "y.swapaxes(0, 1)", "torch.swapdims(y, 1, 2)", "y.permute(2, 0, 1)", "y.movedim(0, 2)",
    "torch.moveaxis(y, (0, 1), (1, 0))", "y[0].t()", "y[0].T", "y.mT", "y[:1].expand(3, 3, 4)",
    "y[:1].expand(2, -1, -1, -1)", "y[:1].expand_as(y)", "torch.broadcast_to(y, (2, 2, 3, 4))",
    "torch.broadcast_tensors(y, y[0, :, :1])", "torch.broadcast_tensors(y[:, :1], y[0])",
    "y.repeat(1, 2, 1)", "y.repeat(2, 1, 1, 1)", "y.repeat(1, 1, 1)", "y.repeat(0, 1, 1)",
    "torch.tile(y, (2,))", "y.tile(1, 2, 1, 1)", "y.repeat_interleave(2)",
    "y.repeat_interleave(2, 1)", "torch.repeat_interleave(y, torch.tensor([1, 0, 2]), dim=1)",
    "torch.repeat_interleave(torch.tensor([1, 2]))", "y.repeat_interleave(torch.tensor(2), 0)",
    "torch.cat([y, y])", "torch.cat([y, z], 1)", "torch.concat((y, y), dim=-1)",
    "torch.concatenate([y, torch.zeros(0)], 0)", "torch.cat([y, i])", "torch.stack([y, y], 1)",
    "torch.hstack([y, z])", "torch.vstack([y[0, 0], z[0, 0, :]])", "torch.dstack([y[0], y[1]])",
    "torch.column_stack([y[0, 0], y[0].t()])", "torch.row_stack([y[0, 0], y[0]])",
    "torch.hstack([y[0, 0], y[0, 1]])", "torch.dstack([y[0, 0], y[0, 1]])",
    "y.split(2, 1)", "y.split([1, 3], 2)", "torch.split(y, 1)", "y.split_with_sizes((2, 1), 1)",
    "y.tensor_split(2, 1)", "torch.tensor_split(y, (1, 3), dim=2)", "y.tensor_split((2, 1), 2)",
    "y.tensor_split(torch.tensor([1, 2]), 2)", "y.chunk(2, 1)", "y.chunk(3, 2)", "y.hsplit(3)",
    "torch.hsplit(y, [1])", "y.vsplit(2)", "y.dsplit(2)", "y.dsplit([1, 2])", "y.unbind()",
    "torch.unbind(y, -1)", "y.flip(0)", "y.flip(0, 2)", "torch.flip(y, [1])", "y.fliplr()",
    "torch.flipud(y)", "y.roll(1)", "y.roll(5, 2)", "y.roll((1, -1), (0, 2))", "y.roll(0, 0)",
    "y.rot90()", "torch.rot90(y, 2, [0, 2])", "y.rot90(-1, (1, 2))", "y.rot90(4)",
    "y.narrow(1, 1, 2)", "y.narrow(2, -3, 2)", "torch.narrow_copy(y, 0, 0, 1)", "y.select(1, 2)",
    "y.select(-1, -2)", "y.diagonal()", "y.diagonal(1, 1, 2)", "y.diagonal(-1, 2, 0)",
    "y.diagonal(4, 1, 2)", "y.mT.diagonal(0, -2, -1)", "torch.diag(y[0])", "torch.diag(y[0, 0])",
    "y[0, 0].diag(1)", "torch.diag(y[0], -1)", "torch.diag_embed(y)", "y.diag_embed(1)",
    "y.diag_embed(-1, 0, 2)", "torch.diagflat(y[0])", "y[0, 0].diagflat(-2)",
    "y.diagonal_scatter(y[0].mT[:, :2] * 2, 0, 1, 0)", "y.select_scatter(y[:, 0] * 2, 1, 2)",
    "y.slice_scatter(y[:, :2] * 2, 1, 1)", "torch.slice_scatter(y, y[..., :2] * 3, 2, 0, 4, 2)",
    "y.tril()", "torch.tril(y, -1)", "y.triu(1)", "torch.triu(y)",
    "torch.tril_indices(3, 4, 1)", "torch.triu_indices(4, 3, -1)", "y.unfold(2, 2, 1)",
    "y.unfold(1, 2, 1).unfold(2, 3, 1)", "y.unfold(-1, 3, 2)", "y.mT.unfold(0, 2, 3)",
    "s.unfold(0, 1, 1)", "torch.as_strided(y, (2, 2), (1, 2))", "y.as_strided((3, 3), (1, 1), 4)",
    "torch.meshgrid(y[0, 0], y[0, :, 0], indexing='ij')", "torch.atleast_1d(s)",
    "torch.meshgrid(y[0, 0], y[0, :, 0], s, indexing='xy')", "torch.atleast_2d(y[0, 0])",
    "torch.atleast_3d(y[0, 0], y[0], y)", "torch.atleast_2d([s, y[0]])",
    "torch.block_diag(y[0], y[0, 0], s)", "torch.cartesian_prod(y[0, 0], y[0, :, 0])",
    "torch.combinations(y[0, 0])", "torch.combinations(y[0, 0], 3, True)",
    "torch.combinations(y[0, 0], with_replacement=True)", "y.adjoint()", "y[0].H", "y.mH",
    "torch.broadcast_shapes((2, 1), (3,))", "torch.nn.functional.pad(y, (1, 2))",
    "torch.nn.functional.pad(y, (1, 0, -1, 2), value=2.5)",
    "torch.nn.functional.pad(y, (-1, -1, 0, 0, 1, 1))",
    "torch.nn.functional.pad(y, (2, 1), mode='reflect')",
    "torch.nn.functional.pad(y, (0, 3), mode='replicate')",
    "torch.nn.functional.pad(y[None], (1, 2, 2, 1), mode='reflect')",
    "torch.nn.functional.pad(y, (4, 1), mode='circular')",
    "torch.nn.functional.pad(y[None, None], (1, 1, 2, 0, 1, 1), mode='replicate')",
    "torch.nn.functional.pad(y, (0, 0), mode='reflect')",
]  # fmt: skip


def execute(torch: Any, text: str, x) -> Any:
    """The result of a row, and the tensor `y` that it may be a view of."""
    names = {"torch": torch, "y": x * 1.0, "i": torch.arange(24).reshape(2, 3, 4)}
    names |= {"z": names["y"][:, :2] * 2.0, "s": names["y"][0, 0, 0]}
    return eval(text, names), names["y"]


def results_of(value) -> list:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def facts(torch, text) -> tuple:
    """Values and slopes; then what a change of the first result in place leaves."""
    x = (torch.arange(24.0).reshape(2, 3, 4) * 0.25 + 1.0).requires_grad_()
    value, _ = execute(torch, text, x)
    if not hasattr(results_of(value)[0], "grad_fn"):
        return (tuple(value),)
    found: list = [v.detach() for v in results_of(value)]
    floats = [v for v in results_of(value) if v.requires_grad]
    if floats:
        total = sum(((v * v * _weights(torch, v)).sum() for v in floats), 0.0)
        found.append(torch.autograd.grad(total, x)[0])
    found.append(_changed(torch, text, x))
    return tuple(found)


def _weights(torch, v):
    return torch.cos(torch.arange(v.numel()).to(v.dtype)).reshape(v.shape)


def _changed(torch, text, x) -> Any:
    """The first result doubled in place; `y` after it, and the slopes of both."""
    value, y = execute(torch, text, x)
    first = results_of(value)[0]
    try:
        first.mul_(2)
        total = (y * y * _weights(torch, y)).sum()
        if first.requires_grad:
            total = total + (first * _weights(torch, first)).sum()
        return y.detach(), first.detach(), torch.autograd.grad(total, x)[0]
    except RuntimeError as error:
        return Raised(error, words=0)


UNLIKE_TORCH = {
    # torch refuses to change what is one of several views; here it is a view like another
    "several views": ("split", "chunk", "unbind", "hsplit", "vsplit", "dsplit", "tensor_split"),
    # torch changes overlapping windows in an order that it leaves open; here that is an error
    "overlap": ("unfold(2", "unfold(1", "as_strided((3"),
    # torch gives the gradient of the program without the change, which is wrong; here it raises
    "bits": ("view(torch.",),
}


@pytest.mark.parametrize("text", TORCH)
def test_as_in_torch(text):
    torch = pytest.importorskip("torch")
    theirs, ours = run(torch, lambda m: facts(m, text)), run(tj, lambda m: facts(m, text))
    lenient = any(part in text for parts in UNLIKE_TORCH.values() for part in parts)
    found = differences(*(f[:-1] if lenient else f for f in (ours, theirs)))
    assert not found, "\n".join(found)


ERRORS = [
    "y.reshape(5, 5)", "y.mT.view(24)", "y.flatten(2, 0)", "y.unflatten(2, (3, -1))",
    "y.squeeze(5)", "y.unsqueeze(5)", "y.permute(0, 1)", "y.permute(0, 0, 1)", "y.transpose(0, 3)",
    "y.movedim((0, 0), (0, 1))", "y.t()", "y.expand(2, 3, 5)",
    "y.expand(3, 4)", "y.repeat(2, 2)", "torch.cat([y, y[0]])", "torch.cat([])",
    "torch.cat([y, y[:, :1]], 0)", "torch.stack([y, y[0]])", "torch.stack([])",
    "y.split([1, 1], 2)", "y.split(-1)", "y.chunk(0)", "y.tensor_split(0)", "y.hsplit(2)",
    "y[0, 0].vsplit(2)", "y[0].dsplit(2)", "y[0, 0].fliplr()", "y.flip(0, 0)", "y.flip(3)",
    "y.roll((1, 2), 0)", "y.rot90(1, (0, 0))", "y.rot90(1, (0,))", "y.narrow(0, 1, 2)",
    "y.narrow(0, 3, 0)", "y.narrow(0, 0, -1)", "y.select(0, 2)", "s.select(0, 0)",
    "y.diagonal(0, 1, 1)", "torch.diag(y)", "y.select_scatter(y, 0, 0)",
    "y.diagonal_scatter(y[0], 0, 0, 1)", "y.slice_scatter(y[0], 0)", "y.unfold(2, 5, 1)",
    "y.unfold(2, 2, 0)", "torch.as_strided(y, (9, 9), (9, 1))", "y.as_strided((2,), (1, 1))",
    "torch.meshgrid(y, indexing='ij')", "torch.meshgrid(y[0, 0], indexing='no')",
    "torch.block_diag(y)", "torch.cartesian_prod(y)", "torch.combinations(y)",
    "torch.combinations(y[0, 0], -1)", "y.repeat_interleave(torch.tensor([1, 2]), 1)",
    "y.repeat_interleave(-1)", "torch.tril(y[0, 0])", "y[0, 0].mT", "y[..., :3].view(torch.int64)",
    "torch.nn.functional.pad(y, (4, 0), mode='reflect')",
    "torch.nn.functional.pad(y, (5, 0), mode='circular')",
    "torch.nn.functional.pad(y, (1,))", "torch.nn.functional.pad(y, (1, 1), mode='none')",
    "torch.nn.functional.pad(y, (-3, -3))", "torch.nn.functional.pad(s, (1, 1))",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", ERRORS)
def test_errors_as_in_torch(text):
    """Torch's class of error."""

    def case(torch):
        try:
            execute(torch, text, torch.ones(2, 3, 4))
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError) as error:
            return Raised(error, words=0)
        return Raised(None, words=0)

    same_as_torch(case)
