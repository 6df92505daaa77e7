"""Products of vectors and matrices: compositions of matmul, mul and movements.

Start at `matmul`; sums of products over named axes are in `einsum`.
"""

from __future__ import annotations

import math
import operator

import numpy as np

from tapejit.errors import DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.diagonals import diagonal
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, method, named
from tapejit.tensor.shaping import permute, ravel, reshape, unsqueeze

# ---------------------------------------------------------------- matrix products

_MATMUL = OPS["matmul"]


@export("matmul", numpy=("matmul",))
def matmul(input, other) -> Tensor:
    """Matrix product; vectors count as rows or columns, batch axes broadcast.

    >>> import tapejit as tj
    >>> a, b = tj.tensor([[1.0, 2.0], [3.0, 4.0]]), tj.tensor([1.0, -1.0])
    >>> tj.matmul(a, b), tj.matmul(b, b)
    (tensor([-1., -1.]), tensor(2.))
    >>> tj.matmul(tj.zeros(5, 1, 2, 3), tj.zeros(4, 3, 6)).shape
    torch.Size([5, 4, 2, 6])
    """
    x, y = (tensor_of(v) for v in (input, other))
    result = apply(_MATMUL, (x, y))
    n, m = x._aval.ndim, y._aval.ndim
    if n == 1 and m == 1:
        return named(result, "DotBackward0")
    if n == 2 and m == 1:
        return named(result, "MvBackward0")
    if n == 1 and m == 2:
        return named(result, "SqueezeBackward4")
    if n == m == 2:
        return result
    return named(result, "CloneBackward0" if n == 2 else "UnsafeViewBackward0")


method("__matmul__")(matmul)
Tensor.__rmatmul__ = lambda x, y: matmul(y, x)


def _check_equal_dtypes(input, other):
    if input._aval.dtype is not other._aval.dtype:
        raise DtypeError(
            f"expected m1 and m2 to have the same dtype, but got: {input.dtype} != {other.dtype}"
        )


@export("mm")
def mm(input, mat2) -> Tensor:
    """Product of two matrices.

    Errors  ShapeError unless both have 2 axes; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.mm(tj.tensor([[1, 2], [3, 4]]), tj.tensor([[0, 1], [1, 0]]))
    tensor([[2, 1],
            [4, 3]])
    """
    for x, which in ((input, "self"), (mat2, "mat2")):
        if x._aval.ndim != 2:
            raise ShapeError(f"mm: {which} must be a matrix, but it has {x._aval.ndim} axes")
    _check_equal_dtypes(input, mat2)
    return matmul(input, mat2)


@export("mv")
def mv(input, vec) -> Tensor:
    """Product of a matrix and a vector.

    Errors  ShapeError for other numbers of axes; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.mv(tj.tensor([[1, 2], [3, 4]]), tj.tensor([1, -1]))
    tensor([-1, -1])
    """
    if (input._aval.ndim, vec._aval.ndim) != (2, 1):
        raise ShapeError(
            f"vector + matrix @ vector expected, got {vec._aval.ndim}, {input._aval.ndim}, "
            f"{vec._aval.ndim}"
        )
    _check_equal_dtypes(input, vec)
    return matmul(input, vec)


def _check_vectors(x, y):
    if (x._aval.ndim, y._aval.ndim) != (1, 1):
        raise ShapeError(
            f"1D tensors expected, but got {x._aval.ndim}D and {y._aval.ndim}D tensors"
        )
    n, m = x._aval.size, y._aval.size
    if n != m:
        raise ShapeError(
            f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to have the same "
            f"number of elements, but got {n} and {m} elements respectively"
        )
    _check_equal_dtypes(x, y)


@export("dot")
def dot(input, tensor) -> Tensor:
    """Sum of the products of two vectors.

    Errors  ShapeError unless both have 1 axis and one length; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.dot(tj.tensor([1, 2]), tj.tensor([3, 4]))
    tensor(11)
    """
    _check_vectors(input, tensor)
    return matmul(input, tensor)


def conjugated(x) -> Tensor:
    """The complex conjugate of a tensor; a real one as it is."""
    return x.conj() if x._aval.dtype.dtype.kind == "c" else x


@export("vdot")
def vdot(input, other) -> Tensor:
    """Sum of the products of two vectors, the first one conjugated.

    Errors  ShapeError unless both have 1 axis and one length; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.vdot(tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]))
    tensor(11.)
    """
    _check_vectors(input, other)
    return named(matmul(conjugated(input), other), "VdotBackward0")


