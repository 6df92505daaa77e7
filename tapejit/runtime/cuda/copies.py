"""Copies between arrays on a GPU that lie differently: one loop over all elements.

Elements are moved as whole words, whatever they mean: a complex128 as two int64 along an axis of
its own, so that any dtype can be copied and all bits stay.
"""

from __future__ import annotations

from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import Launches
from tapejit.plan import KernelStep, LoopKernel, Node, Output, View
from tapejit.plan import Operand as Walk
from tapejit.registry import Operand

_WORDS = {1: ("u8", 1), 2: ("u16", 1), 4: ("i32", 1), 8: ("i64", 1), 16: ("i64", 2)}
"""By bytes of an element: what it is moved as, and how many of them it is."""


def copy_launches(source: Operand, target: Operand, block: int) -> Launches:
    """View 0 becomes view 1: two operands of one shape and dtype, neither empty."""
    assert source.shape == target.shape and source.dtype is target.dtype, (source, target)
    word, count = _WORDS[source.dtype.itemsize]
    lengths = (*source.shape, count) if count > 1 else source.shape or (1,)
    walks, views = [], []
    for number, operand in enumerate((source, target)):
        strides = operand.strides or (0,)
        if count > 1:
            strides = (*(stride * count for stride in operand.strides), 1)
        walks.append(Walk(word, _steps(strides, "s" if number else "0")))
        views.append(View(number, 0, lengths, strides))
    kernel = LoopKernel(
        len(lengths), (walks[0],), (Node("load", word, (0,)),), (Output(0, walks[1], None),)
    )
    return launches_of(KernelStep(kernel, lengths, tuple(views)), block)


def _steps(strides, standing):
    """How a kernel walks along each axis: by one along the last, by strides; or it stays."""
    steps = [standing if stride == 0 else "s" for stride in strides]
    if strides[-1] == 1:
        steps[-1] = "1"
    return "".join(steps)
