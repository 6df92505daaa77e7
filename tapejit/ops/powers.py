"""Powers and roots: a fixed exponent belongs to the structure (`power`), others are data."""

from __future__ import annotations

import numpy as np

from tapejit.families import elementwise
from tapejit.ops.complexes import real_of
from tapejit.ops.exponential import log
from tapejit.ops.probes import ANY, KINKED, NAN, PAIRS_POSITIVE, POSITIVE
from tapejit.ops.selection import where
from tapejit.registry import Alias, Probe

square = elementwise(
    "square",
    summary="x * x of each element.",
    code="x * x",
    partials=lambda x, y: (2.0 * x,),
    complex=True,
    alias=Alias("square", "square"),
    grad_name="PowBackward0",
    probe=ANY,
)


def _run_pow(u, v):
    if np.result_type(u, v) == np.bool_:
        return u | np.logical_not(v)  # NumPy's are int8
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
        where((u == 0.0) & (real_of(v) >= 0.0), 0.0, y * log(u)),
    ),
    complex=True,
    alias=Alias("pow", "power", "pow"),
    grad_name="PowBackward1",
    number_grad_names=("PowBackward2", "PowBackward0"),
    note="Slopes (0, 0) at (0, 0); a slope by v of 0 where u = 0 and v >= 0, as in PyTorch.",
    probe=PAIRS_POSITIVE,
)

# ---------------------------------------------------------------- fixed exponents

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


def polynomial(x, terms):
    """The sum of terms[k] * x**k on a Ref, by Horner's scheme; for slopes next to a zero."""
    total = terms[-1]
    for term in terms[-2::-1]:
        total = total * x + term
    return total


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
    complex=True,
    grad_name="PowBackward0",
    note="The exponent belongs to the structure: whole ones up to 16 become products.",
    probe=Probe(
        domain=(0.2, 3.0),
        points=(0.0, -1.0, NAN),
        attrs=tuple({"exponent": e} for e in (0, 1, 2, 3, 0.5, 1.5, -1, -2)),
    ),
)

# ---------------------------------------------------------------- roots

sqrt = elementwise(
    "sqrt",
    summary="Square root of each element; NaN below 0.",
    code="math.sqrt(x)",
    partials=lambda x, y: (0.5 / y,),
    rule="float",
    complex=True,
    alias=Alias("sqrt", "sqrt"),
    grad_name="SqrtBackward0",
    probe=POSITIVE,
    example="""
    >>> tj.sqrt(tj.tensor([4.0, 0.0, -1.0]))
    tensor([2., 0., nan])
    >>> tj.grad(tj.sqrt)(4.0)
    0.25
    """,
)
rsqrt = elementwise(
    "rsqrt",
    summary="1 / sqrt(x) of each element.",
    code="1.0 / math.sqrt(x)",
    partials=lambda x, y: (-0.5 * y * y * y,),
    rule="float",
    complex=True,
    alias=Alias("rsqrt"),
    grad_name="RsqrtBackward0",
    probe=POSITIVE,
    example="""
    >>> tj.rsqrt(tj.tensor([4.0, 0.0]))
    tensor([0.5000,    inf])
    """,
)
hypot = elementwise(
    "hypot",
    summary="sqrt(u * u + v * v) without overflow, broadcast together.",
    code="math.hypot(u, v)",
    partials=lambda u, v, y: (where(y == 0.0, 0.0, u / y), where(y == 0.0, 0.0, v / y)),
    rule="float",
    alias=Alias("hypot", "hypot"),
    grad_name="HypotBackward0",
    note="Slopes (0, 0) at (0, 0), where PyTorch has NaN.",
    probe=PAIRS_POSITIVE,
    example="""
    >>> tj.hypot(tj.tensor(3.0), 4.0)
    tensor(5.)
    >>> tj.grad(tj.hypot)(0.0, 0.0)
    0.0
    """,
)
cbrt = elementwise(
    "cbrt",
    summary="Cube root of each element, of negative ones too.",
    code="math.cbrt(x)",
    partials=lambda x, y: (1.0 / (3.0 * y * y),),
    rule="float",
    alias=Alias(None, "cbrt"),
    grad_name="CbrtBackward0",
    probe=KINKED,
    example="""
    >>> tj.cbrt(tj.tensor([0.5, -2.0, 0.0]))
    tensor([ 0.7937, -1.2599,  0.0000])
    """,
)
