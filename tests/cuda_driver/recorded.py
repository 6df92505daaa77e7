"""A card whose driver is the recorder (driver.c): run by test_cuda_machine.py, in a process that
finds it as libcuda.so.1.  Every word that reaches the driver can be seen here; nothing is computed.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import re
import subprocess
import sys
import threading
import zlib

import numpy as np
import probing
import pytest

import tapejit as tj
from tapejit import config
from tapejit.cache import shared_store
from tapejit.codegen.cuda.launches import Function
from tapejit.errors import GpuUnavailable, KernelError, LaunchError, NoGpuForm, OutOfMemory
from tapejit.runtime.cuda import compiling, cubins, graphs, machines, probe
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.card import BLOCK, Card
from tapejit.runtime.cuda.program import compile_for_device
from tapejit.runtime.cuda.staging import PIECE_BYTES, RING_BYTES, Staging
from tapejit.simplify import simplify
from tapejit.tape import Program

DRIVER = ctypes.CDLL("libcuda.so.1")
DRIVER.recorder_text.restype = ctypes.c_char_p

SCALE = Function(
    """
def kernel(x0, b0, y0, n0, n1):
    i = cuda.grid(1)
    if i < n0:
        if b0[i] != 0:
            y0[i] = x0[i] * float32(n1)
