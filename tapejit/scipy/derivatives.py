"""What SciPy's solvers ask for: values and derivatives of a user's function at a flat vector.

`Objective` is a function that gives one number, `Residuals` one that gives any nesting of them.
Both take the user's nested parameters apart on the way in and hand out plain float64 arrays; every
derivative is one compiled program of the flat vector, made when it is first asked for.  They are
remembered on the user's function, so that a second fit compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from tapejit import autodiff
from tapejit.bounded import Bounded
from tapejit.scipy.lazy import sparse_linalg
from tapejit.scipy.parameters import Parameters, plain, settled
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.front import FUNCTIONS
from tapejit.transforms import running, trees
from tapejit.transforms.dispatch import Transform, scalar_output
from tapejit.transforms.gradients import jit, value_and_grad
from tapejit.transforms.jacobians import hessian, jacobian, sparsity
from tapejit.transforms.paths import Derived
from tapejit.transforms.trace import Trace

DENSE = 100
"""Parameters up to which a method that needs products with a Hessian only (trust-constr) is given
the matrix: one program, where conjugate gradients run one for each of up to that many products."""

MAX_KEPT = 32
"""Shapes of parameters for which a function's programs are kept."""

# ---------------------------------------------------------------- functions of a flat vector


class Flattened:
    """A user's function, as one of the flat vector of its parameters and of his other arguments."""

    __tapejit_cache__ = True

    def __init__(self, function: Callable, parameters: Parameters):
        self.function = function
        self.parameters = parameters
        form, nested, call = self.form, parameters.nested, self.call

        def flat(x, *args, **kwargs):
            return form(call(function, nested(x), args, kwargs))

        flat.__wrapped__ = function  # type: ignore[attr-defined]
        flat.__qualname__ = getattr(function, "__qualname__", repr(function))
        self.flat = flat

    @classmethod
    def of(cls, function: Callable, parameters: Parameters):
        """The one kept on the function, else a new one."""
        return kept_on(function, (cls, parameters.key), lambda: cls(function, parameters))

    @staticmethod
    def call(function, tree, args, kwargs):
        """The user's function at his parameters."""
        return function(tree, *args, **kwargs)

    def as_written(self, x, *args, **kwargs):
        """What the user's function gives, not recorded."""
        tree = self.parameters.nested(self.at(np.copy(x)))
        return self.call(self.function, tree, args, kwargs)

    def plain(self, x, *args, **kwargs):
        """The same as a number or vector."""
        return settled(self.form(self.as_written(x, *args, **kwargs)))

    @staticmethod
    def form(result) -> Any:
        """A result in the form that is differentiated."""
        return result

    def at(self, x: np.ndarray):
        """A flat vector in the language of the caller's parameters."""
        return wrap(x) if self.parameters.is_tensor else x


def kept_on(function: Callable, key: Any, make: Callable) -> Any:
    """What was made for a function before, by this key; else it is made, and kept on it."""
    kept = getattr(function, "__dict__", None)
    if kept is None:
        return make()
    known = kept.setdefault("__tapejit_scipy__", _Kept())
    owner, found = known.get(key) or (None, None)
    # functools.wraps copies this dictionary to wrappers, which are other functions
    if owner is not function:
        found = make()
        known.put(key, (function, found))
    return found


class _Kept(Bounded):
    """What is kept on a function; nothing that it reads."""

    __tapejit_cache__ = True

    def __init__(self):
        super().__init__(MAX_KEPT)


class Objective(Flattened):
    """A function that gives one number."""

    @staticmethod
    def form(result):
        """The number; of an array with one element, that element."""
        if isinstance(result, Tensor | np.ndarray) and result.ndim and np.size(plain(result)) == 1:
            return result.reshape(())
        return result

    def value_and_gradient(self, x, *args):
        """Both, from one evaluation."""
        value, gradient = self._value_and_gradient(self.at(x), *args)
        return settled(value), settled(gradient)

    def hessian(self, x, *args):
        """The matrix of second derivatives."""
        return settled(self._hessian(self.at(x), *args))

    def sparse_hessian(self, x, *args):
        """The same as SciPy's CSR array: the pattern is read from the operations, and coloured."""
        return self._sparse_hessian(self.at(x), *args)

    def product(self, x, v, *args):
        """The Hessian times v, without the Hessian."""
        called = self._product.call((self.at(x), *args), {}, lambda _: [np.asarray(v, np.float64)])
        (result,) = called.results
        return np.zeros_like(x) if result is None else result

    @cached_property
    def _value_and_gradient(self):
        return value_and_grad(self.flat)

    @cached_property
    def _hessian(self):
        return hessian(self.flat)

    @cached_property
    def _sparse_hessian(self):
        return hessian(self.flat, sparse=True)

    @cached_property
    def _product(self):
        return Transform(self.flat, _derive_product, n_levels=2)


