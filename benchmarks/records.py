"""The records a workload is made of.

A workload is a module in `benchmarks.workloads` with these names:

    SUMMARY              one line: what is computed
    PEERS                {peer name: function of one program's settings, giving a Runner}
    TARGETS              the Targets it must reach
    cases(quick)         the Cases: one row group of the table each
    inputs(settings, draw)  the NumPy inputs; another `draw` is other data of the same sizes

One that does not time calls has `FIGURES`, {name: target}, and `figures(quick, cpu, say)`, giving
the Figures; its PEERS, TARGETS and cases may be empty.

`unavailable()`, where there is one, gives the reason why nothing can be measured here, or None.

Settings are plain dictionaries of numbers: they travel to the workers and into the JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    """One row group of the table: the same sizes, for one or several programs."""

    name: str
    programs: tuple[dict, ...]
    """Settings of each program; cold and warm are the median over programs."""
    tolerance: float = 1e-8
    """Largest relative difference of values and gradients between peers (see compare)."""
    per: int = 1
    """Times are shown divided by this: 50 for a chain of 50 operations."""
    limit_s: float = 120.0
    """A peer whose first result takes longer is stopped and reported as "> limit"."""


class Target(NamedTuple):
    """`subject` shall be `factor` times as fast as the fastest of `against`, or with `within_us`,
    take at most so many microseconds more than it."""

    measure: str
    """"warm" or "cold"."""
    factor: float
    against: tuple[str, ...]
    subject: str = "tapejit"
    cases: tuple[str, ...] = ()
    """Names of the cases it is asked of; empty means all."""
    within_us: float | None = None

    def describe(self) -> str:
        """For example: warm >= 3x the best of jax, torch."""
        best = "the best of " if len(self.against) > 1 else ""
        if self.within_us is not None:
            return f"{self.measure} <= {self.within_us:g} us over {best}{', '.join(self.against)}"
        return f"{self.measure} >= {self.factor:g}x {best}{', '.join(self.against)}"


class Figure(NamedTuple):
    """One row of a workload that counts, or weighs, instead of timing calls."""

    name: str
    value: str
    """What was measured, in words."""
    target: str
    word: str
    """"met", "missed", "not judged"; or "wrong": then the run fails."""
    numbers: dict
    """The same for the JSON."""


class Runner(NamedTuple):
    """One peer's implementation of one program."""

    make: Callable[[], Callable]
    """Starts tracing or jitting (counted as cold); gives call(*loaded) -> (value, gradients).
    The call returns finished numbers: it waits for asynchronous work."""
    load: Callable[[tuple], tuple] = tuple
    """The inputs as the peer keeps them, for example on its device; never timed."""
    calls_until_compiled: int = 1
    """Which call is the first one that the compiled program answers."""
