"""Copies between NumPy arrays and a card, through memory that the card can read by itself.

A NumPy array can be moved or changed at any time, so the driver would have to wait for its copy.
Here it is copied, piece by piece, to a ring of memory that stays where it is ("pinned"), and from
there by the card.  A copy in returns when the last piece is in the ring; it waits only where the
ring is full, so the numbers of thousands of calls can be on their way.
"""

from __future__ import annotations

import collections
import ctypes
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tapejit.locks import Lock

if TYPE_CHECKING:
    from tapejit.runtime.cuda.card import Card
    from tapejit.runtime.cuda.streams import CardEvent

PIECE_BYTES = 4 * 2**20
"""Long enough for the bus to be the limit (a copy costs 10 us to start, 100 us to do)."""
RING_BYTES = 4 * PIECE_BYTES
ALIGNMENT = 256


class _Piece(NamedTuple):
    """A part of the ring that is in use until an event comes."""

    begin: int
    end: int
    done: CardEvent


class Staging:
    """A card's ring."""

    def __init__(self, card: Card):
        self.card = card
        self.lock = Lock()
        self.address = 0
        self.bytes = np.empty(0, np.uint8)
        self.next = 0
        self.in_use: collections.deque[_Piece] = collections.deque()  # the oldest first
        self.events: list[CardEvent] = []

    def copy_in(self, address: int, data: np.ndarray):
        """Bytes to the card."""
        with self.lock:
            for start in range(0, len(data), PIECE_BYTES):
                part = data[start : start + PIECE_BYTES]
                place = self._room(len(part))
                self.bytes[place : place + len(part)] = part
                self._send("cuMemcpyHtoDAsync", address + start, self.address + place, len(part))
                self._use(place, len(part))

    def copy_out(self, data: np.ndarray, address: int):
        """Bytes from the card, which copies two pieces ahead of us."""
        with self.lock:
            ahead: collections.deque[tuple[_Piece, np.ndarray]] = collections.deque()
            for start in range(0, len(data), PIECE_BYTES):
                if len(ahead) == 2:  # a third and what a turn of the ring skips are the whole ring
                    self._take(*ahead.popleft())
                part = data[start : start + PIECE_BYTES]
                place = self._room(len(part))
                self._send("cuMemcpyDtoHAsync", self.address + place, address + start, len(part))
                ahead.append((self._use(place, len(part)), part))
            while ahead:
                self._take(*ahead.popleft())

    def _send(self, function: str, target: int, source: int, n_bytes: int):
        self.card.call(function, target, source, n_bytes, self.card.stream.handle)

    def _take(self, piece: _Piece, part: np.ndarray):
        piece.done.synchronize()
        part[:] = self.bytes[piece.begin : piece.begin + len(part)]

    def _room(self, n_bytes: int) -> int:
        """Where in the ring there is room for so much, after waiting for who uses it."""
        if not self.address:
            self.address = int(self.card.call("cuMemHostAlloc", RING_BYTES, 0))
            self.bytes = np.ctypeslib.as_array(
                (ctypes.c_uint8 * RING_BYTES).from_address(self.address)
            )
        if self.next + n_bytes > RING_BYTES:
            while self.in_use and self.in_use[0].begin >= self.next:
                self._forget_oldest()
            self.next = 0
        while self.in_use and self.next <= self.in_use[0].begin < self.next + n_bytes:
            self._forget_oldest()
        return self.next

    def _forget_oldest(self):
        piece = self.in_use.popleft()
        piece.done.synchronize()
        self.events.append(piece.done)

    def _use(self, place: int, n_bytes: int) -> _Piece:
        """Note that the ring's part is used by what was just asked of the stream."""
        done = self.events.pop() if self.events else self.card.new_event()
        done.record(self.card.stream)
        self.next = place + -(-n_bytes // ALIGNMENT) * ALIGNMENT
        self.in_use.append(_Piece(place, self.next, done))
        return self.in_use[-1]
