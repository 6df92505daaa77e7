"""Products and triangles: cuBLAS, and what it does by definition in a simulated GPU's memory.

Both take the very same arguments, so what the simulator shows to be right, leading dimensions and
transposes, is right on a card.  Matrices are column-major.

float32 products are not rounded to TF32, as in PyTorch; those of float16 are summed in float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from tapejit.runtime.cuda.libraries.bindings import CUBLAS, CUDA_TYPES, Library, aligned, factors

# ---------------------------------------------------------------- data


class Gemm(NamedTuple):
    """cublasGemmStridedBatchedEx without addresses."""

    trans_a: int
    trans_b: int
    m: int
    n: int
    k: int
    lda: int
    stride_a: int
    ldb: int
    stride_b: int
    ldc: int
    stride_c: int
    count: int
    dtype: np.dtype


class Trsm(NamedTuple):
    """cublasStrsm and its kin, from the right, without addresses: x op(a) = b."""

    is_upper: int
    trans: int
    """0: a, 1: its transpose, 2: its adjoint."""
    is_unit: int
    m: int
    n: int
    """Rows and columns of b; a is n by n."""
    dtype: np.dtype


class Blas(Protocol):
    """A library of matrix products."""

    is_capturable: bool
    workspace_bytes: int

    def gemm(self, gemm: Gemm, a: int, b: int, c: int, workspace: int) -> None:
        """c = op(a) op(b), on the machine's current stream."""
        ...

    def trsm(self, trsm: Trsm, a: int, b: int) -> None:
        """b becomes x."""
        ...


LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}
"""LAPACK's, by dtype."""

# ---------------------------------------------------------------- cuBLAS

_SUMS = {
    "float16": (68, "float32"),
    "float32": (68, "float32"),
    "float64": (70, "float64"),
    "complex64": (68, "complex64"),
    "complex128": (70, "complex128"),
}
"""cublasComputeType, and the type of alpha and beta."""
_DEFAULT_ALGORITHM = -1
_RIGHT = 1


class Cublas:
    """cuBLAS on a card."""

    def __init__(self, machine: Any):
        self._library = Library(machine, CUBLAS)
        self._gemm = self._library.function("gemm_strided_batched_ex")
        self._set_workspace = None  # its own it would allocate, which no graph can
        if self._library.has("set_workspace"):
            self._set_workspace = self._library.function("set_workspace")
        self.workspace_bytes = 8 << 20 if self._set_workspace else 0
        self.is_capturable = self._set_workspace is not None

    def gemm(self, gemm: Gemm, a: int, b: int, c: int, workspace: int) -> None:
        name, handle = gemm.dtype.name, self._library.handle
        kind, (sums, scalar) = CUDA_TYPES[name], _SUMS[name]
        _, one, zero = factors(scalar)
        with self._library.entered("matmul"):
            if self._set_workspace:  # behind the stream, which takes it away
                self._set_workspace(handle, aligned(workspace), self.workspace_bytes)
            self._gemm(
                handle, gemm.trans_a, gemm.trans_b, gemm.m, gemm.n, gemm.k,
                one, a, kind, gemm.lda, gemm.stride_a, b, kind, gemm.ldb, gemm.stride_b,
                zero, c, kind, gemm.ldc, gemm.stride_c, gemm.count, sums, _DEFAULT_ALGORITHM,
            )  # fmt: skip

    def trsm(self, trsm: Trsm, a: int, b: int) -> None:
        run = self._library.function(f"{LETTERS[trsm.dtype.name]}trsm")
        _, one, _ = factors(trsm.dtype.name)
        with self._library.entered("solve_triangular"):
            run(
                self._library.handle, _RIGHT, trsm.is_upper, trsm.trans, trsm.is_unit,
                trsm.m, trsm.n, one, a, max(trsm.n, 1), b, max(trsm.m, 1),
            )  # fmt: skip


# ---------------------------------------------------------------- by definition


class HostBlas:
    """cuBLAS's definitions on the memory of a simulated GPU."""

    is_capturable = True
    workspace_bytes = 0

    def __init__(self, machine: Any):
        self.machine = machine

    def gemm(self, gemm: Gemm, a: int, b: int, c: int, workspace: int) -> None:
        def run():
            left = self._matrices(gemm, a, gemm.trans_a, gemm.m, gemm.k, gemm.lda, gemm.stride_a)
            right = self._matrices(gemm, b, gemm.trans_b, gemm.k, gemm.n, gemm.ldb, gemm.stride_b)
            target = self._matrices(gemm, c, 0, gemm.m, gemm.n, gemm.ldc, gemm.stride_c)
            sums = _SUMS[gemm.dtype.name][1]
            with np.errstate(all="ignore"):
                target[...] = np.matmul(left.astype(sums), right.astype(sums))

        self.machine.host_call(run)

    def _matrices(self, gemm, address, is_turned, rows, columns, step, apart):
        """Column-major matrices, or row-major ones if they are turned."""
        assert step >= max(columns if is_turned else rows, 1), gemm
        inner = (step, 1) if is_turned else (1, step)
        shape, strides = (gemm.count, rows, columns), (apart, *inner)
        return self.machine.host_view(address, gemm.dtype, shape, strides)

    def trsm(self, trsm: Trsm, a: int, b: int) -> None:
        from scipy.linalg import blas

        def run():
            m, n = trsm.m, trsm.n
            triangle = self.machine.host_view(a, trsm.dtype, (n, n), (1, n))
            target = self.machine.host_view(b, trsm.dtype, (m, n), (1, m))
            solve = getattr(blas, f"{LETTERS[trsm.dtype.name]}trsm")
            with np.errstate(all="ignore"):
                target[...] = solve(
                    1.0, triangle, target, side=_RIGHT, lower=not trsm.is_upper,
                    trans_a=trsm.trans, diag=trsm.is_unit,
                )  # fmt: skip

        self.machine.host_call(run)
