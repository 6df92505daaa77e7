"""Copies between NumPy arrays and a card, through memory that the card can read by itself.

A NumPy array can be moved or changed at any time, so the driver would have to wait for its copy.
Here it is copied, piece by piece, to a few areas that stay where they are ("pinned"), and from
there by the card; a copy in returns when the last piece is in such an area.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np

from tapejit.locks import Lock

if TYPE_CHECKING:
    from tapejit.runtime.cuda.card import Card

AREA_BYTES = 4 * 2**20
"""Long enough for the bus to be the limit (a copy costs 10 us to start, 100 us to do)."""
N_AREAS = 3


class _Area:
    """Pinned memory, and the event after which it can be used again."""

    def __init__(self, card: Card):
        self.address = int(card.call("cuMemHostAlloc", AREA_BYTES, 0))
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * AREA_BYTES).from_address(self.address))
        self.free = card.new_event()


class Staging:
    """A card's areas; kept for good."""

    def __init__(self, card: Card):
        self.card = card
        self.areas: list[_Area] = []
        self.turn = 0
        self.lock = Lock()

    def copy_in(self, address: int, data: np.ndarray):
        """Bytes to the card."""
        with self.lock:
            for start in range(0, len(data), AREA_BYTES):
                piece = data[start : start + AREA_BYTES]
                area = self._next()
                area.bytes[: len(piece)] = piece
                stream = self.card.stream
                self.card.call(
                    "cuMemcpyHtoDAsync", address + start, area.address, len(piece), stream.handle
                )
                area.free.record(stream)

    def copy_out(self, data: np.ndarray, address: int):
        """Bytes from the card; it copies to one area while we copy from another."""
        with self.lock:
            under_way: list[tuple[_Area, np.ndarray]] = []
            for start in range(0, len(data), AREA_BYTES):
                piece = data[start : start + AREA_BYTES]
                if len(under_way) == N_AREAS:
                    self._finish(under_way)
                area = self._next()
                stream = self.card.stream
                self.card.call(
                    "cuMemcpyDtoHAsync", area.address, address + start, len(piece), stream.handle
                )
                area.free.record(stream)
                under_way.append((area, piece))
            while under_way:
                self._finish(under_way)

    def _finish(self, under_way):
        area, piece = under_way.pop(0)
        area.free.synchronize()
        piece[:] = area.bytes[: len(piece)]

    def _next(self) -> _Area:
        """An area that nothing reads or writes any more."""
        self.turn = (self.turn + 1) % N_AREAS
        if len(self.areas) < N_AREAS:
            self.areas.append(_Area(self.card))
            return self.areas[-1]
        area = self.areas[self.turn]
        area.free.synchronize()
        return area
