"""Gradients of @njit functions: programs in Numba's style, against finite differences.

Few of them are ever compiled: their Python bodies are what is recorded, and what a difference
quotient runs.  Where Numba's own value matters, a test calls the function itself.
"""

from __future__ import annotations

import collections
import math
from math import exp, sin

import numba
import numpy as np
import pytest
from numba import njit, prange

import tapejit as tj
from tapejit.errors import TapejitError, TraceError

pytestmark = pytest.mark.filterwarnings("error")


def slopes(function, x, h=1e-6):
    """Central differences of a function of one array."""
    x = np.asarray(x, float)
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += h
        down[place] -= h
        result[place] = (function(up) - function(down)) / (2 * h)
    return result


def holds(function, x, *others, rtol=1e-5):
    """The value and gradient of an @njit function are those of its body; at a second call too."""
    body = function.py_func
    compiled = tj.value_and_grad(function)
    for factor in (1.0, 1.1):
        value, gradient = compiled(x * factor, *others)
        np.testing.assert_allclose(value, body(x * factor, *others), rtol=1e-12)
        expected = slopes(lambda x: body(x, *others), x * factor)
        np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=1e-6)
    return compiled


X = np.array([0.5, 1.5, 2.5, 0.7])
M = np.array([[0.3, -1.2, 0.8], [1.1, 0.4, -0.6], [0.2, 0.9, 1.7]])
WEIGHTS = np.array([1.0, 2.0, 0.5, -1.0])
POWER = 2.0

# ---------------------------------------------------------------- programs


@njit
def shifted(s, by=1.0):
    s += by
    return math.sin(s)


@njit(parallel=True)
def filled(x):
    out = np.empty(x.shape[0])
    for i in prange(len(x)):
        out[i] = shifted(x[i]) + shifted(x[i - 1], by=0.5) * WEIGHTS[i]
    return out.sum()


@njit(fastmath=True)
def multiply(a, b, c):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            for k in range(a.shape[1]):
                c[i, j] += a[i, k] * b[k, j]


@njit
def product(a):
    n = a.shape[0]
    c = np.zeros((n, n))
    multiply(a, a.T, c)
    total = 0.0
    for i, row in enumerate(c):
        row[i] *= 2.0  # a view
        total += np.sum(row[1:]) * math.exp(-i)
    return total + np.trace(c) + c[-1, 0] ** POWER


@njit
def cholesky(a):
    n = a.shape[0]
    spd = a @ a.T + n * np.eye(n)
    lower = np.zeros_like(a)
    for j in range(n):
        s = spd[j, j]
        for k in range(j):
            s -= lower[j, k] * lower[j, k]
        lower[j, j] = math.sqrt(s)
        for i in range(j + 1, n):
            lower[i, j] = (spd[i, j] - np.dot(lower[i, :j], lower[j, :j])) / lower[j, j]
    return np.sum(np.log(np.diag(lower))) + lower[2, 0]


@njit
def newton(x):
    y = x[0]
    n = 0
    while abs(y * y - x[1]) > 1e-13 and n < 50:
        y -= (y * y - x[1]) / (2 * y)
        n += 1
    return y * x[2]


@njit
def epidemic(p):
    state = np.array([0.99, 0.01, 0.0])
    path = np.empty((3, 20))
    for k in range(20):
        new, gone = p[0] * state[0] * state[1], p[1] * state[1]
        state = state + 0.5 * np.array([-new, new - gone, gone])
        path[:, k] = state
    return path[1].max() + np.mean(path[2, ::2]) + path[0, -1]


@njit
def in_place(x):
    u = x.copy()
    v = u[1:]
    for _ in range(3):
        u[1:-1] = 0.5 * (u[2:] + u[:-2])
        v *= 1.1
        u[0], u[-1] = u[-1], u[0]
    u += x
    u[u > 1.0] *= 0.5
    return np.sum(u * u) + v[0]


@njit
def returns_early(x):
    total = 0.0
    for v in x:
        if v > 2.0:
            return total * 3.0
        elif v > 1.0:
            continue
        total += v * v
    else:
        total = -total
    return total


@njit
def fibonacci(n, x):
    if n < 2:
        return x * n
    return fibonacci(n - 1, x) + fibonacci(n - 2, x)


@njit
def recursive(x):
    return fibonacci(6, x[0]) * x[1]


@njit
def parts(x):
    low, high = np.inf, -np.inf
    for v in x:
        low, high = min(low, v), max(v, high)
    return (low, high), x[::-1]


