"""Factors of matrices and solving with them: Cholesky, triangular matrices, LU."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.linalg.reading import adjoint as conjugate_transposed
from tapejit.linalg.reading import for_numpy, matrices, part
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.front import FUNCTIONS, export, named, offered
from tapejit.tensor.products import matmul

# ---------------------------------------------------------------- results


class Cholesky(NamedTuple):
    """A factor, and for each matrix 0 or the order of the minor that is not positive."""

    L: Tensor
    info: Tensor


class LU(NamedTuple):
    """A permutation, a unit lower triangle, an upper triangle: A = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


class Factors(NamedTuple):
    """L and U in one matrix, and LAPACK's pivots."""

    LU: Tensor
    pivots: Tensor


class FactorsInfo(NamedTuple):
    """As Factors, and for each matrix 0 or the place of the pivot that is zero."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class Triangular(NamedTuple):
    """A solution, and the matrix."""

    solution: Tensor
    cloned_coefficient: Tensor


# ---------------------------------------------------------------- Cholesky


@offered("cholesky", numpy=(), top=True)
def cholesky(A, upper=False) -> Tensor:
    """The lower triangular L with L L^H = A, of Hermitian positive-definite matrices.

    upper   gives L^H instead, from the upper triangle of A
    Errors  LinAlgError if a matrix is not positive-definite

    >>> import tapejit as tj
    >>> tj.linalg.cholesky(tj.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    x = matrices("linalg.cholesky", A, square=True)
    return (
        conjugate_transposed(apply(OPS["cholesky"], (conjugate_transposed(x),)))
        if upper
        else apply(OPS["cholesky"], (x,))
    )


@offered()
def cholesky_ex(A, *, upper=False, check_errors=False) -> Cholesky:
    """As cholesky, with a number instead of an error: 0, or the order of the first bad minor.

    Where that is not 0 the factor holds NaN.

    >>> import tapejit as tj
    >>> tj.linalg.cholesky_ex(tj.tensor([[1.0, 2.0], [2.0, 1.0]])).info
    tensor(2, dtype=torch.int32)
    """
    x = matrices("linalg.cholesky_ex", A, square=True)
    if check_errors:
        factor = cholesky(x, upper)
        info = FUNCTIONS["zeros"](x._aval.shape[:-2], dtype=_INT32, device=x.device)
        return Cholesky(factor, info)
    info = apply(OPS["cholesky_info"], (conjugate_transposed(x) if upper else x,))
    failed = FUNCTIONS["ne"](info, 0).unsqueeze(-1).unsqueeze(-1)
    eye = FUNCTIONS["eye"](x._aval.shape[-1], dtype=x.dtype, device=x.device)
    factor = cholesky(FUNCTIONS["where"](failed, eye, x), upper)
    return Cholesky(FUNCTIONS["where"](failed, math.nan, factor), info)


@export("cholesky_solve")
def cholesky_solve(input, L, upper=False) -> Tensor:
    """x with A x = input, by the Cholesky factor of A.

    >>> import tapejit as tj
    >>> L = tj.linalg.cholesky(tj.tensor([[4.0, 2.0], [2.0, 5.0]]))
    >>> tj.cholesky_solve(tj.tensor([[6.0], [7.0]]), L)
    tensor([[1.],
            [1.]])
    """
    b, factor = matrices("cholesky_solve", input), matrices("cholesky_solve", L, square=True)
    check_system("cholesky_solve", factor, b)
    first, second = (True, False) if upper else (False, True)
    half = apply(OPS["solve_triangular"], (factor, b), (bool(upper), first, False))
    result = apply(OPS["solve_triangular"], (factor, half), (bool(upper), second, False))
    return named(result, "CholeskySolveBackward0")


@export("cholesky_inverse")
def cholesky_inverse(L, upper=False) -> Tensor:
    """The inverse of A, by its Cholesky factor.

    >>> import tapejit as tj
    >>> L = tj.linalg.cholesky(tj.tensor([[4.0, 0.0], [0.0, 1.0]]))
    >>> tj.cholesky_inverse(L)
    tensor([[0.2500, 0.0000],
            [0.0000, 1.0000]])
    """
    factor = matrices("cholesky_inverse", L, square=True)
    eye = FUNCTIONS["eye"](factor._aval.shape[-1], dtype=factor.dtype, device=factor.device)
    half = apply(OPS["solve_triangular"], (factor, eye), (bool(upper), bool(upper), False))
    return named(matmul(conjugate_transposed(half), half), "CholeskyInverseBackward0")


# ---------------------------------------------------------------- triangular matrices


def check_system(name, a, b, left=True) -> None:
    """Raise ShapeError unless A X = B (or X A = B) has fitting shapes."""
    side = -2 if left else -1
    if a._aval.shape[-1] != b._aval.shape[side]:
        n, (m, k) = a._aval.shape[-1], b._aval.shape[-2:]
        equation = "AX = B" if left else "XA = B"
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} "
            f"({n}x{n} and {m}x{k})"
        )


