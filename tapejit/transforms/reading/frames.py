"""Walking through one code object's bytecode, following where captured values go.

An abstract machine: it runs every instruction of every path on abstract values (values.py) and
tells its `analyst` (`reads.Analyst`) what is loaded, called and written.  Where a `Known` goes out
of sight it *escapes*: the analyst takes a deep snapshot of it.

Start at `Frame.run`; instructions that only move values are a table (instructions.py).  Locals are
flow-insensitive (one value per name, joined over all stores), the stack is followed exactly;
passes repeat until nothing changes.  An unknown instruction raises `NotUnderstood`, and the run
is not cached: a new Python version costs speed, not truth.
"""

from __future__ import annotations

import sys
from operator import attrgetter
from types import CodeType

from tapejit.transforms.reading.instructions import ENDS, NO_RESULT, SIMPLE, decode, goes_back
from tapejit.transforms.reading.snapshot import is_leaf
from tapejit.transforms.reading.trust import MUTATORS, VIEWERS
from tapejit.transforms.reading.values import (
    FRESH,
    HOLDS,
    NULL,
    PART,
    VIEWER,
    Inner,
    Known,
    Local,
    Mark,
)

NEW_CALLS = sys.version_info >= (3, 13)  # callable below its self slot, not above
MAX_PASSES = 30


class NotUnderstood(Exception):
    """The code does something that this analysis cannot follow; the text says what."""


# ---------------------------------------------------------------- the machine


