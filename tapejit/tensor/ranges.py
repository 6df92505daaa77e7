"""Sequences of numbers: arange, linspace, logspace, geomspace, Vandermonde, windows.

Ends may be tensors; the numbers between have slopes by both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, ShapeError
from tapejit.tensor.core import Tensor, data_beside, tensor_of
from tapejit.tensor.creation import finish, named_dtype, publish
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export
from tapejit.tensor.reducing import as_floats
from tapejit.tensor.shaping import movedim

# ---------------------------------------------------------------- steps


@publish
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
    return finish(np.arange(*values), named_dtype(dtype), requires_grad, device)


def _beside(*values: Any) -> list[Any]:
    """Ends as tensors of floats; a Python number takes the dtype of the tensor beside it."""
    known = [as_floats(v) for v in values if isinstance(v, Tensor)]
    return [
        data_beside(known[0], np.asarray(v, known[0].dtype.dtype))
        if known and type(v) in (int, float)
        else as_floats(tensor_of(v))
        for v in values
    ]


def _between(start: Any, end: Any, n: int, endpoint: bool = True) -> Tensor:
    """n numbers from start to end along a new first axis; both ends are exact."""
    ends = _beside(start, end)
    dtype = dtypes.promote_pair(*(v._aval.dtype for v in ends))
    shape = np.broadcast_shapes(*(v._aval.shape for v in ends))
    pieces = max(n - 1 if endpoint else n, 1)
    share = np.asarray(np.arange(n) / pieces, dtype.dtype).reshape(n, *(1 for _ in shape))
    first, last = (v.to(dtype) for v in ends)
    return first * data_beside(first, 1 - share) + last * data_beside(last, share)


def _plain(*values) -> bool:
    return not any(isinstance(v, Tensor) for v in values)


@publish
def linspace(start, end, steps, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """`steps` numbers from start to end, both included; slopes by tensors as ends.

    >>> import tapejit as tj
    >>> tj.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    >>> end = tj.tensor(2.0, requires_grad=True)
    >>> tj.linspace(0, end, 3).sum().backward()
    >>> end.grad
    tensor(1.5000)
    """
    if steps < 0:
        raise ArgumentError(f"number of steps must be non-negative, got {steps}: linspace")
    if _plain(start, end):
        array = np.linspace(start, end, steps)
        dtype = named_dtype(dtype, dtypes.of_number(array.dtype.type(0).item()))
        return finish(array, dtype, requires_grad, device)
    _check_numbers("linspace", start, end)
    result = _between(start, end, steps)
    return result if dtype is None else result.to(dtype)


def _check_numbers(name, *ends):
    if any(isinstance(v, Tensor) and v._aval.ndim for v in ends):
        raise ShapeError(
            f"{name} only supports 0-dimensional start and end tensors\n  try  np.{name} for more"
        )


@publish
def logspace(
    start, end, steps, base=10.0, *, dtype=None, device=None, requires_grad=False
) -> Tensor:
    """base to the powers linspace(start, end, steps).

    >>> import tapejit as tj
    >>> tj.logspace(0, 3, 4)
    tensor([   1.,   10.,  100., 1000.])
    """
    if steps < 0:
        raise ArgumentError(f"number of steps must be non-negative, got {steps}: logspace")
    if _plain(start, end, base):
        array = np.logspace(start, end, steps, base=base)
        return finish(array, named_dtype(dtype), requires_grad, device)
    _check_numbers("logspace", start, end)
    result = base ** _between(start, end, steps)
    return result if dtype is None else result.to(dtype)


def _placed(result, axis, dtype):
    """A result with its first axis where NumPy's `axis` wants it."""
    result = result if axis == 0 else movedim(result, 0, axis)
    return result if dtype is None else result.to(dtype)


def _numpy_linspace(
    start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0
):  # fmt: skip
    result = _placed(_between(start, stop, num, endpoint), axis, dtype)
    pieces = num - 1 if endpoint else num
    return (result, (stop - start) / pieces if pieces else math.nan) if retstep else result


def _numpy_logspace(start, stop, num=50, endpoint=True, base=10.0, dtype=None, axis=0):
    return _placed(base ** _between(start, stop, num, endpoint), axis, dtype)


@export("geomspace", method=False, numpy=("geomspace",))
def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0) -> Tensor:
    """num numbers from start to stop, each the same multiple of the one before (NumPy's).

    >>> import tapejit as tj
    >>> tj.geomspace(tj.tensor(1.0), 1000.0, 4).round()
    tensor([   1.,   10.,  100., 1000.])
    """
    start, stop = _beside(start, stop)
    if not bool((start * stop > 0).all()):
        raise ArgumentError("geomspace: start and stop are of one sign and not 0")
    powers = _between(start.abs().log(), stop.abs().log(), num, endpoint).exp()
    result = powers * start.sign()
    if num:
        # the ends as they are, not through exp(log)
        rest = result.narrow(0, 1, max(num - 2, 0))
        last = [stop.expand(result.shape[1:])] if endpoint and num > 1 else []
        middle = [rest] if endpoint else [result.narrow(0, 1, num - 1)]
        first = start.to(result.dtype).expand(result.shape[1:]).unsqueeze(0)
        ends = [v.to(result.dtype).unsqueeze(0) for v in last]
        result = FUNCTIONS["cat"]([first, *middle, *ends])
    return _placed(result, axis, dtype)


FOR_NUMPY[np.linspace] = _numpy_linspace
FOR_NUMPY[np.logspace] = _numpy_logspace

# ---------------------------------------------------------------- matrices and windows


@export("vander", method=False)
def vander(x, N=None, increasing=False) -> Tensor:
    """The powers of the elements of a vector, one row for each.

    >>> import tapejit as tj
    >>> tj.vander(tj.tensor([2.0, 3.0]))
    tensor([[2., 1.],
            [3., 1.]])
    """
    if x._aval.ndim != 1:
        raise ShapeError("vander: x must be a one-dimensional tensor.")
    n = x._aval.size if N is None else N
    if n < 0:
        raise ArgumentError(f"vander: N must be non-negative, got {n}")
    if not n:
        return x.new_zeros(x._aval.size, 0)
    powers = [x**0]
    for _ in range(n - 1):
        powers.append(powers[-1] * x)
    return FUNCTIONS["stack"](powers if increasing else powers[::-1], 1)


FOR_NUMPY[np.vander] = vander


def _window(name, coefficients, summary):
    def function(
        window_length, periodic=True, *, dtype=None, device=None, requires_grad=False
    ) -> Tensor:
        n = window_length
        if n < 0:
            raise ArgumentError(f"{name} requires non-negative window_length, got {n}")
        turns = 2 * np.pi * np.arange(n) / max(n if periodic else n - 1, 1)
        values = sum(a * np.cos(k * turns) for k, a in enumerate(coefficients))
        array = np.ones(n) if n == 1 else values
        return finish(array, named_dtype(dtype), requires_grad, device)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

periodic  whether it is one period of a longer window, which spectra want

Like    torch.{name}

>>> import tapejit as tj
>>> tj.{name}(5, periodic=False)[2].item()
1.0"""
    FUNCTIONS[name] = function


_window("hann_window", (0.5, -0.5), "Hann's window: one arch of a cosine, 0 at its ends.")
_window("hamming_window", (0.54, -0.46), "Hamming's window: an arch of a cosine on a step.")
