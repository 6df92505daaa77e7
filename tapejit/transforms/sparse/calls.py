"""jacobian and hessian with sparse=True, and sparsity: the calls.

A recorded path keeps its patterns, colours and programs (`Sweeps`): one set for each set of index
values that it was called with.  A call compares those first, so a pattern is never used for other
indices than it was read from.

Rows are the elements of all outputs in order, columns those of all differentiated arguments.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from tapejit import autodiff
from tapejit.errors import ArgumentError, NotDifferentiable, TraceError
from tapejit.locks import Lock
from tapejit.registry import OPS, kind
from tapejit.runtime.compiled import compile_program
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape, with_inputs
from tapejit.transforms import running, trees
from tapejit.transforms.dispatch import (
    Arguments,
    Transform,
    Transforms,
    array_of,
    is_recorded,
    no_seeds,
    scalar_output,
)
from tapejit.transforms.paths import Derived
from tapejit.transforms.sparse.colours import NONE, colour, colour_symmetric
from tapejit.transforms.sparse.patterns import Patterns, counts, evaluated, matrix
from tapejit.transforms.sparse.programs import Compressed, Part, Problem
from tapejit.transforms.sparse.short_axes import without_short_axes
from tapejit.transforms.trace import OutputRow, Trace
from tapejit.transforms.wrapping import as_function

KEPT = 8
"""Sets of index values that a path keeps programs for."""

# ---------------------------------------------------------------- one path


class Known:
    """The pattern for some index values, and once values were asked for, its programs."""

    def __init__(self, problem: Problem, inputs: list, is_symmetric: bool):
        roots = [part.row for part in problem.parts if part.row != NONE]
        self.problem, self.is_symmetric = problem, is_symmetric
        self.patterns: Patterns | None = Patterns(problem.program, problem.wanted, roots, inputs)
        self.watched = {place: np.array(inputs[place]) for place in self.patterns.watched}
        self.indices = self.patterns.indices
        self.pattern: Any = self._whole(self.patterns)
        self.shown, self.order = _turned(self.pattern, problem)
        for array in (self.shown.indices, self.shown.indptr):
            array.setflags(write=False)
        self.compressed: Compressed | None = None

    def _whole(self, patterns):
        """The pattern of all rows of the result; a symmetric one is where both halves agree."""
        parts: list = [sparse.csr_array((0, patterns.n_columns), dtype=np.bool_)]
        for part in self.problem.parts:
            known = None if part.row == NONE else patterns.rows[part.row]
            empty = sparse.csr_array((part.size, patterns.n_columns), dtype=np.bool_)
            parts.append(empty if known is None else known)
        whole: Any = sparse.vstack(parts, format="csr")
        if self.is_symmetric:
            whole = whole.multiply(whole.T.tocsr()).tocsr()
            whole.sort_indices()
        whole.has_sorted_indices = whole.has_canonical_format = True
        return whole

    def fits(self, inputs: list) -> bool:
        """Whether this pattern is that of other inputs."""
        return all(np.array_equal(inputs[place], was) for place, was in self.watched.items())

    def has_indices_of(self, inputs: list) -> bool:
        """Whether other numbers lead to the same indices; then these are the ones to compare."""
        tape = self.problem.program.tape
        values: list = [None] * len(tape)
        for row, value in zip(self.problem.program.inputs, inputs, strict=True):
            values[row] = value
        for row, was in self.indices.items():
            if not np.array_equal(evaluated(tape, row, values)[0], was):
                return False
        self.watched = {place: np.array(inputs[place]) for place in self.watched}
        return True

    def compile(self) -> None:
        """Colour the pattern and make the programs, once."""
        if self.compressed is None:
            paint = colour_symmetric if self.is_symmetric else colour
            assert self.patterns is not None
            colouring = paint(self.pattern)
            self.compressed = Compressed(self.problem, self.patterns, self.pattern, colouring)
            self.patterns = None  # of all rows: as large as all the values of a run

    def run(self, inputs: list) -> list:
        """The matrix of values, and the guards."""
        assert self.compressed is not None
        data, guards = self.compressed(inputs)
        return [self.matrix(data), *guards]

    def describe(self) -> str:
        """The pattern and its colours, in a line."""
        rows, columns = self.shown.shape
        text = f"pattern {rows} x {columns}, {self.pattern.nnz} elements"
        if self.compressed is None:
            return text
        colouring, jobs = self.compressed.colouring, self.compressed.jobs
        forward, reverse = colouring.n_forward, colouring.n_reverse
        if self.order is not None:
            forward, reverse = reverse, forward
        runs = sum(len(job.firsts) for job in jobs)
        return (
            f"{text}: {forward} forward and {reverse} reverse sweeps, "
            f"{runs} runs of {len(jobs)} programs"
        )

    def matrix(self, data):
        """CSR with new values; the arrays of the pattern are shared, and read-only."""
        found = copy.copy(self.shown)  # a tenth of the time of the constructor, which checks
        found.data = data if self.order is None else data[self.order]
        return found


def _turned(pattern, problem: Problem) -> Any:
    """The pattern of the result, and the order in which it takes a problem's nonzeros."""
    if problem.turned is None:
        return pattern, None
    numbers = np.arange(pattern.nnz)
    whole = sparse.csr_array((numbers, pattern.indices, pattern.indptr), pattern.shape).T.tocsr()
    whole.sort_indices()
    starts = np.zeros(problem.n_turned + 1, np.int32)
    starts[problem.turned + 1] = counts(whole)
    shape = problem.n_turned, pattern.shape[0]
    return matrix(whole.indices, np.cumsum(starts), shape), whole.data


