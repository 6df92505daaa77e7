"""Special functions: the error function and its complement."""

from __future__ import annotations

import math

from tapejit.families import elementwise
from tapejit.ops.exponential import exp
from tapejit.ops.probes import ANY
from tapejit.registry import Alias

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
