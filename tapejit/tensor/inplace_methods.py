"""In-place methods (`add_`, `mul_`, `copy_`, `zero_`, `+=`, ...), made from the registry."""

from __future__ import annotations

import numpy as np

from tapejit.registry import OPS
from tapejit.tensor.arithmetic import POWERS, clamp_bounds
from tapejit.tensor.core import Tensor, as_data, to_place
from tapejit.tensor.docstrings import described_in_place
from tapejit.tensor.front import method
from tapejit.tensor.inplace import change, change_value
from tapejit.tensor.recording import state


def _unary(op):
    def method(x):
        return change(x, op, (x,))

    return described_in_place(method, op)


def _binary(op):
    def method(x, other, *, alpha=1):
        if alpha != 1:
            other = other * alpha
        return change(x, op, (x, _operand(other)))

    return described_in_place(method, op)


def _augmented(forward, in_place):
    """`x += y`: NumPy's scalars and Python's numbers, which 0-d tensors stand for, never change."""

    def method(x, other):
        if not x._aval.ndim and state.parked.speaks_numpy:
            return forward(x, other)
        return in_place(x, other)

    return method


def _operand(other):
    return as_data(other) if isinstance(other, np.ndarray | np.generic) else other


for _op in OPS.values():
    if _op.expression is None or not _op.alias.torch or "." in _op.alias.torch:
        continue
    _n = len(_op.expression.parameters)
    if _n > 2:
        continue
    _method = _unary(_op) if _n == 1 else _binary(_op)
    setattr(Tensor, f"{_op.alias.torch}_", _method)
    if _n == 2 and _op.alias.operator and _op.rule in ("promote", "float", "logical"):
        _name = _op.alias.operator
        setattr(Tensor, f"__i{_name}__", _augmented(getattr(Tensor, f"__{_name}__"), _method))


@method("pow_")
def pow_(x, exponent) -> Tensor:
    """x to the power of exponent, in place.

    >>> import tapejit as tj
    >>> tj.tensor([1.0, 2.0, 3.0]).pow_(2)
    tensor([1., 4., 9.])
    """
    if isinstance(exponent, int | float) and exponent in POWERS:
        n = int(exponent) if exponent == int(exponent) else float(exponent)
        return change(x, OPS["power"], (x,), (n,))
    return change(x, OPS["pow"], (x, exponent))


Tensor.__ipow__ = _augmented(vars(Tensor)["__pow__"], pow_)


@method("clamp_", "clip_")
def clamp_(x, min=None, max=None) -> Tensor:
    """Each element brought into [min, max], in place.

    >>> import tapejit as tj
    >>> tj.tensor([-3.0, 0.5, 7.0]).clamp_(0.0, 1.0)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return change(x, OPS["clamp"], (x, *clamp_bounds(x, min, max)))


@method("lerp_")
def lerp_(x, end, weight) -> Tensor:
    """From x (weight 0) to end (weight 1), in place.

    >>> import tapejit as tj
    >>> tj.tensor([0.0, 10.0]).lerp_(tj.tensor([1.0, 20.0]), 0.25)
    tensor([ 0.2500, 12.5000])
    """
    return change(x, OPS["lerp"], (x, _operand(end), _operand(weight)))


@method("addcmul_")
def addcmul_(x, tensor1, tensor2, *, value=1) -> Tensor:
    """x + value * tensor1 * tensor2, in place.

    >>> import tapejit as tj
    >>> tj.ones(2).addcmul_(tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]), value=0.5)
    tensor([2.5000, 5.0000])
    """
    return x.add_(tensor1 * tensor2, alpha=value)


@method("addcdiv_")
def addcdiv_(x, tensor1, tensor2, *, value=1) -> Tensor:
    """x + value * tensor1 / tensor2, in place.

    >>> import tapejit as tj
    >>> tj.ones(2).addcdiv_(tj.tensor([1.0, 2.0]), tj.tensor([2.0, 4.0]), value=2.0)
    tensor([2., 2.])
    """
    return x.add_(tensor1 / tensor2, alpha=value)


@method("copy_")
def copy_(x, source, non_blocking=False) -> Tensor:
    """The elements of `source`, broadcast, into x's memory.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 2)
    >>> x.copy_(tj.tensor([1.0, 2.0]))
    tensor([[1., 2.],
            [1., 2.]])
    """
    source = _operand(source)
    if isinstance(source, Tensor):
        source = to_place(source, x._aval.device)
    return change(x, OPS["copy_into"], (x, source))


@method("zero_")
def zero_(x) -> Tensor:
    """All elements 0, in place.

    >>> import tapejit as tj
    >>> x = tj.ones(2, 2)
    >>> _ = x[0].zero_()  # a view: x changes
    >>> x
    tensor([[0., 0.],
            [1., 1.]])
    """
    return change_value(x, 0, "ZeroBackward0")


@method("fill_")
def fill_(x, value) -> Tensor:
    """All elements `value`, in place.

    >>> import tapejit as tj
    >>> tj.zeros(3).fill_(7)
    tensor([7., 7., 7.])
    """
    if isinstance(value, Tensor):
        return change(x, OPS["copy_into"], (x, value), name="FillBackward3")
    return change_value(x, value)


@method("masked_fill_")
def masked_fill_(x, mask, value) -> Tensor:
    """`value` where the mask holds, in place.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, -1.0])
    >>> x.masked_fill_(x < 0, 0.0)
    tensor([1., 0.])
    """
    name = f"MaskedFillBackward{int(isinstance(value, Tensor))}"
    value = value if isinstance(value, Tensor) else x._aval.dtype.dtype.type(value).item()
    return change(x, OPS["where"], (mask, value, x), name=name)
