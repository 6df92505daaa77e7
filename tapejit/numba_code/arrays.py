"""Arrays of recorded Numba code, which are read and written one element at a time.

On a tape, `out[i] = v` makes a new array of what was there, so a loop over n elements costs n * n.
`Cells` is an array that need not be one: its `Memory` holds numbers and 0-d tensors one by one, or
one tensor, or both.  Elements are picked out of the tensor when they are first read, and put
together when the whole is wanted; on a tape both are views, which cost nothing to run.

A part (`a[1:]`, `a.T`, a row) shares the memory and knows the places of its elements there, as
NumPy's views do.  Every function and operator on a `Cells` works on the whole and gives another
(`call`).  Constants stay NumPy arrays and Python numbers: only what depends on a tensor is
recorded.

Start at `Cells`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import TraceError
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, as_data
from tapejit.tensor.guards import read, read_layout
from tapejit.tensor.indexing import basic_part

MOVES = frozenset((
    "transpose", "swapaxes", "squeeze", "reshape", "ravel", "moveaxis", "rollaxis", "expand_dims",
    "atleast_1d", "atleast_2d", "atleast_3d", "flip", "fliplr", "flipud", "rot90",
    "split", "array_split", "hsplit", "vsplit", "dsplit",
))  # fmt: skip
"""Functions and methods whose results share memory with their first argument where they can."""

FEW = 32
"""Elements up to which a part is assigned, or put together, one by one."""

_PLAIN = (np.float64, np.bool_, np.complex128)
"""NumPy's scalars that are Python's to Numba; integers are, too."""

# ---------------------------------------------------------------- memory


class Memory:
    """What an array holds: a whole, or its elements, or both.

    whole    a tracked Tensor, or the NumPy array of constants; never written to
    cells    the elements in row-major order, None where only the whole has one; None at first
    dirty    places of cells that the whole does not have yet
    is_fortran  whether it was made column by column, which decides what is a view of it
    """

    __slots__ = (
        "cells", "dirty", "dtype", "flat", "is_changed", "is_fortran", "shape", "size", "whole",
    )  # fmt: skip

    def __init__(self, whole, like: np.ndarray | None = None):
        self.dirty: set[int] = set()
        if like is None:  # laid out as itself
            like = np.asarray(whole._value if isinstance(whole, Tensor) else whole)
        self.is_fortran = like.flags.f_contiguous and not like.flags.c_contiguous
        self.is_changed = False
        self.set(whole)
        self.shape = tuple(self.whole.shape)
        self.size = int(np.prod(self.shape))
        dtype = self.whole.dtype
        self.dtype = dtype if isinstance(dtype, np.dtype) else dtype.dtype

    def set(self, whole):
        """Let the whole be this."""
        if isinstance(whole, Tensor) and not whole._tracked:
            whole = np.asarray(whole._value)
        self.whole: Any = in_columns(whole) if self.is_fortran else whole
        self.cells: list | None = None
        self.flat: Any = None
        self.dirty.clear()

    def copy(self) -> Memory:
        """The same elements in another memory."""
        made = Memory(self.whole)
        made.cells = None if self.cells is None else list(self.cells)
        made.dirty = set(self.dirty)
        return made

    # ------------------------------------------------------------ elements

    def read(self, place: int):
        """One element: a Python number, or a 0-d tensor."""
        if self.cells is None:
            self.cells = self._spread()
        value = self.cells[place]
        if value is None:
            value = self.cells[place] = self._pick(place)
        return value

    def _spread(self) -> list:
        whole = self.whole
        if isinstance(whole, Tensor):
            if self.dtype.kind not in "iub":
                return [None] * self.size
            whole = np.asarray(read(whole))  # what indices and lengths are: one guard for all
        plain = self.dtype.type in _PLAIN or self.dtype.kind in "iu"
        return whole.ravel().tolist() if plain else list(whole.ravel())

    def _pick(self, place):
        if self.flat is None:
            self.flat = apply(OPS["reshape"], (self.whole,), ((self.size,),))
        part = apply(OPS["slice"], (self.flat,), ((place,), (1,), (1,)))
        return apply(OPS["reshape"], (part,), ((),))

    def write(self, place: int, value):
        """Replace one element."""
        if self.cells is None:
            self.cells = self._spread()
        self.cells[place] = in_dtype(value, self.dtype)
        self.dirty.add(place)
        self.is_changed = True

    # ------------------------------------------------------------ the whole

    def flush(self):
        """The whole, with all that was written."""
        if self.dirty:
            cells = self.cells
            whole = self._joined()
            self.whole = in_columns(whole) if self.is_fortran else whole
            self.flat = None
            self.dirty.clear()
            self.cells = cells
        return self.whole

    def _joined(self):
        cells: Any = self.cells
        places = sorted(self.dirty)
        whole = self.whole
        if not isinstance(whole, Tensor):
            fixed = [p for p in places if not isinstance(cells[p], Tensor)]
            whole = np.array(whole, order="C")
            whole.reshape(-1)[fixed] = [cells[p] for p in fixed]
            places = [p for p in places if isinstance(cells[p], Tensor)]
            if not places:
                return whole
        flat = whole.reshape(-1) if isinstance(whole, np.ndarray) else whole.reshape((self.size,))
        pieces: list = []
        end = 0
        for place in places:
            if place > end:
                pieces.append(flat[end:place])
            pieces.append(cells[place])
            end = place + 1
        if end < self.size:
            pieces.append(flat[end:])
        return joined(pieces, self.dtype, self.shape)


def in_columns(whole):
    """The same array, laid out column by column: what is computed from it will be, too."""
    if np.asarray(whole._value if isinstance(whole, Tensor) else whole).flags.f_contiguous:
        return whole
    if not isinstance(whole, Tensor):
        return np.asfortranarray(whole)
    return whole.T.reshape((-1,)).reshape(whole._aval.shape[::-1]).T


def joined(pieces: list, dtype: np.dtype, shape: tuple) -> Tensor:
    """Numbers, 0-d tensors, and vectors, one after the other, as one tensor of this shape."""
    parts: list = []
    numbers: list = []
    for piece in [*pieces, None]:
        if piece is not None and not isinstance(piece, Tensor | np.ndarray):
            numbers.append(piece)
            continue
        if numbers:
            parts.append(as_data(np.array(numbers, dtype)))
            numbers = []
        if isinstance(piece, np.ndarray):
            parts.append(as_data(np.array(piece, dtype)))
        elif piece is not None:
            parts.append(piece if piece._aval.ndim else apply(OPS["reshape"], (piece,), ((1,),)))
    flat = parts[0] if len(parts) == 1 else apply(OPS["cat"], parts, (0,))
    return apply(OPS["reshape"], (flat,), (shape,))


def in_dtype(value, dtype: np.dtype) -> Any:
    """A number or 0-d tensor as an array of `dtype` keeps it."""
    if isinstance(value, Cells | np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, Tensor):
        if value._aval.size != 1:
            raise ValueError("setting an array element with a sequence")
        if value._aval.ndim:
            value = apply(OPS["reshape"], (value,), ((),))
        if value._tracked:
            return value if value._aval.dtype.dtype == dtype else converted(value, dtype)
        value = value._value
    if dtype.kind in "iu":
        return int(np.array(value).astype(dtype))
    number = dtype.type(value)
    return number.item() if dtype.type in _PLAIN else number


def converted(value: Tensor, dtype: np.dtype) -> Any:
    """A tensor in another dtype; what becomes an integer or a truth is read."""
    if dtype.kind in "iu":
        return int(np.array(int(value)).astype(dtype)) if not value._aval.ndim else value.to(dtype)
    if dtype.kind == "b":
        return bool(value) if not value._aval.ndim else value.to(dtype)
    return value if value._aval.dtype.dtype == dtype else value.to(dtype)


# ---------------------------------------------------------------- arrays


class Cells:
    """An array of recorded Numba code: a memory, or the part of it at `places`.

    A part knows how its whole is made from its parent's: `how(parent.whole())`.
    """

    __slots__ = ("_places", "how", "memory", "ndim", "parent", "shape")

    __array_priority__ = 2000

    def __init__(self, memory: Memory, places=None, parent=None, how: Callable | None = None):
        self.memory = memory
        self._places = places
        self.parent = parent
        self.how: Any = how
        self.shape = memory.shape if places is None else places.shape
        self.ndim = len(self.shape)

    @property
    def places(self) -> np.ndarray:
        """Where in the memory each element lies."""
        if self._places is None:
            memory = self.memory
            places = np.arange(memory.size).reshape(self.shape)
            if memory.is_fortran:
                places = np.asfortranarray(places)
                if isinstance(memory.whole, Tensor):
                    read_layout(memory.whole)
            self._places = places
        return self._places

    @property
    def size(self) -> int:
        """How many elements there are."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> np.dtype:
        """NumPy's."""
        return self.memory.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def T(self) -> Cells:
        """The axes in reverse order, on the same memory."""
        return self.moved(lambda array: array.T if array.ndim > 1 else array[...])

    @property
    def flat(self) -> Cells:
        """The elements in row-major order, on the same memory."""
        return self.part(self.places.reshape(-1), lambda whole: whole.reshape((-1,)))

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name in MOVES:
            return lambda *args, **options: self.moved(
                lambda array: getattr(array, name)(*args, **options)
            )
        found = getattr(self.whole(), name)
        if not callable(found):
            return made(found)
        if name in ("partition", "put", "resize", "itemset", "setfield"):
            raise TraceError(
                f"array.{name}() writes to an array in a way that is not recorded\n"
                f"  try  a[:] = np.{name}(a), or a[i] = v"
            )
        return lambda *args, **kwargs: call(found, args, kwargs)

    def part(self, places, how) -> Cells:
        """Elements of this array as another one, on the same memory."""
        return Cells(self.memory, places, self, how)

    def moved(self, how: Callable) -> Any:
        """What a function that only moves elements gives: views where NumPy's are, else copies."""
        places = how(self.places)
        if isinstance(places, list | tuple):
            return [self._moved(p, lambda a, i=i: how(a)[i]) for i, p in enumerate(places)]
        return self._moved(places, how)

    def _moved(self, places, how):
        if np.may_share_memory(places, self.places):
            return self.part(places, how)
        return Cells(Memory(how(self.whole()), like=places))

    def flatten(self) -> Cells:
        """One axis, in a memory of its own."""
        return self.flat.copy()

    def copy(self, order: Any = "C") -> Cells:
        """The same elements in another memory."""
        memory = self.memory.copy() if self._is_all() else Memory(self.whole())
        laid_out = self.places.copy(order).flags if self.ndim > 1 else None
        memory.is_fortran = laid_out is not None and not laid_out.c_contiguous
        return Cells(memory)

    def fill(self, value):
        """Write one number everywhere."""
        self[...] = value

    def sort(self):
        """Order the last axis in place."""
        own: Any = self
        self[...] = np.sort(own)

    def item(self, *key):
        """One element as a number."""
        return self.memory.read(int(self.places.item(*key)))

    def astype(self, dtype, copy=True) -> Cells:
        """The elements in another dtype, in another memory."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self.copy()
        whole = self.whole()
        return made(converted(whole, dtype) if isinstance(whole, Tensor) else whole.astype(dtype))

    def _is_all(self):
        return self.parent is None

    def whole(self):
        """All elements: a tracked Tensor, or a NumPy array of constants."""
        memory = self.memory
        if self.parent is None:
            return memory.flush()
        if memory.dirty and self.size <= FEW and self.places.flags.c_contiguous:
            cells = [memory.read(p) for p in self.places.ravel().tolist()]
            if any(isinstance(cell, Tensor) for cell in cells):
                return joined(cells, memory.dtype, self.shape)
            return np.array(cells, memory.dtype).reshape(self.shape)
        return self.how(self.parent.whole())

    # ------------------------------------------------------------ items

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __contains__(self, value):
        return any(bool(x == value) for x in self.flat)

    def __getitem__(self, key):
        key, is_basic = index_of(key)
        if not is_basic:
            return call(operator.getitem, (self, key), {})
        places = self.places[key]
        if not isinstance(places, np.ndarray):
            return self.memory.read(int(places))
        return self.part(places, lambda whole: whole[key])

    def __setitem__(self, key, value):
        key, is_basic = index_of(key)
        places = self.places[key]
        memory = self.memory
        if not isinstance(places, np.ndarray):
            memory.write(int(places), value)
            return
        if isinstance(value, Cells) and value.memory is memory and _same(value.places, places):
            return  # the second half of a[1:] += v
        value = plain(value)
        if isinstance(value, Tensor) and not value._tracked:
            value = value._value
        memory.is_changed = True
        is_recorded = isinstance(value, Tensor)
        if places.size <= FEW and (memory.cells is not None or is_recorded):
            self._set_few(places, value)
        elif not is_recorded and not isinstance(memory.flush(), Tensor):
            whole = np.array(memory.whole, order="C")
            whole.reshape(-1)[places] = value
            memory.set(whole)
        else:
            memory.set(self._replaced(key, places, value, is_basic))

    def _set_few(self, places, value):
        if isinstance(value, Tensor) and value._aval.ndim:
            source = Memory(value)
            numbers = np.broadcast_to(np.arange(source.size).reshape(source.shape), places.shape)
            values = [source.read(p) for p in numbers.ravel().tolist()]
        elif isinstance(value, Tensor):
            values = [value] * places.size
        else:
            values = np.broadcast_to(np.asarray(value), places.shape).ravel().tolist()
        for place, element in zip(places.ravel().tolist(), values, strict=True):
            self.memory.write(place, element)

    def _replaced(self, key, places, value, is_basic):
        """The memory's whole with a tensor at these places."""
        memory = self.memory
        whole = memory.flush()
        whole = whole if isinstance(whole, Tensor) else as_data(whole)
        value = value if isinstance(value, Tensor) else as_data(np.asarray(value, memory.dtype))
        value = converted(value, memory.dtype)
        if value._aval.ndim > places.ndim:
            value = value.reshape(value._aval.shape[value._aval.ndim - places.ndim :])
        value = apply(OPS["expand"], (value,), (places.shape,))
        if places.shape == memory.shape and (places.ravel() == np.arange(memory.size)).all():
            return apply(OPS["clone"], (value,))
        if is_basic and self._is_all():
            starts, lengths, steps = basic_part(whole, key)
            value = apply(OPS["reshape"], (value,), (lengths,))
            return apply(OPS["replace"], (whole, value), (starts, steps))
        flat = apply(OPS["reshape"], (whole,), ((memory.size,),))
        value = apply(OPS["reshape"], (value,), ((places.size,),))
        flat = apply(OPS["index_put"], (flat, value, as_data(places.ravel())))
        return apply(OPS["reshape"], (flat,), (memory.shape,))

    # ------------------------------------------------------------ NumPy's questions

    def __bool__(self):
        return bool(self.item()) if self.size == 1 else bool(np.zeros(self.shape))

    def __float__(self):
        return float(self.item())

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return call(getattr(ufunc, method), inputs, options)

    def __array_function__(self, function, types, args, kwargs):
        return call(function, args, kwargs)

    __hash__ = object.__hash__


