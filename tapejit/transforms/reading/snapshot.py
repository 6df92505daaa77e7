"""Remembering what captured objects looked like, and comparing them cheaply later.

A deep snapshot is kept flat: every mutable object that was found (list, dict, set, deque,
instance, array, tensor) has one *shallow* record of its own, holding its children by identity.
As the children's records are in the same flat list, comparing all records compares the whole
structure, without recursion, whatever its cycles.

Numbers, strings and the like are *leaves*: they cannot change, so identity decides first, then
type and value (`same`): nan equals nan; 0.0 and -0.0, 1 and 1.0 and True differ.
"""

from __future__ import annotations

import enum
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from operator import eq, is_
from typing import Any

import numpy as np

MISSING = object()
"""What is read where there is nothing."""

SCALARS = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
SEQUENCES = (list, set, deque, bytearray)
MAPPINGS = (dict, OrderedDict, defaultdict, Counter)


def is_leaf(value) -> bool:
    """Is this immutable all the way down, so that identity or `same` decides?"""
    kind = type(value)
    if kind in SCALARS or kind in (slice, range):
        return True
    if kind is tuple or kind is frozenset:
        return all(is_leaf(item) for item in value)
    if isinstance(value, np.generic):
        return not isinstance(value, np.void | np.object_)
    # our own caches, kept on the user's functions, do not change what a function computes
    return isinstance(value, enum.Enum | np.dtype) or hasattr(kind, "__tapejit_cache__")


def same(old, new) -> bool:
    """Are two leaves interchangeable in a recording?"""
    if old is new:
        return True
    kind = type(old)
    if kind is not type(new):
        return False
    if kind is float:
        return struct.pack("d", old) == struct.pack("d", new)
    if kind is complex:
        return same(old.real, new.real) and same(old.imag, new.imag)
    if kind is tuple:
        return len(old) == len(new) and all(map(same, old, new))
    if kind is frozenset:
        return old == new and {(type(x), x) for x in old} == {(type(x), x) for x in new}
    if isinstance(old, np.generic):
        return old.dtype == new.dtype and old.tobytes() == new.tobytes()
    if kind in SCALARS or kind in (slice, range) or isinstance(old, np.dtype):
        return old == new
    return False


def show(value) -> str:
    """A short text for messages."""
    if is_leaf(value):
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"a {type(value).__name__}"


def _same_children(old, new) -> bool:
    """Same objects in the same order, or leaves that are interchangeable."""
    return all(map(is_, old, new)) or all(map(same, old, new))


class Sequence:
    """Items of a list, set or deque, by identity."""

    def __init__(self, value, label):
        self.value, self.label = value, label
        self.items = tuple(value)

    def holds(self) -> bool:
        value = self.value
        return len(value) == len(self.items) and _same_children(self.items, value)

    def difference(self) -> str:
        old, new = self.items, tuple(self.value)
        if len(old) != len(new):
            return f"{self.label}: length {len(old)} -> {len(new)}"
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            if a is not b and not same(a, b):
                return f"{self.label}[{i}]: {show(a)} -> {show(b)}"
        return f"{self.label}: changed"


class Mapping:
    """Keys, their order, and values of a dict (or of an instance's `__dict__`)."""

    def __init__(self, value, label):
        self.value, self.label = value, label
        self.keys, self.items = tuple(value), tuple(value.values())

    def holds(self) -> bool:
        value = self.value
        return (
            len(value) == len(self.keys)
            and _same_children(self.items, value.values())
            and _same_children(self.keys, value)
        )

    def difference(self) -> str:
        old = dict(zip(self.keys, self.items, strict=True))
        for key, new in self.value.items():
            if key not in old:
                return f"{self.label}: new entry {key!r}"
            if old[key] is not new and not same(old[key], new):
                return f"{self.label}[{key!r}]: {show(old[key])} -> {show(new)}"
        gone = [key for key in old if key not in self.value]
        return f"{self.label}: entry {gone[0]!r} is gone" if gone else f"{self.label}: reordered"


def is_frozen(array) -> bool:
    """Can nobody ever write this memory?  Only that of `bytes`: what owns memory can unlock it."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, bytes)


CHUNK = 1 << 15
"""Elements compared at a time: chunks stay in cache, and the first difference ends the work."""


def raw(array) -> tuple[bytes, ...]:
    """The bytes of an array in the order of its memory, in chunks."""
    return tuple(_chunks(array))


def _chunks(array):
    if array.size <= CHUNK:
        yield array.tobytes("A")
        return
    flat = array.reshape(-1, order="A") if array.flags.forc else array.flat
    for start in range(0, array.size, CHUNK):
        yield flat[start : start + CHUNK].tobytes()


class Array:
    """Shape, dtype, strides and (unless frozen) contents of one ndarray, bit for bit."""

    def __init__(self, value, label, contents=True):
        self.value, self.label = value, label
        self.facts = (value.shape, value.dtype, value.strides)
        self.contents = contents and not is_frozen(value)
        self.bytes: Any = raw(value) if self.contents else ()

    def holds(self) -> bool:
        return self.matches(self.value)

    def matches(self, value) -> bool:
        """Would this array do in place of the one that was seen?"""
        shape, dtype, strides = self.facts
        if value.shape != shape or value.strides != strides or value.dtype != dtype:
            return False
        if not self.contents:
            return True
        if value.size <= CHUNK:
            return value.tobytes("A") == self.bytes[0]
        return all(map(eq, _chunks(value), self.bytes))

    def difference(self) -> str:
        new = (self.value.shape, self.value.dtype, self.value.strides)
        if new != self.facts:
            return f"{self.label}: {_facts_text(self.facts)} -> {_facts_text(new)}"
        return f"{self.label}: contents changed"


def _facts_text(facts) -> str:
    return f"{facts[1]}{list(facts[0])} strides {list(facts[2])}"


class TensorRecord:
    """Facts and memory of one tensor; its array is fetched anew, as `.data` may be replaced."""

    def __init__(self, value, label, array_of, contents=True):
        self.value, self.label, self.array_of = value, label, array_of
        self.requires_grad = value.requires_grad
        self.memory = Array(array_of(value), label, contents)
        self.device = getattr(value, "device", None)

    def holds(self) -> bool:
        value = self.value
        return (
            value.requires_grad is self.requires_grad
            and getattr(value, "device", None) == self.device
            and self.memory.matches(self.array_of(value))
        )

    def difference(self) -> str:
        if self.value.requires_grad is not self.requires_grad:
            return f"{self.label}: requires_grad {self.requires_grad} -> {self.value.requires_grad}"
        now = self.array_of(self.value)
        if (now.shape, now.dtype) != self.memory.facts[:2]:
            return f"{self.label}: shape {self.memory.facts[0]} -> {now.shape}, or its dtype"
        return f"{self.label}: contents changed"
