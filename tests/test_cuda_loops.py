"""Operations' own loops on a GPU: the text of their kernels, simulated and compiled.

Simulated (simulator/kernels.py), each loop runs in blocks of a few threads, on one block and on as
many as it asks for; `evaluate` is the reference.  Compiled, which needs the package
numba-cuda and no GPU, no kernel spills, and those of float32 have no float64 in them.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import probing
import pytest
from cuda_machines import kernel_of, machine_under_test

import tapejit as tj
from tapejit import config, dtypes
from tapejit.build import Builder
from tapejit.codegen.cuda import launches, loop_places, loop_products, loop_scans
from tapejit.codegen.cuda.indices import text_of
from tapejit.codegen.cuda.launches import SMALL_INDEX, Function, Launches
from tapejit.codegen.cuda.loops import launches_of_loop
from tapejit.codegen.cuda.texts import Recipe
from tapejit.codegen.cuda.words import cuda
from tapejit.errors import AxisError
from tapejit.plan import LoopStep, View
from tapejit.registry import OPS, Operand, infer_kind
from tapejit.runtime.cuda.arrays import DeviceArray
from tapejit.runtime.cuda.compiling import compile_ptx, link
from tapejit.runtime.cuda.program import compile_for_device
from tapejit.runtime.cuda.simulator.kernels import DTYPES, Kernel, Pointer
from tapejit.schedule.loops import loop_step, row_major, work_of
from tapejit.schedule.views import contiguous
from tapejit.shapes import aval
from tapejit.tape import Program

BLOCK = 4
MACHINE = machine_under_test()
LIBRARY = ("matmul",)
"""What a library does on a GPU."""
FLOATS = ("float64", "float32")
NUMBERS = (*FLOATS, "int64", "int32")

# ---------------------------------------------------------------- running


def step_of(op: str, arrays, attrs, views=None) -> LoopStep | None:
    """The step of a row on operands that lie at `views`, else in row-major order."""
    kind = infer_kind(OPS[op], probing.avals_of(arrays), tuple(attrs))
    whole = [View(k, 0, a.shape, contiguous(a.shape)) for k, a in enumerate(arrays)]
    views = whole if views is None else views
    operands = tuple(
        Operand(view.shape, view.strides, dtypes.from_numpy(a.dtype))
        for view, a in zip(views, arrays, strict=True)
    )
    if work_of(kind, operands, alone=True, device=True) is None:
        return None
    result = View(len(arrays), 0, kind.aval.shape, contiguous(kind.aval.shape))
    return loop_step(kind, operands, (*views, result), alone=True, device=True)


def flat(array) -> np.ndarray:
    """A copy in row-major order, as kernels see it."""
    copy = np.array(array).reshape(-1)
    return copy.view(np.uint8) if copy.dtype == bool else copy


def simulate(step: LoopStep, launches: Launches, memory, grid=None):
    """(result, status) of the launches on operands' memory."""
    aval = step.kind.aval
    result = np.full(aval.size, 0xFF, aval.dtype.dtype)
    areas = {
        "view": [*map(flat, memory), result.view(np.uint8) if result.dtype == bool else result],
        "scratch": [_poisoned(dtype, n) for dtype, n in launches.scratch],
        "status": [np.zeros(1, np.int64)],
    }
    for launch in launches.launches:
        given = [
            a if isinstance(a, int) else Pointer(a.role, areas[a.role][a.number])
            for a in launch.arguments
        ]
        assert len(given) == len(launch.function.parameters)
        kernel_of(launch.function).run(grid or launch.grid, given)
    return result.reshape(aval.shape), areas["status"][0][0]


def _poisoned(dtype, n):
    size = np.dtype(DTYPES[dtype]).itemsize
    return np.full(n * size, 0xFF, np.uint8).view(DTYPES[dtype])


def check(op: str, arrays, *attrs, tolerance=None):
    """One block and all of them give what `evaluate` does, and the same bits."""
    step = step_of(op, arrays, attrs)
    assert step is not None
    launches = launches_of_loop(step, BLOCK)
    got, status = simulate(step, launches, arrays)
    again, _ = simulate(step, launches, arrays, grid=1)
    assert status == 0 and got.tobytes() == again.tobytes()
    with np.errstate(all="ignore"):
        want = np.asarray(OPS[op].evaluate(*arrays, **step.kind.attributes()))
    compare(got, want, tolerance)


