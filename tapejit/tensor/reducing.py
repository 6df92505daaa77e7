"""Reductions, statistics, matrix products, sorting and picking: the functions users call.

Axes may be called `dim` (PyTorch) or `axis` (NumPy), one or several, negative or None.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.dtypes import as_dtype
from tapejit.errors import ArgumentError, DtypeError, SelectionError, ShapeError
from tapejit.registry import OPS
from tapejit.shapes import broadcast, normalize_axes, normalize_axis
from tapejit.tensor.core import Tensor, apply, as_data, number_as, wrap
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS, export
from tapejit.tensor.indexing import mask_places
from tapejit.tensor.shaping import named, permute, ravel, reshape, unsqueeze


class Extreme(NamedTuple):
    """Values along an axis and the indices they came from."""

    values: Tensor
    indices: Tensor


def _axes(name, x, dim, axis):
    dim = axis if dim is None else dim
    if isinstance(dim, list | tuple) and not dim:
        dim = None
    return normalize_axes(name, dim, x._aval.ndim)


# ---------------------------------------------------------------- sums and statistics


def _reduction(name, numbered=True):
    """sum, mean, prod, ...: (input, dim=None, keepdim=False, *, dtype=None)."""
    op = OPS[name]

    def function(input, dim=None, keepdim=False, *, dtype=None, axis=None, keepdims=None):
        if dtype is not None:
            input = input.to(as_dtype(dtype))
        axes = _axes(name, input, dim, axis)
        result = apply(op, (input,), (axes, bool(keepdim if keepdims is None else keepdims)))
        if numbered and (dim is not None or axis is not None):
            named(result, op.grad_name.replace("0", "1"))
        return result

    function.__name__ = name
    function.__doc__ = op.summary
    return function


def _for_numpy(name, reduce):
    """np.sum, np.var, ...: NumPy's arguments for a reduction; those not known here are refused."""

    def function(x, axis=None, dtype=None, out=None, keepdims=False, **options):
        check_no_out(name, out)
        return reduce(x if dtype is None else x.to(as_dtype(dtype)), axis, keepdims, **options)

    FOR_NUMPY[getattr(np, name)] = function


def check_no_out(name, out) -> None:
    """Raise where NumPy is asked to write a tensor's result into an array."""
    if out is not None:
        raise ArgumentError(f"np.{name} of tensors takes no `out`\n  try  out.copy_(result)")


for _name in ("sum", "mean", "prod", "all", "any"):
    _for_numpy(_name, export(_name)(_reduction(_name)))
for _name in ("amax", "amin", "logsumexp"):
    _function = export(_name)(_reduction(_name, numbered=False))


def _statistic(name):
    op = OPS[name]

    def function(input, dim=None, unbiased=True, keepdim=False, *, correction=None, **numpy):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = numpy.pop("ddof", int(unbiased))
        axes = _axes(name, input, dim, numpy.pop("axis", None))
        keep = bool(numpy.pop("keepdims", keepdim))
        if numpy:
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(numpy))!r}")
        return apply(op, (input,), (axes, keep, int(correction)))

    function.__name__ = name
    function.__doc__ = op.summary
    return export(name)(function)


def _numpy_statistic(statistic):
    """NumPy divides by n where PyTorch divides by n - 1."""
    return lambda x, axis, keepdims, ddof=0: statistic(x, axis, keepdim=keepdims, correction=ddof)


for _name in ("var", "std"):
    _for_numpy(_name, _numpy_statistic(_statistic(_name)))

# ---------------------------------------------------------------- extremes


def _check_not_empty(name, x):
    if x._aval.size == 0:
        raise SelectionError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )


def _extreme(name):
    """max or min: of everything, along an axis with indices, or of two tensors."""
    full, at, argument = OPS[f"a{name}"], OPS[f"{name}_at"], OPS[f"arg{name}"]

    def function(input, dim=None, keepdim=False, *, other=None, axis=None, keepdims=None):
        if isinstance(dim, Tensor) or other is not None:
            return FUNCTIONS[f"{name}imum"](input, dim if other is None else other)
        keep = bool(keepdim if keepdims is None else keepdims)
        if axis is not None:  # NumPy's spelling gives the values alone
            return apply(full, (input,), (_axes(name, input, None, axis), keep))
        if dim is None:
            _check_not_empty(name, input)
            result = apply(full, (input,), (tuple(range(input._aval.ndim)), keep))
            return named(result, f"{name.capitalize()}Backward1")
        axes = normalize_axes(name, dim, input._aval.ndim)
        if not axes:
            return Extreme(reshape(input, ()), wrap(np.int64(0)))
        return Extreme(apply(at, (input,), (axes, keep)), apply(argument, (input,), (axes, keep)))

    function.__name__ = name
    function.__doc__ = full.summary
    return export(name)(function)


