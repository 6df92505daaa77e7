"""Discrete Fourier transforms: three linear rows, each other's adjoints.

    dft    real or complex -> complex, along axes, in either direction
    rdft   real -> the half of its spectrum that says all, halved along the last of the axes
    irdft  such a half -> real numbers, the sum over the whole spectrum

`scale` is what the sum is multiplied by: "none", "ortho" (1/sqrt(n)) or "full" (1/n); it is the
same for a transform and its adjoint, which only runs the other way.  The half spectrum counts each
inner element once where the whole has two, so the adjoint of rdft halves them and that of irdft
doubles them; both factors are attributes of the rows (`doubled`, `halved`), which closes the
circle: no rule needs arithmetic of its own, for even and odd lengths alike.

Lengths are settled before: the front door (fft.py) crops and pads with slices.  SciPy's pocketfft
does the work, in single precision for single precision.
"""

from __future__ import annotations

import numpy as np

from tapejit.errors import DtypeError
from tapejit.families import operation
from tapejit.registry import Probe
from tapejit.shapes import aval

SCALES = ("none", "ortho", "full")
_FORWARD = dict(zip(SCALES, ("backward", "ortho", "forward"), strict=True))
_INVERSE = dict(zip(SCALES, ("forward", "ortho", "backward"), strict=True))


def _scipy():
    from scipy import fft  # a fifth of a second: only who transforms waits for it

    return fft


def _run_dft(x, axes, inverse, scale):
    if not x.size:
        return np.zeros(x.shape, np.result_type(x, np.complex64))
    fft = _scipy()
    if inverse:
        return fft.ifftn(x, axes=axes, norm=_INVERSE[scale])
    return fft.fftn(x, axes=axes, norm=_FORWARD[scale])


dft = operation(
    "dft",
    "fourier",
    summary="Discrete Fourier transform along axes, in either direction.",
    infer=lambda avals, axes, inverse, scale: aval(avals[0].shape, avals[0].dtype.to_complex()),
    evaluate=_run_dft,
    attributes=("axes", "inverse", "scale"),
    vjp=lambda gy, x, y, axes, inverse, scale: (
        dft(gy, axes=axes, inverse=not inverse, scale=scale),
    ),
    jvp=lambda tangents, x, y, **attrs: dft(tangents[0], **attrs),
    linear=True,
    complex=True,
    rule="float",
    grad_name="FftC2CBackward0",
    note="Of a real tensor the cotangent is the real part of the adjoint, as PyTorch has it.",
    probe=Probe(
        attrs=(
            {"axes": (1,), "inverse": False, "scale": "none"},
            {"axes": (0, 1), "inverse": True, "scale": "full"},
            {"axes": (0,), "inverse": True, "scale": "ortho"},
        )
    ),
)

# ---------------------------------------------------------------- half spectra


def _inner(n):
    """Of a half spectrum of n numbers, the elements that stand for two."""
    return slice(1, (n + 1) // 2)


def _along(x, axis, part):
    return x[(slice(None),) * axis + (part,)]


def _run_rdft(x, axes, scale, doubled):
    n, last = x.shape[axes[-1]], axes[-1]
    if not x.size:
        shape = tuple(n // 2 + 1 if i == last else m for i, m in enumerate(x.shape))
        return np.zeros(shape, np.result_type(x, np.complex64))
    y = _scipy().rfftn(x, axes=axes, norm=_FORWARD[scale])
    if doubled:
        _along(y, last, _inner(n))[...] *= 2
    return y


def _infer_rdft(avals, axes, scale, doubled):
    (x,) = avals
    if x.dtype.is_complex:
        raise DtypeError("rfft expects a real input tensor, but got a complex one\n  try  fft")
    shape = tuple(n // 2 + 1 if i == axes[-1] else n for i, n in enumerate(x.shape))
    return aval(shape, x.dtype.to_complex())


rdft = operation(
    "rdft",
    "fourier",
    summary="The half spectrum of real numbers along axes.",
    infer=_infer_rdft,
    evaluate=_run_rdft,
    attributes=("axes", "scale", "doubled"),
    vjp=lambda gy, x, y, axes, scale, doubled: (
        irdft(gy, axes=axes, n=x.shape[axes[-1]], scale=scale, halved=not doubled),
    ),
    jvp=lambda tangents, x, y, **attrs: rdft(tangents[0], **attrs),
    linear=True,
    rule="float",
    grad_name="FftR2CBackward0",
    probe=Probe(
        shapes=(((3, 4),), ((2, 5),)),
        attrs=(
            {"axes": (1,), "scale": "none", "doubled": False},
            {"axes": (0, 1), "scale": "full", "doubled": True},
        ),
    ),
)


def _run_irdft(x, axes, n, scale, halved):
    last = axes[-1]
    if halved:
        x = np.array(x)
        _along(x, last, _inner(n))[...] *= 0.5
    lengths = [n if a == last else x.shape[a] for a in axes]
    if not x.size:
        shape = tuple(n if i == last else m for i, m in enumerate(x.shape))
        return np.zeros(shape, np.finfo(np.result_type(x, np.complex64)).dtype)
    return _scipy().irfftn(x, s=lengths, axes=axes, norm=_INVERSE[scale])


irdft = operation(
    "irdft",
    "fourier",
    summary="Real numbers of which a tensor is the half spectrum, along axes; the last gets n.",
    infer=lambda avals, axes, n, scale, halved: aval(
        tuple(n if i == axes[-1] else m for i, m in enumerate(avals[0].shape)),
        avals[0].dtype.to_complex().to_real(),
    ),
    evaluate=_run_irdft,
    attributes=("axes", "n", "scale", "halved"),
    vjp=lambda gy, x, y, axes, n, scale, halved: (
        rdft(gy, axes=axes, scale=scale, doubled=not halved),
    ),
    jvp=lambda tangents, x, y, **attrs: irdft(tangents[0], **attrs),
    linear=True,
    complex=True,
    rule="float",
    grad_name="FftC2RBackward0",
    note="Imaginary parts that no real numbers have, as of the first element, count for nothing.",
    probe=Probe(
        shapes=(((4, 3),),),
        attrs=(
            {"axes": (1,), "n": 4, "scale": "none", "halved": False},
            {"axes": (1,), "n": 5, "scale": "ortho", "halved": True},
            {"axes": (0, 1), "n": 5, "scale": "full", "halved": False},
        ),
    ),
)
