"""Random numbers of keys and places in the text of CUDA kernels: ops/random.py says what they are.

Plain functions that become part of a kernel's text, as those of functions.py do.  The arithmetic of
words is exact, so uniform numbers, integers and hits are the same on every card, in the simulator
and in the reference, to the last bit; logarithm and cosine are each machine's own.

Numba widens 32-bit integers, so each result is narrowed by a cast; a product of two of them as
uint64 is one instruction, `mul.wide.u32`.
"""

from __future__ import annotations

import math
from typing import Any

cuda: Any = None
"""The module numba.cuda, or its simulator."""

boolean: Any = None
float32: Any = None
float64: Any = None
int32: Any = None
int64: Any = None
uint32: Any = None
uint64: Any = None
"""Numba's types."""

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


# ---------------------------------------------------------------- numbers


def random_uniform_f32(key, place):
    """24 bits."""
    low, _, _, _ = philox(key, place, 0)
    return float32(uint32(low >> uint32(8))) * float32(5.960464477539063e-08)


def random_uniform_f64(key, place):
    """53 bits."""
    low, high, _, _ = philox(key, place, 0)
    return float64(long_word(low, high) >> uint64(11)) * 1.1102230246251565e-16


def random_exponential_f32(key, place):
    """-log((word + 1/2) / 2**32), from whichever end is near."""
    low, _, _, _ = philox(key, place, 0)
    if low < uint32(2147483648):
        return -math.log((float32(low) + float32(0.5)) * float32(2.3283064365386963e-10))
    rest = uint32(uint32(4294967295) - low)
    return -math.log1p(-(float32(rest) + float32(0.5)) * float32(2.3283064365386963e-10))


def random_exponential_f64(key, place):
    """The same with 64 bits."""
    low, high, _, _ = philox(key, place, 0)
    word = long_word(low, high)
    if word < uint64(9223372036854775808):
        return -math.log((float64(word) + 0.5) * 5.421010862427522e-20)
    rest = uint64(18446744073709551615) - word
    return -math.log1p(-(float64(rest) + 0.5) * 5.421010862427522e-20)


def random_normal_f32(key, place):
    """Box-Muller."""
    low, _, turn, _ = philox(key, place, 0)
    share = (float32(low) + float32(0.5)) * float32(2.3283064365386963e-10)
    angle = float32(int32(turn)) * float32(4.656612873077393e-10)
    return math.sqrt(float32(-2.0) * math.log(share)) * cuda.libdevice.cospif(angle)


def random_normal_f64(key, place):
    """Box-Muller."""
    low, high, turn, turn_high = philox(key, place, 0)
    share = (float64(long_word(low, high)) + 0.5) * 5.421010862427522e-20
    angle = float64(int64(long_word(turn, turn_high))) * 1.0842021724855044e-19
    return math.sqrt(-2.0 * math.log(share)) * cuda.libdevice.cospi(angle)


def random_below_i64(key, place, n):
    """The upper half of a word times n; n is read without a sign, and 0 is 2**64."""
    low, high, _, _ = philox(key, place, 0)
    n_low = uint64(uint32(uint64(n)))
    n_high = uint64(n) >> uint64(32)
    middle = uint64(high) * n_low + (uint64(low) * n_low >> uint64(32))
    other = uint64(low) * n_high + uint64(uint32(middle))
    product = uint64(high) * n_high + (middle >> uint64(32)) + (other >> uint64(32))
    return int64(long_word(low, high)) if n == 0 else int64(product)


def random_hits_f32(key, place, p):
    """Whether a word of 64 bits is below p of them."""
    low, high, _, _ = philox(key, place, 0)
    bound = uint64(p * float32(18446744073709551616.0) if 0 < p < 1 else float32(0.0))
    return p >= 1 or long_word(low, high) < bound


def random_hits_f64(key, place, p):
    """The same."""
    low, high, _, _ = philox(key, place, 0)
    bound = uint64(p * 18446744073709551616.0 if 0 < p < 1 else 0.0)
    return p >= 1 or long_word(low, high) < bound
