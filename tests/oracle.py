"""Runs one small function with tapejit and with torch, and says where the answers differ.

A *case* takes the module (``torch`` or ``tapejit``) and returns nested tuples, lists and dicts of
tensors, arrays, numbers, strings and `Raised`.  `same_as_torch` runs it with both and compares:
tensors by dtype, shape, values, ``requires_grad`` and the name of ``grad_fn``; errors by class
(ours must be a subclass of torch's) and first words; numbers by type and value.

torch runs with warnings ignored, tapejit with warnings as errors, so a stray NumPy warning fails.
A case that expects warnings returns `warned(...)`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapejit

RTOL = {"float64": 1e-9, "float32": 1e-5, "float16": 2e-3, "complex128": 1e-9, "complex64": 1e-5}
ATOL = {"float64": 1e-12, "float32": 2e-6, "float16": 1e-4, "complex128": 1e-12, "complex64": 2e-6}
PYTHON_RTOL, PYTHON_ATOL = 1e-5, 2e-6  # a Python float does not tell from which dtype it came


# ---- what a case may return besides numbers and tensors ------------------------------------------


class Raised:
    """An error, and how many of its first words have to agree."""

    def __init__(self, error: Exception | None, words: int):
        self.error = error
        self.words = words

    def __repr__(self) -> str:
        return f"{type(self.error).__mro__}: {self.error}" if self.error else "nothing raised"

    def first_words(self) -> str:
        return " ".join(str(self.error).split()[: self.words])


def raised(function: Callable[[], object], words: int = 5) -> Raised:
    """What calling `function` raises; `words` = 0 compares the class only."""
    try:
        function()
    except Exception as error:
        return Raised(error, words)
    return Raised(None, words)


def warned(function: Callable[[], object], words: int = 8) -> tuple[object, list[str]]:
    """The result of `function` and its warnings as ``category: first words``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function()
    texts = [" ".join(str(w.message).split()[:words]) for w in caught]
    return result, [f"{w.category.__name__}: {text}" for w, text in zip(caught, texts, strict=True)]


def fn_name(tensor: Any) -> str | None:
    return None if tensor.grad_fn is None else tensor.grad_fn.name()


# ---- comparison --------------------------------------------------------------------------------


def is_tensor(value: object) -> bool:
    return hasattr(value, "grad_fn") and hasattr(value, "requires_grad")


def dtype_name(dtype: object) -> str:
    return str(dtype).split(".")[-1]


def close(ours: float, theirs: float, rtol: float, atol: float) -> bool:
    if math.isnan(theirs):
        return math.isnan(ours)
    return math.isclose(ours, theirs, rel_tol=rtol, abs_tol=atol)


def differences(ours: Any, theirs: Any, at: str = "", loosen: float = 1.0) -> list[str]:
    """Every place where two results differ, in words."""
    if isinstance(theirs, Raised):
        return _raised_differences(ours, theirs, at)
    if is_tensor(theirs):
        return _tensor_differences(ours, theirs, at, loosen)
    if isinstance(theirs, np.ndarray):
        if not isinstance(ours, np.ndarray):
            return [f"{at}: {type(ours).__name__}, expected an array"]
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            return [f"{at}: {ours.dtype}{ours.shape}, expected {theirs.dtype}{theirs.shape}"]
        return _value_differences(ours, theirs, at, loosen)
    if isinstance(theirs, dict):
        if not isinstance(ours, dict) or ours.keys() != theirs.keys():
            return [f"{at}: {ours!r}, expected {theirs!r}"]
        return [
            line for key in theirs
            for line in differences(ours[key], theirs[key], f"{at}[{key!r}]", loosen)
        ]  # fmt: skip
    if isinstance(theirs, (tuple, list)):
        kind = tuple if isinstance(theirs, tuple) else list
        if not isinstance(ours, kind) or len(ours) != len(theirs):
            return [f"{at}: {ours!r}, expected {theirs!r}"]
        return [
            line for i, pair in enumerate(zip(ours, theirs, strict=True))
            for line in differences(*pair, f"{at}[{i}]", loosen)
        ]  # fmt: skip
    if type(theirs).__name__ == "dtype":
        same = dtype_name(ours) == dtype_name(theirs)
    elif isinstance(theirs, float):
        rtol, atol = PYTHON_RTOL * loosen, PYTHON_ATOL * loosen
        same = type(ours) is float and close(ours, theirs, rtol, atol)
    else:
        same = type(ours) is type(theirs) and ours == theirs
    return [] if same else [f"{at}: {ours!r}, expected {theirs!r}"]


def _raised_differences(ours: Any, theirs: Raised, at: str) -> list[str]:
    if not isinstance(ours, Raised) or (ours.error is None) != (theirs.error is None):
        return [f"{at}: {ours!r}, expected {theirs!r}"]
    if theirs.error is None:
        return []
    if not isinstance(ours.error, type(theirs.error)):
        return [f"{at}: {ours!r} is no {type(theirs.error).__name__} ({theirs.error})"]
    if ours.first_words() != theirs.first_words():
        return [f"{at}: says {str(ours.error)!r}, expected {str(theirs.error)!r}"]
    return []


def _tensor_differences(ours: Any, theirs: Any, at: str, loosen: float) -> list[str]:
    if not is_tensor(ours):
        return [f"{at}: {ours!r}, expected {theirs!r}"]
    facts = [
        (dtype_name(t.dtype), tuple(t.shape), t.requires_grad, fn_name(t)) for t in (ours, theirs)
    ]
    if facts[0] != facts[1]:
        return [f"{at}: {facts[0]}, expected {facts[1]}"]
    arrays = [t.detach().numpy(force=True) for t in (ours, theirs)]
    return _value_differences(*arrays, at, loosen)


def _value_differences(ours: np.ndarray, theirs: np.ndarray, at: str, loosen: float) -> list[str]:
    name = theirs.dtype.name
    rtol, atol = RTOL.get(name, 0.0) * loosen, ATOL.get(name, 0.0) * loosen
    if np.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=theirs.dtype.kind in "fc"):
        return []
    return [f"{at}: {ours.tolist()}, expected {theirs.tolist()}"]


# ---- running -----------------------------------------------------------------------------------


def run(module: Any, case: Callable[[Any], object]) -> object:
    """One run in a clean global state: float32 default, gradients on, seed 0."""
    module.set_default_dtype(module.float32)
    module.manual_seed(0)
    try:
        with module.enable_grad():
            return case(module)
    finally:
        module.set_default_dtype(module.float32)


def same_as_torch(case: Callable[[Any], object], loosen: float = 1.0) -> None:
    """Assert that a case gives the same with tapejit as with torch."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = run(torch, case)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = run(tapejit, case)
    found = differences(ours, theirs, loosen=loosen)
    assert not found, "\n".join(found)


class Cases(list):
    """A table of cases: ``@table.add`` on a function; pytest ids are the functions' names."""

    def add(self, case: Callable[[Any], object]) -> Callable[[Any], object]:
        assert case.__name__ not in self.names(), f"case {case.__name__} is declared twice"
        self.append(case)
        return case

    def names(self) -> list[str]:
        return [case.__name__ for case in self]
