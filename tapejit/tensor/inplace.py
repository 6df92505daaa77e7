"""Changes in place, and the views they reach.

An in-place operation computes the new value, writes it into the tensor's memory, and gives the
tensor a new row: the tape itself never changes.  Everything that shares the memory follows: the
base of a view gets the row that puts the part back, and every other view is derived anew.  The
change is noted on all live recordings, so a value saved before it and read after it raises.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapejit.autodiff import rule_reads
from tapejit.errors import AutogradError, DtypeError, ShapeError
from tapejit.ops.strided import check_no_overlap
from tapejit.registry import OPS, Op, infer_kind
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.devices import MEMORY, layout, moved, owned
from tapejit.runtime.eager import evaluate
from tapejit.shapes import CPU
from tapejit.sites import user_site
from tapejit.tensor.core import (
    ERROR_STATE,
    SILENT,
    Tensor,
    apply,
    check_devices,
    legacy_name,
    number_as,
    optional,
    record,
    storage,
    unify,
    wrap,
)
from tapejit.tensor.docstrings import in_place_docstring
from tapejit.tensor.recording import live, note_mutation, root, state

# ---------------------------------------------------------------- views


def view(op: Op, x: Tensor, attrs: tuple, name: str = "") -> Tensor:
    """A view operation: its result shares x's memory and follows in-place changes.

    name  PyTorch's name of the backward node, where it is not the operation's
    """
    if x._aval.ndim == 0 or not isinstance(x._value, MEMORY):
        storage(x)
    result = apply(op, (x,), attrs)
    if name and result._tape is not None:
        result._tape.names[result._row] = name
    value = result._value
    if isinstance(value, MEMORY) and root(value) is root(x._value):
        base = base_of(x)
        result._base_tensor = base
        result._view = (x, op, attrs)
        if not state.grad_enabled:
            result._made_untracked = True
        views = optional(base, "_views")
        if views is None:
            views = base._views = []
        views.append(weakref.ref(result))
        if len(views) & 63 == 0:  # dead ones are dropped now and then
            base._views = [v for v in views if v() is not None]
    return result


def base_of(x: Tensor) -> Tensor:
    """The tensor whose memory x views; x itself if it is no view."""
    base = optional(x, "_base_tensor")
    return x if base is None else base


# ---------------------------------------------------------------- checks


def check_writable(x: Tensor) -> None:
    """Raise where PyTorch refuses an in-place change."""
    if not state.grad_enabled and not state.parked.is_trace:
        return
    base = base_of(x)
    if optional(x, "_made_untracked") and (base._tracked or x._tracked):
        raise AutogradError(
            "A view was created in no_grad mode and is being modified inplace with grad mode "
            "enabled. Its gradient would be ambiguous.\n"
            "  try  make the view outside no_grad, or change it inside"
        )
    if any(t._tracked and t._tape is None for t in (base, x)):
        what = "a leaf Variable" if base is x else "a view of a leaf Variable"
        raise AutogradError(
            f"{what} that requires grad is being used in an in-place operation.\n"
            "  try  with no_grad(): ..., or the operation that is not in place"
        )


def check_memory(x: Tensor) -> Any:
    """The memory to be written; raises where it is read-only or elements share a place."""
    value = storage(x)
    if not value.flags.writeable:
        raise AutogradError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location, or the memory is read-only. Please clone() the tensor before "
            "performing the operation."
        )
    check_no_overlap(value.shape, value.strides)
    return value


def check_overlap(x: Tensor, operands: Sequence[Tensor], exactly: bool = True) -> None:
    """Raise where an operand lies partly in the memory that is to be written.

    NumPy would read it all before it writes, and so it is in traced functions of arrays.

    exactly  whether an operand may be the very elements that are written
    """
    memory = x._value
    if state.parked.speaks_numpy or not isinstance(memory, MEMORY):
        return
    for operand in operands:
        value = operand._value
        if not isinstance(value, MEMORY) or root(value) is not root(memory):
            continue
        if exactly and value.shape == memory.shape and layout(value) == layout(memory):
            continue
        if _may_overlap(memory, value) and _is_dense(memory) and _is_dense(value):
            raise AutogradError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation."
            )


def _may_overlap(memory, value):
    """Whether the places between the first and the last element have some in common."""
    if isinstance(memory, np.ndarray):
        return np.may_share_memory(memory, value)
    spans = []
    for array in (memory, value):
        reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
        first = array.address + array.itemsize * sum(min(r, 0) for r in reach)
        last = array.address + array.itemsize * sum(max(r, 0) for r in reach)
        spans.append((first, last))
    (first, last), (begin, end) = spans
    return bool(memory.size and value.size) and first <= end and begin <= last


def _is_dense(value):
    """Whether the elements fill their memory without gaps, in any order of axes."""
    _, apart = layout(value)
    strides = [(abs(s), n) for s, n in zip(apart, value.shape, strict=True) if n > 1]
    step = 1
    for stride, n in sorted(strides):
        if stride != step:
            return False
        step *= n
    return value.size > 0


def _check_result(x, aval, op):
    if aval.shape != x._aval.shape:
        raise ShapeError(
            f"output with shape {list(x._aval.shape)} doesn't match the broadcast shape "
            f"{list(aval.shape)} in {op.name}_"
        )
    if aval.dtype.category > x._aval.dtype.category:
        raise DtypeError(
            f"result type {legacy_name(aval.dtype)} can't be cast to the desired output type "
            f"{legacy_name(x._aval.dtype)}"
        )


# ---------------------------------------------------------------- the change


def change(x: Tensor, op: Op, operands: Sequence, attrs: tuple = (), name: str = "") -> Tensor:
    """Replace x's value by `op(*operands)`, in its memory; x itself is returned.

    name  PyTorch's name of the backward node, where it is not the operation's
    """
    check_writable(x)
    memory = check_memory(x)
    tensors = unify(op, operands)
    if op.name != "where":  # masked_fill_ may take its value from the tensor
        check_overlap(x, tensors)
    avals = tuple([t._aval for t in tensors])
    kind = op.kinds.get(avals + attrs) or infer_kind(op, avals, attrs)
    if kind.aval.device != CPU:
        check_devices(op, (x._aval, *avals))
    _check_result(x, kind.aval, op)
    token = ERROR_STATE.set(SILENT)
    try:
        value = evaluate(kind, [t._value for t in tensors])
    finally:
        ERROR_STATE.reset(token)
    tensors = _keep_overwritten(x, kind, avals, tensors)
    site = user_site()
    before_change(memory, site)
    if isinstance(value, DeviceArray) and kind.aval.dtype is not x._aval.dtype:
        memory[...] = apply(OPS["cast"], (wrap(value),), (x._aval.dtype.name,))._value
    else:
        memory[...] = value
    if kind.aval is x._aval:
        result = record(kind, tensors, memory, site)
    else:
        result = record(kind, tensors, value, site)
        name = name or (op.grad_name if result._tracked else "")
        result = apply(OPS["cast"], (result,), (x._aval.dtype.name,), value=memory)
    if name and result._tape is not None:
        result._tape.names[result._row] = name
    adopt_row(x, result)
    return x


def _keep_overwritten(x, kind, avals, tensors):
    """The operands, with a copy of those in x's memory that are needed as they are now.

    The operation's own slope reads some; a trace's program reads all that it captures.
    """
    if state.recording is None or not any(t._tracked for t in tensors):
        return tensors
    reads = rule_reads(kind, avals)
    read = {i for t, part in zip(tensors, reads, strict=True) if t._tracked for i in part}
    if state.recording.is_trace:
        read |= {i for i, t in enumerate(tensors) if not t._tracked}
    return [copy_if_in(x._value, t) if i in read else t for i, t in enumerate(tensors)]


def copy_if_in(memory, x: Tensor) -> Tensor:
    """x, or its clone where it shares this memory."""
    return apply(OPS["clone"], (x,)) if root(x._value) is root(memory) else x


def before_change(memory, site) -> None:
    """Note that this memory will be written, once traces keep what they captured of it."""
    storage = root(memory)
    for recording in list(live):
        if recording.is_trace and id(storage) in recording.sharers:
            for row, tensor in recording.inputs.items():
                if root(recording.values[row]) is storage:
                    value = recording.values[row] = owned(recording.values[row])
                    recording.inputs[row] = wrap(value, tensor._aval.dtype)
    note_mutation(memory, site)


def adopt_row(x: Tensor, result: Tensor, name: str = "CopySlices") -> None:
    """Let x stand where `result` was recorded, and everything that shares its memory follow.

    name  PyTorch's name of the backward node that x's base gets
    """
    base = base_of(x)
    family = family_of(base)
    if state.recording is None:
        for tensor in family:
            _stay(tensor)
        return
    was_tracked = x._tracked
    take_row(x, result)
    if not x._tracked and not was_tracked and not base._tracked:
        return
    if base is not x:
        _put_back(x)
        if base._tape is not None:
            base._tape.names[base._row] = name
    for other in family:
        if other is not base:
            parent, op, attrs = other._view
            again = apply(op, (parent,), attrs, value=other._value)
            if again._tape is not None:
                again._tape.names[again._row] = "AsStridedBackward0"
            take_row(other, again)


def _stay(tensor):
    """A changed value with the history it had: what no_grad leaves behind."""
    if tensor._tape is None or not tensor._tracked:
        return
    state.recording = state.parked
    try:
        known = infer_kind(OPS["clone"], (tensor._aval,), ())
        result = record(known, (tensor,), tensor._value)
        is_view = base_of(tensor) is not tensor
        name = "AsStridedBackward0" if is_view else name_of(tensor._tape, tensor._row)
        result._tape.names[result._row] = name
        take_row(tensor, result)
    finally:
        state.recording = None


def take_row(x: Tensor, result: Tensor) -> None:
    """Let x stand where `result` was recorded."""
    x._tape, x._row, x._stamp = result._tape, result._row, result._stamp
    x._tracked = result._tracked
    for recording in list(live):
        recording.places.pop(id(x), None)


def name_of(recording, row) -> str:
    """PyTorch's class name for the backward of a row."""
    named = recording.names.get(row)
    if named is not None:
        return named
    op = recording.kind(row).op
    if any(op.number_grad_names):
        numbers = recording.constants.values()
        for operand, name in zip(recording.operands(row), op.number_grad_names, strict=True):
            if name and operand in numbers:
                return name
    return op.grad_name or op.name.title().replace("_", "") + "Backward0"


