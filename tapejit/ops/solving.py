"""Linear systems and what solves them: Cholesky, LU, triangular matrices, inverses, determinants.

Values are LAPACK's (`lapack`).  The one idea: a matrix is factorised once.  `lu_solve`, `det` and
`slogdet` take the matrix and what `lu` gave for it; their slopes belong to the matrix, none goes to
the factors, and their rules solve with the same factors again.

A slope in the direction of a matrix that must be Hermitian (`cholesky`) is that of its Hermitian
part, as in PyTorch.  Here are no shapes of users: the front door has broadcast vectors to
matrices of one column.
"""

from __future__ import annotations

from tapejit import dtypes
from tapejit.errors import ShapeError
from tapejit.families import operation
from tapejit.ops import lapack
from tapejit.ops.arithmetic import abs_
from tapejit.ops.comparison import eq
from tapejit.ops.complexes import conjugate, imag, real
from tapejit.ops.copies import cast
from tapejit.ops.exponential import log
from tapejit.ops.indexing import gather
from tapejit.ops.linear import matmul, swap
from tapejit.ops.loops import factorizations
from tapejit.ops.matrices import (
    adjoint,
    column,
    diagonal_of,
    hermitian,
    lower,
    on_diagonal,
    pack,
    part,
    upper,
    zeros_like,
)
from tapejit.ops.movement import cat, expand, iota, reshape, slice_
from tapejit.ops.reductions import prod, sum_
from tapejit.ops.selection import where
from tapejit.registry import Loop, Probe
from tapejit.shapes import aval, broadcast

FLOATS = ("float64", "float32", "complex128")
"""Dtypes that LAPACK takes, and complex64."""


def scalar(x):
    """A number of each matrix as a matrix of one element."""
    return reshape(x, shape=(*x.shape, 1, 1))


# ---------------------------------------------------------------- Cholesky


def half_lower(x):
    """The lower triangle with half of the diagonal."""
    return where(on_diagonal(x), 0.5 * x, lower(x))


def _cholesky_jvp(tangents, x, y):
    inner = solve_with(y, hermitian(tangents[0]))
    inner = adjoint(solve_with(y, adjoint(inner)))
    return matmul(y, half_lower(inner))


def solve_with(factor, b, of_adjoint: bool = False):
    """b multiplied from the left by the inverse of a lower triangular matrix, or its adjoint's."""
    return solve_triangular(factor, b, upper=False, adjoint=of_adjoint, unit=False)


cholesky = operation(
    "cholesky",
    "linalg",
    summary="The lower triangular L with L L^H = x, of Hermitian positive-definite matrices.",
    infer=lambda avals: avals[0],
    evaluate=lapack.cholesky,
    loop=factorizations.loop(factorizations.cholesky_work, has_status=True),
    vjp=lambda gy, x, y: (cholesky_slope(y, gy),),
    jvp=_cholesky_jvp,
    complex=True,
    grad_name="LinalgCholeskyExBackward0",
    note="Only the lower triangle is read; the gradient is Hermitian, as in PyTorch.",
    source="Murray 2016, Differentiation of the Cholesky decomposition",
    probe=Probe(shapes=((("spd", (3, 3)),), (("spd", (2, 3, 3)),)), dtypes=FLOATS),
)


cholesky_info = operation(
    "cholesky_info",
    "linalg",
    summary="0, or the order of the first minor that is not positive.",
    infer=lambda avals: aval(avals[0].shape[:-2], dtypes.int32),
    evaluate=lambda x: lapack.cholesky_info(x)[1],
    complex=True,
    probe=Probe(shapes=((("spd", (3, 3)),), ((2, 3, 3),)), dtypes=FLOATS),
)


def _by_both(factor, x):
    """L^-H x L^-1."""
    left = solve_with(factor, x, True)
    return adjoint(solve_with(factor, adjoint(left), True))


def _slope_vjp(gy, factor, gl, y):
    g = hermitian(gy)
    half = solve_with(factor, g)
    w = half_lower(adjoint(solve_with(factor, adjoint(half))))
    of_factor = matmul(gl, adjoint(w)) - 2.0 * matmul(y, adjoint(solve_with(factor, adjoint(g))))
    return lower(of_factor), lower(matmul(factor, w))


def _slope_jvp(tangents, factor, gl, y):
    tfactor, tgl = tangents
    result = None if tgl is None else cholesky_slope(factor, tgl)
    if tfactor is not None:
        tfactor = lower(tfactor)
        middle = hermitian(half_lower(matmul(adjoint(tfactor), lower(gl))))
        turned = adjoint(solve_with(factor, adjoint(matmul(y, tfactor)), True))
        change = _by_both(factor, middle) - turned - adjoint(turned)
        result = change if result is None else result + change
    return result