""",
    ("f32*", "bool*", "f64*", "i32", "i64"),
    64,
)
ILLEGAL_ADDRESS, NOT_READY = 700, 600


@pytest.fixture
def card():
    """The one that everybody shares, with nothing launched yet."""
    found = machines.machine(0)
    found.places.clear()
    return found


@pytest.fixture(autouse=True)
def nothing_fails():
    yield
    DRIVER.recorder_fail(b"", 0, 1)


@pytest.fixture
def unstarted(monkeypatch):
    """The driver is looked for again."""
    monkeypatch.setattr(probe, "_started", [])


def called(do, only: str = "") -> list[str]:
    """What the driver was asked for, or those of it that begin with a name."""
    DRIVER.recorder_clear()
    do()
    lines = DRIVER.recorder_text().decode().splitlines()
    return [line for line in lines if line.startswith(only)]


# ------------------------------------------------------------------------------------ launches


def test_it_is_a_card(card):
    assert (card.name, card.compute_capability, card.index) == ("recorder 0", (9, 0), 0)
    assert tj.cuda.is_available() and tj.cuda.device_count() == 1
    assert tj.cuda.get_device_name() == "recorder 0" and card.block == BLOCK
    assert tj.cuda.get_device_properties()[1:] == (9, 0, 64 * 2**20, 1024)


def test_what_a_launch_says(card):
    launch = card.kernel(SCALE)
    arguments = [2**40 + 256, 0, 2**47, -5, -(2**50)]
    (line,) = called(lambda: launch(17, arguments))
    assert line == (
        f"cuLaunchKernelEx {compiling.entry_name(SCALE)} grid=17,1,1 block=64,1,1 shared=0 "
        f"stream=0x1: {2**40 + 256} 0 {2**47} -5 {-(2**50)}"
    )
    (line,) = called(lambda: launch(1, [np.int64(n) for n in arguments]))
    assert line.endswith(f"{2**47} -5 {-(2**50)}")


def test_a_kernel_is_loaded_once(card):
    card.kernel(SCALE)
    assert called(lambda: card.kernel(SCALE)) == []
    other = SCALE._replace(block=32)
    assert called(lambda: card.kernel(other)) == [
        "cuLibraryLoadData",
        f"cuLibraryGetKernel {compiling.entry_name(other)}",
    ]
    assert compiling.entry_name(other) != compiling.entry_name(SCALE)


def test_too_few_arguments_are_noticed(card):
    """The driver would read on behind them."""
    with pytest.raises(AssertionError):
        card.kernel(SCALE)(1, [1, 2, 3, 4])


# ------------------------------------------------------------------------------------ memory


def test_memory_goes_back_when_its_last_holder_goes(card):
    held, before = [], card.memory_use().held
    (line,) = called(lambda: held.append(card.allocate(1000)))
    assert line == "cuMemAllocFromPoolAsync 1000 stream=0x1"
    assert held[0].address % 256 == 0 and card.memory_use().held == before + 1000
    assert called(held.clear) == ["cuMemFreeAsync stream=0x1"]
    assert card.memory_use().held == before <= card.memory_use().held_most


def test_memory_goes_back_after_what_any_stream_was_asked(card):
    held = [card.allocate(8)]
    side = tj.cuda.Stream()
    with tj.cuda.stream(side):
        lines = called(held.clear)
    (fence,) = re.findall(f"cuEventRecord (\\S+) stream={side.cuda_stream:#x}", lines[0])
    assert lines[1:] == [f"cuStreamWaitEvent 0x1 event={fence}", "cuMemFreeAsync stream=0x1"]
    held = [card.allocate(8)]
    del side
    assert called(held.clear) == ["cuMemFreeAsync stream=0x1"]


def test_out_of_memory_says_what_is_held_and_free(card):
    memory = card.allocate(2**20)
    with pytest.raises(tj.cuda.OutOfMemoryError) as caught:
        card.allocate(2**31)
    words = str(caught.value).split("\n")[0]
    assert words.startswith("cuda:0 (recorder 0): 2.00 GiB asked, ")
    assert words.endswith("of 64.00 MiB free") and "1.00 MiB held here" in words
    assert memory.n_bytes == 2**20


def test_memory_in_cycles_is_found_before_that(card):
    class Holder:
        pass

    gc.disable()
    try:
        holder = Holder()
        holder.me, holder.memory = holder, card.allocate(40 * 2**20)
        del holder
        lines = called(lambda: card.allocate(40 * 2**20))
    finally:
        gc.enable()
    assert "cuMemPoolTrimTo 0" in lines and "cuMemFreeAsync stream=0x1" in lines


def test_the_pool_keeps_what_it_has():
    lines = called(lambda: Card(0))
    assert "cuMemPoolCreate 1 0 1 0" in lines  # pinned, not shared, of device number 0
    assert f"cuMemPoolSetAttribute 4 {2**64 - 1:#x}" in lines
    tj.cuda.synchronize()
    assert called(tj.cuda.empty_cache) == ["cuCtxSynchronize", "cuMemPoolTrimTo 0"]
    assert tj.cuda.mem_get_info()[1] == 64 * 2**20


# ------------------------------------------------------------------------------------ copies


@pytest.mark.parametrize("n_bytes", [0, 1, 1000, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES - 7])
def test_copies_keep_every_byte(card, n_bytes):
    data = np.random.default_rng(n_bytes).integers(0, 256, n_bytes).astype(np.uint8)
    kept, found = data.copy(), np.empty_like(data)
    memory, other = card.allocate(n_bytes), card.allocate(n_bytes)
    lines = called(lambda: card.copy_in(memory.address, data), "cuMemcpyHtoDAsync")
    assert len(lines) == -(-n_bytes // PIECE_BYTES)
    data[:] = 0
    card.copy(other.address, memory.address, n_bytes)
    card.copy_out(found, other.address)
    np.testing.assert_array_equal(found, kept)


def test_small_copies_wait_for_nothing_until_the_ring_is_full(card):
    staging, memory = Staging(card), card.allocate(RING_BYTES)
    number = np.zeros(8, np.uint8)
    n_fit = RING_BYTES // 256

    def copy(times):
        for _ in range(times):
            staging.copy_in(memory.address, number)

    assert called(lambda: copy(n_fit), "cuEventSynchronize") == []
    assert len(called(lambda: copy(3), "cuEventSynchronize")) == 3
    whole = np.zeros(PIECE_BYTES, np.uint8)
    waits = called(lambda: staging.copy_in(memory.address, whole), "cuEventSynchronize")
    assert len(waits) == PIECE_BYTES // 256


def test_the_ring_under_copies_of_all_sizes(card):
    """No piece is used again before its event: in_use never overlaps."""
    staging, memory = Staging(card), card.allocate(3 * PIECE_BYTES)
    random = np.random.default_rng(0)
    for _ in range(60):
        data = random.integers(0, 256, random.integers(1, 3 * PIECE_BYTES), np.uint8)
        if random.random() < 0.8:
            data = data[: 1 + len(data) // 500]
        found = np.empty_like(data)
        staging.copy_in(memory.address, data)
        staging.copy_out(found, memory.address)
        np.testing.assert_array_equal(found, data)
        pieces = sorted(staging.in_use)
        assert all(a.end <= b.begin for a, b in itertools.pairwise(pieces))
        assert pieces[-1].end <= RING_BYTES


def test_only_row_major_arrays_are_copied(card):
    memory = card.allocate(64)
    with pytest.raises(ValueError, match="row-major"):
        card.copy_in(memory.address, np.zeros((2, 4)).T)


# ------------------------------------------------------------------------------------ errors


def test_an_error_names_the_last_launches(card):
    launch = card.kernel(SCALE)
    for k in range(40):
        launch(1, [0] * 5, f"add at model.py:{k}")
    DRIVER.recorder_fail(b"cuCtxSynchronize", ILLEGAL_ADDRESS, 1)
    with pytest.raises(LaunchError, match="CUDA_ERROR_ILLEGAL_ADDRESS") as caught:
        tj.cuda.synchronize()
    named = re.findall(r"add at model.py:(\d+)", str(caught.value))
    assert named == [str(k) for k in range(39, 23, -1)]
    assert "TAPEJIT_BLOCKING=1" in str(caught.value)


def test_launches_that_were_waited_for_are_not_named(card):
    card.kernel(SCALE)(1, [0] * 5, "add at model.py:1")
    tj.cuda.synchronize()
    DRIVER.recorder_fail(b"cuMemAllocFromPoolAsync", ILLEGAL_ADDRESS, 1)
    with pytest.raises(LaunchError, match="nothing was launched since") as caught:
        card.allocate(8)
    assert "cuMemAllocFromPoolAsync: CUDA_ERROR_ILLEGAL_ADDRESS" in str(caught.value)


def test_the_setting_blocking_names_the_one(card):
    launch = card.kernel(SCALE)
    with config.set(blocking=1):
        launch(1, [0] * 5, "add at model.py:1")
        DRIVER.recorder_fail(b"cuStreamSynchronize", ILLEGAL_ADDRESS, 1)
        with pytest.raises(LaunchError, match=r"launched by mul at model.py:2$"):
            launch(1, [0] * 5, "mul at model.py:2")


def test_a_launch_that_is_refused_names_itself(card):
    launch = card.kernel(SCALE)
    DRIVER.recorder_fail(b"cuLaunchKernelEx", ILLEGAL_ADDRESS, 1)
    with pytest.raises(LaunchError, match=r"newest first:\n    mul at model.py:2"):
        launch(1, [0] * 5, "mul at model.py:2")


def test_nothing_is_said_of_memory_that_a_failed_card_does_not_take_back(card):
    memory, event = card.allocate(8), card.new_event()
    DRIVER.recorder_fail(b"cuMemFreeAsync", ILLEGAL_ADDRESS, 1)
    del memory, event  # warnings are errors here


# ------------------------------------------------------------------------------------ programs


def test_a_gradient_is_one_launch_and_nothing_comes_back():
    f = tj.value_and_grad(lambda x: (x.sin() * x + x.exp()).sum())
    x = tj.ones(1000, device="cuda")
    for _ in range(3):
        value, gradient = f(x)
    lines = called(lambda: f(x))
    (launch,) = [line for line in lines if line.startswith("cuLaunchKernelEx")]
    assert f": {x.data_ptr()} " in launch and launch.endswith(" 1000")
    assert not [line for line in lines if "Memcpy" in line or "Synchronize" in line]
    assert (value.device, gradient.device) == (tj.device("cuda:0"), tj.device("cuda:0"))
    assert gradient.shape == (1000,) and value.shape == ()
    (copy,) = called(lambda: gradient.cpu(), "cuMemcpy")
    assert copy == "cuMemcpyDtoHAsync 4000 stream=0x1"


def test_programs_of_the_register_are_compiled_and_launched(card):
    """One in 50 of the probes' (TAPEJIT_FUZZ=all: all of them, some minutes), always the same."""
    share = 1 if os.environ.get("TAPEJIT_FUZZ") == "all" else 50
    cases = [case for op in probing.probed() for case in probing.cases(op)]
    n_launches = 0
    for case in cases:
        if zlib.crc32(str(case).encode()) % share or case.op.name == "nonzero":
            continue
        arrays = probing.inputs_of(case)
        record = probing.recorded(case, arrays)
        program = simplify(Program(record.tape, record.inputs, [record.row]))
        try:
            run = compile_for_device(program, card)
        except NoGpuForm:
            continue
        except GpuUnavailable as missing:
            assert "need cuBLAS" in str(missing) or "need cuSOLVER" in str(missing)
            continue
        given = [DeviceArray.from_host(card, x) if np.ndim(x) else x for x in arrays]
        lines = called(lambda run=run, given=given: run(given))
        n_launches += sum(line.startswith("cuLaunchKernelEx") for line in lines)
        assert not [line for line in lines if "DtoH" in line or "Synchronize" in line], str(case)
    assert n_launches >= 15


