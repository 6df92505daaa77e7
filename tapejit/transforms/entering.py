"""Writes the native record of a path: later calls like this one run without Python.

A transform says in Python, once, what its answer is made of; `enter_path` calls that with a `Slot`
in place of every result, and writes down what came out, as it writes down how the arguments were
nested and what the path's guards are.  So the native way has no rules of its own, and what cannot
be written (taking a dataclass apart, a guard of an unusual kind) goes through Python: as a part of
the record where it can be, and as a whole where not.

Start at `enter_path`.  What a record is: `runtime.entry`.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tapejit.dtypes import from_numpy, get_default_dtype
from tapejit.runtime import entry_code
from tapejit.runtime.entry import MAX_GATHERED, Entries, NotNative, Writer, is_possible, word_at
from tapejit.shapes import CPU, aval, common_device
from tapejit.tensor.core import Tensor, wrap, wrap_known
from tapejit.tensor.random import Draw
from tapejit.transforms import trees
from tapejit.transforms.destinations import Out
from tapejit.transforms.paths import Path, deviation
from tapejit.transforms.reading.guards import Check, Guards
from tapejit.transforms.reading.snapshot import MISSING, Array, is_leaf, same
from tapejit.transforms.trace import uses_numpy

MAX_COMPARED = 1 << 14
"""Bytes of an array that is captured which native code compares, 8 in 1 ns; NumPy does larger."""

CONSTANTS = (type(None), bool, int, float, complex, str, bytes)
"""Types of answers' parts that may be handed out again and again."""


class Slot:
    """A result that a record will compute, where a transform expects a NumPy scalar or array."""

    def __init__(self, number: int, dtype: np.dtype, shape: tuple[int, ...], form="numpy"):
        self.number = number
        self.dtype = dtype
        self.shape = shape
        self.ndim = len(shape)
        self.form = form

    def item(self) -> Slot:
        """The Python number."""
        return Slot(self.number, self.dtype, self.shape, "python")

    def tensor(self) -> Slot:
        """The same as a tensor."""
        return Slot(self.number, self.dtype, self.shape, "tensor")


class Composed(NamedTuple):
    """A part of an answer that Python makes of other parts."""

    function: Callable[[list], object]
    parts: list


def enter_path(
    entries: Entries,
    path: Path,
    structure,
    leaves: Sequence,
    results: Sequence,
    answer: Callable[[list], object],
    out: Out | None = None,
) -> None:
    """Let later calls with such arguments take this path natively.

    structure, leaves  of (args, kwargs); the leaves are the program's first inputs
    results            what the path gave
    answer             from such results to what the user gets
    out                where its arrays went
    """
    key = path if out is None else (path, *out.form)
    if key in entries:
        entries.touch(key)
    elif key not in entries.refused and is_possible():
        try:
            entries.add(key, _record(path, structure, leaves, results, answer, out))
        except NotNative as error:
            entries.refused.put(key, str(error))


def _record(path, structure, leaves, results, answer, out):
    """Read, guard, run, answer."""
    if path.layouts is not None:
        raise NotNative("strides that the function looked at")
    value, slots = _form_of(path, results, answer)
    writer = Writer()
    avals = [path.program.tape.kind(row).aval for row in path.program.inputs]
    if common_device(avals) != CPU:
        raise NotNative("a GPU")
    if not uses_numpy(leaves):
        default = get_default_dtype()
        writer.holds(lambda: get_default_dtype() is default)
    inputs = Inputs(writer, [(aval.dtype.dtype, aval.shape) for aval in avals])
    args, kwargs = structure.children
    remaining = iter(leaves)
    inputs.read(args, 0, remaining)
    given = inputs.read_keywords(kwargs, out, remaining)
    _write_guards(writer, path.reads)
    for _, captured in path.captures:
        inputs.capture(captured)
    places = Places(writer, inputs, value, given, out) if out is not None else None
    n = len(slots) - slots.count(None)
    outputs = iter(_launch(writer, path, inputs, slots, places) or _call(writer, path, inputs, n))
    made = [None if slot is None else next(outputs) for slot in slots]
    writer.done(build(writer, value, made, places))
    return writer.record()


