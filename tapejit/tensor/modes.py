"""no_grad, enable_grad, set_grad_enabled, inference_mode: context managers and decorators."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from tapejit.tensor.recording import state


class _Mode:
    """Recording on or off for a block, a function, or a generator."""

    _enabled = False
    _inference = False

    def __enter__(self):
        self._before = [*getattr(self, "_before", ()), (state.grad_enabled, state.inference)]
        switch(self._enabled, self._inference or state.inference)
        return self

    def __exit__(self, *exception):
        switch(*self._before.pop())
        return False

    def fresh(self):
        """Another of the same, for one call of a decorated function."""
        return type(self)()

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            with self.fresh():
                return function(*args, **kwargs)

        return call

    def _around_generator(self, function):
        @functools.wraps(function)
        def generate(*args, **kwargs):
            generator = function(*args, **kwargs)
            while True:
                try:
                    with self.fresh():
                        value = next(generator)
                except StopIteration:
                    return
                yield value

        return generate


def switch(enabled: bool, inference: bool = False) -> None:
    """Turn recording on or off in this thread."""
    state.grad_enabled = enabled
    state.inference = inference
    # a trace records everything; what no_grad covers is detached there
    state.recording = state.parked if enabled or state.parked.is_trace else None


class no_grad(_Mode):
    """Nothing inside is recorded, and results do not require grad.

    >>> import tapejit as tj
    >>> x = tj.tensor(2.0, requires_grad=True)
    >>> with tj.no_grad():
    ...     y = x * 3
    >>> y.requires_grad
    False
    """

    def __new__(cls, function=None) -> Any:
        mode = super().__new__(cls)
        return mode(function) if function is not None else mode


class enable_grad(_Mode):
    """Operations inside are recorded, also within `no_grad`.

    >>> import tapejit as tj
    >>> x = tj.tensor(2.0, requires_grad=True)
    >>> with tj.no_grad(), tj.enable_grad():
    ...     (x * 3).requires_grad
    True
    """

    _enabled = True

    def __new__(cls, function=None) -> Any:
        mode = super().__new__(cls)
        return mode(function) if function is not None else mode


class set_grad_enabled(_Mode):
    """Recording on or off: at once, and until the end of the block if used as one.

    >>> import tapejit as tj
    >>> with tj.set_grad_enabled(False):
    ...     tj.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool):
        self._enabled = bool(mode)
        self._at_call = state.grad_enabled, state.inference
        switch(self._enabled, state.inference)

    def __enter__(self):
        self._before = [*getattr(self, "_before", ()), self._at_call]
        switch(self._enabled, state.inference)
        return self

    def __call__(self, function):
        switch(*self._at_call)
        return super().__call__(function)

    def fresh(self):
        """Another of the same."""
        return set_grad_enabled(self._enabled)


class inference_mode(_Mode):
    """As no_grad, for code that never needs a gradient.

    >>> import tapejit as tj
    >>> x = tj.tensor(2.0, requires_grad=True)
    >>> with tj.inference_mode():
    ...     tj.is_inference_mode_enabled(), (x * 3).requires_grad
    (True, False)
    """

    def __init__(self, mode: bool = True):
        self._enabled = not mode and state.grad_enabled
        self._inference = bool(mode)
        self._mode = mode

    def fresh(self):
        """Another of the same."""
        return inference_mode(self._mode)

    def __new__(cls, mode=True):
        instance = super().__new__(cls)
        if callable(mode):
            instance.__init__(True)
            return instance(mode)
        return instance


def is_grad_enabled() -> bool:
    """Whether operations are recorded now.

    >>> import tapejit as tj
    >>> tj.is_grad_enabled()
    True
    """
    return state.grad_enabled


def is_inference_mode_enabled() -> bool:
    """Whether inference mode is on.

    >>> import tapejit as tj
    >>> tj.is_inference_mode_enabled()
    False
    """
    return state.inference
