"""The text of one CUDA kernel: loops over a space that blocks and threads share.

All kernels are one pattern (`Walk`).  The axes of the space are kept or reduced.  A block takes
some indices of the kept axes at once, and `lanes` threads for each, which walk through the reduced
axes side by side:

    elementwise              all axes are kept; a thread has one index after the other
    the same, rank > 1       the inner axis counts as reduced: no division for each element
    reduction                lanes add up what they meet, and then each other (folds.py)
    reduction, few results   several blocks share the reduced axes (`splits`), partial results go to
                             scratch memory, and one more kernel reduces those
    total reductions         ride along: each thread has a partial result, then each block
    row kernel               its loops over the same kept axes, one after the other

So every index of the space is met once, whatever is computed there: a store, a sum over rows and a
total share one read of each input.  Which thread meets what depends on sizes alone, so sums have
the same bits on every card.

A thread meets `batch` elements at once: it loads all of them before it computes, as no store may
be overtaken by a load, and one load at a time is too little for the memory.  What it loads lies in
local arrays of constant length, which become registers when LLVM unrolls the loops over them.  A
row kernel whose rows are short enough is `held`: a lane's elements are one batch, and stay in those
arrays from loop to loop, so that each input is read once and what only the kernel itself reads is
not written.  There, what is reduced over the kept axes rides along too (columns, as the gradient of
a bias): a lane has the same columns of all rows that its block takes, and a part for each of them.

What does not change along the reduced axes, or at all, is computed once.

Index arithmetic is of `index`'s width, int32 where all fits.  Numba widens it, so each result is
narrowed by a cast, of which LLVM makes plain 32-bit instructions; division is unsigned for that.
Elements beyond the end are computed from an element that is there, and stored nowhere.

Start at `KernelText.function`.
"""

from __future__ import annotations

import re

from tapejit.codegen.cuda.folds import SLOTS, Folds
from tapejit.codegen.cuda.functions import definitions
from tapejit.codegen.cuda.launches import Argument, Function
from tapejit.codegen.cuda.values import ELEMENT, ROW, THREAD, Loop, Part, Walk
from tapejit.codegen.value_text import CONVERSION, tag_of
from tapejit.plan import is_total

# ---------------------------------------------------------------- data

_NAME = re.compile(r"\b[a-z]+\d*(?:_\d+)?[a-z]*\b")
_SHARED = CONVERSION | {"bool": "uint8", "u8": "uint8", "u16": "uint16"}
_LOCAL = _SHARED | {"bool": "boolean"}
"""Numba's names of dtypes in arrays; there are copies of other dtypes, by the size of elements."""

# ---------------------------------------------------------------- the kernel


