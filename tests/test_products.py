"""Products of vectors, matrices and named axes: PyTorch's values, dtypes, gradients and errors."""

from __future__ import annotations

import numpy as np
import pytest

import tapejit as tj
from tapejit.registry import KINDS

RANDOM = np.random.default_rng(7)


def arrays(*shapes):
    return [RANDOM.normal(size=shape) for shape in shapes]


# ---------------------------------------------------------------- einsum

EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,kj->ki", (2, 3), (4, 3)),
    ("bik,bkj->bij", (2, 3, 4), (2, 4, 5)),
    ("bki,bjk->jbi", (2, 4, 3), (2, 5, 4)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ijkl,klmn->mijn", (2, 3, 4, 2), (4, 2, 3, 2)),
    ("klij,klm->ijm", (4, 2, 2, 3), (4, 2, 5)),
    ("i,i->", (4,), (4,)),
    ("i,j->ij", (3,), (4,)),
    ("bi,bi->b", (3, 4), (3, 4)),
    ("bij,bj->bi", (3, 2, 4), (3, 4)),
    ("bi,bij->bj", (3, 4), (3, 4, 2)),
    ("ij,j->i", (3, 4), (4,)),
    ("i,ij->j", (3,), (3, 4)),
    ("ij,ij->ij", (3, 4), (3, 4)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("ijk->kj", (2, 3, 4)),
    ("ijk->", (2, 3, 4)),
    ("ij->ji", (2, 3)),
    ("ij,jj->i", (2, 3), (3, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...jk", (1, 5, 2, 3), (4, 1, 3, 4)),
    ("i...,i...->...", (3, 2, 4), (3, 4)),
    ("...,j->...j", (2, 3), (4,)),
    ("bij,bjk->bik", (1, 2, 3), (4, 3, 2)),
    ("ij,j->i", (3, 4), (1,)),
    ("a,b,c->abc", (2,), (3,), (4,)),
    ("ij,jk,kl->il", (2, 5), (5, 3), (3, 4)),
    ("ij,jk,kl,lm->im", (2, 5), (5, 3), (3, 4), (4, 2)),
    ("ab,bc,ca->", (2, 3), (3, 4), (4, 2)),
    ("bi,bj,bk,ijk->b", (2, 3), (2, 4), (2, 2), (3, 4, 2)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("iJ,Jk", (2, 3), (3, 4)),
]


@pytest.mark.parametrize("equation, shapes", [(e, s) for e, *s in EINSUMS], ids=lambda v: str(v))
def test_einsum(equation, shapes):
    torch = pytest.importorskip("torch")
    values = arrays(*shapes)
    ours = [tj.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    got, wanted = tj.einsum(equation, *ours), torch.einsum(equation, *theirs)
    np.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=1e-12)
    assert tuple(got.shape) == tuple(wanted.shape)
    (got * got).sum().backward()
    (wanted * wanted).sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_einsum_through_numpy_compiled_and_in_lists():
    x, y = arrays((2, 3, 4), (2, 4, 5))

    def loss(x, y):
        return np.sum(np.sin(np.einsum("bik,bkj->bij", x, y)))

    value_and_grad = tj.value_and_grad(loss, argnums=(0, 1))
    for _ in range(3):
        value, (gx, gy) = value_and_grad(x, y)
    assert value == pytest.approx(loss(x, y))
    slope = np.cos(x @ y)
    np.testing.assert_allclose(gx, slope @ np.swapaxes(y, 1, 2))
    np.testing.assert_allclose(gy, np.swapaxes(x, 1, 2) @ slope)
    lists = tj.einsum(tj.tensor(x), [0, 1, 2], tj.tensor(y), [0, 2, 3], [1, 3])
    np.testing.assert_allclose(lists.numpy(), np.einsum("bik,bkj->ij", x, y))
    implicit = np.einsum(tj.tensor(x), [..., 1], tj.ones(4, dtype=tj.float64), [1])
    np.testing.assert_allclose(implicit.numpy(), x.sum(-1))


def recorded(function, *tensors):
    """The operations and result shapes of the rows that a function appends to the tape."""
    tape = (tensors[0] + 0.0)._tape
    start = len(tape)
    function(*tensors)
    kinds = [KINDS[number] for number in tape.kinds[start:]]
    return [(kind.op.name, kind.aval.shape) for kind in kinds if kind.op.name != "input"]


def test_elementwise_einsum_is_no_matrix_product():
    x, y = tj.ones(3, 4, requires_grad=True), tj.ones(3)
    rows = recorded(lambda x, y: tj.einsum("bi,bi,b->b", x, x, y), x, y)
    assert "mul" in dict(rows) and "matmul" not in dict(rows)


def test_einsum_contracts_in_a_cheap_order():
    """From the left it would be a product of two matrices."""
    a, b, c = tj.ones(30, 30, requires_grad=True), tj.ones(30, 30), tj.ones(30)
    rows = recorded(lambda *xs: tj.einsum("ij,jk,k->i", *xs), a, b, c)
    assert [shape for name, shape in rows if name == "matmul"] == [(30,)]


EINSUM_ERRORS = [
    ("ijk,jk", ((2, 2), (2, 2)), "the number of subscripts in the equation"),
    ("ij,jk", ((2, 2),), "fewer operands"),
    ("ij", ((2, 2), (2, 2)), "more operands"),
    ("ij->ijk", ((2, 2),), "output subscript k does not appear"),
    ("ij->ii", ((2, 2),), "output subscript i appears more than once"),
    ("i1->i", ((2, 2),), "invalid subscript given at index 1"),
    ("ij,jk", ((2, 3), (2, 2)), "subscript j has size 2 for operand 1 which does not broadcast"),
    ("ii", ((2, 3),), "subscript i is repeated for operand 0 but the sizes don't match, 3 != 2"),
]


@pytest.mark.parametrize("equation, shapes, words", EINSUM_ERRORS)
def test_einsum_errors_are_pytorchs(equation, shapes, words):
    with pytest.raises(RuntimeError, match=words):
        tj.einsum(equation, *(tj.ones(*shape) for shape in shapes))


# ---------------------------------------------------------------- products by name

PRODUCTS = {
    "mm": ((2, 3), (3, 4)),
    "bmm": ((2, 3, 4), (2, 4, 2)),
    "mv": ((2, 3), (3,)),
    "dot": ((3,), (3,)),
    "vdot": ((3,), (3,)),
    "inner": ((2, 3), (4, 2, 3)),
    "outer": ((2,), (3,)),
    "ger": ((2,), (3,)),
    "kron": ((2, 3), (4, 1, 2)),
    "cross": ((4, 3), (4, 3)),
    "addmm": ((4,), (2, 3), (3, 4)),
    "addmv": ((2,), (2, 3), (3,)),
    "addr": ((2, 3), (2,), (3,)),
    "addbmm": ((3, 2), (4, 3, 5), (4, 5, 2)),
    "baddbmm": ((4, 3, 2), (4, 3, 5), (4, 5, 2)),
    "trace": ((3, 4),),
    "chain_matmul": ((2, 3), (3, 4), (4, 2), (2, 5)),
    "tensordot": ((2, 3, 4), (3, 4, 5)),
}


@pytest.mark.filterwarnings("ignore:torch.chain_matmul", "ignore:Using torch.cross")
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    torch = pytest.importorskip("torch")
    values = arrays(*PRODUCTS[name])
    ours = [tj.tensor(v, requires_grad=True) for v in values]
    theirs = [torch.tensor(v, requires_grad=True) for v in values]
    got, wanted = getattr(tj, name)(*ours), getattr(torch, name)(*theirs)
    np.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=1e-12)
    (got * got).sum().backward()
    (wanted * wanted).sum().backward()
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", ["addmm", "addmv", "addr", "addbmm", "baddbmm"])
@pytest.mark.parametrize("beta, alpha", [(0, 1), (2, 0.5), (0.5, 3)])
def test_scaled_products(name, beta, alpha):
    torch = pytest.importorskip("torch")
    values = arrays(*PRODUCTS[name])
    if beta == 0:
        values[0][...] = np.nan
    got = getattr(tj, name)(*map(tj.tensor, values), beta=beta, alpha=alpha)
    wanted = getattr(torch, name)(*map(torch.tensor, values), beta=beta, alpha=alpha)
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-12)
    if got.shape == values[0].shape:
        memory = tj.tensor(values[0])
        changed = getattr(memory, f"{name}_")(*map(tj.tensor, values[1:]), beta=beta, alpha=alpha)
        assert changed is memory
        np.testing.assert_allclose(memory.numpy(), wanted.numpy(), rtol=1e-12)


A, B, C = arrays((2, 3, 4), (4, 3), (3, 3))
U, V = arrays((2, 3), (2, 3))
NUMPY = [
    (np.dot, (A, B)),
    (np.dot, (C, A)),
    (np.inner, (U, C)),
    (np.inner, (A[0, 0], A)),
    (np.outer, (U, V)),
    (np.vdot, (U, V)),
    (np.kron, (U, C)),
    (np.cross, (U, V)),
    (np.tensordot, (A, B, 1)),
    (np.tensordot, (A, A, ([0, 1], [0, 1]))),
    (np.tensordot, (A, B, 0)),
    (np.trace, (A, 1, 0, 2)),
    (np.vecdot, (U, V)),
    (np.matvec, (C, U)),
    (np.vecmat, (U, C)),
]


@pytest.mark.parametrize("function, given", NUMPY, ids=lambda v: getattr(v, "__name__", ""))
def test_numpy_functions(function, given):
    wanted = function(*given)
    first, *rest = given
    got = function(tj.tensor(first, requires_grad=True), *rest)
    assert got.requires_grad
    np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-12)
    if len(rest) == 1 and isinstance(rest[0], np.ndarray):
        second = function(first, tj.tensor(rest[0], requires_grad=True))
        assert second.requires_grad
        np.testing.assert_allclose(second.detach().numpy(), wanted, rtol=1e-12)


def test_powers_of_a_matrix():
    torch = pytest.importorskip("torch")
    (a,) = arrays((2, 3, 3))
    for n in (0, 1, 2, 5, 8):
        x, y = tj.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        got, wanted = tj.matrix_power(x, n), torch.matrix_power(y, n)
        np.testing.assert_allclose(got.detach().numpy(), wanted.detach().numpy(), rtol=1e-11)
        if n:
            got.sum().backward()
            wanted.sum().backward()
            np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-10)


