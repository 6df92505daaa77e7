"""Memory of GPUs shared with other libraries: CuPy, PyTorch, JAX, Numba; nothing is copied.

`shared` takes an array of another library in, by DLPack where it speaks it, else by
`__cuda_array_interface__`; `capsule` hands one of ours out (`DeviceArray` has the interface).

Streams: work on a GPU is done in the order of one stream only.  So what is taken in is awaited by
our current stream, and who takes in what is ours waits for that.  At the end, the memory goes back
to its owner, who may use it at once in another stream: where the streams are not the same, going
back waits for the GPU.

Start at `shared`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.config import settings
from tapejit.dtypes import from_numpy
from tapejit.errors import DeviceError, DtypeError, LaunchError
from tapejit.runtime.cuda import dlpack
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.machine import Machine
from tapejit.runtime.cuda.machines import machine
from tapejit.schedule.views import contiguous

DEFAULT_STREAM = 1
"""CUDA's legacy default stream, in both protocols and for the driver."""
NO_ORDER = -1
"""DLPack: the consumer sees to the order itself."""

# ---------------------------------------------------------------- in


class SharedMemory:
    """Memory of another library's; goes back when nobody holds it any more."""

    def __init__(
        self,
        machine: Machine,
        stream: int,
        release: Callable[[], Any],
        is_read_only: bool,
    ):
        self.machine = machine
        self.stream = stream
        """Where its owner uses it."""
        self.release = release
        self.is_read_only = is_read_only

    def __del__(self):
        _settle(self.machine, self.stream)
        self.release()


def is_shareable(x: Any) -> bool:
    """Whether an object offers memory by one of the protocols."""
    return hasattr(type(x), "__dlpack__") or hasattr(x, "__cuda_array_interface__")


def is_on_gpu(x: Any) -> bool:
    """Whether an object offers memory of a GPU."""
    if hasattr(type(x), "__dlpack__"):
        return x.__dlpack_device__()[0] in (dlpack.CUDA, dlpack.CUDA_MANAGED)
    return hasattr(x, "__cuda_array_interface__")


def shared(x: Any, current: int) -> DeviceArray | np.ndarray:
    """An object's memory: a `DeviceArray` on a GPU, a NumPy array on the host.

    x        one that `is_shareable`
    current  the GPU that is asked where an address lies
    Errors   DeviceError for memory that is neither a GPU's nor the host's; DtypeError for elements
             that tensors cannot have, masks, strides between elements; whatever the object raises
    """
    if not is_on_gpu(x):
        return _on_host(x)
    if not hasattr(type(x), "__dlpack__"):
        return _by_interface(x, current)
    return _by_capsule(x, machine(int(x.__dlpack_device__()[1])))


def _on_host(x: Any) -> np.ndarray:
    try:
        return np.from_dlpack(x)
    except RuntimeError as error:
        raise DeviceError(f"from_dlpack: a {type(x).__name__}: {error}") from error


def _by_capsule(x: Any, there: Machine) -> DeviceArray:
    here = int(there.stream.handle)
    try:
        capsule = x.__dlpack__(stream=here, max_version=dlpack.VERSION)
    except TypeError:  # from before DLPack 1.0
        capsule = x.__dlpack__(stream=here)
    found = dlpack.opened(capsule)
    memory = SharedMemory(there, DEFAULT_STREAM, found.release, found.is_read_only)
    strides = contiguous(found.shape) if found.strides is None else found.strides
    return _array(there, memory, found.address, found.dtype, found.shape, strides)


