"""Reductions, statistics and softmax: the functions users call.

Axes may be called `dim` (PyTorch) or `axis` (NumPy), one or several, negative or None.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import as_dtype
from tapejit.errors import SelectionError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axes, normalize_axis
from tapejit.tensor.core import Tensor, apply, data_beside
from tapejit.tensor.docstrings import described
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export
from tapejit.tensor.shaping import named, reshape


class Extreme(NamedTuple):
    """Values along an axis and the indices they came from."""

    values: Tensor
    indices: Tensor


def _axes(name, x, dim):
    if isinstance(dim, list | tuple) and not dim:
        dim = None
    return normalize_axes(name, dim, x._aval.ndim)


# ---------------------------------------------------------------- sums and statistics


def _reduction(name, numbered=True):
    """sum, mean, prod, ...: (input, dim=None, keepdim=False, *, dtype=None)."""
    op = OPS[name]

    def function(input, dim=None, keepdim=False, *, dtype=None):
        if dtype is not None:
            input = input.to(as_dtype(dtype))
        result = apply(op, (input,), (_axes(name, input, dim), bool(keepdim)))
        if numbered and dim is not None:
            named(result, op.grad_name.replace("0", "1"))
        if name in ("all", "any") and input._aval.dtype is dtypes.uint8:
            return result.to(dtypes.uint8)
        return result

    return described(function, op)


for _name in ("sum", "prod", "all", "any"):
    export(_name, numpy=(_name,))(_reduction(_name))
mean = export("mean")(_reduction("mean"))
for _name in ("amax", "amin", "logsumexp"):
    export(_name)(_reduction(_name, numbered=False))


def _statistic(name):
    op = OPS[name]

    def function(input, dim=None, unbiased=True, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = int(unbiased)
        return apply(op, (input,), (_axes(name, input, dim), bool(keepdim), int(correction)))

    return export(name)(described(function, op))


var, std = _statistic("var"), _statistic("std")


def as_floats(x, dtype=None) -> Tensor:
    """What NumPy takes the mean of: integers as float64."""
    if dtype is None and not x._aval.dtype.is_inexact:
        dtype = dtypes.float64
    return x if dtype is None else x.to(dtype)


def numpy_mean(a, axis=None, dtype=None, keepdims=False, *, where: Any = True):
    """np.mean, of all elements or of those where a mask holds."""
    a = as_floats(a, dtype)
    if where is True:
        return mean(a, axis, keepdims)
    kept = (a._aval.dtype.dtype.type(1) * where.to(a.dtype)).expand(a.shape)
    total = FUNCTIONS["where"](where, a, 0.0).sum(axis, keepdims)
    return total / kept.sum(axis, keepdims)


def numpy_var(
    a, axis=None, dtype=None, ddof: Any = 0, keepdims=False,
    *, where: Any = True, mean=None, correction=None,
):  # fmt: skip
    """NumPy divides by n where PyTorch divides by n - 1."""
    ddof = ddof if correction is None else correction
    a = as_floats(a, dtype)
    if where is True and mean is None and ddof == int(ddof):
        return var(a, axis, keepdim=keepdims, correction=ddof)
    where = (a == a) | True if where is True else where.expand(a.shape)
    centre = numpy_mean(a, axis, keepdims=True, where=where) if mean is None else mean
    off = FUNCTIONS["where"](where, a - centre, 0.0)
    n = where.to(a.dtype).sum(axis, keepdims) - ddof
    return (off * off).sum(axis, keepdims) / FUNCTIONS["clamp"](n, min=0.0)


def _numpy_std(a, axis=None, dtype=None, ddof=0, keepdims=False, **options):
    if options or ddof != int(ddof):
        return numpy_var(a, axis, dtype, ddof, keepdims, **options).sqrt()
    return std(as_floats(a, dtype), axis, keepdim=keepdims, correction=ddof)


FOR_NUMPY[np.mean] = numpy_mean
FOR_NUMPY[np.var] = numpy_var
FOR_NUMPY[np.std] = _numpy_std

# ---------------------------------------------------------------- extremes


def _check_not_empty(name, x):
    if x._aval.size == 0:
        raise SelectionError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )


def _extreme(name):
    """max or min: of everything, along an axis with indices, or of two tensors."""
    full, at, argument = OPS[f"a{name}"], OPS[f"{name}_at"], OPS[f"arg{name}"]

    def function(input, dim=None, keepdim=False, *, other=None, axis=None, keepdims=None) -> Any:
        if isinstance(dim, Tensor) or other is not None:
            return FUNCTIONS[f"{name}imum"](input, dim if other is None else other)
        keep = bool(keepdim if keepdims is None else keepdims)
        if axis is not None:  # NumPy's spelling gives the values alone
            return apply(full, (input,), (_axes(name, input, axis), keep))
        if dim is None:
            _check_not_empty(name, input)
            result = apply(full, (input,), (tuple(range(input._aval.ndim)), keep))
            return named(result, f"{name.capitalize()}Backward1")
        axes = normalize_axes(name, dim, input._aval.ndim)
        if not axes:
            return Extreme(reshape(input, ()), data_beside(input, np.int64(0)))
        return Extreme(apply(at, (input,), (axes, keep)), apply(argument, (input,), (axes, keep)))

    return export(name)(described(function, at, name))


for _name in ("max", "min"):
    _extreme(_name)
    FOR_NUMPY[getattr(np, _name)] = FOR_NUMPY[getattr(np, f"a{_name}")] = FUNCTIONS[f"a{_name}"]


def _argument(name):
    op = OPS[name]

    def function(input, dim=None, keepdim=False):
        if dim is None:
            _check_not_empty(name, input)
        return apply(op, (input,), (_axes(name, input, dim), bool(keepdim)))

    return export(name, numpy=(name,))(described(function, op))


for _name in ("argmax", "argmin"):
    _argument(_name)


@export("count_nonzero", numpy=("count_nonzero",))
def count_nonzero(input, dim=None, *, keepdim=False) -> Tensor:
    """How many elements are not zero.

    >>> import tapejit as tj
    >>> x = tj.tensor([[0, 1], [2, 3]])
    >>> tj.count_nonzero(x), tj.count_nonzero(x, 0)
    (tensor(3), tensor([1, 2]))
    """
    if dim is None and not keepdim:
        return apply(OPS["count_nonzero"], (input,))
    return (input != 0).sum(dim, keepdim)


# ---------------------------------------------------------------- rows


def _row_operation(name):
    op = OPS[name]

    def function(input, dim=None, *, dtype=None):
        if dtype is not None:
            input = input.to(as_dtype(dtype))
        if not input._aval.ndim:
            return apply(op, (reshape(input, (1,)),), (0,)).reshape(())
        place = normalize_axis(name, -1 if dim is None else dim, input._aval.ndim)
        return apply(op, (input,), (place,))

    return export(name)(described(function, op))


softmax, log_softmax = _row_operation("softmax"), _row_operation("log_softmax")
