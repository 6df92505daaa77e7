"""Parts of a tensor: slices, splits, windows; and its elements in another order along axes.

Parts are views, as in PyTorch.  Orders are copies there, and views in NumPy.
"""

from __future__ import annotations

import itertools
import operator

import numpy as np

from tapejit.errors import ArgumentError, AutogradError, AxisError, ShapeError
from tapejit.registry import OPS, infer_kind
from tapejit.runtime import devices
from tapejit.runtime.eager import evaluate
from tapejit.shapes import normalize_axes, normalize_axis
from tapejit.tensor.core import Tensor, apply, storage
from tapejit.tensor.front import FOR_NUMPY, export, named
from tapejit.tensor.guards import read, read_layout
from tapejit.tensor.inplace import base_of, view
from tapejit.tensor.joining import cat
from tapejit.tensor.recording import root, state
from tapejit.tensor.shaping import numbers, owned, ravel, reshape, reshaped, swap_axes

# ---------------------------------------------------------------- parts


@export("narrow")
def narrow(input, dim, start, length) -> Tensor:
    """`length` elements from `start` along an axis.

    >>> import tapejit as tj
    >>> tj.narrow(tj.tensor([10, 11, 12, 13]), 0, 1, 2)
    tensor([11, 12])
    """
    if input._aval.ndim == 0:
        raise ShapeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = normalize_axis("narrow", dim, input._aval.ndim)
    shape = input._aval.shape
    start, length = int(start), operator.index(length)
    if not -shape[dim] <= start <= shape[dim]:
        raise AxisError(
            f"Dimension out of range (expected to be in range of [{-shape[dim]}, {shape[dim]}], "
            f"but got {start}): start of narrow"
        )
    start = start + shape[dim] if start < 0 else start
    if length < 0:
        raise ArgumentError(f"narrow(): length must be non-negative, got {length}")
    if start + length > shape[dim]:
        raise ShapeError(
            f"start ({start}) + length ({length}) exceeds dimension size ({shape[dim]})."
        )
    starts = tuple(start if i == dim else 0 for i in range(len(shape)))
    lengths = tuple(length if i == dim else n for i, n in enumerate(shape))
    return view(OPS["slice"], input, (starts, lengths, (1,) * len(shape)))


@export("select")
def select(input, dim, index) -> Tensor:
    """The part at one index of an axis, without that axis.

    >>> import tapejit as tj
    >>> tj.select(tj.tensor([[1, 2], [3, 4]]), 1, 0)
    tensor([1, 3])
    """
    if input._aval.ndim == 0:
        raise AxisError("select() cannot be applied to a 0-dim tensor.")
    dim = normalize_axis("select", dim, input._aval.ndim)
    index = int(index)
    n = input._aval.shape[dim]
    if not -n <= index < n:
        raise AxisError(
            f"select(): index {index} out of range for tensor of size "
            f"{list(input._aval.shape)} at dimension {dim}"
        )
    part = narrow(input, dim, index % n, 1)
    shape = input._aval.shape
    return reshaped(part, shape[:dim] + shape[dim + 1 :], "SelectBackward0")


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


@export("split_with_sizes")
def split_with_sizes(input, split_sizes, dim=0) -> tuple[Tensor, ...]:
    """Parts of given lengths along an axis.

    >>> import tapejit as tj
    >>> tj.split_with_sizes(tj.arange(5), [1, 4])
    (tensor([0]), tensor([1, 2, 3, 4]))
    """
    return split(input, list(split_sizes), dim)


@export("tensor_split")
def tensor_split(input, indices_or_sections, dim=0) -> tuple[Tensor, ...]:
    """So many parts, the first ones longer by one where need be; or parts cut at these places.

    >>> import tapejit as tj
    >>> tj.tensor_split(tj.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    >>> tj.tensor_split(tj.arange(5), (1, 4))
    (tensor([0]), tensor([1, 2, 3]), tensor([4]))
    """
    if input._aval.ndim == 0:
        raise ShapeError("tensor_split expected at least a 1-dimensional tensor, but got 0 dims")
    dim = normalize_axis("tensor_split", dim, input._aval.ndim)
    n = input._aval.shape[dim]
    cuts = (
        read(indices_or_sections)
        if isinstance(indices_or_sections, Tensor)
        else (indices_or_sections)
    )
    if np.ndim(cuts) == 0:
        count = int(cuts)
        if count <= 0:
            raise ArgumentError(f"number of sections must be larger than 0, got {count}")
        length, longer = divmod(n, count)
        cuts = [i * length + min(i, longer) for i in range(1, count)]
    bounds = [0, *(int(c) for c in cuts), n]
    parts = []
    for low, high in itertools.pairwise(bounds):
        low, high, _ = slice(low, high).indices(n)
        parts.append(narrow(input, dim, low, max(high - low, 0)))
    return tuple(parts)


