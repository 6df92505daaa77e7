"""Losses: elementwise distances and cross entropies, then a reduction.

Class indices are picked by a mask inside the loop that makes the softmax (`ops/losses.pick`), so
cross entropy and its gradient run over the logits once.  What a target hides (`ignore_index`, a
class that is not asked for) is masked, never multiplied by zero: infinite logits leak no NaN.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tapejit.dtypes import INTEGER
from tapejit.errors import ArgumentError, DtypeError, SelectionError, ShapeError
from tapejit.nn.activations import logsigmoid
from tapejit.nn.calling import check_reduction, offered, reduced, reduction_of
from tapejit.registry import OPS
from tapejit.runtime.devices import on_host
from tapejit.tensor import reducing
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, apply, legacy_name
from tapejit.tensor.front import FUNCTIONS, named
from tapejit.tensor.guards import read

softplus = FUNCTIONS["softplus"]

# ---------------------------------------------------------------- distances


def _check_sizes(input, target):
    """Warn, as PyTorch does, where broadcasting makes more of a loss than was meant."""
    if input._aval.shape != target._aval.shape:
        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            UserWarning,
            stacklevel=4,
        )


def _weighted(loss, weight, input):
    """A loss times its weights; loss unchanged without them."""
    if weight is None:
        return loss
    if weight._aval.shape != input._aval.shape:
        raise ShapeError("Weights and input must have the same size.")
    return loss * weight


def _weighted_mean(loss, weight, reduction, name):
    """`reduced`, where a mean divides by the sum of the weights."""
    if weight is not None and reduction == "mean":
        return loss.sum() / weight.sum()
    return reduced(loss, reduction, name)


@offered()
def mse_loss(
    input, target, size_average=None, reduce=None, reduction="mean", weight=None
) -> Tensor:
    """Squared differences.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([1.0, 2.0]), tj.tensor([0.0, 4.0])
    >>> tj.nn.functional.mse_loss(input, target)
    tensor(2.5000)
    >>> tj.nn.functional.mse_loss(input, target, reduction="none")
    tensor([1., 4.])
    """
    _check_sizes(input, target)
    reduction = reduction_of(size_average, reduce, reduction)
    loss = _weighted((input - target) ** 2, weight, input)
    return _weighted_mean(loss, weight, reduction, "MseLossBackward0")


@offered()
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None) -> Tensor:
    """Absolute differences.

    >>> import tapejit as tj
    >>> tj.nn.functional.l1_loss(tj.tensor([1.0, 2.0]), tj.tensor([0.0, 4.0]), reduction="sum")
    tensor(3.)
    """
    _check_sizes(input, target)
    reduction = reduction_of(size_average, reduce, reduction)
    loss = _weighted((input - target).abs(), weight, input)
    return _weighted_mean(loss, weight, reduction, "")


@offered()
def smooth_l1_loss(
    input, target, size_average=None, reduce=None, reduction="mean", beta=1.0
) -> Tensor:
    """Squares over 2 beta up to beta, absolute differences minus beta / 2 beyond.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.5, 10.0]), tj.zeros(2)
    >>> tj.nn.functional.smooth_l1_loss(input, target, reduction="none")
    tensor([0.1250, 9.5000])
    """
    _check_sizes(input, target)
    reduction = reduction_of(size_average, reduce, reduction)
    if beta < 0:
        raise ArgumentError("smooth_l1_loss does not support negative values for beta.")
    difference = input - target
    size = difference.abs()
    if beta == 0:
        return reduced(size, reduction)
    inside = difference * difference * (0.5 / beta)
    loss = where(size < beta, inside, size - 0.5 * beta)
    return reduced(loss, reduction, "SmoothL1LossBackward0")


@offered()
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None) -> Tensor:
    """Half squares up to delta, linear beyond.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.5, 10.0]), tj.zeros(2)
    >>> tj.nn.functional.huber_loss(input, target, reduction="none")
    tensor([0.1250, 9.5000])
    """
    _check_sizes(input, target)
    if delta <= 0:
        raise ArgumentError("huber_loss does not support non-positive values for delta.")
    difference = input - target
    size = difference.abs()
    inside = difference * difference * 0.5
    loss = where(size <= delta, inside, (size - 0.5 * delta) * delta)
    return reduced(_weighted(loss, weight, input), reduction, "HuberLossBackward0")


# ---------------------------------------------------------------- likelihoods


@offered()
def kl_div(
    input, target, size_average=None, reduce=None, reduction="mean", log_target=False
) -> Tensor:
    """target * (log target - input), the input being log-probabilities.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([[0.5, 0.5]]).log(), tj.tensor([[0.0, 1.0]])
    >>> tj.nn.functional.kl_div(input, target, reduction="batchmean")
    tensor(0.6931)
    """
    if size_average is not None or reduce is not None:
        reduction = reduction_of(size_average, reduce, reduction)
    elif reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support "
            "size.'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            UserWarning,
            stacklevel=3,
        )
    if log_target:
        loss = target.exp() * (target - input)
    else:  # 0 log 0 = 0, also in the slope
        loss = where(target == 0.0, 0.0, target * target.log()) - target * input
    if reduction != "batchmean":
        return reduced(loss, reduction)
    return loss.sum() / input.shape[0] if input.ndim else loss.sum()


@offered()
def poisson_nll_loss(
    input,
    target,
    log_input=True,
    full=False,
    size_average=None,
    eps=1e-8,
    reduce=None,
    reduction="mean",
) -> Tensor:
    """Minus the log-likelihood of counts, the input being rates or their logarithms.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.0, 1.0]), tj.tensor([1.0, 2.0])
    >>> tj.nn.functional.poisson_nll_loss(input, target, reduction="none")
    tensor([1.0000, 0.7183])
    """
    reduction = reduction_of(size_average, reduce, reduction)
    check_reduction(reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:  # Stirling's formula for log(target!)
        stirling = target * target.log() - target + 0.5 * (target * (2.0 * math.pi)).log()
        loss = loss + where(target <= 1, 0.0, stirling)
    return reduced(loss, reduction)


def _variance(input, var: Any) -> Any:
    """A variance as a tensor that broadcasts with the input."""
    if not isinstance(var, Tensor):
        var = FUNCTIONS["full_like"](input.detach(), var)
    if bool(read(FUNCTIONS["any"](FUNCTIONS["lt"](var, 0)))):
        raise ArgumentError("var has negative entry/entries")
    shape, given = input._aval.shape, var._aval.shape
    if given == shape:
        return var
    if shape[:-1] == given:
        return var.unsqueeze(-1)
    unequal = [m for n, m in zip(shape, given, strict=False) if n != m]
    if len(shape) != len(given) or unequal != [1]:
        raise ShapeError("var is of incorrect size")
    return var


@offered()
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean") -> Tensor:
    """Minus the log-likelihood of normal variables with mean `input` and variance `var`.

    The variance is raised to eps where it is less; slopes do not notice, as in PyTorch.

    >>> import tapejit as tj
    >>> input, target, var = tj.tensor([0.0]), tj.tensor([2.0]), tj.tensor([4.0])
    >>> tj.nn.functional.gaussian_nll_loss(input, target, var)
    tensor(1.1931)
    """
    var = _variance(input, var)
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{reduction} is not valid")
    var = where(var < eps, eps + (var - var.detach()), var)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


# ---------------------------------------------------------------- two classes


@offered()
def binary_cross_entropy(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), logarithms not below -100.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.5, 0.9]), tj.tensor([0.0, 1.0])
    >>> tj.nn.functional.binary_cross_entropy(input, target, reduction="none")
    tensor([0.6931, 0.1054])
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target._aval.shape != input._aval.shape:
        raise ShapeError(
            f"Using a target size ({target.size()}) that is different to the input size "
            f"({input.size()}) is deprecated. Please ensure they have the same size."
        )
    if not bool(read(((input >= 0) & (input <= 1)).all())):
        raise ArgumentError(
            "all elements of input should be between 0 and 1\n"
            "  try  binary_cross_entropy_with_logits, for numbers before the sigmoid"
        )
    loss = apply(OPS["binary_cross_entropy"], (input, target))
    loss = loss if weight is None else loss * weight
    return reduced(loss, reduction, "BinaryCrossEntropyBackward0")


@offered(top=True)
def binary_cross_entropy_with_logits(
    input,
    target,
    weight=None,
    size_average=None,
    reduce=None,
    reduction="mean",
    pos_weight=None,
) -> Tensor:
    """Binary cross entropy of sigmoid(input), without overflow.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.0, 1000.0]), tj.tensor([0.0, 0.0])
    >>> tj.nn.functional.binary_cross_entropy_with_logits(input, target, reduction="none")
    tensor([6.9315e-01, 1.0000e+03])
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target._aval.shape != input._aval.shape:
        raise ShapeError(
            f"Target size ({target.size()}) must be the same as input size ({input.size()})"
        )
    if pos_weight is None:
        loss = apply(OPS["binary_cross_entropy_with_logits"], (input, target))
    else:
        loss = pos_weight * target * softplus(-input) + (1 - target) * softplus(input)
    loss = loss if weight is None else loss * weight
    return reduced(loss, reduction, "BinaryCrossEntropyWithLogitsBackward0")


