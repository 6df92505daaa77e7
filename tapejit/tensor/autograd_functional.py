"""`autograd.functional`: jacobian, hessian, vjp, jvp, hvp, vhp of functions of tensors."""

from __future__ import annotations

import numpy as np

from tapejit.errors import AutogradError
from tapejit.registry import OPS
from tapejit.runtime.devices import filled
from tapejit.tensor import backward as engine
from tapejit.tensor.core import Tensor, apply, data_beside, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.modes import enable_grad


def _as_tuple(value):
    return (True, tuple(value)) if isinstance(value, list | tuple) else (False, (value,))


def _fresh(inputs, create_graph):
    """The inputs as tensors that require grad, without touching the caller's."""
    if create_graph:
        return tuple(
            apply(OPS["clone"], (x,)) if x.requires_grad else x.clone().requires_grad_()
            for x in inputs
        )
    return tuple(x.detach().clone().requires_grad_() for x in inputs)


def _outputs(func, inputs, name):
    is_tuple, outputs = _as_tuple(func(*inputs))
    for output in outputs:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"The outputs of the user-provided function given to {name} must be Tensors"
            )
    return is_tuple, outputs


def _zeros(x):
    return wrap(filled(x._aval, 0))


def _grads(outputs, inputs, seeds, create_graph, strict=False):
    kept = [(o, s) for o, s in zip(outputs, seeds, strict=True) if o.requires_grad]
    if not kept:
        if strict:
            raise AutogradError(
                "Output is independent of the inputs, which strict=True does not allow."
            )
        return [_zeros(x) for x in inputs]
    results = engine.gradients_of(
        [o for o, _ in kept],
        inputs,
        [s for _, s in kept],
        retain_graph=True,
        create_graph=create_graph,
    )
    return [_zeros(x) if g is None else g for g, x in zip(results, inputs, strict=True)]


def _plain(results, create_graph):
    return [r if create_graph else r.detach() for r in results]


def _shape_of(results, is_tuple):
    return tuple(results) if is_tuple else results[0]


def vjp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), v^T J).

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0])
    >>> value, cotangent = tj.autograd.functional.vjp(lambda x: x**2, x, tj.tensor([1.0, 10.0]))
    >>> value, cotangent
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        many, inputs = _as_tuple(inputs)
        inputs = _fresh(inputs, create_graph)
        tuple_out, outputs = _outputs(func, inputs, "vjp")
        seeds = _seeds(outputs, v, "vjp")
        gradients = _grads(outputs, inputs, seeds, create_graph, strict)
    return (
        _shape_of(_plain(outputs, create_graph), tuple_out),
        _shape_of(_plain(gradients, create_graph), many),
    )


def _seeds(outputs, v, name):
    if v is None:
        if len(outputs) != 1 or outputs[0]._aval.size != 1:
            raise AutogradError(
                f"The vector v can only be None if the user-provided function returns a single "
                f"Tensor with a single element: {name}"
            )
        return [wrap(filled(outputs[0]._aval, 1))]
    return list(_as_tuple(v)[1])


def jvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), J v), by differentiating v^T J with respect to v.

    >>> import tapejit as tj
    >>> x = tj.tensor([1.0, 2.0])
    >>> value, tangent = tj.autograd.functional.jvp(lambda x: x**2, x, tj.tensor([1.0, 10.0]))
    >>> value, tangent
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        _, inputs = _as_tuple(inputs)
        inputs = _fresh(inputs, create_graph)
        if v is None:
            if len(inputs) != 1 or inputs[0]._aval.size != 1:
                raise AutogradError(
                    "The vector v can only be None if the input to the user-provided function is "
                    "a single Tensor with a single element."
                )
            v = wrap(filled(inputs[0]._aval, 1))
        vectors = _as_tuple(v)[1]
        tuple_out, outputs = _outputs(func, inputs, "jvp")
        dummies = [_zeros(o).requires_grad_() for o in outputs]
        gradients = _grads(outputs, inputs, dummies, True, strict)
        results = _grads(gradients, dummies, list(vectors), create_graph)
    return (
        _shape_of(_plain(outputs, create_graph), tuple_out),
        _shape_of(_plain(results, create_graph), tuple_out),
    )


