"""How long a program takes on a GPU, and a copy of as many bytes: for benchmarks.workloads.gpu.

    python -m benchmarks.bandwidth SETTINGS

A program that reads its inputs once and writes its gradients once moves as many bytes as a copy of
half of them.  Both are timed by the card's own events, the least of several runs; JSON goes to
standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from benchmarks.workloads import gpu

RUNS, CALLS = 20, 10


def least_ms(call: Callable) -> float:
    """The milliseconds that a call takes on the card."""
    import tapejit as tj

    for _ in range(3):
        call()
    times = []
    for _ in range(RUNS):
        begin, end = (tj.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(CALLS):
            call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / CALLS)
    return min(times)


def measure(settings: dict) -> dict:
    """The times of a program and of a copy."""
    import tapejit as tj
    from tapejit.nn import functional

    arrays = gpu.inputs(settings, 0)
    given = [tj.tensor(x, device="cuda") for x in arrays]
    places = gpu.argnums(settings)
    function = tj.value_and_grad(gpu.torch_like(settings, tj, functional), argnums=places)
    n_bytes = sum(x.nbytes for x in arrays) + sum(arrays[k].nbytes for k in places)
    source, target = (tj.zeros(n_bytes // 2, dtype=tj.uint8, device="cuda") for _ in range(2))
    return {
        "bytes": n_bytes,
        "call_ms": least_ms(lambda: function(*given)),
        "copy_ms": least_ms(lambda: target.copy_(source)),
        "card": tj.cuda.get_device_name(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
