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
import random
import sys
import types
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from tapejit.transforms import snapshot, trust
from tapejit.transforms.frames import FRESH, HOLDS, PART, VIEWER, Frame, Known, NotUnderstood
from tapejit.transforms.snapshot import is_leaf, same, show

MAX_NODES = 10_000
MAX_FRAMES = 2_000
MISSING = object()

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
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)

# dunders that numerical results do not depend on, or that run only where an object is made
NOT_CALLED = frozenset(
    "__repr__ __str__ __del__ __dict__ __weakref__ __doc__ __module__ __qualname__ __slots__ "
    "__annotations__ __reduce__ __reduce_ex__ __getstate__ __setstate__ __init_subclass__ "
    "__subclasshook__ __class_getitem__ __dataclass_fields__ __dataclass_params__ __match_args__ "
    "__parameters__ __orig_bases__ __abstractmethods__ __replace__ __static_attributes__ "
    "__firstlineno__ __annotate__ __annotate_func__ __hash__ __dir__ __sizeof__ __format__ "
    "__signature__ __wrapped__ __type_params__ __name__".split()
)
MAKERS = frozenset(["__init__", "__new__", "__post_init__"])


# ---- what is handed out ------------------------------------------------------------------------


class Check(NamedTuple):
    """One guard: ``read`` applied to ``source`` must give ``expected``."""

    read: str
    """Expression with ``{o}`` for the source: "{o}['scale']", "{o}.cell_contents"."""
    source: Any
    expected: Any
    label: str

    def text(self, source: str, expected: str) -> str:
        read = self.read.format(o=source)
        if self.expected is True and self.read.startswith(("not ", "'")):
            return f"({read})"
        if isinstance(self.source, types.MethodType) and self.read == "{o}()":
            return read
        if is_leaf(self.expected) and self.expected not in _ALONE:
            return f"({read} is {expected} or same({expected}, {read}))"
        return f"{read} is {expected}"

    def current(self):
        try:
            return eval(self.read.format(o="o"), {"o": self.source})
        except Exception:
            return MISSING

    def difference(self) -> str | None:
        """What changed, in words."""
        new = self.current()
        if new is self.expected or (is_leaf(self.expected) and same(self.expected, new)):
            return None
        if self.read == "{o}()":
            return self.source.__self__.difference()
        if self.read.startswith(("not ", "'")):
            return f"{self.label}: now there"
        now = "gone" if new is MISSING else show(new)
        if now == show(self.expected):
            return f"{self.label}: another object, {now}"
        return f"{self.label}: {show(self.expected)} -> {now}"


class _Alone:
    """Values of which there is one each, so that ``is`` settles it."""

    def __contains__(self, value):
        return value is None or value is True or value is False or value is Ellipsis


_ALONE = _Alone()


@functools.lru_cache(maxsize=1024)
def _compiled(text: str):
    return compile(text, "<tapejit guards>", "exec")


class Guards:
    """All that one run read besides its arguments.  Made by `take`."""

    def __init__(self, checks, reason, arrays):
        self.checks: list[Check] = checks
        self.reason: str | None = reason
        self.arrays: list[tuple[str, Any]] = arrays

    def hold(self) -> bool:
        """Is everything that was read unchanged?  The first call compiles the test."""
        self.hold = (lambda: False) if self.reason else self._compile()
        return self.hold()

    def changed(self) -> str | None:
        """The first difference in words ("global 'scale' of model.py: 2.0 -> 3.0"), or None."""
        if self.reason:
            return self.reason
        return next(filter(None, (check.difference() for check in self.checks)), None)

    def unchanged_since_taken(self) -> bool:
        """Asked after the recorded run: did the run leave alone all that it had captured?"""
        return self.reason is None and self.changed() is None

    @property
    def reads(self) -> list[str]:
        """What is guarded, in the order of reading."""
        return [check.label for check in self.checks]

    def text(self) -> str:
        """Source of the compiled test.

        def hold(o0=..., e0=..., o1=..., ...):
            try:
                return o0['scale'] is e0 and o1.cell_contents is e1
            except Exception:
                return False
        """
        return self._source()[0]

    def _source(self):
        values: dict[str, Any] = {}
        names: dict[int, str] = {}

        def name(value):
            if value is None or value is True or value is False:
                return repr(value)
            if id(value) not in names:
                names[id(value)] = f"v{len(names)}"
                values[names[id(value)]] = value
            return names[id(value)]

        parts = [check.text(name(check.source), name(check.expected)) for check in self.checks]
        given = ", ".join(f"{n}={n}" for n in values)
        test = "\n            and ".join(parts) or "True"
        text = (
            f"def hold({given}):\n    try:\n        return (\n            {test}\n        )\n"
            "    except Exception:\n        return False\n"
        )
        return text, values

    def _compile(self):
        text, values = self._source()
        values["same"] = same
        exec(_compiled(text), values)
        return values["hold"]


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


