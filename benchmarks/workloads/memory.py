"""Memory that distinct programs leave behind: it must not grow once the tables are full.

Each kind of program (see benchmarks.growth) runs in a process of its own; resident memory and the
number of memory maps are compared between a half of the programs and all of them.  The process
keeps 512 kernels (the default is 2,048), so that both halves are behind the limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable

from benchmarks import harness
from benchmarks.records import Case, Figure

SUMMARY = "resident memory and memory maps over distinct programs"
TARGETS = ()
PEERS: dict = {}
KINDS = {"functions": 5000, "eager": 10_000, "signatures": 10_000, "slices": 50_000}
GROWTH, MAPS = 1.05, 100
FIGURES = {
    f"{count:,} {kind}": f"second half: resident <= {GROWTH}x the first's, maps <= {MAPS} more"
    for kind, count in KINDS.items()
}


def cases(quick: bool) -> list[Case]:
    """None: nothing is timed."""
    return []


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """One row for each kind of program."""
    rows = []
    for (kind, count), name in zip(KINDS.items(), FIGURES, strict=True):
        rows.append(grow(name, kind, count // 50 if quick else count, quick))
        say(f"  {rows[-1].name}: {rows[-1].value}")
    return rows


def grow(name: str, kind: str, count: int, quick: bool) -> Figure:
    """Run the programs in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as cache:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.growth", kind, str(count)],
            cwd=harness.ROOT, capture_output=True, text=True,
            env=harness.environment("tapejit", cache) | {"TAPEJIT_KERNELS": "512"},
        )  # fmt: skip
    if done.returncode:
        return Figure(name, done.stderr[-2000:], FIGURES[name], "wrong", {})
    samples = json.loads(done.stdout)
    (_, middle, maps), (_, last, last_maps) = samples[len(samples) // 2 - 1], samples[-1]
    value = (
        f"{samples[0][1]:.0f} MiB and {samples[0][2]} maps after {samples[0][0]}, {middle:.0f} and "
        f"{maps} after half, {last:.0f} and {last_maps} after all"
    )
    is_met = last <= GROWTH * middle and last_maps <= maps + MAPS
    word = "not judged" if quick else "met" if is_met else "missed"
    return Figure(name, value, FIGURES[name], word, {"samples": samples})
