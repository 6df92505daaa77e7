"""Special functions with loops of their own (ops/loops/elements.py): series and fractions, which
do not fuse.  Small arrays outside a compiled program take SciPy's.  Slopes are in closed form
where there is one.

A slope that does not exist in closed form is `Refused`: asking for it raises NotDifferentiable,
asking for the others does not.  What has vector code of its own is in ops/special.py.
"""

from __future__ import annotations

import math

from tapejit import library
from tapejit.families import broadcast_alike, operation
from tapejit.ops.exponential import exp, log, xlogy
from tapejit.ops.loops import beta as beta_loops
from tapejit.ops.loops import incomplete_gamma
from tapejit.ops.loops import zeta as zeta_loops
from tapejit.ops.loops.elements import of_elements
from tapejit.ops.probes import PAIRS
from tapejit.ops.selection import where
from tapejit.ops.special import digamma, lgamma
from tapejit.registry import Alias, Probe, Refused

_SHAPES = PAIRS.shapes

# ---------------------------------------------------------------- zeta and polygamma

zeta = operation(
    "zeta",
    "library",
    summary="Hurwitz zeta function, the sum of (k + q)**-s over k >= 0, of s and q.",
    infer=broadcast_alike("zeta"),
    evaluate=library.zeta,
    loop=of_elements(zeta_loops.zetas, 150.0),
    partials=lambda s, q, y: (
        Refused("its slope in the exponent has no closed form; only that in q is known"),
        -s * zeta(s + 1.0, q),
    ),
    rule="float",
    alias=Alias("special.zeta"),
    grad_name="SpecialZetaBackward0",
    note="Differentiable in q only, which PyTorch's is not at all.",
    probe=Probe(domain=((1.5, 4.0), (0.5, 4.0)), shapes=_SHAPES, slopes=(1,)),
    example="""
    >>> tj.special.zeta(tj.tensor(2.0), tj.tensor(1.0))  # pi**2 / 6
    tensor(1.6449)
    """,
)
polygamma = operation(
    "polygamma",
    "library",
    summary="The derivative of order n of digamma.",
    infer=broadcast_alike("polygamma"),
    evaluate=library.polygamma,
    loop=of_elements(zeta_loops.polygammas, 150.0, orders=True),
    attributes=("n",),
    partials=lambda x, y, n: (polygamma(x, n=n + 1),),
    rule="float",
    grad_name="PolygammaBackward0",
    probe=Probe(domain=(0.8, 4.0), attrs=({"n": 2}, {"n": 3}), tolerance=1e-5),
)

# ---------------------------------------------------------------- incomplete gamma functions


def _density(a, x):
    """x**(a - 1) exp(-x) / gamma(a): the slope of gammainc in x."""
    return where(x == math.inf, 0.0, exp(xlogy(a - 1.0, x) - x - lgamma(a)))


gammainc_slope = operation(
    "gammainc_slope",
    "library",
    summary="Derivative of the regularised lower incomplete gamma function in its first operand.",
    infer=broadcast_alike("gammainc_slope"),
    evaluate=library.gammainc_slope,
    loop=of_elements(incomplete_gamma.lower_slopes, 300.0),
    partials=lambda a, x, y: (
        Refused("its second slope in a is not known; differentiate once in a, or in x"),
        _density(a, x) * (log(x) - digamma(a)),
    ),
    rule="float",
    probe=Probe(domain=((0.5, 4.0), (0.5, 4.0)), shapes=_SHAPES, slopes=(1,)),
    source="Moore 1982 (series and continued fraction, differentiated term by term)",
)
gammainc = operation(
    "gammainc",
    "library",
    summary="Regularised lower incomplete gamma function P(a, x).",
    infer=broadcast_alike("gammainc"),
    evaluate=library.special("gammainc"),
    loop=of_elements(incomplete_gamma.lower_gammas, 150.0),
    partials=lambda a, x, y: (gammainc_slope(a, x), _density(a, x)),
    rule="float",
    alias=Alias("special.gammainc"),
    grad_name="IgammaBackward0",
    note="Differentiable in a too, once; PyTorch's is not.",
    probe=Probe(domain=((0.5, 4.0), (0.5, 4.0)), shapes=_SHAPES, slopes=(1,)),
    example="""
    >>> tj.special.gammainc(tj.tensor(2.0), tj.tensor(3.0))
    tensor(0.8009)
    """,
)
gammaincc = operation(
    "gammaincc",
    "library",
    summary="Regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x).",
    infer=broadcast_alike("gammaincc"),
    evaluate=library.special("gammaincc"),
    loop=of_elements(incomplete_gamma.upper_gammas, 150.0),
    partials=lambda a, x, y: (-gammainc_slope(a, x), -_density(a, x)),
    rule="float",
    alias=Alias("special.gammaincc"),
    grad_name="IgammacBackward0",
    note="Differentiable in a too, once; PyTorch's is not.",
    probe=Probe(domain=((0.5, 4.0), (0.5, 4.0)), shapes=_SHAPES, slopes=(1,)),
    example="""
    >>> tj.special.gammaincc(tj.tensor(2.0), tj.tensor(3.0))
    tensor(0.1991)
    """,
)

# ---------------------------------------------------------------- beta

betaln = operation(
    "betaln",
    "library",
    summary="Logarithm of the absolute value of the beta function of two operands.",
    infer=broadcast_alike("betaln"),
    evaluate=library.special("betaln"),
    loop=of_elements(beta_loops.log_betas, 60.0),
    partials=lambda a, b, y: (digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)),
    rule="float",
    example="""
    >>> tj.special.betaln(tj.tensor(1e8), tj.tensor(2.0))
    tensor(-36.8414)
    """,
    note="Not lgamma(a) + lgamma(b) - lgamma(a + b), which loses all digits of a large a.",
    probe=Probe(domain=(0.5, 4.0), shapes=_SHAPES),
)
beta = operation(
    "beta",
    "library",
    summary="The beta function of two operands, gamma(a) gamma(b) / gamma(a + b).",
    infer=broadcast_alike("beta"),
    evaluate=library.special("beta"),
    loop=of_elements(beta_loops.betas, 80.0),
    partials=lambda a, b, y: (
        y * (digamma(a) - digamma(a + b)),
        y * (digamma(b) - digamma(a + b)),
    ),
    rule="float",
    probe=Probe(domain=(0.5, 4.0), shapes=_SHAPES),
    example="""
    >>> tj.special.beta(tj.tensor(2.0), tj.tensor(3.0))  # 1 / 12
    tensor(0.0833)
    """,
)
