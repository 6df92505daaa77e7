"""Nothing that is remembered grows for ever: tables have limits, what nobody holds is let go.

The answers stay right while tables are emptied under running code.  RSS and memory maps over
thousands of programs are measured by `python -m benchmarks memory`.
"""

from __future__ import annotations

import functools
import gc
import threading
import weakref

import numpy as np
import pytest

import tapejit as tj
from tapejit import registry, shapes
from tapejit.bounded import Bounded
from tapejit.registry import KINDS, OPS, kind
from tapejit.shapes import aval
from tapejit.tape import Tape
from tapejit.tensor import sweeps
from tapejit.transforms import paths

pytestmark = pytest.mark.usefixtures("thawed")

# ---------------------------------------------------------------- the table


def test_table_never_holds_more_than_its_limit():
    table = Bounded(10)
    for number in range(100):
        table.put(number, -number)
        assert len(table) <= 10
        assert table[number] == -number
    assert list(table) == list(range(min(table), 100))


def test_what_is_put_again_stays():
    table = Bounded(10)
    for number in range(100):
        table.put("in use", number)
        table.put(number, None)
        assert table["in use"] == number
        assert len(table) <= 10


def test_heavy_entries_count_as_many():
    table = Bounded(100)
    for number in range(50):
        table.put(number, None, weight=20)
        assert len(table) <= 6 and number in table
    for name in ("heavier than the limit", "next", "last"):
        table.put(name, None, weight=1000)
        assert name in table
    assert list(table) == ["next", "last"][-len(table) :]


def test_a_popped_key_is_no_error_later():
    table = Bounded(4)
    for number in range(20):
        table.put(number, None)
        table.pop(number, None)
    assert not table


# ---------------------------------------------------------------- kinds


@pytest.fixture
def small(monkeypatch):
    """Sweeps are due after every 50 new Kinds."""
    n_sweeps = []

    def sweep(real=registry.sweep):
        real()
        n_sweeps.append(len(KINDS))
        registry._sweep_at = len(KINDS) + 50

    monkeypatch.setattr(registry, "sweep", sweep)
    monkeypatch.setattr(registry, "_sweep_at", len(KINDS) + 50)
    return n_sweeps


def test_slices_in_a_loop_leave_no_kinds(small, monkeypatch):
    monkeypatch.setattr(sweeps, "_sweeps", Bounded(50))
    x = tj.tensor(np.arange(500.0), requires_grad=True)
    sizes = []
    for i in range(450):
        (x[i : i + 7] ** 2).sum().backward()
        np.testing.assert_array_equal(x.grad[i : i + 7], 2.0 * np.arange(i, i + 7))
        x.grad = None
        sizes.append(len(KINDS))
    assert len(small) >= 5
    assert max(sizes[200:]) <= max(sizes[:200]) + 100


def test_a_graph_survives_sweeps(small):
    x = tj.tensor(np.linspace(0.0, 1.0, 331), requires_grad=True)
    y = (x[5:300].sin() * x[20:315]).sum()
    for _ in range(3):
        registry.sweep()
    y.backward()
    expected = np.zeros(331)
    s, t = np.linspace(0.0, 1.0, 331)[5:300], np.linspace(0.0, 1.0, 331)[20:315]
    expected[5:300] += np.cos(s) * t
    expected[20:315] += np.sin(s)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_a_kind_lives_as_long_as_it_is_held():
    by_name = kind(OPS["input"], (), aval((1, 977), tj.float64))
    on_tape, tape = aval((2, 977), tj.float64), Tape()
    number = kind(OPS["input"], (), on_tape).number
    tape.append(KINDS[number], ())
    idle = kind(OPS["input"], (), aval((3, 977), tj.float64)).number
    registry.sweep()
    assert KINDS[by_name.number] is by_name
    assert tape.kind(0).aval is on_tape
    assert kind(OPS["input"], (), on_tape).number == number
    assert idle not in KINDS
    assert kind(OPS["input"], (), aval((3, 977), tj.float64)).number > idle  # never used again
    del tape
    gc.collect()
    registry.sweep()
    assert number not in KINDS


def test_frozen_tapes_keep_their_kinds():
    tape = Tape()
    tape.append(kind(OPS["input"], (), aval((4, 977), tj.float64)), ())
    gc.freeze()
    try:
        registry.sweep()
        assert tape.kind(0).aval.shape == (4, 977)
    finally:
        gc.unfreeze()


def test_avals_nobody_holds_are_gone():
    held = aval((5, 977), tj.float64)
    number = aval((6, 977), tj.float64).number
    registry.sweep()
    assert ((5, 977), tj.float64, "cpu") in shapes._AVALS
    assert ((6, 977), tj.float64, "cpu") not in shapes._AVALS
    assert aval((5, 977), tj.float64) is held
    assert aval((6, 977), tj.float64).number > number


