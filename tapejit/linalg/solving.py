"""Linear systems: solve, inverses, determinants, pseudo-inverses, least squares.

A system is factorised once: `lu` of the matrix is a row of its own, which solve, det and slogdet
of the same matrix share in a compiled program, with their derivatives.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.linalg.factors import check_system, info_of, split_lu
from tapejit.linalg.reading import for_numpy, matrices, part
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.front import FUNCTIONS, export, named, offered
from tapejit.tensor.products import matmul
from tapejit.tensor.shaping import reshape

# ---------------------------------------------------------------- results


class Slogdet(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor


class Inverse(NamedTuple):
    """An inverse, and for each matrix 0 or the place of the pivot that is zero."""

    inverse: Tensor
    info: Tensor


class Solution(NamedTuple):
    """A solution, and for each matrix 0 or the place of the pivot that is zero."""

    result: Tensor
    info: Tensor


class LeastSquares(NamedTuple):
    """A solution, squared distances of overdetermined systems, rank, singular values."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


# ---------------------------------------------------------------- solve


def _is_vector(a, b):
    """PyTorch's rule: b has no axis for several right-hand sides."""
    n = b._aval.ndim
    return n == 1 or (a._aval.ndim - 1 == n and b._aval.shape == a._aval.shape[:-1])


def _solve(a, b, left, name="torch.linalg.solve", is_vector=None):
    a, b = matrices("linalg.solve", a, square=True), tensor_of(b)
    is_vector = _is_vector(a, b) if is_vector is None else is_vector
    if is_vector:
        b = b.unsqueeze(-1)
    check_system("linalg.solve", a, b, left or is_vector)
    if not left and not is_vector:
        return _solve(a.mT, b.mT, True, name, False)[0].mT, None
    factors, matrix, _ = split_lu(a)
    result = apply(OPS["lu_solve"], (a, factors, b), (False, name))
    if is_vector:
        result = named(result.squeeze(-1), "LinalgSolveExBackward0")
    return result, matrix


@offered()
def solve(A, B, *, left=True) -> Tensor:
    """x with A x = B (or x A = B), of square A; B may be a vector, or a matrix of several.

    Errors  LinAlgError if a matrix is singular

    >>> import tapejit as tj
    >>> A = tj.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    >>> x = tj.linalg.solve(A, tj.tensor([3.0, 4.0]))
    >>> x.detach()
    tensor([1., 1.])
    >>> x.sum().backward()
    >>> A.grad
    tensor([[-0.4000, -0.4000],
            [-0.2000, -0.2000]])
    """
    return _solve(A, B, left)[0]


@offered()
def solve_ex(A, B, *, left=True, check_errors=False) -> Solution:
    """As solve, with a number instead of an error: 0, or the place of the pivot that is zero.

    >>> import tapejit as tj
    >>> tj.linalg.solve_ex(tj.eye(2), tj.ones(2))
    Solution(result=tensor([1., 1.]), info=tensor(0, dtype=torch.int32))
    """
    a = matrices("linalg.solve", A, square=True)
    result, _ = _solve(a, B, left, "torch.linalg.solve" if check_errors else "")
    return Solution(result, info_of(split_lu(a.detach())[1]))


