"""Where Numba's dispatchers meet tensors.

A dispatcher that is called with something it has no compiled version for asks
`_compile_for_args` for one, and calls what comes back.  That is the place to give it the recorded
body instead.  Numba has no extension point there (numba/numba#9180 asks for one), so that method is
wrapped, once, when a tensor first meets Numba: calls without tensors never come here, but to be
compiled, and go on as before.

Functions with signatures of their own (`@njit("f8(f8)")`) do not ask for another version; they are
let ask for as long as a call with tensors takes.
"""

from __future__ import annotations

import functools
from typing import Any

from tapejit.numba_code import calls
from tapejit.numba_code.arrays import Cells
from tapejit.tensor.core import Tensor

_is_installed = False


def install() -> None:
    """Let Numba's dispatchers take tensors."""
    global _is_installed
    if _is_installed:
        return
    _is_installed = True
    from numba.core import dispatcher

    Dispatcher: Any = dispatcher.Dispatcher
    compile_for_args, typeof_pyval = Dispatcher._compile_for_args, Dispatcher.typeof_pyval
    closed = set()

    @functools.wraps(typeof_pyval)
    def typeof(self, value):
        if not self._can_compile and has_tensor(value):
            self._can_compile = True
            closed.add(id(self))
        return typeof_pyval(self, value)

    @functools.wraps(compile_for_args)
    def compile_or_record(self, *args, **kwargs):
        is_ours = any(has_tensor(_value_of(x)) for x in args)
        if id(self) in closed:
            closed.discard(id(self))
            self._can_compile = False
        if not is_ours:
            return compile_for_args(self, *args, **kwargs)
        return functools.partial(_run, self)

    Dispatcher._compile_for_args, Dispatcher.typeof_pyval = compile_or_record, typeof


def _run(dispatcher, *args, **kwargs):
    return calls.run(dispatcher, tuple(_value_of(x) for x in args), kwargs)


def _value_of(argument):
    """A default value comes wrapped."""
    return argument.value if type(argument).__name__ == "OmittedArg" else argument


def has_tensor(value) -> bool:
    """Whether an argument is a tensor, or has one in it."""
    if isinstance(value, tuple | list):
        return any(has_tensor(item) for item in value)
    return isinstance(value, Tensor | Cells)


def _no_numba_type(tensor):
    install()
    raise AttributeError("_numba_type_: tensors have none")


Tensor._numba_type_ = property(_no_numba_type)  # type: ignore[attr-defined]
"""Numba asks what it does not know for its type; that is when it is told about tensors."""
