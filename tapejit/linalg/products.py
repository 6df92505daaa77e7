"""The products that PyTorch's linalg has beside the top level, and Vandermonde matrices."""

from __future__ import annotations

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.linalg.reading import for_numpy, matrices
from tapejit.shapes import normalize_axis
from tapejit.tensor import contractions, products
from tapejit.tensor.core import Tensor, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, offered
from tapejit.tensor.products import chain, conjugated


@offered()
def matmul(input, other) -> Tensor:
    """Matrix product; vectors count as rows or columns, batch axes broadcast.

    >>> import tapejit as tj
    >>> tj.linalg.matmul(tj.ones(2, 3), tj.ones(3))
    tensor([3., 3.])
    """
    return products.matmul(input, other)


@offered()
def multi_dot(tensors) -> Tensor:
    """The product of two or more matrices, in the order of the fewest multiplications.

    The first and the last may be vectors.

    >>> import tapejit as tj
    >>> tj.linalg.multi_dot([tj.ones(2, 3), tj.ones(3, 9), tj.ones(9)])
    tensor([27., 27.])
    """
    return chain(tensors)


@offered()
def matrix_power(A, n) -> Tensor:
    """A square matrix multiplied by itself, n times; of the inverse where n is negative.

    >>> import tapejit as tj
    >>> tj.linalg.matrix_power(tj.tensor([[2.0, 0.0], [0.0, 4.0]]), -1)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return products.matrix_power(tensor_of(A), n)


@offered()
def cross(input, other, *, dim=-1) -> Tensor:
    """Cross product along an axis of length 3; other axes broadcast.

    >>> import tapejit as tj
    >>> tj.linalg.cross(tj.tensor([1.0, 0.0, 0.0]), tj.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    return products.cross(input, other, dim)


@offered()
def diagonal(A, *, offset=0, dim1=-2, dim2=-1) -> Tensor:
    """The diagonals of matrices, as the last axis.

    >>> import tapejit as tj
    >>> tj.linalg.diagonal(tj.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    return FUNCTIONS["diagonal"](A, offset, dim1, dim2)


@offered()
def vecdot(x, y, *, dim=-1) -> Tensor:
    """Sum of products along an axis, the first factor conjugated; other axes broadcast.

    >>> import tapejit as tj
    >>> tj.linalg.vecdot(tj.tensor([[1.0, 2.0], [3.0, 4.0]]), tj.tensor([1.0, -1.0]))
    tensor([-1., -1.])
    """
    x, y = tensor_of(x), tensor_of(y)
    return (conjugated(x) * y).sum(dim)


@offered()
def householder_product(A, tau) -> Tensor:
    """The first columns of a product of reflections 1 - tau v v^H, v below the diagonal of A.

    >>> import tapejit as tj
    >>> tj.linalg.householder_product(tj.tensor([[1.0], [0.0]]), tj.tensor([2.0]))
    tensor([[-1.],
            [ 0.]])
    """
    a, tau = matrices("linalg.householder_product", A), tensor_of(tau)
    m, n = a._aval.shape[-2:]
    k = tau._aval.shape[-1]
    if m < n or n < k:
        raise ShapeError(
            "torch.linalg.householder_product: input.shape[-2] must be greater than or equal to "
            "input.shape[-1], and that to tau.shape[-1]"
        )
    eye = FUNCTIONS["eye"](m, n, dtype=a.dtype, device=a.device)
    vectors = FUNCTIONS["tril"](a, -1) + eye
    result = eye.expand(a._aval.shape)
    for i in reversed(range(k)):
        v = vectors[..., i : i + 1]
        along = products.matmul(conjugated(v).mT, result)
        result = result - products.matmul(tau[..., i : i + 1, None] * v, along)
    return result


def powers(x, n: int) -> Tensor:
    """x^0, x^1, ... up to n of them, along a new last axis."""
    if n < 0:
        raise ArgumentError("N must be non-negative.")
    ones = FUNCTIONS["ones_like"](x)
    columns = [ones]
    while len(columns) < n:
        columns.append(columns[-1] * x)
    if not n:
        return FUNCTIONS["stack"]([ones], -1)[..., :0]
    return FUNCTIONS["stack"](columns[:n], -1)


@offered()
def vander(x, N=None) -> Tensor:
    """Vandermonde matrices: the powers of each element, from 0 on, in rows.

    >>> import tapejit as tj
    >>> tj.linalg.vander(tj.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [1, 2, 4],
            [1, 3, 9]])
    """
    x = tensor_of(x)
    if not x._aval.ndim:
        raise ShapeError("linalg.vander: the input must have at least one dimension")
    return powers(x, x._aval.shape[-1] if N is None else N)


@export("vander", method=False, numpy=("vander",))
def vander_of_vector(x, N=None, increasing=False) -> Tensor:
    """The powers of each element of a vector in rows, the highest first.

    >>> import tapejit as tj
    >>> tj.vander(tj.tensor([1, 2, 3]))
    tensor([[1, 1, 1],
            [4, 2, 1],
            [9, 3, 1]])
    """
    x = tensor_of(x)
    if x._aval.ndim != 1:
        raise ShapeError("x must be a one-dimensional tensor.")
    result = powers(x, x._aval.shape[0] if N is None else N)
    return result if increasing else result.flip(-1)


# ---------------------------------------------------------------- NumPy's


def _numpy_vecdot(x1, x2, /, *, axis=-1):
    return vecdot(x1, x2, dim=axis)


def _numpy_cross(x1, x2, /, *, axis=-1):
    return products.cross(x1, x2, normalize_axis("cross", axis, np.ndim(x1)))


FOR_NUMPY[np.linalg.matmul] = products.matmul
FOR_NUMPY[np.linalg.multi_dot] = chain
FOR_NUMPY[np.linalg.cross] = _numpy_cross
FOR_NUMPY[np.linalg.diagonal] = lambda x, /, *, offset=0: diagonal(x, offset=offset)
FOR_NUMPY[np.linalg.trace] = lambda x, /, *, offset=0, dtype=None: diagonal(x, offset=offset).sum(
    -1, dtype=dtype
)
FOR_NUMPY[np.linalg.outer] = lambda x1, x2, /: products.outer(tensor_of(x1), tensor_of(x2))
FOR_NUMPY[np.linalg.vecdot] = _numpy_vecdot
FOR_NUMPY[np.linalg.tensordot] = lambda x1, x2, /, *, axes=2: contractions.tensordot(x1, x2, axes)
FOR_NUMPY[np.linalg.matrix_transpose] = lambda x: x.mT
for_numpy("matrix_power", matrix_power)