def test_steps_whose_addresses_repeat_are_graphs():
    made = []
    step = graphs.Graphs(machines.machine(0), lambda *addresses: made.append(addresses))
    step(1, 2)
    step(1, 2)
    assert called(lambda: step(1, 2)) == called(lambda: step(1, 2))
    assert called(lambda: step(1, 2))[0].startswith("cuGraphLaunch") and len(made) == 2
    step(1, 3)
    assert made[2:] == [(1, 3)]


# ------------------------------------------------------------------------------------ graphs


def test_a_graph_is_captured_on_a_stream_of_its_own(card):
    launch, memory = card.kernel(SCALE), card.allocate(16)

    def step():
        launch(2, [0] * 5, "add at model.py:1")
        card.copy(memory.address, memory.address + 8, 8)

    graphs = []
    lines = called(lambda: graphs.append(card.capture(step)))
    own = lines[0].split()[-1]
    names = [line.split()[0] for line in lines]
    assert names == [
        "cuStreamCreateWithPriority", "cuStreamBeginCapture", "cuLaunchKernelEx",
        "cuMemcpyDtoDAsync", "cuStreamEndCapture", "cuGraphInstantiateWithFlags",
        "cuGraphDestroy", "cuStreamDestroy",
    ]  # fmt: skip
    assert f"stream={own}:" in lines[2] and lines[3].endswith(f"stream={own}")
    ready = lines[5].split()[-1]
    assert called(graphs[0].launch) == [f"cuGraphLaunch {ready} stream=0x1"]
    DRIVER.recorder_fail(b"cuCtxSynchronize", ILLEGAL_ADDRESS, 1)
    with pytest.raises(LaunchError, match=r"a graph of add at model.py:1"):
        tj.cuda.synchronize()
    card.places.clear()
    assert called(graphs.clear) == [f"cuGraphExecDestroy {ready}"]


