"""Special functions: error, gamma and Bessel functions.

Each has vector code of its own (codegen/vectormath) and fuses.  What SciPy computes for us is in
ops/library.py.
"""

from __future__ import annotations

import math

from tapejit.families import elementwise
from tapejit.ops.arithmetic import sign
from tapejit.ops.exponential import exp
from tapejit.ops.powers import polynomial
from tapejit.ops.probes import ANY, INF, NAN
from tapejit.ops.selection import where
from tapejit.registry import OPS, Alias, Probe

# ---------------------------------------------------------------- error functions

erf = elementwise(
    "erf",
    summary="Error function of each element.",
    code="math.erf(x)",
    partials=lambda x, y: (2.0 / math.sqrt(math.pi) * exp(-(x * x)),),
    rule="float",
    alias=Alias("erf"),
    grad_name="ErfBackward0",
    probe=ANY,
    example="""
    >>> tj.erf(tj.tensor([0.0, 0.5, 5.0]))
    tensor([0.0000, 0.5205, 1.0000])
    >>> tj.grad(tj.erf)(0.0)
    1.1283791670955126
    """,
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
    example="""
    >>> tj.erfc(tj.tensor(6.0))
    tensor(2.1520e-17)
    >>> 1 - tj.erf(tj.tensor(6.0))
    tensor(0.)
    """,
)
# erfcx'(x) = -1/(sqrt(pi) x x) times the sum of (-1)^k (2k + 1)!! / (2 x x)^k
_ERFCX_FAR = tuple((-1) ** k * float(math.prod(range(1, 2 * k + 2, 2))) for k in range(8))


def _erfcx_slope(x, y):
    """2 x y - 2/sqrt(pi), whose digits cancel for large x: there the asymptotic series."""
    near = 2.0 * x * y - 2.0 / math.sqrt(math.pi)
    z = 0.5 / (x * x)
    return where(x > 30.0, -2.0 / math.sqrt(math.pi) * z * polynomial(z, _ERFCX_FAR), near)


erfcx = elementwise(
    "erfcx",
    summary="exp(x * x) * erfc(x), which neither overflows nor vanishes for large x.",
    code="math.erfcx(x)",
    partials=lambda x, y: (_erfcx_slope(x, y),),
    rule="float",
    alias=Alias("special.erfcx"),
    grad_name="SpecialErfcxBackward0",
    probe=ANY,
    example="""
    >>> tj.special.erfcx(tj.tensor([0.0, 100.0]))
    tensor([1.0000, 0.0056])
    """,
)
erfinv = elementwise(
    "erfinv",
    summary="The x whose error function is the element; infinite at -1 and 1, NaN beyond.",
    code="math.erfinv(x)",
    partials=lambda x, y: (math.sqrt(math.pi) / 2.0 * exp(y * y),),
    rule="float",
    alias=Alias("erfinv"),
    grad_name="ErfinvBackward0",
    probe=Probe(domain=(-0.9, 0.9), points=(0.0, -0.0, 1.0, -1.0, 2.0, NAN)),
    source="Giles 2010",
    example="""
    >>> tj.erfinv(tj.tensor([0.0, 0.5, -1.0]))
    tensor([0.0000, 0.4769,   -inf])
    """,
)
erfcinv = elementwise(
    "erfcinv",
    summary="The x whose complementary error function is the element, exact down to 0.",
    code="math.erfcinv(x)",
    partials=lambda x, y: (-math.sqrt(math.pi) / 2.0 * exp(y * y),),
    rule="float",
    grad_name="ErfcinvBackward0",
    probe=Probe(domain=(0.05, 1.95), points=(0.0, 1.0, 2.0, -1.0, 3.0, NAN)),
    example="""
    >>> tj.special.erfcinv(tj.tensor([1.0, 1e-30]))
    tensor([0.0000, 8.1486])
    """,
)

# ---------------------------------------------------------------- normal distribution

_ROOT = repr(math.sqrt(0.5))
_COARSE = "(0.0625 * math.floor(16.0 * x))"  # its square is exact
_REST = f"((x - {_COARSE}) * (x + {_COARSE}))"
_NORMAL = f"math.exp(-0.5 * ({_COARSE} * {_COARSE})) * math.exp(-0.5 * {_REST})"
"""exp(-x * x / 2) to a few ulp, however large the square."""

