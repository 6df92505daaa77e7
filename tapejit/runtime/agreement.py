"""Whether kernels computed what the reference does: TAPEJIT_CHECK=3 asks it of every call."""

from __future__ import annotations

import numpy as np

TOLERANCE = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-3}
TOLERANCE |= {np.dtype(np.complex128): 1e-6, np.dtype(np.complex64): 1e-3}


def agree(got, want):
    """Equal within the dtype's tolerance, relative to the largest finite element."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    tolerance = TOLERANCE.get(want.dtype, 0.0)
    if not tolerance:
        return bool(np.array_equal(got, want))
    finite = np.abs(want[np.isfinite(want)])
    scale = finite.max() if finite.size else 0.0
    with np.errstate(all="ignore"):
        return bool(np.allclose(got, want, tolerance, tolerance * scale, equal_nan=True))
