"""Kernels that walk through the same rows become one: its loops take turns at a few rows.

Softmax is three kernels, each of which waits for a reduction of the one before.  But row i of the
second needs row i of the first and no other, so all three can be done with a few rows, and then
with the next few: those stay in the cache, and memory is read and written once.

    find_rows     which kernels: those of one space that wait for reductions over its inner axes,
                  the kernels of its outer axes that lie between, and whoever else reads their rows
    keep_short    what a row kernel leaves for itself alone: computed again if that is cheap, else
                  put into the memory of a result that is written later
    finish_rows   the step

All of it is about strides, not about operations: a kernel may join if whatever it reads of the
others' results lies, for every index of the outer axes, where the same index of theirs wrote it.

Not here: rows along an axis that kernels would rather not walk through (a short one, or one whose
elements lie apart), and rows too long for a cache.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from typing import NamedTuple

from tapejit.plan import KernelStep, Result, RowKernel, RowStep
from tapejit.schedule.bodies import Body, axis_order, joined_axes
from tapejit.schedule.templates import weight_of

# ---------------------------------------------------------------- data

LONGEST = 16384
"""Elements of a row: 64 KiB of float32, so that a few operands of it fit in L2."""
LONGEST_ON_DEVICE = 1 << 17
"""The same on a GPU with MANY rows or more, where blocks read their rows from its cache again."""
MANY = 64
"""Rows from which there are blocks enough."""
SHORTEST = 16
"""Elements of a row: below, a loop over whole rows gains less than its beginning costs."""
EASY = 8
"""Weight up to which a row's intermediate is computed again rather than kept in cache."""
HARD = 24
"""The same rather than written to memory."""


class Rows(NamedTuple):
    """Kernels that become one."""

    space: tuple[int, ...]
    outer: tuple[int, ...]
    """The axes of `space` that tell rows apart; the others lie within a row."""
    members: list[int]
    """Numbers of steps, in order."""

    @property
    def inner(self) -> list[int]:
        """The axes within a row."""
        return [axis for axis in range(len(self.space)) if axis not in self.outer]

    @property
    def along_outer(self) -> tuple[int, ...]:
        """The space of one number per row."""
        return tuple([self.space[axis] for axis in self.outer])


class Step(NamedTuple):
    """A kernel that is being planned, or a library step."""

    body: Body | None
    row: int
    """What the library computes."""
    reads: set
    writes: set
    """Roots."""


# ---------------------------------------------------------------- which kernels


