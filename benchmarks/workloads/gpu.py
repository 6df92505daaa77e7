"""The same functions on a GPU: what fuses, what moves along rows, stencils, products, a long loop.

Every peer keeps its arrays on the device and is waited for.  torch runs eagerly, and compiled; JAX
is jitted.  The figures say, for what memory limits, how much of the bandwidth of a plain copy is
reached: the copy moves as many bytes as the inputs and gradients have.

Without a GPU there is nothing to measure, and the reason is said.  With TAPEJIT_CUDA=simulator the
same code runs at tiny sizes, tapejit on a simulated GPU and the others on the CPU: that shows that
it is right, and its times mean nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

import numpy as np

from benchmarks import harness, peers, programs
from benchmarks.records import Case, Figure, Runner, Target
from benchmarks.workloads import black_scholes

SUMMARY = "on a GPU, float32: value and gradient, arrays stay there"
CHAIN, LARGE, OPTIONS = "chain, 1e7", "chain, 1e8", "Black-Scholes, 1e7 options"
ROWS, LOGISTIC, HEAT = "softmax + cross entropy", "logistic regression", "heat step and adjoint"
LAYERS, LOOP = "perceptron, batch 256", "loop of 1000 steps"

SIZES = {
    CHAIN: (10_000_000,), LARGE: (100_000_000,), OPTIONS: (10_000_000,), ROWS: (16_384, 1000),
    LOGISTIC: (1_000_000, 100), HEAT: (4096, 4096), LAYERS: (256, 784, 512, 512, 10),
    LOOP: (1_000_000, 1000),
}  # fmt: skip
QUICK = {
    CHAIN: (1_000_000,), LARGE: (4_000_000,), OPTIONS: (1_000_000,), ROWS: (1024, 1000),
    LOGISTIC: (100_000, 100), HEAT: (1024, 1024), LAYERS: (256, 784, 512, 512, 10),
    LOOP: (100_000, 100),
}  # fmt: skip
TINY = {
    CHAIN: (40,), LARGE: (70,), OPTIONS: (30,), ROWS: (5, 11), LOGISTIC: (12, 5), HEAT: (6, 7),
    LAYERS: (4, 6, 5, 3, 2), LOOP: (9, 12),
}  # fmt: skip
LIMITED_BY_MEMORY = (CHAIN, LARGE, HEAT)
SHARE = 0.85
FIGURES = dict.fromkeys(LIMITED_BY_MEMORY, f"at least {SHARE:.0%} of a copy's bandwidth")
TARGETS = (
    Target("warm", 1.2, ("torch.compile, gpu",), "tapejit, gpu"),
    Target("warm", 1.0, ("jax, gpu",), "tapejit, gpu"),
    Target("warm", 1.5, ("torch, gpu",), "tapejit, gpu"),
)

# ---------------------------------------------------------------- whether there is one


def is_simulated() -> bool:
    """Whether the GPU is tapejit's simulated one."""
    return os.environ.get("TAPEJIT_CUDA") == "simulator"


def unavailable() -> str | None:
    """Why nothing can be measured; None if there is a GPU.  Asked in a process of its own."""
    code = (
        "import tapejit as tj\n"
        "try: tj.zeros(1, device='cuda')\n"
        "except tj.errors.GpuUnavailable as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=harness.ROOT
    )
    return done.stdout.strip() or done.stderr.strip() or None


# ---------------------------------------------------------------- what is computed

DEVICE = "cpu" if is_simulated() else "cuda"
"""Of the peers."""
WARM_UP = {"what": CHAIN, "sizes": [50], "device": DEVICE, "seed": 1}


