"""Comparisons, logic, bits, and questions about one number; none has a slope."""

from __future__ import annotations

import numpy as np

from tapejit.errors import DtypeError
from tapejit.families import elementwise, operation
from tapejit.ops.probes import ANY, BOTH
from tapejit.registry import Alias, Probe
from tapejit.shapes import aval, broadcast


def _comparison(name, code, numpy_name, result):
    return elementwise(
        name,
        summary=f"{code}, elementwise.",
        code=code,
        rule="compare",
        complex=name in ("eq", "ne"),
        alias=Alias(name, numpy_name, name),
        probe=BOTH,
        example=f"""
        >>> tj.{name}(tj.tensor([1.0, 2.0, 3.0, float("nan")]), 2.0)
        tensor({result})
        """,
    )


lt = _comparison("lt", "u < v", "less", "[ True, False, False, False]")
le = _comparison("le", "u <= v", "less_equal", "[ True,  True, False, False]")
gt = _comparison("gt", "u > v", "greater", "[False, False,  True, False]")
ge = _comparison("ge", "u >= v", "greater_equal", "[False,  True,  True, False]")
eq = _comparison("eq", "u == v", "equal", "[False,  True, False, False]")
ne = _comparison("ne", "u != v", "not_equal", "[ True, False,  True,  True]")

# ---------------------------------------------------------------- logic

logical_and = elementwise(
    "logical_and",
    summary="True where both are nonzero.",
    code="u and v",
    rule="logical",
    complex=True,
    alias=Alias("logical_and", "logical_and", "and"),
    probe=BOTH,
    example="""
    >>> tj.logical_and(tj.tensor([0, 1, 2]), tj.tensor([1, 1, 0]))
    tensor([False,  True, False])
    """,
)
logical_or = elementwise(
    "logical_or",
    summary="True where at least one is nonzero.",
    code="u or v",
    rule="logical",
    complex=True,
    alias=Alias("logical_or", "logical_or", "or"),
    probe=BOTH,
    example="""
    >>> tj.logical_or(tj.tensor([0, 1, 0]), tj.tensor([1, 1, 0]))
    tensor([ True,  True, False])
    """,
)
logical_xor = elementwise(
    "logical_xor",
    summary="True where exactly one is nonzero.",
    code="u != v",
    evaluate=np.logical_xor,
    rule="logical",
    complex=True,
    alias=Alias("logical_xor", "logical_xor", "xor"),
    probe=BOTH,
    example="""
    >>> tj.logical_xor(tj.tensor([0, 1, 2]), tj.tensor([1, 1, 0]))
    tensor([ True, False,  True])
    """,
)
logical_not = elementwise(
    "logical_not",
    summary="True where the element is zero.",
    code="not x",
    rule="logical",
    complex=True,
    alias=Alias("logical_not", "logical_not", "invert"),
    example="""
    >>> tj.logical_not(tj.tensor([0.0, 1.0, float("nan")]))
    tensor([ True, False, False])
    """,
)

# ---------------------------------------------------------------- bits


def _infer_bitwise(avals):
    dtype = avals[0].dtype
    if dtype.is_floating_point:
        raise DtypeError(
            "bitwise operators are only implemented on integer and Boolean-type tensors, got "
            f"{dtype}\n  try  .long(), or a comparison to get a mask"
        )
    return aval(broadcast("operands", *(a.shape for a in avals)), dtype)


def _bitwise(name, summary, function, example, probe=BOTH):
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
        example=example,
    )


bitwise_and = _bitwise(
    "bitwise_and",
    "The bits that both have.",
    np.bitwise_and,
    """
    >>> tj.bitwise_and(tj.tensor([0b1100, 0b1010]), 0b0110)
    tensor([4, 2])
    """,
)
bitwise_or = _bitwise(
    "bitwise_or",
    "The bits that at least one has.",
    np.bitwise_or,
    """
    >>> tj.bitwise_or(tj.tensor([0b1100, 0b1010]), 0b0110)
    tensor([14, 14])
    """,
)
bitwise_xor = _bitwise(
    "bitwise_xor",
    "The bits that exactly one has.",
    np.bitwise_xor,
    """
    >>> tj.bitwise_xor(tj.tensor([0b1100, 0b1010]), 0b0110)
    tensor([10, 12])
    """,
)
bitwise_not = _bitwise(
    "bitwise_not",
    "The bits that are not set.",
    np.bitwise_not,
    """
    >>> tj.bitwise_not(tj.tensor([0, 5])), tj.bitwise_not(tj.tensor([True, False]))
    (tensor([-1, -6]), tensor([False,  True]))
    """,
    Probe(),
)

# ---------------------------------------------------------------- one number

isnan = elementwise(
    "isnan",
    summary="True where the element is NaN.",
    code="x != x",
    evaluate=np.isnan,
    rule="predicate",
    complex=True,
    alias=Alias("isnan", "isnan"),
    probe=ANY,
    example="""
    >>> tj.isnan(tj.tensor([1.0, float("nan"), float("inf")]))
    tensor([False,  True, False])
    """,
)
isinf = elementwise(
    "isinf",
    summary="True where the element is infinite.",
    code="abs(x) == math.inf",
    evaluate=np.isinf,
    rule="predicate",
    complex=True,
    alias=Alias("isinf", "isinf"),
    probe=ANY,
    example="""
    >>> tj.isinf(tj.tensor([1.0, float("nan"), -float("inf")]))
    tensor([False, False,  True])
    """,
)
isfinite = elementwise(
    "isfinite",
    summary="True where the element is neither NaN nor infinite.",
    code="abs(x) < math.inf",
    evaluate=np.isfinite,
    rule="predicate",
    complex=True,
    alias=Alias("isfinite", "isfinite"),
    probe=ANY,
    example="""
    >>> tj.isfinite(tj.tensor([1.0, float("nan"), float("inf")]))
    tensor([ True, False, False])
    """,
)
