"""Exponentials and logarithms, and what is made of them without overflow."""

from __future__ import annotations

import math

import numpy as np

from tapejit.families import elementwise
from tapejit.ops.probes import ANY, INF, NAN, PAIRS, PAIRS_POSITIVE, POSITIVE
from tapejit.ops.selection import where
from tapejit.registry import Alias, Probe

exp = elementwise(
    "exp",
    summary="e to the power of each element.",
    code="math.exp(x)",
    partials=lambda x, y: (y,),
    rule="float",
    complex=True,
    alias=Alias("exp", "exp"),
    grad_name="ExpBackward0",
    probe=ANY,
    example="""
    >>> tj.exp(tj.tensor([0.0, 1.0, 1000.0]))
    tensor([1.0000, 2.7183,    inf])
    """,
)
exp2 = elementwise(
    "exp2",
    summary="2 to the power of each element.",
    code="math.exp2(x)",
    partials=lambda x, y: (math.log(2.0) * y,),
    rule="float",
    complex=True,
    alias=Alias("exp2", "exp2"),
    grad_name="Exp2Backward0",
    probe=ANY,
    example="""
    >>> tj.exp2(tj.tensor([-1.0, 0.0, 3.0]))
    tensor([0.5000, 1.0000, 8.0000])
    """,
)
expm1 = elementwise(
    "expm1",
    summary="exp(x) - 1, exact for small x.",
    code="math.expm1(x)",
    partials=lambda x, y: (y + 1.0,),
    rule="float",
    complex=True,
    alias=Alias("expm1", "expm1"),
    grad_name="Expm1Backward0",
    probe=ANY,
    example="""
    >>> tj.expm1(tj.tensor(1e-10))
    tensor(1.0000e-10)
    >>> tj.exp(tj.tensor(1e-10)) - 1
    tensor(0.)
    """,
)
log = elementwise(
    "log",
    summary="Natural logarithm of each element; -inf at 0, NaN below.",
    code="math.log(x)",
    partials=lambda x, y: (1.0 / x,),
    rule="float",
    complex=True,
    alias=Alias("log", "log"),
    grad_name="LogBackward0",
    probe=POSITIVE,
    example="""
    >>> tj.log(tj.tensor([1.0, 0.0, -1.0]))
    tensor([0., -inf, nan])
    """,
)
log2 = elementwise(
    "log2",
    summary="Logarithm to base 2 of each element.",
    code="math.log2(x)",
    partials=lambda x, y: (1.0 / (x * math.log(2.0)),),
    rule="float",
    complex=True,
    alias=Alias("log2", "log2"),
    grad_name="Log2Backward0",
    probe=POSITIVE,
    example="""
    >>> tj.log2(tj.tensor([0.5, 1.0, 8.0]))
    tensor([-1.,  0.,  3.])
    """,
)
log10 = elementwise(
    "log10",
    summary="Logarithm to base 10 of each element.",
    code="math.log10(x)",
    partials=lambda x, y: (1.0 / (x * math.log(10.0)),),
    rule="float",
    complex=True,
    alias=Alias("log10", "log10"),
    grad_name="Log10Backward0",
    probe=POSITIVE,
    example="""
    >>> tj.log10(tj.tensor([1.0, 10.0, 0.5]))
    tensor([ 0.0000,  1.0000, -0.3010])
    """,
)
log1p = elementwise(
    "log1p",
    summary="log(1 + x), exact for small x.",
    code="math.log1p(x)",
    partials=lambda x, y: (1.0 / (x + 1.0),),
    rule="float",
    complex=True,
    alias=Alias("log1p", "log1p"),
    grad_name="Log1PBackward0",
    probe=Probe(domain=(-0.8, 3.0), points=(0.0, -1.0, -2.0, INF, NAN)),
    example="""
    >>> tj.log1p(tj.tensor(1e-10))
    tensor(1.0000e-10)
    >>> tj.log(1 + tj.tensor(1e-10))
    tensor(0.)
    """,
)

# ---------------------------------------------------------------- without overflow

sigmoid = elementwise(
    "sigmoid",
    summary="Logistic function 1 / (1 + exp(-x)) of each element.",
    code="1.0 / (1.0 + math.exp(-x))",
    partials=lambda x, y: (y * (1.0 - y),),
    rule="float",
    complex=True,
    alias=Alias("sigmoid"),
    grad_name="SigmoidBackward0",
    probe=ANY,
    example="""
    >>> tj.sigmoid(tj.tensor([-100.0, 0.0, 100.0]))
    tensor([0.0000, 0.5000, 1.0000])
    >>> tj.grad(tj.sigmoid)(0.0)
    0.25
    """,
)


def _shares(u, v):
    """exp(u - y) and exp(v - y); equal infinities, where both are NaN, share half and half."""
    alike = (u == v) & (abs(u) == math.inf)
    return where(alike, 0.5, sigmoid(u - v)), where(alike, 0.5, sigmoid(v - u))


