"""Operations that combine elements along axes: sums, products, extremes, statistics.

`axes` is always a tuple of axes counted from the front; the front door turns None into all of
them.  A composite reduction states `decompose`, and its own `vjp` where that is better than the
decomposition's (softmax, logsumexp, std at 0).
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.families import REDUCED, accumulated, accumulator, operation, reduction
from tapejit.ops.comparison import eq, ne
from tapejit.ops.complexes import conjugate, imag, real
from tapejit.ops.exponential import exp, log
from tapejit.ops.loops import extremes
from tapejit.ops.movement import expand, flip, iota, permute, reshape
from tapejit.ops.powers import sqrt
from tapejit.ops.scans import before, cumprod
from tapejit.ops.selection import indicator, where
from tapejit.registry import Alias, Probe
from tapejit.shapes import reduced


def restore(reduced_value, x, axes, keepdim):
    """A reduced value expanded back to the shape of x."""
    if not keepdim:
        reduced_value = reshape(reduced_value, shape=reduced(x.shape, axes, True))
    return expand(reduced_value, shape=x.shape)


def _count(x, axes):
    return math.prod(x.shape[a] for a in axes)


def _numpy(function):
    return lambda x, axes, keepdim: function(x, axis=axes, keepdims=keepdim)


# ---------------------------------------------------------------- sums and products

sum_ = reduction(
    "sum",
    summary="Sum over axes.",
    evaluate=lambda x, axes, keepdim: np.sum(x, axis=axes, keepdims=keepdim, dtype=accumulator(x)),
    reduce="sum",
    vjp=lambda gy, x, y, axes, keepdim: (restore(gy, x, axes, keepdim),),
    jvp=lambda tangents, x, y, **attrs: sum_(tangents[0], **attrs),
    linear=True,
    dtype=accumulated,
    complex=True,
    alias=Alias("sum", "sum"),
    grad_name="SumBackward0",
    example="""
    >>> x = tj.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> tj.sum(x), tj.sum(x, 0), tj.sum(x, 1)
    (tensor(10.), tensor([4., 6.]), tensor([3., 7.]))
    >>> tj.sum(x, 1, keepdim=True).shape
    torch.Size([2, 1])
    """,
)


def _run_mean(x, axes, keepdim):
    n = math.prod(np.shape(x)[a] for a in axes)
    # np.mean warns of empty slices; a sum divided by 0 gives the same NaN silently
    return np.sum(x, axis=axes, keepdims=keepdim) / x.dtype.type(n)


mean = reduction(
    "mean",
    summary="Mean over axes; NaN of no elements.",
    evaluate=_run_mean,
    decompose=lambda x, axes, keepdim: sum_(x, axes=axes, keepdim=keepdim) / float(_count(x, axes)),
    vjp=lambda gy, x, y, axes, keepdim: (
        restore(gy / float(_count(x, axes) or math.nan), x, axes, keepdim),
    ),
    jvp=lambda tangents, x, y, **attrs: mean(tangents[0], **attrs),
    linear=True,
    rule="need_float",
    complex=True,
    alias=Alias("mean", "mean"),
    grad_name="MeanBackward0",
    example="""
    >>> tj.mean(tj.tensor([[1.0, 2.0], [3.0, 6.0]]), 1)
    tensor([1.5000, 4.5000])
    """,
)


def _products_of_others(x, axes):
    """For each element the product of the others: running products from both ends meet there.

    No division, so slopes of any order are exact where elements are zero.
    """
    if not _count(x, axes):
        return x
    order = (*(a for a in range(x.ndim) if a not in axes), *axes)
    line = permute(x, axes=order)
    shape, last = line.shape, x.ndim - len(axes)
    line = reshape(line, shape=(*shape[:last], _count(x, axes)))
    ahead = before(cumprod(line, axis=last), last)
    behind = before(cumprod(flip(line, axes=(last,)), axis=last), last)
    others = reshape(ahead * flip(behind, axes=(last,)), shape=shape)
    return permute(others, axes=tuple(order.index(a) for a in range(x.ndim)))


def cast_like(condition, x):
    """A condition as 0 and 1 in the dtype of x."""
    return indicator(condition, x)


prod = reduction(
    "prod",
    summary="Product over axes.",
    evaluate=lambda x, axes, keepdim: np.prod(x, axis=axes, keepdims=keepdim, dtype=accumulator(x)),
    reduce="prod",
    vjp=lambda gy, x, y, axes, keepdim: (
        restore(gy, x, axes, keepdim) * conjugate(_products_of_others(x, axes)),
    ),
    jvp=lambda tangents, x, y, axes, keepdim: sum_(
        tangents[0] * _products_of_others(x, axes), axes=axes, keepdim=keepdim
    ),
    dtype=accumulated,
    complex=True,
    alias=Alias("prod", "prod"),
    grad_name="ProdBackward0",
    note="No division: slopes of any order are exact where elements are zero.",
    probe=Probe(shapes=(((3,),), ((2, 3),)), attrs=({"axes": (0,)},), points=(0.0,)),
    example="""
    >>> x = tj.tensor([2.0, 0.0, 4.0], requires_grad=True)
    >>> y = tj.prod(x)
    >>> y.backward()
    >>> y.item(), x.grad
    (0.0, tensor([0., 8., 0.]))
    """,
)

# ---------------------------------------------------------------- extremes


def _share(gy, x, y, axes, keepdim):
    """The cotangent shared evenly among the elements that equal the extreme."""
    chosen = indicator(_same(x, restore(y, x, axes, keepdim)), x)
    n = sum_(chosen, axes=axes, keepdim=True)
    return (restore(gy, x, axes, keepdim) * (chosen / expand(n, shape=x.shape)),)


def _same(x, extreme):
    """Equal, or both NaN: a NaN extreme belongs to the NaN elements."""
    return (x == extreme) | (ne(x, x) & ne(extreme, extreme))


def _share_tangent(tangents, x, y, axes, keepdim):
    chosen = indicator(_same(x, restore(y, x, axes, keepdim)), x)
    n = sum_(chosen, axes=axes, keepdim=keepdim)
    return sum_(tangents[0] * chosen, axes=axes, keepdim=keepdim) / n


amax = reduction(
    "amax",
    summary="The largest element over axes; NaN if there is one.",
    evaluate=_numpy(np.max),
    reduce="max",
    vjp=_share,
    jvp=_share_tangent,
    alias=Alias("amax", "max"),
    needs_elements=True,
    grad_name="AmaxBackward0",
    note="Ties share the cotangent evenly.",
    example="""
    >>> x = tj.tensor([3.0, 1.0, 3.0], requires_grad=True)
    >>> tj.amax(x).backward()
    >>> x.grad
    tensor([0.5000, 0.0000, 0.5000])
    """,
)
amin = reduction(
    "amin",
    summary="The smallest element over axes; NaN if there is one.",
    evaluate=_numpy(np.min),
    reduce="min",
    vjp=_share,
    jvp=_share_tangent,
    alias=Alias("amin", "min"),
    needs_elements=True,
    grad_name="AminBackward0",
    note="Ties share the cotangent evenly.",
    example="""
    >>> tj.amin(tj.tensor([[3.0, 1.0], [2.0, 4.0]]), (0, 1))
    tensor(1.)
    """,
)


def _run_arg(function):
    def run(x, axes, keepdim):
        axis = None if len(axes) != 1 else axes[0]
        if np.ndim(x) == 0:
            return np.int64(0)
        return function(x, axis=axis, keepdims=keepdim)

    return run


_ONE_OR_ALL = Probe(shapes=REDUCED.shapes, attrs=(REDUCED.attrs[0], REDUCED.attrs[-1]))

argmax = reduction(
    "argmax",
    summary="Index of the first largest element along one axis, or in the flattened tensor.",
    evaluate=_run_arg(np.argmax),
    loop=extremes.loop(extremes.argmax_work),
    dtype=lambda dtype: dtypes.int64,
    needs_elements=True,
    alias=Alias("argmax", "argmax"),
    probe=_ONE_OR_ALL,
    example="""
    >>> tj.argmax(tj.tensor([[3.0, 5.0, 5.0], [2.0, 0.0, 1.0]]), 1)
    tensor([1, 0])
    """,
)
argmin = reduction(
    "argmin",
    summary="Index of the first smallest element along one axis, or in the flattened tensor.",
    evaluate=_run_arg(np.argmin),
    loop=extremes.loop(extremes.argmin_work),
    dtype=lambda dtype: dtypes.int64,
    needs_elements=True,
    alias=Alias("argmin", "argmin"),
    probe=_ONE_OR_ALL,
    example="""
    >>> tj.argmin(tj.tensor([[3.0, 5.0], [2.0, 0.0]]))  # in the flattened tensor
    tensor(3)
    """,
)


def _chosen(index, x, axes, keepdim):
    (axis,) = axes
    places = iota(x, shape=x.shape, axis=axis)
    return eq(places, restore(index, x, axes, keepdim))


def _extreme_at_index(name, summary, function, argument, example):
    """The extreme along one axis, whose slope belongs to the returned index alone."""

    def vjp(gy, x, y, axes, keepdim):
        mask = _chosen(argument(x, axes=axes, keepdim=keepdim), x, axes, keepdim)
        return (where(mask, restore(gy, x, axes, keepdim), 0.0),)

    def jvp(tangents, x, y, axes, keepdim):
        mask = _chosen(argument(x, axes=axes, keepdim=keepdim), x, axes, keepdim)
        return sum_(where(mask, tangents[0], 0.0), axes=axes, keepdim=keepdim)

    return reduction(
        name,
        summary=summary,
        evaluate=_numpy(function),
        reduce=name[:3],
        needs_elements=True,
        vjp=vjp,
        jvp=jvp,
        grad_name=name[:3].capitalize() + "Backward0",
        note="As PyTorch's max(dim): only the element at the returned index has a slope.",
        probe=Probe(shapes=(((2, 3),),), attrs=({"axes": (1,)},)),
        example=example,
    )


max_at = _extreme_at_index(
    "max_at",
    "The largest element along one axis.",
    np.max,
    argmax,
    """
    >>> x = tj.tensor([[1.0, 4.0], [3.0, 2.0]])
    >>> tj.max(x)
    tensor(4.)
    >>> largest, where = tj.max(x, 1)
    >>> largest, where
    (tensor([4., 3.]), tensor([1, 0]))
    """,
)
min_at = _extreme_at_index(
    "min_at",
    "The smallest element along one axis.",
    np.min,
    argmin,
    """
    >>> x = tj.tensor([[1.0, 4.0], [3.0, 2.0]])
    >>> tj.min(x)
    tensor(1.)
    >>> smallest, where = tj.min(x, 1)
    >>> smallest, where
    (tensor([1., 2.]), tensor([0, 1]))
    """,
)

# ---------------------------------------------------------------- truth

all_ = reduction(
    "all",
    summary="True where every element along axes is nonzero.",
    evaluate=_numpy(np.all),
    dtype=lambda dtype: dtypes.bool_,
    complex=True,
    alias=Alias("all", "all"),
    example="""
    >>> tj.all(tj.tensor([[1, 0], [2, 3]]), 1)
    tensor([False,  True])
    """,
)
any_ = reduction(
    "any",
    summary="True where an element along axes is nonzero.",
    evaluate=_numpy(np.any),
    dtype=lambda dtype: dtypes.bool_,
    complex=True,
    alias=Alias("any", "any"),
    example="""
    >>> tj.any(tj.tensor([[0, 0], [2, 0]]), 1)
    tensor([False,  True])
    """,
)

# ---------------------------------------------------------------- statistics


def _centred(x, axes):
    return x - expand(mean(x, axes=axes, keepdim=True), shape=x.shape)


def _var(x, axes, keepdim, correction):
    centred = _centred(x, axes)
    n = max(_count(x, axes) - correction, 0)
    return sum_(_squared(centred), axes=axes, keepdim=keepdim) / float(n)


def _squared(x):
    """|x| squared, real."""
    if not x.dtype.is_complex:
        return x * x
    re, im = real(x), imag(x)
    return re * re + im * im


def _run_var(x, axes, keepdim, correction):
    n = math.prod(np.shape(x)[a] for a in axes)
    centred = x - np.sum(x, axis=axes, keepdims=True) / x.dtype.type(n)
    squares = centred * centred
    if x.dtype.kind == "c":
        squares = centred.real**2 + centred.imag**2
    total = np.sum(squares, axis=axes, keepdims=keepdim)
    return total / squares.dtype.type(max(n - correction, 0))


def _var_change(tx, x, axes, correction):
    change = tx * conjugate(_var_slope(x, axes, correction))
    return real(change) if x.dtype.is_complex else change


def _var_slope(x, axes, correction):
    n = max(_count(x, axes) - correction, 0)
    return _centred(x, axes) * (2.0 / n if n else math.nan)


_STATISTIC = ("axes", "keepdim", "correction")
_STATISTIC_PROBE = Probe(
    shapes=(((4,),), ((3, 4),)),
    attrs=({"axes": (0,), "correction": 1}, {"axes": (0,), "correction": 0}),
)

var = reduction(
    "var",
    summary="Variance over axes; divided by n - correction.",
    evaluate=_run_var,
    attributes=_STATISTIC,
    decompose=_var,
    vjp=lambda gy, x, y, axes, keepdim, correction: (
        restore(gy, x, axes, keepdim) * _var_slope(x, axes, correction),
    ),
    jvp=lambda tangents, x, y, axes, keepdim, correction: sum_(
        _var_change(tangents[0], x, axes, correction), axes=axes, keepdim=keepdim
    ),
    dtype=dtypes.DType.to_real,
    rule="need_float",
    complex=True,
    grad_name="VarBackward0",
    probe=_STATISTIC_PROBE,
    example="""
    >>> x = tj.tensor([1.0, 2.0, 3.0, 4.0])
    >>> tj.var(x), tj.var(x, correction=0)  # NumPy's var is the second
    (tensor(1.6667), tensor(1.2500))
    """,
)


def _std_scale(gy, y):
    """gy / (2 y), and 0 where y is 0 (PyTorch's choice for constants)."""
    return where(y == 0.0, 0.0, gy / (2.0 * y))


std = reduction(
    "std",
    summary="Standard deviation over axes; n - correction in the denominator.",
    evaluate=lambda x, **attrs: np.sqrt(_run_var(x, **attrs)),
    attributes=_STATISTIC,
    decompose=lambda x, **attrs: sqrt(_var(x, **attrs)),
    vjp=lambda gy, x, y, axes, keepdim, correction: (
        restore(_std_scale(gy, y), x, axes, keepdim) * _var_slope(x, axes, correction),
    ),
    jvp=lambda tangents, x, y, axes, keepdim, correction: _std_scale(
        sum_(_var_change(tangents[0], x, axes, correction), axes=axes, keepdim=keepdim), y
    ),
    dtype=dtypes.DType.to_real,
    rule="need_float",
    complex=True,
    grad_name="StdBackward0",
    note="Slope 0 where all elements are equal.",
    probe=_STATISTIC_PROBE,
    example="""
    >>> x = tj.tensor([1.0, 2.0, 3.0, 4.0])
    >>> tj.std(x), tj.std(x, correction=0)  # NumPy's std is the second
    (tensor(1.2910), tensor(1.1180))
    """,
)

# ---------------------------------------------------------------- exponentials in rows


def _finite_max(x, axes):
    """The largest element, or 0 where it is infinite, so that x - max is never inf - inf."""
    largest = amax(x, axes=axes, keepdim=True)
    return where(abs(largest) == math.inf, 0.0, largest)


def _logsumexp(x, axes, keepdim):
    if not _count(x, axes):
        return log(sum_(x, axes=axes, keepdim=keepdim))  # -inf: nothing has a largest element
    largest = _finite_max(x, axes)
    total = sum_(exp(x - largest), axes=axes, keepdim=keepdim)
    return log(total) + reshape(largest, shape=total.shape)


def _run_logsumexp(x, axes, keepdim):
    largest = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    largest = np.where(np.isinf(largest), x.dtype.type(0), largest)
    total = np.log(np.sum(np.exp(x - largest), axis=axes, keepdims=keepdim))
    return (total + largest.reshape(np.shape(total)))[()]


def _shares(x, y, axes, keepdim):
    """What each element adds to the sum; 0 in rows of -inf, which no finite step changes."""
    return exp(x - restore(where(y == -math.inf, 0.0, y), x, axes, keepdim))


logsumexp = reduction(
    "logsumexp",
    summary="log(sum(exp(x))) over axes, without overflow.",
    evaluate=_run_logsumexp,
    decompose=_logsumexp,
    vjp=lambda gy, x, y, axes, keepdim: (
        restore(gy, x, axes, keepdim) * _shares(x, y, axes, keepdim),
    ),
    jvp=lambda tangents, x, y, axes, keepdim: sum_(
        tangents[0] * _shares(x, y, axes, keepdim), axes=axes, keepdim=keepdim
    ),
    rule="need_float",
    alias=Alias("logsumexp"),
    grad_name="LogsumexpBackward0",
    note="Slope 0 in rows that are -inf throughout (masked); PyTorch gives NaN.",
    example="""
    >>> tj.logsumexp(tj.tensor([1000.0, 1000.0]), 0)
    tensor(1000.6932)
    """,
)


def _run_softmax(x, axis):
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


def _softmax(x, axis):
    if not x.shape[axis]:
        return x
    shifted = exp(x - amax(x, axes=(axis,), keepdim=True))
    return shifted / sum_(shifted, axes=(axis,), keepdim=True)


def _softmax_vjp(gy, x, y, axis):
    return (y * (gy - sum_(gy * y, axes=(axis,), keepdim=True)),)


softmax = operation(
    "softmax",
    "rows",
    summary="exp(x) divided by its sum along an axis.",
    infer=lambda avals, axis: avals[0],
    evaluate=_run_softmax,
    attributes=("axis",),
    decompose=_softmax,
    vjp=_softmax_vjp,
    jvp=lambda tangents, x, y, axis: _softmax_vjp(tangents[0], x, y, axis)[0],
    rule="need_float",
    grad_name="SoftmaxBackward0",
    probe=Probe(attrs=({"axis": 1}, {"axis": 0})),
    example="""
    >>> tj.softmax(tj.tensor([[1000.0, 1001.0], [0.0, 0.0]]), 1)
    tensor([[0.2689, 0.7311],
            [0.5000, 0.5000]])
    """,
)
log_softmax = operation(
    "log_softmax",
    "rows",
    summary="x minus its logsumexp along an axis.",
    infer=lambda avals, axis: avals[0],
    evaluate=lambda x, axis: x - _run_logsumexp(x, (axis,), True),
    attributes=("axis",),
    decompose=lambda x, axis: x - _logsumexp(x, (axis,), True),
    vjp=lambda gy, x, y, axis: (gy - exp(y) * sum_(gy, axes=(axis,), keepdim=True),),
    jvp=lambda tangents, x, y, axis: (
        tangents[0] - sum_(exp(y) * tangents[0], axes=(axis,), keepdim=True)
    ),
    rule="need_float",
    grad_name="LogSoftmaxBackward0",
    probe=Probe(attrs=({"axis": 1}, {"axis": 0})),
    example="""
    >>> tj.log_softmax(tj.tensor([0.0, 1000.0]), 0)
    tensor([-1000.,     0.])
    """,
)
