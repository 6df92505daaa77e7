"""Complex tensors against torch: values, dtypes, errors, views, gradients, printing.

Each case runs with torch and with tapejit and gives the same (see `oracle`).
"""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Cases, fn_name, raised, same_as_torch, warned

import tapejit as tj
from tapejit.build import Builder
from tapejit.ops.complexes import conj, view_as_real
from tapejit.ops.movement import slice_
from tapejit.runtime import reference
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

table = Cases()


RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(size=(3, 2)) + 1j * RANDOM.normal(size=(3, 2))
W = RANDOM.normal(size=(3, 2)) + 1j * RANDOM.normal(size=(3, 2))
R = RANDOM.normal(size=(3, 2))


def leaf(t, array, dtype=None):
    return t.tensor(array, dtype=dtype, requires_grad=True)


# ---------------------------------------------------------------- dtypes and numbers


@table.add
def creation(t):
    return (
        t.tensor(1 + 2j),
        t.tensor([1, 2j]),
        t.tensor([1.5, 2j], dtype=t.complex128),
        t.tensor(Z),
        t.tensor([1, 2.5], dtype=t.complex64),
        t.tensor([1.0]).to(t.cdouble),
        t.full((2,), 1j),
        t.zeros(2, dtype=t.complex64),
        t.eye(2, dtype=t.complex64),
        t.ones_like(t.tensor([1j])),
        t.tensor([True, False]).to(t.cfloat),
    )


@table.add
def the_default_follows_the_float(t):
    t.set_default_dtype(t.float64)
    return t.tensor(1j), t.tensor([1, 2]) * 1j, t.tensor([1.0]) * 1j


@table.add
def numbers(t):
    z = t.tensor([1 + 2j])
    return (
        z.item(),
        complex(z),
        bool(z),
        bool(t.tensor(0j)),
        z.tolist(),
        float(t.tensor(2 + 0j)),
        int(t.tensor(2 + 0j)),
        raised(lambda: float(z)),
        raised(lambda: int(z)),
        z.is_complex(),
        z.is_floating_point(),
        t.is_complex(t.tensor(1.0)),
        z.dtype.is_complex,
        z.element_size(),
        z.type(),
        t.isreal(t.tensor([1 + 0j, 1j])),
        t.isreal(t.tensor([1.0, 2.0])),
    )


@table.add
def casts(t):
    z = t.tensor([1.7 + 2j, 0j, 1j])
    return (
        z.bool(),
        z.to(t.complex128),
        t.tensor([1, 2]).to(t.complex64),
        t.tensor([1.5], dtype=t.float64).to(t.complex64),
        warned(lambda: z.detach().clone().to(t.float32))[0],
        warned(lambda: z.long())[0],
    )


def test_a_cast_to_real_numbers_warns():
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        tj.tensor([1j]).to(tj.float32)
    with pytest.warns(UserWarning, match="discards the imaginary part"):
        tj.zeros(1).copy_(tj.tensor([1j]))


@table.add
def mixing(t):
    z, x = t.tensor([1 + 2j, 3j]), t.tensor([1.0, 2.0])
    double, n = t.tensor([1.0, 2.0], dtype=t.float64), t.tensor([1, 2])
    return [
        f(a, b)
        for a in (z, t.tensor(2 + 1j), 1.5 + 0.5j)
        for b in (z, x, double, n, t.tensor(2.0, dtype=t.float64), 2, 0.5, 1j)
        for f in (t.add, t.mul)
        if not (isinstance(a, complex) and isinstance(b, (int, float, complex)))
    ]


@table.add
def printing(t):
    z = t.tensor([1 + 2j, 0.5 - 1e-5j])
    return [
        str(x)
        for x in (
            t.tensor(1 + 2j),
            z,
            t.tensor([[1 + 2j, 3], [-1j, -0.0]]),
            t.tensor([complex("nan"), complex(1, float("inf")), complex(1, -float("inf"))]),
            t.zeros(0, dtype=t.complex64),
            t.zeros(2, dtype=t.complex128),
            t.tensor([1.5 - 2.25j], requires_grad=True),
            t.tensor([1e10 + 1j]),
            t.arange(2000).to(t.complex64),
            t.arange(60).reshape(3, 20) * (1.5 - 0.25j),
            t.tensor(-0.0 - 0.0j),
            t.tensor([1.5, 2]) * 1j,
        )
    ]


