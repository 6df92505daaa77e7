"""Your own rules: custom_vjp and custom_jvp against JAX, autograd.Function against PyTorch.

The same functions are written once and made with either library; derivatives to third order, eager
and compiled, must agree.  Then what neither peer has: guards on what rules read, refusals.
"""

from __future__ import annotations

import gc
import warnings
import weakref

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import AutogradError, NotDifferentiable, ShapeError, TraceError
from tapejit.tensor.recording import open_new
from tapejit.transforms.dispatch import Transform, no_seeds

X = np.array([0.3, -1.2, 2.7])
V = np.array([0.5, 1.0, -2.0])


@pytest.fixture(autouse=True)
def _nothing_runs_eagerly():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    open_new()  # vjp records on the open one, which other tests count


# ---------------------------------------------------------------- against JAX


def rules(m, np):
    """Functions with rules, by JAX's names, made with a library `m` and its numpy."""
    clip = m.custom_vjp(lambda low, high, x: x)
    clip.defvjp(
        lambda low, high, x: (x, (low, high)), lambda r, g: (None, None, np.clip(g, r[0], r[1]))
    )

    @m.custom_jvp
    def log1pexp(x):
        return np.log(1.0 + np.exp(x))

    @log1pexp.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        return log1pexp(x), (1 - 1 / (1 + np.exp(x))) * t

    @m.custom_vjp
    def sin_times(x, y):
        return np.sin(x) * y

    sin_times.defvjp(
        lambda x, y: (sin_times(x, y), (np.cos(x), np.sin(x), y)),
        lambda r, g: (r[0] * g * r[2], r[1] * g),
    )
    straight = m.custom_vjp(lambda x: np.round(x))
    straight.defvjp(lambda x: (np.round(x), None), lambda r, g: (g,))
    wrong = m.custom_jvp(lambda x: x**2)  # a rule that is not the derivative shows which is used
    wrong.defjvp(lambda p, t: (p[0] ** 2, 3 * t[0]))
    parts = m.custom_jvp(lambda x, y: np.sin(x) * y)
    parts.defjvps(lambda t, z, x, y: np.cos(x) * t * y, lambda t, z, x, y: t * np.sin(x))
    apply = m.custom_vjp(lambda f, x: f(x), nondiff_argnums=(0,))
    apply.defvjp(lambda f, x: (f(x), x), lambda f, x, g: (7 * g * f(x),))
    tree = m.custom_vjp(lambda d: {"a": d["x"] * d["y"], "b": (d["x"] + 1,)})
    tree.defvjp(
        lambda d: (tree(d), d),
        lambda d, g: ({"x": g["a"] * d["y"] + g["b"][0], "y": g["a"] * d["x"] * 2},),
    )
    return {
        "clip": lambda x: (clip(-1.0, 1.0, x) ** 2).sum(),
        "log1pexp": lambda x: (log1pexp(x) ** 3).sum(),
        "sin_times": lambda x: sin_times(x, x * x).sum(),
        "straight": lambda x: (straight(x) ** 2).sum(),
        "wrong": lambda x: wrong(wrong(np.sin(x)) * x).sum(),
        "parts": lambda x: parts(x, parts(x, x)).sum(),
        "apply": lambda x: apply(lambda t: np.sin(t) * 2, x).sum(),
        "tree": lambda x: (
            tree({"x": x, "y": np.cos(x)})["a"] * tree({"x": x, "y": x})["b"][0]
        ).sum(),
        "nested": lambda x: log1pexp(clip(-0.5, 0.5, sin_times(x, straight(x)))).sum(),
        "inner": lambda x: m.grad(lambda y: (clip(-1.0, 1.0, y) ** 2).sum() * log1pexp(x).sum())(
            x
        ).sum(),
        "value of inner": lambda x: m.value_and_grad(lambda y: (clip(-1.0, 1.0, y) ** 2).sum())(x)[
            0
        ],
    }


NAMES = tuple(rules(tj, np))


