"""Functions of complex numbers, on their parts: (a, b) -> (real part, imaginary part).

The rules of pairs.py for what computes element by element, written with operations on real rows, so
that all of it fuses.  Each part is right to a few units in the last place over the whole plane:
nothing overflows or cancels on the way, zeros keep their signs at branch cuts, and infinities and
NaN give what C's annex G, and so NumPy, has.  What is needed beyond the dtype's own precision, next
to |z| = 1 in a logarithm, is computed as a sum of two numbers of that dtype.

Sources: Smith 1962 (division); Kahan 1987, Branch cuts (roots, inverse functions: products of roots
of 1 - z and 1 + z, where nothing cancels); Dekker 1971 (squares without an error).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tapejit.ops.arithmetic import copysign
from tapejit.ops.exponential import exp, expm1, log, log1p
from tapejit.ops.powers import hypot, sqrt
from tapejit.ops.rounding import floor
from tapejit.ops.selection import where
from tapejit.ops.trigonometry import asinh, atan2, cos, cosh, sin, sinh
from tapejit.shapes import aval

# ---------------------------------------------------------------- numbers of a dtype


def _half_digits(x):
    """Half the bits of a number, rounded up: 2**-n vanishes squared beside 1."""
    return np.finfo(x.dtype.dtype).nmant // 2 + 2


def _largest(x):
    return float(np.finfo(x.dtype.dtype).max)


def _most_exponent(x):
    """The last whole number whose exponential is not infinite."""
    return float(math.floor(math.log(_largest(x))))


def _number(value, like):
    """A number in the dtype of a row; two numbers alone would be of the default one."""
    return like.builder.literal(value, aval((), like.dtype, like.aval.device))


def _unit(like):
    return _number(1.0, like), _number(0.0, like)


def _select(condition, p, q):
    return where(condition, p[0], q[0]), where(condition, p[1], q[1])


def _is_endless(x):
    """Whether it is infinite or NaN."""
    return x - x != 0.0


def _of_size(x, y):
    """The larger and the smaller size of two numbers, and the ratio of that to this."""
    x, y = abs(x), abs(y)
    large, small = where(x > y, x, y), where(x > y, y, x)
    return large, small, where(small == large, 1.0, small / large)  # both may be 0, or infinite


def _product(x, y):
    """Where 0 stays 0, also times infinity or NaN."""
    of_zero = where(x == 0.0, x * copysign(_number(1.0, x), y), y * copysign(_number(1.0, x), x))
    return where((x == 0.0) | (y == 0.0), of_zero, x * y)


# ---------------------------------------------------------------- arithmetic


def _mul(p, q):
    (a, b), (c, d) = p, q
    return a * c - b * d, a * d + b * c


def _div(p, q):
    """Scaled by the larger part of the divisor."""
    (a, b), (c, d) = p, q
    is_wide = abs(c) >= abs(d)
    large, small = where(is_wide, c, d), where(is_wide, d, c)
    is_zero = (c == 0.0) & (d == 0.0)
    ratio = where(is_zero, 0.0, small / large)
    scale = where(is_zero, abs(large), large + small * ratio)
    near = where(is_zero, a, a + b * ratio), where(is_zero, b, b - a * ratio)
    wide = near[0] / scale, near[1] / scale
    tall = (a * ratio + b) / scale, (b * ratio - a) / scale
    return _select(is_wide, wide, tall)


def _reciprocal(p):
    """As `_div` has it, but for the signs of zeros, and NaN at 0."""
    a, b = p
    is_wide = abs(a) >= abs(b)
    large, small = where(is_wide, a, b), where(is_wide, b, a)
    ratio = small / large
    scale = large + small * ratio
    return _select(is_wide, (1.0 / scale, -ratio / scale), (ratio / scale, -1.0 / scale))


def _lerp(p, q, weight):
    """Exact at both ends."""
    way = q[0] - p[0], q[1] - p[1]
    ahead, back = _mul(weight, way), _mul(way, (1.0 - weight[0], -weight[1]))
    is_first = hypot(*weight) < 0.5
    return _select(is_first, (p[0] + ahead[0], p[1] + ahead[1]), (q[0] - back[0], q[1] - back[1]))


def _sqrt(p):
    """The root of the size and the real part, without cancellation; scaled at the ends."""
    a, b = p
    x, y, n = abs(a), abs(b), _half_digits(a)
    most, least = _largest(a) / 8, float(np.finfo(a.dtype.dtype).tiny) * 4.0**n
    is_huge, is_tiny = (x > most) | (y > most), (x < least) & (y < least)
    one = _number(1.0, a)
    factor = where(is_huge, 1 / 16, where(is_tiny, 4.0**n, one))
    back = where(is_huge, 4.0, where(is_tiny, 0.5**n, one))
    u, v = x * factor, b * factor
    root = sqrt(0.5 * (hypot(u, v) + u))
    other = where(root == 0.0, v, v / (2.0 * root))
    is_endless = y == math.inf
    root, other = where(is_endless, y, root * back), where(is_endless, b, other * back)
    return _select(a >= 0.0, (root, other), (abs(other), copysign(root, b)))


# ---------------------------------------------------------------- exponentials


def _grown(x):
    """e**x as a product, of which the first factor does not overflow where x is just too large."""
    most = _most_exponent(x)
    is_far = x > most
    return exp(where(is_far, x - most, x)), where(is_far, math.exp(most), _number(1.0, x))


def _exp(p):
    a, b = p
    size, rest = _grown(a)
    is_nowhere = (abs(a) == math.inf) & _is_endless(b)
    re = size * (where(is_nowhere, 1.0, cos(b)) * rest)
    im = size * (where(is_nowhere & (a < 0.0), 1.0, sin(b)) * rest)
    return re, where(b == 0.0, b, im)


def _expm1(p):
    a, b = p
    half = sin(0.5 * b)
    re, im = _exp(p)
    return where(a > 40.0, re, _product(expm1(a), cos(b)) - 2.0 * half * half), im


def _sigmoid(p):
    """By an exponential that does not grow."""
    a, b = p
    is_right = a >= 0.0
    small = _exp((-abs(a), where(is_right, -b, b)))
    return _div(_select(is_right, _unit(a), small), (1.0 + small[0], small[1]))


# ---------------------------------------------------------------- logarithms


def _sum(x, y):
    """The sum, and what it lost."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _beyond_circle(x, y):
    """x*x + y*y - 1 for 0 <= x, y < 2, to an ulp or a quarter of eps squared.

    Each number is a head of few bits, whose square is exact, and the rest.
    """
    cut = 1.5 * 2.0 ** (_half_digits(x) - 1)
    heads = [(x + cut) - cut, (y + cut) - cut]
    tails = [x - heads[0], y - heads[1]]
    whole = (heads[0] * heads[0] - 1.0) + heads[1] * heads[1]
    middle, lost = _sum(2.0 * heads[0] * tails[0], 2.0 * heads[1] * tails[1])
    total, left = _sum(whole, middle)
    return total + (left + (lost + (tails[0] * tails[0] + tails[1] * tails[1])))


