"""Memory for large results, used again once nobody holds it any more.

A fresh array of 512 KiB costs 130 page faults: 7 ns an element here, where sin and cos together
take 2.6.  So large results are views of blocks that this file keeps track of.  A block whose only
reference is ours, which CPython's reference count tells, has no result, view or export alive, and
is handed out again; any other is left alone.  Results thus never alias anything that is alive.

While a function is traced, its values are cut one after the other from slabs instead: they all die
with the trace, and a slab of huge pages costs 2.6 times less to touch first (NumPy asks for huge
pages from 4 MiB; 600 against 230 us for 512 KiB here).

`take` is the door, `Slabs` the trace's.  What is kept is bounded: above LIMIT_BYTES all blocks
are let go (those that are in use live on with their results).  Small arrays are np.empty's: malloc
keeps those.
"""

from __future__ import annotations

import sys
import threading
from sys import getrefcount

import numpy as np

SMALLEST = 1 << 16
"""Bytes from which blocks pay: below, malloc reuses memory without page faults."""
LARGEST = 1 << 27
LIMIT_BYTES = 1 << 28
SLAB_BYTES = 1 << 25
PER_SIZE = 8

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
    if _slabs.depth and n_bytes <= SLAB_BYTES:
        return _slabs.cut(shape, dtype, n_bytes)
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


class _Slabs(threading.local):
    """The slab this thread's trace cuts from."""

    depth = 0
    slab: np.ndarray | None = None
    used = 0

    def cut(self, shape, dtype, n_bytes):
        """An array at the next place of the slab."""
        if self.slab is None or self.used + n_bytes > SLAB_BYTES:
            self.slab, self.used = np.empty(SLAB_BYTES, np.uint8), 0
        array = np.ndarray(shape, dtype, self.slab, self.used)
        self.used += -(-n_bytes // 64) * 64  # cache lines are not shared
        return array

    def rewind(self):
        """Keep the slab for the next trace if nothing of it is alive, else let it go."""
        slab, self.slab = self.slab, None
        if slab is not None and getrefcount(slab) == _FREE:
            self.slab = slab
        self.used = 0


_slabs = _Slabs()


class Slabs:
    """Inside, large arrays come from slabs: for the values of a trace, which die together."""

    def __enter__(self):
        _slabs.depth += 1

    def __exit__(self, *exception):
        _slabs.depth -= 1
        if not _slabs.depth:
            _slabs.rewind()
        return False


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
    for pool in list(_POOLS.values()):
        pool.clear()
    _total = 0


def is_pooled(n_bytes: int) -> bool:
    """Whether results of this size come from blocks."""
    return _HAS_GIL and SMALLEST <= n_bytes <= LARGEST
