"""Linear algebra against PyTorch: values, gradients, second order, edges, errors.

`LOSSES` are written once for both libraries; what LAPACK may choose (signs, phases, order within
equal values) cancels in them.  Gradients are those with respect to unconstrained matrices: where
an operation wants a Hermitian one, the loss makes it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapejit as tj
from tapejit.errors import LinAlgError, NotDifferentiable
from tapejit.ops import lapack
from tapejit.ops.loops import factorizations

# ---------------------------------------------------------------- values and gradients


def spd(t, a):
    n = a.shape[-1]
    return a @ a.mH / n + t.eye(n, dtype=a.dtype)


def hermitian(a):
    return (a + a.mH) / 2


def projector(v):
    return v @ v.mH


def weighed(t, x):
    """Each element times another number, so that no symmetry hides a fault."""
    weights = t.arange(1, x.numel() + 1, dtype=t.float64).reshape(x.shape)
    return (abs(x) * weights).sum() if x.is_complex() else (x * weights.sin()).sum()


SQUARE, TALL, WIDE = (3, 3), (4, 3), (3, 4)

LOSSES = {
    "cholesky": (lambda t, a: weighed(t, t.linalg.cholesky(spd(t, a))), SQUARE),
    "cholesky upper": (lambda t, a: weighed(t, t.linalg.cholesky(spd(t, a), upper=True)), SQUARE),
    "cholesky_ex": (lambda t, a: weighed(t, t.linalg.cholesky_ex(spd(t, a)).L), SQUARE),
    "cholesky_solve": (
        lambda t, a, b: weighed(t, t.cholesky_solve(b, t.linalg.cholesky(spd(t, a)))),
        SQUARE,
        (3, 2),
    ),
    "cholesky_solve upper": (
        lambda t, a, b: weighed(t, t.cholesky_solve(b, t.linalg.cholesky(spd(t, a)).mH, True)),
        SQUARE,
        (3, 2),
    ),
    "cholesky_inverse": (
        lambda t, a: weighed(t, t.cholesky_inverse(t.linalg.cholesky(spd(t, a)))),
        SQUARE,
    ),
    "solve_triangular": (
        lambda t, a, b: weighed(t, t.linalg.solve_triangular(spd(t, a), b, upper=True)),
        SQUARE,
        (3, 2),
    ),
    "solve_triangular from the right": (
        lambda t, a, b: weighed(
            t, t.linalg.solve_triangular(spd(t, a), b, upper=False, left=False, unitriangular=True)
        ),
        SQUARE,
        (2, 3),
    ),
    "solve": (lambda t, a, b: weighed(t, t.linalg.solve(a, b)), SQUARE, (3, 2)),
    "solve left=False": (
        lambda t, a, b: weighed(t, t.linalg.solve(a, b, left=False)), SQUARE, (2, 3)
    ),
    "solve_ex": (lambda t, a, b: weighed(t, t.linalg.solve_ex(a, b).result), SQUARE, (3, 2)),
    "inv": (lambda t, a: weighed(t, t.linalg.inv(a)), SQUARE),
    "inverse": (lambda t, a: weighed(t, a.inverse()), SQUARE),
    "inv_ex": (lambda t, a: weighed(t, t.linalg.inv_ex(a).inverse), SQUARE),
    "det": (lambda t, a: weighed(t, t.linalg.det(a)), SQUARE),
    "slogdet": (lambda t, a: weighed(t, t.linalg.slogdet(a).logabsdet), SQUARE),
    "sign of slogdet": (lambda t, a: (t.linalg.slogdet(a).sign * (1 + 2j)).real.sum(), SQUARE),
    "logdet": (lambda t, a: abs(t.logdet(spd(t, a))).sum(), SQUARE),
    "pinv tall": (lambda t, a: weighed(t, t.linalg.pinv(a)), TALL),
    "pinv wide": (lambda t, a: weighed(t, t.linalg.pinv(a)), WIDE),
    "pinv of rank 2": (lambda t, a, b: weighed(t, t.linalg.pinv(a @ b)), (4, 2), (2, 4)),
    "pinv hermitian": (lambda t, a: weighed(t, t.linalg.pinv(spd(t, a), hermitian=True)), SQUARE),
    "lstsq tall": (lambda t, a, b: weighed(t, t.linalg.lstsq(a, b).solution), TALL, (4, 2)),
    "lstsq wide": (lambda t, a, b: weighed(t, t.linalg.lstsq(a, b).solution), WIDE, (3, 2)),
    "lu": (lambda t, a: weighed(t, t.linalg.lu(a).L) + weighed(t, t.linalg.lu(a).U), SQUARE),
    "lu tall": (lambda t, a: weighed(t, t.linalg.lu(a).L) + weighed(t, t.linalg.lu(a).U), TALL),
    "lu wide": (lambda t, a: weighed(t, t.linalg.lu(a).L) + weighed(t, t.linalg.lu(a).U), WIDE),
    "lu_factor": (lambda t, a: weighed(t, t.linalg.lu_factor(a).LU), SQUARE),
    "lu_solve": (
        lambda t, a, b: weighed(t, t.linalg.lu_solve(*t.linalg.lu_factor(a), b)),
        SQUARE,
        (3, 2),
    ),
    "lu_solve adjoint": (
        lambda t, a, b: weighed(t, t.linalg.lu_solve(*t.linalg.lu_factor(a), b, adjoint=True)),
        SQUARE,
        (3, 2),
    ),
    "lu_solve from the right": (
        lambda t, a, b: weighed(t, t.linalg.lu_solve(*t.linalg.lu_factor(a), b, left=False)),
        SQUARE,
        (2, 3),
    ),
    "eigvalsh": (lambda t, a: weighed(t, t.linalg.eigvalsh(hermitian(a))), SQUARE),
    "eigvalsh U": (lambda t, a: weighed(t, t.linalg.eigvalsh(hermitian(a), "U")), SQUARE),
    "eigh": (
        lambda t, a: weighed(t, projector(t.linalg.eigh(hermitian(a)).eigenvectors[..., :2]))
        + weighed(t, t.linalg.eigh(hermitian(a)).eigenvalues),
        SQUARE,
    ),
    "eigvals": (lambda t, a: (t.linalg.eigvals(a) ** 3).real.sum(), SQUARE),
    "eig": (
        lambda t, a: (lambda w, v: weighed(t, abs(v) * abs(w).unsqueeze(-2)))(*t.linalg.eig(a)),
        SQUARE,
    ),
    "svdvals": (lambda t, a: weighed(t, t.linalg.svdvals(a)), TALL),
    "svd tall": (
        lambda t, a: (
            lambda u, s, vh: weighed(t, projector(u[..., :2]))
            + weighed(t, u[..., :1] @ vh[..., :1, :])
            + weighed(t, s)
        )(*t.linalg.svd(a, full_matrices=False)),
        TALL,
    ),
    "svd wide": (
        lambda t, a: (
            lambda u, s, vh: weighed(t, projector(vh.mH[..., :2]))
            + weighed(t, u[..., :1] @ vh[..., :1, :])
        )(*t.linalg.svd(a, full_matrices=False)),
        WIDE,
    ),
    "svd square, full": (
        lambda t, a: (lambda u, s, vh: weighed(t, u[..., :2] @ vh[..., :2, :]))(*t.linalg.svd(a)),
        SQUARE,
    ),
    "qr": (lambda t, a: (lambda q, r: weighed(t, q) + weighed(t, r))(*t.linalg.qr(a)), TALL),
    "qr wide": (lambda t, a: (lambda q, r: weighed(t, q) + weighed(t, r))(*t.linalg.qr(a)), WIDE),
    "qr complete": (
        lambda t, a: (lambda q, r: weighed(t, q) + weighed(t, r))(*t.linalg.qr(a, "complete")),
        WIDE,
    ),
    "matrix_exp": (lambda t, a: weighed(t, t.linalg.matrix_exp(a)), SQUARE),
    "matrix_power": (lambda t, a: weighed(t, t.linalg.matrix_power(a, -3)), SQUARE),
    "multi_dot": (lambda t, a, b: abs(t.linalg.multi_dot([a[:1], a.mT, b])).sum(), (5, 3), (5, 2)),
    "cond": (lambda t, a: weighed(t, t.linalg.cond(a)), SQUARE),
    "cond 1": (
        lambda t, a: weighed(t, t.linalg.cond(a, 1)) if t is tj  # PyTorch 2.13 has no gradient
        else weighed(t, t.linalg.matrix_norm(a, 1) * t.linalg.matrix_norm(t.linalg.inv(a), 1)),
        SQUARE,
    ),
    "cond -2": (lambda t, a: weighed(t, t.linalg.cond(a, -2)), TALL),
    "vander": (lambda t, a: weighed(t, t.linalg.vander(a, N=4)), (2, 3)),
    "vecdot": (lambda t, a, b: weighed(t, t.linalg.vecdot(a, b)), SQUARE, SQUARE),
    "cross": (lambda t, a, b: weighed(t, t.linalg.cross(a, b)), SQUARE, SQUARE),
    "tensorinv": (lambda t, a: weighed(t, t.linalg.tensorinv(a.reshape(3, 1, 3), ind=1)), SQUARE),
    "tensorsolve": (
        lambda t, a, b: weighed(t, t.linalg.tensorsolve(a.reshape(3, 1, 3), b)),
        SQUARE,
        (3, 1),
    ),
    **{
        f"matrix_norm {p}": (lambda t, a, p=p: weighed(t, t.linalg.matrix_norm(a, p)), TALL)
        for p in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
    },
    **{
        f"vector_norm {p}": (lambda t, a, p=p: weighed(t, t.linalg.vector_norm(a, p, -1)), TALL)
        for p in (0.5, 1, 2, 3, -1, -2.5, math.inf, -math.inf)
    },
    **{
        f"norm {p}": (lambda t, a, p=p: abs(t.linalg.norm(a, p)).sum(), TALL)
        for p in (None, "nuc", 2, -math.inf)
    },
    "householder_product": (
        lambda t, a, b: weighed(t, t.linalg.householder_product(a, b[..., 0])), TALL, (2, 1)
    ),
    "dist": (lambda t, a, b: t.dist(a, b, 3), TALL, TALL),
    "norm at top level": (lambda t, a: t.norm(a, 3) + t.norm(a).sin() + t.norm(a, "nuc"), TALL),
}  # fmt: skip
UNBATCHED = {"multi_dot", "dist", "tensorinv", "tensorsolve", "norm at top level"} | {
    name for name in LOSSES if name.startswith("norm ")
}


def given(name, dtype, batch):
    random = np.random.default_rng(sum(map(ord, name)) + len(batch))
    for shape in LOSSES[name][1:]:
        x = random.normal(size=(*batch, *shape))
        if dtype == "complex128":
            x = x + 1j * random.normal(size=x.shape)
        if len(shape) == 2 and shape[0] == shape[1]:  # away from singular
            x = x + 1.5 * np.eye(shape[0])
        yield x


def derivatives(t, loss, values, second):
    """The loss, its gradients, and gradients of a number made of those."""
    leaves = [t.tensor(v, requires_grad=True) for v in values]
    y = loss(t, *leaves)
    y = y.real if y.is_complex() else y
    gradients = t.autograd.grad(y, leaves, create_graph=second)
    results = [y, *gradients]
    if second:
        mixed = sum(
            (g * g.conj()).real.sum() if g.is_complex() else (g**3).sum() for g in gradients
        )
        results += t.autograd.grad(mixed, leaves, allow_unused=True)
    return [None if r is None else r.detach().numpy(force=True) for r in results]


CASES = [
    (name, dtype, batch)
    for name in LOSSES
    for dtype in ("float64", "complex128")
    for batch in ((), (2,))
    if not (batch and name in UNBATCHED)
]


@pytest.mark.parametrize("name, dtype, batch", CASES, ids=lambda v: str(v).replace(" ", "_"))
def test_pytorch_agrees(name, dtype, batch):
    torch = pytest.importorskip("torch")
    loss = LOSSES[name][0]
    values = list(given(name, dtype, batch))
    if name == "sign of slogdet" and dtype == "float64":
        pytest.skip("a constant")
    second = not batch
    wanted = derivatives(torch, loss, values, second)
    got = derivatives(tj, loss, values, second)
    for ours, theirs in zip(got, wanted, strict=True):
        if theirs is not None:
            ours = np.zeros_like(theirs) if ours is None else ours
            assert ours.dtype == theirs.dtype
            scale = np.max(np.abs(theirs), initial=1e-3)
            np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9 * scale)


# ---------------------------------------------------------------- other ways to call

RANDOM = np.random.default_rng(11)
A, B = RANDOM.normal(size=(3, 3)) + 2 * np.eye(3), RANDOM.normal(size=(3, 2))
S = A @ A.T
T = RANDOM.normal(size=(4, 2, 2))

NUMPY = {
    "cholesky": (S,),
    "cond": (A,),
    "cross": (A, A[::-1]),
    "det": (A,),
    "diagonal": (A,),
    "eigvalsh": (S,),
    "inv": (A,),
    "matmul": (A, B),
    "matrix_norm": (A,),
    "matrix_power": (A, 3),
    "matrix_rank": (A,),
    "matrix_transpose": (B,),
    "multi_dot": ([A, B, B.T],),
    "outer": (A[0], A[1]),
    "pinv": (B,),
    "solve": (A, B),
    "svdvals": (B,),
    "tensordot": (A, B),
    "tensorinv": (T.reshape(2, 2, 4),),
    "tensorsolve": (T, A[0, :1].repeat(4)),
    "trace": (A,),
    "vecdot": (A, A[::-1]),
    "vector_norm": (B,),
}
TUPLES = {
    "eigh": (S,),
    "lstsq": (B, A[0]),
    "qr": (B,),
    "slogdet": (A,),
    "svd": (B, False),
}


@pytest.mark.parametrize("name", [*NUMPY, *TUPLES])
def test_numpy_functions_of_tensors(name):
    function = getattr(np.linalg, name)
    arrays = NUMPY.get(name) or TUPLES[name]
    first, *rest = arrays
    is_list = isinstance(first, list)
    leaf = tj.tensor(first[0] if is_list else first, requires_grad=True)
    if name == "tensordot":
        rest = [*rest, 1]
        got = function(leaf, rest[0], axes=1)
        wanted = function(first, rest[0], axes=1)
    else:
        got = function([leaf, *first[1:]] if is_list else leaf, *rest)
        wanted = function(*arrays)
    if name in NUMPY:
        got, wanted = (got,), (wanted,)
    else:
        assert type(got)._fields == getattr(type(wanted), "_fields", type(got)._fields)
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.requires_grad or name in ("matrix_rank", "lstsq", "slogdet")
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [None, (0, 1), 1])
def test_numpy_norms(order, axis):
    if axis == 1 and isinstance(order, str):
        return
    for keepdims in (False, True):
        wanted = np.linalg.norm(B, order, axis, keepdims)
        got = np.linalg.norm(tj.tensor(B), order, axis, keepdims)
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-12)
    if axis is None:
        assert tj.linalg.norm(B, order) == pytest.approx(np.linalg.norm(B, order))


def test_vectors_and_matrices_on_the_right():
    a = tj.tensor(np.stack([A, S]))
    b = tj.tensor(RANDOM.normal(size=(2, 3)))
    assert tj.linalg.solve(a, b).shape == (2, 3)  # PyTorch's rule: a batch of vectors
    assert np.linalg.solve(a, b[:, :, None]).shape == (2, 3, 1)
    assert tj.linalg.solve(a, b[0]).shape == (2, 3)
    np.testing.assert_allclose(tj.linalg.solve(A, B[:, 0]), np.linalg.solve(A, B[:, 0]))
    assert np.linalg.inv(a=a).shape == (2, 3, 3)
    assert np.linalg.solve(tj.tensor([[2, 0], [0, 4]]), np.array([2, 4])).tolist() == [1.0, 1.0]


def test_large_batches_of_small_matrices():
    """They are worked on all at once."""
    a = RANDOM.normal(size=(40, 5, 5)) + 2 * np.eye(5)
    b = RANDOM.normal(size=(40, 5, 2))
    for kind in (0, 0.5j):
        a, b = a + kind * a[::-1], b + kind * b[::-1]
        p, lower, upper = tj.linalg.lu(tj.tensor(a))
        np.testing.assert_allclose((p @ lower @ upper).numpy(), a, atol=1e-12)
        np.testing.assert_allclose(tj.linalg.solve(a, b), np.linalg.solve(a, b))
        left = tj.linalg.lu_solve(*tj.linalg.lu_factor(a), b, adjoint=True)
        np.testing.assert_allclose(left, np.linalg.solve(np.swapaxes(a, 1, 2).conj(), b))
        np.testing.assert_allclose(tj.linalg.det(a), np.linalg.det(a))
        got = tj.linalg.solve_triangular(a, b, upper=True)
        np.testing.assert_allclose(got, np.linalg.solve(np.triu(a), b))
        x = tj.tensor(a, requires_grad=True)
        tj.linalg.solve(x, tj.tensor(b)).abs().sum().backward()
        y = tj.tensor(a[7], requires_grad=True)
        tj.linalg.solve(y, tj.tensor(b[7])).abs().sum().backward()
        np.testing.assert_allclose(x.grad[7].numpy(), y.grad.numpy(), rtol=1e-9)


def test_cholesky_of_several_blocks():
    torch = pytest.importorskip("torch")
    n = 150
    a = RANDOM.normal(size=(n, n)) / math.sqrt(n)
    weights = RANDOM.normal(size=(n, n))
    gradients = []
    for t in (tj, torch):
        x = t.tensor(a, requires_grad=True)
        factor = t.linalg.cholesky(x @ x.mT + t.eye(n, dtype=t.float64))
        (factor * t.tensor(weights)).sum().backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-9, atol=1e-11)


def likelihood(a, b):
    """A Gaussian one: the quadratic form and the determinant."""
    return b @ np.linalg.solve(a, b) + np.linalg.slogdet(a)[1]


def test_compiled_programs_factorise_once(monkeypatch):
    """Value and gradient of a solve and a determinant: one LU, of LAPACK from some size on."""
    n = factorizations.SMALL + 1
    a, b = 2 * np.eye(n) + RANDOM.normal(size=(n, n)) / n, RANDOM.normal(size=n)
    calls, factorize = [], lapack._factorize
    monkeypatch.setattr(lapack, "_factorize", lambda x: calls.append(1) or factorize(x))
    value_and_grad = tj.value_and_grad(likelihood, argnums=(0, 1))
    for _ in range(3):
        calls.clear()
        value, (ga, gb) = value_and_grad(a, b)
    assert len(calls) == 1
    inverse = np.linalg.inv(a)
    assert value == pytest.approx(likelihood(a, b))
    np.testing.assert_allclose(gb, (inverse + inverse.T) @ b)
    np.testing.assert_allclose(ga, inverse.T - np.outer(inverse.T @ b, inverse @ b), rtol=1e-9)


@pytest.mark.parametrize(
    "f", [likelihood, lambda a, b: np.sum(np.linalg.eigvalsh(a + a.T) ** 3) * b[0]]
)
def test_any_order(f):
    b = RANDOM.normal(size=3)
    tj.check_grads(f, (S, b), order=3)


SQUARES = ("cholesky", "inv", "det", "eigvalsh", "svdvals", "matrix_exp", "eigh", "eig")
EMPTY = dict.fromkeys(SQUARES, ((0, 0), (0, 3, 3)))
EMPTY |= dict.fromkeys(("svd", "qr", "lu", "pinv"), ((0, 0), (0, 3, 3), (0, 3), (3, 0)))


@pytest.mark.parametrize("name, shape", [(n, s) for n, shapes in EMPTY.items() for s in shapes])
def test_empty_matrices_and_batches(name, shape):
    torch = pytest.importorskip("torch")
    x = tj.zeros(*shape, requires_grad=True)
    got = getattr(tj.linalg, name)(x)
    wanted = getattr(torch.linalg, name)(torch.zeros(*shape))
    got, wanted = ((r,) if not isinstance(r, tuple) else r for r in (got, wanted))
    assert [tuple(r.shape) for r in got] == [tuple(r.shape) for r in wanted]
    sum((r.abs().sum() for r in got if r.requires_grad), 0.0 * x.sum()).backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("dtype", [tj.float32, tj.complex64])
def test_single_precision_stays(dtype):
    x = tj.tensor(S.astype(dtype.dtype), requires_grad=True)
    for name in ("cholesky", "inv", "det", "slogdet", "eigh", "svd", "qr", "lu", "matrix_exp"):
        results = getattr(tj.linalg, name)(x)
        for r in results if isinstance(results, tuple) else (results,):
            assert r.dtype in (dtype, tj.float32), name
    for name in ("inv", "det", "matrix_exp", "svdvals", "eigvalsh", "cholesky", "pinv"):
        x.grad = None
        getattr(tj.linalg, name)(x).abs().sum().backward()
        assert x.grad.dtype is dtype, name


# ---------------------------------------------------------------- equal values, singular matrices


def degenerate():
    """Eigenvalues 1, 1, 3."""
    q, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return q @ np.diag([1.0, 1.0, 3.0]) @ q.T


def gradient(loss, x):
    x = tj.tensor(x, requires_grad=True)
    loss(x).backward()
    return x.grad.numpy()


def test_equal_eigenvalues_alone_have_a_gradient():
    x = degenerate()
    np.testing.assert_allclose(
        gradient(lambda a: (tj.linalg.eigvalsh(a) ** 2).sum(), x), 2 * x, atol=1e-12
    )
    got = gradient(lambda a: tj.linalg.eigvalsh(a).sum(), np.eye(4))
    np.testing.assert_allclose(got, np.eye(4), atol=1e-14)


def test_equal_eigenvalues_in_a_loss_that_does_not_see_which_vectors():
    """The two equal ones stay together in a projector, and are free to turn."""

    def loss(a):
        vectors = tj.linalg.eigh(a).eigenvectors[:, :2]
        return (vectors @ vectors.mT * tj.tensor(S)).sum()

    x = degenerate()
    got = gradient(loss, x)
    t = (B @ B.T - 1) * 1e-6  # a symmetric direction; the projector is smooth, so differences are

    def value(a):
        with tj.no_grad():
            return loss(tj.tensor(a)).item()

    assert np.sum(got * t) == pytest.approx((value(x + t) - value(x - t)) / 2, rel=1e-5)


def test_accidents_of_a_special_basis_are_refused():
    """At the identity, where LAPACK's vectors are its columns; the first gradient is 1/2 off it."""
    for loss in (
        lambda values, v: (v * values.log() @ v.mT)[0, 1],
        lambda values, v: (v * values @ v.mT).sum(),
        lambda values, v: v[0, 0] ** 2,
        lambda values, v: v.abs().sum(),
    ):
        with pytest.raises(NotDifferentiable, match="eigenvalues are equal"):
            gradient(lambda a, loss=loss: loss(*tj.linalg.eigh(a)), np.eye(3))
    np.testing.assert_array_equal(tj.linalg.eigh(np.eye(3)).eigenvectors, np.eye(3))