class _Steps:
    """Steps in order, and who waits for whom."""

    def __init__(self, steps: list[Step], device: bool):
        self.device = device
        self.bodies = [step.body for step in steps]
        self.group: dict[int, Rows] = {}
        self.last = -1  # of all steps in groups
        self.writers: dict = {}
        self.waits: list[set[int]] = []
        self.readers: list[list[int]] = [[] for _ in steps]
        for number, step in enumerate(steps):
            for root in step.writes:
                self.writers.setdefault(root, []).append(number)
        for number, step in enumerate(steps):
            roots = step.reads | step.writes
            found = {w for root in roots for w in self.writers.get(root, ()) if w < number}
            self.waits.append(found)
            for w in found:
                self.readers[w].append(number)

    def seeds(self):
        """(step, outer axes) wherever a later loop waits for a reduction over the other axes."""
        for number, body in enumerate(self.bodies):
            if body is None:
                continue
            for root, outer in body.row_reductions():
                later = [self.bodies[r] for r in self.readers[number]]
                if any(reader is not None and root in reader.roots for reader in later):
                    yield number, outer
                    break

    def grow(self, seed, outer):
        """All steps that can walk along with `seed`, in order."""
        first = self.bodies[seed]
        rows = Rows(first.space, outer, [])
        length = math.prod([rows.space[axis] for axis in rows.inner])
        is_wide = self.device and math.prod(rows.along_outer) >= MANY
        longest = LONGEST_ON_DEVICE if is_wide else LONGEST
        if not (SHORTEST <= length <= longest and self.suits(first, rows)):
            return rows
        waiting, seen, apart = [seed], {seed}, {}
        while waiting:
            number = heapq.heappop(waiting)
            body = self.bodies[number]
            if number != seed and (
                body is None
                or number in self.group
                or not self.suits(body, rows)
                or not self.is_local(number, rows)
                or self.waits_outside(number, rows, apart)
            ):
                continue
            rows.members.append(number)
            for reader in self.readers[number]:
                if reader not in seen:
                    seen.add(reader)
                    heapq.heappush(waiting, reader)
        return self.without_ends(rows)

    def suits(self, body, rows):
        """Whether a kernel's loop has these rows: its own inner axis lies within them."""
        if body.space == rows.along_outer:
            return True
        if body.space != rows.space:
            return False
        table = body.table
        if axis_order(rows.space, table, body.prices())[-1] not in rows.inner:
            return False
        return len(joined_axes(rows.space, table, rows.inner, body.indexed)) == 1

    def is_local(self, number, rows):
        """Whether what a step reads of the members' results is of its own row."""
        members = set(rows.members)
        body = self.bodies[number]
        for root, offset, strides in body.loads:
            for writer in self.writers.get(root, ()):
                if writer not in members:
                    continue
                for place in self.bodies[writer].targets:
                    if place[0] == root and not (
                        place[1] == offset
                        and _same_rows(_widened(place[2], rows), _widened(strides, rows), rows)
                    ):
                        return False
        return not any(
            writer in members for root, _, _ in body.targets for writer in self.writers[root]
        )

    def waits_outside(self, number, rows, apart):
        """Whether a step waits for one that is no member and waits for a member."""
        return any(
            w not in rows.members and self.follows(w, rows, apart) for w in self.waits[number]
        )

    def follows(self, number, rows, apart):
        """Whether a step waits for a member, at one remove or more; `apart` remembers.

        What waits for a part of another row kernel waits for all of it.
        """
        first = rows.members[0]
        stack = [number]
        while stack:
            top = stack[-1]
            if top in apart or (top < first and self.last < first):
                stack.pop()
                continue
            before = self.waits_of(top)
            if any(w in rows.members or apart.get(w) for w in before):
                apart[top] = True
                stack.pop()
                continue
            unknown = [w for w in before if w not in apart and (w > first or self.last > first)]
            if unknown:
                stack += unknown
            else:
                apart[top] = False
                stack.pop()
        return apart.get(number, False)

    def waits_of(self, number):
        """What a step waits for, with the row kernel that it is part of."""
        rows = self.group.get(number)
        if rows is None:
            return self.waits[number]
        return set().union(*[self.waits[member] for member in rows.members]) - set(rows.members)

    def keep(self, rows):
        """Make these steps a row kernel."""
        self.group.update(dict.fromkeys(rows.members, rows))
        self.last = max(self.last, rows.members[-1])

    def without_ends(self, rows):
        """Without kernels of the outer axes that no later member waits for; but a launch costs a
        GPU more than a light one that all lanes of a row compute."""
        kept, needed = [], set()
        for number in reversed(rows.members):
            body = self.bodies[number]
            is_light = sum(weight_of(node.fn) for node in body.nodes) <= HARD
            if number in needed or body.space == rows.space or (self.device and is_light):
                kept.append(number)
                needed |= self.waits[number]
        return rows._replace(members=kept[::-1])

    def in_order(self) -> list[int | Rows]:
        """The steps alone and the row kernels, each after those that it waits for."""
        group = self.group
        head = [group[n].members[0] if n in group else n for n in range(len(self.bodies))]
        waits: dict[int, set[int]] = {h: set() for h in head}
        for number, before in enumerate(self.waits):
            waits[head[number]] |= {head[w] for w in before} - {head[number]}
        readers: dict[int, list[int]] = {h: [] for h in head}
        for h, before in waits.items():
            for w in before:
                readers[w].append(h)
        left = {h: len(before) for h, before in waits.items()}
        ready = [h for h, n in left.items() if not n]  # sorted, so a heap
        order: list[int | Rows] = []
        while ready:
            h = heapq.heappop(ready)
            order.append(group.get(h, h))
            for reader in readers[h]:
                left[reader] -= 1
                if not left[reader]:
                    heapq.heappush(ready, reader)
        assert len(order) == len(waits), "steps wait for each other"
        return order


def find_rows(planned: list[Step], device: bool = False) -> list[int | Rows]:
    """The order of planned steps: the numbers of those that stay alone, and row kernels."""
    alone: list[int | Rows] = list(range(len(planned)))
    if not any(step.body is not None and any(step.body.row_reductions()) for step in planned):
        return alone
    steps = _Steps(planned, device)
    for seed, outer in steps.seeds():
        if seed not in steps.group:
            rows = steps.grow(seed, outer)
            if len(rows.members) > 1:
                steps.keep(rows)
    return steps.in_order() if steps.group else alone


def _widened(strides, rows):
    """Strides along the axes of the rows' space, from those along it or along its outer axes."""
    if len(strides) == len(rows.space):
        return strides
    of = dict(zip(rows.outer, strides, strict=True))
    return tuple([of.get(axis, 0) for axis in range(len(rows.space))])


