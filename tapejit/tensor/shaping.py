"""Shapes: reshape, transpose and their like; each a view where PyTorch has a view.

Elements repeated are in `repeating`, parts of a tensor in `parts`, several tensors in `joining`,
diagonals in `diagonals`.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, NotDifferentiable, ShapeError
from tapejit.registry import OPS
from tapejit.runtime.devices import can_view, layout
from tapejit.shapes import normalize_axes, normalize_axis, resolve_reshape
from tapejit.tensor.core import Tensor, apply, storage
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, attribute, export, named
from tapejit.tensor.guards import in_trace, read_layout
from tapejit.tensor.inplace import view
from tapejit.tensor.recording import root

_RESHAPE, _PERMUTE = OPS["reshape"], OPS["permute"]


def numbers(args) -> tuple[int, ...]:
    """Axes or lengths given one by one or as one sequence."""
    if len(args) == 1 and isinstance(args[0], list | tuple):
        args = args[0]
    return tuple(int(a) for a in args)


def reshaped(x, shape, name) -> Tensor:
    """A view (where memory allows) of a shape that is known to fit."""
    return named(view(_RESHAPE, x, (tuple(shape),)), name)


def owned(result: Tensor, *operands: Tensor, name: str = "") -> Tensor:
    """A result in memory of its own, where PyTorch has no view but NumPy's value is one."""
    if any(root(result._value) is root(x._value) for x in operands):
        result = apply(OPS["clone"], (result,))
    return named(result, name) if name else result


# ---------------------------------------------------------------- reshape


@export("reshape")
def reshape(input, *shape) -> Tensor:
    """The same elements in another shape; one length may be -1.

    >>> import tapejit as tj
    >>> x = tj.arange(6)
    >>> tj.reshape(x, (2, -1))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    target = resolve_reshape(numbers(shape), input._aval.size)
    value = input._value
    contiguous = value.flags.c_contiguous
    return reshaped(input, target, "ViewBackward0" if contiguous else "UnsafeViewBackward0")


@export("view", function=False)
def view_(x, *shape) -> Tensor:
    """As reshape, but only where no copy is needed; or the bits in another dtype.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3)
    >>> x.view(3, 2)[0, 0] = 7.0  # the same memory
    >>> x
    tensor([[7., 0., 0.],
            [0., 0., 0.]])
    """
    dtype = dtypes.as_dtype(shape[0]) if _is_dtype(shape) else None
    if dtype is not None:
        return _bits(x, dtype)
    target = resolve_reshape(numbers(shape), x._aval.size)
    if not can_view(storage(x), target):
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    read_layout(x)
    return reshaped(x, target, "ViewBackward0")


def _is_dtype(args):
    return len(args) == 1 and not isinstance(args[0], int | list | tuple | np.integer)


def _bits(x, dtype):
    """The same memory read as numbers of another dtype; it has no derivative."""
    old, new = x._aval.dtype, dtype
    if new is old:
        return reshaped(x, x._aval.shape, "AliasBackward0")
    what = f"to view {old} as {new} (different element sizes)"
    if old.itemsize != new.itemsize:
        if x._aval.ndim == 0:
            raise ShapeError(f"self.dim() cannot be 0 {what}")
        if x._aval.shape[-1] * old.itemsize % new.itemsize:
            times = new.itemsize // old.itemsize
            raise ShapeError(f"self.size(-1) must be divisible by {times} {what}")
        if layout(read_layout(x))[1][-1] != 1:
            raise ShapeError(f"self.stride(-1) must be 1 {what}")
    storage(x)
    if new.is_inexact and in_trace(x):
        raise NotDifferentiable(
            f"view: the bits of {old} as {new} have no derivative\n  try  x.detach().view({new})"
        )
    result = view(OPS["bits"], x, (new.name,))
    result._tracked = in_trace(x)
    return result


@export("view_as", function=False)
def view_as(x, other) -> Tensor:
    """The elements in the shape of another tensor, as `view` gives them.

    >>> import tapejit as tj
    >>> tj.arange(6).view_as(tj.zeros(2, 3))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return view_(x, other._aval.shape)


@export("reshape_as", function=False)
def reshape_as(x, other) -> Tensor:
    """The elements in the shape of another tensor, as `reshape` gives them.

    >>> import tapejit as tj
    >>> tj.arange(6).reshape_as(tj.zeros(3, 2)).shape
    torch.Size([3, 2])
    """
    return reshape(x, other._aval.shape)


@export("unflatten")
def unflatten(input, dim, sizes) -> Tensor:
    """One axis as several; one of their lengths may be -1.

    >>> import tapejit as tj
    >>> tj.unflatten(tj.zeros(2, 6), 1, (3, -1)).shape
    torch.Size([2, 3, 2])
    """
    dim = normalize_axis("unflatten", dim, input._aval.ndim)
    shape, sizes = input._aval.shape, numbers((sizes,))
    if not sizes:
        raise ShapeError("unflatten: sizes must be non-empty")
    try:
        sizes = resolve_reshape(sizes, shape[dim])
    except ShapeError:
        raise ShapeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} "
            f"({shape[dim]}) in the input tensor"
        ) from None
    return reshape(input, (*shape[:dim], *sizes, *shape[dim + 1 :]))


