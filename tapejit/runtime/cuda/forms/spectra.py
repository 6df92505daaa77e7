"""Fourier transforms on a GPU, as products with small Fourier matrices.

A length n = p q is transformed in four steps: products with the matrix of length p across rows of
q, a rotation of each number, the same along the rows, and a transposition.  With p near the root of
n that is n (p + q) multiplications, by the library that is fastest at them; matrices and rotations
are computed where they are used.  Source: Bailey 1990, FFTs in external or hierarchical memory.

A length whose prime factors are all above LARGEST is a convolution with a chirp, of a length that
can be cut: j k is (j^2 + k^2 - (k - j)^2) / 2.  Source: Bluestein 1970.

Angles are whole multiples of a turn over n, counted exactly and brought within half a turn.
"""

from __future__ import annotations

import math

from tapejit.build import Ref
from tapejit.ops.arithmetic import mul
from tapejit.ops.complexes import complex_, conj, real
from tapejit.ops.copies import cast
from tapejit.ops.linear import matmul
from tapejit.ops.movement import cat, iota, permute, reshape, slice_, unslice
from tapejit.ops.selection import where
from tapejit.ops.trigonometry import cos, sin
from tapejit.registry import OPS, Kind

DIRECT = 64
"""Lengths up to which one matrix does it: cut in two, a product is too small to be fast."""
LARGEST = 2048
"""The longest Fourier matrix, 32 MB of complex64."""

# ---------------------------------------------------------------- forms


def dft(kind: Kind, x: Ref, axes, inverse, scale) -> Ref:
    """Along all axes."""
    z = _as_complex(kind, x)
    for axis in axes:
        z = _along(z, axis, inverse)
    return _scaled(z, scale, [x.shape[axis] for axis in axes])


