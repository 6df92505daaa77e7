"""The text of a few small kernels, kept in tests/golden/ so that a change shows up in a diff.

To accept a change:  TAPEJIT_GOLDEN=write python -m pytest tests/test_golden_kernels.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tapejit.codegen.cuda.kernels import launches_of
from tapejit.codegen.loop_text import emit_source
from tapejit.codegen.row_ir import emit_kernel
from tapejit.plan import KernelStep, LoopKernel, Node, Operand, Output, RowKernel, RowStep, View

GOLDEN = Path(__file__).parent / "golden"

KERNELS = {
    # y = x * 2.5 + b, with b one number
    "axpb": LoopKernel(
        1,
        (Operand("f64", "1"), Operand("f64", "0")),
        (
            Node("load", "f64", (0,)), Node("load", "f64", (1,)), Node("literal", "f64", (2.5,)),
            Node("mul", "f64", (0, 2)), Node("add", "f64", (3, 1)),
        ),
        (Output(4, Operand("f64", "1"), None),),
    ),
    # value and gradient of sum(tanh(x)) in one loop
    "tanh_sum": LoopKernel(
        1,
        (Operand("f64", "1"),),
        (
            Node("load", "f64", (0,)), Node("tanh", "f64", (0,)), Node("literal", "f64", (1.0,)),
            Node("mul", "f64", (1, 1)), Node("sub", "f64", (2, 3)),
        ),
        (Output(1, Operand("f64", "0"), "sum"), Output(4, Operand("f64", "1"), None)),
    ),
    # relu of a float32 matrix, its row maxima and its column sums
    "relu_rows": LoopKernel(
        2,
        (Operand("f32", "s1"),),
        (
            Node("load", "f32", (0,)), Node("literal", "f32", (0.0,)), Node("gt", "bool", (0, 1)),
            Node("select", "f32", (2, 0, 1)),
        ),
        (
            Output(3, Operand("f32", "s1"), None),
            Output(0, Operand("f32", "10"), "max"),
            Output(3, Operand("f32", "01"), "sum"),
        ),
    ),
    # a strided mask with integers: (n % 3 == 0) and an index
    "mask_index": LoopKernel(
        1,
        (Operand("i64", "s"),),
        (
            Node("load", "i64", (0,)), Node("literal", "i64", (3,)), Node("mod", "i64", (0, 1)),
            Node("literal", "i64", (0,)), Node("eq", "bool", (2, 3)), Node("index", "i64", (0,)),
            Node("select", "i64", (4, 5, 3)),
        ),
        (Output(4, Operand("bool", "1"), None), Output(6, Operand("i64", "s"), None)),
    ),
    # softmax along rows: three loops that take turns at a few rows
    "softmax_rows": RowKernel((
        LoopKernel(
            2,
            (Operand("f64", "s1"),),
            (Node("load", "f64", (0,)),),
            (Output(0, Operand("f64", "s0"), "max"),),
        ),
        LoopKernel(
            2,
            (Operand("f64", "s1"), Operand("f64", "s0")),
            (
                Node("load", "f64", (0,)), Node("load", "f64", (1,)), Node("sub", "f64", (0, 1)),
                Node("exp", "f64", (2,)),
            ),
            (Output(3, Operand("f64", "s1"), None), Output(3, Operand("f64", "s0"), "sum")),
        ),
        LoopKernel(
            2,
            (Operand("f64", "s1"), Operand("f64", "s0")),
            (Node("load", "f64", (0,)), Node("load", "f64", (1,)), Node("div", "f64", (0, 1))),
            (Output(2, Operand("f64", "s1"), None),),
        ),
    )),
}  # fmt: skip

LENGTHS = {"tanh_sum": (100_000,), "relu_rows": (300, 500), "softmax_rows": (2000, 700)}
"""Of the kernels whose CUDA text is kept too."""
BUFFERS = {"softmax_rows": (0, 1, 0, 1, 2, 3, 2, 3, 4)}
"""Where operands of several loops lie in the same memory."""

LOOPS = {name: kernel for name, kernel in KERNELS.items() if isinstance(kernel, LoopKernel)}


def texts(name):
    kernel = KERNELS[name]
    found = {f"{name}.py": emit_source(kernel, name), f"{name}.ll": emit_kernel(kernel, name).ir}
    if name in LENGTHS:
        launches = launches_of(step_of(kernel, LENGTHS[name], BUFFERS.get(name)), 256).launches
        functions = dict.fromkeys(launch.function for launch in launches)
        found[f"{name}.cuda"] = "\n\n".join(function.source for function in functions)
    return found


def step_of(kernel, lengths, buffers):
    """A step of row-major arrays; what only a row kernel itself reads is private."""
    parts, numbers = [], iter(buffers or range(100))
    for loop in kernel.loops:
        operands = [*loop.inputs, *(output.operand for output in loop.outputs)]
        views = []
        for operand in operands:
            strides, step = [], 1
            for n, letter in zip(reversed(lengths), reversed(operand.steps), strict=True):
                strides.append(0 if letter == "0" else step)
                step *= 1 if letter == "0" else n
            views.append(View(next(numbers), 0, lengths, tuple(reversed(strides))))
        parts.append(KernelStep(loop, lengths, tuple(views)))
    if not isinstance(kernel, RowKernel):
        return parts[0]
    return RowStep(kernel, tuple(parts), tuple(range(1, max(buffers))))


@pytest.mark.parametrize("name", list(KERNELS))
def test_text_is_the_golden_one(name):
    for file, text in texts(name).items():
        if os.environ.get("TAPEJIT_GOLDEN") == "write":
            (GOLDEN / file).write_text(text, encoding="utf-8")
        assert text == (GOLDEN / file).read_text(encoding="utf-8"), (
            f"{file} changed; if that is meant: "
            "TAPEJIT_GOLDEN=write python -m pytest tests/test_golden_kernels.py"
        )
