"""Many processes on one cold cache: is any answer wrong, any entry torn, any code compiled twice?

    python -m benchmarks.crowd DIRECTORY SEED ROUNDS

One process of the crowd.  Every round asks for machine code through a store of its own, so it is
read from the disk that the others write; every tenth takes a whole gradient instead.  Dtypes are
mixed: f64, f32 and i64 codes differ in little but the types.  Prints a Tally as JSON.
"""

from __future__ import annotations

import collections
import ctypes
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Tally(NamedTuple):
    """What a process saw."""

    rounds: int
    wrong: int
    torn: int
    """Entries that were there, whole, and then were not."""
    compiles: int
    most_compiles: int
    """Of one code by one process: more than one would be a compile in vain."""


def start(directory: Path, seed: int, rounds: int, environment: dict) -> subprocess.Popen:
    """A process of the crowd; `tally` waits for it."""
    command = [sys.executable, "-W", "error", "-m", "benchmarks.crowd"]
    return subprocess.Popen(
        [*command, str(directory), str(seed), str(rounds)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def tally(process: subprocess.Popen, limit_s: float) -> Tally:
    """What the process printed.

    Errors  RuntimeError with its last words if it failed
    """
    answer, words = process.communicate(timeout=limit_s)
    if process.returncode:
        raise RuntimeError(f"a process ended with status {process.returncode}\n{words[-2000:]}")
    return Tally(**json.loads(answer))


def joined(tallies: list[Tally]) -> Tally:
    """The sums of several processes, and the largest of the last field."""
    sums = [sum(column) for column in zip(*tallies, strict=True)]
    return Tally(*sums[:-1], max(tally.most_compiles for tally in tallies))


# ---------------------------------------------------------------- one process

_TYPES = {"double": ctypes.c_double, "float": ctypes.c_float, "i64": ctypes.c_int64}


def _codes() -> list[tuple[str, str, float]]:
    """(IR, type, value of the argument 3): x + x + ... + number in three types."""
    codes = []
    for kind in _TYPES:
        add = "add" if kind == "i64" else "fadd"
        for number in range(16):
            last, lines = "%x", []
            for i in range(1 + 9 * number):
                lines.append(f"  %y{i} = {add} {kind} {last}, %x")
                last = f"%y{i}"
            constant = number if kind == "i64" else f"{number}.0"
            lines.append(f"  %z = {add} {kind} {last}, {constant}")
            body = "\n".join(lines)
            ir = f"define {kind} @f({kind} %x) {{\n{body}\n  ret {kind} %z\n}}\n"
            codes.append((ir, kind, 3 * (2 + 9 * number) + number))
    return codes


def work(directory: str, seed: int, rounds: int) -> Tally:
    """Play the rounds."""
    from tapejit.cache import ObjectStore
    from tapejit.runtime import native

    compiled: collections.Counter = collections.Counter()

    def compile_object(ir, *arguments, real=native.compile_object, **options):
        compiled[ir] += 1
        return real(ir, *arguments, **options)

    native.compile_object = compile_object
    draw, codes, seen = random.Random(seed), _codes(), set()
    wrong = torn = 0
    for number in range(rounds):
        if number % 10 == 9:
            wrong += not _gradient_is_right(draw)
            continue
        ir, kind, value = draw.choice(codes)
        store = ObjectStore(directory)
        torn += ir in seen and store.get(native.content_key(ir)) is None
        library = native.compile_cached(ir, ("f",), store=store)
        seen.add(ir)
        wrong += ctypes.CFUNCTYPE(_TYPES[kind], _TYPES[kind])(library.address("f"))(3) != value
    return Tally(rounds, wrong, torn, sum(compiled.values()), max(compiled.values(), default=0))


def _gradient_is_right(draw: random.Random) -> bool:
    """A whole program, compiled by the process or found on disk: d/dx of sum(tanh(x) * x**k)."""
    import numpy as np

    import tapejit as tj

    dtype, power = draw.choice([np.float64, np.float32]), draw.choice([1.0, 2.0, 3.0])
    x = np.linspace(0.5, 2.0, draw.choice([1, 5, 1000]), dtype=dtype)
    slope = tj.grad(lambda x: np.sum(np.tanh(x) * x**power))(x)
    expected = power * np.tanh(x) * x ** (power - 1.0) + x**power / np.cosh(x) ** 2
    rtol = 1e-12 if dtype is np.float64 else 1e-5
    return slope.dtype == dtype and np.allclose(slope, expected, rtol=rtol, atol=0.0)


if __name__ == "__main__":
    where, first, count = sys.argv[1:]
    print(json.dumps(work(where, int(first), int(count))._asdict()))
