"""Convolutions and transposed convolutions in one, two and three spatial axes.

Checks and words are PyTorch's; the work is one row of `ops/convolution`, and one for the bias.
"""

from __future__ import annotations

from tapejit.errors import ArgumentError, DtypeError, ShapeError
from tapejit.nn.calling import offered
from tapejit.nn.windows import lengths_of, padded
from tapejit.ops.correlation import output_lengths
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, legacy_name
from tapejit.tensor.front import named

# ---------------------------------------------------------------- checks


def _batched(name, input, weight, n):
    """The input with a batch axis, and whether it had one."""
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input "
            f"of size: {list(input.shape)}"
        )
    if weight.ndim != n + 2:
        raise ShapeError(
            f"weight should have {n + 2} dimensions for {name}, got {list(weight.shape)}"
        )
    if input.dtype is not weight.dtype:
        raise DtypeError(
            f"expected scalar type {legacy_name(input.dtype)} but found "
            f"{legacy_name(weight.dtype)}: input and weight of {name} must have one dtype"
        )
    is_batched = input.ndim == n + 2
    return input if is_batched else input.unsqueeze(0), is_batched


def _check_numbers(stride, padding, dilation, groups):
    if min(stride) <= 0:
        raise ArgumentError("non-positive stride is not supported")
    if min(padding) < 0:
        raise ArgumentError("negative padding is not supported")
    if min(dilation) <= 0:
        raise ArgumentError("dilation should be greater than zero")
    if groups <= 0:
        raise ArgumentError("non-positive groups is not supported")


def _check_channels(input, weight, groups, n_expected, transposed=False):
    shape = list(weight.shape)
    if shape[0] < groups:
        raise ShapeError(
            f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but "
            f"got weight of size {shape} instead"
        )
    if shape[0] % groups:
        raise ShapeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, "
            f"but got weight of size {shape} instead"
        )
    if input.shape[1] != n_expected:
        given = "transposed=1" if transposed else f"groups={groups}"
        raise ShapeError(
            f"Given {given}, weight of size {shape}, expected input{list(input.shape)} to have "
            f"{n_expected} channels, but got {input.shape[1]} channels instead"
        )


def _finished(result, bias, weight, n_out, is_batched):
    if bias is not None:
        if bias._aval.shape != (n_out,):
            raise ShapeError(
                f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional "
                f"with {n_out} elements, but got bias of size {list(bias.shape)} instead"
            )
        result = result + bias.reshape(n_out, *(1,) * (result.ndim - 2))
        result = named(result, "ConvolutionBackward0")
    return result if is_batched else result.squeeze(0)


def _by(lengths):
    return "(" + " x ".join(map(str, lengths)) + ")"


# ---------------------------------------------------------------- convolution


