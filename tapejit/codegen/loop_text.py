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

from tapejit.codegen.loop_memory import is_kept_reduction, is_total, operands_of
from tapejit.codegen.row_ir import parameter_places
from tapejit.errors import KernelError
from tapejit.expressions import MATH
from tapejit.plan import BLOCK, LoopKernel, RowKernel

# ---------------------------------------------------------------- data

_FLOAT = ("f64", "f32")
_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
    "ne": "!=", "and": "and", "or": "or",
}  # fmt: skip
_FLOAT_ONLY = ("div", "sqrt", "copysign")
_CONVERSION = {"f32": "float32", "i64": "int64", "i32": "int32"}
_FROM_NUMPY = {"float32", "float64", "int64", "int32"}
_LIMIT = {"i64": 2**63 - 1, "i32": 2**31 - 1}


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
        tags = ["", *map(_tag, range(1, len(kernel.loops)))]
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
        from_numpy, helpers = sorted(self.used & _FROM_NUMPY), sorted(self.used - _FROM_NUMPY)
        lines = [f"from numpy import {', '.join(from_numpy)}\n\n"] if from_numpy else []
        if helpers:
            lines.append(f"from tapejit.codegen.scalar_math import {', '.join(helpers)}\n\n")
        return "".join([*lines, "\n"] if lines else [])


