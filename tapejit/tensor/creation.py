"""Making tensors: from data, filled, ranges, random, like another."""

from __future__ import annotations

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import as_dtype
from tapejit.errors import DtypeError, NotDifferentiable, ShapeError
from tapejit.tensor import random
from tapejit.tensor.attributes import check_device
from tapejit.tensor.core import Tensor, from_array, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.guards import read
from tapejit.tensor.shaping import numbers


def _publish(function):
    FUNCTIONS[function.__name__.rstrip("_")] = function
    return function


def _finish(array, dtype, requires_grad, device=None) -> Tensor:
    """An array as a new tensor of the wanted dtype."""
    check_device(device)
    if dtype is not None:
        array = np.asarray(array, as_dtype(dtype).dtype)
    result = from_array(array)
    if requires_grad:
        if not result._aval.dtype.is_floating_point:
            raise NotDifferentiable("Only Tensors of floating point and complex dtype can require gradients")
        result._tracked = True
    return result


def _float():
    return dtypes.get_default_dtype().dtype


# ---------------------------------------------------------------- from data


def array_from(data) -> np.ndarray:
    """Numbers, nested lists, arrays and tensors as one array; Python floats take the default dtype.

    Errors  ShapeError for ragged lists; DtypeError for what is no number
    """
    if isinstance(data, Tensor):
        return np.array(read(data))
    if isinstance(data, np.ndarray | np.generic):
        return from_array(data)._value
    if isinstance(data, list | tuple) and _holds_tensors(data):
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
    if array.dtype == np.float64 and not _holds_numpy(data):
        array = array.astype(_float())
    return array


def _holds_tensors(data):
    return any(
        isinstance(d, Tensor) or (isinstance(d, list | tuple) and _holds_tensors(d)) for d in data
    )


def _holds_numpy(data):
    if isinstance(data, list | tuple):
        return any(map(_holds_numpy, data))
    return isinstance(data, np.ndarray | np.generic)


def _plain(data):
    if isinstance(data, Tensor):
        return np.asarray(read(data)).tolist()
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
    return _finish(np.array(array_from(data)), dtype, requires_grad, device)


@_publish
def as_tensor(data, dtype=None, device=None) -> Tensor:
    """As `tensor`, but sharing memory with NumPy arrays and tensors where it can."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    return _finish(array_from(data), dtype, False, device)


FUNCTIONS["asarray"] = as_tensor


@_publish
def from_numpy(array) -> Tensor:
    """A tensor on the memory of a NumPy array: a change of one shows in the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    return from_array(array)


@_publish
def scalar_tensor(value, **options) -> Tensor:
    """A 0-d tensor."""
    return tensor(value, **options)


# ---------------------------------------------------------------- filled


def _filled(name, fill):
    def function(*size, dtype=None, device=None, requires_grad=False, out=None, **ignored):
        if "size" in ignored:
            size = (ignored["size"],)
        shape = numbers(size)
        array = fill(shape, as_dtype(dtype).dtype if dtype is not None else _float())
        return _finish(array, None, requires_grad, device)

    function.__name__ = name
    function.__doc__ = f"A tensor of the given shape: {name}."
    FUNCTIONS[name] = function
    return function


zeros = _filled("zeros", np.zeros)
ones = _filled("ones", np.ones)
empty = _filled("empty", np.zeros)
rand = _filled("rand", lambda s, d: random.generator().random(s).astype(d))
randn = _filled("randn", lambda s, d: random.generator().standard_normal(s).astype(d))


