"""tj.export: C programs that are compiled against the header get what Python gets."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from object_symbols import undefined_symbols
from test_targets import target

import tapejit as tj
from tapejit.errors import ArgumentError, KernelError, TraceError
from tapejit.runtime.native import compile_object, host
from tapejit.transforms.native import export
from tapejit.transforms.native.functions import native

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
DOCS = Path(__file__).parent.parent / "docs" / "c_abi.md"
ALLOWED = {"memcpy", "memset", "memmove", "_fltused", "__chkstk", "bzero"}
LIBM = {
    f"{name}{f}" for name in ("floor", "ceil", "trunc", "rint", "fmod", "fma") for f in ("", "f")
}

x10 = np.linspace(-1.0, 3.5, 10)


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def choosing(p, k, X):
    """Two paths, nesting, names that C has already, float32 and integers."""
    a, b = p["double"], p["int"]
    if k > 0.0:
        return np.sum(np.exp(a) * b[0]) * k + np.sum(X * b[1])
    return np.sum(a * a) * b[0] - k


def working(x):
    y = np.cumsum(np.cumsum(x) * x)
    return np.sum(y * x) + np.sum(np.sort(x)[:3])


def taking(x, i):
    return x[i] * 2.0


def compiled(folder, source: str, *codes: Path, flags=(), compiler="cc") -> Path:
    """A program of this text."""
    suffix = ".c" if compiler == "cc" else ".cpp"
    text, program = folder / f"program{suffix}", folder / "program"
    text.write_text(source)
    standard = "-std=c99" if compiler == "cc" else "-std=c++11"
    subprocess.run(
        [compiler, standard, "-Wall", "-Werror", "-pedantic", "-I", folder, text, *codes, *flags,
         "-lm", "-o", program],
        check=True,
    )  # fmt: skip
    return program


def ran(program: Path, folder: Path) -> list[str]:
    """What it printed."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "DYLD_LIBRARY_PATH": str(folder)}
    return subprocess.run(
        [program], check=True, capture_output=True, text=True, env=environment
    ).stdout.splitlines()


def numbers(lines) -> np.ndarray:
    return np.array([float(line) for line in lines])


# ---------------------------------------------------------------- a program in C

MAIN = """
#include <stdio.h>
#include "choosing.h"
#include "rosen.h"
#include "taking.h"
#include "working.h"

static void print(const double *x, int n)
{
    int i;
    for (i = 0; i < n; i++)
        printf("%.17g\\n", x[i]);
}

int main(void)
{
    double x[ROSEN_X_SIZE], g[ROSEN_Y1_SIZE], value;
    float a[CHOOSING_P_DOUBLE_SIZE], ga[CHOOSING_Y_DOUBLE_SIZE], gb[CHOOSING_Y_INT_SIZE];
    float b[CHOOSING_P_INT_SIZE] = {2.0f, 0.5f};
    double big[CHOOSING_X_SIZE] = {1.0, 2.0, 3.0};
    static double y[WORKING_X_SIZE], gy[WORKING_Y1_SIZE];
    static char work[WORKING_WORK_BYTES + 1];
    double taken[TAKING_Y_SIZE];
    int64_t places[TAKING_I_SIZE] = {3, 0};
    int i;
    for (i = 0; i < ROSEN_X_SIZE; i++)
        x[i] = 0.25 * i - 1.0;
    if (rosen(x, &value, g, 0, ROSEN_WORK_BYTES) != ROSEN_OK)
        return 1;
    print(&value, 1);
    print(g, ROSEN_Y1_SIZE);
    for (i = 0; i < 6; i++)
        a[i] = 0.5f * (float)i;
    for (value = 2.0; value > -3.0; value -= 4.0) {
        if (choosing(a, b, value, big, ga, gb, 0, CHOOSING_WORK_BYTES) != CHOOSING_OK)
            return 2;
        for (i = 0; i < CHOOSING_Y_DOUBLE_SIZE; i++)
            printf("%.9g\\n", ga[i]);
        printf("%.9g\\n%.9g\\n", gb[0], gb[1]);
    }
    for (i = 0; i < WORKING_X_SIZE; i++)
        y[i] = 1.0 / (1.0 + i);
    if (working(y, &value, gy, work + 1, WORKING_WORK_BYTES) != WORKING_OK)
        return 3;
    print(gy, 3);
    if (working(y, &value, gy, 0, 0) != WORKING_WORK_TOO_SMALL)
        return 4;
    if (working(y, &value, gy, work, WORKING_WORK_BYTES - 64 - 8) != WORKING_WORK_TOO_SMALL)
        return 5;
    if (taking(x, places, taken, 0, TAKING_WORK_BYTES) != TAKING_OK)
        return 6;
    print(taken, TAKING_Y_SIZE);
    places[1] = 10;
    printf("%s\\n", taking_message(taking(x, places, taken, 0, TAKING_WORK_BYTES)));
    places[1] = -1;
    i = taking(x, places, taken, 0, TAKING_WORK_BYTES);
    printf("%d %s\\n", i, taking_message(i));
    printf("%s\\n%s\\n", rosen_message(0), rosen_message(12345));
    printf("%s\\n", working_message(WORKING_WORK_TOO_SMALL));
    return 0;
}
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Objects and headers for MAIN."""
    folder = tmp_path_factory.mktemp("exported")
    tj.export(tj.value_and_grad(rosenbrock), x10, folder / "rosen")
    g = tj.grad(choosing)
    p = {"double": np.ones((2, 3), np.float32), "int": np.ones(2, np.float32)}
    g(p, -1.0, np.ones(3))
    tj.export(g, (p, 1.0, np.ones(3)), folder / "choosing.o")
    tj.export(tj.value_and_grad(working), np.ones(1500), str(folder / "working"))
    tj.export(tj.jit(taking), (x10, np.array([1, 2])), folder / "taking")
    return folder


