"""Values of matrix decompositions: LAPACK through NumPy and SciPy, matrix by matrix or in batches.

NumPy's functions loop over batches in C, but copy, and its Cholesky is 6 times slower than
LAPACK's at 500 x 500; so large matrices go to LAPACK one by one, without copies where rows can be
read as the columns of the transpose.  What neither has in batches (LU with its parts, substitution)
runs on all matrices of a batch of small ones at once, column by column.

Errors are raised here, in PyTorch's words.  Not here: derivatives (`solving`, `spectra`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from tapejit.errors import LinAlgError

MANY = 16
"""Matrices in a batch from which small ones are worked on all at once: a step in NumPy for all
costs what ten calls of LAPACK do."""
SMALL = 64
"""Rows of a matrix that is small."""


def packed(*parts: np.ndarray) -> np.ndarray:
    """Matrices (or vectors) behind each other along one last axis; batch axes are the first's."""
    batch = parts[0].shape[:-2]
    dtype = np.result_type(*parts)
    flat = [(*batch, math.prod(p.shape[len(batch) :])) for p in parts]  # -1 is refused if empty
    return np.concatenate(
        [p.astype(dtype, copy=False).reshape(f) for p, f in zip(parts, flat, strict=True)], -1
    )


def stacked(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    """`function` of each matrix of a batch: one array for each."""
    batch = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    if not batch:
        return function(*arrays)
    arrays = tuple(np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in arrays)
    results = [function(*(a[i] for a in arrays)) for i in np.ndindex(batch)]
    if not results:
        results = [function(*(np.ones(a.shape[-2:], a.dtype) for a in arrays))]
        return np.zeros((*batch, *results[0].shape), results[0].dtype)
    return np.stack(results).reshape(*batch, *results[0].shape)


def _is_many(*shapes) -> bool:
    batch = math.prod(np.broadcast_shapes(*(shape[:-2] for shape in shapes)))
    return batch >= MANY and shapes[0][-1] <= SMALL


def _letter(x):
    return {"f": "s", "d": "d", "F": "c", "D": "z"}[x.dtype.char]


def eps_of(x) -> float:
    """The rounding unit of a float or complex dtype."""
    return float(np.finfo(x.dtype).eps)


# ---------------------------------------------------------------- Cholesky

_NOT_DEFINITE = (
    "linalg.cholesky: {}The factorization could not be completed because the input is not "
    "positive-definite (the leading minor of order {} is not positive-definite).\n"
    "  try  a matrix that is symmetric and positive-definite; a little more on its diagonal"
)


def cholesky(x: np.ndarray) -> np.ndarray:
    """L with L L^H = x, from the lower triangles of x."""
    if x.ndim > 2 and x.shape[-1] <= SMALL:
        try:
            return np.linalg.cholesky(x)
        except np.linalg.LinAlgError:
            pass  # LAPACK says which one it is
    factors, info = cholesky_info(x)
    if np.any(info):
        where = np.argwhere(np.atleast_1d(info))[0]
        order = np.atleast_1d(info)[tuple(where)]
        first = f"(Batch element {np.flatnonzero(info)[0]}): " if x.ndim > 2 else ""
        raise LinAlgError(_NOT_DEFINITE.format(first, order))
    return factors


def cholesky_info(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors, and for each matrix 0 or the order of the minor that is not positive."""
    from scipy.linalg import lapack

    potrf = getattr(lapack, f"{_letter(x)}potrf")
    info = np.zeros(x.shape[:-2], np.int32)
    factors = np.array(x.conj(), order="C")
    for i in np.ndindex(x.shape[:-2]):
        if x.shape[-1]:
            # rows are columns of the transpose: U^H U = x in the memory of U^T, which is conj(L)
            upper, info[i] = potrf(factors[i].T, lower=0, clean=1, overwrite_a=1)
            if upper.base is not factors and not np.shares_memory(upper, factors):
                factors[i] = upper.T
    return factors.conj(), info


BLOCK = 64
"""Columns that Cholesky's slope takes at a time: what is in a block costs three times more."""


def cholesky_slope(factor: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """The cotangent of x, Hermitian, from that of its Cholesky factor.

    Murray 2016, Differentiation of the Cholesky decomposition, 3.2: blocks from the last to the
    first.  Two thirds of n^3 multiplications and additions; the formula with triangular solves
    needs six times as many.
    """
    n = factor.shape[-1]
    slope = np.where(np.tri(n, dtype=bool), gy, 0)
    for end in range(n, 0, -BLOCK):
        begin = max(end - BLOCK, 0)
        rows, columns, above = slice(begin, end), slice(end, n), slice(0, begin)
        d, c = factor[..., rows, rows], factor[..., columns, rows]
        r, b = factor[..., rows, above], factor[..., columns, above]
        inverse = _inverse_of_lower(d)
        gd = slope[..., rows, rows]
        if end < n:
            gc = slope[..., columns, rows] @ inverse
            gd = gd - _adjoint(gc) @ c * _lower(end - begin, 1.0, 1.0, gd.dtype)
            slope[..., columns, rows] = gc
            slope[..., columns, above] -= gc @ r
            slope[..., rows, above] -= _adjoint(gc) @ b
        gd = _adjoint(inverse) @ _hermitian_half(_adjoint(d) @ gd) @ inverse
        slope[..., rows, above] -= 2 * gd @ r
        # what is left for the other triangle is counted twice in this one
        slope[..., rows, rows] = gd * _lower(end - begin, 2.0, 1.0, gd.dtype)
    return (slope + _adjoint(slope)) / 2


def _inverse_of_lower(x):
    if x.ndim > 2:
        return np.linalg.inv(x)
    from scipy.linalg import lapack

    return getattr(lapack, f"{_letter(x)}trtri")(x.T)[0].T  # rows are columns: an upper triangle


def _adjoint(x):
    return np.swapaxes(x, -1, -2).conj()


@functools.lru_cache(64)
def _lower(n, below, diagonal, kind):
    """A lower triangle of equal numbers, with another one on the diagonal."""
    return (np.tri(n, k=-1) * below + np.eye(n) * diagonal).astype(kind)


def _hermitian_half(x):
    """The Hermitian part of: the lower triangle, with half of the diagonal."""
    half = x * _lower(x.shape[-1], 0.5, 0.25, x.dtype)
    return half + _adjoint(half)


# ---------------------------------------------------------------- triangular matrices


def solve_triangular(a, b, upper: bool, adjoint: bool, unit: bool) -> np.ndarray:
    """x with a x = b, or a^H x = b, reading one triangle of a."""
    if _is_many(a.shape, b.shape):
        if adjoint:
            a, upper = _adjoint(a), not upper
        return _substituted(a, b, upper, unit)
    return stacked(lambda a, b: _solve_triangle(a, b, upper, adjoint, unit), a, b)


def _solve_triangle(a, b, upper, adjoint, unit):
    from scipy.linalg import blas

    if not b.size:
        return np.zeros(b.shape, b.dtype)
    transposed = adjoint
    if a.flags.f_contiguous and a.dtype.kind == "f":
        # its memory read by rows is the transpose
        a, upper, transposed = a.T, not upper, not adjoint
    a = np.ascontiguousarray(a)
    if b.shape[1] == 1:
        trsv = getattr(blas, f"{_letter(a)}trsv")
        a = a.conj() if transposed else a  # BLAS sees a^T, of the other triangle
        x = trsv(a.T, b[:, 0], lower=upper, trans=not transposed, diag=unit)
        return x[:, None]
    trsm = getattr(blas, f"{_letter(a)}trsm")
    # and solves x^T op(a)^T = b^T, with b^T from the right: a^H there is conj(a) = (a^T)^H
    side = {"side": 1, "lower": upper, "diag": unit}
    return trsm(1.0, a.T, b.T, trans_a=2 if transposed else 0, **side).T


def _substituted(a, b, upper, unit):
    """Row by row, for all matrices of a batch."""
    n = a.shape[-1]
    x = np.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]), b.dtype)
    for i in reversed(range(n)) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        row = b[..., i : i + 1, :] - a[..., i : i + 1, known] @ x[..., known, :]
        x[..., i : i + 1, :] = row if unit else row / a[..., i : i + 1, i : i + 1]
    return x


