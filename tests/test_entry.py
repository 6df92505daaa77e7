"""The native entry: it answers exactly what the way through Python does, or steps aside."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import sys
import threading
import weakref
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import KernelError
from tapejit.runtime import entry, entry_code
from tapejit.runtime.entry import Entries, NotNative, Writer
from tapejit.transforms import entering

F64 = np.dtype(np.float64)
x10 = np.linspace(-1.0, 3.5, 10)  # halves: sums are exact in any order

# ---------------------------------------------------------------- helpers


def entries_of(call) -> Entries:
    """The records of a function that a transform returned."""
    cells = [cell.cell_contents for cell in call.__closure__]
    return next(value for value in cells if isinstance(value, Entries))


def entered(call, *args, **kwargs):
    """The answer of a native call; it must be one."""
    answer = entries_of(call).enter(args, kwargs)
    assert answer is not None, (len(entries_of(call)), entries_of(call).refused)
    return answer


def warm(call, *args, **kwargs):
    """Record, then follow: the third call is native."""
    call(*args, **kwargs)
    return call(*args, **kwargs)


@pytest.fixture
def in_python(monkeypatch):
    """Runs a call with no native entry: warm(call, ...) through Python."""

    def run(call, *args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(entering, "is_possible", lambda: False)
            return warm(call, *args, **kwargs)

    return run


def assert_same(a, b, path="answer"):
    """The same nesting, types, dtypes, shapes and bits."""
    assert type(a) is type(b), (path, a, b)
    if isinstance(a, np.ndarray | np.generic):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), path
        assert a.tobytes() == b.tobytes(), (path, a, b)
        if isinstance(a, np.ndarray):
            assert a.flags.writeable, path
            assert a.flags.c_contiguous == b.flags.c_contiguous, path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            assert_same(a[key], b[key], f"{path}[{key!r}]")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    elif isinstance(a, tj.Tensor):
        assert_same(a.numpy(), b.numpy(), path)
    elif isinstance(a, float):
        assert np.float64(a).tobytes() == np.float64(b).tobytes(), path
    else:
        assert a == b, path


# ---------------------------------------------------------------- what goes in, what comes out


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def weighted(p):
    return np.sum(p["w"] * p["x"][0] + p["x"][1]) * p["scale"]


def choose(x, power, name, flag=None):
    return np.sum(x**power) * (2.0 if name == "twice" else 1.0) * (3.0 if flag else 1.0)


def pieces(x):
    return {"sum": np.sum(x), "parts": [x * 2.0, (x + 1.0, None)], "name": "pieces", "n": 3}


def many_rows(x):
    """Long enough to be interpreted."""
    y = x[0]
    for i in range(200):
        y = np.sin(y) * x[i % 10] + y / (2.0 + x[(i + 3) % 10] ** 2)
    return y


nest = {"w": x10, "x": [x10 + 1.0, 2.5], "scale": 0.5}
grid = np.arange(12.0).reshape(3, 4)

CALLS = {
    "array": (tj.value_and_grad, rosenbrock, (x10,)),
    "gradient": (tj.grad, rosenbrock, (x10,)),
    "value": (tj.jit, rosenbrock, (x10,)),
    "float": (tj.value_and_grad, lambda x: x * x * 3.0 + math.pi, (1.5,)),
    "float to bool": (tj.jit, lambda x: x > 1.0, (1.5,)),
    "float and array": (tj.value_and_grad, lambda x, y: np.sum(x * y), (1.5, x10)),
    "float32": (tj.value_and_grad, lambda x: np.sum(np.sin(x)), (x10.astype(np.float32),)),
    "np.float64": (tj.value_and_grad, lambda x: x * x, (np.float64(1.5),)),
    "np.float32": (tj.value_and_grad, lambda x: x * x, (np.float32(1.5),)),
    "0-d": (tj.value_and_grad, lambda x: x * x, (np.array(1.5),)),
    "empty": (tj.value_and_grad, lambda x: np.sum(x * x), (np.zeros((0, 3)),)),
    "integers beside": (tj.value_and_grad, lambda x, i: np.sum(x * i), (x10, np.arange(10))),
    "bools beside": (tj.value_and_grad, lambda x, m: np.sum(np.where(m, x, 0.0)), (x10, x10 > 0)),
    "two gradients": (
        lambda f: tj.value_and_grad(f, argnums=(0, 2)),
        lambda x, y, z: np.sum(x * y) * z,
        (x10, x10 + 1.0, 3.0),
    ),
    "no gradient": (lambda f: tj.grad(f, argnums=(0, 1)), lambda x, y: np.sum(x), (x10, grid)),
    "constant": (tj.value_and_grad, lambda x: 3.0, (x10,)),
    "interpreted": (tj.value_and_grad, many_rows, (x10,)),
    "interpreted value": (tj.jit, many_rows, (x10,)),
    "interpreted branch": (
        tj.value_and_grad,
        lambda x: many_rows(x) if x[3] < 5.0 else x[0],
        (x10,),
    ),
    "linear": (tj.value_and_grad, lambda x: np.sum(x), (grid,)),
    "extras": (
        lambda f: tj.value_and_grad(f, has_aux=True),
        lambda x: (np.sum(x * x), {"y": x + 1.0, "n": 3}),
        (x10,),
    ),
    "gradient, extras": (
        lambda f: tj.grad(f, has_aux=True),
        lambda x: (np.sum(x * x), [x + 1.0, "a"]),
        (x10,),
    ),
    "nested": (tj.value_and_grad, weighted, (nest,)),
    "statics": (tj.grad, choose, (x10, 3, "twice", True)),
    "tuple of lists": (tj.grad, lambda p: np.sum(p[0][0] * p[1][1]), (([x10, 1.0], (2.0, x10)),)),
    "nested results": (tj.jit, pieces, (x10,)),
    "the argument": (tj.jit, lambda x: x, (grid,)),
    "the argument twice": (tj.jit, lambda x: (x, x, x.reshape(12)), (grid,)),
    "one result twice": (tj.jit, lambda x: [x + 1.0] * 2, (x10,)),
    "transposed": (tj.jit, lambda x: (x + 1.0).T, (grid,)),
    "a slice": (tj.jit, lambda x: (x + 1.0)[1:, ::2], (grid,)),
    "matrix product": (
        tj.value_and_grad,
        lambda x, w: np.sum(np.tanh(x @ w)),
        (grid, grid.reshape(4, 3)),
    ),
    "sort": (tj.value_and_grad, lambda x: np.sum(np.sort(x)[:3]), (x10,)),
    "large result": (tj.value_and_grad, lambda x: np.sum(x * x), (np.ones(1 << 15),)),
    "large temporaries": (
        tj.value_and_grad,
        lambda x: np.sum(np.cumsum(np.sort(x)) * x / np.sum(x)),
        (np.linspace(0.5, 1.0, 3000),),
    ),
    "temporaries": (tj.grad, lambda x: np.sum((x - np.mean(x)) ** 2), (np.arange(2000.0),)),
    "many arguments": (tj.grad, lambda *x: sum(np.sum(y) for y in x) * x[0][0], (x10,) * 40),
}


@pytest.mark.parametrize("name", CALLS)
def test_native_is_what_python_answers(name, in_python):
    transform, function, args = CALLS[name]
    native = transform(function)
    warm(native, *args)
    expected = in_python(transform(function), *args)
    for _ in range(3):
        assert_same(entered(native, *args), expected)
    assert_same(native(*args), expected)


def test_keywords_are_read(in_python):
    call, reference = tj.grad(choose), tj.grad(choose)
    expected = in_python(reference, x10, power=2, name="twice", flag=False)
    warm(call, x10, power=2, name="twice", flag=False)
    assert_same(entered(call, x10, power=2, name="twice", flag=False), expected)
    assert entries_of(call).enter((x10,), {"name": "twice", "power": 2, "flag": False}) is None
    assert entries_of(call).enter((x10,), {"power": 2, "name": "twice", "flag": True}) is None


def test_keys_need_not_be_the_same_objects():
    call = tj.grad(weighted)
    warm(call, nest)
    other = {"".join(key): value for key, value in nest.items()}
    assert_same(entered(call, other), call(nest))


def test_products_enter_too(in_python):
    for product in (tj.jvp, tj.hvp):
        arguments = ((x10, 2.0), (x10 + 1.0, 1.0))

        def function(x, a):
            return np.sum(np.sin(x) * a * a)

        expected = in_python(lambda *args, f=function, p=product: p(f, *args), *arguments)
        function.__dict__.clear()
        for _ in range(3):
            assert_same(product(function, *arguments), expected)
        (transform,) = function.__dict__.values()
        assert transform.entries.enter(arguments, {}) is not None
        assert transform.entries.enter(((x10, 2), (x10, 1.0)), {}) is None


TENSORS = {
    "vector": (tj.value_and_grad, lambda x: (x * x).sum(), (tj.tensor(x10),)),
    "number": (tj.value_and_grad, lambda x: x * x * 3.0, (tj.tensor(2.0),)),
    "nested": (
        tj.grad, lambda p: (p["w"] * p["b"][0]).sum(),
        ({"w": tj.tensor(x10), "b": [tj.tensor(2.0)]},),
    ),
    "a view": (tj.grad, lambda x: (x * x).sum(), (tj.tensor(x10)[::2],)),
    "floats beside": (tj.jit, lambda x, k: x * k, (tj.tensor(x10), 2.0)),
    "arrays beside": (tj.jit, lambda x, a: x * a, (tj.tensor(x10), x10)),
    "branches": (tj.grad, lambda x: (x * x).sum() if x[0] < 0 else x.sum(), (tj.tensor(x10),)),
    "integers": (tj.jit, lambda x: (x + 1, x.sum()), (tj.arange(4),)),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_enter(name, in_python):
    transform, function, args = TENSORS[name]
    call = transform(function)
    expected = in_python(transform(function), *args)
    warm(call, *args)
    assert_same(entered(call, *args), expected)
    first, second = entered(call, *args), entered(call, *args)
    assert all(x is not y for x, y in zip(*map(tensors_in, (first, second)), strict=True))
    assert not any(x.requires_grad for x in tensors_in(first))


def tensors_in(answer):
    items = answer.values() if isinstance(answer, dict) else answer
    return [answer] if isinstance(answer, tj.Tensor) else [x for y in items for x in tensors_in(y)]


def test_tensors_of_other_kinds_get_what_a_first_call_gives():
    call = tj.value_and_grad(lambda x: (x * x).sum())
    x = tj.tensor(x10)
    warm(call, x)
    entered(call, x)
    leaf = x.clone().requires_grad_()
    others = (leaf, leaf * 1.0, x[1:], x.float(), tj.tensor(1.0), x10, [x], x.tolist())
    for other in others:
        assert entries_of(call).enter((other,), {}) is None
    value, gradient = call(leaf)
    value.backward()
    assert_same(leaf.grad, gradient.detach())
    scaled = tj.jit(lambda x: x * 2.5)
    warm(scaled, tj.arange(3))
    assert scaled(tj.arange(3)).dtype is tj.float32
    tj.set_default_dtype(tj.float64)
    try:
        for _ in range(3):
            assert scaled(tj.arange(3)).dtype is tj.float64
    finally:
        tj.set_default_dtype(tj.float32)
    for _ in range(3):
        assert scaled(tj.arange(3)).dtype is tj.float32


def test_a_tensor_whose_memory_is_another_is_read_afresh():
    call, x = tj.grad(lambda x: (x * x).sum()), tj.tensor(x10)
    warm(call, x)
    for data in (x10 + 1.0, x10 * 2.0):
        x.data = tj.tensor(data)
        assert np.array_equal(entered(call, x).numpy(), 2.0 * data)
    x[0] = 7.0
    assert entered(call, x)[0].item() == 14.0


@dataclasses.dataclass
class Pair:
    """Parameters in a class of the user's."""

    a: object
    b: object


