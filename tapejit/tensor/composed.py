"""Functions of each element that are composed of a few operations, and fuse for free.

Each is what PyTorch or NumPy calls by one name and has neither a better conditioned slope nor a
kernel of its own: frac, nan_to_num, addcmul, deg2rad, float_power, ...  Start anywhere; the
operations themselves are records in `tapejit.ops`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.errors import DtypeError
from tapejit.registry import OPS
from tapejit.tensor.arithmetic import clamp, pow_, where
from tapejit.tensor.core import Tensor, apply, as_operand
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export, named


class Parts(NamedTuple):
    """The mantissas and exponents that frexp gives."""

    mantissa: Tensor
    exponent: Tensor


# ---------------------------------------------------------------- parts of numbers


@export()
def frac(input) -> Tensor:
    """The part of each element behind the point, with its sign.

    >>> import tapejit as tj
    >>> tj.frac(tj.tensor([1.25, -1.25]))
    tensor([ 0.2500, -0.2500])
    """
    return named(input - input.trunc(), "FracBackward0")


@export(numpy=("frexp",))
def frexp(input) -> Parts:
    """Mantissas m, 0.5 <= |m| < 1, and exponents e (int32) with input = m * 2**e.

    >>> import tapejit as tj
    >>> tj.frexp(tj.tensor([0.0, 10.0])).mantissa
    tensor([0.0000, 0.6250])
    >>> tj.frexp(tj.tensor([0.0, 10.0])).exponent
    tensor([0, 4], dtype=torch.int32)
    """
    if not input._aval.dtype.is_floating_point:
        raise DtypeError("torch.frexp() only supports floating-point dtypes\n  try  .float()")
    exponent = apply(OPS["exponent_of"], (input,))
    return Parts(named(ldexp(input, exponent.neg()), "FrexpBackward0"), exponent)


@export(numpy=("ldexp",))
def ldexp(input, other) -> Tensor:
    """input * 2**other, without overflow on the way.

    >>> import tapejit as tj
    >>> tj.ldexp(tj.tensor([1.0, 3.0]), tj.tensor([4, -1]))
    tensor([16.0000,  1.5000])
    """
    # two factors: 2**other alone leaves the range before the result does
    power: Any = as_operand(other)
    if isinstance(power, Tensor) and not power._aval.dtype.is_floating_point:
        power = power.to(dtypes.to_float(input._aval.dtype))
    half = FUNCTIONS["floor_divide"](power, 2) if isinstance(power, Tensor) else power // 2
    exp2 = FUNCTIONS["exp2"]
    return named(input * exp2(half) * exp2(power - half), "MulBackward0")


@export("nan_to_num")
def nan_to_num(input, nan=0.0, posinf=None, neginf=None) -> Tensor:
    """NaN replaced by `nan`, infinities by `posinf` and `neginf`, or the dtype's largest numbers.

    >>> import tapejit as tj
    >>> tj.nan_to_num(tj.tensor([float("nan"), 1.0, float("inf")]), posinf=9.0)
    tensor([0., 1., 9.])
    """
    dtype = input._aval.dtype
    if dtype.is_complex:
        parts = [nan_to_num(part, nan, posinf, neginf) for part in (input.real, input.imag)]
        return named(apply(OPS["complex"], parts), "NanToNumBackward0")
    if dtype.is_complex:
        parts = (nan_to_num(part, nan, posinf, neginf) for part in (input.real, input.imag))
        return FUNCTIONS["complex"](*parts)
    if not dtype.is_floating_point:
        return input.clone()
    largest = float(np.finfo(dtype.dtype).max)
    nan = 0.0 if nan is None else nan
    posinf = largest if posinf is None else posinf
    neginf = -largest if neginf is None else neginf
    finite = where(input == math.inf, posinf, where(input == -math.inf, neginf, input))
    return named(where(input.isnan(), nan, finite), "NanToNumBackward0")


FOR_NUMPY[np.nan_to_num] = lambda x, copy=True, nan=0.0, posinf=None, neginf=None: nan_to_num(
    x, nan, posinf, neginf
)


@export(numpy=("isposinf",))
def isposinf(input) -> Tensor:
    """True where the element is +infinity.

    >>> import tapejit as tj
    >>> tj.isposinf(tj.tensor([float("inf"), -float("inf"), 1.0]))
    tensor([ True, False, False])
    """
    return input == math.inf


@export(numpy=("isneginf",))
def isneginf(input) -> Tensor:
    """True where the element is -infinity.

    >>> import tapejit as tj
    >>> tj.isneginf(tj.tensor([float("inf"), -float("inf"), 1.0]))
    tensor([False,  True, False])
    """
    return input == -math.inf


@export(numpy=("positive",))
def positive(input) -> Tensor:
    """The tensor itself.

    >>> import tapejit as tj
    >>> tj.positive(tj.tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """
    if input._aval.dtype is dtypes.bool_:
        raise DtypeError("The `+` operator, on a bool tensor is not supported.\n  try  .int()")
    return input


# ---------------------------------------------------------------- arithmetic


@export()
def addcmul(input, tensor1, tensor2, *, value=1) -> Tensor:
    """input + value * tensor1 * tensor2.

    >>> import tapejit as tj
    >>> tj.addcmul(tj.ones(2), tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]), value=0.5)
    tensor([2.5000, 5.0000])
    """
    product = tensor1 * tensor2
    return named(input + (product if value == 1 else product * value), "AddcmulBackward0")


@export()
def addcdiv(input, tensor1, tensor2, *, value=1) -> Tensor:
    """input + value * tensor1 / tensor2.

    >>> import tapejit as tj
    >>> tj.addcdiv(tj.ones(2), tj.tensor([1.0, 2.0]), tj.tensor([2.0, 4.0]), value=2.0)
    tensor([2., 2.])
    """
    quotient = tensor1 / tensor2
    return named(input + (quotient if value == 1 else quotient * value), "AddcdivBackward0")


@export()
def lerp(input, end, weight) -> Tensor:
    """From input (weight 0) to end (weight 1), exact at both ends.

    >>> import tapejit as tj
    >>> tj.lerp(tj.tensor([0.0, 10.0]), tj.tensor([1.0, 20.0]), 0.25)
    tensor([ 0.2500, 12.5000])
    """
    result = apply(OPS["lerp"], (input, end, weight))
    return result if isinstance(weight, Tensor) else named(result, "LerpBackward0")


@export()
def clamp_min(input, min) -> Tensor:
    """Each element, not below `min`.

    >>> import tapejit as tj
    >>> tj.clamp_min(tj.tensor([-1.0, 2.0]), 0.0)
    tensor([0., 2.])
    """
    return named(clamp(input, min=min), "ClampMinBackward0")


@export()
def clamp_max(input, max) -> Tensor:
    """Each element, not above `max`.

    >>> import tapejit as tj
    >>> tj.clamp_max(tj.tensor([-1.0, 2.0]), 0.0)
    tensor([-1.,  0.])
    """
    return named(clamp(input, max=max), "ClampMaxBackward0")


@export("nextafter", numpy=("nextafter",))
def nextafter(input, other) -> Tensor:
    """The next number of the dtype after input towards other.

    >>> import tapejit as tj
    >>> tj.nextafter(tj.tensor(0.0), 1.0)
    tensor(1.4013e-45)
    """
    return apply(OPS["nextafter"], (input, other))


@export(numpy=("deg2rad", "radians"))
def deg2rad(input) -> Tensor:
    """Degrees as radians.

    >>> import tapejit as tj
    >>> tj.deg2rad(tj.tensor([0.0, 180.0]))
    tensor([0.0000, 3.1416])
    """
    return named(input * (math.pi / 180.0), "Deg2RadBackward0")


@export(numpy=("rad2deg", "degrees"))
def rad2deg(input) -> Tensor:
    """Radians as degrees.

    >>> import tapejit as tj
    >>> tj.rad2deg(tj.tensor([0.0, 3.1415927]))
    tensor([  0., 180.])
    """
    return named(input * (180.0 / math.pi), "Rad2DegBackward0")


@export(numpy=("float_power",))
def float_power(input, exponent) -> Tensor:
    """input to the power of exponent, in float64 (complex128 if one of them is complex).

    >>> import tapejit as tj
    >>> tj.float_power(tj.tensor([1, 2]), -2)
    tensor([1.0000, 0.2500], dtype=torch.float64)
    """
    base, exponent = (
        x.to(dtypes.promote_pair(x._aval.dtype, dtypes.float64)) if isinstance(x, Tensor) else x
        for x in (input, as_operand(exponent))
    )
    return pow_(base, exponent)


_logit: Any = vars(Tensor)["logit"]  # of one operand, from the record


@export()
def logit(input, eps=None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; x first brought into [eps, 1 - eps].

    >>> import tapejit as tj
    >>> tj.logit(tj.tensor([0.0, 0.5, 0.75]))
    tensor([  -inf, 0.0000, 1.0986])
    >>> tj.logit(tj.tensor([0.0, 0.5]), eps=0.25)
    tensor([-1.0986,  0.0000])
    """
    if eps is None:
        return _logit(input)
    if not input._aval.dtype.is_floating_point:
        input = input.to(dtypes.get_default_dtype())
    # masks and not clamp: the slope is 0 outside, also for eps = 0, where logit's is infinite
    end = math.log(eps / (1.0 - eps)) if 0.0 < eps < 1.0 else math.copysign(math.inf, eps - 0.5)
    inside = where(input > 1.0 - eps, -end, _logit(input))
    return named(where(input < eps, end, inside), "LogitBackward0")


FOR_NUMPY[np.modf] = lambda x: (frac(x), x.trunc())
FOR_NUMPY[np.divmod] = lambda x, y: (
    FUNCTIONS["floor_divide"](x, y),
    FUNCTIONS["remainder"](x, y),
)
