"""Our own vector mathematics, as LLVM IR text.

`emit_library` prints a module that defines functions such as ``tj_exp_f64x8``: one vector in, one
vector out.  `symbol` and `declaration` are what a kernel needs to call them.  Every function is
one straight line of vector arithmetic, written once for both element types and any number of
lanes; the tables in coefficients.py differ.

Why not libm or libmvec: those give other bits on another system or at another vector width.
Here every fused multiply-add is explicit, nothing may be contracted or reassociated, so a lane has
the same bits at every width and optimisation level.  Only NaN payloads are unspecified.  Integer
parts come from adding a large number and reading the bits, never from fptosi, whose result is
poison on NaN.

Start at `_exp` and `_log`, the models for the rest; `_Body` and `_Value` are the small language in
which they are written.  Not here: a choice of width, caching, compilation (codegen's and
runtime's), and complex numbers.  Processors without fused multiply-add get the same bits from
libm's ``fma``, slowly.

sin, cos and tan of an argument above `LARGE_ANGLE` go, lane by lane, to scalar libm in a cold
function; the module then declares ``@sin`` or ``@sinf`` and so on.

Largest error seen, against mpmath on 16 to 40 thousand random points each, in ulp; and time an
element in ns on one thread of a shared Zen 4 (clock not steady), f64x8 and f32x16, called:

            f64          f32                   f64          f32
          ulp    ns   ulp    ns             ulp    ns   ulp    ns
    exp    1.00  1.16  1.02  0.61   atan   0.93  1.40  1.11  0.64
    exp2   0.91  1.23  0.84  0.65   atan2  1.15  2.03  1.31  0.98
    expm1  1.28  1.09  1.18  0.56   sinh   1.61  1.28  1.58  0.64
    log    0.74  1.26  0.76  0.60   cosh   1.21  1.05  1.32  0.54
    log2   0.65  1.46  0.71  0.72   tanh   1.39  1.52  1.42  0.73
    log10  0.63  1.54  0.59  0.76   asinh  0.83  2.22  0.85  1.02
    log1p  0.74  1.56  0.85  0.78   acosh  0.73  2.10  0.79  0.97
    sin    0.81  1.28  0.82  0.60   atanh  0.78  2.09  0.79  1.02
    cos    0.83  1.29  0.79  0.62   pow    0.94  4.75  0.89  2.18
    tan    1.12  1.78  1.11  0.83   erf    0.98  3.15  0.98  1.18
    asin   1.03  1.13  1.02  0.54   erfc   1.51  3.14  1.51  1.21
    acos   0.99  1.23  1.08  0.60

Sources (facts only, own code): Cody and Waite 1980 (reductions); fdlibm (log, sin, cos, the
zeros of atan2, the cases of pow); Boldo, Daumas, Li 2009 (exact reduction with fma); Dekker 1971
(double-word arithmetic); Shepherd and Laframboise 1981 (erfc as (1+2a) exp(a²) erfc(a)).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tapejit.codegen import coefficients
from tapejit.expressions import MATH

# ---------------------------------------------------------------- data


class _Format(NamedTuple):
    element: str
    bits: int
    mantissa: int
    suffix: str

    @property
    def bias(self):
        return (1 << (self.bits - self.mantissa - 2)) - 1

    @property
    def sign(self):
        return 1 << (self.bits - 1)

    @property
    def magic(self):
        """1.5 · 2^mantissa: adding it rounds to an integer, which the low bits then hold."""
        return 1.5 * 2.0**self.mantissa


FORMATS = {"f64": _Format("double", 64, 52, ""), "f32": _Format("float", 32, 23, "f")}
LARGE_ANGLE = {"f64": 2.0**28, "f32": 2.0**16}

_ATTRIBUTES = "nounwind willreturn memory(none)"
_IMPLEMENTATIONS: dict[str, Callable] = {}


def symbol(fn: str, dtype: str, lanes: int) -> str:
    """The name under which `emit_library` defines a function.

    >>> symbol("exp", "f64", 8)
    'tj_exp_f64x8'
    """
    return f"tj_{fn}_{dtype}x{lanes}"


def declaration(fn: str, dtype: str, lanes: int) -> str:
    """The line that a calling module needs.

    >>> declaration("exp", "f64", 8)
    'declare <8 x double> @tj_exp_f64x8(<8 x double>) nounwind willreturn memory(none)'
    """
    vector = f"<{lanes} x {FORMATS[dtype].element}>"
    operands = ", ".join([vector] * MATH[fn])
    return f"declare {vector} @{symbol(fn, dtype, lanes)}({operands}) {_ATTRIBUTES}"


def emit_library(functions: Iterable[tuple[str, str, int]]) -> str:
    """A complete LLVM module that defines each (function, dtype, lanes), and nothing unneeded."""
    declarations: dict[str, None] = {}
    definitions = []
    for fn, dtype, lanes in dict.fromkeys(functions):
        body = _Body(fn, dtype, lanes)
        definitions.append(body.define(_IMPLEMENTATIONS[fn]))
        declarations.update(body.declarations)
    return "\n".join([*declarations, "", *definitions])


def _defines(fn):
    def register(implementation):
        _IMPLEMENTATIONS[fn] = implementation
        return implementation

    return register


# ---------------------------------------------------------------- the language


class _Value:
    """A vector in a function's text: floats ("f"), integers of the same width ("i"), mask ("m")."""

    __slots__ = ("body", "kind", "name")

    def __init__(self, body, kind, name):
        self.body = body
        self.kind = kind
        self.name = name

    def _binary(self, f, i, other, swapped=False):
        opcode = f if self.kind == "f" else i
        pair = (other, self) if swapped else (self, other)
        names = ", ".join(self.body.text(v, self.kind) for v in pair)
        return self.body.line(self.kind, f"{opcode} {self.body.type(self.kind)} {names}")

    def __add__(self, other):
        return self._binary("fadd", "add", other)

    def __radd__(self, other):
        return self._binary("fadd", "add", other, swapped=True)

    def __sub__(self, other):
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other):
        return self._binary("fsub", "sub", other, swapped=True)

    def __mul__(self, other):
        return self._binary("fmul", "mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self._binary("fdiv", "", other)

    def __rtruediv__(self, other):
        return self._binary("fdiv", "", other, swapped=True)

    def __and__(self, other):
        return self._binary("", "and", other)

    def __or__(self, other):
        return self._binary("", "or", other)

    def __xor__(self, other):
        return self._binary("", "xor", other)

    def __lshift__(self, count):
        return self._binary("", "shl", count)

    def __rshift__(self, count):
        return self._binary("", "lshr", count)

    def __neg__(self):
        return self.body.line("f", f"fneg {self.body.type('f')} {self.name}")

    def __invert__(self):
        return self ^ 1

    def __lt__(self, other):
        return self._compare("olt", "slt", other)

    def __gt__(self, other):
        return self._compare("ogt", "sgt", other)

    def equals(self, other):
        """Lanes that are equal; a NaN equals nothing."""
        return self._compare("oeq", "eq", other)

    def is_nan(self):
        """Lanes that are NaN."""
        return self._compare("uno", "", self)

    def _compare(self, f, i, other):
        opcode = f"fcmp {f}" if self.kind == "f" else f"icmp {i}"
        body = self.body
        text = f"{opcode} {body.type(self.kind)} {self.name}, {body.text(other, self.kind)}"
        return body.line("m", text)

    def bits(self):
        """The same lanes read as integers."""
        return self._cast("i")

    def floats(self):
        """The same lanes read as floats."""
        return self._cast("f")

    def _cast(self, kind):
        body = self.body
        return body.line(kind, f"bitcast {body.type(self.kind)} {self.name} to {body.type(kind)}")

    def abs(self):
        """Absolute values."""
        return self.body.intrinsic("fabs", self)

    def sqrt(self):
        """Square roots, correctly rounded."""
        return self.body.intrinsic("sqrt", self)


class _Body:
    """The text of one function while it is being written."""

    def __init__(self, fn, dtype, lanes):
        self.fn = fn
        self.dtype = dtype
        self.lanes = lanes
        self.format = FORMATS[dtype]
        self.name = symbol(fn, dtype, lanes)
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self.large = None
        self.rare: tuple | None = None  # a mask of lanes, and what computes them

    def type(self, kind):
        """LLVM's name of a kind of vector."""
        element = {"f": self.format.element, "i": f"i{self.format.bits}", "m": "i1"}[kind]
        return f"<{self.lanes} x {element}>"

    def text(self, operand, kind):
        """A value's name, or a Python number as a splat constant."""
        if isinstance(operand, _Value):
            assert operand.kind == kind, (self.name, operand.kind, kind)
            return operand.name
        if kind == "f":
            return f"splat ({self.format.element} {self.hexadecimal(operand)})"
        if kind == "m":
            return "splat (i1 true)" if operand else "splat (i1 false)"
        width = self.format.bits
        return (
            f"splat (i{width} {operand if operand < 1 << (width - 1) else operand - (1 << width)})"
        )

    def hexadecimal(self, number):
        """A number as LLVM writes it, rounded to the element type."""
        if self.dtype == "f32":  # LLVM writes a float as the double of the same value
            (number,) = struct.unpack("<f", struct.pack("<f", number))
        return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"

    def bits_of(self, number):
        """The bits of a Python number in the element type."""
        codes = "<d", "<Q"
        if self.dtype == "f32":
            codes = "<f", "<I"
        return struct.unpack(codes[1], struct.pack(codes[0], number))[0]

    def line(self, kind, text):
        """Append one instruction; its result."""
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return _Value(self, kind, name)

    def intrinsic(self, name, *operands):
        """Call an elementwise LLVM intrinsic on float vectors."""
        vector = self.type("f")
        full = f"llvm.{name}.v{self.lanes}f{self.format.bits}"
        self.declarations[f"declare {vector} @{full}({', '.join([vector] * len(operands))})"] = None
        names = ", ".join(f"{vector} {self.text(v, 'f')}" for v in operands)
        return self.line("f", f"call {vector} @{full}({names})")

    def fma(self, a, b, c):
        """a · b + c with one rounding."""
        return self.intrinsic("fma", a, b, c)

    def select(self, mask, a, b):
        """`a` where the mask holds, else `b`; at least one of them is a value, or both floats."""
        kind = next((v.kind for v in (a, b) if isinstance(v, _Value)), "f")
        vector = self.type(kind)
        names = f"{vector} {self.text(a, kind)}, {vector} {self.text(b, kind)}"
        return self.line(kind, f"select {self.type('m')} {mask.name}, {names}")

    def constant(self, table):
        """The parts of a split constant for this element type."""
        return getattr(coefficients, table)[self.dtype]

    def pick(self, f64, f32):
        """One of two Python numbers, by element type."""
        return f64 if self.dtype == "f64" else f32

    def polynomial(self, table, z):
        """Evaluate a table of coefficients at z."""
        return self.even_and_odd(self.constant(table), z)

    def even_and_odd(self, terms, z):
        """Sum of terms[k] · z^k: Horner's scheme in z² for even and odd k.

        Estrin's scheme has less latency but more instructions, and calls overlap: erf 10 % slower.
        """
        square = z * z
        even, odd = (self.horner(terms[k::2], square) for k in (0, 1))
        return self.fma(odd, z, even)

    def horner(self, terms, z):
        """Sum of terms[k] · z^k, one after the other."""
        total = terms[-1]
        for term in terms[-2::-1]:
            total = self.fma(total, z, term)
        return total

    def copy_sign(self, magnitude, sign):
        """`magnitude` (not negative) with the sign of `sign`."""
        return (magnitude.bits() | (sign.bits() & self.format.sign)).floats()

    def define(self, implementation):
        """Run an implementation and wrap what it wrote into a definition."""
        names = ["%x", "%y"][: MATH[self.fn]]
        result = implementation(self, *(_Value(self, "f", name) for name in names))
        vector = self.type("f")
        header = f"define {vector} @{self.name}({', '.join(f'{vector} {n}' for n in names)})"
        if self.rare is not None:
            return self.define_rare(header, result, *self.rare)
        body = "\n".join(self.lines)
        if self.large is None:
            end = f"  ret {vector} {result.name}\n}}\n"
            return f"{header} {_ATTRIBUTES} {{\n{body}\n{end}"
        end = _large_angle_exit(self, result)
        return f"{header} {_ATTRIBUTES} {{\n{body}\n{end}\n{_large_angle_function(self)}"

    def define_rare(self, header, result, mask, implementation):
        """A definition that leaves for a cold function, all cases in it, if a lane is rare.

        Both give a lane that is not rare the same bits.
        """
        vector, reduce = self.type("f"), f"llvm.vector.reduce.or.v{self.lanes}i1"
        self.declarations[f"declare i1 @{reduce}({self.type('m')})"] = None
        body = "\n".join(self.lines)
        self.lines, self.rare = [], None
        exact = implementation(self, _Value(self, "f", "%x"))
        cold = "\n".join(self.lines)
        return f"""{header} {_ATTRIBUTES} {{
{body}
  %any = call i1 @{reduce}({self.type("m")} {mask.name})
  br i1 %any, label %far, label %near
near:
  ret {vector} {result.name}
far:
  %exact = tail call {vector} @{self.name}_rare({vector} %x)
  ret {vector} %exact
}}

define internal {vector} @{self.name}_rare({vector} %x) noinline cold {_ATTRIBUTES} {{
{cold}
  ret {vector} {exact.name}
}}
"""


# ---------------------------------------------------------------- pieces


def _two_sum(a, b):
    """a + b as an exact pair, for any magnitudes (Knuth)."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def _fast_two_sum(a, b):
    """a + b as an exact pair where a = 0 or |a| >= |b| (Dekker)."""
    s = a + b
    return s, (a - s) + b


def _two_product(b, x, y):
    """x · y as an exact pair."""
    p = x * y
    return p, b.fma(x, y, -p)


def _at_most(b, x, bound):
    """min(x, bound); a NaN stays."""
    return b.select(x > bound, bound, x)


def _at_least(b, x, bound):
    """max(x, bound); a NaN stays."""
    return b.select(x < bound, bound, x)


def _power_of_two(b, biased):
    """2^(biased - bias) for a biased exponent in the range of normal numbers."""
    return (biased << b.format.mantissa).floats()


def _round_to_integer(b, x, factor):
    """n = round(x · factor) as a float, and the raw bits whose low end holds n."""
    raised = b.fma(x, factor, b.format.magic)
    return raised - b.format.magic, raised.bits()


# ---------------------------------------------------------------- exponentials


def _exp_reduce(b, x):
    """x = n·ln2 + r + low, |r| <= ln(2)/2: r, low, and n + 2·bias as an integer."""
    n, raw = _round_to_integer(b, x, b.constant("INV_LN2")[0])
    head, tail, _ = b.constant("LN2")
    rest = b.fma(n, -head, x)  # exact: n has few bits and so has the head
    r = b.fma(n, -tail, rest)
    low = b.fma(n, -tail, rest - r)
    return r, low, raw - (b.bits_of(b.format.magic) - 2 * b.format.bias)


def _exp_tail(b, r, low):
    """exp(r + low) - 1 for |r| <= ln(2)/2, as the pair (r, the rest)."""
    return r, b.fma(r * r, b.polynomial("EXP", r), low)


def _scale(b, x, doubly_biased):
    """x · 2^(doubly_biased - 2·bias) in two steps, so that only the last one may round."""
    half = doubly_biased >> 1
    return x * _power_of_two(b, half) * _power_of_two(b, doubly_biased - half)


def _exp_scaled(b, x, shift):
    """exp(x) / 2^shift for x that is neither far above overflow nor far below underflow."""
    r, _, k = _exp_reduce(b, x)  # its low part is worth a quarter ulp and three instructions
    result = 1.0 + b.fma(r * r, b.polynomial("EXP", r), r)
    return _scale(b, result, k - shift if shift else k)


@_defines("exp")
def _exp(b, x):
    x = _at_least(b, _at_most(b, x, b.pick(710.0, 89.0)), b.pick(-746.0, -104.5))
    return _exp_scaled(b, x, 0)


@_defines("exp2")
def _exp2(b, x):
    x = _at_least(b, _at_most(b, x, b.pick(1025.0, 129.0)), b.pick(-1076.0, -151.0))
    n, raw = _round_to_integer(b, x, 1.0)
    head, middle, last = b.constant("LN2")
    ln2 = head + middle  # the sum of the two, rounded to the element type
    (ln2,) = struct.unpack("<f", struct.pack("<f", ln2)) if b.dtype == "f32" else (ln2,)
    fraction = x - n
    r = fraction * ln2
    low = b.fma(fraction, ln2, -r) + fraction * ((head - ln2) + middle + last)
    r, rest = _exp_tail(b, r, low)
    return _scale(b, 1.0 + (r + rest), raw - (b.bits_of(b.format.magic) - 2 * b.format.bias))


def _expm1_scaled(b, x, shift):
    """(exp(x) - 1) / 2^shift as a pair, for x within the range that the callers clamp to.

    With s = 2^(n-shift), the large parts s - 2^-shift and s·r are added exactly.
    """
    r, low, k = _exp_reduce(b, x)
    r, rest = _exp_tail(b, r, low)
    s = _power_of_two(b, k - (b.format.bias + shift))
    high, error = _fast_two_sum(s - 2.0**-shift, s * r)
    return high, b.fma(s, rest, error)


@_defines("expm1")
def _expm1(b, x):
    clamped = _at_least(b, _at_most(b, x, b.pick(710.0, 89.0)), b.pick(-40.0, -20.0))
    high, low = _expm1_scaled(b, clamped, 1)
    result = (high + low) * 2.0
    # tiny arguments also cover -0 and subnormals, which s·r would round
    return b.select(x.abs() < b.pick(2.0**-54, 2.0**-25), x, result)


@_defines("sinh")
def _sinh(b, x):
    a = x.abs()
    # a quarter of expm1 keeps everything finite up to the overflow of sinh itself
    high, low = _expm1_scaled(b, _at_most(b, a, b.pick(710.5, 89.45)), 2)
    g, g_low = _fast_two_sum(high, low)
    result = (g + (g_low + g / b.fma(g, 4.0, 1.0))) * 2.0
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, b.copy_sign(result, x))


@_defines("cosh")
def _cosh(b, x):
    half = _exp_scaled(b, _at_most(b, x.abs(), b.pick(711.0, 90.0)), 1)
    return half + 0.25 / half


@_defines("tanh")
def _tanh(b, x):
    a = x.abs()
    doubled = _at_most(b, a + a, b.pick(44.0, 20.0))
    high, low = _expm1_scaled(b, doubled, 1)
    h, h_low = _fast_two_sum(high, low)  # half of expm1(2a)
    result = _divide(b, h, h_low, *_fast_two_sum(1.0, h))
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, b.copy_sign(result, x))


# ---------------------------------------------------------------- logarithms


def _log_split(b, x):
    """Positive normal x = 2^(k - bias) · m with m in [sqrt(1/2), sqrt(2)): k as an integer, m."""
    f = b.format
    offset = b.bits_of(math.sqrt(0.5))
    shifted = x.bits() + ((f.bias << f.mantissa) - offset)
    return shifted >> f.mantissa, ((shifted & ((1 << f.mantissa) - 1)) + offset).floats()


def _exponent(b, k, extra=0.0):
    """A biased exponent as a float, less its bias and `extra`; sitofp is slow before AVX-512."""
    base = 2.0**b.format.mantissa
    joined = (k | b.bits_of(base)).floats()
    return joined - (extra + (base + b.format.bias))


def _log_normalised(b, x):
    """k (float) and m for any positive finite x, subnormal ones included."""
    f = b.format
    small = x < 2.0 ** (1 - f.bias)
    lift = f.mantissa + 2
    k, m = _log_split(b, b.select(small, x * 2.0**lift, x))
    return _exponent(b, k, b.select(small, float(lift), 0.0)), m


def _log_tail(b, f):
    """log(1+f) = f - (half - correction): f²/2 and s·(f²/2 + R), fdlibm's form."""
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    return half, s * b.fma(z, b.polynomial("LOG", z), half)


def _log_special(b, x, result):
    """Put in the results for NaN, +inf, negative numbers and zeros."""
    result = b.select(x < math.inf, result, x)
    result = b.select(x < 0.0, math.nan, result)
    return b.select(x.equals(0.0), -math.inf, result)


@_defines("log")
def _log(b, x):
    k, m = _log_normalised(b, x)
    f = m - 1.0
    half, correction = _log_tail(b, f)
    head, tail, _ = b.constant("LN2")
    result = k * head - ((half - b.fma(k, tail, correction)) - f)
    return _log_special(b, x, result)


def _log_to_base(b, x, inverse, unit_head, unit_tail):
    """k·unit + log(m)·inverse, with log(m) and the product as pairs."""
    k, m = _log_normalised(b, x)
    f = m - 1.0
    half, correction = _log_tail(b, f)
    high = f - half
    low = ((f - high) - half) + correction
    product = high * inverse[0]
    rest = b.fma(high, inverse[0], -product) + b.fma(high, inverse[1], low * inverse[0])
    total, error = _fast_two_sum(k * unit_head, product)
    result = total + (error + (b.fma(k, unit_tail, rest) if unit_tail else rest))
    return _log_special(b, x, result)


@_defines("log2")
def _log2(b, x):
    return _log_to_base(b, x, b.constant("INV_LN2"), 1.0, 0.0)


@_defines("log10")
def _log10(b, x):
    return _log_to_base(b, x, b.constant("INV_LN10"), *b.constant("LOG10_2"))


def _log_pair(b, u, low, doublings=0.0):
    """log(u + low) + doublings·ln2 for finite positive normal u; exact in relative terms near 1."""
    k, m = _log_split(b, u)
    # low · 2^-k; k may be too large for that, but then low no longer counts
    scaled = low * _power_of_two(b, 2 * b.format.bias - k)
    scaled = b.select(u > b.pick(2.0**54, 2.0**25), 0.0, scaled)
    return _log_of_pair(b, k, m, scaled, doublings)


def _log_of_pair(b, k, m, scaled, doublings=0.0):
    """log((m + scaled)·2^(k - bias)) + doublings·ln2."""
    exact = m - 1.0
    f = exact + scaled
    left = (exact - f) + scaled
    half, correction = _log_tail(b, f)
    k = _exponent(b, k, -doublings)
    head, tail, _ = b.constant("LN2")
    return k * head - ((half - (b.fma(k, tail, correction) + left)) - f)


@_defines("log1p")
def _log1p(b, x):
    """Lanes in (-1, 2^54) here, 0.2 ns an element faster than with all cases; others leave."""
    b.rare = ~((x > -1.0) & (x < b.pick(2.0**54, 2.0**25))), _log1p_anywhere
    u, low = _two_sum(1.0, x)
    k, m = _log_split(b, u)
    result = _log_of_pair(b, k, m, low * _power_of_two(b, 2 * b.format.bias - k))
    return b.copy_sign(result.abs(), x)  # -0 stays what it is


def _log1p_anywhere(b, x):
    u, low = _two_sum(1.0, x)
    result = _log_pair(b, u, low)
    result = b.select(x < math.inf, result, x)
    result = b.select(x < -1.0, math.nan, result)
    result = b.select(x.equals(-1.0), -math.inf, result)
    return b.select(x.equals(0.0), x, result)


@_defines("asinh")
def _asinh(b, x):
    """log(a + sqrt(a² + 1)) with a², the sum and the root as pairs; log(2a) for large a."""
    a = x.abs()
    square, low = _two_product(b, a, a)
    v, error = _two_sum(square, 1.0)
    root = v.sqrt()
    root_low = (b.fma(-root, root, v) + (error + low)) / (root + root)
    u, error = _fast_two_sum(root, a)
    large = a > b.pick(2.0**28, 2.0**14)
    u_low = b.select(large, 0.0, error + root_low)
    result = _log_pair(b, b.select(large, a, u), u_low, b.select(large, 1.0, 0.0))
    result = b.copy_sign(b.select(a < math.inf, result, a), x)
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, result)


