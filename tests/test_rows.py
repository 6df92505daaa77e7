"""Work along rows: one kernel, the results of the row-by-row reference, the same bits in any turns.

The programs here are compositions: what makes rows one kernel is a property of the schedule.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapejit as tj
from tapejit import config, dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.plan import KernelStep, RowStep
from tapejit.registry import OPS
from tapejit.runtime import launcher, reference
from tapejit.runtime.compiled import compile_program
from tapejit.schedule import partials, rows
from tapejit.schedule.planner import schedule
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

F32, F64 = dtypes.float32, dtypes.float64
exp, log, sqrt, where, neg = (OPS[name] for name in ("exp", "log", "sqrt", "where", "neg"))
TOLERANCE = {np.dtype(np.float32): 3e-4, np.dtype(np.float64): 1e-11}

# ---------------------------------------------------------------- programs


def along(name, x, keepdim=True):
    """A reduction along the last axis."""
    return OPS[name](x, axes=(x.ndim - 1,), keepdim=keepdim)


def total(x):
    return OPS["sum"](x, axes=tuple(range(x.ndim)), keepdim=False)


def softmax(x, c):
    return OPS["softmax"](x, axis=x.ndim - 1) * c


def log_softmax(x, c):
    return OPS["log_softmax"](x, axis=x.ndim - 1) * c


def logsumexp(x, c):
    return OPS["logsumexp"](x, axes=(x.ndim - 1,), keepdim=True) * c


def logsumexp_flat(x, c):
    return OPS["logsumexp"](x, axes=(x.ndim - 1,), keepdim=False) * along("sum", c, False)


def by_hand(x, c):
    shifted = exp(x - along("amax", x))
    return shifted / along("sum", shifted) * c


def layer_norm(x, c):
    n = float(x.shape[-1])
    centred = x - along("sum", x) / n
    return centred / sqrt(along("sum", centred * centred) / n + 1e-5) * c


def rms_norm(x, c):
    return x / sqrt(along("sum", x * x) / float(x.shape[-1]) + 1e-6) * c


def normalize(x, c):
    return x / sqrt(along("sum", x * x) + 1e-6) * c


def variance(x, c):
    return OPS["var"](x, axes=(x.ndim - 1,), keepdim=True, correction=0) * c


def deviation(x, c):
    return OPS["std"](x, axes=(x.ndim - 1,), keepdim=True, correction=1) * c


def cross_entropy(x, c):
    """With probabilities as targets."""
    return neg(along("sum", OPS["log_softmax"](x, axis=x.ndim - 1) * c))


def attention(x, c):
    """Scores that are masked and scaled."""
    masked = where(c < -2.0, -math.inf, x * 0.125)
    return OPS["softmax"](masked, axis=x.ndim - 1) * c


def affine_layer_norm(x, c, scale, shift):
    """The gradients of scale and shift are sums over rows."""
    n = float(x.shape[-1])
    centred = x - along("sum", x) / n
    return (centred / sqrt(along("sum", centred * centred) / n + 1e-5) * scale + shift) * c


def batch_norm(x, c, scale, shift):
    """Each column by itself."""

    def mean(v):
        return OPS["sum"](v, axes=(0,), keepdim=True) / float(x.shape[0])

    centred = x - mean(x)
    return (centred / sqrt(mean(centred * centred) + 1e-5) * scale + shift) * c


def biased_softmax(x, c, bias):
    return OPS["softmax"](x + bias, axis=x.ndim - 1) * c


FUNCTIONS = (
    softmax, log_softmax, logsumexp, logsumexp_flat, by_hand, layer_norm, rms_norm, normalize,
    variance, deviation, cross_entropy, attention,
)  # fmt: skip


def value(function, *avals):
    builder = Builder()
    inputs = [builder.input(a) for a in avals]
    y = function(*inputs)
    return simplify(Program(builder.tape, [x.row for x in inputs], [y.row]))


def value_and_gradient(function, *avals, wanted=None):
    builder = Builder()
    inputs = [builder.input(a) for a in avals]
    y = total(function(*inputs))
    given = [x.row for x in inputs]
    of = given if wanted is None else [given[i] for i in wanted]
    sweep = reverse(builder.tape, [y.row], of, unit_seed=True)
    return simplify(Program(sweep.tape, given, [y.row, *sweep.results]))


def row_kernels(program):
    """The row kernels of a plan, and its other kernels that walk through whole rows."""
    steps = schedule(program).steps
    found = [step for step in steps if isinstance(step, RowStep)]
    size = max(math.prod(part.lengths) for step in found for part in step.parts)
    others = [step for step in steps if not isinstance(step, RowStep)]
    assert all(isinstance(step, KernelStep) for step in others)
    return found, [step for step in others if math.prod(step.lengths) >= size]


def draw(program, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    avals = [program.tape.kind(row).aval for row in program.inputs]
    return [(scale * rng.normal(size=a.shape)).astype(a.dtype.dtype) for a in avals]


def agrees(program, arrays, loosen=1.0):
    """Compiled and row by row: the same within the dtype's tolerance; NaN where it has NaN."""
    with np.errstate(all="ignore"):
        wanted = reference.run(program, [np.asarray(x) for x in arrays])
    for got, want in zip(compile_program(program)(arrays), wanted, strict=True):
        want = np.asarray(want)
        finite = np.abs(want[np.isfinite(want)])
        rtol = TOLERANCE[want.dtype] * loosen
        scale = max(finite.max(), 1.0) if finite.size else 1.0
        np.testing.assert_allclose(got, want, rtol, rtol * scale, equal_nan=True)


