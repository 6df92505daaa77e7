"""The small language in which the vector math is written.

A function is Python code over `Value`s, run once to print it: every operator appends one line of
LLVM IR to the `Body` that the values belong to.

    @defines("cosh", ulp=1.5)
    def _cosh(b, x):
        half = exp_scaled(b, at_most(b, x.abs(), b.pick(711.0, 90.0)), 1)
        return half + 0.25 / half

Written once, such a function is printed for both element types and any number of lanes.  Numbers
among the operands become constants in every lane; `b.pick`, `b.constant` and `b.polynomial` choose
by element type.  Two operations are the whole reason for care:

    b.fma(x, y, z)      x·y + z; one rounding is better, two are good enough
    b.residue(x, y, z)  x·y + z where z nearly cancels the product: its last bits are the result

With fused multiply-add both are that instruction.  Without (x86 before Haswell, Rosetta), where
LLVM would call libm's `fma` for every lane, the first is a product and a sum, the second Dekker's
product of halves: results may then differ in the last bit, and only then.

A function may set `b.rare` to (mask of lanes, implementation): if any lane is rare, everything is
computed again by that other implementation, in a cold function.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from tapejit.codegen.vectormath import coefficients

# ---------------------------------------------------------------- data


class Format(NamedTuple):
    """An element type."""

    element: str
    bits: int
    mantissa: int

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


FORMATS = {"f64": Format("double", 64, 52), "f32": Format("float", 32, 23)}
ATTRIBUTES = "nounwind willreturn memory(none)"


class Function(NamedTuple):
    """One function of the library."""

    name: str
    n_operands: int
    implement: Callable
    ulp: float
    """No error is larger, for either element type, with or without fused multiply-add."""


FUNCTIONS: dict[str, Function] = {}


def defines(name: str, ulp: float):
    """Register a function of the library under its name in the expression language."""

    def register(implement):
        n_operands = implement.__code__.co_argcount - 1
        FUNCTIONS[name] = Function(name, n_operands, implement, ulp)
        return implement

    return register


def symbol(fn: str, dtype: str, lanes: int) -> str:
    """The name under which a function is defined.

    >>> symbol("exp", "f64", 8)
    'tj_exp_f64x8'
    """
    return f"tj_{fn}_{dtype}x{lanes}"


# ---------------------------------------------------------------- values


class Value:
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


class Body:
    """The text of one function while it is being written."""

    def __init__(self, function: Function, dtype: str, lanes: int, has_fma: bool = True):
        self.function = function
        self.dtype = dtype
        self.lanes = lanes
        self.has_fma = has_fma
        self.format = FORMATS[dtype]
        self.name = symbol(function.name, dtype, lanes)
        self.lines: list[str] = []
        self.declarations: dict[str, None] = {}
        self.helpers: dict[str, None] = {}
        self.rare: tuple[Value, Callable] | None = None

    def type(self, kind):
        """LLVM's name of a kind of vector."""
        element = {"f": self.format.element, "i": f"i{self.format.bits}", "m": "i1"}[kind]
        return f"<{self.lanes} x {element}>"

    def text(self, operand, kind):
        """A value's name, or a Python number as a splat constant."""
        if isinstance(operand, Value):
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
        # LLVM writes a float as the double of the same value
        return f"0x{struct.unpack('<Q', struct.pack('<d', self.rounded(number)))[0]:016X}"

    def rounded(self, number):
        """A Python number rounded to the element type."""
        if self.dtype == "f64":
            return number
        return struct.unpack("<f", struct.pack("<f", number))[0]

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
        return Value(self, kind, name)

    def value(self, kind, name):
        """A value that was written earlier."""
        return Value(self, kind, name)

    def intrinsic(self, name, *operands):
        """Call an elementwise LLVM intrinsic on float vectors."""
        vector = self.type("f")
        full = f"llvm.{name}.v{self.lanes}f{self.format.bits}"
        self.declarations[f"declare {vector} @{full}({', '.join([vector] * len(operands))})"] = None
        names = ", ".join(f"{vector} {self.text(v, 'f')}" for v in operands)
        return self.line("f", f"call {vector} @{full}({names})")

    def fma(self, x, y, z):
        """x · y + z with one rounding, or two."""
        if self.has_fma:
            return self.intrinsic("fma", x, y, z)
        return x * y + z

    def residue(self, x, y, z):
        """x · y + z with one rounding, where z is close to -x · y."""
        if self.has_fma:
            return self.intrinsic("fma", x, y, z)
        product = x * y
        (x, x_low), (y, y_low) = self.halves(x), self.halves(y)
        error = x_low * y_low - (((product - x * y) - x_low * y) - x * y_low)
        return (product + z) + error

    def halves(self, x):
        """x as a sum of two numbers whose products are exact (Veltkamp)."""
        factor = 2.0 ** ((self.format.mantissa + 2) // 2) + 1.0
        if isinstance(x, Value):
            scaled = x * factor
            high = scaled - (scaled - x)
            return high, x - high
        x = self.rounded(x)
        scaled = self.rounded(x * factor)
        high = self.rounded(scaled - self.rounded(scaled - x))
        return high, x - high

    def select(self, mask, a, b):
        """`a` where the mask holds, else `b`; at least one of them is a value, or both floats."""
        kind = next((v.kind for v in (a, b) if isinstance(v, Value)), "f")
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

    # ------------------------------------------------------------ the definition

    def define(self) -> str:
        """The whole definition, a cold part included."""
        operands = [Value(self, "f", name) for name in ("%x", "%y")[: self.function.n_operands]]
        result = self.function.implement(self, *operands)
        vector = self.type("f")
        taken = ", ".join(f"{vector} {operand.name}" for operand in operands)
        header = f"define {vector} @{self.name}({taken})"
        body = "\n".join(self.lines)
        if self.rare is None:
            return f"{header} {ATTRIBUTES} {{\n{body}\n  ret {vector} {result.name}\n}}\n"
        (mask, implement), self.rare, self.lines = self.rare, None, []
        rare = implement(self, *operands)
        cold = "\n".join(self.lines)
        reduce = f"llvm.vector.reduce.or.v{self.lanes}i1"
        self.declarations[f"declare i1 @{reduce}({self.type('m')})"] = None
        return f"""{header} {ATTRIBUTES} {{
{body}
  %any = call i1 @{reduce}({self.type("m")} {mask.name})
  br i1 %any, label %far, label %near
near:
  ret {vector} {result.name}
far:
  %rare = tail call {vector} @{self.name}_rare({taken})
  ret {vector} %rare
}}

define internal {vector} @{self.name}_rare({taken}) noinline cold {ATTRIBUTES} {{
{cold}
  ret {vector} {rare.name}
}}
"""
