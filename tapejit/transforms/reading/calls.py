"""What a call may read: one method for each kind of thing that can be called.

A user's Python function is walked through with what is known of its arguments (`run_function`);
functions of trusted modules are not, but their arguments escape, and those that write to an
argument or give out parts of it are known by name (`trust`).  Each method returns the abstract
value (`frames`) of the call's result.

Start at `Calls.call`.
"""

from __future__ import annotations

import abc
import functools
import types

import numpy as np

from tapejit.errors import TraceError
from tapejit.numba_code.names import python_body
from tapejit.transforms.reading import snapshot, trust
from tapejit.transforms.reading.frames import Frame, NotUnderstood
from tapejit.transforms.reading.ledger import (
    C_FUNCTIONS,
    RULES,
    Ledger,
    RootFrame,
    find_in_classes,
)
from tapejit.transforms.reading.snapshot import MISSING, is_leaf
from tapejit.transforms.reading.values import FRESH, HOLDS, PART, VIEWER, Inner, Known

MAX_FRAMES = 2_000
CACHED = type(functools.lru_cache(abs))


class Calls(Ledger):
    """The part of the analyst that follows calls."""

    # ------------------------------------------------------------ calls

    def call(self, callee, args, keywords, frame, missing=PART):
        """What a call returns; `args` None: unknown arguments, each `missing`."""
        given = [*(args or ()), *keywords.values()]
        if not isinstance(callee, Known):
            if isinstance(callee, Inner):
                return frame.call_inner(callee, args, keywords)
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
        if getattr(value, RULES, None) is not None:
            return self.call_ruled(value, label, args, keywords, frame, missing)
        if trust.is_stencil(value):
            raise TraceError(
                f"{label} is a stencil of Numba's: it cannot be recorded\n"
                "  try  slices of the array, as x[2:] + x[:-2], or a loop under @njit"
            )
        inner = getattr(value, "__wrapped__", None) or python_body(value)
        if isinstance(value, CACHED):
            return self.call_cached(value, label, args, keywords, frame)
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

    def call_ruled(self, value, label, args, keywords, frame, missing):
        """A function with a rule of its own: the rule may run too, on what it makes itself."""
        functions = getattr(value, RULES)
        self.check(f"{{o}}.{RULES}", value, functions, f"rule of {label}")
        function, *rules = [self.known(x, label) for x in functions]
        if frame is None:
            frame = RootFrame(self, label)
        if args is not None:
            missing = frame.worst([*args, *keywords.values()])
        result = self.call(function, args, keywords, frame, missing)
        for rule in rules:
            missing = frame.worst([missing, result])
            result = frame.join(result, self.call(rule, None, {}, frame, missing))
        return result

    def is_foreign(self, value):
        """A wrapper made in C or by a trusted module: what it wraps is what is called."""
        home = trust.home_of(type(value))
        return trust.is_pure_module(home) or type(value).__flags__ & (1 << 9) == 0

    def call_cached(self, value, label, args, keywords, frame):
        """functools.lru_cache: what it remembers may be older than anything that is guarded."""
        inside = type(self)(self.is_tensor, self.array_of, self.contents)
        inside.analyse(value.__wrapped__)
        given = [*(args or ()), *keywords.values()]
        reads = next((c.label for c in inside.checks.values() if not is_settled(c)), None)
        if inside.reason or reads:
            self.fail(f"{label}: the memory of functools.lru_cache, over {inside.reason or reads}")
        elif args is None or (frame is not None and frame.worst(given) is not FRESH):
            self.fail(f"{label}: the memory of functools.lru_cache, over captured objects")
        elif not all(isinstance(x, Known) and is_leaf(x.value) for x in given):
            self.fail(f"{label}: the memory of functools.lru_cache, asked with computed arguments")
        elif not _remembers_a_leaf(value, args, keywords):
            self.fail(
                f"{label}: the memory of functools.lru_cache, of what can be changed in place"
            )
        return FRESH

    def call_function(self, value, label, args, keywords, frame, missing):
        if self.is_trusted_function(value):
            inner = getattr(value, "__wrapped__", None)
            every = inner is not None and not trust.is_pure_module(trust.home_of(inner))
            fresh = args is None and missing is FRESH
            if args is not None and frame is not None:
                fresh = frame.worst([*args, *keywords.values()]) is FRESH
            if fresh and inner is not None and trust.top_name(trust.home_of(value)) == "tapejit":
                # a transform gives the function what it was given itself
                self.followed |= {id(inner), id(value)}  # a wrapper may call itself
                self.call(self.known(inner, label), None, {}, frame, FRESH)
            for cell in value.__closure__ or ():
                self.visit_wrapped(cell, label, every)
            for name, held in vars(value).items() if every else ():
                if name == "__signature__" or id(held) in self.followed:
                    continue
                self.visit(held, f"{label}.{name}")  # the registry of functools.singledispatch
            return self.call_trusted(value, label, args, keywords, frame)
        return self.run_function(value, label, args, keywords, missing)

    def visit_wrapped(self, cell, label, every):
        """A trusted module's wrapper (contextmanager) holds the user's function in a cell."""
        try:
            value = cell.cell_contents
        except ValueError:
            return
        function = isinstance(value, types.FunctionType | types.MethodType | functools.partial)
        if function or every:
            self.check("{o}.cell_contents", cell, value, label)
            if id(value) not in self.followed:
                self.visit(value, label)

    def call_method(self, value, label, args, keywords, frame, missing):
        inner, owner = value.__func__, self.known(value.__self__, label.rpartition(".")[0] or label)
        if getattr(inner, RULES, None) is not None:
            if args is None:
                self.visit(value.__self__, label)
                return self.call_ruled(inner, label, None, keywords, frame, PART)
            return self.call_ruled(inner, label, [owner, *args], keywords, frame, missing)
        if not isinstance(inner, types.FunctionType):
            return self.call(self.known(inner, label), args, keywords, frame, missing)
        if self.is_trusted_function(inner):
            self.visit(value.__self__, label)
            is_class = isinstance(value.__self__, type)  # Function.apply of a user's Function
            forwarded = _forwarded(value.__self__ if is_class else type(value.__self__))
            self.names.update(name for name in forwarded if not name.startswith("__"))
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
        if value in (isinstance, issubclass) and args is not None and len(args) == 2:
            self.check_classes(args[1])
        if isinstance(value, np.ufunc) and set("".join(value.types)) <= set("O->"):
            self.fail(f"{label}: a ufunc of a Python function")
        given = [*(args or ()), *keywords.values()]
        first = given[0] if given else FRESH
        owner = getattr(value, "__self__", None)
        bound = isinstance(value, types.BuiltinMethodType | types.MethodWrapperType)
        if bound and not isinstance(owner, types.ModuleType | type | np.ufunc | None):
            self.visit(owner, label)  # `push = stack.append`
            first = PART
        worst = frame.worst(given)
        targets = [keywords["out"]] if "out" in keywords else []
        if isinstance(value, np.ufunc):
            targets += (args or [])[value.nin :]
        if name in trust.WRITERS or (first is PART and name in trust.MUTATORS):
            targets.append(first)
        if any(frame.rank(target) is PART for target in targets):
            self.fail(f"{frame.place()}: {label}() writes to a captured object")
        if worst is FRESH or isinstance(value, np.ufunc):
            return FRESH
        if name in trust.CONTAINERS or (isinstance(value, type) and not makes_leaves(value)):
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

    def check_classes(self, known):
        """What `isinstance` asks of a class besides its instances' classes."""
        if not isinstance(known, Known):
            return
        classes = known.value if isinstance(known.value, tuple) else (known.value,)
        for cls in classes:
            meta = type(cls)
            if isinstance(cls, tuple):
                self.check_classes(Known(cls, known.label))
            elif isinstance(meta.__instancecheck__, types.FunctionType) and meta is not abc.ABCMeta:
                self.fail(f"{known.label}: its metaclass decides what its instances are")
            elif issubclass(meta, abc.ABCMeta):
                own, owner = find_in_classes(cls, "__subclasshook__")
                if own is not MISSING and not trust.is_pure_module(owner.__module__):
                    self.fail(f"{known.label}: __subclasshook__ decides what its instances are")
                token = abc.get_cache_token()
                self.check("{o}.get_cache_token()", abc, token, "classes registered with an ABC")

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
            self.add_class(cls, rank, made=rank is not PART)
        return rank

    # ------------------------------------------------------------ Python functions

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
        known = {n: self.known(value, f"default '{n}' of {title}") for n, value in given.items()}
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


