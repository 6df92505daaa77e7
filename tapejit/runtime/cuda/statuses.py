"""What loops on a GPU refused: looked at where somebody waits for the GPU anyway.

On the CPU a loop that meets an index out of range, or a singular matrix, says so by its status, and
the operation's `evaluate` raises.  On a GPU nobody looks at once, since that would wait: a status
stays what it is until the next copy to the host from the same stream, which raises in the
operation's place.  So an error may come later than its cause, as PyTorch's do, never not at all:
no number reaches the host before `check` was asked.

Start at `check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tapejit.errors import AxisError, LinAlgError, NotDifferentiable, TapejitError
from tapejit.locks import Lock
from tapejit.runtime.cuda.machine import Machine
from tapejit.sites import Site, describe_site, here

if TYPE_CHECKING:  # who imports tapejit has no use for what makes GPU kernels
    from tapejit.runtime.cuda.steps import Step

N_SITES = 8
"""How many lines an error names."""

SLOTS = 512
"""Statuses of a block: one copy to the host looks at the loops of many programs."""

_waiting: dict[tuple[int, int], dict[Statuses, dict[Site, None]]] = {}
"""By machine and stream: whose launches were not looked at, and the lines that asked for them."""
_filling: dict[int, Block] = {}
"""By machine: the block that has slots left."""
_LOCK = Lock()


class Block:
    """Memory for statuses, one int64 each; all are 0 as long as nothing was refused."""

    def __init__(self, machine: Machine, n_slots: int):
        self.machine, self.n_slots, self.n_taken = machine, n_slots, 0
        self.memory = machine.allocate(8 * n_slots)
        self.clear(0, n_slots)
        machine.synchronize()  # other threads' streams write to it

    def clear(self, first: int, n: int) -> None:
        """Forget what was refused."""
        self.machine.copy_in(self.memory.address + 8 * first, np.zeros(n, np.int64))

    def values(self) -> np.ndarray:
        """All of them; waits for the stream."""
        values = np.empty(self.n_slots, np.int64)
        self.machine.copy_out(values, self.memory.address)
        return values


class Statuses:
    """The statuses of a program's loops: a part of a block."""

    def __init__(self, machine: Machine, steps: Sequence[Step]):
        self.machine, self.steps = machine, steps
        with _LOCK:
            block = _filling.get(id(machine))
            if block is None or block.n_taken + len(steps) > block.n_slots:
                block = _filling[id(machine)] = Block(machine, max(SLOTS, len(steps)))
            self.block, self.first = block, block.n_taken
            block.n_taken += len(steps)

    def address(self, step: Step) -> int:
        """Of the status of one step."""
        number = next(k for k, known in enumerate(self.steps) if known is step)
        return self.block.memory.address + 8 * (self.first + number)

    def launched(self) -> None:
        """A call was made on the current stream."""
        key = _stream_of(self.machine)
        sites = _waiting.get(key, {}).get(self)
        if sites is None:
            with _LOCK:
                sites = _waiting.setdefault(key, {}).setdefault(self, {})
        if here.site is not None and len(sites) < N_SITES:
            sites[here.site] = None

    def error(self, values: np.ndarray, sites: Iterable[Site]) -> TapejitError | None:
        """What the first loop that refused has to say, if the block holds these values; once.

        sites  the lines that it was called at
        """
        refused = np.flatnonzero(values[self.first : self.first + len(self.steps)])
        if not len(refused):
            return None
        self.block.clear(self.first, len(self.steps))
        return _error_of(self.steps[refused[0]], self.machine.index, map(describe_site, sites))


def check(machine: Machine, all_streams: bool = False) -> None:
    """Raise if a loop refused something in the current stream.  Waits for it if there are loops.

    all_streams  in any stream: all of them have come to an end

    Errors  AxisError for an index out of range, LinAlgError for a matrix that cannot be factorized
    """
    keys = [_stream_of(machine)]
    if all_streams:
        keys = [key for key in list(_waiting) if key[0] == id(machine)]
    if not any(key in _waiting for key in keys):
        return
    with _LOCK:
        waiting = [pair for key in keys for pair in _waiting.pop(key, {}).items()]
    values = {block: block.values() for block in {statuses.block for statuses, _ in waiting}}
    errors = [statuses.error(values[statuses.block], sites) for statuses, sites in waiting]
    for error in errors:
        if error is not None:
            raise error


def _stream_of(machine):
    return id(machine), int(machine.stream.handle)


_FAILED = "the algorithm did not converge: a matrix has elements that are not finite"
_REFUSED = {
    "cholesky": "a matrix is not positive-definite",
    **dict.fromkeys(("eigh", "eigvalsh", "eig", "eigvals", "svd", "svdvals"), _FAILED),
}
"""What is wrong if an operation of linear algebra refuses; of the others a matrix is singular."""


def _error_of(step, index, lines):
    """The operation's own error; which call it was is known only to within the last copy."""
    name = step.kind.op.name
    later = (
        f"\n  on cuda:{index}, whose operations run later than they are called: it is one of those "
        f"since the last copy to the host, at\n    " + "\n    ".join(lines)
    )
    if name == "refuse":
        return NotDifferentiable(step.kind.attributes()["words"] + later)
    if step.kind.op.family == "linalg":
        what = _REFUSED.get(name, "a matrix is singular")
        return LinAlgError(f"{name}: {what}{later}")
    shape = list(step.views[0].shape)
    return AxisError(f"{name}: an index is out of range for a tensor of shape {shape}{later}")