def compare(got, want, tolerance=None):
    assert got.dtype == want.dtype and got.shape == want.shape
    if got.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want)
        return
    tolerance = tolerance or {8: 1e-12, 4: 1e-5}[got.real.dtype.itemsize]
    scale = np.abs(want, where=np.isfinite(want), out=np.zeros(want.shape)).max(initial=1.0)
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def numbers(rng, shape, dtype):
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("int"):
        return rng.integers(-50, 50, shape).astype(dtype)
    if dtype.startswith("complex"):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


# ---------------------------------------------------------------- every record

WITH_LOOPS = [op for op in probing.probed() if op.loop is not None and op.name not in LIBRARY]


@pytest.mark.parametrize("op", WITH_LOOPS, ids=lambda op: op.name)
def test_probes(op):
    """Every dtype, shape and attribute of a record's probe that its loop takes."""
    found = 0
    for case in probing.cases(op):
        arrays = probing.inputs_of(case)
        if case.dtype.kernel is None or step_of(op.name, arrays, case.attrs) is None:
            continue
        if op.name == "nonzero" and np.count_nonzero(arrays[0]) < case.attrs[0]:
            continue  # NumPy's result is whatever it is
        check(op.name, arrays, *case.attrs)
        found += 1
    assert found


# ---------------------------------------------------------------- places


def places(rng, shape, length, dtype="int64"):
    """From both ends."""
    return rng.integers(-length, length, shape).astype(dtype)


@pytest.mark.parametrize(
    "n, dtype", [*itertools.product((5, 17), (*NUMBERS, "bool")), (150, "float32"), (150, "int64")]
)
def test_rows(n, dtype):
    rng = np.random.default_rng(n)
    shape = (7, 3)
    base, x = numbers(rng, shape, dtype), numbers(rng, (n, 3), dtype)
    rows = places(rng, n, 7, "int32" if n == 17 else "int64")
    check("index", [base, rows])
    check("index_put", [base, x, rows])
    check("index_last", [base, rows])
    if dtype == "bool":
        return
    for kind in (rows, np.sort(rows % 7), rows * 0, rows * 0 + 6):  # runs of all lengths
        check("index_add", [x, kind], shape)
        check("index_add", [x[:, 0].copy(), kind], (7,))
    for how in ("prod", "amax", "amin"):
        value = x / 8 if dtype in FLOATS else np.sign(x)
        check("index_combine", [base, value.astype(dtype), rows], how)


@pytest.mark.parametrize("n", (5, 70))
def test_rows_by_two_indices(n):
    rng = np.random.default_rng(n)
    rows, columns = places(rng, n, 7), places(rng, n, 2)
    check("index", [numbers(rng, (7, 2, 3), "float32"), rows, columns])
    check("index_add", [numbers(rng, (n, 3), "float32"), rows, columns], (7, 2, 3))


@pytest.mark.parametrize("lines", (1, 1024), ids=("lines", "sorted"))
@pytest.mark.parametrize("shape, axis", (((40,), 0), ((3, 20), 1), ((2, 18, 2), 1), ((5, 4), 1)))
def test_along_an_axis(monkeypatch, lines, shape, axis):
    monkeypatch.setattr(loop_places, "LINES", lines)
    rng = np.random.default_rng(3)
    whole = (*shape[:axis], 6, *shape[axis + 1 :])
    for dtype in ("float32", "int64"):
        rows = places(rng, shape, 6)
        check("scatter_add", [numbers(rng, shape, dtype), rows], whole, axis)
        check("gather", [numbers(rng, whole, dtype), rows], axis)


@pytest.mark.parametrize("wrong", (7, -8))
@pytest.mark.parametrize("n", (5, 17))
def test_places_out_of_range(n, wrong):
    rows = places(np.random.default_rng(2), n, 7)
    rows[3] = wrong
    one, seven = np.ones(n), np.ones(7)
    for op, arrays, attrs in (
        ("index", [seven, rows], ()),
        ("index", [np.ones((7, 7)), rows % 7, rows], ()),
        ("gather", [seven, rows], (0,)),
        ("index_add", [one, rows], ((7,),)),
        ("index_add", [one, rows, rows % 7], ((7, 7),)),
        ("index_put", [seven, one, rows], ()),
        ("index_last", [seven, rows], ()),
        ("index_combine", [seven, one, rows], ("amax",)),
        ("scatter_add", [one, rows], ((7,), 0)),
    ):
        step = step_of(op, arrays, attrs)
        _, status = simulate(step, launches_of_loop(step, BLOCK), arrays)
        assert status != 0, op


