"""Where temporaries lie in the one arena of a call: places by liveness, first fit.

A buffer is alive from the step that writes it to the last that reads it; two that are never alive
together may share bytes.  0-d results live to the end, they are read out of the arena.
"""

from __future__ import annotations

from typing import NamedTuple

ALIGNMENT = 64


class Block(NamedTuple):
    """Bytes that are needed from step `first` to step `last`, both included."""

    n_bytes: int
    first: int
    last: int


def lay_out(blocks: list[Block]) -> tuple[list[int], int]:
    """A byte offset for each block, and the size of the arena."""
    offsets = [0] * len(blocks)
    placed: list[tuple[int, int, int]] = []  # (begin, end, last step), sorted by begin
    size = 0
    for number in sorted(range(len(blocks)), key=lambda i: (blocks[i].first, i)):
        block = blocks[number]
        need = -(-block.n_bytes // ALIGNMENT) * ALIGNMENT
        placed = [p for p in placed if p[2] >= block.first]
        begin = position = 0
        for position, (start, end, _) in enumerate(placed):  # noqa: B007 - used behind the loop
            if start - begin >= need:
                break
            begin = max(begin, end)
        else:
            position = len(placed)
        placed.insert(position, (begin, begin + need, block.last))
        offsets[number] = begin
        size = max(size, begin + need)
    return offsets, size
