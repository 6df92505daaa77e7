"""Operators, methods and functions of the elementwise operations, made from the registry.

Every elementwise record with a PyTorch, NumPy or operator name gets its entry points here, in one
loop; what follows are the few whose arguments need a word: pow, clamp, where, rounding division.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, DtypeError
from tapejit.registry import OPS
from tapejit.tensor.core import (
    Tensor,
    apply,
    as_operand,
    check_range,
    common_dtype,
    tensor_of,
)
from tapejit.tensor.docstrings import described
from tapejit.tensor.elementwise import binary_method, unary_method
from tapejit.tensor.front import (
    FOR_NUMPY,
    FUNCTIONS,
    answer_in_kind,
    check_tensor,
    export,
    method,
    named,
)

# ---------------------------------------------------------------- from the registry

IN_SPACES: dict[str, dict[str, Callable]] = {"special": {}}
"""Functions whose PyTorch name has a namespace, by namespace and name."""


def _publish(op):
    n = len(op.expression.parameters)
    forward = unary_method(op) if n == 1 else binary_method(op)
    function = _with_out_of_order_operands(op) if n == 2 else forward
    if op.alias.operator and op.name != "pow":
        setattr(Tensor, f"__{op.alias.operator}__", forward)
        if n == 2 and op.rule != "compare":
            setattr(Tensor, f"__r{op.alias.operator}__", binary_method(op, reflected=True))
    # PyTorch's name, or NumPy's own where only NumPy has the operation
    space, _, name = (op.alias.torch or op.alias.numpy or "").rpartition(".")
    if name:
        if space:
            IN_SPACES[space][name] = in_kind(op)
        else:
            FUNCTIONS[name] = in_kind(op)
            setattr(Tensor, name, function)
    if op.alias.numpy and op.name != "pow":
        FOR_NUMPY[getattr(np, op.alias.numpy)] = function


def in_kind(op) -> Callable:
    """An operation as a function of tensors, arrays or numbers, which answers in kind."""
    if len(op.expression.parameters) == 1:
        # the method itself: no wrapper between it and the user
        return unary_method(op, foreign=answer_in_kind(unary_method(op)))
    return answer_in_kind(_with_out_of_order_operands(op))


def _with_out_of_order_operands(op):
    """As a function, either operand may be the number."""
    forward, reflected = binary_method(op, far=True), binary_method(op, reflected=True, far=True)

    def function(input, other):
        if isinstance(input, Tensor):
            result = forward(input, other)
        else:
            check_tensor(op.name, other)
            result = reflected(other, input)
        if result is NotImplemented:
            check_tensor(op.name, other if isinstance(input, Tensor) else input)
        return result

    return described(function, op)


for _op in list(OPS.values()):
    if _op.expression and len(_op.expression.parameters) <= 2 and _op.name != "power":
        _publish(_op)

for _name, _same in {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg",
    "absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "less": "lt",
    "less_equal": "le", "greater": "gt", "greater_equal": "ge", "not_equal": "ne", "fix": "trunc",
}.items():  # fmt: skip
    FUNCTIONS[_name] = FUNCTIONS[_same]
    setattr(Tensor, _name, getattr(Tensor, _same))
FOR_NUMPY[np.divide] = FOR_NUMPY[np.true_divide]
FOR_NUMPY[np.abs] = FOR_NUMPY[np.absolute]
FOR_NUMPY[np.fabs] = FOR_NUMPY[np.absolute]
FOR_NUMPY[np.round] = lambda x, decimals=0: round_(x, decimals=decimals)

_add, _sub, _mul, _div = (binary_method(OPS[n], far=True) for n in ("add", "sub", "mul", "div"))
_floor_divide = binary_method(OPS["floor_divide"], far=True)


def _scaled(name, plain):
    """add and sub take `alpha`, a factor of the second operand."""

    def function(input, other, *, alpha=1):
        if alpha != 1:
            other = other * alpha
        return plain(input, other) if isinstance(input, Tensor) else operators[name](input, other)

    return described(function, OPS[name])


operators = {"add": operator.add, "sub": operator.sub}
export("add")(_scaled("add", _add))
export("sub", "subtract")(_scaled("sub", _sub))


@export("div", "divide", "true_divide")
def div(input, other, *, rounding_mode=None) -> Tensor:
    """True quotient; rounding_mode "floor" or "trunc" rounds it.

    >>> import tapejit as tj
    >>> tj.div(tj.tensor([7, -7]), 2)
    tensor([ 3.5000, -3.5000])
    >>> tj.div(tj.tensor([7, -7]), 2, rounding_mode="floor")
    tensor([ 3, -4])
    >>> tj.div(tj.tensor([7, -7]), 2, rounding_mode="trunc")
    tensor([ 3, -3])
    """
    if rounding_mode not in (None, "floor", "trunc"):
        raise ArgumentError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"{rounding_mode!r}"
        )
    if rounding_mode == "floor":
        return _floor_divide(input, other)
    result = _div(input, other) if isinstance(input, Tensor) else input / other
    if rounding_mode is None:
        return result
    if common_dtype(OPS["remainder"], (input, other)).is_floating_point:
        return result.trunc()
    return _floor_divide(input + -FUNCTIONS["fmod"](input, other), other)


# ---------------------------------------------------------------- bits


def _bits(name, reflected=False):
    """&, | and ^ of booleans are logical (kernels have them), of integers bitwise (NumPy)."""
    logical, bitwise = OPS[f"logical_{name}"], OPS[f"bitwise_{name}"]

    def method(x, y):
        other = as_operand(y)
        if other is NotImplemented:
            return NotImplemented
        pair = (other, x) if reflected else (x, other)
        op = logical if common_dtype(bitwise, pair) is dtypes.bool_ else bitwise
        return apply(op, pair)

    return described(method, bitwise)


for _name in ("and", "or", "xor"):
    _method = export(f"bitwise_{_name}", numpy=(f"bitwise_{_name}",))(_bits(_name))
    setattr(Tensor, f"__{_name}__", _method)
    setattr(Tensor, f"__r{_name}__", _bits(_name, reflected=True))


def _not(input):
    op = OPS["logical_not" if input._aval.dtype is dtypes.bool_ else "bitwise_not"]
    return apply(op, (input,))


Tensor.__invert__ = export("bitwise_not", numpy=("invert",))(described(_not, OPS["bitwise_not"]))


# ---------------------------------------------------------------- powers

_pow, _rpow = binary_method(OPS["pow"]), binary_method(OPS["pow"], reflected=True)
POWERS = {n: unary_method(OPS["power"], (n,)) for n in (*range(-16, 17), 0.5, -0.5, 1.5, 2.5)}
"""Exponents that become part of the structure (products and roots); others are data."""


@export("pow", numpy=("power",))
def pow_(input, exponent) -> Tensor:
    """input to the power of exponent (a number or tensors broadcast together).

    >>> import tapejit as tj
    >>> tj.pow(tj.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    >>> tj.pow(2.0, tj.tensor([1.0, 2.0, 3.0]))
    tensor([2., 4., 8.])
    >>> tj.grad(tj.pow)(0.0, 0.0)  # 0 ** 0 is 1, its slope 0
    0.0
    """
    if not isinstance(input, Tensor):
        return _rpow(exponent, input)
    if exponent.__class__ is int or exponent.__class__ is float:
        power = POWERS.get(exponent)
        if power is not None and _keeps_dtype(input, exponent):
            return power(input)
        check_range(exponent, input._aval.dtype)
    return _pow(input, exponent)


def _keeps_dtype(x, exponent):
    if x._aval.dtype.is_inexact:
        return True
    if isinstance(exponent, int) and exponent < 0:
        raise ArgumentError("Integers to negative integer powers are not allowed.\n  try  .float()")
    return isinstance(exponent, int) and x._aval.dtype.category == dtypes.INTEGER


method("__pow__")(pow_)
Tensor.__rpow__ = lambda x, base: _rpow(x, base)
Tensor.__pos__ = lambda x: x


@export("square", numpy=("square",))
def square(input) -> Tensor:
    """input * input.

    >>> import tapejit as tj
    >>> tj.square(tj.tensor([-3.0, 2.0]))
    tensor([9., 4.])
    """
    return pow_(input, 2)


# ---------------------------------------------------------------- clamp and where


@export("clamp", "clip")
def clamp(input, min=None, max=None) -> Tensor:
    """Each element brought into [min, max]; either may be None.

    >>> import tapejit as tj
    >>> tj.clamp(tj.tensor([-3.0, 0.5, 7.0]), 0.0, 1.0)
    tensor([0.0000, 0.5000, 1.0000])
    >>> tj.clamp(tj.tensor([-3.0, 0.5, 7.0]), min=0.0)
    tensor([0.0000, 0.5000, 7.0000])
    >>> tj.grad(tj.clamp)(1.0, 0.0, 1.0)  # the slope at an edge is 1
    1.0
    """
    low, high = clamp_bounds(input, min, max)
    is_tensor = isinstance(min, Tensor) or isinstance(max, Tensor)
    result = apply(OPS["clamp"], (input, low, high))
    return named(result, "ClampBackward0" if is_tensor else "ClampBackward1")


def clamp_bounds(x, low, high) -> tuple:
    """Both bounds of a clamp; a missing one is the limit of the result's dtype."""
    given = [b for b in (low, high) if b is not None]
    if not given:
        raise ArgumentError("torch.clamp: At least one of 'min' or 'max' must not be None")
    dtype = common_dtype(OPS["clamp"], [x, *given])
    if dtype.is_inexact:  # complex ones are refused by the operation
        limits = (-math.inf, math.inf)
    elif dtype is dtypes.bool_:
        if not all(isinstance(b, Tensor) for b in given):
            raise DtypeError("clamp() of a bool tensor by a bool is not supported\n  try  `&`, `|`")
        limits = (False, True)
    else:
        for bound in given:
            check_range(bound, dtype)
        limits = (int(np.iinfo(dtype.dtype).min), int(np.iinfo(dtype.dtype).max))
    return limits[0] if low is None else low, limits[1] if high is None else high


FOR_NUMPY[np.clip] = lambda x, a_min=None, a_max=None, *, min=None, max=None: clamp(
    x, a_min if min is None else min, a_max if max is None else max
)


@export("where", method=False)
def where(condition, input=None, other=None) -> Any:
    """input where condition holds, else other.

    >>> import tapejit as tj
    >>> x = tj.tensor([4.0, -1.0], requires_grad=True)
    >>> y = tj.where(x > 0, x.sqrt(), 0.0)
    >>> y.sum().backward()
    >>> y.detach(), x.grad  # the slope of sqrt(-1), NaN, does not leak
    (tensor([2., 0.]), tensor([0.2500, 0.0000]))
    """
    if input is None:
        return FUNCTIONS["nonzero"](condition, as_tuple=True)
    return apply(OPS["where"], (condition, input, other))


FOR_NUMPY[np.where] = lambda condition, x=None, y=None: where(tensor_of(condition), x, y)


def _where_method(input, condition, other) -> Tensor:
    """The tensor where condition holds, else other.

    >>> import tapejit as tj
    >>> x = tj.tensor([4.0, -1.0])
    >>> x.where(x > 0, 0.0)
    tensor([4., 0.])
    """
    return where(condition, input, other)


Tensor.where = _where_method


@export("round")
def round_(input, *, decimals=0) -> Tensor:
    """The nearest multiple of 10**-decimals, halves to even.

    >>> import tapejit as tj
    >>> tj.round(tj.tensor([0.5, 1.5, 2.6]))
    tensor([0., 2., 3.])
    >>> tj.round(tj.tensor([3.14159, 2.71828]), decimals=2)
    tensor([3.1400, 2.7200])
    """
    if decimals == 0:
        return _round(input)
    scale = 10.0**decimals
    return named(_round(input * scale) / scale, "RoundBackward1")


_round = unary_method(OPS["round"])
Tensor.__round__ = lambda x, n=0: round_(x, decimals=n or 0)


def _hashable_eq(name):
    method = binary_method(OPS[name])

    def compare(x, y):
        result = method(x, y)
        return result if result is not NotImplemented else name == "ne"

    return compare


Tensor.__eq__ = _hashable_eq("eq")
Tensor.__ne__ = _hashable_eq("ne")
