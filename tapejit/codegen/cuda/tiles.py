"""Elementwise kernels of an operand that lies across: transposes, through shared memory.

    y[i, j] = x[j, i] + ...

Neighbouring threads that have neighbouring j read x far apart, a cache line each.  So a block takes
a square tile of both axes: it loads the tile of x with neighbouring threads along i, puts it in
shared memory, and walks through it with neighbouring threads along j, in which order all else is
loaded and stored.  Rows of the tile there have one element more than they need, so that a column
lies in different banks.

The axes are the last two of the space, all others belong to the row's number.  What is told of
threads, batches and total reductions in text.py holds here too.
"""

from __future__ import annotations

import math

from tapejit.codegen.cuda.text import KernelText, indented
from tapejit.codegen.cuda.values import ELEMENT, Part

MOST = 4
"""Operands that lie across, at most: each has a tile in shared memory."""


def lies_across(strides: tuple[int, ...]) -> bool:
    """Whether neighbours along the last axis but one are neighbours in memory."""
    return strides[-2:-1] == (1,) and strides[-1] not in (0, 1)


def edge_of(block: int) -> int:
    """The length of a tile's edge: 32 for 256 threads, which have 4 elements of it each."""
    return 1 << ((4 * block).bit_length() - 1) // 2


def n_tiles(part: Part, block: int) -> tuple[int, int]:
    """How many tiles there are along the rows and along the last axis."""
    edge = edge_of(block)
    return -(-math.prod(part.lengths[:-1]) // edge), -(-part.lengths[-1] // edge)


class TiledText(KernelText):
    """The text of a loop whose walk is that over all axes, with batches of a tile."""

    def flat(self):
        (loop,) = self.loops
        edge, cast = edge_of(self.block), self.cast
        across = self.across(loop)
        for i, name in across.items():
            dtype = loop.kernel.nodes[i].dtype
            self.shared[name] = dtype, edge * (edge + 1)
            del self.local[f"h{i}{loop.tag}"]
            element = f"{name}[column * {edge + 1} + row]"
            loop.given[i] = f"({element} != 0)" if dtype == "bool" else element
        inside = [
            f"tile = {cast}(u{cast}(item) // u{cast}(tiles))",
            f"first_row = {cast}(tile * {edge})",
            f"first_column = {cast}({cast}(item - tile * tiles) * {edge})",
            "cuda.syncthreads()",
            *self.each_of_tile(loop, "column", "row", [
                f"{name}[column * {edge + 1} + row] = {loop.node(i)}"
                for i, name in across.items()
            ]),
            "cuda.syncthreads()",
        ]  # fmt: skip
        loads = [
            f"{name} = {loop.node(i)}"
            for i, name in loop.given.items()
            if name == f"h{i}{loop.tag}[e]"
        ]
        if loads:
            inside += self.each_of_tile(loop, "row", "column", loads)
        nodes = loop.nodes_at(ELEMENT, loads=False)
        last = loop.kernel.rank - 1
        ends = [
            f"if (first_row + row < nk) & (first_column + column < n{last}):",
            *indented(self.ends(loop)),
        ]
        inside += self.each_of_tile(loop, "row", "column", [*nodes, *ends])
        inside.append(f"item = {cast}(item + {cast}(cuda.gridDim.x))")
        start = f"item = {cast}(cuda.blockIdx.x)"
        return [start, "while item < items:", *indented(inside)]

    def across(self, loop) -> dict[int, str]:
        """The loads of operands that lie across, and their tiles."""
        return {
            i: f"tile{i}"
            for i, (fn, _, operands) in enumerate(loop.kernel.nodes)
            if fn == "load" and lies_across(loop.part.strides[operands[0]])
        }

    def each_of_tile(self, loop, slow, fast, lines):
        """Lines at the elements of a tile that a thread has, neighbours along `fast`."""
        edge, cast, last = edge_of(self.block), self.cast, loop.kernel.rank - 1
        i = loop.index(last)
        here = [
            f"slot = int32(tid + e * {self.block})",
            f"{fast} = int32(slot & {edge - 1})",
            f"{slow} = int32(slot >> {edge.bit_length() - 1})",
            f"k = {cast}(first_row + row)",
            "near_k = k if k < nk else first_row",
            f"{i} = {cast}(first_column + column)",
            f"{i} = {i} if {i} < n{last} else first_column",
            *self.indices(tuple(range(last)), "near_k", loop),
        ]
        return [f"for e in range({self.walk.batch}):", *indented([*here, *lines])]
