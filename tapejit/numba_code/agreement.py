"""Numba's own value of a recorded function, where it costs nothing or is worth a compile.

Python's integers do not wrap around, `@overload` may stand for something else, and a function may
be compiled under other rules (`error_model`): a recorded body can mean something else than what
Numba runs.  Where Numba has compiled the function for these types already, it is run once, on
copies, beside every recording; its value must be the recorded one, up to rounding.  So it is where
integers look as if they might leave 64 bits (`may_wrap`), compiled for that if need be.

Start at `check`.
"""

from __future__ import annotations

import dis
import itertools
import types
from collections.abc import Iterable

import numpy as np

from tapejit.errors import TraceError
from tapejit.numba_code.arrays import Cells
from tapejit.sites import describe_site, user_site
from tapejit.tensor.core import Tensor

TOLERANCE = {4: (1e-2, 1e-4), 8: (1e-5, 1e-8)}
"""Relative and absolute, by bytes of a float: what other orders of summation stay far below."""


_LARGE = 1 << 31
_ON_BITS = ("<<", "^")
_GROWING = ("*", "**")


def check(dispatcher, args: tuple, result, bodies: Iterable[types.FunctionType] = ()) -> None:
    """Raise TraceError where Numba's own function gives another result for these arguments.

    bodies  what has been recorded: if integers may wrap around there, Numba compiles the function
    """
    overloads = getattr(dispatcher, "overloads", None)
    if overloads is None:
        return
    is_worthwhile = dispatcher._can_compile and any(may_wrap(body.__code__) for body in bodies)
    if not overloads and not is_worthwhile:
        return
    from numba import typeof
    from numba.core.errors import NumbaError

    numbers = [numbers_of(x) for x in args]
    try:
        kinds = tuple([typeof(x) for x in numbers])
    except ValueError:
        return
    if kinds not in overloads and not is_worthwhile:
        return
    try:
        own = dispatcher(*numbers)
    except NumbaError:  # what has no value of Numba's can have no other one
        return
    ours = numbers_of(result)
    if not agrees(ours, own):
        raise TraceError(
            "the recorded body of a Numba function gives another value than Numba's own\n"
            f"  in   {dispatcher.py_func.__qualname__}, called at {describe_site(user_site())}\n"
            f"  got  {ours}, Numba's own value is {own}\n"
            "  try  without integers that wrap around at 64 bits, reads of np.empty, or @overload"
        )


def may_wrap(code: types.CodeType) -> bool:
    """Whether integers of a body may leave 64 bits, as far as its instructions show: a large one, a
    shift, an exclusive or, or a product stored in a variable that begins with an integer.

    Sums that grow by themselves are not seen: they take 63 doublings, or a large number.
    """
    steps = list(dis.get_instructions(code))
    pairs = list(itertools.pairwise(steps))
    counted = {
        _stored(after) for before, after in pairs if type(before.argval) is int and _is_load(before)
    }
    for step, after in pairs:
        is_large = type(step.argval) is int and _is_load(step) and abs(step.argval) >= _LARGE
        if is_large or step.opname == "UNARY_INVERT":
            return True
        if step.opname == "BINARY_OP":
            operator = step.argrepr.removesuffix("=")
            if operator in _ON_BITS or (
                operator in _GROWING and _stored(after) in counted - {None}
            ):
                return True
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return any(map(may_wrap, inner))


def _is_load(step):
    return step.opname in ("LOAD_CONST", "LOAD_SMALL_INT")


def _stored(step) -> str | None:
    """The variable that an instruction stores to, first of all."""
    if not step.opname.startswith("STORE_FAST"):
        return None
    return step.argval if isinstance(step.argval, str) else step.argval[0]


def numbers_of(value):
    """Tensors and Cells as NumPy arrays of their own, in the same structure."""
    if isinstance(value, Cells):
        value = value.whole()
    if isinstance(value, Tensor):
        value = value._value
    if isinstance(value, np.ndarray):
        return np.array(value)[()] if not value.ndim else np.array(value, order="C")
    if isinstance(value, tuple | list):
        items = [numbers_of(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def agrees(ours, own) -> bool:
    """Whether two results are the same up to rounding; True of what cannot be compared."""
    if isinstance(own, tuple | list):
        return not isinstance(ours, tuple | list) or (
            len(ours) == len(own) and all(map(agrees, ours, own))
        )
    ours, own = np.asarray(ours), np.asarray(own)
    if own.dtype.kind not in "fciub" or ours.dtype.kind not in "fciub":
        return True
    if ours.shape != own.shape:
        return False
    size = min(_bytes(ours.dtype), _bytes(own.dtype))
    relative, absolute = TOLERANCE.get(size, TOLERANCE[4])
    return bool(np.allclose(ours, own, relative, absolute, equal_nan=True))


def _bytes(dtype):
    """Of a float of this dtype."""
    return dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize if dtype.kind == "f" else 8
