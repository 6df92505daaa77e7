"""Where the first largest or smallest element is, on a GPU.

Lines that are short, or many and neighbours in memory, are gone along by a thread each, as on the
CPU.  Else a block looks for the best of some thousand elements of a line, and another one for the
best of those that were found.  Of equal ones the first is best; a NaN is beyond all others.
"""

from __future__ import annotations

from tapejit.codegen.cuda.loop_scans import LINES, SHORT
from tapejit.codegen.cuda.loop_sorting import place_in
from tapejit.codegen.cuda.texts import Recipe, fitting, number_of
from tapejit.codegen.cuda.words import BLOCK, candidate, cuda, index, is_beyond, number
from tapejit.plan import LoopStep

EACH = 16
"""Elements of a tile for each thread of a block."""

# ---------------------------------------------------------------- kernels


def is_larger(a, b):
    return a > b or (a != a and b == b)


def is_smaller(a, b):
    return a < b or (a != a and b == b)


def any_place(given, i, place):
    return place


def given_place(given, i, place):
    return index(given[i])


def best_of_tiles(x, given, y, n, inner, count, tile, tiles, tasks):
    """The places of the best of each line's candidates, `tile` at a time."""
    values = cuda.shared.array(BLOCK, number)
    places = cuda.shared.array(BLOCK, index)
    thread = cuda.threadIdx.x
    for task in range(cuda.blockIdx.x, tasks, cuda.gridDim.x):
        line = task // tiles
        start = (task - line * tiles) * tile
        best, value = -1, number(0)
        for i in range(start + thread, min(start + tile, count), BLOCK):
            place = candidate(given, line * count + i, i)
            other = number(x[place_in(line, n, inner, place)])
            if best < 0 or is_beyond(other, value):
                best, value = place, other
        places[thread] = best
        values[thread] = value
        distance = BLOCK
        while distance > 1:
            half = (distance + 1) // 2
            cuda.syncthreads()
            if thread + half < distance:
                place, other = index(places[thread + half]), values[thread + half]
                if place >= 0 and (
                    best < 0
                    or is_beyond(other, value)
                    or (place < best and not is_beyond(value, other))
                ):
                    best, value = place, other
                    places[thread] = best
                    values[thread] = value
            distance = half
        if thread == 0:
            y[task] = best
        cuda.syncthreads()


# ---------------------------------------------------------------- launches


def argmax(recipe: Recipe, step: LoopStep) -> None:
    """argmax"""
    _extreme(recipe, step, is_larger)


def argmin(recipe: Recipe, step: LoopStep) -> None:
    """argmin"""
    _extreme(recipe, step, is_smaller)


def _extreme(recipe, step, is_beyond):
    (x, y), (n, inner), lines = recipe.views, step.work.meta, step.work.units
    if n <= SHORT or (inner > 1 and lines >= LINES):
        recipe.run_loop(step.work.run, [x, y], step.work.meta, lines)
        return
    words = {"number": number_of(x.dtype), "is_beyond": is_beyond}
    block = fitting(recipe.block, n // 2)
    tile = EACH * block
    tiles = -(-n // tile)
    found = y if tiles == 1 else recipe.area("i64", tiles * lines)
    recipe.run_blocks(
        best_of_tiles, x, found, found, n, inner, n, tile, tiles, tiles * lines, n=tiles * lines,
        block=block, candidate=any_place, **words,
    )  # fmt: skip
    if tiles > 1:
        recipe.run_blocks(
            best_of_tiles, x, found, y, n, inner, tiles, tiles, 1, lines, n=lines,
            candidate=given_place, **words,
        )  # fmt: skip
