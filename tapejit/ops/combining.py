"""Elements combined at computed places by product, maximum or minimum: `index_combine`.

Sums are `index_add` of ops/indexing.py.  The slope of an extreme is shared evenly among all that
attain it, as PyTorch's scatter_reduce has it; that of a product is the product of the others, also
where some of them are zero.
"""

from __future__ import annotations

import numpy as np

from tapejit.families import operation
from tapejit.ops.complexes import conjugate
from tapejit.ops.indexing import index, index_add
from tapejit.ops.loops import places
from tapejit.ops.selection import indicator, where
from tapejit.registry import Loop, Probe

_AT = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _run(x, value, *indices, how):
    result = np.array(x, copy=True)
    _AT[how].at(result, indices, value)
    return result


# ---------------------------------------------------------------- slopes


def _slopes(x, value, indices, y, how):
    """The slopes of y by x, and by each element of value."""
    return (
        _product_slopes(x, value, indices, y)
        if how == "prod"
        else (_extreme_slopes(x, value, indices, y))
    )


def _extreme_slopes(x, value, indices, y):
    stays, comes = indicator(x == y, x), indicator(value == index(y, *indices), value)
    share = 1.0 / (stays + index_add(comes, *indices, shape=x.shape))
    return stays * share, comes * index(share, *indices)


def _product_slopes(x, value, indices, y):
    """The product of the others.

    One zero among them is carried as a sum that happens to be 0, so that the slope of the slope
    is right too; of three zeros or more second slopes are 0.
    """
    zero_x, zero_value = x == 0.0, value == 0.0
    one_x, one_value = (r.builder.literal(1, r.aval) for r in (x, value))
    safe_x, safe_value = where(zero_x, one_x, x), where(zero_value, one_value, value)
    rest = index_combine(safe_x, safe_value, *indices, how="prod")
    count = indicator(zero_x, x) + index_add(indicator(zero_value, x), *indices, shape=x.shape)
    zeros = where(zero_x, x, 0.0) + index_add(
        where(zero_value, value, 0.0), *indices, shape=x.shape
    )

    def slope(z, is_zero, safe, y, rest, count, zeros):
        of_zero = where(count == 1.0, rest, where(count == 2.0, (zeros - z) * rest, 0.0))
        of_other = where(count == 1.0, zeros * rest / safe, 0.0)
        return where(count == 0.0, y / safe, where(is_zero, of_zero, of_other))

    there = [index(r, *indices) for r in (y, rest, count, zeros)]
    return (
        slope(x, zero_x, safe_x, y, rest, count, zeros),
        slope(value, zero_value, safe_value, *there),
    )


def _vjp(gy, x, value, *rest, how):
    *indices, y = rest
    of_x, of_value = _slopes(x, value, indices, y, how)
    gvalue = index(gy, *indices) * conjugate(of_value)
    return gy * conjugate(of_x), gvalue, *(None for _ in indices)


def _jvp(tangents, x, value, *rest, how):
    *indices, y = rest
    of_x, of_value = _slopes(x, value, indices, y, how)
    tx, tvalue = tangents[:2]
    parts = [] if tx is None else [tx * of_x]
    if tvalue is not None:
        parts.append(index_add(tvalue * of_value, *indices, shape=x.shape))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


index_combine = operation(
    "index_combine",
    "indexing",
    summary="A tensor with elements multiplied in, or extremes kept, at places [i, j, ...].",
    infer=lambda avals, how: avals[0],
    evaluate=_run,
    loop=Loop(places.combine_work, complex=True, has_status=True),
    attributes=("how",),
    vjp=_vjp,
    jvp=_jvp,
    rule="index_put",
    grad_name="ScatterReduceBackward0",
    note="Ties of extremes share the slope evenly; products are right at zeros to second order.",
    probe=Probe(
        shapes=(((4, 3), (2, 3), ("index", (2,))),),
        attrs=({"how": "prod"}, {"how": "amax"}, {"how": "amin"}),
    ),
)