@offered()
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """log(1 + exp(-target * input)) for targets 1 and -1.

    >>> import tapejit as tj
    >>> tj.nn.functional.soft_margin_loss(tj.tensor([0.0, 2.0]), tj.tensor([1.0, -1.0]))
    tensor(1.4100)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    return reduced(softplus(-target * input), reduction, "SoftMarginLossBackward0")


@offered()
def multilabel_soft_margin_loss(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean"
) -> Tensor:
    """Binary cross entropy with logits, averaged over the last axis.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([[0.0, 2.0]]), tj.tensor([[1.0, 0.0]])
    >>> tj.nn.functional.multilabel_soft_margin_loss(input, target)
    tensor(1.4100)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduced(loss.mean(-1), reduction)


# ---------------------------------------------------------------- many classes


def class_axis(input):
    return 0 if input.ndim == 1 else 1


def _check_targets(input, target, axis):
    """Raise unless there is one class index for every row of the input."""
    shape = input._aval.shape
    rows = (*shape[:axis], *shape[axis + 1 :])
    if target._aval.dtype.category != INTEGER:
        raise DtypeError(
            "expected target dtype to be Long or Byte, but got "
            f"{legacy_name(target._aval.dtype)}\n"
            "  try  class indices of dtype int64, or probabilities in the shape of the input"
        )
    if target._aval.shape == rows:
        return
    if target.ndim and rows and target._aval.shape[0] != rows[0]:
        raise ShapeError(
            f"Expected input batch_size ({rows[0]}) to match target batch_size "
            f"({target._aval.shape[0]})."
        )
    raise ShapeError(f"Expected target size {list(rows)}, got {list(target._aval.shape)}")


