"""Diagonals and triangles of matrices."""

from __future__ import annotations

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.creation import finish
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named
from tapejit.tensor.inplace import view
from tapejit.tensor.shaping import owned, ravel

# ---------------------------------------------------------------- diagonals


def _step_along(shape, offset, first, second):
    """(length, starts, steps) of a diagonal as `strided` takes them; it is the last axis."""
    if first == second:
        raise ArgumentError(f"diagonal dimensions cannot be identical {first}, {second}")
    n, m = shape[first], shape[second]
    length = max(0, min(n + min(offset, 0), m - max(offset, 0)))
    starts, steps, others = [0] * len(shape), [], 0
    if length:
        starts[first], starts[second] = -min(offset, 0), max(offset, 0)
    for axis in range(len(shape)):
        row = [0] * (len(shape) - 1)
        row[-1 if axis in (first, second) else others] = 1
        others += axis not in (first, second)
        steps.append(tuple(row))
    return length, tuple(starts), tuple(steps)


@export("diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1) -> Tensor:
    """The diagonal of two axes, as the last axis: a view.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1, 2, 3], [4, 5, 6]])
    >>> tj.diagonal(x), tj.diagonal(x, 1)
    (tensor([1, 5]), tensor([2, 6]))
    >>> _ = x.diagonal().zero_()
    >>> x
    tensor([[0, 2, 3],
            [4, 0, 6]])
    """
    shape = input._aval.shape
    first, second = (normalize_axis("diagonal", d, len(shape)) for d in (dim1, dim2))
    length, starts, steps = _step_along(shape, offset, first, second)
    others = (n for axis, n in enumerate(shape) if axis not in (first, second))
    attrs = (*others, length), starts, steps
    return view(OPS["strided"], input, attrs, "DiagonalBackward0")


FOR_NUMPY[np.diagonal] = lambda a, offset=0, axis1=0, axis2=1: diagonal(a, offset, axis1, axis2)


@export("diag")
def diag(input, diagonal=0) -> Tensor:
    """A matrix with this diagonal, or a copy of the diagonal of a matrix.

    >>> import tapejit as tj
    >>> tj.diag(tj.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    >>> tj.diag(tj.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    if input._aval.ndim == 2:
        return owned(_diagonal(input, diagonal), input, name="DiagonalBackward0_copy")
    if input._aval.ndim != 1:
        raise ShapeError(f"diag(): Supports 1D or 2D tensors. Got {input._aval.ndim}D")
    return diag_embed(input, diagonal)


_diagonal = diagonal
FOR_NUMPY[np.diag] = lambda v, k=0: diag(v, k)


@export("diag_embed")
def diag_embed(input, offset=0, dim1=-2, dim2=-1) -> Tensor:
    """Matrices, over axes dim1 and dim2 of the result, with the last axis as their diagonal.

    >>> import tapejit as tj
    >>> tj.diag_embed(tj.tensor([[1, 2], [3, 4]])).shape
    torch.Size([2, 2, 2])
    """
    ndim = input._aval.ndim + 1
    first, second = (normalize_axis("diag_embed", d, ndim) for d in (dim1, dim2))
    n = input._aval.shape[-1] + abs(offset)
    others = iter(input._aval.shape[:-1])
    shape = tuple(n if axis in (first, second) else next(others) for axis in range(ndim))
    _, starts, steps = _step_along(shape, offset, first, second)
    result = apply(OPS["unstrided"], (input,), (shape, starts, steps))
    return named(result, "DiagEmbedBackward0")


@export("diagflat", numpy=())
def diagflat(input, offset=0) -> Tensor:
    """A matrix with all elements of the tensor on its diagonal.

    >>> import tapejit as tj
    >>> tj.diagflat(tj.tensor([[1, 2]]))
    tensor([[1, 0],
            [0, 2]])
    """
    return diag_embed(ravel(input), offset)


FOR_NUMPY[np.diagflat] = lambda v, k=0: diagflat(tensor_of(v), k)


@export("diagonal_scatter")
def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1) -> Tensor:
    """A copy with `src` on a diagonal.

    >>> import tapejit as tj
    >>> tj.diagonal_scatter(tj.zeros(2, 2), tj.ones(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    shape = input._aval.shape
    first, second = (normalize_axis("diagonal", d, len(shape)) for d in (dim1, dim2))
    length, starts, steps = _step_along(shape, offset, first, second)
    wanted = (*(n for axis, n in enumerate(shape) if axis not in (first, second)), length)
    if src._aval.shape != wanted:
        raise ShapeError(
            "expected src to have a size equal to the diagonal of self. src size = "
            f"{list(src._aval.shape)}, diagonal size = {list(wanted)}"
        )
    result = apply(OPS["put_strided"], (input, src), (starts, steps))
    return named(result, "DiagonalScatterBackward0")


# ---------------------------------------------------------------- triangles


def below(x: Tensor, k: int) -> Tensor:
    """Where the last two axes are on or below diagonal k."""
    if x._aval.ndim < 2:
        raise ShapeError("tril: input tensor must have at least 2 dimensions")
    rows, columns = (apply(OPS["iota"], (x,), (x._aval.shape[-2:], axis)) for axis in (0, 1))
    return columns - rows <= k


@export("tril")
def tril(input, diagonal=0) -> Tensor:
    """The elements on and below a diagonal of the last two axes, 0 elsewhere.

    >>> import tapejit as tj
    >>> tj.tril(tj.tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    >>> tj.tril(tj.tensor([[1, 2], [3, 4]]), -1)
    tensor([[0, 0],
            [3, 0]])
    """
    return named(FUNCTIONS["where"](below(input, diagonal), input, False), "TrilBackward0")


@export("triu")
def triu(input, diagonal=0) -> Tensor:
    """The elements on and above a diagonal of the last two axes, 0 elsewhere.

    >>> import tapejit as tj
    >>> tj.triu(tj.tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    >>> tj.triu(tj.tensor([[1, 2], [3, 4]]), 1)
    tensor([[0, 2],
            [0, 0]])
    """
    return named(FUNCTIONS["where"](below(input, diagonal - 1), False, input), "TriuBackward0")


FOR_NUMPY[np.tril] = lambda m, k=0: tril(m, k)
FOR_NUMPY[np.triu] = lambda m, k=0: triu(m, k)
FOR_NUMPY[np.tril_indices_from] = lambda arr, k=0: np.tril_indices(arr.shape[-2], k, arr.shape[-1])
FOR_NUMPY[np.triu_indices_from] = lambda arr, k=0: np.triu_indices(arr.shape[-2], k, arr.shape[-1])
FOR_NUMPY[np.diag_indices_from] = lambda arr: np.diag_indices(arr.shape[0], arr.ndim)


def tril_indices(row, col=None, offset=0, *, dtype=None, device=None) -> Tensor:
    """The places on and below a diagonal, as two rows.

    >>> import tapejit as tj
    >>> tj.tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _places(np.tril_indices(row, offset, row if col is None else col), dtype, device)


def triu_indices(row, col=None, offset=0, *, dtype=None, device=None) -> Tensor:
    """The places on and above a diagonal, as two rows.

    >>> import tapejit as tj
    >>> tj.triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _places(np.triu_indices(row, offset, row if col is None else col), dtype, device)


FUNCTIONS["tril_indices"], FUNCTIONS["triu_indices"] = tril_indices, triu_indices


def _places(places, dtype, device):
    return finish(np.stack(places), np.int64 if dtype is None else dtype, False, device)
