"""The steps of a plan as a GPU does them: library steps become copies, loops, or stay.

On the CPU a library step is NumPy's or SciPy's, for anything.  Here it is, in this order:

    a constant    if it reads no element of an array, like a sum of none
    library       if libraries/calls.py has it
    copies        if it takes elements elsewhere: of dtypes that kernels do not take, parts of
                  complex numbers, arrays without elements among others; or changes their dtype
    a loop        of the operation, where a CPU calls a library because it is faster
    itself        and libraries/calls.py says that there is no form of it

Start at `device_steps`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tapejit.dtypes import DType
from tapejit.plan import Buffer, KernelStep, LibraryStep, LoopStep, Plan, RowStep, View
from tapejit.registry import Kind, Operand
from tapejit.runtime.cuda.copies import has_text
from tapejit.schedule.loops import loop_step, takes, work_of
from tapejit.schedule.pieces import pieces_of
from tapejit.schedule.views import contiguous

# ---------------------------------------------------------------- data


class Copy(NamedTuple):
    """The elements of a view, at another."""

    source: View
    target: View
    dtype: DType
    """Of the elements; offsets and strides count in it, also where they are parts of others."""
    to: DType | None = None
    """What they become, if something else: a cast."""

    @property
    def views(self) -> tuple[View, ...]:
        """Both."""
        return (self.source, self.target)


Step = KernelStep | RowStep | LoopStep | LibraryStep | Copy


class Steps(NamedTuple):
    """What a GPU does for a plan."""

    buffers: list[Buffer]
    """Those that hold outputs have the role "output", and their shape."""
    steps: list[Step]
    outputs: list[int]
    """The buffer of each output."""


# ---------------------------------------------------------------- the walk


def device_steps(plan: Plan, is_library: Callable[[Kind, list[Operand]], bool]) -> Steps:
    """Steps, and buffers, of a plan that was made for a device.

    is_library  whether an operation on operands that lie so is a library's
    """
    return _Steps(plan, is_library).run(plan)


def has_kernel(kind: Kind) -> bool:
    """Whether a kernel of copies.py does it."""
    return has_text(kind.op.name, kind.aval.dtype)


def operand_of(buffers: list[Buffer], view: View) -> Operand:
    """How a view lies; of a constant number there is one element."""
    record = buffers[view.buffer]
    is_number = record.role == "constant" and not isinstance(record.number, np.ndarray)
    return Operand(view.shape, (0,) * len(view.shape) if is_number else view.strides, record.dtype)


def whole(buffers: list[Buffer], buffer: int) -> View:
    """All of a buffer."""
    shape = buffers[buffer].shape
    return View(buffer, 0, shape, contiguous(shape))


class _Steps:
    def __init__(self, plan: Plan, is_library: Callable[[Kind, list[Operand]], bool]):
        self.buffers = list(plan.buffers)
        self.is_library = is_library

    def run(self, plan: Plan) -> Steps:
        steps: list[Step] = []
        for step in plan.steps:
            steps += self.prepared(step) if isinstance(step, LibraryStep) else [step]
        outputs = []
        for view, is_owned in plan.results:
            record = self.buffers[view.buffer]
            handed = record._replace(role="output", shape=view.shape, number=None)
            if is_owned:
                self.buffers[view.buffer] = handed
                outputs.append(view.buffer)
            else:
                self.buffers.append(handed)
                outputs.append(len(self.buffers) - 1)
                steps.append(Copy(self.settled(view), self.whole(outputs[-1]), record.dtype))
        return Steps(self.buffers, steps, outputs)

    def new(self, role: str, dtype: DType, shape: tuple[int, ...], number=None) -> View:
        """All of a new buffer."""
        self.buffers.append(Buffer(role, dtype, shape, number))
        return self.whole(len(self.buffers) - 1)

    def whole(self, buffer: int) -> View:
        return whole(self.buffers, buffer)

    def operand(self, view: View) -> Operand:
        return operand_of(self.buffers, view)

    def settled(self, view: View) -> View:
        """A view with the strides that it has in memory."""
        return view._replace(strides=self.operand(view).strides)

    def prepared(self, step: LibraryStep) -> list[Step]:
        """A library step in the form that it has here."""
        if not step.kind.aval.size:
            return []
        records = [self.buffers[view.buffer] for view in step.views]
        if all(r.role == "constant" or not math.prod(r.shape) for r in records):
            return [self.folded(step, records)]
        operands = [self.operand(view) for view in step.views]
        if has_kernel(step.kind) or self.is_library(step.kind, operands):
            return [step]
        return self.copied(step) or self.by_loop(step) or [step]

    def folded(self, step: LibraryStep, records: list[Buffer]) -> Copy:
        """A constant, which is known now."""
        arrays = [
            np.broadcast_to(np.array(r.number or 0, r.dtype.dtype), view.shape)
            for r, view in zip(records, step.views, strict=True)
        ]
        dtype, shape = step.kind.aval.dtype, step.kind.aval.shape
        with np.errstate(all="ignore"):
            value = step.kind.op.evaluate(*arrays, **step.kind.attributes())
        source = self.new("constant", dtype, shape, np.array(value, dtype.dtype, order="C"))
        return Copy(source, self.whole(step.buffer), dtype)

    def by_loop(self, step: LibraryStep) -> list[Step]:
        """The operation's loop, behind copies of operands that it does not take as they lie."""
        loop, views = step.kind.op.loop, [self.settled(view) for view in step.views]
        operands = [self.operand(view) for view in views]
        work = None if loop is None else work_of(step.kind, operands, alone=True, device=True)
        if loop is None or work is None or (isinstance(work.run, str) and loop.device is None):
            return []
        copies: list[Step] = []
        for k, operand in enumerate(operands):
            if not takes(loop, operand):
                there = self.new("temporary", operand.dtype, operand.shape)
                copies.append(Copy(views[k], there, operand.dtype))
                views[k], operands[k] = there, self.operand(there)
        views.append(self.whole(step.buffer))
        return [
            *copies,
            loop_step(step.kind, tuple(operands), tuple(views), alone=True, device=True),
        ]

    # ------------------------------------------------------------ elements elsewhere

    def copied(self, step: LibraryStep) -> list[Step]:
        """Copies, if nothing is computed."""
        kind, target = step.kind, self.whole(step.buffer)
        views = [self.settled(view) for view in step.views]
        rule = _COPIES.get(kind.op.name)
        if rule is not None:
            return rule(self, kind, views, target)
        pieces = pieces_of(kind, [view.shape for view in views])
        copies: list[Step] = []
        for piece in pieces or ():
            if math.prod(piece.shape):
                source = None if piece.source is None else views[piece.source]
                if source is None:
                    source = self.settled(self.new("constant", kind.aval.dtype, piece.shape, 0))
                there = View(target.buffer, piece.offset, piece.shape, piece.strides)
                copies.append(Copy(source, there, kind.aval.dtype))
        return copies

    def dtype(self, view: View) -> DType:
        return self.buffers[view.buffer].dtype


