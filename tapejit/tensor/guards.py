"""Reading a concrete value out of a tensor, which a trace must remember.

`bool(t)`, `int(t)`, `t.item()`, the number of places in a mask: each gives Python a value on which
the rest of a recording may depend.  While a function is traced the read is noted as a guard, and a
compiled call checks that the value is still the same; outside a trace nothing is noted.

Whatever else a tensor tells of itself must not escape a trace either: where its memory lies
(`read_layout`: strides, guarded for all arguments) and what differs at every call (`read_once`:
addresses, version counters; such a trace is not kept).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapejit.dtypes import BOOL
from tapejit.runtime.devices import MEMORY, on_host
from tapejit.sites import describe_site, user_site
from tapejit.tensor.core import Tensor
from tapejit.tensor.recording import state


def read(tensor: Tensor):
    """The tensor's value as NumPy has it; noted as a guard if it belongs to a trace."""
    value = on_host(tensor._value)
    tape = tensor._tape
    if tensor._tracked:
        owner = tape if tape is not None else _trace()
        if owner is not None and owner.is_trace:
            row = tensor._row if tape is not None else owner.adopt(tensor)
            owner.guards.append((row, np.array(value), user_site()))
            if owner.draws and tensor._aval.dtype.category != BOOL and not owner.impure:
                # a number that may be random comes out differently at every call
                owner.impure = (
                    f"reads numbers while it draws random ones, at {describe_site(user_site())}"
                )
    return value


def read_layout(tensor: Tensor) -> Any:
    """The tensor's memory, of which the strides are looked at."""
    trace = _trace()
    if trace is not None and tensor._tracked:
        trace.reads_layout = True
    value = tensor._value
    return value if isinstance(value, MEMORY) else np.asarray(value)


def read_once(tensor: Tensor, what: str) -> None:
    """Something that no later call can be compared with is read: the trace is not kept."""
    trace = _trace()
    if trace is not None and tensor._tracked:
        trace.impure = f"reads {what} at {describe_site(user_site())}"


def in_trace(tensor: Tensor) -> bool:
    """Whether a tensor is a value of the function that is being traced."""
    return tensor._tracked and state.parked.is_trace


def _trace():
    return state.parked if state.parked.is_trace else None