ndtr = elementwise(
    "ndtr",
    summary="Distribution function of the normal distribution, exact to a few ulp in its tails.",
    code=f"0.5 * math.erfc(-x * {_ROOT}) if x > -1.0 or x < -38.5 else "
    f"0.5 * math.erfcx(-x * {_ROOT}) * {_NORMAL}",
    partials=lambda x, y: (1.0 / math.sqrt(2.0 * math.pi) * exp(-0.5 * (x * x)),),
    rule="float",
    alias=Alias("special.ndtr"),
    grad_name="SpecialNdtrBackward0",
    probe=ANY,
    example="""
    >>> tj.special.ndtr(tj.tensor([-1.96, 0.0, 1.96]))
    tensor([0.0250, 0.5000, 0.9750])
    """,
)
log_ndtr = elementwise(
    "log_ndtr",
    summary="Logarithm of ndtr, right where ndtr itself is 0.",
    code=f"math.log(0.5 * math.erfcx(-x * {_ROOT})) - 0.5 * x * x if x < -1.0 else "
    f"math.log1p(-0.5 * math.erfc(x * {_ROOT}) if x < 1.0 or x > 38.5 else "
    f"-0.5 * math.erfcx(x * {_ROOT}) * {_NORMAL})",
    partials=lambda x, y: (math.sqrt(2.0 / math.pi) / erfcx(x * -math.sqrt(0.5)),),
    rule="float",
    alias=Alias("special.log_ndtr"),
    grad_name="SpecialLogNdtrBackward0",
    probe=ANY,
    example="""
    >>> tj.special.log_ndtr(tj.tensor([-100.0, 0.0]))
    tensor([-5.0055e+03, -6.9315e-01])
    """,
)
ndtri = elementwise(
    "ndtri",
    summary="The x at which ndtr is the element; infinite at 0 and 1, NaN beyond.",
    code=f"0.0 - {math.sqrt(2.0)!r} * math.erfcinv(2.0 * x)",
    partials=lambda x, y: (math.sqrt(2.0 * math.pi) * exp(0.5 * (y * y)),),
    rule="float",
    alias=Alias("special.ndtri"),
    grad_name="SpecialNdtriBackward0",
    probe=Probe(domain=(0.05, 0.95), points=(0.0, 0.5, 1.0, -1.0, 2.0, NAN)),
    example="""
    >>> tj.special.ndtri(tj.tensor([0.025, 0.5, 1.0]))
    tensor([-1.9600,  0.0000,     inf])
    """,
)

# ---------------------------------------------------------------- gamma functions

lgamma = elementwise(
    "lgamma",
    summary="Logarithm of the absolute value of the gamma function of each element.",
    code="math.lgamma(x)",
    partials=lambda x, y: (digamma(x),),
    rule="float",
    alias=Alias("lgamma"),
    grad_name="LgammaBackward0",
    probe=Probe(domain=(0.2, 6.0), points=(0.0, -0.0, -1.0, 1.0, 2.0, INF, NAN)),
    note="The relative error is small next to the zeros 1 and 2 too.",
    source="Hare 1997",
    example="""
    >>> tj.lgamma(tj.tensor([1.0, 5.0, 0.0]))  # log(4!) = 3.1781
    tensor([0.0000, 3.1781,    inf])
    """,
)
digamma = elementwise(
    "digamma",
    summary="Derivative of lgamma: the logarithmic derivative of the gamma function.",
    code="math.digamma(x)",
    partials=lambda x, y: (trigamma(x),),
    rule="float",
    alias=Alias("digamma"),
    grad_name="DigammaBackward0",
    probe=Probe(domain=(0.2, 6.0), points=(0.0, -0.0, -1.0, 1.0, INF, NAN)),
    note="-inf at 0, inf at -0.0 and NaN at the other poles, as in PyTorch.",
    example="""
    >>> tj.digamma(tj.tensor([1.0, 0.5]))
    tensor([-0.5772, -1.9635])
    """,
)
trigamma = elementwise(
    "trigamma",
    summary="Derivative of digamma, polygamma(1, x).",
    code="math.trigamma(x)",
    # the record that follows it is declared later, in ops/library.py
    partials=lambda x, y: (OPS["polygamma"](x, n=2),),
    rule="float",
    grad_name="PolygammaBackward0",
    probe=Probe(domain=(0.2, 6.0), points=(0.0, -1.0, 1.0, INF, NAN), tolerance=1e-5),
)

