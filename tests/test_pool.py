"""The thread pool: same bits for any number of threads; forks, exits and the GIL."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from test_launcher import make_cell

import tapejit as tj
from tapejit.errors import ConfigError
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, View
from tapejit.runtime import launcher, native, pool, work
from tapejit.runtime.launcher import LONG, make_launcher, make_record

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Kernels of plan.py's machine interface.
#   meet  adds 1 to args[0][0], then waits, for some seconds at most, until meta[0] is there
#   tick  adds 1 to args[0][u] for its units u, and 1 to args[1][0] atomically
WITNESS = """
define void @meet(ptr %args, ptr %meta, i64 %begin, i64 %end) {
enter:
  %at = load ptr, ptr %args
  %wanted = load i64, ptr %meta
  %old = atomicrmw add ptr %at, i64 1 seq_cst
  br label %look
look:
  %k = phi i64 [ 0, %enter ], [ %k_next, %look ]
  %now = load atomic i64, ptr %at seq_cst, align 8
  %is_met = icmp sge i64 %now, %wanted
  %k_next = add i64 %k, 1
  %is_late = icmp sgt i64 %k, 4000000000
  %stop = or i1 %is_met, %is_late
  br i1 %stop, label %done, label %look
done:
  ret void
}
define void @tick(ptr %args, ptr %meta, i64 %begin, i64 %end) {
enter:
  %to = load ptr, ptr %args
  %calls_at = getelementptr ptr, ptr %args, i64 1
  %calls = load ptr, ptr %calls_at
  %old = atomicrmw add ptr %calls, i64 1 seq_cst
  br label %head
head:
  %u = phi i64 [ %begin, %enter ], [ %next, %body ]
  %more = icmp slt i64 %u, %end
  br i1 %more, label %body, label %done
body:
  %p = getelementptr i64, ptr %to, i64 %u
  %x = load i64, ptr %p
  %y = add i64 %x, 1
  store i64 %y, ptr %p
  %next = add i64 %u, 1
  br label %head
done:
  ret void
}
"""


@pytest.fixture(scope="module")
def witness():
    return native.load(native.compile_object(WITNESS, 1), ("meet", "tick"), {})


@pytest.fixture(autouse=True)
def threads_as_before():
    before = tj.get_num_threads()
    yield
    tj.set_num_threads(before)


def long_record(library, loop, units, meta=(0,), n=1, **numbers):
    return make_record(make_cell(library, loop), units, meta, (0,) * n, flags=LONG, **numbers)


# ---------------------------------------------------------------- who does what


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("units", [1, 2, 7, 64, 1000, 12345])
@pytest.mark.parametrize(("atom", "grain"), [(1, 1), (1, 13), (5, 1), (5, 3)])
def test_every_unit_runs_once_in_whole_atoms(witness, threads, units, atom, grain):
    tj.set_num_threads(threads)
    units *= atom
    numbers = {"atom": atom, "grain": grain, "threads": threads}
    launch = make_launcher(long_record(witness, "tick", units, n=2, **numbers))
    done, calls = np.zeros(units, np.int64), np.zeros(1, np.int64)
    for turn in range(3):
        launch(done, calls)
        assert (done == turn + 1).all()
    limit = -(-units // (atom * grain))
    assert calls[0] <= 3 * min(limit, 1 if threads == 1 else limit)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_run_at_the_same_time(witness, threads):
    tj.set_num_threads(threads)
    launch = make_launcher(long_record(witness, "meet", threads, (threads,), threads=threads))
    for _ in range(5):
        met = np.zeros(1, np.int64)
        launch(met)
        assert met[0] == threads


def test_fewer_threads_are_obeyed_by_workers_that_exist(witness):
    """Two that must meet cannot if only one may run: the wait ends when one has done both."""
    tj.set_num_threads(3)
    launch = make_launcher(long_record(witness, "tick", 600, n=2, threads=3))
    launch(np.zeros(600, np.int64), np.zeros(1, np.int64))
    tj.set_num_threads(1)
    calls = np.zeros(1, np.int64)
    launch(np.zeros(600, np.int64), calls)
    assert calls[0] == 1, "one thread takes all units at once"


def test_other_python_threads_run_meanwhile(witness):
    """The kernel waits for a number that only another Python thread can write."""
    launch = make_launcher(long_record(witness, "meet", 1, (2,)))
    met = np.zeros(1, np.int64)
    began = threading.Event()

    def come():
        began.wait()
        while met[0] == 0:
            pass
        met[0] += 1

    other = threading.Thread(target=come)
    other.start()
    began.set()
    launch(met)
    other.join()
    assert met[0] == 2


def test_concurrent_launches_from_python_threads(witness):
    tj.set_num_threads(3)
    wrong = []

    def run():
        done, calls = np.zeros(999, np.int64), np.zeros(1, np.int64)
        launch = make_launcher(long_record(witness, "tick", 999, n=2, threads=3))
        for _ in range(500):
            launch(done, calls)
        if not (done == 500).all():
            wrong.append(done)

    callers = [threading.Thread(target=run) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


# ---------------------------------------------------------------- the same bits


def column_sums(x):
    return tj.sum(tj.sin(x).sum(0) * 1.5)


def row_products(x):
    return (tj.exp(x * 0.1).sum(1, keepdim=True) * x).sum()


def middle_sums(x):
    return (x.reshape(8, -1, x.shape[1]).sum(1) ** 2).sum()


def total(x):
    return (x * tj.cos(x)).sum()


def stacked(x):
    return (tj.stack([x.sin(), x * 2.0], 2) * tj.cat([x, -x], 1)[:, : x.shape[1], None]).sum()


@pytest.mark.parametrize("function", [column_sums, row_products, middle_sums, total, stacked])
@pytest.mark.parametrize("shape", [(64, 3), (200, 77), (8, 5000)])
def test_same_bits_for_any_number_of_threads(monkeypatch, function, shape):
    """With thresholds so low that every step is cut as finely as it may be."""
    monkeypatch.setattr(launcher, "LONG_NS", 0)
    monkeypatch.setattr(launcher, "SHARE_NS", 1)
    monkeypatch.setattr(launcher, "GRAIN_NS", 1)
    x = np.random.default_rng([3, *shape]).normal(size=shape)
    found = set()
    for threads in (1, 2, 5):
        tj.set_num_threads(threads)
        call = tj.value_and_grad(function)
        for _ in range(4):
            value, slope = call(x)
            found.add((float(value), slope.tobytes()))
    assert len(found) == 1


# ---------------------------------------------------------------- where steps may be cut


def at(offset, *strides):
    """A part of buffer 0."""
    return View(0, offset, (), strides)


def step_of(lengths, *outputs):
    """A step that writes a constant: each output is (reduce, strides), or (reduce, view)."""
    views, records = [], []
    for number, (reduce, place) in enumerate(outputs):
        view = place if isinstance(place, View) else View(number, 0, lengths, place)
        letters = "".join("s" if s else "0" for s in view.strides)
        views.append(view._replace(shape=lengths))
        records.append(Output(0, Operand("f64", letters), reduce))
    node = Node("literal", "f64", (1.0,))
    kernel = LoopKernel(len(lengths), (), (node,), tuple(records))
    return KernelStep(kernel, lengths, tuple(views))


ATOMS = {
    "a store": ((6, 5, 4), [(None, (20, 4, 1))], 1),
    "a total": ((6, 5, 4), [("sum", (0, 0, 0))], 1),
    "sums over the inner axis": ((6, 5, 4), [("sum", (5, 1, 0))], 1),
    "sums over the outermost axis": ((6, 5, 4), [("sum", (0, 4, 1))], 30),
    "sums over a middle axis": ((6, 5, 4), [("sum", (4, 0, 1))], 5),
    "sums over both outer axes": ((6, 5, 4), [("max", (0, 0, 1))], 30),
    "the stricter of two": ((6, 5, 4), [("sum", (4, 0, 1)), ("sum", (0, 4, 1))], 30),
    "a number that does not vary": ((6, 5, 4), [(None, (0, 0, 0))], 1),
    "blocks of one axis": ((50000,), [("sum", (0,)), (None, (1,))], 1),
    "overlapping rows": ((6, 4), [(None, (3, 1))], 6),
    "rows backwards": ((6, 4), [(None, (-4, 1))], 1),
    "two parts of one buffer": ((6, 4), [(None, at(0, 8, 1)), (None, at(48, 8, 1))], 1),
    "two combs of one buffer": ((6, 4), [(None, at(0, 8, 2)), (None, at(1, 8, 2))], 1),
    "two that meet in one buffer": ((6, 4), [(None, at(0, 8, 2)), (None, at(2, 8, 2))], 6),
}


@pytest.mark.parametrize(("lengths", "outputs", "atom"), ATOMS.values(), ids=ATOMS)
def test_atoms(lengths, outputs, atom):
    assert work.atom_of(step_of(lengths, *outputs)) == atom


@pytest.mark.parametrize(
    ("place", "atom"), [(View(0, 0, (6, 4), (4, 1)), 1), (View(0, 4, (6, 4), (4, 1)), 6)]
)
def test_an_input_in_the_memory_of_an_output_keeps_all_units_together(place, atom):
    """Unless each index reads the very element that it writes."""
    step = step_of((6, 4), (None, (4, 1)))
    kernel = step.kernel._replace(inputs=(Operand("f64", "s1"),))
    step = step._replace(kernel=kernel, views=(place, *step.views))
    assert work.atom_of(step) == atom


def elements(view, lengths, unit):
    """The elements of a view that a unit touches."""
    index = np.unravel_index(unit, lengths[:-1])
    first = view.offset + sum(int(i) * s for i, s in zip(index, view.strides, strict=False))
    return {(view.buffer, first + i * view.strides[-1]) for i in range(lengths[-1])}


@pytest.mark.parametrize("seed", range(60))
def test_atoms_write_memory_of_their_own(seed):
    """By brute force, over random strides."""
    rng = np.random.default_rng(seed)
    lengths = tuple(int(n) for n in rng.integers(1, 5, rng.integers(2, 4)))
    outputs = []
    for _ in range(rng.integers(1, 4)):
        strides = tuple(int(s) for s in rng.choice([0, 0, 1, 2, 4, -4, 12, 20], len(lengths)))
        view = View(int(rng.integers(0, 2)), int(rng.integers(0, 30)), lengths, strides)
        outputs.append((str(rng.choice(["sum", "max"])) if 0 in strides else None, view))
    step = step_of(lengths, *outputs)
    atom = work.atom_of(step)
    assert step.units % atom == 0
    views = [v for o, v in zip(step.kernel.outputs, step.views, strict=True) if any(v.strides)]
    written: dict = {}
    for unit in range(step.units):
        for view in views:
            for element in elements(view, lengths, unit):
                assert written.setdefault(element, unit // atom) == unit // atom


# ---------------------------------------------------------------- how many threads


@pytest.mark.parametrize("wrong", [0, -1, 257, 1.5, True, "2", None])
def test_numbers_that_are_refused(wrong):
    with pytest.raises(ConfigError, match="set_num_threads: a number from 1 to 256"):
        tj.set_num_threads(wrong)


def run_script(script, *options, **environment):
    """Run a script in a process of its own; what it printed."""
    path = os.pathsep.join([ROOT, os.path.join(ROOT, "tests")])
    done = subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("n", [1, 3])
def test_default_is_numba_s(n):
    script = """
        import tapejit as tj
        print(tj.get_num_threads())
        import numba
        assert numba.config.NUMBA_NUM_THREADS == tj.get_num_threads()
    """
    pytest.importorskip("numba")
    assert run_script(script, NUMBA_NUM_THREADS=str(n)) == f"{n}\n"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity")
def test_default_is_the_cpus_of_this_process():
    script = """
        import os
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        import tapejit as tj
        assert tj.get_num_threads() == 1
    """
    run_script(script, NUMBA_NUM_THREADS="")


def test_one_thread_starts_no_worker_and_numba_is_not_imported():
    script = """
        import sys, threading, numpy as np, tapejit as tj
        from tapejit.runtime import pool
        call = tj.value_and_grad(lambda x: tj.sin(x).sum())
        for _ in range(3): call(np.ones(200_000))
        print(pool._state()["started"], "numba" in sys.modules)
    """
    assert run_script(script, NUMBA_NUM_THREADS="1", TAPEJIT_BACKEND="ir") == "0 False\n"
    assert run_script(script, NUMBA_NUM_THREADS="3", TAPEJIT_BACKEND="ir") == "2 False\n"


def test_numba_s_mask_is_obeyed_in_the_thread_that_set_it():
    pytest.importorskip("numba")
    script = """
        import ctypes, threading
        import tapejit as tj
        from tapejit.runtime import launcher
        ask = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(
            launcher._long_run().address("tj_threads"))
        assert (ask(8), ask(2), ask(1), tj.get_num_threads()) == (4, 2, 1, 4)
        import numba
        assert ask(8) == 4
        assert not numba.np.ufunc.parallel._is_initialized, "asking starts no threads of Numba"
        numba.set_num_threads(3)
        assert (ask(8), ask(2), tj.get_num_threads()) == (3, 2, 3)
        numba.set_num_threads(1)
        assert (ask(8), tj.get_num_threads()) == (1, 1)
        others = []
        thread = threading.Thread(target=lambda: others.append(ask(8)))
        thread.start(); thread.join()
        assert others == [4]
        numba.set_num_threads(4)
        tj.set_num_threads(2)
        assert (ask(8), tj.get_num_threads()) == (2, 2)
    """
    run_script(script, NUMBA_NUM_THREADS="4", NUMBA_THREADING_LAYER="workqueue")


# ---------------------------------------------------------------- forks and exits

WORK = """
    import os, signal, sys, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)     # Python 3.12: fork with threads
    import numpy as np, tapejit as tj
    from tapejit.runtime import pool
    tj.set_num_threads(3)
    x = np.linspace(-1.0, 1.0, 200_001)

    def train(k):
        t = tj.tensor(x, requires_grad=True)
        (tj.sin(t) * k).sum().backward()
        return t.grad.numpy()

    def child(work):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)                                # a hang kills the child
            try:
                work()
            except BaseException:
                import traceback; traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert status == 0, status
    want = np.cos(x) * 2.0
    def check(k=2.0):
        for _ in range(4):
            assert np.allclose(train(k), want / 2.0 * k)
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")


