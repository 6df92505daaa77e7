"""Dtypes and how they mix: PyTorch's names and promotion rules over NumPy's dtypes.

A `DType` prints as PyTorch prints it (``torch.float32``), so ported notebooks show the same.
NumPy takes one wherever it takes a dtype.  Promotion follows PyTorch: arrays with dimensions win
over 0-d ones, and those over Python numbers, unless the lower one is of a higher category (bool,
integer, float, complex).  Source: pytorch.org/docs/stable/tensor_attributes.html, type promotion.

Start at `promote`.  Python floats take the default dtype, which is per thread: float32 as in
PyTorch, float64 inside function transforms of NumPy data.  There dtypes of different categories mix
as NumPy's do, too (`numpy_rules`); docs/dtypes.md tells users of both.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapejit.errors import DtypeError

# ---------------------------------------------------------------- data


class DType:
    """A dtype: its PyTorch name, its NumPy dtype, and its place in the order of promotion.

    >>> import numpy as np, tapejit as tj
    >>> tj.float32, np.zeros(3, tj.float32).dtype
    (torch.float32, dtype('float32'))
    """

    __slots__ = (
        "category",
        "dtype",
        "is_complex",
        "is_floating_point",
        "is_inexact",
        "is_signed",
        "itemsize",
        "kernel",
        "name",
        "rank",
    )  # fmt: skip

    def __init__(self, name, numpy_dtype, category, rank, kernel):
        self.name: str = name
        self.dtype: np.dtype = np.dtype(
            numpy_dtype
        )  # NumPy reads this attribute: np.zeros(3, tj.float32)
        self.category = category
        self.rank = rank
        self.kernel = kernel  # name in tapejit.plan, None where kernels do not take it
        self.itemsize = self.dtype.itemsize
        self.is_floating_point = category == FLOAT
        self.is_complex = category == COMPLEX
        self.is_signed = self.dtype.kind not in "bu"
        self.is_inexact = category >= FLOAT  # what derivatives are taken of

    def __repr__(self):
        return f"torch.{self.name}"

    def __eq__(self, other):
        """Whether it is the same, also in NumPy's words: np.float64, np.dtype("float64")."""
        if isinstance(other, np.dtype) or (
            isinstance(other, type) and issubclass(other, np.generic)
        ):
            return self.dtype == other
        return True if self is other else NotImplemented

    __hash__ = object.__hash__  # NumPy's types and dtypes are equal with different hashes too

    @property
    def kind(self) -> str:
        """NumPy's letter for what it is: "b", "i", "u", "f" or "c".

        >>> import tapejit as tj
        >>> tj.float64.kind
        'f'
        """
        return self.dtype.kind

    @property
    def type(self) -> Any:
        """NumPy's scalar type.

        >>> import tapejit as tj
        >>> tj.float64.type
        <class 'numpy.float64'>
        """
        return self.dtype.type

    def __reduce__(self):
        return (named, (self.name,))

    def to_real(self) -> DType:
        """The dtype of the real part.

        >>> import tapejit as tj
        >>> tj.complex64.to_real(), tj.float64.to_real()
        (torch.float32, torch.float64)
        """
        return _REAL_PARTS.get(self, self)

    def to_complex(self) -> DType:
        """The complex dtype whose real part this is; complex64 for float16 (PyTorch: complex32).

        >>> import tapejit as tj
        >>> tj.float64.to_complex()
        torch.complex128
        """
        if self.category < FLOAT:
            raise DtypeError(
                f"{self}: no complex dtype has such a real part\n  try  to a float dtype"
            )
        return self if self.is_complex else (complex128 if self is float64 else complex64)


BOOL, INTEGER, FLOAT, COMPLEX = range(4)

bool_ = DType("bool", np.bool_, BOOL, 0, "bool")
uint8 = DType("uint8", np.uint8, INTEGER, 0, None)
int8 = DType("int8", np.int8, INTEGER, 1, None)
int16 = DType("int16", np.int16, INTEGER, 2, None)
int32 = DType("int32", np.int32, INTEGER, 3, "i32")
int64 = DType("int64", np.int64, INTEGER, 4, "i64")
float16 = DType("float16", np.float16, FLOAT, 0, None)
float32 = DType("float32", np.float32, FLOAT, 1, "f32")
float64 = DType("float64", np.float64, FLOAT, 2, "f64")
complex64 = DType("complex64", np.complex64, COMPLEX, 0, None)
complex128 = DType("complex128", np.complex128, COMPLEX, 1, None)

ALL = (
    bool_, uint8, int8, int16, int32, int64, float16, float32, float64, complex64, complex128,
)  # fmt: skip
_REAL_PARTS = {complex64: float32, complex128: float64}
_BY_NUMPY = {dtype.dtype: dtype for dtype in ALL}
_BY_NAME = {dtype.name: dtype for dtype in ALL} | {
    "float": float32, "double": float64, "half": float16, "int": int32, "long": int64,
    "short": int16, "cfloat": complex64, "cdouble": complex128,
}  # fmt: skip
_PYTHON = {bool: bool_, int: int64, float: float64, complex: complex128}