for _name in ("max", "min"):
    _extreme(_name)
    _for_numpy(_name, FUNCTIONS[f"a{_name}"])


def _argument(name):
    op = OPS[name]

    def function(input, dim=None, keepdim=False, *, axis=None, keepdims=None):
        axes = _axes(name, input, dim, axis)
        if dim is None and axis is None:
            _check_not_empty(name, input)
        return apply(op, (input,), (axes, bool(keepdim if keepdims is None else keepdims)))

    function.__name__ = name
    function.__doc__ = op.summary
    return export(name, numpy=(name,))(function)


for _name in ("argmax", "argmin"):
    _argument(_name)


@export("count_nonzero", numpy=("count_nonzero",))
def count_nonzero(input, dim=None):
    """How many elements are not zero."""
    if dim is None:
        return apply(OPS["count_nonzero"], (input,))
    return (input != 0).sum(dim)


# ---------------------------------------------------------------- norms


@export("norm")
def norm(input, p="fro", dim=None, keepdim=False, *, ord=None, axis=None):
    """The p-norm of the elements: (sum |x|^p)^(1/p); slope 0 at a zero vector."""
    p = 2 if p in ("fro", None) and ord is None else (ord if ord is not None else p)
    axes = _axes("norm", input, dim, axis)
    result = _norm(input, float(p), axes, keepdim)
    return named(result, "LinalgVectorNormBackward0")


def _norm(x, p, axes, keepdim):
    size = x.abs()
    if math.isinf(p):
        return apply(OPS["amax" if p > 0 else "amin"], (size,), (axes, keepdim))
    if p == 0:
        return (x != 0).to(x.dtype).sum(axes, keepdim)
    if p == 1:
        return size.sum(axes, keepdim)
    total = (x * x if p == 2 else size**p).sum(axes, keepdim)
    # where the sum is 0 the root's slope is infinite; the norm's is taken as 0
    is_zero = total == 0.0
    safe = FUNCTIONS["where"](is_zero, 1.0, total)
    root = safe.sqrt() if p == 2 else safe ** (1.0 / p)
    return FUNCTIONS["where"](is_zero, 0.0, root)


FOR_NUMPY[np.linalg.norm] = lambda x, ord=None, axis=None, keepdims=False: norm(
    x, 2 if ord is None else ord, axis, keepdims
)

# ---------------------------------------------------------------- rows


def _row_operation(name):
    op = OPS[name]

    def function(input, dim=None, *, dtype=None, axis=None):
        if dtype is not None:
            input = input.to(as_dtype(dtype))
        dim = axis if dim is None else dim
        if not input._aval.ndim:
            return apply(op, (reshape(input, (1,)),), (0,)).reshape(())
        place = normalize_axis(name, -1 if dim is None else dim, input._aval.ndim)
        return apply(op, (input,), (place,))

    function.__name__ = name
    function.__doc__ = op.summary
    return export(name)(function)


softmax, log_softmax = _row_operation("softmax"), _row_operation("log_softmax")


@export("cumsum", numpy=())
def cumsum(input, dim=None, *, dtype=None, axis=None):
    """Running sum along an axis (NumPy: of the flattened tensor if none is given)."""
    dim = axis if dim is None else dim
    if dim is None:
        input, dim = ravel(input), 0
    if dtype is not None:
        input = input.to(as_dtype(dtype))
    if not input._aval.ndim:
        return input.clone()
    return apply(OPS["cumsum"], (input,), (normalize_axis("cumsum", dim, input._aval.ndim),))


FOR_NUMPY[np.cumsum] = lambda x, axis=None, dtype=None, out=None: cumsum(x, axis, dtype=dtype)


@export("diff")
def diff(input, n=1, dim=-1):
    """Differences of neighbours along an axis, n times."""
    for _ in range(n):
        length = input.shape[dim]
        input = input.narrow(dim, 1, length - 1) - input.narrow(dim, 0, length - 1)
    return input


