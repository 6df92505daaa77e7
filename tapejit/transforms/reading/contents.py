"""Everything inside a captured object: deep snapshots, and the classes of what is found.

The walk of `frames` loses sight of a captured object when it is passed to unknown code, iterated
over or kept in a container: it *escapes*.  Then all of it may be read: `visit` records every object
that can be reached from it (`snapshot`), and analyses the functions it holds as if they were
called.  Methods may be called on instances: those of their classes whose names occur anywhere in
the code, and operators, are analysed too (`run_methods`).

What has state that Python cannot see (locks, files, iterators) makes a reason.
"""

from __future__ import annotations

import functools
import types
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from tapejit.numba_code.names import python_body
from tapejit.transforms.reading import snapshot, trust
from tapejit.transforms.reading.ledger import (
    C_FUNCTIONS,
    RULES,
    Ledger,
    RootFrame,
    find_in_classes,
    functions_of,
)
from tapejit.transforms.reading.snapshot import MISSING, is_leaf
from tapejit.transforms.reading.trust import words
from tapejit.transforms.reading.values import FRESH, HOLDS, PART, Known

MAX_NODES = 10_000

# dunders that numerical results do not depend on, or that run only where an object is made
NOT_CALLED = frozenset(
    words(
        "__repr__ __str__ __del__ __dict__ __weakref__ __doc__ __module__ __qualname__ "
        "__slots__ __annotations__ __reduce__ __reduce_ex__ __getstate__ __setstate__ "
        "__init_subclass__ __subclasshook__ __class_getitem__ __dataclass_fields__ "
        "__dataclass_params__ __match_args__ __parameters__ __orig_bases__ "
        "__abstractmethods__ __replace__ __static_attributes__ __firstlineno__ __annotate__ "
        "__annotate_func__ __dir__ __sizeof__ __format__ __signature__ __wrapped__ "
        "__type_params__ __name__"
    )
)
FIELD: type = type(vars(NamedTuple("One", [("field", int)]))["field"])
"""What reads a field of a named tuple."""
MAKERS = frozenset(["__init__", "__new__", "__post_init__"])