class _Defaults(threading.local):
    float_dtype = float32
    numpy_rules = False


_defaults = _Defaults()


# ---------------------------------------------------------------- lookups


def is_masked(array) -> bool:
    """Whether it is one of NumPy's masked arrays.

    Only who has imported numpy.ma has any; `np.ma` would import it now, which takes 9 ms.
    """
    known = sys.modules.get("numpy.ma")
    return known is not None and isinstance(array, getattr(known, "MaskedArray", ()))


def named(name: str) -> DType:
    """The dtype called `name`, also by PyTorch's other names ("double", "long", ...)."""
    return _BY_NAME[name]


def from_numpy(dtype: np.dtype) -> DType:
    """The DType of a NumPy dtype in native byte order.

    Errors  DtypeError for dtypes that tensors cannot have (object, str, ...)
    """
    found = _BY_NUMPY.get(dtype)
    if found is None:
        raise DtypeError(
            f"tensor: no tensor holds NumPy dtype {dtype}\n"
            f"  try  .astype(...) to one of {', '.join(d.name for d in ALL)}"
        )
    return found


def as_dtype(value) -> DType:
    """The DType that `value` (DType, NumPy dtype, or Python's bool, int, float, complex) names."""
    if isinstance(value, DType):
        return value
    if value in _PYTHON:
        return _PYTHON[value]
    try:
        return from_numpy(np.dtype(value))
    except TypeError:
        raise DtypeError(f"dtype: {value!r} names no dtype") from None


def of_number(value) -> DType:
    """The dtype a Python number takes when nothing else decides."""
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    default = _defaults.float_dtype
    return default.to_complex() if isinstance(value, complex) else default


def get_default_dtype() -> DType:
    """The dtype that Python floats take.

    >>> import tapejit as tj
    >>> tj.get_default_dtype()
    torch.float32
    """
    return _defaults.float_dtype


def set_default_dtype(dtype) -> None:
    """Let Python floats take `dtype` from now on, in this thread.

    Errors  DtypeError unless it is a float dtype

    >>> import tapejit as tj
    >>> tj.set_default_dtype(tj.float64)
    >>> tj.tensor(0.5).dtype
    torch.float64
    >>> tj.set_default_dtype(tj.float32)
    """
    dtype = as_dtype(dtype)
    if not dtype.is_floating_point:
        raise DtypeError(
            "only floating-point types are supported as the default type\n"
            f"  got  {dtype}\n  try  float32 or float64"
        )
    _defaults.float_dtype = dtype


class numpy_rules:
    """Inside, where NumPy is spoken, Python floats are float64 and dtypes mix as NumPy's do."""

    def __init__(self, is_numpy: bool = True):
        self.is_numpy = is_numpy

    def __enter__(self):
        self.before = _defaults.float_dtype, _defaults.numpy_rules
        if self.is_numpy:
            _defaults.float_dtype, _defaults.numpy_rules = float64, True

    def __exit__(self, *exception):
        _defaults.float_dtype, _defaults.numpy_rules = self.before
        return False


# ---------------------------------------------------------------- promotion


def promote_pair(x: DType, y: DType) -> DType:
    """The smaller dtype that holds both (two dtypes of equal standing).

    >>> import tapejit as tj
    >>> tj.promote_types(tj.int64, tj.float16)
    torch.float16
    """
    if x is y:
        return x
    if x.category != y.category:
        higher, lower = (x, y) if x.category > y.category else (y, x)
        return complex128 if lower is float64 else higher
    if uint8 in (x, y) and x.category == INTEGER:
        other = y if x is uint8 else x
        return int16 if other is int8 else other
    return x if x.rank > y.rank else y


def promote(with_axes: Iterable[DType], zero_d: Iterable[DType], numbers: Iterable[DType]) -> Any:
    """The dtype of a result from operands of three standings (PyTorch's rule).

    >>> promote([float32], [float64], [])
    torch.float32
    >>> promote([int64], [], [float32])
    torch.float32
    """
    result = None
    for group in (numbers, zero_d, with_axes):
        dtype = None
        for member in group:
            dtype = member if dtype is None else _pair(dtype, member)
        result = _combine(dtype, result)
    return result


def _combine(higher, lower):
    if higher is None or lower is None:
        return higher or lower
    if higher.is_floating_point and lower.is_complex:  # its precision counts, as among floats
        return higher.to_complex()
    return higher if higher.category >= lower.category else _pair(higher, lower)


def _pair(x, y):
    if _defaults.numpy_rules and x is not y:
        return _BY_NUMPY[np.promote_types(x.dtype, y.dtype)]
    return promote_pair(x, y)


def to_float(dtype: DType) -> DType:
    """`dtype` itself if it is no integer, else the default dtype (sin of integers, division)."""
    return dtype if dtype.is_inexact else _defaults.float_dtype
