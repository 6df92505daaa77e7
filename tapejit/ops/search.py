"""Places in an order, which have no derivative: searchsorted, and the place of the k-th element."""

from __future__ import annotations

import numpy as np

from tapejit import dtypes
from tapejit.errors import ShapeError
from tapejit.families import operation
from tapejit.ops.loops import search, sorting
from tapejit.registry import Loop, Probe
from tapejit.shapes import aval


def _infer(avals, right):
    edges, values = avals
    if edges.ndim != 1 and edges.shape[:-1] != values.shape[:-1]:
        raise ShapeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(edges.shape)} and input value tensor {list(values.shape)}"
        )
    return aval(values.shape, dtypes.int64)


def _run(edges, values, right):
    side = "right" if right else "left"
    if edges.ndim == 1:
        return np.asarray(np.searchsorted(edges, values, side), np.int64)[()]
    rows = edges.reshape(-1, edges.shape[-1]), values.reshape(-1, values.shape[-1])
    found = [np.searchsorted(e, v, side) for e, v in zip(*rows, strict=True)]
    return np.array(found, np.int64).reshape(values.shape)


searchsorted = operation(
    "searchsorted",
    "indexing",
    summary="Where elements would be inserted in sorted ones (the first operand) to keep order.",
    infer=_infer,
    evaluate=_run,
    loop=Loop(search.search_work),
    attributes=("right",),
    rule="promote",
    complex=False,
    probe=Probe(
        shapes=(((4,), (2, 3)), ((2, 4), (2, 3))),
        attrs=({"right": False}, {"right": True}),
        dtypes=("float64", "float32", "int64"),
    ),
    note="NaN is behind everything, as in NumPy.",
)


# ---------------------------------------------------------------- the k-th


def _run_argkth(x, axis, k):
    order = np.argpartition(x, k, axis)
    return np.take(order, [k], axis)


argkth = operation(
    "argkth",
    "indexing",
    summary="The place of the k-th smallest element along an axis, which stays with length 1.",
    infer=lambda avals, axis, k: aval(
        tuple(1 if i == axis else n for i, n in enumerate(avals[0].shape)), dtypes.int64
    ),
    evaluate=_run_argkth,
    loop=sorting.loop(sorting.argkth_work),
    attributes=("axis", "k"),
    complex=False,
    probe=Probe(attrs=({"axis": 1, "k": 2}, {"axis": 0, "k": 0})),
    note="NaN is above all; of equal elements any one.",
    source="introselect: Musser 1997, as numpy.argpartition has it",
)