# ---------------------------------------------------------------- LU


def lu(x: np.ndarray) -> np.ndarray:
    """L and U in one matrix, column after column, and behind it LAPACK's pivots, from 1."""
    if _is_many(x.shape):
        factors, pivots = _eliminated(x)
        return packed(np.swapaxes(factors, -1, -2), pivots[..., None])
    return stacked(_factorize, x)


def _factorize(x):
    from scipy.linalg import lapack

    k = min(x.shape)
    result = np.zeros(x.size + k, x.dtype)
    if x.size:
        factors, pivots, _ = getattr(lapack, f"{_letter(x)}getrf")(x)
        result[: x.size] = factors.T.ravel()
        result[x.size :] = pivots[:k] + 1
    return result


def _eliminated(x):
    """LU with partial pivoting, column by column, for all matrices of a batch."""
    batch, (m, n) = x.shape[:-2], x.shape[-2:]
    a = x.reshape(-1, m, n).copy()
    which = np.arange(len(a))
    pivots = np.empty((len(a), min(m, n)), np.int64)
    for j in range(min(m, n)):
        column = a[:, j:, j]
        p = j + np.argmax(np.abs(column.real) + np.abs(column.imag), -1)
        pivots[:, j] = p + 1
        a[which, p], a[:, j] = a[:, j].copy(), a[which, p]
        pivot = a[:, j, None, j]
        a[:, j + 1 :, j] /= np.where(pivot == 0, 1, pivot)  # as LAPACK, which leaves such a column
        a[:, j + 1 :, j + 1 :] -= a[:, j + 1 :, j, None] * a[:, j, None, j + 1 :]
    return a.reshape(x.shape), pivots.reshape(*batch, -1)