logaddexp = elementwise(
    "logaddexp",
    summary="log(exp(u) + exp(v)) without overflow.",
    code="u + math.log(2.0) if u == v else (u if u > v else v) + math.log1p(math.exp(-abs(u - v)))",
    partials=lambda u, v, y: _shares(u, v),
    rule="float",
    alias=Alias("logaddexp", "logaddexp"),
    grad_name="LogaddexpBackward0",
    note="Equal infinities share the slope half and half, where PyTorch has NaN.",
    probe=PAIRS,
    example="""
    >>> tj.logaddexp(tj.tensor(1000.0), 1000.0)
    tensor(1000.6932)
    """,
)
logaddexp2 = elementwise(
    "logaddexp2",
    summary="log2(2**u + 2**v) without overflow.",
    code="u + 1.0 if u == v else "
    f"(u if u > v else v) + {1 / math.log(2.0)!r} * math.log1p(math.exp2(-abs(u - v)))",
    partials=lambda u, v, y: _shares(math.log(2.0) * u, math.log(2.0) * v),
    rule="float",
    alias=Alias("logaddexp2", "logaddexp2"),
    grad_name="Logaddexp2Backward0",
    note="Equal infinities share the slope half and half, where PyTorch has NaN.",
    probe=PAIRS,
    example="""
    >>> tj.logaddexp2(tj.tensor(1000.0), 1000.0)
    tensor(1001.)
    """,
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
    example="""
    >>> tj.softplus(tj.tensor([0.0, 100.0]))
    tensor([  0.6931, 100.0000])
    """,
)
logsigmoid = elementwise(
    "logsigmoid",
    summary="log(sigmoid(x)) of each element, without overflow.",
    code="-((-x if x < 0.0 else 0.0) + math.log1p(math.exp(-abs(x))))",
    evaluate=lambda x: -np.logaddexp(-x, x.dtype.type(0)),
    partials=lambda x, y: (sigmoid(-x),),
    rule="float",
    alias=Alias("logsigmoid"),
    grad_name="LogSigmoidBackward0",
    probe=ANY,
    example="""
    >>> tj.logsigmoid(tj.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """,
)
logit = elementwise(
    "logit",
    summary="log(x / (1 - x)), the inverse of sigmoid; NaN outside [0, 1].",
    code="2.0 * math.atanh(2.0 * x - 1.0) if abs(x - 0.5) < 0.25 else math.log(x / (1.0 - x))",
    partials=lambda x, y: (1.0 / (x * (1.0 - x)),),
    rule="float",
    alias=Alias("logit"),
    grad_name="LogitBackward0",
    note="Exact to a few ulp next to 1/2 too, where the quotient has lost the digits.",
    probe=Probe(domain=(0.05, 0.95), points=(0.0, 0.5, 1.0, -1.0, 2.0, NAN)),
    example="""
    >>> tj.logit(tj.tensor([0.0, 0.5, 0.75]))
    tensor([  -inf, 0.0000, 1.0986])
    """,
)

# ---------------------------------------------------------------- times a logarithm

xlogy = elementwise(
    "xlogy",
    summary="u * log(v), and 0 where u is 0, unless v is NaN.",
    code="0.0 if u == 0.0 and v == v else u * math.log(v)",
    partials=lambda u, v, y: (
        where((u == 0.0) & (v <= 0.0), 0.0, log(v)),
        where((u == 0.0) & (v == 0.0), 0.0, u / v),
    ),
    rule="float",
    alias=Alias("xlogy"),
    grad_name="XlogyBackward0",
    note="Slopes (0, 0) at (0, 0): PyTorch has (0, NaN), yet 0 * log(v) is 0 for every v.",
    probe=PAIRS_POSITIVE,
    example="""
    >>> tj.xlogy(tj.tensor([0.0, 2.0]), tj.tensor([0.0, 1.0]))
    tensor([0., 0.])
    """,
)
xlog1py = elementwise(
    "xlog1py",
    summary="u * log(1 + v), and 0 where u is 0, unless v is NaN.",
    code="0.0 if u == 0.0 and v == v else u * math.log1p(v)",
    partials=lambda u, v, y: (
        where((u == 0.0) & (v <= -1.0), 0.0, log1p(v)),
        where((u == 0.0) & (v == -1.0), 0.0, u / (v + 1.0)),
    ),
    rule="float",
    alias=Alias("special.xlog1py"),
    grad_name="SpecialXlog1PyBackward0",
    note="Slopes (0, 0) at (0, -1), where PyTorch has (0, NaN).",
    probe=PAIRS_POSITIVE,
    example="""
    >>> tj.special.xlog1py(tj.tensor([0.0, 2.0]), tj.tensor([-1.0, 0.0]))
    tensor([0., 0.])
    """,
)
entr = elementwise(
    "entr",
    summary="-x log(x), 0 at 0 and -inf below: what a probability adds to the entropy.",
    code="-math.inf if x < 0.0 else (0.0 if x == 0.0 else -(x * math.log(x)))",
    partials=lambda x, y: (where(x < 0.0, math.nan, -log(x) - 1.0),),
    rule="float",
    alias=Alias("special.entr"),
    grad_name="SpecialEntrBackward0",
    note="Slope inf at 0, which is the limit, and NaN below, as in PyTorch.",
    probe=POSITIVE,
    example="""
    >>> tj.special.entr(tj.tensor([0.0, 0.5, -1.0]))
    tensor([0.0000, 0.3466,   -inf])
    """,
)
