"""Running sums, products and extremes along an axis on a GPU.

A line is one row along the axis.  Where lines are short, or many and neighbours in memory, a thread
goes along each.  Else lines are cut into tiles of EACH elements for each thread of a block:

    fold_tiles     the total of each tile
    scan_tiles     of those totals: the same again, of 2048 times fewer
    scan_tiles     of the elements, begun with the totals before the tile

so an element is read twice and written once, and no block waits for another.  An operand whose
lines are several steps apart is copied first.

Sums of float32 stay float32 on a GPU, where the CPU's are float64: those of tiles are sums of sums,
whose error grows with the logarithm of the length; what a thread adds up along a line is
compensated (Neumaier 1974).

What is joined is the numbers of x, or for extremes their places: `join` looks the numbers up.  What
is `taken` is that of an element, or one of the totals of tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tapejit.codegen.cuda.loop_places import begin, zero
from tapejit.codegen.cuda.loop_sorting import place_in
from tapejit.codegen.cuda.loop_windows import put_elements
from tapejit.codegen.cuda.texts import Recipe, Word, fitting, integer_for, number_of
from tapejit.codegen.cuda.words import BLOCK, EACH, cuda, index, join, nothing, number, taken
from tapejit.plan import LoopStep, View
from tapejit.schedule.views import contiguous

MOST_EACH = 8
"""Elements of a tile for each thread."""

SHORT, LINES = 32, 4096
"""Elements up to which a thread goes along a line, and neighbouring lines from which."""

# ---------------------------------------------------------------- what is joined


def number_at(x, at, step, given, i, place):
    return number(x[at + place * step])


def own_place(x, at, step, given, i, place):
    return place


def total_of(x, at, step, given, i, place):
    return number(given[i])


def add(x, at, step, a, b):
    return a + b


def multiply(x, at, step, a, b):
    return a * b


def add_logs(x, at, step, a, b):
    """log(exp(a) + exp(b))"""
    if a == b:  # also infinities
        return a + number(0.6931471805599453)
    high, low = (a, b) if a > b else (b, a)
    return high + math.log1p(math.exp(low - high))


def place_of_larger(x, at, step, a, b):
    if a < 0 or b < 0:
        return max(a, b)
    known, value = x[at + a * step], x[at + b * step]
    return b if value >= known or value != value else a


def place_of_smaller(x, at, step, a, b):
    if a < 0 or b < 0:
        return max(a, b)
    known, value = x[at + a * step], x[at + b * step]
    return b if value <= known or value != value else a


def one_if_set(x, at, step, given, i, place):
    return index(x[at + place * step] != 0)


# ---------------------------------------------------------------- kernels


def scan_lines(x, y, n, share, outer_step, inner_step, step, inner, lines):
    for line in range(cuda.grid(1), lines, cuda.gridsize(1)):
        at = line // share * outer_step + line % share * inner_step
        total = nothing
        for i in range(n):
            total = join(x, at, step, total, taken(x, at, step, x, 0, i))
            y[place_in(line, n, inner, i)] = total


def add_lines(x, y, n, share, outer_step, inner_step, step, inner, lines):
    """Sums with what rounding lost of them."""
    for line in range(cuda.grid(1), lines, cuda.gridsize(1)):
        at = line // share * outer_step + line % share * inner_step
        total, lost = number(0), number(0)
        for i in range(n):
            value = number(x[at + i * step])
            grown = total + value
            if grown - grown != 0:  # infinite, or NaN
                lost = number(0)
            elif abs(total) >= abs(value):
                lost += (total - grown) + value
            else:
                lost += (value - grown) + total
            total = grown
            y[place_in(line, n, inner, i)] = total + lost


def recur_lines(a, b, y, n, inner, lines):
    """y[i] = a[i] + b[i] y[i-1]"""
    for line in range(cuda.grid(1), lines, cuda.gridsize(1)):
        first = place_in(line, n, inner, 0)
        value = number(a[first])
        y[first] = value
        for i in range(1, n):
            at = first + i * inner
            value = a[at] + b[at] * value
            y[at] = value


def fold_tiles(x, given, totals, n, share, outer_step, inner_step, step, tiles, tasks):
    shared = cuda.shared.array(BLOCK, number)
    thread = cuda.threadIdx.x
    for task in range(cuda.blockIdx.x, tasks, cuda.gridDim.x):
        line = task // tiles
        at = line // share * outer_step + line % share * inner_step
        start = ((task - line * tiles) * BLOCK + thread) * EACH
        total = nothing
        for i in range(start, min(start + EACH, n)):
            total = join(x, at, step, total, taken(x, at, step, given, line * n + i, i))
        shared[thread] = total
        distance = 1
        while distance < BLOCK:
            cuda.syncthreads()
            if thread % (2 * distance) == 0 and thread + distance < BLOCK:
                total = join(x, at, step, total, number(shared[thread + distance]))
                shared[thread] = total
            distance *= 2
        if thread == 0:
            totals[task] = total
        cuda.syncthreads()


def scan_tiles(
    x, given, before, y, n, share, outer_step, inner_step, step, inner, has_before, tiles, tasks
):
    shared = cuda.shared.array(BLOCK, number)
    thread = cuda.threadIdx.x
    for task in range(cuda.blockIdx.x, tasks, cuda.gridDim.x):
        line = task // tiles
        tile = task - line * tiles
        at = line // share * outer_step + line % share * inner_step
        start = (tile * BLOCK + thread) * EACH
        total = nothing
        for i in range(start, min(start + EACH, n)):
            total = join(x, at, step, total, taken(x, at, step, given, line * n + i, i))
        shared[thread] = total
        distance = 1
        while distance < BLOCK:
            cuda.syncthreads()
            left = nothing
            if thread >= distance:
                left = number(shared[thread - distance])
            cuda.syncthreads()
            total = join(x, at, step, left, total)
            shared[thread] = total
            distance *= 2
        cuda.syncthreads()
        total = nothing
        if thread > 0:
            total = number(shared[thread - 1])
        if has_before and tile > 0:
            total = join(x, at, step, number(before[task - 1]), total)
        for i in range(start, min(start + EACH, n)):
            total = join(x, at, step, total, taken(x, at, step, given, line * n + i, i))
            y[place_in(line, n, inner, i)] = total
        cuda.syncthreads()


def write_places(x, ranks, y, n, count):
    """The place of each element that is not zero, at its rank."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        if x[i] != 0 and ranks[i] <= count:
            y[ranks[i] - 1] = i


