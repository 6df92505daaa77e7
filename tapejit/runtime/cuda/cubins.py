"""Machine code of GPU kernels on disk, beside that of CPU kernels (cache.py has the rules).

`cubin_of` is all.  Code that is there needs no compiler, and Numba is not even imported; so a
store that was filled elsewhere serves a machine that has none.  Where there is one, code that
another version of it made is made again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys

from tapejit.cache import shared_store
from tapejit.codegen.cuda.launches import Function
from tapejit.config import settings
from tapejit.runtime.cuda.compiling import Cubin, compile_ptx, function_key, link

FORMAT = 1
COMPILERS = (
    "numba", "numba-cuda",
    "nvidia-nvvm", "nvidia-nvjitlink",  # CUDA 13
    "nvidia-cuda-nvcc-cu12", "nvidia-nvjitlink-cu12",
)  # fmt: skip


def cubin_of(function: Function, compute_capability: tuple[int, int]) -> Cubin:
    """Machine code for one kind of card: from disk, else compiled, and kept there."""
    key = store_key(function, compute_capability)
    kept = shared_store().get(key)
    if kept is not None:
        cubin, made_by = unpack(kept)
        if compilers() in ("", made_by):
            return cubin
    ptx = compile_ptx(function, compute_capability)
    if settings.debug >= 5:
        print(ptx, file=sys.stderr)
    cubin = link(ptx, compute_capability)
    shared_store().put_later(key, pack(cubin, compilers()))
    if settings.debug >= 1:
        print(
            f"tapejit: {cubin.entry} for sm_{compute_capability[0]}{compute_capability[1]}: "
            f"{cubin.registers} registers, {cubin.spills} bytes spilled, {cubin.shared} shared",
            file=sys.stderr,
        )
    return cubin


def store_key(function: Function, compute_capability: tuple[int, int]) -> str:
    """What the store calls it: all that its code depends on, but for who made it."""
    major, minor = compute_capability
    words = f"cubin {FORMAT} sm_{major}{minor} {function_key(function)}"
    return hashlib.sha256(words.encode()).hexdigest()


def pack(cubin: Cubin, made_by: str) -> bytes:
    """A line of JSON, and the code."""
    facts = {**cubin._asdict(), "made_by": made_by}
    del facts["code"]
    return json.dumps(facts).encode() + b"\n" + cubin.code


def unpack(payload: bytes) -> tuple[Cubin, str]:
    """What `pack` was given."""
    line, _, code = payload.partition(b"\n")
    facts = json.loads(line)
    made_by = facts.pop("made_by")
    return Cubin(code=code, **facts), made_by


@functools.cache
def compilers() -> str:
    """The installed compilers, with versions; "" where numba-cuda is missing."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in COMPILERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return ", ".join(f"{name} {found[name]}" for name in found) if "numba-cuda" in found else ""
