"""Generators of random numbers, and the one way something random is drawn: `drawn`.

On the CPU numbers are NumPy's (PCG64).  What is drawn for a GPU is a key, 8 bytes, of which it
makes the numbers itself (ops/random.py): a seed gives other numbers there, as in PyTorch, the same
ones on every card.  Names are PyTorch's; the numbers are not PyTorch's.

In a traced function what is drawn is an input of the program: a compiled call draws anew, in the
order in which the function drew, so it gives the numbers that the function itself would give.  No
sample is ever part of a compiled program.  A branch on what was drawn is a guard like any other;
a number read from it (`.item()`, `.numpy()`) lets the function be recorded at every call.

Distributions are draws.py's.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np

from tapejit.errors import ArgumentError, DtypeError
from tapejit.locks import Lock
from tapejit.ops.movement import input_
from tapejit.registry import kind
from tapejit.shapes import CPU
from tapejit.tensor.attributes import Device, place
from tapejit.tensor.core import Tensor, wrap
from tapejit.tensor.recording import state

_MASK = (1 << 128) - 1
_WORD = (1 << 64) - 1

# ---------------------------------------------------------------- keys


class Keys:
    """The keys of a GPU's draws: where they are is a seed, and how many there were.

    Keys of one seed are all different, since `_mixed` is one to one.
    """

    def __init__(self, seed: int, offset: int = 0):
        self.position = (seed, offset)
        self._lock = Lock()

    def next(self) -> np.int64:
        """A key that no draw has had yet."""
        with self._lock:
            seed, offset = self.position
            self.position = (seed, offset + 1 & _WORD)
        return np.uint64(_mixed(_mixed(seed) + offset & _WORD)).astype(np.int64)


def _mixed(x: int) -> int:
    """64 bits as others, each of which depends on all: SplitMix64 (Steele, Lea, Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _WORD
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _WORD
    return x ^ x >> 31


# ---------------------------------------------------------------- generators


class Generator:
    """A stream of random numbers of its own, for the `generator=` of random functions.

    device  where tensors that are drawn from it lie
    Errors  as for device=

    >>> import tapejit as tj
    >>> g = tj.Generator().manual_seed(7)
    >>> first = tj.rand(2, generator=g)
    >>> bool((tj.rand(2, generator=g.manual_seed(7)) == first).all())
    True
    """

    __tapejit_cache__ = True  # where it is, no call compares: what is drawn is an input

    def __init__(self, device: Any = CPU):
        self._device = place(device)
        self._seed: int | None = None
        self._stream: Any = None

    @property
    def device(self) -> Device:
        """Where tensors that are drawn from it lie."""
        return Device(self._device)

    def _numbers(self) -> Any:
        """NumPy's generator, or a GPU's Keys.

        Made when first asked for: numpy.random takes 8 ms to import.
        """
        if self._stream is None:
            if self._seed is None:
                self._seed = secrets.randbits(63)
            make = np.random.default_rng if self._device == CPU else Keys
            self._stream = make(self._seed)
        return self._stream

    @property
    def _position(self) -> Any:
        """Where the stream is."""
        stream = self._numbers()
        return stream.position if self._device != CPU else stream.bit_generator.state

    @_position.setter
    def _position(self, position: Any):
        if self._device != CPU:
            self._numbers().position = position
        else:
            self._numbers().bit_generator.state = position

    def manual_seed(self, seed: int) -> Generator:
        """Begin anew from a seed.

        >>> import tapejit as tj
        >>> tj.Generator().manual_seed(7).initial_seed()
        7
        """
        _mark_impure("seeds a generator")
        self._seed = int(seed) & _WORD
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
        _mark_impure("reads the seed of a generator")
        self._numbers()
        assert self._seed is not None
        return self._seed

    def get_state(self) -> Tensor:
        """Where the stream is, as bytes: of a GPU's, seed and number of draws.

        >>> import tapejit as tj
        >>> g = tj.Generator()
        >>> state = g.get_state()
        >>> first = tj.rand(2, generator=g)
        >>> g.set_state(state)
        >>> bool((tj.rand(2, generator=g) == first).all())
        True
        """
        _mark_impure("reads the state of a generator")
        inner = self._position
        if self._device != CPU:
            return wrap(np.array(inner, "<u8").view(np.uint8))
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
        n_bytes = 64 if self._device == CPU else 16
        if value.dtype != np.uint8 or value.shape != (n_bytes,):
            raise DtypeError(
                f"set_state: the state of a generator of {self.device!r} is {n_bytes} bytes, as "
                f"get_state gives\n  got  {new_state.dtype} of shape {tuple(value.shape)}"
            )
        if self._device != CPU:
            seed, offset = value.view("<u8").tolist()
            self._seed, self._stream = seed, Keys(seed, offset)
            return
        state_, inc, seed, rest = (
            int.from_bytes(value[i : i + 16].tobytes(), "little") for i in (0, 16, 32, 48)
        )
        self._seed, self._stream = seed, None
        self._position = {
            "bit_generator": "PCG64",
            "state": {"state": state_ & _MASK, "inc": inc & _MASK},
            "has_uint32": rest >> 32,
            "uinteger": rest & (1 << 32) - 1,
        }

    def __getstate__(self):
        return {"state": np.asarray(self.get_state()._value), "device": self._device}

    def __setstate__(self, kept):
        self.__init__(kept.get("device", CPU))
        self.set_state(wrap(kept["state"]))

    def __deepcopy__(self, memo):
        _mark_impure("copies a generator")
        twin = Generator(self._device)
        twin._seed = self._seed
        if self._stream is not None:
            twin._position = copy.deepcopy(self._position)
        return twin


default_generator = Generator()
"""What random functions draw from on the CPU unless they are given another."""

_on_gpus: dict[str, Generator] = {}


def generator_of(device: str) -> Generator:
    """What random functions draw from on a device unless they are given another."""
    if device == CPU:
        return default_generator
    found = _on_gpus.get(device)
    if found is None:
        found = Generator(device)
        found._seed = default_generator._seed if _is_seeded else None
        found = _on_gpus.setdefault(device, found)
    return found


_is_seeded = False
"""Whether GPUs that are used for the first time begin from the CPU's seed."""


def manual_seed(seed: int) -> Generator:
    """Let random functions begin anew from a seed, on all devices.

    >>> import tapejit as tj
    >>> _ = tj.manual_seed(0)
    >>> first = tj.rand(3)
    >>> _ = tj.manual_seed(0)
    >>> bool((tj.rand(3) == first).all())
    True
    """
    global _is_seeded
    _is_seeded = True
    for generator in list(_on_gpus.values()):
        generator.manual_seed(seed)
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Let random functions begin anew, on all devices, from a seed that nobody knows: the result.

    >>> import tapejit as tj
    >>> tj.seed() == tj.initial_seed()
    True
    """
    return manual_seed(secrets.randbits(63)).initial_seed()


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
            self.value = np.asarray(self.sample(self.generator._numbers()))
        self.is_new = False
        return self.value


def drawn(
    sample: Callable[[Any], Any], generator: Generator | None = None, device: str = CPU
) -> Tensor:
    """What `sample(stream)` gives, on the CPU: an array whose shape and dtype are fixed.

    sample     must depend on nothing but the stream and numbers that never change
    generator  None: the device's
    device     which stream: NumPy's generator, or a GPU's Keys
    Errors     ArgumentError if the generator is another device's
    """
    source = generator_of(device) if generator is None else generator
    if source._device != device:
        raise ArgumentError(
            f"Expected a '{Device(device).type}' device type for generator but found "
            f"'{source.device.type}'\n  got  a generator of {source.device!r}, for a tensor on "
            f"{Device(device)!r}\n  try  tj.Generator(device={device!r})"
        )
    value = np.asarray(sample(source._numbers()))
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
