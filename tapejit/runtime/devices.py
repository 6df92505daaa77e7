"""Where values lie: NumPy's arrays on the CPU, `DeviceArray`s on GPUs, and the way between them.

Names of devices are those of avals: "cpu", "cuda:0".  The only ways from a GPU to the host are
`on_host` and `moved`, and who calls them means it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapejit.runtime.cuda.arrays import DeviceArray, to_host_together
from tapejit.runtime.cuda.machine import Machine
from tapejit.runtime.cuda.machines import machine
from tapejit.schedule.views import view_of
from tapejit.shapes import CPU, Aval

MEMORY = (np.ndarray, DeviceArray)
"""What can be shared and written to.  NumPy's scalars are 0-d results without memory."""


def machine_of(device: str) -> Machine:
    """The machine of a GPU's name.

    Errors  GpuUnavailable if there is none
    """
    _, _, number = device.partition(":")
    return machine(int(number or 0))


class _Current(threading.local):
    """What a thread means by a device that it does not say."""

    index = 0
    """The number of the GPU that is called "cuda"."""
    default = CPU
    """Where tensors are made."""


current = _Current()


def on_host(value: Any) -> Any:
    """A value as NumPy has it; a copy, which waits for the GPU, if it lies there."""
    return value.to_host()[()] if isinstance(value, DeviceArray) else value


def all_on_host(values: Sequence) -> list:
    """`on_host` of each; one transfer brings what a program's call left beside each other."""
    if not any(isinstance(value, DeviceArray) for value in values):
        return list(values)
    arrays = [value for value in values if isinstance(value, DeviceArray)]
    found = iter(to_host_together(arrays))
    return [next(found)[()] if isinstance(value, DeviceArray) else value for value in values]


def moved(value: Any, device: str) -> Any:
    """A value in the memory of a device; itself where it is there."""
    if value.device == device:
        return value
    value = on_host(value)
    return value if device == CPU else DeviceArray.from_host(machine_of(device), value)


def owned(value: Any) -> Any:
    """A copy in memory of its own."""
    return value.copy() if isinstance(value, DeviceArray) else np.array(value)


def as_value(x: Any) -> Any:
    """An array or number as tensors hold it: NumPy's scalars where there are no axes."""
    return x if isinstance(x, DeviceArray) else np.asarray(x)[()]


def zeros_like(value: Any) -> Any:
    """Zeros of a value's shape and dtype, where it is."""
    if not isinstance(value, DeviceArray):
        return np.zeros(np.shape(value), value.dtype)[()]
    zero = DeviceArray.from_host(value.machine, np.zeros((), value.dtype))
    return zero.view(value.shape, (0,) * value.ndim).copy()


def filled(known: Aval, number: float) -> Any:
    """A value of equal elements, where its aval says."""
    return moved(np.full(known.shape, number, known.dtype.dtype)[()], known.device)


def another(value: Any) -> Any:
    """The same memory or number as an object of its own."""
    if isinstance(value, DeviceArray):
        return value.view(value.shape, value.strides)
    return value.view() if isinstance(value, np.ndarray) else value.dtype.type(value)


def can_view(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether memory can be seen in another shape, of as many elements, without a copy."""
    if isinstance(value, DeviceArray):
        return view_of("reshape", (), value.shape, (0, value.strides), shape) is not None
    try:
        value.view().reshape(shape, copy=False)
    except ValueError:
        return False
    return True


def layout(value: Any) -> tuple[int, tuple[int, ...]]:
    """The address of the first element, and the strides in elements."""
    if isinstance(value, DeviceArray):
        return value.address, value.strides
    value = np.asarray(value)
    strides = tuple(s // value.itemsize for s in value.strides)
    return value.__array_interface__["data"][0], strides