def _check_weight(weight, n_classes):
    if weight is not None and weight._aval.shape != (n_classes,):
        raise ShapeError(
            f"weight tensor should be defined either for all {n_classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight._aval.shape)}"
        )


def counted(input, target, axis, ignore_index):
    """Which targets count, and class indices that are safe to read everywhere.

    Errors  SelectionError, an IndexError, for a class that there is not
    """
    n_classes = input._aval.shape[axis]
    is_counted = target != ignore_index
    inside = (target >= 0) & (target < n_classes)
    if not bool(read((inside | ~is_counted).all())):
        values = np.asarray(on_host(target._value))
        bad = values[(values != ignore_index) & ((values < 0) | (values >= n_classes))]
        raise SelectionError(f"Target {bad[0]} is out of bounds.")
    return is_counted, where(is_counted, target, 0)


def _over_classes(each, is_counted, places, weight, reduction, name):
    """The reduction of one loss per target: a mean is weighted, and over targets that count."""
    check_reduction(reduction)
    scale = None if weight is None else weight[places]
    each = where(is_counted, each if scale is None else each * scale, 0.0)
    if reduction == "none":
        return named(each, name)
    total = each.sum()
    if reduction == "mean":
        count = (is_counted if scale is None else where(is_counted, scale, 0.0)).sum()
        total = total / count.to(total.dtype)
    return named(total, name)


