"""tj.scipy: SciPy's iterates with exact derivatives, of parameters of any nesting."""

from __future__ import annotations

import collections
import dataclasses
import inspect

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod

import tapejit as tj
from tapejit.scipy import derivatives, fitting
from tapejit.scipy.parameters import Parameters, as_arrays
from tapejit.transforms import trees

# ---------------------------------------------------------------- minimize


def chain(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


START = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
PLAIN = ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
FIRST = ("BFGS", "L-BFGS-B", "SLSQP", None)
MATRIX = ("trust-exact", "trust-constr")
PRODUCT = ("Newton-CG", "trust-ncg", "trust-krylov")


@pytest.mark.parametrize("method", [*PLAIN, *FIRST, *MATRIX, *PRODUCT])
def test_minimize_takes_the_steps_of_derivatives_by_hand(method):
    given = {} if method in PLAIN else {"jac": rosen_der}
    given |= {"hess": rosen_hess} if method in MATRIX else {}
    given |= {"hessp": rosen_hess_prod} if method in PRODUCT else {}
    options = {"maxiter": 100}
    expected = optimize.minimize(rosen, START, method=method, options=options, **given)
    found = tj.scipy.minimize(chain, START, method=method, options=options)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12, atol=1e-12)
    assert found.get("nit") == expected.get("nit")
    assert (found.nfev, found.success) == (expected.nfev, expected.success)


@pytest.mark.parametrize("method", ["BFGS", "trust-exact", "trust-ncg"])
def test_value_and_gradient_share_an_evaluation(method, monkeypatch):
    evaluations = []
    objective = derivatives.Objective.of(chain, Parameters(START))
    compiled = objective._value_and_gradient
    monkeypatch.setattr(
        objective, "_value_and_gradient", lambda x: evaluations.append(x) or compiled(x)
    )
    monkeypatch.setattr(objective, "as_written", None)  # the function itself is not run
    found = tj.scipy.minimize(chain, START, method=method)
    assert found.success
    assert len(evaluations) == found.nfev


def test_a_second_fit_compiles_nothing():
    tj.scipy.minimize(chain, START, method="trust-exact")
    kept = chain.__tapejit_scipy__
    objective = derivatives.Objective.of(chain, Parameters(START))
    recorded = tj.explain(objective._value_and_gradient).reasons
    tj.scipy.minimize(chain, START + 0.1, method="trust-exact")
    assert derivatives.Objective.of(chain, Parameters(START)) is objective
    assert tj.explain(objective._value_and_gradient).reasons == recorded
    assert chain.__tapejit_scipy__ is kept


Pair = collections.namedtuple("Pair", "low high")


@dataclasses.dataclass
class Model:
    shift: float
    weights: np.ndarray


def distance(p, target):
    leaves: list = []
    trees.flatten(p, leaves)
    return sum(np.sum((x - target) ** 2) for x in leaves)


@pytest.mark.parametrize(
    "start",
    [
        3,
        1.5,
        np.float32(1.0),
        np.array(2.0),
        np.zeros((2, 3)),
        np.arange(3),
        [0.0, 1.0],
        [[0.0, 1.0], [2.0, 3.0]],
        (0.0, np.ones(2)),
        {"a": 1.0, "b": [np.zeros(2), {"c": np.ones((2, 1))}], "name": "static", "n": None},
        Pair(0.0, np.ones(2)),
        Model(1.0, np.zeros(3, np.float32)),
    ],
)
@pytest.mark.parametrize("method", ["BFGS", "Nelder-Mead", "trust-exact"])
def test_parameters_of_any_nesting(start, method):
    options = {"maxiter": 5000, "fatol": 1e-12, "xatol": 1e-9} if method == "Nelder-Mead" else {}
    found = tj.scipy.minimize(distance, start, (2.0,), method=method, options=options)
    got: list = []
    expected: list = []
    structure = trees.flatten(as_arrays(start), expected, static_ints=False)
    assert trees.flatten(found.x, got, static_ints=False) == structure
    for x, old in zip(got, expected, strict=True):
        assert np.shape(x) == np.shape(old)
        assert np.asarray(x).dtype == np.float64
        assert (type(x) is float) == isinstance(old, float | int)
        np.testing.assert_allclose(x, 2.0, atol=1e-5)
    np.testing.assert_array_equal(found.x_flat, np.concatenate([np.ravel(x) for x in got]))