@_defines("acosh")
def _acosh(b, x):
    square, low = _two_product(b, x, x)
    v, error = _fast_two_sum(square, -1.0)
    root = v.sqrt()
    root_low = (b.fma(-root, root, v) + (error + low)) / (root + root)
    root_low = b.select(root > 0.0, root_low, 0.0)  # acosh(1): 0/0 above
    u, error = _fast_two_sum(x, root)
    large = x > b.pick(2.0**28, 2.0**14)
    u_low = b.select(large, 0.0, error + root_low)
    result = _log_pair(b, b.select(large, x, u), u_low, b.select(large, 1.0, 0.0))
    result = b.select(x < math.inf, result, x)
    return b.select(x < 1.0, math.nan, result)


@_defines("atanh")
def _atanh(b, x):
    """log((1+a)/(1-a))/2 as log(1 + 2a/(1-a))/2, the quotient and the sum as pairs."""
    a = x.abs()
    divisor, divisor_low = _fast_two_sum(1.0, -a)
    twice = a + a
    inverse = 1.0 / divisor
    quotient = twice * inverse
    left = b.fma(-quotient, divisor, twice) - quotient * divisor_low
    u, error = _two_sum(quotient, 1.0)
    result = _log_pair(b, u, b.fma(left, inverse, error)) * 0.5
    result = b.select(a.equals(1.0), math.inf, result)
    result = b.select(a > 1.0, math.nan, result)
    result = b.select(a.is_nan(), a, result)
    return b.select(a < b.pick(2.0**-28, 2.0**-14), x, b.copy_sign(result, x))


