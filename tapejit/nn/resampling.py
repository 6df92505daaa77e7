"""Images moved about: interpolation, windows as columns, channels as pixels, padding.

All of these are linear and made of views, index, and their transposes.
"""

from __future__ import annotations

import functools
import math
import operator

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.nn.calling import offered
from tapejit.nn.pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from tapejit.nn.windows import lengths_of, window_attributes, windows
from tapejit.ops.correlation import output_lengths
from tapejit.registry import OPS
from tapejit.tensor import padding as paddings
from tapejit.tensor.core import Tensor, apply, data_beside
from tapejit.tensor.front import named
from tapejit.tensor.padding import picked

# ---------------------------------------------------------------- interpolation

_AREA = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
_RANKS = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


def _nearest(x, axis, length, ratio, is_exact):
    at = np.arange(length, dtype=np.float32) + np.float32(0.5 if is_exact else 0.0)
    places = np.floor(at * np.float32(ratio)).astype(np.int64)
    return picked(x, axis, np.minimum(places, x.shape[axis] - 1))


def _cubic(t):
    """The four weights of cubic convolution (a = -0.75) around a fraction t."""
    a = -0.75

    def near(s):
        return ((a + 2) * s - (a + 3)) * s * s + 1

    def far(s):
        return ((a * s - 5 * a) * s + 8 * a) * s - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


def _smooth(x, axis, length, ratio, align_corners, is_cubic):
    """Linear or cubic interpolation along one axis: a sum of parts with weights."""
    n = x.shape[axis]
    if align_corners:
        at = np.arange(length) * ((n - 1) / (length - 1) if length > 1 else 0.0)
    else:
        at = (np.arange(length) + 0.5) * ratio - 0.5
        at = at if is_cubic else np.maximum(at, 0.0)
    first = np.floor(at)
    fraction = at - first
    weights = _cubic(fraction) if is_cubic else (1.0 - fraction, fraction)
    begin = first.astype(np.int64) - (1 if is_cubic else 0)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    parts = [
        picked(x, axis, np.clip(begin + offset, 0, n - 1))
        * data_beside(x, weight.astype(x._aval.dtype.dtype).reshape(shape))
        for offset, weight in enumerate(weights)
    ]
    return functools.reduce(operator.add, parts)


def _sizes(input, size, scale_factor, recompute):
    """The lengths asked for, and per axis how far one step of the result goes in the input."""
    n = input.ndim - 2
    spatial = input._aval.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            "either size or scale_factor should be defined"
            if size is None
            else "only one of size or scale_factor should be defined"
        )
    if size is not None:
        lengths = lengths_of("size", size, n)
        factors = None
    else:
        given = scale_factor if isinstance(scale_factor, list | tuple) else (scale_factor,) * n
        if len(given) != n:
            raise ArgumentError(
                "Input and scale_factor must have the same number of spatial dimensions, but got "
                f"input with spatial dimensions of {list(spatial)} and scale_factor of shape "
                f"{tuple(given)}."
            )
        lengths = tuple(math.floor(m * f) for m, f in zip(spatial, given, strict=True))
        factors = None if recompute else given
    if min(lengths) <= 0:
        raise ShapeError(
            "Input and output sizes should be greater than 0, but got input "
            f"{list(spatial)} output {list(lengths)}"
        )
    if factors is not None:
        return lengths, [1.0 / f for f in factors]
    return lengths, [m / t for m, t in zip(spatial, lengths, strict=True)]


