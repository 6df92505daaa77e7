"""Generators of random numbers, and the one way a random tensor is drawn: `drawn`.

Numbers are NumPy's (PCG64), names are PyTorch's; the numbers are not PyTorch's.

In a traced function what is drawn is an input of the program: a compiled call draws anew, in the
order in which the function drew, so it gives the numbers that the function itself would give.  No
sample is ever part of a compiled program.  A branch on what was drawn is a guard like any other;
a number read from it (`.item()`, `.numpy()`) lets the function be recorded at every call.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, DtypeError
from tapejit.ops.movement import input_
from tapejit.registry import kind
from tapejit.shapes import CPU
from tapejit.tensor.core import Tensor, to_place, wrap
from tapejit.tensor.recording import state

_MASK = (1 << 128) - 1

# ---------------------------------------------------------------- generators


class Generator:
    """A stream of random numbers of its own, for the `generator=` of random functions.

    >>> import tapejit as tj
    >>> g = tj.Generator().manual_seed(7)
    >>> first = tj.rand(2, generator=g)
    >>> bool((tj.rand(2, generator=g.manual_seed(7)) == first).all())
    True
    """

    def __init__(self, device="cpu"):
        if str(device) != "cpu":
            raise ArgumentError(f"Generator: device {device!r} is not here\n  try  'cpu'")
        self.device = "cpu"
        self._seed: int | None = None
        self._stream: Any = None

    @property
    def stream(self) -> np.random.Generator:
        """NumPy's generator, made when first asked for: numpy.random takes 8 ms to import."""
        if self._stream is None:
            if self._seed is None:
                self._seed = secrets.randbits(63)
            self._stream = np.random.default_rng(self._seed)
        return self._stream

    def manual_seed(self, seed: int) -> Generator:
        """Begin anew from a seed.

        >>> import tapejit as tj
        >>> tj.Generator().manual_seed(7).initial_seed()
        7
        """
        _mark_impure("seeds a generator")
        self._seed = int(seed) & (1 << 64) - 1
        self._stream = None
        return self

    def seed(self) -> int:
        """Begin anew from a seed that nobody knows, which is returned.

        >>> import tapejit as tj
        >>> g = tj.Generator()
        >>> g.seed() == g.initial_seed()
        True
        """
        return self.manual_seed(secrets.randbits(63)).initial_seed()

    def initial_seed(self) -> int:
        """The seed that it began from.

        >>> import tapejit as tj
        >>> tj.manual_seed(7).initial_seed()
        7
        """
        _ = self.stream
        assert self._seed is not None
        return self._seed

    def get_state(self) -> Tensor:
        """Where the stream is, as bytes.

        >>> import tapejit as tj
        >>> g = tj.Generator()
        >>> state = g.get_state()
        >>> first = tj.rand(2, generator=g)
        >>> g.set_state(state)
        >>> bool((tj.rand(2, generator=g) == first).all())
        True
        """
        inner: Any = self.stream.bit_generator.state
        numbers = (
            *(inner["state"][name] for name in ("state", "inc")),
            self.initial_seed(),
            inner["has_uint32"] << 32 | inner["uinteger"],
        )
        packed = b"".join(number.to_bytes(16, "little") for number in numbers)
        return wrap(np.frombuffer(packed, np.uint8).copy())

    def set_state(self, new_state: Tensor) -> None:
        """Continue where another stream was: what `get_state` gave.

        >>> import tapejit as tj
        >>> a, b = tj.Generator(), tj.Generator()
        >>> b.set_state(a.get_state())
        >>> bool((tj.rand(2, generator=a) == tj.rand(2, generator=b)).all())
        True
        """
        _mark_impure("sets the state of a generator")
        value = np.asarray(new_state._value)
        if value.dtype != np.uint8 or value.shape != (64,):
            raise DtypeError("set_state: the state of a generator is 64 bytes, as get_state gives")
        state_, inc, seed, rest = (
            int.from_bytes(value[i : i + 16].tobytes(), "little") for i in (0, 16, 32, 48)
        )
        self._seed, self._stream = seed, None
        self.stream.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": state_ & _MASK, "inc": inc & _MASK},
            "has_uint32": rest >> 32,
            "uinteger": rest & (1 << 32) - 1,
        }

    def __getstate__(self):
        return {"state": np.asarray(self.get_state()._value)}

    def __setstate__(self, kept):
        self.__init__()
        self.set_state(wrap(kept["state"]))

    def __deepcopy__(self, memo):
        twin = Generator()
        twin._seed, twin._stream = self._seed, copy.deepcopy(self._stream)
        return twin


default_generator = Generator()
"""What random functions draw from unless they are given another."""


def manual_seed(seed: int) -> Generator:
    """Let random functions begin anew from a seed.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(0)
    >>> first = tj.rand(3)
    >>> _ = tj.manual_seed(0)
    >>> bool((tj.rand(3) == first).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Let random functions begin anew from a seed that nobody knows, which is returned.

    >>> import tapejit as tj
    >>> tj.seed() == tj.initial_seed()
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that random functions began from.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(7)
    >>> tj.initial_seed()
    7
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """Where the stream of random numbers is, as bytes.

    >>> import tapejit as tj
    >>> tj.get_rng_state().dtype
    torch.uint8
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue where the stream was: what `get_rng_state` gave.

    >>> import tapejit as tj
    >>> state = tj.get_rng_state()
    >>> first = tj.rand(2)
    >>> tj.set_rng_state(state)
    >>> bool((tj.rand(2) == first).all())
    True
    """
    default_generator.set_state(new_state)


def _mark_impure(what: str) -> None:
    if state.parked.is_trace:
        state.parked.impure = what


# ---------------------------------------------------------------- what is drawn


class Draw:
    """A random input of a trace: what to draw, and what was drawn last.

    The numbers of the recorded run are given out once more, to the program made from it.
    """

    __slots__ = ("generator", "is_new", "sample", "value")

    def __init__(self, sample: Callable, generator: Generator, value: np.ndarray):
        self.sample = sample
        self.generator = generator
        self.value = value
        self.is_new = True

    def next(self) -> np.ndarray:
        """Numbers that no program has had yet."""
        if not self.is_new:
            self.value = np.asarray(self.sample(self.generator.stream))
        self.is_new = False
        return self.value


def drawn(
    sample: Callable[[np.random.Generator], Any],
    generator: Generator | None = None,
    device: str = CPU,
) -> Tensor:
    """A tensor of random numbers: `sample(stream)`, an array whose shape and dtype are fixed.

    sample  must depend on nothing but the stream and numbers that never change
    device  where the tensor is to lie; the numbers, drawn by the host, are the same everywhere
    """
    return to_place(_drawn(sample, generator), device)


def _drawn(sample, generator):
    source = default_generator if generator is None else generator
    value = np.asarray(sample(source.stream))
    trace = state.parked
    if not trace.is_trace:
        return wrap(value)
    result, held = wrap(value, tracked=True), wrap(value.copy(), tracked=True)
    row = trace.add(kind(input_, (), result._aval), (), held._value, None)
    for tensor in (result, held):  # the first may be written to
        tensor._tape, tensor._row, tensor._stamp = trace, row, trace.stamp
    trace.inputs[row] = held
    trace.draws[row] = Draw(sample, source, held._value)
    return result
