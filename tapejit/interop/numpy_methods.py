"""Methods and attributes whose name means something else, or nothing, in PyTorch.

A function of arrays gives the same with and without its transform: while it is traced, `x.size` is
a number, std() divides by n, max(0) is the values alone, sort() is in place.  Tensors of PyTorch
code keep PyTorch's meaning.  Start at `InNumpy`, the attribute that answers by who speaks.  What an
array has and a tensor cannot (`flat`, `flags`, raw memory) raises and says what to use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.dtypes import DType, as_dtype
from tapejit.errors import TraceError
from tapejit.interop.numpy_words import call
from tapejit.tensor import (  # noqa: F401 - they publish the methods that differ
    arithmetic,
    attributes,
    complexes,
    conversion,
    diagonals,
    distinct,
    history,
    ordering,
    picking,
    repeating,
    scanning,
    scattering,
)
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.guards import read, read_layout
from tapejit.tensor.recording import state

# ---------------------------------------------------------------- who speaks


class InNumpy:
    """An attribute that is NumPy's in a traced function of arrays, and PyTorch's elsewhere.

    in_numpy  gives what NumPy's attribute is, of a tensor
    in_torch  PyTorch's function or property; None where it has none of that name
    """

    def __init__(self, name: str, in_numpy: Callable, in_torch: Any = None):
        self.name, self.in_numpy, self.in_torch = name, in_numpy, in_torch
        self.__doc__ = getattr(in_torch, "__doc__", None)

    def __get__(self, x, owner=None):
        if x is not None and state.parked.speaks_numpy:
            return self.in_numpy(x)
        if self.in_torch is None:
            if x is None:
                return self
            raise AttributeError(f"'Tensor' object has no attribute {self.name!r}")
        return self.in_torch.__get__(x, owner)

    def __set__(self, x, value):
        setter = getattr(self.in_torch, "__set__", None)
        if setter is None:
            raise AttributeError(f"attribute {self.name!r} of a tensor cannot be set")
        setter(x, value)


def _means_numpy(name: str, in_numpy: Callable, only_with: frozenset | None = None) -> None:
    """Let a method whose name means two things mean NumPy's in a traced function of arrays.

    only_with  options that tell NumPy's meaning, where both mean the same without
    """
    in_torch = vars(Tensor)[name]

    @functools.wraps(in_torch)
    def method(x, *args, **kwargs):
        speaks_numpy = state.parked.speaks_numpy
        if speaks_numpy and only_with is not None:
            is_dtype = len(args) > 1 and isinstance(args[1], type | np.dtype | DType)
            speaks_numpy = is_dtype or not only_with.isdisjoint(kwargs)
        return (in_numpy if speaks_numpy else in_torch)(x, *args, **kwargs)

    setattr(Tensor, name, method)


# ---------------------------------------------------------------- methods that differ


def _as_function(name):
    function = getattr(np, name)
    return lambda x, *args, **kwargs: call(function, (x, *args), kwargs)


def _flatten(x, *args, order="C", **options):
    """A copy, where PyTorch's is a view; of PyTorch's axes if it is given some."""
    if options or (args and isinstance(args[0], int)):
        return FUNCTIONS["flatten"](x, *args, **options)
    return call(np.ravel, (x,), {"order": args[0] if args else order}).clone()


def _reshape(x, *shape, order="C", copy=None):
    return call(np.reshape, (x, shape[0] if len(shape) == 1 else shape), {"order": order})


def _in_place(function):
    def method(x, *args, **kwargs):
        x.copy_(call(function, (x.clone(), *args), kwargs))  # its slope reads the old elements

    return method


def _item(x, *place):
    if len(place) == 1 and isinstance(place[0], tuple):
        (place,) = place
    value = read(x)
    return value.item(*place) if place else value.item()


_view_in_torch = vars(Tensor)["view"]


def _view(x, *args, **kwargs):
    """Without arguments the same elements; as another dtype the same bits; of PyTorch's lengths."""
    if args and isinstance(args[0], int | tuple | list):
        return _view_in_torch(x, *args, **kwargs)
    dtype = args[0] if args else kwargs.pop("dtype", None)
    if len(args) > 1 or kwargs:
        raise TraceError("x.view(dtype, type): a tensor has no other type\n  try  x.view(dtype)")
    if dtype is None or (isinstance(dtype, type) and issubclass(dtype, np.ndarray)):
        return x[...]
    return _view_in_torch(x, as_dtype(dtype) if isinstance(dtype, type | np.dtype | str) else dtype)


