"""Norms of vectors and matrices, and what singular values tell: condition and rank.

A norm's slope at 0 is 0, and so is that of |x|^p where an element is 0 (p below 2 has none there):
no NaN comes from a zero.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import ArgumentError, ShapeError
from tapejit.linalg.reading import for_numpy, matrices, numbers
from tapejit.registry import OPS
from tapejit.shapes import normalize_axes, normalize_axis
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.front import FUNCTIONS, export, named, offered

# ---------------------------------------------------------------- vectors


@offered()
def vector_norm(x, ord: Any = 2, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """The p-norm of the elements, of all or along axes: (sum |x|^p)^(1/p), for any number p.

    Slope   0 at a zero vector; inf and -inf share it among ties

    >>> import tapejit as tj
    >>> x = tj.tensor([3.0, -4.0])
    >>> tj.linalg.vector_norm(x), tj.linalg.vector_norm(x, 1), tj.linalg.vector_norm(x, float("inf"))
    (tensor(5.), tensor(7.), tensor(4.))
    """  # noqa: E501
    x = _cast(numbers("linalg.vector_norm", x), dtype)
    axes = normalize_axes("linalg.vector_norm", dim, x._aval.ndim)
    p = float(ord)
    if 0 in [x._aval.shape[a] for a in axes] and (p < 0 or math.isinf(p)):
        raise ShapeError(
            f"linalg.vector_norm cannot compute the {ord} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    return named(_power_norm(x, p, axes, bool(keepdim)), "LinalgVectorNormBackward0")


def _cast(x, dtype):
    return x if dtype is None else x.to(as_dtype(dtype))


def _power_norm(x, p, axes, keepdim):
    size = x.abs()
    if math.isinf(p):
        return apply(OPS["amax" if p > 0 else "amin"], (size,), (axes, keepdim))
    if p == 0:
        return (x != 0).to(size.dtype).sum(axes, keepdim) if axes else (x != 0).to(size.dtype)
    if p == 1:
        return _sum(size, axes, keepdim)
    where = FUNCTIONS["where"]
    if p == 2:
        total = _sum(size * size if x._aval.dtype.is_complex else x * x, axes, keepdim)
    elif p > 0:
        is_zero = size == 0.0
        total = _sum(where(is_zero, 0.0, where(is_zero, 1.0, size) ** p), axes, keepdim)
    else:  # of a vector with a zero the norm is 0, as its smallest element's size is
        has_zero = apply(OPS["any"], (size == 0.0,), (axes, True))
        total = _sum(where(has_zero, math.inf, where(has_zero, 1.0, size) ** p), axes, keepdim)
        total = where(total == math.inf, 0.0, total)
    is_zero = total == 0.0
    safe = where(is_zero, 1.0, total)
    return where(is_zero, 0.0, safe.sqrt() if p == 2 else safe ** (1.0 / p))


def _sum(x, axes, keepdim):
    return apply(OPS["sum"], (x,), (axes, keepdim))


# ---------------------------------------------------------------- matrices


@offered()
def matrix_norm(A, ord: Any = "fro", dim=(-2, -1), keepdim=False, *, dtype=None) -> Tensor:
    """A norm of matrices: "fro", "nuc", or 1, -1, 2, -2, inf, -inf.

    Slope   0 of singular values that are 0 within rounding; ties of the largest share it

    >>> import tapejit as tj
    >>> A = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.linalg.matrix_norm(A), tj.linalg.matrix_norm(A, "nuc"), tj.linalg.matrix_norm(A, 1)
    (tensor(5.4772), tensor(5.8310), tensor(6.))
    """
    x = _cast(matrices("linalg.matrix_norm", A), dtype)
    axes = [normalize_axis("linalg.matrix_norm", d, x._aval.ndim) for d in dim]
    if len(axes) != 2:
        raise ShapeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {list(dim)}")
    if axes[0] == axes[1]:
        raise ShapeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    if ord == "fro":
        return vector_norm(x, 2, tuple(axes), keepdim)
    moved = x.movedim(axes, (-2, -1))
    if ord == "nuc":
        result = _singular_values(moved).sum(-1)
    elif ord in (2, -2):
        result = _singular_values(moved)
        result = result.amax(-1) if ord == 2 else result.amin(-1)
    elif ord in (1, -1, math.inf, -math.inf):
        result = moved.abs().sum(-2 if abs(ord) == 1 else -1)
        result = result.amax(-1) if ord > 0 else result.amin(-1)
    else:
        raise ArgumentError(f"linalg.matrix_norm: Order {ord} not supported.")
    if keepdim:
        for axis in sorted(axes):
            result = result.unsqueeze(axis)
    return result


def _singular_values(x):
    return apply(OPS["svdvals"], (x,))


@offered()
def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """A norm of vectors or matrices, by the number of axes; of all elements if ord is None.

    >>> import tapejit as tj
    >>> A = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.linalg.norm(A), tj.linalg.norm(A, 1), tj.linalg.norm(A, 1, dim=1)
    (tensor(5.4772), tensor(6.), tensor([3., 7.]))
    """
    x = tensor_of(A)
    n = x._aval.ndim
    if ord is None:
        return vector_norm(x, 2, dim, keepdim, dtype=dtype)
    if dim is None and n not in (1, 2):
        raise ShapeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{n}D."
        )
    if dim is None:
        dim = (0, 1) if n == 2 else 0
    if isinstance(dim, tuple | list) and len(dim) == 2:
        return matrix_norm(x, ord, tuple(dim), keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise ArgumentError(
            f"linalg.norm: If ord={ord!r}, dim must name two axes, or the input be a matrix"
        )
    return vector_norm(x, ord, dim, keepdim, dtype=dtype)


@export("norm")
def norm_of_all(input, p="fro", dim=None, keepdim=False, dtype=None) -> Tensor:
    """The p-norm of the elements: (sum |x|^p)^(1/p); slope 0 at a zero vector.

    >>> import tapejit as tj
    >>> tj.norm(tj.tensor([3.0, 4.0])), tj.norm(tj.tensor([3.0, -4.0]), 1)
    (tensor(5.), tensor(7.))
    >>> x = tj.zeros(2, requires_grad=True)
    >>> tj.norm(x).backward()
    >>> x.grad
    tensor([0., 0.])
    """
    if p == "nuc":
        return matrix_norm(input, "nuc", (0, 1) if dim is None else dim, keepdim, dtype=dtype)
    return vector_norm(input, 2 if p in ("fro", None) else p, dim, keepdim, dtype=dtype)


@export("dist")
def dist(input, other, p=2) -> Tensor:
    """The p-norm of input - other, over all elements.

    >>> import tapejit as tj
    >>> tj.dist(tj.tensor([3.0, 4.0]), tj.zeros(2))
    tensor(5.)
    """
    return vector_norm(input - other, p)


@export("cdist", method=False)
def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary") -> Tensor:
    """The p-norm distance of every row of x1 from every row of x2, in batches.

    Always by differences, which lose no digits, whatever compute_mode says; slope 0 where 0.

    >>> import tapejit as tj
    >>> tj.cdist(tj.tensor([[0.0, 0.0], [3.0, 0.0]]), tj.tensor([[0.0, 4.0]]))
    tensor([[4.],
            [5.]])
    """
    x, y = numbers("cdist", x1), numbers("cdist", x2)
    n, m = x._aval.shape[-1], y._aval.shape[-1]
    if n != m:
        raise ShapeError(f"X1 and X2 must have the same number of columns. X1: {n} X2: {m}")
    return named(vector_norm(x.unsqueeze(-2) - y.unsqueeze(-3), p, -1), "CdistBackward0")


# ---------------------------------------------------------------- condition and rank


@offered()
def cond(A, p=None) -> Tensor:
    """How much the matrix can magnify relative errors: norm(A) norm(inv(A)); inf if singular.

    p       as ord of matrix_norm; None is 2

    >>> import tapejit as tj
    >>> tj.linalg.cond(tj.tensor([[1.0, 0.0], [0.0, 100.0]]))
    tensor(100.)
    """
    if p in (None, 2, -2):
        s = _singular_values(matrices("linalg.cond", A))
        big, small = s.amax(-1), s.amin(-1)
        return small / big if p == -2 else big / small
    x = matrices("linalg.cond", A, square=True)
    factors = apply(OPS["lu"], (x,))
    eye = FUNCTIONS["eye"](x._aval.shape[-1], dtype=x.dtype, device=x.device)
    inverse = apply(OPS["lu_solve"], (x, factors, eye), (False, ""))
    result = matrix_norm(x, p) * matrix_norm(inverse, p)
    return FUNCTIONS["where"](result.isnan() & ~matrix_norm(x, p).isnan(), math.inf, result)


@offered()
def matrix_rank(A, *, atol=None, rtol=None, hermitian=False, tol=None) -> Tensor:
    """How many singular values are above max(atol, rtol times the largest); no slope.

    rtol    max(m, n) eps if atol is not given

    >>> import tapejit as tj
    >>> tj.linalg.matrix_rank(tj.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    x = matrices("linalg.matrix_rank", A, square=hermitian)
    s = apply(OPS["eigvalsh"], (x,)).abs() if hermitian else _singular_values(x)
    atol = tol if atol is None else atol
    if rtol is None:
        has_atol = atol is not None and (isinstance(atol, Tensor) or atol > 0)
        rtol = 0.0 if has_atol else max(x._aval.shape[-2:]) * np.finfo(x._aval.dtype.dtype).eps
    if 0 in s._aval.shape:
        return s.sum(-1).long()
    bound = s.amax(-1, True) * rtol
    if atol is not None:
        atol = tensor_of(atol).to(bound.dtype)
        bound = FUNCTIONS["maximum"](bound, atol.unsqueeze(-1) if atol._aval.ndim else atol)
    return (s > bound).sum(-1)


# ---------------------------------------------------------------- NumPy's


def _numpy_norm(x, ord=None, axis=None, keepdims=False):
    if ord is None or (axis is None and x._aval.ndim > 2):
        return norm(x, ord, axis, keepdims)
    axes = axis if isinstance(axis, tuple | list) else None if axis is None else (axis,)
    if axes is not None and len(axes) == 1:
        axes = axes[0]
    return norm(x, ord, axes, keepdims)


def _numpy_rank(A, tol=None, hermitian=False, *, rtol=None):
    return matrix_rank(A, atol=tol, rtol=rtol, hermitian=hermitian)


for_numpy("norm", _numpy_norm)
for_numpy("cond", cond)
for_numpy("matrix_rank", _numpy_rank)
for_numpy(
    "matrix_norm",
    lambda x, *, keepdims=False, ord="fro": matrix_norm(x, ord, keepdim=keepdims),
)
for_numpy(
    "vector_norm",
    lambda x, *, axis=None, keepdims=False, ord=2: vector_norm(x, ord, axis, keepdims),
)
