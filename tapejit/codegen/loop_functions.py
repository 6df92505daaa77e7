"""Operations' own loops (ops/loops) printed as LLVM IR: Python functions over numbers and memory.

The one idea: a loop's function is parsed, not executed, and there are four kinds of value

    i64            every integer and truth value, whatever it is in memory
    double float   a number of memory, and what is computed from it
    ptr            an operand: `x[i]` is one load, with no bounds and no negative index

so the kind of each variable is that of what is first assigned to it, and each function is printed
once for the kinds that it is called with.  The dtype of memory goes with its pointer.

Statements: assignment, also of several; if, while, for over range, continue, return.  Expressions:
+ - * / (of floats) // % | &, comparisons, and, or, not, `a if c else b`, min of integers; sqrt,
abs and floor of floats; calls of functions of the same modules, and of the vector mathematics by
the names of ops/loops/words.py.  A constant with a point is a wide number.  Of `and`, `or` and
conditional expressions all parts are computed, so only what is computed anyway may read memory or
call there.  A step of range that is no constant is positive.  Anything else is refused with its
line.

Start at `emit_loop_functions`.  Code over words and addresses is codegen/words.py.
"""

from __future__ import annotations

import ast
import functools
import inspect
import struct
import types
from collections.abc import Callable
from typing import NamedTuple

from tapejit.codegen import vectormath
from tapejit.codegen.statements import Printer
from tapejit.errors import KernelError

_MEMORY = {"f64": "double", "f32": "float", "i64": "i64", "i32": "i32", "bool": "i8"}
_FLOATS = ("double", "float")
_INTRINSICS = {"sqrt": "sqrt", "abs": "fabs", "floor": "floor"}
_SUFFIX = {"double": "f64", "float": "f32"}
_INTEGER = {
    ast.Add: "add nsw",
    ast.Sub: "sub nsw",
    ast.Mult: "mul nsw",
    ast.BitAnd: "and",
    ast.BitOr: "or",
}
_FLOAT = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_COMPARE = {
    ast.Eq: ("eq", "oeq"), ast.NotEq: ("ne", "une"), ast.Lt: ("slt", "olt"),
    ast.LtE: ("sle", "ole"), ast.Gt: ("sgt", "ogt"), ast.GtE: ("sge", "oge"),
}  # fmt: skip


class Value(NamedTuple):
    """A register or constant, its kind (i1 besides those above), and of pointers the dtype."""

    text: str
    kind: str
    dtype: str = ""


def is_math(function: Callable) -> bool:
    """Whether a function that a loop calls is one of the vector mathematics, of one number."""
    is_word = function.__module__ == "tapejit.ops.loops.words"
    return is_word and function.__name__ in vectormath.FUNCTIONS


def math_call(function: Callable) -> tuple[str, str, int]:
    """What a loop links for it: (fn, dtype, lanes)."""
    return function.__name__, "f64", 1


class Natives(NamedTuple):
    """Functions that are called as machine code: all parameters are numbers and pointers."""

    is_native: Callable[[Callable], bool]
    symbol: Callable[[Callable], str]


def emit_loop_functions(
    name: str,
    function: Callable,
    dtypes: tuple[str, ...],
    is_float: bool,
    natives: Natives,
    has_units: bool = True,
) -> str:
    """A module that exports `void @name(args, meta, begin, end)`.

    is_float   whether `wide` numbers are float64, else int64
    has_units  without: (args, meta)
    """
    module = _Module(is_float, natives)
    values = [Value(f"%a{k}", "ptr", dtype) for k, dtype in enumerate(dtypes)]
    values.append(Value("%meta", "ptr", "i64"))
    units = [Value("%begin", "i64"), Value("%end", "i64")] if has_units else []
    symbol, _ = module.function(function, (*values, *units), len(dtypes))
    loads = "".join(
        f"  %p{k} = getelementptr ptr, ptr %args, i64 {k}\n  %a{k} = load ptr, ptr %p{k}\n"
        for k in range(len(dtypes))
    )
    more = ", i64 %begin, i64 %end" if has_units else ""
    operands = ", ".join(f"{value.kind} {value.text}" for value in (*values, *units))
    entry = (
        f"define void @{name}(ptr %args, ptr %meta{more}) nounwind {{\n{loads}"
        f"  call i64 @{symbol}({operands})\n  ret void\n}}\n"
    )
    return "\n".join([*module.declared, *module.texts, entry])


