"""Hazards of tensors, and of what they tell of themselves; NumPy's functions; promotion.

Written as users write it, warts included; what a row does is told by its name.
"""

import copy
import operator
import pickle

import numpy as np
import pytest
from hazards import TRANSFORMS, X, Y, Z, run_hazard

import tapejit as tj

HAZARDS = {}


def hazard(function):
    """Enter a row."""
    assert function.__name__ not in HAZARDS
    HAZARDS[function.__name__] = function
    return function


def over(f, arguments):
    for a in arguments:
        yield f, a


T, U = tj.tensor(X), tj.tensor(Y)
TT = [T, U, -T, T * 10, T]


def tz(*fs):
    for f in fs:
        yield from over(f, TT)


@hazard
def t_deepcopy():
    yield from tz(lambda x: (copy.deepcopy(x) * x).sum())


@hazard
def t_copy():
    yield from tz(lambda x: (copy.copy(x) * x).sum())


@hazard
def t_pickle():
    yield from tz(lambda x: (pickle.loads(pickle.dumps(x)) * x).sum())


@hazard
def t_data():
    yield from tz(lambda x: (x.data * x).sum(), lambda x: ((x * 2).data * x).sum())


@hazard
def t_detach():
    yield from tz(
        lambda x: (x.detach() * x).sum(),
        lambda x: ((x * 2).detach() * x).sum(),
        lambda x: (x.detach().clone() * x).sum(),
    )


@hazard
def t_detach_numpy():
    yield from tz(
        lambda x: (tj.from_numpy(x.detach().numpy()) * x).sum(),
        lambda x: x.sum() * float(x.detach().numpy().max()),
        lambda x: x.sum() * np.asarray(x.detach())[0],
    )


@hazard
def t_data_numpy():
    yield from tz(
        lambda x: x.sum() * float(x.data.numpy().max()),
        lambda x: x.sum() * x.data.tolist()[0],
        lambda x: x.sum() * x.data[0].item(),
    )


@hazard
def t_data_detach_cmp():
    yield from tz(
        lambda x: x.sum() * (2 if (x.data > 0).any() else 3),
        lambda x: x.sum() * (2 if x.data[0] > 0 else 3),
    )


@hazard
def t_nograd():
    def f(x):
        with tj.no_grad():
            k = x.max()
        return (x * k).sum()

    def g(x):
        with tj.inference_mode():
            k = x.max()
        return (x * k).sum()

    @tj.no_grad()
    def h(x):
        return x.max()

    yield from tz(
        f,
        g,
        lambda x: (x * h(x)).sum(),
        lambda x: (x * 2).sum() if tj.is_grad_enabled() else x.sum(),
    )


@hazard
def t_nograd_around():
    def f(x):
        return (x * 2).sum() if tj.is_grad_enabled() else x.sum()

    yield f, T
    with tj.no_grad():
        yield f, T
    yield f, U

    def g(x):
        return (x * w).sum()

    w = tj.tensor([1.0, 2.0, 3.0], dtype=tj.float64, requires_grad=True)
    yield g, T
    with tj.no_grad():
        yield g, T
    w.requires_grad_(False)
    yield g, T
    with tj.no_grad():
        w.add_(1.0)
    yield g, T
    w.data = tj.tensor([5.0, 5.0, 5.0], dtype=tj.float64)
    yield g, T
    w.data[0] = 100.0
    yield g, T
    w = tj.tensor([5.0, 5.0, 5.0])
    yield g, T


@hazard
def t_requires_grad_arg():
    def f(x):
        return (x * 2).sum() if x.requires_grad else x.sum()

    yield f, T
    yield f, tj.tensor(X, requires_grad=True)

    def g(x):
        return (x * 2).sum() if x.is_leaf else x.sum()

    yield g, T
    yield g, tj.tensor(X, requires_grad=True)
    yield g, tj.tensor(X, requires_grad=True) * 1
    yield g, X


