"""Kernel steps as CUDA launches: which outputs share a launch, and how the space is shared out.

`launches_of(step, block)` is the door; text.py prints the kernels.  An output that is reduced
decides which axes are kept; stores and total reductions ride along with any.  Reductions along
rows and along columns share a launch where a block's row fits its registers (`_row_walk`); others
that keep different axes are launches of their own, each with only what it needs.

Sizes decide how threads are arranged (`_walk`), never the card: `block` is the only thing that is
known of it.  Partial results lie in scratch memory, and reducing them is one more loop of the same
kind, down to one block, so sums of any length are trees.
"""

from __future__ import annotations

import math

from tapejit.codegen.cuda.launches import Argument, Launch, Launches, index_for, span_of
from tapejit.codegen.cuda.text import KernelText
from tapejit.codegen.cuda.tiles import MOST, TiledText, edge_of, lies_across, n_tiles
from tapejit.codegen.cuda.values import Part, Walk, kept_axes
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, RowStep, is_total
from tapejit.schedule.templates import weight_of

# ---------------------------------------------------------------- data

BLOCKS = 16384
"""Of a launch, at most: many waves on any card, so that the last, which is not full, costs little;
each thread then takes several elements."""
BLOCKS_THAT_ADD = 4096
"""The same where each block leaves partial results of its own."""
ENOUGH = 16
"""Elements a thread from which more blocks are worth their partial results; those of
BLOCKS_THAT_ADD blocks of 256 threads are just enough for one."""
NEAR = 1 << 20
"""Elements that are in a card's cache: neighbours may then read 32 bytes, and not whole lines."""
FEW_BLOCKS = 256
"""Blocks up to which a card is idle in part: rows then have all the lanes that they are worth."""
LANE = 32
"""Elements of a row that a lane may have where there are rows enough: few lanes fold faster."""
LONGEST_SUM = 512
"""Numbers that one thread adds up in a row, about: errors grow with this, not with the length."""
BLOCKS_WITH_COLUMNS = 512
"""The same where that is a number for each column: about what runs at once."""
BATCH = 4
"""Elements that a thread loads at once: what is under way is then enough for the memory."""
BATCH_WORDS = 32
"""Registers that they may take."""
BATCH_WEIGHT = 160
"""What computing a batch may cost, in additions: its text is unrolled."""
HELD = (1, 2, 3, 4, 6, 8, 12, 16)
"""How many elements of a row a lane may hold."""
HELD_WORDS = 48
"""Registers that they may take."""
LONG = 4
"""Elements of a row for each lane of a block above which blocks may be larger."""
FEW_HELD = 8
"""How many of them a lane of a larger block may hold, or one that computes in float64."""
WIDER = {2: 48, 4: 16}
"""How much larger, and the registers that what they hold may take: there are 255 for each of 256
threads, 64 for each of 1024; too few for functions of float64."""
HELD_WEIGHT = 1280
"""What computing them may cost, in additions."""
_HEAVY = frozenset([
    "sin", "cos", "tan", "pow", "lgamma", "digamma", "trigamma", "erfcx", "erfinv", "erfcinv",
    "bessel_i0", "bessel_i1", "bessel_i0e", "bessel_i1e", "bessel_j0", "bessel_j1",
])  # fmt: skip
"""Functions whose code is so long that LLVM does not unroll a loop around many of them."""

# ---------------------------------------------------------------- steps


def launches_of(step: KernelStep | RowStep, block: int) -> Launches:
    """The launches of a step, for blocks of so many threads (a power of two)."""
    scratch: list[tuple[str, int]] = []
    parts, first = [], 0
    for part in step.parts:
        arguments = tuple([Argument("view", first + k) for k in range(len(part.views))])
        strides = tuple([view.strides for view in part.views])
        places = tuple([(view.buffer, view.offset) for view in part.views])
        parts.append(Part(part.kernel, part.lengths, strides, arguments, places))
        first += len(part.views)
    if isinstance(step, KernelStep):
        launches = _of_loop(parts[0], block, scratch)
    else:
        launches = _of_rows(parts, frozenset(step.private), block, scratch)
    return Launches(tuple(launches), tuple(scratch))


