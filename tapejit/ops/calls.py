"""Calls of functions that have a derivative rule of their own, written by the user.

A call leaves one row per result: `call`, whose value is its first operand's, what the function's
body computed, and whose other operands are the arguments.  Back ends see only the first operand
(`decompose`).  A derivative sweep that goes by the rule emits `pullback` or `pushforward` rows in
their place; they stand for running the user's code, and are gone once that was recorded
(`tensor.replaying`).  A sweep that is not told about rules refuses a `call` (`autodiff`).
"""

from __future__ import annotations

from tapejit.dtypes import named
from tapejit.errors import KernelError
from tapejit.families import operation
from tapejit.shapes import aval


def _no_value(*operands, **attrs):
    raise KernelError("a rule of the user's runs in Python, where the derivative is recorded")


def _infer_part(avals, row, part, given, shape, dtype):
    return aval(shape, named(dtype))


call = operation(
    "call",
    "call",
    summary="A result of a function with a rule of its own: the first operand, by the others.",
    infer=lambda avals, number, count: avals[0],
    evaluate=lambda y, *arguments, number, count: y,
    attributes=("number", "count"),
    decompose=lambda y, *arguments, number, count: y,
    complex=True,
    grad_name="FunctionBackward",
)
pullback = operation(
    "pullback",
    "host",
    summary="The cotangent of one argument of a call, as the user's rule gives it.",
    infer=_infer_part,
    evaluate=_no_value,
    attributes=("row", "part", "given", "shape", "dtype"),
    complex=True,
    note="Operands are the cotangents of the results numbered in `given`.",
)
pushforward = operation(
    "pushforward",
    "host",
    summary="The tangent of one result of a call, as the user's rule gives it.",
    infer=_infer_part,
    evaluate=_no_value,
    attributes=("row", "part", "given", "shape", "dtype"),
    complex=True,
    note="Operands are the tangents of the arguments numbered in `given`.",
)
