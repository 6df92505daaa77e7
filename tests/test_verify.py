"""The checker of tapes finds what it should, and says which row."""

from __future__ import annotations

import pytest

from tapejit import config, dtypes
from tapejit.build import Builder
from tapejit.ops.arithmetic import mul
from tapejit.ops.reductions import sum_
from tapejit.ops.trigonometry import sin
from tapejit.pretty import graphviz, program_text
from tapejit.registry import OPS, kind
from tapejit.runtime.compiled import compile_program
from tapejit.shapes import aval
from tapejit.simplify import simplify
from tapejit.tape import Program
from tapejit.verify import BrokenTape, verify_program

VECTOR = aval((1000,), dtypes.float64)


def program() -> Program:
    """sum(sin(x) * x)"""
    builder = Builder()
    x = builder.input(VECTOR)
    y = sum_(mul(sin(x), x), axes=(0,), keepdim=False)
    return Program(builder.tape, [x.row], [y.row])


def test_a_sound_program_passes():
    verify_program(program())


def broken(change) -> str:
    """What the checker says after `change` was done to a sound program."""
    found = program()
    found = change(found) or found
    with pytest.raises(BrokenTape) as caught:
        verify_program(found, "a pass")
    return str(caught.value)


def test_an_operand_that_comes_later():
    words = broken(lambda p: p.tape.left.__setitem__(1, 2))
    assert "after a pass: row %1" in words and "reads %2, which does not precede it" in words


def test_a_missing_operand():
    words = broken(lambda p: p.tape.right.__setitem__(2, -1))
    assert "row %2" in words and "has 1 operands instead of 2" in words


def test_an_aval_that_inference_does_not_give():
    wrong = kind(OPS["sin"], (), aval((7,), dtypes.float64))
    words = broken(lambda p: p.tape.kinds.__setitem__(1, wrong.number))
    assert "row %1" in words and "by inference" in words


def test_operands_that_do_not_fit():
    wrong = kind(OPS["input"], (), aval((7,), dtypes.float64))
    other = kind(OPS["sin"], (), aval((7,), dtypes.float64))

    def change(p):
        p.tape.append(wrong, ())
        p.tape.append(other, (4,))
        p.tape.append(kind(OPS["mul"], (), VECTOR), (1, 5))

    assert "row %6" in broken(change)


def test_ends_outside_the_tape():
    assert "output %9 of a tape of 4 rows" in broken(lambda p: Program(p.tape, [0], [9]))
    assert "is no input row" in broken(lambda p: Program(p.tape, [1], [3]))
    assert "named twice" in broken(lambda p: Program(p.tape, [0, 0], [3]))
    assert "not among the inputs" in broken(lambda p: Program(p.tape, [], [3]))


def test_passes_and_compilation_are_checked_when_asked():
    found = program()
    found.tape.left[1] = 2
    with config.set(check=1), pytest.raises(BrokenTape, match="after simplification: row %1"):
        compile_program(found)
    with config.set(check=2), pytest.raises(BrokenTape, match="after recording"):
        simplify(found)


def test_a_program_as_text():
    assert program_text(program()).splitlines() == [
        "%0 = input                               f64[1000]",
        "%1 = sin %0                              f64[1000]",
        "%2 = mul %1, %0                          f64[1000]",
        "%3 = sum %2 axes=(0,) keepdim=False      f64[]",
        "return %3",
    ]


def test_a_program_for_graphviz():
    text = graphviz(program())
    assert text.startswith("digraph tape {") and text.endswith("}\n")
    assert 'r2 [label="%2 mul\\nf64[1000]", shape=ellipse];' in text
    assert "r1 -> r2;" in text and "r0 -> r2;" in text
