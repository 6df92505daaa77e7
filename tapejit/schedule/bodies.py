"""A planned kernel becomes a LoopKernel: nodes, operands, collapsed axes.

Equal nodes are one node.  Loads are found by (buffer, offset, strides along the loop axes): rows
that read the same memory in the same way share a load.  Axes are then put in order and joined
where every operand allows it, so that most kernels end with one axis and no stride at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tapejit.dtypes import int64
from tapejit.expressions import COMMUTATIVE
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, View
from tapejit.schedule.placement import ALIAS, FUSED, LITERAL, Context, Kernel, Placement
from tapejit.schedule.views import contiguous

# ---------------------------------------------------------------- data

# What an element of a loop costs, in 0.1 ns, by the stride along the inner axis: none, 1, other.
_LOAD = (0, 1, 10)
_STORE = (0, 1, 10)
_REDUCE = (0, 2, 20)  # in registers; read and written in memory
_UNIT = 70  # beginning and ending a pass over the inner axis
_TAIL = 40  # moving one operand where the length is no multiple of the lanes

STRUCTURAL = frozenset(["0.0", "-0.0", "0.5", "-0.5", "1.0", "-1.0", "2.0", "-2.0", "inf", "-inf"])
STRUCTURAL |= {"nan"}
"""Floats that become part of a kernel.  Others are read from memory, once per unit: a mean divides
by the number of elements, and a new batch size must not be a new kernel."""
SMALL_INTEGER = 16
"""Integers up to this are part of a kernel, for the same reason."""
MAX_CONSTANTS = 100
"""Numbers that one kernel reads from memory; more would only be more operands."""

FEWEST_NEIGHBOURS = 8
"""Columns of an array from which it pays to move them as rows: 0.22 to 0.5 ns an element where
strides took 0.4 to 0.6; of 4 columns it is the other way round."""

_TRUTH = {"all": "min", "any": "max"}


class Body:
    """The nodes of one kernel while they are being collected."""

    def __init__(self, placement: Placement, kernel: Kernel):
        self.placement = placement
        self.kernel = kernel
        self.space = kernel.space
        self.nodes: list[Node] = []
        self.known: dict[tuple, int] = {}
        self.loads: dict[tuple, int] = {}
        self.constants: dict[tuple, tuple] = {}  # (dtype name, text) -> dtype, number
        self.dtypes: list[str] = []  # of the inputs
        self.outputs: list[tuple[int, str, str | None]] = []  # node, dtype, reduce
        self.targets: list[tuple] = []  # (root, offset, strides) of the outputs
        self.has_spare = False  # nodes that nothing may need

    # ------------------------------------------------------------ nodes

    def node(self, fn, dtype, operands):
        """The number of a node, added if it is new."""
        key = (fn, dtype, operands)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = len(self.nodes)
            self.nodes.append(tuple.__new__(Node, key))
        return found

    def literal(self, dtype, number, text):
        """A literal node; `text` tells 0.0 from -0.0, and makes nan equal to itself."""
        key = ("literal", dtype, text)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = len(self.nodes)
            number = math.nan if number != number else number  # one object: equal kernels stay so
            self.nodes.append(Node("literal", dtype, (number,)))
        return found

    def collect(self) -> Body:
        """Make all nodes and outputs."""
        contexts = list(self.kernel.contexts.values())
        if len(contexts) == 1:
            pairs = [(row, contexts[0]) for row in reversed(contexts[0].rows)]
        else:
            pairs = [(row, c) for c in contexts for row in c.rows]
            pairs.sort(key=_row_of)
        role, templates = self.placement.role, self.placement.templates
        for row, context in pairs:
            if role[row] == ALIAS:
                context.nodes[row] = self.alias(row, context)
            elif templates[row] is None:
                context.nodes[row] = self.iota(row, context)
            else:
                context.nodes[row] = self.instantiate(row, context, templates[row])
        for row, piece in sorted(self.kernel.stores, key=_row_of):
            self.store(row, piece)
        if self.has_spare:
            self.rebuild({})
        return self

    def instantiate(self, row, context, template):
        """The nodes of an elementwise row."""
        kinds = self.placement.kinds
        values = []
        for x in self.placement.operands[row]:
            child = context.of(kinds[x].aval.shape)
            found = child.nodes.get(x)
            values.append(self.value(x, child) if found is None else found)
        if kinds[row].op.family == "random":
            values.insert(1, self.counted(kinds[row].attrs[0], context))
        known, nodes = self.known, self.nodes
        for step in template.steps:
            fn = step[0]
            if fn == "literal":
                values.append(self.literal(step[1], step[2][0], step[3]))
                continue
            places = step[2]
            if len(places) == 2:
                x, y = values[places[0]], values[places[1]]
                if fn == "eq" and nodes[x].dtype == "i64":
                    x, y = self.narrowed(x, y)
                if x > y and fn in COMMUTATIVE:
                    x, y = y, x
                key = (fn, step[1], (x, y))
            else:
                key = (fn, step[1], tuple([values[p] for p in places]))
            found = known.get(key)
            if found is None:
                found = known[key] = len(nodes)
                nodes.append(tuple.__new__(Node, key))
            values.append(found)
        return values[template.result]

    def alias(self, row, context):
        (x,) = self.placement.operands[row]
        kind, shape = self.placement.kinds[row], self.placement.kinds[x].aval.shape
        return self.value(x, context.of_alias(kind.op.name, kind.attrs, shape))

    def iota(self, row, context):
        _, axis = self.placement.kinds[row].attrs
        loop_axis = context.amap[axis]
        if loop_axis < 0:
            return self.literal("i64", 0, "0")
        return self.node("index", "i64", (loop_axis,))

    def counted(self, shape, context):
        """The place of an element, in row-major order, within the last axes, of that shape."""
        places = []
        axes = context.amap[len(context.amap) - len(shape) :]
        for axis, stride in zip(axes, contiguous(shape), strict=True):
            if axis >= 0:
                index = self.node("index", "i64", (axis,))
                step = (index, self.constant(int64, stride)) if stride != 1 else ()
                places.append(self.node("mul", "i64", step) if step else index)
        place, *others = places or [self.literal("i64", 0, "0")]
        for other in others:
            place = self.node("add", "i64", (place, other))
        return place

    def narrowed(self, x, y):
        """A place of an axis and what it is compared with, as int32: that fits twice as many lanes.

        Exact, since a cast to int32 saturates, and no axis is so long.
        """
        for place, other in ((x, y), (y, x)):
            fn, _, operands = self.nodes[place]
            if fn == "index" and self.is_fixed(other, operands[0]):
                self.has_spare = True
                return self.node("index", "i32", operands), self.node("cast", "i32", (other,))
        return x, y

    def is_fixed(self, node, axis):
        """Whether a node does not change along a loop axis, as far as loads show."""
        fn, _, operands = self.nodes[node]
        if fn == "load":
            _, _, strides = list(self.loads)[operands[0]]
            return strides[axis] == 0 and self.kernel.space[axis] < 1 << 31
        return fn not in ("literal", "index") and all(self.is_fixed(x, axis) for x in operands)

    def value(self, x: int, context: Context) -> int:
        """The node of an operand: computed here, a literal, or loaded."""
        found = context.nodes.get(x)
        if found is not None:
            return found
        placement = self.placement
        kind = placement.kinds[x]
        dtype = kind.aval.dtype
        if placement.role[x] == LITERAL:
            found = self.constant(dtype, kind.attrs[0])
        else:
            found = self.load(x, dtype.kernel, context)
        context.nodes[x] = found
        return found

    def constant(self, known, number):
        """A number of a literal row, or a stride: part of the kernel, or in memory."""
        dtype = known.kernel
        number = float(number) if dtype in ("f64", "f32") else int(number)
        text = repr(number)
        root = (dtype, text)
        is_full = len(self.constants) >= MAX_CONSTANTS and root not in self.constants
        is_part = text in STRUCTURAL if dtype in ("f64", "f32") else abs(number) <= SMALL_INTEGER
        if is_part or is_full:
            return self.literal(dtype, number, text)
        self.constants[root] = (known, number)
        return self.load_from((root, 0, (0,) * self.kernel.rank), dtype)

    def load(self, x, dtype, context):
        placement = self.placement
        root = placement.root[x]
        role = placement.role[root]
        if role >= FUSED:
            assert placement.stored[root].stage < self.kernel.stage, (x, root)
        else:
            assert placement.stage[root] <= self.kernel.stage, (x, root)
        offset, strides = placement.place_of(x)
        strides = self.along_loop(context.amap, context.shape, strides)
        return self.load_from((root, offset, strides), dtype)

    def load_from(self, key, dtype):
        """The node that loads from (root, offset, strides along the loop)."""
        number = self.loads.get(key)
        if number is None:
            number = self.loads[key] = len(self.loads)
            self.dtypes.append(dtype)
        return self.node("load", dtype, (number,))

    def along_loop(self, amap, shape, strides):
        """Strides per loop axis from strides per axis of a row."""
        result = [0] * self.kernel.rank
        for axis, n, stride in zip(amap, shape, strides, strict=True):
            if axis >= 0 and n != 1:
                result[axis] += stride
        return tuple(result)

    # ------------------------------------------------------------ outputs

    def store(self, row, piece):
        """An output: a node as it is, in all of a row's memory or in a part, or reduced."""
        placement = self.placement
        kind = placement.kinds[row]
        dtype = kind.aval.dtype.kernel
        if piece is None:
            context = self.home(kind.aval.shape)
            strides = contiguous(kind.aval.shape)
            return self.output(context.nodes[row], dtype, None, (row, 0), context, strides)
        context = self.home(piece.shape)
        if piece.source is None:
            zero = 0.0 if kind.aval.dtype.is_floating_point else 0
            node = self.literal(dtype, zero, repr(zero))
        else:
            node = self.value(placement.operands[row][piece.source], context)
        if kind.op.family == "reduction":
            return self.reduction(row, kind, node, dtype, context)
        return self.output(node, dtype, None, (row, piece.offset), context, piece.strides)

    def reduction(self, row, kind, node, dtype, context):
        """An output that is combined over some axes of the loop."""
        if self.nodes[node].dtype != dtype:
            node = self.node("cast", dtype, (node,))
        reduce = kind.op.reduce or _TRUTH[kind.op.name]
        axes, keepdim = kind.attrs[:2]
        out = iter(contiguous(kind.aval.shape))
        strides = []
        for axis in range(len(context.shape)):
            if axis in axes:
                strides.append(0)
                if keepdim:
                    next(out)
            else:
                strides.append(next(out))
        if all(context.amap[axis] < 0 for axis in axes):
            reduce = None  # over axes of length 1 only
        self.output(node, dtype, reduce, (row, 0), context, strides)

    def home(self, shape) -> Context:
        placement = self.placement
        return placement.home(shape, self.kernel.stage)

    def output(self, node, dtype, reduce, place, context, strides):
        self.outputs.append((node, dtype, reduce))
        self.targets.append((*place, self.along_loop(context.amap, context.shape, strides)))

    # ------------------------------------------------------------ as part of a row kernel

    def row_reductions(self) -> Iterator[tuple]:
        """(root, the axes that it keeps) of each reduction over some axes."""
        for (_, _, reduce), (root, _, strides) in zip(self.outputs, self.targets, strict=True):
            outer = tuple([axis for axis, stride in enumerate(strides) if stride])
            if reduce is not None and 0 < len(outer) < len(strides):
                yield root, outer

    @property
    def roots(self) -> set:
        """What is loaded."""
        return {root for root, _, _ in self.loads}

    def widen(self, space: tuple[int, ...], outer: tuple[int, ...]):
        """Walk through `space`, of which this loop's axes are `outer`, once along the others."""

        def wide(place):
            root, offset, strides = place
            of = dict(zip(outer, strides, strict=True))
            return root, offset, tuple([of.get(axis, 0) for axis in range(len(space))])

        self.loads = {wide(place): number for place, number in self.loads.items()}
        self.targets = list(map(wide, self.targets))
        self.space = tuple([n if axis in outer else 1 for axis, n in enumerate(space)])
        for i, node in enumerate(self.nodes):
            if node.fn == "index":
                self.nodes[i] = Node("index", node.dtype, (outer[node.operands[0]],))

    def moving_nodes(self, inner: list[int]) -> list[bool]:
        """For every node whether it changes along some of these axes."""
        strides = [[place[2][axis] for axis in inner] for place in self.loads]
        moving: list[bool] = []
        for fn, _, operands in self.nodes:
            if fn == "load":
                moving.append(any(strides[operands[0]]))
            elif fn == "index":
                moving.append(operands[0] in inner)
            else:
                moving.append(fn != "literal" and any(map(moving.__getitem__, operands)))
        return moving

    def drop(self, root):
        """Do without an output, and without what only it needed."""
        kept = [j for j, place in enumerate(self.targets) if place[0] != root]
        self.targets = [self.targets[j] for j in kept]
        self.outputs = [self.outputs[j] for j in kept]
        self.rebuild({})

    def rebuild(self, replaced: dict[tuple, tuple[Body, int]]):
        """Make the nodes again, of those that outputs need: for a load of one of these places the
        node of another body that was stored there."""
        nodes, places = self.nodes, list(self.loads)
        self.nodes, self.known, self.loads, self.dtypes = [], {}, {}, []
        made: dict[int, int] = {}
        self.outputs = [
            (self.graft(nodes, places, node, made, replaced), dtype, reduce)
            for node, dtype, reduce in self.outputs
        ]

    def graft(self, nodes, places, wanted, made, replaced):
        """The number here of a node of another list, with all that it needs."""
        for i in _needed(nodes, wanted):
            if i in made:
                continue
            fn, dtype, operands = nodes[i]
            if fn == "load":
                place = places[operands[0]]
                if place in replaced:
                    body, node = replaced[place]
                    made[i] = self.graft(body.nodes, list(body.loads), node, {}, {})
                else:
                    made[i] = self.load_from(place, dtype)
            elif fn == "literal":
                made[i] = self.literal(dtype, operands[0], repr(operands[0]))
            elif fn == "index":
                made[i] = self.node(fn, dtype, operands)
            else:
                made[i] = self.node(fn, dtype, tuple([made[x] for x in operands]))
        return made[wanted]

    # ------------------------------------------------------------ axes

    @property
    def table(self) -> list[tuple[int, ...]]:
        """The strides of each operand along the loop axes: inputs, then outputs."""
        return [strides for _, _, strides in (*self.loads, *self.targets)]

    @property
    def indexed(self) -> set[int]:
        """Loop axes whose index is a value."""
        return {node.operands[0] for node in self.nodes if node.fn == "index"}

    def finish(self, buffers: dict) -> KernelStep:
        """The step: axes in order and joined, records made; `buffers` numbers the roots."""
        is_wide = any(node.dtype in ("f64", "i64") for node in self.nodes)
        order = axis_order(self.space, self.table, self.prices(), 8 if is_wide else 16)
        return self.step(joined_axes(self.space, self.table, order, self.indexed), buffers)

    def step(self, groups: list[list[int]], buffers: dict) -> KernelStep:
        """The step whose loop axes are groups of axes that are walked through as one."""
        places = [*self.loads, *self.targets]
        if self.indexed:
            self.renumber_indices(groups)
        lengths = tuple(_product(self.space[axis] for axis in group) for group in groups)
        lengths = lengths or (1,)  # a 0-d kernel
        inner = [group[-1] for group in groups]
        table = [tuple([strides[axis] for axis in inner] or [0]) for strides in self.table]
        steps = [_steps(strides) for strides in table]
        n = len(self.dtypes)
        inputs = tuple(map(Operand, self.dtypes, steps[:n]))
        outputs = tuple(
            Output(node, Operand(dtype, step), reduce)
            for (node, dtype, reduce), step in zip(self.outputs, steps[n:], strict=True)
        )
        views = tuple(
            View(buffers[root], offset, lengths, strides)
            for (root, offset, _), strides in zip(places, table, strict=True)
        )
        together = neighbours(places, table, inputs, outputs)
        kernel = LoopKernel(len(lengths), inputs, tuple(self.nodes), outputs, together)
        return KernelStep(kernel, lengths, views)

    def prices(self):
        """For each operand what it costs at an inner stride of 0, 1, or another."""
        outputs = [_STORE if reduce is None else _REDUCE for _, _, reduce in self.outputs]
        return [_LOAD] * len(self.dtypes) + outputs

    def renumber_indices(self, groups):
        axis_of = {group[-1]: number for number, group in enumerate(groups)}
        for i, node in enumerate(self.nodes):
            if node.fn == "index":
                self.nodes[i] = Node("index", node.dtype, (axis_of[node.operands[0]],))


