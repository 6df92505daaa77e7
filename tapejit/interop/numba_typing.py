"""What a native function takes and gives, in the eyes of Numba's type inference.

`NativeType` is the type of one native function, and its name holds a hash of the code and of how
arguments and answers are nested: two types are equal if and only if the functions are.  Numba's
disk cache has the types of arguments in its keys, so a caller that is handed a native function is
cached for that one alone.

A call is matched against the examples leaf by leaf:

    a number   whatever Numba converts to it without loss: int → float64, float32 → float64
    an array   the example's dtype and number of axes, in any layout; the call tests its shape
    static     the int, bool, string or None of the example again
    nested     tuples, also for lists of the examples; a namedtuple with the same fields for a
               namedtuple, a dict or a dataclass of the examples

The answer is nested in tuples, and in the namedtuples that came in.  What is refused is a
TypingError that says what is taken, what was given, and where.

Start at `NativeType.get_call_type`.
"""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from numba.core import errors, types
from numba.core.typeconv.castgraph import Conversion
from numba.core.typing.templates import signature
from numba.core.typing.typeof import typeof
from numba.np.numpy_support import from_dtype

from tapejit.transforms.native.functions import NativeFunction
from tapejit.transforms.native.records import (
    Array,
    Constant,
    Number,
    Result,
    Static,
    leaves_of,
    names_of,
    parts_of,
)

OUT = "out"
"""The parameter that takes arrays to write into."""

# ---------------------------------------------------------------- the type


def is_array(leaf) -> bool:
    """Whether a leaf of an answer is an array."""
    return isinstance(leaf, Result) and not leaf.is_number


class NativeType(types.Callable, types.Dummy):
    """The type of a native function."""

    native: NativeFunction

    def __init__(self, identity: str):
        self.identity = identity
        super().__init__(f"NativeFunction({identity})")

    def __reduce__(self):  # the function itself stays out of Numba's index of cached callers
        return NativeType, (self.identity,)

    def get_call_type(self, context, args, kws):
        """The signature of a call with arguments of these types."""
        parameters = parameters_of(self.native)
        try:
            bound = parameters.bind(*args, **dict(kws)).arguments
        except TypeError as error:
            raise refusal(self.native, str(error), f"{args} {dict(kws) or ''}") from None
        match = Match(self.native, context)
        for i, (name, (expected, where)) in enumerate(examples_of(self.native).items()):
            bound[name] = match.argument(expected, bound[name], (i,), where)
        answer = match.answer(bound.get(OUT, types.none))
        call = signature(answer, *bound.values(), recvr=self)
        return call.replace(
            pysig=parameters.replace(parameters=[parameters.parameters[name] for name in bound])
        )

    def get_call_signatures(self):
        return [], True

    def get_impl_key(self, sig):
        return type(self)


def type_of(native: NativeFunction) -> NativeType:
    """The type of a native function."""
    found = NativeType(native.identity)
    found.native = native  # types are unique; an equal one may have come from a cache, without
    return found


def examples_of(native: NativeFunction) -> dict[str, tuple[Any, str]]:
    """By parameter: what it takes, and how messages call it."""
    examples = {f"_{i}": (x, f"argument {i}") for i, x in enumerate(native.arguments)}
    return examples | {name: (x, name) for name, x in native.keywords.items()}


def parameters_of(native: NativeFunction) -> inspect.Signature:
    """How a call is written: as the example was, and `out`."""
    names = list(examples_of(native))
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in names]
    if OUT not in names:
        parameters.append(inspect.Parameter(OUT, kind, default=None))
    return inspect.Signature(parameters)


def refusal(native: NativeFunction, what: str, got) -> errors.TypingError:
    return errors.TypingError(
        f"{native.__name__}: {what}\n  got  {got}\n  of   {native}\n"
        "  try  converting it, or making the native function from such an example"
    )


def kinds_in(kind: types.Type) -> list[types.Type]:
    """The types of a tuple's parts."""
    return list(getattr(kind, "types", ()))


def tuple_of(kinds: list[types.Type], container: type | None = None) -> Any:
    """The type of a tuple, or of a namedtuple."""
    return types.BaseTuple.from_types(kinds, container)


def array_words(leaf) -> str:
    return f"{leaf.dtype} of shape {leaf.shape}"


# ---------------------------------------------------------------- matching


class Leaf(NamedTuple):
    """Something in the arguments of a call that is no tuple."""

    expected: Number | Array | Static
    type: types.Type
    path: tuple[int, ...]
    """Which argument, and where in it."""
    where: str
    """The same in words."""


