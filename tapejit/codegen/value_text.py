"""The values of one loop as Python expressions: what texts for people and for GPUs share.

`Values` prints, for a loop of a kernel, the right-hand side of every node, the flat index of every
operand, and the parts of reductions; loop_text.py and codegen/cuda put them into functions.

    v3     node 3                      i0      index along axis 0
    x0 y1  input 0, output 1           s2_0    stride of operand 2 (inputs first) along axis 0
    n0     length of axis 0

and behind each of them the loop's `tag`, which tells the loops of a row kernel apart.  Functions
come from scalar_math.py here; where they have other names, a subclass says so.
"""

from __future__ import annotations

from tapejit.codegen.loop_memory import operands_of
from tapejit.errors import KernelError
from tapejit.expressions import MATH
from tapejit.plan import LINKED, LoopKernel, Output

FLOATS = ("f64", "f32")
CONVERSION = {"f64": "float64", "f32": "float32", "i64": "int64", "i32": "int32"}
"""NumPy's names of dtypes."""
_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
    "ne": "!=",
}  # fmt: skip
_LOGIC = {"and": "and", "or": "or"}
_FLOAT_ONLY = ("div", "sqrt", "copysign")
_LIMIT = {"i64": 2**63 - 1, "i32": 2**31 - 1}


def tag_of(number: int) -> str:
    """What the names of a row kernel's loop end in: nothing for the first, then b, c... z, bb..."""
    return _letters(number) if number else ""


