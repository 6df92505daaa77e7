"""Convolutions on a GPU: the value, and the slopes by input and by weights.

All three are products of matrices whose elements are looked up when they are needed, so nothing is
written out (implicit im2col).  A block computes a tile of the product, each thread SIDE x SIDE
elements of it: DEPTH columns of the left and rows of the right operand come to shared memory, are
multiplied, and so on.

              rows of the product    columns                along which is summed
    value     result's channels      windows of all images  taps, of all channels
    by input  channels               places of all images   taps, of all the result's channels
    by weight result's channels      taps, of all channels  windows of all images

The last is summed over so much that blocks share it; what each has is added up behind them.
Groups are products of their own.

`sizes` is what every look-up is told: (images, groups, channels, rows), then for three spatial axes
the lengths of x, the windows, and the kernel's lengths, strides, paddings and dilations.  Channels
and rows (the result's channels) are those of one group: x is (images, groups, channels, lengths),
y is (images, groups, rows, windows), w is (groups, rows, channels, kernel).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tapejit.codegen.cuda.texts import Recipe, number_of
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
from tapejit.plan import LoopStep

MOST_SIDE = 4
DEPTH = 8
"""Of the operands' tiles: a thread reads 8 numbers there for each 16 products."""

SHARED_BY, LEAST = 256, 512
"""Blocks among which a long sum is shared, and what each adds up at least."""

# ---------------------------------------------------------------- look-ups


def seen(x, group, window, tap, sizes):
    """What a window sees at a tap; in the padding 0."""
    (_, groups, channels, _), n, o, k, s, p, d = sizes
    line, plane = window // o[2], window // (o[1] * o[2])
    image = plane // o[0]
    tap_line, tap_plane = tap // k[2], tap // (k[1] * k[2])
    channel = tap_plane // k[0]
    i = (plane - image * o[0]) * s[0] - p[0] + (tap_plane - channel * k[0]) * d[0]
    j = (line - plane * o[1]) * s[1] - p[1] + (tap_line - tap_plane * k[1]) * d[1]
    l = (window - line * o[2]) * s[2] - p[2] + (tap - tap_line * k[2]) * d[2]
    value = number(0)
    if i >= 0 and i < n[0] and j >= 0 and j < n[1] and l >= 0 and l < n[2]:
        at = (image * groups + group) * channels + channel
        value = x[((at * n[0] + i) * n[1] + j) * n[2] + l]
    return value


def seen_at(x, group, tap, window, sizes):
    return seen(x, group, window, tap, sizes)


def seeing(y, group, tap, place, sizes):
    """The window that sees a place at a tap, of y; 0 where there is none."""
    (_, groups, _, rows), n, o, k, s, p, d = sizes
    line, plane = place // n[2], place // (n[1] * n[2])
    image = plane // n[0]
    tap_line, tap_plane = tap // k[2], tap // (k[1] * k[2])
    row = tap_plane // k[0]
    i = plane - image * n[0] + p[0] - (tap_plane - row * k[0]) * d[0]
    j = line - plane * n[1] + p[1] - (tap_line - tap_plane * k[1]) * d[1]
    l = place - line * n[2] + p[2] - (tap - tap_line * k[2]) * d[2]
    value = number(0)
    if i >= 0 and j >= 0 and l >= 0:
        u, v, w = i // s[0], j // s[1], l // s[2]
        is_begun = u * s[0] == i and v * s[1] == j and w * s[2] == l
        if is_begun and u < o[0] and v < o[1] and w < o[2]:
            at = (image * groups + group) * rows + row
            value = y[((at * o[0] + u) * o[1] + v) * o[2] + w]
    return value


def result(y, group, row, window, sizes):
    return y[place_of_result(group, row, window, sizes)]


def weight(w, group, row, tap, sizes):
    return w[place_of_weight(group, row, tap, sizes)]


def weight_turned(w, group, channel, tap, sizes):
    """Taps of all the result's channels."""
    (_, _, channels, rows), _, _, k, _, _, _ = sizes
    n_taps = k[0] * k[1] * k[2]
    row = tap // n_taps
    at = (group * rows + row) * channels + channel
    return w[at * n_taps + tap - row * n_taps]


def place_of_result(group, row, window, sizes):
    (_, groups, _, rows), _, o, _, _, _, _ = sizes
    size = o[0] * o[1] * o[2]
    image = window // size
    return ((image * groups + group) * rows + row) * size + window - image * size


