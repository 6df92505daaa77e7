"""The table and the JSON.

The JSON of a run:

    schema     1
    started    local time, ISO 8601
    quick      true for a run whose sizes are too small to judge by
    commit     {hash, changed}
    machine    {processor, n_cpus, system, load, load_after, cpu}
    versions   {python, numpy, ...}: null where not installed
    protocol   {min_sample_s, n_samples, environment}
    workloads  [{name, summary, cases, figures, verdicts}]
    cases      [{name, programs (their settings), tolerance, per, limit_s, peers}]
    figures    [{name, value, target, word, numbers}]: what is counted, not timed
    verdicts   [{case, target, word, ratio, at_least, detail}]
    peers      {peer: {status, detail, import_s, fresh_s, programs}}
               status: ok, skipped, failed, wrong or over limit
    programs   [{number, first_s, cold_s, compared_with, difference, repeats, samples_s, min_s,
               median_s}], or {over_s} for one that passed its time limit before its first result

Seconds are per call throughout; `per` (operations in a call) divides them only in the table.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from benchmarks import judge
from benchmarks.records import Target

HEADINGS = ("peer", "warm min", "median", "ratio", "cold", "ratio", "fresh", "import")
STATUSES = ("ok", "skipped", "failed", "wrong", "over limit")

# ---------------------------------------------------------------- checks


def check_results(results: dict) -> None:
    """Raise AssertionError unless the results have the form of the file preface."""
    top = {"schema", "started", "quick", "commit", "machine", "versions", "protocol", "workloads"}
    assert set(results) == top, f"top level: {set(results) ^ top}"
    for workload in results["workloads"]:
        assert set(workload) == {"name", "summary", "cases", "figures", "verdicts"}, workload[
            "name"
        ]
        for figure in workload["figures"]:
            assert figure["word"] in ("met", "missed", "not judged", "wrong"), figure
        for verdict in workload["verdicts"]:
            assert verdict["word"] in ("met", "missed", "not judged"), verdict
        for case in workload["cases"]:
            known = {"name", "programs", "tolerance", "per", "limit_s", "peers"}
            assert set(case) == known, f"{case['name']}: {set(case) ^ known}"
            for peer, record in case["peers"].items():
                fields = {"status", "detail", "import_s", "fresh_s", "programs"}
                assert set(record) == fields, f"{peer}: {set(record) ^ fields}"
                assert record["status"] in STATUSES, f"{peer}: {record['status']}"
                if record["status"] == "ok":
                    _check_complete(case, peer, record)


def _check_complete(case: dict, peer: str, record: dict) -> None:
    """A peer that is ok was measured on every program."""
    assert len(record["programs"]) == len(case["programs"]), peer
    for program in record["programs"]:
        assert program["cold_s"] > 0 and program["min_s"] > 0, peer
        assert len(program["samples_s"]) >= 1, peer
        assert program["difference"] <= case["tolerance"], peer


# ---------------------------------------------------------------- verdicts


def verdicts(cases: list[dict], targets: tuple[Target, ...], quick: bool) -> list[dict]:
    """Judge every target in every case."""
    found = []
    for case in cases:
        for target in targets:
            verdict = judge.judge(case, target, quick)
            if verdict is None:
                continue
            value, at_least = verdict.ratio or (None, False)
            found.append(
                {
                    "case": case["name"],
                    "target": verdict.target,
                    "word": verdict.word,
                    "ratio": value,
                    "at_least": at_least,
                    "detail": verdict.detail,
                }
            )
    return found


# ---------------------------------------------------------------- the table


def table(results: dict) -> str:
    """Print the results as plain text."""
    lines = [head(results)]
    for workload in results["workloads"]:
        lines += ["", f"{workload['name']}: {workload['summary']}"]
        for case in workload["cases"]:
            lines += ["", *case_rows(case)]
            for verdict in workload["verdicts"]:
                if verdict["case"] == case["name"]:
                    lines.append(verdict_row(verdict))
        for figure in workload["figures"]:
            lines += ["", f"  {figure['name']}", f"    {figure['value']}"]
            lines.append(f"    target {figure['target']}: {figure['word']}")
    lines += ["", count_row(results)]
    return "\n".join(lines)


def head(results: dict) -> str:
    """One paragraph: machine, versions, commit, and a warning if others were at work."""
    machine, commit = results["machine"], results["commit"]
    installed = [f"{k} {v}" for k, v in results["versions"].items() if v is not None]
    changed = " with changes" if commit["changed"] else ""
    lines = [
        f"{machine['processor']}, {machine['n_cpus']} CPUs, everything on CPU {machine['cpu']}",
        ", ".join(installed),
        f"commit {commit['hash']}{changed}, {results['started']}",
    ]
    loads = [value for value in (machine["load"], machine["load_after"]) if value is not None]
    # our own harness and one busy worker make a load of about 1
    if any(value > 1.5 for value in loads):
        shown = ", then ".join(f"{value:.1f}" for value in loads)
        lines.append(f"LOAD {shown}: others were at work, and these figures are noisy")
    if results["quick"]:
        lines.append("QUICK RUN: small sizes; shows that it works, not how fast it is")
    return "\n".join(lines)


def case_rows(case: dict) -> list[str]:
    """One line per peer; ratios say how many times as fast as that peer the subject is."""
    subject = subject_of(case)
    if all("label" in settings for settings in case["programs"]):
        return [*program_rows(case, subject), *case_rows(_without_labels(case))]
    per = f", times per operation ({case['per']} in a call)" if case["per"] > 1 else ""
    count = len(case["programs"])
    over = f", median of {count} programs" if count > 1 else ""
    rows = [HEADINGS]
    rows += [_cells(case, peer, subject) for peer in case["peers"]]
    widths = [max(len(row[i]) for row in rows if len(row) > 2) for i in range(len(HEADINGS))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = [f"  {case['name']} (differences <= {case['tolerance']:g}{per}{over})"]
    for row in rows:
        if len(row) == 2:
            lines.append(f"    {row[0]:<{widths[0]}}  {row[1]}")
            continue
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("    " + "  ".join(cells))
    return lines


def program_rows(case: dict, subject: str) -> list[str]:
    """One line per program, with the warm minimum of each peer and how it compares."""
    peers = [peer for peer, record in case["peers"].items() if record["programs"]]
    cells = [("", *(peer if peer == subject else f"{peer}  (ratio)" for peer in peers))]
    for number, settings in enumerate(case["programs"]):
        row = [settings["label"]]
        for peer in peers:
            mine, theirs = (
                (case["peers"][name]["programs"][number : number + 1] or [{}])[0].get("min_s")
                for name in (subject, peer)
            )
            text = "-" if theirs is None else seconds(theirs / case["per"])
            if None not in (mine, theirs) and peer != subject:
                text += f"  ({theirs / mine:.2f}x)"
            row.append(text)
        cells.append(tuple(row))
    widths = [max(len(row[i]) for row in cells) for i in range(len(peers) + 1)]
    lines = [
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in cells
    ]
    return [f"  {case['name']}, warm, each program", *(f"    {line}" for line in lines), ""]


def _without_labels(case: dict) -> dict:
    return case | {"programs": [{} for _ in case["programs"]]}


def subject_of(case: dict) -> str:
    """The peer the others are compared with."""
    ours = [peer for peer in case["peers"] if peer.startswith("tapejit")]
    return "tapejit" if "tapejit" in ours or not ours else ours[0]


def _cells(case: dict, peer: str, subject: str) -> tuple[str, ...]:
    """The cells of one peer's line; two cells only if there is nothing but a reason."""
    record = case["peers"][peer]
    last_line = (record["detail"].strip().splitlines() or [""])[-1]
    if record["status"] in ("skipped", "failed", "wrong"):
        return peer, f"{record['status'].upper()}: {last_line}"

    def middle(key):
        values = [program[key] / case["per"] for program in record["programs"] if key in program]
        return seconds(statistics.median(values)) if values else "-"

    def against(measure):
        value = None if peer == subject else judge.ratio(case, subject, peer, measure)
        return "-" if value is None else str(value)

    over = any("over_s" in program for program in record["programs"])
    cold = f"> {case['limit_s']:g} s" if over else _whole(record, "cold_s")
    fresh = "-" if record["fresh_s"] is None else seconds(record["fresh_s"])
    return (
        peer, middle("min_s"), middle("median_s"), against("warm"), cold, against("cold"),
        fresh, seconds(record["import_s"]),
    )  # fmt: skip


