"""A tensor as something else: a copy, a number, a list, an array, text, another dtype."""

from __future__ import annotations

from collections.abc import Iterator
from sys import _getframe
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import DType
from tapejit.errors import AutogradError, DtypeError, ShapeError
from tapejit.registry import OPS
from tapejit.runtime.devices import moved, on_host, owned
from tapejit.shapes import CPU
from tapejit.tensor import printing
from tapejit.tensor.attributes import place
from tapejit.tensor.core import (
    Tensor,
    apply,
    legacy_name,
    optional,
    real_number,
    storage,
    to_place,
    warn_of_discarding,
    wrap,
)
from tapejit.tensor.escapes import check_number_asked
from tapejit.tensor.front import method
from tapejit.tensor.guards import in_trace, read, read_once
from tapejit.tensor.history import grad_fn, tracks
from tapejit.tensor.recording import state

# ---------------------------------------------------------------- copies


@method("clone")
def clone(x, *, memory_format=None) -> Tensor:
    """A copy with memory of its own; gradients flow through.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0], requires_grad=True)
    >>> y = x.clone()
    >>> y[0] = 0.0  # x keeps its memory and gets its gradient
    >>> y.sum().backward()
    >>> x.grad
    tensor([0., 1.])
    """
    return apply(OPS["clone"], (x,))


@method("copy")
def copy(x, order="C") -> Tensor:
    """NumPy's name for `clone`.

    >>> import numpy as np, tapejit as tj
    >>> tj.grad(lambda x: np.sum(x.copy() ** 2))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    return clone(x)


@method("__deepcopy__")
def deep_copy(x, memo) -> Tensor:
    """A leaf's copy; computed tensors refuse, as in PyTorch.  Traced ones are cloned."""
    if in_trace(x):
        return clone(x)
    if x._tape is not None and x._tracked:
        raise AutogradError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment.  try  .detach().clone()"
        )
    result = wrap(owned(x._value), x._aval.dtype, tracked=x._tracked)
    memo[id(x)] = result
    grad = optional(x, "_grad")
    if grad is not None:
        result._grad = deep_copy(grad, memo)
    return result


@method("__copy__")
def shallow_copy(x) -> Tensor:
    """Another tensor on the same memory."""
    if in_trace(x):
        return clone(x)
    return wrap(storage(x), x._aval.dtype, tracked=x._tracked)


@method("__reduce__")
def reduce(x) -> tuple:
    """Pickle a tensor as its array (leaves and data only)."""
    read_once(x, "a tensor as bytes")
    if x._tape is not None and x._tracked:
        raise AutogradError("only leaf tensors can be pickled\n  try  .detach()")
    array = np.asarray(on_host(x._value))
    return (_rebuild, (array, x._aval.dtype.name, x._tracked, x._aval.device))


def _rebuild(array, name, tracked, device=CPU):
    return wrap(moved(array, device), dtypes.named(name), tracked=tracked)


# ---------------------------------------------------------------- values


@method("item")
def item(x) -> Any:
    """The one element as a Python number.

    >>> import tapejit as tj
    >>> tj.tensor([2.5]).item()
    2.5
    """
    if x._aval.size != 1:
        raise AutogradError(
            f"a Tensor with {x._aval.size} elements cannot be converted to Scalar\n  try  .tolist()"
        )
    return read(x).item()


@method("tolist")
def tolist(x) -> Any:
    """The elements as nested lists (a number for 0-d).

    >>> import tapejit as tj
    >>> tj.tensor([[1, 2], [3, 4]]).tolist()
    [[1, 2], [3, 4]]
    """
    return np.asarray(read(x)).tolist()


@method("numpy")
def numpy(x, *, force=False) -> np.ndarray:
    """The elements as a NumPy array on the same memory.

    Errors  AutogradError if the tensor requires grad (force=True detaches)

    >>> import tapejit as tj
    >>> x = tj.zeros(2)
    >>> x.numpy()[0] = 5.0  # one memory
    >>> x
    tensor([5., 0.])
    """
    if tracks(x) and not force:
        raise AutogradError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if x._aval.device != CPU and not force:
        raise DtypeError(
            f"can't convert {x._aval.device} device type tensor to numpy. Use Tensor.cpu() to copy "
            "the tensor to host memory first."
        )
    value = read(x)
    if x._aval.device != CPU:
        return np.asarray(value)
    return _unwritable(storage(x)) if in_trace(x) else storage(x)


def _unwritable(array):
    """A view for code that is traced: a later call would not repeat what it writes."""
    view = array.view()
    view.flags.writeable = False
    return view


def _array(x, dtype=None, copy=None):
    if state.parked.speaks_numpy and tracks(x):
        raise AutogradError(
            "np.array and np.asarray would make numbers of what is being differentiated\n"
            "  try  np.stack([...]) for a new array; the value itself where it is one already"
        )
    value = numpy(x)
    return value if dtype is None else value.astype(dtype)


Tensor.__array__ = _array


def _scalar(kind):
    def convert(x):
        if x._aval.size != 1:
            words = "only one element tensors can be converted to Python scalars"
            if kind is bool:
                words = "Boolean value of Tensor with " + (
                    "more than one value is ambiguous" if x._aval.size else "no values is ambiguous"
                )
            raise ShapeError(words)
        if kind is float and tracks(x):
            check_number_asked(_getframe(1))
        if kind is bool and not _is_bool(x) and x._tracked and state.parked.is_trace:
            x = apply(OPS["ne"], (x, 0))  # the guard is on the truth, not on the number
        value = read(x).item()
        return kind(real_number(value, _REAL_NAMES[kind]) if kind in _REAL_NAMES else value)

    return convert


