"""Are two peers' outputs the same?

The difference of two arrays is the largest |a - b| / (|b| + mean |b|) over the elements: relative
where an element has the size of its neighbours, and no sharper than rounding allows where one
is near zero.  An element that is wrong by a factor 1.001 gives about 5e-4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class OutputsDiffer(Exception):
    """Two peers do not agree; the message says which output, and by how much."""


def difference(got, expected) -> float:
    """Return the difference as the preface defines it; NaN agrees with NaN only."""
    got, expected = np.ravel(got), np.ravel(expected)
    if got.size == 0:
        return 0.0
    equal = (got == expected) | (np.isnan(got) & np.isnan(expected))
    if equal.all():
        return 0.0
    size = np.abs(expected)
    with np.errstate(invalid="ignore"):
        relative = np.abs(got - expected) / (size + np.mean(size[np.isfinite(size)]))
    relative[np.isnan(relative)] = np.inf
    return float(np.max(np.where(equal, 0.0, relative)))


def check_outputs(got: Sequence, expected: Sequence, tolerance: float) -> float:
    """Compare [value, gradient, ...]; return the largest difference or raise OutputsDiffer."""
    if len(got) != len(expected):
        raise OutputsDiffer(f"{len(got)} outputs, expected {len(expected)}")
    worst = 0.0
    for number, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        name = "value" if number == 0 else f"gradient {number - 1}"
        mine, theirs = np.asarray(mine), np.asarray(theirs)
        if mine.shape != theirs.shape:
            raise OutputsDiffer(f"{name}: shape {mine.shape}, expected {theirs.shape}")
        if mine.dtype != theirs.dtype:
            raise OutputsDiffer(f"{name}: dtype {mine.dtype}, expected {theirs.dtype}")
        apart = difference(mine, theirs)
        if not apart <= tolerance:
            raise OutputsDiffer(f"{name}: off by {apart:.2g}, tolerance {tolerance:g}")
        worst = max(worst, apart)
    return worst
