"""A simulated GPU: memory on the host, kernels run as Python (kernels.py), all at once.

It is a `Machine` like a card, so the whole way from `device="cuda"` to the text of kernels runs
where there is no GPU (TAPEJIT_CUDA=simulator): for tests, at sizes of some hundred elements.
Streams and events are there, and nothing in them is ever late.  Counters say what was asked:
`n_launches`, `places`, `memory_use()`.
"""

from __future__ import annotations

import bisect
import collections
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.codegen.cuda.launches import Function
from tapejit.errors import LaunchError, OutOfMemory
from tapejit.locks import Lock
from tapejit.runtime.cuda.machine import Launched, MemoryUse
from tapejit.runtime.cuda.simulator.kernels import DTYPES, Kernel, Pointer
from tapejit.sites import here

COUNT = 2
"""How many there are: two, so that mixing them can be tried."""

TOTAL_BYTES = 2**30
ALIGNMENT = 256

DEFAULT_HANDLE, HANDLE_STEP = 1, 256
"""Streams' handles: as the driver's; 2 is another thing there."""

_MACHINES: weakref.WeakSet[SimulatedMachine] = weakref.WeakSet()


class SimulatedMemory:
    """Bytes of the host; nothing is in them (0xFF: NaN or -1)."""

    def __init__(self, machine: SimulatedMachine, n_bytes: int):
        self.machine, self.n_bytes = machine, n_bytes
        room = np.full(n_bytes + 2 * ALIGNMENT, 0xFF, np.uint8)
        skip = -room.ctypes.data % ALIGNMENT
        self.bytes = room[skip : skip + n_bytes]
        self.address = room.ctypes.data + skip

    def __del__(self):
        if hasattr(self, "address"):
            self.machine._release(self)


class SimulatedEvent:
    """A time of day."""

    def __init__(self):
        self.at_s: float | None = None

    def record(self, stream):
        self.at_s = time.perf_counter()

    def is_done(self):
        return True

    def synchronize(self):
        pass

    def ms_since(self, earlier):
        return (self.at_s - earlier.at_s) * 1e3


class SimulatedStream:
    """A name for work that is done already."""

    def __init__(self, handle: int):
        self.handle = handle

    def is_done(self):
        return True

    def synchronize(self):
        pass

    def wait(self, event):
        pass


class SimulatedGraph:
    """Calls, to be made again."""

    def __init__(self, calls: list[Callable[[], None]]):
        self.calls = calls

    def launch(self):
        for call in self.calls:
            call()