@hazard
def t_grad_read():
    w = tj.tensor([1.0, 2.0, 3.0], dtype=tj.float64, requires_grad=True)
    w.grad = tj.tensor([1.0, 2.0, 3.0], dtype=tj.float64)

    def f(x):
        return (x * w.grad).sum()

    yield f, T
    w.grad = w.grad * 2
    yield f, T
    w.grad.zero_()
    yield f, T


@hazard
def t_default_dtype():
    def f(x):
        return x * tj.tensor(1.5)

    def g(x):
        return (x * 2.0).sum()

    a = tj.tensor([1, 2])
    b = tj.tensor([1.0, 2.0])

    def h(x):
        return np.sum(x) * tj.tensor([1.5, 0.1]).sum()

    for d in (tj.float64, tj.float32, tj.float64, tj.float32):
        tj.set_default_dtype(d)
        yield f, a
        yield g, b
        yield g, X
        yield h, X
    tj.set_default_dtype(tj.float32)


@hazard
def t_contiguous():
    m = tj.tensor(np.arange(6.0).reshape(2, 3))
    fs = [
        lambda x: x.sum() * (2 if x.is_contiguous() else 3),
        lambda x: (x.contiguous() * x).sum(),
        lambda x: x.sum() * x.stride()[0],
        lambda x: (x.view(-1) * 2).sum(),
        lambda x: x.reshape(-1)[1] * 2,
        lambda x: x.sum() * x.stride(1),
    ]
    for f in fs:
        for a in (
            m,
            m.t(),
            m,
            m.t().contiguous().t(),
            tj.tensor(np.arange(6.0).reshape(2, 3)),
            m[:, :2],
            m.numpy(),
            m.numpy().T,
            np.asfortranarray(m.numpy()),
        ):
            yield f, a


@hazard
def np_flags():
    m = np.arange(6.0).reshape(2, 3)
    fs = [
        lambda x: np.sum(x) * (2 if x.flags.c_contiguous else 3),
        lambda x: np.sum(x) * x.strides[0],
        lambda x: np.sum(x) * (2 if x.base is None else 3),
        lambda x: np.sum(x) * (x.flags.writeable + 1),
    ]
    for f in fs:
        for a in (m, m.T, m.copy(), np.asfortranarray(m)):
            yield f, a


@hazard
def t_meta():
    yield from tz(
        lambda x: x.sum() * x._version,
        lambda x: x.sum() * (1 if x.grad_fn is None else 2),
        lambda x: x.sum() * (1 if x.grad is None else 2),
        lambda x: x.sum() * x.dim(),
        lambda x: x.sum() * x.numel(),
        lambda x: x.sum() * len(str(x.dtype)),
        lambda x: x.sum() * (x.data_ptr() % 7),
        lambda x: x.sum() * (1 if x._base is None else 2),
        lambda x: x.sum() * x.storage_offset(),
    )


@hazard
def t_unique():
    I = [
        tj.tensor([1.0, 2.0, 2.0]),
        tj.tensor([1.0, 2.0, 3.0]),
        tj.tensor([1.0, 1.0, 1.0]),
        tj.tensor([1.0, 2.0, 2.0]),
    ]
    fs = [
        lambda x: x.sum() * tj.unique(x).numel(),
        lambda x: x.sum() * len(x.unique()),
        lambda x: x.sum() * np.unique(x).shape[0],
        lambda x: (x.unique() * 2).sum() + x.sum(),
    ]
    for f in fs:
        yield from over(f, I)


