"""PyTorch's `cuda` module: which GPUs there are, their memory, streams, events and seeds.

`device` arguments are a number, "cuda:1" or a `tapejit.device`; without one the thread's current
device is meant.  Importing this asks nothing of CUDA; errors.GpuUnavailable says what is missing
when a GPU is needed.  The examples run on a simulated one:

>>> import tapejit as tj
>>> with tj.config.set(cuda="simulator"):
...     x = tj.ones(2, 3, device="cuda")
>>> x.device
device(type='cuda', index=0)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tapejit.errors import ArgumentError, OutOfMemory
from tapejit.runtime.cuda import statuses
from tapejit.runtime.cuda.machine import Machine
from tapejit.runtime.cuda.machines import count, machine
from tapejit.runtime.devices import current
from tapejit.tensor.attributes import Device
from tapejit.tensor.gpu_seeds import (
    get_rng_state,
    get_rng_state_all,
    initial_seed,
    manual_seed,
    manual_seed_all,
    seed,
    seed_all,
    set_rng_state,
    set_rng_state_all,
)

__all__ = [
    "Event",
    "ExternalStream",
    "OutOfMemoryError",
    "Stream",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_count",
    "empty_cache",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "initial_seed",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "mem_get_info",
    "memory_allocated",
    "memory_reserved",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "set_stream",
    "stream",
    "synchronize",
]

OutOfMemoryError = OutOfMemory

# ---------------------------------------------------------------- devices


def is_available() -> bool:
    """Whether tensors can lie on a GPU.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.is_available()
    True
    """
    return count() > 0


def device_count() -> int:
    """The number of GPUs; 0 where none can be used.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.device_count()
    2
    """
    return count()


def current_device() -> int:
    """The number of the GPU that "cuda" means to the calling thread.

    Errors  GpuUnavailable if there is none

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"), tj.cuda.device(1):
    ...     tj.cuda.current_device()
    1
    """
    return _machine(None).index


def set_device(device: int | str | Device) -> None:
    """Let "cuda" mean another GPU to the calling thread; `device` does so for a block.

    Errors  GpuUnavailable if there is no such GPU

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.set_device(0)
    """
    current.index = _machine(device).index


class device:
    """Let "cuda" mean another GPU to the calling thread for a block of code.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"), tj.cuda.device("cuda:1"):
    ...     tj.zeros(2, device="cuda").device
    device(type='cuda', index=1)
    """

    def __init__(self, device: int | str | Device | None):
        self.index = None if device is None else _index(device)
        self.before: list[int] = []

    def __enter__(self):
        self.before.append(current.index)
        if self.index is not None:
            set_device(self.index)

    def __exit__(self, *exception):
        current.index = self.before.pop()


def get_device_name(device: int | str | Device | None = None) -> str:
    """The name of a GPU.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.get_device_name()
    'simulated GPU'
    """
    return _machine(device).name


def get_device_capability(device: int | str | Device | None = None) -> tuple[int, int]:
    """The compute capability of a GPU: (9, 0) of an H100.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.get_device_capability(0)
    (8, 0)
    """
    return _machine(device).compute_capability


class DeviceProperties(NamedTuple):
    """What `get_device_properties` tells."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int


def get_device_properties(device: int | str | Device | None = None) -> DeviceProperties:
    """Name, compute capability, bytes of memory and number of multiprocessors of a GPU.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.get_device_properties().total_memory
    1073741824
    """
    found = _machine(device)
    major, minor = found.compute_capability
    total = found.memory_use().total
    return DeviceProperties(found.name, major, minor, total, found.n_multiprocessors)


def synchronize(device: int | str | Device | None = None) -> None:
    """Wait until all that was asked of a GPU is done.

    Errors  LaunchError if a kernel failed; AxisError, LinAlgError if an operation met an index out
            of range, or a matrix that it cannot factorize

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.synchronize()
    """
    waited = _machine(device)
    waited.synchronize()
    statuses.check(waited, all_streams=True)


