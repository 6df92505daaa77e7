"""What the schedule promises: which rows share a kernel, what is stored, order, memory."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

import tapejit.ops  # noqa: F401 - fills the registry
from tapejit import dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.plan import KernelStep, LibraryStep, RowStep
from tapejit.registry import OPS
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program
from tapejit.schedule.describe import describe
from tapejit.schedule.memory import Block, lay_out
from tapejit.schedule.planner import schedule
from tapejit.schedule.views import contiguous, is_contiguous, view_of
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

F64 = dtypes.float64
sin, exp, log, log1p, sqrt, erf = (OPS[n] for n in ("sin", "exp", "log", "log1p", "sqrt", "erf"))

# ---------------------------------------------------------------- programs


def array(*shape):
    return aval(shape, F64)


def total(x):
    return OPS["sum"](x, axes=tuple(range(x.ndim)), keepdim=False)


def value(function, *avals):
    builder = Builder()
    inputs = [builder.input(a) for a in avals]
    results = function(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    return simplify(Program(builder.tape, [x.row for x in inputs], [y.row for y in results]))


def value_and_gradient(function, *avals, wanted=None):
    builder = Builder()
    inputs = [builder.input(a) for a in avals]
    y = function(*inputs)
    rows = [x.row for x in inputs]
    sweep = reverse(
        builder.tape, [y.row], rows if wanted is None else [rows[i] for i in wanted], unit_seed=True
    )
    return simplify(Program(sweep.tape, rows, [y.row, *sweep.results]))


def steps_of(program):
    """Lengths of the kernels, and the names of the other steps' operations."""
    plan = schedule(program)
    parts = [
        part for step in plan.steps if isinstance(step, KernelStep | RowStep) for part in step.parts
    ]
    kernels = [part.lengths for part in parts]
    others = [s for s in plan.steps if not isinstance(s, KernelStep | RowStep)]
    library = [step.kind.op.name for step in others]
    return kernels, library


def slice_1d(x, start, stop):
    return OPS["slice"](x, starts=(start,), lengths=(stop - start,), steps=(1,))


def student(x, y, a, b, log_scale):
    r = (y - a - b * x) / exp(log_scale)
    return total(log1p(r * r / 4.0)) * 2.5 + log_scale * float(x.shape[0])


def black_scholes(s, k, t, r, v):
    q = v * sqrt(t)
    d1 = (log(s / k) + (r + 0.5 * v * v) * t) / q
    below, above = (0.5 * (1.0 + erf(d * math.sqrt(0.5))) for d in (d1, d1 - q))
    return total(s * below - k * exp(-(r * t)) * above)


def rosenbrock(x):
    n = x.shape[0]
    a, b = slice_1d(x, 1, n), slice_1d(x, 0, n - 1)
    u, w = a - b * b, 1.0 - b
    return total(100.0 * u * u + w * w)


def logistic(x, y, w):
    z = OPS["matmul"](x, w)
    return total(OPS["softplus"](z) - y * z)