def _by_interface(x: Any, current: int) -> DeviceArray:
    interface = x.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise DtypeError(
            "tensor: a masked array would lose its mask silently\n"
            "  try  the mask as an argument of its own and where()"
        )
    address, is_read_only = interface["data"]
    dtype = np.dtype(interface["typestr"])
    shape = tuple(int(n) for n in interface["shape"])
    there = _holder(address or 0, current)
    producer = interface.get("stream")
    if producer is not None and int(producer) != int(there.stream.handle):
        _order(there, there.stream_of(int(producer)), there.stream)
    memory = SharedMemory(
        there, int(producer or DEFAULT_STREAM), _holding(x, interface), bool(is_read_only)
    )
    strides, size = interface.get("strides"), dtype.itemsize
    if strides is None:
        steps = contiguous(shape)
    elif any(int(s) % size for s in strides):
        raise DtypeError(
            f"tensor: strides of {tuple(strides)} bytes between elements of {size}\n  try  a copy"
        )
    else:
        steps = tuple(int(s) // size for s in strides)
    return _array(there, memory, address or 0, dtype, shape, steps)


def _holding(*objects) -> Callable[[], None]:
    """What lets objects go when it goes."""
    kept = list(objects)
    return kept.clear


def _holder(address: int, current: int) -> Machine:
    """The GPU in whose memory an address lies; the current one for none at all."""
    asked = machine(current)
    if not address:
        return asked
    number = asked.number_of(address)
    if number is None:
        hint = "a copy on the GPU"
        if settings.cuda == "simulator":
            hint = "without TAPEJIT_CUDA=simulator, which has GPUs of its own"
        raise DeviceError(f"tensor: {address:#x} is no address of a GPU's memory\n  try  {hint}")
    return asked if number == asked.index else machine(number)


def _array(there, memory, address, dtype, shape, strides) -> DeviceArray:
    if not dtype.isnative:
        raise DtypeError(f"tensor: elements of another byte order: {dtype.str}\n  try  a copy")
    from_numpy(dtype)  # raises
    if address % dtype.alignment:
        raise DtypeError(f"tensor: {dtype.name} elements at address {address:#x}\n  try  a copy")
    return DeviceArray(there, memory, address, dtype, shape, strides)


# ---------------------------------------------------------------- out


def capsule(array: DeviceArray, stream: int | None, is_versioned: bool) -> Any:
    """A DLPack capsule of an array, whose elements are there for what comes next in a stream.

    stream  the consumer's, by the protocol's numbers: None and 1 are CUDA's legacy default stream,
            2 the thread's own, -1 asks for no order, others are handles
    Errors  BufferError for read-only memory in a capsule that cannot say so; ValueError for
            stream=0, TypeError for what is no number
    """
    there, memory = array.machine, array.memory
    consumer = DEFAULT_STREAM if stream is None else stream
    if isinstance(consumer, bool) or not isinstance(consumer, int):
        raise TypeError(f"__dlpack__: stream must be an integer or None, got {stream!r}")
    if consumer == 0 or consumer < NO_ORDER:
        raise ValueError(f"__dlpack__: stream={stream} is no stream of CUDA: it could mean two")
    if array.is_read_only and not is_versioned:
        raise BufferError("__dlpack__: memory that must not be written\n  try  .clone()")
    if consumer not in (NO_ORDER, int(there.stream.handle)):
        _order(there, there.stream, there.stream_of(consumer))
    lent = Lent(there, DEFAULT_STREAM if consumer == NO_ORDER else consumer, memory)
    return dlpack.capsule_of(
        array.address if array.size else 0,
        (dlpack.CUDA, there.index),
        array.dtype,
        array.shape,
        array.strides,
        lent,
        is_versioned,
        array.is_read_only,
    )


class Lent:
    """Our memory while another library has it; ours may use it again at once afterwards."""

    def __init__(self, machine: Machine, stream: int, memory: Any):
        self.machine, self.stream, self.memory = machine, stream, memory

    def __del__(self):
        _settle(self.machine, self.stream)


# ---------------------------------------------------------------- order


def _order(there: Machine, first: Any, then: Any) -> None:
    """Let what is asked of one stream from now on begin after all that was asked of another."""
    event = there.new_event()
    event.record(first)
    then.wait(event)


def _settle(there: Machine, stream: int) -> None:
    """Before memory changes hands: wait, unless everybody uses it in one stream."""
    if not there.runs_only_in(stream):
        with contextlib.suppress(LaunchError):  # it surfaces again, where it can be raised
            there.synchronize()
