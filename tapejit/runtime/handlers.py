"""The interpreter's handlers as machine code: made when a kind of row is first met, kept on disk.

`fetch` gives addresses.  All that a program misses is one module, so a first program links once;
what calls mathematics imports it one lane wide.  Texts are codegen/threaded.py's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from tapejit.codegen import callees
from tapejit.codegen.threaded import (
    DRIVER_NAMES,
    Handler,
    emit_driver,
    forward_handler,
    reverse_handler,
)
from tapejit.errors import KernelError
from tapejit.locks import Lock
from tapejit.registry import Kind
from tapejit.runtime import native
from tapejit.runtime.libraries import math_library
from tapejit.shapes import Aval


class Wanted(NamedTuple):
    """Which handler: of a kind of row on operands of these avals, for slots of `dtype`."""

    kind: Kind
    avals: tuple[Aval, ...]
    active: tuple[int, ...] | None
    """The operands whose adjoints a reverse handler adds to; None: the forward handler."""
    dtype: str


_HANDLERS: dict[Wanted, tuple[int, object]] = {}  # address, what keeps it valid
_REFUSED: dict[Wanted, str] = {}
_LOCK = Lock()


def fetch(wanted: Sequence[Wanted]) -> list[tuple[int, object]]:
    """(address, owner) of each handler; those not met before are compiled together.

    Errors  KernelError if one cannot be made
    """
    with _LOCK:
        missing = [key for key in dict.fromkeys(wanted) if key not in _HANDLERS]
        if missing:
            _compile(missing)
        return [_HANDLERS[key] for key in wanted]


def _compile(keys):
    texts = [_text(key, f"h{number}") for number, key in enumerate(keys)]
    declarations = dict.fromkeys(line for text in texts for line in text.declarations)
    ir = "".join([*declarations, *(text.ir for text in texts)])
    imports, libraries = {}, []
    for call in dict.fromkeys(call for text in texts for call in text.imports):
        library = math_library(call)
        symbol = callees.symbol(*call)
        imports[symbol] = library.address(symbol)
        libraries.append(library)
    names = tuple(f"h{number}" for number in range(len(keys)))
    library = native.compile_cached(ir, names, imports, tier=1, is_urgent=True)
    for key, name in zip(keys, names, strict=True):
        _HANDLERS[key] = library.address(name), (library, *libraries)


def _text(key: Wanted, name: str) -> Handler:
    if key in _REFUSED:
        raise KernelError(_REFUSED[key])
    try:
        if key.active is None:
            return forward_handler(key.kind, key.avals, key.dtype, name)
        return reverse_handler(key.kind, key.avals, key.active, key.dtype, name)
    except KernelError as error:
        _REFUSED[key] = str(error)
        raise


@functools.cache
def driver(dtype: str) -> native.NativeLibrary:
    """What begins and ends a run, for slots of `dtype`."""
    return native.compile_cached(emit_driver(dtype), DRIVER_NAMES, tier=1)
