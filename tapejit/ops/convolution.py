"""Convolutions: three records, closed under differentiation, for any number of spatial axes.

    convolution         (input, weight)     -> output
    convolution_input   (output, weight)    -> input     the transposed convolution
    convolution_weight  (output, input)     -> weight

Each is bilinear, and each one's cotangents and tangents are the other two: input (n, c, *S), weight
(o, c / groups, *K), output (n, o, *T), where T = (S + 2 padding - dilation (K - 1) - 1) // stride
+ 1.  The NumPy reference unrolls windows into a matrix (im2col) and calls BLAS.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from tapejit.errors import ShapeError
from tapejit.families import operation
from tapejit.ops.complexes import conjugate
from tapejit.registry import Probe
from tapejit.shapes import aval

ATTRIBUTES = ("stride", "padding", "dilation", "groups")


def output_lengths(lengths, kernel, stride, padding, dilation) -> tuple[int, ...]:
    """How many places a kernel has along each axis."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(lengths, kernel, stride, padding, dilation, strict=True)
    )


# ---------------------------------------------------------------- shapes


def _infer(avals, stride, padding, dilation, groups):
    x, w = avals
    return aval(
        (
            x.shape[0],
            w.shape[0],
            *output_lengths(x.shape[2:], w.shape[2:], stride, padding, dilation),
        ),
        x.dtype,
    )


def _infer_input(avals, lengths, stride, padding, dilation, groups):
    y, w = avals
    told = output_lengths(lengths, w.shape[2:], stride, padding, dilation)
    if told != y.shape[2:]:
        raise ShapeError(
            f"convolution: {list(lengths)} gives {list(told)}, not {list(y.shape[2:])}"
        )
    return aval((y.shape[0], w.shape[1] * groups, *lengths), y.dtype)


def _infer_weight(avals, kernel, stride, padding, dilation, groups):
    y, x = avals
    return aval((y.shape[1], x.shape[1] // groups, *kernel), y.dtype)


# ---------------------------------------------------------------- windows as a matrix


def _padded(x, padding):
    return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)]) if any(padding) else x