def _form_of(path, results, answer):
    """The answer with a slot in place of each result, and these; None where it is zero."""
    if any(isinstance(output, np.ndarray) for output in path.trace.outputs):
        raise NotNative("an array that the function returns as it is")
    slots = []
    for result in results:
        slots.append(None if result is None else Slot(len(slots), result.dtype, result.shape))
    try:
        value = answer(slots)
    except Exception as error:  # a class of the user's that looks at what it holds
        raise NotNative(f"the answer: {error!r}") from error
    if value is None:
        raise NotNative("None says that there is no record")
    return value, slots


# ---------------------------------------------------------------- arguments


class Inputs:
    """The program's inputs: where the objects lie, and their numbers' addresses."""

    def __init__(self, writer, kinds: Sequence[tuple[np.dtype, tuple[int, ...]]]):
        self.writer = writer
        self.kinds = kinds
        self.bases: list[int] = []
        self.objects: list[Callable[[], int]] = []
        """Each input as an object, for who asks for that."""
        self.memory: list[tuple[int, int]] = []
        """Base and bytes of what is read where the caller keeps it."""

    def read(self, structure, source, leaves):
        """Take the object at `source` apart as the structure says."""
        writer = self.writer
        if structure == trees.LEAF:
            self.leaf(source, next(leaves))
        elif isinstance(structure, trees.Static):
            writer.read_static(source, trees.value_of(structure))
        elif structure.container in (tuple, list, dict):
            container, names, children, kinds = structure
            if kinds:
                raise NotNative("keys of a dict that are no text")
            if container is dict:
                items = writer.read_dict(source, names)
            else:
                items = writer.read_items(source, container, len(children))
            for child, item in zip(children, items, strict=True):
                self.read(child, item, leaves)
        else:
            items = self.read_parts(structure, source)
            for child, item in zip(structure.children, items, strict=True):
                self.read(child, item, leaves)

    def read_parts(self, structure, source):
        """The items of a container of the user's own class, by Python."""
        container, names, children, kinds = structure
        if kinds:
            raise NotNative("keys of a dict that are no text")
        take_apart = _taking_apart(container, names, len(children))
        found = self.writer.call(take_apart, [source])
        return [self.writer.part(found, i) for i in range(len(children))]

    def read_keywords(self, structure, out, leaves):
        """Take the keywords apart; where among them `out` lies."""
        names = list(structure.names)
        if out is not None:
            names.insert(out.place, "out")
        items: dict[str, int] = dict(zip(names, self.writer.read_dict(1, names), strict=True))
        for name, child in zip(structure.names, structure.children, strict=True):
            self.read(child, items[name], leaves)
        return items.get("out") if out is not None else None

    def leaf(self, source, example):
        """An array or number like this one."""
        writer = self.writer
        if type(example) is float:
            dtype, shape = np.dtype(np.float64), ()
            base = writer.read_float(source)
            self.add(base, functools.partial(writer.make_scalar, base, 0, dtype))
        elif type(example) is np.ndarray:
            dtype, shape = example.dtype, example.shape
            if not dtype.isnative:
                raise NotNative("an array of another byte order")
            base = writer.read_array(source, dtype, shape)
            self.memory.append((base, example.nbytes))
            self.add(base, lambda: source)
        elif isinstance(example, np.generic) and example.dtype.kind in "fiub":
            dtype, shape = example.dtype, ()
            self.add(writer.read_scalar(source, type(example)), lambda: source)
        elif type(example) is Tensor:
            self.tensor(source, example)
            return
        else:
            raise NotNative(f"a {type(example).__name__} among the arguments")
        if (dtype, shape) != self.kinds[len(self.bases) - 1]:
            raise NotNative("an argument that is converted")

    def tensor(self, source, example):
        """A tensor without a history like this one."""
        writer = self.writer
        for slot in ("_tracked", "_aval"):
            found = writer.read_slot(source, Tensor, _place_of_slot(slot))
            writer.read_same(found, getattr(example, slot))
        self.leaf(writer.read_slot(source, Tensor, _place_of_slot("_value")), example._value)

    def capture(self, captured):
        """An input that is no argument: its memory is read afresh."""
        writer = self.writer
        if isinstance(captured, Draw):
            raise NotNative("random numbers")
        if isinstance(captured, Tensor):
            place = id(captured) + _place_of_slot("_value")
            self.leaf(writer.look(captured, place), captured._value)
        elif captured.ndim == 0 and not captured.flags.writeable:  # a number of the path's own
            self.add(writer.fixed(captured), lambda: writer.constant(captured))
        else:
            self.leaf(writer.constant(captured), captured)

    def add(self, base, make_object):
        self.bases.append(base)
        self.objects.append(make_object)