cholesky_slope = operation(
    "cholesky_slope",
    "linalg",
    summary="The cotangent of a matrix from that of its Cholesky factor: L^-H phi(L^H gy) L^-1.",
    infer=lambda avals: avals[0],
    evaluate=lapack.cholesky_slope,
    loop=factorizations.loop(factorizations.slope_work),
    vjp=_slope_vjp,
    jvp=_slope_jvp,
    complex=True,
    rule="promote",
    source="Murray 2016, Differentiation of the Cholesky decomposition, 3.2",
    probe=Probe(shapes=((("lower", (3, 3)), ("lower", (3, 3))),), dtypes=FLOATS, tolerance=1e-5),
)

# ---------------------------------------------------------------- triangular matrices


def _infer_solve(avals, **attrs):
    a, b = avals[0], avals[-1]
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"linalg: Incompatible shapes of A and B for the equation AX = B "
            f"({a.shape[-2]}x{a.shape[-1]} and {b.shape[-2]}x{b.shape[-1]})"
        )
    batch = broadcast("linalg.solve", a.shape[:-2], b.shape[:-2])
    return aval((*batch, *b.shape[-2:]), b.dtype)


def _matrix_slope(gb, y, is_adjoint):
    """The cotangent of a from that of b, where a y = b, or a^H y = b."""
    return -matmul(y, adjoint(gb)) if is_adjoint else -matmul(gb, adjoint(y))


def _right_side(ta, tb, y, is_adjoint):
    """tb - ta y, for which the tangent of y solves; None stands for zero."""
    if ta is None:
        return tb
    change = -matmul(adjoint(ta) if is_adjoint else ta, y)
    return change if tb is None else tb + change


def _kept(x, is_upper, unit):
    """The elements that a solve with one triangle reads."""
    return upper(x, int(unit)) if is_upper else lower(x, -int(unit))


def _triangular_vjp(gy, a, b, y, **attrs):
    is_upper, is_adjoint, unit = attrs["upper"], attrs["adjoint"], attrs["unit"]
    gb = solve_triangular(a, gy, upper=is_upper, adjoint=not is_adjoint, unit=unit)
    return _kept(_matrix_slope(gb, y, is_adjoint), is_upper, unit), gb


def _triangular_jvp(tangents, a, b, y, **attrs):
    ta, tb = tangents
    if ta is not None:
        ta = _kept(ta, attrs["upper"], attrs["unit"])
    return solve_triangular(a, _right_side(ta, tb, y, attrs["adjoint"]), **attrs)


solve_triangular = operation(
    "solve_triangular",
    "linalg",
    summary="x with a x = b, or a^H x = b, of triangular matrices a.",
    infer=_infer_solve,
    evaluate=lapack.solve_triangular,
    loop=factorizations.loop(factorizations.triangular_work),
    attributes=("upper", "adjoint", "unit"),
    vjp=_triangular_vjp,
    jvp=_triangular_jvp,
    complex=True,
    rule="promote",
    grad_name="LinalgSolveTriangularBackward0",
    note="The other triangle is not read; a zero on the diagonal gives inf or NaN, as in PyTorch.",
    probe=Probe(
        shapes=((("spd", (3, 3)), (3, 2)), (("spd", (2, 3, 3)), (3, 1))),
        attrs=(
            {"upper": True, "adjoint": False, "unit": False},
            {"upper": False, "adjoint": True, "unit": True},
            {"upper": True, "adjoint": True, "unit": False},
        ),
        dtypes=FLOATS,
    ),
)

# ---------------------------------------------------------------- LU


def _infer_lu(avals):
    (x,) = avals
    m, n = x.shape[-2:]
    return aval((*x.shape[:-2], m * n + min(m, n)), x.dtype)


def lu_parts(packed, m: int, n: int):
    """(L and U in one matrix, pivots) of a packed LU."""
    return swap(part(packed, 0, (n, m))), part(packed, m * n, (min(m, n),))


def _block(x, rows, columns):
    starts = (0,) * (x.ndim - 2) + (rows[0], columns[0])
    lengths = (*x.shape[:-2], rows[1] - rows[0], columns[1] - columns[0])
    return slice_(x, starts=starts, lengths=lengths, steps=(1,) * x.ndim)


def _rows_moved(x, order):
    """x[order[i]] as row i."""
    places = expand(column(order), shape=(*order.shape, x.shape[-1]))
    return gather(x, places, axis=x.ndim - 2)


