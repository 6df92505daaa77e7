"""Shapes: every function of them against torch and NumPy, in value, slope, dtype and aliasing.

A torch row is an expression over `y` (2, 3, 4 of floats, computed) and its like; compared are its
value, what `backward` gives through it, and what an in-place change of the result does to `y`.
A NumPy row is an expression over `x`, compared with the same on arrays, eager and compiled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
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


# ---------------------------------------------------------------- as in NumPy

NUMPY = [
    "np.append(x, x)", "np.append(x, x[:1], axis=0)", "np.append(x, 1.0)",
    "np.insert(x, 1, x[0, 0, 0])", "np.insert(x, [1, 3], 5.0, axis=2)",
    "np.insert(x, 0, x[:, 0], axis=1)", "np.insert(x[0], [0, 3], x[1, :2], axis=0)",
    "np.insert(x[0], slice(0, 2), x[1, :2], axis=0)", "np.insert(x[0, 0], -1, [7.0, 8.0])",
    "np.delete(x, 1, axis=1)", "np.delete(x, [0, -1], axis=2)",
    "np.delete(x, slice(None, None, 2))", "np.delete(x[0, 0], [])", "np.squeeze(x[:, :1])",
    "np.squeeze(x[:, :1], axis=1)", "np.swapaxes(x, 0, 2)", "np.rollaxis(x, 2)",
    "np.rollaxis(x, 0, 2)", "np.moveaxis(x, 0, -1)", "np.moveaxis(x, [0, 1], [-1, -2])",
    "np.transpose(x)", "np.transpose(x, (1, 0, 2))", "np.atleast_1d(x[0, 0, 0])",
    "np.atleast_2d(x[0, 0])", "np.atleast_3d(x[0])", "np.expand_dims(x, (0, 2))",
    "np.split(x, 2, axis=2)", "np.split(x, [1, 3], axis=-1)", "np.array_split(x, 3, axis=2)",
    "np.hsplit(x, 3)", "np.vsplit(x, 2)", "np.dsplit(x, [1])", "np.stack([x, x * 2], axis=1)",
    "np.concatenate([x, x], axis=None)", "np.hstack([x, x])", "np.concatenate((x, x[:1]))",
    "np.vstack([x[0, 0], x[0, 1]])", "np.dstack([x[0], x[1]])",
    "np.column_stack([x[0, 0], x[0, 1]])", "np.block([[x[0], x[1]], [x[1], x[0] * 2]])",
    "np.block([x[0, 0], 1.0])", "np.tile(x, 2)", "np.tile(x[0], (2, 1, 3))", "np.repeat(x, 2)",
    "np.repeat(x, 3, axis=1)", "np.repeat(x, [1, 0, 2], axis=1)", "np.roll(x, 2)",
    "np.roll(x, 1, axis=2)", "np.roll(x, (1, -1), axis=(0, 2))", "np.rot90(x)",
    "np.rot90(x, 3, axes=(1, 2))", "np.flip(x)", "np.flip(x, 1)", "np.flip(x, axis=(0, 2))",
    "np.fliplr(x)", "np.flipud(x)", "np.diag(x[0, 0], k=1)", "np.diag(x[0], k=-1)",
    "np.diagonal(x)", "np.diagonal(x, 1, 1, 2)", "np.diagonal(x, axis1=2, axis2=0)",
    "np.diagflat(x[0], k=1)", "np.tril(x)", "np.triu(x, k=1)", "np.meshgrid(x[0, 0], x[0, :, 0])",
    "np.meshgrid(x[0, 0], x[0, :, 0], indexing='ij', sparse=True)",
    "np.meshgrid(x[0, 0], x[0, :, 0], sparse=True)", "np.broadcast_arrays(x, x[0, :1])",
    "np.broadcast_to(x, (2, 2, 3, 4))", "np.resize(x, (5, 7))", "np.resize(x[0], (2, 2))",
    "np.select([x > 2.0, x > 1.0], [x, x * 2], 0.5)", "np.choose([0, 1, 1], [x[0].T, x[1].T])",
    "np.choose([[3], [-2]], [x[0, 0], x[0, 1]], mode='wrap')", "np.take(x, [1, -1], axis=2)",
    "np.take(x, [[0, 5]])", "np.take(x, [7, -7], axis=1, mode='clip')",
    "np.take_along_axis(x, np.argsort(-x, axis=1), axis=1)",
    "np.take_along_axis(x, np.array([[[0], [-1], [1]]]), axis=2)",
    "np.compress([True, False, True], x, axis=1)", "np.extract(x > 2.0, x)", "x[x > 2.0]",
    "np.where(x > 2.0, x, -x)", "x[np.ix_([1, 0], [0, 2], [3, 1])]", "x[::-1, :, ::-2]",
    "x[0, :, [1, 2]]", "x[np.ix_([True, False], [2, 1])]", "np.pad(x, 1)",
    "np.pad(x, ((0, 1), (2, 0), (0, 0)), constant_values=3.0)",
    "np.pad(x[0], ((1, 2), (3, 1)), constant_values=((1, 2), (3, 4)))",
    "np.pad(x, 2, mode='edge')", "np.pad(x[0], ((0, 0), (5, 9)), mode='reflect')",
    "np.pad(x[0], 4, mode='symmetric')", "np.pad(x[0], ((2, 7), (1, 0)), mode='wrap')",
    "np.unstack(x, axis=1)", "np.matrix_transpose(x)", "np.ravel(x, order='F')",
    "np.reshape(x, (4, 6), order='F')", "np.unravel_index(np.argmax(x), x.shape)",
    "x[np.tril_indices_from(x[0])[0] * 0, np.tril_indices_from(x[0])[1]]", "x.repeat(2, 0)",
]  # fmt: skip

CHANGES = [
    "np.put(y, [0, -1, 5], x[0, 0])", "np.put(y, [0, 30], [5.0], mode='clip')",
    "np.place(y, x > 2.0, x[0, 0, :2])", "np.putmask(y, x > 2.0, x * 3)",
    "np.copyto(y, x[0])", "np.copyto(y, 1.0, where=x > 2.0)", "np.fill_diagonal(y[0], x[0, 0, 0])",
    "np.put_along_axis(y, np.array([[[1], [-1], [0]]]), x[:, :, :1], axis=2)",
    "np.fill_diagonal(y[1], 3.0)", "y[::-1][0] = x[0]", "np.flip(y, 0)[0] *= 2", "y.T[1] += x.T[0]",
    "np.diagonal(y)", "y[1:] = y[:-1]", "y[0, :, [1, 2]] = x[0, :, 1:3].T",
]  # fmt: skip


def defined(text: str) -> Any:
    space = {"np": np, "__name__": "rows_of_numpy"}
    exec(text, space)
    return space["f"]


def linear_slope(f, x, gy):
    """The slope of an affine function, from its values at the basis."""
    zero = np.array(f(np.zeros(x.shape))) if f(x).shape == f(np.zeros(x.shape)).shape else None
    columns = [f(x + e.reshape(x.shape)) - f(x) for e in np.eye(x.size) * 2.0**-20]
    assert zero is None or zero.dtype == x.dtype
    return np.array([np.sum(gy * c) for c in columns]).reshape(x.shape) * 2.0**20


@pytest.mark.parametrize("change", [False, True], ids=["function", "change"])
def test_as_in_numpy(change):
    """Value and slope of each row, recorded and compiled."""
    for text in CHANGES if change else NUMPY:
        if change:
            f = defined(f"def f(x):\n    y = x * 1.0\n    {text}\n    return y")
        elif text.startswith(("np.split", "np.array_split", "np.hsplit", "np.vsplit", "np.dsplit",
                              "np.unstack", "np.meshgrid", "np.broadcast_arrays")):  # fmt: skip
            f = defined(f"def f(x): return np.concatenate([np.ravel(v) for v in {text}])")
        elif "unravel_index" in text:
            f = defined(f"def f(x): return np.stack({text})")
        else:
            f = defined(f"def f(x): return {text}")
        x = np.random.default_rng(0).permutation(24).reshape(2, 3, 4) * 0.25 - 0.125
        want, compiled = f(x), tj.jit(f)
        for _ in range(2):
            got = compiled(x)
            assert (got.shape, got.dtype) == (want.shape, want.dtype), text
            np.testing.assert_allclose(got, want, rtol=1e-14, err_msg=text)
        if want.dtype.kind != "f":
            continue
        gy = np.cos(np.arange(want.size)).reshape(want.shape)
        _, pull = tj.vjp(f, x)
        (slope,) = pull(gy)
        np.testing.assert_allclose(slope, linear_slope(f, x, gy), 1e-9, 1e-9, err_msg=text)


@pytest.mark.parametrize(
    "text",
    ["np.pad(x, 1, mode='linear_ramp')", "np.pad(x, -1)", "np.split(x, 3)", "np.take(x, 99)",
     "np.choose([2, 0, 1, 0], [x[0, 0], x[0, 1]])", "np.delete(x, 7, axis=0)"],
)  # fmt: skip
def test_numpy_refuses(text):
    f = defined(f"def f(x): return {text}")
    with pytest.raises((ValueError, IndexError)):
        tj.jit(f)(np.ones((2, 3, 4)))
