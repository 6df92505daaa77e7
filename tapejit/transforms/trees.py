"""Nested arguments: lists, tuples, dicts and dataclasses of arrays and numbers, flattened.

A leaf is dynamic (array, tensor, float, NumPy scalar: an input of the program) or static (string,
bool, int, None, enum, dtype, function: part of the signature).  `flatten` gives leaves and a
hashable structure; `unflatten` puts leaves back.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapejit.dtypes import DType
from tapejit.errors import TraceError
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.exchange import is_on_gpu, is_shareable, shared
from tapejit.runtime.devices import current
from tapejit.tensor.core import Tensor, wrap

# ---------------------------------------------------------------- data

LEAF = "*"


class Node(NamedTuple):
    """A container: its class, what names its children, and their structures."""

    container: type
    names: tuple
    children: tuple
    kinds: tuple = ()
    """What tells dict keys apart that compare equal: 1, 1.0 and True."""


class Static(NamedTuple):
    """A leaf that is part of the structure."""

    container: type
    value: Any


class Exactly:
    """A static value of which equal ones may differ: a callable with `__eq__`, 0j and -0j."""

    __slots__ = ("key", "value")

    def __init__(self, value):
        self.value = value
        self.key = repr(value) if isinstance(value, complex | slice) else id(value)

    def __eq__(self, other):
        return isinstance(other, Exactly) and self.key == other.key

    def __hash__(self):
        return hash(self.key)

    def __repr__(self):
        return repr(self.value)


_STATIC = (str, bytes, bool, type(None), enum.Enum, DType, np.dtype, type, slice, complex)


# ---------------------------------------------------------------- flatten


def flatten(tree, leaves: list, static_ints: bool = True):
    """Append the dynamic leaves of `tree` to `leaves` and return its structure.

    static_ints  whether Python ints are part of the structure (arguments) or leaves (the
                 arguments a derivative is taken of, where they are refused later)
    """
    kind = type(tree)
    if kind in (np.ndarray, float, Tensor, DeviceArray):
        leaves.append(tree)
        return LEAF
    if kind is int and not static_ints:
        leaves.append(tree)
        return LEAF
    if kind in (tuple, list):
        return Node(kind, (), tuple([flatten(x, leaves, static_ints) for x in tree]))
    if kind is dict:
        names = tuple(tree)
        children = tuple([flatten(tree[n], leaves, static_ints) for n in names])
        return Node(dict, names, children, _kinds(names))
    return _flatten_other(tree, kind, leaves, static_ints)


def _flatten_other(tree, kind, leaves, static_ints):
    if isinstance(tree, np.ndarray | np.generic | Tensor):
        leaves.append(tree)
        return LEAF
    parts = parts_of(tree)
    if parts is not None:
        names, items = parts
        children = tuple([flatten(x, leaves, static_ints) for x in items])
        kinds = _kinds(names) if isinstance(tree, dict) else ()
        return Node(kind, names, children, kinds)
    if isinstance(tree, (int, *_STATIC)) or callable(tree):
        try:
            hash((tree.start, tree.stop, tree.step) if isinstance(tree, slice) else tree)
        except TypeError:
            raise TraceError(
                f"argument: {tree!r} of type {kind.__name__} is not hashable"
            ) from None
        return Static(kind, tree if _equal_is_same(tree, kind) else Exactly(tree))
    if is_on_gpu(tree):
        leaves.append(wrap(shared(tree, current.index)))
        return LEAF
    hint = "NumPy arrays, floats, lists, tuples, dicts, dataclasses"
    if is_shareable(tree):
        hint = "tapejit.from_dlpack(...), which copies nothing"
    raise TraceError(
        f"argument: a {kind.__name__} is no array, number, static value, or container of them\n"
        f"  got  {tree!r}\n  try  {hint}"
    )


def parts_of(tree) -> tuple[tuple, Sequence] | None:
    """The names (where there are some) and items of a container; None for other things."""
    fields = getattr(tree, "_fields", None)
    if isinstance(tree, tuple) and fields is not None:
        return fields, tree
    if isinstance(tree, list | tuple):
        return (), tree
    if isinstance(tree, dict):
        return tuple(tree), [tree[name] for name in tree]
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = tuple([f.name for f in dataclasses.fields(tree) if f.init])
        return names, [getattr(tree, name) for name in names]
    return None


_EQUAL_IS_SAME = {
    object.__eq__, int.__eq__, str.__eq__, bytes.__eq__, np.dtype.__eq__, type(None).__eq__,
    type.__eq__, types.MethodType.__eq__, types.BuiltinMethodType.__eq__, DType.__eq__,
}  # fmt: skip


def _equal_is_same(value, kind) -> bool:
    if kind.__eq__ not in _EQUAL_IS_SAME:
        return False
    # a number or text of the user's own class may carry more than its value
    own = isinstance(value, int | str | bytes) and hasattr(value, "__dict__")
    return not own or isinstance(value, enum.Enum)


def _kinds(names) -> tuple:
    if all(n.__class__ is str for n in names):
        return ()
    return tuple([(n.__class__, repr(n)) for n in names])


# ---------------------------------------------------------------- unflatten


def unflatten(structure, leaves: Sequence):
    """The tree of this structure with these leaves."""
    return _build(structure, iter(leaves))


def _build(structure, leaves):
    if structure is LEAF or structure == LEAF:
        return next(leaves)
    if isinstance(structure, Static):
        return value_of(structure)
    container, names, children, _ = structure
    return put_together(container, names, [_build(child, leaves) for child in children])


def put_together(container: type, names: tuple, values: list):
    """The container of these items."""
    if container is list:
        return values
    if container is tuple:
        return tuple(values)
    if issubclass(container, dict):
        return container(zip(names, values, strict=True))
    if names:
        return container(**dict(zip(names, values, strict=True)))
    return container(values)


def count(structure) -> int:
    """How many leaves there are."""
    if isinstance(structure, Node):
        return sum(map(count, structure.children))
    return int(structure == LEAF)


def value_of(static: Static):
    """The object that a static leaf stands for."""
    return static.value.value if isinstance(static.value, Exactly) else static.value


def code_in(structure) -> list:
    """Functions that come with the arguments: static callables, and methods of containers."""
    if structure == LEAF:
        return []
    if isinstance(structure, Static):
        value = value_of(structure)
        return [value] if callable(value) else []
    found = [code for child in structure.children for code in code_in(child)]
    if structure.container not in (tuple, list, dict):
        found += _methods(structure.container)
    return found


def _methods(container: type) -> list:
    """The public Python functions and properties of a class and those it derives from."""
    functions = []
    for owner in container.__mro__:
        for name, value in vars(owner).items():
            value = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if isinstance(value, types.FunctionType) and (name[0] != "_" or name == "__call__"):
                functions.append(value)
    return functions
