"""docs/numpy.md: which NumPy functions take tensors, with which options, and what the others say.

Read off `front.FOR_NUMPY` and NumPy's signatures; nothing is listed here by hand.
"""

from __future__ import annotations

import numpy as np

from tapejit.interop.numpy_missing import nearest
from tapejit.interop.numpy_protocol import ACCUMULATE, REDUCE
from tapejit.interop.numpy_words import FOLDINGS, HINTS, form, name_of, ours
from tapejit.tensor.front import FOR_NUMPY, FUNCTIONS

_HEAD = """# NumPy functions of tensors

Made by `python -m tapejit numpy --write docs/numpy.md`; do not edit it by hand.

`np.f(tensor)` gives a tensor with its derivative.  NumPy's own signature decides what arguments
mean: names, places and defaults are NumPy's, also where PyTorch's function of that name differs
(`np.std` divides by n).  Dtypes are PyTorch's.

- `out=` a tensor is written in place, under the rules of in-place operations; an array only where
  no derivative is lost.
- `where=` of a ufunc keeps `out`, or gives 0, where the mask does not hold; of a reduction it
  leaves elements out.  Neither lets a NaN of an element left out reach a gradient.
- `order`, `subok`, `kind`, `copy` and other hints about memory and algorithms are taken, and
  change no value.
- Arrays, lists and numbers beside tensors are data.  Masked arrays and matrices are refused.
- Any other function raises a `TraceError` that names what comes nearest; nothing is converted to an
  array silently."""
HOMES = ("numpy", "numpy.linalg", "numpy.fft")
"""Modules whose functions are listed; others are of text and records, or imported at will."""


def page() -> str:
    """The text of docs/numpy.md."""
    from numpy.testing import overrides  # slow to import, and needed for this page only

    functions = {
        name_of(f): f
        for f in overrides.get_overridable_numpy_array_functions()
        if f.__module__ in HOMES
    }
    ufuncs = {u.__name__: u for u in overrides.get_overridable_numpy_ufuncs()}
    known = {name: f for name, f in functions.items() if ours(f)}
    parts = [
        _HEAD,
        f"\n## Functions: {len(known)}\n\n| function | options | not taken |\n|---|---|---|",
        *(_row(name, known[name]) for name in sorted(known)),
        "\n## Ufuncs\n",
        _ufuncs(ufuncs),
        "\n## Not supported, and what comes nearest\n\n| function | nearest |\n|---|---|",
    ]
    for name in sorted(functions.keys() - known.keys()):
        parts.append(f"| `{name}` | {', '.join(f'`{n}`' for n in nearest(name)[:3])} |")
    return "\n".join(parts).replace("|  |", "| |") + "\n"


def _row(name, function):
    answer = ours(function)
    assert answer is not None
    known = form(function, answer)
    central = {"out", "dtype"} | ({"where", "initial"} if function in FOLDINGS else set())
    taken = [n for n in known.optional if n in known.ours or n in central]
    refused = [n for n in known.optional if n not in taken and n not in HINTS and n != "like"]
    return f"| `{name}` | {', '.join(taken)} | {', '.join(refused)} |"


def _ufuncs(ufuncs):
    listed = sorted(name for name, ufunc in ufuncs.items() if ufunc in FOR_NUMPY)
    missing = sorted(
        name
        for name, ufunc in ufuncs.items()
        if ufunc not in FOR_NUMPY and not name.startswith("_") and hasattr(np, name)
    )
    reduced = sorted(u.__name__ for u, f in REDUCE.items() if f in FOR_NUMPY)
    run = sorted(u.__name__ for u, name in ACCUMULATE.items() if name in FUNCTIONS)
    lines = {
        "supported, with `out`, `where`, `dtype`, `casting`, and `outer` of two operands": listed,
        "`reduce` and `reduceat`": reduced,
        "`accumulate`": run,
        "`at`": ["add", "subtract"],
        "not supported": missing,
    }
    return "\n".join(f"- {key}: {', '.join(names)}" for key, names in lines.items())
