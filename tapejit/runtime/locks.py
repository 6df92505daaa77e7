"""A lock that a forked child finds free, and what is made once in a process.

A child has one thread, the one that forked; a lock that another held at that moment stays locked
in the child for ever.  So a `Lock` is a new one there.  What it guards must be right at every
moment between two bytecodes, since it is as the other thread left it; where it is not (LLVM's own
state) fork has to wait instead, which native.py sees to.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Lock:
    """A reentrant lock, free in a forked child."""

    def __init__(self):
        self.renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.renew)

    def renew(self):
        self.lock = threading.RLock()

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *exception):
        self.lock.release()


_LOCK = Lock()


def once(make: Callable[[], T]) -> Callable[[], T]:
    """A function without arguments that is run once, whichever threads come first.

    functools.cache runs it in all of them, and drops the results that somebody may already use.
    """
    made: list[T] = []

    @functools.wraps(make)
    def get() -> T:
        if not made:
            with _LOCK:
                if not made:
                    made.append(make())
        return made[0]

    return get
