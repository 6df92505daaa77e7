"""The table of public names: functions, Tensor methods, and the NumPy functions they stand for.

`export` enters a function; `tapejit/__init__` reads `FUNCTIONS`, `interop.numpy_protocol` reads
`FOR_NUMPY`.  Modules that are namespaces of their own (`linalg`, `fft`, `special`,
`nn.functional`) decorate what they define with `offered`.  A function given NumPy arrays or
numbers instead of tensors answers in kind.

Functions are written with PyTorch's names of parameters; where NumPy has another word for one
(`SPELLINGS`), it is accepted too.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tapejit import dtypes
from tapejit.errors import DtypeError
from tapejit.tensor.core import Tensor, any_tensor, as_data, wrap

_ARRAYS = (np.ndarray, np.generic, float, int, complex, list, tuple)
FUNCTIONS: dict[str, Callable] = {}
FOR_NUMPY: dict[Callable, Callable] = {}

SPELLINGS = {"axis": "dim", "axes": "dim", "keepdims": "keepdim"}
"""NumPy's word for a parameter, and PyTorch's."""

_F = TypeVar("_F", bound=Callable[..., Any])


def export(*names: str, method: bool = True, function: bool = True, numpy: tuple[str, ...] = ()):
    """Publish a function of a tensor under `names`, and as the override of NumPy functions.

    numpy  names in NumPy, with their module: "sum", "linalg.inv"
    """

    def enter(implementation: Callable) -> Callable:
        implementation = spelled(implementation)
        for name in names or (implementation.__name__.rstrip("_"),):
            if method:
                setattr(Tensor, name, implementation)
            if function:
                FUNCTIONS[name] = answer_in_kind(implementation)
        for name in numpy:
            FOR_NUMPY[operator.attrgetter(name)(np)] = implementation
        return implementation

    return enter


def offered(*methods: str, numpy: tuple[str, ...] = (), top: bool = False) -> Callable[[_F], _F]:
    """Publish a function of the namespace module that defines it; also as `methods` of tensors.

    top  at top level too, under the methods' names
    """

    def enter(implementation: Any) -> Any:
        return answer_in_kind(
            export(*methods, function=top, method=bool(methods), numpy=numpy)(implementation)
        )

    return enter


def spelled(function: Callable) -> Callable:
    """A function that also takes NumPy's words for its parameters."""
    known = inspect.signature(function).parameters
    words = {word: ours for word, ours in SPELLINGS.items() if ours in known and word not in known}
    if not words or any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return function

    @functools.wraps(function)
    def call(*args, **kwargs):
        for word in kwargs.keys() & words.keys():
            if words[word] in kwargs:
                raise TypeError(f"{function.__name__}(): {word} and {words[word]} are one argument")
            kwargs[words[word]] = kwargs.pop(word)
        return function(*args, **kwargs)

    return call


def method(*names: str):
    """Publish a function of a tensor under `names`, as a method only."""
    return export(*names, function=False)


def attribute(*names: str):
    """Publish a function of a tensor under `names`, as a property."""

    def enter(implementation: Callable) -> Callable:
        for name in names:
            setattr(Tensor, name, property(implementation))
        return implementation

    return enter


def answer_in_kind(function: Callable) -> Callable:
    """Let a function of tensors take NumPy arrays and numbers, and then return such."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if args and isinstance(args[0], Tensor):
            return function(*args, **kwargs)
        if any_tensor(args) or any_tensor(tuple(kwargs.values())):
            return function(*[as_tensor_argument(a) for a in args], **kwargs)
        if not any(isinstance(a, _ARRAYS) for a in args):
            check_tensor(function.__name__, args[0] if args else None)
        first = as_tensor_argument(args[0], dtypes.float64)
        others = [as_tensor_argument(a) if isinstance(a, np.ndarray) else a for a in args[1:]]
        return unwrap(
            function(first, *others, **kwargs), isinstance(args[0], float | int | complex)
        )

    return call


def check_tensor(name: str, value) -> None:
    """Raise DtypeError, PyTorch's TypeError, unless a value is a tensor."""
    if not isinstance(value, Tensor):
        raise DtypeError(
            f"{name}(): argument must be Tensor, not {type(value).__name__}\n"
            "  try  tapejit.tensor(...), or a NumPy array"
        )


def named(x: Tensor, name: str) -> Tensor:
    """Let grad_fn of a just recorded tensor carry PyTorch's name."""
    if x._tape is not None:
        x._tape.names[x._row] = name
    return x


def as_tensor_argument(value, float_dtype=None):
    """An array or number as a tensor; anything else as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return as_data(value)
    if isinstance(value, list | tuple) and any(isinstance(v, np.ndarray) for v in value):
        return type(value)(as_tensor_argument(v) for v in value)
    if float_dtype is not None and isinstance(value, float | int) and not isinstance(value, bool):
        return wrap(np.float64(value), dtypes.float64)
    if float_dtype is not None and isinstance(value, complex):
        return wrap(np.complex128(value), dtypes.complex128)
    return value


def unwrap(result, as_number: bool = False):
    """A tensor as the NumPy array or number it holds, in containers too."""
    if isinstance(result, Tensor):
        value = result._value
        return value.item() if as_number and np.ndim(value) == 0 else value
    if isinstance(result, tuple):
        parts = [unwrap(r, as_number) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    return result
