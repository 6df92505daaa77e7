"""The simulated GPU: what kernels compute on it, and every mistake that it is there to find."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numpy as np
import pytest

from tapejit import config
from tapejit.codegen.cuda.launches import Function
from tapejit.errors import GpuUnavailable, LaunchError, OutOfMemory
from tapejit.runtime.cuda.machines import machine
from tapejit.runtime.cuda.simulator.kernels import _Math
from tapejit.runtime.cuda.simulator.machine import SimulatedMachine

SUM = """
def kernel(x0, y0, n0):
    partial = cuda.shared.array(8, float64)
    t = cuda.threadIdx.x
    total = float64(0)
    i = cuda.grid(1)
    while i < n0:
        total = total + x0[i]
        i += cuda.gridsize(1)
    partial[t] = total
    cuda.syncthreads()
    half = 4
    while half:
        if t < half:
            partial[t] += partial[t + half]
        cuda.syncthreads()
        half //= 2
    if t == 0:
        y0[cuda.blockIdx.x] = partial[0]
"""


@pytest.fixture
def gpu():
    return SimulatedMachine()


def on(gpu, array):
    """An array's copy on the machine."""
    memory = gpu.allocate(array.nbytes)
    gpu.copy_in(memory.address, array)
    return memory


def off(gpu, memory, dtype):
    """Memory as an array."""
    array = np.empty(memory.n_bytes // np.dtype(dtype).itemsize, dtype)
    gpu.copy_out(array, memory.address)
    return array


def run(gpu, text, *values, parameters=("f64*", "f64*"), grid=1, block=8, place=None):
    """Launch a kernel; memory stands for its address."""
    function = Function(text, parameters, block)
    arguments = [value if isinstance(value, int) else value.address for value in values]
    gpu.kernel(function)(grid, arguments, place)


# ------------------------------------------------------------------------------------ kernels


@pytest.mark.parametrize("grid", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 8, 9, 100])
def test_a_sum_through_shared_memory(gpu, n, grid):
    x = np.random.default_rng(n).normal(size=n)
    partials = gpu.allocate(8 * grid)
    run(gpu, SUM, on(gpu, x), partials, n, parameters=("f64*", "f64*", "i32"), grid=grid)
    np.testing.assert_allclose(off(gpu, partials, float).sum(), x.sum(), atol=1e-14 * n)


def test_float32_rounds_as_float32(gpu):
    x = np.array([1e-8, 3e38, 0.1], np.float32)
    text = """
def kernel(x0, y0):
    i = cuda.grid(1)
    if i < 3:
        y0[i] = (float32(1) + x0[i]) * float32(2)
"""
    y = gpu.allocate(12)
    run(gpu, text, on(gpu, x), y, parameters=("f32*", "f32*"))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(off(gpu, y, np.float32), (1 + x) * np.float32(2))


def test_numbers_are_those_of_a_card(gpu):
    """No exceptions: infinity and NaN; float32 stays float32 in functions."""
    text = """
def kernel(x0, y0):
    y0[0] = math.log(x0[0])
    y0[1] = float64(1) / x0[0]
    y0[2] = math.sqrt(float64(-1))
    y0[3] = math.exp(float64(1000))
    y0[4] = math.lgamma(float64(5))
    y0[5] = cuda.libdevice.erfinv(float64(0.5))
    y0[6] = cuda.libdevice.expf(float32(1)) - math.exp(float64(1))
    y0[7] = math.pi
"""
    y = gpu.allocate(64)
    run(gpu, text, on(gpu, np.zeros(1)), y, block=1)
    found = off(gpu, y, float)
    np.testing.assert_array_equal(found[:4], [-np.inf, np.inf, np.nan, np.inf])
    np.testing.assert_allclose(found[4:6], [np.log(24), 0.4769362762044699], rtol=1e-14)
    assert 0 < abs(found[6]) < 2e-7 and found[7] == np.pi
    assert type(_Math().tanh(np.float32(1))) is np.float32


