"""What the functions of this namespace share: arrays in kind, `inplace=` and `reduction=`.

`offered` publishes a function: any argument may be a NumPy array, and where no argument is a
tensor the answer is an array.  `overwriting` is what `inplace=True` means, `reduced` what
`reduction=` means.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tapejit.errors import ArgumentError
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, any_tensor, apply
from tapejit.tensor.front import (
    FUNCTIONS,
    answer_in_kind,
    as_tensor_argument,
    export,
    named,
    unwrap,
)
from tapejit.tensor.inplace import change

_F = TypeVar("_F", bound=Callable[..., Any])


def offered(*methods: str, top: bool = False) -> Callable[[_F], _F]:
    """Publish a function of `nn.functional`.

    methods  names of tensor methods it also is
    top      whether PyTorch has it at the top level too
    """

    def enter(function: Any) -> Any:
        function = export(*methods, function=False, method=bool(methods))(function)
        in_kind = answer_in_kind(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            given = (*args, *kwargs.values())
            if not any(isinstance(x, np.ndarray) for x in given):
                return in_kind(*args, **kwargs)
            result = function(
                *[as_tensor_argument(x) for x in args],
                **{name: as_tensor_argument(x) for name, x in kwargs.items()},
            )
            return result if any_tensor(given) else unwrap(result)

        if top:
            FUNCTIONS[function.__name__] = call
        return call

    return enter


def overwriting(function: Callable[[Tensor], Tensor], x: Tensor, inplace: bool) -> Tensor:
    """function(x); if `inplace`, written into x, whose old value the slopes keep as a copy."""
    if not inplace:
        return function(x)
    result = function(apply(OPS["clone"], (x,)))
    name = "" if result._tape is None else result._tape.names.get(result._row, "")
    return change(x, OPS["copy_into"], (x, result), name=name)


def in_place(function: Callable, example: str = "") -> Callable:
    """The function whose name ends in an underscore: with `inplace=True`.

    example  further arguments, in the docstring's example
    """
    name = function.__name__

    def overwrite(input, *args, **kwargs) -> Tensor:
        return function(input, *args, **kwargs, inplace=True)

    overwrite.__name__ = overwrite.__qualname__ = f"{name}_"
    overwrite.__doc__ = f"""As `{name}`, written into the memory of the tensor.

    >>> import tapejit as tj
    >>> x = tj.tensor([-1.0, 2.0])
    >>> tj.nn.functional.{name}_(x{example}) is x
    True
    """
    return overwrite


# ---------------------------------------------------------------- losses


def reduction_of(size_average, reduce, reduction: str) -> str:
    """The reduction that PyTorch's old words mean, with its warning; `reduction` without them."""
    if size_average is None and reduce is None:
        return reduction
    average = size_average is None or size_average
    reduction = "none" if reduce is not None and not reduce else "mean" if average else "sum"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{reduction}' "
        "instead.",
        UserWarning,
        stacklevel=3,
    )
    return reduction


def check_reduction(reduction) -> None:
    """Raise ArgumentError, PyTorch's ValueError, for a word that is no reduction."""
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"{reduction} is not a valid value for reduction")


def reduced(loss: Tensor, reduction: str, name: str = "") -> Tensor:
    """A loss as it is, its mean, or its sum; `name` is PyTorch's for the backward node."""
    check_reduction(reduction)
    if reduction != "none":
        loss = loss.mean() if reduction == "mean" else loss.sum()
    return named(loss, name) if name else loss
