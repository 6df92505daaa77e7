"""The cost of a call, by what goes in: an array, a float, several arrays and a dict of more.

NumPy and Python floats in and out, the gradient nested as the arguments are.  What is computed is
a few dozen operations, so nearly all of the time is reading arguments and making results.

"tapejit, launches" is the arithmetic: the same kernels on memory that is ready, called through a
record that does nothing else.  Its time includes two empty calls, of a Python function and of a
builtin (about 0.1 us), as everybody's does.

JAX keeps arrays on its device, so its results are asked for as NumPy arrays; CasADi's come as
matrices of its own, and are converted; Numba compiles the loop written by hand, which cannot take
a dict, so the dict is taken apart and made in Python.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.records import Case, Runner, Target
from benchmarks.workloads import small_call

SUMMARY = "value_and_grad per call, NumPy and floats in and out"
ARRAY, SCALAR, NESTED = "Rosenbrock-10", "a scalar function", "3 arrays and a dict"

TARGETS = (
    Target("warm", 0, ("tapejit, launches",), cases=(ARRAY, SCALAR), within_us=0.5),
    Target("warm", 0, ("tapejit, launches",), cases=(NESTED,), within_us=2.0),
    Target("warm", 10.0, ("jax",)),
    Target("warm", 10.0, ("torch",)),
    Target("warm", 10.0, ("casadi",)),
    # a dispatcher that takes one float needs 0.14 us, the Python function around an entry 0.1
    Target("warm", 0.5, ("numba",)),
)


def cases(quick: bool) -> list[Case]:
    """Ten numbers in every array, quick or not."""
    return [
        Case(ARRAY, ({"what": "array", "seed": 6},)),
        Case(SCALAR, ({"what": "scalar", "seed": 6},)),
        Case(NESTED, ({"what": "nested", "seed": 6},)),
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """One point; the last argument of the nested case is a dict."""
    rng = np.random.default_rng([settings["seed"], draw])
    if settings["what"] == "array":
        return (rng.uniform(-1.5, 1.5, 10),)
    if settings["what"] == "scalar":
        return (float(rng.uniform(0.5, 1.5)),)
    a, b, c, d = (rng.uniform(-1.0, 1.0, 10) for _ in range(4))
    return a, b, c, {"weights": d, "scale": float(rng.uniform(0.5, 1.5))}


# ---------------------------------------------------------------- the functions


def scalar(xp):
    """A function of one number."""

    def f(x):
        return xp.sin(x) * x * x + xp.exp(-x) / (1.0 + x * x)

    return f


def nested(xp):
    """A weighted least-squares loss; its last argument is a dict."""

    def f(a, b, c, p):
        return xp.sum(p["weights"] * (a * b - c) ** 2) * p["scale"]

    return f


FUNCTIONS = {"array": small_call.rosenbrock, "scalar": scalar, "nested": nested}


def argnums(settings):
    """Everything is differentiated: one argument, or four."""
    return (0, 1, 2, 3) if settings["what"] == "nested" else 0


# ---------------------------------------------------------------- ours


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    f = FUNCTIONS[settings["what"]](np)
    # recorded, followed, native
    return Runner(lambda: tj.value_and_grad(f, argnums=argnums(settings)), calls_until_compiled=2)


def _launches(settings: dict) -> Runner:
    """The kernels of the compiled program, on memory that is ready."""
    import tapejit as tj

    f = FUNCTIONS[settings["what"]](np)

    def make():
        return lambda launch, answer: (launch((), {}), answer)[1]

    def load(arguments):
        call = tj.value_and_grad(f, argnums=argnums(settings))
        answer = call(*arguments)
        return launches_of(call, arguments, answer)

    return Runner(make, load)


def launches_of(call, arguments, answer) -> tuple:
    """A builtin that runs a program's kernels on these arguments, and where its answer appears."""
    from tapejit.runtime.entry import Entries, Writer
    from tapejit.transforms import trees

    (transform,) = call.transforms.values()
    ((path,),) = transform.paths.by_signature.values()
    launches = path.compiled.launches
    leaves: list = []
    trees.flatten(arguments, leaves)
    given = [np.array(x) for x in (*leaves, *(array for _, array in path.captures))]
    writer = Writer()
    memory = {f"x{i}": array for i, array in enumerate(given)} | launches.constants
    memory["t"] = np.zeros(launches.arena_bytes, np.uint8)
    memory |= {name: np.zeros(shape, dtype) for name, (dtype, shape) in launches.outputs.items()}
    bases = {name: writer.fixed(array) for name, array in memory.items()}
    for record, operands in launches.steps:
        writer.step(record, [(bases[name], offset) for name, offset in operands])
    writer.done(writer.constant(None))
    entries = Entries()
    entries.add("launches", writer.record())
    results = iter(
        [
            np.ndarray(result.shape, result.dtype, memory[result.name], result.offset)
            for result in launches.results
        ]
    )

    def shown(part):
        if isinstance(part, dict):
            return {name: shown(value) for name, value in part.items()}
        return tuple(map(shown, part)) if isinstance(part, tuple) else next(results)

    return entries.enter, shown(answer)