@hazard
def t_counts():
    I = [tj.tensor([1, 2, 2]), tj.tensor([1, 2, 3]), tj.tensor([0, 1, 1]), tj.tensor([1, 2, 2])]
    fs = [
        lambda x: (tj.bincount(x) * 2.0).sum() + 0.5 * len(tj.bincount(x)),
        lambda x: (x * 1.0).sum() * tj.count_nonzero(x),
        lambda x: tj.bincount(x, minlength=5) * 1.0,
        lambda x: (
            tj.nn.functional.one_hot(x, 4) * 1.0
            if hasattr(tj.nn.functional, "one_hot")
            else x * 1.0
        ),
    ]
    for f in fs:
        yield from over(f, I)
    J = [a.numpy() for a in I]
    fs = [
        lambda x: np.bincount(x) * 1.0,
        lambda x: np.unique(x) * 1.0,
        lambda x: np.count_nonzero(x) * 1.0,
        lambda x: np.eye(4)[x] * 1.0,
        lambda x: np.arange(x[0]) * 1.0,
        lambda x: np.zeros(x[1]) + 1.0,
        lambda x: np.repeat(np.ones(3), x),
        lambda x: np.cumsum(x) * 1.0,
        lambda x: np.ones(3)[x[0]] * x,
        lambda x: [1.0, 2.0, 3.0, 4.0][x[0]] * x,
        lambda x: {0: 1.0, 1: 2.0}[int(x[0])] * x,
        lambda x: sum(range(x[1])) * 1.0 * x,
        lambda x: x[x[0]] * 1.0,
        lambda x: x[: x[0]] * 1.0,
        lambda x: np.linspace(0.0, 1.0, x[1] + 1) * x[0],
        lambda x: np.full(2, x[0]) * 1.0,
        lambda x: np.pad(np.ones(2), (int(x[0]), 0)) * x[0],
    ]
    for f in fs:
        yield from over(f, J)


@hazard
def t_compare():
    A = [tj.tensor([1.0, 2.0, 2.0]), tj.tensor([1.0, 2.0, 3.0]), tj.tensor([1.0, 1.0, 1.0])]
    B = tj.tensor([1.0, 2.0, 3.0])
    fs = [
        lambda x: x.sum() * (2 if tj.allclose(x, B) else 3),
        lambda x: x.sum() * (2 if tj.equal(x, B) else 3),
        lambda x: x.sum() * (2 if x.equal(B) else 3),
        lambda x: (x * tj.isclose(x, B)).sum(),
        lambda x: x.sum() * tj.searchsorted(B, x).sum(),
        lambda x: x.sum() * tj.searchsorted(x, B)[0],
        lambda x: x.sum() * (2 if np.allclose(x, B) else 3),
        lambda x: x.sum() * (2 if np.array_equal(x, B) else 3),
        lambda x: (x * np.isclose(x, B)).sum(),
    ]
    for f in fs:
        yield from over(f, A)