def _taking_apart(container, names, n):
    """A function of [an object] that gives its items, or None if it is not exactly like this."""

    def take_apart(given):
        (tree,) = given
        if type(tree) is not container:
            return None
        if issubclass(container, dict):
            return [tree[name] for name in names] if tuple(tree) == names else None
        if issubclass(container, tuple | list):
            return list(tree) if len(tree) == n else None
        return [getattr(tree, name) for name in names]

    return take_apart


@functools.cache
def _place_of_slot(name: str) -> int:
    """Where a tensor keeps what it has under this name."""
    example = wrap(np.zeros(1))
    setattr(example, name, object())
    return _place(example, operator.attrgetter(name))


def _place(example, read):
    """Where in an object's memory lies what `read` gives."""
    wanted = id(read(example))
    for offset in range(entry_code.HEAD, type(example).__basicsize__, 8):
        if word_at(id(example) + offset) == wanted:
            return offset
    raise NotNative(f"unknown layout of {type(example).__name__}")


# ---------------------------------------------------------------- guards


def _write_guards(writer, reads):
    """What needs no Python natively; all the rest as one function."""
    rest = [check for check in reads.checks if not _write_guard(writer, check)]
    if rest:
        guards = Guards(rest, None, [])
        guards.hold()  # compiles it
        writer.holds(guards.hold)


def _write_guard(writer, check: Check) -> bool:
    source, expected = check.source, check.expected
    if type(source) is dict:
        return _write_lookup(writer, check)
    if getattr(source, "__func__", None) is Array.holds:
        return _write_comparison(writer, source.__self__)
    if check.read not in _EXAMPLES or type(source) is not type(_EXAMPLES[check.read]):
        return False
    place = id(source) + _place_of(check.read)
    if word_at(place) != id(expected):
        return False
    writer.member(source, place)
    return True


def _write_comparison(writer, snapshot: Array) -> bool:
    """A guard of an array's contents, where those are few."""
    array, contents = snapshot.value, snapshot.bytes[0] if snapshot.bytes else b""
    is_plain = array.flags.c_contiguous and array.flags.aligned and not array.dtype.hasobject
    if not is_plain or len(snapshot.bytes) > 1 or len(contents) > MAX_COMPARED:
        return False
    if not snapshot.holds():
        return False
    writer.unchanged(array, contents)
    return True


def _write_lookup(writer, check: Check) -> bool:
    """A guard of a dictionary: {o}['name'], or 'name' not in {o}."""
    mapping, expected = check.source, check.expected
    name = check.read.partition("'")[2].partition("'")[0]
    if not name.isidentifier():
        return False
    if check.read == f"{name!r} not in {{o}}":
        writer.absent(mapping, name)
        return True
    now = mapping.get(name, MISSING)
    holds = now is expected or (is_leaf(expected) and same(expected, now))
    if check.read != f"{{o}}[{name!r}]" or not holds:
        return False
    writer.item(mapping, name, now)
    return True


_EXAMPLES = {
    "{o}.cell_contents": types.CellType(object()),
    "{o}.__code__": _record,
    "{o}.__defaults__": (lambda x=(): x),
}
"""What is read from the memory of an object, and an object that has it."""