def test_memory_given_back_while_a_graph_is_captured_goes_back_afterwards(card):
    held = [card.allocate(8)]
    lines = called(lambda: card.capture(held.clear))
    ended = next(k for k, line in enumerate(lines) if line.startswith("cuStreamEndCapture"))
    assert lines.index("cuMemFreeAsync stream=0x1") > ended


@pytest.mark.parametrize("ask", ["allocate", "copy_in", "copy_out", "synchronize", "capture"])
def test_what_a_graph_cannot_hold(card, ask):
    given = {"allocate": (8,), "copy_in": (0, np.zeros(1)), "copy_out": (np.zeros(1), 0)}
    arguments = given.get(ask, () if ask == "synchronize" else (print,))
    stream = card.stream
    with pytest.raises(LaunchError, match="while a graph is captured"):
        card.capture(lambda: getattr(card, ask)(*arguments))
    assert card.stream is stream
    card.synchronize()
    card.allocate(8)


def test_an_error_in_what_is_captured_ends_the_capture(card):
    def step():
        raise ValueError("mine")

    def attempt():
        with pytest.raises(ValueError, match="mine"):
            card.capture(step)

    names = [line.split()[0] for line in called(attempt)]
    assert names[1:4] == ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphDestroy"]


# ------------------------------------------------------------------------------------ streams


