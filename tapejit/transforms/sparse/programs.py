"""All sweeps of a colouring as one program, and where each nonzero lies in what it gives.

The seeds of a sweep are known when its program is made: 1 where a column (a row, in reverse) has
the sweep's colour.  So a row that holds differentiated numbers, moved, has a tangent that is known,
too: 1 where the element's colour is the sweep's, written as one comparison with an array of
colours, or as a plain 1.  A row without an element of the colour has no tangent at all.  What is
left are the products of slopes that there are: bundle adjustment is differentiated by column j of
every camera, and all else is gone before anything is compiled.

The results of forward sweeps lie element by element, colours inside, which is the order of CSR
where all rows of an output have the same colours: then they are the answer as they are.

Many sweeps do not become one program: a group of them does, with the colours as inputs.

Start at `Compressed`.  Patterns and colours come from the neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tapejit import autodiff, dtypes
from tapejit.build import Builder, Ref
from tapejit.ops.comparison import eq
from tapejit.ops.movement import cat, expand, reshape
from tapejit.ops.selection import indicator
from tapejit.runtime.compiled import Compiled, compile_program
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program
from tapejit.transforms.sparse.colours import NONE, Colouring
from tapejit.transforms.sparse.patterns import Patterns, counts

UNROLLED = 8192
"""Rows of all sweeps up to which they are one program."""

GROUP = 64
"""Sweeps of one program, at most, where there are more."""
CACHED = 1 << 16
"""Elements that a row has in all sweeps of a group: 128 sweeps over 32,000 observations took 1.8
times as long in groups of 64 as one by one, 1,500 over 1,500 numbers less than half."""

# ---------------------------------------------------------------- data


class Part(NamedTuple):
    """Some of the result's elements."""

    row: int
    """The row of the tape that holds them; NONE where they depend on nothing."""
    size: int


class Problem(NamedTuple):
    """What is differentiated."""

    program: Program
    """Its outputs are the guards, which every run returns."""
    wanted: tuple[int, ...]
    """The rows whose elements are the columns."""
    parts: tuple[Part, ...]
    """The elements that are the rows."""
    turned: np.ndarray | None = None
    """None; or the problem is that of a transpose: which rows of the result its columns are."""
    n_turned: int = 0
    """All rows of the result, then."""


class Job(NamedTuple):
    """A compiled program of some sweeps: its outputs are their results and then the guards."""

    compiled: Compiled
    constants: list
    """Its last inputs."""
    is_forward: bool
    firsts: tuple[int, ...]
    """The first colour of each run, if colours are inputs."""
    n_colours: int


# ---------------------------------------------------------------- writing sweeps