@needs_cc
def test_a_program_in_c_gets_what_python_gets(written):
    codes = [written / f"{name}.o" for name in ("rosen", "choosing", "working", "taking")]
    lines = ran(compiled(written, MAIN, *codes), written)
    x = 0.25 * np.arange(10) - 1.0
    value, gradient = tj.value_and_grad(rosenbrock)(x)
    np.testing.assert_allclose(numbers(lines[:11]), [value, *gradient], 1e-13)
    p = {"double": 0.5 * np.arange(6, dtype=np.float32).reshape(2, 3),
         "int": np.array([2.0, 0.5], np.float32)}  # fmt: skip
    for k, part in ((2.0, lines[11:19]), (-2.0, lines[19:27])):
        g = tj.grad(choosing)(p, k, np.array([1.0, 2.0, 3.0]))
        np.testing.assert_allclose(numbers(part), [*g["double"].ravel(), *g["int"]], 1e-6)
    gradient = tj.grad(working)(1.0 / (1.0 + np.arange(1500)))
    np.testing.assert_allclose(numbers(lines[27:30]), gradient[:3], 1e-12)
    np.testing.assert_array_equal(numbers(lines[30:32]), x[[3, 0]] * 2.0)
    refused, guard, done, unknown, small = lines[32:]
    assert "index out of range" in refused
    assert guard.startswith("1 no recorded path fits: ")
    assert "x[i]" in guard
    assert (done, unknown) == ("done", "unknown status")
    assert "work space is smaller" in small