# ---------------------------------------------------------------- parts and views


@table.add
def parts_are_views(t):
    z = t.tensor([1 + 2j, 3 + 4j])
    z.real += 10
    z.imag[0] = 7
    z.real = t.tensor([5.0, 6.0])
    pairs = t.view_as_real(z)
    pairs[1, 1] = -1
    again = t.view_as_complex(pairs)
    again[0] = 9j
    return z, z.real, z.imag, pairs, again, z.real.is_contiguous(), z.real.stride()


@table.add
def changes_through_parts_have_gradients(t):
    x = leaf(t, Z)
    z = x * 2
    z.real.mul_(3)
    z[0].imag.zero_()
    t.view_as_real(z)[2] *= R.shape[0]
    (z * t.tensor(W)).abs().sum().backward()
    return z.detach(), x.grad


@table.add
def pairs_with_gradients(t):
    x = leaf(t, R)
    z = t.view_as_complex(x)
    (z * z.conj() * z).imag.sum().backward()
    y = leaf(t, Z)
    (t.view_as_real(y) ** 3).sum().backward()
    return z, x.grad, y.grad, fn_name(t.view_as_real(y)), fn_name(z), fn_name(y.real)


@table.add
def conjugates(t):
    z = leaf(t, Z)
    return (
        z.conj().resolve_conj().detach().clone(),
        t.conj(t.tensor([1.0])),
        z.H.detach().resolve_conj().clone(),
        z.mH.detach().resolve_conj().clone(),
        z.adjoint().detach().resolve_conj().clone(),
        t.conj_physical(z.detach()),
        t.resolve_conj(z.detach().conj()),
        raised(lambda: t.zeros(2, 2, 2).H, 8),
    )


@table.add
def modulus_and_angle(t):
    z = t.tensor([3 + 4j, 0j, -1 + 0j, complex("nan")])
    return (
        z.abs(), abs(z), z.angle(), z[:3].sgn(), t.sgn(t.tensor([-2.0, 0.0])),
        t.angle(t.tensor([1.0, -1.0, 0.0, float("nan")])), t.angle(t.tensor([1, -1])),
        t.polar(t.tensor([1.0, 2.0]), t.tensor([0.5, -0.5])),
        t.complex(t.tensor([1.0, 2.0]), t.tensor([3.0, 4.0])),
    )  # fmt: skip


@table.add
def from_parts_with_gradients(t):
    a, b = leaf(t, R), leaf(t, R[::-1].copy())
    y = t.complex(a, b) * t.polar(b.abs(), a)
    (y * t.tensor(W)).real.sum().backward()
    return y.detach(), a.grad, b.grad


# ---------------------------------------------------------------- what is refused


@table.add
def refusals(t):
    z, x = t.tensor([1 + 2j]), t.tensor([1.0])
    return [
        raised(f, 0)
        for f in (
            lambda: z < z,
            lambda: z.floor(),
            lambda: t.maximum(z, z),
            lambda: z.max(),
            lambda: z.sort(),
            lambda: z.argmax(),
            lambda: z.clamp(0, 1),
            lambda: z.relu(),
            lambda: z % z,
            lambda: z // z,
            lambda: t.atan2(z, z),
            lambda: z.softmax(0),
            lambda: t.erf(z),
            lambda: z.sign(),
            lambda: x.imag,
            lambda: t.view_as_real(x),
            lambda: t.view_as_complex(t.zeros(3)),
            lambda: t.view_as_complex(t.zeros(2, 4)[:, ::2]),
            lambda: t.complex(x, x.double()),
            lambda: t.complex(t.tensor([1]), t.tensor([1])),
            lambda: t.zeros(2).add_(1j),
            lambda: t.zeros(2).fill_(1j),
            lambda: t.zeros(2).__setitem__(0, 1j),
            lambda: t.tensor([1j], dtype=t.float32),
            lambda: t.set_default_dtype(t.complex64),
            lambda: ~z,
            lambda: z.__index__(),
        )
    ]


