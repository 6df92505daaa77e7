"""Tier 1: the same bits, behind the program's back, from disk next time; what is given back."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections import OrderedDict

import numpy as np
import pytest
from kernel_case import NUMPY, launched, make_case
from test_golden_kernels import LOOPS
from test_loop_ir import SPECIAL, one, random_kernel
from test_pool import WORK, needs_fork, run_script

import tapejit as tj
from tapejit import config
from tapejit.expressions import MATH
from tapejit.runtime import kernels, native, tiers
from tapejit.runtime.cells import LEFT, NEVER

pytestmark = pytest.mark.usefixtures("ir_lowering")

SEEDS = range(int(os.environ.get("TAPEJIT_TEST_TIERS", "25")))


def functions_of(cell):
    """The functions of a cell, as kernel_case calls them."""
    addresses = zip(("k_start", "k", "k_finish"), cell.memory[:LEFT].tolist(), strict=True)
    return {name: address for name, address in addresses if address}


def check_same_bits(kernel, *cases):
    """Both tiers on cases of one kernel.  A NaN is a NaN: IEEE leaves its sign and payload open."""
    (cell,) = kernels.fetch([kernel])
    with np.errstate(all="ignore"):
        before = [launched(case, functions_of(cell), "k", ()) for case in cases]
        assert tiers.promote(cell) and cell.tier == 1
        after = [launched(case, functions_of(cell), "k", ()) for case in cases]
    for old, new in zip(before, after, strict=True):
        for x, y in zip(old, new, strict=True):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)  # NaN equals NaN here
            if x.dtype.kind == "f":
                np.testing.assert_array_equal(np.signbit(x)[x == x], np.signbit(y)[y == y])


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("name", LOOPS)
def test_golden_kernels_have_the_same_bits(name):
    kernel = LOOPS[name]
    shapes = [(n,) * 1 if kernel.rank == 1 else (5, n) for n in (0, 1, 9, 64, 4103)]
    check_same_bits(kernel, *(make_case(kernel, shape) for shape in shapes))


@pytest.mark.parametrize("seed", SEEDS)
def test_random_kernels_have_the_same_bits(seed):
    rng = np.random.default_rng([11, seed])
    rank = int(rng.integers(1, 4))
    kernel = random_kernel(rng, rank, int(rng.integers(3, 40)))
    shapes = [tuple(int(n) for n in rng.integers(1, 20, rank)) for _ in range(2)]
    check_same_bits(kernel, *(make_case(kernel, shape, seed) for shape in shapes))


def special_numbers(dtype, n):
    """Bases of n operands: every pair of special numbers, and many of all sizes."""
    with np.errstate(all="ignore"):
        special = np.concatenate([SPECIAL, [1e5, -1e5, 1e-310, 700.0, -745.0]]).astype(NUMPY[dtype])
        rng = np.random.default_rng(5)
        sizes = (rng.normal(size=2000) * 10.0 ** rng.uniform(-12, 12, 2000)).astype(NUMPY[dtype])
    if n == 1:
        return [np.concatenate([special, sizes])]
    pairs = np.array(np.meshgrid(special, special)).reshape(2, -1)
    return [np.concatenate([pairs[k], np.roll(sizes, k)]) for k in range(n)]


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("fn", MATH)
def test_vector_math_has_the_same_bits_inside_a_kernel(fn, dtype):
    kernel = one(fn, dtype, MATH[fn])
    bases = special_numbers(dtype, MATH[fn])
    case = make_case(kernel, (len(bases[0]),), fill=bases)
    text, _, is_whole = tiers.emit(kernel)
    assert is_whole and f"declare <8 x double> @tj_{fn}_" not in text
    check_same_bits(kernel, case)


# ---------------------------------------------------------------- when


@pytest.fixture
def table(monkeypatch):
    """No kernel from before, in memory or on disk."""
    monkeypatch.setattr(kernels, "_CELLS", OrderedDict())
    monkeypatch.setattr(native, "shared_store", lambda: Nothing())
    return kernels._CELLS


class Nothing:
    """A store that keeps nothing."""

    def get(self, key):
        return None

    def put(self, key, payload):
        pass

    put_later = put


def make_call():
    return tj.value_and_grad(lambda x: (tj.sin(x * 1.1).exp() / (x * x + 3.0)).sum())


def largest(table):
    return max(table.values(), key=lambda cell: len(cell.kernel.nodes))


def test_a_kernel_rises_when_it_has_run_long_enough(table):
    x = np.linspace(0.0, 3.0, 30_000)
    with config.set(tier="auto"):
        call = make_call()
        for _ in range(3):
            call(x)
        cell = largest(table)
        want = call(x)
        if not cell.has_looked:
            assert cell.memory[LEFT] < tiers.LOOK_NS, "runs are counted"
            cell.memory[LEFT] = 0
            call(x)
        tiers.wait()
        assert cell.has_looked and cell.tier == 0, "nothing was on disk"
        assert 0 < cell.memory[LEFT] < NEVER // 2
        cell.memory[LEFT] = 0
        call(x)
        tiers.wait()
    assert cell.tier == 1 and cell.memory[LEFT] > NEVER // 2
    got = call(x)
    assert got[0] == want[0] and (got[1] == want[1]).all()


@pytest.mark.parametrize(("tier", "expected"), [("0", 0), ("1", 1)])
def test_the_switch(table, tier, expected):
    x = np.linspace(0.0, 3.0, 3_000)
    with config.set(tier=tier):
        call = make_call()
        for _ in range(3):
            call(x)
    assert {cell.tier for cell in table.values()} == {expected}
    assert {cell.memory[LEFT] > NEVER // 2 for cell in table.values()} == {True}


def test_large_bodies_stay_as_they_are(table):
    def long(x):
        for k in range(700):
            x = x * 1.5 + x if k % 2 else x - 0.25
        return x.sum()

    call = tj.value_and_grad(long)
    for _ in range(3):
        call(np.ones(5000))
    sizes = {len(key.kernel.nodes): cell.kernel for key, cell in table.items()}
    assert max(sizes) > tiers.LARGEST
    assert all((kernel is None) == (size > tiers.LARGEST) for size, kernel in sizes.items())


def test_what_llvm_refuses_stays_at_tier_0(table, monkeypatch):
    x = np.linspace(0.0, 3.0, 3_000)
    call = make_call()
    for _ in range(3):
        call(x)
    cell = largest(table)
    _, text, is_whole = tiers.emit(cell.kernel)
    monkeypatch.setattr(tiers, "emit", lambda kernel: ("no IR", text, is_whole))
    cell.has_looked, cell.memory[LEFT] = True, -1
    want = call(x)
    tiers.wait()
    assert cell.tier == 0
    assert call(x)[0] == want[0]


def test_another_process_finds_tier_1_on_disk(tmp_path):
    script = """
        import sys, numpy as np, tapejit as tj
        from tapejit.runtime import kernels, native, tiers
        from tapejit.runtime.cells import LEFT
        call = tj.value_and_grad(lambda x: (tj.sin(x) * x).sum())
        x = np.ones(50_000)
        for _ in range(3): call(x)
        cell = max(kernels._CELLS.values(), key=lambda cell: len(cell.kernel.nodes))
        if sys.argv[1:] == ["first"]:
            tiers.wait()
            assert tiers.promote(cell)
        else:
            def refuse(*_): raise AssertionError("compiled again")
            native._compile_unlocked = refuse
            cell.memory[LEFT] = min(cell.memory[LEFT], 0)
            call(x)
            tiers.wait()
        print(cell.tier)
    """
    path = str(tmp_path / "cache")
    first = script.replace("sys.argv[1:]", "['first']")
    assert run_script(first, TAPEJIT_CACHE_DIR=path, TAPEJIT_CACHE="1") == "1\n"
    assert run_script(script, TAPEJIT_CACHE_DIR=path, TAPEJIT_CACHE="1") == "1\n"


# ---------------------------------------------------------------- out of everybody's way


def test_llvm_works_without_llvmlite_s_lock(monkeypatch):
    """While a background compile is in LLVM, another thread holds the lock the whole time."""
    inner = native._llvm().ffi.lib._lock
    entered = threading.Event()

    class Guard:
        def __enter__(self):
            self.leave, taken = threading.Event(), threading.Event()

            def hold():
                with inner:
                    taken.set()
                    self.leave.wait(60)

            self.thread = threading.Thread(target=hold)
            self.thread.start()
            taken.wait()
            entered.set()

        def __exit__(self, *_):
            assert self.thread.is_alive(), "it waited for the lock"
            self.leave.set()
            self.thread.join()

    ir, *_ = tiers.emit(LOOPS["tanh_sum"])
    want = native.compile_object(ir, 1)
    monkeypatch.setattr(native, "_BACKGROUND", Guard())
    assert native._compile_unlocked(ir) == want
    assert entered.is_set()


def test_compiles_in_both_at_once_give_the_same_code():
    texts = [tiers.emit(kernel)[0] for kernel in (*LOOPS.values(), one("sin", "f64", 1))]
    want = [native.compile_object(text, 1) for text in texts]
    behind = []

    def compile_behind():
        for _ in range(4):
            behind.extend(map(native._compile_unlocked, texts))

    thread = threading.Thread(target=compile_behind)
    thread.start()
    while thread.is_alive():
        assert [native.compile_object(text, 1) for text in texts] == want
    thread.join()
    assert behind == want * 4


@needs_fork
def test_fork_during_a_background_compile():
    script = (
        WORK
        + """
    from tapejit.runtime import kernels, tiers
    from tapejit.runtime.cells import LEFT
    check()
    def rise():
        for cell in list(kernels._CELLS.values()):
            if cell.kernel is not None and not cell.tier:
                cell.has_looked, cell.memory[LEFT] = True, -1
        check()
        tiers.wait()
        assert {cell.tier for cell in kernels._CELLS.values()} == {1}
    running = True
    def forever():
        while running:
            for cell in list(kernels._CELLS.values()): tiers.promote(cell)
    thread = threading.Thread(target=forever)
    thread.start()
    for _ in range(5):
        def work():
            for cell in kernels._CELLS.values(): cell.tier = 0
            rise()
        child(work)
    running = False
    thread.join()
    """
    )
    run_script(script, TAPEJIT_CACHE="0")


@pytest.mark.parametrize("options", [(), ("-X", "dev")])
def test_exit_during_a_background_compile(options):
    script = """
        import threading, numpy as np, tapejit as tj
        from tapejit.runtime import kernels, tiers
        from tapejit.runtime.cells import LEFT
        call = tj.value_and_grad(lambda x: (tj.sin(x) * tj.exp(-x) * tj.log1p(x * x)).sum())
        for _ in range(3): call(np.ones(100))
        for cell in kernels._CELLS.values():
            cell.has_looked, cell.memory[LEFT] = True, -1
        call(np.ones(100))
        assert threading.active_count() > 1
        for thread in threading.enumerate(): assert "tapejit" in thread.name or not thread.daemon
    """
    run_script(script, *options, TAPEJIT_CACHE="0")


# ---------------------------------------------------------------- what is given back


def n_libraries():
    gc.collect()
    return sum(type(found) is native.NativeLibrary for found in gc.get_objects())


def test_code_of_both_tiers_is_given_back(table):
    call = make_call()
    for _ in range(3):
        call(np.ones(5000))
    cell = largest(table)
    tier_0 = weakref.ref(cell.owner[0])
    assert tiers.promote(cell)
    tier_1 = weakref.ref(cell.owner[1][0])
    del cell
    table.clear()
    gc.collect()
    assert tier_0() is not None and tier_1() is not None, "the program has them"
    del call
    gc.collect()
    assert (tier_0(), tier_1()) == (None, None)


def test_kernels_that_nobody_uses_are_bounded():
    """Distinct programs, each dropped: the number of loaded libraries stops growing."""
    x = np.ones(7)

    def run_one(k):
        def body(x):
            for bit in range(7):
                x = x * x if k >> bit & 1 else x + x
            return x.sum()

        tj.value_and_grad(body)(x)
        tj.value_and_grad(body)(x)
        kernels.fetch([other_kernel(k)])

    with config.set(kernels=8):
        for k in range(20):
            run_one(k)
        settled = n_libraries()
        for k in range(20, 90):
            run_one(k)
        assert n_libraries() <= settled + 2
    assert len(kernels._CELLS) <= 8


def other_kernel(k):
    """A kernel by content: x, k times."""
    kernel = one("neg", "f64", 1)
    nodes = list(kernel.nodes)
    for _ in range(k):
        nodes.append(nodes[-1]._replace(operands=(len(nodes) - 1,)))
    last = kernel.outputs[0]._replace(node=len(nodes) - 1)
    return kernel._replace(nodes=tuple(nodes), outputs=(last,))


def test_the_least_recently_fetched_goes_first():
    with config.set(kernels=3):
        cells = {k: kernels.fetch([other_kernel(k)])[0] for k in (1, 2, 3)}
        kernels.fetch([other_kernel(1)])
        kernels.fetch([other_kernel(4)])
        assert kernels.fetch([other_kernel(1)])[0] is cells[1]
        assert kernels.fetch([other_kernel(2)])[0] is not cells[2]
    assert config.settings.kernels == 2048


def test_the_background_thread_ends():
    tiers.wait()
    deadline = time.monotonic() + 10
    while any(t.name == "tapejit tiers" for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
