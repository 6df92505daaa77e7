"""A loop kernel as a Python function that people read.

`emit_source(kernel, name)` prints scalar loops over flat arrays with the index arithmetic written
out.  It is what `show` prints, what golden tests hold and what runs with TAPEJIT_JIT=0; Numba
compiles it unchanged.  The interface is the machine's (plan.py), with arrays for pointers:

    def NAME(args, meta, begin, end):
        x0, y0 = args
        n0 = meta[0]
        for unit in range(begin, end):
            for i0 in range(4096 * unit, min(4096 * unit + 4096, n0)):
                v0 = x0[i0]
                v1 = exp(v0)
                y0[i0] = v1

The loops of a row kernel take turns within one function; what belongs to the second of them is
called x0b, n0b, v0b...

    def NAME(args, meta, begin, end):
        x0, y0, x0b, y0b = args
        turn = meta[0]
        for first in range(begin, end, turn):
            last = min(first + turn, end)
            for unit in range(first, last):
                ...
            for unit in range(first, last):
                ...

`args` are flat arrays (a list, or a tuple for Numba) whose element 0 is the operand's first.  A
negative stride counts from the array's end, as NumPy does, so such an array must be rolled or
copied by the caller.  Run it under `np.errstate(all="ignore")`.

Elementwise results are those of loop_ir.py, up to the last bits of exp, sin and so on; sums are
added in plain order here and in lanes there.  Functions come from scalar_math.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tapejit.codegen.row_ir import parameter_places
from tapejit.codegen.value_text import CONVERSION, Values, tag_of
from tapejit.plan import BLOCK, LINKED, LoopKernel, RowKernel, is_kept_reduction, is_total

# ---------------------------------------------------------------- data

_FROM_NUMPY = frozenset(CONVERSION.values())


class Function(NamedTuple):
    """One function of a kernel's text."""

    name: str
    text: str
    dtypes: tuple[str | None, ...]
    """Per element of `args`: its dtype, or None if the function does not touch it."""


class KernelText(NamedTuple):
    """A kernel as Python."""

    imports: str
    functions: tuple[Function, ...]
    """NAME, then NAME_start and NAME_finish where the kernel needs them."""

    @property
    def source(self) -> str:
        """The whole file."""
        return self.imports + "\n\n".join(function.text for function in self.functions)


def emit_text(kernel: LoopKernel | RowKernel, name: str) -> KernelText:
    """Print `kernel` as Python functions called `name`…

    Errors  KernelError if a node's function does not exist for its dtype
    """
    return _Text(kernel, name).whole()


def emit_source(kernel: LoopKernel | RowKernel, name: str) -> str:
    """Print `kernel` as a Python file."""
    return emit_text(kernel, name).source


class _Text:
    """The functions of a kernel, put together from what its loops say."""

    def __init__(self, kernel, name):
        self.name, self.is_row = name, isinstance(kernel, RowKernel)
        places = parameter_places(kernel) if self.is_row else [(0, 0)]
        tags = map(tag_of, range(len(kernel.loops)))
        self.used = set()
        self.writers = [
            _Writer(loop, tag, meta, self.used)
            for loop, tag, (_, meta) in zip(kernel.loops, tags, places, strict=True)
        ]

    def whole(self):
        writers = self.writers
        functions = [self.main()]
        start = [line for writer in writers for line in writer.start()]
        if start:
            functions.append(self.function("_start", "args, meta", start))
        finish = [line for writer in writers for line in writer.finish()]
        if finish:
            functions.append(self.function("_finish", "args, meta", finish))
        return KernelText(self.imports(), tuple(functions))

    def main(self):
        about = [line for writer in self.writers for line in writer.about()]
        loops = [writer.main() for writer in self.writers]
        if not self.is_row:
            lines = ["for unit in range(begin, end):", *loops[0]]
        else:
            lines = ["turn = meta[0]", "for first in range(begin, end, turn):"]
            lines.append("    last = min(first + turn, end)")
            for loop in loops:
                lines += _indented(["for unit in range(first, last):", *loop])
        return self.function("", "args, meta, begin, end", lines, about)

    def function(self, suffix, parameters, body, comments=()):
        """A whole function: what `body` mentions of `args` and `meta` is unpacked before it."""
        mentioned = set(re.findall(r"\b[a-z]+\d+(?:_\d+)?[a-z]*\b", "\n".join(body)))
        args = [pair for writer in self.writers for pair in writer.args()]
        names = [name if name in mentioned else "_" for name, _ in args]
        lines = [*comments, f"{', '.join(names)}{',' if len(names) == 1 else ''} = args"]
        for writer in self.writers:
            lines += writer.sizes(mentioned)
        signature = f"def {self.name}{suffix}({parameters}):"
        text = "\n".join([signature, *_indented([*lines, *body])]) + "\n"
        dtypes = [dtype if name in mentioned else None for name, dtype in args]
        return Function(f"{self.name}{suffix}", text, tuple(dtypes))

    def imports(self):
        """The lines before the functions."""
        homes = {"numpy": [], "tapejit.codegen.linked_ir": [], "tapejit.codegen.scalar_math": []}
        for name in sorted(self.used):
            if name in _FROM_NUMPY:
                homes["numpy"].append(name)
            else:
                place = "linked_ir" if name.startswith(LINKED) else "scalar_math"
                homes[f"tapejit.codegen.{place}"].append(name)
        lines = [
            f"from {home} import {', '.join(names)}\n\n" for home, names in homes.items() if names
        ]
        return "".join([*lines, "\n"] if lines else [])


