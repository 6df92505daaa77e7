"""Convolutions of up to three spatial axes, their inputs' and their weights' slopes.

An image is copied into cache with its padding.  There, all windows' elements at one tap of the
kernel are a row of memory, begun at that tap's place: so the product of weights and windows, which
im2col writes out as a matrix, reads its right operand from a table of places (`product_tile`).
What falls between the lines of the image is computed too, and dropped.  Where windows are more than
one element apart the matrix is written out after all, image by image.

The slope by input is the same loop: the output's cotangent, spread out by the stride, under the
flipped kernel.  The slope by weights is dot products of the cotangent, laid on the same grid, with
those rows; parts of the images are summed apart, then in order.

A unit is some images; meta is `_Geometry`'s.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from tapejit.ops.loops.tiles import COLUMNS, DOTS, ROWS, dot_one, dot_tile, product_tile
from tapejit.registry import Work

UNITS = 16
"""At most: each has scratch of its own."""

NS = {"f32": 1 / 45, "f64": 1 / 22}
"""Of one multiplication with its addition."""

# places in meta
HEAD = 40

# ---------------------------------------------------------------- loops


def place_image(x, x_at, padded, padded_at, meta):
    """One image's channels of a group into zeros, at the padding and by the stride."""
    channels, size = meta[3], meta[7]
    n0, n1, n2 = meta[9], meta[10], meta[11]
    m1, m2 = meta[13], meta[14]
    for i in range(padded_at, padded_at + channels * size + meta[8]):
        padded[i] = 0
    for c in range(channels):
        for i in range(n0):
            for j in range(n1):
                line = (i * meta[18] + meta[15]) * m1 + j * meta[19] + meta[16]
                p = padded_at + c * size + line * m2 + meta[17]
                q = x_at + ((c * n0 + i) * n1 + j) * n2
                step = meta[20]
                if step == 1:
                    for k in range(n2):
                        padded[p + k] = x[q + k]
                else:
                    for k in range(n2):
                        padded[p + k * step] = x[q + k]


def unroll(padded, padded_at, rows, rows_at, meta):
    """The windows' elements at each tap as a row, for windows that are strides apart."""
    taps, length = meta[5], meta[6]
    n0, n1, n2 = meta[21], meta[22], meta[23]
    step0, step1, step2 = meta[29], meta[30], meta[31]
    for tap in range(taps):
        p = padded_at + meta[HEAD + tap]
        q = rows_at + tap * length
        for i in range(n0):
            for j in range(n1):
                for k in range(n2):
                    rows[q] = padded[p + i * step0 + j * step1 + k * step2]
                    q += 1


