"""Which kernel computes each row, what is stored, and what is computed again.

A row lives in a *space*, its shape without axes of length 1; a reduction lives in the space of its
operand.  A kernel is a pair (space, stage).  Two walks over the rows decide everything:

forward    The earliest stage of each row: that of its operands where those can be computed in
           the same loop, one more than the stage that leaves an operand in memory otherwise.
backward   Each kernel asks for what it needs; a row is computed in the earliest kernel of its own
           space that asks (so it sinks as late as possible), and elsewhere it is computed again
           if that is cheap, else stored and loaded.

An edge therefore stays within a kernel or goes to a later stage: no cycle can arise.  A smaller
row that a larger one broadcasts may be computed inside the larger loop too (*foreign*), which is
how 0-d arithmetic on parameters costs no kernel of its own.

A `Context` is a way to read rows of one shape in a kernel: for every axis of the row the loop axis
it follows, or -1.  Asking for an operand means asking in the context of its shape.
"""

from __future__ import annotations

import functools

from tapejit.registry import KINDS
from tapejit.schedule.loops import is_loop, row_major, work_of
from tapejit.schedule.pieces import Piece, find_sums, pieces_of, pieces_of_sum, rows_inside
from tapejit.schedule.templates import Template, template
from tapejit.schedule.views import VIEWS, Place, contiguous, view_of
from tapejit.tape import Program, needed_rows

# ---------------------------------------------------------------- data

UNUSED, INPUT, LITERAL, ROOT, VIEW, LIBRARY, LOOP, FUSED, ALIAS = range(9)
"""FUSED: a node of kernels.  ALIAS: a view of such a row, at other loop axes.  ROOT: what a kernel
leaves in memory and no node is: reductions and copies.  VIEW: strides on memory.  LIBRARY, LOOP:
a step of its own, by `evaluate` or by the operation's loop.
`role >= FUSED` asks for rows that kernels compute."""

CHEAP = 6
"""Weight up to which a row is computed again rather than stored: a store and a load cost about
0.4 ns an element out of cache, an addition 0.05."""
CHEAP_SCALAR = 48
"""The same for 0-d rows, which a loop computes once per unit."""
MAX_ROWS = 4000
"""Rows that one kernel begins with; what follows goes to a later stage."""
MAX_DEVICE_ROWS = 200
"""The same on a GPU, where a thread has 255 registers, and compiling takes a millisecond a row."""
SMALL = 4096
"""Elements of spaces so small that a launch costs more than the loop."""


class Kernel:
    """A loop that is being planned."""

    __slots__ = ("contexts", "rank", "space", "stage", "stores")

    def __init__(self, space, stage):
        self.space: tuple[int, ...] = space
        self.rank = len(space)
        self.stage: int = stage
        self.contexts: dict[tuple, Context] = {}
        self.stores: list[tuple[int, Piece | None]] = []

    def context(self, amap: tuple[int, ...], shape: tuple[int, ...]) -> Context:
        """The context of rows whose axes follow the loop axes `amap`."""
        found = self.contexts.get(amap)
        if found is None:
            found = self.contexts[amap] = Context(self, amap, shape)
        return found