# ---------------------------------------------------------------- angles


def _angle_reduce(b, a):
    """a = n·pi/2 + high + low for 0 <= a <= LARGE_ANGLE: high, low, and bits whose low end is n."""
    n, raw = _round_to_integer(b, a, b.constant("TWO_OVER_PI")[0])
    head, middle, last = b.constant("HALF_PI")
    u = b.fma(n, -head, a)  # exact, because the head ends in zero bits
    p, error = _two_product(b, n, middle)
    # u is a multiple of the last bit of p, which is what Fast2Sum really needs
    high, rest = _fast_two_sum(u, -p)
    return high, rest - b.fma(n, last, error), raw


def _sine_and_cosine(b, high, low):
    """sin and cos of high + low, |high| <= pi/4, each as a pair (large part, rest)."""
    z = high * high
    sine_rest = b.fma(high * z, b.polynomial("SIN", z), low)
    half = z * 0.5
    cosine = 1.0 - half
    rest = b.fma(z * z, b.polynomial("COS", z), -(high * low))
    return (high, sine_rest), (cosine, ((1.0 - cosine) - half) + rest)


def _flip(b, value, quarter, sign):
    """Negate where bit 1 of `quarter` is set, and again where `sign` (bits) has its top bit."""
    turned = (quarter & 2) << (b.format.bits - 2)
    return (value.bits() ^ (turned ^ sign)).floats()


