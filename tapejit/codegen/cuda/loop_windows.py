"""Windows on a GPU: the largest element of each, and windows added up where they overlap.

Pooling: a thread is a window.

`unstrided` adds elements i of its operand to the places starts + steps @ i of the result.  Where no
two have one place, a thread is an element of the operand.  Where each axis of the operand runs
along one axis of the result, a thread is an element of the result, and gathers what belongs to it:
of each axis the operand's axes but one, the one with the longest steps, are walked through, and the
last one's index follows.  So each sum has its own order and no atomics.  Elsewhere (diagonals that
overlap) a thread is a unit, as on the CPU.
"""

from __future__ import annotations

import math

from tapejit.codegen.cuda.loop_places import begin, zero
from tapejit.codegen.cuda.texts import Recipe, number_of
from tapejit.codegen.cuda.words import cuda
from tapejit.ops.loops.pooling import behind_last, first_place, place_of_largest
from tapejit.ops.loops.words import wide
from tapejit.ops.strided import overlapping_axes, place_of
from tapejit.plan import LoopStep

# ---------------------------------------------------------------- pooling


def largest_of_windows(
    x, y, n0, t0, k0, s0, p0, d0, n1, t1, k1, s1, p1, d1, n2, t2, k2, s2, p2, d2, size
):
    """Of each axis the elements, windows, kernel, stride, padding, dilation."""
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        line = i // t2
        plane = line // t1
        w0, w1, w2 = plane % t0, line % t1, i % t2
        a0 = first_place(w0, n0, t0, k0, s0, p0, d0)
        a1 = first_place(w1, n1, t1, k1, s1, p1, d1)
        a2 = first_place(w2, n2, t2, k2, s2, p2, d2)
        b0 = behind_last(w0, n0, t0, k0, s0, p0, d0)
        b1 = behind_last(w1, n1, t1, k1, s1, p1, d1)
        b2 = behind_last(w2, n2, t2, k2, s2, p2, d2)
        first = plane // t0 * n0 * n1 * n2
        y[i] = place_of_largest(x, first, n1, n2, a0, b0, d0, a1, b1, d1, a2, b2, d2)


def pool(recipe: Recipe, step: LoopStep) -> None:
    """max_pool_index, adaptive_max_index"""
    size, meta = math.prod(step.views[1].shape), step.work.meta
    for axis in range(0, len(meta), 6):
        n, windows, kernel, _, padding, _ = meta[axis : axis + 6]
        recipe.extents.append(n + 2 * padding if kernel else n * (windows + 1))
    recipe.launch(largest_of_windows, *recipe.views, *step.work.meta, size, n=size)


# ---------------------------------------------------------------- overlapping windows
#
# These have the form of ops/loops, since how many axes there are is in meta.


def put_elements(args, meta, begin, end):
    """A unit is an element of the operand.  meta: where the window begins, axes; of each the
    length and the strides in x and y."""
    x, y = args
    for unit in range(begin, end):
        p, q, rest = 0, meta[0], unit
        for axis in range(meta[1] - 1, -1, -1):
            length = meta[2 + 3 * axis]
            i = rest % length
            rest = rest // length
            p += i * meta[3 + 3 * axis]
            q += i * meta[4 + 3 * axis]
        y[q] = x[p]


def gather_elements(args, meta, begin, end):
    """A unit is an element of the result.  meta: what there is to walk through for each; axes of
    the result, and where in meta they are (no literal, of which Numba asks more than a place in a
    tuple); of each its length, where windows begin, the axes walked through; the length, step
    and stride in x of the last axis; the same of those walked through."""
    x, y = args
    for unit in range(begin, end):
        total = wide(0)
        for tap in range(meta[0]):
            at, place, walk, here, is_hit = 0, unit, tap, meta[2], 1
            for _ in range(meta[1]):
                rest = place % meta[here] - meta[here + 1]
                place = place // meta[here]
                walked = meta[here + 2]
                length, step, stride = meta[here + 3], meta[here + 4], meta[here + 5]
                here += 6
                for _axis in range(walked):
                    i = walk % meta[here]
                    walk = walk // meta[here]
                    rest -= i * meta[here + 1]
                    at += i * meta[here + 2]
                    here += 3
                i = abs(rest) // abs(step)
                if i * step != rest or i >= length:
                    is_hit = 0
                at += i * stride
            if is_hit > 0:
                total += wide(x[at])
        y[unit] = total


def unstrided(recipe: Recipe, step: LoopStep) -> None:
    """unstrided"""
    (x, y), (view, result) = recipe.views, step.views
    known, size = step.kind.attributes(), math.prod(result.shape)
    number = number_of(y.dtype)
    starts, steps = known["starts"], known["steps"]
    offset, strides = place_of(starts, steps, result.strides)
    if not overlapping_axes(view.shape, strides):
        recipe.launch(begin, x, y, size, n=size, number=number, begun=zero)
        axes = zip(view.shape, view.strides, strides, strict=True)
        meta = (offset, len(view.shape), *(number for axis in axes for number in axis))
        recipe.run_loop(put_elements, [x, y], meta, math.prod(view.shape))
        return
    meta = _gathered(view, result.shape, starts, steps)
    if meta is None:
        run = step.work.run
        assert not isinstance(run, str)
        recipe.run_loop(run, [x, y], step.work.meta, step.work.units)
    else:
        recipe.run_loop(gather_elements, [x, y], meta, size, wide=number)


def _gathered(view, shape, starts, steps):
    """What gather_elements is told; None where an axis of the operand does not run along
    just one."""
    if any(sum(map(bool, column)) != 1 for column in zip(*steps, strict=True)):
        return None
    numbers, walked_through = [], 1
    for length, start, row in reversed([*zip(shape, starts, steps, strict=True)]):
        along = [
            (n, step, stride)
            for n, step, stride in zip(view.shape, row, view.strides, strict=True)
            if step
        ]
        along.sort(key=lambda axis: -abs(axis[1]))
        last, *walked = along or [(1, 1, 0)]
        walked_through *= math.prod(n for n, _, _ in walked)
        numbers += [length, start, len(walked), *last, *(x for axis in walked for x in axis)]
    return (walked_through, len(shape), 3, *numbers)
