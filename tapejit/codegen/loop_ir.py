"""A loop kernel as LLVM IR text with explicit vectors.

`emit_loop(kernel, name)` prints one module.  The text is written so that LLVM needs no passes at
all (tier 0, the cold path): the innermost axis is vectorised here, what does not vary along it is
computed once per unit, short bodies are unrolled, and reductions state their order in lanes.

    unit       operand bases from meta, splat loads, nodes that do not move
    wide       short bodies only: two or four vectors at a time.  Without passes the loop counter
               lives on the stack, 2.3 ns an iteration, and so does a sum
    loop       one vector: loads, nodes, stores
    tail       the last few elements are copied into stack buffers padded with ones, and `loop`
               runs once more on those; there is no second copy of the body (loop_tail.py)
    unit_end   reductions over the inner axis: a halving tree over the lanes

Lanes are 8 where a 64-bit number takes part, else 16, whatever the CPU: LLVM cuts the vectors to
what the machine has, so every CPU gives the same bits.  Bodies above `SPLIT` nodes become several
functions that pass values through a frame, since LLVM's time without passes grows faster than the
body (1.5 s against 0.27 s for 30 000 nodes).

Start at `emit_loop`, then `_Emitter.main`.  Beside this file: vector_ops.py (what computes a
node), loop_memory.py (what loads and stores), loop_reduce.py (trees, NAME_start, NAME_finish),
and the machine interface in plan.py.
"""

from __future__ import annotations

from typing import NamedTuple

from tapejit.codegen import loop_memory, loop_reduce, loop_tail
from tapejit.codegen.vector_ops import (
    MEMORY,
    SIZE,
    is_float,
    memory_vector,
    neutral,
    recipe,
    splat,
    vector,
)
from tapejit.errors import KernelError
from tapejit.expressions import DIVISIONS, MATH
from tapejit.plan import BLOCK, LINKED, LoopKernel

SPLIT = 500
"""Nodes in one LLVM function; 200, 500 and 1000 measured the same."""

_UNROLL = ((8, 4), (24, 2))
"""Bodies up to this weight are unrolled so many times."""

# ---------------------------------------------------------------- data


class LoopText(NamedTuple):
    """A module to compile."""

    ir: str
    exports: tuple[str, ...]
    """NAME, then NAME_start and NAME_finish where the kernel needs them."""
    imports: tuple[tuple[str, str, int], ...]
    """The functions of vectors that it calls (callees.py), in order of first use."""
    support: tuple[str, ...] = ()
    """The functions of loop_tail.py that it calls."""


def emit_loop(kernel: LoopKernel, name: str, split: int = SPLIT) -> LoopText:
    """Print `kernel` as an LLVM module whose functions are called `name`…

    Errors  KernelError if a node's function does not exist for its dtype
    """
    emitter = _Emitter(kernel, name, split)
    functions, exports = [*emitter.parts, emitter.main()], [name]
    functions = [*emitter.literals.values(), *emitter.tables, *functions]
    if any(map(loop_memory.is_kept_reduction, kernel.outputs)):
        functions.append(loop_reduce.start(kernel, name))
        exports.append(f"{name}_start")
    if any(map(loop_memory.is_total, kernel.outputs)):
        functions.append(loop_reduce.finish(kernel, name, emitter.call_support))
        exports.append(f"{name}_finish")
    text = "".join([*emitter.declarations, *functions])
    return LoopText(text, tuple(exports), tuple(emitter.imports), tuple(emitter.support))


def lanes_of(kernel: LoopKernel, split: int = SPLIT) -> int:
    """8 if a 64-bit number changes along the inner axis, else 16: one 512-bit register either way.

    What is computed once per unit may be wider than a register, but not in a split body, whose
    frame has no more room than that.
    """
    varies = _varying(kernel) if len(kernel.nodes) <= split else [True] * len(kernel.nodes)
    dtypes = {node.dtype for node, moves in zip(kernel.nodes, varies, strict=True) if moves}
    dtypes.update(operand.dtype for operand in kernel.inputs if operand.steps[-1] != "0")
    dtypes.update(output.operand.dtype for output in kernel.outputs)
    return 8 if dtypes & {"f64", "i64"} else 16


