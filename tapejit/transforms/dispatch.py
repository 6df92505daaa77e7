"""What every transform shares: signatures, the call itself, results in the caller's language.

A call with NumPy arrays, numbers or plain tensors is *outermost*: the function is recorded once,
differentiated tape → tape, compiled, and later calls run the program.  A call with tensors that are
being recorded, or of a function that reads such tensors, is *inner*: it runs as recorded
operations, so any nesting is compiled as one by the transform outside.  NumPy in, NumPy out;
tensors in, tensors out; Python floats count as float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit import dtypes
from tapejit.errors import ArgumentError, NotDifferentiable, ShapeError
from tapejit.registry import OPS
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.devices import as_value, moved, on_host, zeros_like
from tapejit.runtime.entry import Entries
from tapejit.shapes import Aval
from tapejit.tensor.core import Tensor, apply, from_array, new_leaf, wrap
from tapejit.tensor.recording import state
from tapejit.transforms import trees
from tapejit.transforms.destinations import Out
from tapejit.transforms.entering import Slot, enter_path
from tapejit.transforms.paths import HEAVY, Path, Paths
from tapejit.transforms.trace import OutputRow, Trace, uses_numpy

# ---------------------------------------------------------------- calls


def signature_of(leaves: Sequence) -> tuple:
    """What of the leaves belongs to a program: shapes and dtypes, and who speaks."""
    return tuple(
        [
            (x.shape, x.dtype)
            if x.__class__ is np.ndarray
            else (float if type(x) is float else _signature_of_other(x))
            for x in leaves
        ]
    )


def _signature_of_other(x):
    if isinstance(x, Tensor):
        return x._aval
    if isinstance(x, DeviceArray):
        return x.device, x.shape, x.dtype
    if dtypes.is_masked(x) or isinstance(x, np.matrix):
        from_array(x)  # raises
    return type(x), np.shape(x), getattr(x, "dtype", None)


def array_of(leaf):
    """The native array of an argument leaf."""
    if (leaf.__class__ is np.ndarray and leaf.dtype.isnative) or isinstance(leaf, DeviceArray):
        return leaf
    if isinstance(leaf, Tensor):
        return leaf._value
    if isinstance(leaf, float | int):
        return np.float64(leaf)
    return from_array(leaf)._value


def as_seed(value, like: Aval):
    """A cotangent or tangent as a program takes it: in the dtype and on the device of `like`."""
    if isinstance(value, DeviceArray):
        return wrap(value).to(like.dtype, device=like.device)._value
    return moved(np.asarray(value, like.dtype.dtype)[()], like.device)


def is_recorded(leaves: Sequence) -> bool:
    """Whether a call is an inner one: a leaf has, or asks for, a history."""
    return any(x.__class__ is Tensor and x._tracked for x in leaves)


def is_inner(leaves: Sequence, out: Out | None) -> bool:
    """`is_recorded`, and then nothing is to be written anywhere."""
    inner = is_recorded(leaves)
    if inner:
        _check_no_out(out)
    return inner


def _check_no_out(out: Out | None) -> None:
    if out is not None:
        raise ArgumentError(
            "out: this call is being recorded, its answer is no memory yet\n"
            "  try  out= in the outermost call"
        )


def leave(value, example, is_numpy):
    """A result in the caller's language: float for floats, arrays for arrays, tensors else."""
    if not is_numpy:
        if isinstance(value, Slot):
            return value.tensor()
        return value if isinstance(value, Tensor) else wrap(as_value(value))
    if type(example) is float:
        return on_host(value).item()
    return value


class Transforms(dict):
    """The transforms of one wrapper, by which leaves the derivative is taken of."""

    __tapejit_cache__ = True  # what a function reads is found by looking at it; not at this


class Called(NamedTuple):
    """An outermost call, done."""

    structure: object
    leaves: list
    path: Path
    results: list
    is_known: bool
    """Whether the path was there before."""

    @property
    def is_inner(self) -> bool:
        """Whether the function read a tensor with a history, to which the answer belongs."""
        is_recording = state.grad_enabled or state.parked.is_trace
        return is_recording and self.path.reads_history


