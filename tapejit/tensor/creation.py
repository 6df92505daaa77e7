"""Making tensors: from data, filled, ranges, random, like another."""

from __future__ import annotations

import functools
import inspect
from typing import NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import DType, as_dtype
from tapejit.errors import ArgumentError, DtypeError, NotDifferentiable, ShapeError
from tapejit.tensor import random
from tapejit.tensor.attributes import check_device
from tapejit.tensor.core import Tensor, from_array, wrap
from tapejit.tensor.front import FUNCTIONS, answer_in_kind, method
from tapejit.tensor.guards import read
from tapejit.tensor.shaping import numbers


def _publish(function):
    FUNCTIONS[function.__name__.rstrip("_")] = function
    return function


def _finish(array, dtype, requires_grad, device=None) -> Tensor:
    """An array as a new tensor of the wanted dtype."""
    check_device(device)
    if dtype is not None:
        wanted = _named_dtype(dtype)
        if np.iscomplexobj(array) and wanted.kind not in "cb":
            raise DtypeError("value cannot be converted to a real dtype\n  try  a complex dtype")
        array = np.asarray(array, wanted)
    result = from_array(array)
    if requires_grad:
        if not result._aval.dtype.is_inexact:
            raise NotDifferentiable(
                "Only Tensors of floating point and complex dtype can require gradients\n"
                "  try  dtype=float32 or float64"
            )
        result._tracked = True
    return result


def _named_dtype(dtype, default=None) -> np.dtype:
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


def _lengths(name, size) -> tuple[int, ...]:
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
        return array if dtype is None else np.asarray(array, _named_dtype(dtype))
    if dtype is None and isinstance(data, list | tuple) and _holds_typed(data):
        dtype = _promoted(data)
    array = _untyped_array(data)
    if dtype is None and array.dtype.kind in "fc":
        dtype = dtypes.of_number(array.dtype.type(0).item())
    if array.dtype.kind == "c" and not as_dtype(dtype).is_complex:
        raise DtypeError("must be real number, not complex\n  try  a complex dtype, or .real")
    return array if dtype is None else np.asarray(array, _named_dtype(dtype))


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


@_publish
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
    return _finish(np.array(array_from(data, dtype)), None, requires_grad, device)


@_publish
def as_tensor(data, dtype=None, device=None) -> Tensor:
    """As `tensor`, but sharing memory with NumPy arrays and tensors where it can.

    >>> import tapejit as tj
    >>> import numpy as np
    >>> array = np.zeros(2)
    >>> shared = tj.as_tensor(array)
    >>> array[0] = 1.0
    >>> shared
    tensor([1., 0.], dtype=torch.float64)
    """
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return _finish(array_from(data, dtype), None, False, device)


FUNCTIONS["asarray"] = as_tensor


@_publish
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


