"""custom_vjp and custom_jvp: functions with a derivative rule of their own, as JAX has them.

A call on plain arrays runs the function.  A call in a derivative runs the rule: `fwd` of a
custom_vjp in place of the function, `bwd` where the derivative is made; the tangent rule of a
custom_jvp, transposed for reverse mode.  All of it is recorded, so compiled programs hold what the
rules did, and an outer derivative is of that (`tensor.calls`, levels).

Tensors that require grad have no level: for them the rule holds in every derivative.  There, and
in traces whose derivative is not being taken, the function runs now and the rule where somebody
asks (`without_level`).

Zero cotangents and tangents are given to rules as zeros, never as symbols.

Start at `_Ruled.__call__`.  How arguments and answers are taken apart is rule_values.py.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence

from tapejit.errors import NotDifferentiable
from tapejit.tensor.calls import Call, level_of, record_call, zeros_like
from tapejit.tensor.core import Tensor
from tapejit.tensor.modes import enable_grad, no_grad
from tapejit.tensor.recording import state
from tapejit.tensor.transposing import Linear, transposed
from tapejit.transforms import trees
from tapejit.transforms.rule_values import (
    CallArguments,
    CallResults,
    Kept,
    check_alike,
    fitted_to,
    matched,
)

# ---------------------------------------------------------------- what both have in common


class _Ruled:
    """A function with a rule; called as the function is."""

    def __init__(self, fun: Callable, nondiff_argnums: Sequence[int] = ()):
        functools.update_wrapper(self, fun)
        numbers = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else nondiff_argnums
        self.fun = fun
        self.nondiff_argnums = tuple(numbers)
        self.__tapejit_functions__: tuple = (fun,)
        """All that a call may run: what that reads is guarded (`reading.calls`)."""

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"

    def __get__(self, instance, owner=None):
        return self if instance is None else types.MethodType(self, instance)

    @property
    def name(self) -> str:
        """The function's."""
        return getattr(self.fun, "__name__", repr(self.fun))

    def __call__(self, *args, **kwargs):
        if len(self.__tapejit_functions__) == 1:
            raise AttributeError(
                f"No {self.kind} defined for {self!r} using def{self.kind.lower()}."
            )
        args = self.positional(args, kwargs)
        arguments = CallArguments(self, args)
        if not arguments.tensors or not state.grad_enabled:
            return self.without_rule(args)
        level = level_of(arguments.tensors)
        if level is not None:
            return self.in_level(arguments, level)
        return self.without_level(arguments)

    def without_rule(self, args):
        """The function itself: no argument has a derivative."""
        value = self.fun(*args)
        if state.levels and state.grad_enabled:
            leaves: list = []
            trees.flatten(value, leaves)
            tensors = [x for x in leaves if isinstance(x, Tensor)]
            self.check_closed(level_of(tensors) is not None)
        return value

    def check_closed(self, is_read_elsewhere):
        """Raise if the result depends on what is differentiated, but by no argument."""
        if is_read_elsewhere:
            raise NotDifferentiable(
                f"{self!r}: a derivative is being taken by a value that the function reads, and "
                "that is no argument of it; its rule says nothing of that\n"
                "  try  passing the value as an argument, with a cotangent or tangent in the rule"
            )

    def positional(self, args, kwargs):
        """All arguments by position, defaults filled in."""
        try:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
        except ValueError:  # a builtin that tells no signature
            bound = None
        if bound is None and not kwargs:
            return args
        if bound is None or bound.kwargs:
            raise TypeError(
                f"{self!r}: arguments by keyword only have no place in a rule\n"
                "  try  a function whose arguments can be given by position"
            )
        bound.apply_defaults()
        return bound.args

    kind: str = ""
    in_level: Callable
    without_level: Callable


class _running_rule:
    """Inside a rule, calls that no level asks for run their function now and the rule when asked.

    Else a rule that calls its own function would call itself for ever.
    """

    def __enter__(self):
        self.before, state.in_rule = state.in_rule, True

    def __exit__(self, *exception):
        state.in_rule = self.before
        return False


def _recorded(owner, call, arguments, results):
    """The results of a call with their rows; `arguments` and `results` let their tensors go."""
    tensors: list = []
    if results.tensors:
        tensors = record_call(call, f"{owner.name}Backward", results.tensors, arguments.tensors)
    answer = results.nested(tensors)
    results.let_go()
    arguments.let_go()
    return answer


def _check_zeros(owner, symbolic_zeros):
    if symbolic_zeros:
        raise NotDifferentiable(
            f"{owner!r}: zero tangents and cotangents are given to rules as zeros\n"
            "  try  symbolic_zeros=False; what multiplies zeros costs little once compiled"
        )


