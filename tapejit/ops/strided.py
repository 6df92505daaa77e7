"""Views that slices cannot say: diagonals, sliding windows, any strides.

All are one operation: result element i is input element `starts + steps @ i`, so that the strides
of the result are those of the input times a small matrix.  A diagonal steps along two axes of the
input at once, a window makes two axes of one.  `strided` reads, `unstrided` is its transpose (it
adds where windows overlap), `put_strided` writes where they do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tapejit.errors import AutogradError
from tapejit.families import operation
from tapejit.ops.loops import windows
from tapejit.registry import Loop, Probe
from tapejit.shapes import Shape, aval

Steps = tuple[tuple[int, ...], ...]
"""Per axis of the input, the step along it for each axis of the result."""

# ---------------------------------------------------------------- numbers


def place_of(starts: Sequence[int], steps: Steps, strides: Sequence[int]) -> tuple[int, tuple]:
    """Offset and strides of the result, in units of the input's strides."""
    offset = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    columns = zip(*steps, strict=True) if steps else ()
    return offset, tuple(
        sum(step * stride for step, stride in zip(column, strides, strict=True))
        for column in columns
    )


def overlapping_axes(shape: Shape, strides: Sequence[int]) -> list[int]:
    """Axes without which no element of such a view lies where another does.

    Taken by stride, each axis must step over all that the smaller ones span.
    """
    found, span = [], 0
    by_stride = sorted(range(len(shape)), key=lambda axis: abs(strides[axis]))
    for axis in by_stride:
        stride, n = abs(strides[axis]), shape[axis]
        if n > 1:
            if stride <= span:
                found.append(axis)
            else:
                span += stride * (n - 1)
    return found


def _view(x, shape, starts, steps):
    x = np.asarray(x)
    if 0 in shape:
        return (
            x.reshape(-1)[:0].reshape(shape) if x.flags.c_contiguous else np.empty(shape, x.dtype)
        )
    origin = x[tuple(slice(start, None) for start in starts)]
    _, strides = place_of(starts, steps, x.strides)
    return np.lib.stride_tricks.as_strided(origin, shape, strides)


# ---------------------------------------------------------------- operations

strided = operation(
    "strided",
    "view",
    summary="Elements starts + steps @ i of a tensor: a diagonal, sliding windows, any strides.",
    infer=lambda avals, shape, starts, steps: aval(shape, avals[0].dtype),
    evaluate=_view,
    attributes=("shape", "starts", "steps"),
    vjp=lambda gy, x, y, shape, starts, steps: (
        unstrided(gy, shape=x.shape, starts=starts, steps=steps),
    ),
    jvp=lambda tangents, x, y, **attrs: strided(tangents[0], **attrs),
    linear=True,
    grad_name="AsStridedBackward0",
    probe=Probe(
        attrs=(
            {"shape": (2,), "starts": (0, 1), "steps": ((1,), (1,))},
            {"shape": (2, 2, 3), "starts": (1, 0), "steps": ((1, 0, 0), (0, 1, 1))},
        )
    ),
)


def _run_unstrided(x, shape, starts, steps):
    result = np.zeros(shape, x.dtype)
    if not x.size:
        return result
    window = _view(result, np.shape(x), starts, steps)
    shared = overlapping_axes(window.shape, window.strides)
    for place in np.ndindex(*(window.shape[axis] for axis in shared)):
        index = [slice(None)] * window.ndim
        for axis, i in zip(shared, place, strict=True):
            index[axis] = i
        window[tuple(index)] += x[tuple(index)]
    return result


unstrided = operation(
    "unstrided",
    "scatter",
    summary="Zeros with elements added at starts + steps @ i: the transpose of strided.",
    infer=lambda avals, shape, starts, steps: aval(shape, avals[0].dtype),
    evaluate=_run_unstrided,
    loop=Loop(windows.add_work, reads=windows.reads),
    attributes=("shape", "starts", "steps"),
    vjp=lambda gy, x, y, shape, starts, steps: (
        strided(gy, shape=x.shape, starts=starts, steps=steps),
    ),
    jvp=lambda tangents, x, y, **attrs: unstrided(tangents[0], **attrs),
    linear=True,
    grad_name="AsStridedBackward0",
    probe=Probe(
        shapes=(((2, 3),),),
        attrs=(
            {"shape": (4, 3), "starts": (0, 0), "steps": ((1, 1), (0, 1))},
            {"shape": (3, 4), "starts": (1, 0), "steps": ((0, 0), (1, 1))},
        ),
    ),
)


def _run_put_strided(x, part, starts, steps):
    result = np.array(x, copy=True)
    window = _view(result, np.shape(part), starts, steps)
    check_no_overlap(window.shape, window.strides)
    window[...] = part
    return result


def _put_strided_vjp(gy, x, part, y, starts, steps):
    zeros = gy.builder.literal(0, part.aval)
    return (
        put_strided(gy, zeros, starts=starts, steps=steps),
        strided(gy, shape=part.shape, starts=starts, steps=steps),
    )


def _put_strided_jvp(tangents, x, part, y, starts, steps):
    tx, tpart = (
        t if t is not None else y.builder.literal(0, like.aval)
        for t, like in zip(tangents, (x, part), strict=True)
    )
    return put_strided(tx, tpart, starts=starts, steps=steps)


put_strided = operation(
    "put_strided",
    "scatter",
    summary="A tensor with the elements at starts + steps @ i replaced.",
    infer=lambda avals, starts, steps: avals[0],
    evaluate=_run_put_strided,
    attributes=("starts", "steps"),
    vjp=_put_strided_vjp,
    jvp=_put_strided_jvp,
    rule="first",
    grad_name="CopySlices",
    note="An error where two elements of the part have one place.",
    probe=Probe(shapes=(((3, 4), (3,)),), attrs=({"starts": (0, 1), "steps": ((1,), (1,))},)),
)


def check_no_overlap(shape: Shape, strides: Sequence[int]) -> None:
    """Raise AutogradError where a view has two elements in one place."""
    if math.prod(shape) and overlapping_axes(shape, strides):
        raise AutogradError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
