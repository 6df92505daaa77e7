"""The text of one CUDA kernel: loops over a space that blocks and threads share.

    KernelText(loops, walk, block)      loops with their operands' places, and who goes where

All kernels are one pattern (`Walk`).  The axes of the space are kept or reduced.  A block takes
some indices of the kept axes at once, and `lanes` threads for each, which walk through the reduced
axes side by side:

    elementwise              all axes are kept; a thread has one index after the other
    the same, rank > 1       the inner axis counts as reduced: no division for each element
    reduction                lanes add up what they meet, and then each other, in shared memory
    reduction, few results   several blocks share the reduced axes (`splits`), partial results go to
                             scratch memory, and one more kernel reduces those
    total reductions         ride along: each thread has a partial result, then each block
    row kernel               its loops over the same kept axes, one after the other

So every index of the space is met once, whatever is computed there: a store, a sum over rows and a
total share one read of each input.  Which thread meets what depends on sizes alone, so sums have
the same bits on every card.

Index arithmetic is of `index`'s width, int32 where all fits.  Numba widens it, so each result is
narrowed by a cast, of which LLVM makes plain 32-bit instructions; division is unsigned for that.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tapejit.codegen.cuda.functions import call, definitions
from tapejit.codegen.cuda.launches import Argument, Function
from tapejit.codegen.value_text import CONVERSION, FLOATS, Values, tag_of
from tapejit.plan import LoopKernel, is_total

# ---------------------------------------------------------------- data


class Part(NamedTuple):
    """A loop, its sizes, and where its operands lie."""

    kernel: LoopKernel
    lengths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    """Per operand, inputs first."""
    arguments: tuple[Argument, ...]
    """The same."""


class Walk(NamedTuple):
    """Who meets which index."""

    kept: tuple[int, ...]
    """Axes whose indices are shared out among blocks and groups of lanes."""
    reduced: tuple[int, ...]
    """The others: lanes walk through them."""
    lanes: int
    """Threads for each index of the kept axes."""
    lanes_apart: bool
    """Whether neighbouring threads have neighbouring kept indices, and not neighbouring lanes."""
    nested: bool
    """Whether all lanes take one index of the outer reduced axes after the other."""
    split: bool
    """Whether several blocks share the reduced axes."""
    index: str
    """"i32" or "i64"."""


SLOTS = 4
"""Shared arrays of each dtype: so many reductions are folded at once."""
_NAME = re.compile(r"\b[a-z]+\d*(?:_\d+)?[a-z]*\b")
_ARRAY = CONVERSION | {"bool": "uint8"}


def accumulates(j: int, part: Part) -> bool:
    """Whether output `j` is a reduction that keeps some axes."""
    output = part.kernel.outputs[j]
    return output.reduce is not None and not is_total(output)


# ---------------------------------------------------------------- values


class CudaValues(Values):
    """The values of a loop in CUDA's names: arithmetic keeps its dtype, literals have one."""

    logic = {"and": "&", "or": "|"}  # noqa: RUF012 - a constant of the class

    def __init__(self, kernel, tag, used, kept):
        super().__init__(kernel, tag, used)
        self.kept = kept

    def index(self, axis):
        """Loops of a row kernel share the indices of kept axes."""
        return f"i{axis}" if axis in self.kept else f"i{axis}{self.tag}"

    def float_literal(self, value, dtype):
        text = repr(value)
        for name in ("inf", "nan"):
            text = text.replace(name, f"math.{name}")
        return f"{CONVERSION[dtype]}({text})"

    def call(self, fn, dtype, source, values):
        if fn == "div":
            return f"{values[0]} / {values[1]}"
        return super().call(fn, dtype, source, values)

    def function(self, fn, dtype, values):
        text = f"{call(fn, dtype)}({', '.join(values)})"
        return self.narrowed(text, dtype)

    def cast(self, dtype, source, value):
        if dtype == "bool" and source != "bool":
            return f"{value} != {self.literal(0, source)}"
        if dtype == "bool" or dtype == source:
            return value
        if dtype not in FLOATS and source in FLOATS:
            return f"to_{CONVERSION[dtype]}_{source}({value})"
        return f"{CONVERSION[dtype]}({value})"

    def extreme(self, name, dtype, left, right):
        function = call(name if dtype in FLOATS else f"{name}_int", dtype)
        return self.narrowed(f"{function}({left}, {right})", dtype)


