"""Making tensors: from data, filled, like another.  `ranges` has sequences, `sampling` chance."""

from __future__ import annotations

import functools
import inspect
from typing import NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import DType, as_dtype
from tapejit.errors import ArgumentError, DtypeError, NotDifferentiable, ShapeError
from tapejit.runtime.devices import moved
from tapejit.shapes import CPU
from tapejit.tensor.attributes import place
from tapejit.tensor.conversion import to
from tapejit.tensor.core import Tensor, from_array, wrap
from tapejit.tensor.exchange import taken_in
from tapejit.tensor.front import FUNCTIONS, answer_in_kind, method
from tapejit.tensor.guards import read
from tapejit.tensor.shaping import numbers


def publish(function):
    """Enter a function among those of the front door, as it is."""
    FUNCTIONS[function.__name__.rstrip("_")] = function
    return function


def finish(array, dtype, requires_grad, device=None) -> Tensor:
    """An array as a new tensor of the wanted dtype, on the device that is asked for."""
    if dtype is not None:
        wanted = named_dtype(dtype)
        if np.iscomplexobj(array) and wanted.kind not in "cb":
            raise DtypeError("value cannot be converted to a real dtype\n  try  a complex dtype")
        array = np.asarray(array, wanted)
    result = from_array(array)
    there = place(device)
    if there != CPU:
        result = wrap(moved(result._value, there), result._aval.dtype)
    if requires_grad:
        if not result._aval.dtype.is_inexact:
            raise NotDifferentiable(
                "Only Tensors of floating point and complex dtype can require gradients\n"
                "  try  dtype=float32 or float64"
            )
        result._tracked = True
    return result


def named_dtype(dtype, default=None) -> np.dtype:
    """The NumPy dtype that an argument `dtype` means; None means `default`, or the default float.

    Errors  DtypeError for a string, as in PyTorch
    """
    if isinstance(dtype, str):
        raise DtypeError(
            f"argument 'dtype' must be torch.dtype, not str: {dtype!r}\n  try  tapejit.{dtype}"
        )
    if dtype is None:
        dtype = dtypes.get_default_dtype() if default is None else default
    return as_dtype(dtype).dtype


def lengths(name, size) -> tuple[int, ...]:
    """The lengths of a new tensor, none of them negative."""
    shape = numbers(size)
    if any(n < 0 for n in shape):
        raise ArgumentError(f"{name}: Dimension size must be non-negative, got {list(shape)}")
    return shape


# ---------------------------------------------------------------- from data


def array_from(data, dtype=None) -> np.ndarray:
    """Numbers, nested lists, arrays and tensors as one array.

    dtype   the result's; if None, Python floats take the default dtype, arrays and tensors keep
            theirs, and what a list mixes is promoted
    Errors  ShapeError for ragged lists; DtypeError for what is no number
    """
    if isinstance(data, Tensor):
        return np.array(read(data) if dtype is None else read(data.detach().to(dtype)))
    if isinstance(data, np.ndarray | np.generic):
        array = from_array(data)._value
        return array if dtype is None else np.asarray(array, named_dtype(dtype))
    if dtype is None and isinstance(data, list | tuple) and _holds_typed(data):
        dtype = _promoted(data)
    array = _untyped_array(data)
    if dtype is None and array.dtype.kind in "fc":
        dtype = dtypes.of_number(array.dtype.type(0).item())
    if array.dtype.kind == "c" and not as_dtype(dtype).is_complex:
        raise DtypeError("must be real number, not complex\n  try  a complex dtype, or .real")
    return array if dtype is None else np.asarray(array, named_dtype(dtype))


def _untyped_array(data):
    """Nested lists as NumPy makes an array of them."""
    if isinstance(data, list | tuple) and _holds_typed(data):
        data = _plain(data)
    try:
        array = np.array(data)
    except ValueError as error:
        raise ShapeError(
            f"expected sequence of equal length: ragged nested lists ({error})\n"
            "  try  lists of equal lengths, or a list of tensors"
        ) from None
    if array.dtype == object or array.dtype.kind in "USOMmV":
        raise DtypeError(f"tensor: {type(data).__name__} of {array.dtype} is no array of numbers")
    return array


def _holds_typed(data):
    """Whether something with a dtype of its own is in nested lists: a tensor or a NumPy value."""
    if isinstance(data, list | tuple):
        return any(map(_holds_typed, data))
    return isinstance(data, Tensor | np.ndarray | np.generic)


def _promoted(data) -> dtypes.DType:
    """The dtype that holds every member of nested lists."""
    if isinstance(data, list | tuple):
        return functools.reduce(dtypes.promote_pair, map(_promoted, data))
    if isinstance(data, Tensor):
        return data._aval.dtype
    if isinstance(data, np.ndarray | np.generic):
        return dtypes.from_numpy(data.dtype)
    return dtypes.of_number(data)


