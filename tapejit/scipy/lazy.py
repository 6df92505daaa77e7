"""SciPy's modules, imported when a solver is first called: `import tapejit` is ten times faster.

They are `Any` here: SciPy has no types of its own, and those inferred for it refuse functions where
"2-point" is the default.
"""

from __future__ import annotations

from typing import Any


def optimize() -> Any:
    """scipy.optimize."""
    from scipy import optimize

    return optimize


def integrate() -> Any:
    """scipy.integrate."""
    from scipy import integrate

    return integrate


def sparse_linalg() -> Any:
    """scipy.sparse.linalg."""
    from scipy.sparse import linalg

    return linalg
