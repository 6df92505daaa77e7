"""Factorizations and what is solved with them on a GPU, a block for each matrix.

The threads of a block share the updates behind each pivot (right-looking); up to SMALL rows a
block is one warp.  What is solved for is shared among blocks by columns.  Steps of a solution are
launches of their own:

    lu_solve    copy, swap rows, two triangles
    inverse     lu, identity, swap rows, two triangles

This is for matrices of some hundred rows, and for batches: one block is a hundredth of a card, and
larger ones are a library's (runtime/cuda/libraries/factorizations.py).  Layouts are those of
ops/loops/factorizations.py: `lu` has columns behind each other, then the pivots, from 1.
"""

from __future__ import annotations

from collections.abc import Callable

from tapejit.codegen.cuda.texts import WARP, Area, Recipe, number_of
from tapejit.codegen.cuda.words import BLOCK, HIGH, WIDE, cuda, index, int64, number
from tapejit.ops.loops.words import sqrt
from tapejit.plan import LoopStep

SMALL = 16

# ---------------------------------------------------------------- factorizations


def factor_cholesky(x, y, status, n, units):
    thread = cuda.threadIdx.x
    across, down = thread % WIDE, thread // WIDE
    for unit in range(cuda.blockIdx.x, units, cuda.gridDim.x):
        at = unit * n * n
        for e in range(thread, n * n, BLOCK):
            value = number(0)
            if e % n <= e // n:
                value = x[at + e]
            y[at + e] = value
        cuda.syncthreads()
        for j in range(n):
            pivot = y[at + j * n + j]
            cuda.syncthreads()
            root = number(1)
            if pivot > 0:
                root = sqrt(pivot)
            else:
                status[0] = 1
            for i in range(j + 1 + thread, n, BLOCK):
                y[at + i * n + j] = y[at + i * n + j] / root
            if thread == 0:
                y[at + j * n + j] = root
            cuda.syncthreads()
            for i in range(j + 1 + down, n, HIGH):
                weight = y[at + i * n + j]
                for k in range(j + 1 + across, i + 1, WIDE):
                    y[at + i * n + k] -= weight * y[at + k * n + j]
            cuda.syncthreads()


def slope_of_cholesky(factor, g, y, n, units):
    """As ops/loops/factorizations.py has it."""
    parts = cuda.shared.array(BLOCK, number)
    thread = cuda.threadIdx.x
    across, down = thread % WIDE, thread // WIDE
    for unit in range(cuda.blockIdx.x, units, cuda.gridDim.x):
        at = unit * n * n
        for e in range(thread, n * n, BLOCK):
            value = number(0)
            if e % n <= e // n:
                value = g[at + e]
            y[at + e] = value
        cuda.syncthreads()
        for back in range(n):
            j = n - 1 - back
            row = at + j * n
            d = factor[row + j]
            part = number(0)
            for i in range(j + 1 + thread, n, BLOCK):
                below = y[at + i * n + j] / d
                part += factor[at + i * n + j] * below
                y[at + i * n + j] = below
            parts[thread] = part
            distance = BLOCK
            while distance > 1:
                half = (distance + 1) // 2
                cuda.syncthreads()
                if thread + half < distance:
                    parts[thread] += parts[thread + half]
                distance = half
            cuda.syncthreads()
            total = (y[row + j] - parts[0]) / d
            for k in range(thread, j, BLOCK):
                value = y[row + k] - total * factor[row + k]
                for i in range(j + 1, n):
                    value -= y[at + i * n + j] * factor[at + i * n + k]
                y[row + k] = value
            for i in range(j + 1 + down, n, HIGH):
                below = y[at + i * n + j]
                for k in range(across, j, WIDE):
                    y[at + i * n + k] -= below * factor[row + k]
            cuda.syncthreads()
            if thread == 0:
                y[row + j] = total / number(2)
        cuda.syncthreads()
        for e in range(thread, n * n, BLOCK):
            i = e // n
            j = e - i * n
            if j < i:
                half = y[at + e] / number(2)
                y[at + e] = half
                y[at + j * n + i] = half
        cuda.syncthreads()


