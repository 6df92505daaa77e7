"""Functions whose values move between devices in their midst: compiled, one part for each device.

Each is compared with the same function where moves do nothing.
"""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj
from tapejit.build import Builder
from tapejit.dtypes import float64
from tapejit.registry import OPS
from tapejit.runtime.cuda.parts import parts_of
from tapejit.shapes import CPU, aval
from tapejit.tape import Program


@pytest.fixture(autouse=True)
def simulated():
    with tj.config.set(cuda="simulator"):
        yield


def there_and_back(send, fetch, x, w):
    """The GPU's part reads what the CPU made, and the other way round."""
    y = (send(x) * 2.0 + send(w)).sin()
    z = fetch(y).exp() * x
    return (send(z) * y).sum() + y.sum()


def ends_on_the_host(send, fetch, x, w):
    """Inputs and result are the CPU's: only the tape says that there is a GPU."""
    return (fetch((send(x) * send(w)).cumsum(0)) - x).square().sum()


def side_by_side(send, fetch, x, w):
    """Parts that do not depend on each other, sums of both, and what goes through untouched."""
    on_gpu, on_host = send(x).tanh(), (w * w).cos()
    return fetch(on_gpu.sum()) + on_host.sum() + fetch(send(x)).sum()


def numbers_of_the_host(send, fetch, x, w):
    """A number of the CPU's meets an array of the GPU's, as PyTorch has it."""
    scale = w.sum()
    return fetch((send(x) * scale + 1.0).sum() / scale)


def constants_that_move(send, fetch, x, w):
    """A constant is made on one device and read on the other, where nothing else comes from."""
    constant = fetch(send(tj.full((3,), 2.0, dtype=tj.float64)))
    return (constant * x * w).sum() + fetch(send(x).exp().sum())


def numbers_written_there(send, fetch, x, w):
    """An element of the CPU's, written into an array of the GPU's."""
    y = send(x) * 2.0
    y[1] = w[0]
    return fetch(y.square().sum())


FUNCTIONS = [
    there_and_back, ends_on_the_host, side_by_side, numbers_of_the_host, constants_that_move,
    numbers_written_there,
]  # fmt: skip


def both(function):
    """The function, and the same with moves that do nothing."""

    def moving(x, w):
        return function(lambda v: v.cuda(), lambda v: v.cpu(), x, w)

    def staying(x, w):
        return function(lambda v: v, lambda v: v, x, w)

    return moving, staying


def tensors(n=3):
    rng = np.random.default_rng(0)
    return tj.tensor(rng.standard_normal(n)), tj.tensor(rng.standard_normal(n) + 3.0)


def same(got, want, rtol=1e-12):
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w, rtol)
        return
    np.testing.assert_allclose(got.detach().cpu().numpy(), want.detach().numpy(), rtol=rtol)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "transform",
    [
        tj.jit,
        lambda f: tj.value_and_grad(f, (0, 1)),
        tj.hessian,
        lambda f: tj.vmap(f, (0, None)),
        lambda f: tj.vmap(tj.grad(f), (0, None)),
    ],
    ids=["jit", "value_and_grad", "hessian", "vmap", "vmap of grad"],
)
def test_transforms(transform, function, request):
    moving, staying = map(transform, both(function))
    for shift in (0.0, 0.5):  # recorded, then called again
        x, w = tensors()
        if "vmap" in request.node.name:
            x = tj.stack([x, x * 2.0])
        same(moving(x + shift, w), staying(x + shift, w))
    if transform is tj.jit:
        (path,) = tj.explain(moving).paths
        assert path.how == "compiled" and len(path.kernels) >= 2


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_backward(function):
    """Many times, so that the sweep is compiled."""
    moving, staying = both(function)
    for _ in range(6):
        found = []
        for f in (moving, staying):
            x, w = (v.requires_grad_() for v in tensors())
            f(x, w).backward()
            assert not x.grad.is_cuda
            found.append((x.grad, w.grad))
        same(*found)


def test_results_lie_where_they_should_and_share_nothing():
    @tj.jit
    def f(x):
        y = x.cuda() + 1.0
        return x, y, y.cpu(), x.cuda(), y.cpu() * 2.0, x * 3.0, y

    x = tj.tensor([1.0, 2.0])
    for _ in range(2):
        found = f(x)
        assert [v.is_cuda for v in found] == [False, True, False, True, False, False, True]
        wanted = (x, x + 1.0, x + 1.0, x, (x + 1.0) * 2.0, x * 3.0, x + 1.0)
        same(found, wanted, 0.0)
        for k, v in enumerate(found):
            v.zero_()
            same(found[k + 1 :], wanted[k + 1 :], 0.0)
        same(x, tj.tensor([1.0, 2.0]), 0.0)


def test_branches_on_values_that_came_back():
    @tj.grad
    def slope(x):
        y = (x.cuda() * x.cuda()).sum()
        if y.cpu() > 4.0:
            return y.sqrt().cpu()
        return y.cpu() * x.sum()

    for values in ([0.5, 1.0], [3.0, 4.0], [0.25, 1.0], [6.0, 8.0]):
        x = np.array(values)
        total = np.sum(x * x)
        want = x / np.sqrt(total) if total > 4.0 else 2.0 * x * x.sum() + total
        np.testing.assert_allclose(slope(tj.tensor(values)).numpy(), want, rtol=1e-6)
    assert len(tj.explain(slope).paths) == 2


def test_parts_are_as_few_as_the_moves_ask_for():
    builder, device = Builder(), "cuda:0"
    x = builder.input(aval((3,), float64))
    there = OPS["to_device"](x, device=device)
    y = OPS["sin"](there) * 2.0 + there
    back = OPS["to_device"](y, device=CPU)
    z = OPS["exp"](back) + OPS["cos"](x)
    again = OPS["to_device"](z, device=device) * y
    program = Program(builder.tape, [x.row], [again.row, z.row])
    parts = parts_of(program).parts
    assert [part.device for part in parts] == [CPU, device, CPU, device]
    assert parts[0].results == (z.row - 1,)  # the cosine needs nothing of the GPU
    assert parts[-1].sources == tuple(sorted((y.row, again.row - 1)))


@pytest.mark.parametrize("level", [2, 3])
def test_checks_hold_for_each_part(level):
    moving, staying = both(there_and_back)
    with tj.config.set(check=level):
        same(tj.value_and_grad(moving)(*tensors()), tj.value_and_grad(staying)(*tensors()))
