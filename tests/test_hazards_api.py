"""No function or method lets a value escape from a trace: each is called with changed values.

Every public function of tensors, every method and property, every NumPy function that has a rule
is tried with operands of several kinds.  Where a call works, it is compiled on one set of values
and asked for two others; what it then gives, or how it fails, is what a fresh recording does.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hazards import assert_same, outcome

import tapejit as tj
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS

KINDS = {
    "floats": lambda g: tj.tensor(g.integers(-3, 4, 4) * 0.75),
    "matrix": lambda g: tj.tensor(np.round(g.standard_normal((3, 3)), 2)),
    "integers": lambda g: tj.tensor(g.integers(0, 4, 4)),
    "bools": lambda g: tj.tensor(g.integers(0, 2, 4) > 0),
    "number": lambda g: tj.tensor(float(g.integers(0, 4)), dtype=tj.float64),
}
OTHERS = (
    (), ("floats",), ("integers",), ("bools",), ("0",), ("2.0",), ("0", "1"), ("0", "integers"),
    ("(0,)",), ("floats", "floats"), ("4",), ("bools", "1.0"), ("tj.float32",),
)  # fmt: skip

# what differs at every call, what writes, and what is no function of its operands
SKIPPED = {"__hash__", "__init_subclass__", "__subclasshook__", "__new__", "__class__", "__doc__",
           "__reduce_ex__", "__reduce__", "__sizeof__", "__module__", "__slots__"}  # fmt: skip


def calls():
    """Source texts of calls of x and other operands."""
    for name in sorted(set(dir(tj.Tensor)) - SKIPPED):
        if not name.startswith("_") or name.startswith("__"):
            is_method = callable(getattr(tj.Tensor, name))
            yield f"x.{name}(*rest)" if is_method else f"(x.{name}, x * 1)"
    yield from (f"tj.{name}(x, *rest)" for name in sorted(FUNCTIONS))
    for function in FOR_NUMPY:
        home = "np.linalg" if hasattr(np.linalg, function.__name__) else "np"
        yield f"{home}.{function.__name__}(x, *rest)"


def try_call(text, kind, others):
    """Compile one call with one set of operands and ask for others; whether it worked at all."""
    names = [f"y{i}" if other in KINDS else other for i, other in enumerate(others)]
    parameters = ["x", *(name for name in names if name.startswith("y"))]
    scope = {"np": np, "tj": tj}
    call = text.replace("*rest", ", ".join(names))
    exec(f"def f({', '.join(parameters)}):\n    return {call}", scope)
    compiled = tj.jit(scope["f"])

    def operands(seed):
        generator = np.random.default_rng(seed)
        return [KINDS[k](generator) for k in (kind, *others) if k in KINDS]

    try:
        scope["f"](*operands(1))  # most operands are of no use to a function: told in no time
        compiled(*operands(1))
    except Exception:
        return False
    if compiled.transform.paths.has_warned:  # recorded at every call
        return False
    for seed in (2, 3):
        tj.manual_seed(seed)  # dropout draws
        want = outcome(tj.jit(scope["f"]), operands(seed))
        tj.manual_seed(seed)
        assert_same(outcome(compiled, operands(seed)), want, f"{call} of {kind}, values {seed}")
    return True


ENOUGH = 1
"""Calls that work are tried per function and kind of operand."""


@pytest.mark.parametrize("kind", KINDS)
def test_no_function_lets_a_value_escape(kind):
    worked = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in calls():
            n = 0
            for others in OTHERS[:1] if text.startswith("(") else OTHERS:
                n += try_call(text, kind, others)
                worked |= {text} if n else set()
                if n == ENOUGH:
                    break
    assert len(worked) > 150, len(worked)