# ---------------------------------------------------------------- launches


class _Lines(NamedTuple):
    """Where the lines of an operand lie; the result's lie in row-major order."""

    n: int
    lines: int
    inner: int
    """Lines that share an outer index."""
    outer_step: int
    inner_step: int
    step: int


def cumsum(recipe: Recipe, step: LoopStep) -> None:
    """cumsum"""
    number = number_of(recipe.views[-1].dtype)
    words = {"number": number, "join": add, "taken": number_at, "nothing": f"{number}(0)"}
    _scan(recipe, step, words, add_lines if number == "float32" else scan_lines)


def cumprod(recipe: Recipe, step: LoopStep) -> None:
    """cumprod"""
    number = number_of(recipe.views[-1].dtype)
    words = {"number": number, "join": multiply, "taken": number_at, "nothing": f"{number}(1)"}
    _scan(recipe, step, words, scan_lines)


def logcumsumexp(recipe: Recipe, step: LoopStep) -> None:
    """logcumsumexp"""
    number = number_of(recipe.views[-1].dtype)
    words = {"number": number, "join": add_logs, "taken": number_at}
    _scan(recipe, step, {**words, "nothing": f"{number}(-math.inf)"}, scan_lines)


def cumargmax(recipe: Recipe, step: LoopStep) -> None:
    """cumargmax"""
    _scan(recipe, step, {**_PLACES, "join": place_of_larger}, scan_lines)


def cumargmin(recipe: Recipe, step: LoopStep) -> None:
    """cumargmin"""
    _scan(recipe, step, {**_PLACES, "join": place_of_smaller}, scan_lines)


