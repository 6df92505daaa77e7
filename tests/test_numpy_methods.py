"""Every attribute of an array is NumPy's in a traced function of arrays, or says what to use."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import DtypeError, TraceError
from tapejit.interop.numpy_methods import REFUSED

X = np.array([[0.51, 1.52], [-0.73, 2.24], [1.17, -1.66]])

pytestmark = pytest.mark.filterwarnings("ignore:tapejit")  # what reads a value is not kept


def changed(name, *args):
    """What a method leaves that changes an array in place, times the old."""

    def function(x):
        y = x.copy()
        assert getattr(y, name)(*args) is None
        return x * y

    return function


SAME = {
    "T": lambda x: x.T @ x,
    "all": lambda x: x * (x > 0).all(axis=0),
    "any": lambda x: x * (x > 0).any(1, keepdims=True),
    "argmax": lambda x: x * x.argmax(),
    "argmin": lambda x: x * x.argmin(axis=0, keepdims=True),
    "argpartition": lambda x: x * x.argpartition(1, axis=0),
    "argsort": lambda x: x * x.argsort(0),
    "astype": lambda x: x * x.astype(int).astype(np.float64, copy=False),
    "choose": lambda x: (x > 0).astype(int).choose([x, 2 * x]),
    "clip": lambda x: x.clip(0, 1) + x.clip(max=1),
    "compress": lambda x: x.compress([True, False, True], axis=0),
    "conj": lambda x: x.conj() * x,
    "conjugate": lambda x: x.conjugate() * x,
    "copy": lambda x: x.copy("F") * x.copy(order="C"),
    "cumprod": lambda x: x.cumprod() * x.cumprod(axis=None),
    "cumsum": lambda x: x.cumsum().reshape(3, 2) * x.cumsum(0, np.float64),
    "device": lambda x: x * (x.device == "cpu"),
    "diagonal": lambda x: x.diagonal() * x.diagonal(offset=-1, axis1=0, axis2=1),
    "dot": lambda x: x.dot(x.T).dot(x[:, 0]),
    "dtype": lambda x: x.astype(x.dtype) * (x.dtype == np.float64) * (x.dtype.kind == "f"),
    "fill": changed("fill", 3.0),
    "flatten": lambda x: x.flatten("F"),
    "imag": lambda x: x + x.imag,
    "item": lambda x: x * x.item(1) * x.item(1, 1) * x.item((2, 1)) * x[0, 0].item(),
    "itemsize": lambda x: x * x.itemsize,
    "mT": lambda x: x.mT @ x,
    "max": lambda x: x.max(0) + x.max(initial=5.0),
    "mean": lambda x: x.mean((0, 1)) * x.mean(0),
    "min": lambda x: x.min(axis=1),
    "nbytes": lambda x: x * x.nbytes,
    "ndim": lambda x: x * x.ndim,
    "nonzero": lambda x: x[x.nonzero()],
    "partition": changed("partition", 1, 0),
    "prod": lambda x: x.prod() * x.prod(axis=0, keepdims=True),
    "put": changed("put", [0, 3], [5.0, 6.0]),
    "ravel": lambda x: x.ravel() * x.ravel("F"),
    "real": lambda x: x.real * x,
    "repeat": lambda x: x.repeat(2) * x.repeat(2, axis=0).ravel(),
    "reshape": lambda x: x.reshape(2, 3) * x.reshape((2, -1), order="F"),
    "round": lambda x: x * x.round() * x.round(decimals=1),
    "searchsorted": lambda x: x * x[0].searchsorted([1.0, 2.0], side="right"),
    "shape": lambda x: x * x.shape[0],
    "size": lambda x: x.size * x / (x.size - 1),
    "sort": changed("sort", 0),
    "squeeze": lambda x: x[None].squeeze() * x[None, ..., None].squeeze(axis=(0, 3)),
    "std": lambda x: x.std() * x.std(0),
    "strides": lambda x: x * x.strides[0],
    "sum": lambda x: x.sum(axis=(0, 1)) * x.sum(0),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "take": lambda x: x.take([1, 2]) * x.take(indices=[7, 9], mode="wrap"),
    "to_device": lambda x: x.to_device("cpu") * x,
    "tolist": lambda x: x * x.tolist()[0][1],
    "trace": lambda x: x * x.trace(offset=-1),
    "transpose": lambda x: x.transpose() * x.transpose(1, 0) * x.transpose((1, 0)),
    "var": lambda x: x.var(axis=0, ddof=1, keepdims=True),
    "view": lambda x: x.view() * x.view(np.int64),
    "__divmod__": lambda x: divmod(x, 0.4)[0] + divmod(x, 0.4)[1] * x,
    "__rdivmod__": lambda x: divmod(2.0, x)[1] * x,
}
CHANGED = {"fill", "partition", "put", "sort"}


def test_every_attribute_of_arrays_is_known():
    public = {name for name in dir(np.ndarray) if not name.startswith("_")}
    assert public - set(SAME) - set(REFUSED) == set()


@pytest.mark.parametrize("name", SAME)
def test_traced_and_plain_agree(name):
    plain, traced = SAME[name](X), tj.jit(SAME[name])(X)
    assert np.shape(traced) == np.shape(plain)
    np.testing.assert_allclose(traced, plain, rtol=1e-12)


@pytest.mark.parametrize("name", SAME)
def test_slopes_agree(name):
    def loss(x):
        return np.sum(SAME[name](x))

    if name in ("item", "tolist", "view"):  # numbers read from a tensor, or its bits, have no slope
        assert np.isfinite(tj.grad(loss)(X)).all()
        return
    direction = np.sin(np.arange(6.0)).reshape(3, 2)
    slope = (loss(X + 1e-6 * direction) - loss(X - 1e-6 * direction)) / 2e-6
    assert np.sum(tj.grad(loss)(X) * direction) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_tensor_cannot_have_says_what_to_use(name):
    with pytest.raises(TraceError, match=rf"x\.{name}: .*\n  try  "):
        tj.jit(lambda x: (getattr(x, name), x)[1])(X)


def test_tensors_of_torch_code_keep_its_meaning():
    x = tj.tensor([[1.0, 2.0]])
    seen = []
    tj.jit(lambda x: (seen.append(x.size(1)), x * 2)[1])(x)
    assert x.size() == (1, 2) and seen == [2]
    assert not any(hasattr(x, name) for name in ("flat", "strides", "fill", "base"))
    with pytest.raises(TypeError):
        divmod(x, 2.0)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", [np.matrix, np.ma.array], ids=["matrix", "masked"])
def test_arrays_with_arithmetic_of_their_own_are_refused(kind):
    x, other = tj.ones(2, 2), kind([[1.0, 2.0], [3.0, 4.0]])
    for call in (
        lambda: x + other, lambda: np.multiply(other, x), lambda: tj.matmul(x, other),
        lambda: tj.tensor(other),
        lambda: tj.jit(lambda a: a * a)(other), lambda: tj.grad(np.sum)(other),
        lambda: np.add(x, other),
    ):  # fmt: skip
        with pytest.raises(DtypeError, match="try  "):
            call()
