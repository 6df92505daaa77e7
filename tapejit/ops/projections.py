"""QR, pseudo-inverses and least squares: matrices of any shape.

Values are LAPACK's.  Each rule needs the rank: QR and least squares refuse a gradient where columns
are linearly dependent, that of the pseudo-inverse is the one at constant rank.

Sources of the rules: Walter and Lehmann 2018 (QR); Golub and Pereyra 1973 (pseudo-inverse).
"""

from __future__ import annotations

import numpy as np

from tapejit.families import operation
from tapejit.ops import lapack
from tapejit.ops.comparison import gt, le
from tapejit.ops.complexes import imag, real_of
from tapejit.ops.linear import matmul
from tapejit.ops.matrices import (
    adjoint,
    as_vector,
    corner,
    diagonal_of,
    largest,
    lower,
    on_diagonal,
    pack,
    part,
    refuse,
    rounding,
    upper,
    zeros_like,
)
from tapejit.ops.movement import cat, slice_
from tapejit.ops.selection import where
from tapejit.ops.solving import FLOATS, solve_triangular
from tapejit.registry import Probe
from tapejit.shapes import aval

# ---------------------------------------------------------------- QR


def _infer_qr(avals, full):
    (x,) = avals
    m, n = x.shape[-2:]
    k = m if full else min(m, n)
    return aval((*x.shape[:-2], m * k + k * n), x.dtype)


def qr_parts(packed, x, full):
    """(Q, R) of a packed qr of x."""
    m, n = x.shape[-2:]
    k = m if full else min(m, n)
    return part(packed, 0, (m, k)), part(packed, m * k, (k, n))


_COMPLETE = (
    "The QR decomposition is not differentiable when mode='complete' and nrows > ncols\n"
    "  try  mode='reduced'"
)
_RANK = (
    "linalg.qr: the gradient is not defined, because the first columns are linearly dependent\n"
    "  try  svd, or other columns first"
)


def _upper_part(r):
    """The square part of R, refused where a column depends on those before it."""
    k = r.shape[-2]
    square = corner(r, (k, k))
    size = abs(diagonal_of(square))
    dependent = le(size, as_vector(largest(square)) * rounding(square))
    return refuse(square, dependent, dependent, words=_RANK)


def _times_inverse(r, x, of_adjoint):
    """x R^-1, or x R^-H."""
    turned = solve_triangular(r, adjoint(x), upper=True, adjoint=not of_adjoint, unit=False)
    return adjoint(turned)


def _qr_vjp(gy, x, y, full):
    m, n = x.shape[-2:]
    k = min(m, n)
    if full and m > n:
        always = gt(abs(y), -1.0)
        return (refuse(zeros_like(x), always, always, words=_COMPLETE),)
    if not k:
        return (zeros_like(x),)
    q, r = qr_parts(y, x, full)
    gq, gr = qr_parts(gy, x, full)
    square, gsquare, rest = _upper_part(r), gr, None
    if n > k:  # R2 = Q^H A2
        starts = (0,) * (x.ndim - 1) + (k,)
        lengths = (*x.shape[:-2], m, n - k)
        behind, gbehind = (
            slice_(z, starts=starts, lengths=lengths, steps=(1,) * x.ndim) for z in (x, gr)
        )
        gq = gq + matmul(behind, adjoint(gbehind))
        rest = matmul(q, gbehind)
        gsquare = corner(gr, (k, k))
    inner = upper(matmul(gsquare, adjoint(square)) - matmul(adjoint(q), gq))
    inner = inner + adjoint(inner)
    inner = where(on_diagonal(inner), 0.5 * inner, inner)
    result = _times_inverse(square, gq + matmul(q, inner), True)
    return (result if rest is None else cat(result, rest, axis=x.ndim - 1),)


def _qr_jvp(tangents, x, y, full):
    (t,) = tangents
    m, n = x.shape[-2:]
    k = min(m, n)
    if full and m > n:
        always = gt(abs(y), -1.0)
        return refuse(zeros_like(y), always, always, words=_COMPLETE)
    q, r = qr_parts(y, x, full)
    square = _upper_part(r)
    turned = _times_inverse(square, corner(t, (m, k)), False)
    inner = matmul(adjoint(q), turned)
    left = lower(inner, -1)
    spin = left - adjoint(left)
    if x.dtype.is_complex:
        spin = spin + where(on_diagonal(inner), 1j * imag(inner), 0.0)
    stretch = inner - spin
    tq = turned - matmul(q, stretch)
    tr = matmul(stretch, square)
    if n > k:
        starts = (0,) * (x.ndim - 1) + (k,)
        lengths = (*x.shape[:-2], m, n - k)
        behind, tbehind = (
            slice_(z, starts=starts, lengths=lengths, steps=(1,) * x.ndim) for z in (x, t)
        )
        tr = cat(tr, matmul(adjoint(tq), behind) + matmul(adjoint(q), tbehind), axis=x.ndim - 1)
    return pack((tq, 2), (tr, 2))


qr = operation(
    "qr",
    "linalg",
    summary="Q with orthonormal columns and R, upper triangular; packed.",
    infer=_infer_qr,
    evaluate=lambda x, full: lapack.packed(
        *np.linalg.qr(x, mode="complete" if full else "reduced")
    ),
    attributes=("full",),
    vjp=_qr_vjp,
    jvp=_qr_jvp,
    complex=True,
    grad_name="LinalgQrBackward0",
    note="No gradient of a complete Q of more rows than columns, nor where the first columns are "
    "linearly dependent.",
    source="Walter and Lehmann 2018, Algorithmic differentiation of linear algebra functions",
    probe=Probe(
        shapes=(((3, 3),), ((2, 4, 2),), ((2, 4),)),
        attrs=({"full": False},),
        dtypes=FLOATS,
        tolerance=1e-4,
    ),
)

