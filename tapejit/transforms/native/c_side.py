"""Native functions from outside of Numba: from Python, through pointers, and by SciPy.

What `NativeFunction` offers is made here, from its one LLVM text and a few printed lines:

    native(x)                       `Caller`: as `g(x)`, without Python in between once known
    native.address, native.ctypes   the C function itself, as runtime/freestanding.py tells it
    native.low_level_callable()     low_level.py

Memory of code is given back when nobody can reach it.  So what holds a pointer holds the code: a
ctypes function, a LowLevelCallable through it, a record of a call.  A bare address can hold
nothing; code whose address was asked for stays until the process ends.

`native.export` writes the same function to files.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, DtypeError, GuardError, ShapeError
from tapejit.runtime import freestanding
from tapejit.runtime.cells import Cell
from tapejit.runtime.entry import Entries, NotNative, Writer, data_of, is_possible
from tapejit.runtime.freestanding import Freestanding
from tapejit.runtime.launcher import make_record
from tapejit.runtime.native import NativeLibrary, compile_cached
from tapejit.tensor.core import from_array
from tapejit.transforms import trees
from tapejit.transforms.destinations import Out
from tapejit.transforms.entering import Inputs, Output, Places, Slot, build
from tapejit.transforms.native.records import (
    Array,
    Constant,
    NativeCode,
    Number,
    Result,
    Static,
    leaves_of,
)

# ---------------------------------------------------------------- machine code


@functools.lru_cache(256)
def library_of(code: Freestanding, extra: str = "", name: str = "") -> NativeLibrary:
    """The loaded code; with more text of which `name` is exported, too."""
    exports = (code.symbol, name) if name else (code.symbol,)
    return compile_cached(code.text + extra, exports, {}, tier=code.tier)


_KEPT: dict[str, NativeLibrary] = {}
"""Code that somebody has the address of, by symbol: for as long as the process lives."""


def address_of(code: Freestanding) -> int:
    """Where the function begins; it stays there."""
    return _KEPT.setdefault(code.symbol, library_of(code)).address(code.symbol)


# ---------------------------------------------------------------- ctypes


def ctypes_function(native: NativeCode) -> Any:
    """The C function for ctypes: takes NumPy arrays, which are checked, or pointers."""
    code = native.code
    pointers = [_pointer_to(dtype, shape, False) for dtype, shape in code.inputs]
    pointers += [_pointer_to(dtype, shape, True) for dtype, shape in code.outputs]
    kinds = [*pointers, _pointer_to(np.dtype(np.uint8), None, True), ctypes.c_int64]
    library = library_of(code)
    return c_function(library, code.symbol, ctypes.c_int32, *kinds)


def c_function(library: NativeLibrary, name: str, *types_) -> Any:
    """A ctypes function that keeps its code alive."""
    function: Any = ctypes.CFUNCTYPE(*types_)(library.address(name))
    function.library = library
    return function


def _pointer_to(dtype, shape, is_written):
    """A parameter type of ctypes that takes such an array, or any pointer."""

    class Pointer(ctypes.c_void_p):
        @classmethod
        def from_param(cls, value):
            if isinstance(value, str | bytes):
                raise TypeError(f"text for {Pointer.__name__}")
            if not isinstance(value, np.ndarray):
                return ctypes.c_void_p.from_param(value)
            if value.dtype != dtype or (shape is not None and value.shape != shape):
                raise TypeError(f"{value.dtype}{list(value.shape)} for {Pointer.__name__}")
            if not value.flags.c_contiguous or (is_written and not value.flags.writeable):
                raise TypeError(f"an array that is not row-major, or read-only, {Pointer.__name__}")
            return ctypes.c_void_p(value.ctypes.data)

    Pointer.__name__ = f"{dtype}{list(shape or '*')}"
    return Pointer


# ---------------------------------------------------------------- a call from Python


class Caller:
    """Calls of one native function from Python: natively where a record is there, else here."""

    def __init__(self, native: NativeCode):
        self.native = native
        self.function = ctypes_function(native)
        self.entries = Entries()
        self.takes_out = "out" not in native.keywords

    def __call__(self, args: tuple, kwargs: dict):
        answer = self.entries.enter(args, kwargs)
        return self.full_call(args, dict(kwargs)) if answer is None else answer

    def full_call(self, args, kwargs):
        """Check the arguments, run, and let the next call be native."""
        native, out = self.native, None
        if self.takes_out and "out" in kwargs:
            place = list(kwargs).index("out")
            given = kwargs.pop("out")
            out = None if given is None else Out(given, place)
        _check_names(native, args, kwargs)
        leaves: list = []
        for i, (template, given) in enumerate(zip(native.arguments, args, strict=True)):
            _match(template, given, f"{native.__name__}: argument {i}", leaves)
        for name, template in native.keywords.items():
            _match(template, kwargs[name], f"{native.__name__}: argument {name!r}", leaves)
        arrays = [
            np.ascontiguousarray(x, dtype).reshape(shape)
            for x, (dtype, shape) in zip(leaves, native.code.inputs, strict=True)
        ]
        outputs = [np.empty(shape, dtype) for dtype, shape in native.code.outputs]
        if out is not None:  # before the work
            out.check(_arrays_in(fill(native.answer, outputs)), [])
        self.run(arrays, outputs)
        answer = fill(native.answer, outputs)
        if out is not None:
            answer = out.fill(answer)
        self.enter(args, kwargs, leaves, out)
        return answer

    def run(self, arrays: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Compute; raise what the status says."""
        native = self.native
        n_bytes = native.code.work_bytes
        memory = np.empty(n_bytes + 64, np.uint8)
        work = -(-data_of(memory) // 64) * 64
        addresses = [array.ctypes.data for array in (*arrays, *outputs)]
        status = self.function(*addresses, work, n_bytes)
        if status:
            error = GuardError if status > 0 else ArgumentError
            raise error(f"{native.__name__}: {message_of(native.code, status)}")

    # ------------------------------------------------------------ natively

    def enter(self, args, kwargs, inputs, out):
        """Let calls like this one be native ones, as `transforms.entering` does for paths."""
        leaves: list = []
        structure = trees.flatten((args, kwargs), leaves)
        if list(map(id, leaves)) != list(map(id, inputs)):  # keys in another order, ints for floats
            return
        form = None if out is None else out.form
        key = structure, tuple(map(type, leaves)), form
        if key in self.entries or key in self.entries.refused or not is_possible():
            return
        try:
            self.entries.add(key, self.record(structure, leaves, out))
        except NotNative as error:
            self.entries.refused.put(key, str(error))

    def record(self, structure, leaves, out):
        """Read, run, look at the status, answer."""
        code, writer = self.native.code, Writer()
        inputs = Inputs(writer, code.inputs)
        args, kwargs = structure.children
        remaining = iter(leaves)
        inputs.read(args, 0, remaining)
        given = inputs.read_keywords(kwargs, out, remaining)
        slots = [Slot(i, dtype, shape) for i, (dtype, shape) in enumerate(code.outputs)]
        value = fill(self.native.answer, slots)
        results = [leaf for leaf in leaves_of(self.native.answer) if isinstance(leaf, Result)]
        if any(not result.shape and not result.is_number for result in results):
            raise NotNative("arrays without axes")
        places = Places(writer, inputs, value, given, out) if out is not None else None
        step = make_record(self.cell, 1, ())
        # numbers, the status and the work lie behind each other
        offsets = [64 * i for i in range(len(slots) + 1)]
        arena = writer.arena(offsets[-1] + 64 + code.work_bytes)
        outputs = []
        for slot, offset in zip(slots, offsets, strict=False):
            if not slot.ndim:
                outputs.append(Output(writer, (arena, offset)))
                continue
            direct = places.direct(slot.number) if places is not None else None
            target, base = direct or writer.new_array(slot.dtype, slot.shape)
            outputs.append(Output(writer, (base, 0), target))
        status = arena, offsets[-1]
        work = arena, offsets[-1] + 64
        operands = [(base, 0) for base in inputs.bases]
        operands += [output.place for output in outputs]
        writer.step(step, [*operands, work, status])
        writer.agrees(*status, np.int32(0))
        writer.done(build(writer, value, outputs, places))
        return writer.record()

    @functools.cached_property
    def cell(self) -> Cell:
        """The function with the machine interface of a kernel: its status is the last operand."""
        code = self.native.code
        n = len(code.inputs) + len(code.outputs) + 2
        loads = "".join(
            f"%a{i} = getelementptr ptr, ptr %args, i64 {i}\n%p{i} = load ptr, ptr %a{i}\n"
            for i in range(n)
        )
        pointers = ", ".join(f"ptr %p{i}" for i in range(n - 1))
        text = (
            f"\ndefine void @step(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind {{\n{loads}"
            f"%status = call i32 @{code.symbol}({pointers}, i64 {code.work_bytes})\n"
            f"store i32 %status, ptr %p{n - 1}\nret void\n}}\n"
        )
        library = library_of(code, text, "step")
        return Cell(0, library.address("step"), 0, library)


def message_of(code: Freestanding, status: int) -> str:
    """What a status means."""
    if status > 0:
        return (
            f"no recorded path fits these arguments\n  got  {code.failures[status - 1]}\n"
            "  try  calling the function on such arguments before .numba(...)"
        )
    if status == freestanding.WORK_TOO_SMALL:
        return f"the work space is smaller than {code.work_bytes} bytes"
    return (
        "the numbers have no answer\n"
        "  got  an index out of range, or a matrix that is singular or not positive definite"
    )


def fill(template, outputs: Sequence):
    """The answer, with a number or an array for each Result."""
    if isinstance(template, Result):
        output = outputs[template.number]
        return output[()] if template.is_number and isinstance(output, np.ndarray) else output
    if isinstance(template, Constant):
        return template.value
    names, items = trees.parts_of(template) or ((), ())
    return trees.put_together(type(template), names, [fill(x, outputs) for x in items])


def _arrays_in(answer) -> list[np.ndarray]:
    leaves: list = []
    trees.flatten(answer, leaves)
    return [leaf for leaf in leaves if isinstance(leaf, np.ndarray)]


# ---------------------------------------------------------------- arguments


def _check_names(native, args, kwargs):
    if len(args) != len(native.arguments) or set(kwargs) != set(native.keywords):
        raise ArgumentError(
            f"{native.__name__}: the example had other arguments\n"
            f"  got      {_count(args, kwargs)}\n"
            f"  example  {_count(native.arguments, native.keywords)}"
        )


def _count(args, kwargs):
    return ", ".join([f"{len(args)} by position", *(f"{name}=" for name in kwargs)])


def _match(template, given, where: str, leaves: list) -> None:
    """Append the leaves of an argument that is like the example; raise where it is not."""
    if isinstance(template, Number):
        leaves.append(_number(template.dtype, given, where))
    elif isinstance(template, Array):
        leaves.append(check_array(template, given, where))
    elif isinstance(template, Static):
        if type(given) is not type(template.value) or given != template.value:
            raise ArgumentError(
                f"{where} is not the example's, which is part of the function\n  got      {given!r}"
                f"\n  example  {template.value!r}\n  try  a native function of this example"
            )
    else:
        _match_parts(template, given, where, leaves)


def _match_parts(template, given, where, leaves):
    names, items = trees.parts_of(template) or ((), ())
    if type(given) is not type(template):
        raise ShapeError(
            f"{where} is nested differently from the example\n  got      {type(given).__name__}\n"
            f"  example  {type(template).__name__}"
        )
    own_names, own = trees.parts_of(given) or ((), ())
    if isinstance(template, dict):
        if set(own_names) != set(names):
            raise ShapeError(
                f"{where} has other names than the example\n  got      {list(own_names)}\n"
                f"  example  {list(names)}"
            )
        own = [given[name] for name in names]
    if len(own) != len(items):
        raise ShapeError(
            f"{where} has another length than the example\n  got      {len(own)}\n"
            f"  example  {len(items)}"
        )
    for i, (x, y) in enumerate(zip(items, own, strict=True)):
        _match(x, y, f"{where}[{names[i] if names else i!r}]", leaves)


def _number(dtype, given, where):
    kind = given.dtype if isinstance(given, np.ndarray | np.generic) else np.dtype(type(given))
    is_weak = not hasattr(given, "dtype") and np.can_cast(kind, dtype, "same_kind")
    if np.ndim(given) or kind.hasobject or not (is_weak or np.can_cast(kind, dtype)):
        raise DtypeError(
            f"{where} is no {dtype}\n  got  {_kind(given)}\n  try  a number as in the example"
        )
    return given


def check_array(template: Array, given: Any, where: str) -> np.ndarray:
    """The array that was given, if it is as the example's."""
    if not isinstance(given, np.ndarray):
        raise DtypeError(
            f"{where} is no array\n  got      {_kind(given)}\n"
            f"  example  {template.dtype}{list(template.shape)}\n  try  np.asarray"
        )
    if dtypes.is_masked(given) or isinstance(given, np.matrix):
        from_array(given)  # raises
    error = DtypeError if given.dtype != template.dtype else ShapeError
    if given.dtype != template.dtype or given.shape != template.shape:
        raise error(
            f"{where} is not like the example\n  got      {_kind(given)}\n"
            f"  example  {template.dtype}{list(template.shape)}\n"
            "  try  a native function of this example"
        )
    return given


def _kind(x) -> str:
    return f"{x.dtype}{list(x.shape)}" if isinstance(x, np.ndarray) else type(x).__name__
