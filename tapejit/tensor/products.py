"""Matrix products, diagonals and einsum, through expand, permute and matmul."""

from __future__ import annotations

import numpy as np

from tapejit.errors import DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, as_data, wrap
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, method, named
from tapejit.tensor.shaping import permute, ravel, reshape, transpose, unsqueeze

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
    x, y = (v if isinstance(v, Tensor) else as_data(v) for v in (input, other))
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


def _product(name, input, other, ndims):
    """matmul of exactly these numbers of axes, and of equal dtypes."""
    if (input._aval.ndim, other._aval.ndim) != ndims:
        raise ShapeError(
            f"{name}: expected {ndims[0]}D and {ndims[1]}D tensors, but got "
            f"{input._aval.ndim}D and {other._aval.ndim}D tensors"
        )
    if input._aval.dtype is not other._aval.dtype:
        raise DtypeError(
            f"expected m1 and m2 to have the same dtype, but got: {input.dtype} != {other.dtype}"
        )
    return matmul(input, other)


@export("mm")
def mm(input, mat2) -> Tensor:
    """Product of two matrices.

    Errors  ShapeError unless both have 2 axes; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.mm(tj.tensor([[1, 2], [3, 4]]), tj.tensor([[0, 1], [1, 0]]))
    tensor([[2, 1],
            [4, 3]])
    """
    return _product("mm", input, mat2, (2, 2))


@export("mv")
def mv(input, vec) -> Tensor:
    """Product of a matrix and a vector.

    Errors  ShapeError for other numbers of axes; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.mv(tj.tensor([[1, 2], [3, 4]]), tj.tensor([1, -1]))
    tensor([-1, -1])
    """
    return _product("mv", input, vec, (2, 1))


@export("dot")
def dot(input, tensor) -> Tensor:
    """Sum of the products of two vectors.

    Errors  ShapeError unless both have 1 axis; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.dot(tj.tensor([1, 2]), tj.tensor([3, 4]))
    tensor(11)
    """
    return _product("dot", input, tensor, (1, 1))


@export("bmm")
def bmm(input, mat2) -> Tensor:
    """Products of two batches of matrices.

    Errors  ShapeError unless both have 3 axes; DtypeError for two dtypes

    >>> import tapejit as tj
    >>> tj.bmm(tj.ones(5, 2, 3), tj.ones(5, 3, 4)).shape
    torch.Size([5, 2, 4])
    """
    return named(_product("bmm", input, mat2, (3, 3)), "BmmBackward0")


def _numpy_dot(x, y):
    x, y = (v if isinstance(v, Tensor) else as_data(v) for v in (x, y))
    if not x._aval.ndim or not y._aval.ndim:
        return x * y
    if y._aval.ndim > 2:
        raise ShapeError("np.dot of more than 2 axes on the right\n  try  np.matmul or np.einsum")
    return matmul(x, y)


FOR_NUMPY[np.dot] = _numpy_dot
FOR_NUMPY[np.inner] = lambda x, y: (
    _numpy_dot(x, transpose(y, -1, -2)) if np.ndim(x) and np.ndim(y) > 1 else _numpy_dot(x, y)
)
FOR_NUMPY[np.vdot] = lambda x, y: (ravel(x) * y.reshape(-1)).sum()


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


FOR_NUMPY[np.outer] = lambda x, y: outer(x if isinstance(x, Tensor) else as_data(x), y)


@export("trace", numpy=("trace",))
def trace(input) -> Tensor:
    """The sum of the diagonal of a matrix.

    >>> import tapejit as tj
    >>> tj.trace(tj.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return named(diagonal(input).sum(), "TraceBackward0")


@export("diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1) -> Tensor:
    """The diagonal of two axes, as the last axis.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1, 2, 3], [4, 5, 6]])
    >>> tj.diagonal(x), tj.diagonal(x, 1)
    (tensor([1, 5]), tensor([2, 6]))
    """
    n = input._aval.ndim
    first, second = (normalize_axis("diagonal", d, n) for d in (dim1, dim2))
    order = (first, second, *(a for a in range(n) if a not in (first, second)))
    moved = permute(input, order)
    rows, columns = moved._aval.shape[:2]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    places = np.arange(length)
    picked = apply(
        OPS["index"], (moved, wrap(places - min(offset, 0)), wrap(places + max(offset, 0)))
    )
    return named(permute(picked, (*range(1, picked._aval.ndim), 0)), "DiagonalBackward0")


@export("diag", numpy=("diag",))
def diag(input, diagonal_offset=0) -> Tensor:
    """A matrix with this diagonal, or the diagonal of a matrix.

    >>> import tapejit as tj
    >>> tj.diag(tj.tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    >>> tj.diag(tj.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    if input._aval.ndim == 2:
        return named(diagonal(input, diagonal_offset), "DiagonalBackward0_copy")
    n = input._aval.size + abs(diagonal_offset)
    places = np.arange(input._aval.size)
    rows, columns = places - min(diagonal_offset, 0), places + max(diagonal_offset, 0)
    result = apply(OPS["index_add"], (input, wrap(rows), wrap(columns)), ((n, n),))
    return named(result, "DiagEmbedBackward0")


def _masked(x, mask, name):
    return named(FUNCTIONS["where"](wrap(mask), x, 0), name)


@export("tril", numpy=("tril",))
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
    mask = np.tril(np.ones(input._aval.shape[-2:], bool), diagonal)
    return _masked(input, mask, "TrilBackward0")


@export("triu", numpy=("triu",))
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
    mask = np.triu(np.ones(input._aval.shape[-2:], bool), diagonal)
    return _masked(input, mask, "TriuBackward0")


@export("einsum", method=False)
def einsum(equation, *operands) -> Tensor:
    """Sum of products over named axes, as np.einsum (explicit or implicit output).

    >>> import tapejit as tj
    >>> a, b = tj.arange(4).reshape(2, 2), tj.tensor([10, 100])
    >>> tj.einsum("ij,j->i", a, b)
    tensor([100, 320])
    >>> tj.einsum("ii", a)  # the trace
    tensor(3)
    """
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "." in equation:
        raise ShapeError("einsum: '...' is not supported\n  try  name every axis")
    if "->" not in equation:
        letters = "".join(terms)
        output = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    names = output + "".join(sorted(set("".join(terms)) - set(output)))
    aligned = [_align(x, term, names) for x, term in zip(operands, terms, strict=True)]
    product = aligned[0]
    for other in aligned[1:]:
        product = product * other
    axes = tuple(range(len(output), len(names)))
    return product.sum(axes) if axes else product


def _align(x, term, names):
    x = x if isinstance(x, Tensor) else as_data(x)
    while len(set(term)) < len(term):
        letter = next(c for c in term if term.count(c) > 1)
        first = term.index(letter)
        second = term.index(letter, first + 1)
        x = diagonal(x, 0, first, second)
        term = "".join(c for i, c in enumerate(term) if i not in (first, second)) + letter
    x = permute(x, tuple(term.index(c) for c in names if c in term))
    lengths = iter(x._aval.shape)
    return reshape(x, tuple(next(lengths) if c in term else 1 for c in names))


FOR_NUMPY[np.einsum] = einsum
