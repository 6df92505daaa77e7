"""NumPy's functions that only NumPy code asks of tensors: shapes, types, copies, `_like`."""

from __future__ import annotations

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, as_data, tensor_of
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
    a = tensor_of(a)
    return a if dtype is None else a.to(dtype)


for _name in ("asarray", "asanyarray", "ascontiguousarray"):
    FOR_NUMPY[getattr(np, _name)] = _asarray

# ---------------------------------------------------------------- functions of functions


def _apply_along_axis(func1d, axis, arr, *args, **kwargs):
    axis = normalize_axis("apply_along_axis", axis, arr.ndim)
    lanes = arr.movedim(axis, -1)
    lead = tuple(lanes.shape[:-1])
    rows = lanes.reshape(-1, lanes.shape[-1])
    found = [func1d(rows[i], *args, **kwargs) for i in range(rows.shape[0])]
    parts = FUNCTIONS["stack"]([tensor_of(x) for x in found])
    own = tuple(parts.shape[1:])
    result = parts.reshape(*lead, *own)
    places = range(len(lead), len(lead) + len(own))
    return result.movedim(tuple(places), tuple(range(axis, axis + len(own))))


def _apply_over_axes(func, a, axes):
    for axis in axes if isinstance(axes, tuple | list) else (axes,):
        result = func(a, axis)
        a = result if result.ndim == a.ndim else result.unsqueeze(axis)
    return a


def _piecewise(x, condlist, funclist, *args, **kw):
    """Every function is applied to all of x, and counts where its condition holds."""
    conditions = condlist if isinstance(condlist, list | tuple) else [condlist]
    conditions = [tensor_of(c) for c in conditions]
    functions = list(funclist)
    if len(functions) == len(conditions) + 1:
        functions = [functions[-1], *functions[:-1]]
        conditions = [FUNCTIONS["ones_like"](conditions[0]), *conditions]
    result = FUNCTIONS["zeros_like"](x)
    for condition, function in zip(conditions, functions, strict=True):
        value = function(x, *args, **kw) if callable(function) else function
        result = FUNCTIONS["where"](condition, value, result).to(x.dtype)
    return result


FOR_NUMPY[np.apply_along_axis] = _apply_along_axis
FOR_NUMPY[np.apply_over_axes] = _apply_over_axes
FOR_NUMPY[np.piecewise] = _piecewise

# ---------------------------------------------------------------- as other functions

FOR_NUMPY[np.around] = lambda a, decimals=0: FOR_NUMPY[np.round](a, decimals=decimals)
FOR_NUMPY[np.fix] = lambda x: FUNCTIONS["trunc"](x)


def _array_equiv(a1, a2):
    try:
        np.broadcast_shapes(tuple(a1.shape), tuple(a2.shape))
    except ValueError:
        return False
    return bool((a1 == a2).all())


def _array_equal(a1, a2, equal_nan=False):
    if tuple(a1.shape) != tuple(a2.shape):
        return False
    same = a1 == a2
    return bool((same | ((a1 != a1) & (a2 != a2)) if equal_nan else same).all())


FOR_NUMPY[np.array_equiv] = _array_equiv
FOR_NUMPY[np.array_equal] = _array_equal
