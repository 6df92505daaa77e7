"""The texts of kernels that are written as Python functions: indices in int32, or all in int64.

Integers are int64 in Numba, whatever they are made of, and a card takes several instructions for
each, for a division a hundred.  So what is an index here becomes one of a width that a text's first
lines state, in each step:

    row = i // inner                     row = index(unsigned(i) // unsigned(inner))
    y[row * n + j] = x[i]                y[index(row * n + j)] = x[i]

Which those are is found out.  Indices are the numbers that a kernel is given, those of its source,
a thread's own, and what is computed from indices alone.  What memory holds are data, of whatever
width, until the source says `index(x[i])`; what is computed with data stays as it is.  A function
that is called is printed once for each way of calling it.

Both operands of an index's // and % must not be negative: unsigned division takes half the
instructions.  That all indices fit is for the caller to know.

Start at `text_of`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import types
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

from tapejit.codegen.cuda import functions, words
from tapejit.codegen.value_text import CONVERSION
from tapejit.errors import KernelError

Word = str | Callable
"""What a word stands for: an expression of the text, or a function."""

Meanings = tuple[tuple[str, Word], ...]
"""Of each word."""

WORDS = {*words.__annotations__, "sqrt", "wide"} - {"cuda", "int64", "index"}
_HOMES = ("tapejit.codegen.cuda.", "tapejit.ops.loops.")
_NUMBERS = "tapejit.ops.loops.words"
"""Whose functions are those of wide numbers: CUDA's, or texts of functions.py."""
_INLINED = '@cuda.jit(device=True, inline="always")'
"""By Numba: other functions of the device ask for one while they compile."""


class Kind(IntEnum):
    """What an expression is; of two that meet in a name it is the later one."""

    FLAG = 0
    INDEX = 1
    DATA = 2


FLAG, INDEX, DATA = Kind

# ---------------------------------------------------------------- the door


@functools.cache
def text_of(
    kernel: Callable, n_pointers: int, n_numbers: int, meanings: Meanings, index: str
) -> str:
    """The source of a kernel: what its words mean, the functions that it calls, itself.

    n_pointers, n_numbers  how many of each it is given, pointers first; a starred parameter takes
                           what numbers are left
    index  the dtype of indices, "i32" or "i64"
    """
    given = (DATA,) * n_pointers + (INDEX,) * n_numbers
    return _Text(meanings, index).of(_source_of(kernel), kernel.__globals__, given)


@functools.cache
def text_of_loop(run: Callable, n_args: int, n_meta: int, meanings: Meanings, index: str) -> str:
    """The source of a kernel that runs a loop of ops/loops, one thread for each unit."""
    args, meta = [f"a{k}" for k in range(n_args)], [f"m{k}" for k in range(n_meta)]
    tuples = f"({', '.join(args)},), ({', '.join(meta)},)"
    kernel = (
        f"def kernel({', '.join([*args, *meta])}, units):\n"
        "    for unit in range(cuda.grid(1), units, cuda.gridsize(1)):\n"
        f"        run({tuples}, unit, unit + 1)\n"
    )
    words = (("sqrt", "math.sqrt"), *meanings)
    given = (DATA,) * n_args + (INDEX,) * (n_meta + 1)
    return _Text(words, index).of(kernel, {"run": run}, given)


@functools.cache
def with_indices(kernel: str, n_pointers: int, n_numbers: int, index: str) -> str:
    """The same of a kernel that is text already, and calls nothing of ours."""
    return _Text((), index).of(kernel, {}, (DATA,) * n_pointers + (INDEX,) * n_numbers)


# ---------------------------------------------------------------- texts


@functools.cache
def _source_of(function) -> str:
    try:
        return inspect.getsource(function)
    except OSError as error:
        raise KernelError(f"loops: no source of {function.__module__}: {error}") from error


