"""Running sums, products, extremes and exponential sums along an axis.

One idea carries the derivatives: the linear recurrence y[i] = a[i] + b[i] y[i-1].  The gradient of
a running product, with no division and so exact at zeros, and that of a running logsumexp, with no
exponential above 1, are each one recurrence from the back.  Its own gradient is another, so every
order follows.  A running extreme is a gather at the places that `cumargmax` finds.

Start at `recurrence`.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.families import accumulated, accumulator, operation
from tapejit.ops.comparison import eq
from tapejit.ops.complexes import conjugate
from tapejit.ops.exponential import exp
from tapejit.ops.loops import recurrences, scans
from tapejit.ops.movement import flip, iota, slice_, unslice
from tapejit.ops.selection import where
from tapejit.registry import Loop, Probe
from tapejit.shapes import aval

BOTH_AXES = Probe(attrs=({"axis": 1}, {"axis": 0}))

# ---------------------------------------------------------------- neighbours along an axis


def _moved(x, axis, by):
    """Each element's neighbour: the one before (by=1) or behind (by=-1); 0 beyond the end."""
    n = x.shape[axis]
    starts, steps = (0,) * x.ndim, (1,) * x.ndim
    at = (*starts[:axis], 1, *starts[axis + 1 :])
    lengths = (*x.shape[:axis], max(n - 1, 0), *x.shape[axis + 1 :])
    kept = slice_(x, starts=starts if by > 0 else at, lengths=lengths, steps=steps)
    return unslice(kept, shape=x.shape, starts=at if by > 0 else starts, steps=steps)


def _from_the_back(a, b, axis):
    """y[i] = a[i] + b[i] y[i+1]."""
    y = recurrence(flip(a, axes=(axis,)), flip(b, axes=(axis,)), axis=axis)
    return flip(y, axes=(axis,))


# ---------------------------------------------------------------- the linear recurrence


def _run_recurrence(a, b, axis):
    y = np.array(a)
    values, factors = np.moveaxis(y, axis, 0), np.moveaxis(b, axis, 0)
    for i in range(1, len(values)):
        values[i] += factors[i] * values[i - 1]
    return y


def _recurrence_vjp(gy, a, b, y, axis):
    if not y.shape[axis]:
        return gy, gy
    ga = _from_the_back(gy, _moved(conjugate(b), axis, -1), axis)
    return ga, ga * conjugate(_moved(y, axis, 1))


def _recurrence_jvp(tangents, a, b, y, axis):
    ta, tb = tangents
    if not y.shape[axis]:
        return ta if tb is None else tb
    if tb is not None:
        turned = tb * _moved(y, axis, 1)
        ta = turned if ta is None else ta + turned
    return recurrence(ta, b, axis=axis)


recurrence = operation(
    "recurrence",
    "scan",
    summary="y[i] = a[i] + b[i] y[i-1] along an axis; b[0] is not read.",
    infer=lambda avals, axis: avals[0],
    evaluate=_run_recurrence,
    loop=Loop(recurrences.recurrence_work, complex=True),
    attributes=("axis",),
    vjp=_recurrence_vjp,
    jvp=_recurrence_jvp,
    complex=True,
    grad_name="RecurrenceBackward0",
    probe=Probe(
        shapes=(((3, 4), (3, 4)),),
        attrs=BOTH_AXES.attrs,
        dtypes=("float64", "float32", "complex128"),
    ),
    note="Its slope by a and b is a recurrence from the back.",
)

# ---------------------------------------------------------------- sums and products

cumsum = operation(
    "cumsum",
    "scan",
    summary="Running sum along an axis.",
    infer=lambda avals, axis: aval(avals[0].shape, accumulated(avals[0].dtype)),
    evaluate=lambda x, axis: np.cumsum(x, axis, dtype=accumulator(x)),
    loop=Loop(scans.cumsum_work, reads=scans.reads),
    attributes=("axis",),
    vjp=lambda gy, x, y, axis: (flip(cumsum(flip(gy, axes=(axis,)), axis=axis), axes=(axis,)),),
    jvp=lambda tangents, x, y, axis: cumsum(tangents[0], axis=axis),
    linear=True,
    complex=True,
    grad_name="CumsumBackward0",
    probe=BOTH_AXES,
)


