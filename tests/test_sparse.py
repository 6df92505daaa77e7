"""Sparse derivatives: equal to the dense ones, by a pattern that is never stale.

Patterns are compared with what is numerically nonzero at random points, colourings with their
definition, values with the dense Jacobian and with ADBench's bundle adjustment.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import probing
import pytest
import scipy.optimize
import scipy.sparse
from operation_programs import draft

import tapejit as tj
from benchmarks.workloads import bundle
from tapejit import dtypes, tape
from tapejit.autodiff import reverse
from tapejit.errors import ArgumentError, NotDifferentiable, TapejitError, TraceError
from tapejit.transforms.sparse import colours, patterns, programs, short_axes


def numbers(*shape, seed=0):
    """Random numbers away from 0."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 2.0, shape) * rng.choice((-1.0, 1.0), shape)


def as_matrix(jacobian, x):
    return np.reshape(jacobian, (np.size(jacobian) // x.size if x.size else 0, x.size))


def dense_of(function, x):
    return as_matrix(tj.jacobian(function)(x), x)


# ---------------------------------------------------------------- operations, one by one


PLACES = np.array([2, 0, 2, -1])


def put(x):
    y = x * 1.0
    y[PLACES] = x[:4] ** 2  # the last of equal places wins
    y[1:3] = x[0] * x[3:5]
    return y


EXACT = {  # the pattern is the union of what is nonzero at random points
    "elementwise": (lambda x: np.sin(x) * 2, (5,)),
    "broadcast": (lambda x: x[:, None] * x[None, :], (4,)),
    "neighbours": (lambda x: x[1:] * x[:-1], (6,)),
    "both branches": (lambda x: np.where(x > 0, x, x[::-1] ** 2), (6,)),
    "no slope": (lambda x: np.floor(x) * x + np.sign(x[::-1]), (4,)),
    "sum": (lambda x: np.sum(x * x, axis=1), (3, 4)),
    "sum of squares": (lambda x: np.sum(x * x), (5,)),
    "mean": (lambda x: np.mean(x, axis=0) * x, (3, 4)),
    "largest": (lambda x: np.max(x, axis=1), (3, 4)),
    "norm": (lambda x: np.sqrt(np.sum(x**2, axis=(0, 2), keepdims=True)), (2, 3, 2)),
    "running sum": (lambda x: np.cumsum(x, axis=0) ** 2, (4, 2)),
    "running product": (lambda x: np.cumprod(x, axis=1), (2, 4)),
    "moved": (lambda x: np.roll(x.T[::-1], 1, axis=1).copy() * 3, (3, 4)),
    "repeated": (lambda x: np.repeat(x, 3) * np.tile(x, 3), (3,)),
    "joined": (lambda x: np.concatenate([x * x, np.sum(x)[None], x[::-1]]), (5,)),
    "stacked": (lambda x: np.stack([x, x[::-1] ** 2], axis=1), (4,)),
    "gathered": (lambda x: x[PLACES] * x[1], (4, 2)),
    "gathered pairs": (lambda x: x[PLACES[:3], np.array([1, 1, 0])], (4, 2)),
    "along an axis": (lambda x: np.take_along_axis(x, np.array([[1], [0]]), axis=1), (2, 3)),
    "put": (put, (6,)),
    "added at": (
        lambda x: tj.zeros(3, dtype=tj.float64).index_add(0, tj.tensor([2, 0, 2, 2]), x * x),
        (4,),
    ),
    "diagonal": (lambda x: np.diagonal(x) * x[0, 1], (3, 3)),
    "product": (lambda x: x @ np.arange(1.0, 9.0).reshape(4, 2), (3, 4)),
    "products": (lambda x: x @ x[:, :, ::-1].swapaxes(1, 2), (2, 2, 3)),
    "vector products": (lambda x: (x[0] @ x[1])[None] * (x[2:] @ x[0]), (4, 3)),
    "softmax": (lambda x: tj.softmax(x, 1), (3, 4)),
    "outer": (lambda x: np.outer(x, x[:2]), (4,)),
    "inverse": (lambda x: np.linalg.inv(x + 4 * np.eye(2)), (3, 2, 2)),
    "signal": (lambda x: np.convolve(x, np.array([1.0, 2.0, 3.0])), (6,)),
    "columns": (lambda x: np.linalg.solve(4 * np.eye(2) + np.ones((2, 2)), x), (2, 3)),
    "convolution": (
        lambda x: tj.nn.functional.conv2d(
            tj.reshape(x, (2, 2, 4, 3)),
            tj.ones(4, 1, 2, 2).double(),
            groups=2,
            padding=(1, 0),
            stride=(2, 1),
        ),
        (48,),
    ),
    "transposed convolution": (
        lambda x: tj.nn.functional.conv_transpose1d(
            tj.reshape(x, (1, 4, 3)), tj.ones(4, 2, 3).double(), groups=2, stride=2, padding=1
        ),
        (12,),
    ),
    "weights": (
        lambda w: tj.nn.functional.conv1d(tj.ones(1, 2, 5).double(), tj.reshape(w, (3, 2, 2))),
        (12,),
    ),
    "itself": (lambda x: x, (3, 2)),
    "constant": (lambda x: np.ones(3), (4,)),
    "integers": (lambda x: np.argsort(x), (4,)),
    "nothing": (lambda x: x[:0], (4,)),
    "of nothing": (lambda x: x * 2, (0,)),
}
COVERING = {  # values decide which elements are nonzero
    "sorted": (lambda x: np.sort(x, axis=1), (2, 4)),
    "at sorted places": (lambda x: np.arange(4.0)[np.argsort(x)] + x[np.argsort(x)], (4,)),
    "running largest": (lambda x: np.maximum.accumulate(x), (5,)),
    "spectrum": (lambda x: np.fft.rfft(x, axis=1).real, (2, 6)),
    "median": (lambda x: np.median(x, axis=0), (3, 2)),
    "pooled": (lambda x: tj.nn.functional.max_pool1d(tj.reshape(x, (1, 1, 6)), 2), (6,)),
    "determinants": (lambda x: np.linalg.slogdet(x + 3 * np.eye(2))[1], (3, 2, 2)),
}


@pytest.mark.parametrize("name", [*EXACT, *COVERING])
def test_operations_agree_with_the_dense_jacobian(name):
    function, shape = (EXACT | COVERING)[name]
    sparse, dense = tj.jacobian(function, sparse=True), tj.jacobian(function)
    points = [numbers(*shape, seed=seed) for seed in range(24 if name in EXACT else 3)]
    matrices = [as_matrix(dense(x), x) for x in points]
    for x, wanted in zip(points[:3], matrices, strict=False):
        found = sparse(x)
        assert found.shape == wanted.shape and isinstance(found, scipy.sparse.csr_array)
        np.testing.assert_allclose(found.toarray(), wanted, atol=1e-12)
    pattern = tj.sparsity(function)(points[0])
    assert pattern.dtype == np.bool_ and pattern.nnz == found.nnz
    if name in EXACT:
        union = np.logical_or.reduce([matrix != 0 for matrix in matrices])
        np.testing.assert_array_equal(pattern.toarray(), union)


# ---------------------------------------------------------------- every operation of the register

PROBED = [
    op for op in probing.probed() if "float64" in {dtype.name for dtype in probing.dtypes_of(op)}
]


def derivative_of(record, arrays):
    """All slopes of one row by its inputs, one reverse sweep for each element."""
    sweep = reverse(record.tape, (record.row,), record.floats)
    value = record.tape.kind(record.row).aval
    columns = [record.tape.kind(row).aval.size for row in record.floats]
    found = np.zeros((value.size, sum(columns)))
    for i in range(value.size):
        seed = np.zeros(value.size)
        seed[i] = 1
        seeds = [seed.reshape(value.shape)]
        run = probing.swept(sweep.tape, record.inputs, sweep.results, sweep.seeds, arrays, seeds)
        parts = [
            np.zeros(n) if g is None else np.ravel(g) for n, g in zip(columns, run, strict=True)
        ]
        found[i] = np.concatenate([*parts, []])
    return found


@pytest.mark.parametrize("op", PROBED, ids=lambda op: op.name)
def test_patterns_cover_every_operation(op, monkeypatch):
    """Also one that is declared tomorrow: its family's rule may not be right for it."""
    cases = [
        case for case in probing.cases(op, (dtypes.float64,)) if probing.is_differentiable(case)
    ]
    for case in cases[:3]:
        arrays = probing.inputs_of(case)
        check_pattern(case, arrays, monkeypatch)
        places = [shape[:1] == ("index",) for shape in case.shapes]
        if any(places):  # once more where all lead to one place
            pairs = zip(arrays, places, strict=True)
            check_pattern(
                case, [a * 0 + 1 if is_index else a for a, is_index in pairs], monkeypatch
            )


def check_pattern(case, arrays, monkeypatch):
    """What is nonzero is in the pattern, and what is moved has slopes of 1."""
    record = probing.recorded(case, arrays)
    if record.tape.kind(record.row).aval.dtype.is_complex or not record.floats:
        return
    program = tape.Program(record.tape, record.inputs, ())
    dense = derivative_of(record, arrays)
    for is_told in (True, False):  # where indices lead, or that they may lead anywhere
        with monkeypatch.context() as patch:
            if not is_told:
                patch.setattr(patterns.Patterns, "_index", lambda self, row: None)
            found = patterns.Patterns(program, record.floats, [record.row], arrays)
        pattern = found.rows[record.row]
        covered = np.zeros(dense.shape, bool) if pattern is None else pattern.toarray()
        assert (covered | (dense == 0)).all(), f"{case}: told {is_told}"
        if found.is_moved[record.row] and is_told:
            np.testing.assert_array_equal(dense, covered)


# ---------------------------------------------------------------- random programs


def outputs_of_all_lines(text):
    """A random program that returns all its floats, and its arguments."""
    names = ", ".join(re.findall(r"^    (v\d+) = ", text.source, re.MULTILINE))
    source = text.source.rsplit("    return", 1)[0] + f"    return [{names}]\n"
    scope: dict = {}
    exec(compile(source, "<program of operations>", "exec"), scope)
    program = scope["program"]
    return lambda *args: [v for v in program(tj, *args) if v.is_floating_point()]


@pytest.mark.parametrize("seed", [0, 1, 6, 8])
def test_random_programs_agree_with_the_dense_jacobian(seed):
    text = draft(seed)
    arrays = list(text.arguments.values())
    floats = tuple(i for i, array in enumerate(arrays) if array.dtype.kind == "f")
    function, args = outputs_of_all_lines(text), [tj.tensor(array) for array in arrays]
    dense = [
        np.concatenate(
            [b.numpy().reshape(-1, arrays[i].size) for i, b in zip(floats, blocks, strict=True)], 1
        )
        for blocks in tj.jacobian(function, argnums=floats)(*args)
        if blocks[0].numpy().size
    ]
    found = tj.jacobian(function, argnums=floats, sparse=True)(*args).toarray()
    wanted = np.concatenate(dense)
    scale = np.maximum(1.0, np.abs(wanted).max(axis=1, keepdims=True))
    tolerance = 1e-9 if wanted.dtype == np.float64 else 1e-3
    np.testing.assert_allclose(found / scale, wanted / scale, atol=tolerance)


# ---------------------------------------------------------------- never stale


def test_another_branch_has_another_pattern():
    jacobian = tj.jacobian(lambda x: x * x if x[0] > 0 else x[1:] * x[:-1], sparse=True)
    x = np.arange(1.0, 5.0)
    for _ in range(2):
        assert jacobian(x).nnz == 4
        assert jacobian(-x).nnz == 6
    assert tj.explain(jacobian).recorded == 2


def test_other_indices_have_another_pattern():
    def function(x, places):
        return x[places] * 2

    jacobian, pattern = tj.jacobian(function, sparse=True), tj.sparsity(function)
    x = numbers(4)
    for places in ([0, 1], [3, 3], [0, 1], [3, 2]):
        wanted = np.zeros((2, 4))
        wanted[[0, 1], places] = 2
        places = np.array(places)
        np.testing.assert_array_equal(jacobian(x, places).toarray(), wanted)
        np.testing.assert_array_equal(pattern(x, places).toarray(), wanted != 0)
    assert tj.explain(jacobian).recorded == 1
    assert len(tj.explain(jacobian).paths[0].sweeps) == 3


def test_captured_indices_may_change_in_place():
    places = np.array([0, 1])
    jacobian = tj.jacobian(lambda x: x[places] ** 2, sparse=True)
    x = numbers(3)
    assert jacobian(x).indices.tolist() == [0, 1]
    places[:] = [2, 0]
    assert jacobian(x).indices.tolist() == [2, 0]
    np.testing.assert_allclose(jacobian(x).data, 2 * x[places])


def test_indices_that_come_from_data_are_read_from_it():
    jacobian = tj.jacobian(lambda x, data: x[data > 0.5] * 3, sparse=True)
    x = numbers(4)
    assert jacobian(x, np.array([1.0, 0.0, 1.0, 0.0])).indices.tolist() == [0, 2]
    assert jacobian(x, np.array([2.0, 0.1, 3.0, 0.2])).indices.tolist() == [0, 2]
    assert len(tj.explain(jacobian).paths[0].sweeps) == 1  # other numbers, the same indices
    assert jacobian(x, np.array([0.0, 1.0, 1.0, 0.0])).indices.tolist() == [1, 2]
    assert jacobian(x, np.array([0.0, 1.0, 1.0, 1.0])).indices.tolist() == [1, 2, 3]


def test_many_sets_of_indices_are_not_all_kept():
    jacobian = tj.jacobian(lambda x, place: x[place] * x[0], sparse=True)
    x = numbers(20)
    for place in range(1, 20):
        assert jacobian(x, np.array([place])).indices.tolist() == [0, place]
    assert len(tj.explain(jacobian).paths[0].sweeps) <= 8


def test_random_indices_are_drawn_at_every_call():
    jacobian = tj.jacobian(lambda x: x[tj.randperm(50)[:3]] ** 2, sparse=True)
    x, seen = numbers(50), set()
    for _ in range(4):
        found = jacobian(x)
        np.testing.assert_allclose(found.data, 2 * x[found.indices])
        seen.add(tuple(found.indices))
    assert len(seen) > 1


def test_indices_that_depend_on_the_arguments_may_lead_anywhere():
    jacobian = tj.jacobian(lambda x: x[np.argsort(x)[:2]], sparse=True)
    assert jacobian(np.array([3.0, 1.0, 2.0])).nnz == 6
    np.testing.assert_array_equal(
        jacobian(np.array([1.0, 3.0, 2.0])).toarray(), [[1, 0, 0], [0, 0, 1]]
    )


# ---------------------------------------------------------------- arguments and results


def test_nested_arguments_are_columns_in_order():
    def function(p, scale, more):
        return {"a": p["w"] @ p["b"] * scale, "n": 3, "c": [more[:1] ** 2, np.sum(p["b"])]}

    p, more = {"w": numbers(2, 3), "b": numbers(3)}, numbers(2)
    found = tj.jacobian(function, argnums=(0, 2), sparse=True)(p, 2.0, more)
    blocks = tj.jacobian(function, argnums=(0, 2))(p, 2.0, more)
    rows = [blocks["a"], *blocks["c"]]
    wanted = [
        np.concatenate([np.reshape(b, (-1, n)) for b, n in zip(leaves, (6, 3, 2), strict=True)], 1)
        for leaves in [[row[0]["w"], row[0]["b"], row[1]] for row in rows]
    ]
    np.testing.assert_allclose(found.toarray(), np.concatenate(wanted), atol=1e-13)
    assert found.nnz == 2 * (3 + 3) + 1 + 3


def test_numbers_and_single_precision_and_strides():
    assert tj.jacobian(lambda x: x**3, sparse=True)(2.0).toarray().tolist() == [[12.0]]
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = tj.jacobian(lambda x: x[1:] * x[:-1], sparse=True)(x)
    assert found.dtype == np.float32
    halves = tj.jacobian(lambda x: x * x, sparse=True)(np.ones(3, np.float16))
    assert halves.dtype == np.float32 and halves.nnz == 3  # SciPy has no float16
    wide = numbers(6, 8)
    jacobian = tj.jacobian(lambda x: x[1:] * x[:-1], sparse=True)
    turned = jacobian(wide[::2, ::-2].T)
    np.testing.assert_array_equal(turned.toarray(), jacobian(wide[::2, ::-2].T.copy()).toarray())


def test_values_are_fresh_and_patterns_are_shared():
    jacobian = tj.jacobian(lambda x: x * x, sparse=True)
    first, second = jacobian(np.ones(3)), jacobian(np.full(3, 2.0))
    assert first.data.tolist() == [2, 2, 2] and second.data.tolist() == [4, 4, 4]
    assert np.shares_memory(first.indices, second.indices)
    first.data[:] = 7
    assert jacobian(np.full(3, 2.0)).data.tolist() == [4, 4, 4]
    with pytest.raises(ValueError, match="read-only"):
        first.indices[0] = 2
    mine = jacobian(np.array([0.0, 1.0, 1.0])).copy()  # zeros of the pattern are stored
    mine.eliminate_zeros()
    assert mine.nnz == 2 and jacobian(np.zeros(3)).nnz == 3


def test_scipy_takes_it():
    def residuals(x):
        return np.concatenate([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])

    start = np.full(20, -0.5)
    jacobian = tj.jacobian(residuals, sparse=True)
    for solver in ("lsmr", None):
        fit = scipy.optimize.least_squares(residuals, start, jac=jacobian, tr_solver=solver)
        np.testing.assert_allclose(fit.x, 1, atol=1e-5)
    hessian = tj.hessian(lambda x: np.sum(residuals(x) ** 2), sparse=True)
    value_and_grad = tj.value_and_grad(lambda x: np.sum(residuals(x) ** 2))
    fit = scipy.optimize.minimize(
        value_and_grad, start, jac=True, hess=hessian, method="trust-constr"
    )
    np.testing.assert_allclose(fit.x, 1, atol=1e-5)


# ---------------------------------------------------------------- Hessians


def chained_rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


HESSIANS = {
    "chain": (chained_rosenbrock, 12, 3, 34),
    "arrow": (lambda x: np.sum(x[0] * x[1:] ** 2 * np.sin(x[0])), 12, 2, 34),
    "separate": (lambda x: np.sum(x**4), 12, 1, 12),
    "blocks": (lambda x: np.sum(np.exp(np.sum(x.reshape(4, 3), axis=1))), 12, 3, 36),
    "dense": (lambda x: np.sum(x) ** 3, 12, 12, 144),
    "straight": (lambda x: np.sum(x) * 2, 12, 0, 0),
    "constant": (lambda x: 3.0, 12, 0, 0),
    "no diagonal": (lambda x: np.sum(x[:6] * x[6:]), 12, 2, 12),
    "ring": (lambda x: np.sum(np.sin(x * np.roll(x, 1))), 12, 4, 36),
}


@pytest.mark.parametrize("name", HESSIANS)
def test_hessians_are_symmetric_and_agree_with_the_dense_ones(name):
    function, n, n_sweeps, nnz = HESSIANS[name]
    hessian = tj.hessian(function, sparse=True)
    x = numbers(n)
    found = hessian(x)
    np.testing.assert_allclose(found.toarray(), tj.hessian(function)(x), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(found.toarray(), found.toarray().T)
    assert found.nnz == nnz
    forward = re.findall(r"(\d+) forward", str(tj.explain(hessian)))
    assert int(forward[0]) <= n_sweeps


def test_hessian_of_nested_arguments():
    def function(p, y):
        return np.sum(p["a"] ** 2 * p["b"][:, None]) + np.sum(y) * p["b"][0]

    args = {"a": numbers(2, 3), "b": numbers(2)}, numbers(2)
    found = tj.hessian(function, argnums=(0, 1), sparse=True)(*args).toarray()

    def flat(z):
        return function({"a": z[:6].reshape(2, 3), "b": z[6:8]}, z[8:])

    z = np.concatenate([args[0]["a"].ravel(), args[0]["b"], args[1]])
    np.testing.assert_allclose(found, tj.hessian(flat)(z), atol=1e-12)
    mirrored = tj.sparsity(tj.grad(flat))(z).toarray()
    assert (mirrored >= (found != 0)).all()


# ---------------------------------------------------------------- sweeps


def test_few_long_rows_go_through_reverse_sweeps():
    def function(x):
        return np.concatenate([np.sum(x**2)[None], x * x[0]])

    jacobian = tj.jacobian(function, sparse=True)
    x = numbers(30)
    np.testing.assert_allclose(jacobian(x).toarray(), dense_of(function, x), atol=1e-12)
    assert "2 forward and 1 reverse sweeps" in str(tj.explain(jacobian))


def test_few_outputs_go_through_reverse_sweeps():
    def function(x):
        return np.stack([np.sum(x**2), np.sum(np.sin(x[::2]))])

    jacobian = tj.jacobian(function, sparse=True)
    x = numbers(30)
    np.testing.assert_allclose(jacobian(x).toarray(), dense_of(function, x), atol=1e-12)
    assert "0 forward and 2 reverse sweeps" in str(tj.explain(jacobian))


@pytest.mark.parametrize("unrolled", [0, 60])
def test_many_sweeps_run_in_groups(monkeypatch, unrolled):
    monkeypatch.setattr(programs, "UNROLLED", unrolled)
    matrix = numbers(9, 7)

    def function(x):
        y = matrix @ x
        long = np.stack([np.sum(x**2), np.prod(x)])
        return np.concatenate([y[3:] * x[1:], long]), y[0] * x[:2], x[::-1] * y[1]

    x = numbers(7)
    jacobian = tj.jacobian(function, sparse=True)
    wanted = np.concatenate([np.reshape(b, (-1, 7)) for b in tj.jacobian(function)(x)])
    np.testing.assert_allclose(jacobian(x).toarray(), wanted, atol=1e-12)
    few = tj.jacobian(lambda x: function(x)[0][-2:], sparse=True)
    np.testing.assert_allclose(few(x).toarray(), wanted[6:8], atol=1e-12)
    hessian = tj.hessian(lambda x: np.sum(function(x)[1] ** 2), sparse=True)
    dense = tj.hessian(lambda x: np.sum(function(x)[1] ** 2))(x)
    np.testing.assert_allclose(hessian(x).toarray(), dense, rtol=1e-9, atol=1e-9)
    empty = tj.jacobian(lambda x: (x[:0] * 2, np.sum(x**2), x[:0] * x[:0], x[0]), sparse=True)
    assert empty(x).shape == (2, 7) and empty(x).nnz == 8
    guarded = tj.jacobian(lambda x: matrix @ x if x[0] > 0 else x, sparse=True)
    assert guarded(abs(x)).nnz == 63 and guarded(-abs(x)).nnz == 7 and guarded(abs(x)).nnz == 63


def random_pattern(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 25, 2))
    dense = rng.random(shape) < rng.choice([0.05, 0.15, 0.5])
    if rng.random() < 0.5:
        dense[rng.integers(shape[0])] = True
    return scipy.sparse.csr_array(dense)


@pytest.mark.parametrize("seed", range(8))
def test_colourings_are_what_they_should_be(seed):
    pattern = random_pattern(seed)
    found, dense = colours.colour(pattern), pattern.toarray()
    forward, reverse = dense[found.rows < 0], dense[found.rows >= 0]
    for colour in range(found.n_forward):
        assert forward[:, found.columns == colour].sum(axis=1).max(initial=0) <= 1
    rows = found.rows[found.rows >= 0]
    for colour in range(found.n_reverse):
        assert reverse[rows == colour].sum(axis=0).max(initial=0) <= 1
    assert (found.columns[forward.any(axis=0)] >= 0).all()
    both = scipy.sparse.csr_array(dense @ dense.T)
    stars = colours.colour_symmetric(both)
    assert (stars.columns >= 0).tolist() == both.toarray().any(axis=0).tolist()
    assert_direct(both.toarray(), stars.columns)


def assert_direct(symmetric, colour):
    """Each element is alone in its colour, in its row or at its mirror image."""
    for i, j in itertools.product(range(len(colour)), repeat=2):
        if symmetric[i, j]:
            in_row = (symmetric[i] & (colour == colour[j])).sum()
            in_column = (symmetric[j] & (colour == colour[i])).sum()
            assert min(in_row, in_column) == 1


# ---------------------------------------------------------------- short axes


def small_matrices(x):
    a, b = x[:, :9].reshape(-1, 3, 3), x[:, None, 9:12].swapaxes(1, 2)
    turned = (a @ b)[..., 0]
    both = a @ a.swapaxes(1, 2)
    return np.where(turned > 0, turned, both[:, 1, ::-1]), np.linalg.det(a)


VECTORS = {
    "norm": lambda x: x[:, :3] / np.sqrt(np.sum(x[:, :3] ** 2, axis=1, keepdims=True)),
    "cross": lambda x: np.cross(x[:, :3], x[:, 3:6]) * x[:, 11:],
    "joined": lambda x: np.concatenate([x[:, :2], x[::-1, 4:5] * x[:, 6:7]], axis=1)[:, ::-1],
    "sums": lambda x: (np.sum(x[:, 2:5] * x[:, :3]), np.sum(x[:, :2] ** 2, axis=(0, 1))),
    "maxima": lambda x: np.max(x[:, :3], axis=1) * np.prod(x[:, 3:5], axis=1),
    "turned": lambda x: (x[:, :4].reshape(-1, 2, 2).transpose(2, 0, 1) * x[:, 0, None]).ravel(),
    "one for all": lambda x: np.tanh(x[:, :3] * x[0, 5:8]).astype(np.float32),
    "put": lambda x: with_second(x[:, :3] * 1.0, x[:, 7]),
    "matrices": small_matrices,
}


def with_second(y, value):
    y[:, 1] = value**2
    return y


@pytest.mark.parametrize("name", VECTORS)
def test_short_vectors_are_taken_apart(name, monkeypatch):
    function = VECTORS[name]
    x = numbers(6, 12)
    dense = tj.jacobian(function)(x)
    blocks = dense if isinstance(dense, tuple) else (dense,)
    wanted = np.concatenate([np.reshape(block, (-1, x.size)) for block in blocks])
    patterns_found = []
    for long in (1, 1000):  # always, and never
        monkeypatch.setattr(short_axes, "LONG", long)
        found = tj.jacobian(function, sparse=True)(x)
        tolerance = 1e-12 if found.dtype == np.float64 else 1e-6
        np.testing.assert_allclose(found.toarray(), wanted, atol=tolerance)
        patterns_found.append(found != 0)
    assert (patterns_found[0] != patterns_found[1]).nnz == 0


# ---------------------------------------------------------------- rules of the user's


@tj.custom_vjp
def steep(x):
    return x * x


steep.defvjp(lambda x: (x * x, x), lambda x, g: (3 * x * g,))  # 2 x would be right


@tj.custom_jvp
def flat(x):
    return np.sin(x)


flat.defjvp(lambda primals, tangents: (flat(*primals), 7 * tangents[0] * np.exp(primals[0])))


def test_rules_of_the_user_hold():
    def function(x, y):
        return {
            "n": 2,
            "a": steep(x[1:]) * x[:-1],
            "i": np.argsort(x),
            "b": [flat(x) + y, steep(y)],
        }

    x, y = numbers(5), np.array(0.5)
    blocks = tj.jacobian(function, argnums=(0, 1))(x, y)
    rows = [blocks["a"], None, *blocks["b"]]
    sizes = 4, 5, 5, 1
    wanted = [
        np.zeros((n, 6))
        if row is None
        else np.concatenate([np.reshape(b, (n, -1)) for b in row], 1)
        for row, n in zip(rows, sizes, strict=True)
    ]
    jacobian = tj.jacobian(function, argnums=(0, 1), sparse=True)
    for _ in range(2):
        found = jacobian(x, y)
        np.testing.assert_allclose(found.toarray(), np.concatenate(wanted), atol=1e-12)
    assert found.nnz == 4 * 2 + 5 * 2 + 1 and found.has_canonical_format
    pattern = tj.sparsity(function, argnums=(0, 1))(x, y)
    np.testing.assert_array_equal(pattern.toarray(), found.toarray() != 0)

    def total(x):
        return np.sum(steep(x[1:]) * flat(x[:-1]))

    hessian = tj.hessian(total, sparse=True)
    np.testing.assert_allclose(hessian(x).toarray(), tj.hessian(total)(x), rtol=1e-12)
    assert hessian(x).nnz == 5 + 2 * 4


# ---------------------------------------------------------------- bundle adjustment


def as_one_array(*args):
    """The residuals written with arrays of vectors, in one array."""
    errors, of_weights = bundle.of_vectors(*args)
    return np.concatenate([errors.ravel(), of_weights])


def csr_of_blocks(blocks, cams, points, obs):
    """ADBench's matrix of 3 x 15 blocks: two rows per observation, then one per weight."""
    p, i = len(obs), np.arange(len(obs))
    columns = np.concatenate(
        [
            11 * obs[:, :1] + np.arange(11),
            cams.size + 3 * obs[:, 1:] + np.arange(3),
            (cams.size + points.size + i)[:, None],
        ],
        axis=1,
    )
    rows = np.stack([2 * i, 2 * i + 1, 2 * p + i], axis=1)
    places = np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
    shape = (3 * p, cams.size + points.size + p)
    return scipy.sparse.csr_array((blocks.ravel(), [place.ravel() for place in places]), shape)


@pytest.mark.parametrize("residuals", [bundle.of_components, as_one_array])
def test_bundle_adjustment(residuals):
    data = np.load(bundle.FIXTURES / "ba_random.npz")
    args = [data[name] for name in ("cams", "X", "w", "obs", "feats")]
    jacobian = tj.jacobian(residuals, argnums=(0, 1, 2), sparse=True)
    found = jacobian(*args)
    wanted = csr_of_blocks(data["block"], data["cams"], data["X"], data["obs"])
    difference, size = abs(found - wanted).tocoo(), abs(wanted)
    assert (difference.data <= 1e-10 * np.maximum(1, size[difference.coords])).all()
    # x0 moves e_x alone and y0 e_y: 14 of 15 in a row, all of them at once
    assert found.nnz == 29 * len(data["w"])
    assert "14 forward and 0 reverse sweeps, 1 runs" in str(tj.explain(jacobian))
    again = jacobian(*args[:3], args[3][::-1].copy(), args[4])  # other cameras see other points
    assert again.nnz == found.nnz and (again.indices != found.indices).any()


def test_bundle_adjustment_of_equal_observations():
    """ADBench's ba1: few cameras seen often; here its first 2,000 observations."""
    args = bundle.inputs({"p": 2000}, 0)
    cams, points, weights, obs, _ = args
    jacobian = tj.jacobian(bundle.of_components, argnums=(0, 1, 2), sparse=True)
    found = jacobian(*args)
    block = np.broadcast_to(np.load(bundle.FIXTURES / "ba1.npz")["block"], (len(obs), 3, 15))
    difference = abs(found - csr_of_blocks(block, cams, points, obs)).tocoo()
    assert difference.max() <= 1e-10 * np.abs(block).max()
    assert found.shape == (3 * len(obs), cams.size + points.size + weights.size)


# ---------------------------------------------------------------- refusals


def test_refusals(monkeypatch):
    x = numbers(4)
    with pytest.raises(TraceError, match="inside another transform"):
        tj.grad(lambda x: tj.jacobian(np.sin, sparse=True)(x).sum())(x)
    with pytest.raises(NotDifferentiable, match="complex"):
        tj.jacobian(np.sin, sparse=True)(x + 0j)
    with pytest.raises(NotDifferentiable, match="complex"):
        tj.jacobian(lambda x: x * 1j, sparse=True)(x)
    with pytest.raises(NotDifferentiable, match="scalar"):
        tj.hessian(np.sin, sparse=True)(x)
    with pytest.raises(NotDifferentiable, match="floating point"):
        tj.jacobian(np.sin, sparse=True)(np.arange(3))
    with pytest.raises(ArgumentError, match="twice"):
        tj.jacobian(lambda x: x, argnums=(0, 0), sparse=True)(x)
    with pytest.raises(TapejitError, match="try  sparse=False"):
        tj.jacobian(np.cumsum, sparse=True)(np.ones(100_000))
    with pytest.raises(TapejitError, match="try  sparse=False"):
        tj.jacobian(lambda x: x * np.sum(x), sparse=True)(np.ones(100_000))
    monkeypatch.setattr(patterns, "LARGEST", 10)
    with pytest.raises(TapejitError, match="16 derivatives that are no zeros, of 64"):
        tj.jacobian(lambda x: np.outer(x, x) @ x, sparse=True)(x)
