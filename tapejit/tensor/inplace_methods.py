"""In-place methods (`add_`, `mul_`, `copy_`, `zero_`, `+=`, ...), made from the registry."""

from __future__ import annotations

import numpy as np

from tapejit.registry import OPS
from tapejit.tensor import random
from tapejit.tensor.arithmetic import POWERS, clamp_bounds
from tapejit.tensor.core import Tensor, as_data
from tapejit.tensor.front import method
from tapejit.tensor.indexing import set_item
from tapejit.tensor.inplace import change, change_value


def _unary(op):
    def method(x):
        return change(x, op, (x,))

    return _named(method, op)


def _binary(op):
    def method(x, other, *, alpha=1):
        if alpha != 1:
            other = other * alpha
        return change(x, op, (x, _operand(other)))

    return _named(method, op)


def _operand(other):
    return as_data(other) if isinstance(other, np.ndarray | np.generic) else other


def _named(method, op):
    method.__name__ = method.__qualname__ = f"{op.alias.torch}_"
    method.__doc__ = f"{op.summary}  In place; the tensor itself is returned."
    return method


for _op in OPS.values():
    if _op.expression is None or not _op.alias.torch or _op.name == "where":
        continue
    _n = len(_op.expression.parameters)
    _method = _unary(_op) if _n == 1 else _binary(_op)
    setattr(Tensor, f"{_op.alias.torch}_", _method)
    if _n == 2 and _op.alias.operator and _op.rule in ("promote", "float", "logical"):
        setattr(Tensor, f"__i{_op.alias.operator}__", _method)


@method("pow_")
def pow_(x, exponent):
    """x to the power of exponent, in place."""
    if isinstance(exponent, int | float) and exponent in POWERS:
        n = int(exponent) if exponent == int(exponent) else float(exponent)
        return change(x, OPS["power"], (x,), (n,))
    return change(x, OPS["pow"], (x, exponent))


Tensor.__ipow__ = pow_


@method("clamp_", "clip_")
def clamp_(x, min=None, max=None):
    """Each element brought into [min, max], in place."""
    return change(x, OPS["clamp"], (x, *clamp_bounds(x, min, max)))


@method("copy_")
def copy_(x, source, non_blocking=False):
    """The elements of `source`, broadcast, into x's memory."""
    return change(x, OPS["copy_into"], (x, _operand(source)))


@method("zero_")
def zero_(x):
    """All elements 0, in place."""
    return change_value(x, 0, "ZeroBackward0")


@method("fill_")
def fill_(x, value):
    """All elements `value`, in place."""
    if isinstance(value, Tensor):
        return change(x, OPS["copy_into"], (x, value), name="FillBackward3")
    return change_value(x, value)


@method("masked_fill_")
def masked_fill_(x, mask, value):
    """`value` where the mask holds, in place."""
    value = value if isinstance(value, Tensor) else x._aval.dtype.dtype.type(value).item()
    return change(x, OPS["where"], (mask, value, x), name="MaskedFillBackward0")


@method("index_fill_")
def index_fill_(x, dim, index, value):
    """`value` at the given indices of an axis, in place."""
    set_item(x, (slice(None),) * (dim % x._aval.ndim) + (index,), value, "IndexFillBackward0")
    return x


@method("index_copy_")
def index_copy_(x, dim, index, source):
    """The parts of `source` at the given indices of an axis, in place."""
    set_item(x, (slice(None),) * (dim % x._aval.ndim) + (index,), source, "IndexCopyBackward0")
    return x


def _random(name, draw):
    def method(x, *args, generator=None, **kwargs):
        return change_value(x, draw(x._aval.shape, *args, **kwargs))

    method.__name__ = name
    method.__doc__ = "Random elements, in place."
    setattr(Tensor, name, method)


_random("normal_", lambda shape, mean=0.0, std=1.0: random.generator().normal(mean, std, shape))
_random("uniform_", lambda shape, low=0.0, high=1.0: random.generator().uniform(low, high, shape))
