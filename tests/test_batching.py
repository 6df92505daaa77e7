"""Every operation of the registry, batched: the same as one sample after the other.

Value and gradient, for every way in which operands are batched or shared, and for no sample and
one.  A new operation is covered by declaring it.
"""

from __future__ import annotations

import itertools

import numpy as np
import probing
import pytest

from tapejit import batching
from tapejit.autodiff import reverse
from tapejit.batching import Batch
from tapejit.build import Builder
from tapejit.config import set as configured
from tapejit.registry import OPS, infer_kind
from tapejit.runtime import reference
from tapejit.shapes import aval
from tapejit.tape import Program

MOVED_ALONE = ("false", "pivots", "lu")


def distinct(cases):
    """Each shape and attribute, in float64 and one other dtype."""
    seen: dict = {}
    for case in cases:
        seen.setdefault((case.dtype.name == "float64", case.shapes, case.attrs), case)
    return list(seen.values())


def sample_of(case, arrays, i):
    """The inputs of sample i: near those of the probe, where its domain is."""
    sample = []
    for array, shape in zip(arrays, case.shapes, strict=True):
        kind = probing._kind(shape)
        if kind == "lu":
            array = OPS["lu"].evaluate(sample[0])
        elif kind == "index":
            array = np.roll(array, i, 0)
        elif array.dtype.kind in "fc" and kind not in MOVED_ALONE:
            array = (array * (1 + 0.01 * i if kind else 1 - 0.01 * i)).astype(array.dtype)
        elif not kind and case.op.name != "nonzero":
            array = np.roll(array, i)
        sample.append(array)
    return sample


def program_of(case, arrays):
    """(tape, inputs, outputs, seeds): value and, where there are slopes, gradients."""
    record = probing.recorded(case, arrays)
    if not (case.dtype.is_inexact and probing.is_differentiable(case)):
        return record.tape, list(record.inputs), [record.row], []
    sweep = reverse(record.tape, (record.row,), record.floats)
    outputs = [record.row, *(row for row in sweep.results if row >= 0)]
    seed = probing.cotangent_of(case, probing.evaluate(case, arrays))
    return sweep.tape, [*record.inputs, *sweep.seeds], outputs, [seed]


def batchings(n_operands):
    """Which operands are batched: all, and each alone."""
    every = (True,) * n_operands
    alone = [tuple(i == j for j in range(n_operands)) for i in range(n_operands)]
    return dict.fromkeys([every, *alone])


@pytest.mark.parametrize("op", probing.probed(), ids=str)
def test_a_batch_is_the_samples(op):
    for case in distinct(probing.cases(op)):
        check_batch(case)


def check_batch(case):
    arrays = probing.inputs_of(case)
    tape, inputs, outputs, seeds = program_of(case, arrays)
    samples = [sample_of(case, arrays, i) for i in range(3)]
    for flags, size in itertools.product(batchings(len(arrays)), (3, 0)):
        batch, given, flags = Batch(size), [], (*flags, *(False for _ in seeds))
        for place, (row, is_batched) in enumerate(zip(inputs, flags, strict=True)):
            one = tape.kind(row).aval
            if is_batched:
                ref = batch.samples(row, one)
                parts = [sample[place] for sample in samples[:size]]
                given.append(np.array(parts, one.dtype.dtype).reshape(ref.shape))
            else:
                batch.shared(row, one)
                given.append((*arrays, *seeds)[place])
        found = batch.run(tape, outputs)
        rows = [batch.rows[row].ref.row for row in inputs]
        program = Program(batch.builder.tape, rows, [x.ref.row for x in found])
        results = reference.run(program, given)
        for result, output, row in zip(results, found, outputs, strict=True):
            one = tape.kind(row).aval
            shape = (size, *one.shape) if output.is_batched else one.shape
            assert (np.shape(result), result.dtype) == (shape, one.dtype.dtype)
        for i in range(size):
            mixed = zip(samples[i], arrays, flags[: len(arrays)], strict=True)
            ours = [mine if flag else common for mine, common, flag in mixed]
            wanted = reference.run(Program(tape, inputs, outputs), [*ours, *seeds])
            for result, output, value in zip(results, found, wanted, strict=True):
                got = result[i] if output.is_batched else result
                np.testing.assert_allclose(got, value, rtol=1e-6, atol=1e-8)


def test_no_operation_of_the_registry_is_done_sample_by_sample(monkeypatch):
    monkeypatch.setattr(batching, "one_by_one", lambda row: pytest.fail(f"{row.op} has no rule"))
    for op in probing.probed():
        case = probing.cases(op)[0]
        arrays = probing.inputs_of(case)
        tape, inputs, outputs, _ = program_of(case, arrays)
        batch = Batch(2)
        for row in inputs:
            batch.samples(row, tape.kind(row).aval)
        batch.run(tape, outputs)


def test_an_operation_without_a_rule_is_done_sample_by_sample(monkeypatch, capsys):
    monkeypatch.delitem(batching.RULES, "matmul")
    builder = Builder()
    x, y = builder.input(aval((2, 3), x_dtype())), builder.input(aval((3,), x_dtype()))
    row = builder.add(infer_kind(OPS["matmul"], (x.aval, y.aval), ()), (x.row, y.row))
    batch = Batch(4)
    batch.samples(x.row, x.aval)
    batch.shared(y.row, y.aval)
    with configured(debug=1):
        (found,) = batch.run(builder.tape, [row])
    assert "matmul is done sample by sample" in capsys.readouterr().err
    xs, v = np.arange(24.0).reshape(4, 2, 3), np.arange(3.0)
    rows = [batch.rows[r].ref.row for r in (x.row, y.row)]
    (value,) = reference.run(Program(batch.builder.tape, rows, [found.ref.row]), [xs, v])
    np.testing.assert_allclose(value, xs @ v)


def x_dtype():
    return probing.FLOATS[0]
