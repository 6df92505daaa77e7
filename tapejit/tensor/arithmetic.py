"""Operators, methods and functions of the elementwise operations, made from the registry.

Every elementwise record with a PyTorch, NumPy or operator name gets its entry points here, in one
loop; what follows are the few whose arguments need a word: pow, clamp, where, rounding division.
"""

from __future__ import annotations

import math
import operator

import numpy as np

from tapejit import dtypes
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, as_data, binary_method, unary_method
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, answer_in_kind, export

# ---------------------------------------------------------------- from the registry


def _publish(op):
    n = len(op.expression.parameters)
    forward = unary_method(op) if n == 1 else binary_method(op)
    if op.alias.operator and op.name != "pow":
        setattr(Tensor, f"__{op.alias.operator}__", forward)
        if n == 2 and op.rule != "compare":
            setattr(Tensor, f"__r{op.alias.operator}__", binary_method(op, reflected=True))
    if op.alias.torch:
        function = _with_out_of_order_operands(op) if n == 2 else forward
        FUNCTIONS[op.alias.torch] = answer_in_kind(function)
        setattr(Tensor, op.alias.torch, forward if n == 1 else function)
    if op.alias.numpy and op.name != "pow":
        FOR_NUMPY[getattr(np, op.alias.numpy)] = _with_out_of_order_operands(op) if n == 2 else forward


def _with_out_of_order_operands(op):
    """As a function, either operand may be the number."""
    forward, reflected = binary_method(op), binary_method(op, reflected=True)

    def function(input, other):
        if isinstance(input, Tensor):
            return forward(input, other)
        return reflected(other, input)

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = op.summary
    return function


for _op in list(OPS.values()):
    if _op.family == "elementwise" and len(_op.expression.parameters) <= 2 and _op.name not in (
        "where", "power",
    ):  # fmt: skip
        _publish(_op)

for _name, _same in {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg",
    "absolute": "abs", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "sgn": "sign", "less": "lt",
    "less_equal": "le", "greater": "gt", "greater_equal": "ge", "not_equal": "ne", "fix": "trunc",
}.items():  # fmt: skip
    FUNCTIONS[_name] = FUNCTIONS[_same]
    setattr(Tensor, _name, getattr(Tensor, _same))
FUNCTIONS["special_erf"] = FUNCTIONS["erf"]
FOR_NUMPY[np.divide] = FOR_NUMPY[np.true_divide]
FOR_NUMPY[np.abs] = FOR_NUMPY[np.absolute]
FOR_NUMPY[np.fabs] = FOR_NUMPY[np.absolute]
FOR_NUMPY[np.round] = lambda x, decimals=0: round_(x, decimals=decimals)
FOR_NUMPY[np.fmax] = FOR_NUMPY[np.maximum]
FOR_NUMPY[np.fmin] = FOR_NUMPY[np.minimum]

_add, _sub, _mul, _div = (binary_method(OPS[n]) for n in ("add", "sub", "mul", "div"))
_floor_divide = binary_method(OPS["floor_divide"])


def _scaled(name, plain):
    """add and sub take `alpha`, a factor of the second operand."""

    def function(input, other, *, alpha=1):
        if alpha != 1:
            other = other * alpha
        return plain(input, other) if isinstance(input, Tensor) else operators[name](input, other)

    function.__name__ = name
    function.__doc__ = OPS[name].summary
    return function


operators = {"add": operator.add, "sub": operator.sub}
export("add")(_scaled("add", _add))
export("sub", "subtract")(_scaled("sub", _sub))


@export("div", "divide", "true_divide")
def div(input, other, *, rounding_mode=None):
    """True quotient; rounding_mode "floor" or "trunc" rounds it."""
    if rounding_mode == "floor":
        return _floor_divide(input, other)
    result = _div(input, other) if isinstance(input, Tensor) else input / other
    return result.trunc() if rounding_mode == "trunc" else result


# ---------------------------------------------------------------- powers

