"""Complex numbers on a GPU: functions of their parts, and loops that take them whole.

Accuracy and special values are asked of the rules themselves (forms/pair_functions.py), row by row
with NumPy, which takes thousands of numbers; programs run on a simulated GPU, and on a card where
there is one.  Each operation's value and gradient is in test_cuda_conformance.py.
"""

from __future__ import annotations

import numpy as np
import probing
import pytest
from test_cuda_conformance import FUZZ, agree, device  # noqa: F401 - a fixture

import tapejit as tj
from tapejit.build import Builder
from tapejit.dtypes import from_numpy
from tapejit.runtime import reference
from tapejit.runtime.cuda.forms.pair_functions import FUNCTIONS
from tapejit.shapes import aval
from tapejit.tape import Program

NUMPY = {
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh,
    "acosh": np.arccosh, "atanh": np.arctanh, "mul": np.multiply, "div": np.divide,
    "pow": np.power, "neg": np.negative, "sub": np.subtract,
}  # fmt: skip
OF_ONE = """
    square sqrt exp log log2 log10 sinh cosh tanh sin cos tan asin acos atan asinh acosh atanh
    abs angle reciprocal
""".split()  # noqa: SIM905
ULPS = 6
INF, NAN = float("inf"), float("nan")


def by_parts(name, *operands):
    """A rule on parts, row by row; all its rows have the parts' dtype."""
    builder, given, arrays = Builder(), [], []
    for z in operands:
        parts = [np.array(z.real), np.array(z.imag)]
        arrays += parts
        given.append(tuple(builder.input(aval(p.shape, from_numpy(p.dtype))) for p in parts))
    found = FUNCTIONS[name](*given)
    found = found if isinstance(found, tuple) else (found,)
    rows = range(len(builder.tape))
    assert {str(builder.tape.kind(r).aval.dtype) for r in rows} <= {
        "torch.bool", f"torch.{arrays[0].dtype}"
    }  # fmt: skip
    program = Program(builder.tape, [x.row for p in given for x in p], [x.row for x in found])
    values = [np.broadcast_to(v, z.shape) for v in reference.run(program, arrays)]
    return values[0] if len(values) == 1 else joined(*values)


def joined(re, im):
    """Complex numbers, without arithmetic."""
    z = np.empty(np.shape(re), np.result_type(re, np.complex64))
    z.real, z.imag = re, im
    return z


def parts_of(z):
    return (z.real, z.imag) if np.iscomplexobj(z) else (z,)


def spread(dtype, seed):
    """Numbers of all sizes, next to the unit circle, to 1 and i, and to multiples of pi / 2."""
    random = np.random.default_rng(seed)
    n = 400

    def signed(x):
        return x * random.choice([-1.0, 1.0], n)

    def powers(low, high):
        return signed(10.0 ** random.uniform(low, high, n))

    turn = random.uniform(-np.pi, np.pi, n)
    radius = 1 + powers(-16, -1)
    found = [
        (powers(-2, 1), powers(-2, 1)),
        (powers(-8, 1.5), powers(-8, 1.5)),
        (radius * np.cos(turn), radius * np.sin(turn)),
        (signed(1 + powers(-17, -1)), powers(-25, -1)),
        (powers(-25, -1), signed(1 + powers(-17, -1))),
        (powers(-12, 1), np.pi / 2 * random.integers(-5, 5, n) + powers(-12, 0)),
    ]
    return np.concatenate([joined(*pair) for pair in found]).astype(dtype)


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
@pytest.mark.parametrize("name", OF_ONE)
def test_both_parts_are_right_to_a_few_ulps(name, dtype):
    z = spread(dtype, seed=1)
    function = NUMPY.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        exact = function(z.astype("complex128" if dtype == "complex64" else "clongdouble"))
    got = by_parts(name, z)
    for mine, right in zip(parts_of(got), parts_of(exact), strict=True):
        unit = np.spacing(abs(right).astype(mine.dtype)).astype(right.dtype)
        unit = np.maximum(unit, np.finfo(mine.dtype).eps ** 2 / 8)  # of log next to |z| = 1
        off = abs(mine - right) / unit
        worst = int(np.argmax(off))
        assert off[worst] <= ULPS, (z[worst], got[worst], exact[worst])