def on_machine(op, arrays, attrs):
    """The value of a row, as a program of a simulated GPU."""
    builder = Builder()
    refs = [builder.input(known) for known in probing.avals_of(arrays)]
    result = builder.emit(OPS[op], refs, attrs)
    program = Program(builder.tape, [ref.row for ref in refs], [result.row])
    found = compile_for_device(program, MACHINE)
    return found([DeviceArray.from_host(MACHINE, x) for x in arrays])[0].to_host()


SEVERAL = {  # shapes of the indices
    "same": ((5,), (5,), (5,)),
    "many": ((40,), (40,)),
    "broadcast": ((2, 1), (3,)),
    "one": ((2, 3),),
}


@pytest.mark.parametrize("shapes", SEVERAL.values(), ids=SEVERAL)
def test_several_indices(shapes):
    """Kernels know one, or two for some operations: the others become one (flat_places.py)."""
    rng = np.random.default_rng(6)
    lengths = (3, 5, 2)
    x = rng.standard_normal(lengths)
    rows = [places(rng, shape, n) for shape, n in zip(shapes, lengths, strict=False)]
    inner = lengths[len(shapes) :]
    whole = (*np.broadcast_shapes(*shapes), *inner)
    y = rng.standard_normal(whole)
    for op, arrays, attrs in (
        ("index", [x], ()),
        ("index_last", [x], ()),
        ("index_add", [y], (lengths,)),
        ("index_put", [x, y], ()),
        ("index_put", [x, y[0]], ()),
        ("index_combine", [x, y], ("amax",)),
    ):
        known = dict(zip(OPS[op].attributes, attrs, strict=True))
        compare(on_machine(op, [*arrays, *rows], attrs), OPS[op].evaluate(*arrays, *rows, **known))
    for wrong in (lengths[0], -lengths[0] - 1):
        with pytest.raises(AxisError, match="index: an index is out of range"):
            on_machine("index", [x, np.full_like(rows[0], wrong), *rows[1:]], ())


# ---------------------------------------------------------------- order, scans, extremes