# ---------------------------------------------------------------- Bessel functions

# J1'(x) and I1'(x) / 1 as series in -x*x and x*x: (2k + 1) / (2^(2k+1) k! (k+1)!)
_SERIES = tuple(
    (2 * k + 1) / (2 ** (2 * k + 1) * math.factorial(k) * math.factorial(k + 1)) for k in range(7)
)


def _next_to_zero(x, z, formula, factor=1.0):
    """A slope f0 - f1/x, whose digits cancel near 0: there the series, smooth at any order."""
    return where(abs(x) < 0.25, polynomial(z, _SERIES) * factor, formula)


i0 = elementwise(
    "i0",
    summary="Modified Bessel function of the first kind, order 0.",
    code="math.bessel_i0(x)",
    partials=lambda x, y: (i1(x),),
    rule="float",
    alias=Alias("i0", "i0"),
    grad_name="I0Backward0",
    probe=ANY,
    example="""
    >>> tj.i0(tj.tensor([0.0, 1.0]))
    tensor([1.0000, 1.2661])
    """,
)
i1 = elementwise(
    "i1",
    summary="Modified Bessel function of the first kind, order 1.",
    code="math.bessel_i1(x)",
    partials=lambda x, y: (_next_to_zero(x, x * x, i0(x) - y / x),),
    rule="float",
    alias=Alias("special.i1"),
    grad_name="SpecialI1Backward0",
    probe=ANY,
    example="""
    >>> tj.special.i1(tj.tensor([0.0, 1.0]))
    tensor([0.0000, 0.5652])
    >>> tj.grad(tj.special.i1)(0.0)
    0.5
    """,
)
i0e = elementwise(
    "i0e",
    summary="exp(-|x|) times i0, which does not overflow.",
    code="math.bessel_i0e(x)",
    partials=lambda x, y: (i1e(x) - sign(x) * y,),
    rule="float",
    alias=Alias("special.i0e"),
    grad_name="SpecialI0EBackward0",
    note="Slope 0 at the kink in 0, as in PyTorch.",
    probe=ANY._replace(domain=(0.1, 3.0)),
    example="""
    >>> tj.special.i0e(tj.tensor([0.0, 1000.0]))
    tensor([1.0000, 0.0126])
    """,
)
i1e = elementwise(
    "i1e",
    summary="exp(-|x|) times i1, which does not overflow.",
    code="math.bessel_i1e(x)",
    partials=lambda x, y: (_next_to_zero(x, x * x, i0e(x) - y / x, exp(-abs(x))) - sign(x) * y,),
    rule="float",
    alias=Alias("special.i1e"),
    grad_name="SpecialI1EBackward0",
    probe=ANY._replace(domain=(0.1, 3.0)),
    example="""
    >>> tj.special.i1e(tj.tensor([0.0, 1000.0]))
    tensor([0.0000, 0.0126])
    """,
)
j0 = elementwise(
    "j0",
    summary="Bessel function of the first kind, order 0.",
    code="math.bessel_j0(x)",
    partials=lambda x, y: (-j1(x),),
    rule="float",
    alias=Alias("special.bessel_j0"),
    grad_name="SpecialBesselJ0Backward0",
    note="Differentiable at any order, which PyTorch's is not.",
    probe=ANY,
    example="""
    >>> tj.special.bessel_j0(tj.tensor([0.0, 1.0]))
    tensor([1.0000, 0.7652])
    """,
)
j1 = elementwise(
    "j1",
    summary="Bessel function of the first kind, order 1.",
    code="math.bessel_j1(x)",
    partials=lambda x, y: (_next_to_zero(x, -(x * x), j0(x) - y / x),),
    rule="float",
    alias=Alias("special.bessel_j1"),
    grad_name="SpecialBesselJ1Backward0",
    note="Differentiable at any order, which PyTorch's is not.",
    probe=ANY,
    example="""
    >>> tj.special.bessel_j1(tj.tensor([0.0, 1.0]))
    tensor([0.0000, 0.4401])
    """,
)
