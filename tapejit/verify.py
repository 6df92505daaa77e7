"""Checks a tape: rows read only earlier rows, and say of themselves what inference says.

`verify_program` is asked of every program that is compiled when TAPEJIT_CHECK is 1 or more, and
after every pass from 2 on.  A failure is a fault of tapejit, never of the user's program, so it
is an AssertionError (`BrokenTape`); its message names the row and quotes it as `pretty` would.

What a verified program promises to the scheduler and the row-by-row runner:

    operands       their rows come first, and there are as many as the operation takes
    aval           shape and dtype are those that the operation's `infer` gives for its operands
    ends           inputs are input rows, each named once; outputs are rows of the tape
    needed inputs  an input row that an output depends on is named as an input
"""

from __future__ import annotations

from tapejit.errors import TapejitError
from tapejit.registry import Op, infer_aval
from tapejit.shapes import CPU
from tapejit.tape import Program, Tape, needed_rows

# ---------------------------------------------------------------- data


class BrokenTape(AssertionError):
    """A pass or a recorder made a tape that is none.  A fault of tapejit: please report it."""


_BEGINNINGS = ("input", "literal")
"""Families whose rows have no operands and no rule: they state their aval."""

# ---------------------------------------------------------------- checks


def verify_program(program: Program, after: str = "recording") -> None:
    """Check rows and ends of a program.

    Errors  BrokenTape naming the row and the pass (`after`)
    """
    tape = program.tape
    verify_tape(tape, after)
    n = len(tape)
    for role, rows in (("input", program.inputs), ("output", program.outputs)):
        for row in rows:
            if not 0 <= row < n:
                raise BrokenTape(f"after {after}: {role} %{row} of a tape of {n} rows")
    for row in program.inputs:
        if tape.kind(row).op.family != "input":
            raise _fault(tape, row, after, "is named as an input and is no input row")
    if len(set(program.inputs)) != len(program.inputs):
        raise BrokenTape(f"after {after}: an input row is named twice in {program.inputs}")
    named = set(program.inputs)
    for row, is_needed in enumerate(needed_rows(tape, program.outputs)):
        if is_needed and row not in named and tape.kind(row).op.family == "input":
            raise _fault(tape, row, after, "is needed by an output, and is not among the inputs")


def verify_tape(tape: Tape, after: str = "recording") -> None:
    """Check every row of a tape.

    Errors  BrokenTape naming the row and the pass (`after`)
    """
    for row in range(len(tape)):
        operands = tape.operands(row)
        for operand in operands:
            if not 0 <= operand < row:
                raise _fault(tape, row, after, f"reads %{operand}, which does not precede it")
        kind = tape.kind(row)
        if kind.op.family in _BEGINNINGS:
            if operands:
                raise _fault(tape, row, after, f"has operands, and {kind.op.name} takes none")
            continue
        expected = _arity(kind.op)
        if expected is not None and len(operands) != expected:
            raise _fault(tape, row, after, f"has {len(operands)} operands instead of {expected}")
        _check_inference(tape, row, after)


def _arity(op: Op) -> int | None:
    """How many operands an operation takes; None where that varies or is not declared."""
    return len(op.expression.parameters) if op.expression is not None else None


def _check_inference(tape, row, after):
    kind = tape.kind(row)
    avals = tuple(tape.kind(operand).aval for operand in tape.operands(row))
    try:
        inferred = infer_aval(kind.op, avals, kind.attrs)
    except TapejitError as error:
        raise _fault(
            tape, row, after, f"does not fit its operands {list(avals)}: {error}"
        ) from error
    if avals and all(a.device == CPU and not a.ndim for a in avals):
        inferred = inferred.on(kind.aval.device)  # numbers may lie anywhere
    if inferred is not kind.aval:
        raise _fault(tape, row, after, f"is {inferred} by inference from {list(avals)}")


def _fault(tape, row, after, words):
    operands = ", ".join(f"%{x}" for x in tape.operands(row))
    return BrokenTape(f"after {after}: row %{row} = {tape.kind(row)} ({operands}) {words}")
