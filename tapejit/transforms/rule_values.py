"""What goes into a user's derivative rule and what comes out: nested values, taken apart.

A rule speaks the language of its function: nested arguments, nested results, tangents nested as
those.  What is recorded is flat: the tensors that a derivative goes through.  `CallArguments` and
`CallResults` remember how they were nested, `Kept` holds what a rule needs later, and `fitted_to`
brings a rule's answers to the dtypes they must have.

Start at `CallArguments`.  Which rule runs, and when, is custom_rules.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapejit.errors import AutogradError, ShapeError, TraceError
from tapejit.runtime.devices import filled
from tapejit.tensor.calls import FREED, Saved, fitted, rows_of, zeros_like
from tapejit.tensor.core import Tensor, as_operand, wrap
from tapejit.transforms import trees

# ---------------------------------------------------------------- arguments


class CallArguments:
    """The arguments of a call, taken apart: tensors of a derivative, and all the rest."""

    def __init__(self, owner, args: tuple):
        n = len(args)
        self.owner = owner
        self.fixed = {i % n for i in owner.nondiff_argnums if -n <= i < n}
        self.args = args
        leaves: list = []
        self.structures = []
        self.spans = []
        for i, arg in enumerate(args):
            start = len(leaves)
            if i in self.fixed:
                self.check_fixed(i, arg)
                continue
            self.structures.append(trees.flatten(arg, leaves))
            self.spans.append((start, len(leaves)))
        self.leaves = leaves
        self.places = [
            i
            for i, x in enumerate(leaves)
            if isinstance(x, Tensor) and x._tracked and x._aval.dtype.is_inexact
        ]
        self.tensors = [leaves[i] for i in self.places]
        self.avals = [x._aval for x in self.tensors]

    def check_fixed(self, i, arg):
        leaves: list = []
        try:
            trees.flatten(arg, leaves)
        except TraceError:
            return  # any object may be one
        if any(isinstance(x, Tensor) and x._tracked for x in leaves):
            raise TraceError(
                f"{self.owner!r}: argument {i} is among nondiff_argnums, and a derivative is being "
                "taken by what it is made of\n  try  it as an ordinary argument, with None as its "
                "cotangent"
            )

    def nested(self, tensors: Sequence) -> list:
        """The differentiable arguments with these tensors in place."""
        leaves = list(self.leaves)
        for i, x in zip(self.places, tensors, strict=True):
            leaves[i] = x
        return self.built(leaves)

    def built(self, leaves: Sequence) -> list:
        """The differentiable arguments with these leaves."""
        spans = zip(self.structures, self.spans, strict=True)
        return [trees.unflatten(structure, leaves[a:b]) for structure, (a, b) in spans]

    def all(self, tensors: Sequence) -> list:
        """All arguments with these tensors in place."""
        parts = iter(self.nested(tensors))
        return [x if i in self.fixed else next(parts) for i, x in enumerate(self.args)]

    def let_go(self):
        """Forget the tensors: this is kept beside the tape, which they hold."""
        self.tensors = []
        self.leaves = [None if i in self.places else x for i, x in enumerate(self.leaves)]
        self.args = tuple([x if i in self.fixed else None for i, x in enumerate(self.args)])

    @property
    def static(self) -> list:
        """The arguments named by nondiff_argnums."""
        return [x for i, x in enumerate(self.args) if i in self.fixed]

    def of_tree(self, answers: Sequence) -> list:
        """Per tensor what `answers`, nested as the differentiable arguments, has for it."""
        found: list = []
        for i, (structure, answer) in enumerate(zip(self.structures, answers, strict=True)):
            found += matched(self.owner, structure, answer, f"argument {i}")
        return [found[i] for i in self.places]

    def nested_tangents(self, tensors: Sequence) -> list:
        """Tangents of the differentiable arguments: zeros for what is no tensor of a derivative."""
        leaves: list = [_zero_of(x) for x in self.leaves]
        for i, x in zip(self.places, tensors, strict=True):
            leaves[i] = x
        return self.built(leaves)


def _zero_of(x):
    """A zero tangent of an argument leaf that no derivative is taken by."""
    if isinstance(x, Tensor):
        return zeros_like(x._aval)
    return 0.0 if isinstance(x, float) else np.zeros(np.shape(x), getattr(x, "dtype", None))[()]


# ---------------------------------------------------------------- results


class CallResults:
    """What a function returned, taken apart: tensors with a derivative, and all the rest."""

    def __init__(self, value):
        leaves: list = []
        self.structure = trees.flatten(value, leaves)
        self.leaves: list[Any] = [_as_tensor(x) for x in leaves]
        self.places = [i for i, x in enumerate(self.leaves) if x._aval.dtype.is_inexact]
        self.tensors = [self.leaves[i] for i in self.places]
        self.avals = [x._aval for x in self.tensors]
        self.others = {i: x._aval for i, x in enumerate(self.leaves) if i not in self.places}

    def nested(self, tensors: Sequence):
        """The result with these tensors in place."""
        return self.filled(tensors, self.leaves)

    def nested_cotangents(self, tensors: Sequence):
        """Cotangents nested as the result; zeros where there is none."""
        given = [
            zeros_like(a) if x is None else x for a, x in zip(self.avals, tensors, strict=True)
        ]
        return self.filled(given, {i: zeros_like(a) for i, a in self.others.items()})

    def filled(self, tensors, others):
        n = len(self.avals) + len(self.others)
        at = dict(zip(self.places, tensors, strict=True))
        return trees.unflatten(self.structure, [at[i] if i in at else others[i] for i in range(n)])

    def let_go(self):
        """Forget the tensors: this is kept beside the tape, which they hold."""
        self.tensors = []
        self.leaves = []


# ---------------------------------------------------------------- residuals


class Kept:
    """Anything nested, with its tensors kept for a rule."""

    def __init__(self, value, recording):
        leaves: list = []
        try:
            self.structure = trees.flatten(value, leaves)
        except TraceError:  # an object of the user's own
            self.structure, leaves = trees.LEAF, [value]
        self.leaves: Any = [Saved(x, recording) if isinstance(x, Tensor) else x for x in leaves]
        self.rows = rows_of(self.leaves)

    def get(self, recording):
        """The same with its tensors."""
        if self.leaves is None:
            raise AutogradError(FREED)
        leaves = [x.get(recording) if isinstance(x, Saved) else x for x in self.leaves]
        return trees.unflatten(self.structure, leaves)

    def free(self):
        """Let the tensors go, after a backward."""
        self.leaves = None


# ---------------------------------------------------------------- what rules return


def matched(owner, structure, answer, what) -> list:
    """The leaves of an answer that is nested as a structure; None stands for none of them."""
    if isinstance(structure, trees.Static):
        return []
    if structure == trees.LEAF:
        return [answer]
    children = structure.children
    parts = [None] * len(children) if answer is None else _children(structure, answer)
    if len(parts) != len(children):
        raise TypeError(
            f"{owner!r}: the rule's answer for {what} is nested differently from that\n"
            f"  got  {answer!r}"
        )
    return [
        leaf
        for part, child in zip(parts, children, strict=True)
        for leaf in matched(owner, child, part, what)
    ]


def _children(node, answer):
    """What a container holds, in the order of a structure of its kind; [] if it is no such."""
    if isinstance(answer, dict):
        return [answer[name] for name in node.names if name in answer]
    if isinstance(answer, tuple | list):
        return list(answer)
    return [getattr(answer, name) for name in node.names if hasattr(answer, name)]


def fitted_to(owner, who, answers, avals):
    """Answers of a rule in the dtypes that they must have; None stays None."""
    return [
        _fitted_one(owner, f"{who} for tensor {i}", answer, target)
        for i, (answer, target) in enumerate(zip(answers, avals, strict=True))
    ]


def _fitted_one(owner, which, answer, target):
    if answer is None:
        return None
    if type(answer) in (int, float, complex):  # equal elements
        return wrap(filled(target, answer), target.dtype)
    answer = _as_tensor(answer)
    if not isinstance(answer, Tensor):
        raise TypeError(
            f"{owner!r}: what {which} gives is no tensor, array or number\n"
            f"  got  {type(answer).__name__}"
        )
    if answer._aval.shape != target.shape:
        raise ShapeError(
            f"{owner!r}: what {which} gives must have the shape of that\n"
            f"  got  {answer._aval} for {target}"
        )
    return fitted(answer, target, str)


def check_alike(owner, results: CallResults, again: CallResults) -> None:
    """Raise unless the rule's result is nested and shaped as the function's."""
    if (results.structure, results.avals) != (again.structure, again.avals):
        raise ShapeError(
            f"{owner!r}: the rule's result differs from the function's\n"
            f"  function  {results.avals} in {results.structure}\n"
            f"  rule      {again.avals} in {again.structure}"
        )


def _as_tensor(x) -> Any:
    """A leaf of a rule's answer as a tensor."""
    if x is None or isinstance(x, Tensor):
        return x
    if isinstance(x, bool | int | float | complex | np.ndarray | np.generic):
        operand = as_operand(np.asarray(x)[()] if isinstance(x, np.ndarray) else x)
        return operand if isinstance(operand, Tensor) else wrap(np.asarray(operand)[()])
    return x
