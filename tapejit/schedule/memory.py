"""Where temporaries lie in the one arena of a call: places by liveness, first fit.

A buffer is alive from the step that writes it to the last that reads it; two that are never alive
together may share bytes.  0-d results live to the end, they are read out of the arena.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heappop, heappush
from typing import NamedTuple

ALIGNMENT = 64


class Block(NamedTuple):
    """Bytes that are needed from step `first` to step `last`, both included."""

    n_bytes: int
    first: int
    last: int


def lay_out(blocks: list[Block]) -> tuple[list[int], int]:
    """A byte offset for each block, and the size of the arena.

    Kept are the holes, of which there are few, not what is alive: that may be thousands.
    """
    offsets = [0] * len(blocks)
    alive: list[tuple[int, int, int]] = []  # (last step, begin, end), the first to go on top
    holes: list[tuple[int, int]] = []  # (begin, end), sorted, none beside another or the end
    top = size = 0  # everything from `top` on is free
    for number in sorted(range(len(blocks)), key=lambda i: (blocks[i].first, i)):
        block = blocks[number]
        while alive and alive[0][0] < block.first:
            top = _give_back(holes, *heappop(alive)[1:], top)
        need = -(-block.n_bytes // ALIGNMENT) * ALIGNMENT
        if not need:
            continue
        for place, (begin, end) in enumerate(holes):
            if end - begin >= need:
                holes[place : place + 1] = [(begin + need, end)] if end - begin > need else []
                break
        else:
            begin, top = top, top + need
        heappush(alive, (block.last, begin, begin + need))
        offsets[number] = begin
        size = max(size, begin + need)
    return offsets, size


def _give_back(holes: list[tuple[int, int]], begin: int, end: int, top: int) -> int:
    """Make a hole of [begin, end), joined with those beside it; where the free end begins now."""
    place = bisect_left(holes, (begin, end))
    if place < len(holes) and holes[place][0] == end:
        end = holes.pop(place)[1]
    if place and holes[place - 1][1] == begin:
        place -= 1
        begin = holes.pop(place)[0]
    if end == top:
        return begin
    holes.insert(place, (begin, end))
    return top