# ---------------------------------------------------------------- the others


def _torch(settings: dict) -> Runner:
    import torch

    f = FUNCTIONS[settings["what"]](torch)

    def leaf(value):
        return torch.tensor(value, requires_grad=True, dtype=torch.float64)

    def call(*arguments):
        *plain, last = arguments
        tensors = [leaf(x) for x in plain]
        last = {k: leaf(x) for k, x in last.items()} if isinstance(last, dict) else leaf(last)
        loss = f(*tensors, last)
        loss.backward()
        if isinstance(last, dict):
            gradients = {k: x.grad.numpy() for k, x in last.items()}
            return loss.item(), (*(x.grad.numpy() for x in tensors), gradients)
        return loss.item(), last.grad.numpy()

    return Runner(lambda: call)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    f = FUNCTIONS[settings["what"]](jnp)

    def make():
        compiled = jax.jit(jax.value_and_grad(f, argnums=argnums(settings)))

        def call(*arguments):
            value, gradient = compiled(*arguments)
            if settings["what"] == "nested":
                a, b, c, p = gradient
                p = {"weights": np.asarray(p["weights"]), "scale": float(p["scale"])}
                return float(value), (np.asarray(a), np.asarray(b), np.asarray(c), p)
            if settings["what"] == "scalar":
                return float(value), float(gradient)
            return float(value), np.asarray(gradient)

        return call

    return Runner(make)


def scalar_kernel(x):
    """Value and slope by hand."""
    sine, decay, below = math.sin(x), math.exp(-x), 1.0 / (1.0 + x * x)
    value = sine * x * x + decay * below
    slope = math.cos(x) * x * x + 2.0 * sine * x - decay * below - decay * 2.0 * x * below * below
    return value, slope


def nested_kernel(a, b, c, weights, scale):
    """Value and gradients by hand."""
    ga, gb, gc = np.empty_like(a), np.empty_like(b), np.empty_like(c)
    gw = np.empty_like(weights)
    total = 0.0
    for i in range(a.size):
        rest = a[i] * b[i] - c[i]
        slope = 2.0 * weights[i] * rest * scale
        ga[i], gb[i], gc[i] = slope * b[i], slope * a[i], -slope
        gw[i] = rest * rest * scale
        total += weights[i] * rest * rest
    return total * scale, ga, gb, gc, gw, total


def _numba(settings: dict) -> Runner:
    import numba

    def make():
        if settings["what"] != "nested":
            return numba.njit(scalar_kernel if settings["what"] == "scalar" else small_call.kernel)
        compiled = numba.njit(nested_kernel)

        def call(a, b, c, p):
            value, ga, gb, gc, gw, total = compiled(a, b, c, p["weights"], p["scale"])
            return value, (ga, gb, gc, {"weights": gw, "scale": total})

        return call

    return Runner(make)


def _casadi(settings: dict) -> Runner:
    import casadi

    what = settings["what"]

    def make():
        symbols = {"array": 1, "scalar": 1, "nested": 5}[what]
        x = [
            casadi.SX.sym(f"x{i}", 1 if what == "scalar" or i == 4 else 10) for i in range(symbols)
        ]
        if what == "nested":
            a, b, c, weights, scale = x
            value = casadi.sum1(weights * (a * b - c) ** 2) * scale
        elif what == "scalar":
            value = scalar(casadi)(x[0])
        else:
            head, tail = x[0][:-1], x[0][1:]
            value = casadi.sum1(100.0 * (tail - head**2) ** 2 + (1.0 - head) ** 2)
        compiled = casadi.Function("f", x, [value, *(casadi.gradient(value, y) for y in x)])

        def plain(arrays):
            value, gradient = compiled(*arrays)
            return float(value), gradient.full().ravel() if what == "array" else float(gradient)

        def with_dict(a, b, c, p):
            value, ga, gb, gc, gw, gs = compiled(a, b, c, p["weights"], p["scale"])
            ga, gb, gc, gw = (g.full().ravel() for g in (ga, gb, gc, gw))
            return float(value), (ga, gb, gc, {"weights": gw, "scale": float(gs)})

        return with_dict if what == "nested" else lambda x: plain((x,))

    return Runner(make)


PEERS = {
    "tapejit": _tapejit,
    "tapejit, launches": _launches,
    "jax": _jax,
    "torch": _torch,
    "numba": _numba,
    "casadi": _casadi,
}
