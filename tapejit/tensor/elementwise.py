"""Methods of elementwise operations: `apply` for avals seen before, in about 1 µs.

`unary_method` and `binary_method` make a method of an operation.  It remembers what `apply` found
for each pair of avals, where nothing had to be cast, and from then on computes and appends the row
itself, in one Python frame; anything else it gives to `apply` (core.py).
"""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe

import numpy as np

from tapejit.registry import Kind, Op, lookup
from tapejit.runtime.eager import EVALUATE, evaluator_for
from tapejit.shapes import CPU, Aval, aval
from tapejit.sites import user_site
from tapejit.tensor.core import (
    ERROR_STATE,
    SILENT,
    Tensor,
    apply,
    as_operand,
    common_dtype,
    place,
)
from tapejit.tensor.docstrings import described
from tapejit.tensor.recording import seal_if_long, state


def unary_method(
    op: Op, attrs: tuple = (), *, far: bool = False, foreign: Callable | None = None
) -> Callable:
    """The method of a one-operand elementwise op, with fixed attributes.

    far      whether frames of ours lie between the method and the user's call
    foreign  what answers for an operand that is no tensor
    """
    known: dict[Aval, tuple[Kind, Callable]] = lookup()
    gives_float = op.rule not in ("compare", "predicate", "logical")

    def method(input):
        try:
            entry = known.get(input._aval)
        except AttributeError:
            if foreign is None:
                raise
            return foreign(input)
        tape = state.recording
        if entry is None or (tape is not None and tape.is_trace and _is_slow(entry[0])):
            result = apply(op, (input,), attrs)
            if entry is not None or not gives_float:
                return result
            # remember only what needs no cast, so that the fast path is exactly this
            found = op.kinds.get((input._aval, *attrs))
            if (
                found is not None
                and found.aval is result._aval
                and (op.rule != "float" or input._aval.dtype.is_inexact)
            ):
                known[input._aval] = found, evaluator_for(found)
            return result
        kind, evaluate = entry
        token = ERROR_STATE.set(SILENT)
        value = evaluate(input._value)
        ERROR_STATE.reset(token)
        result = Tensor()
        result._value = value
        result._aval = kind.aval
        if tape is None or not input._tracked:
            result._stamp = result._tape = None
            result._row = -1
            result._tracked = False
            return result
        left = input._row if input._stamp is tape.stamp else tape.adopt(input)
        values = tape.values
        result._row = len(values)
        tape.push_kind(kind.number)
        tape.push_left(left)
        tape.push_right(-1)
        values.append(value)
        frame = _getframe(1)
        tape.push_site(user_site(frame) if far else (frame.f_code, frame.f_lasti))
        if kind.is_large:
            tape.account(kind)
        result._tape = tape
        result._stamp = tape.stamp
        result._tracked = True
        if not result._row & 1023:
            seal_if_long(tape)
        return result

    return described(method, op)


def binary_method(op: Op, reflected: bool = False, *, far: bool = False) -> Callable:
    """The method (or reflected method) of a two-operand elementwise op.

    far  whether frames of ours lie between the method and the user's call
    """
    evaluate = EVALUATE[op.code]
    # NumPy's functions take a Python number as it is, ours need one of the array's dtype
    takes_numbers = isinstance(evaluate, np.ufunc)
    known: dict[tuple, Kind] = lookup()  # (aval, aval or number type) -> Kind
    gives_float = op.rule not in ("compare", "predicate", "logical")

    def first_time(x, y):
        operand = as_operand(y)
        if operand is NotImplemented:
            return NotImplemented
        pair = (operand, x) if reflected else (x, operand)
        result = apply(op, pair)
        tensor = isinstance(operand, Tensor)
        dtype = x._aval.dtype
        if tensor:
            plain = operand._aval.dtype is dtype
        else:
            plain = type(operand) in (float, int, complex) and common_dtype(op, pair) is dtype
        is_known = gives_float and result._aval.dtype is dtype and dtype.is_inexact
        if plain and is_known and result._aval.device == CPU:
            avals = tuple(p._aval if isinstance(p, Tensor) else aval((), dtype) for p in pair)
            kind = op.kinds.get(avals)
            if kind is not None:  # else dropped meanwhile
                known[x._aval, operand._aval if tensor else type(operand)] = kind
        return result

    def method(x, y):
        is_tensor = y.__class__ is Tensor
        kind = known.get((x._aval, y._aval if is_tensor else y.__class__))
        tape = state.recording
        if kind is None or (tape is not None and tape.is_trace and _is_slow(kind)):
            return first_time(x, y)
        other = y._value if is_tensor else y if takes_numbers else kind.aval.dtype.dtype.type(y)
        token = ERROR_STATE.set(SILENT)
        try:
            value = evaluate(other, x._value) if reflected else evaluate(x._value, other)
        finally:
            ERROR_STATE.reset(token)
        result = Tensor()
        result._value = value
        result._aval = kind.aval
        if tape is None or not (x._tracked or (is_tensor and y._tracked)):
            result._stamp = result._tape = None
            result._row = -1
            result._tracked = False
            return result
        stamp = tape.stamp
        left = x._row if x._stamp is stamp else tape.adopt(x)
        if is_tensor:
            right = y._row if y._stamp is stamp else place(tape, y)
        else:
            right = tape.constant(y, kind.aval.dtype)
        if reflected:
            left, right = right, left
        values = tape.values
        result._row = len(values)
        tape.push_kind(kind.number)
        tape.push_left(left)
        tape.push_right(right)
        values.append(value)
        frame = _getframe(1)
        tape.push_site(user_site(frame) if far else (frame.f_code, frame.f_lasti))
        if kind.is_large:
            tape.account(kind)
        result._tape = tape
        result._stamp = stamp
        result._tracked = True
        if not result._row & 1023:
            seal_if_long(tape)
        return result

    return described(method, op)


def _is_slow(kind):
    """Whether a trace has more to do for a row: drop its large value, cut its history."""
    return kind.is_large or not state.grad_enabled
