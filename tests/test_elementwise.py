"""Elementwise functions beside PyTorch's of the same name: value, dtype, slope, second slope.

One row is a name (with its namespace), operands, and options.  Edges have a table of their own
(tests/test_edges.py), accuracy too (docs/accuracy.md).
"""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tapejit as tj
from tapejit.registry import OPS

torch = pytest.importorskip("torch")

X = [-2.5, -0.75, 0.3, 1.6]
P = [0.1, 0.4, 0.5, 0.95]
Y = [0.4, 1.0, 2.0, 3.5]
ROWS = [
    ("frac", [X], {}),
    ("positive", [X], {}),
    ("deg2rad", [X], {}),
    ("rad2deg", [X], {}),
    ("nan_to_num", [[np.nan, np.inf, -np.inf, 2.0]], {}),
    ("nan_to_num", [[np.nan, np.inf, -np.inf, 2.0]], {"nan": 3.0, "posinf": 4.0, "neginf": 5.0}),
    ("logit", [P], {}),
    ("logit", [[-1.0, 0.1, 0.95, 2.0]], {"eps": 0.2}),
    ("logit", [[-1.0, 0.1, 0.95, 2.0]], {"eps": 0.0}),
    ("sinc", [X], {}),
    ("special.expit", [X], {}),
    ("special.entr", [Y], {}),
    ("xlogy", [X, Y], {}),
    ("special.xlog1py", [X, Y], {}),
    ("logaddexp", [X, Y], {}),
    ("logaddexp2", [X, Y], {}),
    ("copysign", [X, Y[::-1]], {}),
    ("fmax", [[1.0, np.nan, 2.0, 3.0], [2.0, 1.0, np.nan, 1.0]], {}),
    ("fmin", [[1.0, np.nan, 2.0, 3.0], [2.0, 1.0, np.nan, 1.0]], {}),
    ("ldexp", [X, [1.0, -2.0, 0.0, 3.0]], {}),
    ("float_power", [Y, X], {}),
    ("lerp", [X, Y, P], {}),
    ("addcmul", [X, Y, P], {"value": 0.5}),
    ("addcdiv", [X, Y, P], {"value": 0.5}),
    ("clamp", [X, [-1.0, -1.0, 0.5, 0.5], [0.0, 1.0, 1.0, 1.0]], {}),
    ("clamp", [X, [-1.0, -1.0, 0.5, 0.5]], {}),
    ("clamp", [X], {"max": [-1.0, -1.0, 0.5, 0.5]}),
    ("erfinv", [[-0.9, -0.1, 0.3, 0.99]], {}),
    ("special.erfcx", [X], {}),
    ("special.ndtr", [X], {}),
    ("special.log_ndtr", [X], {}),
    ("special.ndtri", [P], {}),
    ("lgamma", [Y], {}),
    ("lgamma", [[-0.3, -1.6, -2.4, -7.5]], {}),
    ("digamma", [Y], {}),
    ("digamma", [[-0.3, -1.6, -2.4, -7.5]], {}),
    ("special.gammaln", [Y], {}),
    ("special.psi", [Y], {}),
    ("special.i0", [X], {}),
    ("special.i0e", [X], {}),
    ("special.i1", [X], {}),
    ("special.i1e", [X], {}),
    ("special.zeta", [[2.0, 3.0, 1.5, 2.5], Y], {}),
    ("special.gammainc", [Y, [0.5, 3.0, 2.0, 1.0]], {}),
    ("special.gammaincc", [Y, [0.5, 3.0, 2.0, 1.0]], {}),
    ("igamma", [Y, [0.5, 3.0, 2.0, 1.0]], {}),
    ("special.multigammaln", [Y], {"p": 1}),
    ("special.multigammaln", [[2.5, 3.0, 4.0, 9.0]], {"p": 3}),
    ("special.bessel_j0", [X], {}),
    ("special.bessel_j1", [X], {}),
]
VALUE_ONLY = {"zeta": (0, 1), "gammainc": (0,), "gammaincc": (0,), "igamma": (0,),
              "bessel_j0": (0,), "bessel_j1": (0,)}  # fmt: skip
"""Operands by which PyTorch has no derivative."""


def function(module, name):
    return operator.attrgetter(name)(module)