def test_what_cancels_does_not():
    z = np.array([1e-20 - 1e-20j, 1e-10j, -1e-30 + 1e-15j, -2 + 1e-9j, 0.6 + 0.8j, 3e-9 - 1j])
    got = by_parts("log1p", z)
    # x + (y**2 - x**2) / 2 for small z, and log(1 + (x * x + 2 x + y * y)) / 2
    probing.close(got.real[:3], [1e-20, 5e-21, -5e-31], 1e-15)
    probing.close(got.real[3:], [5e-19, np.log(3.2) / 2, np.log1p(1 + 6e-9) / 2], 1e-15)
    assert got.imag[0] == -1e-20
    # 0.6**2 + 0.8**2 - 1 of the doubles next to 0.6 and 0.8, by integers
    (a, m), (b, n) = (0.6).as_integer_ratio(), (0.8).as_integer_ratio()
    beyond = ((a * n) ** 2 + (b * m) ** 2 - (m * n) ** 2) / (m * n) ** 2
    assert by_parts("log", np.array([0.6 + 0.8j])).real[0] == pytest.approx(beyond / 2, rel=1e-15)
    tiny = np.array([1e-200 + 1e-220j, -1e-9 + 1e-12j])
    probing.close(by_parts("expm1", tiny), tiny + tiny**2 / 2, 1e-15)
    wide = np.array([-800 + 1j, 800 - 2j, -2.0 + 0.5j])
    got = by_parts("sigmoid", wide)
    probing.close(got, [0.0, 1.0, 1 / (1 + np.exp(-wide[2]))], 1e-15)
    edges = np.array([1.7e308 + 1.7e308j, 3e-310 - 4e-310j, 709.9 + 1.5j])
    with np.errstate(all="ignore"):
        for name in ("sqrt", "log", "exp", "sinh", "cosh", "asin", "acosh"):
            wanted = (NUMPY.get(name) or getattr(np, name))(edges)
            probing.close(by_parts(name, edges), wanted, 1e-14)


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -0.5, INF, -INF, NAN, 1e-300, -1e300, 720.0])
NUMBERS = joined(*(axis.ravel() for axis in np.meshgrid(SPECIAL, SPECIAL)))


@pytest.mark.parametrize("name", [name for name in OF_ONE if name != "square"])
def test_zeros_infinities_and_nan(name):
    """As in C's annex G: on branch cuts the sign of a zero decides."""
    with np.errstate(all="ignore"):
        wanted = (NUMPY.get(name) or getattr(np, name))(NUMBERS)
    got = by_parts(name, NUMBERS)
    is_finite = np.isfinite(NUMBERS)
    for mine, right in zip(parts_of(got), parts_of(wanted), strict=True):
        same = np.isnan(mine) == np.isnan(right)
        assert same.all(), NUMBERS[~same]
        with np.errstate(all="ignore"):
            near = abs(abs(mine) - abs(right)) <= 1e-14 * abs(right)
        near |= np.isnan(right) | (abs(mine) == abs(right))
        assert near.all(), (NUMBERS[~near], got[~near], wanted[~near])
        # signs of what is 0 or infinite where the argument is are open
        turned = (np.signbit(mine) != np.signbit(right)) & is_finite & ~np.isnan(right)
        assert not turned.any(), (NUMBERS[turned], got[turned], wanted[turned])


@pytest.mark.parametrize("name", ["mul", "div", "pow"])
def test_pairs_of_special_numbers(name):
    some = joined(*(x.ravel() for x in np.meshgrid(*[[0.0, 1.0, -2.0, 3.0, 40.0, 0.5]] * 2)))
    p, q = (x.ravel() for x in np.meshgrid(some, some))
    with np.errstate(all="ignore"):
        wanted = NUMPY[name](p, q)
        got = by_parts(name, p, q)
        for mine, right in zip(parts_of(got), parts_of(wanted), strict=True):
            bounds = 1e-13 * np.where(np.isfinite(wanted), abs(wanted), 0.0)
            near = (abs(mine - right) <= bounds) | (mine == right)
            near |= np.isnan(mine) & np.isnan(right)
            assert near.all(), (p[~near], q[~near], got[~near], wanted[~near])


