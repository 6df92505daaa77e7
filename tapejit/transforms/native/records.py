"""What a native function is: its machine code, and how its arguments and its answer are nested.

A nesting is the example's own containers with a record at each leaf: of the arguments a Number, an
Array, or a Static that must be equal; of the answer a Result, or a Constant that is always so.

Start at `NativeCode`.  Who calls it: c_side.py, low_level.py, export.py, `interop.numba_seam`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from tapejit.runtime.freestanding import Freestanding

# ---------------------------------------------------------------- leaves


class Number(NamedTuple):
    """An argument that is one number."""

    dtype: np.dtype


class Array(NamedTuple):
    """An argument that is an array."""

    dtype: np.dtype
    shape: tuple[int, ...]


class Static(NamedTuple):
    """An argument that is part of the function: it must be equal to this one."""

    value: Any


class Result(NamedTuple):
    """A part of the answer that is computed."""

    number: int
    """Which output of the code it is."""
    dtype: np.dtype
    shape: tuple[int, ...]
    is_number: bool
    """A number, not an array; of shape ()."""


class Constant(NamedTuple):
    """A part of the answer that is always the same."""

    value: Any


# ---------------------------------------------------------------- the whole


class NativeCode:
    """A function as machine code, with the nestings of its arguments and its answer."""

    def __init__(self, name: str, code: Freestanding, arguments: tuple, keywords: dict, answer):
        self.__name__ = name
        self.code = code
        self.arguments = arguments
        self.keywords = keywords
        self.answer = answer

    def __repr__(self):
        given = [*map(_text, self.arguments)]
        given += [f"{name}={_text(value)}" for name, value in self.keywords.items()]
        return f"<native {self.__name__}({', '.join(given)}) -> {_text(self.answer)}>"


def _text(part) -> str:
    """A part of a signature, as people write it."""
    if isinstance(part, Number):
        return str(part.dtype)
    if isinstance(part, Array | Result):
        return f"{part.dtype}{list(part.shape)}" if part.shape else str(part.dtype)
    if isinstance(part, Static | Constant):
        return repr(part.value)
    if isinstance(part, dict):
        return f"{{{', '.join(f'{name!r}: {_text(x)}' for name, x in part.items())}}}"
    inner = ", ".join(map(_text, part))
    return f"[{inner}]" if isinstance(part, list) else f"({inner})"


# ---------------------------------------------------------------- nesting


def parts_of(tree) -> list[tuple[Any, Any]] | None:
    """The parts of arguments or an answer with their names or numbers; None for a leaf."""
    if isinstance(tree, Number | Array | Static | Result | Constant):
        return None
    if isinstance(tree, dict):
        return list(tree.items())
    if dataclasses.is_dataclass(tree):
        return [(f.name, getattr(tree, f.name)) for f in dataclasses.fields(tree) if f.init]
    return list(zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True))


def names_of(tree) -> tuple | None:
    """What names the parts of a container that is no plain tuple or list."""
    is_plain = isinstance(tree, tuple | list) and not hasattr(tree, "_fields")
    return None if is_plain else tuple(name for name, _ in parts_of(tree) or ())


def leaves_of(tree) -> list:
    """All leaves of arguments or an answer, in order."""
    parts = parts_of(tree)
    return [tree] if parts is None else [leaf for _, part in parts for leaf in leaves_of(part)]


def classes_of(tree) -> list:
    """The classes of all parts, by name."""
    kind = type(tree)
    own = (kind.__module__, kind.__qualname__)
    return [own, *(classes_of(part) for _, part in parts_of(tree) or ())]