def _whole(record: dict, key: str) -> str:
    """The median over programs, not divided by operations."""
    values = [program[key] for program in record["programs"] if key in program]
    return seconds(statistics.median(values)) if values else "-"


def verdict_row(verdict: dict) -> str:
    """For example: target warm >= 3x jax: 4.2x, met."""
    parts = [verdict["word"]]
    if verdict["ratio"] is not None:
        parts.insert(0, str(judge.Ratio(verdict["ratio"], verdict["at_least"])))
    detail = f" ({verdict['detail']})" if verdict["detail"] else ""
    return f"    target {verdict['target']}: {', '.join(parts)}{detail}"


def count_row(results: dict) -> str:
    """How many targets were met, missed and not judged."""
    kinds = ("verdicts", "figures")
    words = [row["word"] for work in results["workloads"] for kind in kinds for row in work[kind]]
    counts = [f"{words.count(word)} {word}" for word in ("met", "missed", "not judged")]
    return f"targets: {', '.join(counts)}"


def seconds(value: float) -> str:
    """Three digits and a unit: 12.3 us."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 1000 else f"{value:.0f} s"
    return f"{value / 1e-9:.3g} ns"


# ---------------------------------------------------------------- files


def write(results: dict, directory: Path) -> list[Path]:
    """Write results.json and table.txt; return their paths."""
    check_results(results)
    directory.mkdir(parents=True, exist_ok=True)
    as_json, as_text = directory / "results.json", directory / "table.txt"
    as_json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    as_text.write_text(table(results) + "\n", encoding="utf-8")
    return [as_json, as_text]