@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
@pytest.mark.parametrize("shape, axis", (((3,), 0), ((30,), 0), ((2, 13, 2), 1), ((4, 1), 1)))
def test_sorting(shape, axis, dtype):
    rng = np.random.default_rng(5)
    x = numbers(rng, shape, dtype)
    ties = np.round(x) if dtype in FLOATS else x % 3 if dtype != "bool" else x
    cases = [x, ties.astype(dtype)]
    if dtype in FLOATS:
        cases.append(np.where(rng.random(shape) < 0.3, np.nan, ties).astype(dtype))
        cases.append(np.where(rng.random(shape) < 0.3, -0.0, np.copysign(np.inf, x)).astype(dtype))
    for case in cases:
        for descending in (False, True):
            check("sort", [case], axis, descending)
            check("argsort", [case], axis, descending)
    if dtype != "bool":
        step = step_of("argkth", [x], (axis, shape[axis] // 2))
        got, _ = simulate(step, launches_of_loop(step, BLOCK), [x])
        middle = np.sort(x, axis).take([shape[axis] // 2], axis)
        assert np.array_equal(np.take_along_axis(x, got, axis), middle)


SCANNED = (((5,), 0), ((70,), 0), ((300,), 0), ((3, 40), 1), ((2, 70, 3), 1), ((4, 9, 2), 1))


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("shape, axis", SCANNED)
def test_scans(shape, axis, dtype):
    rng = np.random.default_rng(7)
    x = numbers(rng, shape, dtype)
    cases = [x]
    if dtype in FLOATS:
        cases += [np.where(rng.random(shape) < 0.1, y, np.round(x)) for y in (np.nan, -np.inf)]
    for case in cases:
        for op in ("cumsum", "cumargmax", "cumargmin"):
            check(op, [case.astype(dtype)], axis)
    near_one = (1 + x / 100 if dtype in FLOATS else np.sign(x)).astype(dtype)
    check("cumprod", [near_one], axis)
    if dtype in FLOATS:
        check("recurrence", [x, near_one / 2], axis)
        for case in (*cases, np.round(x) * 300):
            check("logcumsumexp", [case.astype(dtype)], axis)


@pytest.mark.parametrize("dtype", ("complex128", "complex64"))
@pytest.mark.parametrize("n", (5, 17))
def test_complex_numbers(n, dtype):
    """What takes them whole: products, in lines and tiles and at places, and recurrences."""
    rng = np.random.default_rng(n)
    for shape, axis in (((n,), 0), ((3, 4 * n), 1), ((2, n, 3), 1)):
        x = numbers(rng, shape, dtype)
        check("cumprod", [x / abs(x)], axis)
        check("recurrence", [x, x / abs(x)], axis)
    base, rows = numbers(rng, (7, 3), dtype), places(rng, n, 7)
    x = numbers(rng, (n, 3), dtype)
    x[1::3] = np.nan
    for how in ("prod", "amax", "amin"):
        check("index_combine", [base, x, rows], how)
        check("index_combine", [base.real + 0 * base, x.real + 0 * base[:1], rows], how)


@pytest.mark.parametrize("strides", ((-1, 12), (1, 12), (24, -2)))
def test_sums_where_operands_lie(strides):
    """Flipped, transposed and stepped rows, of an axis in several parts too."""
    memory = np.random.default_rng(1).standard_normal(2400).astype(np.float32)
    for shape in ((40, 40), (10, 5), (3, 40)):
        offset = sum(-s * (n - 1) for s, n in zip(strides, shape, strict=True) if s < 0)
        x = np.lib.stride_tricks.as_strided(memory[offset:], shape, [4 * s for s in strides])
        cases = [(x, strides), (x[:, None, ::2], (strides[0], 77, 2 * strides[1]))]
        for seen, steps in cases:
            for axis in range(seen.ndim):
                step = step_of("cumsum", [seen], (axis,), [View(0, 0, seen.shape, steps)])
                launches = launches_of_loop(step, BLOCK)
                got, _ = _simulate_at(step, launches, memory, offset)
                compare(got, np.cumsum(seen, axis, dtype=np.float32))


@pytest.mark.parametrize("axis", (0, 1, 2))
def test_lines_several_steps_apart(axis):
    memory = np.random.default_rng(1).standard_normal(400).astype(np.float32)
    shape, strides = (3, 4, 5), (100, 7, 1)
    x = np.lib.stride_tricks.as_strided(memory, shape, [4 * s for s in strides])
    for op in ("cumsum", "logcumsumexp"):
        step = step_of(op, [x], (axis,), [View(0, 0, shape, strides)])
        got, _ = _simulate_at(step, launches_of_loop(step, BLOCK), memory, 0)
        compare(got, OPS[op].evaluate(x, axis=axis))


def _simulate_at(step, launches, memory, offset):
    """As `simulate`, the operand beginning at an offset."""
    operand = Pointer("x", memory, offset)
    result = np.empty(step.kind.aval.size, np.float32)
    views = [operand, Pointer("y", result)]
    scratch = [Pointer("scratch", _poisoned(dtype, n)) for dtype, n in launches.scratch]
    for launch in launches.launches:
        areas = {"view": views, "scratch": scratch}
        given = [a if isinstance(a, int) else areas[a.role][a.number] for a in launch.arguments]
        kernel_of(launch.function).run(launch.grid, given)
    return result.reshape(step.kind.aval.shape), 0


def test_long_sums_of_float32():
    """Neither way loses more than a few bits, where a running sum loses ten."""
    x = np.random.default_rng(4).random((6000, 2)).astype(np.float32)
    want = np.cumsum(x, 0, dtype=np.float64)
    step = step_of("cumsum", [x], (0,))
    tiled, _ = simulate(step, launches_of_loop(step, BLOCK), [x])
    recipe = Recipe("cumsum", step.views, step.dtypes[:2], BLOCK)
    words = {"number": "float32"}
    sizes = (6000, 2, 0, 1, 2, 2, 2)
    recipe.launch(loop_scans.add_lines, *recipe.views, *sizes, n=2, **words)
    along, _ = simulate(step, recipe.done(), [x])
    for got in (tiled, along):
        assert np.abs(got / want - 1).max() < 4e-7


@pytest.mark.parametrize("dtype", (*NUMBERS, "bool"))
@pytest.mark.parametrize("shape, axes", (((70,), (0,)), ((300,), (0,)), ((2, 70, 2), (1,))))
def test_places_of_extremes(shape, axes, dtype):
    rng = np.random.default_rng(9)
    x = numbers(rng, shape, dtype)
    cases = [x]
    if dtype in FLOATS:
        cases += [np.where(rng.random(shape) < 0.05, y, np.round(x)) for y in (np.nan, np.inf)]
        cases += [np.full(shape, np.nan), np.full(shape, -np.inf)]
    for op, case in itertools.product(("argmax", "argmin"), cases):
        check(op, [case.astype(dtype)], axes, False)
        check(op, [case.astype(dtype)], tuple(range(len(shape))), True)


@pytest.mark.parametrize("n", (5, 100))
def test_places_of_what_is_not_zero(n):
    x = np.random.default_rng(n).integers(0, 2, n)
    for count in (x.sum(), 2, 0):
        for case in (x, x > 0, x.astype(np.float32)):
            if count:
                check("nonzero", [case], int(count))


def test_blocks_that_fit():
    """Short lines are given blocks of fewer threads, whole warps."""
    x = np.random.default_rng(0).standard_normal((2, 40)).astype(np.float32)
    for op, *attrs in (("sort", 1, False), ("argmax", (1,), False), ("cumsum", 1)):
        step = step_of(op, [x], attrs)
        launches = launches_of_loop(step, 128)
        assert {one.function.block for one in launches.launches} <= {32, 64}
        got, _ = simulate(step, launches, [x])
        compare(got, OPS[op].evaluate(x, **step.kind.attributes()))


# ---------------------------------------------------------------- windows


WINDOWS = {
    "sliding": ((10,), (1,), ((1, 1),), (4, 3)),
    "blocks": ((10,), (0,), ((2, 3),), (4, 2)),
    "image": (
        (3, 8, 7),
        (0, 0, 1),
        ((1, 0, 0, 0, 0), (0, 2, 1, 0, 0), (0, 0, 0, 1, 2)),
        (3, 3, 3, 4, 2),
    ),
    "reversed": ((6,), (5,), ((-1, -1),), (3, 3)),
    "diagonals": ((6, 6), (0, 0), ((1, 1), (1, 1)), (3, 3)),
    "diagonal": ((5, 5), (0, 0), ((1,), (1,)), (5,)),
    "standing": ((4,), (0,), ((1, 0),), (4, 3)),
}


@pytest.mark.parametrize("shape, starts, steps, seen", WINDOWS.values(), ids=WINDOWS)
def test_windows_added_up(shape, starts, steps, seen):
    for dtype in ("float32", "int64"):
        x = numbers(np.random.default_rng(1), seen, dtype)
        check("unstrided", [x], shape, starts, steps)


CONVOLUTIONS = {  # x, w, stride, padding, dilation, groups
    "line": ((3, 2, 9), (4, 2, 3), (2,), (1,), (1,), 1),
    "groups": ((2, 4, 7, 5), (6, 2, 3, 3), (1, 2), (1, 1), (1, 2), 2),
    "space": ((1, 1, 4, 5, 4), (2, 1, 2, 2, 2), (1, 1, 1), (0, 1, 0), (1, 1, 1), 1),
    "points": ((1, 3, 5, 5), (2, 3, 1, 1), (1, 1), (2, 0), (1, 1), 1),
}


@pytest.mark.parametrize("least", (512, 8), ids=("whole", "shared"))
@pytest.mark.parametrize("case", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(monkeypatch, case, least):
    monkeypatch.setattr(loop_products, "LEAST", least)
    rng = np.random.default_rng(2)
    shape, kernel, *attrs = case
    x, w = numbers(rng, shape, "float32"), numbers(rng, kernel, "float32")
    value = OPS["convolution"].evaluate(x, w, *attrs)
    y = numbers(rng, value.shape, "float32")
    check("convolution", [x, w], *attrs)
    check("convolution_input", [y, w], shape[2:], *attrs)
    check("convolution_weight", [y, x], kernel[2:], *attrs)


# ---------------------------------------------------------------- matrices

PRODUCTS = {  # shapes of both operands
    "matrices": ((9, 21), (21, 13)),
    "one": ((1, 1), (1, 1)),
    "rows": ((5,), (5, 7)),
    "columns": ((3, 4, 5), (5,)),
    "numbers": ((19,), (19,)),
    "batch": ((2, 3, 4, 5), (3, 5, 2)),
    "apart": ((2, 1, 2, 5), (1, 3, 5, 2)),
}


@pytest.mark.parametrize("least", (512, 8), ids=("whole", "shared"))
@pytest.mark.parametrize("shapes", PRODUCTS.values(), ids=PRODUCTS)
def test_products_of_integers(monkeypatch, shapes, least):
    monkeypatch.setattr(loop_products, "LEAST", least)
    rng = np.random.default_rng(2)
    for dtype in ("int64", "int32"):
        largest = np.iinfo(dtype).max
        check("matmul", [rng.integers(-largest, largest, shape, dtype) for shape in shapes])


@pytest.mark.parametrize("dtype", ("bool", "int8", "uint8", "int16", "int32", "int64"))
def test_products_of_integers_where_they_lie(dtype):
    """Turned, stepped and broadcast matrices; short integers wrap around too."""
    rng = np.random.default_rng(3)
    x, y = (
        rng.integers(0, 2 if dtype == "bool" else 100, s).astype(dtype) for s in ((4, 6), (6, 5))
    )
    with config.set(cuda="simulator"):
        a, b = tj.tensor(x, device="cuda"), tj.tensor(y, device="cuda")
        for got, want in (
            (a @ b, x @ y),
            (a.T @ a, x.T @ x),
            (b.T @ a.T, y.T @ x.T),
            (a[::2, ::3] @ b[1::4], x[::2, ::3] @ y[1::4]),
            (a.flip(0) @ b, x[::-1] @ y),
            (a.expand(3, 4, 6) @ b, np.broadcast_to(x, (3, 4, 6)) @ y),
        ):
            compare(got.cpu().numpy(), want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("batch", ((), (3,)))
def test_factorizations(batch, dtype):
    """Of more rows than a block has threads; probes are of fewer."""
    rng = np.random.default_rng(1)
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    a = (rng.standard_normal((*batch, 11, 11)) + 4 * np.eye(11)).astype(dtype)
    b = rng.standard_normal((*batch, 11, 5)).astype(dtype)
    positive = a @ np.swapaxes(a, -1, -2)
    lower = np.linalg.cholesky(positive)
    factors = OPS["lu"].evaluate(a)
    check("cholesky", [positive], tolerance=tolerance)
    check(
        "cholesky_slope", [lower, rng.standard_normal(a.shape).astype(dtype)], tolerance=tolerance
    )
    for matrix in (a, a[..., :7], a[..., :7, :]):
        check("lu", [matrix], tolerance=tolerance)
    for turned, right in itertools.product((False, True), (b, b[..., :1].copy())):
        check("lu_solve", [a, factors, right], turned, "solve", tolerance=tolerance)
        for upper, unit in itertools.product((False, True), repeat=2):
            triangle = np.swapaxes(lower, -1, -2).copy() if upper else lower
            attrs = (upper, turned, unit)
            check("solve_triangular", [triangle, right], *attrs, tolerance=tolerance)
    check("inv", [a], tolerance=tolerance)
    check("lu_inverse", [a, factors], "inv", tolerance=tolerance)
    small = a / 4
    check("cofactors", [small, OPS["lu"].evaluate(small)], tolerance=tolerance)


def test_refused_matrices():
    singular = np.ones((2, 3, 3))
    lu = OPS["lu"].evaluate(singular)
    for op, arrays, attrs in (
        ("cholesky", [-np.eye(3)], ()),
        ("cholesky", [np.full((3, 3), np.nan)], ()),
        ("inv", [singular], ()),
        ("lu_inverse", [singular, lu], ("inv",)),
        ("lu_solve", [singular, lu, singular], (False, "solve")),
    ):
        step = step_of(op, arrays, attrs)
        _, status = simulate(step, launches_of_loop(step, BLOCK), arrays)
        assert status != 0, op


# ---------------------------------------------------------------- indices


def larger_places(x, y, n, inner, size):
    """A kernel: `rest` is data, `at` is an index."""
    for i in range(cuda.grid(1), size, cuda.gridsize(1)):
        rest = y[i] + n
        at, is_near = 0, False
        for k in range(i // inner, n):
            at += k % inner
            is_near = is_near or rest > k * 2
        x[at * inner + 1] = y[rest] if is_near else -at


LARGER_PLACES = """\
index = int32
unsigned = uint32

def kernel(x, y, n, inner, size):
    \"""A kernel: `rest` is data, `at` is an index.\"""
    end_i = size
    i = index(cuda.grid(1))
    while i < end_i:
        rest = y[i] + n
        at, is_near = (index(0), False)
        end_k = n
        k = index(unsigned(i) // unsigned(inner))
        while k < end_k:
            at = index(at + index(unsigned(k) % unsigned(inner)))
            is_near = is_near or rest > index(k * 2)
            k = index(k + 1)
        x[index(at * inner + 1)] = y[rest] if is_near else index(-at)
        i = index(i + index(cuda.gridsize(1)))
"""


def test_what_is_an_index():
    assert text_of(larger_places, 2, 3, (), "i32") == LARGER_PLACES
    wide = LARGER_PLACES.replace("= int32", "= int64").replace("uint32", "uint64")
    assert text_of(larger_places, 2, 3, (), "i64") == wide


def numbers_of(step):
    """The dtypes of the numbers that a step's kernels are given."""
    parameters = [p for one in launches_of_loop(step, BLOCK).launches for p in one.function[1]]
    return {p for p in parameters if "*" not in p}


def test_indices_are_wide_where_there_is_much():
    """Elements, a view's strides, scratch memory, or what is in between."""

    def widths(op, shapes, *attrs, strides=None):
        kinds = dtypes.float32, dtypes.int64
        given = tuple(aval(*one) for one in zip(shapes, kinds, strict=False))
        kind = infer_kind(OPS[op], given, attrs)
        operands = list(map(row_major, given))
        if strides:
            operands[0] = operands[0]._replace(strides=strides)
        lying = enumerate([*operands, row_major(kind.aval)])
        views = tuple(View(k, 0, x.shape, x.strides) for k, x in lying)
        return numbers_of(loop_step(kind, tuple(operands), views, alone=True, device=True))

    edge = SMALL_INDEX
    assert widths("gather", ((edge - 1,), (4,)), 0) == {"i32"}
    assert widths("gather", ((edge,), (4,)), 0) == {"i64"}
    assert widths("gather", ((4,), (2**31,)), 0) == {"i64"}
    assert widths("index", ((2**16, 2**15), (3,))) == {"i64"}
    assert widths("index_add", ((2**16, 3), (2**16,)), (2**14, 3)) == {"i32"}
    assert widths("index_add", ((1, 3), (1,)), (2**30, 3)) == {"i64"}
    assert widths("cumsum", ((3, 4),), 1, strides=(2**20, 1)) == {"i32"}
    assert widths("cumsum", ((3, 4),), 1, strides=(1, -(2**29))) == {"i64"}
    assert widths("sort", ((2**14, 2**17),), 1, False) == {"i64"}
    assert widths("argmax", ((2**14, 2**17),), (1,), False) == {"i64"}
    assert widths("adaptive_max_index", ((1, 1, 2**15),), (2**14,)) == {"i32"}
    assert widths("adaptive_max_index", ((1, 1, 2**17),), (2**14,)) == {"i64"}


def test_wide_indices(monkeypatch):
    """The other text of the same kernels."""
    monkeypatch.setattr(launches, "SMALL_INDEX", 0)
    rng = np.random.default_rng(8)
    x, rows = numbers(rng, (20, 3), "float32"), places(rng, 20, 7)
    assert numbers_of(step_of("index_add", [x, rows], ((7, 3),))) == {"i64"}
    check("index_add", [x, rows], (7, 3))
    check("index_put", [x[:7].copy(), x, rows])
    check("gather", [x[:7].copy(), places(rng, (9, 3), 7)], 0)
    check("sort", [x], 0, False)
    check("argmax", [numbers(rng, (200,), "float64")], (0,), False)
    for op in ("cumsum", "cumargmax", "logcumsumexp"):
        check(op, [numbers(rng, (3, 40), "float64")], 1)
    check("nonzero", [numbers(rng, (20,), "int32")], 5)
    check("searchsorted", [np.sort(x[:, 0]), x], False)
    for case in ("image", "reversed", "diagonals"):
        shape, starts, steps, seen = WINDOWS[case]
        check("unstrided", [numbers(rng, seen, "int64")], shape, starts, steps)
    shape, kernel, *attrs = CONVOLUTIONS["groups"]
    check("convolution", [numbers(rng, shape, "float32"), numbers(rng, kernel, "float32")], *attrs)
    a = rng.standard_normal((2, 5, 5)) + 3 * np.eye(5)
    check("inv", [a], tolerance=1e-11)


def test_indices_that_do_not_fit_are_found():
    """By the simulator."""
    kernel = Kernel(Function("index = int32\ndef kernel(y, n):\n    y[index(n * n)] = 0", (), 1))
    with pytest.raises(OverflowError, match=r"an index of 4294967296: .* int32 does not hold it"):
        kernel.run(1, [Pointer("y", np.zeros(3)), 2**16])


# ---------------------------------------------------------------- what has no form


def test_what_is_no_function_is_refused_by_name():
    step = step_of("searchsorted", [np.ones(3), np.ones(3)], (False,))
    native = step._replace(work=step.work._replace(run="native"))
    with pytest.raises(NotImplementedError, match=r"searchsorted: .* has no form for GPUs"):
        launches_of_loop(native, BLOCK)


# ---------------------------------------------------------------- compiled


def compiled_steps():
    """Steps that between them have every kernel."""
    rng = np.random.default_rng(0)
    for op in WITH_LOOPS:
        cases = probing.cases(op, (dtypes.float32,))
        steps = (step_of(op.name, probing.inputs_of(case), case.attrs) for case in cases)
        yield next(step for step in steps if step is not None)
    rows, x = places(rng, 600, 7), numbers(rng, (600, 3), "float32")
    yield step_of("index_add", [x, rows], ((7, 3),))
    yield step_of("index_put", [x[:7], x, rows], ())
    yield step_of("scatter_add", [x, places(rng, (600, 3), 7)], ((7, 3), 0))
    yield step_of("unstrided", [x[:8, :2].copy()], ((9,), (0,), ((1, 1),)))
    yield step_of("unstrided", [x[:5, 0].copy()], ((5, 5), (0, 0), ((1,), (1,))))
    image = numbers(rng, (4, 2, 32, 32), "float32")
    yield step_of(
        "convolution_weight",
        [image[:, :, 2:, 2:].copy(), image],
        ((3, 3), (1, 1), (0, 0), (1, 1), 1),
    )
    for op in ("sort", "argsort"):
        yield step_of(op, [x], (0, True))
    z = numbers(rng, (600, 3), "complex64")
    for how in ("prod", "amax", "amin"):
        yield step_of("index_combine", [z[:7], z, rows], (how,))
    yield step_of("index_combine", [z[:7], z[:2].copy(), rows[:2].copy()], ("prod",))
    yield step_of("recurrence", [z, z], (0,))
    for shape in ((9000, 1), (9, 2)):
        yield step_of("cumprod", [numbers(rng, shape, "complex64")], (0,))
    yield step_of("matmul", [rows.reshape(2, 20, 15), rows.reshape(2, 15, 20)], ())
    for op in ("cumsum", "cumprod", "cumargmax", "cumargmin", "logcumsumexp"):
        yield step_of(op, [numbers(rng, (9000, 1), "float32")], (0,))
    yield step_of("argmax", [numbers(rng, (9000,), "float32")], ((0,), False))


@pytest.mark.compiler
def test_compiled(monkeypatch):
    """No kernel spills, on a card of either kind; those of float32 know no float64, and no index
    is divided as 64 bits."""
    functions = [one.function for step in compiled_steps() for one in _launches(step)]
    monkeypatch.setattr(loop_places, "LINES", 1)
    x = np.ones((20, 2), np.float32)
    along = step_of("scatter_add", [x, np.zeros((20, 2), np.int64)], ((7, 2), 0))
    functions += [one.function for one in _launches(along)]
    for function, card in zip(dict.fromkeys(functions), itertools.cycle(((8, 0), (9, 0)))):
        ptx = compile_ptx(function, card)
        assert ".f64" not in ptx, function.source
        assert not re.search(r"\b(?:div|rem)\.[su]64", ptx), function.source
        cubin = link(ptx, card)
        assert cubin.spills == 0 and cubin.stack == 0, function.source


def _launches(step):
    return launches_of_loop(step, 256).launches
