"""Random numbers as functions of a key and a place: what GPUs draw.

The one idea: Philox4x32-10 makes four random words of 32 bits from a key and a counter, so the
number at a place depends on nothing else: not on a grid, a block or a card.  A draw is a key, an
int64 that is data of the program, and the place of an element in row-major order is its counter.
So a draw fuses with what is around it, costs no memory, and is the same in a derivative.

    uniform      [0, 1), of 24 or 53 bits
    exponential  -log of 32 or 64 bits, from whichever side is small: never 0, never infinite
    normal       Box-Muller, sqrt(-2 log(word)) cos(pi word), as cuRAND has it: tails to 6.8, or 9.5
                 of float64; the inverse of erf of 24 bits ends at 5.4.  The other one of the
                 pair is left, so that a place needs only itself
    below        floor(n * word / 2**64): each number's share is right to n / 2**64
    hits         whether a word of 64 bits is below p * 2**64
    poisson      inversion of one uniform number up to a rate of 12, above that the transformed
                 rejection PTRS (Hormann 1993), a block of words for each try, 64 at most

Keys broadcast to `shape` from the right: places count along its axes, whatever is in front.

`evaluate` is the reference, with NumPy.  The CPU's own draws are NumPy's (tensor/random.py), not
these; kernels' texts are codegen/cuda/draws.py.

Sources: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"; Box and
Muller 1958; Lemire 2019; Hormann 1993, "The transformed rejection method for generating Poisson
random variables".
"""

from __future__ import annotations

import math

import numpy as np

from tapejit import dtypes
from tapejit.families import operation
from tapejit.registry import Probe
from tapejit.shapes import aval, broadcast, common_device