@export("flatten")
def flatten(input, start_dim=0, end_dim=-1) -> Tensor:
    """Axes start_dim … end_dim as one.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3, 4)
    >>> tj.flatten(x).shape, tj.flatten(x, 1).shape
    (torch.Size([24]), torch.Size([2, 12]))
    """
    n = input._aval.ndim
    if n == 0:
        return reshaped(input, (1,), "ViewBackward0")
    first, last = (normalize_axis("flatten", a, n) for a in (start_dim, end_dim))
    if first > last:
        raise ShapeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = input._aval.shape
    if first == last:
        return input
    return reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@export("ravel", numpy=("ravel",))
def ravel(input, order="C") -> Tensor:
    """All elements in one axis.

    >>> import tapejit as tj
    >>> tj.ravel(tj.tensor([[1, 2], [3, 4]]).t())
    tensor([1, 3, 2, 4])
    """
    return reshape_in_order(input, (-1,), order)


def reshape_in_order(x, shape, order="C") -> Tensor:
    """NumPy's reshape: order "F" reads and writes with the first axis changing fastest."""
    if order in ("C", "K", "A"):  # tensors are in C order as far as NumPy's words go
        return reshape(x, shape)
    if order != "F":
        raise ArgumentError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
    return transpose(reshape(transpose(x), numbers((shape,))[::-1]))


FOR_NUMPY[np.reshape] = lambda x, shape=None, order="C", *, newshape=None, copy=None: (
    reshape_in_order(x, shape if shape is not None else newshape, order)
)


@export("squeeze", numpy=("squeeze",))
def squeeze(input, dim=None) -> Tensor:
    """Without axes of length 1 (all of them, or those named).

    >>> import tapejit as tj
    >>> x = tj.zeros(1, 3, 1)
    >>> tj.squeeze(x).shape, tj.squeeze(x, 0).shape
    (torch.Size([3]), torch.Size([3, 1]))
    """
    shape = input._aval.shape
    axes = range(len(shape)) if dim is None else normalize_axes("squeeze", dim, len(shape))
    target = tuple(n for i, n in enumerate(shape) if n != 1 or i not in axes)
    return reshaped(
        input, target, f"SqueezeBackward{0 if dim is None else 1 if isinstance(dim, int) else 2}"
    )


@export("unsqueeze")
def unsqueeze(input, dim) -> Tensor:
    """A new axis of length 1.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0])
    >>> tj.unsqueeze(x, 0).shape, tj.unsqueeze(x, -1).shape
    (torch.Size([1, 2]), torch.Size([2, 1]))
    """
    n = input._aval.ndim
    place = normalize_axis("unsqueeze", dim, n + 1)
    shape = input._aval.shape
    return reshaped(input, (*shape[:place], 1, *shape[place:]), "UnsqueezeBackward0")


@export("expand_dims", method=False, numpy=("expand_dims",))
def expand_dims(input, dim) -> Tensor:
    """New axes of length 1, at these places of the result (NumPy's `unsqueeze`).

    >>> import tapejit as tj
    >>> tj.expand_dims(tj.zeros(3), (0, 2)).shape
    torch.Size([1, 3, 1])
    """
    dims = numbers((dim,))
    n = input._aval.ndim + len(dims)
    places = normalize_axes("expand_dims", dims, n)
    lengths = iter(input._aval.shape)
    return reshaped(
        input, [1 if i in places else next(lengths) for i in range(n)], "UnsqueezeBackward0"
    )


@export("contiguous", function=False)
def contiguous(x, *, memory_format=None) -> Tensor:
    """The tensor itself if its memory is in row-major order, else a copy.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3)
    >>> x.contiguous() is x, x.t().contiguous() is x
    (True, False)
    """
    return x if read_layout(x).flags.c_contiguous else apply(OPS["clone"], (x,))


# ---------------------------------------------------------------- order of axes


@export("permute")
def permute(input, *dims) -> Tensor:
    """The axes in another order.

    >>> import tapejit as tj
    >>> tj.permute(tj.zeros(2, 3, 4), (2, 0, 1)).shape
    torch.Size([4, 2, 3])
    """
    axes = tuple(normalize_axis("permute", a, input._aval.ndim) for a in numbers(dims))
    if sorted(axes) != list(range(input._aval.ndim)):
        raise ShapeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input._aval.ndim} "
            f"is not equal to len(dims) = {len(axes)}"
            if len(axes) != input._aval.ndim
            else "permute(): duplicate dims are not allowed."
        )
    return view(_PERMUTE, input, (axes,))


def swap_axes(x, first, second, name):
    """Two axes exchanged."""
    n = x._aval.ndim
    first, second = (normalize_axis("transpose", a, n) for a in (first, second))
    if n == 0:
        return view(_RESHAPE, x, ((),))
    axes = list(range(n))
    axes[first], axes[second] = second, first
    return named(view(_PERMUTE, x, (tuple(axes),)), name)


