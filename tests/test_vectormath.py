"""Our vector mathematics: accuracy in ulp, special values, equal bits at every width, all targets.

One compilation per element type and width serves every test of a function (`library`).  float64
is measured against mpmath, float32 against the float64 functions of Python's math module.
"""

import ctypes
import functools
import math
import os

import llvmlite.binding as llvm
import numpy as np
import pytest

from tapejit.codegen import scalar_math, vectormath
from tapejit.codegen.vectormath import coefficients
from tapejit.expressions import DIVISIONS, FUNCTIONS, MATH, parse
from tapejit.families import numpy_evaluator

DTYPES = {"f64": np.float64, "f32": np.float32}
WIDEST = {"f64": 8, "f32": 16}
INF, NAN = math.inf, math.nan
CASES = [(fn, dtype) for fn in MATH for dtype in DTYPES]
FULL = {"f64": "float64", "f32": "float32"}
PHYSICS = (
    "cbrt", "erfcx", "erfinv", "erfcinv", "lgamma", "digamma", "trigamma",
    "bessel_i0", "bessel_i1", "bessel_i0e", "bessel_i1e", "bessel_j0", "bessel_j1",
)  # fmt: skip
"""Functions whose points and exact values are those of tools/accuracy.py."""


# ---------------------------------------------------------------- compiling and calling


@functools.cache
def host(opt):
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=opt)


