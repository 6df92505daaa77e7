"""A Jacobian's rows, or its columns, as one program: a sweep batched over an identity matrix.

A reverse sweep takes a cotangent of the outputs and gives one row of the Jacobian; batched over all
unit cotangents (`tapejit.batching`) it gives all rows, in one pass over what the function computed.
A forward sweep gives columns in the same way, and is taken where there are no more inputs than
outputs, unless the caller wants one of them (`jacfwd`, `jacrev`).  The identity is rows of the
program, comparisons of indices, which kernels compute in registers.

Start at `derive_jacobian`.  What is too large for that, and functions with rules of their own, go
by one row after the other: `jacobians`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tapejit import autodiff, dtypes
from tapejit.batching import Batch
from tapejit.build import Builder, Ref
from tapejit.errors import ArgumentError, NotDifferentiable
from tapejit.ops.copies import cast
from tapejit.ops.movement import expand, permute, reshape, slice_
from tapejit.ops.seeds import unit_vectors
from tapejit.shapes import Aval, aval
from tapejit.tape import Tape, dependent_rows
from tapejit.transforms import trees
from tapejit.transforms.paths import Derived
from tapejit.transforms.trace import OutputRow, Trace

LARGEST = 1 << 26
"""Bytes of one batched value up to which all rows are computed at once."""

MOST_UNROLLED = 64
"""Samples up to which an operation without a batching rule may be written out one by one."""


class TooLarge(Exception):
    """All rows at once would take too much memory, or there is no way to have them."""


def float_rows(recorded: Trace) -> tuple[int, ...]:
    """The rows of a trace's outputs that have a derivative, in order.

    Errors  NotDifferentiable for complex ones
    """
    rows = rows_of(recorded)
    kinds = [recorded.recording.kind(row).aval.dtype for row in rows]
    for dtype in kinds:
        check_not_complex(dtype)
    return tuple(row for row, dtype in zip(rows, kinds, strict=True) if dtype.is_inexact)


def check_not_complex(dtype) -> None:
    """Raise for the dtype of an output that has no one derivative."""
    if dtype.is_complex:
        raise NotDifferentiable(
            "jacobian: an output is complex, and has no one derivative unless the function is "
            "holomorphic\n  try  its .real and .imag, or vjp and jvp"
        )


def parted(recorded: Trace, has_aux: bool) -> tuple[Trace, Trace]:
    """A trace with the outputs that are differentiated, and one with the extras.

    Errors  ArgumentError where there should be extras and the function returned no pair
    """
    if not has_aux:
        return recorded, recorded._replace(outputs=(), structure=(), values=(), shapes=())
    structure: Any = recorded.structure
    if getattr(structure, "container", None) is not tuple or len(structure.children) != 2:
        raise no_pair()
    n, (output, extras) = trees.count(structure.children[0]), structure.children
    main, rest = (
        recorded._replace(
            outputs=recorded.outputs[part],
            structure=inner,
            values=recorded.values[part],
            shapes=recorded.shapes[part],
        )
        for part, inner in ((slice(n), output), (slice(n, None), extras))
    )
    return main, rest


def no_pair() -> ArgumentError:
    """What to raise for a function without extras."""
    return ArgumentError(
        "jacobian: with has_aux=True the function must return a tuple (output, extras)"
    )


def rows_of(recorded: Trace) -> tuple[int, ...]:
    """The outputs that a program computes."""
    return tuple(int(row) for row in recorded.outputs if isinstance(row, OutputRow))


def derive_jacobian(
    recorded: Trace, wanted: Sequence[int], has_aux: bool = False, sweep: str = ""
) -> Derived:
    """The extras; then per output with a derivative, per wanted argument: its block, -1 where zero.

    sweep   "forward" or "reverse"; by default what takes fewer seeds
    Errors  TooLarge
    """
    if recorded.seeds is not None:
        raise TooLarge("a function with a rule of its own")
    recorded, extras = parted(recorded, has_aux)
    tape, roots = recorded.recording, float_rows(recorded)
    inputs = tuple(recorded.inputs[i] for i in wanted)
    avals = [tape.kind(row).aval for row in inputs]
    n_outputs = sum(tape.kind(row).aval.size for row in roots)
    n_inputs = sum(one.size for one in avals)
    is_forward = sweep == "forward" or (not sweep and n_inputs <= n_outputs)
    if is_forward and not any(one.dtype.is_complex for one in avals):
        derived = _columns(tape, inputs, roots, n_inputs)
    else:
        derived = _rows(tape, inputs, roots, n_outputs)
    return derived._replace(results=(*rows_of(extras), *derived.results))


def _rows(tape, inputs, roots, n) -> Derived:
    """By reverse sweeps: for each wanted argument rows of all outputs, then cut into blocks."""
    sweep = autodiff.reverse(tape, roots, inputs)
    batch, found = _batched(sweep, n, [tape.kind(row).aval for row in roots])
    blocks = []
    for root, (start, stop) in zip(roots, _spans(tape, roots), strict=True):
        shape = tape.kind(root).aval.shape
        for whole in found:
            if whole is None:
                blocks.append(-1)
                continue
            part = _part(whole, start, stop)
            blocks.append(reshape(part, shape=(*shape, *whole.shape[1:])).row)
    return Derived(batch.builder.tape, (), tuple(blocks))


def _columns(tape, inputs, roots, n) -> Derived:
    """By forward sweeps: for each output columns of all arguments, then cut into blocks."""
    sweep = autodiff.forward(tape, inputs, roots)
    batch, found = _batched(sweep, n, [tape.kind(row).aval for row in inputs])
    blocks = []
    for whole in found:
        for row, (start, stop) in zip(inputs, _spans(tape, inputs), strict=True):
            if whole is None:
                blocks.append(-1)
                continue
            part = _part(whole, start, stop)
            turned = permute(part, axes=(*range(1, part.ndim), 0))
            one = tape.kind(row).aval
            block = reshape(turned, shape=(*whole.shape[1:], *one.shape))
            blocks.append(cast(block, dtype=one.dtype.name).row)
    return Derived(batch.builder.tape, (), tuple(blocks))


def _spans(tape: Tape, rows) -> list[tuple[int, int]]:
    """Where the elements of each row begin and end among those of all."""
    ends = list(itertools.accumulate(tape.kind(row).aval.size for row in rows))
    return list(zip([0, *ends], ends, strict=False))


def _part(x: Ref, start: int, stop: int) -> Ref:
    if (start, stop) == (0, x.shape[0]):
        return x
    starts, lengths = (start, *(0,) * (x.ndim - 1)), (stop - start, *x.shape[1:])
    return slice_(x, starts=starts, lengths=lengths, steps=(1,) * x.ndim)


# ---------------------------------------------------------------- the batch


def _batched(sweep: autodiff.Sweep, n: int, seeds: list[Aval]):
    """(batch, results): a sweep for all n unit seeds; None where a result is zero."""
    tape = sweep.tape
    depends = dependent_rows(tape, sweep.seeds, len(tape))
    _check_size(tape, depends, n)
    builder = Builder(tape)  # rows keep their numbers
    batch = Batch(n, builder)
    for row in range(len(tape)):
        if not depends[row]:
            batch.give(row, builder.ref(row), False)
    start = 0
    for row, one in zip(sweep.seeds, seeds, strict=True):
        batch.give(row, _identity(builder, one, start, n), True)
        start += one.size
    found = batch.run(tape, [row for row in sweep.results if row >= 0])
    if n > MOST_UNROLLED and batch.unrolled:
        raise TooLarge("an operation that is done sample by sample")
    live = iter(found)
    results = []
    for row in sweep.results:
        one = None if row < 0 else next(live)
        if one is not None and not one.is_batched:
            one = one._replace(ref=expand(one.ref, shape=(n, *one.ref.shape)))
        results.append(None if one is None else one.ref)
    return batch, results


def _check_size(tape, depends, n):
    for row in range(len(tape)):
        if depends[row]:
            one = tape.kind(row).aval
            if n * one.size * one.dtype.itemsize > LARGEST:
                raise TooLarge(f"{n} times {one}")


def _identity(builder: Builder, one: Aval, start: int, n: int) -> Ref:
    """Unit vectors: row i has a 1 at the element i - start, if there is one."""
    like = builder.literal(0.0, aval((), dtypes.float64, one.device))
    shape = (n, *one.shape)
    return unit_vectors(like, shape=shape, start=start, dtype=one.dtype.name)
