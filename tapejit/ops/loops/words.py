"""Words of loops that mean something else in each compile."""

from __future__ import annotations

import numpy as np


def sqrt(x):
    """The square root, of the same dtype."""
    return np.sqrt(x)


def wide(x):
    """A number as sums keep it: float64 where the loop's result is floating-point, else int64."""
    return float(x) if isinstance(x, float | np.floating) else int(x)
