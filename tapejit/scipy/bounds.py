"""Bounds in SciPy's own forms, or nested like the parameters that they bound.

SciPy's forms go through as they are.  Nested ones have, in place of every leaf, its two ends (each
None, a number, or an array of the leaf's shape), a scipy.optimize.Bounds, or, of a vector, a list
of pairs, one per element; None, or a key that is missing, leaves what is below unbounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import ShapeError
from tapejit.scipy.lazy import optimize
from tapejit.scipy.parameters import Parameters, as_arrays
from tapejit.transforms import trees


def pairs_of(parameters: Parameters, bounds) -> Any:
    """Bounds of `minimize` as SciPy takes them: a Bounds, or one pair for each element."""
    if bounds is None or isinstance(bounds, optimize().Bounds | np.ndarray) or parameters.is_vector:
        return bounds
    if _is_named(parameters.structure) and type(bounds) in (list, tuple):
        return bounds
    return optimize().Bounds(*_ends_of(parameters, bounds))


def _is_named(structure) -> bool:
    """Whether parameters have names, so that a list cannot be nested like them."""
    return isinstance(structure, trees.Node) and bool(structure.names)


def box_of(parameters: Parameters, bounds) -> Any:
    """Bounds of `least_squares` and `curve_fit` as SciPy takes them: (lower, upper) or a Bounds.

    Each end may be nested like the parameters; a dict is read as `pairs_of` reads it.
    """
    if isinstance(bounds, optimize().Bounds) or parameters.is_vector:
        return bounds
    if isinstance(bounds, dict):
        return _ends_of(parameters, bounds)
    lower, upper = (as_arrays(end) for end in bounds)
    return _end_of(parameters, lower, -np.inf), _end_of(parameters, upper, np.inf)


def _ends_of(parameters, bounds) -> tuple[np.ndarray, np.ndarray]:
    ends = _spread(parameters, bounds, _ends_of_leaf)
    return np.concatenate([low for low, _ in ends]), np.concatenate([high for _, high in ends])


def _end_of(parameters, end, missing):
    """One end of a box: a number or a vector as it is, else one that is nested."""
    if isinstance(end, float | int | np.generic):
        return end
    if isinstance(end, np.ndarray) and end.shape == (parameters.size,):
        return end
    parts = _spread(parameters, end, lambda x, shape: _filled(x, shape, missing))
    return np.concatenate(parts)


# ---------------------------------------------------------------- one leaf


def _ends_of_leaf(bounds, shape) -> tuple[np.ndarray, np.ndarray]:
    """(lower, upper) of the elements of a leaf."""
    if bounds is None:
        bounds = None, None
    elif isinstance(bounds, optimize().Bounds):
        bounds = bounds.lb, bounds.ub
    elif shape in ((), (len(bounds),)) and _are_pairs(bounds):
        bounds = zip(*bounds, strict=True)
    lower, upper = bounds
    return _filled(lower, shape, -np.inf), _filled(upper, shape, np.inf)


def _are_pairs(bounds) -> bool:
    """Whether there is a pair per element; two arrays are the ends of a vector of two."""
    if isinstance(bounds, np.ndarray):
        return bounds.ndim == 2
    return all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in bounds)


def _filled(end, shape, missing) -> np.ndarray:
    """An end for every element of a leaf; None is none."""
    if end is None or isinstance(end, list | tuple):
        end = np.array(missing if end is None else [missing if v is None else v for v in end])
    end = np.asarray(end, np.float64)
    return np.broadcast_to(end if shape else end.reshape(()), shape).ravel()


# ---------------------------------------------------------------- all leaves


def _spread(parameters: Parameters, tree, of_leaf: Callable) -> list:
    """of_leaf(part of the tree, shape) for every leaf of the parameters.

    Errors  ShapeError, naming the part that does not fit
    """
    shapes, found = iter(parameters.shapes), []

    def walk(structure, part, where):
        if structure == trees.LEAF:
            shape = next(shapes)
            try:
                found.append(of_leaf(part, shape))
            except (TypeError, ValueError):
                raise ShapeError(
                    f"scipy: {where} fits no parameter of shape {shape}\n  got  {part!r}\n"
                    "  try  (low, high), each None, a number or an array of that shape"
                ) from None
        elif not isinstance(structure, trees.Static):
            names = structure.names or range(len(structure.children))
            _check_names(part, names, where)
            for name, child in zip(names, structure.children, strict=True):
                walk(child, _part(part, name), f"{where}[{name!r}]")

    walk(parameters.structure, tree, "bounds")
    return found


def _check_names(part, names, where):
    unknown = [name for name in part if name not in names] if isinstance(part, dict) else []
    if unknown:
        raise ShapeError(f"scipy: {where} names no parameter: {unknown}\n  try  {list(names)}")
    if isinstance(part, list | tuple) and len(part) != len(names):
        raise ShapeError(f"scipy: {where} has {len(part)} entries for {len(names)} parameters")


def _part(tree, name):
    if tree is None:
        return None
    if isinstance(tree, dict):
        return tree.get(name)
    return getattr(tree, name) if isinstance(name, str) else tree[name]


# ---------------------------------------------------------------- at a solution


def at_bounds(bounds, x: np.ndarray) -> Callable:
    """Which parameters of a minimum a bound holds, by the gradient there.

    bounds  a Bounds, or pairs where None is no end
    """
    if isinstance(bounds, optimize().Bounds):
        low, high = bounds.lb, bounds.ub
    else:
        low = [-np.inf if a is None else a for a, _ in bounds]
        high = [np.inf if b is None else b for _, b in bounds]
    low, high = (np.broadcast_to(np.asarray(end, np.float64), x.shape) for end in (low, high))
    near = 1e-6 * (1 + np.abs(x))
    return lambda g: ((x - low <= near) & (g > 0)) | ((high - x <= near) & (g < 0))