class Sweeps:
    """Runs a path: a matrix and then the guards, for the path's inputs."""

    def __init__(self, problem: Problem, is_symmetric: bool):
        self.problem, self.is_symmetric = problem, is_symmetric
        self.known: list[Known] = []
        self.lock = Lock()

    def __call__(self, inputs: list) -> list:
        with self.lock:
            known = self.find(inputs)
            known.compile()
        return known.run(inputs)

    def report(self) -> tuple[list[str], list]:
        """The patterns and their sweeps, and the steps of all programs."""
        lines, steps = [], []
        for known in self.known:
            lines.append(known.describe())
            for job in known.compressed.jobs if known.compressed is not None else ():
                steps += job.compiled.plan.steps if job.compiled.plan is not None else ()
        return lines, steps

    def find(self, inputs: list) -> Known:
        """What is known for these index values, made if nothing is."""
        for place, known in enumerate(self.known):
            if known.fits(inputs):
                if place:
                    self.known.insert(0, self.known.pop(place))
                return known
        for known in self.known:
            if known.has_indices_of(inputs):
                return known
        known = Known(self.problem, inputs, self.is_symmetric)
        self.known.insert(0, known)
        del self.known[KEPT:]
        return known


class Reads:
    """Runs a path for its pattern alone: the pattern and then the guards."""

    def __init__(self, problem: Problem, is_symmetric: bool):
        self.sweeps = Sweeps(problem, is_symmetric)
        self.guards = compile_program(simplify(problem.program))

    def __call__(self, inputs: list) -> list:
        with self.sweeps.lock:
            known = self.sweeps.find(inputs)
            known.patterns = None
        return [known.shown.copy(), *self.guards(inputs)]

    def report(self) -> tuple[list[str], list]:
        """The patterns, and the steps of the guards."""
        plan = self.guards.plan
        return self.sweeps.report()[0], list(plan.steps) if plan is not None else []


def derive_jacobian(recorded: Trace, wanted, runner: Callable = Sweeps) -> Derived:
    """The path's outputs by the wanted arguments."""
    recording, outputs = recorded.recording, []
    for output, shape in zip(recorded.outputs, recorded.shapes, strict=True):
        row = int(output) if isinstance(output, OutputRow) else NONE
        if row != NONE:
            dtype = recording.kind(row).aval.dtype
            if dtype.is_complex:
                raise NotDifferentiable(
                    "jacobian: an output is complex, and has no one derivative unless the function "
                    "is holomorphic\n  try  its .real and .imag, or vjp and jvp"
                )
            row = row if dtype.is_inexact else NONE
        outputs.append(Part(row, math.prod(shape)))
    rows = tuple(recorded.inputs[i] for i in wanted)
    if recorded.seeds is not None:
        return _derive_by_rules(recorded, rows, outputs, runner)
    parts = [piece for part in outputs for piece in _pieces(recording, part)]
    return _derived(recording, rows, parts, runner, False)


def _derive_by_rules(recorded: Trace, rows, outputs, runner) -> Derived:
    """With rules of the user's, which run while the pullback is recorded: it is linear, and its
    sparse Jacobian by the cotangents is the transpose.
    """
    recording = recorded.recording
    roots = [part.row for part in outputs if part.row != NONE]
    ones = [_ones(recording.kind(row).aval) for row in roots]
    seeds, found = running.reverse(recorded, roots, rows, recorded.levels[0], ones)
    running.check_unread(recorded, seeds)
    parts = [Part(r, recording.kind(x).aval.size) for r, x in zip(found, rows, strict=True)]
    is_live = [np.full(part.size, part.row != NONE) for part in outputs]
    turned = np.flatnonzero(np.concatenate([*is_live, np.zeros(0, np.bool_)]))
    n_turned = sum(part.size for part in outputs)

    def run(program: Program):
        return runner(Problem(program, seeds, tuple(parts), turned, n_turned), False)

    return Derived(_with_ones(recording, seeds), (), (), run)


