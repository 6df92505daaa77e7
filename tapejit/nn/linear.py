"""Linear and bilinear maps of the last axis."""

from __future__ import annotations

from tapejit.errors import ShapeError
from tapejit.nn.calling import offered
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import named


@offered()
def linear(input, weight, bias=None) -> Tensor:
    """input @ weight.T + bias.

    >>> import tapejit as tj
    >>> weight, bias = tj.tensor([[1.0, 2.0], [0.0, 1.0]]), tj.tensor([0.5, 0.0])
    >>> tj.nn.functional.linear(tj.tensor([1.0, 1.0]), weight, bias)
    tensor([3.5000, 1.0000])
    """
    if input.ndim <= 2:
        result = input @ weight.t()
        if bias is None:
            return result
        result = result + bias
        return named(result, "AddmmBackward0") if input.ndim == 2 else result
    rows = input.reshape(-1, input.shape[-1]) @ weight.t()  # one product, not one for each batch
    rows = rows if bias is None else rows + bias
    return rows.reshape(*input.shape[:-1], *rows.shape[1:])


@offered(top=True)
def bilinear(input1, input2, weight, bias=None) -> Tensor:
    """y[o] = input1 @ weight[o] @ input2 + bias[o], along the last axes.

    >>> import tapejit as tj
    >>> first, second = tj.tensor([1.0, 2.0]), tj.tensor([3.0, 4.0])
    >>> tj.nn.functional.bilinear(first, second, tj.eye(2).reshape(1, 2, 2))
    tensor([11.])
    """
    if input1.shape[:-1] != input2.shape[:-1]:
        raise ShapeError(
            f"bilinear(): input batch dimensions do not match: got {list(input1.shape)} and "
            f"{list(input2.shape)}"
        )
    n_out, n_first, n_second = weight.shape
    for number, x, n in ((1, input1, n_first), (2, input2, n_second)):
        if x.shape[-1] != n:
            raise ShapeError(
                f"bilinear(): input{number} size does not match weight size: got "
                f"{x.shape[-1]} but expected {n}"
            )
    rows = input1.reshape(-1, n_first) @ weight.permute(1, 0, 2).reshape(n_first, -1)
    others = input2.reshape(-1, 1, n_second)
    result = (rows.reshape(-1, n_out, n_second) * others).sum(-1)
    result = result.reshape(*input1.shape[:-1], n_out)
    return result if bias is None else result + bias
