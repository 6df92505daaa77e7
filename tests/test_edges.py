"""Every row of docs/edges.md: value, reverse mode, forward mode, compiled, and PyTorch's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import tapejit as tj
from tools import edges

ROOT = Path(__file__).parent.parent
IDS = [f"{row.operation} at {edges.joined(row.point)}" for row in edges.ROWS]
every_row = pytest.mark.parametrize("row", edges.ROWS, ids=IDS)


def arrays(row):
    return [np.array(x, np.float64) for x in row.point]


def of_sum(row, module):
    return lambda *operands: row.function(module, *operands).sum()


def agree(got, want):
    for gradient, expected in zip(got, want, strict=True):
        gradient = np.zeros(np.shape(expected)) if gradient is None else gradient
        np.testing.assert_allclose(np.asarray(gradient), expected, rtol=1e-13, atol=0)


def run(row, module):
    """Value and gradients of tensors, by the module's autograd."""
    operands = [module.tensor(x, dtype=module.float64, requires_grad=True) for x in row.point]
    value = row.function(module, *operands)
    gradients = module.autograd.grad(value.sum(), operands, allow_unused=True)
    return value.detach().numpy(), [g if g is None else g.numpy() for g in gradients]


@every_row
def test_tensors(row):
    value, gradients = run(row, tj)
    np.testing.assert_allclose(value, row.value, rtol=1e-15)
    agree(gradients, row.gradient)


@every_row
def test_forward_mode(row):
    """One tangent for every element of every operand."""
    operands = arrays(row)
    for place, operand in enumerate(operands):
        found = np.zeros(operand.shape)
        for index in np.ndindex(operand.shape):
            tangents = [np.zeros(x.shape) for x in operands]
            tangents[place][index] = 1.0
            _, tangent = tj.jvp(of_sum(row, tj), tuple(operands), tuple(tangents))
            found[index] = tangent
        if not has_infinite_slope(row):
            agree([found], [row.gradient[place]])


def has_infinite_slope(row):
    """Where the infinite slope of another operand times its tangent 0 is NaN."""
    slopes = np.concatenate([np.ravel(slope) for slope in row.gradient])
    return len(row.point) > 1 and not np.isfinite(slopes).all()


@every_row
def test_compiled(row):
    operands = arrays(row)
    gradient = tj.jit(tj.grad(of_sum(row, tj), argnums=tuple(range(len(operands)))))
    for _ in range(2):  # the first call records
        agree(gradient(*operands), row.gradient)


@every_row
def test_pytorch(row):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degrees of freedom
        value, gradients = run(row, torch)
    np.testing.assert_allclose(value, row.value, rtol=1e-15)
    agree(gradients, row.gradient if row.torch is None else row.torch)


def test_the_page_is_fresh():
    written = (ROOT / "docs" / "edges.md").read_text()
    assert written == edges.page(), "run  python -m tools.edges --write docs/edges.md"
