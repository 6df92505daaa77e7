"""Eigenvalues, singular values, QR, pseudo-inverses, least squares, exponentials of matrices.

Values are LAPACK's; several results come packed (`matrices`).  Vectors that belong to equal values
may be turned among themselves: where the loss notices, there is no gradient, and `over_gaps` says
so; where it does not, what it would divide by a gap of 0 is left out.  Values alone have gradients
always.

Sources of the rules: Giles 2008, Collected matrix derivative results; Walter and Lehmann 2018 (QR);
Golub and Pereyra 1973 (pseudo-inverse); PyTorch's for complex numbers and general eigenvectors.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit.families import operation
from tapejit.ops import lapack
from tapejit.ops.comparison import gt, le, logical_and, logical_not
from tapejit.ops.complexes import conjugate, imag, real
from tapejit.ops.copies import cast
from tapejit.ops.linear import matmul
from tapejit.ops.matrices import (
    DEGENERATE,
    PHASE,
    adjoint,
    column,
    diagonal_of,
    held,
    hermitian,
    largest,
    lower,
    on_diagonal,
    over_gaps,
    pack,
    part,
    refuse,
    row,
    skew,
    upper,
    with_diagonal,
    zeros_like,
)
from tapejit.ops.movement import cat, slice_, unslice
from tapejit.ops.reductions import sum_
from tapejit.ops.selection import where
from tapejit.ops.solving import FLOATS, lu, lu_solve, solve_triangular
from tapejit.registry import Probe
from tapejit.shapes import aval

REALS = ("float64", "float32")
"""Probes of vectors: complex ones have a phase that LAPACK chooses."""


def _rounding(x) -> float:
    """n eps of a matrix."""
    return max(x.shape[-2:]) * float(np.finfo(x.dtype.dtype).eps)


def _half_digits(x) -> float:
    """The root of eps: what is below is rounding, what is above is not."""
    return math.sqrt(float(np.finfo(x.dtype.dtype).eps))


def _real(x):
    return real(x) if x.dtype.is_complex else x


def _like(x, y):
    """A real Ref in the dtype of y."""
    return cast(x, dtype=y.dtype.name) if x.dtype is not y.dtype else x


def _no_phase(k, scale, words):
    """The matrix, refused where its diagonal is not real: a turn of the phases would change it."""
    if not k.dtype.is_complex or 0 in k.shape:
        return k
    turns = logical_and(on_diagonal(k), gt(abs(imag(k)), scale * _half_digits(k)))
    return refuse(k, turns, turns, words=words)


# ---------------------------------------------------------------- Hermitian eigenvalues


def _infer_eigh(avals, turned=False):
    (x,) = avals
    n = x.shape[-1]
    return aval((*x.shape[:-2], n + n * n), x.dtype)


def _run_eigh(x, turned):
    values, vectors = np.linalg.eigh(x)
    if turned:
        lapack.turned(values, vectors)
    return lapack.packed(values[..., None], vectors).astype(x.dtype, copy=False)


def eigh_parts(packed, n):
    """(eigenvalues, eigenvectors) of a packed eigh."""
    return part(packed, 0, (n,)), part(packed, n, (n, n))


def _is_of_values(gy, n):
    """Whether a cotangent of packed values and vectors is one of the values alone."""
    kind = gy.builder.tape.kind(gy.row)
    if kind.op is not unslice:
        return False
    given = gy.builder.ref(gy.builder.tape.left[gy.row])
    return kind.attributes()["starts"][-1] == 0 and given.shape[-1] == n


_EIGH = {"name": "linalg.eigh", "what": "eigenvectors", "values": "eigenvalues"}


def _eigh_vjp(gy, x, y, turned):
    n = x.shape[-1]
    values, v = eigh_parts(y, n)
    gvalues, gv = eigh_parts(gy, n)
    if not n:
        return (zeros_like(x),)
    if _is_of_values(gy, n):
        inner = v * row(_like(_real(gvalues), x))
        return (matmul(inner, adjoint(v)),)
    scale = largest(gv)
    k = _no_phase(matmul(adjoint(v), gv), scale, PHASE.format(**_EIGH))
    words = DEGENERATE.format(**_EIGH)
    inner = over_gaps(skew(k), _real(values), scale, words, _real(gvalues))
    inner = with_diagonal(inner, _like(_real(gvalues), x))
    return (matmul(matmul(v, inner), adjoint(v)),)


def _eigh_jvp(tangents, x, y, turned):
    values, v = eigh_parts(y, x.shape[-1])
    k = matmul(matmul(adjoint(v), hermitian(tangents[0])), v)
    spin = over_gaps(k, _real(values), None, DEGENERATE.format(**_EIGH))
    return pack((_like(_real(diagonal_of(k)), x), 1), (matmul(v, spin), 2))


eigh = operation(
    "eigh",
    "linalg",
    summary="Eigenvalues, ascending, and eigenvectors of Hermitian matrices; packed.",
    infer=_infer_eigh,
    evaluate=_run_eigh,
    attributes=("turned",),
    vjp=_eigh_vjp,
    jvp=_eigh_jvp,
    complex=True,
    grad_name="LinalgEighBackward0",
    note="Equal eigenvalues: a loss that depends on which vectors are chosen has no gradient, and "
    "is refused; so are tangents and second derivatives of the vectors.  For that their vectors "
    "are turned at random where a gradient may be asked.",
    probe=Probe(
        shapes=((("spd", (3, 3)),), (("spd", (2, 3, 3)),)),
        attrs=({"turned": True},),
        dtypes=REALS,
        tolerance=1e-5,
    ),
)


def _held_vectors(x, y):
    _, v = eigh_parts(eigh(x, turned=True), x.shape[-1])
    return held(v, y, DEGENERATE.format(**_EIGH))


def _eigvalsh_vjp(gy, x, y):
    v = _held_vectors(x, y)
    return (matmul(v * row(_like(gy, x)), adjoint(v)),)


def _eigvalsh_jvp(tangents, x, y):
    v = _held_vectors(x, y)
    along = conjugate(v) * matmul(hermitian(tangents[0]), v)
    return _real(sum_(along, axes=(x.ndim - 2,), keepdim=False))


eigvalsh = operation(
    "eigvalsh",
    "linalg",
    summary="Eigenvalues of Hermitian matrices, ascending.",
    infer=lambda avals: aval(avals[0].shape[:-1], avals[0].dtype.to_real()),
    evaluate=np.linalg.eigvalsh,
    vjp=_eigvalsh_vjp,
    jvp=_eigvalsh_jvp,
    complex=True,
    grad_name="LinalgEighBackward0",
    note="Has a gradient where eigenvalues are equal too.",
    probe=Probe(shapes=((("spd", (3, 3)),), (("spd", (2, 3, 3)),)), dtypes=FLOATS, tolerance=1e-5),
)

# ---------------------------------------------------------------- singular values


def _lengths(x, full):
    m, n = x.shape[-2:]
    k = min(m, n)
    return (m, m, k, n, n) if full else (m, k, k, k, n)


def _infer_svd(avals, full, turned):
    (x,) = avals
    m, p, k, q, n = _lengths(x, full)
    return aval((*x.shape[:-2], m * p + k + q * n), x.dtype)


def _run_svd(x, full, turned):
    try:
        u, s, vh = np.linalg.svd(x, full_matrices=full)
    except np.linalg.LinAlgError as error:
        raise lapack.LinAlgError(
            "linalg.svd: The algorithm failed to converge because the input matrix contained "
            "non-finite values."
        ) from error
    if turned:
        k = s.shape[-1]
        v = np.swapaxes(vh[..., :k, :], -1, -2).conj().copy()
        lapack.turned(s, u[..., :k], v)
        vh[..., :k, :] = np.swapaxes(v, -1, -2).conj()
    return lapack.packed(u, s[..., None], vh).astype(x.dtype, copy=False)


def svd_parts(packed, x, full):
    """(U, S, Vh) of a packed svd of x."""
    m, p, k, q, n = _lengths(x, full)
    u = part(packed, 0, (m, p))
    return u, part(packed, m * p, (k,)), part(packed, m * p + k, (q, n))


_SVD = {"name": "linalg.svd", "what": "singular vectors", "values": "singular values"}
_ZERO = (
    "linalg.svd: the gradient of the singular vectors is not defined, because a singular value "
    "is zero\n  try  a loss of the singular values alone, or of the vectors of the others"
)
_EXTRA = (
    "linalg.svd: with full_matrices=True there is no gradient of the vectors that complete the "
    "basis\n  try  full_matrices=False"
)


def _first(x, shape):
    """The first rows and columns of a matrix."""
    lengths = (*x.shape[:-2], *shape)
    return slice_(x, starts=(0,) * x.ndim, lengths=lengths, steps=(1,) * x.ndim)


def _over(x, divisor, scale, words, strict=False):
    """x / divisor, and 0 where that is 0 within rounding; refused if x is not 0 there."""
    tiny = le(abs(divisor), scale[0] * (8 * scale[2]))
    bad = tiny if strict else logical_and(tiny, gt(abs(x), scale[1] * scale[3]))
    return refuse(where(tiny, 0.0, x / where(tiny, 1.0, divisor)), bad, tiny, words=words)


def _of_nonzero(gs, s, scale):
    """The cotangent of singular values, refused where it is not 0 of one that is."""
    zero = le(s, _last(scale[0]) * (8 * scale[2]))
    bad = logical_and(zero, gt(abs(gs), _last(largest(row(gs))) * scale[3]))
    return refuse(gs, bad, zero, words=_ZERO)


def _svd_vjp(gy, x, y, full, turned):
    m, n = x.shape[-2:]
    k = min(m, n)
    if not k:
        return (zeros_like(x),)
    u, s, vh = svd_parts(y, x, full)
    gu, gs, gvh = svd_parts(gy, x, full)
    if full and m != n:
        gu, gvh = _without_extra(gu, (m, k)), _without_extra(gvh, (k, n))
        u, vh = _first(u, (m, k)), _first(vh, (k, n))
    s = _real(s)
    size = largest(gu) + largest(gvh)
    scale = (largest(row(s)), size, _rounding(x), _half_digits(x))
    ku, kv = matmul(adjoint(u), gu), matmul(vh, adjoint(gvh))
    both = _no_phase(ku + kv, size, PHASE.format(**_SVD))
    gs = _real(gs)
    inner = over_gaps(skew(both), s, size, DEGENERATE.format(**_SVD), gs)
    inner = inner + _over(skew(ku - kv), row(s) + column(s), scale, _ZERO)
    inner = inner + where(on_diagonal(inner), row(_like(_of_nonzero(gs, s, scale), x)), 0.0)
    result = matmul(matmul(u, inner), vh)
    if m > k:
        rest = gu - matmul(u, ku)
        result = result + matmul(_over(rest, row(s), scale, _ZERO), vh)
    if n > k:
        rest = gvh - matmul(adjoint(kv), vh)
        result = result + matmul(u, _over(rest, column(s), scale, _ZERO))
    return (result,)


def _without_extra(g, shape):
    """The cotangent of the first vectors, refused if that of the others is not 0."""
    first = _first(g, shape)
    starts = tuple(a if a < b else 0 for a, b in zip(first.shape, g.shape, strict=True))
    if starts == (0,) * g.ndim:
        return first
    lengths = tuple(b - a for a, b in zip(starts, g.shape, strict=True))
    extra = slice_(g, starts=starts, lengths=lengths, steps=(1,) * g.ndim)
    return refuse(first, gt(abs(extra), 0.0), gt(abs(extra), 0.0), words=_EXTRA)


def _svd_jvp(tangents, x, y, full, turned):
    (t,) = tangents
    m, n = x.shape[-2:]
    k = min(m, n)
    u, s, vh = svd_parts(y, x, full)
    if full and m != n:
        always = gt(abs(t), -1.0)
        return refuse(zeros_like(y), always, always, words=_EXTRA)
    s = _real(s)
    scale = (largest(row(s)), None, _rounding(x), 0.0)
    middle = matmul(matmul(adjoint(u), t), adjoint(vh))
    both = over_gaps(2.0 * hermitian(middle), s, None, DEGENERATE.format(**_SVD))
    apart = 2.0 * _over(skew(middle), row(s) + column(s), scale, _ZERO, strict=True)
    tu, tv = matmul(u, 0.5 * (both + apart)), matmul(adjoint(vh), 0.5 * (both - apart))
    if m > k:
        rest = matmul(t, adjoint(vh))
        rest = rest - matmul(u, matmul(adjoint(u), rest))
        tu = tu + _over(rest, row(s), scale, _ZERO, strict=True)
    if n > k:
        rest = matmul(adjoint(t), u)
        rest = rest - matmul(adjoint(vh), matmul(vh, rest))
        tv = tv + _over(rest, row(s), scale, _ZERO, strict=True)
    ts = _like(_real(diagonal_of(middle)), x)
    return pack((tu, 2), (ts, 1), (adjoint(tv), 2))


svd = operation(
    "svd",
    "linalg",
    summary="Singular value decomposition U S Vh, with all vectors or the first ones; packed.",
    infer=_infer_svd,
    evaluate=_run_svd,
    attributes=("full", "turned"),
    vjp=_svd_vjp,
    jvp=_svd_jvp,
    complex=True,
    grad_name="LinalgSvdBackward0",
    note="Equal singular values, or zero ones: a loss that depends on which vectors are chosen has "
    "no gradient, and is refused; so are tangents and second derivatives of the vectors.",
    probe=Probe(
        shapes=(((3, 3),), ((2, 3, 2),), ((2, 4),)),
        attrs=({"full": False, "turned": True},),
        dtypes=REALS,
        tolerance=1e-4,
    ),
)


def _held_singular_vectors(x, s):
    """U and Vh, and which singular values are zero within rounding."""
    u, _, vh = svd_parts(svd(x, full=False, turned=True), x, False)
    zero = le(s, _last(largest(row(s))) * (8 * _rounding(x)))
    words = DEGENERATE.format(**_SVD)
    u, vh = held(u, s, words), held(vh, s, words)
    never = logical_and(zero, logical_not(zero))
    return refuse(u, never, zero, words=_ZERO), refuse(vh, never, zero, words=_ZERO), zero


def _last(x):
    """A matrix of one element as a vector of one."""
    return sum_(x, axes=(x.ndim - 1,), keepdim=False)


def _svdvals_vjp(gy, x, y):
    if 0 in x.shape:
        return (zeros_like(x),)
    u, vh, zero = _held_singular_vectors(x, y)
    return (matmul(u * row(_like(where(zero, 0.0, gy), x)), vh),)


def _svdvals_jvp(tangents, x, y):
    u, vh, zero = _held_singular_vectors(x, y)
    along = conjugate(u) * matmul(tangents[0], adjoint(vh))
    return where(zero, 0.0, _real(sum_(along, axes=(x.ndim - 2,), keepdim=False)))


svdvals = operation(
    "svdvals",
    "linalg",
    summary="Singular values of matrices, descending.",
    infer=lambda avals: aval(
        (*avals[0].shape[:-2], min(avals[0].shape[-2:])), avals[0].dtype.to_real()
    ),
    evaluate=lambda x: np.linalg.svd(x, compute_uv=False),
    vjp=_svdvals_vjp,
    jvp=_svdvals_jvp,
    complex=True,
    grad_name="LinalgSvdBackward0",
    note="Has a gradient where singular values are equal too; slope 0 of those that are zero.",
    probe=Probe(shapes=(((3, 3),), ((2, 3, 2),), ((2, 4),)), dtypes=FLOATS, tolerance=1e-5),
)

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
    square = _first(r, (k, k))
    size = abs(diagonal_of(square))
    dependent = le(size, _last(largest(square)) * _rounding(square))
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
        gsquare = _first(gr, (k, k))
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
    turned = _times_inverse(square, _first(t, (m, k)), False)
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

# ---------------------------------------------------------------- eigenvalues of any matrix


def _infer_eig(avals):
    (x,) = avals
    n = x.shape[-1]
    return aval((*x.shape[:-2], n + n * n), x.dtype.to_complex())


def _run_eig(x):
    values, vectors = np.linalg.eig(x)
    kind = np.result_type(x.dtype, np.complex64)
    return lapack.packed(values[..., None], vectors).astype(kind, copy=False)


_EIG = {"name": "linalg.eig", "what": "eigenvectors", "values": "eigenvalues"}


def _eig_vjp(gy, x, y):
    values, v = eigh_parts(y, x.shape[-1])
    gvalues, gv = eigh_parts(gy, x.shape[-1])
    if not x.shape[-1]:
        return (zeros_like(x),)
    scale = largest(gv)
    k = _no_phase(matmul(adjoint(v), gv), scale, PHASE.format(**_EIG))
    along = real(diagonal_of(k))
    k = k - matmul(adjoint(v), v) * row(_like(along, k))
    inner = over_gaps(k, conjugate(values), scale, DEGENERATE.format(**_EIG))
    inner = with_diagonal(inner, gvalues)
    return (_solved(adjoint(v), matmul(inner, adjoint(v))),)


def _solved(a, b):
    """a^-1 b."""
    return lu_solve(a, lu(a), b, adjoint=False, name="linalg.eig, gradient")


def _eig_jvp(tangents, x, y):
    values, v = eigh_parts(y, x.shape[-1])
    t = _like(tangents[0], v)
    k = _solved(v, matmul(t, v))
    tv = matmul(v, over_gaps(k, values, None, DEGENERATE.format(**_EIG)))
    along = real(sum_(conjugate(v) * tv, axes=(v.ndim - 2,), keepdim=False))
    return pack((diagonal_of(k), 1), (tv - v * row(_like(along, v)), 2))


eig = operation(
    "eig",
    "linalg",
    summary="Eigenvalues and eigenvectors of square matrices, always complex; packed.",
    infer=_infer_eig,
    evaluate=_run_eig,
    vjp=_eig_vjp,
    jvp=_eig_jvp,
    complex=True,
    grad_name="LinalgEigBackward0",
    note="The loss must not depend on the phases of the vectors, nor on which ones are chosen for "
    "equal eigenvalues: there is no gradient then, and it is refused.",
    probe=Probe(shapes=((("apart", (3, 3)),),), dtypes=("float64",), tolerance=1e-4),
)


def _eigvals_vjp(gy, x, y):
    _, v = eigh_parts(eig(x), x.shape[-1])
    return (_solved(adjoint(v), column(gy) * adjoint(v)),)


def _eigvals_jvp(tangents, x, y):
    _, v = eigh_parts(eig(x), x.shape[-1])
    return diagonal_of(_solved(v, matmul(_like(tangents[0], v), v)))


eigvals = operation(
    "eigvals",
    "linalg",
    summary="Eigenvalues of square matrices, always complex.",
    infer=lambda avals: aval(avals[0].shape[:-1], avals[0].dtype.to_complex()),
    evaluate=lambda x: np.linalg.eigvals(x).astype(
        np.result_type(x.dtype, np.complex64), copy=False
    ),
    vjp=_eigvals_vjp,
    jvp=_eigvals_jvp,
    complex=True,
    grad_name="LinalgEigBackward0",
    probe=Probe(shapes=((("apart", (3, 3)),),), dtypes=("float64", "complex128"), tolerance=1e-4),
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
    bad = gt(min(a.shape[-2:]) - 0.5, _real(rank))
    return refuse(pinv(a, atol=0.0, rtol=_rounding(a), hermitian=False), bad, bad, words=_NOT_FULL)


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

# ---------------------------------------------------------------- the exponential


def _run_matrix_exp(x):
    from scipy.linalg import expm

    return expm(x).astype(x.dtype, copy=False) if x.size else x.copy()


def _frechet(x, direction):
    """The derivative in a direction: the corner of exp of a block matrix (Mathias 1996)."""
    n, axis = x.shape[-1], x.ndim - 1
    above = cat(x, direction, axis=axis)
    below = cat(zeros_like(x), x, axis=axis)
    whole = matrix_exp(cat(above, below, axis=axis - 1))
    starts = (0,) * axis + (n,)
    return slice_(whole, starts=starts, lengths=x.shape, steps=(1,) * x.ndim)


matrix_exp = operation(
    "matrix_exp",
    "linalg",
    summary="The exponential of square matrices.",
    infer=lambda avals: avals[0],
    evaluate=_run_matrix_exp,
    vjp=lambda gy, x, y: (_frechet(adjoint(x), gy),),
    jvp=lambda tangents, x, y: _frechet(x, tangents[0]),
    complex=True,
    grad_name="LinalgMatrixExpBackward0",
    source="Mathias 1996; Al-Mohy and Higham 2009 (scipy.linalg.expm)",
    probe=Probe(
        shapes=(((3, 3),), ((2, 2, 2),)), domain=(-1.0, 1.0), dtypes=FLOATS, tolerance=1e-5
    ),
)
