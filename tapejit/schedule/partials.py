"""Sums over the outermost axis in parts, so that threads can share them.

The gradient of a bias is a sum over the batch: each unit of the loop adds its row to the same
memory, so all of them belong to one thread.  Where that is long the outermost axis is cut into a
few parts, each of which adds up in memory of its own, and one more small loop adds the parts.
How many parts there are depends on the length alone: every number of threads gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tapejit.plan import (
    KernelStep,
    LoopKernel,
    Node,
    Operand,
    Output,
    RowKernel,
    RowStep,
    View,
    is_total,
)
from tapejit.schedule.views import contiguous

PARTS = 16
"""At most; more would only be more to add up in the end."""
SHORTEST = 8 * PARTS
"""Units along the axis: what the parts take is written and read once more."""
SMALLEST = 1 << 18
"""Elements of a loop from which threads gain (50 to 100 us)."""


def in_parts(step: KernelStep | RowStep, add: Callable[..., int]) -> list[KernelStep | RowStep]:
    """The step, cut if that lets threads share it, and the loops that add up the parts.

    add  makes a temporary buffer of the dtype of another: add(buffer, shape)
    """
    parts = step.parts
    length = parts[0].lengths[0]
    if length < SHORTEST or max(math.prod(part.lengths) for part in parts) < SMALLEST:
        return [step]
    if not any(_is_added_up(o) for part in parts for o in part.kernel.outputs):
        return [step]
    if any(node.fn == "index" and 0 in node.operands for p in parts for node in p.kernel.nodes):
        return [step]
    n_parts = next(n for n in range(min(PARTS, length), 0, -1) if length % n == 0)
    sums: list[KernelStep | RowStep] = []
    cut = tuple([_cut(part, n_parts, add, sums) for part in parts])
    if isinstance(step, KernelStep):
        return [*cut, *sums]
    return [RowStep(RowKernel(tuple([part.kernel for part in cut])), cut), *sums]


def _is_added_up(output):
    """Whether all units along the outermost axis meet in the same memory."""
    steps = output.operand.steps
    return output.reduce is not None and steps[0] == "0" and not is_total(output)


def _cut(step, n_parts, add, sums):
    """A loop with its outermost axis as two; what its sums need in the end goes to `sums`."""
    kernel, (length, *rest) = step.kernel, step.lengths
    lengths = (n_parts, length // n_parts, *rest)

    def walk(operand):
        return operand._replace(steps=operand.steps[0] + operand.steps)

    def view(v):
        return v._replace(shape=lengths, strides=(lengths[1] * v.strides[0], *v.strides))

    outputs, written = [], []
    for output, place in zip(kernel.outputs, step.written, strict=True):
        operand, place = walk(output.operand), view(place)
        if _is_added_up(output):
            kept = [axis for axis, letter in enumerate(operand.steps) if letter != "0"]
            shape = (n_parts, *(lengths[axis] for axis in kept))
            buffer = add(place.buffer, shape)
            sums.append(_sum(output, place, buffer, shape, kept))
            along = dict(zip((0, *kept), contiguous(shape), strict=True))
            strides = tuple([along.get(axis, 0) for axis in range(len(lengths))])
            operand = operand._replace(steps=_letters(strides, operand.steps))
            place = View(buffer, 0, lengths, strides)
        outputs.append(output._replace(operand=operand))
        written.append(place)
    nodes = [
        Node(fn, dtype, (operands[0] + 1,)) if fn == "index" else Node(fn, dtype, operands)
        for fn, dtype, operands in kernel.nodes
    ]
    inputs = [walk(operand) for operand in kernel.inputs]
    cut = LoopKernel(len(lengths), tuple(inputs), tuple(nodes), tuple(outputs))
    views = [view(v) for v in step.views[: len(inputs)]]
    return KernelStep(cut, lengths, (*views, *written))


def _letters(strides, like):
    """Steps along the axes; the last keeps its letter, "1" only if it moves by one."""
    last = "1" if strides[-1] == 1 and like[-1] != "0" else "s" if strides[-1] else "0"
    return "".join("s" if stride else "0" for stride in strides[:-1]) + last


def _sum(output, place, buffer, shape, kept):
    """The loop that adds up the parts, in their order, where the result belongs."""
    dtype, to = output.operand.dtype, (0, *(place.strides[axis] for axis in kept))
    source = View(buffer, 0, shape, contiguous(shape))
    target = View(place.buffer, place.offset, shape, to)
    kernel = LoopKernel(
        len(shape),
        (Operand(dtype, _letters(source.strides, "s" * len(shape))),),
        (Node("load", dtype, (0,)),),
        (Output(0, Operand(dtype, _letters(to, "s" * len(shape))), output.reduce),),
    )
    return KernelStep(kernel, shape, (source, target))
