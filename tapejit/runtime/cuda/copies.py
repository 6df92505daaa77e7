"""Copies and casts between arrays on a GPU: one loop over all elements.

Copies move elements as whole words, whatever they mean: a complex128 as two int64 along an axis of
its own, so that any dtype can be copied and all bits stay.  Casts are for dtypes that loop kernels
do not take; those that they take are cast in kernels.
"""

from __future__ import annotations

import math

from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.cuda.launches import Argument, Function, Launch, Launches
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


# ---------------------------------------------------------------- casts

BLOCKS = 4096
"""Of a launch, at most; each thread then takes several elements."""

_PARAMETERS = {"uint8": "u8", "int8": "i8", "int16": "i16", "float16": "f16"}


def cast_launches(source: Operand, target: Operand, block: int) -> Launches:
    """View 1, row-major, becomes view 0 in another dtype; neither is empty.

    The kernel for two axes, from int8 to float16:

        def kernel(x0, y0, n, n1, s0, s1):
            for i in range(cuda.grid(1), n, cuda.gridsize(1)):
                v = x0[i // n1 * s0 + i % n1 * s1]
                y0[i] = float16(v)
    """
    assert source.shape == target.shape and is_contiguous(target.shape, target.strides)
    names, numbers, place = [], [], "i"
    if not is_contiguous(source.shape, source.strides):
        place, rest = "", "i"
        for axis in range(len(source.shape) - 1, -1, -1):
            index = rest
            if axis:
                names.append(f"n{axis}")
                numbers.append(source.shape[axis])
                index, rest = f"{rest} % n{axis}", f"{rest} // n{axis}"
            names.append(f"s{axis}")
            numbers.append(source.strides[axis])
            place += f"{' + ' if place else ''}{index} * s{axis}"
    text = "\n".join([
        f"def kernel({', '.join(['x0', 'y0', 'n', *names])}):",
        "    for i in range(cuda.grid(1), n, cuda.gridsize(1)):",
        f"        v = {_read(source.dtype)}",
        f"        y0[i] = {_written(target.dtype, source.dtype)}",
        "",
    ]).replace("PLACE", place)  # fmt: skip
    pointers = [f"{_parameter(dtype)}*" for dtype in (source.dtype, target.dtype)]
    function = Function(text, (*pointers, *["i64"] * (1 + len(numbers))), block)
    n = math.prod(target.shape)
    arguments = (Argument("view", 0), Argument("view", 1), n, *numbers)
    return Launches((Launch(function, min(-(-n // block), BLOCKS), arguments),))


def _parameter(dtype: DType) -> str:
    return dtype.kernel or _PARAMETERS[dtype.name]


def _read(dtype: DType) -> str:
    """An element in a dtype that is computed with."""
    return "float32(x0[PLACE])" if dtype.name == "float16" else "x0[PLACE]"


def _written(dtype: DType, source: DType) -> str:
    """The element v as it is stored."""
    if dtype.name == "bool":
        return "v != 0"
    if source.is_floating_point and not dtype.is_floating_point:
        return "int64(v)" if dtype.name == "int64" else f"{dtype.name}(int64(v))"
    return f"{dtype.name}(v)"
