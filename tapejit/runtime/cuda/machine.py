"""What a GPU can do, for whoever runs programs on it: `Machine`.

There are two: a card, through cuda.core (card.py), and a simulated one, whose memory is the
host's and whose kernels run in Numba's simulator (simulated.py).  All that is asked of a machine
is done in the order in which it is asked, on the calling thread's current stream, and later: only
`copy_out` and `synchronize` wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from tapejit.codegen.cuda.launches import Function


class Memory(Protocol):
    """An allocation; given back, in stream order, when nobody holds it any more."""

    address: int
    n_bytes: int


class Machine(Protocol):
    """One GPU."""

    index: int
    """Which: the 1 of cuda:1."""
    name: str
    compute_capability: tuple[int, int]
    block: int
    """Threads of a block that kernels are to be made for."""

    def allocate(self, n_bytes: int) -> Memory:
        """Memory, aligned to 256 bytes; errors.OutOfMemory where there is none left."""
        ...

    def copy_in(self, address: int, array: np.ndarray) -> None:
        """Copy a row-major array to the device; it may be changed at once afterwards."""
        ...

    def copy_out(self, array: np.ndarray, address: int) -> None:
        """Copy to a row-major array, and wait for it."""
        ...

    def copy(self, target: int, source: int, n_bytes: int) -> None:
        """Copy within the device."""
        ...

    def kernel(self, function: Function) -> Callable[[int, Sequence[int]], None]:
        """launch(grid, arguments) of a function, whose code is made or found now.

        arguments  addresses for pointers, and numbers
        """
        ...

    def synchronize(self) -> None:
        """Wait for all that was asked; errors of launches surface here at the latest."""
        ...

    @property
    def stream(self) -> Any:
        """The calling thread's current stream."""
        ...
