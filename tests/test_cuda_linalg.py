"""Linear algebra on a GPU: by libraries, and by kernels of our own for small matrices.

The losses are those of test_linalg.py, in which what a library may choose (signs, phases) cancels.
"""

from __future__ import annotations

import contextlib
import itertools
import sys

import numpy as np
import pytest
import test_linalg
from cuda_libraries import CublasByDefinition, CusolverByDefinition, MachineWithLibraries
from test_cuda_program import MACHINE, check, compare, emitted, on_device

import tapejit as tj
from tapejit.errors import GpuUnavailable, LinAlgError, NotDifferentiable
from tapejit.registry import OPS
from tapejit.runtime.cuda.compiling import compile_ptx, link
from tapejit.runtime.cuda.libraries import factorizations
from tapejit.runtime.cuda.program import compile_for_device
from tapejit.runtime.cuda.simulator.machine import SimulatedMachine
from tapejit.tensor.core import apply

GPUS = ["simulated", pytest.param("card", marks=pytest.mark.gpu)]
SETTING = {"simulated": "simulator", "card": "card"}
LARGE = factorizations.FEWEST_ROWS + 5
DTYPES = ("float32", "float64", "complex64", "complex128")
RANDOM = np.random.default_rng(21)


@pytest.fixture(params=GPUS)
def device(request):
    """The name of a device, in a setting where it is this GPU."""
    with tj.config.set(cuda=SETTING[request.param]):
        yield "cuda"
        with contextlib.suppress(LinAlgError, NotDifferentiable):
            tj.cuda.synchronize()


@pytest.fixture
def libraries_only(monkeypatch):
    """Small matrices too are the libraries'."""
    monkeypatch.setattr(factorizations, "FEWEST_ROWS", 1)
    monkeypatch.setattr(factorizations, "ROWS_A_MATRIX", 0)


def matrices(*shape, dtype="float64"):
    x = RANDOM.normal(size=shape)
    if dtype.startswith("complex"):
        x = x + 1j * RANDOM.normal(size=shape)
    return x.astype(dtype)


def definite(*shape, dtype="float64"):
    x = matrices(*shape, dtype=dtype)
    return (x @ np.swapaxes(x, -1, -2).conj() / shape[-1] + np.eye(shape[-1])).astype(dtype)


# ---------------------------------------------------------------- against the CPU


def derivatives(loss, values, device):
    """The loss and its gradients."""
    tj.set_default_device(device)
    try:
        leaves = [tj.tensor(v, requires_grad=True) for v in values]
        y = loss(tj, *leaves)
        y = y.real if y.is_complex() else y
        return [x.detach().cpu().numpy() for x in (y, *tj.autograd.grad(y, leaves))]
    finally:
        tj.set_default_device("cpu")


@pytest.mark.parametrize("dtype, batch", [("float64", (2,)), ("complex128", ())])
@pytest.mark.parametrize("name", test_linalg.LOSSES)
def test_losses(name, dtype, batch, device, libraries_only):
    if (batch and name in test_linalg.UNBATCHED) or (name, dtype) == ("sign of slogdet", "float64"):
        pytest.skip("not a case")
    values = list(test_linalg.given(name, dtype, batch))
    loss = test_linalg.LOSSES[name][0]
    wanted = derivatives(loss, values, "cpu")
    for got, want in zip(derivatives(loss, values, device), wanted, strict=True):
        scale = np.max(np.abs(want), initial=1e-3)
        np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(LARGE, LARGE), (2, LARGE, LARGE), (70, 5, 5), (0, 3, 3)], ids=str
)
def test_systems_of_any_size(shape, dtype, device):
    """Large ones are the libraries', small ones and many our own; complex ones always theirs."""
    rtol = 2e-4 if dtype in ("float32", "complex64") else 1e-11
    a, b = definite(*shape, dtype=dtype), matrices(*shape[:-1], 3, dtype=dtype)
    x, y = tj.tensor(a, device=device), tj.tensor(b, device=device)
    factor = tj.linalg.cholesky(x)
    for got, want in (
        (factor, np.linalg.cholesky(a)),
        (tj.linalg.solve(x, y), np.linalg.solve(a, b)),
        (tj.linalg.inv(x), np.linalg.inv(a)),
        (factor @ tj.linalg.solve_triangular(factor, y, upper=False), b),
        (tj.cholesky_solve(y, factor), np.linalg.solve(a, b)),
        (tj.linalg.lu_solve(*tj.linalg.lu_factor(x), y), np.linalg.solve(a, b)),
        (tj.linalg.eigvalsh(x), np.linalg.eigvalsh(a)),
    ):
        assert got.is_cuda
        np.testing.assert_allclose(got.cpu().numpy(), want, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 5), (2, 7, 4), (4, 7), (0, 3, 2), (6, 1), (1, 6)], ids=str)
