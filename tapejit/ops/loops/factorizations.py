"""Cholesky, LU and what is solved with them: one matrix after the other, without LAPACK.

For small matrices, where a call of LAPACK through Python takes ten times what there is to compute,
and for code that cannot call it at all.  A unit is one matrix of a batch.  Loops run along rows, or
along columns of `lu`, whose factors lie column after column.

What LAPACK would refuse sets the status, and `evaluate` says it in words.
"""

from __future__ import annotations

import math

from tapejit.ops.loops.words import sqrt
from tapejit.registry import Loop, Work

SMALL = 24
"""Rows up to which these are faster than LAPACK through SciPy, which takes 10 us before it begins;
at 24 rows a factorisation takes 5."""

# ---------------------------------------------------------------- Cholesky


def cholesky(args, meta, begin, end):
    """L with L L' = x, of the lower triangle."""
    x, y, status = args
    n = meta[0]
    for unit in range(begin, end):
        at = unit * n * n
        for i in range(n):
            row = at + i * n
            for j in range(i + 1):
                other = at + j * n
                rest = x[row + j]
                for k in range(j):
                    rest -= y[row + k] * y[other + k]
                if i == j:
                    if rest > 0:
                        y[row + j] = sqrt(rest)
                    else:
                        status[0] = 1
                        y[row + j] = 1
                else:
                    y[row + j] = rest / y[other + j]
            for j in range(i + 1, n):
                y[row + j] = 0


def cholesky_slope(args, meta, begin, end):
    """The cotangent of x from those of L: Murray 2016, the algorithm of level 2, reversed."""
    factor, g, y = args
    n = meta[0]
    for unit in range(begin, end):
        at = unit * n * n
        for i in range(n):
            for j in range(n):
                y[at + i * n + j] = 0
            for j in range(i + 1):
                y[at + i * n + j] = g[at + i * n + j]
        for back in range(n):
            j = n - 1 - back
            row = at + j * n
            d = factor[row + j]
            total = y[row + j]
            for i in range(j + 1, n):
                total -= factor[at + i * n + j] * y[at + i * n + j] / d
                y[at + i * n + j] = y[at + i * n + j] / d
            total = total / d
            for k in range(j):
                y[row + k] -= total * factor[row + k]
            for i in range(j + 1, n):
                below = y[at + i * n + j]
                for k in range(j):
                    y[row + k] -= below * factor[at + i * n + k]
                    y[at + i * n + k] -= below * factor[row + k]
            y[row + j] = total / 2
        for i in range(n):
            for j in range(i):
                half = y[at + i * n + j] / 2
                y[at + i * n + j] = half
                y[at + j * n + i] = half


# ---------------------------------------------------------------- triangles


def solve_triangular(args, meta, begin, end):
    """y with a y = b, or a' y = b."""
    a, b, y = args
    n, m, a_step, b_step = meta[0], meta[1], meta[2], meta[3]
    turned, unit_diagonal, from_last = meta[4], meta[5], meta[6]
    for unit in range(begin, end):
        here, to = unit * a_step, unit * n * m
        for i in range(n * m):
            y[to + i] = b[unit * b_step + i]
        substitute(a, here, turned, y, to, n, m, from_last, unit_diagonal)


def substitute(a, here, turned, y, to, n, m, from_last, unit_diagonal):
    """y becomes what a triangle gives it; `turned` reads the transpose."""
    down = 1 if turned else n
    right = n if turned else 1
    for turn in range(n):
        i = n - 1 - turn if from_last else turn
        first = i + 1 if from_last else 0
        last = n if from_last else i
        for k in range(first, last):
            weight = a[here + i * down + k * right]
            for j in range(m):
                y[to + i * m + j] -= weight * y[to + k * m + j]
        if not unit_diagonal:
            pivot = a[here + i * n + i]
            for j in range(m):
                y[to + i * m + j] = y[to + i * m + j] / pivot
    return 0


# ---------------------------------------------------------------- LU


def lu(args, meta, begin, end):
    """L and U column after column, then LAPACK's pivots, from 1."""
    x, y = args
    m, n, few = meta[0], meta[1], meta[2]
    for unit in range(begin, end):
        to = unit * (m * n + few)
        for i in range(m):
            for j in range(n):
                y[to + j * m + i] = x[unit * m * n + i * n + j]
        eliminate(y, to, m, n, few, y, to + m * n)


