"""In-place changes inside traced functions: the same as eager, at the first call and later.

TAPEJIT_RANDOM_PROGRAMS  how many random programs are run (default 40)
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import StaleTape

# ---------------------------------------------------------------- by hand


def fresh_zeros(x):
    y = tj.zeros(3)
    for i in range(3):
        y[i] = x[i] ** 2 + (y[i - 1] if i else 0.0)
    return (y * y).sum()


def zeros_like(x):
    y = np.zeros_like(x)
    y[1:] = x[1:] ** 2
    y[0] += x[0]
    y[::2] *= x[::2]
    return (y * y).sum()


def added_to_zeros(x):
    y = tj.zeros(3)
    y += x
    y += x
    return (y * y).sum()


def captured_then_changed(x):
    y = tj.ones(3)
    z = x * y
    y[0] = 5.0
    z = z * y
    y.mul_(2.0)
    return (z * y).sum()


def indexed(x):
    y = np.zeros_like(x)
    y[np.array([2, 0])] = x[:2]
    y[y > 1.0] *= x[0]
    return (y * x).sum()


def overlapping(x):
    y = tj.arange(3.0)
    y[1:] = y[:-1] * x[:-1] + y[1:]
    return (y * y).sum()


def filled(x):
    return (np.full_like(x, x[1]) * x + np.ones_like(x)).sum()


def through_views(x):
    y = tj.zeros(3, 3)
    y.diagonal().copy_(x)
    y.diagonal(1).add_(x[:2] * x[1:])
    y.t()[1].mul_(x)
    y.as_strided((2, 2), (1, 3), 1).add_(x[0])
    y.view(9)[::4].mul_(2.0)
    return (y * y).sum() * y[0, 1]


def at_places(x):
    y, i = tj.ones(3, 3) * x, tj.tensor([0, 2, 0])
    y.index_add_(0, i, tj.stack([x, x * x, x]))
    y.scatter_(1, i[:, None], tj.ones(3, 1, dtype=y.dtype) * x[1])
    y.scatter_reduce_(0, i[None], x[None] * 1.93, "amax")
    y.index_put_((i, i), x)
    y.masked_scatter_(y > 2.17, tj.cat([x, x, x]) * 0.5)
    return (y * y).sum()


def other_shapes(x):
    y = x * 2.0
    view = y[:2]
    y.unsqueeze_(0)
    y.transpose_(0, 1)
    y.mul_(x[:, None])
    view.add_(x[0])
    y.squeeze_().cumsum_(0)
    return (y * x).sum() + view.sum()


CHANGES = [
    through_views, at_places, other_shapes,
    fresh_zeros, zeros_like, added_to_zeros, captured_then_changed, indexed, overlapping, filled,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:tapejit")  # recorded at every call: right, but slow
@pytest.mark.parametrize("function", CHANGES, ids=lambda f: f.__name__)
def test_arrays_filled_in_place_are_differentiated(function):
    compiled = tj.value_and_grad(function)
    for x in ([0.5, 1.5, 2.5], [1.5, 0.5, -1.0], [3.0, 2.0, 1.0]):
        x = np.array(x)
        value, gradient = compiled(x)
        h = 1e-6 * np.eye(3)
        plain = [float(tj.jit(function)(x + d) - tj.jit(function)(x - d)) / 2e-6 for d in h]
        with tj.no_grad():
            assert value == pytest.approx(function(tj.tensor(x)).item())
        np.testing.assert_allclose(gradient, plain, rtol=1e-5, atol=1e-6)
        leaf = tj.tensor(x, requires_grad=True)
        function(leaf).backward()
        np.testing.assert_allclose(leaf.grad.numpy(), gradient, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------- random programs

FRESH = [
    "tj.zeros(4, dtype=tj.float64)", "tj.ones(4, dtype=tj.float64) * 2", "x.clone()", "{a} * {b}",
    "{a}.detach().clone()", "{a}.sin()",
]  # fmt: skip
CHANGED = [
    "{m} += {a}", "{m}.mul_({a})", "{m}[{i}] = {a}[{j}]", "{m}[1:] = {a}[:-1] * {b}[1:]",
    "{m}[::2] += {a}[1::2]", "{m}.view(2, 2)[0] *= {a}[2:]", "{m}[tj.tensor([2, 0])] = {a}[:2] + 0",
    "{m}[{b} > 1.1] = 0.5", "{m}.zero_()", "{m}.fill_(2.0)", "{m}[1:3].mul_({a}[0])",
    "{m}.copy_({a})", "{m}.sin_()", "{m} -= {m} * {a}", "kept.append({m} * {a}); {m}.add_(1.0)",
]  # fmt: skip
N_PROGRAMS = int(os.environ.get("TAPEJIT_RANDOM_PROGRAMS", "40"))


def random_program(seed: int) -> str:
    rng = random.Random(seed)
    lines, names = ["def program(x):", "kept = []"], ["x"]
    for _ in range(rng.randint(3, 9)):
        form = rng.choice(CHANGED if len(names) > 1 and rng.random() < 0.75 else FRESH)
        places = {"m": rng.choice(names[1:] or names), "i": rng.randint(0, 3)}
        line = form.format(a=rng.choice(names), b=rng.choice(names), j=rng.randint(0, 3), **places)
        if form in FRESH:
            names.append(f"v{len(names)}")
            line = f"{names[-1]} = {line}"
        lines.append(line)
    lines.append(f"terms = [{', '.join(names)}, *kept]")
    lines.append("return sum((v.sin() * (i + 1)).sum() for i, v in enumerate(terms))")
    return "\n    ".join(lines)


@pytest.mark.filterwarnings("ignore:tapejit")  # recorded at every call: right, but slow
@pytest.mark.parametrize("seed", range(N_PROGRAMS))
def test_a_traced_program_is_the_eager_one(seed):
    scope = {"tj": tj}
    exec(random_program(seed), scope)
    compiled = tj.value_and_grad(scope["program"])
    for x in ([0.5, 1.5, -1.0, 2.0], [1.5, 0.5, 2.0, -1.0], [0.3, -0.2, 0.7, 0.4]):
        leaf = tj.tensor(x, dtype=tj.float64, requires_grad=True)
        eager = scope["program"](leaf)
        value, gradient = compiled(np.array(x))
        np.testing.assert_allclose(value, eager.item(), rtol=1e-12, err_msg=random_program(seed))
        try:
            eager.backward()
        except StaleTape:  # eager refuses what a trace computes anew
            continue
        expected = np.zeros(4) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(gradient, expected, 1e-9, 1e-9, err_msg=random_program(seed))
