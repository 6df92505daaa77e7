"""Starts the workers, compares their outputs, and takes their samples in turn.

`run_workload` is the whole order of events.  A peer can fall out at any point (not installed,
failed, wrong, over its time limit): that is said aloud, kept in the results with the reason, and
the others go on.

The results are plain dictionaries, ready for JSON; `report` documents and checks their form.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from time import perf_counter
from types import ModuleType

from benchmarks.compare import OutputsDiffer, check_outputs
from benchmarks.peers import ENVIRONMENT, PEERS
from benchmarks.records import Case, Figure

ROOT = Path(__file__).resolve().parent.parent
N_SAMPLES = 7
WARM_BUDGET_S = 60.0
"""A peer that has used this on one program's samples gives no more; it has at least one."""
START_LIMIT_S = 180.0
OURS = ("tapejit", "tapejit eager", "tapejit, gpu")
CACHES = ("TAPEJIT_CACHE_DIR", "NUMBA_CACHE_DIR", "BENCHMARK_CACHE_DIR")

# ---------------------------------------------------------------- a worker, seen from here


class PeerMissing(Exception):
    """The peer's library is not installed."""


class PeerFailed(Exception):
    """The peer raised, or its process ended; the message holds the traceback."""


class OverLimit(Exception):
    """The peer took longer than its time limit, and was stopped."""


class Worker:
    """A process that runs one peer; `ask` it, `stop` it."""

    def __init__(self, workload: str, peer: str, cpu: int = -1, kept: str | None = None):
        """`kept` is a directory for caches that outlives the process."""
        self.peer = peer
        self.cache = tempfile.TemporaryDirectory(prefix="tapejit-benchmark-")
        self.log = (Path(self.cache.name) / "log").open("w+", encoding="utf-8")
        self.connection, theirs = Pipe()
        command = [sys.executable, "-m", "benchmarks.worker"]
        self.process = subprocess.Popen(
            [*command, str(theirs.fileno()), workload, peer, str(cpu)],
            cwd=ROOT,
            env=environment(peer, kept or self.cache.name),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        theirs.close()
        try:
            greeting = self._answer(START_LIMIT_S)
            if "missing" in greeting:
                raise PeerMissing(greeting["missing"])
        except Exception:
            self.stop()
            raise
        self.import_s = greeting["import_s"]

    def ask(self, command: str, *arguments, limit_s: float = START_LIMIT_S):
        """Send a request and wait for its answer; stop the process when it takes too long."""
        try:
            self.connection.send((command, *arguments))
        except OSError as error:
            raise PeerFailed(self._last_words()) from error
        return self._answer(limit_s)

    def _answer(self, limit_s: float):
        if not self.connection.poll(limit_s):
            self.stop()
            raise OverLimit(f"no answer within {limit_s:g} s")
        try:
            kind, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise PeerFailed(self._last_words()) from error
        if kind == "error":
            raise PeerFailed(answer)
        return answer

    def _last_words(self) -> str:
        """What the process printed before it ended."""
        status = self.process.wait()
        self.log.seek(0)
        return f"the process ended with status {status}\n{self.log.read()[-2000:]}"

    def stop(self, gently: bool = False) -> None:
        """End the process and remove what it leaves; may be called twice.

        Gently: let it end by itself, with what it does at exit.
        """
        self.connection.close()
        if gently:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10.0)
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.cache.cleanup()


def environment(peer: str, cache: str) -> dict[str, str]:
    """The peer's environment: one thread, no cache that a run before could have filled, and none
    of the caller's own settings for tapejit and JAX: every run measures the defaults.  What Python
    compiles is kept, as it is for libraries that are installed."""
    own = ("TAPEJIT_", "JAX_", "PYTHONDONTWRITEBYTECODE")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    caches = dict.fromkeys(CACHES, cache)
    return inherited | ENVIRONMENT | caches | PEERS[peer].environment


