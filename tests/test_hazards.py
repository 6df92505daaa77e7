"""Never a silently stale answer: one test per way a replayed recording could lie."""

from __future__ import annotations

import dataclasses
import threading
import warnings

import numpy as np
import pytest

import tapejit as tj

SCALE = 2.0
TABLE = {"a": [1.0, 2.0]}
ARRAY = np.array([1.0, 2.0])


def helper(x):
    return x * SCALE


def test_a_changed_global_and_one_read_by_a_helper():
    global SCALE
    f = tj.grad(lambda x: helper(x) * SCALE)
    try:
        assert f(1.0) == 4.0
        SCALE = 3.0
        assert f(1.0) == 9.0
    finally:
        SCALE = 2.0
    assert f(1.0) == 4.0


def test_a_changed_closure_cell():
    k = 2.0

    def f(x):
        return x * k

    g = tj.grad(f)
    assert g(1.0) == 2.0
    k = 5.0
    assert g(1.0) == 5.0


def test_changed_defaults():
    def f(x, k=2.0):
        return x * k

    g = tj.grad(f)
    assert g(1.0) == 2.0
    f.__defaults__ = (7.0,)
    assert g(1.0) == 7.0


def test_contents_of_captured_lists_dicts_and_arrays():
    f = tj.grad(lambda x: x * TABLE["a"][1] + np.sum(x * ARRAY))
    assert f(1.0) == 5.0
    TABLE["a"][1] = 4.0
    assert f(1.0) == 7.0
    ARRAY[0] = 10.0
    assert f(1.0) == 16.0
    TABLE["a"][1], ARRAY[0] = 2.0, 1.0
    assert f(1.0) == 5.0


def test_numpy_on_a_captured_array_alone_is_not_frozen():
    data = np.array([1.0, 2.0])
    f = tj.grad(lambda x: x * np.sum(np.log(data)))
    assert f(1.0) == pytest.approx(np.log(2))
    data[0] = 3.0
    assert f(1.0) == pytest.approx(np.log(6))


class Counter:
    def __init__(self):
        self.k = 2.0

    def value(self, x):
        return x * self.k


def test_attributes_of_self():
    counter = Counter()
    f = tj.grad(counter.value)
    assert f(1.0) == 2.0
    counter.k = 6.0
    assert f(1.0) == 6.0


@dataclasses.dataclass
class Line:
    w: float

    def value(self, x):
        return self.w * x * SCALE


def test_transforms_inside_transforms_are_looked_through():
    global SCALE
    inner = tj.jit(helper)
    functions = [
        tj.grad(lambda x: inner(x) * x),
        tj.grad(tj.grad(lambda x: helper(x) * x * x)),
        tj.jit(tj.grad(helper)),
        tj.grad(lambda x: tj.jvp(helper, (x,), (x,))[1]),
    ]
    try:
        for SCALE in (2.0, 5.0, 2.0):
            assert [f(1.0) for f in functions] == [2 * SCALE, 6 * SCALE, SCALE, SCALE]
    finally:
        SCALE = 2.0
    paths = next(iter(functions[0].transforms.values())).paths
    assert paths.recorded == 2 and not paths.has_warned


def test_code_that_comes_with_the_arguments():
    global SCALE
    by_function = tj.grad(lambda x, f: f(x))
    by_method = tj.grad(lambda line, x: line.value(x))
    try:
        for SCALE in (2.0, 5.0, 2.0):
            assert by_function(1.0, helper) == SCALE
            assert by_method(Line(3.0), 1.0).w == SCALE
    finally:
        SCALE = 2.0


def test_random_numbers_are_drawn_every_time():
    generator = np.random.default_rng(0)

    def f(x):
        return x * generator.standard_normal()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        g = tj.grad(f)
        assert len({g(1.0) for _ in range(5)}) == 5
        h = tj.grad(lambda x: (x * tj.rand(3, dtype=tj.float64)).sum())
        assert len({h(1.0) for _ in range(5)}) == 5


def test_side_effects_happen_every_time():
    seen = []

    def f(x):
        seen.append(float(x))
        return x * x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        g = tj.grad(f)
        for x in (1.0, 2.0, 3.0):
            assert g(x) == 2 * x
    assert seen == [1.0, 2.0, 3.0]


def test_changing_an_argument_in_place_is_refused_and_nothing_is_changed():
    def f(x):
        x += 1.0
        return np.sum(x)

    x = np.ones(3)
    with pytest.raises(RuntimeError, match="leaf Variable"):
        tj.grad(f)(x)
    np.testing.assert_array_equal(x, np.ones(3))


def test_a_buffer_written_to_while_recording():
    def f(x):
        buffer, y = np.zeros(3), x
        for i in range(3):
            buffer[i] = i + 1.0
            y = y * (buffer + 1)
        return np.sum(y)

    g = tj.value_and_grad(f)
    for _ in range(3):
        value, gradient = g(np.array([1.0, 2.0, 3.0]))
        assert value == 38.0
        np.testing.assert_array_equal(gradient, [8.0, 9.0, 4.0])


def test_results_never_alias_inputs_or_each_other():
    f = tj.jit(lambda x: (x, x, x.reshape(-1)))
    x = np.ones((2, 2))
    for _ in range(3):
        a, b, c = f(x)
        assert not any(np.shares_memory(p, q) for p, q in ((a, x), (b, x), (a, b), (c, a), (c, x)))
    first = f(x)[0]
    second = f(x + 1)[0]
    np.testing.assert_array_equal(first, np.ones((2, 2)))
    np.testing.assert_array_equal(second, np.full((2, 2), 2.0))


