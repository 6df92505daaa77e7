"""The callables that users get: what a transform's call looks like from outside.

`entering` puts the native call in front of the one in Python; `as_function` lets the result look
like the function that it stands for, and gives it `.numba`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from tapejit.runtime.entry import Entries
from tapejit.transforms.destinations import Out, taker
from tapejit.transforms.native.functions import Prepare, ToNative


def entering(
    function: Callable, entries: Entries, call: Callable[[tuple, dict, Out | None], Any]
) -> Callable:
    """The callable that users get: a native call if there is a record for it, else `call`."""
    enter = entries.enter
    take_out = taker(function)

    def entered(*args, **kwargs):
        nonlocal enter
        answer = enter(args, kwargs)
        if answer is None:
            n = len(kwargs)
            out = take_out(kwargs)
            if out is None and len(kwargs) < n:  # out=None
                return entered(*args, **kwargs)
            answer = call(args, kwargs, out)
            enter = entries.enter
        return answer

    return entered


def as_function(wrapper, function, prepare: Prepare | None = None):
    """Let the wrapper look like the function it stands for, and be made native."""
    try:
        # what a Numba dispatcher has in its dictionary is its compiler's
        own = ("__dict__",) if isinstance(function, types.FunctionType) else ()
        functools.update_wrapper(wrapper, function, updated=own)
    except AttributeError:
        wrapper.__wrapped__ = function

    wrapper.numba = ToNative(wrapper, prepare)
    return wrapper
