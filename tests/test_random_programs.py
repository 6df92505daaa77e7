"""Random programs under random changes: compiled against a fresh recording, bit for bit.

TAPEJIT_FUZZ=5000 python -m pytest tests/test_random_programs.py        # more programs
TAPEJIT_FUZZ_SEED=123 python -m pytest tests/test_random_programs.py    # one of them
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from random_programs import World

import tapejit as tj

CALLS = 9
CHUNK = 10
N_PROGRAMS = int(os.environ.get("TAPEJIT_FUZZ", "150"))
TRANSFORMS = {
    "jit": tj.jit,
    "grad": tj.grad,
    "value_and_grad": tj.value_and_grad,
    "both": lambda f: tj.value_and_grad(f, argnums=(0,)),
}


def seeds():
    """One parameter per chunk of programs."""
    if "TAPEJIT_FUZZ_SEED" in os.environ:
        return [[int(os.environ["TAPEJIT_FUZZ_SEED"])]]
    return [range(first, min(first + CHUNK, N_PROGRAMS)) for first in range(0, N_PROGRAMS, CHUNK)]


def outcome(call, args):
    """What a call gives, or how it fails."""
    try:
        return call(*args)
    except Exception as error:
        return type(error), str(error).partition("\n")[0]


def same(a, b) -> bool:
    """Same types, dtypes and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic):
        equal = a.dtype == b.dtype and np.shape(a) == np.shape(b)
        return equal and np.array_equal(a, b, equal_nan=True)
    return a == b or a != a


def near_numpy(got, world) -> bool:
    """Whether a value is what plain NumPy computes (in double precision)."""
    with np.errstate(all="ignore"):
        want = outcome(world.function, world.arguments())
    single = np.float32 in (world.dtype, world.x.dtype, world.y.dtype, world.space["W"].dtype)
    if isinstance(want, tuple) or single:
        return True  # NumPy raises where we may not, and rounds float32 elsewhere
    return bool(np.allclose(float(got), float(want), rtol=1e-9, atol=1e-9, equal_nan=True))


def check(seed: int) -> None:
    """Call one program again and again while all that it reads changes."""
    world = World(seed)
    name = list(TRANSFORMS)[seed % len(TRANSFORMS)]
    transform = TRANSFORMS[name]
    compiled = transform(world.function)
    for step in range(CALLS):
        fresh = outcome(transform(world.function), world.arguments())
        for repeat in range(2):
            got = outcome(compiled, world.arguments())
            if not same(got, fresh) or (name == "jit" and not _agrees(got, world)):
                pytest.fail(
                    f"{name}, call {step}.{repeat} after {world.log}: got {got!r}, fresh {fresh!r}"
                    f"\n  TAPEJIT_FUZZ_SEED={seed} python -m pytest {__file__}\n{world.source}"
                )
        for _ in range(int(world.generator.integers(1, 3))):
            world.change()


def _agrees(got, world) -> bool:
    return isinstance(got, tuple) or near_numpy(got, world)


@pytest.mark.parametrize("programs", seeds(), ids=lambda chunk: f"{chunk[0]}-{chunk[-1]}")
def test_random_programs_under_random_changes(programs):
    for seed in programs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            check(seed)