class _Text:
    """What a kernel reaches: constants, and functions before those that call them."""

    def __init__(self, meanings: Meanings, index: str):
        self.meanings: Mapping[str, Word] = dict(meanings)
        self.index = CONVERSION[index]
        self.constants: dict[str, object] = {}
        self.called: dict[tuple[Callable, tuple[Kind, ...]], _Function] = {}
        self.functions: list[str] = []
        self.names: dict[str, int] = {}

    def of(self, source: str, home: Mapping, kinds: tuple[Kind, ...]) -> str:
        """All of it, the kernel last."""
        kernel = _Function(self, source, home, kinds)
        own = kernel.printed("kernel")
        given = {"index": self.index, "unsigned": f"u{self.index}", **self.constants}
        constants = [f"{name} = {value}" for name, value in given.items()]
        helpers = functions.definitions("".join(f"{value}(" for value in given.values()))
        return helpers + "\n\n".join(["\n".join(constants), *self.functions, own]) + "\n"

    def meaning(self, name: str, home: Mapping) -> Word | int | None:
        """What a global name stands for: a constant, its text, or a function to be printed."""
        value = self.meanings[name] if name in WORDS else home.get(name)
        if isinstance(value, types.FunctionType) and value.__module__ == _NUMBERS:
            return functions.call(value.__name__, _DTYPE[str(self.meanings["wide"])])
        if isinstance(value, types.FunctionType):
            return value if value.__module__.startswith(_HOMES) else None
        if isinstance(value, float):
            return self.number(value)
        return value if name in WORDS or type(value) is int else None

    def number(self, value: float) -> str:
        """A constant with a point, which is a wide number."""
        text = repr(value) if math.isfinite(value) else f"math.{value}"
        return f"{self.meanings.get('wide', 'float64')}({text})"

    def function(self, function: Callable, kinds: tuple[Kind, ...]) -> _Function:
        """A function that is called so."""
        key = function, kinds
        if key not in self.called:
            self.called[key] = _Function(self, _source_of(function), function.__globals__, kinds)
        return self.called[key]

    def name_of(self, called: _Function) -> str:
        """What it is called in the text; it is printed there."""
        if not called.name:
            own = called.definition.name
            number = self.names[own] = self.names.get(own, -1) + 1
            called.name = f"{own}_{number}" if number else own
            self.functions.append(f"{_INLINED}\n{called.printed(called.name)}")
        return called.name


# ---------------------------------------------------------------- one function