def factor_lu(x, y, m, n, few, units):
    """Partial pivoting: the first of the largest."""
    places = cuda.shared.array(BLOCK, int64)
    sizes = cuda.shared.array(BLOCK, number)
    thread = cuda.threadIdx.x
    across, down = thread % WIDE, thread // WIDE
    for unit in range(cuda.blockIdx.x, units, cuda.gridDim.x):
        to = unit * (m * n + few)
        for e in range(thread, m * n, BLOCK):
            i = e // n
            y[to + (e - i * n) * m + i] = x[unit * m * n + e]
        cuda.syncthreads()
        for j in range(few):
            column = to + j * m
            place, size = int64(j), number(-1)
            for i in range(j + thread, m, BLOCK):
                other = abs(y[column + i])
                if other > size:
                    place, size = int64(i), other
            places[thread] = place
            sizes[thread] = size
            distance = BLOCK
            while distance > 1:
                half = (distance + 1) // 2
                cuda.syncthreads()
                if thread + half < distance:
                    i, other = places[thread + half], sizes[thread + half]
                    if other > size or (other == size and i < place):
                        place, size = i, other
                        places[thread] = place
                        sizes[thread] = size
                distance = half
            cuda.syncthreads()
            place = places[0]
            for c in range(thread, n, BLOCK):
                kept = y[to + c * m + j]
                y[to + c * m + j] = y[to + c * m + place]
                y[to + c * m + place] = kept
            if thread == 0:
                y[to + m * n + j] = number(place + 1)
            cuda.syncthreads()
            pivot = y[column + j]
            if pivot != 0:
                for i in range(j + 1 + thread, m, BLOCK):
                    y[column + i] = y[column + i] / pivot
            cuda.syncthreads()
            for c in range(j + 1 + down, n, HIGH):
                weight = y[to + c * m + j]
                for i in range(j + 1 + across, m, WIDE):
                    y[to + c * m + i] -= y[column + i] * weight
            cuda.syncthreads()


def check_pivots(factors, status, n, step, size):
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // n
        i = e - unit * n
        if factors[unit * step + i * n + i] == 0:
            status[0] = 1


# ---------------------------------------------------------------- solutions


def copy_matrices(b, y, each, step, size):
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // each
        y[e] = b[unit * step + e - unit * each]


def place_identity(y, n, size):
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        y[e] = number(1) if e // n % n == e % n else number(0)


def swap_rows(factors, y, n, m, step, is_back, size):
    """What pivots did to the rows; a thread is a column."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        unit = e // m
        first = unit * n * m + e - unit * m
        for turn in range(n):
            i = n - 1 - turn if is_back else turn
            pivot = factors[unit * step + n * n + i]
            if pivot >= 1 and pivot <= number(n):
                other = first + (int64(pivot) - 1) * m
                kept = y[first + i * m]
                y[first + i * m] = y[other]
                y[other] = kept


def substitute(a, y, n, m, step, turned, from_last, unit_diagonal, chunks, tasks):
    """y becomes what a triangle gives it, WIDE columns in each block; `turned`: the transpose's."""
    thread = cuda.threadIdx.x
    across, down = thread % WIDE, thread // WIDE
    row_step, column_step = n, 1
    if turned:
        row_step, column_step = 1, n
    for task in range(cuda.blockIdx.x, tasks, cuda.gridDim.x):
        unit = task // chunks
        column = (task - unit * chunks) * WIDE + across
        here, to = unit * step, unit * n * m + column
        for turn in range(n):
            i = n - 1 - turn if from_last else turn
            if not unit_diagonal and down == 0 and column < m:
                y[to + i * m] = y[to + i * m] / a[here + i * n + i]
            cuda.syncthreads()
            if column < m:
                value = y[to + i * m]
                first = 0 if from_last else i + 1
                last = i if from_last else n
                for k in range(first + down, last, HIGH):
                    y[to + k * m] -= a[here + k * row_step + i * column_step] * value
            cuda.syncthreads()


