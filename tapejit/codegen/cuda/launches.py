"""What a step of a plan is on a GPU: kernels in text, and how they are launched one after another.

A `Function` holds no sizes and no addresses (plan.py says why), so programs share it; it is the
unit that is compiled, kept on disk and loaded.  Its text is one flat numba.cuda kernel:

    def kernel(x0, y0, n0):                      pointers, then int32 or int64 numbers
        i = cuda.grid(1)
        ...

`block` is a constant of the text, since shared memory is as long.  Grids depend on sizes only,
never on the card, so a sum has the same bits everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

SMALL_INDEX = 1 << 30
"""Elements that int32 indices reach, with room for steps beyond the end."""


def index_for(extents: Iterable[int]) -> str:
    """The dtype of index arithmetic where nothing reaches beyond these.

    >>> index_for([1000, -(2**29)]), index_for([1000, 2**30])
    ('i32', 'i64')
    """
    return "i32" if max(map(abs, extents), default=0) < SMALL_INDEX else "i64"


def span_of(shape: Iterable[int], strides: Iterable[int]) -> int:
    """How far apart elements of a view may lie."""
    return sum(abs(step) * (n - 1) for n, step in zip(shape, strides, strict=True))


class Function(NamedTuple):
    """One kernel as text."""

    source: str
    """Defines `kernel`; it may use `cuda`, `math` and the names of Numba's types (`float32`...).

    It imports nothing, so that it is its own key: what it does is all in it.
    """
    parameters: tuple[str, ...]
    """Of each parameter: "f64", "f32", "i64", "i32" or "bool" with "*" behind it for a pointer;
    "i32" or "i64" for a number.  Elements of "bool*" are uint8, 0 or 1: read `x0[i] != 0`.
    Loops that take complex numbers have "c64*" and "c128*".
    Elements that are only moved or cast may be "u8*", "u16*", "i8*", "i16*" or "f16*"."""
    block: int
    """Threads of a block."""


class LibraryCall(NamedTuple):
    """What a library does in a kernel's place, on the machine's current stream."""

    run: Callable[[Sequence[int]], None]
    """Given addresses and numbers."""
    is_capturable: bool
    """Whether a CUDA graph can replay it."""


class Argument(NamedTuple):
    """What a pointer parameter is given."""

    role: str
    """"view": the first element of the step's view; "scratch": a scratch area; "status": the int64
    of a loop that has one, for all its runs: a kernel that refuses writes 1, none writes 0."""
    number: int


class Launch(NamedTuple):
    """One launch of a kernel, or one call of a library."""

    function: Function | LibraryCall
    grid: int
    """Blocks; of a library's own kernels it says nothing."""
    arguments: tuple[Argument | int, ...]
    """One for each parameter."""


class Launches(NamedTuple):
    """A step: its launches in order, and the memory that they need between them."""

    launches: tuple[Launch, ...]
    scratch: tuple[tuple[str, int], ...] = ()
    """(dtype, elements) of each scratch area; what is in it before does not matter."""
