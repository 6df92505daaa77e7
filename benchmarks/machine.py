"""What machine, which commit and which versions a run was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

LIBRARIES = ("numpy", "numba", "llvmlite", "jax", "jaxlib", "torch", "matplotlib")


def versions() -> dict[str, str | None]:
    """Return the version of each library, None where it is not installed; imports nothing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def describe() -> dict:
    """Return the machine: processor, number of CPUs, system, load."""
    return {
        "processor": processor(),
        "n_cpus": os.cpu_count(),
        "system": platform.platform(),
        "load": load(),
    }


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load() -> float | None:
    """Return the load average over the last minute; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def last_cpu() -> int:
    """Return the last CPU that this process may use; -1 where processes cannot be pinned."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1


def commit(root: Path) -> dict:
    """Return the commit, and whether files differ from it; None without git."""
    hash_ = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "tapejit", "benchmarks")
    return {"hash": hash_, "changed": None if changes is None else bool(changes)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