class _Writer:
    """Writes sweeps behind a tape.

    A sweep's number is its colour, an int; or the Ref of an input, for any colour.
    """

    def __init__(self, problem: Problem, patterns: Patterns, colouring: Colouring):
        self.tape = problem.program.tape
        self.builder = Builder(self.tape)
        self.problem, self.patterns, self.colouring = problem, patterns, colouring
        self.constants: dict[int, np.ndarray] = {}
        """Input rows with known values."""
        self.masks: dict[tuple, tuple[np.ndarray, int]] = {}
        self.colours_in: dict[int, np.ndarray] = {}
        rows, is_moved = patterns.rows, patterns.is_moved
        active = [row for row in range(len(self.tape)) if rows[row] is not None]
        read = {part.row for part in problem.parts}
        for row in active:
            if not is_moved[row]:
                read.update(self.tape.operands(row))
        self.active = [row for row in active if row in read or not is_moved[row]]

    def forward(self, number: int | Ref) -> dict[int, Ref]:
        """The tangents of all rows that have one."""
        tangents: dict[int, Ref] = {}
        for row in self.active:
            if self.patterns.is_moved[row]:
                tangent = self.mask(("column", row), row, number, self.owners)
            elif isinstance(number, int) and not self.is_reached(row, number):
                continue
            else:
                tangent = autodiff.push(self.builder, row, tangents)
            if tangent is not None:
                tangents[row] = tangent
        return tangents

    def owners(self, row: int) -> np.ndarray:
        """The colour of the column that each element of a row is."""
        pattern = self.patterns.rows[row]
        places = np.where(counts(pattern) == 1, pattern.indptr[:-1], len(pattern.indices))
        return np.append(self.colouring.columns[pattern.indices], NONE)[places]

    def is_reached(self, row: int, number: int) -> bool:
        """Whether a row depends on a column of this colour."""
        pattern = self.patterns.rows[row]
        known = self.colours_in.get(id(pattern))
        if known is None:
            known = np.zeros(self.colouring.n_forward + 1, np.bool_)
            known[self.colouring.columns[pattern.indices]] = True
            self.colours_in[id(pattern)] = known
        return bool(known[number])

    def reverse(self, number: int | Ref) -> list[Ref]:
        """The cotangents of the wanted rows."""
        roots, seeds, first = [], [], 0
        for place, part in enumerate(self.problem.parts):
            colours = self.colouring.rows[first : first + part.size]
            first += part.size
            if part.row != NONE and part.size:
                key = ("row", place)
                seed = self.mask(key, part.row, number, lambda row, known=colours: known)
                if seed is not None:
                    roots.append(part.row)
                    seeds.append(seed.row)
        sweep = autodiff.reverse(self.builder.tape, roots, self.problem.wanted, seeds=seeds)
        self.builder = Builder(sweep.tape)
        return [
            self.builder.literal(0, self.tape.kind(row).aval) if r < 0 else self.builder.ref(r)
            for row, r in zip(self.problem.wanted, sweep.results, strict=True)
        ]

    def mask(self, key: tuple, row: int, number: int | Ref, colours: Callable) -> Ref | None:
        """1 where an element of a row has the colour, else 0; None if that is everywhere."""
        value = self.tape.kind(row).aval
        if key not in self.masks:
            small = _without_repeats(np.reshape(colours(row), value.shape))
            place = NONE
            if small.size > 1:
                place = self.builder.input(aval(small.shape, dtypes.int32)).row
                self.constants[place] = small
            self.masks[key] = small, place
        small, place = self.masks[key]
        if isinstance(number, int):
            if not (small == number).any():
                return None
            if place == NONE:
                return self.builder.literal(1, value)
        else:
            number = self.builder.ref(number.row)
        found = (
            self.builder.literal(small.item(), aval((), dtypes.int32))
            if place == NONE
            else self.builder.ref(place)
        )
        found = indicator(eq(found, number), self.builder.literal(1, aval((), value.dtype)))
        return found if found.shape == value.shape else expand(found, shape=value.shape)

    def stacked(self, row: int, sweeps: Sequence[dict[int, Ref]]) -> Ref:
        """The tangents of a row in some sweeps, side by side for each element."""
        value = self.tape.kind(row).aval
        zeros = self.builder.literal(0, value)
        tangents = [self.builder.ref(sweep.get(row, zeros).row) for sweep in sweeps]
        if len(tangents) == 1:
            return tangents[0]
        return cat(*(reshape(t, shape=(*value.shape, 1)) for t in tangents), axis=value.ndim)

    def job(self, outputs: Sequence[Ref], is_forward=True, numbers=(), firsts=(0,)) -> Job:
        """Compile what was written."""
        program = self.problem.program
        inputs = [*program.inputs, *(number.row for number in numbers), *self.constants]
        results = [*(output.row for output in outputs), *program.outputs]
        compiled = compile_program(simplify(Program(self.builder.tape, inputs, results)))
        constants = list(self.constants.values())
        return Job(compiled, constants, is_forward, firsts, len(numbers))


