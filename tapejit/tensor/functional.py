"""nn.functional: activations and losses as compositions of the operations."""

from __future__ import annotations

from tapejit.errors import ShapeError
from tapejit.registry import OPS
from tapejit.tensor.arithmetic import where
from tapejit.tensor.core import apply
from tapejit.tensor.front import FUNCTIONS, export, named
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
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
]


def softplus(input, beta=1, threshold=20):
    """log(1 + exp(beta x)) / beta, exact everywhere."""
    return FUNCTIONS["softplus"](input) if beta == 1 else FUNCTIONS["softplus"](input * beta) / beta


def logsigmoid(input):
    """log(sigmoid(x)) without overflow."""
    return apply(OPS["logsigmoid"], (input,))


def leaky_relu(input, negative_slope=0.01):
    """x where x > 0, else negative_slope * x."""
    return where(input > 0, input, input * negative_slope)


def elu(input, alpha=1.0):
    """x where x > 0, else alpha * (exp(x) - 1)."""
    return where(input > 0, input, input.expm1() * alpha)


def silu(input):
    """x * sigmoid(x)."""
    return input * input.sigmoid()


def gelu(input):
    """x times the normal distribution function of x."""
    return input * 0.5 * (1.0 + (input * 0.7071067811865476).erf())


def linear(input, weight, bias=None):
    """input @ weight.T + bias."""
    result = input @ weight.t()
    return result if bias is None else result + bias


def _reduce(loss, reduction):
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return loss.mean() if reduction == "mean" else loss.sum()


@export("mse_loss", method=False)
def mse_loss(input, target, reduction="mean"):
    """Squared differences."""
    return named(_reduce((input - target) ** 2, reduction), "MseLossBackward0")


def l1_loss(input, target, reduction="mean"):
    """Absolute differences."""
    return _reduce((input - target).abs(), reduction)


def huber_loss(input, target, reduction="mean", delta=1.0):
    """Half squares up to delta, linear beyond."""
    size = (input - target).abs()
    quadratic, linear_part = size * size * 0.5, (size - 0.5 * delta) * delta
    return _reduce(where(size < delta, quadratic, linear_part), reduction)


def binary_cross_entropy(input, target, reduction="mean"):
    """-(t log p + (1 - t) log(1 - p)), logarithms not below -100."""
    log_p, log_q = input.log().clamp(min=-100), (1 - input).log().clamp(min=-100)
    return _reduce(-(target * log_p + (1 - target) * log_q), reduction)


def binary_cross_entropy_with_logits(input, target, reduction="mean"):
    """Binary cross entropy of sigmoid(input), without overflow."""
    return _reduce(FUNCTIONS["softplus"](input) - input * target, reduction)


def nll_loss(input, target, reduction="mean"):
    """Minus the log-probability of the target class; input (n, classes)."""
    if input.ndim != 2:
        raise ShapeError(f"nll_loss: (n, classes) is needed, got {list(input.shape)}")
    return _reduce(-gather(input, 1, target.reshape(-1, 1)).reshape(-1), reduction)


def cross_entropy(input, target, reduction="mean"):
    """nll_loss of log_softmax."""
    return nll_loss(log_softmax(input, 1), target, reduction)