def _of_loop(part: Part, block: int, scratch: list) -> list[Launch]:
    """A loop: one launch for all outputs that keep the same axes, or rows and columns at once."""
    outer, last = _rows_and_columns(part)
    together: list[int] = []
    groups: dict[tuple, list[int]] = {}
    for j, output in enumerate(part.kernel.outputs):
        kept = kept_axes(output)
        if kept is None:
            together.append(j)
        else:
            groups.setdefault(kept, []).append(j)
    if not groups:
        return _launch([part], _walk(part, None, block), block, scratch)
    is_large = part.lengths[-1] > 1 and math.prod(part.lengths[:-1]) >= FEW_BLOCKS
    if is_large and {outer, last} <= groups.keys():
        inside, after = _divided([part], (None, outer, last))
        walk, threads = _row_walk(inside, outer, block)
        if walk.held:
            launches = _launch(inside, (walk, 1), block, scratch, threads=threads)
            return _with_rest(launches, after, block, scratch)
    launches = []
    for kept, members in groups.items():
        alone = restricted(part, sorted([*together, *members]))
        launches += _launch([alone], _walk(alone, kept, block), block, scratch)
        together = []
    return launches


def _of_rows(parts: list[Part], private: frozenset, block: int, scratch: list) -> list[Launch]:
    """A row kernel: its loops one after the other in each block; with what is reduced over rows
    if these are held, else behind it."""
    outer, last = _rows_and_columns(parts[0])
    inside, after = _divided(parts, (None, outer, last))
    walk, threads = _row_walk(inside, outer, block)
    if not walk.held:
        inside, after = _divided(parts, (None, outer))
        walk, threads = _row_walk(inside, outer, block)
    private -= {part.places[k][0] for part in after for k in range(len(part.kernel.inputs))}
    launches = _launch(inside, (walk, 1), block, scratch, private, threads)
    return _with_rest(launches, after, block, scratch)


