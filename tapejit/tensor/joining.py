"""Several tensors as one: cat, stack and their kin, blocks, products of sets, grids."""

from __future__ import annotations

import itertools

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, data_beside, tensor_of
from tapejit.tensor.front import FOR_NUMPY, export, named
from tapejit.tensor.repeating import atleast_1d, atleast_2d, atleast_3d, expand, several
from tapejit.tensor.shaping import ravel, reshape, swap_axes, unsqueeze


@export("cat", "concatenate", "concat", method=False)
def cat(tensors, dim=0) -> Tensor:
    """Tensors one after the other along an axis.

    >>> import tapejit as tj
    >>> tj.cat([tj.zeros(1, 2), tj.ones(2, 2)])
    tensor([[0., 0.],
            [1., 1.],
            [1., 1.]])
    """
    tensors = [tensor_of(x) for x in tensors]
    if not tensors:
        raise ShapeError("torch.cat(): expected a non-empty list of Tensors")
    if any(x._aval.ndim == 0 for x in tensors):
        raise ShapeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    kept = [x for x in tensors if x._aval.shape != (0,)] or tensors[:1]
    return apply(OPS["cat"], kept, (normalize_axis("cat", dim, kept[0]._aval.ndim),))


@export("stack", method=False)
def stack(tensors, dim=0) -> Tensor:
    """Tensors of equal shape along a new axis.

    >>> import tapejit as tj
    >>> tj.stack([tj.tensor([1, 2]), tj.tensor([3, 4])], 1)
    tensor([[1, 3],
            [2, 4]])
    """
    tensors = [tensor_of(x) for x in tensors]
    if not tensors:
        raise ShapeError("stack expects a non-empty TensorList")
    if len({x._aval.shape for x in tensors}) > 1:
        first = tensors[0]
        other = next(i for i, x in enumerate(tensors) if x._aval.shape != first._aval.shape)
        raise ShapeError(
            f"stack expects each tensor to be equal size, but got {list(first._aval.shape)} at "
            f"entry 0 and {list(tensors[other]._aval.shape)} at entry {other}"
        )
    place = normalize_axis("stack", dim, tensors[0]._aval.ndim + 1)
    return named(cat([unsqueeze(x, place) for x in tensors], place), "StackBackward0")


def _numpy_concatenate(arrays, /, axis=0):
    arrays = several((list(arrays),))
    return cat([ravel(x) for x in arrays], 0) if axis is None else cat(arrays, axis)


FOR_NUMPY[np.concatenate] = _numpy_concatenate
FOR_NUMPY[np.stack] = lambda arrays, axis=0: stack(list(arrays), axis)


@export("hstack", method=False)
def hstack(tensors) -> Tensor:
    """Side by side: along the second axis, vectors along the first.

    >>> import tapejit as tj
    >>> tj.hstack([tj.tensor([1, 2]), tj.tensor([3])])
    tensor([1, 2, 3])
    """
    tensors = _lifted("hstack", tensors, atleast_1d)
    return named(cat(tensors, 0 if tensors[0]._aval.ndim == 1 else 1), "CatBackward0")


