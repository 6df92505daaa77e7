"""Imports only go down: the floors of the house, and a test that reads every import statement.

A floor is a row of steps; a step may import from lower floors and from lower steps of its own
floor, never from a neighbour on its step.  `ast.walk` sees imports inside functions too, so a late
import is no way round.  Imports are absolute, so that this test and grep see the same thing.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tapejit"

FLOORS = {
    "ground": ("errors locks library sites", "bounded config dtypes expressions cache", "shapes"),
    "words": ("registry", "families tape plan"),
    "grammar": ("build verify pretty",),
    "vocabulary": ("ops",),
    "meaning": ("columns", "autodiff batching simplify schedule"),
    "text": ("codegen",),
    "machines": ("runtime",),
    "people": (
        "tensor",
        "numba_code",
        "transforms nn linalg fft special cuda",
        "interop",
        "scipy samplers",
    ),
    "roof": ("__init__", "catalogue show stubs", "demo", "__main__"),
}
STEPS = [step.split() for floor in FLOORS.values() for step in floor]
HEIGHT = {name: height for height, step in enumerate(STEPS) for name in step}
FLOOR = {name: floor for floor, steps in FLOORS.items() for step in steps for name in step.split()}


def unit(path: Path, package: Path) -> str:
    """The first part of a file's place below the package: a module or a folder."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> list[tuple[str, int]]:
    """Dotted names that a module imports, with their lines; relative ones begin with a dot."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(f"{module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def faults(path: Path, package: Path) -> list[str]:
    """What is wrong with the imports of one file, in words."""
    here = unit(path, package)
    if here not in HEIGHT:
        return [f"{path.name}: {here} is on no floor: add it to FLOORS"]
    found = []
    for dotted, line in imported(ast.parse(path.read_text())):
        place = f"{path.name}:{line} ({here}, {FLOOR[here]})"
        if dotted.startswith("."):
            found.append(f"{place}: relative import of {dotted}")
            continue
        head, _, rest = dotted.partition(".")
        if head != "tapejit":
            continue
        there = rest.split(".")[0]
        if there not in HEIGHT:  # `import tapejit` or a re-exported name: the front door
            there = "__init__"
        if HEIGHT[there] >= HEIGHT[here] and there != here:
            found.append(f"{place} imports {there} ({FLOOR[there]})")
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_only_go_down(path):
    assert faults(path, PACKAGE) == []


def modules_below(package: Path) -> dict[str, set[str]]:
    """The modules of a package by dotted name, and which of them each imports, wherever it does."""
    paths = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts): path
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    below = {}
    for name, path in paths.items():
        dotted = [found for found, _ in imported(ast.parse(path.read_text()))]
        both = {*dotted, *(found.rpartition(".")[0] for found in dotted)}
        below[name] = (both & paths.keys()) - {name}
    return below


def circles(below: dict[str, set[str]]) -> set[str]:
    """The modules that are left when those that import no other, or that no other imports, go."""
    left = below
    while True:
        imported_ones = set().union(*left.values())
        kept = {
            name: others & left.keys()
            for name, others in left.items()
            if others & left.keys() and name in imported_ones
        }
        if len(kept) == len(left):
            return set(left)
        left = kept


def test_no_modules_import_each_other():
    """But a GPU, its streams and its staging memory, which are one thing in three files."""
    found = circles(modules_below(PACKAGE))
    assert found <= {f"tapejit.runtime.cuda.{name}" for name in ("card", "staging", "streams")}


LATE = ("scipy", "numba", "llvmlite", "cuda", "tapejit.codegen.cuda.kernels")


def test_what_a_program_may_not_need_is_imported_late():
    code = "import sys, tapejit; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"tapejit", "numpy"} <= set(found.stdout.split())
    assert not {name for name in LATE if name in found.stdout.split()}


def test_planted_circles_are_found(tmp_path):
    texts = {
        "a": "from tapejit.b import x",
        "b": "def f():\n    from tapejit import c",
        "c": "import tapejit.a",
        "above": "from tapejit import a",
        "below": "",
    }
    for name, text in texts.items():
        path = tmp_path / "tapejit" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert circles(modules_below(tmp_path / "tapejit")) == {f"tapejit.{name}" for name in "abc"}


def test_every_name_on_a_floor_exists():
    assert set(HEIGHT) == {unit(path, PACKAGE) for path in PACKAGE.rglob("*.py")}


def test_the_readme_shows_the_same_house():
    table = (PACKAGE.parent / "README.md").read_text().partition("## The house")[2]
    rooms = {}
    for line in re.findall(
        r"^\| .*", table.partition("\n\n")[2].partition("\n## ")[0], re.MULTILINE
    ):
        _, floor, names, *_ = (cell.strip() for cell in line.split("|"))
        rooms[floor] = {name.rstrip("/") for name in re.findall(r"`(\w+)/?`", names)}
    assert {floor: rooms[floor] for floor in FLOORS} == {
        floor: set(" ".join(steps).split()) for floor, steps in FLOORS.items()
    }


MAPS = [path for path in sorted(PACKAGE.rglob("*/__init__.py")) if path.parent != PACKAGE]


@pytest.mark.parametrize("path", MAPS, ids=lambda path: str(path.parent.relative_to(PACKAGE)))
def test_a_folder_names_all_that_is_in_it(path):
    named = set(re.findall(r"\w+", ast.get_docstring(ast.parse(path.read_text())) or ""))
    modules = {module.stem for module in path.parent.glob("*.py")} - {"__init__"}
    folders = {folder.parent.name for folder in path.parent.glob("*/__init__.py")}
    assert modules | folders <= named


PLANTED = {
    "upward": ("shapes.py", "from tapejit.registry import Op", "shapes.py:1 (shapes, ground)"),
    "upward, in a function": (
        "autodiff.py",
        "def f():\n    from tapejit.runtime.compiled import compile_program",
        "autodiff.py:2 (autodiff, meaning) imports runtime (machines)",
    ),
    "neighbour": ("simplify.py", "import tapejit.autodiff", "imports autodiff (meaning)"),
    "neighbour, by name": ("plan.py", "from tapejit import tape", "imports tape (words)"),
    "relative": ("ops/linear.py", "from ..tape import Tape", "relative import of ..tape.Tape"),
    "front door": ("tensor/core.py", "import tapejit", "imports __init__ (roof)"),
    "re-exported name": ("tape.py", "from tapejit import Tensor", "imports __init__ (roof)"),
    "no floor": ("attic.py", "", "attic is on no floor"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_faults_are_found(fault, tmp_path):
    name, text, words = PLANTED[fault]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (found,) = faults(path, tmp_path)
    assert words in found


def test_what_is_allowed_is_not_a_fault(tmp_path):
    path = tmp_path / "tape.py"
    path.write_text(
        "import numpy\nfrom tapejit.registry import KINDS\nfrom tapejit import errors\n"
        "from tapejit.tape import Tape\n"
    )
    assert faults(path, tmp_path) == []
