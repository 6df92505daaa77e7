"""Compiled programs against the row-by-row reference, on random programs and known ones.

Random programs draw rows of every kind over a few shapes that broadcast with each other; half of
them carry a reverse sweep.  Seeds are fixed by the test's parameter.
"""

from __future__ import annotations

import math
import random
import threading

import numpy as np
import pytest

import tapejit.ops  # noqa: F401 - fills the registry
from tapejit import config, dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.errors import KernelError
from tapejit.registry import OPS
from tapejit.runtime import kernels, reference
from tapejit.runtime.blocks import PER_SIZE
from tapejit.runtime.compiled import compile_program, statistics
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program

# ---------------------------------------------------------------- random programs

SMOOTH = ("add", "sub", "mul", "maximum", "minimum", "atan2", "hypot", "logaddexp")
UNARY = (
    "sin", "cos", "tanh", "atan", "exp", "square", "abs", "neg", "sigmoid", "softplus", "relu",
    "erf", "sign", "floor", "round",
)  # fmt: skip
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")
REDUCE = ("sum", "mean", "amax", "amin", "prod", "logsumexp", "var", "std")
SHAPES = {
    "line": [(), (1,), (7,), (7, 1), (1, 7)],
    "plane": [(), (3,), (5, 3), (5, 1), (1, 3)],
    "square": [(), (4,), (4, 4), (4, 1), (1, 4)],
    "box": [(), (2,), (3, 2), (4, 3, 2), (4, 1, 2), (1, 3, 1)],
    "one": [(), (1,), (1, 1)],
    "empty": [(), (0,), (3, 0), (3, 1)],
    "long": [(), (4097,), (1, 4097)],
    "vector": [(), (8,), (2, 8)],
}