def _letters(number):
    last = "abcdefghijklmnopqrstuvwxyz"[number % 26]
    return (_letters(number // 26) if number >= 26 else "") + last


class Values:
    """Prints the values of one loop and notes in `used` the names that they need."""

    logic = _LOGIC
    """How truth values are joined."""

    def __init__(self, kernel: LoopKernel, tag: str, used: set[str]):
        self.kernel, self.tag, self.used = kernel, tag, used
        self.inner = kernel.rank - 1
        self.operands = operands_of(kernel)

    def use(self, name: str) -> str:
        """The name, noted."""
        self.used.add(name)
        return name

    # ------------------------------------------------------------ nodes

    def literal(self, value, dtype: str) -> str:
        """A number."""
        if dtype == "bool":
            return str(bool(value))
        if dtype not in FLOATS:
            return f"{self.use(CONVERSION[dtype])}({int(value)})"
        return self.float_literal(float(value), dtype)

    def float_literal(self, value: float, dtype: str) -> str:
        """A float; a float64 is Python's own."""
        text = repr(value)
        if text.lstrip("-") in ("inf", "nan"):
            self.use(text.lstrip("-"))
        return text if dtype == "f64" else f"{self.use('float32')}({text})"

    def value(self, i: int) -> str:
        """What node `i` is called."""
        return f"v{i}{self.tag}"

    def node(self, i: int) -> str:
        """The right-hand side that computes node `i`."""
        fn, dtype, operands = self.kernel.nodes[i]
        if fn == "literal":
            return self.literal(operands[0], dtype)
        if fn == "load":
            element = f"x{operands[0]}{self.tag}[{self.place(operands[0])}]"
            return f"{element} != 0" if dtype == "bool" else element  # a byte, where it is no array
        if fn == "index":
            if dtype not in ("i64", "i32"):
                raise KernelError(
                    f"codegen: an index is i64 or i32, not {dtype}\n  try  a cast node after it"
                )
            return f"{self.use(CONVERSION[dtype])}({self.index(operands[0])})"
        source = self.kernel.nodes[operands[-1]].dtype
        values = [self.value(node) for node in operands]
        if fn == "cast":
            return self.cast(dtype, source, values[0])
        return self.call(fn, dtype, source, values)

    def call(self, fn: str, dtype: str, source: str, values: list[str]) -> str:
        """A function of tapejit.expressions, or a user's, on numbers of dtype `source`."""
        is_int = source in ("i64", "i32")
        if source not in FLOATS and (fn in MATH or fn in _FLOAT_ONLY):
            raise KernelError(f"codegen: no {fn} of {source}\n  try  a cast node before it")
        if fn.startswith(LINKED):  # it may give an integer, or a truth
            return f"{self.use(CONVERSION[dtype])}({self.use(fn)}({', '.join(values)}))"
        if fn in _INFIX:
            # Numba widens int32 arithmetic to int64
            return self.narrowed(f"{values[0]} {_INFIX[fn]} {values[1]}", dtype)
        if fn in self.logic:
            return f"{values[0]} {self.logic[fn]} {values[1]}"
        if fn == "select":
            return f"{values[1]} if {values[0]} else {values[2]}"
        if fn == "not":
            return f"not {values[0]}"
        if fn in ("neg", "abs"):
            return self.narrowed(f"-{values[0]}" if fn == "neg" else f"abs({values[0]})", dtype)
        if is_int and fn in ("floor", "ceil", "trunc", "round"):
            return values[0]
        return self.function(f"{fn}_int" if is_int else fn, dtype, values)

    def narrowed(self, text: str, dtype: str) -> str:
        """Arithmetic of int32 that stays int32."""
        return f"{self.use('int32')}({text})" if dtype == "i32" else text

    def function(self, fn: str, dtype: str, values: list[str]) -> str:
        """A call of a function of scalar_math.py, which may give a wider number."""
        text = f"{self.use({'round': 'round_even'}.get(fn, fn))}({', '.join(values)})"
        return text if dtype == "f64" else f"{self.use(CONVERSION[dtype])}({text})"

    def cast(self, dtype: str, source: str, value: str) -> str:
        """A number in another dtype."""
        if dtype == source:
            return value
        if dtype == "bool":
            return f"{value} != 0"
        if dtype == "f64":  # Numba has no float(bool)
            return f"{self.use('float64') if source == 'bool' else 'float'}({value})"
        if dtype != "f32" and source in FLOATS:
            to_int = "to_int64" if dtype == "i64" else "to_int32"
            return f"{self.use(CONVERSION[dtype])}({self.use(to_int)}({value}))"
        return f"{self.use(CONVERSION[dtype])}({value})"

    # ------------------------------------------------------------ memory

    def index(self, axis: int) -> str:
        """The name of the index along an axis."""
        return f"i{axis}"

    def place(self, k: int) -> str:
        """The flat index of operand `k` at the loop's indices."""
        parts = []
        for axis, step in enumerate(self.operands[k].steps):
            if step == "1":
                parts.append(self.index(axis))
            elif step == "s":
                parts.append(f"{self.index(axis)} * s{k}_{axis}{self.tag}")
        return " + ".join(parts) or "0"

    def target(self, j: int) -> str:
        """An element of output `j`."""
        return f"y{j}{self.tag}[{self.place(len(self.kernel.inputs) + j)}]"

    def check_output(self, j: int, output: Output):
        """Raise KernelError where an output's node has another dtype than its memory."""
        given = self.kernel.nodes[output.node].dtype
        if given != output.operand.dtype:
            raise KernelError(
                f"codegen: output {j} is {output.operand.dtype}, its node {output.node} is "
                f"{given}\n  try  a cast node before it"
            )

    # ------------------------------------------------------------ reductions

    def neutral(self, output: Output) -> str:
        """What a reduction begins with."""
        reduce, dtype = output.reduce, output.operand.dtype
        if reduce in ("sum", "prod"):
            if dtype == "bool":
                raise KernelError(f"codegen: no {reduce} of bool\n  try  a cast node before it")
            return self.literal(0 if reduce == "sum" else 1, dtype)
        if dtype == "bool":
            return str(reduce == "min")
        if dtype in FLOATS:
            return self.literal(float("-inf" if reduce == "max" else "inf"), dtype)
        return self.literal(-_LIMIT[dtype] - 1 if reduce == "max" else _LIMIT[dtype], dtype)

    def join(self, output: Output, left: str, right: str) -> str:
        """Text that joins two partial results of a reduction."""
        dtype = output.operand.dtype
        if dtype == "bool":
            return f"{left} {self.logic['or' if output.reduce == 'max' else 'and']} {right}"
        if output.reduce in ("max", "min"):
            return self.extreme(f"{output.reduce}imum", dtype, left, right)
        return self.narrowed(f"{left} {'+' if output.reduce == 'sum' else '*'} {right}", dtype)

    def extreme(self, name: str, dtype: str, left: str, right: str) -> str:
        """The larger ("maximum") or the smaller of two numbers."""
        return f"{self.use(name)}({left}, {right})"
