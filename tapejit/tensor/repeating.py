"""Elements repeated: expand and broadcast without a copy, repeat and tile with one."""

from __future__ import annotations

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import broadcast, normalize_axis
from tapejit.tensor.attributes import Size
from tapejit.tensor.core import Tensor, data_beside, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export
from tapejit.tensor.guards import read
from tapejit.tensor.inplace import view
from tapejit.tensor.shaping import numbers, owned, ravel, reshape, unsqueeze

# ---------------------------------------------------------------- without a copy


@export("expand", function=False)
def expand(x, *sizes) -> Tensor:
    """Axes of length 1 repeated without a copy; -1 keeps a length.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1.0], [2.0]], requires_grad=True)
    >>> y = x.expand(-1, 3)
    >>> y.sum().backward()
    >>> y.shape, x.grad.flatten()
    (torch.Size([2, 3]), tensor([3., 3.]))
    """
    sizes = numbers(sizes)
    known = (1,) * (len(sizes) - x._aval.ndim) + x._aval.shape
    if len(known) != len(sizes):
        raise ShapeError(
            f"expand(torch.FloatTensor{list(x._aval.shape)}, size={list(sizes)}): the number of "
            f"sizes provided ({len(sizes)}) must be greater or equal to the number of dimensions "
            f"in the tensor ({x._aval.ndim})"
        )
    target = tuple(m if n == -1 else n for n, m in zip(sizes, known, strict=True))
    for axis, (n, m) in enumerate(zip(target, known, strict=True)):
        if m not in (1, n):
            raise ShapeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({m}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(target)}.  Tensor sizes: "
                f"{list(x._aval.shape)}"
            )
    return view(OPS["expand"], x, (target,))


@export("broadcast_to")
def broadcast_to(input, size) -> Tensor:
    """The tensor repeated to a shape, without a copy.

    >>> import tapejit as tj
    >>> tj.broadcast_to(tj.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, size)


FOR_NUMPY[np.broadcast_to] = lambda array, shape, subok=False: expand(array, shape)


@export("broadcast_tensors", method=False)
def broadcast_tensors(*tensors) -> tuple[Tensor, ...]:
    """Tensors expanded to their common shape.

    >>> import tapejit as tj
    >>> [x.shape for x in tj.broadcast_tensors(tj.zeros(3, 1), tj.zeros(2))]
    [torch.Size([3, 2]), torch.Size([3, 2])]
    """
    tensors = several(tensors)
    shape = broadcast("broadcast_tensors", *(x._aval.shape for x in tensors))
    return tuple(expand(x, shape) for x in tensors)


FOR_NUMPY[np.broadcast_arrays] = lambda *args, subok=False: broadcast_tensors(*args)


def several(tensors) -> list[Tensor]:
    """Tensors given one by one or as one list."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tensors[0]
    return [tensor_of(x) for x in tensors]


def broadcast_shapes(*shapes) -> Size:
    """The common shape of several.

    >>> import tapejit as tj
    >>> tj.broadcast_shapes((3, 1), (2,))
    torch.Size([3, 2])
    """
    return Size(broadcast("broadcast_shapes", *(numbers((shape,)) for shape in shapes)))


FUNCTIONS["broadcast_shapes"] = broadcast_shapes


@export("expand_as", function=False)
def expand_as(x, other) -> Tensor:
    """Expanded to the shape of another tensor.

    >>> import tapejit as tj
    >>> tj.tensor([1, 2]).expand_as(tj.zeros(2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(x, other._aval.shape)


# ---------------------------------------------------------------- with one


@export("repeat", function=False)
def repeat(x, *sizes) -> Tensor:
    """Copies one after the other along every axis.

    >>> import tapejit as tj
    >>> tj.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    sizes = numbers(sizes)
    shape = (1,) * (len(sizes) - x._aval.ndim) + x._aval.shape
    if len(shape) != len(sizes):
        raise ShapeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor: {len(sizes)} and {x._aval.ndim}"
        )
    paired = [m for n in shape for m in (1, n)]
    wide = [m for n, r in zip(shape, sizes, strict=True) for m in (r, n)]
    full = tuple(n * r for n, r in zip(shape, sizes, strict=True))
    return owned(reshape(expand(reshape(x, paired), wide), full), x, name="RepeatBackward0")


