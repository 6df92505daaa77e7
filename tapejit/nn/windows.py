"""Windows of images: how many there are, a view of them, and zeros around an image."""

from __future__ import annotations

from collections.abc import Sequence

from tapejit.errors import ArgumentError
from tapejit.registry import OPS
from tapejit.tensor.core import Tensor, apply

Lengths = tuple[int, ...]


def lengths_of(name: str, value, n: int) -> Lengths:
    """One number for all of n axes, or one for each.

    Errors  ArgumentError for any other number of them
    """
    if not isinstance(value, list | tuple):
        return (int(value),) * n
    if len(value) == 1:
        return (int(value[0]),) * n
    if len(value) != n:
        raise ArgumentError(f"{name}: expected {n} numbers or one, got {tuple(value)}")
    return tuple(int(v) for v in value)


def padded(x: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Zeros around the last axes."""
    if not any(before) and not any(after):
        return x
    fixed = (0,) * (x.ndim - len(before))
    starts, ends = (*fixed, *before), (*fixed, *after)
    shape = tuple(b + n + a for b, n, a in zip(starts, x._aval.shape, ends, strict=True))
    return apply(OPS["unslice"], (x,), (shape, starts, (1,) * x.ndim))


def window_attributes(
    ndim: int, shape: Lengths, kernel: Lengths, stride: Lengths, dilation: Lengths
) -> tuple:
    """What `strided` takes for a view (..., *kernel, *windows) of the last axes.

    shape  the axes in front, then how many windows there are along each of the others
    """
    n = len(kernel)
    n_lead = ndim - n
    lead, lengths = shape[:n_lead], shape[n_lead:]
    steps = [tuple(int(axis == out) for out in range(n_lead + 2 * n)) for axis in range(n_lead)]
    for axis, (s, d) in enumerate(zip(stride, dilation, strict=True)):
        row = [0] * (n_lead + 2 * n)
        row[n_lead + axis], row[n_lead + n + axis] = d, s
        steps.append(tuple(row))
    return (*lead, *kernel, *lengths), (0,) * ndim, tuple(steps)


def windows(
    x: Tensor,
    lengths: Lengths,
    kernel: Lengths,
    stride: Lengths,
    padding: Lengths,
    dilation: Lengths,
) -> Tensor:
    """The windows of the last axes, as a view (..., *kernel, *lengths); zeros outside."""
    n = len(kernel)
    after = [
        max((t - 1) * s + d * (k - 1) + 1 - m - p, 0)
        for m, t, k, s, p, d in zip(
            x._aval.shape[-n:], lengths, kernel, stride, padding, dilation, strict=True
        )
    ]
    x = padded(x, padding, after)
    shape = (*x._aval.shape[:-n], *lengths)
    return apply(OPS["strided"], (x,), window_attributes(x.ndim, shape, kernel, stride, dilation))


def window_sums(x: Tensor, lengths: Lengths, kernel: Lengths, stride: Lengths, padding: Lengths):
    """The sum of each window of the last axes."""
    n = len(kernel)
    first = x.ndim - n
    parts = windows(x, lengths, kernel, stride, padding, (1,) * n)
    return parts.sum(tuple(range(first, first + n)))
