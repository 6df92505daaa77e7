"""Padding, in PyTorch's and in NumPy's convention.

`picked` is the one idea: a padded axis is a list of places of the old one, and a list of places is
cut into runs (slices forwards, slices backwards, one place repeated) that are joined.  So padding
is slices and cat, which the scheduler knows, and nothing is gathered.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axis
from tapejit.tensor.core import Tensor, apply, data_beside, number_as
from tapejit.tensor.front import FOR_NUMPY, named
from tapejit.tensor.joining import cat
from tapejit.tensor.repeating import expand
from tapejit.tensor.shaping import owned

MOST_RUNS = 16
"""Runs of places that are worth a slice each; of more, the places are gathered."""

# ---------------------------------------------------------------- places along an axis


def picked(x: Tensor, axis: int, places: np.ndarray) -> Tensor:
    """x[..., places, ...] for places known beforehand."""
    runs = _runs(places)
    if len(runs) > MOST_RUNS:
        return x[(slice(None),) * axis + (data_beside(x, places),)]
    if not runs:
        return _run(x, axis, 0, 0, 1)
    parts = [_run(x, axis, *run) for run in runs]
    return cat(parts, axis) if len(parts) > 1 else owned(parts[0], x)


def _run(x, axis, start, length, step):
    shape = x._aval.shape
    starts = tuple(start if a == axis else 0 for a in range(len(shape)))
    lengths = (*shape[:axis], length if step else 1, *shape[axis + 1 :])
    steps = tuple(step or 1 if a == axis else 1 for a in range(len(shape)))
    part = apply(OPS["slice"], (x,), (starts, lengths, steps))
    return part if step else expand(part, (*shape[:axis], length, *shape[axis + 1 :]))


def _runs(places) -> list[tuple[int, int, int]]:
    """(start, length, step) of the longest pieces with a constant step of -1, 0 or 1."""
    runs, begin, n = [], 0, len(places)
    while begin < n:
        end = begin + 1
        step = int(places[end] - places[begin]) if end < n else 1
        if abs(step) > 1:
            step = 1
        while end < n and places[end] - places[end - 1] == step:
            end += 1
        runs.append((int(places[begin]), end - begin, step))
        begin = end
    return runs


# ---------------------------------------------------------------- constants


def _constant(x: Tensor, widths, value) -> Tensor:
    """Axes made longer with a number (one per axis and side), or shorter where negative."""
    shape = x._aval.shape
    low = [max(-before, 0) for before, _ in widths]
    kept = tuple(
        n + min(before, 0) + min(after, 0) for n, (before, after) in zip(shape, widths, strict=True)
    )
    whole = tuple(n + before + after for n, (before, after) in zip(shape, widths, strict=True))
    ones = (1,) * len(shape)
    part = x if kept == shape else apply(OPS["slice"], (x,), (tuple(low), kept, ones))
    starts = tuple(max(before, 0) for before, _ in widths)
    if isinstance(value, int | float) and not value:
        return apply(OPS["unslice"], (part,), (whole, starts, ones))
    if not isinstance(value, Tensor):
        value = data_beside(x, number_as(value, x._aval.dtype))
    return apply(OPS["replace"], (expand(value, whole), part), (starts, ones))


# ---------------------------------------------------------------- PyTorch's

_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input, pad, mode="constant", value=None) -> Tensor:
    """Axes made longer: two numbers, before and after, for each axis from the last one on.

    mode  "constant" (with `value`), "reflect", "replicate", "circular"; negative numbers cut

    >>> import tapejit as tj
    >>> x = tj.tensor([[1.0, 2.0, 3.0]])
    >>> tj.nn.functional.pad(x, (1, 2))
    tensor([[0., 1., 2., 3., 0., 0.]])
    >>> tj.nn.functional.pad(x, (2, 1), mode="reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    widths = [int(n) for n in pad]
    ndim, shape = input._aval.ndim, input._aval.shape
    if len(widths) % 2 or len(widths) > 2 * ndim:
        raise ShapeError(
            "Padding length must be divisible by 2 and at most twice the number of dimensions of "
            f"the input: {len(widths)} numbers for {ndim} dimensions"
        )
    pairs = list(zip(widths[::2], widths[1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (ndim - len(pairs)) + pairs
    for axis, (before, after) in enumerate(pairs):
        if shape[axis] + before + after < 0:
            raise ShapeError(
                f"The input size {shape[axis]}, plus negative padding {before} and {after} "
                "resulted in a negative output size, which is invalid. Check dimension "
                f"{axis} of your input."
            )
    if mode == "constant":
        return named(
            _constant(input, pairs, 0 if value is None else value), "ConstantPadNdBackward0"
        )
    if mode not in _MODES:
        raise DtypeError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise ArgumentError(f'Padding mode "{mode}" doesn\'t take in value argument')
    _check_width(mode, ndim, len(widths))
    for axis in range(ndim - len(widths) // 2, ndim):
        before, after = pairs[axis]
        input = _padded(input, axis, before, after, mode)
    return input


def _check_width(mode, ndim, n_widths):
    spatial = n_widths // 2
    if spatial not in (1, 2, 3) or ndim not in (spatial + 1, spatial + 2):
        raise DtypeError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now, of the "
            f"last 1, 2 or 3 of 2 to 5 dimensions: got {ndim} dimensions and {n_widths} numbers\n"
            f"  try  input.unsqueeze(0), or np.pad(input, ..., mode={_MODES[mode]!r})"
        )


def _padded(x, axis, before, after, mode):
    n = x._aval.shape[axis]
    longest = max(before, after)
    if mode == "reflect" and longest >= n:
        raise ShapeError(
            "Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {axis} of input {list(x._aval.shape)}"
        )
    if mode == "circular" and longest > n:
        raise ShapeError("Padding value causes wrapping around more than once.")
    places = np.pad(np.arange(n), (max(before, 0), max(after, 0)), _MODES[mode])  # type: ignore
    places = places[max(-before, 0) : len(places) - max(-after, 0)]
    name = {"reflect": "Reflection", "replicate": "Replication"}.get(mode)
    result = picked(x, axis, places)
    return named(result, f"{name}Pad1DBackward0") if name else result


# ---------------------------------------------------------------- NumPy's


def _numpy_pad(array, pad_width, mode="constant", constant_values=0, reflect_type="even"):
    """np.pad: pairs (before, after) for each axis."""
    widths = _pairs(pad_width, array._aval.ndim, "pad_width")
    if np.min(widths, initial=0) < 0:
        raise ArgumentError("index can't contain negative values")
    widths = [(int(before), int(after)) for before, after in widths]
    if mode == "constant":
        return _numpy_constant(array, widths, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type == "odd":
        raise ArgumentError(
            f"np.pad of a tensor: mode {mode!r} with reflect_type {reflect_type!r} has no rule\n"
            "  try  constant, edge, reflect, symmetric or wrap"
        )
    for axis, width in enumerate(widths):
        if width != (0, 0):
            places: Any = np.pad(np.arange(array._aval.shape[axis]), width, mode)  # type: ignore
            array = picked(array, axis, places)
    return array


def _pairs(given, ndim, what):
    if isinstance(given, dict):
        pairs = [(0, 0)] * ndim
        for axis, pair in given.items():
            pairs[normalize_axis(what, axis, ndim)] = tuple(np.broadcast_to(pair, 2))
        return pairs
    return np.broadcast_to(np.asarray(given), (ndim, 2)).tolist()


def _numpy_constant(array, widths, values):
    if isinstance(values, Tensor):
        pairs = [
            [expand(values, (array._aval.ndim, 2))[a, i] for i in (0, 1)] for a in range(array.ndim)
        ]
    else:
        pairs = _pairs(values, array._aval.ndim, "constant_values")
    if all(not isinstance(v, Tensor) and v == pairs[0][0] for pair in pairs for v in pair):
        return _constant(array, widths, pairs[0][0] if pairs else 0)
    for axis, (pair, (before, after)) in enumerate(zip(pairs, widths, strict=True)):
        for value, width in ((pair[0], (before, 0)), (pair[1], (0, after))):
            here = [width if a == axis else (0, 0) for a in range(array._aval.ndim)]
            array = _constant(array, here, value) if sum(width) else array
    return array


FOR_NUMPY[np.pad] = _numpy_pad
