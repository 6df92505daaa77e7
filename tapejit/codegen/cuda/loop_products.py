"""Products of matrices on a GPU, for those that no library multiplies.

A block computes a tile of the product, each thread SIDE x SIDE elements of it: DEPTH columns of the
left and rows of the right operand come to shared memory, are multiplied, and so on.  A sum so long
that few blocks would be at work is shared by several; what each has is added up behind them.

Where elements lie is for `left_at`, `right_at` and `put_at` to say, which are told `sizes`.  Those
of convolutions are in loop_convolutions.py; here are those of matrices of integers, whose products
wrap around, as NumPy's do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tapejit.codegen.cuda.texts import Area, Recipe, number_of
from tapejit.codegen.cuda.words import (
    BLOCK,
    HIGH,
    LEFT,
    OWN,
    RIGHT,
    SIDE,
    WIDE,
    cuda,
    left_at,
    number,
    put_at,
    right_at,
)  # fmt: skip
from tapejit.ops.loops import products
from tapejit.plan import LoopStep

MOST_SIDE = 4
DEPTH = 8
"""Of the operands' tiles: a thread reads 8 numbers there for each 16 products."""

SHARED_BY, LEAST = 256, 512
"""Blocks among which a long sum is shared, and what each adds up at least."""

# ---------------------------------------------------------------- kernels


def multiply(a, b, z, m, n, k, parts, part, size, tasks, *sizes):
    """Tiles of z = a b, of `part` summands of k each."""
    left = cuda.shared.array(LEFT, number)
    right = cuda.shared.array(RIGHT, number)
    totals = cuda.local.array(OWN, number)
    thread = cuda.threadIdx.x
    x, y = thread % WIDE, thread // WIDE
    high, wide = (m + HIGH * SIDE - 1) // (HIGH * SIDE), (n + WIDE * SIDE - 1) // (WIDE * SIDE)
    for task in range(cuda.blockIdx.x, tasks, cuda.gridDim.x):
        row = task % high * (HIGH * SIDE)
        column = task // high % wide * (WIDE * SIDE)
        share = task // (high * wide)
        group = share // parts
        first = (share - group * parts) * part
        for e in range(OWN):
            totals[e] = number(0)
        for begin in range(first, min(first + part, k), DEPTH):
            for e in range(thread, LEFT, BLOCK):
                i, j = row + e // DEPTH, begin + e % DEPTH
                value = number(0)
                if i < m and j < k:
                    value = left_at(a, group, i, j, sizes)
                left[e % DEPTH * (HIGH * SIDE) + e // DEPTH] = value
            for e in range(thread, RIGHT, BLOCK):
                i, j = begin + e // (WIDE * SIDE), column + e % (WIDE * SIDE)
                value = number(0)
                if i < k and j < n:
                    value = right_at(b, group, i, j, sizes)
                right[e] = value
            cuda.syncthreads()
            for d in range(DEPTH):
                for i in range(SIDE):
                    factor = left[(d * SIDE + i) * HIGH + y]
                    for j in range(SIDE):
                        totals[i * SIDE + j] += factor * right[(d * SIDE + j) * WIDE + x]
            cuda.syncthreads()
        for i in range(SIDE):
            for j in range(SIDE):
                to, at = row + i * HIGH + y, column + j * WIDE + x
                if to < m and at < n:
                    place = put_at(group, to, at, sizes)
                    z[(share - group * parts) * size + place] = totals[i * SIDE + j]


def add_parts(parts, z, n_parts, size):
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        total = number(0)
        for part in range(n_parts):
            total += parts[part * size + i]
        z[i] = total


# ---------------------------------------------------------------- matrices


def left_element(a, group, i, j, sizes):
    first, _, _, apart, _, down, along, _, _, _, _ = sizes
    return a[first + group * apart + i * down + j * along]


def right_element(b, group, i, j, sizes):
    _, first, _, _, apart, _, _, down, along, _, _ = sizes
    return b[first + group * apart + i * down + j * along]


def place_in_product(group, i, j, sizes):
    _, _, first, _, _, _, _, _, _, m, n = sizes
    return first + (group * m + i) * n + j


def matmul(recipe: Recipe, step: LoopStep) -> None:
    """matmul"""
    *operands, result = step.views
    p = products.product(operands, result)
    count, x_step, y_step, firsts = products.batches(p)
    x_walk, y_walk = ((1, step) if turned else (step, 1) for turned, step in (p.x, p.y))
    m, n = p.m, p.n
    sizes = [(*first, x_step, y_step, *x_walk, *y_walk, m, n) for first in firsts]
    look_ups = {"left_at": left_element, "right_at": right_element, "put_at": place_in_product}
    extent = count, m, n, p.k
    products_of(recipe, recipe.views, extent, math.prod(result.shape), sizes, look_ups)


# ---------------------------------------------------------------- launches


def products_of(
    recipe: Recipe,
    areas: Sequence[Area],
    extent: tuple[int, int, int, int],
    size: int,
    sizes: Sequence[tuple[int, ...]],
    look_ups: Mapping[str, Any],
) -> None:
    """z = a b.

    areas  a, b and z
    extent  how many products there are, rows, columns, and what is summed over
    size  elements of z
    sizes  what look-ups are told: by each launch, which fills its own part of z
    """
    (a, b, z), (count, m, n, k) = areas, extent
    wide = 1 << (recipe.block.bit_length() // 2)
    high = recipe.block // wide
    side = min(MOST_SIDE, high)
    tiles = count * -(-m // (high * side)) * -(-n // (wide * side))
    parts = max(min(SHARED_BY // tiles, k // LEAST), 1)
    part = -(-k // parts // DEPTH) * DEPTH
    target = z if parts == 1 else recipe.area(z.dtype, parts * size)
    number = number_of(z.dtype)
    for told in sizes:
        recipe.run_blocks(
            multiply, a, b, target, m, n, k, parts, part, size, tiles * parts, *told,
            n=tiles * parts, number=number, WIDE=str(wide), HIGH=str(high), SIDE=str(side),
            LEFT=str(DEPTH * high * side), RIGHT=str(DEPTH * wide * side), OWN=str(side * side),
            **look_ups,
        )  # fmt: skip
    if parts > 1:
        recipe.launch(add_parts, target, z, parts, size, n=size, number=number)
