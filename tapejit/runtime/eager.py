"""Single operations on large arrays through our own kernels, where NumPy computes one by one.

NumPy has vector code for exp, log and tanh, but sin of float64 costs 9 ns an element, and the
functions that SciPy computes 5 to 200 ns; our vector mathematics costs 1 to 8 ns.  From
`KERNEL_FROM` elements an eager operation of `SLOW_IN_NUMPY` therefore runs as a program of one row.
An operation with a loop of its own (ops/loops) does so too, once that loop is compiled: where
neither this process nor the disk has it, NumPy computes until that took longer than a compile.
Everything else is the operation's own NumPy function.

Start at `evaluate`.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import numpy as np

from tapejit.build import Builder
from tapejit.config import settings
from tapejit.dtypes import float32, float64, from_numpy
from tapejit.plan import LoopStep
from tapejit.registry import OPS, Kind, Op
from tapejit.runtime import loops, reference
from tapejit.runtime.compiled import Compiled, compile_program
from tapejit.schedule.planner import schedule
from tapejit.shapes import CPU, aval
from tapejit.tape import Program

KERNEL_FROM = 4096
"""Elements: below, a launch with its allocation saves less than 10 us even for sin."""

KERNEL_FROM_IN_SCIPY = 256
"""As above for what SciPy computes: 10 ns an element and more, against 1 us a launch."""

IN_SCIPY = frozenset({
    "erf", "erfc", "erfcx", "erfinv", "erfcinv", "lgamma", "digamma", "trigamma",
    "bessel_i0", "bessel_i1", "bessel_i0e", "bessel_i1e", "bessel_j0", "bessel_j1",
})  # fmt: skip
SLOW_IN_NUMPY = IN_SCIPY | {"sin", "cos"}

COMPILE_S = 0.2
"""About what a loop takes to compile, 0.05 to 0.3; on disk afterwards."""

KEPT = 64
"""Programs of one operation: more are plans of shapes long gone; code is kept elsewhere."""

_DTYPES = {np.dtype(np.float64): float64, np.dtype(np.float32): float32}


def evaluator(op: Op) -> Callable:
    """`op.evaluate`, or for slow one-operand functions the choice between it and a kernel."""
    expression = op.expression
    if op.loop is not None and op.family != "contraction":  # NumPy's products are BLAS already
        return _loop_evaluator(op)
    if expression is None or len(expression.parameters) != 1:
        return op.evaluate
    if not any(step.fn in SLOW_IN_NUMPY for step in expression.steps):
        return op.evaluate
    plain = op.evaluate
    in_scipy = any(step.fn in IN_SCIPY for step in expression.steps)
    smallest = KERNEL_FROM_IN_SCIPY if in_scipy else KERNEL_FROM
    programs: dict[tuple, Compiled] = {}

    def evaluate(x, **attrs):
        if np.size(x) < smallest or x.dtype not in _DTYPES or not settings.jit:
            return plain(x, **attrs)
        key = (x.shape, x.dtype)
        program = programs.get(key)
        if program is None:
            program = programs[key] = compile_program(_program(op, [x], {}))
            if len(programs) > KEPT:
                programs.pop(next(iter(programs)))
        return program([x])[0]

    evaluate.smallest = smallest  # type: ignore[attr-defined]
    return evaluate


def _loop_evaluator(op: Op) -> Callable:
    """The choice between `op.evaluate` and the operation's loop."""
    plain = op.evaluate
    programs: dict[tuple, Compiled | Program | None] = {}
    spent_s = 0.0

    def evaluate(*arrays, **attrs):
        nonlocal spent_s
        if max(map(np.size, arrays)) < KERNEL_FROM or not settings.jit:
            return plain(*arrays, **attrs)
        key = (tuple([(x.shape, x.dtype) for x in arrays]), repr(attrs))
        known = programs.get(key)
        if known is None and key not in programs:
            known = programs[key] = _loop_program(op, arrays, attrs)
            if len(programs) > KEPT:
                programs.pop(next(iter(programs)))
        if isinstance(known, Program):  # it has a loop, which was not at hand
            step = next(step for step in schedule(known).steps if isinstance(step, LoopStep))
            if spent_s > COMPILE_S or loops.is_at_hand(step):
                known = programs[key] = compile_program(known)
        if isinstance(known, Compiled):
            return known(arrays)[0]
        begin = time.perf_counter()
        result = plain(*arrays, **attrs)
        if known is not None:
            spent_s += time.perf_counter() - begin
        return result

    evaluate.smallest = 0  # type: ignore[attr-defined]  # operands may be larger than the result
    return evaluate


def _loop_program(op, arrays, attrs) -> Program | None:
    """The program of one row, if its step is a loop."""
    program = _program(op, arrays, attrs)
    has_loop = any(isinstance(step, LoopStep) for step in schedule(program).steps)
    return program if has_loop else None


def _program(op: Op, arrays, attrs) -> Program:
    builder = Builder()
    operands = [builder.input(aval(x.shape, from_numpy(x.dtype))) for x in arrays]
    result = op(*operands, **attrs)
    return Program(builder.tape, [x.row for x in operands], [result.row])


# ---------------------------------------------------------------- all operations

EVALUATE = [evaluator(op) for op in OPS.values()]
"""By `Op.code`: how an eager operation computes its value on the CPU."""


def evaluate(kind: Kind, operands: Sequence):
    """The value of an eager operation."""
    if kind.aval.device != CPU or kind.op is _TO_DEVICE:
        return reference.evaluate(kind, operands)
    return EVALUATE[kind.op.code](*operands, **kind.attributes())


def evaluator_for(kind: Kind) -> Callable:
    """`evaluate` for one Kind of one operand: the choice is made, where it can be."""
    if kind.aval.device != CPU:
        return lambda x: reference.evaluate(kind, (x,))
    run = EVALUATE[kind.op.code]
    if kind.aval.size < getattr(run, "smallest", 0):
        run = kind.op.evaluate
    return functools.partial(run, **kind.attributes()) if kind.attrs else run


_TO_DEVICE = OPS["to_device"]
