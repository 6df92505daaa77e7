"""Native entries: a call from Python objects to kernels and back, without Python in between.

`Entries` is the door of one user's function.  `entries.enter(args, kwargs)` is a builtin that tries
its records, the one used last first, and returns None where no record is for that call.  A record
is written with a `Writer`, one method for each instruction of `entry_code`, where what they do is
told; it is data, so making one compiles nothing:

    w = Writer()
    x = w.read_array(w.read_items(0, tuple, 1)[0], float64, (10,))   # args is (x,), ten float64
    w.read_dict(1, ())                                               # no kwargs
    y, memory = w.new_array(float64, (10,))
    w.step(kernel, [(x, 0), (memory, 0)])                            # a launch: launcher.py
    w.done(y)
    entries.add(key, w.record())

The native code reads the layouts of CPython's and NumPy's objects.  `is_possible` compares them
with what this interpreter really does; where anything is different there are no entries, and every
call takes the way through Python.

Start at `Entries.enter`.  Which arguments and answers a user's function has is not known here:
`transforms.entering` writes the records.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.bounded import Bounded
from tapejit.codegen import words
from tapejit.codegen.words import emit_words
from tapejit.errors import KernelError
from tapejit.locks import Lock, once
from tapejit.runtime import entry_code as code
from tapejit.runtime import native
from tapejit.runtime.blocks import is_pooled, take
from tapejit.runtime.launcher import RUN_TEXT, builtins_of, python_addresses, run_imports

MAX_RECORDS = 64
"""Records of one function; those used longest ago are dropped."""

MAX_REFUSED = 256

MAX_FRAME = 1 << 15
"""Bytes of the caller's stack that a record may use; larger calls go through Python."""

MAX_GATHERED = 1 << 15
"""Bytes of a view to copy item by item, at 2 ns each; NumPy copies larger ones faster."""

SMALL_ARENA = 1 << 13
"""Bytes of temporaries that lie on the stack."""

# ---------------------------------------------------------------- NumPy's C API

_SLOTS = {"PyArray_Scalar": 60, "PyArray_NewCopy": 85, "PyArray_NewFromDescr": 94}
"""Places in NumPy's table of functions, which have not moved since 1.7 (numpy/core/code_generators/
numpy_api.py); the table is only ever added to."""

_NDARRAY_SLOT = 2


