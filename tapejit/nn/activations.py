"""Activations: compositions of elementwise rows, which fuse into the loops around them.

Slopes at kinks are PyTorch's: what a formula calls "x <= edge" belongs to the left piece.
Pieces are chosen with `where`, so a piece that overflows where it is not taken leaks no NaN.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import ArgumentError, ShapeError
from tapejit.nn.calling import in_place, offered, overwriting
from tapejit.registry import OPS
from tapejit.shapes import CPU, normalize_axis
from tapejit.tensor import draws, reducing
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, apply, legacy_name
from tapejit.tensor.front import FUNCTIONS, named
from tapejit.tensor.random import drawn

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

sigmoid, tanh = FUNCTIONS["sigmoid"], FUNCTIONS["tanh"]


# ---------------------------------------------------------------- pieces of lines


@offered()
def relu(input, inplace=False) -> Tensor:
    """Each element, or 0 where it is negative; slope 0 at 0.

    >>> import tapejit as tj
    >>> tj.nn.functional.relu(tj.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return input.relu_() if inplace else input.relu()


@offered()
def relu6(input, inplace=False) -> Tensor:
    """Each element brought into [0, 6]; slope 0 at both edges.

    >>> import tapejit as tj
    >>> tj.nn.functional.relu6(tj.tensor([-1.0, 2.0, 7.0]))
    tensor([0., 2., 6.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


@offered()
def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False) -> Tensor:
    """Each element brought into [min_val, max_val]; slope 0 at both edges.

    >>> import tapejit as tj
    >>> tj.nn.functional.hardtanh(tj.tensor([-3.0, 0.5, 3.0]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    if min_val > max_val:
        raise ArgumentError("min_val cannot be greater than max_val")

    def pieces(x):
        result = where(x <= min_val, min_val, where(x >= max_val, max_val, x))
        return named(result, "HardtanhBackward0")

    return overwriting(pieces, input, inplace)


@offered()
def leaky_relu(input, negative_slope=0.01, inplace=False) -> Tensor:
    """x where x > 0, else negative_slope * x.

    >>> import tapejit as tj
    >>> tj.nn.functional.leaky_relu(tj.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """

    def pieces(x):
        return named(where(x > 0, x, x * negative_slope), "LeakyReluBackward0")

    return overwriting(pieces, input, inplace)


@offered("prelu", top=True)
def prelu(input, weight) -> Tensor:
    """x where x > 0, else weight * x; one weight, or one for every channel (axis 1).

    >>> import tapejit as tj
    >>> tj.nn.functional.prelu(tj.tensor([[-1.0, -1.0]]), tj.tensor([0.25, 0.5]))
    tensor([[-0.2500, -0.5000]])
    """
    shape, n = input.shape, weight.numel()
    if weight.ndim > 1:
        raise ShapeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}"
        )
    channels = shape[1] if len(shape) > 1 else 1
    if n != 1 and n != channels:
        raise ShapeError(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
            f"{n} and channel size = {channels}."
        )
    along = [1] * len(shape)
    if n > 1:
        along[1] = n
    return named(where(input > 0, input, input * weight.reshape(along)), "PreluKernelBackward0")


@offered(top=True)
def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False) -> Tensor:
    """Leaky relu whose slope is drawn from [lower, upper) for every element, or their middle.

    >>> import tapejit as tj
    >>> tj.nn.functional.rrelu(tj.tensor([-1.0, 2.0]), 0.25, 0.75)
    tensor([-0.5000,  2.0000])
    """
    if lower > upper:
        raise ArgumentError(
            f"Lower bound should be less than or equal to the upper bound: {lower} and {upper}"
        )
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    shape, dtype = input._aval.shape, input._aval.dtype.dtype
    device = input._aval.device
    if device == CPU:
        slopes: Any = drawn(lambda g: np.asarray(g.uniform(lower, upper, shape), dtype))
    else:
        slopes = draws.uniform(shape, dtype, device=device) * (upper - lower) + lower

    def pieces(x):
        return named(where(x > 0, x, x * slopes), "RreluWithNoiseFunctionalBackward0")

    return overwriting(pieces, input, inplace)


@offered(top=True)
def threshold(input, threshold, value, inplace=False) -> Tensor:
    """x where x > threshold, else value.

    >>> import tapejit as tj
    >>> tj.nn.functional.threshold(tj.tensor([0.0, 1.0, 2.0]), 1.0, -5.0)
    tensor([-5., -5.,  2.])
    """

    def pieces(x):
        return named(where(x <= threshold, value, x), "ThresholdBackward0")

    return overwriting(pieces, input, inplace)


@offered()
def hardsigmoid(input, inplace=False) -> Tensor:
    """(x + 3) / 6 brought into [0, 1].

    >>> import tapejit as tj
    >>> tj.nn.functional.hardsigmoid(tj.tensor([-4.0, 0.0, 4.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """

    def pieces(x):
        inside = (x + 3.0) / 6.0
        result = where(x <= -3.0, 0.0, where(x >= 3.0, 1.0, inside))
        return named(result, "HardsigmoidBackward0")

    return overwriting(pieces, input, inplace)


