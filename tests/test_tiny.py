"""The tour: fifteen tests that show what tapejit is.  Seconds; run them before every commit."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj
from tapejit import autodiff, config, dtypes
from tapejit.build import Builder
from tapejit.ops.trigonometry import sin
from tapejit.plan import KernelStep
from tapejit.registry import OPS
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program, statistics
from tapejit.schedule.planner import schedule
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

VECTOR = aval((1000,), dtypes.float64)

# ---------------------------------------------------------------- the tape and the compiler


def sine_of_square() -> Program:
    """sin(x * x) of a vector."""
    builder = Builder()
    x = builder.input(VECTOR)
    return Program(builder.tape, [x.row], [sin(x * x).row])


def with_derivative() -> Program:
    """sin(x * x) and its cotangent of x."""
    plain = sine_of_square()
    sweep = autodiff.reverse(plain.tape, plain.outputs, plain.inputs)
    inputs = [*plain.inputs, *sweep.seeds]
    return Program(sweep.tape, inputs, [*plain.outputs, *sweep.results])


def test_a_tape_is_a_flat_list_of_rows():
    tape = sine_of_square().tape
    assert [tape.kind(row).op.name for row in range(3)] == ["input", "mul", "sin"]
    assert tape.operands(1) == (0, 0) and tape.operands(2) == (1,)


def test_equal_structures_have_equal_keys():
    assert sine_of_square().key() == sine_of_square().key()
    assert sine_of_square().key() != with_derivative().key()


def test_an_operation_is_one_record():
    tanh = OPS["tanh"]
    assert tanh.expression.text == "math.tanh(x)"
    assert tanh.alias.torch == tanh.alias.numpy == "tanh"
    assert tanh.evaluate(np.float64(0.5)) == np.tanh(0.5)


def test_a_derivative_is_another_tape():
    x = np.linspace(-1.0, 1.0, 1000)
    value, slope = reference.run(with_derivative(), [x, np.ones(1000)])
    np.testing.assert_allclose(value, np.sin(x * x))
    np.testing.assert_allclose(slope, np.cos(x * x) * 2 * x)


def test_value_and_derivative_share_one_kernel():
    plan = schedule(simplify(with_derivative()))
    (step,) = plan.steps
    assert isinstance(step, KernelStep) and len(step.kernel.outputs) == 2


def test_compiled_is_the_reference():
    x, program = np.linspace(-2.0, 2.0, 1000), simplify(with_derivative())
    inputs = [x, np.ones(1000)]
    wanted = reference.run(program, inputs)
    for got, want in zip(compile_program(program)(inputs), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


def test_kernels_also_run_as_plain_python():
    x, program = np.linspace(0.0, 1.0, 1000), simplify(sine_of_square())
    with config.set(jit=0):
        (slow,) = compile_program(program)([x])
    np.testing.assert_allclose(slow, np.sin(x * x), rtol=1e-13)


# ---------------------------------------------------------------- PyTorch's tensors


def test_tensors_print_and_differentiate_as_in_pytorch():
    x = tj.tensor(3.0, requires_grad=True)
    y = x**2
    assert repr(y) == "tensor(9., grad_fn=<PowBackward0>)"
    y.backward()
    assert repr(x.grad) == "tensor(6.)"


def test_gradients_accumulate_until_zeroed():
    x = tj.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]
    assert x.grad.zero_().tolist() == [0.0, 0.0]


def test_a_freed_graph_says_what_to_do():
    x = tj.tensor(2.0, requires_grad=True)
    y = x.exp()
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


# ---------------------------------------------------------------- transforms of NumPy code


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_grad_of_numpy_code():
    x = np.array([0.5, 0.4, 0.3])
    gradient = tj.grad(rosenbrock)(x)
    assert type(gradient) is np.ndarray and gradient.dtype == np.float64
    tj.check_grads(rosenbrock, (x,), order=2)


def test_transforms_compose():
    hessian = tj.hessian(rosenbrock)(np.ones(3))
    np.testing.assert_allclose(hessian, tj.jacobian(tj.grad(rosenbrock))(np.ones(3)))
    assert tj.grad(tj.grad(lambda x: x**3))(2.0) == pytest.approx(12.0)


def test_python_branches_are_guarded():
    @tj.grad
    def slope(x):
        return x * x if x > 0.0 else -x

    assert [slope(x) for x in (3.0, -3.0, 2.0, -1.0)] == [6.0, -1.0, 4.0, -1.0]


def test_a_new_batch_size_compiles_nothing():
    mean_square = tj.value_and_grad(lambda x: np.mean(x * x))
    mean_square(np.ones(100))
    before = statistics.kernels_compiled
    mean_square(np.ones(101))
    assert statistics.kernels_compiled == before


def test_a_wrong_shape_is_an_error_that_says_so():
    with pytest.raises(tj.errors.ShapeError, match=r"size of tensor a \(3\) must match"):
        tj.tensor([1.0, 2.0, 3.0]) + tj.tensor([1.0, 2.0])