# ---------------------------------------------------------------- custom_vjp


class custom_vjp(_Ruled):
    """A function with a rule for cotangents, given by `defvjp`.

    nondiff_argnums  positions of arguments that are no numbers (functions, options); `fwd` gets
                     them in place, `bwd` in front
    Derivatives      reverse mode goes by the rule; forward mode by its transpose, where the rule is
                     linear in the cotangent.  A derivative of a derivative is that of what `fwd`
                     and `bwd` did; tensors that require grad go by the rule at every order
    Errors           AttributeError before `defvjp`; TypeError, ShapeError for what rules return
    Like             jax.custom_vjp, whose zero cotangents are zeros too

    >>> import numpy as np, tapejit as tj
    >>> @tj.custom_vjp
    ... def clip_gradient(low, high, x):
    ...     return x
    >>> def forward(low, high, x):
    ...     return x, (low, high)
    >>> def backward(bounds, g):
    ...     return None, None, np.clip(g, *bounds)
    >>> clip_gradient.defvjp(forward, backward)
    >>> tj.grad(lambda x: 10 * np.sin(clip_gradient(-0.5, 0.5, x)))(0.0)
    0.5
    """

    kind = "VJP"

    def defvjp(
        self,
        fwd: Callable,
        bwd: Callable,
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """State the rule: fwd(*args) -> (result, residual), bwd(residual, cotangent) -> cotangents.

        bwd returns a tuple with a cotangent per argument, nested as that is; None stands for zeros.
        """
        _check_zeros(self, symbolic_zeros)
        self.__tapejit_functions__ = (self.fun, fwd, bwd)

    def in_level(self, arguments, level):
        """A call in a derivative that is being taken: `fwd` runs in place of the function."""
        primals = [level.primal_of(x) for x in arguments.tensors]
        return self.with_residual(arguments, primals, level)

    def without_level(self, arguments):
        """A call on tensors that require grad, or in a trace that takes no derivative now."""
        if not (state.in_rule or state.recording.is_trace):
            return self.with_residual(arguments, arguments.tensors, None)
        tape = state.recording
        with no_grad():
            results = CallResults(self.fun(*arguments.all(arguments.tensors)))
        primals = Kept(arguments.tensors, tape)

        def pull(recording, cotangents):
            again, residual = self.forward(arguments, primals.get(recording))
            check_alike(self, results, again)
            return self.backward(arguments, results, residual, cotangents)

        return _recorded(self, self.call(None, pull, results, primals), arguments, results)

    def with_residual(self, arguments, primals, level):
        """A call whose `fwd` runs now."""
        results, residual = self.forward(arguments, primals)
        if level is not None:
            self.check_closed(any(level.depends(x) for x in results.tensors))
        kept = Kept(residual, state.recording)

        def pull(recording, cotangents):
            return self.backward(arguments, results, kept.get(recording), cotangents)

        return _recorded(self, self.call(level, pull, results, kept), arguments, results)

    def call(self, level, pull, results, kept):
        """What is kept beside the tape."""

        def push(recording, tangents):
            return transposed(self.name, lambda ys: pull(recording, ys), tangents, results.avals)

        return Call(level, pull, push, kept.free, kept.rows)

    def forward(self, arguments, primals):
        """What `fwd` gives: the results taken apart, and the residual."""
        _, fwd, _ = self.__tapejit_functions__
        with _running_rule():
            pair = fwd(*arguments.all(primals))
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"{self!r}: fwd must return a pair (result, residual)\n  got  {pair!r}")
        return CallResults(pair[0]), pair[1]

    def backward(self, arguments, results, residual, cotangents):
        """What `bwd` gives: a cotangent or None per tensor."""
        _, _, bwd = self.__tapejit_functions__
        with _running_rule():
            answers = bwd(*arguments.static, residual, results.nested_cotangents(cotangents))
        n = len(arguments.structures)
        if not isinstance(answers, tuple | list) or len(answers) != n:
            raise TypeError(
                f"{self!r}: bwd must return a tuple with one cotangent per argument, {n} here; "
                f"None stands for zeros\n  got  {answers!r}"
            )
        return fitted_to(self, "bwd", arguments.of_tree(answers), arguments.avals)


# ---------------------------------------------------------------- custom_jvp


