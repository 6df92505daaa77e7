"""The values of convolutions, with NumPy: matrix products, so that BLAS does the work.

Two ways.  *Shifts*, for stride 1: images lie padded behind each other in one long axis, where the
element of the kernel at (i, j) is a shift by a fixed number of places; the output is a sum over
shifts of weight[:, :, i, j] @ shifted image, nothing is copied, and a chunk of the output stays in
cache while the shifts are added to it.  Places where a window would hang over the edge are computed
too and thrown away.  *Columns*, else: windows are copied into a matrix (im2col).

Value and gradients on 32 x 64 x 28 x 28 with 3 x 3 kernels, float32, one core: 134 ms by shifts,
139 to 470 by columns, whose matrices are 58 MB each; torch 63 to 90.
Source of the first: A. Anderson et al., Low-memory GEMM-based convolution, arXiv:1709.03395.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

CHUNK = 3600
"""Places whose outputs are summed at once: 0.9 MB for 64 channels of float32."""
NARROW = 8
"""Channels from which a product per shift pays."""


def output_lengths(lengths, kernel, stride, padding, dilation) -> tuple[int, ...]:
    """How many places a kernel has along each axis."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(lengths, kernel, stride, padding, dilation, strict=True)
    )


def _wide(*arrays):
    """float16 is summed in float32."""
    return [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]


# ---------------------------------------------------------------- the three products


def output(x, w, stride, padding, dilation, groups) -> np.ndarray:
    """The convolution of x (n, c, *S) with w (o, c / groups, *K): (n, o, *T)."""
    dtype = x.dtype
    x, w = _wide(x, w)
    if _are_shifts(w.shape[1], stride, x.size and w.size):
        result = _output_by_shifts(x, w, padding, dilation, groups)
    else:
        result = _output_by_columns(x, w, stride, padding, dilation, groups)
    return result.astype(dtype, copy=False)