def test_equal_eigenvalues_in_a_loss_that_depends_on_the_choice_are_refused():
    for x in (degenerate(), np.eye(3)):
        with pytest.raises(NotDifferentiable, match="eigenvalues are equal"):
            gradient(lambda a: (tj.linalg.eigh(a).eigenvectors * tj.tensor(A)).sum(), x)
    with pytest.raises(NotDifferentiable, match="eigenvalues are equal"):  # compiled too
        compiled = tj.grad(lambda a: np.sum(np.linalg.eigh(a)[1] * A))
        for x in (S, S, np.eye(3)):
            compiled(x)


def test_tangents_and_second_derivatives_at_equal_eigenvalues_are_refused():
    with pytest.raises(NotDifferentiable, match="eigenvalues are equal"):
        tj.hessian(lambda a: np.sum(np.linalg.eigvalsh(a) ** 2))(np.eye(2))
    with pytest.raises(NotDifferentiable, match="eigenvalues are equal"):
        tj.jvp(lambda a: np.linalg.eigh(a)[1], (np.eye(2),), (S[:2, :2],))


def test_equal_singular_values():
    q, _ = np.linalg.qr(A)
    got = gradient(lambda a: tj.linalg.svdvals(a).sum(), q)  # the nuclear norm: its slope is U Vh
    np.testing.assert_allclose(got, q, atol=1e-12)

    def polar(a):
        u, _, vh = tj.linalg.svd(a)
        return (u @ vh * tj.tensor(S)).sum()  # unique, whatever the vectors

    skew = q.T @ S - S.T @ q
    np.testing.assert_allclose(gradient(polar, q), q @ skew / 2, atol=1e-10)
    with pytest.raises(NotDifferentiable, match="singular values are equal"):
        gradient(lambda a: (tj.linalg.svd(a).U * tj.tensor(S)).sum(), q)


