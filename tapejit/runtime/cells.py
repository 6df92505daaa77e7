"""A kernel's cell: the memory that says where its code is, and how long it ran so far.

    start | loop | finish | left      addresses (0: it has none); ns until `left` runs out

Records of steps point to a cell (launcher.py), so that putting other code into it is one aligned
store of 8 bytes per function, which everything that runs the kernel sees with its next run.  Every
run takes its estimate from `left`; when that falls below zero, tiers.py hears of it.
"""

from __future__ import annotations

import weakref

import numpy as np

from tapejit.plan import LoopKernel, RowKernel

NEVER = 1 << 62
"""A `left` that does not run out: 146 years."""

LEFT = 3
"""The place of `left`."""

_BY_ADDRESS: weakref.WeakValueDictionary[int, Cell] = weakref.WeakValueDictionary()


class Cell:
    """A kernel's entry points, in memory that records point to, and what keeps them valid.

    A cell with a `kernel` may get better code when it has run for `left` ns.
    """

    __slots__ = ("__weakref__", "address", "has_looked", "kernel", "memory", "owner", "tier")

    def __init__(
        self,
        start: int,
        loop: int,
        finish: int,
        owner: object,
        kernel: LoopKernel | RowKernel | None = None,
        left: int = NEVER,
    ):
        assert loop, "a kernel without a loop"
        self.memory = np.array((start, loop, finish, left), np.int64)
        self.address: int = self.memory.ctypes.data
        self.owner = owner
        self.kernel = kernel
        self.tier = 0
        self.has_looked = False  # whether the disk was asked for tier 1
        if kernel is not None:
            _BY_ADDRESS[self.address] = self

    def replace(self, start: int, loop: int, finish: int, owner: object, tier: int):
        """Run other code from now on.  The old stays valid: somebody may be in it."""
        self.owner = (self.owner, owner)
        self.memory[:LEFT] = start, loop, finish
        self.tier = tier


def at(address: int) -> Cell | None:
    """The cell at an address, if it may get better code."""
    return _BY_ADDRESS.get(address)