def _sine(b, x, turn):
    """sin(x + turn·pi/2)."""
    b.large = a = x.abs()
    high, low, raw = _angle_reduce(b, a)
    sine, cosine = _sine_and_cosine(b, high, low)
    quarter = raw + turn if turn else raw
    odd = (quarter & 1).equals(1)
    value = b.select(odd, cosine[0] + cosine[1], sine[0] + sine[1])
    # cos is even, sin odd; and |x| above keeps sin(-0) at -0
    sign = (x.bits() & b.format.sign) if not turn else 0
    return _flip(b, value, quarter, sign)


@_defines("sin")
def _sin(b, x):
    return _sine(b, x, 0)


@_defines("cos")
def _cos(b, x):
    return _sine(b, x, 1)


@_defines("tan")
def _tan(b, x):
    """Quotient of sine and cosine, each a pair, with one division and one correction."""
    b.large = a = x.abs()
    high, low, raw = _angle_reduce(b, a)
    sine, cosine = _sine_and_cosine(b, high, low)
    sine, cosine = _fast_two_sum(*sine), _fast_two_sum(*cosine)
    odd = (raw & 1).equals(1)
    top, top_low = (b.select(odd, c, s) for s, c in zip(sine, cosine, strict=True))
    bottom, bottom_low = (b.select(odd, s, c) for s, c in zip(sine, cosine, strict=True))
    value = _divide(b, top, top_low, bottom, bottom_low)
    return _flip(b, value, raw << 1, x.bits() & b.format.sign)


