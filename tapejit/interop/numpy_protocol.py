"""NumPy code on tensors: `np.sin(x)`, `np.sum(x * w)`, `x_array * tensor`.

NumPy asks `__array_ufunc__` and `__array_function__` of a tensor among the arguments.  Both look
the function up in `front.FOR_NUMPY`, which the registry's aliases and the front door filled, and
bring the call into our words (`numpy_words`).  A function without a rule raises and names what to
use instead (`numpy_missing`); none falls back to plain arrays, which would lose the derivative
silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import DtypeError, TraceError
from tapejit.interop.numba_ufuncs import recorded
from tapejit.interop.numpy_missing import missing
from tapejit.interop.numpy_words import call, check_plain, into, name_of, operand, ours
from tapejit.tensor.core import Tensor, as_data, tensor_of
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS

# ---------------------------------------------------------------- functions


def array_function(self, function, types, args, kwargs):
    """NumPy calls this for its functions with a tensor among the arguments."""
    for kind in types:
        if kind is not Tensor:
            if not issubclass(kind, np.ndarray):
                return NotImplemented  # another library's arrays: let it answer
            check_plain(kind)
    if ours(function) is None:
        raise missing(name_of(function))
    return call(function, args, kwargs)


# ---------------------------------------------------------------- ufuncs


def array_ufunc(self, ufunc, method, *inputs, **options):
    """NumPy calls this for ufuncs with a tensor among the operands."""
    check_plain(*map(type, inputs))
    if method != "__call__":
        return _METHODS[method](ufunc, *inputs, **options)
    function = FOR_NUMPY.get(ufunc) or recorded(ufunc)
    if function is None:
        raise missing(f"np.{ufunc.__name__}")
    operands = [operand(x) for x in inputs]
    if not options:
        return function(*operands)
    return _with_options(ufunc, function, operands, **options)


def _with_options(
    ufunc, function, operands, *, out=None, where: Any = True, dtype=None, casting="same_kind",
    order="K", subok=True, **others,
):  # fmt: skip
    name = f"np.{ufunc.__name__}"
    if others:
        raise TraceError(f"{name} of tensors takes no {next(iter(others))}=\n  try  it without")
    if dtype is not None:
        operands = [_cast(name, x, np.dtype(as_dtype(dtype)), casting) for x in operands]
    result = function(*operands)
    if where is not True:
        # elements that are not asked for keep what `out` has, or are 0
        kept = 0 if out is None else _source(out[0])
        result = FUNCTIONS["where"](operand(where), result, kept)
    return result if out is None else into(name, out, result)


def _source(out):
    return out.clone() if isinstance(out, Tensor) else as_data(out)


def _cast(name, x, dtype, casting):
    if not isinstance(x, Tensor):
        return as_data(np.asarray(x, dtype))
    if not np.can_cast(x.dtype.dtype, dtype, casting):
        raise DtypeError(f"{name}: {x.dtype} cannot be cast to {dtype} with casting={casting!r}")
    return x.to(as_dtype(dtype))


# ---------------------------------------------------------------- their methods

REDUCE = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min,
    np.logical_and: np.all, np.logical_or: np.any, np.fmax: np.nanmax, np.fmin: np.nanmin,
}  # fmt: skip
ACCUMULATE = {np.add: "cumsum", np.multiply: "cumprod", np.logaddexp: "logcumsumexp",
              np.maximum: "cummax", np.minimum: "cummin"}  # fmt: skip


def _reduce(ufunc, x, axis=0, dtype=None, out=None, keepdims=False, **options):
    if REDUCE.get(ufunc) not in FOR_NUMPY:
        raise missing(f"np.{ufunc.__name__}.reduce")
    options |= {"axis": axis, "out": out, "keepdims": keepdims}
    if dtype is not None:
        x = operand(x).to(as_dtype(dtype))
    return call(REDUCE[ufunc], (x,), options)


def _accumulate(ufunc, x, axis=0, dtype=None, out=None):
    if ACCUMULATE.get(ufunc) not in FUNCTIONS:
        raise missing(f"np.{ufunc.__name__}.accumulate")
    x = operand(x) if dtype is None else operand(x).to(as_dtype(dtype))
    result = FUNCTIONS[ACCUMULATE[ufunc]](x, axis)
    result = getattr(result, "values", result)
    return result if out is None else into(f"np.{ufunc.__name__}.accumulate", out, result)


def _outer(ufunc, x, y, **options):
    x, y = (tensor_of(v) for v in (operand(x), operand(y)))
    x = x.reshape((*x.shape, *(1 for _ in y.shape)))
    return array_ufunc(x, ufunc, "__call__", x, y, **options)


def _reduceat(ufunc, x, indices, axis=0, dtype=None, out=None):
    """Each x[i:j] of neighbours i, j among the indices reduced; x[i] where j is not behind i."""
    x, places = operand(x), [int(i) for i in np.asarray(indices)]
    n = x.shape[axis]
    parts = [
        _reduce(ufunc, x.narrow(axis, i, max(j - i, 1)), axis, dtype)
        for i, j in zip(places, [*places[1:], n], strict=True)
    ]
    result = FUNCTIONS["stack"](parts, axis)
    return result if out is None else into(f"np.{ufunc.__name__}.reduceat", out, result)


def _at(ufunc, x, indices, values=None):
    """x[indices] changed in place, once for every time an index occurs."""
    if not isinstance(x, Tensor):
        raise TraceError(
            f"np.{ufunc.__name__}.at: an array cannot hold the history of tensors\n"
            "  try  a tensor to add to"
        )
    if ufunc not in (np.add, np.subtract):
        raise missing(f"np.{ufunc.__name__}.at")
    key = indices if isinstance(indices, tuple) else (indices,)
    if not all(isinstance(k, Tensor | np.ndarray | list | int | np.integer) for k in key):
        raise TraceError(
            "np.add.at: places are integers or arrays of them\n  try  x[key] += values"
        )
    key = tuple(k if isinstance(k, Tensor) else as_data(np.atleast_1d(k)) for k in key)
    values = operand(values)
    values = tensor_of(values)
    values = values.neg() if ufunc is np.subtract else values
    x.index_put_(key, values.to(x.dtype), accumulate=True)


_METHODS: dict[str, Callable] = {
    "reduce": _reduce, "accumulate": _accumulate, "outer": _outer, "reduceat": _reduceat, "at": _at,
}  # fmt: skip

Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
