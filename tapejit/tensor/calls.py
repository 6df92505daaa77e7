"""Calls of functions with a rule of their own: what is kept beside the tape, and levels.

`record_call` appends the `call` rows of one call and keeps a `Call` in the recording, by its first
row: the engine asks it for cotangents (`pull`) or tangents (`push`), which runs the user's code.

Levels.  A function under `tj.grad` may be differentiated again from outside.  The inner derivative
goes by the rule; the outer one is of what the rule *did*, as JAX defines it.  So a call belongs to
the innermost derivative that is being taken of its arguments, a `Level`.  The arguments that its
rule gets (`primal_of`) are equal rows that the level does not depend on, hence calls inside the
rule belong to the next level out.  When a level is left, its calls are, to all others, what was
computed inside.  Calls without a level (`autograd.Function`; tensors that require grad) go by their
rule in every derivative, as PyTorch defines it.

What this file does not do: what rules are called with (`function`, `transforms.custom_rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tapejit.errors import AutogradError, StaleTape
from tapejit.registry import OPS, kind
from tapejit.runtime.devices import another, filled
from tapejit.shapes import Aval
from tapejit.sites import user_site
from tapejit.tape import dependent_rows
from tapejit.tensor.core import Tensor, apply, new_leaf, place, wrap
from tapejit.tensor.recording import Recording, seal_if_long, state, version

_CALL, _DETACH = OPS["call"], OPS["detach"]

# ---------------------------------------------------------------- levels


class Level:
    """One derivative that is being taken, by some tensors; a context while their function runs."""

    def __init__(self, tensors: Sequence[Tensor]):
        # recordings by their sequence numbers: they keep calls, and those their level
        self.leaves = [x for x in tensors if x._tape is None]
        self.rows = [x._row for x in tensors]  # as they are now: they may be changed in place
        self.starts = {(x._tape.sequence, x._row) for x in tensors if x._tape is not None}
        self.cuts: set[tuple[int, int]] = set()
        # rows before these are older than the level, and need not be looked at
        born = state.parked
        known = [born.places.get(id(x), x._row) for x in tensors]
        older = min([len(born), *(row for row in known if row >= 0)])
        self.born = born.sequence
        self.known: dict[int, bytearray] = {born.sequence: bytearray(older)}

    def __enter__(self):
        state.levels.append(self)
        return self

    def __exit__(self, *exception):
        state.levels.remove(self)
        return False

    def depends(self, x) -> bool:
        """Whether a tensor depends on those of the level."""
        if x._tape is None:
            return self._is_start(x)
        return x._tracked and self._row_depends(x._tape, x._row)

    def _is_start(self, leaf):
        return any(leaf is x for x in self.leaves)

    def _row_depends(self, recording, row):
        if recording.sequence < self.born:
            return False
        flags = self.known.setdefault(recording.sequence, bytearray())
        for later in range(len(flags), row + 1):
            flags.append(self._begins(recording, later, flags))
        return bool(flags[row])

    def _begins(self, recording, row, flags) -> bool:
        if (recording.sequence, row) in self.starts:
            return True
        kind = recording.kind(row)
        if (
            (recording.sequence, row) in self.cuts
            or kind.op is _DETACH
            or not kind.aval.dtype.is_inexact
        ):
            return False
        operands = recording.operands(row)
        if operands:
            return any(flags[operand] for operand in operands)
        source = recording.sources.get(row)
        if source.__class__ is tuple:
            return self._row_depends(*source)
        return source is not None and self._is_start(source)

    def decides(self, x: Tensor) -> bool:
        """Whether the value of a tensor depends on those of the level, also by comparisons.

        Eager recordings keep no comparisons: there, whether its derivative does.
        """
        tape = x._tape
        if tape is None or not tape.is_trace:
            return self.depends(x)
        rows = [row for sequence, row in self.starts if sequence == tape.sequence]
        rows += [tape.places[id(x)] for x in self.leaves if id(x) in tape.places]
        return bool(dependent_rows(tape, rows, x._row + 1)[x._row])

    def primal_of(self, x: Tensor) -> Tensor:
        """An equal tensor that this level does not depend on; other levels do."""
        if not self.depends(x):
            return x
        result = apply(OPS["reshape"], (x,), (x._aval.shape,), value=x._value)
        self.cuts.add((result._tape.sequence, result._row))
        return result


def level_of(tensors: Iterable[Tensor]) -> Level | None:
    """The innermost level that one of the tensors depends on."""
    tensors = list(tensors)
    for level in reversed(state.levels):
        if any(level.depends(x) for x in tensors):
            return level
    return None


# ---------------------------------------------------------------- calls


class Call(NamedTuple):
    """One call: whose derivative goes by its rule, and the rule."""

    level: Level | None
    pull: Callable[[Recording, list], list]
    """(recording, a cotangent or None per result) -> a cotangent or None per argument."""
    push: Callable[[Recording, list], list]
    """(recording, a tangent or None per argument) -> a tangent or None per result."""
    free: Callable[[], None]
    """Gives back what was saved, after a backward."""
    reads: tuple[int, ...] = ()
    """Rows whose values the rule reads."""
    is_linear: bool = False
    """Whether the rule is known to be linear, to any order; others are checked where it matters."""


def calls_below(recording: Recording, end: int, level: Level | None) -> dict[int, bool]:
    """Per call below row `end` whether it goes by its rule in a derivative of this level.

    level  None: a derivative that is no transform's
    """
    return {
        row: call.level is None or call.level is level or call.level in state.levels
        for row, call in recording.calls.items()
        if row < end
    }


def record_call(
    call: Call, name: str, results: Sequence[Tensor], arguments: Sequence[Tensor]
) -> list[Tensor]:
    """Tensors equal to `results`, with the rows of a call by `arguments`.

    name  what `grad_fn` shows
    """
    tape = state.recording
    if not tape.is_trace:
        seal_if_long(tape)
        tape = state.recording
    site = user_site()
    given = tuple(place(tape, x) for x in arguments)
    bodies = [place(tape, y) for y in results]
    made = []
    for number, (y, body) in enumerate(zip(results, bodies, strict=True)):
        known = kind(_CALL, (number, len(bodies)), y._aval)
        result = Tensor()
        result._value = another(y._value)
        result._aval = y._aval
        result._row = tape.add(known, (body, *given), result._value, site)
        result._tape, result._stamp, result._tracked = tape, tape.stamp, True
        tape.names[result._row] = name
        made.append(result)
    tape.calls[made[0]._row] = call
    return made


# ---------------------------------------------------------------- what a rule keeps


class Saved:
    """A tensor kept for a rule; one of the recording itself by its row, else there were a cycle."""

    def __init__(self, x: Tensor, recording: Recording):
        is_here = x._tape is recording
        self.tensor = None if is_here else x
        self.row = x._row if is_here else -1
        self.version = version(x._value)

    def get(self, recording: Recording | None) -> Tensor:
        """The tensor, with its history.

        Rows of a trace stay what they are, whatever happens to the memory of this run's values.
        """
        if self.tensor is not None:
            return self.checked(self.tensor)
        assert recording is not None
        recording.restore([self.row])
        result = wrap(recording.values[self.row], tracked=True)
        result._tape, result._row, result._stamp = recording, self.row, recording.stamp
        return result if recording.is_trace else self.checked(result)

    def checked(self, x):
        now = version(x._value)
        if now == self.version:
            return x
        raise StaleTape(
            "one of the variables needed for gradient computation has been modified by an inplace "
            f"operation: {x._aval}, saved for a rule, is at version {now}; expected version "
            f"{self.version} instead\n"
            "  try  the operation that is not in place, or clone() before it"
        )


def rows_of(saved: Iterable) -> tuple[int, ...]:
    """The rows that are kept, of a rule's own recording."""
    return tuple(x.row for x in saved if isinstance(x, Saved) and x.row >= 0)


