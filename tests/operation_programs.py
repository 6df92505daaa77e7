"""Random programs of operations, as text that tapejit and PyTorch both run.

    def program(T, x0, x1, i0):
        v0 = T.sin(x0)
        v1 = T.logsumexp(v0 * x1, (0, 2), keepdim=True)
        ...
        return T.sum(v1.reshape(-1) * w(T, v1)) + ...

A `Draft` grows one call at a time.  Each call is run at once with tapejit, so that the next one
knows shapes and values: an operand that lies outside an operation's domain is squashed into it
first, and a call whose result is not finite is taken back.  Elementwise operations and reductions
are drawn from the register as it is; the rest from the steps below, one function each.

Start at `draft`.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import tapejit as tj
from tapejit.registry import OPS

LENGTHS = (1, 2, 3, 4, 5, 7, 9)
LARGEST = 4096
"""Elements of a value, at most."""
LIMIT = 50.0
"""Numbers above this are squashed when they are used again."""

_CALLED = re.compile(r"\bT\.([\w.]+)")
STEPS: list[tuple[Callable[[Draft], str | None], int]] = []


class Text(NamedTuple):
    """A program and its arguments."""

    source: str
    arguments: dict[str, np.ndarray]

    def function(self) -> Callable:
        """program(T, *arguments)."""
        scope: dict = {}
        exec(compile(self.source, "<program of operations>", "exec"), scope)
        return scope["program"]


def step(weight: int = 1):
    """Register a function that proposes a call."""

    def enter(function):
        STEPS.append((function, weight))
        return function

    return enter


class Draft:
    """A program in the making."""

    def __init__(self, generator: np.random.Generator):
        self.generator = generator
        self.lines: list[str] = []
        self.arguments: dict[str, np.ndarray] = {}
        self.values: dict[str, tj.Tensor] = {}
        self.used: set[str] = set()
        self.dtype = "float64" if self.chance(0.75) else "float32"
        self.lengths = [self.pick(LENGTHS) for _ in range(3)]
        for number in range(int(generator.integers(2, 4))):
            self.argument(f"x{number}", self.numbers(self.shape()))

    # ---- choices

    def pick(self, options):
        """One of these."""
        return options[int(self.generator.integers(len(options)))]

    def chance(self, share: float) -> bool:
        return bool(self.generator.random() < share)

    def shape(self):
        """A shape that broadcasts with the others."""
        shape = [n if self.chance(0.8) else 1 for n in self.lengths]
        return tuple(shape[self.pick((0, 0, 1, 1, 2, 3)) :])

    def numbers(self, shape) -> np.ndarray:
        return self.generator.uniform(-2.0, 2.0, shape).astype(self.dtype)

    def argument(self, name, array) -> str:
        self.arguments[name] = np.asarray(array)
        self.values[name] = tj.tensor(self.arguments[name])
        return name

    def places(self, shape, n: int) -> str:
        """A new argument of integers below n."""
        return self.argument(f"i{len(self.arguments)}", self.generator.integers(0, n, shape))

    # ---- values

    def array(self, name: str) -> np.ndarray:
        return self.values[name].detach().numpy()

    def named(self, wanted: Callable[[np.ndarray], bool]) -> list[str]:
        return [name for name in self.values if wanted(self.array(name))]

    def any_float(self, ndim: int = 0, most: int = 9) -> str | None:
        """A value of floats with `ndim` to `most` axes; recent ones are likelier."""
        found = self.named(lambda a: a.dtype.kind == "f" and ndim <= a.ndim <= most)
        if not found:
            return None
        return found[-1] if self.chance(0.4) else self.pick(found)

    def mask(self, shape) -> str:
        """A condition of the given shape."""
        found = self.named(lambda a: a.dtype.kind == "b" and a.shape == tuple(shape))
        if found:
            return self.pick(found)
        return self.argument(f"m{len(self.arguments)}", self.generator.random(shape) < 0.5)

    def partner(self, name: str) -> str | None:
        """A float value that broadcasts with another."""
        shape = self.array(name).shape
        found = self.named(lambda a: a.dtype.kind == "f" and _fits(a.shape, shape))
        return self.pick(found) if found else None

    def tame(self, name: str, low: float = -3.0, high: float = 3.0) -> str:
        """A value, squashed where it leaves an interval."""
        array = self.array(name)
        if array.size == 0 or (array.min() >= low and array.max() <= high):
            return name
        squashed = f"T.sigmoid({self.small(name)})"
        return self.emit(f"{squashed} * {high - low!r} + {low!r}") or name

    def small(self, name: str) -> str:
        """A value divided by its order of magnitude, so that a sigmoid does not saturate."""
        largest = float(np.max(np.abs(self.array(name)), initial=1.0))
        return name if largest < 4.0 else f"({name} / {float(f'{largest:.1g}')})"

    def is_distinct(self, name: str) -> bool:
        """Whether no two elements are (nearly) equal: order is then certain."""
        ordered = np.sort(self.array(name), axis=None)
        return bool(np.all(np.diff(ordered) > 1e-6))

    # ---- growing

    def emit(self, text: str) -> str | None:
        """Run a call and keep it, under a new name; None if its result is of no use."""
        name = f"v{len(self.lines)}"
        if not all(map(in_torch, _CALLED.findall(text))):
            return None
        with np.errstate(all="ignore"):
            value = eval(text, {"T": tj}, dict(self.values))
        if not isinstance(value, tj.Tensor):
            return None
        array = value.detach().numpy()
        if array.size > LARGEST or array.size == 0 or array.dtype.kind not in "fb":
            return None
        if array.dtype.kind == "f" and not (np.abs(array) < 1e6).all():
            return None
        self.lines.append(f"{name} = {text}")
        self.values[name] = value
        return name

    def grow(self) -> bool:
        """Add one call; False if the one proposed was of no use."""
        weights = np.array([weight for _, weight in STEPS], float)
        propose, _ = STEPS[int(self.generator.choice(len(STEPS), p=weights / weights.sum()))]
        text = propose(self)
        return text is not None and self.emit(text) is not None

    def text(self) -> Text:
        """The program: its loss reads every float that was made."""
        floats = [name for name in self.values if self.array(name).dtype.kind == "f"]
        read = "\n".join(self.lines)
        ends = [name for name in floats if read.count(name) < 2 or self.chance(0.1)] or floats[-1:]
        terms = [
            f"T.sum({self.tamed_text(name)}.reshape(-1) * {self.weights(self.array(name).size)})"
            for name in ends
        ]
        body = "\n".join(f"    {line}" for line in [*self.lines, f"return {' + '.join(terms)}"])
        read = frozenset(re.findall(r"\w+", body))
        arguments = {name: array for name, array in self.arguments.items() if name in read}
        head = f"def program(T, {', '.join(arguments)}):"
        return Text(f"{head}\n{body}\n", arguments)

    def weights(self, n):
        """Weights of a sum: without them the sum of a softmax has no slope."""
        return f"T.linspace(0.5, 1.5, {n}, dtype=T.{self.dtype})"

    def tamed_text(self, name):
        array = self.array(name)
        return name if array.size == 0 or np.abs(array).max() < LIMIT else f"T.tanh({name} * 0.01)"


def _fits(shape, other):
    try:
        return bool(np.prod(np.broadcast_shapes(shape, other)) <= LARGEST)
    except ValueError:
        return False


def _same(shape):
    """Whether an array is one of floats, of a shape."""
    return lambda array: array.dtype.kind == "f" and array.shape == shape


def draft(seed: int) -> Text:
    """A program of 3 to 30 operations."""
    generator = np.random.default_rng(seed)
    made = Draft(generator)
    wanted = int(generator.integers(3, 31))
    for _ in range(20 * wanted):
        if len(made.lines) >= wanted:
            break
        made.grow()
    return made.text()


# ---------------------------------------------------------------- from the register


@functools.cache
def in_torch(name: str) -> bool:
    """Whether PyTorch and tapejit have a function."""
    torch = _torch()
    try:
        operator.attrgetter(name)(tj)
        return torch is None or operator.attrgetter(name)(torch) is not None
    except AttributeError:
        return False


def _torch():
    try:
        import torch
    except ImportError:
        return None
    return torch


def _registered(family, n_operands=None):
    found = []
    for op in OPS.values():
        name = op.alias.torch
        if op.family != family or not name or not in_torch(name) or op.attributes[2:]:
            continue
        if n_operands is None or (op.expression and len(op.expression.parameters) == n_operands):
            found.append(op)
    return [op for op in found if op.rule not in ("logical", "index")]


UNARY, BINARY = _registered("elementwise", 1), _registered("elementwise", 2)
REDUCTIONS = [op for op in _registered("reduction") if op.attributes == ("axes", "keepdim")]


@functools.cache
def is_derived(name: str, n_operands: int) -> bool:
    """Whether PyTorch has a derivative of a function; of some it drops it without a word."""
    torch = _torch()
    if torch is None:
        return True
    operands = [torch.full((2,), 0.5, requires_grad=True) for _ in range(n_operands)]
    try:
        operator.attrgetter(name)(torch)(*operands).sum().backward()
    except RuntimeError:
        return False
    return all(x.grad is not None for x in operands)


ONE_AXIS = {"prod", "argmax", "argmin"}
"""PyTorch reduces these over one axis or all."""


def _domain(op, place=0):
    low, high = op.probe.domain[place] if isinstance(op.probe.domain[0], tuple) else op.probe.domain
    return low, high


@step(14)
def unary(d):
    op, x = d.pick(UNARY), d.any_float()
    x = d.tame(x, *_domain(op))
    return f"T.{op.alias.torch}({x if is_derived(op.alias.torch, 1) else f'{x}.detach()'})"


@step(14)
def binary(d):
    op, x = d.pick(BINARY), d.any_float()
    y = d.partner(x)
    if y is None:
        return None
    derived = is_derived(op.alias.torch, 2)
    if op.alias.operator and derived and d.chance(0.2):
        low, high = _domain(op, 1)
        number = round(float(d.generator.uniform(low, high)), 2)
        return f"T.{op.alias.torch}({d.tame(x, *_domain(op))}, {number})"
    x, y = d.tame(x, *_domain(op)), d.tame(y, *_domain(op, 1))
    if not derived:
        x, y = f"{x}.detach()", f"{y}.detach()"
    return f"T.{op.alias.torch}({x}, {y})"


@step(10)
def reduce(d):
    op, x = d.pick(REDUCTIONS), d.any_float(ndim=1)
    if x is None:
        return None
    x, axes = d.tame(x), _axes(d, x)
    if op.name in ONE_AXIS or op.name.startswith("arg"):
        axes = axes[0]
    return f"T.{op.alias.torch}({x}, {axes}, keepdim={d.chance(0.5)})"


def _axes(d, x):
    """Some axes of a value, as a tuple."""
    ndim = d.array(x).ndim
    chosen = [axis for axis in range(ndim) if d.chance(0.5)] or [int(d.generator.integers(ndim))]
    return tuple(axis - ndim if d.chance(0.3) else axis for axis in chosen)


def _axis(d, x):
    ndim = d.array(x).ndim
    return int(d.generator.integers(-ndim, ndim))


# ---------------------------------------------------------------- one axis at a time

ALONG = (
    "softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp", "var", "std", "flip", "unbind",
    "diff", "nanmean", "nansum",
)  # fmt: skip
ORDERED = ("max", "min", "sort", "cummax", "cummin", "median", "amax", "amin")


@step(8)
def along(d):
    x = d.any_float(ndim=1)
    if x is None:
        return None
    name, x, axis = d.pick(ALONG), d.tame(x), _axis(d, x)
    n = d.array(x).shape[axis]
    if name in ("var", "std"):
        if n < 2 or not d.is_distinct(x):
            return None
        return f"T.{name}({x}, {axis}, correction={d.pick((0, 1))}, keepdim={d.chance(0.5)})"
    if name == "unbind":
        return f"T.unbind({x}, {axis})[{int(d.generator.integers(n))}]"
    place = {"flip": f"({axis},)", "diff": f"1, {axis}"}.get(name, axis)
    return f"T.{name}({x}, {place})"


@step(4)
def ordered(d):
    x = d.any_float(ndim=1)
    if x is None or not d.is_distinct(x):
        return None
    name, axis = d.pick(ORDERED), _axis(d, x)
    if name == "sort":
        return f"T.sort({x}, {axis}, {d.chance(0.5)})[0]"
    if name in ("amax", "amin"):
        return f"T.{name}({x}, {axis})"
    return f"T.{name}({x}, {axis})[0]"


@step(2)
def largest(d):
    x = d.any_float(ndim=1)
    if x is None or not d.is_distinct(x):
        return None
    axis = _axis(d, x)
    k = int(d.generator.integers(1, d.array(x).shape[axis] + 1))
    if d.chance(0.4):
        return f"T.kthvalue({x}, {k}, {axis})[0]"
    return f"T.topk({x}, {k}, {axis}, {d.chance(0.5)})[0]"


# ---------------------------------------------------------------- choices


@step(3)
def compare(d):
    x = d.any_float()
    y = d.partner(x)
    return f"T.{d.pick(('lt', 'le', 'gt', 'ge'))}({x}, {y})" if y else None


@step(3)
def choose(d):
    x = d.any_float()
    y = d.partner(x)
    if y is None:
        return None
    shape = np.broadcast_shapes(d.array(x).shape, d.array(y).shape)
    return f"T.where({d.mask(shape)}, {x}, {y})"


@step(2)
def masked(d):
    x = d.any_float()
    return f"T.masked_fill({x}, {d.mask(d.array(x).shape)}, {d.pick((0.0, -1.5))})"


@step(2)
def clamped(d):
    x = d.any_float()
    return f"T.clamp({x}, {d.pick((-1.25, None))}, {d.pick((0.75, 1.5))})"


# ---------------------------------------------------------------- movement


@step(4)
def reshaped(d):
    x = d.any_float()
    shape, ndim = d.array(x).shape, d.array(x).ndim
    forms = [
        f"{x}.reshape(-1)",
        f"{x}.unsqueeze({int(d.generator.integers(-ndim - 1, ndim + 1))})",
        f"{x}.squeeze()",
        f"{x}.expand(2, *{shape})",
        f"{x}.reshape({_split(d, shape)})",
    ]
    if ndim:
        forms += [f"{x}.flatten({int(d.generator.integers(ndim))})"]
    return d.pick(forms)


def _split(d, shape):
    """The same number of elements in another shape."""
    size = int(np.prod(shape))
    divisors = [n for n in range(1, size + 1) if size % n == 0]
    return (d.pick(divisors), -1)


@step(5)
def moved(d):
    x = d.any_float(ndim=2)
    if x is None:
        return None
    ndim = d.array(x).ndim
    a, b = _axis(d, x), _axis(d, x)
    order = tuple(int(i) for i in d.generator.permutation(ndim))
    return d.pick(
        (f"{x}.permute{order}", f"T.transpose({x}, {a}, {b})", f"T.movedim({x}, {a}, {b})",
         f"T.flip({x}, ({a},))", f"T.roll({x}, {d.pick((-1, 1, 2))}, {a})", f"{x}.mT",
         f"T.tril({x}, {d.pick((-1, 0, 1))})", f"T.triu({x}, {d.pick((-1, 0, 1))})",
         f"T.diagonal({x}, {d.pick((0, 0, 1))})", f"T.rot90({x})", f"T.swapaxes({x}, {a}, {b})")
    )  # fmt: skip


@step(3)
def repeated(d):
    x = d.any_float()
    ndim = d.array(x).ndim
    forms = [f"{x}.repeat(2, *{(1,) * ndim})", f"T.tile({x}, (2,))"]
    if ndim:
        forms += [f"T.repeat_interleave({x}, 2, {_axis(d, x)})"]
    if 1 <= ndim <= 2:
        forms += [f"T.diag({x})", f"T.diag_embed({x})"]
    return d.pick(forms)


@step(5)
def sliced(d):
    x = d.any_float(ndim=1)
    if x is None:
        return None
    parts = [_part(d, n) for n in d.array(x).shape[: int(d.generator.integers(1, 4))]]
    if d.chance(0.2):
        parts.insert(int(d.generator.integers(len(parts) + 1)), "None")
    return f"{x}[{', '.join(parts)}]"


def _part(d, n):
    start = int(d.generator.integers(n))
    return d.pick(
        (str(start), str(start - n), f"{start}:", f"::{d.pick((1, 2))}", f":{start + 1}", ":")
    )


@step(4)
def joined(d):
    x = d.any_float(ndim=1)
    if x is None:
        return None
    shape = d.array(x).shape
    others = d.named(lambda a: a.shape == shape and a.dtype.kind == "f")
    name, axis = d.pick(("cat", "stack", "hstack", "vstack")), _axis(d, x)
    place = f", {axis}" if name in ("cat", "stack") else ""
    return f"T.{name}([{x}, {d.pick(others)}]{place})"


@step(3)
def parted(d):
    x = d.any_float(ndim=1)
    if x is None:
        return None
    axis = _axis(d, x)
    n = d.array(x).shape[axis]
    start = int(d.generator.integers(n))
    return d.pick(
        (f"T.split({x}, {d.pick((1, 2, 3))}, {axis})[0]", f"T.chunk({x}, 2, {axis})[-1]",
         f"T.narrow({x}, {axis}, {start}, {n - start})", f"{x}.select({axis}, {start})",
         f"T.tensor_split({x}, 2, {axis})[0]")
    )  # fmt: skip


# ---------------------------------------------------------------- computed places


@step(5)
def picked(d):
    x = d.any_float(ndim=1)
    if x is None:
        return None
    shape, axis = d.array(x).shape, _axis(d, x)
    n = shape[axis]
    key = ", ".join([":"] * (axis % len(shape)))
    like = list(shape)
    like[axis] = d.pick((1, 2, n))
    i = d.places(3, n)
    return d.pick(
        (f"T.index_select({x}, {axis}, {i})", f"{x}[{key + ', ' if key else ''}{i}]",
         f"T.gather({x}, {axis}, {d.places(tuple(like), n)})",
         f"T.take({x}, {d.places((2, 2), d.array(x).size)})",
         f"T.masked_fill({x}, {d.mask(shape)}, 0.5)", f"{x}[{d.mask(shape)}]")
    )  # fmt: skip


@step(3)
def scattered(d):
    x = d.any_float(ndim=1)
    if x is None:
        return None
    shape, axis = d.array(x).shape, _axis(d, x)
    sources = d.named(lambda a: a.dtype.kind == "f" and a.shape == shape)
    y = d.pick(sources)
    return d.pick(
        (f"T.scatter_add({x}, {axis}, {d.places(shape, shape[axis])}, {y})",
         f"T.index_add({x}, {axis}, {d.places(shape[axis], shape[axis])}, {y})")
    )  # fmt: skip


@step(3)
def assigned(d):
    """A copy with a part written in place."""
    x = d.any_float(ndim=1)
    if x is None:
        return None
    name = d.emit(f"{x}.clone()")
    if name is None:
        return None
    part = _part(d, d.array(name).shape[0])
    scalars = d.named(lambda a: a.dtype.kind == "f" and a.ndim == 0)
    value = d.pick([*scalars, "0.25"])
    sign = d.pick(("=", "+=", "*="))
    with np.errstate(all="ignore"):
        exec(f"{name}[{part}] {sign} {value}", {"T": tj}, d.values)
    d.lines[-1] += f"; {name}[{part}] {sign} {value}"
    return None


# ---------------------------------------------------------------- products and matrices


@step(5)
def product(d):
    x = d.any_float(ndim=1, most=3)
    if x is None:
        return None
    n, shape = d.array(x).shape[-1], d.array(x).shape
    same = d.named(lambda a: a.shape == shape and a.dtype.kind == "f")
    vectors = d.named(lambda a: a.ndim == 1 and a.shape[0] == n and a.dtype.kind == "f")
    x = d.tame(x)
    forms = [f"T.matmul({x}, {d.tame(v)})" for v in vectors[-2:]]
    if len(shape) > 1:
        y = d.tame(d.pick(same))
        forms += [f"{x} @ {y}.mT", f"{x}.mT @ {y}", f"T.einsum('...ij,...kj->...ik', {x}, {y})"]
    else:
        y = d.tame(d.pick(same))
        forms += [f"T.outer({x}, {y})", f"T.dot({x}, {y})", f"T.einsum('i,j->ji', {x}, {y})"]
    return d.pick(forms)


MATRIX = (
    "T.linalg.solve({a}, {b})", "T.linalg.inv({a})", "T.linalg.det({a})", "T.logdet({a})",
    "T.linalg.cholesky({a})", "T.linalg.eigvalsh({a})", "T.linalg.svdvals({a})", "T.trace({a})",
    "T.linalg.slogdet({a})[1]", "T.linalg.matrix_exp({a} * 0.2)", "T.linalg.matrix_power({a}, 2)",
    "T.linalg.pinv({a})", "T.linalg.qr({a})[1].abs()", "T.linalg.matrix_norm({a})",
    "T.linalg.solve_triangular(T.tril({a}), {b}, upper=False)",
)  # fmt: skip


@step(3)
def matrix(d):
    """A function of a positive definite matrix made of a value."""
    x = d.any_float(ndim=2, most=2)
    if x is None:
        return None
    x = d.tame(x)
    n = d.array(x).shape[0]
    a = d.emit(f"{x} @ {x}.mT + T.diag(T.arange(2.0, {n + 2}.0, dtype=T.{d.dtype}))")
    return d.pick(MATRIX).format(a=a, b=x) if a else None


# ---------------------------------------------------------------- networks

ACTIVATIONS = (
    "relu", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "hardtanh",
    "hardswish", "softsign", "logsigmoid", "tanhshrink", "relu6",
)  # fmt: skip


@step(4)
def activation(d):
    return f"T.nn.functional.{d.pick(ACTIVATIONS)}({d.tame(d.any_float())})"


@step(3)
def layer(d):
    x = d.any_float(ndim=2, most=3)
    if x is None:
        return None
    x, shape = d.tame(x), d.array(x).shape
    n = shape[-1]
    texts = {
        "nn.functional.softmax": f"({x}, -1)",
        "nn.functional.normalize": f"({x}, dim=-1)",
        "nn.functional.mse_loss": f"({x}, {d.pick(d.named(_same(shape)))})",
        "nn.functional.smooth_l1_loss": f"({x}, {x}.detach() * 0.5)",
    }
    if n > 2:
        texts["nn.functional.layer_norm"] = f"({x}, ({n},))"
    if len(shape) == 2:
        texts["nn.functional.cross_entropy"] = f"({x}, {d.places(shape[0], n)})"
    if len(shape) == 3:
        w = d.argument(f"x{len(d.arguments)}", d.numbers((2, shape[1], 1)))
        texts["nn.functional.conv1d"] = f"({x}, {w})"
        texts["nn.functional.avg_pool1d"] = f"({x}, 1)"
        texts["nn.functional.scaled_dot_product_attention"] = f"({x}, {x}, {x})"
    name = d.pick(list(texts))
    return f"T.{name}{texts[name]}"