class Named(NamedTuple):
    """The same as a tuple."""

    a: object
    b: object


class Ordered(dict):
    """And as a dict."""


class Row(list):
    """And as a list."""


@pytest.mark.parametrize(
    "make",
    [Pair, Named, lambda a, b: Ordered(a=a, b=b), lambda a, b: Row([a, b])],
    ids=["dataclass", "named tuple", "dict", "list"],
)
def test_containers_of_the_users_classes_enter(make, in_python):
    def function(p, k=2):
        a, b = (p.a, p.b) if hasattr(p, "a") else (p if isinstance(p, list) else p.values())
        return np.sum(a * a) * b * k

    call, example = tj.value_and_grad(function), make(x10, 2.0)
    expected = in_python(tj.value_and_grad(function), example)
    warm(call, example)
    value, gradient = entered(call, example)
    assert_same(value, expected[0])
    assert type(gradient) is type(example)
    assert_same(*(vars(x) if isinstance(x, Pair) else list(x) for x in (gradient, expected[1])))
    enter = entries_of(call).enter
    for other in (Pair(x10, 2), Named(x10, None), (x10, 2.0), Ordered(b=2.0, a=x10), Row([x10])):
        assert enter((other,), {}) is None, other
        with contextlib.suppress(Exception):
            call(other)
    assert_same(entered(call, example)[0], expected[0])


