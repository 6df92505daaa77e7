"""Contractions: matrix products, run by NumPy's BLAS.

A matrix product is bilinear: each cotangent is a product with the other operand transposed.  The
front door broadcasts batch axes with `expand` before it records, so only four shapes occur:
(n)(n), (m, n)(n), (n)(n, p), (..., m, n)(..., n, p) with equal or broadcast batch axes.
"""

from __future__ import annotations

import numpy as np

from tapejit.errors import ShapeError
from tapejit.families import operation
from tapejit.ops.complexes import conjugate
from tapejit.ops.loops import products
from tapejit.ops.movement import permute, reshape
from tapejit.registry import Alias, Loop, Probe
from tapejit.shapes import aval, broadcast


def _infer_matmul(avals):
    x, y = avals
    if not x.ndim or not y.ndim:
        raise ShapeError(
            f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D"
        )
    inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise ShapeError(
            f"mat1 and mat2 shapes cannot be multiplied ({_by(x.shape)} and {_by(y.shape)}): "
            f"inner lengths differ, {x.shape[-1]} and {inner}\n  try  transpose one of them"
        )
    rows = x.shape[-2:-1]
    columns = y.shape[-1:] if y.ndim > 1 else ()
    batch = broadcast("matmul", x.shape[:-2], y.shape[:-2])
    return aval((*batch, *rows, *columns), x.dtype)


def _by(shape):
    return "x".join(map(str, shape))


def swap(x):
    """The last two axes exchanged."""
    axes = list(range(x.ndim))
    axes[-1], axes[-2] = axes[-2], axes[-1]
    return permute(x, axes=tuple(axes))


def _matmul_vjp(gy, x, v, y):
    x, v = conjugate(x), conjugate(v)
    if x.ndim == 1 and v.ndim == 1:
        return gy * v, gy * x
    if v.ndim == 1:
        return _outer(gy, v), _batched_vector(gy, x)
    if x.ndim == 1:
        return _vector_by_transposed(gy, v), _outer(x, gy)
    return matmul(gy, swap(v)), matmul(swap(x), gy)


def _outer(u, v):
    return reshape(u, shape=(*u.shape, 1)) * reshape(v, shape=(*v.shape[:-1], 1, v.shape[-1]))


def _batched_vector(gy, x):
    """x.T @ gy; batch axes are summed by autodiff."""
    if x.ndim == 2:
        return matmul(swap(x), gy)
    column = reshape(gy, shape=(*gy.shape, 1))
    product = matmul(swap(x), column)
    return reshape(product, shape=product.shape[:-1])


def _vector_by_transposed(gy, v):
    if v.ndim == 2:
        return matmul(v, gy)
    product = matmul(v, reshape(gy, shape=(*gy.shape, 1)))
    return reshape(product, shape=product.shape[:-1])


def _matmul_jvp(tangents, x, v, y):
    tx, tv = tangents
    parts = []
    if tx is not None:
        parts.append(matmul(tx, v))
    if tv is not None:
        parts.append(matmul(x, tv))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


matmul = operation(
    "matmul",
    "contraction",
    summary="Matrix product; vectors count as rows or columns, batch axes broadcast.",
    infer=_infer_matmul,
    evaluate=np.matmul,
    loop=Loop(products.matmul_work, reads=products.reads, device=products.device_work),
    vjp=_matmul_vjp,
    jvp=_matmul_jvp,
    rule="promote",
    complex=True,
    alias=Alias("matmul", "matmul", "matmul"),
    grad_name="MmBackward0",
    probe=Probe(
        shapes=(
            ((2, 3), (3, 4)),
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 2, 3), (2, 3, 4)),
            ((2, 2, 3), (3, 4)),
            ((2, 2, 3), (3,)),
        )
    ),
)
