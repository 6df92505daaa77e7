"""PyTorch's `fft` namespace: discrete Fourier transforms, with NumPy's and PyTorch's arguments.

Functions take NumPy arrays too and answer in kind; `np.fft.f(tensor)` comes here.
"""

from __future__ import annotations

__all__: list[str] = []
