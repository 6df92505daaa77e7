"""What tests of the GPU back end need beyond the project: those marked `compiler`, `recorder` or
`gpu` are skipped, aloud, where it is missing (conftest.py).

TAPEJIT_REQUIRE=compiler,recorder turns the skips into failures: CI sets it where it has installed
what they need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from tapejit.errors import GpuUnavailable
from tapejit.runtime.cuda import probe

SOURCE = Path(__file__).parent / "cuda_driver" / "driver.c"


def _compiler() -> str:
    has = all(find_spec(name) for name in ("cuda", "numba_cuda"))
    return "" if has else "no package numba-cuda: pip install 'tapejit[cuda13]'"


def _recorder() -> str:
    return _compiler() or ("" if shutil.which("gcc") else "no gcc")


def _gpu() -> str:
    try:
        probe.device(0)
    except GpuUnavailable as missing:
        return str(missing)
    return ""


LACKS = {"compiler": _compiler, "recorder": _recorder, "gpu": _gpu}
"""By mark: what is missing, in words; nothing if all is there."""


def lacking(mark: str) -> str:
    """Why tests with a mark are skipped, or nothing."""
    return "" if mark in os.environ.get("TAPEJIT_REQUIRE", "").split(",") else LACKS[mark]()


def build_recorder(directory: Path) -> dict[str, str]:
    """The environment of a process whose libcuda is the recorder, which is compiled now."""
    library = directory / "libcuda.so.1"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True, capture_output=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(directory)}
