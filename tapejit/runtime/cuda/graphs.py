"""Launches that were made before, at the same addresses, as one: CUDA graphs of whole calls.

A call's addresses come from a pool, which tends to give the same ones again: a training loop sees a
few sets of them over and over.  The second time a set is seen its launches are recorded instead of
made one by one, from then on they are replayed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tapejit import config
from tapejit.bounded import Bounded
from tapejit.errors import LaunchError
from tapejit.runtime.cuda.machine import Graph, Machine

FEWEST = 3
"""Launches from which a replay costs less than to make them: one takes 0.5 us, a graph 2."""

KEPT = 8
"""Graphs of a program; a set of addresses more, and the eldest goes."""

SEEN = 64
"""Sets of addresses of which it is known that they were seen."""


class Graphs:
    """launch(*addresses) with memory."""

    def __init__(self, machine: Machine, launch: Callable[..., Any]):
        self.machine, self.launch = machine, launch
        self.is_refused = False  # by the driver
        self.seen: Bounded[tuple[int, ...], bool] = Bounded(SEEN)
        self.graphs: Bounded[tuple[int, ...], Graph] = Bounded(KEPT)

    def __call__(self, *addresses: int) -> None:
        """Make the launches."""
        if self.is_refused or not config.settings.graphs or config.settings.blocking:
            self.launch(*addresses)
            return
        graph = self.graphs.get(addresses)
        if graph is None:
            if self.seen.get(addresses) is None:
                self.seen.put(addresses, True)
                self.launch(*addresses)
                return
            try:
                graph = self.machine.capture(lambda: self.launch(*addresses))
            except LaunchError as error:
                self.is_refused = True
                warnings.warn(
                    f"tapejit: kernels are launched one by one: {error}",
                    RuntimeWarning,
                    stacklevel=4,
                )
                self.launch(*addresses)
                return
            self.graphs.put(addresses, graph)
        graph.launch()
