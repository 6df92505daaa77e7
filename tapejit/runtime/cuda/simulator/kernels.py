"""Kernels in text run as Python: what a GPU's threads do, one thread after another.

The one idea: a thread is a generator.  `cuda.syncthreads()` becomes a `yield`, and a block runs
each of its threads to its next barrier, then all of them to the one after; shuffles are the same
within a warp (warps.py).  Numba's own simulator has an operating system's thread for each, 0.1 ms
a piece, and no shuffles; here one costs a microsecond, nothing depends on timing, and mistakes
that a card forgives, or hides, are errors:

    addresses   pointers know their allocation: an index outside it, before or behind, is refused
    barriers    all threads of a block must come to the same one
    shuffles    all lanes of the mask must come to the same one, and read from one of them
    races       an element that one thread changes and another reads or changes, in no order, is
                refused (races.py); and blocks, and threads between barriers, run in one order and
                then in the other
    memory      that nobody has written holds NaN, or -1

Numbers are NumPy's scalars, so float32 rounds as float32 and x / 0 is infinity; `math` and
`cuda.libdevice` are NumPy's and SciPy's functions.  What is not here: votes, the card's last bits,
overflow of numbers that a text calls int32; what it calls indices is checked.

Start at `Kernel`.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.codegen.cuda.launches import Function
from tapejit.errors import LaunchError
from tapejit.runtime.cuda.simulator.races import Now, Races
from tapejit.runtime.cuda.simulator.warps import WARP, run_warp, with_waits

DTYPES = {
    "f64": np.float64, "f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.uint8,
    "u8": np.uint8, "u16": np.uint16, "i8": np.int8, "i16": np.int16, "f16": np.float16,
    "c64": np.complex64, "c128": np.complex128,
}  # fmt: skip
WORDS = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16,
    "int64": np.int64, "int32": np.int32,
    "uint64": np.uint64, "uint32": np.uint32, "int16": np.int16, "uint16": np.uint16,
    "int8": np.int8, "uint8": np.uint8, "boolean": np.bool_,
    "complex64": np.complex64, "complex128": np.complex128,
}  # fmt: skip
"""Numba's types, by the names that a text knows them by."""

# ------------------------------------------------------------------------------------ memory


class Pointer:
    """An address as a kernel sees it: elements by number, within its allocation."""

    __slots__ = ("base", "elements", "name", "offset", "races", "size", "step")

    def __init__(
        self, name: str, elements: np.ndarray, offset: int = 0, races: Races | None = None
    ):
        self.name, self.elements, self.offset, self.races = name, elements, offset, races
        self.size, self.base, self.step = len(elements), elements.ctypes.data, elements.itemsize

    def __getitem__(self, i):
        place = self.offset + i
        if not 0 <= place < self.size:
            raise self._outside("read", i)
        if self.races is not None:
            self._noted(self.races.note_read, place, i)
        return self.elements[place]

    def __setitem__(self, i, value):
        place = self.offset + i
        if not 0 <= place < self.size:
            raise self._outside("written", i)
        old = self.elements[place]
        try:
            self.elements[place] = value
        except OverflowError:  # a card stores the lowest bits
            self.elements[place] = np.int64(value).astype(self.elements.dtype)
        new = self.elements[place]
        if self.races is not None and old != new and (old == old or new == new):
            self._noted(self.races.note_change, place, i)

    def exchange(self, i, change):
        """Change an element, atomically; what was there before."""
        place = self.offset + i
        if not 0 <= place < self.size:
            raise self._outside("changed", i)
        old = self.elements[place]
        self.elements[place] = change(old)
        return old

    def _noted(self, note, place, i):
        try:
            note(self.base + int(place) * self.step)
        except RuntimeError as race:
            raise RuntimeError(f"{self.name}[{i}] is {race}") from None

    def _outside(self, done, i):
        first, last = -self.offset, self.size - self.offset - 1
        there = f"its memory has elements {first} to {last}" if self.size else "no memory"
        return IndexError(f"{self.name}[{i}] is {done}: {there}")


