"""What libraries do on a GPU: the seam to them, and the table of operations that go through it.

`CALLS` says for each such operation how it becomes calls of a `Blas`.  There are three of those:
cuBLAS through nvmath-python's bindings, cuBLAS through CuPy's, and NumPy on the memory of a
simulated GPU.  They take the very same arguments, so what the simulator shows to be right, leading
dimensions and transposes, is right on a card.

float32 products are not rounded to TF32, as in PyTorch; those of float16 are summed in float32.

Start at `call_of`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapejit import dtypes
from tapejit.errors import GpuUnavailable, NoGpuForm
from tapejit.locks import Lock
from tapejit.ops.loops import products
from tapejit.registry import Kind, Operand
from tapejit.runtime.cuda.machine import Machine
from tapejit.schedule.views import contiguous

# ---------------------------------------------------------------- data


class Call(NamedTuple):
    """An operation, ready to be run at addresses."""

    run: Callable[[Sequence[int]], None]
    """Given the addresses of the operands, of the result, then of scratch."""
    scratch: tuple[int, ...] = ()
    """Bytes of each scratch area."""
    is_capturable: bool = True
    """Whether a CUDA graph can replay it."""


class Entry(NamedTuple):
    """How an operation becomes library calls."""

    call_of: Callable[[Machine, Kind, Sequence[Operand], Operand], Call]
    reads: Callable[[Operand], bool]
    """Whether it takes an operand that lies so; others are copied."""
    dtypes: frozenset
    """Of the result."""


class Gemm(NamedTuple):
    """cublasGemmStridedBatchedEx without addresses: matrices are column-major."""

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


class Blas(Protocol):
    """A library of matrix products."""

    is_capturable: bool
    workspace_bytes: int

    def gemm(self, gemm: Gemm, a: int, b: int, c: int, workspace: int) -> None:
        """c = op(a) op(b), on the machine's current stream."""
        ...


# ---------------------------------------------------------------- the door


def reads(kind: Kind, operand: Operand) -> bool:
    """Whether the library form of an operation takes an operand that lies so."""
    entry = CALLS.get(kind.op.name)
    return entry is None or entry.reads(operand)


def call_of(machine: Machine, kind: Kind, operands: Sequence[Operand], result: Operand) -> Call:
    """The operation on operands that lie so; the result is row-major.

    Errors  NoGpuForm if there is none, or none for this dtype; GpuUnavailable without the library
    """
    entry = CALLS.get(kind.op.name)
    if entry is None or result.dtype not in entry.dtypes:
        raise NoGpuForm(no_form(kind, operands, machine))
    return entry.call_of(machine, kind, operands, result)


def no_form(kind: Kind, operands: Sequence[Operand], machine: Machine) -> str:
    """What to say of an operation that has no form for a GPU."""
    of = ", ".join(f"{x.dtype.name}{list(x.shape)}" for x in operands)
    return (
        f"cuda:{machine.index}: {kind.op.name} of {of} has no form for a GPU yet\n"
        "  try  .cpu() before it, and .cuda() behind it"
    )


# ---------------------------------------------------------------- matrix products


