"""mod, fmod and floordiv: exact, as their definitions are.

For a quotient below 2^50 (f64; 2^21, f32) and its nearest integer n, x - n·y is exact: a multiple
of the last bit of y no larger than y/2.  What is left is to move it to the sign that is wanted,
and to bring down n.  All other quotients, and zeros, infinities and divisors at the ends of the
range, go to a cold function with libm's fmod, which is exact everywhere too.

mod and floordiv are Python's % and //, fmod is C's.  Source: CPython's float_divmod (signs of
zero, infinite divisors), which NumPy and PyTorch follow.
"""

from __future__ import annotations

from tapejit.codegen.vectormath.language import defines


def nearest(b, x, y):
    """n = round(x/y) as a float, and x - n·y; `b.rare` gets the lanes where that is not exact."""
    quotient = x / y
    limit = 2.0 ** (b.format.mantissa - 2)
    low, high = b.pick((2.0**-900, 2.0**900), (2.0**-90, 2.0**100))
    size = y.abs()
    # the sign of a zero x is lost on the way
    usual = (quotient.abs() < limit) & (size > low) & (size < high) & (x.abs() > 0.0)
    n = (quotient + b.format.magic) - b.format.magic
    return ~usual, n, b.residue(-n, y, x)


def have_opposite_signs(x, y):
    """Lanes whose sign bits differ."""
    return (x.bits() ^ y.bits()) < 0


def zero_with_sign(b, value, sign):
    """`value`; a zero gets the sign of `sign`."""
    return b.select(value.equals(0.0), b.copy_sign(value.abs(), sign), value)


def moved(b, r, y, sign):
    """r, plus |y| with the sign of `sign` if r has the other sign; a zero gets that sign."""
    step = b.copy_sign(y.abs(), sign)
    r = b.select(have_opposite_signs(r, sign) & ~r.equals(0.0), r + step, r)
    return zero_with_sign(b, r, sign)


def exact_fmod(b, x, y):
    """libm's fmod in every lane."""
    return b.line("f", f"frem {b.type('f')} {x.name}, {y.name}")


@defines("mod", ulp=0.5)
def _mod(b, x, y):
    rare, _, r = nearest(b, x, y)
    b.rare = rare, lambda b, x, y: moved(b, exact_fmod(b, x, y), y, y)
    return moved(b, r, y, y)


@defines("fmod", ulp=0.5)
def _fmod(b, x, y):
    rare, _, r = nearest(b, x, y)
    b.rare = rare, exact_fmod
    return moved(b, r, y, x)


@defines("floordiv", ulp=0.5)
def _floordiv(b, x, y):
    rare, n, r = nearest(b, x, y)
    b.rare = rare, _floordiv_anywhere
    below = have_opposite_signs(r, y) & ~r.equals(0.0)
    return zero_with_sign(b, b.select(below, n - 1.0, n), x / y)


def _floordiv_anywhere(b, x, y):
    r = exact_fmod(b, x, y)
    below = have_opposite_signs(r, y) & ~r.equals(0.0)
    near = (x - r) / y
    near = b.select(below, near - 1.0, near)
    whole = b.intrinsic("floor", near)
    whole = b.select((near - whole) > 0.5, whole + 1.0, whole)
    quotient = x / y
    return b.select(y.equals(0.0), quotient, zero_with_sign(b, whole, quotient))
