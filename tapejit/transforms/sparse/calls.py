"""jacobian and hessian with sparse=True, and sparsity: the calls.

A recorded path keeps its patterns, colours and programs (`Sweeps`): one set for each set of index
values that it was called with.  A call compares those first, so a pattern is never used for other
indices than it was read from.

Rows are the elements of all outputs in order, columns those of all differentiated arguments.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from tapejit import autodiff
from tapejit.errors import ArgumentError, NotDifferentiable, TraceError
from tapejit.locks import Lock
from tapejit.runtime.compiled import compile_program
from tapejit.simplify import simplify
from tapejit.tape import Program, Tape
from tapejit.transforms import trees
from tapejit.transforms.dispatch import (
    Arguments,
    Transform,
    Transforms,
    array_of,
    as_function,
    is_recorded,
    no_seeds,
    scalar_output,
)
from tapejit.transforms.paths import Derived
from tapejit.transforms.sparse.colours import NONE, colour, colour_symmetric
from tapejit.transforms.sparse.patterns import Patterns, evaluated
from tapejit.transforms.sparse.programs import Compressed, Part, Problem
from tapejit.transforms.sparse.short_axes import without_short_axes
from tapejit.transforms.trace import OutputRow, Trace

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
        for array in (whole.indices, whole.indptr):
            array.setflags(write=False)
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
        rows, columns = self.pattern.shape
        text = f"pattern {rows} x {columns}, {self.pattern.nnz} elements"
        if self.compressed is None:
            return text
        colouring, jobs = self.compressed.colouring, self.compressed.jobs
        runs = sum(len(job.firsts) for job in jobs)
        return (
            f"{text}: {colouring.n_forward} forward and {colouring.n_reverse} reverse sweeps, "
            f"{runs} runs of {len(jobs)} programs"
        )

    def matrix(self, data):
        """CSR with new values; the arrays of the pattern are shared, and read-only."""
        found = copy.copy(self.pattern)  # a tenth of the time of the constructor, which checks
        found.data = data
        return found


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
        return [known.pattern.copy(), *self.guards(inputs)]

    def report(self) -> tuple[list[str], list]:
        """The patterns, and the steps of the guards."""
        plan = self.guards.plan
        return self.sweeps.report()[0], list(plan.steps) if plan is not None else []


def derive_jacobian(recorded: Trace, wanted, runner: Callable = Sweeps) -> Derived:
    """The path's outputs by the wanted arguments."""
    recording, parts = recorded.recording, []
    for output, shape in zip(recorded.outputs, recorded.shapes, strict=True):
        row = int(output) if isinstance(output, OutputRow) else NONE
        size = int(np.prod(shape, dtype=np.int64))
        if row != NONE:
            dtype = recording.kind(row).aval.dtype
            if dtype.is_complex:
                raise NotDifferentiable(
                    "jacobian: an output is complex, and has no one derivative unless the function "
                    "is holomorphic\n  try  its .real and .imag, or vjp and jvp"
                )
            row = row if dtype.is_inexact else NONE
        parts += _pieces(recording, row) if row != NONE else [Part(NONE, size)]
    rows = tuple(recorded.inputs[i] for i in wanted)
    return _derived(recording, rows, parts, runner, False)


def _pieces(tape: Tape, row: int) -> list[Part]:
    """A row as those that it is made of, one behind the other."""
    kind = tape.kind(row)
    if kind.op.name == "reshape" or (kind.op.name == "cat" and kind.attrs[0] == 0):
        operands = tape.operands(row)
        if all(tape.kind(x).aval.dtype is kind.aval.dtype for x in operands):
            return [part for x in operands for part in _pieces(tape, x)]
    return [Part(row, kind.aval.size)]


def derive_hessian(recorded: Trace, wanted) -> Derived:
    """The path's gradient by the wanted arguments."""
    root = scalar_output(recorded, False)
    rows = tuple(recorded.inputs[i] for i in wanted)
    tape, found = recorded.recording, (NONE,) * len(rows)
    if root is not None:
        sweep = autodiff.reverse(recorded.recording, (root,), rows, unit_seed=True)
        tape, found = sweep.tape, sweep.results
    sizes = [recorded.recording.kind(row).aval.size for row in rows]
    parts = [Part(row, size) for row, size in zip(found, sizes, strict=True)]
    return _derived(tape, rows, parts, Sweeps, True)


def _derived(tape, wanted, parts, runner, is_symmetric) -> Derived:
    def run(program: Program):
        live = [part.row for part in parts if part.row != NONE]
        whole, places = without_short_axes(program, [*wanted, *live])
        moved = dict(zip([*wanted, *live], places, strict=True))
        found = tuple(part._replace(row=moved.get(part.row, NONE)) for part in parts)
        return runner(Problem(whole, tuple(places[: len(wanted)]), found), is_symmetric)

    return Derived(tape, (), (), run)


# ---------------------------------------------------------------- calls


def sparse_derivative(function: Callable, argnums, derive: Callable, name: str) -> Callable:
    """The function whose calls give a SciPy matrix."""
    arguments, cache = Arguments(argnums), Transforms()

    def call(*args, **kwargs):
        leaves: list = []
        trees.flatten((args, kwargs), leaves)
        spans = arguments.positions(args)
        wanted = tuple(i for first, last in spans for i in range(first, last))
        _check(name, arguments, args, leaves, wanted)
        if wanted not in cache:
            cache[wanted] = Transform(function, functools.partial(derive, wanted=wanted))
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