# ---------------------------------------------------------------- rules


def _same(steps: _Steps, kind, views, target):
    """All elements in order."""
    (view,) = views
    target = View(target.buffer, 0, view.shape, contiguous(view.shape))
    return [Copy(view, target, kind.aval.dtype)]


def _cast(steps: _Steps, kind, views, target):
    (view,) = views
    dtype = steps.dtype(view)
    if dtype.is_complex or kind.aval.dtype.is_complex:
        return []
    return [Copy(view, target, dtype, kind.aval.dtype)]


def _part(number: int) -> Callable:
    """The real or the imaginary parts."""

    def rule(steps, kind, views, target):
        (view,) = views
        if not steps.dtype(view).is_complex:
            return _same(steps, kind, views, target)
        return [Copy(_halves(view, number), target, kind.aval.dtype)]

    return rule


def _halves(view: View, number: int) -> View:
    """One part of each complex number, counted in real ones."""
    return view._replace(
        offset=2 * view.offset + number, strides=tuple([2 * stride for stride in view.strides])
    )


def _pairs(view: View) -> View:
    """Both parts, along an axis behind the others."""
    halves = _halves(view, 0)
    return halves._replace(shape=(*view.shape, 2), strides=(*halves.strides, 1))


def _complex(steps: _Steps, kind, views, target):
    part = kind.aval.dtype.to_real()
    if any(view.shape != target.shape or steps.dtype(view) is not part for view in views):
        return []
    return [Copy(view, _halves(target, k), part) for k, view in enumerate(views)]


def _view_as_complex(steps: _Steps, kind, views, target):
    part = kind.aval.dtype.to_real()
    return [Copy(views[0], _pairs(target), part)] if steps.dtype(views[0]) is part else []


def _bits(steps: _Steps, kind, views, target):
    dtype = kind.aval.dtype
    if steps.dtype(views[0]).itemsize != dtype.itemsize:
        return []
    return [Copy(views[0], target, dtype)]


def _conj(steps: _Steps, kind, views, target):
    return [] if kind.aval.dtype.is_complex else _same(steps, kind, views, target)


_COPIES = {
    "clone": _same,
    "detach": _same,
    "reshape": _same,
    "cast": _cast,
    "real": _part(0),
    "imag": _part(1),
    "view_as_real": lambda steps, kind, views, target: [
        Copy(_pairs(views[0]), target, kind.aval.dtype)
    ],
    "view_as_complex": _view_as_complex,
    "complex": _complex,
    "conj": _conj,
    "bits": _bits,
}
"""Operations that only take elements elsewhere -> (steps, kind, views, target) -> copies, or none
where they do more.  Those that are written in pieces are schedule/pieces.py's."""
