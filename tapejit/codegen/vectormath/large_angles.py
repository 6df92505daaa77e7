"""Angles of any size, modulo pi/2: an integer product with the right bits of 2/pi.

For a = m·2^e with a whole m of 53 bits, only the bits of 2/pi from weight 2^(1-e) down change
a·2/pi modulo 4.  192 of them are multiplied by m; the first two bits of the product are the
quadrant, the rest is a fraction, exact to 2^-126 (no double comes closer than 2^-62 to a multiple
of pi/2), which is brought to [-1/2, 1/2] and multiplied by pi/2.

One lane at a time, about 10 ns: only lanes above a bound in angles.py come here.  Integers only,
so every CPU gives the same bits.  Source: Payne and Hanek 1983.
"""

from __future__ import annotations

from tapejit.codegen.vectormath.coefficients import HALF_PI_BITS, TWO_OVER_PI_BITS

_REDUCE = f"""
@tj_two_over_pi = private constant [{len(TWO_OVER_PI_BITS)} x i64] [
  {", ".join(f"i64 {word}" for word in TWO_OVER_PI_BITS)}
]
declare i64 @llvm.fshl.i64(i64, i64, i64)
declare i128 @llvm.ctlz.i128(i128, i1)

define internal {{ double, double, i64 }} @tj_reduce_angle(double %x) noinline cold nounwind {{
  %bits = bitcast double %x to i64
  %biased = lshr i64 %bits, 52
  %fraction = and i64 %bits, {(1 << 52) - 1}
  %m = or i64 %fraction, {1 << 52}
  %start = sub i64 %biased, {1075 - 62}
  %word = lshr i64 %start, 6
  %shift = and i64 %start, 63
  %p0 = getelementptr i64, ptr @tj_two_over_pi, i64 %word
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %p3 = getelementptr i64, ptr %p0, i64 3
  %w0 = load i64, ptr %p0
  %w1 = load i64, ptr %p1
  %w2 = load i64, ptr %p2
  %w3 = load i64, ptr %p3
  %f0 = call i64 @llvm.fshl.i64(i64 %w0, i64 %w1, i64 %shift)
  %f1 = call i64 @llvm.fshl.i64(i64 %w1, i64 %w2, i64 %shift)
  %f2 = call i64 @llvm.fshl.i64(i64 %w2, i64 %w3, i64 %shift)
  %top = mul i64 %m, %f0
  %wide_top = zext i64 %top to i128
  %high_part = shl i128 %wide_top, 64
  %wide_m = zext i64 %m to i128
  %wide_1 = zext i64 %f1 to i128
  %wide_2 = zext i64 %f2 to i128
  %middle_part = mul i128 %wide_m, %wide_1
  %low_product = mul i128 %wide_m, %wide_2
  %low_part = lshr i128 %low_product, 64
  %two_parts = add i128 %high_part, %middle_part
  %turns = add i128 %two_parts, %low_part
  %raised = add i128 %turns, {1 << 125}
  %quarter = lshr i128 %raised, 126
  %whole = shl i128 %quarter, 126
  %left = sub i128 %turns, %whole
  %mask = ashr i128 %left, 127
  %flipped = xor i128 %left, %mask
  %size = sub i128 %flipped, %mask
  %zeros = call i128 @llvm.ctlz.i128(i128 %size, i1 false)
  %normal = shl i128 %size, %zeros
  %leading = lshr i128 %normal, 64
  %angle = mul i128 %leading, {HALF_PI_BITS}
  %more_zeros = call i128 @llvm.ctlz.i128(i128 %angle, i1 false)
  %result = shl i128 %angle, %more_zeros
  %high_wide = lshr i128 %result, 75
  %high_whole = trunc i128 %high_wide to i64
  %low_wide = lshr i128 %result, 22
  %low_raw = trunc i128 %low_wide to i64
  %low_whole = and i64 %low_raw, {(1 << 53) - 1}
  %high_number = sitofp i64 %high_whole to double
  %low_number = sitofp i64 %low_whole to double
  %all_zeros = add i128 %zeros, %more_zeros
  %exponent = trunc i128 %all_zeros to i64
  %high_exponent = sub i64 {1023 - 50}, %exponent
  %low_exponent = sub i64 {1023 - 103}, %exponent
  %high_power = shl i64 %high_exponent, 52
  %low_power = shl i64 %low_exponent, 52
  %sign_wide = and i128 %mask, {1 << 63}
  %sign = trunc i128 %sign_wide to i64
  %high_factor_bits = or i64 %high_power, %sign
  %low_factor_bits = or i64 %low_power, %sign
  %high_factor = bitcast i64 %high_factor_bits to double
  %low_factor = bitcast i64 %low_factor_bits to double
  %high = fmul double %high_number, %high_factor
  %low = fmul double %low_number, %low_factor
  %n = trunc i128 %quarter to i64
  %r0 = insertvalue {{ double, double, i64 }} poison, double %high, 0
  %r1 = insertvalue {{ double, double, i64 }} %r0, double %low, 1
  %r2 = insertvalue {{ double, double, i64 }} %r1, i64 %n, 2
  ret {{ double, double, i64 }} %r2
}}
"""


def reduce_lanes(b, a):
    """a = n·pi/2 + high + low for finite a >= 2^16, lane by lane: high, low, n as integers."""
    b.helpers[_REDUCE] = None
    element, whole = b.format.element, f"i{b.format.bits}"
    parts = ["poison"] * 3
    for lane in range(b.lanes):
        x = b.line("", f"extractelement {b.type('f')} {a.name}, i32 {lane}").name
        if element == "float":
            x = b.line("", f"fpext float {x} to double").name
        pair = b.line("", f"call {{ double, double, i64 }} @tj_reduce_angle(double {x})").name
        values = [
            b.line("", f"extractvalue {{ double, double, i64 }} {pair}, {part}").name
            for part in range(3)
        ]
        if element == "float":
            values = _narrow(b, *values)
        for part, (kind, value) in enumerate(zip("ffi", values, strict=True)):
            scalar = element if kind == "f" else whole
            text = f"insertelement {b.type(kind)} {parts[part]}, {scalar} {value}, i32 {lane}"
            parts[part] = b.line(kind, text).name
    return [b.value(kind, name) for kind, name in zip("ffi", parts, strict=True)]


def _narrow(b, high, low, n):
    """A pair of doubles as a pair of floats, and n as i32."""
    first = b.line("", f"fptrunc double {high} to float").name
    taken = b.line("", f"fpext float {first} to double").name
    rest = b.line("", f"fsub double {high}, {taken}").name
    rest = b.line("", f"fadd double {rest}, {low}").name
    second = b.line("", f"fptrunc double {rest} to float").name
    return first, second, b.line("", f"trunc i64 {n} to i32").name