def test_threads_work_on_while_others_sweep(small):
    faults, is_over = [], threading.Event()

    def work(first):
        try:
            for i in range(first, first + 60):
                data = np.linspace(0.1, 1.0, 100 + i)
                x = tj.tensor(data, requires_grad=True)
                (x[i % 7 : 90] * x[i % 7 : 90].exp()).sum().backward()
                expected = np.zeros_like(data)
                expected[i % 7 : 90] = ((1.0 + data) * np.exp(data))[i % 7 : 90]
                np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)
        except Exception as error:
            faults.append(error)

    def sweep():
        while not is_over.wait(0.001):
            registry.sweep()

    sweeper = threading.Thread(target=sweep)
    workers = [threading.Thread(target=work, args=(1000 * n,)) for n in range(3)]
    for thread in (sweeper, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    is_over.set()
    sweeper.join()
    assert not faults, faults[0]
    assert small


# ---------------------------------------------------------------- paths and sweeps


def test_signatures_of_a_function_are_bounded(monkeypatch):
    monkeypatch.setattr(paths, "MAX_SIGNATURES", 8)

    @functools.partial(tj.value_and_grad)
    def power(x, options):
        return np.sum(x ** options["n"]) * len(options["name"])

    x = np.array([1.0, 2.0])
    for n in [*range(2, 40), *range(2, 40)]:
        value, slope = power(x, {"n": float(n), "name": "n" * n})
        assert value == n * (1.0 + 2.0**n)
        np.testing.assert_allclose(slope, n * n * x ** (n - 1.0))
    (transform,) = power.transforms.values()
    assert 4 <= len(transform.paths.by_signature) <= 8


def test_shapes_of_a_function_are_bounded_and_quick(monkeypatch):
    monkeypatch.setattr(paths, "MAX_SIGNATURES", 8)
    square = tj.grad(lambda x: np.sum(x * x))
    for n in [*range(1, 30), *range(1, 30)]:
        for _ in range(2):
            np.testing.assert_array_equal(square(np.full(n, 1.5)), np.full(n, 3.0))


def test_a_structure_that_was_forgotten_is_derived_again(monkeypatch):
    monkeypatch.setattr(sweeps, "_sweeps", Bounded(4))
    for _ in range(2):
        for n in range(1, 12):
            x = tj.tensor(1.1, requires_grad=True)
            y = x
            for _ in range(n):
                y = y * x
            y.backward()
            assert x.grad.item() == pytest.approx((n + 1) * 1.1**n, rel=1e-6)
            assert len(sweeps._sweeps) <= 4


def test_a_function_that_dies_takes_its_paths_along():
    def make():
        def f(x):
            return np.sum(np.sin(x) * x)

        value_and_grad, compiled, hessian = tj.value_and_grad(f), tj.jit(f), tj.hessian(f)
        for _ in range(2):
            value_and_grad(np.ones(3))
            compiled(np.ones(3))
            hessian(np.ones(3))
        (transform,) = value_and_grad.transforms.values()
        ((path,),) = transform.paths.by_signature.values()
        return weakref.ref(f), weakref.ref(transform.paths), weakref.ref(path.trace.recording)

    refs = make()
    gc.collect()
    assert [ref() for ref in refs] == [None, None, None]


def test_arguments_are_not_kept():
    arrays = []

    @tj.value_and_grad
    def f(x):
        y = x * 2.0
        return np.sum(np.sin(y[1:]) * np.cumsum(y)[:-1])

    for _ in range(3):
        x = np.linspace(0.0, 1.0, 500)
        for _ in range(2):
            f(x)
        arrays.append(weakref.ref(x))
    del x
    gc.collect()
    assert [array() for array in arrays] == [None, None, None]


def test_paths_with_large_temporaries_are_few(monkeypatch):
    monkeypatch.setattr(paths, "MAX_SIGNATURES", 256)
    f = tj.value_and_grad(lambda x: np.sum(np.cumsum(np.tanh(np.cumsum(np.sin(x)))) * np.cos(x)))
    for n in range(200_000, 200_020):
        for _ in range(2):
            f(np.ones(n))
    gc.collect()
    (transform,) = f.transforms.values()
    alive = {thing for thing in gc.get_objects() if type(thing) is paths.Path}
    kept = {path for found in transform.paths.by_signature.values() for path in found}
    assert 2 <= len(kept) <= 6
    assert all(path in kept for path in alive if path.program.tape.kind(0).aval.size >= 200_000)
