"""A lock that a forked child finds free, and what is made once in a process.

A child has one thread, the one that forked; a lock that another held at that moment would stay
locked in the child for ever.  What a `Lock` guards must therefore be right at every moment between
two bytecodes, since the child sees it as the other thread left it; where it is not (LLVM's own
state) fork has to wait instead, which runtime/native.py sees to.
"""

from __future__ import annotations

import _thread
import functools
import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Lock(_thread.RLock):  # type: ignore[misc]  # final in its stub only
    """A reentrant lock, free in a forked child."""

    def __init__(self):
        _LOCKS.add(self)


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


def _free_all():
    for lock in list(_LOCKS):
        lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_all)

_ONCE = Lock()


def once(make: Callable[[], T]) -> Callable[[], T]:
    """A function without arguments that is run once, whichever threads come first.

    functools.cache runs it in all of them, and drops the results that somebody may already use.
    """
    made: list[T] = []

    @functools.wraps(make)
    def get() -> T:
        if not made:
            with _ONCE:
                if not made:
                    made.append(make())
        return made[0]

    return get
