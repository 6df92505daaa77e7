"""What is written beside the code says what the code does."""

from __future__ import annotations

import dataclasses
import doctest
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tapejit import __main__ as cli
from tapejit import catalogue, config
from tapejit.interop import numpy_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_the_page_of_operations_is_fresh():
    written = (ROOT / "docs" / "ops.md").read_text()
    assert written == catalogue.page(), "run  python -m tapejit ops --write docs/ops.md"


def test_the_page_of_numpy_functions_is_fresh():
    written = (ROOT / "docs" / "numpy.md").read_text()
    assert written == numpy_table.page(), "run  python -m tapejit numpy --write docs/numpy.md"


def test_the_table_of_switches_is_complete():
    rows = re.findall(r"^\| `(TAPEJIT_\w+)` \| (\S+) \|", README, re.MULTILINE)
    stated = dict(rows)
    text = "\n".join(path.read_text() for path in (ROOT / "tapejit").rglob("*.py"))
    read = set(re.findall(r"\bTAPEJIT_[A-Z_]+[A-Z]\b", text))
    assert set(stated) == read
    for field in dataclasses.fields(config.Settings):
        assert stated[f"TAPEJIT_{field.name.upper()}"] == str(field.default)


def test_the_readme_example_prints_what_it_says(tmp_path):
    (code,) = BLOCK.findall(README)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert found.stderr == ""
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert found.stdout.splitlines() == promised


def test_the_readme_sessions_print_what_they_say():
    session = "".join(re.findall(r"```pycon\n(.*?)```", README, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(session, {}, "README", None, 0)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted > 8 and not result.failed


@pytest.mark.parametrize("line", re.findall(r"^python -m tapejit .*$", README, re.MULTILINE))
def test_the_commands_of_the_readme_run(line, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    assert cli.main(shlex.split(line)[3:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_the_installs_of_the_readme_name_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = set(re.findall(r"'\.\[(\w+)\]'", README))
    assert named and named <= set(extras["optional-dependencies"])


def test_links_of_the_pages_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), f"{page}: {target}"


def test_the_worked_example_of_an_operation_works():
    (code,) = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    check = (
        "from tapejit import catalogue\n"
        "from tapejit.ops.trigonometry import *\n"
        "from tapejit.families import elementwise\n"
        "from tapejit.registry import Alias, Probe\n"
        f"{code}\nprint(catalogue.record('spherical_bessel_j0'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=60
    )
    assert found.stderr == ""
    assert "sin(x) / x, and 1 at 0." in found.stdout and "cos %0" in found.stdout