def neighbours(places, table, inputs, outputs) -> tuple[tuple[int, ...], ...]:
    """Operands at successive elements of the same rows, which the inner loop walks along."""
    n, found = len(inputs), {}
    for k, ((root, offset, _), strides) in enumerate(zip(places, table, strict=True)):
        operand = inputs[k] if k < n else outputs[k - n].operand
        is_moved = operand.steps[-1] == "s" and operand.dtype != "bool"
        if is_moved and (k < n or outputs[k - n].reduce is None):
            found.setdefault((root, strides, operand.dtype, k >= n), []).append((offset, k))
    groups: list[list[int]] = []
    for members in found.values():
        members.sort()
        before = None
        for offset, k in members:
            if before is None or offset != before + 1:
                groups.append([])
            groups[-1].append(k)
            before = offset
    return tuple([tuple(group) for group in groups if len(group) >= FEWEST_NEIGHBOURS])


def _needed(nodes, wanted):
    """The numbers of a node and of all that it is computed from, in order."""
    found, stack = set(), [wanted]
    while stack:
        i = stack.pop()
        if i not in found:
            found.add(i)
            if nodes[i].fn not in ("load", "literal", "index"):
                stack += nodes[i].operands
    return sorted(found)


def _row_of(pair):
    return pair[0]