class Contents(Ledger):
    """The part of the analyst that looks into captured objects."""

    # ------------------------------------------------------------ classes whose instances are about

    def add_class(self, cls, rank, made=False):
        """Methods of this class, by the names the code uses, may run on something of this rank."""
        for base in cls.__mro__:
            if not trust.is_pure_module(base.__module__):
                self.alive.append(cls)
                self.classes[(cls, rank.name, made)] = rank
                break
        if isinstance(cls.__getattribute__, types.FunctionType):
            self.fail(f"{cls.__qualname__}: attributes computed by __getattribute__")

    def run_methods(self):
        """Analyse methods until neither new names nor new classes turn up."""
        while self.reason is None:
            todo = []
            for (cls, _, made), rank in list(self.classes.items()):
                dunders = {n for base in cls.__mro__ for n in vars(base) if n.startswith("__")}
                skip = NOT_CALLED if made else NOT_CALLED | MAKERS
                if self.names & {"str", "repr", "format"}:
                    skip -= {"__str__", "__repr__", "__format__"}
                for name in sorted((dunders - skip) | (self.names - MAKERS)):
                    key = (cls, rank.name, made, name)
                    if key not in self.methods_done:
                        self.methods_done.add(key)
                        todo.append((cls, rank, name))
            if not todo:
                return
            for cls, rank, name in todo:
                self.run_by_name(cls, rank, name)

    def run_by_name(self, cls, rank, name):
        raw, owner = find_in_classes(cls, name)
        if raw is MISSING or trust.is_pure_module(owner.__module__):
            return
        if isinstance(raw, types.MemberDescriptorType | types.GetSetDescriptorType | FIELD):
            return  # a slot, or a field of a named tuple: its value is in the snapshot
        label = f"{owner.__qualname__}.{name}"
        self.check(f"{{o}}.__dict__[{name!r}]", owner, raw, label)
        for function in functions_of(raw):
            if isinstance(function, types.FunctionType):
                result = self.call_function(function, label, None, {}, RootFrame(self, label), rank)
                if result is PART or (result is HOLDS and self.part_result is FRESH):
                    self.part_result = result
            else:
                self.visit(function, label)

    # ------------------------------------------------------------ deep snapshots

    def escape(self, known, frame):
        """A captured object goes where the walk cannot follow: everything in it may be read."""
        self.visit(known.value, known.label)
        return FRESH if is_immutable(known.value) else PART

    def visit(self, value, label):
        """Snapshot an object and all it holds."""
        todo = [(value, label)]
        while todo and self.reason is None:
            value, label = todo.pop()
            if is_leaf(value):
                if isinstance(value, snapshot.enum.Enum):
                    self.add_class(type(value), PART)
                continue
            if id(value) in self.visited:
                continue
            self.visited.add(id(value))
            self.alive.append(value)
            if len(self.visited) > MAX_NODES:
                self.fail(f"{label}: more than {MAX_NODES} objects to compare")
                return
            self.vet(value, label)
            if self.reason is None:
                todo.extend(self.inside(value, label))

    def inside(self, value, label):
        """Record one object; returns what it holds."""
        kind = type(value)
        if isinstance(value, np.ndarray):
            return self.inside_array(value, label)
        if self.is_tensor(value):
            return self.inside_tensor(value, label)
        if kind in snapshot.SEQUENCES:
            self.record(snapshot.Sequence(value, label))
            return [] if kind is bytearray else [(x, f"{label}[{i}]") for i, x in enumerate(value)]
        if kind in snapshot.MAPPINGS:
            self.record(snapshot.Mapping(value, label))
            found = [(x, f"{label}[{k!r}]") for k, x in value.items()]
            found += [(k, f"key of {label}") for k in value]
            if kind is snapshot.defaultdict:
                found.append((value.default_factory, f"{label}.default_factory"))
            return found
        if kind in (tuple, frozenset, types.MappingProxyType):
            if kind is types.MappingProxyType:
                self.record(snapshot.Mapping(value, label))
                value = value.values()
            return [(x, f"{label}[{i}]") for i, x in enumerate(value)]
        if isinstance(value, types.ModuleType):
            if not trust.is_pure_module(value.__name__):
                self.fail(f"{label}: the module {value.__name__} as a value")
            return []
        return self.inside_callable(value, label)

    def inside_array(self, value, label):
        if type(value) not in (np.ndarray, np.memmap) or value.dtype.hasobject:
            self.fail(f"{label}: a {type(value).__name__} of dtype {value.dtype}")
            return []
        self.arrays.append((label, value))
        self.record(snapshot.Array(value, label, self.contents))
        return []

    def inside_tensor(self, value, label):
        self.arrays.append((label, value))
        try:
            self.record(snapshot.TensorRecord(value, label, self.array_of, self.contents))
        except Exception as problem:
            self.fail(f"{label}: a tensor whose memory cannot be read ({problem})")
        return []

    def inside_callable(self, value, label):
        frame = RootFrame(self, label)
        if isinstance(value, types.FunctionType):
            result = self.call_function(value, label, None, {}, frame, PART)
            self.part_result = max(self.part_result, result, key=attrgetter("rank"))
            # NumPy keeps a ufunc's signature once asked; wrappers copy what they find
            held = {k: x for k, x in vars(value).items() if k != "__signature__"}
            return [(x, f"{label}.{k}") for k, x in held.items()]
        if isinstance(value, types.MethodType):
            return [(value.__self__, label), (value.__func__, label)]
        if isinstance(value, type):
            if not trust.is_pure_module(trust.home_of(value)):
                self.add_class(value, HOLDS, made=True)
            return []
        if isinstance(value, functools.partial):
            self.check("{o}.func", value, value.func, label)
            self.check("{o}.args", value, value.args, label)
            return [(value.func, label), (value.args, label), (value.keywords, label)]
        if isinstance(value, C_FUNCTIONS):
            owner = getattr(value, "__self__", None)
            if trust.is_pure_module(trust.home_of(value)) or owner is not None:
                loose = not isinstance(owner, types.ModuleType)
                return [(owner, label)] if owner is not None and loose else []
            self.fail(f"{label}: a C function of an unknown module")
            return []
        if isinstance(value, property | staticmethod | classmethod | functools.cached_property):
            return [(x, label) for x in functions_of(value)]
        if isinstance(value, super):
            return [(getattr(value, "__self__", None), label)]
        return self.inside_instance(value, label)

    def inside_instance(self, value, label):
        """A plain Python object: `__dict__`, `__slots__`, and its class's methods by name."""
        cls = type(value)
        inner = getattr(value, "__wrapped__", None) or python_body(value)
        if isinstance(value, type(functools.lru_cache(abs))):
            self.call(Known(value, label), None, {}, RootFrame(self, label))
            return []
        if getattr(value, RULES, None) is not None:
            functions = getattr(value, RULES)
            self.check(f"{{o}}.{RULES}", value, functions, f"rule of {label}")
            return [(function, label) for function in functions]
        if callable(inner) and self.is_foreign(value):
            return [(inner, label)]
        is_tuple = isinstance(value, tuple)
        if not is_tuple and (trust.is_stencil(value) or not has_python_layout(cls)):
            self.fail(f"{label}: a {cls.__module__}.{cls.__qualname__} cannot be compared")
            return []
        self.check("{o}.__class__", value, cls, f"class of {label}")
        self.add_class(cls, PART)
        found = [(x, f"{label}[{i}]") for i, x in enumerate(value)] if is_tuple else []
        own = getattr(value, "__dict__", None)
        if own is not None:
            # the dict is taken afresh: `obj.__dict__ = other` is legal
            self.check("{o}.__dict__", value, own, f"{label}.__dict__")
            self.record(snapshot.Mapping(own, label))
            found += [(x, f"{label}.{k}") for k, x in own.items()]
        for name in slots_of(cls):
            item = getattr(value, name, MISSING)
            if item is MISSING:
                self.check(f"not hasattr({{o}}, {name!r})", value, True, f"{label}.{name}")
            else:
                self.check(f"{{o}}.{name}", value, item, f"{label}.{name}")
                found.append((item, f"{label}.{name}"))
        return found


def slots_of(cls):
    """Names of all `__slots__`, as attributes."""
    member = types.MemberDescriptorType
    return [n for base in cls.__mro__ for n, x in vars(base).items() if isinstance(x, member)]


def has_python_layout(cls):
    """Is all state of an instance in its `__dict__` and slots (no hidden C fields)?"""
    if cls is types.SimpleNamespace:
        return True
    heap, immutable = 1 << 9, 1 << 8
    room = object.__basicsize__ + 8 * (len(slots_of(cls)) + 2)
    flags = all(
        base.__flags__ & heap and not base.__flags__ & immutable for base in cls.__mro__[:-1]
    )
    return cls is not object and flags and cls.__basicsize__ <= room


def is_immutable(value):
    """Functions, classes, modules and the like: nothing to write through."""
    return isinstance(value, (types.FunctionType, types.ModuleType, type, *C_FUNCTIONS))
