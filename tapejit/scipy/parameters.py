"""Parameters as their user nests them, and as the one vector of float64 that SciPy works on.

`Parameters(x0)` remembers how x0 is nested and the shape of every leaf; `flat` makes the vector,
`nested` gives it the old form again, of numbers and of tensors alike: views, no copies.  What SciPy
would take as one array (a list of numbers, a list of such lists) is one array here too.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from tapejit.errors import DtypeError, NotDifferentiable, ShapeError
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.recording import state
from tapejit.transforms import trees

# ---------------------------------------------------------------- nested and flat


class Parameters:
    """How parameters are nested."""

    __tapejit_cache__ = True  # it never changes: what reads functions need not look into it

    def __init__(self, tree):
        leaves: list = []
        self.structure = trees.flatten(as_arrays(tree), leaves, static_ints=False)
        self.shapes = tuple([np.shape(plain(leaf)) for leaf in leaves])
        self.is_number = tuple([isinstance(leaf, float | int) for leaf in leaves])
        self.is_tensor = any(isinstance(leaf, Tensor) for leaf in leaves)
        ends = np.cumsum([0, *(math.prod(shape) for shape in self.shapes)]).tolist()
        self.spans = tuple(itertools.pairwise(ends))
        self.size = ends[-1]
        self.key = self.structure, self.shapes, self.is_number, self.is_tensor
        if not leaves:
            raise ShapeError("scipy: there are no parameters\n  try  an array, a number, a dict")

    @property
    def is_vector(self) -> bool:
        """Whether they are one vector, as SciPy has them."""
        return self.structure == trees.LEAF and len(self.shapes[0]) == 1

    def flat(self, tree, what: str = "the parameters") -> np.ndarray:
        """A new vector of numbers nested like the parameters.

        Errors  ShapeError if they are nested or shaped otherwise
        """
        return np.concatenate([np.ravel(x) for x in self.leaves(tree, what)], dtype=np.float64)

    def leaves(self, tree, what: str = "the parameters") -> list[np.ndarray]:
        """The arrays of a tree that is nested like the parameters."""
        leaves: list = []
        structure = trees.flatten(as_arrays(tree), leaves, static_ints=False)
        arrays = [real(settled(leaf), what) for leaf in leaves]
        shapes = tuple([x.shape for x in arrays])
        if structure != self.structure or shapes != self.shapes:
            if self.structure == trees.LEAF == structure and arrays[0].size == self.size:
                return arrays  # SciPy is not particular about (n,) and (n, 1)
            raise ShapeError(
                f"scipy: {what} must be nested and shaped like the parameters\n"
                f"  got        {shapes}\n  parameters {self.shapes}"
            )
        return arrays

    def nested(self, x) -> Any:
        """A vector of numbers, or a tensor, with the form of the parameters."""
        if self.is_vector:
            return x
        values = [
            x[start] if shape == () else x[start:end].reshape(shape)
            for (start, end), shape in zip(self.spans, self.shapes, strict=True)
        ]
        return trees.unflatten(self.structure, values)

    def restored(self, x: np.ndarray) -> Any:
        """A vector of numbers as the caller wrote his parameters: floats, arrays, tensors."""
        if self.is_tensor:
            return self.nested(wrap(x))
        if not any(self.is_number):
            return self.nested(x)
        values = [
            x[start].item() if is_number else x[start:end].reshape(shape)[()]
            for (start, end), shape, is_number in zip(
                self.spans, self.shapes, self.is_number, strict=True
            )
        ]
        return trees.unflatten(self.structure, values)


def as_arrays(tree) -> Any:
    """The tree, with every list or tuple of plain numbers, or of equally long such lists, as the
    array that SciPy takes it for."""
    if type(tree) in (list, tuple):
        if tree and _is_table(tree):
            return np.asarray(tree, dtype=np.float64)
        return type(tree)([as_arrays(x) for x in tree])
    if type(tree) is dict:
        return {name: as_arrays(x) for name, x in tree.items()}
    return tree


def _is_table(tree) -> bool:
    """Whether a list holds numbers, or equally long lists of them."""
    if all(isinstance(x, float | int | np.floating | np.integer) for x in tree):
        return True
    return (
        all(type(x) in (list, tuple) and x and _is_table(x) for x in tree)
        and len({np.shape(x) for x in tree}) == 1
    )


def plain(value):
    """A number or array: a tensor's memory, everything else as it is."""
    return value._value if isinstance(value, Tensor) else value


def settled(value):
    """The same of what a user's function gave, or a user gave, which must have no history.

    Errors  NotDifferentiable: the solver would lose it without a word
    """
    if isinstance(value, Tensor) and value._tracked and state.grad_enabled:
        raise NotDifferentiable(
            "scipy: a tensor that requires grad is read by a function, or is a setting, of a call "
            "that is not being differentiated by its arguments\n"
            "  try  it among args, or with tj.no_grad() if it is data"
        )
    return plain(value)


def real(value, what: str) -> np.ndarray:
    """An array of floats.

    Errors  DtypeError for complex numbers and objects
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DtypeError(
            f"scipy: {what} must be real numbers\n  got  dtype {array.dtype}\n"
            "  try  real and imaginary part as two parameters"
        )
    return array.astype(np.float64)