def _product(numbers):
    total = 1
    for n in numbers:
        total *= n
    return total


def _steps(strides):
    """The step letters of an operand; an outer stride of 1 is not special: sizes do not matter."""
    letters = ["s" if s else "0" for s in strides]
    if strides[-1] == 1:
        letters[-1] = "1"
    return "".join(letters)


def axis_order(
    lengths: tuple[int, ...],
    table: Sequence[tuple[int, ...]],
    prices: Sequence[tuple[int, ...]],
    lanes: int = 8,
) -> list[int]:
    """Loop axes, outermost first: as they are, with the cheapest inner axis put last."""
    rank = len(lengths)
    if rank < 2:
        return list(range(rank))
    costs, runs = [], []
    for axis in range(rank):
        runs.append(_run(lengths, table, axis))
        n = _product(lengths[a] for a in runs[-1])
        moving = sum([strides[axis] != 0 for strides in table])
        cost = (_UNIT + (_TAIL * moving if n % lanes else 0)) / n
        for strides, price in zip(table, prices, strict=True):
            cost += price[strides[axis] if strides[axis] in (0, 1) else 2]
        costs.append(cost)
    best = min(range(rank - 1, -1, -1), key=costs.__getitem__)
    return [axis for axis in range(rank) if axis not in runs[best]] + runs[best]


def _run(lengths, table, axis):
    """An axis and those before it that can be joined to it."""
    run = [axis]
    while run[0] and all(s[run[0] - 1] == s[run[0]] * lengths[run[0]] for s in table):
        run.insert(0, run[0] - 1)
    return run


def joined_axes(
    lengths: tuple[int, ...],
    table: list[tuple[int, ...]],
    order: Sequence[int],
    indexed: set[int],
) -> list[list[int]]:
    """Groups of axes that every operand walks through as one, with the stride of the last."""
    groups = []
    for axis in order:
        if groups and axis not in indexed:
            last = groups[-1][-1]
            n = lengths[axis]
            if last not in indexed and all(s[last] == s[axis] * n for s in table):
                groups[-1].append(axis)
                continue
        groups.append([axis])
    return groups