for _name in (
    "std", "var", "max", "min", "round", "argsort", "nonzero", "repeat", "dot", "trace", "take",
    "put",
):  # fmt: skip
    _means_numpy(_name, _as_function(_name))
for _name in ("sum", "mean", "prod", "all", "any", "cumsum", "cumprod", "argmax", "argmin"):
    _means_numpy(_name, _as_function(_name), frozenset({"out", "where", "initial"}))
_means_numpy("diagonal", _as_function("diagonal"), frozenset({"axis1", "axis2"}))
_means_numpy("flatten", _flatten)
_means_numpy("reshape", _reshape, frozenset({"order", "copy"}))
_means_numpy("sort", _in_place(np.sort))
_means_numpy("item", _item)
_means_numpy("view", _view)

# ---------------------------------------------------------------- attributes that differ


def _to_device(x, device, /, *, stream=None):
    if device != "cpu":
        raise ValueError(f'Unsupported device for NumPy: "{device}"')
    return x


def _fill(x, value):
    x[...] = value


def _search(x, v, side="left", sorter=None):
    return call(np.searchsorted, (x, v), {"side": side, "sorter": sorter})


def _compress(x, condition, axis=None, out=None):
    result = call(np.compress, (condition, x), {"axis": axis})
    return result if out is None else out.copy_(result)


def _imag(x):
    return _imag_in_torch(x) if x.dtype.is_complex else FUNCTIONS["zeros_like"](x)


_imag_in_torch = vars(Tensor)["imag"].__get__


def _method(function):
    """A method that PyTorch has not."""
    return lambda x: functools.partial(function, x)


_DIFFERENT = {
    "size": lambda x: x._aval.size,
    "strides": lambda x: read_layout(x).strides,
    "imag": _imag,
    "argpartition": _method(_as_function("argpartition")),
    "choose": _method(_as_function("choose")),
    "conjugate": _method(_as_function("conjugate")),
    "compress": _method(_compress),
    "fill": _method(_fill),
    "partition": _method(_in_place(np.partition)),
    "searchsorted": _method(_search),
    "to_device": _method(_to_device),
}

REFUSED = {
    "base": "x.data_ptr()",
    "byteswap": "x.detach().numpy().byteswap()",
    "ctypes": "x.data_ptr()",
    "data": "x itself, or x.copy()",
    "dump": "x.detach().numpy()",
    "dumps": "x.detach().numpy()",
    "flags": "x.is_contiguous()",
    "flat": "x.reshape(-1), whose elements can be read and written",
    "getfield": "x.view(dtype)",
    "resize": "np.resize(x, shape) or x.reshape(shape)",
    "setfield": "x[...] = values",
    "setflags": "x.copy()",
    "tobytes": "x.detach().numpy()",
    "tofile": "x.detach().numpy()",
}
"""Attributes of arrays that the tensors of a trace cannot have, and what to use."""


def _refuse(name):
    def refuse(x):
        raise TraceError(
            f"x.{name}: memory of an array, which a tensor of a traced function has not\n"
            f"  try  {REFUSED[name]}"
        )

    return refuse


for _name, _found in (_DIFFERENT | {name: _refuse(name) for name in REFUSED}).items():
    setattr(Tensor, _name, InNumpy(_name, _found, vars(Tensor).get(_name)))


def _divmod(x, y):
    return call(np.divmod, (x, y), {}) if state.parked.speaks_numpy else NotImplemented


def _rdivmod(x, y):
    return call(np.divmod, (y, x), {}) if state.parked.speaks_numpy else NotImplemented


setattr(Tensor, "__divmod__", _divmod)  # noqa: B010 - type checkers see PyTorch's Tensor
setattr(Tensor, "__rdivmod__", _rdivmod)  # noqa: B010