def _same(places, others):
    return places.shape == others.shape and bool((places == others).all())


def index_of(key):
    """A key in plain numbers and arrays, and whether it is a basic one: of integers and slices."""
    if type(key) is int:
        return key, True
    entries = [_entry(k) for k in (key if isinstance(key, tuple) else (key,))]
    is_basic = not any(isinstance(k, np.ndarray) for k in entries)
    return (tuple(entries) if isinstance(key, tuple) else entries[0]), is_basic


def _entry(entry):
    if isinstance(entry, slice):
        parts = (entry.start, entry.stop, entry.step)
        return slice(*[None if p is None else operator.index(p) for p in parts])
    if isinstance(entry, Cells):
        entry = entry.whole()
    if isinstance(entry, Tensor):
        entry = read(entry)
    if isinstance(entry, list | tuple):
        entry = np.array([_entry(e) for e in entry])
    if isinstance(entry, np.ndarray) and entry.ndim:
        return entry
    return entry if entry is None or entry is Ellipsis else operator.index(entry)


# ---------------------------------------------------------------- functions of arrays


def plain(value) -> Any:
    """Cells as tensors or arrays, wherever they are in an argument."""
    if value.__class__ is Cells:
        return value.whole()
    if isinstance(value, list | tuple) and any(_has_cells(item) for item in value):
        items = [plain(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return getattr(value, "__tapejit_kind__", value)


def _has_cells(item):
    return isinstance(item, Cells | list | tuple) or hasattr(item, "__tapejit_kind__")


def made(value) -> Any:
    """What a function gives, as recorded code has it: arrays as Cells, numbers as Python's."""
    if isinstance(value, Tensor):
        return Cells(Memory(value)) if value._aval.ndim else value
    if isinstance(value, np.ndarray):
        return Cells(Memory(value)) if value.ndim else value[()]
    if isinstance(value, (*_PLAIN, np.integer)):
        return value.item()
    if type(value) is tuple or hasattr(value, "_fields"):
        items = [made(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def call(function, args, kwargs) -> Any:
    """A function of arrays, called with Cells among its arguments."""
    if args and args[0].__class__ is Cells and getattr(function, "__name__", "") in MOVES:
        return args[0].moved(lambda array: function(array, *args[1:], **kwargs))
    out = kwargs.get("out")
    if out is None and isinstance(function, np.ufunc) and len(args) > function.nin:
        args, out = args[: function.nin], args[function.nin]
    kwargs = {name: plain(value) for name, value in kwargs.items() if name != "out"}
    result = made(function(*[plain(x) for x in args], **kwargs))
    if out is None:
        return result
    (target,) = out if isinstance(out, tuple) else (out,)
    target[...] = result
    return target


def _binary(ufunc):
    def forward(self, other):
        return call(ufunc, (self, other), {})

    def reflected(self, other):
        return call(ufunc, (other, self), {})

    def in_place(self, other):
        self[...] = call(ufunc, (self, other), {})
        return self

    return forward, reflected, in_place


def _unary(function):
    return lambda self: call(function, (self.whole(),), {})


for _name, _ufunc in {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "matmul": np.matmul,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift,
}.items():  # fmt: skip
    for _prefix, _method in zip(("", "r", "i"), _binary(_ufunc), strict=True):
        setattr(Cells, f"__{_prefix}{_name}__", _method)
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Cells, f"__{_name}__", _binary(getattr(operator, _name))[0])
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Cells, f"__{_name}__", _unary(getattr(operator, _name)))