def _divide(b, top, top_low, bottom, bottom_low):
    """(top + top_low) / (bottom + bottom_low), within little more than half an ulp."""
    inverse = 1.0 / bottom
    quotient = top * inverse
    left = b.fma(-quotient, bottom, top) + b.fma(-quotient, bottom_low, top_low)
    return b.fma(left, inverse, quotient)


def _large_angle_exit(b, result):
    """The end of a function of an angle: return, or leave to the cold function if a lane is large.

        %any = call i1 @llvm.vector.reduce.or.v8i1(<8 x i1> %large)
        br i1 %any, label %far, label %near
    """  # fmt: skip
    vector, name = b.type("f"), f"{b.name}_large"
    reduce = f"llvm.vector.reduce.or.v{b.lanes}i1"
    b.declarations[f"declare i1 @{reduce}({b.type('m')})"] = None
    first = len(b.lines)
    large = (b.large > LARGE_ANGLE[b.dtype]) & (b.large < math.inf)
    tests = "\n".join(b.lines[first:])
    return f"""{tests}
  %any = call i1 @{reduce}({b.type("m")} {large.name})
  br i1 %any, label %far, label %near
near:
  ret {vector} {result.name}
far:
  %exact = tail call {vector} @{name}({vector} %x, {vector} {result.name})
  ret {vector} %exact
}}
"""