def test_tensors_in_tensors_out():
    found = tj.scipy.minimize(lambda x: ((x - 2) ** 2).sum(), tj.zeros(2, 2))
    assert isinstance(found.x, tj.Tensor)
    np.testing.assert_allclose(found.x.numpy(), 2.0)


@pytest.mark.parametrize(
    ("start", "bounds", "expected"),
    [
        (np.zeros(2), [(0, 1), (None, 3)], [1, 2]),
        (np.zeros(2), optimize.Bounds([0, 0], [1.5, 5]), [1.5, 2]),
        (0.0, (0, 1), [1]),
        (0.0, [(0, 1)], [1]),
        ({"a": np.zeros(2), "b": 0.0}, {"a": (None, [1, 5])}, [1, 2, 2]),
        ({"a": np.zeros(2), "b": 0.0}, {"a": [(0, 1), (None, 3)], "b": (None, 0.5)}, [1, 2, 0.5]),
        ({"a": np.zeros(2), "b": 0.0}, [(0, 1), (0, 5), (0, 0.5)], [1, 2, 0.5]),
        ({"a": np.zeros(2), "b": 0.0}, optimize.Bounds(-1, 1), [1, 1, 1]),
        ({"a": np.zeros(2), "b": 0.0}, {"b": optimize.Bounds(0, 1)}, [2, 2, 1]),
        ((0.0, np.zeros(2)), ((0, 1), (np.zeros(2), np.array([1, 5]))), [1, 1, 2]),
        (np.zeros((2, 2)), (-1.0, np.array([[1, 2], [3, 1]])), [1, 2, 2, 1]),
        (Pair(0.0, np.ones(2)), Pair((0, 1), None), [1, 2, 2]),
    ],
)
def test_bounds_in_every_form(start, bounds, expected):
    found = tj.scipy.minimize(distance, start, (2.0,), bounds=bounds)
    np.testing.assert_allclose(found.x_flat, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({"b": (0, 1)}, r"names no parameter: \['b'\]"),
        ({"a": (0, [1, 2, 3])}, r"bounds\['a'\] fits no parameter of shape \(2,\)"),
        ({"a": 3.0}, r"bounds\['a'\] fits no parameter"),
    ],
)
def test_bounds_that_do_not_fit(bounds, says):
    with pytest.raises(tj.errors.ShapeError, match=says):
        tj.scipy.minimize(distance, {"a": np.zeros(2)}, (2.0,), bounds=bounds)


NESTED = {"a": np.zeros(2)}


