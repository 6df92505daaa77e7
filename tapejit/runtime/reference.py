"""Tier 0: a program run row by row with NumPy.

This is what every compiled program is checked against, what runs first encounters, and what runs
where no kernel can be made.  It never compiles.  `run_rows` evaluates a range of rows over a list
of values; the caller gives the values of inputs and of rows already known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tapejit.registry import Kind
from tapejit.runtime.devices import moved
from tapejit.runtime.literals import literal_value
from tapejit.shapes import CPU
from tapejit.tape import Program, Tape, needed_rows


def run_row(tape: Tape, row: int, values):
    """The value of one row from those of its operands."""
    kind = tape.kind(row)
    if kind.op.name == "literal":
        return literal_value(kind)
    return evaluate(kind, [values[operand] for operand in tape.operands(row)])


def evaluate(kind: Kind, operands: Sequence):
    """The value of an operation on these operands, where its aval says that it lies."""
    if kind.aval.device != CPU:
        from tapejit.runtime.cuda.evaluating import evaluate  # not for who has no GPU

        return evaluate(kind, operands)
    if kind.op.name == "to_device":
        return moved(operands[0], CPU)
    return kind.op.evaluate(*operands, **kind.attributes())


def run_rows(
    tape: Tape, start: int, values: list, needed: bytearray, hook: Callable | None = None
) -> list:
    """Fill `values[start:]` for the rows flagged in `needed`; inputs must be there already.

    hook(row, value) -> value stands for `host` rows.
    """
    with np.errstate(all="ignore"):
        for row in range(start, len(tape)):
            if needed[row] and values[row] is None:
                kind = tape.kind(row)
                if kind.op.name == "host":
                    value = values[tape.operands(row)[0]]
                    values[row] = value if hook is None else hook(kind.attrs[0], value)
                else:
                    values[row] = run_row(tape, row, values)
    return values


def run(program: Program, inputs: Sequence) -> list:
    """The outputs of a program for the given input arrays."""
    tape = program.tape
    values: list = [None] * len(tape)
    for row, value in zip(program.inputs, inputs, strict=True):
        values[row] = value
    run_rows(tape, 0, values, needed_rows(tape, program.outputs))
    return [values[row] for row in program.outputs]