def jacobian(
    func, inputs, create_graph=False, strict=False, vectorize=False, strategy="reverse-mode"
):
    """The Jacobian of func at inputs: output shape followed by input shape.

    >>> import tapejit as tj
    >>> tj.autograd.functional.jacobian(lambda x: x**2, tj.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with enable_grad():
        many, inputs = _as_tuple(inputs)
        inputs = _fresh(inputs, create_graph)
        tuple_out, outputs = _outputs(func, inputs, "jacobian")
        rows = tuple(tuple(_rows(output, inputs, create_graph, strict)) for output in outputs)
    results = [_shape_of(row, many) for row in rows]
    return _shape_of(results, tuple_out)


def _rows(output, inputs, create_graph, strict):
    if output._aval.dtype.is_complex:
        raise AutogradError(
            f"grad can be implicitly created only for real scalar outputs but got {output.dtype}\n"
            "  try  its .real and .imag, or vjp and jvp"
        )
    columns = [[] for _ in inputs]
    for i in range(output._aval.size):
        seed = np.zeros(output._aval.size, output._aval.dtype.dtype)
        seed[i] = 1
        seeds = [data_beside(output, seed.reshape(output._aval.shape))]
        for column, gradient in zip(
            columns, _grads([output], inputs, seeds, create_graph, strict), strict=True
        ):
            column.append(gradient if create_graph else gradient.detach())
    for column, x in zip(columns, inputs, strict=True):
        shape = (*output._aval.shape, *x._aval.shape)
        if not column:
            yield x.new_zeros(shape)
        else:
            yield FUNCTIONS["stack"](column).reshape(shape)


def hessian(
    func,
    inputs,
    create_graph=False,
    strict=False,
    vectorize=False,
    outer_jacobian_strategy="reverse-mode",
):
    """The matrix of second derivatives of a scalar function.

    >>> import tapejit as tj
    >>> tj.autograd.functional.hessian(lambda x: (x**3).sum(), tj.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    many, _ = _as_tuple(inputs)

    def gradient(*xs):
        return jacobian(scalar, xs if many else xs[0], create_graph=True)

    def scalar(*xs):
        outputs = func(*xs)
        if not isinstance(outputs, Tensor) or outputs._aval.size != 1:
            raise AutogradError(
                "The Tensor returned by the function given to hessian should contain a single "
                "element"
            )
        return outputs.reshape(())

    return jacobian(gradient, inputs, create_graph=create_graph, strict=strict)


def vhp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), v^T H).

    >>> import tapejit as tj
    >>> x, v = tj.tensor([1.0, 2.0]), tj.tensor([1.0, 1.0])
    >>> value, product = tj.autograd.functional.vhp(lambda x: x.prod(), x, v)
    >>> value, product
    (tensor(2.), tensor([1., 1.]))
    """
    with enable_grad():
        many, inputs = _as_tuple(inputs)
        inputs = _fresh(inputs, create_graph)
        _, outputs = _outputs(func, inputs, "vhp")
        first = _grads(outputs, inputs, _seeds(outputs, None, "vhp"), True, strict)
        vectors = _seeds(first, v, "vhp")
        results = _grads(first, inputs, vectors, create_graph)
    return _plain(outputs, create_graph)[0], _shape_of(_plain(results, create_graph), many)


def hvp(func, inputs, v=None, create_graph=False, strict=False):
    """(func(inputs), H v); the Hessian is symmetric, so this is vhp.

    >>> import tapejit as tj
    >>> x, v = tj.tensor([1.0, 2.0]), tj.tensor([1.0, 0.0])
    >>> value, product = tj.autograd.functional.hvp(lambda x: (x**3).sum(), x, v)
    >>> value, product
    (tensor(9.), tensor([6., 0.]))
    """
    return vhp(func, inputs, v, create_graph, strict)