@table.add
def backward_of_a_complex_result(t):
    z = leaf(t, Z)
    return (
        raised(lambda: z.sum().backward(), 13),
        raised(lambda: z.real.sum().backward(t.tensor(1j)), 12),
        raised(lambda: z.sum().backward(t.tensor(1.0)), 12),
    )


@table.add
def backward_with_a_complex_cotangent(t):
    z = leaf(t, Z)
    (z**2).backward(t.tensor(W))
    return z.grad, t.autograd.grad(z.sin(), z, t.tensor(W))


# ---------------------------------------------------------------- gradients, also second ones

UNARY = (
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square reciprocal neg sin cos tan asin acos "
    "atan sinh cosh tanh asinh atanh sigmoid abs angle sgn conj"
)


@pytest.mark.parametrize("name", UNARY.split())
def test_functions_of_one_complex_number(name):
    def case(t):
        z = leaf(t, Z)
        y = getattr(t, name)(z)
        seed = t.tensor(W if y.is_complex() else R)
        (gradient,) = t.autograd.grad(y, z, seed, create_graph=True)
        if gradient.requires_grad:
            (gradient * t.tensor(W)).abs().square().sum().backward()
        return y.detach().resolve_conj().clone(), gradient.detach().resolve_conj().clone(), z.grad

    same_as_torch(case, loosen=10)


BINARY = {
    "add": lambda t, x, y: x + y,
    "sub": lambda t, x, y: x - y,
    "mul": lambda t, x, y: x * y,
    "div": lambda t, x, y: x / y,
    "pow": lambda t, x, y: x**y,
    "where": lambda t, x, y: t.where(x.abs() > 1, x, y),
    "matmul": lambda t, x, y: x @ y.mT,
    "vectors": lambda t, x, y: x[:, 0] @ y[:, 1],
    "matrix by vector": lambda t, x, y: x @ y[0],
    "vector by matrix": lambda t, x, y: x[:, 0] @ y,
    "cat": lambda t, x, y: t.cat([x, y]),
    "stack": lambda t, x, y: t.stack([x, y]) * 2j,
    "outer": lambda t, x, y: t.outer(x[0], y[0]),
    "einsum": lambda t, x, y: t.einsum("ij,kj->ik", x, y),
    "norm of difference": lambda t, x, y: (x - y).abs().square().mean(),
    "addcmul": lambda t, x, y: x + y * y * (1 + 2j),
    "by real": lambda t, x, y: x * y.real + y.imag / x,
}


# torch asks for one dtype here, and fails in the backward of a mixed `where`
OF_ONE_DTYPE = (
    "matmul",
    "vectors",
    "matrix by vector",
    "vector by matrix",
    "outer",
    "einsum",
    "where",
)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("kinds", ["cc", "cr", "rc"])
def test_functions_of_two(name, kinds):
    if name == "by real" and kinds == "cr":
        pytest.skip("the second operand has no imaginary part")

    def case(t):
        x, y = (leaf(t, {"c": c, "r": np.abs(c)}[k]) for k, c in zip(kinds, (Z, W), strict=True))
        if "r" in kinds and name in OF_ONE_DTYPE:
            x, y = x + 0j, y + 0j
        result = BINARY[name](t, x, y)
        total = (result * (0.5 - 2j)).abs().square().sum()
        ends = [x, y]
        gradients = t.autograd.grad(total, ends, create_graph=True)
        second = sum(g.abs().square().sum() for g in gradients)
        return result.detach(), [g.detach() for g in gradients], t.autograd.grad(second, ends)

    same_as_torch(case, loosen=10)


