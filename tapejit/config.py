"""The switches of tapejit: one table, read from the environment, settable for a block of code.

    debug    TAPEJIT_DEBUG    0 quiet · 1 a line per compile · 2 tape · 3 tape after each pass
                              4 text of kernels · 5 LLVM
    check    TAPEJIT_CHECK    0 off · 1 verify every tape that is compiled · 2 after every pass
                              3 also run each program against the row-by-row reference
    jit      TAPEJIT_JIT      1 compiled kernels · 0 the same kernels as plain Python text
    explain  TAPEJIT_EXPLAIN  1 says why a function is recorded again
    backend  TAPEJIT_BACKEND  ir: kernels as LLVM text · numba: as Python text that Numba compiles
    tier     TAPEJIT_TIER     auto: kernels start without LLVM's passes, hot ones get them in the
                              background · 0 never · 1 at once
    kernels  TAPEJIT_KERNELS  how many kernels a process keeps for programs to come (2048)
    cuda     TAPEJIT_CUDA     card: "cuda" is a GPU · simulator: one that is simulated on the CPU
    graphs   TAPEJIT_GRAPHS   1 replays calls on a GPU as CUDA graphs · 0 launches kernel by kernel
    blocking TAPEJIT_BLOCKING 1 waits for each launch on a GPU: errors name the launch

`TAPEJIT_CACHE`, `TAPEJIT_CACHE_DIR` belong to tapejit.cache.  Start at `set`.
"""

from __future__ import annotations

import os
from contextlib import ContextDecorator
from dataclasses import dataclass, fields

from tapejit.errors import ConfigError


@dataclass
class Settings:
    """The current value of every switch (process-wide)."""

    debug: int = 0
    check: int = 0
    jit: int = 1
    explain: int = 0
    backend: str = "ir"
    tier: str = "auto"
    kernels: int = 2048
    cuda: str = "card"
    graphs: int = 1
    blocking: int = 0


CHOICES = {"backend": ("ir", "numba"), "tier": ("auto", "0", "1"), "cuda": ("card", "simulator")}
"""The words that a switch may have; the other switches are whole numbers."""


def read_environment() -> Settings:
    """Settings as the environment states them; unset variables keep their defaults."""
    settings = Settings()
    for field in fields(Settings):
        variable = f"TAPEJIT_{field.name.upper()}"
        text = os.environ.get(variable)
        if text is not None and text.strip():
            setattr(settings, field.name, _value(field.name, text.strip(), variable))
    return settings


def _value(switch, given, name):
    """What a switch is set to; `name` is what messages call it."""
    if switch in CHOICES:
        if given not in CHOICES[switch]:
            raise ConfigError(
                f"{name}: one of {', '.join(CHOICES[switch])} is needed, got {given!r}"
            )
        return given
    try:
        return int(given)
    except (TypeError, ValueError):
        raise ConfigError(f"{name}: a whole number is needed, got {given!r}") from None


settings = read_environment()


class set(ContextDecorator):
    """Change switches for a block or a function.

    Errors  ConfigError for a switch that does not exist, or a value that it cannot have

    >>> with set(debug=0):
    ...     pass
    """

    def __init__(self, **switches: int | str):
        known = [field.name for field in fields(Settings)]
        for name in switches:
            if name not in known:
                raise ConfigError(f"config: no switch {name!r}; there are {', '.join(known)}")
        self.switches = {name: _value(name, given, name) for name, given in switches.items()}
        self.previous: list[dict[str, int | str]] = []

    def __enter__(self):
        self.previous.append({name: getattr(settings, name) for name in self.switches})
        for name, value in self.switches.items():
            setattr(settings, name, value)
        return self

    def __exit__(self, *exception):
        for name, value in self.previous.pop().items():
            setattr(settings, name, value)
        return False