class Context:
    """Rows of one shape, read in one way, in one kernel."""

    __slots__ = ("amap", "children", "is_home", "kernel", "nodes", "rows", "shape")

    def __init__(self, kernel, amap, shape):
        self.kernel: Kernel = kernel
        self.amap: tuple[int, ...] = amap
        self.shape: tuple[int, ...] = shape
        self.is_home: bool = tuple(a for a in amap if a >= 0) == tuple(range(kernel.rank))
        self.rows: list[int] = []  # last one first
        self.nodes: dict[int, int] = {}
        self.children: dict[tuple, Context] = {shape: self}

    def of(self, shape: tuple[int, ...]) -> Context:
        """The context of an operand that broadcasts to a row of this one."""
        found = self.children.get(shape)
        if found is None:
            extra = len(self.shape) - len(shape)
            amap = tuple([-1 if n == 1 else self.amap[j + extra] for j, n in enumerate(shape)])
            found = self.children[shape] = self.kernel.context(amap, shape)
        return found

    def of_alias(self, name: str, attrs: tuple, shape: tuple[int, ...]) -> Context:
        """The context of the operand, of that shape, of an alias."""
        if name == "expand":
            return self.of(shape)
        if name == "permute":
            amap = [-1] * len(shape)
            for i, axis in enumerate(attrs[0]):
                amap[axis] = self.amap[i]
        else:  # a reshape that adds or takes axes of length 1
            axes = iter([a for a, n in zip(self.amap, self.shape, strict=True) if n != 1])
            amap = [-1 if n == 1 else next(axes) for n in shape]
        return self.kernel.context(tuple(amap), shape)


