"""Trigonometric and hyperbolic functions and their inverses; angles are in radians."""

from __future__ import annotations

import math

from tapejit.families import elementwise
from tapejit.ops.powers import hypot, polynomial, rsqrt
from tapejit.ops.probes import ANY, INF, NAN, PAIRS_POSITIVE, UNIT
from tapejit.ops.rounding import round_
from tapejit.ops.selection import where
from tapejit.registry import Alias, Probe


def _one_less_square(x):
    """1 - x * x, which next to 1 would lose the digits of a slope."""
    return (1.0 - x) * (1.0 + x)


sin = elementwise(
    "sin",
    summary="Sine of each element, in radians.",
    code="math.sin(x)",
    partials=lambda x, y: (cos(x),),
    rule="float",
    complex=True,
    alias=Alias("sin", "sin"),
    grad_name="SinBackward0",
    probe=ANY,
    example="""
    >>> tj.sin(tj.tensor([0.0, 1.5707963]))
    tensor([0., 1.])
    >>> tj.grad(tj.sin)(0.0)
    1.0
    """,
)
cos = elementwise(
    "cos",
    summary="Cosine of each element, in radians.",
    code="math.cos(x)",
    partials=lambda x, y: (-sin(x),),
    rule="float",
    complex=True,
    alias=Alias("cos", "cos"),
    grad_name="CosBackward0",
    probe=ANY,
    example="""
    >>> tj.cos(tj.tensor([0.0, 3.1415927]))
    tensor([ 1., -1.])
    >>> tj.grad(tj.grad(tj.cos))(0.0)
    -1.0
    """,
)
tan = elementwise(
    "tan",
    summary="Tangent of each element, in radians.",
    code="math.tan(x)",
    partials=lambda x, y: (1.0 + y * y,),
    rule="float",
    complex=True,
    alias=Alias("tan", "tan"),
    grad_name="TanBackward0",
    probe=Probe(domain=(-1.2, 1.2), points=ANY.points),
    example="""
    >>> tj.tan(tj.tensor([0.0, 0.7853982]))
    tensor([0., 1.])
    """,
)
asin = elementwise(
    "asin",
    summary="Inverse sine, in radians; NaN outside [-1, 1].",
    code="math.asin(x)",
    partials=lambda x, y: (rsqrt(_one_less_square(x)),),
    rule="float",
    complex=True,
    alias=Alias("asin", "arcsin"),
    grad_name="AsinBackward0",
    probe=UNIT,
    example="""
    >>> tj.asin(tj.tensor([0.5, 1.0, 2.0]))
    tensor([0.5236, 1.5708,    nan])
    """,
)
acos = elementwise(
    "acos",
    summary="Inverse cosine, in radians; NaN outside [-1, 1].",
    code="math.acos(x)",
    partials=lambda x, y: (-rsqrt(_one_less_square(x)),),
    rule="float",
    complex=True,
    alias=Alias("acos", "arccos"),
    grad_name="AcosBackward0",
    probe=UNIT,
    example="""
    >>> tj.acos(tj.tensor([1.0, 0.0, -1.0]))
    tensor([0.0000, 1.5708, 3.1416])
    """,
)
atan = elementwise(
    "atan",
    summary="Inverse tangent, in radians.",
    code="math.atan(x)",
    partials=lambda x, y: (1.0 / (x * x + 1.0),),
    rule="float",
    complex=True,
    alias=Alias("atan", "arctan"),
    grad_name="AtanBackward0",
    probe=ANY,
    example="""
    >>> tj.atan(tj.tensor([0.0, 1.0, float("inf")]))
    tensor([0.0000, 0.7854, 1.5708])
    """,
)


def _sinc_slope(x, y):
    """(cos(pi x) - y) / x, whose digits cancel near 0: there a polynomial, smooth at any order."""
    z = x * x
    series = x * polynomial(z, _SINC_SERIES)
    turn = x - 2.0 * round_(0.5 * x)
    return where(abs(x) < 0.1, series, (cos(math.pi * turn) - y) / x)


# the Taylor series of sinc'(x) / x in x*x: (-1)^k pi^(2k) 2k / (2k + 1)!
_SINC_SERIES = tuple(
    (-1) ** k * math.pi ** (2 * k) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 9)
)
sinc = elementwise(
    "sinc",
    summary="sin(pi x) / (pi x), and 1 at 0.",
    # whole turns are taken off before they are rounded: pi * x would lose an ulp for every x
    code="1.0 if x == 0.0 else math.sin(math.pi * (x - 2.0 * round(0.5 * x))) / (math.pi * x)",
    partials=lambda x, y: (_sinc_slope(x, y),),
    rule="float",
    alias=Alias("sinc", "sinc"),
    grad_name="SincBackward0",
    note="Slopes of every order are right at and near 0, where PyTorch's second one is NaN.",
    probe=ANY,
    example="""
    >>> tj.sinc(tj.tensor([0.0, 0.5]))
    tensor([1.0000, 0.6366])
    >>> tj.grad(tj.grad(tj.sinc))(0.0)  # -pi**2 / 3
    -3.289868133696453
    """,
)