def _log_size(x, y, lost=None):
    """log of hypot(x + lost, y)."""
    large, small, ratio = _of_size(x, y)
    is_near = (large > 0.5) & (large < 1.75)
    beyond = _beyond_circle(where(is_near, large, 0.0), where(is_near, small, 0.0))
    if lost is not None:
        beyond = beyond + (2.0 * x * lost + lost * lost)
    rest = log1p(where(is_near, beyond, ratio * ratio))
    found = where(is_near, 0.0, log(large)) + 0.5 * rest
    is_endless = (abs(x) == math.inf) | (abs(y) == math.inf)
    return where(is_endless, math.inf, found)


def _log(p):
    a, b = p
    return _log_size(a, b), atan2(b, a)


def _log1p(p):
    a, b = p
    total, lost = _sum(a, _number(1.0, a))
    is_endless = _is_endless(lost)
    return _log_size(total, b, where(is_endless, 0.0, lost)), atan2(b, total)


def _scaled(function: Callable, factor) -> Callable:
    return lambda p: tuple([factor * x for x in function(p)])


# ---------------------------------------------------------------- powers

MOST_PRODUCTS = 100
"""Whole exponents below are products, as NumPy has it."""


def _pow(p, q):
    """Of 0: 1 to the power of 0, 0 where the exponent's real part is positive, else NaN."""
    c, d = q
    known = _known(q)
    if known is not None and _is_whole(known):
        return _product_of_powers(p, int(known.real))
    found = _exp(_mul(q, _log(p)))
    if known is None:
        is_whole = (d == 0.0) & (floor(c) == c) & (abs(c) < float(MOST_PRODUCTS))
        found = _select(is_whole, _whole_power(p, where(is_whole, c, 0.0)), found)
    of_zero = (p[0] == 0.0) & (p[1] == 0.0)
    is_one = (c == 0.0) & (d == 0.0)
    at_zero = where(c > 0.0, 0.0, _number(math.nan, c))
    re, im = where(of_zero, at_zero, found[0]), where(of_zero, at_zero, found[1])
    return where(is_one, 1.0, re), where(is_one, 0.0, im)


