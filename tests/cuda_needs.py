"""What tests of the GPU back end need beyond the project, and who says so aloud.

TAPEJIT_REQUIRE=compiler,recorder turns these skips into failures: CI sets it where it has
installed what they need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

REQUIRED = os.environ.get("TAPEJIT_REQUIRE", "").split(",")
EXTRA = "pip install 'tapejit[cuda13]'"
SOURCE = Path(__file__).parent / "cuda_driver" / "driver.c"


def _needs(name: str, is_there: bool, reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not is_there and name not in REQUIRED, reason=reason)


HAS_PACKAGES = all(find_spec(name) for name in ("cuda", "numba_cuda"))
needs_compiler = _needs("compiler", HAS_PACKAGES, f"no package numba-cuda: {EXTRA}")
needs_recorder = _needs(
    "recorder",
    HAS_PACKAGES and shutil.which("gcc") is not None,
    f"no gcc, or no package cuda-core: {EXTRA}",
)


def build_recorder(directory: Path) -> dict[str, str]:
    """The environment of a process whose libcuda is the recorder, which is compiled now."""
    library = directory / "libcuda.so.1"
    command = ["gcc", "-O1", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True, capture_output=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(directory)}
