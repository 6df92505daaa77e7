"""Single operations on a GPU: a view of the operand's memory, or a program of one row.

Programs are kept by what they compute (Kind and avals), so an operation that was seen before is
its launches and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import registry
from tapejit.bounded import Bounded
from tapejit.build import Builder
from tapejit.dtypes import from_numpy
from tapejit.registry import Kind
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.program import compile_for_device
from tapejit.runtime.devices import machine_of, moved
from tapejit.schedule.views import VIEWS, contiguous, view_of
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

KEPT = 4096
"""Programs of one row: some kilobytes each."""

REINTERPRETED = frozenset({"bits", "view_as_real", "view_as_complex"})

_PROGRAMS: Bounded[tuple, Callable] = Bounded(KEPT)


def evaluate(kind: Kind, operands: Sequence) -> Any:
    """The value of one row whose aval lies on a GPU.

    operands  arrays there; numbers without axes; arrays of one number (literals)
    Errors    NotImplementedError naming an operation that has no GPU form
    """
    name = kind.op.name
    if name == "to_device":
        return moved(operands[0], kind.aval.device)
    if name == "detach":
        return operands[0]
    if not kind.aval.size:
        return _empty(kind, operands[0])
    if name in VIEWS and isinstance(operands[0], DeviceArray):
        shared = _view(kind, operands[0])
        if shared is not None:
            return shared
    if name in REINTERPRETED:
        shared = _reinterpreted(kind, operands[0])
        if shared is not None:
            return shared
    if name == "clone":
        return operands[0].copy()
    if kind.op.family == "random" and kind.aval.ndim > 1 and not any(x.ndim for x in operands):
        return _drawn_flat(kind, operands)
    machine = machine_of(kind.aval.device)
    given = [
        DeviceArray.from_host(machine, x) if isinstance(x, np.ndarray) and x.ndim else x
        for x in operands
    ]
    avals = tuple([aval(x.shape, from_numpy(x.dtype), x.device) for x in given])
    key = (kind.number, *avals)
    program = _PROGRAMS.get(key)
    if program is None:
        program = compile_for_device(_program(kind, avals), machine)
        _PROGRAMS.put(key, program)
    return program(given)[0]


def _empty(kind, x):
    """No elements; of a view, in its operand's memory."""
    shape, dtype = kind.aval.shape, kind.aval.dtype.dtype
    if isinstance(x, DeviceArray) and kind.op.name in (*VIEWS, *REINTERPRETED):
        return x.view(shape, contiguous(shape), 0, dtype)
    return DeviceArray.empty(machine_of(kind.aval.device), shape, dtype)


def _drawn_flat(kind, operands):
    """Random numbers, of which only places in row-major order matter: one kernel for all shapes."""
    shape, size = kind.aval.shape, (kind.aval.size,)
    attrs = tuple({**kind.attributes(), "shape": size}.values())
    flat = registry.kind(kind.op, attrs, aval(size, kind.aval.dtype, kind.aval.device))
    return evaluate(flat, operands).view(shape, contiguous(shape))


def _view(kind, x):
    """The result as a view of the operand, where strides can say it."""
    place = view_of(kind.op.name, kind.attrs, x.shape, (0, x.strides), kind.aval.shape)
    return None if place is None else x.view(kind.aval.shape, place[1], place[0])


def _reinterpreted(kind, x):
    """The operand's memory as elements of another dtype; None where its strides are in the way."""
    dtype, shape = kind.aval.dtype.dtype, kind.aval.shape
    if dtype.itemsize == x.itemsize:
        return x.view(shape, x.strides, 0, dtype)
    if dtype.itemsize < x.itemsize:  # more of them, along the last axis of the result
        times = x.itemsize // dtype.itemsize
        outer = tuple(s * times for s in x.strides[: len(shape) - 1])
        is_dense = len(shape) > x.ndim or x.strides[-1] == 1
        return x.view(shape, (*outer, 1), 0, dtype) if is_dense else None
    times = dtype.itemsize // x.itemsize
    if x.strides[-1] != 1 or x.address % dtype.itemsize or any(s % times for s in x.strides[:-1]):
        return None
    strides = tuple(s // times for s in x.strides[:-1])
    return x.view(shape, strides if len(shape) < x.ndim else (*strides, 1), 0, dtype)


def _program(kind, avals):
    builder = Builder()
    operands = [builder.input(known) for known in avals]
    result = builder.emit(kind.op, operands, kind.attrs)
    return simplify(Program(builder.tape, [x.row for x in operands], [result.row]))
