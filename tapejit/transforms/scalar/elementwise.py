"""`elementwise`: a function of numbers as an operation on arrays and tensors.

Its value is that of the lowered steps, or of a row that Numba computes; its derivative is that of
the steps, or by the partials given, which are operations of the same kind under a rule for tangents
(`custom_jvp`).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.errors import DtypeError
from tapejit.registry import OPS
from tapejit.shapes import broadcast
from tapejit.tensor.core import Tensor, as_operand, common_dtype, lift, wrap
from tapejit.tensor.front import FUNCTIONS, unwrap
from tapejit.transforms.custom_rules import custom_jvp
from tapejit.transforms.scalar.linking import Linked
from tapejit.transforms.scalar.lowering import NotLowered, lower, python_function
from tapejit.transforms.scalar.steps import Lowered

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Elementwise:
    """A function of numbers, for arrays; made by `elementwise`."""

    def __init__(
        self,
        function: Callable,
        partials: Callable | Sequence[Callable] | None,
        is_number: bool = True,
    ):
        body = python_function(function)
        if body is None:
            raise TypeError(
                f"elementwise: {function!r} is neither a Python function nor one under @njit"
            )
        self.__name__, self.__doc__ = body.__name__, body.__doc__
        self.__qualname__, self.__module__ = body.__qualname__, body.__module__
        self.__signature__ = inspect.signature(body)
        kinds = {p.kind for p in self.__signature__.parameters.values()}
        if kinds & {inspect.Parameter.KEYWORD_ONLY, *_VARIADIC}:
            raise TypeError(f"elementwise: {self.__name__} must take its arguments by position")
        self.parameters = [p.name for p in self.__signature__.parameters.values()]
        self.code = _code_of(function, body, len(self.parameters))
        self.count = 1 if isinstance(self.code, Linked) else len(self.code.results)
        if is_number and isinstance(self.code, Lowered) and self.code.is_tuple:
            raise TypeError(
                f"elementwise: {self.__name__} returns a tuple\n  try  one function each"
            )
        self.compute: Callable = self.values
        if partials is not None:
            self.compute = _ruled(self, partials)
        self.__tapejit_functions__ = (self.compute,)

    def __repr__(self):
        return f"<elementwise {self.__name__}>"

    def __call__(self, *args, **kwargs):
        if kwargs or len(args) != len(self.parameters):
            bound = self.__signature__.bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        operands = [self.operand(x) for x in args]
        if any(x.__class__ is Tensor for x in args):
            return self.compute(*operands)
        are_numbers = all(isinstance(x, int | float) for x in args)
        with dtypes.numpy_rules():
            return unwrap(self.compute(*operands), are_numbers)

    def operand(self, x) -> Any:
        """An argument as a tensor or a Python number."""
        operand = as_operand(x)
        if operand is NotImplemented or isinstance(operand, complex):
            raise DtypeError(
                f"{self.__name__}(): a real tensor, array or number is needed, "
                f"got {type(x).__name__}"
            )
        return operand

    def values(self, *operands) -> Tensor:
        """The result by the function itself."""
        return self.all_values(operands)[0]

    def all_values(self, operands) -> list[Tensor]:
        """Every item of the function's tuple, each in the shape of all operands together."""
        if not any(isinstance(x, Tensor) for x in operands):
            operands = [wrap(np.float64(x)) for x in operands]
        dtype = common_dtype(OPS["div"], operands)
        operands = [lift(x, dtype) if isinstance(x, Tensor) else x for x in operands]
        shapes = [x._aval.shape for x in operands if isinstance(x, Tensor)]
        shape = broadcast(self.__name__, *shapes)
        return [self.whole(x, shape, dtype) for x in self.code.run(operands, dtype)]

    def whole(self, result, shape, dtype) -> Tensor:
        if not isinstance(result, Tensor):
            return wrap(np.full(shape, result, dtype.dtype)[()], dtype)
        return result if result._aval.shape == shape else FUNCTIONS["broadcast_to"](result, shape)


def _code_of(function, body, count) -> Lowered | Linked:
    """The function as steps, else compiled."""
    try:
        return lower(body, count)
    except NotLowered as error:
        return Linked(function, body.__name__, count, str(error))


