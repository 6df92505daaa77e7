"""Compiled programs against the row-by-row reference, on random programs and known ones.

Random programs draw rows of every kind over a few shapes that broadcast with each other; half of
them carry a reverse sweep.  Seeds are fixed by the test's parameter.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

import tapejit.ops  # noqa: F401 - fills the registry
from tapejit import dtypes
from tapejit.autodiff import reverse
from tapejit.build import Builder
from tapejit.registry import OPS
from tapejit.runtime import reference
from tapejit.runtime.compiled import compile_program
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
        if not self.fits(x, y):
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
