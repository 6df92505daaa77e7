"""Docstrings of what is made from records: function, method and operator print the same one.

`described` names a function after its operation and gives it the docstring; `docstring` is the
text.  Functions written by hand have docstrings of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from tapejit.registry import Op

_DTYPES = {
    "promote": "kept, of several operands the promoted one",
    "float": "floats kept; integers and booleans give the default float dtype",
    "compare": "any, compared in the promoted one; the result is bool",
    "predicate": "any; the result is bool",
    "logical": "any; the result is bool",
    "need_float": "floats, kept; others raise DtypeError",
}
_BOOLS = {"taken": "", "refused": "; booleans raise", "refused alone": "; all booleans raise"}


def described(function: Callable, op: Op, name: str = "") -> Callable:
    """The function, named and documented as its operation (or `name`, where that differs)."""
    function.__name__ = function.__qualname__ = name or op.name
    function.__annotations__.setdefault("return", "Tensor")
    function.__doc__ = docstring(op)
    return function


def described_in_place(function: Callable, op: Op) -> Callable:
    """The in-place method of an operation, named and documented."""
    name = op.alias.torch
    function.__name__ = function.__qualname__ = f"{name}_"
    function.__annotations__["return"] = "Tensor"
    function.__doc__ = in_place_docstring(name)
    return function


def in_place_docstring(name: str | None) -> str:
    """What the in-place method of a function is."""
    return f"""As `{name}`, written into the memory of the tensor, which is returned.

Errors  AutogradError if a leaf that requires grad would change; ShapeError if the result would
        not have the tensor's shape; DtypeError if its dtype cannot hold the result
Like    torch.Tensor.{name}_"""


def docstring(op: Op) -> str:
    """What an operation does, and an example, as `help` shows it."""
    facts = {
        "Shapes": _shapes(op),
        "Dtypes": _DTYPES[op.rule] + _BOOLS[op.bools] if op.rule in _DTYPES else "",
        "Note": op.note,
        "Like": "; ".join(_peers(op)),
        "Source": op.source,
    }
    parts = [op.summary]
    lines = [f"{key:<7} {value}" for key, value in facts.items() if value]
    if lines:
        parts.append("\n".join(lines))
    if op.example:
        parts.append(">>> import tapejit as tj\n" + inspect.cleandoc(op.example))
    return "\n\n".join(parts)


def _shapes(op):
    if op.family == "reduction":
        return "(..., n, ...) -> (..., ...), or (..., 1, ...) with keepdim"
    if op.expression is not None and len(op.expression.parameters) > 1:
        return "that of the operands broadcast together"
    return ""


def _peers(op):
    if op.alias.torch:
        yield f"torch.{op.alias.torch}"
    if op.alias.numpy:
        yield f"numpy.{op.alias.numpy}"