def _ones(value):
    return np.ones(value.shape, value.dtype.dtype)


def _with_ones(tape: Tape, rows) -> Tape:
    """The tape with rows of ones in place of inputs that nobody gives."""
    result = with_inputs(tape, ())
    for row in rows:
        result.kinds[row] = kind(OPS["literal"], (1.0,), tape.kind(row).aval).number
    return result


def _pieces(tape: Tape, part: Part) -> list[Part]:
    """A row as those that it is made of, one behind the other."""
    if part.row == NONE:
        return [part]
    made = tape.kind(part.row)
    if made.op.name == "reshape" or (made.op.name == "cat" and made.attrs[0] == 0):
        operands = tape.operands(part.row)
        avals = [tape.kind(x).aval for x in operands]
        if all(value.dtype is made.aval.dtype for value in avals):
            parts = [Part(x, value.size) for x, value in zip(operands, avals, strict=True)]
            return [piece for one in parts for piece in _pieces(tape, one)]
    return [part]


def derive_hessian(recorded: Trace, wanted) -> Derived:
    """The path's gradient by the wanted arguments."""
    root = scalar_output(recorded, False)
    rows = tuple(recorded.inputs[i] for i in wanted)
    avals = [recorded.recording.kind(row).aval for row in rows]
    tape, found = recorded.recording, (NONE,) * len(rows)
    if root is not None and recorded.seeds is not None:
        told = recorded._replace(seeds=lambda: [_ones(value) for value in avals])
        derived = running.forward_over_reverse(told, root, wanted)
        running.check_unread(recorded, derived.seeds)
        tape, rows, found = _with_ones(tape, derived.seeds), derived.seeds, derived.results
    elif root is not None:
        sweep = autodiff.reverse(tape, (root,), rows, unit_seed=True)
        tape, found = sweep.tape, sweep.results
    parts = [Part(row, value.size) for row, value in zip(found, avals, strict=True)]
    # rules need not be those of a function: then there is no symmetry
    return _derived(tape, rows, parts, Sweeps, is_symmetric=recorded.seeds is None)


def _derived(tape, wanted, parts, runner, is_symmetric) -> Derived:
    def run(program: Program):
        live = [part.row for part in parts if part.row != NONE]
        if not set(wanted) <= set(program.inputs):  # rules were run: seeds are no inputs
            return runner(Problem(program, tuple(wanted), tuple(parts)), is_symmetric)
        whole, places = without_short_axes(program, [*wanted, *live])
        moved = dict(zip([*wanted, *live], places, strict=True))
        found = tuple(part._replace(row=moved.get(part.row, NONE)) for part in parts)
        return runner(Problem(whole, tuple(places[: len(wanted)]), found), is_symmetric)

    return Derived(tape, (), (), run)


# ---------------------------------------------------------------- calls


def sparse_derivative(
    function: Callable, argnums, derive: Callable, name: str, n_levels: int = 1
) -> Callable:
    """The function whose calls give a SciPy matrix.

    n_levels  derivatives that are taken, one of the other
    """
    arguments, cache = Arguments(argnums), Transforms()

    def call(*args, **kwargs):
        leaves: list = []
        trees.flatten((args, kwargs), leaves)
        spans = arguments.positions(args)
        wanted = tuple(i for first, last in spans for i in range(first, last))
        _check(name, arguments, args, leaves, wanted)
        if wanted not in cache:
            derivation = functools.partial(derive, wanted=wanted)
            cache[wanted] = Transform(function, derivation, n_levels=n_levels)
        return cache[wanted].call(args, kwargs, no_seeds).results[0]

    call.transforms = cache
    return as_function(call, function)


def _check(name, arguments, args, leaves, wanted):
    if is_recorded(leaves):
        raise TraceError(
            f"{name}: sparse=True inside another transform; SciPy's matrices hold numbers only\n"
            "  try  sparse=False there"
        )
    if len(set(wanted)) != len(wanted):
        raise ArgumentError(f"{name}: argnums {arguments.argnums} names an argument twice")
    for i in wanted:
        if np.iscomplexobj(array_of(leaves[i])):
            raise NotDifferentiable(
                f"{name}: sparse=True with complex arguments\n  try  their real and imaginary parts"
            )
