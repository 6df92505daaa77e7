"""Shapes: reshape, transpose, expand, join, split; each a view where PyTorch has a view."""

from __future__ import annotations

import math

import numpy as np

from tapejit.errors import ArgumentError, AxisError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import normalize_axes, normalize_axis, resolve_reshape
from tapejit.tensor.core import Tensor, apply, as_data, storage
from tapejit.tensor.front import FOR_NUMPY, attribute, export, named
from tapejit.tensor.guards import read_layout
from tapejit.tensor.inplace import view

_RESHAPE, _PERMUTE, _SLICE, _EXPAND = (OPS[n] for n in ("reshape", "permute", "slice", "expand"))


def numbers(args) -> tuple[int, ...]:
    """Axes or lengths given one by one or as one sequence."""
    if len(args) == 1 and isinstance(args[0], list | tuple):
        args = args[0]
    return tuple(int(a) for a in args)


def _reshaped(x, shape, name):
    return named(view(_RESHAPE, x, (tuple(shape),)), name)


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
    contiguous = np.asarray(input._value).flags.c_contiguous
    return _reshaped(input, target, "ViewBackward0" if contiguous else "UnsafeViewBackward0")


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
    target = resolve_reshape(numbers(shape), x._aval.size)
    value = storage(x)
    try:
        value.view().reshape(target, copy=False)
    except ValueError:
        raise ShapeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        ) from None
    read_layout(x)
    return _reshaped(x, target, "ViewBackward0")