class Frame:
    """One function's code with what is known of its names."""

    def __init__(self, analyst, code, function, cells, parameters, where):
        self.analyst, self.code, self.function, self.where = analyst, code, function, where
        self.cells = cells  # name -> closure cell, or Local of an enclosing frame
        self.locals = dict(parameters)
        self.at: dict[int, list] = {}
        self.changed = False
        self.result = FRESH
        self.nested: dict[CodeType, tuple[Inner, dict]] = {}
        self.keywords: tuple = ()
        self.line = code.co_firstlineno

    def run(self):
        """Follow all paths until nothing new turns up; returns what the code may return."""
        steps, handlers = decode(self.code)
        self.analyst.names.update(self.code.co_names)
        for _ in range(MAX_PASSES):
            self.changed = False
            self._pass(steps, handlers)
            self._run_nested()
            # without a way back, nothing that turned up can reach an earlier instruction
            if not self.changed or not (self.nested or any(map(goes_back, steps))):
                return self.result
        raise NotUnderstood(f"{self.place()}: too tangled to follow")

    def place(self) -> str:
        return f"{self.where}:{self.line}"

    def fail(self, text):
        self.analyst.fail(f"{self.place()}: {text}")

    def _pass(self, steps, handlers):
        stack: list | None = []
        for ins in steps:
            offset = ins.offset
            line = ins.positions.lineno if ins.positions else None
            self.line = line or self.line
            if offset in self.at:
                if stack is not None:
                    self.flow(offset, stack)
                stack = list(self.at[offset])
            if stack is None:
                continue
            for entry in handlers:
                if entry.start <= offset < entry.end and len(stack) >= entry.depth:
                    self.flow(entry.target, stack[: entry.depth] + [FRESH] * (1 + entry.lasti))
            try:
                stack = self.step(ins, stack)
            except IndexError:
                raise NotUnderstood(f"{self.place()}: {ins.opname} on an empty stack") from None

    def _run_nested(self):
        """Functions and comprehensions written inside this one."""
        for inner, cells in list(self.nested.values()):
            parameters = dict(inner.parameters)
            frame = Frame(self.analyst, inner.code, self.function, cells, parameters, self.where)
            inner.result = self.widen(inner.result, frame.run())

    def call_inner(self, inner, args, keywords):
        """A nested function is called in sight: its parameters are what is passed."""
        names = inner.code.co_varnames[: inner.code.co_argcount]
        if args is None or len(args) > len(names):
            return PART if self.worst([*(args or ()), *keywords.values()]) is not FRESH else FRESH
        for name, value in [*zip(names, args, strict=False), *keywords.items()]:
            value = PART if value is VIEWER else value
            old = inner.parameters.get(name) if inner.called else None
            new = value if old is None else self.join(old, value)
            if name not in inner.parameters:
                self.rank(value)
            elif new is not old:
                inner.parameters[name] = new
                inner.owner.changed = True  # its passes run the nested code again
        inner.called = True
        return inner.result

    def flow(self, offset, stack):
        """Control may come to `offset` with this stack."""
        old = self.at.get(offset)
        if old is None:
            self.at[offset], self.changed = list(stack), True
            return
        if len(old) != len(stack):
            raise NotUnderstood(f"{self.place()}: stacks of different height meet")
        for i, value in enumerate(stack):
            old[i] = self.widen(old[i], value)

    def join(self, a, b):
        """The one abstract value that covers two."""
        if a is b or (isinstance(a, Known) and isinstance(b, Known) and a.value is b.value):
            return a
        return max(self.rank(a), self.rank(b), key=attrgetter("rank"))

    def widen(self, old, new):
        """`join`, where the outcome is kept for the next pass."""
        result = self.join(old, new)
        if result is not old:
            self.changed = True
        return result

    def rank(self, value):
        """FRESH, HOLDS or PART; a Known escapes."""
        if isinstance(value, Known):
            return FRESH if is_leaf(value.value) else self.analyst.escape(value, self)
        if value is VIEWER:
            return PART
        plain = isinstance(value, Mark) and value is not NULL and not isinstance(value, Inner)
        return value if plain else FRESH

    def worst(self, values):
        return max((self.rank(v) for v in values), key=attrgetter("rank"), default=FRESH)

    def holder(self, values):
        """A new container of these."""
        return FRESH if self.worst(values) is FRESH else HOLDS

    # ------------------------------------------------------------ one instruction

    def step(self, ins, stack):
        name = ins.opname
        handler = getattr(self, "do_" + name, None)
        if handler is not None:
            return handler(ins, stack)
        if "JUMP" in name:
            return self.jump(ins, stack, name)
        if name in ENDS:
            return None
        if name not in SIMPLE:
            raise NotUnderstood(f"{self.place()}: instruction {name}")
        if name.startswith(("FORMAT", "CONVERT")):
            self.analyst.names.add("format")
        pops, pushes = SIMPLE[name]
        pops = ins.arg if pops is None else pops
        popped = [stack.pop() for _ in range(pops)]
        if pushes:
            worst = FRESH if name == "IS_OP" else self.worst(popped)
            stack.extend([FRESH if name in NO_RESULT else worst] * pushes)
        return stack

    def jump(self, ins, stack, name):
        if name.endswith("_OR_POP"):
            self.flow(ins.argval, stack)
            self.rank(stack.pop())
            return stack
        if name.startswith("POP_JUMP"):
            value = stack.pop()
            if not name.endswith("NONE"):
                self.rank(value)  # its truth is read
        self.flow(ins.argval, stack)
        return stack if "_IF_" in name else None

    def do_RETURN_VALUE(self, ins, stack):
        self.result = self.widen(self.result, self.rank(stack.pop()))

    def do_YIELD_VALUE(self, ins, stack):
        self.result = self.widen(self.result, self.rank(stack.pop()))
        stack.append(FRESH)
        return stack

    def do_RETURN_CONST(self, ins, stack):
        return None

    def do_INTERPRETER_EXIT(self, ins, stack):
        return None

    def do_COPY(self, ins, stack):
        stack.append(stack[-ins.arg])
        return stack

    def do_SWAP(self, ins, stack):
        stack[-ins.arg], stack[-1] = stack[-1], stack[-ins.arg]
        return stack

    def do_PUSH_NULL(self, ins, stack):
        stack.append(NULL)
        return stack

    # ------------------------------------------------------------ names

    def do_LOAD_CONST(self, ins, stack):
        value = ins.argval
        simple = isinstance(value, CodeType) or is_leaf(value)
        stack.append(Known(value, repr(value)) if simple else FRESH)
        return stack

    def load_local(self, name):
        if name in self.cells:  # 3.13 loads cells this way, for closures
            return self.cells[name]
        if NEW_CALLS and name in self.code.co_cellvars:
            return Local(name, self)
        return self.locals.get(name, FRESH)

    def do_LOAD_CLOSURE(self, ins, stack):
        stack.append(self.cells.get(ins.argval) or Local(ins.argval, self))
        return stack

    def store_local(self, name, value):
        if value is NULL or hasattr(value, "cell_contents") or isinstance(value, Local):
            value = FRESH
        old = self.locals.get(name)
        if old is None:
            self.locals[name], self.changed = value, True
        else:
            self.locals[name] = self.widen(old, value)

    def do_LOAD_FAST(self, ins, stack):
        names = ins.argval if isinstance(ins.argval, tuple) else (ins.argval,)
        stack.extend(self.load_local(name) for name in names)
        return stack

    do_LOAD_FAST_CHECK = do_LOAD_FAST_AND_CLEAR = do_LOAD_FAST_LOAD_FAST = do_LOAD_FAST

    def do_STORE_FAST(self, ins, stack):
        names = ins.argval if isinstance(ins.argval, tuple) else (ins.argval,)
        for name in names:
            self.store_local(name, stack.pop())
        return stack

    do_STORE_FAST_STORE_FAST = do_STORE_NAME = do_STORE_FAST_MAYBE_NULL = do_STORE_FAST

    def do_STORE_FAST_LOAD_FAST(self, ins, stack):
        self.store_local(ins.argval[0], stack.pop())
        stack.append(self.load_local(ins.argval[1]))
        return stack

    def do_LOAD_GLOBAL(self, ins, stack):
        value = self.analyst.read_global(self.function, ins.argval, self)
        null = [NULL] if ins.arg & 1 else []
        stack.extend([value, *null] if NEW_CALLS else [*null, value])
        return stack

    def do_LOAD_NAME(self, ins, stack):  # class bodies
        known = self.locals.get(ins.argval)
        stack.append(known or self.analyst.read_global(self.function, ins.argval, self))
        return stack

    def do_LOAD_DEREF(self, ins, stack):
        cell = self.cells.get(ins.argval)
        if cell is None:
            stack.append(self.locals.get(ins.argval, FRESH))
        elif isinstance(cell, Local):
            stack.append(cell.owner.locals.get(cell.name, FRESH))
        else:
            stack.append(self.analyst.read_cell(cell, ins.argval, self))
        return stack

    do_LOAD_CLASSDEREF = do_LOAD_DEREF

    def do_LOAD_FROM_DICT_OR_DEREF(self, ins, stack):
        stack.pop()
        return self.do_LOAD_DEREF(ins, stack)

    def do_LOAD_FROM_DICT_OR_GLOBALS(self, ins, stack):
        stack.pop()
        return self.do_LOAD_NAME(ins, stack)

    def do_STORE_DEREF(self, ins, stack):
        cell, value = self.cells.get(ins.argval), stack.pop()
        if cell is None:
            self.store_local(ins.argval, value)
        elif isinstance(cell, Local):
            cell.owner.store_local(cell.name, value)  # the owner's passes run this code again
        else:
            self.fail(f"writes the outer variable '{ins.argval}' (nonlocal)")
        return stack

    def do_STORE_GLOBAL(self, ins, stack):
        self.fail(f"writes the global '{ins.argval}'")
        stack.pop()
        return stack

    def do_DELETE_GLOBAL(self, ins, stack):
        self.fail(f"deletes the global '{ins.argval}'")
        return stack

    # ------------------------------------------------------------ attributes and items

    def attribute(self, base, name):
        """What `base.name` is."""
        if isinstance(base, Known):
            return self.analyst.read_attribute(base, name, self)
        if base is PART and name in MUTATORS:
            self.fail(f"may change a captured object: .{name}()")
        if name == "backward":
            self.fail("backward() writes .grad")
        if base is not FRESH and base is not NULL and name == "grad":
            self.fail("reads .grad of a captured tensor")
        if base is HOLDS:
            return FRESH if name in MUTATORS else PART
        return VIEWER if base is PART and name in VIEWERS else self.rank(base)

    def do_LOAD_ATTR(self, ins, stack):
        value = self.attribute(stack.pop(), ins.argval)
        method = ins.opname == "LOAD_METHOD" or (sys.version_info >= (3, 12) and ins.arg & 1)
        null = [NULL] if method else []
        stack.extend([value, *null] if NEW_CALLS else [*null, value])
        return stack

    do_LOAD_METHOD = do_LOAD_ATTR

    def do_LOAD_SUPER_ATTR(self, ins, stack):
        popped = [stack.pop() for _ in range(3)]
        value = self.analyst.read_super(popped, ins.argval, self)
        null = [NULL] if ins.arg & 1 else []
        stack.extend([value, *null] if NEW_CALLS else [*null, value])
        return stack

    def write(self, target, what):
        if isinstance(target, Known) and not is_leaf(target.value):
            self.fail(f"writes {what} of {target.label}")
        elif target in (PART, VIEWER):
            self.fail(f"writes {what} of a captured object")

    def do_STORE_ATTR(self, ins, stack):
        self.write(stack.pop(), f"attribute '{ins.argval}'")
        self.rank(stack.pop())
        return stack

    def do_DELETE_ATTR(self, ins, stack):
        self.write(stack.pop(), f"attribute '{ins.argval}'")
        return stack

    def do_STORE_SUBSCR(self, ins, stack):
        key, target, value = stack.pop(), stack.pop(), stack.pop()
        self.write(target, "an item")
        self.worst([key, value])
        return stack

    def do_STORE_SLICE(self, ins, stack):
        stop, start, target, value = (stack.pop() for _ in range(4))
        self.write(target, "a slice")
        self.worst([start, stop, value])
        return stack

    def do_DELETE_SUBSCR(self, ins, stack):
        key, target = stack.pop(), stack.pop()
        self.write(target, "an item")
        self.rank(key)
        return stack

    def element(self, container, key=None):
        if isinstance(container, Known):
            return self.analyst.read_item(container, key, self)
        return PART if container is HOLDS else self.rank(container)

    def do_BINARY_SUBSCR(self, ins, stack):
        key, container = stack.pop(), stack.pop()
        self.rank(key)
        stack.append(self.element(container, key))
        return stack

    def do_GET_ITER(self, ins, stack):
        stack.append(self.element(stack.pop()))
        return stack

    do_GET_YIELD_FROM_ITER = do_GET_ITER

    def do_FOR_ITER(self, ins, stack):
        if sys.version_info >= (3, 12):
            self.flow(ins.argval, [*stack, NULL])
        else:
            self.flow(ins.argval, stack[:-1])
        stack.append(stack[-1])
        return stack

    def do_END_FOR(self, ins, stack):
        return stack[:-1] if NEW_CALLS else stack[:-2]

    def do_SEND(self, ins, stack):
        self.flow(ins.argval, stack if sys.version_info >= (3, 12) else stack[:-1])
        return stack

    def do_UNPACK_SEQUENCE(self, ins, stack):
        stack.extend([self.element(stack.pop())] * ins.arg)
        return stack

    def do_UNPACK_EX(self, ins, stack):
        stack.extend([self.element(stack.pop())] * ((ins.arg & 255) + 1 + (ins.arg >> 8)))
        return stack

    def do_MATCH_CLASS(self, ins, stack):
        names, cls, subject = stack.pop(), stack.pop(), stack.pop()
        self.analyst.check_classes(cls)
        stack.append(self.worst([names, cls, subject]))
        return stack

    # ------------------------------------------------------------ building

    def build(self, stack, count):
        popped = [stack.pop() for _ in range(count)]
        stack.append(self.holder(popped))
        return stack

    def do_BUILD_TUPLE(self, ins, stack):
        if any(isinstance(v, Local) or hasattr(v, "cell_contents") for v in stack[-ins.arg :]):
            del stack[len(stack) - ins.arg :]  # the closure of a nested function
            stack.append(FRESH)
            return stack
        return self.build(stack, ins.arg)

    def do_BUILD_LIST(self, ins, stack):
        return self.build(stack, ins.arg)

    do_BUILD_SET = do_BUILD_SLICE = do_BUILD_LIST

    def do_BUILD_MAP(self, ins, stack):
        return self.build(stack, 2 * ins.arg)

    def do_BUILD_CONST_KEY_MAP(self, ins, stack):
        return self.build(stack, ins.arg + 1)

    def do_BEFORE_WITH(self, ins, stack):
        inside = FRESH if self.rank(stack.pop()) is FRESH else PART
        stack.extend([inside, inside])
        return stack

    def do_FORMAT_VALUE(self, ins, stack):
        self.analyst.names.add("format")
        for _ in range(2 if ins.arg & 4 else 1):
            self.rank(stack.pop())
        stack.append(FRESH)
        return stack

    def do_LIST_APPEND(self, ins, stack):
        value = stack.pop()
        stack[-ins.arg] = self.join(stack[-ins.arg], self.holder([value]))
        return stack

    do_SET_ADD = do_LIST_EXTEND = do_SET_UPDATE = do_DICT_UPDATE = do_DICT_MERGE = do_LIST_APPEND

    def do_MAP_ADD(self, ins, stack):
        values = [stack.pop(), stack.pop()]
        stack[-ins.arg] = self.join(stack[-ins.arg], self.holder(values))
        return stack

    def do_BINARY_OP(self, ins, stack):
        right, left = stack.pop(), stack.pop()
        if ins.argrepr.endswith("="):
            self.write(left, "(in place) the contents")
            self.rank(right)
            stack.append(self.rank(left))
            return stack
        if ins.argrepr == "%" and isinstance(left, Known) and isinstance(left.value, str):
            self.analyst.names.add("format")
        stack.append(self.holder([left, right]))
        return stack

    # ------------------------------------------------------------ functions and calls

    def do_MAKE_FUNCTION(self, ins, stack):
        code = stack.pop()
        extras = [] if NEW_CALLS else [stack.pop() for bit in (1, 2, 4, 8) if ins.arg & bit]
        worst = self.worst(extras)
        if not isinstance(code, Known):
            raise NotUnderstood(f"{self.place()}: a function without constant code")
        cells = {}
        for name in code.value.co_freevars:
            cells[name] = self.cells.get(name) or Local(name, self)
        if code.value not in self.nested:
            self.nested[code.value] = (Inner(code.value, self), cells)
        stack.append(self.nested[code.value][0] if worst is FRESH else worst)
        return stack

    def do_SET_FUNCTION_ATTRIBUTE(self, ins, stack):
        function, extra = stack.pop(), stack.pop()
        stack.append(function if self.worst([extra]) is FRESH else HOLDS)
        return stack

    def do_KW_NAMES(self, ins, stack):
        names = ins.argval
        self.keywords = names if isinstance(names, tuple) else self.code.co_consts[ins.arg]
        return stack

    def call(self, stack, count, names):
        args = [stack.pop() for _ in range(count)][::-1]
        if NEW_CALLS:
            first, callee = stack.pop(), stack.pop()
        else:
            callee, first = stack.pop(), stack.pop()
            if first is not NULL:
                callee, first = first, callee
        if first is not NULL:
            args.insert(0, first)
        split = len(args) - len(names)
        keywords = dict(zip(names, args[split:], strict=True))
        stack.append(self.analyst.call(callee, args[:split], keywords, self))
        return stack

    def do_CALL(self, ins, stack):
        names, self.keywords = self.keywords, ()
        return self.call(stack, ins.arg, names)

    def do_CALL_KW(self, ins, stack):
        names = stack.pop()
        return self.call(stack, ins.arg, names.value)

    def do_CALL_FUNCTION_EX(self, ins, stack):
        args = [stack.pop() for _ in range(2 if ins.arg & 1 else 1)]
        if NEW_CALLS:
            stack.pop()
            callee = stack.pop()
        else:
            callee = stack.pop()
            stack.pop()
        self.worst(args)
        stack.append(self.analyst.call(callee, None, {}, self))
        return stack

    def do_IMPORT_NAME(self, ins, stack):
        fromlist, level = stack.pop(), stack.pop()
        stack.append(self.analyst.read_import(self.function, ins.argval, fromlist, level, self))
        return stack

    def do_IMPORT_FROM(self, ins, stack):
        stack.append(self.attribute(stack[-1], ins.argval))
        return stack
