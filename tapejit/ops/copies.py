"""The same numbers in another dtype, in memory of their own, or cut off from the derivative."""

from __future__ import annotations

import numpy as np

from tapejit import dtypes
from tapejit.families import operation
from tapejit.ops.movement import expand
from tapejit.registry import Alias, Probe
from tapejit.shapes import aval, broadcast


def _run_cast(x, dtype):
    x, wanted = np.asarray(x), dtypes.named(dtype).dtype
    if x.dtype.kind == "c" and wanted.kind not in "cb":
        x = np.real(x)  # NumPy would warn; who should hear of it is told at the front door
    return x.astype(wanted)[()]


cast = operation(
    "cast",
    "cast",
    summary="The same numbers in another dtype.",
    infer=lambda avals, dtype: aval(avals[0].shape, dtypes.named(dtype)),
    evaluate=_run_cast,
    attributes=("dtype",),
    vjp=lambda gy, x, y, dtype: (gy,),
    linear=True,
    grad_name="ToCopyBackward0",
    probe=Probe(attrs=({"dtype": "float64"},)),
)
clone = operation(
    "clone",
    "copy",
    summary="A copy that shares no memory.",
    infer=lambda avals: avals[0],
    evaluate=lambda x: np.array(x, copy=True),
    vjp=lambda gy, x, y: (gy,),
    linear=True,
    alias=Alias("clone", "copy"),
    grad_name="CloneBackward0",
)


def _run_to_device(x, device):
    assert device == "cpu", device  # runtime/devices.py does the others
    return np.array(x, copy=True)


def _as(x, dtype):
    return x if x.dtype is dtype else cast(x, dtype=dtype.name)


copy_into = operation(
    "copy_into",
    "copy",
    summary="The second operand in the shape and dtype of the first (what x.copy_(v) writes).",
    infer=lambda avals: aval(broadcast("copy_", avals[0].shape, avals[1].shape), avals[0].dtype),
    evaluate=lambda x, v: np.broadcast_to(np.asarray(v), np.shape(x)).astype(x.dtype),
    vjp=lambda gy, x, v, y: (None, gy),
    jvp=lambda tangents, x, v, y: tangents[1],
    decompose=lambda x, v: expand(_as(v, x.dtype), shape=x.shape),
    rule="first",
    grad_name="CopyBackwards",
    probe=Probe(shapes=(((2, 3), (3,)),)),
)
to_device = operation(
    "to_device",
    "copy",
    summary="The same numbers in the memory of another device.",
    infer=lambda avals, device: avals[0].on(device),
    evaluate=_run_to_device,
    attributes=("device",),
    vjp=lambda gy, x, y, device: (to_device(gy, device=x.aval.device),),
    jvp=lambda tangents, x, y, device: to_device(tangents[0], device=device),
    grad_name="ToCopyBackward0",
    probe=Probe(attrs=({"device": "cpu"},)),
)
detach = operation(
    "detach",
    "copy",
    summary="The same value, cut off from the derivative (on traces; eager tensors just share).",
    infer=lambda avals: avals[0],
    evaluate=lambda x: x,
)


def _infer_bits(avals, dtype):
    (x,), dtype = avals, dtypes.named(dtype)
    if dtype.itemsize == x.dtype.itemsize:
        return aval(x.shape, dtype)
    *others, n = x.shape
    return aval((*others, n * x.dtype.itemsize // dtype.itemsize), dtype)


def _run_bits(x, dtype):
    dtype, x = dtypes.named(dtype).dtype, np.asarray(x)
    if dtype.itemsize != x.itemsize and x.strides[-1] != x.itemsize:
        x = np.ascontiguousarray(x)
    return x.view(dtype)


bits = operation(
    "bits",
    "bits",
    summary="The same memory read as numbers of another dtype; it has no derivative.",
    infer=_infer_bits,
    evaluate=_run_bits,
    attributes=("dtype",),
    note="Lengths of the last axis follow the sizes of the dtypes.",
    probe=Probe(shapes=(((3, 8),),), attrs=({"dtype": "uint8"},)),
)