def test_functions_of_the_device_and_arrays_of_several_axes(gpu):
    text = """
@cuda.jit(device=True, inline="always")
def twice(x):
    return x * float64(2)

def kernel(x0, y0):
    tile = cuda.shared.array((2, 3), float64)
    own = cuda.local.array(2, float64)
    t = cuda.threadIdx.x
    tile[t // 3, t % 3] = x0[t]
    own[t % 2] = float64(t)
    cuda.syncthreads()
    y0[t] = twice(tile[t % 2, t // 2]) + own[t % 2]
"""
    x = np.arange(6.0)
    y = gpu.allocate(48)
    run(gpu, text, on(gpu, x), y, block=6)
    np.testing.assert_array_equal(off(gpu, y, float), 2 * x.reshape(2, 3).T.ravel() + np.arange(6))


def test_booleans_are_bytes_and_atomics_count(gpu):
    text = """
def kernel(x0, b0, n0):
    count = cuda.shared.array(1, int32)
    i = cuda.grid(1)
    if i == 0:
        count[0] = 0
    cuda.syncthreads()
    b0[i] = x0[i] > 0.5
    if b0[i] != 0:
        cuda.atomic.add(count, 0, 1)
    cuda.syncthreads()
    if i == 0:
        n0[0] = count[0]
"""
    x = np.linspace(0, 1, 8)
    flags, count = gpu.allocate(8), gpu.allocate(8)
    run(gpu, text, on(gpu, x), flags, count, parameters=("f64*", "bool*", "i64*"))
    np.testing.assert_array_equal(off(gpu, flags, np.bool_), x > 0.5)
    assert off(gpu, count, np.int64) == 4


def test_functions_of_the_device_that_wait(gpu):
    """Also under another name, and called by one another."""
    text = """
@cuda.jit(device=True, inline="always")
def whole(x):
    x = x + cuda.shfl_xor_sync(0xffffffff, x, 2)
    return x + cuda.shfl_xor_sync(0xffffffff, x, 1)

@cuda.jit(device=True, inline="always")
def put(shared, t, x):
    shared[t] = combine(x)
    cuda.syncthreads()

combine = whole

def kernel(x0, y0):
    shared = cuda.shared.array(8, float64)
    t = cuda.threadIdx.x
    put(shared, t, x0[t])
    y0[t] = shared[7 - t] + whole(x0[t]) / 8
"""
    x, y = np.arange(8.0), gpu.allocate(64)
    run(gpu, text, on(gpu, x), y)
    np.testing.assert_array_equal(off(gpu, y, float), [22.75] * 4 + [8.75] * 4)


SHUFFLES = {
    "sync(0xffffffff, x, 3)": lambda t: t - t % 32 + 3,
    "xor_sync(0xffffffff, x, 5)": lambda t: t ^ 5,
    "up_sync(0xffffffff, x, 3)": lambda t: np.where(t % 32 >= 3, t - 3, t),
    "down_sync(0xffffffff, x, 9)": lambda t: np.where(t % 32 < 23, t + 9, t),
}


@pytest.mark.parametrize("word", SHUFFLES)
def test_shuffles(gpu, word):
    """Within each warp of 32 threads; twice, as a warp may go ahead of another."""
    text = f"""
def kernel(x0, y0):
    t = cuda.threadIdx.x
    x = x0[t]
    for turn in range(2):
        x = x0[t] + 100 * cuda.shfl_{word}
    y0[t] = x
"""
    threads = np.arange(64)
    x, y = threads.astype(float), gpu.allocate(512)
    run(gpu, text, on(gpu, x), y, block=64)
    source = SHUFFLES[word](threads)
    once = x + 100 * x[source]
    np.testing.assert_array_equal(off(gpu, y, float), x + 100 * once[source])


def test_shuffles_of_some_lanes(gpu):
    """Each half of a warp on its own way."""
    text = """
def kernel(x0, y0):
    t = cuda.threadIdx.x
    if t < 4:
        y0[t] = cuda.shfl_xor_sync(0x0000000f, x0[t], 1)
    else:
        y0[t] = cuda.shfl_down_sync(0x000000f0, x0[t], 0)
"""
    x, y = np.arange(8.0), gpu.allocate(64)
    run(gpu, text, on(gpu, x), y)
    np.testing.assert_array_equal(off(gpu, y, float), [1, 0, 3, 2, 4, 5, 6, 7])


