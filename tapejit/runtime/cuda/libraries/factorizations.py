"""Operations of linear algebra as calls of libraries, one matrix of a batch after the other.

Rows and columns: LAPACK reads a row-major matrix as its transpose.  Where that serves, nothing is
moved (Cholesky, inverses, triangles, wide SVD); elsewhere kernels of codegen/cuda/packing.py turn
matrices before and behind.  Errors are statuses, as those of loops.

Small real matrices, and batches of many, have kernels of our own (codegen/cuda/loop_matrices.py) in
which all matrices run at the same time: `pays` says which.  Start at `FORMS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tapejit.codegen.cuda import packing
from tapejit.codegen.cuda.launches import Launches, LibraryCall
from tapejit.codegen.cuda.texts import Area, Recipe, number_of
from tapejit.registry import Kind, Operand
from tapejit.runtime.cuda.libraries.cublas import Blas, Trsm
from tapejit.runtime.cuda.libraries.cusolver import MOST_BATCHED, Lapack, Routine

FEWEST_ROWS = 64
ROWS_A_MATRIX = 8
"""A library pays from so many rows on, and from so many rows for each matrix of a batch: one takes
it some 100 us, however small, and a block of our own kernels has a hundredth of a card."""


def pays(operands: Sequence[Operand]) -> bool:
    """Whether a library is faster than kernels of our own that do the same."""
    rows = max(operands[0].shape[-2:])
    return rows >= max(FEWEST_ROWS, ROWS_A_MATRIX * math.prod(operands[0].shape[:-2]))


# ---------------------------------------------------------------- the recipe


class Place(NamedTuple):
    """Where each matrix's part of an area is: in numbers, or what else the area holds."""

    area: Area
    step: int
    """From one matrix of the batch to the next."""
    itemsize: int
    at: int = 0


