"""`out=`: the arrays that an answer's arrays are written into.

    gradient = np.empty(10)
    value, same = tj.value_and_grad(f)(x, out=gradient)        # same is gradient
    g, h = tj.grad(f, argnums=(0, 1))(x, y, out=(a, b))        # a tuple: in the order of the answer

One array, or a tuple of as many as the answer holds; numbers are returned as always.  Whatever is
wrong with them is said before any is written.  They may overlap what goes in (the answer is then
computed first and copied), but not one another.  A function with a parameter of its own called
`out`, or with any keywords, keeps it: that is the function's argument then.

`Out` is one call's.  Where nothing stands against it, kernels write into the arrays themselves:
`entering` does that.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, DtypeError, ShapeError
from tapejit.tensor.core import Tensor
from tapejit.transforms import trees


class Out:
    """The arrays of one call."""

    __slots__ = ("arrays", "container", "place")

    def __init__(self, given, place: int = 0):
        self.container = type(given) if isinstance(given, tuple | list) else None
        self.arrays: tuple[Any, ...] = (given,) if self.container is None else tuple(given)
        self.place = place
        """Which of the call's keywords it was."""

    @property
    def form(self) -> tuple:
        """What a native record of such a call depends on."""
        return self.place, self.container

    def fill(self, answer):
        """The answer with its arrays written into these."""
        leaves: list = []
        structure = trees.flatten(answer, leaves)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, np.ndarray)]
        self.check([leaves[i] for i in places], leaves)
        for i, array in zip(places, self.arrays, strict=True):
            array[...] = leaves[i]
            leaves[i] = array
        return trees.unflatten(structure, leaves)

    def check(self, answers: Sequence[np.ndarray], leaves: list) -> None:
        """Raise unless these arrays can take the answer's."""
        if any(isinstance(leaf, Tensor) for leaf in leaves):
            raise DtypeError("out: a call with tensors answers with tensors\n  try  NumPy arrays")
        if len(self.arrays) != len(answers):
            shapes = ", ".join(str(x.shape) for x in answers)
            raise ArgumentError(
                f"out: {_count(len(self.arrays))} for an answer of {_count(len(answers))}"
                f"\n  answer  {shapes or 'numbers only, which are returned as always'}"
            )
        for i, (array, answer) in enumerate(zip(self.arrays, answers, strict=True)):
            _check_array(array, answer, f"out[{i}]" if self.container else "out")
        for i, array in enumerate(self.arrays):
            if any(np.shares_memory(array, other) for other in self.arrays[:i]):
                raise ArgumentError(
                    f"out[{i}]: it overlaps an array before it\n  try  arrays of their own memory"
                )


def _count(n: int) -> str:
    return "1 array" if n == 1 else f"{n} arrays"


def _check_array(array, answer, name):
    if not isinstance(array, np.ndarray):
        raise DtypeError(
            f"{name}: no NumPy array\n  got  {type(array).__name__}\n"
            f"  try  np.empty({answer.shape}, np.{answer.dtype})"
        )
    if array.dtype != answer.dtype:
        raise DtypeError(
            f"{name}: its dtype is not the answer's\n  got     {array.dtype}\n"
            f"  answer  {answer.dtype}"
        )
    if array.shape != answer.shape:
        raise ShapeError(
            f"{name}: its shape is not the answer's\n  got     {array.shape}\n"
            f"  answer  {answer.shape}"
        )
    if not array.flags.writeable:
        raise ArgumentError(f"{name}: it is read-only\n  try  a copy of it")
    if any(n > 1 and stride == 0 for n, stride in zip(array.shape, array.strides, strict=True)):
        raise ArgumentError(f"{name}: its elements overlap\n  try  a copy of it")


# ---------------------------------------------------------------- whose keyword it is


def taker(function: Callable) -> Callable[[dict], Out | None]:
    """What removes `out` from a call's keywords if it is ours; None where it is not, or is None."""

    @functools.cache  # reading a signature takes 7 us
    def is_ours():
        return not _takes_out(function)

    def take(kwargs):
        if "out" not in kwargs or not is_ours():
            return None
        place = list(kwargs).index("out")
        given = kwargs.pop("out")
        return None if given is None else Out(given, place)

    return take


def _takes_out(function: Callable) -> bool:
    """Whether the function has a use for `out` itself, or may have."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not say what it takes
        return True
    return any(p.name == "out" or p.kind is p.VAR_KEYWORD for p in parameters)
