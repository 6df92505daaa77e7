"""PyTorch's `linalg` namespace: decompositions, solves, norms of matrices, in batches.

Functions take NumPy arrays too and answer in kind; `np.linalg.f(tensor)` comes here.
"""

from __future__ import annotations

__all__: list[str] = []
