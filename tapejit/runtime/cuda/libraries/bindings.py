"""NVIDIA's libraries: through nvmath-python's bindings, or CuPy's.

Both give a library's functions one by one, with NVIDIA's arguments in NVIDIA's order; they spell
the names differently.  A `Library` is one of them with a handle for all threads, which goes to the
stream of each call.  It is made when a program is compiled: while a graph is captured it could not
be.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import GpuUnavailable
from tapejit.locks import Lock

CUDA_TYPES = {"float16": 2, "float32": 0, "float64": 1, "complex64": 4, "complex128": 5}
"""cudaDataType."""

WORKSPACE_ALIGNMENT = 256
"""What NVIDIA's libraries ask for; the arena's places have less."""


class Names(NamedTuple):
    """A library: the two modules that bind it, and what needs it."""

    nvmath: str
    cupy: str
    title: str
    purpose: str


CUBLAS = Names(
    "nvmath.bindings.cublas", "cupy_backends.cuda.libs.cublas", "cuBLAS",
    "matrix products on a GPU need",
)  # fmt: skip
CUSOLVER = Names(
    "nvmath.bindings.cusolverDn", "cupy_backends.cuda.libs.cusolver", "cuSOLVER",
    "factorizations of large or complex matrices on a GPU need",
)  # fmt: skip


class Library:
    """One of NVIDIA's libraries, for one machine."""

    def __init__(self, machine: Any, names: Names):
        self.machine = machine
        self._lock = Lock()
        self._held = machine.allocate(1)  # the card's context is this thread's from here on
        self._module, self.handle = _start(names)
        self._set_stream = self.function("set_stream")
        self.somewhere = self._held.address
        """On the device: for functions that look at nothing there."""

    def function(self, name: str) -> Callable[..., Any]:
        """A function by nvmath's name."""
        return getattr(self._module, _spelled(name, self._module.__name__))

    def has(self, name: str) -> bool:
        """Whether the bindings know a function."""
        return hasattr(self._module, _spelled(name, self._module.__name__))

    @contextlib.contextmanager
    def entered(self, place: str) -> Iterator[None]:
        """The handle is this thread's, and goes to its stream; `place` names the operation."""
        self.machine.note(place)
        with self._lock:
            self._set_stream(self.handle, int(self.machine.stream.handle))
            yield
        self.machine.settle()


def _spelled(name: str, module: str) -> str:
    """set_stream is setStream in CuPy, spotrf_buffer_size spotrf_bufferSize."""
    if not module.startswith("cupy"):
        return name
    name, size, _ = name.partition("_buffer_size")
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others) + ("_bufferSize" if size else "")


def _start(names: Names) -> tuple[Any, int]:
    """The module that binds a library here, and a handle."""
    reasons = []
    for module in (names.nvmath, names.cupy):
        try:
            if module == names.cupy:
                import_module("cupy")  # which finds the library
            found = import_module(module)
            return found, found.create()
        except ImportError as error:
            reasons.append(f"no module {error.name}")
        except Exception as error:  # each binding has classes of its own for a missing library
            reasons.append(f"{module}: {type(error).__name__}: {error}")
    raise GpuUnavailable(
        "package",
        f"{names.purpose} {names.title}: {'; '.join(reasons)}\n"
        "  try  pip install 'tapejit[cuda13-blas]', or 'tapejit[cuda12-blas]', or CuPy",
    )


def aligned(workspace: int) -> int:
    """The first address from there on that libraries take."""
    return -(-workspace // WORKSPACE_ALIGNMENT) * WORKSPACE_ALIGNMENT


@functools.cache
def factors(dtype: str) -> tuple[np.ndarray, int, int]:
    """Memory with 1 and 0 in a dtype, for alpha and beta, and their addresses."""
    numbers = np.array([1, 0], dtype)
    return numbers, numbers.ctypes.data, numbers.ctypes.data + numbers.itemsize
