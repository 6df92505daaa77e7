"""Rows that are no arithmetic: inputs, literals, and operations that move elements elsewhere.

reshape, expand, permute, slice and flip are strides to the compiler; NumPy gives views for them.
Every movement is linear, so its tangent is the movement of the tangent.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.errors import ShapeError
from tapejit.families import operation
from tapejit.registry import Alias, Probe
from tapejit.shapes import aval, broadcast

# ---------------------------------------------------------------- where rows begin


def _no_rule(*inputs, **attrs):
    raise AssertionError("an input row has no value of its own")


input_ = operation(
    "input",
    "input",
    summary="A value given from outside.",
    infer=_no_rule,
    evaluate=_no_rule,
    attributes=(),
)
literal = operation(
    "literal",
    "literal",
    summary="An array of equal numbers, known at compile time.",
    infer=_no_rule,
    evaluate=_no_rule,
    attributes=("number",),
)
iota = operation(
    "iota",
    "creation",
    summary="The index along one axis, as int64.",
    infer=lambda avals, shape, axis: aval(shape, dtypes.int64),
    evaluate=lambda like, shape, axis: np.broadcast_to(
        np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape
    ),
    attributes=("shape", "axis"),
    complex=True,
    probe=Probe(attrs=({"shape": (2, 3), "axis": 1},)),
    note="Its one operand is not read; it only places the row on a tape.",
)

# ---------------------------------------------------------------- views

reshape = operation(
    "reshape",
    "view",
    summary="The same elements in row-major order, in another shape.",
    infer=lambda avals, shape: aval(shape, avals[0].dtype),
    evaluate=lambda x, shape: np.reshape(x, shape),
    attributes=("shape",),
    vjp=lambda gy, x, y, shape: (reshape(gy, shape=x.shape),),
    jvp=lambda tangents, x, y, shape: reshape(tangents[0], shape=shape),
    linear=True,
    grad_name="ViewBackward0",
    probe=Probe(attrs=({"shape": (2, 6)},)),
)


def _infer_expand(avals, shape):
    (x,) = avals
    if broadcast("expand", x.shape, shape) != shape:
        raise ShapeError(
            f"The expanded size of the tensor {list(shape)} must match the existing size "
            f"{list(x.shape)} at non-singleton dimensions"
        )
    return aval(shape, x.dtype)


def _run_expand(x, shape):
    # NumPy's broadcast is read-only even where nothing is repeated
    return np.broadcast_to(x, shape) if math.prod(shape) != np.size(x) else np.reshape(x, shape)


expand = operation(
    "expand",
    "view",
    summary="Axes of length 1 repeated, and new axes in front, without a copy.",
    infer=_infer_expand,
    evaluate=_run_expand,
    attributes=("shape",),
    vjp=lambda gy, x, y, shape: (gy,),  # autodiff sums over broadcast axes
    jvp=lambda tangents, x, y, shape: expand(tangents[0], shape=shape),
    linear=True,
    grad_name="ExpandBackward0",
    probe=Probe(shapes=(((3, 1),),), attrs=({"shape": (2, 3, 4)},)),
)


def _inverse(axes):
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


permute = operation(
    "permute",
    "view",
    summary="The axes in another order.",
    infer=lambda avals, axes: aval(tuple(avals[0].shape[a] for a in axes), avals[0].dtype),
    evaluate=lambda x, axes: np.transpose(x, axes),
    attributes=("axes",),
    vjp=lambda gy, x, y, axes: (permute(gy, axes=_inverse(axes)),),
    jvp=lambda tangents, x, y, axes: permute(tangents[0], axes=axes),
    linear=True,
    grad_name="PermuteBackward0",
    probe=Probe(shapes=(((2, 3, 4),),), attrs=({"axes": (2, 0, 1)},)),
)
flip = operation(
    "flip",
    "view",
    summary="The elements in reverse order along axes.",
    infer=lambda avals, axes: avals[0],
    evaluate=lambda x, axes: np.flip(x, axes),
    attributes=("axes",),
    vjp=lambda gy, x, y, axes: (flip(gy, axes=axes),),
    jvp=lambda tangents, x, y, axes: flip(tangents[0], axes=axes),
    linear=True,
    alias=Alias(),
    grad_name="FlipBackward0",
    probe=Probe(attrs=({"axes": (0,)},)),
)

# ---------------------------------------------------------------- slices
#
# `starts`, `lengths` and `steps` have one number per axis; an integer index is a slice of length
# 1 followed by a reshape, a new axis is a reshape: one small vocabulary for all basic indexing.


def _window(starts, lengths, steps):
    index = []
    for start, length, step in zip(starts, lengths, steps, strict=True):
        stop = start + length * step
        index.append(slice(start, stop if stop >= 0 else None, step))
    return tuple(index)


slice_ = operation(
    "slice",
    "view",
    summary="A regular part of a tensor: start, length and step along each axis.",
    infer=lambda avals, starts, lengths, steps: aval(lengths, avals[0].dtype),
    evaluate=lambda x, starts, lengths, steps: x[_window(starts, lengths, steps)],
    attributes=("starts", "lengths", "steps"),
    vjp=lambda gy, x, y, starts, lengths, steps: (
        unslice(gy, shape=x.shape, starts=starts, steps=steps),
    ),
    jvp=lambda tangents, x, y, starts, lengths, steps: slice_(
        tangents[0], starts=starts, lengths=lengths, steps=steps
    ),
    linear=True,
    grad_name="SliceBackward0",
    probe=Probe(attrs=({"starts": (1, 0), "lengths": (2, 2), "steps": (1, 2)},)),
)


def _run_unslice(x, shape, starts, steps):
    result = np.zeros(shape, x.dtype)
    result[_window(starts, np.shape(x), steps)] = x
    return result


unslice = operation(
    "unslice",
    "scatter",
    summary="Zeros with a tensor put in a regular part of them: the transpose of slice.",
    infer=lambda avals, shape, starts, steps: aval(shape, avals[0].dtype),
    evaluate=_run_unslice,
    attributes=("shape", "starts", "steps"),
    vjp=lambda gy, x, y, shape, starts, steps: (
        slice_(gy, starts=starts, lengths=x.shape, steps=steps),
    ),
    jvp=lambda tangents, x, y, **attrs: unslice(tangents[0], **attrs),
    linear=True,
    grad_name="ConstantPadNdBackward0",
    probe=Probe(shapes=(((2, 2),),), attrs=({"shape": (3, 4), "starts": (1, 0), "steps": (1, 2)},)),
)


def _run_replace(x, part, starts, steps):
    result = np.array(x, copy=True)
    result[_window(starts, np.shape(part), steps)] = part
    return result


def _replace_vjp(gy, x, part, y, starts, steps):
    zeros = gy.builder.literal(0, part.aval)
    return (
        replace(gy, zeros, starts=starts, steps=steps),
        slice_(gy, starts=starts, lengths=part.shape, steps=steps),
    )


def _replace_jvp(tangents, x, part, y, starts, steps):
    tx, tpart = (
        t if t is not None else y.builder.literal(0, like.aval)
        for t, like in zip(tangents, (x, part), strict=True)
    )
    return replace(tx, tpart, starts=starts, steps=steps)


replace = operation(
    "replace",
    "scatter",
    summary="A tensor with a regular part of it replaced (what x[i] = v does).",
    infer=lambda avals, starts, steps: avals[0],
    evaluate=_run_replace,
    attributes=("starts", "steps"),
    vjp=_replace_vjp,
    jvp=_replace_jvp,
    rule="first",
    grad_name="CopySlices",
    probe=Probe(shapes=(((3, 4), (2, 2)),), attrs=({"starts": (1, 0), "steps": (1, 2)},)),
)

# ---------------------------------------------------------------- joining


def _infer_cat(avals, axis):
    first = avals[0].shape
    for other in avals[1:]:
        if len(other.shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(first, other.shape, strict=True)) if i != axis
        ):
            raise ShapeError(
                f"Sizes of tensors must match except in dimension {axis}: cat of "
                f"{' and '.join(str(list(a.shape)) for a in avals)}"
            )
    shape = list(first)
    shape[axis] = sum(a.shape[axis] for a in avals)
    return aval(tuple(shape), avals[0].dtype)


def _cat_vjp(gy, *rest, axis):
    *inputs, _ = rest
    cotangents, start = [], 0
    for x in inputs:
        starts = tuple(start if i == axis else 0 for i in range(x.ndim))
        cotangents.append(slice_(gy, starts=starts, lengths=x.shape, steps=(1,) * x.ndim))
        start += x.shape[axis]
    return tuple(cotangents)


def _cat_jvp(tangents, *rest, axis):
    *inputs, y = rest
    filled = [
        t if t is not None else y.builder.literal(0, x.aval)
        for t, x in zip(tangents, inputs, strict=True)
    ]
    return cat(*filled, axis=axis)


cat = operation(
    "cat",
    "join",
    summary="Tensors one after the other along an axis.",
    infer=_infer_cat,
    evaluate=lambda *xs, axis: np.concatenate(xs, axis),
    attributes=("axis",),
    vjp=_cat_vjp,
    jvp=_cat_jvp,
    linear=True,
    rule="promote",
    grad_name="CatBackward0",
    probe=Probe(shapes=(((2, 3), (2, 1)),), attrs=({"axis": 1},)),
)

# ---------------------------------------------------------------- calls back into Python

host = operation(
    "host",
    "host",
    summary="A cotangent as a user's hook returns it; programs with one run row by row.",
    infer=lambda avals, row: avals[0],
    evaluate=_no_rule,
    attributes=("row",),
)
