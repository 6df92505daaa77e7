"""The cost of a call: value and gradient of small functions, NumPy and Python floats in and out.

A function of one float, Rosenbrock's in 2, 10 and 100 variables, the log density of eight schools,
and a model whose 50 parameters lie in dicts and lists.  What is computed is a few dozen operations,
so nearly all of the time is reading arguments and making results.

"tapejit, launches" is the arithmetic: the same kernels on memory that is ready, called through a
record that does nothing else.  Its time includes two empty calls, of a Python function and of a
builtin (about 0.1 us), as everybody's does.

JAX keeps arrays on its device, so its results are asked for as NumPy arrays; CasADi's come as
matrices of its own, and are converted; Numba compiles the loop written by hand, which cannot take
a dict, so dicts are taken apart and made in Python.

Eight schools: Rubin 1981, as in Gelman et al., Bayesian Data Analysis.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.records import Case, Runner, Target
from benchmarks.workloads import small_call

SUMMARY = "value_and_grad per call, NumPy and floats in and out"
SCALAR, SCHOOLS, NESTED = "a scalar function", "8 schools", "50 parameters, nested"
SIZES = (2, 10, 100)
CHAINS = tuple(f"Rosenbrock-{n}" for n in SIZES)

TARGETS = (
    Target("warm", 0, ("tapejit, launches",), cases=(SCALAR, *CHAINS, SCHOOLS), within_us=0.5),
    Target("warm", 0, ("tapejit, launches",), cases=(NESTED,), within_us=2.0),
    Target("warm", 10.0, ("jax",)),
    Target("warm", 10.0, ("torch",)),
    Target("warm", 10.0, ("autograd",)),
    Target("warm", 10.0, ("casadi",)),
    # a dispatcher that takes one float needs 0.14 us, the Python function around an entry 0.1
    Target("warm", 0.5, ("numba",)),
)


def cases(quick: bool) -> list[Case]:
    """Three of them when quick."""
    chains = [Case(f"Rosenbrock-{n}", ({"what": "chain", "n": n, "seed": 6},)) for n in SIZES]
    every = [
        Case(SCALAR, ({"what": "scalar", "seed": 6},)),
        *chains,
        Case(SCHOOLS, ({"what": "schools", "seed": 6},)),
        Case(NESTED, ({"what": "nested", "seed": 6},)),
    ]
    return [every[0], every[2], every[-1]] if quick else every


def inputs(settings: dict, draw: int) -> tuple:
    """One point."""
    rng = np.random.default_rng([settings["seed"], draw])
    if settings["what"] == "chain":
        return (rng.uniform(-1.5, 1.5, settings["n"]),)
    if settings["what"] == "scalar":
        return (float(rng.uniform(0.5, 1.5)),)
    if settings["what"] == "schools":
        return (rng.normal(size=10),)
    return (
        {
            "mu": float(rng.normal()),
            "log_tau": float(rng.normal()),
            "groups": {"level": rng.normal(size=8), "slope": rng.normal(size=8)},
            "layers": [rng.normal(size=(4, 4)), rng.normal(size=4), rng.normal(size=11)],
            "scale": float(rng.uniform(0.5, 1.5)),
        },
    )


# ---------------------------------------------------------------- the functions

EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def scalar(xp, data):
    """A function of one number."""

    def f(x):
        return xp.sin(x) * x * x + xp.exp(-x) / (1.0 + x * x)

    return f


def schools(xp, data):
    """The log density of (mu, log tau, theta) given the effects of eight schools."""
    effects, errors = data(EFFECTS), data(ERRORS)

    def f(x):
        mu, log_tau, theta = x[0], x[1], x[2:]
        tau = xp.exp(log_tau)
        z, r = (theta - mu) / tau, (effects - theta) / errors
        prior = -0.5 * (mu / 5.0) ** 2 - xp.log(1.0 + (tau / 5.0) ** 2) - 7.0 * log_tau
        return prior - 0.5 * xp.sum(z * z) - 0.5 * xp.sum(r * r)

    return f


def nested(xp, data):
    """A hierarchical regression with penalties; its 50 parameters lie in a dict."""
    effects, times = data(EFFECTS), data(ERRORS / 10.0)

    def f(p):
        level, slope = p["groups"]["level"], p["groups"]["slope"]
        weights, bias, rest = p["layers"]
        z = (level - p["mu"]) / xp.exp(p["log_tau"])
        e = effects - level - slope * times
        prior = -0.5 * xp.sum(z * z) - 8.0 * p["log_tau"] - 0.5 * xp.sum(slope * slope)
        penalty = xp.sum(weights * weights) + xp.sum(xp.exp(bias)) + xp.sum(rest * rest * rest)
        return prior - p["scale"] * xp.sum(e * e) - penalty

    return f


FUNCTIONS = {
    "chain": lambda xp, data: small_call.rosenbrock(xp),
    "scalar": scalar,
    "schools": schools,
    "nested": nested,
}


def mapped(tree, function):
    """The same nesting of function(leaf)."""
    if isinstance(tree, dict):
        return {key: mapped(part, function) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(mapped(part, function) for part in tree)
    return function(tree)


def ordered(tree, example):
    """The same nesting with its keys in the example's order."""
    if isinstance(tree, dict):
        return {key: ordered(tree[key], part) for key, part in example.items()}
    return tree


