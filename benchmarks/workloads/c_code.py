"""Exported code called from C, and SciPy's quad through a pointer.

One C program calls what `tj.export` wrote and the same value and gradient written by hand, both
compiled for this processor; it prints nanoseconds a call and what they computed, which are
compared.  quad integrates a function and its slope through `low_level_callable`, through a Numba
cfunc of the same formula, and through Python.  A machine without `cc` skips the first half aloud.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from benchmarks.records import Case, Figure

SUMMARY = "value and gradient from C, and quad through a pointer"
TARGETS = ()
PEERS: dict = {}
SIZES = (2, 10, 100)
QUAD = "quad of a slope"
FIGURES = {
    **{f"Rosenbrock-{n}": "at most 30 ns over a loop by hand, cc -O3 -march=native" for n in SIZES},
    QUAD: "at most 1.2x a Numba cfunc written by hand",
}

PROGRAM = """
#include <math.h>
#include <stdio.h>
#include <time.h>
#include "code.h"

#define N CODE_X_SIZE

__attribute__((noinline)) static int hand(const double *x, double *y, double *g)
{
    double value = 0.0;
    int i;
    for (i = 0; i < N; i++)
        g[i] = 0.0;
    for (i = 0; i < N - 1; i++) {
        double slack = x[i + 1] - x[i] * x[i], rest = 1.0 - x[i];
        value += 100.0 * slack * slack + rest * rest;
        g[i] -= 400.0 * slack * x[i] + 2.0 * rest;
        g[i + 1] += 200.0 * slack;
    }
    *y = value;
    return 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(void)
{
    double x[N], ours[N + 1], theirs[N + 1], start, middle, best[2] = {1e9, 1e9}, apart = 0.0;
    int i, k, bad = 0;
    for (i = 0; i < N; i++)
        x[i] = sin(i + 1.0);
    for (k = 0; k < ROUNDS; k++) {
        start = now();
        for (i = 0; i < CALLS; i++) {
            bad += code(x, ours, ours + 1, 0, 0);
            x[0] += 1e-12;
        }
        middle = now();
        for (i = 0; i < CALLS; i++) {
            bad += hand(x, theirs, theirs + 1);
            x[0] -= 1e-12;
        }
        best[0] = fmin(best[0], middle - start);
        best[1] = fmin(best[1], now() - middle);
    }
    bad += code(x, ours, ours + 1, 0, 0) + hand(x, theirs, theirs + 1);
    for (i = 0; i <= N; i++)
        apart = fmax(apart, fabs(ours[i] - theirs[i]) / fmax(1.0, fabs(theirs[i])));
    printf("%.17g %.17g %.17g\\n", best[0] / CALLS, best[1] / CALLS, bad + apart);
    return 0;
}
"""


def cases(quick: bool) -> list[Case]:
    """None: C takes the time."""
    return []


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """A row for each size, and one for quad."""
    rows = []
    for n in SIZES[1:2] if quick else SIZES:
        rows.append(from_c(n, quick))
        say(f"  {rows[-1].name}: {rows[-1].value}")
    rows.append(by_quad(quick))
    say(f"  {rows[-1].name}: {rows[-1].value}")
    return rows


def from_c(n: int, quick: bool) -> Figure:
    """Ours and the loop by hand, in one program."""
    import numpy as np

    import tapejit as tj
    from benchmarks.workloads.small_call import rosenbrock

    name = f"Rosenbrock-{n}"
    if shutil.which("cc") is None:
        return Figure(name, "SKIPPED: no C compiler", FIGURES[name], "not judged", {})
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as folder:
        made = tj.export(tj.value_and_grad(rosenbrock(np)), np.ones(n), Path(folder, "code"))
        source, program = Path(folder, "program.c"), Path(folder, "program")
        source.write_text(PROGRAM)
        sizes = [f"-DCALLS={1000 if quick else 200_000}", f"-DROUNDS={3 if quick else 9}"]
        subprocess.run(
            ["cc", "-std=gnu99", "-O3", "-march=native", *sizes, "-I", folder, source, made.code,
             "-lm", "-o", program],
            check=True,
        )  # fmt: skip
        done = subprocess.run([program], check=True, capture_output=True, text=True)
    ours, hand, apart = map(float, done.stdout.split())
    value = f"{1e9 * ours:.1f} ns a call, by hand {1e9 * hand:.1f} ns: {hand / ours:.2f}x"
    word = "wrong" if not apart < 1e-9 else judged(quick, ours <= hand + 30e-9)
    return Figure(name, value, FIGURES[name], word, {"ours_s": ours, "hand_s": hand})


def judged(quick: bool, is_met: bool) -> str:
    """The word for a target."""
    return "not judged" if quick else "met" if is_met else "missed"


def wave(x):
    """What is integrated; its slope is."""
    import numpy as np

    return np.exp(-x * x) * np.sin(20.0 * x)


def slope(x):
    """By hand."""
    decay = math.exp(-x * x)
    return 20.0 * decay * math.cos(20.0 * x) - 2.0 * x * decay * math.sin(20.0 * x)


def by_quad(quick: bool) -> Figure:
    """quad over [0, 3] of the slope, three ways."""
    import numba
    from scipy import LowLevelCallable
    from scipy.integrate import quad

    import tapejit as tj

    ways = {
        "ours": tj.value_and_grad(wave).numba(0.5).low_level_callable(1),
        "numba": LowLevelCallable(numba.cfunc("f8(f8)")(slope).ctypes),
        "python": slope,
    }
    best = dict.fromkeys(ways, math.inf)
    answers = {}
    for _ in range(2 if quick else 20):
        for way, function in ways.items():
            start = perf_counter()
            for _ in range(5 if quick else 100):
                answers[way] = quad(function, 0.0, 3.0, limit=200)[0]
            best[way] = min(best[way], (perf_counter() - start) / (5 if quick else 100))
    apart = max(abs(answer - answers["python"]) for answer in answers.values())
    value = ", ".join(f"{way} {1e6 * best[way]:.1f} us" for way in ways)
    word = "wrong" if apart > 1e-10 else judged(quick, best["ours"] <= 1.2 * best["numba"])
    return Figure(QUAD, value, FIGURES[QUAD], word, {f"{way}_s": s for way, s in best.items()})
