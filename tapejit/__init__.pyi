# Made by `python -m tapejit stubs --write tapejit/__init__.pyi`; do not edit it by hand.

import builtins
from collections.abc import Iterator
from typing import Any, NamedTuple, overload

import numpy as np

from tapejit.tensor.random import Generator as Generator
from tapejit.tensor.attributes import Size as Size
from tapejit.tensor import autograd as autograd
from tapejit.transforms.checking import check_grads as check_grads
from tapejit import config as config
from tapejit import cuda as cuda
from tapejit.transforms.custom_rules import custom_jvp as custom_jvp
from tapejit.transforms.custom_rules import custom_vjp as custom_vjp
from tapejit.tensor.attributes import Device as Device
device = Device
from tapejit.dtypes import DType as DType
dtype = DType
from tapejit.transforms.scalar.elementwise import elementwise as elementwise
from tapejit.tensor.modes import enable_grad as enable_grad
from tapejit import errors as errors
from tapejit.transforms.explaining import explain as explain
from tapejit.transforms.native.export import export as export
from tapejit import fft as fft
from tapejit.tensor.attributes import get_default_device as get_default_device
from tapejit.dtypes import get_default_dtype as get_default_dtype
from tapejit.runtime.pool import get_num_threads as get_num_threads
from tapejit.tensor.random import get_rng_state as get_rng_state
from tapejit.transforms.gradients import grad as grad
from tapejit.transforms.jacobians import hessian as hessian
from tapejit.transforms.products import hvp as hvp
from tapejit.tensor.modes import inference_mode as inference_mode
from tapejit.tensor.random import initial_seed as initial_seed
from tapejit.tensor.modes import is_grad_enabled as is_grad_enabled
from tapejit.tensor.modes import is_inference_mode_enabled as is_inference_mode_enabled
from tapejit.transforms.jacobians import jacfwd as jacfwd
from tapejit.transforms.jacobians import jacobian as jacobian
from tapejit.transforms.jacobians import jacrev as jacrev
from tapejit.transforms.gradients import jit as jit
from tapejit.transforms.products import jvp as jvp
from tapejit import linalg as linalg
from tapejit.tensor.random import manual_seed as manual_seed
from tapejit import nn as nn
from tapejit.tensor.modes import no_grad as no_grad
from tapejit import ops as ops
from tapejit import samplers as samplers
from tapejit import scipy as scipy
from tapejit.tensor.random import seed as seed
from tapejit.tensor.attributes import set_default_device as set_default_device
from tapejit.dtypes import set_default_dtype as set_default_dtype
from tapejit.tensor.modes import set_grad_enabled as set_grad_enabled
from tapejit.runtime.pool import set_num_threads as set_num_threads
from tapejit.tensor.printing import set_printoptions as set_printoptions
from tapejit.tensor.random import set_rng_state as set_rng_state
from tapejit.transforms.jacobians import sparsity as sparsity
from tapejit import special as special
from tapejit.transforms.gradients import value_and_grad as value_and_grad
from tapejit.transforms.pullbacks import vjp as vjp
from tapejit.transforms.vmap import vmap as vmap
from tapejit.tensor.history import Node as Node, RemovableHandle as RemovableHandle

__all__: builtins.list[builtins.str]
bool: dtype
bool_: dtype
cdouble: dtype
cfloat: dtype
complex128: dtype
complex64: dtype
double: dtype
float: dtype
float16: dtype
float32: dtype
float64: dtype
half: dtype
int: dtype
int16: dtype
int32: dtype
int64: dtype
int8: dtype
long: dtype
short: dtype
uint8: dtype


Operand = Tensor | np.ndarray | np.generic | builtins.float | builtins.list[Any]
Array = np.ndarray | np.generic | builtins.float | builtins.list[Any] | builtins.tuple[Any, ...]


class Extreme(NamedTuple):
    values: Tensor
    indices: Tensor


class LU(NamedTuple):
    P: Tensor
    L: Tensor
    U: Tensor


class OldSVD(NamedTuple):
    U: Tensor
    S: Tensor
    V: Tensor


class Parts(NamedTuple):
    mantissa: Tensor
    exponent: Tensor


class QR(NamedTuple):
    Q: Tensor
    R: Tensor


class Slogdet(NamedTuple):
    sign: Tensor
    logabsdet: Tensor


class Triangular(NamedTuple):
    solution: Tensor
    cloned_coefficient: Tensor

class FloatInfo(NamedTuple):
    bits: builtins.int
    eps: builtins.float
    max: builtins.float
    min: builtins.float
    tiny: builtins.float
    resolution: builtins.float
    dtype: builtins.str

