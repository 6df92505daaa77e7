"""Reading a concrete value out of a tensor, which a trace must remember.

`bool(t)`, `int(t)`, `t.item()`, the number of places in a mask: each gives Python a value on which
the rest of a recording may depend.  While a function is traced the read is noted as a guard, and a
compiled call checks that the value is still the same; outside a trace nothing is noted.
"""

from __future__ import annotations

import numpy as np

from tapejit.tensor.core import Tensor
from tapejit.tensor.recording import state, user_site


def read(tensor: Tensor):
    """The tensor's value; noted as a guard if it belongs to a trace."""
    value = tensor._value
    tape = tensor._tape
    if tensor._tracked:
        owner = tape if tape is not None else _trace_of(tensor)
        if owner is not None and owner.is_trace:
            row = tensor._row if tape is not None else owner.adopt(tensor)
            owner.guards.append((row, np.array(value), user_site()))
    return value


def _trace_of(tensor):
    recording = state.recording
    return recording if recording is not None and recording.is_trace else None
