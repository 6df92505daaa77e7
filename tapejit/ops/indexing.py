"""Operations that read or write at computed places: gather, take, index, sort.

Each reading operation has the adding one as its transpose, and the other way round: take and
put_add, gather and scatter_add.  Advanced indexing `x[i, :, j]` is brought by the front door to
`index`: integer arrays for the leading axes, after a permutation.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.families import operation
from tapejit.ops.comparison import ne
from tapejit.ops.copies import cast
from tapejit.ops.loops import places, search, sorting
from tapejit.ops.reductions import sum_
from tapejit.registry import Loop, Probe
from tapejit.shapes import aval, broadcast

# ---------------------------------------------------------------- x[i, j, ...] on leading axes


def _infer_index(avals):
    x, *indices = avals
    shape = broadcast("index", *(i.shape for i in indices))
    return aval((*shape, *x.shape[len(indices) :]), x.dtype)


def _index_vjp(gy, x, *rest):
    *indices, _ = rest
    return (index_add(gy, *indices, shape=x.shape), *(None for _ in indices))


index = operation(
    "index",
    "indexing",
    summary="x[i, j, ...] with integer arrays for the leading axes.",
    infer=_infer_index,
    evaluate=lambda x, *indices: x[indices],
    loop=Loop(places.read_work, has_status=True),
    vjp=_index_vjp,
    jvp=lambda tangents, x, *rest: index(tangents[0], *rest[:-1]),
    linear=True,
    rule="index",
    grad_name="IndexBackward0",
    probe=Probe(shapes=(((4, 3), ("index", (2,))),)),
)


def _run_index_add(x, *indices, shape):
    result = np.zeros(shape, x.dtype)
    np.add.at(result, indices, x)
    return result


index_add = operation(
    "index_add",
    "indexing",
    summary="Zeros with elements added at x[i, j, ...]: the transpose of index.",
    infer=lambda avals, shape: aval(shape, avals[0].dtype),
    evaluate=_run_index_add,
    loop=Loop(places.add_work, has_status=True),
    attributes=("shape",),
    vjp=lambda gy, x, *rest, shape: (index(gy, *rest[:-1]), *(None for _ in rest[:-1])),
    jvp=lambda tangents, x, *rest, shape: index_add(tangents[0], *rest[:-1], shape=shape),
    linear=True,
    rule="index",
    grad_name="IndexPutBackward0",
    probe=Probe(shapes=(((2, 3), ("index", (2,))),), attrs=({"shape": (4, 3)},)),
)


def _run_index_put(x, value, *indices):
    result = np.array(x, copy=True)
    result[indices] = value
    return result


def _index_put_vjp(gy, x, value, *rest):
    *indices, _ = rest
    zeros = gy.builder.literal(0, value.aval)
    return (
        index_put(gy, zeros, *indices),
        index_last(gy, *indices),
        *(None for _ in indices),
    )


def _index_put_jvp(tangents, x, value, *rest):
    *indices, y = rest
    tx, tvalue = (
        t if t is not None else y.builder.literal(0, like.aval)
        for t, like in zip(tangents[:2], (x, value), strict=True)
    )
    return index_put(tx, tvalue, *indices)


index_put = operation(
    "index_put",
    "indexing",
    summary="A tensor with the elements at [i, j, ...] replaced (what x[i] = v does).",
    infer=lambda avals: avals[0],
    evaluate=_run_index_put,
    loop=Loop(places.put_work, has_status=True),
    vjp=_index_put_vjp,
    jvp=_index_put_jvp,
    rule="index_put",
    grad_name="IndexPutBackward0",
    note="Of places that repeat the last one written wins, and alone has a slope.",
    probe=Probe(shapes=(((4, 3), (2, 3), ("index", (2,))),)),
)


def _run_index_last(x, *indices):
    result = x[indices]
    shape = np.broadcast_shapes(*(np.shape(i) for i in indices))
    if math.prod(shape) < 2:
        return result
    numbers = np.arange(math.prod(shape)).reshape(shape)
    writer = np.empty(np.shape(x)[: len(indices)], np.int64)
    writer[indices] = numbers
    lost = writer[indices] != numbers
    if lost.any():
        result[lost] = 0
    return result


def _index_last_vjp(gy, x, *rest):
    *indices, _ = rest
    zeros = gy.builder.literal(0, x.aval)
    return (index_put(zeros, gy, *indices), *(None for _ in indices))


index_last = operation(
    "index_last",
    "indexing",
    summary="x[i, j, ...], but 0 where a later index names the same place: index_put transposed.",
    infer=_infer_index,
    evaluate=_run_index_last,
    loop=Loop(places.last_work, has_status=True),
    vjp=_index_last_vjp,
    jvp=lambda tangents, x, *rest: index_last(tangents[0], *rest[:-1]),
    linear=True,
    rule="index",
    probe=Probe(shapes=(((4, 3), ("index", (2,))), ((4, 3), ("index", (2, 3))))),
)

# ---------------------------------------------------------------- along one axis

gather = operation(
    "gather",
    "indexing",
    summary="Elements picked along an axis: y[i, j] = x[i, index[i, j]] for axis 1.",
    infer=lambda avals, axis: aval(avals[1].shape, avals[0].dtype),
    evaluate=lambda x, index, axis: np.take_along_axis(
        x[tuple(slice(n) if i != axis else slice(None) for i, n in enumerate(np.shape(index)))],
        index,
        axis,
    ),
    loop=Loop(places.gather_work, has_status=True),
    attributes=("axis",),
    vjp=lambda gy, x, index, y, axis: (
        scatter_add(gy, index, shape=x.shape, axis=axis),
        None,
    ),
    jvp=lambda tangents, x, index, y, axis: gather(tangents[0], index, axis=axis),
    linear=True,
    rule="index",
    grad_name="GatherBackward0",
    probe=Probe(shapes=(((3, 4), ("index", (3, 2))),), attrs=({"axis": 1},)),
)


def _run_scatter_add(x, index, shape, axis):
    result = np.zeros(shape, x.dtype)
    places = list(np.indices(np.shape(index), sparse=True))
    places[axis] = index
    np.add.at(result, tuple(places), x)
    return result


scatter_add = operation(
    "scatter_add",
    "indexing",
    summary="Zeros with elements added along an axis: the transpose of gather.",
    infer=lambda avals, shape, axis: aval(shape, avals[0].dtype),
    evaluate=_run_scatter_add,
    loop=Loop(places.scatter_work, has_status=True),
    attributes=("shape", "axis"),
    vjp=lambda gy, x, index, y, shape, axis: (gather(gy, index, axis=axis), None),
    jvp=lambda tangents, x, index, y, shape, axis: scatter_add(
        tangents[0], index, shape=shape, axis=axis
    ),
    linear=True,
    rule="index",
    grad_name="ScatterAddBackward0",
    probe=Probe(shapes=(((3, 2), ("index", (3, 2))),), attrs=({"shape": (3, 4), "axis": 1},)),
)

# ---------------------------------------------------------------- order


def _run_argsort(x, axis, descending):
    if np.ndim(x) == 0:
        return np.int64(0)
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # a stable descending order: sort the reversed array, then count places from the back
    order = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return np.shape(x)[axis] - 1 - np.flip(order, axis)


argsort = operation(
    "argsort",
    "indexing",
    summary="The places of the elements in sorted order along an axis; stable.",
    infer=lambda avals, axis, descending: aval(avals[0].shape, dtypes.int64),
    evaluate=_run_argsort,
    attributes=("axis", "descending"),
    loop=sorting.loop(sorting.argsort_work),
    complex=False,
    probe=Probe(attrs=({"axis": 1, "descending": False}, {"axis": 0, "descending": True})),
)


def _run_sort(x, axis, descending):
    if np.ndim(x) == 0:
        return x
    return np.take_along_axis(x, np.asarray(_run_argsort(x, axis, descending)), axis)


def _sort_vjp(gy, x, y, axis, descending):
    if x.ndim == 0:
        return (gy,)
    order = argsort(x, axis=axis, descending=descending)
    return (scatter_add(gy, order, shape=x.shape, axis=axis),)


def _sort_jvp(tangents, x, y, axis, descending):
    if x.ndim == 0:
        return tangents[0]
    return gather(tangents[0], argsort(x, axis=axis, descending=descending), axis=axis)


sort = operation(
    "sort",
    "indexing",
    summary="The elements in order along an axis.",
    infer=lambda avals, axis, descending: avals[0],
    evaluate=_run_sort,
    attributes=("axis", "descending"),
    loop=sorting.loop(sorting.sort_work),
    complex=False,
    vjp=_sort_vjp,
    jvp=_sort_jvp,
    grad_name="SortBackward0",
    probe=Probe(attrs=({"axis": 1, "descending": False}, {"axis": 0, "descending": True})),
)


def _run_nonzero(x, count):
    places = np.flatnonzero(x)[:count]
    # fewer than recorded: a guard on the count discards the answer, but it must be computable
    return places if len(places) == count else np.resize(np.append(places, 0), count)


nonzero = operation(
    "nonzero",
    "indexing",
    summary="The flat places of `count` nonzero elements; the count is part of the structure.",
    infer=lambda avals, count: aval((count,), dtypes.int64),
    evaluate=_run_nonzero,
    attributes=("count",),
    loop=Loop(lambda *_, **attrs: None, alone=search.nonzero_work),
    probe=Probe(attrs=({"count": 12},)),
)
count_nonzero = operation(
    "count_nonzero",
    "indexing",
    summary="How many elements are not zero, as int64.",
    infer=lambda avals: aval((), dtypes.int64),
    evaluate=lambda x: np.int64(np.count_nonzero(x)),
    decompose=lambda x: sum_(
        cast(ne(x, 0), dtype="int64"), axes=tuple(range(x.ndim)), keepdim=False
    ),
)