def test_decompositions(shape, dtype, device):
    """What they are made of gives the matrix again, and is what it should be."""
    rtol = 1e-4 if dtype in ("float32", "complex64") else 1e-11
    a = matrices(*shape, dtype=dtype)
    x = tj.tensor(a, device=device)
    for full in (False, True):
        u, s, vh = (t.cpu().numpy() for t in tj.linalg.svd(x, full_matrices=full))
        few = s.shape[-1]
        together = (u[..., :few] * s[..., None, :].astype(dtype)) @ vh[..., :few, :]
        np.testing.assert_allclose(together, a, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(s, np.linalg.svd(a, compute_uv=False), rtol=rtol, atol=rtol)
        q, r = (t.cpu().numpy() for t in tj.linalg.qr(x, mode="complete" if full else "reduced"))
        np.testing.assert_allclose(q @ r, a, rtol=rtol, atol=rtol)
        np.testing.assert_array_equal(np.tril(r, -1), np.zeros_like(r))
        for unitary in (u, q, np.swapaxes(vh, -1, -2).conj()):
            square = np.swapaxes(unitary, -1, -2).conj() @ unitary
            identity = np.broadcast_to(np.eye(square.shape[-1]), square.shape)
            np.testing.assert_allclose(square, identity, rtol=rtol, atol=rtol)
    product = (tj.linalg.pinv(x) @ x).cpu().numpy()
    np.testing.assert_allclose(product, np.linalg.pinv(a) @ a, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvectors(dtype, device):
    rtol = 1e-4 if dtype in ("float32", "complex64") else 1e-11
    a = matrices(2, 5, 5, dtype=dtype)
    values, v = (t.cpu().numpy() for t in tj.linalg.eig(tj.tensor(a, device=device)))
    np.testing.assert_allclose(a @ v, v * values[:, None, :], rtol=rtol, atol=rtol)
    np.testing.assert_allclose(np.linalg.norm(v, axis=-2), 1, rtol=rtol)
    found = np.sort_complex(tj.linalg.eigvals(tj.tensor(a, device=device)).cpu().numpy())
    np.testing.assert_allclose(found, np.sort_complex(values), rtol=10 * rtol, atol=10 * rtol)
    a = a + np.swapaxes(a, -1, -2).conj()
    for uplo in "LU":
        values, v = (t.cpu().numpy() for t in tj.linalg.eigh(tj.tensor(a, device=device), uplo))
        np.testing.assert_allclose(a @ v, v * values[:, None, :], rtol=10 * rtol, atol=10 * rtol)
        assert (np.diff(values) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponentials(dtype, device):
    """Of small and large matrices, one with many squarings, and of zero."""
    from scipy.linalg import expm

    rtol = 3e-5 if dtype in ("float32", "complex64") else 1e-12
    a = matrices(4, 3, 3, dtype=dtype) * np.array([1e-3, 1, 6, 0])[:, None, None].astype(dtype)
    stiff = np.array([[[-3e6, 1.0, 0], [0, -2.0, 0], [0, 3.0, -1.0]]], dtype)
    a = np.concatenate([a, stiff])
    got = tj.linalg.matrix_exp(tj.tensor(a, device=device)).cpu().numpy()
    for one, want in zip(got[:4], expm(a[:4]), strict=True):
        np.testing.assert_allclose(one, want, rtol=0, atol=rtol * np.abs(want).max())
    many = expm(stiff.astype("complex128"))[0]  # each squaring doubles what the first one rounded
    np.testing.assert_allclose(got[4], many, rtol=0, atol=3e6 * rtol / 1e3)
    beyond = tj.linalg.matrix_exp(tj.tensor(np.eye(2) * -1e12, device=device))
    assert beyond.isnan().all()


# ---------------------------------------------------------------- gradients that there are not


def test_vectors_of_equal_values(device):
    """A loss that any choice of them gives has a gradient; another one is refused, later."""
    found = {}
    for where in ("cpu", device):
        x = tj.tensor(np.diag([2.0, 2.0, 5.0]), device=where, requires_grad=True)
        values, v = tj.linalg.eigh(x)
        equal = v[:, :2] @ v[:, :2].mT
        (equal[0, 2] + 3 * equal[1, 1] + values.exp().sum()).backward()
        found[where] = x.grad.cpu().numpy()
    np.testing.assert_allclose(found[device], found["cpu"], rtol=1e-10, atol=1e-14)
    x.grad = None
    tj.linalg.eigh(x).eigenvectors[0, 0].backward()
    with pytest.raises(NotDifferentiable, match="eigenvectors is not defined"):
        x.grad.cpu()


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("is_wide", [False, True])
def test_vectors_of_equal_values_are_mixed(dtype, is_wide, device):
    """Still unitary, still those of the matrix; not those that a library would choose."""
    n = 5
    a = np.zeros((n, n + 2 * is_wide), dtype)
    a[range(n), range(n)] = [3, 3, 3, 1, 1]
    x = tj.tensor(a, device=device)
    u, s, vh = svd_of(x)
    np.testing.assert_allclose(u * s @ vh, a, atol=1e-14)
    np.testing.assert_allclose(u.conj().T @ u, np.eye(n), atol=1e-14)
    assert (np.abs(u[:3, :3]) > 1e-3).all() and (np.abs(u[3:, 3:]) > 1e-3).all()
    if not is_wide:
        packed = apply(OPS["eigh"], (x,), (True,)).cpu().numpy()
        v = packed[n:].reshape(n, n)
        np.testing.assert_allclose(v * packed[:n] @ v.conj().T, a, atol=1e-14)
        assert (np.abs(v) > 1e-3).sum() == 9 + 4


def svd_of(x):
    """U, S, V^H, with vectors of equal values turned."""
    packed = apply(OPS["svd"], (x,), (False, True)).cpu().numpy()
    (m, n), few = x.shape, min(x.shape)
    u, s, vh = np.split(packed, [m * few, m * few + few])
    return u.reshape(m, few), s.real, vh.reshape(few, n)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("n", [3, LARGE])
def test_errors_come_with_the_next_copy(n, dtype, device):
    singular = tj.tensor(np.ones((n, n), dtype), device=device)
    for call, message in (
        (lambda: tj.linalg.cholesky(-singular), "cholesky: a matrix is not positive-definite"),
        (lambda: tj.linalg.inv(singular * 0), "inv: a matrix is singular"),
        (lambda: tj.linalg.solve(singular * 0, singular), "lu_solve: a matrix is singular"),
    ):
        result = call()
        with pytest.raises(LinAlgError, match=message):
            result.cpu()
    assert tj.linalg.cholesky_ex(-singular).info.cpu().item() == 1


def test_matrices_that_are_not_finite(device):
    """Many small ones, whose singular values are found together."""
    x = tj.tensor(np.full((2, 3, 3), np.nan), device=device)
    for call in (tj.linalg.svdvals, lambda x: tj.linalg.svd(x).S):
        result = call(x)
        with pytest.raises(LinAlgError, match=r"svd.*: the algorithm did not converge"):
            result.cpu()


# ---------------------------------------------------------------- cuSOLVER


CALLS = {
    "cholesky": [(lambda x: OPS["cholesky"](x), "spd")],
    "info": [(lambda x: OPS["cholesky_info"](x), "spd")],
    "lu": [(lambda x: OPS["lu"](x), "square"), (lambda x: OPS["lu"](x), "tall")],
    "solves": [
        *[
            (lambda x, adjoint=adjoint: OPS["lu_solve"](
                x, OPS["lu"](x), 2.0 * x, adjoint=adjoint, name="solve"
            ), "square")
            for adjoint in (False, True)
        ],
        (lambda x: OPS["lu_inverse"](x, OPS["lu"](x), name="inv"), "square"),
        (lambda x: OPS["inv"](x), "square"),
    ],
    "triangles": [
        (lambda x, upper=upper, adjoint=adjoint, unit=unit: OPS["solve_triangular"](
            x, 2.0 * x, upper=upper, adjoint=adjoint, unit=unit
        ), "spd")
        for upper in (False, True) for adjoint in (False, True) for unit in (False, True)
    ],
    "qr": [
        (lambda x, full=full: OPS["qr"](x, full=full), of)
        for full in (False, True) for of in ("square", "tall", "wide")
    ],
    "eigh": [
        (lambda x: OPS["eigh"](x, turned=False), "spd"), (lambda x: OPS["eigvalsh"](x), "spd")
    ],
    "eig": [(lambda x: OPS["eig"](x), "square"), (lambda x: OPS["eigvals"](x), "square")],
    "svd": [
        (lambda x, full=full: OPS["svd"](x, full=full, turned=False), of)
        for full in (False, True) for of in ("square", "tall", "wide")
    ],
    "svdvals": [(lambda x: OPS["svdvals"](x), of) for of in ("square", "tall", "wide")],
}  # fmt: skip
"""Programs of a matrix that libraries do; of one that is "spd" what they may choose is the same."""


@pytest.mark.parametrize("dtype", DTYPES)
def test_cusolver_is_told_what_its_manual_asks_for(dtype, monkeypatch, libraries_only):
    """Its bindings replaced by what the manuals say, with LAPACK's numbers."""
    cublas, cusolver = CublasByDefinition("cublas"), CusolverByDefinition("cusolver")
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublas", cublas)
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cusolverDn", cusolver)
    machine, n = MachineWithLibraries(), 26  # rows above which loops are not planned at once
    for batch in ((), (2,)):
        of = {
            "square": matrices(*batch, n, n, dtype=dtype),
            "tall": matrices(*batch, n + 2, n, dtype=dtype),
            "wide": matrices(*batch, n - 2, n, dtype=dtype),
            "spd": definite(*batch, n, n, dtype=dtype),
        }
        for function, given in (call for calls in CALLS.values() for call in calls):
            arrays = [of[given]]
            program = emitted(lambda x, function=function: [function(x)], arrays)
            wanted = compile_for_device(program, MACHINE)(on_device(arrays))[0].to_host()
            got = compile_for_device(program, machine)(on_device(arrays, machine))[0].to_host()
            compare(got, wanted)
    letter = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}[dtype]
    kin = {"orgqr", "syevd", "syevj_batched"}
    if letter in "cz":
        kin = {"ungqr", "heevd", "heevj_batched"}
    routines = {"potrf", "getrf", "getrs", "geqrf", "gesvd", "gesvdj_batched", *kin}
    assert set(cusolver.calls) == {"create", "geev", *(letter + name for name in routines)}
    assert f"{letter}trsm" in cublas.calls


def test_without_cusolver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cublas", CublasByDefinition("cublas"))
    monkeypatch.setitem(sys.modules, "nvmath.bindings.cusolverDn", None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    machine, arrays = MachineWithLibraries(), [definite(LARGE, LARGE)]
    check(emitted(lambda x: [OPS["cholesky"](x)], arrays), arrays, machine=machine)  # our own
    with pytest.raises(GpuUnavailable, match=r"cuSOLVER: (.|\n)*cuda13-blas") as caught:
        compile_for_device(emitted(lambda x: [OPS["eigvalsh"](x)], arrays), machine)
    assert caught.value.reason == "package"


# ---------------------------------------------------------------- machine code


class Listing(SimulatedMachine):
    """A simulated GPU that keeps the kernels it is asked for."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def kernel(self, function):
        self.found[function] = None
        return super().kernel(function)


@pytest.mark.compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_around_libraries_are_compiled(dtype, libraries_only):
    """Those that turn, pack and judge: no spills, and no float64 in what is float32."""
    machine, x = Listing(), matrices(2, 26, 26, dtype=dtype)
    turned = [
        lambda x: OPS["eigh"](x, turned=True), lambda x: OPS["svd"](x, full=False, turned=True)
    ]  # fmt: skip
    for function in [*turned, *(call[0] for calls in CALLS.values() for call in calls)]:
        compile_for_device(emitted(lambda x, function=function: [function(x)], [x]), machine)
    assert len(machine.found) > 10
    for function, card in zip(machine.found, itertools.cycle(((8, 0), (9, 0)))):
        ptx = compile_ptx(function, card)
        cubin = link(ptx, card)
        assert cubin.spills == 0 and cubin.stack == 0, function.source
        assert ".f64" not in ptx or "f64*" in function.parameters, function.source
