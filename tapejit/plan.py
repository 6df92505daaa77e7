"""What a compiled program consists of: loop kernels and own loops, over planned buffers.

`schedule` makes these records, `codegen` turns kernels into text and LLVM IR, `runtime` runs
them.  A `LoopKernel` holds no sizes and no addresses: two programs that differ only in sizes, or
in where the data lie, share it.  Sizes and strides reach it at run time through `meta`.

The machine interface of a kernel (all codegen back ends and the launcher agree on it):

    void NAME(ptr args, ptr meta, i64 begin, i64 end)     the loop, over the units [begin, end)
    void NAME_start(ptr args, ptr meta)                   fills memory-accumulated reductions
    void NAME_finish(ptr args, ptr meta)                  combines the partial results

args   one data pointer per operand: inputs, then outputs, then for every total reduction a
       scratch area with one element per unit
meta   int64: the length of every loop axis, outermost first (`rank` of them), then for every
       input and output the stride along every axis, in elements (rank numbers each)
unit   rank 1: one block of BLOCK elements; rank > 1: one index of the flattened outer axes

A `RowKernel` is several loops with the same units, as softmax has them over each row: they take
turns at a few rows, so that what one leaves the next finds in the cache.

args   those of each loop, behind each other
meta   how many units make a turn, then the meta of each loop
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tapejit.dtypes import DType
from tapejit.registry import Kind, Loop, Work

# ---------------------------------------------------------------- kernels

LINKED = "linked_"
"""What the `fn` of a node begins with that calls a function of the user's own, compiled by Numba
(codegen/linked_ir.py)."""

BLOCK = 4096
"""Elements in one unit of a rank-1 loop: 32 KiB of float64, so a unit's operands stay in L1/L2."""


class Node(NamedTuple):
    """One value of a kernel's straight-line body."""

    fn: str
    """"load", "literal", "cast", "index", a function of tapejit.expressions, or what begins with
    LINKED: a function of the user's own."""
    dtype: str
    """"f64", "f32", "i64", "i32" or "bool"; for "cast" the dtype that results."""
    operands: tuple
    """Node numbers; load: (input number,); literal: (value,); index: (loop axis,)."""


class Operand(NamedTuple):
    """How a kernel walks through one array."""

    dtype: str
    steps: str
    """Per loop axis, outermost first: "0" stays, "1" next element, "s" a stride from `meta`."""


class Output(NamedTuple):
    """A store of one node, or a reduction of it over the axes where the operand stays ("0").

    A reduction over all axes is a *total* one: each unit leaves a partial result in scratch
    memory and NAME_finish combines them, in a fixed order whatever the number of threads.
    """

    node: int
    operand: Operand
    reduce: str | None
    """None, "sum", "prod", "max" or "min" (max and min return NaN if there is one)."""


class LoopKernel(NamedTuple):
    """A loop nest with a straight-line body: inputs, nodes, outputs."""

    rank: int
    inputs: tuple[Operand, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    neighbours: tuple[tuple[int, ...], ...] = ()
    """Operands (inputs first, then outputs) that lie at successive elements of the same rows, with
    equal strides: what a back end may move as rows (codegen/loop_columns.py), or as it likes."""

    @property
    def loops(self) -> tuple[LoopKernel, ...]:
        """Itself: a kernel of one loop."""
        return (self,)


TURN = 8192
"""Elements of a row kernel's turn, about: 32 KiB of float32, a few operands of it fit in L2."""


class RowKernel(NamedTuple):
    """Loops of one rank (2 or more) that take turns at the same units.

    Unit u of a loop reads, of what the kernel writes, only what unit u of an earlier one wrote.
    """

    loops: tuple[LoopKernel, ...]


# ---------------------------------------------------------------- plans


class Buffer(NamedTuple):
    """Memory that a plan reads or writes: `shape` elements in row-major order."""

    role: str
    """"input": given; "output": fresh, handed out; "temporary": in the arena; "library": what a
    library step returned; "constant": equal numbers, made when the plan is compiled."""
    dtype: DType
    shape: tuple[int, ...]
    number: object = None
    """"input": its position; "constant": the number."""


class View(NamedTuple):
    """Elements of a buffer: where they begin and how far apart they are, in elements."""

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class KernelStep(NamedTuple):
    """One launch of a loop.  `views` are the kernel's operands (inputs, then outputs) along its
    axes."""

    kernel: LoopKernel
    lengths: tuple[int, ...]
    views: tuple[View, ...]

    @property
    def parts(self) -> tuple[KernelStep, ...]:
        """Itself: a step of one loop."""
        return (self,)

    @property
    def written(self) -> tuple[View, ...]:
        """The outputs."""
        return self.views[len(self.kernel.inputs) :]

    @property
    def units(self) -> int:
        """How many units the loop has."""
        if len(self.lengths) == 1:
            return -(-self.lengths[0] // BLOCK)
        return math.prod(self.lengths[:-1])

    @property
    def meta(self) -> list[int]:
        """What the kernel is told of its sizes."""
        return [*self.lengths, *(stride for view in self.views for stride in view.strides)]


class RowStep(NamedTuple):
    """One launch of a row kernel: its loops as steps, of equally many units."""

    kernel: RowKernel
    parts: tuple[KernelStep, ...]
    private: tuple[int, ...] = ()
    """Temporary buffers that no other step reads: on a GPU they need not be written."""

    @property
    def views(self) -> tuple[View, ...]:
        """The operands, loop by loop."""
        return tuple([view for part in self.parts for view in part.views])

    @property
    def written(self) -> tuple[View, ...]:
        """The outputs, loop by loop."""
        return tuple([view for part in self.parts for view in part.written])

    @property
    def units(self) -> int:
        """How many units each loop has."""
        return self.parts[0].units

    @property
    def meta(self) -> list[int]:
        """What the kernel is told of its sizes."""
        longest = max([part.lengths[-1] for part in self.parts])
        turn = max(TURN // max(longest, 1), 1)
        return [turn, *(number for part in self.parts for number in part.meta)]


class LoopStep(NamedTuple):
    """One run of an operation's own loop, with the machine interface of a kernel.

    args are the operands and the result (`views`), the work's scratch areas, and the status of a
    loop that has one; meta is the work's.
    """

    kind: Kind
    work: Work
    dtypes: tuple[str, ...]
    """Of each of args, as kernels know them."""
    views: tuple[View, ...]

    @property
    def loop(self) -> Loop:
        """The operation's loop."""
        assert self.kind.op.loop is not None
        return self.kind.op.loop

    @property
    def written(self) -> tuple[View, ...]:
        """The result."""
        return self.views[-1:]


class LibraryStep(NamedTuple):
    """One call of an operation's own `evaluate`; `buffer` becomes what it returns."""

    kind: Kind
    views: tuple[View, ...]
    buffer: int


class Result(NamedTuple):
    """One output of a plan: handed out as it is, or copied."""

    view: View
    is_owned: bool


class Plan(NamedTuple):
    """Steps in an order that respects what they read, and what they leave behind."""

    buffers: tuple[Buffer, ...]
    steps: tuple[KernelStep | RowStep | LoopStep | LibraryStep, ...]
    results: tuple[Result, ...]
    n_inputs: int


def is_total(output: Output) -> bool:
    """Whether an output is a reduction over all axes of its loop."""
    return output.reduce is not None and not output.operand.steps.strip("0")


def is_kept_reduction(output: Output) -> bool:
    """Whether an output is a reduction that has elements: over some axes of its loop."""
    return output.reduce is not None and not is_total(output)
