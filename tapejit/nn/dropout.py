"""Dropout: elements, or whole channels, set to zero at random while training.

The mask comes from the generator that `manual_seed` seeds: a compiled function draws a new one at
every call.  On the CPU NumPy draws it, and it is data of the recording; on a GPU that is a key, and
kernels make the mask where they need it, forward and backward, so it takes no memory.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from tapejit.errors import ArgumentError, ShapeError
from tapejit.nn.calling import offered, overwriting
from tapejit.shapes import CPU
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import Tensor, lift
from tapejit.tensor.draws import hits
from tapejit.tensor.front import named
from tapejit.tensor.random import drawn

_ALPHA = 1.7580993408473766  # where selu saturates


def _kept(input, shape, p, scale) -> Tensor:
    """`scale` with probability 1 - p, else 0, in the input's dtype."""
    known, device = input._aval.dtype, input._aval.device
    dtype = known.dtype
    precision = np.dtype(np.float64 if dtype.itemsize > 4 else np.float32)
    if device == CPU:
        return drawn(lambda g: (g.random(shape, precision) >= p) * dtype.type(scale))
    return where(hits(1.0 - p, shape, precision, device=device), lift(scale, known), 0.0)


def _channels(input):
    """One draw for each channel of each element of the batch."""
    if input.ndim < 2:
        raise ShapeError("Feature dropout requires at least 2 dimensions in the input")
    return (*input._aval.shape[:2], *(1,) * (input.ndim - 2))


def _dropped(input, shape, p, training, inplace):
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    mask = _kept(input, shape, p, 1.0 / (1.0 - p) if p < 1.0 else 1.0)
    return overwriting(lambda x: named(x * mask, "MulBackward0"), input, inplace)


@offered(top=True)
def dropout(input, p=0.5, training=True, inplace=False) -> Tensor:
    """Elements set to 0 with probability p, the others divided by 1 - p.

    >>> import tapejit as tj
    >>> y = tj.nn.functional.dropout(tj.ones(1000), 0.5)
    >>> bool(((y == 0) | (y == 2)).all()), bool((y.mean() - 1).abs() < 0.2)
    (True, True)
    """
    return _dropped(input, input._aval.shape, p, training, inplace)


def _feature_dropout(input, p, training, inplace, is_batched):
    shape = input._aval.shape
    if is_batched:
        return _dropped(input, _channels(input), p, training, inplace)
    return _dropped(input, (shape[0], *(1,) * (len(shape) - 1)), p, training, inplace)


@offered()
def dropout1d(input, p=0.5, training=True, inplace=False) -> Tensor:
    """Channels of (n, c, length) or (c, length) set to 0 with probability p.

    >>> import tapejit as tj
    >>> y = tj.nn.functional.dropout1d(tj.ones(8, 4, 3), 0.5)
    >>> bool((y == y[..., :1]).all())
    True
    """
    if input.ndim not in (2, 3):
        raise ShapeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.ndim}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _feature_dropout(input, p, training, inplace, input.ndim == 3)


def _warn_of_rank(name, input, n):
    if input.ndim not in (n + 1, n + 2):
        warnings.warn(
            f"{name}: Received a {input.ndim}-D input to {name}, which is deprecated and will "
            "result in an error in a future release. To retain the behavior and silence this "
            "warning, please use dropout instead.",
            UserWarning,
            stacklevel=4,
        )


@offered()
def dropout2d(input, p=0.5, training=True, inplace=False) -> Tensor:
    """Channels of (n, c, height, width) set to 0 with probability p.

    >>> import tapejit as tj
    >>> y = tj.nn.functional.dropout2d(tj.ones(8, 4, 2, 2), 0.5)
    >>> bool((y == y[..., :1, :1]).all())
    True
    """
    _warn_of_rank("dropout2d", input, 2)
    if input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout "
            "behavior is desired - input is interpreted as shape (N, C, L), where C is the channel "
            "dim.",
            UserWarning,
            stacklevel=3,
        )
    return _feature_dropout(input, p, training, inplace, True)


@offered()
def dropout3d(input, p=0.5, training=True, inplace=False) -> Tensor:
    """Channels of (n, c, d, h, w) or (c, d, h, w) set to 0 with probability p.

    >>> import tapejit as tj
    >>> y = tj.nn.functional.dropout3d(tj.ones(8, 4, 2, 2, 2), 0.5)
    >>> bool((y == y[..., :1, :1, :1]).all())
    True
    """
    _warn_of_rank("dropout3d", input, 3)
    return _feature_dropout(input, p, training, inplace, input.ndim == 5)


def _alpha_dropped(input, shape, p, training, inplace):
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0.0:
        return input
    kept = _kept(input, shape, p, 1.0)
    if p == 1.0:
        factor, term = kept, kept
    else:
        a = 1.0 / math.sqrt((_ALPHA * _ALPHA * p + 1.0) * (1.0 - p))
        factor = kept * a
        term = (kept - 1.0) * (_ALPHA * a) + _ALPHA * a * p
    return overwriting(lambda x: x * factor + term, input, inplace)


@offered(top=True)
def alpha_dropout(input, p=0.5, training=False, inplace=False) -> Tensor:
    """Elements set to where selu saturates, with probability p; mean and variance stay.

    >>> import tapejit as tj
    >>> tj.nn.functional.alpha_dropout(tj.ones(3)), tj.nn.functional.alpha_dropout(
    ...     tj.ones(100), 0.5, training=True
    ... ).unique().shape
    (tensor([1., 1., 1.]), torch.Size([2]))
    """
    return _alpha_dropped(input, input._aval.shape, p, training, inplace)


@offered(top=True)
def feature_alpha_dropout(input, p=0.5, training=False, inplace=False) -> Tensor:
    """alpha_dropout of whole channels.

    >>> import tapejit as tj
    >>> y = tj.nn.functional.feature_alpha_dropout(tj.ones(8, 4, 3), 0.5, training=True)
    >>> bool((y == y[..., :1]).all())
    True
    """
    return _alpha_dropped(input, _channels(input), p, training, inplace)