def _plain(data):
    """Nested lists with tensors and arrays as lists, so that NumPy sees one kind of nesting."""
    if isinstance(data, Tensor | np.ndarray | np.generic):
        return np.asarray(read(data) if isinstance(data, Tensor) else data).tolist()
    return [_plain(d) for d in data] if isinstance(data, list | tuple) else data


@publish
def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """A new leaf tensor with a copy of `data`.

    Shapes  that of the data; lists must not be ragged
    Dtypes  NumPy arrays keep theirs; Python floats take the default dtype, ints int64
    Errors  ShapeError (ragged), DtypeError (no numbers), NotDifferentiable (integers that
            require grad)
    Like    torch.tensor

    >>> import tapejit as tj
    >>> tj.tensor([1.0, 2.0])
    tensor([1., 2.])
    """
    data = taken_in(data)
    if isinstance(data, Tensor) and data._aval.device != CPU:
        there = data._aval.device if device is None else device
        result = to(data.detach(), dtype, device=there, copy=True).detach()
        return result.requires_grad_() if requires_grad else result
    return finish(np.array(array_from(data, dtype)), None, requires_grad, device)


@publish
def as_tensor(data, dtype=None, device=None) -> Tensor:
    """As `tensor`, but sharing memory with arrays and tensors where it can.

    data  may also be an array of CuPy, PyTorch, JAX or Numba, on the host or on a GPU, as in
          `from_dlpack`

    >>> import tapejit as tj
    >>> import numpy as np
    >>> array = np.zeros(2)
    >>> shared = tj.as_tensor(array)
    >>> array[0] = 1.0
    >>> shared
    tensor([1., 0.], dtype=torch.float64)
    """
    data = taken_in(data)
    if isinstance(data, Tensor):
        return data.to(dtype, device=device)
    return finish(array_from(data, dtype), None, False, device)


FUNCTIONS["asarray"] = as_tensor


@publish
def from_numpy(array) -> Tensor:
    """A tensor on the memory of a NumPy array: a change of one shows in the other.

    >>> import numpy as np, tapejit as tj
    >>> array = np.zeros(2)
    >>> shared = tj.from_numpy(array)
    >>> array[0] = 1.0
    >>> shared
    tensor([1., 0.], dtype=torch.float64)
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    return from_array(array)


@publish
def scalar_tensor(value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor; numbers take the default float dtype.

    >>> import tapejit as tj
    >>> tj.scalar_tensor(3)
    tensor(3.)
    """
    return finish(np.array(value, named_dtype(dtype)), None, requires_grad, device)


FUNCTIONS["clone"] = answer_in_kind(vars(Tensor)["clone"])

# ---------------------------------------------------------------- filled


