"""Tables of vectors: embedding, embedding_bag, one_hot."""

from __future__ import annotations

from typing import Any

from tapejit import dtypes
from tapejit.errors import ArgumentError, DtypeError, SelectionError, ShapeError
from tapejit.nn.calling import offered
from tapejit.registry import OPS
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, apply
from tapejit.tensor.front import FUNCTIONS, named
from tapejit.tensor.guards import read
from tapejit.tensor.modes import no_grad


def _check_table(name, input, weight, padding_idx, sparse):
    """The padding index, counted from the front; None without one."""
    if input._aval.dtype.category != dtypes.INTEGER:
        raise DtypeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: "
            f"Long, Int; but got {input.type()} instead (while checking arguments for {name})"
        )
    if weight.ndim != 2:
        raise ShapeError("'weight' must be 2-D")
    if sparse:
        raise ArgumentError(f"{name}: there are no sparse gradients\n  try  sparse=False")
    n = weight.shape[0]
    if padding_idx is not None and not -n <= padding_idx < n:
        raise ArgumentError("Padding_idx must be within num_embeddings")
    if not bool(read(((input >= 0) & (input < n)).all())):
        raise SelectionError("index out of range in self")
    return None if padding_idx is None else padding_idx % n


def _occurrences(input, weight) -> Any:
    """How often each row of the table is asked for."""
    places = input.reshape(-1)
    ones = FUNCTIONS["ones"](places.numel(), dtype=weight.dtype, device=weight.device)
    return apply(OPS["index_add"], (ones, places), ((weight.shape[0],),))


def _renormalise(input, weight, max_norm, norm_type):
    """Shorten the rows asked for to max_norm, in place and without a slope, as PyTorch does."""
    with no_grad():
        norms = weight.norm(norm_type, 1)
        is_long = (_occurrences(input, weight) > 0) & (norms > max_norm)
        scale = where(is_long, max_norm / (norms + 1e-7), 1.0)
        weight.copy_(weight * scale.unsqueeze(1))


def _scale_slope(x, scale):
    """x with its slope scaled."""
    fixed = x.detach()
    return fixed + (x - fixed) * scale


@offered()
def embedding(
    input,
    weight,
    padding_idx=None,
    max_norm=None,
    norm_type=2.0,
    scale_grad_by_freq=False,
    sparse=False,
) -> Tensor:
    """The rows of `weight` at the given indices; the row padding_idx gets no gradient.

    >>> import tapejit as tj
    >>> weight = tj.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> tj.nn.functional.embedding(tj.tensor([2, 0]), weight, padding_idx=0).sum().backward()
    >>> weight.grad
    tensor([[0., 0.],
            [0., 0.],
            [1., 1.]])
    """
    padding = _check_table("embedding", input, weight, padding_idx, sparse)
    if max_norm is not None:
        _renormalise(input, weight, max_norm, norm_type)
    rows = apply(OPS["index"], (weight, input))
    if scale_grad_by_freq:
        often = apply(OPS["index"], (_occurrences(input, weight), input))
        rows = _scale_slope(rows, 1.0 / often.unsqueeze(-1))
    if padding is not None:
        rows = where((input == padding).unsqueeze(-1), rows.detach(), rows)
    return named(rows, "EmbeddingBackward0")


@offered()
def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm=None,
    norm_type=2,
    scale_grad_by_freq=False,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
) -> Tensor:
    """The sum, mean or maximum of bags of rows: the rows of `input`, or its parts at `offsets`.

    >>> import tapejit as tj
    >>> weight = tj.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]])
    >>> tj.nn.functional.embedding_bag(tj.tensor([[0, 1], [1, 2]]), weight)
    tensor([[0.5000, 1.0000],
            [2.0000, 3.0000]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None:
        if per_sample_weights._aval.shape != input._aval.shape:
            raise ShapeError(
                f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, "
                f"then it must have the same shape as the input ({input.shape})"
            )
        if mode != "sum":
            raise ArgumentError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only "
                f"supported for mode='sum' (got mode='{mode}')."
            )
    padding = _check_table("embedding_bag", input, weight, padding_idx, sparse)
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    counts = None
    if padding is not None:
        counts = input != padding
        rows = where(counts.unsqueeze(-1), rows, 0.0 if mode != "max" else -float("inf"))
    if input.ndim == 2:
        if offsets is not None:
            raise ArgumentError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
        return named(_bags_of_rows(rows, counts, mode), "EmbeddingBagBackward0")
    if input.ndim != 1:
        raise ShapeError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    if offsets is None or offsets.ndim != 1:
        raise ArgumentError(
            "offsets has to be a 1D Tensor" + (" but got None" if offsets is None else "")
        )
    offsets = offsets[:-1] if include_last_offset else offsets
    return named(_bags_at(rows, counts, offsets, mode), "EmbeddingBagBackward0")


def _bags_of_rows(rows, counts, mode):
    if mode == "max":
        largest = FUNCTIONS["max"](rows, 1).values
        return where(largest == -float("inf"), 0.0, largest)
    total = rows.sum(1)
    if mode == "sum":
        return total
    return total / (rows.shape[1] if counts is None else counts.sum(1, True).clamp(min=1))


def _bags_at(rows, counts, offsets, mode):
    if mode == "max":
        raise ArgumentError(
            "embedding_bag: mode='max' takes no offsets\n  try  a 2D input with padding_idx"
        )
    n, n_bags = rows.shape[0], offsets.shape[0]
    places = apply(OPS["iota"], (rows,), ((n, n_bags), 0))
    bags = (places >= offsets).sum(1) - 1
    if not bool(read((bags >= 0).all())):
        raise ArgumentError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            "position 0."
        )
    total = apply(OPS["index_add"], (rows, bags), ((n_bags, rows.shape[1]),))
    if mode == "sum":
        return total
    if counts is None:
        ones = FUNCTIONS["ones"](n, dtype=rows.dtype, device=rows.device)
    else:
        ones = counts.to(rows.dtype)
    sizes = apply(OPS["index_add"], (ones, bags), ((n_bags,),))
    return total / sizes.clamp(min=1.0).unsqueeze(1)


@offered()
def one_hot(tensor, num_classes=-1) -> Tensor:
    """1 at the given class along a new last axis, 0 elsewhere; int64.

    >>> import tapejit as tj
    >>> tj.nn.functional.one_hot(tj.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor._aval.dtype is not dtypes.int64:
        raise DtypeError(
            "one_hot is only applicable to index tensor of type LongTensor.\n  try  .long()"
        )
    if not tensor.numel() and num_classes <= 0:
        raise ArgumentError(
            "Can not infer total number of classes from empty tensor."
            if num_classes == -1
            else "Class values must be smaller than num_classes."
        )
    if tensor.numel() and not bool(read((tensor >= 0).all())):
        raise ArgumentError("Class values must be non-negative.")
    if num_classes == -1:
        num_classes = int(tensor.max()) + 1
    elif not bool(read((tensor < num_classes).all())):
        raise ArgumentError("Class values must be smaller than num_classes.")
    shape = (*tensor._aval.shape, num_classes)
    classes = apply(OPS["iota"], (tensor,), (shape, tensor.ndim))
    return (classes == tensor.unsqueeze(-1)).to(dtypes.int64)