def place_cofactors(factors, y, n, step, tasks):
    """A column of cofactors for each thread: a row of adj(U) L^-1 P^T, with the sign of P.

    Nothing is divided, so matrices may be singular.  m[i, j] = adj(U)[i, j] but for the pivots
    before i and behind j:  m[i, i] = 1,  m[i, j] = -sum over k from i to j - 1 of
    m[i, k] U[k, j] (U[k+1, k+1] ... U[j-1, j-1]), which is Horner's scheme.
    """
    for task in range(cuda.grid(1), tasks, cuda.gridsize(1)):
        unit = task // n
        i = task - unit * n
        here, to = unit * step, unit * n * n + i
        around = number(1)
        for k in range(n):
            if factors[here + n * n + k] != number(k + 1):
                around = -around
            if k < i:
                around = around * factors[here + k * n + k]
        y[to + i * n] = number(1)
        for j in range(i + 1, n):
            total = number(0)
            for k in range(i, j):
                if k > i:
                    total = total * factors[here + k * n + k]
                total = total + y[to + k * n] * factors[here + j * n + k]
            y[to + j * n] = -total
        for back in range(n):
            j = n - 1 - back
            value = number(0)
            if j >= i:
                value = y[to + j * n] * around
                around = around * factors[here + j * n + j]
            for k in range(j + 1, n):
                value -= y[to + k * n] * factors[here + j * n + k]
            y[to + j * n] = value
        for back in range(n):
            j = n - 1 - back
            other = index(factors[here + n * n + j]) - 1
            if other != j:
                kept = y[to + j * n]
                y[to + j * n] = y[to + other * n]
                y[to + other * n] = kept


def order_of_rows(pivots, y, m, few, is_inverse, units):
    for unit in range(cuda.grid(1), units, cuda.gridsize(1)):
        to = unit * m
        for i in range(m):
            y[to + i] = i
        for turn in range(few):
            j = few - 1 - turn if is_inverse else turn
            pivot = pivots[unit * few + j]
            if pivot >= 1 and pivot <= number(m):
                other = to + int64(pivot) - 1
                kept = y[to + j]
                y[to + j] = y[other]
                y[other] = kept


# ---------------------------------------------------------------- conditions


def pass_unless(x, bad, y, status, n_bad, size):
    """x as it is; a status where something is bad anywhere."""
    for e in range(cuda.grid(1), size, cuda.gridsize(1)):
        y[e] = x[e]
    for e in range(cuda.grid(1), n_bad, cuda.gridsize(1)):
        if bad[e] != 0:
            status[0] = 1


# ---------------------------------------------------------------- launches


def cholesky(recipe: Recipe, step: LoopStep) -> None:
    """cholesky"""
    (n,), units = step.work.meta, step.work.units
    _of_blocks(recipe, factor_cholesky, *recipe.views, recipe.status, n, units=units)


def cholesky_slope(recipe: Recipe, step: LoopStep) -> None:
    """cholesky_slope"""
    (n,), units = step.work.meta, step.work.units
    _of_blocks(recipe, slope_of_cholesky, *recipe.views, n, units=units)


def lu(recipe: Recipe, step: LoopStep) -> None:
    """lu"""
    _of_blocks(recipe, factor_lu, *recipe.views, *step.work.meta, units=step.work.units)


def lu_permutation(recipe: Recipe, step: LoopStep) -> None:
    """lu_permutation"""
    (pivots, y), units = recipe.views, step.work.units
    number = number_of(pivots.dtype)
    recipe.launch(order_of_rows, pivots, y, *step.work.meta, units, n=units, number=number)


def solve_triangular(recipe: Recipe, step: LoopStep) -> None:
    """solve_triangular"""
    (a, b, y), units = recipe.views, step.work.units
    n, m, a_step, b_step, turned, unit_diagonal, from_last = step.work.meta
    size = units * n * m
    recipe.launch(copy_matrices, b, y, n * m, b_step, size, n=size)
    _substitute(recipe, a, y, n, m, a_step, units, turned, from_last, unit_diagonal)