# ---------------------------------------------------------------- words

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(key, place, block: int = 0) -> list[np.ndarray]:
    """Four words of 32 bits, as uint64, for int64 keys and places.

    block  further words of the same place

    >>> [f"{int(word):08x}" for word in philox(np.int64(0), np.int64(0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    key, place = np.asarray(key).view(np.uint64), np.asarray(place).view(np.uint64)
    counter = place & _LOW, place >> _HALF, np.uint64(block), np.uint64(0)
    return rounds(counter, (key & _LOW, key >> _HALF))


def rounds(counter, key) -> list[np.ndarray]:
    """Philox4x32-10 of a counter of four words and a key of two, all as uint64."""
    c0, c1, c2, c3 = counter
    for number in range(10):
        k0, k1 = ((k + np.uint64(number * w)) & _LOW for k, w in zip(key, _WEYL, strict=True))
        a, b = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (b >> _HALF) ^ c1 ^ k0, b & _LOW, (a >> _HALF) ^ c3 ^ k1, a & _LOW
    return [c0, c1, c2, c3]


def _words(keys, shape, block=0):
    """Of each place, for each key."""
    return philox(keys, np.arange(math.prod(shape)).reshape(shape), block)


def _long(low, high):
    """Two words as one."""
    return high << _HALF | low


# ---------------------------------------------------------------- numbers of words


def _uniform_of(low, high, dtype):
    if dtype == "float64":
        return (_long(low, high) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    if dtype == "float16":  # 11 bits: more would round to 1
        return ((low >> np.uint64(21)).astype(np.float32) * np.float32(2.0**-11)).astype(np.float16)
    return (low >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)


def _share(low, high, dtype):
    """(word + 1/2) / 2**bits."""
    if dtype == "float64":
        return (_long(low, high).astype(np.float64) + 0.5) * 2.0**-64
    return (low.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)


def _exponential(keys, shape, dtype, device):
    low, high, _, _ = _words(keys, shape)
    is_small = (high if dtype == "float64" else low) < np.uint64(1 << 31)
    rest = _share(low ^ _LOW, high ^ _LOW, dtype)
    return np.where(is_small, -np.log(_share(low, high, dtype)), -np.log1p(-rest)).astype(dtype)


def _normal(keys, shape, dtype, device):
    c0, c1, c2, c3 = _words(keys, shape)
    if dtype == "float64":
        turn = _long(c2, c3).view(np.int64) * 2.0**-63
    else:
        turn = c2.astype(np.uint32).view(np.int32).astype(np.float32) * np.float32(2.0**-31)
    radius = np.sqrt(-2 * np.log(_share(c0, c1, dtype)))
    return (radius * np.cos(np.pi * turn.astype(np.float64)).astype(radius.dtype)).astype(dtype)


def _uniform(keys, shape, dtype, device):
    low, high, _, _ = _words(keys, shape)
    return _uniform_of(low, high, dtype)


def _below(keys, n, shape, device):
    low, high, _, _ = _words(keys, shape)
    n = np.asarray(n).view(np.uint64)
    n_low, n_high = n & _LOW, n >> _HALF
    middle = high * n_low + (low * n_low >> _HALF)
    other = low * n_high + (middle & _LOW)
    product = high * n_high + (middle >> _HALF) + (other >> _HALF)
    return np.where(n == 0, _long(low, high), product).view(np.int64)


def _hits(keys, p, shape, device):
    low, high, _, _ = _words(keys, shape)
    p = np.asarray(p)
    bound = np.where((p > 0) & (p < 1), p, 0) * p.dtype.type(2.0**64)
    return (p >= 1) | (_long(low, high) < bound.astype(np.uint64))


# ---------------------------------------------------------------- declarations


def _infer(avals, shape, dtype, device):
    whole = broadcast("random numbers", *(a.shape for a in avals), shape)
    return aval(whole, dtypes.named(dtype), device or common_device(avals))


def _drawn(name, summary, evaluate, *, dtype=None, **others):
    """An operation of keys; its dtype is an attribute where it is not fixed."""
    if dtype is None:
        attributes, infer = ("shape", "dtype", "device"), _infer
    else:
        attributes = ("shape", "device")

        def infer(avals, shape, device):
            return _infer(avals, shape, dtype, device)

    return operation(
        name, "random", summary=summary, infer=infer, evaluate=evaluate, attributes=attributes,
        **others,
    )  # fmt: skip


_KEYS = (((),), ((2, 1),))
_OF_FLOATS = tuple(
    {"shape": (2, 3), "dtype": dtype, "device": None} for dtype in ("float64", "float32")
)
_IN_WORDS = Probe(shapes=_KEYS, dtypes=("int64",), attrs=_OF_FLOATS)

random_uniform = _drawn(
    "random_uniform",
    "Numbers uniform in [0, 1) of keys and places.",
    _uniform,
    probe=_IN_WORDS,
    source="Salmon et al. 2011.",
)
random_exponential = _drawn(
    "random_exponential",
    "Exponentially distributed numbers of keys and places, of rate 1.",
    _exponential,
    probe=_IN_WORDS,
    source="Salmon et al. 2011.",
)
random_normal = _drawn(
    "random_normal",
    "Normally distributed numbers of keys and places, of mean 0 and variance 1.",
    _normal,
    probe=_IN_WORDS,
    source="Salmon et al. 2011; Box and Muller 1958.",
)
random_below = _drawn(
    "random_below",
    "Integers of keys and places, uniform below a bound.",
    _below,
    dtype="int64",
    probe=Probe(
        shapes=(((), ()), ((2, 1), ()), ((), (3,))),
        domain=((-3.0, 3.0), (1.0, 100.0)),
        dtypes=("int64",),
        attrs=({"shape": (2, 3), "device": None},),
    ),
    note="The bound is read as 64 bits without a sign; 0 stands for 2**64.",
    source="Salmon et al. 2011; Lemire 2019.",
)
random_hits = _drawn(
    "random_hits",
    "True with a given probability, by keys and places.",
    _hits,
    dtype="bool",
    probe=Probe(
        shapes=((("index", ()), ()), (("index", (2, 1)), ()), (("index", ()), (3,))),
        domain=(-0.2, 1.2),
        dtypes=("float64", "float32"),
        attrs=({"shape": (2, 3), "device": None},),
    ),
    source="Salmon et al. 2011.",
)
