"""Matrix products: what the native loop of runtime/blas_code.py is told.

A matrix is handed to BLAS where it lies if its elements are neighbours along one of its two axes;
if along the first, it is called turned.  Batch axes are folded: into the rows of x where y is the
same for all, else into one axis of products.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from tapejit.registry import Operand, Work

PRODUCTS, DOTS, BLOCKS = "products", "dots", "blocks"
"""Names of loops in runtime/blas.py."""

REGISTER = 64
"""Bytes of the registers that products by blocks are for."""

CACHED = 1 << 17
"""Bytes of y up to which a product is done by blocks: a BLAS copies it first, which pays when it is
read from farther than the second cache."""

MANY, PARTS = 512, (256, 128, 64, 32, 16)
"""Rows above which a product by blocks is cut into equal parts, one unit each."""

TURNED, TALL = 1 << 16, 32
"""The same for a turned y, which is copied, and the rows from which that pays."""

FEW = 64
"""Rows up to which x @ w' is done by dot products, without copies that a BLAS makes."""

COLUMNS = 16
"""Of the result, in one unit of dot products."""

NS = {"f32": 1 / 60, "f64": 1 / 30}
"""ns of one multiplication with its addition, about."""


def reads(operand: Operand) -> bool:
    """Whether BLAS takes a matrix as it lies."""
    if len(operand.shape) < 2:
        return all(stride > 0 for stride in operand.strides)
    return _walk(operand.shape[-2:], operand.strides[-2:]) is not None


def _walk(shape, strides):
    """(turned, step from line to line) of a matrix; None if its elements are no neighbours."""
    (m, n), (down, right) = shape, strides
    if (right == 1 or n == 1) and (down >= n or m == 1):
        return 0, down if m > 1 else n
    if (down == 1 or m == 1) and (right >= m or n == 1):
        return 1, right if n > 1 else m
    return None


class Product(NamedTuple):
    """Products of matrices in memory, one for each index of the batch axes."""

    m: int
    n: int
    k: int
    x: tuple[int, int]
    """Of the left matrix, m by k: whether it is turned, and the step from line to line."""
    y: tuple[int, int]
    """Of the right one, k by n."""
    batch: tuple[int, ...]
    x_batch: tuple[int, ...]
    """How far apart the matrices are along each batch axis."""
    y_batch: tuple[int, ...]


def product(operands, result) -> Product:
    """What matmul has to do with operands that lie so, and a row-major result."""
    x, y = operands
    (xs, xd), (ys, yd) = (x.shape, x.strides), (y.shape, y.strides)
    if len(xs) == 1:  # a row
        xs, xd = (1, *xs), (xs[0] * xd[0], *xd)
    if len(ys) == 1:  # a column
        ys, yd = (*ys, 1), (*yd, 1)
    (m, k), n = xs[-2:], ys[-1]
    batch = result.shape[: len(result.shape) - (len(x.shape) > 1) - (len(y.shape) > 1)]
    xb, yb = _batch(xs, xd, batch), _batch(ys, yd, batch)
    if batch and not any(yb):
        folded = fold((*batch, m), (*xb, xd[-2]))
        if folded is not None and _walk((folded[0], k), (folded[1], xd[-1])) is not None:
            (m, down), batch = folded, ()
            xs, xd = (m, k), (down, xd[-1])
    walk_x, walk_y = _walk(xs[-2:], xd[-2:]), _walk(ys[-2:], yd[-2:])
    if n == 1:
        walk_y = 0, yd[-2] if k > 1 else 1  # BLAS refuses a step of 0, also of one number
    elif m == 1:
        walk_x = 1, xd[-1] if k > 1 else 1
    if walk_x is None or walk_y is None:  # asked before it is known where operands lie
        walk_x, walk_y = walk_x or (0, k), walk_y or (0, n)
    return Product(m, n, k, walk_x, walk_y, batch, xb, yb)


def batches(p: Product) -> tuple[int, int, int, list[tuple[int, int, int]]]:
    """Products that lie apart by one step each: how many, the steps in x and y, and of each such
    batch where it begins in x, in y and in the result."""
    if not p.batch:
        return 1, 0, 0, [(0, 0, 0)]
    x_folded, y_folded = fold(p.batch, p.x_batch), fold(p.batch, p.y_batch)
    if x_folded is not None and y_folded is not None:
        return x_folded[0], x_folded[1], y_folded[1], [(0, 0, 0)]
    *outer, count = p.batch  # the last axis as a batch, the others one by one
    firsts, size = [], count * p.m * p.n
    for number, index in enumerate(itertools.product(*map(range, outer))):
        at = [
            sum(i * step for i, step in zip(index, steps, strict=False))
            for steps in (p.x_batch, p.y_batch)
        ]
        firsts.append((*at, number * size))
    return count, p.x_batch[-1], p.y_batch[-1], firsts


def device_work(operands, result):
    """matmul of integers on a GPU; a library has the others."""
    return None if result.dtype.is_inexact else Work("", (), 1, 0.0)


def matmul_work(operands, result):
    """matmul of float32 and float64."""
    if result.dtype.kernel not in NS:
        return None
    m, n, k, walk_x, walk_y, batch, xb, yb = product(operands, result)
    if not batch and walk_x[0] == 0 and walk_y[0] == 1 and 1 < m <= FEW and n >= FEW:
        size = result.dtype.itemsize
        meta = (0, 1, m, n, k, walk_x[1], walk_y[1], COLUMNS, size)
        return Work(DOTS, meta, -(-n // COLUMNS), m * n * k * NS[result.dtype.kernel])
    units = math.prod(batch)
    places = _places(batch, xb, yb) if batch else (0, 0, 0)
    meta = (walk_x[0], walk_y[0], m, n, k, walk_x[1], walk_y[1], *places)
    ns, size = units * m * n * k * NS[result.dtype.kernel], result.dtype.itemsize
    lanes = REGISTER // size
    rows = m if batch or m <= MANY else max((r for r in PARTS if not m % r), default=0)
    limit, least = (TURNED, TALL) if walk_y[0] else (CACHED, 2)
    is_small = k * n * size <= limit and not n % lanes
    if is_small and rows >= least and not places[2]:
        if rows != m:  # as a batch of parts, for our threads
            units, places = m // rows, (rows * (1 if walk_x[0] else walk_x[1]), 0, 0)
            meta = (*meta[:2], rows, *meta[3:7], *places)
        return Work(BLOCKS, (*meta, size, lanes, n * k * size // rows), units, ns)
    return Work(PRODUCTS, meta, units, ns)


def _batch(shape, strides, batch):
    """Strides along the batch axes of the result."""
    own = [0 if n == 1 else stride for n, stride in zip(shape[:-2], strides[:-2], strict=True)]
    return (*[0] * (len(batch) - len(own)), *own)


def fold(shape, strides):
    """Axes as one: (length, stride), or None."""
    length, step = 1, None
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if step is not None and stride != length * step:
                return None
            step = stride if step is None else step
            length *= n
    return length, step if step is not None else 1


def _places(batch, xb, yb):
    """How far apart the products' operands are; or a list of all places."""
    one, other = fold(batch, xb), fold(batch, yb)
    if one is not None and other is not None:
        return one[1], other[1], 0
    numbers = itertools.product(*map(range, batch))
    both = (
        sum(i * stride for i, stride in zip(index, strides, strict=True))
        for index in numbers
        for strides in (xb, yb)
    )
    return (0, 0, 1, *both)
