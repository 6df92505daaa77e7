"""The notebook that this project began with: every cell runs and prints what it shows.

`parse` turns the text into cells, `show` runs one as IPython does: the last expression's repr is
displayed unless it is None.  Warnings go to IPython's stderr, whose text the notebook cut down to
the line of source; the one cell that warns is checked for torch's words instead.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tapejit

TEXT = (Path(__file__).parent / "fixtures" / "notebook.txt").read_text()
OUTPUT = re.compile(r"tensor\(|Manual Gradient|element 0 of|  y\.grad$")
PROSE = re.compile(r"> |<u>|---|## |\*\*")
WARNING_LINE = "  y.grad"
NON_LEAF = "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed"


@dataclass
class Cell:
    number: int
    code: str
    output: str


def parse(text: str) -> list[Cell]:
    """Cells in order; a cell's output starts at the first paragraph that looks like output."""
    cells = []
    blocks = re.split(r"^In \[(\d+)\]:\n", text, flags=re.MULTILINE)[1:]
    for number, block in zip(blocks[::2], blocks[1::2], strict=True):
        code: list[str] = []
        output: list[str] = []
        for paragraph in re.split(r"\n(?:[ \t]*\n)+", block.strip("\n")):
            if PROSE.match(paragraph):
                break
            (output if output or OUTPUT.match(paragraph) else code).append(paragraph)
        cells.append(Cell(int(number), "\n\n".join(code), "\n".join(output)))
    return cells


def show(code: str, namespace: dict[str, object]) -> tuple[str, list[warnings.WarningMessage]]:
    """What a cell prints and displays, and its warnings."""
    tree = ast.parse(code.replace("import torch", "import tapejit as torch"))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        exec(compile(tree, "<cell>", "exec"), namespace)
        if last is not None:
            value = eval(compile(last, "<cell>", "eval"), namespace)
            if value is not None:
                print(repr(value))
    return printed.getvalue().rstrip("\n"), caught


CELLS = parse(TEXT)


def test_the_parser_finds_every_cell():
    assert [cell.number for cell in CELLS] == list(range(1, 50))
    assert sum(bool(cell.output) for cell in CELLS) == 35
    assert CELLS[5].code.endswith("z = torch.sin(y)") and CELLS[5].output == ""
    assert CELLS[48].output.splitlines() == [
        "tensor(4.8000)",
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ]


@pytest.fixture(scope="module", params=["card", "simulator"])
def shown(request) -> Iterator[dict[int, tuple[str, list[warnings.WarningMessage]]]]:
    """All cells run once, in order, in one namespace: as here, and with a simulated GPU."""
    namespace: dict[str, object] = {}
    with tapejit.config.set(cuda=request.param):
        yield {cell.number: show(cell.code, namespace) for cell in CELLS}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: str(cell.number))
def test_cell(cell, shown):
    text, caught = shown[cell.number]
    expected = cell.output
    if not tapejit.cuda.is_available():
        expected = expected.replace(", device='cuda:0'", "")
    if expected == WARNING_LINE:
        assert text == ""
        assert [w.category for w in caught] == [UserWarning]
        assert str(caught[0].message).startswith(NON_LEAF)
    else:
        assert text == expected
        assert caught == []