class _Function(ast.NodeTransformer):
    """A function whose parameters are of these kinds."""

    def __init__(self, text: _Text, source: str, home: Mapping, kinds: tuple[Kind, ...]):
        self.text, self.home, self.name = text, home, ""
        (definition,) = ast.parse(source).body
        assert isinstance(definition, ast.FunctionDef), source
        self.definition = definition
        _name_starred(definition, len(kinds))
        parameters = [one.arg for one in definition.args.args]
        self.kinds = dict.fromkeys(_stored_in(definition.body), FLAG)
        """Of each local name."""
        self.kinds |= zip(parameters, kinds, strict=True)
        self.result, known = FLAG, None
        statements = [node for node in ast.walk(definition) if isinstance(node, _LEARNT)]
        while known != (known := (dict(self.kinds), self.result)):
            for node in statements:
                self._learn(node)

    def printed(self, name: str) -> str:
        """Its text; once."""
        tree = self.definition
        tree.name = name
        return ast.unparse(ast.fix_missing_locations(self.generic_visit(tree)))

    # ------------------------------------------------------------ kinds

    def _learn(self, node):
        """What a statement says of names' kinds."""
        if isinstance(node, ast.Assign):
            self._give(node.targets[0], node.value)
        elif isinstance(node, ast.AugAssign):
            self._give(node.target, _sum_of(node))
        elif isinstance(node, ast.For):
            assert isinstance(node.iter, ast.Call)
            self._give(node.target, ast.Tuple(node.iter.args))
        elif isinstance(node, ast.Return) and node.value is not None:
            self.result = max(self.result, self.kind(node.value))

    def _give(self, target, value):
        if isinstance(target, ast.Tuple):
            pairs = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
            values = value.elts if pairs else [value] * len(target.elts)
            for one, other in zip(target.elts, values, strict=True):
                self._give(one, other)
        elif isinstance(target, ast.Name):
            self.kinds[target.id] = max(self.kinds.get(target.id, FLAG), self.kind(value))

    def kind(self, node: ast.expr) -> Kind:
        """Of an expression; of a tuple the latest of its elements'."""
        match node:
            case ast.Constant(value=value):
                return FLAG if value is True or value is False else _of(isinstance(value, int))
            case ast.Name(id=name):
                return self._kind_of_name(name)
            case ast.Tuple(elts=parts) | ast.BoolOp(values=parts):
                return max(map(self.kind, parts), default=FLAG)
            case ast.Compare() | ast.UnaryOp(op=ast.Not()):
                return FLAG
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd()):
                return max(self.kind(node.left), self.kind(node.right))
            case ast.BinOp(op=ast.Div()):
                return DATA
            case ast.BinOp():
                return max(self.kind(node.left), self.kind(node.right), INDEX)
            case ast.UnaryOp(operand=part):
                return max(self.kind(part), INDEX)
            case ast.IfExp(body=one, orelse=other):
                return max(self.kind(one), self.kind(other))
            case ast.Subscript(value=whole):
                return self.kind(whole)
            case ast.Attribute():
                return _of(_dotted(node).startswith(_AXES))
            case ast.Call():
                return self._kind_of_call(node)
        return DATA

    def _kind_of_name(self, name):
        if name in self.kinds:
            return self.kinds[name]
        meaning = self.text.meaning(name, self.home)
        if isinstance(meaning, str):
            meaning = ast.parse(meaning, mode="eval").body
            return DATA if isinstance(meaning, ast.Name) else self.kind(meaning)
        return _of(isinstance(meaning, int))

    def _kind_of_call(self, node):
        function = self._called(node)
        if function is not None:
            return function.result
        name = _dotted(node.func)
        if name in _EXTREMES:
            return max(map(self.kind, node.args))
        return _of(self.text.meanings.get(name, name) in ("index", *_GRID))

    def _called(self, node) -> _Function | None:
        """The function of the text that a call is of."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        meaning = self.text.meaning(name, self.home)
        if not isinstance(meaning, types.FunctionType):
            return None
        return self.text.function(meaning, tuple(map(self.kind, node.args)))

    # ------------------------------------------------------------ text

    def visit_Name(self, node):
        if node.id not in self.kinds:
            meaning = self.text.meaning(node.id, self.home)
            if isinstance(meaning, str | int):
                self.text.constants[node.id] = meaning
        return node

    def visit_Constant(self, node):
        if isinstance(node.value, float) and self.text.meanings.get("wide") == "float32":
            return ast.parse(self.text.number(node.value), mode="eval").body
        return node

    def visit_Assign(self, node):
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            given = zip(target.elts, node.value.elts, strict=True)
            elements: list[ast.expr] = [self._for(one, value) for one, value in given]
            value = ast.Tuple(elements, ast.Load())
        else:
            value = self._for(target, node.value)
        return ast.Assign([self.visit(target)], value)

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Name) and self.kinds[node.target.id] is INDEX:
            return self.visit_Assign(ast.Assign([node.target], _sum_of(node)))
        return self.generic_visit(node)

    def _for(self, target, value):
        """What a target is given: a constant that becomes an index is one from the beginning."""
        is_index = isinstance(target, ast.Name) and self.kinds[target.id] is INDEX
        return self._given(value) if is_index else self.visit(value)

    def _is_constant(self, node):
        is_global = isinstance(node, ast.Name) and node.id not in self.kinds
        return is_global or isinstance(node, ast.Constant)

    def _given(self, value):
        if self._is_constant(value) and self.kind(value) is INDEX:
            return _cast("index", self.visit(value))
        return self.visit(value)

    def visit_For(self, node: Any):
        """As `while`, where the text does not say how often: a range divides to know its length,
        and counts in a register of its own.  Steps go up, or the range has a minus there."""
        parts, name = [ast.unparse(part) for part in node.iter.args], node.target.id
        is_constant = all(map(self._is_constant, node.iter.args))
        goes_down = len(parts) == 3 and parts[2].startswith("-")
        if is_constant or goes_down or self.kinds[name] is not INDEX:
            return self.generic_visit(node)
        start, end, step = {1: ["0", *parts, "1"], 2: [*parts, "1"]}.get(len(parts), parts)
        lines = ast.parse(
            f"end_{name} = {end}\n{name} = {start}\nwhile {name} < end_{name}: {name} += {step}"
        ).body
        loop = lines[-1]
        assert isinstance(loop, ast.While)
        assert not _stored_in(node.body) & {name, f"end_{name}"}, ast.unparse(node)
        loop.body = [*node.body, *loop.body]
        self.kinds[f"end_{name}"] = INDEX
        return [self.visit(line) for line in lines]

    def visit_Return(self, node):
        if node.value is None:
            return node
        is_index = self.result is INDEX
        return ast.Return(self._given(node.value) if is_index else self.visit(node.value))

    def visit_Call(self, node):
        name = _dotted(node.func)
        if name in _GRID:
            return _cast("index", node)
        if name == "index":
            return _cast("index", self._part(node.args[0]))
        function = self._called(node)
        if function is not None:
            called = ast.Name(self.text.name_of(function), ast.Load())
            return ast.Call(called, list(map(self._given, node.args)), [])
        if name == "range":
            return ast.Call(node.func, list(map(self._given, node.args)), [])
        if name in _EXTREMES and self.kind(node) is INDEX:
            return _cast("index", self.generic_visit(node))
        return self.generic_visit(node)

    def visit_Attribute(self, node):
        return _cast("index", node) if self.kind(node) is INDEX else node

    def visit_BinOp(self, node: Any):
        return self._whole(node)

    visit_UnaryOp = visit_IfExp = visit_BinOp

    def _whole(self, node) -> Any:
        """An expression that is no part of a larger one of indices."""
        if self.kind(node) is not INDEX:
            return self.generic_visit(node)
        return _cast("index", self._part(node))

    def _part(self, node) -> Any:
        """The same without a cast, which is behind it."""
        if self.kind(node) is DATA:
            return self.visit(node)
        match node:
            case ast.BinOp(op=ast.FloorDiv() | ast.Mod()):
                left, right = (_cast("unsigned", self._part(x)) for x in (node.left, node.right))
                return _cast("index", ast.BinOp(left, node.op, right))
            case ast.BinOp():
                return ast.BinOp(self._part(node.left), node.op, self._part(node.right))
            case ast.UnaryOp(op=ast.USub()):
                return ast.UnaryOp(node.op, self._part(node.operand))
        return self.generic_visit(node) if isinstance(node, ast.IfExp) else self.visit(node)


_LEARNT = (ast.Assign, ast.AugAssign, ast.For, ast.Return)
_EXTREMES = ("min", "max", "abs")
_DTYPE = {"float32": "f32", "float64": "f64"}
_GRID = ("cuda.grid", "cuda.gridsize")
_AXES = ("cuda.threadIdx.", "cuda.blockIdx.", "cuda.gridDim.", "cuda.blockDim.")


def _dotted(node) -> str:
    """A name with its attributes."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _name_starred(definition: ast.FunctionDef, n: int) -> None:
    """Give what a starred parameter holds names of their own; there are n parameters in all."""
    given = definition.args
    if given.vararg is not None:
        rest, given.vararg = given.vararg.arg, None
        names = [f"{rest}{k}" for k in range(n - len(given.args))]
        given.args += map(ast.arg, names)
        (packed,) = ast.parse(f"{rest} = ({', '.join(names)},)").body
        definition.body.insert(ast.get_docstring(definition) is not None, packed)


def _stored_in(nodes) -> set[str]:
    """The names that statements assign."""
    found = [node for tree in nodes for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in found if isinstance(node.ctx, ast.Store)}


def _of(is_index) -> Kind:
    return INDEX if is_index else DATA


def _sum_of(node: ast.AugAssign) -> ast.BinOp:
    """What the target becomes."""
    return ast.BinOp(node.target, node.op, node.value)


def _cast(word: str, node: Any) -> ast.Call:
    if isinstance(node, ast.Call) and _dotted(node.func) == word == "index":
        return node
    return ast.Call(ast.Name(word, ast.Load()), [node], [])