ERRORS = [
    (lambda: tj.dot(tj.ones(2), tj.ones(3)), "inconsistent tensor size"),
    (lambda: tj.vdot(tj.ones(2), tj.ones(2, 2)), "1D tensors expected"),
    (lambda: tj.mm(tj.ones(2, 3), tj.ones(2)), "mat2 must be a matrix"),
    (lambda: tj.bmm(tj.ones(2, 2, 3), tj.ones(2, 2, 3)), r"to be: \[2, 3\] but got: \[2, 2\]"),
    (lambda: tj.addmm(tj.ones(2), tj.ones(2, 3), tj.ones(4, 3)), "cannot be multiplied"),
    (lambda: tj.trace(tj.ones(2)), "trace: expected a matrix, but got tensor with dim 1"),
    (lambda: tj.inner(tj.ones(2, 3), tj.ones(2, 4)), "the last dimension must match"),
    (lambda: tj.cross(tj.ones(2, 4), tj.ones(2, 4)), "no dimension of size 3"),
    (lambda: tj.tensordot(tj.ones(2, 3), tj.ones(2, 3)[:, :2], 2), "contracted dimensions need"),
    (lambda: tj.matrix_power(tj.ones(2, 3), 2), "they are 2 by 3 matrices"),
]


@pytest.mark.parametrize("call, words", ERRORS)
def test_errors_are_pytorchs(call, words):
    with pytest.raises(RuntimeError, match=words):
        call()