class _Module:
    """The functions printed so far: those reached from one loop."""

    def __init__(self, is_float: bool, natives: Natives):
        self.wide = "double" if is_float else "i64"
        self.natives = natives
        self.declared = {"declare i64 @llvm.smin.i64(i64, i64)": None}
        self.texts: list[str] = []
        self.symbols: dict[tuple, tuple[str, str]] = {}

    def function(self, function, values, n_args=None):
        """The symbol of a function for operands of these kinds, and the kind of what it returns;
        the first n_args are `args`."""
        key = (function, tuple(value[1:] for value in values))
        if key not in self.symbols:
            number = len(self.texts)
            self.texts.append("")  # those that it calls come behind
            printer = _Function(self, function, values, n_args)
            symbol = f"{function.__name__}.{number}"
            self.texts[number] = printer.text(symbol)
            self.symbols[key] = symbol, printer.returned or "i64"
        return self.symbols[key]


@functools.cache
def _parsed(module: types.ModuleType) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


class _Function(Printer):
    """Prints one function; each method is one kind of syntax."""

    language = "loops"

    def __init__(self, module: _Module, function, values, n_args):
        super().__init__()
        self.module, self.scope = module, function.__globals__
        self.node = _parsed(inspect.getmodule(function))[function.__name__]
        self.variables: dict[str, Value] = {}
        self.returned = ""
        self.again: list[str] = []
        names = [a.arg for a in self.node.args.args]
        self.args, self.tuple = "", []
        self.parameters = [
            Value(f"%arg{i}", value.kind, value.dtype) for i, value in enumerate(values)
        ]
        given = list(self.parameters)
        if n_args is not None:
            self.tuple, given = given[:n_args], given[n_args:]
            self.args, *names = names
        for name, value in zip(names, given, strict=True):
            self.assign(name, value, self.node)

    def text(self, symbol):
        self.block(self.node.body)
        head = ", ".join(f"{value.kind} {value.text}" for value in self.parameters)
        variables = [
            f"  {v.text} = alloca {v.kind}" for v in self.variables.values() if v.kind != "ptr"
        ]
        kind = self.returned or "i64"
        end = f"ret {kind} {'0' if kind == 'i64' else '0.0'}"
        lines = (line if line[-1] == ":" else f"  {line}" for line in [*self.lines, end])
        return "\n".join(
            [f"define internal {kind} @{symbol}({head}) nounwind {{", *variables, *lines, "}", ""]
        )

    def emit(self, kind, text):
        register = f"%{self.name('v')}"
        self.lines.append(f"{register} = {text}")
        return Value(register, kind)

    # ------------------------------------------------------------ statements

    def assign_statement(self, node):
        (target,) = node.targets
        if not isinstance(target, ast.Tuple):
            self.store(target, self.value(node.value))
            return
        if isinstance(node.value, ast.Tuple):
            values = [self.value(part) for part in node.value.elts]
        elif isinstance(node.value, ast.Name) and node.value.id == self.args:
            values = self.tuple
        else:
            self.refuse(node, "no tuple")
        for part, value in zip(target.elts, values, strict=True):
            self.store(part, value)

    def augassign_statement(self, node):
        old, value = self.value(node.target), self.value(node.value)
        self.store(node.target, self.binary(node, old, value))

    def store(self, target, value):
        if isinstance(target, ast.Name):
            self.assign(target.id, value, target)
        elif isinstance(target, ast.Subscript):
            kind, address = self.place(target)
            value = self.converted(value, kind if kind in _FLOATS else "i64")
            if kind in ("i32", "i8"):
                value = self.emit(kind, f"trunc i64 {value.text} to {kind}")
            self.lines.append(f"store {kind} {value.text}, ptr {address}")
        else:
            self.refuse(target, "no such target")

    def assign(self, name, value, node):
        if value.kind == "ptr":
            self.variables[name] = value
            return
        if value.kind == "i1":
            value = self.converted(value, "i64")
        known = self.variables.setdefault(name, Value(f"%{name}.at", value.kind))
        if known.kind != value.kind:
            self.refuse(node, f"{name} is {known.kind} and becomes {value.kind}")
        self.lines.append(f"store {value.kind} {value.text}, ptr {known.text}")

    def if_statement(self, node):
        then, other, end = self.name("then"), self.name("else"), self.name("end")
        test = self.truth(node.test)
        self.lines += [f"br i1 {test}, label %{then}, label %{other}", f"{then}:"]
        self.block(node.body)
        self.lines += [f"br label %{end}", f"{other}:"]
        self.block(node.orelse)
        self.label(end)

    def while_statement(self, node):
        head, body, end = self.name("head"), self.name("body"), self.name("end")
        self.label(head)
        self.lines += [f"br i1 {self.truth(node.test)}, label %{body}, label %{end}", f"{body}:"]
        self.loop(node.body, head)
        self.lines += [f"br label %{head}", f"{end}:"]

    def for_statement(self, node):
        call = node.iter
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "range"):
            self.refuse(node, "only range")
        values = [self.integer(argument) for argument in call.args]
        start, stop = values[:2] if len(values) > 1 else ("0", values[0])
        step = values[2] if len(values) > 2 else "1"
        test = "sgt" if step.startswith("-") else "slt"
        before, head, body, again, end = map(self.name, ("before", "head", "body", "again", "end"))
        at, after = f"%{self.name('i')}", f"%{self.name('after')}"
        self.label(before)
        self.label(head)
        self.lines.append(f"{at} = phi i64 [{start}, %{before}], [{after}, %{again}]")
        more = self.emit("i1", f"icmp {test} i64 {at}, {stop}").text
        self.lines += [f"br i1 {more}, label %{body}, label %{end}", f"{body}:"]
        self.store(node.target, Value(at, "i64"))
        self.loop(node.body, again)
        self.label(again)
        self.lines += [f"{after} = add nsw i64 {at}, {step}", f"br label %{head}", f"{end}:"]

    def loop(self, body, again):
        self.again.append(again)
        self.block(body)
        self.again.pop()

    def continue_statement(self, node):
        self.leave(f"br label %{self.again[-1]}")

    def return_statement(self, node):
        value = self.value(node.value) if node.value else Value("0", "i64")
        value = self.converted(value, "i64") if value.kind == "i1" else value
        if self.returned not in ("", value.kind):
            self.refuse(node, f"returns {self.returned} and {value.kind}")
        self.returned = value.kind
        self.leave(f"ret {value.kind} {value.text}")

    # ------------------------------------------------------------ expressions

    def integer(self, node) -> str:
        value = self.value(node)
        if value.kind not in ("i1", "i64"):
            self.refuse(node, "no integer")
        return self.converted(value, "i64").text

    def truth(self, node) -> str:
        value = self.value(node)
        if value.kind == "i1":
            return value.text
        if value.kind != "i64":
            self.refuse(node, "no truth value")
        return self.emit("i1", f"icmp ne i64 {value.text}, 0").text

    def value(self, node) -> Value:
        method = getattr(self, type(node).__name__.lower() + "_value", None)
        if method is None:
            self.refuse(node, "no such expression")
        return method(node)

    def constant_value(self, node):
        return self.constant(node, node.value)

    def constant(self, node, number):
        if type(number) is int:
            return Value(str(number), "i64")
        if type(number) is not float or self.module.wide != "double":
            self.refuse(node, "only integers, and floats where wide numbers are")
        return Value(f"0x{struct.pack('>d', number).hex().upper()}", "double")

    def name_value(self, node):
        found = self.variables.get(node.id)
        if found is not None:
            if found.kind == "ptr":
                return found
            return self.emit(found.kind, f"load {found.kind}, ptr {found.text}")
        constant = self.scope.get(node.id)
        if type(constant) not in (int, float):
            self.refuse(node, "unknown name")
        return self.constant(node, constant)

    def binop_value(self, node):
        return self.binary(node, self.value(node.left), self.value(node.right))

    def binary(self, node, a, b):
        how = type(node.op)
        if a.kind == b.kind == "i1" and how in (ast.BitAnd, ast.BitOr):
            return self.emit("i1", f"{_INTEGER[how]} i1 {a.text}, {b.text}")
        kind = self.common(a, b)
        a, b = self.converted(a, kind), self.converted(b, kind)
        if kind == "i64" and how in (ast.FloorDiv, ast.Mod):
            return self.divided(how, a.text, b.text)
        instruction = (_INTEGER if kind == "i64" else _FLOAT).get(how)
        if instruction is None:
            self.refuse(node, f"no operator {how.__name__} of {kind}")
        return self.emit(kind, f"{instruction} {kind} {a.text}, {b.text}")

    def divided(self, how, a, b):
        """Rounded down, where the instruction rounds towards 0."""
        quotient = self.emit("i64", f"sdiv i64 {a}, {b}").text
        rest = self.emit("i64", f"srem i64 {a}, {b}").text
        mixed = self.emit("i64", f"xor i64 {rest}, {b}").text
        has_signs = self.emit("i1", f"icmp slt i64 {mixed}, 0").text
        has_rest = self.emit("i1", f"icmp ne i64 {rest}, 0").text
        is_off = self.emit("i1", f"and i1 {has_signs}, {has_rest}").text
        if how is ast.Mod:
            more = self.emit("i64", f"select i1 {is_off}, i64 {b}, i64 0").text
            return self.emit("i64", f"add i64 {rest}, {more}")
        less = self.emit("i64", f"sext i1 {is_off} to i64").text
        return self.emit("i64", f"add i64 {quotient}, {less}")

    def unaryop_value(self, node):
        if isinstance(node.op, ast.Not):
            return self.emit("i1", f"xor i1 {self.truth(node.operand)}, true")
        if not isinstance(node.op, ast.USub):
            self.refuse(node, "no such operator")
        operand = self.value(node.operand)
        if operand.kind in _FLOATS:
            return self.emit(operand.kind, f"fneg {operand.kind} {operand.text}")
        value = self.converted(operand, "i64").text
        return (
            Value(f"-{value}", "i64")
            if value.isdigit()
            else self.emit("i64", f"sub i64 0, {value}")
        )

    def compare_value(self, node):
        if len(node.ops) != 1:
            self.refuse(node, "one comparison at a time")
        a, b = self.value(node.left), self.value(node.comparators[0])
        kind = self.common(a, b)
        a, b = self.converted(a, kind).text, self.converted(b, kind).text
        integer, float_ = _COMPARE[type(node.ops[0])]
        how = f"icmp {integer}" if kind == "i64" else f"fcmp {float_}"
        return self.emit("i1", f"{how} {kind} {a}, {b}")

    def boolop_value(self, node):
        self.check_no_memory(node.values[1:])
        how = "and" if isinstance(node.op, ast.And) else "or"
        result, *others = [self.truth(part) for part in node.values]
        for other in others:
            result = self.emit("i1", f"{how} i1 {result}, {other}").text
        return Value(result, "i1")

    def ifexp_value(self, node):
        self.check_no_memory((node.body, node.orelse))
        test = self.truth(node.test)
        a, b = self.value(node.body), self.value(node.orelse)
        kind = self.common(a, b)
        a, b = self.converted(a, kind).text, self.converted(b, kind).text
        return self.emit(kind, f"select i1 {test}, {kind} {a}, {kind} {b}")

    def check_no_memory(self, nodes):
        for part in (part for node in nodes for part in ast.walk(node)):
            if isinstance(part, ast.Call) and ast.unparse(part.func) in _INTRINSICS:
                continue
            if isinstance(part, ast.Subscript | ast.Call | ast.FloorDiv | ast.Mod):
                self.refuse(nodes[0], "computed always, so no memory and no division")

    def subscript_value(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == self.args:
            return self.tuple[ast.literal_eval(node.slice)]
        kind, address = self.place(node)
        loaded = self.emit(kind, f"load {kind}, ptr {address}")
        if kind in ("i64", *_FLOATS):
            return loaded
        how = "zext" if kind == "i8" else "sext"
        return self.emit("i64", f"{how} {kind} {loaded.text} to i64")

    def place(self, node):
        """(type in memory, address) of x[i]."""
        memory, at = self.value(node.value), self.integer(node.slice)
        if memory.kind != "ptr":
            self.refuse(node, "no memory")
        kind = _MEMORY[memory.dtype]
        address = f"getelementptr inbounds {kind}, ptr {memory.text}, i64 {at}"
        return kind, self.emit("ptr", address).text

    def call_value(self, node):
        name = ast.unparse(node.func)
        values = [self.value(argument) for argument in node.args]
        if name == "min" and len(values) == 2:
            a, b = (self.converted(value, "i64").text for value in values)
            return self.emit("i64", f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")
        if name in _INTRINSICS and values[0].kind in _FLOATS:
            kind = values[0].kind
            intrinsic = f"@llvm.{_INTRINSICS[name]}.{_SUFFIX[kind]}"
            self.module.declared[f"declare {kind} {intrinsic}({kind})"] = None
            return self.emit(kind, f"call {kind} {intrinsic}({kind} {values[0].text})")
        if name == "wide":
            return self.converted(values[0], self.module.wide)
        function = self.scope.get(name)
        if not isinstance(function, types.FunctionType):
            self.refuse(node, "unknown function")
        if is_math(function):
            return self.math(function, values)
        operands = ", ".join(f"{value.kind} {value.text}" for value in values)
        if self.module.natives.is_native(function):
            symbol = self.module.natives.symbol(function)
            kinds = ", ".join(value.kind for value in values)
            self.module.declared[f"declare void @{symbol}({kinds})"] = None
            self.lines.append(f"call void @{symbol}({operands})")
            return Value("0", "i64")
        symbol, kind = self.module.function(function, tuple(values))
        return self.emit(kind, f"call {kind} @{symbol}({operands})")

    def math(self, function, values):
        """A function of vectors, of one number each."""
        call = math_call(function)
        self.module.declared[vectormath.declaration(*call)] = None
        texts = [self.converted(value, "double").text for value in values]
        ones = [self.emit("", f"bitcast double {text} to <1 x double>").text for text in texts]
        operands = ", ".join(f"<1 x double> {one}" for one in ones)
        result = self.emit("", f"call <1 x double> @{vectormath.symbol(*call)}({operands})").text
        return self.emit("double", f"bitcast <1 x double> {result} to double")

    def common(self, a, b):
        """What two numbers are computed in, as NumPy has it for arrays."""
        kinds = {a.kind, b.kind} - {"i1"} or {"i64"}
        if len(kinds) == 1:
            return kinds.pop()
        return "double"

    def converted(self, value, kind) -> Value:
        text, is_constant = value.text, value.text.lstrip("-").isdigit()
        if value.kind == kind:
            return value
        if value.kind == "i1" and kind == "i64":
            return self.emit(kind, f"zext i1 {text} to i64")
        if value.kind == "i1":
            return self.emit(kind, f"uitofp i1 {text} to {kind}")
        if value.kind == "i64" and kind in _FLOATS:
            if is_constant:
                return Value(f"{text}.0", kind)
            return self.emit(kind, f"sitofp i64 {text} to {kind}")
        if value.kind == "float" and kind == "double":
            return self.emit(kind, f"fpext float {text} to double")
        if value.kind == "double" and kind == "float":
            return self.emit(kind, f"fptrunc double {text} to float")
        raise KernelError(f"loops: no {value.kind} as {kind}")


sources = _Function.sources
