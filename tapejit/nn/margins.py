"""Losses with a margin: how far something is from being larger, or further, than something else.

The hinge is `relu` (slope 0 at 0) where PyTorch has a kernel for the loss, and `clamp` (slope 1)
where PyTorch composes it.
"""

from __future__ import annotations

from tapejit.errors import ArgumentError, ShapeError
from tapejit.nn.calling import check_reduction, offered, reduced, reduction_of
from tapejit.nn.distances import pairwise_distance
from tapejit.nn.losses import class_axis, counted
from tapejit.registry import OPS
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, apply
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.picking import gather

# ---------------------------------------------------------------- classes


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
    axis = class_axis(input)
    n_classes = input._aval.shape[axis]
    target = target.reshape(input._aval.shape[:axis])
    _, places = counted(input, target, axis, n_classes)
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