def test_what_the_user_gives_is_used():
    def f(p, k):
        return np.sum((p["a"] - k) ** 2)

    def both(p, k):
        return f(p, k), {"a": 2 * (p["a"] - k)}

    def opaque(p, k):  # cannot be recorded
        return float(np.sum((np.asarray(p["a"]).tolist()[0] - k) ** 2)) + float(p["a"][1]) ** 2

    def opaque_slope(p, k):
        return {"a": np.array([2 * (float(p["a"][0]) - k), 2 * float(p["a"][1])])}

    def run(*fun, **settings):
        return tj.scipy.minimize(fun[0], NESTED, 3.0, **settings).x["a"]

    np.testing.assert_allclose(run(both, jac=True), 3.0)
    np.testing.assert_allclose(run(both, jac=True, method="trust-exact"), 3.0)
    np.testing.assert_allclose(run(f, jac=lambda p, k: {"a": 2 * (p["a"] - k)}), 3.0)
    np.testing.assert_allclose(run(opaque, jac=opaque_slope), [3.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(run(opaque, jac="2-point"), [3.0, 0.0], atol=1e-6)
    hess = {"hess": lambda p, k: 2 * np.eye(2), "method": "trust-exact"}
    np.testing.assert_allclose(run(f, **hess), 3.0)
    hessp = {"hessp": lambda p, v, k: {"a": 2 * v["a"]}, "method": "Newton-CG"}
    np.testing.assert_allclose(run(f, **hessp), 3.0)
    with pytest.raises(tj.errors.ShapeError, match="gradient must be nested and shaped"):
        run(f, jac=lambda p, k: 2 * (p["a"] - k))


def test_a_method_of_the_users_own_is_given_everything():
    def newton(fun, x0, args, jac, hess, hessp, **settings):
        np.testing.assert_allclose(hess(x0) @ np.ones(2), hessp(x0, np.ones(2)))
        return optimize.OptimizeResult(x=x0 - np.linalg.solve(hess(x0), jac(x0)), fun=fun(x0))

    found = tj.scipy.minimize(distance, NESTED, (2.0,), method=newton)
    np.testing.assert_allclose(found.x["a"], 2.0)


def test_callbacks_see_nested_parameters():
    seen = []
    tj.scipy.minimize(distance, NESTED, (2.0,), callback=seen.append)
    tj.scipy.minimize(
        distance, NESTED, (2.0,), callback=lambda intermediate_result: seen.append(
            intermediate_result.x)
    )  # fmt: skip
    tj.scipy.minimize(
        distance, NESTED, (2.0,), method="trust-constr",
        callback=lambda x, state: seen.append(x) or state.nit > 0,
    )  # fmt: skip
    assert len(seen) >= 3
    assert all(set(x) == {"a"} and x["a"].shape == (2,) for x in seen)


def test_exceptions_and_numbers_that_are_not_finite_pass_through():
    with pytest.raises(ZeroDivisionError):
        tj.scipy.minimize(lambda x: 1 / 0, np.ones(2))
    found = tj.scipy.minimize(lambda x: np.sum(np.log(x)), -np.ones(2))
    assert np.isnan(found.fun) and not found.success
    with pytest.raises(tj.errors.DtypeError, match="must be real numbers"):
        tj.scipy.minimize(distance, np.zeros(2, complex), (2.0,))
    with pytest.raises(tj.errors.NotDifferentiable, match="scalar output"):
        tj.scipy.minimize(lambda x: x, np.zeros(2))


def test_what_a_function_reads_is_read_anew():
    target = 2.0

    def f(x):
        return np.sum((x - target) ** 2)

    first = tj.scipy.minimize(f, np.zeros(2)).x
    target = 5.0
    np.testing.assert_allclose([first, tj.scipy.minimize(f, np.zeros(2)).x], [[2, 2], [5, 5]])


# ---------------------------------------------------------------- constraints


def product(p):
    return {"first": p["a"][0] * p["a"][1], "sum": p["a"].sum()}


def product_by_hand(x):
    return np.array([x[0] * x[1], x[0] + x[1]])


LIMITS = [-np.inf, -5.0], [1.0, 5.0]


@pytest.mark.parametrize("method", ["trust-constr", "SLSQP", None, "COBYQA"])
def test_nonlinear_constraints_take_the_steps_of_derivatives_by_hand(method):
    by_hand = {"jac": lambda x: np.array([[x[1], x[0]], [1.0, 1.0]])}
    given = {}
    if method in (None, "SLSQP", "trust-constr"):
        given["jac"] = lambda x: 2 * (x - 2)
    if method == "trust-constr":
        given["hess"] = lambda x: 2 * np.eye(2)
        by_hand["hess"] = lambda x, v: v[0] * np.array([[0.0, 1.0], [1.0, 0.0]])
    expected = optimize.minimize(
        lambda x: np.sum((x - 2) ** 2), np.array([0.5, 0.2]), method=method, **given,
        constraints=optimize.NonlinearConstraint(product_by_hand, *LIMITS, **by_hand),
    )  # fmt: skip
    found = tj.scipy.minimize(
        distance, {"a": np.array([0.5, 0.2])}, (2.0,), method=method,
        constraints=tj.scipy.NonlinearConstraint(product, *LIMITS),
    )  # fmt: skip
    np.testing.assert_allclose(found.x["a"], expected.x, rtol=1e-10)
    assert found.nfev == expected.nfev


def test_sparse_constraints():
    limits = tj.scipy.NonlinearConstraint(product, *LIMITS, jac="sparse", hess="sparse")
    start = {"a": np.array([0.5, 0.2])}
    found = tj.scipy.minimize(distance, start, (2.0,), method="trust-constr", constraints=limits)
    np.testing.assert_allclose(found.x["a"], 1.0, atol=1e-3)


def test_constraints_of_scipy_and_dicts():
    def at_least(p, low):
        return p["a"] - low

    dicts = ({"type": "ineq", "fun": at_least, "args": (3.0,)},)
    linear = optimize.LinearConstraint([[1, 1]], 6.5, 7.0)
    theirs = optimize.NonlinearConstraint(lambda p: p["a"] ** 2, 9.0, np.inf)
    for constraints, expected in ((dicts, 3.0), (linear, 3.25), ([linear, theirs], 3.25)):
        start = {"a": np.full(2, 4.0)}
        found = tj.scipy.minimize(distance, start, (2.0,), method="SLSQP", constraints=constraints)
        np.testing.assert_allclose(found.x["a"], expected, atol=1e-6)


def test_scipy_itself_takes_our_constraint():
    limit = tj.scipy.NonlinearConstraint(lambda x: x**2, -1.0, 1.0)
    found = optimize.minimize(
        lambda x: np.sum((x - 2) ** 2), np.zeros(2), jac=lambda x: 2 * (x - 2),
        method="trust-constr", constraints=limit,
    )  # fmt: skip
    np.testing.assert_allclose(found.x, 1.0, atol=1e-3)


def test_sparse_hessians():
    start = np.linspace(0.5, 1.5, 40)
    dense, sparse = (
        tj.scipy.minimize(chain, start, method="trust-constr", hess=how) for how in (None, "sparse")
    )
    np.testing.assert_allclose(sparse.x, dense.x, atol=1e-6)
    large = np.linspace(0.9, 1.1, 150)  # products instead of a matrix
    found = tj.scipy.minimize(chain, large, method="trust-constr", options={"maxiter": 60})
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)


# ---------------------------------------------------------------- least_squares, curve_fit

T = np.linspace(0.0, 1.0, 60)
Y = 2.0 * np.exp(-3.0 * T) + 0.1 + 0.02 * np.random.default_rng(0).normal(size=60)


def residuals(p, t, y):
    return p[0] * np.exp(-p[1] * t) + p[2] - y


def slopes(p, t, y):
    e = np.exp(-p[1] * t)
    return np.stack([e, -p[0] * t * e, np.ones_like(t)], 1)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("trf", {}),
        ("trf", {"loss": "soft_l1", "f_scale": 0.1}),
        ("dogbox", {"loss": "cauchy", "x_scale": [1.0, 2.0, 0.5]}),
        ("dogbox", {"bounds": ([0, 0, -1], [1.9, 5, 5])}),
        ("lm", {}),
    ],
)
def test_least_squares_takes_the_steps_of_a_jacobian_by_hand(method, settings):
    start, data = [1.0, 1.0, 0.0], (T, Y)
    expected = optimize.least_squares(
        residuals, start, slopes, method=method, args=data, **settings
    )
    found = tj.scipy.least_squares(residuals, start, method=method, args=data, **settings)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12)
    np.testing.assert_allclose(found.jac, expected.jac, rtol=1e-10, atol=1e-12)
    assert (found.nfev, found.njev) == (expected.nfev, expected.njev)