FOR_NUMPY[np.diff] = lambda x, n=1, axis=-1: diff(x, n, axis)

# ---------------------------------------------------------------- matrix products

_MATMUL = OPS["matmul"]


@export("matmul", "__matmul__", numpy=("matmul",))
def matmul(input, other):
    """Matrix product; vectors count as rows or columns, batch axes broadcast."""
    x, y = (v if isinstance(v, Tensor) else as_data(v) for v in (input, other))
    result = apply(_MATMUL, (x, y))
    n, m = x._aval.ndim, y._aval.ndim
    if n == 1 and m == 1:
        return named(result, "DotBackward0")
    if n == 2 and m == 1:
        return named(result, "MvBackward0")
    if n == 1 and m == 2:
        return named(result, "SqueezeBackward4")
    if n == m == 2:
        return result
    return named(result, "CloneBackward0" if n == 2 else "UnsafeViewBackward0")


Tensor.__rmatmul__ = lambda x, y: matmul(y, x)


def _product(name, ndims, grad_name=None):
    def function(input, other):
        if (input._aval.ndim, other._aval.ndim) != ndims:
            raise ShapeError(
                f"{name}: expected {ndims[0]}D and {ndims[1]}D tensors, but got "
                f"{input._aval.ndim}D and {other._aval.ndim}D tensors"
            )
        if input._aval.dtype is not other._aval.dtype:
            raise DtypeError(
                "expected m1 and m2 to have the same dtype, but got: "
                f"{input.dtype} != {other.dtype}"
            )
        result = matmul(input, other)
        return named(result, grad_name) if grad_name else result

    function.__name__ = name
    function.__doc__ = f"Matrix product of {ndims[0]}-D and {ndims[1]}-D tensors."
    return export(name)(function)


mm, mv = _product("mm", (2, 2)), _product("mv", (2, 1))
dot, bmm = _product("dot", (1, 1)), _product("bmm", (3, 3), "BmmBackward0")


def _numpy_dot(x, y):
    x, y = (v if isinstance(v, Tensor) else as_data(v) for v in (x, y))
    if not x._aval.ndim or not y._aval.ndim:
        return x * y
    if y._aval.ndim > 2:
        raise ShapeError("np.dot of more than 2 axes on the right\n  try  np.matmul or np.einsum")
    return matmul(x, y)


FOR_NUMPY[np.dot] = _numpy_dot
FOR_NUMPY[np.inner] = lambda x, y: (x * y).sum(-1)
FOR_NUMPY[np.vdot] = lambda x, y: (ravel(x) * y.reshape(-1)).sum()


@export("outer", "ger")
def outer(input, vec2):
    """All products of the elements of two vectors."""
    for x, which in ((input, "self"), (vec2, "vec2")):
        if x._aval.ndim != 1:
            raise ShapeError(f"outer: Expected 1-D argument {which}, but got {x._aval.ndim}-D")
    return unsqueeze(input, 1) * unsqueeze(vec2, 0)


FOR_NUMPY[np.outer] = lambda x, y: outer(x if isinstance(x, Tensor) else as_data(x), y)


@export("trace", numpy=("trace",))
def trace(input):
    """The sum of the diagonal of a matrix."""
    return named(diagonal(input).sum(), "TraceBackward0")