# ---------------------------------------------------------------- ours


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    f = FUNCTIONS[settings["what"]](np, np.asarray)
    # recorded, followed, native
    return Runner(lambda: tj.value_and_grad(f), calls_until_compiled=2)


def _launches(settings: dict) -> Runner:
    """The kernels of the compiled program, on memory that is ready."""
    import tapejit as tj

    f = FUNCTIONS[settings["what"]](np, np.asarray)

    def make():
        return lambda launch, answer: (launch((), {}), answer)[1]

    def load(arguments):
        call = tj.value_and_grad(f)
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
    return entries.enter, mapped(answer, lambda _: next(results))


# ---------------------------------------------------------------- the others


def _torch(settings: dict) -> Runner:
    import torch

    f = FUNCTIONS[settings["what"]](torch, torch.tensor)

    def call(argument):
        leaves = mapped(
            argument, lambda x: torch.tensor(x, requires_grad=True, dtype=torch.float64)
        )
        loss = f(leaves)
        loss.backward()
        return loss.item(), mapped(leaves, lambda x: x.grad.numpy() if x.ndim else x.grad.item())

    return Runner(lambda: call)


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    f = FUNCTIONS[settings["what"]](jnp, jnp.asarray)

    def make():
        compiled = jax.jit(jax.value_and_grad(f))

        def call(argument):
            value, gradient = compiled(argument)
            gradient = mapped(gradient, lambda x: np.asarray(x) if x.ndim else float(x))
            return float(value), ordered(gradient, argument)

        return call

    return Runner(make)


def _autograd(settings: dict) -> Runner:
    import autograd
    import autograd.numpy as anp

    return Runner(lambda: autograd.value_and_grad(FUNCTIONS[settings["what"]](anp, np.asarray)))


class _Casadi:
    """CasADi under NumPy's names."""

    def __init__(self):
        import casadi

        self.sin, self.exp, self.log = casadi.sin, casadi.exp, casadi.log
        self.sum = lambda x: casadi.sum1(casadi.sum2(x))


def _casadi(settings: dict) -> Runner:
    import casadi

    def make():
        symbols: list = []
        shapes: list = []

        def symbol(x):
            shapes.append(np.shape(x))
            symbols.append(casadi.SX.sym(f"x{len(symbols)}", *(np.shape(x) or (1,))))
            return symbols[-1]

        value = FUNCTIONS[settings["what"]](_Casadi(), casadi.DM)(
            mapped(inputs(settings, 0)[0], symbol)
        )
        compiled = casadi.Function(
            "f", symbols, [value, *(casadi.gradient(value, x) for x in symbols)]
        )

        def call(argument):
            leaves: list = []
            mapped(argument, leaves.append)
            value, *gradients = compiled(*leaves)
            arrays = iter(zip(gradients, shapes, strict=True))

            def gradient(_):
                x, shape = next(arrays)
                return x.full().reshape(shape) if shape else float(x)

            return float(value), mapped(argument, gradient)

        return call

    return Runner(make)