def test_nested_least_squares():
    seen = []
    found = tj.scipy.least_squares(
        lambda p, *, y: (p["s"][0] * np.exp(-p["s"][1] * T) - y, 0.1 * p["o"]),
        {"s": np.ones(2), "o": 1.0},
        bounds=({"s": 0, "o": None}, np.inf),
        x_scale={"s": np.ones(2), "o": 2.0},
        kwargs={"y": Y},
    )
    assert found.x["o"] == pytest.approx(0.0, abs=1e-6)
    assert found.fun.shape == (61,) and found.jac.shape == (61, 3)
    same = tj.scipy.least_squares(
        lambda p: p["s"][0] * np.exp(-p["s"][1] * T) - Y, {"s": np.ones(2)},
        bounds={"s": (0, [9, 2])}, jac=lambda p: slopes((*p["s"], 0.0), T, Y)[:, :2],
    )  # fmt: skip
    assert same.x["s"][1] == pytest.approx(2.0)
    if "callback" in inspect.signature(optimize.least_squares).parameters:
        tj.scipy.least_squares(lambda p: p["a"] - 1, NESTED, callback=seen.append)
        assert seen and set(seen[0]) == {"a"}


def links(x):
    return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


@pytest.mark.parametrize(
    "settings",
    [
        {"tr_solver": "lsmr"},
        {"tr_solver": "lsmr", "method": "dogbox"},
        {"jac": "sparse"},
        {"jac": "2-point", "jac_sparsity": True},
    ],
)
def test_sparse_least_squares(settings):
    found = tj.scipy.least_squares(links, np.linspace(0.5, 1.5, 80), **settings)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-6)
    assert sparse.issparse(found.jac)
    dense = tj.jacobian(links)(found.x)
    np.testing.assert_allclose(found.jac.toarray(), dense, atol=1e-4)


