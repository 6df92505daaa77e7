"""The way to a card without one: what is missing is said, kernels are compiled, and a stand-in for
the driver takes down what it is asked (cuda_driver/: driver.c, and the tests in recorded.py).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_needs import build_recorder

import tapejit
from tapejit import errors
from tapejit.codegen.cuda.launches import Function
from tapejit.errors import GpuUnavailable, KernelError
from tapejit.runtime.cuda import probe
from tapejit.runtime.cuda.compiling import compile_ptx, entry_name, link
from tapejit.runtime.cuda.cubins import pack, unpack

RECORDED = Path(__file__).parent / "cuda_driver" / "recorded.py"

MEAN = """
@cuda.jit(device=True, inline="always")
def scaled(x):
    if x > {T}(3):
        return x * {T}(0.5)
    return math.exp(x)

def kernel(x0, b0, y0, n0):
    partial = cuda.shared.array(64, {T})
    t = cuda.threadIdx.x
    total = {T}(0)
    i = cuda.grid(1)
    while i < n0:
        if b0[i] != 0:
            total = total + scaled(x0[i])
        i += cuda.gridsize(1)
    partial[t] = total
    cuda.syncthreads()
    if t == 0:
        y0[cuda.blockIdx.x] = partial[0] + partial[63]
"""


def mean(dtype: str) -> Function:
    source = MEAN.format(T={"f32": "float32", "f64": "float64"}[dtype])
    return Function(source, (f"{dtype}*", "bool*", f"{dtype}*", "i32"), 64)


# ------------------------------------------------------------------------------------ absences


def test_importing_tapejit_imports_nothing_of_cuda():
    text = "import sys, tapejit; print(*[n for n in sys.modules if n.split('.')[0] in {}])"
    text = text.format(("cuda", "numba_cuda", "cupy", "nvmath", "numba", "pynvml"))
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert found.stdout.strip() in ("", "cuda"), "a redirector may name the namespace package"


@pytest.mark.parametrize("module", ["cuda.bindings.driver", "cuda.core", "cuda.pathfinder"])
def test_a_missing_package_is_said(monkeypatch, module):
    monkeypatch.setattr(probe, "_started", [])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        GpuUnavailable, match=r"(?s)package cuda.*pip install 'tapejit\[cuda13\]'"
    ) as c:
        tapejit.zeros(2, device="cuda")
    assert c.value.reason == "package"
    assert not tapejit.cuda.is_available() and tapejit.cuda.device_count() == 0


def test_the_reasons_are_those_that_are_documented():
    text = "".join(path.read_text() for path in Path(probe.__file__).parent.glob("*.py"))
    raised = set(re.findall(r'GpuUnavailable\(\s*"(\w+)"', text))
    assert raised == set(GpuUnavailable.REASONS)
    assert all(re.search(rf"^    {reason} ", GpuUnavailable.__doc__, re.M) for reason in raised)


def test_errors_are_those_that_people_catch():
    for error in (errors.GpuUnavailable, errors.OutOfMemory, errors.LaunchError):
        assert issubclass(error, (errors.TapejitError)) and issubclass(error, RuntimeError)


@pytest.mark.compiler
def test_a_missing_driver_is_said(monkeypatch):
    import cuda.pathfinder

    def none(name):
        raise RuntimeError(f"no lib{name}")

    monkeypatch.setattr(probe, "_started", [])
    monkeypatch.setattr(cuda.pathfinder, "load_nvidia_dynamic_lib", none)
    with pytest.raises(GpuUnavailable, match=r"no NVIDIA driver \(libcuda.so.1\)") as caught:
        tapejit.cuda.current_device()
    assert caught.value.reason == "driver"


@pytest.mark.gpu
def test_a_card_answers():
    assert tapejit.cuda.get_device_capability() >= probe.OLDEST_CARD
    free, total = tapejit.cuda.mem_get_info()
    assert 0 < free <= total


# ------------------------------------------------------------------------------------ compiling


@pytest.mark.compiler
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_text_becomes_machine_code(dtype, capability):
    ptx = compile_ptx(mean(dtype), capability)
    assert f".target sm_{capability[0]}{capability[1]}" in ptx
    assert ".maxntid 64" in ptx
    assert (".f64" in ptx) == (dtype == "f64")
    cubin = link(ptx, capability)
    assert cubin.code.startswith(b"\x7fELF") and cubin.entry == entry_name(mean(dtype))
    assert cubin.entry.encode() in cubin.code
    assert 0 < cubin.registers < 64 and cubin.spills == 0
    assert cubin.shared - 64 * int(dtype[1:]) // 8 in (0, 1024)  # the system's, from sm_90 on


@pytest.mark.compiler
def test_code_does_not_depend_on_what_was_compiled_before():
    first = compile_ptx(mean("f32"), (8, 0))
    compile_ptx(mean("f64"), (8, 0))
    again = compile_ptx(mean("f32"), (8, 0))
    assert again == first and link(again, (8, 0)) == link(first, (8, 0))
    assert not re.search(r"_cudapy_|_ZN|NumbaEnv", first)


@pytest.mark.compiler
def test_text_that_does_not_compile_is_shown():
    wrong = mean("f32")._replace(source=mean("f32").source.replace("scaled(x0", "scalde(x0"))
    with pytest.raises(KernelError, match="'scalde' is not defined") as caught:
        compile_ptx(wrong, (8, 0))
    assert wrong.source in str(caught.value)


@pytest.mark.compiler
def test_code_for_a_newer_card_does_not_link():
    with pytest.raises(KernelError, match="sm_80 does not link"):
        link(compile_ptx(mean("f32"), (9, 0)), (8, 0))


@pytest.mark.compiler
def test_numbas_simulator_compiles_nothing(monkeypatch):
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    with pytest.raises(GpuUnavailable, match="NUMBA_ENABLE_CUDASIM is set") as caught:
        compile_ptx(mean("f32"), (8, 0))
    assert caught.value.reason == "toolchain"


@pytest.mark.compiler
def test_what_is_kept_is_all_of_it():
    cubin = link(compile_ptx(mean("f32"), (8, 0)), (8, 0))
    assert unpack(pack(cubin, "numba-cuda 1")) == (cubin, "numba-cuda 1")


# ------------------------------------------------------------------------------------ the driver


@pytest.mark.recorder
def test_what_the_driver_is_asked(tmp_path):
    """recorded.py, with the recorder as the driver of its process."""
    environment = {**build_recorder(tmp_path), "RECORDER_MEMORY": str(64 * 2**20)}
    environment["PYTHONPATH"] = str(Path(tapejit.__file__).parent.parent)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(RECORDED)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr
    assert int(re.findall(r"(\d+) passed", found.stdout)[0]) >= 40