def _even_split(name, input, indices_or_sections, dim):
    """hsplit and its kin: parts of equal length, or cut at places."""
    n = input._aval.shape[dim]
    if isinstance(indices_or_sections, int) and (
        indices_or_sections <= 0 or n % indices_or_sections
    ):
        raise ArgumentError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension "
            f"{n} is not divisible by the split_size {indices_or_sections}!"
        )
    return tensor_split(input, indices_or_sections, dim)


def _check_ndim(name, input, least):
    if input._aval.ndim < least:
        raise ShapeError(
            f"torch.{name} requires a tensor with at least {least} dimension, but got a "
            f"tensor with {input._aval.ndim} dimensions!"
        )


@export("hsplit", numpy=("hsplit",))
def hsplit(input, indices_or_sections) -> tuple[Tensor, ...]:
    """Parts side by side: along the second axis, of a vector the first.

    >>> import tapejit as tj
    >>> tj.hsplit(tj.arange(4), 2)
    (tensor([0, 1]), tensor([2, 3]))
    """
    _check_ndim("hsplit", input, 1)
    return _even_split("hsplit", input, indices_or_sections, min(1, input._aval.ndim - 1))


@export("vsplit", numpy=("vsplit",))
def vsplit(input, indices_or_sections) -> tuple[Tensor, ...]:
    """Parts below each other: along the first axis.

    >>> import tapejit as tj
    >>> [part.shape for part in tj.vsplit(tj.zeros(4, 3), 2)]
    [torch.Size([2, 3]), torch.Size([2, 3])]
    """
    _check_ndim("vsplit", input, 2)
    return _even_split("vsplit", input, indices_or_sections, 0)


@export("dsplit", numpy=("dsplit",))
def dsplit(input, indices_or_sections) -> tuple[Tensor, ...]:
    """Parts behind each other: along the third axis.

    >>> import tapejit as tj
    >>> [part.shape for part in tj.dsplit(tj.zeros(1, 2, 4), 2)]
    [torch.Size([1, 2, 2]), torch.Size([1, 2, 2])]
    """
    _check_ndim("dsplit", input, 3)
    return _even_split("dsplit", input, indices_or_sections, 2)


FOR_NUMPY[np.array_split] = lambda ary, indices_or_sections, axis=0: list(
    tensor_split(ary, indices_or_sections, axis)
)
FOR_NUMPY[np.split] = lambda ary, indices_or_sections, axis=0: list(
    _even_split("split", ary, indices_or_sections, normalize_axis("split", axis, ary.ndim))
)
FOR_NUMPY[np.unstack] = lambda x, /, *, axis=0: unbind(x, axis)

# ---------------------------------------------------------------- windows and strides