def is_settled(check) -> bool:
    """Does this guard a function's own code or a name of the language: what never varies?"""
    if isinstance(check.source, types.FunctionType):
        return check.read == "{o}.__code__"
    if check.expected is True and " not in " in check.read:
        return True
    kinds = (types.ModuleType, type, types.FunctionType, *C_FUNCTIONS)
    return isinstance(check.expected, kinds) and trust.is_pure_module(trust.home_of(check.expected))


def _key(value):
    return id(value.value) if isinstance(value, Known) else value.name


def _forwarded(cls):
    """Names of a user's methods that a trusted base class may call on self."""
    user = (base for base in cls.__mro__ if not trust.is_pure_module(base.__module__))
    return {name for base in user for name in vars(base)}


def makes_leaves(cls):
    """Are instances of this class numbers, strings or the like?"""
    return issubclass(cls, (*snapshot.SCALARS, np.generic, np.dtype, range, slice, type))


def _remembers_a_leaf(cached, args, keywords) -> bool:
    """Whether a cached function's answer is a number or a string.  It may be asked ahead of the
    run: it reads nothing but its arguments."""
    try:
        answer = cached(*(x.value for x in args), **{k: x.value for k, x in keywords.items()})
    except Exception:  # so will the run, if it comes to this call
        return True
    return is_leaf(answer)
