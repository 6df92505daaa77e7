"""Indexing and assignment: random keys against NumPy and torch, in value, slope and errors.

A key is text, so that it means the same to all three: ``I`` makes an array of integers, ``M`` a
mask.  What NumPy does is told by NumPy itself: places are picked from an array of numbers, and
what is written last is found by writing numbers.

TAPEJIT_FUZZ  multiplies the number of random keys (default 1: 300 for torch, 150 for NumPy)
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from oracle import Raised, differences, run

import tapejit as tj

FUZZ = int(os.environ.get("TAPEJIT_FUZZ", "1"))

# ---------------------------------------------------------------- random keys


class Keys:
    """Random keys for arrays of a random shape."""

    def __init__(self, seed: int, in_numpy: bool):
        self.random = np.random.default_rng(seed)
        self.in_numpy = in_numpy
        self.shape = tuple(int(n) for n in self.random.integers(1, 5, self.integer(1, 5)))

    def integer(self, low, high) -> int:
        return int(self.random.integers(low, high))

    def key(self) -> str:
        """One key, as it stands between brackets."""
        entries, left = [], list(self.shape)
        arrays = tuple(int(n) for n in self.random.integers(1, 4, self.integer(0, 3)))
        count = None  # how many places the masks have that are to be broadcast together
        while left and self.integer(0, 6):
            form = self.integer(0, 9)
            if form < 2:
                entries.append(self.slice(left.pop(0)))
            elif form == 2:
                entries.append("None")
            elif form == 3:
                n = left.pop(0)
                entries.append(str(self.integer(-n, n)))
            elif form == 4 and "..." not in entries:
                entries.append("...")
                left = left[self.integer(0, len(left)) :]
            elif form == 5 and count is None and not any("I(" in e for e in entries):
                span = self.integer(1, len(left) + 1)
                mask = self.random.integers(0, 2, left[:span]).astype(bool)
                left, count = left[span:], int(mask.sum())
                entries.append(f"M({mask.tolist()})")
            elif form == 6:
                n = left.pop(0)
                entries.append(f"I({self.integer(-n, n)})")
            elif count is None:
                n = left.pop(0)
                shape = tuple(m if self.integer(0, 4) else 1 for m in arrays)
                places = self.random.integers(-n, n, shape).tolist()
                entries.append(
                    f"I({places})" if self.integer(0, 3) or len(shape) != 1 else f"{places}"
                )
            else:
                entries.append(self.slice(left.pop(0)))
        return ", ".join(entries) + "," if entries else "..."

    def slice(self, n) -> str:
        low, high = (self.integer(-n - 1, n + 2) if self.integer(0, 2) else "" for _ in range(2))
        steps = ("", "", 2, 3, -1, -2) if self.in_numpy else ("", "", 1, 2, 3)
        step = steps[self.integer(0, len(steps))]
        return f"{low}:{high}:{step}" if step else f"{low}:{high}"

    def value_shape(self, shape) -> tuple[int, ...]:
        """A shape that broadcasts to `shape`."""
        kept = shape[self.integer(0, len(shape) + 1) if self.integer(0, 2) else 0 :]
        return tuple(n if self.integer(0, 3) else 1 for n in kept)


def taken(array, key: str, **names):
    return eval(f"array[{key}]", {"array": array, **names})


NUMPY_NAMES = {"I": np.array, "M": np.array}

# ---------------------------------------------------------------- NumPy


def defined(text: str, **names):
    """The function `f` of a text."""
    space = {**NUMPY_NAMES, **names, "__name__": "random_keys"}
    exec(text, space)
    return space["f"]


def picked_sum(key, weights):
    return defined(f"def f(x): return (x[{key}] * weights).sum()", weights=weights)


def assigned_sum(key, weights, form):
    lines = "y = x * 1.0", f"y[{key}] {form} v", "return (y * weights).sum()"
    return defined("def f(x, v):\n    " + "\n    ".join(lines), weights=weights)


def expected_slopes(shape, key, v_shape, weights, form):
    """Slopes of `assigned_sum`: the last one written wins."""
    picks = taken(np.arange(weights.size).reshape(shape), key, **NUMPY_NAMES)
    writer = np.full(shape, -1)
    exec(
        f"y[{key}] = v",
        {"y": writer, "v": np.arange(picks.size).reshape(picks.shape), **NUMPY_NAMES},
    )
    gx, gv = np.where(writer < 0, weights, 0.0), np.zeros(picks.shape)
    won = writer[writer >= 0]
    gv.reshape(-1)[won] = weights[writer >= 0]
    if form == "+=":  # what is read is added to what is written
        np.add.at(gx.reshape(-1), picks.reshape(-1), gv.reshape(-1))
    folded = gv.sum(tuple(range(gv.ndim - len(v_shape))))
    axes = tuple(i for i, n in enumerate(v_shape) if n == 1)
    return gx, folded.sum(axes, keepdims=True).reshape(v_shape)


@pytest.mark.parametrize("seed", range(150 * FUZZ))
def test_keys_as_in_numpy(seed):
    """Value and slopes of reading and writing, recorded and then compiled."""
    keys = Keys(seed, in_numpy=True)
    key, shape = keys.key(), keys.shape
    x = keys.random.normal(size=shape)
    try:
        picks = np.asarray(taken(np.arange(x.size).reshape(shape), key, **NUMPY_NAMES))
    except IndexError:  # out of range, or arrays that do not broadcast
        with pytest.raises(IndexError):
            tj.grad(picked_sum(key, 1.0))(x)
        return
    weights = keys.random.normal(size=picks.shape)
    read = tj.value_and_grad(picked_sum(key, weights))
    want = np.zeros(shape)
    np.add.at(want.reshape(-1), picks.reshape(-1), weights.reshape(-1))
    for scale in (1.0, 2.0):  # the second call is compiled
        value, gradient = read(scale * x)
        assert value == pytest.approx(picked_sum(key, weights)(scale * x), abs=1e-12), key
        np.testing.assert_allclose(gradient, want, atol=1e-12, err_msg=key)
    v = keys.random.normal(size=keys.value_shape(picks.shape))
    weights = keys.random.normal(size=shape)
    form = ("=", "+=")[seed % 2]
    function = assigned_sum(key, weights, form)
    write = tj.value_and_grad(function, argnums=(0, 1))
    for scale in (1.0, 2.0):
        value, gradients = write(scale * x, v)
        assert value == pytest.approx(function(scale * x, v), abs=1e-12), key
        slopes = expected_slopes(shape, key, v.shape, weights, form)
        for got, expected in zip(gradients, slopes, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-12, err_msg=f"{key} {form}")


# ---------------------------------------------------------------- torch


def torch_names(torch):
    return {"I": torch.tensor, "M": lambda m: torch.tensor(m, dtype=torch.bool)}


def facts(torch, key, shape, v_shape, form):
    """What reading and writing leave, or the error."""
    size = int(np.prod(shape))
    x = torch.sin(torch.arange(size, dtype=torch.float64)).reshape(shape).requires_grad_()
    v = torch.cos(torch.arange(int(np.prod(v_shape)), dtype=torch.float64)).reshape(v_shape)
    v.requires_grad_()
    try:
        y = x * 1.0
        z = taken(y, key, **torch_names(torch))
        read = (
            z.detach().clone(),
            torch.autograd.grad((z * z).sum(), x, retain_graph=True)[0],
            z._is_view(),
        )
        exec(f"y[{key}] {form} v", {"y": y, "v": v, **torch_names(torch)})
        gx, gv = torch.autograd.grad((y * y).sum(), (x, v), retain_graph=True)
        alias = None
        if z._is_view():  # the view follows
            alias = z.detach().clone()
        exec(f"y[{key}] = 2.5", {"y": y, **torch_names(torch)})
        return (*read, y.detach(), gx, gv, alias)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        return Raised(error, words=0)


@pytest.mark.parametrize("seed", range(300 * FUZZ))
def test_keys_as_in_torch(seed):
    torch = pytest.importorskip("torch")
    keys = Keys(seed, in_numpy=False)
    key, shape = keys.key(), keys.shape
    if not seed % 10:  # most likely out of range
        shape = shape[: keys.integer(0, len(shape))] or (1,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picks = taken(
                torch.arange(int(np.prod(shape))).reshape(shape), key, **torch_names(torch)
            )
            v_shape = keys.value_shape(tuple(picks.shape))
            repeats = len(np.unique(picks.numpy())) < picks.numel()
        except IndexError:
            v_shape, repeats = (), False
        form = ("=", "+=")[seed % 2]
        theirs = run(torch, lambda m: facts(m, key, shape, v_shape, form))
    ours = run(tj, lambda m: facts(m, key, shape, v_shape, form))
    if repeats and not isinstance(theirs, Raised):  # torch gives those a slope that did not win
        theirs, ours = theirs[:4], ours[:4]
    found = differences(ours, theirs)
    assert not found, f"{shape}[{key}] {form} {v_shape}: " + "\n".join(found)


# ---------------------------------------------------------------- by hand


def test_a_traced_index_is_data():
    """Indices that are arguments: another call may bring others, of another sign."""

    @tj.grad
    def f(x, i):
        return (x[i] ** 2).sum() + x[..., i[0]].sum()

    x = np.arange(1.0, 4.0)
    for i in ([0, 2], [1, 1], [-1, 0], [2, 2]):
        i, want = np.array(i), np.zeros(3)
        np.add.at(want, i, 2 * x[i])
        want[i[0]] += 1.0
        np.testing.assert_array_equal(f(x, i), want)
    with pytest.raises(IndexError):
        f(x, np.array([3, 0]))


LAST_WINS = [
    ("y[[0, 0, 1]] = v", [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]),
    ("y[I([1, 1, 1])] = v", [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
    ("y[[0, 0, 1]] += v", [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]),
]


@pytest.mark.parametrize(("text", "gx", "gv"), LAST_WINS)
def test_of_repeated_places_the_last_wins(text, gx, gv):
    x, v = (tj.tensor([1.0, 2.0, 3.0], requires_grad=True) for _ in range(2))
    y = x.clone()
    exec(text, {"y": y, "v": v, "I": tj.tensor})
    y.sum().backward()
    assert x.grad.tolist() == gx and v.grad.tolist() == gv


WRITES = [
    "y[0] = v.double()", "y[:, 1] = v[:2].int()", "y[[0]] = v.half()", "y[I([1])] = v.double()",
    "y[m] = 3", "y[m] = True", "n[0] = v.detach()", "n[:, 0] = 2.75", "n[[0]] = 2.75",
    "n[[0]] = v.detach()", "n[0] = n[1]", "n[m] = 7", "n[0] = True",
    "y[0] = v[None, None]", "y[[1]] = v[None, None]", "n[0, 0] = v[0]",
    "y[u] = v", "y[range(2)] = v", "y[[], 0] = v[:0]", "y[()] = v", "y[0, 1, 2] = v",
    "y[0] = v[:2]", "y[:, [0, 1]] = v", "y[m] = v", "y[1.0] = v", "y['a'] = v", "y[v] = v",
    "x[0] = v", "x[[0]] = v", "x[m] = 1", "y[5] = v", "y[[5]] = v",
    "y[True] = v", "y[torch.tensor(True)] = v", "y[None] = v", "y[..., 0] = 1",
    "y[::-1] = v", "y[:, ::0] = v", "y[b] = v", "y[0][1] = 5", "y.t()[[0]] = v[:2]",
    "y.detach()[0] = v.detach()", "y.data[[0]] = v.detach()", "y[...] = y.flip(1)",
    "y[:] = y.t().t()",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITES)
def test_writes_as_in_torch(text):
    """Dtypes, broadcasting, leaves and errors of assignment."""
    torch = pytest.importorskip("torch")

    def case(torch):
        x, v = (
            torch.ones(2, 3, requires_grad=True),
            torch.tensor([0.5, 2.0, 3.0], requires_grad=True),
        )
        names = {
            "torch": torch,
            "x": x,
            "v": v,
            "y": x * 2.0,
            "n": torch.ones(2, 3, dtype=torch.int64),
        }
        names |= {"m": torch.tensor([[True, False, True], [False, True, False]]), "I": torch.tensor}
        names |= {
            "u": torch.tensor([1, 0], dtype=torch.uint8),
            "b": torch.tensor([True, False, True]),
        }
        try:
            exec(text, names)
            gradients = torch.autograd.grad((names["y"] ** 2).sum(), (x, v), allow_unused=True)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            return Raised(error, words=0)
        return names["y"].detach(), names["n"], gradients

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(torch, case)
    found = differences(run(tj, case), theirs)
    assert not found, "\n".join(found)
