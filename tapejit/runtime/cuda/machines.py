"""Which GPUs there are: cards, or simulated ones in the setting `cuda`."""

from __future__ import annotations

from tapejit.config import settings
from tapejit.errors import GpuUnavailable
from tapejit.locks import Lock
from tapejit.runtime.cuda.machine import Machine

_MACHINES: dict[tuple[str, int], Machine] = {}
_LOCK = Lock()


def machine(index: int = 0) -> Machine:
    """The GPU of this number; errors.GpuUnavailable where there is none."""
    found = _MACHINES.get((settings.cuda, index))
    if found is not None:
        return found
    with _LOCK:
        if (settings.cuda, index) not in _MACHINES:
            _MACHINES[settings.cuda, index] = _made(index)
        return _MACHINES[settings.cuda, index]


def count() -> int:
    """The number of GPUs; 0 if none can be used, whatever is missing."""
    if settings.cuda == "simulator":
        from tapejit.runtime.cuda.simulator.machine import COUNT

        return COUNT
    from tapejit.runtime.cuda.probe import count_devices

    return count_devices()


def _made(index: int) -> Machine:
    if settings.cuda == "simulator":
        from tapejit.runtime.cuda.simulator.machine import COUNT, SimulatedMachine

        if not 0 <= index < COUNT:
            raise GpuUnavailable(
                "device",
                f"device='cuda:{index}': there are {COUNT} simulated GPUs, 0 to {COUNT - 1}",
            )
        return SimulatedMachine(index)
    from tapejit.runtime.cuda.card import Card

    return Card(index)