# ---------------------------------------------------------------- plans


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", [(40, 100), (3, 5, 64)])
def test_value_and_gradient_are_one_row_kernel(function, shape):
    a = aval(shape, F64)
    for program in (value(function, a, a), value_and_gradient(function, a, a, wanted=[0])):
        found, others = row_kernels(program)
        assert len(found) == 1 and others == []


def test_kernels_have_no_sizes():
    def kernels(*shape):
        a = aval(shape, F32)
        steps = schedule(value_and_gradient(layer_norm, a, a)).steps
        return [step.kernel for step in steps if isinstance(step, RowStep)]

    assert kernels(40, 100) == kernels(7, 64)


def test_what_a_row_keeps_for_itself_takes_no_memory():
    plan = schedule(value_and_gradient(softmax, *[aval((40, 100), F64)] * 2))
    whole = [b for b in plan.buffers if b.role == "temporary" and math.prod(b.shape) >= 4000]
    assert whole == []


@pytest.mark.parametrize("shape", [(100, 8), (4, rows.LONGEST + 1), (100,)])
def test_short_and_long_rows_and_one_row_stay_kernels_of_their_own(shape):
    steps = schedule(value(softmax, *[aval(shape, F64)] * 2)).steps
    assert len(steps) == 3 and not any(isinstance(step, RowStep) for step in steps)


def test_an_axis_apart_is_walked_across():
    program = value(lambda x: OPS["softmax"](x, axis=0), aval((100, 40), F64))
    assert not any(isinstance(step, RowStep) for step in schedule(program).steps)
    agrees(program, draw(program))


def test_rows_of_two_axes_are_joined():
    def norm(x):
        mean = OPS["sum"](x, axes=(1, 2), keepdim=True) / 60.0
        centred = x - mean
        return centred / sqrt(OPS["sum"](centred * centred, axes=(1, 2), keepdim=True) + 1.0)

    program = value_and_gradient(norm, aval((6, 10, 6), F64))
    found, others = row_kernels(program)
    assert [step.parts[0].lengths for step in found] == [(6, 60)] and others == []
    agrees(program, draw(program))


def test_a_library_step_between_keeps_kernels_apart():
    def function(x, w):
        p = OPS["softmax"](x, axis=1)
        q = OPS["softmax"](OPS["matmul"](p, w) + p, axis=1)
        return p * q

    program = value_and_gradient(function, aval((30, 24), F64), aval((24, 24), F64))
    agrees(program, draw(program))


def test_two_row_kernels_that_would_wait_for_each_other():
    """Rows of x and of z in turns: neither kernel can hold all loops of its rows."""

    def function(x, z):
        a = along("sum", x * x)  # rows of x
        b = along("sum", exp(z * total(a)))  # rows of z, after a
        c = exp(x * a) * total(b)  # rows of x, after b
        d = z * b * total(c)  # rows of z, after c
        return total(along("amax", c) * c) + total(d)

    program = value_and_gradient(function, aval((20, 64), F64), aval((30, 50), F64))
    agrees(program, draw(program, scale=0.01))


# ---------------------------------------------------------------- results


