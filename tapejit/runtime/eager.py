"""Single operations on large arrays through our own kernels, where NumPy computes one by one.

NumPy has vector code for exp, log and tanh, but sin of float64 costs 9 ns an element, and the
functions that SciPy computes 5 to 200 ns; our vector mathematics costs 1 to 8 ns.  From
`KERNEL_FROM` elements an eager operation of `SLOW_IN_NUMPY` therefore runs as a program of one row.
Everything else is the operation's own NumPy function.

Start at `evaluator`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tapejit.build import Builder
from tapejit.config import settings
from tapejit.dtypes import float32, float64
from tapejit.registry import Op
from tapejit.runtime.compiled import Compiled, compile_program
from tapejit.shapes import aval
from tapejit.tape import Program

KERNEL_FROM = 4096
"""Elements: below, a launch with its allocation saves less than 10 us even for sin."""

KERNEL_FROM_IN_SCIPY = 256
"""As above for what SciPy computes: 10 ns an element and more, against 1 us a launch."""

IN_SCIPY = frozenset({
    "erf", "erfc", "erfcx", "erfinv", "erfcinv", "lgamma", "digamma", "trigamma",
    "bessel_i0", "bessel_i1", "bessel_i0e", "bessel_i1e", "bessel_j0", "bessel_j1",
})  # fmt: skip
SLOW_IN_NUMPY = IN_SCIPY | {"sin", "cos", "cbrt"}

_DTYPES = {np.dtype(np.float64): float64, np.dtype(np.float32): float32}


def evaluator(op: Op) -> Callable:
    """`op.evaluate`, or for slow one-operand functions the choice between it and a kernel."""
    expression = op.expression
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
            program = programs[key] = _program(op, x)
            if len(programs) > 64:  # plans of shapes long gone; kernels are kept elsewhere
                programs.pop(next(iter(programs)))
        return program([x])[0]

    evaluate.smallest = smallest  # type: ignore[attr-defined]
    return evaluate


def evaluator_for(op: Op, size: int) -> Callable:
    """`evaluator(op)` for results of `size` elements: the choice is made, where it can be."""
    evaluate = evaluator(op)
    return op.evaluate if size < getattr(evaluate, "smallest", 0) else evaluate


def _program(op: Op, x) -> Compiled:
    builder = Builder()
    operand = builder.input(aval(x.shape, _DTYPES[x.dtype]))
    result = op(operand)
    return compile_program(Program(builder.tape, [operand.row], [result.row]))