def _tag(number):
    """What the names of a row kernel's loop end in: b, c... z, bb, bc..."""
    return (_tag(number // 26) if number >= 26 else "") + "abcdefghijklmnopqrstuvwxyz"[number % 26]


class _Writer:
    """Prints one loop and notes in `used` the names to import.  Names end in `tag`; what the loop
    is told of its sizes begins at `meta`."""

    def __init__(self, kernel, tag, meta, used):
        self.kernel, self.tag, self.meta, self.used = kernel, tag, meta, used
        self.inner = kernel.rank - 1
        self.operands = operands_of(kernel)

    def use(self, name):
        self.used.add(name)
        return name

    # ------------------------------------------------------------ values

    def literal(self, value, dtype):
        if dtype == "bool":
            return str(bool(value))
        if dtype not in _FLOAT:
            return f"{self.use(_CONVERSION[dtype])}({int(value)})"
        text = repr(float(value))
        if text.lstrip("-") in ("inf", "nan"):
            self.use(text.lstrip("-"))
        return text if dtype == "f64" else f"{self.use('float32')}({text})"

    def node(self, i):
        """The right-hand side that computes node `i`."""
        fn, dtype, operands = self.kernel.nodes[i]
        if fn == "literal":
            return self.literal(operands[0], dtype)
        if fn == "load":
            element = f"x{operands[0]}{self.tag}[{self.place(operands[0])}]"
            return f"{element} != 0" if dtype == "bool" else element  # a byte, where it is no array
        if fn == "index":
            if dtype not in ("i64", "i32"):
                raise KernelError(
                    f"codegen: an index is i64 or i32, not {dtype}\n  try  a cast node after it"
                )
            return f"{self.use(_CONVERSION[dtype])}(i{operands[0]})"
        source = self.kernel.nodes[operands[-1]].dtype
        values = [f"v{node}{self.tag}" for node in operands]
        if fn == "cast":
            return self.cast(dtype, source, values[0])
        return self.call(fn, dtype, source, values)

    def call(self, fn, dtype, source, values):
        is_int = source in ("i64", "i32")
        if source not in _FLOAT and (fn in MATH or fn in _FLOAT_ONLY):
            raise KernelError(f"codegen: no {fn} of {source}\n  try  a cast node before it")
        if fn in _INFIX:
            text = f"{values[0]} {_INFIX[fn]} {values[1]}"
            # Numba widens int32 arithmetic to int64
            return f"{self.use('int32')}({text})" if dtype == "i32" else text
        if fn == "select":
            return f"{values[1]} if {values[0]} else {values[2]}"
        if fn == "not":
            return f"not {values[0]}"
        if fn in ("neg", "abs"):
            text = f"-{values[0]}" if fn == "neg" else f"abs({values[0]})"
            return f"{self.use('int32')}({text})" if dtype == "i32" else text
        if is_int and fn in ("floor", "ceil", "trunc", "round"):
            return values[0]
        helper = f"{fn}_int" if is_int else {"round": "round_even"}.get(fn, fn)
        text = f"{self.use(helper)}({', '.join(values)})"
        return f"{self.use(_CONVERSION[dtype])}({text})" if dtype in _CONVERSION else text

    def cast(self, dtype, source, value):
        if dtype == source:
            return value
        if dtype == "bool":
            return f"{value} != 0"
        if dtype == "f64":  # Numba has no float(bool)
            return f"{self.use('float64') if source == 'bool' else 'float'}({value})"
        if dtype != "f32" and source in _FLOAT:
            to_int = "to_int64" if dtype == "i64" else "to_int32"
            return f"{self.use(_CONVERSION[dtype])}({self.use(to_int)}({value}))"
        return f"{self.use(_CONVERSION[dtype])}({value})"

    # ------------------------------------------------------------ memory

    def place(self, k):
        """The flat index of operand `k` at the loop indices i0, i1, …"""
        terms = {"1": "i{axis}", "s": f"i{{axis}} * s{{k}}_{{axis}}{self.tag}"}
        parts = [
            terms[step].format(axis=axis, k=k)
            for axis, step in enumerate(self.operands[k].steps)
            if step != "0"
        ]
        return " + ".join(parts) or "0"

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

    # ------------------------------------------------------------ reductions

    def neutral(self, reduce, dtype):
        if reduce in ("sum", "prod"):
            if dtype == "bool":
                raise KernelError(f"codegen: no {reduce} of bool\n  try  a cast node before it")
            return self.literal(0 if reduce == "sum" else 1, dtype)
        if dtype == "bool":
            return str(reduce == "min")
        if dtype in _FLOAT:
            return self.literal(float("-inf" if reduce == "max" else "inf"), dtype)
        return self.literal(-_LIMIT[dtype] - 1 if reduce == "max" else _LIMIT[dtype], dtype)

    def join(self, output, left, right):
        """Text that joins two partial results of a reduction."""
        dtype = output.operand.dtype
        if dtype == "bool":
            return f"{left} {'or' if output.reduce == 'max' else 'and'} {right}"
        if output.reduce in ("max", "min"):
            return f"{self.use(f'{output.reduce}imum')}({left}, {right})"
        text = f"{left} {'+' if output.reduce == 'sum' else '*'} {right}"
        return f"{self.use('int32')}({text})" if dtype == "i32" else text

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
            lines.append(f"total{j}{tag} = {self.neutral(output.reduce, output.operand.dtype)}")
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
            given = self.kernel.nodes[output.node].dtype
            if given != output.operand.dtype:
                raise KernelError(
                    f"codegen: output {j} is {output.operand.dtype}, its node {output.node} is "
                    f"{given}\n  try  a cast node before it"
                )
            value, target = f"v{output.node}{tag}", self.target(j)
            if output.reduce is None:
                lines.append(f"{target} = {value}")
                continue
            if output.operand.steps[-1] == "0":
                target = f"total{j}{tag}"
            lines.append(f"{target} = {self.join(output, target, value)}")
        return lines

    def target(self, j):
        """An element of output `j`."""
        return f"y{j}{self.tag}[{self.place(len(self.kernel.inputs) + j)}]"

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
            start = self.neutral(output.reduce, output.operand.dtype)
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
                    f"{total} = {self.neutral(output.reduce, output.operand.dtype)}",
                    f"for unit in range({units}):",
                    f"    {total} = {self.join(output, total, part)}",
                    f"y{j}{tag}[0] = {total}",
                ]
        return lines


def _indented(lines, depth=1):
    return [f"{'    ' * depth}{line}" for line in lines]
