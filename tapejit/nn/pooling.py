"""Pooling: the largest, the mean or the p-norm of windows, and the way back.

A max-pool is a gather by the indices of `ops/pooling.max_pool_index`; an average is a sum over
windows, divided by what each window counts for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.nn.calling import offered
from tapejit.nn.windows import lengths_of, window_sums
from tapejit.ops.pooling import adaptive_windows
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, data_beside
from tapejit.tensor.front import FUNCTIONS, named

# ---------------------------------------------------------------- windows


def _check_rank(name, input, n):
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"non-empty {n + 1}D or {n + 2}D (batch mode) tensor expected for input of {name}, but "
            f"got size {list(input.shape)}"
        )


def _windows(name, n, input, kernel_size, stride, padding, dilation, ceil_mode):
    """Lengths of the result, kernel, stride, padding and dilation, one number per axis."""
    _check_rank(name, input, n)
    kernel = lengths_of("kernel_size", kernel_size, n)
    is_given = stride is not None and not (isinstance(stride, list | tuple) and not stride)
    stride = lengths_of("stride", stride, n) if is_given else kernel
    padding = lengths_of("padding", padding, n)
    dilation = lengths_of("dilation", dilation, n)
    if min(kernel) <= 0:
        raise ArgumentError(f"{name}: kernel size should be greater than zero, but got {kernel}")
    if min(stride) <= 0:
        raise ArgumentError(f"{name}: stride should be greater than zero, but got {stride}")
    if min(dilation) <= 0:
        raise ArgumentError(f"{name}: dilation should be greater than zero, but got {dilation}")
    for k, p, d in zip(kernel, padding, dilation, strict=True):
        if p < 0:
            raise ArgumentError(f"pad must be non-negative, but got pad: {p}")
        if p > k // 2:
            raise ArgumentError(
                "pad should be at most half of effective kernel size, but got "
                f"pad={p}, kernel_size={k} and dilation={d}"
            )
    spatial = input._aval.shape[-n:]
    lengths = tuple(
        _length(*sizes, ceil_mode)
        for sizes in zip(spatial, kernel, stride, padding, dilation, strict=True)
    )
    if min(lengths) <= 0:
        raise ShapeError(
            f"Given input size: {_by(input.shape[-n - 1 :])}. Calculated output size: "
            f"{_by((input.shape[-n - 1], *lengths))}. Output size is too small"
        )
    for n_elements, *axis in zip(spatial, lengths, kernel, stride, padding, dilation, strict=True):
        _check_windows(name, n_elements, *axis)
    return lengths, kernel, stride, padding, dilation


def _check_windows(name, n, length, k, s, p, d):
    """Raise where a dilated window steps over the whole input: it has no elements to choose from.

    PyTorch gives -inf there, and an index outside of the input.
    """
    places = np.arange(length)[:, None] * s - p + np.arange(k) * d
    if not ((places >= 0) & (places < n)).any(1).all():
        raise ShapeError(
            f"{name}: a window lies outside of the input: {n} elements, kernel_size={k}, "
            f"stride={s}, padding={p}, dilation={d}\n  try  less padding, or a smaller dilation"
        )


def _by(lengths):
    return "(" + "x".join(map(str, lengths)) + ")"


def _length(n, k, s, p, d, ceil_mode):
    """How many windows begin inside the input or the padding in front of it."""
    room = n + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return room // s + 1
    length = -(-room // s) + 1
    return length - 1 if (length - 1) * s >= n + p else length


def _gathered(input, indices, n):
    """The elements at flat indices of the last n axes."""
    lead = input._aval.shape[:-n]
    rows, places = input.reshape(*lead, -1), indices.reshape(*lead, -1)
    return apply(OPS["gather"], (rows, places), (len(lead),)).reshape(indices._aval.shape)


# ---------------------------------------------------------------- max


def _max_pool(n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices) -> Any:
    name = f"max_pool{n}d"
    attrs = _windows(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
    indices = apply(OPS["max_pool_index"], (input,), attrs)
    values = named(_gathered(input, indices, n), f"MaxPool{n}DWithIndicesBackward0")
    return (values, indices) if return_indices else values


@offered(top=True)
def max_pool1d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
) -> Any:
    """The largest element of each window of the last axis; the slope goes to the first of equals.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1.0, 3.0, 2.0, 5.0]])
    >>> tj.nn.functional.max_pool1d(x, 2)
    tensor([[3., 5.]])
    >>> tj.nn.functional.max_pool1d(x, 2, return_indices=True)[1]
    tensor([[1, 3]])
    """
    return _max_pool(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@offered(top=True)
def max_pool2d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
) -> Any:
    """The largest element of each window of the last two axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.max_pool2d(tj.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _max_pool(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@offered(top=True)
def max_pool3d(
    input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
) -> Any:
    """The largest element of each window of the last three axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.max_pool3d(tj.arange(8.0).reshape(1, 2, 2, 2), 2).item()
    7.0
    """
    return _max_pool(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _adaptive_lengths(name, n, input, output_size):
    """The lengths asked for; None keeps an axis."""
    _check_rank(name, input, n)
    given = output_size if isinstance(output_size, list | tuple) else (output_size,) * n
    if len(given) != n:
        raise ArgumentError(f"{name}: output_size must have {n} numbers, got {tuple(given)}")
    spatial = input._aval.shape[-n:]
    lengths = tuple(m if t is None else int(t) for m, t in zip(spatial, given, strict=True))
    if min(lengths) < 0:
        raise ArgumentError(f"{name}: elements of output_size must be greater than or equal to 0")
    return lengths


def _adaptive_max_pool(n, input, output_size, return_indices) -> Any:
    name = f"adaptive_max_pool{n}d"
    lengths = _adaptive_lengths(name, n, input, output_size)
    indices = apply(OPS["adaptive_max_index"], (input,), (lengths,))
    values = named(_gathered(input, indices, n), f"AdaptiveMaxPool{n}DBackward0")
    return (values, indices) if return_indices else values


@offered()
def adaptive_max_pool1d(input, output_size, return_indices=False) -> Any:
    """The largest element of each of `output_size` windows that cover the last axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.adaptive_max_pool1d(tj.tensor([[1.0, 3.0, 2.0, 5.0, 4.0]]), 2)
    tensor([[3., 5.]])
    """
    return _adaptive_max_pool(1, input, output_size, return_indices)


@offered()
def adaptive_max_pool2d(input, output_size, return_indices=False) -> Any:
    """The largest element of each of `output_size` windows that cover the last two axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.adaptive_max_pool2d(tj.arange(9.0).reshape(1, 3, 3), (1, 2))
    tensor([[[7., 8.]]])
    """
    return _adaptive_max_pool(2, input, output_size, return_indices)


@offered()
def adaptive_max_pool3d(input, output_size, return_indices=False) -> Any:
    """The largest element of each of `output_size` windows that cover the last three axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.adaptive_max_pool3d(tj.arange(8.0).reshape(1, 2, 2, 2), 1).item()
    7.0
    """
    return _adaptive_max_pool(3, input, output_size, return_indices)


# ---------------------------------------------------------------- mean


def _counts(n, length, k, s, p, count_include_pad):
    """By how many elements each window of one axis is divided."""
    starts = np.arange(length) * s - p
    ends = np.minimum(starts + k, n + p)
    return ends - starts if count_include_pad else np.minimum(ends, n) - np.maximum(starts, 0)


def _divisor(spatial, attrs, count_include_pad):
    """One number where all windows count the same, else one for each."""
    counts = np.ones((), np.int64)
    for n, t, k, s, p in zip(spatial, *attrs, strict=True):
        counts = counts[..., None] * _counts(n, t, k, s, p, count_include_pad)
    return int(counts.flat[0]) if (counts == counts.flat[0]).all() else counts


def _avg_pool(
    n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
):
    name = f"avg_pool{n}d"
    attrs = _windows(name, n, input, kernel_size, stride, padding, 1, ceil_mode)[:-1]
    if divisor_override == 0:
        raise ArgumentError("divisor must be not zero")
    divisor = divisor_override
    if divisor is None:
        divisor = _divisor(input._aval.shape[-n:], attrs, count_include_pad)
    total = window_sums(input, *attrs)
    if isinstance(divisor, np.ndarray):
        divisor = data_beside(input, divisor.astype(input._aval.dtype.dtype))
    return named(total / divisor, f"AvgPool{n}DBackward0")


@offered(top=True)
def avg_pool1d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
) -> Tensor:
    """The mean of each window of the last axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.avg_pool1d(tj.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[2.0000, 3.5000]])
    """
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@offered()
def avg_pool2d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
) -> Tensor:
    """The mean of each window of the last two axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.avg_pool2d(tj.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 2.5000,  4.5000],
             [10.5000, 12.5000]]])
    """
    return _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@offered()
def avg_pool3d(
    input,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
) -> Tensor:
    """The mean of each window of the last three axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.avg_pool3d(tj.arange(8.0).reshape(1, 2, 2, 2), 2).item()
    3.5
    """
    return _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _adaptive_avg_pool(n, input, output_size):
    name = f"adaptive_avg_pool{n}d"
    lengths = _adaptive_lengths(name, n, input, output_size)
    spatial = input._aval.shape[-n:]
    if set(lengths) == {1}:
        return named(input.mean(tuple(range(-n, 0)), True), "MeanBackward1")
    if min(lengths) > 0 and not any(m % t for m, t in zip(spatial, lengths, strict=True)):
        kernel = tuple(m // t for m, t in zip(spatial, lengths, strict=True))
        total = window_sums(input, lengths, kernel, kernel, (0,) * n)
        return named(total / math.prod(kernel), f"AdaptiveAvgPool{n}DBackward0")
    for axis, (m, t) in enumerate(zip(spatial, lengths, strict=True), -n):
        input = (input.transpose(axis, -1) @ _means(m, t, input)).transpose(axis, -1)
    return named(input, f"AdaptiveAvgPool{n}DBackward0")


def _means(n, length, like):
    """The matrix that takes n elements to the means of `length` windows."""
    matrix = np.zeros((n, length), like._aval.dtype.dtype)
    for i, (start, end) in enumerate(adaptive_windows(n, length)):
        matrix[start:end, i] = 1.0 / (end - start)
    return data_beside(like, matrix)


@offered(top=True)
def adaptive_avg_pool1d(input, output_size) -> Tensor:
    """The mean of each of `output_size` windows that cover the last axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.adaptive_avg_pool1d(tj.tensor([[1.0, 3.0, 2.0, 5.0]]), 2)
    tensor([[2.0000, 3.5000]])
    """
    return _adaptive_avg_pool(1, input, output_size)


@offered()
def adaptive_avg_pool2d(input, output_size) -> Tensor:
    """The mean of each of `output_size` windows that cover the last two axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.adaptive_avg_pool2d(tj.arange(9.0).reshape(1, 3, 3), (1, 2))
    tensor([[[3.5000, 4.5000]]])
    """
    return _adaptive_avg_pool(2, input, output_size)


@offered()
def adaptive_avg_pool3d(input, output_size) -> Tensor:
    """The mean of each of `output_size` windows that cover the last three axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.adaptive_avg_pool3d(tj.arange(8.0).reshape(1, 2, 2, 2), 1).item()
    3.5
    """
    return _adaptive_avg_pool(3, input, output_size)


# ---------------------------------------------------------------- p-norms


def _lp_pool(n, input, norm_type, kernel_size, stride, ceil_mode):
    if math.isinf(norm_type):
        sign = 1.0 if norm_type > 0 else -1.0
        return sign * _max_pool(n, sign * input.abs(), kernel_size, stride, 0, 1, ceil_mode, False)
    means = _avg_pool(n, input**norm_type, kernel_size, stride, 0, ceil_mode, True, None)
    positive = means.sign() * FUNCTIONS["relu"](means.abs())
    return (positive * math.prod(lengths_of("kernel_size", kernel_size, n))) ** (1.0 / norm_type)


@offered()
def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """The p-norm of each window of the last axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.lp_pool1d(tj.tensor([[3.0, 4.0, 0.0, 2.0]]), 2, 2)
    tensor([[5., 2.]])
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


@offered()
def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """The p-norm of each window of the last two axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.lp_pool2d(tj.tensor([[[3.0, 4.0], [0.0, 0.0]]]), 2, 2)
    tensor([[[5.]]])
    """
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


@offered()
def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """The p-norm of each window of the last three axes.

    >>> import tapejit as tj
    >>> tj.nn.functional.lp_pool3d(tj.ones(1, 2, 2, 1), 2, (2, 2, 1)).item()
    2.0
    """
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


# ---------------------------------------------------------------- the way back from max


def _unpooled_lengths(n, input, kernel_size, stride, padding, output_size):
    kernel = lengths_of("kernel_size", kernel_size, n)
    stride = kernel if stride is None else lengths_of("stride", stride, n)
    padding = lengths_of("padding", padding, n)
    usual = [
        (t - 1) * s + k - 2 * p
        for t, k, s, p in zip(input.shape[-n:], kernel, stride, padding, strict=True)
    ]
    if output_size is None:
        return tuple(usual)
    given = tuple(output_size)
    given = given[2:] if len(given) == n + 2 else given
    if len(given) != n:
        raise ArgumentError(
            f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a "
            f"length of '{len(given)}'"
        )
    for axis, (m, t, s) in enumerate(zip(usual, given, stride, strict=True)):
        if not m - s < t < m + s:
            raise ArgumentError(
                f'invalid output_size "{given}" (dim {axis} must be between {m - s} and {m + s})'
            )
    return given


def _max_unpool(n, input, indices, kernel_size, stride, padding, output_size):
    _check_rank(f"max_unpool{n}d", input, n)
    if indices._aval.shape != input._aval.shape:
        raise ShapeError(
            f"Expected shape of indices to be: {list(input.shape)} but got: {list(indices.shape)}"
        )
    lengths = _unpooled_lengths(n, input, kernel_size, stride, padding, output_size)
    lead, size = input._aval.shape[:-n], math.prod(lengths)
    n_rows = math.prod(lead)
    first = data_beside(input, np.arange(n_rows).reshape(-1, 1) * size)
    places = (indices.reshape(n_rows, -1) + first).reshape(-1)
    zeros = input.new_zeros(n_rows * size)
    flat = apply(OPS["index_put"], (zeros, input.reshape(-1), places))
    return named(flat.reshape(*lead, *lengths), f"MaxUnpool{n}DBackward0")


@offered()
def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Each element where max_pool1d found it, 0 elsewhere.

    >>> import tapejit as tj
    >>> x, indices = tj.tensor([[3.0, 5.0]]), tj.tensor([[1, 3]])
    >>> tj.nn.functional.max_unpool1d(x, indices, 2)
    tensor([[0., 3., 0., 5.]])
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


@offered()
def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Each element where max_pool2d found it, 0 elsewhere.

    >>> import tapejit as tj
    >>> tj.nn.functional.max_unpool2d(tj.tensor([[[7.0]]]), tj.tensor([[[2]]]), 2)
    tensor([[[0., 0.],
             [7., 0.]]])
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


@offered()
def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Each element where max_pool3d found it, 0 elsewhere.

    >>> import tapejit as tj
    >>> x, indices = tj.tensor([[[[7.0]]]]), tj.tensor([[[[3]]]])
    >>> tj.nn.functional.max_unpool3d(x, indices, 2).flatten()
    tensor([0., 0., 0., 7., 0., 0., 0., 0.])
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)