class Match:
    """The types of a call beside the examples; `leaves` are gathered in the examples' order."""

    def __init__(self, native: NativeFunction, context):
        self.native, self.context = native, context
        self.leaves: list[Leaf] = []
        self.named: dict[frozenset, type] = {}
        """By their fields, the namedtuples that came in."""

    def argument(self, expected, given: types.Type, path: tuple, where: str) -> types.Type:
        """The type that this argument, or part of one, is converted to."""
        if parts_of(expected) is not None:
            return self.container(expected, given, path, where)
        if isinstance(expected, Number):
            chosen = self.number(expected, given, where)
        elif isinstance(expected, Array):
            chosen = self.array(expected, given, where)
        else:
            chosen = self.static(expected, given, where)
        self.leaves.append(Leaf(expected, chosen, path, where))
        return chosen

    def container(self, expected, given: Any, path, where):
        parts, names = parts_of(expected) or [], names_of(expected)
        fields = getattr(given, "fields", ())
        container: Any = getattr(given, "instance_class", None)
        fits = isinstance(given, types.BaseTuple) and len(given) == len(parts)
        if names is not None:
            fits = fits and set(fields) == set(names)
        if not fits:
            words = f"a tuple of {len(parts)}"
            if names is not None:
                words = f"a namedtuple with the fields {', '.join(map(str, names))}"
            raise refusal(self.native, f"{where} takes {words}", given)
        chosen = kinds_in(given)
        for k, (name, part) in enumerate(parts):
            i = k if names is None else list(fields).index(name)
            inner = f"{where}[{k}]" if names is None else f"{where}.{name}"
            chosen[i] = self.argument(part, chosen[i], (*path, i), inner)
        if names is not None:
            self.named[frozenset(names)] = container
        return tuple_of(chosen, container)

    def number(self, expected, given, where):
        wanted = from_dtype(expected.dtype)
        if isinstance(given, types.Number | types.Boolean):
            conversion = self.context.can_convert(types.unliteral(given), wanted)
            if conversion is not None and conversion <= Conversion.safe:
                return wanted
        raise refusal(self.native, f"{where} takes a number, {wanted}", given)

    def array(self, expected, given, where):
        wanted = (from_dtype(expected.dtype), len(expected.shape))
        if isinstance(given, types.Array) and (given.dtype, given.ndim) == wanted:
            return given
        raise refusal(self.native, f"{where} takes an array, {array_words(expected)}", given)

    def static(self, expected, given, where):
        value = expected.value
        if isinstance(given, types.Literal):
            fits = type(given.literal_value) is type(value) and given.literal_value == value
        elif type(value) is bool:
            fits = isinstance(given, types.Boolean)  # and the call tests which
        elif type(value) is int:
            fits = isinstance(given, types.Integer)
        else:
            fits = value is None and given is types.none
        if not fits:
            raise refusal(
                self.native, f"{where} was {value!r} in the example, and has to be", given
            )
        return given

    # ------------------------------------------------------------ answers

    def answer(self, out: types.Type) -> types.Type:
        """The type of the answer, with the arrays of `out` in it if there are any."""
        wanted = [leaf for leaf in leaves_of(self.native.answer) if is_array(leaf)]
        arrays = [types.Array(from_dtype(x.dtype), len(x.shape), "C") for x in wanted]
        if out is not types.none:
            arrays = self.targets(out, wanted)
        return self.nested(self.native.answer, iter(arrays))

    def targets(self, out, wanted):
        """The types of the arrays of `out`."""
        given = kinds_in(out) if isinstance(out, types.BaseTuple) else [out]
        if len(given) != len(wanted):
            words = f"{OUT} takes {len(wanted)} arrays, those of the answer"
            raise refusal(self.native, words, out)
        for leaf, target in zip(wanted, given, strict=True):
            kind = (from_dtype(leaf.dtype), len(leaf.shape), "C", True, True)
            if not isinstance(target, types.Array) or kind != (
                target.dtype, target.ndim, target.layout, target.mutable, target.aligned,
            ):  # fmt: skip
                words = f"{OUT} takes a writable row-major array, {array_words(leaf)}"
                raise refusal(self.native, words, target)
        return given

    def nested(self, tree, arrays) -> types.Type:
        """The type of this part of the answer; `arrays` gives those of arrays in order."""
        parts = parts_of(tree)
        if parts is None:
            if is_array(tree):
                return next(arrays)
            return typeof(tree.value) if isinstance(tree, Constant) else from_dtype(tree.dtype)
        inner = {name: self.nested(part, arrays) for name, part in parts}
        names = names_of(tree)
        if names is None:
            return tuple_of(list(inner.values()))
        container: Any = self.named.get(frozenset(names))
        if hasattr(tree, "_fields"):
            container = type(tree)
        if container is None:
            raise refusal(
                self.native,
                f"the answer is a {type(tree).__name__}; @njit names it as a namedtuple with the "
                "same fields among the arguments",
                "none",
            )
        return tuple_of([inner[name] for name in container._fields], container)