def test_answers_that_look_at_their_values_go_through_python():
    @dataclasses.dataclass
    class Checked:
        value: float

        def __post_init__(self):
            if type(self.value).__name__ == "Slot":
                raise TypeError("a value of an unknown type")

    call = tj.jit(lambda x: Checked(np.sum(x)))
    for _ in range(4):
        assert call(x10).value == np.sum(x10)
    assert len(entries_of(call)) == 0


# ---------------------------------------------------------------- what is not for a record


class Subclass(np.ndarray):
    """An array that may mean something else."""


def unaligned():
    array = np.frombuffer(bytearray(81), np.uint8)[1:].view(F64)
    array[:] = x10
    return array


WRONG = {
    "float": 1.5,
    "int": 3,
    "np.float64": np.float64(2.0),
    "None": None,
    "string": "x",
    "list": [1.0] * 10,
    "shorter": x10[:9],
    "two axes": x10.reshape(2, 5),
    "0-d": np.array(1.0),
    "float32": x10.astype(np.float32),
    "integers": np.arange(10),
    "complex": x10 + 1j,
    "objects": x10.astype(object),
    "big-endian": x10.astype(">f8"),
    "subclass": x10.view(Subclass),
    "masked": np.ma.masked_array(x10, x10 > 0),
    "tensor": tj.tensor(x10),
    "dict": {"x": x10},
    "function": np.sin,
}