@export("bmm")
def bmm(input, mat2) -> Tensor:
    """Products of two batches of matrices.

    Errors  ShapeError unless both have 3 axes; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.bmm(tj.ones(5, 2, 3), tj.ones(5, 3, 4)).shape
    torch.Size([5, 2, 4])
    """
    for x, which in ((input, "batch1"), (mat2, "batch2")):
        if x._aval.ndim != 3:
            raise ShapeError(f"{which} must be a 3D tensor")
    expected = [input._aval.shape[0], input._aval.shape[2]]
    if list(mat2._aval.shape[:2]) != expected:
        raise ShapeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"{expected} but got: {list(mat2._aval.shape[:2])}."
        )
    _check_equal_dtypes(input, mat2)
    return named(matmul(input, mat2), "BmmBackward0")


# ---------------------------------------------------------------- products that are added


def _scaled_sum(input, product, beta, alpha, name):
    """beta * input + alpha * product; what beta = 0 leaves out may be NaN."""
    if alpha != 1:
        product = product * alpha
    if beta == 0:
        return product
    shape = np.broadcast_shapes(input._aval.shape, product._aval.shape)
    if shape != product._aval.shape:
        raise ShapeError(
            f"The expanded size of the tensor {list(product._aval.shape)} must match the existing "
            f"size {list(input._aval.shape)} at non-singleton dimensions"
        )
    return named((input if beta == 1 else input * beta) + product, name)


@export("addmm")
def addmm(input, mat1, mat2, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2); input may be a row, a column or a number.

    >>> import tapejit as tj
    >>> a = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.addmm(tj.tensor([10.0, 20.0]), a, a)
    tensor([[17., 30.],
            [25., 42.]])
    """
    return _scaled_sum(input, mm(mat1, mat2), beta, alpha, "AddmmBackward0")


@export("addmv")
def addmv(input, mat, vec, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (mat @ vec).

    >>> import tapejit as tj
    >>> a = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.addmv(tj.ones(2), a, tj.tensor([1.0, -1.0]), alpha=10)
    tensor([-9., -9.])
    """
    return _scaled_sum(input, mv(mat, vec), beta, alpha, "AddmvBackward0")


@export("addr")
def addr(input, vec1, vec2, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2).

    >>> import tapejit as tj
    >>> tj.addr(tj.zeros(2, 2), tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    return _scaled_sum(input, outer(vec1, vec2), beta, alpha, "AddrBackward0")


@export("baddbmm")
def baddbmm(input, batch1, batch2, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), matrix by matrix.

    >>> import tapejit as tj
    >>> tj.baddbmm(tj.ones(4, 2, 2), tj.ones(4, 2, 3), tj.ones(4, 3, 2))[0]
    tensor([[4., 4.],
            [4., 4.]])
    """
    return _scaled_sum(input, bmm(batch1, batch2), beta, alpha, "BaddbmmBackward0")


@export("addbmm")
def addbmm(input, batch1, batch2, *, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * the sum of all batch1[i] @ batch2[i], as one matrix product.

    >>> import tapejit as tj
    >>> tj.addbmm(tj.ones(2, 2), tj.ones(4, 2, 3), tj.ones(4, 3, 2))
    tensor([[13., 13.],
            [13., 13.]])
    """
    bmm(batch1.detach()[:0], batch2.detach()[:0])  # for its errors
    b, n, k = batch1._aval.shape
    rows = reshape(permute(batch1, (1, 0, 2)), (n, b * k))
    columns = reshape(batch2, (b * k, batch2._aval.shape[2]))
    return _scaled_sum(input, matmul(rows, columns), beta, alpha, "AddbmmBackward0")


def _in_place(function):
    name = function.__name__

    def change(self, *args, **kwargs) -> Tensor:
        return self.copy_(function(self, *args, **kwargs))

    change.__name__ = change.__qualname__ = f"{name}_"
    change.__doc__ = f"""As `{name}`, written into the memory of the tensor, which is returned."""
    method(f"{name}_")(change)


for _function in (addmm, addmv, addr, addbmm, baddbmm):
    _in_place(_function)

# ---------------------------------------------------------------- other products


@export("outer", "ger")
def outer(input, vec2) -> Tensor:
    """All products of the elements of two vectors.

    >>> import tapejit as tj
    >>> tj.outer(tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0, 5.0]))
    tensor([[ 3.,  4.,  5.],
            [ 6.,  8., 10.]])
    """
    for x, which in ((input, "self"), (vec2, "vec2")):
        if x._aval.ndim != 1:
            raise ShapeError(f"outer: Expected 1-D argument {which}, but got {x._aval.ndim}-D")
    return unsqueeze(input, 1) * unsqueeze(vec2, 0)


@export("inner")
def inner(input, other) -> Tensor:
    """Sum of products over the last axes of both; of numbers the product.

    >>> import tapejit as tj
    >>> a = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.inner(a, a)
    tensor([[ 5., 11.],
            [11., 25.]])
    """
    n, m = input._aval.ndim, other._aval.ndim
    if not n or not m:
        return input * other
    if input._aval.shape[-1] != other._aval.shape[-1]:
        raise ShapeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(input._aval.shape)} and {list(other._aval.shape)}"
        )
    return _over_one_axis(input, other, m - 1)


