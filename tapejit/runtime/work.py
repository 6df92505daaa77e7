"""How long a step takes, about, and where its units may be cut between threads.

`estimate_ns` decides whether a step is worth threads, or giving the GIL away: within a factor of
two is enough.  `atom_of` decides what is *right*: how many units in a row must stay together.

Start at `atom_of`.  What runs the pieces is pool.py.
"""

from __future__ import annotations

import itertools
import math

from tapejit.expressions import MATH
from tapejit.plan import LINKED, KernelStep, RowStep, View, is_total

# ---------------------------------------------------------------- how long

# ns an element at tier 0, measured on one core with AVX-512 (benchmarks vector_math, elementwise)
_ARITHMETIC = 0.07
_NODES = dict.fromkeys(MATH, 1.5) | dict.fromkeys(("div", "mod", "sqrt", "index", "cast"), 0.4)
_LINKED = 40  # a guess: iterations of a function of the user's own
_OPERANDS = {"1": 0.15, "s": 1.0, "0": 0.0}  # by their step along the inner axis
_NEIGHBOUR = 0.2  # an element of those that are moved as rows
_UNIT = 15  # ns to begin a unit


def estimate_ns(step: KernelStep | RowStep) -> int:
    """About how long one thread takes."""
    return int(sum(map(_loop_ns, step.parts)))


def _loop_ns(part):
    kernel = part.kernel
    element = sum([_node_ns(node[0]) for node in kernel.nodes])
    operands = (*kernel.inputs, *(output.operand for output in kernel.outputs))
    element += sum([_OPERANDS[operand.steps[-1]] for operand in operands])
    element -= sum(map(len, kernel.neighbours)) * (_OPERANDS["s"] - _NEIGHBOUR)
    elements = part.lengths[0] if len(part.lengths) == 1 else part.units * part.lengths[-1]
    return part.units * _UNIT + elements * element


def _node_ns(fn):
    return _LINKED if fn.startswith(LINKED) else _NODES.get(fn, _ARITHMETIC)


# ---------------------------------------------------------------- where to cut


def atom_of(step: KernelStep | RowStep) -> int:
    """The units that must run in one thread and in order, counted from any multiple of it.

    1: every unit writes memory of its own (a partial of a total is such), or the same number as
    all others.  Several: a reduction that keeps some axes adds units together in memory.  Those
    that differ along a leading axis which it keeps are still apart; from the first outer axis on
    that it reduces, they are not.  All of them: nothing says that they are apart.

    Loops that take turns have the same outer axes, so the largest of their atoms suits all.
    """
    return max(map(_atom_of_loop, step.parts))


def _atom_of_loop(step):
    rank, kernel = len(step.lengths), step.kernel
    outputs = list(zip(kernel.outputs, step.written, strict=True))
    kept = [(output, view) for output, view in outputs if not is_total(output)]
    if not _are_apart(step, _written_together(step)):
        return max(step.units, 1)
    first = rank - 1
    for output, _ in kept:
        place = -1 if output.reduce is None else output.operand.steps.find("0", 0, rank - 1)
        first = first if place < 0 else min(first, place)
    return max(math.prod(step.lengths[first : rank - 1]), 1)


def _written_together(step):
    """The views that a loop writes, but totals; of neighbours one, with an axis along them."""
    kernel, first, written = step.kernel, len(step.kernel.inputs), []
    known = {group[0]: group for group in kernel.neighbours}
    others = {k for group in kernel.neighbours for k in group[1:]}
    for k, (output, view) in enumerate(zip(kernel.outputs, step.written, strict=True), first):
        if k in known:
            shape, strides = (*view.shape, len(known[k])), (*view.strides, 1)
            view = view._replace(shape=shape, strides=strides)
        if k not in others and not is_total(output):
            written.append(view)
    return written


def _are_apart(step, written):
    """Whether each element has one output and one index, and no other index reads it."""
    inputs = step.views[: len(step.kernel.inputs)]
    for view in written:
        in_place = len(_moving(view)) == len(view.shape)
        if any(view.buffer == x.buffer and not (in_place and view == x) for x in inputs):
            return False
    pairs = itertools.combinations(written, 2)
    return all(map(_is_injective, written)) and all(itertools.starmap(_are_disjoint, pairs))


def _is_injective(view: View) -> bool:
    """Whether indices along the axes that move lead to different elements.

    Sufficient, not necessary: each stride jumps over all that the smaller ones span.
    """
    span = 0
    for stride, n in sorted((abs(s), n) for s, n in _moving(view)):
        if stride <= span:
            return False
        span += stride * (n - 1)
    return True


def _are_disjoint(one: View, other: View) -> bool:
    """Whether two views share no element: apart as ranges, or as combs (parts of a stack)."""
    if one.buffer != other.buffer:
        return True
    (low, high), (other_low, other_high) = _range(one), _range(other)
    if high < other_low or other_high < low:
        return True
    comb = math.gcd(*(s for view in (one, other) for s, _ in _moving(view)))
    return comb > 1 and (one.offset - other.offset) % comb != 0


def _moving(view):
    return [(s, n) for s, n in zip(view.strides, view.shape, strict=True) if s and n > 1]


def _range(view):
    """The first and the last element of a view in its buffer."""
    ends = [s * (n - 1) for s, n in _moving(view)]
    low = view.offset + sum(end for end in ends if end < 0)
    return low, view.offset + sum(end for end in ends if end > 0)