@hazard
def np_functions_data():
    A = [np.array([1.0, 2.0, 2.0]), np.array([1.0, 2.0, 3.0]), np.array([3.0, 1.0, 1.0])]
    B = np.array([1.0, 2.0, 3.0])
    fs = [
        lambda x: np.sum(x) * (2 if np.allclose(x, B) else 3),
        lambda x: np.sum(x) * (2 if np.array_equal(x, B) else 3),
        lambda x: np.searchsorted(B, x) * x,
        lambda x: np.searchsorted(x, B) * x,
        lambda x: np.interp(x, B, B * 2),
        lambda x: np.interp(B, x, x * 2),
        lambda x: np.digitize(x, B) * x,
        lambda x: np.histogram(x, bins=3)[0] * x,
        lambda x: np.percentile(x, 50) * x,
        lambda x: np.median(x) * x,
        lambda x: np.argsort(x) * x,
        lambda x: np.sort(x),
        lambda x: np.flatnonzero(x > 1.5) * 1.0,
        lambda x: np.argwhere(x > 1.5) * 1.0,
        lambda x: np.extract(x > 1.5, x),
        lambda x: np.compress([True, False, True], x),
        lambda x: np.select([x > 2, x > 1], [x, x * 2]),
        lambda x: np.piecewise(x, [x > 1], [lambda v: v * 2, 0.0]),
        lambda x: np.where(x > 1, x, 0),
        lambda x: np.convolve(x, B),
        lambda x: np.polyval(B, x),
        lambda x: np.polyval(x, B),
        lambda x: np.vander(x),
        lambda x: np.diff(x),
        lambda x: np.gradient(x),
        lambda x: np.trapezoid(x),
        lambda x: np.outer(x, B),
        lambda x: np.linalg.norm(x) * x,
        lambda x: np.linalg.solve(np.diag(B), x),
        lambda x: np.linalg.solve(np.diag(x), B),
        lambda x: np.linalg.inv(np.diag(x)),
        lambda x: np.roll(x, 1),
        lambda x: np.flip(x),
        lambda x: np.tile(x, 2),
        lambda x: np.concatenate([x, B]),
        lambda x: np.copyto(B.copy(), x),
        lambda x: np.array(x.tolist()) * x,
        lambda x: np.float64(x[0]) * x,
        lambda x: np.array([v for v in x]),
        lambda x: np.asarray([x, x]),
        lambda x: np.vectorize(lambda v: v * 2)(x),
        lambda x: np.apply_along_axis(np.sum, 0, x),
        lambda x: np.fromiter((v for v in x), float),
        lambda x: np.add.reduce(x),
        lambda x: np.add.accumulate(x),
        lambda x: np.multiply.outer(x, B),
        lambda x: np.nan_to_num(x),
        lambda x: np.isin(x, B) * x,
        lambda x: np.round(x, 1),
        lambda x: np.lexsort((x,)) * x,
        lambda x: np.max(x, initial=2.5),
        lambda x: np.sum(x, where=x > 1),
        lambda x: np.mean(x, where=x > 1),
        lambda x: np.sum(x, where=B > 1),
        lambda x: np.clip(x, 1.5, None),
        lambda x: np.maximum(x, B, where=B > 2),
        lambda x: np.einsum("i,i", x, B),
        lambda x: np.dot(B, x),
        lambda x: B @ x,
        lambda x: B * x,
        lambda x: B.dot(x),
        lambda x: B.astype(float) + x,
        lambda x: np.inner(B, x),
        lambda x: x.astype(int) * 1.0,
        lambda x: x.astype(np.float32),
        lambda x: x.view(np.int64),
        lambda x: x.copy(),
        lambda x: x.tobytes()[0] * x,
        lambda x: x.item(0) * x,
        lambda x: x.flat[0] * x,
        lambda x: x.T,
        lambda x: x.any() * x,
        lambda x: x.argmax() * x,
        lambda x: x.nonzero()[0] * 1.0,
        lambda x: x.real * x,
        lambda x: x.itemsize * x,
        lambda x: x.nbytes * x,
        lambda x: x.size * x,
        lambda x: bytes(x)[0] * x,
        lambda x: list(x)[0] * x,
        lambda x: tuple(x)[1] * x,
        lambda x: set(x.tolist()).pop() * x,
        lambda x: np.array2string(x) and x * len(np.array2string(x)),
        lambda x: float(x[0]).hex() and x * int(float(x[0])),
        lambda x: complex(x[0]).real * x,
        lambda x: divmod(float(x[0]), 2)[0] * x,
        lambda x: range(int(x[0]))[-1] * x,
        lambda x: hash(float(x[0])) * x,
        lambda x: bool(x[0] > 1.5) * x,
        lambda x: operator.index(int(x[0])) * x,
        lambda x: np.int64(x[0]) * x,
    ]
    for i, f in enumerate(fs):
        yield from over(f, A)


@hazard
def t_inplace_local():
    def f(x):
        y = x.clone()
        y += k
        y[0] = 5.0
        y *= x
        return y.sum()

    k = 1.0
    yield f, T
    k = 2.0
    yield f, U

    def g(x):
        b = np.zeros(3)
        for i in range(3):
            b[i] = float(x[i]) * i
        return np.sum(b * x)

    yield from over(g, [X, Y, Z])

    def h(x):
        y = x * 1.0
        y[0] = 3.0
        y[y > 2] = 0.0
        return np.sum(y * x)

    yield from over(h, [X, Y, Z])


