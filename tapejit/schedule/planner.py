"""`schedule`: a simplified program becomes a Plan.

Placement decides which kernel computes each row; here its kernels get bodies, memory gets numbers,
and kernels and library steps are put in order of their stages.
"""

from __future__ import annotations

from tapejit.dtypes import DType
from tapejit.errors import KernelError
from tapejit.plan import Buffer, KernelStep, LibraryStep, LoopStep, Plan, Result, View
from tapejit.registry import Operand
from tapejit.schedule.bodies import Body
from tapejit.schedule.loops import copy_step, loop_step, takes
from tapejit.schedule.partials import in_parts
from tapejit.schedule.placement import (
    ALIAS,
    FUSED,
    INPUT,
    LIBRARY,
    LITERAL,
    LOOP,
    ROOT,
    Placement,
)
from tapejit.schedule.rows import (
    Rows,
    Step,
    find_rows,
    finish_rows,
    keep_short,
    with_private,
)
from tapejit.schedule.views import contiguous, is_contiguous
from tapejit.tape import Program


def schedule(program: Program, alone: bool = False, device: bool = False) -> Plan:
    """Kernels, library steps and buffers for a simplified program.

    alone  for code that cannot call a library: operations' own loops wherever there are some
    device  for a GPU: kernels are shorter, nothing relies on units that run in order, and loops
            that are native functions of the CPU are library steps

    Errors  KernelError if the program calls back into Python
    """
    return _Planner(program, alone, device).run()