class Transform:
    """A function under one derivation; the callable that users get.

    n_levels  how many derivatives by the arguments, one of the other, the derivation takes, with
              calls that go by a rule of their own (`running`); None: it knows none, and refuses
    """

    __tapejit_cache__ = True

    def __init__(
        self,
        function: Callable,
        derive: Callable,
        entries: Entries | None = None,
        n_levels: int | None = None,
    ):
        self.function = function
        self.paths = Paths(function, derive, n_levels)
        self.entries = Entries() if entries is None else entries

    def answer(
        self,
        args,
        kwargs,
        answer: Callable[[Trace, list, list], Any],
        inner: Callable,
        out: Out | None = None,
    ):
        """What an outermost call gives: `answer(trace, results, leaves)`, written into `out`.

        Where a known path was taken, the next call like this one will be a native one.

        inner  what gives the answer as recorded operations, with the history of what is captured
        """
        called = self.call(args, kwargs, no_seeds)
        if called.is_inner:
            _check_no_out(out)
            return inner()
        value = answer(called.path.trace, called.results, called.leaves)
        if out is not None:
            value = out.fill(value)
        if called.is_known:
            self.enter(called, answer, out)
        return value

    def signature(self, args, kwargs) -> tuple[tuple, Any, list]:
        """What selects a call's paths, and how its arguments are nested, and their leaves."""
        leaves: list = []
        structure = trees.flatten((args, kwargs), leaves)
        signature = (structure, signature_of(leaves))
        if not uses_numpy(leaves):  # there Python floats take the default dtype
            signature = (*signature, dtypes.get_default_dtype())
        return signature, structure, leaves

    def call(self, args, kwargs, seeds: Callable) -> Called:
        """Run an outermost call."""
        signature, structure, leaves = self.signature(args, kwargs)
        arrays = [array_of(x) for x in leaves]
        path, results, is_known = self.paths.run(signature, structure, leaves, arrays, seeds)
        return Called(structure, leaves, path, results, is_known)

    def enter(self, called: Called, answer: Callable, out: Out | None = None) -> None:
        """Let calls like this one be native ones."""
        if called.path.weight >= HEAVY:
            return
        trace, leaves = called.path.trace, called.leaves
        enter_path(
            self.entries, called.path, called.structure, leaves, called.results,
            lambda results: answer(trace, results, leaves), out,
        )  # fmt: skip


def remembered(function: Callable, name: str, make: Callable[[Callable], Transform]) -> Any:
    """What `make` made of the function, kept on it, so that it lives as long as the function."""
    kept = getattr(function, "__dict__", None)
    if kept is None:
        return make(function)
    key = f"__tapejit_{name}__"
    known = kept.get(key)
    # functools.wraps copies this dictionary to wrappers, which are other functions
    if known is None or known.function is not function:
        known = kept[key] = make(function)
    return known


def no_seeds(trace: Trace) -> tuple:
    return ()


def rebuild(recorded: Trace, results, leaves):
    """The nested result of a traced function from its computed rows."""
    is_numpy = uses_numpy(leaves)
    plain = all(type(x) is float for x in leaves)
    values, rows = [], iter(results)
    for output in recorded.outputs:
        if isinstance(output, OutputRow):
            value = next(rows)
            if is_numpy and plain and np.ndim(value) == 0:
                value = on_host(value).item()
            values.append(leave(value, None, is_numpy))
        else:
            values.append(np.array(output) if isinstance(output, np.ndarray) else output)
    return trees.unflatten(recorded.structure, values)


# ---------------------------------------------------------------- which arguments


