"""PyTorch's `fft` namespace: discrete Fourier transforms, with NumPy's and PyTorch's arguments.

Functions take NumPy arrays too and answer in kind; `np.fft.f(tensor)` comes here.  float32 stays
single precision (complex64).  All are made of three operations (ops/fourier.py): what is written
here is which axes, how long, how scaled, and conjugates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, AxisError, DtypeError, ShapeError
from tapejit.ops.fourier import SCALES
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, legacy_name
from tapejit.tensor.creation import finish
from tapejit.tensor.front import FUNCTIONS, named, offered

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2",
    "ifftn", "ifftshift", "ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft",
    "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

# ---------------------------------------------------------------- arguments

_NORMS = ("backward", "ortho", "forward")


def _scale(norm, inverse: bool) -> str:
    """What a transform in this direction is scaled by, for PyTorch's `norm`."""
    norm = "backward" if norm is None else norm
    if norm not in _NORMS:
        raise ArgumentError(
            f'Invalid normalization mode: "{norm}"\n  try  {", ".join(map(repr, _NORMS))}'
        )
    return SCALES[2 - _NORMS.index(norm) if inverse else _NORMS.index(norm)]


def _swapped(norm):
    """The norm that does in one direction what `norm` does in the other."""
    return {None: "forward", "backward": "forward", "forward": "backward"}.get(norm, norm)


def _axes_and_lengths(x: Tensor, s, dim) -> tuple[tuple[int, ...], list[int | None]]:
    """The axes of a transform, in order, and the length wanted along each (None: as it is)."""
    ndim = x._aval.ndim
    s = None if s is None else [s] if isinstance(s, int) else list(s)
    if dim is None:
        count = ndim if s is None else len(s)
        if count > ndim:
            raise ArgumentError(
                f"Got shape with {count} values but input tensor only has {ndim} dimensions."
            )
        axes = tuple(range(ndim - count, ndim))
    else:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        if not ndim and dims:
            raise AxisError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
        axes = tuple(normalize_axis("fft", d, ndim) for d in dims)
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"FFT dims must be unique: {axes}")
    if s is not None and len(s) != len(axes):
        raise ArgumentError("When given, dim and shape arguments must have the same length")
    lengths = [None] * len(axes) if s is None else [None if n in (None, -1) else n for n in s]
    for axis, n in zip(axes, lengths, strict=True):
        _check_length(x._aval.shape[axis] if n is None else n)
    return axes, lengths


def _check_length(n):
    if n < 1:
        raise ArgumentError(f"Invalid number of data points ({n}) specified")


def _resized(x: Tensor, axes: Sequence[int], lengths: Sequence[int | None]) -> Tensor:
    """x cropped, or padded with zeros behind, to these lengths."""
    shape = list(x._aval.shape)
    kept = list(shape)
    for axis, n in zip(axes, lengths, strict=True):
        if n is not None:
            shape[axis], kept[axis] = n, min(n, shape[axis])
    starts, steps = (0,) * len(shape), (1,) * len(shape)
    if tuple(kept) != x._aval.shape:
        x = apply(OPS["slice"], (x,), (starts, tuple(kept), steps))
    if kept != shape:
        x = apply(OPS["unslice"], (x,), (tuple(shape), starts, steps))
    return x


# ---------------------------------------------------------------- the three transforms


def _transform(input, s, dim, norm, inverse: bool) -> Tensor:
    axes, lengths = _axes_and_lengths(input, s, dim)
    x = _resized(input, axes, lengths)
    if not axes:
        return x.to(dtypes.to_float(x._aval.dtype).to_complex())
    return apply(OPS["dft"], (x,), (axes, inverse, _scale(norm, inverse)))


def _half(name, input, s, dim, norm) -> Tensor:
    if input._aval.dtype.is_complex:
        raise DtypeError(
            f"{name} expects a real input tensor, but got {legacy_name(input._aval.dtype)}\n"
            f"  try  {name.replace('rfft', 'fft').replace('ihfft', 'ifft')}"
        )
    axes, lengths = _axes_and_lengths(input, s, dim)
    if not axes:
        raise ArgumentError(f"{name} must transform at least one axis")
    x = _resized(input, axes, lengths)
    return apply(OPS["rdft"], (x,), (axes, _scale(norm, False), False))


