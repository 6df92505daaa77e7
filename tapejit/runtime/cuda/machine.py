"""What a GPU can do, for whoever runs programs on it: `Machine`.  Which there are: machines.py.

There are two kinds: a card, through CUDA's driver (card.py), and a simulated one, whose memory is
the host's and whose kernels run as Python text (simulator/).  All that is asked of a machine is
done in the order in which it is asked, on the calling thread's current stream, and later: only
`copy_out` and `synchronize` wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from tapejit.codegen.cuda.launches import Function
from tapejit.sites import Site, describe_site

Place = Any
"""What an error says was launched: its text, or what str() makes of it when one is raised."""


class Launched(NamedTuple):
    """What was launched, and the user's line that asked for it."""

    place: Place
    site: Site | None

    def __str__(self):
        where = "" if self.site is None else f" at {describe_site(self.site)}"
        return f"{self.place}{where}"


class Memory(Protocol):
    """An allocation; given back, in stream order, when nobody holds it any more."""

    address: int
    n_bytes: int


class MemoryUse(NamedTuple):
    """Bytes."""

    held: int
    """In allocations that somebody holds."""
    held_most: int
    """The most that `held` was."""
    reserved: int
    """Taken from the device: held, or kept for reuse."""
    free: int
    """Of the device, for everybody."""
    total: int
    """Of the device."""


class Event(Protocol):
    """A moment in a stream."""

    def record(self, stream: Any) -> None:
        """Let it be the moment when what is asked of the stream so far is done."""
        ...

    def is_done(self) -> bool:
        """Whether it has come."""
        ...

    def synchronize(self) -> None:
        """Wait for it."""
        ...

    def ms_since(self, earlier: Any) -> float:
        """Milliseconds between two moments, both with timing."""
        ...


class Stream(Protocol):
    """A queue of work: in order within itself, unordered to others."""

    handle: int
    """The driver's CUstream, which other libraries take."""

    def is_done(self) -> bool:
        """Whether all that was asked of it is done."""
        ...

    def synchronize(self) -> None:
        """Wait for all that was asked of it."""
        ...

    def wait(self, event: Any) -> None:
        """Let what is asked from now on begin after the event."""
        ...


class Graph(Protocol):
    """Work that was recorded and can be done again, at the same addresses."""

    def launch(self) -> None:
        """Do it all on the current stream."""
        ...


class Machine(Protocol):
    """One GPU."""

    index: int
    """Which: the 1 of cuda:1."""
    name: str
    compute_capability: tuple[int, int]
    n_multiprocessors: int
    block: int
    """Threads of a block that kernels are to be made for."""
    stream: Any
    """The calling thread's current stream; may be set."""
    default_stream: Any
    """The one that is current where none was set."""

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

    def kernel(self, function: Function) -> Callable[..., None]:
        """launch(grid, arguments, place=None) of a function, whose code is made or found now.

        arguments  addresses for pointers, and numbers: plain ints
        place      names the operation, if the launch fails; `sites.here` has the user's line
        """
        ...

    def synchronize(self) -> None:
        """Wait for all that was asked; errors of launches surface here at the latest."""
        ...

    def capture(self, run: Callable[[], Any]) -> Graph:
        """Record what `run` asks for on its current stream, without doing it.

        It may launch and copy within the device, not allocate, copy in or out, or wait.  What it
        uses must be held as long as the graph is.
        """
        ...

    def new_stream(self, priority: int = 0) -> Stream:
        """A stream of its own; lower numbers of priority go first."""
        ...

    def new_event(self, timing: bool = False) -> Event:
        """An event that has come until it is recorded."""
        ...

    def stream_of(self, handle: int) -> Stream:
        """Another library's stream, which stays its own."""
        ...

    def runs_only_in(self, handle: int) -> bool:
        """Whether no other stream has been current here."""
        ...

    def number_of(self, address: int) -> int | None:
        """The number of the GPU in whose memory an address lies; None if in none."""
        ...

    def memory_use(self) -> MemoryUse:
        """How much memory is in use."""
        ...

    def forget_most(self) -> None:
        """Let `held_most` begin again from what is held."""
        ...

    def release_kept(self) -> None:
        """Give memory that is kept for reuse back to the device."""
        ...
