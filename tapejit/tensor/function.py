"""`autograd.Function`: an operation with a forward and a backward of the user's own.

PyTorch's class: subclasses state `forward` and `backward` (and `setup_context`, `jvp`) as static
methods, and are called by `apply`.  Eager tensors run `backward` when the engine comes to it.  In
traced functions both are recorded, `backward` where the derivative is made, so a compiled program
holds what they did and calls no Python.

What a call keeps beside the tape is in `calls`.  Words of errors are PyTorch's.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

from tapejit.errors import AutogradError, NotDifferentiable
from tapejit.tensor.calls import FREED, Call, Saved, fitted, record_call, rows_of, zeros_like
from tapejit.tensor.core import Tensor, storage, wrap
from tapejit.tensor.history import tracks
from tapejit.tensor.inplace import adopt_row
from tapejit.tensor.modes import no_grad
from tapejit.tensor.recording import state
from tapejit.tensor.transposing import transposed

# ---------------------------------------------------------------- the context


class FunctionCtx:
    """What forward leaves for backward: `save_for_backward`, marks, and attributes of your own."""

    needs_input_grad: tuple[bool, ...] = ()
    """Per argument of forward: whether it is a tensor that requires grad."""

    def __init__(self):
        self._saved: Any = ()
        self._saved_forward: tuple = ()
        self._dirty: tuple = ()
        self._constant: tuple = ()
        self._materialize = True
        self._recording: Any = None

    def save_for_backward(self, *tensors) -> None:
        """Keep tensors (or None) for backward, which finds them in `saved_tensors`.

        Inputs and outputs keep their history, so that backward can be differentiated; others are
        constants to it.
        """
        for i, x in enumerate(tensors):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {i} is of type "
                    f"{type(x).__name__}"
                )
        self._saved = tensors

    def save_for_forward(self, *tensors) -> None:
        """Keep tensors for `jvp`."""
        self._saved_forward = tensors

    @property
    def saved_tensors(self) -> tuple:
        """The tensors given to `save_for_backward`, or in jvp those given to `save_for_forward`."""
        if self._saved is None:
            raise AutogradError(FREED)
        saved = self._saved or self._saved_forward
        return tuple(x.get(self._recording) if isinstance(x, Saved) else x for x in saved)

    def mark_dirty(self, *tensors) -> None:
        """Say which arguments forward changed in place; it must return them."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors) -> None:
        """Say which results have no gradient; backward gets zeros for them."""
        self._constant = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for results that nothing depends on."""
        self._materialize = bool(value)


# ---------------------------------------------------------------- the class

_LEGACY = (
    "Legacy autograd function with non-static forward method is deprecated. Please use new-style "
    "autograd function with static forward method. (Example: "
    "https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)"
)


class Function:
    """Base class of operations with a backward of your own; call them by `apply`.

    forward(ctx, *args)      the value: a tensor, or a tuple of tensors and other things; or
                             forward(*args) with setup_context(ctx, inputs, output)
    backward(ctx, *grads)    a gradient per argument; None where there is none
    jvp(ctx, *tangents)      the tangents of the results, for forward mode; without it the tangent
                             is the transpose of backward, which must then be linear
    Derivatives of any order are those of what backward does with its gradients and saved tensors.
    Errors  AutogradError for a wrong number or shape of gradients, in PyTorch's words
    Like    torch.autograd.Function

    >>> import tapejit as tj
    >>> class Cube(tj.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 3 * x**2 * grad
    >>> x = tj.tensor(2.0, requires_grad=True)
    >>> y = Cube.apply(x)
    >>> y
    tensor(8., grad_fn=<CubeBackward>)
    >>> tj.autograd.grad(y, x)
    (tensor(12.),)
    >>> tj.hessian(Cube.apply)(2.0)
    12.0
    """

    def __init__(self, *args, **kwargs):
        warnings.warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all "
            "static, so you should invoke them on the class itself. Instantiating an autograd "
            "function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args, **kwargs):
        raise AutogradError(_LEGACY)

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The value; state it in your class."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """What to keep of a call, where forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """A gradient per argument of forward, from one per result; state it in your class."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangents of the results, from one tangent (or None) per argument."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @classmethod
    def apply(cls, *args, **kwargs):
        """Run forward on the arguments, and record the call where one requires grad."""
        if kwargs:
            args = _positional(cls, args, kwargs)
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and tracks(x) for x in args)
        is_recorded = state.grad_enabled and True in ctx.needs_input_grad
        if not is_recorded:
            return _run_forward(cls, ctx, args)
        return _Applied(cls, ctx, args).outputs()


class LinearFunction(Function):
    """One whose derivatives are known to be linear, as rules of this library are."""


def _positional(cls, args, kwargs):
    has_context = cls.setup_context is not Function.setup_context
    given = args if has_context else (None, *args)
    bound = inspect.signature(cls.forward).bind(*given, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(f"{cls.__name__}.apply(): forward takes arguments by keyword only")
    return bound.args if has_context else bound.args[1:]


def _run_forward(cls, ctx, args):
    with no_grad():
        if cls.setup_context is Function.setup_context:
            return cls.forward(ctx, *args)
        output = cls.forward(*args)
        cls.setup_context(ctx, args, output)
        return output


# ---------------------------------------------------------------- one recorded call


class _Applied:
    """A call of `apply` that is recorded."""

    def __init__(self, cls, ctx, args):
        self.cls = cls
        self.ctx = ctx
        self.n_args = len(args)
        self.places = [i for i, x in enumerate(args) if isinstance(x, Tensor)]
        self.args = [args[i] for i in self.places]
        # as they are now: forward may change them in place
        self.arguments = [_standing(x) for x in self.args]
        self.avals = [x._aval for x in self.args]
        self.output = _run_forward(cls, ctx, args)

    def outputs(self):
        """What the user gets: the results with their history."""
        output = self.output
        several = isinstance(output, tuple)
        self.raw = list(output) if several else [output]
        _check_dirty(self.ctx, self.raw)
        self.differentiable = [i for i, y in enumerate(self.raw) if self.is_differentiable(y)]
        answers = list(self.raw)
        self.first = -1
        if self.differentiable:
            made = self.record([self.raw[i] for i in self.differentiable])
            self.first = made[0]._row
            for i, result in zip(self.differentiable, made, strict=True):
                answers[i] = self.adopted(self.raw[i], result)
        self.save(answers)
        self.like: list[Any] = [_shape_of(y) for y in self.raw]
        self.raw = []
        self.args, self.arguments, self.output = [], [], None
        return tuple(answers) if several else answers[0]

    def is_differentiable(self, y):
        if not isinstance(y, Tensor) or not y._aval.dtype.is_inexact:
            return False
        return not _is_in(y, self.ctx._constant)

    def record(self, results):
        bodies = [
            wrap(storage(y), y._aval.dtype) if _is_in(y, self.args) and y._tape is None else y
            for y in results
        ]
        is_linear = issubclass(self.cls, LinearFunction)
        call = Call(None, self.pull, self.push, self.free, is_linear=is_linear)
        return record_call(call, f"{self.cls.__name__}Backward", bodies, self.arguments)

    def adopted(self, raw, result):
        """The result; an argument that was changed in place stands where it was recorded."""
        if not _is_in(raw, self.ctx._dirty):
            return result
        if raw._tape is None and raw._tracked:
            raise AutogradError(
                "a leaf Variable that requires grad has been used in an in-place operation."
            )
        adopt_row(raw, result)
        return raw

    def save(self, answers):
        """Saved inputs and outputs get their history."""
        tape = self.ctx._recording = state.recording
        origins = [*zip(self.args, self.arguments, strict=True)]
        origins = [*zip(self.raw, answers, strict=True), *origins]

        def kept(x):
            origin = next((there for raw, there in origins if raw is x), x)
            return Saved(origin, tape) if isinstance(x, Tensor) else x

        self.ctx._saved = tuple(map(kept, self.ctx._saved))
        self.ctx._saved_forward = tuple(map(kept, self.ctx._saved_forward))
        self.ctx._recording = None
        if self.first >= 0:
            reads = rows_of((*self.ctx._saved, *self.ctx._saved_forward))
            tape.calls[self.first] = tape.calls[self.first]._replace(reads=reads)

    # ------------------------------------------------------------ derivatives

    def free(self):
        self.ctx._saved = None

    def pull(self, recording, cotangents):
        """Run backward."""
        arrived = dict(zip(self.differentiable, cotangents, strict=True))
        given = [
            _zeros(like) if arrived.get(i) is None and self.ctx._materialize else arrived.get(i)
            for i, like in enumerate(self.like)
        ]
        cls = self.cls
        backward = cls.backward if cls.backward is not Function.backward else cls.vjp
        self.ctx._recording = recording
        try:
            answers = backward(self.ctx, *given)
        finally:
            self.ctx._recording = None
        return self.checked(answers if isinstance(answers, tuple | list) else (answers,))

    def checked(self, answers):
        """One gradient per tensor among the arguments."""
        name, n = f"{self.cls.__name__}Backward", self.n_args
        while len(answers) > n and answers[-1] is None:
            answers = answers[:-1]
        if len(answers) != n:
            raise AutogradError(
                f"function {name} returned an incorrect number of gradients (expected {n}, got "
                f"{len(answers)})"
            )
        for i, answer in enumerate(answers):
            if answer is not None and i not in self.places:
                raise AutogradError(
                    f"function {name} returned a gradient different than None at position "
                    f"{i + 1}, but the corresponding forward input was not a Variable"
                )
        return [
            fitted(answers[i], aval, lambda words, i=i: _invalid(name, i, words))
            for i, aval in zip(self.places, self.avals, strict=True)
        ]

    def push(self, recording, tangents):
        """Run jvp, or the transpose of backward."""
        cls = self.cls
        if cls.jvp is Function.jvp:
            avals = [self.like[i] for i in self.differentiable]
            return transposed(cls.__name__, lambda ys: self.pull(recording, ys), tangents, avals)
        given: list = [None] * self.n_args
        for i, tangent in zip(self.places, tangents, strict=True):
            given[i] = tangent
        self.ctx._recording = recording
        try:
            answers = cls.jvp(self.ctx, *given)
        finally:
            self.ctx._recording = None
        answers = answers if isinstance(answers, tuple | list) else (answers,)
        name, n = f"{cls.__name__}.jvp", len(self.like)
        if len(answers) != n:
            raise AutogradError(
                f"function {name} returned an incorrect number of tangents (expected {n}, got "
                f"{len(answers)})"
            )
        return [
            fitted(answers[i], self.like[i], lambda words, i=i: _invalid(name, i, words))
            for i in self.differentiable
        ]


def _standing(x):
    """A tensor that stays where x stands now."""
    if x._tape is None or not x._tracked:
        return x
    result = wrap(x._value, x._aval.dtype, tracked=True)
    result._tape, result._row, result._stamp = x._tape, x._row, x._stamp
    return result


def _is_in(x, tensors):
    return any(x is y for y in tensors)


def _shape_of(y):
    return y._aval if isinstance(y, Tensor) else None


def _zeros(like):
    return None if like is None else zeros_like(like)


def _invalid(name, i, words):
    return f"Function {name} returned an invalid gradient at index {i} - {words}"


def _check_dirty(ctx, outputs):
    if not all(_is_in(x, outputs) for x in ctx._dirty):
        raise AutogradError(
            "Some elements marked as dirty during the forward method were not returned as output. "
            "The inputs that are modified inplace must all be outputs of the Function."
        )


# ---------------------------------------------------------------- once_differentiable


def once_differentiable(function):
    """Let a backward run without recording; differentiating its results raises.

    >>> import tapejit as tj
    >>> class Square(tj.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     @tj.autograd.function.once_differentiable
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> x = tj.tensor(3.0, requires_grad=True)
    >>> tj.autograd.grad(Square.apply(x), x)
    (tensor(6.),)
    """

    @functools.wraps(function)
    def backward(ctx, *args):
        with no_grad():
            answers = function(ctx, *args)
        saved = () if ctx._saved is None else ctx.saved_tensors
        tensors = [x for x in (*args, *saved) if isinstance(x, Tensor) and tracks(x)]
        if not state.grad_enabled or not tensors:
            return answers
        several = isinstance(answers, tuple)
        parts = list(answers) if several else [answers]
        places = [i for i, x in enumerate(parts) if isinstance(x, Tensor)]
        if places:
            call = Call(None, _refuse, _refuse, _nothing)
            made = record_call(call, "ErrorBackward", [parts[i] for i in places], tensors)
            for i, result in zip(places, made, strict=True):
                parts[i] = result
        return tuple(parts) if several else parts[0]

    return backward


def _refuse(recording, given):
    raise NotDifferentiable(
        "trying to differentiate twice a function that was marked with @once_differentiable"
    )


def _nothing():
    pass