def _columns(x, kernel, stride, padding, dilation, groups):
    """The windows of x as matrices: (n, groups, c / groups * K, T)."""
    lengths = output_lengths(x.shape[2:], kernel, stride, padding, dilation)
    x = _padded(x, padding)
    n, c = x.shape[:2]
    steps = x.strides[2:]
    windows = np.lib.stride_tricks.as_strided(
        x,
        (n, c, *kernel, *lengths),
        (
            *x.strides[:2],
            *(step * d for step, d in zip(steps, dilation, strict=True)),
            *(step * s for step, s in zip(steps, stride, strict=True)),
        ),
        writeable=False,
    )
    return windows.reshape(n, groups, c // groups * math.prod(kernel), math.prod(lengths))


def _wide(*arrays):
    """float16 is summed in float32."""
    return [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]


def _run(x, w, stride, padding, dilation, groups):
    dtype = x.dtype
    x, w = _wide(x, w)
    columns = _columns(x, w.shape[2:], stride, padding, dilation, groups)
    rows = w.reshape(groups, w.shape[0] // groups, -1)
    lengths = output_lengths(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return np.matmul(rows, columns).reshape(x.shape[0], w.shape[0], *lengths).astype(dtype)


def _run_input(y, w, lengths, stride, padding, dilation, groups):
    dtype = y.dtype
    y, w = _wide(y, w)
    n, o = y.shape[:2]
    c, kernel, places = w.shape[1] * groups, w.shape[2:], y.shape[2:]
    rows = w.reshape(groups, o // groups, -1).swapaxes(1, 2)
    columns = np.matmul(rows, y.reshape(n, groups, o // groups, math.prod(places)))
    columns = columns.reshape(n, c, *kernel, *places)
    padded = tuple(m + 2 * p for m, p in zip(lengths, padding, strict=True))
    result = np.zeros((n, c, *padded), y.dtype)
    for offset in itertools.product(*map(range, kernel)):
        target = tuple(
            slice(k * d, k * d + t * s, s)
            for k, d, t, s in zip(offset, dilation, places, stride, strict=True)
        )
        result[(..., *target)] += columns[(slice(None), slice(None), *offset)]
    inside = tuple(slice(p, p + m) for p, m in zip(padding, lengths, strict=True))
    return np.ascontiguousarray(result[(..., *inside)]).astype(dtype)


def _run_weight(y, x, kernel, stride, padding, dilation, groups):
    dtype = y.dtype
    y, x = _wide(y, x)
    n, o = y.shape[:2]
    columns = _columns(x, kernel, stride, padding, dilation, groups)
    rows = y.reshape(n, groups, o // groups, columns.shape[-1])
    total = np.matmul(rows, columns.swapaxes(-1, -2)).sum(0)
    return total.reshape(o, x.shape[1] // groups, *kernel).astype(dtype)


# ---------------------------------------------------------------- rules


def _sum(*parts):
    known = [part for part in parts if part is not None]
    return known[0] if len(known) == 1 else known[0] + known[1]


def _tangent(op):
    """Of a bilinear operation: each operand's tangent with the other operand."""

    def jvp(tangents, u, v, y, **attrs):
        tu, tv = tangents
        return _sum(
            None if tu is None else op()(tu, v, **attrs),
            None if tv is None else op()(u, tv, **attrs),
        )

    return jvp


_GROUPED = {"groups": 2}
_PROBED = (
    {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), **_GROUPED},
    {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), **_GROUPED},
)

convolution = operation(
    "convolution",
    "convolution",
    summary="Products of a kernel with the windows of an input, summed over input channels.",
    infer=_infer,
    evaluate=_run,
    attributes=ATTRIBUTES,
    vjp=lambda gy, x, w, y, **attrs: (
        convolution_input(gy, conjugate(w), lengths=x.shape[2:], **attrs),
        convolution_weight(gy, conjugate(x), kernel=w.shape[2:], **attrs),
    ),
    jvp=_tangent(lambda: convolution),
    complex=True,
    grad_name="ConvolutionBackward0",
    probe=Probe(shapes=(((2, 4, 5, 6), (4, 2, 3, 2)),), attrs=_PROBED),
)
convolution_input = operation(
    "convolution_input",
    "convolution",
    summary="The transpose of a convolution in its input: a transposed convolution.",
    infer=_infer_input,
    evaluate=_run_input,
    attributes=("lengths", *ATTRIBUTES),
    vjp=lambda gx, y, w, x, lengths, **attrs: (
        convolution(gx, conjugate(w), **attrs),
        convolution_weight(conjugate(y), gx, kernel=w.shape[2:], **attrs),
    ),
    jvp=_tangent(lambda: convolution_input),
    complex=True,
    grad_name="ConvolutionBackward0",
    probe=Probe(
        shapes=(((2, 4, 3, 5), (4, 2, 3, 2)),),
        attrs=(
            {"lengths": (5, 6), **_PROBED[0]},
            {"lengths": (6, 3), **_PROBED[1]},
        ),
    ),
)
convolution_weight = operation(
    "convolution_weight",
    "convolution",
    summary="The transpose of a convolution in its weight.",
    infer=_infer_weight,
    evaluate=_run_weight,
    attributes=("kernel", *ATTRIBUTES),
    vjp=lambda gw, y, x, w, kernel, **attrs: (
        convolution(conjugate(x), gw, **attrs),
        convolution_input(conjugate(y), gw, lengths=x.shape[2:], **attrs),
    ),
    jvp=_tangent(lambda: convolution_weight),
    complex=True,
    grad_name="ConvolutionBackward0",
    probe=Probe(
        shapes=(((2, 4, 3, 5), (2, 4, 5, 6)),),
        attrs=({"kernel": (3, 2), **_PROBED[0]},),
    ),
)
