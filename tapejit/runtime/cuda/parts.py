"""Programs whose values move between devices, as a chain of programs of one device each.

A row belongs to the part of its device and its stage: how often, at most, what it comes from has
changed devices.  Parts run in the order of stages, which no row breaks; values go from one to the
next as they are, or moved by `to_device` rows, which belong to none.  Those at the ends of a
program cost nothing more, so a program of one GPU between moves is one part.

Constants are in every part that reads them.  Start at `parts_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tapejit.plan import Plan
from tapejit.runtime.cuda.program import compile_for_device
from tapejit.runtime.devices import as_value, machine_of, moved, owned
from tapejit.shapes import CPU
from tapejit.simplify import drop_unused
from tapejit.tape import Program, needed_rows, with_inputs


class Part(NamedTuple):
    """What one device does at one stage."""

    device: str
    program: Program
    sources: tuple[int, ...]
    """The rows of the whole that its inputs are."""
    results: tuple[int, ...]
    """The rows of the whole that its outputs are."""


class Moves(NamedTuple):
    """A program in parts."""

    program: Program
    parts: tuple[Part, ...]
    origins: dict[int, int]
    """Of each row that moves a value: the row that made it."""
    devices: list[str]
    """Of each row."""


class Moving:
    """A compiled program in parts: call it with inputs that lie anywhere."""

    def __init__(self, moves: Moves, runs: list[Any]):
        self.moves, self.runs = moves, runs

    def __call__(self, inputs: Sequence) -> list:
        """The outputs, each where it is wanted; they share memory with nothing else."""
        program, devices = self.moves.program, self.moves.devices
        rows = zip(program.inputs, inputs, strict=True)
        values = {row: moved(x, devices[row]) for row, x in rows}
        for part, run in zip(self.moves.parts, self.runs, strict=True):
            given = [self._given(values, row, part.device) for row in part.sources]
            values.update(zip(part.results, run(given), strict=True))
        outputs, others = [], set(map(id, inputs))
        for row in program.outputs:
            value = self._value(values, row)
            outputs.append(as_value(owned(value)) if id(value) in others else value)
            others.add(id(value))
        return outputs

    def _value(self, values, row):
        if row not in values:
            values[row] = moved(values[self.moves.origins[row]], self.moves.devices[row])
        return values[row]

    def _given(self, values, row, device):
        """As a part is given it: only numbers may lie elsewhere, and not what they expand to."""
        value = self._value(values, row)
        is_array = self.moves.program.tape.kind(row).aval.ndim > 0
        return moved(value, device) if is_array else value

    def plan(self) -> Plan:
        """What all parts do, for those who look."""
        if len(self.runs) == 1:
            return self.runs[0].plan
        steps = [step for run in self.runs for step in run.plan.steps]
        return Plan((), tuple(steps), (), len(self.moves.program.inputs))

    def source(self) -> str:
        """Their texts."""
        return "\n\n".join(run.source for run in self.runs)


def compile_parts(program: Program, compile_on_cpu: Callable) -> Moving:
    """The program as a chain of compiled ones; those of the CPU by the function given."""
    moves = parts_of(program)
    runs = [
        compile_on_cpu(part.program)
        if part.device == CPU
        else compile_for_device(part.program, machine_of(part.device))
        for part in moves.parts
    ]
    return Moving(moves, runs)


# ---------------------------------------------------------------- cutting a tape


def parts_of(program: Program) -> Moves:
    """The parts of a program in the order in which they run."""
    tape, given = program.tape, set(program.inputs)
    kinds = [tape.kind(row) for row in range(len(tape))]
    devices = [kind.aval.device for kind in kinds]
    needed = needed_rows(tape, program.outputs)
    origins: dict[int, int] = {}
    stages = [0] * len(tape)
    members: dict[tuple[int, str], list[int]] = {}
    for row, kind in enumerate(kinds):
        operands = tape.operands(row)
        is_move = kind.op.name == "to_device"
        made = [x for x in operands if is_move or not _is_literal(kinds[x])]
        stages[row] = max([stages[x] + (devices[x] != devices[row]) for x in made], default=0)
        if is_move:
            origins[row] = origins.get(operands[0], operands[0])
        elif needed[row] and row not in given:
            members.setdefault((stages[row], devices[row]), []).append(row)
    wanted = {origins.get(row, row) for row in program.outputs}
    wanted |= {origins[row] for row in origins if needed[row]}
    sources: dict[tuple[int, str], list[int]] = {}
    for key, rows in members.items():
        inside = set(rows)
        read = {x for row in rows for x in tape.operands(row) if x not in inside}
        sources[key] = sorted(x for x in read if not _is_literal(kinds[x]))
        wanted.update(sources[key])
    parts = []
    for key in sorted(members):
        results = [row for row in members[key] if row in wanted]
        if results:
            inner = with_inputs(tape, [row for row in sources[key] if row not in given])
            inner_program = drop_unused(Program(inner, sources[key], results))
            parts.append(Part(key[1], inner_program, tuple(sources[key]), tuple(results)))
    return Moves(program, tuple(parts), origins, devices)


def _is_literal(kind) -> bool:
    return kind.op.name == "literal"
