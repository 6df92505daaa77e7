"""Fourier transforms against torch and NumPy: values, dtypes, first and second derivatives."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from oracle import Cases, fn_name, raised, same_as_torch

import tapejit as tj

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(3, 4, 5))
Z = X + 1j * RANDOM.normal(size=X.shape)

ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
SEVERAL = ("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn")
PLANES = ("fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2")
OPTIONS = {
    "plain": {},
    "another axis": {"dim": 0},
    "cropped to even": {"n": 4, "norm": "ortho"},
    "cropped to odd": {"n": 3, "norm": "forward"},
    "padded": {"n": 7},
    "padded, odd axis": {"n": 6, "dim": -2, "norm": "backward"},
    "one": {"n": 1},
    "two": {"n": 2},
}
SHAPES = {
    "plain": {},
    "two axes": {"dim": (0, -1), "norm": "ortho"},
    "order": {"dim": (2, 0), "norm": "forward"},
    "lengths": {"s": (5, 3)},
    "lengths of axes": {"s": (-1, 6), "dim": (1, 2)},
    "one axis": {"dim": (1,), "s": (3,)},
}


def inputs_of(name):
    """What a transform takes: only real numbers, or complex ones too."""
    return (X,) if name.startswith(("rfft", "ihfft")) else (X, Z)


def check(name, options):
    def case(t):
        results = []
        for array in inputs_of(name):
            x = t.tensor(array, requires_grad=True)
            y = getattr(t.fft, name)(x, **options)
            weight = t.arange(1.0, y.numel() + 1, dtype=t.float64).reshape(y.shape)
            total = ((y * weight).abs() ** 3).sum() if y.is_complex() else (y**3 * weight).sum()
            (gradient,) = t.autograd.grad(total, x, create_graph=True)
            (gradient.abs() ** 2).sum().backward()
            scale = 1 / float(x.grad.abs().max())
            results += [y.resolve_conj().detach(), fn_name(y), gradient.detach(), x.grad * scale]
        return results

    same_as_torch(case, loosen=100)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", ONE)
def test_along_one_axis(name, options):
    check(name, options)


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", SEVERAL)
def test_along_several_axes(name, options):
    check(name, options)


@pytest.mark.parametrize("name", PLANES)
def test_along_two_axes(name):
    check(name, {"norm": "ortho"})


table = Cases()


@table.add
def dtypes(t):
    x = t.tensor([1.0, 2.0, 3.0])
    return (
        t.fft.fft(x), t.fft.fft(x.double()), t.fft.rfft(x), t.fft.irfft(t.fft.rfft(x)),
        t.fft.fft(t.tensor([1, 2])), t.fft.rfft(t.tensor([True, False])), t.fft.hfft(x),
        t.fft.ihfft(x), t.fft.fft2(t.zeros(2, 2)), t.fft.fftn(t.tensor(1.0)),
        t.fft.fftn(t.zeros(2, 2), dim=()),
    )  # fmt: skip


@table.add
def frequencies(t):
    x = t.arange(12.0).reshape(3, 4)
    return (
        [t.fft.fftfreq(n, 0.5) for n in (1, 4, 5)],
        [t.fft.rfftfreq(n) for n in (1, 4, 5)],
        t.fft.fftfreq(3, dtype=t.float64),
        t.fft.fftshift(x), t.fft.fftshift(x, dim=0), t.fft.ifftshift(x), t.fft.ifftshift(x, (1,)),
        t.fft.fftshift(t.fft.fftfreq(4, requires_grad=True)).requires_grad,
    )  # fmt: skip


@table.add
def refusals(t):
    x, z = t.zeros(4, 5), t.zeros(4, 5, dtype=t.complex64)
    return [
        raised(lambda: t.fft.fft(t.tensor(1.0)), 5),
        raised(lambda: t.fft.fft(x, n=0), 7),
        raised(lambda: t.fft.rfft(z), 8),
        raised(lambda: t.fft.ihfft(z), 8),
        raised(lambda: t.fft.fft(x, norm="bad"), 3),
        raised(lambda: t.fft.fftn(x, dim=(0, 0)), 3),
        raised(lambda: t.fft.fftn(x, s=(2,), dim=(0, 1)), 8),
        raised(lambda: t.fft.fftn(x, s=(2, 3, 4)), 10),
        raised(lambda: t.fft.fft(x, dim=5), 10),
        raised(lambda: t.fft.irfft(t.zeros(1)), 7),
        raised(lambda: t.fft.rfftn(x, dim=()), 7),
    ]


@pytest.mark.parametrize("case", table, ids=table.names())
def test_same_as_torch(case):
    same_as_torch(case)


def test_batches_of_none():
    """PyTorch's MKL fails here."""
    empty = tj.zeros(0, 3)
    assert tj.fft.fft(empty).shape == (0, 3) and tj.fft.fft(empty).dtype is tj.complex64
    assert tj.fft.rfft(empty).shape == (0, 2) and tj.fft.irfft(empty).shape == (0, 4)
    assert tj.fft.irfft(empty).dtype is tj.float32


# ---------------------------------------------------------------- NumPy, and transforms

IN_NUMPY = [name for name in (*ONE, *SEVERAL, *PLANES) if hasattr(np.fft, name)]


@pytest.mark.parametrize("name", IN_NUMPY)
def test_numpys_functions(name):
    array = inputs_of(name)[-1]
    theirs = getattr(np.fft, name)
    for x in (array, array.astype(np.complex64 if array.dtype.kind == "c" else np.float32)):
        for options in ({}, {"norm": "ortho"}):
            want = theirs(x, **options)
            for got in (
                theirs(tj.tensor(x), **options).numpy(),
                getattr(tj.fft, name)(x, **options),
            ):
                assert got.dtype == want.dtype
                tolerance = 1e-12 if x.itemsize > 8 or x.dtype == np.float64 else 1e-5
                np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * 10)
    axis = {"axis": 0} if name in ONE else {"axes": (0, 1)}
    np.testing.assert_allclose(
        theirs(tj.tensor(array), **axis).numpy(), theirs(array, **axis), 1e-9
    )
    assert list(inspect.signature(getattr(tj.fft, name)).parameters)[2] == "dim"


def test_shifts_of_numpy():
    for function in (np.fft.fftshift, np.fft.ifftshift):
        np.testing.assert_array_equal(function(tj.tensor(X)).numpy(), function(X))
        np.testing.assert_array_equal(function(tj.tensor(X), axes=1).numpy(), function(X, axes=1))


def test_compiled_gradients_are_right():
    def loss(x):
        spectrum = np.fft.rfft(x, axis=-1) * np.exp(-0.1j * np.arange(3))
        low = np.fft.irfft(spectrum, n=5)
        return (
            np.sum(np.abs(spectrum) * 1.5) + np.sum(low**2 * x) + np.sum(np.fft.fft2(x).real ** 2)
        )

    tj.check_grads(loss, (X,))
    gradient = tj.grad(loss)
    first = gradient(X)
    np.testing.assert_allclose(gradient(X), first, rtol=1e-12)
    np.testing.assert_allclose(gradient(2 * X), tj.grad(loss)(2 * X), rtol=1e-12)


def test_convolution_by_transforms():
    def convolved(x, kernel):
        return np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(kernel), n=8)

    x, kernel = RANDOM.normal(size=8), RANDOM.normal(size=8)
    jacobian = tj.jacobian(convolved)(x, kernel)
    circulant = np.array([[kernel[(i - j) % 8] for j in range(8)] for i in range(8)])
    np.testing.assert_allclose(jacobian, circulant, atol=1e-14)