def _large_angle_function(b):
    """The cold function: scalar libm for each large lane, the given result for the others."""
    element, vector = b.format.element, b.type("f")
    libm = f"{b.fn}{b.format.suffix}"
    b.declarations[f"declare {element} @{libm}({element}) {_ATTRIBUTES}"] = None
    return f"""define internal {vector} @{b.name}_large({vector} %x, {vector} %y) noinline cold \
{_ATTRIBUTES} {{
entry:
  br label %lane
lane:
  %i = phi i32 [ 0, %entry ], [ %next, %done ]
  %so_far = phi {vector} [ %y, %entry ], [ %result, %done ]
  %angle = extractelement {vector} %x, i32 %i
  %above = fcmp ogt {element} %angle, {b.hexadecimal(LARGE_ANGLE[b.dtype])}
  %below = fcmp olt {element} %angle, {b.hexadecimal(-LARGE_ANGLE[b.dtype])}
  %large = or i1 %above, %below
  br i1 %large, label %call, label %done
call:
  %value = call {element} @{libm}({element} %angle)
  %changed = insertelement {vector} %so_far, {element} %value, i32 %i
  br label %done
done:
  %result = phi {vector} [ %so_far, %lane ], [ %changed, %call ]
  %next = add i32 %i, 1
  %more = icmp ult i32 %next, {b.lanes}
  br i1 %more, label %lane, label %end
end:
  ret {vector} %result
}}
"""


