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
from tapejit.nn.distances import pairwise_distance
from tapejit.registry import OPS
from tapejit.tensor import reducing
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, apply, legacy_name
from tapejit.tensor.front import FUNCTIONS, named
from tapejit.tensor.guards import read
from tapejit.tensor.picking import gather

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


def _class_axis(input):
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


def _counted(input, target, axis, ignore_index):
    """Which targets count, and class indices that are safe to read everywhere.

    Errors  SelectionError, an IndexError, for a class that there is not
    """
    n_classes = input._aval.shape[axis]
    is_counted = target != ignore_index
    inside = (target >= 0) & (target < n_classes)
    if not bool(read((inside | ~is_counted).all())):
        values = np.asarray(target._value)
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
    axis = _class_axis(input)
    _check_targets(input, target, axis)
    _check_weight(weight, input._aval.shape[axis])
    is_counted, places = _counted(input, target, axis, ignore_index)
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
    axis = _class_axis(input)
    if input._aval.shape == target._aval.shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    _check_targets(input, target, axis)
    _check_weight(weight, input._aval.shape[axis])
    is_counted, places = _counted(input, target, axis, ignore_index)
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
    axis = _class_axis(input)
    n_classes = input._aval.shape[axis]
    _check_weight(weight, n_classes)
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + label_smoothing / n_classes
    logs = reducing.log_softmax(input, axis)
    # a class that has no probability and is not asked for counts 0, not 0 * inf
    each = where((target == 0.0) & (logs == -math.inf), 0.0, target * logs)
    each = -(each if weight is None else each * _per_class(weight, input, axis)).sum(axis)
    return reduced(each, reduction)


@offered()
def multi_margin_loss(
    input,
    target,
    p=1,
    margin=1.0,
    weight=None,
    size_average=None,
    reduce=None,
    reduction="mean",
) -> Tensor:
    """How far other classes come within `margin` of the target class, to the power p.

    >>> import tapejit as tj
    >>> tj.nn.functional.multi_margin_loss(tj.tensor([[0.5, 1.0, -2.0]]), tj.tensor([0]))
    tensor(0.5000)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ArgumentError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ShapeError("weight must be one-dimensional")
    axis = _class_axis(input)
    n_classes = input._aval.shape[axis]
    target = target.reshape(input._aval.shape[:axis])
    _, places = _counted(input, target, axis, n_classes)
    picked = apply(OPS["pick"], (input, places), (axis,)).unsqueeze(axis)
    over = FUNCTIONS["relu"](margin - picked + input)
    over = over if p == 1 else over * over
    classes = apply(OPS["iota"], (input,), (input._aval.shape, axis))
    over = where(classes == places.unsqueeze(axis), 0.0, over)
    if weight is not None:
        over = over * weight[places].unsqueeze(axis)
    return reduced(over.sum(axis) / n_classes, reduction, "MultiMarginLossBackward0")


@offered()
def multilabel_margin_loss(
    input, target, size_average=None, reduce=None, reduction="mean"
) -> Tensor:
    """How far other classes come within 1 of any target class; targets end at the first -1.

    >>> import tapejit as tj
    >>> x, target = tj.tensor([[0.1, 0.2, 0.4, 0.8]]), tj.tensor([[3, 0, -1, 1]])
    >>> tj.nn.functional.multilabel_margin_loss(x, target)
    tensor(0.8500)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input._aval.shape != target._aval.shape:
        raise ShapeError(
            f"inconsistent target size: {list(target._aval.shape)} for multilabel_margin_loss of "
            f"input {list(input._aval.shape)}"
        )
    rows, labels = (x.reshape(-1, x.shape[-1]) for x in (input, target))
    n_classes = rows.shape[1]
    is_label = (labels < 0).cumsum(1) == 0
    places = where(is_label, labels, 0)
    picked = gather(rows, 1, places).unsqueeze(2)
    classes = apply(OPS["iota"], (picked,), ((*rows._aval.shape, n_classes), 2))
    is_target = ((classes == places.unsqueeze(2)) & is_label.unsqueeze(2)).any(1)
    over = FUNCTIONS["relu"](1.0 - picked + rows.unsqueeze(1))
    over = where(is_label.unsqueeze(2) & ~is_target.unsqueeze(1), over, 0.0)
    each = over.sum((1, 2)).reshape(input._aval.shape[:-1]) / n_classes
    return reduced(each, reduction, "MultilabelMarginLossBackward0")


