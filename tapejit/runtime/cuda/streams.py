"""Streams, events and graphs of a card; machine.py says what their methods do.

Each gives its handle back to the driver when it is collected.  The default stream is CUDA's legacy
one: other libraries order their work with it unless they are told otherwise.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from tapejit.errors import LaunchError
from tapejit.runtime.cuda.probe import is_driver_lost

if TYPE_CHECKING:
    from tapejit.runtime.cuda.card import Card

LEGACY = 1
"""The driver's handle of the stream that every blocking stream waits for, and that waits for it."""


def is_driver_there(is_finalizing=sys.is_finalizing, is_lost=is_driver_lost) -> bool:
    """Whether handles can still be given back: not at the interpreter's end, not after a fork.

    Defaults here, and of `__del__`, are there still when a module's names have gone.
    """
    return not is_finalizing() and not is_lost()


def give_back(card: Card, function: str, handle: int, is_there=is_driver_there):
    """Destroy what a handle stands for; a card that has failed refuses, and nobody can mend it."""
    if is_there():
        with contextlib.suppress(LaunchError):
            card.call(function, handle)


class CardStream:
    """A queue of work of a card."""

    is_ours = False
    """Whether it is to be destroyed with this."""
    was_current = False
    """Whether it may have been asked to use memory."""

    def __init__(self, card: Card, handle: int):
        self.card, self.handle = card, handle
        self.core = card.core.Stream.from_handle(handle)
        self.is_captured = False

    @staticmethod
    def new(card: Card, priority: int) -> CardStream:
        flags = card.driver.CUstream_flags.CU_STREAM_NON_BLOCKING
        made = CardStream(card, int(card.call("cuStreamCreateWithPriority", flags, priority)))
        made.is_ours = True
        return made

    def __del__(self, give_back=give_back, is_there=is_driver_there):
        if self.is_ours:
            if self.was_current and is_there():
                with contextlib.suppress(LaunchError):
                    self.card.leave(self)
            give_back(self.card, "cuStreamDestroy", self.handle)

    def __cuda_stream__(self):
        """cuda.core's protocol."""
        return 0, self.handle

    def is_done(self) -> bool:
        return self.card.is_ready("cuStreamQuery", self.handle)

    def synchronize(self):
        self.card.call("cuStreamSynchronize", self.handle)

    def wait(self, event: CardEvent):
        self.card.call("cuStreamWaitEvent", self.handle, event.handle, 0)


class CardEvent:
    """A moment in a stream of a card."""

    def __init__(self, card: Card, timing: bool):
        flags = card.driver.CUevent_flags
        flag = flags.CU_EVENT_DEFAULT if timing else flags.CU_EVENT_DISABLE_TIMING
        self.card = card
        self.handle = int(card.call("cuEventCreate", flag))

    def __del__(self, give_back=give_back):
        if hasattr(self, "handle"):
            give_back(self.card, "cuEventDestroy", self.handle)

    def record(self, stream: CardStream):
        self.card.call("cuEventRecord", self.handle, stream.handle)

    def is_done(self) -> bool:
        return self.card.is_ready("cuEventQuery", self.handle)

    def synchronize(self):
        self.card.call("cuEventSynchronize", self.handle)

    def ms_since(self, earlier: CardEvent) -> float:
        return float(self.card.call("cuEventElapsedTime", earlier.handle, self.handle))


class CardGraph:
    """Launches and copies, recorded once."""

    def __init__(self, card: Card, graph: int, places: list):
        self.card, self.places = card, places
        try:
            self.handle = int(card.call("cuGraphInstantiate", graph, 0))
        finally:
            card.call("cuGraphDestroy", graph)

    def __del__(self, give_back=give_back):
        if hasattr(self, "handle"):
            give_back(self.card, "cuGraphExecDestroy", self.handle)

    def __str__(self):
        return "a graph of " + ", ".join(str(one.place) for one in self.places)

    def launch(self):
        self.card.note(self)
        self.card.call("cuGraphLaunch", self.handle, self.card.stream.handle)
        self.card.settle()
