"""cuBLAS and cuSOLVER as NVIDIA's manuals define them, on the memory of a simulated GPU.

They take the place of nvmath-python's bindings, with the arguments that those and CuPy's declare:
what is called with others fails, or gives other numbers.  Sources: NVIDIA, cuBLAS and cuSOLVER API
references; signatures of nvmath-python 1.0 and CuPy 14.2.
"""

from __future__ import annotations

import ctypes
import types

import numpy as np
from scipy.linalg import blas, lapack

from tapejit.runtime.cuda.simulator.machine import SimulatedMachine

# ---------------------------------------------------------------- cuBLAS

CUDA_TYPES = {0: np.float32, 1: np.float64, 2: np.float16, 4: np.complex64, 5: np.complex128}
COMPUTE_TYPES = {68: np.float32, 70: np.float64}
DTYPES = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}


class CublasByDefinition(types.ModuleType):
    """cublasGemmStridedBatchedEx as NVIDIA's manual defines it, on the host's memory."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def create(self):
        self.calls.append("create")
        return 77

    def set_stream(self, handle, stream):
        assert handle == 77
        self.calls.append("set_stream")

    def set_workspace(self, handle, address, n_bytes):
        assert handle == 77 and address % 256 == 0 and n_bytes >= 1 << 20
        self.calls.append("set_workspace")

    def gemm_strided_batched_ex(
        self, handle, transa, transb, m, n, k, alpha, a, atype, lda, stride_a, b, btype, ldb,
        stride_b, beta, c, ctype, ldc, stride_c, batch_count, compute_type, algo,
    ):  # fmt: skip
        assert handle == 77 and atype == btype == ctype and algo == -1
        dtype = np.dtype(CUDA_TYPES[atype])
        scalar = COMPUTE_TYPES[compute_type]
        if dtype.kind == "c":
            scalar = np.result_type(scalar, np.complex64)
        alpha, beta = (memory_at(x, scalar, (1,), (1,))[0] for x in (alpha, beta))
        a_shape, b_shape = ((k, m) if transa else (m, k)), ((n, k) if transb else (k, n))
        assert lda >= max(1, a_shape[0]) and ldb >= max(1, b_shape[0]) and ldc >= max(1, m)
        for i in range(batch_count):
            at = i * dtype.itemsize
            left = memory_at(a + at * stride_a, dtype, a_shape, (1, lda))
            right = memory_at(b + at * stride_b, dtype, b_shape, (1, ldb))
            target = memory_at(c + at * stride_c, dtype, (m, n), (1, ldc))
            left, right = (left.T if transa else left), (right.T if transb else right)
            before = 0 if beta == 0 else beta * target
            target[...] = alpha * (left.astype(scalar) @ right.astype(scalar)) + before
        self.calls.append("gemm")

    def __getattr__(self, name):
        """strsm, dtrsm, ctrsm, ztrsm."""
        if len(name) != 5 or name[1:] != "trsm" or name[0] not in DTYPES:
            raise AttributeError(name)

        def trsm(handle, side, uplo, trans, diag, m, n, alpha, a, lda, b, ldb):
            assert handle == 77 and side in (0, 1) and uplo in (0, 1) and diag in (0, 1)
            high = n if side else m
            assert lda >= max(1, high) and ldb >= max(1, m)
            dtype = DTYPES[name[0]]
            factor = memory_at(alpha, dtype, (1,), (1,))[0]
            triangle = memory_at(a, dtype, (high, high), (1, lda))
            target = memory_at(b, dtype, (m, n), (1, ldb))
            target[...] = getattr(blas, name)(
                factor, triangle, target, side=side, lower=1 - uplo, trans_a=trans, diag=diag
            )
            self.calls.append(name)

        return trsm


def memory_at(address, dtype, shape, strides):
    dtype = np.dtype(dtype)
    n = 1 + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    flat = (ctypes.c_char * (n * dtype.itemsize)).from_address(address)
    return np.ndarray(shape, dtype, flat, 0, [step * dtype.itemsize for step in strides])


class MachineWithLibraries(SimulatedMachine):
    """One that is not known to be simulated."""

    @property
    def host_view(self):
        raise AttributeError("host_view")

    def note(self, place):
        pass

    def settle(self):
        pass


# ---------------------------------------------------------------- cuSOLVER

ROOM = 24
"""Elements of room that routines ask for, and write NaN to."""


class CusolverByDefinition(types.ModuleType):
    """cuSolverDN's routines, by LAPACK."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def create(self):
        self.calls.append("create")
        return 78

    def create_params(self):
        return 79

    def create_syevj_info(self):
        return 80

    def create_gesvdj_info(self):
        return 81

    def set_stream(self, handle, stream):
        assert handle == 78

    def __getattr__(self, name):
        """spotrf, zgesvd_buffer_size..."""
        routine, size, _ = name.partition("_buffer_size")
        kind, routine = routine[:1], routine[1:]
        if kind not in DTYPES or f"_{routine}" not in dir(type(self)):
            raise AttributeError(name)
        is_complex = DTYPES[kind]().dtype.kind == "c"
        assert not routine.startswith(("orgqr", "syev") if is_complex else ("ungqr", "heev")), name
        if size:
            return lambda handle, *arguments: self._size(handle, routine, arguments)

        def run(handle, *arguments):
            assert handle == 78
            self.calls.append(name)
            getattr(self, f"_{routine}")(_Of(kind), *arguments)

        return run

    def _size(self, handle, routine, arguments):
        assert handle == 78
        expected = {
            "potrf": 4, "getrf": 4, "geqrf": 4, "orgqr": 6, "ungqr": 6, "syevd": 6, "heevd": 6,
            "gesvd": 2, "syevj_batched": 8, "heevj_batched": 8, "gesvdj_batched": 12,
        }  # fmt: skip
        assert len(arguments) == expected[routine], (routine, arguments)
        return ROOM

    def _potrf(self, of, uplo, n, a, lda, work, lwork, info):
        matrix = of.matrix(a, n, n, lda)
        of.work(work, lwork)
        matrix[...], of.say(info)[0] = of.lapack("potrf")(matrix, lower=1 - uplo, clean=0)

    def _getrf(self, of, m, n, a, lda, work, pivots, info):
        matrix = of.matrix(a, m, n, lda)
        of.work(work, ROOM)
        matrix[...], found, of.say(info)[0] = of.lapack("getrf")(matrix)
        memory_at(pivots, np.int32, (min(m, n),), (1,))[...] = found + 1

    def _getrs(self, of, trans, n, columns, a, lda, pivots, b, ldb, info):
        target = of.matrix(b, n, columns, ldb)
        order = memory_at(pivots, np.int32, (n,), (1,)) - 1
        target[...], of.say(info)[0] = of.lapack("getrs")(
            of.matrix(a, n, n, lda), order, target, trans
        )

    def _geqrf(self, of, m, n, a, lda, tau, work, lwork, info):
        matrix = of.matrix(a, m, n, lda)
        of.work(work, lwork)
        matrix[...], factors, _, of.say(info)[0] = of.lapack("geqrf")(matrix)
        memory_at(tau, of.dtype, (min(m, n),), (1,))[...] = factors

    def _orgqr(self, of, m, n, k, a, lda, tau, work, lwork, info):
        assert m >= n >= k
        matrix = of.matrix(a, m, n, lda)
        of.work(work, lwork)
        name = "ungqr" if of.dtype.kind == "c" else "orgqr"
        matrix[:, k:] = 0
        made, _, of.say(info)[0] = of.lapack(name)(matrix, memory_at(tau, of.dtype, (k,), (1,)))
        matrix[...] = made

    _ungqr = _orgqr

    def _syevd(self, of, jobz, uplo, n, a, lda, values, work, lwork, info):
        matrix = of.matrix(a, n, n, lda)
        of.work(work, lwork)
        name = "heevd" if of.dtype.kind == "c" else "syevd"
        found, vectors, of.say(info)[0] = of.lapack(name)(matrix, compute_v=1, lower=1 - uplo)
        memory_at(values, of.real, (n,), (1,))[...] = found
        matrix[...] = vectors if jobz else np.nan

    _heevd = _syevd

    def _gesvd(
        self, of, jobu, jobvt, m, n, a, lda, values, u, ldu, vt, ldvt, work, lwork, rwork, info
    ):
        assert m >= n and jobu == jobvt and rwork == 0
        job = chr(jobu)
        matrix = of.matrix(a, m, n, lda)
        of.work(work, lwork)
        left, found, right, of.say(info)[0] = of.lapack("gesvd")(
            matrix, full_matrices=int(job == "A")
        )
        matrix[...] = np.nan
        memory_at(values, of.real, (n,), (1,))[...] = found
        if job != "N":
            of.matrix(u, *left.shape, ldu)[...] = left
            of.matrix(vt, n, n, ldvt)[...] = right

    def _syevj_batched(
        self, of, jobz, uplo, n, a, lda, values, work, lwork, info, params, batch_size
    ):
        assert params == 80 and n <= 32 and lda == n
        of.work(work, lwork)
        for k in range(batch_size):
            at, of_values = a + k * n * n * of.dtype.itemsize, values + k * n * of.real.itemsize
            self._syevd(of, jobz, uplo, n, at, lda, of_values, work, lwork, info + 4 * k)

    _heevj_batched = _syevj_batched

    def _gesvdj_batched(
        self, of, jobz, m, n, a, lda, values, u, ldu, v, ldv, work, lwork, info, params, batch_size
    ):
        assert params == 81 and max(m, n) <= 32 and (lda, ldu, ldv) == (m, m, n)
        of.work(work, lwork)
        size, few = of.dtype.itemsize, min(m, n)
        for k in range(batch_size):
            matrix = of.matrix(a + k * m * n * size, m, n, lda)
            left, found, right = np.linalg.svd(matrix)
            memory_at(values + k * few * of.real.itemsize, of.real, (few,), (1,))[...] = found
            if jobz:
                of.matrix(u + k * m * m * size, m, m, ldu)[...] = left
                of.matrix(v + k * n * n * size, n, n, ldv)[...] = right.conj().T
            matrix[...] = np.nan
            of.say(info + 4 * k)[0] = 0

    def xgeev_buffer_size(self, *arguments):
        assert len(arguments) == 17
        return ROOM * 16, 5

    def xgeev(
        self, handle, params, jobvl, jobvr, n, kind_a, a, lda, kind_w, values, kind_vl, vl, ldvl,
        kind_vr, vr, ldvr, compute, work, n_work, host, n_host, info,
    ):  # fmt: skip
        assert (handle, params, jobvl) == (78, 79, 0) and kind_a == kind_vl == kind_vr == compute
        of = _Of({0: "s", 1: "d", 4: "c", 5: "z"}[compute])
        assert kind_w == {0: 4, 1: 5, 4: 4, 5: 5}[compute] and ldvl >= 1
        of.work(work, n_work // of.dtype.itemsize)
        memory_at(host, np.uint8, (n_host,), (1,))[...] = 255
        matrix = of.matrix(a, n, n, lda)
        found = of.lapack("geev")(matrix)
        whole = found[0] if of.dtype.kind == "c" else found[0] + 1j * found[1]
        memory_at(values, CUDA_TYPES[kind_w], (n,), (1,))[...] = whole
        if jobvr:
            of.matrix(vr, n, n, ldvr)[...] = found[-2]
        of.say(info)[0] = found[-1]
        self.calls.append("geev")


class _Of:
    """Memory of one dtype."""

    def __init__(self, letter):
        self.letter, self.dtype = letter, np.dtype(DTYPES[letter])
        self.real = np.finfo(self.dtype).dtype

    def matrix(self, address, rows, columns, step):
        assert step >= max(1, rows), (rows, step)
        return memory_at(address, self.dtype, (rows, columns), (1, step))

    def work(self, address, n):
        assert address % 256 == 0 and n >= ROOM
        memory_at(address, self.dtype, (ROOM,), (1,))[...] = np.nan

    def say(self, info):
        return memory_at(info, np.int32, (1,), (1,))

    def lapack(self, name):
        return getattr(lapack, self.letter + name)