def _matmul(machine, kind, operands, result):
    """One strided batch of products, or several where no single stride leads through the batch."""
    p = products.product(operands, result)
    batch, size = p.batch, result.dtype.itemsize
    apart = contiguous((*batch, p.m * p.n))[:-1]
    x_folded = y_folded = (1, 0)
    if batch:
        x_folded, y_folded = products.fold(batch, p.x_batch), products.fold(batch, p.y_batch)
    if x_folded is None or y_folded is None:  # the last axis as a batch, the others one by one
        outer, count = batch[:-1], batch[-1]
        x_step, y_step = p.x_batch[-1], p.y_batch[-1]
    else:
        outer, (count, x_step), (_, y_step) = (), x_folded, y_folded
    # row-major is column-major of the transpose: y' x' is the transpose of x y
    gemm = Gemm(
        p.y[0], p.x[0], p.n, p.m, p.k, p.y[1], y_step, p.x[1], x_step, p.n, p.m * p.n, count,
        result.dtype.dtype,
    )  # fmt: skip
    offsets = [
        tuple(
            size * sum(i * step for i, step in zip(index, steps, strict=False))
            for steps in (p.x_batch, p.y_batch, apart)
        )
        for index in itertools.product(*map(range, outer))
    ]
    blas = blas_of(machine)

    def run(addresses):
        x, y, z, workspace = addresses
        workspace = -(-workspace // WORKSPACE_ALIGNMENT) * WORKSPACE_ALIGNMENT
        for dx, dy, dz in offsets:
            blas.gemm(gemm, y + dy, x + dx, z + dz, workspace)

    room = blas.workspace_bytes + WORKSPACE_ALIGNMENT if blas.workspace_bytes else 0
    return Call(run, (room,), blas.is_capturable)


WORKSPACE_ALIGNMENT = 256
"""What cuBLAS asks for; the arena's places have less."""

FLOATS = frozenset(
    {dtypes.float16, dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128}
)
CALLS = {"matmul": Entry(_matmul, products.reads, FLOATS)}

# ---------------------------------------------------------------- cuBLAS

_CUDA_TYPES = {"float16": 2, "float32": 0, "float64": 1, "complex64": 4, "complex128": 5}
"""cudaDataType."""
_SUMS = {
    "float16": (68, np.float32),
    "float32": (68, np.float32),
    "float64": (70, np.float64),
    "complex64": (68, np.complex64),
    "complex128": (70, np.complex128),
}
"""cublasComputeType, and the type of alpha and beta."""
_DEFAULT_ALGORITHM = -1


@functools.cache
def _factors(dtype: str) -> tuple[np.ndarray, int, int]:
    """Memory with 1 and 0 in the type of alpha and beta, and their addresses."""
    numbers = np.array([1, 0], _SUMS[dtype][1])
    return numbers, numbers.ctypes.data, numbers.ctypes.data + numbers.itemsize


class Cublas:
    """cuBLAS: one handle for all threads, which goes to the stream of each call.

    It is made when a program is compiled: while a graph is captured it could not be.
    """

    def __init__(self, machine: Any):
        self.machine = machine
        self._lock = Lock()
        self._entering = machine.allocate(1)  # the card's context is this thread's from here on
        self._handle, self._set_stream, self._set_workspace, self._gemm = _start_cublas()
        self.workspace_bytes = 8 << 20 if self._set_workspace else 0
        self.is_capturable = self._set_workspace is not None  # its own it would allocate

    def gemm(self, gemm: Gemm, a: int, b: int, c: int, workspace: int) -> None:
        name = gemm.dtype.name
        kind, (sums, _) = _CUDA_TYPES[name], _SUMS[name]
        _, one, zero = _factors(name)
        self.machine.note("matmul")
        with self._lock:
            self._set_stream(self._handle, int(self.machine.stream.handle))
            if self._set_workspace:  # behind the stream, which takes it away
                self._set_workspace(self._handle, workspace, self.workspace_bytes)
            self._gemm(
                self._handle, gemm.trans_a, gemm.trans_b, gemm.m, gemm.n, gemm.k,
                one, a, kind, gemm.lda, gemm.stride_a, b, kind, gemm.ldb, gemm.stride_b,
                zero, c, kind, gemm.ldc, gemm.stride_c, gemm.count, sums, _DEFAULT_ALGORITHM,
            )  # fmt: skip
        self.machine.settle()


_BINDINGS = (
    ("nvmath.bindings.cublas", "set_stream", "set_workspace", "gemm_strided_batched_ex"),
    ("cupy_backends.cuda.libs.cublas", "setStream", "", "gemmStridedBatchedEx"),
)
"""Modules, and what they call the functions; their arguments are the same."""


def _start_cublas() -> tuple[Any, ...]:
    """A handle, set_stream, set_workspace or None, gemm_strided_batched_ex."""
    reasons = []
    for module, set_stream, set_workspace, gemm in _BINDINGS:
        try:
            if module.startswith("cupy"):
                import_module("cupy")  # which finds the library
            cublas = import_module(module)
            handle = cublas.create()
        except ImportError as error:
            reasons.append(f"no module {error.name}")
        except Exception as error:  # each binding has classes of its own for a missing library
            reasons.append(f"{module}: {type(error).__name__}: {error}")
        else:
            workspace = getattr(cublas, set_workspace) if set_workspace else None
            return handle, getattr(cublas, set_stream), workspace, getattr(cublas, gemm)
    raise GpuUnavailable(
        "package",
        f"matrix products on a GPU need cuBLAS: {'; '.join(reasons)}\n"
        "  try  pip install 'tapejit[cuda13-blas]', or 'tapejit[cuda12-blas]', or CuPy",
    )


# ---------------------------------------------------------------- NumPy


class HostBlas:
    """cuBLAS's definition on the memory of a simulated GPU."""

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


_LIBRARIES: dict[int, Blas] = {}


def has_blas(machine: Machine) -> bool:
    """Whether there is a library for a machine; it is started if so."""
    try:
        blas_of(machine)
    except GpuUnavailable:
        return False
    return True


def blas_of(machine: Machine) -> Blas:
    """The library for a machine.

    Errors  GpuUnavailable if none is installed
    """
    found = _LIBRARIES.get(id(machine))
    if found is None:
        kind = HostBlas if hasattr(machine, "host_view") else Cublas
        found = _LIBRARIES.setdefault(id(machine), kind(machine))
    return found
