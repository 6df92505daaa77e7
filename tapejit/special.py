"""PyTorch's `special` namespace: functions of mathematical physics and statistics.

Functions take NumPy arrays too and answer in kind.  Most are records of `tapejit.ops`, published
at top level as well or, under a name like "special.entr", here alone; those written out below are
library calls and compositions.  Names that only SciPy has (betaln, erfcinv, ...) are SciPy's.
"""

from __future__ import annotations

import math
from typing import Any

from tapejit.errors import ArgumentError
from tapejit.registry import OPS
from tapejit.tensor.arithmetic import IN_SPACES, in_kind
from tapejit.tensor.core import Tensor, apply
from tapejit.tensor.docstrings import described
from tapejit.tensor.front import FUNCTIONS, export, method, named, offered

_HERE = (
    "beta", "betaln", "erfcinv", "expit", "gammainc", "gammaincc", "gammaln", "modified_bessel_i0",
    "modified_bessel_i1", "multigammaln",
    "polygamma", "psi", "zeta",
)  # fmt: skip
_SAME = (
    "digamma", "erf", "erfc", "erfinv", "exp2", "expm1", "i0", "log1p", "log_softmax", "logit",
    "logsumexp", "round", "sinc", "softmax", "xlogy",
)  # fmt: skip
__all__: list[str] = [*_HERE, *_SAME, *IN_SPACES["special"]]

globals().update({name: FUNCTIONS[name] for name in _SAME} | IN_SPACES["special"])
expit = FUNCTIONS["sigmoid"]
gammaln = FUNCTIONS["lgamma"]
psi = FUNCTIONS["digamma"]
modified_bessel_i0 = FUNCTIONS["i0"]
modified_bessel_i1 = IN_SPACES["special"]["i1"]


# ---------------------------------------------------------------- computed by the library


def _of_two(name):
    """A function of two operands from a record that has no kernel."""

    def function(input, other) -> Tensor:
        return apply(OPS[name], (input, other))

    return described(function, OPS[name])


beta, betaln, zeta = (offered()(_of_two(name)) for name in ("beta", "betaln", "zeta"))
gammainc = offered()(export("igamma")(_of_two("gammainc")))
gammaincc = offered()(export("igammac")(_of_two("gammaincc")))
erfcinv = in_kind(OPS["erfcinv"])


# ---------------------------------------------------------------- compositions


def polygamma(n, input) -> Any:
    """The derivative of order n of digamma.

    >>> import tapejit as tj
    >>> tj.special.polygamma(1, tj.tensor(1.0))  # pi**2 / 6
    tensor(1.6449)
    """
    if not isinstance(n, int) or n < 0:
        raise ArgumentError(f"polygamma(n, x) does not support negative n.\n  got  {n!r}")
    return psi(input) if n == 0 else _of_order(input, n)


@offered()
def _of_order(input, n):
    result = apply(OPS["trigamma"], (input,)) if n == 1 else apply(OPS["polygamma"], (input,), (n,))
    return named(result, "PolygammaBackward0")


@method("polygamma")
def _polygamma_method(input, n) -> Tensor:
    """The derivative of order n of digamma.

    >>> import tapejit as tj
    >>> tj.tensor(1.0).polygamma(1)
    tensor(1.6449)
    """
    return polygamma(n, input)


FUNCTIONS["polygamma"] = polygamma


@offered()
@export("mvlgamma")
def multigammaln(input, p) -> Tensor:
    """Logarithm of the gamma function of dimension p.

    >>> import tapejit as tj
    >>> tj.special.multigammaln(tj.tensor([2.0, 5.0]), 2)
    tensor([0.4516, 6.2042])
    """
    result = input.lgamma() + 0.25 * p * (p - 1) * math.log(math.pi)
    for k in range(1, p):
        result = result + (input - 0.5 * k).lgamma()
    return result