def _atan2_slopes(u, v, y):
    radius = hypot(u, v)  # its square may leave the range
    flat = (radius == 0.0) | ((radius == math.inf) & (y == y))
    radius = where(flat, 1.0, radius)
    return where(flat, 0.0, v / radius / radius), where(flat, 0.0, -u / radius / radius)


atan2 = elementwise(
    "atan2",
    summary="Angle of the point (v, u), in radians.",
    code="math.atan2(u, v)",
    partials=_atan2_slopes,
    rule="float",
    alias=Alias("atan2", "arctan2"),
    grad_name="Atan2Backward0",
    note="Slopes (0, 0) at (0, 0), as in PyTorch, and at infinity.",
    probe=PAIRS_POSITIVE,
    example="""
    >>> tj.atan2(tj.tensor([1.0, 1.0, -1.0]), tj.tensor([1.0, -1.0, -1.0]))
    tensor([ 0.7854,  2.3562, -2.3562])
    """,
)

# ---------------------------------------------------------------- hyperbolic functions

sinh = elementwise(
    "sinh",
    summary="Hyperbolic sine of each element.",
    code="math.sinh(x)",
    partials=lambda x, y: (cosh(x),),
    rule="float",
    complex=True,
    alias=Alias("sinh", "sinh"),
    grad_name="SinhBackward0",
    probe=ANY,
    example="""
    >>> tj.sinh(tj.tensor([-1.0, 0.0, 1.0]))
    tensor([-1.1752,  0.0000,  1.1752])
    """,
)
cosh = elementwise(
    "cosh",
    summary="Hyperbolic cosine of each element.",
    code="math.cosh(x)",
    partials=lambda x, y: (sinh(x),),
    rule="float",
    complex=True,
    alias=Alias("cosh", "cosh"),
    grad_name="CoshBackward0",
    probe=ANY,
    example="""
    >>> tj.cosh(tj.tensor([-1.0, 0.0, 1.0]))
    tensor([1.5431, 1.0000, 1.5431])
    """,
)
tanh = elementwise(
    "tanh",
    summary="Hyperbolic tangent of each element; the result lies in [-1, 1].",
    code="math.tanh(x)",
    partials=lambda x, y: (1.0 - y * y,),
    rule="float",
    complex=True,
    alias=Alias("tanh", "tanh"),
    grad_name="TanhBackward0",
    note="Slope comes from y, so x need not be kept; relative error 3e-10 at x = 8.",
    probe=ANY,
    example="""
    >>> tj.tanh(tj.tensor([-20.0, 0.0, 0.5]))
    tensor([-1.0000,  0.0000,  0.4621])
    >>> tj.grad(tj.tanh)(0.0)
    1.0
    """,
)


def _asinh_slope(x):
    if x.dtype.is_complex:
        return rsqrt(x * x + 1.0)
    return 1.0 / hypot(x, 1.0)  # x * x may overflow


asinh = elementwise(
    "asinh",
    summary="Inverse hyperbolic sine of each element.",
    code="math.asinh(x)",
    partials=lambda x, y: (_asinh_slope(x),),
    rule="float",
    complex=True,
    alias=Alias("asinh", "arcsinh"),
    grad_name="AsinhBackward0",
    probe=ANY,
    example="""
    >>> tj.asinh(tj.tensor([0.0, 1.0, 1e10]))
    tensor([ 0.0000,  0.8814, 23.7190])
    """,
)


def _acosh_slope(x):
    # x * x - 1 loses the digits next to 1, and for complex x the branch where Re x < 0
    return rsqrt(x - 1.0) * rsqrt(x + 1.0)


acosh = elementwise(
    "acosh",
    summary="Inverse hyperbolic cosine; NaN below 1.",
    code="math.acosh(x)",
    partials=lambda x, y: (_acosh_slope(x),),
    rule="float",
    complex=True,
    alias=Alias("acosh", "arccosh"),
    grad_name="AcoshBackward0",
    probe=Probe(domain=(1.2, 4.0), points=(1.0, 0.0, INF, NAN)),
    example="""
    >>> tj.acosh(tj.tensor([1.0, 2.0, 0.5]))
    tensor([0.0000, 1.3170,    nan])
    """,
)
atanh = elementwise(
    "atanh",
    summary="Inverse hyperbolic tangent; NaN outside [-1, 1].",
    code="math.atanh(x)",
    partials=lambda x, y: (1.0 / _one_less_square(x),),
    rule="float",
    complex=True,
    alias=Alias("atanh", "arctanh"),
    grad_name="AtanhBackward0",
    probe=UNIT,
    example="""
    >>> tj.atanh(tj.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.5493,    inf])
    """,
)