def loop_text(fn, dtype, lanes):
    """A loop over whole vectors: void run_exp_f64x8(i64 n, ptr out, ptr x)."""
    element = vectormath.FORMATS[dtype].element
    vector = f"<{lanes} x {element}>"
    names = [f"x{k}" for k in range(FUNCTIONS[fn])]
    loads = "\n".join(
        f"%p{n} = getelementptr {element}, ptr %{n}, i64 %i\n"
        f"%v{n} = load {vector}, ptr %p{n}, align 4"
        for n in names
    )
    operands = ", ".join(f"{vector} %v{n}" for n in names)
    return f"""
define void @run_{fn}_{dtype}x{lanes}(i64 %n, ptr %out, {", ".join(f"ptr %{n}" for n in names)}) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  {loads}
  %y = call {vector} @{vectormath.symbol(fn, dtype, lanes)}({operands})
  %q = getelementptr {element}, ptr %out, i64 %i
  store {vector} %y, ptr %q, align 4
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""


@functools.cache
def library(dtype, lanes, opt=0, has_fma=True):
    """Every function of one element type and width: name -> callable on arrays."""
    triples = [(fn, dtype, lanes) for fn in vectormath.FUNCTIONS]
    text = vectormath.emit_library(triples, has_fma) + "".join(
        loop_text(*triple) for triple in triples
    )
    machine, module = host(opt), llvm.parse_assembly(text)
    if opt:
        options = llvm.create_pipeline_tuning_options(speed_level=opt)
        passes = llvm.create_pass_builder(machine, options)
        passes.getModulePassManager().run(module, passes)
    builder = llvm.JITLibraryBuilder().add_object_img(machine.emit_object(module))
    builder.add_current_process()
    for fn, _, _ in triples:
        builder.export_symbol(f"run_{fn}_{dtype}x{lanes}")
    engine = llvm.create_lljit_compiler(host(0))
    tracker = builder.link(engine, f"vectormath_{dtype}x{lanes}_{opt}{has_fma}")
    return {fn: caller(engine, tracker, fn, dtype, lanes) for fn in vectormath.FUNCTIONS}


def caller(engine, tracker, fn, dtype, lanes):
    entry = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (1 + FUNCTIONS[fn]))(
        tracker[f"run_{fn}_{dtype}x{lanes}"]
    )

    def call(*operands):
        arrays = np.broadcast_arrays(*[np.asarray(x, DTYPES[dtype]) for x in operands])
        n = arrays[0].size
        padded = [np.concatenate([x.ravel(), np.ones(-n % lanes, x.dtype)]) for x in arrays]
        out = np.empty_like(padded[0])
        entry(out.size, out.ctypes.data, *[x.ctypes.data for x in padded])
        return out[:n]

    call.keep = engine, tracker  # unloading the code would leave `entry` dangling
    return call


def function(fn, dtype, has_fma=True):
    return library(dtype, WIDEST[dtype], has_fma=has_fma)[fn]


# ---------------------------------------------------------------- points and references

# fn -> intervals to draw from: (low, high) uniform, or ("e", low, high) for ±10^uniform
POINTS = {
    "f64": {
        "exp": [(-745, 709.7), (-1, 1), ("e", -12, 0)],
        "exp2": [(-1074, 1023.9), (-1, 1), ("e", -12, 0)],
        "expm1": [(-45, 709.7), (-2, 2), ("e", -300, 0)],
        "sinh": [(-710.4, 710.4), (-2, 2), ("e", -300, 0)],
        "cosh": [(-710.4, 710.4), (-2, 2), ("e", -300, 0)],
        "tanh": [(-20, 20), (-1, 1), ("e", -300, 0)],
        "angle": [(-4, 4), (-1e4, 1e4), (-(2.0**28), 2.0**28), ("e", -300, 300)],
        "erfc": [(-6, 27), (-1, 3)],
    },
    "f32": {
        "exp": [(-103, 88.7), (-1, 1), ("e", -12, 0)],
        "exp2": [(-149, 127.9), (-1, 1), ("e", -12, 0)],
        "expm1": [(-20, 88.7), (-2, 2), ("e", -37, 0)],
        "sinh": [(-89.4, 89.4), (-2, 2), ("e", -37, 0)],
        "cosh": [(-89.4, 89.4), (-2, 2), ("e", -37, 0)],
        "tanh": [(-10, 10), (-1, 1), ("e", -37, 0)],
        "angle": [(-4, 4), (-1e3, 1e3), (-65536, 65536), ("e", -37, 37)],
        "erfc": [(-4, 10), (-1, 3)],
    },
}
WIDE = {"f64": ("e", -300, 300), "f32": ("e", -37, 37)}


def draw(rng, interval, n):
    if interval[0] == "e":
        return 10.0 ** rng.uniform(*interval[1:], n) * rng.choice([-1.0, 1.0], n)
    return rng.uniform(*interval, n)


def accuracy():
    """The tool that measures for the docs; it needs mpmath."""
    pytest.importorskip("mpmath")
    from tools import accuracy

    return accuracy


def row_of(fn):
    """The operation whose value a function is."""
    return fn.removeprefix("bessel_")


def points(fn, dtype, n):
    """Operands within the function's domain, in the element type."""
    if fn in PHYSICS:
        return tuple(accuracy().points(row_of(fn), FULL[dtype], n))
    rng = np.random.default_rng(len(fn) + ord(fn[-1]))
    wide = WIDE[dtype]
    intervals = POINTS[dtype].get("angle" if fn in ("sin", "cos", "tan") else fn)
    if intervals is None:
        intervals = [(-1, 1), (-4, 4), wide]
    x = np.concatenate([draw(rng, interval, n) for interval in intervals])
    match fn:
        case "log" | "log2" | "log10":
            x = np.concatenate([np.abs(x), rng.uniform(0.6, 1.6, n)])
        case "log1p":
            x = np.where(x <= -1, -x, x)
        case "asin" | "acos" | "atanh":
            x = np.clip(np.where(np.abs(x) >= 1, 1 / x, x), -0.9999999, 0.9999999)
        case "acosh":
            x = np.abs(x) + np.where(np.abs(x) < 1, 1.0, 0.0)
        case "atan2" | "hypot" | "mod" | "fmod" | "floordiv":
            return x.astype(DTYPES[dtype]), rng.permutation(x).astype(DTYPES[dtype])
        case "pow":
            x = np.abs(x).astype(DTYPES[dtype])
            largest = {"f64": 700, "f32": 87}[dtype] / np.abs(np.log(x, dtype=np.float64))
            y = np.clip(largest, 0, 1e30) * rng.uniform(-1, 1, x.size)
            return x, y.astype(DTYPES[dtype])
    return (x.astype(DTYPES[dtype]),)


