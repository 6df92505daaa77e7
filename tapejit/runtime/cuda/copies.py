"""Copies and casts between arrays on a GPU, and what kernels lack: bits of integers and floats.

Copies move elements as whole words, whatever they mean: a complex128 as two int64 along an axis of
its own, so that any dtype can be copied and all bits stay.  Casts are for dtypes that loop kernels
do not take; those that they take are cast in kernels, and fuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from tapejit import dtypes
from tapejit.codegen.cuda.indices import with_indices
from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import (
    Argument,
    Function,
    Launch,
    Launches,
    index_for,
    span_of,
)  # fmt: skip
from tapejit.dtypes import DType
from tapejit.plan import KernelStep, LoopKernel, Node, Output, View
from tapejit.plan import Operand as Walk
from tapejit.registry import Operand
from tapejit.schedule.views import is_contiguous

# ---------------------------------------------------------------- copies

_WORDS = {1: ("u8", 1), 2: ("u16", 1), 4: ("i32", 1), 8: ("i64", 1), 16: ("i64", 2)}
"""By bytes of an element: what it is moved as, and how many of them it is."""


def copy_launches(source: Operand, target: Operand, block: int) -> Launches:
    """View 0 becomes view 1: two operands of one shape and dtype, neither empty."""
    assert source.shape == target.shape and source.dtype is target.dtype, (source, target)
    word, count = _WORDS[source.dtype.itemsize]
    lengths = (*source.shape, count) if count > 1 else source.shape or (1,)
    walks, views = [], []
    for number, operand in enumerate((source, target)):
        strides = operand.strides or (0,)
        if count > 1:
            strides = (*(stride * count for stride in operand.strides), 1)
        walks.append(Walk(word, _steps(strides, "s" if number else "0")))
        views.append(View(number, 0, lengths, strides))
    kernel = LoopKernel(
        len(lengths), (walks[0],), (Node("load", word, (0,)),), (Output(0, walks[1], None),)
    )
    return launches_of(KernelStep(kernel, lengths, tuple(views)), block)


def _steps(strides, standing):
    """How a kernel walks along each axis: by one along the last, by strides; or it stays."""
    steps = [standing if stride == 0 else "s" for stride in strides]
    if strides[-1] == 1:
        steps[-1] = "1"
    return "".join(steps)


# ---------------------------------------------------------------- element by element

BLOCKS = 4096
"""Of a launch, at most; each thread then takes several elements."""

_PARAMETERS = {"uint8": "u8", "int8": "i8", "int16": "i16", "float16": "f16"}

INTEGERS = {
    "bitwise_and": "v0 & v1",
    "bitwise_or": "v0 | v1",
    "bitwise_xor": "v0 ^ v1",
    "bitwise_not": "~v0",
    "pow": """
        r = int64(1)
        if v1 < 0:
            r = int64(0)
            if v0 == 1 or (v0 == -1 and (v1 & 1) == 0):
                r = int64(1)
            elif v0 == -1:
                r = int64(-1)
        b, e = int64(v0), int64(v1)
        while e > 0:
            if e & 1:
                r = r * b
            b = b * b
            e = e >> 1
        r""",
}
"""Of integers v0, v1: what loop kernels have no function for.  The last line is the result.
Negative powers are rounded towards 0, as in PyTorch."""

FLOATS = {
    "nextafter": "cuda.libdevice.nextafter(v0, v1)",
    "exponent_of": """
        r = 0
        if v0 - v0 == 0 and v0 != 0:
            r = cuda.libdevice.ilogb(v0) + 1
        r""",
}
"""The same of floats; libdevice's functions of float32 have an f behind their names."""


def cast_launches(source: Operand, target: Operand, block: int) -> Launches:
    """View 1, row-major, becomes view 0 in another dtype; neither is empty."""
    code = "v0"
    if target.dtype is dtypes.bool_:
        code = "v0 != 0"
    elif source.dtype.is_floating_point and not target.dtype.is_floating_point:
        code = "int64(v0)"
    return _each(code, [source], target, block)