@offered("inverse", top=True)
def inv(A) -> Tensor:
    """The inverse of square matrices.

    Errors  LinAlgError if a matrix is singular

    >>> import tapejit as tj
    >>> tj.linalg.inv(tj.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return apply(OPS["inv"], (matrices("linalg.inv", A, square=True),))


@offered()
def inv_ex(A, *, check_errors=False) -> Inverse:
    """As inv, with a number instead of an error: 0, or the place of the pivot that is zero.

    >>> import tapejit as tj
    >>> tj.linalg.inv_ex(tj.tensor([[1.0, 2.0], [2.0, 4.0]])).info
    tensor(2, dtype=torch.int32)
    """
    a = matrices("linalg.inv", A, square=True)
    eye = FUNCTIONS["eye"](a._aval.shape[-1], dtype=a.dtype, device=a.device)
    return Inverse(*solve_ex(a, eye, check_errors=check_errors))


@offered()
def tensorinv(A, ind=2) -> Tensor:
    """The inverse of a tensor as a map from its last axes to its first `ind`.

    >>> import tapejit as tj
    >>> tj.linalg.tensorinv(tj.eye(4).reshape(2, 2, 4), ind=2).shape
    torch.Size([4, 2, 2])
    """
    a = tensor_of(A)
    if ind <= 0:
        raise ArgumentError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    first, last = a._aval.shape[:ind], a._aval.shape[ind:]
    n, m = math.prod(first), math.prod(last)
    if n != m:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {m} != {n}"
        )
    return reshape(inv(reshape(a, (n, m))), (*last, *first))


@offered()
def tensorsolve(A, B, dims=None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first.

    >>> import tapejit as tj
    >>> tj.linalg.tensorsolve(tj.eye(4).reshape(2, 2, 4), tj.ones(2, 2))
    tensor([1., 1., 1., 1.])
    """
    a, b = tensor_of(A), tensor_of(B)
    if dims is not None:
        a = a.movedim(tuple(dims), tuple(range(-len(dims), 0)))
    rest = a._aval.shape[b._aval.ndim :]
    n, m = math.prod(rest), b._aval.size
    if n != m or a._aval.size != n * m:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {n} != {a._aval.size // max(n, 1)}"
        )
    return reshape(solve(reshape(a, (m, n)), reshape(b, (m,))), rest)


# ---------------------------------------------------------------- determinants


@offered("det", top=True)
def det(A) -> Tensor:
    """The determinant of square matrices; its gradient is right of singular ones too.

    >>> import tapejit as tj
    >>> A = tj.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    >>> tj.linalg.det(A).backward()
    >>> tj.allclose(A.grad, tj.tensor([[4.0, -2.0], [-2.0, 1.0]]))  # the cofactors
    True
    """
    a = matrices("linalg.det", A, square=True)
    return apply(OPS["det"], (a, apply(OPS["lu"], (a,))))


@offered("slogdet", top=True)
def slogdet(A) -> Slogdet:
    """The sign of the determinant, and the logarithm of its size: A = sign exp(logabsdet).

    >>> import tapejit as tj
    >>> tj.linalg.slogdet(tj.tensor([[0.0, 2.0], [3.0, 0.0]]))
    Slogdet(sign=tensor(-1.), logabsdet=tensor(1.7918))
    """
    a = matrices("linalg.slogdet", A, square=True)
    packed = apply(OPS["slogdet"], (a, apply(OPS["lu"], (a,))))
    sign, size = packed[..., 0], packed[..., 1]
    size = size.real if a._aval.dtype.is_complex else size
    return Slogdet(*(named(x, "LinalgSlogdetBackward0") for x in (sign, size)))


@export("logdet")
def logdet(input) -> Tensor:
    """The logarithm of the determinant: NaN where that is negative, -inf where it is 0.

    >>> import tapejit as tj
    >>> tj.logdet(tj.tensor([[2.0, 0.0], [0.0, 3.0]]))
    tensor(1.7918)
    """
    sign, size = slogdet(input)
    if sign._aval.dtype.is_complex:
        return sign.log() + size
    return FUNCTIONS["where"](FUNCTIONS["lt"](sign, 0), math.nan, size)


# ---------------------------------------------------------------- any shape


def _tolerance(x, atol, rtol, name):
    """(atol, rtol) as numbers; rtol is max(m, n) eps where neither is given."""
    if isinstance(atol, Tensor) or isinstance(rtol, Tensor):
        atol, rtol = (t.item() if isinstance(t, Tensor) else t for t in (atol, rtol))
    atol = 0.0 if atol is None else float(atol)
    if rtol is None:
        rtol = 0.0 if atol > 0 else max(x._aval.shape[-2:]) * _eps(x)
    return atol, float(rtol)


def _eps(x):
    return float(np.finfo(x._aval.dtype.dtype).eps)