def unpacked_lu(factors: np.ndarray, m: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(LU, pivots from 0) of what `lu` gives."""
    columns = factors[..., : m * n].reshape(*factors.shape[:-1], n, m)
    return np.swapaxes(columns, -1, -2), np.real(factors[..., m * n :]).astype(np.int64) - 1


def permutation(pivots: np.ndarray, m: int) -> np.ndarray:
    """p with (P^T x)[i] = x[p[i]], from LAPACK's pivots, which begin at 1."""
    shape = (math.prod(pivots.shape[:-1]), pivots.shape[-1])
    rows = np.real(pivots).astype(np.int64).reshape(shape) - 1
    order = np.tile(np.arange(m), (len(rows), 1))
    which = np.arange(len(rows))
    for j, p in enumerate(rows.T):
        order[which, p], order[:, j] = order[:, j].copy(), order[which, p]
    return order.reshape(*pivots.shape[:-1], m)


def inverse_permutation(order: np.ndarray) -> np.ndarray:
    """Where each place of a permutation went."""
    return np.argsort(order, -1)


def lu_solve(a, factors, b, adjoint: bool, name: str) -> np.ndarray:
    """x with a x = b, or a^H x = b, by what `lu` gave for a.

    name  of the function that raises LinAlgError for a singular matrix; "" for inf or NaN
    """
    n = a.shape[-1]
    matrices, pivots = unpacked_lu(factors, n, n)
    if name:
        _check_regular(matrices, name)
    if _is_many(a.shape, b.shape):
        return _solved_many(matrices, pivots, b, adjoint)
    return stacked(lambda lu, p, b: _solve_one(lu, p, b, adjoint), matrices, pivots[..., None], b)


def _check_regular(matrices, name):
    zeros = np.diagonal(matrices, axis1=-2, axis2=-1) == 0
    if zeros.any():
        singular = zeros.any(-1)
        first = "" if singular.ndim == 0 else f"(Batch element {np.flatnonzero(singular)[0]}): "
        why = "The solver failed because the input matrix is singular."
        if name == "linalg.inv":
            place = 1 + np.argwhere(zeros)[0][-1]
            why = (
                f"The diagonal element {place} is zero, the inversion could not be completed "
                "because the input matrix is singular."
            )
        raise LinAlgError(f"{name}: {first}{why}\n  try  pinv or lstsq")


def _solve_one(factors, pivots, b, adjoint):
    from scipy.linalg import lapack

    if not b.size:
        return np.zeros(b.shape, b.dtype)
    x, _ = getattr(lapack, f"{_letter(factors)}getrs")(factors, pivots[:, 0], b, 2 * adjoint)
    return x


def _solved_many(factors, pivots, b, adjoint):
    order = permutation(pivots + 1, factors.shape[-1])[..., None]
    batch = np.broadcast_shapes(factors.shape[:-2], b.shape[:-2])
    order = np.broadcast_to(order, (*batch, *b.shape[-2:]))
    if not adjoint:
        b = np.take_along_axis(np.broadcast_to(b, order.shape), order, -2)
        return _substituted(factors, _substituted(factors, b, False, True), True, False)
    b = _substituted(_adjoint(factors), b, False, False)
    x = np.empty(order.shape, b.dtype)
    np.put_along_axis(x, order, _substituted(_adjoint(factors), b, True, True), -2)
    return x


def inverse(x: np.ndarray) -> np.ndarray:
    """The inverse; LinAlgError says which pivot is zero."""
    if x.shape[-1] > SMALL:
        return lu_inverse(x, lu(x), "linalg.inv")
    try:
        return np.linalg.inv(x)
    except np.linalg.LinAlgError:
        _check_regular(unpacked_lu(lu(x), *x.shape[-2:])[0], "linalg.inv")
        raise


def lu_inverse(a: np.ndarray, factors: np.ndarray, name: str) -> np.ndarray:
    """The inverse of a, by what `lu` gave: two thirds of the work of solving with the identity."""
    n = a.shape[-1]
    matrices, pivots = unpacked_lu(factors, n, n)
    if name:
        _check_regular(matrices, name)
    if _is_many(a.shape) or not (np.diagonal(matrices, axis1=-2, axis2=-1) != 0).all():
        eye = np.broadcast_to(np.eye(n, dtype=a.dtype), a.shape)  # getri leaves singular ones alone
        return lu_solve(a, factors, eye, False, "")
    return stacked(_inverse_one, matrices, pivots[..., None])


def _inverse_one(factors, pivots):
    from scipy.linalg import lapack

    n = len(factors)
    if not n:
        return factors.copy()
    # with room for blocks of 64 columns; without, it is twice as slow
    return getattr(lapack, f"{_letter(factors)}getri")(factors, pivots[:, 0], lwork=64 * n)[0]


# ---------------------------------------------------------------- determinants


def determinant(factors: np.ndarray, n: int) -> np.ndarray:
    """The product of the pivots, by what `lu` gave."""
    matrices, pivots = unpacked_lu(factors, n, n)
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    return (np.prod(diagonal, -1) * _parity(pivots)).astype(factors.dtype)[()]


def _parity(pivots):
    return 1.0 - 2.0 * (np.sum(pivots != np.arange(pivots.shape[-1]), -1) % 2)


def sign_and_log(factors: np.ndarray, n: int) -> np.ndarray:
    """(sign, log |det|) along a last axis."""
    matrices, pivots = unpacked_lu(factors, n, n)
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    size = np.abs(diagonal)
    signs = np.where(size == 0, 0, diagonal / np.where(size == 0, 1, size))
    sign = np.prod(signs, -1) * _parity(pivots)
    return np.stack([sign, np.sum(np.log(size), -1)], -1).astype(factors.dtype)


def cofactors(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The derivative of det by each element: also of singular matrices, where it is finite.

    det times the transposed inverse; of badly conditioned matrices products of the other singular
    values instead, which lose nothing.
    """
    n = x.shape[-1]
    if not x.size:
        return np.zeros_like(x)
    determinants = np.asarray(determinant(factors, n))[..., None, None]
    inverses = lu_inverse(x, factors, "")
    result = determinants * np.swapaxes(inverses, -1, -2)
    condition = np.linalg.norm(x, 1, (-2, -1)) * np.linalg.norm(inverses, 1, (-2, -1))
    bad = ~(condition < 1e-3 / eps_of(x))
    if np.any(bad):
        u, s, vh = np.linalg.svd(x[bad])
        others = np.repeat(s[..., None, :], n, -2)
        others[..., np.arange(n), np.arange(n)] = 1
        phase = np.linalg.det(u) * np.linalg.det(vh)
        size = np.prod(others, -1) * phase[..., None]
        result[bad] = np.conjugate(u) * size[..., None, :] @ np.conjugate(vh)
    return result.astype(x.dtype, copy=False)


# ---------------------------------------------------------------- equal values


def turned(values: np.ndarray, *vectors: np.ndarray) -> None:
    """Turn columns that belong to equal values (8 n eps of the largest) among themselves.

    In place, by a rotation drawn once for each number of columns.  LAPACK's basis of an eigenspace
    is often a special one (that of the identity is the identity), in which a loss may seem not to
    depend on the choice; in this one it does not by chance (`matrices.over_gaps`).
    """
    n = values.shape[-1]
    limit = np.max(np.abs(values), -1, initial=0, keepdims=True) * (8 * n * eps_of(vectors[0]))
    equal = np.abs(np.diff(values)) <= limit
    for i in np.argwhere(equal & ~np.pad(equal, [(0, 0)] * (equal.ndim - 1) + [(1, 0)])[..., :-1]):
        *place, begin = i
        run = equal[(*place, slice(begin, None))]
        length = 1 + (len(run) if run.all() else int(np.argmin(run)))
        block = (*place, slice(None), slice(begin, begin + length))
        for x in vectors:
            x[block] = x[block] @ _rotation(length, x.dtype.kind == "c").astype(x.dtype)


@functools.lru_cache(64)
def _rotation(n, is_complex):
    random = np.random.default_rng(n)
    x = random.normal(size=(n, n)) + (1j * random.normal(size=(n, n)) if is_complex else 0)
    return np.linalg.qr(x)[0]