@offered()
def solve_triangular(A, B, *, upper, left=True, unitriangular=False) -> Tensor:
    """x with A x = B (or x A = B), reading one triangle of A.

    unitriangular  takes the diagonal as ones

    >>> import tapejit as tj
    >>> A = tj.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> tj.linalg.solve_triangular(A, tj.tensor([[2.0], [3.0]]), upper=False)
    tensor([[1.],
            [2.]])
    """
    name = "linalg.solve_triangular"
    a, b = matrices(name, A, square=True), matrices(name, B)
    check_system(name, a, b, left)
    if not left:
        return solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=unitriangular).mT
    return apply(OPS["solve_triangular"], (a, b), (bool(upper), False, bool(unitriangular)))


@export("triangular_solve")
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False) -> Triangular:
    """x with A x = b, of triangular A, and A: PyTorch's older name of linalg.solve_triangular.

    >>> import tapejit as tj
    >>> tj.triangular_solve(tj.tensor([[4.0]]), tj.tensor([[2.0]])).solution
    tensor([[2.]])
    """
    a = tensor_of(A)
    turned, is_upper = (a.mT, not upper) if transpose else (a, upper)
    solution = solve_triangular(turned, b, upper=is_upper, unitriangular=unitriangular)
    return Triangular(solution, a.clone())


# ---------------------------------------------------------------- LU

_INT32 = np.dtype(np.int32)


def split_lu(a):
    """(packed, LU in one matrix, pivots in the dtype of a)."""
    m, n = a._aval.shape[-2:]
    packed = apply(OPS["lu"], (a,))
    return packed, part(packed, 0, (n, m)).mT, part(packed, m * n, (min(m, n),))


def info_of(matrix):
    """For each matrix 0, or the place of the first pivot that is zero."""
    is_zero = FUNCTIONS["diagonal"](matrix.detach(), 0, -2, -1) == 0
    if 0 in is_zero._aval.shape:
        return is_zero.sum(-1).to(_INT32)
    first = is_zero.to(_INT32).argmax(-1) + 1
    return FUNCTIONS["where"](is_zero.any(-1), first, 0).to(_INT32)


def _check_pivot(name, pivot):
    if not pivot:
        raise ArgumentError(f"{name}: LU without pivoting is not implemented on the CPU")


@offered()
def lu_factor(A, *, pivot=True) -> Factors:
    """L and U in one matrix, and LAPACK's pivots (row i was exchanged with row pivots[i] - 1).

    >>> import tapejit as tj
    >>> tj.linalg.lu_factor(tj.tensor([[1.0, 2.0], [2.0, 2.0]])).LU
    tensor([[2.0000, 2.0000],
            [0.5000, 1.0000]])
    """
    return Factors(*lu_factor_ex(A, pivot=pivot)[:2])


@offered()
def lu_factor_ex(A, *, pivot=True, check_errors=False) -> FactorsInfo:
    """As lu_factor, and for each matrix 0 or the place of the first pivot that is zero.

    >>> import tapejit as tj
    >>> tj.linalg.lu_factor_ex(tj.tensor([[1.0, 2.0], [2.0, 4.0]])).info
    tensor(2, dtype=torch.int32)
    """
    _check_pivot("linalg.lu_factor", pivot)
    a = matrices("linalg.lu_factor", A)
    _, factors, pivots = split_lu(a)
    return FactorsInfo(factors, _whole(pivots), info_of(factors))