def _from_half(name, input, s, dim, norm) -> Tensor:
    axes, lengths = _axes_and_lengths(input, s, dim)
    if not axes:
        raise ArgumentError(f"{name} must transform at least one axis")
    n = 2 * (input._aval.shape[axes[-1]] - 1) if lengths[-1] is None else lengths[-1]
    _check_length(n)
    x = _resized(input, axes, [*lengths[:-1], n // 2 + 1])
    return apply(OPS["irdft"], (x,), (axes, n, _scale(norm, True), False))


# ---------------------------------------------------------------- along one axis


@offered(numpy=("fft.fft",))
def fft(input, n=None, dim=-1, norm=None) -> Tensor:
    """The Fourier transform of n numbers along an axis: sum of x[j] exp(-2 pi i j k / n).

    n     crops, or pads with zeros
    norm  "backward" (default: no factor), "ortho" (1/sqrt(n)) or "forward" (1/n)
    Like  torch.fft.fft; numpy.fft.fft

    >>> import tapejit as tj
    >>> tj.fft.fft(tj.tensor([1.0, 2.0, 3.0, 4.0]))[1]
    tensor(-2.+2.j)
    """
    y = _transform(input, None if n is None else (n,), (dim,), norm, False)
    return y if input._aval.dtype.is_complex else named(y, "FftR2CBackward0")


@offered(numpy=("fft.ifft",))
def ifft(input, n=None, dim=-1, norm=None) -> Tensor:
    """The inverse of `fft`.

    >>> import tapejit as tj
    >>> tj.fft.ifft(tj.fft.fft(tj.tensor([1.0, 2.0, 3.0]))).real
    tensor([1., 2., 3.])
    """
    y = _transform(input, None if n is None else (n,), (dim,), norm, True)
    return y if input._aval.dtype.is_complex else named(y, "ConjBackward0")


@offered(numpy=("fft.rfft",))
def rfft(input, n=None, dim=-1, norm=None) -> Tensor:
    """The Fourier transform of real numbers: its first n // 2 + 1 elements, which say all.

    >>> import tapejit as tj
    >>> tj.fft.rfft(tj.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j])
    """
    return _half("rfft", input, None if n is None else (n,), (dim,), norm)


@offered(numpy=("fft.irfft",))
def irfft(input, n=None, dim=-1, norm=None) -> Tensor:
    """The inverse of `rfft`; n tells odd lengths (default: even, 2 (m - 1)).

    >>> import tapejit as tj
    >>> tj.fft.irfft(tj.fft.rfft(tj.tensor([1.0, 2.0, 3.0])), n=3)
    tensor([1., 2., 3.])
    """
    return _from_half("irfft", input, None if n is None else (n,), (dim,), norm)


@offered(numpy=("fft.hfft",))
def hfft(input, n=None, dim=-1, norm=None) -> Tensor:
    """The real transform of n numbers with conjugate symmetry, of which half are given.

    >>> import tapejit as tj
    >>> tj.fft.hfft(tj.tensor([1.0 + 0j, 2j, 0j]))
    tensor([ 1.,  5.,  1., -3.])
    """
    x = FUNCTIONS["conj"](input)
    return _from_half("hfft", x, None if n is None else (n,), (dim,), _swapped(norm))


@offered(numpy=("fft.ihfft",))
def ihfft(input, n=None, dim=-1, norm=None) -> Tensor:
    """The inverse of `hfft`.

    >>> import tapejit as tj
    >>> tj.fft.ihfft(tj.tensor([1.0, 5.0, 1.0, -3.0]))
    tensor([1.-0.j, 0.+2.j, 0.-0.j])
    """
    y = _half("ihfft", input, None if n is None else (n,), (dim,), _swapped(norm))
    return FUNCTIONS["conj"](y)


# ---------------------------------------------------------------- along several axes


@offered(numpy=("fft.fftn",))
def fftn(input, s=None, dim=None, norm=None) -> Tensor:
    """`fft` along several axes (default: all, or the last ones if s is given).

    s  the length along each; -1 leaves it

    >>> import tapejit as tj
    >>> tj.fft.fftn(tj.eye(2)).real
    tensor([[2., 0.],
            [0., 2.]])
    """
    return _transform(input, s, dim, norm, False)


@offered(numpy=("fft.ifftn",))
def ifftn(input, s=None, dim=None, norm=None) -> Tensor:
    """The inverse of `fftn`.

    >>> import tapejit as tj
    >>> tj.fft.ifftn(tj.fft.fftn(tj.eye(2))).real
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _transform(input, s, dim, norm, True)


@offered(numpy=("fft.rfftn",))
def rfftn(input, s=None, dim=None, norm=None) -> Tensor:
    """`fftn` of real numbers, the half of it along the last axis that says all.

    >>> import tapejit as tj
    >>> tj.fft.rfftn(tj.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    return _half("rfftn", input, s, dim, norm)


@offered(numpy=("fft.irfftn",))
def irfftn(input, s=None, dim=None, norm=None) -> Tensor:
    """The inverse of `rfftn`; s tells odd lengths.

    >>> import tapejit as tj
    >>> tj.fft.irfftn(tj.fft.rfftn(tj.eye(2, 3)), s=(2, 3))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    return _from_half("irfftn", input, s, dim, norm)


@offered()
def hfftn(input, s=None, dim=None, norm=None) -> Tensor:
    """`hfft` along the last axis, `fft` along the others.

    >>> import tapejit as tj
    >>> tj.fft.hfftn(tj.ones(2, 3)).shape
    torch.Size([2, 4])
    """
    return _from_half("hfftn", FUNCTIONS["conj"](input), s, dim, _swapped(norm))


@offered()
def ihfftn(input, s=None, dim=None, norm=None) -> Tensor:
    """The inverse of `hfftn`.

    >>> import tapejit as tj
    >>> tj.fft.ihfftn(tj.ones(2, 4)).shape
    torch.Size([2, 3])
    """
    axes, _ = _axes_and_lengths(input, s, dim)
    y = FUNCTIONS["conj"](_half("ihfftn", input, s, dim, _swapped(norm)))
    return named(y, "FftC2CBackward0") if len(axes) > 1 else y


def _in_planes(function):
    """A transform along the last two axes."""

    def planes(input, s=None, dim=(-2, -1), norm=None) -> Tensor:
        return function(input, s, dim, norm)

    name = function.__name__[:-1] + "2"
    planes.__name__ = planes.__qualname__ = name
    planes.__doc__ = f"""`{function.__name__}` along the last two axes, or those given.

>>> import tapejit as tj
>>> tj.fft.{name}(tj.ones(5, 2, 2)).shape[0]
5
"""
    return offered(numpy=(f"fft.{name}",) if hasattr(np.fft, name) else ())(planes)


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = map(
    _in_planes, (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn)
)

# ---------------------------------------------------------------- frequencies


def _frequencies(places, n, d, dtype, requires_grad, device):
    dtype = dtypes.get_default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if n < 0:
        raise ShapeError(f"fftfreq: {n} frequencies\n  try  a length that is not negative")
    return finish(places / (n * d or 1), dtype, requires_grad, device)


def fftfreq(n, d=1.0, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The frequencies of the elements of `fft`, for n samples d apart.

    >>> import tapejit as tj
    >>> tj.fft.fftfreq(4)
    tensor([ 0.0000,  0.2500, -0.5000, -0.2500])
    """
    places = np.arange(n)
    return _frequencies(np.where(places < (n + 1) // 2, places, places - n), n, d, dtype,
                        requires_grad, device)  # fmt: skip


def rfftfreq(n, d=1.0, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The frequencies of the elements of `rfft`, for n samples d apart.

    >>> import tapejit as tj
    >>> tj.fft.rfftfreq(4)
    tensor([0.0000, 0.2500, 0.5000])
    """
    return _frequencies(np.arange(n // 2 + 1), n, d, dtype, requires_grad, device)


def _shifted(input, dim, sign):
    dims = range(input._aval.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = tuple(normalize_axis("fftshift", d, input._aval.ndim) for d in dims)
    lengths = [input._aval.shape[d] for d in dims]
    shifts = [n // 2 if sign > 0 else (n + 1) // 2 for n in lengths]
    return FUNCTIONS["roll"](input, tuple(shifts), dims) if dims else input


@offered(numpy=("fft.fftshift",))
def fftshift(input, dim=None) -> Tensor:
    """The elements of a transform with frequency 0 in the middle.

    >>> import tapejit as tj
    >>> tj.fft.fftshift(tj.fft.fftfreq(4))
    tensor([-0.5000, -0.2500,  0.0000,  0.2500])
    """
    return _shifted(input, dim, 1)


@offered(numpy=("fft.ifftshift",))
def ifftshift(input, dim=None) -> Tensor:
    """The inverse of `fftshift`.

    >>> import tapejit as tj
    >>> tj.fft.ifftshift(tj.fft.fftshift(tj.fft.fftfreq(5)))
    tensor([ 0.0000,  0.2000,  0.4000, -0.4000, -0.2000])
    """
    return _shifted(input, dim, -1)
