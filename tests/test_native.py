"""Native code: text to object to memory and back, its errors, its key, its threads."""

from __future__ import annotations

import ctypes
import gc
import os
import struct
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

from tapejit.cache import ObjectStore
from tapejit.errors import KernelError
from tapejit.plan import BLOCK
from tapejit.runtime import native

# A kernel of plan.py's machine interface: out[i] = fma(x[i], x[i], sin(x[i])), rank 1.
KERNEL = f"""
declare double @llvm.fma.f64(double, double, double)
declare double @sin(double)

define void @kernel(ptr %args, ptr %meta, i64 %begin, i64 %end) alignstack(64) nounwind {{
enter:
  %x = load ptr, ptr %args
  %out_at = getelementptr ptr, ptr %args, i64 1
  %out = load ptr, ptr %out_at
  %n = load i64, ptr %meta
  %low = mul i64 %begin, {BLOCK}
  %full = mul i64 %end, {BLOCK}
  %is_last = icmp slt i64 %n, %full
  %high = select i1 %is_last, i64 %n, i64 %full
  br label %head
head:
  %i = phi i64 [%low, %enter], [%next, %body]
  %more = icmp slt i64 %i, %high
  br i1 %more, label %body, label %done
body:
  %a_at = getelementptr double, ptr %x, i64 %i
  %a = load double, ptr %a_at
  %s = call double @sin(double %a)
  %r = call double @llvm.fma.f64(double %a, double %a, double %s)
  %r_at = getelementptr double, ptr %out, i64 %i
  store double %r, ptr %r_at
  %next = add i64 %i, 1
  br label %head
done:
  ret void
}}
"""

KERNEL_TYPE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


def constant(value: int) -> str:
    """A function that returns one number."""
    return f"define i64 @constant() nounwind {{\n  ret i64 {value}\n}}\n"


def call_i64(library, symbol="constant") -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(library.address(symbol))()


def run_kernel(library, x: np.ndarray) -> np.ndarray:
    """Run KERNEL over all units."""
    out = np.full_like(x, np.nan)
    args = np.array([x.ctypes.data, out.ctypes.data], np.int64)
    meta = np.array([x.size, 1, 1], np.int64)
    units = -(-x.size // BLOCK)
    KERNEL_TYPE(library.address("kernel"))(args.ctypes.data, meta.ctypes.data, 0, units)
    return out


# -------------------------------------------------------------------------------- compile and run


@pytest.mark.parametrize("size", [0, 1, BLOCK, 2 * BLOCK + 17])
def test_kernel_runs_and_tiers_agree_to_the_bit(size):
    x = np.random.default_rng(3).normal(size=size) * 10
    outs = []
    for tier in (0, 1):
        object_bytes = native.compile_object(KERNEL, tier)
        assert isinstance(object_bytes, bytes)
        outs.append(run_kernel(native.load(object_bytes, ("kernel",), {}), x))
    assert outs[0].tobytes() == outs[1].tobytes()
    np.testing.assert_allclose(outs[0], x * x + np.sin(x), rtol=1e-13, atol=1e-13)


def test_compiling_twice_gives_the_same_bytes():
    assert native.compile_object(KERNEL, 1) == native.compile_object(KERNEL, 1)


def test_imports_are_used_before_the_process():
    text = "declare i64 @far()\n@data = external global i64\n" + (
        "define i64 @sum() nounwind {\n  %f = call i64 @far()\n  %d = load i64, ptr @data\n"
        "  %s = add i64 %f, %d\n  ret i64 %s\n}\n"
    )
    seven = native.load(native.compile_object(constant(7)), ("constant",), {})
    data = ctypes.c_int64(35)
    imports = {"far": seven.address("constant"), "data": ctypes.addressof(data)}
    for tier in (0, 1):
        library = native.load(native.compile_object(text, tier), ("sum",), imports)
        assert call_i64(library, "sum") == 42


@pytest.mark.parametrize("tier", [0, 1])
def test_table_read_with_a_variable_index(tier):
    """Without position-independent code this aborts the process."""
    text = (
        "@table = private constant [4 x i64] [i64 1, i64 10, i64 100, i64 1000]\n"
        "define i64 @look(i64 %i) nounwind {\n"
        "  %at = getelementptr i64, ptr @table, i64 %i\n"
        "  %v = load i64, ptr %at\n  ret i64 %v\n}\n"
    )
    library = native.load(native.compile_object(text, tier), ("look",), {})
    look = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("look"))
    assert [look(i) for i in range(4)] == [1, 10, 100, 1000]