@functools.lru_cache(4096)
def bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of length 1."""
    return tuple(n for n in shape if n != 1)


@functools.lru_cache(4096)
def home_map(shape: tuple[int, ...]) -> tuple[int, ...]:
    """For each axis of a shape the loop axis in its own space."""
    axes = iter(range(len(shape)))
    return tuple(-1 if n == 1 else next(axes) for n in shape)


class Placement:
    """The answer: classes, places in memory, kernels.  Lists are indexed by row."""

    def __init__(self, program: Program, alone: bool = False, device: bool = False):
        self.program, self.alone, self.device = program, alone, device
        self.max_rows = MAX_DEVICE_ROWS if device else MAX_ROWS
        tape = program.tape
        n = len(tape)
        self.kinds = [KINDS[number] for number in tape.kinds]
        self.operands: list[tuple[int, ...]] = [tape.operands(row) for row in range(n)]
        self.role = [UNUSED] * n
        self.stage = [0] * n  # of a row in memory: the first stage that can read it
        self.inline = [0] * n
        self.weight = [0] * n
        self.templates: list[Template | None] = [None] * n
        self.root = list(range(n))
        self.place: list[Place | None] = [None] * n
        self.pieces: dict[int, list[tuple[Piece, int]]] = {}  # with the stage of each
        self.kernels: dict[tuple, Kernel] = {}
        self.counts: dict[tuple, int] = {}
        self.needs: list[list[Context] | None] = [None] * n
        self.deadline: dict[int, int] = {}  # rows that are stored, and when at the latest
        self.stored: dict[int, Kernel] = {}
        self.results = frozenset(program.outputs)

    def run(self) -> Placement:
        """Decide everything."""
        needed = needed_rows(self.program.tape, self.program.outputs)
        for row in self.program.inputs:
            self.role[row] = INPUT
        self.sums = find_sums(self.kinds, self.operands, needed, self.results)
        for row, leaves in self.sums.items():
            for x in rows_inside(row, leaves, self.operands):
                needed[x] = 0
        for row in range(len(self.role)):
            if needed[row]:
                self.classify(row)
        self.last_stage: dict[tuple, int] = {}
        for space, stage in self.counts:
            self.last_stage[space] = max(stage, self.last_stage.get(space, 0))
        for row in range(len(self.role) - 1, -1, -1):
            role = self.role[row]
            if role >= FUSED:
                self.settle(row, role)
            elif role == ROOT:
                self.settle_root(row)
            elif role in (LIBRARY, LOOP):
                for operand in self.operands[row]:
                    self.keep(operand, self.stage[row] - 2)
            elif role == VIEW and row in self.results:
                self.keep(row, 1 << 30)
        return self

    # ------------------------------------------------------------ forward

    def classify(self, row):
        """The role and the earliest stage of one row."""
        kind = self.kinds[row]
        op = kind.op
        family = op.family
        operands = self.operands[row]
        if row in self.sums:
            return self.classify_sum(row)
        is_node = op.name == "linked" if not self.device else family == "random"
        if is_node or family in ("elementwise", "cast", "copy"):
            kinds = self.kinds
            dtypes = tuple([kinds[x].aval.dtype for x in operands])
            found = template(kind, dtypes)
            if found is not None and kind.aval.size:
                self.templates[row] = found
                return self.classify_fused(row, kind.aval.shape, operands, found.weight)
        elif family == "literal":
            self.role[row] = LITERAL
            return None
        elif family == "input":
            self.role[row] = INPUT
            return None
        elif family == "reduction":
            if self.is_loop_reduction(kind, self.kinds[operands[0]].aval):
                return self.classify_root(row, operands[0])
        elif op.name in VIEWS:
            return self.classify_view(row, kind, operands[0])
        elif family == "creation" and op.name == "iota" and kind.aval.size:
            return self.classify_fused(row, kind.aval.shape, (), 1)
        elif family == "scatter" or family == "join":
            return self.classify_pieces(row, kind, operands)
        return self.classify_library(row, operands)

    def is_loop_reduction(self, kind, source):
        """Whether a kernel can do it: on dtypes that it takes, and on at least one element."""
        if kind.op.reduce is None and kind.op.name not in ("all", "any"):
            return False
        return source.size > 0 and source.dtype.kernel and kind.aval.dtype.kernel

    def classify_fused(self, row, shape, operands, weight):
        """A node: as early as its operands can be had, in its own loop and in a foreign one."""
        space = bare(shape)
        stage = inline = 0
        for x in operands:
            role = self.role[x]
            if role >= FUSED:
                cheap = self.is_cheap(x)
                own = bare(self.kinds[x].aval.shape) == space
                early = self.stage[x] if own else self.inline[x] if cheap else self.stage[x] + 1
                late = self.inline[x] if cheap else self.stage[x] + 1
                if not cheap:
                    weight += 1
                elif own or self.kinds[x].aval.size != 1:
                    weight += self.weight[x]
            else:
                early = late = self.stage[x]
                weight += role != LITERAL
            if early > stage:
                stage = early
            if late > inline:
                inline = late
        count = self.counts.get((space, stage), 0)
        while count >= self.max_rows:
            stage += 1
            count = self.counts.get((space, stage), 0)
        self.counts[space, stage] = count + 1
        self.role[row], self.stage[row], self.inline[row] = FUSED, stage, inline
        self.weight[row] = weight

    def is_cheap(self, row):
        """Whether to compute a row again rather than to store it."""
        weight = self.weight[row]
        return weight <= CHEAP or (weight <= CHEAP_SCALAR and self.kinds[row].aval.size == 1)

    def classify_root(self, row, x):
        """A reduction or a copy of `x`: in memory one stage after the kernel that does it."""
        self.role[row] = ROOT
        space, stage = bare(self.kinds[x].aval.shape), self.stage[x]
        self.counts[space, stage] = self.counts.get((space, stage), 0) + 1
        self.stage[row] = stage + 1
        self.place[row] = (0, contiguous(self.kinds[row].aval.shape))

    def classify_pieces(self, row, kind, operands):
        """A row that kernels write part by part."""
        avals = [self.kinds[x].aval for x in operands]
        if kind.aval.dtype.kernel and kind.aval.size and all(a.size for a in avals):
            pieces = pieces_of(kind, [a.shape for a in avals])
            if pieces is not None and all(a.dtype is kind.aval.dtype for a in avals):
                return self.root_of_pieces(row, pieces, operands)
        return self.classify_library(row, operands)

    def classify_sum(self, row):
        """A sum of unslices with disjoint windows: their operands, each in its place."""
        leaves = self.sums[row]
        operands = tuple(self.operands[x][0] for x in leaves)
        kinds, parts = [self.kinds[x] for x in leaves], [self.kinds[x] for x in operands]
        self.operands[row] = operands
        return self.root_of_pieces(row, pieces_of_sum(kinds, parts), operands)

    def root_of_pieces(self, row, pieces, operands):
        """Give each piece its stage; the row is in memory after the last of them."""
        stages = [0 if p.source is None else self.stage[operands[p.source]] for p in pieces]
        late = [number for number, piece in enumerate(pieces) if piece.is_late]
        if late:
            if pieces[0].source is None:  # zeros, as late as can be
                stages[0] = min(stages[number] for number in late) - 1
            barrier = max(s for s, piece in zip(stages, pieces, strict=True) if not piece.is_late)
            for number in late:
                stages[number] = max(stages[number], barrier + 1)
        self.role[row] = ROOT
        self.stage[row] = max(stages) + 1
        self.place[row] = (0, contiguous(self.kinds[row].aval.shape))
        self.pieces[row] = list(zip(pieces, stages, strict=True))

    def classify_view(self, row, kind, x):
        """Strides on memory, or other axes of a row that kernels compute."""
        role, before, after = self.role[x], self.kinds[x].aval, kind.aval
        if role == LITERAL or not before.size or not after.size:
            return self.classify_library(row, (x,))
        name = kind.op.name
        if role >= FUSED:
            is_unit = name == "reshape" and bare(before.shape) == bare(after.shape)
            if is_unit or name in ("expand", "permute"):
                return self.classify_alias(row, x, is_unit)
        place = view_of(name, kind.attrs, before.shape, self.place_of(x), after.shape)
        if place is None:
            if before.dtype.kernel is None:
                return self.classify_library(row, (x,))
            shape = before.shape
            return self.root_of_pieces(row, [Piece(0, shape, 0, contiguous(shape))], (x,))
        self.role[row], self.place[row], self.root[row] = VIEW, place, self.root[x]
        self.stage[row] = self.stage[x] + (role >= FUSED)
        return None

    def classify_alias(self, row, x, is_unit):
        """The row itself at other axes; foreign to it unless only axes of length 1 differ."""
        cheap = self.is_cheap(x)
        kind = self.kinds[row]
        self.role[row] = ALIAS
        self.inline[row] = self.inline[x] if cheap else self.stage[x] + 1
        self.stage[row] = self.stage[x] if is_unit else self.inline[row]
        self.weight[row] = self.weight[x] if cheap or is_unit else 1
        shape = self.kinds[x].aval.shape
        place = view_of(kind.op.name, kind.attrs, shape, self.place_of(x), kind.aval.shape)
        if place is not None:  # for readers of memory; a foreign copy has none to be read
            self.place[row], self.root[row] = place, self.root[x]

    def classify_library(self, row, operands):
        """A step of its own after all its operands."""
        stage = 0
        for x in operands:
            role = self.role[x]
            stage = max(stage, self.stage[x] + (role >= FUSED))
        kind, avals = self.kinds[row], [self.kinds[x].aval for x in operands]
        has_loop = kind.op.loop is not None and is_loop(
            work_of(kind, map(row_major, avals), self.alone), self.device
        )
        self.role[row], self.stage[row] = LOOP if has_loop else LIBRARY, stage + 1
        self.place[row] = (0, contiguous(self.kinds[row].aval.shape))

    def place_of(self, row):
        """Where a row lies within its root."""
        place = self.place[row]
        if place is None:
            place = self.place[row] = (0, contiguous(self.kinds[row].aval.shape))
        return place

    # ------------------------------------------------------------ backward

    def kernel(self, space, stage):
        """The kernel of a space and a stage."""
        found = self.kernels.get((space, stage))
        if found is None:
            found = self.kernels[space, stage] = Kernel(space, stage)
        return found

    def home(self, shape, stage):
        """The context in which rows of a shape are at home, at a stage."""
        return self.kernel(bare(shape), stage).context(home_map(shape), shape)

    def ask(self, row, context):
        """`context` needs a row: as a node, or in memory before it starts."""
        role = self.role[row]
        if role >= FUSED:
            needs = self.needs[row]
            if needs is None:
                self.needs[row] = [context]
            elif context not in needs:
                needs.append(context)
        elif role == VIEW:
            self.keep(row, context.kernel.stage - 1)

    def keep(self, row, stage):
        """Store what a row is a view of, at `stage` at the latest."""
        is_stored = row in self.results and self.role[row] == ALIAS  # itself, in its own memory
        root = row if is_stored else self.root[row]
        role = self.role[root]
        if role >= FUSED:
            known = self.deadline.get(root)
            self.deadline[root] = stage if known is None else min(stage, known)

    def settle(self, row, role):
        """Decide where a node is computed, and ask for its operands there."""
        needs = self.needs[row]
        if needs is not None and len(needs) == 1 and row not in self.deadline:
            context = needs[0]
            if len(context.rows) >= self.max_rows and self.stage[row] < context.kernel.stage:
                self.deadline[row] = context.kernel.stage - 1  # full: it does not sink to there
                return self.settle_shared(row, role, needs)
            moves = role == ALIAS or context.is_home or self.is_cheap(row)
            if moves and row not in self.results:
                return self.compute(row, context, role)
        return self.settle_shared(row, role, needs or [])

    def settle_shared(self, row, role, needs):
        """A row that several kernels need, or memory."""
        cheap = role == ALIAS or self.is_cheap(row)
        if not cheap:
            for context in needs:
                if not context.is_home:
                    limit = context.kernel.stage - 1
                    known = self.deadline.get(row)
                    self.deadline[row] = limit if known is None else min(limit, known)
        shape = self.kinds[row].aval.shape
        own = [context for context in needs if context.is_home]
        at_home = None
        if own or row in self.deadline or row in self.results:
            stages = [context.kernel.stage for context in own]
            if row in self.deadline and self.deadline[row] < 1 << 30:
                stages.append(self.deadline[row])
            at_home = self.home(shape, min(stages) if stages else self.late_stage(row))
            self.compute(row, at_home, role)
        for context in needs:
            if context is not at_home:
                if cheap:
                    self.compute(row, context, role)
                else:
                    self.deadline.setdefault(row, context.kernel.stage - 1)
        if row in self.deadline or row in self.results:
            assert at_home is not None
            self.stored[row] = at_home.kernel
            at_home.kernel.stores.append((row, None))
            self.place[row], self.root[row] = (0, contiguous(shape)), row

    def late_stage(self, row):
        """When to compute a result that nobody waits for: in a small space with the last ones."""
        aval = self.kinds[row].aval
        if aval.size <= SMALL:
            return max(self.last_stage.get(bare(aval.shape), 0), self.stage[row])
        return self.stage[row]

    def compute(self, row, context, role):
        """Make a row a node in a context."""
        context.rows.append(row)
        if role == FUSED:
            if self.templates[row] is not None:
                kinds = self.kinds
                for x in self.operands[row]:
                    self.ask(x, context.of(kinds[x].aval.shape))
        else:
            (x,) = self.operands[row]
            kind = self.kinds[row]
            shape = self.kinds[x].aval.shape
            self.ask(x, context.of_alias(kind.op.name, kind.attrs, shape))

    def settle_root(self, row):
        """A reduction at its stage in the space of what it reads; or pieces, each in its own."""
        operands = self.operands[row]
        pieces = self.pieces.get(row)
        if pieces is None:
            shape, stage = self.kinds[operands[0]].aval.shape, self.stage[row] - 1
            pieces = [(Piece(0, shape, 0, ()), stage)]
        for piece, stage in pieces:
            context = self.home(piece.shape, stage)
            self.stored[row] = context.kernel
            context.kernel.stores.append((row, piece))
            if piece.source is not None:
                self.ask(operands[piece.source], context)
