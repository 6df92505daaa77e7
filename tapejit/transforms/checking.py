"""check_grads: derivatives against finite differences, both modes, any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit.errors import NotDifferentiable
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import unwrap
from tapejit.transforms import trees
from tapejit.transforms.gradients import grad
from tapejit.transforms.products import jvp
from tapejit.transforms.pullbacks import vjp


def check_grads(
    function: Callable,
    args: Sequence,
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    eps: float = 1e-5,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> None:
    """Compare the derivatives of `function` at `args` with central differences.

    order      derivatives up to this order are checked (2: the gradient's derivative too)
    modes      "fwd" (jvp) and "rev" (vjp), each along one random direction
    eps        step of the differences; error of second order, so 1e-5 leaves 1e-10
    tolerance  relative to 1 + the size of the derivative
    Errors     AssertionError naming mode, order and both numbers; NotDifferentiable for
               arguments that are no float64 or complex128
    Like       jax.test_util.check_grads

    >>> import numpy as np, tapejit as tj
    >>> tj.check_grads(lambda x: np.sin(x) * x, (0.5,))
    """
    args = tuple(args)
    leaves: list = []
    structure = trees.flatten(args, leaves)
    for leaf in leaves:
        if np.asarray(unwrap(leaf)).dtype not in (np.float64, np.complex128):
            raise NotDifferentiable(
                "check_grads: float64 is needed for differences to be sharp\n"
                f"  got  {np.asarray(unwrap(leaf)).dtype}\n  try  .astype(np.float64)"
            )
    generator = np.random.default_rng(seed)
    _check(function, args, structure, leaves, order, modes, eps, tolerance, generator, 1)


def _check(function, args, structure, leaves, order, modes, eps, tolerance, generator, depth):
    direction = [_random_like(unwrap(leaf), generator) for leaf in leaves]
    moved = [
        trees.unflatten(
            structure, [unwrap(x) + s * eps * d for x, d in zip(leaves, direction, strict=True)]
        )
        for s in (1, -1)
    ]
    plus, minus = (_numbers(function(*point)) for point in moved)
    expected = [(p - m) / (2 * eps) for p, m in zip(plus, minus, strict=True)]
    tangents: Any = trees.unflatten(structure, direction)
    if "fwd" in modes:
        _, along = jvp(function, args, tangents)
        _compare("jvp", depth, _numbers(along), expected, tolerance)
    weights = [_random_like(e, generator) for e in expected]
    if "rev" in modes:
        _check_reverse(function, args, direction, weights, expected, tolerance, depth)
    if order > 1:

        def weighted(*xs):
            outputs: list = []
            trees.flatten(function(*xs), outputs)
            total = 0.0
            for output, weight in zip(outputs, weights, strict=True):
                part = (output * np.conj(weight)).real  # the real inner product, as in `vjp`
                total = total + (part.sum() if isinstance(part, Tensor) else np.sum(part))
            return total

        derivative = grad(weighted, tuple(range(len(args))))
        _check(
            derivative,
            args,
            structure,
            leaves,
            order - 1,
            modes,
            eps,
            tolerance,
            generator,
            depth + 1,
        )


def _check_reverse(function, args, direction, weights, expected, tolerance, depth):
    result, pullback = vjp(function, *args)
    outputs: list = []
    nested = trees.flatten(result, outputs)
    cotangents = _numbers(pullback(trees.unflatten(nested, weights)))
    got, want = _inner(cotangents, direction), _inner(weights, expected)
    _compare("vjp", depth, [np.asarray(got)], [np.asarray(want)], tolerance)


def _random_like(x, generator):
    """Random numbers in the shape of x, complex if it is."""
    numbers = generator.standard_normal(np.shape(x))[()]
    if np.iscomplexobj(x):
        numbers = numbers + 1j * generator.standard_normal(np.shape(x))[()]
    return numbers


def _inner(xs, ys) -> float:
    """The real inner product, for which cotangents of complex numbers are the adjoint."""
    return sum(float(np.sum(np.real(np.conj(x) * y))) for x, y in zip(xs, ys, strict=True))


def _numbers(tree) -> list:
    leaves: list = []
    trees.flatten(tree, leaves)
    return [np.asarray(unwrap(leaf)) for leaf in leaves]


def _compare(mode, depth, got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        if np.shape(a) != np.shape(b):
            raise AssertionError(f"{mode}, order {depth}: shape {np.shape(a)} for {np.shape(b)}")
        if not np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True):
            raise AssertionError(
                f"{mode}, order {depth}: the derivative differs from central differences\n"
                f"  got       {a}\n  expected  {b}"
            )