# ---------------------------------------------------------------- the kernel


class KernelText:
    """A kernel's text while it is put together: lines, and what its parameters are given.

    numbers  what sizes the text may ask for, by name
    partials  the scratch area of each output that leaves partial results, by (loop, output)
    """

    def __init__(self, parts: list[Part], walk: Walk, block: int):
        self.parts, self.walk, self.block = parts, walk, block
        tags = [tag_of(number) for number in range(len(parts))]
        self.loops = [
            CudaValues(part.kernel, tag, set(), walk.kept)
            for part, tag in zip(parts, tags, strict=True)
        ]
        self.cast = CONVERSION[walk.index]
        self.groups = block // walk.lanes
        self.shared: dict[str, str] = {}  # shared array -> its dtype

    def function(
        self, numbers: dict[str, int], partials: dict[tuple[int, int], Argument]
    ) -> tuple[Function, tuple[Argument | int, ...]]:
        """The kernel, and the arguments of a launch."""
        body = self.main()
        arrays = [
            f"{name} = cuda.shared.array({self.block}, {_ARRAY[dtype]})"
            for name, dtype in sorted(self.shared.items())
        ]
        mentioned = set(_NAME.findall("\n".join(body)))
        given = [(*known, value) for *known, value in self.pointers(partials)]
        given += [(name, self.walk.index, n) for name, n in (numbers | self.sizes()).items()]
        given = [known for known in given if known[0] in mentioned]
        names = ", ".join(name for name, _, _ in given)
        lines = [f"def kernel({names}):", *_indented([*self.about(), *arrays, *body]), ""]
        kernel = "\n".join(lines)
        helpers = definitions(kernel)
        parameters = tuple(dtype for _, dtype, _ in given)
        function = Function(helpers + kernel, parameters, self.block)
        return function, tuple(value for _, _, value in given)

    # ------------------------------------------------------------ parameters

    def pointers(self, partials):
        """(name, dtype, argument) of each pointer."""
        for number, (part, loop) in enumerate(zip(self.parts, self.loops, strict=True)):
            n, tag = len(part.kernel.inputs), loop.tag
            for k, operand in enumerate(loop.operands):
                name = f"x{k}{tag}" if k < n else f"y{k - n}{tag}"
                yield name, f"{operand.dtype}*", part.arguments[k]
            for j, output in enumerate(part.kernel.outputs):
                if (number, j) in partials:
                    yield f"part{j}{tag}", f"{output.operand.dtype}*", partials[number, j]

    def sizes(self):
        """Lengths and strides by name."""
        found = {}
        for part, loop in zip(self.parts, self.loops, strict=True):
            for axis, n in enumerate(part.lengths):
                found[f"n{axis}{loop.tag}"] = n
            for k, strides in enumerate(part.strides):
                for axis, stride in enumerate(strides):
                    found[f"s{k}_{axis}{loop.tag}"] = stride
        return found

    def about(self):
        """One comment per operand: name, dtype, steps, reduction."""
        for part, loop in zip(self.parts, self.loops, strict=True):
            n = len(part.kernel.inputs)
            for k, operand in enumerate(loop.operands):
                reduce = part.kernel.outputs[k - n].reduce if k >= n else None
                name = (f"x{k}" if k < n else f"y{k - n}") + loop.tag
                over = f", {reduce} over the axes that stay" if reduce else ""
                yield f"# {name}: {operand.dtype}, steps {operand.steps}{over}"

    # ------------------------------------------------------------ who goes where

    def main(self):
        """All lines."""
        totals = [
            (loop, j)
            for loop in self.loops
            for j, output in enumerate(loop.kernel.outputs)
            if is_total(output)
        ]
        lines = ["tid = int32(cuda.threadIdx.x)"]
        lines += [_start(loop, "total", j) for loop, j in totals]
        lines += self.all_items() if self.walk.reduced else self.flat()
        first = [f"first = {self.cast}(cuda.blockIdx.x)"] if totals else []
        lines += self.folded(totals, "total", self.block, 1, "tid", lambda loop, j, value: [
            f"part{j}{loop.tag}[first] = {value}"
        ])  # fmt: skip
        return [*first, *lines]

    def flat(self):
        """Threads take one index after the other."""
        (loop,) = self.loops
        start = f"{self.cast}(cuda.blockIdx.x) * {self.block} + tid"
        return [
            f"k = {self.cast}({start})",
            f"step = {self.cast}({self.cast}(cuda.gridDim.x) * {self.block})",
            "while k < nk:",
            *_indented(self.indices(self.walk.kept, "k", loop)),
            *_indented(self.body(loop)),
            f"    k = {self.cast}(k + step)",
        ]

    def all_items(self):
        """Blocks take one tile of kept indices, or one split of it, after the other."""
        walk, cast, groups = self.walk, self.cast, self.groups
        lines = []
        if walk.lanes == self.block:
            lines.append("lane = tid")
        elif walk.lanes > 1:
            fast, slow = ("row", "lane") if walk.lanes_apart else ("lane", "row")
            width = groups if walk.lanes_apart else walk.lanes
            lines.append(f"{fast} = int32(tid & {width - 1})")
            lines.append(f"{slow} = int32(tid >> {width.bit_length() - 1})")
        else:
            lines.append("row = tid")
        lines += [f"item = {cast}(cuda.blockIdx.x)", "while item < items:"]
        inside = []
        tile = "item"
        if walk.split:
            unsigned = f"u{cast}"
            inside.append(f"tile = {cast}({unsigned}(item) // {unsigned}(splits))")
            inside.append(f"split = {cast}(item - tile * splits)")
            tile = "tile"
        inside.append(f"k = {tile}" if groups == 1 else f"k = {cast}({tile} * {groups} + row)")
        inside += self.indices(walk.kept, "k", self.loops[0])
        for number, loop in enumerate(self.loops):
            if number:
                inside.append("cuda.syncthreads()")
            inside += self.lane_loop(loop)
        inside.append(f"item = {cast}(item + {cast}(cuda.gridDim.x))")
        return [*lines, *_indented(inside)]

    def indices(self, axes, flat, loop):
        """Lines that give the index along each axis from that of the axes together."""
        lines, left, cast = [], flat, self.cast
        for axis in reversed(axes[1:]):
            n, unsigned = f"n{axis}{loop.tag}", f"u{cast}"
            lines.append(f"left{axis}{loop.tag} = {cast}({unsigned}({left}) // {unsigned}({n}))")
            name = f"left{axis}{loop.tag}"
            lines.append(f"{loop.index(axis)} = {cast}({left} - {name} * {n})")
            left = name
        if axes and loop.index(axes[0]) != left:
            lines.append(f"{loop.index(axes[0])} = {left}")
        return lines

    def lane_loop(self, loop):
        """One loop over the reduced axes, and the reductions over them."""
        walk, tag = self.walk, loop.tag
        kept = [j for j, o in enumerate(loop.kernel.outputs) if o.reduce and not is_total(o)]
        lines = [_start(loop, "sum", j) for j in kept]
        lane = "0" if walk.lanes == 1 else "lane"
        *outer, last = walk.reduced
        if walk.nested:
            name = f"outer{tag}"
            inner = self.counted(
                loop.index(last), lane, f"n{last}{tag}", str(walk.lanes), self.body(loop)
            )
            inside = [*self.indices(tuple(outer), name, loop), *inner]
            begin, step = ("split", "splits") if walk.split else ("0", "1")
            lines += self.counted(name, begin, f"no{tag}", step, inside, guarded=True)
        else:
            name = f"r{tag}" if outer else loop.index(last)
            end = f"nr{tag}" if outer else f"n{last}{tag}"
            begin, step = lane, str(walk.lanes)
            if walk.split:
                begin = "split" if lane == "0" else f"split * {walk.lanes} + lane"
                step = f"splits * {walk.lanes}"
            inside = self.indices(walk.reduced, name, loop) if outer else []
            lines += self.counted(name, begin, end, step, [*inside, *self.body(loop)], True)
        loops = [(loop, j) for j in kept]
        stride = self.groups if walk.lanes_apart else 1
        return [*lines, *self.folded(loops, "sum", walk.lanes, stride, "lane", self.leave)]

    def counted(self, name, begin, end, step, inside, guarded=False):
        """A loop; `guarded`: none for groups of lanes beyond the last kept index."""
        cast, lines = self.cast, []
        if guarded and self.groups > 1:
            lines.append(f"end_{name} = {end} if k < nk else {cast}(0)")
            end = f"end_{name}"
        lines += [f"{name} = {cast}({begin})", f"while {name} < {end}:", *_indented(inside)]
        return [*lines, f"    {name} = {cast}({name} + {step})"]

    # ------------------------------------------------------------ what is done at an index

    def body(self, loop):
        """One index: nodes, stores, and what is added up."""
        tag, kernel = loop.tag, loop.kernel
        lines = [f"v{i}{tag} = {loop.node(i)}" for i in range(len(kernel.nodes))]
        for j, output in enumerate(kernel.outputs):
            loop.check_output(j, output)
            value = f"v{output.node}{tag}"
            if output.reduce is None:
                lines.append(f"{loop.target(j)} = {value}")
            else:
                target = f"{'total' if is_total(output) else 'sum'}{j}{tag}"
                lines.append(f"{target} = {loop.join(output, target, value)}")
        return lines

    # ------------------------------------------------------------ reductions

    def folded(self, values, name, lanes, stride, lane, leave):
        """Lines that join each of these values over groups of `lanes` threads, `stride` apart;
        the first of each group leaves the result."""
        lines: list[str] = []
        if lanes == 1:
            for loop, j in values:
                lines += leave(loop, j, f"{name}{j}{loop.tag}")
            return self.if_there(lines) if lines else []
        for at in range(0, len(values), SLOTS):
            lines += self.fold(values[at : at + SLOTS], name, lanes, stride, lane, leave)
        return lines

    def fold(self, values, name, lanes, stride, lane, leave):
        """The same for as many as there are shared arrays."""
        arrays, puts, ends = [], [], []
        for slot, (loop, j) in enumerate(values):
            dtype = loop.kernel.outputs[j].operand.dtype
            array = f"fold{slot}_{dtype}"
            self.shared[array] = dtype
            arrays.append(array)
            puts.append(f"{array}[tid] = {name}{j}{loop.tag}")
            ends += leave(loop, j, f"{array}[tid]{' != 0' if dtype == 'bool' else ''}")
        lines = ["cuda.syncthreads()", *puts, "cuda.syncthreads()"]
        half = lanes // 2
        while half:
            lines.append(f"if {lane} < {half}:")
            for array, (loop, j) in zip(arrays, values, strict=True):
                lines.append(f"    {array}[tid] = {_joined(loop, j, array, half * stride)}")
            lines.append("cuda.syncthreads()")
            half //= 2
        test = f"if {lane} == 0:"
        return [*lines, test, *_indented(self.if_there(ends) if lane == "lane" else ends)]

    def if_there(self, lines):
        """Lines for groups of lanes that have a kept index."""
        return lines if self.groups == 1 else ["if k < nk:", *_indented(lines)]

    def leave(self, loop, j, value):
        """Where a reduction over the reduced axes goes."""
        if self.walk.split:
            return [f"part{j}{loop.tag}[{self.cast}(split * nk + k)] = {value}"]
        return [f"{loop.target(j)} = {value}"]


def _start(loop, name, j):
    output = loop.kernel.outputs[j]
    return f"{name}{j}{loop.tag} = {loop.neutral(output)}"


def _joined(loop, j, array, distance):
    output = loop.kernel.outputs[j]
    here, there = f"{array}[tid]", f"{array}[tid + {distance}]"
    if output.operand.dtype == "bool":
        here, there = f"({here} != 0)", f"({there} != 0)"
    return loop.join(output, here, there)


def _indented(lines, depth=1):
    return [f"{'    ' * depth}{line}" for line in lines]
