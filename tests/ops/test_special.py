"""Inputs that are unlike the probes': empty, 0-d, and laid out in memory in other ways."""

from __future__ import annotations

import numpy as np
import probing
import pytest

from tapejit import dtypes
from tapejit.autodiff import reverse
from tapejit.errors import AxisError
from tapejit.registry import OPS
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program
from tapejit.simplify import simplify
from tapejit.tape import Program

ELEMENTWISE = [op for op in probing.probed() if op.expression is not None]
REDUCTIONS = [op for op in probing.probed() if op.family == "reduction"]
DOUBLE = [
    case for op in probing.probed() for case in probing.cases(op)
    if case.dtype in (dtypes.float64, dtypes.bool_)
]  # fmt: skip

LAYOUTS = {
    "columns": lambda a: a.T.copy().T,
    "backwards": lambda a: np.flip(a).copy()[(slice(None, None, -1),) * a.ndim],
    "every second": lambda a: np.repeat(a, 2, -1)[..., ::2] if a.ndim else a,
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}


def program_of(case, arrays):
    """Value and gradients, the cotangent being an input of its own."""
    record = probing.recorded(case, arrays)
    if not probing.is_differentiable(case):
        return Program(record.tape, record.inputs, (record.row,)), []
    sweep = reverse(record.tape, (record.row,), record.floats)
    outputs = (record.row, *(r for r in sweep.results if r >= 0))
    seed = probing.cotangent_of(case, probing.evaluate(case, arrays))
    return Program(sweep.tape, (*record.inputs, *sweep.seeds), outputs), [seed]


def agree(program, given, wanted):
    got = compile_program(simplify(program))(given)
    for value, expected in zip(got, wanted, strict=True):
        assert (np.shape(value), value.dtype) == (np.shape(expected), expected.dtype)
        probing.close(value, expected, 1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", DOUBLE, ids=str)
def test_memory_layouts(case, layout):
    """The same numbers elsewhere in memory give the same, by the reference and compiled."""
    arrays = probing.inputs_of(case)
    program, seeds = program_of(case, arrays)
    wanted = reference.run(program, [*arrays, *seeds])
    moved = [LAYOUTS[layout](a) for a in [*arrays, *seeds]]
    for value, expected in zip(reference.run(program, moved), wanted, strict=True):
        probing.close(value, expected, 1e-12)
    agree(program, moved, wanted)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1, 1)], ids=str)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=str)
def test_shapes_of_elementwise_operations(op, shape):
    dtype = probing.dtypes_of(op)[0]
    case = probing.Case(
        op, dtype, (shape,) * len(op.expression.parameters), probing.cases(op)[0].attrs
    )
    probing.check_rule(case)
    arrays = probing.inputs_of(case)
    program, seeds = program_of(case, arrays)
    agree(program, [*arrays, *seeds], reference.run(program, [*arrays, *seeds]))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "cumsum"])
def test_rows_of_nothing(name):
    case = probing.Case(OPS[name], dtypes.float64, ((3, 0),), (1,))
    probing.check_rule(case)
    arrays = probing.inputs_of(case)
    program, seeds = program_of(case, arrays)
    agree(program, [*arrays, *seeds], reference.run(program, [*arrays, *seeds]))


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("op", REDUCTIONS, ids=str)
def test_reductions_of_nothing(op, axis, keepdim):
    """Over the axis of length 0 a neutral element, NaN, or an error; over the other one nothing."""
    known = {"axes": (axis,), "keepdim": keepdim, "correction": 1}
    attrs = tuple(known[name] for name in op.attributes)
    case = probing.Case(op, dtypes.float64, ((3, 0),), attrs)
    arrays = probing.inputs_of(case)
    try:
        probing.check_rule(case)
    except AxisError as error:
        assert axis == 1
        assert str(error).startswith(f"{op.name.removesuffix('_at')}(): Expected reduction dim 1")
        return
    program, seeds = program_of(case, arrays)
    agree(program, [*arrays, *seeds], reference.run(program, [*arrays, *seeds]))
