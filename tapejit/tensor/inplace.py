"""Changes in place, and the views they reach.

An in-place operation computes the new value, writes it into the tensor's memory, and gives the
tensor a new row: the tape itself never changes.  Everything that shares the memory follows: the
base of a view gets the row that puts the part back, and every other view is derived anew.  The
change is noted on all live recordings, so a value saved before it and read after it raises.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np

from tapejit.errors import AutogradError, DtypeError, ShapeError
from tapejit.registry import OPS, Op, infer_kind
from tapejit.tensor.core import (
    ERROR_STATE,
    SILENT,
    Tensor,
    apply,
    legacy_name,
    optional,
    record,
    storage,
    unify,
    wrap,
)
from tapejit.tensor.recording import live, note_mutation, root, state, user_site

# ---------------------------------------------------------------- views


def view(op: Op, x: Tensor, attrs: tuple) -> Tensor:
    """A view operation: its result shares x's memory and follows in-place changes."""
    if x._aval.ndim == 0 or not isinstance(x._value, np.ndarray):
        storage(x)
    result = apply(op, (x,), attrs)
    value = result._value
    if isinstance(value, np.ndarray) and root(value) is root(x._value):
        base = base_of(x)
        result._base = base
        result._view = (x, op, attrs)
        views = optional(base, "_views")
        if views is None:
            views = base._views = []
        views.append(weakref.ref(result))
        if len(views) & 63 == 0:  # dead ones are dropped now and then
            base._views = [v for v in views if v() is not None]
    return result


def base_of(x: Tensor) -> Tensor:
    """The tensor whose memory x views; x itself if it is no view."""
    base = optional(x, "_base")
    return x if base is None else base


# ---------------------------------------------------------------- checks


def check_writable(x: Tensor) -> None:
    """Raise where PyTorch refuses an in-place change."""
    if not state.grad_enabled and not state.parked.is_trace:
        return
    base = base_of(x)
    if base._tracked and base._tape is None:
        what = "a leaf Variable" if base is x else "a view of a leaf Variable"
        raise AutogradError(
            f"{what} that requires grad is being used in an in-place operation.\n"
            "  try  with no_grad(): ..., or the operation that is not in place"
        )


def _check_memory(x):
    value = storage(x)
    if not value.flags.writeable:
        raise AutogradError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location, or the memory is read-only. Please clone() the tensor before "
            "performing the operation."
        )
    if 0 in [s for s, n in zip(value.strides, value.shape, strict=True) if n > 1]:
        raise AutogradError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
    return value


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


def change(x: Tensor, op: Op, operands: Sequence, attrs: tuple = ()) -> Tensor:
    """Replace x's value by `op(*operands)`, in its memory; x itself is returned."""
    check_writable(x)
    memory = _check_memory(x)
    tensors = unify(op, operands)
    avals = tuple([t._aval for t in tensors])
    kind = op.kinds.get(avals + attrs) or infer_kind(op, avals, attrs)
    _check_result(x, kind.aval, op)
    token = ERROR_STATE.set(SILENT)
    try:
        value = op.evaluate(*[t._value for t in tensors], **kind.attributes())
    finally:
        ERROR_STATE.reset(token)
    note_mutation(memory, user_site())
    memory[...] = value
    result = record(kind, tensors, memory if kind.aval is x._aval else value)
    if kind.aval is not x._aval:
        result = apply(OPS["cast"], (result,), (x._aval.dtype.name,), value=memory)
    adopt_row(x, result)
    return x


def adopt_row(x: Tensor, result: Tensor) -> None:
    """Let x stand where `result` was recorded, and everything that shares its memory follow."""
    base = base_of(x)
    was_tracked = x._tracked
    _take(x, result)
    if not x._tracked and not was_tracked and not base._tracked:
        for tensor in _family(base):
            _forget(tensor)
        return
    if base is not x:
        _put_back(x)
    for other in _family(base):
        if other is not x and other is not base:
            parent, op, attrs = other._view
            _take(other, apply(op, (parent,), attrs, value=other._value))


def _take(x, result):
    x._tape, x._row, x._stamp = result._tape, result._row, result._stamp
    x._tracked = result._tracked
    if not result._tracked:
        _forget(x)


def _forget(x):
    for recording in list(live):
        recording.forget(x)
    if x._tape is None:
        x._stamp = None


def _family(base):
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
    else:
        raise AutogradError(f"in-place change through {op.name} is not possible\n  try  clone()")
    _take(parent, result)
    _put_back(parent)


def change_value(x: Tensor, value) -> Tensor:
    """Overwrite x with numbers that have no derivative (zero_, fill_)."""
    check_writable(x)
    memory = _check_memory(x)
    note_mutation(memory, user_site())
    memory[...] = value
    constant = wrap(np.broadcast_to(np.asarray(value, memory.dtype), memory.shape))
    adopt_row(x, record(infer_kind(OPS["clone"], (x._aval,), ()), [constant], memory))
    return x