@needs_fork
def test_forked_child_has_a_pool_of_its_own():
    script = (
        WORK
        + """
    check()
    assert pool._state()["started"] == 2
    def work():
        assert pool._state()["started"] == 0
        check()
        assert pool._state()["started"] == 2
        child(check)                                        # and its child
    for _ in range(3):
        child(work)
    check()
    """
    )
    run_script(script)


@needs_fork
def test_fork_while_python_threads_train():
    script = (
        WORK
        + """
    check()       # imports: a fork while another thread imports may hang, whatever is imported
    running = True
    def forever(k):
        while running:
            assert np.allclose(train(k), want / 2.0 * k)
    threads = [threading.Thread(target=forever, args=(k,)) for k in (1.0, 2.0, 3.0, 4.0)]
    for thread in threads: thread.start()
    for _ in range(8):
        child(check)
    running = False
    for thread in threads: thread.join()
    check()
    """
    )
    run_script(script)


@needs_fork
def test_fork_while_programs_are_compiled():
    script = (
        WORK
        + """
    check()
    running = True
    def forever():
        k = 0
        while running:
            k += 1
            f = tj.value_and_grad(lambda x: tj.exp(x * 0.5).sin().sum() if k % 2 else x.sum())
            f(np.ones(10 + k % 7))
            f(np.ones(10 + k % 7))
    threads = [threading.Thread(target=forever) for _ in range(2)]
    for thread in threads: thread.start()
    for _ in range(8):
        child(check)
    running = False
    for thread in threads: thread.join()
    """
    )
    run_script(script, TAPEJIT_CACHE="0")


@pytest.mark.parametrize("options", [(), ("-X", "dev")])
def test_exit_with_workers_awake_or_asleep(options):
    for pause in ("", "import time; time.sleep(0.2)"):
        script = (
            WORK
            + f"""
    check()
    {pause}
    """
        )
        run_script(script, *options)


def test_state_is_laid_out_without_overlap():
    places = sorted(pool._PLACES.values())
    assert all(b - a >= 8 for a, b in itertools.pairwise(places))
    assert places[-1] + 8 <= pool._FIRST_WORKER
    assert ctypes.sizeof(ctypes.c_void_p) == 8