class custom_jvp(_Ruled):
    """A function with a rule for tangents, given by `defjvp` or `defjvps`.

    nondiff_argnums  positions of arguments that are no numbers; the rule gets them in front
    Derivatives      forward mode runs the rule, reverse mode its transpose: the rule must be linear
                     in the tangents, as derivatives are.  A derivative of a derivative is that of
                     what the rule did; tensors that require grad go by the rule at every order
    Errors           AttributeError before `defjvp`; NotDifferentiable for a rule that is not linear
    Like             jax.custom_jvp, whose zero tangents are zeros too

    >>> import numpy as np, tapejit as tj
    >>> @tj.custom_jvp
    ... def log1pexp(x):
    ...     return np.log(1.0 + np.exp(x))
    >>> @log1pexp.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * t
    >>> tj.grad(log1pexp)(100.0)
    1.0
    """

    kind = "JVP"

    def defjvp(self, jvp: Callable, symbolic_zeros: bool = False) -> Callable:
        """State the rule: jvp(primals, tangents) -> (result, tangent of it); a decorator."""
        _check_zeros(self, symbolic_zeros)
        self.__tapejit_functions__ = (self.fun, jvp)
        return jvp

    def defjvps(self, *jvps: Callable | None) -> None:
        """State a rule per argument: jvp(tangent, result, *args) -> its share; None for none.

        >>> import numpy as np, tapejit as tj
        >>> @tj.custom_jvp
        ... def product(x, y):
        ...     return x * y
        >>> product.defjvps(lambda t, z, x, y: t * y, lambda t, z, x, y: t * x)
        >>> tj.grad(product, (0, 1))(2.0, 3.0)
        (3.0, 2.0)
        """
        if self.nondiff_argnums:
            raise TypeError(f"{self!r}: defjvps knows no nondiff_argnums\n  try  defjvp")

        def rule(primals, tangents):
            result = self(*primals)
            parts = [
                jvp(t, result, *primals)
                for jvp, t in zip(jvps, tangents, strict=True)
                if jvp is not None
            ]
            return result, functools.reduce(_sum_of, parts) if parts else None

        stated = [jvp for jvp in jvps if jvp is not None]
        self.__tapejit_functions__ = (self.fun, rule, *stated)

    def in_level(self, arguments, level):
        """A call in a derivative that is being taken: the rule runs now, on unknown tangents."""
        primals = [level.primal_of(x) for x in arguments.tensors]
        kept = Kept(primals, state.recording)
        found: list = []

        def tangents(directions):
            results, answers = self.along(arguments, primals, directions)
            found.append(results)
            return answers

        linear = Linear(self.name, tangents, arguments.avals)
        (results,) = found
        self.check_closed(any(level.depends(x) for x in results.tensors))
        reads = (*kept.rows, *linear.keep(state.recording))

        def pull(recording, cotangents):
            with enable_grad():
                return linear.transpose(cotangents, recording)

        def push(recording, directions):
            return self.along(arguments, kept.get(recording), directions)[1]

        return _recorded(self, Call(level, pull, push, kept.free, reads), arguments, results)

    def without_level(self, arguments):
        """A call on tensors that require grad, or in a trace that takes no derivative now."""
        kept = Kept(arguments.tensors, state.recording)
        with no_grad():
            results = CallResults(self.fun(*arguments.all(arguments.tensors)))

        def push(recording, directions):
            again, answers = self.along(arguments, kept.get(recording), directions)
            check_alike(self, results, again)
            return answers

        def pull(recording, cotangents):
            avals = arguments.avals
            return transposed(self.name, lambda ts: push(recording, ts), cotangents, avals)

        return _recorded(self, Call(None, pull, push, kept.free, kept.rows), arguments, results)

    def along(self, arguments, primals, tangents):
        """What the rule gives: the results taken apart, and a tangent or None for each."""
        given = [
            zeros_like(a) if t is None else t
            for a, t in zip(arguments.avals, tangents, strict=True)
        ]
        rule = self.__tapejit_functions__[1]
        with _running_rule():
            pair = rule(
                *arguments.static,
                tuple(arguments.nested(primals)),
                tuple(arguments.nested_tangents(given)),
            )
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"{self!r}: the rule must return a pair (result, tangent)\n  got  {pair!r}"
            )
        results = CallResults(pair[0])
        leaves = matched(self, results.structure, pair[1], "the result")
        answers = [leaves[i] for i in results.places]
        return results, fitted_to(self, "the rule", answers, results.avals)


def _sum_of(x, y):
    """Two tangents, nested alike, added up."""
    left: list = []
    right: list = []
    structure = trees.flatten(x, left)
    trees.flatten(y, right)
    return trees.unflatten(structure, [a + b for a, b in zip(left, right, strict=True)])