_REAL_NAMES = {float: "double", int: "int64_t"}


def _is_bool(x):
    return x._aval.dtype is dtypes.bool_


Tensor.__bool__ = _scalar(bool)
Tensor.__float__ = _scalar(float)
Tensor.__int__ = _scalar(int)
Tensor.__complex__ = _scalar(complex)


@method("__index__")
def index(x) -> int:
    """An integer tensor where Python needs an index."""
    if x._aval.size != 1 or x._aval.dtype.is_inexact:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(read(x).item())


@method("__len__")
def length(x) -> int:
    """The length of the first axis."""
    if not x._aval.ndim:
        raise TypeError("len() of a 0-d tensor")
    return x._aval.shape[0]


@method("__iter__")
def iterate(x) -> Iterator[Tensor]:
    """The parts along the first axis."""
    if not x._aval.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(x.unbind(0))


@method("__contains__")
def contains(x, value) -> bool:
    """Whether an element equals `value`."""
    return bool((x == value).any())


Tensor.__hash__ = object.__hash__

# ---------------------------------------------------------------- printing


@method("__repr__", "__str__")
def represent(x) -> str:
    """The tensor as PyTorch prints it."""
    node = grad_fn(x)
    return printing.format_tensor(
        np.asarray(read(x)),
        dtype_name=x._aval.dtype.name,
        default_float=dtypes.get_default_dtype().name,
        device=None if x._aval.device == CPU else x._aval.device,
        requires_grad=node is None and tracks(x),
        grad_fn_name=None if node is None else type(node).__name__,
    )


@method("__format__")
def format_(x, spec) -> str:
    """0-d tensors format as their number."""
    if x._aval.ndim == 0:
        return printing.format_scalar(np.asarray(read(x)), spec)
    return object.__format__(x, spec)


# ---------------------------------------------------------------- dtype changes


@method("to")
def to(x, *args, dtype: Any = None, device: Any = None, copy: bool = False, **ignored) -> Tensor:
    """The tensor in another dtype, or on another device; itself if it is so already.

    args  a dtype, a device, or another tensor, whose dtype and device are meant
    Errors  GpuUnavailable where no GPU can be had

    >>> import tapejit as tj
    >>> x = tj.tensor([1.7, -1.7])
    >>> x.to(tj.int64), x.to(tj.float32) is x
    (tensor([ 1, -1]), True)
    """
    for argument in args:
        if isinstance(argument, Tensor):
            dtype = argument._aval.dtype
            device = argument._aval.device
        elif _names_device(argument):
            device = argument
        elif not isinstance(argument, bool):
            dtype = argument
    wanted = x._aval.dtype if dtype is None else dtypes.as_dtype(dtype)
    there = place(device, x._aval.device)
    if wanted is x._aval.dtype and there == x._aval.device:
        return clone(x) if copy else x
    if wanted is not x._aval.dtype:
        warn_of_discarding(x._aval.dtype, wanted)
        x = apply(OPS["cast"], (x,), (wanted.name,))
    return to_place(x, there)


def _names_device(argument):
    """Whether an argument of `to` is a device: its name, or the number of a GPU."""
    if isinstance(argument, str):
        return argument.partition(":")[0] in ("cpu", "cuda")
    return isinstance(argument, int) and not isinstance(argument, bool)


def _cast_method(name: str, target: DType):
    def cast(x) -> Tensor:
        return to(x, target)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"""The tensor in {target.name}; itself if it is so already.

>>> import tapejit as tj
>>> tj.tensor([0, 1]).{name}().dtype
{target}"""
    setattr(Tensor, name, cast)


for _name, _dtype in {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16, "char": dtypes.int8,
    "byte": dtypes.uint8, "bool": dtypes.bool_, "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}.items():  # fmt: skip
    _cast_method(_name, _dtype)


@method("type")
def type_(x, dtype=None) -> Any:
    """PyTorch's name of the tensor type, or the tensor in another dtype.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0])
    >>> x.type(), x.type(tj.int64)
    ('torch.FloatTensor', tensor([1]))
    """
    if dtype is not None:
        return to(x, dtype)
    where = "" if x._aval.device == CPU else "cuda."
    return f"torch.{where}{legacy_name(x._aval.dtype)}Tensor"


@method("type_as")
def type_as(x, other) -> Tensor:
    """The tensor in the dtype of another.

    >>> import tapejit as tj
    >>> tj.tensor([1, 2]).type_as(tj.tensor(0.5))
    tensor([1., 2.])
    """
    return to(x, other)


@method("astype")
def astype(x, dtype, copy=True) -> Tensor:
    """NumPy's name for `to`.

    >>> import tapejit as tj
    >>> import numpy as np
    >>> tj.tensor([1, 2]).astype(np.float64)
    tensor([1., 2.], dtype=torch.float64)
    """
    return to(x, dtype)


@method("cpu")
def stay(x) -> Tensor:
    """The tensor in the CPU's memory; itself if it is there already.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0])
    >>> x.cpu() is x
    True
    """
    return to_place(x, CPU)


@method("cuda")
def cuda(x, device=None, non_blocking=False) -> Tensor:
    """The tensor in a GPU's memory; itself if it is there already.

    device  which; None: the current one
    Errors  GpuUnavailable where none can be had

    >>> import tapejit as tj
    >>> try:
    ...     where = tj.zeros(2).cuda().device.type
    ... except tj.errors.GpuUnavailable:
    ...     where = "cuda"
    >>> where
    'cuda'
    """
    return to_place(x, place("cuda" if device is None else device))