def test_whole_powers_are_products():
    z = np.array([1 + 2j, -3 + 1j, 2j])
    for n in (0, 1, 2, 3, 21, -2):
        exponents = np.full(3, n, complex)
        probing.close(by_parts("pow", z, exponents), z**n, 1e-15)
    assert by_parts("pow", z, np.full(3, 2 + 0j)).tolist() == [-3 + 4j, 8 - 6j, -4 + 0j]


# ---------------------------------------------------------------- programs

Z = np.array([[0.3 - 1.2j, 2.0 + 0.0j, -1.5 + 0.2j], [0.0 + 0.0j, -2.0 - 0.0j, 0.5 + 3.0j]])
T = np.array([0.4, -1.1, 2.5])


def test_complex_numbers_between_real_ones(device):  # noqa: F811
    """Value and gradient in one program, of a matrix of them, and of each row."""

    def response(t):
        s = tj.complex(t, 2.0 * t - 1.0)
        poles = tj.asin(s) * tj.log1p(s) + tj.atanh(0.3 * s)
        return (poles.abs() + tj.lerp(s, poles, s).imag + (s**2.5).real).sum()

    rows = np.stack([T, T + 0.3])
    agree(
        lambda t, rows: {
            "grad": tj.value_and_grad(response)(t),
            "jit": tj.jit(response)(t),
            "jvp": tj.jvp(response, (t,), (tj.ones_like(t),)),
            "vmap": tj.vmap(tj.grad(response))(rows),
            "hvp": tj.hvp(response, (t,), (tj.ones_like(t),)),
        },
        device, T, rows, rtol=1e-9,
    )  # fmt: skip


def test_real_rows_stay_real_beside_complex_ones(device):  # noqa: F811
    """Where a rule took a real number as a pair, what is moved and chosen later is none."""

    def f(t):
        z = t + 1j
        moved = tj.where(t > 0, t.flip(0), t)
        return z.abs(), moved, z * moved, tj.cat([t, moved])

    agree(lambda t: (tj.jit(f)(t), tj.grad(lambda t: f(t)[2].real.sum())(t)), device, T)


UNARY = (
    "sin", "cos", "tanh", "asin", "acosh", "atan", "expm1", "log1p", "sqrt", "exp", "conj",
    "reciprocal", "sigmoid", "log",
)  # fmt: skip
BINARY = {
    "mul": lambda a, b: 0.7 * a * b,
    "div": lambda a, b: a / (b + 3.0),
    "where": lambda a, b: tj.where(a.real > b.imag, a, b),
    "lerp": lambda a, b: tj.lerp(a, b, 0.3 + 0.2j),
    "prod": lambda a, b: a.prod(1, keepdim=True) + b,
    "cumprod": lambda a, b: tj.cumprod(0.5 * a, 0) - b,
    "parts": lambda a, b: tj.complex(a.imag, b.real).t().flip(1).t() * b.abs(),
    "pairs": lambda a, b: tj.view_as_complex(tj.view_as_real(a) * 2) + b[[2, 0, 0]].cumsum(1),
    "pow": lambda a, b: tj.where(b.abs() > 1, a**2.5, b**-2),
    "fft": lambda a, b: tj.fft.fft(a) + tj.cat([b[1:], a[:1]]),
}


@pytest.mark.parametrize("seed", range(FUZZ or 2))
def test_random_programs(seed, device):  # noqa: F811
    """Real numbers in and out: value and gradients, of a batch too."""
    random = np.random.default_rng(seed)
    steps = [
        (str(random.choice([*BINARY, *UNARY])), *random.integers(0, 99, 2))
        for _ in range(random.integers(3, 14))
    ]

    def f(t, s):
        found = [tj.complex(t, s), tj.complex(s, 0.5 * t)]
        for name, i, j in steps:
            a, b = found[i % len(found)], found[j % len(found)]
            found.append(BINARY[name](a, b) if name in BINARY else 0.7 * getattr(tj, name)(a))
        return tj.tanh(0.1 * found[-1].real).sum() + 0.01 * found[-2].abs().sum()

    def run(t, s):
        batch = tj.stack([t, s]), tj.stack([s, t])
        return tj.value_and_grad(f, (0, 1))(t, s), tj.vmap(tj.grad(f))(*batch)

    agree(run, device, *random.standard_normal((2, 3, 4)), rtol=1e-8)