class Tile(Pointer):
    """A shared or local array of several axes."""

    __slots__ = ("shape",)

    def __init__(self, name, shape, dtype, races):
        super().__init__(name, _poisoned(math.prod(shape), dtype), 0, races)
        self.shape = shape

    def __getitem__(self, index):
        return super().__getitem__(self._place(index))

    def __setitem__(self, index, value):
        super().__setitem__(self._place(index), value)

    def exchange(self, i, change):
        return super().exchange(self._place(i), change)

    def _place(self, index):
        place = 0
        for i, n in zip(index, self.shape, strict=True):
            if not 0 <= i < n:
                raise IndexError(f"{self.name}{list(index)}: its shape is {self.shape}")
            place = place * n + i
        return place


def _poisoned(n: int, dtype) -> np.ndarray:
    """Elements that nobody has written: NaN or -1."""
    size = np.dtype(dtype).itemsize
    return np.full(n * size, 0xFF, np.uint8).view(dtype)


def _array(name: str, shape: int | tuple[int, ...], dtype, races=None) -> Pointer:
    if isinstance(shape, tuple):
        return Tile(name, shape, dtype, races)
    return Pointer(name, _poisoned(shape, dtype), 0, races)


# ------------------------------------------------------------------------------------ functions

_RENAMED = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "pow": "power",
    "fabs": "abs",
}  # fmt: skip
_SPECIAL = {
    "erf": "erf", "erfc": "erfc", "erfcx": "erfcx", "erfinv": "erfinv", "erfcinv": "erfcinv",
    "gamma": "gamma", "tgamma": "gamma", "lgamma": "gammaln", "normcdf": "ndtr",
    "normcdfinv": "ndtri", "j0": "j0", "j1": "j1",
}  # fmt: skip


def _function(name: str) -> Callable:
    """A function of C's math library, for NumPy's scalars."""
    if name in _SPECIAL:
        import scipy.special

        return getattr(scipy.special, _SPECIAL[name])
    if name == "ilogb":
        return lambda x: np.frexp(x)[1] - 1
    if name == "fma":
        return lambda x, y, z: x * y + z  # rounded twice
    if name == "cospi":
        return lambda x: np.cos(np.pi * np.float64(x))
    return getattr(np, _RENAMED.get(name, name))


class _Math:
    """`math` as a GPU has it: no exceptions, and float32 stays float32."""

    pi, e, inf, nan = math.pi, math.e, math.inf, math.nan

    def __getattr__(self, name):
        if not hasattr(math, name):
            raise AttributeError(f"math has no {name}")
        function = _function(name)
        setattr(self, name, function)
        return function


class _Libdevice:
    """NVIDIA's libdevice: `exp` of float64, `expf` of float32."""

    def __getattr__(self, name):
        if name.endswith("f") and name != "erf":
            function = _function(name[:-1])
            found = lambda *x: np.float32(function(*map(np.float32, x)))  # noqa: E731
        else:
            found = _function(name)
        setattr(self, name, found)
        return found


# ------------------------------------------------------------------------------------ threads


class _Axis:
    """Of the grid or a block; there is one."""

    y = z = 0

    def __init__(self):
        self.x = 0


class _Extent(_Axis):
    y = z = 1


class _Shared:
    """Arrays of a block: what a thread's first, second... `array` is, is the same for all."""

    def __init__(self, now: Now):
        self.arrays: list[Pointer] = []
        self.asked = 0
        self.races = Races(now)

    def array(self, shape, dtype):
        if self.asked == len(self.arrays):
            self.arrays.append(_array(f"shared array {self.asked}", shape, dtype, self.races))
        self.asked += 1
        return self.arrays[self.asked - 1]


class _Local:
    @staticmethod
    def array(shape, dtype):
        return _array("local array", shape, dtype)


class _Atomic:
    """Read, change, write; what was there before."""

    @staticmethod
    def _of(change):
        def atomic(array, index, value):
            return array.exchange(index, lambda old: change(old, value))

        return staticmethod(atomic)

    add = _of(lambda old, value: old + value)
    max = _of(max)
    min = _of(min)