def has_text(name: str, dtype: DType) -> bool:
    """Whether an operation with a result of this dtype is in INTEGERS or FLOATS."""
    if name == "nextafter":
        return dtype.kernel is not None
    return name in FLOATS or (name in INTEGERS and not dtype.is_inexact)


def text_launches(name: str, sources: Sequence[Operand], target: Operand, block: int) -> Launches:
    """An operation of those; operands broadcast, the last view is the row-major result."""
    code = INTEGERS.get(name) or FLOATS[name]
    if name == "bitwise_not" and target.dtype is dtypes.bool_:
        code = "v0 == 0"
    if name in FLOATS and sources[0].dtype.itemsize < 8:
        code = re.sub(r"(libdevice\.\w+)", r"\1f", code)
    return _each(code, sources, target, block)


def _each(code: str, sources: Sequence[Operand], target: Operand, block: int) -> Launches:
    """A kernel that computes the text from v0, v1... for each element.

    A cast from int8 to float16 along two axes, before its indices have a width (indices.py):

        def kernel(x0, y0, n, n1, s0_0, s0_1):
            for i in range(cuda.grid(1), n, cuda.gridsize(1)):
                v0 = x0[i // n1 * s0_0 + i % n1 * s0_1]
                y0[i] = float16(v0)
    """
    assert is_contiguous(target.shape, target.strides), target
    numbers: dict[str, int] = {}
    lines = [
        f"v{k} = {_read(f'x{k}[{_place(k, source, target.shape, numbers)}]', source.dtype)}"
        for k, source in enumerate(sources)
    ]
    *before, result = code.strip("\n").splitlines()
    lines += [line[8:] for line in before]
    result = result.strip()
    lines.append(f"y0[i] = {result if target.dtype is dtypes.bool_ else _as(target, result)}")
    pointers = [*(f"x{k}" for k in range(len(sources))), "y0"]
    text = "\n".join([
        f"def kernel({', '.join([*pointers, 'n', *numbers])}):",
        "    for i in range(cuda.grid(1), n, cuda.gridsize(1)):",
        *(f"        {line}" for line in lines),
        "",
    ])  # fmt: skip
    n = math.prod(target.shape)
    spans = [span_of(x.shape, x.strides) for x in sources]
    index = index_for([n, *numbers.values(), *spans])
    parameters = [f"{_parameter(x.dtype)}*" for x in (*sources, target)]
    n_numbers = 1 + len(numbers)
    source = with_indices(text, len(pointers), n_numbers, index)
    function = Function(source, (*parameters, *[index] * n_numbers), block)
    views = [Argument("view", k) for k in range(len(pointers))]
    launch = Launch(function, min(-(-n // block), BLOCKS), (*views, n, *numbers.values()))
    return Launches((launch,))


def _place(k: int, source: Operand, shape: tuple[int, ...], numbers: dict[str, int]) -> str:
    """Where element i of the result is read; lengths and strides go to `numbers`."""
    extra = len(shape) - len(source.shape)
    steps = [0 if n == 1 else s for n, s in zip(source.shape, source.strides, strict=True)]
    steps = [0] * extra + steps
    if source.shape == shape and is_contiguous(shape, source.strides):
        return "i"
    terms, rest = [], "i"
    for axis in range(len(shape) - 1, -1, -1):
        index = rest
        if axis:
            numbers[f"n{axis}"] = shape[axis]
            index, rest = f"{rest} % n{axis}", f"{rest} // n{axis}"
        numbers[f"s{k}_{axis}"] = steps[axis]
        terms.append(f"{index} * s{k}_{axis}")
    return " + ".join(reversed(terms)) or "0"


def _parameter(dtype: DType) -> str:
    return dtype.kernel or _PARAMETERS[dtype.name]


def _read(text: str, dtype: DType) -> str:
    """An element in a dtype that is computed with."""
    return f"float32({text})" if dtype is dtypes.float16 else text


def _as(operand: Operand, text: str) -> str:
    return f"{operand.dtype.name}({text})"
