"""The `autograd` module: grad and backward over several tensors, Functions of your own."""

from __future__ import annotations

from tapejit.errors import AutogradError
from tapejit.tensor import autograd_functional as functional
from tapejit.tensor import backward as engine
from tapejit.tensor import function as function
from tapejit.tensor.core import Tensor
from tapejit.tensor.function import Function
from tapejit.tensor.modes import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "Function",
    "backward",
    "enable_grad",
    "functional",
    "grad",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]


def _tuple(value):
    return (value,) if isinstance(value, Tensor) else tuple(value)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False, inputs=None):
    """Accumulate the gradients of several tensors into the leaves (see Tensor.backward).

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> tj.autograd.backward([x * x, 2 * x])
    >>> x.grad
    tensor(8.)
    """
    gradients = grad_tensors
    if gradients is not None:
        gradients = [gradients] if isinstance(gradients, Tensor) else list(gradients)
    engine.backward(
        _tuple(tensors),
        gradients,
        retain_graph=retain_graph,
        create_graph=create_graph,
        inputs=None if inputs is None else _tuple(inputs),
    )


def grad(
    outputs,
    inputs,
    grad_outputs=None,
    retain_graph=None,
    create_graph=False,
    allow_unused=None,
    is_grads_batched=False,
    materialize_grads=False,
):
    """The gradients of the sum of `outputs` with respect to `inputs`, as a tuple.

    Errors  AutogradError if an input does not require grad, or is not used (allow_unused=True
            gives None for it)

    >>> import tapejit as tj
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> tj.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    outputs, inputs = _tuple(outputs), _tuple(inputs)
    if not inputs:
        raise AutogradError("`inputs` argument to `grad()` cannot be empty.")
    for x in inputs:
        if not x.requires_grad:
            raise AutogradError("One of the differentiated Tensors does not require grad")
    if grad_outputs is not None:
        grad_outputs = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    results = engine.gradients_of(
        outputs, inputs, grad_outputs, retain_graph=retain_graph, create_graph=create_graph
    )
    if any(g is None for g in results):
        if materialize_grads:
            results = [
                x.detach() * 0 if g is None else g for g, x in zip(results, inputs, strict=True)
            ]
        elif not allow_unused:
            unused = next(i for i, g in enumerate(results) if g is None)
            raise AutogradError(
                f"The differentiated Tensor at index {unused} appears to not have been used in "
                "the graph. Set allow_unused=True if this is the desired behavior."
            )
    return tuple(results)