def test_zero_singular_values():
    x = np.diag([2.0, 1.0, 0.0])
    got = gradient(lambda a: tj.linalg.matrix_norm(a, "nuc"), x)
    np.testing.assert_allclose(got, np.diag([1.0, 1.0, 0.0]), atol=1e-12)
    np.testing.assert_array_equal(gradient(lambda a: tj.linalg.matrix_norm(a, 2), 0 * x), 0 * x)
    with pytest.raises(NotDifferentiable, match="a singular value is zero"):
        gradient(lambda a: (tj.linalg.svd(a, False).U * tj.tensor(B)).sum(), B * [1.0, 0.0])
    with pytest.raises(NotDifferentiable, match="complete the basis"):
        gradient(lambda a: tj.linalg.svd(a).U.sum(), B)
    first = gradient(lambda a: tj.linalg.svd(a).U[:, 0].sum(), B)
    np.testing.assert_allclose(
        first, gradient(lambda a: tj.linalg.svd(a, False).U[:, 0].sum(), B), rtol=1e-9
    )


@pytest.mark.parametrize("rank", [3, 2, 1, 0])
def test_the_gradient_of_det_is_its_cofactors(rank):
    """PyTorch's is NaN or wrong where the matrix is singular."""
    u, s, vh = np.linalg.svd(A)
    x = u[:, :rank] * s[:rank] @ vh[:rank]
    minors = np.array([
        [
            (-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1))
            for j in range(3)
        ]
        for i in range(3)
    ])  # fmt: skip
    np.testing.assert_allclose(gradient(tj.linalg.det, x), minors, atol=1e-10)