@export("transpose", "swapaxes", "swapdims")
def transpose(input, *dims, dim0=None, dim1=None) -> Tensor:
    """Two axes exchanged (PyTorch), or as NumPy: all reversed, or in the given order.

    >>> import tapejit as tj
    >>> x = tj.zeros(2, 3, 4)
    >>> tj.transpose(x, 0, 1).shape  # PyTorch's: two axes exchanged
    torch.Size([3, 2, 4])
    >>> tj.transpose(x).shape, tj.transpose(x, (0, 2, 1)).shape  # NumPy's
    (torch.Size([4, 3, 2]), torch.Size([2, 4, 3]))
    """
    if dim0 is not None:
        dims = (dim0, dim1)
    if len(dims) == 2 and not isinstance(dims[0], list | tuple):
        return swap_axes(input, *dims, "TransposeBackward0")
    axes = numbers(dims) if dims and dims[0] is not None else range(input._aval.ndim)[::-1]
    return permute(input, tuple(axes))


FOR_NUMPY[np.transpose] = lambda a, axes=None: transpose(a, axes)
FOR_NUMPY[np.swapaxes] = lambda a, axis1, axis2: transpose(a, axis1, axis2)
FOR_NUMPY[np.matrix_transpose] = lambda x: swap_axes(x, -2, -1, "TransposeBackward0")
FOR_NUMPY[np.moveaxis] = lambda a, source, destination: movedim(a, source, destination)


@export("t")
def t(input) -> Tensor:
    """The transpose of a matrix; vectors as they are.

    >>> import tapejit as tj
    >>> tj.t(tj.tensor([[1, 2, 3], [4, 5, 6]]))
    tensor([[1, 4],
            [2, 5],
            [3, 6]])
    """
    if input._aval.ndim > 2:
        raise ShapeError(
            f"t() expects a tensor with <= 2 dimensions, but self is {input._aval.ndim}D"
        )
    if input._aval.ndim < 2:
        return reshaped(input, input._aval.shape, "TBackward0")
    return swap_axes(input, 0, 1, "TBackward0")


@attribute("T")
def all_axes_reversed(x) -> Tensor:
    """The axes in reverse order: of a matrix its transpose.

    >>> import tapejit as tj
    >>> tj.tensor([[1, 2], [3, 4]]).T
    tensor([[1, 3],
            [2, 4]])
    """
    return permute(x, tuple(range(x._aval.ndim))[::-1])


@attribute("mT")
def matrices_transposed(x) -> Tensor:
    """The last two axes exchanged.

    >>> import tapejit as tj
    >>> tj.zeros(5, 2, 3).mT.shape
    torch.Size([5, 3, 2])
    """
    if x._aval.ndim < 2:
        raise ShapeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {x._aval.ndim}-D "
            "tensor."
        )
    return swap_axes(x, -2, -1, "TransposeBackward0")


@export("adjoint")
def adjoint(input) -> Tensor:
    """The last two axes exchanged, and complex numbers conjugated.

    >>> import tapejit as tj
    >>> tj.adjoint(tj.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 3.],
            [2., 4.]])
    """
    return _conjugated(matrices_transposed(input))


def _conjugated(x):
    return FUNCTIONS["conj"](x)


@attribute("mH")
def matrices_adjoint(x) -> Tensor:
    """As `adjoint`.

    >>> import tapejit as tj
    >>> tj.zeros(5, 2, 3).mH.shape
    torch.Size([5, 3, 2])
    """
    return adjoint(x)


@attribute("H")
def matrix_adjoint(x) -> Tensor:
    """The adjoint of a matrix.

    >>> import tapejit as tj
    >>> tj.zeros(2, 3).H.shape
    torch.Size([3, 2])
    """
    if x._aval.ndim not in (0, 2):
        raise ShapeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {x._aval.ndim}-D tensor."
        )
    return adjoint(x) if x._aval.ndim else x


@export("movedim", "moveaxis")
def movedim(input, source, destination) -> Tensor:
    """Axes moved to new places, the others in their order.

    >>> import tapejit as tj
    >>> tj.movedim(tj.zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    n = input._aval.ndim
    source, destination = numbers((source,)), numbers((destination,))
    if len(source) != len(destination):
        raise ShapeError(
            "movedim: Invalid source or destination dims: source "
            f"({list(source)} dims) should contain the same number of dims as destination "
            f"({list(destination)} dims)"
        )
    source, destination = (
        [normalize_axis("movedim", a, n) for a in axes] for axes in (source, destination)
    )
    for what, axes in (("source", source), ("destination", destination)):
        if len(set(axes)) != len(axes):
            raise ShapeError(f"movedim: repeated dim in `{what}` ({axes})")
    order = [a for a in range(n) if a not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return permute(input, tuple(order))


FOR_NUMPY[np.rollaxis] = lambda a, axis, start=0: movedim(
    a, axis, _rolled_place(axis % a.ndim, start, a.ndim)
)


def _rolled_place(axis, start, n):
    """Where np.rollaxis puts an axis: before `start`, as axes stand without it."""
    start = start + n if start < 0 else start
    return start - (axis < start)