def eliminate(y, to, m, n, few, pivots, pivots_at):
    """Partial pivoting, of columns in memory; a column of zeros is left as it is."""
    for j in range(few):
        place = j
        value = y[to + j * m + j]
        best = value if value > 0 else -value
        for i in range(j + 1, m):
            value = y[to + j * m + i]
            size = value if value > 0 else -value
            place = i if size > best else place
            best = size if size > best else best
        pivots[pivots_at + j] = place + 1
        for c in range(n):
            kept = y[to + c * m + j]
            y[to + c * m + j] = y[to + c * m + place]
            y[to + c * m + place] = kept
        pivot = y[to + j * m + j]
        if pivot != 0:
            for i in range(j + 1, m):
                y[to + j * m + i] = y[to + j * m + i] / pivot
        for c in range(j + 1, n):
            weight = y[to + c * m + j]
            for i in range(j + 1, m):
                y[to + c * m + i] -= y[to + j * m + i] * weight
    return 0


def lu_permutation(args, meta, begin, end):
    """The order of rows that pivots stand for, or where each went."""
    pivots, y = args
    m, few, is_inverse = meta[0], meta[1], meta[2]
    for unit in range(begin, end):
        to = unit * m
        for i in range(m):
            y[to + i] = i
        for turn in range(few):
            j = few - 1 - turn if is_inverse else turn
            other = to + j
            for place in range(m):  # a pivot is a float, and no address
                if pivots[unit * few + j] == place + 1:
                    other = to + place
            kept = y[to + j]
            y[to + j] = y[other]
            y[other] = kept


def lu_solve(args, meta, begin, end):
    """y with a y = b, or a' y = b, by what lu gave."""
    factors, b, y, status = args[1], args[2], args[3], args[4]
    n, m, factors_step, b_step = meta[0], meta[1], meta[2], meta[3]
    turned, is_checked = meta[4], meta[5]
    for unit in range(begin, end):
        here, to = unit * factors_step, unit * n * m
        zeros = zero_pivots(factors, here, n)
        if is_checked and zeros > 0:
            status[0] = 1
        for i in range(n * m):
            y[to + i] = b[unit * b_step + i]
        solve_with(factors, here, y, to, n, m, turned)


def solve_with(factors, here, y, to, n, m, turned):
    """y becomes a^-1 y; the factors lie as the transpose of what `substitute` calls a."""
    if not turned:
        for j in range(n):
            swap_rows(factors, here + n * n, j, y, to, n, m)
    substitute(factors, here, 1 - turned, y, to, n, m, 0, 1 - turned)
    substitute(factors, here, 1 - turned, y, to, n, m, 1, turned)
    if turned:
        for turn in range(n):
            swap_rows(factors, here + n * n, n - 1 - turn, y, to, n, m)
    return 0


def swap_rows(pivots, at, j, y, to, n, m):
    """What pivot j did to the rows."""
    for place in range(n):
        if pivots[at + j] == place + 1:
            for c in range(m):
                kept = y[to + j * m + c]
                y[to + j * m + c] = y[to + place * m + c]
                y[to + place * m + c] = kept
    return 0


def zero_pivots(factors, here, n):
    """How many pivots are zero."""
    count = 0
    for i in range(n):
        if factors[here + i * n + i] == 0:
            count += 1
    return count


def lu_inverse(args, meta, begin, end):
    """The inverse, by what lu gave."""
    factors, y, status = args[1], args[2], args[3]
    n, is_checked = meta[0], meta[1]
    for unit in range(begin, end):
        zeros = zero_pivots(factors, unit * (n * n + n), n)
        if is_checked and zeros > 0:
            status[0] = 1
        place_identity(y, unit * n * n, n)
        solve_with(factors, unit * (n * n + n), y, unit * n * n, n, n, 0)


def cofactors(args, meta, begin, end):
    """det(a) a^-T, by what lu gave; singular matrices have cofactors, but not by this way."""
    factors, y, status = args[1], args[2], args[3]
    n = meta[0]
    for unit in range(begin, end):
        here, to = unit * (n * n + n), unit * n * n
        if zero_pivots(factors, here, n):
            status[0] = 1
        place_identity(y, to, n)
        solve_with(factors, here, y, to, n, n, 1)
        for j in range(n):
            pivot = factors[here + j * n + j]
            row = factors[here + n * n + j]
            factor = -pivot if row != j + 1 else pivot
            for i in range(n * n):
                y[to + i] = y[to + i] * factor