def along(m, f):
    return lambda x: (m.grad(f)(x) * V).sum()


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_to_third_order_are_those_of_jax(name):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        peer = rules(jax, jax.numpy)[name]
        want = [np.asarray(f(X)) for f in (peer, jax.grad(peer), jax.grad(along(jax, peer)))]
        third = np.asarray(jax.grad(along(jax, along(jax, peer)))(X))
    f = rules(tj, np)[name]
    gradient = tj.grad(f)
    first = np.testing.assert_allclose
    for _ in range(2):  # recorded, and then compiled
        first(tj.jit(f)(X), want[0], rtol=1e-12)
        first(gradient(X), want[1], rtol=1e-12)
        first(tj.hvp(f, (X,), (V,)), want[2], rtol=1e-11, atol=1e-12)
    first(tj.vjp(f, X)[1](1.0)[0], want[1], rtol=1e-12)
    first(tj.jit(gradient)(X), want[1], rtol=1e-12)
    first(tj.hessian(f)(X) @ V, want[2], rtol=1e-11, atol=1e-12)
    first(tj.jvp(gradient, (X,), (V,))[1], want[2], rtol=1e-11, atol=1e-12)
    first(tj.grad(along(tj, along(tj, f)))(X), third, rtol=1e-10, atol=1e-11)


def test_the_rule_is_stable_where_the_function_is_not():
    f = tj.custom_jvp(lambda x: np.log(1.0 + np.exp(x)))
    f.defjvp(lambda p, t: (f(*p), (1 - 1 / (1 + np.exp(p[0]))) * t[0]))
    assert tj.grad(f)(100.0) == 1.0
    assert tj.jvp(f, (100.0,), (2.0,)) == (100.0, 2.0)


def test_fixed_point():
    """JAX's example: the derivative of a fixed point by solving for it, not through the loop."""

    @tj.custom_vjp
    def solve(a):
        x = a
        for _ in range(60):
            x = 0.5 * np.cos(x) + a
        return x

    def backward(residual, g):
        x = residual
        return (g / (1 + 0.5 * np.sin(x)),)

    def forward(a):
        x = solve(a)
        return x, x

    solve.defvjp(forward, backward)
    a, h = 0.4, 1e-5
    slope = (solve(a + h) - solve(a - h)) / (2 * h)
    assert tj.grad(solve)(a) == pytest.approx(slope, rel=1e-8)
    second = (tj.grad(solve)(a + h) - tj.grad(solve)(a - h)) / (2 * h)
    assert tj.grad(tj.grad(solve))(a) == pytest.approx(second, rel=1e-6)


def test_forward_mode_is_the_transpose_where_the_rule_is_linear():
    f = tj.custom_vjp(lambda x, y: np.sin(x) * y)
    f.defvjp(lambda x, y: (f(x, y), (x, y)), lambda r, g: (5 * g * r[1], g * np.sin(r[0])))
    value, slope = tj.jvp(f, (2.0, 3.0), (1.0, 10.0))
    assert value == pytest.approx(3 * np.sin(2.0))
    assert slope == pytest.approx(5 * 3 + 10 * np.sin(2.0))
    inner = tj.grad(lambda x: tj.jvp(f, (x, 3.0), (1.0, 0.0))[1] * x)
    assert inner(2.0) == pytest.approx(15.0)
    for bad in (lambda r, g: (np.clip(g, -1, 1),), lambda r, g: (g + 1,), lambda r, g: (2.0,)):
        clip = tj.custom_vjp(lambda x: x * 1.0)
        clip.defvjp(lambda x: (x * 1.0, None), bad)
        assert isinstance(tj.grad(clip)(1.0), float)
        with pytest.raises(NotDifferentiable, match="not linear"):
            tj.jvp(clip, (1.0,), (1.0,))
        with pytest.raises(NotDifferentiable, match="not linear"):
            tj.grad(lambda x, clip=clip: tj.jvp(clip, (x,), (1.0,))[1])(1.0)


def test_arguments_by_keyword_and_defaults():
    f = tj.custom_vjp(lambda x, scale=2.0: x * scale)
    f.defvjp(lambda x, scale: (x * scale, scale), lambda scale, g: (10 * g * scale, None))
    assert tj.grad(lambda x: f(x=x))(1.0) == 20.0
    assert tj.grad(lambda x: f(scale=3.0, x=x))(1.0) == 30.0
    assert f(2.0) == 4.0
    np.testing.assert_array_equal(f(np.array([1.0, 2.0])), [2.0, 4.0])


