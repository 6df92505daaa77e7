"""Function transforms: values against closed forms, finite differences and each other."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple

import numpy as np
import pytest

import tapejit as tj
from tapejit import errors
from tapejit.transforms import jacobian_rows, trees


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def differences(f, x, step=1e-6):
    """The gradient of f at x by central differences."""
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = step
        result[i] = (f(x + d) - f(x - d)) / (2 * step)
    return result


# ---------------------------------------------------------------- value_and_grad, grad


def test_value_and_gradient_of_numpy_code_on_every_call():
    call = tj.value_and_grad(rosenbrock)
    for seed in range(4):
        x = np.random.default_rng(seed).standard_normal(10)
        value, gradient = call(x)
        assert value == pytest.approx(rosenbrock(x), rel=1e-13)
        np.testing.assert_allclose(gradient, differences(rosenbrock, x), rtol=1e-6, atol=1e-5)


def test_python_numbers_in_python_numbers_out():
    value, slope = tj.value_and_grad(lambda x: x**3)(2.0)
    assert type(value) is float and type(slope) is float
    assert (value, slope) == (8.0, 12.0)


def test_numpy_in_numpy_out_in_the_same_dtype():
    for dtype in (np.float32, np.float64):
        gradient = tj.grad(lambda x: np.sum(np.sin(x) * 2.0))(np.ones(3, dtype))
        assert type(gradient) is np.ndarray and gradient.dtype == dtype
        scalar = tj.grad(lambda x: x * x)(dtype(3))
        assert type(scalar) is dtype and scalar == 6


def test_tensors_in_tensors_out():
    value, gradient = tj.value_and_grad(lambda t: (t * t).sum())(tj.tensor([1.0, 2.0]))
    assert isinstance(value, tj.Tensor) and isinstance(gradient, tj.Tensor)
    assert gradient.tolist() == [2.0, 4.0] and gradient.dtype is tj.float32


def test_argnums_has_aux_and_keywords():
    def f(x, y, *, scale=1.0):
        return scale * np.sum(x * y), {"sum": x + y, "name": "f"}

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    (value, extras), (gx, gy) = tj.value_and_grad(f, argnums=(0, 1), has_aux=True)(x, y, scale=2.0)
    assert value == 22.0 and extras["name"] == "f"
    np.testing.assert_array_equal(extras["sum"], x + y)
    np.testing.assert_array_equal(gx, 2 * y)
    np.testing.assert_array_equal(gy, 2 * x)
    gradient, _ = tj.grad(f, argnums=-1, has_aux=True)(x, y)
    np.testing.assert_array_equal(gradient, x)


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class Model:
    w: Any
    b: Any
    name: str = "model"


class Kind(enum.Enum):
    SQUARE = 1
    CUBE = 2


def test_nested_arguments():
    def f(p):
        return np.sum(p["w"][0] * p["w"][1]) + p["m"].b * np.sum(p["m"].w) + p["pair"].a

    p = {"w": [np.ones(2), np.full(2, 3.0)], "m": Model(np.ones(3), 2.0), "pair": Pair(1.0, 2.0)}
    g = tj.grad(f)(p)
    np.testing.assert_array_equal(g["w"][0], [3.0, 3.0])
    np.testing.assert_array_equal(g["m"].w, [2.0, 2.0, 2.0])
    assert g["m"].b == 3.0 and g["m"].name == "model"
    assert g["pair"] == Pair(1.0, 0.0)


def test_static_arguments_select_a_path_each():
    def f(x, n, kind, flag=True, label=None):
        y = x
        for _ in range(n):
            y = y * x
        return y if kind is Kind.SQUARE and flag and label != "minus" else -y

    g = tj.grad(f)
    assert g(2.0, 1, Kind.SQUARE) == 4.0
    assert g(2.0, 2, Kind.SQUARE) == 12.0
    assert g(2.0, 2, Kind.CUBE) == -12.0
    assert g(2.0, 2, Kind.SQUARE, label="minus") == -12.0
    assert g(2.0, 2, Kind.SQUARE, flag=False) == -12.0
    assert g(2.0, 1, Kind.SQUARE) == 4.0


def test_decorators():
    @tj.grad
    def f(x):
        return x * x

    @tj.value_and_grad(argnums=1)
    def g(x, y):
        return x * y

    @tj.jit
    def h(x):
        "doc"
        return np.sin(x)

    assert f(3.0) == 6.0 and g(2.0, 5.0) == (10.0, 2.0)
    assert h(0.0) == 0.0 and h.__name__ == "h" and h.__doc__ == "doc"


# ---------------------------------------------------------------- composition


def test_any_nesting_agrees_with_closed_forms():
    cube = tj.grad(tj.grad(tj.grad(lambda x: x**5)))
    assert cube(2.0) == pytest.approx(60 * 4.0)
    assert tj.grad(lambda x: tj.jvp(lambda z: z**3, (x,), (x,))[1])(2.0) == pytest.approx(36.0)
    assert tj.grad(lambda x: tj.vjp(lambda z: z**3, x)[1](1.0)[0])(2.0) == pytest.approx(12.0)
    assert tj.grad(lambda x: tj.hvp(lambda z: z**4, (x,), (1.0,)))(2.0) == pytest.approx(48.0)
    assert tj.jit(tj.grad(tj.jit(lambda x: np.exp(2 * x))))(0.0) == pytest.approx(2.0)
    jacobian = tj.jit(tj.jacobian(tj.grad(lambda x: np.sum(x**3))))(np.array([1.0, 2.0]))
    np.testing.assert_allclose(jacobian, np.diag([6.0, 12.0]))
    inner = tj.value_and_grad(lambda x: np.sum(tj.value_and_grad(lambda z: z**2)(x[0])[1] * x))
    np.testing.assert_allclose(inner(np.array([3.0, 4.0]))[1], [2 * 7 + 2 * 3, 6.0])


def test_hessian_and_hvp_agree():
    x = np.random.default_rng(0).standard_normal(6)
    v = np.random.default_rng(1).standard_normal(6)
    hessian = tj.hessian(rosenbrock)(x)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-9)
    np.testing.assert_allclose(tj.hvp(rosenbrock, (x,), (v,)), hessian @ v, rtol=1e-9)
    columns = differences(lambda p: tj.grad(rosenbrock)(p)[2], x)
    np.testing.assert_allclose(hessian[2], columns, rtol=1e-5, atol=1e-4)


def test_jacobian_nests_outputs_and_inputs():
    def f(p, scale):
        return {"a": p["x"] * scale, "b": np.sum(p["x"]) * p["y"]}

    p = {"x": np.array([1.0, 2.0]), "y": 3.0}
    j = tj.jacobian(f)(p, 2.0)
    np.testing.assert_array_equal(j["a"]["x"], 2 * np.eye(2))
    np.testing.assert_array_equal(j["a"]["y"], np.zeros(2))
    np.testing.assert_array_equal(j["b"]["x"], [3.0, 3.0])
    assert j["b"]["y"] == 3.0


def test_vjp_and_jvp_are_transposes():
    def f(x, w):
        return np.tanh(x @ w), np.sum(x * x, axis=0)

    generator = np.random.default_rng(0)
    x, w = generator.standard_normal((3, 4)), generator.standard_normal((4, 2))
    tx, tw = generator.standard_normal(x.shape), generator.standard_normal(w.shape)
    value, tangent = tj.jvp(f, (x, w), (tx, tw))
    cotangent = tuple(generator.standard_normal(v.shape) for v in value)
    out, pullback = tj.vjp(f, x, w)
    np.testing.assert_allclose(out[0], value[0], rtol=1e-12)
    gx, gw = pullback(cotangent)
    left = sum(np.sum(c * t) for c, t in zip(cotangent, tangent, strict=True))
    assert left == pytest.approx(np.sum(gx * tx) + np.sum(gw * tw), rel=1e-10)
    again = pullback(cotangent)
    np.testing.assert_array_equal(again[0], gx)


def test_check_grads_finds_what_is_wrong_and_passes_what_is_right():
    tj.check_grads(lambda x: np.sum(np.exp(np.sin(x))), (np.linspace(-1, 1, 5),), order=3)

    def lies(x):
        return np.sum(x**2) + float(np.sum(x.detach() if isinstance(x, tj.Tensor) else x) * 1e-3)

    with pytest.raises(AssertionError, match="differs from central differences"):
        tj.check_grads(lies, (np.ones(3),), order=1)


# ---------------------------------------------------------------- Python control flow


def test_branches_loops_and_reads_are_recorded_once_each():
    def f(x):
        if x > 1.0:
            return np.sin(x)
        while x < 1.0:
            x = x * 2.0
        return x * int(x.item() * 0 + 3)

    call = tj.value_and_grad(f)
    for x, slope in (
        (2.0, np.cos(2.0)),
        (0.3, 4 * 3.0),
        (0.6, 2 * 3.0),
        (0.31, 12.0),
        (3.0, np.cos(3.0)),
    ):
        value, got = call(x)
        assert value == pytest.approx(float(np.asarray(f(np.float64(x)))))
        assert got == pytest.approx(slope)
    (transform,) = call.transforms.values()
    assert transform.paths.recorded <= 4  # sin, two and one doublings; each recorded once


def test_masks_and_data_dependent_places():
    def f(x):
        return np.sum(x[x > 0] ** 2) + np.sort(x)[0] + x[int(np.argmax(x))]

    call = tj.value_and_grad(f)
    for seed in range(6):
        x = np.random.default_rng(seed).standard_normal(5)
        value, gradient = call(x)
        assert value == pytest.approx(np.sum(x[x > 0] ** 2) + x.min() + x.max())
        np.testing.assert_allclose(gradient, differences(f, x), rtol=1e-5, atol=1e-6)


def test_new_sizes_compile_no_kernel():
    from tapejit.runtime.compiled import statistics

    call = tj.value_and_grad(lambda x, w: np.sum(np.tanh(x * w) ** 2))
    call(np.ones(100), np.ones(100))
    before = statistics.kernels_compiled
    for n in (101, 5000, 17):
        value, (gradient) = call(np.ones(n), np.ones(n))
        assert value == pytest.approx(n * np.tanh(1) ** 2) and gradient.shape == (n,)
    assert statistics.kernels_compiled == before


# ---------------------------------------------------------------- NumPy code


NUMPY_FUNCTIONS = [
    lambda x: np.sum(np.logaddexp(x, x[::-1].copy() if isinstance(x, np.ndarray) else np.flip(x))),
    lambda x: np.sum(np.sort(x) * np.arange(len(x))),
    lambda x: np.dot(x, x) + x @ x,
    lambda x: np.max(x) - np.min(x) + np.mean(x) + np.std(x) + np.var(x),
    lambda x: np.sum(np.where(x > 0, np.sqrt(np.abs(x)), x**2)),
    lambda x: np.linalg.norm(x) * np.prod(x),
    lambda x: np.sum(np.outer(x, x) ** 2) + np.sum(np.cumsum(x)),
    lambda x: np.sum(np.concatenate([x, 2 * x])[2:5]) + np.sum(np.stack([x, x]) ** 2),
    lambda x: np.sum(np.clip(x, -0.5, 0.5)) + np.sum(np.maximum(x, 0.1) * np.minimum(x, 0.3)),
    lambda x: np.sum(np.reshape(x, (2, 3)).T @ np.reshape(x, (2, 3))),
    lambda x: np.sum(np.exp(-np.square(x)) / (1 + np.log1p(x**2)) + np.arctan2(x, 2.0)),
    lambda x: np.einsum("i,j->", x, x),
]


@pytest.mark.parametrize("number", range(len(NUMPY_FUNCTIONS)))
def test_ordinary_numpy_code(number):
    f = NUMPY_FUNCTIONS[number]
    x = np.array([0.7, -1.3, 0.4, 2.1, -0.6, 0.25])
    value, gradient = tj.value_and_grad(f)(x)
    assert value == pytest.approx(float(f(x)), rel=1e-12)
    np.testing.assert_allclose(gradient, differences(f, x), rtol=1e-5, atol=1e-6)


def test_functions_accept_arrays_too():
    x = np.array([0.1, 0.2])
    np.testing.assert_array_equal(tj.sin(x), np.sin(x))
    assert type(tj.exp(x)) is np.ndarray and tj.sum(x) == pytest.approx(0.3)
    assert tj.tanh(0.5) == pytest.approx(np.tanh(0.5))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tj.grad(lambda x: x)(3), errors.NotDifferentiable, "floating point"),
        (lambda: tj.grad(lambda x: x)(np.arange(3)), errors.NotDifferentiable, "floating point"),
        (lambda: tj.grad(lambda x: x)(np.ones(3)), errors.NotDifferentiable, "scalar"),
        (lambda: tj.grad(lambda x: (x, x))(1.0), errors.NotDifferentiable, "one number"),
        (lambda: tj.grad(lambda x: x, argnums=2)(1.0), errors.ShapeError, "argnums 2"),
        (lambda: tj.jvp(np.sin, (np.ones(2),), (np.ones(3),)), errors.ShapeError, "tangents"),
        (lambda: tj.vjp(np.sin, np.ones(2))[1](np.ones(3)), errors.ShapeError, "cotangent"),
        (lambda: tj.jit(lambda x: x)(object()), errors.TraceError, "argument"),
        (lambda: tj.jit(lambda x: object())(1.0), errors.TraceError, "result"),
        (lambda: tj.jit(np.sum)(np.ma.masked_array([1.0], [True])), errors.DtypeError, "masked"),
        (lambda: tj.jit(np.sum)(np.array([None])), errors.DtypeError, "object"),
        (lambda: tj.jit(np.sum)(np.array(["a"])), errors.DtypeError, "<U1"),
        (lambda: tj.jit(lambda x: x @ x)(np.ones((2, 3))), errors.ShapeError, "mat1 and mat2"),
        (lambda: tj.jit(lambda x: np.histogram(x))(np.ones(3)), errors.TraceError, "no rule"),
        (lambda: tj.check_grads(np.sin, (np.ones(2, "f4"),)), errors.NotDifferentiable, "float64"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_at_the_call(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_layouts_and_edges_of_arrays():
    f = tj.value_and_grad(lambda x: np.sum(np.sin(x) * x))
    base = np.random.default_rng(0).standard_normal((6, 8))
    readonly = base.copy()
    readonly.flags.writeable = False
    for x in (
        base.T,
        base[::2, ::3],
        base[::-1],
        readonly,
        base.astype(">f8"),
        base[:0],
        base[1, 2],
    ):
        value, gradient = f(x)
        assert value == pytest.approx(np.sum(np.sin(x) * x), rel=1e-12)
        np.testing.assert_allclose(gradient, np.cos(x) * x + np.sin(x), rtol=1e-12)
        assert np.shape(gradient) == np.shape(x)
    bad = np.array([np.nan, np.inf, 1.0])
    value, gradient = tj.value_and_grad(lambda x: np.sum(x * x))(bad)
    assert np.isnan(value) and np.isnan(gradient[0]) and gradient[2] == 2.0


def test_the_branch_not_taken_leaks_no_nan():
    x = np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(
        tj.grad(lambda x: np.sum(np.where(x > 0, np.log(x), 0.0)))(x), [0.0, 1.0, 0.5]
    )
    np.testing.assert_allclose(
        tj.grad(lambda x: np.sum(np.where(x > 0, np.sqrt(x) ** 3, 0.0)))(x), 1.5 * np.sqrt(x)
    )


def test_explain_names_paths_guards_and_reasons():
    scale = 2.0

    def f(x, n=1):
        return np.sum(x) * scale if np.sum(x) > 0 else np.sum(x * x) * n

    g = tj.value_and_grad(f)
    g(np.ones(3))
    g(-np.ones(3))
    scale = 3.0
    g(np.ones(3))
    g(np.ones((2, 2)), n=2)
    g(np.ones((2, 2)), n=3)
    explanation = tj.explain(g)
    line = f.__code__.co_firstlineno + 1
    first, branch, closure, shape, keyword = explanation.reasons
    assert first == "first call"
    assert branch == (
        "return np.sum(x) * scale if np.sum(x) > 0 else np.sum(x * x) * n at "
        f"{__file__}:{line} read False, known True"
    )
    assert closure == "closure variable 'scale' of f: 2.0 -> 3.0"
    assert shape == "argument 0: shape (3,) -> (2, 2); argument 'n': is new"
    assert keyword == "argument 'n': 2 -> 3"
    assert explanation.recorded == len(explanation.paths) == 5
    path = explanation.paths[0]
    assert path.signature == "float64[3]" and path.how == "compiled"
    assert path.calls == "through Python, too few so far"
    assert path.kernels and path.library_calls == 0
    assert all(f"      {kernel}" in repr(explanation).splitlines() for kernel in path.kernels)
    assert path.reads[0].startswith("True: return np.sum(x)")
    assert "closure variable 'scale' of f" in path.guards
    text = repr(explanation)
    assert text.splitlines()[0].endswith(": 5 paths, recorded 5 times")
    assert "  signature (float64[2, 2], n=2)" in text.splitlines()
    assert f"  recorded because: {closure}" in text.splitlines()
    with pytest.raises(errors.TraceError, match="no transformed function"):
        tj.explain(np.sin)


@pytest.mark.parametrize(
    ("change", "why"),
    {
        "dtype": ((np.ones(3, np.float32), 1, None), "argument 0: dtype float64 -> float32"),
        "number": ((np.ones(3), 2, None), "argument 1: 1 -> 2"),
        "type": ((np.ones(3), True, None), "argument 1: 1 -> True"),
        "a new argument": ((np.ones(3), 1), "argument 2: is gone"),
        "class": ((1.0, 1, None), "argument 0: ndarray -> float"),
        "container": ((np.ones(3), 1, {"a": 2.0}), "argument 2: None -> dict; "),
    }.values(),
    ids=["dtype", "number", "type", "gone", "class", "container"],
)
def test_a_new_signature_is_told_by_what_differs(change, why):
    g = tj.jit(lambda x, n=1, y=None: np.sum(x) * n)
    g(np.ones(3), 1, None)
    g(np.ones((4, 4)), 5, "far from all the others")
    g(*change)
    assert tj.explain(g).reasons[-1].startswith(why)


def test_after_many_paths_a_function_runs_eagerly_and_says_where():
    def f(x):
        return x * x.item()

    g = tj.jit(f)
    with pytest.warns(RuntimeWarning) as caught:
        for i in range(300):
            assert g(float(i)) == float(i) ** 2
    (message,) = [str(w.message) for w in caught]
    line = f.__code__.co_firstlineno + 1
    assert message.startswith(
        "tapejit: test_after_many_paths_a_function_runs_eagerly_and_says_where.<locals>.f runs "
        "eagerly, recorded at every call: it took 64 paths; return x * x.item() at "
        f"{__file__}:{line} read 64.0, known "
    )
    assert tj.explain(g).runs_eagerly
    paths = g.transform.paths
    assert sum(map(len, paths.by_signature.values())) <= 64 and len(paths.made) == 1


def test_what_cannot_be_kept_is_looked_at_again_now_and_then():
    draw = np.random.default_rng(0).random
    helper = draw

    def f(x):
        return x * helper()

    g = tj.jit(f)
    with pytest.warns(RuntimeWarning, match="reads random numbers"):
        assert len({g(1.0) for _ in range(20)}) == 20

    helper = float  # 0.0, every time
    for _ in range(40):
        assert g(1.0) == 0.0
    before = g.transform.paths.recorded
    assert g(1.0) == 0.0 and g.transform.paths.recorded == before


def test_a_changed_number_derives_and_compiles_nothing(monkeypatch):
    from tapejit.transforms import paths

    compiled = []
    plain = paths.compile_program
    monkeypatch.setattr(paths, "compile_program", lambda p: compiled.append(p) or plain(p))
    k = 2.5

    g = tj.grad(lambda x: np.sum(np.sin(x) * k))
    for k in (2.5, 3.5, -1.25, 7.0):
        np.testing.assert_allclose(g(np.zeros(3)), np.full(3, k))
    assert len(compiled) == 1


def mixed(p, x):
    return {"a": np.outer(p["w"], x[:2]) * p["b"], "n": 3, "c": p["b"] ** 2}, np.sum(x)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_jacobians_by_rows_and_by_columns_agree(n, monkeypatch):
    """Both ways of `jacobian_rows`, and one pullback after the other."""
    p, x = {"w": np.arange(1.0, n + 1), "b": 2.0}, np.linspace(0, 1, 4)
    whole = tj.jacobian(mixed, argnums=(0, 1))(p, x)
    monkeypatch.setattr(jacobian_rows, "LARGEST", 0)
    rows = tj.jacobian(mixed, argnums=(0, 1))(p, x)
    flat = [[], []]
    for tree, leaves in zip((whole, rows), flat, strict=True):
        trees.flatten(tree, leaves)
    assert len(flat[0]) == len(flat[1]) == 9
    for one, other in zip(*flat, strict=True):
        assert np.shape(one) == np.shape(other) and type(one) is type(other)
        np.testing.assert_allclose(one, other, 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m, n", [(3, 5), (5, 3)])
def test_jacobians_have_the_arguments_dtype(dtype, m, n):
    a = np.linspace(0, 1, m * n).reshape(m, n)
    x = np.linspace(-1, 1, n).astype(dtype)
    found = tj.jacobian(lambda x: np.tanh(a @ x))(x)
    assert found.dtype == dtype and found.shape == (m, n)
    np.testing.assert_allclose(found, (1 - np.tanh(a @ x) ** 2)[:, None] * a, 1e-6)


def both_with_extras(p, x):
    y = np.tanh(np.outer(x, p)) * x[0]
    return {"y": y, "n": 2, "s": np.sum(p)}, (np.max(y), "text", {"x": x * 2})


@pytest.mark.parametrize("name", ["jacobian", "jacfwd", "jacrev"])
@pytest.mark.parametrize("largest", [None, 0])
def test_forward_and_reverse_jacobians_with_extras(name, largest, monkeypatch):
    """All at once, or one row after the other; outermost, and below another transform."""
    if largest is not None:
        monkeypatch.setattr(jacobian_rows, "LARGEST", largest)
    transform = getattr(tj, name)
    p, x = np.array([0.5, -1.0]), np.array([1.0, 2.0, -0.5])
    plain = tj.jacobian(lambda *args: both_with_extras(*args)[0], argnums=(0, 1))(p, x)
    slopes = transform(both_with_extras, (0, 1), has_aux=True)
    inside = tj.jit(lambda p, x: slopes(p, x))
    for f in (slopes, slopes, slopes, inside, inside):
        found, (largest_y, text, rest) = f(p, x)
        np.testing.assert_allclose(found["y"][0], plain["y"][0], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found["y"][1], plain["y"][1], rtol=1e-12, atol=1e-15)
        assert found["y"][0].shape == (3, 2, 2) and found["y"][1].shape == (3, 2, 3)
        np.testing.assert_array_equal(found["s"][0], np.ones(2))
        np.testing.assert_array_equal(found["s"][1], np.zeros(3))
        assert text == "text" and largest_y == both_with_extras(p, x)[1][0]
        np.testing.assert_array_equal(rest["x"], 2 * x)
    h, (value,) = tj.hessian(lambda x: (np.sum(x**3), (x[0],)), has_aux=True)(x)
    np.testing.assert_allclose(h, np.diag(6 * x))
    assert value == x[0]


def test_forward_and_reverse_jacobians_are_the_same_numbers():
    p, x = np.array([0.5, -1.0]), np.array([1.0, 2.0, -0.5])
    f = lambda p, x: np.sin(np.outer(p, x)) @ x  # noqa: E731
    for nested in (lambda t, s: t(s(f)), lambda t, s: t(s(f, 1), 0)):
        want = nested(tj.jacobian, tj.jacobian)(p, x)
        for t in (tj.jacfwd, tj.jacrev):
            for s in (tj.jacfwd, tj.jacrev):
                np.testing.assert_allclose(nested(t, s)(p, x), want, rtol=1e-11, atol=1e-13)
    assert tj.jacfwd(lambda t: t * t)(3.0) == tj.jacrev(argnums=0)(lambda t: t * t)(3.0) == 6.0
    rows = tj.vmap(tj.jacfwd(lambda x: x[:2] * x[1]))(np.stack([x, 2 * x]))
    np.testing.assert_allclose(rows[1], tj.jacobian(lambda x: x[:2] * x[1])(2 * x))


def test_extras_that_are_not_there():
    for f in (tj.jacobian, tj.jacfwd, tj.jacrev):
        with pytest.raises(errors.ArgumentError, match="must return a tuple"):
            f(lambda x: x * 2, has_aux=True)(np.ones(2))
    with pytest.raises(errors.ArgumentError, match="there are no extras"):
        tj.jacobian(lambda x: x * 2, sparse=True, has_aux=True)


def test_jacobian_out_and_empty():
    out = np.zeros((2, 3))
    f = tj.jacobian(lambda x: x[1:] * x[0])
    assert f(np.array([1.0, 2.0, 3.0]), out=out) is out
    assert out.tolist() == [[2, 1, 0], [3, 0, 1]]
    assert tj.jacobian(lambda x: x * 2)(np.zeros(0)).shape == (0, 0)
    assert tj.jacobian(lambda x: x[:0])(np.ones(3)).shape == (0, 3)
    assert tj.jacobian(lambda x: x)(2.0) == 1.0
