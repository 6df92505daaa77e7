"""What `reads.take` hands out: a flat list of checks, and the fast test compiled from it.

A `Check` says ``something is expected``: an expression applied to a source object.  `Guards` prints
all of them as one boolean expression in one function, so that a call costs no loop and no call but
those of snapshots.  `Guards.text` shows it.

Start at `Guards.hold`.  Identity decides first.  Leaves (numbers, strings) that are other objects
are compared by value (`snapshot.same`); other objects are not: a list that was replaced by an
equal one counts as changed.
"""

from __future__ import annotations

import functools
import types
from typing import Any, NamedTuple

from tapejit.transforms.reading.snapshot import MISSING, is_leaf, same, show


class Check(NamedTuple):
    """One guard: ``read`` applied to ``source`` must give ``expected``."""

    read: str
    """Expression with ``{o}`` for the source: "{o}['scale']", "{o}.cell_contents"."""
    source: Any
    expected: Any
    label: str

    def text(self, source: str, expected: str) -> str:
        read = self.read.format(o=source)
        if self.expected is True and self.read.startswith(("not ", "'")):
            return f"({read})"
        if isinstance(self.source, types.MethodType) and self.read == "{o}()":
            return read
        if is_leaf(self.expected) and self.expected not in _ALONE:
            return f"({read} is {expected} or same({expected}, {read}))"
        return f"{read} is {expected}"

    def current(self):
        try:
            return eval(self.read.format(o="o"), {"o": self.source})
        except Exception:
            return MISSING

    def difference(self) -> str | None:
        """What changed, in words."""
        new = self.current()
        if new is self.expected or (is_leaf(self.expected) and same(self.expected, new)):
            return None
        if self.read == "{o}()":
            return self.source.__self__.difference()
        if self.read.startswith(("not ", "'")):
            return f"{self.label}: now there"
        now = "gone" if new is MISSING else show(new)
        if now == show(self.expected):
            return f"{self.label}: another object, {now}"
        return f"{self.label}: {show(self.expected)} -> {now}"


class _Alone:
    """Values of which there is one each, so that ``is`` settles it."""

    def __contains__(self, value):
        return value is None or value is True or value is False or value is Ellipsis


_ALONE = _Alone()


@functools.lru_cache(maxsize=1024)
def _compiled(text: str):
    return compile(text, "<tapejit guards>", "exec")


class Guards:
    """All that one run read besides its arguments.  Made by `take`."""

    def __init__(self, checks, reason, arrays):
        self.checks: list[Check] = checks
        self.reason: str | None = reason
        self.arrays: list[tuple[str, Any]] = arrays

    def hold(self) -> bool:
        """Is everything that was read unchanged?  The first call compiles the test."""
        self.hold = (lambda: False) if self.reason else self._compile()
        return self.hold()

    def changed(self) -> str | None:
        """The first difference in words ("global 'scale' of model.py: 2.0 -> 3.0"), or None."""
        if self.reason:
            return self.reason
        return next(filter(None, (check.difference() for check in self.checks)), None)

    def differences(self) -> list[str]:
        """All that differs, in words."""
        return list(filter(None, (check.difference() for check in self.checks)))

    def unchanged_since_taken(self) -> bool:
        """Asked after the recorded run: did the run leave alone all that it had captured?"""
        return self.reason is None and self.changed() is None

    @property
    def reads(self) -> list[str]:
        """What is guarded, in the order of reading."""
        return [check.label for check in self.checks]

    def text(self) -> str:
        """Source of the compiled test.

        def hold(o0=..., e0=..., o1=..., ...):
            try:
                return o0['scale'] is e0 and o1.cell_contents is e1
            except Exception:
                return False
        """
        return self._source()[0]

    def _source(self):
        values: dict[str, Any] = {}
        names: dict[int, str] = {}

        def name(value):
            if value is None or value is True or value is False:
                return repr(value)
            if id(value) not in names:
                names[id(value)] = f"v{len(names)}"
                values[names[id(value)]] = value
            return names[id(value)]

        parts = [check.text(name(check.source), name(check.expected)) for check in self.checks]
        given = ", ".join(f"{n}={n}" for n in values)
        test = "\n            and ".join(parts) or "True"
        text = (
            f"def hold({given}):\n    try:\n        return (\n            {test}\n        )\n"
            "    except Exception:\n        return False\n"
        )
        return text, values

    def _compile(self):
        text, values = self._source()
        values["same"] = same
        exec(_compiled(text), values)
        return values["hold"]
