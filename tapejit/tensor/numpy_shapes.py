"""NumPy's own functions of shapes and places, as compositions of the others.

`interop.numpy_words` brings arguments here by NumPy's names; arrays among them are tensors then.
np.put, np.place, np.putmask, np.copyto, np.put_along_axis and np.fill_diagonal change their first
argument in place, as they do with arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, AxisError, ShapeError, TraceError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS
from tapejit.tensor.guards import read
from tapejit.tensor.indexing import mask_places
from tapejit.tensor.inplace_shapes import fill_diagonal_
from tapejit.tensor.joining import cat
from tapejit.tensor.padding import picked
from tapejit.tensor.picking import take
from tapejit.tensor.repeating import expand
from tapejit.tensor.scattering import take_along_dim
from tapejit.tensor.shaping import movedim, ravel, reshape


def _plain(x) -> Any:
    """Places or counts as plain numbers, on which the structure depends."""
    return read(x) if isinstance(x, Tensor) else np.asarray(x)


# ---------------------------------------------------------------- longer and shorter


def append(arr, values, axis=None):
    """np.append."""
    arr, values = tensor_of(arr), tensor_of(values)
    if axis is None:
        return cat([ravel(arr), ravel(values)], 0)
    return cat([arr, values], axis)


def insert(arr, obj, values, axis=None):
    """np.insert: places known beforehand."""
    arr, values = tensor_of(arr), tensor_of(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis("insert", axis, arr._aval.ndim)
    shape, places = arr._aval.shape, obj if isinstance(obj, slice | int) else _plain(obj)
    if isinstance(places, slice):
        places = np.arange(*places.indices(shape[axis]))
    elif np.asarray(places).dtype == bool:
        places = np.flatnonzero(places)
    is_scalar = np.ndim(places) == 0
    extra = arr._aval.ndim - values._aval.ndim
    values = reshape(values, (1,) * extra + values._aval.shape) if extra > 0 else values
    if is_scalar:  # NumPy takes the first axis of the values for the new places
        values = movedim(values, 0, axis)
    count = values._aval.shape[axis] if np.size(places) == 1 else np.size(places)
    numbers = np.insert(np.arange(shape[axis]), places, -1 - np.arange(count))
    numbers[numbers < 0] = shape[axis] - 1 - numbers[numbers < 0]
    values = expand(values, (*shape[:axis], count, *shape[axis + 1 :])).to(arr.dtype)
    return picked(cat([arr, values], axis), axis, numbers)


def delete(arr, obj, axis=None):
    """np.delete: places known beforehand."""
    arr = tensor_of(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = normalize_axis("delete", axis, arr._aval.ndim)
    places: Any = obj if isinstance(obj, slice | int) else _plain(obj)
    if not isinstance(places, slice) and np.size(places) == 0:
        places = np.zeros(0, np.int64)
    return picked(arr, axis, np.delete(np.arange(arr._aval.shape[axis]), places))


def resize(a, new_shape):
    """np.resize: the elements in order, begun again at the end."""
    shape = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
    a, size = ravel(tensor_of(a)), math.prod(shape)
    n = a._aval.size
    if not n or not size:
        return a.new_zeros(shape)
    times = -(-size // n)
    return reshape(reshape(expand(a, (times, n)), (-1,))[:size], shape)


# ---------------------------------------------------------------- choosing


def select(condlist, choicelist, default=0):
    """np.select: the first choice whose condition holds."""
    condlist, choicelist = list(condlist), list(choicelist)
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError("select: list of cases must be as long as the list of conditions")
    result = tensor_of(default)
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = FUNCTIONS["where"](tensor_of(condition), tensor_of(choice), result)
    return result


def choose(a, choices, mode="raise"):
    """np.choose: the choice that each element of `a` names."""
    a = tensor_of(a)
    choices = [tensor_of(c) for c in choices]
    n = len(choices)
    a = _within(a, n, mode, "choose")
    result = choices[-1]
    for number, choice in reversed(list(enumerate(choices[:-1]))):
        result = FUNCTIONS["where"](a == number, choice, result)
    return result


def _within(places, n, mode, name) -> Any:
    """Places brought into range by clipping or wrapping, or checked."""
    if mode == "clip":
        return places.clamp(0, n - 1)
    if mode == "wrap":
        return places % n
    value = read(((places >= -n * (name != "choose")) & (places < n)).all())
    if not value:
        raise AxisError(f"{name}: places are out of bounds for {n} elements")
    return places


def numpy_take(a, indices, axis=None, out=None, mode="raise"):
    """np.take."""
    a, indices = tensor_of(a), tensor_of(indices)
    n = a._aval.size if axis is None else a._aval.shape[axis]
    if mode != "raise":
        indices = _within(indices, n, mode, "take")
    return take(a, indices, axis)


def take_along_axis(arr, indices, axis=-1):
    """np.take_along_axis; places may count from the end."""
    arr, indices = tensor_of(arr), tensor_of(indices)
    if axis is None:
        arr, axis = ravel(arr), 0
    n = arr._aval.shape[axis]
    indices = _within(indices, n, "raise", "take_along_axis")
    return take_along_dim(arr, FUNCTIONS["where"](indices < 0, indices + n, indices), axis)


def _truths(x) -> Any:
    """What is not 0."""
    return x if x._aval.dtype.name == "bool" else x != 0


def compress(condition, a, axis=None, out=None):
    """np.compress: the parts where a vector of truths holds."""
    a, condition = tensor_of(a), tensor_of(condition)
    if axis is None:
        a, axis = ravel(a), 0
    if condition._aval.ndim != 1:
        raise ArgumentError("condition must be a 1-d array")
    condition = _truths(condition)
    places = mask_places(condition, condition._aval.shape, 0)[0]
    return a[(slice(None),) * normalize_axis("compress", axis, a._aval.ndim) + (places,)]


def extract(condition, arr):
    """np.extract: the elements where the condition holds."""
    return compress(ravel(tensor_of(condition)), arr)


def ix_(*args):
    """np.ix_: vectors along axes of their own; truths as places."""
    vectors = []
    for x in map(tensor_of, args):
        if x._aval.ndim != 1:
            raise ArgumentError("Cross index must be 1 dimensional")
        vectors.append(mask_places(x, x._aval.shape, 0)[0] if x._aval.dtype.name == "bool" else x)
    n = len(vectors)
    return tuple(reshape(x, [-1 if i == j else 1 for j in range(n)]) for i, x in enumerate(vectors))


def unravel_index(indices, shape, order="C"):
    """np.unravel_index: places of the flattened array, one array for each axis."""
    if order != "C":
        raise ArgumentError(f"unravel_index of a tensor: order {order!r} has no rule\n  try  'C'")
    rest: Any = tensor_of(indices)
    places: list = []
    for n in reversed((shape,) if isinstance(shape, int) else tuple(shape)):
        places.append(rest % n)
        rest = apply(OPS["floor_divide"], (rest, n))
    return tuple(places[::-1])


def ravel_multi_index(multi_index, dims, mode="raise", order="C"):
    """np.ravel_multi_index: places on all axes as one in the flattened array."""
    if order != "C" or not isinstance(mode, str):
        raise ArgumentError("ravel_multi_index of tensors: order 'C' and one mode\n  try  those")
    result = None
    for places, n in zip(multi_index, dims, strict=True):
        places = _within(tensor_of(places), n, mode, "ravel_multi_index")
        result = places if result is None else result * n + places
    return result


# ---------------------------------------------------------------- in place


def _target(name, x) -> Any:
    if not isinstance(x, Tensor):
        raise TraceError(
            f"np.{name}: the array that is to be changed is a NumPy array, which cannot hold the "
            "history of a tensor\n  try  np.zeros_like(x) or x.copy() for it"
        )
    return x


def _cycled(values, count, dtype):
    """So many values, begun again at the end."""
    return resize(tensor_of(values), (count,)).to(dtype)


def put(a, ind, v, mode="raise"):
    """np.put."""
    a, ind = _target("put", a), ravel(tensor_of(ind))
    ind = _within(ind, a._aval.size, mode, "put")
    a.index_put_(unravel_index(ind % max(a._aval.size, 1), a._aval.shape) or (ind,),
                 _cycled(v, ind._aval.size, a.dtype))  # fmt: skip


def _put_where(a, mask, values_of):
    mask = _truths(tensor_of(mask))
    if mask._aval.size != a._aval.size:
        raise ShapeError("mask and data must be the same size")
    mask = reshape(mask, a._aval.shape)
    places = mask_places(ravel(mask), (a._aval.size,), 0)[0]
    a[mask] = values_of(places)


def place(arr, mask, vals):
    """np.place: values one after the other where the mask holds."""
    arr = _target("place", arr)
    _put_where(arr, mask, lambda places: _cycled(vals, places._aval.size, arr.dtype))


def putmask(a, mask, values):
    """np.putmask: where the mask holds, the value that stands at that place."""
    a = _target("putmask", a)
    _put_where(a, mask, lambda places: _cycled(values, a._aval.size, a.dtype)[places])


def copyto(dst, src, casting="same_kind", where=True):
    """np.copyto."""
    dst, src = _target("copyto", dst), tensor_of(src)
    if where is not True:
        src = FUNCTIONS["where"](tensor_of(where), src.to(dst.dtype), dst.clone())
    dst.copy_(src)


def put_along_axis(arr, indices, values, axis):
    """np.put_along_axis."""
    arr, indices = _target("put_along_axis", arr), tensor_of(indices)
    n = arr._aval.shape[axis]
    indices = _within(indices, n, "raise", "put_along_axis") % n
    spread = [m if a != axis % arr._aval.ndim else indices._aval.shape[axis]
              for a, m in enumerate(arr._aval.shape)]  # fmt: skip
    values = expand(tensor_of(values).to(arr.dtype), spread)
    arr.scatter_(axis, expand(indices, spread), values)


def fill_diagonal(a, val, wrap=False):
    """np.fill_diagonal."""
    a = _target("fill_diagonal", a)
    if (isinstance(val, Tensor) and not val._aval.ndim) or not np.ndim(val):
        fill_diagonal_(a, val, wrap)
    elif a._aval.ndim == 2 and not wrap:
        diagonal = a.diagonal()
        diagonal.copy_(_cycled(val, diagonal._aval.size, a.dtype))
    else:
        raise ArgumentError("fill_diagonal of a tensor: several values need a matrix, wrap=False")


for _function in (
    append, insert, delete, resize, select, choose, take_along_axis, compress, extract,
    ix_, unravel_index, ravel_multi_index, put, place, putmask, copyto, put_along_axis,
    fill_diagonal,
):  # fmt: skip
    FOR_NUMPY[getattr(np, _function.__name__)] = _function
FOR_NUMPY[np.take] = numpy_take