@export("unfold", function=False)
def unfold(x, dimension, size, step) -> Tensor:
    """Windows of `size` elements, every `step`, along an axis; within a window is the last axis.

    >>> import tapejit as tj
    >>> tj.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    if x._aval.ndim == 0:
        return reshaped(unfold(reshape(x, (1,)), dimension, size, step), (size,), "UnfoldBackward0")
    dim = normalize_axis("unfold", dimension, x._aval.ndim)
    n, ndim = x._aval.shape[dim], x._aval.ndim
    if size > n or size < 0:
        raise ShapeError(
            f"maximum size for tensor at dimension {dim} is {n} but size is {size}"
            if size >= 0
            else f"size is {size} but must be >= 0"
        )
    if step <= 0:
        raise ArgumentError(f"step is {step} but must be > 0")
    steps = [[int(i == j) for j in range(ndim + 1)] for i in range(ndim)]
    steps[dim][dim], steps[dim][ndim] = step, 1
    shape = list(x._aval.shape)
    shape[dim] = (n - size) // step + 1
    attrs = (*shape, size), (0,) * ndim, tuple(map(tuple, steps))
    return view(OPS["strided"], x, attrs, "UnfoldBackward0")


@export("as_strided")
def as_strided(input, size, stride, storage_offset=None) -> Tensor:
    """Any elements of the memory: `size` and `stride` of each axis, from an offset.

    Errors  AutogradError where a gradient would be needed for memory that `input` does not show

    >>> import tapejit as tj
    >>> tj.as_strided(tj.arange(6), (2, 2), (1, 2), 1)
    tensor([[1, 3],
            [2, 4]])
    """
    size, stride = numbers((size,)), numbers((stride,))
    if len(size) != len(stride):
        raise ShapeError("mismatch in length of strides and shape")
    if any(s < 0 for s in stride):
        raise ArgumentError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    shown, start = _memory_shown(input, storage_offset)
    last = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and not 0 <= start <= last < shown._aval.size:
        raise ShapeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {start} need "
            f"{last + 1} elements, which are out of bounds for memory of {shown._aval.size}\n"
            "  try  sizes and strides within the elements of the tensor"
        )
    flat = reshaped(shown, (shown._aval.size,), "ViewBackward0")
    attrs = size, (min(start, shown._aval.size),), (stride,)
    return view(OPS["strided"], flat, attrs, "AsStridedBackward0")


def _memory_shown(x, offset):
    """A tensor that shows memory in order, and where in it the offset (None: x's own) lies.

    It is x itself if x is contiguous and the offset not before it, else what x is a view of.
    """
    value = read_layout(x)
    if not x._tracked or not state.parked.is_trace:
        value = storage(x)
    place = _elements_before(value)
    offset = place if offset is None else int(offset)
    if value.flags.c_contiguous and (offset == place or base_of(x) is x) and offset >= place:
        return x, offset - place
    base = base_of(x)
    memory = storage(base)
    if not memory.flags.c_contiguous:
        raise AutogradError(
            "as_strided: the memory behind this tensor is not in row-major order\n"
            "  try  x.contiguous().as_strided(...)"
        )
    return base, offset - _elements_before(memory)


def _elements_before(value):
    return (devices.layout(value)[0] - devices.layout(root(value))[0]) // value.itemsize


# ---------------------------------------------------------------- a copy with a part replaced


@export("select_scatter")
def select_scatter(input, src, dim, index) -> Tensor:
    """A copy with `src` at one index of an axis.

    >>> import tapejit as tj
    >>> tj.select_scatter(tj.zeros(2, 2), tj.ones(2), 0, 1)
    tensor([[0., 0.],
            [1., 1.]])
    """
    part = select(input, dim, index)
    _check_part("select", src, part)
    dim = normalize_axis("select_scatter", dim, input._aval.ndim)
    shape = input._aval.shape
    starts = tuple(index % n if a == dim else 0 for a, n in enumerate(shape))
    src = reshape(src, (*shape[:dim], 1, *shape[dim + 1 :]))
    steps = (1,) * len(shape)
    return named(apply(OPS["replace"], (input, src), (starts, steps)), "SelectScatterBackward0")


@export("slice_scatter")
def slice_scatter(input, src, dim=0, start=None, end=None, step=1) -> Tensor:
    """A copy with `src` in a slice of an axis.

    >>> import tapejit as tj
    >>> tj.slice_scatter(tj.zeros(4), tj.ones(2), start=0, step=2, end=4)
    tensor([1., 0., 1., 0.])
    """
    dim = normalize_axis("slice_scatter", dim, input._aval.ndim)
    if step <= 0:
        raise ArgumentError("slice step must be positive")
    part = input[(slice(None),) * dim + (slice(start, end, step),)]
    _check_part("slice", src, part)
    first, _, _ = slice(start, end, step).indices(input._aval.shape[dim])
    starts = tuple(first if a == dim else 0 for a in range(input._aval.ndim))
    steps = tuple(step if a == dim else 1 for a in range(input._aval.ndim))
    return named(apply(OPS["replace"], (input, src), (starts, steps)), "SliceScatterBackward0")


def _check_part(what, src, part):
    if src._aval.shape != part._aval.shape:
        raise ShapeError(
            f"expected src to have a size equal to the {what} of self. src size = "
            f"{list(src._aval.shape)}, {what} size = {list(part._aval.shape)}"
        )


@export("narrow_copy")
def narrow_copy(input, dim, start, length) -> Tensor:
    """As `narrow`, in memory of its own.

    >>> import tapejit as tj
    >>> tj.narrow_copy(tj.arange(4), 0, 1, 2)
    tensor([1, 2])
    """
    return apply(OPS["clone"], (narrow(input, dim, start, length),))


# ---------------------------------------------------------------- another order along axes


@export("flip", numpy=())
def flip(input, *dims) -> Tensor:
    """The elements in reverse order along axes.

    >>> import tapejit as tj
    >>> tj.flip(tj.tensor([[1, 2], [3, 4]]), (0,))
    tensor([[3, 4],
            [1, 2]])
    """
    axes = normalize_axes("flip", numbers(dims), input._aval.ndim)
    if state.parked.speaks_numpy:
        return view(OPS["flip"], input, (axes,), "FlipBackward0")
    known = infer_kind(OPS["flip"], (input._aval,), (axes,))
    value = devices.owned(evaluate(known, (input._value,)))
    return named(apply(OPS["flip"], (input,), (axes,), value), "FlipBackward0")


FOR_NUMPY[np.flip] = lambda m, axis=None: flip(m, tuple(range(m.ndim)) if axis is None else axis)


@export("fliplr", numpy=("fliplr",))
def fliplr(input) -> Tensor:
    """The elements in reverse order along the second axis.

    >>> import tapejit as tj
    >>> tj.fliplr(tj.tensor([[1, 2], [3, 4]]))
    tensor([[2, 1],
            [4, 3]])
    """
    if input._aval.ndim < 2:
        raise ShapeError("Input must be >= 2-d.")
    return flip(input, (1,))


@export("flipud", numpy=("flipud",))
def flipud(input) -> Tensor:
    """The elements in reverse order along the first axis.

    >>> import tapejit as tj
    >>> tj.flipud(tj.tensor([[1, 2], [3, 4]]))
    tensor([[3, 4],
            [1, 2]])
    """
    if input._aval.ndim < 1:
        raise ShapeError("Input must be >= 1-d.")
    return flip(input, (0,))


@export("rot90")
def rot90(input, k=1, dims=(0, 1)) -> Tensor:
    """Turned by k quarters, from the first of two axes to the second.

    >>> import tapejit as tj
    >>> tj.rot90(tj.tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    dims = numbers((dims,))
    if len(dims) != 2:
        raise ArgumentError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    first, second = (normalize_axis("rot90", d, input._aval.ndim) for d in dims)
    if first == second or input._aval.ndim < 2:
        raise ArgumentError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    k %= 4
    axes = {1: (second,), 2: (first, second), 3: (first,)}.get(k, ())
    result = flip(input, axes) if axes else input
    if k % 2:
        result = swap_axes(result, first, second, "TransposeBackward0")
    return result if state.parked.speaks_numpy else owned(result, input, name="Rot90Backward0")


FOR_NUMPY[np.rot90] = lambda m, k=1, axes=(0, 1): rot90(m, k, axes)


@export("roll")
def roll(input, shifts, dims=None) -> Tensor:
    """The elements moved along axes, around the end.

    >>> import tapejit as tj
    >>> tj.roll(tj.tensor([1, 2, 3, 4]), 1)
    tensor([4, 1, 2, 3])
    """
    if dims is None:
        return roll(ravel(input), shifts, 0).reshape(input._aval.shape)
    whole, shifts, dims = input, numbers((shifts,)), numbers((dims,))
    if len(shifts) != len(dims):
        raise ShapeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
        )
    for shift, dim in zip(shifts, dims, strict=True):
        n = input._aval.shape[dim]
        split_at = n - shift % n if n else 0
        if split_at % (n or 1):
            parts = [narrow(input, dim, split_at, n - split_at), narrow(input, dim, 0, split_at)]
            input = named(cat(parts, dim), "RollBackward0")
    return owned(input, whole)


def _numpy_roll(a, shift, axis=None):
    shifts, axes = numbers((shift,)), None if axis is None else numbers((axis,))
    if axes is None:
        return roll(a, sum(shifts))
    n = max(len(shifts), len(axes))  # one number counts for all of the others
    return roll(a, shifts * (n // len(shifts)), axes * (n // len(axes)))


FOR_NUMPY[np.roll] = _numpy_roll