def _known(q):
    """What is known of an exponent: a number of the program."""
    kinds = [x.builder.tape.kind(x.row) for x in q]
    if any(kind.op.name != "literal" for kind in kinds):
        return None
    return complex(kinds[0].attrs[0], kinds[1].attrs[0])


def _is_whole(number: complex):
    return not number.imag and number.real.is_integer() and abs(number.real) < MOST_PRODUCTS


def _product_of_powers(p, exponent: int):
    """Of a known one."""
    result, base, n = None, p, abs(exponent)
    while n:
        if n & 1:
            result = base if result is None else _mul(result, base)
        n >>= 1
        base = _mul(base, base)
    if result is None:
        return _unit(p[0])
    return _div(_unit(p[0]), result) if exponent < 0 else result


def _whole_power(p, exponent):
    """By the bits of an exponent."""
    result, base, n = _unit(exponent), p, abs(exponent)
    for bit in range(MOST_PRODUCTS.bit_length()):
        half = floor(0.5 * n)
        grown = _mul(result, base) if bit else base
        result = _select(n != 2.0 * half, grown, result)
        base, n = _mul(base, base), half
    return _select(exponent < 0.0, _div(_unit(exponent), result), result)


# ---------------------------------------------------------------- trigonometry


def _hyperbolic(x):
    """sinh and cosh of a part, and what is to be multiplied last."""
    size, most = abs(x), _most_exponent(x)
    is_far = size > most
    half = 0.5 * exp(size - most)
    sine, cosine = where(is_far, copysign(half, x), sinh(x)), where(is_far, half, cosh(x))
    return sine, cosine, where(is_far, math.exp(most), _number(1.0, x))


def _turn(x, y):
    """cos(y), but for what has no direction and is infinite in any."""
    return where((abs(x) == math.inf) & _is_endless(y), 1.0, cos(y))


def _sinh(p):
    x, y = p
    sine, cosine, rest = _hyperbolic(x)
    return _product(sine, _turn(x, y) * rest), _product(cosine, sin(y) * rest)


def _cosh(p):
    x, y = p
    sine, cosine, rest = _hyperbolic(x)
    return cosine * (_turn(x, y) * rest), _product(sine, sin(y) * rest)


def _tanh(p):
    """The quotient of sinh and cosh, made real; 1 where the rest vanishes beside it."""
    x, y = p
    size, sine, turn = abs(x), sinh(x), cos(y)
    is_far = size > float(_half_digits(x))
    share = sine * sine + turn * turn
    re = where(is_far, copysign(_number(1.0, x), x), sine * cosh(x) / share)
    across = sin(y) * turn
    im = where(is_far, across * 4.0 * exp(-2.0 * size), across / share)
    re = where(_is_endless(y) & (size < math.inf), y - y, re)
    im = where(_is_endless(y) & (size == math.inf), 0.0, im)
    return where(x == 0.0, x, re), where(y == 0.0, y, im)


# ---------------------------------------------------------------- inverse functions


def _is_small(p):
    """Whether z**2 vanishes beside 1."""
    limit = 0.5 ** _half_digits(p[0])
    return (abs(p[0]) < limit) & (abs(p[1]) < limit)


