"""Straight-line scalar code: a list of steps, run on whole tensors.

Node 0 ... n-1 are the arguments, then one node per step.  A step holds the function of tensors
that does it, so running the list is calling one after the other; under a trace each leaves rows
like any user's code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tapejit.dtypes import DType
from tapejit.registry import OPS
from tapejit.tensor.core import apply, lift

MOST_STEPS = 4000
"""Of one function, loops unrolled: a second to record."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value that is known only when the function is called."""

    number: int
    is_truth: bool = False
    """Whether it is a comparison's."""


class Step(NamedTuple):
    """A function of earlier nodes and of numbers."""

    function: Callable
    operands: tuple


class Lowered(NamedTuple):
    """A scalar function as steps."""

    steps: tuple[Step, ...]
    results: tuple
    """Nodes or numbers."""
    is_tuple: bool
    """Whether the function returns a tuple."""

    def run(self, arguments: Sequence, dtype: DType) -> list:
        """The results for tensors of this dtype, and numbers: tensors or numbers."""
        values: list[Any] = list(arguments)

        def value(x):
            return values[x.number] if x.__class__ is Node else x

        for function, operands in self.steps:
            if function is choose:
                values.append(choose(dtype, *map(value, operands)))
            else:
                values.append(function(*map(value, operands)))
        return [value(x) for x in self.results]


def choose(dtype: DType, condition, then, other):
    """`then if condition else other`; a number has the arguments' dtype, not the default one."""
    return apply(OPS["where"], (condition, lift(then, dtype), lift(other, dtype)))


class Steps:
    """Steps that are being written; equal ones are written once."""

    def __init__(self, count: int):
        self.count = count
        self.steps: list[Step] = []
        self.known: dict[tuple, Node] = {}

    def add(self, function: Callable, *operands, is_truth: bool = False) -> Node:
        """The node of a step."""
        key = (function, *map(repr, operands))  # repr tells 1 from 1.0, 0.0 from -0.0
        if key not in self.known:
            self.known[key] = Node(self.count + len(self.steps), is_truth)
            self.steps.append(Step(function, operands))
        return self.known[key]
