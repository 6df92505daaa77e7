"""What losses need beyond reductions: one element picked along an axis, binary cross entropies.

`pick` is a gather whose slope is a choice at each element, so that it joins the loop which also
makes the softmax.  The binary cross entropies are elementwise records because their slopes are
better conditioned than those of their formulas.
"""

from __future__ import annotations

import numpy as np

from tapejit.errors import ShapeError
from tapejit.families import elementwise, operation
from tapejit.ops.comparison import eq
from tapejit.ops.exponential import log, log1p, sigmoid
from tapejit.ops.indexing import gather
from tapejit.ops.movement import expand, iota, reshape
from tapejit.ops.selection import maximum, where
from tapejit.registry import Probe
from tapejit.shapes import aval


def _without(shape, axis):
    return (*shape[:axis], *shape[axis + 1 :])


def _infer_pick(avals, axis):
    x, index = avals
    if index.shape != _without(x.shape, axis):
        raise ShapeError(f"pick: one index per row of {list(x.shape)}, got {list(index.shape)}")
    return aval(index.shape, x.dtype)


def _along(row, x, axis):
    """One number per row, expanded to the shape of x."""
    return expand(reshape(row, shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :])), shape=x.shape)


def _is_picked(x, index, axis):
    return eq(iota(x, shape=x.shape, axis=axis), _along(index, x, axis))


def _where_picked(x, index, axis, like):
    zero = like.builder.literal(0, aval((), like.dtype))
    return where(_is_picked(like, index, axis), x, zero)


def _gathered(x, index, axis):
    index = reshape(index, shape=(*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return reshape(gather(x, index, axis=axis), shape=_without(x.shape, axis))


def _run_pick(x, index, axis):
    places = np.expand_dims(np.asarray(index), axis)
    return np.squeeze(np.take_along_axis(np.asarray(x), places, axis), axis)[()]


pick = operation(
    "pick",
    "rows",
    summary="One element of each row along an axis: y[i] = x[i, index[i]] for axis 1.",
    infer=_infer_pick,
    evaluate=_run_pick,
    attributes=("axis",),
    decompose=_gathered,
    vjp=lambda gy, x, index, y, axis: (
        _where_picked(_along(gy, x, axis), index, axis, x),
        None,
    ),
    jvp=lambda tangents, x, index, y, axis: pick(tangents[0], index, axis=axis),
    linear=True,
    rule="index",
    grad_name="GatherBackward0",
    note="Indices must be within the axis; the elements beside them leak nothing, not even NaN.",
    probe=Probe(
        shapes=(((3, 4), ("index", (3,))), ((2, 4, 3), ("index", (2, 3)))), attrs=({"axis": 1},)
    ),
)

# ---------------------------------------------------------------- binary cross entropy

_LEAST_LOG = -100.0
_LEAST_SHARE = 1e-12


def _capped(logarithm):
    return f"({logarithm} if not {logarithm} < {_LEAST_LOG} else {_LEAST_LOG})"


def _run_binary_cross_entropy(u, v):
    least = u.dtype.type(_LEAST_LOG)
    return (v - 1) * np.maximum(np.log1p(-u), least) - v * np.maximum(np.log(u), least)


binary_cross_entropy = elementwise(
    "binary_cross_entropy",
    summary="-(v log u + (1 - v) log(1 - u)), logarithms not below -100.",
    code=f"(v - 1.0) * {_capped('math.log1p(-u)')} - v * {_capped('math.log(u)')}",
    evaluate=_run_binary_cross_entropy,
    partials=lambda u, v, y: (
        (1.0 - v) / maximum(1.0 - u, _LEAST_SHARE) - v / maximum(u, _LEAST_SHARE),
        maximum(log1p(-u), _LEAST_LOG) - maximum(log(u), _LEAST_LOG),
    ),
    rule="float",
    grad_name="BinaryCrossEntropyBackward0",
    note="Denominators of the slope are at least 1e-12, as in PyTorch; at u = v = 0 and at "
    "u = v = 1 it is 1 and -1, the one-sided slopes (PyTorch gives 0).",
    probe=Probe(domain=(0.1, 0.9), shapes=(((3, 4), (3, 4)),)),
)
binary_cross_entropy_with_logits = elementwise(
    "binary_cross_entropy_with_logits",
    summary="Binary cross entropy of sigmoid(u) and v, without overflow.",
    code="((u * (1.0 - v) if v != 1.0 else 0.0) if u > 0.0 else (-u * v if v != 0.0 else 0.0))"
    " + math.log1p(math.exp(-abs(u)))",
    partials=lambda u, v, y: (sigmoid(u) - v, -u),
    rule="float",
    grad_name="BinaryCrossEntropyWithLogitsBackward0",
    probe=Probe(shapes=(((3, 4), (3, 4)),)),
)