def options(module, stated, dtype):
    return {
        key: module.tensor(value, dtype=getattr(module, dtype))
        if isinstance(value, list)
        else value
        for key, value in stated.items()
    }


def derivatives(module, name, operands, stated, dtype):
    """Value, gradients, and gradients of a random sum of the gradients."""
    kind = getattr(module, dtype)
    tensors = [module.tensor(x, dtype=kind) for x in operands]
    skipped = VALUE_ONLY.get(name.rpartition(".")[2], ())
    asked = [t.requires_grad_() for place, t in enumerate(tensors) if place not in skipped]
    value = function(module, name)(*tensors, **options(module, stated, dtype))
    if not asked:
        return value, [], []
    weights = np.random.default_rng(0).normal(size=(2, 4))
    gy, gg = (module.tensor(w.tolist(), dtype=value.dtype) for w in weights)
    grad = module.autograd.grad
    first = grad(value, asked, gy, create_graph=True, allow_unused=True)
    total = sum((g * gg).sum() for g in first if g is not None and g.requires_grad)
    second = [None] * len(asked)
    if isinstance(total, module.Tensor) and total.requires_grad:
        second = grad(total, asked, allow_unused=True)
    return value, first, second


def numbers(x):
    return np.zeros(4) if x is None else x.detach().numpy()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "operands", "stated"), ROWS, ids=[row[0] for row in ROWS])
def test_torch_agrees(name, operands, stated, dtype):
    ours = derivatives(tj, name, operands, stated, dtype)
    theirs = derivatives(torch, name, operands, stated, dtype)
    assert str(ours[0].dtype) == str(theirs[0].dtype)
    rtol = 1e-10 if dtype == "float64" else 5e-5
    if "gamma" in name or name.endswith("psi"):
        rtol = max(rtol, 1e-9)  # PyTorch's trigamma(2) is off by 4e-10
    np.testing.assert_allclose(numbers(ours[0]), numbers(theirs[0]), rtol=rtol, atol=rtol / 10)
    for got, want in zip((*ours[1], *ours[2]), (*theirs[1], *theirs[2]), strict=True):
        np.testing.assert_allclose(numbers(got), numbers(want), rtol=rtol, atol=rtol)


INTEGERS = [
    "deg2rad", "rad2deg", "nan_to_num", "logit", "sinc", "signbit", "isposinf", "isneginf",
    "positive", "copysign", "heaviside", "fmax", "fmin", "ldexp", "float_power", "xlogy",
    "special.xlog1py", "special.entr", "special.expit", "lgamma", "digamma", "erfinv", "i0",
    "special.i1e", "special.erfcx", "special.ndtr", "special.ndtri", "special.log_ndtr",
    "special.zeta", "special.gammainc", "special.bessel_j0",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_have_the_dtype_of_torch(name, dtype):
    x = np.array([0, 1, 1]).astype(dtype)
    takes_two = name in ("copysign", "heaviside", "fmax", "fmin", "ldexp", "float_power", "xlogy")
    two = ("special.xlog1py", "special.zeta", "special.gammainc")
    count = 2 if takes_two or name in two else 1
    try:
        want = function(torch, name)(*[torch.tensor(x)] * count)
    except (RuntimeError, NotImplementedError):
        want = None
    if want is None:  # PyTorch refuses: so may we, else the dtype follows the same rules
        return
    got = function(tj, name)(*[tj.tensor(x)] * count)
    assert str(got.dtype) == str(want.dtype)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)


def test_functions_of_numpy_that_only_numpy_has_or_that_give_two():
    x = np.array([-2.5, -0.0, 0.75, 10.0])
    t = tj.tensor(x)
    for f in (np.sinc, np.deg2rad, np.degrees, np.radians, np.signbit, np.positive):
        np.testing.assert_allclose(f(t).numpy(), f(x), rtol=1e-15, atol=1e-16)
    for f in (np.modf, np.frexp, lambda v: np.divmod(v, 0.75)):
        for got, want in zip(f(t), f(x), strict=True):
            np.testing.assert_array_equal(got.numpy(), want)
    y = np.array([1.0, np.nan, 0.75, -3.0])
    for f in (np.fmax, np.fmin, np.copysign, np.nextafter):
        np.testing.assert_array_equal(f(t, y).numpy(), f(x, y))
    np.testing.assert_array_equal(
        np.ldexp(t, np.array([1, 2, 3, 4])).numpy(), np.ldexp(x, [1, 2, 3, 4])
    )
    np.testing.assert_array_equal(np.heaviside(t, 0.5).numpy(), np.heaviside(x, 0.5))
    np.testing.assert_allclose(np.float_power(tj.tensor([2, 3]), 0.5).numpy(), [2**0.5, 3**0.5])
    np.testing.assert_array_equal(
        np.nan_to_num(tj.tensor(y), nan=7.0).numpy(), np.nan_to_num(y, nan=7.0)
    )
    with pytest.raises(TypeError, match="spacing"):
        np.spacing(t)


