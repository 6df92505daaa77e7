"""The syntax tree of a Python function, and proof that it is this function's.

A file may have changed since it was imported, and a line may hold many lambdas.  So the whole file
is compiled again, and only a function whose code is the one that runs is taken.
"""

from __future__ import annotations

import ast
import linecache
import types

from tapejit.errors import TraceError


def tree_of(function: types.FunctionType) -> ast.FunctionDef | ast.Lambda:
    """The node that defines a function.

    Errors  TraceError where there is no source, or it is another's by now
    """
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    try:
        text = "".join(lines)
        tree = ast.parse(text)
        compiled = list(_codes(compile(text, code.co_filename, "exec", dont_inherit=True)))
    except SyntaxError:
        compiled = []
    if not any(_same(code, other) for other in compiled):
        raise TraceError(f"the source of {function.__qualname__} cannot be read")
    found: list = [node for node in ast.walk(tree) if _begins(node, code)]
    if found and isinstance(found[0], ast.Lambda):
        found = _innermost([node for node in found if _holds(node.body, code)])
    if len(found) != 1:
        raise TraceError(f"the source of {function.__qualname__} cannot be told from others")
    return found[0]


def _codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _same(code, other) -> bool:
    """Whether two pieces of code at one place do the same."""
    return (
        code.co_firstlineno == other.co_firstlineno
        and code.co_name == other.co_name
        and code.co_code == other.co_code
        and code.co_names == other.co_names
        and code.co_varnames == other.co_varnames
        and code.co_freevars == other.co_freevars
        and repr(code.co_consts) == repr(other.co_consts)
        and list(code.co_positions()) == list(other.co_positions())
    )


def _begins(node, code) -> bool:
    """Whether a node may be the definition that code was compiled from."""
    if isinstance(node, ast.Lambda):
        return code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
    if not isinstance(node, ast.FunctionDef) or node.name != code.co_name:
        return False
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return first == code.co_firstlineno


def _holds(body, code) -> bool:
    """Whether all places of a lambda's code lie in this expression."""
    begin, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
    return all(
        begin <= (line, column) and (last, last_column) <= end
        for line, last, column, last_column in code.co_positions()
        if line is not None and (column, last_column) != (0, 0)  # what stands nowhere
    )


def _innermost(nodes: list) -> list:
    """Of lambdas one in the other, the innermost; all where they are not."""
    for node in nodes:
        if all(any(inner is node for inner in ast.walk(other)) for other in nodes):
            return [node]
    return nodes