class _Planner:
    def __init__(self, program, alone, device):
        self.program, self.alone, self.device = program, alone, device
        self.placement = Placement(program, alone, device).run()
        self.buffers: list[Buffer] = []
        self.number: dict = {}  # root row, or what names a constant -> buffer
        self.constants: dict[int, int] = {}
        self.handed_out: set[int] = set()  # library results that are outputs already

    def run(self) -> Plan:
        placement, program = self.placement, self.program
        for position, row in enumerate(program.inputs):
            aval = placement.kinds[row].aval
            self.number.setdefault(row, self.add("input", aval.dtype, aval.shape, position))
        claimed = self.claim_results()
        steps = self.steps()
        order = find_rows(steps, self.device)
        shared: dict[int, int] = {}
        results = {placement.root[row] for row in program.outputs}
        for rows in order:
            if isinstance(rows, Rows):
                shared |= keep_short(rows, steps, results, can_share=not self.device)
        self.add_memory(steps, claimed, shared)
        made = tuple([step for entry in order for step in self.finish(entry, steps)])
        results = tuple(self.result(row, claimed) for row in program.outputs)
        if self.device:
            made = with_private(made, results)
        return Plan(tuple(self.buffers), made, results, len(program.inputs))

    def add(self, role: str, dtype: DType, shape: tuple[int, ...], number=None) -> int:
        """A new buffer's number."""
        self.buffers.append(Buffer(role, dtype, shape, number))
        return len(self.buffers) - 1

    def add_memory(self, steps, claimed, shared):
        """Buffers for what steps write; a root that is `shared` lies in another's."""
        kinds = self.placement.kinds
        bodies = [step.body for step in steps if step.body is not None]
        written = {root for body in bodies for root, _, _ in body.targets}
        for root in sorted(written - shared.keys()):
            aval = kinds[root].aval
            role = "output" if root in claimed else "temporary"
            self.number[root] = self.add(role, aval.dtype, claimed.get(root, aval.shape))
        for root, host in reversed(shared.items()):  # a host may lie in another's: found later
            self.number[root] = self.number[host]
        for step in steps:
            if step.body is None:
                row, role = step.row, "library"
                if self.placement.role[row] == LOOP:
                    role = "output" if row in claimed else "temporary"
                shape = claimed.get(row, kinds[row].aval.shape)
                self.number[row] = self.add(role, kinds[row].aval.dtype, shape)
        for body in bodies:
            for root, (dtype, number) in body.constants.items():
                if root not in self.number:
                    self.number[root] = self.add("constant", dtype, (), number)

    # ------------------------------------------------------------ steps

    def steps(self) -> list[Step]:
        """Kernels and library steps in order of their stages."""
        placement, steps = self.placement, []
        for row, role in enumerate(placement.role):
            if role in (LIBRARY, LOOP):
                steps.append((placement.stage[row] - 1, len(steps), row))
        for kernel in placement.kernels.values():
            if kernel.stores:
                steps.append((kernel.stage, len(steps), kernel))
        steps.sort()
        return [self.planned(what) for _, _, what in steps]

    def planned(self, what) -> Step:
        """A kernel with its body, or a library step."""
        if not isinstance(what, int):
            body = Body(self.placement, what).collect()
            return Step(body, -1, body.roots, {root for root, _, _ in body.targets})
        if self.placement.kinds[what].op.family == "host":
            raise KernelError("schedule: a program that calls hooks runs row by row")
        read = {self.placement.root[x] for x in self.placement.operands[what]}
        return Step(None, what, read, {what})

    def finish(self, entry, steps) -> list:
        """The steps of a plan: one, and the copies before it."""
        if isinstance(entry, Rows):
            bodies = [steps[number].body for number in entry.members]
            return self.cut(finish_rows(bodies, entry, self.number))
        body, row = steps[entry].body, steps[entry].row
        if body is None:
            return self.finish_row(row)
        return self.cut(body.finish(self.number))

    def cut(self, step) -> list:
        """A kernel's step, cut where threads of a CPU gain from that."""
        return [step] if self.device else in_parts(step, self.temporary)

    def temporary(self, like: int, shape: tuple[int, ...]) -> int:
        """A new buffer for numbers of the dtype of another."""
        return self.add("temporary", self.buffers[like].dtype, shape)

    def finish_row(self, row) -> list[KernelStep | LoopStep | LibraryStep]:
        """The step of a row that has one of its own, and the copies before it."""
        kind, operands = self.placement.kinds[row], self.placement.operands[row]
        views = [self.view(x) for x in operands]
        if self.placement.role[row] == LIBRARY:
            return [LibraryStep(kind, tuple(views), self.number[row])]
        loop = kind.op.loop
        assert loop is not None
        dtypes = [self.placement.kinds[x].aval.dtype for x in operands]
        copies = []
        for k, (view, dtype) in enumerate(zip(views, dtypes, strict=True)):
            is_constant = self.buffers[view.buffer].role == "constant"
            if is_constant:  # one number in memory
                views[k] = view = view._replace(strides=(0,) * len(view.shape))
            if not takes(loop, Operand(view.shape, view.strides, dtype)):
                target = self.add("temporary", dtype, view.shape)
                copies.append(copy_step(view, dtype.kernel, target))
                views[k] = View(target, 0, view.shape, contiguous(view.shape))
        lying = [Operand(v.shape, v.strides, d) for v, d in zip(views, dtypes, strict=True)]
        result = View(self.number[row], 0, kind.aval.shape, contiguous(kind.aval.shape))
        return [*copies, loop_step(kind, tuple(lying), (*views, result), self.alone)]

    def view(self, row) -> View:
        """Where a row lies in memory."""
        placement = self.placement
        aval = placement.kinds[row].aval
        if placement.role[row] == LITERAL:
            if row not in self.constants:
                number = placement.kinds[row].attrs[0]
                self.constants[row] = self.add("constant", aval.dtype, aval.shape, number)
            return View(self.constants[row], 0, aval.shape, contiguous(aval.shape))
        offset, strides = placement.place_of(row)
        return View(self.number[placement.root[row]], offset, aval.shape, strides)

    # ------------------------------------------------------------ results

    def claim_results(self):
        """Roots whose memory is handed out, with the shape in which it is."""
        placement, claimed = self.placement, {}
        for row in self.program.outputs:
            root = placement.root[row]
            if root in claimed:
                continue
            if root not in placement.stored and placement.role[root] != LOOP:
                continue
            shape = placement.kinds[row].aval.shape
            if self.is_whole(row, root):
                claimed[root] = shape
        return claimed

    def is_whole(self, row, root):
        """Whether a row is all of its root's memory, in row-major order."""
        aval = self.placement.kinds[row].aval
        offset, strides = self.placement.place_of(row)
        same = aval.size == self.placement.kinds[root].aval.size
        return same and offset == 0 and is_contiguous(aval.shape, strides)

    def result(self, row, claimed) -> Result:
        """An output row: the first to claim a root's memory owns it, others are copies."""
        placement = self.placement
        view, root = self.view(row), placement.root[row]
        role = placement.role[root]
        owned = False
        if claimed.get(root) == view.shape and self.is_whole(row, root):
            owned = True
            del claimed[root]
        elif role == LIBRARY and row == root and root not in self.handed_out:
            owned = True
            self.handed_out.add(root)
        assert role in (INPUT, LITERAL, LIBRARY, LOOP, ROOT, FUSED, ALIAS), role
        return Result(view, owned)