def _without_repeats(array) -> np.ndarray:
    """An array with length 1 along the axes on which nothing changes."""
    for axis in range(array.ndim):
        first = array.take([0], axis)
        if (array == first).all():
            array = first
    return np.ascontiguousarray(array, np.int32)


# ---------------------------------------------------------------- all sweeps


class Compressed:
    """The nonzeros of a pattern, computed by the sweeps of its colouring.

    pattern  CSR; symmetric if the colouring is
    """

    def __init__(self, problem: Problem, patterns: Patterns, pattern, colouring: Colouring):
        self.problem, self.pattern, self.colouring = problem, pattern, colouring
        tape = problem.program.tape
        live = [part.row for part in problem.parts if part.row != NONE]
        self.dtype = _scipy_dtype([tape.kind(r).aval.dtype.dtype for r in live or problem.wanted])
        self.columns = _spans([tape.kind(row).aval.size for row in problem.wanted])
        self.rows = _spans([part.size for part in problem.parts])
        sizes = [found.shape[0] for found in patterns.rows if found is not None]
        n_active = len(sizes)
        n_sweeps = colouring.n_forward + colouring.n_reverse
        self.is_unrolled = n_sweeps * n_active <= UNROLLED
        self.forward_colours = [self._colours_of(span) for span in self.rows]
        self._lay_out()
        if self.is_unrolled:
            self.jobs = [self._unrolled(_Writer(problem, patterns, colouring))]
        else:
            size = max(1, min(GROUP, UNROLLED // n_active, CACHED // max(sizes)))
            self.jobs = [
                self._grouped(_Writer(problem, patterns, colouring), is_forward, n, size)
                for is_forward, n in ((True, colouring.n_forward), (False, colouring.n_reverse))
                if n
            ]

    def _colours_of(self, span) -> np.ndarray:
        """The colours of the forward sweeps that give a part's rows."""
        if not self.is_unrolled:
            return np.arange(self.colouring.n_forward)
        forward = self.colouring.rows[span] == NONE
        found = np.unique(self.colouring.columns[self.pattern[span][forward].indices])
        return found[found != NONE]

    # ------------------------------------------------------------ programs

    def _unrolled(self, writer: _Writer) -> Job:
        """One program for all sweeps."""
        sweeps = [writer.forward(number) for number in range(self.colouring.n_forward)]
        cotangents = [writer.reverse(number) for number in range(self.colouring.n_reverse)]
        outputs = [
            writer.stacked(part.row, [sweeps[number] for number in colours])
            for part, colours in zip(self.problem.parts, self.forward_colours, strict=True)
            if part.row != NONE and len(colours)
        ]
        return writer.job([*outputs, *(c for sweep in cotangents for c in sweep)])

    def _grouped(self, writer: _Writer, is_forward: bool, n: int, size: int) -> Job:
        """A program for a group of sweeps of any colours."""
        numbers = [writer.builder.input(aval((), dtypes.int32)) for _ in range(min(n, size))]
        if is_forward:
            sweeps = [writer.forward(number) for number in numbers]
            live = [part.row for part in self.problem.parts if part.row != NONE]
            outputs = [writer.stacked(row, sweeps) for row in live]
        else:
            outputs = [cotangent for number in numbers for cotangent in writer.reverse(number)]
        return writer.job(outputs, is_forward, numbers, tuple(range(0, n, len(numbers))))

    # ------------------------------------------------------------ where each nonzero is

    def _lay_out(self) -> None:
        """Results of forward sweeps come first, part by part; then those of reverse sweeps."""
        colouring, pattern = self.colouring, self.pattern
        n_rows, n_columns = pattern.shape
        begin, part_of = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
        ranks = np.zeros((len(self.rows), colouring.n_forward + 1), np.int64)
        size = 0
        for place, (span, colours) in enumerate(zip(self.rows, self.forward_colours, strict=True)):
            if self.problem.parts[place].row != NONE:
                n = span.stop - span.start
                begin[span] = size + np.arange(n) * len(colours)
                part_of[span] = place
                ranks[place, colours] = np.arange(len(colours))
                size += n * len(colours)
        self.n_forward_results = size
        self.size = size + colouring.n_reverse * n_columns

        rows = np.repeat(np.arange(n_rows), counts(pattern))
        columns = pattern.indices.astype(np.int64)
        places = begin[rows] + ranks[part_of[rows], colouring.columns[columns]]
        if colouring.is_symmetric:
            places = _mirrored(places, rows, columns, pattern, colouring)
        reverse = colouring.rows[rows].astype(np.int64)
        self.places = np.where(reverse == NONE, places, size + reverse * n_columns + columns)
        n = len(self.places)
        self.is_in_order = n == self.size and bool((self.places == np.arange(n)).all())

    # ------------------------------------------------------------ running

    def __call__(self, inputs: list) -> tuple[np.ndarray, list]:
        """The nonzeros in the order of the pattern, and the guards."""
        if self.is_unrolled:
            (job,) = self.jobs
            results = job.compiled([*inputs, *job.constants])
            results, guards = self._without_guards(results)
            parts = [np.reshape(result, -1) for result in results]
            whole = parts[0] if len(parts) == 1 else np.concatenate([self._nothing(), *parts])
        else:
            whole, guards = self._run_groups(inputs)
        data = whole if self.is_in_order else whole.take(self.places, mode="clip")
        return data.astype(self.dtype, copy=False), guards

    def _nothing(self):
        return np.zeros(0, self.dtype)

    def _without_guards(self, results):
        n = len(results) - len(self.problem.program.outputs)
        return results[:n], results[n:]

    def _run_groups(self, inputs):
        whole, guards = np.empty(self.size, self.dtype), []
        for job in self.jobs:
            for first in job.firsts:
                numbers = [np.int32(first + i) for i in range(job.n_colours)]
                results = job.compiled([*inputs, *numbers, *job.constants])
                results, guards = self._without_guards(results)
                put = self._put_forward if job.is_forward else self._put_reverse
                put(whole, results, first, job.n_colours)
        return whole, guards

    def _put_forward(self, whole, results, first, n_colours):
        n, begin, values = self.colouring.n_forward, 0, iter(results)
        for part in self.problem.parts:
            if part.row != NONE:
                there = whole[begin : begin + part.size * n].reshape(part.size, n)
                value = np.reshape(next(values), (part.size, n_colours))
                there[:, first : first + n_colours] = value[:, : n - first]
                begin += part.size * n

    def _put_reverse(self, whole, results, first, n_colours):
        there = whole[self.n_forward_results :].reshape(self.colouring.n_reverse, -1)
        values = iter(results)
        for number in range(first, min(first + n_colours, self.colouring.n_reverse)):
            for span in self.columns:
                there[number, span] = np.reshape(next(values), -1)


def _scipy_dtype(dtypes: list[np.dtype]) -> np.dtype:
    """What holds all of them; SciPy's matrices hold no float16."""
    return np.result_type(*dtypes, np.float32)


def _spans(sizes) -> list[slice]:
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(ends)]


def _mirrored(places, rows, columns, pattern, colouring) -> np.ndarray:
    """Where each element of a symmetric matrix is read: alone in its colour, or at its mirror
    image; both images are read at one place.
    """
    from scipy import sparse

    keys = rows * np.int64(colouring.n_forward) + colouring.columns[columns]
    _, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    is_alone = times[inverse] == 1
    numbers = np.arange(len(rows))
    turned = sparse.csr_array((numbers, pattern.indices, pattern.indptr), pattern.shape).T.tocsr()
    turned.sort_indices()
    mirror = turned.data
    assert (is_alone | is_alone[mirror]).all(), "a colouring that loses elements"
    found = np.where(is_alone, places, places[mirror])
    return np.where(rows <= columns, found, found[mirror])
