"""Random numbers in a shape, on any device: uniform, normal, exponential, integers, hits.

On the CPU they are NumPy's, and what is drawn is all of them.  For a GPU a key is drawn, of which
an operation (ops/random.py) makes the numbers there: a compiled program fuses it with what they are
for, so a dropout mask takes no memory.

Not here: generators (random.py), and what people call (sampling.py, nn/dropout.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit import dtypes
from tapejit.registry import OPS
from tapejit.shapes import CPU
from tapejit.tensor.core import Tensor, apply, lift
from tapejit.tensor.front import FUNCTIONS
from tapejit.tensor.random import Generator, Keys, drawn

# ---------------------------------------------------------------- on a GPU


def from_key(
    name: str,
    parameters: tuple[Tensor, ...],
    attrs: tuple,
    generator: Generator | None,
    device: str,
) -> Tensor:
    """An operation of a new key."""
    key = drawn(Keys.next, generator, device)
    return apply(OPS[name], (key, *parameters), (*attrs, device))


def _numbers(name, sample: Callable) -> Callable:
    """A function of (shape, dtype, generator, device) that draws numbers of one distribution.

    name    of the GPU's operation
    sample  (shape, dtype) -> a function of NumPy's generator, for the CPU
    """

    def draw(
        shape: tuple[int, ...], dtype: np.dtype, generator: Any = None, device: str = CPU
    ) -> Any:
        if device == CPU:
            return drawn(sample(shape, dtype), generator)
        attrs = tuple(shape), dtypes.from_numpy(dtype).name
        return from_key(name, (), attrs, generator, device)

    return draw


def _in_pairs(draw: Callable, scale: float) -> Callable:
    """The same for complex numbers too: on a GPU their parts are drawn, side by side."""

    def draw_any(shape, dtype, generator=None, device=CPU):
        if device == CPU or dtype.kind != "c":
            return draw(shape, dtype, generator, device)
        part = np.dtype(f"f{dtype.itemsize // 2}")
        parts = draw((*shape, 2), part, generator, device)
        return FUNCTIONS["view_as_complex"](parts if scale == 1.0 else parts * scale)

    return draw_any


# ---------------------------------------------------------------- by NumPy


def _uniform(shape, dtype: np.dtype):
    """Of float32 in 24 bits, so that it is never 1."""
    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        parts = (*shape, 2)
        return lambda g: g.random(parts, part).view(dtype)[..., 0]
    if dtype in (np.float32, np.float64):
        return lambda g: g.random(shape, dtype)
    # a float16 has 11 bits: more would round to 1
    return lambda g: (g.integers(0, 2048, shape) / 2048).astype(dtype)


def _normal(shape, dtype: np.dtype):
    """Complex numbers have half of the variance in each part."""
    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        scale = part.type(math.sqrt(0.5))
        return lambda g: (
            scale * (g.standard_normal(shape, part) + 1j * g.standard_normal(shape, part))
        )
    if dtype in (np.float32, np.float64):
        return lambda g: g.standard_normal(shape, dtype)
    return lambda g: g.standard_normal(shape).astype(dtype)


def _exponential(shape, dtype: np.dtype):
    return lambda g: np.asarray(g.standard_exponential(shape), dtype)


# ---------------------------------------------------------------- distributions

uniform = _in_pairs(_numbers("random_uniform", _uniform), 1.0)
"""Numbers of [0, 1), of the dtype's full precision."""

normal = _in_pairs(_numbers("random_normal", _normal), math.sqrt(0.5))
"""Numbers of mean 0 and variance 1."""

exponential = _numbers("random_exponential", _exponential)
"""Numbers of rate 1, drawn in float64 on the CPU; on a GPU never 0."""


def cauchy(shape, dtype: np.dtype, generator: Generator | None = None, device: str = CPU) -> Any:
    """Numbers of Cauchy's distribution."""
    if device == CPU:
        return drawn(lambda g: np.asarray(g.standard_cauchy(shape), dtype), generator)
    return ((uniform(shape, dtype, generator, device) - 0.5) * math.pi).tan()


def integers(
    low: int,
    high: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    generator: Generator | None = None,
    device: str = CPU,
) -> Any:
    """Whole numbers of [low, high)."""
    if device == CPU:
        # by the last one: high may be 2**63
        sample = lambda g: np.asarray(g.integers(low, high - 1, shape, endpoint=True), dtype)  # noqa: E731
        return drawn(sample, generator)
    n = np.uint64(high - low & (1 << 64) - 1).astype(np.int64).item()  # 0 is 2**64
    found: Any = from_key("random_below", (lift(n, dtypes.int64),), (shape,), generator, device)
    return (found + low).to(dtypes.from_numpy(dtype))


def hits(
    p: Any,
    shape: tuple[int, ...],
    precision: np.dtype,
    generator: Generator | None = None,
    device: str = CPU,
) -> Any:
    """True with probability p, a number or a tensor.

    precision  float32 or float64: of the numbers that the CPU compares with p, and of p on a GPU,
               which compares 64 bits with it
    """
    if device == CPU:
        return uniform(shape, precision, generator) < p
    p = lift(p, dtypes.from_numpy(precision))
    return from_key("random_hits", (p,), (tuple(shape),), generator, device)