def decay(x, a, b, c):
    return a * np.exp(-b * x) + c


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"p0": [1, 1, 1], "bounds": (0, [3, 4, 5])},
        {"p0": [1.0, 1.0, 0.0], "sigma": np.linspace(0.1, 0.2, 60), "absolute_sigma": True},
    ],
)
def test_curve_fit_takes_the_steps_of_a_jacobian_by_hand(settings):
    def by_hand(x, a, b, c):
        return slopes((a, b, c), x, Y)

    expected = optimize.curve_fit(decay, T, Y, jac=by_hand, full_output=True, **settings)
    found = tj.scipy.curve_fit(decay, T, Y, full_output=True, **settings)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)
    assert found[2]["nfev"] == expected[2]["nfev"]


def test_curve_fit_of_nested_parameters():
    def model(x, w, c):
        return w[0] * np.exp(-w[1] * x) + c

    plain, _ = tj.scipy.curve_fit(decay, T, Y)
    (w, c), _ = tj.scipy.curve_fit(model, T, Y, p0=(np.ones(2), 0.0))
    np.testing.assert_allclose([*w, c], plain, rtol=1e-6)
    named, covariance = tj.scipy.curve_fit(model, T, Y, p0={"c": 0.0, "w": np.ones(2)})
    np.testing.assert_allclose([*named["w"], named["c"]], plain, rtol=1e-6)
    assert covariance.shape == (3, 3)
    only, _ = tj.scipy.curve_fit(lambda x, a: a * x, T, 2 * T, p0=1.0)
    np.testing.assert_allclose(only, [2.0])
    with pytest.raises(ValueError, match="cannot count the parameters"):
        tj.scipy.curve_fit(lambda x, *p: p[0] * x, T, Y)


# ---------------------------------------------------------------- roots


def system(x, k):
    return [x[0] * x[1] - k, x[0] - x[1] ** 2]


@pytest.mark.parametrize("method", ["hybr", "lm", "krylov", "df-sane"])
def test_root_takes_the_steps_of_a_jacobian_by_hand(method):
    def by_hand(x, k):
        return np.array([[x[1], x[0]], [1.0, -2 * x[1]]])

    given = {"jac": by_hand} if method in ("hybr", "lm") else {}
    expected = optimize.root(system, [1.5, 1.0], args=2.0, method=method, **given)
    found = tj.scipy.root(system, [1.5, 1.0], args=2.0, method=method)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-12)
    assert found.nfev == expected.nfev
    same = tj.scipy.root(lambda x, k: (system(x, k), by_hand(x, k)), [1.5, 1.0], 2.0, jac=True)
    np.testing.assert_allclose(same.x, found.x, rtol=1e-6)


