"""Elementwise operations: arithmetic, powers, exponentials, trigonometry, selection, logic.

Each record states its value as text and its slopes as traced code over (inputs…, y).  Slopes at
kinks and edges follow PyTorch where it is finite and right: abs'(0) = 0, relu'(0) = 0, clamp
passes 1 at both edges, ties of maximum and minimum are shared half and half.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.errors import DivisionByZero, DtypeError
from tapejit.families import elementwise, operation
from tapejit.ops.movement import expand
from tapejit.registry import Alias, Probe
from tapejit.shapes import aval, broadcast

INF, NAN = math.inf, math.nan
ANY = Probe(domain=(-3.0, 3.0), points=(0.0, -0.0, 1.0, -1.0, INF, -INF, NAN))
KINKED = Probe(domain=(0.1, 3.0), points=ANY.points)
POSITIVE = Probe(domain=(0.2, 4.0), points=(0.0, 1.0, -1.0, INF, NAN))
UNIT = Probe(domain=(-0.95, 0.95), points=(0.0, 1.0, -1.0, 2.0, NAN))
PAIRS = Probe(shapes=(((3, 1), (1, 4)), ((), (2,)), ((3,), (3,))), points=(0.0, 1.0, INF, NAN))
PAIRS_POSITIVE = Probe(domain=(0.2, 3.0), shapes=PAIRS.shapes, points=PAIRS.points)
QUOTIENTS = Probe(domain=((0.55, 0.95), (0.3, 0.5)), shapes=PAIRS.shapes)

# ---------------------------------------------------------------- arithmetic

add = elementwise(
    "add",
    summary="Sum of two tensors, broadcast together.",
    code="u + v",
    partials=lambda u, v, y: (1.0, 1.0),
    linear=True,
    alias=Alias("add", "add", "add"),
    grad_name="AddBackward0",
    probe=PAIRS,
)
sub = elementwise(
    "sub",
    summary="Difference of two tensors, broadcast together.",
    code="u - v",
    partials=lambda u, v, y: (1.0, -1.0),
    linear=True,
    bools="refused",
    alias=Alias("sub", "subtract", "sub"),
    grad_name="SubBackward0",
    number_grad_names=("RsubBackward1", ""),
    probe=PAIRS,
)
mul = elementwise(
    "mul",
    summary="Product of two tensors, broadcast together.",
    code="u * v",
    partials=lambda u, v, y: (v, u),
    alias=Alias("mul", "multiply", "mul"),
    grad_name="MulBackward0",
    probe=PAIRS,
)
div = elementwise(
    "div",
    summary="True quotient of two tensors; integers give the default float dtype.",
    code="u / v",
    partials=lambda u, v, y: (1.0 / v, -(u / v) / v),
    rule="float",
    note="Slopes read u and v, not y, as in PyTorch: the quotient may be changed in place.",
    alias=Alias("div", "true_divide", "truediv"),
    grad_name="DivBackward0",
    number_grad_names=("MulBackward0", ""),
    probe=PAIRS_POSITIVE,
)


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
    partials=lambda u, v, y: (1.0, -floor(u / v)),
    bools="refused alone",
    alias=Alias("remainder", "remainder", "mod"),
    grad_name="RemainderBackward1",
    number_grad_names=("", "RemainderBackward0"),
    probe=QUOTIENTS,
)
fmod = elementwise(
    "fmod",
    summary="Remainder of division with the sign of the dividend, as C's fmod.",
    code="abs(u) % abs(v) if u >= 0.0 else -(abs(u) % abs(v))",
    evaluate=_dividing(np.fmod),
    partials=lambda u, v, y: (1.0, -trunc(u / v)),
    bools="refused alone",
    alias=Alias("fmod", "fmod"),
    grad_name="FmodBackward1",
    number_grad_names=("", "FmodBackward0"),
    probe=QUOTIENTS,
)
floor_divide = elementwise(
    "floor_divide",
    summary="The largest whole number not above the quotient, as Python's //.",
    code="math.floor(u / v)",
    evaluate=_dividing(np.floor_divide),
    partials=lambda u, v, y: (None, None),
    bools="refused alone",
    alias=Alias("floor_divide", "floor_divide", "floordiv"),
    grad_name="NotImplemented",
    probe=QUOTIENTS,
)
neg = elementwise(
    "neg",
    summary="Negative of each element.",
    code="-x",
    partials=lambda x, y: (-1.0,),
    linear=True,
    bools="refused",
    alias=Alias("neg", "negative", "neg"),
    grad_name="NegBackward0",
    probe=ANY,
)
reciprocal = elementwise(
    "reciprocal",
    summary="1 / x of each element.",
    code="1.0 / x",
    partials=lambda x, y: (-(y * y),),
    rule="float",
    alias=Alias("reciprocal", "reciprocal"),
    grad_name="ReciprocalBackward0",
    probe=POSITIVE,
)
abs_ = elementwise(
    "abs",
    summary="Absolute value of each element.",
    code="abs(x)",
    partials=lambda x, y: (sign(x),),
    bools="refused",
    alias=Alias("abs", "absolute", "abs"),
    grad_name="AbsBackward0",
    probe=KINKED,
    note="Slope 0 at 0, the subgradient of least norm, and at NaN, as in PyTorch.",
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
)

# ---------------------------------------------------------------- powers and roots

square = elementwise(
    "square",
    summary="x * x of each element.",
    code="x * x",
    partials=lambda x, y: (2.0 * x,),
    alias=Alias("square", "square"),
    grad_name="PowBackward0",
    probe=ANY,
)


def _run_pow(u, v):
    try:
        return np.power(u, v)
    except ValueError:  # integers to negative powers: PyTorch rounds toward zero
        whole = np.power(u, np.maximum(v, 0))
        odd = np.where(v % 2 == 0, 1, -1)
        small = np.where(u == 1, 1, np.where(u == -1, odd, 0)).astype(whole.dtype)
        return np.where(v < 0, small, whole)[()]


pow_ = elementwise(
    "pow",
    summary="u to the power of v, broadcast together.",
    code="math.pow(u, v)",
    evaluate=_run_pow,
    partials=lambda u, v, y: (
        where(v == 0.0, 0.0, v * pow_(u, v - 1.0)),
        where((u == 0.0) & (v >= 0.0), 0.0, y * log(u)),
    ),
    alias=Alias("pow", "power", "pow"),
    grad_name="PowBackward1",
    number_grad_names=("PowBackward2", "PowBackward0"),
    note="Slopes (0, 0) at (0, 0); a slope by v of 0 where u = 0 and v >= 0, as in PyTorch.",
    probe=PAIRS_POSITIVE,
)

LARGEST_PRODUCT = 16
"""Whole exponents up to this become products: at most 7 multiplications."""


def ones_like(x):
    """Ones in the shape and dtype of a Ref."""
    return x.builder.literal(1, x.aval)


def expand_power(x, exponent):
    """x to a fixed power, through products or roots where those are cheaper than pow."""
    if exponent in (0.5, -0.5):
        return sqrt(x) if exponent > 0 else rsqrt(x)
    if exponent != int(exponent) or abs(exponent) > LARGEST_PRODUCT:
        return pow_(x, float(exponent))
    result, base, n = None, x, abs(int(exponent))
    while n:
        if n & 1:
            result = base if result is None else result * base
        n >>= 1
        if n:
            base = base * base
    if result is None:
        return ones_like(x)
    return 1.0 / result if exponent < 0 else result


def _power_slopes(x, y, exponent):
    if exponent == 0:
        return (0.0,)
    if exponent == 2:
        return (2.0 * x,)
    return (float(exponent) * power(x, exponent=exponent - 1),)


power = elementwise(
    "power",
    summary="Each element to the power of one fixed number.",
    code="x",
    evaluate=lambda x, exponent: x**exponent,
    attributes=("exponent",),
    decompose=expand_power,
    partials=_power_slopes,
    grad_name="PowBackward0",
    note="The exponent belongs to the structure: whole ones up to 16 become products.",
    probe=Probe(
        domain=(0.2, 3.0),
        points=(0.0, -1.0, NAN),
        attrs=tuple({"exponent": e} for e in (0, 1, 2, 3, 0.5, 1.5, -1, -2)),
    ),
)
sqrt = elementwise(
    "sqrt",
    summary="Square root of each element; NaN below 0.",
    code="math.sqrt(x)",
    partials=lambda x, y: (0.5 / y,),
    rule="float",
    alias=Alias("sqrt", "sqrt"),
    grad_name="SqrtBackward0",
    probe=POSITIVE,
)
rsqrt = elementwise(
    "rsqrt",
    summary="1 / sqrt(x) of each element.",
    code="1.0 / math.sqrt(x)",
    partials=lambda x, y: (-0.5 * y * y * y,),
    rule="float",
    alias=Alias("rsqrt"),
    grad_name="RsqrtBackward0",
    probe=POSITIVE,
)

# ---------------------------------------------------------------- exponentials and logarithms

exp = elementwise(
    "exp",
    summary="e to the power of each element.",
    code="math.exp(x)",
    partials=lambda x, y: (y,),
    rule="float",
    alias=Alias("exp", "exp"),
    grad_name="ExpBackward0",
    probe=ANY,
)
exp2 = elementwise(
    "exp2",
    summary="2 to the power of each element.",
    code="math.exp2(x)",
    partials=lambda x, y: (math.log(2.0) * y,),
    rule="float",
    alias=Alias("exp2", "exp2"),
    grad_name="Exp2Backward0",
    probe=ANY,
)
expm1 = elementwise(
    "expm1",
    summary="exp(x) - 1, exact for small x.",
    code="math.expm1(x)",
    partials=lambda x, y: (y + 1.0,),
    rule="float",
    alias=Alias("expm1", "expm1"),
    grad_name="Expm1Backward0",
    probe=ANY,
)
log = elementwise(
    "log",
    summary="Natural logarithm of each element; -inf at 0, NaN below.",
    code="math.log(x)",
    partials=lambda x, y: (1.0 / x,),
    rule="float",
    alias=Alias("log", "log"),
    grad_name="LogBackward0",
    probe=POSITIVE,
)
log2 = elementwise(
    "log2",
    summary="Logarithm to base 2 of each element.",
    code="math.log2(x)",
    partials=lambda x, y: (1.0 / (x * math.log(2.0)),),
    rule="float",
    alias=Alias("log2", "log2"),
    grad_name="Log2Backward0",
    probe=POSITIVE,
)
log10 = elementwise(
    "log10",
    summary="Logarithm to base 10 of each element.",
    code="math.log10(x)",
    partials=lambda x, y: (1.0 / (x * math.log(10.0)),),
    rule="float",
    alias=Alias("log10", "log10"),
    grad_name="Log10Backward0",
    probe=POSITIVE,
)
log1p = elementwise(
    "log1p",
    summary="log(1 + x), exact for small x.",
    code="math.log1p(x)",
    partials=lambda x, y: (1.0 / (x + 1.0),),
    rule="float",
    alias=Alias("log1p", "log1p"),
    grad_name="Log1PBackward0",
    probe=Probe(domain=(-0.8, 3.0), points=(0.0, -1.0, -2.0, INF, NAN)),
)
logaddexp = elementwise(
    "logaddexp",
    summary="log(exp(u) + exp(v)) without overflow.",
    code="u + math.log(2.0) if u == v else (u if u > v else v) + math.log1p(math.exp(-abs(u - v)))",
    partials=lambda u, v, y: (exp(u - y), exp(v - y)),
    rule="float",
    alias=Alias("logaddexp", "logaddexp"),
    grad_name="LogaddexpBackward0",
    probe=PAIRS,
)
sigmoid = elementwise(
    "sigmoid",
    summary="Logistic function 1 / (1 + exp(-x)) of each element.",
    code="1.0 / (1.0 + math.exp(-x))",
    partials=lambda x, y: (y * (1.0 - y),),
    rule="float",
    alias=Alias("sigmoid"),
    grad_name="SigmoidBackward0",
    probe=ANY,
)
softplus = elementwise(
    "softplus",
    summary="log(1 + exp(x)) of each element, without overflow.",
    code="(x if x > 0.0 or x != x else 0.0) + math.log1p(math.exp(-abs(x)))",
    evaluate=lambda x: np.logaddexp(x, x.dtype.type(0)),
    partials=lambda x, y: (sigmoid(x),),
    rule="float",
    alias=Alias("softplus"),
    grad_name="SoftplusBackward0",
    note="Exact everywhere: no linear threshold as in PyTorch (beta = 1, threshold = 20).",
    probe=ANY,
)
logsigmoid = elementwise(
    "logsigmoid",
    summary="log(sigmoid(x)) of each element, without overflow.",
    code="(x if x < 0.0 or x != x else 0.0) - math.log1p(math.exp(-abs(x)))",
    evaluate=lambda x: -np.logaddexp(-x, x.dtype.type(0)),
    partials=lambda x, y: (sigmoid(-x),),
    rule="float",
    alias=Alias("logsigmoid"),
    grad_name="LogSigmoidBackward0",
    probe=ANY,
)

# ---------------------------------------------------------------- trigonometry

sin = elementwise(
    "sin",
    summary="Sine of each element, in radians.",
    code="math.sin(x)",
    partials=lambda x, y: (cos(x),),
    rule="float",
    alias=Alias("sin", "sin"),
    grad_name="SinBackward0",
    probe=ANY,
)
cos = elementwise(
    "cos",
    summary="Cosine of each element, in radians.",
    code="math.cos(x)",
    partials=lambda x, y: (-sin(x),),
    rule="float",
    alias=Alias("cos", "cos"),
    grad_name="CosBackward0",
    probe=ANY,
)
tan = elementwise(
    "tan",
    summary="Tangent of each element, in radians.",
    code="math.tan(x)",
    partials=lambda x, y: (1.0 + y * y,),
    rule="float",
    alias=Alias("tan", "tan"),
    grad_name="TanBackward0",
    probe=Probe(domain=(-1.2, 1.2), points=ANY.points),
)
asin = elementwise(
    "asin",
    summary="Inverse sine, in radians; NaN outside [-1, 1].",
    code="math.asin(x)",
    partials=lambda x, y: (rsqrt(1.0 - x * x),),
    rule="float",
    alias=Alias("asin", "arcsin"),
    grad_name="AsinBackward0",
    probe=UNIT,
)
acos = elementwise(
    "acos",
    summary="Inverse cosine, in radians; NaN outside [-1, 1].",
    code="math.acos(x)",
    partials=lambda x, y: (-rsqrt(1.0 - x * x),),
    rule="float",
    alias=Alias("acos", "arccos"),
    grad_name="AcosBackward0",
    probe=UNIT,
)
atan = elementwise(
    "atan",
    summary="Inverse tangent, in radians.",
    code="math.atan(x)",
    partials=lambda x, y: (1.0 / (x * x + 1.0),),
    rule="float",
    alias=Alias("atan", "arctan"),
    grad_name="AtanBackward0",
    probe=ANY,
)


def _atan2_slopes(u, v, y):
    radius = u * u + v * v
    inverse = where(radius == 0.0, 0.0, 1.0 / radius)
    return v * inverse, -u * inverse


atan2 = elementwise(
    "atan2",
    summary="Angle of the point (v, u), in radians.",
    code="math.atan2(u, v)",
    partials=_atan2_slopes,
    rule="float",
    alias=Alias("atan2", "arctan2"),
    grad_name="Atan2Backward0",
    note="Slopes (0, 0) at (0, 0), as in PyTorch.",
    probe=PAIRS_POSITIVE,
)
sinh = elementwise(
    "sinh",
    summary="Hyperbolic sine of each element.",
    code="math.sinh(x)",
    partials=lambda x, y: (cosh(x),),
    rule="float",
    alias=Alias("sinh", "sinh"),
    grad_name="SinhBackward0",
    probe=ANY,
)
cosh = elementwise(
    "cosh",
    summary="Hyperbolic cosine of each element.",
    code="math.cosh(x)",
    partials=lambda x, y: (sinh(x),),
    rule="float",
    alias=Alias("cosh", "cosh"),
    grad_name="CoshBackward0",
    probe=ANY,
)
tanh = elementwise(
    "tanh",
    summary="Hyperbolic tangent of each element; the result lies in [-1, 1].",
    code="math.tanh(x)",
    partials=lambda x, y: (1.0 - y * y,),
    rule="float",
    alias=Alias("tanh", "tanh"),
    grad_name="TanhBackward0",
    note="Slope comes from y, so x need not be kept; relative error 3e-10 at x = 8.",
    probe=ANY,
)
asinh = elementwise(
    "asinh",
    summary="Inverse hyperbolic sine of each element.",
    code="math.asinh(x)",
    partials=lambda x, y: (rsqrt(x * x + 1.0),),
    rule="float",
    alias=Alias("asinh", "arcsinh"),
    grad_name="AsinhBackward0",
    probe=ANY,
)
acosh = elementwise(
    "acosh",
    summary="Inverse hyperbolic cosine; NaN below 1.",
    code="math.acosh(x)",
    partials=lambda x, y: (rsqrt(x * x - 1.0),),
    rule="float",
    alias=Alias("acosh", "arccosh"),
    grad_name="AcoshBackward0",
    probe=Probe(domain=(1.2, 4.0), points=(1.0, 0.0, INF, NAN)),
)
atanh = elementwise(
    "atanh",
    summary="Inverse hyperbolic tangent; NaN outside [-1, 1].",
    code="math.atanh(x)",
    partials=lambda x, y: (1.0 / (1.0 - x * x),),
    rule="float",
    alias=Alias("atanh", "arctanh"),
    grad_name="AtanhBackward0",
    probe=UNIT,
)
erf = elementwise(
    "erf",
    summary="Error function of each element.",
    code="math.erf(x)",
    partials=lambda x, y: (2.0 / math.sqrt(math.pi) * exp(-(x * x)),),
    rule="float",
    alias=Alias("erf"),
    grad_name="ErfBackward0",
    probe=ANY,
)
erfc = elementwise(
    "erfc",
    summary="Complementary error function 1 - erf(x), exact for large x.",
    code="math.erfc(x)",
    partials=lambda x, y: (-2.0 / math.sqrt(math.pi) * exp(-(x * x)),),
    rule="float",
    alias=Alias("erfc"),
    grad_name="ErfcBackward0",
    probe=ANY,
)
hypot = elementwise(
    "hypot",
    summary="sqrt(u * u + v * v), broadcast together.",
    code="math.sqrt(u * u + v * v)",
    evaluate=np.hypot,
    partials=lambda u, v, y: (where(y == 0.0, 0.0, u / y), where(y == 0.0, 0.0, v / y)),
    rule="float",
    alias=Alias("hypot", "hypot"),
    grad_name="HypotBackward0",
    note="Slopes (0, 0) at (0, 0), where PyTorch has NaN; compiled, the squares may overflow.",
    probe=PAIRS_POSITIVE,
)

# ---------------------------------------------------------------- kinks, ties, steps


def indicator(condition, like):
    """1 where `condition` holds, else 0, in the dtype of `like`."""
    one = like.builder.literal(1, aval((), like.dtype))
    return where(condition, one, 0.0)


def _tie(lost, equal, like):
    half, one = (like.builder.literal(n, aval((), like.dtype)) for n in (0.5, 1.0))
    return where(lost, 0.0, where(equal, half, one))


step = elementwise(
    "step",
    summary="0 where an element is at most 0, else 1, also for NaN: the slope of relu.",
    code="0.0 if x <= 0.0 else 1.0",
    evaluate=lambda x: np.logical_not(x <= 0).astype(x.dtype)[()],
    partials=lambda x, y: (0.0,),
    probe=KINKED,
)
relu = elementwise(
    "relu",
    summary="Each element, or 0 where it is negative.",
    code="x if x > 0.0 or x != x else 0.0",
    evaluate=lambda x: np.maximum(x, x.dtype.type(0)),
    partials=lambda x, y: (step(y),),
    alias=Alias("relu"),
    grad_name="ReluBackward0",
    note="Slope 0 at 0 and 1 at NaN, as in PyTorch.",
    probe=KINKED,
)
maximum = elementwise(
    "maximum",
    summary="The larger of two elements; NaN if either is NaN.",
    code="u if u > v or u != u else v",
    partials=lambda u, v, y: (_tie(u < v, u == v, y), _tie(u > v, u == v, y)),
    alias=Alias("maximum", "maximum"),
    grad_name="MaximumBackward0",
    note="A tie is shared half and half; with a NaN both slopes are 1, as in PyTorch.",
    probe=PAIRS,
)
minimum = elementwise(
    "minimum",
    summary="The smaller of two elements; NaN if either is NaN.",
    code="u if u < v or u != u else v",
    partials=lambda u, v, y: (_tie(u > v, u == v, y), _tie(u < v, u == v, y)),
    alias=Alias("minimum", "minimum"),
    grad_name="MinimumBackward0",
    probe=PAIRS,
)
floor = elementwise(
    "floor",
    summary="The largest whole number not above each element.",
    code="math.floor(x)",
    partials=lambda x, y: (0.0,),
    alias=Alias("floor", "floor"),
    grad_name="FloorBackward0",
    probe=KINKED,
)
ceil = elementwise(
    "ceil",
    summary="The smallest whole number not below each element.",
    code="math.ceil(x)",
    partials=lambda x, y: (0.0,),
    alias=Alias("ceil", "ceil"),
    grad_name="CeilBackward0",
    probe=KINKED,
)
trunc = elementwise(
    "trunc",
    summary="Each element without its fraction.",
    code="math.trunc(x)",
    partials=lambda x, y: (0.0,),
    alias=Alias("trunc", "trunc"),
    grad_name="TruncBackward0",
    probe=KINKED,
)
round_ = elementwise(
    "round",
    summary="The nearest whole number, halves to even.",
    code="round(x)",
    evaluate=lambda x: np.rint(x) if x.dtype.kind == "f" else x,
    partials=lambda x, y: (0.0,),
    alias=Alias("round", "rint"),
    grad_name="RoundBackward0",
    probe=KINKED,
)


def _clamp_slopes(x, u, v, y):
    return (
        indicator((x >= u) & (x <= v), y),
        indicator((x < u) & (u < v), y),
        indicator((x > v) | (v < u), y),
    )


clamp = elementwise(
    "clamp",
    summary="Each element x brought into [u, v].",
    code="v if v < u else (u if x < u else (v if x > v else x))",
    evaluate=lambda x, u, v: np.minimum(np.maximum(x, u), v),
    partials=_clamp_slopes,
    grad_name="ClampBackward1",
    note="Slope 1 at both edges; where u > v the result is v, as in PyTorch.",
    probe=Probe(domain=((-3.0, 3.0), (-1.0, -0.5), (0.5, 1.0)), shapes=(((4,), (), ()),)),
)

# ---------------------------------------------------------------- selection and dtype

where = elementwise(
    "where",
    summary="u where the condition c holds, else v.",
    code="u if c else v",
    evaluate=lambda c, u, v: np.where(c, u, v)[()],
    rule="where",
    alias=Alias("where", "where"),
    grad_name="WhereBackward0",
    note="The sweep skips the branch not taken instead of multiplying by zero: NaN cannot leak.",
    probe=Probe(shapes=(((3,), (3,), (3,)), ((3, 1), (4,), ()))),
)
cast = operation(
    "cast",
    "cast",
    summary="The same numbers in another dtype.",
    infer=lambda avals, dtype: aval(avals[0].shape, dtypes.named(dtype)),
    evaluate=lambda x, dtype: np.asarray(x).astype(dtypes.named(dtype).dtype)[()],
    attributes=("dtype",),
    vjp=lambda gy, x, y, dtype: (gy,),
    linear=True,
    grad_name="ToCopyBackward0",
    probe=Probe(attrs=({"dtype": "float64"},)),
)
clone = operation(
    "clone",
    "copy",
    summary="A copy that shares no memory.",
    infer=lambda avals: avals[0],
    evaluate=lambda x: np.array(x, copy=True),
    vjp=lambda gy, x, y: (gy,),
    linear=True,
    alias=Alias("clone", "copy"),
    grad_name="CloneBackward0",
)


def _as(x, dtype):
    return x if x.dtype is dtype else cast(x, dtype=dtype.name)


copy_into = operation(
    "copy_into",
    "copy",
    summary="The second operand in the shape and dtype of the first (what x.copy_(v) writes).",
    infer=lambda avals: aval(broadcast("copy_", avals[0].shape, avals[1].shape), avals[0].dtype),
    evaluate=lambda x, v: np.broadcast_to(np.asarray(v), np.shape(x)).astype(x.dtype),
    vjp=lambda gy, x, v, y: (None, gy),
    jvp=lambda tangents, x, v, y: tangents[1],
    decompose=lambda x, v: expand(_as(v, x.dtype), shape=x.shape),
    rule="first",
    grad_name="CopyBackwards",
    probe=Probe(shapes=(((2, 3), (3,)),)),
)
detach = operation(
    "detach",
    "copy",
    summary="The same value, cut off from the derivative (on traces; eager tensors just share).",
    infer=lambda avals: avals[0],
    evaluate=lambda x: x,
)

# ---------------------------------------------------------------- comparison and logic

BOTH = Probe(shapes=PAIRS.shapes, points=(0.0, 1.0, NAN))


def _comparison(name, code, numpy_name):
    return elementwise(
        name,
        summary=f"{code}, elementwise.",
        code=code,
        rule="compare",
        alias=Alias(name, numpy_name, name),
        probe=BOTH,
    )


lt = _comparison("lt", "u < v", "less")
le = _comparison("le", "u <= v", "less_equal")
gt = _comparison("gt", "u > v", "greater")
ge = _comparison("ge", "u >= v", "greater_equal")
eq = _comparison("eq", "u == v", "equal")
ne = _comparison("ne", "u != v", "not_equal")

logical_and = elementwise(
    "logical_and",
    summary="True where both are nonzero.",
    code="u and v",
    rule="logical",
    alias=Alias("logical_and", "logical_and", "and"),
    probe=BOTH,
)
logical_or = elementwise(
    "logical_or",
    summary="True where at least one is nonzero.",
    code="u or v",
    rule="logical",
    alias=Alias("logical_or", "logical_or", "or"),
    probe=BOTH,
)
logical_xor = elementwise(
    "logical_xor",
    summary="True where exactly one is nonzero.",
    code="u != v",
    evaluate=np.logical_xor,
    rule="logical",
    alias=Alias("logical_xor", "logical_xor", "xor"),
    probe=BOTH,
)
logical_not = elementwise(
    "logical_not",
    summary="True where the element is zero.",
    code="not x",
    rule="logical",
    alias=Alias("logical_not", "logical_not", "invert"),
)


def _infer_bitwise(avals):
    dtype = avals[0].dtype
    if dtype.is_floating_point:
        raise DtypeError(
            "bitwise operators are only implemented on integer and Boolean-type tensors, got "
            f"{dtype}\n  try  .long(), or a comparison to get a mask"
        )
    return aval(broadcast("operands", *(a.shape for a in avals)), dtype)


def _bitwise(name, summary, function, probe=BOTH):
    """Integers only; kernels do not have them, so compiled programs call NumPy."""
    return operation(
        name,
        "bitwise",
        summary=summary,
        infer=_infer_bitwise,
        evaluate=function,
        rule="promote",
        alias=Alias(name, name),
        probe=probe,
    )


bitwise_and = _bitwise("bitwise_and", "The bits that both have.", np.bitwise_and)
bitwise_or = _bitwise("bitwise_or", "The bits that at least one has.", np.bitwise_or)
bitwise_xor = _bitwise("bitwise_xor", "The bits that exactly one has.", np.bitwise_xor)
bitwise_not = _bitwise("bitwise_not", "The bits that are not set.", np.bitwise_not, Probe())

isnan = elementwise(
    "isnan",
    summary="True where the element is NaN.",
    code="x != x",
    evaluate=np.isnan,
    rule="predicate",
    alias=Alias("isnan", "isnan"),
    probe=ANY,
)
isinf = elementwise(
    "isinf",
    summary="True where the element is infinite.",
    code="abs(x) == math.inf",
    evaluate=np.isinf,
    rule="predicate",
    alias=Alias("isinf", "isinf"),
    probe=ANY,
)
isfinite = elementwise(
    "isfinite",
    summary="True where the element is neither NaN nor infinite.",
    code="abs(x) < math.inf",
    evaluate=np.isfinite,
    rule="predicate",
    alias=Alias("isfinite", "isfinite"),
    probe=ANY,
)