# ---------------------------------------------------------------- by hand


def scalar_kernel(x):
    """Value and slope by hand."""
    sine, decay, below = math.sin(x), math.exp(-x), 1.0 / (1.0 + x * x)
    value = sine * x * x + decay * below
    slope = math.cos(x) * x * x + 2.0 * sine * x - decay * below - decay * 2.0 * x * below * below
    return value, slope


def schools_kernel(x):
    """Value and gradient by hand."""
    gradient = np.empty_like(x)
    mu, log_tau = x[0], x[1]
    tau = math.exp(log_tau)
    ratio = (tau / 5.0) ** 2
    value = -0.5 * (mu / 5.0) ** 2 - math.log(1.0 + ratio) - 7.0 * log_tau
    along_mu, along_tau = -mu / 25.0, -2.0 * ratio / (1.0 + ratio) - 7.0
    for i in range(8):
        z, r = (x[2 + i] - mu) / tau, (EFFECTS[i] - x[2 + i]) / ERRORS[i]
        value -= 0.5 * (z * z + r * r)
        along_mu += z / tau
        along_tau += z * z
        gradient[2 + i] = r / ERRORS[i] - z / tau
    gradient[0], gradient[1] = along_mu, along_tau
    return value, gradient


def nested_kernel(mu, log_tau, level, slope, weights, bias, rest, scale):
    """Value and gradients by hand."""
    tau = math.exp(log_tau)
    to_level, to_slope = np.empty_like(level), np.empty_like(slope)
    squares = misfit = along_mu = 0.0
    value = -8.0 * log_tau
    for i in range(level.size):
        time = ERRORS[i] / 10.0
        z, e = (level[i] - mu) / tau, EFFECTS[i] - level[i] - slope[i] * time
        squares += z * z
        misfit += e * e
        along_mu += z / tau
        value -= 0.5 * slope[i] * slope[i]
        to_level[i] = 2.0 * scale * e - z / tau
        to_slope[i] = 2.0 * scale * e * time - slope[i]
    to_weights, to_bias, to_rest = np.empty_like(weights), np.empty_like(bias), np.empty_like(rest)
    for i in range(4):
        for j in range(4):
            to_weights[i, j] = -2.0 * weights[i, j]
            value -= weights[i, j] ** 2
    for i in range(4):
        to_bias[i] = -math.exp(bias[i])
        value += to_bias[i]
    for i in range(rest.size):
        to_rest[i] = -3.0 * rest[i] * rest[i]
        value -= rest[i] ** 3
    value -= 0.5 * squares + scale * misfit
    return value, along_mu, squares - 8.0, to_level, to_slope, to_weights, to_bias, to_rest, -misfit


KERNELS = {"chain": small_call.kernel, "scalar": scalar_kernel, "schools": schools_kernel}


def _numba(settings: dict) -> Runner:
    import numba

    def make():
        if settings["what"] != "nested":
            return numba.njit(KERNELS[settings["what"]])
        compiled = numba.njit(nested_kernel)

        def call(p):
            groups = p["groups"]
            value, mu, log_tau, level, slope, weights, bias, rest, scale = compiled(
                p["mu"], p["log_tau"], groups["level"], groups["slope"], *p["layers"], p["scale"]
            )
            gradient = {
                "mu": mu,
                "log_tau": log_tau,
                "groups": {"level": level, "slope": slope},
                "layers": [weights, bias, rest],
                "scale": scale,
            }
            return value, gradient

        return call

    return Runner(make)


PEERS = {
    "tapejit": _tapejit,
    "tapejit, launches": _launches,
    "jax": _jax,
    "torch": _torch,
    "autograd": _autograd,
    "numba": _numba,
    "casadi": _casadi,
}