def _index(device: int | str | Device | None) -> int:
    """The number of a GPU."""
    if device is None:
        return current.index
    if isinstance(device, int):
        return device
    found = Device(device)
    if found.type != "cuda":
        raise ArgumentError(f"Expected a cuda device, but got: {found}")
    return current.index if found.index is None else found.index


def _machine(device: int | str | Device | None) -> Machine:
    return machine(_index(device))


# ---------------------------------------------------------------- memory


def memory_allocated(device: int | str | Device | None = None) -> int:
    """Bytes of a GPU that tensors hold.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     before = tj.cuda.memory_allocated()
    ...     x = tj.zeros(1000, dtype=tj.float32, device="cuda")
    ...     tj.cuda.memory_allocated() - before
    4000
    """
    return _machine(device).memory_use().held


def max_memory_allocated(device: int | str | Device | None = None) -> int:
    """The most bytes of a GPU that tensors held since `reset_peak_memory_stats`.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.max_memory_allocated() >= tj.cuda.memory_allocated()
    True
    """
    return _machine(device).memory_use().held_most


def reset_peak_memory_stats(device: int | str | Device | None = None) -> None:
    """Let `max_memory_allocated` begin again from what is held now.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.reset_peak_memory_stats()
    ...     tj.cuda.max_memory_allocated() == tj.cuda.memory_allocated()
    True
    """
    _machine(device).forget_most()


def memory_reserved(device: int | str | Device | None = None) -> int:
    """Bytes taken from a GPU: what tensors hold, and what is kept for tensors to come.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.memory_reserved() >= tj.cuda.memory_allocated()
    True
    """
    return _machine(device).memory_use().reserved


def empty_cache() -> None:
    """Give memory that is kept for tensors to come back, for other processes; waits for the GPU.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.empty_cache()
    """
    _machine(None).release_kept()


def mem_get_info(device: int | str | Device | None = None) -> tuple[int, int]:
    """Free and total bytes of a GPU, whoever uses them.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     free, total = tj.cuda.mem_get_info()
    >>> 0 < free <= total
    True
    """
    use = _machine(device).memory_use()
    return use.free, use.total


# ---------------------------------------------------------------- streams


