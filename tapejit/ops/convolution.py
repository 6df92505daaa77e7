"""Convolutions: three records, closed under differentiation, for any number of spatial axes.

    convolution         (input, weight)     -> output
    convolution_input   (output, weight)    -> input     the transposed convolution
    convolution_weight  (output, input)     -> weight

Each is bilinear, and each one's cotangents and tangents are the other two: input (n, c, *S), weight
(o, c / groups, *K), output (n, o, *T), where T = (S + 2 padding - dilation (K - 1) - 1) // stride
+ 1.  Values are in `correlation`.
"""

from __future__ import annotations

from tapejit.errors import ShapeError
from tapejit.families import operation
from tapejit.ops import correlation
from tapejit.ops.complexes import conjugate
from tapejit.ops.correlation import output_lengths
from tapejit.ops.loops import convolutions
from tapejit.registry import Loop, Probe
from tapejit.shapes import aval

ATTRIBUTES = ("stride", "padding", "dilation", "groups")


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
    evaluate=correlation.output,
    loop=Loop(convolutions.convolution_work, device=convolutions.device_work),
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
    evaluate=correlation.input,
    loop=Loop(convolutions.input_work, device=convolutions.device_work),
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
    evaluate=correlation.weight,
    loop=Loop(convolutions.weight_work, device=convolutions.device_work),
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
