"""How functions of matrices read their arguments, and take packed results apart."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np

from tapejit.errors import DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply, as_data, legacy_name, tensor_of
from tapejit.tensor.front import FOR_NUMPY
from tapejit.tensor.products import check_square
from tapejit.tensor.shaping import reshape


def matrices(name: str, x, square: bool = False) -> Tensor:
    """A batch of matrices of floats or complex numbers.

    Errors  ShapeError, DtypeError, in PyTorch's words
    """
    x = numbers(name, x)
    if x._aval.dtype.dtype.char not in "fdFD":
        dtype = legacy_name(x._aval.dtype)
        raise DtypeError(f"{name}: Low precision dtypes not supported. Got {dtype}")
    if x._aval.ndim < 2:
        raise ShapeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if square:
        check_square(name, x._aval.shape)
    return x


def numbers(name: str, x) -> Tensor:
    """A tensor of floats or complex numbers."""
    x = tensor_of(x)
    dtype = x._aval.dtype
    if not dtype.is_inexact:
        raise DtypeError(
            f"{name}: Expected a floating point or complex tensor as input. Got "
            f"{legacy_name(dtype)}\n  try  .float() or .double()"
        )
    return x


def part(packed: Tensor, start: int, shape: tuple[int, ...]) -> Tensor:
    """A part of a packed result: a view that begins at `start`, batch axes apart."""
    batch = packed._aval.shape[:-1]
    window = ((0,) * len(batch) + (start,), (*batch, math.prod(shape)), (1,) * packed._aval.ndim)
    return reshape(apply(OPS["slice"], (packed,), window), (*batch, *shape))


def adjoint(x: Tensor) -> Tensor:
    """The conjugate transpose."""
    return x.mH if x._aval.dtype.is_complex else x.mT


def for_numpy(name: str, function: Callable) -> None:
    """Let np.linalg's function of this name come here; it takes integers too, as float64."""

    original = getattr(np.linalg, name)
    first = next(iter(inspect.signature(original).parameters))

    def call(*args, **kwargs):
        if first in kwargs:
            args = (kwargs.pop(first),)
        return function(*map(_floats, args), **{k: _floats(v) for k, v in kwargs.items()})

    FOR_NUMPY[original] = call


def _floats(x):
    if isinstance(x, np.ndarray):
        x = as_data(x)
    return x.double() if isinstance(x, Tensor) and not x._aval.dtype.is_inexact else x