def _rows_and_columns(part: Part) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes but the last, and the last."""
    axes = tuple(range(len(part.lengths)))
    return axes[:-1], axes[-1:]


def _divided(parts: list[Part], wanted: tuple) -> tuple[list[Part], list[Part]]:
    """Loops with the outputs that keep certain axes, and loops with the others."""
    inside, after = [], []
    for part in parts:
        _, last = _rows_and_columns(part)
        kept = [kept_axes(output) for output in part.kernel.outputs]
        here = [
            j
            for j, axes in enumerate(kept)
            if axes in wanted and (axes != last or part.lengths[-1] > 1)
        ]
        there = [j for j in range(len(kept)) if j not in here]
        inside += [restricted(part, here)] if here else []
        after += [restricted(part, there)] if there else []
    return inside, after


def _with_rest(launches: list[Launch], after: list[Part], block: int, scratch: list):
    """Launches, and those of loops behind them."""
    return launches + [launch for part in after for launch in _of_loop(part, block, scratch)]


def restricted(part: Part, members: list[int]) -> Part:
    """A loop with some of its outputs, and only what those need."""
    kernel = part.kernel
    if len(members) == len(kernel.outputs):
        return part
    needed: set[int] = set()
    stack = [kernel.outputs[j].node for j in members]
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            if kernel.nodes[i].fn not in ("load", "literal", "index"):
                stack += kernel.nodes[i].operands
    inputs = sorted({n.operands[0] for i in needed if (n := kernel.nodes[i]).fn == "load"})
    number, new_input = {}, {k: new for new, k in enumerate(inputs)}
    nodes: list[Node] = []
    for i in sorted(needed):
        fn, dtype, operands = kernel.nodes[i]
        if fn == "load":
            operands = (new_input[operands[0]],)
        elif fn not in ("literal", "index"):
            operands = tuple([number[x] for x in operands])
        number[i] = len(nodes)
        nodes.append(Node(fn, dtype, operands))
    outputs = [kernel.outputs[j] for j in members]
    outputs = [output._replace(node=number[output.node]) for output in outputs]
    places = [*inputs, *(len(kernel.inputs) + j for j in members)]
    smaller = LoopKernel(
        kernel.rank, tuple([kernel.inputs[k] for k in inputs]), tuple(nodes), tuple(outputs)
    )
    return Part(
        smaller,
        part.lengths,
        tuple([part.strides[k] for k in places]),
        tuple([part.arguments[k] for k in places]),
        tuple([part.places[k] for k in places]),
    )


# ---------------------------------------------------------------- who goes where


def _walk(
    part: Part, kept: tuple[int, ...] | None, block: int, can_split: bool = True
) -> tuple[Walk, int]:
    """How a space is shared out, and in how many parts blocks cut the reduced axes."""
    lengths, axes = part.lengths, range(len(part.lengths))
    inner, index = axes[-1], _index(part)
    if kept is None:  # elementwise
        if len(lengths) == 1 or lengths[-1] < max(block // 32, 2):
            return Walk(tuple(axes), (), index, batch=_batch(part, tuple(axes), BATCH)), 1
        if _is_tiled(part, block):
            batch = edge_of(block) ** 2 // block
            return Walk(tuple(axes), (), index, batch=batch, tiled=True), 1
        kept, is_sum = tuple(axes[:-1]), False
    else:
        is_sum = any(output.reduce is not None for output in part.kernel.outputs)
    reduced = tuple([axis for axis in axes if axis not in kept])
    n_kept = math.prod([lengths[axis] for axis in kept])
    n_reduced = math.prod([lengths[axis] for axis in reduced])
    nested = False
    if inner in reduced:
        nested = len(reduced) > 1 and lengths[-1] >= min(64, block)
        length = lengths[-1] if nested else n_reduced
        lanes = _lanes(length, n_kept, block)
    else:
        is_near = n_kept * n_reduced <= NEAR
        most = block // min(max(block // (32 if is_near else 8), 1), _power(n_kept))
        lanes = 1
        while lanes < most and n_reduced >= 4 * lanes and n_kept * lanes < FEW_BLOCKS * block:
            lanes *= 2
    tiles = max(-(-n_kept // (block // lanes)), 1)
    splits = 1
    if can_split:
        wanted = min(BLOCKS_THAT_ADD, math.prod(lengths) // (block * ENOUGH)) // tiles
        if is_sum:
            wanted = max(wanted, n_reduced // (lanes * LONGEST_SUM))
        most = n_reduced // lengths[-1] if nested else n_reduced // (lanes * 4)
        splits = max(min(wanted, most), 1)
    most = -(-lengths[-1] // lanes) if nested else -(-n_reduced // (lanes * splits))
    batch = _batch(part, reduced, most)
    walk = Walk(kept, reduced, index, lanes, inner not in reduced, nested, splits > 1, batch=batch)
    return walk, splits


def _lanes(length: int, rows: int, block: int) -> int:
    """Lanes for each of so many rows."""
    widths = [lanes for lanes in _widths(length, block) if lanes <= length]
    for lanes in widths:
        if length <= LANE * lanes and rows * lanes >= FEW_BLOCKS * block:
            return lanes
    return max(widths, default=1)


def _widths(length: int, block: int) -> list[int]:
    """How many lanes a row may have: 32 of 256 threads at least, which read whole cache lines, if
    it is so long."""
    widths = (block // 8, block) if length >= block // 8 else (block // 32,)
    return [lanes for lanes in widths if lanes]


def _is_tiled(part: Part, block: int) -> bool:
    """Whether operands lie across in an elementwise loop that is large enough for tiles."""
    kernel, edge = part.kernel, edge_of(block)
    n_across = sum(map(lies_across, part.strides[: len(kernel.inputs)]))
    weight = sum(_weight(fn) for fn, _, _ in kernel.nodes) * edge * edge // block
    is_large = min(part.lengths[-2:]) >= edge // 2
    return 0 < n_across <= MOST and is_large and weight <= HELD_WEIGHT


def _batch(part: Part, axes: tuple[int, ...], most: int) -> int:
    """How many elements along these axes a thread loads at once: 1, 2 or 4."""
    words = weight = 0
    moving: list[bool] = []
    for fn, dtype, operands in part.kernel.nodes:
        if fn == "load":
            steps = part.kernel.inputs[operands[0]].steps
            moving.append(any(steps[axis] != "0" for axis in axes))
            words += moving[-1] * _words(dtype)
        else:
            is_value = fn not in ("literal", "index")
            moving.append(is_value and any(moving[x] for x in operands))
            weight += moving[-1] * _weight(fn)
    batch = min(BATCH, 1 << max(most, 1).bit_length() - 1)
    while batch > 1 and (batch * words > BATCH_WORDS or batch * weight > BATCH_WEIGHT):
        batch //= 2
    return batch if words else 1


def _weight(fn):
    return 64 if fn in _HEAVY else weight_of(fn)


def _words(dtype):
    return 2 if dtype in ("f64", "i64") else 1


def _row_walk(parts: list[Part], outer: tuple[int, ...], block: int) -> tuple[Walk, int]:
    """How the rows of a row kernel are shared out, and threads of a block: few lanes for a short
    one, larger blocks for a long one, and what they meet in registers where there are enough."""
    longest = max(parts, key=lambda part: part.lengths[-1])
    length = longest.lengths[-1]
    nodes = [node for part in parts for node in part.kernel.nodes]
    weight = sum(_weight(node.fn) for node in nodes)
    streamed = _walk(longest, outer, block, can_split=False)[0]
    most = -(-length // streamed.lanes)
    batch = min(_batch(part, (len(outer),), most) for part in parts if part.lengths[-1] == length)
    streamed = streamed._replace(batch=batch)
    rows = math.prod(longest.lengths[:-1])
    widths = [(lanes, block) for lanes in _widths(length, block)]
    has_doubles = any(_words(node.dtype) == 2 for node in nodes)
    if length > LONG * block and not has_doubles:
        widths += [(times * block, times * block) for times in WIDER]
    found = streamed, block
    for lanes, threads in widths:
        batch = next((n for n in HELD if n * lanes >= length), 0)
        walk = streamed._replace(lanes=lanes, batch=batch, held=True)
        has_few = threads > block or has_doubles
        if not batch or batch * weight > HELD_WEIGHT or (has_few and batch > FEW_HELD):
            continue
        held = sum(map(_words, KernelText(parts, walk, threads).local.values()))
        if batch * held <= WIDER.get(threads // block, HELD_WORDS):
            found = walk, threads
            if batch < HELD[-1] and rows * lanes >= FEW_BLOCKS * block:
                break
    return found


def _index(part: Part) -> str:
    """The width of index arithmetic."""
    spans = [span_of(part.lengths, strides) for strides in part.strides]
    return index_for([math.prod(part.lengths), *spans])


def _power(n: int) -> int:
    """The next power of two."""
    return 1 << max(n - 1, 0).bit_length()


# ---------------------------------------------------------------- launches


def _launch(
    parts: list[Part],
    how: tuple[Walk, int],
    block: int,
    scratch: list,
    private: frozenset = frozenset(),
    threads: int = 0,
) -> list[Launch]:
    """The launch of loops that walk together, and those that reduce what it leaves.

    threads  of a block of the first launch, if not as many as of the others
    """
    walk, splits = how
    threads = threads or block
    index = "i64" if any(_index(part) == "i64" for part in parts) else "i32"
    walk = walk._replace(index=index)
    lengths = parts[0].lengths
    n_kept = math.prod([lengths[axis] for axis in walk.kept])
    share = threads // walk.lanes if walk.reduced else threads * walk.batch
    items = -(-n_kept // share) * splits
    numbers = {"splits": splits, "nk": n_kept}
    if walk.tiled:
        along_rows, numbers["tiles"] = n_tiles(parts[0], block)
        items, numbers["nk"] = along_rows * numbers["tiles"], n_kept // lengths[-1]
    numbers["items"] = items
    text = (TiledText if walk.tiled else KernelText)(parts, walk, threads, private)
    grid = max(min(items, _most_blocks(text, items)), 1)
    partials: dict[tuple[int, int], Argument] = {}
    sums: dict[tuple, list[tuple[Output, Argument, Argument]]] = {}
    for number, j, shape, along in _left(text, splits, grid):
        output, place = parts[number].kernel.outputs[j], len(parts[number].kernel.inputs) + j
        argument = parts[number].arguments[place]
        if shape[0] == 1 and along[1:] in ((), (1,)):  # partial results are results
            partials[number, j] = argument
            continue
        partials[number, j] = area = Argument("scratch", len(scratch))
        scratch.append((output.operand.dtype, math.prod(shape)))
        sums.setdefault((shape, along), []).append((output, area, argument))
    for part, loop in zip(parts, text.loops, strict=True):
        n_reduced = math.prod([part.lengths[axis] for axis in walk.reduced])
        numbers[f"nr{loop.tag}"] = n_reduced
        numbers[f"nouter{loop.tag}"] = n_reduced // max(part.lengths[-1], 1)
    function, arguments = text.function(numbers, partials)
    launches = [Launch(function, grid, arguments)]
    for (shape, along), members in sums.items():
        launches += _of_loop(_sum(shape, along, members), block, scratch)
    return launches


def _most_blocks(text: KernelText, items: int) -> int:
    """How many blocks there are at most: fewer where each leaves numbers."""
    most = BLOCKS
    if any(is_total(output) for loop in text.loops for output in loop.kernel.outputs):
        elements = sum(math.prod(loop.part.lengths) for loop in text.loops)
        most = min(BLOCKS_THAT_ADD, max(elements // (text.block * ENOUGH), 1))
    if any(loop.columns for loop in text.loops):
        most = min(most, max(BLOCKS_WITH_COLUMNS, items // LONGEST_SUM))
    return most


def _left(text: KernelText, splits: int, grid: int):
    """Of each output that leaves partial results: (loop, output, their shape, strides of the
    result along it)."""
    kept = text.walk.kept
    for number, loop in enumerate(text.loops):
        lengths = loop.part.lengths
        for j, output in enumerate(loop.kernel.outputs):
            strides = loop.part.strides[len(loop.kernel.inputs) + j]
            if is_total(output):
                yield number, j, (grid,), (0,)
            elif j in loop.columns:
                yield number, j, (grid, lengths[-1]), (0, strides[-1])
            elif j in loop.sums and text.walk.split:
                shape = (splits, *(lengths[axis] for axis in kept))
                yield number, j, shape, (0, *(strides[axis] for axis in kept))


def _sum(shape: tuple, along: tuple, members: list[tuple[Output, Argument, Argument]]) -> Part:
    """The loop that reduces partial results over axis 0: for each output an area, where they lie
    row-major, and where the result goes."""
    ends, step = [], 1
    for n in reversed(shape):
        ends.append(step)
        step *= n
    strides = tuple(reversed(ends))
    if along[1:] == strides[1:] and len(shape) > 2:  # the result is row-major too
        shape, strides, along = (shape[0], math.prod(shape[1:])), (strides[0], 1), (0, 1)
    dtypes = [output.operand.dtype for output, _, _ in members]
    kernel = LoopKernel(
        len(shape),
        tuple([Operand(dtype, _steps(strides)) for dtype in dtypes]),
        tuple([Node("load", dtype, (k,)) for k, dtype in enumerate(dtypes)]),
        tuple([
            Output(k, Operand(output.operand.dtype, _steps(along)), output.reduce)
            for k, (output, _, _) in enumerate(members)
        ]),
    )  # fmt: skip
    arguments = (*(area for _, area, _ in members), *(target for _, _, target in members))
    layouts = (strides,) * len(members) + (along,) * len(members)
    return Part(kernel, shape, layouts, arguments, tuple([(argument,) for argument in arguments]))


def _steps(strides):
    letters = ["s" if stride else "0" for stride in strides]
    return "".join(letters[:-1]) + ("1" if strides[-1] == 1 else letters[-1])
