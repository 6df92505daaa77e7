"""PyTorch's `nn.functional`: activations and losses as compositions of the operations."""

from __future__ import annotations

from tapejit.errors import ShapeError
from tapejit.registry import OPS
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import apply
from tapejit.tensor.front import FUNCTIONS, named
from tapejit.tensor.padding import pad
from tapejit.tensor.picking import gather
from tapejit.tensor.reducing import log_softmax, softmax

relu, sigmoid, tanh = (FUNCTIONS[name] for name in ("relu", "sigmoid", "tanh"))
__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "elu",
    "gelu",
    "huber_loss",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "mse_loss",
    "nll_loss",
    "pad",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def softplus(input, beta=1, threshold=20):
    """log(1 + exp(beta x)) / beta, exact everywhere.

    >>> import tapejit as tj
    >>> tj.nn.functional.softplus(tj.tensor([-1.0, 0.0, 1.0]), beta=2)
    tensor([0.0635, 0.3466, 1.0635])
    """
    return FUNCTIONS["softplus"](input) if beta == 1 else FUNCTIONS["softplus"](input * beta) / beta


def logsigmoid(input):
    """log(sigmoid(x)) without overflow.

    >>> import tapejit as tj
    >>> tj.nn.functional.logsigmoid(tj.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """
    return apply(OPS["logsigmoid"], (input,))


def leaky_relu(input, negative_slope=0.01):
    """x where x > 0, else negative_slope * x.

    >>> import tapejit as tj
    >>> tj.nn.functional.leaky_relu(tj.tensor([-1.0, 2.0]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return where(input > 0, input, input * negative_slope)


def elu(input, alpha=1.0):
    """x where x > 0, else alpha * (exp(x) - 1).

    >>> import tapejit as tj
    >>> tj.nn.functional.elu(tj.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """
    return where(input > 0, input, input.expm1() * alpha)


def silu(input):
    """x * sigmoid(x).

    >>> import tapejit as tj
    >>> tj.nn.functional.silu(tj.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """
    return input * input.sigmoid()


def gelu(input):
    """x times the normal distribution function of x.

    >>> import tapejit as tj
    >>> tj.nn.functional.gelu(tj.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """
    return input * 0.5 * (1.0 + (input * 0.7071067811865476).erf())


def linear(input, weight, bias=None):
    """input @ weight.T + bias.

    >>> import tapejit as tj
    >>> weight, bias = tj.tensor([[1.0, 2.0], [0.0, 1.0]]), tj.tensor([0.5, 0.0])
    >>> tj.nn.functional.linear(tj.tensor([1.0, 1.0]), weight, bias)
    tensor([3.5000, 1.0000])
    """
    result = input @ weight.t()
    return result if bias is None else result + bias


def _reduce(loss, reduction):
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss.mean() if reduction == "mean" else loss.sum()


def mse_loss(input, target, reduction="mean"):
    """Squared differences.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([1.0, 2.0]), tj.tensor([0.0, 4.0])
    >>> tj.nn.functional.mse_loss(input, target)
    tensor(2.5000)
    >>> tj.nn.functional.mse_loss(input, target, reduction="none")
    tensor([1., 4.])
    """
    return named(_reduce((input - target) ** 2, reduction), "MseLossBackward0")


def l1_loss(input, target, reduction="mean"):
    """Absolute differences.

    >>> import tapejit as tj
    >>> tj.nn.functional.l1_loss(tj.tensor([1.0, 2.0]), tj.tensor([0.0, 4.0]), reduction="sum")
    tensor(3.)
    """
    return _reduce((input - target).abs(), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0):
    """Half squares up to delta, linear beyond.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.5, 10.0]), tj.zeros(2)
    >>> tj.nn.functional.huber_loss(input, target, reduction="none")
    tensor([0.1250, 9.5000])
    """
    size = (input - target).abs()
    quadratic, linear_part = size * size * 0.5, (size - 0.5 * delta) * delta
    return _reduce(where(size < delta, quadratic, linear_part), reduction)


def binary_cross_entropy(input, target, reduction="mean"):
    """-(t log p + (1 - t) log(1 - p)), logarithms not below -100.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.5, 0.9]), tj.tensor([0.0, 1.0])
    >>> tj.nn.functional.binary_cross_entropy(input, target, reduction="none")
    tensor([0.6931, 0.1054])
    """
    log_p, log_q = input.log().clamp(min=-100), (1 - input).log().clamp(min=-100)
    return _reduce(-(target * log_p + (1 - target) * log_q), reduction)


def binary_cross_entropy_with_logits(input, target, reduction="mean"):
    """Binary cross entropy of sigmoid(input), without overflow.

    >>> import tapejit as tj
    >>> input, target = tj.tensor([0.0, 1000.0]), tj.tensor([0.0, 0.0])
    >>> tj.nn.functional.binary_cross_entropy_with_logits(input, target, reduction="none")
    tensor([6.9315e-01, 1.0000e+03])
    """
    return _reduce(FUNCTIONS["softplus"](input) - input * target, reduction)


def nll_loss(input, target, reduction="mean"):
    """Minus the log-probability of the target class; input (n, classes).

    >>> import tapejit as tj
    >>> probabilities = tj.tensor([[0.5, 0.5], [0.1, 0.9]])
    >>> tj.nn.functional.nll_loss(probabilities.log(), tj.tensor([0, 1]))
    tensor(0.3993)
    """
    if input.ndim != 2:
        raise ShapeError(f"nll_loss: (n, classes) is needed, got {list(input.shape)}")
    return _reduce(-gather(input, 1, target.reshape(-1, 1)).reshape(-1), reduction)


def cross_entropy(input, target, reduction="mean"):
    """nll_loss of log_softmax.

    >>> import tapejit as tj
    >>> logits = tj.tensor([[0.0, 0.0], [1.0, 3.0]])
    >>> tj.nn.functional.cross_entropy(logits, tj.tensor([0, 1]))
    tensor(0.4100)
    """
    return nll_loss(log_softmax(input, 1), target, reduction)
