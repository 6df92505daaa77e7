"""Factorizations: cuSOLVER, and LAPACK in a simulated GPU's memory.

A `Lapack` prepares routines for a dtype and sizes: what they are called with is then addresses, of
column-major matrices, of room to work in, and of an int32 that says what went wrong (0: nothing).
They are for one matrix, but for those of a batch of small ones, which have Jacobi's rotations.
Both take the very same, so what the simulator shows to be right is right on a card.

    potrf  U^H U = a, from and in the upper triangle
    getrf  P L U = a, pivots from 1
    getrs  x with a x = b, a^T x = b or a^H x = b, by what getrf gave
    geqrf  R in the upper triangle, and reflections; orgqr makes Q of those
    syevd  eigenvalues, ascending, and vectors of the lower triangle's matrix
    gesvd  singular values, descending, U and V^H, of matrices that are not wider than high
    syevj_batched, gesvdj_batched    for many of up to 32 rows and columns
    geev   eigenvalues, complex, and right vectors; those of real matrices in pairs, as LAPACK has

Source: NVIDIA, cuSOLVER API reference, cuSolverDN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapejit.runtime.cuda.libraries.bindings import (
    CUDA_TYPES,
    CUSOLVER,
    WORKSPACE_ALIGNMENT,
    Library,
    aligned,
)
from tapejit.runtime.cuda.libraries.cublas import LETTERS

UPPER, LOWER = 1, 0

MOST_BATCHED = 32
"""Rows and columns that routines of batches take."""


class Routine(NamedTuple):
    """A routine for matrices of one dtype and size."""

    run: Callable[..., None]
    """Given addresses, as the methods of `Lapack` say, those of room and verdict last."""
    n_bytes: int
    """Of room."""


class Lapack(Protocol):
    """A library of factorizations: each method says which addresses its routine takes."""

    def potrf(self, dtype: np.dtype, n: int) -> Routine:
        """a, room, verdict"""
        ...

    def getrf(self, dtype: np.dtype, m: int, n: int) -> Routine:
        """a, pivots, room, verdict"""
        ...

    def getrs(self, dtype: np.dtype, n: int, columns: int, trans: int) -> Routine:
        """a, pivots, b, room, verdict; trans: 0, 1 (transposed) or 2 (adjoint)"""
        ...

    def geqrf(self, dtype: np.dtype, m: int, n: int) -> Routine:
        """a, tau, room, verdict"""
        ...

    def orgqr(self, dtype: np.dtype, m: int, n: int, k: int) -> Routine:
        """a, tau, room, verdict; k: reflections"""
        ...

    def syevd(self, dtype: np.dtype, n: int, has_vectors: bool) -> Routine:
        """a, which the vectors overwrite; values; room, verdict"""
        ...

    def gesvd(self, dtype: np.dtype, m: int, n: int, job: str) -> Routine:
        """a, values, u, vh, room, verdict; job: A (all vectors), S (the first ones) or N (none)"""
        ...

    def geev(self, dtype: np.dtype, n: int, has_vectors: bool) -> Routine:
        """a, values, vectors, room, verdict"""
        ...

    def syevj_batched(self, dtype: np.dtype, n: int, count: int, has_vectors: bool) -> Routine:
        """a, which the vectors overwrite; values; room, verdicts; of all matrices"""
        ...

    def gesvdj_batched(
        self, dtype: np.dtype, m: int, n: int, count: int, has_vectors: bool
    ) -> Routine:
        """a, values, u, v, room, verdicts; of all matrices, with all vectors; v by columns"""
        ...


# ---------------------------------------------------------------- cuSOLVER


class Cusolver:
    """cuSOLVER on a card."""

    def __init__(self, machine: Any):
        self._library = Library(machine, CUSOLVER)
        self._somewhere = self._library.somewhere
        self._params = functools.cache(lambda kind: self._library.function(f"create_{kind}")())

    def potrf(self, dtype, n):
        return self._routine(
            dtype, "potrf", (UPPER, n, self._somewhere, n),
            lambda size, a, room, verdict: (UPPER, n, a, n, room, size, verdict),
        )  # fmt: skip

    def getrf(self, dtype, m, n):
        return self._routine(
            dtype, "getrf", (m, n, self._somewhere, m),
            lambda size, a, pivots, room, verdict: (m, n, a, m, room, pivots, verdict),
        )  # fmt: skip

    def getrs(self, dtype, n, columns, trans):
        return self._routine(
            dtype, "getrs", None,
            lambda size, a, pivots, b, room, verdict: (
                trans, n, columns, a, n, pivots, b, n, verdict
            ),
        )  # fmt: skip

    def geqrf(self, dtype, m, n):
        return self._routine(
            dtype, "geqrf", (m, n, self._somewhere, m),
            lambda size, a, tau, room, verdict: (m, n, a, m, tau, room, size, verdict),
        )  # fmt: skip

    def orgqr(self, dtype, m, n, k):
        name = "ungqr" if dtype.kind == "c" else "orgqr"
        return self._routine(
            dtype, name, (m, n, k, self._somewhere, m, self._somewhere),
            lambda size, a, tau, room, verdict: (m, n, k, a, m, tau, room, size, verdict),
        )  # fmt: skip

    def syevd(self, dtype, n, has_vectors):
        first = (int(has_vectors), LOWER, n)
        name = "heevd" if dtype.kind == "c" else "syevd"
        return self._routine(
            dtype, name, (*first, self._somewhere, n, self._somewhere),
            lambda size, a, values, room, verdict: (*first, a, n, values, room, size, verdict),
        )  # fmt: skip

    def gesvd(self, dtype, m, n, job):
        letter = ord(job)
        return self._routine(
            dtype, "gesvd", (m, n),
            lambda size, a, values, u, vh, room, verdict: (
                letter, letter, m, n, a, m, values, u, m, vh, n, room, size, 0, verdict
            ),
        )  # fmt: skip

    def geev(self, dtype, n, has_vectors):
        kind, complex_kind = CUDA_TYPES[dtype.name], CUDA_TYPES[_complex(dtype).name]
        call = self._library.function("xgeev")
        first = (self._library.handle, self._params("params"), 0, int(has_vectors), n)

        def arguments(a, values, vectors):
            return (
                *first, kind, a, n, complex_kind, values, kind, vectors, n, kind, vectors, n, kind
            )  # fmt: skip

        n_device, n_host = self._library.function("xgeev_buffer_size")(
            *arguments(*[self._somewhere] * 3)
        )
        host = np.empty(max(n_host, 1), np.uint8)

        def run(a, values, vectors, room, verdict):
            with self._library.entered("geev"):
                call(
                    *arguments(a, values, vectors),
                    aligned(room), n_device, host.ctypes.data, n_host, verdict,
                )  # fmt: skip

        return Routine(run, n_device + WORKSPACE_ALIGNMENT)

    def syevj_batched(self, dtype, n, count, has_vectors):
        first, last = (int(has_vectors), LOWER, n), (self._params("syevj_info"), count)
        name = "heevj_batched" if dtype.kind == "c" else "syevj_batched"
        return self._routine(
            dtype, name, (*first, self._somewhere, n, self._somewhere, *last),
            lambda size, a, values, room, verdicts: (
                *first, a, n, values, room, size, verdicts, *last
            ),
        )  # fmt: skip

    def gesvdj_batched(self, dtype, m, n, count, has_vectors):
        first, last = (int(has_vectors), m, n), (self._params("gesvdj_info"), count)

        def arguments(a, values, u, v):
            return (*first, a, m, values, u, m, v, n)

        return self._routine(
            dtype, "gesvdj_batched", (*arguments(*[self._somewhere] * 4), *last),
            lambda size, a, values, u, v, room, verdicts: (
                *arguments(a, values, u, v), room, size, verdicts, *last
            ),
        )  # fmt: skip

    def _routine(self, dtype, name, sizes, arguments):
        """Of one dtype: LAPACK's letter before its name.

        sizes      what its buffer_size is called with; None if it needs no room
        arguments  (elements of room, *addresses) -> what it is called with
        """
        handle, name = self._library.handle, LETTERS[dtype.name] + name
        call, size = self._library.function(name), 0
        if sizes is not None:
            size = self._library.function(f"{name}_buffer_size")(handle, *sizes)

        def run(*addresses):
            *given, room, verdict = addresses
            with self._library.entered(name):
                call(handle, *arguments(size, *given, aligned(room), verdict))

        return Routine(run, size * dtype.itemsize + WORKSPACE_ALIGNMENT)


def _complex(dtype: np.dtype) -> np.dtype:
    return np.result_type(dtype, np.complex64)


# ---------------------------------------------------------------- LAPACK


class HostLapack:
    """LAPACK, by SciPy, on the memory of a simulated GPU."""

    def __init__(self, machine: Any):
        self.machine = machine

    def potrf(self, dtype, n):
        def run(a, room, verdict):
            matrix = self._matrix(a, dtype, n, n)
            matrix[...], found = _lapack(dtype, "potrf")(matrix, lower=0, clean=0)
            self._say(verdict, found)

        return self._routine(run)

    def getrf(self, dtype, m, n):
        def run(a, pivots, room, verdict):
            matrix = self._matrix(a, dtype, m, n)
            matrix[...], found, said = _lapack(dtype, "getrf")(matrix)
            self._numbers(pivots, np.int32, min(m, n))[...] = found + 1
            self._say(verdict, said)

        return self._routine(run)

    def getrs(self, dtype, n, columns, trans):
        def run(a, pivots, b, room, verdict):
            matrix, target = self._matrix(a, dtype, n, n), self._matrix(b, dtype, n, columns)
            order = self._numbers(pivots, np.int32, n) - 1
            target[...], said = _lapack(dtype, "getrs")(matrix, order, target, trans)
            self._say(verdict, said)

        return self._routine(run)

    def geqrf(self, dtype, m, n):
        def run(a, tau, room, verdict):
            matrix = self._matrix(a, dtype, m, n)
            matrix[...], factors, _, said = _lapack(dtype, "geqrf")(matrix)
            self._numbers(tau, dtype, min(m, n))[...] = factors
            self._say(verdict, said)

        return self._routine(run)

    def orgqr(self, dtype, m, n, k):
        def run(a, tau, room, verdict):
            matrix = self._matrix(a, dtype, m, n)
            name = "ungqr" if dtype.kind == "c" else "orgqr"
            made, _, said = _lapack(dtype, name)(
                np.nan_to_num(matrix), self._numbers(tau, dtype, k)
            )
            matrix[...] = made
            self._say(verdict, said)

        return self._routine(run)

    def syevd(self, dtype, n, has_vectors):
        def run(a, values, room, verdict):
            matrix = self._matrix(a, dtype, n, n)
            name = "heevd" if dtype.kind == "c" else "syevd"
            found, vectors, said = _lapack(dtype, name)(matrix, compute_v=int(has_vectors), lower=1)
            self._numbers(values, _real(dtype), n)[...] = found
            matrix[...] = vectors if has_vectors else np.nan
            self._say(verdict, said)

        return self._routine(run)

    def gesvd(self, dtype, m, n, job):
        assert m >= n, "cuSOLVER takes matrices that are not wider than high"

        def run(a, values, u, vh, room, verdict):
            matrix = self._matrix(a, dtype, m, n)
            left, found, right, said = _lapack(dtype, "gesvd")(
                matrix, compute_uv=int(job != "N"), full_matrices=int(job == "A")
            )
            matrix[...] = np.nan
            self._numbers(values, _real(dtype), n)[...] = found
            if job != "N":
                self._matrix(u, dtype, *left.shape)[...] = left
                self._matrix(vh, dtype, n, n)[...] = right
            self._say(verdict, said)

        return self._routine(run)

    def geev(self, dtype, n, has_vectors):
        def run(a, values, vectors, room, verdict):
            matrix = self._matrix(a, dtype, n, n)
            *found, _, right, said = _lapack(dtype, "geev")(
                matrix, compute_vl=0, compute_vr=int(has_vectors)
            )
            matrix[...] = np.nan
            whole = found[0] if dtype.kind == "c" else found[0] + 1j * found[1]
            self._numbers(values, _complex(dtype), n)[...] = whole
            if has_vectors:
                self._matrix(vectors, dtype, n, n)[...] = right
            self._say(verdict, said)

        return self._routine(run)

    def syevj_batched(self, dtype, n, count, has_vectors):
        one, size, real = self.syevd(dtype, n, has_vectors), dtype.itemsize, _real(dtype).itemsize

        def run(a, values, room, verdicts):
            for k in range(count):
                one.run(a + k * n * n * size, values + k * n * real, room, verdicts + 4 * k)

        return Routine(run, 1)

    def gesvdj_batched(self, dtype, m, n, count, has_vectors):
        def run(a, values, u, v, room, verdicts):
            few = min(m, n)
            matrices = self._matrices(a, dtype, count, m, n)
            said = self._numbers(verdicts, np.int32, count)
            said[...] = ~np.isfinite(matrices).all((1, 2))
            left, found, right = np.linalg.svd(np.nan_to_num(matrices))
            self.machine.host_view(values, _real(dtype), (count, few), (few, 1))[...] = found
            if has_vectors:
                self._matrices(u, dtype, count, m, m)[...] = left
                vectors = np.swapaxes(right, -1, -2).conj()
                self._matrices(v, dtype, count, n, n)[...] = vectors
            matrices[...] = np.nan

        return self._routine(run)

    def _matrices(self, address, dtype, count, rows, columns):
        shape, strides = (count, rows, columns), (rows * columns, 1, rows)
        return self.machine.host_view(address, dtype, shape, strides)

    def _routine(self, run):
        """In order with what else the simulated GPU is asked for."""

        def call(*addresses):
            def quietly():
                with np.errstate(all="ignore"):
                    run(*addresses)

            self.machine.host_call(quietly)

        return Routine(call, 1)

    def _matrix(self, address, dtype, rows, columns):
        return self.machine.host_view(address, dtype, (rows, columns), (1, rows))

    def _numbers(self, address, dtype, n):
        return self.machine.host_view(address, np.dtype(dtype), (n,), (1,))

    def _say(self, verdict, found):
        self._numbers(verdict, np.int32, 1)[0] = found


def _lapack(dtype: np.dtype, name: str) -> Callable[..., Any]:
    from scipy.linalg import lapack

    return getattr(lapack, LETTERS[dtype.name] + name)


def _real(dtype: np.dtype) -> np.dtype:
    return np.finfo(dtype).dtype