@pytest.mark.parametrize("backend", ["ir", "numba"])
@pytest.mark.parametrize("dtype", [F32, F64], ids=lambda d: d.name)
def test_odd_lengths(backend, dtype):
    lengths = (1, 2, 7, 15, 16, 17, 31, 100, 129) if backend == "ir" else (1, 17)
    with config.set(backend=backend):
        for n in lengths:
            a = aval((11, n), dtype)
            for function in (softmax, layer_norm):
                program = value_and_gradient(function, a, a)
                agrees(program, draw(program, n))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_every_function_on_both_backends(function):
    a = aval((5, 9, 37), F64)
    program = value_and_gradient(function, a, a)
    is_typical = function in (softmax, layer_norm, cross_entropy)  # Numba takes seconds for each
    for backend in ("ir", "numba") if is_typical else ("ir",):
        with config.set(backend=backend):
            agrees(program, draw(program))


def test_the_text_as_python():
    program = value_and_gradient(layer_norm, *[aval((5, 20), F64)] * 2)
    with config.set(jit=0):
        agrees(program, draw(program))


@pytest.mark.parametrize("shape", [(0, 20), (20, 0), (1, 20), (3, rows.LONGEST + 5)])
def test_empty_and_extreme_shapes(shape):
    program = value(softmax, *[aval(shape, F64)] * 2)
    agrees(program, draw(program))


@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp, layer_norm, normalize])
def test_a_strange_row_leaves_the_others_alone(function):
    program = value_and_gradient(function, *[aval((9, 50), F64)] * 2)
    x, c = draw(program)
    usual = compile_program(program)([x, c])[1]
    strange = x.copy()
    strange[1, 3], strange[3], strange[5, 49] = math.nan, math.inf, -math.inf
    agrees(program, [strange, c])
    slope = compile_program(program)([strange, c])[1]
    others = [0, 2, 4, 6, 7, 8]
    assert np.array_equal(slope[others], usual[others])


def test_transposed_rows_in_memory():
    program = value(
        lambda x: OPS["softmax"](OPS["permute"](x, axes=(1, 0)), axis=1), aval((64, 40), F64)
    )
    agrees(program, draw(program))


# ---------------------------------------------------------------- one element of each row


def picked(x, index):
    return neg(OPS["gather"](OPS["log_softmax"](x, axis=1), index, axis=1))


def with_indices(seed=0, rows=30, n=40, low=0):
    avals = (aval((rows, n), F64), aval((rows, 1), dtypes.int64))
    program = value_and_gradient(picked, *avals, wanted=[0])
    rng = np.random.default_rng(seed)
    return program, [rng.normal(size=(rows, n)), rng.integers(low, n, (rows, 1))]


@pytest.mark.parametrize("low", [0, -40])
def test_a_gather_moves_before_elementwise_work_and_its_slope_is_in_the_rows(low):
    program, arrays = with_indices(low=low)
    names = [program.tape.kind(row).op.name for row in range(len(program.tape))]
    assert "gather" in names and "scatter_add" not in names
    assert len([step for step in schedule(program).steps if isinstance(step, RowStep)]) == 1
    agrees(program, arrays)


def test_an_index_outside_is_an_error_and_never_a_silent_slope():
    program, (x, index) = with_indices()
    index[3] = 40
    with pytest.raises(IndexError):
        compile_program(program)([x, index])
    slope = Program(program.tape, program.inputs, program.outputs[1:])
    (found,) = compile_program(simplify(slope))([x, index])
    assert np.isnan(found[3]).all() and np.isfinite(np.delete(found, 3, 0)).all()


def test_cross_entropy_of_the_front_door():
    rng = np.random.default_rng(5)
    x, classes = rng.normal(size=(20, 33)), rng.integers(0, 33, 20)
    call = tj.value_and_grad(tj.nn.functional.cross_entropy)
    for _ in range(3):
        loss, slope = call(x, classes)
    shares = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    want = (shares - np.eye(33)[classes]) / 20
    np.testing.assert_allclose(loss, -np.log(shares[np.arange(20), classes]).mean())
    np.testing.assert_allclose(slope, want, atol=1e-12)


# ---------------------------------------------------------------- threads and parts


@pytest.fixture
def several_threads(monkeypatch):
    before = tj.get_num_threads()
    monkeypatch.setattr(launcher, "LONG_NS", 1)
    monkeypatch.setattr(launcher, "SHARE_NS", 1)
    monkeypatch.setattr(launcher, "GRAIN_NS", 1)
    yield
    tj.set_num_threads(before)


