"""Complex tensors: their parts as views, conjugates, and making them from parts.

`real` and `imag` share memory with their tensor, as pairs of numbers (`view_as_real`) do; a change
in place through them is a change of the tensor.  `conj` is a copy (PyTorch only notes that one is
due, so there `x.conj()` shares memory; nothing else can tell the two apart).
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.errors import DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.runtime.devices import layout
from tapejit.tensor.core import Tensor, apply, legacy_name
from tapejit.tensor.elementwise import unary_method
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, attribute, export, named
from tapejit.tensor.inplace import view

# ---------------------------------------------------------------- questions


@export("is_complex")
def is_complex(input) -> bool:
    """Whether the dtype is complex.

    >>> import tapejit as tj
    >>> tj.is_complex(tj.tensor([1j])), tj.tensor([1.0]).is_complex()
    (True, False)
    """
    return input._aval.dtype.is_complex


@export("is_signed")
def is_signed(input) -> bool:
    """Whether the dtype has negative numbers.

    >>> import tapejit as tj
    >>> tj.is_signed(tj.tensor([1])), tj.tensor([True]).is_signed()
    (True, False)
    """
    return input._aval.dtype.is_signed


@export("isreal", numpy=("isreal",))
def isreal(input) -> Tensor:
    """True where the imaginary part is 0.

    >>> import tapejit as tj
    >>> tj.isreal(tj.tensor([1.0 + 0j, 1j]))
    tensor([ True, False])
    """
    if input._aval.dtype.is_complex:
        return imag(input) == 0
    return FUNCTIONS["ones_like"](input, dtype=dtypes.bool_)


@export("is_conj", "is_neg")
def is_conj(input) -> bool:
    """Whether a conjugation is still due: never, it is done at once.

    >>> import tapejit as tj
    >>> tj.tensor([1j]).conj().is_conj()
    False
    """
    return False


# ---------------------------------------------------------------- parts


@export("view_as_real")
def view_as_real(input) -> Tensor:
    """Complex numbers as pairs (real, imaginary) along a new last axis, on the same memory.

    >>> import tapejit as tj
    >>> tj.view_as_real(tj.tensor([1.0 + 2.0j]))
    tensor([[1., 2.]])
    """
    return view(OPS["view_as_real"], input, ())


@export("view_as_complex")
def view_as_complex(input) -> Tensor:
    """Pairs along the last axis as complex numbers, on the same memory.

    Errors  ShapeError unless the last axis has length 2 and stride 1

    >>> import tapejit as tj
    >>> tj.view_as_complex(tj.tensor([[1.0, 2.0]]))
    tensor([1.+2.j])
    """
    value = input._value
    if input._aval.ndim and value.shape[-1] == 2 and layout(value)[1][-1] != 1:
        raise ShapeError("Tensor must have a last dimension with stride 1\n  try  .contiguous()")
    return view(OPS["view_as_complex"], input, ())


@export("real", method=False)
def real(input) -> Tensor:
    """The real part, on the same memory; a real tensor itself.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0 + 2.0j])
    >>> x.real += 10.0
    >>> x, tj.real(x)
    (tensor([11.+2.j]), tensor([11.]))
    """
    return view_as_real(input).select(-1, 0) if input._aval.dtype.is_complex else input


@export("imag", method=False)
def imag(input) -> Tensor:
    """The imaginary part, on the same memory.

    Errors  DtypeError for real tensors

    >>> import tapejit as tj
    >>> tj.imag(tj.tensor([1.0 + 2.0j]))
    tensor([2.])
    """
    if not input._aval.dtype.is_complex:
        raise DtypeError(
            "imag is not implemented for tensors with non-complex dtypes.\n"
            f"  got  {input.dtype}\n  try  torch.zeros_like(x)"
        )
    return view_as_real(input).select(-1, 1)


def _part(name, function):
    def assign(x, value):
        function(x)[...] = value

    attribute(name)(function)
    setattr(Tensor, name, property(vars(Tensor)[name].fget, assign))


_part("real", real)
_part("imag", imag)
FOR_NUMPY[np.real] = real
FOR_NUMPY[np.imag] = lambda val: imag(val) if val._aval.dtype.is_complex else val * 0
FOR_NUMPY[np.iscomplexobj] = is_complex
FOR_NUMPY[np.isrealobj] = lambda x: not is_complex(x)
FOR_NUMPY[np.iscomplex] = lambda x: ~isreal(x)

# ---------------------------------------------------------------- conjugates

_conj = unary_method(OPS["conj"])


@export("conj", "conj_physical", numpy=("conjugate",))
def conj(input) -> Tensor:
    """The complex conjugate of each element; a real tensor itself.

    >>> import tapejit as tj
    >>> tj.conj(tj.tensor([1.0 + 2.0j]))
    tensor([1.-2.j])
    """
    return _conj(input) if input._aval.dtype.is_complex else input


@export("resolve_conj", "resolve_neg")
def resolve_conj(input) -> Tensor:
    """The tensor itself: no conjugation or negation is ever put off.

    >>> import tapejit as tj
    >>> tj.tensor([1j]).conj().resolve_conj()
    tensor([0.-1.j])
    """
    return input


# ---------------------------------------------------------------- modulus and angle

_angle = unary_method(OPS["angle"])


@export("angle")
def angle(input) -> Tensor:
    """The angle with the positive real axis, in radians; 0 or pi of real numbers.

    >>> import tapejit as tj
    >>> tj.angle(tj.tensor([1j, -1.0 + 0j]))
    tensor([1.5708, 3.1416])
    """
    return _angle(input)


FOR_NUMPY[np.angle] = lambda z, deg=False: angle(z) * (180 / math.pi if deg else 1)


@export("sgn")
def sgn(input) -> Tensor:
    """The sign; of a complex number the one of modulus 1 at its angle, 0 at 0.

    >>> import tapejit as tj
    >>> tj.sgn(tj.tensor([3.0 + 4.0j, 0j])), tj.sgn(tj.tensor([-2.0]))
    (tensor([0.6000+0.8000j, 0.0000+0.0000j]), tensor([-1.]))
    """
    if not input._aval.dtype.is_complex:
        return FUNCTIONS["sign"](input)
    modulus = input.abs()
    is_zero = modulus == 0
    unit = input / apply(OPS["where"], (is_zero, 1.0, modulus))
    return named(apply(OPS["where"], (is_zero, 0.0, unit)), "SgnBackward0")


FOR_NUMPY[np.sign] = sgn

# ---------------------------------------------------------------- from parts


@export("complex", method=False)
def complex_(real, imag) -> Tensor:
    """Complex numbers of these real and imaginary parts, which have one float dtype.

    >>> import tapejit as tj
    >>> tj.complex(tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0]))
    tensor([1.+3.j, 2.+4.j])
    """
    _check_parts(real, imag)
    return apply(OPS["complex"], (real, imag))


@export("polar", method=False)
def polar(abs, angle) -> Tensor:
    """Complex numbers of these moduli and angles, which have one float dtype.

    >>> import tapejit as tj
    >>> tj.polar(tj.tensor([1.0]), tj.tensor([0.0]))
    tensor([1.+0.j])
    """
    _check_parts(abs, angle)
    return named(apply(OPS["complex"], (abs * angle.cos(), abs * angle.sin())), "PolarBackward0")


def _check_parts(first, second):
    names = [x._aval.dtype for x in (first, second)]
    if not all(dtype.is_floating_point for dtype in names):
        words = " and ".join(legacy_name(dtype) for dtype in names)
        raise DtypeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {words}"
        )
    if names[0] is not names[1]:
        one, other = map(legacy_name, names)
        raise DtypeError(
            f"Expected object of scalar type {one} but got scalar type {other} for second argument"
        )
