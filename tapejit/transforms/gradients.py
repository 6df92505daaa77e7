"""jit, value_and_grad and grad: a function's value and gradient as one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tapejit.errors import NotDifferentiable
from tapejit.runtime.devices import zeros_like
from tapejit.runtime.entry import Entries
from tapejit.tensor import backward as engine
from tapejit.tensor.calls import Level
from tapejit.tensor.core import Tensor
from tapejit.tensor.modes import enable_grad
from tapejit.transforms import running, trees
from tapejit.transforms.devices import on_device
from tapejit.transforms.dispatch import (
    Arguments,
    Transform,
    Transforms,
    array_of,
    check_real,
    is_inner,
    leave,
    rebuild,
    scalar_output,
    with_aliases,
    zeros_of,
)
from tapejit.transforms.paths import Derived, Gradient, all_outputs
from tapejit.transforms.trace import OutputRow, Trace, uses_numpy
from tapejit.transforms.wrapping import as_function, entering

# ---------------------------------------------------------------- jit


def jit(function: Callable | None = None, device: Any = None) -> Callable:
    """Compile a function of arrays: recorded on the first call, one program after that.

    device  where NumPy arrays are to be computed: "cuda" moves them there and the answer back;
            tensors are computed where they are

    Shapes  any; each combination of shapes and dtypes is planned once, kernels are shared
    Calls   take out=, an array or a tuple of those of the answer, unless the function has an `out`
    Errors  what the function raises; TraceError for arguments or results of unknown types
    Like    jax.jit, with Python control flow: each branch taken is recorded and kept

    >>> import numpy as np, tapejit as tj
    >>> double = tj.jit(lambda x: np.sin(x) * 2)
    >>> float(double(np.array(0.0)))
    0.0
    """
    if function is None:
        return functools.partial(jit, device=device)
    transform = Transform(function, all_outputs, n_levels=0)

    def full_call(args, kwargs, out):
        leaves: list = []
        trees.flatten((args, kwargs), leaves)
        if is_inner(leaves, out):
            return function(*args, **kwargs)
        return transform.answer(args, kwargs, rebuild, lambda: function(*args, **kwargs), out)

    call = entering(function, transform.entries, full_call)
    call.transform = transform
    call = as_function(call, function, lambda args, kwargs: (transform, rebuild))
    return on_device(call, function, device)


# ---------------------------------------------------------------- value_and_grad


def value_and_grad(
    function: Callable | None = None, argnums: Any = 0, has_aux: bool = False, device: Any = None
) -> Callable:
    """The function's value and its gradient, in one program.

    argnums  which positional arguments: a number, or several (then a tuple of gradients)
    has_aux  the function returns (value, extras); extras are returned beside the value
    device   where NumPy arrays are to be computed, as in `jit`
    Returns  (value, gradient), or ((value, extras), gradient); gradients are nested as arguments
    Calls    take out=: an array, or a tuple of them, to write the answer's arrays into
    Errors   NotDifferentiable for integer arguments or a result that is no scalar
    Like     jax.value_and_grad

    >>> import numpy as np, tapejit as tj
    >>> tj.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    >>> gradient = np.empty(2)
    >>> tj.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]), out=gradient)[1] is gradient
    True
    """
    if function is None:
        return functools.partial(value_and_grad, argnums=argnums, has_aux=has_aux, device=device)
    return _differentiated(function, argnums, has_aux, device, lambda value, slope: (value, slope))


def _differentiated(function, argnums, has_aux, device, select):
    """The function whose calls give select(value, gradient)."""
    arguments = Arguments(argnums)
    transforms, entries = Transforms(), Entries()

    def full_call(args, kwargs, out):
        leaves: list = []
        trees.flatten((args, kwargs), leaves)

        def inner():
            return select(*_inner_value_and_grad(function, arguments, has_aux, args, kwargs))

        if is_inner(leaves, out):
            arguments.positions(args)  # checks them
            return inner()
        transform, answer = prepare(args, kwargs)
        return transform.answer(args, kwargs, answer, inner, out)

    def prepare(args, kwargs):
        wanted = arguments.wanted(args)
        transform = transforms.get(wanted)
        if transform is None:
            derive = functools.partial(_derive_gradient, wanted=wanted, has_aux=has_aux)
            transform = transforms[wanted] = Transform(function, derive, entries, n_levels=1)

        def answer(recorded, results, leaves):
            value, gradients = _values_and_gradients(recorded, results, leaves, wanted)
            value = tuple(value) if has_aux else value
            return select(value, arguments.gather(args, gradients))

        return transform, answer

    call = entering(function, entries, full_call)
    call.transforms = transforms
    return on_device(as_function(call, function, prepare), function, device)


def _derive_gradient(recorded: Trace, wanted, has_aux) -> Derived | Gradient:
    root = scalar_output(recorded, has_aux)
    values = tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))
    rows = tuple(recorded.inputs[i] for i in wanted)
    if root is None:
        return Derived(recorded.recording, (), (*values, *(-1 for _ in rows)))
    if recorded.seeds is not None:
        _, gradients = running.reverse(recorded, (root,), rows, recorded.levels[0])
        return running.derived(recorded, (), (*values, *gradients))
    return Gradient(recorded.recording, values, root, rows)


def _values_and_gradients(recorded, results, leaves, wanted):
    n = len(results) - len(wanted)
    value = rebuild(recorded, results[:n], leaves)
    is_numpy = uses_numpy(leaves)
    gradients = []
    for i, gradient in zip(wanted, results[n:], strict=True):
        if gradient is None:
            gradient = zeros_like(array_of(leaves[i]))
        gradients.append(leave(gradient, leaves[i], is_numpy))
    return value, gradients


def _inner_value_and_grad(function, arguments, has_aux, args, kwargs):
    with enable_grad():
        aliased, aliases = with_aliases(arguments, args)
        with Level(aliases) as level:
            result = function(*aliased, **kwargs)
        value = result[0] if has_aux else result
        gradients = inner_gradient(value, aliases, level)
    return result, arguments.gather(args, gradients)


def inner_gradient(value, inputs, level, seed=None):
    """Gradients as recorded operations; zeros where nothing depends.

    level  the derivative that this is, for calls with a rule of their own
    """
    if not isinstance(value, Tensor) or not value.requires_grad:
        return [zeros_of(x) for x in inputs]
    if seed is None and value._aval.ndim:
        raise NotDifferentiable(
            f"grad: requires a scalar output, the function returned shape {value._aval.shape}"
        )
    if seed is None:
        check_real(value._aval.dtype)
    seeds = None if seed is None else [seed]
    results = engine.gradients_of(
        [value], inputs, seeds, retain_graph=True, create_graph=True, level=level
    )
    return [zeros_of(x) if g is None else g for g, x in zip(results, inputs, strict=True)]


def grad(
    function: Callable | None = None, argnums: Any = 0, has_aux: bool = False, device: Any = None
) -> Callable:
    """The gradient of a function that returns one number.

    argnums  which positional arguments: a number, or several (then a tuple of gradients)
    has_aux  the function returns (value, extras); (gradient, extras) is returned
    device   where NumPy arrays are to be computed, as in `jit`
    Calls    take out=: an array, or a tuple of them, to write the answer's arrays into
    Errors   NotDifferentiable for integer arguments or a result that is no real scalar
    Like     jax.grad; where an argument is complex, torch.func.grad (the conjugate of JAX's), so
             that a step against the gradient goes downhill

    >>> import tapejit as tj
    >>> tj.grad(lambda x: x**3)(2.0)
    12.0
    """
    if function is None:
        return functools.partial(grad, argnums=argnums, has_aux=has_aux, device=device)

    def select(value, gradient):
        return (gradient, value[1]) if has_aux else gradient

    return _differentiated(function, argnums, has_aux, device, select)