def _same(input, kernel, stride, dilation):
    """The input and padding that keep its lengths; an odd element goes behind, as in PyTorch."""
    if set(stride) != {1}:
        raise ArgumentError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(n % 2 for n in total):
        input = padded(input, [0] * len(total), [n % 2 for n in total])
    return input, tuple(n // 2 for n in total)


def _convolve(n, input, weight, bias, stride, padding, dilation, groups):
    name = f"conv{n}d"
    input, is_batched = _batched(name, input, weight, n)
    stride = lengths_of("stride", stride, n)
    dilation = lengths_of("dilation", dilation, n)
    kernel = weight._aval.shape[2:]
    if padding == "same":
        input, padding = _same(input, kernel, stride, dilation)
    elif isinstance(padding, str) and padding != "valid":
        raise ArgumentError(f"Invalid padding string: '{padding}'\n  try  'same' or 'valid'")
    padding = (0,) * n if padding == "valid" else lengths_of("padding", padding, n)
    _check_numbers(stride, padding, dilation, groups)
    _check_channels(input, weight, groups, weight.shape[1] * groups)
    available = [m + 2 * p for m, p in zip(input.shape[2:], padding, strict=True)]
    covered = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(m < k for m, k in zip(available, covered, strict=True)):
        raise ShapeError(
            f"Calculated padded input size per channel: {_by(available)}. Kernel size: "
            f"{_by(covered)}. Kernel size can't be greater than actual input size"
        )
    result = apply(OPS["convolution"], (input, weight), (stride, padding, dilation, groups))
    return _finished(result, bias, weight, weight.shape[0], is_batched)


@offered(top=True)
def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """Correlation of (n, c, length) with weight (o, c / groups, k), as PyTorch calls convolution.

    >>> import tapejit as tj
    >>> x = tj.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    >>> tj.nn.functional.conv1d(x, tj.tensor([[[1.0, -1.0]]]))
    tensor([[[-1., -2., -4.]]])
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


@offered(top=True)
def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """Correlation of (n, c, height, width) with weight (o, c / groups, kh, kw).

    >>> import tapejit as tj
    >>> x = tj.arange(9.0).reshape(1, 1, 3, 3)
    >>> tj.nn.functional.conv2d(x, tj.ones(1, 1, 2, 2))
    tensor([[[[ 8., 12.],
              [20., 24.]]]])
    >>> tj.nn.functional.conv2d(x, tj.ones(1, 1, 3, 3), padding="same").shape
    torch.Size([1, 1, 3, 3])
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


@offered(top=True)
def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """Correlation of (n, c, depth, height, width) with weight (o, c / groups, kd, kh, kw).

    >>> import tapejit as tj
    >>> tj.nn.functional.conv3d(tj.ones(1, 1, 2, 2, 2), tj.ones(1, 1, 2, 2, 2)).item()
    8.0
    """
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


# ---------------------------------------------------------------- transposed


def _extended(input, kernel, lengths, stride, padding, dilation):
    """Zeros behind the input, as many as a convolution of `lengths` has further places.

    There are some where output_padding is as large as the stride (and less than the dilation).
    """
    places = output_lengths(lengths, kernel, stride, padding, dilation)
    missing = [m - t for m, t in zip(places, input.shape[2:], strict=True)]
    return padded(input, [0] * len(missing), missing)


def _transpose(n, input, weight, bias, stride, padding, output_padding, groups, dilation):
    name = f"conv_transpose{n}d"
    input, is_batched = _batched(name, input, weight, n)
    stride = lengths_of("stride", stride, n)
    padding = lengths_of("padding", padding, n)
    dilation = lengths_of("dilation", dilation, n)
    extra = lengths_of("output_padding", output_padding, n)
    _check_numbers(stride, padding, dilation, groups)
    _check_channels(input, weight, groups, weight.shape[0], transposed=True)
    if min(extra) < 0:
        raise ArgumentError("negative output_padding is not supported")
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ArgumentError(
            "output padding must be smaller than either stride or dilation, but got "
            f"output_padding: {extra} stride: {stride} dilation: {dilation}"
        )
    kernel = weight._aval.shape[2:]
    lengths = tuple(
        (t - 1) * s - 2 * p + d * (k - 1) + e + 1
        for t, k, s, p, d, e in zip(
            input.shape[2:], kernel, stride, padding, dilation, extra, strict=True
        )
    )
    if min(lengths) <= 0:
        raise ShapeError(
            f"Given input size per channel: {_by(input.shape[2:])}. Calculated output size per "
            f"channel: {_by(lengths)}. Output size is too small"
        )
    input = _extended(input, kernel, lengths, stride, padding, dilation)
    attrs = (lengths, stride, padding, dilation, groups)
    result = apply(OPS["convolution_input"], (input, weight), attrs)
    return _finished(result, bias, weight, weight.shape[1] * groups, is_batched)


@offered(top=True)
def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """The transpose of conv1d; weight (c, o / groups, k).

    >>> import tapejit as tj
    >>> x, weight = tj.tensor([[[1.0, 2.0]]]), tj.tensor([[[1.0, 10.0]]])
    >>> tj.nn.functional.conv_transpose1d(x, weight)
    tensor([[[ 1., 12., 20.]]])
    """
    return _transpose(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


@offered(top=True)
def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """The transpose of conv2d; weight (c, o / groups, kh, kw).

    >>> import tapejit as tj
    >>> x = tj.ones(1, 1, 2, 2)
    >>> tj.nn.functional.conv_transpose2d(x, tj.ones(1, 1, 2, 2), stride=2).shape
    torch.Size([1, 1, 4, 4])
    """
    return _transpose(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


@offered(top=True)
def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """The transpose of conv3d; weight (c, o / groups, kd, kh, kw).

    >>> import tapejit as tj
    >>> x = tj.ones(1, 1, 2, 2, 2)
    >>> tj.nn.functional.conv_transpose3d(x, tj.ones(1, 1, 2, 2, 2)).shape
    torch.Size([1, 1, 3, 3, 3])
    """
    return _transpose(3, input, weight, bias, stride, padding, output_padding, groups, dilation)