def test_root_scalar_by_newton_and_halley():
    def f(x, k):
        return np.cos(x) * k - x

    for settings in ({"x0": 1.0}, {"x0": 1, "method": "halley"}):
        given = {"fprime": lambda x, k: -np.sin(x) * k - 1}
        given |= {"fprime2": lambda x, k: -np.cos(x) * k} if "method" in settings else {}
        expected = optimize.root_scalar(f, args=(0.9,), **settings, **given)
        found = tj.scipy.root_scalar(f, args=(0.9,), **settings)
        assert found.root == pytest.approx(expected.root, rel=1e-14)
        assert found.iterations == expected.iterations
    for settings in ({"bracket": (0, 2)}, {"x0": 1.0, "x1": 0.5}):
        assert tj.scipy.root_scalar(f, args=(0.9,), **settings).root == pytest.approx(found.root)


# ---------------------------------------------------------------- derivatives of fits


@pytest.mark.parametrize("loss", ["linear", "soft_l1", "huber", "cauchy", "arctan"])
def test_a_fit_by_its_data(loss):
    tight = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14, "loss": loss, "f_scale": 0.1}
    weights = np.linspace(0.5, 1.5, 60)

    def model(p, y):
        return weights * (p["a"] * np.exp(-p["b"] * T) - y)

    def cost(p, y):
        z = (model({"a": p[0], "b": p[1]}, y) / 0.1) ** 2
        return 0.005 * np.sum(fitting.LOSSES[loss](z))

    def fitted(s):
        y = (Y - 0.1) * (1 + s * T)
        found = tj.scipy.least_squares(model, {"a": 2.0, "b": 3.0}, args=(y,), **tight)
        return found.x["a"] * found.x["b"] + found.cost

    def by_newton(s):
        y, p = (Y - 0.1) * (1 + s * T), np.array([2.0, 3.0])
        for _ in range(12):
            p = p - np.linalg.solve(tj.hessian(cost)(p, y), tj.grad(cost)(p, y))
        return p[0] * p[1] + cost(p, y)

    h = 1e-4
    expected = (by_newton(h) - by_newton(-h)) / (2 * h)
    assert tj.grad(fitted)(0.0) == pytest.approx(expected, rel=1e-6)


def test_curve_fit_by_its_data_to_second_order():
    tight = {"xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14, "sigma": np.full(60, 0.1)}

    def fitted(s):
        popt, pcov = tj.scipy.curve_fit(decay, T, Y + s * T**2, p0=[2.0, 3.0, 0.1], **tight)
        return popt[0] + 2 * popt[1] + 1e3 * pcov[0, 1]

    slope, h = tj.grad(fitted), 1e-3
    assert slope(0.0) == pytest.approx((fitted(h) - fitted(-h)) / (2 * h), rel=1e-5)
    assert tj.grad(slope)(0.0) == pytest.approx((slope(h) - slope(-h)) / (2 * h), rel=1e-5)


def test_parameters_of_a_fit_at_a_bound_stay_there():
    def fitted(s):
        found = tj.scipy.least_squares(
            lambda x: x - s * np.ones(2), np.zeros(2), bounds=(-1, [0.5, 9.0])
        )
        return found.x

    np.testing.assert_allclose(tj.jacobian(fitted)(2.0), [0.0, 1.0], atol=1e-12)


def test_a_history_is_not_lost_without_a_word():
    w = tj.tensor(2.0, requires_grad=True, dtype=tj.float64)
    solves = (
        lambda: tj.scipy.root(lambda x: x**2 - w, np.ones(1)),
        lambda: tj.scipy.minimize(lambda x: ((x - w) ** 2).sum(), np.ones(1)),
        lambda: tj.scipy.minimize(lambda x: ((x - w) ** 2).sum(), np.ones(1), method="COBYLA"),
        lambda: tj.scipy.minimize(lambda x: ((x - w) ** 2).sum(), np.ones(1), method="Newton-CG"),
        lambda: tj.scipy.least_squares(lambda x: x - w, np.ones(1)),
        lambda: tj.scipy.fixed_point(lambda x: x * 0.5 + w, np.ones(1)),
    )
    for solve in solves:
        with pytest.raises(tj.errors.NotDifferentiable, match="requires grad is read"):
            solve()
        with tj.no_grad():
            solve()
