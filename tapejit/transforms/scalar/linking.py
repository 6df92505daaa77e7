"""Scalar functions that only Numba can run: compiled by it, called once for each element.

The loop around the calls is Numba's too (`numba.vectorize`).  It is a step of its own in compiled
programs: nothing fuses with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from tapejit import library
from tapejit.errors import TraceError
from tapejit.registry import OPS
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
        self.loop = _compiled(function, name, count, reason)

    def __repr__(self):
        return f"{self.name}#{self.number}"  # what tells one row's attributes from another's

    def run(self, operands, dtype) -> list:
        """The result for tensors of this dtype, and numbers."""
        return [apply(OPS["linked"], operands, (self,))]

    def evaluate(self, *arrays):
        """The value for arrays of one dtype; what the function raises is raised behind the loop."""
        single = [a.astype(np.float32) if a.dtype == np.float16 else a for a in arrays]
        return library.kept(np.asarray(self.loop(*single)), arrays[0].dtype)[()]


def _compiled(function, name, count, reason):
    import numba
    from numba.core.errors import NumbaError

    scalar = function if hasattr(function, "py_func") else numba.njit(function)
    arguments = ", ".join(f"x{i}" for i in range(count))
    scope = {"scalar": scalar}
    exec(f"def element({arguments}):\n    return scalar({arguments})", scope)
    kinds = [f"f{size}({', '.join([f'f{size}'] * count)})" for size in (4, 8)]
    try:
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
