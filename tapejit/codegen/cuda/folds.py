"""Reductions over threads of a block: within warps by shuffles, then over warps in shared memory.

    u0_16 = cuda.shfl_xor_sync(0xffffffff, sum0, 16)      lanes 16 apart join what they have
    w0_16 = sum0 + u0_16
    ...                                                   and so on: then all lanes of a warp
    w0_1 = w0_2 + u0_1                                    have the same number
    if (tid & 31) == 0:
        fold0_0_f32[tid >> 5] = w0_1
    cuda.syncthreads()
    w0 = fold0_0_f32[0] + fold0_0_f32[1] + ...            in any thread; more than RADIX of them
                                                          by shuffles again

Both lanes of a pair join the same two numbers, in either order: reductions do not care.  So sums
depend on how many threads there are and on nothing else.

One barrier each is enough, as two sets of arrays take turns: who writes a set again has passed the
other set's barrier, and to that all came that had read this one.  In a loop that takes an even
number of turns; a barrier at its end makes up for an odd one (`is_odd_since`).
"""

from __future__ import annotations

from tapejit.codegen.cuda.values import Loop

SLOTS = 4
"""Shared arrays of each dtype and set: so many reductions are folded at once."""
RADIX = 8
"""Results of warps that a thread joins one after the other: that is faster than shuffles."""
WARP = 32
_ALL = "0xffffffff"

Value = tuple[Loop, int, str]
"""An output, and what a thread's part of it is called."""


class Folds:
    """The reductions of one kernel; `shared` are its arrays in shared memory, which they add to."""

    def __init__(self, block: int, shared: dict[str, tuple[str, int]]):
        self.block, self.shared = block, shared
        self.warp = min(WARP, max(block // 2, 1))  # simulated blocks are small: several there too
        self.turns = 0

    def join(self, values: list[Value], lanes: int, stride: int) -> tuple[list[str], list[str]]:
        """Lines that join values over groups of `lanes` threads, `stride` apart, and those after
        them that give any thread its group's results (w0...)."""
        parts = [part for _, _, part in values]
        span = min(lanes * stride, self.warp)
        lines, parts = self.in_warps("uw", values, parts, span, stride)
        if lanes > 1 and lanes * stride > self.warp:
            more, parts = self.over_warps(values, parts, lanes, stride)
            lines += more
        results = [
            f"w{j}{loop.tag} = {part}" for (loop, j, _), part in zip(values, parts, strict=True)
        ]
        return lines, results

    def is_odd_since(self, turns: int) -> bool:
        """Whether a loop that began at this turn must end with a barrier."""
        return (self.turns - turns) % 2 == 1

    def in_warps(self, names, values, parts, span, stride):
        """Shuffles between threads of the same `span`, and what their results are called."""
        got, joined = names
        lines, parts = [], list(parts)
        distance = span // 2
        while distance >= stride:
            for n, (loop, j, _) in enumerate(values):
                end, output = f"{j}_{distance}{loop.tag}", loop.kernel.outputs[j]
                is_bool = output.operand.dtype == "bool"
                given = f"int32({parts[n]})" if is_bool else parts[n]
                other = f"cuda.shfl_xor_sync({_ALL}, {given}, {distance})"
                lines.append(f"{got}{end} = {f'{other} != 0' if is_bool else other}")
                lines.append(f"{joined}{end} = {loop.join(output, parts[n], f'{got}{end}')}")
                parts[n] = f"{joined}{end}"
            distance //= 2
        return lines, parts

    def over_warps(self, values, parts, lanes, stride):
        """Warps' results go to shared memory; what joins them there."""
        warp, shift = self.warp, self.warp.bit_length() - 1
        n_kept = min(stride, warp)  # results of each warp
        place, who = f"tid >> {shift}", f"(tid & {warp - 1}) == 0"
        if n_kept == warp:
            place, who = "tid", ""
        elif n_kept > 1:
            place = f"(tid >> {shift}) * {stride} + (tid & {stride - 1})"
            who = f"(tid & {warp - 1}) < {stride}"
        if lanes * stride < self.block:
            first = f"(tid >> {lanes.bit_length() - 1}) * {lanes // warp}"
        else:
            first = f"(tid & {stride - 1})" if stride > 1 else ""
        count = lanes * n_kept // warp
        arrays, puts = [], []
        for slot, ((loop, j, _), part) in enumerate(zip(values, parts, strict=True)):
            dtype = loop.kernel.outputs[j].operand.dtype
            array = f"fold{slot}_{self.turns % 2}_{dtype}"
            size = self.block * n_kept // warp
            self.shared[array] = dtype, max(size, self.shared.get(array, (dtype, 0))[1])
            arrays.append(array)
            puts.append(f"{array}[{place}] = {part}")
        self.turns += 1
        if who:
            puts = [f"if {who}:", *[f"    {line}" for line in puts]]
        lines = [*puts, "cuda.syncthreads()"]
        if count > RADIX and stride == 1:
            own = _sum_of(first, f"(tid & {count - 1})")
            taken = [
                f"f{j}{loop.tag} = {_element(loop, j, array, own)}"
                for array, (loop, j, _) in zip(arrays, values, strict=True)
            ]
            found = [f"f{j}{loop.tag}" for loop, j, _ in values]
            more, parts = self.in_warps("gf", values, found, count, 1)
            return [*lines, *taken, *more], parts
        distances = range(0, count * stride, stride)
        return lines, [
            _joined(loop, j, [_element(loop, j, array, _sum_of(first, d)) for d in distances])
            for array, (loop, j, _) in zip(arrays, values, strict=True)
        ]


def _sum_of(first, more):
    return " + ".join([str(part) for part in (first, more) if part]) or "0"


def _element(loop, j, array, place):
    """An element of a shared array."""
    is_bool = loop.kernel.outputs[j].operand.dtype == "bool"
    return f"({array}[{place}] != 0)" if is_bool else f"{array}[{place}]"


def _joined(loop, j, elements):
    """Text that joins elements one after the other."""
    text, *others = elements
    for element in others:
        text = loop.join(loop.kernel.outputs[j], text, element)
    return text
