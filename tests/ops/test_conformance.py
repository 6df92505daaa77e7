"""Every operation of the registry, in every dtype and shape of its probe, against its promises.

A new operation is covered by declaring it.  The checks themselves are in `probing`; here they are
run, and compiled programs, NumPy and PyTorch are asked for the same numbers.
"""

from __future__ import annotations

import math
import operator

import numpy as np
import probing
import pytest
from probing import DOUBLES, FLOATS, INEXACT

from tapejit import dtypes
from tapejit.autodiff import reverse
from tapejit.families import numpy_evaluator
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program
from tapejit.simplify import simplify
from tapejit.tape import Program

ALL = [case for op in probing.probed() for case in probing.cases(op)]
SMOOTH = [case for case in ALL if case.dtype in INEXACT and probing.is_differentiable(case)]
DOUBLE = [case for case in SMOOTH if case.dtype in DOUBLES]
FLOAT = [case for case in ALL if case.dtype in INEXACT]
# 4 ulp of vector math, and sums in another order
RTOL = {"float64": 1e-12, "float32": 3e-6, "complex128": 1e-12, "int64": 0.0, "bool": 0.0}


class TestConformance:
    @pytest.mark.parametrize("case", ALL, ids=str)
    def test_the_rule_tells_the_truth(self, case):
        probing.check_rule(case)

    @pytest.mark.parametrize("case", DOUBLE, ids=str)
    def test_tangents_are_central_differences(self, case):
        probing.check_tangent(case)

    @pytest.mark.parametrize("case", SMOOTH, ids=str)
    def test_cotangents_are_the_transpose_of_tangents(self, case):
        probing.check_cotangent(case)

    @pytest.mark.parametrize("case", DOUBLE, ids=str)
    def test_second_order(self, case):
        probing.check_second_order(case)

    @pytest.mark.parametrize("case", ALL, ids=str)
    def test_compiled_programs_give_the_reference(self, case):
        """Value and gradients in one program."""
        arrays = probing.inputs_of(case)
        record = probing.recorded(case, arrays)
        seeds = []
        program = Program(record.tape, record.inputs, (record.row,))
        if case in SMOOTH_SET:
            sweep = reverse(record.tape, (record.row,), record.floats)
            seeds = [probing.cotangent_of(case, probing.evaluate(case, arrays))]
            gradients = [r for r in sweep.results if r >= 0]
            ends = (*record.inputs, *sweep.seeds)
            program = Program(sweep.tape, ends, (record.row, *gradients))
        wanted = reference.run(program, [*arrays, *seeds])
        got = compile_program(simplify(program))([*arrays, *seeds])
        for value, expected in zip(got, wanted, strict=True):
            assert (np.shape(value), value.dtype) == (np.shape(expected), expected.dtype)
            probing.close(value, expected, RTOL[case.dtype.name])


NARROW = [case for op in probing.probed() for case in probing.narrow_cases(op)]


@pytest.mark.parametrize("case", NARROW, ids=str)
def test_other_dtypes_are_kept(case):
    """float16, small integers and complex64, which run in NumPy: values, and their slopes."""
    probing.check_rule(case)
    if probing.is_differentiable(case):
        probing.check_cotangent(case)


SMOOTH_SET = set(SMOOTH)

# ---------------------------------------------------------------- the value, told in other ways

ELEMENTWISE = [op for op in probing.probed() if op.expression is not None]
ONE_OPERAND = [op for op in ELEMENTWISE if len(op.expression.parameters) == 1]
TEXT = [case for case in ALL if case.op in ELEMENTWISE and not case.op.attributes]
TEXT = [case for case in TEXT if case.dtype in (*FLOATS, dtypes.bool_)]


@pytest.mark.parametrize("case", TEXT, ids=str)
def test_the_value_text_is_the_value(case):
    arrays = probing.inputs_of(case)
    told = numpy_evaluator(case.op.expression)(*arrays)
    probing.close(told, probing.evaluate(case, arrays), RTOL[case.dtype.name])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("op", [op for op in ONE_OPERAND if op.probe.points], ids=str)
