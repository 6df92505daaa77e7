"""What kernels call: vector math, users' functions, reductions and tails, each once in a process.

They are compiled once on a machine (at tier 1, then from disk) and kept for good: there are some
hundred at most.  `imports_of` gives their addresses to a kernel's module.
"""

from __future__ import annotations

from collections.abc import Iterable

from tapejit.codegen import callees, loop_columns
from tapejit.codegen.loop_ir import LoopText
from tapejit.codegen.loop_reduce import emit_reduction
from tapejit.codegen.loop_tail import NAMES, emit_tail
from tapejit.locks import Lock
from tapejit.runtime import native

Call = tuple[str, str, int]
"""A function of vectors (callees.py): (fn, dtype, lanes)."""

_LOADED: dict[object, native.NativeLibrary] = {}
_LOCK = Lock()


def imports_of(
    texts: Iterable[LoopText], with_math: bool = True
) -> tuple[dict[str, int], tuple[native.NativeLibrary, ...]]:
    """Addresses of all that these kernels call, and the libraries to keep alive for them."""
    imports, libraries = {}, {}
    calls = dict.fromkeys(call for text in texts for call in text.imports) if with_math else ()
    for call in calls:
        library = libraries[call] = math_library(call)
        imports[callees.symbol(*call)] = library.address(callees.symbol(*call))
    for name in dict.fromkeys(name for text in texts for name in text.support):
        library = libraries[name] = _support_library(name)
        imports[name] = library.address(name)
    return imports, tuple(libraries.values())


def math_library(call: Call) -> native.NativeLibrary:
    """One function of vectors, compiled the first time it is needed on this machine."""
    has_fma = native.host().has_fma
    symbol = callees.symbol(*call)
    return _load(call, lambda: callees.emit_library([call], has_fma), (symbol,))


def _support_library(name):
    """What is the same in many kernels."""
    if name in NAMES:
        return _load("tail", emit_tail, NAMES)
    if name in loop_columns.NAMES:
        return _load("columns", loop_columns.emit_columns, loop_columns.NAMES)
    return _load(name, lambda: emit_reduction(name), (name,))


def _load(key, emit, exports):
    library = _LOADED.get(key)
    if library is None:
        with _LOCK:
            library = _LOADED.get(key)
            if library is None:
                library = _LOADED[key] = native.compile_cached(emit(), exports, tier=1)
    return library