@export("view_as", "reshape_as", function=False)
def view_as(x, other) -> Tensor:
    """The elements in the shape of another tensor.

    >>> import tapejit as tj
    >>> tj.arange(6).view_as(tj.zeros(2, 3))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return view_(x, other._aval.shape)


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
        return _reshaped(input, (1,), "ViewBackward0")
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


@export("squeeze")
def squeeze(input, dim=None, *, axis=None) -> Tensor:
    """Without axes of length 1 (all of them, or those named).

    >>> import tapejit as tj
    >>> x = tj.zeros(1, 3, 1)
    >>> tj.squeeze(x).shape, tj.squeeze(x, 0).shape
    (torch.Size([3]), torch.Size([3, 1]))
    """
    dim = axis if dim is None else dim
    shape = input._aval.shape
    axes = range(len(shape)) if dim is None else normalize_axes("squeeze", dim, len(shape))
    target = tuple(n for i, n in enumerate(shape) if n != 1 or i not in axes)
    return _reshaped(input, target, f"SqueezeBackward{0 if dim is None else 1}")


FOR_NUMPY[np.squeeze] = squeeze


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
    return _reshaped(input, (*shape[:place], 1, *shape[place:]), "UnsqueezeBackward0")


FOR_NUMPY[np.expand_dims] = lambda x, axis: unsqueeze(x, axis)


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


FOR_NUMPY[np.transpose] = lambda x, axes=None: transpose(x, axes)
FOR_NUMPY[np.swapaxes] = lambda x, a, b: transpose(x, a, b)
FOR_NUMPY[np.moveaxis] = lambda x, source, destination: movedim(x, source, destination)


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
    return input if input._aval.ndim < 2 else swap_axes(input, 0, 1, "TBackward0")


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
    return swap_axes(x, -2, -1, "TransposeBackward0")


@export("movedim", "moveaxis")
def movedim(input, source, destination) -> Tensor:
    """Axes moved to new places, the others in their order.

    >>> import tapejit as tj
    >>> tj.movedim(tj.zeros(2, 3, 4), 0, -1).shape
    torch.Size([3, 4, 2])
    """
    n = input._aval.ndim
    source = [normalize_axis("movedim", a, n) for a in numbers((source,))]
    destination = [normalize_axis("movedim", a, n) for a in numbers((destination,))]
    order = [a for a in range(n) if a not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return permute(input, tuple(order))


@export("flip", numpy=())
def flip(input, *dims) -> Tensor:
    """The elements in reverse order along axes.

    >>> import tapejit as tj
    >>> tj.flip(tj.tensor([[1, 2], [3, 4]]), (0,))
    tensor([[3, 4],
            [1, 2]])
    """
    axes = normalize_axes("flip", numbers(dims), input._aval.ndim)
    return named(apply(OPS["flip"], (input,), (axes,)), "FlipBackward0")


FOR_NUMPY[np.flip] = lambda x, axis=None: flip(
    x, tuple(range(x.ndim)) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
)


@export("roll")
def roll(input, shifts, dims=None, *, axis=None) -> Tensor:
    """The elements moved along axes, around the end.

    >>> import tapejit as tj
    >>> tj.roll(tj.tensor([1, 2, 3, 4]), 1)
    tensor([4, 1, 2, 3])
    """
    dims = axis if dims is None else dims
    if dims is None:
        return roll(ravel(input), shifts, 0).reshape(input._aval.shape)
    shifts, dims = numbers((shifts,)), numbers((dims,))
    for shift, dim in zip(shifts, dims, strict=True):
        n = input.shape[dim]
        split_at = n - shift % n if n else 0
        if split_at % (n or 1):
            parts = [narrow(input, dim, split_at, n - split_at), narrow(input, dim, 0, split_at)]
            input = named(cat(parts, dim), "RollBackward0")
    return input


FOR_NUMPY[np.roll] = roll

# ---------------------------------------------------------------- repetition


@export("expand", function=False)
def expand(x, *sizes) -> Tensor:
    """Axes of length 1 repeated without a copy; -1 keeps a length.

    >>> import tapejit as tj
    >>> x = tj.tensor([[1.0], [2.0]], requires_grad=True)
    >>> y = x.expand(-1, 3)
    >>> y.sum().backward()
    >>> y.shape, x.grad.flatten()
    (torch.Size([2, 3]), tensor([3., 3.]))
    """
    sizes = numbers(sizes)
    known = (1,) * (len(sizes) - x._aval.ndim) + x._aval.shape
    if len(known) != len(sizes):
        raise ShapeError(
            f"expand(torch.FloatTensor{list(x._aval.shape)}, size={list(sizes)}): the number of "
            f"sizes provided ({len(sizes)}) must be greater or equal to the number of dimensions "
            f"in the tensor ({x._aval.ndim})"
        )
    target = tuple(m if n == -1 else n for n, m in zip(sizes, known, strict=True))
    for axis, (n, m) in enumerate(zip(target, known, strict=True)):
        if m not in (1, n):
            raise ShapeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({m}) at "
                f"non-singleton dimension {axis}.  Target sizes: {list(target)}.  Tensor sizes: "
                f"{list(x._aval.shape)}"
            )
    return view(_EXPAND, x, (target,))


@export("broadcast_to")
def broadcast_to(input, size) -> Tensor:
    """The tensor repeated to a shape, without a copy.

    >>> import tapejit as tj
    >>> tj.broadcast_to(tj.tensor([1, 2]), (2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(input, size)


FOR_NUMPY[np.broadcast_to] = lambda x, shape, subok=False: expand(x, shape)


@export("expand_as", function=False)
def expand_as(x, other) -> Tensor:
    """Expanded to the shape of another tensor.

    >>> import tapejit as tj
    >>> tj.tensor([1, 2]).expand_as(tj.zeros(2, 2))
    tensor([[1, 2],
            [1, 2]])
    """
    return expand(x, other._aval.shape)


@export("repeat", function=False)
def repeat(x, *sizes) -> Tensor:
    """Copies one after the other along every axis.

    >>> import tapejit as tj
    >>> tj.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    sizes = numbers(sizes)
    shape = (1,) * (len(sizes) - x._aval.ndim) + x._aval.shape
    if len(shape) != len(sizes):
        raise ShapeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor: {len(sizes)} and {x._aval.ndim}"
        )
    paired = [m for n in shape for m in (1, n)]
    wide = [m for n, r in zip(shape, sizes, strict=True) for m in (r, n)]
    full = tuple(n * r for n, r in zip(shape, sizes, strict=True))
    return named(reshape(expand(reshape(x, paired), wide), full), "RepeatBackward0")


@export("tile", numpy=("tile",))
def tile(input, *dims) -> Tensor:
    """As repeat; missing factors count as 1.

    >>> import tapejit as tj
    >>> tj.tile(tj.tensor([[1, 2], [3, 4]]), (2,))
    tensor([[1, 2, 1, 2],
            [3, 4, 3, 4]])
    """
    dims = numbers(dims)
    return repeat(input, (1,) * (input._aval.ndim - len(dims)) + dims)


# ---------------------------------------------------------------- parts


@export("narrow")
def narrow(input, dim, start, length) -> Tensor:
    """`length` elements from `start` along an axis.

    >>> import tapejit as tj
    >>> tj.narrow(tj.tensor([10, 11, 12, 13]), 0, 1, 2)
    tensor([11, 12])
    """
    dim = normalize_axis("narrow", dim, input._aval.ndim)
    shape = input._aval.shape
    start = start % shape[dim] if start < 0 else start
    if length < 0:
        raise ArgumentError(f"narrow(): length must be non-negative, got {length}")
    if start + length > shape[dim]:
        raise ShapeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({shape[dim]})."
        )
    starts = tuple(start if i == dim else 0 for i in range(len(shape)))
    lengths = tuple(length if i == dim else n for i, n in enumerate(shape))
    return view(_SLICE, input, (starts, lengths, (1,) * len(shape)))


@export("select")
def select(input, dim, index) -> Tensor:
    """The part at one index of an axis, without that axis.

    >>> import tapejit as tj
    >>> tj.select(tj.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    dim = normalize_axis("select", dim, input._aval.ndim)
    n = input._aval.shape[dim]
    if not -n <= index < n:
        raise AxisError(
            f"select(): index {index} out of range for tensor of size "
            f"{list(input._aval.shape)} at dimension {dim}"
        )
    part = narrow(input, dim, index % n, 1)
    shape = input._aval.shape
    return _reshaped(part, shape[:dim] + shape[dim + 1 :], "SelectBackward0")


@export("unbind")
def unbind(input, dim=0) -> tuple[Tensor, ...]:
    """The parts along an axis, as a tuple.

    >>> import tapejit as tj
    >>> tj.unbind(tj.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    return tuple(named(select(input, dim, i), "UnbindBackward0") for i in range(input.shape[dim]))


@export("split")
def split(tensor, split_size_or_sections, dim=0) -> tuple[Tensor, ...]:
    """Parts of a given length, or of given lengths, along an axis.

    >>> import tapejit as tj
    >>> tj.split(tj.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    >>> tj.split(tj.arange(5), [1, 4])
    (tensor([0]), tensor([1, 2, 3, 4]))
    """
    n = tensor.shape[dim]
    name = "SplitBackward0"
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or (step == 0 and n):
            raise ArgumentError(
                f"split_size can only be 0 if dimension size is 0, but got dimension size of {n} "
                f"and split_size {step}"
            )
        sizes = [min(step, n - i) for i in range(0, n, step or 1)] or [0]
    else:
        sizes = list(split_size_or_sections)
        name = "SplitWithSizesBackward0"
        if sum(sizes) != n:
            raise ShapeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size "
                f"at dimension {dim}), but got split_sizes={sizes}"
            )
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if sizes else []
    return tuple(
        named(narrow(tensor, dim, int(s), int(k)), name) for s, k in zip(starts, sizes, strict=True)
    )


@export("chunk")
def chunk(input, chunks, dim=0) -> tuple[Tensor, ...]:
    """About `chunks` parts of equal length along an axis.

    >>> import tapejit as tj
    >>> tj.chunk(tj.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    if chunks <= 0:
        raise ArgumentError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    return split(input, max(1, -(-input.shape[dim] // chunks)), dim)


# ---------------------------------------------------------------- joining


@export("cat", "concatenate", "concat", method=False)
def cat(tensors, dim=0, *, axis=None) -> Tensor:
    """Tensors one after the other along an axis.

    >>> import tapejit as tj
    >>> tj.cat([tj.zeros(1, 2), tj.ones(2, 2)])
    tensor([[0., 0.],
            [1., 1.],
            [1., 1.]])
    """
    dim = dim if axis is None else axis
    tensors = [x if isinstance(x, Tensor) else as_data(x) for x in tensors]
    if not tensors:
        raise ShapeError("torch.cat(): expected a non-empty list of Tensors")
    if any(x._aval.ndim == 0 for x in tensors):
        raise ShapeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    kept = [x for x in tensors if x._aval.shape != (0,)] or tensors[:1]
    return apply(OPS["cat"], kept, (normalize_axis("cat", dim, kept[0]._aval.ndim),))


@export("stack", method=False)
def stack(tensors, dim=0, *, axis=None) -> Tensor:
    """Tensors of equal shape along a new axis.

    >>> import tapejit as tj
    >>> tj.stack([tj.tensor([1, 2]), tj.tensor([3, 4])], 1)
    tensor([[1, 3],
            [2, 4]])
    """
    dim = dim if axis is None else axis
    tensors = [x if isinstance(x, Tensor) else as_data(x) for x in tensors]
    if not tensors:
        raise ShapeError("stack expects a non-empty TensorList")
    if len({x._aval.shape for x in tensors}) > 1:
        first = tensors[0]
        other = next(i for i, x in enumerate(tensors) if x._aval.shape != first._aval.shape)
        raise ShapeError(
            f"stack expects each tensor to be equal size, but got {list(first._aval.shape)} at "
            f"entry 0 and {list(tensors[other]._aval.shape)} at entry {other}"
        )
    place = normalize_axis("stack", dim, tensors[0]._aval.ndim + 1)
    return named(cat([unsqueeze(x, place) for x in tensors], place), "StackBackward0")


FOR_NUMPY[np.concatenate] = lambda arrays, axis=0: cat(
    [x.reshape(-1) for x in arrays] if axis is None else arrays, 0 if axis is None else axis
)
FOR_NUMPY[np.stack] = lambda arrays, axis=0: stack(arrays, axis)
FOR_NUMPY[np.hstack] = lambda arrays: cat(arrays, 0 if np.ndim(arrays[0]) == 1 else 1)
FOR_NUMPY[np.vstack] = lambda arrays: cat(
    [x.reshape(1, -1) if np.ndim(x) == 1 else x for x in arrays], 0
)
