"""Operations on matrices by others that a GPU's libraries have, before a program is scheduled.

    cholesky_slope  triangular solves and products, where those are a library's
    cofactors       of complex matrices, which must be regular: det times the inverse, transposed
    pinv, lstsq     singular values, or eigenvalues of Hermitian matrices
    matrix_exp      Pade approximants of products and a solve, then squarings
    solves          one of many matrices has batch axes of its own: they are spread out

Start at `form_of`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tapejit.ops.arithmetic import abs_
from tapejit.ops.comparison import gt
from tapejit.ops.complexes import real_of
from tapejit.ops.copies import cast
from tapejit.ops.exponential import exp2, log2
from tapejit.ops.linear import matmul, swap
from tapejit.ops.matrices import (
    adjoint,
    as_vector,
    hermitian,
    in_dtype_of,
    largest,
    lower,
    on_diagonal,
    pack,
    row,
)
from tapejit.ops.movement import expand
from tapejit.ops.reductions import amax, sum_
from tapejit.ops.rounding import ceil
from tapejit.ops.selection import maximum, where
from tapejit.ops.solving import det, half_lower, lu, lu_inverse, lu_solve, scalar, solve_with
from tapejit.ops.spectra import eigh, eigh_parts, svd, svd_parts
from tapejit.registry import Kind
from tapejit.runtime.cuda.libraries import factorizations
from tapejit.schedule.loops import row_major
from tapejit.shapes import Aval


def form_of(
    kind: Kind, operands: Sequence[Aval], has_solver: Callable[[], bool]
) -> Callable | None:
    """(kind, *operands) -> the result; None for what stays as it is.

    has_solver  whether there are libraries; asked where it matters, since that starts them
    """
    name = kind.op.name
    if name in BY_LIBRARIES and operands[0].dtype.is_complex:
        return BY_LIBRARIES[name]
    if name == "cholesky_slope" and factorizations.pays(list(map(row_major, operands))):
        return _cholesky_slope if has_solver() else None
    if name in SOLVES and not _is_spread(kind, operands):
        return _spread
    return ALWAYS.get(name)


# ---------------------------------------------------------------- by libraries


def _cholesky_slope(kind, factor, gy):
    """L^-H (phi + phi^H) L^-1 / 2, phi = lower(L^H gy) with half of the diagonal."""
    middle = hermitian(half_lower(matmul(adjoint(lower(factor)), lower(gy))))
    left = solve_with(factor, middle, True)
    return adjoint(solve_with(factor, adjoint(left), True))


def _cofactors(kind, a, factors):
    assert det.decompose is not None
    inverse = lu_inverse(a, factors, name="det, gradient")
    return scalar(det.decompose(a, factors)) * swap(inverse)


BY_LIBRARIES = {"cholesky_slope": _cholesky_slope, "cofactors": _cofactors}

# ---------------------------------------------------------------- batches

SOLVES = {"lu_solve": (2, 1, 2), "solve_triangular": (2, 2)}
"""How many axes of each operand are those of one matrix, or of what lu gave for it."""


def _is_spread(kind: Kind, operands: Sequence[Aval]) -> bool:
    """Whether each operand is one for all matrices of the batch, or one for each."""
    whole, own = kind.aval.shape[:-2], SOLVES[kind.op.name]
    batches = [x.shape[: x.ndim - n] for x, n in zip(operands, own, strict=True)]
    return all(batch == whole or math.prod(batch) == 1 for batch in batches)


def _spread(kind, *operands):
    """Each operand once for each matrix."""
    whole = kind.aval.shape[:-2]
    shapes = [
        (*whole, *x.shape[x.ndim - own :])
        for x, own in zip(operands, SOLVES[kind.op.name], strict=True)
    ]
    spread = [
        x if x.shape == shape else expand(x, shape=shape)
        for x, shape in zip(operands, shapes, strict=True)
    ]
    return kind.op(*spread, **kind.attributes())


# ---------------------------------------------------------------- pseudo-inverses


def _pinv(kind, x):
    attributes = kind.attributes()
    if attributes["hermitian"]:
        values, left = eigh_parts(eigh(x, turned=False), x.shape[-1])
        values, right = real_of(values), adjoint(left)
    else:
        left, values, right = svd_parts(svd(x, full=False, turned=False), x, False)
        values = real_of(values)
    size = abs_(values)
    limit = maximum(attributes["rtol"] * as_vector(largest(row(size))), attributes["atol"])
    return _inverted(x, left, values, right, gt(size, limit))


def _inverted(x, left, values, right, is_kept):
    """The pseudo-inverse of left values right, of some values."""
    inverse = where(is_kept, 1.0 / where(is_kept, values, 1.0), 0.0)
    return matmul(adjoint(right) * row(in_dtype_of(inverse, x)), adjoint(left))


def _lstsq(kind, a, b):
    """As LAPACK's gelsd: by singular values, of which some count as zero."""
    left, values, right = svd_parts(svd(a, full=False, turned=False), a, False)
    values = real_of(values)
    is_kept = gt(values, kind.attributes()["rcond"] * as_vector(largest(row(values))))
    x = matmul(_inverted(a, left, values, right, is_kept), b)
    rank = sum_(cast(is_kept, dtype=a.dtype.name), axes=(values.ndim - 1,), keepdim=False)
    return pack((x, 2), (rank, 0))


# ---------------------------------------------------------------- the exponential

PADE = {
    "float32": (3.925724783138660, (17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1)),
    "float64": (5.371920351148152, (
        64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800,
        129060195264000, 10559470521600, 670442572800, 33522128640, 1323241920, 40840800,
        960960, 16380, 182, 1,
    )),
}  # fmt: skip
"""The 1-norm up to which an approximant is exact to rounding, and its coefficients: Higham 2005,
The scaling and squaring method for the matrix exponential revisited, table 2.3 and section 3."""

MOST_SQUARINGS = 32
"""Of matrices with a larger norm, some 10^10, the exponential is NaN.  All are done, since how many
it takes is known to the GPU alone; JAX does 16."""


def _matrix_exp(kind, x):
    limit, coefficients = PADE[x.dtype.to_real().name]
    norm = amax(sum_(abs_(x), axes=(x.ndim - 2,), keepdim=True), axes=(x.ndim - 1,), keepdim=True)
    count = maximum(ceil(log2(norm / limit)), 0.0)
    count = where(gt(count, MOST_SQUARINGS), math.nan, count)
    x = x * in_dtype_of(exp2(-count), x)
    odd, even = _approximant(x, coefficients)
    below = even - odd
    y = lu_solve(below, lu(below), even + odd, adjoint=False, name="")
    for k in range(MOST_SQUARINGS):
        y = where(gt(count, k), matmul(y, y), y)
    return y


def _approximant(x, coefficients):
    """Odd and even part of a polynomial of degree 7 or 13, with a product for each square in it."""
    one = where(on_diagonal(x), 1.0, in_dtype_of(0.0 * real_of(x), x))
    squared = matmul(x, x)
    powers = [one, squared]  # even ones
    while len(powers) < 4:
        powers.append(matmul(powers[-1], squared))
    halves = []
    for part in (coefficients[1::2], coefficients[::2]):
        total = _sum_of(part[:4], powers)
        if len(part) > 4:
            total = total + matmul(powers[3], _sum_of(part[4:], powers[1:]))
        halves.append(total)
    return matmul(x, halves[0]), halves[1]


def _sum_of(coefficients, powers):
    terms = [float(c) * power for c, power in zip(coefficients, powers, strict=False)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


ALWAYS = {"pinv": _pinv, "lstsq": _lstsq, "matrix_exp": _matrix_exp}