def family_of(base: Tensor) -> list[Tensor]:
    """A tensor and all that view its memory."""
    views = [v() for v in optional(base, "_views") or ()]
    return [base, *(v for v in views if v is not None)]


def _put_back(x):
    """Give the tensor that x is a view of the row that writes x back into it."""
    chain = optional(x, "_view")
    if chain is None:
        return
    parent, op, attrs = chain
    memory = parent._value
    if op.name == "slice":
        starts, _, steps = attrs
        result = apply(OPS["replace"], (parent, x), (starts, steps), value=memory)
    elif op.name == "reshape":
        result = apply(OPS["reshape"], (x,), (parent._aval.shape,), value=memory)
    elif op.name == "permute":
        inverse = tuple(sorted(range(len(attrs[0])), key=attrs[0].__getitem__))
        result = apply(OPS["permute"], (x,), (inverse,), value=memory)
    elif op.name == "flip":
        result = apply(op, (x,), attrs, value=memory)
    elif op.name == "strided":
        result = apply(OPS["put_strided"], (parent, x), attrs[1:], value=memory)
    elif op.name == "expand" and x._aval.size == parent._aval.size:
        result = apply(OPS["reshape"], (x,), (parent._aval.shape,), value=memory)
    elif op.name in _INVERSE:
        result = apply(OPS[_INVERSE[op.name]], (x,), value=memory)
    else:
        raise AutogradError(f"in-place change through {op.name} is not possible\n  try  clone()")
    take_row(parent, result)
    _put_back(parent)