# ---- the analysis ------------------------------------------------------------------------------


class Analyst:
    """Decides what each value that the code reads needs: a check, a snapshot, or a refusal."""

    def __init__(self, is_tensor, array_of, contents):
        self.is_tensor, self.array_of, self.contents = is_tensor, array_of, contents
        self.reason: str | None = None
        self.checks: dict[tuple, Check] = {}
        self.arrays: list[tuple[str, Any]] = []
        self.names: set[str] = set()
        self.alive: list = []  # ids below are of these
        self.visited: set[int] = set()
        self.bound: dict[tuple, Known] = {}
        self.done: dict[tuple, Any] = {}
        self.classes: dict[tuple, Any] = {}
        self.methods_done: set[tuple] = set()
        self.part_result = FRESH  # what calling something inside a snapshot may return

    def fail(self, reason):
        self.reason = self.reason or reason

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

    def check(self, read, source, expected, label):
        key = (read, id(source))
        if key not in self.checks:
            self.checks[key] = Check(read, source, expected, label)
            self.alive.append((source, expected))

    def record(self, snap):
        """Compare this shallow snapshot at each call."""
        self.check("{o}()", _stable(snap), True, snap.label)

    def known(self, value, label):
        """A value that the code got by a guarded path."""
        if is_leaf(value):
            return Known(value, label)
        self.vet(value, label)
        self.alive.append(value)
        return Known(value, label)

    def vet(self, value, label):
        """Refuse what gives another answer each time, wherever it turns up."""
        if isinstance(value, GENERATORS):
            self.fail(f"reads random numbers: {label}")
        if isinstance(value, C_FUNCTIONS):
            denied = trust.denied_builtin(value)
            if denied:
                self.fail(f"{label}: {denied}")
            owner = getattr(value, "__self__", None)
            if isinstance(owner, GENERATORS):
                self.fail(f"reads random numbers: {label}")
        if isinstance(value, (type, types.FunctionType, *C_FUNCTIONS)):
            what = trust.impure_module(trust.home_of(value))
            if what:
                self.fail(f"reads {what}: {label}")

    # ---- names -----------------------------------------------------------------------------

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
            return self.known(module, wanted)
        if not trust.is_pure_module(name):
            self.fail(f"{frame.place()}: imports {name}")
        return FRESH

    # ---- attributes ------------------------------------------------------------------------

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
        if raw is MISSING and (meta is MISSING or owner not in (type, object)):
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

    def is_trusted_function(self, value):
        return isinstance(value, types.FunctionType) and trust.is_pure_module(trust.home_of(value))

    def read_super(self, popped, name, frame):
        """`super().name` (3.12 and later); `popped` is self, class, super."""
        self_value, cls = popped[0], popped[1]
        value = self.make_super([cls, self_value], frame)
        return self.read_attribute(value, name, frame) if isinstance(value, Known) else value

    def make_super(self, args, frame):
        if not args:
            cell = frame.cells.get("__class__")
            if cell is None or not frame.code.co_argcount:
                raise NotUnderstood(f"{frame.place()}: super() in a nested function")
            first = frame.locals.get(frame.code.co_varnames[0], FRESH)
            args = [self.read_cell(cell, "__class__", frame), first]
        if len(args) == 2 and all(isinstance(arg, Known) for arg in args):
            key = ("super", id(args[0].value), id(args[1].value))
            if key not in self.bound:
                made = super(args[0].value, args[1].value)
                self.bound[key] = self.known(made, "super()")
            return self.bound[key]
        if not isinstance(args[0], Known):
            raise NotUnderstood(f"{frame.place()}: super() of an unknown class")
        rank = frame.worst(args[1:])
        for cls in args[0].value.__mro__[1:]:
            self.add_class(cls, rank)
        return rank

    # ---- items -----------------------------------------------------------------------------

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

    # ---- calls -----------------------------------------------------------------------------

    def call(self, callee, args, keywords, frame, missing=PART):
        """What a call returns; `args` None: unknown arguments, each `missing`."""
        given = [*(args or ()), *keywords.values()]
        if not isinstance(callee, Known):
            worst = frame.worst(given)
            if callee is VIEWER or (callee is not PART and frame.rank(callee) is HOLDS):
                return PART
            if callee is PART:
                return self.part_result
            return FRESH if worst is FRESH else PART
        value, label = callee.value, callee.label
        if isinstance(value, types.FunctionType):
            return self.call_function(value, label, args, keywords, frame, missing)
        if isinstance(value, types.MethodType):
            return self.call_method(value, label, args, keywords, frame, missing)
        if isinstance(value, functools.partial):
            return self.call_partial(value, label, args, keywords, frame, missing)
        if isinstance(value, type):
            return self.construct(value, label, args, keywords, frame)
        if isinstance(value, C_FUNCTIONS):
            return self.call_trusted(value, label, args, keywords, frame)
        inner = getattr(value, "__wrapped__", None) or getattr(value, "py_func", None)
        if callable(inner) and self.is_foreign(value):
            return self.call(self.known(inner, label), args, keywords, frame, missing)
        if frame is None:
            frame = RootFrame(self, label)
        if isinstance(find_in_classes(type(value), "__call__")[0], types.FunctionType):
            method = self.read_attribute(callee, "__call__", frame)
            return self.call(method, args, keywords, frame, missing)
        if is_leaf(value):
            return FRESH
        frame.worst([callee, *given])
        return PART

    def is_foreign(self, value):
        """A wrapper made in C or by a trusted module: what it wraps is what is called."""
        home = trust.home_of(type(value))
        return trust.is_pure_module(home) or type(value).__flags__ & (1 << 9) == 0

    def call_function(self, value, label, args, keywords, frame, missing):
        if self.is_trusted_function(value):
            for cell in value.__closure__ or ():
                self.visit_wrapped(cell, label)
            return self.call_trusted(value, label, args, keywords, frame)
        return self.run_function(value, label, args, keywords, missing)

    def visit_wrapped(self, cell, label):
        """A trusted module's wrapper (contextmanager, wraps) holds the user's function in a cell."""
        try:
            value = cell.cell_contents
        except ValueError:
            return
        if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            self.check("{o}.cell_contents", cell, value, label)
            self.visit(value, label)

    def call_method(self, value, label, args, keywords, frame, missing):
        inner, owner = value.__func__, self.known(value.__self__, label.rpartition(".")[0] or label)
        if not isinstance(inner, types.FunctionType):
            return self.call(self.known(inner, label), args, keywords, frame, missing)
        if self.is_trusted_function(inner):
            self.visit(value.__self__, label)
            self.names.update(_forwarded(type(value.__self__)))
            return self.call_function(inner, label, args, keywords, frame, missing)
        if args is None:
            return self.run_function(inner, label, None, keywords, missing, owner)
        return self.run_function(inner, label, [owner, *args], keywords, missing)

    def call_partial(self, value, label, args, keywords, frame, missing):
        inner = self.known(value.func, label)
        if type(value) is not functools.partial or value.__dict__:
            self.visit(value, label)
        self.check("{o}.func", value, value.func, label)
        self.check("{o}.args", value, value.args, label)
        self.record(snapshot.Mapping(value.keywords, label))
        fixed = [self.known(x, f"{label} argument {i}") for i, x in enumerate(value.args)]
        named = {k: self.known(x, f"{label} argument '{k}'") for k, x in value.keywords.items()}
        if args is None:
            for argument in [*fixed, *named.values()]:
                self.visit(argument.value, argument.label)
            return self.call(inner, None, {}, frame, PART if fixed or named else missing)
        return self.call(inner, [*fixed, *args], {**named, **keywords}, frame, missing)

    def construct(self, cls, label, args, keywords, frame):
        if trust.is_pure_module(trust.home_of(cls)):
            return self.call_trusted(cls, label, args, keywords, frame)
        worst = PART if args is None else frame.worst([*args, *keywords.values()])
        if find_in_classes(type(cls), "__call__")[1] is not type and not issubclass(
            cls, snapshot.enum.Enum
        ):
            self.fail(f"{label}: its metaclass makes the instances")
        self.add_class(cls, FRESH if worst is FRESH else HOLDS, made=True)
        return FRESH if worst is FRESH else HOLDS

    def call_trusted(self, value, label, args, keywords, frame):
        name = getattr(value, "__name__", "")
        self.vet(value, label)
        if frame is None:
            return FRESH
        if not trust.is_pure_module(trust.home_of(value)):
            return self.call_foreign(value, label, args, keywords, frame)
        if value is super:
            return self.make_super(args or [], frame)
        if value in (getattr, hasattr):
            return self.call_getattr(value, args, frame)
        given = [*(args or ()), *keywords.values()]
        first = given[0] if given else FRESH
        owner = getattr(value, "__self__", None)
        if isinstance(value, types.BuiltinMethodType | types.MethodWrapperType):
            if isinstance(owner, types.ModuleType | type | np.ufunc) is False and owner is not None:
                self.visit(owner, label)  # `push = stack.append`
                first = PART
        worst = frame.worst(given)
        writes = name in trust.WRITERS or (first is PART and name in trust.MUTATORS)
        if (writes and frame.rank(first) is PART) or (
            "out" in keywords and frame.rank(keywords["out"]) is PART
        ):
            self.fail(f"{frame.place()}: {label}() writes to a captured object")
        if worst is FRESH or isinstance(value, np.ufunc):
            return FRESH
        if name in trust.CONTAINERS:
            return HOLDS
        return PART if name in trust.ALIASING or name in trust.PICKERS else FRESH

    def call_foreign(self, value, label, args, keywords, frame):
        """A C function of a module nobody vouches for."""
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType | type):
            self.visit(owner, label)
            if getattr(value, "__name__", "") in trust.MUTATORS:
                self.fail(f"{frame.place()}: {label}() changes a captured object")
            frame.worst([*(args or ()), *keywords.values()])
            return PART
        self.fail(f"{frame.place()}: calls {label}, a C function of an unknown module")
        return PART

    def call_getattr(self, value, args, frame):
        if args is None or len(args) < 2 or not isinstance(args[1], Known):
            if frame.worst(args or [PART]) is not FRESH:
                self.fail(f"{frame.place()}: getattr with a computed name")
            return FRESH
        name = args[1].value
        self.names.add(name)
        result = frame.attribute(args[0], name)
        if value is hasattr:
            return FRESH
        return frame.join(result, args[2]) if len(args) > 2 else result

    # ---- Python functions ------------------------------------------------------------------

    def run_function(self, function, label, args, keywords, missing, owner=None):
        """Walk through a Python function; returns what it may return."""
        code = function.__code__
        where = code.co_filename.replace("\\", "/").rpartition("/")[2]
        if args is None and missing is FRESH and not self.done and code.co_flags & 0x2A0:
            self.fail(f"{where}:{code.co_firstlineno}: a generator or coroutine")
            return FRESH
        parameters = self.parameters(function, label, args, keywords, missing)
        if owner is not None and code.co_argcount:
            parameters[code.co_varnames[0]] = owner
        key = (id(function), *((n, _key(v)) for n, v in parameters.items()))
        if key in self.done:
            return self.done[key]
        if len(self.done) > MAX_FRAMES:
            raise NotUnderstood(f"{where}:{code.co_firstlineno}: too many functions to follow")
        self.alive.append(function)
        self.done[key] = PART  # what a recursive call is taken to return
        self.check("{o}.__code__", function, code, f"code of {function.__qualname__}")
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        frame = Frame(self, code, function, cells, parameters, where)
        self.done[key] = frame.run()
        return self.done[key]

    def parameters(self, function, label, args, keywords, missing):
        """Abstract values of a function's parameters in this call."""
        code, title = function.__code__, function.__qualname__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        defaults = function.__defaults__ or ()
        given = dict(zip(names[code.co_argcount - len(defaults) :], defaults, strict=False))
        if defaults:  # where there are none, added ones change no call that has worked
            self.check("{o}.__defaults__", function, function.__defaults__, f"defaults of {title}")
        by_name = function.__kwdefaults__
        if by_name:
            text = f"keyword defaults of {title}"
            self.check("{o}.__kwdefaults__", function, by_name, text)
            self.record(snapshot.Mapping(by_name, text))
            given.update(by_name)
        known = {
            n: self.known(value, f"default '{n}' of {title}") for n, value in given.items()
        }
        rest = code.co_varnames[len(names) : len(names) + bool(code.co_flags & 4)]
        rest += code.co_varnames[len(names) + len(rest) :][: bool(code.co_flags & 8)]
        if args is None:
            result = dict.fromkeys([*names, *rest], missing)
            for n, default in known.items():
                if not is_leaf(default.value):
                    self.visit(default.value, default.label)
                    result[n] = PART
            return result
        return self.match(code, names, rest, known, args, keywords)

    def match(self, code, names, rest, known, args, keywords):
        """Arguments of one call site to the parameters they land in."""
        result = {n: known.get(n, FRESH) for n in names}
        result.update(zip(names[: code.co_argcount], args, strict=False))
        spare = list(args[code.co_argcount :])
        for n, value in keywords.items():
            if n in names:
                result[n] = value
            else:
                spare.append(value)
        extra = FRESH
        for value in spare:
            if isinstance(value, Known) and not is_leaf(value.value):
                self.visit(value.value, value.label)
                extra = HOLDS
            elif value in (PART, HOLDS, VIEWER):
                extra = HOLDS
        result.update(dict.fromkeys(rest, extra))
        return {n: PART if v is VIEWER else v for n, v in result.items()}

    # ---- classes whose instances are about -------------------------------------------------

    def add_class(self, cls, rank, made=False):
        """Methods of this class, by the names the code uses, may run on something of this rank."""
        for base in cls.__mro__:
            if not trust.is_pure_module(base.__module__):
                self.alive.append(cls)
                self.classes[(cls, rank.name, made)] = rank
                break
        if any("__getattribute__" in vars(base) for base in cls.__mro__[:-1]):
            if not trust.is_pure_module(find_in_classes(cls, "__getattribute__")[1].__module__):
                self.fail(f"{cls.__qualname__}: attributes computed by __getattribute__")

    def run_methods(self):
        """Analyse methods until neither new names nor new classes turn up."""
        while self.reason is None:
            todo = []
            for (cls, _, made), rank in list(self.classes.items()):
                dunders = {n for base in cls.__mro__ for n in vars(base) if n.startswith("__")}
                skip = NOT_CALLED if made else NOT_CALLED | MAKERS
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
        if isinstance(raw, types.MemberDescriptorType | types.GetSetDescriptorType):
            return  # a slot: its value is in the snapshot
        label = f"{owner.__qualname__}.{name}"
        self.check(f"{{o}}.__dict__[{name!r}]", owner, raw, label)
        for function in _functions_of(raw):
            if isinstance(function, types.FunctionType):
                result = self.call_function(function, label, None, {}, RootFrame(self, label), rank)
                if result is PART or (result is HOLDS and self.part_result is FRESH):
                    self.part_result = result
            else:
                self.visit(function, label)

    # ---- deep snapshots --------------------------------------------------------------------

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
            return [(x, f"{label}.{k}") for k, x in vars(value).items()]
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
            return [(x, label) for x in _functions_of(value)]
        if isinstance(value, super):
            return [(value.__self__, label)]
        return self.inside_instance(value, label)

    def inside_instance(self, value, label):
        """A plain Python object: `__dict__`, `__slots__`, and its class's methods by name."""
        cls = type(value)
        inner = getattr(value, "__wrapped__", None) or getattr(value, "py_func", None)
        if callable(inner) and self.is_foreign(value):
            return [(inner, label)]
        is_tuple = isinstance(value, tuple)
        if not is_tuple and not has_python_layout(cls):
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


# ---- small questions ---------------------------------------------------------------------------


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


def _stable(snap):
    """The bound method to call, one object per record."""
    return snap.holds


def _key(value):
    return id(value.value) if isinstance(value, Known) else value.name


def _is_index(key):
    return key is None or (isinstance(key, Known) and type(key.value) is int)


def _functions_of(raw):
    """Functions inside a class's entry."""
    if isinstance(raw, property):
        return [f for f in (raw.fget, raw.fset, raw.fdel) if f is not None]
    if isinstance(raw, staticmethod | classmethod):
        return [raw.__func__]
    if isinstance(raw, functools.cached_property):
        return [raw.func]
    return [raw]


def _forwarded(cls):
    """Names of a user's methods that a trusted base class may call on self."""
    user = (base for base in cls.__mro__ if not trust.is_pure_module(base.__module__))
    return {name for base in user for name in vars(base)}


def find_in_classes(cls, name):
    """The raw entry of a class or its bases, and its owner."""
    for owner in cls.__mro__:
        if name in vars(owner):
            return vars(owner)[name], owner
    return MISSING, object


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
