"""Scatter and its kin against torch: values, slopes of both operands, in place, errors.

Rows are expressions over `x` (3, 4), a source `s` (3, 2) and places; in each, ``f`` stands for the
function or, with an underscore, for the method that works in place on a copy of `x`.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from oracle import Raised, differences, run

import tapejit as tj

ROWS = [
    "f.scatter(1, i, s)", "f.scatter(0, j, s)", "f.scatter(1, i, 2.5)",
    "f.scatter(-1, i, value=1.0)",
    "f.scatter(1, i[:2, :1], s)", "f.scatter(1, i, s, reduce='add')",
    "f.scatter(1, i, 3.0, reduce='multiply')", "f.scatter(1, d, s, reduce='add')",
    "f.scatter_add(1, i, s)", "f.scatter_add(1, d, s)", "f.scatter_add(0, j, s)",
    "f.scatter_add(0, j[:1], s)", "f.scatter_add(1, d[:, :0], s)",
    *(
        f"f.scatter_reduce({places}, s, '{how}', include_self={own})"
        for how in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
        for places in ("1, i", "1, d", "0, j")
    ),
    "f.index_add(1, k, s)", "f.index_add(1, kk, s, alpha=-2)", "f.index_add(0, k, x[:2] * 0.5)",
    "f.index_copy(1, k, s)", "f.index_copy(0, k, x[1:] * 2)", "f.index_fill(1, k, -1.5)",
    "f.index_fill(0, kk, s[0, 0])", "f.index_fill(1, n, 2.0)",
    *(
        f"f.index_reduce(1, {k}, s, '{how}', include_self={own})"
        for how in ("prod", "mean", "amax", "amin")
        for own in (True, False)
        for k in ("k", "kk")
    ),
    "f.index_put((k,), x[0])", "f.index_put((k, k), s[0])", "f.index_put((m,), s[0, 0])",
    "f.index_put((kk,), x[:2], accumulate=True)", "f.index_put((kk, kk), s[0], True)",
    "f.index_put((n, k), s[0], accumulate=True)", "f.index_put((m,), x[m] * 3, accumulate=True)",
    "f.put(k, s[0])", "f.put(n, s[0], accumulate=True)",
    "f.put(kk, s[1], True)", "f.masked_scatter(m, x * 2)", "f.masked_scatter(m[0], s.reshape(-1))",
    "f.masked_fill(m, 7.0)", "f.masked_fill(m[:1], s[0, 0])",
]  # fmt: skip

READS = [
    "x.gather(1, i)", "x.gather(0, j)", "torch.take_along_dim(x, i, 1)",
    "x.take_along_dim(j[:, :1], 0)",
    "torch.take_along_dim(x, kk)", "x.take(n)", "torch.take(x, i)", "x.index_select(1, kk)",
    "x.index_select(0, torch.tensor(1))", "x.masked_select(m)", "x.masked_select(m[0])",
    "torch.argwhere(m)", "x.nonzero()", "m.nonzero(as_tuple=True)", "torch.bincount(k)",
    "torch.bincount(i.reshape(-1), s.detach().reshape(-1))", "x.select(1, 2)",
    "x[0, 0].gather(0, z)",
    "x[0, 0].scatter(0, z, s[0, 0])", "x[0, 0].index_add(0, z, s[0, 0])",
]  # fmt: skip

ERRORS = [
    "x.scatter(1, i, s.double())", "x.scatter(1, i.float(), s)", "x.scatter(1, i + 9, s)",
    "x.scatter(1, i - 9, s)", "x.scatter(1, i[0], s)", "x.scatter(0, torch.zeros(2, 5).long(), s)",
    "x.scatter(1, i, s, reduce='sum')", "x.scatter_reduce(1, i, s, 'max')", "x.scatter(2, i, s)",
    "x.index_add(1, k, s.double())", "x.index_add(1, k, x)", "x.index_add(1, k + 9, s)",
    "x.index_copy(1, k.float(), s)", "x.index_fill(1, k, s)", "x.index_reduce(1, k, s, 'sum')",
    "x.put(k, s)", "x.put(k + 99, s[0])", "x.masked_scatter(m, s[0])", "x.gather(1, i[0])",
    "x.masked_scatter(k, s)", "x.masked_fill(k, 1.0)", "x.masked_fill(m, s)", "x.gather(1, i - 1)",
    "x.scatter_(1, i, s)", "x.index_add_(1, k, s)", "x.masked_scatter_(m, x)", "x.take(k + 99)",
    "x.index_put_((k,), x[0])", "x.detach()[:1].expand(3, 4).scatter_(1, i, 1.0)",
]  # fmt: skip


def names(torch) -> dict:
    def numbers(size, shape, slope):
        angles = torch.arange(size, dtype=torch.float64) * slope
        return torch.sin(angles).reshape(shape).requires_grad_()

    return {
        "torch": torch, "x": numbers(12, (3, 4), 1.7), "s": numbers(6, (3, 2), 1.9),
        "i": torch.tensor([[0, 2], [3, 1], [2, 0]]), "d": torch.tensor([[1, 1], [0, 3], [2, 2]]),
        "j": torch.tensor([[2, 0], [0, 1], [1, 2]]), "k": torch.tensor([2, 0]),
        "kk": torch.tensor([1, 1]), "n": torch.tensor([-1, 0]), "z": torch.tensor(0),
        "m": torch.tensor([[True, False, True, False], [False] * 4, [True, True, False, True]]),
    }  # fmt: skip


def outcome(torch, text: str, slopes: bool = True) -> object:
    """The value and the slopes of x and s, or the error."""
    space = names(torch)
    if not slopes:
        space |= {name: space[name].detach() for name in "xs"}
    x, s = space["x"], space["s"]
    try:
        value = eval(text, space)
        if not getattr(value, "requires_grad", False):
            return value
        weights = torch.cos(torch.arange(value.numel(), dtype=value.dtype)).reshape(value.shape)
        total = (value * value * weights).sum()
        return value, torch.autograd.grad(total, (x, s), allow_unused=True)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        return Raised(error, words=0)


_NO_RULE = re.compile("derivative for .* is not implemented|returned an invalid gradient")


def check(text):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(torch, lambda m: outcome(m, text))
        slopes = not (isinstance(theirs, Raised) and _NO_RULE.search(str(theirs.error)))
        if not slopes:  # torch has no derivative of it; what there is of it is compared
            theirs = run(torch, lambda m: outcome(m, text, False))
    found = differences(run(tj, lambda m: outcome(m, text, slopes)), theirs)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ROWS)
def test_a_copy(text):
    check(text.replace("f.", "x."))


@pytest.mark.parametrize("text", ROWS)
def test_in_place(text):
    name = text[2 : text.index("(")]
    check(text.replace(f"f.{name}(", f"(x * 1).{name}_("))


@pytest.mark.parametrize("text", ROWS[::3])
def test_in_place_through_a_view(text):
    """A transposed view of the base takes it; the base is looked at."""
    name = text[2 : text.index("(")]
    change = text.replace(f"f.{name}(", f"y.t().t().{name}_(")
    check(f"[y := x * 1, {change}, y][2]")


@pytest.mark.parametrize("text", READS)
def test_reading(text):
    check(text)


@pytest.mark.parametrize("text", ERRORS)
def test_errors(text):
    check(text)


@pytest.mark.parametrize("how", ["prod", "amax", "amin", "mean", "sum"])
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_second_order(how, zeros):
    """Products with zeros among them too."""

    def f(x, s):
        i = tj.tensor([0, 1, 1, 0])
        y = tj.scatter_reduce(x, 0, i, s, how)
        return (y * y * y + y).sum()

    x, s = np.array([0.5, 1.5]), np.array([0.3, -0.7, 2.0, 1.1])
    s[: 2 * zeros : 2] = 0.0
    if zeros == 2 and how == "prod":
        s[3] = 0.0
    tj.check_grads(f, (x, s))