def _same_rows(written, read, rows):
    """Whether each row reads of a buffer only what the same row wrote."""
    for axis, (w, r) in enumerate(zip(written, read, strict=True)):
        if w < 0 or (w != r if axis in rows.outer else r not in (w, 0)):
            return False
        if w == 0 and axis in rows.outer:
            return False
    span = 0  # different indices write different elements
    for stride, n in sorted((s, n) for s, n in zip(written, rows.space, strict=True) if s):
        if stride <= span:
            return False
        span += stride * (n - 1)
    return True


# ---------------------------------------------------------------- what a row leaves for itself


def keep_short(rows: Rows, steps: list[Step], results: set, can_share: bool = True) -> dict:
    """Let the loops of one row kernel do without memory for roots that they alone read.

    `results` are roots that others read.  Returns in whose memory a root lies: {root: another};
    none if not `can_share`.
    """
    bodies = [body for number in rows.members if (body := steps[number].body) is not None]
    for body in bodies:
        if body.space != rows.space:
            body.widen(rows.space, rows.outer)
    public = results | _written_or_read_elsewhere(rows, steps)
    shared: dict = {}
    ends: dict = {}  # the last loop that may read what lies in another's memory
    for body in bodies:
        for place in list(body.targets):
            root, _, strides = place
            node, dtype, reduce = body.outputs[body.targets.index(place)]
            if root in public or reduce or not any(strides[axis] for axis in rows.inner):
                continue
            readers = [k for k, later in enumerate(bodies) if root in later.roots]
            if any(key != place for k in readers for key in bodies[k].loads if key[0] == root):
                continue  # read in another way than it was written
            weight, loads = _cone(body, node, rows.inner)
            is_host = root in shared.values()
            if can_share and (weight > EASY or is_host):
                host = _host(bodies, max(readers), place, dtype, shared)
                if host is not None:
                    shared[root], ends[root] = host
                    continue
            lasts = [ends[read] for read in loads if read in ends]
            if weight <= HARD and not is_host and max(readers) <= min(lasts, default=len(bodies)):
                for k in readers:
                    bodies[k].rebuild({place: (body, node)})
                body.drop(root)
    return shared


def _written_or_read_elsewhere(rows, steps):
    """Roots that other steps read, or write a part of."""
    members = set(rows.members)
    others = [step for number, step in enumerate(steps) if number not in members]
    return {root for step in others for root in step.reads | step.writes}


def _host(bodies, first, place, dtype, shared):
    """A result of the same layout that loop `first` or a later one writes, and the number of that
    loop."""
    for number in range(first, len(bodies)):
        body = bodies[number]
        for other, (_, its_dtype, reduce) in zip(body.targets, body.outputs, strict=True):
            is_taken = other[0] in shared or other[0] in shared.values()
            if reduce is None and its_dtype == dtype and other[1:] == place[1:] and not is_taken:
                return other[0], number
    return None


def _cone(body, node, inner):
    """What it costs to compute a node for each element of a row (for the whole row once is free),
    and the roots that it is computed from."""
    weight, roots, stack, seen = 0, set(), [node], set()
    moving, places = body.moving_nodes(inner), list(body.loads)
    while stack:
        i = stack.pop()
        if i in seen:
            continue
        seen.add(i)
        fn, _, operands = body.nodes[i]
        weight += weight_of(fn) if moving[i] else 0
        if fn == "load":
            roots.add(places[operands[0]][0])
        elif fn not in ("index", "literal"):
            stack += operands
    return weight, roots


# ---------------------------------------------------------------- the step


def finish_rows(bodies: list[Body], rows: Rows, buffers: dict) -> RowStep | KernelStep:
    """One step of the loops; their outer axes are joined where all of them can be."""
    bodies = [body for body in bodies if body.targets]
    table = [strides for body in bodies for strides in body.table]
    indexed = {axis for body in bodies for axis in body.indexed}
    groups = [*joined_axes(rows.space, table, rows.outer, indexed), rows.inner]
    parts = tuple([body.step(groups, buffers) for body in bodies])
    if len(parts) == 1:
        return parts[0]
    return RowStep(RowKernel(tuple([part.kernel for part in parts])), parts)


def with_private(steps: tuple, results: tuple[Result, ...]) -> tuple:
    """The steps of a plan; those of row kernels know what nobody else reads."""
    seen = [{view.buffer for view in step.views} for step in steps]
    count = Counter([buffer for buffers in seen for buffer in buffers])
    given = {result.view.buffer for result in results}
    return tuple([
        step._replace(private=tuple(sorted(b for b in buffers - given if count[b] == 1)))
        if isinstance(step, RowStep)
        else step
        for step, buffers in zip(steps, seen, strict=True)
    ])  # fmt: skip
