"""The small language in which an elementwise operation states its value.

An operation's value is one Python expression, for example ``"math.tanh(x)"`` or
``"u if u > v or u != u else v"``, in the subset that Numba on the CPU, Numba on CUDA and our own
LLVM text all understand.  `parse` turns it, once, into a flat list of nodes; unknown names are
refused there, so a wrong record fails at import and not in a kernel.

Start at `parse`; `FUNCTIONS` is the whole vocabulary.  This file knows nothing of tapes, shapes
or dtypes: a kernel gives every node its dtype when it instantiates an expression.
"""

from __future__ import annotations

import ast
import math
from typing import NamedTuple

from tapejit.errors import DeclarationError

# ---------------------------------------------------------------- data

# name -> number of operands.  The first group has a direct instruction or intrinsic in LLVM (its
# DIVISIONS on integers only); the second is our own vector math (codegen/vectormath).
INSTRUCTIONS = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "mod": 2, "fmod": 2, "floordiv": 2, "neg": 1,
    "lt": 2, "le": 2, "gt": 2, "ge": 2, "eq": 2, "ne": 2,
    "and": 2, "or": 2, "not": 1, "select": 3,
    "abs": 1, "sqrt": 1, "floor": 1, "ceil": 1, "trunc": 1, "round": 1, "copysign": 2,
}  # fmt: skip
MATH = {
    "exp": 1, "exp2": 1, "expm1": 1, "log": 1, "log2": 1, "log10": 1, "log1p": 1,
    "sin": 1, "cos": 1, "tan": 1, "asin": 1, "acos": 1, "atan": 1, "atan2": 2,
    "sinh": 1, "cosh": 1, "tanh": 1, "asinh": 1, "acosh": 1, "atanh": 1,
    "pow": 2, "hypot": 2, "cbrt": 1, "erf": 1, "erfc": 1, "erfcx": 1, "erfinv": 1, "erfcinv": 1,
    "lgamma": 1, "digamma": 1, "trigamma": 1,
    "bessel_i0": 1, "bessel_i1": 1, "bessel_i0e": 1, "bessel_i1e": 1, "bessel_j0": 1,
    "bessel_j1": 1,
}  # fmt: skip
FUNCTIONS = INSTRUCTIONS | MATH
DIVISIONS = ("mod", "fmod", "floordiv")
PREDICATES = {"lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"}  # these give booleans
COMMUTATIVE = {"add", "mul", "eq", "ne", "and", "or"}

_BINARY = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Mod: "mod",
    ast.FloorDiv: "floordiv",
}  # fmt: skip
_COMPARE = {
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne",
}  # fmt: skip
_BUILTINS = {"abs": "abs", "round": "round"}
_MATH_ALIASES = {"fabs": "abs"}
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}


class Step(NamedTuple):
    """One node of an expression: a function of earlier nodes, or a literal number."""

    fn: str
    operands: tuple
    """Node numbers; for ``fn == "literal"`` the one number itself."""


class Expression(NamedTuple):
    """A parsed value text.  Nodes 0 … n-1 are the parameters; `steps` follow them."""

    text: str
    parameters: tuple[str, ...]
    steps: tuple[Step, ...]
    result: int


# ---------------------------------------------------------------- parsing


def parse(text: str, parameters: tuple[str, ...]) -> Expression:
    """Parse `text`, an expression over `parameters`; equal subexpressions become one node.

    Errors  DeclarationError if the text uses a name or a construct outside the language

    >>> parse("1.0 - y * y", ("y",)).steps
    (Step(fn='literal', operands=(1.0,)), Step(fn='mul', operands=(0, 0)), Step(fn='sub', operands=(1, 2)))
    """  # noqa: E501 - the doctest's output is one line
    parser = _Parser(text, parameters)
    result = parser.visit(ast.parse(text.strip(), mode="eval").body)
    return Expression(text, parameters, tuple(parser.steps), result)


class _Parser:
    def __init__(self, text, parameters):
        self.text = text
        self.parameters = {name: i for i, name in enumerate(parameters)}
        self.steps = []
        self.known = {}

    def node(self, fn, *operands):
        # repr tells 0.0 from -0.0 and keeps nan equal to itself
        step = Step(fn, operands)
        key = (fn, *map(repr, operands)) if fn == "literal" else step
        if key not in self.known:
            self.known[key] = len(self.parameters) + len(self.steps)
            self.steps.append(step)
        return self.known[key]

    def visit(self, node):
        match node:
            case ast.Constant(value=bool() | str() | None):
                raise self.refused(f"the constant {node.value!r}")
            case ast.Constant(value=value):
                return self.node("literal", value)
            case ast.Name(id=name) if name in self.parameters:
                return self.parameters[name]
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name in _CONSTANTS:
                return self.node("literal", _CONSTANTS[name])
            case ast.BinOp(op=op) if type(op) in _BINARY:
                return self.node(_BINARY[type(op)], self.visit(node.left), self.visit(node.right))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return self.node("literal", -value)
            case ast.UnaryOp(op=ast.USub()):
                return self.node("neg", self.visit(node.operand))
            case ast.UnaryOp(op=ast.Not()):
                return self.node("not", self.visit(node.operand))
            case ast.Compare(ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return self.node(_COMPARE[type(op)], self.visit(node.left), self.visit(right))
            case ast.BoolOp(op=op, values=[first, *rest]):
                fn = "and" if isinstance(op, ast.And) else "or"
                result = self.visit(first)
                for value in rest:
                    result = self.node(fn, result, self.visit(value))
                return result
            case ast.IfExp():
                test, then, other = map(self.visit, (node.test, node.body, node.orelse))
                return self.node("select", test, then, other)
            case ast.Call(func=func, args=args, keywords=[]):
                fn = self.function(func)
                if len(args) != FUNCTIONS[fn]:
                    raise self.refused(f"{fn} with {len(args)} operands, it takes {FUNCTIONS[fn]}")
                return self.node(fn, *map(self.visit, args))
        raise self.refused(ast.unparse(node))

    def function(self, func):
        match func:
            case ast.Name(id=name) if name in _BUILTINS:
                return _BUILTINS[name]
            case ast.Attribute(value=ast.Name(id="math"), attr=name):
                name = _MATH_ALIASES.get(name, name)
                if name in FUNCTIONS and name not in PREDICATES:
                    return name
        raise self.refused(ast.unparse(func))

    def refused(self, what):
        allowed = ", ".join([*self.parameters, *_BUILTINS, *(f"math.{name}" for name in MATH)])
        return DeclarationError(
            f"value text: {what} is not part of the expression language\n"
            f"  text {self.text}\n  try  arithmetic, comparisons, `a if c else b`, and: {allowed}"
        )
