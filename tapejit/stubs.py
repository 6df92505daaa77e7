"""The public face as a type stub: what editors and type checkers see of names made from records.

Functions and methods are read off the register and off Tensor, as `help` would, so that nothing is
listed here by hand; a test compares tapejit/__init__.pyi with `page`.  Start there.

Operands are tensors, arrays or numbers, options are not checked (they are PyTorch's and NumPy's
both).  A function given a tensor has the type of its result; given an array or number it answers
in kind, which is `Any` here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, get_type_hints

import tapejit
from tapejit.interop.numpy_methods import InNumpy
from tapejit.linalg.factors import LU, Triangular
from tapejit.linalg.solving import Slogdet
from tapejit.linalg.spectra import QR, OldSVD
from tapejit.tensor.composed import Parts
from tapejit.tensor.core import Tensor
from tapejit.tensor.creation import FloatInfo
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.reducing import Extreme

_HEAD = """# Made by `python -m tapejit stubs --write tapejit/__init__.pyi`; do not edit it by hand.

import builtins
from collections.abc import Iterator
from typing import Any, NamedTuple, overload

import numpy as np

"""
_OPERANDS = {"input", "other", "tensor", "vec", "vec2", "mat2", "y", "condition", "mask", "value"}
_TUPLES = (Extreme, LU, OldSVD, Parts, QR, Slogdet, Triangular)
_BUILTINS = re.compile(r"\b(bool|int|float|str|tuple|list)\b")


def page() -> str:
    """The text of tapejit/__init__.pyi."""
    classes = [*map(_tuple_class, _TUPLES), _float_info(), _tensor_class()]
    functions = [_function(name, FUNCTIONS[name]) for name in sorted(FUNCTIONS)]
    return _HEAD + "\n".join([*_imported(), "", *_dtypes(), "", _OPERAND, *classes, *functions])


# ---------------------------------------------------------------- names that are elsewhere


def _imported():
    """Names that have types where they are written, imported from there."""
    for name, value in sorted(vars(tapejit).items()):
        if name.startswith("_") or name in FUNCTIONS or value is Tensor:
            continue
        if isinstance(value, ModuleType):
            home, _, own = value.__name__.rpartition(".")
            if name in tapejit.__all__:
                yield f"from {home} import {own} as {name}"
        elif callable(value):
            own = value.__name__
            yield f"from {value.__module__} import {own} as {own}"
            if own != name:
                yield f"{name} = {own}"
    yield "from tapejit.tensor.history import Node as Node, RemovableHandle as RemovableHandle"


def _dtypes():
    yield "__all__: builtins.list[builtins.str]"
    for name, value in sorted(vars(tapejit).items()):
        if isinstance(value, tapejit.dtype):
            yield f"{name}: dtype"


_OPERAND = """
Operand = Tensor | np.ndarray | np.generic | builtins.float | builtins.list[Any]
Array = np.ndarray | np.generic | builtins.float | builtins.list[Any] | builtins.tuple[Any, ...]
"""


def _tuple_class(kind):
    fields = "\n".join(f"    {name}: Tensor" for name in kind._fields)
    return f"\nclass {kind.__name__}(NamedTuple):\n{fields}\n"


def _float_info():
    types = get_type_hints(FloatInfo)
    fields = "\n".join(f"    {name}: builtins.{kind.__name__}" for name, kind in types.items())
    return f"class FloatInfo(NamedTuple):\n{fields}\n"


# ---------------------------------------------------------------- Tensor


def _tensor_class() -> str:
    lines = ["class Tensor:", f'    """{_first_line(Tensor)}"""', ""]
    for name, value in sorted(vars(Tensor).items()):
        if name.startswith("__"):
            lines += _special(name, value)
        if name.startswith("_"):
            continue
        value = value.in_torch if isinstance(value, InNumpy) else value
        if isinstance(value, property):
            lines += _attribute(name, value)
        elif value is not None:
            lines.append(_method(name, value))
    return "\n".join(lines) + "\n"


def _special(name, value):
    """Operators, and what Python asks a tensor for."""
    known = {
        "__getitem__": "self, key: Any) -> Tensor",
        "__setitem__": "self, key: Any, value: Operand) -> None",
        "__len__": "self) -> builtins.int",
        "__iter__": "self) -> Iterator[Tensor]",
        "__bool__": "self) -> builtins.bool",
        "__int__": "self) -> builtins.int",
        "__float__": "self) -> builtins.float",
        "__index__": "self) -> builtins.int",
        "__array__": "self, dtype: Any = None, copy: Any = None) -> np.ndarray",
        "__contains__": "self, value: Any) -> builtins.bool",
        "__round__": "self, n: Any = None) -> Tensor",
        "__format__": "self, spec: builtins.str) -> builtins.str",
    }
    if name in known:
        return [f"    def {name}({known[name]}: ..."]
    plain = name.strip("_")
    is_operator = plain in _OPERATORS or plain[1:] in _OPERATORS
    if not is_operator or not callable(value):
        return []
    if plain in ("neg", "pos", "abs", "invert"):
        return [f"    def {name}(self) -> Tensor: ..."]
    ignore = "  # type: ignore[override]" if plain in ("eq", "ne") else ""
    return [f"    def {name}(self, other: Operand) -> Tensor: ...{ignore}"]


_OPERATORS = {
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
    "neg", "pos", "abs", "invert", "lt", "le", "gt", "ge", "eq", "ne",
}  # fmt: skip


def _attribute(name, value):
    returned = _returned(value.fget)
    yield "    @property"
    yield f"    def {name}(self) -> {returned}: ..."
    if value.fset is not None:
        yield f"    @{name}.setter"
        yield f"    def {name}(self, value: Any) -> None: ..."
    if value.fdel is not None:
        yield f"    @{name}.deleter"
        yield f"    def {name}(self) -> None: ..."


def _method(name: str, function: Callable) -> str:
    parameters = list(inspect.signature(function).parameters.values())
    words = ", ".join(["self", *_parameters(parameters[1:])])
    return _definition("    ", f"{name}({words}) -> {_returned(function)}", function)


# ---------------------------------------------------------------- functions


def _function(name: str, function: Any) -> str:
    parameters = list(inspect.signature(function).parameters.values())
    first, returned = parameters[0], _returned(function)
    words = _parameters(parameters)
    if first.name != "input" or ("Tensor" not in returned and returned not in ("Extreme", "Parts")):
        return _definition("", f"{name}({', '.join(words)}) -> {returned}", function)
    default = words[0].partition(" = ")[1:]
    tensor, array = (", ".join([f"input: {t}{''.join(default)}", *words[1:]]) for t in _ANSWERS)
    return (
        f"@overload\n{_definition('', f'{name}({tensor}) -> {returned}', function)}\n"
        f"@overload\ndef {name}({array}) -> Any: ..."
    )


_ANSWERS = "Tensor", "Array"


def _parameters(parameters):
    """Parameters as a stub writes them."""
    words, is_marked = [], False
    for p in parameters:
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        is_marked = is_marked or p.kind == p.VAR_POSITIONAL
        if p.kind == p.KEYWORD_ONLY and not is_marked:
            words.append("*")
            is_marked = True
        kind = "Operand" if p.name in _OPERANDS else "Any"
        kind += " | None" if kind == "Operand" and p.default is None else ""
        text = f"{star}{p.name}: {kind}"
        words.append(text if p.default is p.empty else f"{text} = {_default(p.default)}")
    return words


def _default(value):
    return repr(value) if isinstance(value, bool | int | float | str | None) else "..."


def _returned(function) -> str:
    """The type a function says it returns, with builtins that Tensor has methods of spelt out."""
    stated = getattr(function, "__annotations__", {}).get("return", "Any")
    name = stated if isinstance(stated, str) else getattr(stated, "__name__", str(stated))
    return _BUILTINS.sub(r"builtins.\1", name.replace("DType", "dtype").replace("Device", "device"))


def _definition(indent: str, signature: str, function) -> str:
    return f'{indent}def {signature}:\n{indent}    """{_first_line(function)}"""'


def _first_line(function) -> str:
    return (inspect.getdoc(function) or "").split("\n")[0].replace("\\", "\\\\")
