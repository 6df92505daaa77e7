"""Writes the native record of a path: later calls like this one run without Python.

A transform says in Python, once, what its answer is made of; `enter_path` calls that with a `Slot`
in place of every result, and writes down what came out, as it writes down how the arguments were
nested and what the path's guards are.  So the native way has no rules of its own, and what cannot
be written (a dataclass, a guard of an unusual kind) goes through Python: as a part of the record
where it can be, and as a whole where not.

Start at `enter_path`.  What a record is: `runtime.entry`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence

import numpy as np

from tapejit.runtime import entry_code
from tapejit.runtime.entry import Entries, NotNative, Writer, is_possible, word_at
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.random import Draw
from tapejit.transforms import trees
from tapejit.transforms.paths import Path, deviation
from tapejit.transforms.reading.guards import Check, Guards
from tapejit.transforms.reading.snapshot import MISSING, is_leaf, same

CONSTANTS = (type(None), bool, int, float, complex, str, bytes)
"""Types of answers' parts that may be handed out again and again."""


class Slot:
    """A result that a record will compute, where a transform expects a NumPy scalar or array."""

    def __init__(self, number: int, dtype: np.dtype, shape: tuple[int, ...], is_python=False):
        self.number = number
        self.dtype = dtype
        self.shape = shape
        self.ndim = len(shape)
        self.is_python = is_python

    def item(self) -> Slot:
        """The Python number."""
        return Slot(self.number, self.dtype, self.shape, True)


def enter_path(
    entries: Entries,
    path: Path,
    structure,
    leaves: Sequence,
    results: Sequence,
    answer: Callable[[list], object],
) -> None:
    """Let later calls with such arguments take this path natively.

    structure, leaves  of (args, kwargs); the leaves are the program's first inputs
    results            what the path gave
    answer             from such results to what the user gets
    """
    if path in entries:
        entries.touch(path)
    elif path not in entries.refused and is_possible():
        try:
            entries.add(path, _record(path, structure, leaves, results, answer))
        except NotNative as error:
            entries.refused.put(path, str(error))


def _record(path, structure, leaves, results, answer):
    """Read, guard, run, answer."""
    if path.layouts is not None:
        raise NotNative("strides that the function looked at")
    writer = Writer()
    inputs = _Inputs(writer, path)
    args, kwargs = structure.children
    remaining = iter(leaves)
    inputs.read(args, 0, remaining)
    inputs.read(kwargs, 1, remaining)
    _write_guards(writer, path.reads)
    for _, captured in path.captures:
        inputs.capture(captured)
    slots = []
    for result in results:
        slots.append(None if result is None else Slot(len(slots), result.dtype, result.shape))
    n = len(slots) - slots.count(None)
    outputs = iter(_launch(writer, path, inputs) or _call(writer, path, inputs, n))
    made = [None if slot is None else next(outputs) for slot in slots]
    if any(isinstance(output, np.ndarray) for output in path.trace.outputs):
        raise NotNative("an array that the function returns as it is")
    try:
        value = answer(slots)
    except Exception as error:  # a class of the user's that looks at what it holds
        raise NotNative(f"the answer: {error!r}") from error
    if value is None:
        raise NotNative("None says that there is no record")
    writer.done(_build(writer, value, made))
    return writer.record()


# ---------------------------------------------------------------- arguments