def test_a_rule_may_close_over_what_is_differentiated_outside():
    def scaled(w):
        f = tj.custom_vjp(lambda x: w * x)
        f.defvjp(lambda x: (w * x, x), lambda x, g: (w * w * g,))
        return f

    assert tj.grad(lambda w: tj.grad(scaled(w))(3.0 * w))(5.0) == 2 * 5.0
    for argument in (2.0, None):
        with pytest.raises(NotDifferentiable, match="no argument of it"):
            tj.grad(lambda w, x=argument: scaled(w)(w if x is None else x))(5.0)
    tangents = tj.custom_jvp(lambda x: x)

    def closed(w):
        tangents.defjvp(lambda p, t: (w * p[0], t[0]))
        return tangents(w)

    with pytest.raises(NotDifferentiable, match="no argument of it"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tj.grad(closed)(5.0)


def test_tensors_that_require_grad_go_by_the_rule_at_every_order():
    f = tj.custom_vjp(lambda x: x**2)
    f.defvjp(lambda x: (f(x), x), lambda x, g: (3 * x * g,))
    x = tj.tensor(2.0, requires_grad=True)
    (first,) = tj.autograd.grad(f(x), x, create_graph=True)
    assert first.item() == 6.0
    assert tj.autograd.grad(first, x)[0].item() == 3.0
    g = tj.custom_jvp(lambda x: x**2)
    g.defjvp(lambda p, t: (g(*p), 3 * p[0] * t[0]))
    y = g(x)
    assert "grad_fn=<" in repr(y)
    (y * y).backward()
    assert x.grad.item() == 2 * 4.0 * 6.0


# ---------------------------------------------------------------- against PyTorch


def functions(torch):
    """autograd.Functions, made with PyTorch or tapejit."""
    Function = torch.autograd.Function

    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    class Linear(Function):
        @staticmethod
        def forward(x, weight, bias):
            return x @ weight.t() + bias

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, weight, _ = inputs
            ctx.save_for_backward(x, weight)

        @staticmethod
        def backward(ctx, g):
            x, weight = ctx.saved_tensors
            gx = g @ weight if ctx.needs_input_grad[0] else None
            gw = g.t() @ x if ctx.needs_input_grad[1] else None
            return gx, gw, g.sum(0) if ctx.needs_input_grad[2] else None

    class Straight(Function):
        @staticmethod
        def forward(ctx, x):
            return torch.round(x)

        @staticmethod
        def backward(ctx, g):
            return g

    class Clamp(Function):
        @staticmethod
        def forward(ctx, x, low, high):
            y = x.clamp(low, high)
            ctx.low, ctx.high = low, high
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * ((x > ctx.low) & (x < ctx.high)) + 0.25 * g * y, None, None

    class Cube(Function):
        """The example of PyTorch's double backward tutorial."""

        @staticmethod
        def forward(x):
            return x**3, 3 * x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs, output[1])

        @staticmethod
        def backward(ctx, g, g_slope):
            x, slope = ctx.saved_tensors
            return g * slope + g_slope * 6 * x

    class TwoOfThree(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            constant = x * 2
            ctx.mark_non_differentiable(constant)
            ctx.save_for_backward(x)
            return x.sin(), constant, x.cos()

        @staticmethod
        def backward(ctx, g, none, h):
            (x,) = ctx.saved_tensors
            if none is not None:  # set_materialize_grads(False)
                raise ValueError(none)
            total = 0 if g is None else g * x.cos()
            return total if h is None else total - h * x.sin()

    class Bump(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(3)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return 3 * g

    def linear(x):
        return Linear.apply(x.reshape(1, 3), x.reshape(1, 3).sin(), x[:1])

    def bump(x):
        y = x * 1
        return Bump.apply(y) * y

    return {
        "exp": lambda x: Exp.apply(x),
        "linear": linear,
        "straight": lambda x: Straight.apply(x) ** 2,
        "clamp": lambda x: Clamp.apply(x, -1.0, 1.0),
        "cube": lambda x: Cube.apply(x)[0] * Cube.apply(x)[1],
        "one of two results": lambda x: Cube.apply(x)[0],
        "two of three": lambda x: TwoOfThree.apply(x)[0] * TwoOfThree.apply(x)[1],
        "the last of three": lambda x: TwoOfThree.apply(x)[2] ** 2,
        "dirty": bump,
    }


FUNCTIONS = functions(tj)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    want = repeated(torch, functions(torch)[name])
    got = repeated(tj, FUNCTIONS[name])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)

    f = FUNCTIONS[name]

    def total(x):
        return f(x).sum()

    gradient = tj.grad(total)
    for _ in range(2):
        np.testing.assert_allclose(gradient(X), want[1], rtol=1e-12, atol=1e-13)
    if want[2] is None or name == "two of three":
        return
    product = tj.grad(lambda x: (gradient(x) * V).sum())
    np.testing.assert_allclose(product(X), want[2], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(tj.hessian(total)(X) @ V, want[2], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(tj.hvp(total, (X,), (V,)), want[2], rtol=1e-12, atol=1e-13)
    slope = tj.jvp(total, (X,), (V,))[1]
    np.testing.assert_allclose(slope, want[1] @ V, rtol=1e-12, atol=1e-13)


def repeated(torch, f):
    """Value, gradient, and the gradient's derivative along V, by the engine."""
    x = torch.tensor(X.tolist(), dtype=torch.float64, requires_grad=True)
    value = f(x).sum()
    (first,) = torch.autograd.grad(value, x, create_graph=True)
    weights = torch.tensor(V.tolist(), dtype=torch.float64)
    second = None
    if first.requires_grad:
        (second,) = torch.autograd.grad((first * weights).sum(), x, allow_unused=True)
    found = [value, first, torch.zeros(3) if second is None else second]
    return [x.detach().numpy() for x in found]


class Square(tj.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def test_backward_runs_when_the_engine_comes_to_it():
    seen = []

    class Noted(tj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            seen.append(("forward", tj.is_grad_enabled(), ctx.needs_input_grad))
            return x * 2

        @staticmethod
        def backward(ctx, g):
            seen.append(("backward", tj.is_grad_enabled(), g.tolist()))
            return g * 2

    x = tj.tensor(1.0, requires_grad=True)
    y = Noted.apply(x)
    z = y * 3 + y
    assert seen == [("forward", False, (True,))]
    y.register_hook(lambda g: g * 10)
    z.backward()
    assert seen[1:] == [("backward", False, 40.0)]
    assert x.grad.item() == 80.0
    assert repr(y.grad_fn).startswith("<NotedBackward object at 0x")
    assert y.grad_fn.name() == "NotedBackward"
    assert [f.name() for f, _ in y.grad_fn.next_functions] == ["torch::autograd::AccumulateGrad"]
    with tj.no_grad():
        assert not Noted.apply(x).requires_grad


def test_none_is_no_gradient():
    class Silent(tj.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x * y

        @staticmethod
        def backward(ctx, g):
            return None, g

    x, y = (tj.tensor(2.0, requires_grad=True) for _ in range(2))
    (Silent.apply(x * 3, y) * 5).backward()
    assert x.grad is None
    assert y.grad.item() == 5.0
    with pytest.raises(AutogradError, match="appears to not have been used in the graph"):
        tj.autograd.grad(Silent.apply(x, y), x)
    assert tj.grad(lambda x: Silent.apply(x, x * 2))(3.0) == 2.0
    assert tj.grad(lambda x: Silent.apply(x, 2.0 + 0 * x))(3.0) == 0.0


class Bad(tj.autograd.Function):
    answer = None

    @staticmethod
    def forward(ctx, x, n=2):
        return x * n

    @staticmethod
    def backward(ctx, g):
        return Bad.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda: (tj.ones(3), None, tj.ones(3)),
            r"incorrect number of gradients \(expected 2, got 3\)",
        ),
        (lambda: tj.ones(3), r"incorrect number of gradients \(expected 2, got 1\)"),
        (
            lambda: (tj.ones(2), None),
            r"index 0 - got \[2\] but expected shape compatible with \[3\]",
        ),
        (lambda: (1.0, None), r"expected Variable or None \(got float\)"),
        (lambda: (None, tj.ones(1)), "gradient different than None at position 2"),
    ],
)
def test_wrong_gradients_have_pytorchs_words(answer, message):
    Bad.answer = answer()
    x = tj.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=message):
        Bad.apply(x, 2).sum().backward()
    with pytest.raises(RuntimeError, match=message):
        tj.grad(lambda x: Bad.apply(x, 2).sum())(tj.ones(3))


def test_what_pytorch_refuses():
    x = tj.tensor([1.0, 2.0], requires_grad=True)

    class Empty(tj.autograd.Function):
        pass

    class OneWay(tj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    class Keeps(OneWay):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(3)

    class Forgets(OneWay):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x * 1

    class Changes(OneWay):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

    with pytest.raises(NotImplementedError, match="must implement the forward function"):
        Empty.apply(x)
    with pytest.raises(NotImplementedError, match="must implement either the backward or vjp"):
        OneWay.apply(x).sum().backward()
    with pytest.warns(DeprecationWarning, match="should not be instantiated"):
        instance = OneWay()
    with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward"):
        instance(x)
    with pytest.raises(TypeError, match="can only save variables, but argument 0 is of type int"):
        Keeps.apply(x)
    with pytest.raises(RuntimeError, match="marked as dirty during the forward method were not"):
        Forgets.apply(x * 1)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad has been used"):
        Changes.apply(x)
    y = Square.apply(x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()
    z = x * 1
    y = Square.apply(z).sum()
    z.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_once_differentiable():
    class Once(Square):
        @staticmethod
        @tj.autograd.function.once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    x = tj.tensor(3.0, requires_grad=True)
    (first,) = tj.autograd.grad(Once.apply(x), x, create_graph=True)
    assert first.item() == 6.0
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        first.backward()
    assert tj.grad(Once.apply)(3.0) == 6.0
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        tj.grad(tj.grad(Once.apply))(3.0)


def test_jvp_of_a_function():
    class Tripled(Square):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_forward(x)
            return x**2

        @staticmethod
        def jvp(ctx, t):
            (x,) = ctx.saved_tensors
            return 3 * x * t

    assert tj.jvp(Tripled.apply, (2.0,), (10.0,)) == (4.0, 60.0)
    assert tj.jvp(Square.apply, (2.0,), (10.0,)) == (4.0, 40.0)


def test_what_rules_save_is_dropped_with_what_needed_it():
    """Losses that nobody differentiates: what their rules saved goes with them."""
    f = tj.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (x * 2, x * 3), lambda r, g: (2 * g,))
    w = tj.ones(1 << 14, requires_grad=True)
    for make in (Square.apply, f):
        open_new()
        kept = make(w * 2)
        for _ in range(20):
            make(w * 2)
        recording = kept._tape
        assert len(recording.calls) == 21
        for _ in range(2):  # a result and what the body computed share memory
            recording.drop_unreachable()
        assert len(recording.calls) == 1
        assert sum(value is not None for value in recording.values) < 10
        (gradient,) = tj.autograd.grad(kept.sum(), w)
        assert gradient[0].item() == (4.0 if make is f else 8.0)


def test_a_recording_with_calls_is_let_go():
    x = tj.tensor([1.0, 2.0], requires_grad=True)
    f = tj.custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: (x * x, (x, x * 3)), lambda r, g: (2 * r[0] * g,))
    gc.disable()
    try:
        for make in (Square.apply, f):
            open_new()
            y = make(x * 1)
            recording = weakref.ref(y._tape)
            y.sum().backward()
            del y
            assert recording() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- guards


def test_what_rules_read_is_guarded():
    state = {"k": 3.0}
    scale = np.array(2.0)
    f = tj.custom_vjp(lambda x: x * 1.0)
    f.defvjp(lambda x: (x * 1.0, None), lambda r, g: (g * state["k"] * scale,))
    g = tj.custom_jvp(lambda x: x * 1.0)
    g.defjvps(lambda t, y, x: t * state["k"] * scale)

    class Function(tj.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, grad):
            return grad * state["k"] * scale

    held = [f, {"g": g}, Function]
    gradients = [
        tj.grad(f),
        tj.grad(lambda x: g(x)),
        tj.grad(lambda x: Function.apply(x)),
        tj.grad(lambda x: held[0](held[1]["g"](x)) / state["k"] / scale),
        tj.hessian(lambda x: f(x) ** 2 / 2),
    ]

    def expect(value):
        for _ in range(3):
            assert [gradient(1.0) for gradient in gradients[:4]] == [value] * 4

    expect(6.0)
    state["k"] = 5.0
    expect(10.0)
    scale[...] = 7.0
    expect(35.0)
    Function.backward = staticmethod(lambda ctx, grad: grad * 11)
    f.defvjp(lambda x: (x * 1.0, None), lambda r, g: (g * 11,))
    g.defjvps(lambda t, y, x: t * 11)
    assert [gradient(1.0) for gradient in gradients[:3]] == [11.0] * 3
    assert gradients[4](1.0) == 11.0


def test_rules_that_branch_on_values():
    f = tj.custom_vjp(lambda x: x * x)

    def backward(x, g):
        if x > 0:
            return (g,)
        return (g * 100,) if g > 1 else (g * 10,)

    f.defvjp(lambda x: (f(x), x), backward)
    gradient = tj.grad(lambda x, s: s * f(x))
    for _ in range(2):
        found = [gradient(x, s) for x, s in ((1.0, 1.0), (-1.0, 1.0), (-1.0, 2.0), (1.0, 2.0))]
        assert found == [1.0, 10.0, 200.0, 2.0]
    rows = tj.jacobian(lambda x: np.stack([f(x), 2 * f(x), x]))  # each by the rule
    for _ in range(2):
        assert [rows(x).tolist() for x in (-1.0, 1.0)] == [[10.0, 200.0, 1.0], [1.0, 2.0, 1.0]]
    assert tj.jacobian(lambda x: (f(x) * 1.0, x + 1), has_aux=True)(-1.0) == (10.0, 0.0)
    with pytest.raises(NotDifferentiable, match="reads its cotangents"):
        tj.jacobian(lambda x: f(x) * 1.0, sparse=True)(np.array([-1.0])[0])


def test_gradients_inside_traced_functions_are_computed_anew():
    cube = tj.custom_jvp(lambda x: x**3)
    cube.defjvp(lambda p, t: (cube(*p), 5 * p[0] * t[0]))

    def inner(x):
        y = x * 1
        (g,) = tj.autograd.grad(cube(y).sum(), y)
        return g

    compiled = tj.jit(inner)
    for values in ([2.0, 3.0], [4.0, 5.0], [6.0, 7.0]):
        assert compiled(tj.tensor(values)).tolist() == [5 * x for x in values]
    assert tj.grad(lambda x: inner(x).sum() + x.sum())(tj.ones(2)).tolist() == [1.0, 1.0]


def test_a_rule_that_counts_is_not_kept():
    calls = []
    f = tj.custom_vjp(lambda x: x)
    f.defvjp(lambda x: (x, None), lambda r, g: (g * len(calls.append(0) or calls),))
    gradient = tj.grad(lambda x: f(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [gradient(1.0) for _ in range(4)] == [1.0, 2.0, 3.0, 4.0]


# ---------------------------------------------------------------- refusals


def test_rules_must_be_stated_and_well_formed():
    f = tj.custom_vjp(lambda x, y: x * y)
    with pytest.raises(AttributeError, match="No VJP defined"):
        f(1.0, 2.0)
    with pytest.raises(AttributeError, match="No JVP defined"):
        tj.custom_jvp(np.sin)(1.0)
    for backward, error, words in (
        (lambda r, g: (g,), TypeError, "one cotangent per argument, 2 here"),
        (lambda r, g: g, TypeError, "one cotangent per argument"),
        (lambda r, g: (np.ones(3), g), ShapeError, "must have the shape of that"),
        (lambda r, g: ("text", g), TypeError, "no tensor, array or number"),
        (lambda r, g: ([g], g), TypeError, "no tensor, array or number"),
    ):
        f.defvjp(lambda x, y: (x * y, None), backward)
        with pytest.raises(error, match=words):
            tj.grad(f)(1.0, 2.0)
    f.defvjp(lambda x, y: x * y, lambda r, g: (g, g))
    with pytest.raises(TypeError, match="must return a pair"):
        tj.grad(f)(1.0, 2.0)
    with pytest.raises(NotDifferentiable, match="zeros"):
        f.defvjp(lambda x, y: (x, y), lambda r, g: (g, g), symbolic_zeros=True)
    g = tj.custom_jvp(lambda x: (x, x))
    g.defjvp(lambda p, t: ((p[0], p[0]), (t[0],)))
    with pytest.raises(TypeError, match="nested differently"):
        tj.grad(lambda x: g(x)[0])(1.0)
    g.defjvp(lambda p, t: ((p[0], p[0]), (t[0] * t[0], t[0])))
    with pytest.raises(NotDifferentiable, match="not linear"):
        tj.grad(lambda x: g(x)[0])(1.0)
    h = tj.custom_vjp(lambda n, x: n * x, nondiff_argnums=(0,))
    h.defvjp(lambda n, x: (n * x, None), lambda n, r, g: (n * g,))
    assert tj.grad(lambda x: h(3.0, x))(1.0) == 3.0
    with pytest.raises(TraceError, match="nondiff_argnums"):
        tj.grad(lambda n: h(n, 2.0))(1.0)


def test_sparse_derivatives_go_by_the_rule():
    straight = tj.custom_vjp(lambda x: np.round(x))
    straight.defvjp(lambda x: (straight(x), None), lambda r, g: (g,))
    found = tj.hessian(lambda x: (straight(x) ** 2).sum(), sparse=True)(X)
    np.testing.assert_array_equal(found.toarray(), 2 * np.eye(len(X)))
    assert found.nnz == len(X)


def test_transforms_that_know_no_rules_refuse():
    straight = tj.custom_vjp(lambda x: np.round(x))
    straight.defvjp(lambda x: (np.round(x), None), lambda r, g: (g,))

    def derive(recorded):
        raise AssertionError("not reached")

    with pytest.raises(NotDifferentiable, match="in a way that knows no rules"):
        Transform(straight, derive).call((X,), {}, no_seeds)


# ---------------------------------------------------------------- with the rest of the house


@pytest.mark.parametrize("name", ["clip", "nested"])
def test_vmap_of_rules_is_jaxs(name):
    jax = pytest.importorskip("jax")
    samples = np.stack([X, 0.5 * X])

    def derivatives(m, f):
        yield m.vmap(m.grad(f))(samples)
        yield m.grad(lambda x: m.vmap(f)(x).sum())(samples)
        yield m.grad(lambda x: (m.vmap(m.grad(f))(x) * V).sum())(samples)

    with jax.enable_x64(True):
        want = [np.asarray(x) for x in derivatives(jax, rules(jax, jax.numpy)[name])]
    got = list(derivatives(tj, rules(tj, np)[name]))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    x = tj.tensor(samples.tolist(), dtype=tj.float64, requires_grad=True)
    squares = tj.vmap(lambda x: Square.apply(x).sum())(x).sum()
    np.testing.assert_array_equal(tj.autograd.grad(squares, x)[0].numpy(), 2 * samples)


def test_scipy_goes_by_the_rule():
    power = tj.custom_jvp(lambda x: np.sum(x**4))
    power.defjvp(lambda p, t: (power(*p), np.sum(4 * p[0] ** 3 * t[0])))
    found = tj.scipy.minimize(lambda x: power(x - 1) + np.sum(x**2), X, method="Newton-CG")
    assert found.success
    plain = tj.scipy.minimize(lambda x: np.sum((x - 1) ** 4) + np.sum(x**2), X, method="Newton-CG")
    np.testing.assert_allclose(found.x, plain.x, rtol=1e-10)
    assert found.nit == plain.nit


def test_native_code_holds_what_the_rules_did():
    f = rules(tj, np)["nested"]
    native = tj.value_and_grad(f).numba(X)
    value, gradient = native(X)
    want = tj.value_and_grad(f)(X)
    np.testing.assert_array_equal(value, want[0])
    np.testing.assert_array_equal(gradient, want[1])
    product = tj.grad(lambda x: Square.apply(x).sum()).numba(X)
    np.testing.assert_array_equal(product(X), 2 * X)


def test_long_programs_of_calls_are_linear():
    f = tj.custom_jvp(np.sin)
    f.defjvp(lambda p, t: (f(*p), np.cos(p[0]) * t[0]))

    def deep(x):
        for _ in range(100):
            x = 0.5 * f(x) + 0.3 * x
        return x

    def plain(x):
        for _ in range(100):
            x = 0.5 * np.sin(x) + 0.3 * x
        return x

    transform = tj.grad(deep)
    assert transform(1.0) == pytest.approx(tj.grad(plain)(1.0), rel=1e-12)
    (report,) = tj.explain(transform).paths
    assert report.rows < 100 * 40