_INVERSE = {"view_as_real": "view_as_complex", "view_as_complex": "view_as_real"}


def change_value(x: Tensor, value, name: str = "FillBackward2") -> Tensor:
    """Overwrite x with numbers that have no derivative (zero_, fill_)."""
    if isinstance(value, complex):
        value = number_as(value, x._aval.dtype)
    value = wrap(moved(np.asarray(value, x._aval.dtype.dtype), x._aval.device))
    return change(x, OPS["copy_into"], (x, value), name=name)


def overwrite(x: Tensor, result: Tensor) -> Tensor:
    """Write what was computed from x into its memory: an operation in place, by its result."""
    if result._aval is not x._aval:
        _check_result(x, result._aval, OPS["copy_into"])
    tape = result._tape
    name = name_of(tape, result._row) if result._tracked and tape is not None else ""
    return change(x, OPS["copy_into"], (x, result), name=name)


def in_place(function, name: str, reads: bool = True, exactly: bool = True):
    """The method that writes a function's result into the memory of its first argument.

    reads    whether its slope reads that argument as it was
    exactly  whether other arguments may be that memory (see `check_overlap`)
    """

    def method(x, *args: Any, **kwargs: Any) -> Tensor:
        given = (*args, *kwargs.values())
        sources = [a for a in given if isinstance(a, Tensor) and (a._aval.ndim or exactly)]
        check_overlap(x, sources, exactly)
        before = apply(OPS["clone"], (x,)) if reads else x
        return overwrite(x, function(before, *args, **kwargs))

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = in_place_docstring(name)
    return method