class SimulatedMachine:
    """One simulated GPU; machine.Machine says what its methods do."""

    name = "simulated GPU"
    compute_capability: tuple[int, int] = (8, 0)
    n_multiprocessors = 1
    block = 8

    def __init__(self, index: int = 0, total_bytes: int = TOTAL_BYTES):
        self.index = index
        self.total_bytes = total_bytes
        self.n_launches = 0
        self.places: collections.deque[Any] = collections.deque(maxlen=1024)
        """Of the last launches."""
        self._held: dict[int, np.ndarray] = {}
        self._addresses: list[int] = []
        self._bytes = self._most_bytes = 0
        self._kernels: dict[Function, Callable[..., None]] = {}
        self._captured: list[Callable[[], None]] | None = None
        self._streams = 0
        self._lock = Lock()
        self._current = threading.local()
        self.default_stream = SimulatedStream(DEFAULT_HANDLE)
        self._used = {DEFAULT_HANDLE}
        _MACHINES.add(self)

    # -------------------------------------------------------------------------- memory

    def allocate(self, n_bytes: int) -> SimulatedMemory:
        self._refuse_in_capture("allocated")
        with self._lock:
            if self._bytes + n_bytes > self.total_bytes:
                raise OutOfMemory(
                    f"cuda:{self.index}: {n_bytes} bytes asked, {self._bytes} held, "
                    f"{self.total_bytes - self._bytes} of {self.total_bytes} free"
                )
            memory = SimulatedMemory(self, n_bytes)
            self._held[memory.address] = memory.bytes
            bisect.insort(self._addresses, memory.address)
            self._bytes += n_bytes
            self._most_bytes = max(self._most_bytes, self._bytes)
        return memory

    def _release(self, memory: SimulatedMemory):
        with self._lock:
            del self._held[memory.address]
            self._addresses.remove(memory.address)
            self._bytes -= memory.n_bytes

    def _at(self, address: int) -> tuple[np.ndarray, int]:
        """The allocation that holds an address, and how far into it; an empty one if none does."""
        with self._lock:
            k = bisect.bisect_right(self._addresses, address) - 1
            if k >= 0:
                found = self._held[self._addresses[k]]
                if address - self._addresses[k] <= len(found):
                    return found, address - self._addresses[k]
        return np.empty(0, np.uint8), 0

    def _range(self, address: int, n_bytes: int) -> np.ndarray:
        """The bytes of a copy."""
        found, start = self._at(address)
        if start + n_bytes > len(found):
            raise LaunchError(
                f"cuda:{self.index}: copy of {n_bytes} bytes at {address:#x}: "
                f"{len(found) - start} bytes of memory are there"
            )
        return found[start : start + n_bytes]

    def copy_in(self, address: int, array: np.ndarray):
        self._refuse_in_capture("copied in")
        self._range(address, array.nbytes)[:] = _bytes(array)

    def copy_out(self, array: np.ndarray, address: int):
        self._refuse_in_capture("copied out")
        target = _bytes(array)
        target[:] = self._range(address, array.nbytes)

    def copy(self, target: int, source: int, n_bytes: int):
        def call():
            self._range(target, n_bytes)[:] = self._range(source, n_bytes).copy()

        self._do(call)

    def memory_use(self) -> MemoryUse:
        free = self.total_bytes - self._bytes
        return MemoryUse(self._bytes, self._most_bytes, self._bytes, free, self.total_bytes)

    def forget_most(self):
        self._most_bytes = self._bytes

    def release_kept(self):
        pass  # nothing is kept

    # -------------------------------------------------------------------------- kernels

    def kernel(self, function: Function) -> Callable[..., None]:
        with self._lock:
            if function not in self._kernels:
                self._kernels[function] = self._launcher(function)
            return self._kernels[function]

    def _launcher(self, function: Function):
        kernel = Kernel(function)
        parameters = function.parameters
        names = kernel.run_thread.__code__.co_varnames

        def launch(grid: int, arguments: Sequence[int], place: Any = None):
            if len(arguments) != len(parameters) or grid < 1:
                raise LaunchError(
                    f"{len(arguments)} arguments and {grid} blocks for {len(parameters)} "
                    "parameters and 1 or more blocks"
                )
            arguments = tuple(arguments)
            launched = Launched(place, here.site)
            self._do(lambda: run(grid, arguments, launched))

        def run(grid, arguments, launched):
            self.n_launches += 1
            self.places.append(launched)
            try:
                with self._lock:
                    kernel.run(grid, [*map(self._argument, names, parameters, arguments)])
            except Exception as error:
                block, thread, _ = kernel.now.moment
                where = "" if launched.place is None else f"\n  launched by {launched}"
                raise LaunchError(
                    f"cuda:{self.index}: a kernel failed in block {block}, thread {thread}: "
                    f"{type(error).__name__}: {error}{where}\n\n{function.source}"
                ) from error

        return launch

    def _argument(self, name, parameter, value):
        if not parameter.endswith("*"):
            return int(value)
        dtype = np.dtype(DTYPES[parameter[:-1]])
        found, start = self._at(value)
        if start % dtype.itemsize:
            raise IndexError(f"{name}: its address is {start} bytes into {len(found)}: {dtype}")
        whole = found[: len(found) // dtype.itemsize * dtype.itemsize]
        return Pointer(name, whole.view(dtype), start // dtype.itemsize)

    # -------------------------------------------------------------------------- libraries

    def host_call(self, call: Callable[[], None]):
        """What a library does on a card; in order with what else is asked."""
        self._do(call)

    def host_view(
        self, address: int, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> np.ndarray:
        """Elements as a library sees them; strides in elements, none negative."""
        last = sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        elements = self._range(address, (last + 1) * dtype.itemsize).view(dtype)
        return np.lib.stride_tricks.as_strided(
            elements, shape, [step * dtype.itemsize for step in strides]
        )

    # -------------------------------------------------------------------------- order

    def _do(self, call: Callable[[], None]):
        if self._captured is None:
            call()
        else:
            self._captured.append(call)

    def _refuse_in_capture(self, done: str):
        if self._captured is not None:
            raise LaunchError(f"cuda:{self.index}: nothing can be {done} while a graph is captured")

    def synchronize(self):
        self._refuse_in_capture("waited for")

    def capture(self, run: Callable[[], Any]) -> SimulatedGraph:
        self._refuse_in_capture("captured")
        self._captured = calls = []
        try:
            run()
        finally:
            self._captured = None
        return SimulatedGraph(calls)

    @property
    def stream(self) -> SimulatedStream:
        return getattr(self._current, "stream", self.default_stream)

    @stream.setter
    def stream(self, stream: SimulatedStream):
        self._used.add(stream.handle)
        self._current.stream = stream

    def new_stream(self, priority: int = 0) -> SimulatedStream:
        self._streams += 1
        return SimulatedStream(HANDLE_STEP * self._streams)

    def stream_of(self, handle: int) -> SimulatedStream:
        return SimulatedStream(handle)

    def runs_only_in(self, handle: int) -> bool:
        return self._used == {handle}

    def number_of(self, address: int) -> int | None:
        return next((m.index for m in list(_MACHINES) if len(m._at(address)[0])), None)

    def new_event(self, timing: bool = False) -> SimulatedEvent:
        return SimulatedEvent()


def _bytes(array: np.ndarray) -> np.ndarray:
    """A row-major array's memory."""
    if not array.flags.c_contiguous:
        raise ValueError("copies take row-major arrays")
    return array.reshape(-1).view(np.uint8)
