"""Tables that do not grow for ever: a dictionary that forgets what was put in longest ago.

The one idea is two generations.  Keys are young when they are put; when the young weigh half the
limit, the older generation is dropped, and the young are the older from then on.  So the whole
never weighs more than the limit (plus one entry a generation, if entries are heavy), a lookup
costs what any dictionary's does, and an entry in use that was dropped is made once more per half
a limit of new ones.

Not a strict LRU on purpose: noting every use would cost the calls that this library is fast at.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(dict[K, V]):
    """A dictionary for at most `limit` entries, or weights; `put` is how they come in.

    >>> table = Bounded(4)
    >>> for number in range(7):
    ...     table.put(number, "entry")
    >>> list(table)
    [4, 5, 6]
    """

    __tapejit_cache__ = True  # guards do not look at what is only remembered
    __slots__ = ("_older", "_weight", "_young", "limit")

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit
        self._weight = 0
        self._young: dict[K, None] = {}
        self._older: dict[K, None] = {}

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Add or replace an entry, or say that it is still wanted."""
        self[key] = value
        self._young[key] = None
        self._weight += weight
        if self._weight * 2 >= self.limit:
            dropped, self._older, self._young = self._older, self._young, {}
            self._weight = 0
            kept = self._older
            for old in list(dropped):  # at once: another thread may still add to it
                if old not in kept:
                    self.pop(old, None)
