"""Ratios and verdicts, from the samples of one run.

A measure of a peer is one number per program: "warm" the minimum of its samples, "cold" the time
to its first compiled result.  The ratio of two peers is the median, over programs, of the ratio
per program: how many times as fast the subject is.  A peer that passed its time limit counts with
the limit, which makes the ratio a lower bound.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from benchmarks.records import Target

KEYS = {"warm": "min_s", "cold": "cold_s"}


class Ratio(NamedTuple):
    """How many times as fast; `at_least` when a time limit stands for the slower time."""

    value: float
    at_least: bool = False

    def __str__(self) -> str:
        digits = f"{self.value:.0f}" if self.value >= 100 else f"{self.value:.3g}"
        return f"{'> ' if self.at_least else ''}{digits}x"


class Verdict(NamedTuple):
    """What became of a target: "met", "missed" or "not judged", and why."""

    target: str
    word: str
    ratio: Ratio | None
    detail: str = ""


def ratio(case: dict, subject: str, peer: str, measure: str) -> Ratio | None:
    """Return how many times as fast as the peer the subject is, or None if one is unmeasured."""
    mine, theirs = case["peers"].get(subject), case["peers"].get(peer)
    if mine is None or theirs is None or mine["status"] != "ok":
        return None
    if theirs["status"] not in ("ok", "over limit"):
        return None
    key = KEYS[measure]
    ratios, at_least = [], False
    # a peer that fell out has fewer programs than ours
    for here, there in zip(mine["programs"], theirs["programs"], strict=False):
        if key in there:
            ratios.append(there[key] / here[key])
        elif measure == "cold" and "over_s" in there:
            ratios.append(there["over_s"] / here[key])
            at_least = True
    return Ratio(statistics.median(ratios), at_least) if ratios else None


def _over_us(case: dict, target: Target, peer: str) -> float:
    """How many microseconds more the subject takes: the median over programs."""
    mine, theirs = (case["peers"][name]["programs"] for name in (target.subject, peer))
    key = KEYS[target.measure]
    pairs = zip(mine, theirs, strict=False)
    return (
        statistics.median([here[key] - there[key] for here, there in pairs if key in there]) * 1e6
    )


def judge(case: dict, target: Target, quick: bool) -> Verdict | None:
    """Return the verdict on one target in one case; None if it is not asked of that case."""
    if target.cases and case["name"] not in target.cases:
        return None
    text = target.describe()
    ratios = {peer: ratio(case, target.subject, peer, target.measure) for peer in target.against}
    known = {peer: value for peer, value in ratios.items() if value is not None}
    subject = case["peers"].get(target.subject)
    if subject is None or subject["status"] != "ok":
        status = "absent" if subject is None else subject["status"]
        # a wrong or absent answer misses every target; an absent library has none
        word = "not judged" if quick or status in ("absent", "skipped") else "missed"
        return Verdict(text, word, None, f"{target.subject}: {status}")
    without = [f"without {peer}" for peer in ratios if peer not in known]
    if not known:
        return Verdict(text, "not judged", None, ", ".join(without))
    best = min(known, key=lambda peer: known[peer].value)
    notes = [best] if len(target.against) > 1 else []
    over_us = 0.0
    if target.within_us is not None:
        over_us = _over_us(case, target, best)
        notes.append(f"{over_us:.2g} us over")
    if quick:
        notes.append("quick sizes")
        return Verdict(text, "not judged", known[best], ", ".join(notes + without))
    if target.within_us is not None:
        is_met = over_us <= target.within_us
    else:
        is_met = known[best].value >= target.factor
    word = "met" if is_met else "missed"
    if word == "missed" and known[best].at_least:
        word = "not judged"
        notes.append("the peer's time limit is too short to tell")
    return Verdict(text, word, known[best], ", ".join(notes + without))
