"""Numba's own value of a recorded function, where it costs nothing to ask for it.

Python's integers do not wrap around, `@overload` may stand for something else, and a function may
be compiled under other rules (`error_model`): a recorded body can mean something else than what
Numba runs.  Where Numba has compiled the function for these types already, it is run once, on
copies, beside every recording; its value must be the recorded one, up to rounding.

Start at `check`.
"""

from __future__ import annotations

import numpy as np

from tapejit.errors import TraceError
from tapejit.numba_code.arrays import Cells
from tapejit.tensor.core import Tensor
from tapejit.tensor.recording import describe_site, user_site

TOLERANCE = {4: (1e-2, 1e-4), 8: (1e-5, 1e-8)}
"""Relative and absolute, by bytes of a float: what other orders of summation stay far below."""


def check(dispatcher, args: tuple, result) -> None:
    """Raise TraceError where Numba's compiled function gives another result for these arguments."""
    if not getattr(dispatcher, "overloads", None):
        return
    from numba import typeof

    numbers = [numbers_of(x) for x in args]
    try:
        kinds = tuple([typeof(x) for x in numbers])
    except ValueError:
        return
    if kinds not in dispatcher.overloads:
        return
    own = dispatcher(*numbers)
    ours = numbers_of(result)
    if not agrees(ours, own):
        raise TraceError(
            "the recorded body of a Numba function gives another value than Numba's own\n"
            f"  in   {dispatcher.py_func.__qualname__}, called at {describe_site(user_site())}\n"
            f"  got  {ours}, Numba's own value is {own}\n"
            "  try  without integers that wrap around at 64 bits, reads of np.empty, or @overload"
        )


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