@_publish
def scalar_tensor(value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor; numbers take the default float dtype.

    >>> import tapejit as tj
    >>> tj.scalar_tensor(3)
    tensor(3.)
    """
    return _finish(np.array(value, _named_dtype(dtype)), None, requires_grad, device)


FUNCTIONS["clone"] = answer_in_kind(vars(Tensor)["clone"])

# ---------------------------------------------------------------- filled


def _filled(name, summary, example, fill):
    def function(*lengths, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
        shape = _lengths(name, lengths if size is None else (size,))
        return _finish(fill(shape, _named_dtype(dtype)), None, requires_grad, device)

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
rand = _filled(
    "rand",
    "Random numbers, uniform in [0, 1).",
    """
    >>> x = tj.rand(1000)
    >>> bool((x >= 0).all() and (x < 1).all())
    True
    """,
    lambda s, d: random.generator().random(s).astype(d),
)
randn = _filled(
    "randn",
    "Random numbers of mean 0 and variance 1, normally distributed.",
    """
    >>> _ = tj.manual_seed(0)
    >>> bool(tj.randn(10_000).mean().abs() < 0.05)
    True
    """,
    lambda s, d: random.generator().standard_normal(s).astype(d),
)


@_publish
def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor filled with one number.

    >>> import tapejit as tj
    >>> tj.full((2,), 7), tj.full((2,), 0.5)
    (tensor([7, 7]), tensor([0.5000, 0.5000]))
    """
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    chosen = _named_dtype(dtype, dtypes.of_number(fill_value))
    array = np.full(_lengths("full", (size,)), fill_value, chosen)
    return _finish(array, None, requires_grad, device)


@_publish
def eye(n, m=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix.

    >>> import tapejit as tj
    >>> tj.eye(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if n < 0 or (m or 0) < 0:
        raise ArgumentError(f"n must be greater or equal to 0, got {n if n < 0 else m}: eye")
    return _finish(np.eye(n, m, dtype=_named_dtype(dtype)), None, requires_grad, device)


@_publish
def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, ... below end.

    >>> import tapejit as tj
    >>> tj.arange(5), tj.arange(1.0, 2.0, 0.25)
    (tensor([0, 1, 2, 3, 4]), tensor([1.0000, 1.2500, 1.5000, 1.7500]))
    """
    start, end = (0, start) if end is None else (start, end)
    values = [v.item() if isinstance(v, Tensor) else v for v in (start, end, step)]
    first, last, by = values
    if by == 0:
        raise ArgumentError("step must be nonzero: arange")
    if (last - first) * by < 0:
        raise ArgumentError(
            "upper bound and lower bound inconsistent with step sign: "
            f"arange({first}, {last}, {by})"
        )
    if dtype is None and all(isinstance(v, int) for v in values):
        dtype = dtypes.int64
    return _finish(np.arange(*values), _named_dtype(dtype), requires_grad, device)


@_publish
def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` numbers from start to end, both included.

    >>> import tapejit as tj
    >>> tj.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    if steps < 0:
        raise ArgumentError(f"number of steps must be non-negative, got {steps}: linspace")
    return _finish(np.linspace(start, end, steps), _named_dtype(dtype), requires_grad, device)


@_publish
def logspace(start, end, steps, base=10.0, *, dtype=None, requires_grad=False) -> Tensor:
    """base to the powers linspace(start, end, steps).

    >>> import tapejit as tj
    >>> tj.logspace(0, 3, 4)
    tensor([   1.,   10.,  100., 1000.])
    """
    array = np.logspace(start, end, steps, base=base)
    return _finish(array, _named_dtype(dtype), requires_grad)


# ---------------------------------------------------------------- random


@_publish
def randint(low, high=None, size=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Random integers in [low, high).

    >>> import tapejit as tj
    >>> x = tj.randint(0, 6, (100,))
    >>> bool((x >= 0).all() and (x < 6).all())
    True
    """
    if size is None:
        low, high, size = 0, low, high
    array = random.generator().integers(low, high, numbers((size,)))
    return _finish(array, dtype, requires_grad, device)


@_publish
def randperm(n, *, dtype=None) -> Tensor:
    """The numbers 0 … n-1 in random order.

    >>> import tapejit as tj
    >>> tj.randperm(4).sort().values
    tensor([0, 1, 2, 3])
    """
    return _finish(random.generator().permutation(n), dtype, False)


@_publish
def normal(mean, std=1.0, size=None) -> Tensor:
    """Normally distributed numbers.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(0)
    >>> x = tj.normal(10.0, 0.5, (10_000,))
    >>> bool((x.mean() - 10.0).abs() < 0.05)
    True
    """
    parts = [p.detach().numpy() if isinstance(p, Tensor) else p for p in (mean, std)]
    shape = numbers((size,)) if size is not None else None
    mean, std = parts
    return _finish(random.generator().normal(mean, std, shape), _named_dtype(None), False)


@_publish
def bernoulli(input) -> Tensor:
    """1 with the given probabilities, else 0.

    >>> import tapejit as tj
    >>> tj.bernoulli(tj.tensor([0.0, 1.0, 1.0]))
    tensor([0., 1., 1.])
    """
    draws = random.generator().random(input._aval.shape)
    return _finish((draws < input._value).astype(input._aval.dtype.dtype), None, False)


# ---------------------------------------------------------------- like another


def _like(name, make, example):
    def function(
        input, *, dtype=None, device=None, requires_grad=False, memory_format=None
    ) -> Tensor:
        chosen = input._aval.dtype if dtype is None else dtype
        return make(input._aval.shape, dtype=chosen, device=device, requires_grad=requires_grad)

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
    "rand": ">>> tj.rand_like(tj.zeros(2, 3)).shape\ntorch.Size([2, 3])",
    "randn": ">>> tj.randn_like(tj.zeros(2, dtype=tj.float64)).dtype\ntorch.float64",
}.items():
    _like(_name, FUNCTIONS[_name], _example)


@_publish
def full_like(input, fill_value, *, dtype=None, requires_grad=False) -> Tensor:
    """A tensor filled with one number, in the shape and dtype of another.

    >>> import tapejit as tj
    >>> tj.full_like(tj.tensor([1.0, 2.0]), 7)
    tensor([7., 7.])
    """
    dtype = input._aval.dtype if dtype is None else dtype
    return full(input._aval.shape, fill_value, dtype=dtype, requires_grad=requires_grad)


def _new(name, make, example):
    def make_new(x, *size, dtype=None, device=None, requires_grad=False) -> Tensor:
        chosen = x._aval.dtype if dtype is None else dtype
        return make(*size, dtype=chosen, device=device, requires_grad=requires_grad)

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
def new_tensor(x, data, *, dtype=None, requires_grad=False) -> Tensor:
    """A tensor from data, with the dtype of this one unless another is named.

    >>> import tapejit as tj
    >>> tj.tensor([1.0]).new_tensor([2, 3])
    tensor([2., 3.])
    """
    own = x._aval.dtype if dtype is None else dtype
    return tensor(data, dtype=own, requires_grad=requires_grad)


@_publish
def is_tensor(value) -> bool:
    """Whether a value is a Tensor.

    >>> import tapejit as tj
    >>> tj.is_tensor(tj.zeros(1)), tj.is_tensor([0.0])
    (True, False)
    """
    return isinstance(value, Tensor)


@_publish
def numel(input) -> int:
    """The number of elements.

    >>> import tapejit as tj
    >>> tj.numel(tj.zeros(2, 3))
    6
    """
    return input._aval.size


@_publish
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


@_publish
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


@_publish
def finfo(dtype=None) -> FloatInfo:
    """The limits of a float dtype (None: the default), as Python numbers.

    >>> import tapejit as tj
    >>> tj.finfo(tj.float32).eps, tj.finfo(tj.float64).max
    (1.1920928955078125e-07, 1.7976931348623157e+308)
    """
    facts = np.finfo(_named_dtype(dtype))
    names = ("eps", "max", "min", "tiny", "resolution")
    limits = {name: float(getattr(facts, name)) for name in names}
    return FloatInfo(bits=facts.bits, dtype=str(facts.dtype), **limits)


@_publish
def iinfo(dtype) -> np.iinfo:
    """The limits of an integer dtype.

    >>> import tapejit as tj
    >>> tj.iinfo(tj.int8).max
    127
    """
    return np.iinfo(_named_dtype(dtype))
