"""A loop kernel as LLVM IR text with explicit vectors.

`emit_loop(kernel, name)` prints one module.  The text is written so that LLVM needs no passes at
all (tier 0, the cold path): the innermost axis is vectorised here, what does not vary along it is
computed once per unit, and reductions state their order in lanes.

    unit of work     operand bases from meta, splat loads, nodes that do not move
    loop             `lanes` elements: loads, nodes, stores
    tail             the last few elements are copied into stack buffers padded with ones, and the
                     same loop body runs once more on those; there is no second copy of the body
    unit_end         reductions over the inner axis: a halving tree over the lanes

Lanes are 8 where a 64-bit number takes part, else 16, whatever the CPU: LLVM cuts the vectors to
what the machine has, so every CPU gives the same bits.  A base pointer and a byte stride live in
stack slots (%at, %by) because the tail redirects them, and the body reads them anew; -O1 turns the
slots into registers.  Bodies above `SPLIT` nodes become several functions that pass values through
a frame, since LLVM's time without passes grows faster than the body (1.5 s against 0.27 s for
30 000 nodes).

Start at `emit_loop`, then `_Emitter.main`.  Which instruction computes a node is said in
vector_ops.py; the machine interface in plan.py.
"""

from __future__ import annotations

from typing import NamedTuple

from tapejit.codegen.vector_ops import (
    MEMORY,
    SIZE,
    combine,
    memory_vector,
    neutral,
    recipe,
    splat,
    vector,
)
from tapejit.errors import KernelError
from tapejit.plan import BLOCK, LoopKernel

SPLIT = 500
"""Nodes in one LLVM function; 200, 500 and 1000 measured the same."""

# ---------------------------------------------------------------- data


class LoopText(NamedTuple):
    """A module to compile."""

    ir: str
    exports: tuple[str, ...]
    """NAME, then NAME_start and NAME_finish where the kernel needs them."""
    imports: tuple[tuple[str, str, int], ...]
    """The vector math that it calls, (fn, dtype, lanes), in order of first use."""


def emit_loop(kernel: LoopKernel, name: str, split: int = SPLIT) -> LoopText:
    """Print `kernel` as an LLVM module whose functions are called `name`…

    Errors  KernelError if a node's function does not exist for its dtype
    """
    emitter = _Emitter(kernel, name, split)
    functions = [emitter.main()]
    exports = [name]
    if any(_is_kept_reduction(output) for output in kernel.outputs):
        functions.append(emitter.start())
        exports.append(f"{name}_start")
    if emitter.totals:
        functions.append(emitter.finish())
        exports.append(f"{name}_finish")
    text = "\n".join([*emitter.declarations, "", *emitter.parts, *functions])
    return LoopText(text, tuple(exports), tuple(emitter.imports))


def lanes_of(kernel: LoopKernel) -> int:
    """8 if a 64-bit number takes part, else 16: one 512-bit register either way."""
    operands = (*kernel.inputs, *(output.operand for output in kernel.outputs))
    return 8 if any(SIZE[record.dtype] == 8 for record in (*kernel.nodes, *operands)) else 16


def _is_total(output):
    return output.reduce is not None and set(output.operand.steps) == {"0"}


def _is_kept_reduction(output):
    return output.reduce is not None and not _is_total(output)


def _varying(kernel):
    """For every node, whether it changes along the inner axis."""
    varies = []
    for fn, _, operands in kernel.nodes:
        if fn == "load":
            varies.append(kernel.inputs[operands[0]].steps[-1] != "0")
        elif fn == "index":
            varies.append(operands[0] == kernel.rank - 1)
        else:
            varies.append(fn != "literal" and any(varies[node] for node in operands))
    return varies


# ---------------------------------------------------------------- the emitter


