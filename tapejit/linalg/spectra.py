"""Eigenvalues, singular values, QR, and the exponential of matrices.

Several results are views of one packed row.  Values alone are rows of their own, which have
gradients also where values are equal.
"""

from __future__ import annotations

from typing import NamedTuple

from tapejit.errors import ArgumentError
from tapejit.linalg.reading import adjoint, for_numpy, matrices, part
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply
from tapejit.tensor.front import export, named, offered

# ---------------------------------------------------------------- results


class Eigen(NamedTuple):
    """Eigenvalues, and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """Left singular vectors in columns, singular values, right ones conjugated in rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class OldSVD(NamedTuple):
    """Left singular vectors in columns, singular values, right ones in columns."""

    U: Tensor
    S: Tensor
    V: Tensor


class QR(NamedTuple):
    """Orthonormal columns, and an upper triangle."""

    Q: Tensor
    R: Tensor


# ---------------------------------------------------------------- eigenvalues


def _triangle(name, A, UPLO):
    """The matrix whose lower triangle is the one to be read."""
    x = matrices(name, A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise ArgumentError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return adjoint(x) if UPLO.upper() == "U" else x


@offered()
def eigh(A, UPLO="L") -> Eigen:
    """Eigenvalues, ascending, and eigenvectors of Hermitian matrices, from one triangle.

    Slope   of a loss that depends on which vectors belong to equal eigenvalues, or on their
            phases, there is none: NotDifferentiable.  To notice it, the vectors of equal
            eigenvalues are a basis drawn at random where A requires grad or is traced, and the
            loss must take values and vectors from one call.  A function V f(w) V^H of the
            matrix has a gradient there that no vectors know, and is refused too

    >>> import tapejit as tj
    >>> values, vectors = tj.linalg.eigh(tj.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> values
    tensor([1., 2.])
    """
    x = _triangle("linalg.eigh", A, UPLO)
    n = x._aval.shape[-1]
    packed = apply(OPS["eigh"], (x,), (x._tracked,))
    values, vectors = part(packed, 0, (n,)), part(packed, n, (n, n))
    values = values.real if x._aval.dtype.is_complex else values
    return Eigen(*(named(v, "LinalgEighBackward0") for v in (values, vectors)))


@offered()
def eigvalsh(A, UPLO="L") -> Tensor:
    """Eigenvalues of Hermitian matrices, ascending, from one triangle.

    >>> import tapejit as tj
    >>> A = tj.eye(2, requires_grad=True)
    >>> tj.linalg.eigvalsh(A).sum().backward()
    >>> tj.allclose(A.grad, tj.eye(2), atol=1e-6)  # also where they are equal
    True
    """
    return apply(OPS["eigvalsh"], (_triangle("linalg.eigvalsh", A, UPLO),))


@offered()
def eig(A) -> Eigen:
    """Eigenvalues and eigenvectors of square matrices, always complex.

    >>> import tapejit as tj
    >>> tj.linalg.eig(tj.tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    x = matrices("linalg.eig", A, square=True)
    n = x._aval.shape[-1]
    packed = apply(OPS["eig"], (x,))
    values, vectors = part(packed, 0, (n,)), part(packed, n, (n, n))
    return Eigen(*(named(v, "LinalgEigBackward0") for v in (values, vectors)))


@offered()
def eigvals(A) -> Tensor:
    """Eigenvalues of square matrices, always complex.

    >>> import tapejit as tj
    >>> tj.linalg.eigvals(tj.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    tensor([0.+1.j, 0.-1.j])
    """
    return apply(OPS["eigvals"], (matrices("linalg.eigvals", A, square=True),))


# ---------------------------------------------------------------- singular values


@offered()
def svd(A, full_matrices=True, *, driver=None) -> SVD:
    """U, S, Vh with A = U diag(S) Vh; singular values descend.

    full_matrices  completes U and Vh to bases; those vectors have no gradient
    Slope          of a loss that depends on which vectors belong to equal singular values, or
                   on phases, there is none: NotDifferentiable (as for eigh)

    >>> import tapejit as tj
    >>> U, S, Vh = tj.linalg.svd(tj.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]), False)
    >>> S, U.shape
    (tensor([4., 3.]), torch.Size([3, 2]))
    """
    x = matrices("linalg.svd", A)
    m, n = x._aval.shape[-2:]
    k = min(m, n)
    p, q = (m, n) if full_matrices else (k, k)
    packed = apply(OPS["svd"], (x,), (bool(full_matrices), x._tracked))
    u, s = part(packed, 0, (m, p)), part(packed, m * p, (k,))
    vh = part(packed, m * p + k, (q, n))
    s = s.real if x._aval.dtype.is_complex else s
    return SVD(*(named(v, "LinalgSvdBackward0") for v in (u, s, vh)))


@export("svd")
def svd_of(input, some=True, compute_uv=True) -> OldSVD:
    """U, S, V with input = U diag(S) V^H: PyTorch's older name of linalg.svd.

    >>> import tapejit as tj
    >>> tj.svd(tj.tensor([[3.0, 0.0], [0.0, 4.0]])).S
    tensor([4., 3.])
    """
    if not compute_uv:
        s = svdvals(input)
        m, n = input._aval.shape[-2:]
        batch = input._aval.shape[:-2]
        return OldSVD(input.new_zeros(*batch, m, m), s, input.new_zeros(*batch, n, n))
    u, s, vh = svd(input, not some)
    return OldSVD(u, s, adjoint(vh))


@offered()
def svdvals(A, *, driver=None) -> Tensor:
    """Singular values, descending; slope 0 of those that are 0 within rounding.

    >>> import tapejit as tj
    >>> tj.linalg.svdvals(tj.tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor([4., 3.])
    """
    return apply(OPS["svdvals"], (matrices("linalg.svdvals", A),))


# ---------------------------------------------------------------- QR


@offered()
def qr(A, mode="reduced") -> QR:
    """Q with orthonormal columns and R, upper triangular, with A = Q R.

    mode    "reduced", "complete" (Q square), "r" (Q empty)

    >>> import tapejit as tj
    >>> Q, R = tj.linalg.qr(tj.tensor([[3.0, 1.0], [4.0, 2.0]]))
    >>> tj.allclose(Q @ R, tj.tensor([[3.0, 1.0], [4.0, 2.0]]))
    True
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    x = matrices("linalg.qr", A)
    m, n = x._aval.shape[-2:]
    k = m if mode == "complete" else min(m, n)
    packed = apply(OPS["qr"], (x,), (mode == "complete",))
    q, r = part(packed, 0, (m, k)), part(packed, m * k, (k, n))
    q = x.new_tensor([]) if mode == "r" else named(q, "LinalgQrBackward0")
    return QR(q, named(r, "LinalgQrBackward0"))


@export("qr")
def qr_of(input, some=True) -> QR:
    """Q and R with input = Q R: PyTorch's older name of linalg.qr.

    >>> import tapejit as tj
    >>> tj.qr(tj.tensor([[3.0, 1.0], [4.0, 2.0]])).R.shape
    torch.Size([2, 2])
    """
    return qr(input, "reduced" if some else "complete")


# ---------------------------------------------------------------- functions of matrices


@offered("matrix_exp", top=True)
def matrix_exp(A) -> Tensor:
    """The exponential of square matrices: 1 + A + A^2 / 2 + ...

    >>> import tapejit as tj
    >>> tj.linalg.matrix_exp(tj.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return apply(OPS["matrix_exp"], (matrices("linalg.matrix_exp", A, square=True),))


# ---------------------------------------------------------------- NumPy's


def _numpy_svd(a, full_matrices=True, compute_uv=True, hermitian=False):
    return svd(a, full_matrices) if compute_uv else svdvals(a)


def _numpy_qr(a, mode="reduced"):
    if mode == "raw":
        raise ArgumentError("np.linalg.qr: mode='raw' has no rule\n  try  'reduced'")
    result = qr(a, mode)
    return result.R if mode == "r" else result


for _name, _function in {
    "eigh": eigh, "eigvalsh": eigvalsh, "eig": eig, "eigvals": eigvals, "svd": _numpy_svd,
    "svdvals": lambda x, /: svdvals(x), "qr": _numpy_qr,
}.items():  # fmt: skip
    for_numpy(_name, _function)