def outcome(call, *args, **kwargs):
    """What a call gives, or how it fails."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_get_what_a_first_call_gives(name):
    call = tj.value_and_grad(lambda x: np.sum(x * x))
    warm(call, x10)
    entered(call, x10)
    assert entries_of(call).enter((WRONG[name],), {}) is None
    fresh = tj.value_and_grad(lambda x: np.sum(x * x))
    expected = outcome(fresh, WRONG[name])
    for _ in range(3):
        assert_same(outcome(call, WRONG[name]), expected)
    entered(call, x10)


@pytest.mark.parametrize(
    "other",
    [np.repeat(x10, 2)[::2], x10[::-1].copy()[::-1], unaligned(), np.stack([x10, x10], 1)[:, 1]],
)
def test_arrays_of_other_layouts_enter(other):
    assert not (other.flags.c_contiguous and other.flags.aligned)
    for example in (x10, other):  # whichever came first
        call = tj.value_and_grad(rosenbrock)
        expected = warm(call, example)
        for _ in range(2):
            assert_same(entered(call, other), expected)
            assert_same(entered(call, x10), expected)


def test_a_matrix_by_columns_enters():
    call = tj.value_and_grad(lambda x: np.sum(x[0] * x[1] ** 2))
    expected = warm(call, grid)
    assert_same(entered(call, np.asfortranarray(grid)), expected)
    assert_same(entered(call, grid.T.copy().T), expected)


def test_a_function_that_looks_at_strides_is_asked_again():
    def function(x):
        return np.sum(x * x) * (2.0 if x.is_contiguous() else 1.0)

    call, square = tj.jit(function), np.arange(9.0).reshape(3, 3)
    for x in (square, square.T, square, square.T):
        assert call(x) == np.sum(x * x) * (2.0 if x is square else 1.0)


@pytest.mark.parametrize(
    "args",
    [
        (),
        (x10, x10),
        (dict(reversed(nest.items())),),
        ({**nest, "more": 1.0},),
        ({k: v for k, v in nest.items() if k != "w"},),
        (Ordered(nest),),
        ({**nest, "x": tuple(nest["x"])},),
        ({**nest, "x": [*nest["x"], 1.0]},),
        ({**nest, "x": nest["x"][::-1]},),
        ({**nest, "scale": 2},),
        ({**nest, "scale": np.float64(2.0)},),
        ({1: x10, "x": nest["x"], "scale": 0.5},),
        (list(nest),),
    ],
    ids=lambda args: str(len(args)),
)
def test_other_nesting_gets_what_a_first_call_gives(args):
    call = tj.grad(weighted)
    warm(call, nest)
    assert entries_of(call).enter(args, {}) is None
    expected = outcome(tj.grad(weighted), *args)
    for _ in range(3):
        assert_same(outcome(call, *args), expected)
    entered(call, nest)


def random_tree(rng, depth=0):
    """Nested arguments of arrays and floats, small enough to differ often in one place only."""
    kind = rng.integers(0, 6 if depth < 3 else 3)
    if kind == 0:
        return float(rng.normal())
    if kind in (1, 2):
        return rng.normal(size=rng.integers(1, 3)).astype(rng.choice(["f4", "f8"]))
    items = [random_tree(rng, depth + 1) for _ in range(rng.integers(1, 4))]
    if kind == 3:
        return tuple(items)
    return items if kind == 4 else dict(zip("abc", items, strict=False))


def total(tree):
    if isinstance(tree, dict):
        return total(list(tree.values()))
    if isinstance(tree, list | tuple):
        result = 1.0
        for i, item in enumerate(tree):
            result = result + total(item) * (i + 1.0)
        return result
    return np.sum(tree * tree)


def test_random_nesting_many_signatures_one_function(in_python):
    rng = np.random.default_rng(5)
    call = tj.value_and_grad(total)
    trees = [random_tree(rng) for _ in range(40)]
    expected = [in_python(tj.value_and_grad(total), tree) for tree in trees]
    for _ in range(3):
        for i in rng.permutation(len(trees)):
            assert_same(call(trees[i]), expected[i])
    for tree, answer in zip(trees, expected, strict=True):
        assert_same(entered(call, tree), answer)


def test_more_signatures_than_records():
    call = tj.grad(lambda x: np.sum(x * x))
    sizes = range(1, entry.MAX_RECORDS + 10)
    for n in sizes:
        warm(call, np.ones(n))
    assert len(entries_of(call)) == entry.MAX_RECORDS
    for n in sizes:
        assert_same(call(np.ones(n)), np.full(n, 2.0))
    assert len(entries_of(call)) == entry.MAX_RECORDS


# ---------------------------------------------------------------- guards

SCALE = 2.0
TABLE = {"scale": 2.0}


def recordings(call):
    return sum(t.paths.recorded for t in call.transforms.values())


def test_globals_cells_and_contents_are_compared(monkeypatch):
    offset = 1.0

    def function(x, plus=(0.5, 1.5)):
        return np.sum(x * SCALE + offset) * TABLE["scale"] * plus[0]

    call = tj.value_and_grad(function)
    warm(call, x10)
    entered(call, x10)
    before = float(call(x10)[0])
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert entries_of(call).enter((x10,), {}) is None
    assert float(call(x10)[0]) == float(function(x10)) != before
    monkeypatch.setitem(TABLE, "scale", 5.0)
    assert float(call(x10)[0]) == float(function(x10))
    offset = 4.0
    assert float(call(x10)[0]) == float(function(x10))
    function.__defaults__ = ((0.25, 1.5),)
    assert float(call(x10)[0]) == float(function(x10))
    warm(call, x10)
    entered(call, x10)
    function.__code__ = (lambda x, plus=(): np.sum(x) * offset).__code__
    assert float(call(x10)[0]) == float(function(x10))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 5), (7, 1), (300,), (5000,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.bool_])
def test_captured_arrays_are_compared(shape, dtype):
    data = np.ones(shape, dtype)
    call = tj.jit(lambda x: x * float(np.sum(np.asarray(data).tolist())))
    warm(call, 2.0)
    assert entered(call, 2.0) == 2.0 * data.size
    for place in {0, data.size // 2, data.size - 1} if data.size else ():
        data.reshape(-1)[place] = 0
        assert entries_of(call).enter((2.0,), {}) is None
        assert call(2.0) == 2.0 * (data.size - 1)
        data.reshape(-1)[place] = 1
        assert call(2.0) == 2.0 * data.size


@pytest.mark.filterwarnings("ignore:Setting the (shape|strides|dtype):DeprecationWarning")
def test_a_captured_array_whose_form_changes_is_noticed():
    for name, value in (("shape", (3, 2)), ("strides", (8, 16)), ("dtype", np.int64)):
        data = np.arange(6.0).reshape(2, 3)
        call = tj.jit(lambda x, data=data: x * data.shape[0] + data.strides[0])
        warm(call, 2.0)
        entered(call, 2.0)
        setattr(data, name, value)
        assert entries_of(call).enter((2.0,), {}) is None, name
        assert call(2.0) == 2.0 * data.shape[0] + data.strides[0]


def test_a_builtin_that_is_hidden_later_is_noticed(monkeypatch):
    call = tj.grad(lambda x: np.sum(x) * len("abc"))
    warm(call, x10)
    assert entered(call, x10)[0] == 3.0
    monkeypatch.setitem(globals(), "len", lambda x: 7)
    assert call(x10)[0] == 7.0


def test_a_guard_that_raises_what_no_test_catches_is_heard():
    class Interrupt(BaseException):
        """As a KeyboardInterrupt would."""

    w = Writer()
    w.read_items(0, tuple, 0)

    def hold():
        raise Interrupt

    w.holds(hold)
    w.done(w.constant(1))
    entries = Entries()
    entries.add("a", w.record())
    with pytest.raises(Interrupt):
        entries.enter((), {})


def test_captured_tensors_are_read_afresh():
    weight = tj.tensor([1.0, 2.0, 3.0])
    call = tj.grad(lambda x: (weight * x).sum())
    for _ in range(3):
        assert call(np.ones(3)).tolist() == [1.0, 2.0, 3.0]
    weight.data = tj.tensor([4.0, 5.0, 6.0])
    for _ in range(3):
        assert call(np.ones(3)).tolist() == [4.0, 5.0, 6.0]
    with tj.no_grad():
        weight.mul_(2.0)
    for _ in range(3):
        assert call(np.ones(3)).tolist() == [8.0, 10.0, 12.0]


def test_branches_are_taken_natively_last_taken_first():
    def function(x):
        return x * x if x > 0 else -3.0 * x

    call = tj.value_and_grad(function)
    for x in (1.0, 1.0, -1.0, -1.0):
        call(x)
    assert recordings(call) == 2
    for x in (2.0, -2.0, 2.0, 2.0, -1.0, math.inf, -math.inf):
        assert entered(call, x) == (function(x), 2.0 * x if x > 0 else -3.0)
    assert recordings(call) == 2


def test_loops_that_end_when_values_say_so(in_python):
    def function(x):
        n = 0
        while x < 100.0:
            x = x * (2.0 + n)
            n += 1
        return x

    call = tj.value_and_grad(function)
    values = [1.0, 20.0, 50.0, 200.0, 1e-3]
    expected = [in_python(tj.value_and_grad(function), x) for x in values]
    for _ in range(4):
        for x, answer in zip(values, expected, strict=True):
            assert_same(call(x), answer)
    assert recordings(call) == len(values)


def test_values_read_from_a_program_with_library_steps():
    def function(x):
        y = np.sort(x)
        return np.sum(y[:2]) if y[0] > 0 else np.sum(y[-3:])

    call = tj.grad(function)
    for x in (np.arange(1.0, 5.0), np.arange(-1.0, 3.0)):
        warm(call, x)
    for _ in range(3):
        assert_same(call(np.arange(1.0, 5.0)), np.array([1.0, 1.0, 0.0, 0.0]))
        assert_same(call(np.arange(-1.0, 3.0)), np.array([0.0, 1.0, 1.0, 1.0]))
    assert recordings(call) == 2


def test_a_guard_may_call_the_function_itself():
    class Record:
        """Guarded through Python, and its attribute calls the function."""

    inside = []
    call = tj.jit(lambda x: x + 1.0)
    warm(call, 1.0)
    entries = entries_of(call)
    w = Writer()
    w.read_items(0, tuple, 1)

    def hold():
        if not inside:
            inside.append(None)
            inside.append(entries.enter((1.0,), {}))
        return False

    w.holds(hold)
    w.done(w.constant(Record()))
    entries.add("nested", w.record())
    # the calls inside have put another record where this one looks next
    assert entries.enter((1.0,), {}) in (None, 2.0)
    assert call(1.0) == 2.0
    assert inside == [None, 2.0]


# ---------------------------------------------------------------- memory


def test_answers_share_memory_with_nothing():
    call = tj.value_and_grad(lambda x, y: (np.sum(x), {"y": y, "z": y + 1.0}), has_aux=True)
    y = np.ones(4)
    warm(call, x10, y)
    answers = [entered(call, x10, y) for _ in range(3)]
    arrays = [x10, y]
    for (_, extras), gradient in answers:
        arrays += [gradient, *extras.values()]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i]), (
        "aliases"
    )
    for array in arrays[2:]:
        array[:] = np.nan
    assert_same(entered(call, x10, y)[1], np.ones(10))


def counts(things):
    return [sys.getrefcount(thing) for thing in things]


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_references_balance():
    call = tj.value_and_grad(weighted)
    branchy = tj.grad(lambda x: x * x if x > 0 else x)
    number = 1.25
    warm(call, nest)
    for x in (1.0, 1.0, -1.0, -1.0):
        branchy(x)
    objects = [nest, *nest, *nest.values(), *nest["x"], F64, None, True, number, np.float64]
    objects += [entries_of(call), *entries_of(call)._records.values()]
    enter = entries_of(call).enter
    wrong = ({**nest, "scale": 1},)

    def go():
        for _ in range(1000):
            call(nest)
            entered(branchy, number)
            entered(branchy, -number)
            assert enter(wrong, {}) is None
            assert enter(nest, nest) is None

    go()
    before = counts(objects)
    go()
    after = counts(objects)
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) < 10, (before, after)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "name", ["extras", "nested", "sort", "interpreted", "large result", "large temporaries"]
)
def test_long_loops_keep_their_size(name):
    transform, function, args = CALLS[name]
    call = transform(function)
    warm(call, *args)
    repeats = 200 if "large" in name else 3000
    for _ in range(repeats):
        entered(call, *args)
    gc.collect()
    before = resident_bytes()
    for _ in range(5 * repeats):
        entered(call, *args)
    gc.collect()
    assert resident_bytes() - before < 1 << 20


def test_a_builtin_that_outlives_its_entries_keeps_the_records():
    def make():
        call = tj.grad(lambda x: np.sum(x * x))
        warm(call, x10)
        return entries_of(call).enter

    enter = make()
    gc.collect()
    junk = [np.full(30, 7) for _ in range(100)]
    assert_same(enter((x10,), {}), x10 * 2.0)
    del junk


def test_functions_and_records_are_collected():
    def function(x):
        return np.sum(x * x)

    def gone():
        gc.collect()
        return alive() is None

    call = tj.grad(function)
    warm(call, x10)
    alive = weakref.ref(next(iter(entries_of(call)._records.values())))
    assert not gone()
    del call, function
    assert gone()


@pytest.mark.parametrize(
    ("where", "error"), [("array", (ValueError, MemoryError)), ("take", MemoryError)]
)
def test_no_memory_is_an_error_and_leaves_nothing(where, error, monkeypatch):
    def fail(*args):
        raise MemoryError("none left")

    monkeypatch.setattr(entry, "take", fail)
    w = Writer()
    (x,) = w.read_items(0, tuple, 1)
    w.read_array(x, F64, (10,))
    w.arena(1 << 16)
    w.new_array(F64, (3,))
    target, _ = w.new_array(F64, (1 << 61,) if where == "array" else (1 << 14,))
    w.done(target)
    entries = Entries()
    record = w.record()
    entries.add("a", record)
    before = sys.getrefcount(x10)
    for _ in range(50):
        with pytest.raises(error):
            entries.enter((x10,), {})
    assert sys.getrefcount(x10) == before
    assert record[entry_code.ARENA_IN_USE // 8] == 0


def test_index_errors_of_a_library_step_are_left_to_python():
    def function(x, i):
        return np.sum(np.take(x, i.astype(int)))

    call = tj.value_and_grad(function)
    good, bad = np.array([0.0, 2.0]), np.array([0.0, 20.0])
    warm(call, x10, good)
    expected = outcome(tj.value_and_grad(function), x10, bad)
    assert_same(outcome(call, x10, bad), expected)
    assert call(x10, good)[0] == x10[0] + x10[2]


# ---------------------------------------------------------------- threads


@pytest.mark.parametrize("size", [10, 3000, 1 << 19])
def test_threads_call_at_the_same_time(size, in_python):
    """The largest gives the GIL away, so that records, arenas and lists are shared in earnest."""

    def function(x, p):
        y = x - np.mean(x)
        return np.sum(np.sin(y) * p["a"]) if p["s"] > 0 else np.sum(y * y) * p["s"]

    call = tj.value_and_grad(function)
    inputs = [
        (np.linspace(0.0, 1.0 + i, size), {"a": np.full(size, 0.5 + i), "s": 1.0 - 2.0 * (i % 2)})
        for i in range(4)
    ]
    expected = [in_python(tj.value_and_grad(function), *args) for args in inputs]
    for args in inputs:
        warm(call, *args)
    problems = []

    def go(i):
        try:
            for k in range(300 if size < 10_000 else 6):
                j = (i + k) % len(inputs)
                assert_same(call(*inputs[j]), expected[j])
                if k % 10 == i:
                    warm(call, np.ones(i + k + 1), {"a": np.ones(i + k + 1), "s": 1.0})
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=go, args=(i,)) for i in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not problems, problems


def test_a_record_that_is_dropped_while_it_runs_lives_on():
    call = tj.jit(lambda x: np.sum(np.sin(x)) + np.sum(np.cos(x)))
    x = np.linspace(0.0, 1.0, 1 << 20)
    expected = warm(call, x)
    entries = entries_of(call)
    (path,) = entries._records
    answers = []
    thread = threading.Thread(target=lambda: answers.append(entries.enter((x,), {})))
    thread.start()
    w = Writer()
    w.read_items(0, tuple, 5)
    w.done(w.constant(1))
    for _ in range(50):
        entries.add(path, w.record())  # in its place, so that the other goes
        gc.collect(0)
    thread.join()
    assert answers[0] is None or answers[0] == expected


# ---------------------------------------------------------------- set-up


def test_entries_are_possible_here():
    assert entry.is_possible()


@pytest.mark.parametrize("what", ["TUPLE_ITEMS", "LIST_ITEMS", "FLOAT_VALUE", "ARRAY_NDIM"])
def test_another_layout_is_refused(what, monkeypatch):
    monkeypatch.setattr(entry_code, what, getattr(entry_code, what) + 8)
    with pytest.raises(KernelError, match="unknown object layout"):
        entry._check_layouts()


def test_code_for_another_layout_has_another_name_on_disk(monkeypatch):
    before = entry._source()
    monkeypatch.setattr(entry_code, "TUPLE_ITEMS", 64)
    assert entry._source() != before


def test_a_free_threaded_interpreter_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(KernelError, match="no GIL"):
        entry._check_layouts()


def test_too_large_a_frame_is_refused():
    w = Writer()
    w.read_items(0, tuple, entry.MAX_FRAME // 8)
    with pytest.raises(NotNative):
        w.record()


def test_without_entries_every_call_goes_through_python(monkeypatch):
    monkeypatch.setattr(entering, "is_possible", lambda: False)
    call = tj.value_and_grad(rosenbrock)
    answers = [call(x10) for _ in range(3)]
    assert_same(answers[0], answers[2])
    assert len(entries_of(call)) == 0