class KernelText:
    """A kernel's text while it is put together: loops, and the arrays that they use.

    private  buffers that nobody else reads
    """

    def __init__(self, parts: list[Part], walk: Walk, block: int, private: frozenset = frozenset()):
        self.walk, self.block = walk, block
        self.loops = [Loop(part, tag_of(n), walk) for n, part in enumerate(parts)]
        self.cast = CONVERSION[walk.index]
        self.groups = block // walk.lanes
        self.shared: dict[str, tuple[str, int]] = {}  # array -> its dtype and length
        self.folds = Folds(block, self.shared)
        self.local: dict[str, str] = {}
        if walk.held:
            self.hold(private)
        elif walk.batch > 1:
            for loop in self.loops:
                self.put_loads_in_arrays(loop)
        for loop in self.loops:
            for j in loop.columns:
                self.local[f"column{j}{loop.tag}"] = loop.kernel.outputs[j].operand.dtype

    def function(
        self, numbers: dict[str, int], partials: dict[tuple[int, int], Argument]
    ) -> tuple[Function, tuple[Argument | int, ...]]:
        """The kernel, and the arguments of a launch.

        numbers  what sizes the text may ask for, by name
        partials  the scratch area of each output that leaves partial results, by (loop, output)
        """
        body = self.main()
        arrays = [
            f"{name} = cuda.shared.array({n}, {_SHARED[dtype]})"
            for name, (dtype, n) in sorted(self.shared.items())
        ]
        arrays += [
            f"{name} = cuda.local.array({self.walk.batch}, {_LOCAL[dtype]})"
            for name, dtype in self.local.items()
        ]
        mentioned = set(_NAME.findall("\n".join(body)))
        given = [(*known, value) for *known, value in self.pointers(partials)]
        given += [(name, self.walk.index, n) for name, n in (numbers | self.sizes()).items()]
        given = [known for known in given if known[0] in mentioned]
        names = ", ".join(name for name, _, _ in given)
        about = [line for name, line in self.about() if name in mentioned]
        lines = [f"def kernel({names}):", *indented([*about, *arrays, *body]), ""]
        kernel = "\n".join(lines)
        helpers = definitions(kernel)
        parameters = tuple(dtype for _, dtype, _ in given)
        function = Function(helpers + kernel, parameters, self.block)
        return function, tuple(value for _, _, value in given)

    # ------------------------------------------------------------ parameters

    def pointers(self, partials):
        """(name, dtype, argument) of each pointer."""
        for number, loop in enumerate(self.loops):
            n, tag = len(loop.kernel.inputs), loop.tag
            for k, operand in enumerate(loop.operands):
                name = f"x{k}{tag}" if k < n else f"y{k - n}{tag}"
                yield name, f"{operand.dtype}*", loop.part.arguments[k]
            for j, output in enumerate(loop.kernel.outputs):
                if (number, j) in partials:
                    yield f"part{j}{tag}", f"{output.operand.dtype}*", partials[number, j]

    def sizes(self):
        """Lengths and strides by name."""
        found = {}
        for loop in self.loops:
            for axis, n in enumerate(loop.part.lengths):
                found[f"n{axis}{loop.tag}"] = n
            for k, strides in enumerate(loop.part.strides):
                for axis, stride in enumerate(strides):
                    found[f"s{k}_{axis}{loop.tag}"] = stride
        return found

    def about(self):
        """One comment per operand: name, dtype, steps, reduction."""
        for loop in self.loops:
            n = len(loop.kernel.inputs)
            for k, operand in enumerate(loop.operands):
                reduce = loop.kernel.outputs[k - n].reduce if k >= n else None
                name = (f"x{k}" if k < n else f"y{k - n}") + loop.tag
                over = f", {reduce} over the axes that stay" if reduce else ""
                yield name, f"# {name}: {operand.dtype}, steps {operand.steps}{over}"

    # ------------------------------------------------------------ elements in arrays

    def put_loads_in_arrays(self, loop):
        """Elements are loaded into arrays before any is used."""
        for i, (fn, dtype, _) in enumerate(loop.kernel.nodes):
            if fn == "load" and loop.levels[i] == ELEMENT and i not in loop.given:
                name = f"h{i}{loop.tag}"
                self.local[name] = dtype
                loop.given[i] = f"{name}[e]"

    def hold(self, private):
        """What one loop loads or leaves, later ones find in registers."""
        known: dict[tuple, str] = {}
        read: dict[tuple, int] = {}  # the last loop that loads from a place
        for number, loop in enumerate(self.loops):
            for k in range(len(loop.kernel.inputs)):
                read[loop.place_key(k)] = number
        for number, loop in enumerate(self.loops):
            loads = [(i, n.operands[0]) for i, n in enumerate(loop.kernel.nodes) if n.fn == "load"]
            for i, k in loads:
                if loop.place_key(k) in known:
                    loop.given[i] = known[loop.place_key(k)]
            self.put_loads_in_arrays(loop)
            for i, k in loads:
                known.setdefault(loop.place_key(k), loop.value(i))
            for j, output in enumerate(loop.kernel.outputs):
                place = loop.place_key(len(loop.kernel.inputs) + j)
                if is_total(output) or read.get(place, -1) <= number:
                    continue
                known[place] = self.name_of(loop, j, output)
        in_memory = set().union(*map(self.read_from_memory, self.loops))
        for loop in self.loops:
            for j, output in enumerate(loop.kernel.outputs):
                buffer = loop.part.places[len(loop.kernel.inputs) + j][0]
                if buffer in private and buffer not in in_memory and not is_total(output):
                    loop.unwritten.add(j)

    def name_of(self, loop, j, output):
        """What an output that a later loop reads is called there."""
        node = output.node
        if output.reduce is not None:
            return f"w{j}{loop.tag}"
        if loop.levels[node] == ELEMENT and node not in loop.given:
            name = loop.held[node] = f"h{node}{loop.tag}"
            self.local[name] = loop.kernel.nodes[node].dtype
            return f"{name}[e]"
        return loop.value(node)

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
        for loop in self.loops:
            lines += loop.nodes_at(THREAD)
        lines += [_start(loop, f"total{j}{loop.tag}", j) for loop, j in totals]
        columns = [(loop, j) for loop in self.loops for j in loop.columns]
        starts = [_start(loop, f"column{j}{loop.tag}[e]", j) for loop, j in columns]
        lines += self.each(starts)
        lines += self.all_items() if self.walk.reduced else self.flat()
        lines += self.leave_columns(columns)
        first = [f"first = {self.cast}(cuda.blockIdx.x)"] if totals or columns else []
        values = [(loop, j, f"total{j}{loop.tag}") for loop, j in totals]
        lines += self.folded(values, self.block, 1, "tid", lambda loop, j, value: [
            f"part{j}{loop.tag}[first] = {value}"
        ])  # fmt: skip
        return [*first, *lines]

    def flat(self):
        """Threads take one index after the other, or a batch."""
        (loop,) = self.loops
        cast, span = self.cast, self.block * self.walk.batch
        lines = [
            f"step = {cast}({cast}(cuda.gridDim.x) * {span})",
            f"first_k = {cast}({cast}(cuda.blockIdx.x) * {span} + tid)",
        ]
        return lines + self.elements(
            loop, self.walk.kept, "k", "first_k", "nk", str(self.block), "step"
        )

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
            lines += ["row = tid", "lane = int32(0)"]
        lines += [f"item = {cast}(cuda.blockIdx.x)", "while item < items:"]
        inside, tile = [], "item"
        if walk.split:
            unsigned = f"u{cast}"
            inside.append(f"tile = {cast}({unsigned}(item) // {unsigned}(splits))")
            inside.append(f"split = {cast}(item - tile * splits)")
            tile = "tile"
        if groups == 1:
            inside.append(f"k = {tile}")
            inside += self.indices(walk.kept, "k", self.loops[0])
        else:
            inside.append(f"k = {cast}({tile} * {groups} + row)")
            # behind the end, the block's own first: others' rows are being written
            inside.append(f"near_k = k if k < nk else {cast}({tile} * {groups})")
            inside += self.indices(walk.kept, "near_k", self.loops[0])
        written: set = set()
        for loop in self.loops:
            if written & self.read_from_memory(loop):
                inside.append("cuda.syncthreads()")
                written = set()
            inside += self.narrow(loop) if walk.held and loop.is_narrow else self.lane_loop(loop)
            n = len(loop.kernel.inputs)
            written |= {
                loop.part.places[n + j][0]
                for j in range(len(loop.kernel.outputs))
                if j not in loop.unwritten
            }
        if self.folds.is_odd_since(0):
            inside.append("cuda.syncthreads()")
        inside.append(f"item = {cast}(item + {cast}(cuda.gridDim.x))")
        return [*lines, *indented(inside)]

    def read_from_memory(self, loop):
        """The buffers that a loop loads from."""
        return {
            loop.part.places[node.operands[0]][0]
            for i, node in enumerate(loop.kernel.nodes)
            if node.fn == "load" and loop.given.get(i, f"h{i}{loop.tag}[e]") == f"h{i}{loop.tag}[e]"
        }

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

    # ------------------------------------------------------------ one loop

    def lane_loop(self, loop):
        """One loop over the reduced axes, and the reductions over them."""
        walk, tag, lanes = self.walk, loop.tag, self.walk.lanes
        lines = loop.nodes_at(ROW)
        lines += [_start(loop, f"sum{j}{tag}", j) for j in loop.sums]
        *outer, last = walk.reduced
        if walk.nested:
            name, cast = f"outer{tag}", self.cast
            begin, step = ("split", "splits") if walk.split else ("0", "1")
            end, guard = self.guarded(f"nouter{tag}", f"end_{name}")
            inside = self.indices(tuple(outer), name, loop)
            inside += self.elements(loop, (last,), "", "lane", f"n{last}{tag}", str(lanes))
            lines += [*guard, f"{name} = {cast}({begin})", f"while {name} < {end}:"]
            lines += indented([*inside, f"{name} = {cast}({name} + {step})"])
        else:
            end, guard = self.guarded(f"nr{tag}" if outer else f"n{last}{tag}", f"end{tag}")
            begin = f"split * {lanes} + lane" if walk.split else "lane"
            step = f"splits * {lanes}" if walk.split else str(lanes)
            lines += guard + self.elements(loop, walk.reduced, f"r{tag}", begin, end, step)
        sums = [(loop, j, f"sum{j}{tag}") for j in loop.sums]
        stride = self.groups if walk.lanes_apart else 1
        return [*lines, *self.folded(sums, lanes, stride, "lane", self.leave)]

    def guarded(self, end, name):
        """The end of a walk, and the lines that it needs: none beyond the last kept index."""
        if self.groups == 1:
            return end, []
        return name, [f"{name} = {end} if k < nk else {self.cast}(0)"]

    def narrow(self, loop):
        """A loop of one number a row: all lanes compute it, one of them stores it."""
        ends = self.ends(loop)
        if not ends:
            return loop.nodes_at(ROW)
        return [*loop.nodes_at(ROW), "if lane == 0:", *indented(self.if_there(ends))]

    def elements(self, loop, axes, flat, begin, end, step, stride=None):
        """Lines that meet the elements begin, begin + step... before `end`.

        flat  what an element's index is called where there are several axes
        stride  from one batch to the next, where these are not behind each other
        """
        walk, cast = self.walk, self.cast
        if len(axes) == 1:
            flat = loop.index(axes[0])
        if walk.batch == 1 and not walk.held:
            lines = [f"{flat} = {cast}({begin})", f"while {flat} < {end}:"]
            lines += indented(self.indices(axes, flat, loop))
            lines += indented([*loop.nodes_at(ELEMENT), *self.ends(loop)])
            return [*lines, f"    {flat} = {cast}({flat} + {stride or step})"]
        at, tag = f"at{loop.tag}", loop.tag
        start = f"lane + e * {walk.lanes}" if walk.held else f"batch{tag} + e * {_in_product(step)}"
        here = [
            f"{at} = {cast}({start})",
            f"{flat} = {at} if {at} < {end} else {cast}(0)",
            *self.indices(axes, flat, loop),
        ]
        loads = [
            f"{name} = {loop.node(i)}" for i, name in loop.given.items() if name == f"h{i}{tag}[e]"
        ]
        nodes = loop.nodes_at(ELEMENT, loads=False)
        nodes += [f"{name}[e] = {loop.value(i)}" for i, name in loop.held.items()]
        ends = self.ends(loop)
        if ends:
            nodes += [f"if {at} < {end}:", *indented(ends)]
        lines = self.each([*here, *loads]) if loads else []
        if nodes:
            lines += self.each([*here, *nodes])
        if walk.held:
            return lines
        more = stride or f"{_in_product(step)} * {walk.batch}"
        return [
            f"batch{tag} = {cast}({begin})",
            f"while batch{tag} < {end}:",
            *indented(lines),
            f"    batch{tag} = {cast}(batch{tag} + {more})",
        ]

    def each(self, lines):
        """Lines for each element of a batch."""
        return [f"for e in range({self.walk.batch}):", *indented(lines)] if lines else []

    def ends(self, loop):
        """Stores at an index, and what is added up."""
        lines = []
        for j, output in enumerate(loop.kernel.outputs):
            loop.check_output(j, output)
            value = loop.value(output.node)
            if output.reduce is not None:
                target = f"{'total' if is_total(output) else 'sum'}{j}{loop.tag}"
                if j in loop.columns:
                    target = f"column{j}{loop.tag}[e]"
                lines.append(f"{target} = {loop.join(output, target, value)}")
            elif j not in loop.unwritten:
                lines.append(f"{loop.target(j)} = {value}")
        return lines

    # ------------------------------------------------------------ reductions

    def folded(self, values, lanes, stride, member, leave):
        """Lines that join values over groups of `lanes` threads, `stride` apart; the first of
        each group, whose `member` is 0, leaves the results."""
        lines: list[str] = []
        is_told = self.walk.held and member == "lane"  # all lanes
        for at in range(0, len(values), SLOTS):
            some = values[at : at + SLOTS]
            joins, results = self.folds.join(some, lanes, stride)
            lines += joins
            if is_told:
                lines, results = [*lines, *results], []
            ends = [line for loop, j, _ in some for line in leave(loop, j, f"w{j}{loop.tag}")]
            if member == "lane":
                ends = self.if_there(ends)
            if lanes == 1:
                lines += [*results, *ends]
            elif ends:
                lines += [f"if {member} == 0:", *indented([*results, *ends])]
        return lines

    def leave_columns(self, columns):
        """What is reduced over the rows of a block goes to scratch memory."""
        lanes, turns = self.walk.lanes, self.folds.turns
        values = [(loop, j, f"column{j}{loop.tag}[e]") for loop, j in columns]
        lines = self.folded(values, self.groups, lanes, "row", self.leave_column)
        if self.folds.is_odd_since(turns):
            lines.append("cuda.syncthreads()")
        here = [f"at = {self.cast}(lane + e * {lanes})"]
        return self.each([*here, *lines] if lines else [])

    def leave_column(self, loop, j, value):
        """Where a block leaves its part of a reduction over the kept axes."""
        n = f"n{loop.kernel.rank - 1}{loop.tag}"
        return [f"if at < {n}:", f"    part{j}{loop.tag}[{self.cast}(first * {n} + at)] = {value}"]

    def if_there(self, lines):
        """Lines for groups of lanes that have a kept index."""
        return lines if self.groups == 1 or not lines else ["if k < nk:", *indented(lines)]

    def leave(self, loop, j, value):
        """Where a reduction over the reduced axes goes."""
        if j in loop.unwritten:
            return []
        if self.walk.split:
            return [f"part{j}{loop.tag}[{self.cast}(split * nk + k)] = {value}"]
        return [f"{loop.target(j)} = {value}"]


def _start(loop, name, j):
    """The line that begins output j's reduction."""
    return f"{name} = {loop.neutral(loop.kernel.outputs[j])}"


def _in_product(text):
    return f"({text})" if "*" in text else text


def indented(lines, depth=1):
    """Lines further to the right."""
    return [f"{'    ' * depth}{line}" for line in lines]
