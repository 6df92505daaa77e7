"""Arrays on a GPU: `DeviceArray`, the value of a tensor there.

It is to a tensor what a NumPy array is on the CPU: memory, shape and strides, with views that
share the memory.  It computes nothing; `copy_between` moves elements, by the machine's own copy
where both sides are row-major, else by a loop kernel.

Nothing becomes a NumPy array by itself: `np.asarray` of one raises, and `to_host` is the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from tapejit.dtypes import from_numpy
from tapejit.errors import DtypeError
from tapejit.registry import Operand
from tapejit.runtime.cuda import statuses
from tapejit.runtime.cuda.machine import Machine
from tapejit.schedule.views import contiguous, is_contiguous

# ---------------------------------------------------------------- arrays


class DeviceArray:
    """Elements in a GPU's memory."""

    __slots__ = ("__weakref__", "address", "base", "dtype", "machine", "memory", "shape", "strides")

    def __init__(
        self,
        machine: Machine,
        memory: Any,
        address: int,
        dtype: np.dtype,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        base: Any = None,
    ):
        self.machine = machine
        self.memory = memory
        """What keeps the elements alive."""
        self.address = address
        """Of the first element."""
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        """In elements."""
        self.base = base
        """The array that this is a view of, if it is one."""

    @staticmethod
    def empty(machine: Machine, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
        """A row-major array of whatever is in its memory."""
        dtype = np.dtype(dtype)
        memory = machine.allocate(dtype.itemsize * math.prod(shape))
        return DeviceArray(machine, memory, memory.address, dtype, shape, contiguous(shape))

    @staticmethod
    def from_host(machine: Machine, array: Any) -> DeviceArray:
        """A copy of a NumPy array or number."""
        array = np.asarray(array, order="C")
        result = DeviceArray.empty(machine, array.shape, array.dtype)
        if array.size:
            machine.copy_in(result.address, array)
        return result

    # ------------------------------------------------------------ facts

    @property
    def device(self) -> str:
        """The name that avals have: "cuda:0"."""
        return f"cuda:{self.machine.index}"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def is_row_major(self) -> bool:
        """Whether the elements lie in row-major order, without gaps."""
        return not self.size or is_contiguous(self.shape, self.strides)

    @property
    def flags(self) -> SimpleNamespace:
        """The two of NumPy's flags that tensors ask for."""
        return SimpleNamespace(c_contiguous=self.is_row_major, writeable=not self.is_read_only)

    @property
    def is_read_only(self) -> bool:
        """Whether it is another library's memory, which is not to be written."""
        return getattr(self.memory, "is_read_only", False)

    @property
    def __cuda_array_interface__(self) -> dict:
        """Version 3 of Numba's protocol: the memory, for CuPy, PyTorch and Numba to share."""
        stream = self.machine.stream
        bytes_apart = tuple(s * self.itemsize for s in self.strides)
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.size else 0, self.is_read_only),
            "strides": None if self.is_row_major else bytes_apart,
            "version": 3,
            "stream": int(getattr(stream, "handle", 0) or 0) or 1,  # 1: the default stream
        }

    def __array__(self, *_, **__):
        raise DtypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy "
            "the tensor to host memory first."
        )

    def __repr__(self):
        return f"DeviceArray({self.dtype.name}{list(self.shape)} at {self.device})"

    # ------------------------------------------------------------ views and copies

    def view(
        self,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        offset: int = 0,
        dtype: np.dtype | None = None,
    ) -> DeviceArray:
        """The same memory seen otherwise; the offset in elements, strides in those of `dtype`."""
        address = self.address + offset * self.itemsize
        base = self.base if isinstance(self.base, DeviceArray) else self
        dtype = self.dtype if dtype is None else dtype
        return DeviceArray(self.machine, self.memory, address, dtype, shape, strides, base)

    def row_major(self) -> DeviceArray:
        """Itself, or a row-major copy."""
        return self if self.is_row_major else self.copy()

    def copy(self) -> DeviceArray:
        """A row-major copy in memory of its own."""
        result = DeviceArray.empty(self.machine, self.shape, self.dtype)
        copy_between(result, self)
        return result

    def to_host(self) -> np.ndarray:
        """A NumPy copy; waits for all that was asked of the machine."""
        source = self.row_major()
        result = np.empty(self.shape, self.dtype)
        if result.size:
            self.machine.copy_out(result, source.address)
        statuses.check(self.machine)
        return result

    def __getitem__(self, place):
        """array[()], itself, as NumPy's arrays with axes are; array[i], along the first axis."""
        if isinstance(place, tuple):
            assert not place, place
            return self
        offset = range(self.shape[0])[place] * self.strides[0]
        return self.view(self.shape[1:], self.strides[1:], offset)

    def __setitem__(self, place, value):
        """array[...] = value, of the same dtype and a shape that broadcasts."""
        assert place is Ellipsis, place
        if not isinstance(value, DeviceArray):
            value = DeviceArray.from_host(self.machine, np.asarray(value, self.dtype))
        if value.shape != self.shape:
            extra = self.ndim - value.ndim
            steps = [0 if n == 1 else s for n, s in zip(value.shape, value.strides, strict=True)]
            value = value.view(self.shape, (*(0,) * extra, *steps))
        copy_between(self, value)


# ---------------------------------------------------------------- copies


TOGETHER = 1 << 16
"""Bytes, those between arrays among them, that are copied in one transfer rather than in several:
as long as that takes to begin."""


def to_host_together(arrays: Sequence[DeviceArray]) -> list[np.ndarray]:
    """NumPy copies of row-major arrays on one machine: one transfer for those that share memory.

    So it is with the small outputs of a program's call, as values of guards are.
    """
    found: list[Any] = [None] * len(arrays)
    groups: dict[int, list[int]] = {}
    for k, array in enumerate(arrays):
        groups.setdefault(id(array.memory), []).append(k)
    for members in groups.values():
        first = min(arrays[k].address for k in members)
        last = max(arrays[k].address + arrays[k].nbytes for k in members)
        is_short = len(members) > 1 and last - first <= TOGETHER
        if not (is_short and all(arrays[k].is_row_major for k in members)):
            for k in members:
                found[k] = arrays[k].to_host()
            continue
        packed = np.empty(last - first, np.uint8)
        arrays[members[0]].machine.copy_out(packed, first)
        for k in members:
            array = arrays[k]
            part = packed[array.address - first :][: array.nbytes]
            found[k] = part.copy().view(array.dtype).reshape(array.shape)
    if arrays:
        statuses.check(arrays[0].machine)
    return found


def copy_between(target: DeviceArray, source: DeviceArray) -> None:
    """Copy all elements between arrays of one shape and dtype on one machine."""
    assert target.shape == source.shape and target.dtype == source.dtype, (target, source)
    if not target.size:
        return
    machine = target.machine
    if target.is_row_major and source.is_row_major:
        machine.copy(target.address, source.address, target.nbytes)
        return
    from tapejit.runtime.cuda.copies import copy_launches  # not for who has no GPU
    from tapejit.runtime.cuda.launching import run_launches

    here, there = (Operand(x.shape, x.strides, from_numpy(x.dtype)) for x in (source, target))
    launches = copy_launches(here, there, machine.block)
    run_launches(machine, launches, (source.address, target.address))
