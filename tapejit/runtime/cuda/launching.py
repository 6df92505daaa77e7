"""Launches with addresses: what steps of all kinds come down to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapejit.codegen.cuda.launches import Function, Launches
from tapejit.runtime.cuda.machine import Machine

BYTES = {"bool": 1, "i32": 4, "f32": 4, "i64": 8, "f64": 8, "c64": 8, "c128": 16}


def run_launches(machine: Machine, step: Launches, addresses: Sequence[int]) -> None:
    """Launch a step whose views begin at these addresses, with scratch memory of its own."""
    held = [machine.allocate(BYTES[dtype] * max(n, 1)) for dtype, n in step.scratch]
    places = {"view": addresses, "scratch": [memory.address for memory in held]}
    for launch in step.launches:
        assert isinstance(launch.function, Function), launch
        arguments = [
            x if isinstance(x, int | np.integer) else places[x.role][x.number]
            for x in launch.arguments
        ]
        machine.kernel(launch.function)(launch.grid, arguments)