@njit
def of_tuples(x):
    (low, high), turned = parts(x)
    a, *rest = (low, high, turned[0])
    return a * rest[0] + rest[1] ** 2


def powers(n):
    @njit
    def inner(x):
        def term(k):
            return x[k] ** n

        return sum([term(k) for k in range(x.size)])

    return inner


@njit
def casts(x):
    s = np.float64(0.0)
    for i in range(len(x)):
        s += float(x[i]) * np.float64(i) + numba.float64(x[i]) ** 2 / int(x[i] + 1.0)
    return s + math.floor(x[1]) * x[0] + round(2.7) * x[1]


@njit
def functions(x):
    s = exp(x[0]) + sin(x[1]) + math.log(x[2], 2.0) + math.gamma(x[3]) + math.lgamma(x[2])
    s += math.atan2(x[0], x[1]) + math.hypot(x[2], 3.0) + math.pow(x[3], 1.5) + math.fabs(-x[0])
    s += math.erf(x[0]) + math.expm1(x[1]) + math.copysign(x[2], -1.0) + math.degrees(x[3])
    if math.isnan(s) or not np.isfinite(s):
        return 0.0 * s
    part, whole = math.modf(x[1])
    s += part * whole + math.ldexp(x[2], 2) + (complex(x[0], x[1]) ** 2).imag
    return s + math.tanh(x[0]) * math.log1p(x[1])


@njit
def table(x):
    a = np.array([[x[0], 1.0], [2.0, x[1] * x[2]]])
    b = np.full((2, 2), x[3])
    c = np.stack((a[0], b[1])) + np.ones((2, 2))
    d = np.zeros(4)
    d[:] = c.ravel()
    d[1:3] = x[:2]
    return (
        np.linalg.det(a)
        + (c @ b).sum()
        + np.sum(np.where(d > 1.0, d * d, d))
        + np.outer(d, x)[1, 2]
    )


@njit
def counted(x):
    counts = np.zeros(3, np.int64)
    sums = np.zeros(3)
    for v in x:
        k = int(v)
        counts[k] += 1
        sums[k] += v * v
    return np.sum(sums / counts)


@njit
def softmax(x):
    m = -np.inf
    for i in range(x.shape[0]):
        if x[i] > m:
            m = x[i]
    out = np.empty_like(x)
    s = 0.0
    for i in range(x.shape[0]):
        out[i] = np.exp(x[i] - m)
        s += out[i]
    out /= s
    out.sort()
    return out[0] * out[1] + math.log(out[2])


@pytest.mark.parametrize(
    "function",
    [filled, newton, in_place, returns_early, recursive, of_tuples, powers(3), casts, functions,
     table, counted, softmax],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_programs_of_vectors(function):
    holds(function, X)


@njit
def views_and_copies(a):
    b = a * 0.5
    b.T[0, 1] = a[0, 0]  # views
    np.transpose(b)[2, 0] *= 2.0
    np.ravel(b)[4] = a[1, 2]
    low, high = np.split(b, [1])
    high[1] += low[0]
    b.flat[1] = a[2, 2]
    turned = b.T.ravel()  # a copy: the elements lie otherwise
    turned[0] = 100.0
    c = np.ascontiguousarray(b.T)
    c[0] = -1.0
    d = b.T + 0.0  # laid out by columns, as b.T is: this ravel is a view
    d.T.ravel()[5] = a[0, 2]
    e = np.copy(d)
    e.ravel()[3] = 100.0
    return np.sum(b * b) + turned[1] * c[1, 0] + np.sum(d[1:] * a[1:]) + e[1, 0]


@pytest.mark.parametrize(
    "function", [product, cholesky, views_and_copies], ids=lambda f: f.__name__
)
def test_programs_of_matrices(function):
    holds(function, M)


def test_an_epidemic():
    holds(epidemic, np.array([0.9, 0.2]))


@njit
def gmm(alphas, means, icf, x):
    """The log likelihood of a mixture of Gaussians, in loops over all that there is."""
    (k, d), n = means.shape, x.shape[0]
    total = 0.0
    for i in range(n):
        terms = np.empty(k)
        for j in range(k):
            square = 0.0
            log_det = 0.0
            for r in range(d):
                row = math.exp(icf[j, r]) * (x[i, r] - means[j, r])
                log_det += icf[j, r]
                for c in range(r):
                    at = d + d * (d - 1) // 2 - (d - c) * (d - c - 1) // 2 + r - c - 1
                    row += icf[j, at] * (x[i, c] - means[j, c])
                square += row * row
            terms[j] = alphas[j] + log_det - 0.5 * square
        top = terms.max()
        total += top + math.log(np.sum(np.exp(terms - top)))
    return total


def test_a_mixture_of_gaussians():
    rng = np.random.default_rng(3)
    alphas, means, icf = rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=(3, 3))
    x = rng.normal(size=(5, 2))
    gradients = tj.grad(gmm, argnums=(0, 1, 2))(alphas, means, icf, x)
    body = gmm.py_func
    for i, given in enumerate((alphas, means, icf)):
        arguments = [alphas, means, icf, x]

        def of_one(value, i=i, arguments=arguments):
            return body(*arguments[:i], value, *arguments[i + 1 :])

        np.testing.assert_allclose(gradients[i], slopes(of_one, given), rtol=1e-5, atol=1e-7)
    assert gmm(alphas, means, icf, x) == pytest.approx(body(alphas, means, icf, x), rel=1e-12)
    # compiled now: Numba's value is compared with the recorded one
    other = tj.value_and_grad(gmm)(alphas, means, icf, x)
    np.testing.assert_allclose(other[1], gradients[0], rtol=1e-12)


