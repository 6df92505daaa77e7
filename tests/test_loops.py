"""Operations' own loops against their NumPy evaluators: values, refusals, threads, processes.

Each case is one row, compiled; `evaluate` is the reference.  Bits are compared where the order of
additions is that of the reference, else a tolerance of float64 sums.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import tapejit as tj
from tapejit import dtypes
from tapejit.build import Builder
from tapejit.config import settings
from tapejit.dtypes import as_dtype, float64
from tapejit.errors import KernelError
from tapejit.ops.loops import products
from tapejit.plan import LoopStep
from tapejit.registry import OPS, Operand
from tapejit.runtime import blas, loops
from tapejit.runtime.compiled import compile_program
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

FLOATS = ("float64", "float32")
NUMBERS = (*FLOATS, "int64", "int32")


def numbers(rng, shape, dtype):
    """Small numbers, exact in every dtype but for the floats' fractions."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("int"):
        return rng.integers(-50, 50, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def build(op, arrays, attrs, prepare=lambda refs: refs):
    """The program of one row on inputs like `arrays`, perhaps seen through views."""
    builder = Builder()
    inputs = [builder.input(aval(a.shape, as_dtype(a.dtype))) for a in arrays]
    result = OPS[op](*prepare(inputs), **attrs)
    return Program(builder.tape, [ref.row for ref in inputs], [result.row])


def run(op, arrays, attrs):
    """What the loop gives; it must be a loop."""
    compiled = compile_program(build(op, arrays, attrs))
    assert [type(step) for step in compiled.plan.steps] == [LoopStep]
    return compiled(arrays)[0]


def check(op, arrays, **attrs):
    got = run(op, arrays, attrs)
    want = np.asarray(OPS[op].evaluate(*arrays, **attrs))
    assert got.dtype == want.dtype and got.shape == want.shape
    if got.dtype.kind == "f":
        scale = np.abs(want).max() + 1.0
        tolerance = 1e-14 if got.dtype == np.float64 else 1e-5
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)
    else:
        assert np.array_equal(got, want)


# ---------------------------------------------------------------- values

SHAPES = {"one": (1,), "short": (7,), "long": (1003,), "matrix": (5, 131), "cube": (3, 65, 130)}


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_cumsum(shape, dtype):
    rng = np.random.default_rng(1)
    for axis in range(len(shape)):
        check("cumsum", [numbers(rng, shape, dtype)], axis=axis)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_recurrences(shape, dtype):
    rng = np.random.default_rng(7)
    x = numbers(rng, shape, dtype)
    x.flat[::17] = np.nan
    near_one = (1 + numbers(rng, shape, dtype) / 100).astype(dtype)
    for axis in range(len(shape)):
        check("cumprod", [near_one], axis=axis)
        check("recurrence", [numbers(rng, shape, dtype), near_one / 2], axis=axis)
        for name in ("cumargmax", "cumargmin"):
            check(name, [np.round(near_one, 1)], axis=axis)
            check(name, [x], axis=axis)


@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_places_of_extremes(shape, dtype):
    rng = np.random.default_rng(9)
    shape = tuple(min(n, 12) for n in shape)  # of longer rows NumPy finds them
    x = np.round(numbers(rng, shape, dtype)) if dtype in FLOATS else numbers(rng, shape, dtype)
    cases = [x]
    if dtype in FLOATS:  # the first of ties, of NaNs, of infinities
        cases += [np.where(rng.random(shape) < 0.02, special, x) for special in (np.nan, np.inf)]
        cases += [np.full(shape, np.nan), np.full(shape, -np.inf)]
    for name, case in itertools.product(("argmax", "argmin"), cases):
        for axis in range(len(shape)):
            check(name, [case.astype(dtype)], axes=(axis,), keepdim=False)
        check(name, [case.astype(dtype)], axes=tuple(range(len(shape))), keepdim=True)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("right", (False, True))
def test_places_in_sorted_numbers(dtype, right):
    rng = np.random.default_rng(8)
    edges, values = np.sort(numbers(rng, (3, 57), dtype)), numbers(rng, (3, 200), dtype)
    values[:, :20] = edges[:, :20]
    if dtype.startswith("float"):
        edges[0, -3:] = values[0, :2] = np.nan
    check("searchsorted", [edges, values], right=right)
    check("searchsorted", [edges[0], values.reshape(5, 120)], right=right)


