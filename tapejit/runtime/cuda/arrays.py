"""Arrays on a GPU: `DeviceArray`, the value of a tensor there.

It is to a tensor what a NumPy array is on the CPU: memory, shape and strides, with views that
share the memory.  It computes nothing; `copy_between` moves elements, by the machine's own copy
where both sides are row-major, else by a loop kernel.

Nothing becomes a NumPy array by itself: `np.asarray` of one raises, and `to_host` is the way.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tapejit.dtypes import from_numpy
from tapejit.errors import DtypeError
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, View
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
        base: DeviceArray | None = None,
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
        """The array that this is a view of."""

    @staticmethod
    def empty(machine: Machine, shape: tuple[int, ...], dtype: np.dtype) -> DeviceArray:
        """A row-major array of whatever is in its memory."""
        dtype = np.dtype(dtype)
        memory = machine.allocate(dtype.itemsize * int(np.prod(shape, dtype=np.int64)))
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
        return int(np.prod(self.shape, dtype=np.int64))

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
        return SimpleNamespace(c_contiguous=self.is_row_major, writeable=True)

    @property
    def __cuda_array_interface__(self) -> dict:
        """Version 3 of Numba's protocol: the memory, for CuPy, PyTorch and Numba to share."""
        stream = self.machine.stream
        bytes_apart = tuple(s * self.itemsize for s in self.strides)
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.size else 0, False),
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
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
    ) -> DeviceArray:
        """The same memory seen otherwise; strides and offset in elements."""
        address = self.address + offset * self.itemsize
        base = self if self.base is None else self.base
        return DeviceArray(self.machine, self.memory, address, self.dtype, shape, strides, base)

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
        return result

    def __getitem__(self, place):
        """array[()], itself, as NumPy's arrays with axes are."""
        assert place == (), place
        return self

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

_KERNEL = {1: "bool", 4: "i32", 8: "i64"}
"""What elements of so many bytes are moved as: copies keep bits."""


def copy_between(target: DeviceArray, source: DeviceArray) -> None:
    """Copy all elements between arrays of one shape and dtype on one machine.

    Errors  DtypeError for elements of 2 or 16 bytes that do not lie in row-major order
    """
    assert target.shape == source.shape and target.dtype == source.dtype, (target, source)
    if not target.size:
        return
    machine = target.machine
    if target.is_row_major and source.is_row_major:
        machine.copy(target.address, source.address, target.nbytes)
        return
    kernel_dtype = _KERNEL.get(target.itemsize)
    if from_numpy(target.dtype).kernel:
        kernel_dtype = from_numpy(target.dtype).kernel
    if kernel_dtype is None or (kernel_dtype == "bool" and target.dtype != np.bool_):
        raise DtypeError(
            f"{target.device}: {target.dtype.name} elements that are not in row-major order cannot "
            "be copied yet\n  try  .cpu() first"
        )
    from tapejit.codegen.cuda.kernels import launches_of  # not for who has no GPU
    from tapejit.runtime.cuda.launching import run_launches

    step = _copy_step(target, source, kernel_dtype)
    run_launches(machine, launches_of(step, machine.block), (source.address, target.address))


def _copy_step(target, source, dtype) -> KernelStep:
    """The loop over all axes from one array to the other."""
    lengths = target.shape or (1,)
    walks, views = [], []
    for number, array in enumerate((source, target)):
        strides = array.strides or (0,)
        steps = ["0" if s == 0 and n > 1 else "s" for n, s in zip(lengths, strides, strict=True)]
        if strides[-1] == 1:
            steps[-1] = "1"
        walks.append(Operand(dtype, "".join(steps)))
        views.append(View(number, 0, lengths, strides))
    kernel = LoopKernel(
        len(lengths), (walks[0],), (Node("load", dtype, (0,)),), (Output(0, walks[1], None),)
    )
    return KernelStep(kernel, lengths, tuple(views))