NUMBAS = """
import math, sys
import numpy as np
from numba import cuda, float64
from tapejit.runtime.cuda.simulator.kernels import Pointer
scope = {"cuda": cuda, "math": math, "float64": float64}
exec(sys.argv[1], scope)
x, y = np.linspace(-1, 2, 41), np.zeros(3)
cuda.jit(scope["kernel"])[3, 8](Pointer("x0", x), Pointer("y0", y), len(x))
print(*y)
"""


def test_numbas_own_simulator_gives_the_same(gpu):
    """It has a thread of the operating system for each of the card's."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-W", "ignore", "-c", NUMBAS, SUM]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    partials = gpu.allocate(24)
    x = np.linspace(-1, 2, 41)
    run(gpu, SUM, on(gpu, x), partials, 41, parameters=("f64*", "f64*", "i32"), grid=3)
    assert [float(word) for word in found.stdout.split()] == list(off(gpu, partials, float))


# ------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize("index", ["8", "-1", "10 ** 9"])
@pytest.mark.parametrize("access", ["y0[0] = x0[{}]", "x0[{}] = 1.0"])
def test_an_index_out_of_bounds_names_everything(gpu, access, index):
    text = f"def kernel(x0, y0):\n    {access.format(index)}\n"
    memory = on(gpu, np.zeros(8))
    with pytest.raises(LaunchError, match=r"x0\[") as caught:
        run(gpu, text, memory, memory, place="add at model.py:3")
    assert "elements 0 to 7" in str(caught.value)
    assert "block 0, thread 0" in str(caught.value)
    assert "launched by add at model.py:3" in str(caught.value)
    assert text in str(caught.value)


def test_pointers_into_an_allocation_reach_back_to_its_begin(gpu):
    memory = on(gpu, np.arange(8.0))
    text = "def kernel(x0, y0):\n    y0[0] = x0[-3]\n"
    run(gpu, text, memory.address + 24, memory, block=1)
    assert off(gpu, memory, float)[0] == 0
    with pytest.raises(LaunchError, match="elements -2 to 5"):
        run(gpu, text, memory.address + 16, memory)


def test_memory_that_is_gone_is_no_memory(gpu):
    memory, y = on(gpu, np.zeros(8)), gpu.allocate(8)
    address = memory.address
    del memory
    gc.collect()
    with pytest.raises(LaunchError, match=r"x0\[0\] is read: no memory"):
        run(gpu, "def kernel(x0, y0):\n    y0[0] = x0[0]\n", address, y)


def test_an_address_between_elements_is_refused(gpu):
    memory = gpu.allocate(64)
    with pytest.raises(LaunchError, match="4 bytes into 64"):
        run(gpu, "def kernel(x0, y0):\n    pass\n", memory.address + 4, memory)


@pytest.mark.parametrize("condition", ["t < 4", "t == 7", "cuda.blockIdx.x == 0 and t > 0"])
def test_a_barrier_that_some_threads_miss(gpu, condition):
    text = f"""
def kernel(x0, y0):
    t = cuda.threadIdx.x
    if {condition}:
        cuda.syncthreads()