def weighted(x, w, b):
    return (layer_norm(x, w) + b) * x


@pytest.mark.parametrize("length", [96, 97])
def test_the_same_bits_for_any_number_of_threads(several_threads, monkeypatch, length):
    monkeypatch.setattr(partials, "SMALLEST", 1)
    monkeypatch.setattr(partials, "SHORTEST", 1)
    a, b = aval((length, 40), F64), aval((40,), F64)
    program = value_and_gradient(weighted, a, b, b)
    arrays, found = draw(program), set()
    agrees(program, arrays)
    for threads in (1, 2, 5):
        tj.set_num_threads(threads)
        call = compile_program(program)
        for _ in range(3):
            found.add(tuple(np.asarray(y).tobytes() for y in call(arrays)))
    assert len(found) == 1


@pytest.mark.parametrize("length", [1, 2, 96, 97, 100])
def test_sums_over_the_batch_in_parts(monkeypatch, length):
    monkeypatch.setattr(partials, "SMALLEST", 1)
    monkeypatch.setattr(partials, "SHORTEST", 1)

    def function(x, y, b):
        return exp(x * 0.1) * y + b

    shapes = ((length, 3, 5), (length, 1, 1), (3, 5))
    program = value_and_gradient(function, *[aval(shape, F64) for shape in shapes])
    for backend in ("ir", "numba"):
        with config.set(backend=backend):
            agrees(program, draw(program))
    kernels = [step.kernel for step in schedule(program).steps]
    shapes = ((length + 12, 3, 5), (length + 12, 1, 1), (3, 5))
    other = value_and_gradient(function, *[aval(shape, F64) for shape in shapes])
    if length > 1:
        assert [step.kernel for step in schedule(other).steps] == kernels


# ---------------------------------------------------------------- random programs


def crossed(a, b):
    """Through library calls, which see all rows."""
    products = OPS["matmul"](a, OPS["permute"](b, axes=(1, 0)))
    return OPS["tanh"](OPS["matmul"](products, b) * 0.1)


WORK = (
    lambda a, b, r, w: exp(neg(a * a)),
    lambda a, b, r, w: a + b * 0.5,
    lambda a, b, r, w: a * r,
    lambda a, b, r, w: a / (1.0 + r * r),
    lambda a, b, r, w: where(a < b, a, neg(b)),
    lambda a, b, r, w: a * w,
    lambda a, b, r, w: sqrt(a * a + 1.0),
    lambda a, b, r, w: OPS["tanh"](a) + r,
    lambda a, b, r, w: OPS["softmax"](a, axis=1),
    lambda a, b, r, w: OPS["log_softmax"](a, axis=1) * 0.1,
    lambda a, b, r, w: layer_norm(a, b),
    lambda a, b, r, w: OPS["flip"](a, axes=(1,)) * 0.5,
    lambda a, b, r, w: crossed(a, b),
)


def random_rows(rng):
    """A function of arrays x, c (rows, n) and w (n): a chain of work and reductions along rows."""
    choices = rng.integers(0, 1 << 30, (int(rng.integers(4, 14)), 3))

    def function(x, c, w):
        wholes, narrow = [x, c], [along("sum", c) * 0.1]
        for what, i, j in choices:
            a, b = wholes[i % len(wholes)], wholes[j % len(wholes)]
            if what % 4 == 0:
                name = ("sum", "amax", "mean", "amin")[i % 4]
                narrow.append(OPS["tanh"](along(name, a * 0.1)))
            else:
                wholes.append(WORK[what // 4 % len(WORK)](a, b, narrow[j % len(narrow)], w))
        return wholes[-1] * wholes[-2] + narrow[-1]

    return function


@pytest.mark.parametrize("seed", range(60))
def test_random_chains(seed):
    rng = np.random.default_rng([11, seed])
    shape = (int(rng.integers(1, 12)), int(rng.choice([5, 16, 19, 40, 64])))
    dtype = (F32, F64)[seed % 2]
    avals = [aval(shape, dtype), aval(shape, dtype), aval(shape[1:], dtype)]
    program = value_and_gradient(random_rows(rng), *avals)
    with config.set(backend="numba" if seed % 20 == 0 else "ir"):
        agrees(program, draw(program, seed), loosen=10.0)
