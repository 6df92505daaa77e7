"""Colourings: which columns one tangent can serve, and which rows one cotangent.

Columns without a row in common share a forward sweep, rows without a column in common a reverse
sweep.  A few rows that are much longer than the others go through reverse sweeps and the rest
through forward ones, so that an arrow costs three sweeps and not n.  A Hessian takes a star
colouring: each element is read from its column's sweep or, by symmetry, from its row's.

Start at `colour` and `colour_symmetric`.  Source: as ops/loops/colours.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tapejit.ops.loops.colours import colour_columns, colour_stars
from tapejit.runtime.loops import run_alone
from tapejit.transforms.sparse.patterns import counts

REVERSE_COST = 1.5
"""A reverse sweep, in forward sweeps."""

MOST_WORK = 1 << 31
"""Steps of a greedy colouring, some seconds; where it would take more, each column has its own."""

NONE = -1
"""The colour of what no sweep serves."""


class Colouring(NamedTuple):
    """What each sweep serves."""

    columns: np.ndarray
    """The forward sweep of each column."""
    rows: np.ndarray
    """The reverse sweep of each row; NONE where forward sweeps give it."""
    is_symmetric: bool = False
    """Whether an element may be read at its mirror image."""

    @property
    def n_forward(self) -> int:
        """The number of forward sweeps."""
        return int(self.columns.max(initial=NONE)) + 1

    @property
    def n_reverse(self) -> int:
        """The number of reverse sweeps."""
        return int(self.rows.max(initial=NONE)) + 1

    @property
    def cost(self) -> float:
        """In forward sweeps."""
        return self.n_forward + REVERSE_COST * self.n_reverse


# ---------------------------------------------------------------- Jacobians


def colour(pattern) -> Colouring:
    """The cheapest colouring found of a pattern (CSR): forward, reverse, or both."""
    n_rows, n_columns = pattern.shape
    lengths = counts(pattern)
    order = np.argsort(-lengths, kind="stable")
    longest = np.append(lengths[order], 0)
    # if the k longest rows go through reverse sweeps, the next one says how many forward ones
    costs = REVERSE_COST * np.arange(n_rows + 1) + longest
    best = int(np.argmin(costs))
    found = None
    for n_long in sorted({0, best, n_rows}):
        if found is not None and _least(pattern, order, longest, n_long) >= found.cost:
            continue
        is_long = np.zeros(n_rows, np.bool_)
        is_long[order[:n_long]] = True
        rows = np.full(n_rows, NONE, np.int32)
        rows[is_long] = _columns_of(pattern[is_long].T.tocsr())
        columns = _columns_of(pattern[~is_long]) if n_long < n_rows else np.full(n_columns, NONE)
        one = Colouring(columns.astype(np.int32), rows)
        if found is None or one.cost < found.cost:
            found = one
    assert found is not None
    return found


def _least(pattern, order, longest, n_long):
    """A lower bound of the cost if that many rows go through reverse sweeps."""
    per_column = np.bincount(pattern[order[:n_long]].indices, minlength=1)
    return longest[n_long] + REVERSE_COST * per_column.max(initial=0)


def _columns_of(pattern) -> np.ndarray:
    """A colour for each column; NONE for empty ones.  Colours follow the order of columns."""
    n_columns = pattern.shape[1]
    lengths = counts(pattern).astype(np.float64)
    by_columns = pattern.tocsc()
    sizes = np.diff(by_columns.indptr)
    used = np.flatnonzero(sizes)
    least = int(lengths.max(initial=0))
    colours = np.full(n_columns, NONE, np.int32)
    if least == len(used) or np.sum(lengths**2) > MOST_WORK:
        colours[used] = np.arange(len(used))
        return colours
    best = colours
    for order in (used, used[np.argsort(-sizes[used], kind="stable")]):
        found = colours.copy()
        taken = np.full(n_columns + 1, NONE, np.int32)
        graph = (by_columns.indptr, by_columns.indices, pattern.indptr, pattern.indices)
        run_alone(
            colour_columns,
            [*map(_int32, graph), _int32(order), found, taken],
            (), len(order),
        )  # fmt: skip
        if best is colours or found.max(initial=NONE) < best.max(initial=NONE):
            best = found
        if best.max(initial=NONE) + 1 == least:
            break
    return best


def _int32(array):
    return np.ascontiguousarray(array, np.int32)


# ---------------------------------------------------------------- Hessians


def colour_symmetric(pattern) -> Colouring:
    """The cheapest colouring found of a symmetric pattern: stars, or columns.

    Rows that are much longer than the others have colours of their own: no path of two colours
    goes through them.
    """
    n = pattern.shape[0]
    no_rows = np.full(n, NONE, np.int32)
    lengths = counts(pattern)
    order = np.argsort(-lengths, kind="stable")
    n_long = int(np.argmin(np.arange(n + 1) + np.append(lengths[order], 0))) if n else 0
    is_long = np.zeros(n, np.bool_)
    is_long[order[:n_long]] = True
    candidates = [Colouring(_stars_of(pattern, is_long), no_rows, True)]
    if n_long:
        candidates.append(Colouring(_stars_of(pattern, np.zeros(n, np.bool_)), no_rows, True))
    if lengths.max(initial=0) < candidates[0].n_forward:
        candidates.append(Colouring(_columns_of(pattern), no_rows, True))
    return min(candidates, key=lambda found: found.cost)


def _stars_of(pattern, is_long) -> np.ndarray:
    used = np.flatnonzero(counts(pattern))
    colours = np.full(pattern.shape[0], NONE, np.int32)
    rest = used[~is_long[used]]
    inner = pattern[~is_long][:, ~is_long]
    lengths = counts(inner).astype(np.float64)
    # each edge is looked at from both ends, and from each the neighbours' neighbours
    if np.sum(lengths**2) * lengths.max(initial=0) > MOST_WORK:
        colours[used] = np.arange(len(used))
        return colours
    of_inner = np.full(inner.shape[0], NONE, np.int32)
    order = np.searchsorted(np.flatnonzero(~is_long), rest)
    taken = np.full(inner.shape[0] + 1, NONE, np.int32)
    graph = (inner.indptr, inner.indices, order)
    run_alone(colour_stars, [*map(_int32, graph), of_inner, taken], (), len(order))
    colours[~is_long] = of_inner
    n = int(of_inner.max(initial=NONE)) + 1
    long_ones = used[is_long[used]]
    colours[long_ones] = np.arange(n, n + len(long_ones))
    return colours