def references(fn, dtype, operands):
    """Exact values: mpmath numbers for f64, Python floats for f32."""
    rows = list(zip(*[x.tolist() for x in operands], strict=True))
    if fn in PHYSICS:
        return [accuracy().exact_value(row_of(fn), row) for row in rows]
    if dtype == "f32":
        return [getattr(math, fn)(*row) for row in rows]
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workprec(120):
        other = {"exp2": lambda x: mpmath.power(2, x), "pow": mpmath.power}
        other |= {"log2": lambda x: mpmath.log(x, 2), "log10": lambda x: mpmath.log(x, 10)}
        exact = other.get(fn) or getattr(mpmath, fn)
        with mpmath.workprec(160 if fn in ("acosh", "erfc", "log2", "log10") else 120):
            return [exact(*map(mpmath.mpf, row)) for row in rows]


def error_ulp(got, exact, dtype):
    """Distance in units of the last place of the exact value."""
    info = np.finfo(DTYPES[dtype])
    size = max(abs(float(exact)), float(info.tiny))
    exponent = math.frexp(size)[1] - 1
    return abs(float(got - exact)) / 2.0 ** max(exponent - info.nmant, -1074)


@functools.cache
def case(fn, dtype):
    """Points and their exact values; TAPEJIT_MATH_POINTS times as many points."""
    scale = int(os.environ.get("TAPEJIT_MATH_POINTS", "1"))
    operands = points(fn, dtype, scale * (120 if dtype == "f64" else 1000))
    if fn in PHYSICS:
        operands = points(fn, dtype, scale * 60)
    return operands, references(fn, dtype, operands)


# ---------------------------------------------------------------- tests


@pytest.mark.parametrize("has_fma", [True, False])
@pytest.mark.parametrize(("fn", "dtype"), CASES)
def test_accuracy(fn, dtype, has_fma):
    """Within the bound that the function states, with and without fused multiply-add."""
    operands, exact = case(fn, dtype)
    got = function(fn, dtype, has_fma)(*operands).tolist()
    largest = float(np.finfo(DTYPES[dtype]).max)
    worst, where = 0.0, None
    for y, reference, *row in zip(got, exact, *operands, strict=True):
        if reference is not None and abs(reference) < largest:
            if fn in PHYSICS and (size := accuracy().ROWS[row_of(fn)].size):
                error = accuracy().error_ulp(y, reference, FULL[dtype], size(*row))
            else:
                error = error_ulp(y, reference, dtype)
            worst, where = max((worst, where), (error, row), key=lambda pair: pair[0])
    assert worst <= vectormath.FUNCTIONS[fn].ulp, f"{worst} ulp at {where}"


