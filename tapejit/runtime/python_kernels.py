"""Kernels run as plain Python (TAPEJIT_JIT=0): slow, and every error is an ordinary traceback.

`make_python_launcher` gives what launcher.make_launcher gives, `launch(*arrays)`, for the text of
codegen/loop_text.py.  The text lies in a file (sources.py), so tracebacks and debuggers show it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tapejit.codegen.loop_text import emit_source
from tapejit.plan import KernelStep, RowStep, is_total
from tapejit.runtime.sources import namespace

_NUMPY = {"f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.bool_}


def make_python_launcher(
    step: KernelStep | RowStep, offsets: tuple[int, ...]
) -> Callable[..., None]:
    """`launch(*arrays)` for one step; `offsets` are bytes, as for native launchers."""
    scope = namespace(emit_source(step.kernel, "kernel"))
    operands = [operand for part in step.parts for operand in _operands(part)]
    dtypes = [_NUMPY[dtype] for dtype, _, _ in operands]
    turned = [view is not None and any(s < 0 for s in view.strides) for _, view, _ in operands]
    written = [k for k, (_, _, is_written) in enumerate(operands) if is_written and turned[k]]
    meta = step.meta

    def launch(*arrays):
        flat = [
            _flat(array, dtype, offset, turn)
            for array, dtype, offset, turn in zip(arrays, dtypes, offsets, turned, strict=True)
        ]
        with np.errstate(all="ignore"):
            if "kernel_start" in scope:
                scope["kernel_start"](flat, meta)
            scope["kernel"](flat, meta, 0, step.units)
            if "kernel_finish" in scope:
                scope["kernel_finish"](flat, meta)
        for k in written:
            _write_back(arrays[k], flat[k], offsets[k], operands[k][1])

    return launch


def _operands(part):
    """What a loop takes: dtype, view, whether it is an output; scratch areas have no view."""
    kernel, views = part.kernel, iter(part.views)
    yield from ((operand.dtype, next(views), False) for operand in kernel.inputs)
    yield from ((output.operand.dtype, next(views), True) for output in kernel.outputs)
    yield from ((o.operand.dtype, None, False) for o in kernel.outputs if is_total(o))


def _flat(array, dtype, offset, is_turned):
    """Elements from the operand's first on; all of them, that one in front, if some lie before."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # constants are broadcast
    size = np.dtype(dtype).itemsize
    if is_turned:
        data = data[: len(data) // size * size]
        return np.roll(data.view(dtype), -(offset // size))
    data = data[offset:]
    return data[: len(data) // size * size].view(dtype)


def _write_back(array, turned, offset, view):
    """The elements of one output from its turned copy; its memory holds other things too."""
    places = sum(
        np.arange(n).reshape([-1 if i == axis else 1 for i in range(len(view.shape))]) * stride
        for axis, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True))
    )
    data = array.reshape(-1).view(np.uint8)
    data = data[: len(data) // turned.itemsize * turned.itemsize].view(turned.dtype)
    data[places + offset // turned.itemsize] = turned[places]