def pack_weights(w, group, packed, packed_at, meta):
    """ROWS numbers for each tap, block by block; zeros below the last row."""
    rows, taps, step = meta[4], meta[5], meta[27]
    first = group * meta[28]
    for block in range((rows + ROWS - 1) // ROWS):
        for tap in range(taps):
            p = packed_at + (block * taps + tap) * ROWS
            q = first + meta[HEAD + 2 * taps + tap]
            for r in range(ROWS):
                row = block * ROWS + r
                if row < rows:
                    packed[p + r] = w[q + row * step]
                else:
                    packed[p + r] = 0


def convolve(args, meta, begin, end):
    x, w, y, padded, unrolled, packed, out = args
    units, images, groups, channels, rows, taps = (
        meta[0], meta[1], meta[2], meta[3], meta[4], meta[5],
    )  # fmt: skip
    blocks = (rows + ROWS - 1) // ROWS
    in_size, out_size = meta[9] * meta[10] * meta[11], meta[21] * meta[22] * meta[23]
    width = meta[33]
    for unit in range(begin, end):
        padded_at, unrolled_at = unit * meta[34], unit * meta[35]
        packed_at, out_at = unit * meta[36], unit * meta[37]
        for group in range(groups):
            pack_weights(w, group, packed, packed_at, meta)
            for image in range(unit * images // units, (unit + 1) * images // units):
                x_at = (image * groups + group) * channels * in_size
                place_image(x, x_at, padded, padded_at, meta)
                if meta[32]:
                    unroll(padded, padded_at, unrolled, unrolled_at, meta)
                for block in range(blocks):
                    a_at = packed_at + block * taps * ROWS
                    for j in range(0, width, meta[38]):
                        if meta[32]:
                            product_tile(
                                packed, a_at, unrolled, unrolled_at + j, meta, HEAD + taps, taps,
                                out, out_at + j, width,
                            )  # fmt: skip
                        else:
                            product_tile(
                                packed, a_at, padded, padded_at + j, meta, HEAD, taps,
                                out, out_at + j, width,
                            )  # fmt: skip
                    first = (image * groups + group) * rows + block * ROWS
                    for r in range(min(ROWS, rows - block * ROWS)):
                        take_grid(out, out_at + r * width, y, (first + r) * out_size, meta)


def take_grid(out, out_at, y, y_at, meta):
    """A row of results without what lies between the lines."""
    n0, n1, n2 = meta[21], meta[22], meta[23]
    for i in range(n0):
        for j in range(n1):
            p = out_at + i * meta[24] + j * meta[25]
            q = y_at + (i * n1 + j) * n2
            for k in range(n2):
                y[q + k] = out[p + k]


def lay_grid(g, g_at, grid, grid_at, meta):
    """A row of cotangents on the grid, zeros between the lines."""
    n0, n1, n2 = meta[21], meta[22], meta[23]
    for i in range(grid_at, grid_at + meta[6]):
        grid[i] = 0
    for i in range(n0):
        for j in range(n1):
            p = grid_at + i * meta[24] + j * meta[25]
            q = g_at + (i * n1 + j) * n2
            for k in range(n2):
                grid[p + k] = g[q + k]


def weigh(args, meta, begin, end):
    """The slope by weights: each unit's images, summed in scratch."""
    g, x, _, padded, unrolled, grid, parts = args
    units, images, groups, channels, rows, taps = (
        meta[0], meta[1], meta[2], meta[3], meta[4], meta[5],
    )  # fmt: skip
    in_size, out_size = meta[9] * meta[10] * meta[11], meta[21] * meta[22] * meta[23]
    length = meta[6]
    for unit in range(begin, end):
        padded_at, unrolled_at, grid_at = unit * meta[34], unit * meta[35], unit * meta[37]
        part_at = unit * groups * rows * taps
        for i in range(part_at, part_at + groups * rows * taps):
            parts[i] = 0
        for image in range(unit * images // units, (unit + 1) * images // units):
            for group in range(groups):
                x_at = (image * groups + group) * channels * in_size
                place_image(x, x_at, padded, padded_at, meta)
                for r in range(rows):
                    g_at = ((image * groups + group) * rows + r) * out_size
                    lay_grid(g, g_at, grid, grid_at + r * length, meta)
                to = part_at + group * rows * taps
                if meta[32]:
                    unroll(padded, padded_at, unrolled, unrolled_at, meta)
                    add_dots(grid, grid_at, unrolled, unrolled_at, HEAD + taps, parts, to, meta)
                else:
                    add_dots(grid, grid_at, padded, padded_at, HEAD, parts, to, meta)


def add_dots(grid, grid_at, b, b_at, table, parts, to, meta):
    rows, taps, length = meta[4], meta[5], meta[6]
    whole_rows, whole_taps = rows // DOTS * DOTS, taps // DOTS * DOTS
    for tap in range(0, whole_taps, DOTS):
        for r in range(0, whole_rows, DOTS):
            dot_tile(
                grid, grid_at + r * length, length, b, b_at, meta, table + tap, length,
                parts, to + r * taps + tap, taps,
            )  # fmt: skip
    for tap in range(taps):
        for r in range(whole_rows if tap < whole_taps else 0, rows):
            dot_one(
                grid, grid_at + r * length, length, b, b_at, meta, table + tap, length,
                parts, to + r * taps + tap, taps,
            )  # fmt: skip


def add_parts(args, meta):
    """The slope by weights: the units' sums, in their order."""
    y, parts = args[2], args[6]
    size = meta[2] * meta[4] * meta[5]
    for i in range(size):
        y[i] = parts[i]
    for unit in range(1, meta[0]):
        for i in range(size):
            y[i] += parts[unit * size + i]


# ---------------------------------------------------------------- geometry


class _Geometry(NamedTuple):
    """A convolution with stride on a padded image, three spatial axes."""

    images: int
    groups: int
    channels: int
    rows: int
    lengths: tuple
    """Of what is placed in the padded image."""
    padded: tuple
    begin: tuple
    """Where it is placed."""
    spread: tuple
    """How far apart its elements are placed."""
    out: tuple
    stride: tuple
    taps: tuple
    """Places of the kernel's taps in one channel of the padded image."""
    weights: tuple
    """For each channel and tap, the place of its weight."""
    weight_step: int
    """From one row's weights to the next."""
    weight_group: int

    def work(self, run, kernel_dtype, finish=None) -> Work | None:
        """The work of a loop over this geometry."""
        if kernel_dtype not in COLUMNS:
            return None
        size = math.prod(self.padded)
        lines = (self.padded[1] * self.padded[2], self.padded[2], 1)
        steps = tuple(s * line for s, line in zip(self.stride, lines, strict=True))
        is_unrolled = max(self.stride) > 1
        grid = (self.out[1] * self.out[2], self.out[2], 1) if is_unrolled else lines
        length = 1 + sum((n - 1) * s for n, s in zip(self.out, grid, strict=True))
        columns = COLUMNS[kernel_dtype]
        width = -(-length // columns) * columns
        places = [c * size + tap for c in range(self.channels) for tap in self.taps]
        rows = [i * length for i in range(len(places))]
        units = min(self.images, UNITS)
        n_padded = -(-(self.channels * size + width) // 16) * 16
        n_unrolled = len(places) * length + width if is_unrolled else 16
        n_packed = -(-self.rows // ROWS) * ROWS * len(places)
        n_out = max(ROWS * width, self.rows * length)
        head = [
            units, self.images, self.groups, self.channels, self.rows, len(places), length, size,
            width, *self.lengths, *self.padded, *self.begin, *self.spread, *self.out, *grid,
            self.weight_step, self.weight_group, *steps, int(is_unrolled), width,
            n_padded, n_unrolled, n_packed, n_out, columns,
        ]  # fmt: skip
        head += [0] * (HEAD - len(head))
        last = n_packed if finish is None else 0
        areas = [n_padded, n_unrolled, *([last] if last else []), n_out]
        if finish is not None:
            areas.append(self.groups * self.rows * len(places))
        ns = self.images * self.groups * self.rows * len(places) * length * NS[kernel_dtype]
        scratch = tuple((kernel_dtype, units * n) for n in areas)
        return Work(run, (*head, *places, *rows, *self.weights), units, ns, scratch, finish)


def _three(numbers, fill):
    return (*[fill] * (3 - len(numbers)), *numbers)


def _forward(x, kernel, out, rows, stride, padding, dilation, groups):
    """The geometry of a convolution of x: shapes as 3 spatial axes."""
    lengths, kernel = _three(x[2:], 1), _three(kernel, 1)
    stride, dilation = _three(stride, 1), _three(dilation, 1)
    padding, out = _three(padding, 0), _three(out, 1)
    padded = tuple(n + 2 * p for n, p in zip(lengths, padding, strict=True))
    padded = _shared(padded, padding, lengths[2], out[2])
    channels = x[1] // groups
    count = channels * math.prod(kernel)
    return _Geometry(
        x[0], groups, channels, rows // groups, lengths, padded, padding, (1, 1, 1), out, stride,
        _taps(kernel, dilation, padded), tuple(range(count)), count, rows // groups * count,
    )  # fmt: skip


def _shared(padded, begin, placed, out):
    """Lines whose zeros on the right are those on the left of the next: less that is computed
    between them, a twentieth of an image of 28 x 28."""
    *others, length = padded
    right = length - begin[2] - placed
    return (*others, max(length - max(min(begin[2], right), 0), out))


def _taps(kernel, dilation, padded):
    return tuple(
        ((i * dilation[0]) * padded[1] + j * dilation[1]) * padded[2] + k * dilation[2]
        for i, j, k in itertools.product(*map(range, kernel))
    )


def device_work(operands, result, **attrs):
    """Any of them on a GPU, where integers are no exception."""
    if len(result.shape) > 5 or result.dtype.kernel == "bool":
        return None
    return Work("", (), 1, 0.0)


def convolution_work(operands, result, stride, padding, dilation, groups):
    """convolution(x, w)"""
    x, w = operands
    if len(x.shape) > 5:
        return None
    geometry = _forward(
        x.shape, w.shape[2:], result.shape[2:], w.shape[0], stride, padding, dilation, groups
    )
    return geometry.work(convolve, result.dtype.kernel)


def weight_work(operands, result, kernel, stride, padding, dilation, groups):
    """convolution_weight(y, x)"""
    y, x = operands
    if len(x.shape) > 5:
        return None
    geometry = _forward(x.shape, kernel, y.shape[2:], y.shape[1], stride, padding, dilation, groups)
    return geometry.work(weigh, result.dtype.kernel, add_parts)


def input_work(operands, result, lengths, stride, padding, dilation, groups):
    """convolution_input(y, w): y under the flipped kernel."""
    y, w = operands
    if len(y.shape) > 5:
        return None
    kernel, dilation = _three(w.shape[2:], 1), _three(dilation, 1)
    padding, out = _three(padding, 0), _three(lengths, 1)
    begin = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True))
    if min(begin) < 0:
        return None
    padded = tuple(n + d * (k - 1) for n, d, k in zip(out, dilation, kernel, strict=True))
    placed = (y.shape[-1] - 1) * stride[-1] + 1
    padded = _shared(padded, begin, placed, out[2])
    rows, channels, size = w.shape[1], y.shape[1] // groups, math.prod(kernel)
    weights = tuple(c * rows * size + tap for c in range(channels) for tap in range(size))
    flipped = tuple(reversed(_taps(kernel, dilation, padded)))
    geometry = _Geometry(
        y.shape[0], groups, channels, rows, _three(y.shape[2:], 1), padded, begin,
        _three(stride, 1), out, (1, 1, 1), flipped, weights, size, channels * rows * size,
    )  # fmt: skip
    return geometry.work(convolve, result.dtype.kernel)
