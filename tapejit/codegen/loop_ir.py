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
what the machine has, so every CPU gives the same bits.

Start at `emit_loop`, then `_Emitter.main`.  Beside this file: loop_body.py (the nodes),
loop_memory.py (what loads and stores), loop_reduce.py (trees, NAME_start, NAME_finish), and the
machine interface in plan.py.
"""

from __future__ import annotations

from typing import NamedTuple

from tapejit.codegen import loop_memory, loop_reduce, loop_tail
from tapejit.codegen.loop_body import SPLIT, Body, Needs
from tapejit.codegen.loop_memory import slot_of_axis, slot_of_count
from tapejit.codegen.vector_ops import MEMORY, SIZE, memory_vector, neutral
from tapejit.errors import KernelError
from tapejit.expressions import DIVISIONS, MATH
from tapejit.plan import BLOCK, LoopKernel, is_kept_reduction, is_total

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
    functions, exports = [*emitter.body.parts, emitter.main()], [name]
    needs = emitter.needs
    functions = [*needs.constants.values(), *emitter.tables, *functions]
    if any(map(is_kept_reduction, kernel.outputs)):
        functions.append(loop_reduce.start(kernel, name))
        exports.append(f"{name}_start")
    if any(map(is_total, kernel.outputs)):
        functions.append(loop_reduce.finish(kernel, name, needs.call_support))
        exports.append(f"{name}_finish")
    text = "".join([*needs.declarations, *functions])
    return LoopText(text, tuple(exports), tuple(needs.imports), tuple(needs.support))


# ---------------------------------------------------------------- the emitter


class _Emitter:
    """Prints the main function of a module and its parts; collects declarations and imports."""

    def __init__(self, kernel, name, split):
        self.kernel, self.name = kernel, name
        self.inner, self.n_inputs = kernel.rank - 1, len(kernel.inputs)
        self.operands = loop_memory.operands_of(kernel)
        self.needs = Needs()
        self.body = Body(kernel, name, split, self.needs)
        self.lanes = self.body.lanes
        self.neighbours = self.body.neighbours
        # operands that the tail copies, and reductions that a unit accumulates in lanes
        self.padded = [
            k
            for k, record in enumerate(self.operands)
            if record.steps[-1] != "0" and k not in self.neighbours.slot
        ]
        self.accumulated = [
            j
            for j, output in enumerate(kernel.outputs)
            if output.reduce is not None and output.operand.steps[-1] == "0"
        ]
        self.indexed = sorted({node[2][0] for node in kernel.nodes if node[0] == "index"})
        self.tables, self.base = [], {}

    # ------------------------------------------------------------ outputs in the loop

    def output_lines(self, copies):
        """Stores and reductions of one iteration; a copy of the body is (tag, value, position)."""
        lines = []
        for j, output in enumerate(self.kernel.outputs):
            if self.is_settled(j):
                continue
            self.check_output(j, output)
            stored = []
            for tag, value, _ in copies:
                text, result = self.body.memory_value(f"%o{j}{tag}", output.node, value)
                stored.append(result)
                lines.append(text)
            if j in self.accumulated:
                lines.append(self.accumulate(j, output, stored))
            else:
                for (tag, _, position), result in zip(copies, stored, strict=True):
                    lines.append(self.store(j, output, f"%o{j}{tag}", result, position))
        return lines

    def is_settled(self, j):
        """Whether an output lies in its slot from the beginning of a unit on."""
        is_still = not self.body.varies[self.kernel.outputs[j].node]
        return is_still and self.n_inputs + j in self.neighbours.slot

    def check_output(self, j, output):
        given = self.kernel.nodes[output.node].dtype
        if given != output.operand.dtype:
            raise KernelError(
                f"codegen: output {j} is {output.operand.dtype}, its node {output.node} is {given}"
                "\n  try  a cast node before it"
            )

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
        if k in self.neighbours.slot:
            return self.neighbours.write(result, k, self.lanes, value)
        if output.reduce is not None:
            text = loop_memory.read(f"{result}r", k, operand, self.lanes, position)
            text += self.join(output, self.lanes).format(f"{result}n", f"{result}r", value)
            value = f"{result}n"
        return text + loop_memory.write(f"{result}w", k, operand, self.lanes, position, value)

    def join(self, output, lanes):
        return loop_reduce.join(output.reduce, output.operand.dtype, lanes, self.needs.declarations)

    # ------------------------------------------------------------ the stack

    def allocas(self):
        n = slot_of_count(self.kernel) + self.body.has_linked
        lines = [f"%state = alloca [{n} x i64], align 64\n"]
        if n_slots := self.neighbours.n_slots + self.body.is_split * (len(self.body.slot) + 1):
            lines.append(f"%frame = alloca [{n_slots} x [64 x i8]], align 64\n")
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
                loop_memory.read_arguments(self.kernel, self.numbers_read()),
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

    def numbers_read(self):
        """The operands whose place the loop asks for; None: all."""
        known = self.neighbours.followers
        return set(range(len(self.operands))) - known if known else None

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
            if k in self.neighbours.followers:
                continue
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
            lines.append(
                loop_memory.store_slot(f"%where{axis}", index, slot_of_axis(self.kernel, axis))
            )
        if self.body.has_linked:
            lines.append(
                loop_memory.store_slot("%elements", "i64 %count", slot_of_count(self.kernel))
            )
        return lines

    def unit_values(self):
        """Accumulators at their neutral element; the nodes that do not move, in their slots."""
        lines = []
        for j in self.accumulated:
            output = self.kernel.outputs[j]
            dtype = output.operand.dtype
            kind, start = memory_vector(dtype, self.lanes), neutral(output.reduce, dtype)
            lines.append(f"store {kind} splat ({MEMORY[dtype]} {start}), ptr %sum{j}, align 64\n")
        lines += self.body.still_lines()
        for j, output in enumerate(self.kernel.outputs):
            if self.is_settled(j):
                self.check_output(j, output)
                text, result = self.body.memory_value(f"%o{j}", output.node, self.body.value)
                lines.append(text + self.store(j, output, f"%o{j}", result, "0"))
        return lines

    # ------------------------------------------------------------ loops over the inner axis

    def unrolling(self):
        """How many copies of the body `wide` has; 1 if there is no such loop."""
        moving = self.body.moving
        if len(moving) > _UNROLL[-1][0] or self.body.is_split or self.body.has_linked:
            return 1
        if self.neighbours.groups:
            return 1
        weight = 0
        for i in moving:
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
        parts = []
        for copy in range(copies):
            if copy:
                lines.append(f"%i{copy} = add i64 %i0, {copy * self.lanes}\n")
            text, value = self.body.copied_lines(copy + 1, f"%i{copy}")
            lines += text
            parts.append((f"w{copy}", value, f"%i{copy}"))
        lines += self.output_lines(parts)
        lines.append(
            f"%i_wide = add i64 %i0, {copies * self.lanes}\n"
            "%is_wide = icmp slt i64 %i_wide, %wide_end\n"
            "br i1 %is_wide, label %wide, label %narrow\n"
        )
        return lines

    def loop(self):
        return [
            "narrow:\n%has_narrow = icmp slt i64 %wide_end, %full\n"
            "br i1 %has_narrow, label %loop, label %rest\n"
            "loop:\n%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]\n",
            *self.neighbours.moves(False, self.lanes, self.needs),
            *self.body.moving_lines(),
            *self.output_lines([("", self.body.value, "%i")]),
            *self.neighbours.moves(True, self.lanes, self.needs),
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
        self.needs.call_support(f"tj_tail_{where}", "void", "ptr, ptr, ptr, i64, i64, i64")
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
            self.needs.call_support("tj_tail_keep", "void", "ptr, ptr, i64, i64, i64")
        return lines

    # ------------------------------------------------------------ the end of a unit

    def unit_end(self):
        """Lanes into one number: a partial result of this unit, or joined to the one in memory."""
        lines = ["unit_end:\n"]
        for j in self.accumulated:
            output = self.kernel.outputs[j]
            dtype, k = output.operand.dtype, self.n_inputs + j
            memory, result = MEMORY[dtype], f"%all{j}"
            tree = loop_reduce.tree_name(output.reduce, dtype, self.lanes)
            self.needs.call_support(tree, memory, "ptr")
            lines.append(f"{result} = call {memory} @{tree}(ptr %sum{j})\n")
            if is_total(output):
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