def _filled(name, summary, example, fill):
    def function(*given, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
        shape = lengths(name, given if size is None else (size,))
        return finish(fill(shape, named_dtype(dtype)), None, requires_grad, device)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

Shapes  as given, number by number or as one sequence
Dtypes  `dtype`, else the default float dtype
Like    torch.{name}

>>> import tapejit as tj
{inspect.cleandoc(example)}"""
    FUNCTIONS[name] = function
    return function


zeros = _filled(
    "zeros",
    "A tensor of zeros.",
    """
    >>> tj.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """,
    np.zeros,
)
ones = _filled(
    "ones",
    "A tensor of ones.",
    """
    >>> tj.ones((2,), dtype=tj.int64)
    tensor([1, 1])
    """,
    np.ones,
)
empty = _filled(
    "empty",
    "A tensor to be filled; its elements are 0, but do not rely on them.",
    """
    >>> tj.empty(2, 3).shape
    torch.Size([2, 3])
    """,
    np.zeros,
)


@publish
def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor filled with one number.

    >>> import tapejit as tj
    >>> tj.full((2,), 7), tj.full((2,), 0.5)
    (tensor([7, 7]), tensor([0.5000, 0.5000]))
    """
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    chosen = named_dtype(dtype, dtypes.of_number(fill_value))
    array = np.full(lengths("full", (size,)), fill_value, chosen)
    return finish(array, None, requires_grad, device)


@publish
def eye(n, m=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix.

    >>> import tapejit as tj
    >>> tj.eye(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if n < 0 or (m or 0) < 0:
        raise ArgumentError(f"n must be greater or equal to 0, got {n if n < 0 else m}: eye")
    return finish(np.eye(n, m, dtype=named_dtype(dtype)), None, requires_grad, device)


# ---------------------------------------------------------------- like another


def _like(name, make, example):
    def function(
        input, *, dtype=None, device=None, requires_grad=False, memory_format=None
    ) -> Tensor:
        chosen = input._aval.dtype if dtype is None else dtype
        there = input._aval.device if device is None else device
        return make(input._aval.shape, dtype=chosen, device=there, requires_grad=requires_grad)

    function.__name__ = function.__qualname__ = f"{name}_like"
    function.__doc__ = f"""As `{name}`, in the shape and dtype of another tensor.

Like    torch.{name}_like

>>> import tapejit as tj
{example}"""
    FUNCTIONS[f"{name}_like"] = function


for _name, _example in {
    "zeros": ">>> tj.zeros_like(tj.tensor([1, 2]))\ntensor([0, 0])",
    "ones": ">>> tj.ones_like(tj.tensor([0.5, 2.0]))\ntensor([1., 1.])",
    "empty": ">>> tj.empty_like(tj.tensor([1, 2])).dtype\ntorch.int64",
}.items():
    _like(_name, FUNCTIONS[_name], _example)


@publish
def full_like(input, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor filled with one number, in the shape and dtype of another.

    >>> import tapejit as tj
    >>> tj.full_like(tj.tensor([1.0, 2.0]), 7)
    tensor([7., 7.])
    """
    dtype = input._aval.dtype if dtype is None else dtype
    device = input._aval.device if device is None else device
    shape = input._aval.shape
    return full(shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def _new(name, make, example):
    def make_new(x, *size, dtype=None, device=None, requires_grad=False) -> Tensor:
        chosen = x._aval.dtype if dtype is None else dtype
        there = x._aval.device if device is None else device
        return make(*size, dtype=chosen, device=there, requires_grad=requires_grad)

    make_new.__name__ = make_new.__qualname__ = f"new_{name}"
    make_new.__doc__ = f"""As `{name}`, in the dtype of this tensor.

Like    torch.Tensor.new_{name}

>>> import tapejit as tj
{example}"""
    method(f"new_{name}")(make_new)


for _name, _example in {
    "zeros": ">>> tj.tensor([1, 2]).new_zeros(3)\ntensor([0, 0, 0])",
    "ones": ">>> tj.tensor([1, 2]).new_ones(3)\ntensor([1, 1, 1])",
    "empty": ">>> tj.tensor([1, 2]).new_empty(3).dtype\ntorch.int64",
    "full": ">>> tj.tensor([1.0, 2.0]).new_full((3,), 7)\ntensor([7., 7., 7.])",
}.items():
    _new(_name, FUNCTIONS[_name], _example)


@method("new_tensor")
def new_tensor(x, data, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor from data, with dtype and device of this one unless others are named.

    >>> import tapejit as tj
    >>> tj.tensor([1.0]).new_tensor([2, 3])
    tensor([2., 3.])
    """
    own = x._aval.dtype if dtype is None else dtype
    there = x._aval.device if device is None else device
    return tensor(data, dtype=own, device=there, requires_grad=requires_grad)


@publish
def is_tensor(value) -> bool:
    """Whether a value is a Tensor.

    >>> import tapejit as tj
    >>> tj.is_tensor(tj.zeros(1)), tj.is_tensor([0.0])
    (True, False)
    """
    return isinstance(value, Tensor)


@publish
def numel(input) -> int:
    """The number of elements.

    >>> import tapejit as tj
    >>> tj.numel(tj.zeros(2, 3))
    6
    """
    return input._aval.size


@publish
def result_type(x, y) -> DType:
    """The dtype of x + y.

    >>> import tapejit as tj
    >>> tj.result_type(tj.tensor([1, 2]), 0.5)
    torch.float32
    """
    operands = [wrap(np.asarray(v)) if isinstance(v, np.ndarray) else v for v in (x, y)]
    groups = ([], [], [])
    for v in operands:
        if isinstance(v, Tensor):
            groups[0 if v._aval.ndim else 1].append(v._aval.dtype)
        else:
            groups[2].append(dtypes.of_number(v))
    return dtypes.promote(*groups)


FUNCTIONS["promote_types"] = dtypes.promote_pair


@publish
def can_cast(source, target) -> bool:
    """Whether values of one dtype may be cast to another's category.

    >>> import tapejit as tj
    >>> tj.can_cast(tj.int64, tj.float32), tj.can_cast(tj.float64, tj.int64)
    (True, False)
    """
    return source.category <= target.category


class FloatInfo(NamedTuple):
    """What a float dtype holds."""

    bits: int
    eps: float
    max: float
    min: float
    tiny: float
    resolution: float
    dtype: str

    @property
    def smallest_normal(self) -> float:
        """The smallest positive number with all its digits."""
        return self.tiny


@publish
def finfo(dtype=None) -> FloatInfo:
    """The limits of a float dtype (None: the default), as Python numbers.

    >>> import tapejit as tj
    >>> tj.finfo(tj.float32).eps, tj.finfo(tj.float64).max
    (1.1920928955078125e-07, 1.7976931348623157e+308)
    """
    facts = np.finfo(named_dtype(dtype))
    names = ("eps", "max", "min", "tiny", "resolution")
    limits = {name: float(getattr(facts, name)) for name in names}
    return FloatInfo(bits=facts.bits, dtype=str(facts.dtype), **limits)


@publish
def iinfo(dtype) -> np.iinfo:
    """The limits of an integer dtype.

    >>> import tapejit as tj
    >>> tj.iinfo(tj.int8).max
    127
    """
    return np.iinfo(named_dtype(dtype))