@needs_cc
def test_the_example_in_the_header_is_a_program(written):
    for name in ("choosing", "working"):
        header = (written / f"{name}.h").read_text()
        comment = header[: header.index("*/")]
        source = comment[comment.index("   #include <stdio.h>") :]
        program = compiled(written, source, written / f"{name}.o")
        done = subprocess.run([program], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_a_program_in_cpp(written):
    source = """
#include <cstdio>
#include "rosen.h"
int main() {
    double x[ROSEN_X_SIZE] = {0.0}, value = 0.0, g[ROSEN_Y1_SIZE];
    if (rosen(x, &value, g, nullptr, ROSEN_WORK_BYTES) != ROSEN_OK) return 1;
    std::printf("%g\\n", value);
}
"""
    program = compiled(written, source, written / "rosen.o", compiler="c++")
    assert ran(program, written) == ["9"]


THREADS = """
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "working.h"

static double expected[4][WORKING_Y1_SIZE];

static void point(int k, double *x)
{
    int i;
    for (i = 0; i < WORKING_X_SIZE; i++)
        x[i] = (k + 1.0) / (1.0 + i);
}

static void *go(void *argument)
{
    static char work[4][WORKING_WORK_BYTES];
    static double x[4][WORKING_X_SIZE], g[4][WORKING_Y1_SIZE];
    int k = *(int *)argument, i;
    double value;
    point(k, x[k]);
    for (i = 0; i < 200; i++) {
        if (working(x[k], &value, g[k], work[k], WORKING_WORK_BYTES) != WORKING_OK
            || memcmp(g[k], expected[k], sizeof expected[k]) != 0) {
            *(int *)argument = -1;
            break;
        }
    }
    return 0;
}

int main(void)
{
    static char work[WORKING_WORK_BYTES];
    static double x[WORKING_X_SIZE];
    pthread_t threads[4];
    int numbers[4], k, wrong = 0;
    double value;
    for (k = 0; k < 4; k++) {
        point(k, x);
        numbers[k] = k;
        working(x, &value, expected[k], work, WORKING_WORK_BYTES);
    }
    for (k = 0; k < 4; k++)
        pthread_create(&threads[k], 0, go, &numbers[k]);
    for (k = 0; k < 4; k++) {
        pthread_join(threads[k], 0);
        wrong += numbers[k] < 0;
    }
    printf("%d\\n", wrong);
    return 0;
}
"""


@needs_cc
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX threads")
def test_threads_in_c_call_at_once(written):
    program = compiled(written, THREADS, written / "working.o", flags=("-pthread",))
    assert ran(program, written) == ["0"]


# ---------------------------------------------------------------- what is in the files


def test_an_object_asks_for_nothing_but_libm(written):
    for name in ("rosen", "choosing", "working", "taking"):
        missing = undefined_symbols((written / f"{name}.o").read_bytes())
        assert missing <= ALLOWED | LIBM, (name, missing)


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_two_names_are_seen_and_no_more(written):
    for name in ("rosen", "choosing", "working"):
        done = subprocess.run(
            ["nm", "-g", written / f"{name}.o"], check=True, capture_output=True, text=True
        )
        found = {line.split()[-1].removeprefix("_") for line in done.stdout.splitlines()}
        assert found - ALLOWED - LIBM == {name, f"{name}_message"}


@needs_cc
def test_a_shared_library_of_a_plain_function(tmp_path):
    suffix = ".dylib" if sys.platform == "darwin" else ".so"
    made = tj.export(
        lambda x, k: np.sum(x) * k, (x10, 3.0), tmp_path / f"lib{suffix}", name="total"
    )
    assert made == (tmp_path / "lib.h", tmp_path / f"lib{suffix}", "total")
    function = ctypes.CDLL(str(made.code)).total
    pointer = ctypes.POINTER(ctypes.c_double)
    function.argtypes = [pointer, ctypes.c_double, pointer, ctypes.c_void_p, ctypes.c_int64]
    value = ctypes.c_double()
    x = (ctypes.c_double * 10)(*x10)
    assert function(x, 2.5, ctypes.byref(value), None, 0) == 0
    assert np.isclose(value.value, np.sum(x10) * 2.5)


def test_one_native_function_and_a_text(tmp_path):
    native = tj.grad(rosenbrock).numba(x10)
    made = tj.export(native, x10, tmp_path / "slope.ll")
    text = made.code.read_text()
    assert re.search(
        r"define \S*\s*i32 @slope\(ptr %v0, ptr %v1, ptr %work, i64 %work_bytes\)", text
    )
    assert "int32_t slope(const double *x0," in made.header.read_text()


def cpus():
    machine = host().triple.partition("-")[0]
    return ["generic", "x86-64-v3"] if machine == "x86_64" else ["generic"]


@needs_cc
@pytest.mark.parametrize("cpu", cpus())
def test_other_processors(cpu, tmp_path):
    if cpu == "x86-64-v3" and "+fma" not in host().features:
        pytest.skip("this processor has no AVX2")
    made = tj.export(
        tj.value_and_grad(lambda x: np.sum(np.sin(x) * np.floor(x))), x10, tmp_path / "g", cpu=cpu
    )
    assert undefined_symbols(made.code.read_bytes()) <= ALLOWED | LIBM
    source = """
#include <stdio.h>
#include "g.h"
int main(void)
{
    double x[G_X_SIZE], y, g[G_Y1_SIZE];
    int i;
    for (i = 0; i < G_X_SIZE; i++)
        x[i] = 0.5 * i - 1.25;
    if (g_message(g(x, &y, g_, 0, 0))[0] != 'd')
        return 1;
    printf("%.17g\\n%.17g\\n", y, g_[3]);
    return 0;
}
""".replace("g[G_Y1_SIZE]", "g_[G_Y1_SIZE]")
    x = 0.5 * np.arange(10) - 1.25
    got = numbers(ran(compiled(tmp_path, source, made.code), tmp_path))
    expected = np.sum(np.sin(x) * np.floor(x)), np.cos(x[3]) * np.floor(x[3])
    np.testing.assert_allclose(got, expected, 1e-13)


@pytest.mark.parametrize("system", ["sse2", "neon", "m1", "windows"])
def test_it_compiles_for_other_systems(system):
    to, g = (
        target(system),
        tj.value_and_grad(lambda x, k: np.sum(np.cumsum(np.exp(x) * k, axis=1) @ x.T)),
    )
    made = native(g, (np.ones((3, 40)), 2.0), {}, to)
    parameters = [*export._inputs(g, made, "f"), *export._outputs(made)]
    parameters = export._with_unique_names(parameters, "f")
    text = export._entry(made.code, parameters, "f", to)
    compiled_for = compile_object(text, made.code.tier, target=to)
    assert undefined_symbols(compiled_for) <= ALLOWED | LIBM | {"__bzero"}
    assert ("dllexport" in text) == (system == "windows")


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"path": "my-function.o"}, ArgumentError, "is no name for a C function"),
        ({"path": "double"}, ArgumentError, "is no name for a C function"),
        ({"path": "f", "name": "1f"}, ArgumentError, "is no name for a C function"),
        ({"path": "f", "cpu": "pentium 9"}, ArgumentError, "unknown CPU 'pentium 9'"),
        ({"path": "f", "example": np.ones(3, complex)}, KernelError, "complex128"),
        ({"path": "f", "example": {1, 2}}, TraceError, "no array"),
        ({"path": "no/such/folder/f"}, FileNotFoundError, "folder"),
    ],
)
def test_what_cannot_be_exported(options, error, message, tmp_path):
    example = options.pop("example", np.ones(3))
    with pytest.raises(error, match=message):
        tj.export(lambda x: x * 2.0, example, tmp_path / options.pop("path"), **options)
    assert not list(tmp_path.iterdir())


