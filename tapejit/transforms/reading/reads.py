"""What a function reads besides its arguments, and whether all of that is still the same.

A recording may be replayed only while everything that the recorded Python code could have read
is unchanged: closure cells, defaults, globals, the functions it calls and theirs, attributes of
objects it holds, contents of captured lists, dicts and arrays.  `take(function, is_tensor)`, called
*before* the function runs, finds all of that and returns `Guards`:

    guards.reason     why this run must not be cached, or None
    guards.hold()     is everything still the same?  asked at every compiled call
    guards.changed()  the first thing that differs, in words, or None

After the run, `guards.unchanged_since_taken()` tells whether the run itself changed something it
had captured (an append, a counter, a random generator): then it is not cached either.

How: `frames.Frame` walks through the bytecode and reports what is loaded; `Analyst` decides what
each value needs.  The outcome is a flat list of `Check`s, ``something is expected``, printed as one
boolean expression and compiled.  Mutable objects that go out of the walk's sight get a deep
snapshot (`snapshot`).  Whatever is not understood becomes a reason: a slow answer, not a stale one.

Start at `take`, then `Analyst.read_attribute` and `Analyst.call`.

Not seen: monkey-patched insides of trusted modules (`trust.PURE_MODULES`); contents of arrays that
nobody may write to (`snapshot.is_frozen`); user objects that come in through arguments.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import types

import numpy as np

from tapejit.transforms.reading import snapshot, trust
from tapejit.transforms.reading.calls import Calls
from tapejit.transforms.reading.contents import Contents
from tapejit.transforms.reading.frames import NotUnderstood
from tapejit.transforms.reading.guards import Guards
from tapejit.transforms.reading.ledger import C_FUNCTIONS, RULES, find_in_classes
from tapejit.transforms.reading.snapshot import MISSING, is_leaf
from tapejit.transforms.reading.values import FRESH, PART, VIEWER, Known


def take(function, is_tensor, array_of=None, contents=True) -> Guards:
    """Guards for a run of `function` that is about to happen.

    `is_tensor(value)` recognises tensors; `array_of(tensor)` gives a tensor's memory as an ndarray
    (default ``tensor.detach().numpy()``); ``contents=False`` leaves out the contents of captured
    arrays and tensors, for callers that make them inputs of the compiled program.
    """
    array_of = array_of or (lambda tensor: tensor.detach().numpy())
    analyst = Analyst(is_tensor, array_of, contents)
    analyst.analyse(function)
    checks = list(analyst.checks.values())
    return Guards(checks, analyst.reason, analyst.arrays)


class Analyst(Calls, Contents):
    """Decides what each value that the code reads needs: a check, a snapshot, or a refusal."""

    def analyse(self, function):
        """Find everything that a call of `function` may read."""
        try:
            for _ in range(3):
                before = self.part_result
                self.done.clear()
                self.methods_done.clear()
                root = getattr(function, "__qualname__", type(function).__name__)
                self.call(Known(function, root), None, {}, None, FRESH)
                self.run_methods()
                if self.part_result is before or self.reason:
                    break
        except NotUnderstood as problem:
            self.fail(str(problem))
        except RecursionError:
            self.fail("functions call each other too deeply to follow")

    # ------------------------------------------------------------ names

    def read_global(self, function, name, frame):
        space, builtin = function.__globals__, function.__builtins__
        if name in space:
            label = f"global '{name}' of {frame.where}"
            self.check(f"{{o}}[{name!r}]", space, space[name], label)
            return self.known(space[name], label)
        if name not in builtin:
            self.fail(f"{frame.place()}: the name '{name}' is not set")
            return FRESH
        self.check(f"{name!r} not in {{o}}", space, True, f"builtin '{name}'")
        self.check(f"{{o}}[{name!r}]", builtin, builtin[name], f"builtin '{name}'")
        return self.known(builtin[name], name)

    def read_cell(self, cell, name, frame):
        try:
            value = cell.cell_contents
        except ValueError:
            self.fail(f"{frame.place()}: the closure variable '{name}' is not set")
            return FRESH
        label = f"closure variable '{name}' of {frame.code.co_name}"
        if name != "__class__":
            self.check("{o}.cell_contents", cell, value, label)
        return self.known(value, label)

    def read_import(self, function, name, fromlist, level, frame):
        level = level.value if isinstance(level, Known) else 0
        if level:
            package = function.__globals__.get("__package__") or ""
            name = importlib.util.resolve_name("." * level + name, package)
        wanted = name if isinstance(fromlist, Known) and fromlist.value else name.partition(".")[0]
        if isinstance(fromlist, Known) is False:
            wanted = name  # a tuple of names is no leaf where it was built
        module = sys.modules.get(wanted)
        if module is not None:
            if not trust.is_pure_module(wanted):
                self.check(f"{{o}}[{wanted!r}]", sys.modules, module, f"module {wanted}")
            return self.known(module, wanted)
        if not trust.is_pure_module(name):
            self.fail(f"{frame.place()}: imports {name}")
        return FRESH

    # ------------------------------------------------------------ attributes

    def read_attribute(self, base, name, frame):
        """`base.name` for a Known base: guarded by the narrowest check that settles it."""
        value, key = base.value, (id(base.value), name)
        if key in self.bound:
            return self.bound[key]
        label = f"{base.label}.{name}"
        if isinstance(value, types.ModuleType):
            result = self.module_attribute(value, name, label, frame)
        elif is_leaf(value):
            result = self.leaf_attribute(value, name, label)
        elif isinstance(value, np.ndarray) or self.is_tensor(value):
            result = self.array_attribute(base, name, frame)
        elif type(value) in snapshot.SEQUENCES + snapshot.MAPPINGS:
            if name in trust.MUTATORS:
                self.fail(f"{frame.place()}: changes {base.label} by .{name}()")
            self.visit(value, base.label)
            result = VIEWER
        elif isinstance(value, super):
            result = self.super_attribute(value, name, label)
        elif isinstance(value, type):
            result = self.class_attribute(value, name, label, frame)
        elif isinstance(value, C_FUNCTIONS) or self.is_trusted_function(value):
            self.vet_name(name, label)
            result = self.known(getattr(value, name), label) if hasattr(value, name) else FRESH
        else:
            result = self.instance_attribute(value, name, label, frame)
        self.alive.append(value)
        self.bound[key] = result
        return result

    def vet_name(self, name, label):
        if name in trust.IMPURE_NAMES:
            self.fail(f"reads {trust.IMPURE_NAMES[name]}: {label}")

    def module_attribute(self, module, name, label, frame):
        home = module.__name__
        if trust.is_pure_module(home):
            if not (home == "tapejit" and name in trust.DRAWN):
                self.vet_name(name, label)
            value = getattr(module, name, MISSING)
            return FRESH if value is MISSING else self.known(value, label)
        if (home, name) in trust.CONSTANTS:
            return FRESH
        what = trust.impure_module(home)
        if what:
            self.fail(f"{frame.place()}: reads {what}: {label}")
            return FRESH
        space = vars(module)
        if name not in space:
            self.fail(f"{frame.place()}: {label} is not set")
            return FRESH
        self.check(f"{{o}}[{name!r}]", space, space[name], label)
        return self.known(space[name], label)

    def leaf_attribute(self, value, name, label):
        if not isinstance(value, snapshot.enum.Enum):
            return FRESH
        self.add_class(type(value), PART)
        if name in ("value", "name", "_value_"):
            return self.known(getattr(value, name), label)
        return PART

    def array_attribute(self, base, name, frame):
        value, label = base.value, base.label
        self.visit(value, label)
        in_place = name.endswith("_") and not name.startswith("_") and name != "requires_grad_"
        if name in trust.MUTATORS or (in_place and self.is_tensor(value)):
            self.fail(f"{frame.place()}: changes {label} by .{name}()")
        if name == "grad":
            self.fail(f"{frame.place()}: reads {label}.grad")
        return VIEWER if name in trust.ALIASING or name == "copy" else FRESH

    def super_attribute(self, value, name, label):
        order = type(value.__self__).__mro__
        if isinstance(value.__self__, type):
            order = value.__self__.__mro__
        for owner in order[order.index(value.__thisclass__) + 1 :]:
            if name in vars(owner):
                raw = vars(owner)[name]
                if isinstance(raw, types.FunctionType):
                    self.check(f"{{o}}.__dict__[{name!r}]", owner, raw, label)
                    return self.known(getattr(value, name), label)
                if not trust.is_pure_module(owner.__module__):
                    self.fail(f"{label}: not a plain method")
                return FRESH
        return FRESH

    def class_attribute(self, cls, name, label, frame):
        if trust.is_pure_module(trust.home_of(cls)):
            self.vet_name(name, label)
            return self.known(getattr(cls, name), label) if hasattr(cls, name) else FRESH
        raw, _ = find_in_classes(cls, name)
        meta, owner = find_in_classes(type(cls), name)
        if meta is not MISSING and owner not in (type, object) and hasattr(meta, "__get__"):
            self.fail(f"{label}: computed by a metaclass")
            return FRESH
        if raw is MISSING and meta is MISSING:
            if hasattr(type(cls), "__getattr__"):
                self.fail(f"{label}: computed by a metaclass")
            self.check(f"not hasattr({{o}}, {name!r})", cls, True, label)
            return FRESH
        if issubclass(cls, snapshot.enum.Enum) and name in cls.__members__:
            return self.known(getattr(cls, name), label)
        value = getattr(cls, name)
        if isinstance(value, types.MethodType):
            self.check(f"{{o}}.{name}.__func__", cls, value.__func__, label)
        elif isinstance(raw, types.FunctionType | staticmethod) or not hasattr(raw, "__get__"):
            self.check(f"{{o}}.{name}", cls, value, label)
        else:
            self.fail(f"{frame.place()}: {label} is computed")
        return self.known(value, label)

    def instance_attribute(self, value, name, label, frame):
        cls = type(value)
        if isinstance(cls.__getattribute__, types.FunctionType):
            self.fail(f"{frame.place()}: {label} is computed by __getattribute__")
            return FRESH
        if isinstance(value, tuple) and name in getattr(cls, "_fields", ()):
            return self.known(getattr(value, name), label)
        raw, owner = find_in_classes(cls, name)
        self.check("{o}.__class__", value, cls, f"class of {label.rpartition('.')[0]}")
        if name == "__class__":
            return self.known(cls, label)
        if isinstance(raw, property):
            self.check(f"{{o}}.__dict__[{name!r}]", owner, raw, label)
            if raw.fget is None:
                return FRESH
            if isinstance(raw.fget, types.FunctionType):
                return self.run_function(raw.fget, label, [Known(value, label)], {}, FRESH)
            self.fail(f"{frame.place()}: {label} is computed")
            return FRESH
        own = getattr(value, "__dict__", {})
        if name not in own:
            if raw is MISSING:
                return self.missing_attribute(value, name, label, frame)
            if isinstance(raw, functools.cached_property):
                self.check(f"{name!r} not in {{o}}.__dict__", value, True, label)
                return self.run_function(raw.func, label, [Known(value, label)], {}, FRESH)
        return self.plain_attribute(value, name, label, raw, frame)

    def missing_attribute(self, value, name, label, frame):
        if hasattr(type(value), "__getattr__"):
            self.fail(f"{frame.place()}: {label} is computed by __getattr__")
        else:
            self.check(f"not hasattr({{o}}, {name!r})", value, True, label)
        return FRESH

    def plain_attribute(self, value, name, label, raw, frame):
        """An entry of `__dict__`, a slot, a method or a class's constant."""
        if getattr(raw, RULES, None) is not None and name not in getattr(value, "__dict__", {}):
            owner = find_in_classes(type(value), name)[1]
            self.check(f"{{o}}.__dict__[{name!r}]", owner, raw, label)
            return self.known(getattr(value, name), label)
        if hasattr(raw, "__get__") and isinstance(type(raw).__get__, types.FunctionType):
            self.fail(f"{frame.place()}: {label} is computed by a descriptor")
            return FRESH  # reading it here would run the user's code once more
        try:
            got = getattr(value, name)
        except AttributeError:
            return self.missing_attribute(value, name, label, frame)
        own = name in getattr(value, "__dict__", {})
        plain = types.FunctionType | staticmethod | classmethod | types.MemberDescriptorType
        if not own and hasattr(raw, "__get__") and not isinstance(raw, plain):
            if trust.is_pure_module(type(value).__module__) and not is_leaf(got):
                self.visit(value, label)
                return PART
            if not is_leaf(got):
                self.fail(f"{frame.place()}: {label} is computed")
                return FRESH
        if isinstance(got, types.MethodType) and not own:
            self.check(f"{{o}}.{name}.__func__", value, got.__func__, label)
        else:
            self.check(f"{{o}}.{name}", value, got, label)
        return self.known(got, label)

    # ------------------------------------------------------------ items

    def read_item(self, base, key, frame):
        """An element of a captured container: `base[key]`, or any of them if key is None."""
        value = base.value
        if is_leaf(value):
            return FRESH
        frame.rank(base)
        kind = type(value)
        if isinstance(value, np.ndarray):
            return FRESH if value.ndim == 1 and _is_index(key) else PART
        if kind not in (list, tuple, dict):
            return PART
        if isinstance(key, Known) and is_leaf(key.value) and not isinstance(key.value, slice):
            try:
                return self.known(value[key.value], f"{base.label}[{key.value!r}]")
            except (LookupError, TypeError):
                return FRESH
        inside = list(value.values()) if kind is dict else value
        return FRESH if all(map(is_leaf, inside)) else PART


def _is_index(key):
    return key is None or (isinstance(key, Known) and type(key.value) is int)
