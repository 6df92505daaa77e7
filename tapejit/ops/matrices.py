"""What rules of matrix operations share: adjoints, triangles, diagonals, parts of packed results.

Everything works on Refs whose last two axes are matrices.  An operation with several results
returns them packed: each one's matrices flattened, behind each other along one last axis; `part`
takes one out again.

`refuse` is a row that lets its first operand pass, or raises: how a rule that holds only under a
condition on values says so, compiled or not.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.families import operation
from tapejit.ops.comparison import eq, gt, le, logical_and, logical_not, logical_or
from tapejit.ops.complexes import conjugate
from tapejit.ops.copies import cast
from tapejit.ops.linear import swap
from tapejit.ops.movement import cat, iota, reshape, slice_
from tapejit.ops.reductions import amax, sum_
from tapejit.ops.selection import where
from tapejit.registry import Loop, Probe, Work

# ---------------------------------------------------------------- parts of packed results


def part(x, start: int, shape: tuple[int, ...]):
    """The part of a packed Ref that begins at `start` and has `shape`, batch axes apart."""
    batch, length = x.shape[:-1], math.prod(shape)
    taken = slice_(
        x, starts=(0,) * len(batch) + (start,), lengths=(*batch, length), steps=(1,) * x.ndim
    )
    return reshape(taken, shape=(*batch, *shape))


def pack(*parts):
    """The Refs of parts, whose first axes are those of a batch, as one packed Ref.

    Each comes with the number of its own axes: (x, 2), (s, 1)
    """
    flat = []
    for x, ndim in parts:
        batch = x.shape[: x.ndim - ndim]
        flat.append(reshape(x, shape=(*batch, math.prod(x.shape[x.ndim - ndim :]))))
    return cat(*flat, axis=flat[0].ndim - 1)


# ---------------------------------------------------------------- triangles and diagonals


def adjoint(x):
    """The conjugate transpose."""
    return conjugate(swap(x))


def zeros_like(x):
    """A Ref of zeros."""
    return x.builder.literal(0, x.aval)


def on_diagonal(x):
    """Which elements of a matrix lie on its diagonal."""
    shape = x.shape[-2:]
    return eq(iota(x, shape=shape, axis=0), iota(x, shape=shape, axis=1))


def lower(x, k: int = 0):
    """The elements on and below the k-th diagonal, 0 elsewhere (k is 0 or -1)."""
    rows, columns = (iota(x, shape=x.shape[-2:], axis=axis) for axis in (0, 1))
    return where(le(columns, rows) if k == 0 else gt(rows, columns), x, 0.0)


def upper(x, k: int = 0):
    """The elements on and above the k-th diagonal, 0 elsewhere (k is 0 or 1)."""
    rows, columns = (iota(x, shape=x.shape[-2:], axis=axis) for axis in (0, 1))
    return where(le(rows, columns) if k == 0 else gt(columns, rows), x, 0.0)


def diagonal_of(x):
    """The diagonal of a square matrix."""
    return sum_(where(on_diagonal(x), x, 0.0), axes=(x.ndim - 1,), keepdim=False)


def column(x):
    """A vector as a matrix of one column."""
    return reshape(x, shape=(*x.shape, 1))


def row(x):
    """A vector as a matrix of one row."""
    return reshape(x, shape=(*x.shape[:-1], 1, x.shape[-1]))


def with_diagonal(x, diagonal):
    """A square matrix with another diagonal."""
    return where(on_diagonal(x), row(diagonal), x)


def hermitian(x):
    """The Hermitian part, which is the symmetric one of real matrices."""
    return 0.5 * (x + adjoint(x))


def skew(x):
    """What the Hermitian part leaves."""
    return 0.5 * (x - adjoint(x))


def rounding(x) -> float:
    """n eps of a matrix."""
    return max(x.shape[-2:]) * float(np.finfo(x.dtype.dtype).eps)


def half_digits(x) -> float:
    """The root of eps: what is below is rounding, what is above is not."""
    return math.sqrt(float(np.finfo(x.dtype.dtype).eps))


def in_dtype_of(x, y):
    """A real Ref in the dtype of y."""
    return cast(x, dtype=y.dtype.name) if x.dtype is not y.dtype else x


def corner(x, shape):
    """The first rows and columns of a matrix."""
    lengths = (*x.shape[:-2], *shape)
    return slice_(x, starts=(0,) * x.ndim, lengths=lengths, steps=(1,) * x.ndim)


def as_vector(x):
    """A matrix of one element as a vector of one."""
    return sum_(x, axes=(x.ndim - 1,), keepdim=False)


# ---------------------------------------------------------------- conditions on values


def _run_refuse(x, bad, worse, words):
    if np.any(bad):
        raise NotDifferentiable(words)
    return np.array(x)


def _refuse_tangent(t, worse, words):
    return refuse(t, worse, worse, words=words)


def _refuse_work(operands, result, words):
    units = math.prod(result.shape)
    return Work("", (math.prod(operands[1].shape),), units, 1.0 * units)


refuse = operation(
    "refuse",
    "check",
    summary="The first operand as it is; an error if the second is true anywhere.",
    infer=lambda avals, words: avals[0],
    evaluate=_run_refuse,
    loop=Loop(lambda operands, result, words: None, device=_refuse_work, has_status=True),
    attributes=("words",),
    vjp=lambda gy, x, bad, worse, y, words: (_refuse_tangent(gy, worse, words), None, None),
    jvp=lambda tangents, x, bad, worse, y, words: _refuse_tangent(tangents[0], worse, words),
    complex=True,
    note="Its slope is refused where the third operand is true.",
    probe=Probe(
        shapes=(((2, 3), ("false", (3,)), ("false", (3,))),),
        attrs=({"words": "not true of any probe"},),
        dtypes=("float64", "complex128"),
    ),
)


def largest(x):
    """The largest size of an element of each matrix, as a matrix of one element."""
    return amax(abs(x), axes=(x.ndim - 2, x.ndim - 1), keepdim=True)


DEGENERATE = (
    "{name}: the gradient of the {what} is not defined, because {values} are equal (within "
    "rounding) and the loss depends on which of their {what} are chosen\n"
    "  try  a loss that does not, or one of the {values} alone"
)
PHASE = (
    "{name}: The {what} in the complex case are specified up to multiplication by e^(i phi). The "
    "specified loss function depends on this quantity, so it is ill-defined."
)


def over_gaps(x, values, scale, words: str, gvalues=None):
    """x[i, j] / (values[j] - values[i]) off the diagonal; 0 on it and where values are equal.

    Equal means: their gap is at most 8 n eps of the largest.  The quotient is refused unless x is
    0 there (against `scale`) and the cotangents `gvalues` of equal values are equal; without those
    it is refused in any case, and so is its slope: they need how the values part.

    Why that is enough.  Vectors of equal values are a basis that `lapack` turned at random.  A loss
    whose change by a further turn is 0 there, and whose slopes by the equal values are equal there,
    is so for every basis, and has this gradient.  In a special basis that could be an accident:
    log(A)[0, 1] at A = 1 has both slopes 0 in the basis 1, and the gradient is not 0.
    """
    n = x.shape[-1]
    if n < 2 or 0 in x.shape:
        return zeros_like(x)
    eps = float(np.finfo(x.dtype.dtype).eps)
    gaps, is_equal, near = _gaps(x, values)
    bad = near
    if gvalues is not None:
        apart = abs(row(gvalues) - column(gvalues))
        unequal = gt(apart, largest(row(gvalues)) * math.sqrt(eps))
        turns = gt(abs(x), scale * math.sqrt(eps))
        bad = logical_and(near, logical_or(unequal, turns))
    quotient = where(is_equal, 0.0, x / where(is_equal, 1.0, gaps))
    return refuse(quotient, bad, near, words=words)


def _gaps(x, values):
    """values[j] - values[i]; where they are equal; and where they are off the diagonal."""
    rounding = x.shape[-1] * float(np.finfo(x.dtype.dtype).eps)
    gaps = row(values) - column(values)
    is_equal = le(abs(gaps), largest(row(values)) * (8 * rounding))
    return gaps, is_equal, logical_and(is_equal, logical_not(on_diagonal(gaps)))


def held(vectors, values, words: str):
    """Vectors for the rule of their values alone: their own slope is refused at equal values.

    `over_gaps` cannot judge a loss whose values come from another row.
    """
    if 0 in vectors.shape or values.shape[-1] < 2:
        return vectors
    near = _gaps(vectors, values)[2]
    return refuse(vectors, logical_and(near, logical_not(near)), near, words=words)