def _ruled(owner: Elementwise, partials) -> custom_jvp:
    """The function under a rule for tangents made of the partial derivatives."""
    slopes = functools.cache(lambda: _slopes(owner, partials))  # they may call the function

    @functools.wraps(owner.values)
    def value(*operands):
        return owner.values(*operands)

    def rule(primals, tangents):
        parts = [s * t for s, t in zip(slopes()(primals), tangents, strict=True)]
        return ruled(*primals), functools.reduce(lambda a, b: a + b, parts)

    ruled = custom_jvp(value)
    ruled.defjvp(rule)
    return ruled


def _slopes(owner, partials) -> Callable[[Sequence], list]:
    """The partial derivatives as one function of the arguments."""
    if callable(partials):
        together = Elementwise(partials, None, is_number=False)
        _check(owner, together.count, [together])
        return together.all_values
    each = [Elementwise(partial, None) for partial in partials]
    _check(owner, len(each), each)
    return lambda primals: [partial.values(*primals) for partial in each]


def _check(owner, n_slopes, functions):
    wanted = len(owner.parameters)
    if n_slopes != wanted or any(len(f.parameters) != wanted for f in functions):
        raise TypeError(
            f"{owner!r}: partials take its {wanted} arguments, and give a slope for each\n"
            f"  got  {n_slopes} slopes, of {', '.join(str(f.__signature__) for f in functions)}"
        )


def elementwise(
    fn: Callable | None = None, partials: Callable | Sequence[Callable] | None = None
) -> Any:
    """A function of numbers as an operation on arrays, tensors and numbers, which broadcast.

    fn        a Python function, a lambda, or one under @njit, of numbers; returns a number
    partials  its derivative, where it is to be stated: a function of the same arguments that
              returns the slope by each of them (a number for one argument, else a tuple), or a
              sequence of such functions.  None: derived from the function, to any order
    Dtypes    floats as they are, integers as the default float; results are floats, or booleans for
              a comparison
    Lowered   from the source: arithmetic, comparisons, `if` and conditional expressions (both ways
              are computed, and chosen from for each element), functions of math and NumPy, calls of
              other such functions, loops over what is known.  It fuses with what is around it.
              Anything else, as a loop until convergence, needs `partials` to be differentiated
    Linked    such a function is compiled by Numba, and called in the fused loop, or in a native
              function, for each element.  One that may raise, makes arrays or calls what is outside
              stays a step of its own, which native functions refuse; `explain` says why
    Outside   numbers that the function reads are frozen when it is made an operation; those of
              partials when a derivative is first asked for
    Errors    TraceError names what can neither be lowered nor compiled, with its line;
              NotDifferentiable where a derivative is needed and not stated.  Arithmetic
              raises nothing: 1 / 0 is inf; but a linked function under @njit divides as it says
              there (`error_model`).  `check_grads` checks partials
    Like      numba.vectorize, with derivatives

    >>> import math, numpy as np, tapejit as tj
    >>> @tj.elementwise
    ... def huber(x, width=1.0):
    ...     if abs(x) <= width:
    ...         return 0.5 * x * x
    ...     return width * (abs(x) - 0.5 * width)
    >>> huber(np.array([0.5, -3.0])), huber(2.0)
    (array([0.125, 2.5  ]), 1.5)
    >>> tj.grad(lambda x: np.sum(huber(x)))(np.array([0.5, -3.0]))
    array([ 0.5, -1. ])
    >>> def lambert(x):
    ...     w, step = math.log1p(x), 1.0
    ...     while abs(step) > 1e-12:
    ...         step = (w - x * math.exp(-w)) / (1 + w)
    ...         w -= step
    ...     return w
    >>> w = tj.elementwise(lambert, partials=lambda x: w(x) / (x * (1 + w(x))))
    >>> round(w(1.0), 12), round(tj.grad(w)(1.0), 12)
    (0.56714329041, 0.361896256635)
    """
    if fn is None:
        return lambda function: Elementwise(function, partials)
    return Elementwise(fn, partials)
