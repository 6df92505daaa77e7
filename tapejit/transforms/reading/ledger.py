"""The book in which the analysis of `reads` writes down what it finds.

`Ledger` holds the checks so far, the first reason against caching, and what was seen already; the
three parts of the analyst (`contents`, `calls`, `reads`) share it.  Below it: small questions about
classes and values that more than one part asks.

Everything whose `id` is used as a key is kept alive in `Ledger.alive`.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.transforms.reading import trust
from tapejit.transforms.reading.frames import Frame
from tapejit.transforms.reading.guards import Check
from tapejit.transforms.reading.snapshot import MISSING, is_leaf
from tapejit.transforms.reading.values import FRESH, Known

C_FUNCTIONS = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    np.ufunc,
    type(np.mean),  # NumPy's own dispatchers
)
RULES = "__tapejit_functions__"
"""Where a custom_vjp or custom_jvp keeps its function, and then its rules."""

GENERATORS = {
    "numpy.random": ("Generator", "RandomState", "BitGenerator"),
    "random": ("Random",),
}
"""Classes of random generators by module, by name: numpy.random takes 8 ms to import."""


def is_generator(value) -> bool:
    """Whether it draws random numbers; only who has imported such a module has one."""
    return any(
        isinstance(value, getattr(sys.modules.get(module), name, ()))
        for module, names in GENERATORS.items()
        for name in names
    )


class Ledger:
    """Checks, reasons, and what has been looked at."""

    # the parts call each other: contents -> calls, calls -> reads and contents
    visit: Callable[..., Any]
    add_class: Callable[..., Any]
    call: Callable[..., Any]
    call_function: Callable[..., Any]
    run_function: Callable[..., Any]
    read_attribute: Callable[..., Any]
    read_cell: Callable[..., Any]
    vet_name: Callable[..., Any]
    is_foreign: Callable[..., Any]
    analyse: Callable[..., Any]

    def __init__(self, is_tensor, array_of, contents):
        self.is_tensor, self.array_of, self.contents = is_tensor, array_of, contents
        self.reason: str | None = None
        self.checks: dict[tuple, Check] = {}
        self.arrays: list[tuple[str, Any]] = []
        self.names: set[str] = set()
        self.alive: list = []  # ids below are of these
        self.visited: set[int] = set()
        self.bound: dict[tuple, Any] = {}  # Known, or a mark
        self.done: dict[tuple, Any] = {}
        self.followed: set[int] = set()  # functions of transforms, followed with fresh arguments
        self.classes: dict[tuple, Any] = {}
        self.methods_done: set[tuple] = set()
        self.part_result = FRESH  # what calling something inside a snapshot may return

    def fail(self, reason):
        self.reason = self.reason or reason

    def check(self, read, source, expected, label):
        key = (read, id(source))
        if key not in self.checks:
            self.checks[key] = Check(read, source, expected, label)
            self.alive.append((source, expected))

    def record(self, snap):
        """Compare this shallow snapshot at each call."""
        key = (type(snap), id(snap.value))
        if key not in self.checks:
            self.checks[key] = Check("{o}()", snap.holds, True, snap.label)

    def known(self, value, label):
        """A value that the code got by a guarded path."""
        if is_leaf(value):
            return Known(value, label)
        self.vet(value, label)
        self.alive.append(value)
        return Known(value, label)

    def vet(self, value, label):
        """Refuse what gives another answer each time, wherever it turns up."""
        if is_generator(value):
            self.fail(f"reads random numbers: {label}")
        if isinstance(value, C_FUNCTIONS):
            denied = trust.denied_builtin(value)
            if denied:
                self.fail(f"{label}: {denied}")
            owner = getattr(value, "__self__", None)
            if is_generator(owner):
                self.fail(f"reads random numbers: {label}")
        if isinstance(value, (type, types.FunctionType, *C_FUNCTIONS)):
            what = trust.impure_module(trust.home_of(value))
            if what:
                self.fail(f"reads {what}: {label}")

    def is_trusted_function(self, value):
        return isinstance(value, types.FunctionType) and trust.is_pure_module(trust.home_of(value))


class RootFrame:
    """Stands for the caller where there is no code: unknown arguments, nothing to join."""

    cells: dict = {}  # noqa: RUF012
    line = 0

    def __init__(self, analyst, where):
        self.analyst, self.where = analyst, where

    rank, worst, join, attribute = Frame.rank, Frame.worst, Frame.join, Frame.attribute

    def place(self):
        return self.where

    def fail(self, text):
        self.analyst.fail(f"{self.where}: {text}")


def functions_of(raw):
    """Functions inside a class's entry."""
    if isinstance(raw, property):
        return [f for f in (raw.fget, raw.fset, raw.fdel) if f is not None]
    if isinstance(raw, staticmethod | classmethod):
        return [raw.__func__]
    if isinstance(raw, functools.cached_property):
        return [raw.func]
    return [raw]


def find_in_classes(cls, name):
    """The raw entry of a class or its bases, and its owner."""
    for owner in cls.__mro__:
        if name in vars(owner):
            return vars(owner)[name], owner
    return MISSING, object