def test_parts_of_complex_numbers_are_made_finite():
    z = [complex(np.nan, 1.0), complex(np.inf, -np.inf), 2.0 - 1.0j]
    got = tj.nan_to_num(tj.tensor(z), nan=7.0, posinf=8.0, neginf=9.0)
    want = torch.nan_to_num(torch.tensor(z), nan=7.0, posinf=8.0, neginf=9.0)
    assert got.tolist() == want.tolist()


def test_logit_next_to_a_half_keeps_its_digits():
    x = 0.5 + np.array([1e-15, 1e-10, -1e-5])
    np.testing.assert_allclose(tj.logit(x), 4 * (x - 0.5) + 16 / 3 * (x - 0.5) ** 3, rtol=1e-15)


def test_ldexp_leaves_the_range_only_with_its_result():
    assert (
        tj.ldexp(tj.tensor(1e-300, dtype=tj.float64), 1900).item() == 1e-300 * 2.0**950 * 2.0**950
    )
    x = tj.tensor([1e-310, -3.0, 0.0, 1e308], dtype=tj.float64)
    mantissa, exponent = tj.frexp(x)
    assert tj.ldexp(mantissa, exponent).numpy().tolist() == x.numpy().tolist()


# ---------------------------------------------------------------- what PyTorch does not have


def gradients_of(f, *operands):
    tensors = [tj.tensor(x, dtype=tj.float64, requires_grad=True) for x in operands]
    return tj.autograd.grad(f(*tensors), tensors)


@pytest.mark.parametrize("a", [0.05, 0.7, 1.0, 3.0, 40.0, 900.0])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.97, 1.0, 1.03, 2.0, 5.0])
def test_incomplete_gamma_by_its_first_operand(a, share):
    mpmath = pytest.importorskip("mpmath")
    x = a * share
    with mpmath.workdps(60):
        want = mpmath.diff(lambda t: mpmath.gammainc(t, 0, x, regularized=True), a, h="1e-25")
    by_a, _ = gradients_of(tj.special.gammainc, a, x)
    scale = abs(float(want)) + 1e-300
    assert abs(by_a.item() - float(want)) <= 1e-11 * scale + 1e-18
    complement, _ = gradients_of(tj.special.gammaincc, a, x)
    assert complement.item() == -by_a.item()
    tangent = tj.jvp(lambda t: tj.special.gammainc(t, x), (np.array(a),), (np.array(1.0),))[1]
    np.testing.assert_allclose(tangent, by_a.item(), rtol=1e-11)


def test_slopes_without_a_rule_are_refused_and_only_they():
    s, q = (tj.tensor(v, dtype=tj.float64, requires_grad=True) for v in (2.0, 3.0))
    with pytest.raises(tj.errors.NotDifferentiable, match="zeta: its slope in the exponent"):
        tj.special.zeta(s, q).backward()
    with pytest.raises(tj.errors.NotDifferentiable, match="zeta"):
        tj.jvp(lambda v: tj.special.zeta(v, 3.0), (2.0,), (1.0,))
    with pytest.raises(tj.errors.NotDifferentiable, match="its second slope in a"):
        tj.grad(tj.grad(lambda a: tj.special.gammainc(a, 2.0)))(1.5)
    tj.special.zeta(2.0, q).backward()  # in q alone there is one
    np.testing.assert_allclose(q.grad.item(), -2 * 0.0770569031595943, rtol=1e-12)  # -2 zeta(3, 3)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("x", [0.3, 1.5, 20.0, -0.6, -3.25, -1e-9, -1000.25])
