"""Random numbers as functions of a key and a place: what GPUs draw.

The one idea: Philox4x32-10 makes four random words of 32 bits from a key and a counter, so the
number at a place depends on nothing else: not on a grid, a block or a card.  A draw is a key, an
int64 that is data of the program, and the place of an element in row-major order is its counter.
So a draw fuses with what is around it, costs no memory, and is the same in a derivative.

    uniform      [0, 1), of 24 or 53 bits
    exponential  -log of 64 bits, from whichever end is near: never 0, never infinite
    normal       Box-Muller of two words of 64 bits, as cuRAND has it of 32: tails to 9.4, where the
                 inverse of erf of a float32 ends at 5.4.  The other of the pair is left: a place
                 needs only itself
    below        floor(n * word / 2**64): each number's share is right to n / 2**64
    hits         whether a word of 64 bits is below p * 2**64
    poisson      products of uniform numbers up to a rate of 12 (Knuth), above that transformed
                 rejection (Hormann's PTRS), with a block of words for each try, 64 at most

Keys broadcast to `shape` from the right: places count along its axes, whatever is in front.

`evaluate` is the reference, with NumPy.  The CPU's own draws are NumPy's (tensor/random.py), not
these; kernels' texts are codegen/cuda/draws.py.

Sources: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"; Box and
Muller 1958; Lemire 2019; Hormann 1993, "The transformed rejection method for generating Poisson
random variables"; Loader 2000, "Fast and accurate computation of binomial probabilities".
"""

from __future__ import annotations

import functools
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
    key, place = (np.asarray(x, np.int64).view(np.uint64) for x in (key, place))
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