def _ordered(pivots, m):
    """Where each row of P^T x comes from, and where each one went."""
    order = lu_permutation(pivots, m=m, inverse=False)
    return order, lu_permutation(pivots, m=m, inverse=True)


def _unit_solve(factors, b, of_adjoint=False):
    return solve_triangular(factors, b, upper=False, adjoint=of_adjoint, unit=True)


def _upper_solve(factors, b, of_adjoint=False):
    return solve_triangular(factors, b, upper=True, adjoint=of_adjoint, unit=False)


def _from_right(solve, factors, b, of_adjoint=False):
    """b multiplied from the right by the inverse of a triangle, or its adjoint's."""
    return adjoint(solve(factors, adjoint(b), not of_adjoint))


def _lu_vjp(gy, x, y):
    m, n = x.shape[-2:]
    k = min(m, n)
    factors, pivots = lu_parts(y, m, n)
    g, _ = lu_parts(gy, m, n)
    square = _block(factors, (0, k), (0, k))
    gl, gu = (_block(g, (0, k), (0, k)),) * 2
    rest = None
    if m > k:  # the rows below: L2 = B2 U^-1
        below = _block(factors, (k, m), (0, k))
        rest = _from_right(_upper_solve, square, _block(g, (k, m), (0, k)), True)
        gu = gu - matmul(adjoint(below), rest)
    elif n > k:  # the columns behind: U2 = L^-1 B2
        behind = _block(factors, (0, k), (k, n))
        rest = _unit_solve(square, _block(g, (0, k), (k, n)), True)
        gl = gl - matmul(rest, adjoint(behind))
    unit_lower = with_ones(lower(square, -1))
    inner = lower(matmul(adjoint(unit_lower), lower(gl, -1)), -1) + upper(
        matmul(upper(gu), adjoint(upper(square)))
    )
    result = _from_right(_upper_solve, square, _unit_solve(square, inner, True), True)
    if rest is not None:
        result = cat(result, rest, axis=x.ndim - 2 if m > k else x.ndim - 1)
    return (_rows_moved(result, _ordered(pivots, m)[1]),)


def with_ones(x):
    """A matrix with ones on its diagonal."""
    return where(on_diagonal(x), 1.0, x)


def _lu_jvp(tangents, x, y):
    m, n = x.shape[-2:]
    k = min(m, n)
    factors, pivots = lu_parts(y, m, n)
    t = _rows_moved(tangents[0], _ordered(pivots, m)[0])
    square = _block(factors, (0, k), (0, k))
    inner = _unit_solve(square, _block(t, (0, k), (0, k)))
    inner = _from_right(_upper_solve, square, inner)
    tl = matmul(with_ones(lower(square, -1)), lower(inner, -1))
    tu = matmul(upper(inner), upper(square))
    result = tl + tu
    if m > k:
        below = _block(factors, (k, m), (0, k))
        change = _block(t, (k, m), (0, k)) - matmul(below, tu)
        result = cat(result, _from_right(_upper_solve, square, change), axis=x.ndim - 2)
    elif n > k:
        behind = _block(factors, (0, k), (k, n))
        change = _block(t, (0, k), (k, n)) - matmul(tl, behind)
        result = cat(result, _unit_solve(square, change), axis=x.ndim - 1)
    return pack((swap(result), 2), (zeros_like(pivots), 1))


lu = operation(
    "lu",
    "linalg",
    summary="LU with partial pivoting: the factors column by column, then pivots from 1; packed.",
    infer=_infer_lu,
    evaluate=lapack.lu,
    loop=factorizations.loop(factorizations.lu_work),
    vjp=_lu_vjp,
    jvp=_lu_jvp,
    complex=True,
    grad_name="LinalgLuFactorExBackward0",
    note="The slope is that for the same order of rows.",
    probe=Probe(
        shapes=(((3, 3),), ((2, 3, 3),), ((4, 2),), ((2, 4),)), dtypes=FLOATS, tolerance=1e-5
    ),
)
lu_permutation = operation(
    "lu_permutation",
    "linalg",
    summary="The order of rows that pivots of LU stand for, or where each row went.",
    infer=lambda avals, m, inverse: aval((*avals[0].shape[:-1], m), dtypes.int64),
    evaluate=lambda pivots, m, inverse: (
        lapack.inverse_permutation if inverse else lambda order: order
    )(lapack.permutation(pivots, m)),
    attributes=("m", "inverse"),
    loop=Loop(factorizations.permutation_work),
    complex=True,
    probe=Probe(
        shapes=((("pivots", (3,)),), (("pivots", (2, 3)),)),
        attrs=({"m": 4, "inverse": False}, {"m": 4, "inverse": True}),
        dtypes=FLOATS,
    ),
)