class Cuda:
    """What `cuda` is in a text while a kernel runs."""

    libdevice = _Libdevice()
    local = _Local
    atomic = _Atomic

    def __init__(self):
        self.threadIdx, self.blockIdx = _Axis(), _Axis()
        self.blockDim, self.gridDim = _Extent(), _Extent()
        self.shared = _Shared(Now())

    def grid(self, n_axes):
        return self.blockIdx.x * self.blockDim.x + self.threadIdx.x

    def gridsize(self, n_axes):
        return self.gridDim.x * self.blockDim.x

    @staticmethod
    def jit(function=None, **options):
        """Functions of the device are what they are."""
        return Cuda.jit if function is None else function

    @staticmethod
    def threadfence():
        pass


def _checked(range_: np.iinfo) -> Callable[[Any], int]:
    """What makes a number an index of a dtype, which must hold it."""
    least, largest = range_.min, range_.max

    def index(number):
        number = int(number)
        if not least <= number <= largest:
            raise OverflowError(f"an index of {number}: a text's {range_.dtype} does not hold it")
        return number

    index.dtype = range_.dtype  # as NumPy asks for it, where it names what an array holds
    return index


class _Turning:
    """An order that is the other one each time."""

    def __init__(self):
        self.is_forward = False

    def of(self, n: int) -> range:
        """0 to n - 1, or n - 1 to 0."""
        self.is_forward = not self.is_forward
        return range(n) if self.is_forward else range(n - 1, -1, -1)


class Kernel:
    """A function, ready to be run: `run(grid, arguments)`, arguments being pointers and ints."""

    def __init__(self, function: Function):
        self.cuda = Cuda()
        scope: dict[str, Any] = {"cuda": self.cuda, "math": _Math(), **WORDS}
        exec(compile(with_waits(function.source), "<kernel of a GPU>", "exec"), scope)
        if "index" in scope:
            scope["index"] = _checked(np.iinfo(scope["index"]))
        self.run_thread = scope["kernel"]
        self.does_wait = inspect.isgeneratorfunction(self.run_thread)
        self.block = function.block
        self.blocks, self.threads, self.lanes = _Turning(), _Turning(), _Turning()
        self.now = Now()

    def run(self, grid: int, arguments: Sequence[Pointer | int]):
        """Run all blocks."""
        races = Races(self.now)
        for x in arguments:
            if isinstance(x, Pointer):
                x.races = races
        self.cuda.blockDim.x, self.cuda.gridDim.x = self.block, grid
        with np.errstate(all="ignore"):
            for block in self.blocks.of(grid):
                self.cuda.blockIdx.x = block
                self.cuda.shared = _Shared(self.now)
                if self.does_wait:
                    self._run_with_barriers(arguments)
                else:
                    for thread in self.threads.of(self.block):
                        self._enter(thread, 0, 0)
                        self.run_thread(*arguments)

    def _enter(self, thread, interval, asked):
        """Let a thread go on, behind so many barriers, knowing so many shared arrays."""
        self.cuda.threadIdx.x = thread
        self.cuda.shared.asked = asked
        self.now.enter(self.cuda.blockIdx.x, thread, interval)

    def _run_with_barriers(self, arguments):
        threads = [self.run_thread(*arguments) for _ in range(self.block)]
        asked = [0] * self.block
        n_warps = -(-self.block // WARP)
        for interval in itertools.count():
            go_on = functools.partial(self._go_on, threads, asked, interval)
            lines = set()
            for warp in self.threads.of(n_warps):
                first = warp * WARP
                lanes = self.lanes.of(min(WARP, self.block - first))
                lines |= run_warp([first + lane for lane in lanes], go_on)
            if len(lines) > 1:
                ends = {"its end" if line is None else f"line {line}" for line in lines}
                raise LaunchError(
                    f"not all threads of a block come to one barrier, but to {sorted(ends)}"
                )
            if lines == {None}:
                return

    def _go_on(self, threads, asked, interval, thread, given):
        """Run a thread to its next wait; what that is, None at its end."""
        self._enter(thread, interval, asked[thread])
        try:
            return threads[thread].send(given)
        except StopIteration:
            return None
        finally:
            asked[thread] = self.cuda.shared.asked