class Arguments:
    """Which leaves of a call the derivative is taken of."""

    def __init__(self, argnums):
        self.is_single = isinstance(argnums, int)
        self.argnums = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    def positions(self, args) -> list[tuple[int, int]]:
        """Per argument the range of its leaves among those of the call."""
        spans, start, ends = [], 0, []
        for arg in args:
            leaves: list = []
            trees.flatten(arg, leaves)
            ends.append((start, start + len(leaves)))
            start += len(leaves)
        for argnum in self.argnums:
            if not -len(args) <= argnum < len(args):
                raise ShapeError(
                    f"grad: argnums {argnum} asks for an argument that was not passed by position "
                    f"({len(args)} were)\n  try  pass it by position"
                )
            self.check(args[argnum], argnum)
            spans.append(ends[argnum])
        return spans

    def wanted(self, args) -> tuple[int, ...]:
        """Which leaves of a call the derivative is taken of."""
        return tuple([i for first, last in self.positions(args) for i in range(first, last)])

    def check(self, arg, argnum):
        """Raise unless every number in the argument is a float."""
        leaves: list = []
        trees.flatten(arg, leaves, static_ints=False)
        if not leaves:
            raise NotDifferentiable(
                f"grad: argument {argnum} holds no array or float\n"
                "  try  np.array(z) if it is a complex number"
            )
        for leaf in leaves:
            dtype = leaf.dtype if hasattr(leaf, "dtype") else type(leaf)
            kind = getattr(getattr(dtype, "dtype", dtype), "kind", "")
            if dtype is not float and kind not in ("f", "c"):
                raise NotDifferentiable(
                    f"grad: only floating point arguments can be differentiated; argument {argnum} "
                    f"holds {getattr(dtype, '__name__', dtype)}\n"
                    "  try  3.0 instead of 3, or .astype(float)"
                )

    def gather(self, args, per_leaf: Sequence):
        """Results per differentiated leaf, nested as the arguments are."""
        answers, values = [], iter(per_leaf)
        for argnum in self.argnums:
            leaves: list = []
            structure = trees.flatten(args[argnum], leaves)
            answers.append(trees.unflatten(structure, [next(values) for _ in leaves]))
        return answers[0] if self.is_single else tuple(answers)


def scalar_output(recorded: Trace, has_aux):
    """The row of the value that is differentiated."""
    if recorded.structure == trees.LEAF or has_aux:
        output = recorded.outputs[0] if recorded.outputs else None
    else:
        raise NotDifferentiable(
            "grad: the function must return one number\n  try  has_aux=True for (value, extras)"
        )
    value: Any = recorded.values[0] if recorded.values else None
    if np.size(value) != 1 or np.ndim(value) != 0:
        raise NotDifferentiable(
            f"grad: requires a scalar output, the function returned shape {np.shape(value)}\n"
            "  try  .sum(), or jacobian for several outputs"
        )
    if isinstance(output, OutputRow):
        check_real(recorded.recording.kind(output).aval.dtype)
        return int(output)
    return None


def check_real(dtype) -> None:
    """Raise unless a result of this dtype has one gradient: it is a float."""
    if not dtype.is_floating_point:
        raise NotDifferentiable(
            f"grad: the function's output is no float\n  got  {dtype}\n"
            "  try  .real, np.abs(...), or vjp with a cotangent of your own if it is complex"
        )


# ---------------------------------------------------------------- inner calls


def _alias(x) -> Tensor:
    """A tensor equal to x with a row of its own, to differentiate with respect to."""
    if not isinstance(x, Tensor):
        x = from_array(x if hasattr(x, "dtype") else np.float64(x))
    if not x._tracked:
        return new_leaf(x._value, x._aval.dtype)
    return apply(OPS["reshape"], (x,), (x._aval.shape,), value=x._value)


def with_aliases(arguments, args):
    """The arguments with aliases in place of the differentiated leaves, and these."""
    args, aliases = list(args), []
    for argnum in arguments.argnums:
        leaves: list = []
        structure = trees.flatten(args[argnum], leaves)
        fresh = [_alias(leaf) for leaf in leaves]
        aliases += fresh
        args[argnum] = trees.unflatten(structure, fresh)
    return args, aliases


def zeros_of(x):
    return wrap(zeros_like(x._value), x._aval.dtype)
