"""How a call in NumPy's words becomes one in ours.

NumPy's signature decides: its required arguments go to our function by place, its options by name
(`WORDS` where ours differs).  What our functions need not know is handled here, once for all of
them: `out`, `where`, `initial`, `dtype`, `casting`, and hints about memory (`order`, `subok`).  An
option that nobody takes is refused, never dropped.

Start at `call`.  Which function answers is `front.FOR_NUMPY`; ufuncs are in `numpy_protocol`.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapejit.dtypes import as_dtype
from tapejit.errors import ArgumentError, DtypeError, TraceError
from tapejit.shapes import normalize_axes
from tapejit.tensor.core import Tensor, any_tensor, as_data, as_operand, joined
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS

NOT_GIVEN: Any = inspect.signature(np.sum).parameters["keepdims"].default

WORDS = {
    "axis": ("dim", "dims"), "axes": ("dim", "dims"), "keepdims": ("keepdim",), "k": ("diagonal",),
    "axis1": ("dim1",), "axis2": ("dim2",),
}  # fmt: skip
"""NumPy's word for an option, and ours."""

HINTS: dict[str, tuple] = {
    "order": ("C", "K", "A", "F"), "subok": (True, False), "copy": (True, False, None),
    "device": (None, "cpu"), "overwrite_input": (True, False), "stable": (True, False),
    "casting": ("no", "equiv", "safe", "same_kind", "unsafe"), "max_work": (), "optimize": (),
    "kind": ("quicksort", "mergesort", "heapsort", "stable", "introselect", "sort", "table"),
}  # fmt: skip
"""Options that choose memory or an algorithm, never a value; and what they may be."""

ARRAYS = {
    "a", "b", "v", "x", "y", "x1", "x2", "xp", "fp", "m", "p", "q", "u", "ar1", "ar2", "a1", "a2",
    "weights", "fweights", "aweights", "prepend", "append", "to_begin", "to_end", "condition",
    "bins", "values", "element", "test_elements",
}  # fmt: skip
"""Names of parameters that mean arrays: lists given for them are turned into tensors."""


def name_of(function) -> str:
    """What a NumPy function is called by its users: np.linalg.norm."""
    home = getattr(function, "__module__", None) or "numpy"
    return f"{home.replace('numpy', 'np', 1)}.{function.__name__}"


def ours(function) -> Callable | None:
    """What answers for a NumPy function; np.full(..., like=x) asks under a name of its own."""
    found = FOR_NUMPY.get(function)
    if found is None and getattr(function, "__module__", None) == "numpy":
        found = FOR_NUMPY.get(getattr(np, function.__name__, None))  # type: ignore[arg-type]
    return found


# ---------------------------------------------------------------- arrays among the arguments


def check_plain(*kinds: type) -> None:
    """Raise DtypeError for array classes with arithmetic of their own: masked, matrix."""
    for kind in kinds:
        if issubclass(kind, np.ndarray) and kind not in (np.ndarray, np.memmap):
            raise DtypeError(
                f"NumPy's {kind.__name__} means something else by its operations than arrays do, "
                "which tensors would lose\n"
                "  try  array.filled(value) of a masked array, np.asarray(array) of others"
            )


def operand(value) -> Any:
    """A ufunc's operand: arrays, NumPy scalars and lists as tensors; Python numbers as they are."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple):
        return joined(value)
    found = as_operand(value)
    return as_data(value) if found is NotImplemented else found


def _argument(name: str, value, is_first: bool) -> Any:
    """An argument of a function: arrays as tensors, in lists too; lists where arrays belong."""
    if isinstance(value, np.ndarray):
        check_plain(type(value))
        return as_data(value)
    if isinstance(value, np.generic) and (is_first or name in ARRAYS):
        return as_data(value)
    if isinstance(value, list | tuple):
        if name in ARRAYS or (is_first and not any_tensor(value)):
            return joined(value)
        return [_argument("", v, False) for v in value] if _has_arrays(value) else value
    if is_first and isinstance(value, bool | int | float | complex):
        return as_data(np.asarray(value))
    return value


def _has_arrays(values):
    return any(
        isinstance(v, np.ndarray) or (isinstance(v, list | tuple) and _has_arrays(v))
        for v in values
    )


# ---------------------------------------------------------------- NumPy's signature and ours


class Form(NamedTuple):
    """A NumPy function's parameters, and what ours are called."""

    required: tuple[str, ...]
    optional: dict[str, Any]
    """Options by name, with their defaults; those that may go by place come first."""
    n_places: int
    takes_any: bool
    """Whether arguments follow without number (np.einsum)."""
    ours: dict[str, str]
    """Our word for an option, where we have one."""
    forced: dict[str, Any]
    """Our options, by our words, whose default is not NumPy's."""


