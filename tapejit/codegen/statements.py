"""Printing a Python function as LLVM IR: what languages of statements share.

A language is a subclass of `Printer` with a method for each kind of syntax that it has, called
after the class in `ast`: `if_statement`, `for_statement`.  A statement that it has no method for is
refused with its line.  The two languages: words.py, loop_functions.py.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from tapejit.errors import KernelError


class Printer:
    """The lines of one function, as they are printed."""

    language = ""
    """What errors call it."""

    def __init__(self):
        self.lines: list[str] = []
        self.count = 0

    @classmethod
    def sources(cls) -> list[str]:
        """The texts that decide what is printed, for the keys of what is kept on disk."""
        return [inspect.getsource(sys.modules[part.__module__]) for part in cls.__mro__[:-1]]

    def value(self, node: ast.expr) -> Any:
        """Print an expression."""
        raise NotImplementedError

    def refuse(self, node: Any, what: str) -> NoReturn:
        """Raise: this is not in the language."""
        raise KernelError(f"{self.language}: {what} in line {node.lineno}: {ast.unparse(node)}")

    def name(self, what: str) -> str:
        """A name that nothing has yet."""
        self.count += 1
        return f"{what}.{self.count}"

    def block(self, statements: Sequence[ast.stmt]) -> None:
        """Print statements, one after the other."""
        for statement in statements:
            method = getattr(self, type(statement).__name__.lower() + "_statement", None)
            if method is None:
                self.refuse(statement, f"no {type(statement).__name__} here")
            method(statement)

    def expr_statement(self, node: ast.Expr) -> None:
        """A call; or a docstring, which is nothing."""
        if not isinstance(node.value, ast.Constant):
            self.value(node.value)

    def label(self, name: str) -> None:
        """Begin a block; the one before runs into it."""
        self.lines += [f"br label %{name}", f"{name}:"]

    def leave(self, line: str) -> None:
        """End a block; what follows in the text is never reached, but needs a label."""
        self.lines += [line, f"{self.name('dead')}:"]