def place_of_input(group, channel, place, sizes):
    (_, groups, channels, _), n, _, _, _, _, _ = sizes
    size = n[0] * n[1] * n[2]
    image = place // size
    return ((image * groups + group) * channels + channel) * size + place - image * size


def place_of_weight(group, row, tap, sizes):
    (_, _, channels, rows), _, _, k, _, _, _ = sizes
    return (group * rows + row) * channels * k[0] * k[1] * k[2] + tap


# ---------------------------------------------------------------- kernels


def multiply(
    a, b, z, images, groups, channels, rows, n0, n1, n2, o0, o1, o2, k0, k1, k2, s0, s1, s2,
    p0, p1, p2, d0, d1, d2, m, n, k, parts, part, size, tasks,
):  # fmt: skip
    """Tiles of z = a b, of `part` summands of k each."""
    sizes = (
        (images, groups, channels, rows), (n0, n1, n2), (o0, o1, o2), (k0, k1, k2), (s0, s1, s2),
        (p0, p1, p2), (d0, d1, d2),
    )  # fmt: skip
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


# ---------------------------------------------------------------- launches


def value(recipe: Recipe, step: LoopStep) -> None:
    """convolution(x, w)"""
    x, w, y = recipe.views
    sizes = _sizes(step, step.views[0].shape, step.views[1].shape, step.views[2].shape)
    images, _, channels, rows = sizes[:4]
    summed = channels * math.prod(sizes[10:13])
    extent = rows, images * math.prod(sizes[7:10]), summed
    _multiply(recipe, (w, x, y), sizes, extent, weight, seen_at, place_of_result)


def by_input(recipe: Recipe, step: LoopStep) -> None:
    """convolution_input(y, w)"""
    y, w, x = recipe.views
    sizes = _sizes(step, step.views[2].shape, step.views[1].shape, step.views[0].shape)
    images, _, channels, rows = sizes[:4]
    summed = rows * math.prod(sizes[10:13])
    extent = channels, images * math.prod(sizes[4:7]), summed
    _multiply(recipe, (w, y, x), sizes, extent, weight_turned, seeing, place_of_input)


def by_weight(recipe: Recipe, step: LoopStep) -> None:
    """convolution_weight(y, x)"""
    y, x, w = recipe.views
    sizes = _sizes(step, step.views[1].shape, step.views[2].shape, step.views[0].shape)
    images, _, channels, rows = sizes[:4]
    columns = channels * math.prod(sizes[10:13])
    extent = rows, columns, images * math.prod(sizes[7:10])
    _multiply(recipe, (y, x, w), sizes, extent, result, seen, place_of_weight)


def _sizes(step, x, w, y) -> tuple[int, ...]:
    """What the look-ups are told, of shapes with up to three spatial axes."""
    known = step.kind.attributes()
    groups = known["groups"]
    return (
        x[0], groups, x[1] // groups, y[1] // groups, *_three(x[2:], 1), *_three(y[2:], 1),
        *_three(w[2:], 1), *_three(known["stride"], 1), *_three(known["padding"], 0),
        *_three(known["dilation"], 1),
    )  # fmt: skip


def _three(numbers, fill):
    return (*[fill] * (3 - len(numbers)), *numbers)


def _multiply(
    recipe: Recipe, areas: tuple, sizes: tuple, extent: tuple, left: Callable, right: Callable,
    place: Callable,
) -> None:  # fmt: skip
    a, b, z = areas
    (m, n, k), groups = extent, sizes[1]
    wide = 1 << (recipe.block.bit_length() // 2)
    high = recipe.block // wide
    side = min(MOST_SIDE, high)
    tiles = groups * -(-m // (high * side)) * -(-n // (wide * side))
    parts = max(min(SHARED_BY // tiles, k // LEAST), 1)
    part = -(-k // parts // DEPTH) * DEPTH
    size = groups * m * n
    recipe.extents += [n + 2 * p for n, p in zip(sizes[4:7], sizes[16:19], strict=True)]
    target = z if parts == 1 else recipe.area(z.dtype, parts * size)
    number = number_of(z.dtype)
    recipe.run_blocks(
        multiply, a, b, target, *sizes, m, n, k, parts, part, size, tiles * parts,
        n=tiles * parts, number=number, left_at=left, right_at=right, put_at=place,
        WIDE=str(wide), HIGH=str(high), SIDE=str(side), LEFT=str(DEPTH * high * side),
        RIGHT=str(DEPTH * wide * side), OWN=str(side * side),
    )  # fmt: skip
    if parts > 1:
        recipe.launch(add_parts, target, z, parts, size, n=size, number=number)