def input(y, w, lengths, stride, padding, dilation, groups) -> np.ndarray:
    """The transpose of `output` in x: (n, c, *lengths)."""
    dtype = y.dtype
    y, w = _wide(y, w)
    kernel = w.shape[2:]
    around = tuple(d * (k - 1) - p for k, d, p in zip(kernel, dilation, padding, strict=True))
    if min(around) >= 0 and _are_shifts(y.shape[1] // groups, stride, y.size and w.size):
        result = _output_by_shifts(y, _turned(w, groups), around, dilation, groups)
    else:
        result = _input_by_columns(y, w, lengths, stride, padding, dilation, groups)
    return result.astype(dtype, copy=False)


def weight(y, x, kernel, stride, padding, dilation, groups) -> np.ndarray:
    """The transpose of `output` in w: (o, c / groups, *kernel)."""
    dtype = y.dtype
    y, x = _wide(y, x)
    if _are_shifts(x.shape[1] // groups, stride, x.size and y.size):
        result = _weight_by_shifts(y, x, kernel, padding, dilation, groups)
    else:
        result = _weight_by_columns(y, x, kernel, stride, padding, dilation, groups)
    return result.astype(dtype, copy=False)


# ---------------------------------------------------------------- by shifts


def _are_shifts(n_channels, stride, size):
    return size and set(stride) == {1} and (n_channels >= NARROW or n_channels == 1)


def _turned(w, groups):
    """The weight of the transpose: reversed along the kernel, outputs and inputs exchanged."""
    o, c, *kernel = w.shape
    split = np.flip(w, tuple(range(2, w.ndim))).reshape(groups, o // groups, c, *kernel)
    return split.swapaxes(1, 2).reshape(groups * c, o // groups, *kernel)


class _Images:
    """Images behind each other, channels first, with zeros around: room for a block of them."""

    def __init__(self, x, before, lengths, count, groups):
        n_channels = x.shape[1]
        room = np.zeros((n_channels, count, *lengths), x.dtype)
        self.x, self.room = x, room
        self.inside = (
            slice(None),
            *(slice(p, p + m) for p, m in zip(before, x.shape[2:], strict=True)),
        )
        self.long = room.reshape(groups, n_channels // groups, -1)

    def load(self, a, b):
        """Images a … b-1 as (groups, channels, places); the rest of the room keeps old ones."""
        self.room[:, : b - a][(slice(None), *self.inside)] = self.x[a:b].swapaxes(0, 1)
        return self.long


def _blocks(n, n_places):
    """Beginnings and ends of blocks of images that make about CHUNK places, at least one."""
    count = min(max(CHUNK // n_places, 1), n)
    return count, [(a, min(a + count, n)) for a in range(0, n, count)]


def _shifts(kernel, lengths, dilation):
    """How far along the long axis each element of the kernel is from the first."""
    flat = 0
    for k, n, d in zip(kernel, lengths, dilation, strict=True):
        flat = (np.asarray(flat)[..., None] * n + np.arange(k) * d).reshape(-1)
    return [int(shift) for shift in np.asarray(flat)]


def _product(w, x, out):
    """w @ x; of one channel simply the product."""
    return np.multiply(w, x, out=out) if w.shape[-1] == 1 else np.matmul(w, x, out=out)


def _output_by_shifts(x, w, padding, dilation, groups):
    n, (o, c, *kernel) = x.shape[0], w.shape
    lengths = tuple(m + 2 * p for m, p in zip(x.shape[2:], padding, strict=True))
    places = tuple(m - d * (k - 1) for m, k, d in zip(lengths, kernel, dilation, strict=True))
    weights = np.ascontiguousarray(w.reshape(groups, o // groups, c, -1).transpose(3, 0, 1, 2))
    shifts = _shifts(kernel, lengths, dilation)
    result = np.empty((n, o, *places), x.dtype)
    count, blocks = _blocks(n, math.prod(lengths))
    images = _Images(x, padding, lengths, count, groups)
    total = np.empty((groups, o // groups, images.long.shape[-1]), x.dtype)
    end = images.long.shape[-1] - shifts[-1]
    spare = np.empty((groups, o // groups, min(CHUNK, end)), x.dtype)
    kept = (slice(None), slice(None), *(slice(t) for t in places))
    for a, b in blocks:
        _add_products(weights, images.load(a, b), shifts, total[..., :end], spare)
        whole = total.reshape(o, count, *lengths)[kept]
        result[a:b] = whole[:, : b - a].swapaxes(0, 1)
    return result


def _add_products(weights, long, shifts, total, spare):
    """total = the sum over shifts of weight @ shifted places, a chunk at a time."""
    end = total.shape[-1]
    for a in range(0, end, CHUNK):
        b = min(a + CHUNK, end)
        chunk, part = total[..., a:b], spare[..., : b - a]
        _product(weights[0], long[..., a:b], chunk)
        for one, shift in zip(weights[1:], shifts[1:], strict=True):
            chunk += _product(one, long[..., a + shift : b + shift], part)


def _weight_by_shifts(y, x, kernel, padding, dilation, groups):
    n, o, c = len(x), y.shape[1], x.shape[1]
    lengths = tuple(m + 2 * p for m, p in zip(x.shape[2:], padding, strict=True))
    shifts = _shifts(kernel, lengths, dilation)
    count, blocks = _blocks(n, math.prod(lengths))
    images = _Images(x, padding, lengths, count, groups)
    slopes = _Images(y, (0,) * len(kernel), lengths, count, groups)
    end = images.long.shape[-1] - shifts[-1]
    total = np.zeros((len(shifts), groups, o // groups, c // groups), x.dtype)
    for a, b in blocks:
        long, rows = images.load(a, b), slopes.load(a, b)
        if b - a < count:
            slopes.room[:, b - a :] = 0
        for one, shift in zip(total, shifts, strict=True):
            one += rows[..., :end] @ long[..., shift : shift + end].swapaxes(1, 2)
    return total.transpose(1, 2, 3, 0).reshape(o, c // groups, *kernel)


# ---------------------------------------------------------------- by columns


def _columns(x, kernel, stride, padding, dilation, groups):
    """The windows of x as matrices: (n, groups, c / groups * K, T)."""
    lengths = output_lengths(x.shape[2:], kernel, stride, padding, dilation)
    if any(padding):
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    n, c = x.shape[:2]
    steps = x.strides[2:]
    windows = np.lib.stride_tricks.as_strided(
        x,
        (n, c, *kernel, *lengths),
        (
            *x.strides[:2],
            *(step * d for step, d in zip(steps, dilation, strict=True)),
            *(step * s for step, s in zip(steps, stride, strict=True)),
        ),
        writeable=False,
    )
    return windows.reshape(n, groups, c // groups * math.prod(kernel), math.prod(lengths))


def _output_by_columns(x, w, stride, padding, dilation, groups):
    columns = _columns(x, w.shape[2:], stride, padding, dilation, groups)
    rows = w.reshape(groups, w.shape[0] // groups, -1)
    lengths = output_lengths(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return np.matmul(rows, columns).reshape(x.shape[0], w.shape[0], *lengths)


def _input_by_columns(y, w, lengths, stride, padding, dilation, groups):
    n, o = y.shape[:2]
    c, kernel, places = w.shape[1] * groups, w.shape[2:], y.shape[2:]
    rows = w.reshape(groups, o // groups, -1).swapaxes(1, 2)
    columns = np.matmul(rows, y.reshape(n, groups, o // groups, math.prod(places)))
    columns = columns.reshape(n, c, *kernel, *places)
    padded = tuple(m + 2 * p for m, p in zip(lengths, padding, strict=True))
    result = np.zeros((n, c, *padded), y.dtype)
    for offset in itertools.product(*map(range, kernel)):
        target = tuple(
            slice(k * d, k * d + t * s, s)
            for k, d, t, s in zip(offset, dilation, places, stride, strict=True)
        )
        result[(..., *target)] += columns[(slice(None), slice(None), *offset)]
    inside = tuple(slice(p, p + m) for p, m in zip(padding, lengths, strict=True))
    return np.ascontiguousarray(result[(..., *inside)])


def _weight_by_columns(y, x, kernel, stride, padding, dilation, groups):
    n, o = y.shape[:2]
    columns = _columns(x, kernel, stride, padding, dilation, groups)
    rows = y.reshape(n, groups, o // groups, columns.shape[-1])
    total = np.matmul(rows, columns.swapaxes(-1, -2)).sum(0)
    return total.reshape(o, x.shape[1] // groups, *kernel)
