"""Sorting on a GPU: stable, along any axis, NaNs behind all numbers as in NumPy.

The one idea: where an element goes is how many come before it.  In a tile of as many elements as a
block has threads each thread counts them, in shared memory; then runs are merged, twice as long in
each launch, and each element finds its place in the other run by bisection.  Nobody waits for
anybody, and nothing depends on the grid.

A line is one row along the axis; in scratch lines lie behind each other.
"""

from __future__ import annotations

from tapejit.codegen.cuda.texts import Area, Recipe, fitting, integer_for, number_of
from tapejit.codegen.cuda.words import BLOCK, cuda, is_before, number
from tapejit.plan import LoopStep

# ---------------------------------------------------------------- kernels


def comes_before(a, b):
    return (a < b) or (b != b and a == a)


def comes_after(a, b):
    return (a > b) or (a != a and b == b)


def place_in(line, n, inner, i):
    """Element i of a line, in memory seen as (outer, n, inner)."""
    return line // inner * n * inner + line % inner + i * inner


def sort_tiles(x, keys, order, n, x_inner, inner, tiles, tasks):
    """Tiles in order, with the places that their elements come from."""
    shared = cuda.shared.array(BLOCK, number)
    thread = cuda.threadIdx.x
    for task in range(cuda.blockIdx.x, tasks, cuda.gridDim.x):
        line = task // tiles
        begin = (task - line * tiles) * BLOCK
        count = min(n - begin, BLOCK)
        if thread < count:
            shared[thread] = x[place_in(line, n, x_inner, begin + thread)]
        cuda.syncthreads()
        if thread < count:
            own = shared[thread]
            rank = 0
            for i in range(count):
                other = shared[i]
                rank += is_before(other, own) or (i < thread and not is_before(own, other))
            to = place_in(line, n, inner, begin + rank)
            keys[to] = own
            order[to] = begin + thread
        cuda.syncthreads()


def merge_runs(keys, order, to_keys, to_order, n, width, inner, size):
    """Each two runs of `width` elements as one."""
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        line = i // n
        start = line * n
        at = i - start
        pair = at - at % (2 * width)
        middle = min(pair + width, n)
        own = keys[i]
        if at < middle:
            low, high, behind = middle, min(middle + width, n), at - middle
        else:
            low, high, behind = pair, middle, at - middle
        is_second = at >= middle
        while low < high:
            half = (low + high) // 2
            other = keys[start + half]
            if is_before(other, own) or (is_second and not is_before(own, other)):
                low = half + 1
            else:
                high = half
        to = place_in(line, n, inner, low + behind)
        to_keys[to] = own
        to_order[to] = order[i]


def take_one(order, y, n, k, lines):
    """The k-th of each line."""
    for line in range(cuda.grid(1), lines, cuda.gridsize(1)):
        y[line] = order[line * n + k]


# ---------------------------------------------------------------- launches


def sort_lines(
    recipe: Recipe, x: Area, keys: Area, order: Area, n: int, lines: int, inner: int = 1,
    x_inner: int = 1, is_descending: bool = False,
) -> None:  # fmt: skip
    """Lines of x in order, in `keys`, and the places of their elements before, in `order`."""
    words = {
        "number": number_of(x.dtype),
        "is_before": comes_after if is_descending else comes_before,
    }
    block = fitting(recipe.block, n)
    tiles, size = -(-n // block), n * lines
    widths = []
    while block << len(widths) < n:
        widths.append(block << len(widths))
    spare = [(recipe.area(keys.dtype, size), recipe.area(order.dtype, size)) for _ in widths[:2]]
    steps = [spare[k % 2] for k in range(len(widths))] + [(keys, order)]
    places = [1] * len(widths) + [inner]
    recipe.run_blocks(
        sort_tiles, x, *steps[0], n, x_inner, places[0], tiles, tiles * lines, n=tiles * lines,
        block=block, **words,
    )  # fmt: skip
    for k, width in enumerate(widths):
        recipe.launch(
            merge_runs, *steps[k], *steps[k + 1], n, width, places[k + 1], size, n=size, **words
        )


def sort(recipe: Recipe, step: LoopStep) -> None:
    """sort"""
    (x, y), (n, inner, is_descending) = recipe.views, step.work.meta
    lines = step.work.units
    order = recipe.area(integer_for(n), n * lines)
    sort_lines(recipe, x, y, order, n, lines, inner, inner, bool(is_descending))


def argsort(recipe: Recipe, step: LoopStep) -> None:
    """argsort"""
    (x, y), (n, inner, is_descending) = recipe.views, step.work.meta
    lines = step.work.units
    keys = recipe.area(x.dtype, n * lines)
    sort_lines(recipe, x, keys, y, n, lines, inner, inner, bool(is_descending))


def argkth(recipe: Recipe, step: LoopStep) -> None:
    """argkth: all of a line is sorted."""
    (x, y), (n, inner, k) = recipe.views, step.work.meta
    lines = step.work.units
    keys = recipe.area(x.dtype, n * lines)
    order = recipe.area(integer_for(n), n * lines)
    sort_lines(recipe, x, keys, order, n, lines, 1, inner)
    recipe.launch(take_one, order, y, n, k, lines, n=lines)