def _numpy_addresses() -> dict[str, int]:
    """The functions of NumPy's C API that entries call."""
    multiarray: Any = sys.modules.get("numpy._core._multiarray_umath")
    if multiarray is None:
        multiarray = sys.modules["numpy.core._multiarray_umath"]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    table = ctypes.cast(pointer(multiarray._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    if table[_NDARRAY_SLOT] != id(np.ndarray):
        raise KernelError(f"entry: unknown C API of NumPy {np.__version__}")
    return {name: table[slot] or 0 for name, slot in _SLOTS.items()}


# ---------------------------------------------------------------- set-up


def _check_layouts():
    """Refuse an interpreter or a NumPy whose objects are laid out in another way."""
    a, b = object(), object()
    array = np.zeros((3, 5), np.float32)
    number, scalar = 1.25, np.float64(2.5)
    items = [a, b]
    probes = {
        "tuple": (word_at(id((a, b)) + code.TUPLE_ITEMS + 8), id(b)),
        "list": (_word_behind(id(items) + code.LIST_ITEMS, 8), id(b)),
        "size": (word_at(id(items) + code.SIZE), 2),
        "type": (word_at(id(a) + code.TYPE), id(object)),
        "float": (word_at(id(number) + code.FLOAT_VALUE), _bits(number)),
        "scalar": (word_at(id(scalar) + code.FLOAT_VALUE), _bits(2.5)),
        "data": (word_at(id(array) + code.ARRAY_DATA), array.ctypes.data),
        "ndim": (word_at(id(array) + code.ARRAY_NDIM) & 0xFFFFFFFF, 2),
        "shape": (_word_behind(id(array) + code.ARRAY_SHAPE, 8), 5),
        "strides": (_word_behind(id(array) + code.ARRAY_STRIDES, 0), 20),
        "dtype": (word_at(id(array) + code.ARRAY_DTYPE), id(array.dtype)),
        "flags": (word_at(id(array) + code.ARRAY_FLAGS) & 0xFFFFFFFF, array.flags.num),
        "dtype's facts": (
            word_at(id(array.dtype) + code.DTYPE_FACTS).to_bytes(8, "little")[:3]
            + bytes([word_at(id(array.dtype) + code.DTYPE_FACTS) >> 32]),
            b"ff=" + bytes([array.dtype.num]),
        ),
    }
    wrong = [name for name, (got, expected) in probes.items() if got != expected]
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    if sys.implementation.name != "cpython" or not has_gil or sys.byteorder != "little" or wrong:
        raise KernelError(
            f"entry: unknown object layout ({', '.join(wrong) or 'no GIL'}), "
            f"{sys.implementation.name} {sys.version.split()[0]}, NumPy {np.__version__}"
        )


def word_at(address: int) -> int:
    """The word at an address."""
    return ctypes.c_int64.from_address(address).value


def data_of(array: np.ndarray) -> int:
    """Where an array's memory begins; `array.ctypes.data` takes 3 us."""
    return word_at(id(array) + code.ARRAY_DATA)


def _word_behind(address: int, offset: int) -> int:
    """The word at an offset from the pointer at an address; 0 if that can be no pointer."""
    pointer = word_at(address)
    return word_at(pointer + offset) if pointer > 1 << 20 and pointer % 8 == 0 else 0


def _bits(number: float) -> int:
    return int(np.float64(number).view(np.int64))


@once
def _new_entry() -> Callable[[object], Callable]:
    """Compile the native code, or fetch it from disk; what makes a builtin of a list of records."""
    _check_layouts()
    objects = {
        "Tuple": tuple, "List": list, "Dict": dict, "Float": float, "Str": str,
        "Ndarray": np.ndarray, "NONE": None, "TRUE": True,
        "EXCEPTION": Exception, "ITEM_NAME": _ITEM_NAME,
    }  # fmt: skip
    imports = {name: id(o) for name, o in objects.items()} | _numpy_addresses() | run_imports()
    imports["memmove"] = ctypes.cast(ctypes.memmove, ctypes.c_void_p).value or 0
    functions = [name for name in vars(code) if name.startswith("Py") and name not in imports]
    library = native.compile_cached(
        lambda: emit_words(code, ("enter",), ("run",)) + RUN_TEXT,
        ("enter",),
        imports | python_addresses(*functions),
        tier=2,
        source=_source(),
    )
    return builtins_of(library, "enter", "Run a compiled call.")


def _source() -> str:
    """All that the printed code depends on: texts, and this interpreter's layouts."""
    constants = {name: value for name, value in vars(code).items() if type(value) is int}
    return "".join([inspect.getsource(code), *words.sources(), RUN_TEXT, repr(constants)])


_ITEM_NAME = sys.intern("item")


@once
def is_possible() -> bool:
    """Whether calls can be entered natively here."""
    try:
        _new_entry()
    except (KernelError, OSError) as error:  # OSError: installed without its sources
        warnings.warn(f"tapejit: calls go through Python: {error}", RuntimeWarning, stacklevel=2)
        return False
    return True


# ---------------------------------------------------------------- records


class NotNative(Exception):
    """This call cannot be written as a record; it goes through Python."""


class _Record(np.ndarray):
    """Words for native code.  A subclass, so that it can also own what it names."""

    __tapejit_cache__ = True  # as Entries: what a function reads is not to be found here

    owner: Any


class Writer:
    """Writes a record.  Methods return numbers of objects, or of bases (addresses of memory)."""

    def __init__(self):
        self.words: list[int] = []
        self.kept: list = []
        self.n_objects = 2  # args and kwargs
        self.n_bases = 0
        self.n_scratch = 8  # the first word: memory to be freed
        self.arena_bytes = 0

    def record(self) -> np.ndarray:
        """The finished record."""
        arena = np.empty(self.arena_bytes + 64, np.uint8)
        start = -(-data_of(arena) // 64) * 64
        head = (self.n_objects, self.n_bases, self.n_scratch, start if self.arena_bytes else 0, 0)
        if 8 * (self.n_objects + self.n_bases) + self.n_scratch > MAX_FRAME:
            raise NotNative("too many values for the stack")
        # an instruction's operands are loaded before it is known how many it has
        record = np.array([*head, *self.words, 0, 0, 0, 0], np.int64).view(_Record)
        record.owner = (arena, *self.kept)
        return record

    def emit(self, *words: int):
        self.words += words

    def address(self, o) -> int:
        """An object's address; the record keeps it alive."""
        self.kept.append(o)
        return id(o)

    def objects(self, n: int = 1) -> int:
        """The first of n new places for objects."""
        self.n_objects += n
        return self.n_objects - n

    def base(self) -> int:
        """A new place for an address."""
        self.n_bases += 1
        return self.n_bases - 1

    def scratch(self, n_bytes: int) -> int:
        """Where n new bytes begin on the stack."""
        place = -(-self.n_scratch // 8) * 8
        self.n_scratch = place + n_bytes
        return place

    # ------------------------------------------------------------ reading

    def read_items(self, source: int, container: type, n: int) -> range:
        """The items of exactly such a tuple or list."""
        first = self.objects(n)
        what = {tuple: code.READ_TUPLE, list: code.READ_LIST}[container]
        self.emit(what, source, n, first)
        return range(first, first + n)

    def read_dict(self, source: int, keys: Sequence) -> range:
        """The values of a dict with exactly these keys, in this order."""
        n, first = len(keys), self.objects(len(keys))
        self.emit(code.READ_DICT, source, n, first, *map(self.address, keys))
        return range(first, first + n)

    def read_array(self, source: int, dtype: np.dtype, shape: tuple[int, ...]) -> int:
        """An ndarray in native byte order; one that is not row-major or aligned is copied."""
        return self._read(code.READ_ARRAY, source, dtype, shape)

    def read_out(self, source: int, dtype: np.dtype, shape: tuple[int, ...]) -> int:
        """A row-major, aligned ndarray that may be written."""
        return self._read(code.READ_OUT, source, dtype, shape)

    def _read(self, what, source, dtype, shape):
        base = self.base()
        dtype = np.dtype(dtype.type)  # without metadata
        self.emit(what, source, base, self.address(dtype), len(shape), *shape)
        return base

    def apart(self, a: int, a_bytes: int, b: int, b_bytes: int) -> None:
        """The memory at two bases does not overlap."""
        if a_bytes and b_bytes:
            self.emit(code.APART, a, a_bytes, b, b_bytes)

    def read_float(self, source: int) -> int:
        """A Python float."""
        base = self.base()
        self.emit(code.READ_FLOAT, source, base, self.scratch(8))
        return base

    def read_scalar(self, source: int, kind: type) -> int:
        """A NumPy scalar of exactly this type."""
        base = self.base()
        self.emit(code.READ_SCALAR, source, base, self.address(kind))
        return base

    def read_slot(self, source: int, kind: type, offset: int) -> int:
        """The object in a slot of an object of exactly this type."""
        target = self.objects()
        self.emit(code.READ_SLOT, source, self.address(kind), offset, target)
        return target

    def read_same(self, source: int, value) -> None:
        """This object."""
        self.emit(code.SAME, source, self.address(value))

    def read_static(self, source: int, value) -> None:
        """This object, or one of the same type that is equal, if that can be asked quickly."""
        what = code.EQUAL if type(value) in (int, str, bytes) else code.SAME
        self.emit(what, source, self.address(value))

    def look(self, owner, address: int) -> int:
        """The object whose address lies at this place in `owner`'s memory."""
        self.kept.append(owner)
        target = self.objects()
        self.emit(code.LOOK, address, target)
        return target

    # ------------------------------------------------------------ guards

    def member(self, owner, address: int) -> None:
        """The word at this place in `owner`'s memory is the one that is there now."""
        value = word_at(address)
        if value:
            self.kept.append(ctypes.cast(value, ctypes.py_object).value)
        self.kept.append(owner)
        self.emit(code.MEMBER, address, value)

    def item(self, mapping: dict, key: str, expected) -> None:
        """mapping[key] is expected"""
        self.emit(code.ITEM, *map(self.address, (mapping, key, expected)))

    def absent(self, mapping: dict, key: str) -> None:
        """key not in mapping"""
        self.emit(code.ABSENT, *map(self.address, (mapping, key)))

    def unchanged(self, array: np.ndarray, contents: bytes) -> None:
        """A row-major, aligned array has its dtype, shape and strides still, and these bytes."""
        copied = np.frombuffer(contents, np.uint8)
        self.kept.append(copied)
        pairs = [n for pair in zip(array.shape, array.strides, strict=True) for n in pair]
        addresses = self.address(array), self.address(array.dtype), data_of(copied)
        self.emit(code.UNCHANGED, *addresses, len(contents), array.ndim, *pairs)

    def holds(self, function: Callable[[], bool]) -> None:
        """function() is True"""
        self.emit(code.HOLDS, self.address(function))

    # ------------------------------------------------------------ running

    def fixed(self, array: np.ndarray) -> int:
        """The memory of an array that stays where it is."""
        base = self.base()
        self.kept.append(array)
        self.emit(code.FIXED, base, data_of(array))
        return base

    def arena(self, n_bytes: int) -> int:
        """Memory of this call's own; one of a record."""
        base = self.base()
        if n_bytes <= SMALL_ARENA:
            place = self.scratch(n_bytes + 64)
            self.emit(code.USE_ARENA, base, n_bytes, -(-place // 64) * 64)
        else:
            assert not self.arena_bytes
            self.arena_bytes = n_bytes
            self.emit(code.USE_ARENA, base, n_bytes, 0)
        return base

    def new_array(self, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, int]:
        """A fresh array: the object, its memory."""
        target, base = self.objects(), self.base()
        n_bytes = dtype.itemsize * math.prod(shape)
        if is_pooled(n_bytes):
            taken = functools.partial(take, shape, dtype, n_bytes)
            self.emit(code.TAKE_ARRAY, target, base, self.address(taken))
        else:
            self.emit(code.NEW_ARRAY, target, base, self.address(dtype), len(shape), *shape)
        return target, base

    def step(self, record: np.ndarray, operands: Sequence[tuple[int, int]]) -> None:
        """A launch of a launcher's record on addresses: bases and offsets."""
        self.kept.append(record)
        place = self.scratch(8 * len(operands))
        pairs = [number for operand in operands for number in operand]
        self.emit(code.STEP, data_of(record), place, len(operands), *pairs)

    def agrees(self, base: int, offset: int, expected: np.generic) -> None:
        """The number there is this one, bit for bit."""
        size = expected.dtype.itemsize
        if size not in (1, 4, 8):
            raise NotNative("a guarded value of an unusual type")
        signed = int.from_bytes(expected.tobytes(), "little", signed=size > 1)
        self.emit(code.AGREES, base, offset, size, signed)

    def call(self, function: Callable, sources: Sequence[int]) -> int:
        """What function([...]) returns: a list, or None where this record does not do."""
        target = self.objects()
        self.emit(code.CALL, target, self.address(function), len(sources), *sources)
        return target

    def part(self, source: int, i: int) -> int:
        """An item of what `call` returned."""
        target = self.objects()
        self.emit(code.PART, target, source, i)
        return target

    # ------------------------------------------------------------ building

    def make_scalar(self, base: int, offset: int, dtype: np.dtype) -> int:
        """A NumPy scalar."""
        target = self.objects()
        self.emit(code.MAKE_SCALAR, target, base, offset, self.address(dtype))
        return target

    def make_float(self, base: int, offset: int) -> int:
        """A Python float."""
        target = self.objects()
        self.emit(code.MAKE_FLOAT, target, base, offset)
        return target

    def make_item(self, source: int) -> int:
        """source.item()"""
        target = self.objects()
        self.emit(code.MAKE_ITEM, target, source)
        return target

    def make_items(self, container: type, sources: Sequence[int]) -> int:
        """A tuple or list."""
        target = self.objects()
        what = {tuple: code.MAKE_TUPLE, list: code.MAKE_LIST}[container]
        self.emit(what, target, len(sources), *sources)
        return target

    def make_dict(self, keys: Sequence, sources: Sequence[int]) -> int:
        """A dict with these keys in this order."""
        target = self.objects()
        pairs = [
            n
            for key, source in zip(keys, sources, strict=True)
            for n in (self.address(key), source)
        ]
        form = dict.fromkeys(keys)
        self.emit(code.MAKE_DICT, target, self.address(form), len(keys), *pairs)
        return target

    def make_copy(self, array: np.ndarray) -> int:
        """A fresh copy of an array."""
        target = self.objects()
        self.emit(code.MAKE_COPY, target, self.address(array))
        return target

    def copy(self, base: int, source: int, offset: int, n_bytes: int) -> None:
        """Copy bytes from the address `source` plus `offset`."""
        self.emit(code.COPY, base, source, offset, n_bytes)

    def gather(
        self, base: int, source: int, offset: int, dtype: np.dtype, shape, strides: Sequence[int]
    ) -> None:
        """Copy the items of a view, of 4 or 8 bytes, in row-major order; strides are in bytes."""
        pairs = [n for pair in zip(shape, strides, strict=True) for n in pair]
        self.emit(code.GATHER, base, source, offset, dtype.itemsize, len(shape), *pairs)

    def constant(self, o) -> int:
        """This object."""
        target = self.objects()
        self.emit(code.CONSTANT, target, self.address(o))
        return target

    def done(self, source: int) -> None:
        """The answer."""
        self.emit(code.DONE, source)


# ---------------------------------------------------------------- the door


_LOCK = Lock()
"""Held while records are put in order: short, so one for all functions will do."""


class Entries:
    """The records of one function.  `enter` may be kept: it always sees the newest records."""

    __tapejit_cache__ = True  # what a function reads is found by looking at it; not at this

    def __init__(self):
        self.enter: Callable[[tuple, dict], Any] = _step_aside
        self.refused: Bounded[Any, str] = Bounded(MAX_REFUSED)
        """Keys for which no record can be written, and why."""
        self._records: dict[Any, np.ndarray] = {}
        self._list: _Record | None = None

    def __contains__(self, key) -> bool:
        return key in self._records

    def add(self, key, record: np.ndarray) -> None:
        """Put a record before all others; the key, kept alive, is for `touch` and `in`."""
        with _LOCK:
            if self._list is None:
                self._list = np.zeros(1 + MAX_RECORDS, np.int64).view(_Record)
                self._list.owner = self._records  # as `enter` may outlive this object
                self.enter = _new_entry()(self._list)
            replaced = self._records.pop(key, None)  # alive until the list is without it
            self._records[key] = record
            self._arrange(record)
            del replaced

    def touch(self, key) -> None:
        """Put a record before all others again."""
        with _LOCK:
            record = self._records.get(key)
            if record is not None:
                self._arrange(record)

    def _arrange(self, first):
        """Write the list anew, with one store: native code reads it under the GIL."""
        assert self._list is not None
        by_address = {id(record): key for key, record in self._records.items()}
        order = [id(first), *(a for a in self._list[1:].tolist() if a != id(first))]
        order = [address for address in order if address in by_address]
        kept = order[:MAX_RECORDS]
        self._list[:] = np.array([len(kept), *kept, *[0] * (MAX_RECORDS - len(kept))])
        for address in order[MAX_RECORDS:]:
            del self._records[by_address[address]]

    def __len__(self) -> int:
        return len(self._records)


def _step_aside(args, kwargs):
    """No record is for this call."""