class _Inputs:
    """The program's inputs: where the objects lie, and their numbers' addresses."""

    def __init__(self, writer, path):
        self.writer = writer
        self.kinds = [path.program.tape.kind(row).aval for row in path.program.inputs]
        self.bases: list[int] = []
        self.objects: list[Callable[[], int]] = []
        """Each input as an object, for who asks for that."""
        self.has_layouts = path.layouts is not None

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
            raise NotNative(f"a {structure.container.__name__} among the arguments")

    def leaf(self, source, example):
        """An array or number like this one."""
        aval = self.kinds[len(self.bases)]
        writer = self.writer
        if type(example) is float:
            dtype, shape = np.dtype(np.float64), ()
            base = writer.read_float(source)
            self.add(base, functools.partial(writer.make_scalar, base, 0, dtype))
        elif type(example) is np.ndarray:
            dtype, shape = example.dtype, example.shape
            if not example.flags.c_contiguous or not dtype.isnative:
                raise NotNative("an array of another layout")
            if self.has_layouts and min(shape, default=2) < 2:
                raise NotNative("strides that may be any")
            self.add(writer.read_array(source, dtype, shape), lambda: source)
        elif isinstance(example, np.generic) and example.dtype.kind in "fiub":
            dtype, shape = example.dtype, ()
            self.add(writer.read_scalar(source, type(example)), lambda: source)
        else:
            raise NotNative(f"a {type(example).__name__} among the arguments")
        if (dtype, shape) != (aval.dtype.dtype, aval.shape):
            raise NotNative("an argument that is converted")

    def capture(self, captured):
        """An input that is no argument: its memory is read afresh."""
        writer = self.writer
        if isinstance(captured, Draw):
            raise NotNative("random numbers")
        if isinstance(captured, Tensor):
            place = id(captured) + _place_of_value()
            self.leaf(writer.look(captured, place), captured._value)
        elif captured.ndim == 0 and not captured.flags.writeable:  # a number of the path's own
            self.add(writer.fixed(captured), lambda: writer.constant(captured))
        else:
            self.leaf(writer.constant(captured), captured)

    def add(self, base, make_object):
        self.bases.append(base)
        self.objects.append(make_object)


@functools.cache
def _place_of_value():
    """Where a tensor keeps its array."""
    return _place(wrap(np.zeros(1)), lambda tensor: tensor._value)


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
    if check.read not in _EXAMPLES or type(source) is not type(_EXAMPLES[check.read]):
        return False
    place = id(source) + _place_of(check.read)
    if word_at(place) != id(expected):
        return False
    writer.member(source, place)
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


class _Output:
    """A program's output in a record."""

    def __init__(self, writer, place=(0, 0), source: int | None = None):
        self.writer = writer
        self.place = place  # (base, offset) of a number
        self.source = source  # or the object

    def object(self, slot) -> int:
        """The object that the user gets."""
        if self.source is None and slot.is_python and slot.dtype == np.float64:
            return self.writer.make_float(*self.place)
        source = self.source
        if source is None:
            base, offset = self.place
            source = self.writer.make_scalar(base, offset, slot.dtype)
        return self.writer.make_item(source) if slot.is_python else source


def _launch(writer, path, inputs):
    """The outputs of a program of kernels, launched from here; None for other programs."""
    launches = path.compiled.launches
    if launches is None:
        return None
    bases = {f"x{i}": base for i, base in enumerate(inputs.bases)}
    objects = {}
    bases |= {name: writer.fixed(array) for name, array in launches.constants.items()}
    if launches.arena_bytes:
        bases["t"] = writer.arena(launches.arena_bytes)
    for name, (dtype, shape) in launches.outputs.items():
        objects[name], bases[name] = writer.new_array(dtype, shape)
    for record, operands in launches.steps:
        writer.step(record, [(bases[name], offset) for name, offset in operands])
    for name, offset in launches.statuses:
        writer.agrees(bases[name], offset, np.int64(0))
    n_results = len(launches.results) - len(path.guards)
    outputs = []
    for i, (name, offset, dtype, shape, is_output) in enumerate(launches.results):
        if i >= n_results:
            writer.agrees(bases[name], offset, _number(path.guards[i - n_results], dtype))
        elif is_output:
            outputs.append(_Output(writer, source=objects[name]))
        elif shape == ():
            outputs.append(_Output(writer, place=(bases[name], offset)))
        else:
            target, base = writer.new_array(dtype, shape)
            writer.copy(base, bases[name], offset, int(np.prod(shape)) * dtype.itemsize)
            outputs.append(_Output(writer, source=target))
    return outputs


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
    return [_Output(writer, source=writer.part(source, i)) for i in range(n)]


# ---------------------------------------------------------------- answers


def _build(writer, value, outputs) -> int:
    """The object for a part of the answer."""
    if isinstance(value, Slot):
        return outputs[value.number].object(value)
    kind = type(value)
    if kind in (tuple, list):
        return writer.make_items(kind, [_build(writer, item, outputs) for item in value])
    if kind is dict:
        return writer.make_dict(list(value), [_build(writer, x, outputs) for x in value.values()])
    if kind is np.ndarray:  # zeros, where nothing depends on an argument
        return writer.make_copy(value)
    if kind in CONSTANTS or isinstance(value, np.generic):
        return writer.constant(value)
    raise NotNative(f"a {kind.__name__} in the answer")