def cases(quick: bool) -> list[Case]:
    """One program each."""
    sizes = TINY if is_simulated() else QUICK if quick else SIZES
    return [
        Case(name, ({"what": name, "sizes": list(s), "device": DEVICE, "seed": 23},), 2e-3)
        for name, s in sizes.items()
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """What is differentiated first, for `argnums`; then what is given."""
    rng = np.random.default_rng([settings["seed"], draw])
    what, sizes = settings["what"], settings["sizes"]

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    if what in (CHAIN, LARGE):
        return tuple(2 * rng.random(sizes[0], np.float32) - 1 for _ in range(3))
    if what == OPTIONS:
        options = {"n_options": sizes[0], "seed": settings["seed"]}
        return tuple(x.astype(np.float32) for x in black_scholes.inputs(options, draw))
    if what == ROWS:
        return normal(*sizes), rng.integers(0, sizes[1], sizes[0])
    if what == LOGISTIC:
        n, d = sizes
        return normal(d) / 10, normal(n, d), (rng.random(n) < 0.5).astype(np.float32)
    if what == HEAT:
        return normal(*sizes), normal(*sizes)
    if what == LAYERS:
        batch, *widths = sizes
        layers = itertools.pairwise(widths)
        weights = [(normal(m, n) / np.float32(np.sqrt(n)), normal(m) / 10) for n, m in layers]
        x, target = normal(batch, widths[0]), rng.integers(0, widths[-1], batch)
        return (*(x for layer in weights for x in layer), x, target)
    return normal(sizes[0]), normal(sizes[0])


def argnums(settings: dict) -> tuple[int, ...]:
    """What the gradient is asked of."""
    many = {CHAIN: 3, LARGE: 3, OPTIONS: 4, LAYERS: 2 * (len(settings["sizes"]) - 2)}
    return tuple(range(many.get(settings["what"], 1)))


def _chain(xp) -> Callable:
    """Twelve operations on three arrays, and a sum."""
    text = programs.source(programs.generate(4, 12))
    return programs.load(text, "program", "chain on a GPU", xp=xp)


def _heat(pad: Callable) -> Callable:
    """An explicit step of the heat equation; the gradient is its adjoint's."""

    def loss(u, c):
        inner = u[1:-1, 1:-1]
        around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
        return (pad(inner + 0.2 * (around - 4.0 * inner)) * c).sum()

    return loss


def torch_like(settings: dict, torch, functional) -> Callable:
    """The function on a library with PyTorch's names."""
    what, sizes = settings["what"], settings["sizes"]

    def logistic(theta, x, y):
        return functional.binary_cross_entropy_with_logits(x @ theta, y)

    def perceptron(*arrays):
        *parameters, x, target = arrays
        for k in range(0, len(parameters), 2):
            x = functional.linear(x, parameters[k], parameters[k + 1])
            if k + 2 < len(parameters):
                x = functional.relu(x)
        return functional.cross_entropy(x, target)

    def loop(x, c):
        for _ in range(sizes[1]):
            x = x + 0.01 * (torch.sin(x) - 0.5 * x * c)
        return x.sum()

    return {
        CHAIN: _chain(torch),
        LARGE: _chain(torch),
        OPTIONS: black_scholes.total_price(torch, torch.erf),
        ROWS: functional.cross_entropy,
        LOGISTIC: logistic,
        HEAT: _heat(lambda x: functional.pad(x, (1, 1, 1, 1))),
        LAYERS: perceptron,
        LOOP: loop,
    }[what]


# ---------------------------------------------------------------- the peers


def _tapejit(settings: dict) -> Runner:
    import tapejit
    from tapejit.nn import functional

    return peers.tapejit_gpu(torch_like(settings, tapejit, functional), argnums(settings))


def _torch(settings: dict) -> Runner:
    import torch

    function = torch_like(settings, torch, torch.nn.functional)
    return peers.torch_gpu(function, argnums(settings), settings["device"])


def _torch_compiled(settings: dict) -> Runner:
    import torch

    function = torch_like(settings, torch, torch.nn.functional)
    backend = "inductor" if settings["device"] == "cuda" else "eager"
    compiled = torch.compile(function, backend=backend)
    return peers.torch_gpu(compiled, argnums(settings), settings["device"])


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import erf

    sizes = settings["sizes"]

    def cross_entropy(x, classes):
        picked = jnp.take_along_axis(x, classes[:, None], axis=1)[:, 0]
        return (jax.nn.logsumexp(x, axis=1) - picked).mean()

    def logistic(theta, x, y):
        z = x @ theta
        return (jnp.logaddexp(z, 0.0) - y * z).mean()

    def perceptron(*arrays):
        *parameters, x, target = arrays
        for k in range(0, len(parameters), 2):
            x = x @ parameters[k].T + parameters[k + 1]
            if k + 2 < len(parameters):
                x = jax.nn.relu(x)
        return cross_entropy(x, target)

    def loop(x, c):
        def step(_, x):
            return x + 0.01 * (jnp.sin(x) - 0.5 * x * c)

        return jax.lax.fori_loop(0, sizes[1], step, x).sum()

    function = {
        CHAIN: _chain(jnp),
        LARGE: _chain(jnp),
        OPTIONS: black_scholes.total_price(jnp, erf),
        ROWS: cross_entropy,
        LOGISTIC: logistic,
        HEAT: _heat(lambda x: jnp.pad(x, 1)),
        LAYERS: perceptron,
        LOOP: loop,
    }[settings["what"]]
    return peers.jax(function, argnums(settings))


PEERS = {
    "tapejit, gpu": _tapejit,
    "jax, gpu": _jax,
    "torch, gpu": _torch,
    "torch.compile, gpu": _torch_compiled,
}

# ---------------------------------------------------------------- the bandwidth of a copy


def figures(quick: bool, cpu: int, say: Callable) -> list[Figure]:
    """What share of a copy's bandwidth is reached, in a process that has the card to itself."""
    found = []
    for case in cases(quick):
        if case.name in LIMITED_BY_MEMORY:
            found.append(_figure(case, quick))
            say(f"  {case.name}: {found[-1].value}")
    return found


def _figure(case: Case, quick: bool) -> Figure:
    with tempfile.TemporaryDirectory(prefix="tapejit-benchmark-") as cache:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bandwidth", json.dumps(case.programs[0])],
            cwd=harness.ROOT, capture_output=True, text=True,
            env=harness.environment("tapejit, gpu", cache),
        )  # fmt: skip
    if done.returncode:
        return Figure(case.name, done.stderr[-2000:], FIGURES[case.name], "wrong", {})
    numbers = json.loads(done.stdout)
    share = numbers["copy_ms"] / numbers["call_ms"]
    value = (
        f"{share:.0%} of {numbers['bytes'] / numbers['copy_ms'] / 1e9:.3g} TB/s "
        f"({numbers['call_ms']:.3g} ms, a copy {numbers['copy_ms']:.3g} ms) on {numbers['card']}"
    )
    word = "met" if share >= SHARE else "missed"
    if quick or is_simulated():
        word = "not judged"
    return Figure(case.name, value, FIGURES[case.name], word, numbers | {"share": share})
