"""The tape interpreter: every scalar operation, forward and reverse, against kernels and reference.

Handlers have the bits of kernels (the same recipes one lane wide), so the comparison with a
compiled kernel is exact; NaN payloads and the signs of zeros do not count.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

import tapejit as tj
from tapejit import autodiff, config, registry
from tapejit.cache import shared_store
from tapejit.registry import OPS, infer_kind
from tapejit.runtime import handlers, interpreter, reference
from tapejit.runtime.compiled import compile_program
from tapejit.runtime.interpreter import Output, interpret
from tapejit.runtime.kernels import statistics
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape
from tapejit.tensor.arithmetic import POWERS
from tapejit.tensor.recording import open_new

pytestmark = pytest.mark.usefixtures("ir_lowering")

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.0, 1e30, np.inf, -np.inf, np.nan)


@pytest.fixture(autouse=True)
def any_length(monkeypatch):
    """Programs of any length are interpreted; nothing of other tests is on the open recording."""
    monkeypatch.setattr(interpreter, "SHORTEST", 0)
    open_new()


def same(got, want) -> bool:
    """Equal bits, but for NaN payloads and the signs of zeros."""
    return np.array_equal(np.asarray(got), np.asarray(want), equal_nan=True)


# ---------------------------------------------------------------- one row


def kinds_of(op, dtype):
    """The kinds of row that an elementwise operation has for 0-d operands of a dtype."""
    number, truth = aval((), dtype), aval((), tj.bool)
    n = len(op.expression.parameters)
    attributes = [(e,) for e in POWERS] if op.name == "power" else [()]
    if op.rule == "where":
        avals = (truth, number, number)
    elif op.rule == "logical":
        avals = (truth,) * n
    else:
        avals = (number,) * n
    return [(infer_kind(op, avals, attrs), avals) for attrs in attributes]


ELEMENTWISE = [op for op in OPS.values() if op.family == "elementwise" and op.expression]


def row_tape(kind, avals):
    """Inputs (truths made of numbers), one row, and a number to be the root."""
    tape, operands = Tape(), []
    inputs = []
    number = next((a for a in (kind.aval, *avals) if a.dtype is not tj.bool), aval((), tj.float64))
    for value in avals:
        row = tape.append(registry.kind(OPS["input"], (), number), ())
        inputs.append(row)
        if value.dtype is tj.bool:
            zero = tape.append(registry.kind(OPS["literal"], (0.0,), number), ())
            row = tape.append(infer_kind(OPS["gt"], (number, number), ()), (row, zero))
        operands.append(row)
    result = tape.append(kind, operands)
    root = result
    if kind.aval.dtype is tj.bool:
        root = tape.append(registry.kind(OPS["cast"], (number.dtype.name,), number), (result,))
    return tape, inputs, result, root


@pytest.mark.parametrize("dtype", [tj.float64, tj.float32], ids=str)
@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_elementwise_operation_has_the_bits_of_a_kernel(op, dtype):
    rng = np.random.default_rng(op.code)
    for kind, avals in kinds_of(op, dtype):
        tape, inputs, result, root = row_tape(kind, avals)
        sweep = autodiff.reverse(tape, (root,), inputs, unit_seed=True)
        rows = [row for row in sweep.results if row >= 0]
        kernel = compile_program(simplify(Program(sweep.tape, inputs, [result, *rows])))
        wanted = [i for i, row in zip(inputs, sweep.results, strict=True) if row >= 0]
        outputs = [Output(result), *(Output(row, is_cotangent=True) for row in wanted)]
        run = interpret(tape, inputs, outputs, root=root)
        if any(sweep.tape.kind(row).op.family == "library" for row in range(len(sweep.tape))):
            assert run is None  # a slope that SciPy computes: the third of lgamma
            continue
        assert run is not None, kind
        points = [*itertools.product(SPECIAL, repeat=len(inputs))]
        points = rng.permutation(points)[:40].tolist() if len(points) > 40 else points
        points += rng.uniform(-3, 3, (10, len(inputs))).tolist()
        for point in points:
            given = [np.array(x, dtype.dtype) for x in point]
            got, want = run.call(given), kernel(given)
            assert len(got) == len(want)
            reached = [same(a, b) or _is_skipped(a, b) for a, b in zip(got, want, strict=True)]
            assert all(reached), (kind, point, got, want)


def _is_skipped(got, want):
    """A cotangent of -0.0 counts as none: 0 where the product with an infinite slope is NaN."""
    return got == 0 and np.isnan(want)


@pytest.mark.parametrize("op", ELEMENTWISE, ids=lambda op: op.name)
def test_every_elementwise_operation_is_near_the_reference(op):
    (kind, avals), *_ = kinds_of(op, tj.float64)
    tape, inputs, result, _ = row_tape(kind, avals)
    run = interpret(tape, inputs, [Output(result)])
    low, high = (op.probe.domain if np.ndim(op.probe.domain) == 1 else op.probe.domain[0])[:2]
    for point in np.random.default_rng(1).uniform(low, high, (20, len(inputs))):
        (got,) = run.call([np.array(x) for x in point])
        (want,) = reference.run(Program(tape, inputs, [result]), list(point))
        eps = np.finfo(np.float64).eps  # absolute next to zeros: SciPy's lgamma has no more there
        assert np.isclose(got, want, rtol=4 * eps, atol=eps), (point, got, want)


# ---------------------------------------------------------------- programs

UNARY = ("sin", "cos", "tanh", "exp", "sqrt", "log1p", "abs")


def random_program(seed, n):
    """A function of an array through NumPy or torch functions, with branches on values."""
    rng = random.Random(seed)
    steps = []
    for k in range(n):
        known = 4 + k
        what = rng.choice(["add", "mul", "div", "unary", "where", "max", "branch", "power"])
        steps.append((what, rng.randrange(known), rng.randrange(known), rng.choice(UNARY)))

    def f(x, xp):
        v = [x[i] for i in range(4)]
        for what, p, q, name in steps:
            a, b = v[p], v[q]
            if what == "add":
                y = a + 0.5 * b
            elif what == "mul":
                y = a * b
            elif what == "div":
                y = a / (1.5 + b * b)
            elif what == "unary":
                y = getattr(xp, name)(a * a + 0.1)
            elif what == "where":
                y = xp.where(a > b, a * 0.5, b - 1.0)
            elif what == "max":
                y = xp.maximum(a, b)
            elif what == "power":
                y = (a - b) ** 2
            elif a > 0.3:
                y = a - b
            else:
                y = b * 0.7
            v.append(xp.tanh(y))
        total = v[-1]
        for y in v[-8:-1]:
            total = total + y
        return total

    return f


@pytest.mark.parametrize("seed", range(int(os.environ.get("TAPEJIT_FUZZ", "12"))))
def test_random_programs_agree_with_torch(seed):
    torch = pytest.importorskip("torch")
    f = random_program(seed, 60)
    compiled = tj.value_and_grad(lambda x: f(x, np))
    rng = np.random.default_rng(seed)
    before = statistics.kernels_compiled
    for _ in range(4):
        x = rng.uniform(-1, 1, 4)
        value, gradient = compiled(x)
        t = torch.tensor(x, requires_grad=True)
        want = f(t, torch)
        want.backward()
        assert np.isclose(value, want.item(), rtol=1e-13)
        assert np.allclose(gradient, t.grad.numpy(), rtol=1e-11, atol=1e-14)
    assert statistics.kernels_compiled == before, "it was not interpreted"


def tape_function(n, seed=0, inputs=8):
    """v_i = sin(v_p v_q + v_(i-1)) with p and q anywhere before: n operations."""
    rng = np.random.default_rng(seed)
    pairs = [tuple(map(int, rng.integers(0, inputs + k, 2))) for k in range(n // 3)]

    def f(x):
        v = [x[i] for i in range(inputs)]
        for p, q in pairs:
            v.append(np.sin(v[p] * v[q] + v[-1]))
        return v[-1]

    return f


def check_gradient(f, x, gradient, rtol=1e-6):
    direction = np.random.default_rng(3).standard_normal(x.shape)
    h = 1e-6
    slope = (f(x + h * direction) - f(x - h * direction)) / (2 * h)
    assert np.isclose(gradient @ direction, slope, rtol=rtol, atol=1e-9)


def test_long_tape():
    f, x = tape_function(30_000), np.random.default_rng(1).uniform(0.1, 1.0, 8)
    before = statistics.kernels_compiled
    value, gradient = tj.value_and_grad(f)(x)
    assert statistics.kernels_compiled == before
    assert np.isclose(value, f(x), rtol=1e-12)
    check_gradient(f, x, gradient)


def test_arguments_as_floats_lists_and_arrays():
    f = tape_function(300, inputs=3)
    x = np.array([0.3, 0.7, 0.9])
    value, gradient = tj.value_and_grad(f)(x)
    as_list = tj.value_and_grad(lambda v: f(v))(list(x.tolist()))
    as_floats = tj.value_and_grad(lambda a, b, c: f([a, b, c]), argnums=(0, 1, 2))(*x.tolist())
    as_columns = tj.value_and_grad(lambda m: f(m[:, 1]))(np.stack([x * 0, x], 1))
    for got_value, got in (as_list, as_floats):
        assert got_value == value
        assert np.array_equal(got, gradient)
    assert same(as_columns[1][:, 1], gradient) and not as_columns[1][:, 0].any()


def test_results_are_stacks_sums_and_inputs():
    def f(x):
        v = [np.sin(x[i] * x[i - 1]) for i in range(len(x))]
        return np.sum(np.stack(v)) + np.sum(x) * x[0]

    x = np.linspace(0.1, 1.0, 9)
    value, gradient = tj.value_and_grad(f)(x)
    assert np.isclose(value, f(x), rtol=1e-14)
    check_gradient(f, x, gradient)
    stacked = tj.jit(lambda x: np.stack([np.sin(x[i]) for i in range(9)]).reshape(3, 3).T)
    first = stacked(x)
    assert np.allclose(first, np.sin(x).reshape(3, 3).T, rtol=1e-15)
    assert first.flags.owndata and stacked(x) is not first


def test_an_input_is_the_root_or_unused():
    value, gradient = tj.value_and_grad(lambda x, y: x[1], argnums=(0, 1))(np.ones(3), 2.0)
    assert value == 1.0
    assert gradient[0].tolist() == [0.0, 1.0, 0.0]
    assert gradient[1] == 0.0


def test_float32():
    f, x = tape_function(300), np.random.default_rng(1).uniform(0.1, 1.0, 8).astype(np.float32)
    value, gradient = tj.value_and_grad(f)(x)
    assert value.dtype == gradient.dtype == np.float32
    value64, gradient64 = tj.value_and_grad(f)(x.astype(np.float64))
    assert np.isclose(value, value64, rtol=1e-5)
    assert np.allclose(gradient, gradient64, rtol=1e-3, atol=1e-6)


def test_second_derivatives():
    f, x = tape_function(150, inputs=3), np.array([0.3, 0.7, 0.9])
    hessian = tj.hessian(f)(x)
    gradient = tj.grad(f)
    h = 1e-6
    for i in range(3):
        step = np.eye(3)[i] * h
        column = (gradient(x + step) - gradient(x - step)) / (2 * h)
        assert np.allclose(hessian[:, i], column, rtol=1e-5, atol=1e-7)


def test_branches_are_guarded():
    def f(x):
        y = x[0]
        for i in range(1, 6):
            y = y * x[i] if y > 0.2 else y + np.sin(x[i])
        return y

    g = tj.value_and_grad(f)
    rng = np.random.default_rng(0)
    for _ in range(30):
        x = rng.uniform(0, 1, 6)
        value, gradient = g(x)
        assert np.isclose(value, f(x), rtol=1e-14)
        check_gradient(f, x, gradient, rtol=1e-5)


def test_where_never_leaks_nan():
    def f(x):
        return np.where(x[0] > 0, np.sqrt(x[0]), x[0] * 2) + np.where(x[1] > 0, np.log(x[1]), 0.0)

    _, gradient = tj.value_and_grad(f)(np.array([0.0, 0.0]))
    assert gradient.tolist() == [2.0, 0.0]


def test_captured_tensors_are_read_afresh():
    scale = tj.tensor(2.0, dtype=tj.float64)
    g = tj.value_and_grad(lambda x: np.sin(x[0] * x[1]) * scale)
    x = np.array([0.3, 0.5])
    first, _ = g(x)
    scale.fill_(4.0)
    assert np.isclose(g(x)[0], 2 * first)


def test_what_it_cannot_do_goes_to_kernels():
    cases = {
        "arrays": lambda x: np.sum(np.sin(x) * x),
        "two dtypes": lambda x: np.sin(x[0]) * x[1].astype(np.float32).astype(np.float64),
        "products": lambda x: x @ x + x[0],
    }
    x = np.array([0.3, 0.5])
    for name, f in cases.items():
        call = tj.value_and_grad(f)
        value, gradient = call(x)
        assert np.isfinite(value) and np.isfinite(gradient).all(), name
        (transform,) = call.transforms.values()
        ((path,),) = transform.paths.by_signature.values()
        assert path.compiled.plan is not None, name


def test_a_sum_of_many_elements_is_a_kernel():
    total = tj.jit(lambda x: x.sum())
    x = np.random.default_rng(0).normal(size=100_000)
    for _ in range(2):
        assert np.isclose(total(x), x.sum())
    assert "interpreted" not in str(tj.explain(total))


def test_check_3_compares_every_call(monkeypatch):
    f, x = tape_function(90), np.random.default_rng(1).uniform(0.1, 1.0, 8)
    with config.set(check=3):
        g = tj.value_and_grad(f)
        want = g(x)
        assert same(g(x)[1], want[1])
        plain = interpreter._Run.call
        planted = lambda self, inputs: [r * 1.001 for r in plain(self, inputs)]  # noqa: E731
        monkeypatch.setattr(interpreter._Run, "call", planted)
        with pytest.raises(AssertionError, match="compiled and reference differ"):
            g(x + 0.01)


def test_debug_says_what_is_interpreted(capsys):
    with config.set(debug=1):
        tj.grad(tape_function(90))(np.random.default_rng(1).uniform(0.1, 1.0, 8))
    assert "90 rows interpreted" in capsys.readouterr().err


def test_no_native_code_where_jit_is_off():
    f, x = tape_function(60), np.random.default_rng(1).uniform(0.1, 1.0, 8)
    want = tj.value_and_grad(f)(x)
    with config.set(jit=0):
        got = tj.value_and_grad(f)(x)
    assert np.isclose(got[0], want[0], rtol=1e-13)
    assert np.allclose(got[1], want[1], rtol=1e-12)


def test_threads_have_slots_of_their_own():
    f = tape_function(15_000)
    g = tj.value_and_grad(f)
    points = np.random.default_rng(1).uniform(0.1, 1.0, (4, 8))
    wanted = [g(x) for x in points]
    wrong = []

    def work(i):
        for _ in range(20):
            value, gradient = g(points[i])
            if value != wanted[i][0] or not np.array_equal(gradient, wanted[i][1]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---------------------------------------------------------------- eager tensors


def eager(f, x):
    t = tj.tensor(x, requires_grad=True)
    loss = f(t)
    loss.backward()
    return loss, t


@pytest.fixture
def swept(monkeypatch):
    """Grows by one with each interpreted sweep."""
    calls = []
    plain = interpreter.Sweep.__call__
    monkeypatch.setattr(
        interpreter.Sweep, "__call__", lambda self, *args: calls.append(1) or plain(self, *args)
    )
    return calls


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_backward_of_eager_tensors(dtype, swept):
    x = np.random.default_rng(1).uniform(0.1, 1.0, 8).astype(dtype)
    for seed, n in ((0, 300), (1, 30_000), (0, 300)):
        f = tape_function(n, seed)
        loss, t = eager(f, x)
        value, gradient = tj.value_and_grad(f)(x)
        assert np.isclose(loss.item(), value, rtol=1e-5 if dtype == np.float32 else 1e-12)
        assert np.allclose(t.grad.numpy(), gradient, rtol=1e-4 if dtype == np.float32 else 1e-10)
    assert len(swept) == 3


def test_backward_over_several_recordings():
    x = np.random.default_rng(1).uniform(0.1, 1.0, 8)
    f = tape_function(150_000)
    _, t = eager(f, x)
    check_gradient(f, x, t.grad.numpy())


def test_backward_twice_and_with_gradients():
    f, x = tape_function(90), np.random.default_rng(1).uniform(0.1, 1.0, 8)
    t = tj.tensor(x, requires_grad=True)
    loss = f(t)
    loss.backward(retain_graph=True)
    first = t.grad.numpy().copy()
    loss.backward(tj.tensor(2.0, dtype=tj.float64))
    assert np.allclose(t.grad.numpy(), 3 * first, rtol=1e-15)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_backward_from_two_roots_to_what_is_asked():
    x = tj.tensor([0.3, 0.7], dtype=tj.float64, requires_grad=True)
    a, b = x[0] * x[1], (x[0] + x[1]).sin()
    unused = tj.tensor(1.0, dtype=tj.float64, requires_grad=True)
    found = tj.autograd.grad([a * b, a + b], [x, a, unused], allow_unused=True)
    assert np.allclose(found[1].item(), b.item() + 1)
    slope = np.cos(1.0) * (0.21 + 1)
    assert np.allclose(
        found[0].numpy(), [0.7 * (b.item() + 1) + slope, 0.3 * (b.item() + 1) + slope]
    )
    assert found[2] is None


def test_changes_in_place_elsewhere_do_not_matter(swept):
    x = tj.tensor([0.3, 0.7], dtype=tj.float64, requires_grad=True)
    other = tj.zeros(3)
    y = x[0] * x[1]
    other.add_(1.0)
    (y * x[0]).backward()
    assert len(swept) == 1
    assert np.allclose(x.grad.numpy(), [2 * 0.3 * 0.7, 0.09])


def test_hooks_changes_in_place_and_second_derivatives_take_the_other_road():
    f, x = tape_function(90), np.random.default_rng(1).uniform(0.1, 1.0, 8)
    want = tj.grad(f)(x)
    t = tj.tensor(x, requires_grad=True)
    y = t * 1.0
    seen = []
    y.register_hook(lambda g: seen.append(g.numpy().copy()))
    f(y).backward()
    assert np.allclose(seen[0], want, rtol=1e-10)
    t = tj.tensor(x, requires_grad=True)
    (first,) = tj.autograd.grad(f(t), t, create_graph=True)
    assert np.allclose(first.detach().numpy(), want, rtol=1e-10)
    first.sum().backward()
    assert np.allclose(t.grad.numpy(), tj.hessian(f)(x).sum(0), rtol=1e-8)
    t = tj.tensor(0.5, dtype=tj.float64, requires_grad=True)
    y = t.sin()
    z = y * y
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="inplace"):
        z.backward()


# ---------------------------------------------------------------- the cache

_CHILD = """
import numpy as np, tapejit as tj
from tapejit.runtime import native
compiled = []
plain = native.compile_object
native.compile_object = lambda *args, **kw: compiled.append(1) or plain(*args, **kw)
def f(x):
    v = [x[0], x[1]]
    for i in range(100):
        v.append(np.sin(v[i] * v[-1]) + v[i // 2])
    return v[-1]
value, gradient = tj.value_and_grad(f)(np.array([0.3, 0.7]))
print(len(compiled), value.hex(), *(g.hex() for g in gradient))
"""


def child(directory):
    environment = os.environ | {"TAPEJIT_CACHE_DIR": str(directory), "TAPEJIT_CACHE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _CHILD], env=environment, capture_output=True, text=True, check=True
    )
    n, *numbers = result.stdout.split()
    return int(n), numbers


def test_second_process_compiles_nothing_and_damage_is_mended(tmp_path):
    n_first, want = child(tmp_path)
    assert n_first > 0
    assert child(tmp_path) == (0, want)
    for file in tmp_path.glob("*.tjo"):
        file.write_bytes(file.read_bytes()[:-7])
    n_again, got = child(tmp_path)
    assert n_again == n_first and got == want


def test_handlers_are_shared_by_programs():
    x = np.random.default_rng(1).uniform(0.1, 1.0, 8)
    tj.value_and_grad(tape_function(90))(x)
    known = len(handlers._HANDLERS)
    tj.value_and_grad(tape_function(900, seed=5))(x)
    assert len(handlers._HANDLERS) == known
    assert shared_store() is not None


def test_explain_says_that_a_path_is_interpreted():
    g = tj.value_and_grad(tape_function(90))
    g(np.random.default_rng(1).uniform(0.1, 1.0, 8))
    assert tj.explain(g).paths[0].how == "interpreted"