@hazard
def tensors_captured():
    w = tj.tensor([1.0, 2.0, 3.0], dtype=tj.float64)

    def f(x):
        return (x * w).sum() * (2 if w.sum() > 10 else 3) * float(w[1])

    yield f, T
    w[0] = 100.0
    yield f, T
    w.mul_(0.5)
    yield f, U
    w = w[None, :]
    yield f, U

    def g(x):
        return np.sum(x * w) + w.shape[0]

    yield g, X
    w = w.float()
    yield g, X
    w.numpy()[0] = 7
    yield g, X
    ws = [tj.tensor([1.0, 2.0, 3.0], dtype=tj.float64), 1.0]

    def h(x):
        return np.sum(x * ws[0] * ws[1])

    yield h, X
    ws[0][0] = 9
    yield h, X
    ws[1] = ws[0]
    yield h, X

    def same(x):
        return np.sum(x * w)

    w = T
    yield same, T
    w = U
    yield same, T
    yield same, U


@hazard
def jit_captured_results():
    c = [1.0, 2.0]
    a = np.array([1.0, 2.0, 3.0])
    t = tj.tensor([1.0])

    def f(x):
        return x * 2, c, a, t, "s", None, {"c": c}

    yield f, X
    c[0] = 5.0
    yield f, X
    a[0] = 5.0
    yield f, X
    t[0] = 3.0
    yield f, X


@hazard
def constant_functions():
    k = 2.0

    def f(x):
        return k

    yield f, X
    k = 3.0
    yield f, X

    def g(x):
        return 0.0 * np.sum(x) + k

    yield g, X
    k = 4.0
    yield g, X

    def h(x):
        return np.float64(k)

    yield h, X
    k = 5.0
    yield h, X

    def i(x):
        return np.sum(np.ones(3) * k)

    yield i, X
    k = 6.0
    yield i, X
    yield i, Y


@hazard
def type_promotions():
    def f(x):
        return x * k

    for k in (
        2,
        2.0,
        True,
        np.float32(2),
        np.float64(2),
        np.int32(2),
        np.array(2.0, "f4"),
        np.array(2),
        np.ones(3, "f4"),
        np.ones(3, int),
        np.ones(3, bool),
    ):
        for x in (
            X,
            X.astype("f4"),
            np.array([1, 2, 3]),
            np.array([True, False, True]),
            np.float32(3),
            np.float64(3),
            2.0,
        ):
            yield f, x


@hazard
def ints_args():
    def f(x, n):
        return np.sum(x) * n

    for n in (
        1,
        2,
        np.int64(1),
        np.int32(2),
        np.int64(3),
        np.array(2),
        np.array(3),
        np.uint8(200),
        200,
    ):
        yield f, (X, n)

    def g(x, n):
        return np.sum(x[:n]) * 1.0

    for n in (1, 2, np.int64(1), np.int32(2), np.array(2), np.array(3)):
        yield g, (X, n)

    def h(x, n):
        return np.sum(x) * (2 if n > 1 else 3)

    for n in (1, 2, np.int64(1), np.int32(2), np.array(2), np.array(1)):
        yield h, (X, n)

    def i(x, n):
        return np.sum(np.full(n, 2.0)) * np.sum(x)

    for n in (1, 2, np.int64(1), np.int64(2), np.array(2), np.array(1)):
        yield i, (X, n)


@hazard
def jac_hess_cached():
    k = 1.0

    def f(x):
        return np.sum(x**3) * k

    def g(x):
        return np.sum(tj.jacobian(f)(x))

    yield g, X
    k = 2.0
    yield g, X

    def h(x):
        return np.sum(tj.hvp(f, x, x)) if hasattr(tj, "hvp") else np.sum(x)

    yield h, X
    k = 3.0
    yield h, X


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", HAZARDS)
def test_never_stale(name, transform):
    run_hazard(HAZARDS[name], TRANSFORMS[transform])