# ---------------------------------------------------------------- every transform, every caller


def test_every_transform_takes_one():
    hessian = tj.hessian(softmax)(X)
    for i in range(4):
        row = slopes(lambda x, i=i: tj.grad(softmax)(x)[i], X)
        np.testing.assert_allclose(hessian[i], row, rtol=1e-5, atol=1e-8)
    _, slope = tj.jvp(softmax, (X,), (WEIGHTS,))
    gradient = tj.grad(softmax)(X)
    assert slope == pytest.approx(gradient @ WEIGHTS)
    _, pullback = tj.vjp(softmax, X)
    np.testing.assert_allclose(pullback(2.0)[0], 2 * gradient)
    np.testing.assert_allclose(tj.hvp(softmax, (X,), (WEIGHTS,)), hessian @ WEIGHTS, rtol=1e-9)
    assert tj.jit(softmax)(X) == pytest.approx(softmax.py_func(X))
    turned = tj.jacobian(njit(lambda x: x[::-1] * x[0]))(X)
    np.testing.assert_allclose(turned[0], [X[3], 0, 0, X[0]])


@njit
def square_into(x, out):
    for i in range(len(x)):
        out[i] += x[i] ** 2


def test_python_code_calls_them():
    def plain(x):
        out = np.zeros_like(x)
        square_into(x, out)
        return np.sum(out * x) + shifted(x[0], by=2.0)

    expected = 3 * X**2 + [math.cos(X[0] + 2.0), 0, 0, 0]
    np.testing.assert_allclose(tj.grad(plain)(X), expected)
    x = tj.tensor(X, requires_grad=True)
    plain(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_signatures_of_their_own():
    closed = njit("f8(f8)")(lambda x: x * x * x)
    x = tj.tensor(2.0, dtype=tj.float64, requires_grad=True)
    closed(x).backward()
    assert x.grad.item() == 12.0
    assert tj.grad(lambda x: 2 * closed(x))(2.0) == 24.0
    assert closed(2.0) == 8.0
    with pytest.raises(TypeError):
        closed("two")


LIFT = 2.0


@numba.vectorize
def lifted(x, y):
    z = x
    x += y  # of numbers: z stays
    return x * z * LIFT if x > 3.5 else math.sin(x)


def test_vectorized_functions(monkeypatch):
    slope = tj.grad(lambda x: np.sum(lifted(x, 2.0)))
    for x in (np.array([1.0, 2.0]), np.array([2.0, 2.0]), np.array([3.0, 1.0])):
        expected = np.where(x > 1.5, 2 * LIFT * (x + 1), np.cos(x + 2))
        np.testing.assert_allclose(slope(x), expected)
        in_njit = tj.grad(njit(lambda x: lifted(x[:, None], np.array([2.0, 2.0])).sum()))
        np.testing.assert_allclose(in_njit(x), 2 * expected)
    assert tj.grad(lifted)(3.0, 1.0) == 14.0
    monkeypatch.setitem(globals(), "LIFT", 1.0)
    np.testing.assert_allclose(slope(x), [8.0, math.cos(3.0)])

    @numba.guvectorize(["void(f8[:], f8[:])"], "(n)->()")
    def first(x, result):
        result[0] = x[0]

    with pytest.raises(TraceError, match=r"first is a generalized ufunc[\s\S]*@njit"):
        tj.grad(first)(X)


def test_methods_and_functions_as_arguments():
    class Model:
        scale = 3.0

        @staticmethod
        @njit
        def curve(x):
            return math.exp(-x)

        def loss(self, x):
            return self.curve(x) * self.scale

    assert tj.grad(Model().loss)(0.0) == -3.0

    @njit
    def twice(f, x):
        return f(f(x))

    assert tj.grad(twice, argnums=1)(shifted, 0.2) == pytest.approx(
        math.cos(math.sin(1.2) + 1.0) * math.cos(1.2)
    )


def test_what_they_read_is_guarded():
    weights, factor = np.array([1.0, 2.0]), 2.0

    @njit
    def scaled(x):
        return weights[1] * x * factor

    slope = tj.grad(scaled)
    assert slope(1.0) == 4.0
    weights[1] = 5.0
    assert slope(1.0) == 10.0
    factor = 3.0
    assert slope(1.0) == 15.0


def test_numbers_do_not_change():
    @njit
    def aliased(x):
        s = x[0]
        before = s
        s += 1.0
        s *= x[1]
        s **= 2
        s /= 3.0
        return before * s + abs(complex(x[1], before)) ** 2

    holds(aliased, X)
    body = aliased.py_func
    assert tj.jit(body)(X) == pytest.approx(body(X))  # plain functions of arrays, too


def test_functions_without_a_module():
    scope = {"np": np}
    exec("def f(x):\n    a = np.zeros(2)\n    a[0] = x * x\n    return a.sum()", scope)
    assert tj.grad(njit(scope["f"]))(3.0) == 6.0


def test_namedtuples_go_in_and_out():
    Pair = collections.namedtuple("Pair", "a b")

    @njit
    def swap(pair):
        return Pair(pair.b * pair.a, pair.a)

    result = tj.jit(swap)(Pair(2.0, 3.0))
    assert type(result) is Pair
    assert result == Pair(6.0, 2.0)


# ---------------------------------------------------------------- what is refused


def test_an_argument_that_is_written_to():
    @njit
    def clears(x):
        x[0] = 0.0
        return x.sum()

    with pytest.raises(TraceError, match="argument of the differentiated function is written to"):
        tj.grad(clears)(X)


def test_a_numpy_array_that_is_written_to():
    def plain(x):
        out = np.zeros(4)
        square_into(x, out)
        return x[0]

    with pytest.raises(TraceError, match="cannot hold the history"):
        tj.grad(plain)(X)


def test_what_only_numba_can_run():
    @njit
    def pointed(x):
        return numba.carray(x, 3)[0] * x[0]

    with pytest.raises(TraceError, match=r"numba's carray can only be run by Numba") as caught:
        tj.grad(pointed)(X)
    assert "test_njit_functions.py:" in str(caught.value)


def test_stencils():
    @numba.stencil
    def mean(a):
        return (a[-1] + a[1]) / 2

    for function in (lambda x: np.sum(mean(x)), njit(lambda x: np.sum(mean(x))), mean):
        with pytest.raises(TraceError, match=r"(mean|StencilFunc).* is a stencil[\s\S]*try"):
            tj.jit(function)(X)


def test_another_value_than_numbas():
    @njit
    def wraps(x):
        n = 2**62
        return x * (n + n + n)

    wraps(1.0)
    with pytest.raises(TapejitError, match="Numba's own value"):
        tj.grad(wraps)(1.0)


def test_integers_that_may_wrap_are_compared():
    """Numba has not compiled these: it does, to compare."""

    @njit
    def factor(n):
        product = 1
        for i in range(1, n):
            product = product * i
        return product

    @njit
    def hashed(x):
        h = 1469598103934665603
        for i in range(4):
            h = (h ^ i) * 1099511628211
        return x * (h % 997)

    for function in (njit(lambda x: x * factor(30)), hashed):
        with pytest.raises(TapejitError, match="Numba's own value"):
            tj.grad(function)(1.0)
    assert tj.grad(njit(lambda x: x * factor(5)))(1.0) == 24.0

    @njit
    def halves(x):
        n, y = 0, 1.0
        while y > 0.1:
            y *= 0.5
            n += 2
        return x**n * y

    assert tj.grad(halves)(1.0) == 0.5 and not halves.overloads


def test_an_index_out_of_range():
    @njit
    def beyond(x):
        return x[4]

    with pytest.raises(IndexError):
        tj.grad(beyond)(X)