def _arc(p):
    """The real parts of asin and acos, and the imaginary part of asin."""
    x, y = p
    (a, b), (c, d) = _sqrt((1.0 - x, -y)), _sqrt((1.0 + x, y))
    limit = 2.0 ** _half_digits(x)
    is_large = (abs(x) > limit) | (abs(y) > limit)
    sine = where(is_large, atan2(x, abs(y)), atan2(x, a * c - b * d))
    cosine = where(is_large, atan2(abs(y), x), 2.0 * atan2(a, c))
    height = where(is_large, copysign(_log_size(x, y) + math.log(2.0), y), asinh(a * d - b * c))
    is_middle = x == 0.0
    return (
        where(is_middle | _is_small(p), x, sine),
        where(is_middle, math.pi / 2, cosine),
        where(_is_small(p), y, height),
    )


def _asin(p):
    sine, _, height = _arc(p)
    return sine, height


def _acos(p):
    _, cosine, height = _arc(p)
    return cosine, -height


def _acosh(p):
    re, im = _acos(p)
    return abs(im), copysign(re, p[1])


def _atanh(p):
    x, y = p
    eps = float(np.finfo(x.dtype.dtype).eps)
    u, v = abs(x), abs(y)
    gap = 1.0 - u
    re = 0.25 * log1p(4.0 * u / (gap * gap + y * y))
    re = where((gap == 0.0) & (v < eps), 0.5 * (math.log(2.0) - log(v)), re)
    im = 0.5 * atan2(2.0 * y, gap * (1.0 + u) - y * y)
    is_large = (u > 2.0 / eps) | (v > 2.0 / eps)
    large, _, ratio = _of_size(x, y)
    far = where(u < v, ratio, 1.0) / large / (1.0 + ratio * ratio)
    far = where((u == math.inf) | (v == math.inf), 0.0, far)
    is_known = (y == y) & ((x == x) | (v == math.inf))
    turned = where(is_known, copysign(_number(math.pi / 2, y), y), math.nan)
    re, im = where(is_large, far, re), where(is_large, turned, im)
    is_small = _is_small(p)
    return where(is_small | (x == 0.0), x, copysign(re, x)), where(is_small, y, im)


def _rotated(function: Callable) -> Callable:
    """f(i z) / i, by a function f with f(-z) = -f(z) and f of the conjugate the conjugate of f."""

    def rotated(p):
        im, re = function((p[1], p[0]))
        return re, im

    return rotated


# ---------------------------------------------------------------- the table

FUNCTIONS: dict[str, Callable] = {
    "add": lambda p, q: (p[0] + q[0], p[1] + q[1]),
    "sub": lambda p, q: (p[0] - q[0], p[1] - q[1]),
    "mul": _mul,
    "div": _div,
    "lerp": _lerp,
    "neg": lambda p: (-p[0], -p[1]),
    "conj": lambda p: (p[0], -p[1]),
    "square": lambda p: ((p[0] - p[1]) * (p[0] + p[1]) + 0.0, 2.0 * (p[0] * p[1])),
    "reciprocal": _reciprocal,
    "abs": lambda p: hypot(*p),
    "angle": lambda p: atan2(p[1], p[0]),
    "sqrt": _sqrt,
    "rsqrt": lambda p: _div(_unit(p[0]), _sqrt(p)),
    "pow": _pow,
    "exp": _exp,
    "exp2": lambda p: _exp((math.log(2.0) * p[0], math.log(2.0) * p[1])),
    "expm1": _expm1,
    "sigmoid": _sigmoid,
    "log": _log,
    "log1p": _log1p,
    "log2": _scaled(_log, 1.0 / math.log(2.0)),
    "log10": _scaled(_log, 1.0 / math.log(10.0)),
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "sin": _rotated(_sinh),
    "cos": lambda p: _cosh((-p[1], p[0])),
    "tan": _rotated(_tanh),
    "asin": _asin,
    "acos": _acos,
    "atan": _rotated(_atanh),
    "asinh": _rotated(_asin),
    "acosh": _acosh,
    "atanh": _atanh,
}
"""On parts of operands -> those of the result, or a real result."""
