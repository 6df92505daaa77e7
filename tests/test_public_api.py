"""The front door: every public name says what it is, and its examples are true."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import tapejit
from tapejit import autograd, cuda, fft, linalg, nn, samplers, scipy, special
from tapejit.interop.numpy_methods import InNumpy
from tapejit.registry import OPS

PACKAGE = Path(tapejit.__file__).parent

PUBLIC = {
    name: value
    for name, value in vars(tapejit).items()
    if not name.startswith("_") and not isinstance(value, ModuleType) and callable(value)
}

METHODS = {
    n: v
    for n, v in vars(tapejit.Tensor).items()
    if not n.startswith("_") and (not isinstance(v, InNumpy) or v.in_torch)
}
NAMESPACES = {
    "": PUBLIC,
    "Tensor.": METHODS,
    "nn.functional.": {n: getattr(nn.functional, n) for n in nn.functional.__all__},
    **{
        f"{space.__name__.rpartition('.')[2]}.": {n: getattr(space, n) for n in space.__all__}
        for space in (linalg, fft, special, scipy)
    },
    "autograd.": {n: getattr(autograd, n) for n in autograd.__all__ if n != "functional"},
    "autograd.functional.": {
        n: getattr(autograd.functional, n)
        for n in ("vjp", "jvp", "jacobian", "hessian", "vhp", "hvp")
    },
    "autograd.function.": {"once_differentiable": autograd.function.once_differentiable},
    "samplers.": {
        n: getattr(samplers, n) for n in samplers.__all__ if callable(getattr(samplers, n))
    },
    "cuda.": {n: getattr(cuda, n) for n in cuda.__all__ if n != "OutOfMemoryError"},
}
DOCUMENTED = {
    space + name: inspect.getdoc(value) or ""
    for space, values in NAMESPACES.items()
    for name, value in values.items()
}
IN_PLACE = re.compile(r"As `(\w+)`, written into the memory of the tensor")
"""In-place methods made from records name the function that has the example."""


@pytest.mark.parametrize("name", DOCUMENTED)
def test_it_has_a_docstring(name):
    assert DOCUMENTED[name].split("\n")[0].strip()


def test_every_public_name_has_an_example():
    without = [name for name, text in DOCUMENTED.items() if ">>>" not in text]
    for name in without:
        assert IN_PLACE.match(DOCUMENTED[name]), f"{name} has no example"
        assert ">>>" in DOCUMENTED[IN_PLACE.match(DOCUMENTED[name])[1]]


def test_modules_have_a_preface():
    for path in PACKAGE.rglob("*.py"):
        first = path.read_text().lstrip().split("\n")[0]
        assert first.startswith('"""'), path


def test_every_example_of_a_record_is_printed():
    printed = "\n".join(DOCUMENTED.values())
    for op in OPS.values():
        assert inspect.cleandoc(op.example) in printed, op


# ---------------------------------------------------------------- examples are true


def dotted(path: Path) -> str:
    """The name of a module of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def has_examples(path: Path) -> bool:
    """Whether a docstring of the file has an example (records have theirs in an argument)."""
    places = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, places)]
    return any(">>> " in (ast.get_docstring(node) or "") for node in nodes)


MODULES = sorted(dotted(path) for path in PACKAGE.rglob("*.py") if has_examples(path))


ONCE = {text: name for name, text in DOCUMENTED.items() if ">>>" in text}
"""Function, method and aliases print one docstring; each is run once."""


@pytest.mark.parametrize(("text", "name"), ONCE.items(), ids=ONCE.values())
def test_examples_of_public_names(text, name):
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    result = runner.run(test)
    assert result.attempted and not result.failed


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_modules(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted and not result.failed