def test_large_results_survive_later_calls():
    f = tj.jit(lambda x: x * 2.0)
    results = [f(np.full(100_000, float(i))) for i in range(8)]
    for i, result in enumerate(results):
        assert result[0] == result[-1] == 2.0 * i


def test_one_array_passed_twice():
    f = tj.grad(lambda x, y: np.sum(x * y), argnums=(0, 1))
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    np.testing.assert_array_equal(f(x, x)[0], x)
    np.testing.assert_array_equal(f(x, y)[0], y)
    np.testing.assert_array_equal(f(x, x)[1], x)


def test_changed_layout_dtype_shape_and_broadcast_pattern():
    f = tj.jit(lambda x, y: np.sum(x * y, axis=0))
    x = np.arange(12.0).reshape(3, 4)
    for a, b in (
        (x, x), (x.T.copy().T, x), (x[:, ::-1], x), (x, x[:1]), (x, x[:, :1]), (x, x[0]),
        (x.astype(np.float32), x.astype(np.float32)), (x[:1], x), (x, 2.0), (x[::2], x[::2]),
    ):  # fmt: skip
        np.testing.assert_allclose(f(a, b), np.sum(a * b, axis=0), rtol=1e-6)


def test_keywords_and_argument_structure():
    f = tj.jit(lambda *args, **kwargs: sum(args) + sum(kwargs.values()) * 10)
    assert f(1.0, 2.0) == 3.0
    assert f(1.0, b=2.0) == 21.0
    assert f(1.0, c=3.0) == 31.0
    assert f(1.0) == 1.0


def test_a_number_that_changes_the_branch_and_back():
    def f(x):
        total = x
        for i in range(5):
            total = total * 2.0 if total < 3.0 + i else total - 1.0
        return total

    g = tj.value_and_grad(f)
    for x in (0.13, 5.07, 1.01, 0.13, 2.53, 5.07, -4.0, 0.71):
        value, slope = g(x)
        step = 1e-7
        assert value == pytest.approx(f(x))
        assert slope == pytest.approx((f(x + step) - f(x - step)) / (2 * step), rel=1e-5)


def test_many_paths_end_in_recording_every_time_with_one_warning():
    f = tj.jit(lambda x: x * x.item())
    with pytest.warns(RuntimeWarning, match="recorded at every call") as caught:
        for i in range(80):
            assert f(float(i)) == float(i) ** 2
    assert len(caught) == 1 and "x.item()" in str(caught[0].message)


def test_the_default_dtype_belongs_to_the_signature_of_tensor_calls():
    f = tj.jit(lambda t: t * tj.tensor(1.5))
    x = tj.tensor([2])
    assert f(x).dtype is tj.float32
    tj.set_default_dtype(tj.float64)
    try:
        assert f(x).dtype is tj.float64
    finally:
        tj.set_default_dtype(tj.float32)


def test_threads_share_a_function():
    f = tj.value_and_grad(lambda x: np.sum(np.sin(x) ** 2))
    expected = {n: np.sin(2 * np.arange(float(n))) for n in range(1, 40)}
    wrong: list = []

    def work(seed):
        generator = np.random.default_rng(seed)
        for _ in range(60):
            n = int(generator.integers(1, 40))
            _, gradient = f(np.arange(float(n)))
            if not np.allclose(gradient, expected[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def random_program(generator):
    """A random function of two arrays and a closure number, with a branch."""
    unary = [np.sin, np.cos, np.tanh, np.exp, np.abs, lambda v: v * v, lambda v: -v]
    binary = [np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.arctan2]
    steps = [
        (int(generator.integers(3)), int(generator.integers(7)), int(generator.integers(6)),
         int(generator.integers(100)), int(generator.integers(100)))
        for _ in range(int(generator.integers(3, 9)))
    ]  # fmt: skip
    reduce = [np.sum, np.mean, np.max][int(generator.integers(3))]
    box = {"k": 1.0}

    def program(x, y):
        values = [x, y, x * box["k"]]
        for form, u, b, i, j in steps:
            first, second = values[i % len(values)], values[j % len(values)]
            if form == 0:
                values.append(np.tanh(unary[u](first)))
            elif form == 1:
                values.append(binary[b](first, second))
            elif reduce(first) > 0.1:
                values.append(first * 0.5 + second)
            else:
                values.append(np.sin(second))
        return np.sum(values[-1] * values[-2])

    return program, box


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_compiled_against_fresh_eager(seed):
    generator = np.random.default_rng(seed)
    program, box = random_program(generator)
    call = tj.value_and_grad(program, argnums=(0, 1))
    shapes = [((3,), (3,)), ((4,), ()), ((2, 3), (3,)), ((1, 5), (5,))]
    for _ in range(8):
        sx, sy = shapes[int(generator.integers(len(shapes)))]
        box["k"] = float(generator.choice([1.0, -0.7, 2.5]))
        x, y = generator.standard_normal(sx), np.asarray(generator.standard_normal(sy))
        value, (gx, gy) = call(x, y)
        tx, ty = (tj.tensor(v, requires_grad=True) for v in (x, y))
        loss = program(tx, ty)
        loss.backward()
        assert value == pytest.approx(loss.item(), rel=1e-10, abs=1e-12)
        for got, leaf in ((gx, tx), (gy, ty)):
            want = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)
