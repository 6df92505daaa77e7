"""Memory shared with other libraries' arrays: CuPy, PyTorch, JAX, Numba; NumPy too.

Both ways and without a copy, by DLPack or `__cuda_array_interface__`.  What is taken in is a tensor
where the memory lies: functions called with a CuPy array give tensors on that GPU, which CuPy takes
in again.  Streams are respected (runtime/cuda/exchange.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, AutogradError
from tapejit.runtime.cuda import dlpack
from tapejit.runtime.cuda.exchange import capsule, is_shareable, shared
from tapejit.runtime.devices import current
from tapejit.shapes import CPU
from tapejit.tensor.attributes import place
from tapejit.tensor.conversion import clone
from tapejit.tensor.core import Tensor, from_array, legacy_name, storage, to_place
from tapejit.tensor.front import FUNCTIONS, attribute, method
from tapejit.tensor.guards import in_trace, read_once
from tapejit.tensor.history import tracks

# ---------------------------------------------------------------- in


def taken_in(x: Any) -> Any:
    """Another library's array as a tensor on its memory; anything else, NumPy's too, as it is."""
    if isinstance(x, Tensor | np.ndarray) or not is_shareable(x):
        return x
    return from_array(shared(x, current.index))


def from_dlpack(ext_tensor, *, device=None, copy=None) -> Tensor:
    """A tensor on the memory of another library's array: a change of one shows in the other.

    ext_tensor  an array with `__dlpack__` or `__cuda_array_interface__`, or a DLPack capsule
    device      where the result is to lie; None: where the array does
    copy        True: in memory of its own; False: never; None: only if the device is another
    Errors      ArgumentError for copy=False on another device; DtypeError for elements that tensors
                cannot have; DeviceError for memory that is neither the host's nor a GPU's
    Like        torch.from_dlpack, numpy.from_dlpack

    >>> import numpy as np, tapejit as tj
    >>> array = np.zeros(2)
    >>> shared = tj.from_dlpack(array)
    >>> array[0] = 1.0
    >>> shared
    tensor([1., 0.], dtype=torch.float64)
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Bare(ext_tensor)
    if not is_shareable(ext_tensor):
        raise TypeError(
            f"from_dlpack: a {type(ext_tensor).__name__} has no __dlpack__\n  try  tapejit.tensor"
        )
    is_plain = isinstance(ext_tensor, np.ndarray)  # a mask would be lost on the way
    found = from_array(ext_tensor if is_plain else shared(ext_tensor, current.index))
    there = place(device, found._aval.device)
    if there != found._aval.device:
        if copy is False:
            raise ArgumentError(f"from_dlpack: from {found._aval.device} to {there} is a copy")
        return to_place(found, there)
    return clone(found) if copy else found


FUNCTIONS["from_dlpack"] = from_dlpack


class _Bare:
    """A capsule without its array."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **_):
        return self.capsule

    def __dlpack_device__(self):
        return dlpack.device_in(self.capsule)


# ---------------------------------------------------------------- out


@method("__dlpack__")
def to_dlpack(x, *, stream=None, max_version=None, dl_device=None, copy=None) -> Any:
    """A DLPack capsule on the tensor's memory, for the `from_dlpack` of another library.

    stream  on a GPU: the consumer's, which waits for what was asked of the tensor's
    Errors  BufferError for a tensor that requires grad, and for another device with copy=False
    """
    if tracks(x):
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    read_once(x, "a tensor's memory")
    if dl_device is not None and tuple(dl_device) != to_dlpack_device(x):
        kind, number = dl_device
        if copy is False or kind not in (dlpack.CPU, dlpack.CUDA):
            raise BufferError(f"__dlpack__: device {tuple(dl_device)} of a tensor on {x.device}")
        x, copy = to_place(x, CPU if kind == dlpack.CPU else place(number)), None
    if copy:
        x = clone(x)
    value = storage(x)
    if x._aval.device != CPU:
        return capsule(value, stream, max_version is not None and max_version[0] >= 1)
    if in_trace(x):
        value = value.view()
        value.flags.writeable = False
    if max_version is None:
        return value.__dlpack__(stream=stream)
    return value.__dlpack__(stream=stream, max_version=max_version)


@method("__dlpack_device__")
def to_dlpack_device(x) -> tuple[int, int]:
    """DLPack's kind and number of the device: (1, 0) is the CPU, (2, 0) the first GPU."""
    if x._aval.device == CPU:
        return dlpack.CPU, 0
    return dlpack.CUDA, int(x._aval.device.partition(":")[2])


@attribute("__cuda_array_interface__")
def cuda_array_interface(x) -> dict:
    """The memory of a tensor on a GPU by Numba's protocol, version 3.

    Errors  AttributeError for tensors on the CPU; AutogradError for those that require grad
    """
    if x._aval.device == CPU:
        raise AttributeError(
            "Can't get __cuda_array_interface__ on non-CUDA tensor type: "
            f"torch.{legacy_name(x._aval.dtype)}Tensor\n  try  .cuda()"
        )
    if tracks(x):
        raise AutogradError(
            "Can't get __cuda_array_interface__ on Variable that requires grad. If gradients "
            "aren't required, use var.detach() to get Variable that doesn't require grad."
        )
    read_once(x, "a tensor's memory")
    return storage(x).__cuda_array_interface__