def rdft(kind: Kind, x: Ref, axes, scale, doubled) -> Ref:
    """The first half along the last axis."""
    last, lengths = axes[-1], [x.shape[axis] for axis in axes]
    z = _first(_along(_as_complex(kind, x), last, False), last, lengths[-1] // 2 + 1)
    for axis in axes[:-1]:
        z = _along(z, axis, False)
    return _scaled(_inner_times(z, 2.0, last, lengths[-1]) if doubled else z, scale, lengths)


def irdft(kind: Kind, x: Ref, axes, n, scale, halved) -> Ref:
    """The other half is the conjugate of this one, backwards; what it gives is real."""
    last, lengths = axes[-1], [x.shape[axis] for axis in axes[:-1]] + [n]
    z = _as_complex(kind, x)
    if halved:
        z = _inner_times(z, 0.5, last, n)
    for axis in axes[:-1]:
        z = _along(z, axis, True)
    rest = n - z.shape[last]
    if rest > 0:
        starts, steps = [0] * z.ndim, [1] * z.ndim
        starts[last], steps[last] = rest, -1
        shape = (*z.shape[:last], rest, *z.shape[last + 1 :])
        z = cat(
            z, conj(slice_(z, starts=tuple(starts), lengths=shape, steps=tuple(steps))), axis=last
        )
    return _scaled(real(_along(_first(z, last, n), last, True)), scale, lengths)


FORMS = {"dft": dft, "rdft": rdft, "irdft": irdft}

# ---------------------------------------------------------------- one axis


def _along(z: Ref, axis: int, inverse: bool) -> Ref:
    """The sum, not scaled, along one axis."""
    order = [*(a for a in range(z.ndim) if a != axis), axis]
    lines = permute(z, axes=tuple(order))
    shape, n = lines.shape, z.shape[axis]
    done = reshape(_lines(reshape(lines, shape=(z.aval.size // n, n)), inverse), shape=shape)
    return permute(done, axes=tuple(order.index(a) for a in range(z.ndim)))


def _lines(z: Ref, inverse: bool) -> Ref:
    """Along the rows of a matrix."""
    count, n = z.shape
    if n == 1:
        return z
    p = _divisor(n)
    if p == 1:
        return _by_chirp(z, inverse) if n > LARGEST else matmul(z, _matrix(z, n, inverse))
    q = n // p
    z = matmul(_matrix(z, p, inverse), reshape(z, shape=(count, p, q)))
    z = reshape(mul(z, _rotations(z, p, q, n, inverse)), shape=(count * p, q))
    z = reshape(_lines(z, inverse), shape=(count, p, q))
    return reshape(permute(z, axes=(0, 2, 1)), shape=(count, n))


def _matrix(like: Ref, n: int, inverse: bool) -> Ref:
    return _rotations(like, n, n, n, inverse)


def _rotations(like: Ref, rows: int, columns: int, n: int, inverse: bool) -> Ref:
    """exp(-2 pi i j k / n), or its conjugate, for j of the rows and k of the columns."""
    j, k = (iota(like, shape=(rows, columns), axis=axis) for axis in (0, 1))
    return complex_(*_turned(like, j * k, n, inverse))


def _turned(like: Ref, turns: Ref, n: int, inverse: bool) -> tuple[Ref, Ref]:
    """Real and imaginary part of exp(-2 pi i turns / n), or of its conjugate."""
    turn = OPS["remainder"](turns, n)
    turn = where(2 * turn > n, turn - n, turn)  # within half a turn, which is more exact
    angle = cast(turn, dtype=like.dtype.to_real().name) * (2.0 * math.pi / n)
    return cos(angle), sin(angle) if inverse else -sin(angle)


def _divisor(n: int) -> int:
    """The divisor that is nearest to the root, from below, and no longer than a matrix may be; 1
    for what is not cut."""
    if n <= DIRECT:
        return 1
    return next(p for p in range(min(math.isqrt(n), LARGEST), 0, -1) if n % p == 0)


def _by_chirp(z: Ref, inverse: bool) -> Ref:
    """With c(k) = exp(-pi i k^2 / n): c(k) times the sum of z(j) c(j) / c(k - j)."""
    count, n = z.shape
    length = _longer(2 * n - 1)
    k = iota(z, shape=(1, n), axis=1)
    chirp = complex_(*_turned(z, k * k, 2 * n, inverse))
    around = iota(z, shape=(1, length), axis=1)
    away = where(2 * around > length, length - around, around)  # from 0, both ways round
    parts = _turned(z, away * away, 2 * n, not inverse)
    back = complex_(*[where(away < n, part, 0.0) for part in parts])
    given = unslice(mul(z, chirp), shape=(count, length), starts=(0, 0), steps=(1, 1))
    spectrum = mul(_lines(given, False), _lines(back, False))
    return mul(_first(_lines(spectrum, True), 1, n), mul(chirp, 1.0 / length))


def _longer(n: int) -> int:
    """The next number from n on that is a power of two, or 3, 5 or 7 quarters of one."""
    power = 1 << max(n.bit_length() - 3, 0)
    return next(m * power for m in (4, 5, 6, 7, 8) if m * power >= n)


# ---------------------------------------------------------------- what is around it


def _as_complex(kind: Kind, x: Ref) -> Ref:
    dtype = kind.aval.dtype.to_complex()
    return x if x.dtype is dtype else cast(x, dtype=dtype.name)


def _first(z: Ref, axis: int, n: int) -> Ref:
    """The first n elements along an axis."""
    if z.shape[axis] == n:
        return z
    shape = (*z.shape[:axis], n, *z.shape[axis + 1 :])
    return slice_(z, starts=(0,) * z.ndim, lengths=shape, steps=(1,) * z.ndim)


def _inner_times(z: Ref, factor: float, axis: int, n: int) -> Ref:
    """Of a half spectrum of n numbers, the elements that stand for two, times a number."""
    k = iota(z, shape=z.shape, axis=axis)
    is_inner = OPS["logical_and"](k >= 1, k < (n + 1) // 2)
    return where(is_inner, mul(z, factor), z)


def _scaled(z: Ref, scale: str, lengths: list[int]) -> Ref:
    n = math.prod(lengths)
    return z if scale == "none" else mul(z, 1.0 / (n if scale == "full" else math.sqrt(n)))