class Tensor:
    """An array that remembers how it was made: PyTorch's tensor over NumPy memory."""

    @property
    def H(self) -> Tensor: ...
    @property
    def T(self) -> Tensor: ...
    def __abs__(self) -> Tensor: ...
    def __add__(self, other: Operand) -> Tensor: ...
    def __and__(self, other: Operand) -> Tensor: ...
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray: ...
    def __bool__(self) -> builtins.bool: ...
    def __contains__(self, value: Any) -> builtins.bool: ...
    def __eq__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
    def __float__(self) -> builtins.float: ...
    def __floordiv__(self, other: Operand) -> Tensor: ...
    def __format__(self, spec: builtins.str) -> builtins.str: ...
    def __ge__(self, other: Operand) -> Tensor: ...
    def __getitem__(self, key: Any) -> Tensor: ...
    def __gt__(self, other: Operand) -> Tensor: ...
    def __iadd__(self, other: Operand) -> Tensor: ...
    def __iand__(self, other: Operand) -> Tensor: ...
    def __ifloordiv__(self, other: Operand) -> Tensor: ...
    def __imod__(self, other: Operand) -> Tensor: ...
    def __imul__(self, other: Operand) -> Tensor: ...
    def __index__(self) -> builtins.int: ...
    def __int__(self) -> builtins.int: ...
    def __invert__(self) -> Tensor: ...
    def __ior__(self, other: Operand) -> Tensor: ...
    def __ipow__(self, other: Operand) -> Tensor: ...
    def __isub__(self, other: Operand) -> Tensor: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __itruediv__(self, other: Operand) -> Tensor: ...
    def __ixor__(self, other: Operand) -> Tensor: ...
    def __le__(self, other: Operand) -> Tensor: ...
    def __len__(self) -> builtins.int: ...
    def __lt__(self, other: Operand) -> Tensor: ...
    def __matmul__(self, other: Operand) -> Tensor: ...
    def __mod__(self, other: Operand) -> Tensor: ...
    def __mul__(self, other: Operand) -> Tensor: ...
    def __ne__(self, other: Operand) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: Operand) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __pow__(self, other: Operand) -> Tensor: ...
    def __radd__(self, other: Operand) -> Tensor: ...
    def __rand__(self, other: Operand) -> Tensor: ...
    def __rfloordiv__(self, other: Operand) -> Tensor: ...
    def __rmatmul__(self, other: Operand) -> Tensor: ...
    def __rmod__(self, other: Operand) -> Tensor: ...
    def __rmul__(self, other: Operand) -> Tensor: ...
    def __ror__(self, other: Operand) -> Tensor: ...
    def __round__(self, n: Any = None) -> Tensor: ...
    def __rpow__(self, other: Operand) -> Tensor: ...
    def __rsub__(self, other: Operand) -> Tensor: ...
    def __rtruediv__(self, other: Operand) -> Tensor: ...
    def __rxor__(self, other: Operand) -> Tensor: ...
    def __setitem__(self, key: Any, value: Operand) -> None: ...
    def __sub__(self, other: Operand) -> Tensor: ...
    def __truediv__(self, other: Operand) -> Tensor: ...
    def __xor__(self, other: Operand) -> Tensor: ...
    def abs(self) -> Tensor:
        """Absolute value of each element."""
    def abs_(self) -> Tensor:
        """As `abs`, written into the memory of the tensor, which is returned."""
    def absolute(self) -> Tensor:
        """Absolute value of each element."""
    def absolute_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `absolute`, written into the memory of the tensor, which is returned."""
    def acos(self) -> Tensor:
        """Inverse cosine, in radians; NaN outside [-1, 1]."""
    def acos_(self) -> Tensor:
        """As `acos`, written into the memory of the tensor, which is returned."""
    def acosh(self) -> Tensor:
        """Inverse hyperbolic cosine; NaN below 1."""
    def acosh_(self) -> Tensor:
        """As `acosh`, written into the memory of the tensor, which is returned."""
    def add(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """Sum of two tensors, broadcast together."""
    def add_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `add`, written into the memory of the tensor, which is returned."""
    def addbmm(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * the sum of all batch1[i] @ batch2[i], as one matrix product."""
    def addbmm_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `addbmm`, written into the memory of the tensor, which is returned."""
    def addcdiv(self, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Tensor:
        """input + value * tensor1 / tensor2."""
    def addcdiv_(self, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Tensor:
        """x + value * tensor1 / tensor2, in place."""
    def addcmul(self, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Tensor:
        """input + value * tensor1 * tensor2."""
    def addcmul_(self, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Tensor:
        """x + value * tensor1 * tensor2, in place."""
    def addmm(self, mat1: Any, mat2: Operand, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * (mat1 @ mat2); input may be a row, a column or a number."""
    def addmm_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `addmm`, written into the memory of the tensor, which is returned."""
    def addmv(self, mat: Any, vec: Operand, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * (mat @ vec)."""
    def addmv_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `addmv`, written into the memory of the tensor, which is returned."""
    def addr(self, vec1: Any, vec2: Operand, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * outer(vec1, vec2)."""
    def addr_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `addr`, written into the memory of the tensor, which is returned."""
    def adjoint(self) -> Tensor:
        """The last two axes exchanged, and complex numbers conjugated."""
    def all(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """True where every element along axes is nonzero."""
    def allclose(self, other: Operand, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> builtins.bool:
        """Whether all elements are close, as a Python bool."""
    def amax(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """The largest element over axes; NaN if there is one."""
    def amin(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """The smallest element over axes; NaN if there is one."""
    def aminmax(self, *, dim: Any = None, keepdim: Any = False) -> Any:
        """The smallest and the largest element, of all or along an axis; equal ones share the slope."""
    def angle(self) -> Tensor:
        """The angle with the positive real axis, in radians; 0 or pi of real numbers."""
    def any(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """True where an element along axes is nonzero."""
    def arccos(self) -> Tensor:
        """Inverse cosine, in radians; NaN outside [-1, 1]."""
    def arccos_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arccos`, written into the memory of the tensor, which is returned."""
    def arccosh(self) -> Tensor:
        """Inverse hyperbolic cosine; NaN below 1."""
    def arccosh_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arccosh`, written into the memory of the tensor, which is returned."""
    def arcsin(self) -> Tensor:
        """Inverse sine, in radians; NaN outside [-1, 1]."""
    def arcsin_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arcsin`, written into the memory of the tensor, which is returned."""
    def arcsinh(self) -> Tensor:
        """Inverse hyperbolic sine of each element."""
    def arcsinh_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arcsinh`, written into the memory of the tensor, which is returned."""
    def arctan(self) -> Tensor:
        """Inverse tangent, in radians."""
    def arctan2(self, other: Operand) -> Tensor:
        """Angle of the point (v, u), in radians."""
    def arctan2_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arctan2`, written into the memory of the tensor, which is returned."""
    def arctan_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arctan`, written into the memory of the tensor, which is returned."""
    def arctanh(self) -> Tensor:
        """Inverse hyperbolic tangent; NaN outside [-1, 1]."""
    def arctanh_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `arctanh`, written into the memory of the tensor, which is returned."""
    def argmax(self, dim: Any = None, keepdim: Any = False) -> Tensor:
        """Index of the first largest element along one axis, or in the flattened tensor."""
    def argmin(self, dim: Any = None, keepdim: Any = False) -> Tensor:
        """Index of the first smallest element along one axis, or in the flattened tensor."""
    def argsort(self, dim: Any = -1, descending: Any = False, stable: Any = False) -> Tensor:
        """The places of the elements in sorted order."""
    def argwhere(self) -> Tensor:
        """The places of the elements that are not zero, one row each."""
    def array_equal(self, other: Operand) -> builtins.bool:
        """Whether shape and all elements agree, as a Python bool."""
    def as_strided(self, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
        """Any elements of the memory: `size` and `stride` of each axis, from an offset."""
    def as_strided_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `as_strided`, of the tensor itself, which shows its memory so from now on."""
    def asin(self) -> Tensor:
        """Inverse sine, in radians; NaN outside [-1, 1]."""
    def asin_(self) -> Tensor:
        """As `asin`, written into the memory of the tensor, which is returned."""
    def asinh(self) -> Tensor:
        """Inverse hyperbolic sine of each element."""
    def asinh_(self) -> Tensor:
        """As `asinh`, written into the memory of the tensor, which is returned."""
    def astype(self, dtype: Any, copy: Any = True) -> Tensor:
        """NumPy's name for `to`."""
    def atan(self) -> Tensor:
        """Inverse tangent, in radians."""
    def atan2(self, other: Operand) -> Tensor:
        """Angle of the point (v, u), in radians."""
    def atan2_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `atan2`, written into the memory of the tensor, which is returned."""
    def atan_(self) -> Tensor:
        """As `atan`, written into the memory of the tensor, which is returned."""
    def atanh(self) -> Tensor:
        """Inverse hyperbolic tangent; NaN outside [-1, 1]."""
    def atanh_(self) -> Tensor:
        """As `atanh`, written into the memory of the tensor, which is returned."""
    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: Any = False, inputs: Any = None) -> None:
        """Compute the gradient of this tensor and add it to `.grad` of the leaves."""
    def baddbmm(self, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        """beta * input + alpha * (batch1 @ batch2), matrix by matrix."""
    def baddbmm_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `baddbmm`, written into the memory of the tensor, which is returned."""
    def bernoulli(self, p: Any = None, *, generator: Any = None) -> Tensor:
        """1 with the given probabilities (or with p), else 0; without slope."""
    def bernoulli_(self, p: Any = 0.5, *, generator: Any = None) -> Tensor:
        """Elements 1 with probability p, else 0, in place."""
    def bincount(self, weights: Any = None, minlength: Any = 0) -> Tensor:
        """How often each whole number from 0 occurs, or the sum of its weights."""
    def bitwise_and(self, y: Operand) -> Tensor:
        """The bits that both have."""
    def bitwise_and_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `bitwise_and`, written into the memory of the tensor, which is returned."""
    def bitwise_not(self) -> Tensor:
        """The bits that are not set."""
    def bitwise_not_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `bitwise_not`, written into the memory of the tensor, which is returned."""
    def bitwise_or(self, y: Operand) -> Tensor:
        """The bits that at least one has."""
    def bitwise_or_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `bitwise_or`, written into the memory of the tensor, which is returned."""
    def bitwise_xor(self, y: Operand) -> Tensor:
        """The bits that exactly one has."""
    def bitwise_xor_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `bitwise_xor`, written into the memory of the tensor, which is returned."""
    def bmm(self, mat2: Operand) -> Tensor:
        """Products of two batches of matrices."""
    def bool(self) -> Tensor:
        """The tensor in bool; itself if it is so already."""
    def broadcast_to(self, size: Any) -> Tensor:
        """The tensor repeated to a shape, without a copy."""
    def bucketize(self, boundaries: Any, *, right: Any = False) -> Tensor:
        """The number of the interval between sorted boundaries that each element is in."""
    def byte(self) -> Tensor:
        """The tensor in uint8; itself if it is so already."""
    def cauchy_(self, median: Any = 0.0, sigma: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Elements of Cauchy's distribution, in place."""
    def cbrt(self) -> Tensor:
        """Cube root of each element, of negative ones too."""
    def cdouble(self) -> Tensor:
        """The tensor in complex128; itself if it is so already."""
    def ceil(self) -> Tensor:
        """The smallest whole number not below each element."""
    def ceil_(self) -> Tensor:
        """As `ceil`, written into the memory of the tensor, which is returned."""
    def cfloat(self) -> Tensor:
        """The tensor in complex64; itself if it is so already."""
    def char(self) -> Tensor:
        """The tensor in int8; itself if it is so already."""
    def cholesky(self, upper: Any = False) -> Tensor:
        """The lower triangular L with L L^H = A, of Hermitian positive-definite matrices."""
    def cholesky_inverse(self, upper: Any = False) -> Tensor:
        """The inverse of A, by its Cholesky factor."""
    def cholesky_solve(self, L: Any, upper: Any = False) -> Tensor:
        """x with A x = input, by the Cholesky factor of A."""
    def chunk(self, chunks: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
        """About `chunks` parts of equal length along an axis."""
    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Each element brought into [min, max]; either may be None."""
    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """Each element brought into [min, max], in place."""
    def clamp_max(self, max: Any) -> Tensor:
        """Each element, not above `max`."""
    def clamp_max_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `clamp_max`, written into the memory of the tensor, which is returned."""
    def clamp_min(self, min: Any) -> Tensor:
        """Each element, not below `min`."""
    def clamp_min_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `clamp_min`, written into the memory of the tensor, which is returned."""
    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """Each element brought into [min, max]; either may be None."""
    def clip_(self, min: Any = None, max: Any = None) -> Tensor:
        """Each element brought into [min, max], in place."""
    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy with memory of its own; gradients flow through."""
    def combinations(self, r: Any = 2, with_replacement: Any = False) -> Tensor:
        """All choices of r elements of a vector, in order."""
    def conj(self) -> Tensor:
        """The complex conjugate of each element; a real tensor itself."""
    def conj_physical(self) -> Tensor:
        """The complex conjugate of each element; a real tensor itself."""
    def conj_physical_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `conj_physical`, written into the memory of the tensor, which is returned."""
    def contiguous(self, *, memory_format: Any = None) -> Tensor:
        """The tensor itself if its memory is in row-major order, else a copy."""
    def copy(self, order: Any = 'C') -> Tensor:
        """NumPy's name for `clone`."""
    def copy_(self, source: Any, non_blocking: Any = False) -> Tensor:
        """The elements of `source`, broadcast, into x's memory."""
    def copysign(self, other: Operand) -> Tensor:
        """The size of the first with the sign of the second, the sign of a zero included."""
    def copysign_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `copysign`, written into the memory of the tensor, which is returned."""
    def corrcoef(self) -> Tensor:
        """The correlations of the rows, which are variables; columns are observations."""
    def cos(self) -> Tensor:
        """Cosine of each element, in radians."""
    def cos_(self) -> Tensor:
        """As `cos`, written into the memory of the tensor, which is returned."""
    def cosh(self) -> Tensor:
        """Hyperbolic cosine of each element."""
    def cosh_(self) -> Tensor:
        """As `cosh`, written into the memory of the tensor, which is returned."""
    def count_nonzero(self, dim: Any = None, *, keepdim: Any = False) -> Tensor:
        """How many elements are not zero."""
    def cov(self, *, correction: Any = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
        """The covariances of the rows, which are variables; columns are observations."""
    def cpu(self) -> Tensor:
        """The tensor in the CPU's memory; itself if it is there already."""
    def cross(self, other: Operand, dim: Any = None) -> Tensor:
        """Cross product along an axis of length 3 (the first such one); others broadcast."""
    def cuda(self, device: Any = None, non_blocking: Any = False) -> Tensor:
        """The tensor in a GPU's memory; itself if it is there already."""
    def cummax(self, dim: Any) -> Extreme:
        """The largest element so far along an axis, and its place: the last one of equals."""
    def cummin(self, dim: Any) -> Extreme:
        """The smallest element so far along an axis, and its place: the last one of equals."""
    def cumprod(self, dim: Any = None, *, dtype: Any = None) -> Tensor:
        """Running product along an axis; its slopes are exact where elements are zero."""
    def cumprod_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `cumprod`, written into the memory of the tensor, which is returned."""
    def cumsum(self, dim: Any = None, *, dtype: Any = None) -> Tensor:
        """Running sum along an axis (NumPy: of the flattened tensor if none is given)."""
    def cumsum_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `cumsum`, written into the memory of the tensor, which is returned."""
    @property
    def data(self) -> Tensor: ...
    @data.setter
    def data(self, value: Any) -> None: ...
    def data_ptr(self) -> builtins.int:
        """The address of the first element."""
    def deg2rad(self) -> Tensor:
        """Degrees as radians."""
    def deg2rad_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `deg2rad`, written into the memory of the tensor, which is returned."""
    def det(self) -> Tensor:
        """The determinant of square matrices; its gradient is right of singular ones too."""
    def detach(self) -> Tensor:
        """The same memory, without history."""
    def detach_(self) -> Tensor:
        """Cut this tensor off from its history; it becomes a leaf."""
    @property
    def device(self) -> device: ...
    def diag(self, diagonal: Any = 0) -> Tensor:
        """A matrix with this diagonal, or a copy of the diagonal of a matrix."""
    def diag_embed(self, offset: Any = 0, dim1: Any = -2, dim2: Any = -1) -> Tensor:
        """Matrices, over axes dim1 and dim2 of the result, with the last axis as their diagonal."""
    def diagflat(self, offset: Any = 0) -> Tensor:
        """A matrix with all elements of the tensor on its diagonal."""
    def diagonal(self, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Tensor:
        """The diagonal of two axes, as the last axis: a view."""
    def diagonal_scatter(self, src: Any, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Tensor:
        """A copy with `src` on a diagonal."""
    def diff(self, n: Any = 1, dim: Any = -1, prepend: Any = None, append: Any = None) -> Tensor:
        """Differences of neighbours along an axis, n times."""
    def digamma(self) -> Tensor:
        """Derivative of lgamma: the logarithmic derivative of the gamma function."""
    def digamma_(self) -> Tensor:
        """As `digamma`, written into the memory of the tensor, which is returned."""
    def dim(self) -> builtins.int:
        """The number of axes."""
    def dist(self, other: Operand, p: Any = 2) -> Tensor:
        """The p-norm of input - other, over all elements."""
    def div(self, other: Operand, *, rounding_mode: Any = None) -> Tensor:
        """True quotient; rounding_mode "floor" or "trunc" rounds it."""
    def div_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `div`, written into the memory of the tensor, which is returned."""
    def divide(self, other: Operand, *, rounding_mode: Any = None) -> Tensor:
        """True quotient; rounding_mode "floor" or "trunc" rounds it."""
    def divide_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `divide`, written into the memory of the tensor, which is returned."""
    def dot(self, tensor: Operand) -> Tensor:
        """Sum of the products of two vectors."""
    def double(self) -> Tensor:
        """The tensor in float64; itself if it is so already."""
    def dsplit(self, indices_or_sections: Any) -> builtins.tuple[Tensor, ...]:
        """Parts behind each other: along the third axis."""
    @property
    def dtype(self) -> dtype: ...
    def element_size(self) -> builtins.int:
        """Bytes of one element, as `itemsize`."""
    def eq(self, other: Operand) -> Tensor:
        """u == v, elementwise."""
    def eq_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `eq`, written into the memory of the tensor, which is returned."""
    def equal(self, other: Operand) -> builtins.bool:
        """Whether shape and all elements agree, as a Python bool."""
    def erf(self) -> Tensor:
        """Error function of each element."""
    def erf_(self) -> Tensor:
        """As `erf`, written into the memory of the tensor, which is returned."""
    def erfc(self) -> Tensor:
        """Complementary error function 1 - erf(x), exact for large x."""
    def erfc_(self) -> Tensor:
        """As `erfc`, written into the memory of the tensor, which is returned."""
    def erfinv(self) -> Tensor:
        """The x whose error function is the element; infinite at -1 and 1, NaN beyond."""
    def erfinv_(self) -> Tensor:
        """As `erfinv`, written into the memory of the tensor, which is returned."""
    def exp(self) -> Tensor:
        """e to the power of each element."""
    def exp2(self) -> Tensor:
        """2 to the power of each element."""
    def exp2_(self) -> Tensor:
        """As `exp2`, written into the memory of the tensor, which is returned."""
    def exp_(self) -> Tensor:
        """As `exp`, written into the memory of the tensor, which is returned."""
    def expand(self, *sizes: Any) -> Tensor:
        """Axes of length 1 repeated without a copy; -1 keeps a length."""
    def expand_as(self, other: Operand) -> Tensor:
        """Expanded to the shape of another tensor."""
    def expm1(self) -> Tensor:
        """exp(x) - 1, exact for small x."""
    def expm1_(self) -> Tensor:
        """As `expm1`, written into the memory of the tensor, which is returned."""
    def exponential_(self, lambd: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Exponentially distributed elements of rate lambd, in place."""
    def fill_(self, value: Operand) -> Tensor:
        """All elements `value`, in place."""
    def fill_diagonal_(self, fill_value: Any, wrap: Any = False) -> Tensor:
        """A number on the main diagonal, in place; of more than two axes of equal lengths."""
    def fix(self) -> Tensor:
        """Each element without its fraction."""
    def fix_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `fix`, written into the memory of the tensor, which is returned."""
    def flatten(self, start_dim: Any = 0, end_dim: Any = -1) -> Tensor:
        """Axes start_dim … end_dim as one."""
    def flip(self, *dims: Any) -> Tensor:
        """The elements in reverse order along axes."""
    def fliplr(self) -> Tensor:
        """The elements in reverse order along the second axis."""
    def flipud(self) -> Tensor:
        """The elements in reverse order along the first axis."""
    def float(self) -> Tensor:
        """The tensor in float32; itself if it is so already."""
    def float_power(self, exponent: Any) -> Tensor:
        """input to the power of exponent, in float64 (complex128 if one of them is complex)."""
    def float_power_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `float_power`, written into the memory of the tensor, which is returned."""
    def floor(self) -> Tensor:
        """The largest whole number not above each element."""
    def floor_(self) -> Tensor:
        """As `floor`, written into the memory of the tensor, which is returned."""
    def floor_divide(self, other: Operand) -> Tensor:
        """The largest whole number not above the quotient, as Python's //."""
    def floor_divide_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `floor_divide`, written into the memory of the tensor, which is returned."""
    def fmax(self, other: Operand) -> Tensor:
        """The larger of two elements; the other one if one is NaN."""
    def fmax_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `fmax`, written into the memory of the tensor, which is returned."""
    def fmin(self, other: Operand) -> Tensor:
        """The smaller of two elements; the other one if one is NaN."""
    def fmin_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `fmin`, written into the memory of the tensor, which is returned."""
    def fmod(self, other: Operand) -> Tensor:
        """Remainder of division with the sign of the dividend, as C's fmod."""
    def fmod_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `fmod`, written into the memory of the tensor, which is returned."""
    def frac(self) -> Tensor:
        """The part of each element behind the point, with its sign."""
    def frac_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `frac`, written into the memory of the tensor, which is returned."""
    def frexp(self) -> Parts:
        """Mantissas m, 0.5 <= |m| < 1, and exponents e (int32) with input = m * 2**e."""
    def gather(self, dim: Any, index: Any) -> Tensor:
        """Elements picked along an axis: y[i][j] = x[i][index[i][j]] for dim 1."""
    def ge(self, other: Operand) -> Tensor:
        """u >= v, elementwise."""
    def ge_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `ge`, written into the memory of the tensor, which is returned."""
    def geometric_(self, p: Any, *, generator: Any = None) -> Tensor:
        """How many throws it takes until the first hit of probability p, in place."""
    def ger(self, vec2: Operand) -> Tensor:
        """All products of the elements of two vectors."""
    @property
    def grad(self) -> Tensor | None: ...
    @grad.setter
    def grad(self, value: Any) -> None: ...
    @grad.deleter
    def grad(self) -> None: ...
    @property
    def grad_fn(self) -> Node | None: ...
    def greater(self, other: Operand) -> Tensor:
        """u > v, elementwise."""
    def greater_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `greater`, written into the memory of the tensor, which is returned."""
    def greater_equal(self, other: Operand) -> Tensor:
        """u >= v, elementwise."""
    def greater_equal_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `greater_equal`, written into the memory of the tensor, which is returned."""
    def gt(self, other: Operand) -> Tensor:
        """u > v, elementwise."""
    def gt_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `gt`, written into the memory of the tensor, which is returned."""
    def half(self) -> Tensor:
        """The tensor in float16; itself if it is so already."""
    def hardshrink(self, lambd: Any = 0.5) -> Tensor:
        """x, but 0 within lambd of 0."""
    def heaviside(self, other: Operand) -> Tensor:
        """0 for a negative element, 1 for a positive one, and the second operand at 0."""
    def heaviside_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `heaviside`, written into the memory of the tensor, which is returned."""
    def hsplit(self, indices_or_sections: Any) -> builtins.tuple[Tensor, ...]:
        """Parts side by side: along the second axis, of a vector the first."""
    def hypot(self, other: Operand) -> Tensor:
        """sqrt(u * u + v * v) without overflow, broadcast together."""
    def hypot_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `hypot`, written into the memory of the tensor, which is returned."""
    def i0(self) -> Tensor:
        """Modified Bessel function of the first kind, order 0."""
    def i0_(self) -> Tensor:
        """As `i0`, written into the memory of the tensor, which is returned."""
    def igamma(self, other: Operand) -> Tensor:
        """Regularised lower incomplete gamma function P(a, x)."""
    def igamma_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `igamma`, written into the memory of the tensor, which is returned."""
    def igammac(self, other: Operand) -> Tensor:
        """Regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
    def igammac_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `igammac`, written into the memory of the tensor, which is returned."""
    @property
    def imag(self) -> Tensor: ...
    @imag.setter
    def imag(self, value: Any) -> None: ...
    def index_add(self, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
        """A copy with the parts of `alpha * source` added at the given indices of an axis."""
    def index_add_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `index_add`, written into the memory of the tensor, which is returned."""
    def index_copy(self, dim: Any, index: Any, source: Any) -> Tensor:
        """A copy with the parts of `source` at the given indices of an axis."""
    def index_copy_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `index_copy`, written into the memory of the tensor, which is returned."""
    def index_fill(self, dim: Any, index: Any, value: Operand) -> Tensor:
        """A copy with `value` at the given indices of an axis."""
    def index_fill_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `index_fill`, written into the memory of the tensor, which is returned."""
    def index_put(self, indices: Any, values: Any, accumulate: Any = False) -> Tensor:
        """A copy with `values` written, or added, at places told by a tuple of arrays or masks."""
    def index_put_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `index_put`, written into the memory of the tensor, which is returned."""
    def index_reduce(self, dim: Any, index: Any, source: Any, reduce: Any, *, include_self: Any = True) -> Tensor:
        """A copy with the parts of `source` combined at indices of an axis: prod, mean, amax or amin."""
    def index_reduce_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `index_reduce`, written into the memory of the tensor, which is returned."""
    def index_select(self, dim: Any, index: Any) -> Tensor:
        """The parts at the given indices of an axis."""
    def inner(self, other: Operand) -> Tensor:
        """Sum of products over the last axes of both; of numbers the product."""
    def int(self) -> Tensor:
        """The tensor in int32; itself if it is so already."""
    def inverse(self) -> Tensor:
        """The inverse of square matrices."""
    def is_complex(self) -> builtins.bool:
        """Whether the dtype is complex."""
    def is_conj(self) -> builtins.bool:
        """Whether a conjugation is still due: never, it is done at once."""
    def is_contiguous(self) -> builtins.bool:
        """Whether the memory is in row-major order."""
    @property
    def is_cuda(self) -> builtins.bool: ...
    def is_floating_point(self) -> builtins.bool:
        """Whether the dtype is a float."""
    @property
    def is_leaf(self) -> builtins.bool: ...
    def is_neg(self) -> builtins.bool:
        """Whether a conjugation is still due: never, it is done at once."""
    def is_set_to(self, other: Operand) -> builtins.bool:
        """Whether both are the same memory, shape and strides."""
    def is_signed(self) -> builtins.bool:
        """Whether the dtype has negative numbers."""
    def isclose(self, other: Operand, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Tensor:
        """Where |input - other| <= atol + rtol |other|; infinities are close to their like."""
    def isfinite(self) -> Tensor:
        """True where the element is neither NaN nor infinite."""
    def isfinite_(self) -> Tensor:
        """As `isfinite`, written into the memory of the tensor, which is returned."""
    def isinf(self) -> Tensor:
        """True where the element is infinite."""
    def isinf_(self) -> Tensor:
        """As `isinf`, written into the memory of the tensor, which is returned."""
    def isnan(self) -> Tensor:
        """True where the element is NaN."""
    def isnan_(self) -> Tensor:
        """As `isnan`, written into the memory of the tensor, which is returned."""
    def isneginf(self) -> Tensor:
        """True where the element is -infinity."""
    def isposinf(self) -> Tensor:
        """True where the element is +infinity."""
    def isreal(self) -> Tensor:
        """True where the imaginary part is 0."""
    def item(self) -> Any:
        """The one element as a Python number."""
    @property
    def itemsize(self) -> builtins.int: ...
    def kron(self, other: Operand) -> Tensor:
        """Kronecker product: a copy of `other` times each element of `input`, in its place."""
    def kthvalue(self, k: Any, dim: Any = -1, keepdim: Any = False) -> Extreme:
        """The k-th smallest element along an axis, counted from 1, and its place."""
    def ldexp(self, other: Operand) -> Tensor:
        """input * 2**other, without overflow on the way."""
    def ldexp_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `ldexp`, written into the memory of the tensor, which is returned."""
    def le(self, other: Operand) -> Tensor:
        """u <= v, elementwise."""
    def le_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `le`, written into the memory of the tensor, which is returned."""
    def lerp(self, end: Any, weight: Any) -> Tensor:
        """From input (weight 0) to end (weight 1), exact at both ends."""
    def lerp_(self, end: Any, weight: Any) -> Tensor:
        """From x (weight 0) to end (weight 1), in place."""
    def less(self, other: Operand) -> Tensor:
        """u < v, elementwise."""
    def less_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `less`, written into the memory of the tensor, which is returned."""
    def less_equal(self, other: Operand) -> Tensor:
        """u <= v, elementwise."""
    def less_equal_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `less_equal`, written into the memory of the tensor, which is returned."""
    def lgamma(self) -> Tensor:
        """Logarithm of the absolute value of the gamma function of each element."""
    def lgamma_(self) -> Tensor:
        """As `lgamma`, written into the memory of the tensor, which is returned."""
    def log(self) -> Tensor:
        """Natural logarithm of each element; -inf at 0, NaN below."""
    def log10(self) -> Tensor:
        """Logarithm to base 10 of each element."""
    def log10_(self) -> Tensor:
        """As `log10`, written into the memory of the tensor, which is returned."""
    def log1p(self) -> Tensor:
        """log(1 + x), exact for small x."""
    def log1p_(self) -> Tensor:
        """As `log1p`, written into the memory of the tensor, which is returned."""
    def log2(self) -> Tensor:
        """Logarithm to base 2 of each element."""
    def log2_(self) -> Tensor:
        """As `log2`, written into the memory of the tensor, which is returned."""
    def log_(self) -> Tensor:
        """As `log`, written into the memory of the tensor, which is returned."""
    def log_normal_(self, mean: Any = 1.0, std: Any = 2.0, *, generator: Any = None) -> Tensor:
        """Elements whose logarithm is normally distributed, in place."""
    def log_softmax(self, dim: Any = None, *, dtype: Any = None) -> Tensor:
        """x minus its logsumexp along an axis."""
    def logaddexp(self, other: Operand) -> Tensor:
        """log(exp(u) + exp(v)) without overflow."""
    def logaddexp2(self, other: Operand) -> Tensor:
        """log2(2**u + 2**v) without overflow."""
    def logaddexp2_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `logaddexp2`, written into the memory of the tensor, which is returned."""
    def logaddexp_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `logaddexp`, written into the memory of the tensor, which is returned."""
    def logcumsumexp(self, dim: Any) -> Tensor:
        """Running log(sum(exp(x))) along an axis, without overflow."""
    def logdet(self) -> Tensor:
        """The logarithm of the determinant: NaN where that is negative, -inf where it is 0."""
    def logical_and(self, other: Operand) -> Tensor:
        """True where both are nonzero."""
    def logical_and_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `logical_and`, written into the memory of the tensor, which is returned."""
    def logical_not(self) -> Tensor:
        """True where the element is zero."""
    def logical_not_(self) -> Tensor:
        """As `logical_not`, written into the memory of the tensor, which is returned."""
    def logical_or(self, other: Operand) -> Tensor:
        """True where at least one is nonzero."""
    def logical_or_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `logical_or`, written into the memory of the tensor, which is returned."""
    def logical_xor(self, other: Operand) -> Tensor:
        """True where exactly one is nonzero."""
    def logical_xor_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `logical_xor`, written into the memory of the tensor, which is returned."""
    def logit(self, eps: Any = None) -> Tensor:
        """log(x / (1 - x)), the inverse of sigmoid; x first brought into [eps, 1 - eps]."""
    def logit_(self) -> Tensor:
        """As `logit`, written into the memory of the tensor, which is returned."""
    def logsigmoid(self) -> Tensor:
        """log(sigmoid(x)) of each element, without overflow."""
    def logsigmoid_(self) -> Tensor:
        """As `logsigmoid`, written into the memory of the tensor, which is returned."""
    def logsumexp(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """log(sum(exp(x))) over axes, without overflow."""
    def long(self) -> Tensor:
        """The tensor in int64; itself if it is so already."""
    def lt(self, other: Operand) -> Tensor:
        """u < v, elementwise."""
    def lt_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `lt`, written into the memory of the tensor, which is returned."""
    def lu_solve(self, LU_data: Any, LU_pivots: Any) -> Tensor:
        """x with A x = b, by what linalg.lu_factor gave for A."""
    @property
    def mH(self) -> Tensor: ...
    @property
    def mT(self) -> Tensor: ...
    def masked_fill(self, mask: Operand, value: Operand) -> Tensor:
        """The tensor with `value` where the mask holds."""
    def masked_fill_(self, mask: Operand, value: Operand) -> Tensor:
        """`value` where the mask holds, in place."""
    def masked_scatter(self, mask: Operand, source: Any) -> Tensor:
        """A copy with the elements of `source`, one after the other, where the mask holds."""
    def masked_scatter_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `masked_scatter`, written into the memory of the tensor, which is returned."""
    def masked_select(self, mask: Operand) -> Tensor:
        """The elements where the mask holds, in one axis."""
    def matmul(self, other: Operand) -> Tensor:
        """Matrix product; vectors count as rows or columns, batch axes broadcast."""
    def matrix_exp(self) -> Tensor:
        """The exponential of square matrices: 1 + A + A^2 / 2 + ..."""
    def matrix_power(self, n: Any) -> Tensor:
        """A square matrix multiplied by itself, n times; of the inverse where n is negative."""
    def max(self, dim: Any = None, keepdim: Any = False, *, other: Operand | None = None, axis: Any = None, keepdims: Any = None) -> Any:
        """The largest element along one axis."""
    def maximum(self, other: Operand) -> Tensor:
        """The larger of two elements; NaN if either is NaN."""
    def maximum_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `maximum`, written into the memory of the tensor, which is returned."""
    def mean(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Mean over axes; NaN of no elements."""
    def median(self, dim: Any = None, keepdim: Any = False) -> Any:
        """The median, the lower one of two; along an axis also its place.  (NumPy's is their mean.)"""
    def min(self, dim: Any = None, keepdim: Any = False, *, other: Operand | None = None, axis: Any = None, keepdims: Any = None) -> Any:
        """The smallest element along one axis."""
    def minimum(self, other: Operand) -> Tensor:
        """The smaller of two elements; NaN if either is NaN."""
    def minimum_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `minimum`, written into the memory of the tensor, which is returned."""
    def mm(self, mat2: Operand) -> Tensor:
        """Product of two matrices."""
    def mode(self, dim: Any = -1, keepdim: Any = False) -> Extreme:
        """The most frequent element along an axis, the smallest one of equals, and its last place."""
    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """Axes moved to new places, the others in their order."""
    def movedim(self, source: Any, destination: Any) -> Tensor:
        """Axes moved to new places, the others in their order."""
    def msort(self) -> Tensor:
        """The elements in order along the first axis."""
    def mul(self, other: Operand) -> Tensor:
        """Product of two tensors, broadcast together."""
    def mul_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `mul`, written into the memory of the tensor, which is returned."""
    def multinomial(self, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> Tensor:
        """Places drawn with probabilities proportional to the weights in a row."""
    def multiply(self, other: Operand) -> Tensor:
        """Product of two tensors, broadcast together."""
    def multiply_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `multiply`, written into the memory of the tensor, which is returned."""
    def mv(self, vec: Operand) -> Tensor:
        """Product of a matrix and a vector."""
    def mvlgamma(self, p: Any) -> Tensor:
        """Logarithm of the gamma function of dimension p."""
    def mvlgamma_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `mvlgamma`, written into the memory of the tensor, which is returned."""
    def nan_to_num(self, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
        """NaN replaced by `nan`, infinities by `posinf` and `neginf`, or the dtype's largest numbers."""
    def nan_to_num_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `nan_to_num`, written into the memory of the tensor, which is returned."""
    def nanmean(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Mean over axes of what is not NaN; NaN of nothing else."""
    def nanmedian(self, dim: Any = None, keepdim: Any = False) -> Any:
        """As `median`, of what is not NaN."""
    def nanquantile(self, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Tensor:
        """As `quantile`, of what is not NaN."""
    def nansum(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Sum over axes of what is not NaN."""
    def narrow(self, dim: Any, start: Any, length: Any) -> Tensor:
        """`length` elements from `start` along an axis."""
    def narrow_copy(self, dim: Any, start: Any, length: Any) -> Tensor:
        """As `narrow`, in memory of its own."""
    @property
    def nbytes(self) -> builtins.int: ...
    @property
    def ndim(self) -> builtins.int: ...
    def ndimension(self) -> builtins.int:
        """The number of axes."""
    def ne(self, other: Operand) -> Tensor:
        """u != v, elementwise."""
    def ne_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `ne`, written into the memory of the tensor, which is returned."""
    def neg(self) -> Tensor:
        """Negative of each element."""
    def neg_(self) -> Tensor:
        """As `neg`, written into the memory of the tensor, which is returned."""
    def negative(self) -> Tensor:
        """Negative of each element."""
    def negative_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `negative`, written into the memory of the tensor, which is returned."""
    def nelement(self) -> builtins.int:
        """The number of elements."""
    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """As `empty`, in the dtype of this tensor."""
    def new_full(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """As `full`, in the dtype of this tensor."""
    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """As `ones`, in the dtype of this tensor."""
    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """A tensor from data, with dtype and device of this one unless others are named."""
    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """As `zeros`, in the dtype of this tensor."""
    def nextafter(self, other: Operand) -> Tensor:
        """The next number of the dtype after input towards other."""
    def nextafter_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `nextafter`, written into the memory of the tensor, which is returned."""
    def nonzero(self, *, as_tuple: Any = False) -> Any:
        """The places of the elements that are not zero: (n, axes), or one tensor per axis."""
    def norm(self, p: Any = 'fro', dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Tensor:
        """The p-norm of the elements: (sum |x|^p)^(1/p); slope 0 at a zero vector."""
    def normal_(self, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Normally distributed elements, in place."""
    def not_equal(self, other: Operand) -> Tensor:
        """u != v, elementwise."""
    def not_equal_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `not_equal`, written into the memory of the tensor, which is returned."""
    def numel(self) -> builtins.int:
        """The number of elements."""
    def numpy(self, *, force: Any = False) -> np.ndarray:
        """The elements as a NumPy array on the same memory."""
    def outer(self, vec2: Operand) -> Tensor:
        """All products of the elements of two vectors."""
    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order."""
    def pinverse(self, rcond: Any = 1e-15) -> Tensor:
        """The pseudo-inverse: PyTorch's older name of linalg.pinv."""
    def polygamma(self, n: Any) -> Tensor:
        """The derivative of order n of digamma."""
    def polygamma_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `polygamma`, written into the memory of the tensor, which is returned."""
    def positive(self) -> Tensor:
        """The tensor itself."""
    def pow(self, exponent: Any) -> Tensor:
        """input to the power of exponent (a number or tensors broadcast together)."""
    def pow_(self, exponent: Any) -> Tensor:
        """x to the power of exponent, in place."""
    def prelu(self, weight: Any) -> Tensor:
        """x where x > 0, else weight * x; one weight, or one for every channel (axis 1)."""
    def prod(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Product over axes."""
    def put(self, index: Any, source: Any, accumulate: Any = False) -> Tensor:
        """A copy with elements written, or added, at places of the flattened tensor."""
    def put_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `put`, written into the memory of the tensor, which is returned."""
    def qr(self, some: Any = True) -> QR:
        """Q and R with input = Q R: PyTorch's older name of linalg.qr."""
    def quantile(self, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Tensor:
        """The q-th quantiles along an axis; several q give a first axis of them."""
    def rad2deg(self) -> Tensor:
        """Radians as degrees."""
    def rad2deg_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `rad2deg`, written into the memory of the tensor, which is returned."""
    def random_(self, low: Any = 0, high: Any = None, *, generator: Any = None) -> Tensor:
        """Whole numbers in [low, high), or up to the largest that the dtype has exactly, in place."""
    def ravel(self, order: Any = 'C') -> Tensor:
        """All elements in one axis."""
    @property
    def real(self) -> Tensor: ...
    @real.setter
    def real(self, value: Any) -> None: ...
    def reciprocal(self) -> Tensor:
        """1 / x of each element."""
    def reciprocal_(self) -> Tensor:
        """As `reciprocal`, written into the memory of the tensor, which is returned."""
    def register_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(grad)` when the gradient is computed; what it returns replaces the gradient."""
    def relu(self) -> Tensor:
        """Each element, or 0 where it is negative."""
    def relu_(self) -> Tensor:
        """As `relu`, written into the memory of the tensor, which is returned."""
    def remainder(self, other: Operand) -> Tensor:
        """Remainder of division with the sign of the divisor, as Python's %."""
    def remainder_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `remainder`, written into the memory of the tensor, which is returned."""
    def renorm(self, p: Any, dim: Any, maxnorm: Any) -> Tensor:
        """The tensor with those parts along an axis scaled down whose p-norm is above maxnorm."""
    def renorm_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `renorm`, written into the memory of the tensor, which is returned."""
    def repeat(self, *sizes: Any) -> Tensor:
        """Copies one after the other along every axis."""
    def repeat_interleave(self, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Tensor:
        """Every element so many times in place: one number for all, or one for each."""
    @property
    def requires_grad(self) -> builtins.bool: ...
    @requires_grad.setter
    def requires_grad(self, value: Any) -> None: ...
    def requires_grad_(self, value: Operand = True) -> Tensor:
        """Begin or stop recording operations on a leaf; the tensor itself is returned."""
    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one length may be -1."""
    def reshape_as(self, other: Operand) -> Tensor:
        """The elements in the shape of another tensor, as `reshape` gives them."""
    def resolve_conj(self) -> Tensor:
        """The tensor itself: no conjugation or negation is ever put off."""
    def resolve_neg(self) -> Tensor:
        """The tensor itself: no conjugation or negation is ever put off."""
    def retain_grad(self) -> None:
        """Keep `.grad` of a computed tensor too."""
    @property
    def retains_grad(self) -> builtins.bool: ...
    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """The elements moved along axes, around the end."""
    def rot90(self, k: Any = 1, dims: Any = ...) -> Tensor:
        """Turned by k quarters, from the first of two axes to the second."""
    def round(self, *, decimals: Any = 0) -> Tensor:
        """The nearest multiple of 10**-decimals, halves to even."""
    def round_(self) -> Tensor:
        """As `round`, written into the memory of the tensor, which is returned."""
    def rsqrt(self) -> Tensor:
        """1 / sqrt(x) of each element."""
    def rsqrt_(self) -> Tensor:
        """As `rsqrt`, written into the memory of the tensor, which is returned."""
    def scatter(self, dim: Any, index: Any, src: Any = None, *, value: Operand | None = None, reduce: Any = None) -> Tensor:
        """A copy with elements of `src` (or one number) written along an axis."""
    def scatter_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `scatter`, written into the memory of the tensor, which is returned."""
    def scatter_add(self, dim: Any, index: Any, src: Any) -> Tensor:
        """A copy with elements of `src` added along an axis; those of one place add up."""
    def scatter_add_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `scatter_add`, written into the memory of the tensor, which is returned."""
    def scatter_reduce(self, dim: Any, index: Any, src: Any, reduce: Any, *, include_self: Any = True) -> Tensor:
        """A copy with elements of `src` combined along an axis: sum, prod, mean, amax or amin."""
    def scatter_reduce_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `scatter_reduce`, written into the memory of the tensor, which is returned."""
    def select(self, dim: Any, index: Any) -> Tensor:
        """The part at one index of an axis, without that axis."""
    def select_scatter(self, src: Any, dim: Any, index: Any) -> Tensor:
        """A copy with `src` at one index of an axis."""
    def sgn(self) -> Tensor:
        """The sign; of a complex number the one of modulus 1 at its angle, 0 at 0."""
    def sgn_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `sgn`, written into the memory of the tensor, which is returned."""
    @property
    def shape(self) -> Size: ...
    def short(self) -> Tensor:
        """The tensor in int16; itself if it is so already."""
    def sigmoid(self) -> Tensor:
        """Logistic function 1 / (1 + exp(-x)) of each element."""
    def sigmoid_(self) -> Tensor:
        """As `sigmoid`, written into the memory of the tensor, which is returned."""
    def sign(self) -> Tensor:
        """-1, 0 or 1 by the sign of each element; 0 for NaN."""
    def sign_(self) -> Tensor:
        """As `sign`, written into the memory of the tensor, which is returned."""
    def signbit(self) -> Tensor:
        """True where the sign is minus, also of -0.0 and NaN."""
    def signbit_(self) -> Tensor:
        """As `signbit`, written into the memory of the tensor, which is returned."""
    def sin(self) -> Tensor:
        """Sine of each element, in radians."""
    def sin_(self) -> Tensor:
        """As `sin`, written into the memory of the tensor, which is returned."""
    def sinc(self) -> Tensor:
        """sin(pi x) / (pi x), and 1 at 0."""
    def sinc_(self) -> Tensor:
        """As `sinc`, written into the memory of the tensor, which is returned."""
    def sinh(self) -> Tensor:
        """Hyperbolic sine of each element."""
    def sinh_(self) -> Tensor:
        """As `sinh`, written into the memory of the tensor, which is returned."""
    def size(self, dim: Any = None) -> Any:
        """The shape, or the length of one axis."""
    def slice_scatter(self, src: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Tensor:
        """A copy with `src` in a slice of an axis."""
    def slogdet(self) -> Slogdet:
        """The sign of the determinant, and the logarithm of its size: A = sign exp(logabsdet)."""
    def softmax(self, dim: Any = None, *, dtype: Any = None) -> Tensor:
        """exp(x) divided by its sum along an axis."""
    def softplus(self) -> Tensor:
        """log(1 + exp(x)) of each element, without overflow."""
    def softplus_(self) -> Tensor:
        """As `softplus`, written into the memory of the tensor, which is returned."""
    def sort(self, dim: Any = -1, descending: Any = False, stable: Any = False) -> Extreme:
        """The elements in order along an axis, and where they came from; NaN is above all."""
    def split(self, split_size_or_sections: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
        """Parts of a given length, or of given lengths, along an axis."""
    def split_with_sizes(self, split_sizes: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
        """Parts of given lengths along an axis."""
    def sqrt(self) -> Tensor:
        """Square root of each element; NaN below 0."""
    def sqrt_(self) -> Tensor:
        """As `sqrt`, written into the memory of the tensor, which is returned."""
    def square(self) -> Tensor:
        """input * input."""
    def square_(self) -> Tensor:
        """As `square`, written into the memory of the tensor, which is returned."""
    def squeeze(self, dim: Any = None) -> Tensor:
        """Without axes of length 1 (all of them, or those named)."""
    def squeeze_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `squeeze`, of the tensor itself, which shows its memory so from now on."""
    def std(self, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Tensor:
        """Standard deviation over axes; n - correction in the denominator."""
    def std_mean(self, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Any:
        """Standard deviation and mean over axes."""
    def storage_offset(self) -> builtins.int:
        """Elements between the beginning of the memory and the first element."""
    def stride(self, dim: Any = None) -> Any:
        """Elements between neighbours along each axis."""
    def sub(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """Difference of two tensors, broadcast together."""
    def sub_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `sub`, written into the memory of the tensor, which is returned."""
    def subtract(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """Difference of two tensors, broadcast together."""
    def subtract_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `subtract`, written into the memory of the tensor, which is returned."""
    def sum(self, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
        """Sum over axes."""
    def svd(self, some: Any = True, compute_uv: Any = True) -> OldSVD:
        """U, S, V with input = U diag(S) V^H: PyTorch's older name of linalg.svd."""
    def swapaxes(self, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
        """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order."""
    def swapaxes_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `swapaxes`, of the tensor itself, which shows its memory so from now on."""
    def swapdims(self, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
        """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order."""
    def swapdims_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `swapdims`, of the tensor itself, which shows its memory so from now on."""
    def t(self) -> Tensor:
        """The transpose of a matrix; vectors as they are."""
    def t_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `t`, of the tensor itself, which shows its memory so from now on."""
    def take(self, index: Any, axis: Any = None) -> Tensor:
        """Elements by their place in the flattened tensor (NumPy: or along an axis)."""
    def take_along_dim(self, indices: Any, dim: Any = None) -> Tensor:
        """Elements picked along an axis, the others broadcast; without one of the flattened tensor."""
    def tan(self) -> Tensor:
        """Tangent of each element, in radians."""
    def tan_(self) -> Tensor:
        """As `tan`, written into the memory of the tensor, which is returned."""
    def tanh(self) -> Tensor:
        """Hyperbolic tangent of each element; the result lies in [-1, 1]."""
    def tanh_(self) -> Tensor:
        """As `tanh`, written into the memory of the tensor, which is returned."""
    def tensor_split(self, indices_or_sections: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
        """So many parts, the first ones longer by one where need be; or parts cut at these places."""
    def tile(self, *dims: Any) -> Tensor:
        """As repeat; missing factors count as 1."""
    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: Any = False, **ignored: Any) -> Tensor:
        """The tensor in another dtype, or on another device; itself if it is so already."""
    def tolist(self) -> Any:
        """The elements as nested lists (a number for 0-d)."""
    def topk(self, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> Extreme:
        """The k largest (or smallest) elements along an axis, in order."""
    def trace(self) -> Tensor:
        """The sum of the diagonal of a matrix."""
    def transpose(self, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
        """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order."""
    def transpose_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `transpose`, of the tensor itself, which shows its memory so from now on."""
    def triangular_solve(self, A: Any, upper: Any = True, transpose: Any = False, unitriangular: Any = False) -> Triangular:
        """x with A x = b, of triangular A, and A: PyTorch's older name of linalg.solve_triangular."""
    def tril(self, diagonal: Any = 0) -> Tensor:
        """The elements on and below a diagonal of the last two axes, 0 elsewhere."""
    def tril_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `tril`, written into the memory of the tensor, which is returned."""
    def triu(self, diagonal: Any = 0) -> Tensor:
        """The elements on and above a diagonal of the last two axes, 0 elsewhere."""
    def triu_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `triu`, written into the memory of the tensor, which is returned."""
    def true_divide(self, other: Operand, *, rounding_mode: Any = None) -> Tensor:
        """True quotient; rounding_mode "floor" or "trunc" rounds it."""
    def true_divide_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `true_divide`, written into the memory of the tensor, which is returned."""
    def trunc(self) -> Tensor:
        """Each element without its fraction."""
    def trunc_(self) -> Tensor:
        """As `trunc`, written into the memory of the tensor, which is returned."""
    def type(self, dtype: Any = None) -> Any:
        """PyTorch's name of the tensor type, or the tensor in another dtype."""
    def type_as(self, other: Operand) -> Tensor:
        """The tensor in the dtype of another."""
    def unbind(self, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
        """The parts along an axis, as a tuple."""
    def unflatten(self, dim: Any, sizes: Any) -> Tensor:
        """One axis as several; one of their lengths may be -1."""
    def unfold(self, dimension: Any, size: Any, step: Any) -> Tensor:
        """Windows of `size` elements, every `step`, along an axis; within a window is the last axis."""
    def uniform_(self, low: Any = 0.0, high: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Elements uniform in [low, high), in place."""
    def unique(self, sorted: Any = True, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
        """The distinct elements (or slices of an axis) in order; each has its first one's slope."""
    def unique_consecutive(self, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
        """The elements (or slices of an axis) without those that equal the one before."""
    def unsqueeze(self, dim: Any) -> Tensor:
        """A new axis of length 1."""
    def unsqueeze_(self, *args: Any, **kwargs: Any) -> Tensor:
        """As `unsqueeze`, of the tensor itself, which shows its memory so from now on."""
    def var(self, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Tensor:
        """Variance over axes; divided by n - correction."""
    def var_mean(self, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Any:
        """Variance and mean over axes."""
    def vdot(self, other: Operand) -> Tensor:
        """Sum of the products of two vectors, the first one conjugated."""
    def view(self, *shape: Any) -> Tensor:
        """As reshape, but only where no copy is needed; or the bits in another dtype."""
    def view_as(self, other: Operand) -> Tensor:
        """The elements in the shape of another tensor, as `view` gives them."""
    def view_as_complex(self) -> Tensor:
        """Pairs along the last axis as complex numbers, on the same memory."""
    def view_as_real(self) -> Tensor:
        """Complex numbers as pairs (real, imaginary) along a new last axis, on the same memory."""
    def vsplit(self, indices_or_sections: Any) -> builtins.tuple[Tensor, ...]:
        """Parts below each other: along the first axis."""
    def where(self, condition: Operand, other: Operand) -> Tensor:
        """The tensor where condition holds, else other."""
    def xlogy(self, other: Operand) -> Tensor:
        """u * log(v), and 0 where u is 0, unless v is NaN."""
    def xlogy_(self, other: Operand, *, alpha: Any = 1) -> Tensor:
        """As `xlogy`, written into the memory of the tensor, which is returned."""
    def zero_(self) -> Tensor:
        """All elements 0, in place."""

@overload
def abs(input: Tensor) -> Tensor:
    """Absolute value of each element."""
@overload
def abs(input: Array) -> Any: ...
@overload
def absolute(input: Tensor) -> Tensor:
    """Absolute value of each element."""
@overload
def absolute(input: Array) -> Any: ...
@overload
def acos(input: Tensor) -> Tensor:
    """Inverse cosine, in radians; NaN outside [-1, 1]."""
@overload
def acos(input: Array) -> Any: ...
@overload
def acosh(input: Tensor) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1."""
@overload
def acosh(input: Array) -> Any: ...
@overload
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of each of `output_size` windows that cover the last axis."""
@overload
def adaptive_avg_pool1d(input: Array, output_size: Any) -> Any: ...
@overload
def add(input: Tensor, other: Operand, *, alpha: Any = 1) -> Tensor:
    """Sum of two tensors, broadcast together."""
@overload
def add(input: Array, other: Operand, *, alpha: Any = 1) -> Any: ...
@overload
def addbmm(input: Tensor, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * the sum of all batch1[i] @ batch2[i], as one matrix product."""
@overload
def addbmm(input: Array, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any: ...
@overload
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Tensor:
    """input + value * tensor1 / tensor2."""
@overload
def addcdiv(input: Array, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Any: ...
@overload
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Tensor:
    """input + value * tensor1 * tensor2."""
@overload
def addcmul(input: Array, tensor1: Any, tensor2: Any, *, value: Operand = 1) -> Any: ...
@overload
def addmm(input: Tensor, mat1: Any, mat2: Operand, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2); input may be a row, a column or a number."""
@overload
def addmm(input: Array, mat1: Any, mat2: Operand, *, beta: Any = 1, alpha: Any = 1) -> Any: ...
@overload
def addmv(input: Tensor, mat: Any, vec: Operand, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec)."""
@overload
def addmv(input: Array, mat: Any, vec: Operand, *, beta: Any = 1, alpha: Any = 1) -> Any: ...
@overload
def addr(input: Tensor, vec1: Any, vec2: Operand, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
@overload
def addr(input: Array, vec1: Any, vec2: Operand, *, beta: Any = 1, alpha: Any = 1) -> Any: ...
@overload
def adjoint(input: Tensor) -> Tensor:
    """The last two axes exchanged, and complex numbers conjugated."""
@overload
def adjoint(input: Array) -> Any: ...
@overload
def all(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """True where every element along axes is nonzero."""
@overload
def all(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def allclose(input: Operand, other: Operand, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> builtins.bool:
    """Whether all elements are close, as a Python bool."""
@overload
def alpha_dropout(input: Tensor, p: Any = 0.5, training: Any = False, inplace: Any = False) -> Tensor:
    """Elements set to where selu saturates, with probability p; mean and variance stay."""
@overload
def alpha_dropout(input: Array, p: Any = 0.5, training: Any = False, inplace: Any = False) -> Any: ...
@overload
def amax(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """The largest element over axes; NaN if there is one."""
@overload
def amax(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
@overload
def amin(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """The smallest element over axes; NaN if there is one."""
@overload
def amin(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def aminmax(input: Operand, *, dim: Any = None, keepdim: Any = False) -> Any:
    """The smallest and the largest element, of all or along an axis; equal ones share the slope."""
@overload
def angle(input: Tensor) -> Tensor:
    """The angle with the positive real axis, in radians; 0 or pi of real numbers."""
@overload
def angle(input: Array) -> Any: ...
@overload
def any(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """True where an element along axes is nonzero."""
@overload
def any(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """start, start + step, ... below end."""
@overload
def arccos(input: Tensor) -> Tensor:
    """Inverse cosine, in radians; NaN outside [-1, 1]."""
@overload
def arccos(input: Array) -> Any: ...
@overload
def arccosh(input: Tensor) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1."""
@overload
def arccosh(input: Array) -> Any: ...
@overload
def arcsin(input: Tensor) -> Tensor:
    """Inverse sine, in radians; NaN outside [-1, 1]."""
@overload
def arcsin(input: Array) -> Any: ...
@overload
def arcsinh(input: Tensor) -> Tensor:
    """Inverse hyperbolic sine of each element."""
@overload
def arcsinh(input: Array) -> Any: ...
@overload
def arctan(input: Tensor) -> Tensor:
    """Inverse tangent, in radians."""
@overload
def arctan(input: Array) -> Any: ...
@overload
def arctan2(input: Tensor, other: Operand) -> Tensor:
    """Angle of the point (v, u), in radians."""
@overload
def arctan2(input: Array, other: Operand) -> Any: ...
@overload
def arctanh(input: Tensor) -> Tensor:
    """Inverse hyperbolic tangent; NaN outside [-1, 1]."""
@overload
def arctanh(input: Array) -> Any: ...
@overload
def argmax(input: Tensor, dim: Any = None, keepdim: Any = False) -> Tensor:
    """Index of the first largest element along one axis, or in the flattened tensor."""
@overload
def argmax(input: Array, dim: Any = None, keepdim: Any = False) -> Any: ...
@overload
def argmin(input: Tensor, dim: Any = None, keepdim: Any = False) -> Tensor:
    """Index of the first smallest element along one axis, or in the flattened tensor."""
@overload
def argmin(input: Array, dim: Any = None, keepdim: Any = False) -> Any: ...
@overload
def argsort(input: Tensor, dim: Any = -1, descending: Any = False, stable: Any = False) -> Tensor:
    """The places of the elements in sorted order."""
@overload
def argsort(input: Array, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any: ...
@overload
def argwhere(input: Tensor) -> Tensor:
    """The places of the elements that are not zero, one row each."""
@overload
def argwhere(input: Array) -> Any: ...
def array_equal(input: Operand, other: Operand) -> builtins.bool:
    """Whether shape and all elements agree, as a Python bool."""
@overload
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: Any = None) -> Tensor:
    """Any elements of the memory: `size` and `stride` of each axis, from an offset."""
@overload
def as_strided(input: Array, size: Any, stride: Any, storage_offset: Any = None) -> Any: ...
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """As `tensor`, but sharing memory with arrays and tensors where it can."""
def asarray(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """As `tensor`, but sharing memory with arrays and tensors where it can."""
@overload
def asin(input: Tensor) -> Tensor:
    """Inverse sine, in radians; NaN outside [-1, 1]."""
@overload
def asin(input: Array) -> Any: ...
@overload
def asinh(input: Tensor) -> Tensor:
    """Inverse hyperbolic sine of each element."""
@overload
def asinh(input: Array) -> Any: ...
@overload
def atan(input: Tensor) -> Tensor:
    """Inverse tangent, in radians."""
@overload
def atan(input: Array) -> Any: ...
@overload
def atan2(input: Tensor, other: Operand) -> Tensor:
    """Angle of the point (v, u), in radians."""
@overload
def atan2(input: Array, other: Operand) -> Any: ...
@overload
def atanh(input: Tensor) -> Tensor:
    """Inverse hyperbolic tangent; NaN outside [-1, 1]."""
@overload
def atanh(input: Array) -> Any: ...
def atleast_1d(*tensors: Any) -> Any:
    """Numbers as vectors of one element; a tuple of several."""
def atleast_2d(*tensors: Any) -> Any:
    """Vectors as matrices of one row; a tuple of several."""
def atleast_3d(*tensors: Any) -> Any:
    """Vectors and matrices with three axes: (1, n, 1) and (n, m, 1); a tuple of several."""
def average(a: Any, axis: Any = None, weights: Any = None, returned: Any = False, *, keepdims: Any = False) -> Any:
    """The weighted mean over axes, and with returned=True the sum of the weights (NumPy's)."""
@overload
def avg_pool1d(input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: Any = False, count_include_pad: Any = True) -> Tensor:
    """The mean of each window of the last axis."""
@overload
def avg_pool1d(input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: Any = False, count_include_pad: Any = True) -> Any: ...
@overload
def baddbmm(input: Tensor, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), matrix by matrix."""
@overload
def baddbmm(input: Array, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any: ...
@overload
def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None) -> Tensor:
    """1 with the given probabilities (or with p), else 0; without slope."""
@overload
def bernoulli(input: Array, p: Any = None, *, generator: Any = None) -> Any: ...
def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Tensor:
    """y[o] = input1 @ weight[o] @ input2 + bias[o], along the last axes."""
@overload
def binary_cross_entropy_with_logits(input: Tensor, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', pos_weight: Any = None) -> Tensor:
    """Binary cross entropy of sigmoid(input), without overflow."""
@overload
def binary_cross_entropy_with_logits(input: Array, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None, reduction: Any = 'mean', pos_weight: Any = None) -> Any: ...
@overload
def bincount(input: Tensor, weights: Any = None, minlength: Any = 0) -> Tensor:
    """How often each whole number from 0 occurs, or the sum of its weights."""
@overload
def bincount(input: Array, weights: Any = None, minlength: Any = 0) -> Any: ...
def bitwise_and(x: Any, y: Operand) -> Tensor:
    """The bits that both have."""
@overload
def bitwise_not(input: Tensor) -> Tensor:
    """The bits that are not set."""
@overload
def bitwise_not(input: Array) -> Any: ...
def bitwise_or(x: Any, y: Operand) -> Tensor:
    """The bits that at least one has."""
def bitwise_xor(x: Any, y: Operand) -> Tensor:
    """The bits that exactly one has."""
def block_diag(*tensors: Any) -> Tensor:
    """Matrices along the diagonal of a larger one, zeros elsewhere; a vector is a row."""
@overload
def bmm(input: Tensor, mat2: Operand) -> Tensor:
    """Products of two batches of matrices."""
@overload
def bmm(input: Array, mat2: Operand) -> Any: ...
def broadcast_shapes(*shapes: Any) -> Size:
    """The common shape of several."""
def broadcast_tensors(*tensors: Any) -> builtins.tuple[Tensor, ...]:
    """Tensors expanded to their common shape."""
@overload
def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """The tensor repeated to a shape, without a copy."""
@overload
def broadcast_to(input: Array, size: Any) -> Any: ...
@overload
def bucketize(input: Tensor, boundaries: Any, *, right: Any = False) -> Tensor:
    """The number of the interval between sorted boundaries that each element is in."""
@overload
def bucketize(input: Array, boundaries: Any, *, right: Any = False) -> Any: ...
def can_cast(source: Any, target: Any) -> builtins.bool:
    """Whether values of one dtype may be cast to another's category."""
def cartesian_prod(*tensors: Any) -> Tensor:
    """All rows that take one element of each vector."""
def cat(tensors: Any, dim: Any = 0) -> Tensor:
    """Tensors one after the other along an axis."""
@overload
def cbrt(input: Tensor) -> Tensor:
    """Cube root of each element, of negative ones too."""
@overload
def cbrt(input: Array) -> Any: ...
def cdist(x1: Any, x2: Any, p: Any = 2.0, compute_mode: Any = 'use_mm_for_euclid_dist_if_necessary') -> Tensor:
    """The p-norm distance of every row of x1 from every row of x2, in batches."""
@overload
def ceil(input: Tensor) -> Tensor:
    """The smallest whole number not below each element."""
@overload
def ceil(input: Array) -> Any: ...
@overload
def celu(input: Tensor, alpha: Any = 1.0, inplace: Any = False) -> Tensor:
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""
@overload
def celu(input: Array, alpha: Any = 1.0, inplace: Any = False) -> Any: ...
@overload
def celu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `celu`, written into the memory of the tensor."""
@overload
def celu_(input: Array, *args: Any, **kwargs: Any) -> Any: ...
def chain_matmul(*matrices: Any) -> Tensor:
    """The product of matrices, in the order of the fewest multiplications."""
@overload
def channel_shuffle(input: Tensor, groups: Any) -> Tensor:
    """The channels (axis 1) of groups interleaved."""
@overload
def channel_shuffle(input: Array, groups: Any) -> Any: ...
def cholesky(A: Any, upper: Any = False) -> Tensor:
    """The lower triangular L with L L^H = A, of Hermitian positive-definite matrices."""
def cholesky_inverse(L: Any, upper: Any = False) -> Tensor:
    """The inverse of A, by its Cholesky factor."""
@overload
def cholesky_solve(input: Tensor, L: Any, upper: Any = False) -> Tensor:
    """x with A x = input, by the Cholesky factor of A."""
@overload
def cholesky_solve(input: Array, L: Any, upper: Any = False) -> Any: ...
@overload
def chunk(input: Tensor, chunks: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
    """About `chunks` parts of equal length along an axis."""
@overload
def chunk(input: Array, chunks: Any, dim: Any = 0) -> Any: ...
@overload
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Each element brought into [min, max]; either may be None."""
@overload
def clamp(input: Array, min: Any = None, max: Any = None) -> Any: ...
@overload
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Each element, not above `max`."""
@overload
def clamp_max(input: Array, max: Any) -> Any: ...
@overload
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Each element, not below `min`."""
@overload
def clamp_min(input: Array, min: Any) -> Any: ...
@overload
def clip(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Each element brought into [min, max]; either may be None."""
@overload
def clip(input: Array, min: Any = None, max: Any = None) -> Any: ...
def clone(x: Any, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own; gradients flow through."""
def column_stack(tensors: Any) -> Tensor:
    """Vectors as the columns of a matrix; matrices side by side."""
@overload
def combinations(input: Tensor, r: Any = 2, with_replacement: Any = False) -> Tensor:
    """All choices of r elements of a vector, in order."""
@overload
def combinations(input: Array, r: Any = 2, with_replacement: Any = False) -> Any: ...
def complex(real: Any, imag: Any) -> Tensor:
    """Complex numbers of these real and imaginary parts, which have one float dtype."""
def concat(tensors: Any, dim: Any = 0) -> Tensor:
    """Tensors one after the other along an axis."""
def concatenate(tensors: Any, dim: Any = 0) -> Tensor:
    """Tensors one after the other along an axis."""
@overload
def conj(input: Tensor) -> Tensor:
    """The complex conjugate of each element; a real tensor itself."""
@overload
def conj(input: Array) -> Any: ...
@overload
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate of each element; a real tensor itself."""
@overload
def conj_physical(input: Array) -> Any: ...
@overload
def conv1d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """Correlation of (n, c, length) with weight (o, c / groups, k), as PyTorch calls convolution."""
@overload
def conv1d(input: Array, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Any: ...
@overload
def conv2d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """Correlation of (n, c, height, width) with weight (o, c / groups, kh, kw)."""
@overload
def conv2d(input: Array, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Any: ...
@overload
def conv3d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Tensor:
    """Correlation of (n, c, depth, height, width) with weight (o, c / groups, kd, kh, kw)."""
@overload
def conv3d(input: Array, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1) -> Any: ...
@overload
def conv_transpose1d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Tensor:
    """The transpose of conv1d; weight (c, o / groups, k)."""
@overload
def conv_transpose1d(input: Array, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any: ...
@overload
def conv_transpose2d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Tensor:
    """The transpose of conv2d; weight (c, o / groups, kh, kw)."""
@overload
def conv_transpose2d(input: Array, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any: ...
@overload
def conv_transpose3d(input: Tensor, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Tensor:
    """The transpose of conv3d; weight (c, o / groups, kd, kh, kw)."""
@overload
def conv_transpose3d(input: Array, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: Any = 1, dilation: Any = 1) -> Any: ...
def convolve(a: Any, v: Any, mode: Any = 'full') -> Tensor:
    """Sums of products of one vector with another moved along it backwards (NumPy's)."""
@overload
def copysign(input: Tensor, other: Operand) -> Tensor:
    """The size of the first with the sign of the second, the sign of a zero included."""
@overload
def copysign(input: Array, other: Operand) -> Any: ...
@overload
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of the rows, which are variables; columns are observations."""
@overload
def corrcoef(input: Array) -> Any: ...
def correlate(a: Any, v: Any, mode: Any = 'valid') -> Tensor:
    """Sums of products of one vector with another moved along it (NumPy's)."""
@overload
def cos(input: Tensor) -> Tensor:
    """Cosine of each element, in radians."""
@overload
def cos(input: Array) -> Any: ...
@overload
def cosh(input: Tensor) -> Tensor:
    """Hyperbolic cosine of each element."""
@overload
def cosh(input: Array) -> Any: ...
def cosine_similarity(x1: Any, x2: Any, dim: Any = 1, eps: Any = 1e-08) -> Tensor:
    """The cosine of the angle between vectors along an axis; norms are at least eps."""
@overload
def count_nonzero(input: Tensor, dim: Any = None, *, keepdim: Any = False) -> Tensor:
    """How many elements are not zero."""
@overload
def count_nonzero(input: Array, dim: Any = None, *, keepdim: Any = False) -> Any: ...
@overload
def cov(input: Tensor, *, correction: Any = 1, fweights: Any = None, aweights: Any = None) -> Tensor:
    """The covariances of the rows, which are variables; columns are observations."""
@overload
def cov(input: Array, *, correction: Any = 1, fweights: Any = None, aweights: Any = None) -> Any: ...
@overload
def cross(input: Tensor, other: Operand, dim: Any = None) -> Tensor:
    """Cross product along an axis of length 3 (the first such one); others broadcast."""
@overload
def cross(input: Array, other: Operand, dim: Any = None) -> Any: ...
@overload
def cummax(input: Tensor, dim: Any) -> Extreme:
    """The largest element so far along an axis, and its place: the last one of equals."""
@overload
def cummax(input: Array, dim: Any) -> Any: ...
@overload
def cummin(input: Tensor, dim: Any) -> Extreme:
    """The smallest element so far along an axis, and its place: the last one of equals."""
@overload
def cummin(input: Array, dim: Any) -> Any: ...
@overload
def cumprod(input: Tensor, dim: Any = None, *, dtype: Any = None) -> Tensor:
    """Running product along an axis; its slopes are exact where elements are zero."""
@overload
def cumprod(input: Array, dim: Any = None, *, dtype: Any = None) -> Any: ...
@overload
def cumsum(input: Tensor, dim: Any = None, *, dtype: Any = None) -> Tensor:
    """Running sum along an axis (NumPy: of the flattened tensor if none is given)."""
@overload
def cumsum(input: Array, dim: Any = None, *, dtype: Any = None) -> Any: ...
def cumulative_trapezoid(y: Operand, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Tensor:
    """The integral by the trapezoid rule up to each point but the first."""
@overload
def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
@overload
def deg2rad(input: Array) -> Any: ...
def det(A: Any) -> Tensor:
    """The determinant of square matrices; its gradient is right of singular ones too."""
@overload
def diag(input: Tensor, diagonal: Any = 0) -> Tensor:
    """A matrix with this diagonal, or a copy of the diagonal of a matrix."""
@overload
def diag(input: Array, diagonal: Any = 0) -> Any: ...
@overload
def diag_embed(input: Tensor, offset: Any = 0, dim1: Any = -2, dim2: Any = -1) -> Tensor:
    """Matrices, over axes dim1 and dim2 of the result, with the last axis as their diagonal."""
@overload
def diag_embed(input: Array, offset: Any = 0, dim1: Any = -2, dim2: Any = -1) -> Any: ...
@overload
def diagflat(input: Tensor, offset: Any = 0) -> Tensor:
    """A matrix with all elements of the tensor on its diagonal."""
@overload
def diagflat(input: Array, offset: Any = 0) -> Any: ...
@overload
def diagonal(input: Tensor, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Tensor:
    """The diagonal of two axes, as the last axis: a view."""
@overload
def diagonal(input: Array, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Any: ...
@overload
def diagonal_scatter(input: Tensor, src: Any, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Tensor:
    """A copy with `src` on a diagonal."""
@overload
def diagonal_scatter(input: Array, src: Any, offset: Any = 0, dim1: Any = 0, dim2: Any = 1) -> Any: ...
@overload
def diff(input: Tensor, n: Any = 1, dim: Any = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along an axis, n times."""
@overload
def diff(input: Array, n: Any = 1, dim: Any = -1, prepend: Any = None, append: Any = None) -> Any: ...
@overload
def digamma(input: Tensor) -> Tensor:
    """Derivative of lgamma: the logarithmic derivative of the gamma function."""
@overload
def digamma(input: Array) -> Any: ...
@overload
def dist(input: Tensor, other: Operand, p: Any = 2) -> Tensor:
    """The p-norm of input - other, over all elements."""
@overload
def dist(input: Array, other: Operand, p: Any = 2) -> Any: ...
@overload
def div(input: Tensor, other: Operand, *, rounding_mode: Any = None) -> Tensor:
    """True quotient; rounding_mode "floor" or "trunc" rounds it."""
@overload
def div(input: Array, other: Operand, *, rounding_mode: Any = None) -> Any: ...
@overload
def divide(input: Tensor, other: Operand, *, rounding_mode: Any = None) -> Tensor:
    """True quotient; rounding_mode "floor" or "trunc" rounds it."""
@overload
def divide(input: Array, other: Operand, *, rounding_mode: Any = None) -> Any: ...
@overload
def dot(input: Tensor, tensor: Operand) -> Tensor:
    """Sum of the products of two vectors."""
@overload
def dot(input: Array, tensor: Operand) -> Any: ...
@overload
def dropout(input: Tensor, p: Any = 0.5, training: Any = True, inplace: Any = False) -> Tensor:
    """Elements set to 0 with probability p, the others divided by 1 - p."""
@overload
def dropout(input: Array, p: Any = 0.5, training: Any = True, inplace: Any = False) -> Any: ...
@overload
def dsplit(input: Tensor, indices_or_sections: Any) -> builtins.tuple[Tensor, ...]:
    """Parts behind each other: along the third axis."""
@overload
def dsplit(input: Array, indices_or_sections: Any) -> Any: ...
def dstack(tensors: Any) -> Tensor:
    """Behind each other: along the third axis, a matrix as (n, m, 1)."""
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sum of products over named axes, as np.einsum: any expression, also as lists of numbers."""
def empty(*given: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """A tensor to be filled; its elements are 0, but do not rely on them."""
@overload
def empty_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None) -> Tensor:
    """As `empty`, in the shape and dtype of another tensor."""
@overload
def empty_like(input: Array, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None) -> Any: ...
@overload
def eq(input: Tensor, other: Operand) -> Tensor:
    """u == v, elementwise."""
@overload
def eq(input: Array, other: Operand) -> Any: ...
def equal(input: Operand, other: Operand) -> builtins.bool:
    """Whether shape and all elements agree, as a Python bool."""
@overload
def erf(input: Tensor) -> Tensor:
    """Error function of each element."""
@overload
def erf(input: Array) -> Any: ...
@overload
def erfc(input: Tensor) -> Tensor:
    """Complementary error function 1 - erf(x), exact for large x."""
@overload
def erfc(input: Array) -> Any: ...
@overload
def erfinv(input: Tensor) -> Tensor:
    """The x whose error function is the element; infinite at -1 and 1, NaN beyond."""
@overload
def erfinv(input: Array) -> Any: ...
@overload
def exp(input: Tensor) -> Tensor:
    """e to the power of each element."""
@overload
def exp(input: Array) -> Any: ...
@overload
def exp2(input: Tensor) -> Tensor:
    """2 to the power of each element."""
@overload
def exp2(input: Array) -> Any: ...
@overload
def expand_dims(input: Tensor, dim: Any) -> Tensor:
    """New axes of length 1, at these places of the result (NumPy's `unsqueeze`)."""
@overload
def expand_dims(input: Array, dim: Any) -> Any: ...
@overload
def expm1(input: Tensor) -> Tensor:
    """exp(x) - 1, exact for small x."""
@overload
def expm1(input: Array) -> Any: ...
def eye(n: Any, m: Any = None, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """The identity matrix."""
@overload
def feature_alpha_dropout(input: Tensor, p: Any = 0.5, training: Any = False, inplace: Any = False) -> Tensor:
    """alpha_dropout of whole channels."""
@overload
def feature_alpha_dropout(input: Array, p: Any = 0.5, training: Any = False, inplace: Any = False) -> Any: ...
def finfo(dtype: Any = None) -> FloatInfo:
    """The limits of a float dtype (None: the default), as Python numbers."""
@overload
def fix(input: Tensor) -> Tensor:
    """Each element without its fraction."""
@overload
def fix(input: Array) -> Any: ...
@overload
def flatten(input: Tensor, start_dim: Any = 0, end_dim: Any = -1) -> Tensor:
    """Axes start_dim … end_dim as one."""
@overload
def flatten(input: Array, start_dim: Any = 0, end_dim: Any = -1) -> Any: ...
@overload
def flip(input: Tensor, *dims: Any) -> Tensor:
    """The elements in reverse order along axes."""
@overload
def flip(input: Array, *dims: Any) -> Any: ...
@overload
def fliplr(input: Tensor) -> Tensor:
    """The elements in reverse order along the second axis."""
@overload
def fliplr(input: Array) -> Any: ...
@overload
def flipud(input: Tensor) -> Tensor:
    """The elements in reverse order along the first axis."""
@overload
def flipud(input: Array) -> Any: ...
@overload
def float_power(input: Tensor, exponent: Any) -> Tensor:
    """input to the power of exponent, in float64 (complex128 if one of them is complex)."""
@overload
def float_power(input: Array, exponent: Any) -> Any: ...
@overload
def floor(input: Tensor) -> Tensor:
    """The largest whole number not above each element."""
@overload
def floor(input: Array) -> Any: ...
@overload
def floor_divide(input: Tensor, other: Operand) -> Tensor:
    """The largest whole number not above the quotient, as Python's //."""
@overload
def floor_divide(input: Array, other: Operand) -> Any: ...
@overload
def fmax(input: Tensor, other: Operand) -> Tensor:
    """The larger of two elements; the other one if one is NaN."""
@overload
def fmax(input: Array, other: Operand) -> Any: ...
@overload
def fmin(input: Tensor, other: Operand) -> Tensor:
    """The smaller of two elements; the other one if one is NaN."""
@overload
def fmin(input: Array, other: Operand) -> Any: ...
@overload
def fmod(input: Tensor, other: Operand) -> Tensor:
    """Remainder of division with the sign of the dividend, as C's fmod."""
@overload
def fmod(input: Array, other: Operand) -> Any: ...
@overload
def frac(input: Tensor) -> Tensor:
    """The part of each element behind the point, with its sign."""
@overload
def frac(input: Array) -> Any: ...
@overload
def frexp(input: Tensor) -> Parts:
    """Mantissas m, 0.5 <= |m| < 1, and exponents e (int32) with input = m * 2**e."""
@overload
def frexp(input: Array) -> Any: ...
def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: Any = None) -> Tensor:
    """A tensor on the memory of another library's array: a change of one shows in the other."""
def from_numpy(array: Any) -> Tensor:
    """A tensor on the memory of a NumPy array: a change of one shows in the other."""
def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """A tensor filled with one number."""
@overload
def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """A tensor filled with one number, in the shape and dtype of another."""
@overload
def full_like(input: Array, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Any: ...
@overload
def gather(input: Tensor, dim: Any, index: Any) -> Tensor:
    """Elements picked along an axis: y[i][j] = x[i][index[i][j]] for dim 1."""
@overload
def gather(input: Array, dim: Any, index: Any) -> Any: ...
@overload
def ge(input: Tensor, other: Operand) -> Tensor:
    """u >= v, elementwise."""
@overload
def ge(input: Array, other: Operand) -> Any: ...
def geomspace(start: Any, stop: Any, num: Any = 50, endpoint: Any = True, dtype: Any = None, axis: Any = 0) -> Tensor:
    """num numbers from start to stop, each the same multiple of the one before (NumPy's)."""
@overload
def ger(input: Tensor, vec2: Operand) -> Tensor:
    """All products of the elements of two vectors."""
@overload
def ger(input: Array, vec2: Operand) -> Any: ...
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Any:
    """Slopes of samples along axes, by differences of second order inside (NumPy's)."""
@overload
def greater(input: Tensor, other: Operand) -> Tensor:
    """u > v, elementwise."""
@overload
def greater(input: Array, other: Operand) -> Any: ...
@overload
def greater_equal(input: Tensor, other: Operand) -> Tensor:
    """u >= v, elementwise."""
@overload
def greater_equal(input: Array, other: Operand) -> Any: ...
@overload
def group_norm(input: Tensor, num_groups: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-05) -> Tensor:
    """Mean 0 and variance 1 of every group of channels of every element of the batch."""
@overload
def group_norm(input: Array, num_groups: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-05) -> Any: ...
@overload
def gt(input: Tensor, other: Operand) -> Tensor:
    """u > v, elementwise."""
@overload
def gt(input: Array, other: Operand) -> Any: ...
def hamming_window(window_length: Any, periodic: Any = True, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """Hamming's window: an arch of a cosine on a step."""
def hann_window(window_length: Any, periodic: Any = True, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """Hann's window: one arch of a cosine, 0 at its ends."""
@overload
def hardshrink(input: Tensor, lambd: Any = 0.5) -> Tensor:
    """x, but 0 within lambd of 0."""
@overload
def hardshrink(input: Array, lambd: Any = 0.5) -> Any: ...
@overload
def heaviside(input: Tensor, other: Operand) -> Tensor:
    """0 for a negative element, 1 for a positive one, and the second operand at 0."""
@overload
def heaviside(input: Array, other: Operand) -> Any: ...
@overload
def hsplit(input: Tensor, indices_or_sections: Any) -> builtins.tuple[Tensor, ...]:
    """Parts side by side: along the second axis, of a vector the first."""
@overload
def hsplit(input: Array, indices_or_sections: Any) -> Any: ...
def hstack(tensors: Any) -> Tensor:
    """Side by side: along the second axis, vectors along the first."""
@overload
def hypot(input: Tensor, other: Operand) -> Tensor:
    """sqrt(u * u + v * v) without overflow, broadcast together."""
@overload
def hypot(input: Array, other: Operand) -> Any: ...
@overload
def i0(input: Tensor) -> Tensor:
    """Modified Bessel function of the first kind, order 0."""
@overload
def i0(input: Array) -> Any: ...
@overload
def igamma(input: Tensor, other: Operand) -> Tensor:
    """Regularised lower incomplete gamma function P(a, x)."""
@overload
def igamma(input: Array, other: Operand) -> Any: ...
@overload
def igammac(input: Tensor, other: Operand) -> Tensor:
    """Regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x)."""
@overload
def igammac(input: Array, other: Operand) -> Any: ...
def iinfo(dtype: Any) -> np.iinfo:
    """The limits of an integer dtype."""
@overload
def imag(input: Tensor) -> Tensor:
    """The imaginary part, on the same memory."""
@overload
def imag(input: Array) -> Any: ...
@overload
def index_add(input: Tensor, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> Tensor:
    """A copy with the parts of `alpha * source` added at the given indices of an axis."""
@overload
def index_add(input: Array, dim: Any, index: Any, source: Any, *, alpha: Any = 1) -> Any: ...
@overload
def index_copy(input: Tensor, dim: Any, index: Any, source: Any) -> Tensor:
    """A copy with the parts of `source` at the given indices of an axis."""
@overload
def index_copy(input: Array, dim: Any, index: Any, source: Any) -> Any: ...
@overload
def index_fill(input: Tensor, dim: Any, index: Any, value: Operand) -> Tensor:
    """A copy with `value` at the given indices of an axis."""
@overload
def index_fill(input: Array, dim: Any, index: Any, value: Operand) -> Any: ...
@overload
def index_put(input: Tensor, indices: Any, values: Any, accumulate: Any = False) -> Tensor:
    """A copy with `values` written, or added, at places told by a tuple of arrays or masks."""
@overload
def index_put(input: Array, indices: Any, values: Any, accumulate: Any = False) -> Any: ...
def index_put_(x: Any, *args: Any, **kwargs: Any) -> Tensor:
    """As `index_put`, written into the memory of the tensor, which is returned."""
@overload
def index_reduce(input: Tensor, dim: Any, index: Any, source: Any, reduce: Any, *, include_self: Any = True) -> Tensor:
    """A copy with the parts of `source` combined at indices of an axis: prod, mean, amax or amin."""
@overload
def index_reduce(input: Array, dim: Any, index: Any, source: Any, reduce: Any, *, include_self: Any = True) -> Any: ...
@overload
def index_select(input: Tensor, dim: Any, index: Any) -> Tensor:
    """The parts at the given indices of an axis."""
@overload
def index_select(input: Array, dim: Any, index: Any) -> Any: ...
@overload
def inner(input: Tensor, other: Operand) -> Tensor:
    """Sum of products over the last axes of both; of numbers the product."""
@overload
def inner(input: Array, other: Operand) -> Any: ...
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Tensor:
    """The line through the points (xp, fp), at x; xp is increasing (NumPy's)."""
def inverse(A: Any) -> Tensor:
    """The inverse of square matrices."""
def is_complex(input: Operand) -> builtins.bool:
    """Whether the dtype is complex."""
def is_conj(input: Operand) -> builtins.bool:
    """Whether a conjugation is still due: never, it is done at once."""
def is_neg(input: Operand) -> builtins.bool:
    """Whether a conjugation is still due: never, it is done at once."""
def is_signed(input: Operand) -> builtins.bool:
    """Whether the dtype has negative numbers."""
def is_tensor(value: Operand) -> builtins.bool:
    """Whether a value is a Tensor."""
@overload
def isclose(input: Tensor, other: Operand, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Tensor:
    """Where |input - other| <= atol + rtol |other|; infinities are close to their like."""
@overload
def isclose(input: Array, other: Operand, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any: ...
@overload
def isfinite(input: Tensor) -> Tensor:
    """True where the element is neither NaN nor infinite."""
@overload
def isfinite(input: Array) -> Any: ...
def isin(elements: Any, test_elements: Any, *, assume_unique: Any = False, invert: Any = False) -> Tensor:
    """Which elements are among others."""
@overload
def isinf(input: Tensor) -> Tensor:
    """True where the element is infinite."""
@overload
def isinf(input: Array) -> Any: ...
@overload
def isnan(input: Tensor) -> Tensor:
    """True where the element is NaN."""
@overload
def isnan(input: Array) -> Any: ...
@overload
def isneginf(input: Tensor) -> Tensor:
    """True where the element is -infinity."""
@overload
def isneginf(input: Array) -> Any: ...
@overload
def isposinf(input: Tensor) -> Tensor:
    """True where the element is +infinity."""
@overload
def isposinf(input: Array) -> Any: ...
@overload
def isreal(input: Tensor) -> Tensor:
    """True where the imaginary part is 0."""
@overload
def isreal(input: Array) -> Any: ...
@overload
def kron(input: Tensor, other: Operand) -> Tensor:
    """Kronecker product: a copy of `other` times each element of `input`, in its place."""
@overload
def kron(input: Array, other: Operand) -> Any: ...
@overload
def kthvalue(input: Tensor, k: Any, dim: Any = -1, keepdim: Any = False) -> Extreme:
    """The k-th smallest element along an axis, counted from 1, and its place."""
@overload
def kthvalue(input: Array, k: Any, dim: Any = -1, keepdim: Any = False) -> Any: ...
@overload
def layer_norm(input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-05) -> Tensor:
    """Mean 0 and variance 1 over the last axes, then weight and bias."""
@overload
def layer_norm(input: Array, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-05) -> Any: ...
@overload
def ldexp(input: Tensor, other: Operand) -> Tensor:
    """input * 2**other, without overflow on the way."""
@overload
def ldexp(input: Array, other: Operand) -> Any: ...
@overload
def le(input: Tensor, other: Operand) -> Tensor:
    """u <= v, elementwise."""
@overload
def le(input: Array, other: Operand) -> Any: ...
@overload
def lerp(input: Tensor, end: Any, weight: Any) -> Tensor:
    """From input (weight 0) to end (weight 1), exact at both ends."""
@overload
def lerp(input: Array, end: Any, weight: Any) -> Any: ...
@overload
def less(input: Tensor, other: Operand) -> Tensor:
    """u < v, elementwise."""
@overload
def less(input: Array, other: Operand) -> Any: ...
@overload
def less_equal(input: Tensor, other: Operand) -> Tensor:
    """u <= v, elementwise."""
@overload
def less_equal(input: Array, other: Operand) -> Any: ...
@overload
def lgamma(input: Tensor) -> Tensor:
    """Logarithm of the absolute value of the gamma function of each element."""
@overload
def lgamma(input: Array) -> Any: ...
def linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """`steps` numbers from start to end, both included; slopes by tensors as ends."""
@overload
def log(input: Tensor) -> Tensor:
    """Natural logarithm of each element; -inf at 0, NaN below."""
@overload
def log(input: Array) -> Any: ...
@overload
def log10(input: Tensor) -> Tensor:
    """Logarithm to base 10 of each element."""
@overload
def log10(input: Array) -> Any: ...
@overload
def log1p(input: Tensor) -> Tensor:
    """log(1 + x), exact for small x."""
@overload
def log1p(input: Array) -> Any: ...
@overload
def log2(input: Tensor) -> Tensor:
    """Logarithm to base 2 of each element."""
@overload
def log2(input: Array) -> Any: ...
@overload
def log_softmax(input: Tensor, dim: Any = None, *, dtype: Any = None) -> Tensor:
    """x minus its logsumexp along an axis."""
@overload
def log_softmax(input: Array, dim: Any = None, *, dtype: Any = None) -> Any: ...
@overload
def logaddexp(input: Tensor, other: Operand) -> Tensor:
    """log(exp(u) + exp(v)) without overflow."""
@overload
def logaddexp(input: Array, other: Operand) -> Any: ...
@overload
def logaddexp2(input: Tensor, other: Operand) -> Tensor:
    """log2(2**u + 2**v) without overflow."""
@overload
def logaddexp2(input: Array, other: Operand) -> Any: ...
@overload
def logcumsumexp(input: Tensor, dim: Any) -> Tensor:
    """Running log(sum(exp(x))) along an axis, without overflow."""
@overload
def logcumsumexp(input: Array, dim: Any) -> Any: ...
@overload
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant: NaN where that is negative, -inf where it is 0."""
@overload
def logdet(input: Array) -> Any: ...
@overload
def logical_and(input: Tensor, other: Operand) -> Tensor:
    """True where both are nonzero."""
@overload
def logical_and(input: Array, other: Operand) -> Any: ...
@overload
def logical_not(input: Tensor) -> Tensor:
    """True where the element is zero."""
@overload
def logical_not(input: Array) -> Any: ...
@overload
def logical_or(input: Tensor, other: Operand) -> Tensor:
    """True where at least one is nonzero."""
@overload
def logical_or(input: Array, other: Operand) -> Any: ...
@overload
def logical_xor(input: Tensor, other: Operand) -> Tensor:
    """True where exactly one is nonzero."""
@overload
def logical_xor(input: Array, other: Operand) -> Any: ...
@overload
def logit(input: Tensor, eps: Any = None) -> Tensor:
    """log(x / (1 - x)), the inverse of sigmoid; x first brought into [eps, 1 - eps]."""
@overload
def logit(input: Array, eps: Any = None) -> Any: ...
@overload
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)) of each element, without overflow."""
@overload
def logsigmoid(input: Array) -> Any: ...
def logspace(start: Any, end: Any, steps: Any, base: Any = 10.0, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """base to the powers linspace(start, end, steps)."""
@overload
def logsumexp(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """log(sum(exp(x))) over axes, without overflow."""
@overload
def logsumexp(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
@overload
def lt(input: Tensor, other: Operand) -> Tensor:
    """u < v, elementwise."""
@overload
def lt(input: Array, other: Operand) -> Any: ...
def lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Tensor:
    """x with A x = b, by what linalg.lu_factor gave for A."""
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: Any = True, unpack_pivots: Any = True) -> LU:
    """P, L, U of what linalg.lu_factor gives."""
@overload
def masked_fill(input: Tensor, mask: Operand, value: Operand) -> Tensor:
    """The tensor with `value` where the mask holds."""
@overload
def masked_fill(input: Array, mask: Operand, value: Operand) -> Any: ...
@overload
def masked_scatter(input: Tensor, mask: Operand, source: Any) -> Tensor:
    """A copy with the elements of `source`, one after the other, where the mask holds."""
@overload
def masked_scatter(input: Array, mask: Operand, source: Any) -> Any: ...
@overload
def masked_select(input: Tensor, mask: Operand) -> Tensor:
    """The elements where the mask holds, in one axis."""
@overload
def masked_select(input: Array, mask: Operand) -> Any: ...
@overload
def matmul(input: Tensor, other: Operand) -> Tensor:
    """Matrix product; vectors count as rows or columns, batch axes broadcast."""
@overload
def matmul(input: Array, other: Operand) -> Any: ...
def matrix_exp(A: Any) -> Tensor:
    """The exponential of square matrices: 1 + A + A^2 / 2 + ..."""
@overload
def matrix_power(input: Tensor, n: Any) -> Tensor:
    """A square matrix multiplied by itself, n times; of the inverse where n is negative."""
@overload
def matrix_power(input: Array, n: Any) -> Any: ...
def max(input: Operand, dim: Any = None, keepdim: Any = False, *, other: Operand | None = None, axis: Any = None, keepdims: Any = None) -> Any:
    """The largest element along one axis."""
def max_pool1d(input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """The largest element of each window of the last axis; the slope goes to the first of equals."""
def max_pool2d(input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """The largest element of each window of the last two axes."""
def max_pool3d(input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False, return_indices: Any = False) -> Any:
    """The largest element of each window of the last three axes."""
@overload
def maximum(input: Tensor, other: Operand) -> Tensor:
    """The larger of two elements; NaN if either is NaN."""
@overload
def maximum(input: Array, other: Operand) -> Any: ...
@overload
def mean(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Mean over axes; NaN of no elements."""
@overload
def mean(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def median(input: Operand, dim: Any = None, keepdim: Any = False) -> Any:
    """The median, the lower one of two; along an axis also its place.  (NumPy's is their mean.)"""
def meshgrid(*tensors: Any, indexing: Any = 'ij') -> builtins.tuple[Tensor, ...]:
    """Each vector along an axis of its own, expanded to the shape of all."""
def min(input: Operand, dim: Any = None, keepdim: Any = False, *, other: Operand | None = None, axis: Any = None, keepdims: Any = None) -> Any:
    """The smallest element along one axis."""
@overload
def minimum(input: Tensor, other: Operand) -> Tensor:
    """The smaller of two elements; NaN if either is NaN."""
@overload
def minimum(input: Array, other: Operand) -> Any: ...
@overload
def mm(input: Tensor, mat2: Operand) -> Tensor:
    """Product of two matrices."""
@overload
def mm(input: Array, mat2: Operand) -> Any: ...
@overload
def mode(input: Tensor, dim: Any = -1, keepdim: Any = False) -> Extreme:
    """The most frequent element along an axis, the smallest one of equals, and its last place."""
@overload
def mode(input: Array, dim: Any = -1, keepdim: Any = False) -> Any: ...
@overload
def moveaxis(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to new places, the others in their order."""
@overload
def moveaxis(input: Array, source: Any, destination: Any) -> Any: ...
@overload
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to new places, the others in their order."""
@overload
def movedim(input: Array, source: Any, destination: Any) -> Any: ...
@overload
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first axis."""
@overload
def msort(input: Array) -> Any: ...
@overload
def mul(input: Tensor, other: Operand) -> Tensor:
    """Product of two tensors, broadcast together."""
@overload
def mul(input: Array, other: Operand) -> Any: ...
@overload
def multinomial(input: Tensor, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> Tensor:
    """Places drawn with probabilities proportional to the weights in a row."""
@overload
def multinomial(input: Array, num_samples: Any, replacement: Any = False, *, generator: Any = None) -> Any: ...
@overload
def multiply(input: Tensor, other: Operand) -> Tensor:
    """Product of two tensors, broadcast together."""
@overload
def multiply(input: Array, other: Operand) -> Any: ...
@overload
def mv(input: Tensor, vec: Operand) -> Tensor:
    """Product of a matrix and a vector."""
@overload
def mv(input: Array, vec: Operand) -> Any: ...
@overload
def mvlgamma(input: Tensor, p: Any) -> Tensor:
    """Logarithm of the gamma function of dimension p."""
@overload
def mvlgamma(input: Array, p: Any) -> Any: ...
@overload
def nan_to_num(input: Tensor, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """NaN replaced by `nan`, infinities by `posinf` and `neginf`, or the dtype's largest numbers."""
@overload
def nan_to_num(input: Array, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any: ...
@overload
def nanmean(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Mean over axes of what is not NaN; NaN of nothing else."""
@overload
def nanmean(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def nanmedian(input: Operand, dim: Any = None, keepdim: Any = False) -> Any:
    """As `median`, of what is not NaN."""
@overload
def nanquantile(input: Tensor, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Tensor:
    """As `quantile`, of what is not NaN."""
@overload
def nanquantile(input: Array, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Any: ...
@overload
def nansum(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Sum over axes of what is not NaN."""
@overload
def nansum(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
@overload
def narrow(input: Tensor, dim: Any, start: Any, length: Any) -> Tensor:
    """`length` elements from `start` along an axis."""
@overload
def narrow(input: Array, dim: Any, start: Any, length: Any) -> Any: ...
@overload
def narrow_copy(input: Tensor, dim: Any, start: Any, length: Any) -> Tensor:
    """As `narrow`, in memory of its own."""
@overload
def narrow_copy(input: Array, dim: Any, start: Any, length: Any) -> Any: ...
@overload
def ne(input: Tensor, other: Operand) -> Tensor:
    """u != v, elementwise."""
@overload
def ne(input: Array, other: Operand) -> Any: ...
@overload
def neg(input: Tensor) -> Tensor:
    """Negative of each element."""
@overload
def neg(input: Array) -> Any: ...
@overload
def negative(input: Tensor) -> Tensor:
    """Negative of each element."""
@overload
def negative(input: Array) -> Any: ...
@overload
def nextafter(input: Tensor, other: Operand) -> Tensor:
    """The next number of the dtype after input towards other."""
@overload
def nextafter(input: Array, other: Operand) -> Any: ...
def nonzero(input: Operand, *, as_tuple: Any = False) -> Any:
    """The places of the elements that are not zero: (n, axes), or one tensor per axis."""
@overload
def norm(input: Tensor, p: Any = 'fro', dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Tensor:
    """The p-norm of the elements: (sum |x|^p)^(1/p); slope 0 at a zero vector."""
@overload
def norm(input: Array, p: Any = 'fro', dim: Any = None, keepdim: Any = False, dtype: Any = None) -> Any: ...
def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """Normally distributed numbers: mean + std * randn, with slopes by both if they are tensors."""
@overload
def not_equal(input: Tensor, other: Operand) -> Tensor:
    """u != v, elementwise."""
@overload
def not_equal(input: Array, other: Operand) -> Any: ...
def numel(input: Operand) -> builtins.int:
    """The number of elements."""
def ones(*given: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """A tensor of ones."""
@overload
def ones_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None) -> Tensor:
    """As `ones`, in the shape and dtype of another tensor."""
@overload
def ones_like(input: Array, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None) -> Any: ...
@overload
def outer(input: Tensor, vec2: Operand) -> Tensor:
    """All products of the elements of two vectors."""
@overload
def outer(input: Array, vec2: Operand) -> Any: ...
def pairwise_distance(x1: Any, x2: Any, p: Any = 2.0, eps: Any = 1e-06, keepdim: Any = False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis."""
@overload
def pdist(input: Tensor, p: Any = 2) -> Tensor:
    """The p-norm distance between every two rows, i < j."""
@overload
def pdist(input: Array, p: Any = 2) -> Any: ...
def permutation(x: Any, *, generator: Any = None) -> Tensor:
    """The parts along the first axis in random order, or the numbers below x (NumPy's)."""
@overload
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
@overload
def permute(input: Array, *dims: Any) -> Any: ...
@overload
def pinverse(input: Tensor, rcond: Any = 1e-15) -> Tensor:
    """The pseudo-inverse: PyTorch's older name of linalg.pinv."""
@overload
def pinverse(input: Array, rcond: Any = 1e-15) -> Any: ...
@overload
def pixel_shuffle(input: Tensor, upscale_factor: Any) -> Tensor:
    """(..., c r r, h, w) as (..., c, h r, w r)."""
@overload
def pixel_shuffle(input: Array, upscale_factor: Any) -> Any: ...
@overload
def pixel_unshuffle(input: Tensor, downscale_factor: Any) -> Tensor:
    """(..., c, h r, w r) as (..., c r r, h, w)."""
@overload
def pixel_unshuffle(input: Array, downscale_factor: Any) -> Any: ...
@overload
def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Poisson distributed numbers of the given rates; without slope."""
@overload
def poisson(input: Array, generator: Any = None) -> Any: ...
def polar(abs: Any, angle: Any) -> Tensor:
    """Complex numbers of these moduli and angles, which have one float dtype."""
def polygamma(n: Any, input: Operand) -> Any:
    """The derivative of order n of digamma."""
def polyval(p: Any, x: Any) -> Tensor:
    """The polynomial with coefficients p, the highest power first, at x (NumPy's)."""
@overload
def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
@overload
def positive(input: Array) -> Any: ...
@overload
def pow(input: Tensor, exponent: Any) -> Tensor:
    """input to the power of exponent (a number or tensors broadcast together)."""
@overload
def pow(input: Array, exponent: Any) -> Any: ...
@overload
def prelu(input: Tensor, weight: Any) -> Tensor:
    """x where x > 0, else weight * x; one weight, or one for every channel (axis 1)."""
@overload
def prelu(input: Array, weight: Any) -> Any: ...
@overload
def prod(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Product over axes."""
@overload
def prod(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def promote_types(x: Any, y: Operand) -> dtype:
    """The smaller dtype that holds both (two dtypes of equal standing)."""
def ptp(a: Any, axis: Any = None, *, keepdims: Any = False) -> Tensor:
    """The largest less the smallest element (NumPy's)."""
@overload
def put(input: Tensor, index: Any, source: Any, accumulate: Any = False) -> Tensor:
    """A copy with elements written, or added, at places of the flattened tensor."""
@overload
def put(input: Array, index: Any, source: Any, accumulate: Any = False) -> Any: ...
def qr(input: Operand, some: Any = True) -> QR:
    """Q and R with input = Q R: PyTorch's older name of linalg.qr."""
@overload
def quantile(input: Tensor, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Tensor:
    """The q-th quantiles along an axis; several q give a first axis of them."""
@overload
def quantile(input: Array, q: Any, dim: Any = None, keepdim: Any = False, *, interpolation: Any = 'linear') -> Any: ...
@overload
def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
@overload
def rad2deg(input: Array) -> Any: ...
def rand(*size: Any, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False, **named_size: Any) -> Tensor:
    """Random numbers, uniform in [0, 1)."""
@overload
def rand_like(input: Tensor, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """As `rand`, in the shape and dtype of another tensor."""
@overload
def rand_like(input: Array, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Any: ...
def randint(low: Any, high: Any = None, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """Random integers in [low, high)."""
@overload
def randint_like(input: Tensor, low: Any, high: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None) -> Tensor:
    """Random integers in [low, high), in the shape and dtype of another tensor."""
@overload
def randint_like(input: Array, low: Any, high: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None) -> Any: ...
def randn(*size: Any, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False, **named_size: Any) -> Tensor:
    """Random numbers of mean 0 and variance 1, normally distributed."""
@overload
def randn_like(input: Tensor, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """As `randn`, in the shape and dtype of another tensor."""
@overload
def randn_like(input: Array, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Any: ...
def randperm(n: Any, *, generator: Any = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers 0 … n-1 in random order."""
@overload
def ravel(input: Tensor, order: Any = 'C') -> Tensor:
    """All elements in one axis."""
@overload
def ravel(input: Array, order: Any = 'C') -> Any: ...
@overload
def real(input: Tensor) -> Tensor:
    """The real part, on the same memory; a real tensor itself."""
@overload
def real(input: Array) -> Any: ...
@overload
def reciprocal(input: Tensor) -> Tensor:
    """1 / x of each element."""
@overload
def reciprocal(input: Array) -> Any: ...
@overload
def relu(input: Tensor) -> Tensor:
    """Each element, or 0 where it is negative."""
@overload
def relu(input: Array) -> Any: ...
@overload
def relu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `relu`, written into the memory of the tensor."""
@overload
def relu_(input: Array, *args: Any, **kwargs: Any) -> Any: ...
@overload
def remainder(input: Tensor, other: Operand) -> Tensor:
    """Remainder of division with the sign of the divisor, as Python's %."""
@overload
def remainder(input: Array, other: Operand) -> Any: ...
@overload
def renorm(input: Tensor, p: Any, dim: Any, maxnorm: Any) -> Tensor:
    """The tensor with those parts along an axis scaled down whose p-norm is above maxnorm."""
@overload
def renorm(input: Array, p: Any, dim: Any, maxnorm: Any) -> Any: ...
@overload
def repeat_interleave(input: Tensor, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Tensor:
    """Every element so many times in place: one number for all, or one for each."""
@overload
def repeat_interleave(input: Array, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any: ...
@overload
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape; one length may be -1."""
@overload
def reshape(input: Array, *shape: Any) -> Any: ...
@overload
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: no conjugation or negation is ever put off."""
@overload
def resolve_conj(input: Array) -> Any: ...
@overload
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: no conjugation or negation is ever put off."""
@overload
def resolve_neg(input: Array) -> Any: ...
def result_type(x: Any, y: Operand) -> dtype:
    """The dtype of x + y."""
@overload
def rms_norm(input: Tensor, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Tensor:
    """Mean square 1 over the last axes, then weight; eps is by default the dtype's."""
@overload
def rms_norm(input: Array, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any: ...
@overload
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved along axes, around the end."""
@overload
def roll(input: Array, shifts: Any, dims: Any = None) -> Any: ...
@overload
def rot90(input: Tensor, k: Any = 1, dims: Any = ...) -> Tensor:
    """Turned by k quarters, from the first of two axes to the second."""
@overload
def rot90(input: Array, k: Any = 1, dims: Any = ...) -> Any: ...
@overload
def round(input: Tensor, *, decimals: Any = 0) -> Tensor:
    """The nearest multiple of 10**-decimals, halves to even."""
@overload
def round(input: Array, *, decimals: Any = 0) -> Any: ...
def row_stack(tensors: Any) -> Tensor:
    """Below each other: along the first axis, vectors as rows."""
@overload
def rrelu(input: Tensor, lower: Any = 0.125, upper: Any = 0.3333333333333333, training: Any = False, inplace: Any = False) -> Tensor:
    """Leaky relu whose slope is drawn from [lower, upper) for every element, or their middle."""
@overload
def rrelu(input: Array, lower: Any = 0.125, upper: Any = 0.3333333333333333, training: Any = False, inplace: Any = False) -> Any: ...
@overload
def rrelu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `rrelu`, written into the memory of the tensor."""
@overload
def rrelu_(input: Array, *args: Any, **kwargs: Any) -> Any: ...
@overload
def rsqrt(input: Tensor) -> Tensor:
    """1 / sqrt(x) of each element."""
@overload
def rsqrt(input: Array) -> Any: ...
def scalar_tensor(value: Operand, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """A 0-d tensor; numbers take the default float dtype."""
@overload
def scatter(input: Tensor, dim: Any, index: Any, src: Any = None, *, value: Operand | None = None, reduce: Any = None) -> Tensor:
    """A copy with elements of `src` (or one number) written along an axis."""
@overload
def scatter(input: Array, dim: Any, index: Any, src: Any = None, *, value: Operand | None = None, reduce: Any = None) -> Any: ...
@overload
def scatter_add(input: Tensor, dim: Any, index: Any, src: Any) -> Tensor:
    """A copy with elements of `src` added along an axis; those of one place add up."""
@overload
def scatter_add(input: Array, dim: Any, index: Any, src: Any) -> Any: ...
@overload
def scatter_reduce(input: Tensor, dim: Any, index: Any, src: Any, reduce: Any, *, include_self: Any = True) -> Tensor:
    """A copy with elements of `src` combined along an axis: sum, prod, mean, amax or amin."""
@overload
def scatter_reduce(input: Array, dim: Any, index: Any, src: Any, reduce: Any, *, include_self: Any = True) -> Any: ...
def searchsorted(sorted_sequence: Any, input: Operand, *, right: Any = False, side: Any = None) -> Tensor:
    """Where the elements would be inserted in sorted numbers to keep them sorted."""
@overload
def select(input: Tensor, dim: Any, index: Any) -> Tensor:
    """The part at one index of an axis, without that axis."""
@overload
def select(input: Array, dim: Any, index: Any) -> Any: ...
@overload
def select_scatter(input: Tensor, src: Any, dim: Any, index: Any) -> Tensor:
    """A copy with `src` at one index of an axis."""
@overload
def select_scatter(input: Array, src: Any, dim: Any, index: Any) -> Any: ...
@overload
def selu(input: Tensor, inplace: Any = False) -> Tensor:
    """elu with the two constants that keep mean 0 and variance 1 from layer to layer."""
@overload
def selu(input: Array, inplace: Any = False) -> Any: ...
@overload
def selu_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `selu`, written into the memory of the tensor."""
@overload
def selu_(input: Array, *args: Any, **kwargs: Any) -> Any: ...
@overload
def sgn(input: Tensor) -> Tensor:
    """The sign; of a complex number the one of modulus 1 at its angle, 0 at 0."""
@overload
def sgn(input: Array) -> Any: ...
@overload
def sigmoid(input: Tensor) -> Tensor:
    """Logistic function 1 / (1 + exp(-x)) of each element."""
@overload
def sigmoid(input: Array) -> Any: ...
@overload
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1 by the sign of each element; 0 for NaN."""
@overload
def sign(input: Array) -> Any: ...
@overload
def signbit(input: Tensor) -> Tensor:
    """True where the sign is minus, also of -0.0 and NaN."""
@overload
def signbit(input: Array) -> Any: ...
@overload
def sin(input: Tensor) -> Tensor:
    """Sine of each element, in radians."""
@overload
def sin(input: Array) -> Any: ...
@overload
def sinc(input: Tensor) -> Tensor:
    """sin(pi x) / (pi x), and 1 at 0."""
@overload
def sinc(input: Array) -> Any: ...
@overload
def sinh(input: Tensor) -> Tensor:
    """Hyperbolic sine of each element."""
@overload
def sinh(input: Array) -> Any: ...
@overload
def slice_scatter(input: Tensor, src: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Tensor:
    """A copy with `src` in a slice of an axis."""
@overload
def slice_scatter(input: Array, src: Any, dim: Any = 0, start: Any = None, end: Any = None, step: Any = 1) -> Any: ...
def slogdet(A: Any) -> Slogdet:
    """The sign of the determinant, and the logarithm of its size: A = sign exp(logabsdet)."""
@overload
def softmax(input: Tensor, dim: Any = None, *, dtype: Any = None) -> Tensor:
    """exp(x) divided by its sum along an axis."""
@overload
def softmax(input: Array, dim: Any = None, *, dtype: Any = None) -> Any: ...
@overload
def softplus(input: Tensor) -> Tensor:
    """log(1 + exp(x)) of each element, without overflow."""
@overload
def softplus(input: Array) -> Any: ...
@overload
def sort(input: Tensor, dim: Any = -1, descending: Any = False, stable: Any = False) -> Extreme:
    """The elements in order along an axis, and where they came from; NaN is above all."""
@overload
def sort(input: Array, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any: ...
def split(tensor: Operand, split_size_or_sections: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
    """Parts of a given length, or of given lengths, along an axis."""
@overload
def split_with_sizes(input: Tensor, split_sizes: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
    """Parts of given lengths along an axis."""
@overload
def split_with_sizes(input: Array, split_sizes: Any, dim: Any = 0) -> Any: ...
@overload
def sqrt(input: Tensor) -> Tensor:
    """Square root of each element; NaN below 0."""
@overload
def sqrt(input: Array) -> Any: ...
@overload
def square(input: Tensor) -> Tensor:
    """input * input."""
@overload
def square(input: Array) -> Any: ...
@overload
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without axes of length 1 (all of them, or those named)."""
@overload
def squeeze(input: Array, dim: Any = None) -> Any: ...
def stack(tensors: Any, dim: Any = 0) -> Tensor:
    """Tensors of equal shape along a new axis."""
@overload
def std(input: Tensor, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Tensor:
    """Standard deviation over axes; n - correction in the denominator."""
@overload
def std(input: Array, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Any: ...
def std_mean(input: Operand, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Any:
    """Standard deviation and mean over axes."""
@overload
def sub(input: Tensor, other: Operand, *, alpha: Any = 1) -> Tensor:
    """Difference of two tensors, broadcast together."""
@overload
def sub(input: Array, other: Operand, *, alpha: Any = 1) -> Any: ...
@overload
def subtract(input: Tensor, other: Operand, *, alpha: Any = 1) -> Tensor:
    """Difference of two tensors, broadcast together."""
@overload
def subtract(input: Array, other: Operand, *, alpha: Any = 1) -> Any: ...
@overload
def sum(input: Tensor, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Tensor:
    """Sum over axes."""
@overload
def sum(input: Array, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any: ...
def svd(input: Operand, some: Any = True, compute_uv: Any = True) -> OldSVD:
    """U, S, V with input = U diag(S) V^H: PyTorch's older name of linalg.svd."""
@overload
def swapaxes(input: Tensor, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
    """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order."""
@overload
def swapaxes(input: Array, *dims: Any, dim0: Any = None, dim1: Any = None) -> Any: ...
@overload
def swapdims(input: Tensor, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
    """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order."""
@overload
def swapdims(input: Array, *dims: Any, dim0: Any = None, dim1: Any = None) -> Any: ...
@overload
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors as they are."""
@overload
def t(input: Array) -> Any: ...
@overload
def take(input: Tensor, index: Any, axis: Any = None) -> Tensor:
    """Elements by their place in the flattened tensor (NumPy: or along an axis)."""
@overload
def take(input: Array, index: Any, axis: Any = None) -> Any: ...
@overload
def take_along_dim(input: Tensor, indices: Any, dim: Any = None) -> Tensor:
    """Elements picked along an axis, the others broadcast; without one of the flattened tensor."""
@overload
def take_along_dim(input: Array, indices: Any, dim: Any = None) -> Any: ...
@overload
def tan(input: Tensor) -> Tensor:
    """Tangent of each element, in radians."""
@overload
def tan(input: Array) -> Any: ...
@overload
def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent of each element; the result lies in [-1, 1]."""
@overload
def tanh(input: Array) -> Any: ...
def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, pin_memory: Any = False) -> Tensor:
    """A new leaf tensor with a copy of `data`."""
@overload
def tensor_split(input: Tensor, indices_or_sections: Any, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
    """So many parts, the first ones longer by one where need be; or parts cut at these places."""
@overload
def tensor_split(input: Array, indices_or_sections: Any, dim: Any = 0) -> Any: ...
def tensordot(a: Any, b: Any, dims: Any = 2) -> Tensor:
    """Sum of products over the last `dims` axes of a and the first of b, or over lists of axes."""
@overload
def threshold(input: Tensor, threshold: Any, value: Operand, inplace: Any = False) -> Tensor:
    """x where x > threshold, else value."""
@overload
def threshold(input: Array, threshold: Any, value: Operand, inplace: Any = False) -> Any: ...
@overload
def threshold_(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As `threshold`, written into the memory of the tensor."""
@overload
def threshold_(input: Array, *args: Any, **kwargs: Any) -> Any: ...
@overload
def tile(input: Tensor, *dims: Any) -> Tensor:
    """As repeat; missing factors count as 1."""
@overload
def tile(input: Array, *dims: Any) -> Any: ...
@overload
def topk(input: Tensor, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> Extreme:
    """The k largest (or smallest) elements along an axis, in order."""
@overload
def topk(input: Array, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> Any: ...
@overload
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix."""
@overload
def trace(input: Array) -> Any: ...
@overload
def transpose(input: Tensor, *dims: Any, dim0: Any = None, dim1: Any = None) -> Tensor:
    """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order."""
@overload
def transpose(input: Array, *dims: Any, dim0: Any = None, dim1: Any = None) -> Any: ...
def trapezoid(y: Operand, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Tensor:
    """The integral along an axis by the trapezoid rule, of points x or at distances dx."""
def trapz(y: Operand, x: Any = None, *, dx: Any = None, dim: Any = -1) -> Tensor:
    """The integral along an axis by the trapezoid rule, of points x or at distances dx."""
def triangular_solve(b: Any, A: Any, upper: Any = True, transpose: Any = False, unitriangular: Any = False) -> Triangular:
    """x with A x = b, of triangular A, and A: PyTorch's older name of linalg.solve_triangular."""
@overload
def tril(input: Tensor, diagonal: Any = 0) -> Tensor:
    """The elements on and below a diagonal of the last two axes, 0 elsewhere."""
@overload
def tril(input: Array, diagonal: Any = 0) -> Any: ...
def tril_indices(row: Any, col: Any = None, offset: Any = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The places on and below a diagonal, as two rows."""
@overload
def triu(input: Tensor, diagonal: Any = 0) -> Tensor:
    """The elements on and above a diagonal of the last two axes, 0 elsewhere."""
@overload
def triu(input: Array, diagonal: Any = 0) -> Any: ...
def triu_indices(row: Any, col: Any = None, offset: Any = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """The places on and above a diagonal, as two rows."""
@overload
def true_divide(input: Tensor, other: Operand, *, rounding_mode: Any = None) -> Tensor:
    """True quotient; rounding_mode "floor" or "trunc" rounds it."""
@overload
def true_divide(input: Array, other: Operand, *, rounding_mode: Any = None) -> Any: ...
@overload
def trunc(input: Tensor) -> Tensor:
    """Each element without its fraction."""
@overload
def trunc(input: Array) -> Any: ...
@overload
def unbind(input: Tensor, dim: Any = 0) -> builtins.tuple[Tensor, ...]:
    """The parts along an axis, as a tuple."""
@overload
def unbind(input: Array, dim: Any = 0) -> Any: ...
@overload
def unflatten(input: Tensor, dim: Any, sizes: Any) -> Tensor:
    """One axis as several; one of their lengths may be -1."""
@overload
def unflatten(input: Array, dim: Any, sizes: Any) -> Any: ...
def uniform(low: Any = 0.0, high: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """Numbers uniform in [low, high): low + (high - low) * rand, with slopes by both if tensors."""
def unique(input: Operand, sorted: Any = True, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
    """The distinct elements (or slices of an axis) in order; each has its first one's slope."""
def unique_consecutive(input: Operand, return_inverse: Any = False, return_counts: Any = False, dim: Any = None) -> Any:
    """The elements (or slices of an axis) without those that equal the one before."""
@overload
def unsqueeze(input: Tensor, dim: Any) -> Tensor:
    """A new axis of length 1."""
@overload
def unsqueeze(input: Array, dim: Any) -> Any: ...
def vander(x: Any, N: Any = None, increasing: Any = False) -> Tensor:
    """The powers of the elements of a vector, one row for each."""
@overload
def var(input: Tensor, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Tensor:
    """Variance over axes; divided by n - correction."""
@overload
def var(input: Array, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Any: ...
def var_mean(input: Operand, dim: Any = None, unbiased: Any = True, keepdim: Any = False, *, correction: Any = None) -> Any:
    """Variance and mean over axes."""
@overload
def vdot(input: Tensor, other: Operand) -> Tensor:
    """Sum of the products of two vectors, the first one conjugated."""
@overload
def vdot(input: Array, other: Operand) -> Any: ...
@overload
def view_as_complex(input: Tensor) -> Tensor:
    """Pairs along the last axis as complex numbers, on the same memory."""
@overload
def view_as_complex(input: Array) -> Any: ...
@overload
def view_as_real(input: Tensor) -> Tensor:
    """Complex numbers as pairs (real, imaginary) along a new last axis, on the same memory."""
@overload
def view_as_real(input: Array) -> Any: ...
@overload
def vsplit(input: Tensor, indices_or_sections: Any) -> builtins.tuple[Tensor, ...]:
    """Parts below each other: along the first axis."""
@overload
def vsplit(input: Array, indices_or_sections: Any) -> Any: ...
def vstack(tensors: Any) -> Tensor:
    """Below each other: along the first axis, vectors as rows."""
def where(condition: Operand, input: Operand | None = None, other: Operand | None = None) -> Any:
    """input where condition holds, else other."""
@overload
def xlogy(input: Tensor, other: Operand) -> Tensor:
    """u * log(v), and 0 where u is 0, unless v is NaN."""
@overload
def xlogy(input: Array, other: Operand) -> Any: ...
def zeros(*given: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
    """A tensor of zeros."""
@overload
def zeros_like(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None) -> Tensor:
    """As `zeros`, in the shape and dtype of another tensor."""
@overload
def zeros_like(input: Array, *, dtype: Any = None, device: Any = None, requires_grad: Any = False, memory_format: Any = None) -> Any: ...