"""
    memory = gpu.allocate(8)
    with pytest.raises(LaunchError, match=r"one barrier, but to \['its end', 'line 5'\]"):
        run(gpu, text, memory, memory)


XOR = "v = cuda.shfl_xor_sync(0xff, v, 1)"
BAD_SHUFFLES = {
    "some threads do not come": (
        f"if t != 5:\n        {XOR}",
        r"line 5: not all threads of mask 0xff come to it, but to \['its end'\]",
    ),
    "some wait at a barrier": (
        f"if t < 4:\n        {XOR}\n    else:\n        cuda.syncthreads()",
        r"come to it, but to \['line 7'\]",
    ),
    "two shuffles": (f"if t < 4:\n        {XOR}\n    else:\n        {XOR}", "come to it, but to"),
    "a mask without the thread": (
        "v = cuda.shfl_xor_sync(0x7f, v, 0)",
        "thread 7 is not in its own mask 0x7f",
    ),
    "a value of nobody": (
        "v = cuda.shfl_xor_sync(0xff, v, 8)",
        r"asks thread \d+, which is not in mask 0xff",
    ),
    "a value of another group": (
        "v = cuda.shfl_down_sync(0x0f if t < 4 else 0xf0, v, 1)",
        "thread 3 asks thread 4|thread 7 asks thread 8",
    ),
}


@pytest.mark.parametrize("name", BAD_SHUFFLES)
def test_shuffles_that_a_card_does_not_define(gpu, name):
    lines, words = BAD_SHUFFLES[name]
    text = f"def kernel(x0, y0):\n    t = cuda.threadIdx.x\n    v = x0[t]\n    {lines}\n"
    memory = on(gpu, np.zeros(8))
    with pytest.raises(LaunchError, match=words):
        run(gpu, text, memory, memory)


def test_a_missing_barrier_is_found(gpu):
    x, y = on(gpu, np.ones(8)), gpu.allocate(8)
    for missing in (
        "partial[t] = total\n    cuda.syncthreads()",
        "partial[t] += partial[t + half]\n        cuda.syncthreads()",
    ):
        text = SUM.replace(missing, missing.split("\n")[0])
        assert text != SUM
        with pytest.raises(LaunchError, match=r"shared array 0\[\d\] is (read|changed), and"):
            run(gpu, text, x, y, 8, parameters=("f64*", "f64*", "i32"))


RACES = {
    "blocks change one element": "y0[0] = float64(b)",
    "threads change one element": "y0[b] = float64(t)",
    "a block reads what another changes": "y0[8 * b + t] = 9.0\n    y0[16] = y0[0] + 1.0",
    "a thread reads what its neighbour changes": "y0[8 * b + t] = y0[8 * b + (t + 1) % 8] + 1.0",
    "blocks read what one changes": "if b < 2:\n        v = y0[0]\n    else:\n        y0[0] = 1.0",
    "threads read what one changes": "v = y0[b]\n    if t == 3:\n        y0[b] = 1.0",
    "another view of the element": "x0[8 * b + t] = 1.0\n    y0[8 * b + 7 - t] = 2.0",
}
NO_RACES = {
    "an element for each": "y0[b * 8 + t] = float64(t)",
    "a barrier between": (
        "y0[b * 8 + t] = 1.0\n    cuda.syncthreads()\n    v = y0[b * 8 + (t + 1) % 8]\n"
        "    cuda.syncthreads()\n    y0[b * 8 + 7 - t] = v + 1.0"
    ),
    "all set one flag": "y0[0] = 1.0",
    "all read": "v = y0[0]",
    "its own element, again": "y0[b * 8 + t] = 1.0\n    y0[b * 8 + t] = y0[b * 8 + t] + 1.0",
    "arrays of each block": (
        "s = cuda.shared.array(8, float64)\n    s[t] = float64(b)\n    cuda.syncthreads()\n"
        "    v = s[7 - t]"
    ),
}


@pytest.mark.parametrize("name", RACES)
def test_a_race_is_found(gpu, name):
    """In either order of blocks and threads."""
    text = f"def kernel(x0, y0):\n    b, t = cuda.blockIdx.x, cuda.threadIdx.x\n    {RACES[name]}\n"
    words = r"[xy]0\[\d+\] is (read|changed), and (read|changed) by (block \d|several blocks)"
    y = on(gpu, np.zeros(24))
    for _ in range(2):
        gpu.copy_in(y.address, np.zeros(24))
        with pytest.raises(LaunchError, match=words) as caught:
            run(gpu, text, y, y, grid=3)
        assert "one may come before or after the other" in str(caught.value)


@pytest.mark.parametrize("name", NO_RACES)
def test_what_has_an_order_is_no_race(gpu, name):
    text = (
        f"def kernel(x0, y0):\n    b, t = cuda.blockIdx.x, cuda.threadIdx.x\n    {NO_RACES[name]}\n"
    )
    y = on(gpu, np.zeros(24))
    for _ in range(2):
        run(gpu, text, y, y, grid=3)


def test_memory_that_nobody_has_written_is_not_zero(gpu):
    text = """
