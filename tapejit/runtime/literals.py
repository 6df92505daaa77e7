"""Values that a program states itself."""

from __future__ import annotations

import numpy as np

from tapejit.registry import Kind


def literal_value(kind: Kind) -> np.ndarray | np.generic:
    """The array of a literal row, without memory of its own (strides 0)."""
    number = kind.aval.dtype.dtype.type(kind.attrs[0])
    return number if kind.aval.ndim == 0 else np.broadcast_to(number, kind.aval.shape)