def test_a_native_function_is_for_this_machine(tmp_path):
    native = tj.jit(lambda x: x * 2.0).numba(1.0)
    with pytest.raises(ArgumentError, match="compiled for this machine"):
        tj.export(native, 1.0, tmp_path / "f", cpu="generic")


def test_a_missing_linker_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(KernelError, match="needs a linker, and 'no-such-compiler' was not found"):
        tj.export(lambda x: x * 2.0, 1.0, tmp_path / "f.so")


def test_names_that_c_has_already_or_twice(tmp_path):
    def function(work, f, x_1, x, X, **more):
        return work + f + x_1 + x[0] + x[1] + X

    made = tj.export(function, (1.0, 2.0, 3.0, (4.0, 5.0), 6.0), tmp_path / "f")
    header = made.header.read_text()
    for name in ("work_", "f_", "x_1", "x0", "x1", "X"):
        assert f"double {name},\n" in header


# ---------------------------------------------------------------- the documents


@functools.cache
def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.S)


@needs_cc
def test_the_program_in_the_docs_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (python,) = blocks("python")
    exec(compile(python, str(DOCS), "exec"), {})
    (source,) = blocks("c")
    program = compiled(tmp_path, source, tmp_path / "rosen.o")
    (printed,) = blocks("text")
    assert ran(program, tmp_path) == printed.splitlines()


def test_the_docs_know_every_status_and_type():
    text = DOCS.read_text()
    for word in ("_OK", "_WORK_TOO_SMALL", "_REFUSED", "_GUARDS", "_WORK_BYTES", "_message"):
        assert f"NAME{word}" in text
    for kind in export._TYPES.values():
        assert f"`{kind.c}`" in text


@pytest.mark.parametrize("name", ["int32_t", "NAN", "memcpy", "floor"])
def test_a_function_is_not_called_what_its_object_or_its_header_needs(name, tmp_path):
    with pytest.raises(ArgumentError, match="no name for a C function"):
        tj.export(np.sum, np.ones(3), tmp_path / name)
