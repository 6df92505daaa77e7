"""Callers in Numba's disk cache: an old one must not answer for a native function that has changed.

Numba keys a cached function by its argument types, its bytecode and its closure's values, beside
its source file; what it reads from globals is not in the key.  A native function that is an
argument or a closure value is safe by that: its type, and its pickle, hold its identity.

For globals each compiled caller carries an `Expectation` of what it was compiled with, among the
constants of its environment, which Numba writes to disk and hands on to callers of callers.  It is
unpickled before any code is loaded.  Numba takes an OSError there as "the file is gone" and
compiles anew (caching.py, `_load_data`), so a caller that expects what is not there any more raises
`StaleCaller`, an OSError.

What is expected: that each global of the caller's module which was bound to the function, by
itself, in a tuple, or as an attribute of a module, is bound to one of the same identity; for one
that was bound nowhere there (made by a function, held by an object), that one of the same identity
exists in this process.

Start at `expect`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence

from tapejit.transforms.native.functions import NativeFunction


class StaleCaller(OSError):
    """A cached caller was compiled with a native function that is not there any more."""


class Expectation:
    """What a compiled caller assumes: these names of its module mean this native function."""

    def __init__(self, identity: str, module: str, places: Sequence[tuple], environment=None):
        self.identity, self.module, self.places = identity, module, tuple(places)
        self.environment = environment  # Numba's, which lives as long as the caller by it

    def __reduce__(self):
        return met, (self.identity, self.module, self.places)

    def is_met(self) -> bool:
        """Whether the names still mean a function of this identity."""
        module = sys.modules.get(self.module)
        if module is None or not self.places:
            return any(native.identity == self.identity for native in list(NativeFunction.alive))
        found = [_at(way, vars(module)) for way in self.places]
        return all(isinstance(x, NativeFunction) and x.identity == self.identity for x in found)

    def __call__(self):
        """Numba calls it when it has loaded the caller; unpickling has tested it by then."""


def expect(context, builder, native: NativeFunction, loc) -> None:
    """Have the caller that is being compiled, of which `loc` is a line, carry what it expects."""
    module = _module_of(context.fndesc.modname, loc)
    environment, places = context.environment, places_of(native, vars(sys.modules[module]))
    expectation = Expectation(native.identity, module, tuple(places), environment)
    context.active_code_library._reload_init.add(expectation)
    # The body of a prange is a function of no module.  Numba keeps its environment on disk, and in
    # callers of callers, if it has a name, is mentioned in the code, and is alive.
    environment.globals.setdefault("__name__", module)
    environment.consts.append(expectation)
    context.declare_env_global(builder.module, environment.env_name)


def _module_of(name: str, loc) -> str:
    """The module that a line is in, by its file where the function itself has none."""
    if name in sys.modules:
        return name
    for known, module in list(sys.modules.items()):
        if loc is not None and getattr(module, "__file__", None) == loc.filename:
            return known
    return "__main__"  # a notebook's cells have files of their own


def met(identity: str, module: str, places: Sequence[tuple]) -> Expectation:
    """The expectation, if it is met here and now.

    Errors  StaleCaller, which Numba takes as "not in the cache"
    """
    expectation = Expectation(identity, module, places)
    if not expectation.is_met():
        raise StaleCaller(f"{module}: compiled with a native function that is not there any more")
    return expectation


def places_of(native: NativeFunction, names: dict) -> Iterator[tuple]:
    """Where a module's globals lead to a native function of this identity: ways of keys."""
    wanted = native.identity
    for name, value in list(names.items()):
        for way, found in _natives_in((name,), value):
            if found is native or found.identity == wanted:
                yield way


def _natives_in(way: tuple, value) -> Iterator[tuple[tuple, NativeFunction]]:
    """Native functions in a global as @njit can reach them, with the way to each."""
    if isinstance(value, NativeFunction):
        yield way, value
    elif isinstance(value, tuple):
        for i, part in enumerate(value):
            yield from _natives_in((*way, i), part)
    elif isinstance(value, types.ModuleType) and len(way) == 1:
        for name, part in list(vars(value).items()):
            if isinstance(part, NativeFunction):
                yield (*way, name), part


def _at(way: tuple, names: dict):
    """What is at the end of a way now; None if it ends before."""
    value = names.get(way[0])
    for key in way[1:]:
        if isinstance(value, tuple):
            value = value[key] if isinstance(key, int) and key < len(value) else None
        else:
            value = getattr(value, str(key), None)
    return value
