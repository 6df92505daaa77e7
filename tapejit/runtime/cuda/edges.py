"""Programs on a GPU whose inputs come from elsewhere, or whose results go elsewhere.

`to_device` rows at the ends of a program are taken off: the inputs are moved before the call, the
results after it, and what is between is one program of one device.  Where a value moves in
between, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tapejit.runtime.cuda.program import DeviceProgram, compile_for_device
from tapejit.runtime.devices import machine_of, moved
from tapejit.tape import Program, needed_rows, with_inputs


class Source(NamedTuple):
    """Where an input of the inner program comes from."""

    number: int
    """Which input of the whole."""
    device: str
    """Where it is wanted."""


class Edges(NamedTuple):
    """A program without the rows that move values at its ends."""

    program: Program
    sources: tuple[Source, ...]
    """Of each input."""
    outputs: tuple[str, ...]
    """Where each output is wanted."""


class Moving:
    """A program of a GPU between moves: call it with inputs that lie anywhere."""

    def __init__(self, edges: Edges, inner: DeviceProgram):
        self.edges, self.inner = edges, inner

    def __call__(self, inputs: Sequence) -> list:
        """The outputs, each where it is wanted."""
        sources, outputs = self.edges.sources, self.edges.outputs
        results = self.inner([moved(inputs[source.number], source.device) for source in sources])
        return [moved(x, there) for x, there in zip(results, outputs, strict=True)]


def compile_between(program: Program, device: str) -> Moving | None:
    """The program as one of a GPU and moves; None where a value moves in the midst of it."""
    edges = edges_of(program)
    if edges is None:
        return None
    return Moving(edges, compile_for_device(edges.program, machine_of(device)))


def edges_of(program: Program) -> Edges | None:
    """The ends of a program; None where a value moves in between."""
    tape = program.tape
    devices = [tape.kind(row).aval.device for row in range(len(tape))]
    moving = {row for row in range(len(tape)) if tape.kind(row).op.name == "to_device"}
    number = {row: i for i, row in enumerate(program.inputs)}
    before = {row: tape.operands(row)[0] for row in moving}
    arriving = {row: number[x] for row, x in before.items() if x in number}
    outputs = [row if row in arriving else before.get(row, row) for row in program.outputs]
    inner = with_inputs(tape, list(arriving)) if arriving else tape
    needed = needed_rows(inner, outputs)
    if any(needed[row] for row in moving - arriving.keys()):
        return None
    sources = {row: Source(i, devices[row]) for row, i in (*number.items(), *arriving.items())}
    rows = [row for row in sources if needed[row]]
    wanted = tuple([devices[row] for row in program.outputs])
    return Edges(Program(inner, rows, outputs), tuple([sources[row] for row in rows]), wanted)
