"""Reads and sums at places that are constants, as operands of the kernels beside them.

`level[county]` of a function that reads `county` from outside is a loop that writes what a kernel
then reads, and its slope a loop that adds up what a kernel wrote.  In code with the places written
in, the kernel reads and adds there itself: a pass over memory less each way, and no place is
tested.  A regression of 919 houses in 83 counties takes 0.82 us instead of 1.12.

Start at `fold`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tapejit.ops.loops import places
from tapejit.plan import Buffer, KernelStep, LoopStep, View


class Placed(NamedTuple):
    """A kernel of one axis that walks through some operands by places."""

    step: KernelStep
    places: dict[int, np.ndarray]
    """Operand -> where its elements lie, along the axis."""

    @property
    def views(self) -> tuple[View, ...]:
        """The operands; a view by places begins where they count from."""
        return self.step.views


def fold(
    steps: Sequence, buffers: Sequence[Buffer], kept: set[int], known: Mapping[int, np.ndarray]
) -> list:
    """The steps with reads and sums at known places inside kernels, where that can be.

    kept   buffers that are results
    known  number of an input -> its constant value
    """
    steps = list(steps)
    for number, step in enumerate(steps):
        if isinstance(step, LoopStep) and step.work.run is places.read_rows:
            found = _known_places(step, buffers, known, step.work.meta)
            if found is not None and step.views[2].buffer not in kept:
                _fold_read(steps, number, found)
    for number, step in enumerate(steps):
        if isinstance(step, LoopStep) and step.work.run is places.add_rows:
            found = _known_places(step, buffers, known, step.work.meta[1:3])
            if found is not None and step.views[0].buffer not in kept:
                _fold_add(steps, number, found)
    return [step for step in steps if step is not None]


def _known_places(step, buffers, known, meta) -> np.ndarray | None:
    """The places of single numbers, all within range; None if they are not known."""
    length, inner = meta
    at = step.views[1]
    record = buffers[at.buffer]
    values = known.get(record.number) if record.role == "input" else None
    if inner != 1 or values is None or len(at.shape) != 1:
        return None
    flat = np.ascontiguousarray(values).reshape(-1)
    found = flat[at.offset + at.strides[0] * np.arange(at.shape[0])].astype(np.int64)
    found = np.where(found < 0, found + length, found)
    return found if ((found >= 0) & (found < length)).all() else None


def _fold_read(steps, number, found):
    """Let who reads the result read what it was taken from."""
    x, _, y = steps[number].views
    readers = [i for i, step in enumerate(steps) if i != number and _reads(step, y.buffer)]
    if not all(_walks(_kernel(steps[i]), y.buffer, len(found)) for i in readers):
        return
    source = View(x.buffer, x.offset, y.shape, x.strides[:1] or (1,))
    for i in readers:
        for k, view in enumerate(steps[i].views):
            if view.buffer == y.buffer:
                steps[i] = _placed(steps[i], k, source, found)
    steps[number] = None


def _fold_add(steps, number, found):
    """Let who writes what is added up add it up."""
    x, _, y = steps[number].views
    users = [i for i, step in enumerate(steps) if i != number and _reads(step, x.buffer)]
    kernel = _kernel(steps[users[0]]) if len(users) == 1 else None
    if kernel is None or not _walks(kernel, x.buffer, len(found), is_written=True):
        return
    k = [view.buffer for view in kernel.views].index(x.buffer)
    target = View(y.buffer, 0, x.shape, (1,))
    steps[users[0]] = _placed(steps[users[0]], k, target, found)
    steps[number] = None


def _kernel(step) -> KernelStep | None:
    step = step.step if isinstance(step, Placed) else step
    return step if isinstance(step, KernelStep) else None


def _reads(step, buffer) -> bool:
    """Whether a step has to do with a buffer."""
    if step is None:
        return False
    return any(view.buffer == buffer for view in step.views) or buffer == getattr(
        step, "buffer", None
    )


def _walks(step, buffer, count, is_written=False) -> bool:
    """Whether a kernel of one axis goes through a buffer element by element."""
    if step is None or step.lengths != (count,):
        return False
    n_inputs = len(step.kernel.inputs)
    for k, view in enumerate(step.views):
        if view.buffer == buffer:
            is_output = k >= n_inputs
            plain = view.offset == 0 and view.strides == (1,)
            reduced = is_output and step.kernel.outputs[k - n_inputs].reduce is not None
            if not plain or reduced or is_output != is_written:
                return False
    return True


def _placed(step, k, view, found) -> Placed:
    """The kernel with operand k at places."""
    kernel, known = (step.step, step.places) if isinstance(step, Placed) else (step, {})
    views = (*kernel.views[:k], view, *kernel.views[k + 1 :])
    return Placed(kernel._replace(views=views), known | {k: found})
