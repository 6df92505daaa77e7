"""NumPy code on tensors: `np.sin(x)`, `np.sum(x * w)`, `x_array * tensor`.

`__array_ufunc__` and `__array_function__` look a NumPy function up in the table of overrides that
the registry's aliases and the front door filled.  A function without one raises and names what to
use instead; it never falls back to plain arrays, which would lose the derivative silently.
"""

from __future__ import annotations

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import TraceError
from tapejit.tensor.core import Tensor, as_data
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS

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
    options.pop("dtype", None)
    return function(*_operands(inputs))


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


_METHODS = {
    (np.add, "reduce"): lambda x, axis=0, **kw: FOR_NUMPY[np.sum](x, axis),
    (np.multiply, "reduce"): lambda x, axis=0, **kw: FOR_NUMPY[np.prod](x, axis),
    (np.maximum, "reduce"): lambda x, axis=0, **kw: FOR_NUMPY[np.max](x, axis),
    (np.minimum, "reduce"): lambda x, axis=0, **kw: FOR_NUMPY[np.min](x, axis),
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

Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
