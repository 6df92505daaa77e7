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
