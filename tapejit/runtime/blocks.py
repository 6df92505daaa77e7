"""Memory for large results, used again once nobody holds it any more.

A fresh array of 512 KiB costs 130 page faults: 7 ns an element here, where sin and cos together
take 2.6.  So large results are views of blocks that this file keeps track of.  A block whose only
reference is ours, which CPython's reference count tells, has no result, view or export alive, and
is handed out again; any other is left alone.  Results thus never alias anything that is alive.

`take` is the door.  What is kept is bounded: above LIMIT_BYTES all blocks are let go (those that
are in use live on with their results).  Small arrays are np.empty's: malloc keeps those.
"""

from __future__ import annotations

import os
import sys
from sys import getrefcount

import numpy as np

SMALLEST = 1 << 16
"""Bytes from which blocks pay: below, malloc reuses memory without page faults."""
LARGEST = 1 << 27
PER_SIZE = 8


def _limit_bytes():
    """A thirty-second of the machine's memory, at least 256 MiB."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        physical = 0
    return max(physical >> 5, 1 << 28)


LIMIT_BYTES = _limit_bytes()
"""Four results of 80 MB want 320: faulting them in anew takes longer than Black-Scholes does."""

_POOLS: dict[int, list[np.ndarray]] = {}
_total = 0


def _own_count():
    """What getrefcount says of an object that one local variable holds (2; 1 from Python 3.14)."""
    block = np.empty(0)
    return getrefcount(block)


_FREE = _own_count()
# without a GIL, counts of other threads' references may be late
_HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def take(shape: tuple[int, ...], dtype: np.dtype, n_bytes: int) -> np.ndarray:
    """An array that shares memory with nothing that is alive; its contents are arbitrary.

    A block is tracked again before its result exists, which is safe: our own variable counts.
    """
    pool = _POOLS.get(n_bytes)
    if pool is None:
        pool = _POOLS.setdefault(n_bytes, [])
    for _ in range(len(pool)):
        try:
            block = pool.pop(0)
        except IndexError:  # another thread has it
            break
        if getrefcount(block) == _FREE:
            pool.append(block)
            return np.ndarray(shape, dtype, block)
        pool.append(block)
    block = np.empty(n_bytes, np.uint8)
    _track(pool, block, n_bytes)
    return np.ndarray(shape, dtype, block)


def _track(pool, block, n_bytes):
    global _total
    if _total + n_bytes > LIMIT_BYTES:
        release()
    if len(pool) < PER_SIZE:
        pool.append(block)
        _total += n_bytes


def release() -> None:
    """Let all blocks go."""
    global _total
    pools = list(_POOLS.values())
    _POOLS.clear()  # sizes that are not asked for again should not stay
    for pool in pools:  # another thread may hold one
        pool.clear()
    _total = 0


def is_pooled(n_bytes: int) -> bool:
    """Whether results of this size come from blocks."""
    return _HAS_GIL and SMALLEST <= n_bytes <= LARGEST