FREED = (
    "Trying to backward through the graph a second time (or directly access saved tensors "
    "after they have already been freed). Saved intermediate values of the graph are freed "
    "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
    "backward through the graph a second time or if you need to access saved tensors after "
    "calling backward."
)


# ---------------------------------------------------------------- what a rule answers


def fitted(given, target: Aval, describe: Callable[[str], str]) -> Tensor | None:
    """What a rule gave for a tensor, in the shape and dtype of that; None stays None.

    describe(words) -> the message where it cannot be
    """
    if given is None:
        return None
    if not isinstance(given, Tensor):
        raise AutogradError(describe(f"expected Variable or None (got {type(given).__name__})"))
    shape, dtype = target.shape, target.dtype
    if given._aval.shape != shape:
        if not _reduces_to(given._aval.shape, shape):
            raise AutogradError(
                describe(
                    f"got {list(given._aval.shape)} but expected shape compatible with "
                    f"{list(shape)}"
                )
            )
        given = _summed(given, shape)
    if given._aval.dtype is dtype:
        return given
    if given._aval.dtype.is_complex and not dtype.is_complex:
        given = given.real
    return given.to(dtype)


def zeros_like(target: Aval, tracked: bool = False) -> Tensor:
    """Zeros of a shape and dtype, as data or as a leaf."""
    zeros = filled(target, 0)
    return new_leaf(zeros, target.dtype) if tracked else wrap(zeros, target.dtype)


def _summed(given, shape):
    """The sum over axes that a broadcast from `shape` would have made."""
    extra = given._aval.ndim - len(shape)
    axes = [i for i in range(given._aval.ndim) if i < extra or shape[i - extra] == 1]
    return given.sum(axes).reshape(shape) if axes else given


def _reduces_to(shape, target) -> bool:
    """Whether a sum over axes, as that of a broadcast, gives the shape."""
    if len(target) > len(shape):
        return False
    ends = shape[len(shape) - len(target) :]
    return all(m in (1, n) for n, m in zip(ends, target, strict=True))