@offered()
def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None) -> Tensor:
    """The pseudo-inverse; singular values up to max(atol, rtol times the largest) count as zero.

    rtol    max(m, n) eps if neither is given; rcond is its older name
    Slope   at constant rank

    >>> import tapejit as tj
    >>> tj.linalg.pinv(tj.tensor([[1.0], [1.0]]))
    tensor([[0.5000, 0.5000]])
    """
    x = matrices("linalg.pinv", A, square=hermitian)
    limits = _tolerance(x, atol, rcond if rtol is None else rtol, "linalg.pinv")
    return apply(OPS["pinv"], (x,), (*limits, bool(hermitian)))


@export("pinverse")
def pinverse(input, rcond=1e-15) -> Tensor:
    """The pseudo-inverse: PyTorch's older name of linalg.pinv.

    >>> import tapejit as tj
    >>> tj.pinverse(tj.tensor([[2.0]]))
    tensor([[0.5000]])
    """
    return pinv(input, rcond)


@offered()
def lstsq(A, B, rcond=None, *, driver=None) -> LeastSquares:
    """Least squares: the smallest x with the smallest |A x - B|.

    residuals        squared distances, of systems of more rows than columns
    singular_values  with driver "gelsd" or "gelss"
    Slope            of matrices of full rank; others are refused

    >>> import tapejit as tj
    >>> A, B = tj.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), tj.tensor([1.0, 2.0, 3.0])
    >>> tj.linalg.lstsq(A, B).solution
    tensor([1., 1.])
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise ArgumentError(
            "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    x, residuals, rank, values = _least_squares(A, B, rcond, None)
    values = values() if driver in ("gelsd", "gelss") else x.real.new_tensor([])
    return LeastSquares(x, residuals, rank, values)


def _least_squares(A, B, rcond, is_vector):
    a, b = matrices("torch.linalg.lstsq", A), tensor_of(B)
    is_vector = _is_vector(a, b) if is_vector is None else is_vector
    if is_vector:
        b = b.unsqueeze(-1)
    m, n = a._aval.shape[-2:]
    if b._aval.shape[-2] != m:
        raise ShapeError(
            "torch.linalg.lstsq: input.size(-2) should match other.size(-2), but got "
            f"{m} and {b._aval.shape[-2]}"
        )
    batch = np.broadcast_shapes(a._aval.shape[:-2], b._aval.shape[:-2])
    a, b = a.expand(*batch, m, n), b.expand(*batch, *b._aval.shape[-2:])
    rcond = max(m, n) * _eps(a) if rcond is None else float(rcond)
    packed = apply(OPS["lstsq"], (a, b), (rcond,))
    k = b._aval.shape[-1]
    x = part(packed, 0, (n, k))
    rank = packed[..., n * k].detach()
    rank = (rank.real if rank._aval.dtype.is_complex else rank).long()
    distances = (matmul(a, x) - b).abs() if m > n else x.real.new_tensor([])
    residuals = (distances * distances).sum(-2) if m > n else distances
    if is_vector:
        x = named(x.squeeze(-1), "LinalgLstsqBackward0")
        residuals = residuals.squeeze(-1) if m > n else residuals
    return x, residuals, rank, lambda: apply(OPS["svdvals"], (a,))


# ---------------------------------------------------------------- NumPy's


def _numpy_solve(a, b):
    return _solve(a, b, True, is_vector=np.ndim(b) == 1)[0]


def _numpy_lstsq(a, b, rcond=None):
    x, residuals, rank, values = _least_squares(a, b, rcond, np.ndim(b) == 1)
    if np.ndim(b) == 1 and residuals.ndim == 0:
        residuals = residuals.unsqueeze(0)
    return LeastSquares(x, residuals, rank, values())


def _numpy_pinv(a, rcond=None, hermitian=False, *, rtol=None):
    return pinv(a, 1e-15 if rcond is None and rtol is None else rcond, hermitian, rtol=rtol)


for _name, _function in {
    "solve": _numpy_solve, "lstsq": _numpy_lstsq, "pinv": _numpy_pinv,
    "inv": inv, "det": det, "slogdet": slogdet, "tensorinv": tensorinv,
    "tensorsolve": lambda a, b, axes=None: tensorsolve(a, b, axes),
}.items():  # fmt: skip
    for_numpy(_name, _function)
