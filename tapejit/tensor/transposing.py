"""Linear rules turned round: a tangent rule from a cotangent rule, and the reverse.

A rule that maps cotangents of results to cotangents of arguments is linear; run on cotangents of
zero that are recorded, its derivative by them maps tangents of arguments to those of results.
That is the whole trick, and whether the rule was linear shows: its derivative would depend on the
cotangents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.runtime.devices import on_host
from tapejit.shapes import Aval
from tapejit.tensor import backward as engine
from tapejit.tensor.calls import Level, Saved, rows_of, zeros_like
from tapejit.tensor.core import Tensor
from tapejit.tensor.modes import enable_grad
from tapejit.tensor.recording import Recording


def transposed(
    name: str, rule: Callable[[list], list], given: Sequence, avals: Sequence[Aval]
) -> list[Tensor | None]:
    """What the transpose of a linear rule gives: one tensor or None per Aval of its inputs.

    rule   a list of tensors of these avals -> a list of tensors or None
    given  per result of the rule a tensor of its shape, or None
    name   of the user's function, for messages
    Errors NotDifferentiable if the rule is not linear
    """
    with enable_grad():
        return Linear(name, rule, avals).transpose(given)


class Linear:
    """A linear rule, recorded once.

    is_trusted  whether it is known to be linear
    """

    def __init__(
        self,
        name: str,
        rule: Callable[[list], list],
        avals: Sequence[Aval],
        is_trusted: bool = False,
    ):
        self.name = name
        self.is_trusted = is_trusted
        self.inputs = [zeros_like(x, tracked=True) for x in avals]
        self.results: list[Any]
        with Level(self.inputs) as self.level:
            self.results = rule(list(self.inputs))
        if not is_trusted and not all(_is_zero(x) for x in self.results):
            self.refuse("it gives more than zeros for zeros")

    def keep(self, recording: Recording) -> tuple[int, ...]:
        """Hold what was recorded by its rows, which are returned: to be kept beside the tape."""
        self.results = [x if x is None else Saved(x, recording) for x in self.results]
        return rows_of(self.results)

    def transpose(self, given: Sequence, recording: Recording | None = None) -> list[Tensor | None]:
        """One tensor or None per input of the rule, for one per result.

        recording  where the results are, if they are kept
        """
        results = [x.get(recording) if isinstance(x, Saved) else x for x in self.results]
        pairs = [
            (x, g)
            for x, g in zip(results, given, strict=True)
            if x is not None and g is not None and self.level.depends(x)
        ]
        if not pairs:
            return [None] * len(self.inputs)
        answers = engine.gradients_of(
            [x for x, _ in pairs], self.inputs, [g for _, g in pairs],
            retain_graph=True, create_graph=True, level=self.level,
        )  # fmt: skip
        if not self.is_trusted and any(x is not None and self.level.decides(x) for x in answers):
            self.refuse("its derivative by what it is given depends on that")
        return answers

    def refuse(self, why):
        """Raise NotDifferentiable."""
        raise NotDifferentiable(
            f"{self.name}: its rule is not linear, and has no transpose: {why}\n"
            "  try  reverse mode (grad, vjp) of a custom_vjp or Function, or a rule for tangents "
            "(custom_jvp, Function.jvp) of its own"
        )


def _is_zero(x) -> bool:
    """Whether all elements are zero, or not numbers: 0 times inf."""
    if x is None:
        return True
    value = on_host(x._value)
    return not np.any(np.isfinite(value) & (value != 0))
