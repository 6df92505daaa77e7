"""The process that runs one peer of one workload, and answers over a pipe.

    python -m benchmarks.worker PIPE WORKLOAD PEER CPU

`Session` is the peer's side of the protocol: `prepare` a program (timed: cold), give its
`outputs`, `calibrate` the number of repeats, and take one `sample` when asked.  The harness asks
the peers in turn, so while one computes, the others wait on their pipes.

The library is imported before the workload, so its import can be timed; a missing one is
reported, not raised.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from multiprocessing.connection import Connection
from time import perf_counter

from benchmarks import peers

MIN_SAMPLE_S = 5e-3
DRAWS = (0, 1)
"""Outputs are compared on the data that is timed, and on other data: nothing may be baked in."""
COMMANDS = ("prepare", "outputs", "calibrate", "sample", "forget", "warm_up")


class Session:
    """One peer of one workload, and the programs it has prepared."""

    def __init__(self, workload: str, peer: str):
        self.workload = importlib.import_module(workload)
        self.peer = peer
        self.prepared: list = []

    def handle(self, command: str, *arguments):
        """Answer one request of the harness."""
        if command not in COMMANDS:
            raise ValueError(f"unknown command {command!r}; known: {', '.join(COMMANDS)}")
        return getattr(self, command)(*arguments)

    def warm_up(self) -> None:
        """Have the library compile another program, so that its one-off costs are paid."""
        workload = importlib.import_module("benchmarks.workloads.elementwise")
        if hasattr(self.workload, "WARM_UP"):
            workload = self.workload
        peer = self.peer if self.peer in workload.PEERS else self.peer.split(",")[0]
        if peer in workload.PEERS:  # casadi has no arrays, NumPy compiles nothing
            inputs = workload.inputs(workload.WARM_UP, 0)
            _first_results(workload.PEERS[peer](workload.WARM_UP), inputs)

    def prepare(self, settings: dict) -> dict:
        """Build and run a program; return its number, and when its first results were there."""
        inputs = self.workload.inputs(settings, 0)
        runner = self.workload.PEERS[self.peer](settings)
        call, loaded, times_s = _first_results(runner, inputs)
        self.prepared.append((settings, runner, call, loaded))
        number = len(self.prepared) - 1
        return {"number": number, "first_s": times_s[0], "cold_s": times_s[-1]}

    def outputs(self, number: int) -> list:
        """Return [value, gradient, ...] as NumPy arrays, for every draw of the data."""
        settings, runner, call, loaded = self.prepared[number]
        results = []
        for draw in DRAWS:
            if draw:
                loaded = runner.load(self.workload.inputs(settings, draw))
            results.append([_to_numpy(output) for output in _leaves(call(*loaded))])
        return results

    def calibrate(self, number: int) -> int:
        """Double the number of repeats until a sample is long enough; return it."""
        repeats = 1
        while self.sample(number, repeats) < MIN_SAMPLE_S:
            repeats *= 2
        return repeats

    def sample(self, number: int, repeats: int) -> float:
        """Return the seconds that `repeats` calls take."""
        _, _, call, loaded = self.prepared[number]
        start = perf_counter()
        for _ in range(repeats):
            call(*loaded)
        return perf_counter() - start

    def forget(self) -> None:
        """Drop all programs."""
        self.prepared.clear()


def _first_results(runner, inputs: tuple):
    """Return the call, its loaded inputs, and the seconds until each result up to the compiled."""
    start = perf_counter()
    call = runner.make()
    making_s = perf_counter() - start
    loaded = runner.load(inputs)
    start = perf_counter()
    times_s = []
    for _ in range(runner.calls_until_compiled):
        call(*loaded)
        times_s.append(making_s + perf_counter() - start)
    return call, loaded, times_s


def _leaves(outputs) -> list:
    """The arrays and numbers of nested outputs, in order."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if not isinstance(outputs, list | tuple):
        return [outputs]
    return [leaf for part in outputs for leaf in _leaves(part)]


def _to_numpy(output):
    import numpy as np

    if hasattr(output, "detach"):
        output = output.detach().cpu().numpy()
    return np.array(output)  # a copy: peers may reuse their buffers


# ---------------------------------------------------------------- the process


def pin(cpu: int) -> None:
    """Keep this process on one CPU, where the system can do that (Linux)."""
    if hasattr(os, "sched_setaffinity") and cpu >= 0:
        os.sched_setaffinity(0, {cpu})


def start_session(workload: str, peer: str) -> tuple[dict, Session | None]:
    """Import the library, timed, then the workload; return what to tell the harness."""
    start = perf_counter()
    try:
        peers.import_library(peer)
    except ModuleNotFoundError as error:
        # a module missing *inside* the library is a broken installation, not an absent peer
        if error.name != peers.PEERS[peer].module:
            raise
        return {"missing": str(error)}, None
    import_s = perf_counter() - start
    return {"import_s": import_s}, Session(workload, peer)


def serve(connection: Connection, workload: str, peer: str) -> None:
    """Answer requests until the pipe closes; an exception is an answer too."""
    try:
        greeting, session = start_session(workload, peer)
    except Exception:
        connection.send(("error", traceback.format_exc()))
        return
    connection.send(("ok", greeting))
    while session is not None:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("ok", session.handle(*request)))
        except Exception:
            connection.send(("error", traceback.format_exc()))


def main(arguments: list[str]) -> None:
    """Run a worker; see the file preface."""
    pipe, workload, peer, cpu = arguments
    if peers.PEERS[peer].threads == 1:
        pin(int(cpu))
    with Connection(int(pipe)) as connection:
        serve(connection, workload, peer)


if __name__ == "__main__":
    main(sys.argv[1:])
