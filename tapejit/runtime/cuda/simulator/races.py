"""Races of a kernel's threads, found while they are simulated one after another.

Blocks are unordered, and so are the threads of a block between two barriers.  An element that one
of them changes and another reads or changes has a value that depends on chance; `Races` notes who
did what to each element, and raises.  To write what is there already changes nothing: threads may
all set a flag.
"""

from __future__ import annotations


class Now:
    """Which thread runs."""

    def __init__(self):
        self.enter(0, 0, 0)

    def enter(self, block: int, thread: int, interval: int):
        """interval  how many barriers the block has passed"""
        self.moment = block, thread, interval


_SEVERAL = -1


class Races:
    """Who read and who changed each element of what threads share."""

    def __init__(self, now: Now):
        self.now = now
        self.read: dict[int, tuple[int, int, int]] = {}
        self.changed: dict[int, tuple[int, int, int]] = {}

    def note_read(self, key: int):
        """An element is read."""
        moment = self.now.moment
        if self.changed:
            _check(moment, "read", self.changed.get(key), "changed")
        before = self.read.get(key)
        if before is not moment:
            self.read[key] = moment if before is None else _both(before, moment)

    def note_change(self, key: int):
        """An element gets another value."""
        moment = self.now.moment
        _check(moment, "changed", self.read.get(key), "read")
        _check(moment, "changed", self.changed.get(key), "changed")
        self.changed[key] = moment


def _check(moment, done, other, did):
    if other is None or other is moment:
        return
    if other[0] != moment[0] or (other[2] == moment[2] and other[1] != moment[1]):
        who = "several blocks" if other[0] == _SEVERAL else f"block {other[0]}"
        who += "" if other[1] == _SEVERAL else f", thread {other[1]}"
        raise RuntimeError(
            f"{done}, and {did} by {who}: one may come before or after the other\n"
            "  try  cuda.syncthreads() between them, or elements of their own for blocks"
        )


def _both(before, moment):
    """Reads of several threads as one: the latest of a block."""
    if before[0] != moment[0]:
        return _SEVERAL, _SEVERAL, _SEVERAL
    if before[2] == moment[2] and before[1] != moment[1]:
        return moment[0], _SEVERAL, moment[2]
    return moment
