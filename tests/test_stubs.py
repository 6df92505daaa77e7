"""The type stub is current, and tells a type checker what a user's program does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tapejit import stubs

ROOT = Path(__file__).parent.parent
PROGRAM = """
import numpy as np

import tapejit as tj

w = tj.tensor([1.0, 2.0], requires_grad=True)
loss = (w.sin() * w + 1.0 - 2.0 * w @ w).sum()  # Tensor
loss.backward()
gradient = w.grad  # Tensor | None
places = tj.sort(w).indices  # Tensor
first = w[0].item()
shape = w.shape[0]  # int
mask = w > 1.0  # Tensor
halves = tj.chunk(w.exp(), 2)  # tuple[Tensor, ...]
array = w.detach().numpy()
plain = tj.exp(array)  # Any
dtype = tj.zeros(2, 3, dtype=tj.float64).dtype  # DType
with tj.no_grad():
    w -= 0.1 * w
value, slope = tj.value_and_grad(lambda x: np.sum(x * x))(array)
"""
STATED = re.compile(r"^(\w+) = .*  # (.*)$", re.MULTILINE)
WRONG = {
    "a method that is not there": "import tapejit as tj\ntj.zeros(2).sinus()",
    "a function that is not there": "import tapejit as tj\ntj.sinus(1.0)",
    "an operand too many": "import tapejit as tj\ntj.zeros(2).exp(3)",
    "text as an operand": "import tapejit as tj\ntj.zeros(2).add('x')",
}


def checked(path: Path) -> list[dict]:
    """What pyright says of a file."""
    beside = Path(sys.executable).with_name("pyright")
    pyright = str(beside) if beside.exists() else shutil.which("pyright")
    if pyright is None:
        pytest.skip("pyright is not installed\n  try  pip install '.[develop]'")
    command = [pyright, "--outputjson", "--pythonpath", sys.executable, str(path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    return json.loads(found.stdout)["generalDiagnostics"]


def test_the_stub_is_fresh():
    written = (ROOT / "tapejit" / "__init__.pyi").read_text()
    assert written == stubs.page(), "run  python -m tapejit stubs --write tapejit/__init__.pyi"


def test_a_program_has_the_types_it_says(tmp_path):
    lines = []
    for line in PROGRAM.splitlines():
        lines.append(line)
        if stated := STATED.match(line):
            lines.append(f"reveal_type({stated[1]})")
    (tmp_path / "program.py").write_text("\n".join(lines))
    found = checked(tmp_path / "program.py")
    assert [d["message"] for d in found if d["severity"] == "error"] == []
    revealed = dict(
        re.fullmatch(r'Type of "(\w+)" is "(.*)"', d["message"]).groups()
        for d in found
        if d["severity"] == "information"
    )
    assert revealed == dict(STATED.findall(PROGRAM))


def test_mistakes_are_found(tmp_path):
    for number, text in enumerate(WRONG.values()):
        (tmp_path / f"wrong{number}.py").write_text(text)
    found = checked(tmp_path)
    files = {Path(d["file"]).name for d in found if d["severity"] == "error"}
    assert files == {f"wrong{number}.py" for number in range(len(WRONG))}
