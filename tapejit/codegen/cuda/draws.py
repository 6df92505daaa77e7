"""Random numbers of keys and places in the text of CUDA kernels: ops/random.py says what they are.

Plain functions that become part of a kernel's text, as those of functions.py do.  The arithmetic of
words is exact, so uniform numbers, integers and hits are the same on every card, in the simulator
and in the reference, to the last bit; logarithm and cosine are each machine's own.

Numba widens 32-bit integers, so each result is narrowed by a cast; a product of two of them as
uint64 is one instruction, `mul.wide.u32`.
"""

from __future__ import annotations

import math
from math import inf
from typing import Any

cuda: Any = None
"""The module numba.cuda, or its simulator."""

float32: Any = None
float64: Any = None
int32: Any = None
int64: Any = None
uint32: Any = None
uint64: Any = None
"""Numba's types."""

T: Any = None
"""Stands for float32 or float64."""

# ---------------------------------------------------------------- words


def philox(key, place, block):
    """Four words of 32 bits: Philox4x32-10 of the counter (place, block)."""
    k0 = uint32(uint64(key))
    k1 = uint32(uint64(key) >> uint64(32))
    c0 = uint32(uint64(place))
    c1 = uint32(uint64(place) >> uint64(32))
    c2 = uint32(block)
    c3 = uint32(0)
    for _ in range(10):
        a = uint64(c0) * uint64(3528531795)
        b = uint64(c2) * uint64(3449720151)
        c0 = uint32(uint32(b >> uint64(32)) ^ c1 ^ k0)
        c1 = uint32(b)
        c2 = uint32(uint32(a >> uint64(32)) ^ c3 ^ k1)
        c3 = uint32(a)
        k0 = uint32(k0 + uint32(2654435769))
        k1 = uint32(k1 + uint32(3144134277))
    return c0, c1, c2, c3


def long_word(low, high):
    """Two words as one."""
    return (uint64(high) << uint64(32)) | uint64(low)


def share(low, high):
    """(word + 1/2) / 2**64, of two words: above 0, and 1 at most."""
    whole = T(high) * T(4294967296.0) + T(low)
    return (whole + T(0.5)) * T(5.421010862427522e-20)


def half_turns(low, high):
    """Two words, the upper one signed, as a number of [-1, 1]."""
    return (T(int32(high)) * T(4294967296.0) + T(low)) * T(1.0842021724855044e-19)


# ---------------------------------------------------------------- numbers


def random_uniform_f32(key, place):
    """24 bits."""
    low, _, _, _ = philox(key, place, 0)
    return float32(uint32(low >> uint32(8))) * float32(5.960464477539063e-08)


def random_uniform_f64(key, place):
    """53 bits."""
    low, high, _, _ = philox(key, place, 0)
    return float64(long_word(low, high) >> uint64(11)) * 1.1102230246251565e-16


def random_exponential(key, place):
    """-log of a share, from whichever end is near."""
    low, high, _, _ = philox(key, place, 0)
    if high < uint32(2147483648):
        return -math.log(share(low, high))
    return -math.log1p(-share(uint32(~low), uint32(~high)))


def random_normal(key, place):
    """Box-Muller."""
    low, high, turn, turn_high = philox(key, place, 0)
    radius = math.sqrt(T(-2.0) * math.log(share(low, high)))
    return radius * cuda.libdevice.cospi(half_turns(turn, turn_high))


def random_below_i64(key, place, n):
    """The upper half of a word times n; n is read without a sign, and 0 is 2**64."""
    low, high, _, _ = philox(key, place, 0)
    n_low = uint64(uint32(uint64(n)))
    n_high = uint64(n) >> uint64(32)
    middle = uint64(high) * n_low + (uint64(low) * n_low >> uint64(32))
    other = uint64(low) * n_high + uint64(uint32(middle))
    product = uint64(high) * n_high + (middle >> uint64(32)) + (other >> uint64(32))
    return int64(long_word(low, high)) if n == 0 else int64(product)


def random_hits(key, place, p):
    """Whether a word of 64 bits is below p of them."""
    low, high, _, _ = philox(key, place, 0)
    bound = uint64(p * T(18446744073709551616.0) if 0 < p < 1 else T(0.0))
    return p >= 1 or long_word(low, high) < bound


# ---------------------------------------------------------------- Poisson


def random_poisson(key, place, rate):
    """Counts of a rate."""
    if not rate < T(inf):
        return rate
    return few_events(key, place, rate) if rate < T(12.0) else many_events(key, place, rate)


def few_events(key, place, rate):
    """How many shares are multiplied before they are below exp(-rate): Knuth."""
    end = math.exp(-rate)
    product = T(1.0)
    for block in range(32):
        a, b, c, d = philox(key, place, block)
        product = product * share(a, b)
        if product <= end:
            return T(2 * block)
        product = product * share(c, d)
        if product <= end:
            return T(2 * block + 1)
    return T(64.0)


def many_events(key, place, rate):
    """Transformed rejection, PTRS; about 1.2 tries."""
    wide = T(0.931) + T(2.53) * math.sqrt(rate)
    tall = T(0.02483) * wide - T(0.059)
    scale = T(1.1239) + T(1.1328) / (wide - T(3.4))
    sure = T(0.9277) - T(3.6224) / (wide - T(2.0))
    for block in range(64):
        a, b, c, d = philox(key, place, block)
        u = T(0.5) * half_turns(a, b)
        v = share(c, d)
        near = T(0.5) - abs(u)
        count = cuda.libdevice.floor((T(2.0) * tall / near + wide) * u + rate + T(0.43))
        if near >= T(0.07) and v <= sure:
            return count
        if count >= T(0.0) and (near >= T(0.013) or v <= near):
            height = math.log(v * scale / (tall / (near * near) + wide))
            if height <= log_chance(count, rate):
                return count
    return cuda.libdevice.floor(rate)


def log_chance(count, rate):
    """The logarithm of a count's probability; without large terms that cancel (Loader 2000)."""
    if count == T(0.0):
        return -rate
    more = (count - rate) / rate
    deviance = rate * ((T(1.0) + more) * math.log1p(more) - more)
    tail = (T(1.0 / 12.0) - T(1.0 / 360.0) / (count * count)) / count
    return -deviance - tail - T(0.5) * math.log(T(6.283185307179586) * count)
