"""Tiles of products that loops call: in Python here, natively from codegen/tiles.py.

Compiled, a call of these is a call of machine code in registers' size; the functions below say what
it computes, and run where loops run as Python.  `Numbers` is memory of the loop's result dtype,
`Places` of int64.
"""

from __future__ import annotations

import numpy as np

ROWS = 8
"""Rows of a product tile: its left operand is packed so, ROWS numbers for each k."""

COLUMNS = {"f32": 48, "f64": 24}
"""Columns of a product tile."""

DOTS = 4
"""Rows of each operand in a tile of dot products; or one."""

Numbers = np.ndarray
Places = np.ndarray


def product_tile(
    a: Numbers, a_at: int, b: Numbers, b_at: int, places: Places, places_at: int, k: int,
    z: Numbers, z_at: int, z_step: int,
) -> None:  # fmt: skip
    """z[r, j] = sum over i < k of a[i, r] * b[places[i] + j], for ROWS and COLUMNS."""
    columns = COLUMNS["f32" if z.dtype == np.float32 else "f64"]
    left = a[a_at : a_at + k * ROWS].reshape(k, ROWS)
    rows = [b[b_at + int(p) : b_at + int(p) + columns] for p in places[places_at : places_at + k]]
    product = left.T @ np.array(rows)
    for r in range(ROWS):
        z[z_at + r * z_step : z_at + r * z_step + columns] = product[r]


def dot_tile(
    x: Numbers, x_at: int, x_step: int, y: Numbers, y_at: int, places: Places, places_at: int,
    k: int, z: Numbers, z_at: int, z_step: int,
) -> None:  # fmt: skip
    """z[r, s] += sum over i < k of x[r, i] * y[places[s] + i], for DOTS rows of both."""
    dots_of(DOTS, DOTS, x, x_at, x_step, y, y_at, places, places_at, k, z, z_at, z_step)


def dot_one(
    x: Numbers, x_at: int, x_step: int, y: Numbers, y_at: int, places: Places, places_at: int,
    k: int, z: Numbers, z_at: int, z_step: int,
) -> None:  # fmt: skip
    """The same for one row of each."""
    dots_of(1, 1, x, x_at, x_step, y, y_at, places, places_at, k, z, z_at, z_step)


def dots_of(m, n, x, x_at, x_step, y, y_at, places, places_at, k, z, z_at, z_step):
    for r in range(m):
        for s in range(n):
            u = x[x_at + r * x_step : x_at + r * x_step + k]
            first = y_at + int(places[places_at + s])
            z[z_at + r * z_step + s] += u @ y[first : first + k]
