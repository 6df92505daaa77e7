"""An @njit function called with tensors: its Python body is run on them, and so recorded.

Arrays go in as `Cells`, which the body may write to; what it changed is written back into the
tensor that was given, as Numba would have.  Where Numba has compiled the function for these types
already, or integers in it may wrap around, its own value is compared with the recorded one
(`agreement`).

Start at `run`.  Where Numba and Python differ, Python is right here: integers do not wrap around at
64 bits, an index out of range raises, float32 times a Python float is float32, and a tensor divided
by zero is infinite rather than an error.
"""

from __future__ import annotations

import threading
import types

import numpy as np

from tapejit import dtypes
from tapejit.errors import TraceError
from tapejit.numba_code import agreement
from tapejit.numba_code.arrays import Cells, Memory
from tapejit.numba_code.names import Names, python_body
from tapejit.sites import describe_site, user_site
from tapejit.tensor.core import Tensor, tensor_of
from tapejit.tensor.recording import state


class _Session(threading.local):
    names: Names | None = None


_session = _Session()


def run(function, args: tuple, kwargs: dict):
    """What a Numba function gives for arguments with tensors among them."""
    body = python_body(function)
    if body is None:
        raise TraceError(f"{function!r} has no Python body that could be recorded")
    outer = _session.names
    names = _session.names = outer or Names()
    parked = state.parked
    spoke = parked.speaks_numpy
    try:
        parked.speaks_numpy = True
        with dtypes.numpy_rules(True):
            given = _Given(names)
            inside = [given.enter(x) for x in args], {k: given.enter(x) for k, x in kwargs.items()}
            before = [agreement.numbers_of(x) for x in args] if outer is None else []
            result = names.function(body)(*inside[0], **inside[1])
            if outer is not None and not given.arrays:
                return result
            if outer is None and not kwargs and not names.draws:
                agreement.check(function, tuple(before), result, names.bodies())
            given.write_back(body)
            return leave(result)
    finally:
        parked.speaks_numpy = spoke
        _session.names = outer


class _Given:
    """The arguments of a call: the same array twice is the same memory."""

    def __init__(self, names):
        self.names = names
        self.arrays: dict[int, tuple] = {}  # id -> the array, and its Cells

    def enter(self, x):
        """An argument as recorded code has it."""
        if isinstance(x, Tensor | np.ndarray) and x.ndim:
            if id(x) not in self.arrays:
                self.arrays[id(x)] = x, Cells(Memory(x))
            return self.arrays[id(x)][1]
        if isinstance(x, tuple | list):
            items = [self.enter(item) for item in x]
            return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
        return x if isinstance(x, Tensor | float | int) else self.names.translate(x, "an argument")

    def write_back(self, body: types.FunctionType):
        """Let the caller see what was written into its arrays."""
        changed = [(x, cells) for x, cells in self.arrays.values() if cells.memory.is_changed]
        if not changed:
            return
        values = [x._value if isinstance(x, Tensor) else x for x, _ in self.arrays.values()]
        where = f"  in   {body.__qualname__}, called at {describe_site(user_site())}\n"
        for x, cells in changed:
            own = x._value if isinstance(x, Tensor) else x
            if sum(np.may_share_memory(own, value) for value in values) > 1:
                raise TraceError(
                    "an array is written to, of which another argument is a part: this cannot be "
                    f"recorded\n{where}  try  .copy() of one of them"
                )
            whole = cells.whole()
            if isinstance(x, Tensor) and x._tracked and x._tape is None:
                raise TraceError(
                    "an argument of the differentiated function is written to: a later call would "
                    f"not do that\n{where}  try  a copy of it: u = u.copy()"
                )
            if isinstance(x, Tensor):
                x[...] = whole
            elif isinstance(whole, Tensor):
                raise TraceError(
                    "a NumPy array cannot hold the history of what is written to it\n"
                    f"{where}  try  np.zeros_like(x) of a traced x, or make it inside the function"
                )
            else:
                x[...] = whole


def leave(value):
    """A result as the caller has it: arrays as tensors."""
    if isinstance(value, Cells):
        whole = value.whole()
        return tensor_of(whole)
    if isinstance(value, tuple | list):
        items = [leave(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: leave(item) for key, item in value.items()}
    return value
