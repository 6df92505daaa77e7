"""The text of a few small kernels, kept in tests/golden/ so that a change shows up in a diff.

To accept a change:  TAPEJIT_GOLDEN=write python -m pytest tests/test_golden_kernels.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tapejit.codegen.loop_text import emit_source
from tapejit.codegen.row_ir import emit_kernel
from tapejit.plan import LoopKernel, Node, Operand, Output, RowKernel

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

LOOPS = {name: kernel for name, kernel in KERNELS.items() if isinstance(kernel, LoopKernel)}


def texts(name):
    kernel = KERNELS[name]
    return {f"{name}.py": emit_source(kernel, name), f"{name}.ll": emit_kernel(kernel, name).ir}


@pytest.mark.parametrize("name", list(KERNELS))
def test_text_is_the_golden_one(name):
    for file, text in texts(name).items():
        if os.environ.get("TAPEJIT_GOLDEN") == "write":
            (GOLDEN / file).write_text(text, encoding="utf-8")
        assert text == (GOLDEN / file).read_text(encoding="utf-8"), (
            f"{file} changed; if that is meant: "
            "TAPEJIT_GOLDEN=write python -m pytest tests/test_golden_kernels.py"
        )