@_publish
def full(size, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor filled with one number."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    chosen = as_dtype(dtype) if dtype is not None else dtypes.of_number(fill_value)
    return _finish(np.full(numbers((size,)), fill_value, chosen.dtype), None, requires_grad, device)


@_publish
def eye(n, m=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix."""
    array = np.eye(n, m, dtype=as_dtype(dtype).dtype if dtype is not None else _float())
    return _finish(array, None, requires_grad, device)


@_publish
def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, ... below end."""
    start, end = (0, start) if end is None else (start, end)
    values = [v.item() if isinstance(v, Tensor) else v for v in (start, end, step)]
    if dtype is None:
        dtype = dtypes.int64 if all(isinstance(v, int) for v in values) else dtypes.get_default_dtype()
    return _finish(np.arange(*values), dtype, requires_grad, device)


@_publish
def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` numbers from start to end, both included."""
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    return _finish(np.linspace(start, end, steps), dtype, requires_grad, device)


@_publish
def logspace(start, end, steps, base=10.0, *, dtype=None, requires_grad=False) -> Tensor:
    """base to the powers linspace(start, end, steps)."""
    dtype = dtypes.get_default_dtype() if dtype is None else dtype
    return _finish(np.logspace(start, end, steps, base=base), dtype, requires_grad)


@_publish
def meshgrid(*tensors, indexing="ij"):
    """The coordinates of a grid, one tensor per axis."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    n = len(tensors)
    shape = [t.numel() for t in tensors]
    grids = [
        t.reshape([-1 if i == axis else 1 for i in range(n)]).expand(shape)
        for axis, t in enumerate(tensors)
    ]
    return tuple(g.transpose(0, 1) for g in grids) if indexing == "xy" and n > 1 else tuple(grids)


# ---------------------------------------------------------------- random


@_publish
def randint(low, high=None, size=None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Random integers in [low, high)."""
    if size is None:
        low, high, size = 0, low, high
    array = random.generator().integers(low, high, numbers((size,)))
    return _finish(array, dtype, requires_grad, device)


@_publish
def randperm(n, *, dtype=None) -> Tensor:
    """The numbers 0 … n-1 in random order."""
    return _finish(random.generator().permutation(n), dtype, False)


@_publish
def normal(mean, std=1.0, size=None) -> Tensor:
    """Normally distributed numbers."""
    parts = [p.detach().numpy() if isinstance(p, Tensor) else p for p in (mean, std)]
    shape = numbers((size,)) if size is not None else None
    return _finish(random.generator().normal(*parts, shape), dtypes.get_default_dtype(), False)


@_publish
def bernoulli(input) -> Tensor:
    """1 with the given probabilities, else 0."""
    draws = random.generator().random(input._aval.shape)
    return _finish((draws < input._value).astype(input._aval.dtype.dtype), None, False)


# ---------------------------------------------------------------- like another


def _like(name, make):
    def function(input, *, dtype=None, device=None, requires_grad=False, memory_format=None):
        chosen = input._aval.dtype if dtype is None else as_dtype(dtype)
        return make(input._aval.shape, dtype=chosen, requires_grad=requires_grad)

    function.__name__ = f"{name}_like"
    function.__doc__ = f"As `{name}`, in the shape and dtype of another tensor."
    FUNCTIONS[f"{name}_like"] = function


for _name, _make in {"zeros": zeros, "ones": ones, "empty": empty, "rand": rand, "randn": randn}.items():
    _like(_name, _make)


@_publish
def full_like(input, fill_value, *, dtype=None, requires_grad=False) -> Tensor:
    """A tensor filled with one number, in the shape and dtype of another."""
    dtype = input._aval.dtype if dtype is None else dtype
    return full(input._aval.shape, fill_value, dtype=dtype, requires_grad=requires_grad)


def _new(name, make):
    def method(x, *size, dtype=None, requires_grad=False, **ignored):
        chosen = x._aval.dtype if dtype is None else dtype
        return make(*size, dtype=chosen, requires_grad=requires_grad)

    setattr(Tensor, f"new_{name}", method)


for _name, _make in {"zeros": zeros, "ones": ones, "empty": empty, "full": full}.items():
    _new(_name, _make)
Tensor.new_tensor = lambda x, data, *, dtype=None, requires_grad=False: tensor(
    data, dtype=x._aval.dtype if dtype is None else dtype, requires_grad=requires_grad
)


@_publish
def is_tensor(value) -> bool:
    """Whether a value is a Tensor."""
    return isinstance(value, Tensor)


@_publish
def numel(input) -> int:
    """The number of elements."""
    return input._aval.size


@_publish
def result_type(x, y):
    """The dtype of x + y."""
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
    """Whether values of one dtype may be cast to another's category."""
    return source.category <= target.category


@_publish
def finfo(dtype=None):
    """NumPy's facts of a float dtype."""
    return np.finfo((dtypes.get_default_dtype() if dtype is None else dtype).dtype)


@_publish
def iinfo(dtype):
    """NumPy's facts of an integer dtype."""
    return np.iinfo(dtype.dtype)