class _Emitter:
    """Prints the functions of one module; collects its declarations and imports."""

    def __init__(self, kernel, name, split):
        self.kernel, self.name = kernel, name
        self.lanes = lanes_of(kernel)
        self.inner = kernel.rank - 1
        self.operands = (*kernel.inputs, *(output.operand for output in kernel.outputs))
        self.totals = [j for j, output in enumerate(kernel.outputs) if _is_total(output)]
        self.accumulated = [
            j
            for j, output in enumerate(kernel.outputs)
            if output.reduce is not None and output.operand.steps[-1] == "0"
        ]
        self.declarations, self.imports, self.recipes = {}, {}, {}
        self.value = [f"%v{i}" for i in range(len(kernel.nodes))]
        self.plan_nodes(split)

    def plan_nodes(self, split):
        """Sort nodes into those computed once per unit and those in the loop; decide on a split."""
        nodes, varies = self.kernel.nodes, _varying(self.kernel)
        moving, still = [], []
        for i, (fn, dtype, operands) in enumerate(nodes):
            if fn == "literal":
                self.value[i] = splat(operands[0], dtype)
            else:
                (moving if varies[i] else still).append(i)
        self.still, self.moving = still, moving
        self.parts, self.slot = [], {}
        self.is_split = len(still) + len(moving) > split
        if self.is_split:
            self.still_parts = [still[i : i + split] for i in range(0, len(still), split)]
            self.moving_parts = [moving[i : i + split] for i in range(0, len(moving), split)]
            self.frame_slots()
            parts = (*self.still_parts, *self.moving_parts)
            self.parts = [self.part(number, part) for number, part in enumerate(parts)]

    # ------------------------------------------------------------ nodes

    def node_lines(self, numbers, value):
        """The text that computes `numbers`; `value` says how each operand is written."""
        nodes, recipes, lines = self.kernel.nodes, self.recipes, []
        for i in numbers:
            fn, dtype, operands = nodes[i]
            if fn == "load":
                lines.append(self.load(i, operands[0]))
            elif fn == "index":
                lines.append(self.index(i, dtype, operands[0]))
            else:
                key = (fn, dtype, nodes[operands[-1]][1])
                text = recipes.get(key) or self.new_recipe(key)
                lines.append(text.format(i, *[value[node] for node in operands]))
        return lines

    def new_recipe(self, key):
        found = recipe(*key, self.lanes)
        self.declarations.update(dict.fromkeys(found.declarations))
        if found.call is not None:
            self.imports[found.call] = None
        self.recipes[key] = found.text
        return found.text

    def load(self, i, k):
        operand = self.operands[k]
        step = operand.steps[-1]
        if step == "0":
            return self.load_splat(i, k)
        read = self.read_vector if step == "1" else self.read_strided
        text = read(f"%v{i}", k)
        if operand.dtype == "bool":
            kind = memory_vector("bool", self.lanes)
            text = text.replace(f"%v{i} =", f"%v{i}m =")
            text += f"%v{i} = icmp ne {kind} %v{i}m, zeroinitializer\n"
        return text

    def load_splat(self, i, k):
        dtype, memory = self.operands[k].dtype, MEMORY[self.operands[k].dtype]
        kind = memory_vector(dtype, self.lanes)
        last = f"%v{i}m" if dtype == "bool" else f"%v{i}"
        text = (
            f"%v{i}b = load ptr, ptr %at{k}\n"
            f"%v{i}e = load {memory}, ptr %v{i}b\n"
            f"%v{i}f = insertelement {kind} poison, {memory} %v{i}e, i32 0\n"
            f"{last} = shufflevector {kind} %v{i}f, {kind} poison, {self.zeros()}\n"
        )
        if dtype == "bool":
            text += f"%v{i} = icmp ne {kind} %v{i}m, zeroinitializer\n"
        return text

    def index(self, i, dtype, axis):
        """The loop index along `axis`; along the inner one every lane has its own."""
        kind = vector("i64", self.lanes)
        result = f"%v{i}" if dtype == "i64" else f"%v{i}w"
        text = f"%v{i}a = load i64, ptr %where{axis}\n"
        start = f"%v{i}a"
        if axis == self.inner:
            text += f"%v{i}c = add i64 %v{i}a, %i\n"
            start = f"%v{i}c"
        lanes = ", ".join(f"i64 {lane if axis == self.inner else 0}" for lane in range(self.lanes))
        text += (
            f"%v{i}f = insertelement {kind} poison, i64 {start}, i32 0\n"
            f"%v{i}s = shufflevector {kind} %v{i}f, {kind} poison, {self.zeros()}\n"
            f"{result} = add {kind} %v{i}s, <{lanes}>\n"
        )
        if dtype != "i64":
            self.value[i] = f"%v{i}"
            text += f"%v{i} = {_narrowed(dtype)} {kind} {result} to {vector(dtype, self.lanes)}\n"
        return text

    def zeros(self):
        return f"<{self.lanes} x i32> zeroinitializer"

    # ------------------------------------------------------------ memory along the inner axis

    def read_vector(self, result, k):
        dtype = self.operands[k].dtype
        kind = memory_vector(dtype, self.lanes)
        return (
            f"{result}b = load ptr, ptr %at{k}\n"
            f"{result}p = getelementptr {MEMORY[dtype]}, ptr {result}b, i64 %i\n"
            f"{result} = load {kind}, ptr {result}p, align {SIZE[dtype]}\n"
        )

    def read_strided(self, result, k):
        """Scalar loads and inserts: 1.05 ns an element, where a gather took 1.3 to 1.8."""
        memory = MEMORY[self.operands[k].dtype]
        kind = memory_vector(self.operands[k].dtype, self.lanes)
        lines = [self.first_address(result, k)]
        so_far = "poison"
        for lane in range(self.lanes):
            name = result if lane == self.lanes - 1 else f"{result}i{lane}"
            if lane:
                lines.append(self.next_address(result, k, lane))
            lines.append(f"{result}e{lane} = load {memory}, ptr {result}p{lane}\n")
            lines.append(
                f"{name} = insertelement {kind} {so_far}, {memory} {result}e{lane}, i32 {lane}\n"
            )
            so_far = name
        return "".join(lines)

    def first_address(self, result, k):
        return (
            f"{result}b = load ptr, ptr %at{k}\n"
            f"{result}t = load i64, ptr %by{k}\n"
            f"{result}o = mul i64 %i, {result}t\n"
            f"{result}p0 = getelementptr {MEMORY[self.operands[k].dtype]}, "
            f"ptr {result}b, i64 {result}o\n"
        )

    def next_address(self, result, k, lane):
        return (
            f"{result}p{lane} = getelementptr {MEMORY[self.operands[k].dtype]}, "
            f"ptr {result}p{lane - 1}, i64 {result}t\n"
        )

    def write(self, result, k, value):
        """Store `value`, of the operand's memory type, through names that begin with `result`."""
        dtype, step = self.operands[k].dtype, self.operands[k].steps[-1]
        memory, kind = MEMORY[dtype], memory_vector(dtype, self.lanes)
        if step == "1":
            return (
                f"{result}b = load ptr, ptr %at{k}\n"
                f"{result}p = getelementptr {memory}, ptr {result}b, i64 %i\n"
                f"store {kind} {value}, ptr {result}p, align {SIZE[dtype]}\n"
            )
        if step == "0":  # one element, which the first lane always has
            return (
                f"{result}b = load ptr, ptr %at{k}\n"
                f"{result}e = extractelement {kind} {value}, i32 0\n"
                f"store {memory} {result}e, ptr {result}b\n"
            )
        lines = [self.first_address(result, k)]
        for lane in range(self.lanes):
            if lane:
                lines.append(self.next_address(result, k, lane))
            lines.append(f"{result}e{lane} = extractelement {kind} {value}, i32 {lane}\n")
            lines.append(f"store {memory} {result}e{lane}, ptr {result}p{lane}\n")
        return "".join(lines)

    # ------------------------------------------------------------ outputs in the loop

    def output_lines(self):
        return [self.output(j, output) for j, output in enumerate(self.kernel.outputs)]

    def output(self, j, output):
        k, dtype = len(self.kernel.inputs) + j, output.operand.dtype
        if self.kernel.nodes[output.node].dtype != dtype:
            raise KernelError(
                f"codegen: output {j} is {dtype}, its node {output.node} is "
                f"{self.kernel.nodes[output.node].dtype}\n  try  a cast node before it"
            )
        text, value = self.memory_value(f"%o{j}", output.node)
        if output.reduce is None:
            return text + self.write(f"%o{j}w", k, value)
        join = self.combine(output.reduce, dtype, self.lanes)
        if j in self.accumulated:
            kind = memory_vector(dtype, self.lanes)
            return (
                f"{text}%o{j}a = load {kind}, ptr %sum{j}, align 64\n"
                + join.format(f"%o{j}n", f"%o{j}a", value)
                + f"store {kind} %o{j}n, ptr %sum{j}, align 64\n"
            )
        read = self.read_vector if output.operand.steps[-1] == "1" else self.read_strided
        text += read(f"%o{j}r", k) + join.format(f"%o{j}n", f"%o{j}r", value)
        return text + self.write(f"%o{j}w", k, f"%o{j}n")

    def memory_value(self, result, node):
        """Text and name of a node's value as it is in memory, read from the frame if split."""
        kind, text, value = self.kernel.nodes[node].dtype, "", self.value[node]
        if node in self.slot:
            text, value = self.from_frame(f"{result}f", node), f"{result}f"
        if kind == "bool":
            given, wide = vector("bool", self.lanes), memory_vector("bool", self.lanes)
            return f"{text}{result}m = zext {given} {value} to {wide}\n", f"{result}m"
        return text, value

    def combine(self, reduce, dtype, lanes):
        text, declarations = combine(reduce, dtype, lanes)
        self.declarations.update(dict.fromkeys(declarations))
        return text

    # ------------------------------------------------------------ split bodies

    def frame_slots(self):
        """Give a place in the frame to every value that another function reads."""
        home = {}
        for number, part in enumerate((*self.still_parts, *self.moving_parts)):
            home.update(dict.fromkeys(part, number))
        crossing = {output.node for output in self.kernel.outputs}
        for i, (fn, _, operands) in enumerate(self.kernel.nodes):
            if fn not in ("load", "index", "literal"):
                crossing.update(node for node in operands if home.get(node) != home[i])
        self.slot = {node: n for n, node in enumerate(sorted(crossing & home.keys()))}

    def part(self, number, nodes):
        """One function of a split body: reads from the frame, computes, writes to the frame."""
        own, value, lines = set(nodes), list(self.value), []
        for i in nodes:
            fn, _, operands = self.kernel.nodes[i]
            for node in operands if fn not in ("load", "index", "literal") else ():
                if node in self.slot and node not in own:
                    own.add(node)
                    value[node] = f"%f{node}"
                    lines.append(self.from_frame(f"%f{node}", node))
        for i in nodes:
            lines += self.node_lines((i,), value)
            if i in self.slot:
                lines.append(self.to_frame(i))
        return (
            f"define internal void @{self.name}_part{number}(ptr %state, ptr %frame, i64 %i)"
            " nounwind noinline alignstack(64) {\n"
            f"{self.state_slots(self.slots_read(nodes))}{''.join(lines)}ret void\n}}\n"
        )

    def slots_read(self, nodes):
        names = {}
        for i in nodes:
            fn, _, operands = self.kernel.nodes[i]
            if fn == "load":
                names[f"at{operands[0]}"] = None
                if self.operands[operands[0]].steps[-1] == "s":
                    names[f"by{operands[0]}"] = None
            elif fn == "index":
                names[f"where{operands[0]}"] = None
        return names

    def frame_place(self, result, node):
        """A bool crosses as bytes: stored <8 x i1> are packed bits, slow without AVX-512."""
        dtype = self.kernel.nodes[node].dtype
        place = f"{result}g = getelementptr [64 x i8], ptr %frame, i64 {self.slot[node]}\n"
        return dtype, vector(dtype, self.lanes), memory_vector(dtype, self.lanes), place

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

    # ------------------------------------------------------------ state: slots on the stack

    def all_slots(self):
        """Names of the slots and their LLVM types; their order is the layout of the state."""
        slots = {f"at{k}": "ptr" for k in range(len(self.operands))}
        for k, operand in enumerate(self.operands):
            if operand.steps[-1] == "s":
                slots[f"by{k}"] = "i64"
        indexed = sorted({node[2][0] for node in self.kernel.nodes if node.fn == "index"})
        return slots | {f"where{axis}": "i64" for axis in indexed}

    def state_slots(self, names):
        number = {name: n for n, name in enumerate(self.all_slots())}
        return "".join(
            f"%{name} = getelementptr i64, ptr %state, i64 {number[name]}\n" for name in names
        )

    def allocas(self):
        slots, lines = self.all_slots(), []
        if self.is_split:
            lines.append(f"%state = alloca [{len(slots)} x i64], align 64\n")
            lines.append(f"%frame = alloca [{len(self.slot) + 1} x [64 x i8]], align 64\n")
            lines.append(self.state_slots(slots))
        else:
            lines += [f"%{name} = alloca {kind}\n" for name, kind in slots.items()]
        for k in self.padded():
            kind = memory_vector(self.operands[k].dtype, self.lanes)
            lines.append(f"%buffer{k} = alloca {kind}, align 64\n")
        for j in self.accumulated:
            kind = memory_vector(self.kernel.outputs[j].operand.dtype, self.lanes)
            lines.append(f"%sum{j} = alloca {kind}, align 64\n%old{j} = alloca {kind}, align 64\n")
        return lines

    def padded(self):
        """The operands that the tail copies."""
        return [k for k, operand in enumerate(self.operands) if operand.steps[-1] != "0"]

    # ------------------------------------------------------------ the main function

    def main(self):
        """NAME: the loop over units, with the loop over the inner axis in it."""
        return "".join(
            [
                f"define void @{self.name}(ptr %args, ptr %meta, i64 %begin, i64 %end)"
                " nounwind alignstack(64) {\nentry:\n",
                *self.allocas(),
                *self.arguments(),
                "br label %units\nunits:\n"
                "%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]\n"
                "%u_more = icmp slt i64 %u, %end\n"
                "br i1 %u_more, label %unit, label %exit\nunit:\n",
                *(self.unit_block() if self.kernel.rank == 1 else self.unit_indices()),
                *self.unit_bases(),
                *self.unit_values(),
                f"%full = and i64 %count, {-self.lanes}\n"
                "%has_full = icmp ne i64 %full, 0\n"
                "br i1 %has_full, label %loop, label %rest\n",
                *self.loop(),
                *self.tail(),
                *self.unit_end(),
                "exit:\nret void\n}\n",
                self.copy_functions(),
            ]
        )

    def arguments(self, operands=None):
        """Lengths, strides and data pointers, read once."""
        rank, lines = self.kernel.rank, []
        for axis in range(rank):
            lines.append(_read_meta(f"%n{axis}", axis))
        for k, operand in enumerate(self.operands):
            lines.append(_read_arg(f"%arg{k}", k))
            for axis, step in enumerate(operand.steps):
                if step == "s":
                    lines.append(_read_meta(f"%s{k}_{axis}", rank + k * rank + axis))
        for n, j in enumerate(self.totals):
            lines.append(_read_arg(f"%scratch{j}", len(self.operands) + n))
        return lines

    def unit_block(self):
        """Rank 1: the unit is the block [start, start + count) of the one axis."""
        return [
            f"%x0 = mul i64 %u, {BLOCK}\n"
            "%behind = sub i64 %n0, %x0\n"
            f"%is_last = icmp slt i64 %behind, {BLOCK}\n"
            f"%count = select i1 %is_last, i64 %behind, i64 {BLOCK}\n"
        ]

    def unit_indices(self):
        """Rank > 1: the unit's number split into the indices of the outer axes."""
        lines, left = [], "%u"
        for axis in range(self.inner - 1, 0, -1):
            lines.append(f"%x{axis} = urem i64 {left}, %n{axis}\n")
            lines.append(f"%left{axis} = udiv i64 {left}, %n{axis}\n")
            left = f"%left{axis}"
        lines.append(f"%x0 = add i64 {left}, 0\n")
        lines.append(f"%count = add i64 %n{self.inner}, 0\n")
        return lines

    def unit_bases(self):
        """Where each operand of this unit begins, and the slots that say so."""
        lines = []
        for k, operand in enumerate(self.operands):
            base = f"%arg{k}"
            for axis, step in enumerate(operand.steps):
                if step == "0" or (axis == self.inner and self.kernel.rank > 1):
                    continue
                offset = f"%x{axis}"
                if step == "s":
                    offset = f"%d{k}_{axis}"
                    lines.append(f"{offset} = mul i64 %x{axis}, %s{k}_{axis}\n")
                memory = MEMORY[operand.dtype]
                lines.append(
                    f"%base{k}_{axis} = getelementptr {memory}, ptr {base}, i64 {offset}\n"
                )
                base = f"%base{k}_{axis}"
            lines.append(f"%base{k} = getelementptr i8, ptr {base}, i64 0\n")
            lines.append(f"store ptr %base{k}, ptr %at{k}\n")
            if operand.steps[-1] == "s":
                lines.append(f"store i64 %s{k}_{self.inner}, ptr %by{k}\n")
        for axis in sorted({node[2][0] for node in self.kernel.nodes if node.fn == "index"}):
            start = "0" if axis == self.inner and self.kernel.rank > 1 else f"%x{axis}"
            lines.append(f"store i64 {start}, ptr %where{axis}\n")
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
            return lines + self.node_lines(self.still, self.value)
        return lines + [self.call_part(n, "0") for n in range(len(self.still_parts))]

    def call_part(self, number, i):
        return f"call void @{self.name}_part{number}(ptr %state, ptr %frame, i64 {i})\n"

    def loop(self):
        if self.is_split:
            first = len(self.still_parts)
            body = [self.call_part(first + n, "%i") for n in range(len(self.moving_parts))]
        else:
            body = self.node_lines(self.moving, self.value)
        return [
            "loop:\n%i = phi i64 [ 0, %unit ], [ %j, %loop ], [ %full, %tail ]\n",
            *body,
            *self.output_lines(),
            f"%j = add i64 %i, {self.lanes}\n"
            "%more = icmp slt i64 %j, %full\n"
            "br i1 %more, label %loop, label %rest\n",
        ]

    # ------------------------------------------------------------ the tail

    def tail(self):
        """Elements behind the last whole vector: copy in, run the body again, copy out.

        `%left` is positive before that run, negative after it, zero if there are none.
        """
        lines = [
            "rest:\n%done = phi i64 [ 0, %unit ], [ %j, %loop ]\n"
            "%left = sub i64 %count, %done\n"
            "%is_partly = icmp sgt i64 %left, 0\n"
            "br i1 %is_partly, label %tail, label %whole\ntail:\n"
            "%back = sub i64 0, %full\n"
        ]
        lines += [self.pad(k) for k in self.padded()]
        for j in self.accumulated:
            kind = memory_vector(self.kernel.outputs[j].operand.dtype, self.lanes)
            lines.append(f"%keep{j} = load {kind}, ptr %sum{j}, align 64\n")
            lines.append(f"store {kind} %keep{j}, ptr %old{j}, align 64\n")
        lines.append(
            "br label %loop\nwhole:\n%is_padded = icmp slt i64 %left, 0\n"
            "br i1 %is_padded, label %unpad, label %unit_end\nunpad:\n"
            "%r = sub i64 %count, %full\n"
        )
        lines += [self.unpad(k) for k in self.padded() if k >= len(self.kernel.inputs)]
        lines += self.drop_padding()
        return [*lines, "br label %unit_end\n"]

    def tail_address(self, k, tag):
        """Text for the first element of the tail in memory, and its name and stride."""
        operand = self.operands[k]
        memory = MEMORY[operand.dtype]
        stride = f"%s{k}_{self.inner}" if operand.steps[-1] == "s" else "1"
        return stride, (
            f"%{tag}o{k} = mul i64 %full, {stride}\n"
            f"%{tag}p{k} = getelementptr {memory}, ptr %base{k}, i64 %{tag}o{k}\n"
        )

    def pad(self, k):
        """Ones into the buffer, then the real elements, then the operand moves to the buffer."""
        operand, n_inputs = self.operands[k], len(self.kernel.inputs)
        dtype, memory = operand.dtype, MEMORY[operand.dtype]
        text = ""
        if k < n_inputs or self.kernel.outputs[k - n_inputs].reduce is not None:
            kind = memory_vector(dtype, self.lanes)
            one = "1" if dtype == "bool" else splat(1, dtype).split()[-1].rstrip(")")
            stride, place = self.tail_address(k, "t")
            text = (
                f"store {kind} splat ({memory} {one}), ptr %buffer{k}, align 64\n{place}"
                f"call void @{self.copy(dtype)}(ptr %buffer{k}, i64 1, ptr %tp{k}, i64 {stride}, "
                "i64 %left)\n"
            )
        text += (
            f"%tb{k} = getelementptr {memory}, ptr %buffer{k}, i64 %back\n"
            f"store ptr %tb{k}, ptr %at{k}\n"
        )
        return text + (f"store i64 1, ptr %by{k}\n" if operand.steps[-1] == "s" else "")

    def unpad(self, k):
        stride, place = self.tail_address(k, "r")
        return (
            f"{place}call void @{self.copy(self.operands[k].dtype)}(ptr %rp{k}, i64 {stride}, "
            f"ptr %buffer{k}, i64 1, i64 %r)\n"
        )

    def drop_padding(self):
        """Accumulator lanes that only saw padding take back their value from before the tail."""
        if not self.accumulated:
            return []
        kind, mask = vector("i32", self.lanes), vector("bool", self.lanes)
        lanes = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        lines = [
            "%r32 = trunc i64 %r to i32\n"
            f"%rf = insertelement {kind} poison, i32 %r32, i32 0\n"
            f"%rs = shufflevector {kind} %rf, {kind} poison, {self.zeros()}\n"
            f"%is_real = icmp slt {kind} <{lanes}>, %rs\n"
        ]
        for j in self.accumulated:
            own = memory_vector(self.kernel.outputs[j].operand.dtype, self.lanes)
            lines.append(
                f"%pad{j} = load {own}, ptr %sum{j}, align 64\n"
                f"%was{j} = load {own}, ptr %old{j}, align 64\n"
                f"%true{j} = select {mask} %is_real, {own} %pad{j}, {own} %was{j}\n"
                f"store {own} %true{j}, ptr %sum{j}, align 64\n"
            )
        return lines

    def copy(self, dtype):
        return f"{self.name}_copy{SIZE[dtype]}"

    def copy_functions(self):
        """A strided copy for every element size in use; a call costs 5 ns, inlined it costs text."""
        sizes = sorted({SIZE[self.operands[k].dtype] for k in self.padded()})
        return "".join(_COPY.format(name=f"{self.name}_copy{n}", bits=8 * n) for n in sizes)

    # ------------------------------------------------------------ reductions

    def unit_end(self):
        lines = ["unit_end:\n"]
        for j in self.accumulated:
            output = self.kernel.outputs[j]
            dtype, k = output.operand.dtype, len(self.kernel.inputs) + j
            memory = MEMORY[dtype]
            lines.append(
                f"%lanes{j} = load {memory_vector(dtype, self.lanes)}, ptr %sum{j}, align 64\n"
            )
            text, result = self.tree(f"%lanes{j}", output.reduce, dtype, self.lanes)
            lines.append(text)
            if j in self.totals:
                lines.append(f"%place{j} = getelementptr {memory}, ptr %scratch{j}, i64 %u\n")
                lines.append(f"store {memory} {result}, ptr %place{j}\n")
            else:
                join = self.combine(output.reduce, dtype, 0)
                lines.append(f"%before{j} = load {memory}, ptr %base{k}\n")
                lines.append(join.format(f"%after{j}", f"%before{j}", result))
                lines.append(f"store {memory} %after{j}, ptr %base{k}\n")
        return [*lines, "%u_next = add i64 %u, 1\nbr label %units\n"]

    def tree(self, value, reduce, dtype, lanes):
        """Halve until two lanes are left: lane i meets lane i + lanes/2."""
        lines, prefix = [], value
        while lanes > 2:
            half = lanes // 2
            kind = memory_vector(dtype, lanes)
            for tag, first in (("lo", 0), ("hi", half)):
                picks = ", ".join(f"i32 {first + lane}" for lane in range(half))
                lines.append(
                    f"{prefix}_{tag}{half} = shufflevector {kind} {value}, {kind} poison, "
                    f"<{half} x i32> <{picks}>\n"
                )
            join = self.combine(reduce, dtype, half)
            lines.append(
                join.format(f"{prefix}_{half}", f"{prefix}_lo{half}", f"{prefix}_hi{half}")
            )
            value, lanes = f"{prefix}_{half}", half
        kind = memory_vector(dtype, 2)
        for lane in range(2):
            lines.append(f"{prefix}_e{lane} = extractelement {kind} {value}, i32 {lane}\n")
        join = self.combine(reduce, dtype, 0)
        lines.append(join.format(f"{prefix}_all", f"{prefix}_e0", f"{prefix}_e1"))
        return "".join(lines), f"{prefix}_all"

    def start(self):
        """NAME_start: the neutral element over the kept axes of every reduction in memory."""
        lines = [f"define void @{self.name}_start(ptr %args, ptr %meta) nounwind {{\nentry:\n"]
        lines += self.arguments()
        kept = [j for j, output in enumerate(self.kernel.outputs) if _is_kept_reduction(output)]
        before = "entry"
        for j in kept:
            lines += self.fill(j, before)
            before = f"filled{j}"
        return "".join([*lines, "ret void\n}\n"])

    def fill(self, j, before):
        operand, k = self.kernel.outputs[j].operand, len(self.kernel.inputs) + j
        axes = [axis for axis, step in enumerate(operand.steps) if step != "0"]
        lines, total = [], "1"
        for axis in axes:
            lines.append(f"%size{j}_{axis} = mul i64 {total}, %n{axis}\n")
            total = f"%size{j}_{axis}"
        lines.append(
            f"br label %fill{j}\nfill{j}:\n"
            f"%e{j} = phi i64 [ 0, %{before} ], [ %e{j}n, %set{j} ]\n"
            f"%e{j}m = icmp slt i64 %e{j}, {total}\n"
            f"br i1 %e{j}m, label %set{j}, label %filled{j}\nset{j}:\n"
        )
        left, place, memory = f"%e{j}", f"%arg{k}", MEMORY[operand.dtype]
        for axis in reversed(axes):
            name = f"%y{j}_{axis}"
            stride = f"%s{k}_{axis}" if operand.steps[axis] == "s" else "1"
            lines.append(
                f"{name} = urem i64 {left}, %n{axis}\n"
                f"{name}q = udiv i64 {left}, %n{axis}\n"
                f"{name}o = mul i64 {name}, {stride}\n"
                f"{name}p = getelementptr {memory}, ptr {place}, i64 {name}o\n"
            )
            left, place = f"{name}q", f"{name}p"
        value = neutral(self.kernel.outputs[j].reduce, operand.dtype)
        lines.append(
            f"store {memory} {value}, ptr {place}\n"
            f"%e{j}n = add i64 %e{j}, 1\nbr label %fill{j}\nfilled{j}:\n"
        )
        return lines

    def finish(self):
        """NAME_finish: units' partial results into eight accumulators in turn, then a tree."""
        lines = [f"define void @{self.name}_finish(ptr %args, ptr %meta) nounwind {{\nentry:\n"]
        for j in self.totals:
            kind = memory_vector(self.kernel.outputs[j].operand.dtype, 8)
            lines.append(f"%sum{j} = alloca {kind}, align 64\n")
        lines += self.arguments()
        lines += self.unit_count()
        before = "entry"
        for j in self.totals:
            lines += self.gather(j, before)
            before = f"gathered{j}"
        return "".join([*lines, "ret void\n}\n"])

    def unit_count(self):
        if self.kernel.rank == 1:
            return [f"%n0up = add i64 %n0, {BLOCK - 1}\n%units = sdiv i64 %n0up, {BLOCK}\n"]
        lines, total = [], "1"
        for axis in range(self.inner):
            lines.append(f"%count{axis} = mul i64 {total}, %n{axis}\n")
            total = f"%count{axis}"
        return [*lines, f"%units = add i64 {total}, 0\n"]

    def gather(self, j, before):
        output, k = self.kernel.outputs[j], len(self.kernel.inputs) + j
        dtype = output.operand.dtype
        memory, kind = MEMORY[dtype], memory_vector(dtype, 8)
        start = neutral(output.reduce, dtype)
        text, result = self.tree(f"%lanes{j}", output.reduce, dtype, 8)
        return [
            f"store {kind} splat ({memory} {start}), ptr %sum{j}, align 64\n"
            f"br label %gather{j}\ngather{j}:\n"
            f"%e{j} = phi i64 [ 0, %{before} ], [ %e{j}n, %take{j} ]\n"
            f"%e{j}m = icmp slt i64 %e{j}, %units\n"
            f"br i1 %e{j}m, label %take{j}, label %gathered{j}\ntake{j}:\n"
            f"%p{j} = getelementptr {memory}, ptr %scratch{j}, i64 %e{j}\n"
            f"%x{j} = load {memory}, ptr %p{j}\n"
            f"%lane{j} = and i64 %e{j}, 7\n"
            f"%q{j} = getelementptr {memory}, ptr %sum{j}, i64 %lane{j}\n"
            f"%a{j} = load {memory}, ptr %q{j}\n",
            self.combine(output.reduce, dtype, 0).format(f"%c{j}", f"%a{j}", f"%x{j}"),
            f"store {memory} %c{j}, ptr %q{j}\n"
            f"%e{j}n = add i64 %e{j}, 1\nbr label %gather{j}\ngathered{j}:\n"
            f"%lanes{j} = load {kind}, ptr %sum{j}, align 64\n",
            text,
            f"store {memory} {result}, ptr %arg{k}\n",
        ]


# ---------------------------------------------------------------- small texts


def _read_meta(name, position):
    return (
        f"{name}m = getelementptr i64, ptr %meta, i64 {position}\n{name} = load i64, ptr {name}m\n"
    )


def _read_arg(name, position):
    return (
        f"{name}a = getelementptr ptr, ptr %args, i64 {position}\n{name} = load ptr, ptr {name}a\n"
    )


def _narrowed(dtype):
    return "trunc" if dtype == "i32" else "sitofp"


_COPY = """\
define internal void @{name}(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n) nounwind {{
entry:
br label %one
one:
%e = phi i64 [ 0, %entry ], [ %next, %one ]
%f = mul i64 %e, %step
%g = getelementptr i{bits}, ptr %from, i64 %f
%x = load i{bits}, ptr %g
%t = mul i64 %e, %by
%h = getelementptr i{bits}, ptr %to, i64 %t
store i{bits} %x, ptr %h
%next = add i64 %e, 1
%more = icmp slt i64 %next, %n
br i1 %more, label %one, label %done
done:
ret void
}}
"""