@offered()
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
) -> Tensor:
    """The spatial axes (after batch and channels) brought to other lengths.

    mode  "nearest", "nearest-exact", "linear" (one axis), "bilinear", "bicubic" (two),
          "trilinear" (three), "area"

    >>> import tapejit as tj
    >>> x = tj.tensor([[[1.0, 3.0]]])
    >>> tj.nn.functional.interpolate(x, scale_factor=2)
    tensor([[[1., 1., 3., 3.]]])
    >>> tj.nn.functional.interpolate(x, size=3, mode="linear", align_corners=True)
    tensor([[[1., 2., 3.]]])
    """
    if mode not in ("nearest", "nearest-exact", "area", *_RANKS):
        raise ArgumentError(f"interpolate: there is no mode {mode!r}\n  try  'bilinear'")
    if input.ndim not in (3, 4, 5):
        raise ShapeError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the "
            "modes: nearest | linear | bilinear | bicubic | trilinear | area | nearest-exact "
            f"(got {mode})"
        )
    n = input.ndim - 2
    if mode in _RANKS and _RANKS[mode] != n:
        raise ShapeError(
            f"Got {input.ndim}D input, but {mode} mode needs {_RANKS[mode] + 2}D input"
        )
    if mode not in _RANKS and align_corners is not None:
        raise ArgumentError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    if antialias:
        raise ArgumentError("interpolate: antialias=True is not supported")
    lengths, ratios = _sizes(input, size, scale_factor, recompute_scale_factor)
    if mode == "area":
        return _AREA[n - 1](input, lengths)
    for axis, (length, ratio) in enumerate(zip(lengths, ratios, strict=True), 2):
        if mode in _RANKS:
            input = _smooth(input, axis, length, ratio, bool(align_corners), mode == "bicubic")
        else:
            input = _nearest(input, axis, length, ratio, mode == "nearest-exact")
    kind = mode.title().replace("-", "")
    return named(input, f"Upsample{kind}{n}DBackward0")


