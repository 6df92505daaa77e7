"""Functions over machine words: what they compute, compiled, and what is refused."""

import ctypes
import importlib.util

import numpy as np
import pytest

from tapejit.codegen.words import emit_words
from tapejit.errors import KernelError
from tapejit.runtime import native
from tapejit.runtime.launcher import python_addresses

HEAD = "from tapejit.codegen.words import LINKED, f64, i32, i32_at, i64, ptr, stack, u8, word\n"


def module_of(tmp_path, text):
    """A module with this text."""
    path = tmp_path / "text.py"
    path.write_text(HEAD + text)
    spec = importlib.util.spec_from_file_location("text", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_of(tmp_path, text, **imports):
    """The function `f` of a module, compiled."""
    module = module_of(tmp_path, text)
    arity = module.f.__code__.co_argcount
    ir = emit_words(module, ("f",))
    library = native.load(native.compile_object(ir, tier=2), ("f",), imports)
    kinds = [ctypes.c_int64] * (arity + 1)
    call = ctypes.CFUNCTYPE(*kinds)(library.address("f"))
    call.library = library
    return call


def check(tmp_path, text, *cases, **imports):
    """The compiled `f` gives what Python does."""
    compiled, python = function_of(tmp_path, text, **imports), module_of(tmp_path, text).f
    for case in cases:
        assert compiled(*case) == python(*case), case


def test_arithmetic_is_pythons(tmp_path):
    text = """
THREE = 3
def f(a, b):
    c = a * b + THREE - (b << 2)
    c ^= a & 0xFF | b
    return -c + (a < b) + 2 * (a == b)
"""
    check(tmp_path, text, (1, 2), (5, 5), (-7, 3), (1 << 40, 12345))


def test_conditions_are_short_circuits(tmp_path):
    text = """
def f(a, b):
    if a > 0 and (b > 0 or not a != 3):
        return 1
    elif a == 0 or b == 0:
        return 2
    x = a < 0 and b < 0
    return 10 + x + 2 * (not x)
"""
    check(tmp_path, text, *[(a, b) for a in range(-2, 5) for b in range(-2, 3)])


def test_loops(tmp_path):
    text = """
def f(n, m):
    total = 0
    for i in range(n):
        if i == m:
            continue
        if i > 2 * m:
            break
        total += i
    while total > 100:
        total -= 7
        for j in range(3):
            total -= j
            if total == 50:
                return 5000
    return total
"""
    check(tmp_path, text, *[(n, m) for n in (0, 1, 9, 40) for m in (0, 3, 11, 30)])


def test_functions_call_each_other(tmp_path):
    text = """
def twice(x):
    return x + x
def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)
def f(n):
    return fib(twice(n))
"""
    check(tmp_path, text, (0,), (1,), (6,))


def test_memory_is_words_ints_and_bytes(tmp_path):
    text = """
def f(p):
    word[p] = word[p] + 1
    i32_at[p + 8] = -5
    u8[p + 12] = 255
    own = stack(16)
    word[own + 8] = 40
    return i32_at[p + 8] + u8[p + 12] + word[own + 8]
"""
    memory = np.arange(3, dtype=np.int64)
    assert function_of(tmp_path, text)(memory.ctypes.data) == -5 + 255 + 40
    assert memory[0] == 1
    assert memory.view(np.int32)[2] == -5
    assert memory.view(np.uint8)[12] == 255


def test_c_functions_take_doubles_and_ints(tmp_path):
    text = """
def PyFloat_FromDouble(x: f64) -> ptr: ...
def PyFloat_AsDouble(o: ptr) -> f64: ...
def PyOS_mystrnicmp(a: ptr, b: ptr, n: i64) -> i32: ...
place: ptr = LINKED
def f(a, b):
    word[place] = PyFloat_AsDouble(a)
    return PyOS_mystrnicmp(b, b + 2, 1)
"""
    memory = np.zeros(1)
    number, letters = 2.75, ctypes.create_string_buffer(b"b-a")
    names = ("PyFloat_FromDouble", "PyFloat_AsDouble", "PyOS_mystrnicmp")
    imports = python_addresses(*names) | {"place": memory.ctypes.data}
    compiled = function_of(tmp_path, text, **imports)
    assert compiled(id(number), ctypes.addressof(letters)) == 1
    assert memory[0] == 2.75


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def f(a):\n    return a / 2", "operator Div"),
        ("def f(a):\n    return unknown", "unknown name"),
        ("def f(a):\n    return g(a)", "unknown function"),
        ("def f(a):\n    return 1.5", "no such expression"),
        ("def f(a):\n    with a:\n        pass", "no With here"),
        ("def f(a):\n    for i in a:\n        pass", "only range"),
        ("def f(a):\n    a[0] = 1", "no such memory"),
        ("def g(x, y):\n    return x\ndef f(a):\n    return g(a)", "wrong number"),
    ],
)
def test_other_python_is_refused_with_its_line(tmp_path, text, what):
    with pytest.raises(KernelError, match=f"{what}.* in line [0-9]+"):
        emit_words(module_of(tmp_path, text), ("f",))