def agrees(program, *arrays):
    results = compile_program(program)(arrays)
    for got, want in zip(results, reference.run(program, arrays), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- fusion


def test_value_and_gradient_of_a_sum_is_one_kernel():
    program = value_and_gradient(lambda x, w: total(sin(x) * w), array(9000), array(9000))
    assert steps_of(program) == ([(9000,)], [])
    plan = schedule(program)
    assert [output.reduce for output in plan.steps[0].kernel.outputs].count("sum") == 1


def test_what_indices_are_placed_by_is_not_computed():
    def identity(x):
        like = total(exp(x) * x)
        rows, columns = (OPS["iota"](like, shape=(4, 4), axis=axis) for axis in (0, 1))
        return OPS["eq"](rows, columns)

    program = value(identity, array(5))
    assert steps_of(program) == ([(4, 4)], [])
    assert all(program.tape.kind(row).op.name != "exp" for row in range(len(program.tape)))
    agrees(program, np.ones(5))


def test_student_t_reads_the_data_in_one_kernel():
    n = 5000
    shapes = [array(n), array(n), array(), array(), array()]
    program = value_and_gradient(student, *shapes, wanted=[2, 3, 4])
    assert steps_of(program) == ([(n,), (1,)], [])


def test_black_scholes_and_its_greeks_are_one_kernel():
    program = value_and_gradient(black_scholes, *[array(1000)] * 5)
    assert steps_of(program) == ([(1000,)], [])


def test_rosenbrock_needs_three_launches_and_no_library():
    kernels, library = steps_of(value_and_gradient(rosenbrock, array(10)))
    assert len(kernels) <= 3 and library == []
    kernels, library = steps_of(value_and_gradient(rosenbrock, array(100_000)))
    assert len(kernels) <= 3 and library == []


def test_logistic_regression_is_two_products_and_one_kernel():
    shapes = [array(300, 20), array(300), array(20)]
    program = value_and_gradient(logistic, *shapes, wanted=[2])
    assert steps_of(program) == ([(300,)], ["matmul", "matmul"])
    generator = np.random.default_rng(0)
    agrees(program, *(generator.normal(size=a.shape) for a in shapes))


def test_softmax_along_an_axis_apart_is_one_kernel_for_each_reduction_it_waits_for():
    kernels, library = steps_of(value(lambda x: OPS["softmax"](x, axis=0), array(50, 40)))
    assert kernels == [(50, 40)] * 3 and library == []


def test_scalar_arithmetic_on_parameters_joins_the_loop_that_reads_it():
    program = value(lambda x, a, b: x * (1.0 / (a * a + b)), array(100), array(), array())
    assert steps_of(program) == ([(100,)], [])


def test_bias_row_joins_the_matrix_loop():
    program = value(lambda x, b: sin(x + b * 2.0), array(30, 20), array(20))
    assert steps_of(program) == ([(30, 20)], [])


def test_expensive_row_is_stored_once_and_not_repeated_in_the_larger_loop():
    program = value(lambda x, b: x + sin(exp(b)), array(30, 20), array(20))
    assert steps_of(program) == ([(20,), (30, 20)], [])


def test_a_row_needed_later_is_computed_again_if_cheap_and_stored_if_not():
    def normalised(function):
        return lambda x: (y := function(x)) / expand_total(y)

    def expand_total(y):
        return OPS["expand"](total(y), shape=y.shape)

    cheap = schedule(value(normalised(lambda x: x + 1.0), array(6000)))
    dear = schedule(value(normalised(exp), array(6000)))
    roles = [[b.shape for b in plan.buffers if b.role == "temporary"] for plan in (cheap, dear)]
    assert roles == [[()], [(6000,), ()]] or roles == [[()], [(), (6000,)]]


def test_rows_wait_for_their_consumers_in_the_same_space():
    # x * 2 is only read after the sum is known: it does not run before, nor is it stored
    program = value(lambda x: sin(x * 2.0) * OPS["exp"](total(x)), array(6000))
    plan = schedule(program)
    assert [b.shape for b in plan.buffers if b.role == "temporary"] == [()]


# ---------------------------------------------------------------- views


@pytest.mark.parametrize(
    "view",
    [
        lambda x: OPS["permute"](x, axes=(1, 0)),
        lambda x: OPS["flip"](x, axes=(0,)),
        lambda x: OPS["slice"](x, starts=(1, 5), lengths=(2, 2), steps=(1, -2)),
        lambda x: OPS["reshape"](x, shape=(3, 8)),
    ],
)
def test_views_of_inputs_are_strides_and_no_step(view):
    program = value(lambda x: sin(view(x)), array(4, 6))
    kernels, library = steps_of(program)
    assert len(kernels) == 1 and not library
    agrees(program, np.arange(24.0).reshape(4, 6))


def test_a_reshape_without_strides_copies_once():
    program = value(
        lambda x: sin(OPS["reshape"](OPS["permute"](x, axes=(1, 0)), shape=(24,))), array(4, 6)
    )
    assert len(steps_of(program)[0]) == 2
    agrees(program, np.arange(24.0).reshape(4, 6))


def test_view_of_agrees_with_numpy():
    generator = random.Random(1)
    for _ in range(300):
        x = np.arange(math.prod(shape := generator.choices([1, 2, 3, 4], k=3))).reshape(shape)
        x = x.transpose(generator.sample(range(3), 3))[:: generator.choice([1, -1])]
        base = x if x.base is None else x.base
        flat = base.reshape(-1)
        place = (int(x.reshape(-1)[0]), tuple(s // x.itemsize for s in x.strides))
        n = x.size
        after = generator.choice([(n,), (1, n), tuple(reversed(x.shape)), (x.shape[0], -1)])
        after = np.empty(x.shape).reshape(after).shape
        found = view_of("reshape", (after,), x.shape, place, after)
        if found is not None:
            got = np.lib.stride_tricks.as_strided(
                flat[found[0] :], after, [s * flat.itemsize for s in found[1]]
            )
            np.testing.assert_array_equal(got, x.reshape(after))
        else:
            assert not is_contiguous(x.shape, place[1])


# ---------------------------------------------------------------- kernels and their sizes


def test_contiguous_axes_are_joined():
    assert steps_of(value(lambda x, y: x + y, array(4, 5, 6), array(4, 5, 6)))[0] == [(120,)]
    assert steps_of(value(lambda x, y: x + y, array(4, 5, 60), array(60)))[0] == [(20, 60)]
    assert steps_of(value(lambda x, y: x + y, array(4, 5, 6), array(4, 1, 1)))[0] == [(4, 30)]


def test_a_short_inner_axis_gives_way_to_a_long_one():
    (lengths,) = steps_of(value(lambda x, b: x + b, array(50_000, 3), array(3)))[0]
    assert lengths == (3, 50_000)


@pytest.mark.parametrize("sizes", [(100, 5000), (64, 65)])
def test_kernels_do_not_depend_on_sizes(sizes):
    def kernels(n):
        shapes = [array(n), array(n), array(), array(), array()]
        plan = schedule(value_and_gradient(student, *shapes, wanted=[2, 3, 4]))
        return [step.kernel for step in plan.steps]

    first, second = map(kernels, sizes)
    # the number of elements enters as a literal (log-likelihoods have it): only that may differ
    assert first[0] == second[0]


# ---------------------------------------------------------------- order and memory


def test_every_step_reads_what_earlier_steps_wrote():
    program = value_and_gradient(
        lambda x: total(OPS["logsumexp"](OPS["matmul"](x, sin(x)), axes=(1,), keepdim=True) * x),
        array(12, 12),
    )
    plan = schedule(program)
    written = {i for i, b in enumerate(plan.buffers) if b.role in ("input", "constant")}
    for step in plan.steps:
        if isinstance(step, LibraryStep):
            assert {view.buffer for view in step.views} <= written
            written.add(step.buffer)
            continue
        for part in step.parts if isinstance(step, RowStep) else [step]:
            n = len(part.views) - len(part.written)
            assert {view.buffer for view in part.views[:n]} <= written
            written |= {view.buffer for view in part.written}
    assert {result.view.buffer for result in plan.results} <= written


def test_arena_never_overlaps_what_is_alive_together():
    generator = random.Random(2)
    for _ in range(200):
        blocks = []
        for _ in range(generator.randrange(1, 30)):
            first = generator.randrange(20)
            last = first + generator.randrange(8)
            blocks.append(Block(generator.randrange(1, 5000), first, last))
        offsets, size = lay_out(blocks)
        spans = list(zip(blocks, offsets, strict=True))
        assert all(at % 64 == 0 and at + block.n_bytes <= size for block, at in spans)
        for (a, at_a), (b, at_b) in itertools.combinations(spans, 2):
            if a.first <= b.last and b.first <= a.last:
                assert at_a + a.n_bytes <= at_b or at_b + b.n_bytes <= at_a
    assert lay_out([]) == ([], 0)


def test_arena_is_shared_by_what_is_not():
    assert lay_out([Block(640, 0, 1), Block(640, 2, 3), Block(64, 1, 2)])[1] == 704


def test_a_long_program_becomes_several_kernels():
    def long(x):
        for _ in range(2100):
            x = sin(x) + x
        return x

    program = value(long, array(10))
    sizes = [len(step.kernel.nodes) for step in schedule(program).steps]
    assert len(sizes) == 2 and max(sizes) < 4100
    agrees(program, np.linspace(0.0, 1.0, 10))


def test_describe_names_everything():
    text = describe(schedule(value_and_gradient(logistic, array(5, 2), array(5), array(2))))
    for part in ("input 0: float64[5, 2]", "kernel  lengths [5]", "matmul", "return", "exp(%"):
        assert part in text, text
    assert contiguous((2, 3)) == (3, 1)


def test_gradient_by_single_elements_is_written_in_place():
    def loop(x):
        result = None
        for i in range(x.shape[0] - 1):
            a, b = (OPS["reshape"](slice_1d(x, j, j + 1), shape=()) for j in (i, i + 1))
            part = 100.0 * (b - a * a) * (b - a * a) + (1.0 - a) * (1.0 - a)
            result = part if result is None else result + part
        return result

    program = value_and_gradient(loop, array(10))
    assert steps_of(program) == ([(1,)], [])
    agrees(program, np.linspace(-1.0, 1.0, 10))


def test_a_broadcast_that_is_a_result_is_stored_before_a_loop_reads_it():
    """A row of a small space goes to the last kernel there, unless somebody waits for it."""
    builder = Builder()
    x = builder.input(array(1))
    y = OPS["reshape"](OPS["expand"](sin(x), shape=(2, 1)), shape=(2,))
    running = OPS["cumsum"](y, axis=0)
    last = OPS["cumsum"](sin(running) * running, axis=0) * y
    rows = [y.row, running.row, last.row]
    agrees(Program(builder.tape, [x.row], rows), np.array([0.7]))


@pytest.mark.parametrize("seed", range(40))
def test_sums_of_windows(seed):
    generator = random.Random(seed)

    def windows(*parts):
        result = None
        for part in parts:
            starts = tuple(generator.randrange(0, 9 - n) for n in part.shape)
            steps = tuple(generator.choice([1, 1, -1]) for _ in part.shape)
            starts = tuple(
                s if step > 0 else s + n - 1
                for s, n, step in zip(starts, part.shape, steps, strict=True)
            )
            window = OPS["unslice"](sin(part), shape=(8, 8), starts=starts, steps=steps)
            result = window if result is None else result + window
        return result

    shapes = [(generator.randrange(1, 5), generator.randrange(1, 5)) for _ in range(3)]
    program = value(windows, *(array(*shape) for shape in shapes))
    agrees(program, *(np.random.default_rng(seed).normal(size=shape) for shape in shapes))
