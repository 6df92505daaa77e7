"""Scaled dot-product attention: two matrix products with a softmax between them."""

from __future__ import annotations

import math

from tapejit import dtypes
from tapejit.errors import ArgumentError, DtypeError, ShapeError
from tapejit.nn.calling import offered
from tapejit.nn.dropout import dropout
from tapejit.registry import OPS
from tapejit.tensor import reducing
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, apply


def _repeat_heads(x, n_heads):
    """Every head of keys or values as often as query heads share it."""
    *lead, n, length, width = x._aval.shape
    if n_heads % n:
        raise ShapeError(
            f"Number of heads in key and value must divide the number of heads in query: {n} and "
            f"{n_heads}"
        )
    wide = x.unsqueeze(-3).expand(*lead, n, n_heads // n, length, width)
    return wide.reshape(*lead, n_heads, length, width)


def _softmax(scores):
    """softmax over the last axis, and 0 where everything is -inf (all keys masked)."""
    largest = scores.detach().amax(-1, True)
    exponentials = (scores - where(largest == -math.inf, 0.0, largest)).exp()
    total = exponentials.sum(-1, True)
    return exponentials / where(total == 0.0, 1.0, total)


def _check(query, key, value, attn_mask, is_causal):
    for name, x in (("query", query), ("key", key), ("value", value)):
        if x.dtype is not query.dtype:
            raise DtypeError(
                "Expected query, key, and value to have the same dtype, but got query.dtype: "
                f"{query.dtype.name} key.dtype: {key.dtype.name} and value.dtype: "
                f"{value.dtype.name} instead."
            )
        if x.ndim < 2:
            raise ShapeError(
                "Expected query, key, and value to all be  at least 2 dimensional, but got "
                f"{name}.dim: {x.ndim} instead."
            )
    if attn_mask is None:
        return
    if is_causal:
        raise ArgumentError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when "
            "is_causal=True"
        )
    dtype = attn_mask.dtype
    if dtype is not dtypes.bool_ and not dtype.is_floating_point:
        raise DtypeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {dtype.name} and  query.dtype: {query.dtype.name} instead."
        )


@offered()
def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p=0.0,
    is_causal=False,
    scale=None,
    enable_gqa=False,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value; scale is 1 / sqrt(width) by default.

    attn_mask    bool: where attention is allowed; float: added to the scores
    enable_gqa   heads of keys and values are repeated to as many as the query has
    A query that may attend to nothing gives 0.

    >>> import tapejit as tj
    >>> query, key = tj.zeros(1, 2, 4), tj.ones(1, 2, 4)
    >>> value = tj.tensor([[[0.0], [2.0]]])
    >>> tj.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    tensor([[[0.],
             [1.]]])
    """
    _check(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        key, value = (_repeat_heads(x, query.shape[-3]) for x in (key, value))
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        shape = scores._aval.shape[-2:]
        rows, columns = (apply(OPS["iota"], (scores,), (shape, axis)) for axis in (0, 1))
        scores = where(rows >= columns, scores, -math.inf)
    elif attn_mask is not None:
        is_bool = attn_mask.dtype is dtypes.bool_
        scores = where(attn_mask, scores, -math.inf) if is_bool else scores + attn_mask
    weights = reducing.softmax(scores, -1) if attn_mask is None else _softmax(scores)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return weights @ value
