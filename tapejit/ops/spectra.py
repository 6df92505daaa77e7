"""Eigenvalues, singular values, exponentials of matrices.

Values are LAPACK's; several results come packed (`matrices`).  Vectors that belong to equal values
may be turned among themselves: where the loss notices, there is no gradient, and `over_gaps` says
so; where it does not, what it would divide by a gap of 0 is left out.  Values alone have gradients
always.

Sources of the rules: Giles 2008, Collected matrix derivative results; PyTorch's for complex numbers
and general eigenvectors.
"""

from __future__ import annotations

import numpy as np

from tapejit.families import operation
from tapejit.ops import lapack
from tapejit.ops.comparison import gt, le, logical_and, logical_not
from tapejit.ops.complexes import conjugate, imag, real, real_of
from tapejit.ops.linear import matmul
from tapejit.ops.matrices import (
    DEGENERATE,
    PHASE,
    adjoint,
    as_vector,
    column,
    corner,
    diagonal_of,
    half_digits,
    held,
    hermitian,
    in_dtype_of,
    largest,
    on_diagonal,
    over_gaps,
    pack,
    part,
    refuse,
    rounding,
    row,
    skew,
    with_diagonal,
    zeros_like,
)
from tapejit.ops.movement import cat, slice_, unslice
from tapejit.ops.reductions import sum_
from tapejit.ops.selection import where
from tapejit.ops.solving import FLOATS, lu, lu_solve
from tapejit.registry import Probe
from tapejit.shapes import aval

REALS = ("float64", "float32")
"""Probes of vectors: complex ones have a phase that LAPACK chooses."""


def _no_phase(k, scale, words):
    """The matrix, refused where its diagonal is not real: a turn of the phases would change it."""
    if not k.dtype.is_complex or 0 in k.shape:
        return k
    turns = logical_and(on_diagonal(k), gt(abs(imag(k)), scale * half_digits(k)))
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
        inner = v * row(in_dtype_of(real_of(gvalues), x))
        return (matmul(inner, adjoint(v)),)
    scale = largest(gv)
    k = _no_phase(matmul(adjoint(v), gv), scale, PHASE.format(**_EIGH))
    words = DEGENERATE.format(**_EIGH)
    inner = over_gaps(skew(k), real_of(values), scale, words, real_of(gvalues))
    inner = with_diagonal(inner, in_dtype_of(real_of(gvalues), x))
    return (matmul(matmul(v, inner), adjoint(v)),)


def _eigh_jvp(tangents, x, y, turned):
    values, v = eigh_parts(y, x.shape[-1])
    k = matmul(matmul(adjoint(v), hermitian(tangents[0])), v)
    spin = over_gaps(k, real_of(values), None, DEGENERATE.format(**_EIGH))
    return pack((in_dtype_of(real_of(diagonal_of(k)), x), 1), (matmul(v, spin), 2))


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
    return (matmul(v * row(in_dtype_of(gy, x)), adjoint(v)),)


def _eigvalsh_jvp(tangents, x, y):
    v = _held_vectors(x, y)
    along = conjugate(v) * matmul(hermitian(tangents[0]), v)
    return real_of(sum_(along, axes=(x.ndim - 2,), keepdim=False))


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


def _over(x, divisor, scale, words, strict=False):
    """x / divisor, and 0 where that is 0 within rounding; refused if x is not 0 there."""
    tiny = le(abs(divisor), scale[0] * (8 * scale[2]))
    bad = tiny if strict else logical_and(tiny, gt(abs(x), scale[1] * scale[3]))
    return refuse(where(tiny, 0.0, x / where(tiny, 1.0, divisor)), bad, tiny, words=words)


def _of_nonzero(gs, s, scale):
    """The cotangent of singular values, refused where it is not 0 of one that is."""
    zero = le(s, as_vector(scale[0]) * (8 * scale[2]))
    bad = logical_and(zero, gt(abs(gs), as_vector(largest(row(gs))) * scale[3]))
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
        u, vh = corner(u, (m, k)), corner(vh, (k, n))
    s = real_of(s)
    size = largest(gu) + largest(gvh)
    scale = (largest(row(s)), size, rounding(x), half_digits(x))
    ku, kv = matmul(adjoint(u), gu), matmul(vh, adjoint(gvh))
    both = _no_phase(ku + kv, size, PHASE.format(**_SVD))
    gs = real_of(gs)
    inner = over_gaps(skew(both), s, size, DEGENERATE.format(**_SVD), gs)
    inner = inner + _over(skew(ku - kv), row(s) + column(s), scale, _ZERO)
    inner = inner + where(on_diagonal(inner), row(in_dtype_of(_of_nonzero(gs, s, scale), x)), 0.0)
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
    first = corner(g, shape)
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
    s = real_of(s)
    scale = (largest(row(s)), None, rounding(x), 0.0)
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
    ts = in_dtype_of(real_of(diagonal_of(middle)), x)
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
    zero = le(s, as_vector(largest(row(s))) * (8 * rounding(x)))
    words = DEGENERATE.format(**_SVD)
    u, vh = held(u, s, words), held(vh, s, words)
    never = logical_and(zero, logical_not(zero))
    return refuse(u, never, zero, words=_ZERO), refuse(vh, never, zero, words=_ZERO), zero


def _svdvals_vjp(gy, x, y):
    if 0 in x.shape:
        return (zeros_like(x),)
    u, vh, zero = _held_singular_vectors(x, y)
    return (matmul(u * row(in_dtype_of(where(zero, 0.0, gy), x)), vh),)


def _svdvals_jvp(tangents, x, y):
    u, vh, zero = _held_singular_vectors(x, y)
    along = conjugate(u) * matmul(tangents[0], adjoint(vh))
    return where(zero, 0.0, real_of(sum_(along, axes=(x.ndim - 2,), keepdim=False)))


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
    k = k - matmul(adjoint(v), v) * row(in_dtype_of(along, k))
    inner = over_gaps(k, conjugate(values), scale, DEGENERATE.format(**_EIG))
    inner = with_diagonal(inner, gvalues)
    return (_solved(adjoint(v), matmul(inner, adjoint(v))),)


def _solved(a, b):
    """a^-1 b."""
    return lu_solve(a, lu(a), b, adjoint=False, name="linalg.eig, gradient")


def _eig_jvp(tangents, x, y):
    values, v = eigh_parts(y, x.shape[-1])
    t = in_dtype_of(tangents[0], v)
    k = _solved(v, matmul(t, v))
    tv = matmul(v, over_gaps(k, values, None, DEGENERATE.format(**_EIG)))
    along = real(sum_(conjugate(v) * tv, axes=(v.ndim - 2,), keepdim=False))
    return pack((diagonal_of(k), 1), (tv - v * row(in_dtype_of(along, v)), 2))


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
    return diagonal_of(_solved(v, matmul(in_dtype_of(tangents[0], v), v)))


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
