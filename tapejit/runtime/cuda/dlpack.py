"""DLPack's capsules: one array's memory, handed from one library to another without a copy.

`capsule_of` makes one, `opened` takes one apart; both in the layout with a version (1.x) and in the
older one without.  What keeps the memory alive is let go exactly once: by the deleter that whoever
opened the capsule calls, or with the capsule if nobody opened it.

The structures are those of dlpack.h (https://dmlc.github.io/dlpack); memory of any device, which
nothing here looks at.  Who may share what, and streams: exchange.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import DtypeError

CPU, CUDA, CUDA_MANAGED = 1, 2, 13
"""Numbers of kinds of devices."""

VERSION = (1, 1)
"""The newest that is spoken here; (0, 8) is the last without a version in the capsule."""

_LETTERS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}
"""By the codes of dlpack.h, what NumPy calls them."""
_BFLOAT = 4

_READ_ONLY = 1
"""The flag."""

# ---------------------------------------------------------------- structures


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    """DLManagedTensor."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_STRUCTURES: dict[bytes, Any] = {b"dltensor": _Managed, b"dltensor_versioned": _Versioned}
_USED = {name: b"used_" + name for name in _STRUCTURES}
"""A capsule's name, and its name when it has been opened; Python keeps pointers to these."""


def _of_python(name: str, result: Any, *arguments: Any) -> Callable:
    function = ctypes.pythonapi[name]
    function.restype, function.argtypes = result, arguments
    return function


_P, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_is_named = _of_python("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, _TEXT)
_pointer_of = _of_python("PyCapsule_GetPointer", _P, ctypes.py_object, _TEXT)
_rename = _of_python("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, _TEXT)

# ---------------------------------------------------------------- making


class _Seen:
    """Memory as NumPy can be told of it."""

    def __init__(self, interface, keep):
        self.__array_interface__ = interface
        self.keep = keep


def capsule_of(
    address: int,
    device: tuple[int, int],
    dtype: np.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    keep: Any,
    is_versioned: bool = False,
    is_read_only: bool = False,
) -> Any:
    """A capsule of an array.

    NumPy makes it, of an array that is never read, and its code in C lets `keep` go, whatever
    happens and in whichever thread; the device is entered here.

    device   kind and number
    strides  in elements
    keep     what keeps the memory alive
    Errors   BufferError for read-only memory without a version: such a capsule cannot say it
    """
    interface = {
        "version": 3,
        "shape": shape,
        "typestr": dtype.str,
        "data": (address, is_read_only),
        "strides": tuple(s * dtype.itemsize for s in strides),
    }
    array = np.asarray(_Seen(interface, keep))
    capsule = array.__dlpack__(max_version=VERSION) if is_versioned else array.__dlpack__()
    tensor = _inside(capsule)[2].tensor
    tensor.device_type, tensor.device_id = device
    return capsule


# ---------------------------------------------------------------- opening


class Opened(NamedTuple):
    """What was in a capsule."""

    address: int
    device: tuple[int, int]
    """Kind and number."""
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    """In elements; None: row-major."""
    is_read_only: bool
    release: Callable[[], None]
    """To be called once, when the memory is not needed any more."""


def opened(capsule: Any) -> Opened:
    """What is in a capsule, which is ours from now on.

    Errors  DtypeError for elements that NumPy does not have; BufferError for a capsule that was
            opened before, or of a version to come
    """
    name, address, managed = _inside(capsule)
    is_versioned = name == b"dltensor_versioned"
    if is_versioned and managed.major != VERSION[0]:
        raise BufferError(f"from_dlpack: a capsule of version {managed.major}.{managed.minor}")
    tensor = managed.tensor
    dtype = _dtype(tensor)
    n, strides = tensor.ndim, None
    shape = tuple(tensor.shape[:n]) if n else ()
    if tensor.strides:
        strides = tuple(tensor.strides[:n]) if n else ()
    found = Opened(
        (tensor.data or 0) + tensor.byte_offset,
        (tensor.device_type, tensor.device_id),
        dtype,
        shape,
        strides,
        is_versioned and bool(managed.flags & _READ_ONLY),
        _releasing(address, managed.deleter),
    )
    _rename(capsule, _USED[name])
    return found


def device_in(capsule: Any) -> tuple[int, int]:
    """The device of what is in a capsule, which is left as it is."""
    _, _, managed = _inside(capsule)
    return managed.tensor.device_type, managed.tensor.device_id


def _inside(capsule: Any) -> tuple[bytes, int, Any]:
    """A capsule's name, and the structure in it with its address."""
    name = next((name for name in _STRUCTURES if _is_named(capsule, name)), None)
    if name is None:
        raise BufferError(
            f"from_dlpack: {capsule!r} holds no array\n  try  a new capsule: each is opened once"
        )
    address = _pointer_of(capsule, name)
    return name, address, _STRUCTURES[name].from_address(address)


def _dtype(tensor: _Tensor) -> np.dtype:
    letter = _LETTERS.get(tensor.code)
    if letter is None or tensor.lanes != 1 or tensor.bits % 8:
        name = "bfloat16" if tensor.code == _BFLOAT else f"code {tensor.code}"
        raise DtypeError(
            f"from_dlpack: elements of {name}, {tensor.bits} bits, {tensor.lanes} lanes\n"
            "  try  a float32 copy"
        )
    return np.dtype(f"{letter}{tensor.bits // 8}")


def _releasing(address: int, deleter: int | None) -> Callable[[], None]:
    if not deleter:
        return lambda: None
    return lambda: ctypes.CFUNCTYPE(None, _P)(deleter)(address)