class Maker:
    """Draws rows for one program."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.builder = Builder()
        self.shapes = self.random.choice(list(SHAPES.values()))
        self.dtype = self.random.choice([dtypes.float64, dtypes.float64, dtypes.float32])
        self.inputs = [
            self.builder.input(aval(self.random.choice(self.shapes), self.dtype)) for _ in range(3)
        ]
        self.floats = list(self.inputs)
        self.bools, self.integers = [], []

    def pick(self):
        return self.random.choice(self.floats[-6:] + self.inputs)

    def fits(self, *refs):
        try:
            np.broadcast_shapes(*(x.shape for x in refs))
        except ValueError:
            return False
        return True

    def make(self, n_rows):
        kinds = [self.unary, self.binary, self.binary, self.reduction, self.movement]
        kinds += [self.selection, self.casting, self.indexing, self.unary, self.binary, self.rare]
        for _ in range(n_rows):
            made = self.random.choice(kinds)()
            if made is not None and made.aval.size <= 20000 and made.ndim <= 4:
                self.floats.append(made)
        return self

    def unary(self):
        return OPS[self.random.choice(UNARY)](self.pick())

    def binary(self):
        x, y = self.pick(), self.pick()
        if not self.fits(x, y):
            return None
        name = self.random.choice(SMOOTH)
        return OPS["div"](x, OPS["exp"](OPS["tanh"](y))) if name == "hypot" else OPS[name](x, y)

    def axes(self, x):
        axes = tuple(a for a in range(x.ndim) if self.random.random() < 0.5)
        return axes if self.random.random() < 0.7 else tuple(range(x.ndim))

    def reduction(self):
        x = self.pick()
        name = self.random.choice(REDUCE)
        axes, keepdim = self.axes(x), self.random.random() < 0.5
        if name == "prod":
            x = OPS["tanh"](x)
        if x.aval.size == 0 and name not in ("sum", "mean"):
            return None
        attrs = {"axes": axes, "keepdim": keepdim}
        if name in ("var", "std"):
            if name == "std" and (not axes or x.aval.size < 4):
                return None
            attrs["correction"] = 0
        return OPS[name](x, **attrs)

    def movement(self):
        x, r = self.pick(), self.random
        name = r.choice(["permute", "reshape", "flip", "slice", "expand", "cat", "unslice"])
        if name == "permute":
            return OPS[name](x, axes=tuple(r.sample(range(x.ndim), x.ndim)))
        if name == "reshape":
            flat = [n for n in x.shape if n != 1]
            r.shuffle(flat)
            return OPS[name](x, shape=r.choice([tuple(flat), (x.aval.size,), (*x.shape, 1)]))
        if name == "flip":
            return OPS[name](x, axes=self.axes(x))
        if name == "expand":
            return OPS[name](x, shape=(2, *x.shape))
        if name == "cat":
            if not x.ndim:
                return None
            return OPS[name](x, OPS["sin"](x), axis=r.randrange(x.ndim))
        if name == "unslice":
            shape = tuple(n + 2 for n in x.shape)
            return OPS[name](x, shape=shape, starts=(1,) * x.ndim, steps=(1,) * x.ndim)
        starts, lengths, steps = [], [], []
        for n in x.shape:
            step = r.choice([1, 1, 2, -1])
            length = -(-n // abs(step)) if n else 0
            steps.append(step), lengths.append(length)
            starts.append(n - 1 if step < 0 and n else 0)
        attrs = {"starts": tuple(starts), "lengths": tuple(lengths), "steps": tuple(steps)}
        return OPS[name](x, **attrs)

    def selection(self):
        x, y = self.pick(), self.pick()
        if not self.fits(x, y) or math.prod(np.broadcast_shapes(x.shape, y.shape)) > 20000:
            return None
        condition = OPS[self.random.choice(COMPARE)](x, y)
        if self.random.random() < 0.4:
            condition = OPS[self.random.choice(["logical_and", "logical_or", "logical_xor"])](
                condition, OPS["logical_not"](OPS["isnan"](x))
            )
        self.bools.append(condition)
        return OPS["where"](condition, x, OPS["sin"](y))

    def casting(self):
        x = self.random.choice(self.bools) if self.bools else self.pick()
        number = OPS["cast"](x, dtype=self.random.choice(["int64", "int32", "float32"]))
        if number.dtype.is_floating_point:
            return OPS["cast"](number, dtype=self.dtype.name)
        number = number + number * 3
        if self.random.random() < 0.5 and number.aval.size:
            number = OPS[self.random.choice(["sum", "amax"])](
                number, axes=self.axes(number), keepdim=True
            )
        self.integers.append(number)
        return OPS["cast"](number, dtype=self.dtype.name)

    def indexing(self):
        x = self.pick()
        if not x.ndim or not x.aval.size:
            return None
        if self.random.random() < 0.5:
            return OPS["sort"](x, axis=self.random.randrange(x.ndim), descending=False)
        places = OPS["argmax"](x, axes=(0,), keepdim=True)
        return OPS["gather"](x, places, axis=0)

    def rare(self):
        x = self.pick()
        choice = self.random.random()
        if choice < 0.3 and x.ndim == 2:
            return OPS["matmul"](x, OPS["permute"](x, axes=(1, 0)))
        if choice < 0.5 and x.ndim and x.aval.size:
            return OPS["softmax"](x, axis=x.ndim - 1)
        if choice < 0.7 and x.ndim:
            return OPS["cumsum"](x, axis=0)
        if choice < 0.85 and x.ndim:
            places = OPS["iota"](x, shape=x.shape, axis=x.ndim - 1)
            return OPS["cast"](places, dtype=self.dtype.name) * 0.25
        return self.builder.literal(0.75, x.aval) * x

    def program(self):
        """The last rows, and for half of the programs their gradient."""
        r = self.random
        ends = [*self.floats[-3:], *self.bools[-1:], *self.integers[-1:]]
        rows = [x.row for x in self.inputs]
        tape, outputs = self.builder.tape, [x.row for x in ends]
        if r.random() < 0.6:
            total = None
            for x in self.floats[-3:]:
                part = OPS["sum"](OPS["tanh"](x), axes=tuple(range(x.ndim)), keepdim=False)
                total = part if total is None else total + part
            sweep = reverse(self.builder.tape, [total.row], rows, unit_seed=True)
            tape = sweep.tape
            outputs = [total.row, *(row for row in sweep.results if row >= 0), *outputs[:1]]
        return simplify(Program(tape, rows, outputs))


def random_inputs(program, seed):
    generator = np.random.default_rng(seed)
    values = []
    for row in program.inputs:
        record = program.tape.kind(row).aval
        values.append(np.asarray(generator.normal(size=record.shape)).astype(record.dtype.dtype))
    return values


def check(program, inputs, call=None):
    """Compiled equals reference, in values, shapes, dtypes; nothing shared, inputs untouched."""
    call = call or compile_program(program)
    kept, rows = [x.copy() for x in inputs], range(len(program.tape))
    results = call(inputs)
    wanted = reference.run(program, [x[()] for x in kept])
    for x, y in zip(inputs, kept, strict=True):
        np.testing.assert_array_equal(x, y)
    for row, got, want in zip(program.outputs, results, wanted, strict=True):
        record = program.tape.kind(row).aval
        assert np.shape(got) == record.shape and got.dtype == record.dtype.dtype, record
        assert isinstance(got, np.generic) == (record.shape == ())
        single = dtypes.float32 in {kind.aval.dtype for kind in map(program.tape.kind, rows)}
        tolerance = 2e-3 if single else 1e-9
        finite = np.abs(np.asarray(want, np.float64))[np.isfinite(want)]
        scale = max(finite.max(initial=0.0), 1.0)
        np.testing.assert_allclose(
            got, want, rtol=tolerance, atol=tolerance * scale, err_msg=f"row {row}"
        )
    arrays = [x for x in results if isinstance(x, np.ndarray)]
    for i, x in enumerate(arrays):
        assert x.flags.c_contiguous and x.flags.writeable, x.flags
        for y in [*arrays[:i], *inputs]:
            assert not np.shares_memory(x, y)
    return call


@pytest.mark.parametrize("block", range(40))
def test_random_programs(block):
    for seed in range(block * 10, block * 10 + 10):
        program = Maker(seed).make(random.Random(seed).choice([3, 6, 10, 16])).program()
        call = check(program, random_inputs(program, seed))
        check(program, random_inputs(program, seed + 1), call)


# ---------------------------------------------------------------- one thing at a time


def value_program(function, *avals):
    builder = Builder()
    inputs = [builder.input(a) for a in avals]
    results = function(*inputs)
    results = results if isinstance(results, tuple) else (results,)
    return simplify(Program(builder.tape, [x.row for x in inputs], [y.row for y in results]))


def array(*shape, dtype=dtypes.float64):
    return aval(shape, dtype)


def mixed(x, y):
    total = OPS["sum"](OPS["sin"](x) * y, axes=(0,), keepdim=False)
    return total, OPS["exp"](x - y) + total, OPS["amax"](x, axes=(0,), keepdim=True)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 4095, 4096, 4097, 100_000])
def test_sizes(n):
    program = value_program(mixed, array(n), array(n))
    check(program, random_inputs(program, n))


def test_new_sizes_compile_nothing():
    program = value_program(mixed, array(50), array(50))
    compile_program(program)
    before = statistics.kernels_compiled
    for n in (51, 7, 5000):
        program = value_program(mixed, array(n), array(n))
        check(program, random_inputs(program, n))
    assert statistics.kernels_compiled == before


def test_counts_are_not_part_of_kernels():
    def program(n):
        def function(x):
            mean = OPS["mean"](x * x, axes=(0,), keepdim=False)
            return mean, OPS["std"](x, axes=(0,), keepdim=False, correction=1) * (0.1 + n)

        return value_program(function, array(n))

    compile_program(program(50))
    before = statistics.kernels_compiled
    for n in (10, 4000, 70_000):
        check(program(n), random_inputs(program(n), n))
    assert statistics.kernels_compiled == before


def test_a_literal_of_minus_zero_is_another_kernel():
    def program(number):
        return value_program(lambda x: OPS["where"](x > 0.5, x, number), array(9))

    x = np.zeros(9)
    signs = [np.signbit(compile_program(program(z))([x])[0]).all() for z in (0.0, -0.0)]
    assert signs == [False, True]


def test_nan_literals_compile_once():
    def program(n):
        return value_program(lambda x: OPS["where"](x > 0.5, x, float("nan")), array(n))

    compile_program(program(5))
    before = statistics.kernels_compiled
    assert np.isnan(compile_program(program(6))([np.zeros(6)])[0]).all()
    assert statistics.kernels_compiled == before


def test_inputs_of_any_layout():
    program = value_program(lambda x, y: OPS["sin"](x) + y, array(6, 5), array(6, 5))
    x, y = random_inputs(program, 0)
    call = check(program, [x, y])
    want = call([x, y])[0]
    wide = np.empty((6, 10))
    wide[:, ::2] = x
    packed = np.zeros(6 * 5, dtype=[("skip", "u1"), ("y", "f8")])
    packed["y"] = y.reshape(-1)
    for first in (np.asfortranarray(x), wide[:, ::2], x[::-1][::-1], np.array(x)):
        np.testing.assert_array_equal(call([first, y])[0], want)
    np.testing.assert_array_equal(call([x, packed["y"].reshape(6, 5)])[0], want)
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(call((read_only, y))[0], want)


def test_scalars_go_in_and_come_out():
    program = value_program(lambda x: (OPS["sin"](x), x, x > 0.5), array())
    call = compile_program(program)
    for x in (np.float64(0.25), np.array(0.25)):
        results = call([x])
        assert [type(y) for y in results] == [np.float64, np.float64, np.bool_]
        np.testing.assert_allclose(results[0], math.sin(0.25))


def test_outputs_that_are_inputs_literals_views_or_each_other():
    def function(x):
        y = OPS["sin"](x)
        one = x.builder.literal(1.0, x.aval)
        turned = OPS["permute"](y, axes=(1, 0))
        return x, y, y, one, turned, OPS["reshape"](x, shape=(12,)), OPS["reshape"](y, shape=(12,))

    program = value_program(function, array(3, 4))
    check(program, random_inputs(program, 0))


def test_results_of_earlier_calls_stay():
    program = value_program(lambda x: OPS["sin"](x), array(40_000))
    call = compile_program(program)
    inputs = [np.full(40_000, float(k)) for k in range(20)]
    kept = [call([x])[0] for x in inputs]
    views = [call([x])[0][5:10] for x in inputs]
    call([inputs[0]])
    for k in range(20):
        assert (kept[k] == kept[k][0]).all() and abs(kept[k][0] - math.sin(k)) < 1e-15
        assert (views[k] == kept[k][0]).all()


def test_large_results_come_from_memory_that_is_free_again():
    program = value_program(lambda x: x + 1.0, array(50_000))
    call = compile_program(program)
    x = np.zeros(50_000)
    places = {call([x])[0].ctypes.data for _ in range(50)}
    assert len(places) <= PER_SIZE


def test_many_threads_at_once():
    program = value_program(mixed, array(20_000), array(20_000))
    call = compile_program(program)
    failures = []

    def work(seed):
        x, y = random_inputs(program, seed)
        want = reference.run(program, [x, y])
        for _ in range(20):
            for got, expected in zip(call([x, y]), want, strict=True):
                if not np.allclose(got, expected, 1e-9):
                    failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_threads_that_compile_the_same_kernels():
    program = value_program(lambda x: OPS["cos"](x) * 0.123456 + x, array(64))
    before = statistics.kernels_compiled
    calls = []
    threads = [
        threading.Thread(target=lambda: calls.append(compile_program(program))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 6 and statistics.kernels_compiled == before + 1


# ---------------------------------------------------------------- switches and failures


@pytest.mark.parametrize("seed", range(0, 60, 2))
def test_plain_python_kernels_agree(seed):
    program = Maker(seed).make(6).program()
    if max(program.tape.kind(row).aval.size for row in range(len(program.tape))) > 2000:
        pytest.skip("seconds in plain Python")
    with config.set(jit=0):
        check(program, random_inputs(program, seed))


def test_check_3_compares_with_the_reference():
    with config.set(check=3):
        program = value_program(mixed, array(10), array(10))
        check(program, random_inputs(program, 0))


def test_check_3_names_the_row_that_differs(monkeypatch):
    monkeypatch.setattr(OPS["hypot"], "evaluate", np.maximum)
    with config.set(check=3):
        call = compile_program(value_program(lambda u, v: OPS["hypot"](u, v), array(3), array(3)))
    with pytest.raises(AssertionError, match=r"differ in row 2, hypot: float64\[3\]"):
        call([np.full(3, 3.0), np.full(3, 4.0)])


def test_debug_prints_a_line_and_the_plan(capsys):
    with config.set(debug=4):
        compile_program(value_program(mixed, array(10), array(10)))
    text = capsys.readouterr().err
    assert "1 new" in text or "0 new" in text
    assert "kernel  lengths [10]" in text and "schedule" in text


def test_what_cannot_be_compiled_runs_row_by_row(monkeypatch):
    def refuse(wanted):
        raise KernelError("no machine")

    monkeypatch.setattr(kernels, "fetch", refuse)
    program = value_program(mixed, array(10), array(10))
    with pytest.warns(RuntimeWarning, match="row by row: no machine"):
        call = compile_program(program)
    check(program, random_inputs(program, 0), call)


def test_library_steps_are_silent_and_give_arrays_of_their_own():
    def function(x, i):
        return (
            OPS["sort"](x, axis=0, descending=False),
            OPS["index"](x, i),
            OPS["cumsum"](x, axis=0),
        )

    program = value_program(function, array(5), array(2, dtype=dtypes.int64))
    x = np.array([np.inf, -np.inf, np.nan, 1.0, 0.0])
    check(program, [x, np.array([4, 3])])