def _solve_vjp(gy, a, factors, b, y, **attrs):
    gb = lu_solve(a, factors, gy, adjoint=not attrs["adjoint"], name="")
    return _matrix_slope(gb, y, attrs["adjoint"]), None, gb


def _solve_jvp(tangents, a, factors, b, y, **attrs):
    ta, _, tb = tangents
    change = _right_side(ta, tb, y, attrs["adjoint"])
    return None if change is None else lu_solve(a, factors, change, **attrs)


SOLVED = (
    (("regular", (3, 3)), ("lu", (12,)), (3, 2)),
    (("regular", (2, 3, 3)), ("lu", (2, 12)), (3, 1)),
)
"""Probes: a matrix, what lu gives for it, right-hand sides."""

lu_solve = operation(
    "lu_solve",
    "linalg",
    summary="x with a x = b, or a^H x = b, by what lu gave for a.",
    infer=_infer_solve,
    evaluate=lapack.lu_solve,
    loop=factorizations.loop(factorizations.solve_work, has_status=True),
    attributes=("adjoint", "name"),
    vjp=_solve_vjp,
    jvp=_solve_jvp,
    complex=True,
    rule="promote",
    grad_name="LinalgSolveExBackward0",
    note="The slope belongs to a; none goes to its factors.  A singular matrix raises LinAlgError.",
    probe=Probe(
        shapes=SOLVED,
        attrs=({"adjoint": False, "name": ""}, {"adjoint": True, "name": "solve"}),
        dtypes=FLOATS,
        tolerance=1e-5,
    ),
)


def _around(y, g):
    """-y g y: how an inverse y changes where its matrix changes by g."""
    return -matmul(matmul(y, g), y)


inv = operation(
    "inv",
    "linalg",
    summary="The inverse of square matrices.",
    infer=lambda avals: avals[0],
    evaluate=lapack.inverse,
    loop=factorizations.loop(factorizations.inverse_work, has_status=True),
    vjp=lambda gy, x, y: (_around(adjoint(y), gy),),
    jvp=lambda tangents, x, y: _around(y, tangents[0]),
    complex=True,
    grad_name="LinalgInvExBackward0",
    note="A singular matrix raises LinAlgError.",
    probe=Probe(
        shapes=((("regular", (3, 3)),), (("regular", (2, 3, 3)),)), dtypes=FLOATS, tolerance=1e-5
    ),
)


def _lu_inverse_jvp(tangents, a, factors, y, name):
    return None if tangents[0] is None else _around(y, tangents[0])


lu_inverse = operation(
    "lu_inverse",
    "linalg",
    summary="The inverse of a, by what lu gave for it.",
    infer=lambda avals, name: avals[0],
    evaluate=lapack.lu_inverse,
    loop=factorizations.loop(factorizations.lu_inverse_work, has_status=True),
    attributes=("name",),
    vjp=lambda gy, a, factors, y, name: (_around(adjoint(y), gy), None),
    jvp=_lu_inverse_jvp,
    complex=True,
    rule="promote",
    grad_name="LinalgInvExBackward0",
    note="The slope belongs to a; none goes to its factors.",
    probe=Probe(
        shapes=tuple(shapes[:2] for shapes in SOLVED),
        attrs=({"name": "inverse"},),
        dtypes=FLOATS,
        tolerance=1e-5,
    ),
)

# ---------------------------------------------------------------- determinants


def _pivots(factors, n):
    """The diagonal of U, and for each of its elements 1, or -1 where it came from another row."""
    starts, ones = (0,) * (factors.ndim - 1), (1,) * (factors.ndim - 1)
    lengths, axis = (*factors.shape[:-1], n), factors.ndim - 1
    diagonal = slice_(factors, starts=(*starts, 0), lengths=lengths, steps=(*ones, n + 1))
    rows = slice_(factors, starts=(*starts, n * n), lengths=lengths, steps=(*ones, 1))
    own = cast(iota(rows, shape=lengths, axis=axis), dtype=rows.dtype.name) + 1.0
    return diagonal, cast(where(eq(rows, own), 1.0, -1.0), dtype=rows.dtype.name)


def _product(x):
    return prod(x, axes=(x.ndim - 1,), keepdim=False)


def _determinant(a, factors):
    diagonal, turns = _pivots(factors, a.shape[-1])
    return _product(diagonal * turns)


