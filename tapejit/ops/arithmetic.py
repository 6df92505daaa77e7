"""Arithmetic on each element: sums, products, quotients, remainders, signs.

Each record states its value as text and its slopes as traced code over (inputs…, y).
"""

from __future__ import annotations

import numpy as np

from tapejit.dtypes import int32
from tapejit.errors import DivisionByZero
from tapejit.families import broadcast_alike, elementwise, operation
from tapejit.ops.complexes import conjugate
from tapejit.ops.probes import ANY, KINKED, PAIRS, PAIRS_POSITIVE, POSITIVE, QUOTIENTS
from tapejit.ops.rounding import trunc
from tapejit.ops.selection import where
from tapejit.registry import Alias, Probe
from tapejit.shapes import aval

add = elementwise(
    "add",
    summary="Sum of two tensors, broadcast together.",
    code="u + v",
    partials=lambda u, v, y: (1.0, 1.0),
    linear=True,
    complex=True,
    alias=Alias("add", "add", "add"),
    grad_name="AddBackward0",
    probe=PAIRS,
    example="""
    >>> tj.add(tj.tensor([1.0, 2.0]), tj.tensor([[10.0], [20.0]]))
    tensor([[11., 12.],
            [21., 22.]])
    """,
)
sub = elementwise(
    "sub",
    summary="Difference of two tensors, broadcast together.",
    code="u - v",
    partials=lambda u, v, y: (1.0, -1.0),
    linear=True,
    bools="refused",
    complex=True,
    alias=Alias("sub", "subtract", "sub"),
    grad_name="SubBackward0",
    number_grad_names=("RsubBackward1", ""),
    probe=PAIRS,
    example="""
    >>> tj.sub(tj.tensor([5, 7]), 2, alpha=2)  # x - 2 * alpha
    tensor([1, 3])
    """,
)
mul = elementwise(
    "mul",
    summary="Product of two tensors, broadcast together.",
    code="u * v",
    partials=lambda u, v, y: (v, u),
    complex=True,
    alias=Alias("mul", "multiply", "mul"),
    grad_name="MulBackward0",
    probe=PAIRS,
    example="""
    >>> tj.mul(tj.tensor([1.0, 2.0]), tj.tensor([[1.0], [10.0]]))
    tensor([[ 1.,  2.],
            [10., 20.]])
    """,
)
div = elementwise(
    "div",
    summary="True quotient of two tensors; integers give the default float dtype.",
    code="u / v",
    partials=lambda u, v, y: (1.0 / v, -(u / v) / v),
    rule="float",
    note="Slopes read u and v, not y, as in PyTorch: the quotient may be changed in place.",
    complex=True,
    alias=Alias("div", "true_divide", "truediv"),
    grad_name="DivBackward0",
    number_grad_names=("MulBackward0", ""),
    probe=PAIRS_POSITIVE,
)

# ---------------------------------------------------------------- remainders


def _dividing(function):
    """A NumPy function that raises where integers are divided by zero, instead of giving 0."""

    def evaluate(u, v):
        y = function(u, v)
        if y.dtype.kind != "f" and not np.all(v):
            raise DivisionByZero("ZeroDivisionError: integers divided by zero\n  try  .float()")
        return y

    return evaluate


remainder = elementwise(
    "remainder",
    summary="Remainder of division with the sign of the divisor, as Python's %.",
    code="u % v",
    evaluate=_dividing(np.remainder),
    partials=lambda u, v, y: (1.0, -floor_divide(u, v)),
    bools="refused alone",
    alias=Alias("remainder", "remainder", "mod"),
    grad_name="RemainderBackward1",
    number_grad_names=("", "RemainderBackward0"),
    probe=QUOTIENTS,
    example="""
    >>> tj.remainder(tj.tensor([-7.0, 7.0]), 3)
    tensor([2., 1.])
    >>> tj.fmod(tj.tensor([-7.0, 7.0]), 3)
    tensor([-1.,  1.])
    """,
)
fmod = elementwise(
    "fmod",
    summary="Remainder of division with the sign of the dividend, as C's fmod.",
    code="math.fmod(u, v)",
    evaluate=_dividing(np.fmod),
    partials=lambda u, v, y: (1.0, -trunc(u / v)),
    bools="refused alone",
    alias=Alias("fmod", "fmod"),
    grad_name="FmodBackward1",
    number_grad_names=("", "FmodBackward0"),
    probe=QUOTIENTS,
    example="""
    >>> tj.fmod(tj.tensor([-7.0, 7.0]), 3)
    tensor([-1.,  1.])
    >>> tj.remainder(tj.tensor([-7.0, 7.0]), 3)
    tensor([2., 1.])
    """,
)
floor_divide = elementwise(
    "floor_divide",
    summary="The largest whole number not above the quotient, as Python's //.",
    code="u // v",
    evaluate=_dividing(np.floor_divide),
    partials=lambda u, v, y: (None, None),
    bools="refused alone",
    alias=Alias("floor_divide", "floor_divide", "floordiv"),
    grad_name="NotImplemented",
    probe=QUOTIENTS,
    example="""
    >>> tj.floor_divide(tj.tensor([-7, 7]), 2)
    tensor([-4,  3])
    """,
)

# ---------------------------------------------------------------- signs

