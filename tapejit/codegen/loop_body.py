"""The straight-line body of a loop kernel as LLVM text: one vector of every node.

`Body` knows which nodes move along the inner axis and which are computed once per unit, and prints
either; loop_ir.py puts the text into its loops.  Bodies above `SPLIT` nodes become several
functions that pass values through a frame, since LLVM's time without passes grows faster than the
body (1.5 s against 0.27 s for 30 000 nodes).

Start at `Body.node_lines`.
"""

from __future__ import annotations

from tapejit.codegen import loop_memory
from tapejit.codegen.loop_columns import Neighbours
from tapejit.codegen.loop_memory import slot_of_axis, slot_of_count
from tapejit.codegen.vector_ops import MEMORY, is_float, memory_vector, recipe, splat, vector
from tapejit.errors import KernelError
from tapejit.plan import LINKED, LoopKernel

SPLIT = 500
"""Nodes in one LLVM function; 200, 500 and 1000 measured the same."""


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


class Needs:
    """What a module holds or calls besides its own functions, in order of first use."""

    def __init__(self):
        self.declarations: dict[str, None] = {}
        self.imports: dict[tuple[str, str, int], None] = {}
        """The functions of vectors that it calls (callees.py)."""
        self.support: dict[str, None] = {}
        """Those of loop_tail.py, loop_columns.py and loop_reduce.py."""
        self.constants: dict[str, str] = {}
        """Vectors in its own memory: place -> definition."""

    def call_support(self, name, result, operands):
        """Note a call of a library that kernels share."""
        self.declarations[f"declare {result} @{name}({operands}) nounwind\n"] = None
        self.support[name] = None


class Body:
    """Prints the nodes of a kernel; its parts, if it is split, are functions of their own."""

    def __init__(self, kernel: LoopKernel, name: str, split: int, needs: Needs):
        self.kernel, self.name, self.needs = kernel, name, needs
        self.lanes, self.inner = lanes_of(kernel, split), kernel.rank - 1
        self.operands = loop_memory.operands_of(kernel)
        self.neighbours = Neighbours(kernel)
        self.has_linked = any(node[0].startswith(LINKED) for node in kernel.nodes)
        self.recipes, self.parts, self.slot = {}, [], {}
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

    # ------------------------------------------------------------ for the loops

    def still_lines(self):
        """The nodes that do not move, once per unit."""
        if not self.is_split:
            return self.node_lines(self.still, self.value, "0")
        return [self.call_part(number, "0") for number in range(self.n_still_parts)]

    def moving_lines(self):
        """One vector of the nodes that move, at %i of the inner axis."""
        if not self.is_split:
            return self.node_lines(self.moving, self.value, "%i")
        return [self.call_part(number, "%i") for number in range(self.n_still_parts, self.n_parts)]

    def copied_lines(self, copy, position):
        """One of several copies of the moving nodes, numbered from 1, and how each is written."""
        value, shift = list(self.value), copy * len(self.kernel.nodes)
        for i in self.moving:
            value[i] = f"%v{i + shift}"
        return self.node_lines(self.moving, value, position, shift), value

    def memory_value(self, result, node, value):
        """Text and name of a node's value as it is in memory, read from the frame if split."""
        dtype, text, name = self.kernel.nodes[node].dtype, "", value[node]
        if node in self.slot:
            text, name = self.from_frame(f"{result}f", node), f"{result}f"
        if dtype != "bool":
            return text, name
        given, wide = vector("bool", self.lanes), memory_vector("bool", self.lanes)
        return f"{text}{result}m = zext {given} {name} to {wide}\n", f"{result}m"

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
                loop_memory.load_slot(f"%v{number}c", "i64", slot_of_count(self.kernel))
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
        self.needs.constants[place] = (
            f"{place} = private constant {kind} {splat(number, dtype)}, align 64\n"
        )
        name = loaded[key, dtype] = f"%l_{dtype}_{key}_{tag}"
        return f"{name} = load {kind}, ptr {place}, align 64\n"

    def new_recipe(self, key):
        found = recipe(*key, self.lanes)
        self.needs.declarations.update(dict.fromkeys(found.declarations))
        if found.call is not None:
            self.needs.imports[found.call] = None
        self.recipes[key] = found.text.format
        return found.text.format

    def load(self, result, k, position):
        operand = self.operands[k]
        if k in self.neighbours.slot:
            return self.neighbours.read(result, k, self.lanes)
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
        self.needs.call_support("tj_tail_splat", kind, "ptr")
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
            loop_memory.load_slot(f"{result}x", "i64", slot_of_axis(self.kernel, axis))
            + f"{result}c = add i64 {result}x, {position if is_inner else 0}\n{narrowed}"
            + loop_memory.splat_of(f"{result}s", kind, f"{scalar} {number}", self.lanes)
            + f"{result} = add {kind} {result}s, <{lanes}>\n"
        )

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
        slot = self.neighbours.n_slots + self.slot[node]
        place = f"{result}g = getelementptr [64 x i8], ptr %frame, i64 {slot}\n"
        return dtype, vector(dtype, self.lanes), memory_vector(dtype, self.lanes), place

    def call_part(self, number, i):
        return f"call void @{self.name}_part{number}(ptr %state, ptr %frame, i64 {i})\n"
