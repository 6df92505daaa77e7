"""Choosing between values: where, maximum and minimum, clamp, relu.

Slopes at kinks and ties follow PyTorch: relu'(0) = 0, clamp passes 1 at both edges, a tie of
maximum or minimum is shared half and half.
"""

from __future__ import annotations

import numpy as np

from tapejit.families import elementwise
from tapejit.ops.probes import KINKED, PAIRS, PAIRS_POSITIVE
from tapejit.registry import Alias, Probe
from tapejit.shapes import aval

where = elementwise(
    "where",
    summary="u where the condition c holds, else v.",
    code="u if c else v",
    evaluate=lambda c, u, v: np.where(c, u, v)[()],
    rule="where",
    complex=True,
    alias=Alias("where", "where"),
    grad_name="WhereBackward0",
    note="The sweep skips the branch not taken instead of multiplying by zero: NaN cannot leak.",
    probe=Probe(shapes=(((3,), (3,), (3,)), ((3, 1), (4,), ()))),
)


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
    example="""
    >>> tj.relu(tj.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    >>> tj.grad(tj.relu)(0.0)
    0.0
    """,
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
    example="""
    >>> tj.maximum(tj.tensor([1.0, 3.0, float("nan")]), 2.0)
    tensor([2., 3., nan])
    >>> tj.grad(tj.maximum)(1.0, 1.0)  # a tie
    0.5
    """,
)
minimum = elementwise(
    "minimum",
    summary="The smaller of two elements; NaN if either is NaN.",
    code="u if u < v or u != u else v",
    partials=lambda u, v, y: (_tie(u > v, u == v, y), _tie(u < v, u == v, y)),
    alias=Alias("minimum", "minimum"),
    grad_name="MinimumBackward0",
    probe=PAIRS,
    example="""
    >>> tj.minimum(tj.tensor([1.0, 3.0, float("nan")]), 2.0)
    tensor([1., 2., nan])
    >>> tj.grad(tj.minimum)(1.0, 1.0)  # a tie
    0.5
    """,
)


fmax = elementwise(
    "fmax",
    summary="The larger of two elements; the other one if one is NaN.",
    code="u if u >= v or v != v else v",
    evaluate=lambda u, v: np.where((u >= v) | (v != v), u, v)[()],
    partials=lambda u, v, y: (
        indicator((u >= v) | (v != v), y),
        indicator(((u >= v) | (v != v)) == 0, y),
    ),
    alias=Alias("fmax", "fmax"),
    grad_name="FmaxBackward0",
    note="A tie goes to the first, as in PyTorch.",
    probe=PAIRS,
    example="""
    >>> tj.fmax(tj.tensor([1.0, 3.0, float("nan")]), 2.0)
    tensor([2., 3., 2.])
    """,
)
fmin = elementwise(
    "fmin",
    summary="The smaller of two elements; the other one if one is NaN.",
    code="u if u <= v or v != v else v",
    evaluate=lambda u, v: np.where((u <= v) | (v != v), u, v)[()],
    partials=lambda u, v, y: (
        indicator((u <= v) | (v != v), y),
        indicator(((u <= v) | (v != v)) == 0, y),
    ),
    alias=Alias("fmin", "fmin"),
    grad_name="FminBackward0",
    note="A tie goes to the first, as in PyTorch.",
    probe=PAIRS,
    example="""
    >>> tj.fmin(tj.tensor([1.0, 3.0, float("nan")]), 2.0)
    tensor([1., 2., 2.])
    """,
)
heaviside = elementwise(
    "heaviside",
    summary="0 for a negative element, 1 for a positive one, and the second operand at 0.",
    code="v if u == 0.0 else (1.0 if u > 0.0 else 0.0)",
    evaluate=lambda u, v: np.where(u == 0, v, (u > 0).astype(v.dtype))[()],
    partials=lambda u, v, y: (0.0, indicator(u == 0.0, y)),
    alias=Alias("heaviside", "heaviside"),
    grad_name="HeavisideBackward0",
    note="0 at NaN, as in PyTorch (NumPy has NaN); differentiable here, which PyTorch refuses.",
    probe=PAIRS_POSITIVE,
    example="""
    >>> tj.heaviside(tj.tensor([-1.5, 0.0, 2.0]), tj.tensor(0.5))
    tensor([0.0000, 0.5000, 1.0000])
    """,
)


def _clamp_slopes(x, u, v, y):
    return (
        indicator((x >= u) & (x <= v), y),
        indicator((x < u) & (u < v), y),
        indicator((x > v) | (v < u), y),
    )


_RAISED = "(x if x > u or x != x else u)"
clamp = elementwise(
    "clamp",
    summary="Each element x brought into [u, v]; NaN if any of the three is.",
    code=f"{_RAISED} if {_RAISED} < v or {_RAISED} != {_RAISED} else v",
    evaluate=lambda x, u, v: np.minimum(np.maximum(x, u), v),
    partials=_clamp_slopes,
    grad_name="ClampBackward1",
    note="Slope 1 at both edges; where u > v the result is v, as in PyTorch.",
    probe=Probe(domain=((-3.0, 3.0), (-1.0, -0.5), (0.5, 1.0)), shapes=(((4,), (), ()),)),
)