def test_special_points_compiled(op, dtype):
    points = np.array(op.probe.points, dtype.dtype)
    case = probing.Case(op, dtype, (points.shape,), probing.cases(op)[0].attrs)
    record = probing.recorded(case, [points])
    program = Program(record.tape, record.inputs, (record.row,))
    (got,) = compile_program(simplify(program))([points])
    wanted = probing.evaluate(case, [points])
    np.testing.assert_allclose(got, wanted, rtol=RTOL[dtype.name], atol=1e-300)


NUMPY = [case for case in FLOAT if case.op.alias.numpy and case.op.name not in ("clone", "where")]


@pytest.mark.parametrize("case", NUMPY, ids=str)
def test_numpy_agrees(case):
    arrays = probing.inputs_of(case)
    attributes = case.attributes()
    options = {"keepdims": attributes["keepdim"]} if "keepdim" in attributes else {}
    if "axes" in attributes:
        axes = attributes["axes"]
        is_index = case.op.name.startswith("arg")
        options["axis"] = (axes[0] if len(axes) == 1 else None) if is_index else axes
    wanted = getattr(np, case.op.alias.numpy)(*arrays, **options)
    probing.close(probing.evaluate(case, arrays), wanted, RTOL[case.dtype.name])


# ---------------------------------------------------------------- PyTorch

IN_TORCH = [
    case for case in DOUBLE
    if case.op.alias.torch and case.op.family in ("elementwise", "reduction", "contraction")
]  # fmt: skip


def torch_function(torch, name):
    """The function of that name ("linalg.det"), also where it is one of neural networks."""
    module, _, own = name.rpartition(".")
    home = operator.attrgetter(module)(torch) if module else torch
    return getattr(home, own, None) or getattr(torch.nn.functional, own)


def torch_value(torch, case, tensors):
    """What PyTorch gives; reductions over one axis where it takes no more."""
    function, attributes = torch_function(torch, case.op.alias.torch), case.attributes()
    if "axes" not in attributes:
        return function(*tensors)
    if tensors[0].ndim == 0:
        return function(tensors[0], 0) if case.op.name == "logsumexp" else function(tensors[0])
    axes = attributes["axes"]
    if len(axes) == 1:
        axes = axes[0]
    elif case.op.name.startswith("arg"):
        axes = None
    return function(tensors[0], axes, attributes["keepdim"])


NO_SLOPE_IN_TORCH = ("floor_divide", "heaviside", "j0", "j1")


@pytest.mark.parametrize("case", IN_TORCH, ids=str)
def test_torch_agrees(case):
    torch = pytest.importorskip("torch")
    arrays = probing.inputs_of(case)
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind in "fc") for a in arrays]
    wanted = torch_value(torch, case, tensors)
    tolerance = 1e-11 if case.op.name == "j1" else 1e-12  # PyTorch's j1 is off by so much
    probing.close(probing.evaluate(case, arrays), wanted.detach().numpy(), tolerance)
    if case.op.name in NO_SLOPE_IN_TORCH:
        return
    gy = probing.like(wanted.detach().numpy(), 99)
    record = probing.recorded(case, arrays)
    sweep = reverse(record.tape, (record.row,), record.floats)
    got = probing.swept(sweep.tape, record.inputs, sweep.results, sweep.seeds, arrays, [gy])
    floats = [t for t in tensors if t.requires_grad]
    expected = torch.autograd.grad(wanted, floats, torch.tensor(gy), allow_unused=True)
    for gradient, theirs in zip(got, expected, strict=True):
        if theirs is not None:
            ours = np.zeros_like(theirs.numpy()) if gradient is None else gradient
            probing.close(ours, theirs.numpy(), 1e-9)


# ---------------------------------------------------------------- how much is checked

LEAST = 3000


def test_the_number_of_checks_does_not_fall():
    n_ops = len({case.op for case in ALL})
    n_checks = sum(map(len, (ALL, DOUBLE, SMOOTH, DOUBLE, ALL, TEXT, NUMPY, IN_TORCH)))
    print(f"{n_ops} operations, {n_checks} checks")
    assert n_checks >= LEAST and n_ops >= math.floor(0.9 * len(probing.probed()))