def test_streams_events_and_threads(card):
    side = tj.cuda.Stream(priority=-1)
    assert side != tj.cuda.current_stream() == tj.cuda.default_stream()
    assert tj.cuda.default_stream().cuda_stream == 1
    with tj.cuda.stream(side):
        (line,) = called(lambda: card.kernel(SCALE)(1, [0] * 5))
        assert f"stream={side.cuda_stream:#x}:" in line
        seen = []
        thread = threading.Thread(target=lambda: seen.append(tj.cuda.current_stream()))
        thread.start()
        thread.join()
        assert seen == [tj.cuda.default_stream()]
    lines = called(lambda: tj.cuda.current_stream().wait_stream(side))
    assert lines[0].startswith("cuEventRecord") and lines[1].startswith("cuStreamWaitEvent 0x1 ")
    begin, end = (tj.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    side.record_event(end)
    assert begin.elapsed_time(end) == 1.5 and end.query() and side.query()
    assert called(side.synchronize) == [f"cuStreamSynchronize {side.cuda_stream:#x}"]
    DRIVER.recorder_fail(b"cuStreamQuery", NOT_READY, 1)
    assert not side.query()


def test_streams_of_other_libraries_stay_theirs(card):
    theirs = tj.cuda.Stream()
    streams = [tj.cuda.ExternalStream(theirs.cuda_stream), card.stream_of(2)]
    assert streams[0] == theirs
    assert called(streams.clear) == []
    assert called(theirs.synchronize) == [f"cuStreamSynchronize {theirs.cuda_stream:#x}"]
    handle = theirs.cuda_stream
    streams = [theirs]
    del theirs
    assert called(streams.clear) == [f"cuStreamDestroy {handle:#x}"]


@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_memory_goes_back_after_what_a_stream_that_has_gone_was_asked(card, whose):
    held, theirs = [card.allocate(8)], tj.cuda.Stream()
    side = tj.cuda.Stream() if whose == "ours" else tj.cuda.ExternalStream(theirs.cuda_stream)
    handle = side.cuda_stream

    def use():
        nonlocal side
        with tj.cuda.stream(side):
            pass
        del side

    lines = called(use)
    (event,) = re.findall(f"cuEventRecord (\\S+) stream={handle:#x}", "".join(lines))
    assert (f"cuStreamDestroy {handle:#x}" in lines) == (whose == "ours")
    DRIVER.recorder_fail(b"cuEventQuery", NOT_READY, 1)
    lines = called(held.clear)
    assert lines[-2:] == [f"cuStreamWaitEvent 0x1 event={event}", "cuMemFreeAsync stream=0x1"]
    DRIVER.recorder_fail(b"", 0, 1)
    held = [card.allocate(8)]
    assert called(held.clear) == ["cuMemFreeAsync stream=0x1"]


class Theirs:
    """An array of a library that works in a stream of its own."""

    def __init__(self, address, stream):
        self.__cuda_array_interface__ = {
            "shape": (4,), "typestr": "<f4", "data": (address, False), "strides": None,
            "version": 3, "stream": stream,
        }  # fmt: skip


def test_arrays_of_other_libraries_are_waited_for_and_given_back_in_order(card):
    memory, theirs, held = card.allocate(16), tj.cuda.Stream(), []
    stream = theirs.cuda_stream
    lines = called(lambda: held.append(tj.as_tensor(Theirs(memory.address, stream))))
    assert held[0].data_ptr() == memory.address and held[0].device.index == 0
    (event,) = re.findall(f"cuEventRecord (\\S+) stream={stream:#x}", "".join(lines))
    assert f"cuStreamWaitEvent 0x1 event={event}" in lines
    assert not [line for line in lines if "Memcpy" in line or "Destroy" in line]
    assert "cuCtxSynchronize" in called(held.clear)  # before its owner may use it again
    host = np.zeros(4, np.float32)
    with pytest.raises(tj.errors.DeviceError, match="no address of a GPU's memory"):
        tj.as_tensor(Theirs(host.ctypes.data, None))


def test_every_thread_gets_the_context(card):
    lines = []

    def work():
        lines.extend(called(lambda: (card.allocate(8), card.allocate(8)), "cuCtx"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert lines == ["cuCtxSetCurrent 0x1000"]


def test_two_cards(monkeypatch):
    monkeypatch.setenv("RECORDER_DEVICES", "2")
    first, second = Card(0), Card(1)
    held = []
    for gpu in (first, second, first):
        lines = called(lambda gpu=gpu: held.append(gpu.allocate(8)), "cuCtxSet")
        assert lines == [f"cuCtxSetCurrent {0x1000 + gpu.index:#x}"]


# ------------------------------------------------------------------------------------ code on disk

WARM = """
import sys
sys.modules["numba"] = sys.modules["numba_cuda"] = None
from recorded import SCALE, called
from tapejit.runtime.cuda import cubins, machines
cubins.COMPILERS = ()
launch = machines.machine(0).kernel(SCALE)
print(called(lambda: launch(1, [1, 2, 3, 4, 5])))
assert not any(name.startswith("numba.") for name in sys.modules)
"""


def fresh_process(text):
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A cache directory of the test's own, for this process and its children."""
    monkeypatch.setenv("TAPEJIT_CACHE_DIR", str(tmp_path / "cache"))
    shared_store.cache_clear()
    yield shared_store()
    shared_store.cache_clear()


def test_a_warm_start_needs_no_compiler(store, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    cold = fresh_process(WARM)
    assert "no package numba-cuda" in cold.stderr and "GpuUnavailable" in cold.stderr
    cubin = cubins.cubin_of(SCALE, (9, 0))
    store.put(cubins.store_key(SCALE, (9, 0)), cubins.pack(cubin, cubins.compilers()))
    warm = fresh_process(WARM)
    assert warm.returncode == 0, warm.stderr
    assert f"{cubin.entry} grid=1,1,1 block=64,1,1 shared=0 stream=0x1: 1 2 3 4 5" in warm.stdout


def test_what_is_on_disk_is_used_unless_another_compiler_made_it(store, monkeypatch):
    key = cubins.store_key(SCALE, (9, 0))
    fake = compiling.Cubin(b"code", "entry", 1, 2, 3, 4)
    store.put(key, cubins.pack(fake, cubins.compilers()))
    assert cubins.cubin_of(SCALE, (9, 0)) == fake
    store.put(key, cubins.pack(fake, "numba-cuda 0.1"))
    real = cubins.cubin_of(SCALE, (9, 0))
    assert real.code.startswith(b"\x7fELF") and real != fake
    monkeypatch.setattr(cubins, "compilers", lambda: "")
    assert cubins.cubin_of(SCALE, (9, 0)) in (fake, real)


def test_keys_say_all_that_code_depends_on():
    others = [
        SCALE._replace(source=SCALE.source + "\n"),
        SCALE._replace(block=65),
        SCALE._replace(parameters=("f64*", *SCALE.parameters[1:])),
    ]
    keys = {cubins.store_key(f, (9, 0)) for f in [SCALE, *others]}
    assert len({*keys, cubins.store_key(SCALE, (8, 0))}) == 5


def test_a_kernel_whose_parameters_are_not_as_packed(store, card):
    wrong = SCALE._replace(parameters=("f32*", "bool*", "f64*", "i64", "i64"))
    cubin = cubins.cubin_of(SCALE, (9, 0))
    store.put(cubins.store_key(wrong, (9, 0)), cubins.pack(cubin, cubins.compilers()))
    with pytest.raises(KernelError, match=r"of \[8, 8, 8, 4, 8\] bytes, \[8, 8, 8, 8, 8\]"):
        card.kernel(wrong)


def test_a_driver_that_is_too_old_for_the_code(card):
    DRIVER.recorder_fail(b"cuLibraryLoadData", 209, 1)
    with pytest.raises(KernelError, match="recorder 0 does not load its code"):
        card.kernel(SCALE._replace(block=160))


# ------------------------------------------------------------------------------------ absences


@pytest.mark.parametrize(
    ("setting", "value", "reason", "words"),
    [
        ("RECORDER_INIT", "100", "device", "does not start: CUDA_ERROR_NO_DEVICE"),
        ("RECORDER_VERSION", "11040", "too_old", "is made for CUDA 11.4, the installed packages"),
        ("RECORDER_DEVICES", "0", "device", "there is no GPU"),
        ("RECORDER_CAPABILITY", "61", "too_old", "this card has compute capability 6.1; 7.5"),
        ("RECORDER_POOLS", "0", "too_old", "no stream-ordered memory"),
    ],
)
def test_what_is_missing_is_said(unstarted, monkeypatch, setting, value, reason, words):
    monkeypatch.setenv(setting, value)
    with pytest.raises(GpuUnavailable, match=re.escape(words)) as caught:
        Card(0)
    assert caught.value.reason == reason
    assert tj.cuda.device_count() == (reason == "too_old" and setting != "RECORDER_VERSION")


def test_a_card_that_is_not_there(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    words = r"cuda:1': there is one GPU, number 0 \(CUDA_VISIBLE_DEVICES is '3'\)"
    with pytest.raises(GpuUnavailable, match=words):
        tj.cuda.set_device(1)


def test_a_compiler_that_is_missing(store, card, monkeypatch):
    other = SCALE._replace(block=96)
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    with pytest.raises(GpuUnavailable, match=r"pip install 'tapejit\[cuda13\]'") as caught:
        card.kernel(other)
    assert caught.value.reason == "toolchain"


EXIT = """
import builtins
import tapejit as tj
from tapejit.runtime.cuda.machines import machine
held = [tj.ones(3, device="cuda"), tj.cuda.Stream(), tj.cuda.current_stream().record_event()]
held += [machine(0).capture(lambda: None), held]
builtins.held = held
"""


def test_nothing_is_said_at_the_end_of_a_process(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    found = fresh_process(EXIT)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_forked_child_is_refused(card):
    memory = card.allocate(8)
    child = os.fork()
    if not child:
        status = 1
        try:
            del memory  # says nothing to the driver
            tj.zeros(2, device="cuda")
        except GpuUnavailable as refused:
            status = 0 if "forked" in str(refused) else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_out_of_memory_is_one_class():
    assert tj.cuda.OutOfMemoryError is OutOfMemory
