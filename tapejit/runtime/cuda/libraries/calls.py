"""What libraries do on a GPU: the seam to them, and the table of operations that go through it.

    products        matrix products: cuBLAS (cublas.py)
    factorizations  solves, decompositions, eigenvalues: cuSOLVER (factorizations.py, cusolver.py)

Each library has a stand-in, NumPy's or SciPy's, on the memory of a simulated GPU.

Start at `launches_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tapejit import dtypes
from tapejit.codegen.cuda.launches import Argument, Launch, Launches, LibraryCall
from tapejit.errors import GpuUnavailable, NoGpuForm
from tapejit.ops.loops import products
from tapejit.registry import Kind, Operand
from tapejit.runtime.cuda.libraries import factorizations
from tapejit.runtime.cuda.libraries.bindings import WORKSPACE_ALIGNMENT
from tapejit.runtime.cuda.libraries.cublas import Blas, Cublas, Gemm, HostBlas
from tapejit.runtime.cuda.libraries.cusolver import Cusolver, HostLapack, Lapack
from tapejit.runtime.cuda.machine import Machine
from tapejit.schedule.views import is_contiguous

# ---------------------------------------------------------------- data


class Entry(NamedTuple):
    """How an operation becomes library calls."""

    launches_of: Callable[[Machine, Kind, Sequence[Operand], Operand], Launches]
    reads: Callable[[Operand], bool]
    """Whether it takes an operand that lies so; others are copied."""
    dtypes: frozenset
    """Of the operands."""
    pays: Callable[[Sequence[Operand]], bool] | None = None
    """Where the operation has a loop of its own: whether the library is to be asked, if there is
    one.  None: there is no other form."""


# ---------------------------------------------------------------- the door


def takes(machine: Machine, kind: Kind, operands: Sequence[Operand]) -> bool:
    """Whether a step is a library's."""
    entry = CALLS.get(kind.op.name)
    if entry is None or operands[0].dtype not in entry.dtypes:
        return False
    if entry.pays is None or kind.op.loop is None or operands[0].dtype.is_complex:
        return True
    return entry.pays(operands) and has_solver(machine)


def reads(kind: Kind, operand: Operand) -> bool:
    """Whether the library form of an operation takes an operand that lies so."""
    entry = CALLS.get(kind.op.name)
    return entry is None or entry.reads(operand)


def launches_of(
    machine: Machine, kind: Kind, operands: Sequence[Operand], result: Operand
) -> Launches:
    """The operation on operands that lie so; the result is row-major.

    Errors  NoGpuForm if there is none, or none for this dtype; GpuUnavailable without the library
    """
    entry = CALLS.get(kind.op.name)
    if entry is None or operands[0].dtype not in entry.dtypes:
        raise NoGpuForm(no_form(kind, operands, machine))
    return entry.launches_of(machine, kind, operands, result)


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
    count, x_step, y_step, firsts = products.batches(p)
    # row-major is column-major of the transpose: y' x' is the transpose of x y
    gemm = Gemm(
        p.y[0], p.x[0], p.n, p.m, p.k, p.y[1], y_step, p.x[1], x_step, p.n, p.m * p.n, count,
        result.dtype.dtype,
    )  # fmt: skip
    size = result.dtype.itemsize
    offsets = [tuple(size * first for first in each) for each in firsts]
    blas = blas_of(machine)

    def run(addresses):
        x, y, z, workspace = addresses
        for dx, dy, dz in offsets:
            blas.gemm(gemm, y + dy, x + dx, z + dz, workspace)

    room = blas.workspace_bytes + WORKSPACE_ALIGNMENT if blas.workspace_bytes else 0
    places = (*(Argument("view", k) for k in range(3)), Argument("scratch", 0))
    launch = Launch(LibraryCall(run, blas.is_capturable), 0, places)
    return Launches((launch,), (("i64", room // 8),))


def _factorized(machine, kind, operands, result):
    return factorizations.launches_of(
        kind, operands, result, blas_of(machine), lapack_of(machine), machine.block
    )


def _is_row_major(operand):
    return is_contiguous(operand.shape, operand.strides)


INEXACT = frozenset({dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128})
CALLS = {
    "matmul": Entry(_matmul, products.reads, INEXACT | {dtypes.float16}),
    **{
        name: Entry(_factorized, _is_row_major, INEXACT, factorizations.pays)
        for name in factorizations.FORMS
    },
}

# ---------------------------------------------------------------- libraries that there are

_BLAS: dict[int, Blas] = {}
_LAPACK: dict[int, Lapack] = {}


def blas_of(machine: Machine) -> Blas:
    """The library of products for a machine.

    Errors  GpuUnavailable if none is installed
    """
    return _made(_BLAS, machine, HostBlas, Cublas)


def lapack_of(machine: Machine) -> Lapack:
    """The library of factorizations for a machine.

    Errors  GpuUnavailable if none is installed
    """
    return _made(_LAPACK, machine, HostLapack, Cusolver)


def _made(found: dict, machine: Machine, simulated: Callable, real: Callable) -> Any:
    if id(machine) not in found:
        found.setdefault(
            id(machine), (simulated if hasattr(machine, "host_view") else real)(machine)
        )
    return found[id(machine)]


def has_blas(machine: Machine) -> bool:
    """Whether there is a library of products for a machine; it is started if so."""
    return _is_there(blas_of, machine)


def has_solver(machine: Machine) -> bool:
    """Whether there are libraries of factorizations for a machine; they are started if so."""
    return has_blas(machine) and _is_there(lapack_of, machine)


def _is_there(library: Callable, machine: Machine) -> bool:
    try:
        library(machine)
    except GpuUnavailable:
        return False
    return True