def inverse(args, meta, begin, end):
    """The inverse, with factors of its own."""
    x, y, factors, status = args
    n = meta[0]
    for unit in range(begin, end):
        to, here = unit * n * n, unit * (n * n + n)
        for i in range(n):
            for j in range(n):
                factors[here + j * n + i] = x[to + i * n + j]
        eliminate(factors, here, n, n, n, factors, here + n * n)
        if zero_pivots(factors, here, n):
            status[0] = 1
        place_identity(y, to, n)
        solve_with(factors, here, y, to, n, n, 0)


def place_identity(y, to, n):
    """The identity, n by n."""
    for i in range(n):
        for j in range(n):
            y[to + i * n + j] = 1 if i == j else 0
    return 0


# ---------------------------------------------------------------- their work

NS = 1.5
"""ns of one multiplication with its subtraction, about."""


def _is_real(result):
    return result.dtype.kernel in ("f64", "f32")


def _steps(operand, result, size):
    """Elements from one matrix of a batch to the next; None where they do not lie one way."""
    batch, whole = math.prod(operand.shape[:-2]), math.prod(result.shape[:-2])
    return size if batch == whole else 0 if batch == 1 else None


def cholesky_work(operands, result):
    """cholesky"""
    n = result.shape[-1]
    return Work(cholesky, (n,), *_batch(result, n**3 / 6)) if _is_real(result) else None


def _batch(result, count):
    """(units, ns)"""
    units = math.prod(result.shape[:-2])
    return units, NS * units * (count + 10)


def slope_work(operands, result):
    """cholesky_slope"""
    n = result.shape[-1]
    return Work(cholesky_slope, (n,), *_batch(result, n**3 / 3)) if _is_real(result) else None


def triangular_work(operands, result, upper, adjoint, unit):
    """solve_triangular"""
    (a, b), (n, m) = operands, result.shape[-2:]
    a_step, b_step = _steps(a, result, n * n), _steps(b, result, n * m)
    if not _is_real(result) or a_step is None or b_step is None:
        return None
    meta = (n, m, a_step, b_step, int(adjoint), int(unit), int(upper != adjoint))
    return Work(solve_triangular, meta, *_batch(result, n * n * m / 2))


def lu_work(operands, result):
    """lu"""
    (x,) = operands
    (m, n), few = x.shape[-2:], min(x.shape[-2:])
    if not _is_real(result):
        return None
    units = math.prod(x.shape[:-2])
    return Work(lu, (m, n, few), units, NS * units * (few * m * n / 2 + 10))


def permutation_work(operands, result, m, inverse):
    """lu_permutation"""
    (pivots,) = operands
    few, units = pivots.shape[-1], math.prod(result.shape[:-1])
    if pivots.dtype.kernel not in ("f64", "f32"):
        return None
    return Work(lu_permutation, (m, few, int(inverse)), units, units * few * m * 1.0)


def solve_work(operands, result, adjoint, name):
    """lu_solve"""
    (_, factors, b), (n, m) = operands, result.shape[-2:]
    batch, whole = math.prod(factors.shape[:-1]), math.prod(result.shape[:-2])
    factors_step = factors.shape[-1] if batch == whole else 0 if batch == 1 else None
    b_step = _steps(b, result, n * m)
    if not _is_real(result) or factors_step is None or b_step is None:
        return None
    meta = (n, m, factors_step, b_step, int(adjoint), int(bool(name)))
    return Work(lu_solve, meta, *_batch(result, n * n * m))


def inverse_work(operands, result):
    """inv"""
    n = result.shape[-1]
    if not _is_real(result):
        return None
    units, ns = _batch(result, 1.4 * n**3)
    scratch = ((result.dtype.kernel, units * (n * n + n)),)
    return Work(inverse, (n,), units, ns, scratch)


def lu_inverse_work(operands, result, name):
    """lu_inverse"""
    n = result.shape[-1]
    if not _is_real(result):
        return None
    return Work(lu_inverse, (n, int(bool(name))), *_batch(result, n**3))


def cofactors_work(operands, result):
    """cofactors"""
    n = result.shape[-1]
    return Work(cofactors, (n,), *_batch(result, 2 * n**3)) if _is_real(result) else None


def loop(work, has_status: bool = False) -> Loop:
    """These for small matrices, and for all where there is no LAPACK."""

    def small(operands, result, **attrs):
        is_small = max(operands[0].shape[-2:]) <= SMALL
        return work(operands, result, **attrs) if is_small else None

    return Loop(small, alone=work, has_status=has_status)
