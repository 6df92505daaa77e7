"""docs/accuracy.md is complete, and a sample of other points stays near what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("mpmath")
from tools import accuracy

PAGE = (Path(__file__).parent.parent / "docs" / "accuracy.md").read_text()
CELLS = re.findall(
    r"^\| `(\w+)`(?: \(\*\))? \| [^|]+ \| ([\d.]+) \| [^|]+ \| ([\d.]+) \|", PAGE, re.M
)
STATED = {name: {"float64": float(a), "float32": float(b)} for name, a, b in CELLS}


def test_every_function_is_measured_and_stated():
    """What calls the vector mathematics, and no more than the page promises of all."""
    assert set(accuracy.to_be_measured()) <= set(accuracy.ROWS) == set(STATED)
    assert max(ulp for row in STATED.values() for ulp in row.values()) < 6.0


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
@pytest.mark.parametrize("name", accuracy.ROWS)
def test_a_sample_is_as_accurate_as_stated(name, dtype):
    """The page has the worst of a thousand points, these are a dozen of each interval."""
    worst = accuracy.measure(name, dtype, 12)
    assert worst.ulp <= max(1.2 * STATED[name][dtype], 0.6), worst