REDUCTIONS = {
    "sum": lambda z: z.sum(0),
    "mean": lambda z: z.mean(1, keepdim=True),
    "prod": lambda z: z.prod(0),
    "prod of all": lambda z: z.prod(),
    "var": lambda z: z.var(0),
    "std": lambda z: z.std(),
    "cumsum": lambda z: z.cumsum(0),
    "indexing": lambda z: z[[0, 2, 0], 1] * z[1:, :1],
    "flip": lambda z: z.flip(0) * z,
    "permute": lambda z: z.mT * 1j,
    "expand": lambda z: z[:, :1].expand(3, 4) ** 2,
    "gather": lambda z: z.sum(0)[None].expand(3, 2) * z,
    "norm": lambda z: (z * z.conj()).real.sum().sqrt(),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_functions_of_several(name):
    def case(t):
        z = leaf(t, Z)
        y = REDUCTIONS[name](z)
        (gradient,) = t.autograd.grad((y * (1 + 0.5j)).abs().square().sum(), z, create_graph=True)
        gradient.abs().square().sum().backward()
        return y.detach(), gradient.detach(), z.grad

    same_as_torch(case, loosen=10)


@table.add
def a_product_with_zeros(t):
    z = leaf(t, np.array([1 + 1j, 0, 2 - 1j]))
    z.prod().abs().backward()
    z2 = leaf(t, np.array([1 + 1j, 0, 2 - 1j]))
    (z2.prod() * (1 + 2j)).imag.backward()
    return z2.grad


@table.add
def slopes_at_zero(t):
    z = leaf(t, np.array([0j, 1j]))
    y = z.abs().sum() + z.angle().sum() + (z.sgn() * (1 + 1j)).real.sum()
    y.backward()
    w = leaf(t, np.array([0j, 2.0]))
    (w**2 + w**3).real.sum().backward()
    return z.grad, w.grad


@table.add
def a_leaf_gathers_complex_gradients(t):
    z = leaf(t, Z)
    for _ in range(2):
        (z.abs() ** 2).sum().backward()
    return z.grad, z.grad.dtype


@table.add
def in_place(t):
    z = leaf(t, Z)
    y = z * 1
    y *= 2j
    y += 1.5
    y[0] = y[1] + y[2]
    y.sub_(t.tensor(R))
    (y / z).imag.sum().backward()
    return y.detach(), z.grad


@table.add
def comparisons(t):
    z = t.tensor([1 + 1j, 2j, complex("nan")])
    return (
        z == z, z != 2j, t.isnan(z), t.isinf(z), t.isfinite(z), z.all(), z.any(),
        t.logical_not(z), t.logical_and(z, z), t.count_nonzero(z), t.equal(z[:2], z[:2]),
    )  # fmt: skip


@table.add
def ready_made(t):
    z = t.tensor(Z[:, 0])
    return (
        t.linspace(0, 1j, 3), t.full_like(z, 2j), z.new_tensor([1j]), t.add(z, 1, alpha=2j),
        z.masked_fill(t.tensor([True, False, True]), 2j), t.dot(z, z), t.vdot(z, z),
        t.inner(z, z), t.kron(z, z), t.diff(z), t.trapezoid(z), z.cumprod(0), t.var_mean(z),
        t.cov(t.tensor(Z)), t.corrcoef(t.tensor(Z)), z.norm(), t.linalg.norm(t.tensor(Z)),
        t.nan_to_num(t.tensor([complex("nan"), complex(1, float("inf"))])),
        t.float_power(t.tensor([1j]), 2), t.where(z.real > 0, z, 0), t.isclose(z, z + 1e-9),
        t.ones(2).sum(dtype=t.complex64), z.is_signed(), z.dtype.is_signed, t.uint8.is_signed,
        t.complex64.to_real(), t.float32.to_complex(), t.promote_types(t.complex64, t.float64),
        t.can_cast(t.complex64, t.float32),
    )  # fmt: skip


@table.add
def branch_cuts(t):
    below, above = complex(-2, -0.0), complex(-2, 0.0)
    z = t.tensor([below, above])
    return z.sqrt(), z.log(), z.asin(), z.acosh(), z.atanh(), z**0.5, z.angle()


@table.add
def functional(t):
    z, v = t.tensor(Z[:, 0]), t.tensor(W[:, 0])
    f = t.autograd.functional

    def real_part(z):
        return (z * z * z.conj()).real.sum()

    return (
        f.vjp(lambda z: z * z, z, v)[1], f.jvp(lambda z: z * z.conj() * z, z, v)[1],
        f.hvp(real_part, z, v)[1], f.vhp(real_part, z, v)[1],
        f.jacobian(lambda z: (z * z).real, z),
        raised(lambda: f.jacobian(lambda z: z * z, z), 12),
    )  # fmt: skip


def test_random_numbers_have_variance_one():
    tj.manual_seed(0)
    z = tj.randn(20_000, dtype=tj.complex64)
    assert z.dtype is tj.complex64
    assert abs(z.real.var().item() - 0.5) < 0.02 and abs(z.imag.var().item() - 0.5) < 0.02


@pytest.mark.parametrize("case", table, ids=table.names())
def test_same_as_torch(case):
    same_as_torch(case, loosen=10)


# ---------------------------------------------------------------- transforms


def smooth(z):
    """A real function of complex numbers, with kernels for its real rows."""
    w = np.exp(z) * np.conj(z) + 1j * np.sin(z) / (2.0 + z.real)
    return np.sum(np.abs(w) ** 2 * np.cos(z.imag) + np.angle(w))


def of_real(x):
    """A real function of real numbers, through complex ones."""
    z = np.exp(1j * x) * x
    return np.sum((z * z).real + np.abs(z) * z.imag)


def torch_gradient(t, function, array):
    z = t.tensor(array, requires_grad=True)
    function(z).backward()
    return z.grad.numpy()


class TestTransforms:
    def test_gradients_are_pytorchs(self):
        torch = pytest.importorskip("torch")

        def theirs(z):
            w = z.exp() * z.conj() + 1j * z.sin() / (2.0 + z.real)
            return (w.abs() ** 2 * z.imag.cos() + w.angle()).sum()

        both = tj.value_and_grad(smooth)
        for z in (Z, W, Z * W, Z):  # the same program from the second call on
            value, gradient = both(z)
            assert gradient.dtype == np.complex128
            np.testing.assert_allclose(value, smooth(z), rtol=1e-12)
            np.testing.assert_allclose(gradient, torch_gradient(torch, theirs, z), rtol=1e-9)

    def test_a_step_against_the_gradient_goes_downhill(self):
        assert smooth(Z - 1e-6 * tj.grad(smooth)(Z)) < smooth(Z)

    def test_real_functions_through_complex_numbers(self):
        gradient = tj.grad(of_real)
        for x in (R, -R, R):
            step = 1e-6
            numeric = [
                (of_real(x + step * e.reshape(3, 2)) - of_real(x - step * e.reshape(3, 2)))
                / (2 * step)
                for e in np.eye(6)
            ]
            assert gradient(x).dtype == np.float64
            np.testing.assert_allclose(gradient(x).ravel(), numeric, rtol=1e-6)
        tj.check_grads(of_real, (R,))

    def test_both_modes_and_orders(self):
        tj.check_grads(smooth, (Z,))
        tj.check_grads(lambda z, x: np.sum(z * x) * np.conj(z), (Z, R))

    def test_conjugates_of_conjugates_are_dropped(self):
        builder = Builder()
        z = builder.input(aval((3,), tj.complex128))
        twice = conj(conj(z * z))
        program = simplify(Program(builder.tape, (z.row,), (twice.row,)))
        assert [program.tape.kind(row).op.name for row in range(len(program.tape))] == [
            "input",
            "mul",
        ]

    def test_parts_are_rows_of_their_own_in_programs(self):
        builder = Builder()
        z = builder.input(aval((3, 2), tj.complex128))
        pairs = view_as_real(z)
        second = slice_(pairs, starts=(1, 0, 1), lengths=(2, 2, 1), steps=(1, 1, 1))
        program = simplify(Program(builder.tape, (z.row,), (second.row,)))
        names = [program.tape.kind(row).op.name for row in range(len(program.tape))]
        assert names == ["input", "slice", "imag", "reshape"]
        np.testing.assert_array_equal(reference.run(program, [Z])[0], Z[1:].imag[..., None])

    def test_single_precision_stays(self):
        z = Z.astype(np.complex64)
        for _ in range(2):
            value, gradient = tj.value_and_grad(lambda z: np.sum(np.abs(z * (1 + 2j)) ** 2))(z)
            assert (value.dtype, gradient.dtype) == (np.float32, np.complex64)

    def test_jit_mixes_kernels_and_library_steps(self):
        program = tj.jit(lambda x, z: (x * x + 1.0, z * x, np.abs(z * x) + x, np.conj(z)))
        for _ in range(3):
            for got, want in zip(
                program(R, Z), (R * R + 1.0, Z * R, np.abs(Z * R) + R, np.conj(Z)), strict=True
            ):
                assert got.dtype == want.dtype
                np.testing.assert_allclose(got, want, rtol=1e-14)

    def test_results_share_no_memory_with_inputs(self):
        program = tj.jit(lambda z: (z.real, np.conj(z).imag, z))
        z = Z.copy()
        for _ in range(2):
            parts = program(z)
            parts[0][...] = 0
            np.testing.assert_array_equal(z, Z)

    def test_python_complex_numbers_are_read_afresh(self):
        factor = 1 + 1j
        program = tj.jit(lambda x: np.abs(x * factor))
        np.testing.assert_allclose(program(R), np.abs(R * factor))
        factor = complex(1, -0.0)
        np.testing.assert_allclose(program(R), np.abs(R))

    def test_branches_on_complex_values(self):
        @tj.grad
        def gradient(z):
            if z[0, 0].imag > 0 or bool(z.sum() == 0):
                return np.sum(np.abs(z) ** 2)
            return np.sum(np.abs(z))

        for z in (Z, np.conj(Z), Z, np.zeros_like(Z)):
            is_first = z[0, 0].imag > 0 or z.sum() == 0
            np.testing.assert_allclose(gradient(z), 2 * z if is_first else z / np.abs(z))

    def test_products(self):
        _, tangent = tj.jvp(lambda z: z * z, (Z,), (W,))
        np.testing.assert_allclose(tangent, 2 * Z * W)
        _, pullback = tj.vjp(lambda z: z * z, Z)
        np.testing.assert_allclose(pullback(W)[0], 2 * np.conj(Z) * W)  # the adjoint, as in PyTorch
        along = tj.grad(lambda s: np.sum(np.abs(tj.jvp(np.sin, (s * Z,), (W,))[1])))
        step = 1e-6
        slope = lambda s: np.sum(np.abs(np.cos(s * Z) * W))  # noqa: E731
        np.testing.assert_allclose(along(1.0), (slope(1 + step) - slope(1 - step)) / 2 / step, 1e-6)

    def test_what_has_no_one_derivative_is_refused(self):
        with pytest.raises(tj.errors.NotDifferentiable, match="output is no float"):
            tj.grad(lambda z: np.sum(z * z))(Z)
        with pytest.raises(tj.errors.NotDifferentiable, match="an output is complex"):
            tj.jacobian(lambda z: z * z)(Z)
        with pytest.raises(tj.errors.NotDifferentiable, match=r"try  np\.array\(z\)"):
            tj.grad(abs)(1j)
        assert tj.grad(abs)(np.array(1j)) == 1j

    def test_numpys_functions(self):
        z = tj.tensor(Z)
        for function in (np.real, np.imag, np.conj, np.angle, np.abs, np.isreal, np.iscomplex,
                         np.sign, np.sqrt, np.exp):  # fmt: skip
            np.testing.assert_allclose(function(z).numpy(), function(Z), rtol=1e-14)
        assert np.iscomplexobj(z) and not np.isrealobj(z)
        np.testing.assert_array_equal(np.imag(tj.tensor([1.0])).numpy(), [0.0])
        np.testing.assert_allclose(tj.conj(Z), np.conj(Z))
        assert tj.angle(1j) == np.angle(1j)