def lu_solve(recipe: Recipe, step: LoopStep) -> None:
    """lu_solve"""
    (_, factors, b, y), units = recipe.views, step.work.units
    n, m, factors_step, b_step, turned, is_checked = step.work.meta
    size = units * n * m
    if is_checked:
        _check(recipe, factors, n, factors_step, units)
    recipe.launch(copy_matrices, b, y, n * m, b_step, size, n=size)
    _solve(recipe, factors, y, n, m, factors_step, units, turned)


def lu_inverse(recipe: Recipe, step: LoopStep) -> None:
    """lu_inverse"""
    (_, factors, y), (n, is_checked) = recipe.views, step.work.meta
    _invert(recipe, factors, y, n, step.work.units, is_checked)


def inverse(recipe: Recipe, step: LoopStep) -> None:
    """inv"""
    (x, y), (n,), units = recipe.views, step.work.meta, step.work.units
    factors = recipe.area(x.dtype, units * (n * n + n))
    _of_blocks(recipe, factor_lu, x, factors, n, n, n, units=units)
    _invert(recipe, factors, y, n, units, 1)


def cofactors(recipe: Recipe, step: LoopStep) -> None:
    """cofactors"""
    (_, factors, y), (n,), units = recipe.views, step.work.meta, step.work.units
    tasks, number = units * n, number_of(y.dtype)
    recipe.launch(place_cofactors, factors, y, n, n * n + n, tasks, n=tasks, number=number)


def refuse(recipe: Recipe, step: LoopStep) -> None:
    """refuse"""
    x, bad, _, y = recipe.views
    (n_bad,), size = step.work.meta, step.work.units
    recipe.launch(
        pass_unless, x, bad, y, recipe.status, n_bad, size, n=max(size, n_bad),
    )  # fmt: skip


def _of_blocks(recipe: Recipe, kernel: Callable, *arguments: Area | int, units: int) -> None:
    """A block for each matrix."""
    n_rows = max(recipe.shapes[0][-2:])
    block, lanes = _lanes(recipe, n_rows, n_rows)
    words = {"number": number_of(recipe.views[0].dtype), "sqrt": "math.sqrt", **lanes}
    recipe.run_blocks(kernel, *arguments, units, n=units, block=block, **words)


def _lanes(recipe, n_rows, most):
    """Threads of a block, and them as lines: no wider than `most`, and not wider than high."""
    block = min(recipe.block, WARP) if n_rows <= SMALL else recipe.block
    wide = 1
    while 2 * wide <= most and 4 * wide * wide <= block:
        wide *= 2
    return block, {"WIDE": str(wide), "HIGH": str(block // wide)}


def _check(recipe, factors, n, step, units):
    recipe.launch(check_pivots, factors, recipe.status, n, step, units * n, n=units * n)


def _invert(recipe, factors, y, n, units, is_checked):
    """The inverse of what factors are of."""
    step, size = n * n + n, units * n * n
    if is_checked:
        _check(recipe, factors, n, step, units)
    recipe.launch(place_identity, y, n, size, n=size, number=number_of(y.dtype))
    _solve(recipe, factors, y, n, n, step, units, 0)


def _solve(recipe, factors, y, n, m, step, units, turned):
    """y becomes a^-1 y; the factors lie as the transpose of what `substitute` calls a."""

    def swap():
        sizes = n, m, step, turned, units * m
        number = number_of(y.dtype)
        recipe.launch(swap_rows, factors, y, *sizes, n=units * m, number=number)

    if not turned:
        swap()
    _substitute(recipe, factors, y, n, m, step, units, 1 - turned, 0, 1 - turned)
    _substitute(recipe, factors, y, n, m, step, units, 1 - turned, 1, turned)
    if turned:
        swap()


def _substitute(recipe, a, y, n, m, step, units, turned, from_last, unit_diagonal):
    block, lanes = _lanes(recipe, n, m)
    chunks = -(-m // int(lanes["WIDE"]))
    recipe.run_blocks(
        substitute, a, y, n, m, step, turned, from_last, unit_diagonal, chunks, units * chunks,
        n=units * chunks, block=block, **lanes,
    )  # fmt: skip
