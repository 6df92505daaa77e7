"""Random tensors: PyTorch's names over NumPy's generator (the numbers are not PyTorch's)."""

from __future__ import annotations

import numpy as np

from tapejit.tensor.recording import state

_generators: dict[str, np.random.Generator] = {}  # numpy.random takes 8 ms to import: when asked


def generator() -> np.random.Generator:
    """The generator that all random functions draw from."""
    if state.parked.is_trace:
        state.parked.impure = "draws random numbers"
    if "default" not in _generators:
        _generators.setdefault("default", np.random.default_rng())
    return _generators["default"]


class Generator:
    """What `manual_seed` returns."""

    def __init__(self, seed: int):
        self._seed = seed

    def initial_seed(self) -> int:
        """The seed it was given.

        >>> import tapejit as tj
        >>> tj.manual_seed(7).initial_seed()
        7
        """
        return self._seed


def manual_seed(seed: int) -> Generator:
    """Let random functions begin anew from a seed.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(0)
    >>> first = tj.rand(3)
    >>> _ = tj.manual_seed(0)
    >>> bool((tj.rand(3) == first).all())
    True
    """
    _generators["default"] = np.random.default_rng(seed & (1 << 64) - 1)
    return Generator(seed)
