"""Several indices as one: x[i, j, ...] on a GPU is row i * n + j of x with its first axes in one.

Kernels (codegen/cuda/loop_places.py) know one index, or two of the same shape for reading and for
sums.  What fuses here is plain arithmetic; an index out of range becomes one that is out of range
there too, where the kernel's status says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tapejit.build import Ref
from tapejit.ops.copies import cast
from tapejit.ops.movement import expand, reshape
from tapejit.ops.selection import where
from tapejit.registry import Kind
from tapejit.schedule.loops import row_major, work_of
from tapejit.shapes import Aval

ARRAYS = {"index": 1, "index_add": 1, "index_last": 1, "index_put": 2, "index_combine": 2}
"""How many operands come before the indices."""


def is_flattened(kind: Kind, operands: Sequence[Aval]) -> bool:
    """Whether an operation at places has no loop as it is, but has one at flat places."""
    name = kind.op.name
    if name not in ARRAYS or not all(x.size for x in operands):
        return False
    if any(x.dtype.kernel is None for x in operands) and not _is_of_complex(kind):
        return False
    if not all(x.dtype.kernel in ("i64", "i32") for x in operands[ARRAYS[name] :]):
        return False
    return work_of(kind, map(row_major, operands), alone=True, device=True) is None


def _is_of_complex(kind):
    """Whether its loop takes complex numbers; other operations do each part."""
    return kind.aval.dtype.is_complex and kind.op.loop.complex


def at_flat_places(kind: Kind, *operands: Ref) -> Ref:
    """The same result, by one index."""
    n = ARRAYS[kind.op.name]
    (x, *values), indices = operands[:n], operands[n:]
    target = kind.aval.shape if kind.op.name == "index_add" else x.shape
    lengths, inner = target[: len(indices)], target[len(indices) :]
    places = _flat(indices, lengths)
    flat = (math.prod(lengths), *inner)
    whole = (*places.shape, *inner)
    if kind.op.name == "index_add":
        result = kind.op(expand(x, shape=whole), places, shape=flat)
    else:
        values = [expand(value, shape=whole) for value in values]
        result = kind.op(reshape(x, shape=flat), *values, places, **kind.attributes())
    return reshape(result, shape=kind.aval.shape)


def _flat(indices, lengths):
    """Numbers of elements in row-major order, and behind all where an index is out of range."""
    shape = np.broadcast_shapes(*(index.shape for index in indices))
    flat, is_wrong = _wrapped(indices[0], lengths[0])
    for index, n in zip(indices[1:], lengths[1:], strict=True):
        at, wrong = _wrapped(index, n)
        flat, is_wrong = flat * n + at, is_wrong | wrong
    behind = flat.builder.literal(math.prod(lengths), flat.aval)
    return expand(where(is_wrong, behind, flat), shape=shape)


def _wrapped(index, n):
    """A place counted from the front, and whether there is none."""
    index = cast(index, dtype="int64")
    at = where(index < 0, index + n, index)
    return at, (at < 0) | (at >= n)
