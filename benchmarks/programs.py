"""Random elementwise programs, the same for every peer.

`generate(seed, n)` draws a straight-line program of exactly n primitive operations on three
inputs; `source` prints it as a Python function of NumPy-style code, `load` makes that function
for one array module, and `source_numba` prints value and gradient as the loop one would write by
hand, which is also the reference in the tests.

The choice of operands, which matters because XLA's fusion duplicates producers that are used
more than once: values that nothing has read yet wait in a queue (three of them, at any time).  A
step reads the longest-waiting one; its second operand, if it has one, is drawn evenly from all
other earlier values and inputs.  So nothing is dead, every value may be read again, and the depth
is about a third of the operations.  The last two operations add up what still waits, and the sum
of that over all elements is the result.

Values and slopes stay bounded by construction: with every value go a bound of its magnitude and
of its slope with respect to the inputs (which lie in [-1, 1]), and a step that would pass the
limits is drawn again.  Without the second bound, long programs are chaotic and no two libraries
agree in any digit.
"""

from __future__ import annotations

import linecache
import math
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

INPUTS = ("x", "y", "z")
LIMIT_VALUE = 4.0
LIMIT_SLOPE = 8.0

# ---------------------------------------------------------------- data

# primitive -> (value, in NumPy style; value, in Numba style; partials times d = dL/dy)
PRIMITIVES = {
    "add": ("{a} + {b}", "{a} + {b}", ("{d}", "{d}")),
    "sub": ("{a} - {b}", "{a} - {b}", ("{d}", "-{d}")),
    "mul": ("{a} * {b}", "{a} * {b}", ("{d} * {b}", "{d} * {a}")),
    "div": ("{a} / {b}", "{a} / {b}", ("{d} / {b}", "-{d} * {y} / {b}")),
    "neg": ("-{a}", "-{a}", ("-{d}",)),
    "sin": ("xp.sin({a})", "math.sin({a})", ("{d} * math.cos({a})",)),
    "cos": ("xp.cos({a})", "math.cos({a})", ("-{d} * math.sin({a})",)),
    "exp": ("xp.exp({a})", "math.exp({a})", ("{d} * {y}",)),
    "tanh": ("xp.tanh({a})", "math.tanh({a})", ("{d} * (1.0 - {y} * {y})",)),
    "log1p": ("xp.log1p({a})", "math.log1p({a})", ("{d} / (1.0 + {a})",)),
    "sqrt": ("xp.sqrt({a})", "math.sqrt({a})", ("{d} * 0.5 / {y}",)),
}


class Step(NamedTuple):
    """One primitive operation; operands are names, or numbers."""

    name: str
    primitive: str
    operands: tuple[str | float, ...]


class Program(NamedTuple):
    """Steps in order; the result is the sum over all elements of the last one."""

    seed: int
    steps: tuple[Step, ...]


class Bound(NamedTuple):
    """Largest magnitude of a value, and of its slope with respect to the inputs."""

    value: float
    slope: float


class Template(NamedTuple):
    """A drawable step: primitives on a (waiting), b (drawn) and t (the line before)."""

    lines: tuple[tuple, ...]
    bound: Callable[[Bound, Bound], Bound]


# The largest slope of 1 / (b*b + 1.5) is 0.354, of log1p(a*a) and sqrt(1 + a*a) 1, of sigmoid 1/4.
TEMPLATES = {
    "add": Template((("add", "a", "b"),), lambda a, b: Bound(a.value + b.value, a.slope + b.slope)),
    "subtract": Template(
        (("sub", "a", "b"),), lambda a, b: Bound(a.value + b.value, a.slope + b.slope)
    ),
    "multiply": Template(
        (("mul", "a", "b"),),
        lambda a, b: Bound(a.value * b.value, a.value * b.slope + b.value * a.slope),
    ),
    "divide": Template(
        (("mul", "b", "b"), ("add", "t", 1.5), ("div", "a", "t")),
        lambda a, b: Bound(a.value / 1.5, a.slope / 1.5 + 0.36 * a.value * b.slope),
    ),
    "sin": Template((("sin", "a"),), lambda a, b: Bound(min(1.0, a.value), a.slope)),
    "cos": Template((("cos", "a"),), lambda a, b: Bound(1.0, a.slope)),
    "tanh": Template((("tanh", "a"),), lambda a, b: Bound(min(1.0, a.value), a.slope)),
    "exp": Template(
        (("exp", "a"),), lambda a, b: Bound(math.exp(a.value), math.exp(a.value) * a.slope)
    ),
    "log1p": Template(
        (("mul", "a", "a"), ("log1p", "t")),
        lambda a, b: Bound(math.log1p(a.value**2), a.slope),
    ),
    "sqrt": Template(
        (("mul", "a", "a"), ("add", "t", 1.0), ("sqrt", "t")),
        lambda a, b: Bound(math.sqrt(1.0 + a.value**2), a.slope),
    ),
    "sigmoid": Template(
        (("neg", "a"), ("exp", "t"), ("add", "t", 1.0), ("div", 1.0, "t")),
        lambda a, b: Bound(1.0, a.slope / 4.0),
    ),
}