# ---------------------------------------------------------------- one workload


def run_workload(workload: ModuleType, quick: bool, cpu: int, say: Callable) -> dict:
    """Measure every case of a workload with every peer that can; return the results."""
    workers: dict[str, Worker] = {}
    out: dict[str, tuple[str, str]] = {}
    cases = []
    name = workload.__name__.rpartition(".")[2]
    reason = workload.unavailable() if hasattr(workload, "unavailable") else None
    if reason is not None:
        say("\n".join(f"  {line}" for line in reason.splitlines()))
        missing = Figure(name, reason.splitlines()[0], "", "not judged", {})
        return {
            "name": name, "summary": workload.SUMMARY, "cases": [], "figures": [missing._asdict()]
        }  # fmt: skip
    try:
        for case in workload.cases(quick):
            start_workers(workload, workers, out, cpu, say)
            say(f"  {case.name}")
            cases.append(run_case(workload, case, workers, out, say))
            if not quick:
                measure_fresh(workload, case, cases[-1], cpu, say)
    finally:
        for worker in workers.values():
            worker.stop()
    measure = getattr(workload, "figures", None)
    figures = [figure._asdict() for figure in measure(quick, cpu, say)] if measure else []
    return {"name": name, "summary": workload.SUMMARY, "cases": cases, "figures": figures}


def start_workers(workload: ModuleType, workers: dict, out: dict, cpu: int, say: Callable) -> None:
    """Start the workers that do not run: all at first, later those that a time limit stopped."""
    for peer in workload.PEERS:
        if peer in workers or peer in out:
            continue
        try:
            worker = Worker(workload.__name__, peer, cpu)
        except PeerMissing as error:
            out[peer] = ("skipped", str(error))
            say(f"  {peer}: SKIPPED, {error} (pip install 'tapejit[benchmarks]')")
            continue
        except (PeerFailed, OverLimit) as error:
            out[peer] = ("failed", str(error))
            say(f"  {peer}: FAILED to start\n{_indent(error)}")
            continue
        workers[peer] = worker
        try:
            worker.ask("warm_up")
        except (PeerFailed, OverLimit) as error:
            workers.pop(peer).stop()
            out[peer] = ("failed", str(error))
            say(f"  {peer}: FAILED on the program that warms it up\n{_indent(error)}")


def run_case(workload: ModuleType, case: Case, workers: dict, out: dict, say: Callable) -> dict:
    """Cold, compare, warm, compare again: for each program, the peers in turn."""
    records = {}
    for peer in workload.PEERS:
        status, detail = out.get(peer, ("ok", ""))
        import_s = workers[peer].import_s if peer in workers else None
        records[peer] = {
            "status": status, "detail": detail, "import_s": import_s, "fresh_s": None,
            "programs": [],
        }  # fmt: skip
    for settings in case.programs:
        active = [peer for peer in workers if records[peer]["status"] == "ok"]
        for peer in active:
            with falling_out(peer, records, workers, say):
                prepare_program(workers[peer], settings, case, records[peer]["programs"])
        compare_peers(case, records, workers, say)
        sample_peers(case, records, workers, say)
        compare_peers(case, records, workers, say)
    for peer in list(workers):
        workers[peer].ask("forget")
    return {
        "name": case.name, "programs": list(case.programs), "tolerance": case.tolerance,
        "per": case.per, "limit_s": case.limit_s, "peers": records,
    }  # fmt: skip


def prepare_program(worker: Worker, settings: dict, case: Case, programs: list) -> None:
    """Have a peer build and run a program, timed; a time limit that it passed is kept too."""
    try:
        programs.append(worker.ask("prepare", settings, limit_s=case.limit_s))
    except OverLimit:
        programs.append({"over_s": case.limit_s})
        raise


