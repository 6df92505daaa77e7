"""Whether a GPU can be used, and what to do where it cannot: one error class, five reasons.

Nothing of CUDA is imported before `driver` is called.  It looks for the packages, then for
libcuda (cuda.core answers a missing one with SystemError), then starts the driver.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from tapejit.errors import GpuUnavailable
from tapejit.locks import Lock

OLDEST_CARD = (7, 5)
"""Turing, of 2018: what CUDA 13 makes code for."""

_OTHERWISE = "or use device='cpu', or TAPEJIT_CUDA=simulator to try things out"

_started: list[Any] = []
_forked = False
_LOCK = Lock()


def driver() -> Any:
    """The module cuda.bindings.driver, started; errors.GpuUnavailable says what is missing."""
    if _forked:
        raise GpuUnavailable(
            "device",
            "device='cuda': this process was forked from one that uses the GPU, which CUDA does "
            "not allow\n  try  multiprocessing.get_context('spawn')",
        )
    with _LOCK:
        if not _started:
            _started.append(_start())
    return _started[0]


def is_driver_lost() -> bool:
    """Whether this is a forked child of a process that had started the driver."""
    return _forked


def device(index: int) -> Any:
    """The driver's number of a GPU; errors.GpuUnavailable if there is none, or it is too old."""
    cuda = driver()
    n_devices = _value(cuda.cuDeviceGetCount())
    if not 0 <= index < n_devices:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise GpuUnavailable(
            "device",
            f"device='cuda:{index}': there {_are(n_devices)}"
            + ("" if visible is None else f" (CUDA_VISIBLE_DEVICES is {visible!r})")
            + f"\n  try  nvidia-smi, {_OTHERWISE}",
        )
    found = _value(cuda.cuDeviceGet(index))
    capability = compute_capability(cuda, found)
    if capability < OLDEST_CARD:
        raise GpuUnavailable(
            "too_old",
            f"device='cuda:{index}': this card has compute capability {_dotted(capability)}; "
            f"{_dotted(OLDEST_CARD)} (Turing, 2018) or newer is needed",
        )
    if not attribute(cuda, found, "MEMORY_POOLS_SUPPORTED"):
        raise GpuUnavailable(
            "too_old",
            f"device='cuda:{index}': this card, or its driver, has no stream-ordered memory, which "
            "is needed (some virtual GPUs lack it)",
        )
    return found


def compute_capability(cuda: Any, found: Any) -> tuple[int, int]:
    """(9, 0) of an H100."""
    major = attribute(cuda, found, "COMPUTE_CAPABILITY_MAJOR")
    return major, attribute(cuda, found, "COMPUTE_CAPABILITY_MINOR")


def attribute(cuda: Any, found: Any, name: str) -> int:
    """One of the numbers that the driver knows of a GPU."""
    number = getattr(cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
    return _value(cuda.cuDeviceGetAttribute(number, found))


def count_devices() -> int:
    """The number of GPUs that the driver sees; 0 whatever is missing."""
    try:
        return _value(driver().cuDeviceGetCount())
    except GpuUnavailable:
        return 0


def _start() -> Any:
    try:
        cuda = import_module("cuda.bindings.driver")
        import_module("cuda.core")
        load = import_module("cuda.pathfinder").load_nvidia_dynamic_lib
    except ImportError as error:
        raise GpuUnavailable(
            "package",
            f"device='cuda': the Python package {error.name} is not there\n"
            "  try  pip install 'tapejit[cuda13]', or 'tapejit[cuda12]' for drivers before 580,\n"
            f"       {_OTHERWISE}",
        ) from None
    try:
        load("cuda")
    except Exception as error:  # its own class, in a module that moved
        raise GpuUnavailable(
            "driver",
            "device='cuda': there is no NVIDIA driver (libcuda.so.1) on this machine\n"
            f"  try  to install it, {_OTHERWISE}",
        ) from error
    (status,) = cuda.cuInit(0)
    if status:
        raise GpuUnavailable(
            "device",
            f"device='cuda': NVIDIA's driver is there, but does not start: {status.name}\n"
            f"  try  nvidia-smi; CUDA_VISIBLE_DEVICES; {_OTHERWISE}",
        )
    version = _value(cuda.cuDriverGetVersion())
    found = version // 1000, version % 1000 // 10
    needed = int(import_module("cuda.bindings").__version__.split(".")[0])
    if found[0] < needed:
        raise GpuUnavailable(
            "too_old",
            f"device='cuda': NVIDIA's driver is made for CUDA {_dotted(found)}, the installed "
            f"packages need CUDA {needed}\n"
            f"  try  a newer driver, or pip install 'tapejit[cuda{found[0]}]'",
        )
    return cuda


def _value(result: tuple) -> int:
    status, value = result
    if status:
        raise GpuUnavailable("device", f"device='cuda': the driver answers {status.name}")
    return value


def _are(n: int) -> str:
    if not n:
        return "is no GPU"
    return "is one GPU, number 0" if n == 1 else f"are {n} GPUs, numbers 0 to {n - 1}"


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _after_fork():
    global _forked
    _forked = _forked or bool(_started)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