def _sign_and_log(a, factors):
    diagonal, turns = _pivots(factors, a.shape[-1])
    size = abs_(diagonal)
    is_zero = eq(size, 0.0)
    signs = where(is_zero, 0.0, diagonal / where(is_zero, 1.0, size))
    sign = _product(cast(signs, dtype=a.dtype.name) * turns)
    logs = sum_(log(size), axes=(size.ndim - 1,), keepdim=False)
    return pack((sign, 0), (cast(logs, dtype=a.dtype.name), 0))


def _infer_number(avals):
    return aval(avals[0].shape[:-2], avals[0].dtype)


def _det_jvp(tangents, a, factors, y):
    if tangents[0] is None:
        return None
    return sum_(tangents[0] * cofactors(a, factors), axes=(a.ndim - 2, a.ndim - 1), keepdim=False)


det = operation(
    "det",
    "linalg",
    summary="The determinant of square matrices, by what lu gave.",
    infer=_infer_number,
    evaluate=lambda a, factors: lapack.determinant(factors, a.shape[-1]),
    decompose=_determinant,
    vjp=lambda gy, a, factors, y: (scalar(gy) * conjugate(cofactors(a, factors)), None),
    jvp=_det_jvp,
    complex=True,
    rule="promote",
    grad_name="LinalgDetBackward0",
    note="The gradient is the cofactors, finite and right of singular matrices too.",
    probe=Probe(shapes=tuple(shapes[:2] for shapes in SOLVED), dtypes=FLOATS, tolerance=1e-5),
)


def _inverse_of(a, factors):
    return lu_inverse(a, factors, name="det, second derivative")


def _cofactors_vjp(gy, a, factors, y):
    # y = det(a) a^-T, and d(a^-T) = -a^-T da^T a^-T
    turned = swap(_inverse_of(a, factors))
    along = scalar(sum_(gy * conjugate(y), axes=(a.ndim - 2, a.ndim - 1), keepdim=False))
    back = matmul(matmul(conjugate(turned), swap(gy)), conjugate(y))
    return along * conjugate(turned) - back, None


def _cofactors_jvp(tangents, a, factors, y):
    if tangents[0] is None:
        return None
    turned = swap(_inverse_of(a, factors))
    along = sum_(tangents[0] * turned, axes=(a.ndim - 2, a.ndim - 1), keepdim=False)
    return scalar(along) * y - matmul(matmul(turned, swap(tangents[0])), y)


cofactors = operation(
    "cofactors",
    "linalg",
    summary="The derivative of det by each element, by what lu gave.",
    infer=lambda avals: avals[0],
    evaluate=lapack.cofactors,
    loop=factorizations.loop(factorizations.cofactors_work, has_status=True),
    vjp=_cofactors_vjp,
    jvp=_cofactors_jvp,
    complex=True,
    rule="promote",
    note="Finite of singular matrices; its own slope raises LinAlgError there.",
    probe=Probe(shapes=tuple(shapes[:2] for shapes in SOLVED), dtypes=FLOATS, tolerance=1e-4),
)


def _infer_slogdet(avals):
    return aval((*avals[0].shape[:-2], 2), avals[0].dtype)


def _slogdet_vjp(gy, a, factors, y):
    g = real(part(gy, 1, ()))
    if a.dtype.is_complex:
        turn = imag(conjugate(part(gy, 0, ())) * part(y, 0, ()))
        g = g - 1j * turn
    return scalar(g) * adjoint(lu_inverse(a, factors, name="")), None


def _slogdet_jvp(tangents, a, factors, y):
    if tangents[0] is None:
        return None
    t = diagonal_of(lu_solve(a, factors, tangents[0], adjoint=False, name=""))
    t = sum_(t, axes=(t.ndim - 1,), keepdim=False)
    sign = part(y, 0, ())
    tsign = 1j * imag(t) * sign if a.dtype.is_complex else zeros_like(sign)
    size = real(t)
    if a.dtype.is_complex:
        size = cast(size, dtype=a.dtype.name)
    return pack((tsign, 0), (size, 0))


slogdet = operation(
    "slogdet",
    "linalg",
    summary="(sign, log |det|) of square matrices along a last axis, by what lu gave.",
    infer=_infer_slogdet,
    evaluate=lambda a, factors: lapack.sign_and_log(factors, a.shape[-1]),
    decompose=_sign_and_log,
    vjp=_slogdet_vjp,
    jvp=_slogdet_jvp,
    complex=True,
    rule="promote",
    grad_name="LinalgSlogdetBackward0",
    note="Of a singular matrix (0, -inf), with a gradient that is not finite, as in PyTorch.",
    probe=Probe(shapes=tuple(shapes[:2] for shapes in SOLVED), dtypes=FLOATS, tolerance=1e-5),
)
