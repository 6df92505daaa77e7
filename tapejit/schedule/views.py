"""Views as numbers: (offset, strides) in elements, transformed by each movement operation.

`view_of` is the one door.  A movement that no strides can express (a reshape of what is not
row-major) gives None: its operand must be copied first.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from tapejit.ops.strided import place_of

Place = tuple[int, tuple[int, ...]]
"""Offset and strides."""

VIEWS = frozenset({"reshape", "expand", "permute", "flip", "slice", "strided"})


@functools.lru_cache(4096)
def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of row-major order."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether strides are those of row-major order, where it matters."""
    step = 1
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n != 1:
            if stride != step:
                return False
            step *= n
    return True


def view_of(name: str, attrs: tuple, before: tuple, place: Place, after: tuple) -> Place | None:
    """Where the result of a movement lies, if its operand of shape `before` lies at `place`."""
    offset, strides = place
    if name == "reshape":
        new = _reshaped(before, strides, after)
        return None if new is None else (offset, new)
    if name == "expand":
        extra = len(after) - len(before)
        kept = (0 if n == 1 else s for n, s in zip(before, strides, strict=True))
        return offset, (*(0,) * extra, *kept)
    if name == "permute":
        return offset, tuple(strides[a] for a in attrs[0])
    if name == "flip":
        (axes,) = attrs
        offset += sum((before[a] - 1) * strides[a] for a in axes)
        return offset, tuple(-s if a in axes else s for a, s in enumerate(strides))
    if name == "strided":
        _, starts, steps = attrs
        begin, strides = place_of(starts, steps, strides)
        return offset + begin, strides
    assert name == "slice", name
    starts, _, steps = attrs
    offset += sum(start * s for start, s in zip(starts, strides, strict=True))
    return offset, tuple(step * s for step, s in zip(steps, strides, strict=True))


def _reshaped(before, strides, after):
    """Strides of a reshape without a copy, or None.

    Axes are taken from the left in groups of equal size on both sides; within a group the old
    axes must be contiguous with each other.
    """
    if is_contiguous(before, strides):
        return contiguous(after)
    old = [(n, s) for n, s in zip(before, strides, strict=True) if n != 1]
    new, i, j = [0] * len(after), 0, 0
    while j < len(after):
        if after[j] == 1:
            j += 1
            continue
        first, (size, step) = j, old[i]
        i, wanted, j = i + 1, after[j], j + 1
        while size != wanted:
            if wanted < size:
                wanted, j = wanted * after[j], j + 1
            else:
                n, s = old[i]
                if step != n * s:
                    return None
                size, step, i = size * n, s, i + 1
        for axis in range(j - 1, first - 1, -1):
            new[axis] = step
            step *= after[axis]
    return tuple(new)
