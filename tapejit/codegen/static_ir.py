"""A kernel step with its sizes written in: LLVM IR that needs neither `meta` nor stack buffers.

`emit_static(step, name)` prints `void @NAME(ptr %x0, ptr %x1, ...)`, one pointer for each operand
of the step, inputs before outputs, loop by loop.  It is what self-contained code is made of
(`runtime.freestanding`), where a function of ten numbers has to cost what a person's own code
costs; `loop_ir.py`, whose text holds no sizes, is for kernels that programs of all sizes share.

    inner axis   whole vectors (8 or 16 lanes), then the rest in halves: 4, 2, 1
    outer axes   loops; or nothing but straight lines, where all of it is short
    reductions   along the inner axis in lanes, each vector length for itself, then a halving tree

Elementwise results have the bits of `loop_ir.py`: the nodes are the same text, and a call of vector
mathematics always has all its lanes, the missing ones filled with a copy of the first.  Sums are
added in another order.  There are no threads and no units here.

Start at `emit_static`, then `_Part.chunk`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from tapejit.codegen import vectormath
from tapejit.codegen.loop_body import lanes_of
from tapejit.codegen.loop_memory import operands_of
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
from tapejit.expressions import FUNCTIONS
from tapejit.plan import LINKED, KernelStep, RowStep, is_total

NO_PLACES: Mapping[int, int] = {}
STRAIGHT = 400
"""Instructions, about, up to which a loop becomes straight lines."""


class StaticText(NamedTuple):
    """A function, and what its module needs besides."""

    ir: str
    declarations: tuple[str, ...]
    imports: tuple[tuple[str, str, int], ...]
    """The functions of vectors that it calls (callees.py)."""
    weight: int
    """Instructions, about, that are in the text."""


def emit_static(
    step: KernelStep | RowStep, name: str, places: Mapping[int, int] = NO_PLACES
) -> StaticText:
    """Print a step as `void @name(ptr...)`.

    places  operands of a kernel of one axis whose elements lie where a table of int64 says, which
            is one more pointer for each, behind all operands; with the length of what they lie in.
            An output by places is added up, from zeros
    Errors  KernelError if a node's function does not exist for its dtype
    """
    return _Emitter(step, name, places).whole()


class _Emitter:
    """The function of one step: its parts take turns at the indices that they share."""

    def __init__(self, step, name, places):
        self.name, self.places = name, places
        self.lines: list[str] = []
        self.head: list[str] = []  # allocas
        self.declarations: dict[str, None] = {}
        self.imports: dict[tuple[str, str, int], None] = {}
        self.count = 0
        self.weight = 0
        first, self.parts = 0, []
        for part in step.parts:
            self.parts.append(_Part(self, part, first))
            first += len(part.views)
        self.n_operands = first

    def whole(self):
        outer = self.parts[0].lengths[:-1]
        for part in self.parts:
            part.start()
        cost = math.prod(outer) * sum(part.cost for part in self.parts)
        if all(outer):
            self.nest(outer, cost <= STRAIGHT, self.units)
        for part in self.parts:
            part.finish()
        names = [f"ptr{how} %x{k}" for k, how in enumerate(self.apart())]
        pointers = ", ".join([*names, *(f"ptr %p{k}" for k in self.places)])
        inline = " alwaysinline" if self.weight <= 2 * STRAIGHT else " noinline"
        body = "".join([*self.head, *self.lines])
        head = f"define internal void @{self.name}({pointers}) nounwind{inline} {{\n"
        return StaticText(
            f"{head}{body}ret void\n}}\n",
            tuple(self.declarations),
            tuple(self.imports),
            self.weight,
        )

    def apart(self):
        """Per operand, " noalias" if it is written and is no other operand's memory."""
        parts = self.parts
        buffers = [view.buffer for part in parts for view in part.views]
        written = [k >= part.n_inputs for part in parts for k in range(len(part.views))]
        pairs = zip(buffers, written, strict=True)
        return [" noalias" * (is_out and buffers.count(b) == 1) for b, is_out in pairs]

    def units(self, outer):
        for part in self.parts:
            part.unit(outer)

    # ------------------------------------------------------------ text

    def fresh(self) -> int:
        """A number that no name has."""
        self.count += 1
        return self.count

    def emit(self, text: str):
        self.lines.append(text)

    def value(self, text: str) -> str:
        """The name of a new value."""
        name = f"%t{self.fresh()}"
        self.emit(f"{name} = {text}\n")
        return name

    def alloca(self, kind: str, first: str) -> str:
        """Memory for one value, which is `first` in the beginning."""
        name = f"%m{self.fresh()}"
        self.head += [f"{name} = alloca {kind}, align 64\n", f"store {kind} {first}, ptr {name}\n"]
        return name

    def declare(self, declarations):
        self.declarations.update(dict.fromkeys(declarations))

    def nest(self, lengths, is_straight, body, indices=()):
        """`body(indices)` for all indices below the lengths, in order."""
        if not lengths:
            body(indices)
        elif is_straight:
            for i in range(lengths[0]):
                self.nest(lengths[1:], True, body, (*indices, i))
        else:
            self.loop(lengths[0], 1, lambda i: self.nest(lengths[1:], False, body, (*indices, i)))

    def loop(self, stop, step, body):
        """A loop over 0, step... below `stop`, which is a multiple of it and not 0."""
        if stop == step:
            body(0)
            return
        n = self.fresh()
        at = f"%i{n}"
        place = self.alloca("i64", "0")
        self.emit(f"store i64 0, ptr {place}\nbr label %loop{n}\nloop{n}:\n")
        self.emit(f"{at} = load i64, ptr {place}\n")
        body(at)
        self.emit(
            f"%n{n} = add nuw nsw i64 {at}, {step}\nstore i64 %n{n}, ptr {place}\n"
            f"%c{n} = icmp ult i64 %n{n}, {stop}\n"
            f"br i1 %c{n}, label %loop{n}, label %end{n}\nend{n}:\n"
        )

    def place(self, terms) -> tuple[int, list[str]]:
        """A sum of index times stride, as a constant and values."""
        constant, values = 0, []
        for index, stride in terms:
            if isinstance(index, int):
                constant += index * stride
            elif stride == 1:
                values.append(index)
            elif stride:
                values.append(self.value(f"mul nsw i64 {index}, {stride}"))
        return constant, values

    def address(self, k: int, dtype: str, terms) -> str:
        """Where an element of operand `k` lies."""
        constant, values = self.place(terms)
        at = f"%x{k}"
        for offset in [*values, *([constant] if constant else [])]:
            at = self.value(f"getelementptr {MEMORY[dtype]}, ptr {at}, i64 {offset}")
        return at