def test_cumsum_of_float32_adds_up_in_float64():
    x = np.full(200_000, 0.1, np.float32)
    got = run("cumsum", [x], {"axis": 0})
    assert abs(got[-1] - np.sum(x, dtype=np.float64)) < 1e-3  # 21 in float32


def test_cumsum_reads_views_where_they_lie():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((6, 70, 9))
    permute, flip = OPS["permute"], OPS["flip"]

    def prepare(refs):
        return [permute(flip(refs[0], axes=(1,)), axes=(2, 1, 0))]

    compiled = compile_program(build("cumsum", [x], {"axis": 1}, prepare))
    assert [type(step) for step in compiled.plan.steps] == [LoopStep]
    want = np.cumsum(x[:, ::-1].transpose(2, 1, 0), 1)
    np.testing.assert_allclose(compiled([x])[0], want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("places", ("int64", "int32"))
@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
def test_rows_at_places(dtype, places):
    rng = np.random.default_rng(3)
    x = numbers(rng, (11, 3, 5), dtype)
    one, other = rng.integers(-11, 11, (4, 6)), rng.integers(-3, 3, (4, 6))
    one, other = one.astype(places), other.astype(places)
    check("index", [x, one])
    check("index", [x, one, other])
    check("index_put", [x, numbers(rng, (4, 6, 3, 5), dtype), one])
    if dtype != "bool":
        check("index_add", [numbers(rng, (4, 6, 3, 5), dtype), one], shape=(11, 3, 5))
        check("index_add", [numbers(rng, (4, 6, 5), dtype), one, other], shape=(11, 3, 5))
        check("index_add", [numbers(rng, (24, 600), dtype), one.reshape(-1)], shape=(11, 600))


@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
@pytest.mark.parametrize("shape", ((13,), (4, 6), (3, 5, 7), (2, 3, 300)))
def test_places_along_an_axis(shape, dtype):
    rng = np.random.default_rng(4)
    for axis, n in enumerate(shape):
        other = (*shape[:axis], 9, *shape[axis + 1 :])
        places = rng.integers(-n, n, other)
        check("gather", [numbers(rng, shape, dtype), places], axis=axis)
        if dtype != "bool":
            check("scatter_add", [numbers(rng, other, dtype), places], shape=shape, axis=axis)


def test_what_no_loop_takes_is_evaluated():
    rng = np.random.default_rng(5)
    cases = [
        ("cumsum", [np.ones((3, 0))], {"axis": 0}),
        ("cumsum", [np.ones(5, np.float16)], {"axis": 0}),
        ("gather", [np.ones((3, 4)), np.zeros((2, 4), np.int64)], {"axis": 1}),
        ("index", [rng.standard_normal((3, 4)), np.zeros((2, 1), np.int64), np.arange(3)], {}),
    ]
    for op, arrays, attrs in cases:
        compiled = compile_program(build(op, arrays, attrs))
        assert not any(isinstance(step, LoopStep) for step in compiled.plan.steps)
        want = OPS[op].evaluate(*arrays, **attrs)
        assert np.array_equal(compiled(arrays)[0], want)


def test_operands_that_are_no_row_major_arrays_are_copied():
    rng = np.random.default_rng(6)
    x, places = rng.standard_normal((5, 4)), rng.integers(0, 4, (6, 5))

    def prepare(refs):
        return [OPS["permute"](refs[0], axes=(1, 0)), OPS["flip"](refs[1], axes=(0, 1))]

    compiled = compile_program(build("gather", [x, places], {"axis": 0}, prepare))
    want = np.take_along_axis(x.T, places[::-1, ::-1], 0)
    assert np.array_equal(compiled([x, places])[0], want)


# ---------------------------------------------------------------- matrix products

PRODUCTS = (
    ((7,), (7,)), ((5, 7), (7,)), ((7,), (7, 3)), ((5, 7), (7, 3)), ((1, 7), (7, 1)),
    ((5, 1), (1, 3)), ((1, 1), (1, 4)), ((2, 3, 5, 7), (7, 4)), ((6, 5, 7), (6, 7, 4)),
    ((6, 5, 7), (7,)), ((7,), (6, 7, 4)), ((2, 1, 5, 7), (3, 7, 4)), ((6, 1, 7), (6, 7, 1)),
    ((5, 7), (6, 7, 4)), ((4, 70, 80), (4, 80, 90)),
)  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_products(shapes, dtype):
    rng = np.random.default_rng(9)
    check("matmul", [numbers(rng, shape, dtype) for shape in shapes])


TURNS = {
    "transposed": lambda ref: OPS["permute"](ref, axes=(1, 0)),
    "every other line": lambda ref: OPS["slice"](ref, starts=(0, 0), lengths=(3, 6), steps=(2, 1)),
    "every other column": lambda ref: OPS["slice"](
        ref, starts=(1, 0), lengths=(3, 3), steps=(1, 2)
    ),
    "backwards": lambda ref: OPS["flip"](ref, axes=(0,)),
    "one line for all": lambda ref: OPS["expand"](
        OPS["slice"](ref, starts=(2, 0), lengths=(1, 6), steps=(1, 1)), shape=(4, 6)
    ),
    "a column": lambda ref: OPS["slice"](ref, starts=(0, 2), lengths=(6, 1), steps=(1, 1)),
}
SEEN = {
    "transposed": lambda x: x.T,
    "every other line": lambda x: x[::2],
    "every other column": lambda x: x[1:4, ::2],
    "backwards": lambda x: x[::-1],
    "one line for all": lambda x: np.repeat(x[2:3], 4, 0),
    "a column": lambda x: x[:, 2:3],
}


FIT = [
    (left, right)
    for left, right in itertools.product(TURNS, TURNS)
    if SEEN[left](np.ones((6, 6))).shape[1] in SEEN[right](np.ones((6, 6))).shape
]


@pytest.mark.parametrize(("left", "right"), FIT)
def test_products_of_views(left, right):
    """Whatever strides an operand has: as it is, turned for BLAS, or copied."""
    rng = np.random.default_rng(10)
    x, y = rng.standard_normal((6, 6)), rng.standard_normal((6, 6))

    def prepare(refs):
        u, v = TURNS[left](refs[0]), TURNS[right](refs[1])
        return [u, TURNS["transposed"](v) if u.shape[1] != v.shape[0] else v]

    seen, other = SEEN[left](x), SEEN[right](y)
    other = other.T if seen.shape[1] != other.shape[0] else other
    compiled = compile_program(build("matmul", [x, y], {}, prepare))
    np.testing.assert_allclose(compiled([x, y])[0], seen @ other, rtol=1e-13, atol=1e-13)


def test_a_batch_that_repeats_one_matrix():
    def prepare(refs):
        row, column = OPS["reshape"](refs[0], shape=(1, 7)), OPS["reshape"](refs[0], shape=(7, 1))
        return [OPS["expand"](row, shape=(2, 1, 7)), OPS["expand"](column, shape=(2, 7, 1))]

    x = np.arange(1.0, 8.0)
    (got,) = compile_program(build("matmul", [x], {}, prepare))([x])
    assert got.tolist() == [[[x @ x]], [[x @ x]]]


def test_an_axis_of_length_1_may_have_any_stride():
    """Also 0, which BLAS refuses as a step."""
    one = Operand((1, 1), (0, 0), dtypes.float64)
    work = products.matmul_work((one, one), Operand((1, 1), (1, 1), dtypes.float64))
    assert 0 not in work.meta[5:7]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("k", (3, 7, 16, 53))
@pytest.mark.parametrize(("m", "n"), ((2, 64), (5, 67), (33, 90)))
def test_products_of_few_rows_by_a_transpose(m, n, k, dtype):
    """x @ w.T as tiles of dot products, whole and at the edges."""
    rng = np.random.default_rng(13)
    x, w = numbers(rng, (m, k), dtype), numbers(rng, (n, k), dtype)
    program = build("matmul", [x, w], {}, lambda refs: [refs[0], TURNS["transposed"](refs[1])])
    compiled = compile_program(program)
    assert compiled.plan.steps[0].work.run == "dots"
    tolerance = 1e-13 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(compiled([x, w])[0], x @ w.T, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", (16, 32, 48, 64, 112))
@pytest.mark.parametrize("is_turned", (False, True))
def test_products_by_blocks(is_turned, n, dtype):
    """A small right operand whose columns are whole vectors; the left one as it lies, or turned."""
    rng = np.random.default_rng(15)
    x, y = numbers(rng, (3, 19, 7), dtype), numbers(rng, (3, 7, n), dtype)
    turn = (0, 2, 1)
    given = x.transpose(turn).copy() if is_turned else x
    program = build(
        "matmul", [given, y], {},
        lambda refs: [OPS["permute"](refs[0], axes=turn), refs[1]] if is_turned else refs,
    )  # fmt: skip
    compiled = compile_program(program)
    assert compiled.plan.steps[0].work.run == "blocks"
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(compiled([given, y])[0], x @ y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("m", "n", "k"), ((32, 16, 7), (37, 64, 16), (40, 112, 33), (45, 48, 1)))
@pytest.mark.parametrize("is_turned", (False, True))
def test_products_of_turned_operands_by_blocks(is_turned, m, n, k, dtype):
    """x @ y.T in a batch, and x.T @ y.T: what is turned is packed, whole and at the edges."""
    rng = np.random.default_rng(17)
    x, y = numbers(rng, (3, m, k), dtype), numbers(rng, (3, n, k), dtype)
    turn = (0, 2, 1)
    given = x.transpose(turn).copy() if is_turned else x

    def rows(refs):
        left = OPS["permute"](refs[0], axes=turn) if is_turned else refs[0]
        return [left, OPS["permute"](refs[1], axes=turn)]

    compiled = compile_program(build("matmul", [given, y], {}, rows))
    assert compiled.plan.steps[0].work.run == "blocks"
    tolerance = 1e-13 if dtype == "float64" else 1e-4
    want = x @ y.transpose(turn)
    np.testing.assert_allclose(compiled([given, y])[0], want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("is_turned", (False, True))
def test_many_rows_by_blocks_are_several_units(is_turned):
    rng = np.random.default_rng(16)
    x, y = rng.standard_normal((5, 1040) if is_turned else (1040, 5)), rng.standard_normal((5, 24))
    turn = TURNS["transposed"] if is_turned else lambda ref: ref
    program = build("matmul", [x, y], {}, lambda refs: [turn(refs[0]), refs[1]])
    compiled = compile_program(program)
    (step,) = compiled.plan.steps
    assert (step.work.run, step.work.units) == ("blocks", 65)
    want = (x.T if is_turned else x) @ y
    np.testing.assert_allclose(compiled([x, y])[0], want, rtol=1e-13, atol=1e-13)
    x = rng.standard_normal((1001, 5))  # no equal parts
    assert compile_program(build("matmul", [x, y], {})).plan.steps[0].work.run == "products"


def test_the_slope_of_a_transposed_weight_is_no_transposed_product():
    """w.T enters a product: its gradient is a product that is read as it was written."""
    gradient = tj.grad(lambda w, x: (x @ w.T).sum())
    w, x = np.ones((70, 5)), np.arange(15.0).reshape(3, 5)
    assert np.array_equal(gradient(w, x), np.ones((70, 3)) @ x)
    builder = Builder()
    u, v = builder.input(aval((3, 5), float64)), builder.input(aval((5, 4), float64))
    product = OPS["matmul"](u, v)
    turned = OPS["permute"](product, axes=(1, 0))
    program = simplify(Program(builder.tape, [u.row, v.row], [turned.row]))
    names = [program.tape.kind(row).op.name for row in range(len(program.tape))]
    assert names == ["input", "input", "permute", "permute", "matmul"]
    both = simplify(Program(builder.tape, [u.row, v.row], [turned.row, product.row]))
    names = [both.tape.kind(row).op.name for row in range(len(both.tape))]
    assert names.count("matmul") == 1  # somebody reads the product itself


def test_a_product_is_numpys_bit_for_bit():
    rng = np.random.default_rng(11)
    x, y = rng.standard_normal((40, 50)), rng.standard_normal((50, 30))
    assert np.array_equal(run("matmul", [x, y], {}), x @ y)


def test_products_of_integers_are_evaluated():
    x = np.arange(6).reshape(2, 3)
    compiled = compile_program(build("matmul", [x, x.T.copy()], {}))
    assert not any(isinstance(step, LoopStep) for step in compiled.plan.steps)
    assert np.array_equal(compiled([x, x.T.copy()])[0], x @ x.T)


def test_programs_with_products_are_called_natively():
    step = tj.grad(lambda w, x: tj.tanh(x @ w).sum())
    w, x = np.ones((3, 4), np.float32), np.ones((5, 3), np.float32)
    for _ in range(40):
        step(w, x)
    assert "calls: native" in str(tj.explain(step))


def test_an_unknown_blas_leaves_products_to_numpy(monkeypatch):
    monkeypatch.setattr(blas, "_NAMES", (("no_such_{}", 64),))
    monkeypatch.setattr(blas, "_LIBRARIES", {})
    monkeypatch.setattr(blas, "_CELLS", {})
    check("matmul", [np.ones((2, 3)), np.ones((3, 2))])


def test_batches_leave_the_threads_of_blas_as_they_were():
    if not blas.can_share():
        pytest.skip("this BLAS does not tell its threads")
    get = blas._library()
    name = next(n for n, _ in blas._THREADS if hasattr(get, n))
    before = getattr(get, name)()
    x = np.random.default_rng(12).standard_normal((8, 90, 90))
    check("matmul", [x, x])
    assert getattr(get, name)() == before


# ---------------------------------------------------------------- convolutions

CONVOLUTIONS = {
    "1d": ((2, 3, 9), (5, 3, 4), (1,), (0,), (1,), 1),
    "padded": ((3, 4, 7, 6), (9, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "groups": ((2, 6, 8, 5), (4, 3, 2, 3), (1, 1), (0, 2), (1, 1), 2),
    "depthwise": ((1, 4, 60, 5), (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    "strides": ((2, 3, 11, 10), (2, 3, 3, 4), (2, 3), (1, 2), (1, 1), 1),
    "dilated": ((2, 3, 11, 10), (8, 3, 3, 2), (1, 1), (2, 0), (2, 3), 1),
    "both": ((2, 2, 12, 13), (3, 2, 3, 2), (3, 2), (1, 1), (2, 1), 1),
    "3d": ((2, 2, 5, 4, 6), (3, 2, 2, 3, 2), (1, 1, 1), (1, 0, 1), (1, 1, 1), 1),
    "many images": ((35, 1, 4, 4), (1, 1, 2, 2), (1, 1), (0, 0), (1, 1), 1),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name, dtype):
    shape, kernel, *rest = CONVOLUTIONS[name]
    attrs = dict(zip(("stride", "padding", "dilation", "groups"), rest, strict=True))
    rng = np.random.default_rng(14)
    x, w = numbers(rng, shape, dtype), numbers(rng, kernel, dtype)
    check("convolution", [x, w], **attrs)
    y = numbers(rng, OPS["convolution"].evaluate(x, w, **attrs).shape, dtype)
    check("convolution_input", [y, w], lengths=shape[2:], **attrs)
    check("convolution_weight", [y, x], kernel=kernel[2:], **attrs)


def test_convolutions_run_as_python(monkeypatch):
    monkeypatch.setattr(settings, "jit", 0)
    test_convolutions("strides", "float64")
    test_convolutions("padded", "float32")


# ---------------------------------------------------------------- places out of range

BAD = {
    "index": ([np.ones((4, 2)), np.array([0, 4])], {}),
    "index of pairs": ([np.ones((4, 2)), np.array([0, 1]), np.array([0, -3])], {}),
    "index_add": ([np.ones((2, 2)), np.array([0, -5])], {"shape": (4, 2)}),
    "index_put": ([np.ones((4, 2)), np.ones((2, 2)), np.array([9, 0])], {}),
    "gather": ([np.ones((4, 2)), np.array([[0, 7]])], {"axis": 0}),
    "scatter_add": ([np.ones((1, 2)), np.array([[0, 7]])], {"shape": (4, 2), "axis": 0}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_place_out_of_range_raises(name):
    arrays, attrs = BAD[name]
    with pytest.raises(IndexError):
        run(name.partition(" ")[0], arrays, attrs)


def test_a_native_call_with_a_place_out_of_range_raises():
    pick = tj.grad(lambda x, i: (x[i] * x[i]).sum())
    x = np.arange(5.0)
    for _ in range(40):  # through Python, then natively
        gradient = pick(x, np.array([1, 3]))
    assert np.array_equal(gradient, [0.0, 2.0, 0.0, 6.0, 0.0])
    with pytest.raises(IndexError):
        pick(x, np.array([1, 5]))
    assert np.array_equal(pick(x, np.array([1, 3])), gradient)


# ---------------------------------------------------------------- ways to run


def test_threads_give_the_same_bits():
    rng = np.random.default_rng(7)
    x, places = rng.standard_normal((64, 3001)).astype(np.float32), rng.integers(0, 64, (64, 3001))
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    cases = [
        ("cumsum", [x], {"axis": 1}),
        ("cumsum", [x], {"axis": 0}),
        ("gather", [x, places], {"axis": 0}),
        ("scatter_add", [x, places], {"shape": (64, 3001), "axis": 0}),
        ("index_add", [x, places[:, 0].copy()], {"shape": (64, 3001)}),
        ("convolution", [x[:, :3000].reshape(64, 3, 20, 50), x[:8, :27].reshape(8, 3, 3, 3)], how),
        (
            "convolution_weight",
            [x[:, :1000].reshape(64, 1, 20, 50), x[:, :3000].reshape(64, 3, 20, 50)],
            {"kernel": (3, 3), **how},
        ),
        ("matmul", [x.reshape(64, 1, 3001), x.reshape(64, 3001, 1)], {}),
        ("matmul", [x[:, :3000].reshape(64, 30, 100), x[:, :3000].reshape(64, 100, 30)], {}),
    ]
    before = tj.get_num_threads()
    try:
        for op, arrays, attrs in cases:
            results = []
            for threads in (1, 2):
                tj.set_num_threads(threads)
                results.append(run(op, arrays, attrs))
            assert np.array_equal(*results), op
    finally:
        tj.set_num_threads(before)


def test_loops_run_as_python(monkeypatch):
    monkeypatch.setattr(settings, "jit", 0)
    rng = np.random.default_rng(8)
    check("cumsum", [rng.standard_normal((3, 70))], axis=1)
    check("cumsum", [rng.integers(0, 9, (3, 70))], axis=0)
    check("scatter_add", [np.ones(5), np.array([0, 1, 1, -1, 0])], shape=(3,), axis=0)
    with pytest.raises(IndexError):
        run(*("gather", [np.ones(3), np.array([3])], {"axis": 0}))


def test_without_sources_evaluate_runs(monkeypatch):
    def missing(*_):
        raise KernelError("loops: no source")

    monkeypatch.setattr(loops, "_source_of", missing)
    monkeypatch.setattr(loops, "_CELLS", {})
    x, places = np.arange(6.0).reshape(2, 3), np.array([1, 0, 1])
    check("cumsum", [x], axis=1)
    check("index", [x, places])
    with pytest.raises(IndexError):
        run("index", [x, np.array([2])], {})


def test_a_second_process_compiles_nothing(tmp_path):
    source = textwrap.dedent(
        """
        import sys
        import numpy as np
        import tapejit as tj
        from tapejit.runtime import native

        compiled, compile_object = [], native.compile_object

        def counted(*arguments, **options):
            compiled.append(arguments)
            return compile_object(*arguments, **options)

        native.compile_object = counted
        f = tj.jit(lambda x, i: tj.cumsum(x[i] * 2.0, 0))
        for _ in range(3):
            print(f(np.arange(5.0), np.array([1, 2, 4])))
        print(bool(compiled), "numba" in sys.modules)
        """
    )
    environment = os.environ | {"TAPEJIT_CACHE_DIR": str(tmp_path)}

    def lines():
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first, second = lines(), lines()
    assert first[:-1] == second[:-1]
    assert (first[-1], second[-1]) == ("True False", "False False")


def square_sum(x):
    return (x * x).sum()


slope = tj.grad(square_sum)


def test_a_function_may_call_a_transform_that_is_already_native():
    """The records of its native entry are no data that the function reads."""
    x = np.arange(3.0)
    for _ in range(3000):
        slope(x)
    assert "calls: native" in str(tj.explain(slope))
    twice = tj.jit(lambda x: slope(x) * 2.0)
    for _ in range(200):
        assert np.array_equal(twice(x), 4.0 * x)  # a call that is recorded anew would warn
    assert "recorded 1 time" in str(tj.explain(twice))
