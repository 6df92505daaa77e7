"""Distances and angles between vectors."""

from __future__ import annotations

from tapejit.nn.calling import offered
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import named


@offered(top=True)
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis.

    >>> import tapejit as tj
    >>> tj.nn.functional.pairwise_distance(tj.tensor([[3.0, 4.0]]), tj.zeros(1, 2))
    tensor([5.0000])
    """
    return (x1 - x2 + eps).norm(p, -1, keepdim)


@offered(top=True)
def cosine_similarity(x1, x2, dim=1, eps=1e-8) -> Tensor:
    """The cosine of the angle between vectors along an axis; norms are at least eps.

    >>> import tapejit as tj
    >>> tj.nn.functional.cosine_similarity(tj.tensor([1.0, 0.0]), tj.tensor([1.0, 1.0]), dim=0)
    tensor(0.7071)
    """
    units = [x / x.norm(2.0, dim, keepdim=True).clamp(min=eps) for x in (x1, x2)]
    return named((units[0] * units[1]).sum(dim), "SumBackward1")


@offered()
def normalize(input, p=2.0, dim=1, eps=1e-12, out=None) -> Tensor:
    """Vectors along an axis divided by their p-norm, which is taken as at least eps.

    >>> import tapejit as tj
    >>> tj.nn.functional.normalize(tj.tensor([3.0, 4.0]), dim=0)
    tensor([0.6000, 0.8000])
    """
    result = input / input.norm(p, dim, keepdim=True).clamp(min=eps)
    return result if out is None else out.copy_(result)


@offered(top=True)
def pdist(input, p=2) -> Tensor:
    """The p-norm distance between every two rows, i < j.

    >>> import tapejit as tj
    >>> tj.nn.functional.pdist(tj.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    n = input.shape[0]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    return named((input[first] - input[second]).norm(p, -1), "PdistBackward0")
