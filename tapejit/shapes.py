"""Shapes: broadcasting, axes, and the abstract value (`Aval`) of a tape row.

An Aval is shape, dtype and device, interned: two rows that are alike share one object, so tapes
hold small numbers and tables are keyed by identity.  An Aval that nobody holds any more is let go,
and never comes back with its old number.  Nothing here knows an operation.

Inference rules know shapes and dtypes only: `registry.infer_kind` puts what they find on the
operands' device.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Iterable

from tapejit.dtypes import DType
from tapejit.errors import AxisError, SelectionError, ShapeError
from tapejit.locks import Lock

Shape = tuple[int, ...]

CPU = "cpu"


class Aval:
    """What is known of a value without computing it.  Make one with `aval`."""

    __slots__ = (
        "__weakref__", "device", "dtype", "is_large", "nbytes", "ndim", "number", "shape", "size"
    )  # fmt: skip

    def __init__(self, shape, dtype, device, number):
        self.shape: Shape = shape
        self.dtype: DType = dtype
        self.device: str = device
        """ "cpu", or the GPU's name and number: "cuda:0"."""
        self.number: int = number
        self.ndim: int = len(shape)
        self.size: int = math.prod(shape)
        self.nbytes: int = self.size * dtype.itemsize
        # Recordings count the bytes of large values only: a count costs 40 ns an operation.
        self.is_large: bool = self.nbytes >= 1 << 16

    def __repr__(self):
        where = "" if self.device == CPU else f"@{self.device}"
        return f"{self.dtype.name}{list(self.shape)}{where}"

    def on(self, device: str) -> Aval:
        """The Aval of the same shape and dtype on a device."""
        return self if self.device == device else aval(self.shape, self.dtype, device)


_AVALS: dict[tuple[Shape, DType, str], weakref.ref[Aval]] = {}
_LOCK = Lock()  # reentrant: a finalizer may come back here
_NUMBERS = itertools.count()


def aval(shape: Shape, dtype: DType, device: str = CPU) -> Aval:
    """The one Aval of this shape and dtype on this device."""
    held = _AVALS.get((shape, dtype, device))
    known = held() if held is not None else None
    return _intern(tuple(shape), dtype, device) if known is None else known


def _intern(shape, dtype, device):
    with _LOCK:
        held = _AVALS.get((shape, dtype, device))
        known = held() if held is not None else None
        if known is None:
            known = Aval(shape, dtype, device, next(_NUMBERS))
            _AVALS[shape, dtype, device] = weakref.ref(known)
        return known


def common_device(avals: Iterable[Aval]) -> str:
    """Where an operation on these runs: the GPU that one of them is on, else the CPU."""
    for known in avals:
        if known.device != CPU:
            return known.device
    return CPU


def drop_unheld() -> None:
    """Forget the keys of Avals that are gone."""
    with _LOCK:
        for key, held in list(_AVALS.items()):
            if held() is None:
                del _AVALS[key]


def broadcast(name: str, *shapes: Shape) -> Shape:
    """The common shape of `shapes` (NumPy's and PyTorch's rule).

    Errors  ShapeError naming the axis where two lengths differ
    """
    result = list(max(shapes, key=len, default=()))
    for shape in shapes:
        for back in range(1, len(shape) + 1):
            n, known = shape[-back], result[-back]
            if known == 1:
                result[-back] = n
            elif n not in (1, known):
                axis = len(result) - back
                raise ShapeError(
                    f"The size of tensor a ({known}) must match the size of tensor b ({n}) at "
                    f"non-singleton dimension {axis}: {name} of shapes "
                    f"{' and '.join(map(str, shapes))}\n"
                    "  try  reshape or unsqueeze one of them so that the axes line up"
                )
    return tuple(result)


def normalize_axis(name: str, axis: int, ndim: int) -> int:
    """`axis` counted from the front.

    Errors  AxisError if it is out of range
    """
    span = max(ndim, 1)  # a 0-d tensor takes axis 0 and -1, as PyTorch allows
    if not -span <= axis < span:
        raise AxisError(
            f"Dimension out of range (expected to be in range of [{-span}, {span - 1}], but got "
            f"{axis}): {name}"
        )
    return axis % span


def normalize_axes(name: str, axes, ndim: int) -> tuple[int, ...]:
    """Axes (None for all, one, or several) counted from the front, in order.

    Errors  AxisError if one is out of range, SelectionError if one is repeated
    """
    if axes is None:
        return tuple(range(ndim))
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    if ndim == 0:
        for axis in axes:
            normalize_axis(name, axis, 0)
        return ()
    result = sorted(normalize_axis(name, int(axis), ndim) for axis in axes)
    if len(set(result)) != len(result):
        repeated = next(axis for axis in result if result.count(axis) > 1)
        raise SelectionError(f"dim {repeated} appears multiple times in the list of dims: {name}")
    return tuple(result)


def reduced(shape: Shape, axes: tuple[int, ...], keepdim: bool) -> Shape:
    """`shape` without `axes`, or with length 1 there."""
    if keepdim:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def folded(shape: Shape, axis: int) -> tuple[int, int, int]:
    """The lengths (outer, axis, inner) of a row-major array that is seen along one axis."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def resolve_reshape(shape: Shape, size: int) -> Shape:
    """`shape` with its one -1 replaced so that it holds `size` elements.

    Errors  ShapeError if that cannot be
    """
    unknown = shape.count(-1)
    known = math.prod(n for n in shape if n != -1)
    fits = size % known == 0 if unknown == 1 and known else unknown == 0 and known == size
    if not fits or any(n < -1 for n in shape):
        raise ShapeError(
            f"shape '{list(shape)}' is invalid for input of size {size}\n"
            "  try  a shape whose lengths multiply to the size; one of them may be -1"
        )
    return tuple(size // known if n == -1 else n for n in shape)
