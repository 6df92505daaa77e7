"""Where a Jacobian's sweep begins and where it ends, as rows of a tape.

Unit vectors are what a sweep is batched over; each row of a Jacobian is linear in them, so a zero
of theirs says that nothing depends on that element there, whatever it is multiplied by.
`tapejit.columns` follows such zeros where it can.  `derivative` is where that ends: what is done
with a finished derivative takes its zeros for numbers, and 0 times infinity is NaN again.
Both are gone after simplification.
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.families import operation
from tapejit.registry import Probe
from tapejit.shapes import aval


def _run_unit_vectors(like, shape, start, dtype):
    n, size = shape[0], math.prod(shape[1:])
    ones = np.eye(n, start + size, dtype=dtypes.named(dtype).dtype)[:, start:]
    return ones.reshape(shape)


unit_vectors = operation(
    "unit_vectors",
    "creation",
    summary="A 1 at one element each: row i has it at the element i - start, if there is one.",
    infer=lambda avals, shape, start, dtype: aval(shape, dtypes.named(dtype)),
    evaluate=_run_unit_vectors,
    attributes=("shape", "start", "dtype"),
    partials=lambda like, y, shape, start, dtype: (None,),
    complex=True,
    probe=Probe(attrs=({"shape": (4, 2, 1), "start": 1, "dtype": "float64"},)),
    note="Its one operand is not read; it only places the row on a tape.",
)
derivative = operation(
    "derivative",
    "copy",
    summary="The same numbers: a derivative that is complete.",
    infer=lambda avals: avals[0],
    evaluate=lambda x: np.array(x, copy=True),
    vjp=lambda gy, x, y: (gy,),
    linear=True,
)