def _varying(kernel):
    """For every node, whether it changes along the inner axis."""
    varies = []
    for fn, _, operands in kernel.nodes:
        if fn == "load":
            varies.append(kernel.inputs[operands[0]].steps[-1] != "0")
        elif fn == "index":
            varies.append(operands[0] == kernel.rank - 1)
        else:
            varies.append(fn != "literal" and any(map(varies.__getitem__, operands)))
    return varies


# ---------------------------------------------------------------- the emitter


class _Emitter:
    """Prints the main function of a module and its parts; collects declarations and imports."""

    def __init__(self, kernel, name, split):
        self.kernel, self.name = kernel, name
        self.lanes, self.inner = lanes_of(kernel, split), kernel.rank - 1
        self.operands = loop_memory.operands_of(kernel)
        self.n_inputs = len(kernel.inputs)
        # operands that the tail copies, and reductions that a unit accumulates in lanes
        self.padded = [k for k, record in enumerate(self.operands) if record.steps[-1] != "0"]
        self.accumulated = [
            j
            for j, output in enumerate(kernel.outputs)
            if output.reduce is not None and output.operand.steps[-1] == "0"
        ]
        self.indexed = sorted({node[2][0] for node in kernel.nodes if node[0] == "index"})
        self.has_linked = any(node[0].startswith(LINKED) for node in kernel.nodes)
        self.declarations, self.imports, self.recipes, self.literals = {}, {}, {}, {}
        self.support = {}
        self.parts, self.slot, self.tables, self.base = [], {}, [], {}
        self.sort_nodes()
        self.is_split = len(self.still) + len(self.moving) > split
        if self.is_split:
            self.split(split)

    def sort_nodes(self):
        """Which nodes are computed once per unit, which in the loop; how each value is written."""
        self.varies = _varying(self.kernel)
        self.value, self.still, self.moving = [], [], []
        for i, (fn, dtype, operands) in enumerate(self.kernel.nodes):
            if fn == "literal":
                self.value.append(splat(operands[0], dtype))
            else:
                self.value.append(f"%v{i}")
                (self.moving if self.varies[i] else self.still).append(i)

    # ------------------------------------------------------------ nodes

    def node_lines(self, numbers, value, position, shift=0):
        """The text that computes `numbers`.

        `value` says how each node is written.  An unrolled copy of the body has another
        `position` along the inner axis, and its node i is named %v(i + shift).
        """
        nodes, recipes, lines, literals = self.kernel.nodes, self.recipes, [], {}
        for i in numbers:
            fn, dtype, operands = nodes[i]
            if fn == "load":
                lines.append(self.load(f"%v{i + shift}", operands[0], position))
            elif fn == "index":
                lines.append(self.index(f"%v{i + shift}", dtype, operands[0], position))
            elif fn == "neg" and is_float(dtype):
                text = self.load_literal("zero", -0.0, dtype, literals, f"{numbers[0] + shift}")
                kind, zero = vector(dtype, self.lanes), literals["zero", dtype]
                lines.append(f"{text}%v{i + shift} = fsub {kind} {zero}, {value[operands[0]]}\n")
            else:
                key = (fn, dtype, nodes[operands[-1]][1])
                fill = recipes.get(key) or self.new_recipe(key)
                text = self.load_literals(operands, literals, f"{numbers[0] + shift}")
                names = [literals.get((node, nodes[node][1])) or value[node] for node in operands]
                if fn.startswith(LINKED):
                    filled = self.linked(i, i + shift, fill, names, position)
                else:
                    filled = fill(i + shift, *names)
                lines.append(text + filled)
        return lines

    def linked(self, i, number, fill, names, position):
        """A call of a user's function, for the lanes that are elements: not on padding."""
        if self.varies[i]:
            return (
                loop_memory.load_slot(f"%v{number}c", "i64", self.slot_of_count)
                + f"%v{number}n = sub i64 %v{number}c, {position}\n"
                + fill(number, *names, f"%v{number}n")
            )
        kind = vector(self.kernel.nodes[i].dtype, self.lanes)
        return (
            fill(f"{number}s", *names, "1") + f"%v{number} = shufflevector {kind} %v{number}s, "
            f"{kind} poison, <{self.lanes} x i32> zeroinitializer\n"
        )

    def load_literals(self, operands, loaded, tag):
        """Text that loads the float literals among `operands` which this block has not loaded."""
        lines = []
        for node in operands:
            fn, dtype, parts = self.kernel.nodes[node]
            if fn == "literal" and is_float(dtype):
                lines.append(self.load_literal(node, parts[0], dtype, loaded, tag))
        return "".join(lines)

    def load_literal(self, key, number, dtype, loaded, tag):
        """Text that loads a vector constant, once in a block.

        LLVM's fast instruction selection makes no vector constants (nor negations): it gives the
        rest of the block to the slow one, which takes 1.4 ms instead of 1.0 for 10 operations.
        """
        if (key, dtype) in loaded:
            return ""
        kind, place = vector(dtype, self.lanes), f"@{self.name}_{dtype}_{key}"
        self.literals[place] = (
            f"{place} = private constant {kind} {splat(number, dtype)}, align 64\n"
        )
        name = loaded[key, dtype] = f"%l_{dtype}_{key}_{tag}"
        return f"{name} = load {kind}, ptr {place}, align 64\n"

    def new_recipe(self, key):
        found = recipe(*key, self.lanes)
        self.declarations.update(dict.fromkeys(found.declarations))
        if found.call is not None:
            self.imports[found.call] = None
        self.recipes[key] = found.text.format
        return found.text.format

    def load(self, result, k, position):
        operand = self.operands[k]
        if operand.steps == "0" and operand.dtype == "f64" and self.lanes == 8:
            return self.load_number(result, k)
        if operand.dtype != "bool":
            return loop_memory.read(result, k, operand, self.lanes, position)
        kind = memory_vector("bool", self.lanes)
        text = loop_memory.read(f"{result}m", k, operand, self.lanes, position)
        return f"{text}{result} = icmp ne {kind} {result}m, zeroinitializer\n"

    def load_number(self, result, k):
        """One number in all lanes, by a call: fast instruction selection knows no shuffles.

        Only where a unit is a whole block, so that the call (1 ns) is nothing.
        """
        kind = vector("f64", self.lanes)
        self.call_support("tj_tail_splat", kind, "ptr")
        return (
            loop_memory.load_slot(f"{result}b", "ptr", 2 * k)
            + f"{result} = call {kind} @tj_tail_splat(ptr {result}b)\n"
        )

    def index(self, result, dtype, axis, position):
        """The loop index along `axis`; along the inner one every lane has its own."""
        if dtype not in ("i64", "i32"):
            raise KernelError(
                f"codegen: an index is i64 or i32, not {dtype}\n  try  a cast node after it"
            )
        kind, scalar, is_inner = vector(dtype, self.lanes), MEMORY[dtype], axis == self.inner
        lanes = ", ".join(f"{scalar} {lane if is_inner else 0}" for lane in range(self.lanes))
        number, narrowed = f"{result}c", ""
        if dtype == "i32":
            number, narrowed = f"{result}d", f"{result}d = trunc i64 {result}c to i32\n"
        return (
            loop_memory.load_slot(f"{result}x", "i64", self.slot_of_axis(axis))
            + f"{result}c = add i64 {result}x, {position if is_inner else 0}\n{narrowed}"
            + loop_memory.splat_of(f"{result}s", kind, f"{scalar} {number}", self.lanes)
            + f"{result} = add {kind} {result}s, <{lanes}>\n"
        )

    # ------------------------------------------------------------ outputs in the loop

    def output_lines(self, copies):
        """Stores and reductions of one iteration; a copy of the body is (tag, value, position)."""
        lines = []
        for j, output in enumerate(self.kernel.outputs):
            self.check_output(j, output)
            stored = []
            for tag, value, _ in copies:
                text, result = self.memory_value(f"%o{j}{tag}", output.node, value)
                stored.append(result)
                lines.append(text)
            if j in self.accumulated:
                lines.append(self.accumulate(j, output, stored))
            else:
                for (tag, _, position), result in zip(copies, stored, strict=True):
                    lines.append(self.store(j, output, f"%o{j}{tag}", result, position))
        return lines

    def check_output(self, j, output):
        given = self.kernel.nodes[output.node].dtype
        if given != output.operand.dtype:
            raise KernelError(
                f"codegen: output {j} is {output.operand.dtype}, its node {output.node} is {given}"
                "\n  try  a cast node before it"
            )

    def memory_value(self, result, node, value):
        """Text and name of a node's value as it is in memory, read from the frame if split."""
        dtype, text, name = self.kernel.nodes[node].dtype, "", value[node]
        if node in self.slot:
            text, name = self.from_frame(f"{result}f", node), f"{result}f"
        if dtype != "bool":
            return text, name
        given, wide = vector("bool", self.lanes), memory_vector("bool", self.lanes)
        return f"{text}{result}m = zext {given} {name} to {wide}\n", f"{result}m"

    def accumulate(self, j, output, values):
        """Join the copies of an unrolled body as a tree, then the accumulator: one short chain."""
        kind = memory_vector(output.operand.dtype, self.lanes)
        join = self.join(output, self.lanes)
        lines = []
        while len(values) > 1:
            names = [f"%o{j}_t{len(values)}_{n}" for n in range(len(values) // 2)]
            for n, name in enumerate(names):
                lines.append(join.format(name, values[2 * n], values[2 * n + 1]))
            values = names
        tag = f"{j}_{len(lines)}"
        return (
            f"{''.join(lines)}%before{tag} = load {kind}, ptr %sum{j}, align 64\n"
            + join.format(f"%after{tag}", f"%before{tag}", values[0])
            + f"store {kind} %after{tag}, ptr %sum{j}, align 64\n"
        )

    def store(self, j, output, result, value, position):
        k, operand, text = self.n_inputs + j, output.operand, ""
        if output.reduce is not None:
            text = loop_memory.read(f"{result}r", k, operand, self.lanes, position)
            text += self.join(output, self.lanes).format(f"{result}n", f"{result}r", value)
            value = f"{result}n"
        return text + loop_memory.write(f"{result}w", k, operand, self.lanes, position, value)

    def join(self, output, lanes):
        return loop_reduce.join(output.reduce, output.operand.dtype, lanes, self.declarations)

    # ------------------------------------------------------------ split bodies

    def split(self, size):
        """Print the parts of a split body: first what does not move, then the loop's."""
        still, moving = self.still, self.moving
        still = [still[i : i + size] for i in range(0, len(still), size)]
        moving = [moving[i : i + size] for i in range(0, len(moving), size)]
        self.n_still_parts, self.n_parts = len(still), len(still) + len(moving)
        reads = self.give_slots([*still, *moving])
        for number, numbers in enumerate([*still, *moving]):
            self.parts.append(self.part(number, numbers, reads[number]))

    def give_slots(self, parts):
        """Give a place in the frame to every value that another function reads.

        Returns for every part what it reads from the frame: {first reader: [values]}.
        """
        nodes, all_reads = self.kernel.nodes, []
        home: list[int | None] = [None] * len(nodes)
        for number, numbers in enumerate(parts):
            for i in numbers:
                home[i] = number
        crossing = {output.node for output in self.kernel.outputs if home[output.node] is not None}
        for number, numbers in enumerate(parts):
            known, reads = set(), {}
            for i in numbers:
                fn, _, operands = nodes[i]
                if fn == "load" or fn == "index":
                    continue
                for node in operands:
                    if home[node] not in (number, None) and node not in known:
                        known.add(node)
                        reads.setdefault(i, []).append(node)
            crossing |= known
            all_reads.append(reads)
        self.slot = {node: n for n, node in enumerate(sorted(crossing))}
        return all_reads

    def part(self, number, numbers, reads):
        """One function of a split body: reads from the frame, computes, writes to the frame."""
        value, slot, lines = list(self.value), self.slot, []
        for nodes in reads.values():
            for node in nodes:
                value[node] = f"%f{node}"
        for i, text in zip(numbers, self.node_lines(numbers, value, "%i"), strict=True):
            if i in reads:  # as late as possible, or it would only be spilled again
                lines += [self.from_frame(f"%f{node}", node) for node in reads[i]]
            lines.append(text)
            if i in slot:
                lines.append(self.to_frame(i))
        return (
            f"define internal void @{self.name}_part{number}(ptr %state, ptr %frame, i64 %i)"
            " nounwind noinline alignstack(64) {\n"
            f"{''.join(lines)}ret void\n}}\n"
        )

    def from_frame(self, result, node):
        dtype, kind, memory, place = self.frame_place(result, node)
        if dtype != "bool":
            return f"{place}{result} = load {kind}, ptr {result}g, align 64\n"
        return (
            f"{place}{result}m = load {memory}, ptr {result}g, align 64\n"
            f"{result} = trunc {memory} {result}m to {kind}\n"
        )

    def to_frame(self, node):
        result = f"%w{node}"
        dtype, kind, memory, place = self.frame_place(result, node)
        if dtype != "bool":
            return f"{place}store {kind} %v{node}, ptr {result}g, align 64\n"
        return (
            f"{place}{result}m = zext {kind} %v{node} to {memory}\n"
            f"store {memory} {result}m, ptr {result}g, align 64\n"
        )

    def frame_place(self, result, node):
        """A bool crosses as bytes: stored <8 x i1> are packed bits, slow without AVX-512."""
        dtype = self.kernel.nodes[node].dtype
        place = f"{result}g = getelementptr [64 x i8], ptr %frame, i64 {self.slot[node]}\n"
        return dtype, vector(dtype, self.lanes), memory_vector(dtype, self.lanes), place

    def call_part(self, number, i):
        return f"call void @{self.name}_part{number}(ptr %state, ptr %frame, i64 {i})\n"

    # ------------------------------------------------------------ the stack

    def slot_of_axis(self, axis):
        """Where %state keeps the loop index of an axis, behind base and stride of each operand."""
        return 2 * len(self.operands) + axis

    @property
    def slot_of_count(self):
        """Where it keeps how many elements the inner axis has, for users' functions."""
        return self.slot_of_axis(self.kernel.rank)

    def allocas(self):
        n = self.slot_of_count + self.has_linked
        lines = [f"%state = alloca [{n} x i64], align 64\n"]
        if self.is_split:
            lines.append(f"%frame = alloca [{len(self.slot) + 1} x [64 x i8]], align 64\n")
        if self.padded:
            lines.append(f"%pads = alloca [{len(self.padded)} x [128 x i8]], align 64\n")
        for j in self.accumulated:
            kind = memory_vector(self.kernel.outputs[j].operand.dtype, self.lanes)
            lines.append(f"%sum{j} = alloca {kind}, align 64\n%old{j} = alloca {kind}, align 64\n")
        return lines

    # ------------------------------------------------------------ units

    def main(self):
        """NAME: the loop over units, with the loops over the inner axis in it."""
        is_flat = self.kernel.rank == 1
        return "".join(
            [
                f"define void @{self.name}(ptr %args, ptr %meta, i64 %begin, i64 %end)"
                " nounwind alignstack(64) {\nentry:\n",
                *self.allocas(),
                loop_memory.read_arguments(self.kernel),
                "br label %units\nunits:\n"
                "%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]\n"
                "%u_more = icmp slt i64 %u, %end\n"
                "br i1 %u_more, label %unit, label %exit\nunit:\n",
                *(self.unit_block() if is_flat else self.unit_indices()),
                *self.unit_bases(),
                *self.unit_values(),
                *self.wide_loop(),
                *self.loop(),
                *self.tail(),
                *self.unit_end(),
                "exit:\nret void\n}\n",
            ]
        )

    def unit_block(self):
        """Rank 1: the unit is the block [x0, x0 + count) of the one axis."""
        return [
            f"%x0 = mul i64 %u, {BLOCK}\n"
            "%behind = sub i64 %n0, %x0\n"
            f"%is_last = icmp slt i64 %behind, {BLOCK}\n"
            f"%count = select i1 %is_last, i64 %behind, i64 {BLOCK}\n"
        ]

    def unit_indices(self):
        """Rank > 1: the unit's number taken apart into the indices of the outer axes."""
        lines, left = [], "%u"
        for axis in range(self.inner - 1, 0, -1):
            lines.append(f"%x{axis} = urem i64 {left}, %n{axis}\n")
            lines.append(f"%left{axis} = udiv i64 {left}, %n{axis}\n")
            left = f"%left{axis}"
        lines.append(f"%x0 = add i64 {left}, 0\n%count = add i64 %n{self.inner}, 0\n")
        return lines

    def unit_bases(self):
        """Where each operand of this unit begins, and the slots that say so."""
        lines, axes = [], range(1 if self.kernel.rank == 1 else self.inner)
        for k, operand in enumerate(self.operands):
            base, memory = f"%arg{k}", MEMORY[operand.dtype]
            for axis in axes:
                offset = f"%x{axis}"
                if operand.steps[axis] == "0":
                    continue
                if operand.steps[axis] == "s":
                    offset = f"%d{k}_{axis}"
                    lines.append(f"{offset} = mul i64 %x{axis}, %s{k}_{axis}\n")
                lines.append(f"%b{k}_{axis} = getelementptr {memory}, ptr {base}, i64 {offset}\n")
                base = f"%b{k}_{axis}"
            self.base[k] = base
            lines.append(loop_memory.store_slot(f"%at{k}", f"ptr {base}", 2 * k))
            if operand.steps[-1] == "s":
                stride = f"i64 %s{k}_{self.inner}"
                lines.append(loop_memory.store_slot(f"%by{k}", stride, 2 * k + 1))
        for axis in self.indexed:
            index = f"i64 %x{axis}" if axis in axes else "i64 0"
            lines.append(loop_memory.store_slot(f"%where{axis}", index, self.slot_of_axis(axis)))
        if self.has_linked:
            lines.append(loop_memory.store_slot("%elements", "i64 %count", self.slot_of_count))
        return lines

    def unit_values(self):
        """Accumulators at their neutral element, and the nodes that do not move."""
        lines = []
        for j in self.accumulated:
            output = self.kernel.outputs[j]
            dtype = output.operand.dtype
            kind, start = memory_vector(dtype, self.lanes), neutral(output.reduce, dtype)
            lines.append(f"store {kind} splat ({MEMORY[dtype]} {start}), ptr %sum{j}, align 64\n")
        if not self.is_split:
            return lines + self.node_lines(self.still, self.value, "0")
        return lines + [self.call_part(number, "0") for number in range(self.n_still_parts)]

    # ------------------------------------------------------------ loops over the inner axis

    def unrolling(self):
        """How many copies of the body `wide` has; 1 if there is no such loop."""
        if len(self.moving) > _UNROLL[-1][0] or self.is_split or self.has_linked:
            return 1
        weight = 0
        for i in self.moving:
            fn, _, operands = self.kernel.nodes[i]
            is_strided = fn == "load" and self.operands[operands[0]].steps[-1] == "s"
            weight += 8 if is_strided or fn in MATH or fn in DIVISIONS else 1
        weight += sum(8 for output in self.kernel.outputs if output.operand.steps[-1] == "s")
        return next((copies for limit, copies in _UNROLL if weight <= limit), 1)

    def wide_loop(self):
        """`wide` up to %wide_end, then on to `loop` up to %full."""
        copies = self.unrolling()
        lines = [f"%full = and i64 %count, {-self.lanes}\n"]
        if copies == 1:
            return [*lines, "%wide_end = add i64 0, 0\nbr label %narrow\n"]
        lines.append(
            f"%wide_end = and i64 %count, {-self.lanes * copies}\n"
            "%has_wide = icmp ne i64 %wide_end, 0\n"
            "br i1 %has_wide, label %wide, label %narrow\n"
            "wide:\n%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]\n"
        )
        parts, shift = [], len(self.kernel.nodes)
        for copy in range(copies):
            value = list(self.value)
            for i in self.moving:
                value[i] = f"%v{i + (copy + 1) * shift}"
            parts.append((f"w{copy}", value, f"%i{copy}"))
            if copy:
                lines.append(f"%i{copy} = add i64 %i0, {copy * self.lanes}\n")
            lines += self.node_lines(self.moving, value, f"%i{copy}", (copy + 1) * shift)
        lines += self.output_lines(parts)
        lines.append(
            f"%i_wide = add i64 %i0, {copies * self.lanes}\n"
            "%is_wide = icmp slt i64 %i_wide, %wide_end\n"
            "br i1 %is_wide, label %wide, label %narrow\n"
        )
        return lines

    def loop(self):
        if self.is_split:
            numbers = range(self.n_still_parts, self.n_parts)
            body = [self.call_part(number, "%i") for number in numbers]
        else:
            body = self.node_lines(self.moving, self.value, "%i")
        return [
            "narrow:\n%has_narrow = icmp slt i64 %wide_end, %full\n"
            "br i1 %has_narrow, label %loop, label %rest\n"
            "loop:\n%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]\n",
            *body,
            *self.output_lines([("", self.value, "%i")]),
            f"%j = add i64 %i, {self.lanes}\n"
            "%more = icmp slt i64 %j, %full\n"
            "br i1 %more, label %loop, label %rest\n",
        ]

    # ------------------------------------------------------------ the tail

    def tail(self):
        """Elements behind the last whole vector: copy in, run `loop` again, copy out.

        `%left` is positive before that run, negative after it, zero if there are none.
        """
        lines = [
            "rest:\n%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]\n"
            "%left = sub i64 %count, %done\n"
            "%is_partly = icmp sgt i64 %left, 0\n"
            "br i1 %is_partly, label %tail, label %whole\ntail:\n"
        ]
        lines.append(self.move_operands("in", "%left"))
        for j in self.accumulated:
            kind = memory_vector(self.kernel.outputs[j].operand.dtype, self.lanes)
            lines.append(f"%keep{j} = load {kind}, ptr %sum{j}, align 64\n")
            lines.append(f"store {kind} %keep{j}, ptr %old{j}, align 64\n")
        lines.append(
            "br label %loop\nwhole:\n%is_padded = icmp slt i64 %left, 0\n"
            "br i1 %is_padded, label %unpad, label %unit_end\nunpad:\n"
            "%r = sub i64 %count, %full\n"
        )
        lines.append(self.move_operands("out", "%r"))
        lines += self.drop_padding()
        return [*lines, "br label %unit_end\n"]

    def move_operands(self, where, count):
        """A call that moves all operands to the padded buffers, or results back (loop_tail.py)."""
        if not self.padded:
            return ""
        if where == "in":
            rows = [self.table_row(k) for k in self.padded]
            kind = f"[{len(rows)} x [4 x i64]]"
            self.tables.append(
                f"@{self.name}_tail = private constant {kind} [{', '.join(rows)}], align 64\n"
            )
        self.call_support(f"tj_tail_{where}", "void", "ptr, ptr, ptr, i64, i64, i64")
        return (
            f"call void @tj_tail_{where}(ptr %state, ptr %pads, ptr @{self.name}_tail, "
            f"i64 {len(self.padded)}, i64 %full, i64 {count})\n"
        )

    def table_row(self, k):
        """One operand for loop_tail.py: slot, bytes of an element, what to do, padding."""
        operand = self.operands[k]
        is_output = k >= self.n_inputs
        is_read = not is_output or self.kernel.outputs[k - self.n_inputs].reduce is not None
        todo = is_read | is_output << 1 | (operand.steps[-1] == "s") << 2
        ones = loop_tail.ONES[operand.dtype]
        return f"[4 x i64] [i64 {2 * k}, i64 {SIZE[operand.dtype]}, i64 {todo}, i64 {ones}]"

    def drop_padding(self):
        """Accumulator lanes that only saw padding take back their value from before the tail."""
        lines = []
        for j in self.accumulated:
            size = SIZE[self.kernel.outputs[j].operand.dtype]
            lines.append(
                f"call void @tj_tail_keep(ptr %sum{j}, ptr %old{j}, i64 {size}, "
                f"i64 %r, i64 {self.lanes})\n"
            )
            self.call_support("tj_tail_keep", "void", "ptr, ptr, i64, i64, i64")
        return lines

    def call_support(self, name, result, operands):
        """Note a call of loop_tail.py or loop_reduce.py's library."""
        self.declarations[f"declare {result} @{name}({operands}) nounwind\n"] = None
        self.support[name] = None

    # ------------------------------------------------------------ the end of a unit

    def unit_end(self):
        """Lanes into one number: a partial result of this unit, or joined to the one in memory."""
        lines = ["unit_end:\n"]
        for j in self.accumulated:
            output = self.kernel.outputs[j]
            dtype, k = output.operand.dtype, self.n_inputs + j
            memory, result = MEMORY[dtype], f"%all{j}"
            tree = loop_reduce.tree_name(output.reduce, dtype, self.lanes)
            self.call_support(tree, memory, "ptr")
            lines.append(f"{result} = call {memory} @{tree}(ptr %sum{j})\n")
            if loop_memory.is_total(output):
                lines.append(
                    f"%place{j} = getelementptr {memory}, ptr %scratch{j}, i64 %u\n"
                    f"store {memory} {result}, ptr %place{j}\n"
                )
            else:
                lines.append(
                    f"%kept{j} = load {memory}, ptr {self.base[k]}\n"
                    + self.join(output, 0).format(f"%joined{j}", f"%kept{j}", result)
                    + f"store {memory} %joined{j}, ptr {self.base[k]}\n"
                )
        return [*lines, "%u_next = add i64 %u, 1\nbr label %units\n"]
