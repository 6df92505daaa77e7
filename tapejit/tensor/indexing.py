"""Indexing: `x[...]` and `x[...] = v`, brought to slice, reshape, permute, index and masks.

Basic indexing (integers, slices, None, Ellipsis) is a slice followed by a reshape: a view.
Integer arrays and masks are moved to the leading axes and become `index`; a mask's places are
found first, and their number is part of what is recorded (a guard while tracing).

PyTorch and NumPy agree but for three things, where a traced function of arrays means NumPy's:
steps may be negative there, an integer beside arrays counts as one of them when it comes to where
the result's axes go (`x[0, :, [1, 2]]`), and uint8 tensors are integers (in PyTorch masks).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tapejit.dtypes import BOOL, INTEGER, uint8
from tapejit.errors import AxisError, DtypeError, ShapeError
from tapejit.registry import OPS, infer_kind
from tapejit.runtime.cuda.exchange import is_on_gpu
from tapejit.runtime.devices import on_host
from tapejit.runtime.eager import evaluate
from tapejit.shapes import CPU, broadcast
from tapejit.sites import user_site
from tapejit.tensor.core import Tensor, apply, as_data, check_range, number_as, to_place, wrap
from tapejit.tensor.front import FUNCTIONS, named
from tapejit.tensor.guards import read
from tapejit.tensor.inplace import (
    adopt_row,
    base_of,
    before_change,
    change,
    check_memory,
    check_overlap,
    check_writable,
    copy_if_in,
    view,
)
from tapejit.tensor.recording import state

_SLICE, _RESHAPE, _PERMUTE = OPS["slice"], OPS["reshape"], OPS["permute"]

# ---------------------------------------------------------------- reading an index


def _expand(x: Tensor, key) -> list:
    """The key as a list with one entry per axis (None entries added), Ellipsis filled in."""
    entries = list(key) if isinstance(key, tuple) else [key]
    entries = [_beside(x, _entry(e)) for e in entries]
    used = sum(_axes_used(e) for e in entries)
    if used > x._aval.ndim:
        raise AxisError(f"too many indices for tensor of dimension {x._aval.ndim}")
    dots = [i for i, e in enumerate(entries) if e is Ellipsis]
    if len(dots) > 1:
        raise AxisError("an index can only have a single ellipsis ('...')")
    fill = [slice(None)] * (x._aval.ndim - used)
    if dots:
        entries[dots[0] : dots[0] + 1] = fill
    else:
        entries += fill
    return entries


def _entry(entry):
    if isinstance(entry, list | tuple | range):
        entry = _listed(entry)
    if isinstance(entry, np.ndarray | np.bool_):
        entry = as_data(entry)
    if isinstance(entry, bool):
        entry = wrap(np.array(entry))
    if isinstance(entry, Tensor):
        return _tensor_entry(entry)
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return entry
    if not isinstance(entry, int) and is_on_gpu(entry):
        return _tensor_entry(as_data(entry))
    try:
        return entry.__index__()
    except AttributeError:
        error = DtypeError if isinstance(entry, str) else AxisError  # PyTorch's classes
        raise error(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(entry).__name__})"
        ) from None


def _beside(x, entry):
    """An index tensor where x is; on the CPU it may be anywhere, as in PyTorch."""
    is_here = not isinstance(entry, Tensor) or entry._aval.device != CPU
    return entry if is_here else to_place(entry, x._aval.device)


def _listed(entry):
    """A list of integers, truths or tensors as one index."""
    if any(isinstance(e, Tensor) for e in entry):
        return FUNCTIONS["stack"](
            [e if isinstance(e, Tensor) else wrap(np.array(e)) for e in entry]
        )
    array = np.array(entry)
    return array if array.size else array.astype(np.int64)


def _tensor_entry(entry):
    category = entry._aval.dtype.category
    if category not in (BOOL, INTEGER):
        raise AxisError("tensors used as indices must be long, int, byte or bool tensors")
    if entry._aval.dtype is uint8 and not state.parked.speaks_numpy:
        return entry != 0
    if entry._aval.ndim == 0 and category == INTEGER and not entry._tracked:
        return int(on_host(entry._value))
    return entry


def _is_mask(entry):
    return isinstance(entry, Tensor) and entry._aval.dtype.category == BOOL


def _unfold_truths(x, entries):
    """A 0-d mask is a mask on a new axis of length 1: x[True] is x[None][[True]]."""
    if not any(_is_mask(e) and not e._aval.ndim for e in entries):
        return x, entries
    shape, axis = [], 0
    for place, entry in enumerate(entries):
        used = _axes_used(entry)
        if isinstance(entry, Tensor) and not used:
            entries[place] = apply(_RESHAPE, (entry,), ((1,),))
            shape.append(1)
        shape += x._aval.shape[axis : axis + used]
        axis += used
    return view(_RESHAPE, x, (tuple(shape),)), entries


def _axes_used(entry):
    if entry is None or entry is Ellipsis:
        return 0
    return entry._aval.ndim if _is_mask(entry) else 1


def _basic(x: Tensor, entries):
    """(starts, lengths, steps, shape) of the basic part; tensors count as whole axes."""
    starts, lengths, steps, shape = [], [], [], []
    axis = 0
    for entry in entries:
        if entry is None:
            shape.append(1)
            continue
        if isinstance(entry, Tensor):
            spans = x._aval.shape[axis : axis + _axes_used(entry)]
            for n in spans:
                starts.append(0)
                lengths.append(n)
                steps.append(1)
                shape.append(n)
            axis += len(spans)
            continue
        n = x._aval.shape[axis]
        if isinstance(entry, slice):
            start, length, step = _slice(entry, n)
            shape.append(length)
        else:
            if not -n <= entry < n:
                raise AxisError(
                    f"index {entry} is out of bounds for dimension {axis} with size {n}"
                )
            start, length, step = entry % n, 1, 1
        starts.append(start)
        lengths.append(length)
        steps.append(step)
        axis += 1
    return tuple(starts), tuple(lengths), tuple(steps), tuple(shape)


def basic_part(x: Tensor, key) -> tuple[tuple, tuple, tuple]:
    """(starts, lengths, steps) of a key of integers and slices: what `slice` and `replace` take."""
    return _basic(x, _expand(x, key))[:3]


def _slice(entry, n):
    parts = [None if p is None else p.__index__() for p in (entry.start, entry.stop, entry.step)]
    if parts[2] is not None and parts[2] <= 0 and not (parts[2] and state.parked.speaks_numpy):
        raise ValueError("step must be greater than zero")  # PyTorch's class and words
    places = range(*slice(*parts).indices(n))
    return (places.start if places else 0), len(places), places.step


# ---------------------------------------------------------------- x[key]


def get_item(x: Tensor, key) -> Tensor:
    """x[key], a view where the key has no arrays in it."""
    x, entries = _unfold_truths(x, _expand(x, key))
    result = _basic_part(x, entries)
    if any(isinstance(e, Tensor) for e in entries):
        return _advanced(result, entries)
    return view(_SLICE, x, _basic(x, entries)[:3], "AliasBackward0") if result is x else result


def _basic_part(x, entries):
    starts, lengths, steps, shape = _basic(x, entries)
    if lengths == x._aval.shape == shape and not set(steps) - {1}:
        return x
    name = _view_name(x, entries)
    if shape == lengths:
        return view(_SLICE, x, (starts, lengths, steps), name)
    if lengths != x._aval.shape or set(steps) - {1}:
        x = view(_SLICE, x, (starts, lengths, steps))
    return view(_RESHAPE, x, (shape,), name)


def _view_name(x, entries):
    """PyTorch indexes axis by axis: the name of the last step that does anything."""
    name, axis = "AliasBackward0", 0
    for entry in entries:
        if entry is None:
            name = "UnsqueezeBackward0"
        elif isinstance(entry, int):
            name = "SelectBackward0"
        elif isinstance(entry, slice) and _slice(entry, x._aval.shape[axis])[1:] != (
            x._aval.shape[axis],
            1,
        ):
            name = "SliceBackward0"
        axis += _axes_used(entry)
    return name


class _Plan(NamedTuple):
    """How arrays among the entries of a key are brought to the leading axes."""

    order: tuple[int, ...]
    """The axes: those with an array first."""
    indices: list[Tensor]
    before: int
    """How many of the other axes come before the indexed ones in the result."""
    shape: tuple[int, ...]
    """The common shape of the indices."""


def _plan(x: Tensor, entries, key) -> _Plan:
    """The plan of `x[entries]`, from which `_basic_part` has taken integers and slices."""
    axis, indexed, others, indices = 0, [], [], []
    for entry in entries:
        if isinstance(entry, Tensor):
            span = _axes_used(entry)
            if _is_mask(entry):
                indices += mask_places(entry, x._aval.shape[axis : axis + span], axis)
            else:
                indices.append(_wrap_negative(entry, x._aval.shape[axis], axis))
            indexed += range(axis, axis + span)
            axis += span
        else:
            others.append(axis)
            axis += 1
    shapes = [i._aval.shape for i in indices]
    try:
        shape = broadcast("index", *shapes)
    except ShapeError:
        raise AxisError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(shape)) for shape in shapes)
        ) from None
    return _Plan((*indexed, *others), indices, _axes_before(key), shape)


def _axes_before(key) -> int:
    """Axes of the result before those of the arrays: 0 where the arrays are not side by side."""
    in_numpy = state.parked.speaks_numpy
    marks = []
    for entry in key:
        if isinstance(entry, Tensor) and (in_numpy or entry._aval.ndim):
            marks.append(True)
        elif isinstance(entry, Tensor | int):
            marks += [True] if in_numpy else []
        else:
            marks.append(False)
    if True not in marks:
        return 0
    first = marks.index(True)
    last = len(marks) - marks[::-1].index(True)
    return first if all(marks[first:last]) else 0


def _to_front(x, plan):
    return x if list(plan.order) == sorted(plan.order) else view(_PERMUTE, x, (plan.order,))


def _advanced(x: Tensor, entries) -> Tensor:
    plan = _plan(x, [e for e in entries if not isinstance(e, int)], entries)
    result = apply(OPS["index"], (_to_front(x, plan), *plan.indices))
    if not plan.before or not plan.shape:
        return result
    n, before = len(plan.shape), plan.before
    order = (*range(n, n + before), *range(n), *range(n + before, result._aval.ndim))
    return named(apply(_PERMUTE, (result,), (order,)), "IndexBackward0")


def _value_to_front(value, plan, lengths):
    """A value in the layout of `x[key]`, with the axes of the arrays brought to the front."""
    n, before = len(plan.shape), plan.before
    shape = (*lengths[:before], *plan.shape, *lengths[before:])
    value = _without_leading_ones(value, len(shape))
    if broadcast_or_none(value._aval.shape, shape) != shape:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(value._aval.shape)} cannot be broadcast "
            f"to indexing result of shape {list(shape)}"
        )
    if not before or not n:
        return value
    value = apply(OPS["expand"], (value,), (shape,))
    order = (*range(before, before + n), *range(before), *range(before + n, len(shape)))
    return apply(_PERMUTE, (value,), (order,))


def broadcast_or_none(*shapes):
    """The common shape, or None where there is none."""
    try:
        return broadcast("value", *shapes)
    except ShapeError:
        return None


def _without_leading_ones(value, ndim):
    """A value with no more axes than it is assigned to; leading ones of length 1 do not count."""
    shape = value._aval.shape
    extra = len(shape) - ndim
    if extra <= 0 or set(shape[:extra]) != {1}:
        return value
    return apply(_RESHAPE, (value,), (shape[extra:],))


def _wrap_negative(index: Tensor, n: int, axis: int) -> Tensor:
    """An index array counted from the front, checked against the axis."""
    if index._aval.device != CPU:  # looking would be waiting; loops wrap, and notice what is wrong
        return index
    value = index._value
    if np.size(value) and not (np.min(value) >= -n and np.max(value) < n):
        bad = np.min(value) if np.min(value) < -n else np.max(value)
        raise AxisError(f"index {bad} is out of bounds for dimension {axis} with size {n}")
    if index._tracked:
        read(apply(OPS["all"], (index >= 0,), (tuple(range(index._aval.ndim)), False)))
        return index if np.min(value, initial=0) >= 0 else apply(OPS["remainder"], (index, n))
    return wrap(np.where(value < 0, value + n, value)) if np.min(value, initial=0) < 0 else index


def mask_places(mask: Tensor, shape, axis: int) -> list[Tensor]:
    """The places where a mask holds, one index array per axis of it."""
    if mask._aval.shape != tuple(shape):
        raise AxisError(
            f"The shape of the mask {list(mask._aval.shape)} at index {axis} does not match the "
            f"shape of the indexed tensor {list(shape)} at index {axis}"
        )
    if not mask._tracked and mask._aval.device == CPU:
        return [wrap(places) for places in np.nonzero(mask._value)]
    count = int(read(apply(OPS["count_nonzero"], (mask,))))
    flat = apply(OPS["nonzero"], (mask,), (count,))
    places = []
    for n in reversed(shape):
        n = max(n, 1)  # there are no places, and no division by zero, in an empty axis
        places.append(apply(OPS["remainder"], (flat, n)))
        flat = apply(OPS["floor_divide"], (flat, n))
    return places[::-1]


# ---------------------------------------------------------------- x[key] = value


def set_item(x: Tensor, key, value, name: str = "") -> None:
    """x[key] = value, in x's memory.

    name  PyTorch's name of the backward node, where it is not that of an assignment
    """
    is_number = not isinstance(value, Tensor)
    if not isinstance(value, Tensor):
        value = _plain_value(value, x._aval.dtype)
    if value._aval.ndim:
        value = to_place(value, x._aval.device)
    target, entries = _unfold_truths(x, _expand(x, key))
    if target is not x:
        return set_item(target, tuple(entries), value, name)
    if not any(isinstance(e, Tensor) for e in entries):
        target = _basic_part(x, entries)
        value = _without_leading_ones(value, target._aval.ndim)
        name = "FillBackward3" if is_number and target is x else ""
        change(target, OPS["copy_into"], (target, value), name=name)
        return
    _set_advanced(x, entries, value, name or "IndexPutBackward0")


def _plain_value(value, dtype) -> Tensor:
    """What is no tensor, in the dtype it is assigned to unless that would lose a category."""
    if isinstance(value, bool | int | float | complex):
        check_range(value, dtype)
        return wrap(np.asarray(number_as(value, dtype)))
    if not isinstance(value, np.ndarray | np.generic) and not is_on_gpu(value):
        return wrap(np.asarray(value, dtype.dtype))
    value = as_data(value)
    fits = value._aval.dtype.category <= dtype.category
    return apply(OPS["cast"], (value,), (dtype.name,)) if fits else value


def _in_dtype(value, dtype):
    if value._aval.dtype is dtype:
        return value
    if value._aval.dtype.category > dtype.category or not state.parked.speaks_numpy:
        raise DtypeError(
            f"Index put requires the source and destination dtypes match, got {dtype.name} for the "
            f"destination and {value._aval.dtype.name} for the source.\n  try  .to(...)"
        )
    return apply(OPS["cast"], (value,), (dtype.name,))


def combine_item(x: Tensor, key: tuple, value: Tensor, how: str = "put") -> Tensor:
    """A copy of x with values written or combined at places.

    key  arrays, masks and whole slices
    how  "put", "sum", or what `index_combine` does
    """
    # a 0-d index would count as a number, whose axis goes; of a vector of one nothing changes
    key = tuple(k.reshape(1) if isinstance(k, Tensor) and not k._aval.ndim else k for k in key)
    entries = _expand(x, key)
    plan = _plan(x, entries, entries)
    moved = x if list(plan.order) == sorted(plan.order) else apply(_PERMUTE, (x,), (plan.order,))
    lengths = moved._aval.shape[len(plan.indices) :]
    value = _in_dtype(_value_to_front(value, plan, lengths), x._aval.dtype)
    value = apply(OPS["expand"], (value,), ((*plan.shape, *lengths),))
    if how == "put":
        result = apply(OPS["index_put"], (moved, value, *plan.indices))
    elif how == "sum":
        added = apply(OPS["index_add"], (value, *plan.indices), (moved._aval.shape,))
        result = apply(OPS["logical_or" if is_bool(x) else "add"], (moved, added))
    else:
        result = apply(OPS["index_combine"], (moved, value, *plan.indices), (how,))
    back = tuple(sorted(range(len(plan.order)), key=plan.order.__getitem__))
    return result if moved is x else apply(_PERMUTE, (result,), (back,))


def is_bool(x: Tensor) -> bool:
    """Whether a tensor holds truths."""
    return x._aval.dtype.category == BOOL


def _set_advanced(x, entries, value, name):
    target = _basic_part(x, entries)
    plan = _plan(target, [e for e in entries if not isinstance(e, int)], entries)
    check_writable(target)
    moved = _to_front(target, plan)
    value = to_place(value, x._aval.device) if not value._aval.ndim else value
    value = _value_to_front(value, plan, moved._aval.shape[len(plan.indices) :])
    value = _in_dtype(value, x._aval.dtype)
    memory = check_memory(moved)
    check_overlap(base_of(x), [value], False)
    operands = [moved, value, *plan.indices]
    if state.recording is not None and state.recording.is_trace:
        operands = [o if o._tracked else copy_if_in(memory, o) for o in operands]
    known = infer_kind(OPS["index_put"], tuple([o._aval for o in operands]), ())
    result_value = evaluate(known, [o._value for o in operands])
    before_change(memory, user_site())
    memory[...] = result_value
    adopt_row(
        moved,
        apply(OPS["index_put"], operands, value=memory),
        name if target is x else "CopySlices",
    )


Tensor.__getitem__ = get_item
Tensor.__setitem__ = set_item