def _equal(number: str, dtype: str, lanes: int) -> tuple[str, str]:
    """The type in memory of so many lanes, and a constant with this number in each."""
    if lanes == 1:
        return MEMORY[dtype], number
    return memory_vector(dtype, lanes), f"splat ({MEMORY[dtype]} {number})"


class _Part:
    """One loop of the step; its operands begin at %x{first}."""

    def __init__(self, emitter, step, first):
        self.to: _Emitter = emitter
        self.kernel, self.lengths, self.first = step.kernel, step.lengths, first
        self.views = step.views
        self.operands = operands_of(step.kernel)
        self.strides = [
            tuple(
                0 if how == "0" else stride for how, stride in zip(o.steps, v.strides, strict=True)
            )
            for o, v in zip(self.operands, step.views, strict=True)
        ]
        self.n_inputs = len(step.kernel.inputs)
        n = step.lengths[-1]
        self.lanes = min(lanes_of(step.kernel), 1 << max(n.bit_length() - 1, 0))
        self.whole = n - n % self.lanes
        bits = range(self.lanes.bit_length() - 1, -1, -1)
        self.tail = [1 << bit for bit in bits if (n - self.whole) >> bit & 1]
        per_chunk = len(step.kernel.nodes) + len(self.operands)
        self.cost = per_chunk * (self.whole // self.lanes + len(self.tail))
        self.is_straight = self.cost <= STRAIGHT
        self.sums: dict[int, dict[int, str]] = {}
        self.still = [
            j
            for j, output in enumerate(step.kernel.outputs)
            if output.reduce is not None and not self.strides[self.n_inputs + j][-1]
        ]

    def elements(self, k, at, lanes):
        """Where the elements of an operand by places lie: an address for each lane."""
        dtype, found = self.operands[k].dtype, []
        for lane in range(lanes):
            constant, values = self.to.place([(at, 1), (lane, 1)])
            place = f"%p{k}"
            for offset in [*values, *([constant] if constant else [])]:
                place = self.to.value(f"getelementptr i64, ptr {place}, i64 {offset}")
            number = self.to.value(f"load i64, ptr {place}, align 8")
            found.append(self.to.address(k, dtype, [(number, self.strides[k][-1])]))
        return found

    def output_strides(self, j):
        return self.strides[self.n_inputs + j]

    # ------------------------------------------------------------ reductions

    def is_visited_once(self, j):
        """Whether each element of a kept reduction belongs to one unit."""
        pairs = zip(self.output_strides(j)[:-1], self.lengths[:-1], strict=True)
        return j in self.still and all(stride or n == 1 for stride, n in pairs)

    def start(self):
        """Neutral elements into what is accumulated in memory."""
        for k, length in self.to.places.items():
            if k >= self.n_inputs:
                n_bytes = length * SIZE[self.operands[k].dtype]
                self.to.declare(["declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"])
                self.to.emit(
                    f"call void @llvm.memset.p0.i64(ptr %x{k}, i8 0, i64 {n_bytes}, i1 false)\n"
                )
        for j, output in enumerate(self.kernel.outputs):
            if output.reduce is None or is_total(output) or self.is_visited_once(j):
                continue
            dtype, strides = output.operand.dtype, self.output_strides(j)
            axes = [(n, s) for n, s in zip(self.lengths, strides, strict=True) if s]
            first = neutral(output.reduce, dtype)

            def fill(indices, j=j, dtype=dtype, axes=axes, first=first):
                terms = [(i, s) for i, (_, s) in zip(indices, axes, strict=True)]
                at = self.to.address(self.first + self.n_inputs + j, dtype, terms)
                self.to.emit(f"store {MEMORY[dtype]} {first}, ptr {at}\n")

            lengths = [n for n, _ in axes]
            self.to.nest(lengths, math.prod(lengths) <= 32, fill)
        for j, output in enumerate(self.kernel.outputs):
            if output.reduce is not None and is_total(output):
                self.sums[j] = self.accumulators(output)

    def accumulators(self, output):
        """Per number of lanes, memory for a partial result."""
        first, dtype = neutral(output.reduce, output.operand.dtype), output.operand.dtype
        return {
            lanes: self.to.alloca(*_equal(first, dtype, lanes))
            for lanes in dict.fromkeys([self.lanes, *self.tail])
        }

    def finish(self):
        """Total reductions into their element."""
        for j, output in enumerate(self.kernel.outputs):
            if output.reduce is not None and is_total(output):
                self.store_element(j, output, self.joined(j, output), ())

    def joined(self, j, output):
        """All lanes of the accumulators as one number."""
        dtype, parts = output.operand.dtype, []
        for lanes, memory in self.sums[j].items():
            if lanes == 1:
                parts.append(self.to.value(f"load {MEMORY[dtype]}, ptr {memory}"))
                continue
            value = self.to.value(f"load {memory_vector(dtype, lanes)}, ptr {memory}, align 64")
            while lanes > 2:
                kind, half = memory_vector(dtype, lanes), lanes // 2
                low, high = (
                    self.to.value(
                        f"shufflevector {kind} {value}, {kind} poison, <{half} x i32> <"
                        + ", ".join(f"i32 {i}" for i in range(start, start + half))
                        + ">"
                    )
                    for start in (0, half)
                )
                value, lanes = self.join(output, half, low, high), half
            kind = memory_vector(dtype, 2)
            pair = [self.to.value(f"extractelement {kind} {value}, i32 {i}") for i in range(2)]
            parts.append(self.join(output, 0, *pair))
        while len(parts) > 1:
            parts[:2] = [self.join(output, 0, *parts[:2])]
        return parts[0]

    def join(self, output, lanes, left, right):
        text, declarations = combine(output.reduce, output.operand.dtype, lanes)
        self.to.declare(declarations)
        name = f"%t{self.to.fresh()}"
        self.to.emit(text.format(name, left, right))
        return name

    def store_element(self, j, output, value, outer):
        dtype = output.operand.dtype
        terms = zip(outer, self.output_strides(j), strict=False)
        at = self.to.address(self.first + self.n_inputs + j, dtype, terms)
        if outer and not self.is_visited_once(j):
            before = self.to.value(f"load {MEMORY[dtype]}, ptr {at}")
            value = self.join(output, 0, before, value)
        self.to.emit(f"store {MEMORY[dtype]} {value}, ptr {at}\n")

    # ------------------------------------------------------------ one unit

    def unit(self, outer):
        """The inner axis, for one index of each outer axis."""
        kept = [j for j in self.still if not is_total(self.kernel.outputs[j])]
        for j in kept:
            output = self.kernel.outputs[j]
            self.sums[j] = self.accumulators(output)
            first = neutral(output.reduce, output.operand.dtype)
            for lanes, memory in self.sums[j].items():
                kind, splatted = _equal(first, output.operand.dtype, lanes)
                self.to.emit(f"store {kind} {splatted}, ptr {memory}, align 64\n")
        if self.whole and self.is_straight:
            for at in range(0, self.whole, self.lanes):
                self.chunk(outer, at, self.lanes)
        elif self.whole:
            self.to.loop(self.whole, self.lanes, lambda at: self.chunk(outer, at, self.lanes))
        at = self.whole
        for lanes in self.tail:
            self.chunk(outer, at, lanes)
            at += lanes
        for j in kept:
            self.store_unit(j, outer)

    def store_unit(self, j, outer):
        """What the inner axis gave, if the unit has no outer index either."""
        output = self.kernel.outputs[j]
        self.store_element(j, output, self.joined(j, output), outer)

    # ------------------------------------------------------------ one vector

    def chunk(self, outer, at, lanes):
        """`lanes` elements from `at` on: loads, nodes, stores.

        One element is computed in two lanes: LLVM 22 aborts the process on some vectors of one.
        """
        indices, width = (*outer, at), max(lanes, 2)
        names: list[str] = []
        self.to.weight += len(self.kernel.nodes) + len(self.operands)
        for fn, dtype, operands in self.kernel.nodes:
            if fn == "literal":
                names.append(splat(operands[0], dtype))
            elif fn == "load":
                names.append(self.load(operands[0], indices, lanes))
            elif fn == "index":
                names.append(self.index(dtype, operands[0], indices, width))
            else:
                names.append(self.node(fn, dtype, operands, names, width, lanes))
        for j, output in enumerate(self.kernel.outputs):
            self.leave(j, output, names[output.node], indices, lanes)

    def node(self, fn, dtype, operands, names, lanes, n_elements):
        source = self.kernel.nodes[operands[-1]].dtype
        is_linked = fn.startswith(LINKED)
        is_math = fn in vectormath.FUNCTIONS and dtype in ("f64", "f32") and fn != "cast"
        width = 64 // SIZE[dtype] if is_math or is_linked else lanes
        found = recipe(fn, dtype, source, width)
        self.to.declare(found.declarations)
        values = [names[i] for i in operands]
        if found.call is not None:
            self.to.imports[found.call] = None
            if width != lanes:
                values = [self.resized(v, dtype, lanes, width) for v in values]
                assert is_linked or len(values) == FUNCTIONS[fn], fn
        if is_linked:  # not on lanes that are no elements
            values.append(str(n_elements))
        number = self.to.fresh()
        self.to.emit(found.text.format(number, *values))
        name = f"%v{number}"
        return name if width == lanes else self.resized(name, dtype, width, lanes)

    def resized(self, value, dtype, lanes, width):
        """The first lanes of a vector; more of them are copies of the first."""
        if value.startswith("splat"):
            return value
        kind = vector(dtype, lanes)
        mask = ", ".join(f"i32 {i if i < lanes else 0}" for i in range(width))
        return self.to.value(
            f"shufflevector {kind} {value}, {kind} poison, <{width} x i32> <{mask}>"
        )

    def splatted(self, scalar, kind, lanes):
        """A scalar, written with its type, in every lane."""
        first = self.to.value(f"insertelement {kind} poison, {scalar}, i32 0")
        return self.to.value(
            f"shufflevector {kind} {first}, {kind} poison, <{lanes} x i32> zeroinitializer"
        )

    def load(self, k, indices, lanes):
        dtype, strides = self.operands[k].dtype, self.strides[k]
        element, kind = MEMORY[dtype], memory_vector(dtype, max(lanes, 2))
        terms = list(zip(indices, strides, strict=True))
        by_places = k in self.to.places
        at = "" if by_places else self.to.address(self.first + k, dtype, terms)
        if lanes == 1:
            place = self.elements(k, indices[-1], 1)[0] if by_places else at
            number = self.to.value(f"load {element}, ptr {place}")
            value = self.splatted(f"{element} {number}", kind, 2)
        elif by_places:
            value = "poison"
            for lane, place in enumerate(self.elements(k, indices[-1], lanes)):
                number = self.to.value(f"load {element}, ptr {place}")
                value = self.to.value(
                    f"insertelement {kind} {value}, {element} {number}, i32 {lane}"
                )
        elif strides[-1] == 1:
            value = self.to.value(f"load {kind}, ptr {at}, align {SIZE[dtype]}")
        elif strides[-1] == 0:
            value = self.splatted(
                f"{element} {self.to.value(f'load {element}, ptr {at}')}", kind, lanes
            )
        else:
            value = "poison"
            for lane in range(lanes):
                place = self.to.value(
                    f"getelementptr {element}, ptr {at}, i64 {lane * strides[-1]}"
                )
                number = self.to.value(f"load {element}, ptr {place}")
                value = self.to.value(
                    f"insertelement {kind} {value}, {element} {number}, i32 {lane}"
                )
        if dtype == "bool":
            return self.to.value(f"icmp ne {kind} {value}, zeroinitializer")
        return value

    def index(self, dtype, axis, indices, lanes):
        if dtype not in ("i64", "i32"):
            raise KernelError(
                f"codegen: an index is i64 or i32, not {dtype}\n  try  a cast node after it"
            )
        kind, index, is_inner = vector(dtype, lanes), indices[axis], axis == self.kernel.rank - 1
        if isinstance(index, int):
            numbers = [index + lane * is_inner for lane in range(lanes)]
            return f"<{', '.join(f'{MEMORY[dtype]} {number}' for number in numbers)}>"
        if dtype == "i32":
            index = self.to.value(f"trunc i64 {index} to i32")
        base = self.splatted(f"{MEMORY[dtype]} {index}", kind, lanes)
        steps = ", ".join(f"{MEMORY[dtype]} {lane * is_inner}" for lane in range(lanes))
        return self.to.value(f"add {kind} {base}, <{steps}>")

    def leave(self, j, output, value, indices, lanes):
        """Store a node's value, or add it to a reduction."""
        dtype = output.operand.dtype
        given = self.kernel.nodes[output.node].dtype
        if given != dtype:
            raise KernelError(
                f"codegen: output {j} is {dtype}, its node {output.node} is {given}"
                "\n  try  a cast node before it"
            )
        width = max(lanes, 2)
        kind = memory_vector(dtype, width)
        if dtype == "bool":
            value = self.to.value(f"zext {vector('bool', width)} {value} to {kind}")
        if j in self.still:
            memory = self.sums[j][lanes]
            if lanes == 1:
                kind, value = MEMORY[dtype], self.to.value(f"extractelement {kind} {value}, i32 0")
            before = self.to.value(f"load {kind}, ptr {memory}, align 64")
            after = self.join(output, lanes if lanes > 1 else 0, before, value)
            self.to.emit(f"store {kind} {after}, ptr {memory}, align 64\n")
            return
        k, stride = self.n_inputs + j, self.output_strides(j)[-1]
        if k in self.to.places:
            self.add_up(output, k, value, indices, lanes)
            return
        terms = list(zip(indices, self.output_strides(j), strict=True))
        at = self.to.address(self.first + k, dtype, terms)
        if stride == 1 and lanes > 1:
            self.write(output, kind, lanes, value, at, f", align {SIZE[dtype]}")
            return
        for lane in range(lanes if stride else 1):
            number = self.to.value(f"extractelement {kind} {value}, i32 {lane}")
            place = self.to.value(f"getelementptr {MEMORY[dtype]}, ptr {at}, i64 {lane * stride}")
            self.write(output, MEMORY[dtype], 0, number, place, "")

    def add_up(self, output, k, value, indices, lanes):
        """Add each lane where its place is, in order."""
        dtype = output.operand.dtype
        element, kind = MEMORY[dtype], memory_vector(dtype, max(lanes, 2))
        text, _ = combine("sum", output.operand.dtype, 0)
        for lane, place in enumerate(self.elements(k, indices[-1], lanes)):
            number = self.to.value(f"extractelement {kind} {value}, i32 {lane}")
            before = self.to.value(f"load {element}, ptr {place}")
            name = f"%t{self.to.fresh()}"
            self.to.emit(text.format(name, before, number))
            self.to.emit(f"store {element} {name}, ptr {place}\n")

    def write(self, output, kind, lanes, value, at, align):
        if output.reduce is not None:
            before = self.to.value(f"load {kind}, ptr {at}{align}")
            value = self.join(output, lanes, before, value)
        self.to.emit(f"store {kind} {value}, ptr {at}{align}\n")
