"""One process of the workload `tapes`: a first gradient, later ones, and what memory they take.

    python -m benchmarks.long_tape N

Prints JSON: first_s and warm_s, seconds a call; first_cpu_s, the processor's part of the first,
which a loaded machine does not lengthen; recording_bytes, resident memory at its highest above
that before the call, a row; and kept_bytes, after it.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from time import perf_counter, process_time

import numpy as np

import tapejit as tj
from benchmarks.workloads.tapes import function, inputs


def resident_bytes() -> int:
    """Resident memory now (Linux), else the highest so far."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return highest_bytes()


def highest_bytes() -> int:
    """The highest resident memory so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(n: int) -> dict:
    """Measure a tape of n operations."""
    settings = {"n": n, "seed": 7}
    f, (x,) = function(settings, np), inputs(settings, 0)
    gradient = tj.value_and_grad(f)
    before = resident_bytes()
    start, cpu_start = perf_counter(), process_time()
    gradient(x)
    first_s, first_cpu_s = perf_counter() - start, process_time() - cpu_start
    highest = highest_bytes()
    gc.collect()
    after = resident_bytes()
    repeats = max(1, 30_000 // n)
    samples = []
    for _ in range(2 if n > 1_000_000 else 9):
        start = perf_counter()
        for _ in range(repeats):
            gradient(x)
        samples.append((perf_counter() - start) / repeats)
    return {
        "n": n, "first_s": first_s, "first_cpu_s": first_cpu_s, "warm_s": min(samples),
        "recording_bytes": (highest - before) / n, "kept_bytes": (after - before) / n,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