# ---------------------------------------------------------------- pairs and triplets


def _above(x):
    """x where it is positive, else 0; slope 1 at 0, as PyTorch's clamp_min has it."""
    return x.clamp(min=0.0)


@offered()
def hinge_embedding_loss(
    input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"
) -> Tensor:
    """The input where the target is 1, what is missing to `margin` where it is -1.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.25, 0.25]), tj.tensor([1.0, -1.0])
    >>> tj.nn.functional.hinge_embedding_loss(input, target, reduction="none")
    tensor([0.2500, 0.7500])
    """
    reduction = reduction_of(size_average, reduce, reduction)
    missing = where(target != 1, _above(margin - input), 0.0)
    return reduced(missing + where(target != -1, input, 0.0), reduction)


@offered()
def margin_ranking_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
) -> Tensor:
    """What is missing for input1 to exceed input2 by `margin` (target 1), or the other way (-1).

    >>> import tapejit as tj
    >>> first, second = tj.tensor([1.0, 1.0]), tj.tensor([3.0, 3.0])
    >>> tj.nn.functional.margin_ranking_loss(first, second, tj.tensor([1.0, -1.0]))
    tensor(1.)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise ShapeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduced(_above(-target * (input1 - input2) + margin), reduction)


@offered()
def cosine_embedding_loss(
    input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean"
) -> Tensor:
    """1 - cosine where the target is 1, the cosine above `margin` where it is -1.

    >>> import tapejit as tj
    >>> first, second = tj.tensor([[1.0, 0.0]]), tj.tensor([[1.0, 1.0]])
    >>> tj.nn.functional.cosine_embedding_loss(first, second, tj.tensor([1.0]))
    tensor(0.2929)
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if target.ndim > 1:
        raise ShapeError("0D or 1D target tensor expected, multi-target not supported")
    axis = target.ndim
    squares = [(x * x).sum(axis) + 1e-12 for x in (input1, input2)]
    cosine = (input1 * input2).sum(axis) / (squares[0] * squares[1]).sqrt()
    near = where(target == 1, 1.0 - cosine, 0.0)
    return reduced(near + where(target == -1, _above(cosine - margin), 0.0), reduction)


@offered()
def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin=1.0,
    p=2,
    eps=1e-6,
    swap=False,
    size_average=None,
    reduce=None,
    reduction="mean",
) -> Tensor:
    """What is missing for `negative` to be further from the anchor than `positive` by `margin`.

    >>> import tapejit as tj
    >>> anchor, positive, negative = tj.zeros(1, 2), tj.ones(1, 2), 2 * tj.ones(1, 2)
    >>> tj.nn.functional.triplet_margin_loss(anchor, positive, negative, margin=2.0)
    tensor(0.5858)
    """
    reduction = reduction_of(size_average, reduce, reduction)

    def distance(x, y):
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=distance,
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


@offered()
def triplet_margin_with_distance_loss(
    anchor,
    positive,
    negative,
    *,
    distance_function=None,
    margin=1.0,
    swap=False,
    reduction="mean",
) -> Tensor:
    """triplet_margin_loss with any distance; the default is pairwise_distance.

    >>> import tapejit as tj
    >>> anchor, positive, negative = tj.zeros(1, 2), tj.ones(1, 2), 2 * tj.ones(1, 2)
    >>> tj.nn.functional.triplet_margin_with_distance_loss(
    ...     anchor, positive, negative, distance_function=lambda x, y: (x - y).abs().sum(-1)
    ... )
    tensor(0.)
    """
    check_reduction(reduction)
    if margin <= 0:
        raise ArgumentError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs"
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = FUNCTIONS["minimum"](far, distance(positive, negative))
    return reduced(_above(margin + near - far), reduction)