def recurrence(recipe: Recipe, step: LoopStep) -> None:
    """recurrence: a thread goes along each line.

    No tiles: what a tile does to what comes before it is a product, which over- or underflows where
    no element of the result does.
    """
    n, inner, _ = step.work.meta
    lines = math.prod(step.views[-1].shape) // n
    number = number_of(recipe.views[-1].dtype)
    recipe.launch(recur_lines, *recipe.views, n, inner, lines, n=lines, number=number)


def nonzero(recipe: Recipe, step: LoopStep) -> None:
    """nonzero: how many there are up to each element says where its place goes."""
    (x, y), (n, count) = recipe.views, step.work.meta
    ranks = recipe.area(integer_for(n + 1), n)
    words = {"number": "index", "join": add, "taken": one_if_set, "nothing": "index(0)"}
    _scan_tiles(recipe, _Lines(n, 1, 1, 0, 0, 1), x, x, ranks, 1, words)
    recipe.launch(begin, y, y, count, n=count, number="int64", begun=zero)
    recipe.launch(write_places, x, ranks, y, n, count, n=n)


_PLACES: dict[str, Word] = {"number": "index", "taken": own_place, "nothing": "index(-1)"}


def _scan(
    recipe: Recipe, step: LoopStep, words: Mapping[str, Word], along: Callable[..., None]
) -> None:
    x, y = recipe.views
    axis = step.kind.attributes()["axis"]
    seen = _lines(step.views[0], axis)
    if seen is None:
        x, view = _row_major(recipe, x, step.views[0])
        seen = _lines(view, axis)
        assert seen is not None
    if seen.n <= SHORT or (seen.lines >= LINES and abs(seen.inner_step) == 1 < seen.inner):
        n, lines, inner, *steps = seen
        recipe.launch(along, x, y, n, inner, *steps, inner, lines, n=lines, **words)
    else:
        _scan_tiles(recipe, seen, x, x, y, seen.inner, words)


def _scan_tiles(recipe, seen, x, given, y, inner, words):
    """Tiles of each line; totals of tiles are lines behind each other."""
    n, lines, share, *steps = seen
    each = 1
    block = fitting(recipe.block, n)
    while each < MOST_EACH and each * block < n:
        each *= 2
    tiles = -(-n // (each * block))
    tasks, before = tiles * lines, y
    words = {**words, "EACH": str(each)}
    if tiles > 1:
        totals, before = recipe.area(y.dtype, tasks), recipe.area(y.dtype, tasks)
        recipe.run_blocks(
            fold_tiles, x, given, totals, n, share, *steps, tiles, tasks, n=tasks, block=block,
            **words,
        )  # fmt: skip
        totalled = {**words, "taken": total_of}
        _scan_tiles(recipe, seen._replace(n=tiles), x, totals, before, 1, totalled)
    recipe.run_blocks(
        scan_tiles, x, given, before, y, n, share, *steps, inner, int(tiles > 1), tiles, tasks,
        n=tasks, block=block, **words,
    )  # fmt: skip


def _lines(view: View, axis: int) -> _Lines | None:
    """The lines of a view along an axis, if those outside and inside lie one step apart."""
    shape, strides = view.shape, view.strides
    outer, inner = (
        _folded(shape[:axis], strides[:axis]),
        _folded(shape[axis + 1 :], strides[axis + 1 :]),
    )
    if outer is None or inner is None:
        return None
    lines = math.prod(shape) // shape[axis]
    return _Lines(shape[axis], lines, inner[0], outer[1], inner[1], strides[axis])


def _folded(shape, strides):
    """Axes as one: (length, stride), or None."""
    length, step = 1, 0
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if length > 1 and stride != length * step:
                return None
            step = step if length > 1 else stride
            length *= n
    return length, step


def _row_major(recipe, x, view):
    """A copy of an operand, and its view."""
    strides, size = contiguous(view.shape), math.prod(view.shape)
    there = recipe.area(x.dtype, size)
    axes = zip(view.shape, view.strides, strides, strict=True)
    meta = (0, len(strides), *(number for axis in axes for number in axis))
    recipe.run_loop(put_elements, [x, there], meta, size)
    return there, view._replace(strides=strides)
