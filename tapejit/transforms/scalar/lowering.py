"""A scalar Python function as steps, by its syntax tree.

The function is run once on `Node`s, which stand for its arguments: what is known already (numbers,
tuples, ranges, the functions that are called) is Python's own, and loops over it are unrolled; what
depends on an argument becomes steps.  Of an `if` on an argument both branches are run, and
their values chosen from for each element.  Other Python functions and @njit functions are followed
into.

What is read from outside is read now, once: numbers are frozen into the steps, as Numba freezes
them.

Start at `lower`.
"""

from __future__ import annotations

import ast
import builtins
import math
import operator
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import TraceError
from tapejit.expressions import INSTRUCTIONS, MATH
from tapejit.tensor.core import Tensor
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS
from tapejit.transforms.scalar.source import tree_of
from tapejit.transforms.scalar.steps import MOST_STEPS, Lowered, Node, Steps, choose

DEEPEST = 20
"""Calls inside calls: more is a recursion."""


class NotLowered(TraceError):
    """A function that is no straight-line code; says what, and where."""


def lower(function: types.FunctionType, count: int) -> Lowered:
    """A function of `count` numbers as steps.

    Errors  NotLowered, with the line
    """
    steps = Steps(count)
    value = call(steps, function, [Node(i) for i in range(count)], 0)
    results = value if isinstance(value, tuple) else (value,)
    for result in results:
        if not isinstance(result, Node | int | float):
            raise NotLowered(f"{function.__qualname__} returns {_described(result)}")
    return Lowered(tuple(steps.steps), results, isinstance(value, tuple))


def call(steps: Steps, function: types.FunctionType, args: list, depth: int) -> Any:
    """What a function returns for these arguments."""
    try:
        tree = tree_of(function)
    except TraceError as error:
        raise NotLowered(str(error)) from None
    names = [a.arg for a in (*tree.args.posonlyargs, *tree.args.args)]
    body = _Body(steps, function, depth)
    if tree.args.vararg or tree.args.kwarg or tree.args.kwonlyargs:
        raise body.refused(tree, "arguments other than by position")
    defaults = function.__defaults__ or ()
    given = [*args, *defaults[len(defaults) - (len(names) - len(args)) :]]
    if len(args) > len(names) or len(given) != len(names):
        raise body.refused(tree, f"a call with {len(args)} arguments")
    scope = dict(zip(names, map(frozen, given), strict=True))
    if isinstance(tree, ast.Lambda):
        return body.value(tree.body, scope)
    return body.block(tree.body, scope)


# ---------------------------------------------------------------- what steps are made of


def _table() -> dict[Any, tuple[Callable, bool]]:
    """By function of math, NumPy or ours: what does it on tensors, and whether it gives truths."""
    table: dict[Any, tuple[Callable, bool]] = {}
    truths = ("isnan", "isinf", "isfinite", "signbit")
    for ufunc in FOR_NUMPY:
        if isinstance(ufunc, np.ufunc) and ufunc.nout == 1 and ufunc.signature is None:
            table[ufunc] = (FOR_NUMPY[ufunc], np.dtype(ufunc.types[-1][-1]) == bool)
    for name in _MATH:
        table[getattr(math, name)] = (FUNCTIONS[name], name in truths)
    table[math.fabs] = table[abs] = (FUNCTIONS["abs"], False)
    table[math.degrees], table[math.radians] = table[np.degrees], table[np.radians]
    table[round] = (FUNCTIONS["round"], False)
    table[int] = (FUNCTIONS["trunc"], False)
    table[pow] = (operator.pow, False)
    return table


_MATH = [name for name in INSTRUCTIONS | MATH if name in FUNCTIONS and hasattr(math, name)]
_MATH += ["isfinite", "isinf", "isnan"]
_BINARY = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Mod: operator.mod, ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}  # fmt: skip
_COMPARE = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
_CASTS = {float, np.float64, np.float32}
TABLE: dict[Any, tuple[Callable, bool]] = {}


