"""The cache on disk: what damage does, what a crowd does, and what a second process gains.

The second process is timed as a user meets it: import, then a function's first value and gradient,
with a cache that an earlier process filled.  JAX has its persistent cache with every threshold at
zero, hand-written Numba has cache=True and a file of its own.  Outputs are compared first.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import crowd, harness, peers, programs
from benchmarks.compare import check_outputs
from benchmarks.records import Case, Figure, Runner
from benchmarks.report import seconds
from benchmarks.workloads import elementwise

SUMMARY = "the cache of compiled code: attacks, many processes, a second process"
TARGETS = ()
FIGURES = {
    "cache attacks": "no crash, no exception, nothing wrong, everything mended",
    "8 processes, one cold cache": "nothing wrong, nothing torn, no code compiled twice by one",
    "second process, 10 operations": ">= 3x jax with its persistent cache; import <= 0.2 s",
    "second process, 100 operations": ">= 3x jax with its persistent cache; import <= 0.2 s",
}
N_SECOND = 7
"""Second processes of each peer; the fastest counts."""

inputs, ARGNUMS = elementwise.inputs, elementwise.ARGNUMS


def cases(quick: bool) -> list[Case]:
    """None: calls are not what is timed here."""
    return []


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """All rows."""
    rows = [attacks(45 if quick else 1000), eight(*((3, 20) if quick else (8, 200)))]
    for size in (10,) if quick else (10, 100):
        rows.append(second(size, 2 if quick else N_SECOND, quick, cpu, say))
    for row in rows:
        say(f"  {row.name}: {row.value}")
    return rows


# ---------------------------------------------------------------- damage and crowds


def attacks(count: int) -> Figure:
    """Attack the cache in a process of its own: it must come home."""
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as directory:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.attacks", directory, str(count)],
            cwd=harness.ROOT, env=_environment(directory), capture_output=True, text=True,
        )  # fmt: skip
    name = "cache attacks"
    if done.returncode:
        words = f"the process ended with status {done.returncode}\n{done.stderr[-2000:]}"
        return Figure(name, words, FIGURES[name], "wrong", {"crashes": 1})
    counts = {"crashes": 0} | json.loads(done.stdout)
    faults = sum(value for key, value in counts.items() if key != "attacks")
    value = ", ".join(f"{value} {key}" for key, value in counts.items())
    return Figure(name, value, FIGURES[name], "wrong" if faults else "met", counts)


def eight(n_processes: int, rounds: int) -> Figure:
    """Processes that start at once on an empty cache."""
    name = "8 processes, one cold cache"
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as directory:
        place = Path(directory) / "cache"
        environment = _environment(str(place))
        started = [crowd.start(place, seed, rounds, environment) for seed in range(n_processes)]
        try:
            total = crowd.joined([crowd.tally(process, 600.0) for process in started])
        except RuntimeError as error:
            return Figure(name, str(error), FIGURES[name], "wrong", {})
    value = (
        f"{n_processes} processes, {total.rounds} rounds: {total.wrong} wrong, {total.torn} torn, "
        f"{total.compiles} compiles, at most {total.most_compiles} of one code by one process"
    )
    is_met = not total.wrong and not total.torn and total.most_compiles <= 1
    return Figure(name, value, FIGURES[name], "met" if is_met else "wrong", total._asdict())


def _environment(cache: str) -> dict[str, str]:
    return harness.environment("tapejit", cache)


# ---------------------------------------------------------------- the second process


def second(size: int, count: int, quick: bool, cpu: int, say: Callable) -> Figure:
    """Fill each peer's cache, compare the outputs, and time processes that find it filled."""
    name = f"second process, {size} operations"
    settings = {"n_operations": size, "n_elements": 1000, "seed": 5}
    times: dict[str, dict] = {}
    expected = None
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as directory:
        caches = {peer: Path(directory) / peer.replace(", ", "-") for peer in PEERS}
        active = []
        for peer, cache in caches.items():
            cache.mkdir(mode=0o700)
            try:
                outputs = _fill(peer, settings, cpu, str(cache))
            except (harness.PeerMissing, harness.PeerFailed, harness.OverLimit) as error:
                say(f"    {peer}: {str(error).strip().splitlines()[-1]}")
                continue
            expected = expected or outputs
            for got, wanted in zip(outputs, expected, strict=True):
                check_outputs(got, wanted, 1e-8)
            active.append(peer)
        for _ in range(count):
            for peer in active:
                record = _start(peer, settings, cpu, str(caches[peer]))
                times.setdefault(peer, {}).setdefault("all", []).append(record)
    for record in times.values():
        best = min(record["all"], key=sum)
        record |= {"import_s": best[0], "first_s": best[1], "sum_s": sum(best)}
    value = "; ".join(
        f"{peer} {seconds(record['sum_s'])} (import {seconds(record['import_s'])}, first gradient "
        f"{seconds(record['first_s'])})"
        for peer, record in times.items()
    )
    word = "not judged"
    if "jax, cached" in times and "tapejit" in times:
        ratio = times["jax, cached"]["sum_s"] / times["tapejit"]["sum_s"]
        value += f"; {ratio:.1f}x jax"
        if not quick:
            is_met = ratio >= 3.0 and times["tapejit"]["import_s"] <= 0.2
            word = "met" if is_met else "missed"
    return Figure(name, value, FIGURES[name], word, times)


def _fill(peer: str, settings: dict, cpu: int, cache: str) -> list:
    """The outputs of a process that fills the cache."""
    worker = harness.Worker(__name__, peer, cpu, cache)
    try:
        return worker.ask("outputs", worker.ask("prepare", settings)["number"])
    finally:
        worker.stop(gently=True)


def _start(peer: str, settings: dict, cpu: int, cache: str) -> tuple[float, float]:
    """(seconds of the import, seconds until the first gradient) of a new process."""
    worker = harness.Worker(__name__, peer, cpu, cache)
    try:
        return worker.import_s, worker.ask("prepare", settings)["first_s"]
    finally:
        worker.stop(gently=True)


def _tapejit(settings: dict) -> Runner:
    return peers.tapejit(elementwise.function(settings, np), ARGNUMS)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_compilation_cache_dir", os.environ["BENCHMARK_CACHE_DIR"])
    return peers.jax(elementwise.function(settings, jnp), ARGNUMS)


def _numba(settings: dict) -> Runner:
    """Numba keeps code by the file and module that it stands in."""
    import numba

    program = programs.generate(settings["seed"], settings["n_operations"])
    path = Path(os.environ["BENCHMARK_CACHE_DIR"]) / f"program{settings['n_operations']}.py"
    if not path.exists():
        path.write_text("import math\n\n\n" + programs.source_numba(program), encoding="utf-8")
    sys.path.insert(0, str(path.parent))  # it imports the module by its name
    module = importlib.import_module(path.stem)
    return Runner(lambda: elementwise.with_outputs(numba.njit(cache=True)(module.kernel)))


PEERS = {"tapejit": _tapejit, "jax, cached": _jax, "numba, cached": _numba}