@functools.cache
def _place_of(read: str) -> int:
    """Where the objects of `_EXAMPLES` keep what is read from them."""
    return _place(_EXAMPLES[read], lambda example: eval(read.format(o="o"), {"o": example}))


# ---------------------------------------------------------------- running


class Places:
    """The arrays that the caller gave, and which of the answer's goes into each."""

    def __init__(self, writer, inputs, value, source, out):
        self.writer = writer
        arrays = list(_arrays_in(value))
        n = len(out.arrays)
        if out.container not in (tuple, list, None) or len(arrays) != n:
            raise NotNative("unusual containers")
        sources = [source] if out.container is None else writer.read_items(source, out.container, n)
        self.objects: list[int] = list(sources)
        self.bases: list[int] = [
            writer.read_out(o, x.dtype, x.shape) for o, x in zip(sources, arrays, strict=True)
        ]
        sizes = [int(np.prod(x.shape)) * x.dtype.itemsize for x in arrays]
        for i, (base, size) in enumerate(zip(self.bases, sizes, strict=True)):
            for other, n_bytes in [*inputs.memory, *zip(self.bases[:i], sizes, strict=False)]:
                writer.apart(base, size, other, n_bytes)
        self.of_result = {}
        """By a result's number the first place that it goes to."""
        for i, x in enumerate(arrays):
            if isinstance(x, Slot):
                self.of_result.setdefault(x.number, i)
        self.written: set[int] = set()
        """Places that kernels write into themselves."""
        self.next = 0

    def direct(self, number) -> tuple[int, int] | None:
        """The object and the memory for a result, which kernels will write; None if none is."""
        i = self.of_result.get(number)
        if i is None:
            return None
        self.written.add(i)
        return self.objects[i], self.bases[i]

    def store(self, base, offset, n_bytes):
        """The object for the next array of the answer, which lies there now."""
        i = self.next
        self.next += 1
        if i not in self.written:
            self.writer.copy(self.bases[i], base, offset, n_bytes)
        return self.objects[i]


def _arrays_in(value):
    """The arrays of an answer, in its order."""
    if isinstance(value, Slot | np.ndarray):
        if value.ndim:
            yield value
    else:
        _, items = trees.parts_of(value) or ((), ())
        for item in items:
            yield from _arrays_in(item)


class Output:
    """A program's output in a record."""

    def __init__(self, writer, place: tuple[int, int] | None, source: int | None = None):
        self.writer = writer
        self.place = place  # (base, offset) of a number, or of an array that is nowhere else
        self.source = source  # or the object

    def object(self, slot) -> int:
        """The object that the user gets."""
        source = self.source
        if source is None:
            assert self.place is not None
            if slot.form == "python" and slot.dtype == np.float64:
                return self.writer.make_float(*self.place)
            source = self.writer.make_scalar(*self.place, slot.dtype)
        if slot.form == "tensor":
            wrapped = functools.partial(_wrapped, aval(slot.shape, from_numpy(slot.dtype)))
            return self.writer.part(self.writer.call(wrapped, [source]), 0)
        return self.writer.make_item(source) if slot.form == "python" else source


def _launch(writer, path, inputs, slots, places):
    """The outputs of a program of kernels, launched from here; None for other programs."""
    launches = path.compiled.launches
    if launches is None or not all(_is_quickly_copied(x) for x in launches.results):
        return None
    bases = {f"x{i}": base for i, base in enumerate(inputs.bases)}
    objects = {}
    bases |= {name: writer.fixed(array) for name, array in launches.constants.items()}
    if launches.arena_bytes:
        bases["t"] = writer.arena(launches.arena_bytes)
    n_results = len(launches.results) - len(path.guards)
    # what may have to be computed again, in Python, is not to be seen half done
    if places is not None and not path.guards and not launches.statuses:
        numbers = [slot.number for slot in slots if slot is not None]
        for number, result in zip(numbers, launches.results[:n_results], strict=True):
            place = places.direct(number) if result.is_output else None
            if place is not None:
                objects[result.name], bases[result.name] = place
    for name, (dtype, shape) in launches.outputs.items():
        if name not in bases:
            objects[name], bases[name] = writer.new_array(dtype, shape)
    for record, operands in launches.steps:
        writer.step(record, [(bases[name], offset) for name, offset in operands])
    for name, offset in launches.statuses:
        writer.agrees(bases[name], offset, np.int64(0))
    outputs = []
    for i, result in enumerate(launches.results):
        place = bases[result.name], result.offset
        if i >= n_results:
            writer.agrees(*place, _number(path.guards[i - n_results], result.dtype))
        elif result.is_output:
            outputs.append(Output(writer, place, objects[result.name]))
        elif result.shape == ():
            outputs.append(Output(writer, place))
        else:
            outputs.append(_copied(writer, result, place))
    return outputs


