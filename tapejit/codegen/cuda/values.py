"""A loop in the text of a CUDA kernel: its values' names, and where each of them changes.

`Part` is a loop with its sizes and places, `Walk` says which thread meets which index (text.py
tells of both), `Loop` prints the values.  What does not change along the axes that lanes walk
through, or nowhere at all, has a lower level, and is computed before.
"""

from __future__ import annotations

from typing import NamedTuple

from tapejit.codegen.cuda.functions import call
from tapejit.codegen.cuda.launches import Argument
from tapejit.codegen.value_text import CONVERSION, FLOATS, Values
from tapejit.plan import LoopKernel, Output, is_total

# ---------------------------------------------------------------- data


class Part(NamedTuple):
    """A loop, its sizes, and where its operands lie."""

    kernel: LoopKernel
    lengths: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    """Per operand, inputs first."""
    arguments: tuple[Argument, ...]
    """The same."""
    places: tuple[tuple, ...]
    """The same: what tells memory apart, (buffer, offset)."""


class Walk(NamedTuple):
    """Who meets which index."""

    kept: tuple[int, ...]
    """Axes whose indices are shared out among blocks and groups of lanes."""
    reduced: tuple[int, ...]
    """The others: lanes walk through them."""
    index: str
    """The dtype of indices: "i32" or "i64"."""
    lanes: int = 1
    """Threads for each index of the kept axes."""
    lanes_apart: bool = False
    """Whether neighbouring threads have neighbouring kept indices, and not neighbouring lanes."""
    nested: bool = False
    """Whether all lanes take one index of the outer reduced axes after the other."""
    split: bool = False
    """Whether several blocks share the reduced axes."""
    batch: int = 1
    """Elements that a thread meets at once."""
    held: bool = False
    """Whether they are all that a lane meets of a row."""
    tiled: bool = False
    """Whether blocks take tiles of the last two axes (tiles.py)."""


def kept_axes(output: Output) -> tuple[int, ...] | None:
    """The axes that a reduction keeps; None for stores and total reductions."""
    if output.reduce is None or is_total(output):
        return None
    return tuple([axis for axis, step in enumerate(output.operand.steps) if step != "0"])


THREAD, ROW, ELEMENT = range(3)
"""Where a value changes: nowhere, along kept axes only, at each element."""


# ---------------------------------------------------------------- values


class Loop(Values):
    """The values of a loop in CUDA's names: arithmetic keeps its dtype, literals have one."""

    logic = {"and": "&", "or": "|"}  # noqa: RUF012 - a constant of the class

    def __init__(self, part: Part, tag: str, walk: Walk):
        super().__init__(part.kernel, tag, set())
        self.part, self.kept = part, walk.kept
        self.levels = self._levels(walk)
        self.given: dict[int, str] = {}
        """Nodes that are there under another name."""
        self.held: dict[int, str] = {}
        """Nodes whose elements go to an array."""
        self.unwritten: set[int] = set()
        """Outputs that nobody reads from memory."""
        kept = [kept_axes(output) for output in self.kernel.outputs]
        self.columns = [j for j, axes in enumerate(kept) if axes and axes == walk.reduced]
        """Outputs that are reduced over the kept axes: a lane has a part for each of its
        elements."""
        self.sums = [j for j, axes in enumerate(kept) if axes is not None and axes != walk.reduced]
        """Outputs that are reduced over the reduced axes."""

    def _levels(self, walk):
        elements = walk.reduced or walk.kept
        levels: list[int] = []
        for fn, _, operands in self.kernel.nodes:
            if fn == "load":
                steps = self.operands[operands[0]].steps
                moving = [axis for axis, step in enumerate(steps) if step != "0"]
                levels.append(max((ELEMENT if a in elements else ROW for a in moving), default=0))
            elif fn == "index":
                levels.append(ELEMENT if operands[0] in elements else ROW)
            elif fn == "literal":
                levels.append(THREAD)
            else:
                levels.append(max(levels[x] for x in operands))
        return levels

    @property
    def is_narrow(self) -> bool:
        """Whether it has one number a row: it is part of a row kernel all the same."""
        return self.part.lengths[-1] == 1

    def nodes_at(self, level: int, loads: bool = True) -> list[str]:
        """Lines that compute the values of a level."""
        return [
            f"v{i}{self.tag} = {self.node(i)}"
            for i, node in enumerate(self.kernel.nodes)
            if self.levels[i] == level and i not in self.given and (loads or node.fn != "load")
        ]

    def value(self, i):
        return self.given.get(i) or super().value(i)

    def index(self, axis):
        """Loops of a row kernel share the indices of kept axes."""
        return f"i{axis}" if axis in self.kept else f"i{axis}{self.tag}"

    def float_literal(self, value, dtype):
        text = repr(value)
        for name in ("inf", "nan"):
            text = text.replace(name, f"math.{name}")
        return f"{CONVERSION[dtype]}({text})"

    def call(self, fn, dtype, source, values):
        if fn == "div":
            return f"{values[0]} / {values[1]}"
        if fn.startswith("random_"):
            return f"{fn}_{dtype if dtype in FLOATS else source}({', '.join(values)})"
        return super().call(fn, dtype, source, values)

    def function(self, fn, dtype, values):
        text = f"{call(fn, dtype)}({', '.join(values)})"
        return self.narrowed(text, dtype)

    def cast(self, dtype, source, value):
        if dtype == "bool" and source != "bool":
            return f"{value} != {self.literal(0, source)}"
        if dtype == "bool" or dtype == source:
            return value
        if dtype not in FLOATS and source in FLOATS:
            return f"to_{CONVERSION[dtype]}_{source}({value})"
        return f"{CONVERSION[dtype]}({value})"

    def extreme(self, name, dtype, left, right):
        function = call(name if dtype in FLOATS else f"{name}_int", dtype)
        return self.narrowed(f"{function}({left}, {right})", dtype)

    def place_key(self, k: int) -> tuple:
        """What tells the elements that an operand walks through from others."""
        return (*self.part.places[k], self.part.strides[k])