def test_same_symbol_in_many_libraries():
    libraries = [
        native.load(native.compile_object(constant(i)), ("constant",), {}) for i in range(5)
    ]
    assert [call_i64(library) for library in libraries] == list(range(5))


# -------------------------------------------------------------------------------------- errors


def test_text_that_is_no_ir():
    with pytest.raises(KernelError, match=r"(?s)^LLVM refused the IR: .*<string>:2:1: error"):
        native.compile_object("\ngarbage" + "\nmore" * 100)
    try:
        native.compile_object("\ngarbage" + "\nmore" * 100)
    except KernelError as error:
        assert len(str(error).splitlines()) <= 4


def test_ir_that_breaks_the_rules_of_llvm():
    text = "define i32 @k() {\n  %a = add i32 %b, 1\n  %b = add i32 1, 1\n  ret i32 %a\n}\n"
    with pytest.raises(KernelError, match="does not dominate all uses"):
        native.compile_object(text)


def test_missing_symbols(capfd):
    text = "declare i64 @nobody_has_this()\ndefine i64 @k() {\n"
    text += "  %a = call i64 @nobody_has_this()\n  ret i64 %a\n}\n"
    with pytest.raises(KernelError, match="LLVM could not link"):
        native.load(native.compile_object(text), ("k",), {})
    with pytest.raises(KernelError, match="LLVM could not link"):
        native.load(native.compile_object(constant(1)), ("other",), {})
    library = native.load(native.compile_object(constant(1)), ("constant",), {})
    with pytest.raises(KernelError, match="library: no export 'other'; it has constant"):
        library.address("other")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cut", [0, 1, 16, 63, 64, 200])
def test_bytes_that_are_no_object(cut):
    whole = native.compile_object(KERNEL)
    for data in (whole[:cut], bytes(cut)):
        with pytest.raises(KernelError, match="LLVM could not link"):
            native.load(data, ("kernel",), {})


# ------------------------------------------------------------------------------ given back


def is_mapped(address: int) -> bool:
    with open("/proc/self/maps") as file:
        for line in file:
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if low <= address < high:
                return True
    return False


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="/proc")
def test_code_is_given_back_when_dropped():
    object_bytes = native.compile_object(constant(5))
    libraries = [native.load(object_bytes, ("constant",), {}) for _ in range(20)]
    addresses = [library.address("constant") for library in libraries]
    assert all(map(is_mapped, addresses))
    libraries.clear()
    gc.collect()
    assert not any(map(is_mapped, addresses))


def test_a_full_linker_dies_with_its_last_library(monkeypatch):
    monkeypatch.setattr(native, "_LINKER", native._Linker())  # other tests hold on to the old one
    object_bytes = native.compile_object(constant(5))
    kept = native.load(object_bytes, ("constant",), {})
    linker = weakref.ref(kept._jit)
    for _ in range(native.LIBRARIES_PER_JIT + 1):
        native.load(object_bytes, ("constant",), {})
    gc.collect()
    assert linker() is not None
    assert call_i64(kept) == 5
    del kept
    gc.collect()
    assert linker() is None


# -------------------------------------------------------------------------------- key and cache