# ---------------------------------------------------------------- drawing


def generate(seed: int, n_operations: int) -> Program:
    """Draw a program of exactly `n_operations` primitive operations (at least 3)."""
    if n_operations < 3:
        raise ValueError(f"n_operations must be at least 3, got {n_operations}")
    rng = random.Random(seed)
    steps: list[Step] = []
    bounds = {name: Bound(1.0, 1.0) for name in INPUTS}
    waiting = deque(INPUTS)
    while len(steps) < n_operations - 2:
        a = waiting.popleft()
        template, b = _draw(rng, a, bounds, room=n_operations - 2 - len(steps))
        name = _append(steps, template, a, b)
        bounds[name] = template.bound(bounds[a], bounds[b])
        waiting.append(name)
    first, second, third = waiting
    total = _append(steps, TEMPLATES["add"], first, second)
    _append(steps, TEMPLATES["add"], total, third)
    return Program(seed, tuple(steps))


def _draw(rng: random.Random, a: str, bounds: dict, room: int) -> tuple[Template, str]:
    """Draw a template and a second operand that fit in `room` and keep within the limits."""
    fitting = [template for template in TEMPLATES.values() if len(template.lines) <= room]
    others = [name for name in bounds if name != a]  # a - a would be a constant
    for _ in range(20):
        # random() is the one draw whose sequence Python promises to keep from version to version
        template = fitting[int(rng.random() * len(fitting))]
        b = others[int(rng.random() * len(others))]
        after = template.bound(bounds[a], bounds[b])
        if after.value <= LIMIT_VALUE and after.slope <= LIMIT_SLOPE:
            return template, b
    return TEMPLATES["tanh"], others[0]  # raises no bound, so it always fits


def _append(steps: list[Step], template: Template, a: str, b: str) -> str:
    """Append a template's lines to the steps; return the name of the last."""
    names: dict = {"a": a, "b": b}
    for primitive, *operands in template.lines:
        name = f"v{len(steps)}"
        steps.append(Step(name, primitive, tuple(names.get(o, o) for o in operands)))
        names["t"] = name
    return names["t"]


# ---------------------------------------------------------------- printing


def source(program: Program) -> str:
    """Print the program as a Python function in NumPy style, with the module called `xp`."""
    lines = [f"def program({', '.join(INPUTS)}):"]
    for step in program.steps:
        text = PRIMITIVES[step.primitive][0]
        lines.append(f"    {step.name} = {_fill(text, step)}")
    return "\n".join([*lines, f"    return xp.sum({program.steps[-1].name})", ""])


def source_numba(program: Program) -> str:
    """Print value and gradient as one loop over elements, reverse sweep included."""
    lines = [
        f"def kernel({', '.join(INPUTS)}, {', '.join('g' + name for name in INPUTS)}):",
        "    total = 0.0",
        "    for i in range(x.size):",
    ]
    indent = " " * 8
    lines += [f"{indent}{name}_i = {name}[i]" for name in INPUTS]
    for step in program.steps:
        lines.append(f"{indent}{step.name} = {_fill(PRIMITIVES[step.primitive][1], step, '_i')}")
    result = program.steps[-1].name
    lines.append(f"{indent}total += {result}")
    adjoints: dict[str, list[str]] = {result: ["1.0"]}
    for step in reversed(program.steps):
        lines.append(f"{indent}d_{step.name} = {' + '.join(adjoints.pop(step.name))}")
        for operand, text in zip(step.operands, PRIMITIVES[step.primitive][2], strict=True):
            if isinstance(operand, str):
                adjoints.setdefault(operand, []).append(_fill(text, step, "_i"))
    lines += [f"{indent}g{name}[i] = {' + '.join(adjoints.get(name, ['0.0']))}" for name in INPUTS]
    return "\n".join([*lines, "    return total", ""])


def _fill(text: str, step: Step, input_suffix: str = "") -> str:
    """Put a step's names into a text of PRIMITIVES."""
    operands = [f"{o}{input_suffix}" if o in INPUTS else str(o) for o in step.operands]
    names = dict(zip("ab", operands, strict=False))
    return text.format(**names, y=step.name, d=f"d_{step.name}")


def load(text: str, name: str, label: str, **names) -> Callable:
    """Make the function `name` of a printed program; `names` are its globals."""
    filename = f"<{label}>"
    # so that tracebacks, and whoever asks for the source, find the text
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace = dict(names)
    exec(compile(text, filename, "exec"), namespace)
    return namespace[name]