@offered()
def hardswish(input, inplace=False) -> Tensor:
    """x times (x + 3) / 6 brought into [0, 1].

    >>> import tapejit as tj
    >>> tj.nn.functional.hardswish(tj.tensor([-4.0, 1.0, 4.0]))
    tensor([0.0000, 0.6667, 4.0000])
    """

    def pieces(x):
        result = where(x <= -3.0, 0.0, where(x >= 3.0, x, x * (x + 3.0) / 6.0))
        return named(result, "HardswishBackward0")

    return overwriting(pieces, input, inplace)


@offered()
def softshrink(input, lambd=0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 within lambd of 0.

    >>> import tapejit as tj
    >>> tj.nn.functional.softshrink(tj.tensor([-2.0, 0.2, 2.0]))
    tensor([-1.5000,  0.0000,  1.5000])
    """
    if lambd < 0:
        raise ArgumentError(
            f"lambda must be in range [0, inf) for input dtype {legacy_name(input.dtype)}, but "
            f"found {lambd}"
        )
    outside = where(input > lambd, input - lambd, where(input < -lambd, input + lambd, 0.0))
    return named(where(input != input, input, outside), "SoftshrinkBackward0")


@offered("hardshrink", top=True)
def hardshrink(input, lambd=0.5) -> Tensor:
    """x, but 0 within lambd of 0.

    >>> import tapejit as tj
    >>> tj.nn.functional.hardshrink(tj.tensor([-2.0, 0.2, 2.0]))
    tensor([-2.,  0.,  2.])
    """
    is_small = (input >= -lambd) & (input <= lambd)
    return named(where(is_small, 0.0, input), "HardshrinkBackward0")


@offered()
def softsign(input) -> Tensor:
    """x / (1 + |x|).

    >>> import tapejit as tj
    >>> tj.nn.functional.softsign(tj.tensor([-3.0, 1.0]))
    tensor([-0.7500,  0.5000])
    """
    return input / (input.abs() + 1.0)


# ---------------------------------------------------------------- exponentials


@offered()
def softplus(input, beta=1.0, threshold=20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.

    >>> import tapejit as tj
    >>> tj.nn.functional.softplus(tj.tensor([-1.0, 0.0, 1.0]), beta=2)
    tensor([0.0635, 0.3466, 1.0635])
    """
    scaled = input if beta == 1 else input * beta
    smooth = FUNCTIONS["softplus"](scaled)
    result = where(scaled > threshold, input, smooth if beta == 1 else smooth / beta)
    return named(result, "SoftplusBackward0")


@offered()
def logsigmoid(input) -> Tensor:
    """log(sigmoid(x)) without overflow.

    >>> import tapejit as tj
    >>> tj.nn.functional.logsigmoid(tj.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """
    return apply(OPS["logsigmoid"], (input,))


@offered()
def elu(input, alpha=1.0, inplace=False) -> Tensor:
    """x where x > 0, else alpha * (exp(x) - 1).

    >>> import tapejit as tj
    >>> tj.nn.functional.elu(tj.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """

    def pieces(x):
        return named(where(x > 0, x, x.expm1() * alpha), "EluBackward0")

    return overwriting(pieces, input, inplace)


@offered(top=True)
def selu(input, inplace=False) -> Tensor:
    """elu with the two constants that keep mean 0 and variance 1 from layer to layer.

    >>> import tapejit as tj
    >>> tj.nn.functional.selu(tj.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """

    def pieces(x):
        left = x.expm1() * (_SELU_ALPHA * _SELU_SCALE)
        return named(where(x > 0, x * _SELU_SCALE, left), "EluBackward0")

    return overwriting(pieces, input, inplace)


@offered(top=True)
def celu(input, alpha=1.0, inplace=False) -> Tensor:
    """x where x > 0, else alpha * (exp(x / alpha) - 1).

    >>> import tapejit as tj
    >>> tj.nn.functional.celu(tj.tensor([-1.0, 2.0]), alpha=2.0)
    tensor([-0.7869,  2.0000])
    """
    if alpha == 0:
        raise ArgumentError("ZeroDivisionError: alpha cannot be 0 for CELU")

    def pieces(x):
        return named(where(x > 0, x, (x / alpha).expm1() * alpha), "CeluBackward0")

    return overwriting(pieces, input, inplace)


@offered()
def gelu(input, approximate="none") -> Tensor:
    """x times the normal distribution function of x, or its approximation by "tanh".

    >>> import tapejit as tj
    >>> tj.nn.functional.gelu(tj.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    >>> tj.nn.functional.gelu(tj.tensor([-1.0, 2.0]), approximate="tanh")
    tensor([-0.1588,  1.9546])
    """
    if approximate == "none":  # erfc, not 1 + erf: exact also where the result is small
        result = input * ((input * -math.sqrt(0.5)).erfc() * 0.5)
    elif approximate == "tanh":
        inner = (input + input * input * input * 0.044715) * math.sqrt(2.0 / math.pi)
        result = input * 0.5 * (inner.tanh() + 1.0)
    else:
        raise ArgumentError("approximate argument must be either none or tanh.")
    return named(result, "GeluBackward0")


@offered()
def silu(input, inplace=False) -> Tensor:
    """x * sigmoid(x).

    >>> import tapejit as tj
    >>> tj.nn.functional.silu(tj.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return overwriting(lambda x: named(x * x.sigmoid(), "SiluBackward0"), input, inplace)


@offered()
def mish(input, inplace=False) -> Tensor:
    """x * tanh(softplus(x)).

    >>> import tapejit as tj
    >>> tj.nn.functional.mish(tj.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """

    def smooth(x):
        return named(x * FUNCTIONS["softplus"](x).tanh(), "MishBackward0")

    return overwriting(smooth, input, inplace)


@offered()
def tanhshrink(input) -> Tensor:
    """x - tanh(x).

    >>> import tapejit as tj
    >>> tj.nn.functional.tanhshrink(tj.tensor([-2.0, 0.5]))
    tensor([-1.0360,  0.0379])
    """
    return input - input.tanh()


@offered()
def glu(input, dim=-1) -> Tensor:
    """The first half along an axis times the sigmoid of the second.

    >>> import tapejit as tj
    >>> tj.nn.functional.glu(tj.tensor([3.0, 5.0, 0.0, 0.0]))
    tensor([1.5000, 2.5000])
    """
    if not input.ndim:
        raise ShapeError("glu does not support 0-dimensional tensors")
    axis = normalize_axis("glu", dim, input.ndim)
    n = input.shape[axis]
    if n % 2:
        raise ShapeError(f"Halving dimension must be even, but dimension {axis} is size {n}")
    first, second = input.narrow(axis, 0, n // 2), input.narrow(axis, n // 2, n // 2)
    return named(first * second.sigmoid(), "GluBackward0")


# ---------------------------------------------------------------- along an axis


def _along(name, input, dim, dtype):
    """The input and its axis for softmax and its relatives."""
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"Implicit dimension choice for {name} has been deprecated. Change the call to "
            "include dim=X as an argument.",
            UserWarning,
            stacklevel=5,
        )
    return (input if dtype is None else input.to(as_dtype(dtype))), dim


@offered()
def softmax(input, dim=None, _stacklevel=3, dtype=None) -> Tensor:
    """exp(x) divided by its sum along an axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.softmax(tj.tensor([[1000.0, 1001.0], [0.0, 0.0]]), dim=1)
    tensor([[0.2689, 0.7311],
            [0.5000, 0.5000]])
    """
    return reducing.softmax(*_along("softmax", input, dim, dtype))


@offered()
def softmin(input, dim=None, _stacklevel=3, dtype=None) -> Tensor:
    """softmax of -x.

    >>> import tapejit as tj
    >>> tj.nn.functional.softmin(tj.tensor([0.0, 1.0]), dim=0)
    tensor([0.7311, 0.2689])
    """
    input, dim = _along("softmin", input, dim, dtype)
    return reducing.softmax(-input, dim)


@offered()
def log_softmax(input, dim=None, _stacklevel=3, dtype=None) -> Tensor:
    """x minus its logsumexp along an axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.log_softmax(tj.tensor([0.0, 1000.0]), dim=0)
    tensor([-1000.,     0.])
    """
    return reducing.log_softmax(*_along("log_softmax", input, dim, dtype))


@offered()
def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1) -> Tensor:
    """A sample from the Gumbel-softmax distribution; with `hard` one-hot, its slope the soft one's.

    >>> import tapejit as tj
    >>> sample = tj.nn.functional.gumbel_softmax(tj.zeros(2, 3), hard=True)
    >>> sample.sum(-1)
    tensor([1., 1.])
    """
    shape, dtype = logits._aval.shape, logits._aval.dtype.dtype
    device = logits._aval.device
    if device == CPU:
        gumbels = drawn(lambda g: np.asarray(-np.log(g.standard_exponential(shape)), dtype))
    else:
        precision = np.dtype(np.float64 if dtype.itemsize > 4 else np.float32)
        gumbels = -draws.exponential(shape, precision, device=device).log().to(logits.dtype)
    soft = reducing.softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    places = soft.argmax(dim, keepdim=True)
    axis = normalize_axis("gumbel_softmax", dim, logits.ndim)
    classes = apply(OPS["iota"], (soft,), (soft._aval.shape, axis))
    return (classes == places).to(soft.dtype) - soft.detach() + soft


# ---------------------------------------------------------------- in place

relu_ = offered()(in_place(relu))
hardtanh_ = offered()(in_place(hardtanh))
leaky_relu_ = offered()(in_place(leaky_relu))
rrelu_ = offered(top=True)(in_place(rrelu))
threshold_ = offered(top=True)(in_place(threshold, ", 0.0, 1.0"))
elu_ = offered()(in_place(elu))
selu_ = offered(top=True)(in_place(selu))
celu_ = offered(top=True)(in_place(celu))
FUNCTIONS["relu_"] = relu_
