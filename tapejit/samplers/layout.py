"""Nested parameters as one flat vector of unconstrained numbers, and back.

The one idea: a `Layout` is read once from an example of the parameters and says which piece of the
vector is which parameter, in which shape, under which constraint.  The same method serves while the
density is recorded (one vector) and for the draws (chains and draws in front).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tapejit.errors import ArgumentError, DtypeError
from tapejit.samplers.constraints import Constraint, real
from tapejit.transforms import trees


class Piece(NamedTuple):
    """One parameter."""

    name: str
    shape: tuple[int, ...]
    constraint: Constraint
    free_shape: tuple[int, ...]
    start: int
    stop: int


class Layout:
    """How nested parameters lie in a vector."""

    def __init__(self, example, constraints=None):
        leaves: list[tuple[str, np.ndarray, Constraint]] = []
        _collect(example, constraints, "", leaves)
        self.structure = trees.flatten(_with_arrays(example), [])
        self.pieces: list[Piece] = []
        start = 0
        for name, value, constraint in leaves:
            free_shape = constraint.free_shape(value.shape)
            stop = start + int(np.prod(free_shape))
            self.pieces.append(Piece(name, value.shape, constraint, free_shape, start, stop))
            start = stop
        self.size = start
        if not self.size:
            raise ArgumentError("samplers: the parameters hold no number")
        self.example = self._free(leaves)

    def _free(self, leaves) -> np.ndarray:
        """The example as a vector."""
        x = np.empty(self.size)
        for piece, (name, value, _) in zip(self.pieces, leaves, strict=True):
            with np.errstate(all="ignore"):
                free = piece.constraint.free(value)
            if not np.all(np.isfinite(free)):
                raise ArgumentError(
                    f"samplers: the initial value of {name} is not inside its constraint, "
                    f"{piece.constraint}\n  got  {value}"
                )
            x[piece.start : piece.stop] = free.ravel()
        return x

    def constrain(self, x) -> tuple[Any, Any]:
        """The nested parameters of one vector, and the log determinant."""
        values, total = [], 0.0
        for piece in self.pieces:
            free = x[piece.start : piece.stop].reshape(piece.free_shape)
            value, log_determinant = piece.constraint.constrain(free)
            values.append(value)
            total = total + log_determinant
        return trees.unflatten(self.structure, values), total

    def expand(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """Draws (..., size) as parameters by name, each (..., *shape)."""
        batch = draws.shape[:-1]
        with np.errstate(over="ignore"):
            return {
                piece.name: piece.constraint.constrain(
                    draws[..., piece.start : piece.stop].reshape(*batch, *piece.free_shape)
                )[0]
                for piece in self.pieces
            }

    def nest(self, by_name: Mapping[str, np.ndarray]):
        """Arrays by name, nested as the parameters are."""
        return trees.unflatten(self.structure, [by_name[piece.name] for piece in self.pieces])


def _with_arrays(tree):
    """The same containers, with arrays for all numbers."""
    if isinstance(tree, Mapping):
        return {key: _with_arrays(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        values = [_with_arrays(value) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return np.asarray(tree, float)


def _collect(tree, constraints, name, leaves) -> None:
    """Append name, value and constraint of every leaf, in the order of `trees.flatten`."""
    children = _children(tree)
    if children is None:
        leaves.append((name or "x", _value(tree, name), _leaf_constraint(constraints, name)))
        return
    if constraints is None or isinstance(constraints, Constraint):  # one for all that is in there
        inner = dict.fromkeys(children, constraints)
    else:
        inner = _children(constraints) or {}
        _check_keys(children, inner, name)
    for key, value in children.items():
        _collect(value, inner.get(key), f"{name}.{key}" if name else str(key), leaves)


def _children(tree) -> dict | None:
    """What is in a container; None for a leaf."""
    if isinstance(tree, Mapping):
        return dict(tree)
    return dict(enumerate(tree)) if isinstance(tree, tuple | list) else None


def _leaf_constraint(constraint, name) -> Constraint:
    if constraint is None:
        return real
    if isinstance(constraint, Constraint):
        return constraint
    raise ArgumentError(
        f"samplers: the constraint of {name or 'the parameters'} is no constraint\n"
        f"  got  {constraint!r}\n"
        "  try  positive, interval(low, high), simplex or ordered of tapejit.samplers"
    )


def _check_keys(children, constraints, name):
    """Raise unless the constraints name only parameters."""
    where = f" in {name}" if name else ""
    for key in constraints:
        if key not in children:
            raise ArgumentError(
                f"samplers: constraints name {key!r}, which is no parameter{where}\n"
                f"  got  {', '.join(map(repr, children))}"
            )


def _value(leaf, name) -> np.ndarray:
    """A leaf as float64."""
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiu":
        raise DtypeError(
            f"samplers: parameter {name or 'x'} must hold real numbers, got {array.dtype}"
        )
    return array.astype(np.float64)