def _derive_product(recorded: Trace) -> Derived:
    """Forward over reverse, in the first input alone (Pearlmutter 1994)."""
    root, x = scalar_output(recorded, False), recorded.inputs[0]
    if root is None:
        return Derived(recorded.recording, (), (-1,))
    if recorded.seeds is not None:
        return running.forward_over_reverse(recorded, root, [0])
    reverse = autodiff.reverse(recorded.recording, (root,), (x,), unit_seed=True)
    if reverse.results[0] < 0:
        return Derived(recorded.recording, (), (-1,))
    forward = autodiff.forward(reverse.tape, (x,), reverse.results)
    return Derived(forward.tape, forward.seeds, forward.results)


class Residuals(Flattened):
    """A function that gives any nesting of numbers; its values and rows are those of a vector."""

    @staticmethod
    def form(result):
        """All numbers of a result as one vector."""
        leaves: list = []
        structure = trees.flatten(result, leaves, static_ints=False)
        if structure == trees.LEAF and getattr(result, "ndim", 0) == 1:
            return result
        if not any(isinstance(leaf, Tensor) for leaf in leaves):
            return np.concatenate([np.ravel(x) for x in leaves] or [np.zeros(0)])
        tensors = [x if isinstance(x, Tensor) else wrap(np.asarray(x)[()]) for x in leaves]
        return FUNCTIONS["cat"]([x.reshape(-1) for x in tensors])

    def values(self, x, *args, **kwargs) -> np.ndarray:
        """The vector."""
        return settled(self._values(self.at(x), *args, **kwargs))

    def jacobian(self, x, *args, **kwargs) -> np.ndarray:
        """A row per value."""
        return settled(self._jacobian(self.at(x), *args, **kwargs))

    def sparse_jacobian(self, x, *args, **kwargs):
        """The same as SciPy's CSR array."""
        return self._sparse_jacobian(self.at(x), *args, **kwargs)

    def pattern(self, x, *args, **kwargs):
        """Where the Jacobian may be other than zero."""
        return sparsity(self.flat)(self.at(x), *args, **kwargs)

    def weighted_hessian(self, x, v, *args, is_sparse: bool = False):
        """The second derivatives of v . values: a matrix, or an operator if it is large."""
        if is_sparse:
            return self._weighted.sparse_hessian(x, v, *args)
        if x.size <= DENSE:
            return self._weighted.hessian(x, v, *args)
        return sparse_linalg().LinearOperator(
            (x.size, x.size), matvec=lambda p: self._weighted.product(x, p, v, *args), dtype=x.dtype
        )

    @cached_property
    def _weighted(self) -> Objective:
        flat = self.flat
        vector = Parameters(self.at(np.zeros(self.parameters.size)))
        return Objective(lambda x, v, *args: (flat(x, *args) * v).sum(), vector)

    @cached_property
    def _values(self):
        return jit(self.flat)

    @cached_property
    def _jacobian(self):
        return jacobian(self.flat)

    @cached_property
    def _sparse_jacobian(self):
        return jacobian(self.flat, sparse=True)


class Model(Residuals):
    """A function f(x, *parameters) of curve_fit; f(x, **parameters) where they are a dict."""

    @staticmethod
    def call(function, tree, args, kwargs):
        """The model at its parameters; args is x alone."""
        return function(*args, **tree) if isinstance(tree, dict) else function(*args, *tree)


# ---------------------------------------------------------------- one point


class Shared:
    """Value and derivative at the point asked for last, computed together, once."""

    def __init__(self, evaluate: Callable[[np.ndarray], tuple]):
        self.evaluate = evaluate
        self.point = None
        self.answer: tuple = ()

    def at(self, x) -> tuple:
        """(value, derivative)."""
        point = x.tobytes()
        if point != self.point:
            self.point = None
            self.answer = self.evaluate(x)
            self.point = point
        return self.answer

    def value(self, x):
        """The value."""
        return self.at(x)[0]

    def derivative(self, x):
        """The derivative."""
        return self.at(x)[1]
