"""Exponentials and logarithms, and what is made of them without overflow."""

from __future__ import annotations

import math

import numpy as np

from tapejit.families import elementwise
from tapejit.ops.probes import ANY, INF, NAN, PAIRS, POSITIVE
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

logaddexp = elementwise(
    "logaddexp",
    summary="log(exp(u) + exp(v)) without overflow.",
    code="u + math.log(2.0) if u == v else (u if u > v else v) + math.log1p(math.exp(-abs(u - v)))",
    partials=lambda u, v, y: (exp(u - y), exp(v - y)),
    rule="float",
    alias=Alias("logaddexp", "logaddexp"),
    grad_name="LogaddexpBackward0",
    probe=PAIRS,
    example="""
    >>> tj.logaddexp(tj.tensor(1000.0), 1000.0)
    tensor(1000.6932)
    """,
)
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
