"""NumPy's functions that only NumPy code asks of tensors: shapes, types, copies, `_like`."""

from __future__ import annotations

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.tensor.core import Tensor, as_data
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS

# ---------------------------------------------------------------- what a tensor is

FOR_NUMPY[np.shape] = lambda a: tuple(a.shape)
FOR_NUMPY[np.ndim] = lambda a: a.ndim
FOR_NUMPY[np.copy] = lambda a: a.clone()
FOR_NUMPY[np.astype] = lambda x, dtype: x.to(as_dtype(dtype))
FOR_NUMPY[np.result_type] = lambda *xs: np.result_type(*map(_kind, xs))
FOR_NUMPY[np.can_cast] = lambda from_, to, casting: np.can_cast(_kind(from_), to, casting)
FOR_NUMPY[np.iscomplexobj] = lambda x: x.dtype.dtype.kind == "c"
FOR_NUMPY[np.isrealobj] = lambda x: x.dtype.dtype.kind != "c"


def _kind(x):
    return x.dtype.dtype if isinstance(x, Tensor) else x


def _size(a, axis=None):
    return a.numel() if axis is None else a.shape[axis]


FOR_NUMPY[np.size] = _size

# ---------------------------------------------------------------- like another


def _like(name):
    """np.zeros_like and its kin give tensors, which can be filled in place and differentiated."""

    def make(x, *, dtype=None, shape=None):
        shape = tuple(x.shape) if shape is None else shape
        return FUNCTIONS[name](shape, dtype=x.dtype if dtype is None else dtype)

    return make


for _name in ("zeros", "ones", "empty"):
    FOR_NUMPY[getattr(np, f"{_name}_like")] = _like(_name)


def _full_like(x, fill_value, *, dtype=None, shape=None):
    result = _like("empty")(x, dtype=dtype, shape=shape)
    result[...] = fill_value
    return result


FOR_NUMPY[np.full_like] = _full_like


def _made(function):
    """np.zeros(..., like=tensor) and its kin: the array as a tensor."""
    return lambda *args, **options: as_data(function(*args, **options))


for _name in ("zeros", "ones", "empty", "full", "eye", "identity", "arange", "tri"):
    FOR_NUMPY[getattr(np, _name)] = _made(getattr(np, _name))


def _asarray(a, dtype=None):
    a = a if isinstance(a, Tensor) else as_data(np.asarray(a))
    return a if dtype is None else a.to(dtype)


for _name in ("asarray", "asanyarray", "ascontiguousarray"):
    FOR_NUMPY[getattr(np, _name)] = _asarray