@export("vstack", "row_stack", method=False)
def vstack(tensors) -> Tensor:
    """Below each other: along the first axis, vectors as rows.

    >>> import tapejit as tj
    >>> tj.vstack([tj.tensor([1, 2]), tj.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return cat(_lifted("vstack", tensors, atleast_2d), 0)


@export("dstack", method=False)
def dstack(tensors) -> Tensor:
    """Behind each other: along the third axis, a matrix as (n, m, 1).

    >>> import tapejit as tj
    >>> tj.dstack([tj.tensor([1, 2]), tj.tensor([3, 4])])
    tensor([[[1, 3],
             [2, 4]]])
    """
    return cat(_lifted("dstack", tensors, atleast_3d), 2)


@export("column_stack", method=False)
def column_stack(tensors) -> Tensor:
    """Vectors as the columns of a matrix; matrices side by side.

    >>> import tapejit as tj
    >>> tj.column_stack([tj.tensor([1, 2]), tj.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    tensors = [
        x if x._aval.ndim > 1 else reshape(x, (x._aval.size, 1))
        for x in _lifted("column_stack", tensors, None)
    ]
    return cat(tensors, 1)


def _lifted(name, tensors, lift):
    tensors = several((list(tensors),))
    if not tensors:
        raise ShapeError(f"{name} expects a non-empty TensorList")
    return tensors if lift is None else [lift(x) for x in tensors]


FOR_NUMPY[np.hstack] = lambda tup: hstack(tup)
FOR_NUMPY[np.vstack] = lambda tup: vstack(tup)
FOR_NUMPY[np.dstack] = lambda tup: dstack(tup)
FOR_NUMPY[np.column_stack] = lambda tup: column_stack(tup)

# ---------------------------------------------------------------- blocks


@export("block_diag", method=False)
def block_diag(*tensors) -> Tensor:
    """Matrices along the diagonal of a larger one, zeros elsewhere; a vector is a row.

    >>> import tapejit as tj
    >>> tj.block_diag(tj.tensor([[1, 2]]), tj.tensor(3))
    tensor([[1, 2, 0],
            [0, 0, 3]])
    """
    blocks = [atleast_2d(x) for x in several(tensors)]
    if any(x._aval.ndim > 2 for x in blocks):
        raise ShapeError(
            "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
            f"{next(i for i, x in enumerate(blocks) if x._aval.ndim > 2)} has "
            f"{max(x._aval.ndim for x in blocks)} dimensions"
        )
    width = sum(x._aval.shape[1] for x in blocks)
    rows, start = [], 0
    for x in blocks:
        n, m = x._aval.shape
        rows.append(apply(OPS["unslice"], (x,), ((n, width), (0, start), (1, 1))))
        start += m
    return cat(rows, 0)


def _numpy_block(arrays):
    """np.block: innermost lists along the last axis, outer ones along those before."""

    def depth(nest):
        return 1 + max(map(depth, nest)) if isinstance(nest, list) else 0

    def lift(nest, ndim):
        if isinstance(nest, list):
            return [lift(x, ndim) for x in nest]
        x = tensor_of(nest)
        return reshape(x, (1,) * (ndim - x._aval.ndim) + x._aval.shape)

    def most_axes(nest):
        return max(map(most_axes, nest)) if isinstance(nest, list) else np.ndim(nest)

    def join(nest, axis):
        return cat([join(x, axis + 1) for x in nest], axis) if isinstance(nest, list) else nest

    n = depth(arrays)
    return join(lift(arrays, max(n, most_axes(arrays))), -n)


FOR_NUMPY[np.block] = _numpy_block

# ---------------------------------------------------------------- products of sets


@export("meshgrid", method=False)
def meshgrid(*tensors, indexing="ij") -> tuple[Tensor, ...]:
    """Each vector along an axis of its own, expanded to the shape of all.

    indexing  "ij", or "xy": the first two axes exchanged

    >>> import tapejit as tj
    >>> rows, columns = tj.meshgrid(tj.tensor([1, 2]), tj.tensor([3, 4]), indexing="ij")
    >>> rows, columns
    (tensor([[1, 1],
            [2, 2]]), tensor([[3, 4],
            [3, 4]]))
    """
    tensors = several(tensors)
    if indexing not in ("ij", "xy"):
        raise ArgumentError(
            'torch.meshgrid: indexing must be one of "xy" or "ij", but received: ' + indexing
        )
    if any(x._aval.ndim > 1 for x in tensors):
        raise ShapeError(
            "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
            f"{next(x for x in tensors if x._aval.ndim > 1)}"
        )
    n, shape = len(tensors), tuple(x._aval.size for x in tensors)
    lengths = [[-1 if a == axis else 1 for a in range(n)] for axis in range(n)]
    grids = [expand(reshape(x, along), shape) for x, along in zip(tensors, lengths, strict=True)]
    return tuple(swap_axes(g, 0, 1, "") for g in grids) if indexing == "xy" and n > 1 else (*grids,)


def _numpy_meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    vectors = [ravel(x) for x in several((list(xi),))]
    grids = meshgrid(*vectors, indexing=indexing) if vectors else ()
    if not sparse:
        return grids
    order = [*range(len(vectors))]
    if indexing == "xy":
        order[:2] = order[:2][::-1]
    return tuple(
        reshape(x, [-1 if a == place else 1 for a in range(len(order))])
        for x, place in zip(vectors, order, strict=True)
    )


FOR_NUMPY[np.meshgrid] = _numpy_meshgrid


@export("cartesian_prod", method=False)
def cartesian_prod(*tensors) -> Tensor:
    """All rows that take one element of each vector.

    >>> import tapejit as tj
    >>> tj.cartesian_prod(tj.tensor([1, 2]), tj.tensor([3, 4]))
    tensor([[1, 3],
            [1, 4],
            [2, 3],
            [2, 4]])
    """
    tensors = several(tensors)
    for x in tensors:
        if x._aval.ndim != 1:
            raise ShapeError(f"Expect a 1D vector, but got shape {list(x._aval.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([ravel(grid) for grid in meshgrid(*tensors)], 1)


@export("combinations")
def combinations(input, r=2, with_replacement=False) -> Tensor:
    """All choices of r elements of a vector, in order.

    >>> import tapejit as tj
    >>> tj.combinations(tj.tensor([1, 2, 3]))
    tensor([[1, 2],
            [1, 3],
            [2, 3]])
    """
    if input._aval.ndim != 1:
        raise ShapeError(f"Expect a 1D vector, but got shape {list(input._aval.shape)}")
    if r < 0:
        raise ArgumentError(f"Expect a non-negative number, but got {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input._aval.size), r)), np.int64)
    return input[data_beside(input, places.reshape(-1, r))] if r else input[:0]
