"""Scalar functions that only Numba can run: compiled by it, called once for each element.

Kernels and native functions call the compiled function, in the loop that does what is around it,
where it is a pure function of numbers (runtime/linked_code.py says which are).  What may raise,
allocate, or change something outside stays a step of its own, with Numba's loop around the calls
(`numba.vectorize`); so it is in eager mode.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import numpy as np

from tapejit import library
from tapejit.errors import KernelError, TraceError
from tapejit.registry import OPS
from tapejit.runtime.linked_code import linked_code
from tapejit.tensor.core import apply

_NUMBERS = itertools.count(1)


class Linked:
    """A compiled scalar function; compared by identity, as an attribute of rows."""

    def __init__(self, function: Callable, name: str, count: int, reason: str):
        self.name, self.number = name, next(_NUMBERS)
        self.why = (
            f"{name} is compiled by Numba, so its derivative must be stated; not lowered is "
            f"{reason}\n  try  tapejit.elementwise(function, partials=...)"
        )
        self.count = count
        self.scalar = _scalar(function)
        self.loop = _compiled(self.scalar, name, count, reason)
        self.unfused = ""
        self.nodes: dict[str, str | None] = {}

    def __repr__(self):
        return f"{self.name}#{self.number}"  # what tells one row's attributes from another's

    def node(self, dtype: str) -> str | None:
        """What kernels call, for numbers of this dtype; None where `unfused` says why not."""
        if dtype not in self.nodes:
            try:
                self.nodes[dtype] = linked_code(self.scalar, self.name, self.count, dtype)
            except KernelError as error:
                self.nodes[dtype], self.unfused = None, str(error)
        return self.nodes[dtype]

    def run(self, operands, dtype) -> list:
        """The result for tensors of this dtype, and numbers."""
        return [apply(OPS["linked"], operands, (self,))]

    def evaluate(self, *arrays):
        """The value for arrays of one dtype; what the function raises is raised behind the loop."""
        single = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
        return library.kept(np.asarray(self.loop(*single)), arrays[0].dtype)[()]


def _scalar(function):
    """As Numba has it: a Python function divides as it does where it is lowered, 1 / 0 is inf."""
    import numba

    if hasattr(function, "py_func"):
        return function
    return numba.njit(error_model="numpy")(function)


def _compile_by_itself(scalar, count):
    """By its own options: compiled for a caller, it would take over that one's `error_model`."""
    from numba import types

    with contextlib.suppress(RuntimeError, AttributeError):  # signatures of its own; JIT disabled
        for number in (types.float64, types.float32):
            scalar.compile((number,) * count)


def _compiled(scalar, name, count, reason):
    import numba
    from numba.core.errors import NumbaError

    arguments = ", ".join(f"x{i}" for i in range(count))
    scope = {"scalar": scalar}
    exec(f"def element({arguments}):\n    return scalar({arguments})", scope)
    kinds = [f"f{size}({', '.join([f'f{size}'] * count)})" for size in (4, 8)]
    try:
        _compile_by_itself(scalar, count)
        loop = numba.vectorize(kinds)(scope["element"])
    except NumbaError as error:
        raise TraceError(
            f"elementwise: {name} can neither be read nor compiled\n"
            f"  read      {reason}\n"
            f"  compiled  {str(error).strip()[:600]}"
        ) from None
    for signature in getattr(scalar, "nopython_signatures", ()):  # a Dispatcher has them
        if not isinstance(signature.return_type, numba.types.Number | numba.types.Boolean):
            raise TypeError(
                f"elementwise: {name} must return a number on every way\n"
                f"  got  {signature.return_type}"
            )
    return loop
