"""One function over an array: nanoseconds an element, function by function.

The arrays (32,768 elements) stay in the second-level cache, so that the function is what is timed.
A user of NumPy writes the sigmoid and softplus out; erf and erfc are SciPy's.  Largest errors are
in `tapejit/codegen/vectormath/__init__.py`: ours stay within 2 ulp, NumPy's float32 within 4.
"""

from __future__ import annotations

import numpy as np

from benchmarks.records import Case, Runner, Target

SUMMARY = "one function of an array of 32,768 elements, value only, per element"
N_ELEMENTS = 32_768

# function -> the interval that its operands are drawn from
FUNCTIONS = {
    "exp": (-10, 10), "exp2": (-10, 10), "expm1": (-3, 3),
    "log": (0.01, 10), "log2": (0.01, 10), "log10": (0.01, 10), "log1p": (-0.9, 10),
    "sin": (-10, 10), "cos": (-10, 10), "tan": (-10, 10),
    "asin": (-1, 1), "acos": (-1, 1), "atan": (-10, 10), "atan2": (-3, 3),
    "sinh": (-5, 5), "cosh": (-5, 5), "tanh": (-3, 3),
    "asinh": (-10, 10), "acosh": (1, 10), "atanh": (-0.99, 0.99),
    "pow": (0.1, 5), "hypot": (-3, 3), "remainder": (0.5, 10), "erf": (-3, 3), "erfc": (-3, 3),
    "sigmoid": (-10, 10), "softplus": (-10, 10), "sqrt": (0, 10),
}  # fmt: skip
PAIRS = ("atan2", "pow", "hypot", "remainder")

TARGETS = (Target("warm", 1.0, ("numpy",)), Target("warm", 1.5, ("torch",)))


def cases(quick: bool) -> list[Case]:
    """Both float types, every function; the medians are over functions."""
    names = ("exp", "log", "sin", "erf", "pow") if quick else FUNCTIONS
    return [
        Case(
            dtype,
            tuple({"label": name, "dtype": dtype} for name in names),
            tolerance=tolerance,
            per=N_ELEMENTS,
        )
        for dtype, tolerance in (("float64", 1e-13), ("float32", 2e-6))
    ]


def inputs(settings: dict, draw: int) -> tuple:
    """One operand, or two."""
    name = settings["label"]
    rng = np.random.default_rng([draw, len(name)])
    count = 2 if name in PAIRS else 1
    drawn = [rng.uniform(*FUNCTIONS[name], N_ELEMENTS) for _ in range(count)]
    return tuple(x.astype(settings["dtype"]) for x in drawn)


def value_only(function):
    """What the harness asks of a call: a value and gradients, of which there are none."""
    return lambda *operands: (function(*operands), ())


def _tapejit(settings: dict) -> Runner:
    import tapejit as tj

    name = settings["label"]
    function = getattr(tj, name, None) or getattr(tj.nn.functional, name)
    return Runner(
        lambda: value_only(tj.jit(lambda *operands: function(*operands))), calls_until_compiled=2
    )


def _numpy(settings: dict) -> Runner:
    from scipy import special

    own = {
        "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
        "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power,
        "erf": special.erf, "erfc": special.erfc,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "softplus": lambda x: np.logaddexp(x, x.dtype.type(0)),
    }  # fmt: skip
    function = own.get(settings["label"]) or getattr(np, settings["label"])
    return Runner(lambda: value_only(function))


def _torch(settings: dict) -> Runner:
    import torch

    name = settings["label"]
    function = getattr(torch, name, None) or getattr(torch.nn.functional, name)
    return Runner(
        lambda: value_only(function), lambda operands: tuple(map(torch.from_numpy, operands))
    )


def _jax(settings: dict) -> Runner:
    import jax
    import jax.numpy as jnp

    name = settings["label"]
    own = {"atan2": jnp.arctan2, "pow": jnp.power}
    homes = (jnp, jax.nn, jax.scipy.special)
    found = own.get(name) or next(getattr(home, name) for home in homes if hasattr(home, name))

    def make():
        compiled = jax.jit(found)
        return value_only(lambda *arrays: jax.block_until_ready(compiled(*arrays)))

    return Runner(make, lambda operands: tuple(map(jax.device_put, operands)))


PEERS = {"tapejit": _tapejit, "numpy": _numpy, "torch": _torch, "jax": _jax}
