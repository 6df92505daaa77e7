"""Pooling: where the largest element of each window is.

The value of a max-pool is a gather by these indices, so its slopes are gather's and scatter_add's.
Operations work on the last axes, as many as `lengths` names; windows may overhang the input
(padding, ceil_mode), and only what lies inside counts.  Sums over windows need no record: they are
`strided` and `sum`.
"""

from __future__ import annotations

import numpy as np

from tapejit import dtypes
from tapejit.families import operation
from tapejit.ops.loops import pooling as loops
from tapejit.registry import Loop, Probe
from tapejit.shapes import aval

# ---------------------------------------------------------------- the largest of a window


def _lead(x, lengths):
    return x.shape[: x.ndim - len(lengths)]


def _infer_indices(avals, lengths, **attrs):
    (x,) = avals
    return aval((*_lead(x, lengths), *lengths), dtypes.int64)


def _first_largest(x, places):
    """Flat indices of the first largest (or NaN) element of each window.

    places  per axis, (windows, elements): what each window reads; a window with fewer elements
            than others repeats its first or last
    """
    n = len(places)
    spatial = x.shape[x.ndim - n :]
    flat = np.zeros((), np.int64)
    for axis, (rows, length) in enumerate(zip(places, spatial, strict=True)):
        flat = flat * length + rows.reshape(_grid_shape(rows, axis, n))
    windows = tuple(rows.shape[0] for rows in places)
    flat = flat.reshape(*windows, -1)
    picked = np.reshape(x, (*_lead(x, spatial), -1))[..., flat]
    best = np.argmax(picked, -1)
    return np.take_along_axis(np.broadcast_to(flat, picked.shape), best[..., None], -1)[..., 0]


def _grid_shape(rows, axis, n):
    shape = [1] * (2 * n)
    shape[axis], shape[n + axis] = rows.shape
    return shape


def _run_max_pool_index(x, lengths, kernel, stride, padding, dilation):
    places = []
    for i, (t, k, s, p, d) in enumerate(
        zip(lengths, kernel, stride, padding, dilation, strict=True)
    ):
        n = x.shape[i - len(lengths)]
        rows = np.arange(t)[:, None] * s - p + np.arange(k) * d
        is_inside = (rows >= 0) & (rows < n)
        first = np.where(is_inside, rows, n).min(1, keepdims=True)
        last = np.where(is_inside, rows, -1).max(1, keepdims=True)
        places.append(np.clip(rows, first, last))
    return _first_largest(x, places)


def adaptive_windows(n: int, length: int) -> list[tuple[int, int]]:
    """Start and end of each of `length` windows that cover n elements."""
    return [(i * n // length, -(-(i + 1) * n // length)) for i in range(length)]


def _run_adaptive_max_index(x, lengths):
    places = []
    for i, length in enumerate(lengths):
        windows = adaptive_windows(x.shape[i - len(lengths)], length)
        widest = max((end - start for start, end in windows), default=0)
        rows = [np.minimum(np.arange(start, start + widest), end - 1) for start, end in windows]
        places.append(np.array(rows, np.int64).reshape(length, widest))
    return _first_largest(x, places)


max_pool_index = operation(
    "max_pool_index",
    "pooling",
    summary="Where the largest element of each window is, in the flattened last axes.",
    infer=_infer_indices,
    evaluate=_run_max_pool_index,
    loop=Loop(loops.max_pool_work),
    attributes=("lengths", "kernel", "stride", "padding", "dilation"),
    note="The first of equal elements; NaN counts as the largest.",
    probe=Probe(
        shapes=(((2, 5, 6),),),
        attrs=(
            {
                "lengths": (3, 3),
                "kernel": (3, 2),
                "stride": (2, 2),
                "padding": (1, 0),
                "dilation": (1, 1),
            },
        ),
    ),
)
adaptive_max_index = operation(
    "adaptive_max_index",
    "pooling",
    summary="Where the largest element of each of so many equal windows is.",
    infer=_infer_indices,
    evaluate=_run_adaptive_max_index,
    loop=Loop(loops.adaptive_work),
    attributes=("lengths",),
    note="The first of equal elements; NaN counts as the largest.",
    probe=Probe(shapes=(((2, 5, 6),),), attrs=({"lengths": (3, 4)},)),
)