@contextlib.contextmanager
def falling_out(peer: str, records: dict, workers: dict, say: Callable):
    """Note why a peer fell out of this case, aloud; a stopped worker starts anew for the next."""
    try:
        yield
    except OutputsDiffer as error:
        status, detail = "wrong", str(error)
    except PeerFailed as error:
        status, detail = "failed", str(error)
    except OverLimit as error:
        status, detail = "over limit", str(error)
        workers.pop(peer)
    else:
        return
    records[peer] |= {"status": status, "detail": detail}
    say(f"    {peer}: {status.upper()}\n{_indent(detail)}")
    if peer in workers and workers[peer].process.poll() is not None:
        workers.pop(peer).stop()


def compare_peers(case: Case, records: dict, workers: dict, say: Callable) -> None:
    """Compare every peer's outputs with those of the first peer that is not ours."""
    active = [peer for peer, record in records.items() if record["status"] == "ok"]
    active.sort(key=lambda peer: peer in OURS)  # stable: the others first, in their order
    reference = None
    for peer in active:
        with falling_out(peer, records, workers, say):
            program = records[peer]["programs"][-1]
            outputs = workers[peer].ask("outputs", program["number"], limit_s=2 * case.limit_s)
            if reference is None:
                reference = outputs
            program["compared_with"] = active[0]
            for got, expected in zip(outputs, reference, strict=True):
                apart = check_outputs(got, expected, case.tolerance)
                program["difference"] = max(apart, program.get("difference", 0.0))


def sample_peers(case: Case, records: dict, workers: dict, say: Callable) -> None:
    """Take the warm samples of the newest program: the peers in turn, one sample each."""
    spent_s: dict[str, float] = {}
    for peer, record in records.items():
        if record["status"] == "ok":
            with falling_out(peer, records, workers, say):
                program = record["programs"][-1]
                start = perf_counter()
                program["samples_s"] = []
                program["repeats"] = workers[peer].ask(
                    "calibrate", program["number"], limit_s=2 * case.limit_s
                )
                spent_s[peer] = perf_counter() - start
    for turn in range(N_SAMPLES):
        for peer in _rotated(list(spent_s), turn):
            if records[peer]["status"] == "ok" and (turn == 0 or spent_s[peer] < WARM_BUDGET_S):
                with falling_out(peer, records, workers, say):
                    program = records[peer]["programs"][-1]
                    spent_s[peer] += _take_sample(workers[peer], program, case)
    for record in records.values():
        if record["programs"] and record["programs"][-1].get("samples_s"):
            program = record["programs"][-1]
            program["min_s"] = min(program["samples_s"])
            program["median_s"] = statistics.median(program["samples_s"])


def _take_sample(worker: Worker, program: dict, case: Case) -> float:
    """Add one sample, in seconds per call; return the seconds that it took."""
    number, repeats = program["number"], program["repeats"]
    seconds = worker.ask("sample", number, repeats, limit_s=2 * case.limit_s)
    program["samples_s"].append(seconds / repeats)
    return seconds


def measure_fresh(workload: ModuleType, case: Case, result: dict, cpu: int, say: Callable) -> None:
    """For each peer that came through: a new process, empty caches, one first gradient."""
    for peer, record in result["peers"].items():
        if record["status"] != "ok":
            continue
        worker = None
        try:
            worker = Worker(workload.__name__, peer, cpu)
            answer = worker.ask("prepare", case.programs[0], limit_s=case.limit_s)
            record["fresh_s"] = answer["first_s"]
        except (PeerMissing, PeerFailed, OverLimit) as error:
            say(f"    {peer}: no first gradient in a fresh process\n{_indent(error)}")
        finally:
            if worker is not None:
                worker.stop()


def _rotated(peers: list, turn: int) -> list:
    """Start each round with another peer, so that nobody always follows the same one."""
    first = turn % len(peers) if peers else 0
    return peers[first:] + peers[:first]


def _indent(text: object) -> str:
    """The last lines of a message, set in."""
    return "\n".join(f"      {line}" for line in str(text).strip().splitlines()[-4:])
