"""PyTorch's `special` namespace: functions of mathematical physics and statistics.

Functions take NumPy arrays too and answer in kind.
"""

from __future__ import annotations

__all__: list[str] = []