def before(y, axis):
    """The running product before each element: 1 at first."""
    is_first = eq(iota(y, shape=y.shape, axis=axis), 0)
    return where(is_first, 1.0, _moved(y, axis, 1))


def _cumprod_vjp(gy, x, y, axis):
    if not x.shape[axis]:
        return (gy,)
    rest = _from_the_back(gy, _moved(conjugate(x), axis, -1), axis)
    return (conjugate(before(y, axis)) * rest,)


def _cumprod_jvp(tangents, x, y, axis):
    if not x.shape[axis]:
        return tangents[0]
    return recurrence(tangents[0] * before(y, axis), x, axis=axis)


cumprod = operation(
    "cumprod",
    "scan",
    summary="Running product along an axis.",
    infer=lambda avals, axis: aval(avals[0].shape, accumulated(avals[0].dtype)),
    evaluate=lambda x, axis: np.cumprod(x, axis, dtype=accumulator(x)),
    loop=Loop(recurrences.cumprod_work, complex=True),
    attributes=("axis",),
    vjp=_cumprod_vjp,
    jvp=_cumprod_jvp,
    complex=True,
    grad_name="CumprodBackward0",
    note="No division: slopes of any order are exact where elements are zero.",
    probe=Probe(attrs=BOTH_AXES.attrs, points=(0.0,)),
)

# ---------------------------------------------------------------- extremes


def _run_argument(accumulate):
    def run(x, axis):
        if x.ndim == 0:
            return np.int64(0)
        running = accumulate(x, axis=axis)
        places = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        return np.maximum.accumulate(np.where((x == running) | (x != x), places, 0), axis=axis)

    return run


def _running_argument(name, extreme, accumulate, work):
    return operation(
        name,
        "scan",
        summary=f"Where the {extreme} element so far is along an axis; the last of equal ones.",
        infer=lambda avals, axis: aval(avals[0].shape, dtypes.int64),
        evaluate=_run_argument(accumulate),
        loop=Loop(work),
        attributes=("axis",),
        probe=BOTH_AXES,
        note="From the first NaN on, the place of the last NaN.",
    )


cumargmax = _running_argument(
    "cumargmax", "largest", np.maximum.accumulate, recurrences.cumargmax_work
)
cumargmin = _running_argument(
    "cumargmin", "smallest", np.minimum.accumulate, recurrences.cumargmin_work
)

# ---------------------------------------------------------------- exponentials


def _drop(lower, higher):
    """exp(lower - higher) of two of the running values, never inf - inf: 1 of equal ones."""
    is_same = eq(lower, higher)
    is_nothing = eq(lower, -math.inf)
    return exp(where(is_nothing, -math.inf, where(is_same, 0.0, lower - higher)))


def _logcumsumexp_vjp(gy, x, y, axis):
    if not x.shape[axis]:
        return (gy,)
    rest = _from_the_back(gy, _drop(y, _moved(y, axis, -1)), axis)
    return (_drop(x, y) * rest,)


def _logcumsumexp_jvp(tangents, x, y, axis):
    if not x.shape[axis]:
        return tangents[0]
    return recurrence(tangents[0] * _drop(x, y), _drop(_moved(y, axis, 1), y), axis=axis)


logcumsumexp = operation(
    "logcumsumexp",
    "scan",
    summary="Running log(sum(exp(x))) along an axis, without overflow.",
    infer=lambda avals, axis: avals[0],
    evaluate=lambda x, axis: np.logaddexp.accumulate(x, axis=axis),
    loop=Loop(scans.never, reads=scans.reads, device=scans.device_work),
    attributes=("axis",),
    vjp=_logcumsumexp_vjp,
    jvp=_logcumsumexp_jvp,
    rule="need_float",
    grad_name="LogcumsumexpBackward0",
    note="Slope 0 at -inf.",
    probe=Probe(attrs=BOTH_AXES.attrs, points=(-math.inf, 800.0, -800.0)),
)