def _whole(pivots):
    return (pivots.real if pivots._aval.dtype.is_complex else pivots).detach().to(_INT32)


@offered()
def lu(A, *, pivot=True) -> LU:
    """P, L, U with A = P L U: a permutation, a unit lower triangle, an upper triangle.

    >>> import tapejit as tj
    >>> P, L, U = tj.linalg.lu(tj.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> P, L @ U
    (tensor([[0., 1.],
            [1., 0.]]), tensor([[2., 2.],
            [1., 2.]]))
    """
    _check_pivot("linalg.lu", pivot)
    a = matrices("linalg.lu", A)
    _, factors, pivots = split_lu(a)
    return _triangles(factors, pivots)


def _triangles(factors, pivots):
    m, n = factors._aval.shape[-2:]
    k = min(m, n)
    eye = FUNCTIONS["eye"](m, k, dtype=factors.dtype, device=factors.device)
    lower = FUNCTIONS["tril"](factors[..., :, :k], -1) + eye
    order = apply(OPS["lu_permutation"], (pivots.detach(),), (m, True))
    places = FUNCTIONS["arange"](m, device=factors.device)
    permutation = (order.unsqueeze(-1) == places).to(factors.dtype)
    return LU(permutation, lower, FUNCTIONS["triu"](factors[..., :k, :]))


@export("lu_unpack", method=False)
def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True) -> LU:
    """P, L, U of what linalg.lu_factor gives.

    >>> import tapejit as tj
    >>> tj.lu_unpack(*tj.linalg.lu_factor(tj.tensor([[1.0, 2.0], [2.0, 2.0]]))).U
    tensor([[2., 2.],
            [0., 1.]])
    """
    factors = matrices("lu_unpack", LU_data)
    return _triangles(factors, tensor_of(LU_pivots).to(factors.dtype))


@offered()
def lu_solve(LU, pivots, B, *, left=True, adjoint=False) -> Tensor:
    """x with A x = B (x A = B, A^H x = B), by what lu_factor gave for A.

    >>> import tapejit as tj
    >>> factors = tj.linalg.lu_factor(tj.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> tj.linalg.lu_solve(*factors, tj.tensor([[3.0], [4.0]]))
    tensor([[1.],
            [1.]])
    """
    factors, b = matrices("linalg.lu_solve", LU, square=True), matrices("linalg.lu_solve", B)
    check_system("linalg.lu_solve", factors, b, left)
    if not left:  # x A = B is A^H x^H = B^H, and x A^H = B is A x^H = B^H
        return conjugate_transposed(
            lu_solve(factors, pivots, conjugate_transposed(b), adjoint=not adjoint)
        )
    order = tensor_of(pivots).to(factors.dtype)
    order = apply(OPS["lu_permutation"], (order,), (factors._aval.shape[-1], adjoint))
    places = order.unsqueeze(-1)
    batch = np.broadcast_shapes(factors._aval.shape[:-2], b._aval.shape[:-2])
    places = places.expand(*batch, *b._aval.shape[-2:])
    triangle = OPS["solve_triangular"]
    if not adjoint:
        x = FUNCTIONS["gather"](b.expand(*batch, *b._aval.shape[-2:]), -2, places)
        x = apply(triangle, (factors, x), (False, False, True))
        return apply(triangle, (factors, x), (True, False, False))
    x = apply(triangle, (factors, b), (True, True, False))
    x = apply(triangle, (factors, x), (False, True, True))
    return FUNCTIONS["gather"](x, -2, places)


@export("lu_solve")
def lu_solve_of(b, LU_data, LU_pivots) -> Tensor:
    """x with A x = b, by what linalg.lu_factor gave for A.

    >>> import tapejit as tj
    >>> factors = tj.linalg.lu_factor(tj.tensor([[1.0, 2.0], [2.0, 2.0]]))
    >>> tj.lu_solve(tj.tensor([[3.0], [4.0]]), *factors)
    tensor([[1.],
            [1.]])
    """
    return lu_solve(LU_data, LU_pivots, b)


# ---------------------------------------------------------------- NumPy's


def _numpy_cholesky(a, /, *, upper=False):
    return cholesky(a, upper)


for_numpy("cholesky", _numpy_cholesky)