def test_key_holds_everything_that_code_depends_on(monkeypatch):
    keys = {native.content_key(KERNEL, 0), native.content_key(KERNEL, 1)}
    keys.add(native.content_key(KERNEL + "\n", 0))
    host = native.host()
    for field in host._fields:
        other = host._replace(**{field: ("other",) if field == "llvm" else "other"})
        with monkeypatch.context() as patch:
            patch.setattr(native, "host", lambda other=other: other)
            keys.add(native.content_key(KERNEL, 0))
    monkeypatch.setattr(native, "FORMAT", native.FORMAT + 1)
    keys.add(native.content_key(KERNEL, 0))
    assert len(keys) == 3 + len(host._fields) + 1
    assert all(len(key) == 64 and key.isalnum() for key in keys)


@pytest.fixture
def compiles(monkeypatch):
    """The tiers of the compiles that happened."""
    tiers = []
    compile_object = native.compile_object

    def counted(ir_text, tier=0):
        tiers.append(tier)
        return compile_object(ir_text, tier)

    monkeypatch.setattr(native, "compile_object", counted)
    return tiers


def test_second_time_comes_from_disk(tmp_path, compiles):
    for _ in range(3):
        store = ObjectStore(tmp_path / "objects")
        library = native.compile_cached(constant(11), ("constant",), {}, 0, store)
        assert call_i64(library) == 11
    assert compiles == [0]
    native.compile_cached(constant(11), ("constant",), {}, 1, store)
    native.compile_cached(constant(12), ("constant",), {}, 0, store)
    assert compiles == [0, 1, 0]


@pytest.mark.parametrize("damage", ["bits", "object", "symbol"])
def test_bad_entry_is_compiled_again_and_rewritten(tmp_path, compiles, damage):
    store = ObjectStore(tmp_path / "objects")
    key = native.content_key(constant(11), 0)
    native.compile_cached(constant(11), ("constant",), {}, 0, store)
    good = store.get(key)
    if damage == "bits":
        path = store.directory / f"{key}.tjo"
        path.write_bytes(path.read_bytes()[:-3] + b"abc")
    elif damage == "object":
        store.put(key, b"no object, but well framed")
    else:
        store.put(key, native.compile_object(constant(3).replace("@constant", "@other")))
    compiles.clear()
    for _ in range(2):
        assert call_i64(native.compile_cached(constant(11), ("constant",), {}, 0, store)) == 11
    assert compiles == [0]
    assert store.get(key) == good


def test_text_that_does_not_compile_is_not_stored(tmp_path):
    store = ObjectStore(tmp_path / "objects")
    for _ in range(2):
        with pytest.raises(KernelError):
            native.compile_cached("garbage", ("k",), {}, 0, store)
    assert list(store.directory.iterdir()) == []


# ------------------------------------------------------------------------- threads, fork, imports


def test_threads_compile_at_once():
    wrong = []

    def work(number):
        for i in range(15):
            value = number * 1000 + i
            library = native.load(native.compile_object(constant(value), i % 2), ("constant",), {})
            if call_i64(library) != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORK = """
import os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)     # Python 3.12: fork with threads
sys.path.insert(0, sys.argv[1])
from tapejit.runtime import native
lines = "".join(f"%v{i + 1} = add i64 %v{i}, {i}\\n" for i in range(1500))
text = "define i64 @k(i64 %v0) {\\n" + lines + "ret i64 %v1500\\n}"
native.compile_object(text)
running = True
def work():
    while running:
        native.compile_object(text, 1)
thread = threading.Thread(target=work, daemon=True)
thread.start()
for _ in range(12):
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        native.load(native.compile_object(text), ("k",), {})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "a child hung or died"
running = False
thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_child_forked_during_a_compile_can_compile():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", FORK, root], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_library_alive_at_exit_and_numba_not_imported():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from tapejit.runtime import native\n"
        "assert 'llvmlite' not in sys.modules\n"
        f"kept = native.load(native.compile_object({constant(5)!r}), ('constant',), {{}})\n"
        "cycle = [kept]; cycle.append(cycle)\n"
        "assert 'numba' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_host_is_this_machine():
    assert native.host().llvm[0] >= 15
    assert "-" in native.host().triple
    assert struct.calcsize("P") == 8, "the record of a launcher holds addresses as int64"