@export("diagonal")
def diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two axes, as the last axis."""
    n = input._aval.ndim
    first, second = (normalize_axis("diagonal", d, n) for d in (dim1, dim2))
    order = (first, second, *(a for a in range(n) if a not in (first, second)))
    moved = permute(input, order)
    rows, columns = moved._aval.shape[:2]
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    places = np.arange(length)
    picked = apply(
        OPS["index"], (moved, wrap(places - min(offset, 0)), wrap(places + max(offset, 0)))
    )
    return named(permute(picked, (*range(1, picked._aval.ndim), 0)), "DiagonalBackward0")


@export("diag", numpy=("diag",))
def diag(input, diagonal_offset=0):
    """A matrix with this diagonal, or the diagonal of a matrix."""
    if input._aval.ndim == 2:
        return named(diagonal(input, diagonal_offset), "DiagonalBackward0_copy")
    n = input._aval.size + abs(diagonal_offset)
    places = np.arange(input._aval.size)
    rows, columns = places - min(diagonal_offset, 0), places + max(diagonal_offset, 0)
    result = apply(OPS["index_add"], (input, wrap(rows), wrap(columns)), ((n, n),))
    return named(result, "DiagEmbedBackward0")


def _triangle(name, numpy_function):
    def function(input, diagonal=0):
        mask = numpy_function(np.ones(input._aval.shape[-2:], bool), diagonal)
        result = FUNCTIONS["where"](wrap(mask), input, 0)
        return named(result, f"{name.capitalize()}Backward0")

    function.__name__ = name
    function.__doc__ = f"The {'lower' if name == 'tril' else 'upper'} triangle; 0 elsewhere."
    return export(name, numpy=(name,))(function)


tril, triu = _triangle("tril", np.tril), _triangle("triu", np.triu)


@export("einsum", method=False)
def einsum(equation, *operands):
    """Sum of products over named axes, as np.einsum (explicit or implicit output)."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    inputs, _, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "." in equation:
        raise ShapeError("einsum: '...' is not supported\n  try  name every axis")
    if "->" not in equation:
        letters = "".join(terms)
        output = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    names = output + "".join(sorted(set("".join(terms)) - set(output)))
    aligned = [_align(x, term, names) for x, term in zip(operands, terms, strict=True)]
    product = aligned[0]
    for other in aligned[1:]:
        product = product * other
    axes = tuple(range(len(output), len(names)))
    return product.sum(axes) if axes else product


def _align(x, term, names):
    x = x if isinstance(x, Tensor) else as_data(x)
    while len(set(term)) < len(term):
        letter = next(c for c in term if term.count(c) > 1)
        first = term.index(letter)
        second = term.index(letter, first + 1)
        x = diagonal(x, 0, first, second)
        term = "".join(c for i, c in enumerate(term) if i not in (first, second)) + letter
    x = permute(x, tuple(term.index(c) for c in names if c in term))
    lengths = iter(x._aval.shape)
    return reshape(x, tuple(next(lengths) if c in term else 1 for c in names))


FOR_NUMPY[np.einsum] = einsum

# ---------------------------------------------------------------- order and picking


@export("sort")
def sort(input, dim=-1, descending=False, stable=False, *, axis=None):
    """The elements in order along an axis, and where they came from."""
    axis = normalize_axis("sort", dim if axis is None else axis, input._aval.ndim)
    order = (axis, bool(descending))
    return Extreme(apply(OPS["sort"], (input,), order), apply(OPS["argsort"], (input,), order))


FOR_NUMPY[np.sort] = lambda x, axis=-1, kind=None, order=None: (
    sort(ravel(x) if axis is None else x, -1 if axis is None else axis).values
)


@export("argsort")
def argsort(input, dim=-1, descending=False, stable=False, *, axis=None):
    """The places of the elements in sorted order."""
    axis = normalize_axis("argsort", dim if axis is None else axis, input._aval.ndim)
    return apply(OPS["argsort"], (input,), (axis, bool(descending)))


FOR_NUMPY[np.argsort] = lambda x, axis=-1, kind=None, order=None: argsort(x, axis)


@export("topk")
def topk(input, k, dim=-1, largest=True, sorted=True):
    """The k largest (or smallest) elements along an axis, in order."""
    axis = normalize_axis("topk", dim, input._aval.ndim)
    if k > input._aval.shape[axis]:
        raise ShapeError("selected index k out of range")
    order = apply(OPS["argsort"], (input,), (axis, bool(largest))).narrow(axis, 0, k)
    return Extreme(named(gather(input, axis, order), "TopkBackward0"), order)


@export("gather")
def gather(input, dim, index):
    """Elements picked along an axis: y[i][j] = x[i][index[i][j]] for dim 1."""
    axis = normalize_axis("gather", dim, input._aval.ndim)
    _check_index("gather", index, input, axis)
    return apply(OPS["gather"], (input, index), (axis,))


def _check_index(name, index, x, axis):
    """Raise unless all indices are integers within the axis of x."""
    if not isinstance(index, Tensor) or index._aval.dtype.category != dtypes.INTEGER:
        raise DtypeError(f"{name}(): Expected dtype int64 for index")
    value = index._value
    n = x._aval.shape[axis] if x._aval.ndim else 1
    if np.size(value) and (np.min(value) < 0 or np.max(value) >= n):
        bad = int(np.max(value) if np.max(value) >= n else np.min(value))
        raise SelectionError(
            f"index {bad} is out of bounds for dimension {axis} with size {n}: {name}"
        )