_pow, _rpow = binary_method(OPS["pow"]), binary_method(OPS["pow"], reflected=True)
_POWER = OPS["power"]
STRUCTURAL_EXPONENTS = frozenset([*range(-16, 17), 0.5, -0.5, 1.5, 2.5])
"""Exponents that become part of the structure (products and roots); others are data."""


@export("pow", "__pow__", numpy=("power",))
def pow_(input, exponent):
    """input to the power of exponent (a number or tensors broadcast together)."""
    if not isinstance(input, Tensor):
        return _rpow(exponent, input)
    if isinstance(exponent, int | float) and not isinstance(exponent, bool):
        if exponent in STRUCTURAL_EXPONENTS and _keeps_dtype(input, exponent):
            n = int(exponent) if exponent == int(exponent) else float(exponent)
            return apply(_POWER, (input,), (n,))
        result = _pow(input, exponent)
        _rename(result, "PowBackward0")
        return result
    return _pow(input, exponent)


def _keeps_dtype(x, exponent):
    if x._aval.dtype.is_floating_point:
        return True
    if isinstance(exponent, int) and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return isinstance(exponent, int) and x._aval.dtype.category == dtypes.INTEGER


def _rename(x, name):
    """Let grad_fn of a just recorded tensor carry PyTorch's name."""
    if x._tape is not None:
        x._tape.names[x._row] = name
    return x


Tensor.__rpow__ = lambda x, base: _rpow(x, base)
Tensor.__pos__ = lambda x: x


@export("square", numpy=("square",))
def square(input):
    """input * input."""
    return pow_(input, 2)


# ---------------------------------------------------------------- clamp and where


@export("clamp", "clip")
def clamp(input, min=None, max=None):
    """Each element brought into [min, max]; either may be None."""
    if min is None and max is None:
        raise ValueError("torch.clamp: At least one of 'min' or 'max' must not be None")
    name = "ClampBackward0" if isinstance(min, Tensor) or isinstance(max, Tensor) else "ClampBackward1"
    low = -math.inf if min is None else min
    high = math.inf if max is None else max
    if not input._aval.dtype.is_floating_point and math.inf in (high, -low if not isinstance(low, Tensor) else 0):
        limits = np.iinfo(input._aval.dtype.dtype)
        low = limits.min if min is None else min
        high = limits.max if max is None else max
    return _rename(apply(OPS["clamp"], (input, low, high)), name)


FOR_NUMPY[np.clip] = lambda x, a_min=None, a_max=None, *, min=None, max=None: clamp(
    x, a_min if min is None else min, a_max if max is None else max
)


@export("where", method=False)
def where(condition, input=None, other=None):
    """input where condition holds, else other."""
    if input is None:
        return FUNCTIONS["nonzero"](condition, as_tuple=True)
    return apply(OPS["where"], (condition, input, other))


FOR_NUMPY[np.where] = lambda condition, x=None, y=None: where(
    condition if isinstance(condition, Tensor) else as_data(condition), x, y
)
Tensor.where = lambda x, condition, other: where(condition, x, other)


@export("round", "round_to")
def round_(input, *, decimals=0):
    """The nearest multiple of 10**-decimals, halves to even."""
    if decimals == 0:
        return _round(input)
    scale = 10.0**decimals
    return _round(input * scale) / scale


_round = unary_method(OPS["round"])
Tensor.__round__ = lambda x, n=0: round_(x, decimals=n or 0)
_fmod_trunc = unary_method(OPS["trunc"])


@export(numpy=("fmod",))
def fmod(input, other):
    """Remainder of division with the sign of the dividend."""
    return input - _fmod_trunc(input / other) * other


def _hashable_eq(name):
    method = binary_method(OPS[name])

    def compare(x, y):
        result = method(x, y)
        return result if result is not NotImplemented else name == "ne"

    return compare


Tensor.__eq__ = _hashable_eq("eq")
Tensor.__ne__ = _hashable_eq("ne")