# ---------------------------------------------------------------- pseudo-inverse, least squares


def _run_pinv(x, atol, rtol, hermitian):
    if not x.size:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    if atol:
        size = np.abs(np.linalg.eigvalsh(x)) if hermitian else np.linalg.svd(x, compute_uv=False)
        largest = np.max(size, -1)
        rtol = np.maximum(rtol, atol / np.where(largest == 0, 1, largest))
    return np.linalg.pinv(x, rcond=rtol, hermitian=hermitian)


def _pinv_vjp(gy, x, y, **attrs):
    g = adjoint(gy)
    first = matmul(g, matmul(y, adjoint(y)))
    first = first - matmul(x, matmul(y, first))
    second = matmul(adjoint(y), matmul(y, g))
    second = second - matmul(second, matmul(y, x))
    return (first + second - matmul(adjoint(y), matmul(gy, adjoint(y))),)


def _pinv_jvp(tangents, x, y, **attrs):
    (t,) = tangents
    first = matmul(matmul(y, adjoint(y)), adjoint(t))
    first = first - matmul(matmul(first, x), y)
    second = matmul(matmul(adjoint(t), adjoint(y)), y)
    second = second - matmul(y, matmul(x, second))
    return first + second - matmul(matmul(y, t), y)


pinv = operation(
    "pinv",
    "linalg",
    summary="The pseudo-inverse; singular values up to max(atol, rtol times the largest) are zero.",
    infer=lambda avals, **attrs: aval(
        (*avals[0].shape[:-2], avals[0].shape[-1], avals[0].shape[-2]), avals[0].dtype
    ),
    evaluate=_run_pinv,
    attributes=("atol", "rtol", "hermitian"),
    vjp=_pinv_vjp,
    jvp=_pinv_jvp,
    complex=True,
    grad_name="LinalgPinvBackward0",
    note="The slope is that at constant rank: where the rank changes there is none.",
    source="Golub and Pereyra 1973",
    probe=Probe(
        shapes=(((3, 3),), ((2, 4, 2),), ((2, 4),)),
        attrs=({"atol": 0.0, "rtol": 1e-12, "hermitian": False},),
        dtypes=("float64", "complex128"),
        tolerance=1e-4,
    ),
)


def _infer_lstsq(avals, rcond):
    a, b = avals
    return aval((*a.shape[:-2], a.shape[-1] * b.shape[-1] + 1), a.dtype)


def _run_lstsq(a, b, rcond):
    def one(a, b):
        x, _, rank, _ = np.linalg.lstsq(a, b, rcond)
        return np.append(x.ravel(), rank).astype(a.dtype)

    return lapack.stacked(one, a, b)


def lstsq_parts(packed, a, b):
    """(solution, rank) of a packed lstsq."""
    n, k = a.shape[-1], b.shape[-1]
    return part(packed, 0, (n, k)), part(packed, n * k, ())


_NOT_FULL = (
    "linalg.lstsq: the gradient is not defined, because the matrix has not full rank\n"
    "  try  pinv(A) @ B, which has that at constant rank"
)


def _pseudo_inverse(a, rank):
    bad = gt(min(a.shape[-2:]) - 0.5, real_of(rank))
    return refuse(pinv(a, atol=0.0, rtol=rounding(a), hermitian=False), bad, bad, words=_NOT_FULL)


def _lstsq_vjp(gy, a, b, y, rcond):
    x, rank = lstsq_parts(y, a, b)
    g, _ = lstsq_parts(gy, a, b)
    p = _pseudo_inverse(a, rank)
    gb = matmul(adjoint(p), g)
    turned = adjoint(g)
    ga = -matmul(gb, adjoint(x))
    ga = ga + matmul(b - matmul(a, x), matmul(matmul(turned, p), adjoint(p)))
    ga = ga + matmul(matmul(adjoint(p), x), turned - matmul(matmul(turned, p), a))
    return ga, gb


def _lstsq_jvp(tangents, a, b, y, rcond):
    ta, tb = tangents
    x, rank = lstsq_parts(y, a, b)
    p = _pseudo_inverse(a, rank)
    t = zeros_like(b) if tb is None else tb
    tx = matmul(p, t if ta is None else t - matmul(ta, x))
    if ta is not None:
        tx = tx + matmul(p, matmul(adjoint(p), matmul(adjoint(ta), b - matmul(a, x))))
        rest = matmul(adjoint(ta), matmul(adjoint(p), x))
        tx = tx + rest - matmul(p, matmul(a, rest))
    return pack((tx, 2), (zeros_like(rank), 0))


lstsq = operation(
    "lstsq",
    "linalg",
    summary="Least squares: the smallest x with the smallest |a x - b|, and the rank of a; packed.",
    infer=_infer_lstsq,
    evaluate=_run_lstsq,
    attributes=("rcond",),
    vjp=_lstsq_vjp,
    jvp=_lstsq_jvp,
    complex=True,
    rule="promote",
    grad_name="LinalgLstsqBackward0",
    note="A matrix that has not full rank has no gradient; that is refused.",
    source="Golub and Pereyra 1973",
    probe=Probe(
        shapes=(((3, 3), (3, 2)), ((2, 4, 2), (2, 4, 1)), ((2, 4), (2, 2))),
        attrs=({"rcond": 1e-12},),
        dtypes=("float64", "complex128"),
        tolerance=1e-4,
    ),
)