FOR_NUMPY[np.take_along_axis] = lambda x, indices, axis: gather(
    x, axis, indices if isinstance(indices, Tensor) else as_data(indices)
)


@export("index_select")
def index_select(input, dim, index):
    """The parts at the given indices of an axis."""
    axis = normalize_axis("index_select", dim, input._aval.ndim)
    _check_index("index_select", index, input, axis)
    key = (slice(None),) * axis + (index.reshape(-1),)
    return named(input[key], "IndexSelectBackward0")


@export("take")
def take(input, index, axis=None):
    """Elements by their place in the flattened tensor (NumPy: or along an axis)."""
    index = index if isinstance(index, Tensor) else as_data(index)
    if axis is not None:
        return input[(slice(None),) * normalize_axis("take", axis, input._aval.ndim) + (index,)]
    return named(ravel(input)[index], "TakeBackward0")


FOR_NUMPY[np.take] = lambda x, indices, axis=None, **kw: take(x, indices, axis)


@export("masked_fill")
def masked_fill(input, mask, value):
    """The tensor with `value` where the mask holds."""
    if mask._aval.dtype is not dtypes.bool_:
        raise DtypeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype.name}"
        )
    if not isinstance(value, Tensor):
        value = wrap(number_as(value, input._aval.dtype))
    elif value._aval.ndim:
        raise ShapeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value._aval.ndim} dimension(s)."
        )
    return named(FUNCTIONS["where"](mask, value, input), "MaskedFillBackward0")


@export("masked_select")
def masked_select(input, mask):
    """The elements where the mask holds, in one axis."""
    shape = broadcast("masked_select", input._aval.shape, mask._aval.shape)
    return named(input.expand(shape)[mask.expand(shape)], "MaskedSelectBackward0")


@export("nonzero", numpy=())
def nonzero(input, *, as_tuple=False):
    """The places of the elements that are not zero: (n, axes), or one tensor per axis."""
    mask = input if input._aval.dtype is dtypes.bool_ else input != 0
    places = mask_places(mask, mask._aval.shape, 0)
    if as_tuple:
        return tuple(places)
    if not places:
        return wrap(np.zeros((int(bool(mask._value)), 0), np.int64))
    return FUNCTIONS["stack"](places, 1)


FOR_NUMPY[np.nonzero] = lambda x: nonzero(x, as_tuple=True)


@export("unique", method=True)
def unique(input, sorted=True, return_inverse=False, return_counts=False):
    """The distinct elements in order (no derivative)."""
    values = np.unique(input._value, return_inverse=return_inverse, return_counts=return_counts)
    return tuple(wrap(v) for v in values) if isinstance(values, tuple) else wrap(values)


@export("bincount", numpy=("bincount",))
def bincount(input, weights=None, minlength=0):
    """How often each whole number from 0 occurs, or the sum of its weights (no derivative)."""
    weights = None if weights is None else weights._value
    return wrap(np.bincount(input._value, weights, minlength))


@export("searchsorted", method=False)
def searchsorted(sorted_sequence, input, *, right=False):
    """Where the elements would be inserted in a sorted vector (no derivative)."""
    values = input._value if isinstance(input, Tensor) else input
    places = np.searchsorted(sorted_sequence._value, values, side="right" if right else "left")
    return wrap(np.asarray(places, np.int64))


FOR_NUMPY[np.searchsorted] = lambda a, v, side="left", sorter=None: searchsorted(
    a, v, right=side == "right"
)


@export("equal", "array_equal")
def equal(input, other):
    """Whether shape and all elements agree, as a Python bool."""
    return input._aval.shape == other._aval.shape and bool((input == other).all())


FOR_NUMPY[np.array_equal] = lambda x, y, equal_nan=False: equal(x, y)


def _close(name, function):
    def compare(input, other, rtol=1e-5, atol=1e-8, equal_nan=False):
        other = other._value if isinstance(other, Tensor) else other
        with np.errstate(all="ignore"):
            result = function(input._value, other, rtol, atol, equal_nan)
        return wrap(result) if name == "isclose" else bool(result)

    compare.__name__ = name
    compare.__doc__ = "Whether |input - other| <= atol + rtol |other|."
    return export(name, numpy=(name,))(compare)


isclose, allclose = _close("isclose", np.isclose), _close("allclose", np.allclose)