def _over_one_axis(x, y, axis):
    """Sum of products over the last axis of x and one of y; the axes of x, then those of y."""
    left, m = x._aval.shape[:-1], y._aval.ndim
    if m == 1:
        return matmul(x, y)
    order = (axis, *(a for a in range(m) if a != axis))
    right = permute(y, order)
    n, *rest = right._aval.shape
    if m > 2:
        right = reshape(right, (n, math.prod(rest)))
    rows = reshape(x, (math.prod(left), n)) if len(left) > 1 else x
    product = matmul(rows, right)
    return reshape(product, (*left, *rest)) if len(left) > 1 or m > 2 else product


@export("kron", numpy=("kron",))
def kron(input, other) -> Tensor:
    """Kronecker product: a copy of `other` times each element of `input`, in its place.

    >>> import tapejit as tj
    >>> tj.kron(tj.tensor([[1, 2]]), tj.tensor([[0, 1], [1, 0]]))
    tensor([[0, 1, 0, 2],
            [1, 0, 2, 0]])
    """
    x, y = _tensors(input, other)
    n = max(x._aval.ndim, y._aval.ndim)
    a, b = ((1,) * (n - v._aval.ndim) + v._aval.shape for v in (x, y))
    spread = reshape(x, tuple(k for length in a for k in (length, 1)))
    tile = reshape(y, tuple(k for length in b for k in (1, length)))
    return reshape(spread * tile, tuple(i * j for i, j in zip(a, b, strict=True)))


