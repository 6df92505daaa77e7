"""A GPU, through CUDA's driver: a `Machine` (machine.py says what its methods do).

Launches go through cuda.core, which takes 0.5 us of the host's time for each (Numba's dispatcher
takes 38); all else are plain calls of the driver.  `call` is the one place where they are made.

Memory comes from a pool of the driver's, in stream order, so getting and giving back wait for
nothing.  It is given back when its last holder goes, after all that was asked until then of any
stream that was current here: nobody has to say which streams use what.

Errors come late: a kernel that fails is noticed by some later call.  So each launch notes its
place, and the error names the last of them, or, in the setting `blocking`, exactly the one.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from tapejit.bounded import Bounded
from tapejit.codegen.cuda.launches import Function
from tapejit.config import settings
from tapejit.errors import KernelError, LaunchError, OutOfMemory
from tapejit.locks import Lock
from tapejit.runtime.cuda import probe
from tapejit.runtime.cuda.cubins import cubin_of
from tapejit.runtime.cuda.machine import Launched, MemoryUse
from tapejit.runtime.cuda.staging import Staging
from tapejit.runtime.cuda.streams import (
    LEGACY,
    CardEvent,
    CardGraph,
    CardStream,
    is_driver_there,
)
from tapejit.sites import here

BLOCK = 128
N_PLACES = 16
"""How many launches an error names."""


class _Thread(threading.local):
    """What the driver knows of each thread."""

    card: Card | None = None
    """The one whose context is current."""


class _Current(threading.local):
    """What each thread has chosen on a card."""

    stream: CardStream | None = None


_THREAD = _Thread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: setattr(_THREAD, "card", None))


class CardMemory:
    """An allocation of a card."""

    __slots__ = ("address", "card", "n_bytes", "stream")

    def __init__(self, card: Card, address: int, n_bytes: int, stream: CardStream):
        self.card, self.address, self.n_bytes, self.stream = card, address, n_bytes, stream

    def __del__(self, is_there=is_driver_there):
        if is_there():
            self.card._release(self.address, self.n_bytes, self.stream)


class Card:
    """One GPU."""

    def __init__(self, index: int = 0):
        device = probe.device(index)
        self.driver: Any = probe.driver()
        self.core: Any = import_module("cuda.core")
        self.index = index
        self.block = BLOCK
        self.places: collections.deque[Any] = collections.deque(maxlen=N_PLACES)
        self.compute_capability = probe.compute_capability(self.driver, device)
        self.n_multiprocessors = probe.attribute(self.driver, device, "MULTIPROCESSOR_COUNT")
        self.is_only = self._check("cuDeviceGetCount", self.driver.cuDeviceGetCount()) == 1
        self.context = self._check(
            "cuDevicePrimaryCtxRetain", self.driver.cuDevicePrimaryCtxRetain(device)
        )
        self.name = self.call("cuDeviceGetName", 256, device).split(b"\0")[0].decode()
        self._current = _Current()
        self.default_stream = CardStream(self, LEGACY)
        self._used: weakref.WeakSet[CardStream] = weakref.WeakSet([self.default_stream])
        self._left: list[CardEvent] = []  # the ends of streams that are used no more
        self._has_one_stream = True  # len(self._used) takes longer than an allocation
        self._staging = Staging(self)
        self._kernels: Bounded[Function, Callable[..., None]] = Bounded(settings.kernels)
        self._lock = Lock()
        self._compiling = Lock()
        self._pool = self._new_pool()
        self._allocate = self.driver.cuMemAllocFromPoolAsync
        self._free = self.driver.cuMemFreeAsync
        self._held = self._held_most = 0
        self._n_captures = 0
        self._late: list[tuple[int, CardStream]] = []
        self._fence = self.new_event()

    # ------------------------------------------------------------------ calls of the driver

    def call(self, function: str, *arguments) -> Any:
        """What a function of the driver gives; errors.LaunchError."""
        self._enter()
        return self._check(function, getattr(self.driver, function)(*arguments))

    def is_ready(self, function: str, handle: int) -> bool:
        """What a query says."""
        self._enter()
        (status,) = getattr(self.driver, function)(handle)
        if status == self.driver.CUresult.CUDA_ERROR_NOT_READY:
            return False
        self._check(function, (status,))
        return True

    def _enter(self):
        """Make the context current: a thread has none at first, or another card's."""
        if _THREAD.card is not self or not self.is_only:
            probe.driver()  # refuses in a forked child
            self._check("cuCtxSetCurrent", self.driver.cuCtxSetCurrent(self.context))
            _THREAD.card = self

    def _check(self, function: str, result: tuple) -> Any:
        status, *values = result
        if status:
            raise self._error(function, status.name)
        return values[0] if values else None

    def _error(self, function: str, name: str) -> LaunchError:
        """What a status means, with the launches that may be the cause of it."""
        places = [str(one) for one in self.places if one.place is not None]
        if places and settings.blocking:
            said = f"  launched by {places[-1]}"
        elif places:
            said = "  the last launches, newest first:\n    " + "\n    ".join(reversed(places))
            said += "\n  try  TAPEJIT_BLOCKING=1, which names the one that failed"
        else:
            said = "  nothing was launched since the GPU was last waited for"
        return LaunchError(f"cuda:{self.index}: {function}: {name}\n{said}")

    # ------------------------------------------------------------------ memory

    def _new_pool(self) -> Any:
        """Memory that stays with us until `release_kept`."""
        cuda = self.driver
        properties = cuda.CUmemPoolProps()
        properties.allocType = cuda.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
        properties.location.type = cuda.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
        properties.location.id = self.index
        pool = self.call("cuMemPoolCreate", properties)
        threshold = cuda.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
        self.call("cuMemPoolSetAttribute", pool, threshold, cuda.cuuint64_t(2**64 - 1))
        return pool

    def allocate(self, n_bytes: int) -> CardMemory:
        stream = self.stream
        if stream.is_captured:
            self._refuse_in_capture("allocated")
        address = self._taken(n_bytes, stream)
        if address is None:
            gc.collect()  # cycles hold tensors too
            self.release_kept()
            address = self._taken(n_bytes, stream)
        if address is None:
            use = self.memory_use()
            raise OutOfMemory(
                f"cuda:{self.index} ({self.name}): {_size(n_bytes)} asked, {_size(use.held)} held "
                f"here, {_size(use.free)} of {_size(use.total)} free\n"
                "  try  smaller batches; del of what is not needed; "
                "TAPEJIT_DEBUG=4 to see what a program keeps"
            )
        with self._lock:
            self._held += n_bytes
            if self._held > self._held_most:
                self._held_most = self._held
        return CardMemory(self, address, n_bytes, stream)

    def _taken(self, n_bytes: int, stream: CardStream) -> int | None:
        """The address of new memory, or None if there is too little."""
        self._enter()
        status, address = self._allocate(n_bytes or 1, self._pool, stream.handle)
        if not status:
            return int(address)
        if status != self.driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            self._check("cuMemAllocFromPoolAsync", (status,))
        return None

    def _release(self, address: int, n_bytes: int, stream: CardStream):
        with self._lock:
            self._held -= n_bytes
            if self._n_captures:  # a graph must not hold the release
                self._late.append((address, stream))
                return
        self._give_back(address, stream)

    def _give_back(self, address: int, stream: CardStream):
        """Give memory back after all that was asked of any stream.

        A card that has failed takes nothing back, and nobody can mend it.
        """
        if not self._has_one_stream:
            with self._lock, contextlib.suppress(LaunchError):
                for other in list(self._used):
                    if other is not stream:
                        self._fence.record(other)
                        stream.wait(self._fence)
                self._left = [end for end in self._left if not end.is_done()]
                for end in self._left:
                    stream.wait(end)
        try:
            self._enter()
        except LaunchError:
            return
        self._free(address, stream.handle)

    def memory_use(self) -> MemoryUse:
        free, total = self._pair("cuMemGetInfo")
        current = self.driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT
        reserved = int(self.call("cuMemPoolGetAttribute", self._pool, current))
        return MemoryUse(self._held, self._held_most, reserved, free, total)

    def _pair(self, function: str) -> tuple[int, int]:
        self._enter()
        status, first, second = getattr(self.driver, function)()
        self._check(function, (status,))
        return int(first), int(second)

    def forget_most(self):
        self._held_most = self._held

    def release_kept(self):
        self.synchronize()
        self.call("cuMemPoolTrimTo", self._pool, 0)

    # ------------------------------------------------------------------ copies

    def copy_in(self, address: int, array: np.ndarray):
        self._refuse_in_capture("copied in")
        self._staging.copy_in(address, _bytes(array))

    def copy_out(self, array: np.ndarray, address: int):
        self._refuse_in_capture("copied out")
        self._staging.copy_out(_bytes(array), address)
        if self._has_one_stream:  # all that was launched is done
            self.places.clear()

    def copy(self, target: int, source: int, n_bytes: int):
        if n_bytes:
            self.call("cuMemcpyDtoDAsync", target, source, n_bytes, self.stream.handle)

    # ------------------------------------------------------------------ kernels

    def kernel(self, function: Function) -> Callable[..., None]:
        with self._compiling:
            launch = self._kernels.get(function)
            if launch is None:
                launch = self._launcher(function)
                self._kernels.put(function, launch)
            return launch

    def _launcher(self, function: Function) -> Callable[..., None]:
        kernel = self._loaded(function)
        launch_kernel = self.core.launch
        n_parameters = len(function.parameters)
        block, current, default = function.block, self._current, self.default_stream

        def launch(grid: int, arguments: Sequence[int], place: Any = None):
            assert len(arguments) == n_parameters, "the driver does not count them"
            self._enter()
            self.places.append(Launched(place, here.site))
            stream = current.stream or default
            try:
                launch_kernel(stream.core, _configuration(grid, block), kernel, *arguments)
            except Exception as error:
                raise self._error("launch", str(error)) from error
            if settings.blocking:
                self.settle()

        return launch

    def _loaded(self, function: Function) -> Any:
        """cuda.core's kernel; its parameters must be those that launches pack."""
        cubin = cubin_of(function, self.compute_capability)
        self._enter()
        code = self.core.ObjectCode.from_cubin(cubin.code, name=cubin.entry)
        try:
            kernel = code.get_kernel(cubin.entry)
        except Exception as error:  # cuda.core's own, in a private module
            raise KernelError(
                f"{cubin.entry}: {self.name} does not load its code: {error}\n"
                "  try  a newer driver, or an older compiler: "
                "pip install 'cuda-toolkit==13.0.*' 'nvidia-nvjitlink==13.0.*'"
            ) from error
        needed = [4 if parameter == "i32" else 8 for parameter in function.parameters]
        try:
            found = [argument.size for argument in kernel.arguments_info]
        except NotImplementedError:  # drivers before 12.4 do not say
            return kernel
        if found != needed:
            raise KernelError(
                f"{cubin.entry}: parameters of {found} bytes, {needed} are packed\n"
                "  try  to delete the directory of compiled code"
            )
        return kernel

    def note(self, place: Any):
        """Remember what was launched."""
        self.places.append(Launched(place, here.site))

    def settle(self):
        """Wait for a launch, in the setting `blocking`."""
        if settings.blocking and not self.stream.is_captured:
            self.stream.synchronize()

    # ------------------------------------------------------------------ order

    @property
    def stream(self) -> CardStream:
        return self._current.stream or self.default_stream

    @stream.setter
    def stream(self, stream: CardStream):
        before, self._current.stream = self.stream, stream
        stream.was_current = True
        self._used.add(stream)
        self._has_one_stream &= stream is self.default_stream
        if not (before.is_ours or before in (stream, self.default_stream)):
            self._used.discard(before)  # its owner may end it
            self.leave(before)

    def leave(self, stream: CardStream):
        """Remember what was asked of a stream that may end now: memory goes back after it."""
        end = self.new_event()
        end.record(stream)
        with self._lock:
            self._left.append(end)

    def new_stream(self, priority: int = 0) -> CardStream:
        return CardStream.new(self, priority)

    def stream_of(self, handle: int) -> CardStream:
        return CardStream(self, handle)

    def runs_only_in(self, handle: int) -> bool:
        return not self._left and all(stream.handle == handle for stream in list(self._used))

    def number_of(self, address: int) -> int | None:
        self._enter()
        ordinal = self.driver.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        status, number = self.driver.cuPointerGetAttribute(ordinal, address)
        if status == self.driver.CUresult.CUDA_ERROR_INVALID_VALUE:  # the host's
            return None
        self._check("cuPointerGetAttribute", (status,))
        return int(number)

    def new_event(self, timing: bool = False) -> CardEvent:
        return CardEvent(self, timing)

    def synchronize(self):
        self._refuse_in_capture("waited for")
        self.call("cuCtxSynchronize")
        self.places.clear()

    def capture(self, run: Callable[[], Any]) -> CardGraph:
        self._refuse_in_capture("captured")
        stream, before, places = self.new_stream(), self.stream, self.places
        with self._releases_deferred():
            mode = self.driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
            self.call("cuStreamBeginCapture", stream.handle, mode)
            stream.is_captured = True
            self._current.stream, self.places = stream, collections.deque()
            try:
                run()
            except BaseException:
                self._abandon(stream)
                raise
            finally:
                captured, self.places = list(self.places), places
                self._current.stream = before
            return CardGraph(self, self.call("cuStreamEndCapture", stream.handle), captured)

    def _abandon(self, stream: CardStream):
        """End a capture, whatever the driver has to say about it."""
        with contextlib.suppress(LaunchError):
            self.call("cuGraphDestroy", self.call("cuStreamEndCapture", stream.handle))

    @contextlib.contextmanager
    def _releases_deferred(self):
        """Give memory back at the end of the block: a graph must not do it each time."""
        with self._lock:
            self._n_captures += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_captures -= 1
                late, self._late = ([], self._late) if self._n_captures else (self._late, [])
            for address, stream in late:
                self._give_back(address, stream)

    def _refuse_in_capture(self, done: str):
        if self.stream.is_captured:
            raise LaunchError(f"cuda:{self.index}: nothing can be {done} while a graph is captured")


@functools.lru_cache(4096)
def _configuration(grid: int, block: int) -> Any:
    """cuda.core's launch configuration; half the time of a launch if made each time."""
    return import_module("cuda.core").LaunchConfig(grid=grid, block=block)


def _bytes(array: np.ndarray) -> np.ndarray:
    """A row-major array's memory."""
    if not array.flags.c_contiguous:
        raise ValueError("copies take row-major arrays")
    return array.reshape(-1).view(np.uint8)


def _size(n_bytes: int) -> str:
    """1.50 GiB."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.2f} {unit}"
    return f"{n_bytes} bytes"