ODD = ["expm1", "log1p", "sin", "tan", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "erf"]
ODD += ["cbrt", "erfinv", "bessel_i1", "bessel_i1e", "bessel_j1", "digamma"]
SCALED = ("erf", "erfinv", "cbrt", "bessel_i1", "bessel_i1e", "bessel_j1", "digamma")
"""Odd functions whose slope at 0 is not 1."""
SPECIAL = {
    "exp": {0.0: 1.0, INF: INF, -INF: 0.0, 1e4: INF, -1e4: 0.0},
    "exp2": {0.0: 1.0, INF: INF, -INF: 0.0, 10.0: 1024.0, -1.0: 0.5, 2e3: INF, -2e3: 0.0},
    "expm1": {0.0: 0.0, INF: INF, -INF: -1.0, -1e3: -1.0, 1e4: INF},
    "log": {0.0: -INF, 1.0: 0.0, INF: INF, -1.0: NAN, -INF: NAN},
    "log2": {0.0: -INF, 1.0: 0.0, 8.0: 3.0, 0.25: -2.0, INF: INF, -1.0: NAN},
    "log10": {0.0: -INF, 1.0: 0.0, 1000.0: 3.0, INF: INF, -1.0: NAN, -INF: NAN},
    "log1p": {0.0: 0.0, -1.0: -INF, INF: INF, -2.0: NAN, -INF: NAN},
    "sin": {0.0: 0.0, INF: NAN, -INF: NAN},
    "cos": {0.0: 1.0, INF: NAN, -INF: NAN},
    "tan": {0.0: 0.0, INF: NAN, -INF: NAN},
    "asin": {0.0: 0.0, 1.5: NAN, -INF: NAN},
    "acos": {1.0: 0.0, 1.5: NAN, -1.5: NAN, INF: NAN},
    "atan": {0.0: 0.0},
    "sinh": {0.0: 0.0, INF: INF, -INF: -INF, 1e4: INF, -1e4: -INF},
    "cosh": {0.0: 1.0, INF: INF, -INF: INF, -1e4: INF},
    "tanh": {0.0: 0.0, INF: 1.0, -INF: -1.0, 50.0: 1.0, -1e30: -1.0},
    "asinh": {0.0: 0.0, INF: INF, -INF: -INF},
    "acosh": {1.0: 0.0, 0.5: NAN, -1.0: NAN, -2.0: NAN, INF: INF, -INF: NAN},
    "atanh": {0.0: 0.0, 1.0: INF, -1.0: -INF, 1.5: NAN, -INF: NAN},
    "erf": {0.0: 0.0, INF: 1.0, -INF: -1.0, 10.0: 1.0},
    "erfc": {0.0: 1.0, INF: 0.0, -INF: 2.0, 30.0: 0.0, -10.0: 2.0},
    "erfcx": {0.0: 1.0, INF: 0.0, -INF: INF, -30.0: INF},
    "erfinv": {0.0: 0.0, 1.0: INF, -1.0: -INF, 1.5: NAN, -INF: NAN, INF: NAN},
    "erfcinv": {0.0: INF, 1.0: 0.0, 2.0: -INF, -1.0: NAN, 2.5: NAN, INF: NAN, -INF: NAN},
    "cbrt": {0.0: 0.0, 8.0: 2.0, -27.0: -3.0, INF: INF, -INF: -INF},
    "lgamma": {0.0: INF, 1.0: 0.0, 2.0: 0.0, -1.0: INF, -3e20: INF, INF: INF, -INF: INF},
    "digamma": {0.0: -INF, -1.0: NAN, -3e20: NAN, INF: INF, -INF: NAN},
    "trigamma": {0.0: INF, -1.0: INF, -3e20: INF, INF: 0.0, -INF: NAN},
    "bessel_i0": {0.0: 1.0, INF: INF, -INF: INF, 800.0: INF},
    "bessel_i1": {0.0: 0.0, INF: INF, -INF: -INF, -800.0: -INF},
    "bessel_i0e": {0.0: 1.0, INF: 0.0, -INF: 0.0},
    "bessel_i1e": {0.0: 0.0, INF: 0.0, -INF: -0.0},
    "bessel_j0": {0.0: 1.0, INF: 0.0, -INF: 0.0},
    "bessel_j1": {0.0: 0.0, INF: 0.0, -INF: -0.0},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fn", SPECIAL)
def test_special_values(fn, dtype):
    rows = [*SPECIAL[fn].items(), (NAN, NAN)]
    if 0.0 in SPECIAL[fn]:
        at_zero = SPECIAL[fn][0.0]
        rows.append((-0.0, -at_zero if fn in ODD else at_zero))
    x, expected = np.array(rows, DTYPES[dtype]).T
    got = function(fn, dtype)(x)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    assert np.signbit(got[number]).tolist() == np.signbit(expected[number]).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fn", [fn for fn in ODD if fn not in SCALED])
def test_subnormal_arguments_are_returned(fn, dtype):
    tiny = np.finfo(DTYPES[dtype]).smallest_subnormal
    x = np.array([tiny, -tiny, 77 * tiny, -1001 * tiny])
    assert function(fn, dtype)(x).tolist() == x.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_logarithms_and_exponentials(dtype):
    info = np.finfo(DTYPES[dtype])
    lowest = int(np.log2(info.smallest_subnormal))
    powers = np.arange(lowest, info.maxexp)
    x = np.ldexp(np.ones(powers.size, DTYPES[dtype]), powers)
    assert function("exp2", dtype)(powers).tolist() == x.tolist()
    assert function("log2", dtype)(x).tolist() == powers.tolist()


EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5, -2.5, 1e30, -1e30, INF, -INF]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fn", ["pow", "atan2", "hypot"])
def test_special_pairs_are_those_of_c99(fn, dtype):
    x, y = (np.array(column, DTYPES[dtype]) for column in zip(*PAIRS, strict=True))
    got = function(fn, dtype)(x, y)
    for g, a, b in zip(got, x.tolist(), y.tolist(), strict=True):
        exact = c99(fn, a, b)
        largest = float(np.finfo(DTYPES[dtype]).max)
        expected = math.copysign(INF, exact) if abs(exact) > largest else exact
        if expected != expected or expected in (INF, -INF, 0.0):
            np.testing.assert_array_equal(g, expected, err_msg=f"{fn}({a}, {b})")
        else:
            assert error_ulp(float(g), expected, dtype) < 2.0, f"{fn}({a}, {b})"
        if expected == expected:
            assert math.copysign(1, g) == math.copysign(1, expected), f"{fn}({a}, {b})"