class Step:
    """What an operation becomes: kernels and library calls in order."""

    def __init__(
        self, kind: Kind, operands: Sequence[Operand], result: Operand, blas: Blas, lapack: Lapack,
        block: int,
    ):  # fmt: skip
        self.kind, self.operands, self.result = kind, operands, result
        self.blas, self.lapack = blas, lapack
        self.dtype = operands[0].dtype.dtype
        """Of the matrices; the result's may be another."""
        self.parts = 2 if self.dtype.kind == "c" else 1
        self.real = operands[0].dtype.to_real().kernel
        self.units = max(math.prod(operands[0].shape[:-2]), math.prod(result.shape[:-2]))
        views = [x.dtype.kernel or x.dtype.to_real().kernel for x in (*operands, result)]
        self.recipe = Recipe(kind.op.name, [*operands, result], views, block, 2)
        self.views = self.recipe.views
        self.verdict = self.integers(1)

    def is_batch_of_small(self, *sizes: int) -> bool:
        """Whether there are routines for all matrices at once."""
        return self.units > 1 and max(sizes) <= MOST_BATCHED

    # ------------------------------------------------------------ places

    def of(self, number: int, step: int, at: int = 0) -> Place:
        """A part of a view; of an operand that is one for all matrices there is no step."""
        if number < len(self.operands):
            operand = self.operands[number]
            if math.prod(operand.shape) < self.units * step:
                step = 0
        return Place(self.views[number], step, self.dtype.itemsize, at)

    def numbers(self, n: int) -> Place:
        """Room for n numbers of each matrix."""
        area = self.recipe.area(self.real, self.units * n * self.parts)
        return Place(area, n, self.dtype.itemsize)

    def reals(self, n: int) -> Place:
        """Room for n real numbers of each matrix."""
        area = self.recipe.area(self.real, self.units * n)
        return Place(area, n, self.dtype.itemsize // self.parts)

    def integers(self, n: int) -> Place:
        """Room for n int32 of each matrix."""
        return Place(self.recipe.area("i32", self.units * n), n, 4)

    # ------------------------------------------------------------ calls

    def each(self, routine: Routine, *places: Place, verdict: Place | None = None) -> None:
        """A routine for each matrix."""
        room = Place(self.recipe.area("i64", -(-routine.n_bytes // 8)), 0, 8)
        self.for_each(routine.run, *places, room, verdict or self.verdict)

    def all_at_once(self, routine: Routine, *places: Place) -> None:
        """A routine for all matrices."""
        room = self.recipe.area("i64", -(-routine.n_bytes // 8))
        call = LibraryCall(lambda addresses: routine.run(*addresses), False)
        self.recipe.call(call, *(place.area for place in places), room, self.verdict.area)

    def for_each(self, run: Callable[..., None], *places: Place) -> None:
        """run(*addresses) for each matrix."""
        steps = [place.step * place.itemsize for place in places]
        starts = [place.at * place.itemsize for place in places]

        def call(addresses):
            for unit in range(self.units):
                run(*(
                    address + start + unit * step
                    for address, start, step in zip(addresses, starts, steps, strict=True)
                ))  # fmt: skip

        self.recipe.call(LibraryCall(call, False), *(place.area for place in places))

    def kernel(self, kernel: Callable, *arguments: Area | int, n: int, **words: str) -> None:
        """A thread for each of n numbers, or parts of them, of all matrices; n is told too."""
        self.recipe.launch(kernel, *arguments, n, n=n, number=number_of(self.real), **words)

    def transpose(self, source: Place, target: Place, rows: int, columns: int) -> None:
        """Rows become columns."""
        ends = (source.at, source.step, target.at, target.step)
        n = self.units * rows * columns * self.parts
        self.kernel(
            packing.transpose, source.area, target.area, rows, columns, *ends, self.parts, n=n
        )

    def move(self, source: Place, target: Place, length: int, sign: int = 1) -> None:
        """A run of numbers; sign: -1 for their conjugates."""
        ends = (source.at, source.step, target.at, target.step)
        n = self.units * length * self.parts
        self.kernel(packing.move, source.area, target.area, length, *ends, sign, self.parts, n=n)

    def place_reals(self, source: Place, target: Place, length: int) -> None:
        """Real numbers, or integers, as the matrices' numbers."""
        n = self.units * length * self.parts
        self.kernel(
            packing.place_reals, source.area, target.area, length, target.at, target.step,
            self.parts, n=n,
        )  # fmt: skip

    def refuse_failures(self) -> None:
        """A status, if a library said so of a matrix."""
        self.kernel(packing.refuse_failures, self.verdict.area, self.recipe.status, n=self.units)


# ---------------------------------------------------------------- Cholesky and triangles


def _cholesky(step: Step) -> None:
    n = step.result.shape[-1]
    y = step.of(1, n * n)
    step.move(step.of(0, n * n), y, n * n)
    step.each(step.lapack.potrf(step.dtype, n), y)  # its upper triangle is the rows' lower one
    step.refuse_failures()
    step.kernel(packing.clear_above, y.area, n, step.parts, n=step.units * n * n * step.parts)


def _cholesky_info(step: Step) -> None:
    n = step.operands[0].shape[-1]
    a = step.numbers(n * n)
    step.move(step.of(0, n * n), a, n * n)
    step.each(step.lapack.potrf(step.dtype, n), a, verdict=Place(step.views[1], 1, 4))


def _solve_triangular(step: Step) -> None:
    """x^T op(a)^T = b^T: the rows of b are columns, and a is read as a^T."""
    n, m = step.result.shape[-2:]
    attributes = step.kind.attributes()
    is_adjoint = attributes["adjoint"]  # conj(a) = (a^T)^H
    y = step.of(2, n * m)
    step.move(step.of(1, n * m), y, n * m)
    trsm = Trsm(
        int(not attributes["upper"]), 2 if is_adjoint else 0, int(attributes["unit"]), m, n,
        step.dtype,
    )  # fmt: skip
    step.for_each(lambda a, b: step.blas.trsm(trsm, a, b), step.of(0, n * n), y)


# ---------------------------------------------------------------- LU


def _lu(step: Step) -> None:
    m, n = step.operands[0].shape[-2:]
    few = min(m, n)
    whole = m * n + few
    pivots = step.integers(few)
    y = step.of(1, whole)
    step.transpose(step.of(0, m * n), y, m, n)
    step.each(step.lapack.getrf(step.dtype, m, n), y, pivots)  # a zero pivot is no error
    step.place_reals(pivots, step.of(1, whole, m * n), few)


def _pivots_of(step: Step, n: int, is_checked: bool) -> tuple[Place, Place]:
    """Factors and pivots of what lu gave, view 1; a status if a pivot is zero."""
    factors = step.of(1, n * n + n)
    pivots = step.integers(n)
    step.kernel(
        packing.take_pivots, factors.area, pivots.area, n, n * n, factors.step, step.parts,
        n=step.units * n,
    )  # fmt: skip
    if is_checked:
        step.kernel(
            packing.refuse_zero_pivots, factors.area, step.recipe.status, n, factors.step,
            step.parts, n=step.units * n,
        )  # fmt: skip
    return factors, pivots


def _lu_solve(step: Step) -> None:
    n, m = step.result.shape[-2:]
    attributes = step.kind.attributes()
    factors, pivots = _pivots_of(step, n, bool(attributes["name"]))
    columns = step.numbers(n * m)
    step.transpose(step.of(2, n * m), columns, n, m)
    trans = step.parts if attributes["adjoint"] else 0
    step.each(step.lapack.getrs(step.dtype, n, m, trans), factors, pivots, columns)
    step.transpose(columns, step.of(3, n * m), m, n)


def _lu_inverse(step: Step) -> None:
    """a^T x = 1: x by columns is the inverse by rows."""
    n = step.result.shape[-1]
    factors, pivots = _pivots_of(step, n, bool(step.kind.attributes()["name"]))
    y = _identities(step, n)
    step.each(step.lapack.getrs(step.dtype, n, n, 1), factors, pivots, y)


def _inverse(step: Step) -> None:
    """The inverse of the transpose, by columns."""
    n = step.result.shape[-1]
    a, pivots = step.numbers(n * n), step.integers(n)
    step.move(step.of(0, n * n), a, n * n)
    step.each(step.lapack.getrf(step.dtype, n, n), a, pivots)
    step.refuse_failures()
    y = _identities(step, n)
    step.each(step.lapack.getrs(step.dtype, n, n, 0), a, pivots, y)


def _identities(step, n):
    y = Place(step.views[-1], n * n, step.dtype.itemsize)
    size = step.units * n * n * step.parts
    step.kernel(packing.place_identity, y.area, n, step.parts, n=size)
    return y


# ---------------------------------------------------------------- QR


def _qr(step: Step) -> None:
    m, n = step.operands[0].shape[-2:]
    few = min(m, n)
    high = m if step.kind.attributes()["full"] else few
    whole = m * high + high * n
    a, tau = step.numbers(m * max(high, n)), step.numbers(few)
    step.transpose(step.of(0, m * n), a, m, n)
    step.each(step.lapack.geqrf(step.dtype, m, n), a, tau)
    y = step.of(1, whole)
    step.kernel(
        packing.take_upper, a.area, y.area, high, n, m, a.step, m * high, whole, step.parts,
        n=step.units * high * n * step.parts,
    )  # fmt: skip
    step.each(step.lapack.orgqr(step.dtype, m, high, few), a, tau)
    step.transpose(a, y, high, m)


# ---------------------------------------------------------------- eigenvalues


def _eigh(step: Step) -> None:
    n = step.operands[0].shape[-1]
    whole = n + n * n
    values = step.reals(n)
    a = _diagonalized(step, n, values, has_vectors=True)
    step.place_reals(values, step.of(1, whole), n)
    vectors = step.of(1, whole, n)
    step.transpose(a, vectors, n, n)
    if step.kind.attributes()["turned"]:
        _turn_equal(step, values, n, vectors, n, line_step=n, along=1, sign=1)


def _diagonalized(step, n, values, has_vectors):
    """The vectors, by columns; the values go where they should."""
    a = step.numbers(n * n)
    step.transpose(step.of(0, n * n), a, n, n)
    if step.is_batch_of_small(n):
        routine = step.lapack.syevj_batched(step.dtype, n, step.units, has_vectors)
        step.all_at_once(routine, a, values)
    else:
        step.each(step.lapack.syevd(step.dtype, n, has_vectors), a, values)
    step.refuse_failures()
    return a


def _turn_equal(step, values, n, vectors, lines, line_step, along, sign):
    """Vectors of equal values lie `along` numbers apart, and are crossed by lines."""
    eps = f"{number_of(step.real)}({float(np.finfo(step.dtype).eps)!r})"
    step.kernel(
        packing.turn_equal, values.area, vectors.area, n, values.at, values.step, 1, lines,
        line_step, along, vectors.at, vectors.step, sign, step.parts,
        n=step.units * lines, eps=eps,
    )  # fmt: skip


def _eigvalsh(step: Step) -> None:
    n = step.operands[0].shape[-1]
    values = Place(step.views[1], n, step.dtype.itemsize // step.parts)
    _diagonalized(step, n, values, has_vectors=False)


def _eig(step: Step) -> None:
    n = step.operands[0].shape[-1]
    whole, itemsize = n + n * n, step.result.dtype.itemsize
    a, vectors = step.numbers(n * n), step.numbers(n * n)
    values = Place(step.recipe.area(step.real, step.units * n * 2), n, itemsize)
    step.transpose(step.of(0, n * n), a, n, n)
    step.each(step.lapack.geev(step.dtype, n, True), a, values, vectors)
    step.refuse_failures()
    y = step.views[1]
    size = step.units * n * 2
    step.kernel(packing.move, values.area, y, n, 0, n, 0, whole, 1, 2, n=size)
    if step.parts == 2:
        step.transpose(vectors, Place(y, whole, itemsize, n), n, n)
    else:
        step.kernel(
            packing.join_vectors, values.area, vectors.area, y, n, n, whole, n=step.units * n * n
        )


def _eigvals(step: Step) -> None:
    n = step.operands[0].shape[-1]
    a = step.numbers(n * n)
    step.transpose(step.of(0, n * n), a, n, n)
    values = Place(step.views[1], n, step.result.dtype.itemsize)
    step.each(step.lapack.geev(step.dtype, n, False), a, values, Place(a.area, 0, 1))
    step.refuse_failures()


# ---------------------------------------------------------------- singular values


def _svd(step: Step) -> None:
    """Wide matrices are read as their transposes, V S U^H of which U and V^H are the rows."""
    m, n = step.operands[0].shape[-2:]
    few, attributes = min(m, n), step.kind.attributes()
    is_full = attributes["full"]
    job = "A" if is_full else "S"
    wide, high = (m, n) if is_full else (few, few)  # columns of U, rows of V^H
    whole = m * wide + few + high * n
    values = step.reals(few)
    u, vh = step.of(1, whole), step.of(1, whole, m * wide + few)
    a = step.numbers(m * n)
    if step.is_batch_of_small(m, n):
        left, right = step.numbers(m * m), step.numbers(n * n)
        step.transpose(step.of(0, m * n), a, m, n)
        routine = step.lapack.gesvdj_batched(step.dtype, m, n, step.units, True)
        step.all_at_once(routine, a, values, left, right)
        step.transpose(left, u, wide, m)
        step.move(right, vh, high * n, sign=-1)
    elif n > m:
        step.move(step.of(0, m * n), a, m * n)
        step.each(step.lapack.gesvd(step.dtype, n, m, job), a, values, vh, u)
    else:
        left, right = step.numbers(m * wide), step.numbers(high * n)
        step.transpose(step.of(0, m * n), a, m, n)
        step.each(step.lapack.gesvd(step.dtype, m, n, job), a, values, left, right)
        step.transpose(left, u, wide, m)
        step.transpose(right, vh, n, high)
    step.refuse_failures()
    step.place_reals(values, step.of(1, whole, m * wide), few)
    if attributes["turned"]:
        _turn_equal(step, values, few, u, m, line_step=wide, along=1, sign=1)
        _turn_equal(step, values, few, vh, n, line_step=1, along=n, sign=-1)


def _svdvals(step: Step) -> None:
    m, n = step.operands[0].shape[-2:]
    a = step.numbers(m * n)
    values = Place(step.views[1], min(m, n), step.dtype.itemsize // step.parts)
    nowhere = Place(a.area, 0, 1)
    if step.is_batch_of_small(m, n):
        step.transpose(step.of(0, m * n), a, m, n)
        routine = step.lapack.gesvdj_batched(step.dtype, m, n, step.units, False)
        step.all_at_once(routine, a, values, nowhere, nowhere)
        step.refuse_failures()
        return
    if n > m:
        step.move(step.of(0, m * n), a, m * n)
    else:
        step.transpose(step.of(0, m * n), a, m, n)
    step.each(step.lapack.gesvd(step.dtype, max(m, n), min(m, n), "N"), a, values, nowhere, nowhere)
    step.refuse_failures()


FORMS: dict[str, Callable[[Step], None]] = {
    "cholesky": _cholesky,
    "cholesky_info": _cholesky_info,
    "solve_triangular": _solve_triangular,
    "lu": _lu,
    "lu_solve": _lu_solve,
    "lu_inverse": _lu_inverse,
    "inv": _inverse,
    "qr": _qr,
    "eigh": _eigh,
    "eigvalsh": _eigvalsh,
    "eig": _eig,
    "eigvals": _eigvals,
    "svd": _svd,
    "svdvals": _svdvals,
}
"""Of each operation: what adds its kernels and calls."""


def launches_of(
    kind: Kind, operands: Sequence[Operand], result: Operand, blas: Blas, lapack: Lapack, block: int
) -> Launches:
    """The operation's kernels and calls; operands are row-major, one for all or one a matrix."""
    step = Step(kind, operands, result, blas, lapack, block)
    FORMS[kind.op.name](step)
    return step.recipe.done()
