"""Normalisations: plain means, differences and roots, which become one pass over rows.

The variance is the mean of squared differences from the mean, never a difference of squares.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.nn.calling import offered
from tapejit.nn.windows import padded, window_sums
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import named
from tapejit.tensor.modes import no_grad


def _moments(x, axes):
    """Mean, difference from it, and variance over axes, which stay with length 1."""
    mean = x.mean(axes, True)
    centred = x - mean
    return mean, centred, (centred * centred).mean(axes, True)


def _scaled(x, weight, bias, shape):
    """x * weight + bias, each of them brought to `shape`."""
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


# ---------------------------------------------------------------- over the last axes


def _last_axes(input, normalized_shape, **parameters):
    """The axes of normalized_shape, which the input must end with, as parameters must equal it."""
    single = isinstance(normalized_shape, int)
    shape = (normalized_shape,) if single else tuple(int(n) for n in normalized_shape)
    if not shape:
        raise ShapeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    for name, parameter in parameters.items():
        if parameter is not None and parameter._aval.shape != shape:
            raise ShapeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(parameter.shape)} and normalized_shape = {list(shape)}"
            )
    if input._aval.shape[-len(shape) :] != shape:
        expected = ", ".join(["*", *map(str, shape)])
        raise ShapeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [{expected}], but "
            f"got input of size{list(input.shape)}"
        )
    return tuple(range(-len(shape), 0)), shape


@offered(top=True)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5) -> Tensor:
    """Mean 0 and variance 1 over the last axes, then weight and bias.

    >>> import tapejit as tj
    >>> tj.nn.functional.layer_norm(tj.tensor([[1.0, 3.0], [0.0, 4.0]]), (2,))
    tensor([[-1.0000,  1.0000],
            [-1.0000,  1.0000]])
    """
    axes, shape = _last_axes(input, normalized_shape, weight=weight, bias=bias)
    _, centred, variance = _moments(input, axes)
    result = _scaled(centred * (variance + eps) ** -0.5, weight, bias, shape)
    return named(result, "NativeLayerNormBackward0")


@offered(top=True)
def rms_norm(input, normalized_shape, weight=None, eps=None) -> Tensor:
    """Mean square 1 over the last axes, then weight; eps is by default the dtype's.

    >>> import tapejit as tj
    >>> tj.nn.functional.rms_norm(tj.tensor([1.0, 7.0]), (2,))
    tensor([0.2000, 1.4000])
    """
    axes, shape = _last_axes(input, normalized_shape, weight=weight)
    eps = float(np.finfo(input._aval.dtype.dtype).eps) if eps is None else eps
    result = input * ((input * input).mean(axes, True) + eps) ** -0.5
    return _scaled(result, weight, None, shape)


# ---------------------------------------------------------------- over channels


def _per_channel(input):
    """The shape that brings one number per channel beside the input."""
    return (-1, *(1,) * (input.ndim - 2))


def _check_per_channel(n_channels, **parameters):
    for name, parameter in parameters.items():
        if parameter is not None and parameter.numel() != n_channels:
            raise ShapeError(f"{name} should contain {n_channels} elements not {parameter.numel()}")


def _update(running, value, momentum):
    """A running statistic moved towards a new value, in place and without a slope."""
    if running is not None:
        with no_grad():
            value = value.detach().to(running.dtype)
            running.copy_(running * (1.0 - momentum) + value * momentum)


def _by_running(input, running_mean, running_var, weight, bias, eps):
    shape = _per_channel(input)
    scale = (running_var.reshape(shape) + eps) ** -0.5
    return _scaled((input - running_mean.reshape(shape)) * scale, weight, bias, shape)


@offered()
def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
) -> Tensor:
    """Mean 0 and variance 1 of every channel (axis 1), of this batch or by running statistics.

    In training, running statistics given are updated in place; the variance they see is unbiased.

    >>> import tapejit as tj
    >>> x, mean, variance = tj.tensor([[1.0, 5.0], [3.0, 5.0]]), tj.zeros(2), tj.ones(2)
    >>> tj.nn.functional.batch_norm(x, mean, variance, training=True)
    tensor([[-1.0000,  0.0000],
            [ 1.0000,  0.0000]])
    >>> mean, variance
    (tensor([0.2000, 0.5000]), tensor([1.1000, 0.9000]))
    """
    if input.ndim < 2:
        raise ShapeError(f"Expected at least 2 dimensions for input, got {list(input.shape)}")
    n = math.prod(input.shape) // max(input.shape[1], 1)
    if training and n == 1:
        raise ArgumentError(
            f"Expected more than 1 value per channel when training, got input size {input.size()}"
        )
    if (training and eps <= 0.0) or eps < 0.0:
        raise ArgumentError(
            f"batch_norm eps must be positive during training, but got {eps}"
            if training
            else f"batch_norm eps must be non-negative, but got {eps}"
        )
    _check_per_channel(
        input.shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                f"{'running_mean' if running_mean is None else 'running_var'} must be defined in "
                "evaluation mode\n"
                "  try  training=True"
            )
        result = _by_running(input, running_mean, running_var, weight, bias, eps)
        return named(result, "NativeBatchNormBackward0")
    mean, centred, variance = _moments(input, (0, *range(2, input.ndim)))
    _update(running_mean, mean.flatten(), momentum)
    _update(running_var, variance.flatten() * (n / (n - 1)), momentum)
    result = centred * (variance + eps) ** -0.5
    return named(_scaled(result, weight, bias, _per_channel(input)), "NativeBatchNormBackward0")


@offered()
def instance_norm(
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
) -> Tensor:
    """Mean 0 and variance 1 of every channel of every element of the batch.

    >>> import tapejit as tj
    >>> tj.nn.functional.instance_norm(tj.tensor([[[1.0, 3.0], [0.0, 4.0]]]))
    tensor([[[-1.0000,  1.0000],
             [-1.0000,  1.0000]]])
    """
    n = math.prod(input.shape[2:])
    if use_input_stats and n == 1:
        raise ArgumentError(
            f"Expected more than 1 spatial element when training, got input size {input.size()}"
        )
    _check_per_channel(
        input.shape[1],
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "Expected running_mean and running_var to be defined when use_input_stats is false"
            )
        return _by_running(input, running_mean, running_var, weight, bias, eps)
    mean, centred, variance = _moments(input, tuple(range(2, input.ndim)))
    _update(running_mean, mean.flatten(1).mean(0), momentum)
    _update(running_var, variance.flatten(1).mean(0) * (n / max(n - 1, 1)), momentum)
    return _scaled(centred * (variance + eps) ** -0.5, weight, bias, _per_channel(input))


@offered(top=True)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5) -> Tensor:
    """Mean 0 and variance 1 of every group of channels of every element of the batch.

    >>> import tapejit as tj
    >>> tj.nn.functional.group_norm(tj.tensor([[1.0, 3.0, 0.0, 4.0]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
    """
    if input.ndim < 2:
        raise ShapeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    n, channels = input.shape[:2]
    if num_groups <= 0:
        raise ArgumentError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise ShapeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    for name, parameter in (("weight", weight), ("bias", bias)):
        if parameter is not None and parameter._aval.shape != (channels,):
            raise ShapeError(
                f"Expected {name} to be a vector of size equal to the number of channels in input, "
                f"but got {name} of shape {list(parameter.shape)} and input of shape "
                f"{list(input.shape)}"
            )
    _, centred, variance = _moments(input.reshape(n, num_groups, -1), -1)
    result = (centred * (variance + eps) ** -0.5).reshape(input._aval.shape)
    result = _scaled(result, weight, bias, _per_channel(input))
    return named(result, "NativeGroupNormBackward0")


@offered()
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0) -> Tensor:
    """The input divided by (k + alpha * mean of squares of `size` neighbouring channels) ** beta.

    >>> import tapejit as tj
    >>> tj.nn.functional.local_response_norm(tj.ones(1, 3, 1), 1, alpha=3.0, beta=0.5).flatten()
    tensor([0.5000, 0.5000, 0.5000])
    """
    if input.ndim < 3:
        raise ShapeError(
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)"
        )
    if not input.numel():
        return input
    n, channels = input.shape[:2]
    squares = (input * input).reshape(n, channels, -1).transpose(1, 2)
    squares = padded(squares, (size // 2,), ((size - 1) // 2,))
    sums = window_sums(squares, (channels,), (size,), (1,), (0,))
    means = (sums / size).transpose(1, 2).reshape(input._aval.shape)
    return input / (means * alpha + k) ** beta
