"""What a tensor tells of itself: shape, dtype, device, strides, the place of its memory."""

from __future__ import annotations

import numpy as np

from tapejit.errors import AutogradError
from tapejit.tensor.core import storage
from tapejit.tensor.front import attribute, method
from tapejit.tensor.recording import root, version

# ---------------------------------------------------------------- shapes and places


class Size(tuple):
    """A shape, printed as PyTorch prints one.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).shape
    torch.Size([2, 3])
    """

    def __repr__(self):
        return f"torch.Size({list(self)})"

    def numel(self) -> int:
        """The number of elements."""
        return int(np.prod(self, dtype=np.int64))


class Device(str):
    """Where a tensor lies.

    >>> import tapejit as tj
    >>> tj.zeros(2).device
    device(type='cpu')
    """

    @property
    def type(self) -> str:
        """ "cpu" or "cuda"."""
        return str(self).partition(":")[0]

    def __repr__(self):
        return f"device(type='{self.type}')"


CPU = Device("cpu")


def check_device(device) -> None:
    """Raise for a device that is not there."""
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise AutogradError(f"device {device!r} is not available\n  try  device='cpu'")


# ---------------------------------------------------------------- facts


@attribute("shape")
def shape(x):
    """The lengths of the axes."""
    return Size(x._aval.shape)


@attribute("dtype")
def dtype(x):
    """What an element is."""
    return x._aval.dtype


@attribute("ndim")
def ndim(x):
    """The number of axes."""
    return x._aval.ndim


@attribute("device")
def device(x):
    """Where the elements lie."""
    return CPU


@attribute("is_cuda")
def is_cuda(x):
    """Whether the elements lie on a GPU."""
    return False


@attribute("itemsize")
def itemsize(x):
    """Bytes of one element."""
    return x._aval.dtype.itemsize


@attribute("nbytes")
def nbytes(x):
    """Bytes of all elements."""
    return x._aval.nbytes


@attribute("_version")
def version_(x):
    """How often the memory has been changed in place."""
    return version(x._value)


@method("size")
def size(x, dim=None):
    """The shape, or the length of one axis."""
    return Size(x._aval.shape) if dim is None else x._aval.shape[dim]


@method("numel", "nelement")
def numel(x):
    """The number of elements."""
    return x._aval.size


@method("dim", "ndimension")
def dim(x):
    """The number of axes."""
    return x._aval.ndim


@method("is_floating_point")
def is_floating_point(x):
    """Whether the dtype is a float."""
    return x._aval.dtype.is_floating_point


@method("is_contiguous")
def is_contiguous(x):
    """Whether the memory is in row-major order."""
    return bool(np.asarray(x._value).flags.c_contiguous)


@method("stride")
def stride(x, dim=None):
    """Elements between neighbours along each axis."""
    value = np.asarray(x._value)
    strides = tuple(s // value.itemsize for s in value.strides)
    return strides if dim is None else strides[dim]


@method("storage_offset")
def storage_offset(x):
    """Elements between the beginning of the memory and the first element."""
    value = storage(x)
    first, beginning = (a.__array_interface__["data"][0] for a in (value, root(value)))
    return (first - beginning) // value.itemsize


@method("data_ptr")
def data_ptr(x):
    """The address of the first element."""
    return storage(x).__array_interface__["data"][0]


@method("element_size")
def element_size(x):
    """Bytes of one element, as `itemsize`."""
    return x._aval.dtype.itemsize


@method("is_set_to")
def is_set_to(x, other):
    """Whether both are the same memory, shape and strides."""
    return data_ptr(x) == data_ptr(other) and x._aval is other._aval
