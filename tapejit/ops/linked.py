"""Own functions of numbers that only Numba can run: one row, a node of kernels where they can call
it (`function.node`), else a loop that Numba compiled."""

from __future__ import annotations

from tapejit.families import broadcast_alike, operation
from tapejit.registry import Probe, Refused


def _no_slopes(*operands, function):
    return tuple([Refused(function.why)] * (len(operands) - 1))


linked = operation(
    "linked",
    "library",
    summary="A function of the user's own, element by element, as Numba compiled it.",
    infer=lambda avals, function: broadcast_alike(function.name)(avals),
    evaluate=lambda *operands, function: function.evaluate(*operands),
    attributes=("function",),
    partials=_no_slopes,
    rule="float",
    grad_name="ElementwiseBackward",
    probe=Probe(attrs=()),
)