@functools.cache
def form(function: Callable, answer: Callable) -> Form:
    """How arguments of a NumPy function are handed to ours."""
    stated = inspect.signature(function).parameters.values()
    known = inspect.signature(answer).parameters
    places = [p for p in stated if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = tuple(p.name for p in places if p.default is p.empty)
    named = [p for p in stated if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    optional = {p.name: p.default for p in named if p.name not in required}
    takes_any_name = any(p.kind is p.VAR_KEYWORD for p in known.values())
    words = {}
    for name in optional.keys() - {"out"}:
        found = [w for w in (name, *WORDS.get(name, ())) if w in known]
        if found or takes_any_name:
            words[name] = found[0] if found else name
    if any(p.kind is p.VAR_KEYWORD for p in stated):  # np.pad: its options are not in its signature
        words |= {name: name for name in known if name not in required}
    forced = {
        word: optional[name]
        for name, word in words.items()
        if name in optional
        and optional[name] is not NOT_GIVEN
        and word in known
        and not _same(known[word].default, optional[name])
    }
    return Form(
        required,
        optional,
        len(places),
        any(p.kind is p.VAR_POSITIONAL for p in stated),
        words,
        forced,
    )


def _same(default, other):
    return default is other or (type(default) is type(other) and default == other)


# ---------------------------------------------------------------- a call


def call(function: Callable, args: tuple, kwargs: dict) -> Any:
    """What our counterpart of a NumPy function gives for arguments in NumPy's words."""
    answer = ours(function)
    assert answer is not None
    known = form(function, answer)
    if known.takes_any:
        places, options = args, dict(kwargs)
        names = known.required + ("",) * (len(args) - len(known.required))
    else:
        places, options = _bound(function, known, args, kwargs)
        names = known.required
    places = [_argument(n, v, i == 0) for i, (n, v) in enumerate(zip(names, places, strict=False))]
    if not options and not known.forced:
        return answer(*places)
    if options.get("axis") == ():  # over no axis, where PyTorch's () means all
        places[0], options = places[0].unsqueeze(-1), {**options, "axis": -1}
        options.pop("keepdims", None)
    handled = {n: options.pop(n) for n in _CENTRAL if n in options and n not in known.ours}
    chosen = dict(known.forced)
    for name, value in options.items():
        word = known.ours.get(name)
        if word is not None:
            chosen[word] = _option(name, value)
        elif name not in HINTS or (HINTS[name] and value not in HINTS[name]):
            raise TraceError(
                f"{name_of(function)} of tensors takes no {name}={value!r}\n"
                f"  try  it without {name}, or x.detach().numpy() where no derivative is needed"
            )
    if not handled:
        return answer(*places, **chosen)
    return _with_options(function, answer, places, chosen, **handled)


_CENTRAL = ("out", "where", "initial", "dtype")


def _bound(function, known, args, kwargs):
    """The required arguments, and the options whose value is not the default."""
    given = dict(zip((*known.required, *known.optional), args, strict=False))
    if len(args) > known.n_places or given.keys() & kwargs.keys():
        raise TypeError(f"{name_of(function)}() got an argument twice, or too many of them")
    given.update(kwargs)
    missing = [name for name in known.required if name not in given]
    if missing:
        raise TypeError(f"{name_of(function)}() misses the argument {missing[0]!r}")
    places = [given.pop(name) for name in known.required]
    defaults = known.optional
    return places, {
        name: value
        for name, value in given.items()
        if value is not NOT_GIVEN and not (name in defaults and _same(defaults[name], value))
    }


def _option(name, value):
    if name == "dtype":
        return None if value is None else as_dtype(value)
    return _argument(name, value, False)


# ---------------------------------------------------------------- options handled for everybody


def _with_options(
    function, answer, places, chosen, *, out=None, where=True, initial=None, dtype=None
):
    if where is not True or initial is not None:
        result = _reduced(function, answer, places, chosen, where, initial)
    else:
        result = answer(*places, **chosen)
    if dtype is not None:
        result = result.to(as_dtype(dtype))
    return result if out is None else into(name_of(function), out, result)


def into(name: str, out, result):
    """A result written where `out` says: a tensor in place, an array if no derivative is lost."""
    if isinstance(out, tuple):
        if len(out) == 1:
            return into(name, out[0], result)
        return tuple(
            part if target is None else into(name, target, part)
            for target, part in zip(out, result, strict=True)
        )
    kind = out.dtype.dtype if isinstance(out, Tensor) else out.dtype
    if not np.can_cast(result.dtype.dtype, kind, "same_kind"):
        raise DtypeError(f"{name}: a result of {result.dtype} cannot be written into {kind}")
    if isinstance(out, Tensor):
        return out.copy_(result)
    if result._tracked:
        raise TraceError(
            f"{name}: out= is a NumPy array and the result a tensor, whose history it cannot hold\n"
            "  try  the result without out="
        )
    np.copyto(out, result._value)
    return out


class Folding(NamedTuple):
    """What NumPy combines elements with in a reduction."""

    ufunc: Callable
    neutral: Callable
    """The neutral element, of a dtype; None where there is none without `initial`."""


def _lowest(dtype):
    if dtype.is_floating_point:
        return -math.inf
    return False if dtype.dtype == np.bool_ else int(np.iinfo(dtype.dtype).min)


def _highest(dtype):
    if dtype.is_floating_point:
        return math.inf
    return True if dtype.dtype == np.bool_ else int(np.iinfo(dtype.dtype).max)


_ADD, _MULTIPLY = Folding(np.add, lambda dtype: 0), Folding(np.multiply, lambda dtype: 1)
_MAXIMUM, _MINIMUM = Folding(np.maximum, _lowest), Folding(np.minimum, _highest)
FOLDINGS = {
    np.sum: _ADD, np.nansum: _ADD, np.prod: _MULTIPLY, np.nanprod: _MULTIPLY,
    np.max: _MAXIMUM, np.amax: _MAXIMUM, np.nanmax: Folding(np.fmax, _lowest),
    np.min: _MINIMUM, np.amin: _MINIMUM, np.nanmin: Folding(np.fmin, _highest),
    np.all: Folding(np.logical_and, lambda dtype: True),
    np.any: Folding(np.logical_or, lambda dtype: False),
}  # fmt: skip


def _reduced(function, answer, places, chosen, where, initial):
    """A reduction of the elements where a mask holds, begun with `initial`."""
    if function not in FOLDINGS:
        raise TraceError(
            f"{name_of(function)} of tensors takes no where= or initial=\n"
            "  try  x[mask], or np.where(mask, x, ...)"
        )
    folding, (x, *rest) = FOLDINGS[function], places
    extreme = folding.ufunc in (np.maximum, np.minimum, np.fmax, np.fmin)
    if where is not True:
        if extreme and initial is None:
            raise ArgumentError(
                f"{name_of(function)}: an extreme of no elements has no value\n"
                "  try  initial= beside where="
            )
        neutral = folding.neutral(x._aval.dtype)
        x = FUNCTIONS["where"](_argument("condition", where, True), x, neutral)
    if initial is None:
        return answer(x, *rest, **chosen)
    if extreme and not x._aval.size:
        axis = chosen.get("dim")
        axes = normalize_axes(function.__name__, axis, x._aval.ndim)
        result = FUNCTIONS["sum"](x, axes, bool(chosen.get("keepdim")))  # its shape
        return result + initial if result._aval.size else result
    return FOR_NUMPY[folding.ufunc](answer(x, *rest, **chosen), operand(initial))