neg = elementwise(
    "neg",
    summary="Negative of each element.",
    code="-x",
    partials=lambda x, y: (-1.0,),
    linear=True,
    bools="refused",
    complex=True,
    alias=Alias("neg", "negative", "neg"),
    grad_name="NegBackward0",
    probe=ANY,
    example="""
    >>> tj.neg(tj.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """,
)
reciprocal = elementwise(
    "reciprocal",
    summary="1 / x of each element.",
    code="1.0 / x",
    partials=lambda x, y: (-(y * y),),
    rule="float",
    complex=True,
    alias=Alias("reciprocal", "reciprocal"),
    grad_name="ReciprocalBackward0",
    probe=POSITIVE,
    example="""
    >>> tj.reciprocal(tj.tensor([4.0, 0.0]))
    tensor([0.2500,    inf])
    """,
)
abs_ = elementwise(
    "abs",
    summary="Absolute value of each element.",
    code="abs(x)",
    partials=lambda x, y: (conjugate(sgn(x)),),
    bools="refused",
    complex=True,
    gives_real=True,
    alias=Alias("abs", "absolute", "abs"),
    grad_name="AbsBackward0",
    probe=KINKED,
    note="Slope 0 at 0, the subgradient of least norm, and at NaN, as in PyTorch.",
    example="""
    >>> tj.abs(tj.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    >>> tj.grad(tj.abs)(-2.0), tj.grad(tj.abs)(0.0)
    (-1.0, 0.0)
    """,
)
sign = elementwise(
    "sign",
    summary="-1, 0 or 1 by the sign of each element; 0 for NaN.",
    code="1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0)",
    evaluate=lambda x: np.subtract(x > 0, x < 0, dtype=x.dtype) if x.dtype.kind != "b" else x,
    partials=lambda x, y: (0.0,),
    alias=Alias("sign", "sign"),
    grad_name="SignBackward0",
    note="sign(NaN) is 0 as in PyTorch; NumPy has NaN.",
    probe=KINKED,
    example="""
    >>> tj.sign(tj.tensor([-2.0, 0.0, float("nan")]))
    tensor([-1.,  0.,  0.])
    """,
)


def sgn(x):
    """The sign of a Ref; of a complex one the number of modulus 1 at the same angle, 0 at 0."""
    if not x.dtype.is_complex:
        return sign(x)
    modulus = abs_(x)
    is_zero = modulus == 0.0
    return where(is_zero, 0.0, x / where(is_zero, 1.0, modulus))


copysign = elementwise(
    "copysign",
    summary="The size of the first with the sign of the second, the sign of a zero included.",
    code="math.copysign(u, v)",
    partials=lambda u, v, y: (where(u == u, sign(u) * sign(y), u), 0.0),
    rule="float",
    alias=Alias("copysign", "copysign"),
    grad_name="CopysignBackward0",
    note="Slope 0 where the first is 0, as in PyTorch; 1 or -1 at infinities, where it has NaN.",
    probe=Probe(domain=((0.1, 3.0), (-3.0, 3.0)), shapes=PAIRS.shapes, points=PAIRS.points),
    example="""
    >>> tj.copysign(tj.tensor([1.0, -2.0]), tj.tensor([-0.0, 3.0]))
    tensor([-1.,  2.])
    """,
)
signbit = elementwise(
    "signbit",
    summary="True where the sign is minus, also of -0.0 and NaN.",
    code="math.copysign(1.0, x) < 0.0",
    evaluate=lambda x: np.signbit(x) if x.dtype.kind == "f" else x < np.zeros((), x.dtype),
    rule="predicate",
    alias=Alias("signbit", "signbit"),
    probe=ANY,
    example="""
    >>> tj.signbit(tj.tensor([-0.0, 0.0, -3.0]))
    tensor([ True, False,  True])
    """,
)
nextafter = operation(
    "nextafter",
    "library",
    summary="The next number of the dtype after the first towards the second.",
    infer=broadcast_alike("nextafter"),
    evaluate=np.nextafter,
    partials=lambda u, v, y: (1.0, 0.0),
    rule="float",
    alias=Alias("nextafter", "nextafter"),
    grad_name="NextafterBackward0",
    probe=PAIRS,
    example="""
    >>> tj.nextafter(tj.tensor(0.0), 1.0)
    tensor(1.4013e-45)
    """,
)
exponent_of = operation(
    "exponent_of",
    "library",
    summary="The exponent e with x = m * 2**e and 0.5 <= |m| < 1; 0 for 0 and what is not finite.",
    infer=lambda avals: aval(avals[0].shape, int32),
    evaluate=lambda x: np.where(np.isfinite(x), np.frexp(x)[1], 0).astype(np.int32)[()],
    rule="float",
    probe=ANY,
)

# ---------------------------------------------------------------- between two

lerp = elementwise(
    "lerp",
    summary="From the first (weight 0) to the second (weight 1), exact at both ends.",
    code="u + w * (v - u) if abs(w) < 0.5 else v - (v - u) * (1.0 - w)",
    partials=lambda u, v, w, y: (1.0 - w, w, v - u),
    rule="float",
    complex=True,
    alias=Alias("lerp"),
    grad_name="LerpBackward1",
    probe=Probe(shapes=(((3, 1), (1, 4), ()), ((3,), (3,), (3,)))),
    example="""
    >>> tj.lerp(tj.tensor([0.0, 10.0]), tj.tensor([1.0, 20.0]), 0.25)
    tensor([ 0.2500, 12.5000])
    """,
)
