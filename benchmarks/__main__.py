"""The command line: python -m benchmarks [names...] [--quick] [--list] [--output DIR].

Ends with status 1 if a peer's outputs were wrong or a tapejit column failed: figures beside a
wrong result are worth nothing.  A missed target is said in the table, and is no failure.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import sys
from pathlib import Path

from benchmarks import harness, machine, report, worker
from benchmarks.peers import ENVIRONMENT, PEERS
from benchmarks.workloads import NAMES


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="tapejit against its peers: each in its own process, on one core.",
    )
    parser.add_argument("names", nargs="*", help="workloads to run (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, under a minute")
    parser.add_argument("--list", action="store_true", help="print workloads and targets, and end")
    parser.add_argument(
        "--output",
        type=Path,
        default=harness.ROOT / "benchmarks" / "results",
        help="directory for results.json, table.txt and chart.png (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"no workload {name!r}; known: {', '.join(NAMES)}")
    return options


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; return the exit status."""
    options = parse(arguments)
    names = options.names or list(NAMES)
    workloads = {name: importlib.import_module(f"benchmarks.workloads.{name}") for name in names}
    if options.list:
        print(listing(workloads))
        return 0
    results = run(workloads, options.quick)
    paths = report.write(results, options.output)
    print("\n" + report.table(results) + "\n")
    targets = {name: workload.TARGETS for name, workload in workloads.items()}
    paths += draw_chart(results, targets, options.output)
    for path in paths:
        print(f"wrote {path}")
    return 1 if is_wrong(results) else 0


def listing(workloads: dict) -> str:
    """The workloads with their cases, peers and targets."""
    lines = []
    for name, workload in workloads.items():
        lines.append(f"{name}: {workload.SUMMARY}")
        lines.append(f"  cases    {'; '.join(case.name for case in workload.cases(False))}")
        lines.append(f"  peers    {'; '.join(workload.PEERS)}")
        for target in workload.TARGETS:
            where = f" ({', '.join(target.cases)})" if target.cases else ""
            lines.append(f"  target   {target.describe()}{where}")
        for figure, text in getattr(workload, "FIGURES", {}).items():
            lines.append(f"  figure   {figure}: {text}")
    lines += ["", "peers"]
    lines += [f"  {name:<15} {peer.note}" for name, peer in PEERS.items()]
    return "\n".join(lines)


def run(workloads: dict, quick: bool) -> dict:
    """Run the workloads; return the results as report documents them."""
    cpu = machine.last_cpu()
    results = {
        "schema": 1,
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "quick": quick,
        "commit": machine.commit(harness.ROOT),
        "machine": machine.describe() | {"cpu": cpu},
        "versions": machine.versions(),
        "protocol": {
            "min_sample_s": worker.MIN_SAMPLE_S,
            "n_samples": harness.N_SAMPLES,
            "environment": ENVIRONMENT,
        },
        "workloads": [],
    }
    for name, workload in workloads.items():
        print(name, flush=True)
        result = harness.run_workload(workload, quick, cpu, say)
        result["verdicts"] = report.verdicts(result["cases"], workload.TARGETS, quick)
        results["workloads"].append(result)
    results["machine"]["load_after"] = machine.load()
    return results


def say(text: str) -> None:
    """Print progress at once, even into a pipe."""
    print(text, flush=True)


def draw_chart(results: dict, targets: dict, directory: Path) -> list[Path]:
    """Draw the chart if matplotlib is there; say so if not."""
    try:
        importlib.import_module("matplotlib")
    except ModuleNotFoundError:
        print("no chart: matplotlib is not installed (pip install 'tapejit[plots]')")
        return []
    from benchmarks import chart

    path = chart.draw(results, targets, directory / "chart.png")
    if path is None:
        print("no chart: there is no ratio to show")
        return []
    return [path]


def is_wrong(results: dict) -> bool:
    """Whether outputs differed anywhere, or tapejit itself failed."""
    figures = [figure for workload in results["workloads"] for figure in workload["figures"]]
    return any(figure["word"] == "wrong" for figure in figures) or any(
        record["status"] == "wrong" or (record["status"] == "failed" and peer in harness.OURS)
        for workload in results["workloads"]
        for case in workload["cases"]
        for peer, record in case["peers"].items()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
