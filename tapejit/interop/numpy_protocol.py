"""NumPy code on tensors: `np.sin(x)`, `np.sum(x * w)`, `x_array * tensor`.

`__array_ufunc__` and `__array_function__` look a NumPy function up in the table of overrides that
the registry's aliases and the front door filled.  A function without one raises and names what to
use instead; it never falls back to plain arrays, which would lose the derivative silently.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import TraceError
from tapejit.tensor import repeating  # noqa: F401 - np.repeat
from tapejit.tensor.core import Tensor, as_data
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS
from tapejit.tensor.recording import state

_IN_PLACE = {"add": "add_", "subtract": "sub_", "multiply": "mul_", "true_divide": "div_"}


def as_tensor(value):
    """Arrays as tensors; the rest as it is."""
    return as_data(value) if isinstance(value, np.ndarray | np.generic) else value


def array_ufunc(self, ufunc, method, *inputs, out=None, **options):
    """NumPy calls this for ufuncs with a tensor among the operands."""
    function = FOR_NUMPY.get(ufunc)
    if function is None or (method != "__call__" and (ufunc, method) not in _METHODS):
        raise _missing(f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else ""))
    if options.pop("where", True) is not True:
        raise _missing(f"np.{ufunc.__name__}(where=...)")
    if out is not None:
        return _into(out, function(*map(as_tensor, inputs)))
    if method != "__call__":
        return _METHODS[ufunc, method](*inputs, **options)
    dtype = options.pop("dtype", None)
    result = function(*_operands(inputs))
    return result if dtype is None else result.to(as_dtype(dtype))


def _operands(inputs):
    """Operands with the first one a tensor (functions are keyed by it)."""
    return (
        [as_tensor(x) if isinstance(x, np.ndarray | np.generic) else x for x in inputs]
        if isinstance(inputs[0], Tensor | np.ndarray | np.generic)
        else [_number(inputs[0]), *map(as_tensor, inputs[1:])]
    )


def _number(value):
    return value if isinstance(value, bool | int | float) else as_data(value)


def _into(out, result):
    (target,) = out
    if not isinstance(target, Tensor):
        raise TraceError(
            "np ufunc: out= is a NumPy array and the result a tensor, whose history it cannot "
            "hold\n"
            "  try  the result without out="
        )
    return target.copy_(result)


def array_function(self, function, types, args, kwargs):
    """NumPy calls this for its other functions with a tensor among the arguments."""
    override = FOR_NUMPY.get(function)
    if override is None:
        raise _missing(f"{function.__module__}.{function.__name__}")
    first, *rest = args
    if isinstance(first, np.ndarray):
        first = as_data(first)
    return override(first, *rest, **kwargs)


def _missing(name):
    return TraceError(
        f"{name} has no rule for tensors\n"
        "  try  operations that have one (python -m tapejit ops), or x.detach().numpy() where no "
        "derivative is needed"
    )


def _reduce(function):
    return lambda x, axis=0, dtype=None, out=None, **options: FOR_NUMPY[function](
        x, axis, dtype, out, **options
    )


_METHODS = {
    (np.add, "reduce"): _reduce(np.sum),
    (np.multiply, "reduce"): _reduce(np.prod),
    (np.maximum, "reduce"): _reduce(np.max),
    (np.minimum, "reduce"): _reduce(np.min),
}

FOR_NUMPY[np.shape] = lambda x: tuple(x.shape)
FOR_NUMPY[np.ndim] = lambda x: x.ndim
FOR_NUMPY[np.size] = lambda x, axis=None: x.numel() if axis is None else x.shape[axis]
FOR_NUMPY[np.copy] = lambda x, order="K", subok=False: x.clone()


def _like(name):
    """np.zeros_like and its kin give tensors, which can be filled in place and differentiated."""

    def make(x, dtype=None, order="K", subok=True, shape=None, *, device=None):
        shape = tuple(x.shape) if shape is None else shape
        return FUNCTIONS[name](shape, dtype=x.dtype if dtype is None else as_dtype(dtype))

    return make


def _full_like(x, fill_value, dtype=None, order="K", subok=True, shape=None, *, device=None):
    result = _like("empty")(x, dtype, order, subok, shape)
    result[...] = fill_value
    return result


for _name in ("zeros", "ones", "empty"):
    FOR_NUMPY[getattr(np, f"{_name}_like")] = _like(_name)
FOR_NUMPY[np.full_like] = _full_like
FOR_NUMPY[np.result_type] = lambda *xs: np.result_type(
    *(x.dtype.dtype if isinstance(x, Tensor) else x for x in xs)
)

# ---------------------------------------------------------------- methods that differ


def _sort_in_place(x, axis=-1, kind=None, order=None):
    x.copy_(FOR_NUMPY[np.sort](x.clone(), axis, kind, order))  # its slope reads the unsorted


def _means_numpy(name: str, in_numpy: Callable) -> None:
    """Let a method whose name means two things mean NumPy's in a traced function of arrays.

    Such a function gives the same with and without its transform, here as in plain NumPy:
    std() and var() divide by n, max(0) is the values alone, sort() is in place.
    """
    in_torch = vars(Tensor)[name]

    @functools.wraps(in_torch)
    def method(x, *args, **kwargs):
        speaks_numpy = state.parked.speaks_numpy
        return (in_numpy if speaks_numpy else in_torch)(x, *args, **kwargs)

    setattr(Tensor, name, method)


for _name in ("std", "var", "max", "min", "round", "argsort", "nonzero", "repeat"):
    _means_numpy(_name, FOR_NUMPY[getattr(np, _name)])
_means_numpy("sort", _sort_in_place)

Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