# ---------------------------------------------------------------- inverse functions of angles


def _arcsine_parts(b, a):
    """asin(a) = s + w for a <= 1/2; asin(a) = pi/2 - 2(s + w) above; and where that is."""
    big = a > 0.5
    z = b.select(big, (1.0 - a) * 0.5, a * a)
    s = b.select(big, z.sqrt(), a)  # NaN for a > 1, as it should be
    return big, s, s * z * b.polynomial("ASIN", z)


@_defines("asin")
def _asin(b, x):
    big, s, w = _arcsine_parts(b, x.abs())
    quarter, quarter_low = b.constant("QUARTER_PI")
    high, error = _fast_two_sum(2.0 * quarter, s * -2.0)
    far = high + (error + (2.0 * quarter_low - (w + w)))
    return b.copy_sign(b.select(big, far, s + w), x)


@_defines("acos")
def _acos(b, x):
    """Multiple of pi/2, less asin(x) for small |x| and less or plus 2·(s + w) for large."""
    big, s, w = _arcsine_parts(b, x.abs())
    quarter, quarter_low = b.constant("QUARTER_PI")
    sign = x.bits() & b.format.sign
    turned = b.select(big, sign ^ b.format.sign, sign)
    factor = (b.select(big, 2.0, 1.0).bits() ^ turned).floats()
    negative = x < 0.0
    base = b.select(big, b.select(negative, 4.0 * quarter, 0.0), 2.0 * quarter)
    low = b.select(big, b.select(negative, 4.0 * quarter_low, 0.0), 2.0 * quarter_low)
    high, error = _fast_two_sum(base, -(factor * s))
    return high + (error + b.fma(-factor, w, low))


def _arctangent(b, y, x, negative):
    """Angle of (x, y), both positive and not both infinite; `negative` lanes: of (-x, y).

    The quotient is brought below 1/2 by swapping and by (q - 1)/(q + 1), all within the one
    division; what that subtracted is k·pi/4.  From 1/2 on, n - d is exact.
    """
    swap = y > x
    n, d = b.select(swap, x, y), b.select(swap, y, x)
    middle = n > d * 0.5
    k = b.select(middle, 1.0, 0.0)
    k = b.select(swap, 2.0 - k, k)
    bottom = b.select(middle, n + d, d)
    bottom = b.select(bottom.equals(0.0), 1.0, bottom)  # 0/0 is 0 here
    t = b.select(middle, n - d, n) / bottom
    turned = swap
    if negative is not None:
        k = b.select(negative, 4.0 - k, k)
        turned = swap ^ negative
    t = b.select(turned, -t, t)
    z = t * t
    quarter, quarter_low = b.constant("QUARTER_PI")
    base = k * quarter
    low = b.fma(k, quarter_low, b.fma(k, quarter, -base))
    # the base is 0 or at least pi/4 > |t|
    high, error = _fast_two_sum(base, t)
    return high + (error + b.fma(t * z, b.polynomial("ATAN", z), low))


@_defines("atan")
def _atan(b, x):
    return b.copy_sign(_arctangent(b, x.abs(), 1.0, None), x)


@_defines("atan2")
def _atan2(b, y, x):
    a, c = y.abs(), x.abs()
    limit = b.pick(2.0**1022, 2.0**126)
    huge = (a > limit) | (c > limit)
    factor = b.select(huge, 0.25, 1.0)  # so that the sum of the two is finite
    both = a.equals(math.inf) & c.equals(math.inf)
    scaled_y = b.select(both, 1.0, a * factor)
    scaled_x = b.select(both, 1.0, c * factor)
    # the sign bit, not x < 0: atan2(0, -0) is pi
    negative = x.bits() < 0
    result = b.copy_sign(_arctangent(b, scaled_y, scaled_x, negative), y)
    result = b.select(x.is_nan(), x, result)
    return b.select(y.is_nan(), y, result)


# ---------------------------------------------------------------- powers


