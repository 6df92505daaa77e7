"""Kernels that are written as Python functions: their texts, and launches of them.

The one idea: a kernel is a plain function over pointers and numbers, of the Python subset that
numba.cuda compiles, and so is what it calls.  Its text is the functions' own source, behind what
the words of words.py mean this time:

    BLOCK = 256
    number = float32

    @cuda.jit(device=True, inline="always")
    def place_of(rows, columns, k, length, width, status):
        ...
    def kernel(x, places, y, status, length, n, inner, size):
        ...

What is called is inlined by Numba: other device functions ask for a device while they compile.

Start at `Recipe`.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tapejit.codegen.cuda import words
from tapejit.codegen.cuda.launches import Argument, Function, Launch, Launches
from tapejit.errors import KernelError
from tapejit.plan import LoopStep

MOST_BLOCKS = 4096
"""Of a grid: a million threads, more than a card runs at the same time."""

WARP = 32

Word = str | Callable
"""What a word stands for: an expression of the text, or a function."""

Meanings = tuple[tuple[str, Word], ...]
"""Of each word."""

_WORDS = {*words.__annotations__, "sqrt", "wide"} - {"cuda", "int64"}
_HOMES = ("tapejit.codegen.cuda.", "tapejit.ops.loops.")

# ---------------------------------------------------------------- texts


@functools.cache
def text_of(kernel: Callable, meanings: Meanings) -> str:
    """The source of a kernel: what its words mean, the functions that it calls, itself."""
    found = _Found(dict(meanings))
    found.add(kernel)
    own = found.sources.pop(kernel)
    return found.text(own.replace(f"def {kernel.__name__}(", "def kernel(", 1))


@functools.cache
def text_of_loop(run: Callable, n_args: int, n_meta: int, meanings: Meanings) -> str:
    """The source of a kernel that runs a loop of ops/loops, one thread for each unit."""
    found = _Found({"sqrt": "math.sqrt", **dict(meanings)})
    found.add(run)
    args, meta = [f"a{k}" for k in range(n_args)], [f"m{k}" for k in range(n_meta)]
    tuples = f"({', '.join(args)},), ({', '.join(meta)},)"
    return found.text(
        f"def kernel({', '.join([*args, *meta])}, units):\n"
        "    for unit in range(cuda.grid(1), units, cuda.gridsize(1)):\n"
        f"        {run.__name__}({tuples}, unit, unit + 1)\n"
    )


@functools.cache
def _source_of(function):
    try:
        return inspect.getsource(function)
    except OSError as error:
        raise KernelError(f"loops: no source of {function.__module__}: {error}") from error


class _Found:
    """What a kernel reaches: constants, and functions before those that call them."""

    def __init__(self, meanings: Mapping[str, Word]):
        self.meanings = meanings
        self.constants: dict[str, object] = {}
        self.aliases: dict[str, str] = {}
        self.sources: dict[Callable, str] = {}

    def add(self, function):
        if function in self.sources:
            return
        for name in function.__code__.co_names:
            value = self.meanings[name] if name in _WORDS else function.__globals__.get(name)
            if isinstance(value, types.FunctionType) and value.__module__.startswith(_HOMES):
                self.add(value)
                if value.__name__ != name:
                    self.aliases[name] = value.__name__
            elif name in _WORDS or type(value) is int:
                self.constants[name] = value
        self.sources[function] = _source_of(function)

    def text(self, own: str) -> str:
        """All that was found, then the kernel."""
        constants = [f"{name} = {value}" for name, value in self.constants.items()]
        called = self.sources.values()
        helpers = [f'@cuda.jit(device=True, inline="always")\n{source}' for source in called]
        aliases = [f"{name} = {meaning}" for name, meaning in self.aliases.items()]
        return "\n".join([*constants, "", *helpers, *aliases, "", own])


# ---------------------------------------------------------------- launches


class Area(NamedTuple):
    """Memory that kernels are given a pointer to."""

    dtype: str
    argument: Argument


class Recipe:
    """The launches of a step, one after the other."""

    def __init__(self, step: LoopStep, block: int):
        self.name, self.block = step.kind.op.name, block
        self.shapes = [view.shape for view in step.views]
        self.views = [
            Area(dtype, Argument("view", k))
            for k, dtype in enumerate(step.dtypes[: len(step.views)])
        ]
        self.status = Area("i64", Argument("status", 0))
        self.launches: list[Launch] = []
        self.scratch: list[tuple[str, int]] = []

    def area(self, dtype: str, n: int) -> Area:
        """A scratch area of n elements."""
        self.scratch.append((dtype, n))
        return Area(dtype, Argument("scratch", len(self.scratch) - 1))

    def launch(self, kernel: Callable, *arguments: Area | int, n: int, **meanings: Word) -> None:
        """One thread for each of n things."""
        self.add(
            text_of(kernel, tuple(meanings.items())), arguments, -(-n // self.block), self.block
        )

    def run_blocks(
        self, kernel: Callable, *arguments: Area | int, n: int, block: int = 0, **meanings: Word
    ) -> None:
        """One block for each of n things, of fewer threads if `block` says so."""
        block = block or self.block
        words = (("BLOCK", str(block)), *meanings.items())
        self.add(text_of(kernel, words), arguments, n, block)

    def run_loop(
        self,
        run: Callable | str,
        args: list[Area],
        meta: tuple[int, ...],
        units: int,
        **meanings: Word,
    ) -> None:
        """A loop of ops/loops; native functions of the CPU have no form here."""
        if isinstance(run, str):
            raise NotImplementedError(
                f"{self.name}: there is no form of it for GPUs\n  try  .cpu()"
            )
        source = text_of_loop(run, len(args), len(meta), tuple(meanings.items()))
        self.add(source, (*args, *meta, units), -(-units // self.block), self.block)

    def add(self, source: str, arguments: tuple[Area | int, ...], blocks: int, block: int) -> None:
        """A launch of a text."""
        parameters = tuple("i64" if isinstance(a, int) else f"{a.dtype}*" for a in arguments)
        given = tuple(a if isinstance(a, int) else a.argument for a in arguments)
        function = Function(source, parameters, block)
        self.launches.append(Launch(function, max(min(blocks, MOST_BLOCKS), 1), given))

    def done(self) -> Launches:
        """The step."""
        return Launches(tuple(self.launches), tuple(self.scratch))


def number_of(dtype: str) -> str:
    """What numbers of a memory dtype are computed in."""
    return {"f32": "float32", "f64": "float64"}.get(dtype, "int64")


def integer_for(n: int) -> str:
    """The memory dtype of numbers below n."""
    return "i32" if n < 1 << 31 else "i64"


def fitting(block: int, n: int) -> int:
    """Threads of a block for n things: no half of it idle, but a warp at least."""
    while block >= 2 * WARP and block // 2 >= n:
        block //= 2
    return block
