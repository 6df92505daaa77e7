"""A tape as text: one row per line, or a graph for Graphviz.

    %0 = input                               f64[1000]
    %1 = input                               f64[]
    %2 = mul %0, %1                          f64[1000]
    %3 = sum %2 axes=(0,) keepdim=False      f64[]
    return %3

Shapes follow the short name of a dtype.  Reading a long tape is mostly looking for one row, so
rows are numbered and never renumbered here, and nothing is left out.  Start at `tape_text`.
"""

from __future__ import annotations

from tapejit.registry import Kind
from tapejit.shapes import Aval
from tapejit.tape import Program, Tape

_SHORT = {
    "float64": "f64", "float32": "f32", "float16": "f16", "int64": "i64", "int32": "i32",
    "int16": "i16", "int8": "i8", "uint8": "u8", "complex64": "c64", "complex128": "c128",
}  # fmt: skip
_WIDTH = 40

# ---------------------------------------------------------------- text


def aval_text(value: Aval) -> str:
    """Dtype and shape, short: ``f64[3,4]``."""
    name = value.dtype.name
    return f"{_SHORT.get(name, name)}[{','.join(map(str, value.shape))}]"


def call_text(kind: Kind, operands: tuple[int, ...]) -> str:
    """Operation, operands and attributes: ``sum %2 axes=(0,)``."""
    if kind.op.name == "literal":
        return f"literal {kind.attrs[0]}"
    parts = [kind.op.name]
    if operands:
        parts.append(", ".join(f"%{x}" for x in operands))
    parts += [f"{name}={value}" for name, value in kind.attributes().items()]
    return " ".join(parts)


def row_text(tape: Tape, row: int) -> str:
    """One row: ``%7 = mul %3, %5  f64[1000]``."""
    kind = tape.kind(row)
    left = f"%{row} = {call_text(kind, tape.operands(row))}"
    return f"{left:<{_WIDTH}} {aval_text(kind.aval)}"


def tape_text(tape: Tape, begin: int = 0) -> str:
    """All rows of a tape from `begin` on, one per line."""
    return "".join(f"{row_text(tape, row)}\n" for row in range(begin, len(tape)))


def program_text(program: Program) -> str:
    """The rows of a program, and a last line with its outputs."""
    outputs = ", ".join(f"%{row}" for row in program.outputs)
    return f"{tape_text(program.tape)}return {outputs}\n"


# ---------------------------------------------------------------- Graphviz


def graphviz(program: Program) -> str:
    """A program in the language of Graphviz: `dot -Tsvg` draws it."""
    tape, lines = program.tape, ["digraph tape {", "    rankdir=TB; node [fontname=monospace];"]
    for row in range(len(tape)):
        kind, operands = tape.kind(row), tape.operands(row)
        name = call_text(kind, ())
        shape = "box" if kind.op.family in ("input", "literal") else "ellipse"
        if row in program.outputs:
            shape = "doubleoctagon"
        label = f"%{row} {name}\\n{aval_text(kind.aval)}".replace('"', '\\"')
        lines.append(f'    r{row} [label="{label}", shape={shape}];')
        lines += [f"    r{operand} -> r{row};" for operand in operands]
    return "\n".join([*lines, "}", ""])
