"""Abstract values: what is known of a value without running the code that made it.

    FRESH       made in this run, an argument, or immutable: nothing to guard
    HOLDS       a container made in this run that may hold captured objects
    PART        a captured object, or one inside a captured object; its deep snapshot is guarded
    Known(v)    exactly this captured object, reached by a guarded path

`Known` is what keeps guards narrow: `cfg.model.lr` guards three steps of a path instead of all of
`cfg`, also through locals (`m = cfg.model`) and `self`.  `frames` moves them about, `reads.Analyst`
decides what each needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Mark:
    """FRESH, HOLDS, PART and NULL: values of which only the rank matters."""

    def __init__(self, name, rank):
        self.name, self.rank = name, rank

    def __repr__(self):
        return self.name


NULL = Mark("NULL", 0)
FRESH = Mark("FRESH", 0)
HOLDS = Mark("HOLDS", 1)
PART = Mark("PART", 2)
VIEWER = Mark("VIEWER", 2)  # a method of a PART that gives out what is inside


class Known:
    """Exactly this object; `label` says how the code got to it."""

    def __init__(self, value, label):
        self.value, self.label = value, label

    def __repr__(self):
        return f"Known({self.label})"


class Inner(Mark):
    """A function made in this run, of code nested in the function's own; fresh, but followed."""

    def __init__(self, code, owner):
        super().__init__(f"Inner({code.co_name})", 0)
        self.code, self.owner = code, owner
        self.result: Any = FRESH
        n = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 12) * 2
        # where it is called out of sight, a def's parameters are taken for fresh; a lambda's or
        # comprehension's may be elements of captured lists (map, sorted, for ... in self.layers)
        start = PART if code.co_name.startswith("<") else FRESH
        self.parameters = dict.fromkeys(code.co_varnames[:n], start)
        self.called = False


class Local(NamedTuple):
    """A variable shared between a function and those nested in it: its cell is new in each run."""

    name: str
    owner: Any  # a Frame