@export("cross")
def cross(input, other, dim=None) -> Tensor:
    """Cross product along an axis of length 3 (the first such one); others broadcast.

    >>> import tapejit as tj
    >>> tj.cross(tj.tensor([1.0, 0.0, 0.0]), tj.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, y = _tensors(input, other)
    shape = np.broadcast_shapes(x._aval.shape, y._aval.shape)
    if dim is None:
        if 3 not in x._aval.shape:
            raise ShapeError("no dimension of size 3 in input")
        dim = shape.index(3)
    axis = normalize_axis("cross", dim, len(shape)) - len(shape)
    if x._aval.shape[axis] != 3 or y._aval.shape[axis] != 3:
        raise ShapeError(
            f"linalg.cross: inputs dimension {dim} must have length 3. Got "
            f"{x._aval.shape[axis]} and {y._aval.shape[axis]}"
        )
    a, b, c = (x.narrow(axis, i, 1) for i in range(3))
    u, v, w = (y.narrow(axis, i, 1) for i in range(3))
    parts = [b * w - c * v, c * u - a * w, a * v - b * u]
    return named(FUNCTIONS["cat"](parts, axis), "LinalgCrossBackward0")


def chain(tensors, name="multi_dot()") -> Tensor:
    """The product of two or more matrices, in the order of the fewest multiplications."""
    tensors = list(_tensors(*tensors))
    if len(tensors) < 2:
        raise ShapeError(f"{name}: expected at least 2 tensors but got {len(tensors)}")
    for place, which in ((0, "first"), (-1, "last")):
        ndim = tensors[place]._aval.ndim
        if ndim not in (1, 2):
            raise ShapeError(f"{name}: the {which} tensor must be 1D or 2D but got {ndim}D")
    for place, x in enumerate(tensors[1:-1], 1):
        if x._aval.ndim != 2:
            raise ShapeError(f"{name}: tensor {place} must be 2D but got {x._aval.ndim}D")
    first, last = tensors[0], tensors[-1]
    lengths = [1] if first._aval.ndim == 1 else []
    lengths += [n for x in tensors[:-1] for n in x._aval.shape[-2:][:1]]
    lengths += last._aval.shape if last._aval.ndim == 2 else (*last._aval.shape, 1)
    splits = _splits(tuple(lengths))

    def product(i, j):
        if i == j:
            return tensors[i]
        k = splits[i, j]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, len(tensors) - 1)


def _splits(lengths):
    """Where to cut each run of a chain of matrices (Cormen et al., Matrix-chain multiplication)."""
    n = len(lengths) - 1
    cost, splits = dict.fromkeys(((i, i) for i in range(n)), 0), {}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            cost[i, j], splits[i, j] = min(
                (
                    cost[i, k] + cost[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1],
                    k,
                )
                for k in range(i, j)
            )
    return splits


@export("chain_matmul", method=False)
def chain_matmul(*matrices) -> Tensor:
    """The product of matrices, in the order of the fewest multiplications.

    >>> import tapejit as tj
    >>> tj.chain_matmul(tj.ones(2, 3), tj.ones(3, 9), tj.ones(9, 1))
    tensor([[27.],
            [27.]])
    """
    return matrices[0] if len(matrices) == 1 else chain(matrices, "chain_matmul()")


@export("matrix_power", numpy=())
def matrix_power(input, n) -> Tensor:
    """A square matrix multiplied by itself, n times; of the inverse where n is negative.

    >>> import tapejit as tj
    >>> tj.matrix_power(tj.tensor([[1.0, 1.0], [0.0, 1.0]]), 5)
    tensor([[1., 5.],
            [0., 1.]])
    """
    shape = input._aval.shape
    check_square("linalg.matrix_power", shape)
    if operator.index(n) < 0:
        input, n = FUNCTIONS["inverse"](input), -n
    if n == 0:
        eye = FUNCTIONS["eye"](shape[-1], dtype=input.dtype, device=input.device)
        return eye.expand(shape).clone()
    if n == 1:
        return input.clone()
    while not n & 1:
        input, n = matmul(input, input), n >> 1
    result = input
    while n := n >> 1:
        input = matmul(input, input)
        result = matmul(result, input) if n & 1 else result
    return result


def check_square(name: str, shape) -> None:
    """Raise ShapeError unless a shape ends in two equal lengths."""
    if len(shape) < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if shape[-1] != shape[-2]:
        raise ShapeError(
            f"{name}: A must be batches of square matrices, but they are {shape[-2]} by "
            f"{shape[-1]} matrices"
        )


@export("trace")
def trace(input) -> Tensor:
    """The sum of the diagonal of a matrix.

    >>> import tapejit as tj
    >>> tj.trace(tj.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    if input._aval.ndim != 2:
        raise ShapeError(f"trace: expected a matrix, but got tensor with dim {input._aval.ndim}")
    return named(diagonal(input).sum(), "TraceBackward0")


# ---------------------------------------------------------------- NumPy's


def _tensors(*values):
    return tuple(tensor_of(v) for v in values)


def _numpy_dot(a, b):
    x, y = _tensors(a, b)
    if not x._aval.ndim or not y._aval.ndim:
        return x * y
    if y._aval.ndim <= 2:
        return matmul(x, y)
    return _over_one_axis(x, y, y._aval.ndim - 2)


def _numpy_vdot(a, b):
    x, y = (ravel(v) for v in _tensors(a, b))
    return matmul(conjugated(x), y)


def _numpy_outer(a, b):
    x, y = (ravel(v) for v in _tensors(a, b))
    return outer(x, y)


def _numpy_cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = (v.movedim(d, -1) for v, d in zip(_tensors(a, b), (axisa, axisb), strict=True))
    return cross(x, y, -1).movedim(-1, axisc)


def _numpy_trace(a, offset=0, axis1=0, axis2=1, dtype=None):
    return diagonal(a, offset, axis1, axis2).sum(-1, dtype=dtype)


FOR_NUMPY[np.dot] = _numpy_dot
FOR_NUMPY[np.inner] = lambda a, b: inner(*_tensors(a, b))
FOR_NUMPY[np.vdot] = _numpy_vdot
FOR_NUMPY[np.outer] = _numpy_outer
FOR_NUMPY[np.cross] = _numpy_cross
FOR_NUMPY[np.trace] = _numpy_trace
FOR_NUMPY[np.vecdot] = lambda x, y: (conjugated(x) * y).sum(-1)
FOR_NUMPY[np.matvec] = lambda x, y: matmul(x, y[..., None])[..., 0]
FOR_NUMPY[np.vecmat] = lambda x, y: matmul(conjugated(x)[..., None, :], y)[..., 0, :]
