"""What kernels call, by (fn, dtype, lanes): our vector mathematics, and functions of users' own.

Both are functions of vectors in modules of their own, so whoever links a kernel, or puts what it
calls into its module, need not know which is which.
"""

from __future__ import annotations

from collections.abc import Iterable

from tapejit.codegen import linked_ir, vectormath
from tapejit.plan import LINKED

Call = tuple[str, str, int]
"""(fn, dtype, lanes)"""


def symbol(fn: str, dtype: str, lanes: int) -> str:
    """What the function is called."""
    return _home(fn).symbol(fn, dtype, lanes)


def declaration(fn: str, dtype: str, lanes: int) -> str:
    """The line that a calling module needs."""
    return _home(fn).declaration(fn, dtype, lanes)


def emit_library(calls: Iterable[Call], has_fma: bool = True) -> str:
    """A complete LLVM module that defines each of them, and nothing unneeded."""
    calls = list(calls)
    own = [call for call in calls if call[0].startswith(LINKED)]
    text = vectormath.emit_library([call for call in calls if call not in own], has_fma)
    return text if not own else f"{text}\n{linked_ir.emit_library(own)}"


def _home(fn):
    return linked_ir if fn.startswith(LINKED) else vectormath
