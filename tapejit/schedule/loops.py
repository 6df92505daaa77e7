"""Steps by an operation's own loop: what it is given, and operands that must be copied for it.

Placement asks `work_of` whether there will be such a step; the planner makes it when it knows where
the operands lie (`loop_step`).
"""

from __future__ import annotations

from collections.abc import Iterable

from tapejit.dtypes import DType
from tapejit.plan import KernelStep, LoopKernel, LoopStep, Node, Output, View
from tapejit.plan import Operand as Walk
from tapejit.registry import Kind, Loop, Operand, Work
from tapejit.schedule.views import contiguous, is_contiguous
from tapejit.shapes import Aval


def row_major(aval: Aval) -> Operand:
    """An operand in memory of its own."""
    return Operand(aval.shape, contiguous(aval.shape), aval.dtype)


def work_of(
    kind: Kind, operands: Iterable[Operand], alone: bool = False, device: bool = False
) -> Work | None:
    """The work of an operation's loop; None where `evaluate` is to run: other dtypes than those of
    kernels, nothing to do, or the loop does not want it.

    alone   where no library can be called
    device  on a GPU
    """
    operands = tuple(operands)
    assert kind.op.loop is not None
    loop = kind.op.loop
    if not (kind.aval.size and _memory_dtype(loop, kind.aval.dtype, device)):
        return None
    if not all(_memory_dtype(loop, x.dtype, device) and all(x.shape) for x in operands):
        return None
    work = (loop.alone or loop.work) if alone else loop.work
    work = loop.device or work if device else work
    return work(operands, row_major(kind.aval), **kind.attributes())


def _memory_dtype(loop: Loop, dtype: DType, device: bool) -> str | None:
    """The name that kernels know a dtype by."""
    if dtype.is_complex and device and loop.complex:
        return {"complex64": "c64", "complex128": "c128"}[dtype.name]
    return dtype.kernel


def is_loop(work: Work | None, device: bool) -> bool:
    """Whether there will be a step by the loop; a GPU has libraries of its own for native ones."""
    return work is not None and not (device and isinstance(work.run, str))


def takes(loop: Loop, operand: Operand) -> bool:
    """Whether a loop reads an operand where it lies."""
    if is_contiguous(operand.shape, operand.strides):
        return True
    return loop.reads is not None and loop.reads(operand)


def loop_step(
    kind: Kind,
    operands: tuple[Operand, ...],
    views: tuple[View, ...],
    alone: bool = False,
    device: bool = False,
) -> LoopStep:
    """The step for operands that lie at `views`, the result's last."""
    work = work_of(kind, operands, alone, device)
    assert work is not None and kind.op.loop is not None
    loop = kind.op.loop
    seen = (*(operand.dtype for operand in operands), kind.aval.dtype)
    areas = [dtype for dtype, _ in work.scratch] + ["i64"] * loop.has_status
    dtypes = [name for dtype in seen if (name := _memory_dtype(loop, dtype, device))]
    return LoopStep(kind, work, (*dtypes, *areas), views)


def copy_step(view: View, dtype: str, buffer: int) -> KernelStep:
    """The elements of a view in row-major order in a buffer of their own."""
    lengths = view.shape or (1,)
    source, target = (View(v.buffer, v.offset, lengths, v.strides or (0,)) for v in (
        view, View(buffer, 0, view.shape, contiguous(view.shape)),
    ))  # fmt: skip
    steps = "s" * len(lengths)
    walk = Walk(dtype, steps[1:] + "1")
    kernel = LoopKernel(
        len(lengths),
        (Walk(dtype, steps),),
        (Node("load", dtype, (0,)),),
        (Output(0, walk, None),),
    )
    return KernelStep(kernel, lengths, (source, target))
