"""The text of kernels as Python files: what tracebacks, debuggers and profilers show.

`namespace(source)` runs a text of codegen/loop_text.py and gives its functions.  The file is named
by the text's hash and lies in the cache directory.  Nothing reads it but people's tools: what runs
is the text, so a damaged or edited file changes nothing, and the next process puts it right.
Where there is no cache directory, the text is known to `linecache` only.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
from types import CodeType

from tapejit.cache import shared_store


def namespace(source: str) -> dict:
    """What the text defines, in a dictionary of the caller's own."""
    scope = {"__name__": f"tapejit_kernel_{_digest(source)}"}
    exec(_code(source), scope)
    return scope


def _digest(source):
    return hashlib.sha256(source.encode()).hexdigest()[:20]


@functools.lru_cache(256)
def _code(source) -> CodeType:
    """The compiled text, whose functions say where it lies."""
    path = shared_store().put_text(f"kernel{_digest(source)}", source)
    name = str(path) if path is not None else f"<tapejit kernel {_digest(source)}>"
    if path is None:
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec")
