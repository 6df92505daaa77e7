"""Names in kernels that are written as Python functions; each text says what they stand for.

Such a function is never executed here: its source is printed (texts.py) behind lines like

    BLOCK = 256
    number = float32
    combine = add
"""

from __future__ import annotations

from typing import Any

cuda: Any = None
"""The module numba.cuda, or its simulator."""

int64: Any = None
"""A number as an int64."""

index: Any = None
"""A number as an index: an int32, or an int64 where there are more elements (indices.py)."""

BLOCK: int = 0
"""Threads of a block."""

number: Any = None
"""What is computed in: floats and complex numbers stay what they are, all else is int64."""

eps: Any = None
"""The distance from 1 to the next number."""

combine: Any = None
"""combine(a, b): two numbers as one, associative."""

begun: Any = None
"""begun(base, i): the number that element i of a result begins with."""

is_before: Any = None
"""is_before(a, b): whether a number comes before another that is not its equal."""

EACH: int = 0
"""Elements of a tile for each thread of a block."""

join: Any = None
"""join(x, at, step, a, b): two neighbours' totals as one; a line of x begins `at`."""

nothing: Any = None
"""The total of no elements."""

taken: Any = None
"""taken(x, at, step, given, i, place): the total of one element, or number i of those given."""

candidate: Any = None
"""candidate(given, i, place): the place of element i of those looked at."""

is_beyond: Any = None
"""is_beyond(a, b): whether a number is a better extreme than another."""

HIGH: int = 0
WIDE: int = 0
"""Threads of a block, seen as HIGH lines of WIDE."""

SIDE: int = 0
"""Rows and columns of a product that one thread computes."""

LEFT: int = 0
RIGHT: int = 0
OWN: int = 0
"""Numbers in the tiles of both operands, and in what one thread computes."""

left_at: Any = None
right_at: Any = None
"""left_at(a, group, i, j, sizes): an element of the left, or right, operand of a product."""

put_at: Any = None
"""put_at(group, i, j, sizes): where an element of a product goes."""