class Stream:
    """A queue of work on a GPU: in order within itself, unordered to other streams.

    device    the GPU; the current one by default
    priority  lower numbers go first; 0 and below
    Errors    GpuUnavailable
    Note      memory of tensors may be used on any stream that was current here: it is given back
              after all of them, so there is no `record_stream`

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     side = tj.cuda.Stream()
    ...     side.wait_stream(tj.cuda.current_stream())
    ...     with tj.cuda.stream(side):
    ...         x = tj.ones(3, device="cuda")
    ...     tj.cuda.current_stream().wait_stream(side)
    ...     side.query()
    True
    """

    def __init__(self, device: int | str | Device | None = None, priority: int = 0):
        self._machine = _machine(device)
        self._stream = self._machine.new_stream(priority)

    @staticmethod
    def _of(of: Machine, found: Any) -> Stream:
        """A machine's stream as people have it."""
        made = Stream.__new__(Stream)
        made._machine, made._stream = of, found
        return made

    @property
    def device(self) -> Device:
        """Its GPU."""
        return Device("cuda", self._machine.index)

    @property
    def cuda_stream(self) -> int:
        """The driver's handle, a CUstream."""
        return self._stream.handle

    def __cuda_stream__(self) -> tuple[int, int]:
        """The protocol by which other libraries take streams: its version, and the handle."""
        return 0, self.cuda_stream

    def query(self) -> bool:
        """Whether all that was asked of it is done."""
        return self._stream.is_done()

    def synchronize(self) -> None:
        """Wait for all that was asked of it."""
        self._stream.synchronize()

    def record_event(self, event: Event | None = None) -> Event:
        """An event that comes when what was asked of it so far is done."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what is asked of it from now on begin after an event."""
        event.wait(self)

    def wait_stream(self, stream: Stream) -> None:
        """Let what is asked of it from now on begin after all that was asked of another."""
        self.wait_event(stream.record_event())

    def __eq__(self, other):
        if not isinstance(other, Stream):
            return NotImplemented
        return (self._machine, self.cuda_stream) == (other._machine, other.cuda_stream)

    def __hash__(self):
        return hash((self._machine.index, self.cuda_stream))

    def __repr__(self):
        return f"<tapejit.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """Another library's stream, by the driver's handle; it must live as long as this is used.

    Like torch.cuda.ExternalStream.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     theirs = tj.cuda.Stream()  # say cupy.cuda.Stream()
    ...     with tj.cuda.stream(tj.cuda.ExternalStream(theirs.cuda_stream)):
    ...         x = tj.ones(2, device="cuda")  # in their order
    >>> x.device.type
    'cuda'
    """

    def __init__(self, stream_ptr: int, device: int | str | Device | None = None):
        self._machine = _machine(device)
        self._stream = self._machine.stream_of(stream_ptr)


class stream:
    """Let a stream, and its GPU, be the current ones of the calling thread for a block of code.

    Like torch.cuda.stream: None changes nothing.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     side = tj.cuda.Stream()
    ...     with tj.cuda.stream(side):
    ...         tj.cuda.current_stream() == side
    True
    """

    def __init__(self, stream: Stream | None):
        self.stream = stream
        self.before: list[tuple[int, Any]] = []

    def __enter__(self):
        if self.stream is not None:
            of = self.stream._machine
            self.before.append((current.index, of.stream))
            current.index, of.stream = of.index, self.stream._stream

    def __exit__(self, *exception):
        if self.stream is not None:
            current.index, self.stream._machine.stream = self.before.pop()


def set_stream(stream: Stream) -> None:
    """Let a stream be the calling thread's current one on its GPU; `stream` does so for a block.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.set_stream(tj.cuda.default_stream())
    """
    stream._machine.stream = stream._stream


def current_stream(device: int | str | Device | None = None) -> Stream:
    """The calling thread's current stream of a GPU.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.current_stream() == tj.cuda.default_stream()
    True
    """
    found = _machine(device)
    return Stream._of(found, found.stream)


def default_stream(device: int | str | Device | None = None) -> Stream:
    """The stream of a GPU that is current where no other is: CUDA's default ("legacy") stream.

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     tj.cuda.default_stream().query()
    True
    """
    found = _machine(device)
    return Stream._of(found, found.default_stream)


class Event:
    """A moment in a stream, to wait for and to measure time by.

    enable_timing           whether `elapsed_time` can be asked
    blocking, interprocess  as PyTorch has them; only False

    >>> import tapejit as tj
    >>> with tj.config.set(cuda="simulator"):
    ...     begin, end = (tj.cuda.Event(enable_timing=True) for _ in range(2))
    ...     begin.record()
    ...     x = tj.ones(3, device="cuda")
    ...     end.record()
    ...     end.synchronize()
    ...     begin.elapsed_time(end) >= 0
    True
    """

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ):
        if blocking or interprocess:
            raise NotImplementedError("cuda.Event: blocking and interprocess are not supported")
        self.enable_timing = enable_timing
        self._event: Any = None

    def record(self, stream: Stream | None = None) -> None:
        """Let it come when what was asked so far of a stream, or the current one, is done."""
        stream = current_stream() if stream is None else stream
        if self._event is None:
            self._event = stream._machine.new_event(self.enable_timing)
        self._event.record(stream._stream)

    def wait(self, stream: Stream | None = None) -> None:
        """Let what is asked of a stream, or the current one, from now on begin after it."""
        if self._event is not None:
            (current_stream() if stream is None else stream)._stream.wait(self._event)

    def query(self) -> bool:
        """Whether it has come; True before it is recorded."""
        return self._event is None or self._event.is_done()

    def synchronize(self) -> None:
        """Wait for it."""
        if self._event is not None:
            self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this moment to another.

        Errors  ArgumentError unless both have timing and were recorded
        """
        if self._event is None or end_event._event is None:
            raise ArgumentError("Both events must be recorded before calculating elapsed time.")
        if not (self.enable_timing and end_event.enable_timing):
            raise ArgumentError("Both events must be created with argument 'enable_timing=True'.")
        return end_event._event.ms_since(self._event)