PAIRS = [(a, b) for a in [*EDGES, NAN] for b in [*EDGES, NAN]]


def c99(fn, a, b):
    """Python's math follows C99 F.9, but raises where C returns NaN or an infinity."""
    try:
        return getattr(math, fn)(a, b)
    except OverflowError:
        return -INF if a < 0 and b % 2 == 1 else INF
    except ValueError:
        if a == 0.0:
            return math.copysign(INF, a) if b % 2 == 1 else INF
        return NAN


# the fifth is the float64 next to a multiple of pi/2 (Muller 2016, ch. 11), the last but one the
# float32 that needs most bits of pi
LARGE = [2.0**29, 1e22, 1e300, 2.0**1000, 5.319372648326541e255, 1.7976931348623157e308, 1e5]
LARGE += [16367173.0 * 2.0**72, 3.4028234663852886e38]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fn", ["sin", "cos", "tan"])
def test_large_angles(fn, dtype):
    """Any angle, next to lanes that the cold path must not change."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(5)
    info = np.finfo(DTYPES[dtype])
    with np.errstate(over="ignore"):
        large = np.array([*LARGE, *10.0 ** rng.uniform(5, np.log10(float(info.max)), 200)])
        large = large.astype(DTYPES[dtype])
    large = large[np.isfinite(large)] * rng.choice([-1, 1], np.isfinite(large).sum())
    small = np.array([0.5, INF, 3.0, NAN, -0.0, 1e-300])
    got = function(fn, dtype)(np.concatenate([small, large]))
    assert got[:6].tobytes() == function(fn, dtype)(small).tobytes()
    with mpmath.workprec(1400):
        for y, x in zip(got[6:].tolist(), large.tolist(), strict=True):
            exact = getattr(mpmath, fn)(mpmath.mpf(x))
            assert error_ulp(y, exact, dtype) <= vectormath.FUNCTIONS[fn].ulp, x


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_are_equal_at_every_width_and_level(dtype):
    for fn in MATH:
        operands = points(fn, dtype, 60)
        expected = function(fn, dtype)(*operands).tobytes()
        for lanes, opt in [(2, 0), (4, 0), (8, 1)]:
            got = library(dtype, lanes, opt)[fn](*operands).tobytes()
            assert got == expected, f"{fn} {dtype} at {lanes} lanes, opt {opt}"


def test_one_function_alone_brings_nothing_else():
    text = vectormath.emit_library([("tanh", "f64", 8)])
    assert text.count("define ") == 1
    assert "@sin" not in text
    assert vectormath.symbol("tanh", "f64", 8) in text
    llvm.parse_assembly(text).verify()


def test_a_caller_may_declare_what_the_library_defines():
    for fn in MATH:
        text = vectormath.declaration(fn, "f32", 8)
        assert f"@{vectormath.symbol(fn, 'f32', 8)}(" in text
        llvm.parse_assembly(text + "\n").verify()


@pytest.mark.parametrize("has_fma", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fn", DIVISIONS)
def test_remainders_are_exact(fn, dtype, has_fma):
    """NumPy's bits: quotients small, huge, next to whole numbers; divisors of every size."""
    rng = np.random.default_rng(11)
    small, whole = rng.uniform(-50, 50, 4000), np.round(rng.uniform(-1e5, 1e5, 4000))
    y = np.concatenate([rng.uniform(-3, 3, 4000), draw(rng, WIDE[dtype], 4000)])
    with np.errstate(over="ignore", under="ignore"):
        y = y.astype(DTYPES[dtype])
        x = np.concatenate([small, draw(rng, WIDE[dtype], 4000)]).astype(y.dtype)
        near = np.nextafter(
            np.concatenate([whole, whole]).astype(y.dtype) * y, rng.normal(size=8000)
        )
        x, y = np.concatenate([x, near.astype(y.dtype), 3 * y]), np.concatenate([y, y, y])
    # whole vectors of rare lanes, and vectors with one such lane
    got = library(dtype, WIDEST[dtype], 0, has_fma)[fn](x, y)
    with np.errstate(all="ignore"):
        want = {"mod": np.remainder, "fmod": np.fmod, "floordiv": np.floor_divide}[fn](x, y)
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))


