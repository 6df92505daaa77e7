"""Launches of kernels that are written as Python functions.

The one idea: a kernel is a plain function over pointers and numbers, of the Python subset that
numba.cuda compiles, and so is what it calls.  Its text (indices.py) is the functions' own source,
behind what the words of words.py mean this time:

    BLOCK = 256
    number = float32
    index = int32

    @cuda.jit(device=True, inline="always")
    def place_of(rows, columns, k, length, width, status):
        ...
    def kernel(x, places, y, status, length, n, inner, size):
        ...

All of a step's kernels have indices of one width, which is known when all are: int32, unless
something reaches too far for that.

Start at `Recipe`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tapejit.codegen.cuda.indices import Meanings, Word, text_of, text_of_loop
from tapejit.codegen.cuda.launches import (
    Argument,
    Function,
    Launch,
    Launches,
    LibraryCall,
    index_for,
    span_of,
)  # fmt: skip
from tapejit.plan import View
from tapejit.registry import Operand

__all__ = ["Area", "Recipe", "Word", "fitting", "integer_for", "number_of"]

MOST_BLOCKS = 4096
"""Of a grid: a million threads, more than a card runs at the same time."""

WARP = 32

# ---------------------------------------------------------------- launches


class Area(NamedTuple):
    """Memory that kernels are given a pointer to."""

    dtype: str
    argument: Argument


class _Made(NamedTuple):
    """A launch whose indices have no width yet."""

    text: Callable[[str], str]
    """Of the width."""
    arguments: tuple[Area | int, ...]
    blocks: int
    block: int


class Recipe:
    """The launches of a step, one after the other."""

    def __init__(
        self,
        name: str,
        views: Sequence[View] | Sequence[Operand],
        dtypes: Sequence[str],
        block: int,
        parts: int = 1,
    ):
        """views, dtypes: of the operands, then of the result; parts: of an element, to kernels."""
        self.name, self.block = name, block
        self.shapes = [view.shape for view in views]
        self.views = [Area(dtype, Argument("view", k)) for k, dtype in enumerate(dtypes)]
        self.status = Area("i64", Argument("status", 0))
        self.made: list[_Made | Launch] = []
        self.scratch: list[tuple[str, int]] = []
        self.extents = [parts * span_of(view.shape, view.strides) for view in views]
        """What indices reach, besides numbers that kernels are given and scratch areas."""

    def area(self, dtype: str, n: int) -> Area:
        """A scratch area of n elements."""
        self.scratch.append((dtype, n))
        return Area(dtype, Argument("scratch", len(self.scratch) - 1))

    def launch(self, kernel: Callable, *arguments: Area | int, n: int, **meanings: Word) -> None:
        """One thread for each of n things."""
        self._add(kernel, arguments, tuple(meanings.items()), -(-n // self.block), self.block)

    def run_blocks(
        self, kernel: Callable, *arguments: Area | int, n: int, block: int = 0, **meanings: Word
    ) -> None:
        """One block for each of n things, of fewer threads if `block` says so."""
        block = block or self.block
        words = (("BLOCK", str(block)), *meanings.items())
        self._add(kernel, arguments, words, n, block)

    def run_loop(
        self,
        run: Callable,
        args: list[Area],
        meta: tuple[int, ...],
        units: int,
        **meanings: Word,
    ) -> None:
        """A loop of ops/loops, one thread for each unit."""
        words = tuple(meanings.items())
        text = functools.partial(text_of_loop, run, len(args), len(meta), words)
        made = _Made(text, (*args, *meta, units), -(-units // self.block), self.block)
        self.made.append(made)

    def _add(self, kernel, arguments, words: Meanings, blocks: int, block: int):
        n_pointers = sum(isinstance(one, Area) for one in arguments)
        n_numbers = len(arguments) - n_pointers
        text = functools.partial(text_of, kernel, n_pointers, n_numbers, words)
        self.made.append(_Made(text, arguments, blocks, block))

    def call(self, call: LibraryCall, *arguments: Area | int) -> None:
        """A library's."""
        given = tuple(a if isinstance(a, int) else a.argument for a in arguments)
        self.made.append(Launch(call, 0, given))

    def done(self) -> Launches:
        """The step."""
        index = index_for([*self.extents, *(n for _, n in self.scratch), *self._numbers()])
        launches = [x if isinstance(x, Launch) else _launch(x, index) for x in self.made]
        return Launches(tuple(launches), tuple(self.scratch))

    def _numbers(self):
        """Those that kernels are given."""
        return (one for made in self.made for one in made.arguments if isinstance(one, int))


def _launch(made: _Made, index: str) -> Launch:
    parameters = [index if isinstance(a, int) else f"{a.dtype}*" for a in made.arguments]
    given = [a if isinstance(a, int) else a.argument for a in made.arguments]
    function = Function(made.text(index), tuple(parameters), made.block)
    return Launch(function, max(min(made.blocks, MOST_BLOCKS), 1), tuple(given))


_NUMBERS = {"f32": "float32", "f64": "float64", "c64": "complex64", "c128": "complex128"}


def number_of(dtype: str) -> str:
    """What numbers of a memory dtype are computed in."""
    return _NUMBERS.get(dtype, "int64")


def integer_for(n: int) -> str:
    """The memory dtype of numbers below n."""
    return "i32" if n < 1 << 31 else "i64"


def fitting(block: int, n: int) -> int:
    """Threads of a block for n things: no half of it idle, but a warp at least."""
    while block >= 2 * WARP and block // 2 >= n:
        block //= 2
    return block