def test_slogdet_of_a_singular_matrix():
    sign, size = tj.linalg.slogdet(tj.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True))
    assert sign.item() == 0.0 and size.item() == -math.inf
    size.backward()


def test_norms_have_slope_0_at_0():
    for p in (0.5, 1, 1.5, 2, 3, -1, math.inf, -math.inf):
        for x in (np.zeros(3), np.array([0.0, 2.0, 0.0])):
            slope = gradient(lambda v, p=p: tj.linalg.vector_norm(v, p), x)
            assert np.isfinite(slope).all(), p
            if not x.any():
                np.testing.assert_array_equal(slope, 0.0)
    for p in ("fro", "nuc", 1, 2, math.inf):
        slope = gradient(lambda v, p=p: tj.linalg.matrix_norm(v, p), np.zeros((2, 2)))
        np.testing.assert_array_equal(slope, 0.0)
    assert tj.linalg.vector_norm(tj.tensor([0.0, 2.0, 3.0]), 0).item() == 2.0


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0, math.inf])
def test_distances_of_rows(p):
    torch = pytest.importorskip("torch")
    results = []
    for t in (tj, torch):
        x, y = (t.tensor(v, requires_grad=True) for v in (np.stack([A, S]), 0.3 * A[:2]))
        d = t.cdist(x, y, p)
        (d * d).sum().backward()
        results.append([v.detach().numpy() for v in (d, x.grad, y.grad)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert not gradient(lambda x: tj.cdist(x, x).sum(), np.zeros((2, 3))).any()


def test_phases_of_complex_vectors_are_refused():
    x = S + 1j * (A - A.T)
    for f in (tj.linalg.eigh, tj.linalg.eig):
        with pytest.raises(NotDifferentiable, match="up to multiplication by e"):
            gradient(lambda a, f=f: f(a)[1].real.sum(), x)
    with pytest.raises(NotDifferentiable, match="up to multiplication by e"):
        gradient(lambda a: tj.linalg.svd(a).U.real.sum(), x)


# ---------------------------------------------------------------- errors

Z = np.zeros((2, 2))
ERRORS = [
    (lambda: tj.linalg.inv(Z), LinAlgError, r"^linalg.inv: The diagonal element 1 is zero"),
    (lambda: tj.linalg.inv(np.stack([S[:2, :2], Z])), LinAlgError, r"inv: \(Batch element 1\)"),
    (lambda: tj.linalg.solve(Z, Z), LinAlgError, "^torch.linalg.solve: The solver failed because"),
    (lambda: tj.linalg.cholesky(-S), LinAlgError, "leading minor of order 1 is not positive"),
    (
        lambda: tj.linalg.cholesky(np.stack([S, S, np.diag([1.0, -1.0, 1.0])])),
        LinAlgError,
        r"linalg.cholesky: \(Batch element 2\): .* minor of order 2",
    ),
    (lambda: tj.linalg.svd(Z * np.nan), LinAlgError, "contained non-finite values"),
    (lambda: tj.linalg.inv(tj.ones(3)), RuntimeError, "must have at least 2 dimensions"),
    (lambda: tj.linalg.det(B), RuntimeError, "A must be batches of square matrices, but they are"),
    (lambda: tj.linalg.inv(tj.ones(2, 2).long()), TypeError, "floating point or complex tensor"),
    (lambda: tj.linalg.inv(tj.ones(2, 2).half()), TypeError, "Low precision dtypes not supported"),
    (lambda: tj.linalg.solve(A, B[:2]), RuntimeError, r"the equation AX = B \(3x3 and 2x2\)"),
    (lambda: tj.linalg.lstsq(A, B[:2]), RuntimeError, r"input.size\(-2\) should match"),
    (lambda: tj.linalg.matrix_norm(A, 3), RuntimeError, "Order 3 not supported"),
    (lambda: tj.linalg.norm(T, 2), RuntimeError, "the input must be 1D or 2D. Got 3D"),
    (lambda: tj.linalg.vector_norm(tj.ones(0), math.inf), RuntimeError, "cannot compute the inf"),
    (lambda: tj.linalg.qr(A, "raw"), RuntimeError, "unrecognized mode 'raw'"),
    (lambda: tj.linalg.multi_dot([tj.ones(2, 2)]), RuntimeError, "at least 2 tensors but got 1"),
    (lambda: tj.linalg.lu(A, pivot=False), RuntimeError, "without pivoting"),
    (lambda: tj.linalg.tensorinv(T, 2), RuntimeError, r"prod\(self.shape\[ind:\]\)"),
    (
        lambda: gradient(lambda a: tj.linalg.lstsq(a, a).solution.sum(), np.ones((3, 2))),
        NotDifferentiable,
        "not full rank",
    ),
    (lambda: gradient(lambda a: tj.linalg.qr(a).R.sum(), B @ Z), NotDifferentiable, "dependent"),
    (
        lambda: gradient(lambda a: tj.linalg.qr(a, "complete").Q.sum(), B),
        NotDifferentiable,
        "not differentiable when mode='complete' and nrows > ncols",
    ),
    (
        lambda: tj.hessian(lambda a: np.linalg.det(a))(np.diag([1.0, 1.0, 0.0])),
        LinAlgError,
        "det, second derivative",
    ),
]  # fmt: skip


@pytest.mark.parametrize("call, kind, words", ERRORS)
def test_errors(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_the_error_is_numpys_and_pytorchs():
    assert tj.linalg.LinAlgError is LinAlgError
    for kind in (np.linalg.LinAlgError, RuntimeError):
        with pytest.raises(kind):
            tj.linalg.inv(Z)
    compiled = tj.jit(lambda a: np.linalg.inv(a))
    compiled(A), compiled(A)
    with pytest.raises(LinAlgError):
        compiled(0 * A)
