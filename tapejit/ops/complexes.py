"""Complex numbers taken apart and put together: real, imag, conj, angle, complex, and as pairs.

Every operation here is linear over the real numbers, angle excepted, and none is over the complex
ones; so conj and the pairs state both rules, and real and imag a slope of which the real part
counts (see `registry` for the convention).

Rules of other operations use `conjugate`, which emits nothing for real rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit.errors import DtypeError, ShapeError
from tapejit.families import elementwise, operation
from tapejit.ops.selection import where
from tapejit.registry import Probe
from tapejit.shapes import Aval, aval, broadcast

# ---------------------------------------------------------------- parts

real = elementwise(
    "real",
    summary="The real part of each element.",
    code="x",
    evaluate=lambda x: np.real(x)[()],
    partials=lambda x, y: (1.0,),
    linear=True,
    complex=True,
    gives_real=True,
    grad_name="RealBackward0",
)


def real_of(x):
    """The real part; emits nothing for real rows."""
    return real(x) if x.dtype.is_complex else x


def _infer_imag(avals) -> Aval:
    (x,) = avals
    if not x.dtype.is_complex:
        raise DtypeError("imag is not implemented for tensors with non-complex dtypes.")
    return aval(x.shape, x.dtype.to_real())


imag = operation(
    "imag",
    "complex",
    summary="The imaginary part of each element.",
    infer=_infer_imag,
    evaluate=lambda x: np.imag(x)[()],
    partials=lambda x, y: (-1j,),
    complex=True,
    grad_name="ImagBackward0",
    probe=Probe(dtypes=("complex128",)),
)


def _angle_slope(x):
    if not x.dtype.is_complex:
        return 0.0
    is_zero = x == 0.0
    return where(is_zero, 0.0, -1j / where(is_zero, 1.0, x))


def _run_angle(x):
    if x.dtype.kind == "c":
        return np.angle(x)
    return np.where(np.isnan(x), x, np.where(x < 0, np.pi, 0.0)).astype(x.dtype)[()]


angle = elementwise(
    "angle",
    summary="The angle of each element with the positive real axis; 0 or pi of real ones.",
    code="x if x != x else (math.pi if x < 0.0 else 0.0)",
    evaluate=_run_angle,
    partials=lambda x, y: (_angle_slope(x),),
    rule="float",
    complex=True,
    gives_real=True,
    grad_name="AngleBackward0",
    note="Slope 0 at 0, as in PyTorch.",
)
conj = operation(
    "conj",
    "complex",
    summary="The complex conjugate of each element.",
    infer=lambda avals: avals[0],
    evaluate=np.conjugate,
    vjp=lambda gy, x, y: (conjugate(gy),),
    jvp=lambda tangents, x, y: conjugate(tangents[0]),
    complex=True,
    grad_name="ConjBackward0",
    probe=Probe(dtypes=("complex128", "float64")),
)


def conjugate(x: Any) -> Any:
    """The conjugate of a Ref or number: x itself where it is real."""
    if isinstance(x, complex):
        return x.conjugate()
    is_complex = getattr(getattr(x, "dtype", None), "is_complex", False)
    return conj(x) if is_complex else x


# ---------------------------------------------------------------- from parts


def _infer_complex(avals):
    re, im = avals
    if not re.dtype.is_floating_point:
        raise DtypeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{re.dtype} and {im.dtype}\n  try  .float() or .double()"
        )
    return aval(broadcast("complex", re.shape, im.shape), re.dtype.to_complex())


def _run_complex(re, im):
    shape = np.broadcast_shapes(np.shape(re), np.shape(im))
    y = np.empty(shape, np.result_type(re, np.complex64))
    y.real, y.imag = re, im
    return y[()]


def _complex_jvp(tangents, re, im, y):
    tre, tim = (
        y.builder.literal(0, x.aval) if t is None else t
        for t, x in zip(tangents, (re, im), strict=True)
    )
    return complex_(tre, tim)


complex_ = operation(
    "complex",
    "complex",
    summary="Complex numbers of these real and imaginary parts.",
    infer=_infer_complex,
    evaluate=_run_complex,
    vjp=lambda gy, re, im, y: (real(gy), imag(gy)),
    jvp=_complex_jvp,
    rule="promote",
    grad_name="ComplexBackward0",
    probe=Probe(shapes=(((3, 4), (3, 4)), ((3, 1), (4,))), dtypes=("float64", "float32")),
)

# ---------------------------------------------------------------- pairs


def _infer_pairs(avals):
    (x,) = avals
    if not x.dtype.is_complex:
        raise DtypeError("view_as_real is only supported for complex tensors")
    return aval((*x.shape, 2), x.dtype.to_real())


def _run_pairs(x):
    return np.asarray(x)[..., None].view(np.finfo(x.dtype).dtype)


def _infer_unpaired(avals) -> Aval:
    (x,) = avals
    if not x.dtype.is_floating_point:
        raise DtypeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {x.dtype.name}"
        )
    if not x.ndim or x.shape[-1] != 2:
        raise ShapeError("Tensor must have a last dimension of size 2")
    return aval(x.shape[:-1], x.dtype.to_complex())


def _run_unpaired(x):
    kind = np.result_type(x, np.complex64)
    if x.itemsize * 2 != kind.itemsize or x.strides[-1] != x.itemsize:
        x = np.ascontiguousarray(x, np.finfo(kind).dtype)
    return x.view(kind)[..., 0]


view_as_real = operation(
    "view_as_real",
    "view",
    summary="Complex numbers as pairs along a new last axis, on the same memory.",
    infer=_infer_pairs,
    evaluate=_run_pairs,
    vjp=lambda gy, x, y: (view_as_complex(gy),),
    jvp=lambda tangents, x, y: view_as_real(tangents[0]),
    grad_name="ViewAsRealBackward0",
    probe=Probe(dtypes=("complex128",)),
)
view_as_complex = operation(
    "view_as_complex",
    "view",
    summary="Pairs along the last axis as complex numbers, on the same memory.",
    infer=_infer_unpaired,
    evaluate=_run_unpaired,
    vjp=lambda gy, x, y: (view_as_real(gy),),
    jvp=lambda tangents, x, y: view_as_complex(tangents[0]),
    complex=False,
    grad_name="ViewAsComplexBackward0",
    probe=Probe(shapes=(((3, 2),), ((2,),)), dtypes=("float64", "float32")),
)
