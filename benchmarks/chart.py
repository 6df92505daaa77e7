"""The picture: how many times as fast as each peer, on a logarithmic scale.

One line per case and measure, one dot per peer, a bar in the peer's colour where a target stands.
Dots to the right of 1 are peers that are slower.  An arrow is a peer that passed its time limit.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import judge
from benchmarks.records import Target
from benchmarks.report import subject_of

COLOURS = {
    "tapejit eager": "#8c6bb1",
    "jax": "#2171b5",
    "jax, no fusion": "#6baed6",
    "jax, device in": "#41b6c4",
    "torch": "#d94801",
    "numba": "#238b45",
}


class Row:
    """One line of the chart."""

    def __init__(self, label: str, case: dict, measure: str, targets: list[Target]):
        subject = subject_of(case)
        self.label = label
        self.dots = {}
        for peer in case["peers"]:
            value = judge.ratio(case, subject, peer, measure)
            if peer != subject and value is not None:
                self.dots[peer] = value
        self.targets = [target for target in targets if target.measure == measure]


def rows(results: dict, targets: dict[str, tuple[Target, ...]]) -> list[Row]:
    """Return the lines: warm for every case, cold where a target is set for it."""
    found = []
    for workload in results["workloads"]:
        for measure in ("warm", "cold"):
            for case in workload["cases"]:
                asked = [
                    target
                    for target in targets.get(workload["name"], ())
                    if not target.cases or case["name"] in target.cases
                ]
                if measure == "warm" or any(target.measure == "cold" for target in asked):
                    label = f"{workload['name']}, {case['name']}, {measure}"
                    found.append(Row(label, case, measure, asked))
    return [row for row in found if row.dots]


def draw(results: dict, targets: dict[str, tuple[Target, ...]], path: Path) -> Path | None:
    """Draw the chart; return None if there is no ratio to show."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = rows(results, targets)
    if not lines:
        return None
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.32 * len(lines)), layout="constrained")
    named = set()
    for y, line in enumerate(lines):
        axes.axhline(y, color="#eeeeee", zorder=0)
        for target in line.targets:
            label = _once("target (black: against the best of several)", named)
            axes.plot(target.factor, y, "|", color=_colour(target), markersize=14, label=label)
        for peer, value in line.dots.items():
            marker = ">" if value.at_least else "o"
            colour = COLOURS.get(peer, "black")
            axes.plot(value.value, y, marker, color=colour, alpha=0.85, label=_once(peer, named))
    axes.axvline(1.0, color="#999999", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [line.label for line in lines])
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the peer (1: the same; right of it: tapejit is faster)")
    title = "quick sizes, not to judge by" if results["quick"] else results["machine"]["processor"]
    axes.set_title(f"tapejit against its peers, one core ({title})", fontsize=10)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return path


def _colour(target: Target) -> str:
    """A target against one peer has that peer's colour."""
    return COLOURS.get(target.against[0], "black") if len(target.against) == 1 else "black"


def _once(label: str, named: set) -> str:
    """A label for the legend the first time; matplotlib leaves out those that begin with _."""
    if label in named:
        return f"_{label}"
    named.add(label)
    return label