@export("tile")
def tile(input, *dims) -> Tensor:
    """As repeat; missing factors count as 1.

    >>> import tapejit as tj
    >>> tj.tile(tj.tensor([[1, 2], [3, 4]]), (2,))
    tensor([[1, 2, 1, 2],
            [3, 4, 3, 4]])
    """
    dims = numbers(dims)
    return repeat(input, (1,) * (input._aval.ndim - len(dims)) + dims)


FOR_NUMPY[np.tile] = lambda A, reps: tile(A, reps)


@export("repeat_interleave")
def repeat_interleave(input, repeats=None, dim=None, *, output_size=None) -> Tensor:
    """Every element so many times in place: one number for all, or one for each.

    >>> import tapejit as tj
    >>> tj.repeat_interleave(tj.tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    >>> tj.repeat_interleave(tj.tensor([[1], [2]]), tj.tensor([1, 2]), dim=0)
    tensor([[1],
            [2],
            [2]])
    """
    if repeats is None:
        return data_beside(input, np.repeat(np.arange(input._aval.size), read(input)))
    if dim is None:
        input, dim = ravel(input), 0
    if input._aval.ndim == 0:
        input = reshape(input, (1,))
    dim = normalize_axis("repeat_interleave", dim, input._aval.ndim)
    shape = input._aval.shape
    counts = read(repeats) if isinstance(repeats, Tensor) else np.asarray(repeats)
    if np.size(counts) and np.min(counts) < 0:
        raise ArgumentError("repeats can not be negative")
    if counts.size == 1:
        n = int(counts.reshape(()))
        wide = expand(unsqueeze(input, dim + 1), (*shape[: dim + 1], n, *shape[dim + 1 :]))
        full = (*shape[:dim], shape[dim] * n, *shape[dim + 1 :])
        return owned(reshape(wide, full), input, name="RepeatInterleaveBackward0")
    if counts.shape != (shape[dim],):
        raise ShapeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size({dim}) = {shape[dim]}"
        )
    return input[
        (slice(None),) * dim + (data_beside(input, np.repeat(np.arange(shape[dim]), counts)),)
    ]


FOR_NUMPY[np.repeat] = lambda a, repeats, axis=None: repeat_interleave(a, repeats, axis)


# ---------------------------------------------------------------- at least so many axes


def _at_least(tensors, shape_of):
    results = tuple(reshape(x, shape_of(x._aval.shape)) for x in several(tensors))
    return results[0] if len(results) == 1 else results


@export("atleast_1d", method=False, numpy=("atleast_1d",))
def atleast_1d(*tensors):
    """Numbers as vectors of one element; a tuple of several.

    >>> import tapejit as tj
    >>> tj.atleast_1d(tj.tensor(2.0))
    tensor([2.])
    """
    return _at_least(tensors, lambda shape: shape or (1,))


@export("atleast_2d", method=False, numpy=("atleast_2d",))
def atleast_2d(*tensors):
    """Vectors as matrices of one row; a tuple of several.

    >>> import tapejit as tj
    >>> tj.atleast_2d(tj.ones(3)).shape
    torch.Size([1, 3])
    """
    return _at_least(tensors, lambda shape: (1,) * (2 - len(shape)) + shape)


@export("atleast_3d", method=False, numpy=("atleast_3d",))
def atleast_3d(*tensors):
    """Vectors and matrices with three axes: (1, n, 1) and (n, m, 1); a tuple of several.

    >>> import tapejit as tj
    >>> tj.atleast_3d(tj.ones(3)).shape
    torch.Size([1, 3, 1])
    """
    return _at_least(tensors, lambda s: (1, *s, 1) if len(s) == 1 else s + (1,) * (3 - len(s)))
