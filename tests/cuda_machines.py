"""Where tests run kernels: in the simulator, or, with TAPEJIT_TEST_CARD=1, on a card.

So what tests say of kernels is said of both: test_cuda_card.py runs them again.
"""

from __future__ import annotations

import functools
import os

from tapejit import config
from tapejit.codegen.cuda.launches import Function
from tapejit.runtime.cuda.machine import Machine
from tapejit.runtime.cuda.machines import machine
from tapejit.runtime.cuda.simulator.kernels import Kernel, Pointer
from tapejit.runtime.cuda.simulator.machine import SimulatedMachine

IS_CARD = os.environ.get("TAPEJIT_TEST_CARD", "0") != "0"


class CardKernel:
    """A kernel on a card, called as a simulated one: pointers are to the host's memory."""

    def __init__(self, function: Function):
        with config.set(cuda="card"):
            self.card = machine(0)
        self.launch = self.card.kernel(function)

    def run(self, grid: int, arguments: list[Pointer | int]):
        """Copies memory in, each once; launches; and copies it back."""
        held = {}
        for pointer in self._pointers(arguments):
            if pointer.base not in held:
                memory = self.card.allocate(pointer.elements.nbytes)
                held[pointer.base] = pointer.elements, memory
                self.card.copy_in(memory.address, pointer.elements)
        self.launch(
            grid,
            [
                held[x.base][1].address + x.offset * x.step if isinstance(x, Pointer) else x
                for x in arguments
            ],
        )
        for elements, memory in held.values():
            if elements.flags.writeable:
                self.card.copy_out(elements, memory.address)

    @staticmethod
    def _pointers(arguments):
        """The longest view of each memory first."""
        found = [x for x in arguments if isinstance(x, Pointer)]
        return sorted(found, key=lambda pointer: -pointer.elements.nbytes)


@functools.cache
def kernel_of(function: Function) -> Kernel | CardKernel:
    """A function ready to be run, once for each text."""
    return (CardKernel if IS_CARD else Kernel)(function)


def machine_under_test() -> Machine:
    """A simulated GPU of the caller's own, or the card."""
    if not IS_CARD:
        return SimulatedMachine()
    with config.set(cuda="card"):
        return machine(0)