def _copied(writer, result, place):
    """A result that is a part of something else, as an array of its own."""
    dtype, shape = result.dtype, result.shape
    target, base = writer.new_array(dtype, shape)
    if result.strides is None:
        writer.copy(base, *place, int(np.prod(shape)) * dtype.itemsize)
    else:
        writer.gather(base, *place, dtype, shape, result.strides)
    return Output(writer, (base, 0), target)


def _is_quickly_copied(result):
    n_bytes = int(np.prod(result.shape)) * result.dtype.itemsize
    return result.strides is None or (result.dtype.itemsize in (4, 8) and n_bytes <= MAX_GATHERED)


def _number(value, dtype) -> np.generic:
    if np.ndim(value):
        raise NotNative("an array that was read while recording")
    return dtype.type(value)


def _call(writer, path, inputs, n):
    """The outputs of any other program, as a Python function."""
    compiled, guards = path.compiled, path.guards

    def run(arrays):
        outputs = compiled(arrays)
        return outputs[:n] if deviation(guards, outputs[n:]) is None else None

    arrays = [make_object() for make_object in inputs.objects]
    source = writer.call(run if guards else compiled, arrays)
    return [Output(writer, None, writer.part(source, i)) for i in range(n)]


# ---------------------------------------------------------------- answers


def build(writer, value, outputs, places=None) -> int:
    """The object for a part of the answer."""
    kind = type(value)
    if places is not None and kind in (Slot, np.ndarray) and value.ndim:
        return places.store(*_memory_of(writer, value, outputs))
    if kind is Slot:
        return outputs[value.number].object(value)
    if kind in (tuple, list):
        return writer.make_items(kind, [build(writer, x, outputs, places) for x in value])
    if kind is dict:
        items = [build(writer, x, outputs, places) for x in value.values()]
        return writer.make_dict(list(value), items)
    if kind is np.ndarray:  # zeros, where nothing depends on an argument
        return writer.make_copy(value)
    if kind in CONSTANTS or isinstance(value, np.generic):
        return writer.constant(value)
    if kind is Composed:
        made = [build(writer, x, outputs, places) for x in value.parts]
        return writer.part(writer.call(functools.partial(_composed, value.function), made), 0)
    parts = trees.parts_of(value)
    if parts is None:
        raise NotNative(f"a {kind.__name__} in the answer")
    names, items = parts
    made = [build(writer, x, outputs, places) for x in items]
    function = functools.partial(_put_together, kind, names)
    return writer.part(writer.call(function, made), 0)


def _wrapped(known, values):
    return [wrap_known(values[0], known)]


def _composed(function, values):
    return [function(values)]


def _put_together(container, names, values):
    return [trees.put_together(container, names, values)]


def _memory_of(writer, value, outputs):
    """Base, offset and bytes of where an array of the answer lies."""
    n_bytes = int(np.prod(value.shape)) * value.dtype.itemsize
    if not isinstance(value, Slot):
        return writer.fixed(np.ascontiguousarray(value)), 0, n_bytes
    output = outputs[value.number]
    if output.place is None:  # what Python made
        output.place = writer.read_array(output.source, value.dtype, value.shape), 0
    return *output.place, n_bytes