def test_slopes_of_products(device):  # noqa: F811
    """Of lengths that are no powers of two, over several axes, and where elements are zero."""

    def f(z):
        z.requires_grad_()
        (z.prod().abs() + z.prod(1).real.sum() + z.prod(0, keepdim=True).imag.sum()).backward()
        return z.grad, z.detach().prod(), tj.cumprod(z.detach(), 1), z.detach()[:, :0].prod(1)

    agree(f, device, Z)
    agree(lambda z: tj.vmap(lambda row: row.prod())(z), device, Z)
    agree(f, device, Z.astype(np.complex64), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_running_products_by_tiles(dtype, device):  # noqa: F811
    """Longer than a block's tile, along either axis, of a view."""
    random = np.random.default_rng(0)
    z = np.exp(1j * random.uniform(-3, 3, (2, 150))).astype(dtype)
    rtol = 1e-11 if dtype == "complex128" else 1e-4
    agree(
        lambda z: (tj.cumprod(z, 1), tj.cumprod(z.t(), 0), z[:, ::3].prod(1)), device, z, rtol=rtol
    )


def test_products_at_places(device):  # noqa: F811
    """Many of them at few places: they are sorted; and by two indices."""
    random = np.random.default_rng(0)
    values = random.standard_normal((40, 2)) + 1j * random.standard_normal((40, 2))
    places = random.integers(0, 2, 40)

    def f(z, values, places):
        return [z.t().index_reduce(0, places, values, how) for how in ("prod", "amax", "amin")]

    agree(f, device, Z[:, :2], values, places)
    values[3] = NAN
    agree(f, device, Z[:, :2], values, places)


def test_places_of_complex_numbers(device):  # noqa: F811
    """By one index and by several, read, added to, and found."""

    def f(z):
        i, j = tj.tensor([0, 1, 1]), tj.tensor([2, -1, 0])
        cube = tj.stack([z, z * 2j])
        put = cube.clone()
        put[i * 0, i, j] = 5.0 - 1j
        return cube[i * 0 + 1, i, j], put, tj.nonzero(z), tj.count_nonzero(z), z[z != 0]

    agree(f, device, Z)
    agree(lambda z: (tj.logical_not(z), tj.logical_and(z, z.conj()), z.bool()), device, Z)
    agree(lambda z: tj.grad(lambda x: x[[0, 1, 1], [2, 0, 0]].abs().sum())(z), device, Z)


def test_special_values_on_the_device(device):  # noqa: F811
    """The card's own functions of real numbers give the rules what they rely on."""
    axis = np.array([0.0, -0.0, 2.0, INF, -INF, NAN, 1e-300])
    z = joined(*(x.ravel() for x in np.meshgrid(axis, axis)))
    there = tj.tensor(z, device=device)
    for name in ("sqrt", "log", "exp", "sinh", "tanh", "asin", "acosh", "atan"):
        got = getattr(tj, name)(there).cpu().numpy()
        with np.errstate(all="ignore"):
            wanted = by_parts(name, z)
        for mine, right in zip(parts_of(got), parts_of(wanted), strict=True):
            np.testing.assert_allclose(mine, right, rtol=1e-14)
            known = ~np.isnan(right)
            assert (np.signbit(mine) == np.signbit(right))[known].all()


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8"])
def test_windows_of_narrow_numbers(dtype, device):  # noqa: F811
    """Convolutions and overlapping windows, whose sums wrap around or are truth values."""
    from tapejit.registry import OPS
    from tapejit.tensor.core import apply

    for name in ("convolution", "convolution_input", "convolution_weight", "unstrided"):
        cases = probing.cases(OPS[name], (tj.dtypes.named(dtype),))
        for case in cases[-1:]:
            arrays = probing.inputs_of(case)
            agree(lambda *x, case=case: apply(case.op, x, case.attrs), device, *arrays)