def _log_double(b, x):
    """log(x) for positive finite x as a pair with about 2^-66 (f64) or 2^-36 (f32) relative error.

    log(m) = 2s + s·z·(2/3 + z·P(z)) with s = (m-1)/(m+1), z = s²: s, z and the products are pairs.
    """
    k, m = _log_normalised(b, x)
    f = m - 1.0
    bottom = m + 1.0
    bottom_low = (1.0 - bottom) + m
    inverse = 1.0 / bottom
    s = f * inverse
    s_low = (b.fma(-s, bottom, f) - s * bottom_low) * inverse
    z, z_low = _two_product(b, s, s)
    z_low = b.fma(s + s, s_low, z_low)
    third, third_low = b.constant("TWO_THIRDS")
    t, t_low = _fast_two_sum(third, z * b.polynomial("POW", z))
    t_low = t_low + third_low
    w, w_low = _two_product(b, z, t)
    w_low = b.fma(z, t_low, b.fma(z_low, t, w_low))
    v, v_low = _two_product(b, s, w)
    v_low = b.fma(s, w_low, b.fma(s_low, w, v_low))
    head, tail, _ = b.constant("LN2")
    total, first = _fast_two_sum(s + s, v)
    high, second = _fast_two_sum(k * head, total)
    low = b.fma(k, tail, (s_low + s_low) + v_low)
    return _fast_two_sum(high, second + (first + low))


@_defines("pow")
def _pow(b, x, y):
    """exp(y · log|x|) with logarithm and product as pairs, then the cases of C99 F.9.4.4."""
    a = x.abs()
    high, low = _log_double(b, a)
    # 0 and inf need only the right infinity here: y times it then over- or underflows
    high = b.select(a.equals(0.0), -math.inf, high)
    high = b.select(a.equals(math.inf), math.inf, high)
    p, p_low = _two_product(b, y, high)
    p_low = b.select(p.abs() < 2000.0, b.fma(y, low, p_low), 0.0)
    p = _at_least(b, _at_most(b, p, b.pick(710.0, 89.0)), b.pick(-746.0, -104.5))
    r, rest, k = _exp_reduce(b, p)
    # p_low is too large to stay out of the polynomial: p_low · r would be many ulp
    r, rest = _exp_tail(b, *_fast_two_sum(r, rest + p_low))
    result = _scale(b, 1.0 + (r + rest), k)

    whole = b.intrinsic("trunc", y).equals(y)
    half = y * 0.5
    odd = whole & ~b.intrinsic("trunc", half).equals(half)
    sign = b.select(odd, x.bits() & b.format.sign, 0)
    result = (result.bits() | sign).floats()
    negative = (x < 0.0) & (x > -math.inf)
    result = b.select(negative & ~whole, math.nan, result)
    result = b.select(a.equals(1.0) & y.abs().equals(math.inf), 1.0, result)
    result = b.select(x.is_nan(), x, result)
    result = b.select(y.is_nan(), y, result)
    return b.select(x.equals(1.0) | y.equals(0.0), 1.0, result)


# ---------------------------------------------------------------- error function


def _erfc_quotient(b, a):
    """exp(a²)·erfc(a) as a pair: a polynomial in t = (a-4)/(a+4), over 1 + 2a."""
    t = (a - 4.0) / (a + 4.0)
    first, *others = b.constant("ERFCX")
    rest = b.even_and_odd(others, t)
    top = b.fma(t, rest, first)
    top_low = b.fma(t, rest, first - top)
    bottom, bottom_low = _fast_two_sum(a + a, 1.0)  # a >= 1/2 wherever this counts
    inverse = 1.0 / bottom
    quotient = top * inverse
    left = b.fma(-quotient, bottom, top) + b.fma(-quotient, bottom_low, top_low)
    return quotient, left * inverse


def _erfc_far(b, a):
    """erfc(a) for a >= 0.47, the pieces kept as pairs up to the last product."""
    square, low = _two_product(b, a, a)
    r, rest, k = _exp_reduce(b, -square)
    r, rest = _exp_tail(b, *_fast_two_sum(r, rest - low))
    e, e_low = _fast_two_sum(1.0, r + rest)
    quotient, quotient_low = _erfc_quotient(b, a)
    low = b.fma(e, quotient_low, e_low * quotient)
    return _scale(b, b.fma(e, quotient, low), k)


@_defines("erf")
def _erf(b, x):
    a = x.abs()
    near = b.fma(x, b.polynomial("ERF", x * x), x)
    far = 1.0 - _erfc_far(b, _at_most(b, a, b.pick(6.5, 4.5)))
    return b.select(a < 1.0, near, b.copy_sign(far, x))


@_defines("erfc")
def _erfc(b, x):
    a = x.abs()
    y = b.polynomial("ERF", x * x)
    # 1 - (x + x·y), the subtraction that is exact near 1/2 first
    shift = b.select(x < 0.25, 0.0, 0.5)
    near = (1.0 - shift) - b.fma(x, y, x - shift)
    far = _erfc_far(b, _at_most(b, a, b.pick(27.35, 10.25)))
    far = b.select(x < 0.0, 2.0 - far, far)
    return b.select(a < 0.5, near, far)


assert set(_IMPLEMENTATIONS) == set(MATH)