def known(function) -> tuple[Callable, bool] | None:
    """What does a function of math, NumPy or ours on tensors."""
    if not TABLE:
        TABLE.update(_table())
    try:
        return TABLE.get(function)
    except TypeError:  # not hashable
        return None


# ---------------------------------------------------------------- running


_NOTHING = object()
"""What a block returns that comes to its end."""


class _Body:
    """One call of one function."""

    def __init__(self, steps: Steps, function: types.FunctionType, depth: int):
        self.steps, self.function, self.depth = steps, function, depth
        if depth > DEEPEST:
            raise NotLowered(f"{function.__qualname__} calls itself")

    def refused(self, node, what) -> NotLowered:
        code = self.function.__code__
        line = getattr(node, "lineno", code.co_firstlineno)
        return NotLowered(f"{what}\n  at   {code.co_filename}:{line} ({code.co_name})")

    # ------------------------------------------------------------ statements

    def block(self, statements: list, scope: dict) -> Any:
        """What a function's body returns."""
        result = self.run(statements, scope)
        if result is _NOTHING:
            raise self.refused(None, f"{self.function.__qualname__} may return None")
        return result

    def run(self, statements: list, scope: dict) -> Any:
        """Run statements, changing the scope; what they return, or _NOTHING."""
        for i, statement in enumerate(statements):
            rest = statements[i + 1 :]
            match statement:
                case ast.Return(value=None):
                    raise self.refused(statement, "return without a value")
                case ast.Return(value=value):
                    return self.value(value, scope)
                case ast.Assign(targets=targets, value=value):
                    result = self.value(value, scope)
                    for target in targets:
                        self.assign(target, result, scope)
                case ast.AnnAssign(target=target, value=value) if value is not None:
                    self.assign(target, self.value(value, scope), scope)
                case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                    left = self.value(ast.copy_location(ast.Name(name), statement), scope)
                    result = self.binary(statement, op, left, self.value(value, scope))
                    scope[name] = result
                case ast.If():
                    test = self.truth(statement, self.value(statement.test, scope))
                    if not isinstance(test, Node):
                        result = self.run(statement.body if test else statement.orelse, scope)
                    elif _returns(statement):
                        return self.split(statement, test, rest, scope)
                    else:
                        result = self.merge(statement, test, scope)
                    if result is not _NOTHING:
                        return result
                case ast.For(orelse=[]):
                    result = self.loop(statement, scope)
                    if result is not _NOTHING:
                        return result
                case ast.Expr(value=ast.Constant()) | ast.Pass():
                    pass
                case ast.While():
                    raise self.refused(statement, "a while loop")
                case ast.Raise() | ast.Assert():
                    raise self.refused(statement, "an exception")
                case _:
                    raise self.refused(statement, f"`{ast.unparse(statement)}`")
            if len(self.steps.steps) > MOST_STEPS:
                raise self.refused(statement, f"more than {MOST_STEPS} steps, loops unrolled")
        return _NOTHING

    def assign(self, target, value, scope):
        match target:
            case ast.Name(id=name):
                scope[name] = value
            case ast.Tuple(elts=targets) if isinstance(value, tuple):
                if len(targets) != len(value):
                    raise self.refused(target, "a tuple of another length")
                for part, item in zip(targets, value, strict=True):
                    self.assign(part, item, scope)
            case _:
                raise self.refused(target, f"an assignment to `{ast.unparse(target)}`")

    def split(self, statement, test, rest, scope) -> Any:
        """An `if` with a return in it: both ways run to the end."""
        ends = [
            self.run([*branch, *rest], dict(scope)) for branch in (statement.body, statement.orelse)
        ]
        if _NOTHING in ends:
            raise self.refused(statement, "a branch that does not return, where another does")
        return self.chosen(statement, test, *ends)

    def merge(self, statement, test, scope) -> Any:
        """An `if` without: the variables are chosen from behind it."""
        then, other = dict(scope), dict(scope)
        self.run(statement.body, then)
        self.run(statement.orelse, other)
        for name in {**then, **other}:
            a, b = then.get(name, _NOTHING), other.get(name, _NOTHING)
            if a is b:
                continue
            if a is _NOTHING or b is _NOTHING:
                scope[name] = _Unset(name)
            else:
                scope[name] = self.chosen(statement, test, a, b)
        return _NOTHING

    def chosen(self, node, test, then, other) -> Any:
        """A value of either branch, for each element."""
        if isinstance(then, tuple) and isinstance(other, tuple) and len(then) == len(other):
            return tuple([self.chosen(node, test, *pair) for pair in zip(then, other, strict=True)])
        for value in (then, other):
            if isinstance(value, _Unset):
                return value
            if not isinstance(value, Node | int | float):
                raise self.refused(node, f"branches with {_described(value)}")
        if repr(then) == repr(other):
            return then
        if _is_truth(then) and _is_truth(other):
            logical_and, logical_or = FUNCTIONS["logical_and"], FUNCTIONS["logical_or"]
            inverse = self.steps.add(FUNCTIONS["logical_not"], test, is_truth=True)
            parts = [
                self.logical(logical_and, where, value)
                for where, value in ((test, then), (inverse, other))
            ]
            return self.logical(logical_or, *parts)
        return self.steps.add(choose, test, self.number(then), self.number(other))

    def loop(self, statement, scope) -> Any:
        """A loop over what is known, unrolled."""
        items = self.value(statement.iter, scope)
        if not isinstance(items, tuple | range):
            raise self.refused(statement, f"a loop over {_described(items)}")
        if len(items) > MOST_STEPS:
            raise self.refused(statement, f"a loop of {len(items)} turns")
        if any(isinstance(x, ast.Break | ast.Continue) for x in ast.walk(statement)):
            raise self.refused(statement, "a loop with break or continue")
        if _returns(statement):
            raise self.refused(statement, "a loop with a return in it")
        for item in items:
            self.assign(statement.target, item, scope)
            self.run(statement.body, scope)
        return _NOTHING

    # ------------------------------------------------------------ expressions

    def value(self, node, scope) -> Any:
        """The value of an expression: a Node, or what Python has for it."""
        match node:
            case ast.Constant(value=bool() | int() | float() as value):
                return value
            case ast.Name(id=name):
                return self.name(node, name, scope)
            case ast.Attribute(value=inner, attr=name):
                owner = self.value(inner, scope)
                if not isinstance(owner, types.ModuleType):
                    raise self.refused(node, f"`{ast.unparse(node)}`")
                return self.outside(node, getattr(owner, name, _NOTHING))
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(node, op, self.value(left, scope), self.value(right, scope))
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                test = self.truth(node, self.value(inner, scope))
                if not isinstance(test, Node):
                    return not test
                return self.steps.add(FUNCTIONS["logical_not"], test, is_truth=True)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=inner):
                return self.signed(node, op, self.number(self.value(inner, scope)))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self.comparison(node, [self.value(x, scope) for x in (left, *others)], ops)
            case ast.BoolOp():
                return self.logical_chain(node, scope)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                test = self.truth(node, self.value(test, scope))
                if not isinstance(test, Node):
                    return self.value(body if test else orelse, scope)
                return self.chosen(node, test, self.value(body, scope), self.value(orelse, scope))
            case ast.Tuple(elts=items):
                return tuple([self.value(item, scope) for item in items])
            case ast.Subscript(value=inner, slice=place):
                owner, index = self.value(inner, scope), self.value(place, scope)
                is_place = isinstance(owner, tuple) and type(index) is int
                if is_place and -len(owner) <= index < len(owner):
                    return owner[index]
            case ast.Call(func=func, args=args, keywords=[]):
                if not any(isinstance(a, ast.Starred) for a in args):
                    return self.called(
                        node, self.value(func, scope), [self.value(a, scope) for a in args]
                    )
        raise self.refused(node, f"`{ast.unparse(node)}`")

    def signed(self, node, op, x) -> Any:
        """`-x`, `+x`."""
        self.check(node, x)
        if not isinstance(x, Node):
            return -x if isinstance(op, ast.USub) else +x
        return self.steps.add(operator.neg, x) if isinstance(op, ast.USub) else x

    def logical_chain(self, node, scope) -> Any:
        """`a and b and c`, `a or b or c`: the rest is not looked at where the first is known."""
        first, *rest = node.values
        is_and = isinstance(node.op, ast.And)
        result = self.value(first, scope)
        for value in rest:
            test = self.truth(node, result)
            if isinstance(test, Node):
                result = self.chosen_truth(node, is_and, test, result, self.value(value, scope))
            elif bool(test) == is_and:
                result = self.value(value, scope)
        return result

    def chosen_truth(self, node, is_and, test, left, right) -> Any:
        """`left and right`, `left or right`, where `test` is the truth of the left."""
        if _is_truth(left) and _is_truth(right):
            return self.logical(FUNCTIONS["logical_and" if is_and else "logical_or"], left, right)
        return self.chosen(node, test, *((right, left) if is_and else (left, right)))

    def name(self, node, name, scope) -> Any:
        if name in scope:
            value = scope[name]
            if isinstance(value, _Unset):
                raise self.refused(node, f"`{name}` is not assigned on every way")
            return value
        function = self.function
        free = function.__code__.co_freevars
        if name in free:
            cell = (function.__closure__ or ())[free.index(name)]
            try:
                return self.outside(node, cell.cell_contents)
            except ValueError:
                raise self.refused(node, f"`{name}` has no value yet") from None
        found = function.__globals__.get(name, getattr(builtins, name, _NOTHING))
        return self.outside(node, found)

    def outside(self, node, value) -> Any:
        """What a name from outside stands for, as it is now."""
        value = frozen(value)
        if isinstance(value, int | float | tuple | range | types.ModuleType) or callable(value):
            return value
        raise self.refused(node, f"`{ast.unparse(node)}`, {_described(value)}")

    def check(self, node, *values):
        for value in values:
            if not isinstance(value, Node | int | float):
                raise self.refused(node, f"`{ast.unparse(node)}` with {_described(value)}")

    def binary(self, node, op, left, right) -> Any:
        function = _BINARY.get(type(op))
        if function is None:
            raise self.refused(node, f"`{ast.unparse(node)}`")
        left, right = self.number(left), self.number(right)
        self.check(node, left, right)
        if isinstance(left, Node) or isinstance(right, Node):
            return self.steps.add(function, left, right)
        return self.folded(node, function, left, right)

    def folded(self, node, function, *args) -> Any:
        """A function of numbers, now."""
        try:
            return frozen(function(*args))
        except (ArithmeticError, LookupError, ValueError, TypeError) as error:
            raise self.refused(node, f"`{ast.unparse(node)}`: {error}") from None

    def comparison(self, node, values, ops) -> Any:
        self.check(node, *values)
        result: Any = True
        for left, op, right in zip(values[:-1], ops, values[1:], strict=True):
            function = _COMPARE.get(type(op))
            if function is None:
                raise self.refused(node, f"`{ast.unparse(node)}`")
            left, right = self.number(left), self.number(right)
            if isinstance(left, Node) or isinstance(right, Node):
                part: Any = self.steps.add(function, left, right, is_truth=True)
            else:
                part = function(left, right)
            result = self.logical(FUNCTIONS["logical_and"], result, part)
        return result

    def logical(self, function, left, right) -> Any:
        """`and`, `or` of truths; what is known is left out."""
        is_and = function is FUNCTIONS["logical_and"]
        for x, other in ((left, right), (right, left)):
            if not isinstance(x, Node):
                return other if bool(x) == is_and else x
        return self.steps.add(function, left, right, is_truth=True)

    def truth(self, node, value) -> Any:
        """A value as a condition."""
        if not isinstance(value, Node):
            return bool(value)
        return value if value.is_truth else self.steps.add(operator.ne, value, 0, is_truth=True)

    def number(self, value) -> Any:
        """A truth as the number that Python takes it for."""
        if isinstance(value, Node) and value.is_truth:
            return self.steps.add(choose, value, 1.0, 0.0)
        return int(value) if isinstance(value, bool) else value

    def called(self, node, function, args) -> Any:
        inner = python_function(function)
        if inner is not None and known(function) is None:
            return call(self.steps, inner, args, self.depth + 1)
        if not callable(function):
            raise self.refused(node, f"`{ast.unparse(node)}`")
        if function in (min, max) and len(args) == 1 and isinstance(args[0], tuple):
            args = list(args[0])
        if not any(isinstance(a, Node) for a in args):
            return self.static(node, function, args)
        args = [self.number(a) for a in args]
        self.check(node, *args)
        if function in (min, max):
            return self.extreme(node, function, args)
        if function in _CASTS and len(args) == 1:
            return args[0]
        if function is bool and len(args) == 1:
            return self.truth(node, args[0])
        if function is math.log and len(args) == 2:
            top, bottom = [self.called(node, math.log, [a]) for a in args]
            return self.binary(node, ast.Div(), top, bottom)
        if function is np.where and len(args) == 3:
            return self.chosen(node, self.truth(node, args[0]), *args[1:])
        found = known(function)
        if hasattr(function, "__tapejit_functions__"):  # its derivative is its own
            return self.steps.add(function, *args)
        if found is None or (function is round and len(args) != 1):
            raise self.refused(node, f"`{ast.unparse(node.func)}`, which is not known")
        return self.steps.add(found[0], *args, is_truth=found[1])

    def static(self, node, function, args) -> Any:
        """A call whose arguments are all known."""
        if function in (range, len, tuple, enumerate, zip, reversed, min, max, sum, float, bool):
            result = self.folded(node, function, *args)
        elif known(function) is not None or function in _CASTS:
            with np.errstate(all="ignore"):
                result = self.folded(node, function, *args)
        else:
            raise self.refused(node, f"`{ast.unparse(node.func)}`, which is not known")
        return result if isinstance(result, int | float | tuple | range) else tuple(result)

    def extreme(self, node, function, args) -> Any:
        """min, max: the first one wins a tie."""
        best = args[0]
        for x in args[1:]:
            pair = (x, best)
            op = ast.Gt() if function is max else ast.Lt()
            best = self.chosen(node, self.comparison(node, list(pair), [op]), *pair)
        return best


class _Unset:
    """A variable that only one branch assigns."""

    def __init__(self, name):
        self.name = name


def python_function(value) -> types.FunctionType | None:
    """A user's Python function, also in Numba's dress; None for anything else."""
    if type(value).__module__.startswith("numba."):
        value = getattr(value, "py_func", None)
    return value if isinstance(value, types.FunctionType) else None


def frozen(value) -> Any:
    """A value from outside as Python's own: NumPy's numbers, lists and vectors too."""
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "fiub":
        return tuple(value.tolist())
    if isinstance(value, tuple | list):
        return tuple([frozen(x) for x in value])
    return value


def _is_truth(value) -> bool:
    return value.is_truth if isinstance(value, Node) else isinstance(value, bool)


def _returns(statement) -> bool:
    return any(isinstance(x, ast.Return) for x in ast.walk(statement))


def _described(value) -> str:
    if isinstance(value, Tensor):
        return "a tensor"
    return f"{type(value).__name__} {value!r}"[:80]
