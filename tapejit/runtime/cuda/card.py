"""A GPU, through CUDA's driver."""

from __future__ import annotations

from tapejit.errors import GpuUnavailable


class Card:
    """One GPU; machine.Machine says what its methods do."""

    def __init__(self, index: int = 0):
        raise GpuUnavailable("package", "device='cuda': not yet")
