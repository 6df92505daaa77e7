"""Random programs of operations: compiled, row by row, and PyTorch give the same numbers.

TAPEJIT_FUZZ=10000 python -m pytest tests/test_operation_programs.py        # more programs
TAPEJIT_FUZZ_SEED=123 python -m pytest tests/test_operation_programs.py     # one of them
"""

from __future__ import annotations

import os
import warnings
from typing import NamedTuple

import numpy as np
import pytest
from operation_programs import BINARY, REDUCTIONS, UNARY, Text, draft

import tapejit as tj

CHUNK = 10
N_PROGRAMS = int(os.environ.get("TAPEJIT_FUZZ", "150"))
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
NUDGE = {"float64": 1e-13, "float32": 1e-6}
"""A relative change of the arguments.  What it changes by more than a difference that was found is
no mismatch: the program itself cannot be computed any better (a floor next to an integer)."""


class Answer(NamedTuple):
    value: np.ndarray
    gradients: list[np.ndarray]


def seeds():
    """One parameter per chunk of programs."""
    if "TAPEJIT_FUZZ_SEED" in os.environ:
        return [[int(os.environ["TAPEJIT_FUZZ_SEED"])]]
    return [range(first, min(first + CHUNK, N_PROGRAMS)) for first in range(0, N_PROGRAMS, CHUNK)]


# ---------------------------------------------------------------- three ways


def floats_of(text: Text) -> list[int]:
    """Which arguments a derivative can be asked of."""
    return [i for i, array in enumerate(text.arguments.values()) if array.dtype.kind == "f"]


def recorded(text: Text, library) -> Answer:
    """Eagerly, with a library that has PyTorch's autograd."""
    tensors = [library.tensor(array) for array in text.arguments.values()]
    leaves = [tensors[i].requires_grad_() for i in floats_of(text)]
    value = text.function()(library, *tensors)
    if value.requires_grad:
        value.backward()
    gradients = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in leaves]
    return Answer(value.detach().numpy(), gradients)


def compiled(text: Text) -> Answer:
    """Value and gradients in one program."""
    program = text.function()
    both = tj.value_and_grad(lambda *args: program(tj, *args), argnums=tuple(floats_of(text)))
    value, gradients = both(*(tj.tensor(array) for array in text.arguments.values()))
    return Answer(value.numpy(), [g.numpy() for g in gradients])


def nudged(text: Text) -> Text:
    """The same program at arguments next to these."""
    generator = np.random.default_rng(0)
    moved = {
        name: _nudged(array, generator) if array.dtype.kind == "f" else array
        for name, array in text.arguments.items()
    }
    return text._replace(arguments=moved)


def _nudged(array, generator):
    signs = generator.choice((-1, 1), array.shape)
    return array * (1 + NUDGE[array.dtype.name] * signs).astype(array.dtype)


# ---------------------------------------------------------------- the comparison


def distance(a: Answer, b: Answer) -> float:
    """The largest difference, relative to the larger of 1 and the largest number of its array."""
    worst = 0.0
    for x, y in zip((a.value, *a.gradients), (b.value, *b.gradients), strict=True):
        assert np.shape(x) == np.shape(y)
        if np.size(x) == 0:
            continue
        scale = max(1.0, float(np.max(np.abs(y))))
        worst = max(worst, float(np.max(np.abs(np.asarray(x) - y))) / scale)
        if not np.isfinite(x).all():
            worst = np.inf
    return worst


def check(seed: int, torch) -> None:
    """One program, three ways."""
    text = draft(seed)
    plain = recorded(text, tj)
    tolerance = TOLERANCE[plain.value.dtype.name]
    ways = {"compiled": compiled(text)}
    if torch is not None:
        ways["PyTorch"] = recorded(text, torch)
    for name, other in ways.items():
        found = distance(plain, other)
        if found <= tolerance:
            continue
        if found <= 100 * distance(plain, recorded(nudged(text), tj)):
            continue
        pytest.fail(
            f"row by row and {name} differ by {found:.2g}: {plain}\n{other}\n"
            f"  TAPEJIT_FUZZ_SEED={seed} python -m pytest {__file__}\n{text.source}"
        )


@pytest.mark.parametrize("programs", seeds(), ids=lambda chunk: f"{chunk[0]}-{chunk[-1]}")
def test_three_ways_agree(programs):
    torch = (
        pytest.importorskip("torch") if os.environ.get("TAPEJIT_FUZZ_TORCH", "1") == "1" else None
    )
    for seed in programs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(seed, torch)


def test_programs_use_the_register():
    """Nearly every operation that PyTorch has is drawn in the first programs."""
    sources = "".join(draft(seed).source for seed in range(400))
    names = {op.alias.torch for op in (*UNARY, *BINARY, *REDUCTIONS)}
    missing = {name for name in names if f"T.{name}(" not in sources}
    assert len(missing) <= 0.05 * len(names), missing