def _uniform(keys, shape, dtype, device):
    low, high, _, _ = _words(keys, shape)
    if dtype == "float64":
        return (_long(low, high) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    if dtype == "float16":  # 11 bits: more would round to 1
        return ((low >> np.uint64(21)).astype(np.float32) * np.float32(2.0**-11)).astype(np.float16)
    return (low >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)


def _whole(low, high, kind):
    """A word of 64 bits, the upper half of which may be signed, in a float dtype."""
    return high.astype(kind) * kind(2.0**32) + low.astype(kind)


def _share(low, high, kind):
    """(word + 1/2) / 2**64: above 0, and 1 at most."""
    return (_whole(low, high, kind) + kind(0.5)) * kind(2.0**-64)


def _half_turns(low, high, kind):
    """A number of [-1, 1]."""
    return _whole(low, high.astype(np.uint32).view(np.int32), kind) * kind(2.0**-63)


def _kind(dtype):
    """What is computed in."""
    return np.float64 if dtype == "float64" else np.float32


def _exponential(keys, shape, dtype, device):
    low, high, _, _ = _words(keys, shape)
    kind = _kind(dtype)
    rest = _share(low ^ _LOW, high ^ _LOW, kind)
    found = np.where(high >> np.uint64(31), -np.log1p(-rest), -np.log(_share(low, high, kind)))
    return found.astype(dtype)


def _normal(keys, shape, dtype, device):
    low, high, turn, turn_high = _words(keys, shape)
    kind = _kind(dtype)
    turns = _half_turns(turn, turn_high, kind).astype(np.float64)
    radius = np.sqrt(kind(-2) * np.log(_share(low, high, kind)))
    return (radius * np.cos(np.pi * turns).astype(kind)).astype(dtype)


def _below(keys, n, shape, device):
    low, high, _, _ = _words(keys, shape)
    n = np.asarray(n, np.int64).view(np.uint64)
    n_low, n_high = n & _LOW, n >> _HALF
    middle = high * n_low + (low * n_low >> _HALF)
    other = low * n_high + (middle & _LOW)
    product = high * n_high + (middle >> _HALF) + (other >> _HALF)
    return np.where(n == 0, _long(low, high), product).view(np.int64)


def _hits(keys, p, shape, device):
    low, high, _, _ = _words(keys, shape)
    p = np.asarray(p, np.float64 if p.dtype == np.float64 else np.float32)
    bound = np.where((p > 0) & (p < 1), p, 0) * p.dtype.type(2.0**64)
    return (p >= 1) | (_long(low, high) < bound.astype(np.uint64))


# ---------------------------------------------------------------- Poisson

FEW, FEW_BLOCKS, MANY_BLOCKS = 12.0, 32, 64
"""Up to which rate shares are multiplied; blocks of words after which counting, or trying, ends."""


def _poisson(keys, rates, shape, dtype, device):
    kind = _kind(dtype)
    n = math.prod(shape)
    keys, rates, places = np.broadcast_arrays(keys, rates, np.arange(n).reshape(shape))
    whole = rates.shape
    keys, rates, places = keys.ravel(), rates.ravel().astype(kind), places.ravel()
    found = rates.copy()
    for count, chosen in ((_few, rates < FEW), (_many, (rates >= FEW) & (rates < np.inf))):
        found[chosen] = count(keys[chosen], places[chosen], rates[chosen], kind)
    return found.reshape(whole).astype(dtype)


def _few(keys, places, rates, kind):
    """How many shares are multiplied before they are below exp(-rate): Knuth."""
    end, product = np.exp(-rates), np.ones_like(rates)
    counts = np.zeros_like(rates)
    is_open = np.ones(rates.shape, bool)
    for block in range(FEW_BLOCKS):
        if not is_open.any():
            break
        words = philox(keys, places, block)
        for low, high in (words[:2], words[2:]):
            product *= _share(low, high, kind)
            is_open &= product > end
            counts += is_open
    return counts


def _many(keys, places, rates, kind):
    """Transformed rejection, PTRS."""
    wide = kind(0.931) + kind(2.53) * np.sqrt(rates)
    tall = kind(0.02483) * wide - kind(0.059)
    scale = kind(1.1239) + kind(1.1328) / (wide - kind(3.4))
    sure = kind(0.9277) - kind(3.6224) / (wide - kind(2))
    counts, is_open = np.floor(rates), np.ones(rates.shape, bool)
    for block in range(MANY_BLOCKS):
        if not is_open.any():
            break
        a, b, c, d = philox(keys, places, block)
        u, v = kind(0.5) * _half_turns(a, b, kind), _share(c, d, kind)
        near = kind(0.5) - abs(u)
        count = np.floor((kind(2) * tall / near + wide) * u + rates + kind(0.43))
        height = np.log(v * scale / (tall / (near * near) + wide))
        is_inside = (count >= 0) & ((near >= kind(0.013)) | (v <= near))
        is_taken = is_inside & (height <= _log_chance(np.maximum(count, 0), rates, kind))
        is_taken |= (near >= kind(0.07)) & (v <= sure)
        counts = np.where(is_open & is_taken, count, counts)
        is_open &= ~is_taken
    return counts


def _log_chance(count, rate, kind):
    """The logarithm of a count's probability; without large terms that cancel (Loader 2000)."""
    more = (count - rate) / rate
    deviance = rate * ((kind(1) + more) * np.log1p(more) - more)
    tail = (kind(1 / 12) - kind(1 / 360) / (count * count)) / count
    found = -deviance - tail - kind(0.5) * np.log(kind(2 * math.pi) * count)
    return np.where(count == 0, -rate, found)


# ---------------------------------------------------------------- declarations


def _infer(avals, shape, dtype, device):
    whole = broadcast("random numbers", *(a.shape for a in avals), shape)
    return aval(whole, dtypes.named(dtype), device or common_device(avals))


def _drawn(name, summary, evaluate, *, dtype=None, **others):
    """An operation of keys; its dtype is an attribute where it is not fixed."""
    infer, attributes = _infer, ("shape", "dtype", "device")
    if dtype is not None:
        infer, attributes = functools.partial(_infer, dtype=dtype), ("shape", "device")
    return operation(
        name, "random", summary=summary, infer=infer, evaluate=evaluate, attributes=attributes,
        **others,
    )  # fmt: skip


_KEYS = ((("index", (1,)),), (("index", (2, 1)),))
_OF_FLOATS = tuple(
    {"shape": (2, 3), "dtype": dtype, "device": None} for dtype in ("float64", "float32")
)
_FLOATS = {
    "partials": lambda keys, y, **attrs: (None,),
    "probe": Probe(shapes=_KEYS, dtypes=("float32",), attrs=_OF_FLOATS),
}

random_uniform = _drawn(
    "random_uniform",
    "Numbers uniform in [0, 1) of keys and places.",
    _uniform,
    source="Salmon et al. 2011.",
    **_FLOATS,
)
random_exponential = _drawn(
    "random_exponential",
    "Exponentially distributed numbers of keys and places, of rate 1.",
    _exponential,
    source="Salmon et al. 2011.",
    **_FLOATS,
)
random_normal = _drawn(
    "random_normal",
    "Normally distributed numbers of keys and places, of mean 0 and variance 1.",
    _normal,
    source="Salmon et al. 2011; Box and Muller 1958.",
    **_FLOATS,
)
random_below = _drawn(
    "random_below",
    "Integers of keys and places, uniform below a bound.",
    _below,
    dtype="int64",
    probe=Probe(
        shapes=tuple(
            (*keys, ("index", bounds)) for keys, bounds in zip(_KEYS, ((1,), (3,)), strict=True)
        ),
        dtypes=("float64",),
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
        shapes=((("index", (1,)), ()), (("index", (2, 1)), ()), (("index", (1,)), (3,))),
        domain=(-0.2, 1.2),
        dtypes=("float64", "float32"),
        attrs=({"shape": (2, 3), "device": None},),
    ),
    source="Salmon et al. 2011.",
)
random_poisson = _drawn(
    "random_poisson",
    "Counts of a rate by keys and places: Poisson distributed.",
    _poisson,
    partials=lambda keys, rates, y, **attrs: (None, 0.0),
    probe=Probe(
        shapes=((("index", (1,)), ()), (("index", (2, 1)), ()), (("index", (1,)), (3,))),
        domain=((0.0, 3.0), (0.0, 40.0)),
        dtypes=("float64", "float32"),
        attrs=_OF_FLOATS,
        slopes=(1,),
    ),
    note="No slope by the rate: it is 0 but where a count changes.",
    source="Hormann 1993; Salmon et al. 2011.",
)
