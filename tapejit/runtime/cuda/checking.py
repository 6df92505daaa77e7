"""TAPEJIT_CHECK=3 on a GPU: each call's results against the same program on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapejit.runtime.agreement import agree
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.literals import literal_value
from tapejit.tape import Program, needed_rows


def check_results(program: Program, inputs: Sequence, results: Sequence[DeviceArray]) -> None:
    """Raise AssertionError where the CPU computes something else; all are copied to the host."""
    wanted = run_on_host(program, [_on_host(x) for x in inputs])
    for row, result, want in zip(program.outputs, results, wanted, strict=True):
        got = result.to_host()
        if not agree(got, np.asarray(want)):
            raise AssertionError(
                f"the GPU and the reference differ in row {row}, {program.tape.kind(row)}:\n"
                f"  GPU        {got}\n  reference  {want}"
            )


def run_on_host(program: Program, inputs: Sequence[np.ndarray]) -> list:
    """The outputs row by row with NumPy, wherever the program's rows lie."""
    tape = program.tape
    values: list = [None] * len(tape)
    for row, value in zip(program.inputs, inputs, strict=True):
        values[row] = value
    needed = needed_rows(tape, program.outputs)
    with np.errstate(all="ignore"):
        for row in range(len(tape)):
            if needed[row] and values[row] is None:
                kind = tape.kind(row)
                operands = [values[x] for x in tape.operands(row)]
                if kind.op.name == "literal":
                    values[row] = literal_value(kind)
                elif kind.op.name == "to_device":
                    values[row] = operands[0]
                else:
                    values[row] = kind.op.evaluate(*operands, **kind.attributes())
    return [values[row] for row in program.outputs]


def _on_host(x):
    return x.to_host()[()] if isinstance(x, DeviceArray) else x
