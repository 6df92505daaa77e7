"""What a tensor tells of itself: shape, dtype, device, strides, the place of its memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit.dtypes import DType
from tapejit.errors import ArgumentError
from tapejit.runtime.devices import current, layout, machine_of
from tapejit.shapes import CPU
from tapejit.tensor.core import storage
from tapejit.tensor.front import attribute, method
from tapejit.tensor.guards import read_layout, read_once
from tapejit.tensor.recording import root, version

# ---------------------------------------------------------------- shapes and places


class Size(tuple[int, ...]):
    """A shape, printed as PyTorch prints one.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).shape
    torch.Size([2, 3])
    """

    def __repr__(self):
        return f"torch.Size({list(self)})"

    def numel(self) -> int:
        """The number of elements.

        >>> import tapejit as tj
        >>> tj.zeros(2, 3).shape.numel()
        6
        """
        return int(np.prod(self, dtype=np.int64))


class Device(str):
    """Where a tensor lies: "cpu", or "cuda" with the card's number.

    type   "cpu", "cuda", or both with a number: "cuda:1"; a number alone is that of a GPU
    index  the number, where type has none
    Errors ArgumentError for any other name

    >>> import tapejit as tj
    >>> tj.zeros(2).device, tj.device("cuda", 1)
    (device(type='cpu'), device(type='cuda', index=1))
    """

    def __new__(cls, type: Any, index: int | None = None):
        """PyTorch's constructor."""
        text = f"cuda:{type}" if isinstance(type, int) else str(type)
        name, _, number = text.partition(":")
        is_named = name in ("cpu", "cuda") and (not number or number.isdecimal())
        if not is_named or (number and index is not None):
            raise ArgumentError(
                "Expected one of cpu, cuda device type at start of device string, with at most "
                f"one index: {text!r}{'' if index is None else f', {index}'}"
            )
        return super().__new__(cls, text if index is None else f"{text}:{index}")

    @property
    def type(self) -> str:
        """ "cpu" or "cuda".

        >>> import tapejit as tj
        >>> tj.device("cuda:0").type
        'cuda'
        """
        return str(self).partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number of the card; None where it is not said.

        >>> import tapejit as tj
        >>> tj.device("cuda:1").index, tj.device("cuda").index
        (1, None)
        """
        number = str(self).partition(":")[2]
        return int(number) if number else None

    def __enter__(self):
        """Let tensors be made there, as `set_default_device` does."""
        defaults = vars(current).setdefault("outer", [])
        there = place(self)
        defaults.append(current.default)
        current.default = there
        return self

    def __exit__(self, *exception):
        """Let them be made where they were before."""
        current.default = current.outer.pop()

    def __repr__(self):
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{number})"


def set_default_device(device: Any) -> None:
    """Let functions that make tensors make them on this device from now on, in this thread.

    device  None: the CPU
    Errors  as for device=
    Like    torch.set_default_device; `with tj.device("cuda"):` does it for a block of code

    >>> import tapejit as tj
    >>> tj.set_default_device("cpu")
    >>> tj.get_default_device()
    device(type='cpu')
    """
    current.default = place(device, CPU)


def get_default_device() -> Device:
    """Where functions that make tensors make them.

    >>> import tapejit as tj
    >>> with tj.device("cpu"):
    ...     tj.get_default_device()
    device(type='cpu')
    """
    return Device(current.default)


def place(device: Any, default: str | None = None) -> str:
    """An argument `device` as avals name devices: "cpu", "cuda:0".

    default  what None means; None: the device where tensors are made
    Errors   ArgumentError for a name that is none; GpuUnavailable, DeviceError for a GPU that is
             not there
    """
    if device is None:
        return current.default if default is None else default
    device = Device(device)
    if device.type == CPU:
        return CPU
    index = current.index if device.index is None else device.index
    machine_of(f"cuda:{index}")
    return f"cuda:{index}"


# ---------------------------------------------------------------- facts


@attribute("shape")
def shape(x) -> Size:
    """The lengths of the axes.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3)
    >>> x.shape, x.shape[-1]
    (torch.Size([2, 3]), 3)
    """
    return Size(x._aval.shape)


@attribute("dtype")
def dtype(x) -> DType:
    """What an element is.

    >>> import tapejit as tj
    >>> tj.tensor([1.0]).dtype, tj.tensor([1]).dtype
    (torch.float32, torch.int64)
    """
    return x._aval.dtype


@attribute("ndim")
def ndim(x) -> int:
    """The number of axes.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).ndim
    2
    """
    return x._aval.ndim


@attribute("device")
def device(x) -> Device:
    """Where the elements lie.

    >>> import tapejit as tj
    >>> tj.zeros(2).device
    device(type='cpu')
    """
    return Device(x._aval.device)


@attribute("is_cuda")
def is_cuda(x) -> bool:
    """Whether the elements lie on a GPU.

    >>> import tapejit as tj
    >>> tj.zeros(2).is_cuda
    False
    """
    return x._aval.device != CPU


@attribute("itemsize")
def itemsize(x) -> int:
    """Bytes of one element.

    >>> import tapejit as tj
    >>> tj.zeros(2).itemsize, tj.zeros(2, dtype=tj.float64).itemsize
    (4, 8)
    """
    return x._aval.dtype.itemsize


@attribute("nbytes")
def nbytes(x) -> int:
    """Bytes of all elements.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).nbytes
    24
    """
    return x._aval.nbytes


@attribute("_version")
def version_(x) -> int:
    """How often the memory has been changed in place."""
    read_once(x, "a version counter")
    return version(x._value)


@method("size")
def size(x, dim=None) -> Any:
    """The shape, or the length of one axis.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3)
    >>> x.size(), x.size(1)
    (torch.Size([2, 3]), 3)
    """
    return Size(x._aval.shape) if dim is None else x._aval.shape[dim]


@method("numel", "nelement")
def numel(x) -> int:
    """The number of elements.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).numel()
    6
    """
    return x._aval.size


@method("dim", "ndimension")
def dim(x) -> int:
    """The number of axes.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).dim()
    2
    """
    return x._aval.ndim


@method("is_floating_point")
def is_floating_point(x) -> bool:
    """Whether the dtype is a float.

    >>> import tapejit as tj
    >>> tj.tensor([1.0]).is_floating_point(), tj.tensor([1]).is_floating_point()
    (True, False)
    """
    return x._aval.dtype.is_floating_point


@method("is_contiguous")
def is_contiguous(x) -> bool:
    """Whether the memory is in row-major order.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3)
    >>> x.is_contiguous(), x.t().is_contiguous()
    (True, False)
    """
    return bool(read_layout(x).flags.c_contiguous)


@method("stride")
def stride(x, dim=None) -> Any:
    """Elements between neighbours along each axis.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3)
    >>> x.stride(), x.t().stride(), x[:, :1].expand(2, 3).stride()
    ((3, 1), (1, 3), (3, 0))
    """
    strides = layout(read_layout(x))[1]
    return strides if dim is None else strides[dim]


@method("storage_offset")
def storage_offset(x) -> int:
    """Elements between the beginning of the memory and the first element.

    >>> import tapejit as tj
    >>> tj.arange(10)[4:].storage_offset()
    4
    """
    read_once(x, "an offset in memory")
    value = storage(x)
    return (layout(value)[0] - layout(root(value))[0]) // value.itemsize


@method("data_ptr")
def data_ptr(x) -> int:
    """The address of the first element.

    >>> import tapejit as tj
    >>> x = tj.arange(4)
    >>> x[1:].data_ptr() - x.data_ptr()  # one int64 further
    8
    """
    read_once(x, "an address")
    return layout(storage(x))[0]


@method("element_size")
def element_size(x) -> int:
    """Bytes of one element, as `itemsize`.

    >>> import tapejit as tj
    >>> tj.zeros(2, dtype=tj.float16).element_size()
    2
    """
    return x._aval.dtype.itemsize


@method("is_set_to")
def is_set_to(x, other) -> bool:
    """Whether both are the same memory, shape and strides.

    >>> import tapejit as tj
    >>> x = tj.arange(4)
    >>> x.is_set_to(x.view(4)), x.is_set_to(x.clone())
    (True, False)
    """
    return data_ptr(x) == data_ptr(other) and x._aval is other._aval