def test_polygamma_of_any_sign(n, x):
    mpmath = pytest.importorskip("mpmath")
    value = tj.special.polygamma(n, np.array(x))
    (slope,) = gradients_of(lambda v: tj.polygamma(n, v), x)
    with mpmath.workdps(40):
        want = [float(mpmath.psi(order, mpmath.mpf(x))) for order in (n, n + 1)]
    np.testing.assert_allclose([value, slope.item()], want, rtol=2e-11)


def test_names_of_scipy():
    special = pytest.importorskip("scipy.special")
    a, b = np.array([0.5, 2.0, 30.0, 1e8]), np.array([1.5, 0.25, 3.0, 2.0])
    for name in ("betaln", "beta"):
        np.testing.assert_allclose(
            getattr(tj.special, name)(a, b), getattr(special, name)(a, b), rtol=1e-14
        )
    by_a, by_b = gradients_of(lambda u, v: tj.special.betaln(u, v).sum(), a, b)
    np.testing.assert_allclose(by_a.numpy(), special.psi(a) - special.psi(a + b), rtol=1e-7)
    np.testing.assert_allclose(by_b.numpy(), special.psi(b) - special.psi(a + b), rtol=1e-12)
    y = np.array([1e-300, 1e-20, 0.3, 1.0, 1.9])
    np.testing.assert_allclose(tj.special.erfcinv(y), special.erfcinv(y), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(tj.cbrt(a), np.cbrt(a), rtol=1e-15)


@pytest.mark.parametrize("name", ["i1", "i1e", "bessel_j1", "bessel_j0", "i0"])
def test_bessel_functions_keep_their_slopes_next_to_zero(name):
    """First to third derivative against mpmath, on both sides of where the series ends."""
    mpmath = pytest.importorskip("mpmath")
    order = int(name[-1] if name[-1] != "e" else name[-2])
    kind = mpmath.besselj if "j" in name else mpmath.besseli
    decay = mpmath.exp if name.endswith("e") else None
    f = getattr(tj.special, name)
    for x in (1e-12, 0.1, 0.2499, 0.2501, 1.0):
        derivative = f
        for n in (1, 2, 3):
            derivative = tj.grad(derivative)
            with mpmath.workdps(60):
                want = mpmath.diff(
                    lambda t: kind(order, t) * (decay(-t) if decay else 1), mpmath.mpf(x), n
                )
            assert abs(derivative(x) - float(want)) < 3e-13 * 30 ** (n - 1), (x, n)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_small_floats_keep_their_dtype(dtype):
    x = tj.tensor([0.3, 0.6], dtype=getattr(tj, dtype))
    one = [
        "erfinv", "lgamma", "digamma", "i0", "special.i1", "special.i0e", "special.i1e", "sinc",
        "special.bessel_j0", "special.bessel_j1", "special.erfcx", "special.ndtr", "cbrt", "logit",
        "special.log_ndtr", "special.ndtri", "special.entr", "special.erfcinv", "frac",
    ]  # fmt: skip
    two = ["special.zeta", "special.gammainc", "special.beta", "xlogy", "logaddexp2", "heaviside"]
    two += ["copysign", "fmax", "nextafter", "ldexp"]
    for name in one:
        assert function(tj, name)(x).dtype is x.dtype, name
    for name in two:
        assert function(tj, name)(x, x).dtype is x.dtype, name
    assert tj.polygamma(2, x).dtype is tj.polygamma(1, x).dtype is x.dtype


# ---------------------------------------------------------------- numbers as operands

PAIRED = [op for op in OPS.values() if op.expression and len(op.expression.parameters) == 2]
PAIRED = [op for op in PAIRED if op.alias.torch]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("op", PAIRED, ids=str)
def test_a_number_is_the_same_operand_at_every_call(op, dtype):
    """The second call takes the short way, which leaves out the conversion of operands."""
    function = operator.attrgetter(op.alias.torch)(tj)
    x = tj.tensor([0.25, 0.5, 0.75], dtype=getattr(tj, dtype))
    for call in (lambda: function(x, 0.5), lambda: function(0.5, x)):
        first, *later = (call() for _ in range(3))
        for again in later:
            assert again.numpy().dtype == first.numpy().dtype
            assert np.array_equal(again.numpy(), first.numpy())