def _name_of(input):
    return "NllLoss2DBackward0" if input.ndim > 2 else "NllLossBackward0"


@offered()
def nll_loss(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
) -> Tensor:
    """Minus the log-probability of the target class; classes along axis 1.

    >>> import tapejit as tj
    >>> probabilities = tj.tensor([[0.5, 0.5], [0.1, 0.9]])
    >>> tj.nn.functional.nll_loss(probabilities.log(), tj.tensor([0, 1]))
    tensor(0.3993)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not input.ndim:
        raise ShapeError(f"Expected 1 or more dimensions (got {input.ndim})")
    axis = class_axis(input)
    _check_targets(input, target, axis)
    _check_weight(weight, input._aval.shape[axis])
    is_counted, places = counted(input, target, axis, ignore_index)
    each = FUNCTIONS["neg"](apply(OPS["pick"], (input, places), (axis,)))
    return _over_classes(each, is_counted, places, weight, reduction, _name_of(input))


@offered()
def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
) -> Tensor:
    """Minus the log-softmax at the target: a class index, or a probability for every class.

    >>> import tapejit as tj
    >>> logits = tj.tensor([[0.0, 0.0], [1.0, 3.0]])
    >>> tj.nn.functional.cross_entropy(logits, tj.tensor([0, 1]))
    tensor(0.4100)
    >>> tj.nn.functional.cross_entropy(logits, tj.tensor([[1.0, 0.0], [0.5, 0.5]]))
    tensor(0.9100)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    axis = class_axis(input)
    if input._aval.shape == target._aval.shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    _check_targets(input, target, axis)
    _check_weight(weight, input._aval.shape[axis])
    is_counted, places = counted(input, target, axis, ignore_index)
    shifted, log_total = _normalised(input, axis)
    each = log_total - apply(OPS["pick"], (shifted, places), (axis,))
    loss = _over_classes(each, is_counted, places, weight, reduction, _name_of(input))
    if not label_smoothing:
        return loss
    spread = log_total.unsqueeze(axis) - shifted
    spread = (spread if weight is None else spread * _per_class(weight, input, axis)).sum(axis)
    spread = where(is_counted, spread, 0.0)
    if reduction != "none":
        spread = spread.sum()
    if reduction == "mean":
        counts = is_counted if weight is None else where(is_counted, weight[places], 0.0)
        spread = spread / counts.sum()
    share = label_smoothing / input._aval.shape[axis]
    return loss * (1.0 - label_smoothing) + spread * share


def _normalised(input, axis):
    """The logits minus their largest in the row, and the log of the sum of their exponentials.

    Logits of a thousand lose no digits in the difference, as they would in logsumexp(x) - x.
    """
    largest = input.detach().amax(axis, keepdim=True)
    shifted = input - where(largest.abs() == math.inf, 0.0, largest)
    return shifted, shifted.exp().sum(axis).log()


def _per_class(weight, input, axis):
    return weight.reshape([-1 if i == axis else 1 for i in range(input.ndim)])


def _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing):
    if not target._aval.dtype.is_floating_point:
        raise DtypeError(
            "Expected floating point type for target with class probabilities, got "
            f"{legacy_name(target._aval.dtype)}"
        )
    if ignore_index >= 0:
        raise ArgumentError("ignore_index is not supported for floating point target")
    axis = class_axis(input)
    n_classes = input._aval.shape[axis]
    _check_weight(weight, n_classes)
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + label_smoothing / n_classes
    logs = reducing.log_softmax(input, axis)
    # a class that has no probability and is not asked for counts 0, not 0 * inf
    each = where((target == 0.0) & (logs == -math.inf), 0.0, target * logs)
    each = -(each if weight is None else each * _per_class(weight, input, axis)).sum(axis)
    return reduced(each, reduction)