def test_the_library_has_what_the_language_has():
    """Each function of the language in all three forms: vector, scalar, NumPy."""
    own = {name: record.n_operands for name, record in vectormath.FUNCTIONS.items()}
    assert own == MATH | dict.fromkeys(DIVISIONS, 2)
    x = np.array([0.5, 0.75])
    for fn, n in own.items():
        value = numpy_evaluator(parse(f"math.{fn}({', '.join('xu'[:n])})", tuple("xu"[:n])))
        scalar = getattr(scalar_math, fn)
        got = function(fn, "f64")(*[x, x[::-1]][:n])
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(got, value(*[x, x[::-1]][:n]), rtol=1e-14)
        for k in range(2):
            np.testing.assert_allclose(scalar(*[x[k], x[1 - k]][:n]), got[k], rtol=1e-14)


def test_the_tables_are_what_their_generator_prints():
    pytest.importorskip("mpmath")
    from tools import coefficients as generator

    for dtype in DTYPES:
        for constant in generator.CONSTANTS:
            made = tuple(generator.parts(constant, dtype))
            assert made == getattr(coefficients, constant.name)[dtype], constant.name
        for table in generator.POLYNOMIALS:
            if table.name in ("EXP", "ATAN"):
                made = tuple(generator.coefficients(table, dtype))
                assert made == getattr(coefficients, table.name)[dtype], table.name
    text = generator.pi_text()
    for word in (coefficients.HALF_PI_BITS, *coefficients.TWO_OVER_PI_BITS):
        assert f"0x{word:016X}" in text


@pytest.mark.parametrize("has_fma", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_exact_comes_out_exact(dtype, has_fma):
    """Powers of whole numbers, square roots of squares, logarithms of powers of ten; and e."""
    largest = 2.0 ** (np.finfo(DTYPES[dtype]).nmant + 1)
    base, power = (x.ravel() for x in np.meshgrid(np.arange(1.0, 200.0), np.arange(40.0)))
    fits = base**power <= largest
    base, power = base[fits], power[fits]
    np.testing.assert_array_equal(function("pow", dtype, has_fma)(base, power), base**power)
    whole = np.arange(2000.0)
    np.testing.assert_array_equal(function("pow", dtype, has_fma)(whole**2, 0.5), whole)
    ten = np.arange(23.0 if dtype == "f64" else 11.0)
    np.testing.assert_array_equal(function("log10", dtype, has_fma)(10.0**ten), ten)
    assert function("exp", dtype, has_fma)([1.0])[0] == DTYPES[dtype](math.e)