@offered()
def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None) -> Tensor:
    """interpolate, under its old name.

    >>> import tapejit as tj
    >>> tj.nn.functional.upsample(tj.tensor([[[1.0, 3.0]]]), scale_factor=2)
    tensor([[[1., 1., 3., 3.]]])
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


# ---------------------------------------------------------------- channels and pixels


@offered(top=True)
def pixel_shuffle(input, upscale_factor) -> Tensor:
    """(..., c r r, h, w) as (..., c, h r, w r).

    >>> import tapejit as tj
    >>> tj.nn.functional.pixel_shuffle(tj.arange(4.0).reshape(4, 1, 1), 2)
    tensor([[[0., 1.],
             [2., 3.]]])
    """
    r = upscale_factor
    if input.ndim < 3:
        raise ShapeError(
            "pixel_shuffle expects input to have at least 3 dimensions, but got input with "
            f"{input.ndim} dimension(s)"
        )
    if r <= 0:
        raise ArgumentError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *lead, c, h, w = input._aval.shape
    if c % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    k = len(lead)
    order = (*range(k), k, k + 3, k + 1, k + 4, k + 2)
    result = input.reshape(*lead, c // (r * r), r, r, h, w).permute(order)
    return named(result.reshape(*lead, c // (r * r), h * r, w * r), "PixelShuffleBackward0")


@offered(top=True)
def pixel_unshuffle(input, downscale_factor) -> Tensor:
    """(..., c, h r, w r) as (..., c r r, h, w).

    >>> import tapejit as tj
    >>> tj.nn.functional.pixel_unshuffle(tj.arange(4.0).reshape(1, 2, 2), 2).flatten()
    tensor([0., 1., 2., 3.])
    """
    r = downscale_factor
    if input.ndim < 3:
        raise ShapeError(
            "pixel_unshuffle expects input to have at least 3 dimensions, but got input with "
            f"{input.ndim} dimension(s)"
        )
    if r <= 0:
        raise ArgumentError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *lead, c, h, w = input._aval.shape
    for name, length in (("height", h), ("width", w)):
        if length % r:
            raise ShapeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                f"{name}={length} is not divisible by {r}"
            )
    k = len(lead)
    order = (*range(k), k, k + 2, k + 4, k + 1, k + 3)
    result = input.reshape(*lead, c, h // r, r, w // r, r).permute(order)
    return named(result.reshape(*lead, c * r * r, h // r, w // r), "PixelUnshuffleBackward0")


@offered(top=True)
def channel_shuffle(input, groups) -> Tensor:
    """The channels (axis 1) of groups interleaved.

    >>> import tapejit as tj
    >>> tj.nn.functional.channel_shuffle(tj.arange(4.0).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    if input.ndim < 3:
        raise ShapeError(
            "channel_shuffle expects input with > 2 dims, but got input with sizes "
            f"{list(input.shape)}"
        )
    n, c, *rest = input._aval.shape
    if groups <= 0 or c % groups:
        raise ArgumentError("Number of channels must be divisible by groups")
    result = input.reshape(n, groups, c // groups, *rest).transpose(1, 2)
    return named(result.reshape(input._aval.shape), "ChannelShuffleBackward0")


pad = offered()(paddings.pad)

# ---------------------------------------------------------------- windows as columns


def _column_attributes(kernel_size, dilation, padding, stride):
    names = ("kernel_size", "dilation", "padding", "stride")
    values = (kernel_size, dilation, padding, stride)
    return [lengths_of(name, value, 2) for name, value in zip(names, values, strict=True)]


@offered()
def unfold(input, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The windows of (n, c, h, w) as columns: (n, c * kernel, windows).

    >>> import tapejit as tj
    >>> tj.nn.functional.unfold(tj.arange(6.0).reshape(1, 1, 2, 3), 2)
    tensor([[[0., 1.],
             [1., 2.],
             [3., 4.],
             [4., 5.]]])
    """
    if input.ndim not in (3, 4):
        raise ShapeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(input.shape)}"
        )
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    kernel, dilation, padding, stride = _column_attributes(kernel_size, dilation, padding, stride)
    lengths = output_lengths(input.shape[2:], kernel, stride, padding, dilation)
    if min(lengths) <= 0:
        raise ShapeError(
            f"Given input with spatial size {tuple(input.shape[2:])}, kernel_size={kernel}, "
            f"dilation={dilation}, padding={padding}, calculated shape of the array of sliding "
            f"blocks as {lengths}, but its components must be at least one."
        )
    parts = windows(input, lengths, kernel, stride, padding, dilation)
    n, c = input.shape[:2]
    columns = parts.reshape(n, c * math.prod(kernel), math.prod(lengths))
    return named(columns, "Im2ColBackward0")


@offered()
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Columns (n, c * kernel, windows) added up where unfold found them: its transpose.

    >>> import tapejit as tj
    >>> columns = tj.nn.functional.unfold(tj.ones(1, 1, 2, 3), 2)
    >>> tj.nn.functional.fold(columns, (2, 3), 2)
    tensor([[[[1., 2., 1.],
              [1., 2., 1.]]]])
    """
    if input.ndim not in (2, 3):
        raise ShapeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and "
            f"non-zero dimensions for input, but got: {list(input.shape)}"
        )
    if input.ndim == 2:
        columns = input.unsqueeze(0)
        return fold(columns, output_size, kernel_size, dilation, padding, stride).squeeze(0)
    kernel, dilation, padding, stride = _column_attributes(kernel_size, dilation, padding, stride)
    output = lengths_of("output_size", output_size, 2)
    lengths = output_lengths(output, kernel, stride, padding, dilation)
    n, rows, n_windows = input._aval.shape
    if rows % math.prod(kernel):
        raise ShapeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={rows} and kernel_size={kernel}."
        )
    if n_windows != math.prod(lengths):
        raise ShapeError(
            f"Given output_size={output}, kernel_size={kernel}, dilation={dilation}, "
            f"padding={padding}, stride={stride}, expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {lengths[0]} * {lengths[1]} = "
            f"{math.prod(lengths)}, but got input.size(2)={n_windows}."
        )
    c = rows // math.prod(kernel)
    wide = tuple(m + 2 * p for m, p in zip(output, padding, strict=True))
    _, *places = window_attributes(4, (n, c, *lengths), kernel, stride, dilation)
    parts = input.reshape(n, c, *kernel, *lengths)
    image = apply(OPS["unstrided"], (parts,), ((n, c, *wide), *places))
    for axis, (p, m) in enumerate(zip(padding, output, strict=True), 2):
        image = image.narrow(axis, p, m)
    return named(image, "Col2ImBackward0")