class _Writer(Values):
    """Prints one loop; what it is told of its sizes begins at `meta`."""

    def __init__(self, kernel, tag, meta, used):
        super().__init__(kernel, tag, used)
        self.meta = meta

    # ------------------------------------------------------------ arguments

    def args(self):
        """Name and dtype of every element of `args`."""
        kernel, tag = self.kernel, self.tag
        yield from ((f"x{k}{tag}", operand.dtype) for k, operand in enumerate(kernel.inputs))
        yield from ((f"y{j}{tag}", o.operand.dtype) for j, o in enumerate(kernel.outputs))
        for j, output in enumerate(kernel.outputs):
            if is_total(output):
                yield f"part{j}{tag}", output.operand.dtype

    def sizes(self, mentioned):
        """Lines that read what is mentioned of lengths and strides."""
        rank, meta, tag, lines = self.kernel.rank, self.meta, self.tag, []
        for axis in range(rank):
            if f"n{axis}{tag}" in mentioned:
                lines.append(f"n{axis}{tag} = meta[{meta + axis}]")
        for k, operand in enumerate(self.operands):
            for axis, step in enumerate(operand.steps):
                name = f"s{k}_{axis}{tag}"
                if step == "s" and name in mentioned:
                    lines.append(f"{name} = meta[{meta + rank + k * rank + axis}]")
        return lines

    def about(self):
        """One comment per operand: name, dtype, steps, reduction."""
        lines = []
        for k, operand in enumerate(self.operands):
            j = k - len(self.kernel.inputs)
            reduce = self.kernel.outputs[j].reduce if j >= 0 else None
            name = (f"x{k}" if j < 0 else f"y{j}") + self.tag
            lines.append(
                f"# {name}: {operand.dtype}, steps {operand.steps}"
                + (f", {reduce} over the axes that stay" if reduce else "")
            )
        return lines

    # ------------------------------------------------------------ functions

    def main(self):
        """One unit."""
        tag = self.tag
        accumulated = [
            (j, output)
            for j, output in enumerate(self.kernel.outputs)
            if output.reduce is not None and output.operand.steps[-1] == "0"
        ]
        lines = self.outer_indices()
        for j, output in accumulated:
            lines.append(f"total{j}{tag} = {self.neutral(output)}")
        stop = f"range(n{self.inner}{tag})"
        if self.kernel.rank == 1:
            stop = f"range({BLOCK} * unit, min({BLOCK} * unit + {BLOCK}, n0))"
        lines.append(f"for i{self.inner} in {stop}:")
        lines += _indented(self.body())
        for j, output in accumulated:
            lines.append(self.partial(j, output))
        return _indented(lines)

    def outer_indices(self):
        if self.kernel.rank == 1:
            return []
        lines, left = [], "unit"
        for axis in range(self.inner - 1, 0, -1):
            lines.append(f"i{axis} = {left} % n{axis}{self.tag}")
            lines.append(f"left{axis} = {left} // n{axis}{self.tag}")
            left = f"left{axis}"
        return [*lines, f"i0 = {left}"]

    def body(self):
        tag, nodes = self.tag, range(len(self.kernel.nodes))
        lines = [f"v{i}{tag} = {self.node(i)}" for i in nodes]
        for j, output in enumerate(self.kernel.outputs):
            self.check_output(j, output)
            value, target = f"v{output.node}{tag}", self.target(j)
            if output.reduce is None:
                lines.append(f"{target} = {value}")
                continue
            if output.operand.steps[-1] == "0":
                target = f"total{j}{tag}"
            lines.append(f"{target} = {self.join(output, target, value)}")
        return lines

    def partial(self, j, output):
        """What a unit leaves behind: a partial result, or a contribution to one in memory."""
        total, target = f"total{j}{self.tag}", self.target(j)
        if is_total(output):
            return f"part{j}{self.tag}[unit] = {total}"
        return f"{target} = {self.join(output, target, total)}"

    def start(self):
        """Lines that fill what is accumulated in memory."""
        lines = []
        for j, output in enumerate(self.kernel.outputs):
            if not is_kept_reduction(output):
                continue
            depth = 0
            for axis, step in enumerate(output.operand.steps):
                if step != "0":
                    lines += _indented([f"for i{axis} in range(n{axis}{self.tag}):"], depth)
                    depth += 1
            start = self.neutral(output)
            lines += _indented([f"{self.target(j)} = {start}"], depth)
        return lines

    def finish(self):
        """Lines that join partial results."""
        tag, lines = self.tag, []
        units = f"(n0{tag} + {BLOCK - 1}) // {BLOCK}"
        if self.kernel.rank > 1:
            units = " * ".join(f"n{axis}{tag}" for axis in range(self.inner))
        for j, output in enumerate(self.kernel.outputs):
            if is_total(output):
                total, part = f"total{j}{tag}", f"part{j}{tag}[unit]"
                lines += [
                    f"{total} = {self.neutral(output)}",
                    f"for unit in range({units}):",
                    f"    {total} = {self.join(output, total, part)}",
                    f"y{j}{tag}[0] = {total}",
                ]
        return lines


def _indented(lines, depth=1):
    return [f"{'    ' * depth}{line}" for line in lines]