def kernel(x0, y0):
    s = cuda.shared.array(1, float64)
    y0[0] = x0[0]
    y0[1] = s[0]
"""
    y = gpu.allocate(16)
    run(gpu, text, gpu.allocate(8), y, block=1)
    assert np.isnan(off(gpu, y, float)).all()
    assert off(gpu, gpu.allocate(8), np.int64) == -1


@pytest.mark.parametrize(("grid", "arguments"), [(0, [0, 0]), (1, [0]), (1, [0, 0, 0])])
def test_launches_that_do_not_fit_the_kernel(gpu, grid, arguments):
    launch = gpu.kernel(Function("def kernel(x0, y0):\n    pass\n", ("f64*", "f64*"), 8))
    with pytest.raises(LaunchError, match="2 parameters"):
        launch(grid, arguments)


# ------------------------------------------------------------------------------------ the machine


def test_memory_is_aligned_counted_and_limited():
    gpu = SimulatedMachine(total_bytes=1000)
    first = gpu.allocate(300)
    second = gpu.allocate(0)
    assert first.address % 256 == second.address % 256 == 0
    use = gpu.memory_use()
    assert (use.held, use.held_most, use.free, use.total) == (300, 300, 700, 1000)
    with pytest.raises(OutOfMemory, match="701 bytes asked, 300 held, 700 of 1000 free"):
        gpu.allocate(701)
    del first
    assert gpu.memory_use()[:2] == (0, 300)
    gpu.forget_most()
    assert gpu.memory_use().held_most == 0


def test_out_of_memory_is_what_pytorch_and_python_raise():
    assert issubclass(OutOfMemory, RuntimeError) and issubclass(OutOfMemory, MemoryError)


@pytest.mark.parametrize("array", [np.arange(6.0), np.zeros((0, 3)), np.array(2, np.int32)])
def test_copies(gpu, array):
    memory = on(gpu, array)
    other = gpu.allocate(array.nbytes)
    gpu.copy(other.address, memory.address, array.nbytes)
    found = np.empty_like(array)
    gpu.copy_out(found, other.address)
    np.testing.assert_array_equal(found, array)


def test_copies_beyond_an_allocation_are_refused(gpu):
    memory = gpu.allocate(8)
    for copy in (
        lambda: gpu.copy_in(memory.address, np.zeros(2)),
        lambda: gpu.copy_out(np.zeros(2), memory.address),
        lambda: gpu.copy(memory.address, memory.address + 4, 8),
    ):
        with pytest.raises(LaunchError, match="bytes of memory are there"):
            copy()
    with pytest.raises(ValueError, match="row-major"):
        gpu.copy_out(np.zeros((2, 2)).T, memory.address)


def test_a_graph_does_nothing_until_it_is_launched(gpu):
    text = "def kernel(x0, y0):\n    y0[0] = x0[0] + 1.0\n"
    x = on(gpu, np.zeros(1))
    graph = gpu.capture(lambda: run(gpu, text, x, x, block=1))
    assert off(gpu, x, float)[0] == 0 and gpu.n_launches == 0
    graph.launch()
    graph.launch()
    assert off(gpu, x, float)[0] == 2 and gpu.n_launches == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda gpu: gpu.allocate(8),
        lambda gpu: gpu.copy_in(0, np.zeros(1)),
        lambda gpu: gpu.copy_out(np.zeros(1), 0),
        lambda gpu: gpu.synchronize(),
        lambda gpu: gpu.capture(lambda: None),
    ],
)
def test_what_a_graph_cannot_hold(gpu, ask):
    with pytest.raises(LaunchError, match="while a graph is captured"):
        gpu.capture(lambda: ask(gpu))
    gpu.synchronize()


def test_machines_are_kept_and_numbered():
    with config.set(cuda="simulator"):
        assert machine(0) is machine(0) is not machine(1)
        assert machine(1).index == 1
        for index in (2, -1):
            with pytest.raises(GpuUnavailable, match="there are 2 simulated GPUs") as caught:
                machine(index)
            assert caught.value.reason == "device"
