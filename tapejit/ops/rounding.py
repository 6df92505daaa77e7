"""Whole numbers near each element: floor, ceil, trunc, round.  Their slope is 0 everywhere."""

from __future__ import annotations

import numpy as np

from tapejit.families import elementwise
from tapejit.ops.probes import KINKED
from tapejit.registry import Alias

floor = elementwise(
    "floor",
    summary="The largest whole number not above each element.",
    code="math.floor(x)",
    partials=lambda x, y: (0.0,),
    alias=Alias("floor", "floor"),
    grad_name="FloorBackward0",
    probe=KINKED,
    example="""
    >>> tj.floor(tj.tensor([-1.5, 1.5]))
    tensor([-2.,  1.])
    """,
)
ceil = elementwise(
    "ceil",
    summary="The smallest whole number not below each element.",
    code="math.ceil(x)",
    partials=lambda x, y: (0.0,),
    alias=Alias("ceil", "ceil"),
    grad_name="CeilBackward0",
    probe=KINKED,
    example="""
    >>> tj.ceil(tj.tensor([-1.5, 1.5]))
    tensor([-1.,  2.])
    """,
)
trunc = elementwise(
    "trunc",
    summary="Each element without its fraction.",
    code="math.trunc(x)",
    partials=lambda x, y: (0.0,),
    alias=Alias("trunc", "trunc"),
    grad_name="TruncBackward0",
    probe=KINKED,
    example="""
    >>> tj.trunc(tj.tensor([-1.5, 1.5]))
    tensor([-1.,  1.])
    """,
)
round_ = elementwise(
    "round",
    summary="The nearest whole number, halves to even.",
    code="round(x)",
    evaluate=lambda x: np.rint(x) if x.dtype.kind == "f" else x,
    partials=lambda x, y: (0.0,),
    alias=Alias("round", "rint"),
    grad_name="RoundBackward0",
    probe=KINKED,
)
