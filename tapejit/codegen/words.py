"""A Python module of functions over machine words, printed as LLVM IR.

For code that has to be native but is no kernel: the entry of a call reads and makes Python objects.
The one idea: every value is a 64-bit word, and memory is arrays of them:

    word[p]   i32_at[p]   u8[p]      the word, int or byte at address p; a double is its bits

    def PyTuple_New(n: i64) -> ptr: ...    a C function: the body is `...`
    Tuple: ptr = LINKED                    an address given when the code is linked
    TUPLE = 3                              a constant: an int of the module
    def same(a, b): ...                    a function: words in, a word out

Statements: assignment, if, while, for over range, break, continue, return, calls.  Expressions:
+ - * & | ^ << >>, comparisons (signed), and, or, not; `stack(n)` gives n bytes that live until the
function returns.  Anything else is refused with its line.  The functions are parsed, not executed.

Start at `emit_words`.  Kernels do not come this way: `loop_ir` prints those.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterable

from tapejit.codegen.statements import Printer

ptr = i64 = i32 = f64 = int
"""What the parameters and the result of a C function are declared as."""

LINKED = 0
"""The value, for Python, of a name that linking gives an address."""

_LLVM = {"ptr": "ptr", "i64": "i64", "i32": "i32", "f64": "double"}


class _Memory:
    """Memory as words, ints or bytes: for the type checker, since nothing runs it."""

    def __getitem__(self, address: int) -> int:
        raise NotImplementedError

    def __setitem__(self, address: int, value: int) -> None:
        raise NotImplementedError


word = i32_at = u8 = _Memory()
_LOADS = {"word": "i64", "i32_at": "i32", "u8": "i8"}


def stack(n_bytes: int) -> int:
    """The address of memory that lives until the function returns, aligned to 64 bytes."""
    raise NotImplementedError


# ---------------------------------------------------------------- a module


def emit_words(
    module: types.ModuleType, exports: Iterable[str], defined: Iterable[str] = ()
) -> str:
    """The module as IR text.

    defined  C functions that the IR text it is joined with defines
    """
    tree = ast.parse(inspect.getsource(module))
    constants = {name: value for name, value in vars(module).items() if type(value) is int}
    foreign: dict[str, tuple[str, list[str]]] = {}
    functions, lines, data = {}, [], []
    exports, defined = set(exports), set(defined)
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            assert isinstance(node.target, ast.Name)
            data.append(node.target.id)
            lines.append(f"@{node.target.id} = external global i8")
        elif isinstance(node, ast.FunctionDef) and _is_foreign(node):
            types_ = [_type_of(a.annotation) for a in node.args.args]
            foreign[node.name] = (_type_of(node.returns), types_)
            if node.name not in defined:
                lines.append(f"declare {foreign[node.name][0]} @{node.name}({', '.join(types_)})")
        elif isinstance(node, ast.FunctionDef):
            functions[node.name] = node
    known = _Known(
        constants, set(data), foreign, {n: len(f.args.args) for n, f in functions.items()}
    )
    for name, node in functions.items():
        lines += _Function(known, node).text("" if name in exports else "internal ")
    return "\n".join([*lines, ""])


def _is_foreign(node):
    body = node.body[-1]
    return (
        isinstance(body, ast.Expr)
        and isinstance(body.value, ast.Constant)
        and body.value.value is Ellipsis
    )


def _type_of(annotation):
    name = ast.unparse(annotation)
    return "void" if name == "None" else _LLVM[name]


class _Known:
    """What names mean in a module."""

    def __init__(self, constants, data, foreign, functions):
        self.constants: dict[str, int] = constants
        self.data: set[str] = data
        self.foreign: dict[str, tuple[str, list[str]]] = foreign
        self.functions: dict[str, int] = functions


# ---------------------------------------------------------------- a function

_ARITHMETIC = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "lshr",
}  # fmt: skip
_COMPARE = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "slt", ast.LtE: "sle", ast.Gt: "sgt", ast.GtE: "sge",
}  # fmt: skip


class _Function(Printer):
    """Prints one function; each method is one kind of syntax."""

    language = "words"

    def __init__(self, known: _Known, node: ast.FunctionDef):
        super().__init__()
        self.known = known
        self.node = node
        self.loops: list[tuple[str, str]] = []  # (where continue goes, where break goes)
        self.locals = {a.arg: None for a in node.args.args}
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self.locals[part.id] = None

    def text(self, linkage):
        arguments = [a.arg for a in self.node.args.args]
        self.block(self.node.body)
        self.lines.append("ret i64 0")
        head = ", ".join(f"i64 %arg.{name}" for name in arguments)
        return [
            f"define {linkage}i64 @{self.node.name}({head}) nounwind {{",
            *(f"  %{name} = alloca i64" for name in self.locals),
            *(f"  store i64 %arg.{name}, ptr %{name}" for name in arguments),
            *(f"  {line}" if line[-1] != ":" else line for line in self.lines),
            "}",
        ]

    def emit(self, text):
        register = f"%{self.name('v')}"
        self.lines.append(f"{register} = {text}")
        return register

    # ------------------------------------------------------------ statements

    def assign_statement(self, node):
        (target,) = node.targets
        self.store(target, self.value(node.value))

    def augassign_statement(self, node):
        self.store(node.target, self.binop(node, self.value(node.target), self.value(node.value)))

    def store(self, target, value):
        if isinstance(target, ast.Name):
            self.lines.append(f"store i64 {value}, ptr %{target.id}")
        elif isinstance(target, ast.Subscript):
            kind, address = self.place(target)
            if kind != "i64":
                value = self.emit(f"trunc i64 {value} to {kind}")
            self.lines.append(f"store {kind} {value}, ptr {address}")
        else:
            self.refuse(target, "no such target")

    def if_statement(self, node):
        then, other, end = self.name("then"), self.name("else"), self.name("end")
        self.condition(node.test, then, other)
        for label, body in ((then, node.body), (other, node.orelse)):
            self.lines.append(f"{label}:")
            self.block(body)
            self.lines.append(f"br label %{end}")
        self.lines.append(f"{end}:")

    def while_statement(self, node):
        head, body, end = self.name("head"), self.name("body"), self.name("end")
        self.label(head)
        self.condition(node.test, body, end)
        self.lines.append(f"{body}:")
        self.loop(node.body, head, end)
        self.lines += [f"br label %{head}", f"{end}:"]

    def for_statement(self, node):
        """for i in range(n)"""
        call = node.iter
        if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "range"):
            self.refuse(node, "only range")
        if len(call.args) != 1:
            self.refuse(node, "only range(n)")
        head, body, step, end = (self.name(what) for what in ("head", "body", "step", "end"))
        stop = self.value(call.args[0])
        self.store(node.target, "0")
        self.label(head)
        test = self.emit(f"icmp slt i64 {self.value(node.target)}, {stop}")
        self.lines += [f"br i1 {test}, label %{body}, label %{end}", f"{body}:"]
        self.loop(node.body, step, end)
        self.label(step)
        self.store(node.target, self.emit(f"add i64 {self.value(node.target)}, 1"))
        self.lines += [f"br label %{head}", f"{end}:"]

    def loop(self, body, again, end):
        self.loops.append((again, end))
        self.block(body)
        self.loops.pop()

    def continue_statement(self, node):
        self.leave(f"br label %{self.loops[-1][0]}")

    def break_statement(self, node):
        self.leave(f"br label %{self.loops[-1][1]}")

    def return_statement(self, node):
        self.leave(f"ret i64 {self.value(node.value) if node.value else 0}")

    # ------------------------------------------------------------ expressions

    def condition(self, node, then, other):
        """Branch on a truth value, without computing what does not matter."""
        if isinstance(node, ast.BoolOp):
            for part in node.values[:-1]:
                more = self.name("more")
                if isinstance(node.op, ast.And):
                    self.condition(part, more, other)
                else:
                    self.condition(part, then, more)
                self.lines.append(f"{more}:")
            self.condition(node.values[-1], then, other)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.condition(node.operand, other, then)
        else:
            self.lines.append(f"br i1 {self.truth(node)}, label %{then}, label %{other}")

    def truth(self, node):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            a, b = self.value(node.left), self.value(node.comparators[0])
            return self.emit(f"icmp {_COMPARE[type(node.ops[0])]} i64 {a}, {b}")
        return self.emit(f"icmp ne i64 {self.value(node)}, 0")

    def value(self, node) -> str:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return str(node.value)
        if isinstance(node, ast.Name):
            return self.named(node)
        if isinstance(node, ast.BinOp):
            return self.binop(node, self.value(node.left), self.value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self.emit(f"sub i64 0, {self.value(node.operand)}")
        if isinstance(node, ast.Compare):
            return self.emit(f"zext i1 {self.truth(node)} to i64")
        if isinstance(node, ast.BoolOp) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return self.decided(node)
        if isinstance(node, ast.Subscript):
            kind, address = self.place(node)
            loaded = self.emit(f"load {kind}, ptr {address}")
            if kind == "i64":
                return loaded
            return self.emit(f"{'zext' if kind == 'i8' else 'sext'} {kind} {loaded} to i64")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self.call(node)
        self.refuse(node, "no such expression")

    def decided(self, node):
        """1 or 0."""
        true, false, end, place = (self.name(what) for what in ("true", "false", "end", "truth"))
        self.locals[place] = None
        self.condition(node, true, false)
        for label, value in ((true, 1), (false, 0)):
            self.lines += [f"{label}:", f"store i64 {value}, ptr %{place}", f"br label %{end}"]
        self.lines.append(f"{end}:")
        return self.emit(f"load i64, ptr %{place}")

    def named(self, node):
        known = self.known
        if node.id in self.locals:
            return self.emit(f"load i64, ptr %{node.id}")
        if node.id in known.data:
            return f"ptrtoint (ptr @{node.id} to i64)"
        if node.id in known.constants:
            return str(known.constants[node.id])
        self.refuse(node, "unknown name")

    def binop(self, node, a, b):
        if type(node.op) not in _ARITHMETIC:
            self.refuse(node, f"no operator {type(node.op).__name__}")
        return self.emit(f"{_ARITHMETIC[type(node.op)]} i64 {a}, {b}")

    def place(self, node):
        """(type, address) of `word[p]` and its like."""
        kind = _LOADS.get(ast.unparse(node.value))
        if kind is None:
            self.refuse(node, "no such memory")
        return kind, self.emit(f"inttoptr i64 {self.value(node.slice)} to ptr")

    def call(self, node):
        name = node.func.id
        values = [self.value(argument) for argument in node.args]
        if name == "stack":
            memory = self.emit(f"alloca i8, i64 {values[0]}, align 64")
            return self.emit(f"ptrtoint ptr {memory} to i64")
        if self.known.functions.get(name) == len(values):
            arguments = ", ".join(f"i64 {value}" for value in values)
            return self.emit(f"call i64 @{name}({arguments})")
        if name not in self.known.foreign or len(values) != len(self.known.foreign[name][1]):
            self.refuse(node, "unknown function, or wrong number of arguments")
        result, types_ = self.known.foreign[name]
        arguments = ", ".join(
            f"{kind} {self.converted(value, kind)}"
            for value, kind in zip(values, types_, strict=True)
        )
        if result == "void":
            self.lines.append(f"call void @{name}({arguments})")
            return "0"
        register = self.emit(f"call {result} @{name}({arguments})")
        how = {"ptr": "ptrtoint ptr", "i32": "sext i32", "double": "bitcast double"}.get(result)
        return register if how is None else self.emit(f"{how} {register} to i64")

    def converted(self, value, kind):
        how = {"ptr": "inttoptr", "i32": "trunc", "double": "bitcast"}.get(kind)
        return value if how is None else self.emit(f"{how} i64 {value} to {kind}")


sources = _Function.sources
